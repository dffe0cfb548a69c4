/* gemm.h - products of matrices by kernels of the plug-in's own, where cuBLAS has none: of integers, of other strides
 * than it takes, and where it is not there. Plain C and C++. */
#ifndef AG_CUDA_GEMM_H
#define AG_CUDA_GEMM_H
#include "ops/cpu/gemm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One launch of what ops/cpu/gemm.h describes. A cudaError_t. */
int ag__cuda_multiply(const ag__gemm_args *g, void *stream);

#ifdef __cplusplus
}
#endif
#endif
