/* softmax.c - softmax and log_softmax on a device, and their gradients. */
#include "cuda/softmax.h"
#include "cuda/runtime.h"
#include "ops/softmax_steps.h"

AG_STRUCT(_softmax_data, AG_ARGS__softmax_data)
AG_STRUCT(_softmax_grad, AG_ARGS__softmax_grad)

/* y's dimensions round dim. */
static ag_cuda_softmax around(const ag_tensor *y, int64_t dim)
{
    const int at = (int)(dim < 0 ? dim + (y->ndim ? y->ndim : 1) : dim);
    ag_cuda_softmax s = { .outer = 1, .n = y->ndim ? y->size[at] : 1, .inner = 1 };
    for (int d = 0; d < y->ndim; d++)
        if (d != at) *(d < at ? &s.outer : &s.inner) *= y->size[d];
    s.inverse = 1 / (double)s.inner;
    s.team = ag__cuda_team(s.outer * s.inner, s.n, s.inner > 1 ? s.inner : 0);
    s.out = y->data;
    return s;
}
static const void *plain(const ag_run *r, const ag_variable *x, const ag_tensor *y)
{
    const ag_tensor *t = ag__cuda_host->plain(r->t, x, y->ndim, y->size, (ag_dtype)y->dtype);
    return t ? t->data : NULL;
}

static bool values(ag_run *r, bool is_log)
{
    const ag_tensor *y = &r->out[0]->tensor;
    cudaStream_t stream;
    if (y->numel == 0) return true;
    ag_cuda_softmax s = around(y, ((const struct ag__softmax_data_args *)r->args)->dim);
    s.is_log = is_log;
    return (s.in = plain(r, r->in[0], y)) && ag__cuda_use(r->op->of, r->device, &stream) &&
           ag__cuda_launched(r->op->of, (cudaError_t)ag__cuda_softmax_values(y->dtype == AG_FLOAT64, &s, stream),
                             stream);
}
static bool gradients(ag_run *r, bool is_log)
{
    const ag_tensor *dx = &r->out[0]->tensor;
    const char *op = is_log ? "log_softmax's gradient" : "softmax's gradient";
    cudaStream_t stream;
    if (dx->numel == 0) return true;
    ag_cuda_softmax s = around(dx, ((const struct ag__softmax_grad_args *)r->args)->dim);
    s.is_log = is_log;
    return (s.in = plain(r, r->in[0], dx)) && (s.y = plain(r, r->in[1], dx)) && ag__cuda_use(op, r->device, &stream) &&
           ag__cuda_launched(op, (cudaError_t)ag__cuda_softmax_gradients(dx->dtype == AG_FLOAT64, &s, stream), stream);
}

bool ag__cuda__softmax_data(ag_run *r) { return values(r, false); }
bool ag__cuda__log_softmax_data(ag_run *r) { return values(r, true); }
bool ag__cuda__softmax_grad(ag_run *r) { return gradients(r, false); }
bool ag__cuda__log_softmax_grad(ag_run *r) { return gradients(r, true); }
