/* test_reduce.c - reductions: what PyTorch's do, on every instruction set, with any strides and any number of threads.
 */
#include "op_cases.h"
#include "ops/cpu/isa.h"
#include "support.h"

#define EACH_ISA(isa)                         \
    for (int isa = 0; isa < AG_N_ISAS; isa++) \
        if (ag__set_cpu_capability((ag__isa)isa))

START_TEST(reductions_do_what_pytorchs_do) { EACH_ISA(isa) replay("reduce"); }
END_TEST

START_TEST(every_reduction_can_be_called_directly)
{
    Variable *x = ag_tensor(((double[]){ 1, 5, 3, 4, 2, 6 }), AG_SHAPE(2, 3));
    VALUES(ag_sum(x), 21);
    VALUES(ag_sum(x, 0), 5, 7, 9);
    SHAPE(ag_sum(x, .dim = AG_DIMS(0, 1), .keepdim = true), 1, 1);
    OK(ag_dtype_of(ag_sum(x, .dtype = AG_FLOAT32)) == AG_FLOAT32);
    VALUES(ag_mean(x, 1), 3, 4);
    VALUES(ag_prod(x), 720);
    VALUES(ag_prod(x, -1), 15, 48);
    VALUES(ag_sum_to_size(x, AG_SHAPE(1, 3)), 5, 7, 9);
    OK(ag_sum_to_size(x, AG_SHAPE(2, 3)) == x);
    VALUES(ag_max(x), 6);
    VALUES(ag_min(x), 1);
    VALUES(ag_amax(x, 0), 4, 5, 6);
    VALUES(ag_amin(x, AG_DIMS(0, 1)), 1);
    VALUES(ag_max_dim(x, 1).values, 5, 6);
    VALUES(ag_max_dim(x, 1).indices, 1, 2);
    VALUES(ag_min_dim(x, 0, .keepdim = true).indices, 0, 1, 0);
    VALUES(ag_argmax(x), 5);
    VALUES(ag_argmin(x, 1), 0, 1);
    VALUES(ag_any(ag_zeros_like(x)), 0);
    VALUES(ag_all(x, 0), 1, 1, 1);
    VALUES(ag_logsumexp(ag_zeros(AG_SHAPE(2, 4), .dtype = AG_FLOAT64), 1), log(4), log(4));
    ag_values_indices none = ag_max_dim(x, 5);
    ck_assert(!none.values && !none.indices);
    ag_clear_error();
}
END_TEST

START_TEST(which_element_is_greatest_has_no_gradient_but_its_value_has)
{
    Variable *x = LEAF(AG_SHAPE(2, 2), 1, 3, 3, 3);
    ag_values_indices top = ag_max_dim(x, 1);
    OK(!ag_requires_grad(top.indices) && ag_requires_grad(top.values) && !ag_requires_grad(ag_argmax(x)));
    OK(ag_backward(ag_sum(top.values)));
    VALUES(ag_grad(x), 0, 1, 1, 0);
    OK(ag_set_grad(x, AG_NONE));
    OK(ag_backward(ag_max(x)));
    VALUES(ag_grad(x), 0, 1. / 3, 1. / 3, 1. / 3);
    OK(ag_set_grad(x, AG_NONE));
    OK(ag_backward(ag_sum(ag_amax(x, 1))));
    VALUES(ag_grad(x), 0, 1, 0.5, 0.5);
}
END_TEST

/* ---- against plain loops ---- */

typedef struct folds {
    double sum, lost, magnitude; /* of the elements: rounded, and what the rounding lost; of their absolute values */
    double most, least;
    int64_t at_most, at_least, n;
} folds;
static void fold_in(folds *f, double v, int64_t at)
{
    if (!f->n++)
        *f = (folds){ 0, 0, 0, v, v, at, at, 1 };
    else {
        if (v > f->most || (isnan(v) && !isnan(f->most))) f->most = v, f->at_most = at;
        if (v < f->least || (isnan(v) && !isnan(f->least))) f->least = v, f->at_least = at;
    }
    double sum = f->sum + v;
    f->lost += fabs(f->sum) >= fabs(v) ? f->sum - sum + v : v - sum + f->sum;
    f->sum = sum;
    f->magnitude += fabs(v);
}
static double sum_of(const folds *f) { return isfinite(f->sum) ? f->sum + f->lost : f->sum; }

static bool same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

/* Every kept index's elements folded one by one. */
static void check_folds(Variable *x, ag_dims dims, uint32_t mask, bool one, int64_t dim, double tolerance)
{
    Variable *sum = ag_sum(x, dims, true), *most = ag_amax(x, dims, true), *least = ag_amin(x, dims, true);
    ag_values_indices top = { NULL, NULL }, bottom = { NULL, NULL };
    if (one) top = ag_max_dim(x, dim, true), bottom = ag_min_dim(x, dim, true);
    OK(sum && most && least);
    Shape size = ag_shape(x), left = ag_shape(sum);
    int64_t n = ag_numel(sum);
    folds *f = calloc((size_t)n, sizeof *f);
    for (int64_t i = 0; i < ag_numel(x); i++) {
        int64_t rest = i, out = 0, step = 1, at = 0;
        for (int64_t d = size.n; d--; rest /= size.at[d]) {
            if (!(mask >> d & 1)) out += rest % size.at[d] * step;
            if (d == dim) at = rest % size.at[d];
            step *= left.at[d];
        }
        fold_in(&f[out], support_at(x, i), at);
    }
    for (int64_t k = 0; k < n; k++) {
        ck_assert_msg(fabs(support_at(sum, k) - sum_of(&f[k])) <= tolerance * f[k].magnitude,
                      "sum %lld is %.17g, not %.17g", (long long)k, support_at(sum, k), sum_of(&f[k]));
        ck_assert(same(support_at(most, k), f[k].most) && same(support_at(least, k), f[k].least));
        if (!one) continue;
        ck_assert(same(support_at(top.values, k), f[k].most) && same(support_at(bottom.values, k), f[k].least));
        ck_assert_int_eq((int64_t)support_at(top.indices, k), f[k].at_most);
        ck_assert_int_eq((int64_t)support_at(bottom.indices, k), f[k].at_least);
    }
    free(f);
}

/* Shapes that meet every way there is: short and long rows, tiles with and without a rest, pieces, gathered rows. */
START_TEST(any_shape_and_layout_agrees_with_a_plain_loop_on_every_instruction_set)
{
    static const int64_t shapes[][3] = { { 1, 1, 1 },    { 3, 5, 7 },    { 2, 40, 3 },  { 70, 3, 2 },   { 1, 1100, 2 },
                                         { 2, 3, 1100 }, { 33, 130, 1 }, { 4, 4, 131 }, { 300, 1, 18 }, { 5, 31, 33 } };
    static const ag_dtype types[] = { AG_FLOAT32, AG_FLOAT64, AG_INT64, AG_INT32, AG_UINT8 };
    EACH_ISA(isa)
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++)
            for (int layout = 0; layout < 4; layout++) {
                AG_SCOPE;
                const int64_t *n = shapes[s];
                Variable *x = ag_to(support_random(AG_SHAPE(n[0], n[1], n[2]), t < 2 ? -50 : 0, 100),
                                    .dtype = types[t]);
                if (layout == 1) x = ag_contiguous(x, AG_BATCH_LAST);
                if (layout == 2) x = ag_permute(ag_contiguous(ag_permute(x, AG_SHAPE(0, 2, 1))), AG_SHAPE(0, 2, 1));
                if (layout == 3) x = ag_slice(ag_stack(AG_LIST(x, x), 3), 3, 0, 1), x = ag_squeeze(x, 3);
                double tolerance = types[t] == AG_FLOAT32 ? 5e-7 : 1e-15;
                for (int d = 0; d < 3; d++) check_folds(x, d, 1u << d, true, d, tolerance);
                check_folds(x, AG_DIMS(0, 2), 5, false, -1, tolerance);
                check_folds(x, AG_DIMS(1, 2), 6, false, -1, tolerance);
                check_folds(x, AG_ALL, 7, false, -1, tolerance);
            }
}
END_TEST

START_TEST(nan_and_ties_are_found_first_wherever_they_are)
{
    EACH_ISA(isa)
    for (int64_t n = 1; n < 80; n += 3)
        for (int64_t at = 0; at < n; at += 5) {
            AG_SCOPE;
            Variable *x = ag_zeros(AG_SHAPE(n)), *wide = ag_zeros(AG_SHAPE(n, 5));
            ((float *)ag_data_mutable(x))[at] = NAN;
            OK(ag_fill_(ag_select(wide, 0, at), 2));
            ck_assert_int_eq(ag_item_int64(ag_argmax(x)), at);
            ck_assert_int_eq(ag_item_int64(ag_argmin(x)), at);
            ck_assert(isnan(ag_item(ag_max(x))) && isnan(ag_item(ag_min(x))));
            ck_assert_int_eq((int64_t)support_at(ag_argmax(wide, 0), 3), at);
            ck_assert_int_eq(ag_item_int64(ag_argmax(ag_zeros(AG_SHAPE(n)))), 0);
            ck_assert_int_eq(ag_item_int64(ag_argmax(wide)), 5 * at);
        }
}
END_TEST

/* Few values, NaN and infinities among them, in rows of every length that is treated in its own way. */
START_TEST(extremes_of_rows_with_nan_infinities_and_ties_are_those_of_a_plain_loop)
{
    static const double special[] = { 0, 1, 2, 2, -1, INFINITY, -INFINITY, NAN };
    enum { ROWS = 67 };
    EACH_ISA(isa)
    for (int64_t n = 1; n < 300; n += n < 40 ? 1 : 61)
        for (int kinds = 5; kinds <= 8; kinds++)
            for (int type = 0; type < 2; type++) {
                AG_SCOPE;
                Variable *x = ag_to(ag_randint(0, kinds, AG_SHAPE(ROWS, n)), .dtype = type ? AG_FLOAT64 : AG_FLOAT32);
                for (int64_t i = 0; i < ROWS * n; i++) {
                    double v = special[(int)support_at(x, i)];
                    if (type)
                        ((double *)ag_data_mutable(x))[i] = v;
                    else
                        ((float *)ag_data_mutable(x))[i] = (float)v;
                }
                ag_values_indices top = ag_max_dim(x, 1), bottom = ag_min_dim(x, 1);
                Variable *most = ag_amax(x, 1), *least = ag_amin(x, 1);
                OK(top.values && bottom.values && most && least);
                Variable *turned = ag_contiguous(ag_t(x)); /* the same rows, as columns */
                ck_assert(ag_equal(ag_max_dim(turned, 0).indices, top.indices));
                ck_assert(ag_equal(ag_min_dim(turned, 0).indices, bottom.indices));
                for (int64_t row = 0; row < ROWS; row++) {
                    folds f = { .n = 0 };
                    for (int64_t i = 0; i < n; i++) fold_in(&f, support_at(x, row * n + i), i);
                    ck_assert(same(support_at(most, row), f.most) && same(support_at(least, row), f.least));
                    ck_assert(same(support_at(top.values, row), f.most) &&
                              same(support_at(bottom.values, row), f.least));
                    ck_assert_int_eq((int64_t)support_at(top.indices, row), f.at_most);
                    ck_assert_int_eq((int64_t)support_at(bottom.indices, row), f.at_least);
                }
            }
}
END_TEST

START_TEST(variances_of_columns_are_those_of_rows)
{
    static const int64_t shapes[][3] = { { 1, 40, 17 }, { 3, 9, 8 }, { 2, 1, 30 }, { 5, 700, 9 }, { 4, 3, 5 } };
    EACH_ISA(isa)
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int correction = 0; correction < 3; correction++) {
            AG_SCOPE;
            const int64_t *n = shapes[s];
            Variable *x = support_random(AG_SHAPE(n[0], n[1], n[2]), 5, 9),
                     *turned = ag_contiguous(ag_permute(x, AG_SHAPE(0, 2, 1)));
            ck_assert(ag_allclose(ag_var(x, .dim = 1, .correction = correction),
                                  ag_var(turned, .dim = 2, .correction = correction), 1e-13, 0, .equal_nan = true));
            ck_assert(ag_allclose(
                ag_std(x, .dim = 1, .correction = correction, .keepdim = true),
                ag_permute(ag_std(turned, .dim = 2, .correction = correction, .keepdim = true), AG_SHAPE(0, 2, 1)),
                1e-13, 0, .equal_nan = true));
            ck_assert(ag_allclose(ag_var(x, .dim = AG_DIMS(0, 1)),
                                  ag_var(ag_contiguous(ag_permute(x, AG_SHAPE(2, 0, 1))), .dim = AG_DIMS(1, 2)), 1e-13,
                                  0));
        }
}
END_TEST

/* PyTorch's own errors here are 4.5e-7, 6.4e-7 (of the columns) and 2.9e-7 (of the strided sum); adding one by one is
 * wrong by 9 %. */
START_TEST(a_long_float32_sum_keeps_its_digits)
{
    int64_t n = 10000000;
    Variable *x = ag_full(AG_SHAPE(n), 0.1);
    double wants = (double)n * (double)0.1f;
    EACH_ISA(isa)
    {
        AG_SCOPE;
        ck_assert(fabs(ag_item(ag_sum(x)) - wants) < 8e-7 * wants);
        ck_assert(fabs(ag_item(ag_mean(x)) - (double)0.1f) < 8e-8);
        ck_assert(fabs(support_at(ag_sum(ag_view(x, AG_SHAPE(-1, 8)), 0), 3) - wants / 8) < 8e-7 * wants / 8);
        ck_assert(fabs(ag_item(ag_sum(ag_slice(x, 0, .end = 9999999, .step = 3))) - wants * 0.3333333) <
                  8e-7 * wants / 3);
    }
}
END_TEST

/* The bytes of reductions of several shapes, one after another. */
static size_t all_bits(char *bits)
{
    static const int64_t shapes[][2] = { { 1, 1000003 }, { 1000003, 1 }, { 3, 400000 },
                                         { 400000, 3 },  { 1000, 700 },  { 70, 9001 } };
    size_t used = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        AG_SCOPE;
        Variable *x = ag_sin(
            ag_float(ag_view(ag_arange((double)(shapes[s][0] * shapes[s][1])), AG_SHAPE(shapes[s][0], shapes[s][1]))));
        Variable *results[] = { ag_sum(x),    ag_sum(x, 0),   ag_sum(x, 1), ag_mean(x, 1), ag_max_dim(x, 0).values,
                                ag_argmax(x), ag_argmin(x, 0) };
        for (size_t k = 0; k < sizeof results / sizeof *results; k++) {
            OK(results[k]);
            size_t bytes = (size_t)ag_numel(results[k]) * ag_dtype_size(ag_dtype_of(results[k]));
            if (bytes > 65536) bytes = 65536;
            memcpy(bits + used, ag_data(results[k]), bytes);
            used += bytes;
        }
    }
    return used;
}
START_TEST(the_number_of_threads_does_not_change_a_bit)
{
    static const int counts[] = { 1, 2, 3, 16 };
    int before = ag_get_num_threads();
    char *first = malloc(6 << 20), *other = malloc(6 << 20);
    size_t n = 0;
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        OK(ag_set_num_threads(counts[k]));
        size_t m = all_bits(k ? other : first);
        if (!k) n = m;
        ck_assert(m == n && (!k || memcmp(first, other, n) == 0));
    }
    OK(ag_set_num_threads(before));
    free(first);
    free(other);
}
END_TEST

static int many(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    y[0] = ag_mul(ag_sum(x[0], 1), ag_mean(x[0], AG_DIMS(1)));
    y[1] = ag_prod(x[0], 1);
    y[2] = ag_logsumexp(x[0], AG_DIMS(0, 1));
    y[3] = ag_mul(ag_amax(x[0], 0), ag_min_dim(x[0], 0).values);
    y[4] = ag_mul(ag_sum_to_size(x[0], AG_SHAPE(1, 4)), ag_max(x[0]));
    return 5;
}
START_TEST(gradients_of_reductions_are_right_to_the_second_order)
{
    Variable *x = ag_requires_grad_(support_random(AG_SHAPE(3, 4), -1, 1));
    OK(ag_gradcheck(many, AG_LIST(x)));
    OK(ag_gradgradcheck(many, AG_LIST(x)));
}
END_TEST

SUPPORT_MAIN("reduce", reductions_do_what_pytorchs_do, every_reduction_can_be_called_directly,
             which_element_is_greatest_has_no_gradient_but_its_value_has,
             any_shape_and_layout_agrees_with_a_plain_loop_on_every_instruction_set,
             nan_and_ties_are_found_first_wherever_they_are,
             extremes_of_rows_with_nan_infinities_and_ties_are_those_of_a_plain_loop,
             variances_of_columns_are_those_of_rows, a_long_float32_sum_keeps_its_digits,
             the_number_of_threads_does_not_change_a_bit, gradients_of_reductions_are_right_to_the_second_order)
