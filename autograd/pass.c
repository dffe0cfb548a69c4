/* pass.c - the walk back along the tape.
 *
 * Of the nodes that have a gradient the latest made runs next: whatever reads a value is made after it, so by then all
 * its readers have run. The nodes that wait form a heap by seq; in a chain it has one entry. A node's backward is
 * written in ops; they run in a scope of their own, recorded only for create_graph. What it gives for an input is
 * summed down to the input's shape and cast to its type here, once for all ops. The root's reference keeps every node
 * before it alive, so the walk counts nothing.
 */
#include "autograd/pass.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>
#include <argent/view.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the heap ---- */
static bool heap_push(ag_pass *w, ag_node *n)
{
    void *table = w->heap;
    bool ok = ag__grow(&table, &w->max_heap, w->n_heap + 1, sizeof *w->heap);
    w->heap = table;
    if (!ok) return false;
    int64_t i = w->n_heap++;
    for (int64_t up; i > 0 && w->heap[up = (i - 1) / 2]->seq < n->seq; i = up) w->heap[i] = w->heap[up];
    w->heap[i] = n;
    n->queued = true;
    return true;
}
static ag_node *heap_pop(ag_pass *w)
{
    ag_node *top = w->heap[0], *last = w->heap[--w->n_heap];
    int64_t i = 0;
    for (int64_t down; (down = 2 * i + 1) < w->n_heap; i = down) {
        if (down + 1 < w->n_heap && w->heap[down + 1]->seq > w->heap[down]->seq) down++;
        if (w->heap[down]->seq <= last->seq) break;
        w->heap[i] = w->heap[down];
    }
    if (w->n_heap) w->heap[i] = last;
    top->queued = false;
    return top;
}

/* g goes to a node or leaf. */
static bool give(ag_pass *w, uintptr_t to, uint32_t output_nr, ag_variable *g)
{
    if (!ag__is_needed(w, to)) return true;
    if (to & 1) {
        ag_variable *leaf = (ag_variable *)(to & ~(uintptr_t)1);
        return w->n_inputs ? ag__capture(w, to, 0, g) : ag__add_to_leaf(w, leaf, g);
    }
    ag_node *n = (ag_node *)to;
    return ag__add_up(w, &ag__node_results(n)[output_nr].grad, g) && (n->queued || heap_push(w, n));
}

/* g in the shape and type that the input had. */
static ag_variable *fit(const ag_node *n, const ag_edge *e, ag_variable *g)
{
    ag_shape_list shape = e->size ? ag_sizes_of(e->ndim, e->size) : ag_sizes_of(n->out_ndim, n->out_size);
    bool same = g->tensor.ndim == shape.n;
    int64_t numel = 1;
    for (int d = 0; d < shape.n; d++) {
        same = same && g->tensor.size[d] == shape.at[d];
        numel *= shape.at[d];
    }
    if (!same) g = g->tensor.numel == 1 && numel != 1 ? ag_expand(g, shape) : ag_sum_to_size(g, shape);
    if (g && g->tensor.dtype != e->dtype) g = ag_to(g, .dtype = (ag_dtype)e->dtype);
    return g;
}

/* ---- running a node ---- */

/* x, which n keeps, is not what it was. made_by: the node that it is an output of, NULL: of none. */
static bool fail_modified(const ag_node *n, const ag_variable *x, uint32_t version, const ag_node *made_by,
                          uint32_t output_nr)
{
    char shape[AG_TEXT], name[AG_TEXT], made[2 * AG_TEXT] = "";
    if (made_by)
        snprintf(made, sizeof made, ", which is output %u of %s,", output_nr,
                 ag__forward_name(made_by, name, sizeof name));
    return ag__fail(AG_EGRAPH,
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    "[torch.%sTensor %s]%s is at version %u; expected version %u instead. Hint: %s needs it as it was.",
                    ag__scalar_type((ag_dtype)x->tensor.dtype),
                    ag__shape_text(x->tensor.ndim, x->tensor.size, shape, sizeof shape), made,
                    x->tensor.storage->version, version, n->op->node);
}

/* What was saved, with the history that it had; NULL with an error. */
static ag_variable *unsave_input(ag_pass *w, ag_node *n, const ag_edge *e)
{
    ag_variable *x = e->saved;
    if (e->to && !(e->to & 1) && !x->grad_fn && !x->rehistoried)
        return ag__fail(AG_EGRAPH, "Trying to use a saved tensor that has been detached in-place, i.e. with .detach_()."
                                   "This is not supported, please use out-of-place `.detach()` instead");
    if (x->tensor.storage->version != e->version) {
        fail_modified(n, x, e->version, x->grad_fn, x->output_nr);
        return NULL;
    }
    if (!w->create_graph) return x;
    uintptr_t now = !x->requires_grad ? 0 : ag__place_of(x);
    if (now == e->to) return x;
    ag_variable *as_it_was = ag__alias(w->t, x); /* its history has changed without its numbers (detach_) */
    if (as_it_was && e->to && !(e->to & 1)) {
        as_it_was->grad_fn = (ag_node *)e->to;
        ag__count_up(&as_it_was->grad_fn->refs);
        as_it_was->output_nr = e->output_nr;
        as_it_was->requires_grad = true;
    }
    return as_it_was;
}
static ag_variable *unsave_output(ag_pass *w, ag_node *n, uint32_t k)
{
    const ag_result *r = &ag__node_results(n)[k];
    bool has_history = k < n->op->n_out && !(n->op->non_differentiable >> k & 1);
    if (r->saved->tensor.storage->version != r->version) {
        fail_modified(n, r->saved, r->version, has_history ? n : NULL, k);
        return NULL;
    }
    if (!w->create_graph || !has_history) return r->saved;
    ag_variable *y = ag__alias(w->t, r->saved); /* the twin has no history: lend one that has this node's */
    if (y) {
        y->grad_fn = n;
        ag__count_up(&n->refs);
        y->output_nr = k;
        y->requires_grad = true;
    }
    return y;
}

/* The arguments as backward sees them: the saved Variables in their places. lists: room for n_in pointers. */
static void fill_args(const ag_node *n, ag_variable *const *in, void *args, ag_variable **lists)
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

enum { FEW = 8, ARGS_BYTES = 512 };

/* The gradients g of n's outputs become those of its inputs. */
static bool node_backward(ag_pass *w, ag_node *n, ag_variable *const *g)
{
    Thread *t = w->t;
    const ag_op *op = n->op;
    if (n->freed)
        return ag__fail(AG_EGRAPH, "Trying to backward through the graph a second time (or directly access saved "
                                   "tensors after they have already been "
                                   "freed). Saved intermediate values of the graph are freed when you call .backward() "
                                   "or autograd.grad(). Specify "
                                   "retain_graph=True if you need to backward through the graph a second time or if "
                                   "you need to access saved tensors "
                                   "after calling backward.");
    struct {
        ag_variable *in[FEW], *grad[FEW], *list[FEW];
        bool wanted[FEW];
    } few;
    ag_variable *out[AG_MAX_OUTPUTS] = { NULL };
    int n_in = (int)n->n_in;
    ag_variable **in = few.in, **grad = few.grad, **list = few.list;
    bool *wanted = few.wanted, ok = true, any = false; /* none: its only inputs are views from no_grad mode */
    char *many = NULL;
    if (n_in > FEW) {
        many = ag__scratch((size_t)n_in * (3 * sizeof(ag_variable *) + sizeof(bool)));
        if (!many) return false;
        in = (ag_variable **)(void *)many;
        grad = in + n_in;
        list = grad + n_in;
        wanted = (bool *)(list + n_in);
    }
    for (int i = 0; i < n_in && ok; i++) {
        const ag_edge *e = &n->edge[i];
        wanted[i] = e->to && ag__is_needed(w, e->to);
        any = any || wanted[i];
        grad[i] = NULL;
        in[i] = e->saved ? unsave_input(w, n, e) : NULL;
        ok = !e->saved || in[i];
    }
    for (uint32_t k = 0; k < n->n_out && ok; k++) {
        bool saved = ag__node_results(n)[k].saved;
        out[k] = saved ? unsave_output(w, n, k) : NULL;
        ok = !saved || out[k];
    }
    _Alignas(16) char args[ARGS_BYTES];
    if (ok && any && n->args) fill_args(n, in, args, list);
    if (ok && any) {
        ag_gradients b = { .t = t,
                           .op = op,
                           .args = args,
                           .n_in = n_in,
                           .in = in,
                           .out = out,
                           .g = g,
                           .wanted = wanted,
                           .grad = grad,
                           .edge = n->edge,
                           .out_size = n->out_size,
                           .out_ndim = n->out_ndim,
                           .create_graph = w->create_graph };
        op->backward(&b);
        ok = !t->failed;
    }
    /* One Variable may be the gradient of several inputs. Until its turn each of them holds it, so that nobody takes it
     * for his own and adds to it. */
    int given = ok ? n_in : 0;
    for (int i = 0; i < given; i++)
        if (wanted[i] && grad[i]) ag__ref(grad[i], AG_REFERENCE);
    for (int i = 0; i < given; i++) {
        if (!wanted[i] || !grad[i]) continue;
        ag__unref(t, grad[i], AG_REFERENCE);
        ag_variable *fitting = ok ? fit(n, &n->edge[i], grad[i]) : NULL;
        ok = fitting && give(w, n->edge[i].to, n->edge[i].output_nr, fitting);
    }
    if (many) ag__scratch_free(many);
    return ok;
}

static bool node_run(ag_pass *w, ag_node *n)
{
    Thread *t = w->t;
    ag_result *results = ag__node_results(n);
    ag_variable *g[AG_MAX_OUTPUTS];
    bool ok = true;
    ag_scope scope = ag_scope_begin();
    for (uint32_t k = 0; k < n->n_out; k++) { /* from now on the scope's */
        g[k] = results[k].grad;
        results[k].grad = NULL;
        if (!g[k]) continue;
        ag__ref(g[k], AG_OWNER - AG_REFERENCE);
        ok = ag__hold(t, g[k]) && ok;
        if (ok && results[k].retained) {
            ag_variable *x = results[k].retained;
            ag_variable *sum = x->grad ? ag_add(x->grad, g[k]) : ag_clone(g[k], .memory_format = AG_CONTIGUOUS_FORMAT);
            ok = sum && ag_set_grad(x, sum);
        }
        if (ok && w->n_inputs) ok = ag__capture(w, (uintptr_t)n, k, g[k]);
    }
    if (ok && n->op->backward) ok = node_backward(w, n, g);
    ag_scope_end(&scope);
    if (ok && !w->retain_graph) {
        ag__node_unsave(t, n);
        ag__bury(t);
    }
    return ok;
}

/* ---- the walk ---- */

/* Whether what was given, or the implicit 1, is a factor for a root. */
static bool check_factor(int64_t i, const ag_variable *root, const ag_variable *given)
{
    if (!given) return ag__fail(AG_EINVAL, "backward: gradient is NULL");
    if (given == AG_NONE) {
        if (root->tensor.numel == 1 || !ag__requires_grad(root)) return true;
        return ag__fail(AG_EGRAPH, "grad can be implicitly created only for scalar outputs");
    }
    if (ag__same_sizes(&given->tensor, &root->tensor)) return true;
    char a[AG_TEXT], b[AG_TEXT];
    return ag__fail(AG_EINVAL,
                    "Mismatch in shape: grad_output[%lld] has a shape of torch.Size(%s) and output[%lld] has a shape "
                    "of torch.Size(%s).",
                    (long long)i, ag__shape_text(given->tensor.ndim, given->tensor.size, a, sizeof a), (long long)i,
                    ag__shape_text(root->tensor.ndim, root->tensor.size, b, sizeof b));
}
static bool check_roots(ag_variable *const *roots, int64_t n_roots, ag_variable *const *gradients)
{
    for (int64_t i = 0; i < n_roots; i++) {
        if (!roots[i] || roots[i] == AG_NONE)
            return ag__fail(AG_EINVAL, "backward: output %lld is %s", (long long)i, roots[i] ? "None" : "NULL");
        if (!check_factor(i, roots[i], gradients ? gradients[i] : AG_NONE)) return false;
    }
    for (int64_t i = 0; i < n_roots; i++) {
        if (!ag__view_refresh(ag__thread(), roots[i])) return false;
        if (!roots[i]->requires_grad)
            return ag__fail(AG_EGRAPH, "element %lld of tensors does not require grad and does not have a grad_fn",
                            (long long)i);
    }
    return true;
}
/* The factor itself, in the root's type. */
static ag_variable *root_factor(const ag_variable *root, ag_variable *given)
{
    if (given == AG_NONE)
        return ag_full(ag_shape(root), 1, .dtype = (ag_dtype)root->tensor.dtype, .device = ag__device(root));
    return given->tensor.dtype == root->tensor.dtype ? given : ag_to(given, .dtype = (ag_dtype)root->tensor.dtype);
}

static bool walk_back(ag_pass *w, ag_variable *const *roots, int64_t n_roots, ag_variable *const *gradients)
{
    Thread *t = w->t;
    if (!check_roots(roots, n_roots, gradients)) return false;
    if (w->n_inputs && !ag__pass_mark_needed(w, roots, n_roots)) return false;
    ag_scope scope = ag_scope_begin();
    ag_mode mode = ag_grad_mode_begin(w->create_graph);
    bool ok = true;
    for (int64_t i = 0; i < n_roots && ok; i++) {
        ag_variable *g = root_factor(roots[i], gradients ? gradients[i] : AG_NONE);
        if (roots[i]->grad_fn)
            ag__count_up(&roots[i]->grad_fn->refs); /* the graph outlives hooks and in-place ops on the root */
        ok = g && give(w, ag__place_of(roots[i]), roots[i]->output_nr, g);
        if (!ok && roots[i]->grad_fn) ag__node_unref(t, roots[i]->grad_fn), n_roots = i;
    }
    while (w->n_heap) {
        ag_node *n = heap_pop(w);
        if (ok) {
            ok = node_run(w, n);
            continue;
        }
        for (uint32_t k = 0; k < n->n_out; k++) { /* an error: what has come in so far is dropped */
            ag_result *r = &ag__node_results(n)[k];
            if (r->grad) ag__unref(t, r->grad, AG_REFERENCE);
            r->grad = NULL;
        }
    }
    for (int64_t i = 0; i < n_roots; i++)
        if (roots[i]->grad_fn) ag__node_unref(t, roots[i]->grad_fn);
    ag_grad_mode_end(&mode);
    ag_scope_end(&scope);
    return ok;
}

/* The heap's table stays with the thread from one walk to the next; a walk inside a walk makes its own. */
bool ag__pass_run(ag_pass *w, ag_variable *const *roots, int64_t n_roots, ag_variable *const *gradients)
{
    Thread *t = w->t;
    w->heap = t->heap;
    w->max_heap = t->max_heap;
    t->heap = NULL;
    t->max_heap = 0;
    bool ok = walk_back(w, roots, n_roots, gradients);
    free(t->heap);
    t->heap = w->heap;
    t->max_heap = w->max_heap;
    free(w->places);
    free(w->next_input);
    return ok;
}
