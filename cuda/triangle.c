/* triangle.c - tril and triu on a device. */
#include "cuda/triangle.h"
#include "cuda/runtime.h"

#include <argent/triangle.h>

static bool triangle(ag_run *r, int64_t diagonal, bool lower)
{
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_cuda_triangle t = { y->data, ag__cuda_shape(y), diagonal, lower };
    cudaStream_t stream;
    if (y->numel == 0) return true;
    if (!r->inplace && !ag__cuda_copy_elements(y, &r->in[0]->tensor)) return false;
    return ag__cuda_use(r->op->name, r->device, &stream) &&
           ag__cuda_launched(r->op->name, (cudaError_t)ag__cuda_clear_beside(&t, (int)ag__itemsize(y), stream), stream);
}

bool ag__cuda_tril(ag_run *r) { return triangle(r, ((const struct ag_tril_args *)r->args)->diagonal, true); }
bool ag__cuda_triu(ag_run *r) { return triangle(r, ((const struct ag_triu_args *)r->args)->diagonal, false); }
