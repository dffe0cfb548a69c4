/* test_autograd_graph.c - what PyTorch's test_autograd.py asserts of walks through the graph (docs/test-autograd.md):
 * what is reached and what is not, where gradients meet, what is kept. */
#include "support.h"

#define FLOATS(...) ag_tensor(((double[]){ __VA_ARGS__ }), AG_SHAPE(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)))
static Variable *ones_like(Variable *x) { return ag_ones_like(ag_detach(x)); }

/* ---- derivatives of derivatives ---- */

/* x^2 + y x + y^2 */
static Variable *quadratic(Variable *x, Variable *y)
{
    return ag_add(ag_add(ag_square(x), ag_mul(y, x)), ag_square(y));
}

START_TEST(a_hessian_vector_product_accumulates_onto_the_gradient_it_is_of)
{
    Variable *x = ag_requires_grad_(support_random(AG_SHAPE(2, 2), -1, 1)),
             *y = ag_requires_grad_(support_random(AG_SHAPE(2, 2), -1, 1)), *z = quadratic(x, y), *hv[2];
    OK(ag_backward(z, .gradient = ones_like(z), .create_graph = true));
    Variable *x_grad = ag_add(ag_mul(ag_detach(x), ag_scalar(2)), ag_detach(y)),
             *y_grad = ag_add(ag_detach(x), ag_mul(ag_detach(y), ag_scalar(2)));
    CLOSE(ag_grad(x), x_grad, 1e-15);
    CLOSE(ag_grad(y), y_grad, 1e-15);
    Variable *sum = ag_add(ag_mul(ag_grad(x), ag_scalar(2)), ag_grad(y));
    OK(ag_autograd_grad(AG_LIST(sum), AG_LIST(x, y), hv, .grad_outputs = AG_LIST(ones_like(sum)),
                        .retain_graph = true));
    VALUES(hv[0], 5, 5, 5, 5);
    VALUES(hv[1], 4, 4, 4, 4);
    CLOSE(ag_grad(x), x_grad, 1e-15);
    OK(ag_backward(sum, .gradient = ones_like(sum)));
    CLOSE(ag_grad(x), ag_add(x_grad, ag_scalar(5)), 1e-15);
    CLOSE(ag_grad(y), ag_add(y_grad, ag_scalar(4)), 1e-15);
}
END_TEST

START_TEST(gradients_of_a_variable_on_the_way_may_go_into_the_next_step)
{
    Variable *start = ag_requires_grad_(support_random(AG_SHAPE(2, 2), 0.5, 1)), *x = start,
             *y = ag_requires_grad_(support_random(AG_SHAPE(2, 2), 0.5, 1)), *g[1];
    for (int i = 0; i < 5; i++) {
        Variable *z = quadratic(x, y);
        OK(ag_autograd_grad(AG_LIST(z), AG_LIST(x), g, .grad_outputs = AG_LIST(ones_like(z)), .create_graph = true));
        CLOSE(ag_detach(g[0]), ag_add(ag_mul(ag_detach(x), ag_scalar(2)), ag_detach(y)), 1e-15);
        ck_assert(!ag_grad(y) && !ag_grad(start));
        x = ag_add(x, ag_mul(g[0], ag_scalar(0.05)));
    }
    ck_assert_double_gt(ag_item(ag_sum(quadratic(x, y))), ag_item(ag_sum(quadratic(start, y))));
    OK(ag_backward(x, .gradient = ones_like(x)));
    ck_assert(ag_grad(y) && ag_grad(start));
}
END_TEST

START_TEST(a_graph_may_be_differentiated_twice_over_with_retain_graph)
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *y = ag_pow(x, ag_scalar(3)), *first[1], *second[1];
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), first, .create_graph = true));
    for (int i = 0; i < 3; i++) {
        OK(ag_autograd_grad(AG_LIST(first[0]), AG_LIST(x), second, .retain_graph = true));
        VALUES(second[0], 12);
    }
    OK(ag_autograd_grad(AG_LIST(first[0], y), AG_LIST(x), second));
    VALUES(second[0], 24);
}
END_TEST

/* ---- what is reached ---- */

static bool never_forward(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    return (out[0] = ag_clone(in.at[0]));
}
static bool never_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx, (void)g, (void)grad;
    ck_abort_msg("this backward is on no way to an input");
    return false;
}
static const ag_function never = { .name = "Never", .forward = never_forward, .backward = never_backward };

START_TEST(nodes_that_lead_to_no_input_are_not_executed)
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *y = LEAF(AG_SHAPE(1), 3), *g[2];
    Variable *root = ag_add(ag_mul(x, x), ag_function_apply(&never, AG_LIST(ag_exp(y))));
    OK(ag_autograd_grad(AG_LIST(root), AG_LIST(x), g, .retain_graph = true));
    VALUES(g[0], 4);
    OK(ag_backward(root, .inputs = AG_LIST(x), .retain_graph = true));
    VALUES(ag_grad(x), 4);
    /* an input that the root does not reach: nothing at all runs */
    Variable *apart = LEAF(AG_SHAPE(1), 5), *only = ag_function_apply(&never, AG_LIST(y));
    OK(ag_autograd_grad(AG_LIST(only), AG_LIST(apart), g, .allow_unused = true, .retain_graph = true));
    ck_assert_ptr_null(g[0]);
    OK(ag_autograd_grad(AG_LIST(only), AG_LIST(only), g)); /* the root itself: nothing is behind it */
    VALUES(g[0], 1);
}
END_TEST

START_TEST(an_unreachable_input_has_no_gradient_used_or_not)
{
    Variable *x = LEAF(AG_SHAPE(1), 1), *y = LEAF(AG_SHAPE(1), 1), *unused = LEAF(AG_SHAPE(1), 1), *g[3];
    OK(ag_mul(y, ag_scalar(2))); /* y has been read, but not by the root */
    OK(ag_autograd_grad(AG_LIST(ag_mul(x, ag_scalar(2))), AG_LIST(x, y, unused), g, .allow_unused = true));
    VALUES(g[0], 2);
    ck_assert(!g[1] && !g[2]);
    REFUSED(ag_autograd_grad(AG_LIST(ag_mul(x, ag_scalar(2))), AG_LIST(x, y, unused), g),
            "The differentiated Tensor at index 1 appears to not have been used in the graph.");
    REFUSED(ag_autograd_grad(AG_LIST(x), AG_LIST(ag_mul(x, ag_scalar(2))), g), "index 0 appears to not have been used");
}
END_TEST

START_TEST(gradients_of_several_outputs_of_one_node_are_captured_before_it_runs)
{
    Variable *x = ag_requires_grad_(support_random(AG_SHAPE(4, 2), -1, 1)), *g[2];
    List parts = ag_chunk(x, 2);
    Variable *go = support_random(AG_SHAPE(2, 2), -1, 1),
             *root = ag_add(parts.at[0], ag_mul(parts.at[1], ag_scalar(2)));
    OK(ag_autograd_grad(AG_LIST(root), parts, g, .grad_outputs = AG_LIST(go), .create_graph = true));
    CLOSE(g[0], go, 0);
    CLOSE(g[1], ag_mul(go, ag_scalar(2)), 0);
    ck_assert(!ag_grad(x));
}
END_TEST

START_TEST(outputs_that_nobody_reads_have_a_gradient_of_zero)
{
    Variable *x = ag_requires_grad_(support_random(AG_SHAPE(10), -1, 1));
    List parts = ag_split(x, 2);
    ck_assert_int_eq(parts.n, 5);
    ck_assert_int_eq(ag_output_nr(parts.at[3]), 3);
    OK(ag_backward(ag_sum(ag_add(ag_mul(parts.at[2], ag_scalar(4)), ag_scalar(2)))));
    VALUES(ag_grad(x), 0, 0, 0, 0, 4, 4, 0, 0, 0, 0);
    OK(ag_set_grad(x, AG_NONE)); /* and outputs of outputs */
    parts = ag_unbind(ag_split(x, 5).at[1]);
    OK(ag_backward(ag_mul(parts.at[3], ag_scalar(7))));
    VALUES(ag_grad(x), 0, 0, 0, 0, 0, 0, 0, 0, 7, 0);
}
END_TEST

START_TEST(a_node_that_saves_nothing_may_be_walked_output_by_output)
{
    Variable *x = LEAF(AG_SHAPE(3), 1, 2, 3);
    List rows = ag_unbind(x);
    for (int i = 0; i < 3; i++) {
        OK(ag_backward(rows.at[i]));
        for (int k = 0; k < 3; k++) ck_assert_double_eq(support_at(ag_grad(x), k), k <= i);
        ck_assert(!ag_grad(rows.at[i]));
    }
    Variable *stacked = ag_requires_grad_(support_random(AG_SHAPE(3, 2, 2), -1, 1)), *go[3];
    for (int i = 0; i < 3; i++) go[i] = support_random(AG_SHAPE(2, 2), -1, 1);
    OK(ag_autograd_backward(ag_unbind(stacked), ag_list_from(3, go)));
    for (int i = 0; i < 3; i++) CLOSE(ag_select(ag_grad(stacked), 0, i), go[i], 0);
}
END_TEST

/* ---- several roots ---- */

START_TEST(roots_may_depend_on_each_other)
{
    Variable *x = LEAF(AG_SHAPE(2), 2, 3), *y = ag_square(x), *z = ag_pow(y, ag_scalar(3));
    OK(ag_autograd_backward(AG_LIST(y, z), AG_LIST(FLOATS(10, 20), FLOATS(1, 0.5))));
    VALUES(ag_grad(x), 2 * 2 * 10 + 6 * 32, 2 * 3 * 20 + 6 * 243 * 0.5);
}
END_TEST

START_TEST(a_root_given_twice_counts_twice)
{
    Variable *x = LEAF(AG_SHAPE(2), 2, 3), *y = LEAF(AG_SHAPE(2), 5, 7), *z = ag_mul(x, y), *g = FLOATS(1, 10);
    OK(ag_autograd_backward(AG_LIST(z, z), AG_LIST(g, g)));
    VALUES(ag_grad(x), 10, 140);
    VALUES(ag_grad(y), 4, 60);
    OK(ag_autograd_backward(AG_LIST(x, x), AG_LIST(g, g))); /* leaves, too */
    VALUES(ag_grad(x), 12, 160);
}
END_TEST

START_TEST(a_root_that_requires_no_grad_is_refused_among_others_unless_it_is_left_out)
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *c = FLOATS(3), *y = ag_mul(x, c);
    REFUSED(ag_autograd_backward(AG_LIST(y, c), AG_LIST(c, c)),
            "element 1 of tensors does not require grad and does not have a grad_fn");
    ck_assert_ptr_null(ag_grad(x));
    OK(ag_autograd_backward(AG_LIST(y), AG_LIST(c)));
    VALUES(ag_grad(x), 9);
}
END_TEST

/* ---- where gradients meet ---- */

START_TEST(a_gradient_that_waits_in_three_places_is_summed_in_each_by_itself)
{
    Variable *x = LEAF(AG_SHAPE(1), 1), *y = LEAF(AG_SHAPE(1), 1), *two = ag_scalar(2.0);
    Variable *a = ag_add(x, two), *b = ag_add(y, two), *c = ag_add(x, two);
    Variable *sum = ag_add(ag_add(a, b), c); /* hands the same gradient to all three */
    for (int i = 0; i < 4; i++) a = ag_mul(a, two), b = ag_mul(b, two), c = ag_mul(c, two); /* which wait for these */
    OK(ag_backward(ag_add(sum, ag_add(ag_add(a, b), c))));
    VALUES(ag_grad(x), 34);
    VALUES(ag_grad(y), 17);
}
END_TEST

START_TEST(gradients_pass_by_what_has_none)
{
    Variable *x = support_random(AG_SHAPE(4, 4), -1, 1), *y = ag_requires_grad_(support_random(AG_SHAPE(4, 4), -1, 1));
    Variable *a = ag_add(x, y), *at = ag_double(ag_expand(ag_max_dim(a, 1, .keepdim = true).indices, AG_SHAPE(-1, 4)));
    ck_assert(!ag_requires_grad(at));
    OK(ag_backward(ag_sum(ag_add(a, at))));
    CLOSE(ag_grad(y), ones_like(y), 0);
}
END_TEST

START_TEST(broadcast_to_or_from_no_elements_gives_gradients_of_zero)
{
    Variable *a = ag_requires_grad_(ag_rand(AG_SHAPE(4, 0))), *b = ag_requires_grad_(ag_rand(AG_SHAPE(4, 1)));
    Variable *c = ag_add(a, b);
    SHAPE(c, 4, 0);
    OK(ag_backward(ag_sum(c)));
    VALUES(ag_grad(b), 0, 0, 0, 0);
    SHAPE(ag_grad(b), 4, 1);
    SHAPE(ag_grad(a), 4, 0);
}
END_TEST

/* ---- what is kept ---- */

START_TEST(what_a_gradient_does_not_read_is_not_saved)
{
    Variable *mean = LEAF(AG_SHAPE(1), 1), *x = ag_empty(AG_SHAPE(1), .dtype = AG_FLOAT64), *loss = ag_scalar(0.0);
    for (int i = 0; i < 3; i++) { /* x changes: that it was saved for x * i would show */
        OK(ag_detach_(x));
        OK(ag_copy_(x, ag_add(mean, ag_scalar(i))));
        loss = ag_add(loss, ag_sum(ag_mul(x, FLOATS(i))));
    }
    OK(ag_backward(loss));
    VALUES(ag_grad(mean), 3);
    Variable *root = LEAF(AG_SHAPE(3), 1, 2, 3), *y = ag_add(root, ag_scalar(0.0)),
             *index = ag_tensor(((int64_t[]){ 0 }), AG_SHAPE(1));
    OK(ag_index_copy_(y, 0, index, ag_index_select(y, 0, index))); /* selecting needs the index alone */
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(root), 1, 1, 1);
}
END_TEST

static const double *given;
static bool hands_on_forward(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    return (out[0] = ag_mul(in.at[0], ag_scalar(2)));
}
static bool hands_on_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    grad[0] = ag_mul(g[0], ag_scalar(2));
    given = ag_data(grad[0]);
    return grad[0];
}
START_TEST(the_first_gradient_of_a_leaf_is_taken_over_and_not_copied)
{
    static const ag_function hands_on = { .name = "HandsOn",
                                          .forward = hands_on_forward,
                                          .backward = hands_on_backward };
    Variable *x = LEAF(AG_SHAPE(3), 1, 2, 3);
    OK(ag_backward(ag_function_apply(&hands_on, AG_LIST(x)), .gradient = FLOATS(1, 2, 3)));
    ck_assert_ptr_eq(ag_data(ag_grad(x)), given);
    VALUES(ag_grad(x), 2, 4, 6);
    OK(ag_backward(ag_function_apply(&hands_on, AG_LIST(x)), .gradient = FLOATS(1, 2, 3)));
    ck_assert_ptr_ne(ag_data(ag_grad(x)), given); /* added into the first */
    VALUES(ag_grad(x), 4, 8, 12);
}
END_TEST

static const ag_function doubles = { .name = "Doubles", .forward = hands_on_forward, .backward = hands_on_backward };
START_TEST(a_deep_graph_of_custom_functions_is_walked_and_freed)
{
    enum { DEPTH = 20000 };
    Variable *x = LEAF(AG_SHAPE(1), 1), *y = x;
    {
        AG_SCOPE;
        for (int i = 0; i < DEPTH; i++) {
            Variable *next = ag_function_apply(&doubles, AG_LIST(ag_mul(y, ag_scalar(0.5))));
            y = next;
        }
        OK(ag_backward(y));
    }
    VALUES(ag_grad(x), 1);
}
END_TEST

SUPPORT_MAIN("autograd_graph", a_hessian_vector_product_accumulates_onto_the_gradient_it_is_of,
             gradients_of_a_variable_on_the_way_may_go_into_the_next_step,
             a_graph_may_be_differentiated_twice_over_with_retain_graph, nodes_that_lead_to_no_input_are_not_executed,
             an_unreachable_input_has_no_gradient_used_or_not,
             gradients_of_several_outputs_of_one_node_are_captured_before_it_runs,
             outputs_that_nobody_reads_have_a_gradient_of_zero,
             a_node_that_saves_nothing_may_be_walked_output_by_output, roots_may_depend_on_each_other,
             a_root_given_twice_counts_twice,
             a_root_that_requires_no_grad_is_refused_among_others_unless_it_is_left_out,
             a_gradient_that_waits_in_three_places_is_summed_in_each_by_itself, gradients_pass_by_what_has_none,
             broadcast_to_or_from_no_elements_gives_gradients_of_zero, what_a_gradient_does_not_read_is_not_saved,
             the_first_gradient_of_a_leaf_is_taken_over_and_not_copied,
             a_deep_graph_of_custom_functions_is_walked_and_freed)
