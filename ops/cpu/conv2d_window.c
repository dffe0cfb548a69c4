/* conv2d_window.c - the gradient of a convolution's weight, window by window.
 *
 * The input pixels that an output pixel met are a window of the input. If the channels of a pixel lie side by side, a
 * row of the window (all its columns and channels) is one run of numbers: some registers, whose lanes are elements of
 * the weight. Each output pixel adds its gradient, the same in all lanes, times the window:
 *
 *     sums[output channel][register of the window][lane] += gradient[output channel][pixel] * window[register][lane]
 *
 * Blocks of the input, some images or some rows of some, are repacked for this into strips, and so is the gradient
 * unless its columns lie side by side:
 *
 *     strip[image][group][row][column][channel]                       zeros where the padding is
 *     gradient[image][row][column][channel]
 *
 * A task has a few registers of the window and some output channels. It goes through the block image by image, a few
 * rows at a time, whose part of the window stays in the first-level cache while tile after tile of sums, a few output
 * channels by those registers, goes over it: pixel by pixel, row by row, image by image. oneDNN sums in the same order,
 * so the gradient has PyTorch's bits. It goes faster than the way of conv2d_weight.c, whose lanes are images, as long
 * as a run fills its registers. Of few channels the rows of the window are *stacked*: they take their places among the
 * channels, strip[image][group][output row][column][channel][kernel row], and there is one run.
 */
#include "ops/cpu/conv2d_window.h"
#include "ops/cpu/conv2d_lanes.h"
#include "ops/cpu/isa.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"

#include <string.h>

AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f32)
AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f64)

enum {
    STAYS = 256 << 10, /* bytes of a block of whole images, which all tasks read */
    NEAR = 16 << 10,   /* bytes of rows that stay in the first-level cache */
    ENOUGH_TASKS = 32,
    MOST_CHANNELS = 2048,
    FEW_PAIRS = 512, /* of an input and an output channel */
    MOST_RUNS = 64,  /* turned at once: whole registers of every instruction set */
};

typedef struct {
    const ag__conv2d_shape *shape;
    const ag__conv2d_kernels *kernels;
    size_t size; /* of an element */
    ag__conv2d_in in, gradient;
    ag__conv2d_out out;
    int64_t in_channels, out_channels; /* of a group */

    bool stacked, pack_gradient;
    int64_t channels; /* of a strip's pixel */
    /* A window is `runs` runs of `run` elements: its rows, or with dilation its pixels; each is some registers. */
    int64_t runs, run, run_registers, registers;
    int64_t pieces, register_pieces; /* tiles: of the output channels of a group, of the registers */
    int64_t pieces_a_task;

    int64_t row, gradient_row;       /* elements from a row of a strip to the next */
    char *strips, *gradients, *sums; /* sums[group][output channel][register][lane] */

    /* the block at hand */
    int64_t first_image, images, rows[2], in_rows; /* rows of the output; how many of a strip they meet */
} window_plan;

static const char *at(const void *p, int64_t elements, size_t size)
{
    return (const char *)p + elements * (int64_t)size;
}

static void make_plan(window_plan *w, const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in output_gradient)
{
    *w = (window_plan){
        .shape = s,
        .kernels = s->dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__conv2d_f32) : AG_ISA_PICK(ag__conv2d_f64),
        .size = s->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double),
        .in = input,
        .gradient = output_gradient,
        .in_channels = s->channels / s->groups,
        .out_channels = s->out_channels / s->groups,
        .pack_gradient = output_gradient.stride[3] != 1,
    };
    const int64_t lanes = w->kernels->lanes, a_row = s->kernel[1] * w->in_channels;
    w->stacked = s->dilation[1] == 1 &&
                 ag__ceil_div(s->kernel[0] * a_row, lanes) * 8 <= s->kernel[0] * ag__ceil_div(a_row, lanes) * 7;
    const int64_t kernel_rows = w->stacked ? 1 : s->kernel[0];
    w->channels = w->stacked ? w->in_channels * s->kernel[0] : w->in_channels;
    w->runs = s->dilation[1] == 1 ? kernel_rows : kernel_rows * s->kernel[1];
    w->run = s->dilation[1] == 1 ? s->kernel[1] * w->channels : w->channels;
    w->run_registers = ag__ceil_div(w->run, lanes);
    w->registers = w->runs * w->run_registers;
    w->pieces = ag__ceil_div(w->out_channels, w->kernels->weight_channels);
    w->register_pieces = ag__ceil_div(w->registers, w->kernels->weight_taps);
    w->pieces_a_task = ag__max(1, ag__min(w->pieces, w->pieces * w->register_pieces * s->groups / ENOUGH_TASKS));
    /* padding = "same" may pad one column more behind than before; a register may reach beyond its run */
    const int64_t met = (s->out_size[1] - 1) * s->stride[1] + (s->kernel[1] - 1) * s->dilation[1] + 1;
    w->row = ag__max(s->padding[1] + s->size[1], met) * w->channels + lanes;
    w->gradient_row = s->out_size[1] * s->out_channels + lanes;
}

/* Rows of a strip that some rows of the output meet. */
static int64_t rows_met(const window_plan *w, int64_t rows)
{
    const ag__conv2d_shape *s = w->shape;
    if (w->stacked) return rows;
    return (rows - 1) * s->stride[0] + (s->kernel[0] - 1) * s->dilation[0] + 1;
}

/* Bytes that an image takes in a block of so many rows. */
static double image_bytes(const window_plan *w, int64_t rows)
{
    return ((double)rows_met(w, rows) * (double)w->row * (double)w->shape->groups +
            (w->pack_gradient ? (double)rows * (double)w->gradient_row : 0)) *
           (double)w->size;
}

bool ag__conv2d_windows_suit(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in output_gradient)
{
    window_plan w;
    make_plan(&w, s, input, output_gradient);
    const int64_t lanes = w.kernels->lanes;
    /* Of few channels and many images conv2d_weight.c reads batch-last tensors as they lie. */
    if (input.stride[0] == 1 && output_gradient.stride[0] == 1 && s->batch >= lanes && s->batch % lanes == 0 &&
        w.in_channels * w.out_channels < FEW_PAIRS)
        return false;
    return w.out_channels >= w.kernels->weight_channels &&
           w.run * 4 >= w.run_registers * lanes && /* a quarter of the lanes is in use */
           w.channels <= MOST_CHANNELS && s->out_channels <= MOST_CHANNELS &&
           image_bytes(&w, 1) <= (double)ag__conv_strip_bytes;
}

/* Pixels of a tensor to a strip's, to[image][pixel][run], image by image `apart`, from the block's first image on; a
 * run begins in that image. Batch-last: `together`, all images at once. */
typedef struct {
    const int64_t *stride; /* of the tensor */
    const void *const *runs;
    int64_t n_runs, pixel, n, apart; /* elements from a pixel to the next, pixels */
    bool together;
} pixels;

static void pack_pixels(const window_plan *w, const pixels *p, char *to)
{
    const int64_t batch = w->shape->batch;
    for (int64_t r0 = (p->n_runs - 1) / MOST_RUNS * MOST_RUNS; r0 >= 0; r0 -= MOST_RUNS) {
        ag__conv_turn turn = { .to = to + r0 * (int64_t)w->size,
                               .runs = p->runs + r0,
                               .n_runs = ag__min(MOST_RUNS, p->n_runs - r0),
                               .to_step = p->pixel };
        if (!p->together) {
            turn.inner = 1;
            turn.n = p->n;
            turn.step = p->stride[3];
            w->kernels->turn(&turn);
            continue;
        }
        turn.to_inner = p->apart;
        turn.step = 1;
        turn.inner = turn.n = w->images;
        if (w->images == batch && p->stride[3] == batch) { /* a row is one run */
            turn.n = p->n * batch;
            w->kernels->turn(&turn);
            continue;
        }
        for (int64_t x = 0; x < p->n; x++) {
            w->kernels->turn(&turn);
            turn.first += p->stride[3];
            turn.to = (char *)turn.to + p->pixel * (int64_t)w->size;
        }
    }
}

static bool is_together(const window_plan *w, const int64_t *stride) { return stride[0] == 1 && w->shape->batch > 1; }

/* Row `row` of a group's strips, of image `image` of the block or of all. */
static void pack_input(const window_plan *w, int64_t image, int64_t group, int64_t row)
{
    const ag__conv2d_shape *s = w->shape;
    const int64_t size = (int64_t)w->size, high = w->stacked ? s->kernel[0] : 1, *stride = w->in.stride;
    const int64_t from = (w->rows[0] + (w->stacked ? row : 0)) * s->stride[0] - s->padding[0] + (w->stacked ? 0 : row);
    const void *runs[MOST_CHANNELS];
    const char *first = at(w->in.data,
                           (w->first_image + image) * stride[0] + group * w->in_channels * stride[1] + from * stride[2],
                           w->size);
    for (int64_t i = 0; i < w->channels; i++) {
        const int64_t down = i % high * s->dilation[0];
        runs[i] = from + down < 0 || from + down >= s->size[0]
                      ? NULL
                      : first + (i / high * stride[1] + down * stride[2]) * size;
    }
    const int64_t apart = s->groups * w->in_rows * w->row, margin = s->padding[1] * w->channels,
                  behind = margin + s->size[1] * w->channels;
    const bool together = is_together(w, stride);
    char *to = w->strips + (image * apart + (group * w->in_rows + row) * w->row) * size;
    pack_pixels(w, &(pixels){ stride, runs, w->channels, w->channels, s->size[1], apart, together },
                to + margin * size);
    for (int64_t i = 0; i < (together ? w->images : 1); i++, to += apart * size) {
        memset(to, 0, (size_t)(margin * size));
        memset(to + behind * size, 0, (size_t)((w->row - behind) * size));
    }
}

/* Items: the rows of the block's strips. */
static void pack(void *user, int64_t begin, int64_t end)
{
    const window_plan *w = user;
    for (int64_t i = begin; i < end; i++)
        pack_input(w, i / w->in_rows / w->shape->groups, i / w->in_rows % w->shape->groups, i % w->in_rows);
}

/* Items: the rows of the block's gradients. */
static void pack_gradient(void *user, int64_t begin, int64_t end)
{
    const window_plan *w = user;
    const int64_t rows = w->rows[1] - w->rows[0], channels = w->shape->out_channels, *stride = w->gradient.stride;
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = i % rows, image = i / rows;
        const char *first = at(w->gradient.data, (w->first_image + image) * stride[0] + (w->rows[0] + row) * stride[2],
                               w->size);
        const void *runs[MOST_CHANNELS];
        for (int64_t o = 0; o < channels; o++) runs[o] = first + o * stride[1] * (int64_t)w->size;
        const pixels p = {
            stride, runs, channels, channels, w->shape->out_size[1], rows * w->gradient_row, is_together(w, stride)
        };
        pack_pixels(w, &p, w->gradients + (image * p.apart + row * w->gradient_row) * (int64_t)w->size);
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

/* Tasks: of each group some registers and some pieces of the output channels. */
static void add_up(void *user, int64_t begin, int64_t end)
{
    const window_plan *w = user;
    const ag__conv2d_shape *s = w->shape;
    const int64_t piece_tasks = ag__ceil_div(w->pieces, w->pieces_a_task), rows = w->rows[1] - w->rows[0];
    for (int64_t i = begin; i < end; i++) {
        const int64_t group = i / w->register_pieces / piece_tasks, register_piece = i % w->register_pieces,
                      piece0 = i / w->register_pieces % piece_tasks * w->pieces_a_task,
                      piece1 = ag__min(piece0 + w->pieces_a_task, w->pieces);
        const int64_t r0 = ag__piece(w->registers, w->register_pieces, register_piece),
                      r1 = ag__piece(w->registers, w->register_pieces, register_piece + 1);
        ag__conv_window_run run = {
            .vectors = (int)(r1 - r0),
            .n = s->out_size[1],
            .in_row = w->stacked ? w->row : s->stride[0] * w->row,
            .in_pixel = s->stride[1] * w->channels,
            .gradient_channel = w->pack_gradient ? 1 : w->gradient.stride[1],
            .gradient_row = w->pack_gradient ? w->gradient_row : w->gradient.stride[2],
            .gradient_pixel = w->pack_gradient ? s->out_channels : 1,
            .sums_channel = w->registers * w->kernels->lanes,
        };
        for (int64_t r = r0; r < r1; r++) run.offset[r - r0] = place(w, r);
        const int64_t a_pixel = ag__min(run.in_pixel, run.vectors * w->kernels->lanes),
                      rows_near = piece1 == piece0 + 1 ? rows : ag__max(1, NEAR / (run.n * a_pixel * (int64_t)w->size));
        for (int64_t image = 0; image < w->images; image++) {
            for (int64_t y = 0; y < rows; y += rows_near) {
                run.rows = ag__min(rows_near, rows - y);
                run.in = at(w->strips, (image * s->groups + group) * w->in_rows * w->row + y * run.in_row, w->size);
                for (int64_t piece = piece0; piece < piece1; piece++) {
                    const int64_t first = ag__piece(w->out_channels, w->pieces, piece),
                                  channel = group * w->out_channels + first;
                    run.channels = (int)(ag__piece(w->out_channels, w->pieces, piece + 1) - first);
                    run.sums = w->sums + (channel * w->registers + r0) * w->kernels->lanes * (int64_t)w->size;
                    if (w->pack_gradient)
                        run.gradient = at(w->gradients, (image * rows + y) * w->gradient_row + channel, w->size);
                    else
                        run.gradient = at(w->gradient.data,
                                          (w->first_image + image) * w->gradient.stride[0] +
                                              channel * w->gradient.stride[1] + (w->rows[0] + y) * run.gradient_row,
                                          w->size);
                    w->kernels->window_run(&run);
                }
            }
        }
    }
}

static void write_sums(const window_plan *w)
{
    const ag__conv2d_shape *s = w->shape;
    const int64_t run = w->run_registers * w->kernels->lanes, size = (int64_t)w->size, *stride = w->out.stride;
    /* elements from a kernel row, a kernel column, an input channel of the sums to the next */
    const int64_t row = w->stacked            ? 1
                        : s->dilation[1] == 1 ? run
                                              : s->kernel[1] * run,
                  column = s->dilation[1] == 1 ? w->channels : run, channel = w->stacked ? s->kernel[0] : 1;
    for (int64_t o = 0; o < s->out_channels; o++) {
        const char *from = at(w->sums, o * w->registers * w->kernels->lanes, w->size);
        for (int64_t c = 0; c < w->in_channels; c++) {
            for (int64_t a = 0; a < s->kernel[0]; a++) {
                char *to = (char *)w->out.data + (o * stride[0] + c * stride[1] + a * stride[2]) * size;
                const char *in = from + (a * row + c * channel) * size;
                for (int64_t b = 0; b < s->kernel[1]; b++, to += stride[3] * size, in += column * size) {
                    if (size == sizeof(float))
                        memcpy(to, in, sizeof(float));
                    else
                        memcpy(to, in, sizeof(double));
                }
            }
        }
    }
}

bool ag__conv2d_weight_gradient_by_windows(const ag__conv2d_shape *s, ag__conv2d_in input,
                                           ag__conv2d_in output_gradient, ag__conv2d_out weight_gradient)
{
    window_plan w;
    make_plan(&w, s, input, output_gradient);
    w.out = weight_gradient;

    /* Whole images, or rows of one; batch-last: of as many as a register has lanes or some more, which lie together. */
    const double most = (double)ag__conv_strip_bytes, stays = (double)ag__min(STAYS, ag__conv_strip_bytes);
    const bool together = is_together(&w, input.stride) || (w.pack_gradient && is_together(&w, output_gradient.stride));
    const int64_t least = together ? ag__min(s->batch, w.kernels->lanes) : 1;
    int64_t rows = s->out_size[0];
    while (image_bytes(&w, rows) * (double)least > most && rows > 1) rows = (rows + 1) / 2;
    const int64_t fit = rows < s->out_size[0] ? 1 : (int64_t)(stays / image_bytes(&w, rows)),
                  blocks = ag__max(1, together ? s->batch / ag__max(least, fit / least * least)
                                               : ag__ceil_div(s->batch, ag__max(1, fit))),
                  images = ag__ceil_div(s->batch, blocks);

    const int64_t sums = s->out_channels * w.registers * w.kernels->lanes,
                  strips = images * s->groups * rows_met(&w, rows) * w.row,
                  gradients = w.pack_gradient ? images * rows * w.gradient_row : 0;
    w.sums = ag__scratch((size_t)(sums + strips + gradients) * w.size);
    if (!w.sums) return false;
    memset(w.sums, 0, (size_t)sums * w.size);
    w.strips = w.sums + sums * (int64_t)w.size;
    w.gradients = w.strips + strips * (int64_t)w.size;

    for (int64_t block = 0; block < blocks; block++) {
        w.first_image = ag__piece(s->batch, blocks, block);
        w.images = ag__piece(s->batch, blocks, block + 1) - w.first_image;
        for (w.rows[0] = 0; w.rows[0] < s->out_size[0]; w.rows[0] += rows) {
            w.rows[1] = ag__min(w.rows[0] + rows, s->out_size[0]);
            w.in_rows = rows_met(&w, w.rows[1] - w.rows[0]);
            ag__parallel_for((is_together(&w, input.stride) ? 1 : w.images) * s->groups * w.in_rows, 1 + 16384 / w.row,
                             pack, &w);
            if (w.pack_gradient)
                ag__parallel_for((is_together(&w, output_gradient.stride) ? 1 : w.images) * (w.rows[1] - w.rows[0]),
                                 1 + 16384 / w.gradient_row, pack_gradient, &w);
            const double a_task = (double)(w.images * (w.rows[1] - w.rows[0]) * s->out_size[1] * w.kernels->lanes) *
                                  (double)(w.pieces_a_task * w.kernels->weight_channels * w.kernels->weight_taps);
            ag__parallel_for(s->groups * ag__ceil_div(w.pieces, w.pieces_a_task) * w.register_pieces,
                             1 + (int64_t)(AG_CONV_TASK / 4 / a_task), add_up, &w);
        }
    }
    write_sums(&w);
    ag__scratch_free(w.sums);
    return true;
}
