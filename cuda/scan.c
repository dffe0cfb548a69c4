/* scan.c - cumsum, cumprod and the recurrence of its gradient on a device. */
#include "cuda/scan.h"
#include "cuda/runtime.h"

#include "ops/scan_steps.h"

enum {
    LONG = 1024,  /* elements of a row that is worth a block, */
    MANY = 16384, /* but not if there are so many of them */
    PART = 4096,  /* elements of a part, at least */
    PARTS = 256   /* at most: a thread each */
};

static ag_cuda_scan around(const ag_tensor *y, int64_t dim, bool in_parts)
{
    const int at = (int)(dim < 0 ? dim + (y->ndim ? y->ndim : 1) : dim);
    ag_cuda_scan s = { .outer = 1, .n = y->ndim ? y->size[at] : 1, .inner = 1 };
    for (int d = 0; d < y->ndim; d++)
        if (d != at) *(d < at ? &s.outer : &s.inner) *= y->size[d];
    s.inverse = 1 / (double)s.inner;
    if (in_parts && s.n > LONG && s.outer * s.inner < MANY) {
        const int64_t parts = (s.n + PART - 1) / PART;
        s.part = (s.n + (parts < PARTS ? parts : PARTS) - 1) / (parts < PARTS ? parts : PARTS);
        s.part = (s.part + AG_CUDA_TEAM - 1) / AG_CUDA_TEAM * AG_CUDA_TEAM;
        s.parts = (int32_t)((s.n + s.part - 1) / s.part);
    }
    const int32_t lanes = s.inner > 1 ? 1 : ag__cuda_power_of_two(s.n, 32);
    s.team = (ag_cuda_team){ AG_CUDA_TEAM / lanes, lanes, s.inner > 1 };
    return s;
}

static bool scan(ag_run *r, int64_t dim, int what)
{
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_dtype dtype = (ag_dtype)y->dtype;
    cudaStream_t stream;
    ag_variable *plain = NULL, *totals = NULL; /* plain: where y, in place, has gaps */
    if (y->numel == 0) return true;
    const ag_tensor *x = ag__cuda_host->plain(r->t, r->in[0], y->ndim, y->size, dtype);
    if (!x || (!y->contiguous && !(plain = ag__cuda_host->new_variable(r->t, y->ndim, y->size, dtype, r->device))))
        return false;
    ag_cuda_scan s = around(y, dim, true);
    s.x = x->data;
    s.y = plain ? plain->tensor.data : y->data;
    if (s.parts > 1) {
        const int64_t n = s.outer * s.inner * s.parts;
        if (!(totals = ag__cuda_host->new_variable(r->t, 1, &n, AG_INT64, r->device))) return false;
        s.totals = totals->tensor.data;
    }
    return ag__cuda_use(r->op->name, r->device, &stream) &&
           ag__cuda_launched(r->op->name, (cudaError_t)ag__cuda_scan(dtype, what, &s, stream), stream) &&
           (!plain || ag__cuda_copy_elements(y, &plain->tensor));
}

bool ag__cuda_cumsum(ag_run *r) { return scan(r, ((const struct ag_cumsum_args *)r->args)->dim, AG_CUDA_SCAN_SUM); }
bool ag__cuda_cumprod(ag_run *r)
{
    return scan(r, ((const struct ag_cumprod_args *)r->args)->dim, AG_CUDA_SCAN_PRODUCT);
}

bool ag__cuda__recurrence(ag_run *r)
{
    const struct ag__recurrence_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_dtype dtype = (ag_dtype)y->dtype;
    cudaStream_t stream;
    if (y->numel == 0) return true;
    const ag_tensor *x = ag__cuda_host->plain(r->t, r->in[0], y->ndim, y->size, dtype);
    const ag_tensor *factor = x ? ag__cuda_host->plain(r->t, r->in[1], y->ndim, y->size, dtype) : NULL;
    if (!factor || !ag__cuda_use(r->op->name, r->device, &stream)) return false;
    ag_cuda_scan s = around(y, a->dim, false);
    s.x = x->data;
    s.factor = factor->data;
    s.y = y->data;
    const int what = a->reverse ? AG_CUDA_RECURRENCE_REVERSE : AG_CUDA_RECURRENCE;
    return ag__cuda_launched(r->op->name, (cudaError_t)ag__cuda_scan(dtype, what, &s, stream), stream);
}
