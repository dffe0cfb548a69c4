/* test_gradcheck.c - gradcheck and gradgradcheck: what they pass, what they find, and what they say. */
#include "support.h"

static int cubes(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_mul(x[0], ag_mul(x[0], x[1])), 1;
}
/* x^2 with the gradient cut out of one factor: backward finds x, not 2x */
static int half_the_gradient(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_mul(x[0], ag_detach(x[0])), 1;
}
static int fails(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_view(x[0], AG_SHAPE(7)), 1;
}

START_TEST(gradcheck_passes_what_is_right)
{
    Variable *x = LEAF(AG_SHAPE(2, 2), 1, -2, 3, 0.5), *w = LEAF(AG_SHAPE(2), 0.3, -1);
    ag_gradcheck_result result;
    OK(ag_gradcheck(cubes, AG_LIST(x, w), .result = &result));
    ck_assert(result.passed);
    OK(ag_gradgradcheck(cubes, AG_LIST(x, w), .result = &result));
    OK(ag_gradgradcheck(cubes, AG_LIST(x, w), .gen_non_contig_grad_outputs = true));
    ck_assert_ptr_null(ag_grad(x));
}
END_TEST

START_TEST(gradcheck_names_the_element_that_is_wrong)
{
    Variable *x = LEAF(AG_SHAPE(2), 3, 5);
    ag_gradcheck_result result;
    ck_assert(!ag_gradcheck(half_the_gradient, AG_LIST(x), .result = &result));
    ck_assert_ptr_null(ag_error()); /* a verdict, not an error */
    ck_assert(!result.passed);
    ck_assert_int_eq(result.input, 0);
    ck_assert_int_eq(result.output, 0);
    ck_assert_int_eq(result.element, 0);
    ck_assert_double_eq_tol(result.analytic, 3, 1e-9);
    ck_assert_double_eq_tol(result.numeric, 6, 1e-6);
    ck_assert_ptr_nonnull(strstr(result.message, "Jacobian mismatch for output 0 with respect to input 0"));
    ck_assert(!ag_gradgradcheck(half_the_gradient, AG_LIST(x), .result = &result));
}
END_TEST

START_TEST(gradcheck_says_when_it_cannot_check)
{
    Variable *x = LEAF(AG_SHAPE(2), 3, 5), *c = ag_zeros(AG_SHAPE(2), .dtype = AG_FLOAT64);
    REFUSED(ag_gradcheck(cubes, AG_LIST(c, c)), "at least one input tensor to require gradient");
    REFUSED(ag_gradcheck(fails, AG_LIST(x)), "shape '[7]' is invalid");
    Variable *wide = ag_requires_grad_(ag_detach(ag_expand(ag_zeros(AG_SHAPE(1), .dtype = AG_FLOAT64), AG_SHAPE(3))));
    REFUSED(ag_gradcheck(cubes, AG_LIST(wide, wide)), "stride 0");
}
END_TEST

SUPPORT_MAIN("gradcheck", gradcheck_passes_what_is_right, gradcheck_names_the_element_that_is_wrong,
             gradcheck_says_when_it_cannot_check)
