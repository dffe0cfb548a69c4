/* backward.c - the calls that start a walk back: what is checked first, and where the gradients go. */
#include "autograd/pass.h"

#include <argent/factory.h>

bool ag_backward_call(const struct ag_backward_args *a)
{
    Thread *t = ag__thread();
    if (!a->root || a->root == AG_NONE) return ag__fail(AG_EINVAL, "backward: root is %s", a->root ? "None" : "NULL");
    if (!ag__may_change(t)) return false;
    bool retain = a->retain_graph < 0 ? a->create_graph : a->retain_graph != 0;
    ag_pass w = { .t = t, .create_graph = a->create_graph, .retain_graph = retain };
    return ag__pass_run(&w, &a->root, 1, &a->gradient);
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

bool ag_autograd_grad_call(const struct ag_autograd_grad_args *a)
{
    Thread *t = ag__thread();
    if (!a->grads || a->inputs.n < 1)
        return ag__fail(AG_EINVAL, "autograd.grad: %s", a->grads ? "grad requires non-empty inputs." : "grads is NULL");
    for (int64_t i = 0; i < a->inputs.n; i++) a->grads[i] = NULL;
    if (!ag__may_change(t)) return false;
    if (a->grad_outputs.n && a->grad_outputs.n != a->outputs.n)
        return ag__fail(AG_EINVAL, "got %lld tensors and %lld gradients", (long long)a->outputs.n,
                        (long long)a->grad_outputs.n);
    for (int64_t i = 0; i < a->inputs.n; i++) {
        if (!a->inputs.at[i] || a->inputs.at[i] == AG_NONE)
            return ag__fail(AG_EINVAL, "autograd.grad: input %lld is NULL", (long long)i);
        if (!a->inputs.at[i]->requires_grad)
            return ag__fail(AG_EGRAPH, "One of the differentiated Tensors does not require grad");
    }
    bool retain = a->retain_graph < 0 ? a->create_graph : a->retain_graph != 0;
    ag_pass w = { .t = t,
                  .create_graph = a->create_graph,
                  .retain_graph = retain,
                  .n_inputs = a->inputs.n,
                  .inputs = a->inputs.at,
                  .grads = a->grads };
    bool ok = ag__pass_run(&w, a->outputs.at, a->outputs.n, a->grad_outputs.n ? a->grad_outputs.at : NULL);
    for (int64_t i = 0; i < a->inputs.n && ok; i++) {
        if (a->grads[i]) continue;
        if (a->materialize_grads) {
            ag_variable *zeros = ag_zeros_like(a->inputs.at[i]);
            ok = zeros != NULL;
            if (ok) {
                ag__ref(zeros, AG_REFERENCE);
                a->grads[i] = zeros;
            }
        } else if (!a->allow_unused) {
            ok = ag__fail(AG_EGRAPH, "One of the differentiated Tensors appears to not have been used in the graph. "
                                     "Set allow_unused=True if this is the "
                                     "desired behavior.");
        }
    }
    return hand_over(t, a->inputs.n, a->grads, ok);
}
