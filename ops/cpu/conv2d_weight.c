/* conv2d_weight.c - the gradient of a convolution's weight.
 *
 * The weight's gradient at (o, c, kernel row, kernel column) is the sum over all images and output pixels of the
 * output's gradient times the input pixel it met. Input and gradient are taken in strips like those of conv2d.c. A
 * *unit* is a few kernel columns (or, of a kernel one column wide, a few input channels) of one (input channel, kernel
 * row); unit by output channels is a tile of sums that stays in registers while pixels go by, one sum for each lane. A
 * task has a few units and some output channels and goes over the whole block, so nothing has to be shared between
 * threads, and the lanes are added up at the end, in one order.
 *
 * Rows of batch-last tensors *run on* if there are whole registers of images: the registers of a pixel and those of the
 * next are one run. They are read in place, a few pixels of all images at a time. One group of lanes after the other
 * would use one line out of several, and these lie in few sets of the first-level cache.
 */
#include "ops/cpu/conv2d_depthwise.h"
#include "ops/cpu/conv2d_lanes.h"
#include "ops/cpu/conv2d_points.h"
#include "ops/cpu/conv2d_product.h"
#include "ops/cpu/conv2d_window.h"
#include "ops/cpu/isa.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"

#include <string.h>

AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f32)
AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f64)

enum {
    MOST_UNITS = 16, /* a task has */
    MOST_SUMS = 25,  /* a unit has */
    ENOUGH_TASKS = 40,
    NEAR = 16 << 10, /* bytes of the gradient that stay in the first-level cache while a task's units go over them, */
    RUN_NEAR = 26 << 10, /* that many if they are whole lines one after the other */
    REGISTER_BYTES = 64,
};

/* A tensor's numbers as registers: strides in elements from channel 0, row 0, column 0 of a group of lanes. */
typedef struct {
    const char *at;
    int64_t group, channel, row, column;
} strip;

typedef struct {
    ag__conv_lanes lanes;
    const ag__conv2d_kernels *kernels;
    size_t size;
    ag__conv2d_in in, gradient;
    ag__conv2d_out out;
    int64_t groups, in_channels, out_channels; /* of the convolution; channels of one */
    int64_t kernel[2];

    int64_t pieces;                       /* of the output channels of a group */
    bool across_channels;                 /* units take several input channels, not several kernel columns */
    int64_t n_across, unit_pieces, units; /* what units take several of: how many there are, cut into; units in all */
    int64_t units_a_task, tasks_a_piece;
    bool runs_on; /* a row of both tensors is one run of registers, all groups of a pixel and then those of the next */

    /* the block at hand */
    char *in_strips, *gradient_strips; /* NULL: the tensor itself */
    int64_t first_group, n_groups, rows[2], in_rows[2], in_columns[2], in_plane, gradient_plane;
    ag__conv_packing in_packing, gradient_packing;
    int64_t in_items;
    bool first;
} weight_plan;

static const char *at(const void *p, int64_t elements, size_t size)
{
    return (const char *)p + elements * (int64_t)size;
}

static void pack(void *user, int64_t begin, int64_t end)
{
    const weight_plan *w = user;
    for (int64_t i = begin; i < end; i++) {
        if (i < w->in_items)
            ag__conv_pack_item(&w->in_packing, i);
        else
            ag__conv_pack_item(&w->gradient_packing, i - w->in_items);
    }
}

static strip in_strip(const weight_plan *w)
{
    if (!w->in_strips)
        return (strip){ at(w->in.data, w->first_group * w->lanes.lanes, w->size), w->lanes.lanes, w->in.stride[1],
                        w->in.stride[2], w->in.stride[3] };
    const int64_t row = (w->in_columns[1] - w->in_columns[0]) * w->lanes.lanes;
    return (strip){ at(w->in_strips, -w->in_rows[0] * row - w->in_columns[0] * w->lanes.lanes, w->size),
                    w->groups * w->in_channels * w->in_plane, w->in_plane, row, w->lanes.lanes };
}

static strip gradient_strip(const weight_plan *w)
{
    if (!w->gradient_strips)
        return (strip){ at(w->gradient.data, w->first_group * w->lanes.lanes, w->size), w->lanes.lanes,
                        w->gradient.stride[1], w->gradient.stride[2], w->gradient.stride[3] };
    const int64_t row = w->lanes.band[1] * w->lanes.lanes;
    return (strip){ at(w->gradient_strips, -w->rows[0] * row, w->size), w->groups * w->out_channels * w->gradient_plane,
                    w->gradient_plane, row, w->lanes.lanes };
}

typedef struct {
    int64_t channel, row, column; /* the first input channel of the convolution's group, kernel row and column */
    int taps;
} unit;

static unit unit_of(const weight_plan *w, int64_t i)
{
    const int64_t piece = i % w->unit_pieces, rest = i / w->unit_pieces;
    const int64_t first = ag__piece(w->n_across, w->unit_pieces, piece);
    const int taps = (int)(ag__piece(w->n_across, w->unit_pieces, piece + 1) - first);
    if (w->across_channels) return (unit){ first, rest, 0, taps };
    return (unit){ rest / w->kernel[0], rest % w->kernel[0], first, taps };
}

/* Output pixels: rows [y[0], y[1]), columns [x[0], x[1]). */
typedef struct {
    int64_t y[2], x[2];
} rectangle;

/* Some pixels of one group of lanes, or of all if rows run on, meet unit u. */
static void sweep(const weight_plan *w, const unit *u, strip in, strip gradient, int channels, const rectangle *r,
                  char *sums)
{
    const ag__conv_axis *rows = &w->lanes.axis[0], *columns = &w->lanes.axis[1];
    int64_t y0 = r->y[0], y1 = r->y[1];
    const int64_t up = u->row * rows->dilation - rows->offset; /* input row less step times output row */
    while (y0 < y1 && y0 * rows->step + up < w->in_rows[0]) y0++;
    while (y0 < y1 && (y1 - 1) * rows->step + up >= w->in_rows[1]) y1--;
    if (y0 == y1) return;
    const int64_t column = r->x[0] * columns->step + u->column * columns->dilation - columns->offset;
    w->kernels->weight_run(&(ag__conv_weight_run){
        .channels = channels,
        .taps = u->taps,
        .rows = y1 - y0,
        .n = (r->x[1] - r->x[0]) * (w->runs_on ? w->n_groups : 1),
        .in = at(in.at, u->channel * in.channel + (y0 * rows->step + up) * in.row + column * in.column, w->size),
        .gradient = at(gradient.at, y0 * gradient.row + r->x[0] * gradient.column, w->size),
        .in_tap = w->across_channels ? in.channel : columns->dilation * in.column,
        .in_row = rows->step * in.row,
        .in_pixel = w->runs_on ? w->lanes.lanes : columns->step * in.column,
        .gradient_channel = gradient.channel,
        .gradient_row = gradient.row,
        .gradient_pixel = w->runs_on ? w->lanes.lanes : gradient.column,
        .sums = sums,
    });
}

static void write_sums(const weight_plan *w, const unit *u, int channels, const char *sums, int64_t out_channel)
{
    _Alignas(8) char totals[MOST_SUMS * sizeof(double)];
    w->kernels->add_lanes(sums, channels * u->taps, totals);
    for (int o = 0; o < channels; o++) {
        for (int q = 0; q < u->taps; q++) {
            const int64_t channel = u->channel + (w->across_channels ? q : 0),
                          column = u->column + (w->across_channels ? 0 : q);
            char *to = (char *)w->out.data + ((out_channel + o) * w->out.stride[0] + channel * w->out.stride[1] +
                                              u->row * w->out.stride[2] + column * w->out.stride[3]) *
                                                 (int64_t)w->size;
            const int i = o * u->taps + q;
            if (w->size == sizeof(float)) {
                const float total = ((const float *)(const void *)totals)[i];
                float *weight = (float *)(void *)to;
                *weight = w->first ? total : *weight + total;
            } else {
                const double total = ((const double *)(const void *)totals)[i];
                double *weight = (double *)(void *)to;
                *weight = w->first ? total : *weight + total;
            }
        }
    }
}

/* Tasks: for each piece of output channels, a few units. */
static void add_up(void *user, int64_t begin, int64_t end)
{
    const weight_plan *w = user;
    _Alignas(REGISTER_BYTES) char sums[MOST_UNITS * MOST_SUMS * REGISTER_BYTES]; /* [unit][output channel][tap][lane] */
    unit units[MOST_UNITS];
    const int64_t a_register = w->lanes.lanes * (int64_t)w->size;
    for (int64_t i = begin; i < end; i++) {
        const int64_t group = i / w->tasks_a_piece / w->pieces, piece = i / w->tasks_a_piece % w->pieces;
        const int64_t first = ag__piece(w->out_channels, w->pieces, piece);
        const int channels = (int)(ag__piece(w->out_channels, w->pieces, piece + 1) - first);
        const int64_t u0 = i % w->tasks_a_piece * w->units_a_task, n = ag__min(w->units - u0, w->units_a_task);
        for (int64_t u = 0; u < n; u++) units[u] = unit_of(w, u0 + u);
        memset(sums, 0, (size_t)n * MOST_SUMS * (size_t)a_register);

        const int64_t wide = w->lanes.band[1], a_pixel = channels * a_register * (w->runs_on ? w->n_groups : 1),
                      near = w->runs_on ? RUN_NEAR : NEAR,
                      cuts = w->runs_on ? ag__min(wide, ag__ceil_div(wide * a_pixel, near)) : 1,
                      rows = ag__max(1, near / (wide * a_pixel));
        for (int64_t g = 0; g < (w->runs_on ? 1 : w->n_groups); g++) {
            strip in = in_strip(w), gradient = gradient_strip(w);
            in.at = at(in.at, g * in.group + group * w->in_channels * in.channel, w->size);
            gradient.at = at(gradient.at, g * gradient.group + (group * w->out_channels + first) * gradient.channel,
                             w->size);
            for (int64_t y = w->rows[0]; y < w->rows[1]; y += rows) {
                for (int64_t c = 0; c < cuts; c++) {
                    const rectangle r = { { y, ag__min(y + rows, w->rows[1]) },
                                          { ag__piece(wide, cuts, c), ag__piece(wide, cuts, c + 1) } };
                    for (int64_t u = 0; u < n; u++)
                        sweep(w, &units[u], in, gradient, channels, &r, sums + u * MOST_SUMS * a_register);
                }
            }
        }
        for (int64_t u = 0; u < n; u++)
            write_sums(w, &units[u], channels, sums + u * MOST_SUMS * a_register, group * w->out_channels + first);
    }
}

static void choose_units(weight_plan *w)
{
    w->pieces = ag__ceil_div(w->out_channels, w->kernels->weight_channels);
    w->across_channels = w->kernel[1] == 1;
    w->n_across = w->across_channels ? w->in_channels : w->kernel[1];
    w->unit_pieces = ag__ceil_div(w->n_across, w->kernels->weight_taps);
    w->units = w->unit_pieces * w->kernel[0] * (w->across_channels ? 1 : w->in_channels);
    w->units_a_task = ag__max(1, ag__min(MOST_UNITS, w->units * w->pieces * w->groups / ENOUGH_TASKS));
    w->tasks_a_piece = ag__ceil_div(w->units, w->units_a_task);
}

/* Whether the pixels of a row lie one after the other, whole registers of images each. */
static bool runs_on(const ag__conv_lanes *l, const int64_t *stride)
{
    return ag__conv_side_by_side(l, l->n_groups - 1, stride) && stride[3] == l->batch;
}

/* Whether a row of a tile's channels stays in the first-level cache if it is read in place: channels of a batch-last
 * tensor often lie a multiple of 4096 bytes apart and meet in the same sets, of 12 lines. With one channel a group,
 * rows are read too few times for a copy to pay. */
static bool row_stays(const weight_plan *w, int64_t pixel_stride)
{
    return w->in_channels == 1 ||
           (w->kernels->weight_channels + 1) * w->lanes.band[1] * pixel_stride * (int64_t)w->size <= 10 * 4096;
}

/* Bytes of a block of one group of lanes, so many rows of it: of its strips, or of the tensors where they run on. Sets
 * the planes. */
static double block_bytes(weight_plan *w, int64_t rows, bool direct_in, bool direct_gradient)
{
    const ag__conv_axis *a = &w->lanes.axis[0];
    const int64_t in_rows = (rows - 1) * a->step + (a->kernel - 1) * a->dilation + 1,
                  in_plane = ag__conv_plane(in_rows, w->in_columns[1] - w->in_columns[0], w->lanes.lanes, w->size),
                  gradient_plane = ag__conv_plane(rows, w->lanes.band[1], w->lanes.lanes, w->size);
    w->in_plane = direct_in ? 0 : in_plane;
    w->gradient_plane = direct_gradient ? 0 : gradient_plane;
    return ((double)(w->runs_on ? in_plane : w->in_plane) * (double)(w->groups * w->in_channels) +
            (double)(w->runs_on ? gradient_plane : w->gradient_plane) * (double)(w->groups * w->out_channels)) *
           (double)w->size;
}

/* to[o][c][a][b] += from[o][c][a][b], which lies densely */
static void add_weights(const ag__conv2d_shape *s, const void *from, ag__conv2d_out to)
{
    const int64_t channels = s->channels / s->groups, *stride = to.stride;
    int64_t i = 0;
    for (int64_t o = 0; o < s->out_channels; o++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t a = 0; a < s->kernel[0]; a++) {
                const int64_t row = o * stride[0] + c * stride[1] + a * stride[2];
                for (int64_t b = 0; b < s->kernel[1]; b++, i++) {
                    if (s->dtype == AG_FLOAT32)
                        ((float *)to.data)[row + b * stride[3]] += ((const float *)from)[i];
                    else
                        ((double *)to.data)[row + b * stride[3]] += ((const double *)from)[i];
                }
            }
}

static bool in_two_parts(const ag__conv2d_shape *part, const ag__conv2d_shape *rest, ag__conv2d_in input,
                         ag__conv2d_in output_gradient, ag__conv2d_out weight_gradient)
{
    const int64_t a_row = part->kernel[1], a_plane = part->kernel[0] * a_row,
                  a_channel = part->channels / part->groups * a_plane;
    void *more = ag__scratch((size_t)(part->out_channels * a_channel) *
                             (part->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double)));
    if (!more) return false;
    const ag__conv2d_out dense = { more, { a_channel, a_plane, a_row, 1 } };
    const bool ok = ag__conv2d_weight_gradient(part, input, output_gradient, weight_gradient) &&
                    ag__conv2d_weight_gradient(rest, ag__conv_in_from(part, input),
                                               ag__conv_in_from(part, output_gradient), dense);
    if (ok) add_weights(part, more, weight_gradient);
    ag__scratch_free(more);
    return ok;
}

bool ag__conv2d_weight_gradient(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in output_gradient,
                                ag__conv2d_out weight_gradient)
{
    if (s->out_channels * s->channels * s->kernel[0] * s->kernel[1] == 0) return true;
    weight_plan w = {
        .kernels = s->dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__conv2d_f32) : AG_ISA_PICK(ag__conv2d_f64),
        .size = s->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double),
        .in = input,
        .gradient = output_gradient,
        .out = weight_gradient,
        .groups = s->groups,
        .in_channels = s->channels / s->groups,
        .out_channels = s->out_channels / s->groups,
        .kernel = { s->kernel[0], s->kernel[1] },
        .first = true,
    };
    if (s->batch > 0 && ag__conv2d_is_long_product(s, input.stride, output_gradient.stride))
        return ag__conv2d_product_weight_gradient(s, input, output_gradient, false, weight_gradient);
    if (s->batch > 0 && ag__conv2d_are_points(s, output_gradient.stride))
        return ag__conv2d_points_weight_gradient(s, input, output_gradient, weight_gradient);
    if (s->batch * s->out_size[0] * s->out_size[1] > 0 &&
        ag__conv2d_depthwise_suits(s, input.stride, output_gradient.stride))
        return ag__conv2d_depthwise_weight_gradient(s, input, output_gradient, weight_gradient);
    ag__conv2d_shape part, rest;
    if (input.stride[0] == 1 && output_gradient.stride[0] == 1 &&
        ag__conv_is_parted(s, w.kernels->lanes, input.stride, output_gradient.stride, &part, &rest) &&
        !ag__conv2d_windows_suit(&part, input, output_gradient))
        return in_two_parts(&part, &rest, input, output_gradient, weight_gradient);
    if (ag__conv2d_windows_suit(s, input, output_gradient))
        return ag__conv2d_weight_gradient_by_windows(s, input, output_gradient, weight_gradient);
    choose_units(&w);
    const int64_t tasks = w.groups * w.pieces * w.tasks_a_piece;
    if (s->batch * s->out_size[0] * s->out_size[1] == 0) { /* nothing to add up: zeros */
        w.lanes = (ag__conv_lanes){ .lanes = w.kernels->lanes, .band = { 1, 1 } };
        add_up(&w, 0, tasks);
        return true;
    }
    ag__conv_axis axis[2];
    for (int i = 0; i < 2; i++)
        axis[i] = (ag__conv_axis){ s->size[i], s->out_size[i], s->kernel[i], s->stride[i],
                                   1,          s->dilation[i], s->padding[i] };
    ag__conv_lanes *l = &w.lanes;
    const double work = (double)s->out_channels * (double)w.in_channels * (double)(s->kernel[0] * s->kernel[1]);
    ag__conv_lanes_init(l, &axis[0], &axis[1], s->batch, w.kernels->lanes, work, s->channels + s->out_channels);
    ag__conv_in_range(l, 1, 0, l->band[1], w.in_columns);
    const bool inside = w.in_columns[0] >= 0 && w.in_columns[1] <= axis[1].in;
    w.runs_on = inside && axis[1].step == 1 && runs_on(l, input.stride) && runs_on(l, output_gradient.stride);
    const bool direct_in = w.runs_on ||
                           (inside && ag__conv_is_direct(l, input.stride) && row_stays(&w, input.stride[3])),
               direct_gradient = w.runs_on || (ag__conv_is_direct(l, output_gradient.stride) &&
                                               row_stays(&w, output_gradient.stride[3]));

    int64_t rows = l->band[0];
    const double least = w.runs_on ? (double)l->n_groups : 1;
    double bytes = block_bytes(&w, rows, direct_in, direct_gradient);
    while (bytes * least > (double)ag__conv_strip_bytes && rows > 1)
        bytes = block_bytes(&w, rows = (rows + 1) / 2, direct_in, direct_gradient);
    int64_t groups = l->n_groups;
    if (!w.runs_on && bytes * (double)groups > (double)ag__conv_strip_bytes)
        groups = ag__max(1, (int64_t)((double)ag__conv_strip_bytes / bytes));
    const int64_t in_elements = groups * w.groups * w.in_channels * w.in_plane;
    const int64_t gradient_elements = groups * w.groups * w.out_channels * w.gradient_plane;
    char *space = NULL;
    if (in_elements + gradient_elements > 0) {
        space = ag__scratch((size_t)(in_elements + gradient_elements) * w.size);
        if (!space) return false;
    }
    w.in_strips = direct_in ? NULL : space;
    w.gradient_strips = direct_gradient ? NULL : space + in_elements * (int64_t)w.size;

    for (w.first_group = 0; w.first_group < l->n_groups; w.first_group += groups) {
        w.n_groups = ag__min(groups, l->n_groups - w.first_group);
        for (w.rows[0] = 0; w.rows[0] < l->band[0]; w.rows[0] += rows) {
            w.rows[1] = ag__min(w.rows[0] + rows, l->band[0]);
            ag__conv_in_range(l, 0, w.rows[0], w.rows[1], w.in_rows);
            int64_t items = 0;
            if (!direct_in) {
                w.in_packing = (ag__conv_packing){ l,
                                                   w.kernels,
                                                   w.size,
                                                   input,
                                                   false,
                                                   s->channels,
                                                   w.first_group,
                                                   w.n_groups,
                                                   0,
                                                   w.in_plane,
                                                   { w.in_rows[0], w.in_rows[1] },
                                                   { w.in_columns[0], w.in_columns[1] },
                                                   w.in_strips };
                items = ag__conv_packing_items(&w.in_packing);
            }
            w.in_items = items;
            if (!direct_gradient) {
                w.gradient_packing = (ag__conv_packing){ l,
                                                         w.kernels,
                                                         w.size,
                                                         output_gradient,
                                                         true,
                                                         s->out_channels,
                                                         w.first_group,
                                                         w.n_groups,
                                                         0,
                                                         w.gradient_plane,
                                                         { w.rows[0], w.rows[1] },
                                                         { 0, l->band[1] },
                                                         w.gradient_strips };
                items += ag__conv_packing_items(&w.gradient_packing);
            }
            ag__parallel_for(items, 1 + 16384 / (w.in_plane + w.gradient_plane + 1), pack, &w);
            const double a_task = (double)w.n_groups * (double)((w.rows[1] - w.rows[0]) * l->band[1] * l->lanes) *
                                  (double)(w.units_a_task * w.kernels->weight_channels * w.kernels->weight_taps);
            ag__parallel_for(tasks, 1 + (int64_t)(AG_CONV_TASK / 4 / a_task), add_up, &w);
            w.first = false;
        }
    }
    if (space) ag__scratch_free(space);
    return true;
}
