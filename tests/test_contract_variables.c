/* test_contract_variables.c - the Variable's contract, a sentence of docs/contract.md each: requires_grad, leaves,
 * .grad, nodes, broadcasting, types, devices, ties, and what has no derivative. */
#include "autograd/op.h"
#include "support.h"

#define FLOATS(...) ag_tensor(((double[]){ __VA_ARGS__ }), AG_SHAPE(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)))

/* ---- requires_grad, leaves ---- */

START_TEST(an_output_requires_grad_iff_any_input_does) /* row 1 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = FLOATS(3, 4), *none = FLOATS(5, 6);
    const struct {
        Variable *output;
        bool requires_grad;
    } rows[] = {
        { ag_add(x, c), true },
        { ag_add(c, x), true },
        { ag_add(c, none), false },
        { ag_exp(x), true },
        { ag_exp(c), false },
        { ag_cat(AG_LIST(c, none, x)), true },
        { ag_cat(AG_LIST(c, none, c)), false },
        { ag_addcmul(c, none, x), true },
        { ag_where(ag_gt(c, none), none, x), true },
        { ag_where(ag_gt(x, none), none, c), false }, /* the condition is not differentiable */
        { ag_view(x, AG_SHAPE(2, 1)), true },
        { ag_mul(ag_detach(x), c), false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        OK(rows[i].output);
        ck_assert_msg(ag_requires_grad(rows[i].output) == rows[i].requires_grad, "row %zu", i);
    }
}
END_TEST

START_TEST(requires_grad_is_settable_only_on_leaves) /* row 1 */
{
    Variable *x = FLOATS(1, 2);
    OK(ag_requires_grad_(x));
    OK(ag_requires_grad_(x, false));
    OK(ag_requires_grad_(x));
    Variable *y = ag_mul(x, x);
    REFUSED(ag_requires_grad_(y, false),
            "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a "
            "subgraph that doesn't require differentiation use var_no_grad = var.detach().");
    OK(ag_requires_grad_(y)); /* it does already */
}
END_TEST

START_TEST(non_leaves_always_require_grad) /* row 1 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = FLOATS(3, 4);
    Variable *all[] = { x, c, ag_mul(x, c), ag_mul(c, c), ag_detach(ag_mul(x, c)), ag_select(x, 0, 1) };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) ck_assert(ag_is_leaf(all[i]) || ag_requires_grad(all[i]));
    OK(ag_mul_(c, x));
    ck_assert(!ag_is_leaf(c) && ag_requires_grad(c));
}
END_TEST

START_TEST(only_floating_point_dtypes_can_require_grad) /* row 1 */
{
    for (ag_dtype type = 0; type < AG_N_DTYPES; type++) {
        Variable *x = ag_zeros(AG_SHAPE(2), .dtype = type);
        if (ag_dtype_is_floating_point(type))
            OK(ag_requires_grad_(x));
        else
            REFUSED(ag_requires_grad_(x), "only Tensors of floating point dtype can require gradients");
    }
    REFUSED(ag_zeros(AG_SHAPE(2), .dtype = AG_INT64, .requires_grad = true),
            "Only Tensors of floating point and complex dtype can require gradients");
}
END_TEST

START_TEST(a_leaf_requires_no_grad_or_is_user_created) /* row 2 */
{
    Variable *user = LEAF(AG_SHAPE(2), 1, 2), *c = FLOATS(3, 4);
    ck_assert(ag_is_leaf(user) && !ag_grad_fn(user));
    ck_assert(ag_is_leaf(c) && ag_is_leaf(ag_exp(c)) && !ag_grad_fn(ag_exp(c)));
    ck_assert(ag_is_leaf(ag_detach(ag_exp(user))));
    ck_assert(!ag_is_leaf(ag_exp(user)) && ag_grad_fn(ag_exp(user)));
    ck_assert(ag_is_leaf(ag_rand(AG_SHAPE(2), .requires_grad = true)));
    Variable *set_later = ag_exp(c);
    OK(ag_requires_grad_(set_later)); /* computed, but its history begins here */
    ck_assert(ag_is_leaf(set_later) && !ag_grad_fn(set_later));
}
END_TEST

START_TEST(a_converted_leaf_that_requires_grad_is_not_a_leaf) /* row 2 */
{
    Variable *x = ag_rand(AG_SHAPE(2), .requires_grad = true), *y = ag_double(x);
    ck_assert(!ag_is_leaf(y) && ag_requires_grad(y));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "ToCopyBackward0");
    OK(ag_backward(ag_sum(y)));
    ck_assert(ag_grad(x) && !ag_grad(y));
    ck_assert_ptr_eq(ag_cpu(x), x); /* nothing to convert: x itself, a leaf */
    ck_assert(ag_is_leaf(ag_double(ag_rand(AG_SHAPE(2)))));
}
END_TEST

/* ---- .grad ---- */

START_TEST(grad_is_none_until_the_first_backward_and_later_backwards_add_into_it) /* row 3 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    ck_assert(!ag_grad(x) && !ag_error());
    OK(ag_backward(ag_sum(ag_square(x))));
    VALUES(ag_grad(x), 2, 4);
    OK(ag_backward(ag_sum(ag_mul(x, ag_scalar(10)))));
    VALUES(ag_grad(x), 12, 14);
}
END_TEST

START_TEST(only_leaves_get_grad) /* row 3 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *c = FLOATS(2), *y = ag_mul(x, c), *z = ag_exp(y);
    OK(ag_backward(z));
    ck_assert(ag_grad(x) && !ag_grad(y) && !ag_grad(z) && !ag_grad(c));
}
END_TEST

START_TEST(retain_grad_enables_grad_on_a_non_leaf) /* row 5 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, x), *z = ag_mul(y, ag_scalar(5));
    OK(ag_retain_grad(y));
    ck_assert(ag_retains_grad(y) && !ag_retains_grad(z));
    OK(ag_backward(z));
    VALUES(ag_grad(y), 5);
    VALUES(ag_grad(x), 30);
    OK(ag_retain_grad(x)); /* of a leaf: nothing to do */
    ck_assert(!ag_retains_grad(x));
    REFUSED(ag_retain_grad(FLOATS(1)), "can't retain_grad on Tensor that has requires_grad=False");
}
END_TEST

/* ---- nodes ---- */

START_TEST(grad_fn_is_an_entry_into_a_dag_of_nodes_with_names) /* row 4 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = FLOATS(3, 4), *y = ag_clone(ag_add(ag_mul(x, c), x));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "CloneBackward0");
    ag_next add, mul, leaf, nothing;
    ck_assert(ag_next_function(ag_grad_fn(y), 0, &add));
    ck_assert_str_eq(ag_node_name(add.node), "AddBackward0");
    ck_assert(ag_next_function(add.node, 0, &mul) && ag_next_function(add.node, 1, &leaf));
    ck_assert_str_eq(mul.name, "MulBackward0");
    ck_assert(leaf.leaf == x && !leaf.node);
    ck_assert_str_eq(leaf.name, "AccumulateGrad");
    ck_assert(ag_next_function(mul.node, 0, &leaf) && leaf.leaf == x); /* one leaf, two ways to it */
    ck_assert(ag_next_function(mul.node, 1, &nothing) && !nothing.node && !nothing.leaf);
    ck_assert(!ag_next_function(mul.node, 2, &nothing));
    ag_values_indices m = ag_max_dim(x, 0);
    ck_assert_int_eq(ag_output_nr(m.values), 0);
}
END_TEST

START_TEST(the_graph_is_rebuilt_in_every_iteration) /* row 4 */
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *y[2];
    for (int i = 0; i < 2; i++) y[i] = i ? ag_exp(x) : ag_mul(x, x); /* control flow is C's own */
    ck_assert_ptr_ne(ag_grad_fn(y[0]), ag_grad_fn(y[1]));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y[0])), "MulBackward0");
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y[1])), "ExpBackward0");
    OK(ag_backward(y[1])); /* the one graph's end is not the other's */
    OK(ag_backward(y[0]));
    VALUES(ag_grad(x), exp(2) + 4);
}
END_TEST

/* ---- what has no derivative ---- */

#define AG_ARGS_underived(must, may) must(Tensor, input)
static bool underived_shape(ag_run *r)
{
    const ag_tensor *x = &r->in[0]->tensor;
    return ag__output(r, 0, x->ndim, x->size, (ag_dtype)x->dtype) != NULL;
}
static bool underived_cpu(ag_run *r)
{
    ag__fill_elements(&r->out[0]->tensor, 7);
    return true;
}
ag_variable *ag_underived(ag_variable *input);
AG_OP_PLAIN(underived, .shape = underived_shape, .kernel = { underived_cpu })

START_TEST(a_missing_derivative_is_an_error_that_names_the_op) /* row 24 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    REFUSED(ag_underived(x), "the derivative for 'underived' is not implemented");
    VALUES(ag_underived(ag_detach(x)), 7, 7);
    AG_NO_GRAD;
    VALUES(ag_underived(x), 7, 7);
}
END_TEST

START_TEST(non_differentiable_outputs_never_require_grad) /* row 47 */
{
    Variable *x = LEAF(AG_SHAPE(2, 2), 1, 2, 4, 3);
    ag_values_indices max = ag_max_dim(x, 1), min = ag_min_dim(x, 1);
    ck_assert(ag_requires_grad(max.values) && ag_requires_grad(min.values));
    Variable *outputs[] = {
        max.indices, min.indices, ag_argmax(x), ag_argmin(x),      ag_gt(x, x),      ag_eq(x, x),
        ag_isnan(x), ag_any(x),   ag_all(x),    ag_logical_not(x), ag_zeros_like(x), ag_rand_like(x)
    };
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        OK(outputs[i]);
        ck_assert_msg(!ag_requires_grad(outputs[i]) && !ag_grad_fn(outputs[i]), "output %zu", i);
    }
    Variable *pooled = ag_view(x, AG_SHAPE(1, 1, 2, 2));
    ck_assert(!ag_requires_grad(ag_max_pool2d_with_indices(pooled, 2).indices));
}
END_TEST

/* ---- ties ---- */

START_TEST(max_along_a_dim_gives_its_gradient_to_the_returned_index_only) /* row 46 */
{
    Variable *x = LEAF(AG_SHAPE(2, 3), 5, 7, 7, 1, 1, 1);
    ag_values_indices m = ag_max_dim(x, 1);
    VALUES(m.indices, 1, 0);
    OK(ag_backward(ag_sum(m.values)));
    VALUES(ag_grad(x), 0, 1, 0, 1, 0, 0);
}
END_TEST

START_TEST(a_full_max_and_amax_split_their_gradient_evenly_between_ties) /* row 46 */
{
    Variable *x = LEAF(AG_SHAPE(4), 7, 5, 7, 5), *g[1];
    OK(ag_autograd_grad(AG_LIST(ag_max(x)), AG_LIST(x), g));
    VALUES(g[0], 0.5, 0, 0.5, 0);
    OK(ag_autograd_grad(AG_LIST(ag_min(x)), AG_LIST(x), g));
    VALUES(g[0], 0, 0.5, 0, 0.5);
    OK(ag_autograd_grad(AG_LIST(ag_amax(x, 0)), AG_LIST(x), g));
    VALUES(g[0], 0.5, 0, 0.5, 0);
    OK(ag_autograd_grad(AG_LIST(ag_sum(ag_maximum(x, ag_flip(x, AG_SHAPE(0))))), AG_LIST(x), g));
    VALUES(g[0], 2, 0, 2, 0);
    OK(ag_autograd_grad(AG_LIST(ag_sum(ag_maximum(x, FLOATS(7, 5, 1, 9)))), AG_LIST(x), g));
    VALUES(g[0], 0.5, 0.5, 1, 0);
}
END_TEST

/* ---- broadcasting ---- */

START_TEST(broadcasting_aligns_trailing_dims_that_are_equal_one_or_absent) /* row 42 */
{
    SHAPE(ag_add(ag_zeros(AG_SHAPE(5, 1, 4, 1)), ag_zeros(AG_SHAPE(3, 1, 1))), 5, 3, 4, 1);
    SHAPE(ag_add(ag_zeros(AG_SHAPE(1)), ag_zeros(AG_SHAPE(3, 1, 7))), 3, 1, 7);
    SHAPE(ag_add(ag_zeros(AG_SCALAR_SHAPE), ag_zeros(AG_SHAPE(0, 2))), 0, 2);
    SHAPE(ag_add(ag_zeros(AG_SHAPE(1)), ag_zeros(AG_SHAPE(0))), 0);
    VALUES(ag_mul(FLOATS(1, 2), ag_view(FLOATS(10, 100), AG_SHAPE(2, 1))), 10, 20, 100, 200);
    REFUSED(ag_add(ag_zeros(AG_SHAPE(5, 2, 4, 1)), ag_zeros(AG_SHAPE(3, 1, 1))),
            "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 1");
    REFUSED(ag_add(ag_zeros(AG_SHAPE(0)), ag_zeros(AG_SHAPE(2, 2))),
            "The size of tensor a (0) must match the size of tensor b (2) at non-singleton dimension 1");
}
END_TEST

START_TEST(an_in_place_target_does_not_change_shape_by_broadcasting) /* row 42 */
{
    Variable *x = ag_zeros(AG_SHAPE(1, 3, 1));
    REFUSED(ag_add_(x, ag_ones(AG_SHAPE(3, 1, 7))),
            "output with shape [1, 3, 1] doesn't match the broadcast shape [3, 3, 7]");
    SHAPE(x, 1, 3, 1);
    ck_assert_int_eq(ag_version(x), 0);
    OK(ag_add_(x, ag_ones(AG_SHAPE(3, 1))));
    VALUES(x, 1, 1, 1);
}
END_TEST

START_TEST(backward_sums_over_broadcast_dims) /* row 42 */
{
    Variable *row = LEAF(AG_SHAPE(3), 1, 2, 3), *column = LEAF(AG_SHAPE(2, 1), 10, 20), *one = LEAF(AG_SCALAR_SHAPE, 2);
    OK(ag_backward(ag_sum(ag_mul(ag_mul(row, column), one))));
    VALUES(ag_grad(row), 60, 60, 60);
    SHAPE(ag_grad(column), 2, 1);
    VALUES(ag_grad(column), 12, 12);
    SHAPE(ag_grad(one), );
    VALUES(ag_grad(one), 180);
}
END_TEST

/* ---- types ---- */

START_TEST(types_are_promoted_float_over_integral_over_bool) /* row 43 */
{
    static const ag_dtype ordered[] = { AG_BOOL, AG_UINT8, AG_INT32, AG_INT64, AG_FLOAT32, AG_FLOAT64 };
    for (int a = 0; a < AG_N_DTYPES; a++)
        for (int b = 0; b < AG_N_DTYPES; b++) {
            Variable *x = ag_ones(AG_SHAPE(2), .dtype = ordered[a]), *y = ag_ones(AG_SHAPE(2), .dtype = ordered[b]);
            ag_dtype greater = ordered[a > b ? a : b];
            ck_assert_int_eq(ag_dtype_of(ag_add(x, y)), greater);
            ck_assert_int_eq(ag_promote_types(ordered[a], ordered[b]), greater);
        }
}
END_TEST

START_TEST(a_0_dim_tensor_or_a_number_does_not_widen_within_its_category) /* row 43 */
{
    Variable *single = ag_ones(AG_SHAPE(2)), *whole = ag_ones(AG_SHAPE(2), .dtype = AG_INT32),
             *byte = ag_ones(AG_SHAPE(2), .dtype = AG_UINT8), *truth = ag_ones(AG_SHAPE(2), .dtype = AG_BOOL);
    Variable *double0 = ag_ones(AG_SCALAR_SHAPE, .dtype = AG_FLOAT64),
             *long0 = ag_ones(AG_SCALAR_SHAPE, .dtype = AG_INT64);
    const struct {
        Variable *x, *y;
        ag_dtype expected;
    } rows[] = {
        { single, double0, AG_FLOAT32 },
        { single, ag_scalar(2.5), AG_FLOAT32 },
        { single, ag_scalar(2), AG_FLOAT32 },
        { whole, long0, AG_INT32 },
        { byte, ag_scalar(3), AG_UINT8 },
        { whole, ag_scalar(2), AG_INT32 },
        { whole, double0, AG_FLOAT64 },
        { whole, ag_scalar(2.5), AG_FLOAT32 }, /* a float: the default type */
        { truth, ag_scalar(2), AG_INT64 },
        { truth, ag_scalar(2.5), AG_FLOAT32 }, /* an int: int64 */
        { truth, ag_scalar_bool(true), AG_BOOL },
        { double0, single, AG_FLOAT32 },
        { double0, ag_ones(AG_SCALAR_SHAPE), AG_FLOAT64 }, /* both without dimensions: widened */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(ag_dtype_of(ag_add(rows[i].x, rows[i].y)) == rows[i].expected, "row %zu", i);
    OK(ag_set_default_dtype(AG_FLOAT64));
    ag_dtype type = ag_dtype_of(ag_add(whole, ag_scalar(2.5)));
    OK(ag_set_default_dtype(AG_FLOAT32));
    ck_assert_int_eq(type, AG_FLOAT64);
}
END_TEST

START_TEST(an_int_tensor_does_not_receive_float_in_place) /* row 43 */
{
    Variable *x = ag_ones(AG_SHAPE(2), .dtype = AG_INT64), *truth = ag_ones(AG_SHAPE(2), .dtype = AG_BOOL);
    REFUSED(ag_add_(x, ag_scalar(1.5)), "result type Float can't be cast to the desired output type Long");
    REFUSED(ag_mul_(x, FLOATS(1, 2)), "result type Double can't be cast to the desired output type Long");
    REFUSED(ag_add_(truth, x), "result type Long can't be cast to the desired output type Bool");
    VALUES(x, 1, 1);
    ck_assert_int_eq(ag_version(x), 0);
    OK(ag_add_(ag_ones(AG_SHAPE(2)), FLOATS(1, 2))); /* a narrower float may receive a wider one */
    OK(ag_copy_(x, FLOATS(1.5, 2.5)));               /* copy_ converts */
    VALUES(x, 1, 2);
}
END_TEST

/* ---- devices ---- */

START_TEST(a_variable_stays_on_its_device_unless_it_is_moved) /* row 44: two devices wait for CUDA */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2),
             *outputs[] = { ag_mul(x, ag_scalar(2)), ag_view(x, AG_SHAPE(2, 1)), ag_cpu(x) };
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        ck_assert_int_eq(ag_device_of(outputs[i]).type, AG_DEVICE_CPU);
    if (!ag_cuda_is_available()) {
        REFUSED(ag_cuda(x), "cuda");
        REFUSED(ag_zeros(AG_SHAPE(2), .device = AG_CUDA), "cuda");
    }
    ck_assert_int_eq(ag_device_of(x).type, AG_DEVICE_CPU);
}
END_TEST

SUPPORT_MAIN("contract_variables", an_output_requires_grad_iff_any_input_does, requires_grad_is_settable_only_on_leaves,
             non_leaves_always_require_grad, only_floating_point_dtypes_can_require_grad,
             a_leaf_requires_no_grad_or_is_user_created, a_converted_leaf_that_requires_grad_is_not_a_leaf,
             grad_is_none_until_the_first_backward_and_later_backwards_add_into_it, only_leaves_get_grad,
             retain_grad_enables_grad_on_a_non_leaf, grad_fn_is_an_entry_into_a_dag_of_nodes_with_names,
             the_graph_is_rebuilt_in_every_iteration, a_missing_derivative_is_an_error_that_names_the_op,
             non_differentiable_outputs_never_require_grad,
             max_along_a_dim_gives_its_gradient_to_the_returned_index_only,
             a_full_max_and_amax_split_their_gradient_evenly_between_ties,
             broadcasting_aligns_trailing_dims_that_are_equal_one_or_absent,
             an_in_place_target_does_not_change_shape_by_broadcasting, backward_sums_over_broadcast_dims,
             types_are_promoted_float_over_integral_over_bool,
             a_0_dim_tensor_or_a_number_does_not_widen_within_its_category,
             an_int_tensor_does_not_receive_float_in_place, a_variable_stays_on_its_device_unless_it_is_moved)
