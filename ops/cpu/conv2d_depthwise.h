/* conv2d_depthwise.h - convolution of each channel for itself, without a stride, and its input gradient.
 *
 * Rows of the input are read where they are: neighbouring pixels (batch-last: images of neighbouring pixels) are the
 * lanes, and the columns at either edge, which meet padding, are made on their own, or rows are copied between zeros.
 */
#ifndef AG_CONV2D_DEPTHWISE_H
#define AG_CONV2D_DEPTHWISE_H
#include "ops/cpu/conv2d.h"

/* Whether it is about such a convolution, of tensors with contiguous rows. */
bool ag__conv2d_depthwise_suits(const ag__conv2d_shape *shape, const int64_t *input_stride,
                                const int64_t *output_stride);
void ag__conv2d_depthwise_forward(const ag__conv2d_shape *shape, ag__conv2d_in input, ag__conv2d_in weight,
                                  const void *bias, int64_t bias_stride, ag__conv2d_out output);
void ag__conv2d_depthwise_input_gradient(const ag__conv2d_shape *shape, ag__conv2d_in output_gradient,
                                         ag__conv2d_in weight, ag__conv2d_out input_gradient);

/* ---- the kernel ---- */

enum { AG_DEPTHWISE_TAPS = 64 }; /* the most kernel positions */

/* Rows [rows[0], rows[1]) of a plane: out[y][x] = bias + sum of weights[a][b] * in[y + a * dilation - padding][x + b *
 * dilation - padding] over kernel rows a and columns b, in this order, where there is input. An x is `inner` elements
 * that lie together. */
typedef struct {
    int64_t rows[2], in_size[2], out_columns, inner;
    int64_t kernel[2], dilation[2], padding[2];
    const void *in, *weights, *bias; /* bias: one number, or NULL */
    int64_t in_row, out_row;         /* elements from a row to the next */
    void *out;
} ag__conv_depthwise_run;

typedef struct {
    void (*run)(const ag__conv_depthwise_run *run);
} ag__conv2d_depthwise_kernels;

#endif
