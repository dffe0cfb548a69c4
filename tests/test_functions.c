/* test_functions.c - functions with a gradient of one's own (autograd/function.h). */
#include "support.h"

/* ---- functions under test ---- */

static bool exp_forward(ag_context *ctx, ag_list in, Variable **out)
{
    ck_assert(!ag_is_grad_enabled());
    out[0] = ag_exp(in.at[0]);
    return ag_save_for_backward(ctx, AG_LIST(out[0]));
}
static bool exp_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    ag_list saved = ag_saved_tensors(ctx);
    return saved.n && (grad[0] = ag_mul(g[0], saved.at[0]));
}
static const ag_function exp_function = { .name = "Exp", .forward = exp_forward, .backward = exp_backward };

/* a * b and a + b; says what it was asked for. */
typedef struct asked {
    bool needs[2], null[2];
    int freed;
    double last;
} asked;
static bool pair_forward(ag_context *ctx, ag_list in, Variable **out)
{
    asked *u = ag_context_user(ctx);
    for (int i = 0; i < 2; i++) u->needs[i] = ag_needs_input_grad(ctx, i);
    out[0] = ag_mul(in.at[0], in.at[1]);
    out[1] = ag_add(in.at[0], in.at[1]);
    return ag_save_for_backward(ctx, in);
}
static bool pair_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    asked *u = ag_context_user(ctx);
    ag_list saved = ag_saved_tensors(ctx);
    if (!saved.n) return false;
    for (int i = 0; i < 2; i++) u->null[i] = !g[i];
    for (int i = 0; i < 2; i++)
        if (ag_needs_input_grad(ctx, i)) grad[i] = ag_add(ag_mul(g[0], saved.at[1 - i]), g[1]);
    return !ag_error();
}
static const ag_function pair_function = {
    .name = "Pair", .forward = pair_forward, .backward = pair_backward, .n_outputs = 2
};
static void count_freed(void *user) { ((asked *)user)->freed++; }

/* ---- tests ---- */

START_TEST(a_function_has_its_own_gradient_and_a_node_of_its_name)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_function_apply(&exp_function, AG_LIST(x));
    OK(y);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "ExpBackward");
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), exp(1), exp(2));
    REFUSED(ag_backward(ag_sum(y)), "Trying to backward through the graph a second time");
}
END_TEST

static bool custom_exp(ag_list in, Variable **out, void *user)
{
    (void)user;
    out[0] = ag_function_apply(&exp_function, in);
    return out[0];
}
START_TEST(backward_through_a_function_can_be_differentiated_again)
{
    Variable *x = LEAF(AG_SHAPE(2), 0.5, 1.5), *y = ag_function_apply(&exp_function, AG_LIST(x)), *g;
    OK(ag_autograd_grad(AG_LIST(ag_sum(y)), AG_LIST(x), &g, .create_graph = true));
    OK(ag_autograd_grad(AG_LIST(ag_sum(g)), AG_LIST(x), &g, .create_graph = true));
    OK(ag_autograd_grad(AG_LIST(ag_sum(g)), AG_LIST(x), &g));
    VALUES(g, exp(0.5), exp(1.5));
    (void)custom_exp;
}
END_TEST

START_TEST(needs_input_grad_says_which_inputs_want_a_gradient)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_tensor(((double[]){ 3, 4 }), AG_SHAPE(2));
    asked u = { 0 };
    ag_list y = ag_function_apply_list(&pair_function, AG_LIST(x, c), &u);
    ck_assert_int_eq(y.n, 2);
    ck_assert(u.needs[0] && !u.needs[1]);
    OK(ag_backward(ag_sum(ag_add(y.at[0], y.at[1]))));
    VALUES(ag_grad(x), 4, 5);
    ck_assert(!ag_grad(c));
}
END_TEST

START_TEST(the_user_data_of_a_call_is_freed_with_its_graph)
{
    asked u = { 0 };
    {
        AG_SCOPE;
        Variable *x = LEAF(AG_SHAPE(1), 1);
        OK(ag_function_apply(&pair_function, AG_LIST(x, x), &u, count_freed));
        ck_assert_int_eq(u.freed, 0);
    }
    ck_assert_int_eq(u.freed, 1);
    {
        AG_NO_GRAD;
        OK(ag_function_apply(&pair_function, AG_LIST(ag_ones(AG_SHAPE(1)), ag_ones(AG_SHAPE(1))), &u, count_freed));
    }
    ck_assert_int_eq(u.freed, 2);
    REFUSED(ag_function_apply(&pair_function, AG_LIST(NULL, NULL), &u, count_freed), "Pair: input 0 is NULL");
    REFUSED(ag_function_apply(NULL, AG_LIST(NULL, NULL), &u, count_freed), "the function is NULL");
    ck_assert_int_eq(u.freed, 4);
}
END_TEST

static bool unmaterialized_forward(ag_context *ctx, ag_list in, Variable **out)
{
    ag_set_materialize_grads(ctx, false);
    return pair_forward(ctx, in, out);
}
static bool unmaterialized_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    asked *u = ag_context_user(ctx);
    for (int i = 0; i < 2; i++) u->null[i] = !g[i];
    grad[0] = g[1];
    return true;
}
START_TEST(a_gradient_that_did_not_come_is_zeros_or_null_if_so_asked)
{
    static const ag_function unmaterialized = {
        .name = "Pair", .forward = unmaterialized_forward, .backward = unmaterialized_backward, .n_outputs = 2
    };
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    asked u = { 0 };
    ag_list y = ag_function_apply_list(&pair_function, AG_LIST(x, x), &u);
    OK(ag_backward(ag_sum(y.at[1])));
    ck_assert(!u.null[0] && !u.null[1]);
    VALUES(ag_grad(x), 2, 2);
    y = ag_function_apply_list(&unmaterialized, AG_LIST(x, x), &u);
    OK(ag_backward(ag_sum(y.at[1])));
    ck_assert(u.null[0] && !u.null[1]);
    VALUES(ag_grad(x), 3, 3);
}
END_TEST

static bool sort_of_max_forward(ag_context *ctx, ag_list in, Variable **out)
{
    ag_values_indices m = ag_max_dim(in.at[0], 0);
    out[0] = m.values;
    out[1] = ag_mul(m.values, m.values);
    return ag_mark_non_differentiable(ctx, AG_LIST(out[1]));
}
static bool ones_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    grad[0] = ag_expand(g[0], AG_SHAPE(2));
    return grad[0];
}
START_TEST(a_non_differentiable_output_wants_no_gradient)
{
    static const ag_function f = {
        .name = "Max", .forward = sort_of_max_forward, .backward = ones_backward, .n_outputs = 2
    };
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    ag_list y = ag_function_apply_list(&f, AG_LIST(x));
    ck_assert_int_eq(y.n, 2);
    ck_assert(ag_requires_grad(y.at[0]) && !ag_requires_grad(y.at[1]) && !ag_grad_fn(y.at[1]));
    OK(ag_backward(y.at[0]));
    VALUES(ag_grad(x), 1, 1);
}
END_TEST

static bool double_forward(ag_context *ctx, ag_list in, Variable **out)
{
    out[0] = in.at[0];
    return ag_mark_dirty(ctx, AG_LIST(in.at[0])) && ag_mul_(in.at[0], ag_scalar(2));
}
static bool double_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    return (grad[0] = ag_mul(g[0], ag_scalar(2)));
}
static const ag_function double_function = { .name = "Double", .forward = double_forward, .backward = double_backward };

START_TEST(an_input_marked_dirty_has_the_function_as_its_history)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, ag_scalar(3));
    Variable *z = ag_function_apply(&double_function, AG_LIST(y));
    OK(z);
    ck_assert_ptr_eq(z, y);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "DoubleBackward");
    ck_assert_int_gt(ag_version(y), 0);
    VALUES(y, 6, 12);
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 6, 6);
    REFUSED(ag_function_apply(&double_function, AG_LIST(x)),
            "a leaf Variable that requires grad is being used in an in-place operation.");
}
END_TEST

START_TEST(a_view_marked_dirty_changes_the_history_of_its_base)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *base = ag_mul(x, ag_scalar(3)), *view = ag_select(base, 0, 1);
    OK(ag_function_apply(&double_function, AG_LIST(view)));
    OK(ag_backward(ag_sum(base)));
    VALUES(ag_grad(x), 3, 6);
}
END_TEST

static bool hides_forward(ag_context *ctx, ag_list in, Variable **out)
{
    out[0] = ag_clone(in.at[0]);
    return ag_mark_dirty(ctx, AG_LIST(in.at[0]));
}
static bool same_forward(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    out[0] = in.at[0];
    return true;
}
static bool same_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    return (grad[0] = ag_mul(g[0], ag_scalar(10)));
}
static bool part_forward(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    return (out[0] = ag_narrow(in.at[0], 0, 0, 2));
}

static bool changed_part_forward(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    return (out[0] = ag_narrow(ag_clone(in.at[0]), 0, 0, 2)) && ag_add_(out[0], ag_scalar(2));
}
START_TEST(forward_may_change_a_view_of_its_own_and_return_it)
{
    static const ag_function f = { .name = "Part", .forward = changed_part_forward, .backward = same_backward };
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_function_apply(&f, AG_LIST(x));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "PartBackward");
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 10, 10);
}
END_TEST

START_TEST(an_input_given_back_as_it_is_is_another_variable_with_the_functions_gradient)
{
    static const ag_function same = { .name = "Same", .forward = same_forward, .backward = same_backward };
    static const ag_function part = { .name = "Part", .forward = part_forward, .backward = same_backward };
    static const ag_function hides = { .name = "Hides", .forward = hides_forward, .backward = same_backward };
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_function_apply(&same, AG_LIST(x));
    OK(y);
    ck_assert(y != x && ag_shares_storage(x, y) && !ag_is_leaf(y) && ag_is_leaf(x));
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 10, 10);
    y = ag_function_apply(&same, AG_LIST(ag_mul(x, x)));
    REFUSED(ag_add_(y, y), "Output 0 of Same is a view and is being modified inplace. This view was created inside a "
                           "custom Function");
    y = ag_function_apply(&part, AG_LIST(ag_mul(x, x)));
    REFUSED(ag_zero_(y), "You can fix this by cloning the output of the custom Function.");
    REFUSED(ag_function_apply(&hides, AG_LIST(ag_mul(x, x))),
            "The inputs that are modified inplace must all be outputs of the Function.");
}
END_TEST

START_TEST(a_once_differentiable_function_refuses_to_be_differentiated_twice)
{
    static const ag_function once = {
        .name = "Once", .forward = exp_forward, .backward = exp_backward, .once_differentiable = true
    };
    Variable *x = LEAF(AG_SHAPE(1), 1), *w = LEAF(AG_SHAPE(1), 2), *y = ag_function_apply(&once, AG_LIST(x)), *g;
    OK(ag_autograd_grad(AG_LIST(ag_mul(y, w)), AG_LIST(x), &g, .create_graph = true));
    VALUES(g, 2 * exp(1));
    REFUSED(ag_backward(g), "trying to differentiate twice a function that was marked with @once_differentiable");
}
END_TEST

START_TEST(what_a_function_saved_must_not_have_been_changed)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_function_apply(&exp_function, AG_LIST(x));
    {
        AG_NO_GRAD;
        OK(ag_zero_(y));
    }
    REFUSED(ag_backward(ag_sum(y)), "which is output 0 of Exp, is at version 1; expected version 0 instead");
    asked u = { 0 };
    Variable *a = ag_mul(x, x), *p = ag_function_apply(&pair_function, AG_LIST(a, a), &u);
    OK(ag_zero_(a));
    REFUSED(ag_backward(ag_sum(p)), "is at version 1; expected version 0 instead");
}
END_TEST

static bool fails_silently(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx, (void)in, (void)out;
    return false;
}
static bool fails_aloud(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    return (out[0] = ag_mm(in.at[0], in.at[0]));
}
static bool leaves_out(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx, (void)in, (void)out;
    return true;
}
static bool saves_twice(ag_context *ctx, ag_list in, Variable **out)
{
    out[0] = ag_exp(in.at[0]);
    return ag_save_for_backward(ctx, in) && ag_save_for_backward(ctx, in);
}
static bool of_wrong_shape(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx, (void)g;
    return (grad[0] = ag_ones(AG_SHAPE(3), .dtype = AG_FLOAT64));
}
static bool backward_fails(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx, (void)g, (void)grad;
    return false;
}

START_TEST(a_function_that_fails_says_so_and_leaves_nothing)
{
    static const struct {
        ag_function f;
        const char *sentence;
    } cases[] = {
        { { .name = "Silent", .forward = fails_silently, .backward = exp_backward },
          "Silent: forward failed and left no error that says why" },
        { { .name = "Aloud", .forward = fails_aloud, .backward = exp_backward }, "mm" },
        { { .name = "Empty", .forward = leaves_out, .backward = exp_backward }, "Empty: forward left output 0 out" },
        { { .name = "Twice", .forward = saves_twice, .backward = exp_backward },
          "save_for_backward: it has been called before in this forward" },
        { { .name = "None", .forward = exp_forward }, "function_apply: backward is NULL" },
    };
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        REFUSED(ag_function_apply(&cases[i].f, AG_LIST(x)), cases[i].sentence);
    static const ag_function wrong = { .name = "Wrong", .forward = exp_forward, .backward = of_wrong_shape };
    REFUSED(ag_backward(ag_sum(ag_function_apply(&wrong, AG_LIST(x)))),
            "Function WrongBackward returned an invalid gradient at index 0 - got [3] but expected shape compatible "
            "with [2]");
    static const ag_function silent = { .name = "Silent", .forward = exp_forward, .backward = backward_fails };
    REFUSED(ag_backward(ag_sum(ag_function_apply(&silent, AG_LIST(x)))),
            "Silent: backward failed and left no error that says why");
    REFUSED(ag_save_for_backward(NULL, AG_LIST(x)), "the context is NULL");
    ck_assert(!ag_grad(x));
}
END_TEST

static bool optional_forward(ag_context *ctx, ag_list in, Variable **out)
{
    ck_assert_ptr_eq(in.at[1], AG_NONE);
    out[0] = ag_exp(in.at[0]);
    return ag_save_for_backward(ctx, AG_LIST(AG_NONE, out[0]));
}
static bool optional_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    ag_list saved = ag_saved_tensors(ctx);
    ck_assert_int_eq(saved.n, 2);
    ck_assert_ptr_eq(saved.at[0], AG_NONE);
    return (grad[0] = ag_mul(g[0], saved.at[1]));
}
START_TEST(an_input_and_what_is_saved_may_be_none)
{
    static const ag_function f = { .name = "Optional", .forward = optional_forward, .backward = optional_backward };
    Variable *x = LEAF(AG_SHAPE(1), 1);
    OK(ag_backward(ag_function_apply(&f, AG_LIST(x, AG_NONE))));
    VALUES(ag_grad(x), exp(1));
}
END_TEST

static bool reentrant_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    ag_list saved = ag_saved_tensors(ctx);
    if (!saved.n) return false;
    AG_ENABLE_GRAD;
    Variable *x = ag_requires_grad_(ag_detach(saved.at[0]));
    if (!ag_backward(ag_sum(ag_exp(x)))) return false;
    return (grad[0] = ag_mul(g[0], ag_grad(x)));
}
static bool saves_input(ag_context *ctx, ag_list in, Variable **out)
{
    out[0] = ag_exp(in.at[0]);
    return ag_save_for_backward(ctx, in);
}
START_TEST(backward_may_begin_a_backward_of_its_own)
{
    static const ag_function f = { .name = "Reentrant", .forward = saves_input, .backward = reentrant_backward };
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    OK(ag_backward(ag_sum(ag_function_apply(&f, AG_LIST(ag_mul(x, ag_scalar(2)))))));
    VALUES(ag_grad(x), 2 * exp(2), 2 * exp(4));
}
END_TEST

SUPPORT_MAIN("functions", a_function_has_its_own_gradient_and_a_node_of_its_name,
             backward_through_a_function_can_be_differentiated_again,
             needs_input_grad_says_which_inputs_want_a_gradient, the_user_data_of_a_call_is_freed_with_its_graph,
             a_gradient_that_did_not_come_is_zeros_or_null_if_so_asked, a_non_differentiable_output_wants_no_gradient,
             an_input_marked_dirty_has_the_function_as_its_history, a_view_marked_dirty_changes_the_history_of_its_base,
             an_input_given_back_as_it_is_is_another_variable_with_the_functions_gradient,
             forward_may_change_a_view_of_its_own_and_return_it,
             a_once_differentiable_function_refuses_to_be_differentiated_twice,
             what_a_function_saved_must_not_have_been_changed, a_function_that_fails_says_so_and_leaves_nothing,
             an_input_and_what_is_saved_may_be_none, backward_may_begin_a_backward_of_its_own)
