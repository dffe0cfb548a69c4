/* autograd.c - the code of docs/autograd.md. */
#include <argent/argent.h>

static int f(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    y[0] = ag_mul(ag_tanh(x[0]), x[1]);
    return 1; /* how many outputs there are */
}

static bool check_a_gradient(Variable *a, Variable *b)
{
    ag_gradcheck_result found;
    if (!ag_gradcheck(f, AG_LIST(a, b), .result = &found)) puts(found.message);
    return found.passed;
}

static Variable *penalty(Variable *x, Variable *y)
{
    Variable *g;
    ag_autograd_grad(AG_LIST(y), AG_LIST(x), &g, .create_graph = true);
    return ag_mean(ag_square(g)); /* can be differentiated again */
}

static Variable *halve(Variable *g, void *user)
{
    (void)user;
    return ag_mul(g, ag_scalar(0.5));
}
static bool step_at_once(Variable *w, void *user)
{
    (void)user;
    AG_NO_GRAD;
    return ag_add_(w, ag_grad(w), .alpha = -0.1) && ag_set_grad(w, AG_NONE);
}
static void hook(Variable *w, Variable *y)
{
    ag_register_hook(y, halve);                             /* sees y's gradient, and may give another */
    ag_register_post_accumulate_grad_hook(w, step_at_once); /* w.grad is complete */
}

static bool exp_forward(ag_context *ctx, ag_list inputs, Variable **outputs)
{
    outputs[0] = ag_exp(inputs.at[0]);
    return ag_save_for_backward(ctx, AG_LIST(outputs[0]));
}
static bool exp_backward(ag_context *ctx, Variable *const *grad_outputs, Variable **grad_inputs)
{
    ag_list saved = ag_saved_tensors(ctx);
    grad_inputs[0] = saved.n ? ag_mul(grad_outputs[0], saved.at[0]) : NULL;
    return grad_inputs[0];
}
static const ag_function my_exp = { .name = "Exp", .forward = exp_forward, .backward = exp_backward };

static Variable *apply(Variable *x)
{
    Variable *y = ag_function_apply(&my_exp, AG_LIST(x)); /* y's grad_fn is ExpBackward */
    return y;
}

static bool derive(Variable *a, Variable *b, Variable *da, Variable *db)
{
    ag_list j = ag_autograd_functional_jacobian(f, AG_LIST(a, b));
    ag_functional p = ag_autograd_functional_jvp(f, AG_LIST(a, b), AG_LIST(da, db));
    return j.n == 2 && p.jvp.n == 1;
}

int main(void)
{
    AG_SCOPE;
    Variable *a = ag_randn(AG_SHAPE(2, 3), .dtype = AG_FLOAT64, .requires_grad = true);
    Variable *b = ag_randn(AG_SHAPE(3), .dtype = AG_FLOAT64, .requires_grad = true);
    if (!check_a_gradient(a, b) || !derive(a, b, ag_ones_like(a), ag_ones_like(b))) return 1;
    ag_backward(penalty(a, ag_sum(ag_mul(a, ag_mul(a, b)))));
    Variable *w = ag_ones(AG_SHAPE(2), .requires_grad = true), *y = apply(w);
    hook(w, y);
    ag_backward(ag_sum(y));
    return ag_error() || !ag_grad(b) || ag_grad(w);
}
