/* loss.c - nll_loss and cross_entropy on a device, and their gradients. */
#include "cuda/loss.h"
#include "cuda/runtime.h"
#include "ops/loss_steps.h"

typedef int launcher(bool wide, const ag_cuda_loss *l, void *stream);

/* x as a plain array of these sizes and this type; NULL with an error. */
static char *plain(const ag_run *r, const ag_variable *x, int ndim, const int64_t *size, ag_dtype dtype)
{
    const ag_tensor *t = ag__cuda_host->plain(r->t, x, ndim, size, dtype);
    return t ? t->data : NULL;
}
static char *as_it_is(const ag_run *r, const ag_variable *x, ag_dtype dtype)
{
    return plain(r, x, x->tensor.ndim, x->tensor.size, dtype);
}

/* What values and gradients have in common. Empty arrays may have no address. */
static bool describe(ag_cuda_loss *l, const ag_run *r, int ndim, const int64_t *size, ag_dtype dtype,
                     const ag_variable *target, const ag_variable *weight, int64_t ignore_index, const char *reduction)
{
    *l = (ag_cuda_loss){ .n = ndim > 1 ? size[0] : 1,
                         .classes = size[ndim > 1],
                         .inner = 1,
                         .ignore_index = ignore_index,
                         .none = reduction[0] == 'n',
                         .mean = reduction[0] == 'm',
                         .n_parts = 1 };
    if (!ag__cuda_may_fail(r, AG_CUDA_BAD_TARGET, 0, l->classes, &l->report)) return false;
    for (int d = 2; d < ndim; d++) l->inner *= size[d];
    l->inverse = 1 / (double)l->inner;
    l->inverse_image = 1 / (double)(l->classes * l->inner);
    if (target->tensor.numel && !(l->target = (const int64_t *)(void *)as_it_is(r, target, AG_INT64))) return false;
    return !weight || weight->tensor.numel == 0 || (l->weight = as_it_is(r, weight, dtype));
}

/* Few targets are one block's, each thread (or team) having some; more are shared out. */
static bool share_out(ag_cuda_loss *l, const ag_run *r, int64_t a_block)
{
    const int64_t each = 4, blocks = (l->n * l->inner + each * a_block - 1) / (each * a_block);
    const int64_t size = 2 * AG_CUDA_LOSS_PARTS;
    l->n_parts = (int32_t)(blocks < 1 ? 1 : blocks < AG_CUDA_LOSS_PARTS ? blocks : AG_CUDA_LOSS_PARTS);
    if (l->n_parts == 1) return true;
    ag_variable *parts = ag__cuda_host->new_variable(r->t, 1, &size, AG_FLOAT64, r->device);
    return parts && (l->parts = (double *)(void *)parts->tensor.data);
}

static bool launch(const ag_run *r, const char *op, launcher *f, const ag_cuda_loss *l)
{
    cudaStream_t stream;
    return ag__cuda_use(op, r->device, &stream) &&
           ag__cuda_launched(op, (cudaError_t)f(r->out[0]->tensor.dtype == AG_FLOAT64, l, stream), stream);
}

/* ---- values: the arguments of both are the same ---- */

static bool values(ag_cuda_loss *l, ag_run *r)
{
    const struct ag_nll_loss_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    if (!describe(l, r, x->ndim, x->size, (ag_dtype)x->dtype, r->in[1], r->in[2], a->ignore_index, a->reduction))
        return false;
    l->loss = r->out[0]->tensor.data;
    l->total = r->out[1]->tensor.data;
    return x->numel == 0 || (l->x = as_it_is(r, a->input, (ag_dtype)x->dtype));
}

bool ag__cuda_nll_loss(ag_run *r)
{
    ag_cuda_loss l;
    return values(&l, r) && share_out(&l, r, AG_CUDA_TEAM) && launch(r, "nll_loss", ag__cuda_nll, &l);
}

bool ag__cuda__cross_entropy_data(ag_run *r)
{
    ag_cuda_loss l;
    if (!values(&l, r)) return false;
    l.log_p = r->out[2] ? r->out[2]->tensor.data : NULL;
    l.team = ag__cuda_team(l.n * l.inner, l.classes, l.inner > 1 ? l.inner : 0);
    return share_out(&l, r, l.team.width) && launch(r, "cross_entropy", ag__cuda_cross_entropy, &l);
}

/* ---- gradients ---- */

static bool gradient(ag_cuda_loss *l, ag_run *r, const ag_variable *g, const ag_variable *total)
{
    const ag_tensor *dx = &r->out[0]->tensor;
    l->dx = dx->data;
    l->total = total->tensor.data;
    return (l->g = as_it_is(r, g, (ag_dtype)dx->dtype)) != NULL;
}

bool ag__cuda__nll_loss_backward(ag_run *r)
{
    const struct ag__nll_loss_backward_args *a = r->args;
    const ag_tensor *dx = &r->out[0]->tensor;
    ag_cuda_loss l;
    if (dx->numel == 0) return true;
    return describe(&l, r, dx->ndim, dx->size, (ag_dtype)dx->dtype, r->in[1], r->in[3], a->ignore_index,
                    a->reduction) &&
           gradient(&l, r, r->in[0], r->in[2]) && launch(r, "nll_loss's gradient", ag__cuda_nll_gradient, &l);
}

bool ag__cuda__cross_entropy_grad(ag_run *r)
{
    const struct ag__cross_entropy_grad_args *a = r->args;
    const ag_tensor *dx = &r->out[0]->tensor;
    ag_cuda_loss l;
    if (dx->numel == 0) return true;
    if (!describe(&l, r, dx->ndim, dx->size, (ag_dtype)dx->dtype, r->in[2], r->in[4], a->ignore_index, a->reduction) ||
        !gradient(&l, r, r->in[0], r->in[3]))
        return false;
    return (l.x = as_it_is(r, a->log_p, (ag_dtype)dx->dtype)) &&
           launch(r, "cross_entropy's gradient", ag__cuda_cross_entropy_gradient, &l);
}
