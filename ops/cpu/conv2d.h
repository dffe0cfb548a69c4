/* conv2d.h - two-dimensional convolution and its gradients on the CPU.
 *
 * The numbers of a register are the same pixel of different images, so any number of channels and any size fills the
 * registers and no kernel position needs a mask. Batch-last tensors lie in memory that way; of others, strips of as
 * many images as a register has lanes are repacked on the way in and turned back on the way out. With fewer images than
 * lanes, an image is cut into bands and those are the lanes (conv2d_lanes.h). Other ways are chosen by shape and
 * strides: conv2d_flat.h (neighbouring pixels are the lanes), conv2d_window.h (elements of the weight, for its
 * gradient), conv2d_depthwise.h, conv2d_product.h, conv2d_points.h.
 */
#ifndef AG_CONV2D_H
#define AG_CONV2D_H
#include <argent/dtype.h>

typedef struct {
    ag_dtype dtype;                    /* AG_FLOAT32 or AG_FLOAT64 */
    int64_t batch, channels, size[2];  /* input  (N, C, H, W) */
    int64_t out_channels, out_size[2]; /* output (N, O, OH, OW), weight (O, C / groups, KH, KW) */
    int64_t kernel[2], stride[2], padding[2], dilation[2], groups; /* height, width */
} ag__conv2d_shape;

/* Elements and the strides of the four dimensions, in elements, any. What is written must not overlap itself or what is
 * read. */
typedef struct {
    const void *data;
    int64_t stride[4];
} ag__conv2d_in;
typedef struct {
    void *data;
    int64_t stride[4];
} ag__conv2d_out;

/* All write what they compute over what was there; three return false with AG_ENOMEM standing if there was no memory
 * to work in. */
bool ag__conv2d_forward(const ag__conv2d_shape *shape, ag__conv2d_in input, ag__conv2d_in weight,
                        const void *bias,               /* (O), or NULL */
                        int64_t bias_stride, bool relu, /* max(value, 0); not of 1x1 kernels */
                        ag__conv2d_out output);
bool ag__conv2d_input_gradient(const ag__conv2d_shape *shape, ag__conv2d_in output_gradient, ag__conv2d_in weight,
                               ag__conv2d_out input_gradient);
bool ag__conv2d_weight_gradient(const ag__conv2d_shape *shape, ag__conv2d_in input, ag__conv2d_in output_gradient,
                                ag__conv2d_out weight_gradient);
void ag__conv2d_bias_gradient(const ag__conv2d_shape *shape, ag__conv2d_in output_gradient, void *bias_gradient,
                              int64_t bias_stride);

/* ---- the kernels, one table for each type and instruction set; all strides and steps count elements ---- */

enum { AG_CONV_LANES = 16 }; /* the most there are */

/* Where a lane's plane of numbers is: its row r and column c, for r and c in these ranges, are at[(r - rows[0]) *
 * row_stride + (c - columns[0]) * column_stride]; all else is 0 (read) or dropped (written). An empty lane has empty
 * ranges. */
typedef struct {
    const void *at;
    int64_t rows[2], columns[2];
} ag__conv_lane;

typedef struct {
    int64_t n, in, weights; /* turns; steps from one to the next */
} ag__conv_loop;

/* Pixels of one row of the output, `channels` output channels at once:
 *
 *     out[o * out_channel + t * out_pixel + lane] = sum of weights[a, b, c][o] * in[a, b, c][t * in_pixel + lane]
 *
 * over three loops a, b, c, each of n turns with a step through `in` and one through `weights`; then with `more` what
 * is in `out` is added, and bias[o] unless bias is NULL; and with `relu` what is below 0 becomes 0. */
typedef struct {
    int channels;
    int64_t n; /* pixels */
    const void *in, *weights, *bias;
    ag__conv_loop loops[3];
    int64_t in_pixel, out_pixel, out_channel;
    void *out;
    bool more, relu;
    /* With clip, loops[along] goes along the row, and its turns that meet only padding are left out: turn c of pixel t
     * is about column `column + t * column_pixel + c * column_turn`, and there are `width` columns. */
    bool clip;
    int along;
    int64_t column, column_pixel, column_turn, width;
} ag__conv_run;

/* sums[o * taps + q][lane] += sum over rows and pixels of gradient[o][row][t][lane] * in[q][row][t][lane] */
typedef struct {
    int channels, taps;
    int64_t rows, n;
    const void *in, *gradient;
    int64_t in_tap, in_row, in_pixel, gradient_channel, gradient_row, gradient_pixel;
    void *sums;
} ag__conv_weight_run;

/* sums[o * sums_channel + v * lanes ...] += sum over rows and pixels of gradient[o][row][t] * a register of numbers at
 * in[offset[v]][row][t] */
enum { AG_CONV_VECTORS = 5, AG_CONV_WINDOW_TILES = 3 };
typedef struct {
    int channels, vectors;
    int64_t rows, n;
    const void *in, *gradient;
    int64_t in_row, in_pixel, gradient_channel, gradient_row, gradient_pixel;
    int64_t offset[AG_CONV_VECTORS];
    void *sums;
    int64_t sums_channel;
} ag__conv_window_run;

/* to[i / inner * to_step + i % inner * to_inner + r] = runs[r][first + i * step] for i < n and r < n_runs, 0 where a
 * run is NULL; may write a register beyond a place's runs, of the last place too */
typedef struct {
    void *to;
    int64_t to_step, inner, to_inner;
    const void *const *runs;
    int64_t n_runs, first, step, n;
} ag__conv_turn;

typedef struct {
    int lanes;
    int channels;                     /* most output channels at once: in run, */
    const int *pixels;                /* [channels] most pixels at once with so many channels, in run */
    int weight_channels, weight_taps; /* in weight_run */
    /* output channels by registers in window_run: the most, in several forms; or 0 */
    int window_tiles[AG_CONV_WINDOW_TILES][2];
    void (*run)(const ag__conv_run *run);
    void (*weight_run)(const ag__conv_weight_run *run);
    void (*window_run)(const ag__conv_window_run *run);
    /* plane[row][column][lane], these rows. side_by_side: the lanes' numbers lie next to each other, all have the same
     * ranges. */
    void (*pack)(void *plane, int64_t first_row, int64_t last_row, int64_t columns, const ag__conv_lane *lanes,
                 bool side_by_side, int64_t row_stride, int64_t column_stride);
    /* to[row][column], rows `pitch` elements apart, n_rows of them: from[row - rows[0]][column - columns[0]] for rows
     * and columns in these ranges, 0 elsewhere, and up to a register of zeros after the last row */
    void (*copy_plane)(void *to, int64_t pitch, int64_t n_rows, const void *from, int64_t row_stride,
                       const int64_t rows[2], const int64_t columns[2]);
    /* from[channel][pixel][lane], channels `from_channel` apart: each lane's run of pixels goes to lane.at[channel *
     * channel_stride + pixel * pixel_stride], as many as lane.columns[1] says; past the caches where lines are written
     * whole, and the caller waits for that */
    void (*unpack)(const void *from, int channels, int64_t from_channel, int64_t pixels, const ag__conv_lane *lanes,
                   bool side_by_side, int64_t channel_stride, int64_t pixel_stride, bool past_caches);
    void (*turn)(const ag__conv_turn *turn);
    /* the sum of the lanes of each of n registers: totals[i] = sums[i][0] + ... */
    void (*add_lanes)(const void *sums, int64_t n, void *totals);
    /* sums[o] += the numbers of up to `lanes` channels, each one after another */
    void (*channel_sums)(const void *from, int channels, int64_t channel_stride, int64_t n, int64_t stride, void *sums);
} ag__conv2d_kernels;

#endif
