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
 * so the gradient of one part has PyTorch's bits. It goes faster than the way of conv2d_weight.c, whose lanes are
 * images, as long as a run fills its registers. Of few channels the rows of the window are *stacked*: they take their
 * places among the channels, strip[image][group][output row][column][channel][kernel row], and there is one run.
 *
 * Where the batch is last and images are too large for a block of whole ones, a block has some columns of some images,
 * as a rule all: fewer than that would use a part of each line of memory. It goes down the rows, and the strip is a
 * ring of those that a few rows of the output meet; where that takes no more registers, its images are *innermost*, but
 * for the channels. The gradient is read where it lies, of one pixel after the other in all images of the block; so the
 * sum has another order.
 */
#include "ops/cpu/conv2d_window.h"
#include "ops/cpu/conv2d_window_plan.h"
#include "ops/cpu/isa.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"
#include <argent/num_threads.h>

#include <string.h>

AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f32)
AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f64)

enum {
    STAYS = 256 << 10, /* bytes of a block of whole images, which all tasks read */
    NEAR = 16 << 10,   /* bytes of rows that stay in the first-level cache */
    ENOUGH_TASKS = 32,
    FEWEST_COLUMNS = 8, /* of a block across images, */
    MOST_ROWS = 4,
    ENOUGH_IMAGES = 16, /* to go along them rather than along columns */
    FEW_PAIRS = 512,    /* of an input and an output channel */
    LARGE = 256,        /* output channels by kernel columns */
    FEWEST_PARTS = 8,
    MOST_PARTS = 16,
    PARTS_STAY = 4 << 20, /* bytes of the sums of all parts */
};

/* Elements of a strip's row that some columns of the output meet; a register may reach beyond its run. */
static int64_t row_elements(const ag__window_plan *w, int64_t columns)
{
    return ag__window_columns(w, columns) * w->pixel + w->kernels->lanes;
}

/* Rows of a strip that some rows of the output meet. */
static int64_t rows_met(const ag__window_plan *w, int64_t rows)
{
    const ag__conv2d_shape *s = w->shape;
    if (w->stacked) return rows;
    return (rows - 1) * s->stride[0] + (s->kernel[0] - 1) * s->dilation[0] + 1;
}

/* Bytes that an image takes in a block of so many rows. */
static double image_bytes(const ag__window_plan *w, int64_t rows)
{
    return ((double)rows_met(w, rows) * (double)w->row * (double)w->shape->groups +
            (w->pack_gradient ? (double)rows * (double)w->gradient_row : 0)) *
           (double)w->size;
}

/* Images that are packed together at least: batch-last as many as a register has lanes, if there are. */
static int64_t fewest_images(const ag__window_plan *w)
{
    const bool together = ag__window_together(w, w->in.stride) ||
                          (w->pack_gradient && ag__window_together(w, w->gradient.stride));
    return together ? ag__min(w->shape->batch, w->kernels->lanes) : 1;
}

static void make_plan(ag__window_plan *w, const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in output_gradient)
{
    *w = (ag__window_plan){
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
    /* Stacked rows are packed once for each kernel row: an eighth fewer registers are worth that if their pixels still
     * fit one, else a quarter. */
    const int64_t stacked = ag__ceil_div(s->kernel[0] * a_row, lanes),
                  others = s->kernel[0] * ag__ceil_div(a_row, lanes),
                  eighths = s->kernel[0] * w->in_channels <= lanes ? 7 : 6;
    w->stacked = s->dilation[1] == 1 && stacked * 8 <= others * eighths;
    w->channels = w->pixel = w->stacked ? w->in_channels * s->kernel[0] : w->in_channels;
    w->columns[1] = s->out_size[1];
    w->row = row_elements(w, s->out_size[1]);
    w->gradient_row = s->out_size[1] * s->out_channels + lanes;
    w->across = ag__window_together(w, input.stride) && ag__window_together(w, output_gradient.stride) &&
                image_bytes(w, s->out_size[0]) * (double)fewest_images(w) > (double)ag__conv_strip_bytes;
    w->innermost = w->across && !w->stacked &&
                   (s->dilation[1] > 1 ||
                    s->kernel[1] * ag__ceil_div(w->channels, lanes) == ag__ceil_div(s->kernel[1] * w->channels, lanes));
    w->by_rows = s->dilation[1] == 1 && !w->innermost;

    const int64_t kernel_rows = w->stacked ? 1 : s->kernel[0];
    w->runs = w->by_rows ? kernel_rows : kernel_rows * s->kernel[1];
    w->run = w->by_rows ? s->kernel[1] * w->channels : w->channels;
    w->run_registers = ag__ceil_div(w->run, lanes);
    w->registers = w->runs * w->run_registers;
    for (int i = 0; i < AG_CONV_WINDOW_TILES && w->kernels->window_tiles[i][0]; i++) { /* as few tiles as can be */
        const int *tile = w->kernels->window_tiles[i];
        const int64_t pieces = ag__ceil_div(w->out_channels, tile[0]),
                      register_pieces = ag__ceil_div(w->registers, tile[1]);
        if (i > 0 && pieces * register_pieces >= w->pieces * w->register_pieces) continue;
        w->pieces = pieces;
        w->register_pieces = register_pieces;
    }
    w->pieces_a_task = ag__max(1, ag__min(w->pieces, w->pieces * w->register_pieces * s->groups / ENOUGH_TASKS));
}

/* Of few channels and whole registers of images, batch last, conv2d_weight.c is faster if its tiles, of kernel columns,
 * are nearly full, unless a strided kernel is large enough to be worth the repacking; and always of a single channel,
 * of which windows would hardly fill a register. */
static bool suits_lanes_of_images(const ag__window_plan *w)
{
    const ag__conv2d_shape *s = w->shape;
    const int64_t lanes = w->kernels->lanes, taps = w->kernels->weight_taps;
    if (w->in.stride[0] != 1 || w->gradient.stride[0] != 1 || s->batch < lanes || s->batch % lanes != 0 ||
        w->in_channels * w->out_channels >= FEW_PAIRS)
        return false;
    const bool full = 4 * ag__min(s->kernel[1], taps) >= 3 * taps,
               large = s->stride[1] > 1 && w->out_channels * s->kernel[1] >= LARGE &&
                       s->batch * (int64_t)w->size >= 64; /* images that fill lines of memory */
    return w->in_channels == 1 || (full && !large);
}

bool ag__conv2d_windows_suit(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in output_gradient)
{
    ag__window_plan w;
    make_plan(&w, s, input, output_gradient);
    const int64_t lanes = w.kernels->lanes;
    if (suits_lanes_of_images(&w)) return false;
    return w.out_channels >= w.kernels->weight_channels &&
           w.run * 4 >= w.run_registers * lanes && /* a quarter of the lanes is in use */
           w.channels <= AG_WINDOW_CHANNELS && s->out_channels <= AG_WINDOW_CHANNELS &&
           image_bytes(&w, 1) <= (double)ag__conv_strip_bytes;
}

/* The strip's row where an output row meets kernel row `a`. */
static int64_t row_met(const ag__window_plan *w, int64_t y, int64_t a)
{
    const ag__conv2d_shape *s = w->shape;
    if (w->stacked) return y - w->rows[0];
    if (w->across) return (y * s->stride[0] + a * s->dilation[0]) % w->in_rows;
    return (y - w->rows[0]) * s->stride[0] + a * s->dilation[0];
}

/* Where register r of a window begins, the window of the first column of output row y. */
static int64_t place(const ag__window_plan *w, int64_t r, int64_t y)
{
    const ag__conv2d_shape *s = w->shape;
    const int64_t run = r / w->run_registers, within = r % w->run_registers * w->kernels->lanes;
    if (w->by_rows) return row_met(w, y, run) * w->row + within;
    return row_met(w, y, run / s->kernel[1]) * w->row + run % s->kernel[1] * s->dilation[1] * w->pixel + within;
}

/* Some registers of the windows of a group, some pieces of its output channels. */
typedef struct {
    int64_t group, registers[2], pieces[2];
} task;

static void set_offsets(const ag__window_plan *w, const task *t, ag__conv_window_run *run, int64_t y)
{
    for (int64_t r = t->registers[0]; r < t->registers[1]; r++) run->offset[r - t->registers[0]] = place(w, r, y);
}

/* One piece after the other meets the pixels of a run, whose gradient in channel 0 is given. */
static void add_pieces(const ag__window_plan *w, const task *t, ag__conv_window_run *run, const char *gradient)
{
    for (int64_t piece = t->pieces[0]; piece < t->pieces[1]; piece++) {
        const int64_t first = ag__piece(w->out_channels, w->pieces, piece),
                      channel = t->group * w->out_channels + first;
        run->channels = (int)(ag__piece(w->out_channels, w->pieces, piece + 1) - first);
        run->sums = w->sums + (channel * w->registers + t->registers[0]) * w->kernels->lanes * (int64_t)w->size;
        run->gradient = ag__window_at(gradient, channel * run->gradient_channel, w->size);
        w->kernels->window_run(run);
    }
}

/* Image by image, some rows at a time. */
static void add_images(const ag__window_plan *w, const task *t, ag__conv_window_run *run)
{
    const ag__conv2d_shape *s = w->shape;
    const int64_t rows = w->rows[1] - w->rows[0];
    run->n = s->out_size[1];
    run->in_row = w->stacked ? w->row : s->stride[0] * w->row;
    run->in_pixel = s->stride[1] * w->channels;
    run->gradient_channel = w->pack_gradient ? 1 : w->gradient.stride[1];
    run->gradient_row = w->pack_gradient ? w->gradient_row : w->gradient.stride[2];
    run->gradient_pixel = w->pack_gradient ? s->out_channels : 1;
    const int64_t a_pixel = ag__min(run->in_pixel, run->vectors * w->kernels->lanes),
                  near = t->pieces[1] == t->pieces[0] + 1 ? rows
                                                          : ag__max(1, NEAR / (run->n * a_pixel * (int64_t)w->size));
    set_offsets(w, t, run, w->rows[0]);
    for (int64_t image = 0; image < w->images; image++) {
        for (int64_t y = w->rows[0]; y < w->rows[1]; y += near) {
            run->rows = ag__min(near, w->rows[1] - y);
            run->in = ag__window_at(
                w->strips, image * w->apart + t->group * w->in_rows * w->row + (y - w->rows[0]) * run->in_row, w->size);
            const char *gradient =
                w->pack_gradient
                    ? ag__window_at(w->gradients, (image * rows + y - w->rows[0]) * w->gradient_row, w->size)
                    : ag__window_at(w->gradient.data,
                                    (w->first_image + image) * w->gradient.stride[0] + y * run->gradient_row, w->size);
            add_pieces(w, t, run, gradient);
        }
    }
}

/* Row by row, a few pixels of all images at a time; or of few images, a few images and all columns. */
static void add_across(const ag__window_plan *w, const task *t, ag__conv_window_run *run)
{
    const int64_t columns = w->columns[1] - w->columns[0], pixel = w->shape->stride[1] * w->pixel,
                  *stride = w->gradient.stride;
    const bool along = w->images < ENOUGH_IMAGES && w->images < columns; /* the columns */
    const int64_t rows = along ? w->images : columns;
    run->n = along ? columns : w->images;
    run->in_pixel = along ? pixel : w->apart;
    run->in_row = along ? w->apart : pixel;
    run->gradient_channel = stride[1];
    run->gradient_pixel = along ? stride[3] : 1;
    run->gradient_row = along ? 1 : stride[3];
    const int64_t a_pixel = ag__min(run->in_pixel, run->vectors * w->kernels->lanes),
                  near = ag__max(1, NEAR / (run->n * a_pixel * (int64_t)w->size));
    for (int64_t y = w->rows[0]; y < w->rows[1]; y++) {
        set_offsets(w, t, run, y);
        for (int64_t row = 0; row < rows; row += near) {
            run->rows = ag__min(near, rows - row);
            run->in = ag__window_at(w->strips, t->group * w->in_rows * w->row + row * run->in_row, w->size);
            add_pieces(
                w, t, run,
                ag__window_at(w->gradient.data,
                              w->first_image + y * stride[2] + w->columns[0] * stride[3] + row * run->gradient_row,
                              w->size));
        }
    }
}

/* Tasks: of each group some registers and some pieces of the output channels. */
static void add_up(void *user, int64_t begin, int64_t end)
{
    const ag__window_plan *w = user;
    const int64_t piece_tasks = ag__ceil_div(w->pieces, w->pieces_a_task);
    for (int64_t i = begin; i < end; i++) {
        const int64_t registers = i % w->register_pieces,
                      pieces = i / w->register_pieces % piece_tasks * w->pieces_a_task;
        const task t = { i / w->register_pieces / piece_tasks,
                         { ag__piece(w->registers, w->register_pieces, registers),
                           ag__piece(w->registers, w->register_pieces, registers + 1) },
                         { pieces, ag__min(pieces + w->pieces_a_task, w->pieces) } };
        ag__conv_window_run run = { .vectors = (int)(t.registers[1] - t.registers[0]),
                                    .sums_channel = w->registers * w->kernels->lanes };
        (w->across ? add_across : add_images)(w, &t, &run);
    }
}

static void write_sums(const ag__window_plan *w)
{
    const ag__conv2d_shape *s = w->shape;
    const int64_t run = w->run_registers * w->kernels->lanes, size = (int64_t)w->size, *stride = w->out.stride;
    /* elements from a kernel row, a kernel column, an input channel of the sums to the next */
    const int64_t row = w->stacked   ? 1
                        : w->by_rows ? run
                                     : s->kernel[1] * run,
                  column = w->by_rows ? w->channels : run, channel = w->stacked ? s->kernel[0] : 1;
    for (int64_t o = 0; o < s->out_channels; o++) {
        const char *from = ag__window_at(w->sums, o * w->registers * w->kernels->lanes, w->size);
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

static void add_block(ag__window_plan *w)
{
    const double n = (double)(w->images * (w->rows[1] - w->rows[0])) * (double)(w->columns[1] - w->columns[0]),
                 a_task = n * (double)(w->kernels->lanes * w->pieces_a_task) *
                          (double)(w->kernels->weight_channels * w->kernels->weight_taps);
    ag__parallel_for(w->shape->groups * ag__ceil_div(w->pieces, w->pieces_a_task) * w->register_pieces,
                     1 + (int64_t)(AG_CONV_TASK / 4 / a_task), add_up, w);
}

/* ---- jobs ---- */

/* What is summed, cut into jobs. Where there are enough of them and the sums are small, *parts* of the jobs have sums
 * of their own, which are added up at the end: then a thread packs for itself, and what it has packed stays in its
 * caches. How many parts there are depends on the shape alone. */
typedef struct jobs {
    const ag__window_plan *plan;
    void (*job)(ag__window_plan *w, const struct jobs *j, int64_t i);
    int64_t n, parts;
    int64_t images, rows, columns;    /* of a block */
    int64_t blocks, row_blocks, cuts; /* of images, of rows, of columns */
    int64_t sums, strips, gradients;  /* bytes: a part's; a thread's */
    ag__slots slots;
} window_jobs;

static void sum_parts(void *user, int64_t begin, int64_t end)
{
    window_jobs *j = user;
    ag__window_plan w = *j->plan;
    const int slot = ag__take_slot(&j->slots);
    w.strips = w.sums + j->parts * j->sums + slot * (j->strips + j->gradients);
    w.gradients = w.strips + j->strips;
    for (int64_t part = begin; part < end; part++) {
        w.sums = j->plan->sums + part * j->sums;
        memset(w.sums, 0, (size_t)j->sums);
        for (int64_t i = ag__piece(j->n, j->parts, part); i < ag__piece(j->n, j->parts, part + 1); i++)
            j->job(&w, j, i);
    }
    ag__give_slot(&j->slots, slot);
}

/* sums[0] += all others */
static void add_parts(const ag__window_plan *w, const window_jobs *j)
{
    const int64_t n = j->sums / (int64_t)w->size;
    for (int64_t i = n; i < j->parts * n; i += n) {
        if (w->size == sizeof(float))
            for (int64_t e = 0; e < n; e++) ((float *)(void *)w->sums)[e] += ((float *)(void *)w->sums)[i + e];
        else
            for (int64_t e = 0; e < n; e++) ((double *)(void *)w->sums)[e] += ((double *)(void *)w->sums)[i + e];
    }
}

static int64_t whole_lines(int64_t bytes) { return ag__ceil_div(bytes, 64) * 64; }

static bool are_parts_worth(const ag__window_plan *w)
{
    const ag__conv2d_shape *s = w->shape;
    return (double)s->batch * (double)(s->out_size[0] * s->out_size[1]) *
               (double)(s->out_channels * w->in_channels * s->kernel[0] * s->kernel[1]) >=
           (double)ag__conv_parts_worth;
}

/* Does the jobs; strips and gradients of a block have so many elements. */
static bool sum_jobs(ag__window_plan *w, window_jobs *j, int64_t strips, int64_t gradients)
{
    const int64_t size = (int64_t)w->size, threads = ag_get_num_threads();
    j->plan = w;
    j->sums = whole_lines(w->shape->out_channels * w->registers * w->kernels->lanes * size);
    j->strips = whole_lines(strips * size);
    j->gradients = whole_lines(gradients * size);
    j->parts = ag__min(ag__min(MOST_PARTS, j->n), PARTS_STAY / j->sums);
    if (j->parts < FEWEST_PARTS || !are_parts_worth(w)) j->parts = 1;
    j->slots = (ag__slots){ .n = (int)ag__min(j->parts, threads) };
    w->sums = ag__scratch((size_t)(j->parts * j->sums + j->slots.n * (j->strips + j->gradients)));
    if (!w->sums) return false;
    if (j->parts > 1)
        ag__parallel_for(j->parts, 1, sum_parts, j);
    else
        sum_parts(j, 0, 1);
    add_parts(w, j);
    return true;
}

/* ---- blocks of whole images, or of rows of one or some ---- */

static void sum_block(ag__window_plan *w, const window_jobs *j, int64_t i)
{
    const ag__conv2d_shape *s = w->shape;
    const int64_t block = i / j->row_blocks;
    w->first_image = ag__piece(s->batch, j->blocks, block);
    w->images = ag__piece(s->batch, j->blocks, block + 1) - w->first_image;
    w->rows[0] = i % j->row_blocks * j->rows;
    w->rows[1] = ag__min(w->rows[0] + j->rows, s->out_size[0]);
    w->in_rows = rows_met(w, w->rows[1] - w->rows[0]);
    w->apart = s->groups * w->in_rows * w->row;
    ag__parallel_for((ag__window_together(w, w->in.stride) ? 1 : w->images) * s->groups * w->in_rows,
                     1 + 16384 / w->row, ag__window_pack, w);
    if (w->pack_gradient)
        ag__parallel_for((ag__window_together(w, w->gradient.stride) ? 1 : w->images) * (w->rows[1] - w->rows[0]),
                         1 + 16384 / w->gradient_row, ag__window_pack_gradient, w);
    add_block(w);
}

static bool sum_images(ag__window_plan *w)
{
    const ag__conv2d_shape *s = w->shape;
    const double most = (double)ag__conv_strip_bytes, stays = (double)ag__min(STAYS, ag__conv_strip_bytes);
    const int64_t least = fewest_images(w);
    int64_t rows = s->out_size[0];
    while (image_bytes(w, rows) * (double)least > most && rows > 1) rows = (rows + 1) / 2;
    const int64_t fit = rows < s->out_size[0] ? 1 : (int64_t)(stays / image_bytes(w, rows)),
                  blocks = ag__max(1, least > 1 ? s->batch / ag__max(least, fit / least * least)
                                                : ag__ceil_div(s->batch, ag__max(1, fit))),
                  images = ag__ceil_div(s->batch, blocks);
    window_jobs j = { .job = sum_block, .images = images, .rows = rows, .blocks = blocks };
    j.row_blocks = ag__ceil_div(s->out_size[0], rows);
    j.n = blocks * j.row_blocks;
    return sum_jobs(w, &j, images * s->groups * rows_met(w, rows) * w->row,
                    w->pack_gradient ? images * rows * w->gradient_row : 0);
}

/* ---- blocks of columns of many images ---- */

/* Elements of a block of so many rows and columns of so many images, and what it reads of the gradient. */
static double across_bytes(const ag__window_plan *w, int64_t images, int64_t rows, int64_t columns)
{
    return (double)images * (double)w->size *
           ((double)(w->shape->groups * rows_met(w, rows)) * (double)(ag__window_columns(w, columns) * w->channels) +
            (double)(rows * columns) * (double)w->shape->out_channels);
}

static void sum_columns(ag__window_plan *w, const window_jobs *j, int64_t i)
{
    const ag__conv2d_shape *s = w->shape;
    const int64_t block = i / j->cuts, cut = i % j->cuts, high = s->out_size[0];
    w->first_image = block * j->images;
    w->images = block + 1 < j->blocks ? j->images : s->batch - w->first_image;
    w->pixel = w->innermost ? w->images * w->channels : w->channels;
    w->row = row_elements(w, j->columns);
    w->apart = w->innermost ? w->channels : ag__conv_plane(s->groups * w->in_rows, w->row, 1, w->size);
    w->columns[0] = ag__piece(s->out_size[1], j->cuts, cut);
    w->columns[1] = ag__piece(s->out_size[1], j->cuts, cut + 1);
    w->packed = 0;
    for (w->rows[0] = 0; w->rows[0] < high; w->rows[0] += j->rows) {
        w->rows[1] = ag__min(w->rows[0] + j->rows, high);
        const int64_t first = w->stacked ? w->rows[0] : w->rows[0] * s->stride[0],
                      last = first + rows_met(w, w->rows[1] - w->rows[0]);
        w->packed = ag__max(w->packed, first);
        ag__parallel_for((last - w->packed) * s->groups, 1 + 16384 / (w->row * w->images), ag__window_pack_more, w);
        w->packed = last;
        add_block(w);
    }
}

static bool sum_across(ag__window_plan *w)
{
    const ag__conv2d_shape *s = w->shape;
    const int64_t high = s->out_size[0], wide = s->out_size[1], lanes = w->kernels->lanes, line = 64 / (int64_t)w->size;
    const double most = 0.75 * (double)ag__conv_strip_bytes;
    int64_t images = s->batch, cuts = 1, rows = 1;
    while (images > lanes && across_bytes(w, images, 1, ag__min(wide, FEWEST_COLUMNS)) > most)
        images = ag__ceil_div(images / 2, lanes) * lanes;
    while (cuts < wide && across_bytes(w, images, 1, ag__ceil_div(wide, cuts)) > most) cuts++;
    const int64_t sums = s->out_channels * w->registers * lanes * (int64_t)w->size;
    /* enough of them, if pieces of rows remain long enough */
    const int64_t wanted = ag__ceil_div(FEWEST_PARTS, ag__max(1, s->batch / images));
    if (are_parts_worth(w) && PARTS_STAY / sums >= FEWEST_PARTS && images >= 2 * line && wanted * 4 <= wide)
        cuts = ag__max(cuts, wanted);
    const int64_t columns = ag__ceil_div(wide, cuts);
    while (rows < ag__min(high, MOST_ROWS) && across_bytes(w, images, rows + 1, columns) <= most) rows++;
    w->in_rows = rows_met(w, rows);
    const int64_t most_images = ag__min(s->batch, images + lanes - 1);
    window_jobs j = { .job = sum_columns, .images = images, .rows = rows, .columns = columns, .cuts = cuts };
    /* the last block of images has at least a register full */
    j.blocks = s->batch < images + lanes ? 1 : (s->batch - lanes) / images + 1;
    j.n = j.blocks * cuts;
    return sum_jobs(w, &j,
                    s->groups * w->in_rows * (ag__window_columns(w, columns) * w->channels + lanes + 2 * line) *
                            most_images +
                        lanes,
                    0);
}

bool ag__conv2d_weight_gradient_by_windows(const ag__conv2d_shape *s, ag__conv2d_in input,
                                           ag__conv2d_in output_gradient, ag__conv2d_out weight_gradient)
{
    ag__window_plan w;
    make_plan(&w, s, input, output_gradient);
    w.out = weight_gradient;
    if (!(w.across ? sum_across : sum_images)(&w)) return false;
    write_sums(&w);
    ag__scratch_free(w.sums);
    return true;
}
