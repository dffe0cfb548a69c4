/* conv2d_flat.h - convolution with the lanes along the rows of the image, for many channels or few images.
 *
 * A plane of the input is copied into a strip, with zeros where the padding is, and the rows of the strip are one flat
 * run of positions. An output pixel's position is its own in such a run, and a kernel position is one offset: what
 * pixel q of the output meets lies at offset + q, whatever its row. So a register is any LANES neighbouring positions,
 * and the few between one row and the next are computed and dropped. With strides the strip has a plane for each
 * remainder of row and column. Of batch-last tensors a position is a pixel of an image, some images side by side.
 */
#ifndef AG_CONV2D_FLAT_H
#define AG_CONV2D_FLAT_H
#include "ops/cpu/conv2d.h"

/* Whether it is worth while, by the shape and the layout alone. */
bool ag__conv2d_flat_suits_forward(const ag__conv2d_shape *shape, const int64_t *input_stride,
                                   const int64_t *output_stride);
bool ag__conv2d_flat_suits_input_gradient(const ag__conv2d_shape *shape, const int64_t *gradient_stride,
                                          const int64_t *input_stride);
bool ag__conv2d_flat_forward(const ag__conv2d_shape *shape, ag__conv2d_in input, ag__conv2d_in weight, const void *bias,
                             int64_t bias_stride, bool relu, ag__conv2d_out output);
bool ag__conv2d_flat_input_gradient(const ag__conv2d_shape *shape, ag__conv2d_in output_gradient, ag__conv2d_in weight,
                                    ag__conv2d_out input_gradient);

/* ---- the kernels; all strides and steps count elements ---- */

enum {
    AG_FLAT_CHANNELS = 8, /* the most output channels at once */
    AG_FLAT_TILE = 32,    /* so many elements beyond the last position may be read and written */
    AG_FLAT_CHUNK = 240,  /* positions made at once: whole tiles of every instruction set */
};

/* out[o * out_channel + q] = sum of weights[t * weights_tap + c * channels + o] * in[offset[t] + c * in_channel + q]
 *
 * over kernel positions t and channels c, in this order, for n positions q and some beyond; then with `more` what is in
 * `out` is added, and bias[o] unless bias is NULL; and with `relu` what is below 0 becomes 0. */
typedef struct {
    int channels;
    int64_t n, taps, in_channels;
    const void *in, *weights, *bias;
    const int64_t *offset;
    int64_t in_channel, weights_tap, out_channel;
    void *out;
    bool more, relu;
} ag__conv_flat_run;

typedef struct {
    int channels; /* most output channels at once */
    void (*run)(const ag__conv_flat_run *run);
    /* to[r * to_row + i] = from[r * from_row + (i - first) * step] for i from first to end, 0 for all other i < n; for
     * r < rows */
    void (*pack_rows)(void *to, int64_t to_row, int64_t n, int64_t first, int64_t end, const void *from,
                      int64_t from_row, int64_t step, int64_t rows);
    /* to[i * to_step + j] = from[i * from_step + j] for i < n and j < run */
    void (*copy_runs)(void *to, int64_t to_step, const void *from, int64_t from_step, int64_t run, int64_t n);
} ag__conv2d_flat_kernels;

#endif
