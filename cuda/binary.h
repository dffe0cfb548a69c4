/* binary.h - one launch that combines the elements of two tensors by an operation of ops/cpu/divide.h. Plain C and
 * C++. */
#ifndef AG_CUDA_BINARY_H
#define AG_CUDA_BINARY_H
#include "cuda/elements.h"
#include "cuda/fault.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ag_cuda_pair {
    ag_cuda_elements elements; /* of IN_A and IN_B */
    ag_cuda_report report;     /* of a zero that an integer would be divided by, of what is no probability */
    double option[3];
    int32_t operation;
} ag_cuda_pair;

/* In that type. A cudaError_t. */
int ag__cuda_combine_in(int dtype, const ag_cuda_pair *p, void *stream);

#ifdef __cplusplus
}
#endif
#endif
