/* reduce.c - sums and products over dimensions: the descriptions of the launches. */
#include "cuda/reduce.h"
#include "cuda/runtime.h"
#include "ops/cpu/reduce.h"

bool ag__cuda_fold_elements(const char *op, int fold, const ag_tensor *x, uint32_t mask, const ag_tensor *y)
{
    const int64_t item = (int64_t)ag__itemsize(x);
    ag_cuda_fold f = { .in = x->data, .out = y->data, .n_out = y->numel, .n_in = 1 };
    cudaStream_t stream;
    if (y->numel == 0) return true;
    if (fold != AG_FOLD_SUM && fold != AG_FOLD_PROD)
        return ag__cuda_host->fail(AG_ENOTSUP, "%s: there is no kernel for cuda", op);
    for (int d = 0; d < x->ndim; d++) {
        if (mask >> d & 1) {
            f.gone_size[f.n_gone] = x->size[d];
            f.gone_stride[f.n_gone++] = x->stride[d] * item;
            f.n_in *= x->size[d];
        } else {
            f.kept_size[f.n_kept] = x->size[d];
            f.kept_stride[f.n_kept++] = x->stride[d] * item;
        }
    }
    return ag__cuda_use(op, ag__tensor_device(x), &stream) &&
           ag__cuda_launched(op, (cudaError_t)ag__cuda_fold_of(x->dtype, fold == AG_FOLD_PROD, &f, stream), stream);
}
