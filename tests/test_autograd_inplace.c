/* test_autograd_inplace.c - what PyTorch's test_autograd.py asserts of changes in place, of views and of bases, of
 * assignment to parts, and of detach (docs/test-autograd.md). */
#include "support.h"

#define FLOATS(...) ag_tensor(((double[]){ __VA_ARGS__ }), AG_SHAPE(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)))
static const char several_views[] =
    "This view is the output of a function that returns multiple views. Such functions do "
    "not allow the output views to be modified inplace.";

/* Gradients of the first and second order of a function of these inputs. */
static void check(ag_gradcheck_function *f, List inputs, const char *name)
{
    ag_gradcheck_result found;
    ck_assert_msg(ag_gradcheck(f, inputs, .result = &found), "%s: %s", name, found.message);
    ck_assert_msg(ag_gradgradcheck(f, inputs, .result = &found), "%s: %s", name, found.message);
}
#define CHECK(f, ...) check(f, AG_LIST(__VA_ARGS__), #f)
static Variable *random_leaf(Shape shape) { return ag_requires_grad_(support_random(shape, 0.5, 1.5)); }

/* ---- changes of views: x[0] is (4,4), x[1] is (4,2) or (2,2) ---- */

static int changes_two_views(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    y[0] = ag_clone(x[0]);
    ag_mul_(ag_narrow(y[0], 1, 2, 2), x[1]);
    ag_mul_(ag_narrow(y[0], 1, 0, 2), x[1]);
    return 1;
}
static int changes_a_view_and_reads_another(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    Variable *base = ag_clone(x[0]), *all = ag_narrow(base, 0, 0, 4), *part = ag_narrow(base, 1, 1, 2);
    ag_mul_(part, x[1]);
    return y[0] = all, 1;
}
static int changes_a_view_and_reads_a_view_of_it(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    Variable *view = ag_narrow(ag_clone(x[0]), 1, 0, 2), *of_view = ag_narrow(view, 0, 1, 2);
    ag_mul_(view, x[1]);
    return y[0] = of_view, 1;
}
static int changes_a_view_of_a_view(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    Variable *base = ag_clone(x[0]), *view = ag_narrow(base, 1, 1, 2);
    ag_mul_(ag_narrow(view, 0, 1, 2), ag_narrow(x[1], 0, 0, 2));
    return y[0] = base, y[1] = view, 2;
}
static int changes_the_base_of_a_view(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    Variable *base = ag_zeros(AG_SHAPE(4, 4), .dtype = AG_FLOAT64), *view = ag_select(base, 0, 1);
    ag_add_(base, ag_mul(x[0], x[0]));
    return y[0] = view, 1;
}
static int fills_and_copies(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    y[0] = ag_square(x[0]);
    ag_fill_(ag_select(y[0], 0, 0), 2);
    ag_copy_(ag_narrow(y[0], 1, 0, 2), x[1]);
    ag_copy_(ag_select(y[0], 0, 3), ag_select(ag_square(x[1]), 1, 0));
    ag_relu_(ag_select(y[0], 0, 2));
    return 1;
}
static int copies_a_transposed(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    y[0] = ag_zeros(AG_SHAPE(4, 4), .dtype = AG_FLOAT64);
    return ag_copy_(ag_t(y[0]), ag_sin(x[0])), 1;
}

START_TEST(gradients_pass_through_changes_of_views_of_views_and_of_bases)
{
    Variable *x = random_leaf(AG_SHAPE(4, 4)), *w = random_leaf(AG_SHAPE(4, 2));
    CHECK(changes_two_views, x, w);
    CHECK(changes_a_view_and_reads_another, x, w);
    CHECK(changes_a_view_and_reads_a_view_of_it, x, w);
    CHECK(changes_a_view_of_a_view, x, w);
    CHECK(changes_the_base_of_a_view, x);
    CHECK(fills_and_copies, x, w);
    CHECK(copies_a_transposed, x);
    CHECK(changes_two_views, ag_detach(x), w); /* the view makes its base require a gradient */
}
END_TEST

START_TEST(a_view_with_gaps_may_be_changed)
{
    Variable *root = ag_t(ag_select(ag_ones(AG_SHAPE(2, 3, 2), .dtype = AG_FLOAT64), 2, 1));
    root = ag_requires_grad_(ag_detach(root));
    Variable *x = ag_clone(root), *view = ag_narrow(ag_narrow(x, 0, 0, 1), 1, 1, 1);
    OK(ag_mul_(view, ag_scalar(2)));
    OK(ag_backward(ag_sum(x)));
    VALUES(ag_grad(root), 1, 2, 1, 1, 1, 1);
}
END_TEST

START_TEST(views_of_one_of_several_views_are_not_changed_either)
{
    Variable *x = LEAF(AG_SHAPE(3), 1, 2, 3), *y = ag_clone(x);
    REFUSED(ag_mul_(ag_view_as(ag_unbind(y).at[0], ag_scalar(1.0)), ag_scalar(2)), several_views);
    REFUSED(ag_mul_(ag_unbind(ag_view(y, AG_SHAPE(3))).at[1], ag_scalar(2)), several_views);
    REFUSED(ag_mul_(ag_chunk(y, 3).at[1], ag_scalar(2)), several_views);
    REFUSED(ag_zero_(ag_split_with_sizes(y, AG_SHAPE(1, 2)).at[1]), several_views);
    VALUES(y, 1, 2, 3);
}
END_TEST

START_TEST(a_graph_that_a_change_of_a_view_has_made_is_found_in_no_grad_mode_too)
{
    Variable *x = LEAF(AG_SHAPE(3), 1, 1, 1), *y = ag_mul(x, ag_scalar(2)), *view = ag_view(y, AG_SHAPE(3, 1));
    OK(ag_fill_(ag_select(view, 0, 0), 3));
    {
        AG_NO_GRAD;
        ck_assert_ptr_nonnull(ag_grad_fn(view));
        ck_assert_ptr_nonnull(ag_grad_fn(y));
    }
    OK(ag_backward(ag_sum(view)));
    VALUES(ag_grad(x), 0, 2, 2);
}
END_TEST

START_TEST(a_changed_view_may_go_before_what_was_computed_from_it)
{
    Variable *x = ag_requires_grad_(ag_arange(10, .dtype = AG_FLOAT64)), *copy;
    {
        AG_SCOPE;
        Variable *view = ag_view(ag_clone(ag_narrow(x, 0, 0, 2)), AG_SHAPE(-1));
        OK(ag_relu_(view));
        copy = ag_keep(ag_clone(view));
    }
    OK(ag_backward(ag_sum(copy)));
    VALUES(ag_grad(x), 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
}
END_TEST

static bool passes_on(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    return (out[0] = ag_clone(in.at[0]));
}
static bool must_not_run(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx, (void)g, (void)grad;
    return ag_mm(g[0], g[0]);
}
START_TEST(what_a_change_of_a_view_took_is_differentiated_only_where_that_is_asked_for)
{
    static const ag_function failing = { .name = "Failing", .forward = passes_on, .backward = must_not_run };
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = LEAF(AG_SHAPE(2), 3, 4),
             *safe = ag_function_apply(&failing, AG_LIST(y));
    for (int read_before = 0; read_before < 2; read_before++) {
        Variable *base = ag_clone(x), *view = ag_view(base, AG_SHAPE(-1)), *twice = ag_mul(view, ag_scalar(2)), *sum,
                 *g[2];
        OK(ag_add_(view, safe));
        sum = ag_sum(read_before ? ag_add(base, twice) : base);
        REFUSED(ag_autograd_grad(AG_LIST(sum), AG_LIST(y), g, .retain_graph = true), "mm");
        REFUSED(ag_backward(sum, .retain_graph = true), "mm");
        OK(ag_autograd_grad(AG_LIST(sum), AG_LIST(x), g, .retain_graph = true));
        VALUES(g[0], 1 + 2 * read_before, 1 + 2 * read_before);
        OK(ag_autograd_grad(AG_LIST(sum), AG_LIST(x, safe), g));
        VALUES(g[1], 1, 1);
        OK(ag_set_grad(x, AG_NONE));
    }
}
END_TEST

/* ---- requires_grad by a change in place ---- */

START_TEST(a_change_by_what_requires_grad_makes_its_target_require_it)
{
    Variable *w = LEAF(AG_SHAPE(2), 1, 2), *leaf = FLOATS(3, 4), *inner = ag_add(FLOATS(3, 4), ag_scalar(0.0));
    OK(ag_add_(leaf, w));
    OK(ag_add_(inner, w));
    ck_assert(ag_requires_grad(leaf) && ag_requires_grad(inner));
    Variable *out = FLOATS(0, 0);
    OK(ag_copy_(out, ag_float(w))); /* another type is no hindrance */
    ck_assert(ag_requires_grad(out));
    Variable *whole = ag_zeros(AG_SHAPE(2), .dtype = AG_INT64);
    OK(ag_copy_(whole, w));
    ck_assert(!ag_requires_grad(whole) && !ag_grad_fn(whole)); /* but no floating type is */
    VALUES(whole, 1, 2);
}
END_TEST

START_TEST(what_was_changed_before_it_required_grad_is_a_leaf_like_any_other)
{
    Variable *x = FLOATS(1, 2), *view = ag_view(x, AG_SHAPE(2));
    OK(ag_add_(x, ag_scalar(5)));
    OK(ag_add_(view, ag_scalar(5)));
    OK(ag_requires_grad_(x));
    OK(ag_backward(ag_sum(x)));
    VALUES(ag_grad(x), 1, 1);
    REFUSED(ag_add_(x, ag_scalar(5)), "a leaf Variable that requires grad is being used in an in-place operation.");
    REFUSED(ag_add_(view, ag_scalar(5)),
            "a view of a leaf Variable that requires grad is being used in an in-place operation.");
}
END_TEST

/* ---- assignment to parts ---- */

START_TEST(leaves_assigned_to_parts_of_a_variable_get_their_gradients)
{
    Variable *x = ag_zeros(AG_SHAPE(3, 2), .dtype = AG_FLOAT64), *y = LEAF(AG_SHAPE(2), 1, 2),
             *z = LEAF(AG_SHAPE(2), 3, 4);
    OK(ag_copy_(ag_select(x, 0, 0), y)); /* x[0] = y */
    OK(ag_copy_(ag_select(x, 0, 1), ag_mul(z, ag_scalar(2))));
    ck_assert(ag_requires_grad(x) && ag_grad_fn(x));
    OK(ag_backward(ag_sum(x)));
    VALUES(ag_grad(y), 1, 1);
    VALUES(ag_grad(z), 2, 2);
    Variable *leaf = LEAF(AG_SHAPE(2), 5, 6);
    {
        AG_NO_GRAD;
        OK(ag_copy_(ag_select(leaf, 0, 0), ag_select(y, 0, 0)));
    }
    ck_assert(ag_requires_grad(leaf) && ag_is_leaf(leaf) && !ag_grad_fn(leaf));
    VALUES(leaf, 1, 6);
}
END_TEST

/* The parts of a (3,4) that stand for x[1], x[1:3], x[:, 2], x[1, 2], x[::2], the diagonal, x.T. */
static Variable *part(Variable *x, int i)
{
    switch (i) {
    case 0:
        return ag_select(x, 0, 1);
    case 1:
        return ag_slice(x, 0, 1, 3);
    case 2:
        return ag_select(x, 1, 2);
    case 3:
        return ag_select(ag_select(x, 0, 1), 0, 2);
    case 4:
        return ag_slice(x, 0, 0, 3, 2);
    case 5:
        return ag_diagonal(x);
    default:
        return ag_t(x);
    }
}
START_TEST(what_is_assigned_to_a_part_gets_the_parts_gradient_and_what_was_there_none)
{
    for (int i = 0; i < 7; i++) {
        AG_SCOPE;
        Variable *x = ag_requires_grad_(support_random(AG_SHAPE(3, 4), -1, 1)), *y = ag_add(x, ag_scalar(2));
        Variable *value = ag_requires_grad_(ag_full_like(ag_detach(part(y, i)), 7)),
                 *g = support_random(AG_SHAPE(3, 4), 1, 2);
        int64_t version = ag_version(y);
        OK(ag_copy_(part(y, i), value));
        ck_assert_int_gt(ag_version(y), version);
        OK(ag_backward(y, .gradient = g));
        Variable *expected = ag_clone(g);
        OK(ag_zero_(part(expected, i)));
        CLOSE(ag_grad(x), expected, 0);
        CLOSE(ag_grad(value), ag_clone(part(g, i)), 0);
    }
}
END_TEST

START_TEST(what_is_assigned_by_a_mask_or_an_index_has_the_gradient_of_what_was_replaced_cut_out)
{
    Variable *x = LEAF(AG_SHAPE(4), 1, 2, 3, 4), *y = ag_mul(x, ag_scalar(2)), *value = LEAF(AG_SHAPE(2), 8, 9);
    OK(ag_masked_fill_(y, ag_gt(y, ag_scalar(7)), 0));
    OK(ag_index_copy_(y, 0, ag_tensor(((int64_t[]){ 2, 0 }), AG_SHAPE(2)), value));
    VALUES(y, 9, 4, 8, 0);
    OK(ag_backward(y, .gradient = FLOATS(1, 10, 100, 1000)));
    VALUES(ag_grad(x), 0, 20, 0, 0);
    VALUES(ag_grad(value), 100, 1);
}
END_TEST

/* ---- what reads and what changes ---- */

START_TEST(an_in_place_change_spoils_what_saved_and_leaves_alone_what_did_not)
{
    Variable *x = ag_requires_grad_(ag_ones(AG_SHAPE(2), .dtype = AG_FLOAT64)),
             *y = ag_requires_grad_(ag_full(AG_SHAPE(2), 4, .dtype = AG_FLOAT64));
    Variable *z = ag_mul(x, y), *q = ag_mul(z, y), *r = ag_add(z, y), *w = ag_add_(z, y),
             *ones = ag_ones_like(ag_detach(x));
    OK(ag_backward(w, .gradient = ones, .retain_graph = true)); /* add saves nothing */
    OK(ag_backward(r, .gradient = ones, .retain_graph = true));
    REFUSED(ag_backward(q, .gradient = ones), "modified by an inplace operation"); /* q saved z */
    Variable *leaf = ag_requires_grad_(ag_ones(AG_SHAPE(2), .dtype = AG_FLOAT64)), *m = ag_mul(ag_mul(leaf, y), y);
    {
        AG_NO_GRAD;
        OK(ag_mul_(leaf, ag_scalar(2))); /* counts as a change, though nothing is recorded */
    }
    ck_assert_int_eq(ag_version(leaf), 1);
    REFUSED(ag_backward(m, .gradient = ones), "modified by an inplace operation");
}
END_TEST

/* ---- detach ---- */

START_TEST(detach_cuts_the_way_back)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_detach(ag_mul(x, ag_scalar(4))), *z = ag_add(ag_mul(y, y), x);
    ck_assert(!ag_requires_grad(ag_mul(y, ag_scalar(2))));
    OK(ag_backward(ag_sum(z)));
    VALUES(ag_grad(x), 1, 1); /* wrong, and what was asked for */
}
END_TEST

START_TEST(detach_in_place_cuts_later_readers_off_and_not_earlier_ones)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = LEAF(AG_SHAPE(2), 3, 4), *a = ag_mul(x, ag_scalar(2)),
             *sum = ag_sum(ag_add(y, a));
    OK(ag_backward(sum, .retain_graph = true));
    OK(ag_detach_(a));
    ck_assert(!ag_requires_grad(a));
    OK(ag_backward(ag_sum(ag_add(y, a))));
    VALUES(ag_grad(x), 2, 2);
    VALUES(ag_grad(y), 2, 2);
    OK(ag_backward(sum));
    VALUES(ag_grad(x), 4, 4);
}
END_TEST

START_TEST(detaching_a_base_does_not_detach_its_views)
{
    Variable *x = LEAF(AG_SHAPE(4), 1, 2, 3, 4), *inner = ag_mul(x, x), *view = ag_narrow(x, 0, 1, 2),
             *of_inner = ag_narrow(inner, 0, 1, 2);
    OK(ag_detach_(x));
    OK(ag_detach_(inner));
    ck_assert(!ag_requires_grad(x) && !ag_requires_grad(inner));
    ck_assert(ag_requires_grad(view) && ag_grad_fn(view) && ag_requires_grad(of_inner) && ag_grad_fn(of_inner));
    REFUSED(ag_detach_(view), "Can't detach views in-place. Use detach() instead.");
}
END_TEST

SUPPORT_MAIN("autograd_inplace", gradients_pass_through_changes_of_views_of_views_and_of_bases,
             a_view_with_gaps_may_be_changed, views_of_one_of_several_views_are_not_changed_either,
             a_graph_that_a_change_of_a_view_has_made_is_found_in_no_grad_mode_too,
             a_changed_view_may_go_before_what_was_computed_from_it,
             what_a_change_of_a_view_took_is_differentiated_only_where_that_is_asked_for,
             a_change_by_what_requires_grad_makes_its_target_require_it,
             what_was_changed_before_it_required_grad_is_a_leaf_like_any_other,
             leaves_assigned_to_parts_of_a_variable_get_their_gradients,
             what_is_assigned_to_a_part_gets_the_parts_gradient_and_what_was_there_none,
             what_is_assigned_by_a_mask_or_an_index_has_the_gradient_of_what_was_replaced_cut_out,
             an_in_place_change_spoils_what_saved_and_leaves_alone_what_did_not, detach_cuts_the_way_back,
             detach_in_place_cuts_later_readers_off_and_not_earlier_ones, detaching_a_base_does_not_detach_its_views)
