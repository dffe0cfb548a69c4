/* triangle.h - one launch that clears what lies on one side of a diagonal. Plain C and C++. */
#ifndef AG_CUDA_TRIANGLE_H
#define AG_CUDA_TRIANGLE_H
#include "cuda/shape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In each matrix of the last two dimensions what lies above the diagonal becomes 0 (lower), or what lies below it. */
typedef struct ag_cuda_triangle {
    char *data;
    ag_cuda_shape shape;
    int64_t diagonal;
    bool lower;
} ag_cuda_triangle;

/* A cudaError_t. */
int ag__cuda_clear_beside(const ag_cuda_triangle *t, int itemsize, void *stream);

#ifdef __cplusplus
}
#endif
#endif
