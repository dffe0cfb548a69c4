/* views.c - views that follow their base's history, and changes in place.
 *
 * A change of a view is a change of its base: the base's new history is a node of its own (CopySlices) that takes the
 * view's new numbers from the node of the change and the rest from the base as it was. A view whose storage has been
 * changed since it was made gets its history from its base when it is next asked for (AsStridedBackward0), which may be
 * none by then: a base can be detached.
 */
#include "autograd/op.h"

#include <argent/view.h>

#include <stdio.h>
#include <string.h>

void ag__view_made(ag_variable *view, ag_variable *of, ag_made_in made_in)
{
    view->base = of->base ? of->base : of;
    ag__ref(view->base, AG_OWNER);
    view->owns_base = true;
    view->made_in = made_in != AG_MADE_PLAINLY ? made_in : of->made_in;
    view->base_version = view->tensor.storage->version;
}

/* PyTorch's sentence on a change of a view that was not made plainly; what: what has been done to it or its base. */
static bool fail_forbidden_view(const ag_variable *view, const char *what)
{
    static const char ambiguous[] = "Given that this use case is ambiguous and error-prone, it is forbidden. You can "
                                    "clarify your code by moving both the view and the inplace either both inside the "
                                    "%s block (if you don't want the inplace to be tracked) or both outside (if you "
                                    "want the inplace to be tracked).";
    char first[2 * AG_TEXT] = "A view was", op[AG_TEXT] = "", advice[512];
    bool inference = view->made_in == AG_MADE_IN_INFERENCE;
    if (view->grad_fn) ag__forward_name(view->grad_fn, op, sizeof op);
    if (inference || view->made_in == AG_MADE_IN_NO_GRAD || !view->grad_fn) {
        if (view->grad_fn)
            snprintf(first, sizeof first, "Output %u of %s is a view of a view which was", view->output_nr, op);
        snprintf(advice, sizeof advice, ambiguous, inference ? "inference_mode" : "no_grad");
        return ag__fail(AG_EGRAPH, "%s created in %s mode and %s modified inplace %s. %s", first,
                        inference ? "inference" : "no_grad", what,
                        inference ? "in normal mode" : "with grad mode enabled", advice);
    }
    return ag__fail(AG_EGRAPH, "Output %u of %s is a view and %s modified inplace. %s", view->output_nr, op, what,
                    view->made_in == AG_MADE_AMONG_MANY
                        ? "This view is the output of a function that returns multiple views. Such functions do not "
                          "allow the output views to be modified inplace. You should replace the inplace operation by "
                          "an out-of-place one."
                        : "This view was created inside a custom Function (or because an input was returned as-is) and "
                          "the autograd logic to handle view+inplace would override the custom backward associated "
                          "with the custom Function, leading to incorrect gradients. This behavior is forbidden. You "
                          "can fix this by cloning the output of the custom Function.");
}

static bool is_stale(const ag_variable *x)
{
    return x->base && (x->grad_fn || x->base->requires_grad) && x->tensor.storage->version != x->base_version;
}

/* view's history becomes that of a view made of its base now. Readers may ask for it in several threads at once. */
static bool take_history_from_base(Thread *t, ag_variable *view)
{
    ag_scope scope = ag_scope_begin();
    ag_variable *base = view->base;
    uint32_t version = view->tensor.storage->version;
    const struct ag__as_strided_args args = { .input = NULL,
                                              .size = ag_shape(view),
                                              .stride = ag_stride(view),
                                              .storage_offset = ag_storage_offset(view),
                                              .in_stride = ag_stride(base),
                                              .in_offset = ag_storage_offset(base) };
    ag_variable *now = ag__alias(t, view);
    if (now && !ag__record(t, ag__op__as_strided(), 1, &base, 1, &now, 0, &args, view->caller)) now = NULL;
    ag_node *before = NULL;
    bool locked = ag__leaf_lock(view);
    if (now && is_stale(view)) {
        before = view->grad_fn;
        if (view->retains_grad && before) ag__retain_forget(view);
        view->grad_fn = now->grad_fn;
        ag__count_up(&view->grad_fn->refs);
        view->output_nr = now->output_nr;
        view->requires_grad = view->rehistoried = true;
        if (view->retains_grad) ag__node_results(view->grad_fn)[view->output_nr].retained = view;
        view->base_version = version;
    }
    ag__leaf_unlock(view, locked);
    if (before) ag__node_unref(t, before);
    ag_scope_end(&scope);
    return now != NULL;
}

bool ag__view_refresh_stale(Thread *t, ag_variable *x)
{
    if (!is_stale(x)) return true;
    if (x->made_in != AG_MADE_PLAINLY) return fail_forbidden_view(x, "its base or another view of its base has been");
    return take_history_from_base(t, x);
}

/* ---- changes in place ---- */

void ag__view_changed(Thread *t, ag_variable *view)
{
    if (t->failed) return;
    ag__handler_hold();
    if (!ag__view_refresh(t, view)) ag_clear_error(); /* memory is out: it is done when the view is next asked */
    ag__handler_release();
}

bool ag__fail_overlap(const char *op)
{
    return ag__fail(AG_EINVAL,
                    "%s: unsupported operation: more than one element of the written-to tensor refers to a single "
                    "memory location. Please clone() the tensor before performing the operation.",
                    op);
}

bool ag__check_inplace(Thread *t, const ag_op *op, ag_variable *x, bool wants_grad)
{
    const char *name = op->of ? op->of : op->name;
    if (!ag__may_change(t)) return false;
    if (x->tensor.wrapped)
        return ag__fail(AG_EINVAL, "%s: a number from ag_scalar is shared, so it cannot change; use ag_full", name);
    if (x->inference && !t->inference)
        return ag__fail(AG_EGRAPH, "Inplace update to inference tensor outside InferenceMode is not allowed.You can "
                                   "make a clone to get a normal tensor before doing inplace update.See "
                                   "https://github.com/pytorch/rfcs/pull/17 for more details.");
    bool recorded = !t->grad_off && !t->inference && (wants_grad || ag__requires_grad(x));
    if (recorded && x->made_in != AG_MADE_PLAINLY) return fail_forbidden_view(x, "is being");
    if (recorded && !ag__view_refresh(t, x)) return false;
    if (recorded && x->base && !x->base->grad_fn && ag__requires_grad(x))
        return ag__fail(AG_EGRAPH,
                        "a view of a leaf Variable that requires grad is being used in an in-place operation.");
    if (recorded && x->requires_grad && !x->grad_fn)
        return ag__fail(AG_EGRAPH, "a leaf Variable that requires grad is being used in an in-place operation.");
    return op->repeats || !ag__overlaps_itself(&x->tensor) || ag__fail_overlap(name);
}

void ag__become(Thread *t, ag_variable *x, ag_variable *view)
{
    ag_tensor *to = &x->tensor;
    const ag_tensor *from = &view->tensor;
    to->ndim = from->ndim;
    to->contiguous = from->contiguous;
    memcpy(to->size, from->size, sizeof to->size);
    memcpy(to->stride, from->stride, sizeof to->stride);
    to->storage->version++;
    ag_node *before = x->grad_fn, *node = view->grad_fn;
    if (!node) return;
    if (x->retains_grad) {
        if (before) ag__retain_forget(x);
        ag__node_results(node)[0].retained = x;
    }
    ag__count_up(&node->refs);
    x->grad_fn = node;
    x->output_nr = 0;
    x->requires_grad = true;
    if (before) ag__node_unref(t, before);
    ag__bury(t);
}

ag_node *ag__slices_begin(Thread *t, ag_variable *view, ag_node *change)
{
    ag_variable *base = view->base, *in[] = { base, view };
    const struct ag__copy_slices_args args = { .input = NULL,
                                               .src = NULL,
                                               .in_stride = ag_stride(base),
                                               .in_offset = ag_storage_offset(base),
                                               .stride = ag_stride(view),
                                               .offset = ag_storage_offset(view) };
    ag_node *node = ag__record_begin(t, ag__op__copy_slices(), 2, in, 1, &base, 0, &args, change->caller);
    if (!node) return NULL;
    ag_edge *e = &node->edge[1]; /* not from the view as it was, but from its change */
    if (e->to & 1)
        ag__unref(t, (ag_variable *)(e->to & ~(uintptr_t)1), AG_REFERENCE);
    else if (e->to)
        ag__node_unref(t, (ag_node *)e->to);
    e->to = (uintptr_t)change;
    e->output_nr = 0;
    ag__count_up(&change->refs);
    return node;
}
