/* test_inplace.c - detach, versions, changes in place and views: what is recorded, what is noticed, what is refused. */
#include "support.h"

/* ---- detach, versions, in-place ---- */

START_TEST(detach_shares_numbers_and_version_and_never_wants_a_gradient)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *d = ag_detach(y);
    ck_assert(ag_shares_storage(y, d));
    ck_assert(!ag_requires_grad(d));
    ck_assert(ag_is_leaf(d));
    OK(ag_add_(d, d));
    VALUES(y, 2, 8);
    ck_assert_int_eq(ag_version(y), 1);
    ck_assert_int_eq(ag_version(d), 1);
    Variable *z = ag_exp(x);
    OK(ag_detach_(z));
    ck_assert(!ag_requires_grad(z) && ag_is_leaf(z));
    OK(ag_detach_(x));
    ck_assert(!ag_requires_grad(x));
    REFUSED(ag_detach_(ag_view(y, AG_SHAPE(2, 1))),
            "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for "
            "training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence "
            "detach_() cannot be called on these gradients. To fix this error, please refer to the "
            "Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution.");
}
END_TEST

START_TEST(a_saved_variable_that_was_changed_in_place_is_noticed)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *a = ag_mul(x, x), *y = ag_exp(a), *b = ag_mul(a, a);
    OK(ag_add_(y, a)); /* exp keeps its result */
    REFUSED(ag_backward(ag_sum(y)),
            "one of the variables needed for gradient computation has been modified by an inplace operation: "
            "[torch.DoubleTensor [2]], which is output 0 of Exp, is at version 1; expected version 0 instead. Hint: "
            "ExpBackward0 needs it as it was; "
            "ag_set_detect_anomaly(true) shows where that was called.");
    OK(ag_zero_(ag_detach(a)));
    REFUSED(ag_backward(ag_sum(b)), "which is output 0 of Mul, is at version 1; expected version 0");
}
END_TEST

START_TEST(an_op_on_a_view_whose_base_has_got_a_history_since_keeps_what_its_gradients_read)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *base = ag_ones(AG_SHAPE(2, 2), .dtype = AG_FLOAT64), *g;
    Variable *divisor = ag_full(AG_SHAPE(2, 2), 4, .dtype = AG_FLOAT64), *view = ag_narrow(base, 1, 0, 2);
    Variable *index = ag_tensor(((int64_t[]){ 1 }), AG_SHAPE(1));
    OK(ag_copy_(ag_select(base, 0, 1), x)); /* view is a leaf no more, which nobody has told it */
    OK(ag_autograd_grad(AG_LIST(ag_sum(ag_div(view, divisor))), AG_LIST(x), &g, .retain_graph = true));
    VALUES(g, 0.25, 0.25);
    view = ag_narrow(base, 1, 0, 2);
    OK(ag_mul_(base, divisor));
    OK(ag_autograd_grad(AG_LIST(ag_sum(ag_index_select(view, 0, index))), AG_LIST(x), &g));
    VALUES(g, 4, 4);
}
END_TEST

START_TEST(the_sentence_names_what_was_changed_as_pytorch_does)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_ones(AG_SCALAR_SHAPE), *y = ag_mul(x, c);
    OK(ag_add_(c, c));
    REFUSED(ag_backward(ag_sum(y)), "operation: [torch.FloatTensor []] is at version 1; expected version 0 instead.");
    y = ag_mul(x, x);
    {
        AG_NO_GRAD;
        OK(ag_add_(x, x));
        OK(ag_add_(x, x));
    }
    REFUSED(ag_backward(ag_sum(y)), "operation: [torch.DoubleTensor [2]] is at version 2; expected version 0 instead.");
    Variable *a = ag_mul(x, x), *q = ag_mul(a, a);
    OK(ag_add_(a, c)); /* its history is now that of the change */
    REFUSED(ag_backward(ag_sum(q)), "which is output 0 of Add, is at version 1; expected version 0 instead.");
    ag_values_indices m = ag_max_dim(ag_view(ag_mul(x, x), AG_SHAPE(1, 2)), 1);
    OK(ag_zero_(m.indices));
    REFUSED(ag_backward(ag_sum(m.values)),
            "operation: [torch.LongTensor [1]] is at version 1; expected version 0 instead.");
}
END_TEST

START_TEST(a_variable_changed_by_itself_is_noticed_where_backward_reads_it)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x);
    OK(ag_mul_(y, y));
    REFUSED(ag_backward(ag_sum(y)), "which is output 0 of Mul, is at version 1; expected version 0 instead.");
    y = ag_mul(x, x);
    OK(ag_pow_(y, y));
    REFUSED(ag_backward(ag_sum(y)), "which is output 0 of Pow1, is at version 1; expected version 0 instead.");
    y = ag_mul(x, x);
    OK(ag_add_(y, y)); /* add reads neither */
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 4, 8);
}
END_TEST

START_TEST(a_saved_variable_that_was_detached_in_place_is_noticed)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *z;
    OK(ag_add_(y, ag_scalar(1.0)));
    z = ag_mul(y, y);
    OK(ag_detach_(y));
    REFUSED(ag_backward(ag_sum(z)),
            "Trying to use a saved tensor that has been detached in-place, i.e. with .detach_().This is not supported, "
            "please use out-of-place `.detach()` instead");
}
END_TEST

START_TEST(what_fills_may_fill_elements_that_overlap)
{
    Variable *one = ag_zeros(AG_SHAPE(1)), *x = ag_expand(one, AG_SHAPE(3));
    OK(ag_fill_(x, 2));
    VALUES(one, 2);
    OK(ag_masked_fill_(x, ag_tensor(((bool[]){ true, false, true }), AG_SHAPE(3)), 5));
    VALUES(one, 5);
    OK(ag_zero_(x));
    VALUES(one, 0);
    REFUSED(ag_add_(x, x), "more than one element of the written-to tensor refers to a single memory location.");
    REFUSED(ag_copy_(x, ag_ones(AG_SHAPE(3))), "more than one element of the written-to tensor");
}
END_TEST

START_TEST(a_change_in_place_of_what_no_backward_reads_is_no_error)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *a = ag_mul(x, x), *b = ag_add(a, x);
    OK(ag_mul_(b, x));
    OK(ag_backward(ag_sum(b))); /* (x^2 + x) x */
    VALUES(ag_grad(x), 5, 16);
}
END_TEST

START_TEST(a_leaf_that_wants_a_gradient_cannot_be_changed_in_place)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    REFUSED(ag_add_(x, x), "a leaf Variable that requires grad is being used in an in-place operation.");
    VALUES(x, 1, 2);
    ck_assert_int_eq(ag_version(x), 0);
    AG_NO_GRAD;
    OK(ag_add_(x, x));
    VALUES(x, 2, 4);
    ck_assert(ag_is_leaf(x) && ag_requires_grad(x));
    ck_assert_int_eq(ag_version(x), 1);
}
END_TEST

START_TEST(a_change_in_place_of_an_inner_variable_becomes_its_history)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *y = ag_mul(x, x);
    OK(ag_mul_(y, w));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "MulBackward0");
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 6, 16);
    VALUES(ag_grad(w), 1, 4);
    Variable *c = ag_zeros(AG_SHAPE(2), .dtype = AG_FLOAT64);
    OK(ag_add_(c, x)); /* a leaf that wanted none now does, and is no leaf */
    ck_assert(ag_requires_grad(c) && !ag_is_leaf(c));
}
END_TEST

START_TEST(an_op_in_place_that_needs_the_old_numbers_keeps_them)
{
    Variable *x = LEAF(AG_SHAPE(2), 2, 3), *w = LEAF(AG_SHAPE(2), 5, 7), *y = ag_mul(x, x), *g[1];
    OK(ag_mul_(y, w)); /* w's gradient reads y as it was */
    OK(ag_autograd_grad(AG_LIST(ag_sum(y)), AG_LIST(w), g, .create_graph = true));
    VALUES(g[0], 4, 9);
    OK(ag_backward(ag_sum(g[0]))); /* d w.grad / d x = 2 x */
    VALUES(ag_grad(x), 4, 6);
}
END_TEST

START_TEST(a_variable_changed_by_what_was_computed_from_it_holds_no_cycle)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_ones(AG_SHAPE(2), .dtype = AG_FLOAT64);
    {
        AG_SCOPE;
        Variable *y = ag_mul(x, ag_scalar(3.0)), *z = ag_log(ag_mul(y, y)); /* mul keeps y */
        OK(ag_mul_(y, z));                                                  /* y's history leads to it */
        OK(ag_add_(c, ag_mul(c, x)));                                       /* a leaf until then */
    }
    AG_SCOPE;
    Variable *y = ag_mul(x, x), *g[1];
    OK(ag_add_(y, x));
    Variable *z;
    {
        AG_SCOPE;
        z = ag_keep(ag_mul(y, y));
    }
    ag_let(&y, NULL); /* kept by mul's node alone, which still knows its history */
    OK(ag_autograd_grad(AG_LIST(ag_sum(z)), AG_LIST(x), g, .create_graph = true));
    OK(ag_backward(ag_sum(g[0]))); /* (x^2 + x)^2: 2 (2x + 1)^2 + 4 (x^2 + x) */
    VALUES(ag_grad(x), 26, 74);
} /* support_end finds nothing alive */
END_TEST

START_TEST(a_view_shares_storage_and_version)
{
    Variable *x = ag_tensor(((double[]){ 1, 2, 3, 4 }), AG_SHAPE(4)), *v = ag_view(x, AG_SHAPE(2, 2)),
             *r = ag_select(v, 0, 1);
    ck_assert(ag_is_view(v) && ag_is_view(r) && !ag_is_view(x));
    ck_assert(ag_shares_storage(x, r));
    OK(ag_zero_(r));
    VALUES(x, 1, 2, 0, 0);
    ck_assert_int_eq(ag_version(x), 1);
    ck_assert_int_eq(ag_version(v), 1);
    ck_assert_int_eq(ag_storage_offset(r), 2);
}
END_TEST

START_TEST(a_view_made_in_no_grad_mode_wants_what_its_base_wants_and_leads_nowhere)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *v, *w, *g[1];
    {
        AG_NO_GRAD;
        v = ag_view(y, AG_SHAPE(2));
        w = ag_select(x, 0, 1);
    }
    ck_assert(ag_requires_grad(v) && ag_is_leaf(v) && ag_is_view(v) && !ag_grad_fn(v));
    ck_assert(ag_requires_grad(w) && ag_is_leaf(w));
    OK(ag_backward(ag_sum(ag_mul(v, v)))); /* as in PyTorch, into nothing */
    ck_assert(!ag_grad(v) && !ag_grad(x));
    REFUSED(ag_autograd_grad(AG_LIST(ag_sum(v)), AG_LIST(v), g), "at index 0 appears to not have been used");
    REFUSED(ag_backward(w), "element 0 of tensors does not require grad and does not have a grad_fn");
    OK(ag_retain_grad(w)); /* to no effect */
    Variable *c = ag_ones(AG_SHAPE(2), .dtype = AG_FLOAT64), *z = ag_mul(v, c);
    OK(ag_zero_(c)); /* nobody would read it */
    OK(ag_backward(ag_sum(z)));
    OK(ag_backward(ag_sum(ag_index_select(v, 0, ag_tensor(((int64_t[]){ 1, 1 }), AG_SHAPE(2))))));
    OK(ag_detach_(y));
    ck_assert(!ag_requires_grad(v));
    Variable *leaf = ag_zeros(AG_SHAPE(2)), *of_c = ag_view(leaf, AG_SHAPE(2));
    OK(ag_requires_grad_(leaf));
    ck_assert(ag_requires_grad(of_c) && ag_is_leaf(of_c));
}
END_TEST

START_TEST(a_view_made_in_no_grad_mode_is_not_changed_where_that_is_recorded)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_ones(AG_SHAPE(2), .dtype = AG_FLOAT64), *v, *of_c;
    {
        AG_NO_GRAD;
        v = ag_view(x, AG_SHAPE(2));
        of_c = ag_view(c, AG_SHAPE(2));
    }
    OK(ag_add_(of_c, ag_scalar(1.0))); /* nothing wants a gradient */
    REFUSED(ag_add_(of_c, x),
            "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this "
            "use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view "
            "and the inplace either both inside the no_grad block (if you don't want the inplace to be tracked) or "
            "both outside (if you want the inplace to be tracked).");
    REFUSED(ag_zero_(v), "A view was created in no_grad mode and is being modified inplace with grad mode enabled.");
    REFUSED(ag_zero_(ag_view(v, AG_SHAPE(1, 2))),
            "Output 0 of View is a view of a view which was created in no_grad mode and is being modified inplace");
    {
        AG_NO_GRAD;
        OK(ag_mul_(v, v));
    }
    VALUES(x, 1, 4);
    REFUSED(ag_exp(v), "A view was created in no_grad mode and its base or another view of its base has been modified "
                       "inplace with grad mode enabled. Given that this use case is ambiguous");
    VALUES(ag_add_(ag_detach(v), c), 3, 6);
}
END_TEST

START_TEST(a_change_of_a_view_is_a_change_of_its_base)
{
    Variable *x = LEAF(AG_SHAPE(2, 2), 1, 2, 3, 4), *w = LEAF(AG_SHAPE(2), 5, 6), *y = ag_mul(x, x),
             *v = ag_select(y, 0, 1);
    OK(ag_mul_(v, w));
    VALUES(y, 1, 4, 45, 96);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "CopySlices");
    ck_assert_str_eq(ag_node_name(ag_grad_fn(v)), "AsStridedBackward0");
    ck_assert_int_eq(ag_version(y), 1);
    OK(ag_backward(ag_sum(ag_mul(y, y))));
    VALUES(ag_grad(x), 4, 32, 2700, 9216); /* 4 x^3, and 4 x^3 w^2 in the second row */
    VALUES(ag_grad(w), 810, 3072);         /* 2 x^4 w */
    REFUSED(ag_zero_(ag_view(x, AG_SHAPE(4))),
            "a view of a leaf Variable that requires grad is being used in an in-place operation.");
}
END_TEST

START_TEST(what_wants_no_gradient_wants_one_after_a_view_of_it_has_taken_one_over)
{
    Variable *c = ag_zeros(AG_SHAPE(2, 2), .dtype = AG_FLOAT64), *before = ag_view(c, AG_SHAPE(4)),
             *x = LEAF(AG_SHAPE(2), 1, 2);
    OK(ag_copy_(ag_select(c, 0, 1), x));
    ck_assert(ag_requires_grad(c) && !ag_is_leaf(c));
    ck_assert(ag_requires_grad(before) && !ag_is_leaf(before)); /* a view made earlier follows */
    ck_assert_str_eq(ag_node_name(ag_grad_fn(before)), "AsStridedBackward0");
    OK(ag_backward(ag_sum(ag_mul(before, before))));
    VALUES(ag_grad(x), 2, 4);
}
END_TEST

START_TEST(a_view_follows_the_changes_of_its_base_and_of_other_views)
{
    Variable *x = LEAF(AG_SHAPE(4), 1, 2, 3, 4), *y = ag_mul(x, x), *v = ag_view(y, AG_SHAPE(2, 2)),
             *other = ag_narrow(y, 0, 1, 2), *g[1];
    OK(ag_mul_(y, x));                   /* the base */
    OK(ag_mul_(other, ag_scalar(10.0))); /* the two in the middle */
    ck_assert_int_eq(ag_version(v), 2);
    OK(ag_autograd_grad(AG_LIST(ag_sum(v)), AG_LIST(x), g, .retain_graph = true));
    VALUES(g[0], 3, 120, 270, 48);
    OK(ag_backward(v, .gradient = ag_ones(AG_SHAPE(2, 2))));
    VALUES(ag_grad(x), 3, 120, 270, 48);
    REFUSED(ag_backward(v, .gradient = ag_ones(AG_SHAPE(2, 2))), "through the graph a second time");
}
END_TEST

START_TEST(a_view_follows_a_base_that_only_views_hold)
{
    Variable *x = LEAF(AG_SHAPE(4), 1, 2, 3, 4), *v, *other;
    {
        AG_SCOPE;
        Variable *y = ag_mul(x, x);
        v = ag_keep(ag_narrow(y, 0, 0, 3));
        other = ag_keep(ag_narrow(y, 0, 1, 2));
    }
    OK(ag_mul_(other, ag_scalar(10.0)));
    OK(ag_add_(v, ag_scalar(1.0)));
    OK(ag_backward(ag_sum(ag_mul(v, v)))); /* (x^2 + 1)^2, (10 x^2 + 1)^2 twice */
    VALUES(ag_grad(x), 8, 3280, 10920, 0);
}
END_TEST

/* Changes of a transposed part, of a diagonal, and one by another part of the same. */
static int changes_parts(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    Variable *a = ag_mul(x[0], x[0]), *part = ag_transpose(ag_narrow(a, 1, 0, 2), 0, 1),
             *whole = ag_view(a, AG_SHAPE(9));
    ag_mul_(part, x[1]);
    ag_sin_(ag_diagonal(a));
    ag_add_(ag_select(a, 0, 0), ag_select(x[0], 0, 1));
    ag_zero_(ag_select(ag_select(a, 0, 2), 0, 2));
    return y[0] = ag_mul(whole, whole), y[1] = ag_tanh(part), 2;
}
START_TEST(changes_of_views_have_gradients_of_any_order)
{
    Variable *x = ag_requires_grad_(support_random(AG_SHAPE(3, 3), 0.5, 1.5)),
             *w = ag_requires_grad_(support_random(AG_SHAPE(3), 0.5, 1.5));
    ag_gradcheck_result result;
    ck_assert_msg(ag_gradcheck(changes_parts, AG_LIST(x, w), .result = &result), "%s", result.message);
    ck_assert_msg(ag_gradgradcheck(changes_parts, AG_LIST(x, w), .result = &result), "%s", result.message);
}
END_TEST

SUPPORT_MAIN("inplace", detach_shares_numbers_and_version_and_never_wants_a_gradient,
             a_saved_variable_that_was_changed_in_place_is_noticed,
             an_op_on_a_view_whose_base_has_got_a_history_since_keeps_what_its_gradients_read,
             the_sentence_names_what_was_changed_as_pytorch_does,
             a_variable_changed_by_itself_is_noticed_where_backward_reads_it,
             a_saved_variable_that_was_detached_in_place_is_noticed, what_fills_may_fill_elements_that_overlap,
             a_change_in_place_of_what_no_backward_reads_is_no_error,
             a_leaf_that_wants_a_gradient_cannot_be_changed_in_place,
             a_change_in_place_of_an_inner_variable_becomes_its_history,
             an_op_in_place_that_needs_the_old_numbers_keeps_them,
             a_variable_changed_by_what_was_computed_from_it_holds_no_cycle, a_view_shares_storage_and_version,
             a_view_made_in_no_grad_mode_wants_what_its_base_wants_and_leads_nowhere,
             a_view_made_in_no_grad_mode_is_not_changed_where_that_is_recorded,
             a_change_of_a_view_is_a_change_of_its_base,
             what_wants_no_gradient_wants_one_after_a_view_of_it_has_taken_one_over,
             a_view_follows_the_changes_of_its_base_and_of_other_views, a_view_follows_a_base_that_only_views_hold,
             changes_of_views_have_gradients_of_any_order)
