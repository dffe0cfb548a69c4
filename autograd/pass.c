/* pass.c - the walk back along the tape.
 *
 * Of the nodes that have a gradient the latest made runs next: whatever reads a value is made after it, so by then all
 * its readers have run. The nodes that wait form a heap by seq; in a chain it has one entry. The root's reference keeps
 * every node before it alive, so the walk counts nothing. Gradients come in at the nodes themselves; where several
 * walks are under way, in threads or one begun by another's hook, in those that no other walk has claimed.
 */
#include "autograd/pass.h"
#include "tensor/cuda_table.h"

#include <argent/copy.h>
#include <argent/factory.h>

#include <stdlib.h>
#include <string.h>

/* ---- the heap ---- */
static __attribute__((noinline)) bool heap_grow(ag_pass *w)
{
    void *table = w->heap;
    bool ok = ag__grow(&table, &w->max_heap, w->n_heap + 1, sizeof *w->heap);
    w->heap = table;
    return ok;
}
static bool heap_push(ag_pass *w, ag_node *n)
{
    if (w->n_heap == w->max_heap && !heap_grow(w)) return false;
    int64_t i = w->n_heap++;
    for (int64_t up; i > 0 && w->heap[up = (i - 1) / 2]->seq < n->seq; i = up) w->heap[i] = w->heap[up];
    w->heap[i] = n;
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
    return top;
}

/* ---- where gradients come in ---- */

/* The slots of a node that another walk uses; a free slot where there are none. */
static ag_guest *guest_slot(const ag_pass *w, const ag_node *n)
{
    uint64_t mask = (uint64_t)w->max_guests - 1, k = (uint64_t)(uintptr_t)n * 0x9e3779b97f4a7c15u >> 20 & mask;
    while (w->guests[k].node && w->guests[k].node != n) k = (k + 1) & mask;
    return &w->guests[k];
}
static bool guests_grow(ag_pass *w)
{
    if (2 * (w->n_guests + 1) <= w->max_guests) return true;
    ag_pass larger = *w;
    larger.max_guests = w->max_guests ? 2 * w->max_guests : 64;
    larger.guests = calloc((size_t)larger.max_guests, sizeof *larger.guests);
    if (!larger.guests)
        return ag__fail_memory("the nodes of a graph", (size_t)larger.max_guests * sizeof *larger.guests);
    for (int64_t i = 0; i < w->max_guests; i++)
        if (w->guests[i].node) *guest_slot(&larger, w->guests[i].node) = w->guests[i];
    free(w->guests);
    w->guests = larger.guests;
    w->max_guests = larger.max_guests;
    return true;
}

/* n's own slots are this walk's, if no other walk has them: they were free, or *was_mine. */
static bool claim(ag_pass *w, ag_node *n, bool *was_mine)
{
    uint64_t none = 0;
    *was_mine = __atomic_load_n(&n->walk, __ATOMIC_RELAXED) == w->id;
    if (*was_mine) return true;
    if (!__libc_single_threaded)
        return __atomic_compare_exchange_n(&n->walk, &none, w->id, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
    if (n->walk) return false;
    n->walk = w->id;
    return true;
}

/* Where the gradient of n's output comes in; n waits in the heap from then on. NULL with an error. */
static ag_variable **slot_of(ag_pass *w, ag_node *n, uint32_t output_nr)
{
    ag_guest *guest = w->n_guests ? guest_slot(w, n) : NULL;
    bool waits;
    if (guest && guest->node) return &guest->grad[output_nr];
    if (claim(w, n, &waits)) {
        if (!waits && !heap_push(w, n)) {
            __atomic_store_n(&n->walk, 0, __ATOMIC_RELEASE);
            return NULL;
        }
        return &ag__node_results(n)[output_nr].grad;
    }
    if (!guests_grow(w)) return NULL;
    ag_variable **grad = calloc(n->n_out, sizeof *grad);
    if (!grad) return ag__fail_memory("a node's gradients", n->n_out * sizeof *grad);
    if (!heap_push(w, n)) {
        free(grad);
        return NULL;
    }
    *guest_slot(w, n) = (ag_guest){ n, grad };
    w->n_guests++;
    return &grad[output_nr];
}

void ag__pass_collect(ag_pass *w, ag_node *n, ag_variable **g)
{
    if (__atomic_load_n(&n->walk, __ATOMIC_RELAXED) == w->id) {
        ag_result *results = ag__node_results(n);
        for (uint32_t k = 0; k < n->n_out; k++) {
            g[k] = results[k].grad;
            results[k].grad = NULL;
        }
        __atomic_store_n(&n->walk, 0, __ATOMIC_RELEASE);
        return;
    }
    ag_variable **grad = guest_slot(w, n)->grad; /* the slot stays: the node will not come again */
    memcpy(g, grad, n->n_out * sizeof *g);
    memset(grad, 0, n->n_out * sizeof *grad);
}

bool ag__pass_give_here(ag_pass *w, uintptr_t to, uint32_t output_nr, ag_variable *g)
{
    const ag_place *p = w->is_mapped ? ag__place_slot(w, to) : NULL;
    if (p && !p->to) return true;
    if (to & 1) {
        ag_variable *leaf = (ag_variable *)(to & ~(uintptr_t)1);
        if (p && p->is_late) return ag__leaf_gather(w, leaf, g);
        if (!g) return true;
        return w->grads ? ag__capture(w, to, 0, g) : ag__add_to_leaf(w, leaf, g);
    }
    ag_variable **slot = g ? slot_of(w, (ag_node *)to, output_nr) : NULL;
    return !g || (slot && ag__add_up(w, slot, g));
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

/* The roots' factors come in. */
static bool begin(ag_pass *w, ag_variable *const *roots, int64_t n_roots, ag_variable *const *gradients)
{
    bool ok = true;
    for (int64_t i = 0; i < n_roots && ok; i++) {
        ag_variable *g = root_factor(roots[i], gradients ? gradients[i] : AG_NONE);
        ok = g && ag__pass_give(w, ag__place_of(roots[i]), roots[i]->output_nr, g);
    }
    return ok;
}

/* After an error: what has come in so far is dropped. */
static void drop_all(ag_pass *w)
{
    while (w->n_heap) {
        ag_node *n = heap_pop(w);
        bool mine = n->walk == w->id;
        ag_variable **guest = mine ? NULL : guest_slot(w, n)->grad;
        for (uint32_t k = 0; k < n->n_out; k++) {
            ag_variable **slot = mine ? &ag__node_results(n)[k].grad : &guest[k];
            if (*slot) ag__unref(w->t, *slot, AG_REFERENCE);
            *slot = NULL;
        }
        if (mine) __atomic_store_n(&n->walk, 0, __ATOMIC_RELEASE);
    }
    for (int64_t i = 0; i < w->n_late; i++) {
        ag_place *p = ag__place_slot(w, (uintptr_t)w->late[i] | 1);
        if (p->sum) ag__unref(w->t, p->sum, AG_REFERENCE);
        p->sum = NULL;
    }
}

/* What a walk begins with. */
typedef struct start {
    ag_pass *w;
    ag_variable *const *roots, *const *gradients;
    int64_t n_roots;
} start;

static bool walk_back(void *user)
{
    const start *s = user;
    ag_pass *w = s->w;
    ag_scope scope = ag_scope_begin();
    ag_mode mode = ag_grad_mode_begin(w->create_graph);
    bool ok = begin(w, s->roots, s->n_roots, s->gradients);
    while (w->n_heap && ok) ok = ag__node_run(w, heap_pop(w));
    for (int64_t i = 0; i < w->n_late && ok; i++) /* some nodes got no gradient at all */
        ok = ag__leaf_ready(w, w->late[i], ag__place_slot(w, (uintptr_t)w->late[i] | 1));
    if (!ok) drop_all(w);
    ag_grad_mode_end(&mode);
    ag_scope_end(&scope);
    return ok;
}

/* The roots' nodes, held: the graph outlives hooks and changes in place on the roots. NULL where memory is out. */
static ag_node **hold_roots(ag_variable *const *roots, int64_t n_roots)
{
    ag_node **held = ag__scratch((size_t)n_roots * sizeof *held);
    for (int64_t i = 0; i < n_roots && held; i++)
        if ((held[i] = roots[i]->grad_fn)) ag__count_up(&held[i]->refs);
    return held;
}

static void end(ag_pass *w, ag_node **held, int64_t n_roots)
{
    for (int64_t i = 0; i < n_roots && held; i++)
        if (held[i]) ag__node_unref(w->t, held[i]);
    ag__scratch_free(held);
    for (int64_t i = 0; i < w->n_late; i++) ag__unref(w->t, w->late[i], AG_REFERENCE);
    for (int64_t i = 0; i < w->max_guests; i++) free(w->guests[i].grad);
    free(w->late);
    free(w->guests);
    free(w->places);
    free(w->next_input);
    ag__bury(w->t);
}

/* The heap's table stays with the thread from one walk to the next; a walk inside a walk makes its own. */
bool ag__pass_run(ag_pass *w, ag_variable *const *roots, int64_t n_roots, ag_variable *const *gradients)
{
    static uint64_t last_id;
    Thread *t = w->t;
    if (!check_roots(roots, n_roots, gradients)) return false;
    bool mapped = w->n_inputs || __atomic_load_n(&ag__n_leaf_hooks, __ATOMIC_RELAXED);
    w->outer = t->walk;
    w->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
    w->heap = t->heap;
    w->max_heap = t->max_heap;
    w->detects_anomaly = ag__anomaly_mode(&w->checks_nan);
    t->heap = NULL;
    t->max_heap = 0;
    t->walk = w;
    ag_node **held = hold_roots(roots, n_roots);
    start s = { w, roots, gradients, n_roots };
    ag_pass_streams streams;
    if (__atomic_load_n(&ag__cuda_streams_used, __ATOMIC_RELAXED)) ag__pass_streams_begin(w, &streams);
    bool ok = held && (!mapped || ag__pass_map(w, roots, n_roots)) && ag__pass_go_deeper(w, walk_back, &s);
    if (w->streams) ok = ag__pass_streams_end(w) && ok;
    t->walk = w->outer;
    end(w, held, n_roots);
    free(t->heap);
    t->heap = w->heap;
    t->max_heap = w->max_heap;
    return ok;
}
