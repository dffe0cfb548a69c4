/* conv.h - the launches of two-dimensional convolution: what the C side (conv.c) fills in. Plain C and C++.
 *
 * One description serves a convolution and its input's gradient, which is a convolution of the output's gradient with
 * the weight turned round. All channels are those of one group; strides count elements. */
#ifndef AG_CUDA_CONV_H
#define AG_CUDA_CONV_H
#include "cuda/box.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y[n,o,i,j] = bias[o] + sum over c,a,b of w[o,c,a,b] x[n,c,h,v] with
 *
 *     h = i stride - padding + a dilation       v likewise; x counts as 0 outside
 *     i = h stride - padding + a dilation       with .transposed: i and h change their roles
 */
typedef struct ag_cuda_conv {
    const void *x, *w, *bias; /* bias may be NULL */
    void *y;
    int64_t x_stride[4], y_stride[4];  /* image, channel, row, column */
    int64_t w_stride[4];               /* o, c, a, b */
    int64_t x_group, w_group, y_group; /* from a group to the next */
    int64_t bias_stride;               /* from a channel to the next; groups follow each other */
    int32_t batch, groups, in, out;    /* images, groups, channels of x and y */
    int32_t size[2], out_size[2];      /* x (N,in,H,W), y (N,out,OH,OW) */
    int32_t kernel[2], stride[2], padding[2], dilation[2];
    bool transposed;
    bool relu;       /* of y: what is below 0 is written as 0; NaN stays */
    bool batch_last; /* neighbours in memory are the same pixel of different images */
} ag_cuda_conv;

/* Each launcher returns a cudaError_t. dtype: float32 or float64, but for the second. */

/* Any description (conv_gemm.cu): a product of matrices whose right one, (in * KH * KW, pixels), is never laid out. */
int ag__cuda_conv_gemm(int dtype, const ag_cuda_conv *c, void *stream);
/* Integers, not transposed (conv_integers.cu). */
int ag__cuda_conv_integers(int dtype, const ag_cuda_conv *c, void *stream);

/* ---- few channels, from shared memory ---- */

enum { AG_CUDA_CONV_THREADS = 256, AG_CUDA_CONV_ROWS = 4, AG_CUDA_CONV_SHARED = 40 << 10 };

/* Steps in shared memory, in elements. */
typedef struct ag_cuda_conv_steps {
    int32_t image, channel, row, column;
} ag_cuda_conv_steps;

/* A block makes images x quads * 4 rows x columns x outs of y, not transposed, from `channels` of x after `channels`; a
 * thread four rows. */
typedef struct ag_cuda_conv_direct {
    ag_cuda_conv conv;
    ag_cuda_box x, w; /* in shared memory w (channels, KW, KH, outs), then x, of x_numel elements, gaps included */
    ag_cuda_conv_steps at_x;
    int32_t images, quads, columns, outs, channels, threads, x_numel;
    int32_t row_tiles, column_tiles;
    int64_t blocks;
} ag_cuda_conv_direct;

/* The description, for so many multiprocessors (conv_plan.c). false: not for this convolution. */
bool ag__cuda_conv_plan(ag_cuda_conv_direct *t, const ag_cuda_conv *c, int64_t item, int processors);
int ag__cuda_conv_direct(int dtype, const ag_cuda_conv_direct *t, void *stream);

/* ---- the weight's gradient ---- */

/* The weight's gradient: w[o,c,a,b] = sum over n,i,j of y[n,o,i,j] x[n,c,h,v], from the description of the
 * convolution; y is read, w written, contiguous over all groups. The sum over pixels is cut into `splits` parts of
 * `part` pixels, a multiple of 16, whose sums go to `parts` (splits, numel of w) and are then added in order; with one
 * split they go to w. */
typedef struct ag_cuda_conv_weight {
    ag_cuda_conv conv;
    const void *y;
    void *w, *parts;
    int64_t part;
    int32_t splits;
} ag_cuda_conv_weight;

/* How many splits, and the size of each (conv_weight_gemm.cu). */
void ag__cuda_conv_weight_split(int dtype, ag_cuda_conv_weight *g);
int ag__cuda_conv_weight_gemm(int dtype, const ag_cuda_conv_weight *g, void *stream);
/* w = the sum of the parts, numel elements each. */
int ag__cuda_conv_add_parts(int dtype, const ag_cuda_conv_weight *g, int64_t numel, void *stream);

/* Of few channels, from shared memory (conv_weight_direct.cu). A block makes `outs` * `channels` of the weight. It goes
 * over tiles of images x rows x columns of y; a thread has four outs, a channel and a column of the kernel, and goes
 * over every slices'th column of the tile. */
typedef struct ag_cuda_conv_weight_direct {
    ag_cuda_conv_weight weight; /* .part: tiles to a split */
    ag_cuda_box x, y;           /* in shared memory y (images, rows, columns, outs), then x */
    ag_cuda_conv_steps at_x;
    int32_t images, rows, columns, outs, channels, threads, slices, shared; /* shared: elements */
    int32_t row_tiles, column_tiles, channel_tiles;
    int64_t tiles, blocks;
} ag_cuda_conv_weight_direct;

/* The description and the splits (conv_plan.c). false: not for this convolution. */
bool ag__cuda_conv_weight_plan(ag_cuda_conv_weight_direct *t, const ag_cuda_conv_weight *g, int64_t item);
int ag__cuda_conv_weight_direct(int dtype, const ag_cuda_conv_weight_direct *t, void *stream);

#ifdef __cplusplus
}
#endif
#endif
