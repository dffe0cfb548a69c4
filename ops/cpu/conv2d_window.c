/* conv2d_window.c - the gradient of a convolution's weight, window by window.
 *
 * The input pixels that an output pixel met are a window of the input. If the channels of a pixel lie side by side, a
 * row of the window (all its columns and channels) is one run of numbers: some registers, whose lanes are elements of
 * the weight. Each output pixel adds its gradient, the same in all lanes, times the window:
 *
 *     sums[output channel][register of the window][lane] += gradient[output channel][pixel] * window[register][lane]
 *
 * Blocks of the input, some images or some rows of one, are repacked for this into strips
 *
 *     strip[image][group][row][column][channel]       zeros where the padding is
 *
 * A task has a tile of sums, some output channels by some registers, which stay in registers of the processor while a
 * block goes by: pixel by pixel, row by row, image by image. oneDNN sums in the same order, so the gradient has
 * PyTorch's bits. It goes faster than the way of conv2d_weight.c, whose lanes are images, as long as a run fills its
 * registers. Of a single channel the rows of the window can take the place of the channels: then there is one run,
 * strip[image][group][output row][column][kernel row].
 */
#include "ops/cpu/conv2d_window.h"
#include "ops/cpu/conv2d_lanes.h"
#include "ops/cpu/isa.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"

#include <string.h>

AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f32)
AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f64)

enum { STAYS = 256 << 10 /* bytes of a block, which all tasks read */ };

typedef struct {
    const ag__conv2d_shape *shape;
    const ag__conv2d_kernels *kernels;
    size_t size; /* of an element */
    ag__conv2d_in in, gradient;
    ag__conv2d_out out;
    int64_t in_channels, out_channels; /* of a group */

    bool rows_are_channels;
    int64_t channels, channel_stride; /* of a strip's pixel: how many, and their distance in the input */
    /* A window is `runs` runs of `run` elements: its rows, or with dilation its pixels; each is some registers. */
    int64_t runs, run, run_registers, registers;
    int64_t pieces, register_pieces; /* tiles: of the output channels of a group, of the registers */

    int64_t columns, row; /* of a strip: columns with padding; elements from a row to the next */
    char *strips, *sums;  /* sums[group][output channel][register][lane] */

    /* the block at hand */
    int64_t first_image, images, rows[2], in_rows; /* rows of the output; how many of the input they meet */
} window_plan;

static const char *at(const void *p, int64_t elements, size_t size)
{
    return (const char *)p + elements * (int64_t)size;
}

static void make_plan(window_plan *w, const ag__conv2d_shape *s, ag__conv2d_in input)
{
    *w = (window_plan){
        .shape = s,
        .kernels = s->dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__conv2d_f32) : AG_ISA_PICK(ag__conv2d_f64),
        .size = s->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double),
        .in = input,
        .in_channels = s->channels / s->groups,
        .out_channels = s->out_channels / s->groups,
        .rows_are_channels = s->channels == s->groups && s->padding[0] == 0,
    };
    const int64_t lanes = w->kernels->lanes, kernel_rows = w->rows_are_channels ? 1 : s->kernel[0];
    w->channels = w->rows_are_channels ? s->kernel[0] : w->in_channels;
    w->channel_stride = w->rows_are_channels ? s->dilation[0] * input.stride[2] : input.stride[1];
    w->runs = s->dilation[1] == 1 ? kernel_rows : kernel_rows * s->kernel[1];
    w->run = s->dilation[1] == 1 ? s->kernel[1] * w->channels : w->channels;
    w->run_registers = ag__ceil_div(w->run, lanes);
    w->registers = w->runs * w->run_registers;
    w->pieces = ag__ceil_div(w->out_channels, w->kernels->weight_channels);
    w->register_pieces = ag__ceil_div(w->registers, w->kernels->weight_taps);
    w->columns = s->size[1] + 2 * s->padding[1];
    w->row = w->columns * w->channels + lanes; /* a register may reach beyond its run */
}

/* Rows of a strip that some rows of the output meet. */
static int64_t rows_met(const window_plan *w, int64_t rows)
{
    const ag__conv2d_shape *s = w->shape;
    if (w->rows_are_channels) return rows;
    return (rows - 1) * s->stride[0] + (s->kernel[0] - 1) * s->dilation[0] + 1;
}

bool ag__conv2d_windows_suit(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in output_gradient)
{
    window_plan w;
    make_plan(&w, s, input);
    const int64_t lanes = w.kernels->lanes;
    return output_gradient.stride[3] == 1 && w.out_channels >= w.kernels->weight_channels &&
           w.run * 4 >= w.run_registers * lanes && /* a quarter of the lanes is in use */
           (double)rows_met(&w, 1) * (double)w.row * (double)s->groups * (double)w.size <= (double)ag__conv_strip_bytes;
}

/* Items: the rows of the block's strips. */
static void pack(void *user, int64_t begin, int64_t end)
{
    const window_plan *w = user;
    const ag__conv2d_shape *s = w->shape;
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = i % w->in_rows, group = i / w->in_rows % s->groups,
                      image = w->first_image + i / w->in_rows / s->groups;
        const int64_t from = w->rows_are_channels ? (w->rows[0] + row) * s->stride[0]
                                                  : w->rows[0] * s->stride[0] - s->padding[0] + row;
        char *to = w->strips + i * w->row * (int64_t)w->size;
        if (from < 0 || from >= s->size[0]) {
            memset(to, 0, (size_t)w->row * w->size);
            continue;
        }
        const size_t margin = (size_t)(s->padding[1] * w->channels) * w->size;
        char *pixels = to + margin, *after = pixels + s->size[1] * w->channels * (int64_t)w->size;
        memset(to, 0, margin);
        w->kernels->pack_row(
            pixels,
            at(w->in.data, image * w->in.stride[0] + group * w->in_channels * w->in.stride[1] + from * w->in.stride[2],
               w->size),
            w->channels, w->channel_stride, s->size[1], w->in.stride[3]);
        memset(after, 0, margin + (size_t)w->kernels->lanes * w->size);
    }
}

/* Where register r of a window begins, from the window's first element. */
static int64_t place(const window_plan *w, int64_t r)
{
    const ag__conv2d_shape *s = w->shape;
    const int64_t run = r / w->run_registers, within = r % w->run_registers * w->kernels->lanes;
    if (s->dilation[1] == 1) return run * s->dilation[0] * w->row + within;
    return run / s->kernel[1] * s->dilation[0] * w->row + run % s->kernel[1] * s->dilation[1] * w->channels + within;
}

/* Tasks: the tiles. */
static void add_up(void *user, int64_t begin, int64_t end)
{
    const window_plan *w = user;
    const ag__conv2d_shape *s = w->shape;
    for (int64_t i = begin; i < end; i++) {
        const int64_t group = i / w->register_pieces / w->pieces, piece = i / w->register_pieces % w->pieces,
                      register_piece = i % w->register_pieces;
        const int64_t first = ag__piece(w->out_channels, w->pieces, piece),
                      r0 = ag__piece(w->registers, w->register_pieces, register_piece),
                      r1 = ag__piece(w->registers, w->register_pieces, register_piece + 1);
        const int64_t channel = group * w->out_channels + first;
        ag__conv_window_run run = {
            .channels = (int)(ag__piece(w->out_channels, w->pieces, piece + 1) - first),
            .vectors = (int)(r1 - r0),
            .rows = w->rows[1] - w->rows[0],
            .n = s->out_size[1],
            .in_row = w->rows_are_channels ? w->row : s->stride[0] * w->row,
            .in_pixel = s->stride[1] * w->channels,
            .gradient_channel = w->gradient.stride[1],
            .gradient_row = w->gradient.stride[2],
            .sums = w->sums + (channel * w->registers + r0) * w->kernels->lanes * (int64_t)w->size,
            .sums_channel = w->registers * w->kernels->lanes,
        };
        for (int64_t r = r0; r < r1; r++) run.offset[r - r0] = place(w, r);
        for (int64_t image = 0; image < w->images; image++) {
            run.in = at(w->strips, (image * s->groups + group) * w->in_rows * w->row, w->size);
            run.gradient = at(w->gradient.data,
                              (w->first_image + image) * w->gradient.stride[0] + channel * w->gradient.stride[1] +
                                  w->rows[0] * w->gradient.stride[2],
                              w->size);
            w->kernels->window_run(&run);
        }
    }
}

static void write_sums(const window_plan *w)
{
    const ag__conv2d_shape *s = w->shape;
    for (int64_t o = 0; o < s->out_channels; o++) {
        for (int64_t e = 0; e < w->runs * w->run; e++) {
            const int64_t run = e / w->run, in_run = e % w->run, rest = in_run % w->channels;
            const bool whole_rows = s->dilation[1] == 1;
            const int64_t channel = w->rows_are_channels ? 0 : rest,
                          row = w->rows_are_channels ? rest
                                : whole_rows         ? run
                                                     : run / s->kernel[1],
                          column = whole_rows ? in_run / w->channels : run % s->kernel[1];
            const char *from = at(w->sums, (o * w->registers + run * w->run_registers) * w->kernels->lanes + in_run,
                                  w->size);
            char *to = (char *)w->out.data + (o * w->out.stride[0] + channel * w->out.stride[1] +
                                              row * w->out.stride[2] + column * w->out.stride[3]) *
                                                 (int64_t)w->size;
            memcpy(to, from, w->size);
        }
    }
}

bool ag__conv2d_weight_gradient_by_windows(const ag__conv2d_shape *s, ag__conv2d_in input,
                                           ag__conv2d_in output_gradient, ag__conv2d_out weight_gradient)
{
    window_plan w;
    make_plan(&w, s, input);
    w.gradient = output_gradient;
    w.out = weight_gradient;

    int64_t rows = s->out_size[0];
    const double a_row = (double)w.row * (double)(s->groups * (int64_t)w.size);
    while ((double)rows_met(&w, rows) * a_row > (double)ag__conv_strip_bytes && rows > 1) rows = (rows + 1) / 2;
    const double an_image = (double)rows_met(&w, rows) * a_row;
    const double stays = (double)ag__min(STAYS, ag__conv_strip_bytes);
    const int64_t images = rows < s->out_size[0] ? 1 : ag__min(s->batch, ag__max(1, (int64_t)(stays / an_image)));

    const int64_t sums = s->out_channels * w.registers * w.kernels->lanes,
                  strips = images * s->groups * rows_met(&w, rows) * w.row;
    w.sums = ag__scratch((size_t)(sums + strips) * w.size);
    if (!w.sums) return false;
    memset(w.sums, 0, (size_t)sums * w.size);
    w.strips = w.sums + sums * (int64_t)w.size;

    for (w.first_image = 0; w.first_image < s->batch; w.first_image += images) {
        w.images = ag__min(images, s->batch - w.first_image);
        for (w.rows[0] = 0; w.rows[0] < s->out_size[0]; w.rows[0] += rows) {
            w.rows[1] = ag__min(w.rows[0] + rows, s->out_size[0]);
            w.in_rows = rows_met(&w, w.rows[1] - w.rows[0]);
            ag__parallel_for(w.images * s->groups * w.in_rows, 1 + 16384 / w.row, pack, &w);
            const double a_tile = (double)(w.images * (w.rows[1] - w.rows[0]) * s->out_size[1] * w.kernels->lanes) *
                                  (double)(w.kernels->weight_channels * w.kernels->weight_taps);
            ag__parallel_for(s->groups * w.pieces * w.register_pieces, 1 + (int64_t)(AG_CONV_TASK / 4 / a_tile), add_up,
                             &w);
        }
    }
    write_sums(&w);
    ag__scratch_free(w.sums);
    return true;
}
