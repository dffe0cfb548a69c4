/* shape.h - sizes and strides as kernels get them. Plain C and C++. */
#ifndef AG_CUDA_SHAPE_H
#define AG_CUDA_SHAPE_H
#include <stdbool.h>
#include <stdint.h>

enum { AG_CUDA_DIMS = 8 };

typedef struct ag_cuda_shape {
    int64_t numel;
    int64_t size[AG_CUDA_DIMS], stride[AG_CUDA_DIMS]; /* strides in bytes */
    int32_t ndim;
} ag_cuda_shape;

#ifdef __CUDACC__
#define AG_CUDA_PLACE __host__ __device__ static inline
#else
#define AG_CUDA_PLACE static inline
#endif
/* How far element i (row-major) of the first n dimensions lies from the beginning, in bytes; index, where wanted, gets
 * its place in each. */
AG_CUDA_PLACE int64_t ag__cuda_place(const ag_cuda_shape *s, int n, int64_t i, int64_t *index)
{
    int64_t at = 0;
    for (int d = n - 1; d >= 0; d--) {
        int64_t k = d ? i % s->size[d] : i;
        if (d) i /= s->size[d];
        if (index) index[d] = k;
        at += k * s->stride[d];
    }
    return at;
}

#endif
