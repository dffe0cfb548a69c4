/* pool.h - two-dimensional max pooling on the CPU. */
#ifndef AG_POOL_H
#define AG_POOL_H
#include <argent/dtype.h>

typedef struct {
    int64_t batch, channels, size[2],
        out_size[2]; /* (N, C, H, W) in, (N, C, OH, OW) out; every window meets the input */
    int64_t kernel[2], stride[2], padding[2], dilation[2];
} ag__pool2d_shape;

/* Elements and the strides of the four dimensions, in elements, any. What is written must not overlap itself or what is
 * read. */
typedef struct {
    const void *data;
    int64_t stride[4];
} ag__pool2d_in;
typedef struct {
    void *data;
    int64_t stride[4];
} ag__pool2d_out;

/* The largest element of each window and, unless indices.data is NULL, as int64 where it was: row * W + column. As in
 * PyTorch the first of equal elements counts, a NaN is larger than any number and the last NaN counts. All types but
 * AG_BOOL. */
void ag__max_pool2d_forward(ag_dtype dtype, const ag__pool2d_shape *shape, ag__pool2d_in input, ag__pool2d_out output,
                            ag__pool2d_out indices);

/* input_gradient = 0, then each element of output_gradient is added where its index says, in the order of the output.
 * float32, float64. */
void ag__max_pool2d_backward(ag_dtype dtype, const ag__pool2d_shape *shape, ag__pool2d_in output_gradient,
                             ag__pool2d_in indices, ag__pool2d_out input_gradient);

/* ---- the kernels, one table for each type and instruction set ---- */

typedef struct {
    ag__pool2d_shape s;
    ag__pool2d_in in, gradient, old_indices; /* forward: in; backward: gradient, old_indices */
    ag__pool2d_out out, indices;             /* forward: both; backward: out is the input's gradient */
    int64_t in_elements;                     /* the input is contiguous and has so many elements; 0: it is not */
    bool far;                                /* its batch or channels are last: more than a cache holds */
} ag__pool2d_job;

/* Planes n * C + c in [begin, end), or, with the batch innermost, (channel, output row) pairs or channels in [begin,
 * end); with channels innermost, (image, output row) pairs or images. */
typedef void ag__pool2d_kernel(const ag__pool2d_job *job, int64_t begin, int64_t end);
typedef struct {
    ag__pool2d_kernel *forward_planes, *forward_batch_last, *forward_channels_last;
    ag__pool2d_kernel *backward_planes, *backward_batch_last, *backward_channels_last;
} ag__pool2d_kernels;

#endif
