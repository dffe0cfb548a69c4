/* test_pointwise_loops.c - the rows' loops over registers, for every instruction set that this machine has, against the
 * same rows as plain loops: the same bits in float64 where no function is called, else (exp and the like are other
 * libraries', test_pointwise_accuracy.c holds those to the truth) within a few units in the last place. */
#include "ops/cpu/isa.h"
#include "ops/cpu/pointwise_reference.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

AG_ISA_TABLES(ag__pointwise_loops, ag__pointwise)
AG_ISA_TABLES_NARROW(ag__integer_loops, ag__pointwise_integer)

static const struct {
    const char *name;
    bool is_test;
    const char *text;
} expressions[AG_N_EXPRESSIONS] = {
#define VALUE(op, integers, LIST, v)    { #op, false, #v },
#define VALUE_IS(op, integers, LIST, v) { #op, true, #v },
#define DERIVATIVE(op, part, LIST, v)   { #op "'s " #part, false, #v },
#include "ops/pointwise.def"
};

enum { N = 4096, MARGIN = 64, ROOM = N + MARGIN };
static const double options[AG_ROW_MAX_OPTIONS] = { 0.7, 1.3, 1 };
static float f[AG_N_OPERANDS][ROOM];
static double d[AG_N_OPERANDS][ROOM];
static bool m[ROOM];
static const void *in32[AG_N_OPERANDS], *in64[AG_N_OPERANDS];

static uint64_t state = 88172645463325252u;
static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}
static double uniform(void) { return (double)(draw() >> 11) * 0x1p-53; }

/* Both signs and several magnitudes, then each special number with each other one. */
static void fill(void)
{
    static const float special[12] = { 0, -0.0f, INFINITY, -INFINITY, NAN, 100, -100, 1e-40f, 1, -1, 0.5f, 2 };
    for (int k = 0; k < AG_N_OPERANDS; k++) {
        for (int i = 0; i < ROOM; i++) f[k][i] = (float)((draw() & 1 ? 1 : -1) * exp(uniform() * 8 - 4));
        for (int i = 0; i < 144; i++) f[k][i + 300] = special[k % 2 ? i / 12 : i % 12];
        for (int i = 0; i < ROOM; i++) d[k][i] = f[k][i];
        in32[k] = f[k];
        in64[k] = d[k];
    }
    for (int i = 0; i < ROOM; i++) m[i] = draw() & 1;
    in32[IN_M] = in64[IN_M] = m;
}

static int n_isas(void)
{
    int n = 0;
    while (n < AG_N_ISAS && ag__set_cpu_capability((ag__isa)n)) n++;
    return n;
}

/* gelu, silu, mish, logaddexp, cross entropy and the gradient of sinc subtract what is nearly equal: they are as good
 * as their terms.
 */
static double terms_of(int e, int i)
{
    double x = fabs((double)f[IN_A][i]), g = fabs((double)f[IN_G][i]);
    if (e == AG_EXPRESSION_gelu_exact_value || e == AG_EXPRESSION_gelu_tanh_value) return x;
    if (e == AG_EXPRESSION_gelu_tanh_dA) return g * (1 + x * x * x);
    if (e == AG_EXPRESSION_gelu_exact_dA || e == AG_EXPRESSION_silu_dA || e == AG_EXPRESSION_mish_dA)
        return g * (1 + x);
    if (e == AG_EXPRESSION_sinc_dA) return g / x;
    if (e == AG_EXPRESSION_logaddexp_value || e == AG_EXPRESSION_logaddexp2_value) return x + fabs((double)f[IN_B][i]);
    double b = (double)f[IN_B][i], c = fabs((double)f[IN_C][i]);
    if (e == AG_EXPRESSION_cross_entropy_of_two_value)
        return (1 + fabs(b)) * (fmin(100, fabs(log((double)f[IN_A][i]))) + fmin(100, fabs(log1p(-(double)f[IN_A][i]))));
    if (e == AG_EXPRESSION_cross_entropy_slope_dB)
        return g * x * (b * b + 2 * fabs(b) * c + c) / (b * b * (1 - b) * (1 - b));
    return 0;
}

static bool calls_a_function(int e)
{
    static const char *const names[] = { "exp", "log", "sin", "cos", "tan", "erf", "pow", "hypot", "sigmoid" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(expressions[e].text, names[i])) return true;
    return false;
}

static void compare(int e, int isa, int64_t n)
{
    static float want[ROOM], got[ROOM];
    static double want64[ROOM], got64[ROOM];
    const char *name = expressions[e].name, *set = ag__isa_name((ag__isa)isa);
    const bool calls = calls_a_function(e);
    memset(want, 1, sizeof want);
    memset(want64, 1, sizeof want64);
    memcpy(got, want, sizeof got);
    memcpy(got64, want64, sizeof got64);
    ag__pointwise_reference.at[e][0](n, want, in32, options);
    ag__pointwise_reference.at[e][1](n, want64, in64, options);
    ag__pointwise_tables[isa]->at[e][0](n, got, in32, options);
    ag__pointwise_tables[isa]->at[e][1](n, got64, in64, options);
    if (expressions[e].is_test) {
        ck_assert_msg(!memcmp(want, got, sizeof want) && !memcmp(want64, got64, sizeof want64), "%s, %s, %d elements",
                      name, set, (int)n);
        return;
    }
    ck_assert_msg(!memcmp(want + n, got + n, (size_t)(ROOM - n) * sizeof *got) &&
                      !memcmp(want64 + n, got64 + n, (size_t)(ROOM - n) * sizeof *got64),
                  "%s, %s, %d elements: wrote past the end", name, set, (int)n);
    for (int i = 0; i < n; i++) {
        float a = got[i], b = want[i];
        /* the gradients of erf and erfc multiply the last unit of an exp that may be subnormal */
        bool multiplied = e == AG_EXPRESSION_erf_dA || e == AG_EXPRESSION_erfc_dA;
        double units = multiplied ? 1 + 2 * fabs((double)f[IN_G][i]) : 1;
        double most = 4 * 0x1p-23 * (fabs((double)b) + terms_of(e, i)) + units * 0x1p-149;
        bool close = (isnan(a) && isnan(b)) || a == b || fabs((double)a - b) <= most;
        bool same = (isnan(got64[i]) && isnan(want64[i])) || !memcmp(&got64[i], &want64[i], sizeof(double));
        if (calls) /* libm's erfc is 3 units off, too */
            same |= got64[i] == want64[i] ||
                    fabs(got64[i] - want64[i]) <= 6 * 0x1p-52 * (fabs(want64[i]) + terms_of(e, i)) + 0x1p-1072;
        if (!close)
            ck_abort_msg("%s, %s, float32: %.9g, not %.9g (a %g, b %g, c %g, y %g, g %g)", name, set, (double)a,
                         (double)b, (double)f[IN_A][i], (double)f[IN_B][i], (double)f[IN_C][i], (double)f[IN_Y][i],
                         (double)f[IN_G][i]);
        if (!same)
            ck_abort_msg("%s, %s, float64: %.17g, not %.17g (a %g, b %g, c %g, y %g, g %g)", name, set, got64[i],
                         want64[i], d[IN_A][i], d[IN_B][i], d[IN_C][i], d[IN_Y][i], d[IN_G][i]);
    }
}

START_TEST(registers_give_what_plain_loops_give_and_write_nothing_else)
{
    fill();
    for (int isa = 0, isas = n_isas(); isa < isas; isa++)
        for (int e = 0; e < AG_N_EXPRESSIONS; e++) {
            for (int n = 0; n < 36; n++) compare(e, isa, n);
            compare(e, isa, N);
        }
}
END_TEST

START_TEST(the_bits_of_an_element_do_not_depend_on_where_it_stands)
{
    enum { SHIFT = 5, LENGTH = 459 };
    fill();
    for (int isa = 0, isas = n_isas(); isa < isas; isa++)
        for (int e = 0; e < AG_N_EXPRESSIONS; e++) {
            static double whole[ROOM], part[ROOM];
            for (int dtype = 0; dtype < 2; dtype++) {
                const void *shifted[AG_N_OPERANDS];
                size_t item = dtype ? sizeof(double) : sizeof(float);
                for (int k = 0; k < AG_N_OPERANDS; k++)
                    shifted[k] = (dtype ? (char *)d[k] : (char *)f[k]) + SHIFT * item;
                shifted[IN_M] = m + SHIFT;
                ag__loop *loop = ag__pointwise_tables[isa]->at[e][dtype];
                loop(LENGTH + SHIFT, whole, dtype ? in64 : in32, options);
                loop(LENGTH, part, shifted, options);
                if (expressions[e].is_test) item = 1;
                ck_assert_msg(!memcmp((char *)whole + SHIFT * item, part, LENGTH * item), "%s, %s", expressions[e].name,
                              ag__isa_name((ag__isa)isa));
            }
        }
}
END_TEST

START_TEST(the_result_may_be_written_over_any_operand)
{
    enum { LENGTH = 459 };
    fill();
    for (int isa = 0, isas = n_isas(); isa < isas; isa++)
        for (int e = 0; e < AG_N_EXPRESSIONS; e++)
            for (int k = 0; k < AG_N_OPERANDS && !expressions[e].is_test; k++) {
                static float fresh[ROOM], over[ROOM];
                const void *in[AG_N_OPERANDS];
                if (k == IN_M) continue;
                memcpy(in, in32, sizeof in);
                memcpy(over, f[k], sizeof over);
                in[k] = over;
                ag__pointwise_tables[isa]->at[e][0](LENGTH, fresh, in32, options);
                ag__pointwise_tables[isa]->at[e][0](LENGTH, over, in, options);
                ck_assert_msg(!memcmp(fresh, over, LENGTH * sizeof(float)), "%s, %s, operand %d", expressions[e].name,
                              ag__isa_name((ag__isa)isa), k);
            }
}
END_TEST

START_TEST(integer_loops_agree_between_instruction_sets)
{
    static char in_bytes[4][ROOM * 8], want[ROOM * 8], got[ROOM * 8], zeros[ROOM * 8];
    static const size_t item[] = { 8, 4, 1, 1 };
    const double whole[AG_ROW_MAX_OPTIONS] = { 2, 3, 1 };
    const void *in[AG_N_OPERANDS] = { in_bytes[0], in_bytes[1], in_bytes[2], in_bytes[3], in_bytes[0], in_bytes[0] };
    int rows = 0;
    for (int type = 0; type < 4; type++) {
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < ROOM * 8; i++)
                in_bytes[k][i] = (char)(type == 3 || k == IN_M ? draw() & 1 : draw() % 5 ? draw() : 0);
        for (int e = 0; e < AG_N_EXPRESSIONS; e++) {
            if (!ag__pointwise_integer_baseline.at[e][type]) continue;
            rows++;
            for (int isa = 1, isas = n_isas(); isa < isas; isa++)
                for (int64_t n = 0; n < 300; n += n < 40 ? 1 : 37) {
                    memset(want, 0, sizeof want);
                    memset(got, 0, sizeof got);
                    ag__pointwise_integer_baseline.at[e][type](n, want, in, whole);
                    ag__pointwise_integer_tables[isa]->at[e][type](n, got, in, whole);
                    ck_assert_msg(!memcmp(want, got, sizeof want), "%s, %s, type %d, %d elements", expressions[e].name,
                                  ag__isa_name((ag__isa)isa), type, (int)n);
                    size_t used = (size_t)n * (expressions[e].is_test ? 1 : item[type]);
                    ck_assert_msg(!memcmp(got + used, zeros, sizeof got - used), "%s, type %d: wrote past the end",
                                  expressions[e].name, type);
                }
        }
    }
    ck_assert_int_gt(rows, 80);
}
END_TEST

/* Near the square of what lies between two numbers, and near squares, an error of the least kind shows. */
START_TEST(square_roots_are_rounded_correctly)
{
    static double x[N], got[N];
    for (int isa = 0; isa < n_isas(); isa++)
        for (int round = 0; round < 50; round++) {
            const void *in[AG_N_OPERANDS] = { x, x, x, m, x, x };
            for (int i = 0; i < N; i++) {
                const double root = 1 + uniform();
                long double square = (long double)root + 0x1p-53L * (i % 2);
                square *= square;
                x[i] = ldexp((double)square, 2 * (int)(draw() % 1000) - 1000);
                if (draw() % 2) x[i] = nextafter(x[i], draw() % 2 ? 0 : INFINITY);
            }
            ag__pointwise_tables[isa]->at[AG_EXPRESSION_sqrt_value][1](N, got, in, options);
            for (int i = 0; i < N; i++)
                ck_assert_msg(got[i] == sqrt(x[i]), "sqrt, %s: of %a %a, not %a", ag__isa_name((ag__isa)isa), x[i],
                              got[i], sqrt(x[i]));
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pointwise loops");
    TCase *tests = tcase_create("loops");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, registers_give_what_plain_loops_give_and_write_nothing_else);
    tcase_add_test(tests, the_bits_of_an_element_do_not_depend_on_where_it_stands);
    tcase_add_test(tests, the_result_may_be_written_over_any_operand);
    tcase_add_test(tests, square_roots_are_rounded_correctly);
    tcase_add_test(tests, integer_loops_agree_between_instruction_sets);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
