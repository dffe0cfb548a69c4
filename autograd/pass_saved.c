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

/* What is saved has not changed since. What a hook has packed is the hook's affair. */
static __attribute__((noinline)) bool fail_input(Thread *t, const ag_node *n, const ag_edge *e)
{
    ag_variable *x = e->saved;
    if (x->made_in != AG_MADE_PLAINLY && !ag__view_refresh(t, x)) return false;
    if (e->to && !(e->to & 1) && !x->grad_fn && !x->rehistoried)
        return ag__fail(AG_EGRAPH, "Trying to use a saved tensor that has been detached in-place, i.e. with .detach_()."
                                   "This is not supported, please use out-of-place `.detach()` instead");
    return x->tensor.storage->version == e->version || ag__fail_modified(n, x, e->version, x->grad_fn, x->output_nr);
}
static inline bool check_input(Thread *t, const ag_node *n, const ag_edge *e)
{
    const ag_variable *x = e->saved;
    if (ag__is_packed(x)) return true;
    bool sound = x->tensor.storage->version == e->version && x->made_in == AG_MADE_PLAINLY &&
                 (x->grad_fn || !e->to || e->to & 1);
    return sound || fail_input(t, n, e);
}
static __attribute__((noinline)) bool fail_output(const ag_node *n, const ag_result *r)
{
    const uint32_t k = (uint32_t)(r - ag__node_results((ag_node *)(uintptr_t)n));
    return ag__fail_modified(n, r->saved, r->version, ag__is_differentiable(n->op, k) ? n : NULL, k);
}
static inline bool check_output(const ag_node *n, const ag_result *r)
{
    return ag__is_packed(r->saved) || r->saved->tensor.storage->version == r->version || fail_output(n, r);
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
    return w->create_graph && ag__is_differentiable(n->op, k) ? ag__with_history(w->t, y, n, k) : y;
}

bool ag__saved_check(ag_node *n)
{
    const ag_result *results = ag__node_results(n);
    bool locked = ag__node_lock(n);
    bool ok = !n->freed || ag__fail_freed();
    for (uint32_t i = 0; i < n->n_in && ok; i++)
        if (n->edge[i].saved) ok = check_input(ag__thread(), n, &n->edge[i]);
    for (uint32_t k = 0; k < n->n_out && ok; k++)
        if (results[k].saved) ok = check_output(n, &results[k]);
    ag__node_unlock(n, locked);
    return ok;
}

/* With their histories, and unpacked. */
static __attribute__((noinline)) bool see(ag_pass *w, ag_node *n, ag_taken *s)
{
    bool ok = true;
    for (uint32_t i = 0; i < n->n_in && ok; i++)
        if (s->in[i]) ok = (s->in[i] = input_as_it_was(w, &n->edge[i], s->in[i])) != NULL;
    for (uint32_t k = 0; k < n->n_out && ok; k++)
        if (s->out[k]) ok = (s->out[k] = output_as_it_was(w, n, k, s->out[k])) != NULL;
    return ok;
}

/* retain_graph: the node keeps what this run holds, too. */
static __attribute__((noinline)) void share(ag_variable *const *held, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (held[i]) ag__saved_ref(held[i]);
}
bool ag__saved_take(ag_pass *w, ag_node *n, ag_taken *s)
{
    const uint32_t n_in = n->n_in, n_out = n->n_out;
    const bool retain_graph = w->retain_graph;
    ag_result *results = ag__node_results(n);
    ag_variable **held = s->held;
    uintptr_t all = 0; /* bit 0: something is packed; 0: there is nothing */
    bool locked = ag__node_lock(n);
    bool ok = !n->freed || ag__fail_freed();
    for (uint32_t i = 0; i < n_in; i++) {
        ag_edge *e = &n->edge[i];
        ag_variable *x = e->saved;
        if (x && ok) ok = check_input(w->t, n, e);
        if (!ok) x = NULL;
        if (x && !retain_graph) e->saved = NULL;
        *held++ = s->in[i] = x;
        all |= (uintptr_t)x;
    }
    for (uint32_t k = 0; k < n_out; k++) {
        ag_result *r = &results[k];
        ag_variable *y = r->saved;
        if (y && ok) ok = check_output(n, r);
        if (!ok) y = NULL;
        if (y && !retain_graph) r->saved = NULL;
        *held++ = s->out[k] = y;
        all |= (uintptr_t)y;
    }
    if (retain_graph)
        share(s->held, n_in + n_out);
    else if (all)
        n->freed = true;
    ag__node_unlock(n, locked);
    return ok && ((!w->create_graph && !(all & 1)) || see(w, n, s));
}

/* After a failure the node has again what it had. */
static __attribute__((noinline)) void give_back(ag_node *n, ag_variable *const *held)
{
    ag_result *results = ag__node_results(n);
    bool locked = ag__node_lock(n);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (held[i]) n->edge[i].saved = held[i], n->freed = false;
    for (uint32_t k = 0; k < n->n_out; k++)
        if (held[n->n_in + k]) results[k].saved = held[n->n_in + k], n->freed = false;
    ag__node_unlock(n, locked);
}
void ag__saved_return(ag_pass *w, ag_node *n, ag_taken *s, bool ok)
{
    if (!ok && !w->retain_graph) {
        give_back(n, s->held);
        return;
    }
    ag_variable **held = s->held;
    for (uint32_t i = 0, end = n->n_in + n->n_out; i < end; i++)
        if (held[i]) ag__saved_unref(w->t, held[i]);
}
