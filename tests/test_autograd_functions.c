/* test_autograd_functions.c - what PyTorch's test_autograd.py asserts of custom functions (docs/test-autograd.md): what
 * they return, what they save, what they are handed. */
#include "support.h"

#define FLOATS(...) ag_tensor(((double[]){ __VA_ARGS__ }), AG_SHAPE(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)))

static int runs; /* of the backwards below */
static void begin(void)
{
    support_begin();
    runs = 0;
}
static bool hands_back(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    runs++;
    return (grad[0] = g[0]);
}
static bool gives_nothing(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx, (void)g, (void)grad;
    runs++;
    return true;
}

/* ---- what backward returns ---- */

static bool copies(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    return (out[0] = ag_clone(in.at[0]));
}
static const ag_function nothing = { .name = "Nothing", .forward = copies, .backward = gives_nothing };

START_TEST(a_function_may_return_no_gradient)
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *y = LEAF(AG_SHAPE(1), 3), *g[1];
    OK(ag_backward(ag_function_apply(&nothing, AG_LIST(x))));
    OK(ag_backward(ag_function_apply(&nothing, AG_LIST(ag_square(x)))));
    ck_assert(!ag_grad(x) && runs == 2);
    OK(ag_backward(ag_add(ag_mul(x, y), ag_function_apply(&nothing, AG_LIST(x))))); /* others' counts */
    VALUES(ag_grad(x), 3);
    OK(ag_autograd_grad(AG_LIST(ag_function_apply(&nothing, AG_LIST(y))), AG_LIST(y), g, .allow_unused = true));
    ck_assert_ptr_null(g[0]);
    REFUSED(ag_autograd_grad(AG_LIST(ag_function_apply(&nothing, AG_LIST(y))), AG_LIST(y), g),
            "appears to not have been used in the graph");
}
END_TEST

static bool shrinks(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    return (grad[0] = ag_narrow(g[0], 0, 0, 1));
}
static bool of_another_type(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    return (grad[0] = ag_float(g[0]));
}
static bool row_for_matrix(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    return (grad[0] = ag_unsqueeze(g[0], 0));
}
START_TEST(a_gradient_is_brought_to_its_inputs_shape_and_type_where_that_can_be)
{
    static const ag_function less = { .name = "Less", .forward = copies, .backward = shrinks };
    static const ag_function single = { .name = "Single", .forward = copies, .backward = of_another_type };
    static const ag_function more = { .name = "More", .forward = copies, .backward = row_for_matrix };
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    OK(ag_backward(ag_sum(ag_function_apply(&single, AG_LIST(x)))));
    ck_assert_int_eq(ag_dtype_of(ag_grad(x)), AG_FLOAT64);
    OK(ag_backward(ag_sum(ag_function_apply(&more, AG_LIST(x))))); /* (1,2) is summed to (2) */
    VALUES(ag_grad(x), 2, 2);
    REFUSED(ag_backward(ag_sum(ag_function_apply(&less, AG_LIST(x)))),
            "Function LessBackward returned an invalid gradient at index 0 - got [1] but expected shape compatible "
            "with [2]");
    VALUES(ag_grad(x), 2, 2);
}
END_TEST

/* ---- what forward returns ---- */

static bool same_and_sum(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    out[0] = in.at[0];
    return (out[1] = ag_add(in.at[0], in.at[1]));
}
static bool same_and_sum_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    grad[0] = ag_add(g[0], g[1]);
    return (grad[1] = g[1]);
}
static Variable *notes(Variable *g, void *user)
{
    *(double *)user = support_at(g, 0);
    return NULL;
}
START_TEST(a_leaf_that_is_returned_as_it_is_is_another_variable_and_stays_a_leaf)
{
    static const ag_function f = {
        .name = "Identity", .forward = same_and_sum, .backward = same_and_sum_backward, .n_outputs = 2
    };
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = LEAF(AG_SHAPE(2), 3, 4);
    List out = ag_function_apply_list(&f, AG_LIST(x, y));
    ck_assert(out.n == 2 && out.at[0] != x && ag_is_view(out.at[0]) && !ag_is_leaf(out.at[0]) && ag_is_leaf(x));
    double seen = 0;
    OK(ag_register_hook(out.at[0], notes, &seen));
    OK(ag_backward(ag_sum(ag_add(ag_add(out.at[0], out.at[1]), x))));
    ck_assert_double_eq(seen, 1);
    VALUES(ag_grad(x), 3, 3);
    VALUES(ag_grad(y), 1, 1);
}
END_TEST

static bool adds_into(ag_context *ctx, ag_list in, Variable **out)
{
    if (!ag_mark_dirty(ctx, AG_LIST(in.at[0]))) return false;
    out[0] = ag_add_(in.at[0], in.at[1]);
    return (out[1] = ag_add(in.at[1], ag_scalar(2)));
}
static bool adds_into_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    grad[0] = g[0];
    return (grad[1] = ag_add(g[0], g[1]));
}
START_TEST(what_a_function_changes_in_place_has_it_as_its_history_whether_or_not_it_had_one)
{
    static const ag_function f = {
        .name = "AddsInto", .forward = adds_into, .backward = adds_into_backward, .n_outputs = 2
    };
    Variable *x = FLOATS(1, 2), *y = LEAF(AG_SHAPE(2), 3, 4);
    List out = ag_function_apply_list(&f, AG_LIST(x, y));
    ck_assert_ptr_eq(out.at[0], x);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(x)), "AddsIntoBackward");
    ck_assert(ag_requires_grad(x) && !ag_is_leaf(x));
    OK(ag_backward(ag_sum(ag_add(out.at[0], out.at[1]))));
    VALUES(ag_grad(y), 2, 2);
    Variable *plain = FLOATS(1, 2); /* where nothing wants a gradient, nothing is recorded */
    out = ag_function_apply_list(&f, AG_LIST(plain, ag_detach(y)));
    ck_assert(out.at[0] == plain && !ag_requires_grad(plain) && !ag_grad_fn(plain));
    VALUES(plain, 4, 6);
}
END_TEST

static bool doubles_in_place(ag_context *ctx, ag_list in, Variable **out)
{
    return ag_mark_dirty(ctx, AG_LIST(in.at[0])) && (out[0] = ag_mul_(in.at[0], ag_scalar(2)));
}
static bool doubles(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    return (grad[0] = ag_mul(g[0], ag_scalar(2)));
}
static const ag_function in_place = { .name = "InPlace", .forward = doubles_in_place, .backward = doubles };

START_TEST(a_function_changes_views_in_place_and_their_base_with_them)
{
    Variable *x = LEAF(AG_SHAPE(2, 2), 1, 2, 3, 4), *base = ag_clone(x), *view = ag_narrow(base, 1, 0, 1);
    Variable *out = ag_function_apply(&in_place, AG_LIST(view));
    OK(out);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(base)), "CopySlices");
    OK(ag_backward(ag_sum(ag_mul(base, base))));
    VALUES(ag_grad(x), 8, 4, 24, 8);
    Variable *y = LEAF(AG_SHAPE(1), 1), *whole = ag_clone(y), *other = LEAF(AG_SHAPE(1), 1), *seen;
    seen = ag_function_apply(&in_place, AG_LIST(ag_view(whole, AG_SHAPE(1)), other)); /* gives other no gradient */
    OK(ag_backward(seen));
    VALUES(ag_grad(y), 2);
    ck_assert_ptr_null(ag_grad(other));
    REFUSED(ag_function_apply(&in_place, AG_LIST(ag_unbind(ag_clone(x)).at[0])),
            "This view is the output of a function that returns multiple views.");
}
END_TEST

static bool a_view(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    return (out[0] = ag_view(in.at[0], ag_shape(in.at[0])));
}
START_TEST(a_view_that_a_function_returns_is_not_changed_where_that_is_recorded)
{
    static const ag_function viewing = { .name = "Viewing", .forward = a_view, .backward = hands_back };
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *plain = FLOATS(3, 4), *out;
    REFUSED(ag_add_(ag_function_apply(&viewing, AG_LIST(ag_clone(x))), x),
            "This view was created inside a custom Function");
    out = ag_function_apply(&viewing, AG_LIST(plain)); /* nothing is recorded of plain */
    OK(out);
    ck_assert(!ag_requires_grad(out));
    {
        AG_NO_GRAD;
        out = ag_function_apply(&viewing, AG_LIST(x));
        OK(ag_requires_grad(out) && ag_is_leaf(out)); /* as any view made in no_grad mode */
    }
    REFUSED(ag_zero_(out), "A view was created in no_grad mode and is being modified inplace with grad mode enabled.");
}
END_TEST

static bool copies_a_part(ag_context *ctx, ag_list in, Variable **out)
{
    out[0] = ag_narrow(ag_clone(in.at[0]), 0, 0, 2);
    return *(bool *)ag_context_user(ctx) ? ag_add_(out[0], ag_scalar(2)) != NULL : true;
}
static bool pads(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    return (grad[0] = ag_cat(AG_LIST(g[0], ag_zeros(AG_SHAPE(1), .dtype = AG_FLOAT64))));
}
START_TEST(what_a_function_changes_of_its_own_is_its_own_affair)
{
    static const ag_function f = { .name = "Part", .forward = copies_a_part, .backward = pads };
    Variable *x = LEAF(AG_SHAPE(3), 1, 2, 3);
    for (int changes = 0; changes < 2; changes++) {
        bool does = changes;
        Variable *y = ag_function_apply(&f, AG_LIST(x), &does);
        OK(y);
        ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "PartBackward");
        OK(ag_set_grad(x, AG_NONE));
        OK(ag_backward(ag_sum(y)));
        VALUES(ag_grad(x), 1, 1, 0);
    }
}
END_TEST

/* ---- what is saved ---- */

static bool squares(ag_context *ctx, ag_list in, Variable **out)
{
    return (out[0] = ag_square(in.at[0])) && ag_save_for_backward(ctx, AG_LIST(in.at[0], out[0], AG_NONE));
}
static bool squares_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    ag_list saved = ag_saved_tensors(ctx);
    if (saved.n != 3) return false;
    ck_assert(saved.at[2] == AG_NONE);
    CLOSE(ag_detach(saved.at[1]), ag_square(ag_detach(saved.at[0])), 0);
    return (grad[0] = ag_mul(g[0], ag_mul(saved.at[0], ag_scalar(2))));
}
static const ag_function square = { .name = "Square", .forward = squares, .backward = squares_backward };

START_TEST(inputs_and_outputs_that_a_function_saved_outlive_everybody_else)
{
    Variable *x = LEAF(AG_SHAPE(2), 2, 3), *sum;
    {
        AG_SCOPE;
        sum = ag_keep(ag_sum(ag_function_apply(&square, AG_LIST(ag_mul(x, ag_scalar(1))))));
    }
    OK(ag_backward(sum, .retain_graph = true));
    OK(ag_backward(sum));
    VALUES(ag_grad(x), 8, 12);
    REFUSED(ag_backward(sum), "Trying to backward through the graph a second time");
}
END_TEST

static int of_square(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_function_apply(&square, AG_LIST(ag_mul(x[0], x[1]))), 1;
}
START_TEST(what_backward_computes_is_differentiated_as_often_as_asked)
{
    Variable *x = LEAF(AG_SHAPE(2), 2, 3), *w = LEAF(AG_SHAPE(2), 0.5, 1.5), *g[1],
             *y = ag_function_apply(&square, AG_LIST(x));
    ck_assert(ag_gradcheck(of_square, AG_LIST(x, w)) && ag_gradgradcheck(of_square, AG_LIST(x, w)));
    OK(ag_autograd_grad(AG_LIST(ag_sum(y)), AG_LIST(x), g, .create_graph = true));
    for (int i = 0; i < 2; i++) {
        Variable *second[1];
        OK(ag_autograd_grad(AG_LIST(ag_sum(g[0])), AG_LIST(x), second, .retain_graph = true));
        VALUES(second[0], 2, 2);
    }
}
END_TEST

/* ---- outputs without a gradient ---- */

static bool three_ways(ag_context *ctx, ag_list in, Variable **out)
{
    out[0] = ag_mul(in.at[0], ag_scalar(2));
    out[1] = ag_gt(in.at[0], ag_scalar(1));
    out[2] = ag_mul(in.at[0], ag_scalar(3));
    if (ag_context_user(ctx)) ag_set_materialize_grads(ctx, false);
    return out[2] && ag_mark_non_differentiable(ctx, AG_LIST(out[1]));
}
static bool three_ways_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    bool *came = ag_context_user(ctx);
    for (int i = 0; came && i < 3; i++) came[i] = g[i] != NULL;
    if (!came) ck_assert(g[0] && g[1] && g[2]);
    return (grad[0] = ag_mul(g[0] ? g[0] : g[2], ag_scalar(10)));
}
START_TEST(an_output_without_gradient_hands_in_zeros_or_nothing)
{
    static const ag_function f = {
        .name = "ThreeWays", .forward = three_ways, .backward = three_ways_backward, .n_outputs = 3
    };
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    List out = ag_function_apply_list(&f, AG_LIST(x));
    ck_assert(ag_requires_grad(out.at[0]) && !ag_requires_grad(out.at[1]) && ag_requires_grad(out.at[2]));
    ck_assert(!ag_grad_fn(out.at[1]) && ag_output_nr(out.at[2]) == 2);
    OK(ag_backward(ag_sum(out.at[0])));
    VALUES(ag_grad(x), 10, 10);
    bool came[3];
    OK(ag_backward(ag_sum(ag_function_apply_list(&f, AG_LIST(x), came).at[2])));
    ck_assert(!came[0] && !came[1] && came[2]);
    VALUES(ag_grad(x), 20, 20);
}
END_TEST

static bool both_ways(ag_context *ctx, ag_list in, Variable **out)
{
    out[0] = ag_exp(in.at[0]);
    (void)ctx;
    return (out[1] = ag_mul(in.at[0], ag_scalar(2)));
}
static bool both_ways_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    return (grad[0] = ag_add(g[0], ag_mul(g[1], ag_scalar(2))));
}
START_TEST(a_function_records_nothing_in_no_grad_mode_or_for_inputs_that_want_no_gradient)
{
    static const ag_function f = {
        .name = "Both", .forward = both_ways, .backward = both_ways_backward, .n_outputs = 2
    };
    Variable *x = LEAF(AG_SHAPE(1), 0), *c = FLOATS(0);
    {
        AG_NO_GRAD;
        ck_assert(!ag_requires_grad(ag_function_apply(&f, AG_LIST(x))));
    }
    ck_assert(!ag_requires_grad(ag_function_apply(&f, AG_LIST(c))));
    List out = ag_function_apply_list(&f, AG_LIST(x));
    OK(ag_autograd_backward(out));
    VALUES(ag_grad(x), 3);
}
END_TEST

static bool twice_the_same(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    return (out[0] = out[1] = ag_mul(in.at[0], ag_scalar(2)));
}
START_TEST(one_variable_as_two_outputs_is_the_later_of_them)
{
    static const ag_function f = {
        .name = "Same", .forward = twice_the_same, .backward = both_ways_backward, .n_outputs = 2
    };
    Variable *x = LEAF(AG_SHAPE(1), 1);
    List out = ag_function_apply_list(&f, AG_LIST(x));
    ck_assert(out.n == 2 && out.at[0] == out.at[1] && ag_output_nr(out.at[0]) == 1);
    OK(ag_backward(ag_add(out.at[0], ag_mul(out.at[1], ag_scalar(3)))));
    VALUES(ag_grad(x), 8); /* nothing for output 0, 1 + 3 for output 1 */
}
END_TEST

int main(void)
{
    const TTest *all[] = { a_function_may_return_no_gradient,
                           a_gradient_is_brought_to_its_inputs_shape_and_type_where_that_can_be,
                           a_leaf_that_is_returned_as_it_is_is_another_variable_and_stays_a_leaf,
                           what_a_function_changes_in_place_has_it_as_its_history_whether_or_not_it_had_one,
                           a_function_changes_views_in_place_and_their_base_with_them,
                           a_view_that_a_function_returns_is_not_changed_where_that_is_recorded,
                           what_a_function_changes_of_its_own_is_its_own_affair,
                           inputs_and_outputs_that_a_function_saved_outlive_everybody_else,
                           what_backward_computes_is_differentiated_as_often_as_asked,
                           an_output_without_gradient_hands_in_zeros_or_nothing,
                           a_function_records_nothing_in_no_grad_mode_or_for_inputs_that_want_no_gradient,
                           one_variable_as_two_outputs_is_the_later_of_them };
    return support_main_with("autograd_functions", all, sizeof all / sizeof *all, begin, support_end);
}
