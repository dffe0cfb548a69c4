/* softmax.c - softmax and log_softmax: a kernel for values and one for gradients; a gradient that is itself to be
 * differentiated is composed of other ops instead. */
#include "ops/cpu/softmax.h"
#include "ops/check.h"
#include "ops/softmax_steps.h"

#include <argent/copy.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>
#include <argent/softmax.h>

/* A tensor as (outer, n, inner) round dimension dim. */
typedef struct around {
    int64_t outer, n, inner;
} around;

static around split(const ag_tensor *x, int64_t dim)
{
    int at = (int)(dim < 0 ? dim + (x->ndim ? x->ndim : 1) : dim);
    around a = { 1, x->ndim ? x->size[at] : 1, 1 };
    for (int d = 0; d < x->ndim; d++)
        if (d != at) *(d < at ? &a.outer : &a.inner) *= x->size[d];
    return a;
}

/* One result, of the first input's shape and type. */
static bool like_input(ag_run *r, int64_t dim)
{
    const ag_variable *x = r->in[0];
    if (ag__wrap_dim("softmax", dim, x->tensor.ndim) < 0) return false;
    if (!ag_is_floating_point(x))
        return ag__fail_call(r->op, r->args, "not implemented for '%s'", ag__scalar_type(ag_dtype_of(x)));
    return ag__output(r, 0, x->tensor.ndim, x->tensor.size, ag_dtype_of(x)) != NULL;
}

static bool values(ag_run *r, bool is_log, int64_t dim)
{
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_tensor *x = ag__plain(r->t, r->in[0], y->ndim, y->size, (ag_dtype)y->dtype);
    if (!x) return false;
    around a = split(y, dim);
    ag__softmax((ag_dtype)y->dtype, is_log, a.outer, a.n, a.inner, x->data, y->data);
    return true;
}

static bool gradients(ag_run *r, bool is_log, int64_t dim)
{
    const ag_tensor *dx = &r->out[0]->tensor;
    const ag_tensor *dy = ag__plain(r->t, r->in[0], dx->ndim, dx->size, (ag_dtype)dx->dtype);
    const ag_tensor *y = dy ? ag__plain(r->t, r->in[1], dx->ndim, dx->size, (ag_dtype)dx->dtype) : NULL;
    if (!y) return false;
    around a = split(dx, dim);
    ag__softmax_backward((ag_dtype)dx->dtype, is_log, a.outer, a.n, a.inner, dy->data, y->data, dx->data);
    return true;
}

/* ---- the gradients' kernels, for walks that build no graph ---- */

ag_variable *ag__softmax_grad(ag_variable *grad_output, ag_variable *output, int64_t dim);
static bool softmax_grad_shape(ag_run *r);
static bool softmax_grad_cpu(ag_run *r);
AG_OP_PLAIN(_softmax_grad, .shape = softmax_grad_shape, .kernel = { softmax_grad_cpu })

static bool softmax_grad_shape(ag_run *r)
{
    return like_input(r, ((const struct ag__softmax_grad_args *)r->args)->dim);
}
static bool softmax_grad_cpu(ag_run *r)
{
    return gradients(r, false, ((const struct ag__softmax_grad_args *)r->args)->dim);
}

ag_variable *ag__log_softmax_grad(ag_variable *grad_output, ag_variable *output, int64_t dim);
static bool log_softmax_grad_shape(ag_run *r);
static bool log_softmax_grad_cpu(ag_run *r);
AG_OP_PLAIN(_log_softmax_grad, .shape = log_softmax_grad_shape, .kernel = { log_softmax_grad_cpu })

static bool log_softmax_grad_shape(ag_run *r)
{
    return like_input(r, ((const struct ag__log_softmax_grad_args *)r->args)->dim);
}
static bool log_softmax_grad_cpu(ag_run *r)
{
    return gradients(r, true, ((const struct ag__log_softmax_grad_args *)r->args)->dim);
}

/* ---- softmax: dx = y (g - sum(g y)) ---- */

ag_variable *ag__softmax_data(ag_variable *input, int64_t dim);

static bool softmax_shape(ag_run *r);
static bool softmax_cpu(ag_run *r);
static void softmax_backward(ag_gradients *b);
AG_OP_PLAIN(_softmax_data, .of = "softmax", .node = "SoftmaxBackward0", .shape = softmax_shape,
            .kernel = { softmax_cpu }, .backward = softmax_backward, .keeps = { AG_KEEP_OUT(0) })

static bool softmax_shape(ag_run *r) { return like_input(r, ((const struct ag__softmax_data_args *)r->args)->dim); }
static bool softmax_cpu(ag_run *r) { return values(r, false, ((const struct ag__softmax_data_args *)r->args)->dim); }
static void softmax_backward(ag_gradients *b)
{
    int64_t dim = ((const struct ag__softmax_data_args *)b->args)->dim;
    ag_variable *y = b->out[0], *g = b->g[0];
    if (!b->create_graph) {
        b->grad[0] = ag__softmax_grad(g, y, dim);
        return;
    }
    ag_variable *gy = ag_mul(g, y);
    b->grad[0] = ag_sub(gy, ag_mul(y, ag_sum(gy, .dim = dim, .keepdim = true)));
}

static bool softmax_compose(const void *args, ag_variable **out)
{
    const struct ag_softmax_args *a = args;
    ag_variable *x = a->dtype == AG_DTYPE_DEFAULT ? a->input : ag_to(a->input, .dtype = a->dtype);
    return (out[0] = ag__softmax_data(x, a->dim)) != NULL;
}
AG_OP(softmax, .compose = softmax_compose)

/* ---- log_softmax: dx = g - exp(y) sum(g) ---- */

ag_variable *ag__log_softmax_data(ag_variable *input, int64_t dim);

static bool log_softmax_shape(ag_run *r);
static bool log_softmax_cpu(ag_run *r);
static void log_softmax_backward(ag_gradients *b);
AG_OP_PLAIN(_log_softmax_data, .of = "log_softmax", .node = "LogSoftmaxBackward0", .shape = log_softmax_shape,
            .kernel = { log_softmax_cpu }, .backward = log_softmax_backward, .keeps = { AG_KEEP_OUT(0) })

static bool log_softmax_shape(ag_run *r)
{
    return like_input(r, ((const struct ag__log_softmax_data_args *)r->args)->dim);
}
static bool log_softmax_cpu(ag_run *r)
{
    return values(r, true, ((const struct ag__log_softmax_data_args *)r->args)->dim);
}
ag_variable *ag__log_softmax_gradient(ag_variable *g, ag_variable *y, int64_t dim, bool as_graph)
{
    if (!as_graph) return ag__log_softmax_grad(g, y, dim);
    return ag_sub(g, ag_mul(ag_exp(y), ag_sum(g, .dim = dim, .keepdim = true)));
}
static void log_softmax_backward(ag_gradients *b)
{
    const int64_t dim = ((const struct ag__log_softmax_data_args *)b->args)->dim;
    b->grad[0] = ag__log_softmax_gradient(b->g[0], b->out[0], dim, b->create_graph);
}

static bool log_softmax_compose(const void *args, ag_variable **out)
{
    const struct ag_log_softmax_args *a = args;
    ag_variable *x = a->dtype == AG_DTYPE_DEFAULT ? a->input : ag_to(a->input, .dtype = a->dtype);
    return (out[0] = ag__log_softmax_data(x, a->dim)) != NULL;
}
AG_OP(log_softmax, .compose = log_softmax_compose)
