/* test_contract_views.c - the Variable's contract, a sentence of docs/contract.md each: detach, version counters,
 * views, and changes in place. */
#include "support.h"

#define FLOATS(...) ag_tensor(((double[]){ __VA_ARGS__ }), AG_SHAPE(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)))

/* ---- detach ---- */

START_TEST(detach_shares_storage_and_its_result_never_requires_grad) /* row 17 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *d = ag_detach(y);
    ck_assert(ag_shares_storage(y, d) && !ag_requires_grad(d) && ag_is_leaf(d) && !ag_grad_fn(d));
    ck_assert(!ag_requires_grad(ag_detach(x)) && !ag_requires_grad(ag_mul(d, d)));
    OK(ag_zero_(d));
    VALUES(y, 0, 0);
}
END_TEST

START_TEST(a_change_of_a_detached_is_seen_and_trips_version_checks) /* row 17 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *z = ag_sum(ag_mul(y, y));
    OK(ag_zero_(ag_detach(y)));
    ck_assert_int_eq(ag_version(y), 1);
    REFUSED(ag_backward(z),
            "modified by an inplace operation: [torch.DoubleTensor [2]], which is output 0 of Mul, is at "
            "version 1; expected version 0 instead.");
    Variable *w = ag_mul(x, x), *d = ag_detach(w), *read = ag_sum(ag_mul(d, x));
    {
        AG_NO_GRAD;
        OK(ag_zero_(w)); /* the other way round */
    }
    REFUSED(ag_backward(read), "modified by an inplace operation");
}
END_TEST

START_TEST(detach_in_place_makes_a_leaf_and_is_refused_for_views) /* row 17 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x);
    ck_assert_ptr_eq(ag_detach_(y), y);
    ck_assert(ag_is_leaf(y) && !ag_requires_grad(y) && !ag_grad_fn(y));
    Variable *views[] = { ag_select(ag_mul(x, x), 0, 1), ag_view(x, AG_SHAPE(2, 1)), ag_select(FLOATS(1, 2), 0, 0) };
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        REFUSED(ag_detach_(views[i]), "Can't detach views in-place. Use detach() instead.");
    OK(ag_detach_(ag_detach(x))); /* no view for this */
}
END_TEST

/* ---- versions ---- */

START_TEST(every_in_place_op_bumps_the_version_which_views_share) /* row 18 */
{
    Variable *x = FLOATS(1, 2, 3, 4), *view = ag_view(x, AG_SHAPE(2, 2)), *detached = ag_detach(x),
             *one = ag_scalar(1.0);
    Variable *index = ag_tensor(((int64_t[]){ 0 }), AG_SHAPE(1)), *mask = ag_gt(x, one);
    int64_t version = 0;
#define BUMPS(call)                                      \
    do {                                                 \
        OK(call);                                        \
        version++;                                       \
        ck_assert_int_eq(ag_version(x), version);        \
        ck_assert_int_eq(ag_version(view), version);     \
        ck_assert_int_eq(ag_version(detached), version); \
    } while (0)
    BUMPS(ag_add_(x, one));
    BUMPS(ag_mul_(view, one));
    BUMPS(ag_sub_(ag_select(x, 0, 1), one));
    BUMPS(ag_exp_(detached));
    BUMPS(ag_clamp_(x, .max = 4));
    BUMPS(ag_fill_(x, 2));
    BUMPS(ag_zero_(x));
    BUMPS(ag_copy_(x, FLOATS(1, 2, 3, 4)));
    BUMPS(ag_masked_fill_(x, mask, 5));
    BUMPS(ag_index_add_(x, 0, index, FLOATS(1)));
    BUMPS(ag_index_fill_(x, 0, index, 1));
    BUMPS(ag_addcmul_(x, one, one));
    BUMPS(ag_uniform_(x));
    BUMPS(ag_normal_(x));
    BUMPS(ag_cumsum_(x, 0));
    BUMPS(ag_data_mutable(x));
    OK(ag_add(x, one) && ag_view(x, AG_SHAPE(4)) && ag_clone(x) && ag_data(x)); /* these change nothing */
    ck_assert_int_eq(ag_version(x), version);
    ck_assert_int_eq(ag_version(ag_clone(x)), 0);
}
END_TEST

START_TEST(a_saved_tensor_that_was_modified_in_place_is_named_at_unpack) /* row 18 */
{
    Variable *x = LEAF(AG_SHAPE(2, 3), 1, 2, 3, 4, 5, 6), *y = ag_exp(x);
    OK(ag_mul_(y, ag_scalar(2.0)));
    OK(ag_mul_(y, ag_scalar(2.0)));
    REFUSED(
        ag_backward(ag_sum(y)),
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        "[torch.DoubleTensor [2, 3]], which is output 0 of Exp, is at version 2; expected version 0 instead. Hint: ");
    Variable *two = ag_max_dim(ag_mul(x, x), 1).values, *z = ag_mul(two, two);
    OK(ag_add_(two, ag_scalar(1.0)));
    REFUSED(ag_backward(ag_sum(z)),
            "[torch.DoubleTensor [2]], which is output 0 of Add, is at version 1; expected version 0");
    ck_assert(!ag_grad(x));
}
END_TEST

START_TEST(a_change_in_place_of_what_was_not_saved_is_no_error) /* row 18 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_add(x, x);
    OK(ag_mul_(y, ag_scalar(3.0)));
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 6, 6);
}
END_TEST

/* ---- in place ---- */

START_TEST(a_leaf_that_requires_grad_refuses_an_in_place_operation) /* row 19 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *index = ag_tensor(((int64_t[]){ 0 }), AG_SHAPE(1));
    static const char leaf[] = "a leaf Variable that requires grad is being used in an in-place operation.";
    REFUSED(ag_add_(x, ag_scalar(1.0)), leaf);
    REFUSED(ag_zero_(x), leaf);
    REFUSED(ag_copy_(x, FLOATS(5, 6)), leaf);
    REFUSED(ag_uniform_(x), leaf);
    REFUSED(ag_index_fill_(x, 0, index, 1), leaf);
    REFUSED(ag_zero_(ag_select(x, 0, 0)),
            "a view of a leaf Variable that requires grad is being used in an in-place operation.");
    VALUES(x, 1, 2);
    ck_assert_int_eq(ag_version(x), 0);
    AG_NO_GRAD;
    OK(ag_zero_(x));
}
END_TEST

START_TEST(in_place_on_a_non_leaf_rebases_its_history) /* row 20 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *y = ag_add(x, x);
    Node *before = ag_grad_fn(y);
    ck_assert_str_eq(ag_node_name(before), "AddBackward0");
    OK(ag_mul_(y, w));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "MulBackward0");
    ag_next next;
    ck_assert(ag_next_function(ag_grad_fn(y), 0, &next) && next.node == before); /* the old history goes on behind it */
    OK(ag_backward(ag_sum(y), .retain_graph = true));
    VALUES(ag_grad(x), 6, 8);
    VALUES(ag_grad(w), 2, 4);
    Variable *c = FLOATS(5, 6);
    OK(ag_add_(c, x)); /* what had no history gets one */
    ck_assert(!ag_is_leaf(c) && ag_requires_grad(c));
    OK(ag_zero_(y)); /* zeros have no gradient */
    OK(ag_set_grad(x, AG_NONE));
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 0, 0);
}
END_TEST

/* ---- views ---- */

START_TEST(every_view_op_shares_storage_and_version_counter) /* row 21 */
{
    Variable *x = ag_reshape(ag_arange(24, .dtype = AG_FLOAT64), AG_SHAPE(2, 3, 4)), *as = ag_zeros(AG_SHAPE(4, 6));
    List split = ag_split(x, 2, 1), sizes = ag_split_with_sizes(x, AG_SHAPE(1, 2), 1), chunk = ag_chunk(x, 2),
         unbind = ag_unbind(x);
    Variable *views[] = {
        ag_view(x, AG_SHAPE(6, 4)),
        ag_view_as(x, as),
        ag_slice(x, 2, 1, 4, 2), /* basic indexing: x[:, :, 1:4:2], x[:, 1], x[0:1] */
        ag_select(x, 1, 1),
        ag_narrow(x, 0, 0, 1),
        ag_transpose(x, 0, 2),
        ag_permute(x, AG_SHAPE(2, 0, 1)),
        ag_movedim(x, 0, 2),
        ag_t(ag_select(x, 0, 1)),
        ag_unsqueeze(x, 0),
        ag_squeeze(ag_unsqueeze(x, 0)),
        ag_expand(ag_unsqueeze(x, 0), AG_SHAPE(5, -1, -1, -1)),
        ag_expand_as(x, ag_zeros(AG_SHAPE(5, 2, 3, 4))),
        ag_broadcast_to(x, AG_SHAPE(5, 2, 3, 4)),
        ag_diagonal(x),
        ag_unflatten(x, 2, AG_SHAPE(2, 2)),
        ag_flatten(x),
        ag_as_strided(x, AG_SHAPE(2, 2), AG_SHAPE(1, 2)),
        ag_detach(x),
        split.at[1],
        sizes.at[1],
        chunk.at[1],
        unbind.at[1],
        ag_reshape(x, AG_SHAPE(24)), /* may be either: a view where strides allow it */
    };

    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        OK(views[i]);
        ck_assert_msg(ag_shares_storage(views[i], x), "view %zu", i);
        ck_assert_int_eq(ag_version(views[i]), 0);
    }
    OK(ag_zero_(x));
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        ck_assert_msg(ag_version(views[i]) == 1, "view %zu", i);
        ck_assert_msg(ag_item(ag_sum(views[i])) == 0, "view %zu", i);
    }
}
END_TEST

START_TEST(advanced_indexing_and_reshape_across_strides_copy) /* row 21 */
{
    Variable *x = ag_reshape(ag_arange(6, .dtype = AG_FLOAT64), AG_SHAPE(2, 3)),
             *index = ag_tensor(((int64_t[]){ 0, 0 }), AG_SHAPE(1, 2)), *t = ag_t(x);
    Variable *copies[] = { ag_index_select(x, 0, ag_select(index, 0, 0)),
                           ag_gather(x, 1, index),
                           ag_take(x, index),
                           ag_reshape(t, AG_SHAPE(6)),
                           ag_flatten(t),
                           ag_contiguous(t),
                           ag_clone(x) };
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        OK(copies[i]);
        ck_assert_msg(!ag_shares_storage(copies[i], x) && !ag_is_view(copies[i]), "copy %zu", i);
    }
    REFUSED(ag_view(t, AG_SHAPE(6)), "view size is not compatible with input tensor's size and stride (at least one "
                                     "dimension spans across two contiguous subspaces). Use .reshape(...) instead.");
}
END_TEST

START_TEST(contiguous_returns_self_if_already_so) /* row 21 */
{
    Variable *x = ag_zeros(AG_SHAPE(2, 3));
    ck_assert_ptr_eq(ag_contiguous(x), x);
    ck_assert_ptr_ne(ag_contiguous(ag_t(x)), x);
    ck_assert(ag_is_contiguous(ag_contiguous(ag_t(x))));
}
END_TEST

START_TEST(in_place_on_a_view_updates_its_bases_history) /* row 22 */
{
    Variable *x = LEAF(AG_SHAPE(4), 1, 2, 3, 4), *y = ag_mul(x, ag_scalar(3)), *v = ag_slice(y, 0, 1, 3);
    OK(ag_mul_(v, ag_scalar(10)));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "CopySlices");
    ck_assert_str_eq(ag_node_name(ag_grad_fn(v)), "AsStridedBackward0");
    OK(ag_backward(ag_sum(y), .retain_graph = true));
    VALUES(ag_grad(x), 3, 30, 30, 3);
    OK(ag_set_grad(x, AG_NONE));
    OK(ag_backward(ag_sum(v)));
    VALUES(ag_grad(x), 0, 30, 30, 0);
}
END_TEST

START_TEST(a_view_of_what_had_no_history_hands_it_one) /* row 22 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *base = ag_zeros(AG_SHAPE(2, 2), .dtype = AG_FLOAT64);
    OK(ag_copy_(ag_select(base, 0, 1), x));
    ck_assert(ag_requires_grad(base) && !ag_is_leaf(base));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(base)), "CopySlices");
    OK(ag_backward(ag_sum(ag_mul(base, base))));
    VALUES(ag_grad(x), 2, 4);
}
END_TEST

START_TEST(in_place_on_the_base_updates_its_views_histories) /* row 22 */
{
    Variable *x = LEAF(AG_SHAPE(3), 1, 2, 3), *y = ag_mul(x, ag_scalar(3)), *v = ag_select(y, 0, 1),
             *w = ag_narrow(y, 0, 0, 2);
    OK(ag_mul_(y, x));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(v)), "AsStridedBackward0");
    OK(ag_mul_(v, ag_scalar(10)));
    OK(ag_backward(ag_sum(w))); /* another view: the first element and ten times the second */
    VALUES(ag_grad(x), 6, 120, 0);
}
END_TEST

START_TEST(the_views_of_an_op_with_several_refuse_changes_that_are_recorded) /* row 22 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, ag_scalar(2));
    REFUSED(ag_mul_(ag_unbind(y).at[0], ag_scalar(2)),
            "Output 0 of Unbind is a view and is being modified inplace. This view is the output of a function that "
            "returns multiple views. Such functions do not allow the output views to be modified inplace. You should "
            "replace the inplace operation by an out-of-place one.");
    REFUSED(ag_mul_(ag_split(y, 1).at[1], ag_scalar(2)), "Output 1 of Split is a view and is being modified inplace.");
    AG_NO_GRAD;
    OK(ag_mul_(ag_unbind(y).at[0], ag_scalar(2)));
    VALUES(y, 4, 4);
}
END_TEST

START_TEST(a_view_made_in_no_grad_mode_refuses_a_change_that_is_recorded) /* row 22 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = FLOATS(3, 4), *v;
    {
        AG_NO_GRAD;
        v = ag_select(c, 0, 1);
    }
    REFUSED(
        ag_mul_(v, ag_select(x, 0, 0)),
        "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use "
        "case is ambiguous and error-prone, it is forbidden.");
    OK(ag_mul_(v, ag_scalar(2))); /* this is not */
    VALUES(c, 3, 8);
}
END_TEST

START_TEST(in_place_on_elements_that_overlap_is_refused) /* row 21 */
{
    Variable *x = ag_expand(FLOATS(1), AG_SHAPE(3));
    REFUSED(ag_add_(x, ag_scalar(1.0)),
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation.");
}
END_TEST

SUPPORT_MAIN(
    "contract_views", detach_shares_storage_and_its_result_never_requires_grad,
    a_change_of_a_detached_is_seen_and_trips_version_checks, detach_in_place_makes_a_leaf_and_is_refused_for_views,
    every_in_place_op_bumps_the_version_which_views_share, a_saved_tensor_that_was_modified_in_place_is_named_at_unpack,
    a_change_in_place_of_what_was_not_saved_is_no_error, a_leaf_that_requires_grad_refuses_an_in_place_operation,
    in_place_on_a_non_leaf_rebases_its_history, every_view_op_shares_storage_and_version_counter,
    advanced_indexing_and_reshape_across_strides_copy, contiguous_returns_self_if_already_so,
    in_place_on_a_view_updates_its_bases_history, a_view_of_what_had_no_history_hands_it_one,
    in_place_on_the_base_updates_its_views_histories, the_views_of_an_op_with_several_refuse_changes_that_are_recorded,
    a_view_made_in_no_grad_mode_refuses_a_change_that_is_recorded, in_place_on_elements_that_overlap_is_refused)
