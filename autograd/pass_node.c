/* pass_node.c - running one node: the gradients of its outputs become those of its inputs.
 *
 * A node's backward is written in ops; they run in a scope of their own, recorded only for create_graph. What it gives
 * for an input is summed down to the input's shape and cast to its type here, once for all ops.
 */
#include "autograd/pass.h"
#include "autograd/profile.h"
#include "autograd/saved.h"

#include <argent/copy.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>
#include <argent/view.h>

#include <string.h>

/* g in the shape and type that the input had. */
static __attribute__((noinline)) ag_variable *fit_other(const ag_edge *e, ag_shape_list shape, ag_variable *g)
{
    int64_t numel = 1;
    bool same = g->tensor.ndim == shape.n;
    for (int d = 0; d < shape.n; d++) {
        same = same && g->tensor.size[d] == shape.at[d];
        numel *= shape.at[d];
    }
    if (!same) g = g->tensor.numel == 1 && numel != 1 ? ag_expand(g, shape) : ag_sum_to_size(g, shape);
    if (g && g->tensor.dtype != e->dtype) g = ag_to(g, .dtype = (ag_dtype)e->dtype);
    return g;
}
static inline ag_variable *fit(const ag_node *n, const ag_edge *e, ag_variable *g)
{
    const ag_tensor *x = &g->tensor;
    const int64_t *size = e->size ? e->size : n->out_size;
    const int ndim = e->size ? e->ndim : n->out_ndim;
    bool fits = x->dtype == e->dtype && x->ndim == ndim;
    for (int d = 0; fits && d < ndim; d++) fits = x->size[d] == size[d];
    return fits ? g : fit_other(e, ag_sizes_of(ndim, size), g);
}

/* The arguments as backward sees them: the saved Variables in their places. lists: room for n_in pointers. */
static __attribute__((noinline)) void fill_args(const ag_node *n, ag_variable *const *in, void *args,
                                                ag_variable **lists)
{
    int at = 0;
    memcpy(args, n->args, n->op->args_size);
    for (int i = 0; i < n->op->n_args; i++) {
        void *field = (char *)args + n->op->args[i].offset;
        if (n->op->args[i].kind == AG_KIND_Tensor) {
            *(ag_variable **)field = in[at++];
        } else if (n->op->args[i].kind == AG_KIND_Tensors) {
            ag_list *list = field;
            for (int64_t k = 0; k < list->n; k++) lists[at + k] = in[at + k];
            list->at = lists + at;
            at += (int)list->n;
        }
    }
}

/* Room for what one run needs of each input and output: on the stack for few of them. */
enum { FEW = 8, ARGS_BYTES = 512 };
typedef struct room {
    ag_variable *few[6 * FEW];
    bool few_wanted[FEW];
    char *many;
    ag_variable **in, **grad, **list, **out, **g, **held;
    bool *wanted;
    bool took;    /* what the node had saved is this run's */
    bool special; /* hooks, or somebody who wants them, look at the gradients */
} room;

static void room_lay_out(room *r, ag_variable **at, size_t n_in, size_t n_out)
{
    r->in = at;
    r->grad = at + n_in;
    r->list = r->grad + n_in;
    r->held = r->list + n_in;
    r->out = r->held + n_in + n_out;
    r->g = r->out + n_out;
}
static __attribute__((noinline)) bool room_make_large(room *r, size_t n_in, size_t n_out)
{
    r->many = ag__scratch(sizeof(ag_variable *) * (4 * n_in + 3 * n_out) + n_in);
    if (!r->many) return false;
    room_lay_out(r, (ag_variable **)(void *)r->many, n_in, n_out);
    r->wanted = (bool *)(r->g + n_out);
    return true;
}
static inline bool room_make(room *r, const ag_node *n)
{
    r->wanted = r->few_wanted;
    r->many = NULL;
    r->took = false;
    if (n->n_in + n->n_out > FEW) return room_make_large(r, n->n_in, n->n_out);
    room_lay_out(r, r->few, n->n_in, n->n_out);
    return true;
}
static void room_free(room *r)
{
    if (r->many) ag__scratch_free(r->many);
}

/* The op's own backward: r->grad from r->g. */
static bool call_backward(ag_pass *w, ag_node *n, room *r)
{
    const ag_op *op = n->op;
    _Alignas(16) char args[ARGS_BYTES];
    ag_gradients b = { .t = w->t,
                       .op = op,
                       .args = args,
                       .n_in = (int)n->n_in,
                       .in = r->in,
                       .out = r->out,
                       .g = r->g,
                       .wanted = r->wanted,
                       .grad = r->grad,
                       .edge = n->edge,
                       .out_size = n->out_size,
                       .out_ndim = n->out_ndim,
                       .create_graph = w->create_graph,
                       .last_look = !r->special && !w->create_graph && !w->streams, /* another's may yet read it */
                       .node = n };
    ag_taken saved = { .in = r->in, .out = r->out, .held = r->held };
    bool ok = ag__saved_take(w, n, &saved);
    r->took = ok;
    if (ok) {
        if (n->args) fill_args(n, r->in, args, r->list);
        op->backward(&b);
        ok = !w->t->failed;
    }
    ag__saved_return(w, n, &saved, ok);
    return ok && (!w->checks_nan || ag__anomaly_check(n, r->grad));
}

/* One Variable is the gradient of several inputs; of many inputs it may be. */
static bool is_shared(const ag_node *n, const room *r)
{
    enum { LOOKED_THROUGH = 4 };
    if (n->n_in > LOOKED_THROUGH) return true;
    for (uint32_t i = 1; i < n->n_in; i++)
        for (uint32_t k = 0; k < i; k++)
            if (r->grad[i] && r->grad[i] == r->grad[k]) return true;
    return false;
}
/* What the node gives goes to its inputs. */
static bool pass_on(ag_pass *w, ag_node *n, room *r, bool ok)
{
    if (!ok) return false;
    /* Until its turn each input holds its gradient where another has the same, so that nobody takes it for his own and
     * adds to it. */
    const uint32_t n_in = n->n_in;
    const bool held = is_shared(n, r);
    for (uint32_t i = 0; held && i < n_in; i++)
        if (r->wanted[i] && r->grad[i]) ag__ref(r->grad[i], AG_REFERENCE);
    for (uint32_t i = 0; i < n_in; i++) {
        if (!r->wanted[i]) continue;
        ag_variable *g = r->grad[i];
        if (g) {
            if (held) ag__unref(w->t, g, AG_REFERENCE);
            if (ok) ok = (g = fit(n, &n->edge[i], g)) != NULL;
        }
        ok = ok && ag__pass_give(w, n->edge[i].to, n->edge[i].output_nr, g);
    }
    return ok;
}

static bool node_backward(ag_pass *w, ag_node *n, room *r)
{
    bool any = false, ok = true; /* none: its only inputs are views from no_grad mode */
    const bool mapped = w->is_mapped;
    for (uint32_t i = 0, n_in = n->n_in; i < n_in; i++) {
        const uintptr_t to = n->edge[i].to;
        const bool wanted = to && (!mapped || ag__is_needed(w, to));
        r->wanted[i] = wanted;
        r->grad[i] = NULL;
        any |= wanted;
    }
    if (any)
        ok = call_backward(w, n, r);
    else
        ok = ag__saved_check(n);
    if (ok && n->hooks) ok = ag__call_node_hooks(n, r->grad, r->g);
    return pass_on(w, n, r, ok);
}

/* x.grad of a Variable that is no leaf. */
static __attribute__((noinline)) bool retain(ag_variable *x, ag_variable *g)
{
    ag_variable *sum = x->grad ? ag_add(x->grad, g) : ag_clone(g, .memory_format = AG_CONTIGUOUS_FORMAT);
    return sum && ag_set_grad(x, sum);
}

/* What hooks, retain_grad and autograd.grad make of the gradients that have come. */
static __attribute__((noinline)) bool attend(ag_pass *w, ag_node *n, room *r, bool runs)
{
    const ag_result *results = ag__node_results(n);
    bool ok = true;
    if (runs && w->grads) /* as in PyTorch: an input on the way to others has its gradient as it came in */
        for (uint32_t k = 0; k < n->n_out && ok; k++)
            if (r->g[k]) ok = ag__capture(w, (uintptr_t)n, k, r->g[k]);
    if (ok && n->hooks) ok = ag__call_grad_hooks(w, &n->hooks, (int)n->n_out, r->g);
    for (uint32_t k = 0; k < n->n_out && ok; k++) {
        if (!r->g[k]) continue;
        if (results[k].retained) ok = retain(results[k].retained, r->g[k]);
        if (ok && !runs && w->grads) ok = ag__capture(w, (uintptr_t)n, k, r->g[k]);
    }
    if (ok && runs && n->op->backward && n->hooks) ok = ag__call_node_prehooks(n, r->g);
    return ok;
}

/* The gradients that have come, in a scope, and the node's backward. */
static inline bool run(ag_pass *w, ag_node *n, room *r)
{
    Thread *t = w->t;
    const uint32_t n_out = n->n_out;
    const ag_result *results = ag__node_results(n);
    bool ok = true, runs = ag__runs(w, n);
    r->special = ag__hooks_any(&n->hooks) || w->grads;
    ag__pass_collect(w, n, r->g);
    for (uint32_t k = 0; k < n_out; k++) { /* from now on the scope's */
        ag_variable *g = r->g[k];
        if (!g) continue;
        ag__ref_convert(g, AG_REFERENCE, AG_OWNER);
        ok = ag__hold(t, g) && ok;
        r->special |= results[k].retained != NULL;
    }
    if (w->streams) ag__node_stream_enter(w, n, r->g);
    if (ok && r->special) ok = attend(w, n, r, runs);
    return ok && (!runs || !n->op->backward || node_backward(w, n, r));
}

bool ag__node_run(ag_pass *w, ag_node *n)
{
    Thread *t = w->t;
    room r;
    if (!room_make(&r, n)) return false;
    const int64_t event = ag__profiling(t) ? ag__event_begin_node(t, n) : 0;
    ag_scope scope = ag__scope_open(t);
    if (w->detects_anomaly) ag__handler_hold();
    bool ok = run(w, n, &r);
    if (w->streams) ag__node_stream_leave(w);
    if (w->detects_anomaly) {
        if (!ok) ag__anomaly_explain(t, n);
        ag__handler_release();
    }
    ag__scope_close(t, &scope);
    room_free(&r);
    if (ok && !w->retain_graph && ag__runs(w, n) && (!r.took || n->op->unsave)) {
        bool locked = ag__node_lock(n);
        ag__node_unsave(t, n);
        ag__node_unlock(n, locked);
        ag__bury(t);
    }
    if (event) ag__event_end(t, event);
    return ok;
}
