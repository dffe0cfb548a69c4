/* accumulate.c - adding gradients up: at a node's outputs, in a leaf's .grad, for an input of autograd.grad. */
#include "autograd/pass.h"
#include "autograd/profile.h"

#include <argent/copy.h>
#include <argent/pointwise.h>

/* A node with a million inputs leaves a million gradients in its scope, and nobody looks through them all for each. */
enum { NEWEST = 64 };

/* A reference to g that is the caller's: the scope's hold where it has one. */
static ag_variable *take(ag_pass *w, ag_variable *g)
{
    if (ag__unhold(w->t, g, NEWEST))
        ag__ref_convert(g, AG_OWNER, AG_REFERENCE);
    else
        ag__ref(g, AG_REFERENCE);
    return g;
}

bool ag__add_up(ag_pass *w, ag_variable **slot, ag_variable *g)
{
    Thread *t = w->t;
    if (!*slot) {
        *slot = take(w, g);
        return true;
    }
    if (!w->create_graph && ag__is_private(*slot) && !ag__overlaps_itself(&(*slot)->tensor))
        return ag__add_into(t, *slot, g);
    ag_variable *sum = ag_add(*slot, g);
    if (!sum) return false;
    ag__unref(t, *slot, AG_REFERENCE);
    *slot = take(w, sum);
    return true;
}

/* PyTorch's contract on layout: a gradient lies as its leaf does where that has no gaps, else row-major. */
static bool lies_as_it_should(const ag_variable *leaf, const ag_variable *g)
{
    const ag_tensor *x = &leaf->tensor, *y = &g->tensor;
    if (!ag__is_dense(x->ndim, x->size, x->stride)) return y->contiguous;
    for (int d = 0; d < x->ndim; d++)
        if (x->size[d] != 1 ? y->stride[d] != x->stride[d] : !y->stride[d]) return false;
    return true;
}
/* g's numbers in memory of their own, laid out so; recorded for create_graph. */
static ag_variable *copy_for(ag_pass *w, const ag_variable *leaf, ag_variable *g)
{
    if (!ag__is_dense(leaf->tensor.ndim, leaf->tensor.size, leaf->tensor.stride))
        return ag_clone(g, .memory_format = AG_CONTIGUOUS_FORMAT);
    ag_variable *copy = ag__new_strided(w->t, leaf->tensor.ndim, leaf->tensor.size, leaf->tensor.stride,
                                        (ag_dtype)g->tensor.dtype, ag__device(g));
    return copy ? ag_copy_(copy, g) : NULL;
}

/* The first one becomes leaf.grad itself, by the scope's hold on it, where nobody else sees it and it lies as it
 * should. */
static bool add_to_leaf(ag_pass *w, ag_variable *leaf, ag_variable *g)
{
    Thread *t = w->t;
    bool locked = ag__leaf_lock(leaf);
    bool ok = true;
    ag_variable *old = leaf->grad;
    if (!old) {
        bool as_it_is = !w->create_graph && ag__is_private(g) && lies_as_it_should(leaf, g) && ag__unhold(t, g, NEWEST);
        ag_variable *mine = as_it_is ? g : copy_for(w, leaf, g);
        if (mine && !as_it_is) ag__ref(mine, AG_OWNER);
        leaf->grad = mine;
        ok = mine != NULL;
    } else if (!w->create_graph) {
        bool repeats = !old->tensor.contiguous && ag__overlaps_itself(&old->tensor);
        ok = (!repeats || ag__fail_overlap("backward")) && ag__add_into(t, old, g);
    } else {
        ag_variable *sum = ag_add(old, g);
        ok = sum != NULL;
        if (ok) {
            ag__ref(sum, AG_OWNER);
            leaf->grad = sum;
            ag__unref(t, old, AG_OWNER);
        }
    }
    ag__leaf_unlock(leaf, locked);
    return ok;
}
bool ag__add_to_leaf(ag_pass *w, ag_variable *leaf, ag_variable *g)
{
    if (leaf->grad_fn) return ag__fail(AG_EGRAPH, "leaf variable has been moved into the graph interior");
    if (!leaf->requires_grad) return true; /* it does no longer */
    const int64_t event = ag__profiling(w->t) ? ag__event_begin(w->t, AG_EVENT_NODE, "AccumulateGrad", NULL) : 0;
    bool ok = add_to_leaf(w, leaf, g);
    if (event) ag__event_end(w->t, event);
    return ok;
}

bool ag__capture(ag_pass *w, uintptr_t to, uint32_t output_nr, ag_variable *g)
{
    const ag_place *p = ag__place_slot(w, to);
    bool ok = true;
    for (int64_t i = p->to ? p->input : -1; i >= 0 && ok; i = w->next_input[i])
        if (w->inputs[i]->output_nr == output_nr || to & 1) ok = ag__add_up(w, &w->grads[i], g);
    return ok;
}
