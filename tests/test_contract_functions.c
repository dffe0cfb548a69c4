/* test_contract_functions.c - the Variable's contract, a sentence of docs/contract.md each: custom functions. */
#include "support.h"

#define FLOATS(...) ag_tensor(((double[]){ __VA_ARGS__ }), AG_SHAPE(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)))

/* a * b, and a + b if there are two outputs; says what it was asked for. */
typedef struct call {
    bool needs[2], absent[2];
    bool unmaterialized, grad_mode_in_backward;
} call;
static bool mul_forward(ag_context *ctx, ag_list in, Variable **out)
{
    ck_assert(!ag_is_grad_enabled());
    return (out[0] = ag_mul(in.at[0], in.at[1])) && ag_save_for_backward(ctx, in);
}
static bool mul_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    ag_list saved = ag_saved_tensors(ctx);
    if (!saved.n) return false;
    for (int i = 0; i < 2; i++)
        if (ag_needs_input_grad(ctx, i)) grad[i] = ag_mul(g[0], saved.at[1 - i]);
    return !ag_error();
}
static const ag_function mul = { .name = "MyMul", .forward = mul_forward, .backward = mul_backward };

static bool pair_forward(ag_context *ctx, ag_list in, Variable **out)
{
    call *c = ag_context_user(ctx);
    for (int i = 0; i < 2; i++) c->needs[i] = ag_needs_input_grad(ctx, i);
    if (c->unmaterialized) ag_set_materialize_grads(ctx, false);
    out[1] = ag_add(in.at[0], in.at[1]);
    return mul_forward(ctx, in, out);
}
static bool pair_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    call *c = ag_context_user(ctx);
    c->grad_mode_in_backward = ag_is_grad_enabled();
    for (int i = 0; i < 2; i++) c->absent[i] = !g[i];
    ag_list saved = ag_saved_tensors(ctx);
    if (!saved.n) return false;
    Variable *sum = g[1] ? g[1] : ag_zeros_like(saved.at[0]);
    for (int i = 0; i < 2; i++) grad[i] = g[0] ? ag_add(ag_mul(g[0], saved.at[1 - i]), sum) : sum;
    return !ag_error();
}
static const ag_function pair = { .name = "Pair", .forward = pair_forward, .backward = pair_backward, .n_outputs = 2 };

START_TEST(a_custom_function_has_its_own_forward_and_backward) /* row 31 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *w = LEAF(AG_SHAPE(1), 2), *y = ag_function_apply(&mul, AG_LIST(x, w));
    OK(y);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "MyMulBackward");
    OK(ag_backward(ag_mul(y, y)));
    VALUES(ag_grad(x), 24);
    VALUES(ag_grad(w), 36);
}
END_TEST

static int calls_mul(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_function_apply(&mul, AG_LIST(ag_sin(x[0]), x[1])), 1;
}
START_TEST(a_custom_function_is_differentiable_any_number_of_times) /* row 31 */
{
    Variable *x = LEAF(AG_SHAPE(2), 0.3, 0.7), *w = LEAF(AG_SHAPE(2), 2, 3);
    ck_assert(ag_gradcheck(calls_mul, AG_LIST(x, w)) && ag_gradgradcheck(calls_mul, AG_LIST(x, w)));
}
END_TEST

static bool saves_twice(ag_context *ctx, ag_list in, Variable **out)
{
    return mul_forward(ctx, in, out) && ag_save_for_backward(ctx, in);
}
START_TEST(save_for_backward_is_called_once_and_checked_for_changes_in_place) /* row 31 */
{
    static const ag_function twice = { .name = "Twice", .forward = saves_twice, .backward = mul_backward };
    Variable *x = LEAF(AG_SHAPE(1), 3), *c = FLOATS(2), *y;
    REFUSED(ag_function_apply(&twice, AG_LIST(x, c)), "save_for_backward: it has been called before in this forward");
    y = ag_function_apply(&mul, AG_LIST(x, c));
    OK(ag_add_(c, ag_scalar(1.0)));
    REFUSED(ag_backward(y),
            "modified by an inplace operation: [torch.DoubleTensor [1]] is at version 1; expected version 0");
    y = ag_function_apply(&mul, AG_LIST(x, c));
    OK(ag_backward(y));
    REFUSED(ag_backward(y), "Trying to backward through the graph a second time (or directly access saved tensors");
}
END_TEST

START_TEST(needs_input_grad_says_which_inputs_require_grad) /* row 31 */
{
    call c = { 0 };
    OK(ag_function_apply(&pair, AG_LIST(LEAF(AG_SHAPE(1), 3), FLOATS(2)), &c));
    ck_assert(c.needs[0] && !c.needs[1]);
    OK(ag_function_apply(&pair, AG_LIST(FLOATS(2), LEAF(AG_SHAPE(1), 3)), &c));
    ck_assert(!c.needs[0] && c.needs[1]);
}
END_TEST

START_TEST(undefined_grads_become_zeros_unless_set_materialize_grads_is_off) /* row 31 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *w = LEAF(AG_SHAPE(1), 2);
    call c = { 0 };
    OK(ag_backward(ag_function_apply_list(&pair, AG_LIST(x, w), &c).at[1]));
    ck_assert(!c.absent[0] && !c.absent[1] && !c.grad_mode_in_backward);
    VALUES(ag_grad(x), 1);
    c.unmaterialized = true;
    OK(ag_backward(ag_function_apply_list(&pair, AG_LIST(x, w), &c).at[1]));
    ck_assert(c.absent[0] && !c.absent[1]);
    OK(ag_backward(ag_function_apply_list(&pair, AG_LIST(x, w), &c).at[0]));
    ck_assert(!c.absent[0] && c.absent[1]);
    VALUES(ag_grad(x), 4);
}
END_TEST

static bool doubles_forward(ag_context *ctx, ag_list in, Variable **out)
{
    out[0] = in.at[0];
    return ag_mark_dirty(ctx, AG_LIST(in.at[0])) && ag_mul_(in.at[0], ag_scalar(2));
}
static bool doubles_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    return (grad[0] = ag_mul(g[0], ag_scalar(2)));
}
START_TEST(mark_dirty_makes_a_function_an_in_place_operation) /* row 31 */
{
    static const ag_function doubles = { .name = "Doubles", .forward = doubles_forward, .backward = doubles_backward };
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, ag_scalar(3)), *read = ag_sum(ag_square(y));
    ck_assert_ptr_eq(ag_function_apply(&doubles, AG_LIST(y)), y);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "DoublesBackward");
    VALUES(y, 6, 12);
    REFUSED(ag_backward(read), "modified by an inplace operation"); /* its version went up */
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 6, 6);
    REFUSED(ag_function_apply(&doubles, AG_LIST(x)),
            "a leaf Variable that requires grad is being used in an in-place operation.");
}
END_TEST

static bool sorted_forward(ag_context *ctx, ag_list in, Variable **out)
{
    ag_values_indices m = ag_max_dim(in.at[0], 0);
    out[0] = m.values;
    out[1] = m.indices;
    return ag_mark_non_differentiable(ctx, AG_LIST(m.indices)) &&
           ag_save_for_backward(ctx, AG_LIST(m.indices, in.at[0]));
}
static bool sorted_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    ag_list saved = ag_saved_tensors(ctx);
    ck_assert(saved.n == 2 && g[1]); /* zeros, of the integer output's type */
    Variable *zeros = ag_zeros_like(saved.at[1]);
    return (grad[0] = ag_index_add(zeros, 0, ag_view(saved.at[0], AG_SHAPE(1)), ag_view(g[0], AG_SHAPE(1))));
}
START_TEST(mark_non_differentiable_outputs_never_require_grad) /* row 31 */
{
    static const ag_function top = {
        .name = "Top", .forward = sorted_forward, .backward = sorted_backward, .n_outputs = 2
    };
    Variable *x = LEAF(AG_SHAPE(3), 1, 5, 2);
    ag_list y = ag_function_apply_list(&top, AG_LIST(x));
    ck_assert_int_eq(y.n, 2);
    ck_assert(ag_requires_grad(y.at[0]) && !ag_requires_grad(y.at[1]) && !ag_grad_fn(y.at[1]));
    OK(ag_backward(y.at[0]));
    VALUES(ag_grad(x), 0, 1, 0);
}
END_TEST

START_TEST(a_once_differentiable_backward_cannot_be_differentiated) /* row 31 */
{
    static const ag_function once = {
        .name = "Once", .forward = mul_forward, .backward = mul_backward, .once_differentiable = true
    };
    Variable *x = LEAF(AG_SHAPE(1), 3), *w = LEAF(AG_SHAPE(1), 2), *y = ag_function_apply(&once, AG_LIST(x, w)), *g[1];
    OK(ag_backward(y, .retain_graph = true));
    VALUES(ag_grad(x), 2);
    OK(ag_autograd_grad(AG_LIST(ag_square(y)), AG_LIST(x), g, .create_graph = true));
    REFUSED(ag_backward(g[0]), "trying to differentiate twice a function that was marked with @once_differentiable");
}
END_TEST

SUPPORT_MAIN("contract_functions", a_custom_function_has_its_own_forward_and_backward,
             a_custom_function_is_differentiable_any_number_of_times,
             save_for_backward_is_called_once_and_checked_for_changes_in_place,
             needs_input_grad_says_which_inputs_require_grad,
             undefined_grads_become_zeros_unless_set_materialize_grads_is_off,
             mark_dirty_makes_a_function_an_in_place_operation, mark_non_differentiable_outputs_never_require_grad,
             a_once_differentiable_backward_cannot_be_differentiated)
