/* test_gradcheck.c - gradcheck and gradgradcheck: what they pass, what they find, and what they say. */
#include "autograd/op.h"
#include "support.h"

/* ---- functions to check ---- */

#define FUNCTION(name, ...)                                              \
    static int name(Variable *const *x, int n, Variable **y, void *user) \
    {                                                                    \
        (void)x, (void)n, (void)user;                                    \
        Variable *const results[] = { __VA_ARGS__ };                     \
        memcpy(y, results, sizeof results);                              \
        return (int)(sizeof results / sizeof *results);                  \
    }
FUNCTION(cubes, ag_mul(x[0], ag_mul(x[0], x[1])))
FUNCTION(two_results, ag_mul(x[0], x[1]), ag_sum(ag_exp(x[0])))
FUNCTION(with_indices, ag_argmax(x[0]), ag_mul(x[0], x[0]), ag_detach(x[0]), ag_gt(x[0], ag_scalar(0)))
FUNCTION(itself, x[0])
FUNCTION(view_of_it, ag_view(x[0], AG_SHAPE(-1)))
FUNCTION(sum_of_all, ag_stack(ag_list_from(n, x)))
FUNCTION(ones, ag_ones(AG_SHAPE(2), .dtype = AG_FLOAT64))
FUNCTION(detached, ag_mul(ag_detach(x[0]), x[1]))
FUNCTION(cut_off, ag_exp(ag_detach(x[0])))
FUNCTION(root, ag_sqrt(x[0]))
FUNCTION(bad_view, ag_view(x[0], AG_SHAPE(7)))
/* x^2 with the gradient cut out of one factor: backward finds x, not 2x */
FUNCTION(half_the_gradient, ag_mul(x[0], ag_detach(x[0])))

static int fails_silently(Variable *const *x, int n, Variable **y, void *user)
{
    (void)x, (void)n, (void)y, (void)user;
    return -1;
}
static int gives_null(Variable *const *x, int n, Variable **y, void *user)
{
    (void)x, (void)n, (void)user;
    return y[0] = NULL, 1;
}
static int gives_more_each_time(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n;
    int calls = ++*(int *)user;
    for (int k = 0; k < calls && k < AG_GRADCHECK_OUTPUTS; k++) y[k] = ag_neg(x[0]);
    return calls;
}
static int grows_each_time(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n;
    return y[0] = ag_expand(x[0], AG_SHAPE(++*(int *)user, 2)), 1;
}

/* ---- ops whose backward is wrong ---- */

static bool same_shape(ag_run *r)
{
    const ag_tensor *x = &r->in[0]->tensor;
    return ag__output(r, 0, x->ndim, x->size, (ag_dtype)x->dtype) &&
           (r->op->n_out < 2 || ag__output(r, 1, x->ndim, x->size, (ag_dtype)x->dtype));
}
/* Every result is the input's elements to this power. */
static bool to_power(ag_run *r, int power)
{
    for (int k = 0; k < r->op->n_out; k++) {
        double *y = (double *)(void *)r->out[k]->tensor.data;
        const double *x = (const double *)(const void *)r->in[0]->tensor.data;
        for (int64_t i = 0; i < r->in[0]->tensor.numel; i++) y[i] = pow(x[i], power);
    }
    return true;
}
static bool copied(ag_run *r) { return to_power(r, 1); }
static bool squared(ag_run *r) { return to_power(r, 2); }

#define WRONG(op, kernel_, ...)                                                                         \
    ag_variable *ag_##op(ag_variable *input);                                                           \
    static void op##_backward(ag_gradients *b) { b->grad[0] = __VA_ARGS__; }                            \
    AG_OP_PLAIN(op, .node = #op, .shape = same_shape, .kernel = { kernel_ }, .backward = op##_backward, \
                .keeps = { AG_KEEP_IN(0) })                                                             \
    FUNCTION(f_##op, ag_##op(x[0]))

#define AG_ARGS_third_off(must, may) must(Tensor, input)
static ag_variable *but_not_the_third(ag_variable *g)
{
    AG_NO_GRAD;
    ag_variable *copy = ag_clone(g);
    OK(ag_zero_(ag_select(copy, 0, 2)));
    return copy;
}
WRONG(third_off, copied, but_not_the_third(b->g[0]))

#define AG_ARGS_first_order_only(must, may) must(Tensor, input)
WRONG(first_order_only, squared, ag_mul(b->g[0], ag_mul(ag_detach(b->in[0]), ag_scalar(2.0))))

FUNCTION(of_the_second, ag_first_order_only(x[1]))

#define AG_ARGS_not_multiplied(must, may) must(Tensor, input)
WRONG(not_multiplied, copied, ag_ones_like(b->g[0]))

#define AG_ARGS_nan_gradient(must, may) must(Tensor, input)
WRONG(nan_gradient, copied, ag_mul(b->g[0], ag_scalar((double)NAN)))

#define AG_ARGS_wavering(must, may) must(Tensor, input)
static double wavers;
WRONG(wavering, copied, ag_mul(b->g[0], ag_scalar(1 + (wavers = wavers ? 0 : 1e-8))))

/* Two results; the gradient forgets that the first may have none. */
#define AG_ARGS_undefined_forgotten(must, may) must(Tensor, input)
AG_STRUCT(undefined_forgotten, AG_ARGS_undefined_forgotten)
static void undefined_forgotten_backward(ag_gradients *b)
{
    ag_variable *some = b->g[0] ? b->g[0] : b->g[1];
    b->grad[0] = b->g[0] && b->g[1] ? ag_add(b->g[0], b->g[1]) : ag_add(some, ag_scalar(b->g[0] ? 0.0 : 1e-9));
}
AG_OVERRIDING
AG_RECORD(undefined_forgotten, AG_ARGS_undefined_forgotten, .n_out = 2, .node = "undefined", .shape = same_shape,
          .kernel = { copied }, .backward = undefined_forgotten_backward)
AG_OVERRIDDEN
static int f_undefined_forgotten(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    const struct ag_undefined_forgotten_args args = { .input = x[0] };
    return ag__apply(ag__op_undefined_forgotten(), &args, y, NULL) ? 2 : -1;
}

static ag_gradcheck_result result;

/* ---- what is right ---- */

START_TEST(what_is_right_passes_in_both_modes)
{
    Variable *x = LEAF(AG_SHAPE(2, 2), 1, -2, 3, 0.5), *w = LEAF(AG_SHAPE(2), 0.3, -1);
    for (int fast = 0; fast < 2; fast++) {
        OK(ag_gradcheck(cubes, AG_LIST(x, w), .fast_mode = fast, .result = &result));
        ck_assert(result.passed);
        ck_assert_str_eq(result.message, "");
        ck_assert_int_eq(result.input, -1);
        OK(ag_gradcheck(two_results, AG_LIST(x, w), .fast_mode = fast));
        OK(ag_gradcheck(itself, AG_LIST(x), .fast_mode = fast));
        OK(ag_gradcheck(view_of_it, AG_LIST(x), .fast_mode = fast));
        OK(ag_gradgradcheck(cubes, AG_LIST(x, w), .fast_mode = fast, .result = &result));
        ck_assert(result.passed);
        OK(ag_gradgradcheck(two_results, AG_LIST(x, w), .fast_mode = fast));
        OK(ag_gradgradcheck(cubes, AG_LIST(x, w), .gen_non_contig_grad_outputs = true, .fast_mode = fast));
    }
}
END_TEST

START_TEST(inputs_of_any_layout_and_history_are_checked)
{
    Variable *w = LEAF(AG_SHAPE(2), 0.3, -1), *inner = ag_mul(LEAF(AG_SHAPE(2), 1, 2), ag_scalar(2.0)),
             *strided = ag_requires_grad_(ag_detach(ag_t(support_random(AG_SHAPE(2, 3), -1, 1)))),
             *number = LEAF(AG_SCALAR_SHAPE, 2),
             *empty = ag_requires_grad_(ag_zeros(AG_SHAPE(0, 2), .dtype = AG_FLOAT64)),
             *constant = ag_tensor(((double[]){ 3, 4 }), AG_SHAPE(2));
    OK(ag_gradcheck(cubes, AG_LIST(inner, w)));
    OK(ag_gradcheck(cubes, AG_LIST(strided, w)));
    OK(ag_gradcheck(cubes, AG_LIST(number, w)));
    OK(ag_gradcheck(cubes, AG_LIST(empty, w)));
    OK(ag_gradcheck(cubes, AG_LIST(constant, w)));
    OK(ag_gradcheck(cubes, AG_LIST(w, w)));
    OK(ag_gradgradcheck(cubes, AG_LIST(inner, w)));
    OK(ag_gradgradcheck(cubes, AG_LIST(strided, number)));
    OK(ag_gradgradcheck(cubes, AG_LIST(constant, w)));
    OK(ag_gradgradcheck(cubes, AG_LIST(empty, w)));
}
END_TEST

START_TEST(results_that_are_not_differentiable_are_left_out)
{
    Variable *x = LEAF(AG_SHAPE(3), 1, -2, 3);
    OK(ag_gradcheck(with_indices, AG_LIST(x)));
    OK(ag_gradgradcheck(with_indices, AG_LIST(x)));
    OK(ag_gradcheck(ones, AG_LIST(x)));
}
END_TEST

START_TEST(many_inputs_are_all_checked)
{
    enum { N = 20 };
    Variable *x[N];
    for (int i = 0; i < N; i++) x[i] = LEAF(AG_SHAPE(2), i, -i);
    OK(ag_gradcheck(sum_of_all, ag_list_from(N, x)));
    OK(ag_gradgradcheck(sum_of_all, ag_list_from(N, x)));
}
END_TEST

START_TEST(nothing_is_changed_by_a_check)
{
    Variable *x = LEAF(AG_SHAPE(3), 0.1, 0.2, 0.3), *w = LEAF(AG_SHAPE(3), 4, 5, 6);
    double before[3];
    memcpy(before, ag_data(x), sizeof before);
    Variable *drawn = ag_rand(AG_SHAPE(4));
    ag_manual_seed(0);
    for (int fast = 0; fast < 2; fast++) {
        OK(ag_gradcheck(cubes, AG_LIST(x, w), .fast_mode = fast));
        OK(ag_gradgradcheck(cubes, AG_LIST(x, w), .fast_mode = fast));
        ck_assert(!ag_gradcheck(half_the_gradient, AG_LIST(x), .fast_mode = fast));
    }
    ck_assert_mem_eq(ag_data(x), before, sizeof before);
    ck_assert_int_eq(ag_version(x), 0);
    ck_assert(!ag_grad(x) && !ag_grad(w));
    ck_assert(ag_is_grad_enabled());
    CLOSE(ag_rand(AG_SHAPE(4)), drawn, 0); /* nor has a number been drawn */
    AG_NO_GRAD;
    OK(ag_gradcheck(cubes, AG_LIST(x, w)));
    ck_assert(!ag_is_grad_enabled());
}
END_TEST

/* ---- what is wrong ---- */

START_TEST(a_wrong_gradient_is_found_with_its_element_and_both_values)
{
    Variable *c = ag_ones(AG_SHAPE(2), .dtype = AG_FLOAT64), *x = LEAF(AG_SHAPE(2), 3, 5);
    for (int fast = 0; fast < 2; fast++) {
        ck_assert(!ag_gradcheck(half_the_gradient, AG_LIST(x, c), .fast_mode = fast, .result = &result));
        ck_assert_ptr_null(ag_error()); /* a verdict, not an error */
        ck_assert(!result.passed);
        ck_assert_int_eq(result.input, 0);
        ck_assert_int_eq(result.output, 0);
        ck_assert_int_eq(result.element, 0);
        ck_assert_int_eq(result.output_element, 0);
        ck_assert_double_eq_tol(result.analytic, 3, 1e-9);
        ck_assert_double_eq_tol(result.numeric, 6, 1e-6);
        ck_assert_ptr_nonnull(strstr(result.message, "Jacobian mismatch for output 0 with respect to input 0, d "
                                                     "output[0] / d input[0]: numerical: "));
        ck_assert_ptr_nonnull(strstr(result.message, "analytical: 3 (eps=1e-06, atol=1e-05, rtol=0.001)"));
    }
    ck_assert(!ag_gradcheck(half_the_gradient, AG_LIST(x)));
    ck_assert(!ag_gradgradcheck(half_the_gradient, AG_LIST(x), .result = &result));
    ck_assert(!ag_gradcheck(detached, AG_LIST(c, c)) && ag_error()); /* without inputs it is an error */
    ag_clear_error();
}
END_TEST

START_TEST(a_gradient_that_is_wrong_at_one_element_is_found_there)
{
    Variable *x = LEAF(AG_SHAPE(4), 1, 2, 3, 4);
    ck_assert(!ag_gradcheck(f_third_off, AG_LIST(x), .result = &result));
    ck_assert_int_eq(result.element, 2);
    ck_assert_int_eq(result.output_element, 2);
    ck_assert_double_eq(result.analytic, 0);
    ck_assert_double_eq_tol(result.numeric, 1, 1e-6);
    ck_assert(!ag_gradcheck(f_third_off, AG_LIST(x), .fast_mode = true, .result = &result));
    ck_assert_int_eq(result.element, 2);
}
END_TEST

START_TEST(a_wrong_second_derivative_is_found_by_gradgradcheck_only)
{
    Variable *x = LEAF(AG_SHAPE(2), 3, 5);
    OK(ag_gradcheck(f_first_order_only, AG_LIST(x)));
    for (int fast = 0; fast < 2; fast++) {
        ck_assert(!ag_gradgradcheck(f_first_order_only, AG_LIST(x), .fast_mode = fast, .result = &result));
        ck_assert_int_eq(result.input, 0);
        ck_assert_int_eq(result.output, 0);
        ck_assert_double_eq(result.analytic, 0);
        ck_assert(fabs(result.numeric) > 1e-3);
    }
}
END_TEST

START_TEST(gradgradcheck_says_which_inputs_gradient_differs)
{
    Variable *x = LEAF(AG_SHAPE(2), 3, 5), *constant = ag_ones(AG_SHAPE(2), .dtype = AG_FLOAT64);
    OK(ag_gradgradcheck(detached, AG_LIST(constant, x)));
    ck_assert(!ag_gradgradcheck(detached, AG_LIST(x, x), .result = &result));
    ck_assert_int_eq(result.output, 0);
    ck_assert(!ag_gradgradcheck(of_the_second, AG_LIST(constant, x), .result = &result));
    ck_assert_int_eq(result.output, 1);
    ck_assert_int_eq(result.input, 1);
    ck_assert_ptr_nonnull(strstr(result.message, "for output 1 with respect to input 1"));
}
END_TEST

START_TEST(a_gradient_of_nan_is_no_gradient)
{
    ck_assert(!ag_gradcheck(f_nan_gradient, AG_LIST(LEAF(AG_SHAPE(1), 1)), .result = &result));
    ck_assert(isnan(result.analytic));
    ck_assert(
        !ag_gradcheck(root, AG_LIST(LEAF(AG_SHAPE(1), 0)), .result = &result)); /* infinite here, not defined left */
    ck_assert(isinf(result.analytic) && isnan(result.numeric));
}
END_TEST

START_TEST(a_backward_that_gives_something_else_the_second_time_is_not_reentrant)
{
    Variable *x = LEAF(AG_SHAPE(1), 1);
    ck_assert(!ag_gradcheck(f_wavering, AG_LIST(x), .result = &result));
    ck_assert_ptr_nonnull(strstr(result.message, "Backward is not reentrant, i.e., running backward with same input "
                                                 "and grad_output multiple times gives different values, although "
                                                 "analytical gradient matches numerical gradient. The tolerance for "
                                                 "nondeterminism was 0."));
    ck_assert_int_eq(result.input, 0);
    ck_assert_int_eq(result.element, -1);
    OK(ag_gradcheck(f_wavering, AG_LIST(x), .nondet_tol = 1e-6));
}
END_TEST

START_TEST(a_backward_that_ignores_its_grad_output_is_found_even_where_the_jacobian_agrees)
{
    ck_assert(!ag_gradcheck(f_not_multiplied, AG_LIST(LEAF(AG_SHAPE(1), 1)), .result = &result));
    ck_assert_str_eq(result.message, "backward not multiplied by grad_output");
}
END_TEST

START_TEST(a_backward_that_forgets_that_an_output_may_have_no_gradient_is_found)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    ck_assert(!ag_gradcheck(f_undefined_forgotten, AG_LIST(x), .result = &result));
    ck_assert_ptr_nonnull(strstr(result.message, "Expected backward function to handle undefined output grads."));
    OK(ag_gradcheck(f_undefined_forgotten, AG_LIST(x), .check_undefined_grad = false));
}
END_TEST

START_TEST(a_function_without_a_gradient_must_not_change_with_its_inputs)
{
    ck_assert(!ag_gradcheck(cut_off, AG_LIST(LEAF(AG_SHAPE(2), 1, 2)), .result = &result));
    ck_assert_str_eq(result.message, "Numerical gradient for function expected to be zero");
    ck_assert_int_eq(result.element, 0);
    ck_assert_double_eq_tol(result.numeric, exp(1), 1e-6);
}
END_TEST

START_TEST(tolerances_and_steps_mean_what_they_mean_in_pytorch)
{
    Variable *x = LEAF(AG_SHAPE(2), 3, 5); /* backward finds x, differences find 2x */
    OK(ag_gradcheck(half_the_gradient, AG_LIST(x), .rtol = 0.5001));
    ck_assert(!ag_gradcheck(half_the_gradient, AG_LIST(x), .rtol = 0.4999));
    OK(ag_gradcheck(half_the_gradient, AG_LIST(x), .atol = 5.001, .rtol = 0));
    ck_assert(!ag_gradcheck(half_the_gradient, AG_LIST(x), .atol = 4.999, .rtol = 0));
    Variable *one = LEAF(AG_SHAPE(1), 1); /* (x + e)^3 - (x - e)^3 is 6 x^2 e + 2 e^3 */
    ck_assert(!ag_gradcheck(cubes, AG_LIST(one, one), .eps = 0.5, .result = &result));
    ck_assert_double_eq_tol(result.numeric, 3.25, 1e-9);
}
END_TEST

START_TEST(a_check_in_single_precision_that_fails_says_why_it_may)
{
    Variable *x = ag_requires_grad_(ag_tensor(((float[]){ 1.1f, 2.3f }), AG_SHAPE(2)));
    ck_assert(!ag_gradcheck(cubes, AG_LIST(x, x), .result = &result));
    ck_assert_ptr_nonnull(strstr(result.message, "Input #0 requires gradient and is not a double precision floating "
                                                 "point or complex. This check will likely fail if all the inputs are "
                                                 "not of double precision floating point or complex."));
    OK(ag_gradcheck(cubes, AG_LIST(x, x), .eps = 1e-2, .atol = 1e-2, .rtol = 1e-2, .result = &result));
    ck_assert_str_eq(result.message, "");
}
END_TEST

/* ---- what cannot be checked ---- */

START_TEST(what_cannot_be_checked_is_an_error)
{
    Variable *x = LEAF(AG_SHAPE(2), 3, 5), *c = ag_zeros(AG_SHAPE(2), .dtype = AG_FLOAT64);
    int calls = 0;
    REFUSED(ag_gradcheck(cubes, AG_LIST(c, c), .result = &result),
            "gradcheck expects at least one input tensor to require gradient, but none of the them have "
            "requires_grad=True.");
    ck_assert(!result.passed);
    ck_assert_ptr_nonnull(strstr(result.message, "requires_grad=True"));
    Variable *wide = ag_requires_grad_(ag_detach(ag_expand(ag_zeros(AG_SHAPE(1), .dtype = AG_FLOAT64), AG_SHAPE(3))));
    REFUSED(ag_gradcheck(cubes, AG_LIST(x, wide)),
            "The 1th input has a dimension with stride 0. gradcheck only supports inputs that are non-overlapping to "
            "be able to compute the numerical gradients correctly. You should call .contiguous on the input before "
            "passing it to gradcheck.");
    REFUSED(ag_gradcheck(bad_view, AG_LIST(x)), "shape '[7]' is invalid");
    REFUSED(ag_gradcheck(fails_silently, AG_LIST(x)), "gradcheck: the function failed without an error");
    REFUSED(ag_gradcheck(gives_null, AG_LIST(x)), "gradcheck: an output is NULL");
    REFUSED(ag_gradcheck(gives_more_each_time, AG_LIST(x), &calls), "the function's outputs change from call to call");
    calls = AG_GRADCHECK_OUTPUTS;
    REFUSED(ag_gradcheck(gives_more_each_time, AG_LIST(x), &calls), "more outputs than AG_GRADCHECK_OUTPUTS");
    REFUSED(ag_gradcheck(grows_each_time, AG_LIST(x), &calls), "an output changes its shape from call to call");
    REFUSED(ag_gradcheck(NULL, AG_LIST(x)), "gradcheck: the function is NULL");
    REFUSED(ag_gradcheck(cubes, AG_LIST(x, NULL)), "gradcheck: an input is NULL");
    VALUES(x, 3, 5);
}
END_TEST

START_TEST(gradgradcheck_says_what_it_cannot_check)
{
    Variable *x = LEAF(AG_SHAPE(2), 3, 5), *g = ag_ones(AG_SHAPE(2), .dtype = AG_FLOAT64);
    int calls = 0;
    OK(ag_gradgradcheck(cubes, AG_LIST(x, x), .grad_outputs = AG_LIST(g)));
    REFUSED(ag_gradgradcheck(cubes, AG_LIST(x, x), .grad_outputs = AG_LIST(g, g)),
            "gradgradcheck: 2 grad_outputs for 1 outputs that require a gradient");
    REFUSED(ag_gradgradcheck(NULL, AG_LIST(x)), "gradgradcheck: the function is NULL");
    REFUSED(ag_gradgradcheck(cubes, AG_LIST(NULL, x)), "gradgradcheck: an input is NULL");
    REFUSED(ag_gradgradcheck(fails_silently, AG_LIST(x)), "gradgradcheck: the function failed without an error");
    REFUSED(ag_gradgradcheck(gives_more_each_time, AG_LIST(x), &calls), "the same from call to call");
    REFUSED(ag_gradgradcheck(cubes, AG_LIST(g, g)), "at least one input tensor to require gradient");
    Variable *failed = ag_view(x, AG_SHAPE(7)); /* an error stands */
    ck_assert(!failed && !ag_gradcheck(cubes, AG_LIST(x, x), .result = &result));
    ck_assert(!result.passed && !ag_gradgradcheck(cubes, AG_LIST(x, x)));
    REFUSED(failed, "shape '[7]' is invalid");
}
END_TEST

SUPPORT_MAIN("gradcheck", what_is_right_passes_in_both_modes, inputs_of_any_layout_and_history_are_checked,
             results_that_are_not_differentiable_are_left_out, many_inputs_are_all_checked,
             nothing_is_changed_by_a_check, a_wrong_gradient_is_found_with_its_element_and_both_values,
             a_gradient_that_is_wrong_at_one_element_is_found_there,
             a_wrong_second_derivative_is_found_by_gradgradcheck_only, gradgradcheck_says_which_inputs_gradient_differs,
             a_gradient_of_nan_is_no_gradient, a_backward_that_gives_something_else_the_second_time_is_not_reentrant,
             a_backward_that_ignores_its_grad_output_is_found_even_where_the_jacobian_agrees,
             a_backward_that_forgets_that_an_output_may_have_no_gradient_is_found,
             a_function_without_a_gradient_must_not_change_with_its_inputs,
             tolerances_and_steps_mean_what_they_mean_in_pytorch,
             a_check_in_single_precision_that_fails_says_why_it_may, what_cannot_be_checked_is_an_error,
             gradgradcheck_says_what_it_cannot_check)
