/* conv2d.c - the output of a convolution and its input gradient: one sum, two ways of numbering (conv2d_lanes.h).
 *
 * Blocks of the input, some groups of lanes or some rows of one, are repacked into strips
 *
 *     strip[group][channel][row][column][lane]        zeros where the padding is
 *
 * unless the tensor itself can be read like that. Then tasks, a few rows of a few output channels of one group each, go
 * through the block. A task makes a piece of a row for all its channels, [channel][pixel][lane], in a small buffer and
 * turns it into the output.
 *
 * A sum goes over kernel rows, kernel columns and input channels, in this order (of the weight, for the input gradient
 * too), in one register from 0 on. Beyond 16 channels there are several such sums, which are added up; the bias is
 * added to the first. oneDNN does the same, so where there is FMA the results have PyTorch's bits.
 */
#include "ops/cpu/conv2d_depthwise.h"
#include "ops/cpu/conv2d_flat.h"
#include "ops/cpu/conv2d_pixels.h"
#include "ops/cpu/conv2d_points.h"
#include "ops/cpu/conv2d_product.h"
#include "ops/cpu/isa.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"

#include <string.h>

AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f32)
AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f64)

enum {
    ENOUGH_TASKS = 48,
    STAYS = 192 << 10,
    TOGETHER = 4,
    STRIPS_NEAR = 1 << 20, /* bytes of strips of several groups of lanes: the second-level cache */
};

typedef ag__convolution convolution;

static const char *at(const void *p, int64_t elements, size_t size)
{
    return (const char *)p + elements * (int64_t)size;
}

static int64_t taps(const convolution *c) { return c->in_channels * c->lanes.axis[0].kernel * c->lanes.axis[1].kernel; }

/* The weights of pieces [begin, end) of a group and input channels [first, last). */
static void pack_weights(const convolution *c, int64_t group, int64_t begin, int64_t end, int64_t first, int64_t last)
{
    const int64_t size = (int64_t)c->size, positions = c->lanes.axis[0].kernel * c->lanes.axis[1].kernel;
    for (int64_t piece = begin; piece < end; piece++) {
        const int64_t o0 = ag__piece(c->out_channels, c->pieces, piece),
                      channels = ag__piece(c->out_channels, c->pieces, piece + 1) - o0;
        char *packed = ag__conv_packed_piece(c, group, o0);
        for (int64_t o = 0; o < channels && first == 0 && c->bias; o++)
            memcpy(packed + o * size, at(c->bias, (group * c->out_channels + o0 + o) * c->bias_stride, c->size),
                   c->size);
        for (int64_t i = first; i < last; i++) {
            for (int64_t position = 0; position < positions; position++) {
                const int64_t row = position / c->lanes.axis[1].kernel, column = position % c->lanes.axis[1].kernel;
                const char *from = at(c->weight,
                                      group * c->weight_group + o0 * c->weight_out + i * c->weight_in +
                                          row * c->weight_row + column * c->weight_column,
                                      c->size);
                char *to = packed + (1 + position * c->in_channels + i) * channels * size;
                for (int64_t o = 0; o < channels; o++, to += size, from += c->weight_out * size) {
                    if (size == sizeof(float))
                        memcpy(to, from, sizeof(float));
                    else
                        memcpy(to, from, sizeof(double));
                }
            }
        }
    }
}

enum {
    WEIGHTS_AT_ONCE = 8
}; /* input channels in an item of packing, where weights that lie together differ in the output channel */

static int64_t weight_items(const convolution *c)
{
    if (c->in_channels == 0) return 0;
    return c->groups * (c->weight_in < c->weight_out ? c->pieces : ag__ceil_div(c->in_channels, WEIGHTS_AT_ONCE));
}

static void pack_weight_items(void *user, int64_t begin, int64_t end)
{
    const convolution *c = user;
    const int64_t items = weight_items(c) / c->groups; /* of a group */
    for (int64_t i = begin; i < end; i++) {
        if (c->weight_in < c->weight_out) {
            pack_weights(c, i / items, i % items, i % items + 1, 0, c->in_channels);
        } else {
            const int64_t first = i % items * WEIGHTS_AT_ONCE;
            pack_weights(c, i / items, 0, c->pieces, first, ag__min(first + WEIGHTS_AT_ONCE, c->in_channels));
        }
    }
}

static void pack(void *user, int64_t begin, int64_t end)
{
    const ag__conv_packing *p = user;
    for (int64_t i = begin; i < end; i++) ag__conv_pack_item(p, i);
}

static void choose_block(convolution *c, int64_t *groups, int64_t *rows)
{
    const ag__conv_axis *a = &c->lanes.axis[0];
    *rows = c->lanes.band[0];
    *groups = c->lanes.n_groups;
    c->plane = 0;
    if (c->direct_in) return;
    const int64_t least = c->in.stride[0] == 1 ? ag__min(*groups, TOGETHER) : 1;
    for (;;) {
        const int64_t in_rows = ((*rows - 1) * a->step + (a->kernel - 1) * a->dilation) / a->up + 2;
        c->plane = ag__conv_plane(in_rows, c->in_columns[1] - c->in_columns[0], c->lanes.lanes, c->size);
        const double bytes = (double)c->plane * (double)(c->groups * c->in_channels) * (double)c->size;
        const bool thin = *rows * a->step <= 2 * (a->kernel - 1) * a->dilation;
        if (bytes * (double)(thin ? 1 : least) <= (double)ag__conv_strip_bytes || *rows <= a->up) {
            const double together = (double)ag__min(ag__conv_strip_bytes, least > 1 ? 2 * STRIPS_NEAR : STRIPS_NEAR);
            *groups = ag__min(*groups, bytes < together ? (int64_t)(together / bytes) : 1);
            return;
        }
        *rows = ag__ceil_div(*rows / 2, a->up) * a->up;
    }
}

/* Tasks big enough to be worth while and enough of them to go round; segments such that the input of one stays in the
 * second-level cache. */
static void choose_tasks(convolution *c)
{
    const ag__conv_lanes *l = &c->lanes;
    const int64_t channels = ag__ceil_div(c->out_channels, c->pieces);
    const int64_t a_row = ag__max(1, l->band[1] * channels * taps(c) * l->lanes /
                                         (l->axis[0].up * l->axis[1].up)); /* multiply-adds */
    const int64_t rows = l->n_groups * l->band[0] * c->groups;
    c->pieces_a_task = ag__max(1, ag__min(c->pieces, rows * c->pieces / ENOUGH_TASKS));
    c->rows_a_task = ag__max(1, ag__min(l->band[0], AG_CONV_TASK / a_row / c->pieces_a_task));
    if (c->tall > 1) {
        c->rows_a_task = ag__ceil_div(c->rows_a_task, c->tall) * c->tall;
        c->pieces_a_task = 1;
    }
    c->grain = 1 + AG_CONV_TASK / 2 / (a_row * c->rows_a_task * c->pieces_a_task);
    const int64_t a_column = c->in_channels * l->axis[0].kernel * l->axis[1].step * l->lanes * (int64_t)c->size /
                             l->axis[1].up;
    c->segment = ag__max(8, ag__min(AG_CONV_SEGMENT, STAYS / ag__max(1, a_column)));
}

/* Blocks of so many groups of lanes and rows; the rows of some groups, then those of the next. */
typedef struct {
    const convolution *whole;
    int64_t groups, rows, row_blocks;
} conv_cut;

static void make_block(const void *user, int64_t block, char *strips)
{
    const conv_cut *b = user;
    convolution own = *b->whole, *c = &own;
    const ag__conv_lanes *l = &c->lanes;
    c->strips = strips;
    c->first_group = block / b->row_blocks * b->groups;
    c->n_groups = ag__min(b->groups, l->n_groups - c->first_group);
    c->rows[0] = block % b->row_blocks * b->rows;
    c->rows[1] = ag__min(c->rows[0] + b->rows, l->band[0]);
    ag__conv_in_range(l, 0, c->rows[0], c->rows[1], c->in_rows);
    if (!c->direct_in) {
        ag__conv_packing packing = { l,
                                     c->kernels,
                                     c->size,
                                     c->in,
                                     false,
                                     c->groups * c->in_channels,
                                     c->first_group,
                                     c->n_groups,
                                     0,
                                     c->plane,
                                     { c->in_rows[0], c->in_rows[1] },
                                     { c->in_columns[0], c->in_columns[1] },
                                     c->strips };
        ag__parallel_for(ag__conv_packing_items(&packing), 1 + 16384 / ag__max(1, c->plane), pack, &packing);
    }
    const int64_t tasks = ag__ceil_div(c->rows[1] - c->rows[0], c->rows_a_task) *
                          ag__ceil_div(c->pieces, c->pieces_a_task);
    ag__parallel_for(c->n_groups * c->groups * tasks, c->grain, ag__conv_make_rows, c);
}

static int64_t out_bytes(const convolution *c)
{
    const ag__conv_lanes *l = &c->lanes;
    return l->batch * c->groups * c->out_channels * l->axis[0].out * l->axis[1].out * (int64_t)c->size;
}

static bool convolve(convolution *c)
{
    const ag__conv_lanes *l = &c->lanes;
    c->pieces = ag__ceil_div(c->out_channels, c->kernels->channels);
    ag__conv_in_range(l, 1, 0, l->band[1], c->in_columns);
    ag__conv_choose_edges(c);
    if (c->exact) {
        c->in_columns[0] = ag__max(c->in_columns[0], 0);
        c->in_columns[1] = ag__min(c->in_columns[1], l->axis[1].in);
    }
    c->direct_in = ag__conv_is_direct(l, c->in.stride) && c->in_columns[0] >= 0 && c->in_columns[1] <= l->axis[1].in;
    c->direct_out = ag__conv_is_direct(l, c->out.stride);
    c->past_caches = out_bytes(c) >= ag__conv_large;
    conv_cut cut = { .whole = c };
    choose_block(c, &cut.groups, &cut.rows);
    choose_tasks(c);
    cut.row_blocks = ag__ceil_div(l->band[0], cut.rows);
    const int64_t blocks = ag__ceil_div(l->n_groups, cut.groups) * cut.row_blocks;
    ag__conv_blocks b = { .make = make_block,
                          .user = &cut,
                          .bytes = cut.groups * c->groups * c->in_channels * c->plane * (int64_t)c->size };
    ag__conv_choose_slots(&b, blocks);

    const int64_t weights = ag__ceil_div(c->groups * c->out_channels * (taps(c) + 1), 64) * 64;
    c->packed = ag__scratch((size_t)weights * c->size + (size_t)(b.slots.n * b.bytes));
    if (!c->packed) return false;
    b.strips = c->packed + weights * (int64_t)c->size;
    ag__parallel_for(weight_items(c), 1 + 16384 / ag__max(1, taps(c) * c->kernels->channels), pack_weight_items, c);
    ag__conv_make_blocks(&b, blocks);
    ag__scratch_free(c->packed);
    return true;
}

static const ag__conv2d_kernels *kernels_for(ag_dtype dtype)
{
    return dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__conv2d_f32) : AG_ISA_PICK(ag__conv2d_f64);
}

/* ---- outputs that meet nothing but padding ---- */

typedef struct {
    const ag__conv2d_shape *shape;
    size_t size;
    ag__conv2d_out out;
    const void *bias;
    int64_t bias_stride;
    bool relu;
    int64_t before[2], after[2]; /* so many rows and columns of it */
} border_plan;

/* n images or pixels, as a rule side by side, become the bias, or zero. */
static void fill(const border_plan *b, int64_t channel, int64_t place, int64_t n, int64_t stride)
{
    const void *bias = b->bias ? at(b->bias, channel * b->bias_stride, b->size) : NULL;
    if (b->size == sizeof(float)) {
        const float sum = bias ? *(const float *)bias : 0, value = b->relu && sum < 0 ? 0 : sum;
        float *to = (float *)b->out.data + place;
        if (stride == 1)
            for (int64_t i = 0; i < n; i++) to[i] = value;
        else
            for (int64_t i = 0; i < n; i++) to[i * stride] = value;
    } else {
        const double sum = bias ? *(const double *)bias : 0, value = b->relu && sum < 0 ? 0 : sum;
        double *to = (double *)b->out.data + place;
        for (int64_t i = 0; i < n; i++) to[i * stride] = value;
    }
}

/* Items: rows of the output's planes. Images are filled together if they lie together. */
static void fill_border(void *user, int64_t begin, int64_t end)
{
    const border_plan *b = user;
    const ag__conv2d_shape *s = b->shape;
    const int64_t *stride = b->out.stride, high = s->out_size[0], wide = s->out_size[1];
    const bool last = stride[0] == 1;
    for (int64_t i = begin; i < end; i++) {
        const int64_t y = i % high, channel = i / high % s->out_channels, image = i / high / s->out_channels;
        const bool inside = y >= b->before[0] && y < high - b->after[0];
        const int64_t place = image * stride[0] + channel * stride[1] + y * stride[2], right = wide - b->after[1];
        if (last) {
            for (int64_t x = 0; x < wide; x++)
                if (!inside || x < b->before[1] || x >= right) fill(b, channel, place + x * stride[3], s->batch, 1);
        } else if (inside) {
            fill(b, channel, place, b->before[1], stride[3]);
            fill(b, channel, place + right * stride[3], b->after[1], stride[3]);
        } else {
            fill(b, channel, place, wide, stride[3]);
        }
    }
}

/* The convolution without its border, whose outputs are written; false if it has none. */
static bool without_border(const ag__conv2d_shape *s, const void *bias, int64_t bias_stride, bool relu,
                           ag__conv2d_out *output, ag__conv2d_shape *inner)
{
    border_plan b = { .shape = s,
                      .size = s->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double),
                      .out = *output,
                      .bias = bias,
                      .bias_stride = bias_stride,
                      .relu = relu };
    *inner = *s;
    for (int i = 0; i < 2 && s->stride[0] == 1 && s->stride[1] == 1; i++) {
        b.before[i] = ag__max(0, s->padding[i] - (s->kernel[i] - 1) * s->dilation[i]);
        b.after[i] = ag__max(0, s->out_size[i] - s->size[i] - s->padding[i]);
        inner->padding[i] -= b.before[i];
        inner->out_size[i] -= b.before[i] + b.after[i];
    }
    if (b.before[0] + b.before[1] + b.after[0] + b.after[1] == 0) return false;
    const int64_t planes = s->out_channels * (output->stride[0] == 1 ? 1 : s->batch);
    ag__parallel_for(planes * s->out_size[0], 1 + 16384 / s->out_size[1], fill_border, &b);
    output->data = (char *)output->data +
                   (b.before[0] * output->stride[2] + b.before[1] * output->stride[3]) * (int64_t)b.size;
    return true;
}

bool ag__conv2d_forward(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in weight, const void *bias,
                        int64_t bias_stride, bool relu, ag__conv2d_out output)
{
    if (s->batch * s->out_channels * s->out_size[0] * s->out_size[1] == 0) return true;
    ag__conv2d_shape inner;
    if (without_border(s, bias, bias_stride, relu, &output, &inner))
        return ag__conv2d_forward(&inner, input, weight, bias, bias_stride, relu, output);
    if (ag__conv2d_are_points(s, output.stride))
        return ag__conv2d_points_forward(s, input, weight, bias, bias_stride, output);
    if (s->kernel[0] == 1 && s->stride[0] > 1 && s->padding[0] == 0) { /* the rows between are met by nothing */
        inner = *s;
        inner.size[0] = s->out_size[0];
        inner.stride[0] = 1;
        input.stride[2] *= s->stride[0];
        return ag__conv2d_forward(&inner, input, weight, bias, bias_stride, relu, output);
    }
    if (ag__conv2d_is_product(s, input.stride, output.stride))
        return ag__conv2d_product_forward(s, input, weight, bias, bias_stride, output);
    if (ag__conv2d_depthwise_suits(s, input.stride, output.stride)) {
        ag__conv2d_depthwise_forward(s, input, weight, bias, bias_stride, relu, output);
        return true;
    }
    ag__conv2d_shape part, rest;
    if (ag__conv_is_parted(s, kernels_for(s->dtype)->lanes, input.stride, output.stride, &part, &rest) &&
        !ag__conv2d_flat_suits_forward(&part, input.stride, output.stride))
        return ag__conv2d_forward(&part, input, weight, bias, bias_stride, relu, output) &&
               ag__conv2d_forward(&rest, ag__conv_in_from(&part, input), weight, bias, bias_stride, relu,
                                  ag__conv_out_from(&part, output));
    if (ag__conv2d_flat_suits_forward(s, input.stride, output.stride))
        return ag__conv2d_flat_forward(s, input, weight, bias, bias_stride, relu, output);
    convolution c = {
        .kernels = kernels_for(s->dtype),
        .size = s->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double),
        .in = input,
        .out = output,
        .groups = s->groups,
        .in_channels = s->channels / s->groups,
        .out_channels = s->out_channels / s->groups,
        .weight = weight.data,
        .weight_group = s->out_channels / s->groups * weight.stride[0],
        .weight_out = weight.stride[0],
        .weight_in = weight.stride[1],
        .weight_row = weight.stride[2],
        .weight_column = weight.stride[3],
        .bias = bias,
        .bias_stride = bias_stride,
        .relu = relu,
    };
    ag__conv_axis axis[2];
    for (int i = 0; i < 2; i++)
        axis[i] = (ag__conv_axis){ s->size[i], s->out_size[i], s->kernel[i], s->stride[i],
                                   1,          s->dilation[i], s->padding[i] };
    const double work = (double)s->out_channels * (double)c.in_channels * (double)(s->kernel[0] * s->kernel[1]);
    ag__conv_lanes_init(&c.lanes, &axis[0], &axis[1], s->batch, c.kernels->lanes, work, s->channels);
    return convolve(&c);
}

bool ag__conv2d_input_gradient(const ag__conv2d_shape *s, ag__conv2d_in output_gradient, ag__conv2d_in weight,
                               ag__conv2d_out input_gradient)
{
    if (s->batch * s->channels * s->size[0] * s->size[1] == 0) return true;
    if (ag__conv2d_is_product(s, input_gradient.stride, output_gradient.stride))
        return ag__conv2d_product_input_gradient(s, output_gradient, weight, input_gradient);
    if (ag__conv2d_are_points(s, output_gradient.stride))
        return ag__conv2d_points_input_gradient(s, output_gradient, weight, input_gradient);
    if (ag__conv2d_depthwise_suits(s, output_gradient.stride, input_gradient.stride)) {
        ag__conv2d_depthwise_input_gradient(s, output_gradient, weight, input_gradient);
        return true;
    }
    ag__conv2d_shape part, rest;
    if (ag__conv_is_parted(s, kernels_for(s->dtype)->lanes, output_gradient.stride, input_gradient.stride, &part,
                           &rest) &&
        !ag__conv2d_flat_suits_input_gradient(&part, output_gradient.stride, input_gradient.stride))
        return ag__conv2d_input_gradient(&part, output_gradient, weight, input_gradient) &&
               ag__conv2d_input_gradient(&rest, ag__conv_in_from(&part, output_gradient), weight,
                                         ag__conv_out_from(&part, input_gradient));
    if (ag__conv2d_flat_suits_input_gradient(s, output_gradient.stride, input_gradient.stride))
        return ag__conv2d_flat_input_gradient(s, output_gradient, weight, input_gradient);
    convolution c = {
        .kernels = kernels_for(s->dtype),
        .size = s->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double),
        .in = output_gradient,
        .out = input_gradient,
        .groups = s->groups,
        .in_channels = s->out_channels / s->groups,
        .out_channels = s->channels / s->groups,
        .turned = true,
        .weight_group = s->out_channels / s->groups * weight.stride[0],
        .weight_out = weight.stride[1],
        .weight_in = weight.stride[0],
        .weight_row = -weight.stride[2],
        .weight_column = -weight.stride[3],
    };
    c.weight = at(weight.data, (s->kernel[0] - 1) * weight.stride[2] + (s->kernel[1] - 1) * weight.stride[3], c.size);
    ag__conv_axis axis[2];
    for (int i = 0; i < 2; i++) {
        axis[i] = (ag__conv_axis){ s->out_size[i],
                                   s->size[i],
                                   s->kernel[i],
                                   1,
                                   s->stride[i],
                                   s->dilation[i],
                                   (s->kernel[i] - 1) * s->dilation[i] - s->padding[i] };
    }
    const double work = (double)s->channels * (double)c.in_channels * (double)(s->kernel[0] * s->kernel[1]) /
                        (double)(s->stride[0] * s->stride[1]);
    ag__conv_lanes_init(&c.lanes, &axis[0], &axis[1], s->batch, c.kernels->lanes, work, s->out_channels);
    return convolve(&c);
}
