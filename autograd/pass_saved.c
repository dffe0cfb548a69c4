/* pass_saved.c - what a node has saved, taken for one run of its backward: with the history that it had, and only if it
 * is still what it was.
 *
 * Several threads may walk one graph. A run takes what is saved out of the node (retain_graph: holds it, too), so that
 * another run finds all of it or the sentence that it has been freed.
 */
#include "autograd/pass.h"
#include "autograd/saved.h"

#include <stdio.h>

bool ag__fail_modified(const ag_node *n, const ag_variable *x, uint32_t version, const ag_node *made_by,
                       uint32_t output_nr)
{
    char shape[AG_TEXT], name[AG_TEXT], made[2 * AG_TEXT] = "";
    if (made_by)
        snprintf(made, sizeof made, ", which is output %u of %s,", output_nr,
                 ag__forward_name(made_by, name, sizeof name));
    return ag__fail(AG_EGRAPH,
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    "[torch.%sTensor %s]%s is at version %u; expected version %u instead. Hint: %s needs it as it was; "
                    "ag_set_detect_anomaly(true) shows where that was called.",
                    ag__scalar_type((ag_dtype)x->tensor.dtype),
                    ag__shape_text(x->tensor.ndim, x->tensor.size, shape, sizeof shape), made,
                    x->tensor.storage->version, version, n->op->node);
}

bool ag__fail_freed(void)
{
    return ag__fail(AG_EGRAPH, "Trying to backward through the graph a second time (or directly access saved tensors "
                               "after they have already been freed). Saved intermediate values of the graph are freed "
                               "when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to "
                               "backward through the graph a second time or if you need to access saved tensors after "
                               "calling backward.");
}

static bool has_history(const ag_node *n, uint32_t k)
{
    return k < n->n_out - n->op->n_hidden && ag__is_differentiable(n->op, k);
}

/* Nothing that is saved has changed since. What a hook has packed is the hook's affair. */
static bool check_saved(Thread *t, const ag_node *n)
{
    if (n->freed) return ag__fail_freed();
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ag_edge *e = &n->edge[i];
        ag_variable *x = e->saved;
        if (!x || ag__is_packed(x)) continue;
        if (x->made_in != AG_MADE_PLAINLY && !ag__view_refresh(t, x)) return false;
        if (e->to && !(e->to & 1) && !x->grad_fn && !x->rehistoried)
            return ag__fail(AG_EGRAPH, "Trying to use a saved tensor that has been detached in-place, i.e. with "
                                       ".detach_().This is not supported, please use out-of-place `.detach()` instead");
        if (x->tensor.storage->version != e->version)
            return ag__fail_modified(n, x, e->version, x->grad_fn, x->output_nr);
    }
    const ag_result *results = ag__node_results((ag_node *)(uintptr_t)n);
    for (uint32_t k = 0; k < n->n_out; k++) {
        const ag_variable *y = results[k].saved;
        if (y && !ag__is_packed(y) && y->tensor.storage->version != results[k].version)
            return ag__fail_modified(n, y, results[k].version, has_history(n, k) ? n : NULL, k);
    }
    return true;
}

/* One saved Variable becomes this run's: *slot's hold on it, or another. */
static ag_variable *take(ag_pass *w, ag_node *n, ag_variable **slot)
{
    ag_variable *x = *slot;
    if (!x) return NULL;
    if (w->retain_graph) {
        ag__saved_ref(x);
    } else {
        *slot = NULL;
        n->freed = true;
    }
    return x;
}

ag_variable *ag__with_history(Thread *t, ag_variable *x, ag_node *n, uint32_t output_nr)
{
    ag_variable *v = ag__alias(t, x);
    if (!v) return NULL;
    v->grad_fn = n;
    ag__count_up(&n->refs);
    v->output_nr = output_nr;
    v->requires_grad = true;
    return v;
}
/* An input, as backward sees it: with the history that it had, where it has to have one. */
static ag_variable *input_as_it_was(ag_pass *w, const ag_edge *e, ag_variable *x)
{
    if (ag__is_packed(x)) {
        x = ag__unpack(w->t, x);
        if (!x || !w->create_graph || !e->to) return x;
        if (e->to & 1) return ag__stand_in(x, (ag_variable *)(e->to & ~(uintptr_t)1));
        return ag__with_history(w->t, x, (ag_node *)e->to, e->output_nr);
    }
    /* nobody owned it any more, and it let go of its history, which may have kept it */
    bool cut_off = e->to && !(e->to & 1) && !x->grad_fn;
    return w->create_graph && cut_off ? ag__with_history(w->t, x, (ag_node *)e->to, e->output_nr) : x;
}
/* An output: its twin has no history, so one that has the node's is lent. */
static ag_variable *output_as_it_was(ag_pass *w, ag_node *n, uint32_t k, ag_variable *y)
{
    if (ag__is_packed(y) && !(y = ag__unpack(w->t, y))) return NULL;
    return w->create_graph && has_history(n, k) ? ag__with_history(w->t, y, n, k) : y;
}

bool ag__saved_check(ag_node *n)
{
    ag__node_lock(n);
    bool ok = check_saved(ag__thread(), n);
    ag__node_unlock(n);
    return ok;
}
bool ag__saved_take(ag_pass *w, ag_node *n, ag_taken *s)
{
    ag_result *results = ag__node_results(n);
    ag__node_lock(n);
    bool ok = check_saved(w->t, n);
    for (uint32_t i = 0; i < n->n_in; i++) s->held[i] = ok ? take(w, n, &n->edge[i].saved) : NULL;
    for (uint32_t k = 0; k < n->n_out; k++) s->held[n->n_in + k] = ok ? take(w, n, &results[k].saved) : NULL;
    ag__node_unlock(n);
    for (uint32_t i = 0; i < n->n_in; i++) {
        ag_variable *x = s->held[i];
        s->in[i] = ok && x ? input_as_it_was(w, &n->edge[i], x) : NULL;
        ok = ok && (!x || s->in[i]);
    }
    for (uint32_t k = 0; k < n->n_out; k++) {
        ag_variable *y = s->held[n->n_in + k];
        s->out[k] = ok && y ? output_as_it_was(w, n, k, y) : NULL;
        ok = ok && (!y || s->out[k]);
    }
    return ok;
}

/* After a failure the node has again what it had. */
static void give_back(ag_node *n, ag_variable *const *held)
{
    ag_result *results = ag__node_results(n);
    ag__node_lock(n);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (held[i]) n->edge[i].saved = held[i], n->freed = false;
    for (uint32_t k = 0; k < n->n_out; k++)
        if (held[n->n_in + k]) results[k].saved = held[n->n_in + k], n->freed = false;
    ag__node_unlock(n);
}
void ag__saved_return(ag_pass *w, ag_node *n, ag_taken *s, bool ok)
{
    if (!ok && !w->retain_graph) {
        give_back(n, s->held);
        return;
    }
    for (uint32_t i = 0; i < n->n_in + n->n_out; i++)
        if (s->held[i]) ag__saved_unref(w->t, s->held[i]);
}
