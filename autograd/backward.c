/* backward.c - the walk back along the tape.
 *
 * Of the nodes that have a gradient the latest made runs next: whatever reads a value is made after it, so by then all
 * its readers have run. The nodes that wait form a heap by seq; in a chain it has one entry. A node's backward is
 * written in ops; they run in a scope of their own, recorded only for create_graph. What it gives for an input is
 * summed down to the input's shape and cast to its type here, once for all ops. The root's reference keeps every node
 * before it alive, so the walk counts nothing.
 */
#include "autograd/op.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>
#include <argent/view.h>

#include <stdlib.h>
#include <string.h>

/* ---- what a walk to some inputs only needs to know of a node or leaf on the way ---- */
typedef struct place {
    uintptr_t to;  /* a node, or a leaf with bit 0 set: an input is found there, or behind it; 0: a free slot */
    int64_t input; /* the first of the inputs that is found there, or -1 */
} place;

typedef struct walk {
    Thread *t;
    ag_node **heap;
    int64_t n_heap, max_heap;
    bool create_graph, retain_graph;

    /* autograd.grad, backward(inputs=): where the gradients go; else n_inputs is 0 and leaves take theirs into .grad */
    int64_t n_inputs;
    ag_variable *const *inputs;
    ag_variable **grads;
    int64_t *next_input; /* of those found at the same place */
    place *places;
    int64_t n_places, max_places;
} walk;

/* ---- the heap ---- */
static bool heap_push(walk *w, ag_node *n)
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
static ag_node *heap_pop(walk *w)
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

/* ---- places: open addressing, at most half full ---- */
static place *place_slot(const walk *w, uintptr_t to)
{
    uint64_t mask = (uint64_t)w->max_places - 1, k = (uint64_t)to * 0x9e3779b97f4a7c15u >> 20 & mask;
    while (w->places[k].to && w->places[k].to != to) k = (k + 1) & mask;
    return &w->places[k];
}
/* The place of `to`, made if it is not there; NULL where memory is out. *made says which. */
static place *place_add(walk *w, uintptr_t to, bool *made)
{
    *made = false;
    if (2 * (w->n_places + 1) > w->max_places) {
        walk larger = *w;
        larger.max_places = w->max_places ? 2 * w->max_places : 256;
        larger.places = calloc((size_t)larger.max_places, sizeof *larger.places);
        if (!larger.places)
            return ag__fail_memory("the nodes of a graph", (size_t)larger.max_places * sizeof *larger.places);
        for (int64_t i = 0; i < w->max_places; i++)
            if (w->places[i].to) *place_slot(&larger, w->places[i].to) = w->places[i];
        free(w->places);
        w->places = larger.places;
        w->max_places = larger.max_places;
    }
    place *p = place_slot(w, to);
    if (!p->to) {
        *p = (place){ to, -1 };
        w->n_places++;
        *made = true;
    }
    return p;
}

static uintptr_t place_of(const ag_variable *x) { return x->grad_fn ? (uintptr_t)x->grad_fn : (uintptr_t)x | 1; }

/* A depth-first search for the nodes on a way to an input, with a stack of its own. */
typedef struct visit {
    ag_node *node;
    uint32_t next; /* edge to look at */
    bool needed;
} visit;
typedef struct search {
    walk *w;
    walk met; /* only its places are used: the nodes searched so far */
    visit *stack;
    int64_t n, max;
} search;

static bool search_push(search *s, ag_node *n)
{
    bool made;
    if (!place_add(&s->met, (uintptr_t)n, &made)) return false;
    if (!made) { /* searched before, or being searched */
        if (s->n) s->stack[s->n - 1].needed |= place_slot(s->w, (uintptr_t)n)->to != 0;
        return true;
    }
    void *table = s->stack;
    bool ok = ag__grow(&table, &s->max, s->n + 1, sizeof *s->stack);
    s->stack = table;
    if (ok) s->stack[s->n++] = (visit){ n, 0, false };
    return ok;
}

static bool search_from(search *s, ag_node *root)
{
    bool made, ok = search_push(s, root);
    while (s->n && ok) {
        visit *v = &s->stack[s->n - 1];
        if (v->next < v->node->n_in) {
            uintptr_t to = v->node->edge[v->next++].to;
            if (to & 1)
                v->needed |= place_slot(s->w, to)->to != 0;
            else if (to)
                ok = search_push(s, (ag_node *)to);
            continue;
        }
        if (v->needed) ok = place_add(s->w, (uintptr_t)v->node, &made) != NULL;
        bool needed = v->needed || place_slot(s->w, (uintptr_t)v->node)->to;
        if (--s->n) s->stack[s->n - 1].needed |= needed;
    }
    return ok;
}

static bool mark_needed(walk *w, ag_variable *const *roots, int64_t n_roots)
{
    bool made, ok = true;
    w->next_input = calloc((size_t)w->n_inputs, sizeof *w->next_input);
    if (!w->next_input) return ag__fail_memory("the inputs of grad", (size_t)w->n_inputs * sizeof *w->next_input);
    for (int64_t i = 0; i < w->n_inputs; i++) {
        place *p = place_add(w, place_of(w->inputs[i]), &made);
        if (!p) return false;
        w->next_input[i] = p->input;
        p->input = i;
    }
    search s = { .w = w };
    for (int64_t r = 0; r < n_roots && ok; r++)
        if (roots[r]->grad_fn) ok = search_from(&s, roots[r]->grad_fn);
    free(s.met.places);
    free(s.stack);
    return ok;
}
static bool is_needed(const walk *w, uintptr_t to) { return !w->n_inputs || place_slot(w, to)->to; }

/* ---- adding up ---- */

/* Nobody else sees these numbers. */
static bool is_private(const ag_variable *x)
{
    return ag__refs(x) == 1 && x->tensor.storage->refs == 1 && !x->tensor.storage->external;
}

/* A reference to g that is the caller's: the scope's hold where it has one. */
static ag_variable *take(walk *w, ag_variable *g)
{
    if (ag__unhold(w->t, g))
        ag__ref(g, AG_REFERENCE - AG_OWNER);
    else
        ag__ref(g, AG_REFERENCE);
    return g;
}

/* *slot += g. */
static bool add_up(walk *w, ag_variable **slot, ag_variable *g)
{
    Thread *t = w->t;
    if (!*slot) {
        *slot = take(w, g);
        return true;
    }
    if (!w->create_graph && is_private(*slot) && !ag__overlaps_itself(&(*slot)->tensor))
        return ag__add_into(t, *slot, g);
    ag_variable *sum = ag_add(*slot, g);
    if (!sum) return false;
    ag__unref(t, *slot, AG_REFERENCE);
    *slot = take(w, sum);
    return true;
}

/* g's numbers in memory of their own, laid out as the leaf's. */
static ag_variable *copy_for(walk *w, const ag_variable *leaf, ag_variable *g)
{
    if (w->create_graph || !ag__is_dense(leaf->tensor.ndim, leaf->tensor.size, leaf->tensor.stride)) return ag_clone(g);
    ag_variable *copy = ag__new_strided(w->t, leaf->tensor.ndim, leaf->tensor.size, leaf->tensor.stride,
                                        (ag_dtype)g->tensor.dtype, ag__device(g));
    return copy ? ag_copy_(copy, g) : NULL;
}

/* leaf.grad += g. The first one becomes leaf.grad itself where nobody else sees it and it lies as the leaf does. */
static bool add_to_leaf(walk *w, ag_variable *leaf, ag_variable *g)
{
    Thread *t = w->t;
    ag__leaf_lock(leaf);
    bool ok = true;
    ag_variable *old = leaf->grad, *dropped = NULL;
    if (!old) {
        ag_variable *mine = take(w, g);
        bool as_it_is = !w->create_graph && is_private(mine) &&
                        !memcmp(mine->tensor.stride, leaf->tensor.stride, sizeof(int64_t) * leaf->tensor.ndim);
        dropped = as_it_is ? NULL : mine;
        if (as_it_is) {
            ag__ref(mine, AG_OWNER - AG_REFERENCE);
            leaf->grad = mine;
        } else {
            ag_variable *copy = copy_for(w, leaf, g);
            ok = copy != NULL;
            if (ok) {
                ag__ref(copy, AG_OWNER);
                leaf->grad = copy;
            }
        }
    } else if (!w->create_graph && ag__same_sizes(&old->tensor, &g->tensor)) {
        ok = ag__add_into(t, old, g);
    } else {
        ag_variable *sum = ag_add(old, g);
        ok = sum != NULL;
        if (ok) {
            ag__ref(sum, AG_OWNER);
            leaf->grad = sum;
            ag__unref(t, old, AG_OWNER);
        }
    }
    ag__leaf_unlock(leaf);
    if (dropped) ag__unref(t, dropped, AG_REFERENCE);
    return ok;
}

/* The gradient g arrived at every input found at this place with this output number. */
static bool capture(walk *w, uintptr_t to, uint32_t output_nr, ag_variable *g)
{
    const place *p = place_slot(w, to);
    bool ok = true;
    for (int64_t i = p->to ? p->input : -1; i >= 0 && ok; i = w->next_input[i])
        if (w->inputs[i]->output_nr == output_nr || to & 1) ok = add_up(w, &w->grads[i], g);
    return ok;
}

/* g goes to a node or leaf. */
static bool give(walk *w, uintptr_t to, uint32_t output_nr, ag_variable *g)
{
    if (!is_needed(w, to)) return true;
    if (to & 1) {
        ag_variable *leaf = (ag_variable *)(to & ~(uintptr_t)1);
        return w->n_inputs ? capture(w, to, 0, g) : add_to_leaf(w, leaf, g);
    }
    ag_node *n = (ag_node *)to;
    return add_up(w, &ag__node_results(n)[output_nr].grad, g) && (n->queued || heap_push(w, n));
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

static bool fail_modified(const ag_node *n, const ag_variable *x, uint32_t output_nr, uint32_t version,
                          const char *made_by)
{
    char shape[AG_TEXT];
    return ag__fail(
        AG_EGRAPH,
        "one of the variables needed for gradient computation has been modified by an inplace operation: [%s %s], "
        "which is output %u of %s, "
        "is at version %u; expected version %u instead. Hint: the backtrace further above shows the operation that "
        "failed to compute its "
        "gradient. The variable in question was changed in there or anywhere later. Good luck! (%s needs it)",
        ag_dtype_name((ag_dtype)x->tensor.dtype), ag__shape_text(x->tensor.ndim, x->tensor.size, shape, sizeof shape),
        output_nr, made_by, x->tensor.storage->version, version, n->op->node);
}

/* What was saved, with the history that it had; NULL with an error. */
static ag_variable *unsave_input(walk *w, ag_node *n, const ag_edge *e)
{
    ag_variable *x = e->saved;
    if (x->tensor.storage->version != e->version) {
        fail_modified(n, x, x->output_nr, e->version, x->grad_fn ? x->grad_fn->op->node : "AccumulateGrad");
        return NULL;
    }
    if (!w->create_graph) return x;
    uintptr_t now = !x->requires_grad ? 0 : place_of(x);
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
static ag_variable *unsave_output(walk *w, ag_node *n, uint32_t k)
{
    const ag_result *r = &ag__node_results(n)[k];
    if (r->saved->tensor.storage->version != r->version) {
        fail_modified(n, r->saved, k, r->version, n->op->node);
        return NULL;
    }
    if (!w->create_graph || k >= n->op->n_out || n->op->non_differentiable >> k & 1) return r->saved;
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
static bool node_backward(walk *w, ag_node *n, ag_variable *const *g)
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
    bool *wanted = few.wanted, ok = true;
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
        wanted[i] = e->to && is_needed(w, e->to);
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
    if (ok && n->args) fill_args(n, in, args, list);
    if (ok) {
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
    for (int i = 0; i < n_in && ok; i++) {
        if (!wanted[i] || !grad[i]) continue;
        ag_variable *fitting = fit(n, &n->edge[i], grad[i]);
        ok = fitting && give(w, n->edge[i].to, n->edge[i].output_nr, fitting);
    }
    if (many) ag__scratch_free(many);
    return ok;
}

static bool node_run(walk *w, ag_node *n)
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
            ag_variable *sum = x->grad ? ag_add(x->grad, g[k]) : g[k];
            ok = sum && ag_set_grad(x, sum);
        }
        if (ok && w->n_inputs) ok = capture(w, (uintptr_t)n, k, g[k]);
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

/* The factor for a root: what was given, checked, or 1. */
static ag_variable *root_gradient(int64_t i, const ag_variable *root, ag_variable *given)
{
    if (!given) return ag__fail(AG_EINVAL, "backward: gradient is NULL");
    if (given == AG_NONE) {
        if (root->tensor.numel != 1)
            return ag__fail(AG_EGRAPH, "grad can be implicitly created only for scalar outputs");
        return ag_full(ag_shape(root), 1, .dtype = (ag_dtype)root->tensor.dtype, .device = ag__device(root));
    }
    if (!ag__same_sizes(&given->tensor, &root->tensor)) {
        char a[AG_TEXT], b[AG_TEXT];
        return ag__fail(AG_EINVAL,
                        "Mismatch in shape: grad_output[%lld] has a shape of torch.Size(%s) and output[%lld] has a "
                        "shape of torch.Size(%s).",
                        (long long)i, ag__shape_text(given->tensor.ndim, given->tensor.size, a, sizeof a), (long long)i,
                        ag__shape_text(root->tensor.ndim, root->tensor.size, b, sizeof b));
    }
    return given->tensor.dtype == root->tensor.dtype ? given : ag_to(given, .dtype = (ag_dtype)root->tensor.dtype);
}

static bool walk_back(walk *w, ag_variable *const *roots, int64_t n_roots, ag_variable *const *gradients)
{
    Thread *t = w->t;
    for (int64_t i = 0; i < n_roots; i++) {
        if (!roots[i] || roots[i] == AG_NONE) return ag__fail(AG_EINVAL, "backward: output %lld is NULL", (long long)i);
        if (!roots[i]->requires_grad)
            return ag__fail(AG_EGRAPH, "element %lld of tensors does not require grad and does not have a grad_fn",
                            (long long)i);
        if (ag__view_is_stale(roots[i]))
            return ag__fail(AG_ENOTSUP, "backward: output %lld is a view whose base has since been changed in place",
                            (long long)i);
    }
    if (w->n_inputs && !mark_needed(w, roots, n_roots)) return false;
    ag_scope scope = ag_scope_begin();
    ag_mode mode = ag_grad_mode_begin(w->create_graph);
    bool ok = true;
    for (int64_t i = 0; i < n_roots && ok; i++) {
        ag_variable *g = root_gradient(i, roots[i], gradients ? gradients[i] : AG_NONE);
        if (roots[i]->grad_fn)
            ag__count_up(&roots[i]->grad_fn->refs); /* the graph outlives hooks and in-place ops on the root */
        ok = g && give(w, place_of(roots[i]), roots[i]->output_nr, g);
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
static bool walk_run(walk *w, ag_variable *const *roots, int64_t n_roots, ag_variable *const *gradients)
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

bool ag_backward_call(const struct ag_backward_args *a)
{
    Thread *t = ag__thread();
    if (!a->root || a->root == AG_NONE) return ag__fail(AG_EINVAL, "backward: root is %s", a->root ? "None" : "NULL");
    if (!ag__may_change(t)) return false;
    bool retain = a->retain_graph < 0 ? a->create_graph : a->retain_graph != 0;
    walk w = { .t = t, .create_graph = a->create_graph, .retain_graph = retain };
    return walk_run(&w, &a->root, 1, &a->gradient);
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
    walk w = { .t = t,
               .create_graph = a->create_graph,
               .retain_graph = retain,
               .n_inputs = a->inputs.n,
               .inputs = a->inputs.at,
               .grads = a->grads };
    bool ok = walk_run(&w, a->outputs.at, a->outputs.n, a->grad_outputs.n ? a->grad_outputs.at : NULL);
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
