/* backward.c - the calls that start a walk back: what is checked first, and where the gradients go. */
#include "autograd/pass.h"

#include <argent/factory.h>
#include <argent/join.h>
#include <argent/view.h>

struct ag_variable *const ag_all_leaves_ = NULL;

/* What backward(inputs=) checks before it walks; an input that is no leaf keeps its gradient from then on. */
static bool check_inputs(const char *call, const char *short_name, ag_list inputs)
{
    if (inputs.n < 1) return ag__fail(AG_EINVAL, "`inputs` argument to `%s()` cannot be empty.", short_name);
    for (int64_t i = 0; i < inputs.n; i++) {
        ag_variable *x = inputs.at[i];
        if (!x || x == AG_NONE)
            return ag__fail(AG_EINVAL, "%s: input %lld is %s", call, (long long)i, x ? "None" : "NULL");
        if (!ag__view_refresh(ag__thread(), x)) return false;
    }
    return true;
}

static bool walk(ag_list roots, ag_variable *const *gradients, int64_t retain_graph, bool create_graph, ag_list inputs)
{
    Thread *t = ag__thread();
    if (!ag__may_change(t)) return false;
    ag_pass w = { .t = t,
                  .create_graph = create_graph,
                  .retain_graph = retain_graph < 0 ? create_graph : retain_graph != 0 };
    if (inputs.at != AG_ALL_LEAVES) {
        if (!check_inputs("backward", "backward", inputs)) return false;
        for (int64_t i = 0; i < inputs.n; i++)
            if (!ag_retain_grad(inputs.at[i])) return false;
        w.n_inputs = inputs.n;
        w.inputs = inputs.at;
    }
    return ag__pass_run(&w, roots.at, roots.n, gradients);
}

bool ag_backward_call(const struct ag_backward_args *a)
{
    if (!a->root || a->root == AG_NONE) return ag__fail(AG_EINVAL, "backward: root is %s", a->root ? "None" : "NULL");
    return walk(ag_list_from(1, &a->root), &a->gradient, a->retain_graph, a->create_graph, a->inputs);
}

bool ag_autograd_backward_call(const struct ag_autograd_backward_args *a)
{
    if (a->grad_tensors.n && a->grad_tensors.n != a->tensors.n)
        return ag__fail(AG_EINVAL, "got %lld tensors and %lld gradients", (long long)a->tensors.n,
                        (long long)a->grad_tensors.n);
    return walk(a->tensors, a->grad_tensors.n ? a->grad_tensors.at : NULL, a->retain_graph, a->create_graph, a->inputs);
}

/* The results go to the scope; on failure they go. */
static bool hand_over(Thread *t, int64_t n, ag_variable **grads, bool ok)
{
    for (int64_t i = 0; i < n; i++) {
        if (!grads[i]) continue;
        if (ok) {
            ag__ref(grads[i], AG_OWNER - AG_REFERENCE);
            ok = ag__hold(t, grads[i]) != NULL;
            if (ok) continue;
        } else {
            ag__unref(t, grads[i], AG_REFERENCE);
        }
        grads[i] = NULL;
    }
    ag__bury(t);
    return ok;
}

/* What autograd.grad checks before it walks. */
static bool check_grad_call(const struct ag_autograd_grad_args *a)
{
    if (a->materialize_grads && a->allow_unused == false)
        return ag__fail(AG_EINVAL, "Expected allow_unused to be True or not passed when materialize_grads=True, but "
                                   "got: allow_unused=False.");
    if (a->grad_outputs.n && a->grad_outputs.n != a->outputs.n)
        return ag__fail(AG_EINVAL, "got %lld tensors and %lld gradients", (long long)a->outputs.n,
                        (long long)a->grad_outputs.n);
    if (!check_inputs("autograd.grad", "grad", a->inputs)) return false;
    for (int64_t i = 0; i < a->inputs.n; i++)
        if (!ag__requires_grad(a->inputs.at[i]))
            return ag__fail(AG_EGRAPH, "One of the differentiated Tensors does not require grad");
    return true;
}

/* How many factors for each output there are; -1 with a sentence. */
static int64_t check_batch(const struct ag_autograd_grad_args *a)
{
    char is[AG_TEXT], wants[AG_TEXT];
    int64_t batch = -1;
    if (!a->grad_outputs.n)
        return ag__fail(AG_EINVAL, "autograd.grad: is_grads_batched wants grad_outputs, a batch of factors an output"),
               -1;
    for (int64_t i = 0; i < a->outputs.n; i++) {
        const ag_variable *g = a->grad_outputs.at[i], *y = a->outputs.at[i];
        if (!g || g == AG_NONE || !y || y == AG_NONE)
            return ag__fail(AG_EINVAL, "autograd.grad: %s %lld is %s", !y || y == AG_NONE ? "output" : "grad_output",
                            (long long)i, (y && !g) || !y ? "NULL" : "None"),
                   -1;
        if (!g->tensor.ndim || !g->tensor.size[0])
            return ag__fail(AG_EINVAL, "autograd.grad: grad_output[%lld] has no batch: its shape is torch.Size(%s)",
                            (long long)i, ag__shape_text(g->tensor.ndim, g->tensor.size, is, sizeof is)),
                   -1;
        bool same = g->tensor.ndim == y->tensor.ndim + 1;
        for (int d = 0; d < y->tensor.ndim && same; d++) same = g->tensor.size[d + 1] == y->tensor.size[d];
        if (!same)
            return ag__fail(AG_EINVAL,
                            "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the "
                            "batch dimension. The sizes of the remaining dimensions are expected to match the shape of "
                            "corresponding output, but a mismatch was detected: grad_output[%lld] has a shape of "
                            "torch.Size(%s) and output[%lld] has a shape of torch.Size(%s). If you only want some "
                            "tensors in `grad_output` to be considered batched, consider using vmap.",
                            (long long)i, ag__shape_text(g->tensor.ndim - 1, g->tensor.size + 1, is, sizeof is),
                            (long long)i, ag__shape_text(y->tensor.ndim, y->tensor.size, wants, sizeof wants)),
                   -1;
        if (batch >= 0 && g->tensor.size[0] != batch)
            return ag__fail(AG_EINVAL,
                            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
                            "[%lld, %lld] for the mapped dimension",
                            (long long)batch, (long long)g->tensor.size[0]),
                   -1;
        batch = g->tensor.size[0];
    }
    return batch;
}

/* A call for each factor, in turn; what they give is stacked. */
static bool grad_batched(const struct ag_autograd_grad_args *a, bool retain)
{
    int64_t batch = check_batch(a), n = a->inputs.n, n_out = a->outputs.n;
    if (batch < 0) return false;
    /* the factors of one call, then its gradients for each call, then those of one input */
    ag_variable **factor = ag__scratch((size_t)(n_out + batch * n + batch) * sizeof *factor);
    if (!factor) return false;
    ag_variable **rows = factor + n_out, **column = rows + batch * n;
    ag_scope scope = ag_scope_begin();
    ag_mode mode = ag_grad_mode_begin(a->create_graph);
    struct ag_autograd_grad_args one = *a;
    bool ok = true;
    one.is_grads_batched = false;
    one.grad_outputs = ag_list_from(n_out, factor);
    for (int64_t b = 0; b < batch && ok; b++) {
        for (int64_t i = 0; i < n_out && ok; i++) ok = (factor[i] = ag_select(a->grad_outputs.at[i], 0, b)) != NULL;
        one.grads = rows + b * n;
        one.retain_graph = retain || b + 1 < batch;
        ok = ok && ag_autograd_grad_call(&one);
    }
    for (int64_t i = 0; i < n && ok; i++) {
        if (!rows[i]) continue;
        for (int64_t b = 0; b < batch; b++) column[b] = rows[b * n + i];
        a->grads[i] = ag_keep(ag_stack(ag_list_from(batch, column)));
        ok = a->grads[i] != NULL;
    }
    ag_grad_mode_end(&mode);
    ag_scope_end(&scope);
    ag__scratch_free(factor);
    for (int64_t i = 0; i < n && !ok; i++) a->grads[i] = NULL;
    return ok;
}

bool ag_autograd_grad_call(const struct ag_autograd_grad_args *a)
{
    Thread *t = ag__thread();
    if (!a->grads) return ag__fail(AG_EINVAL, "autograd.grad: grads is NULL");
    for (int64_t i = 0; i < a->inputs.n; i++) a->grads[i] = NULL;
    if (!ag__may_change(t) || !check_grad_call(a)) return false;
    bool retain = a->retain_graph < 0 ? a->create_graph : a->retain_graph != 0;
    bool allow_unused = a->allow_unused < 0 ? a->materialize_grads : a->allow_unused != 0;
    if (a->is_grads_batched) return grad_batched(a, retain);
    ag_pass w = { .t = t,
                  .create_graph = a->create_graph,
                  .retain_graph = retain,
                  .n_inputs = a->inputs.n,
                  .inputs = a->inputs.at,
                  .grads = a->grads };
    bool ok = ag__pass_run(&w, a->outputs.at, a->outputs.n, a->grad_outputs.n ? a->grad_outputs.at : NULL);
    for (int64_t i = 0; i < a->inputs.n && ok; i++) {
        if (a->grads[i]) continue;
        if (!allow_unused)
            ok = ag__fail(AG_EGRAPH,
                          "The differentiated Tensor at index %lld appears to not have been used in the graph. Set "
                          "allow_unused=True if this is the desired behavior.",
                          (long long)i);
        if (!a->materialize_grads || !ok) continue;
        ag_variable *zeros = ag_zeros_like(a->inputs.at[i], .requires_grad = a->create_graph);
        ok = zeros != NULL;
        if (ok) ag__ref(zeros, AG_REFERENCE);
        a->grads[i] = zeros;
    }
    return hand_over(t, a->inputs.n, a->grads, ok);
}
