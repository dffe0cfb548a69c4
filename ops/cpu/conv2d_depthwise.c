/* conv2d_depthwise.c - see conv2d_depthwise.h.
 *
 * For the weight's gradient, the output's gradient is read where it lies. Each channel is cut into parts that depend on
 * the shape alone.
 */
#include "ops/cpu/conv2d_depthwise.h"
#include "ops/cpu/conv2d_lanes.h"
#include "ops/cpu/isa.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"

#include <string.h>

AG_ISA_TABLES(ag__conv2d_depthwise_kernels, ag__conv2d_depthwise_f32)
AG_ISA_TABLES(ag__conv2d_depthwise_kernels, ag__conv2d_depthwise_f64)
AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f32)
AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f64)

enum {
    SLACK = 128,         /* bytes beyond a strip that may be read and written */
    ENOUGH_TASKS = 16,   /* of the weight's gradient, */
    MOST_CHANNELS = 4,   /* of a task */
    REGISTER_BYTES = 64, /* the most */
    FAR_BYTES = 16 << 20,
};

typedef struct {
    const ag__conv2d_depthwise_kernels *kernels;
    const ag__conv2d_kernels *planes;
    size_t size; /* of an element */
    ag__conv2d_in in, weight, gradient;
    ag__conv2d_out out;
    const void *bias;
    int64_t bias_stride;
    bool relu;
    bool turned; /* the last kernel position comes first */
    bool far;    /* more than a cache holds: rows are asked for ahead of time */

    int64_t channels, images, inner; /* images one by one, side by side */
    int64_t in_size[2], out_size[2], kernel[2], dilation[2], padding[2], reach[2];
    int64_t tile[2], tiles[2];      /* output pixels of one, rows and columns; how many */
    int64_t lead, pitch;            /* elements before a strip, from a row of it to the next */
    int64_t parts, channels_a_task; /* of the weight's gradient: a channel is cut into */
    char *totals;                   /* [channel][part][kernel position] */
} depthwise_plan;

typedef struct {
    int64_t image, channel, first[2], size[2]; /* output pixels */
} tile;

static const char *at(const void *p, int64_t elements, size_t size)
{
    return (const char *)p + elements * (int64_t)size;
}

/* Of images one by one, what lies in columns of the middle begins with a line of memory in every row of a strip: copies
 * then cross none, and a third of a 3x3 kernel's loads neither. */
static int64_t pitch_of(const depthwise_plan *p, int64_t columns)
{
    const int64_t n = (columns + p->reach[1]) * p->inner, lanes = p->planes->lanes;
    return p->inner == 1 ? ag__ceil_div(n, lanes) * lanes : n;
}

/* A strip has the rows that a kernel reaches besides those of the tile; one row is to spare. */
static bool choose_tile(depthwise_plan *p)
{
    const int64_t room = AG_DEPTHWISE_ROOM / (int64_t)p->size, beyond = p->reach[0] + 1;
    int64_t columns = p->out_size[1], rows = 0;
    for (;; columns = ag__ceil_div(columns, 2)) {
        rows = room / pitch_of(p, columns) - beyond;
        if (rows >= ag__min(p->out_size[0], 4 * beyond) || columns <= 4) break;
    }
    if (rows < 1) return false;
    const int64_t most[2] = { rows, columns };
    for (int i = 0; i < 2; i++) {
        p->tiles[i] = ag__ceil_div(p->out_size[i], most[i]);
        p->tile[i] = ag__ceil_div(p->out_size[i], p->tiles[i]);
        p->tiles[i] = ag__ceil_div(p->out_size[i], p->tile[i]);
    }
    p->pitch = pitch_of(p, p->tile[1]);
    const int64_t lanes = p->planes->lanes;
    p->lead = p->inner == 1 ? (lanes - p->padding[1] % lanes) % lanes : 0;
    return (p->tile[0] + p->reach[0]) * (p->tile[1] + p->reach[1]) <= 4 * p->tile[0] * p->tile[1];
}

/* Tile i of image 0, channel 0. */
static tile tile_of(const depthwise_plan *p, int64_t i)
{
    tile t = { .first = { i / p->tiles[1] * p->tile[0], i % p->tiles[1] * p->tile[1] } };
    for (int j = 0; j < 2; j++) t.size[j] = ag__min(p->tile[j], p->out_size[j] - t.first[j]);
    return t;
}

/* Rows and columns of a plane of so many to a strip whose first row and column are these. */
static void copy_to_strip(const depthwise_plan *p, char *strip, int64_t n_rows, int64_t columns,
                          const ag__conv2d_in *from, const tile *t, const int64_t first[2], const int64_t last[2])
{
    int64_t part[2][2]; /* of the strip */
    const int64_t n[2] = { n_rows, columns };
    for (int i = 0; i < 2; i++) {
        part[i][0] = ag__min(n[i], ag__max(0, -first[i]));
        part[i][1] = ag__max(part[i][0], ag__min(n[i], last[i] - first[i]));
    }
    const int64_t place = t->image * from->stride[0] + t->channel * from->stride[1] +
                          (first[0] + part[0][0]) * from->stride[2] + (first[1] + part[1][0]) * from->stride[3];
    const bool some = part[0][0] < part[0][1] && part[1][0] < part[1][1];
    p->planes->copy_plane(strip, p->pitch, n_rows, some ? at(from->data, place, p->size) : from->data, from->stride[2],
                          part[0], (int64_t[]){ part[1][0] * p->inner, part[1][1] * p->inner });
}

/* The input that tile t meets. */
static void copy_input(const depthwise_plan *p, char *strip, const tile *t)
{
    const int64_t first[2] = { t->first[0] - p->padding[0], t->first[1] - p->padding[1] };
    copy_to_strip(p, strip, t->size[0] + p->reach[0], t->size[1] + p->reach[1], &p->in, t, first, p->in_size);
}

/* The first element of tile t of a tensor. */
static const void *corner(const depthwise_plan *p, const ag__conv2d_in *tensor, const tile *t)
{
    const int64_t *stride = tensor->stride;
    return at(tensor->data,
              t->image * stride[0] + t->channel * stride[1] + t->first[0] * stride[2] + t->first[1] * stride[3],
              p->size);
}

/* ---- the output and the input's gradient ---- */

static void copy_weight(const depthwise_plan *p, int64_t channel, char *to)
{
    for (int64_t a = 0; a < p->kernel[0]; a++) {
        for (int64_t b = 0; b < p->kernel[1]; b++, to += p->size) {
            const int64_t row = p->turned ? p->kernel[0] - 1 - a : a, column = p->turned ? p->kernel[1] - 1 - b : b;
            memcpy(to,
                   at(p->weight.data,
                      channel * p->weight.stride[0] + row * p->weight.stride[2] + column * p->weight.stride[3],
                      p->size),
                   p->size);
        }
    }
}

/* Tile i of all planes. */
static tile numbered(const depthwise_plan *p, int64_t i)
{
    const int64_t a_plane = p->tiles[0] * p->tiles[1];
    tile t = tile_of(p, i % a_plane);
    t.channel = i / a_plane % p->channels;
    t.image = i / a_plane / p->channels;
    return t;
}

/* Tasks: the tiles of all planes. */
static void make_tiles(void *user, int64_t begin, int64_t end)
{
    const depthwise_plan *p = user;
    const ag__conv2d_in out = { p->out.data,
                                { p->out.stride[0], p->out.stride[1], p->out.stride[2], p->out.stride[3] } };
    _Alignas(REGISTER_BYTES) char space[AG_DEPTHWISE_ROOM + SLACK + REGISTER_BYTES];
    _Alignas(8) char weights[AG_DEPTHWISE_TAPS * sizeof(double)];
    char *strip = space + p->lead * (int64_t)p->size;
    tile t = numbered(p, begin);
    for (int64_t i = begin; i < end; i++) {
        const tile next = i + 1 < end ? numbered(p, i + 1) : t;
        copy_weight(p, t.channel, weights);
        copy_input(p, strip, &t);
        p->kernels->run(&(ag__conv_depthwise_run){
            .kernel = { p->kernel[0], p->kernel[1] },
            .dilation = { p->dilation[0], p->dilation[1] },
            .inner = p->inner,
            .rows = t.size[0],
            .n = t.size[1] * p->inner,
            .in = strip,
            .weights = weights,
            .bias = p->bias ? at(p->bias, t.channel * p->bias_stride, p->size) : NULL,
            .relu = p->relu,
            .in_row = p->pitch,
            .out_row = p->out.stride[2],
            .next_in = p->far ? corner(p, &p->in, &next) : NULL,
            .next_out = corner(p, &out, &next),
            .next_in_row = p->in.stride[2],
            .out = (void *)(uintptr_t)corner(p, &out, &t),
        });
        t = next;
    }
}

static void convolve(depthwise_plan *p)
{
    choose_tile(p);
    const int64_t positions = p->kernel[0] * p->kernel[1], a_tile = p->tile[0] * p->tile[1] * p->inner * positions;
    ag__parallel_for(p->images * p->channels * p->tiles[0] * p->tiles[1], 1 + AG_CONV_TASK / 8 / a_tile, make_tiles, p);
}

/* ---- the weight's gradient ---- */

/* sums[a][b][lane] += what tile t has; `next` is soon to come. */
static void add_tile(const depthwise_plan *p, const tile *t, const tile *next, char *strip, char *sums)
{
    copy_input(p, strip, t);
    p->kernels->weight_run(&(ag__conv_depthwise_weight_run){
        .kernel = { p->kernel[0], p->kernel[1] },
        .dilation = { p->dilation[0], p->dilation[1] },
        .inner = p->inner,
        .rows = t->size[0],
        .n = t->size[1] * p->inner,
        .in = strip,
        .gradient = corner(p, &p->gradient, t),
        .in_row = p->pitch,
        .gradient_row = p->gradient.stride[2],
        .next_in = p->far ? corner(p, &p->in, next) : NULL,
        .next_gradient = corner(p, &p->gradient, next),
        .next_in_row = p->in.stride[2],
        .sums = sums,
    });
}

/* Tile i of all images of a channel. */
static tile part_tile(const depthwise_plan *p, int64_t i, int64_t channel)
{
    const int64_t a_plane = p->tiles[0] * p->tiles[1];
    tile t = tile_of(p, i % a_plane);
    t.image = i / a_plane;
    t.channel = channel;
    return t;
}

/* Tasks: the parts of a few channels, whose planes lie one after the other in every image. */
static void add_parts(void *user, int64_t begin, int64_t end)
{
    const depthwise_plan *p = user;
    _Alignas(REGISTER_BYTES) char space[AG_DEPTHWISE_ROOM + SLACK + REGISTER_BYTES],
        sums[MOST_CHANNELS * AG_DEPTHWISE_TAPS * REGISTER_BYTES];
    char *strip = space + p->lead * (int64_t)p->size;
    const int64_t positions = p->kernel[0] * p->kernel[1], tiles = p->images * p->tiles[0] * p->tiles[1],
                  a_sum = positions * p->planes->lanes * (int64_t)p->size;
    for (int64_t i = begin; i < end; i++) {
        const int64_t part = i % p->parts, c0 = i / p->parts * p->channels_a_task,
                      c1 = ag__min(c0 + p->channels_a_task, p->channels);
        const int64_t first = ag__piece(tiles, p->parts, part), last = ag__piece(tiles, p->parts, part + 1);
        memset(sums, 0, (size_t)((c1 - c0) * a_sum));
        tile t = part_tile(p, first, c0);
        for (int64_t j = first; j < last; j++) {
            for (int64_t c = c0; c < c1; c++) {
                const bool more = j + (c + 1 == c1) < last;
                const tile next = !more ? t : c + 1 < c1 ? part_tile(p, j, c + 1) : part_tile(p, j + 1, c0);
                add_tile(p, &t, &next, strip, sums + (c - c0) * a_sum);
                t = next;
            }
        }
        for (int64_t c = c0; c < c1; c++)
            p->planes->add_lanes(sums + (c - c0) * a_sum, positions,
                                 p->totals + (c * p->parts + part) * positions * (int64_t)p->size);
    }
}

static void write_totals(const depthwise_plan *p)
{
    const int64_t positions = p->kernel[0] * p->kernel[1], size = (int64_t)p->size, *stride = p->out.stride;
    const char *from = p->totals;
    for (int64_t channel = 0; channel < p->channels; channel++, from += p->parts * positions * size) {
        for (int64_t i = 0; i < positions; i++) {
            const int64_t row = i / p->kernel[1], column = i % p->kernel[1];
            char *to = (char *)p->out.data + (channel * stride[0] + row * stride[2] + column * stride[3]) * size;
            if (size == sizeof(float)) {
                float sum = 0;
                for (int64_t j = 0; j < p->parts; j++) sum += ((const float *)(const void *)from)[j * positions + i];
                memcpy(to, &sum, sizeof sum);
            } else {
                double sum = 0;
                for (int64_t j = 0; j < p->parts; j++) sum += ((const double *)(const void *)from)[j * positions + i];
                memcpy(to, &sum, sizeof sum);
            }
        }
    }
}

/* ---- the plan ---- */

static bool batch_is_last(const ag__conv2d_shape *s, const int64_t *stride)
{
    return s->batch > 1 && stride[0] == 1 && stride[3] == s->batch;
}

static depthwise_plan plan_of(const ag__conv2d_shape *s, bool turned, bool last)
{
    const bool single = s->dtype == AG_FLOAT32;
    depthwise_plan p = {
        .kernels = single ? AG_ISA_PICK(ag__conv2d_depthwise_f32) : AG_ISA_PICK(ag__conv2d_depthwise_f64),
        .planes = single ? AG_ISA_PICK(ag__conv2d_f32) : AG_ISA_PICK(ag__conv2d_f64),
        .size = single ? sizeof(float) : sizeof(double),
        .turned = turned,
        .channels = s->channels,
        .images = last ? 1 : s->batch,
        .inner = last ? s->batch : 1,
    };
    for (int i = 0; i < 2; i++) {
        p.in_size[i] = turned ? s->out_size[i] : s->size[i];
        p.out_size[i] = turned ? s->size[i] : s->out_size[i];
        p.kernel[i] = s->kernel[i];
        p.dilation[i] = s->dilation[i];
        p.reach[i] = (s->kernel[i] - 1) * s->dilation[i];
        p.padding[i] = turned ? p.reach[i] - s->padding[i] : s->padding[i];
    }
    const int64_t pixels = s->size[0] * s->size[1] + s->out_size[0] * s->out_size[1];
    p.far = s->batch * s->channels * pixels * (int64_t)p.size >= FAR_BYTES;
    return p;
}

bool ag__conv2d_depthwise_suits(const ag__conv2d_shape *s, const int64_t *input_stride, const int64_t *output_stride)
{
    const bool contiguous = input_stride[3] == 1 && output_stride[3] == 1,
               last = batch_is_last(s, input_stride) && batch_is_last(s, output_stride);
    if (s->groups != s->channels || s->groups != s->out_channels || s->groups <= 1 || s->stride[0] != 1 ||
        s->stride[1] != 1 || s->kernel[0] * s->kernel[1] > AG_DEPTHWISE_TAPS || s->size[0] * s->size[1] == 0 ||
        (!contiguous && !last))
        return false;
    depthwise_plan p = plan_of(s, false, last);
    if (!choose_tile(&p)) return false;
    p = plan_of(s, true, last);
    return choose_tile(&p);
}

void ag__conv2d_depthwise_forward(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in weight,
                                  const void *bias, int64_t bias_stride, bool relu, ag__conv2d_out output)
{
    depthwise_plan p = plan_of(s, false, batch_is_last(s, input.stride));
    p.in = input;
    p.weight = weight;
    p.bias = bias;
    p.bias_stride = bias_stride;
    p.relu = relu;
    p.out = output;
    convolve(&p);
}

void ag__conv2d_depthwise_input_gradient(const ag__conv2d_shape *s, ag__conv2d_in output_gradient, ag__conv2d_in weight,
                                         ag__conv2d_out input_gradient)
{
    depthwise_plan p = plan_of(s, true, batch_is_last(s, input_gradient.stride));
    p.in = output_gradient;
    p.weight = weight;
    p.out = input_gradient;
    convolve(&p);
}

bool ag__conv2d_depthwise_weight_gradient(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in output_gradient,
                                          ag__conv2d_out weight_gradient)
{
    depthwise_plan p = plan_of(s, false, batch_is_last(s, input.stride));
    p.in = input;
    p.gradient = output_gradient;
    p.out = weight_gradient;
    choose_tile(&p);
    const int64_t positions = p.kernel[0] * p.kernel[1], tiles = p.images * p.tiles[0] * p.tiles[1];
    p.parts = ag__max(1, ag__min(tiles, ENOUGH_TASKS / p.channels));
    p.totals = ag__scratch((size_t)(p.channels * p.parts * positions) * p.size);
    if (!p.totals) return false;
    p.channels_a_task = p.images == 1 ? 1 : ag__max(1, ag__min(p.channels / ENOUGH_TASKS, MOST_CHANNELS));
    const double a_task = (double)tiles / (double)p.parts * (double)p.channels_a_task *
                          (double)(p.tile[0] * p.tile[1] * p.inner * positions);
    ag__parallel_for(ag__ceil_div(p.channels, p.channels_a_task) * p.parts, 1 + (int64_t)(AG_CONV_TASK / 8 / a_task),
                     add_parts, &p);
    write_totals(&p);
    ag__scratch_free(p.totals);
    return true;
}
