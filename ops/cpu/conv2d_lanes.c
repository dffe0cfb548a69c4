/* conv2d_lanes.c - see conv2d_lanes.h. */
#include "ops/cpu/conv2d_lanes.h"

int64_t ag__conv_strip_bytes = 2 << 20;
int64_t ag__conv_parts_worth = 1 << 28;
int64_t ag__conv_large = 8 << 20;

static int64_t gcd(int64_t a, int64_t b) { return b ? gcd(b, a % b) : a; }

static int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

ag__conv_taps ag__conv_taps_of(const ag__conv_axis *axis, int64_t out)
{
    const int64_t at = out * axis->step - axis->offset; /* of kernel position 0, times up */
    if (axis->up == 1) return (ag__conv_taps){ axis->kernel, 0, 1, at, axis->dilation };
    const int64_t common = gcd(axis->up, axis->dilation);
    ag__conv_taps taps = { .every = axis->up / common, .in_every = axis->dilation / common };
    const int64_t end = ag__min(taps.every, axis->kernel); /* few, however wide the steps */
    while (taps.first < end && (at + taps.first * axis->dilation) % axis->up != 0) taps.first++;
    if (taps.first < end) {
        taps.n = (axis->kernel - 1 - taps.first) / taps.every + 1;
        taps.in = (at + taps.first * axis->dilation) / axis->up;
    }
    return taps;
}

static void cut_into_bands(ag__conv_lanes *l, int64_t high, int64_t wide)
{
    int64_t wanted[2] = { high, wide };
    l->n_groups = l->batch;
    for (int i = 0; i < 2; i++) {
        const ag__conv_axis *a = &l->axis[i];
        l->band[i] = wanted[i] == 1 ? a->out : ag__ceil_div(ag__ceil_div(a->out, wanted[i]), a->up) * a->up;
        l->bands[i] = ag__ceil_div(a->out, l->band[i]);
        l->in_shift[i] = l->band[i] * a->step / a->up;
        l->n_groups *= l->bands[i];
    }
    l->n_groups = ag__ceil_div(l->n_groups, l->lanes);
}

void ag__conv_lanes_init(ag__conv_lanes *l, const ag__conv_axis *rows, const ag__conv_axis *columns, int64_t batch,
                         int lanes, double work, int64_t channels)
{
    *l = (ag__conv_lanes){ .axis = { *rows, *columns }, .batch = batch, .lanes = lanes };
    /* Bands cost: repacking (about 4 multiply-adds an element) where they overlap, and short rows. Whole images unless
     * a tenth is won. */
    int64_t best_high = 1, best_wide = 1;
    cut_into_bands(l, 1, 1);
    if (batch * 10 >= l->n_groups * lanes * 9) return;
    double best = 0;
    for (int64_t high = 1; high <= lanes && high <= rows->out; high++) {
        for (int64_t wide = 1; wide <= lanes && wide <= columns->out && high * wide <= 4 * lanes; wide++) {
            cut_into_bands(l, high, wide);
            int64_t in_rows[2], in_columns[2];
            ag__conv_in_range(l, 0, 0, l->band[0], in_rows);
            ag__conv_in_range(l, 1, 0, l->band[1], in_columns);
            double pixels = (double)l->band[0] * (double)l->band[1],
                   in = (double)(in_rows[1] - in_rows[0]) * (double)(in_columns[1] - in_columns[0]);
            double cost = (double)l->n_groups * (pixels * work + 4 * in * (double)channels);
            if (high == 1 && wide == 1)
                best = 0.9 * cost;
            else if (cost < best) {
                best = cost;
                best_high = high;
                best_wide = wide;
            }
        }
    }
    cut_into_bands(l, best_high, best_wide);
}

bool ag__conv_is_parted(const ag__conv2d_shape *s, int lanes, const int64_t *in_stride, const int64_t *out_stride,
                        ag__conv2d_shape *part, ag__conv2d_shape *rest)
{
    const int64_t whole = s->batch / lanes * lanes;
    const bool last = in_stride[0] == 1 && out_stride[0] == 1, many_empty = s->batch * 10 < (whole + lanes) * 9;
    *part = *rest = *s;
    part->batch = whole;
    rest->batch = s->batch - whole;
    return part->batch > 0 && rest->batch > 0 && (last || many_empty);
}

static int64_t behind(const ag__conv2d_shape *part, int64_t stride)
{
    return part->batch * stride * (int64_t)(part->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double));
}
ag__conv2d_in ag__conv_in_from(const ag__conv2d_shape *part, ag__conv2d_in tensor)
{
    tensor.data = (const char *)tensor.data + behind(part, tensor.stride[0]);
    return tensor;
}
ag__conv2d_out ag__conv_out_from(const ag__conv2d_shape *part, ag__conv2d_out tensor)
{
    tensor.data = (char *)tensor.data + behind(part, tensor.stride[0]);
    return tensor;
}

void ag__conv_in_range(const ag__conv_lanes *l, int which, int64_t begin, int64_t end, int64_t range[2])
{
    const ag__conv_axis *a = &l->axis[which];
    range[0] = -floor_div(-(begin * a->step - a->offset), a->up);
    range[1] = floor_div((end - 1) * a->step + (a->kernel - 1) * a->dilation - a->offset, a->up) + 1;
    if (which == 0 && l->bands[0] == 1) {
        range[0] = ag__max(range[0], 0);
        range[1] = ag__min(range[1], a->in);
    }
    range[1] = ag__max(range[0], range[1]);
}

/* The part of [range[0], range[1]) that is in [0, n) when 0 lies at -shift, counted from range[0]. */
static void part_inside(const int64_t range[2], int64_t shift, int64_t n, int64_t part[2])
{
    const int64_t length = range[1] - range[0];
    part[0] = ag__min(length, ag__max(0, -shift - range[0]));
    part[1] = ag__max(part[0], ag__min(length, n - shift - range[0]));
}

/* `shift` pixels from one band to the next, each plane `size` pixels high and wide. */
static void find_lanes(const ag__conv_lanes *l, int64_t group, const ag__conv2d_in *tensor, size_t size,
                       const int64_t shift[2], const int64_t plane[2], const int64_t rows[2], const int64_t columns[2],
                       ag__conv_lane *lanes)
{
    const int64_t a_image = l->bands[0] * l->bands[1];
    for (int i = 0; i < l->lanes; i++) {
        const int64_t number = group * l->lanes + i, n = number / a_image;
        ag__conv_lane *lane = &lanes[i];
        *lane = (ag__conv_lane){ .at = tensor->data };
        if (n >= l->batch) continue;
        const int64_t y = number % a_image / l->bands[1] * shift[0], x = number % l->bands[1] * shift[1];
        part_inside(rows, y, plane[0], lane->rows);
        part_inside(columns, x, plane[1], lane->columns);
        if (lane->rows[0] == lane->rows[1] || lane->columns[0] == lane->columns[1]) {
            *lane = (ag__conv_lane){ .at = tensor->data };
            continue;
        }
        const int64_t place = n * tensor->stride[0] + (y + rows[0] + lane->rows[0]) * tensor->stride[2] +
                              (x + columns[0] + lane->columns[0]) * tensor->stride[3];
        lane->at = (const char *)tensor->data + place * (int64_t)size;
    }
}

void ag__conv_in_lanes(const ag__conv_lanes *l, int64_t group, const ag__conv2d_in *tensor, size_t size,
                       const int64_t rows[2], const int64_t columns[2], ag__conv_lane *lanes)
{
    const int64_t plane[2] = { l->axis[0].in, l->axis[1].in };
    find_lanes(l, group, tensor, size, l->in_shift, plane, rows, columns, lanes);
}

void ag__conv_out_lanes(const ag__conv_lanes *l, int64_t group, const ag__conv2d_in *tensor, size_t size,
                        const int64_t rows[2], const int64_t columns[2], ag__conv_lane *lanes)
{
    const int64_t plane[2] = { l->axis[0].out, l->axis[1].out };
    find_lanes(l, group, tensor, size, l->band, plane, rows, columns, lanes);
}

bool ag__conv_side_by_side(const ag__conv_lanes *l, int64_t group, const int64_t *stride)
{
    return l->bands[0] * l->bands[1] == 1 && stride[0] == 1 && (group + 1) * l->lanes <= l->batch;
}

bool ag__conv_is_direct(const ag__conv_lanes *l, const int64_t *stride)
{
    return ag__conv_side_by_side(l, l->n_groups - 1, stride) && stride[3] <= AG_CONV_DIRECT * l->lanes;
}

enum { MOST_GROUPS = 8 };

int64_t ag__conv_packing_items(ag__conv_packing *p)
{
    p->groups_an_item = ag__conv_side_by_side(p->lanes, 0, p->tensor.stride) ? ag__min(p->n_groups, MOST_GROUPS) : 1;
    return p->channels * ag__ceil_div(p->n_groups, p->groups_an_item);
}

void ag__conv_pack_item(const ag__conv_packing *p, int64_t item)
{
    const int64_t channel = item % p->channels, g0 = item / p->channels * p->groups_an_item;
    const int n = (int)ag__min(p->groups_an_item, p->n_groups - g0);
    ag__conv2d_in plane = p->tensor;
    plane.data = (const char *)plane.data + channel * plane.stride[1] * (int64_t)p->size;
    ag__conv_lane lanes[MOST_GROUPS][AG_CONV_LANES];
    for (int g = 0; g < n; g++)
        (p->is_output ? ag__conv_out_lanes : ag__conv_in_lanes)(p->lanes, p->first_group + g0 + g, &plane, p->size,
                                                                p->rows, p->columns, lanes[g]);
    const int64_t rows = p->rows[1] - p->rows[0], rows_at_once = n > 1 ? 1 : rows;
    for (int64_t r = 0; r < rows; r += rows_at_once) {
        for (int g = 0; g < n; g++)
            p->kernels->pack(p->strips + ((g0 + g) * p->channels + channel) * p->plane * (int64_t)p->size, r,
                             r + rows_at_once, p->columns[1] - p->columns[0], lanes[g],
                             ag__conv_side_by_side(p->lanes, p->first_group + g0 + g, plane.stride), plane.stride[2],
                             plane.stride[3]);
    }
}

int64_t ag__conv_plane(int64_t rows, int64_t columns, int lanes, size_t size)
{
    const int64_t a_line = 64 / (int64_t)size;
    return (ag__ceil_div(rows * columns * lanes, a_line) | 1) * a_line;
}

/* ---- blocks ---- */

void ag__conv_choose_slots(ag__conv_blocks *b, int64_t blocks)
{
    enum { ENOUGH = 4 }; /* for each thread */
    const int threads = ag_get_num_threads();
    b->slots = (ag__slots){ .n = blocks >= (int64_t)ENOUGH * threads ? threads : 1 };
}

static void make_blocks(void *user, int64_t begin, int64_t end)
{
    ag__conv_blocks *b = user;
    const int slot = ag__take_slot(&b->slots);
    for (int64_t block = begin; block < end; block++) b->make(b->user, block, b->strips + slot * b->bytes);
    ag__give_slot(&b->slots, slot);
}

void ag__conv_make_blocks(ag__conv_blocks *b, int64_t blocks)
{
    if (b->slots.n > 1)
        ag__parallel_for(blocks, 1, make_blocks, b);
    else
        make_blocks(b, 0, blocks);
}
