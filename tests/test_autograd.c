/* test_autograd.c - the Variable's contract: what a PyTorch user counts on, a sentence each. */
#include "autograd/op.h"
#include "support.h"

#include <pthread.h>

/* ---- requires_grad, leaves, .grad ---- */

START_TEST(a_result_requires_a_gradient_if_and_only_if_an_input_does)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_tensor(((double[]){ 3, 4 }), AG_SHAPE(2));
    ck_assert(ag_requires_grad(ag_mul(x, c)));
    ck_assert(ag_requires_grad(ag_mul(c, x)));
    ck_assert(!ag_requires_grad(ag_mul(c, c)));
    ck_assert(!ag_requires_grad(ag_gt(x, c)));
    ck_assert(!ag_requires_grad(ag_max_dim(x, 0).indices));
}
END_TEST

START_TEST(requires_grad_can_be_set_on_leaves_of_a_floating_type_only)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x);
    REFUSED(ag_requires_grad_(y, false), "you can only change requires_grad flags of leaf variables");
    ck_assert(ag_requires_grad(y));
    REFUSED(ag_requires_grad_(ag_tensor(((int64_t[]){ 1 }), AG_SHAPE(1))),
            "only Tensors of floating point dtype can require gradients");
    OK(ag_requires_grad_(x, false));
    ck_assert(!ag_requires_grad(x));
    REFUSED(ag_requires_grad_(ag_scalar(2.0)), "shared");
}
END_TEST

START_TEST(leaves_are_what_the_user_made_and_what_wants_no_gradient)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_tensor(((double[]){ 3, 4 }), AG_SHAPE(2));
    ck_assert(ag_is_leaf(x));
    ck_assert(ag_is_leaf(ag_mul(c, c)));
    ck_assert(!ag_is_leaf(ag_mul(x, c)));
    ck_assert_ptr_null(ag_grad_fn(x));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(ag_mul(x, c))), "MulBackward0");
    ck_assert_int_eq(ag_output_nr(ag_mul(x, c)), 0);
}
END_TEST

START_TEST(a_nodes_next_functions_lead_back_to_the_leaves)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_tensor(((double[]){ 3, 4 }), AG_SHAPE(2)), *y = ag_exp(ag_mul(c, x));
    ag_next next;
    ck_assert(ag_next_function(ag_grad_fn(y), 0, &next));
    ck_assert_str_eq(next.name, "MulBackward0");
    Node *mul = next.node;
    ck_assert(ag_next_function(mul, 0, &next));
    ck_assert(!next.node && !next.leaf && !next.name);
    ck_assert(ag_next_function(mul, 1, &next));
    ck_assert_ptr_eq(next.leaf, x);
    ck_assert_str_eq(next.name, "AccumulateGrad");
    ck_assert(!ag_next_function(mul, 2, &next));
}
END_TEST

START_TEST(grad_is_null_before_the_first_backward_and_then_adds_up)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    ck_assert_ptr_null(ag_grad(x));
    for (int k = 1; k <= 3; k++) {
        Variable *y = ag_mul(x, x);
        OK(ag_backward(ag_sum(y)));
        VALUES(ag_grad(x), 2.0 * k, 4.0 * k);
        ck_assert_ptr_null(ag_grad(y));
    }
    ck_assert(!ag_requires_grad(ag_grad(x)));
    OK(ag_set_grad(x, AG_NONE));
    ck_assert_ptr_null(ag_grad(x));
}
END_TEST

START_TEST(a_gradient_that_does_not_fit_cannot_be_assigned)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    REFUSED(ag_set_grad(x, ag_zeros(AG_SHAPE(3), .dtype = AG_FLOAT64)),
            "attempting to assign a gradient of size '[3]' to a tensor of size '[2]'. Please ensure that the gradient "
            "and the tensor are the same size");
    REFUSED(ag_set_grad(x, ag_zeros(AG_SHAPE(2))),
            "attempting to assign a gradient with dtype 'float' to a tensor with grad_dtype 'Double'. The gradient "
            "must match the tensor's grad_dtype (defaults to the tensor's dtype).");
    REFUSED(ag_set_grad(ag_zeros(AG_SHAPE(2)), ag_zeros(AG_SHAPE(2), .dtype = AG_INT64)), "with dtype 'long int'");
    REFUSED(ag_set_grad(x, x), "can't assign Variable as its own grad");
    REFUSED(ag_set_grad(LEAF(AG_SCALAR_SHAPE, 1), ag_scalar(1.0)), "a number from ag_scalar is shared");
    REFUSED(ag_set_grad(x, NULL), "the gradient (AG_NONE stands for none) is NULL");
    REFUSED(ag_set_grad(NULL, x), "the Variable is NULL");
    ck_assert_ptr_null(ag_grad(x));
    Variable *whole = ag_zeros(AG_SHAPE(2), .dtype = AG_INT64); /* whoever wants none may have one */
    OK(ag_set_grad(whole, ag_ones(AG_SHAPE(2), .dtype = AG_INT64)));
    VALUES(ag_grad(whole), 1, 1);
}
END_TEST

START_TEST(a_later_gradient_is_added_into_the_variable_that_is_there)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *mine = ag_tensor(((double[]){ 10, 20 }), AG_SHAPE(2));
    OK(ag_set_grad(x, mine));
    OK(ag_backward(ag_sum(x)));
    ck_assert_ptr_eq(ag_grad(x), mine);
    VALUES(mine, 11, 21);
    ck_assert_int_eq(ag_version(mine), 1);
    OK(ag_backward(ag_sum(ag_mul(x, x)), .create_graph = true)); /* not in place: what is there may be needed */
    ck_assert_ptr_ne(ag_grad(x), mine);
    VALUES(mine, 11, 21);
    VALUES(ag_grad(x), 13, 25);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(ag_grad(x))), "AddBackward0");
    Variable *read = ag_sum(ag_mul(ag_grad(x), ag_grad(x)));
    OK(ag_backward(ag_sum(x))); /* in place again, which read's backward notices */
    REFUSED(ag_backward(read), "modified by an inplace operation: [torch.DoubleTensor [2]], which is output 0 of Add, "
                               "is at version 1; expected version 0 instead.");
}
END_TEST

START_TEST(a_gradient_is_not_added_into_elements_that_overlap)
{
    Variable *x = LEAF(AG_SHAPE(3), 1, 2, 3);
    OK(ag_set_grad(x, ag_expand(ag_ones(AG_SHAPE(1), .dtype = AG_FLOAT64), AG_SHAPE(3))));
    REFUSED(ag_backward(ag_sum(x)),
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation.");
    VALUES(ag_grad(x), 1, 1, 1);
}
END_TEST

START_TEST(a_gradient_of_several_inputs_is_nobodys_own)
{
    /* The sum's gradient is that of x and that of m. x's other reader runs before m's node, and adds to x.grad. */
    Variable *w = LEAF(AG_SHAPE(2), 0.5, 1), *x = LEAF(AG_SHAPE(2), 0.25, 0.75);
    Variable *m = ag_exp(w), *sine = ag_sin(x);
    OK(ag_backward(ag_sum(ag_mul(ag_add(x, m), sine))));
    CLOSE(ag_grad(w), ag_mul(ag_exp(ag_detach(w)), ag_sin(ag_detach(x))), 1e-15);
    /* Two leaves, and a gradient that neither can have as it is. */
    Variable *row = ag_requires_grad_(ag_expand(ag_ones(AG_SHAPE(1), .dtype = AG_FLOAT64), AG_SHAPE(2)));
    Variable *y = LEAF(AG_SHAPE(2), 3, 4);
    OK(ag_backward(ag_sum(ag_add(row, y))));
    VALUES(ag_grad(row), 1, 1);
    VALUES(ag_grad(y), 1, 1);
    /* The same input twice, and another one. */
    Variable *a = ag_neg(LEAF(AG_SHAPE(2), 1, 2)), *b = LEAF(AG_SHAPE(2), 5, 6);
    OK(ag_retain_grad(a));
    OK(ag_backward(ag_sum(ag_mul(ag_add(ag_add(a, a), b), b))));
    VALUES(ag_grad(a), 10, 12);
    VALUES(ag_grad(b), -2 + 10, -4 + 12);
}
END_TEST

START_TEST(a_gradient_that_is_also_someone_elses_is_copied)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *g = ag_tensor(((double[]){ 5, 6 }), AG_SHAPE(2));
    OK(ag_backward(ag_add(x, x), .gradient = g));
    VALUES(ag_grad(x), 10, 12);
    OK(ag_set_grad(x, AG_NONE));
    OK(ag_backward(x, .gradient = g));
    ck_assert_ptr_ne(ag_grad(x), g);
    ck_assert(!ag_shares_storage(ag_grad(x), g));
    OK(ag_backward(x, .gradient = g));
    VALUES(ag_grad(x), 10, 12);
    VALUES(g, 5, 6);
}
END_TEST

START_TEST(a_gradient_lies_as_its_leaf_does)
{
    Variable *x = ag_requires_grad_(
        ag_zeros(AG_SHAPE(3, 2, 2, 2), .dtype = AG_FLOAT64, .memory_format = AG_BATCH_LAST));
    OK(ag_backward(ag_sum(x)));
    ck_assert_mem_eq(ag_stride(ag_grad(x)).at, ag_stride(x).at, 4 * sizeof(int64_t));
}
END_TEST

START_TEST(a_gradient_lies_row_major_where_its_leaf_has_gaps)
{
    for (int create_graph = 0; create_graph < 2; create_graph++) {
        Variable *three_by_four = ag_zeros(AG_SHAPE(3, 4), .dtype = AG_FLOAT64),
                 *wide = ag_zeros(AG_SHAPE(3, 8), .dtype = AG_FLOAT64),
                 *factor = ag_t(ag_ones(AG_SHAPE(4, 3), .dtype = AG_FLOAT64));
        const struct {
            Variable *leaf;
            int64_t stride[2];
        } rows[] = { { ag_detach(three_by_four), { 4, 1 } },
                     { ag_detach(ag_t(ag_zeros(AG_SHAPE(4, 3), .dtype = AG_FLOAT64))), { 1, 3 } },
                     { ag_detach(ag_slice(wide, .dim = 1, .step = 2)), { 4, 1 } } };
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            OK(ag_requires_grad_(rows[i].leaf));
            OK(ag_backward(rows[i].leaf, .gradient = factor, .create_graph = create_graph));
            ck_assert_mem_eq(ag_stride(ag_grad(rows[i].leaf)).at, rows[i].stride, sizeof rows[i].stride);
        }
    }
}
END_TEST

START_TEST(a_leaf_that_no_longer_wants_a_gradient_gets_none)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *y = ag_sum(ag_add(ag_mul(x, w), x));
    OK(ag_requires_grad_(x, false));
    OK(ag_backward(y));
    ck_assert_ptr_null(ag_grad(x));
    VALUES(ag_grad(w), 1, 2);
}
END_TEST

START_TEST(retain_grad_keeps_the_gradient_of_an_inner_variable)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x);
    ck_assert(!ag_retains_grad(y));
    OK(ag_retain_grad(y));
    OK(ag_retain_grad(y));
    ck_assert(ag_retains_grad(y));
    OK(ag_backward(ag_sum(ag_mul(y, y)), .retain_graph = true));
    VALUES(ag_grad(y), 2, 8);
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(y), 3, 9);
    ck_assert(!ag_retains_grad(x));
    OK(ag_retain_grad(x)); /* a leaf's is kept anyway */
    ck_assert(!ag_retains_grad(x));
    REFUSED(ag_retain_grad(ag_detach(x)), "can't retain_grad on Tensor that has requires_grad=False");
    {
        AG_SCOPE;
        OK(ag_retain_grad(ag_mul(x, x))); /* dies before its node: nothing is left pointing to it */
    }
    Variable *loss;
    {
        AG_SCOPE;
        Variable *inner = ag_mul(x, x);
        OK(ag_retain_grad(inner));
        loss = ag_keep(ag_sum(inner));
    }
    OK(ag_backward(loss));
}
END_TEST

START_TEST(a_retained_gradient_is_a_copy_of_its_own)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *factor = ag_ones(AG_SHAPE(2), .dtype = AG_FLOAT64), *g;
    OK(ag_retain_grad(y));
    OK(ag_backward(y, .gradient = factor, .retain_graph = true));
    g = ag_grad(y);
    ck_assert(!ag_shares_storage(g, factor));
    OK(ag_retain(g));
    OK(ag_backward(y, .gradient = factor));
    VALUES(ag_grad(y), 2, 2);
    VALUES(g, 1, 1);
    ag_release(g);
    Variable *z = ag_exp(x), *wanted[1];
    OK(ag_retain_grad(z));
    OK(ag_autograd_grad(AG_LIST(ag_sum(z)), AG_LIST(x), wanted)); /* autograd.grad fills it, too */
    VALUES(ag_grad(z), 1, 1);
}
END_TEST

/* ---- backward ---- */

START_TEST(backward_of_more_than_one_number_needs_a_gradient_of_its_shape)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x);
    REFUSED(ag_backward(y), "grad can be implicitly created only for scalar outputs");
    REFUSED(ag_backward(y, .gradient = ag_ones(AG_SHAPE(3), .dtype = AG_FLOAT64)),
            "Mismatch in shape: grad_output[0] has a shape of torch.Size([3]) and output[0] has a shape of "
            "torch.Size([2]).");
    ck_assert_ptr_null(ag_grad(x));
    REFUSED(ag_backward(ag_sum(y), .gradient = ag_ones(AG_SHAPE(1))),
            "grad_output[0] has a shape of torch.Size([1]) and output[0] has a shape of torch.Size([]).");
    REFUSED(ag_backward(y, .gradient = NULL), "gradient is NULL");
    OK(ag_backward(y, .gradient = ag_tensor(((double[]){ 1, 10 }), AG_SHAPE(2))));
    VALUES(ag_grad(x), 2, 40);
    OK(ag_backward(ag_mul(x, x), .gradient = ag_ones(AG_SHAPE(2), .dtype = AG_INT64))); /* cast to the root's type */
    VALUES(ag_grad(x), 4, 44);
    ck_assert_int_eq(ag_dtype_of(ag_grad(x)), AG_FLOAT64);
}
END_TEST

START_TEST(backward_of_what_wants_no_gradient_is_refused)
{
    REFUSED(ag_backward(ag_zeros(AG_SHAPE(1))),
            "element 0 of tensors does not require grad and does not have a grad_fn");
    REFUSED(ag_backward(ag_zeros(AG_SHAPE(2))),
            "element 0 of tensors does not require grad and does not have a grad_fn");
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *g[1];
    REFUSED(ag_autograd_grad(AG_LIST(ag_sum(x), ag_zeros(AG_SHAPE(2))), AG_LIST(x), g),
            "element 1 of tensors does not require grad and does not have a grad_fn");
    REFUSED(ag_backward(NULL), "backward: root is NULL");
    REFUSED(ag_backward(AG_NONE), "backward: root is None");
}
END_TEST

START_TEST(a_second_backward_needs_retain_graph)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_sum(ag_mul(x, x));
    OK(ag_backward(y, .retain_graph = true));
    OK(ag_backward(y));
    VALUES(ag_grad(x), 4, 8);
    REFUSED(ag_backward(y),
            "Trying to backward through the graph a second time (or directly access saved tensors after they have "
            "already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
            "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or if "
            "you need to access saved tensors after calling backward.");
    VALUES(ag_grad(x), 4, 8);
    Variable *z = ag_sum(ag_add(x, x)); /* nothing is saved, so nothing is missing, as in PyTorch */
    OK(ag_backward(z));
    OK(ag_backward(z));
}
END_TEST

START_TEST(create_graph_gives_gradients_of_any_order)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(ag_mul(x, x), ag_mul(x, x)), *g[1]; /* x^4 */
    const double expected[] = { 108, 108, 72, 24 };
    for (int order = 0; order < 4; order++) {
        OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .create_graph = true));
        y = g[0];
        VALUES(y, expected[order]);
        ck_assert(ag_requires_grad(y) || order == 3);
    }
    ck_assert_ptr_null(ag_grad(x));
}
END_TEST

START_TEST(backward_with_create_graph_leaves_no_cycle_behind)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    OK(ag_backward(ag_sum(ag_mul(x, ag_mul(x, x))), .create_graph = true));
    VALUES(ag_grad(x), 3, 12);
    ck_assert(ag_requires_grad(ag_grad(x)));
    OK(ag_backward(ag_sum(ag_grad(x))));
    VALUES(ag_grad(x), 9, 24); /* 3 x^2 + 6 x: added to the first, as in PyTorch */
} /* support_end finds everything gone although x.grad's graph holds x */
END_TEST

START_TEST(autograd_grad_leaves_grad_alone_and_sums_over_outputs)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *g[2];
    Variable *a = ag_mul(x, w), *b = ag_mul(x, x);
    OK(ag_autograd_grad(AG_LIST(ag_sum(a), ag_sum(b)), AG_LIST(x, w), g));
    VALUES(g[0], 5, 8);
    VALUES(g[1], 1, 2);
    ck_assert_ptr_null(ag_grad(x));
    ck_assert_ptr_null(ag_grad(w));
}
END_TEST

START_TEST(autograd_grad_takes_inner_variables_and_the_root_itself)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *z = ag_mul(y, y), *s = ag_sum(z), *g[4];
    OK(ag_autograd_grad(AG_LIST(s), AG_LIST(y, x, s, y), g));
    VALUES(g[0], 2, 8);
    VALUES(g[1], 4, 32);
    VALUES(g[2], 1);
    VALUES(g[3], 2, 8);
}
END_TEST

START_TEST(autograd_grad_walks_only_to_its_inputs)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *g[1];
    Variable *y = ag_mul(w, w), *sum_y = ag_sum(y);
    OK(ag_backward(sum_y)); /* y's graph is used up */
    Variable *z = ag_add(ag_mul(x, x), y);
    OK(ag_autograd_grad(AG_LIST(ag_sum(z)), AG_LIST(x), g));
    VALUES(g[0], 2, 4);
}
END_TEST

START_TEST(autograd_grad_says_which_input_is_unused)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *y = ag_sum(ag_mul(x, x)), *g[2];
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .retain_graph = true),
            "The differentiated Tensor at index 1 appears to not have been used in the graph. Set allow_unused=True if "
            "this is the desired behavior.");
    ck_assert(!g[0] && !g[1]);
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .retain_graph = true, .allow_unused = true));
    VALUES(g[0], 2, 4);
    ck_assert_ptr_null(g[1]);
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .retain_graph = true, .materialize_grads = true));
    VALUES(g[1], 0, 0);
    ck_assert(!ag_requires_grad(g[1]));
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .create_graph = true, .materialize_grads = true));
    ck_assert(ag_requires_grad(g[1]));
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .allow_unused = false, .materialize_grads = true),
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.");
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(ag_detach(x)), g),
            "One of the differentiated Tensors does not require grad");
}
END_TEST

START_TEST(autograd_grad_says_what_is_wrong_with_its_lists)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *g[1] = { x },
             *three = ag_ones(AG_SHAPE(3), .dtype = AG_FLOAT64);
    Variable *const *none = NULL;
    REFUSED(ag_autograd_grad(AG_LIST(ag_sum(y)), ag_list_from(0, none), g),
            "`inputs` argument to `grad()` cannot be empty.");
    REFUSED(ag_autograd_grad(ag_list_from(0, none), AG_LIST(x), g), "at index 0 appears to not have been used");
    ck_assert_ptr_null(g[0]);
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g), "grad can be implicitly created only for scalar outputs");
    REFUSED(ag_autograd_grad(AG_LIST(ag_sum(y), y), AG_LIST(x), g, .grad_outputs = AG_LIST(AG_NONE, three)),
            "Mismatch in shape: grad_output[1] has a shape of torch.Size([3]) and output[1] has a shape of "
            "torch.Size([2]).");
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .grad_outputs = AG_LIST(three, three)),
            "got 1 tensors and 2 gradients");
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(NULL), g), "autograd.grad: input 0 is NULL");
    REFUSED(ag_autograd_grad(AG_LIST(NULL), AG_LIST(x), g), "output 0 is NULL");
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(x), NULL), "autograd.grad: grads is NULL");
}
END_TEST

START_TEST(a_batch_of_grad_outputs_gives_a_batch_of_gradients)
{
    Variable *x = LEAF(AG_SHAPE(2), 3, 5), *w = LEAF(AG_SHAPE(2), 1, 1), *y = ag_mul(ag_mul(x, x), x), *g[2];
    Variable *eye = ag_eye(2, .dtype = AG_FLOAT64);
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .grad_outputs = AG_LIST(eye), .is_grads_batched = true,
                        .create_graph = true, .allow_unused = true));
    SHAPE(g[0], 2, 2);
    VALUES(g[0], 27, 0, 0, 75);
    ck_assert_ptr_null(g[1]);
    OK(ag_backward(ag_sum(g[0]), .retain_graph = true));
    VALUES(ag_grad(x), 18, 30);
    Variable *three = ag_ones(AG_SHAPE(4, 3)), *flat = ag_ones(AG_SHAPE(3, 2));
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .grad_outputs = AG_LIST(three), .is_grads_batched = true),
            "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch dimension. "
            "The sizes of the remaining dimensions are expected to match the shape of corresponding output, but a "
            "mismatch was detected: grad_output[0] has a shape of torch.Size([3]) and output[0] has a shape of "
            "torch.Size([2]). If you only want some tensors in `grad_output` to be considered batched, consider using "
            "vmap.");
    REFUSED(
        ag_autograd_grad(AG_LIST(y, y), AG_LIST(x), g, .grad_outputs = AG_LIST(eye, flat), .is_grads_batched = true),
        "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes [2, 3] for the mapped "
        "dimension");
    REFUSED(ag_autograd_grad(AG_LIST(ag_sum(y)), AG_LIST(x), g, .is_grads_batched = true), "wants grad_outputs");
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .grad_outputs = AG_LIST(AG_NONE), .is_grads_batched = true),
            "grad_output 0 is None");
    REFUSED(ag_autograd_grad(AG_LIST(ag_sum(y)), AG_LIST(x), g, .grad_outputs = AG_LIST(ag_ones(AG_SCALAR_SHAPE)),
                             .is_grads_batched = true),
            "grad_output[0] has no batch: its shape is torch.Size([])");
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .grad_outputs = AG_LIST(flat), .is_grads_batched = true));
    SHAPE(g[0], 3, 2);
    VALUES(g[0], 27, 75, 27, 75, 27, 75);
    ck_assert(!ag_requires_grad(g[0]));
    REFUSED(ag_backward(ag_sum(y)), "a second time"); /* the last call of the batch frees the graph */
}
END_TEST

START_TEST(gradients_from_several_readers_add_up_in_any_order_of_their_making)
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *a = ag_mul(x, x), *b = ag_exp(x), *c = ag_mul(a, b),
             *d = ag_add(c, ag_mul(a, x));
    OK(ag_backward(d)); /* x^2 e^x + x^3 */
    VALUES(ag_grad(x), 8 * exp(2) + 12);
}
END_TEST

/* ---- grad mode ---- */

START_TEST(no_grad_records_nothing_and_factories_are_exempt)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    {
        AG_NO_GRAD;
        ck_assert(!ag_is_grad_enabled());
        ck_assert(!ag_requires_grad(ag_mul(x, x)));
        ck_assert(ag_requires_grad(ag_zeros(AG_SHAPE(2), .requires_grad = true)));
        {
            AG_ENABLE_GRAD;
            ck_assert(ag_requires_grad(ag_mul(x, x)));
        }
        ck_assert(!ag_is_grad_enabled());
    }
    ck_assert(ag_is_grad_enabled());
    ag_set_grad_enabled(false);
    ck_assert(!ag_requires_grad(ag_mul(x, x)));
    ag_set_grad_enabled(true);
}
END_TEST

static void *asks_for_grad_mode(void *user)
{
    *(bool *)user = ag_is_grad_enabled();
    return NULL;
}
START_TEST(grad_mode_is_each_threads_own)
{
    AG_NO_GRAD;
    bool enabled = false;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, asks_for_grad_mode, &enabled), 0);
    pthread_join(thread, NULL);
    ck_assert(enabled);
}
END_TEST

/* ---- what has no derivative ---- */

#define AG_ARGS_mystery(must, may) must(Tensor, input)
static bool mystery_shape(ag_run *r)
{
    const ag_tensor *x = &r->in[0]->tensor;
    return ag__output(r, 0, x->ndim, x->size, (ag_dtype)x->dtype) != NULL;
}
static bool mystery_cpu(ag_run *r)
{
    ag__fill_elements(&r->out[0]->tensor, 42);
    return true;
}
ag_variable *ag_mystery(ag_variable *input);
AG_OP_PLAIN(mystery, .shape = mystery_shape, .kernel = { mystery_cpu })

START_TEST(an_op_without_a_derivative_says_so)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    REFUSED(ag_mystery(x), "the derivative for 'mystery' is not implemented");
    VALUES(ag_mystery(ag_detach(x)), 42, 42);
}
END_TEST

START_TEST(indices_and_comparisons_never_want_a_gradient)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    ck_assert(!ag_requires_grad(ag_argmax(x)));
    ck_assert(!ag_requires_grad(ag_max_dim(x, 0).indices));
    ck_assert(ag_requires_grad(ag_max_dim(x, 0).values));
    ck_assert(!ag_requires_grad(ag_eq(x, x)));
}
END_TEST

/* ---- errors stand ---- */

START_TEST(while_an_error_stands_nothing_changes_and_the_first_sentence_stays)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_zeros(AG_SHAPE(2)), *y = ag_sum(ag_mul(x, x));
    Variable *bad = ag_add(ag_zeros(AG_SHAPE(2)), ag_zeros(AG_SHAPE(3)));
    ck_assert_ptr_null(bad);
    ck_assert_int_eq(ag_error_code(), AG_EINVAL);
    char first[1024];
    strcpy(first, ag_error());
    ck_assert_ptr_null(ag_exp(bad));
    ck_assert_ptr_null(ag_add_(c, c));
    ck_assert(!ag_backward(y));
    ck_assert_str_eq(ag_error(), first);
    ag_clear_error();
    ck_assert_int_eq(ag_version(c), 0);
    ck_assert_ptr_null(ag_grad(x));
    OK(ag_backward(y));
    REFUSED(ag_exp(NULL), "exp: input is NULL");
}
END_TEST

/* ---- broadcasting and types, undone by the engine ---- */

START_TEST(a_broadcast_inputs_gradient_is_summed_to_its_shape_and_cast_to_its_type)
{
    Variable *row = LEAF(AG_SHAPE(3), 1, 2, 3), *column = LEAF(AG_SHAPE(2, 1), 10, 20),
             *number = LEAF(AG_SCALAR_SHAPE, 2);
    OK(ag_backward(ag_sum(ag_mul(ag_mul(row, column), number))));
    VALUES(ag_grad(row), 60, 60, 60);
    VALUES(ag_grad(column), 12, 12);
    SHAPE(ag_grad(column), 2, 1);
    VALUES(ag_grad(number), 180);
    Variable *single = ag_requires_grad_(ag_ones(AG_SHAPE(3)));
    OK(ag_backward(ag_sum(ag_mul(single, row))));
    ck_assert_int_eq(ag_dtype_of(ag_grad(single)), AG_FLOAT32);
}
END_TEST

SUPPORT_MAIN("autograd", a_result_requires_a_gradient_if_and_only_if_an_input_does,
             requires_grad_can_be_set_on_leaves_of_a_floating_type_only,
             leaves_are_what_the_user_made_and_what_wants_no_gradient, a_nodes_next_functions_lead_back_to_the_leaves,
             grad_is_null_before_the_first_backward_and_then_adds_up, a_gradient_that_does_not_fit_cannot_be_assigned,
             a_later_gradient_is_added_into_the_variable_that_is_there,
             a_gradient_is_not_added_into_elements_that_overlap, a_gradient_of_several_inputs_is_nobodys_own,
             a_gradient_that_is_also_someone_elses_is_copied, a_gradient_lies_as_its_leaf_does,
             a_gradient_lies_row_major_where_its_leaf_has_gaps, a_leaf_that_no_longer_wants_a_gradient_gets_none,
             retain_grad_keeps_the_gradient_of_an_inner_variable, a_retained_gradient_is_a_copy_of_its_own,
             backward_of_more_than_one_number_needs_a_gradient_of_its_shape,
             backward_of_what_wants_no_gradient_is_refused, a_second_backward_needs_retain_graph,
             create_graph_gives_gradients_of_any_order, backward_with_create_graph_leaves_no_cycle_behind,
             autograd_grad_leaves_grad_alone_and_sums_over_outputs,
             autograd_grad_takes_inner_variables_and_the_root_itself, autograd_grad_walks_only_to_its_inputs,
             autograd_grad_says_which_input_is_unused, autograd_grad_says_what_is_wrong_with_its_lists,
             a_batch_of_grad_outputs_gives_a_batch_of_gradients,
             gradients_from_several_readers_add_up_in_any_order_of_their_making,
             no_grad_records_nothing_and_factories_are_exempt, grad_mode_is_each_threads_own,
             an_op_without_a_derivative_says_so, indices_and_comparisons_never_want_a_gradient,
             while_an_error_stands_nothing_changes_and_the_first_sentence_stays,
             a_broadcast_inputs_gradient_is_summed_to_its_shape_and_cast_to_its_type)
