/* reduce.h - one launch that folds elements over some dimensions: what the C side (reduce.c) fills in. Plain C and C++.
 */
#ifndef AG_CUDA_REDUCE_H
#define AG_CUDA_REDUCE_H
#include "cuda/elements.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out[o] = the fold of in at kept place o over all places of the dimensions that go. Strides in bytes. */
typedef struct ag_cuda_fold {
    const char *in;
    char *out; /* contiguous */
    int64_t n_out, n_in;
    int64_t kept_size[AG_CUDA_DIMS], kept_stride[AG_CUDA_DIMS];
    int64_t gone_size[AG_CUDA_DIMS], gone_stride[AG_CUDA_DIMS];
    int32_t n_kept, n_gone;
} ag_cuda_fold;

/* Of elements of type dtype; is_product: else a sum. Totals of integers are int64. A cudaError_t. */
int ag__cuda_fold_of(int dtype, int is_product, const ag_cuda_fold *f, void *stream);

#ifdef __cplusplus
}
#endif
#endif
