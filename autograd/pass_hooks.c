/* pass_hooks.c - calling hooks during a walk, and the leaves that have some: they take the sum of all that comes for
 * them, once. */
#include "autograd/pass.h"

/* A hook's function has returned. */
static bool fail_hook(const char *kind)
{
    return ag__fail(AG_EINVAL, "%s hook failed and left no error that says why", kind);
}

bool ag__hook_replace(ag_variable **g, ag_variable *by)
{
    const ag_tensor *was = &(*g)->tensor, *is = &by->tensor;
    if (by == AG_NONE) return ag__fail(AG_EINVAL, "a hook returned None: NULL leaves the gradient as it is");
    if (!ag__same_sizes(was, is)) return ag__fail(AG_EINVAL, "hook has changed the size of value");
    if (was->dtype != is->dtype) return ag__fail(AG_EINVAL, "hook has changed the type of value");
    *g = by;
    return true;
}

bool ag__call_grad_hooks(ag_pass *w, ag__hook **list, int n, ag_variable **g)
{
    ag__hook_call call;
    if (!ag__hooks_any(list)) return true;
    bool ok = ag__hooks_begin(&call, list);
    for (int i = 0; i < call.n && ok; i++) {
        ag__hook *hook = call.at[i];
        if (hook->kind != AG_GRAD_HOOK || hook->output_nr >= (uint32_t)n || !g[hook->output_nr]) continue;
        ag_variable *by = ((ag_grad_hook *)hook->function)(g[hook->output_nr], hook->user);
        ok = !w->t->failed && (!by || ag__hook_replace(&g[hook->output_nr], by));
    }
    ag__hooks_end(&call);
    return ok;
}

bool ag__call_leaf_hooks(ag_variable *leaf)
{
    ag__hook_call call;
    Thread *t = ag__thread();
    bool ok = ag__hooks_begin(&call, &leaf->hooks);
    for (int i = 0; i < call.n && ok; i++) {
        if (call.at[i]->kind != AG_LEAF_HOOK) continue;
        ok = ((ag_leaf_hook *)call.at[i]->function)(leaf, call.at[i]->user) && !t->failed;
        if (!ok) fail_hook("a post-accumulate");
    }
    ag__hooks_end(&call);
    return ok;
}

bool ag__call_node_prehooks(ag_node *n, ag_variable **g)
{
    ag__hook_call call;
    Thread *t = ag__thread();
    int n_out = (int)(n->n_out - n->op->n_hidden);
    bool ok = ag__hooks_begin(&call, &n->hooks);
    for (int i = 0; i < call.n && ok; i++) {
        if (call.at[i]->kind != AG_NODE_PREHOOK) continue;
        ok = ((ag_node_prehook *)call.at[i]->function)(n_out, g, call.at[i]->user) && !t->failed;
        if (!ok) fail_hook("a node's pre-");
    }
    ag__hooks_end(&call);
    return ok;
}

bool ag__call_node_hooks(ag_node *n, ag_variable **grad, ag_variable *const *g)
{
    ag__hook_call call;
    Thread *t = ag__thread();
    int n_out = (int)(n->n_out - n->op->n_hidden);
    bool ok = ag__hooks_begin(&call, &n->hooks);
    for (int i = 0; i < call.n && ok; i++) {
        if (call.at[i]->kind != AG_NODE_HOOK) continue;
        ok = ((ag_node_hook *)call.at[i]->function)((int)n->n_in, grad, n_out, g, call.at[i]->user) && !t->failed;
        if (!ok) fail_hook("a node's");
    }
    ag__hooks_end(&call);
    return ok;
}

/* ---- leaves ---- */

static bool leaf_take(ag_pass *w, ag_variable *leaf, ag_variable *g)
{
    if (!ag__call_grad_hooks(w, &leaf->hooks, 1, &g)) return false;
    if (w->grads) return ag__capture(w, (uintptr_t)leaf | 1, 0, g);
    return ag__add_to_leaf(w, leaf, g) && ag__call_leaf_hooks(leaf);
}

bool ag__leaf_ready(ag_pass *w, ag_variable *leaf, ag_place *p)
{
    ag_variable *sum = p->sum;
    p->sum = NULL;
    if (!sum) return true;
    ag_scope scope = ag_scope_begin();
    ag__ref(sum, AG_OWNER - AG_REFERENCE);
    bool ok = ag__hold(w->t, sum) && leaf_take(w, leaf, sum);
    ag_scope_end(&scope);
    return ok;
}

bool ag__leaf_gather(ag_pass *w, ag_variable *leaf, ag_variable *g)
{
    ag_place *p = ag__place_slot(w, (uintptr_t)leaf | 1);
    if (g && !ag__add_up(w, &p->sum, g)) return false;
    return --p->waits > 0 || ag__leaf_ready(w, leaf, p);
}
