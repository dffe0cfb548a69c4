/* test_autograd_values.c - what PyTorch's test_autograd.py asserts of single gradients (docs/test-autograd.md): at
 * kinks, ends and poles, of repeated indices, of gradients without memory of their own. */
#include "support.h"

#define FLOATS(...) ag_tensor(((double[]){ __VA_ARGS__ }), AG_SHAPE(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)))

/* ---- where a derivative has a choice: PyTorch's ---- */

static Variable *zeros_beside(Variable *x) { return ag_zeros_like(ag_detach(x)); }
static Variable *to_zeros(Variable *x) { return ag_pow(x, zeros_beside(x)); }
static Variable *to_zero(Variable *x) { return ag_pow(x, ag_scalar(0)); }
static Variable *to_two(Variable *x) { return ag_pow(x, ag_scalar(2)); }
static Variable *to_these(Variable *x) { return ag_pow(x, FLOATS(2, 1, 0.5)); }
static Variable *zeros_to(Variable *x) { return ag_pow(zeros_beside(x), x); }
static Variable *zero_to(Variable *x) { return ag_pow(ag_scalar(0), x); }
static Variable *two_to(Variable *x) { return ag_pow(ag_scalar(2), x); }
static Variable *clamped(Variable *x) { return ag_clamp(x, -1, 1); }
static Variable *clamped_between(Variable *x) { return ag_clamp_tensor(x, .min = FLOATS(0), .max = FLOATS(1)); }
static Variable *product_along(Variable *x) { return ag_prod(x, 0); }
static Variable *product(Variable *x) { return ag_prod(x); }
static Variable *log_sum(Variable *x) { return ag_logsumexp(x, 0); }
static Variable *log_sum_of_two(Variable *x) { return ag_logaddexp(x, ag_detach(x)); }
static Variable *greatest(Variable *x) { return ag_max(x); }
static Variable *greatest_along(Variable *x) { return ag_amax(x, 0); }
static Variable *hypotenuse(Variable *x) { return ag_hypot(x, ag_detach(x)); }
static Variable *angle(Variable *x) { return ag_atan2(x, zeros_beside(x)); }
static Variable *log_where_positive(Variable *x)
{
    return ag_where(ag_gt(x, ag_scalar(0)), ag_log(x), zeros_beside(x));
}
static Variable *masked(Variable *x) { return ag_masked_fill(x, ag_gt(x, ag_scalar(0)), INFINITY); }
static Variable *times_log_zero(Variable *x) { return ag_xlogy(x, zeros_beside(x)); }
static Variable *zero_times_log(Variable *x) { return ag_xlogy(zeros_beside(x), x); }
static Variable *third_of_softmax(Variable *x) { return ag_select(ag_softmax(x, 0), 0, 2); }
static Variable *third_of_log_softmax(Variable *x) { return ag_select(ag_log_softmax(x, 0), 0, 2); }
static Variable *greater_of(Variable *x) { return ag_maximum(x, FLOATS(NAN, 1, 1)); }
static Variable *greater_number_of(Variable *x) { return ag_fmax(x, FLOATS(0, 1, NAN)); }
static Variable *halved(Variable *x) { return ag_div(x, ag_scalar(2), .rounding_mode = "floor"); }
static Variable *norm(Variable *x) { return ag_linalg_vector_norm(x); }
static Variable *norm_1(Variable *x) { return ag_linalg_vector_norm(x, 1); }
static Variable *norm_3(Variable *x) { return ag_linalg_vector_norm(x, 3); }
static Variable *norm_half(Variable *x) { return ag_linalg_vector_norm(x, 0.5); }
static Variable *norm_inf(Variable *x) { return ag_linalg_vector_norm(x, INFINITY); }
static Variable *norm_least(Variable *x) { return ag_linalg_vector_norm(x, -INFINITY); }
static Variable *deviation(Variable *x) { return ag_std(x); }
static Variable *variance(Variable *x) { return ag_var(x); }
static Variable *variance_of_one(Variable *x) { return ag_var(ag_narrow(x, 0, 0, 1)); }
static Variable *products(Variable *x) { return ag_cumprod(x, 0); }
static Variable *nan_sum(Variable *x) { return ag_nansum(x); }
static Variable *nan_mean(Variable *x) { return ag_nanmean(x); }
static Variable *softplus(Variable *x) { return ag_softplus(x); }
static Variable *threshold(Variable *x) { return ag_threshold(x, 0, 0); }
static Variable *leaky(Variable *x) { return ag_leaky_relu(x, 0.1); }
static Variable *hardtanh(Variable *x) { return ag_hardtanh(x); }
static Variable *mean(Variable *x) { return ag_mean(x); }

START_TEST(gradients_at_kinks_poles_and_ends_are_pytorchs)
{
    static const double inf = INFINITY;
    static const struct {
        const char *name;
        Variable *(*f)(Variable *x);
        double x[3], gradient[3];
    } rows[] = {
        { "x^[0]", to_zeros, { 0, 0, 2 }, { 0, 0, 0 } },
        { "x^0", to_zero, { 0, 1, 2 }, { 0, 0, 0 } },
        { "x^2", to_two, { 0, 1, 2 }, { 0, 2, 4 } },
        { "x^[2, 1, 0.5]", to_these, { 0, 0, 0 }, { 0, 1, inf } },
        { "[0]^x", zeros_to, { 2, 0, 1 }, { 0, 0, 0 } },
        { "0^x", zero_to, { 2, 0, 1 }, { 0, 0, 0 } },
        { "2^x", two_to, { 0, 1, 2 }, { M_LN2, 2 * M_LN2, 4 * M_LN2 } },
        { "sinc", ag_sinc, { 0, 1, -1 }, { 0, -1, 1 } },
        { "abs", ag_abs, { 0, 1, -1 }, { 0, 1, -1 } },
        { "sign", ag_sign, { 0, 1, -1 }, { 0, 0, 0 } },
        { "relu", ag_relu, { 0, -0.0, 1 }, { 0, 0, 1 } },
        { "sqrt", ag_sqrt, { 0, 1, 4 }, { inf, 0.5, 0.25 } },
        { "rsqrt", ag_rsqrt, { 0, 1, 4 }, { -inf, -0.5, -0.0625 } },
        { "reciprocal", ag_reciprocal, { 0, 1, 2 }, { -inf, -1, -0.25 } },
        { "log1p", ag_log1p, { -1, 0, 1 }, { inf, 1, 0.5 } },
        { "clamp", clamped, { 0, 1, -1 }, { 1, 1, 1 } },
        { "clamp by tensors", clamped_between, { 0, 1, -1 }, { 1, 1, 0 } },
        { "hardtanh", hardtanh, { 0, 1, -1 }, { 1, 0, 0 } },
        { "relu6", ag_relu6, { 0, 6, 3 }, { 0, 0, 1 } },
        { "threshold", threshold, { 0, 1, -1 }, { 0, 1, 0 } },
        { "leaky_relu", leaky, { 0, 1, -1 }, { 0.1, 1, 0.1 } },
        { "softplus", softplus, { 0, 100, -1000 }, { 0.5, 1, 0 } },
        { "sigmoid", ag_sigmoid, { -1000, 0, 1000 }, { 0, 0.25, 0 } },
        { "tanh", ag_tanh, { -100, 0, 100 }, { 0, 1, 0 } },
        { "prod of one 0", product, { 0, 2, 3 }, { 6, 0, 0 } },
        { "prod of two 0", product, { 0, 0, 3 }, { 0, 0, 0 } },
        { "prod along", product_along, { 0, 2, 3 }, { 6, 0, 0 } },
        { "logsumexp of inf", log_sum, { inf, 1, 0 }, { NAN, 0, 0 } },
        { "logsumexp of -inf", log_sum, { -inf, -inf, -inf }, { NAN, NAN, NAN } },
        { "logsumexp", log_sum, { -inf, 0, 0 }, { 0, 0.5, 0.5 } },
        { "logaddexp", log_sum_of_two, { -inf, inf, 0 }, { NAN, NAN, 0.5 } },
        { "max", greatest, { NAN, 1, NAN }, { 0.5, 0, 0.5 } },
        { "amax", greatest_along, { NAN, 1, NAN }, { NAN, NAN, NAN } },
        { "hypot", hypotenuse, { 0, 1, -1 }, { NAN, M_SQRT1_2, -M_SQRT1_2 } },
        { "atan2", angle, { 0, 1, -1 }, { 0, 0, 0 } },
        { "where", log_where_positive, { 0, 1, 2 }, { NAN, 1, 0.5 } }, /* 0 * inf: as where works */
        { "masked_fill", masked, { 0, 1, -1 }, { 1, 0, 1 } },
        { "xlogy(x, 0)", times_log_zero, { 0, 1, 2 }, { 0, -inf, -inf } },
        { "xlogy(0, x)", zero_times_log, { 0, 1, 2 }, { NAN, 0, 0 } },
        { "softmax", third_of_softmax, { -inf, 0, 0 }, { 0, -0.25, 0.25 } },
        { "log_softmax", third_of_log_softmax, { -inf, 0, 0 }, { 0, -0.5, 0.5 } },
        { "maximum", greater_of, { 0, NAN, 1 }, { 1, 1, 0.5 } },
        { "fmax", greater_number_of, { 0, NAN, 1 }, { 1, 0, 1 } },
        { "div floor", halved, { 0, 1, -1 }, { 0, 0, 0 } },
        { "round", ag_round, { 0, 0.5, 1 }, { 0, 0, 0 } },
        { "frac", ag_frac, { 0, 0.5, 1 }, { 1, 1, 1 } },
        { "norm at 0", norm, { 0, 0, 0 }, { 0, 0, 0 } },
        { "norm", norm, { 3, 4, 0 }, { 0.6, 0.8, 0 } },
        { "norm, 1", norm_1, { 0, 1, -1 }, { 0, 1, -1 } },
        { "norm, 3", norm_3, { 0, 0, 2 }, { 0, 0, 1 } },
        { "norm, 0.5", norm_half, { 0, 1, 1 }, { 0, 2, 2 } },
        { "norm, inf", norm_inf, { 2, -2, 1 }, { 0.5, -0.5, 0 } },
        { "norm, -inf", norm_least, { 2, -2, 3 }, { 0.5, -0.5, 0 } },
        { "std of equals", deviation, { 1, 1, 1 }, { 0, 0, 0 } },
        { "std", deviation, { 1, 2, 3 }, { -0.5, 0, 0.5 } },
        { "var of equals", variance, { 1, 1, 1 }, { 0, 0, 0 } },
        { "var of one", variance_of_one, { 1, 2, 3 }, { NAN, 0, 0 } },
        { "cumprod of one 0", products, { 0, 2, 3 }, { 9, 0, 0 } },
        { "cumprod of two 0", products, { 0, 0, 3 }, { 1, 0, 0 } },
        { "cumprod, 0 inside", products, { 2, 0, 3 }, { 1, 8, 0 } },
        { "nansum", nan_sum, { NAN, 1, 2 }, { 0, 1, 1 } },
        { "nanmean", nan_mean, { NAN, 1, 2 }, { 0, 0.5, 0.5 } },
        { "mean", mean, { 0, 1, -1 }, { 1. / 3, 1. / 3, 1. / 3 } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AG_SCOPE;
        Variable *x = LEAF(AG_SHAPE(3), rows[i].x[0], rows[i].x[1], rows[i].x[2]);
        OK(ag_backward(ag_sum(rows[i].f(x))));
        for (int k = 0; k < 3; k++) {
            double got = support_at(ag_grad(x), k), wanted = rows[i].gradient[k];
            ck_assert_msg(isnan(wanted) ? isnan(got) : got == wanted || fabs(got - wanted) <= 1e-14,
                          "%s: element %d is %g, not %g", rows[i].name, k, got, wanted);
        }
    }
}
END_TEST

/* ---- gradients without memory of their own ---- */

static Variable *of(Variable *y, Variable *x, Variable *grad_output)
{
    Variable *g[1];
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .grad_outputs = AG_LIST(grad_output)));
    return g[0];
}
START_TEST(a_gradient_that_is_expanded_goes_through_selection_slices_and_diagonals)
{
    Variable *x = ag_requires_grad_(support_random(AG_SHAPE(3, 3), -1, 1)), *one = ag_expand(FLOATS(2), AG_SHAPE(3));
    VALUES(of(ag_select(x, 1, 1), x, one), 0, 2, 0, 0, 2, 0, 0, 2, 0);
    VALUES(of(ag_diagonal(x), x, one), 2, 0, 0, 0, 2, 0, 0, 0, 2);
    VALUES(of(ag_slice(x, 0, 1, 3), x, ag_expand(FLOATS(1, 2, 3), AG_SHAPE(2, 3))), 0, 0, 0, 1, 2, 3, 1, 2, 3);
    VALUES(of(ag_t(x), x, ag_expand(FLOATS(1, 2, 3), AG_SHAPE(3, 3))), 1, 1, 1, 2, 2, 2, 3, 3, 3);
    VALUES(of(ag_sum(x, 0), x, one), 2, 2, 2, 2, 2, 2, 2, 2, 2);
    VALUES(of(ag_cumsum(x, 1), x, ag_expand(FLOATS(1, 2, 3), AG_SHAPE(3, 3))), 6, 5, 3, 6, 5, 3, 6, 5, 3);
}
END_TEST

static int times_expanded(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    Variable *vector = ag_expand(x[1], AG_SHAPE(3));
    return y[0] = ag_mv(x[0], vector), y[1] = ag_mm(x[0], ag_expand(ag_unsqueeze(x[1], 0), AG_SHAPE(3, 2))),
           y[2] = ag_dot(vector, vector), 3;
}
static int overlapping_windows(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_as_strided(ag_mul(x[0], x[0]), AG_SHAPE(3, 2), AG_SHAPE(2, 1), 1), 1;
}
START_TEST(what_is_expanded_or_overlaps_is_differentiated_right)
{
    Variable *m = ag_requires_grad_(support_random(AG_SHAPE(3, 3), -1, 1)), *one = LEAF(AG_SHAPE(1), 0.7),
             *x = ag_requires_grad_(support_random(AG_SHAPE(8), 0.5, 1));
    ag_gradcheck_result found;
    ck_assert_msg(ag_gradcheck(times_expanded, AG_LIST(m, one), .result = &found), "%s", found.message);
    ck_assert_msg(ag_gradgradcheck(times_expanded, AG_LIST(m, one), .result = &found), "%s", found.message);
    ck_assert_msg(ag_gradcheck(overlapping_windows, AG_LIST(x), .result = &found), "%s", found.message);
    ck_assert_msg(ag_gradgradcheck(overlapping_windows, AG_LIST(x), .result = &found), "%s", found.message);
    Variable *four = LEAF(AG_SHAPE(4), 1, 2, 3, 4), *g = ag_view(FLOATS(1, 2, 3, 4, 5, 6), AG_SHAPE(3, 2));
    VALUES(of(ag_as_strided(four, AG_SHAPE(3, 2), AG_SHAPE(1, 1)), four, g), 1, 5, 9, 6);
    Variable *same = ag_requires_grad_(ag_expand(FLOATS(1), AG_SHAPE(3))); /* an input that overlaps itself */
    VALUES(of(ag_as_strided(same, AG_SHAPE(3), AG_SHAPE(0)), same, FLOATS(1, 2, 3)), 2, 2, 2);
}
END_TEST

/* ---- indices, types ---- */

START_TEST(nothing_at_all_may_be_joined_and_gets_a_gradient_of_nothing)
{
    Variable *x = ag_requires_grad_(support_random(AG_SHAPE(2, 3), -1, 1)),
             *none = ag_zeros(AG_SHAPE(0), .dtype = AG_FLOAT64), *row = LEAF(AG_SHAPE(1, 3), 7, 8, 9);
    OK(ag_requires_grad_(none));
    Variable *y = ag_cat(AG_LIST(none, x, row, x)); /* as in PyTorch, nothing of one dimension goes with anything */
    SHAPE(y, 5, 3);
    OK(ag_backward(ag_sum(ag_mul(y, y))));
    CLOSE(ag_grad(x), ag_mul(ag_detach(x), ag_scalar(4)), 1e-15);
    VALUES(ag_grad(row), 14, 16, 18);
    SHAPE(ag_grad(none), 0);
    Variable *stacked = ag_stack(AG_LIST(row, row), -1);
    OK(ag_set_grad(row, AG_NONE));
    OK(ag_backward(ag_sum(ag_select(stacked, -1, 1))));
    VALUES(ag_grad(row), 1, 1, 1);
}
END_TEST

START_TEST(an_index_that_comes_several_times_gathers_its_gradients)
{
    Variable *x = LEAF(AG_SHAPE(4), 1, 2, 3, 4), *index = ag_tensor(((int64_t[]){ 1, 1, 3, 2, 1, 2 }), AG_SHAPE(6));
    Variable *ones = ag_ones(AG_SHAPE(6), .dtype = AG_FLOAT64);
    VALUES(of(ag_index_select(x, 0, index), x, ones), 0, 3, 2, 1);
    VALUES(of(ag_gather(x, 0, index), x, ones), 0, 3, 2, 1);
    VALUES(of(ag_take(x, index), x, ones), 0, 3, 2, 1);
    VALUES(of(ag_index_add(x, 0, index, ag_detach(ones)), x, FLOATS(1, 2, 3, 4)), 1, 2, 3, 4);
    Variable *source = LEAF(AG_SHAPE(6), 1, 2, 3, 4, 5, 6);
    VALUES(of(ag_index_add(ag_detach(x), 0, index, source), source, FLOATS(1, 2, 3, 4)), 2, 2, 4, 3, 2, 3);
    VALUES(of(ag_scatter_add(ag_detach(x), 0, index, source), source, FLOATS(1, 2, 3, 4)), 2, 2, 4, 3, 2, 3);
}
END_TEST

START_TEST(gradients_have_their_inputs_types_whatever_lies_between)
{
    Variable *x = ag_ones(AG_SHAPE(2), .requires_grad = true), *w = LEAF(AG_SHAPE(2), 3, 4), *index;
    OK(ag_backward(ag_sum(x, .dtype = AG_FLOAT64)));
    ck_assert_int_eq(ag_dtype_of(ag_grad(x)), AG_FLOAT32);
    OK(ag_backward(ag_sum(ag_float(ag_mul(ag_double(x), w)))));
    ck_assert(ag_dtype_of(ag_grad(x)) == AG_FLOAT32 && ag_dtype_of(ag_grad(w)) == AG_FLOAT64);
    VALUES(ag_grad(x), 4, 5);
    index = ag_long(ag_mul(w, ag_scalar(2)));
    ck_assert(!ag_requires_grad(index) && !ag_requires_grad(ag_gt(w, x)));
    ck_assert_ptr_eq(ag_double(w), w);                       /* nothing to convert */
    Variable *both = ag_where(ag_gt(x, ag_scalar(0)), x, w); /* float32 and float64 */
    OK(ag_backward(ag_sum(both)));
    ck_assert(ag_dtype_of(both) == AG_FLOAT64 && ag_dtype_of(ag_grad(x)) == AG_FLOAT32);
}
END_TEST

static int where_by_rows(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    Variable *condition = ag_tensor(((bool[]){ true, false, true }), AG_SHAPE(3));
    return y[0] = ag_where(condition, x[0], x[1]), 1;
}
START_TEST(where_takes_each_gradient_from_where_its_value_came)
{
    Variable *a = ag_requires_grad_(support_random(AG_SHAPE(2, 3), -1, 1)), *b = LEAF(AG_SHAPE(2, 1), 5, 6),
             *number = LEAF(AG_SCALAR_SHAPE, 7);
    ag_gradcheck_result found;
    ck_assert_msg(ag_gradcheck(where_by_rows, AG_LIST(a, b), .result = &found), "%s", found.message);
    ck_assert_msg(ag_gradgradcheck(where_by_rows, AG_LIST(a, number), .result = &found), "%s", found.message);
    Variable *y = ag_where(ag_gt(a, ag_scalar(100)), a, number); /* none of a */
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(number), 6);
    VALUES(ag_grad(a), 0, 0, 0, 0, 0, 0);
}
END_TEST

/* x, whose gradient it looks at */
static bool look_forward(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    return (out[0] = ag_mul(in.at[0], ag_scalar(1))) != NULL;
}
static bool look_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    const void **at = ag_context_user(ctx);
    at[0] = ag_data(g[0]);
    return (grad[0] = ag_mul(g[0], ag_scalar(2))) && (at[1] = ag_data(grad[0]));
}
static const ag_function look = { .name = "Look", .forward = look_forward, .backward = look_backward };

START_TEST(a_gradient_that_nobody_else_has_is_written_over_by_the_next_one)
{
    for (int kept = 0; kept < 3; kept++) { /* by nobody, retain_grad, create_graph */
        AG_SCOPE;
        const void *before[2], *behind[2];
        Variable *x = LEAF(AG_SHAPE(3), -1, 2, 3);
        Variable *y = ag_relu(ag_function_apply(&look, AG_LIST(x), .user = before));
        if (kept == 1) OK(ag_retain_grad(y));
        OK(ag_backward(ag_sum(ag_function_apply(&look, AG_LIST(y), .user = behind)), .create_graph = kept == 2));
        VALUES(ag_grad(x), 0, 4, 4);
        ck_assert_msg((before[0] == behind[1]) == (kept == 0), "kept %d", kept);
        if (kept == 1) VALUES(ag_grad(y), 2, 2, 2);
    }
}
END_TEST

START_TEST(a_gradient_of_two_is_written_over_by_the_last_of_them)
{
    const void *left[2], *right[2], *behind[2];
    Variable *x = LEAF(AG_SHAPE(3), -1, 2, 3), *w = LEAF(AG_SHAPE(3), 4, -5, 6);
    Variable *a = ag_relu(ag_function_apply(&look, AG_LIST(x), .user = left)),
             *b = ag_relu(ag_function_apply(&look, AG_LIST(w), .user = right));
    OK(ag_backward(ag_sum(ag_function_apply(&look, AG_LIST(ag_add(a, b)), .user = behind))));
    VALUES(ag_grad(x), 0, 4, 4);
    VALUES(ag_grad(w), 4, 0, 4);
    ck_assert_int_eq((left[0] == behind[1]) + (right[0] == behind[1]), 1);
}
END_TEST

SUPPORT_MAIN("autograd_values", gradients_at_kinks_poles_and_ends_are_pytorchs,
             a_gradient_that_is_expanded_goes_through_selection_slices_and_diagonals,
             what_is_expanded_or_overlaps_is_differentiated_right,
             nothing_at_all_may_be_joined_and_gets_a_gradient_of_nothing,
             an_index_that_comes_several_times_gathers_its_gradients,
             gradients_have_their_inputs_types_whatever_lies_between,
             where_takes_each_gradient_from_where_its_value_came,
             a_gradient_that_nobody_else_has_is_written_over_by_the_next_one,
             a_gradient_of_two_is_written_over_by_the_last_of_them)
