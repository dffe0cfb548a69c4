/* function_backward.c - the backward of a function of the user's own: see function.h. */
#include "autograd/function_context.h"
#include "autograd/saved.h"

#include <argent/factory.h>

/* ---- what was saved ---- */

/* One kept Variable, with the history that it had; the scope's. *out is NULL for what was AG_NONE. */
static bool unkeep(Thread *t, ag_node *n, kept *s, ag_variable **out)
{
    ag_variable *x = s->saved;
    if (x && ag__is_packed(x)) {
        if (!(x = ag__unpack(t, x))) return false;
    } else if (x) {
        if (x->tensor.storage->version != s->version)
            return ag__fail_modified(n, x, s->version, s->output >= 0 ? n : x->grad_fn,
                                     s->output >= 0 ? (uint32_t)s->output : x->output_nr);
        ag__ref(x, AG_OWNER); /* another walk may let go of it */
        if (!ag__hold(t, x)) return false;
    }
    if (x && s->output >= 0 && !t->grad_off && ag__context_of(n->op)->out[s->output].differentiable)
        x = ag__with_history(t, x, n, (uint32_t)s->output);
    *out = x;
    return x || !s->saved;
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
    ag__node_lock(c->node);
    bool ok = c->holds || ag__fail_freed();
    for (int64_t i = 0; i < c->n_kept && ok; i++) ok = unkeep(t, c->node, &c->kept[i], &out[i]);
    ag__node_unlock(c->node);
    for (int64_t i = 0; i < c->n_kept && ok; i++)
        if (!out[i]) out[i] = AG_NONE;
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
