/* conv2d_depthwise.h - convolution of each channel for itself, without a stride, and its two gradients.
 *
 * A tile of a plane, as a rule the whole plane, is copied between zeros into a strip that stays in the first-level
 * cache, [row][column][image]: one image at a time, or all of them if the batch is last. Its rows are runs of numbers,
 * any neighbours of which are the lanes. A register of the strip is met by some rows of the output at once, so each is
 * loaded once a kernel column, not once a kernel position.
 */
#ifndef AG_CONV2D_DEPTHWISE_H
#define AG_CONV2D_DEPTHWISE_H
#include "ops/cpu/conv2d.h"

/* Whether it is about such a convolution, of tensors with contiguous rows; the two are the input and what is written,
 * or for the weight's gradient the output's gradient. */
bool ag__conv2d_depthwise_suits(const ag__conv2d_shape *shape, const int64_t *input_stride,
                                const int64_t *output_stride);
void ag__conv2d_depthwise_forward(const ag__conv2d_shape *shape, ag__conv2d_in input, ag__conv2d_in weight,
                                  const void *bias, int64_t bias_stride, bool relu, ag__conv2d_out output);
void ag__conv2d_depthwise_input_gradient(const ag__conv2d_shape *shape, ag__conv2d_in output_gradient,
                                         ag__conv2d_in weight, ag__conv2d_out input_gradient);
bool ag__conv2d_depthwise_weight_gradient(const ag__conv2d_shape *shape, ag__conv2d_in input,
                                          ag__conv2d_in output_gradient, ag__conv2d_out weight_gradient);

/* ---- the kernel ---- */

enum {
    AG_DEPTHWISE_TAPS = 64,        /* the most kernel positions */
    AG_DEPTHWISE_ROOM = 24 * 1024, /* bytes of a strip */
};

/* out[y][e] = bias + sum of weights[a][b] * in[y + a * dilation][e + b * dilation * inner] over kernel rows a and
 * columns b, in this order, for `rows` rows of n elements. A register beyond the last row of `in` can be read. */
typedef struct {
    int64_t kernel[2], dilation[2], inner, rows, n;
    const void *in, *weights, *bias; /* bias: one number, or NULL */
    bool relu;                       /* then max(value, 0) */
    int64_t in_row, out_row;         /* elements from a row to the next */
    const void *next_in, *next_out;  /* rows in memory that are soon needed (NULL: not asked for): */
    int64_t next_in_row;             /* of the input, of the output */
    void *out;
} ag__conv_depthwise_run;

/* sums[a][b][lane] += gradient[y][e] * in[y + a * dilation][e + b * dilation * inner] over `rows` rows y of n elements
 * e, the lane being that of e in its register. Nothing beyond a row is touched. */
typedef struct {
    int64_t kernel[2], dilation[2], inner, rows, n;
    const void *in, *gradient;
    int64_t in_row, gradient_row;        /* elements from a row to the next */
    const void *next_in, *next_gradient; /* rows in memory that are soon needed (NULL: not asked for): */
    int64_t next_in_row;                 /* of the input, of the gradient */
    void *sums;
} ag__conv_depthwise_weight_run;

typedef struct {
    void (*run)(const ag__conv_depthwise_run *run);
    void (*weight_run)(const ag__conv_depthwise_weight_run *run);
} ag__conv2d_depthwise_kernels;

#endif
