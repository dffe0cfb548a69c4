/* pool.h - the launches of two-dimensional max pooling: what the C side (pool.c) fills in. Plain C and C++. */
#ifndef AG_CUDA_POOL_H
#define AG_CUDA_POOL_H
#include "cuda/divide.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where elements lie, in elements: three dimensions over which planes are numbered, then row and column. Dimension 0 is
 * the one whose neighbours are neighbours in memory, of size 1 if those are columns. */
typedef struct ag_cuda_planes {
    int64_t plane[3], row, column;
} ag_cuda_planes;

/* x: (planes, H, W), y and the indices: (planes, OH, OW). Forward reads x and writes y and indices; backward writes x.
 */
typedef struct ag_cuda_pool {
    char *x, *y;
    int64_t *indices;
    ag_cuda_planes at_x, at_y, at_indices;
    int32_t planes[3], size[2], out_size[2]; /* all together less than 2^31 */
    int32_t kernel[2], stride[2], padding[2], dilation[2];
    ag_cuda_divisor by_plane[2], by_size[2], by_out_size[2], by_stride[2];
    bool pairs; /* in x, columns 0 and 1, 2 and 3, ... may be read together */
} ag_cuda_pool;

/* Each is a cudaError_t. dtype: any but bool; backward: float32, float64. */
int ag__cuda_max_pool(int dtype, const ag_cuda_pool *p, void *stream);
int ag__cuda_max_pool_back(int dtype, const ag_cuda_pool *p, void *stream);

#ifdef __cplusplus
}
#endif
#endif
