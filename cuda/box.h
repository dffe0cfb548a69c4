/* box.h - a part of a tensor of four dimensions that a block copies to shared memory (box.cuh). Plain C and C++. */
#ifndef AG_CUDA_BOX_H
#define AG_CUDA_BOX_H
#include "cuda/divide.h"

/* Dimensions in the order in which neighbours in memory go; `which` is each one's place in (images, channels, rows,
 * columns), of a weight in (outs, channels, rows, columns). Elements whose index in some dimension is not in [0, bound)
 * are 0. */
typedef struct ag_cuda_box {
    int64_t from[4]; /* strides in the tensor, which the box spans less than 2^31 elements of, */
    int32_t to[4];   /* and in shared memory, in elements */
    int32_t bound[4], which[4];
    int32_t numel;
    ag_cuda_divisor by[3];
} ag_cuda_box;

#endif
