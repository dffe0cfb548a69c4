/* conv2d_points.c - see conv2d_points.h.
 *
 * A block is some images, or some rows of all images where those are innermost; its pixels lie in the order in which
 * the output lies. In the input gradient what no output meets is 0.
 */
#include "ops/cpu/conv2d_points.h"
#include "ops/cpu/conv2d_lanes.h"
#include "ops/cpu/conv2d_product.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"

#include <string.h>

enum { N, C, H, W, DIMS };

/* A block: the convolution of its pixels, without steps; the first image and output row; the pixels, dense. */
typedef struct {
    const ag__conv2d_shape *whole;
    ag__conv2d_shape s;
    int64_t image, row;
    ag__conv2d_out pixels;
    int order[DIMS]; /* of the pixels' dimensions, outermost first */
    int64_t size;    /* of an element */

    /* the input or its gradient, from the block's first image and row on; its sizes there */
    char *all;
    const int64_t *stride;
    int64_t n[DIMS];
    int all_order[DIMS];
} block;

static void order_by(const int64_t *stride, int order[DIMS])
{
    for (int i = 0; i < DIMS; i++) {
        int k = i;
        for (; k > 0 && stride[order[k - 1]] < stride[i]; k--) order[k] = order[k - 1];
        order[k] = i;
    }
}

static void size_of(const ag__conv2d_shape *s, int64_t n[DIMS])
{
    n[N] = s->batch;
    n[C] = s->channels;
    n[H] = s->size[0];
    n[W] = s->size[1];
}

/* What the convolution is of so many images and rows once the pixels are gathered, and where those lie. */
static void shape_block(block *b, int64_t images, int64_t rows)
{
    const ag__conv2d_shape *s = b->whole;
    b->s = *s;
    b->s.batch = images;
    b->s.size[0] = b->s.out_size[0] = rows;
    b->s.size[1] = s->out_size[1];
    b->s.stride[0] = b->s.stride[1] = 1;
    int64_t n[DIMS], step = 1;
    size_of(&b->s, n);
    for (int i = DIMS - 1; i >= 0; step *= n[b->order[i--]]) b->pixels.stride[b->order[i]] = step;
}

bool ag__conv2d_are_points(const ag__conv2d_shape *s, const int64_t *output_stride)
{
    for (int i = 0; i < 2; i++)
        if (s->kernel[i] != 1 || s->padding[i] != 0) return false;
    if (s->stride[0] * s->stride[1] == 1) return false;
    block b = { .whole = s };
    order_by(output_stride, b.order);
    shape_block(&b, s->batch, s->out_size[0]);
    return ag__conv2d_is_long_product(&b.s, b.pixels.stride, output_stride);
}

/* ---- pixels ---- */

static void copy_run(const block *b, char *to, int64_t to_step, const char *from, int64_t from_step, int64_t n)
{
    if (to_step == 1 && from_step == 1) {
        memcpy(to, from, (size_t)(n * b->size));
    } else if (b->size == sizeof(float)) {
        for (int64_t i = 0; i < n; i++) memcpy(to + i * to_step * 4, from + i * from_step * 4, 4);
    } else {
        for (int64_t i = 0; i < n; i++) memcpy(to + i * to_step * 8, from + i * from_step * 8, 8);
    }
}

/* Items: the pixels' two outermost dimensions. */
static void gather(void *user, int64_t begin, int64_t end)
{
    const block *b = user;
    const int *order = b->order;
    int64_t n[DIMS], step[DIMS];
    size_of(&b->s, n);
    for (int i = 0; i < DIMS; i++) step[i] = b->stride[i] * (i >= H ? b->whole->stride[i - H] : 1);
    for (int64_t item = begin; item < end; item++) {
        const int64_t i = item / n[order[1]], j = item % n[order[1]];
        const char *from = b->all + (i * step[order[0]] + j * step[order[1]]) * b->size;
        char *to = (char *)b->pixels.data + (i * b->pixels.stride[order[0]] + j * b->pixels.stride[order[1]]) * b->size;
        for (int64_t k = 0; k < n[order[2]]; k++)
            copy_run(b, to + k * b->pixels.stride[order[2]] * b->size, 1, from + k * step[order[2]] * b->size,
                     step[order[3]], n[order[3]]);
    }
}

/* Whether an output meets this index, which becomes the pixels'. */
static bool is_met(const block *b, int dim, int64_t *index)
{
    if (dim < H) return true;
    const int64_t stride = b->whole->stride[dim - H];
    const bool met = *index % stride == 0;
    *index /= stride;
    return met && *index < b->s.size[dim - H];
}

static void clear_run(const block *b, char *to, int64_t step, int64_t n)
{
    if (step == 1)
        memset(to, 0, (size_t)(n * b->size));
    else
        for (int64_t i = 0; i < n; i++) memset(to + i * step * b->size, 0, (size_t)b->size);
}

/* Items: the input gradient's two outermost dimensions. */
static void scatter(void *user, int64_t begin, int64_t end)
{
    const block *b = user;
    const int *order = b->all_order;
    const int64_t *stride = b->stride, *pixel = b->pixels.stride;
    const int last = order[3];
    const int64_t every = last >= H ? b->whole->stride[last - H] : 1,
                  met = last >= H ? b->s.size[last - H] : b->n[last];
    for (int64_t item = begin; item < end; item++) {
        int64_t i = item / b->n[order[1]], j = item % b->n[order[1]];
        char *plane = b->all + (i * stride[order[0]] + j * stride[order[1]]) * b->size;
        const bool first = is_met(b, order[0], &i), second = is_met(b, order[1], &j), plane_met = first && second;
        for (int64_t k = 0; k < b->n[order[2]]; k++) {
            char *to = plane + k * stride[order[2]] * b->size;
            int64_t at = k;
            const bool here = is_met(b, order[2], &at) && plane_met;
            if (!here || every > 1) clear_run(b, to, stride[last], b->n[last]);
            if (here)
                copy_run(b, to, every * stride[last],
                         (const char *)b->pixels.data +
                             (i * pixel[order[0]] + j * pixel[order[1]] + at * pixel[order[2]]) * b->size,
                         pixel[last], met);
        }
    }
}

static void share_out(block *b, const int64_t n[DIMS], const int order[DIMS],
                      void (*body)(void *user, int64_t begin, int64_t end))
{
    ag__parallel_for(n[order[0]] * n[order[1]], 1 + 16384 / (n[order[2]] * n[order[3]]), body, b);
}

/* ---- blocks ---- */

typedef bool block_function(block *b, const void *user);

/* All blocks one after the other; x is the input or its gradient, y the output or its gradient. */
static bool each_block(const ag__conv2d_shape *s, void *x, const int64_t *x_stride, const int64_t *y_stride,
                       block_function *function, const void *user)
{
    block b = { .whole = s, .stride = x_stride, .size = s->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double) };
    order_by(y_stride, b.order);
    order_by(x_stride, b.all_order);
    const bool by_rows = b.order[0] != N;
    const int64_t a_row = s->channels * s->out_size[1] * b.size,
                  each = by_rows ? a_row * s->batch : a_row * s->out_size[0],
                  most = ag__max(1, ag__conv_strip_bytes / each);
    const int64_t images = by_rows ? s->batch : ag__min(s->batch, most),
                  rows = by_rows ? ag__min(s->out_size[0], most) : s->out_size[0];
    b.pixels.data = ag__scratch((size_t)(images * rows * a_row));
    if (!b.pixels.data) return false;
    bool ok = true;
    for (b.image = 0; b.image < s->batch && ok; b.image += images) {
        for (b.row = 0; b.row < s->out_size[0] && ok; b.row += rows) {
            shape_block(&b, ag__min(images, s->batch - b.image), ag__min(rows, s->out_size[0] - b.row));
            size_of(s, b.n);
            b.n[N] = b.s.batch;
            /* rows behind the last one that is met belong to the last block */
            const int64_t first = b.row * s->stride[0], end = (b.row + b.s.size[0]) * s->stride[0];
            b.n[H] = (b.row + b.s.size[0] == s->out_size[0] ? s->size[0] : end) - first;
            b.all = (char *)x + (b.image * x_stride[N] + first * x_stride[H]) * b.size;
            ok = function(&b, user);
        }
    }
    ag__scratch_free(b.pixels.data);
    return ok;
}

static void gather_all(block *b)
{
    int64_t n[DIMS];
    size_of(&b->s, n);
    share_out(b, n, b->order, gather);
}
static ag__conv2d_in pixels_in(const block *b)
{
    ag__conv2d_in in = { .data = b->pixels.data };
    memcpy(in.stride, b->pixels.stride, sizeof in.stride);
    return in;
}
/* The block's part of the output, or of its gradient. */
static int64_t place_in(const block *b, const int64_t *stride)
{
    return (b->image * stride[N] + b->row * stride[H]) * b->size;
}

typedef struct {
    ag__conv2d_in weight, gradient;
    ag__conv2d_out out; /* the output, or the weight's gradient */
    const void *bias;
    int64_t bias_stride;
} operands;

static bool forward(block *b, const void *user)
{
    const operands *o = user;
    ag__conv2d_out out = o->out;
    out.data = (char *)out.data + place_in(b, out.stride);
    gather_all(b);
    return ag__conv2d_product_forward(&b->s, pixels_in(b), o->weight, o->bias, o->bias_stride, out);
}
bool ag__conv2d_points_forward(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in weight, const void *bias,
                               int64_t bias_stride, ag__conv2d_out output)
{
    const operands o = { .weight = weight, .out = output, .bias = bias, .bias_stride = bias_stride };
    return each_block(s, (void *)(uintptr_t)input.data, input.stride, output.stride, forward, &o);
}

static ag__conv2d_in gradient_of(const block *b, const operands *o)
{
    ag__conv2d_in g = o->gradient;
    g.data = (const char *)g.data + place_in(b, g.stride);
    return g;
}
static bool input_gradient_of(block *b, const void *user)
{
    const operands *o = user;
    if (!ag__conv2d_product_input_gradient(&b->s, gradient_of(b, o), o->weight, b->pixels)) return false;
    share_out(b, b->n, b->all_order, scatter);
    return true;
}
bool ag__conv2d_points_input_gradient(const ag__conv2d_shape *s, ag__conv2d_in output_gradient, ag__conv2d_in weight,
                                      ag__conv2d_out input_gradient)
{
    const operands o = { .weight = weight, .gradient = output_gradient };
    return each_block(s, input_gradient.data, input_gradient.stride, output_gradient.stride, input_gradient_of, &o);
}

static bool weight_gradient_of(block *b, const void *user)
{
    const operands *o = user;
    gather_all(b);
    return ag__conv2d_product_weight_gradient(&b->s, pixels_in(b), gradient_of(b, o), b->image + b->row > 0, o->out);
}
bool ag__conv2d_points_weight_gradient(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in output_gradient,
                                       ag__conv2d_out weight_gradient)
{
    const operands o = { .gradient = output_gradient, .out = weight_gradient };
    return each_block(s, (void *)(uintptr_t)input.data, input.stride, output_gradient.stride, weight_gradient_of, &o);
}
