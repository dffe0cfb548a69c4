/* test_pointwise_accuracy.c - how far exp, tanh and the rest are from the truth, for every instruction set that this
 * machine has: the table says over which arguments and by how many units in the last place at most. The truth is libm's
 * in long double, whose 11 bits more than double's make its own error too small to matter; where long double is no
 * wider, there is nothing to compare with.
 *
 * Each function meets numbers from all over the type (every exponent alike, subnormals and the largest included),
 * numbers from the interval where most of its life takes place, and special ones.
 *
 * A library built without SLEEF has some of libm's float64 functions, of which erfc is more than 3 units off; and
 * without libmvec libm's float32 ones, which are better.
 *
 *     ULP_SHOW=1 test_pointwise_accuracy     prints what was found
 */
#include "ops/cpu/isa.h"
#include "ops/cpu/pointwise_kernel.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

AG_ISA_TABLES(ag__pointwise_loops, ag__pointwise)

typedef long double exact_of(long double a, long double b);

/* clang-format off */
static long double exact_exp(long double a, long double b)     { (void)b; return expl(a); }
static long double exact_exp2(long double a, long double b)    { (void)b; return exp2l(a); }
static long double exact_expm1(long double a, long double b)   { (void)b; return expm1l(a); }
static long double exact_log(long double a, long double b)     { (void)b; return logl(a); }
static long double exact_log1p(long double a, long double b)   { (void)b; return log1pl(a); }
static long double exact_log2(long double a, long double b)    { (void)b; return log2l(a); }
static long double exact_log10(long double a, long double b)   { (void)b; return log10l(a); }
static long double exact_sin(long double a, long double b)     { (void)b; return sinl(a); }
static long double exact_cos(long double a, long double b)     { (void)b; return cosl(a); }
static long double exact_tan(long double a, long double b)     { (void)b; return tanl(a); }
static long double exact_asin(long double a, long double b)    { (void)b; return asinl(a); }
static long double exact_acos(long double a, long double b)    { (void)b; return acosl(a); }
static long double exact_atan(long double a, long double b)    { (void)b; return atanl(a); }
static long double exact_sinh(long double a, long double b)    { (void)b; return sinhl(a); }
static long double exact_cosh(long double a, long double b)    { (void)b; return coshl(a); }
static long double exact_tanh(long double a, long double b)    { (void)b; return tanhl(a); }
static long double exact_asinh(long double a, long double b)   { (void)b; return asinhl(a); }
static long double exact_acosh(long double a, long double b)   { (void)b; return acoshl(a); }
static long double exact_atanh(long double a, long double b)   { (void)b; return atanhl(a); }
static long double exact_erf(long double a, long double b)     { (void)b; return erfl(a); }
static long double exact_erfc(long double a, long double b)    { (void)b; return erfcl(a); }
static long double exact_sqrt(long double a, long double b)    { (void)b; return sqrtl(a); }
static long double exact_rsqrt(long double a, long double b)   { (void)b; return 1 / sqrtl(a); }
static long double exact_sigmoid(long double a, long double b) { (void)b; return 1 / (1 + expl(-a)); }
static long double exact_silu(long double a, long double b)    { (void)b; return a / (1 + expl(-a)); }
static long double exact_softplus(long double a, long double b){ (void)b; return a > 20 ? a : log1pl(expl(a)); }
static long double exact_elu(long double a, long double b)     { (void)b; return a > 0 ? a : expm1l(a); }
static long double exact_logsigmoid(long double a, long double b)
{ (void)b; return a < 0 ? a - log1pl(expl(a)) : -log1pl(expl(-a)); }
static long double exact_gelu_exact(long double a, long double b)
{ (void)b; return a * 0.5L * erfcl(a * -0.707106781186547524400844362104849039L); }
static long double exact_mish(long double a, long double b)    { (void)b; return a * tanhl(log1pl(expl(a))); }
static long double exact_sinc(long double a, long double b)
{ (void)b; const long double p = 3.14159265358979323846264338327950288L * a; return a == 0 ? 1 : sinl(p) / p; }
/* Newton's method where erf is steep enough */
static long double exact_erfinv(long double a, long double b)
{
    (void)b;
    long double x = a;
    for (int step = 0; step < 40; step++) x -= (erfl(x) - a) / (1.12837916709551257389615890312154517L * expl(-x * x));
    return x;
}
static long double exact_logaddexp(long double a, long double b)
{ return fmaxl(a, b) + log1pl(expl(-fabsl(a - b))); }
static long double exact_xlogy(long double a, long double b)   { return a == 0 ? 0 : a * logl(b); }
static long double exact_pow(long double a, long double b)     { return powl(a, b); }
static long double exact_atan2(long double a, long double b)   { return atan2l(a, b); }
static long double exact_hypot(long double a, long double b)   { return hypotl(a, b); }

#define ROW(op, least, most, single, twice) \
    { #op, AG_EXPRESSION_##op##_value, exact_##op, least, most, { single, twice, twice }, false }
#define INSIDE(op, least, most, single, twice)                INSIDE_UNFUSED(op, least, most, single, twice, twice)
#define INSIDE_UNFUSED(op, least, most, single, twice, plain) \
    { #op, AG_EXPRESSION_##op##_value, exact_##op, least, most, { single, twice, plain }, true }
static const struct row {
    const char *name;
    int expression;
    exact_of *exact;
    double least, most; /* where half of the arguments lie */
    double allowed[3];  /* float32, float64, float64 without fused multiply-adds */
    bool inside;        /* no arguments but those */
} rows[] = {
    ROW(exp, -20, 20, 4, 1.5),
    ROW(exp2, -20, 20, 4, 1.5),
    ROW(expm1, -5, 5, 4, 1.5),
    ROW(log, 0, 4, 4, 1.5),
    ROW(log1p, -1, 4, 4, 1.5),
    ROW(log2, 0, 4, 4, 1.5),
    ROW(log10, 0, 4, 4, 1.5),
    ROW(sin, -10, 10, 4, 1.5),
    ROW(cos, -10, 10, 4, 1.5),
    ROW(tan, -10, 10, 4, 1.5),
    ROW(asin, -1, 1, 4, 1.5),
    ROW(acos, -1, 1, 4, 1.5),
    ROW(atan, -5, 5, 4, 1.5),
    ROW(sinh, -5, 5, 4, 1.5),
    ROW(cosh, -5, 5, 4, 1.5),
    ROW(tanh, -5, 5, 4, 1.5),
    ROW(asinh, -5, 5, 4, 1.5),
    ROW(acosh, 1, 5, 4, 1.5),
    ROW(atanh, -1, 1, 4, 1.5),
    ROW(erf, -4, 4, 4, 1.5),
    ROW(erfc, -4, 10, 4, 1.5),
    ROW(sqrt, 0, 4, 0.5, 0.5),
    ROW(rsqrt, 0, 4, 1.5, 1.5),
    INSIDE_UNFUSED(sigmoid, -87, 87, 4, 1.5, 2.5),
    INSIDE_UNFUSED(silu, -87, 87, 5, 2, 3),
    INSIDE(softplus, -80, 80, 5, 3),
    INSIDE(elu, -80, 80, 4, 1.5),
    INSIDE(logsigmoid, -80, 80, 5, 3),
    INSIDE(gelu_exact, 0, 30, 5, 3),
    INSIDE(mish, -80, 80, 5, 4),
    INSIDE(sinc, -0.5, 0.5, 4, 3),
    INSIDE(erfinv, -0.75, 0.75, 4, 3),
    ROW(pow, 0, 10, 4, 1.5),
    ROW(atan2, -5, 5, 4, 1.5),
    ROW(hypot, -5, 5, 4, 1.5),
    INSIDE(logaddexp, 0, 30, 4, 1.5),
    INSIDE(xlogy, 0, 10, 6, 2),
};
/* clang-format on */
enum { N_ROWS = sizeof rows / sizeof *rows, N = 40000 };

static uint64_t state = 88172645463325252u;
static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static const double special[] = {
    0,
    -0.0,
    1,
    -1,
    0.5,
    -0.5,
    2,
    -2,
    INFINITY,
    -INFINITY,
    NAN,
    1e5,
    -1e5,
    1e30,
    -1e30,
    1e-30,
    -1e-30,
    88.7,
    -88.7,
    103.9,
    -103.9,
    709.7,
    710,
    -709.7,
    -745.1,
    -746,
    89.4,
    -89.4,
    710.4,
    -710.4,
    1e154,
    1.5e154,
    -1.5e154,
    1e300,
    -1e300,
    1e-300,
    -1e-300,
    5e-324,
    -5e-324,
    1e-45,
    -1e-45,
    1e-40,
    -1e-40,
    1e-310,
    3.14159265358979,
    1.5707963267948966,
    0.99999999,
    -0.99999999,
    1.00000001,
    127.99,
    -149.5,
    1023.9,
    -1074.9,
    26.5,
    9.2,
};
enum { N_SPECIAL = sizeof special / sizeof *special };

/* Argument number i. */
static double argument(const struct row *r, int i, int dtype, bool second)
{
    if (i < N_SPECIAL * N_SPECIAL && !r->inside) {
        int k = second ? i / N_SPECIAL : i % N_SPECIAL;
        return dtype == 0 ? (float)special[k] : special[k];
    }
    if (i % 2 || r->inside) {
        double x = r->least + (r->most - r->least) * (double)(draw() >> 11) * 0x1p-53;
        return dtype == 0 ? (float)x : x;
    }
    uint64_t bits = draw();
    if (dtype == 0) {
        float x;
        uint32_t b = (uint32_t)(bits >> 32);
        memcpy(&x, &b, sizeof x);
        return x;
    }
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* How many units in the last place of the type `got` is from `exact`. */
static double units(double got, long double exact, int dtype)
{
    const int digits = dtype == 0 ? FLT_MANT_DIG : DBL_MANT_DIG, lowest = (dtype == 0 ? FLT_MIN_EXP : DBL_MIN_EXP) - 1;
    const long double largest = dtype == 0 ? FLT_MAX : DBL_MAX;
    if (isnan(exact) || isnan(got)) return isnan(exact) && isnan(got) ? 0 : INFINITY;
    if (isinf(got) && fabsl(exact) >= largest) return (got > 0) == (exact > 0) ? 0 : INFINITY;
    if (isinf(exact) && fabs(got) >= (double)largest) return (got > 0) == (exact > 0) ? 0.5 : INFINITY;
    if (isinf(exact) || isinf(got)) return INFINITY;
    if (exact == 0) return got == 0 && (signbit(got) != 0) == (signbit(exact) != 0) ? 0 : INFINITY;
    int exponent = ilogbl(exact);
    if (exponent < lowest) exponent = lowest;
    return (double)(fabsl(got - exact) / ldexpl(1, exponent - digits + 1));
}

static void measure(int isa, int dtype, const struct row *r)
{
    static float f[2][N], yf[N];
    static double d[2][N], yd[N];
    const double options[AG_ROW_MAX_OPTIONS] = { 1, r->expression == AG_EXPRESSION_softplus_value ? 20 : 1, 1 };
    const void *in[AG_N_OPERANDS];
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 2; k++) f[k][i] = (float)(d[k][i] = argument(r, i, dtype, k == 1));
    for (int k = 0; k < AG_N_OPERANDS; k++) in[k] = dtype == 0 ? (void *)f[k == IN_B] : (void *)d[k == IN_B];
    ag__pointwise_tables[isa]->at[r->expression][dtype](N, dtype == 0 ? (void *)yf : (void *)yd, in, options);
    double most = 0, allowed = r->allowed[dtype == 1 && isa == AG_ISA_BASELINE ? 2 : dtype];
    int at = 0;
#if !defined(AG_HAVE_SLEEF)
    if (dtype == 1) allowed = fmax(allowed, 4);
#endif
    for (int i = 0; i < N; i++) {
        double u = units(dtype == 0 ? (double)yf[i] : yd[i], r->exact(d[0][i], d[1][i]), dtype);
        if (u > most) most = u, at = i;
    }
    const char *type = dtype == 0 ? "float32" : "float64", *set = ag__isa_name((ag__isa)isa);
    double got = dtype == 0 ? (double)yf[at] : yd[at];
    if (getenv("ULP_SHOW"))
        printf("%-12s %-8s %-8s %6.3f at %.17g, %.17g: %.17g, not %.20Lg\n", r->name, type, set, most, d[0][at],
               d[1][at], got, r->exact(d[0][at], d[1][at]));
    else
        ck_assert_msg(most <= allowed, "%s, %s, %s: %.3f units at %.17g, %.17g: %.17g, not %.20Lg", r->name, type, set,
                      most, d[0][at], d[1][at], got, r->exact(d[0][at], d[1][at]));
}

START_TEST(no_value_is_further_from_the_truth_than_the_table_says)
{
    if (LDBL_MANT_DIG < DBL_MANT_DIG + 8) return;
    for (int isa = 0; isa < AG_N_ISAS && ag__set_cpu_capability((ag__isa)isa); isa++)
        for (int i = 0; i < N_ROWS; i++)
            for (int dtype = 0; dtype < 2; dtype++) measure(isa, dtype, &rows[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pointwise accuracy");
    TCase *tests = tcase_create("accuracy");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, no_value_is_further_from_the_truth_than_the_table_says);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
