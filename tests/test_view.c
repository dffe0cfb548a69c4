/* test_view.c - views: what they share, what they cost, and what PyTorch's do. */
#include "op_cases.h"
#include "support.h"

START_TEST(views_of_all_elements_do_what_pytorchs_do) { replay("view"); }
END_TEST
START_TEST(views_of_a_part_do_what_pytorchs_do) { replay("part"); }
END_TEST

/* Each typed call against the numbers it must give. */
START_TEST(every_view_can_be_called_directly)
{
    Variable *x = ag_tensor(((double[]){ 0, 1, 2, 3, 4, 5 }), AG_SHAPE(2, 3));
    SHAPE(ag_view(x, AG_SHAPE(3, -1)), 3, 2);
    SHAPE(ag_reshape(ag_t(x), AG_SHAPE(6)), 6);
    VALUES(ag_reshape(ag_t(x), AG_SHAPE(6)), 0, 3, 1, 4, 2, 5);
    VALUES(ag_transpose(x, 0, -1), 0, 3, 1, 4, 2, 5);
    VALUES(ag_permute(x, AG_SHAPE(1, 0)), 0, 3, 1, 4, 2, 5);
    SHAPE(ag_flatten(ag_unsqueeze(x, 0), .start_dim = 1), 1, 6);
    SHAPE(ag_unflatten(x, 1, AG_SHAPE(3, 1)), 2, 3, 1);
    SHAPE(ag_movedim(ag_unsqueeze(x, 0), 0, 2), 2, 3, 1);
    SHAPE(ag_squeeze(ag_unsqueeze(ag_unsqueeze(x, 0), 2)), 2, 3);
    SHAPE(ag_squeeze(ag_unsqueeze(ag_unsqueeze(x, 0), 2), AG_DIMS(2, 1)), 1, 2, 3);
    VALUES(ag_expand(ag_tensor(((double[]){ 7, 8 }), AG_SHAPE(2, 1)), AG_SHAPE(-1, 2)), 7, 7, 8, 8);
    VALUES(ag_narrow(x, 1, 1, 2), 1, 2, 4, 5);
    VALUES(ag_select(x, 0, -1), 3, 4, 5);
    VALUES(ag_slice(x, 1, .step = 2), 0, 2, 3, 5);
    VALUES(ag_slice(x, 1, -2, -1), 1, 4);
    VALUES(ag_diagonal(x, 1), 1, 5);
    VALUES(ag_as_strided(x, AG_SHAPE(2, 2), AG_SHAPE(1, 2), 1), 1, 3, 2, 4);
    SHAPE(ag_view_as(x, ag_t(x)), 3, 2);
    SHAPE(ag_reshape_as(x, ag_t(x)), 3, 2);
    SHAPE(ag_expand_as(x, ag_zeros(AG_SHAPE(4, 2, 3))), 4, 2, 3);
}
END_TEST

START_TEST(a_view_shares_memory_and_version_and_a_copy_does_not)
{
    Variable *x = ag_zeros(AG_SHAPE(2, 3)), *y = ag_select(x, 0, 1);
    OK(ag_shares_storage(x, y) && ag_is_view(y) && !ag_is_view(x));
    OK(ag_fill_(y, 5));
    VALUES(x, 0, 0, 0, 5, 5, 5);
    ck_assert_int_eq(ag_version(x), 1);
    Variable *copy = ag_reshape(ag_t(x), AG_SHAPE(6));
    OK(!ag_shares_storage(x, copy) && !ag_is_view(copy));
    OK(ag_shares_storage(x, ag_reshape(x, AG_SHAPE(6))));
    OK(ag_contiguous(x) == x && ag_flatten(ag_view(x, AG_SHAPE(6)), 0) != NULL);
    OK(ag_contiguous(ag_t(x)) != x && ag_is_contiguous(ag_contiguous(ag_t(x))));
}
END_TEST

START_TEST(a_batch_last_image_flattens_as_a_view)
{
    Variable *x = ag_contiguous(ag_view(ag_arange(2 * 3 * 2 * 2), AG_SHAPE(2, 3, 2, 2)), AG_BATCH_LAST);
    ck_assert_int_eq(ag_stride(x).at[0], 1);
    Variable *flat = ag_view(x, AG_SHAPE(2, -1));
    OK(ag_shares_storage(x, flat));
    SHAPE(flat, 2, 12);
    ck_assert_int_eq(ag_stride(flat).at[1], 2);
    ck_assert_int_eq((int)support_at(flat, 13), 13);
}
END_TEST

/* Differences of functions that use each view twice, so that gradients meet and overlap. */
static int overlapping(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    y[0] = ag_mul(ag_as_strided(x[0], AG_SHAPE(3, 3), AG_SHAPE(1, 1), 0),
                  ag_as_strided(x[0], AG_SHAPE(3, 3), AG_SHAPE(2, 1), 1));
    return 1;
}
static int parts(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    y[0] = ag_mul(ag_select(x[0], 1, 0), ag_diagonal(ag_narrow(x[0], 1, 1, 3)));
    y[1] = ag_mul(ag_slice(x[0], 1, .step = 2),
                  ag_expand(ag_unsqueeze(ag_squeeze(ag_narrow(x[0], 1, 2, 1)), 1), AG_SHAPE(3, 2)));
    y[2] = ag_mul(ag_t(x[0]), ag_reshape(ag_permute(x[0], AG_SHAPE(1, 0)), AG_SHAPE(4, 3)));
    return 3;
}
START_TEST(gradients_of_views_are_right_to_the_second_order)
{
    Variable *x = ag_requires_grad_(support_random(AG_SHAPE(3, 4), -1, 1));
    OK(ag_gradcheck(overlapping, AG_LIST(x)));
    OK(ag_gradgradcheck(overlapping, AG_LIST(x)));
    OK(ag_gradcheck(parts, AG_LIST(x)));
    OK(ag_gradgradcheck(parts, AG_LIST(x)));
}
END_TEST

START_TEST(more_dimensions_than_there_can_be_are_refused)
{
    Variable *x = ag_zeros(AG_SHAPE(1));
    REFUSED(ag_view(x, AG_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1)), "at most 8 dimensions");
    REFUSED(ag_expand(x, AG_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1)), "at most 8 dimensions");
    REFUSED(ag_unsqueeze(ag_view(x, AG_SHAPE(1, 1, 1, 1, 1, 1, 1, 1)), 0), "at most 8 dimensions");
    REFUSED(ag_view(NULL, AG_SHAPE(1)), "view: input is NULL");
    REFUSED(ag_contiguous(x, AG_BATCH_LAST), "at least two dimensions");
    REFUSED(ag_contiguous(x, AG_PRESERVE_FORMAT), "preserve memory format");
}
END_TEST

START_TEST(in_place_the_variable_itself_gets_other_sizes)
{
    Variable *x = ag_requires_grad_(ag_tensor(((double[]){ 1, 2, 3, 4, 5, 6 }), AG_SHAPE(2, 3)));
    Variable *weight = ag_tensor(((double[]){ 1, 2, 3, 4, 5, 6 }), AG_SHAPE(3, 2));
    REFUSED(ag_t_(x), "a leaf Variable that requires grad is being used in an in-place operation");
    SHAPE(x, 2, 3);

    Variable *y = ag_mul(x, ag_scalar(2)), *before = ag_view(y, AG_SHAPE(6));
    ag_retain_grad(y);
    ck_assert_ptr_eq(ag_t_(y), y);
    SHAPE(y, 3, 2);
    VALUES(y, 2, 8, 4, 10, 6, 12);
    ck_assert_int_eq(ag_version(y), 1);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "TBackward1");
    ck_assert_str_eq(ag_node_name(ag_grad_fn(ag_squeeze_(ag_unsqueeze_(ag_clone(x), 0), 0))), "SqueezeBackward4");
    VALUES(before, 2, 4, 6, 8, 10, 12);
    OK(ag_backward(ag_sum(ag_mul(y, weight))));
    VALUES(ag_grad(x), 2, 6, 10, 4, 8, 12);
    VALUES(ag_grad(y), 1, 2, 3, 4, 5, 6);

    Variable *square = ag_clone(x), *z = ag_mul(square, square);
    ag_transpose_(square, 0, 1);
    REFUSED(ag_backward(ag_sum(z)), "modified by an inplace operation");
}
END_TEST

START_TEST(in_place_sizes_change_where_elements_could_not)
{
    Variable *x = ag_expand(ag_ones(AG_SHAPE(2, 1)), AG_SHAPE(2, 3));
    REFUSED(ag_add_(x, x), "more than one element of the written-to tensor refers to a single memory location");
    SHAPE(ag_t_(x), 3, 2);
    REFUSED(ag_unsqueeze_(ag_scalar(1), 0), "a number from ag_scalar is shared");
    AG_NO_GRAD;
    Variable *leaf = ag_requires_grad_(ag_ones(AG_SHAPE(1, 3)));
    SHAPE(ag_squeeze_(leaf), 3);
    ck_assert(ag_is_leaf(leaf) && ag_requires_grad(leaf));
}
END_TEST

START_TEST(parts_share_memory_and_gather_their_gradients)
{
    Variable *x = LEAF(AG_SHAPE(5), 1, 2, 3, 4, 5);
    List two = ag_split(x, 3), each = ag_unbind(x), none = ag_unbind(ag_zeros(AG_SHAPE(0, 2)));
    ck_assert_int_eq(two.n, 2);
    ck_assert_int_eq(each.n, 5);
    ck_assert_int_eq(none.n, 0);
    VALUES(two.at[1], 4, 5);
    OK(ag_shares_storage(two.at[1], x));
    OK(ag_backward(ag_mul(ag_sum(two.at[1]), each.at[0]))); /* nothing comes from the others */
    VALUES(ag_grad(x), 9, 0, 0, 1, 1);
    Variable *y = ag_clone(x);
    List parts = ag_chunk(y, 2);
    REFUSED(ag_zero_(parts.at[0]), "multiple views");
    Variable *plain = ag_arange(4);
    OK(ag_zero_(ag_split_with_sizes(plain, AG_SHAPE(1, 3)).at[1]));
    VALUES(plain, 0, 0, 0, 0);
}
END_TEST

SUPPORT_MAIN("view", views_of_all_elements_do_what_pytorchs_do, views_of_a_part_do_what_pytorchs_do,
             every_view_can_be_called_directly, a_view_shares_memory_and_version_and_a_copy_does_not,
             a_batch_last_image_flattens_as_a_view, gradients_of_views_are_right_to_the_second_order,
             more_dimensions_than_there_can_be_are_refused, in_place_the_variable_itself_gets_other_sizes,
             in_place_sizes_change_where_elements_could_not, parts_share_memory_and_gather_their_gradients)
