/* conv_plan.c - convolutions of few channels: what a block of threads makes, and how its parts of the tensors lie in
 * shared memory. */
#include "cuda/conv.h"

#include <stdlib.h>
#include <string.h>

enum { FEW = 32 }; /* channels of y */
/* Of the weight's gradient, whose order of sums must not depend on the device: two to each of an H100's processors. */
enum { BLOCKS = 256 };

static int64_t over(int64_t n, int64_t by) { return (n + by - 1) / by; }
/* n in parts of one size, as few as there may be with `most` in each. */
static int32_t even(int64_t n, int64_t most) { return (int32_t)over(n, over(n, most)); }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* The dimensions sorted by the strides they have in the tensor; those of one element last. false: its elements lie too
 * far from each other. */
static bool fill_box(ag_cuda_box *b, const int64_t from[4], const int32_t to[4], const int32_t count[4],
                     const int32_t bound[4])
{
    int order[4] = { 3, 2, 1, 0 };
    for (int i = 1; i < 4; i++)
        for (int k = i; k > 0; k--) {
            const int here = order[k], before = order[k - 1];
            if (count[here] == 1 || (count[before] > 1 && llabs(from[before]) <= llabs(from[here]))) break;
            order[k] = before;
            order[k - 1] = here;
        }
    b->numel = 1;
    for (int d = 0; d < 4; d++) {
        const int which = order[d];
        if (count[which] > 1 && llabs(from[which]) > INT32_MAX / 4 / (count[which] - 1)) return false;
        b->which[d] = which;
        b->from[d] = from[which];
        b->to[d] = to[which];
        b->bound[d] = bound[which];
        b->numel *= count[which];
        if (d < 3) b->by[d] = ag__cuda_divisor(count[which]);
    }
    return true;
}

/* How many places of x along an axis n neighbours of y read. */
static int64_t places(const ag_cuda_conv *c, int d, int64_t n)
{
    return (n - 1) * c->stride[d] + (int64_t)(c->kernel[d] - 1) * c->dilation[d] + 1;
}

/* ---- y ---- */

/* Rows in shared memory as wide as this let the quads of a warp read different banks, where that is possible. */
static int32_t row_of(int32_t width, int32_t columns, int32_t step)
{
    for (int32_t row = width; columns % 4 == 0 && columns < 32 && step == 1 && row < width + 8; row++)
        if (4 * row % 32 == columns) return row;
    return width;
}

static bool lay_out(ag_cuda_conv_direct *t)
{
    const ag_cuda_conv *c = &t->conv;
    const int32_t height = (int32_t)places(c, 0, (int64_t)t->quads * AG_CUDA_CONV_ROWS);
    const int32_t width = (int32_t)places(c, 1, t->columns);
    if (c->batch_last) {
        const int32_t row = width * t->images;
        t->at_x = (ag_cuda_conv_steps){ 1, height * row, row, t->images };
        t->x_numel = t->channels * height * row;
    } else {
        const int32_t row = row_of(width, t->columns, c->stride[1]), channel = height * row;
        t->at_x = (ag_cuda_conv_steps){ t->channels * channel, channel, row, 1 };
        t->x_numel = t->images * t->channels * channel;
    }
    const int32_t tap = t->outs, column = c->kernel[0] * tap, channel = c->kernel[1] * column;
    return fill_box(&t->x, c->x_stride, (int32_t[]){ t->at_x.image, t->at_x.channel, t->at_x.row, t->at_x.column },
                    (int32_t[]){ t->images, t->channels, height, width },
                    (int32_t[]){ c->batch, c->in, c->size[0], c->size[1] }) &&
           fill_box(&t->w, c->w_stride, (int32_t[]){ 1, channel, tap, column },
                    (int32_t[]){ t->outs, t->channels, c->kernel[0], c->kernel[1] },
                    (int32_t[]){ c->out, c->in, c->kernel[0], c->kernel[1] });
}

/* How many channels fit into shared memory at once; 0: not one. */
static int64_t channels_of(const ag_cuda_conv_direct *t, int64_t item)
{
    const ag_cuda_conv *c = &t->conv;
    const int64_t height = places(c, 0, (int64_t)t->quads * AG_CUDA_CONV_ROWS), width = places(c, 1, t->columns) + 7;
    const int64_t taps = (int64_t)c->kernel[0] * c->kernel[1];
    if (height > 4096 || width > 4096 || taps > 4096) return 0;
    return AG_CUDA_CONV_SHARED / item / (t->images * height * width + taps * t->outs);
}

/* What a multiprocessor has to do at most, in instructions of a warp, roughly. */
static int64_t cost_of(const ag_cuda_conv_direct *t, int64_t threads, int64_t blocks, int processors)
{
    const ag_cuda_conv *c = &t->conv;
    const int64_t a = c->kernel[0], wide = c->out == 1 ? 1 : 4;
    const int64_t copies = t->images * places(c, 0, (int64_t)t->quads * AG_CUDA_CONV_ROWS) * places(c, 1, t->columns) +
                           a * c->kernel[1] * t->outs;
    const int64_t products = c->kernel[1] * (a * (AG_CUDA_CONV_ROWS * wide + 1) + a + 14);
    return over(blocks, processors) * c->in * (over(threads, 32) * products + copies);
}

bool ag__cuda_conv_plan(ag_cuda_conv_direct *t, const ag_cuda_conv *c, int64_t item, int processors)
{
    const int32_t wide = c->out == 1 ? 1 : 4, lanes = c->batch_last ? even(c->batch, 8) : even(c->out_size[1], 32);
    const int32_t outs = (int32_t)over(c->out, wide), most = AG_CUDA_CONV_THREADS / outs / lanes;
    const int32_t quads = (int32_t)over(c->out_size[0], AG_CUDA_CONV_ROWS);
    int64_t cheapest = INT64_MAX;
    if (c->out > FEW || c->transposed || c->in == 0) return false;
    *t = (ag_cuda_conv_direct){ .conv = *c, .outs = outs * wide };
    ag_cuda_conv_direct best = *t;
    for (int32_t k = 1; k <= quads && k <= most; k++) {
        t->quads = even(quads, k);
        const int32_t rest = c->batch_last || t->quads == quads ? most / t->quads : 1; /* of whole columns, several */
        t->images = c->batch_last ? lanes : even(c->batch, rest);
        t->columns = c->batch_last ? even(c->out_size[1], rest) : lanes;
        const int64_t fit = channels_of(t, item);
        if (fit < 1) continue;
        t->channels = even(c->in, smaller(fit, c->in));
        t->threads = outs * t->images * t->quads * t->columns;
        t->row_tiles = (int32_t)over(quads, t->quads);
        t->column_tiles = (int32_t)over(c->out_size[1], t->columns);
        t->blocks = over(c->batch, t->images) * c->groups * t->row_tiles * t->column_tiles;
        const int64_t cost = cost_of(t, t->threads, t->blocks, processors);
        if (cost >= cheapest || t->blocks > INT32_MAX) continue;
        cheapest = cost;
        best = *t;
    }
    *t = best;
    if (cheapest == INT64_MAX) return false;
    return lay_out(t);
}

/* ---- the weight's gradient ---- */

static bool lay_out_weight(ag_cuda_conv_weight_direct *t)
{
    const ag_cuda_conv *c = &t->weight.conv;
    const int32_t height = (int32_t)places(c, 0, t->rows), width = (int32_t)places(c, 1, t->columns);
    const int32_t channel = height * width | 1, image = t->channels * channel; /* odd: channels in different banks */
    const int32_t column = t->outs, row = t->columns * column, plane = t->rows * row;
    t->at_x = (ag_cuda_conv_steps){ image, channel, width, 1 };
    t->shared = t->images * (image + plane);
    const int32_t sums = t->threads * c->kernel[0] * 4;
    if (t->slices > 1 && sums > t->shared) t->shared = sums;
    return fill_box(&t->x, c->x_stride, (int32_t[]){ image, channel, width, 1 },
                    (int32_t[]){ t->images, t->channels, height, width },
                    (int32_t[]){ c->batch, c->in, c->size[0], c->size[1] }) &&
           fill_box(&t->y, c->y_stride, (int32_t[]){ plane, 1, row, column },
                    (int32_t[]){ t->images, t->outs, t->rows, t->columns },
                    (int32_t[]){ c->batch, c->out, c->out_size[0], c->out_size[1] });
}

/* How many rows fit into shared memory, up to as many as leave enough tiles; 0: too few. */
static int64_t rows_of(const ag_cuda_conv_weight_direct *t, int64_t room, int64_t wanted)
{
    const ag_cuda_conv *c = &t->weight.conv;
    const int64_t width = places(c, 1, t->columns), least = smaller(4, c->out_size[0]);
    const int64_t row = t->images * (t->channels * width + t->outs * t->columns);
    const int64_t before = t->images * t->channels * ((c->kernel[0] - 1) * width + 1);
    const int64_t fit = width < 4096 && room > before ? smaller((room - before) / row, c->out_size[0]) : 0;
    const int64_t few = over(c->out_size[0],
                             over(wanted, over(c->batch, t->images) * over(c->out_size[1], t->columns)));
    return fit < least ? 0 : smaller(fit, few > least ? few : least);
}

/* Whole rows if they fit; of small images several, and of images that lie side by side as many as are read at once. */
static bool choose_tile(ag_cuda_conv_weight_direct *t, int64_t item)
{
    const ag_cuda_conv *c = &t->weight.conv;
    const int64_t room = AG_CUDA_CONV_SHARED / item, wanted = over(BLOCKS, t->blocks);
    t->columns = even(c->out_size[1], c->batch_last ? 8 : 32);
    t->images = c->batch_last ? even(c->batch, 8) : 1;
    int64_t rows;
    while (!(rows = rows_of(t, room, wanted))) {
        if (t->columns > 4)
            t->columns = (t->columns + 1) / 2;
        else if (t->images > 1)
            t->images = (t->images + 1) / 2;
        else
            return false;
    }
    t->rows = even(c->out_size[0], rows);
    if (c->batch_last || t->rows < c->out_size[0] || t->columns < c->out_size[1]) return true;
    const int64_t image = t->channels * (places(c, 0, t->rows) * places(c, 1, t->columns) + 1) +
                          (int64_t)t->outs * t->rows * t->columns;
    const int64_t many = smaller(over(c->batch, wanted), room / image);
    t->images = even(c->batch, many > 1 ? many : 1);
    return true;
}

/* Parts of as many tiles as leave enough blocks. */
static void choose_splits(ag_cuda_conv_weight_direct *t)
{
    ag_cuda_conv_weight *g = &t->weight;
    t->row_tiles = (int32_t)over(g->conv.out_size[0], t->rows);
    t->column_tiles = (int32_t)over(g->conv.out_size[1], t->columns);
    t->tiles = over(g->conv.batch, t->images) * t->row_tiles * t->column_tiles;
    g->part = t->tiles * t->blocks / BLOCKS;
    if (g->part < 1) g->part = 1;
    g->splits = (int32_t)over(t->tiles, g->part);
}

bool ag__cuda_conv_weight_plan(ag_cuda_conv_weight_direct *t, const ag_cuda_conv_weight *g, int64_t item)
{
    const ag_cuda_conv *c = &g->conv;
    if (c->out > FEW || c->stride[0] != 1 || c->dilation[0] != 1 || (c->kernel[0] != 3 && c->kernel[0] != 5) ||
        c->kernel[1] > 16)
        return false;
    *t = (ag_cuda_conv_weight_direct){ .weight = *g };
    const int32_t quads = (int32_t)over(c->out, 4);
    t->outs = 4 * quads;
    t->channels = even(c->in, smaller(c->in, AG_CUDA_CONV_THREADS / (quads * c->kernel[1])));
    t->channel_tiles = (int32_t)over(c->in, t->channels);
    t->blocks = (int64_t)t->channel_tiles * c->groups;
    if (!choose_tile(t, item)) return false;
    const int32_t each = quads * t->channels * c->kernel[1];
    t->slices = (int32_t)smaller(smaller(AG_CUDA_CONV_THREADS / each, 16), (int64_t)t->images * t->columns);
    t->threads = each * t->slices;
    choose_splits(t);
    return lay_out_weight(t) && t->blocks <= INT32_MAX && t->shared * item <= 48 << 10;
}
