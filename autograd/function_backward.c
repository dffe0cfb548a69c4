/* function_backward.c - the backward of a function of the user's own: see function.h. */
#include "autograd/function_context.h"
#include "autograd/saved.h"

#include <argent/factory.h>

#include <string.h>

/* ---- what was saved ---- */

/* What is kept, held once more, if nothing of it has changed. Under the node's lock. */
static bool take(ag_context *c, ag_variable **out)
{
    bool ok = c->holds || ag__fail_freed();
    for (int64_t i = 0; i < c->n_kept && ok; i++) {
        const kept *s = &c->kept[i];
        const ag_variable *x = s->saved;
        if (!x || ag__is_packed(x) || x->tensor.storage->version == s->version) continue;
        ok = ag__fail_modified(c->node, x, s->version, s->output >= 0 ? c->node : x->grad_fn,
                               s->output >= 0 ? (uint32_t)s->output : x->output_nr);
    }
    for (int64_t i = 0; i < c->n_kept && ok; i++)
        if ((out[i] = c->kept[i].saved)) ag__saved_ref(out[i]);
    return ok;
}

/* One of it as backward sees it, with the history that it had; the scope's. NULL with an error. */
static ag_variable *see(Thread *t, ag_context *c, const kept *s, ag_variable *x)
{
    if (!x) return AG_NONE;
    if (ag__is_packed(x)) {
        ag_variable *packed = x;
        x = ag__unpack(t, packed);
        ag__saved_unref(t, packed);
    } else {
        ag__ref(x, AG_OWNER - AG_REFERENCE);
        x = ag__hold(t, x);
    }
    bool has_history = x && s->output >= 0 && !t->grad_off && c->out[s->output].differentiable;
    return has_history ? ag__with_history(t, x, c->node, (uint32_t)s->output) : x;
}

ag_list ag_saved_tensors(ag_context *c)
{
    const ag_list nothing = ag_list_from(0, NULL);
    Thread *t = ag__thread();
    if (!c || !c->node) {
        ag__fail(AG_EINVAL,
                 c ? "saved_tensors: only a function's backward may call it" : "saved_tensors: the context is NULL");
        return nothing;
    }
    if (!c->n_kept) return nothing;
    ag_variable *array = ag__new(t, 1, &c->n_kept, AG_INT64, AG_CPU);
    if (!array) return nothing;
    ag_variable **out = (ag_variable **)(void *)array->tensor.data;
    memset(out, 0, (size_t)c->n_kept * sizeof *out);
    bool locked = ag__node_lock(c->node), ok = take(c, out);
    ag__node_unlock(c->node, locked);
    bool taken = ok;
    for (int64_t i = 0; i < c->n_kept && taken; i++) /* to the end: each has been taken */
        ok = (out[i] = see(t, c, &c->kept[i], out[i])) != NULL && ok;
    return ok ? ag_list_from(c->n_kept, out) : nothing;
}

/* ---- the walk comes to the node ---- */

/* Zeros for an output whose gradient did not come. */
static ag_variable *zeros_of(const output_shape *y)
{
    ag_dtype dtype = ag__is_floating(y->dtype) ? y->dtype : AG_FLOAT32;
    return ag_zeros(ag_sizes_of(y->ndim, y->size), .dtype = dtype, .device = y->device);
}

/* A gradient fits an input that has its shape, or one that it is spread over. */
static bool check_gradient(const ag_gradients *b, int i)
{
    ag_shape_list shape = ag__in_shape(b, i);
    const ag_tensor *g = &b->grad[i]->tensor;
    char is[AG_TEXT], wants[AG_TEXT];
    bool fits = b->grad[i] != AG_NONE && g->ndim >= shape.n;
    for (int d = 1; d <= shape.n && fits; d++)
        fits = shape.at[shape.n - d] == g->size[g->ndim - d] || shape.at[shape.n - d] == 1;
    if (fits) return true;
    return ag__fail(AG_EINVAL,
                    "Function %s returned an invalid gradient at index %d - got %s but expected shape "
                    "compatible with %s",
                    b->op->node, i, ag__shape_text(g->ndim, g->size, is, sizeof is),
                    ag__shape_text((int)shape.n, shape.at, wants, sizeof wants));
}

#define AG_ARGS__once_differentiable(must, may) must(Tensor, input) must(Tensors, causes)
static bool once_shape(ag_run *r)
{
    const ag_tensor *x = &r->in[0]->tensor;
    return ag__output_view(r, x->ndim, x->size, x->stride, 0);
}
static void once_backward(ag_gradients *b)
{
    (void)b;
    ag__fail(AG_EGRAPH, "trying to differentiate twice a function that was marked with @once_differentiable");
}
ag_variable *ag__once_differentiable(ag_variable *input, ag_list causes);
AG_OP_PLAIN(_once_differentiable, .node = "Error", .shape = once_shape, .backward = once_backward)

/* The function's own, in no_grad mode; what it gives cannot be differentiated. */
static bool call_once(ag_gradients *b, ag_context *c, ag_variable **g)
{
    ag_mode mode = ag_grad_mode_begin(false);
    bool ok = c->function->backward(c, g, b->grad);
    int64_t n = 0;
    ag_grad_mode_end(&mode);
    for (int k = 0; k < c->n_out; k++)
        if (g[k]) g[n++] = g[k];
    for (int i = 0; i < c->n_in && ok && b->create_graph; i++)
        if (b->grad[i]) ok = (b->grad[i] = ag__once_differentiable(b->grad[i], ag_list_from(n, g))) != NULL;
    return ok;
}

void ag__function_backward(ag_gradients *b)
{
    ag_context *c = ag__context_of(b->op);
    int64_t n = c->n_out;
    ag_variable *array = ag__new(b->t, 1, &n, AG_INT64, AG_CPU), **g;
    if (!array) return;
    g = (ag_variable **)(void *)array->tensor.data;
    for (int k = 0; k < c->n_out; k++) {
        g[k] = b->g[k];
        if (!g[k] && !c->keeps_null && !(g[k] = zeros_of(&c->out[k]))) return;
    }
    bool ok = c->function->once_differentiable ? call_once(b, c, g) : c->function->backward(c, g, b->grad);
    if (!ok) ag__fail(AG_EINVAL, "%s: backward failed and left no error that says why", c->op.name);
    for (int i = 0; i < c->n_in && !b->t->failed; i++) {
        if (b->grad[i] == AG_NONE) b->grad[i] = NULL;
        if (b->grad[i] && b->wanted[i]) check_gradient(b, i);
    }
}
