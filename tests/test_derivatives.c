/* test_derivatives.c - what a derivative must be like beside its numbers at ordinary places: at the ends of its domain,
 * in what it keeps, in how it lies in memory. */
#include "support.h"

#include <argent/index.h>

/* ---- special places ---- */

START_TEST(zero_to_the_power_of_a_variable_has_pytorchs_gradient)
{
    Variable *x = LEAF(AG_SHAPE(3), -1, 0, 2);
    OK(ag_backward(ag_sum(ag_pow(ag_scalar(0), x))));
    VALUES(ag_grad(x), -INFINITY, 0, 0);
}
END_TEST

/* where the slope is infinite, and hidden by one of 0 */
START_TEST(logit_that_is_clamped_is_differentiable_twice_at_the_ends)
{
    Variable *x = LEAF(AG_SHAPE(4), 0, 0.05, 0.95, 1), *d, *dd;
    OK(ag_autograd_grad(AG_LIST(ag_sum(ag_logit(x, 0.125))), AG_LIST(x), &d, .create_graph = true));
    VALUES(d, 0, 0, 0, 0);
    OK(ag_autograd_grad(AG_LIST(ag_sum(d)), AG_LIST(x), &dd));
    VALUES(dd, 0, 0, 0, 0);
}
END_TEST

START_TEST(binary_cross_entropy_is_differentiable_twice_at_the_ends)
{
    Variable *x = LEAF(AG_SHAPE(2), 0, 1), *target = ag_detach(x), *d, *dd;
    Variable *loss = ag_binary_cross_entropy(x, target, .reduction = "sum");
    OK(ag_autograd_grad(AG_LIST(loss), AG_LIST(x), &d, .create_graph = true));
    VALUES(d, 0, 0);
    OK(ag_autograd_grad(AG_LIST(ag_sum(d)), AG_LIST(x), &dd));
    VALUES(dd, 0, 0);
}
END_TEST

/* ---- what is kept ---- */

START_TEST(results_of_clamp_and_of_powers_of_a_variable_may_change_before_backward)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 3), *low = LEAF(AG_SHAPE(2), 2, 2), *high = LEAF(AG_SHAPE(2), 4, 4);
    Variable *const y[] = {
        ag_clamp_tensor(x, low, high),
        ag_clamp_tensor(x, low),
        ag_clamp_tensor(x, .max = high),
        ag_pow(x, ag_scalar(3)),
    };
    for (size_t i = 0; i < sizeof y / sizeof *y; i++) {
        OK(ag_add_(y[i], ag_scalar(1)));
        OK(ag_backward(ag_sum(y[i])));
    }
    VALUES(ag_grad(x), 0 + 0 + 1 + 3, 1 + 1 + 1 + 27);
    VALUES(ag_grad(low), 1 + 1, 0);
    VALUES(ag_grad(high), 0, 0);
}
END_TEST

/* ---- memory ---- */

START_TEST(the_gradient_of_a_transposed_matrix_lies_transposed_and_no_other)
{
    Variable *a = ag_t(LEAF(AG_SHAPE(2, 2), 1, 2, 3, 4)), *b = LEAF(AG_SHAPE(2, 2), 5, 6, 7, 8), *c = ag_neg(b), *d[2];
    Variable *const product[] = { ag_mm(a, b), ag_mm(b, a), ag_addmm(c, a, b), ag_addmm(c, b, a) };
    Variable *g = ag_ones(AG_SHAPE(2, 2), .dtype = AG_FLOAT64);
    for (size_t i = 0; i < sizeof product / sizeof *product; i++) {
        OK(ag_autograd_grad(AG_LIST(product[i]), AG_LIST(a, b), d, .grad_outputs = AG_LIST(g), .retain_graph = true));
        ck_assert_int_eq(ag_stride(d[0]).at[0], 1);
        ck_assert_int_eq(ag_stride(d[0]).at[1], 2);
        if (i < 2) OK(ag_is_contiguous(d[1])); /* addmm's is a sum, with that of c */
    }
}
END_TEST

START_TEST(what_scatter_does_not_read_of_its_source_gets_zeros)
{
    Variable *x = LEAF(AG_SHAPE(3), 1, 2, 3), *source = LEAF(AG_SHAPE(3), 4, 5, 6),
             *index = ag_tensor(((int64_t[]){ 2, 0 }), AG_SHAPE(2));
    Variable *g = ag_tensor(((double[]){ 10, 20, 30 }), AG_SHAPE(3));
    OK(ag_backward(ag_scatter_add(x, 0, index, source), .gradient = g));
    VALUES(ag_grad(source), 30, 10, 0);
}
END_TEST

SUPPORT_MAIN("derivatives", zero_to_the_power_of_a_variable_has_pytorchs_gradient,
             logit_that_is_clamped_is_differentiable_twice_at_the_ends,
             binary_cross_entropy_is_differentiable_twice_at_the_ends,
             results_of_clamp_and_of_powers_of_a_variable_may_change_before_backward,
             the_gradient_of_a_transposed_matrix_lies_transposed_and_no_other,
             what_scatter_does_not_read_of_its_source_gets_zeros)
