/* conv2d_flat.c - the output of a convolution and its input gradient, with the lanes along rows (conv2d_flat.h).
 *
 * Blocks of the input, some images or some rows of one, are repacked into strips
 *
 *     strip[image][channel][row remainder][column remainder][row][column]         zeros where the padding is
 *
 * (image: some images side by side, [column][image] innermost, if the batch is last). Then tasks, a chunk of positions
 * for some output channels each, go through the block; a task makes the chunk in a small buffer, [channel][position],
 * and copies its rows to the output.
 *
 * The order of a sum is that of conv2d.c, which is PyTorch's.
 */
#include "ops/cpu/conv2d_flat.h"
#include "ops/cpu/conv2d_lanes.h"
#include "ops/cpu/isa.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"

#include <string.h>

AG_ISA_TABLES(ag__conv2d_flat_kernels, ag__conv2d_flat_f32)
AG_ISA_TABLES(ag__conv2d_flat_kernels, ag__conv2d_flat_f64)

enum {
    MOST_TAPS = 128,   /* kernel positions */
    STAYS = 512 << 10, /* bytes of a block */
    ENOUGH_TASKS = 16,
    BLOCK = 16, /* in channels whose sum begins at 0 */
    UNIT = 64,  /* bytes of images side by side */
};

typedef struct {
    int64_t in, out, kernel, step, dilation, padding; /* padding below 0: what is left out */
    int64_t remainders, shift; /* remainders that kernel positions have modulo step; most rows or columns they are on */
} axis;

typedef struct {
    const ag__conv2d_flat_kernels *kernels;
    size_t size; /* of an element */
    ag__conv2d_in in;
    ag__conv2d_out out;
    axis rows, columns;
    int64_t batch, inner; /* images; side by side in a strip */
    int64_t groups, in_channels, out_channels;

    /* weight of (group, out channel, in channel, kernel row, kernel column) */
    const void *weight, *bias;
    int64_t weight_group, weight_out, weight_in, weight_row, weight_column, bias_stride;
    bool turned; /* the first kernel position meets the input that the last would */

    int64_t pitch;  /* elements from a row of a strip to the next */
    int64_t pieces; /* of the output channels of a group: for each, packed: [channel] bias, [row][column][in channel]
                     * [channel] weight */
    char *packed, *strips;

    /* the block at hand */
    int64_t first_image, images, first_row, n_rows; /* images in units of `inner`; rows of the output */
    int64_t remainder, plane;                       /* elements from a remainder, a channel to the next */
    int64_t offset[MOST_TAPS];
    int64_t chunk, chunks, pieces_a_task, piece_tasks;
} flat_plan;

static const char *at(const void *p, int64_t elements, size_t size)
{
    return (const char *)p + elements * (int64_t)size;
}

static int64_t taps(const flat_plan *p) { return p->rows.kernel * p->columns.kernel; }

static char *packed_piece(const flat_plan *p, int64_t group, int64_t first)
{
    return p->packed + (group * p->out_channels + first) * (taps(p) * p->in_channels + 1) * (int64_t)p->size;
}

/* ---- packing ---- */

/* Items: the pieces of the weight. */
static void pack_weights(void *user, int64_t begin, int64_t end)
{
    const flat_plan *p = user;
    for (int64_t item = begin; item < end; item++) {
        const int64_t group = item / p->pieces, first = ag__piece(p->out_channels, p->pieces, item % p->pieces),
                      channels = ag__piece(p->out_channels, p->pieces, item % p->pieces + 1) - first;
        char *to = packed_piece(p, group, first);
        for (int64_t o = 0; o < channels; o++, to += p->size)
            if (p->bias)
                memcpy(to, at(p->bias, (group * p->out_channels + first + o) * p->bias_stride, p->size), p->size);
        for (int64_t a = 0; a < p->rows.kernel; a++) {
            for (int64_t b = 0; b < p->columns.kernel; b++) {
                const char *from = at(p->weight,
                                      group * p->weight_group + first * p->weight_out + a * p->weight_row +
                                          b * p->weight_column,
                                      p->size);
                for (int64_t c = 0; c < p->in_channels; c++) {
                    p->kernels->gather(to, at(from, c * p->weight_in, p->size), channels, p->weight_out);
                    to += channels * (int64_t)p->size;
                }
            }
        }
    }
}

/* The columns with this remainder of a row; `from` is column 0 of the first image. */
static void pack_row(const flat_plan *p, char *to, const char *from, int64_t remainder, int64_t valid)
{
    const axis *c = &p->columns;
    const int64_t wide = p->pitch / p->inner, size = (int64_t)p->size, back = c->padding - remainder;
    const int64_t first = ag__min(wide, back > 0 ? ag__ceil_div(back, c->step) : 0);
    const int64_t end = c->in + back <= 0 ? first : ag__max(first, ag__min(wide, (c->in - 1 + back) / c->step + 1));
    memset(to, 0, (size_t)(first * p->inner * size));
    memset(to + end * p->inner * size, 0, (size_t)((wide - end) * p->inner * size));
    if (first == end) return;
    to += first * p->inner * size;
    from += (first * c->step - back) * p->in.stride[3] * size;
    const int64_t n = end - first, step = c->step * p->in.stride[3];
    if (p->inner == 1) {
        p->kernels->gather(to, from, n, step);
    } else if (valid == p->inner && step == p->inner && p->in.stride[0] == 1) {
        memcpy(to, from, (size_t)(n * p->inner * size));
    } else {
        p->kernels->gather_images(to, from, n, step, p->inner, valid, p->in.stride[0]);
    }
}

/* Items: the planes of the block's strips. */
static void pack(void *user, int64_t begin, int64_t end)
{
    const flat_plan *p = user;
    const axis *r = &p->rows;
    const int64_t channels = p->groups * p->in_channels, size = (int64_t)p->size;
    for (int64_t item = begin; item < end; item++) {
        const int64_t image = (p->first_image + item / channels) * p->inner;
        const int64_t valid = ag__min(p->inner, p->batch - image);
        const char *from = at(p->in.data, image * p->in.stride[0] + item % channels * p->in.stride[1], p->size);
        char *plane = p->strips + item * p->plane * size;
        const int64_t used = r->remainders * p->columns.remainders * p->remainder;
        for (int64_t a = 0; a < r->remainders; a++) {
            for (int64_t i = 0; i < p->n_rows + r->shift; i++) {
                const int64_t row = (p->first_row + i) * r->step + a - r->padding;
                for (int64_t b = 0; b < p->columns.remainders; b++) {
                    char *to = plane + ((a * p->columns.remainders + b) * p->remainder + i * p->pitch) * size;
                    if (row < 0 || row >= r->in)
                        memset(to, 0, (size_t)(p->pitch * size));
                    else
                        pack_row(p, to, from + row * p->in.stride[2] * size, b, valid);
                }
            }
        }
        for (int64_t i = 0; i < r->remainders * p->columns.remainders; i++) { /* what the last row has to its right */
            const int64_t end_of = i * p->remainder + (p->n_rows + r->shift) * p->pitch;
            memset(plane + end_of * size, 0, (size_t)((i * p->remainder + p->remainder - end_of) * size));
        }
        memset(plane + used * size, 0, (size_t)((p->plane - used) * size));
    }
}

/* ---- computing ---- */

/* Positions [q0, q1) of a buffer [channel][position] to the output, from this channel on. */
static void copy_out(const flat_plan *p, const char *buffer, int channels, int64_t image, int64_t channel, int64_t q0,
                     int64_t q1)
{
    const int64_t *stride = p->out.stride, size = (int64_t)p->size, wide = p->columns.out;
    const int64_t valid = ag__min(p->inner, p->batch - image);
    for (int64_t y = q0 / p->pitch; y < p->n_rows && y * p->pitch < q1; y++) {
        const int64_t x0 = (ag__max(q0, y * p->pitch) - y * p->pitch) / p->inner,
                      x1 = ag__min(wide, (q1 - y * p->pitch) / p->inner);
        for (int o = 0; o < channels && x0 < x1; o++) {
            const char *from = buffer + (o * (AG_FLAT_CHUNK + AG_FLAT_TILE) + y * p->pitch + x0 * p->inner - q0) * size;
            char *to = (char *)p->out.data + (image * stride[0] + (channel + o) * stride[1] +
                                              (p->first_row + y) * stride[2] + x0 * stride[3]) *
                                                 size;
            if ((p->inner == 1 && stride[3] == 1) || (valid == p->inner && stride[3] == valid && stride[0] == 1)) {
                memcpy(to, from, (size_t)((x1 - x0) * p->inner * size));
                continue;
            }
            for (int64_t x = x0; x < x1; x++, from += p->inner * size, to += stride[3] * size) {
                if (stride[0] == 1 || valid == 1)
                    memcpy(to, from, (size_t)(valid * size));
                else
                    for (int64_t i = 0; i < valid; i++) memcpy(to + i * stride[0] * size, from + i * size, p->size);
            }
        }
    }
}

/* The lines that copy_out will write are fetched while the sums are made. */
static void fetch(const flat_plan *p, int channels, int64_t image, int64_t channel, int64_t q0, int64_t q1)
{
    const int64_t *stride = p->out.stride, size = (int64_t)p->size;
    for (int64_t y = q0 / p->pitch; y < p->n_rows && y * p->pitch < q1; y++) {
        const int64_t x0 = (ag__max(q0, y * p->pitch) - y * p->pitch) / p->inner,
                      x1 = ag__min(p->columns.out, (q1 - y * p->pitch) / p->inner);
        for (int o = 0; o < channels && x0 < x1; o++) {
            const char *to = at(p->out.data,
                                image * stride[0] + (channel + o) * stride[1] + (p->first_row + y) * stride[2] +
                                    x0 * stride[3],
                                p->size);
            for (int64_t i = 0; i < (x1 - x0) * stride[3] * size;
                 i += ag__max(64, p->inner > 1 ? stride[3] * size : 64))
                __builtin_prefetch(to + i, 1);
        }
    }
}

/* Tasks: a chunk of positions of one image, for some pieces of the output channels of one group. */
static void make_chunks(void *user, int64_t begin, int64_t end)
{
    const flat_plan *p = user;
    _Alignas(64) char buffer[AG_FLAT_CHANNELS * (AG_FLAT_CHUNK + AG_FLAT_TILE) * sizeof(double)];
    const int64_t block = taps(p) == 1 ? p->in_channels : BLOCK;
    for (int64_t i = begin; i < end; i++) {
        const int64_t piece0 = i % p->piece_tasks * p->pieces_a_task, rest = i / p->piece_tasks,
                      q0 = rest % p->chunks * p->chunk, group = rest / p->chunks % p->groups,
                      image = rest / p->chunks / p->groups;
        const int64_t q1 = ag__min(q0 + p->chunk, p->n_rows * p->pitch);
        for (int64_t piece = piece0; piece < ag__min(piece0 + p->pieces_a_task, p->pieces); piece++) {
            const int64_t first = ag__piece(p->out_channels, p->pieces, piece);
            const char *packed = packed_piece(p, group, first);
            ag__conv_flat_run run = {
                .channels = (int)(ag__piece(p->out_channels, p->pieces, piece + 1) - first),
                .n = q1 - q0,
                .taps = taps(p),
                .offset = p->offset,
                .in_channel = p->plane,
                .out_channel = AG_FLAT_CHUNK + AG_FLAT_TILE,
                .out = buffer,
                .bias = p->bias ? packed : NULL,
            };
            run.weights_tap = p->in_channels * run.channels;
            fetch(p, run.channels, (p->first_image + image) * p->inner, group * p->out_channels + first, q0, q1);
            for (int64_t c = 0; c < p->in_channels; c += block) {
                run.in = at(p->strips, ((image * p->groups + group) * p->in_channels + c) * p->plane + q0, p->size);
                run.weights = at(packed, (1 + c) * run.channels, p->size);
                run.in_channels = ag__min(block, p->in_channels - c);
                run.more = c > 0;
                if (c > 0) run.bias = NULL;
                p->kernels->run(&run);
            }
            copy_out(p, buffer, run.channels, (p->first_image + image) * p->inner, group * p->out_channels + first, q0,
                     q1);
        }
    }
}

/* ---- the plan ---- */

static axis axis_of(int64_t in, int64_t out, int64_t kernel, int64_t step, int64_t dilation, int64_t padding)
{
    const int64_t reach = (kernel - 1) * dilation;
    return (axis){ in, out, kernel, step, dilation, padding, ag__min(step, reach + 1), reach / step };
}

/* Columns of a strip. Without a stride the zeros at the right of a row are those at the left of the next one. */
static int64_t columns_of(const axis *c)
{
    if (c->step > 1) return c->out + c->shift;
    const int64_t left = ag__max(0, c->padding), right = ag__max(0, c->out + c->shift - c->padding - c->in);
    return ag__max(c->out, ag__min(c->in + ag__max(left, right), c->out + c->shift));
}

/* Elements of a plane for so many rows; sets the distances. */
static int64_t choose_plane(flat_plan *p, int64_t rows)
{
    const int64_t a_line = 64 / (int64_t)p->size;
    p->remainder = (rows + p->rows.shift) * p->pitch + p->columns.shift * p->inner;
    const int64_t elements = p->rows.remainders * p->columns.remainders * p->remainder + AG_FLAT_TILE;
    return p->plane = (ag__ceil_div(elements, a_line) | 1) * a_line; /* as in ag__conv_plane */
}

static void choose_block(flat_plan *p, int64_t *images, int64_t *rows)
{
    const double channel_bytes = (double)(p->groups * p->in_channels) * (double)p->size;
    *rows = p->rows.out;
    double bytes = channel_bytes * (double)choose_plane(p, *rows);
    while (*rows > 1 && ((bytes > STAYS && *rows * p->rows.step > 8 * (p->rows.kernel - 1) * p->rows.dilation) ||
                         bytes > (double)ag__conv_strip_bytes)) {
        *rows = ag__ceil_div(*rows, 2);
        bytes = channel_bytes * (double)choose_plane(p, *rows);
    }
    *images = 1;
    if (*rows == p->rows.out)
        *images = ag__max(
            1, ag__min(ag__ceil_div(p->batch, p->inner), (int64_t)(ag__min(STAYS, ag__conv_strip_bytes) / bytes)));
}

static void choose_offsets(flat_plan *p)
{
    for (int64_t a = 0; a < p->rows.kernel; a++) {
        for (int64_t b = 0; b < p->columns.kernel; b++) {
            const int64_t row = (p->turned ? p->rows.kernel - 1 - a : a) * p->rows.dilation,
                          column = (p->turned ? p->columns.kernel - 1 - b : b) * p->columns.dilation;
            p->offset[a * p->columns.kernel + b] =
                (row % p->rows.step * p->columns.remainders + column % p->columns.step) * p->remainder +
                row / p->rows.step * p->pitch + column / p->columns.step * p->inner;
        }
    }
}

static bool convolve(flat_plan *p)
{
    p->inner = 1;
    if (p->batch > 1 && p->in.stride[0] == 1) p->inner = ag__min(p->batch, UNIT / (int64_t)p->size);
    p->pitch = columns_of(&p->columns) * p->inner;
    p->pieces = ag__ceil_div(p->out_channels, p->kernels->channels);
    int64_t images, rows;
    choose_block(p, &images, &rows);
    const int64_t channels = p->groups * p->in_channels, all = ag__ceil_div(p->batch, p->inner);
    const int64_t weights = ag__ceil_div(p->groups * p->out_channels * (taps(p) * p->in_channels + 1), 16) * 16;
    p->packed = ag__scratch((size_t)(weights + images * channels * p->plane) * p->size);
    if (!p->packed) return false;
    p->strips = p->packed + weights * (int64_t)p->size;
    choose_offsets(p);
    p->chunk = AG_FLAT_CHUNK / p->inner * p->inner;

    const int64_t piece_work = taps(p) * p->in_channels * p->kernels->channels;
    ag__parallel_for(p->groups * p->pieces, 1 + 16384 / piece_work, pack_weights, p);
    for (p->first_image = 0; p->first_image < all; p->first_image += images) {
        p->images = ag__min(images, all - p->first_image);
        for (p->first_row = 0; p->first_row < p->rows.out; p->first_row += rows) {
            p->n_rows = ag__min(rows, p->rows.out - p->first_row);
            ag__parallel_for(p->images * channels, 1 + 16384 / p->plane, pack, p);
            p->chunks = ag__ceil_div(p->n_rows * p->pitch, p->chunk);
            const int64_t tasks = p->images * p->groups * p->chunks;
            p->pieces_a_task = ag__max(1, ag__min(p->pieces, tasks * p->pieces / ENOUGH_TASKS));
            p->piece_tasks = ag__ceil_div(p->pieces, p->pieces_a_task);
            ag__parallel_for(tasks * p->piece_tasks, 1 + AG_CONV_TASK / 2 / (p->chunk * piece_work * p->pieces_a_task),
                             make_chunks, p);
        }
    }
    ag__scratch_free(p->packed);
    return true;
}

/* ---- the two ways of numbering ---- */

static flat_plan plan_of(const ag__conv2d_shape *s, ag__conv2d_in in, ag__conv2d_out out)
{
    return (flat_plan){
        .kernels = s->dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__conv2d_flat_f32) : AG_ISA_PICK(ag__conv2d_flat_f64),
        .size = s->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double),
        .in = in,
        .out = out,
        .batch = s->batch,
        .groups = s->groups,
    };
}

/* Enough channels on both sides, few positions between rows, and runs of neighbours to copy. */
static bool suits(const axis *rows, const axis *columns, int64_t in_channels, int64_t out_channels, int64_t batch,
                  const int64_t *in_stride, const int64_t *out_stride)
{
    const int64_t positions = rows->kernel * columns->kernel, inner = in_stride[0] == 1 ? ag__min(batch, 16) : 1;
    const bool contiguous = in_stride[3] == 1 && out_stride[3] == 1, last = in_stride[0] == 1 && out_stride[0] == 1;
    return positions > 1 && positions <= MOST_TAPS && in_channels * positions >= 32 && out_channels >= 16 &&
           (contiguous || (last && (columns->step == 1 || batch < 16))) &&
           columns_of(columns) * 9 <= columns->out * 10 && rows->out * columns->out * inner >= 64;
}

bool ag__conv2d_flat_suits_forward(const ag__conv2d_shape *s, const int64_t *input_stride, const int64_t *output_stride)
{
    axis a[2];
    for (int i = 0; i < 2; i++)
        a[i] = axis_of(s->size[i], s->out_size[i], s->kernel[i], s->stride[i], s->dilation[i], s->padding[i]);
    return suits(&a[0], &a[1], s->channels / s->groups, s->out_channels / s->groups, s->batch, input_stride,
                 output_stride);
}

bool ag__conv2d_flat_suits_input_gradient(const ag__conv2d_shape *s, const int64_t *gradient_stride,
                                          const int64_t *input_stride)
{
    if (s->stride[0] != 1 || s->stride[1] != 1) return false;
    axis a[2];
    for (int i = 0; i < 2; i++)
        a[i] = axis_of(s->out_size[i], s->size[i], s->kernel[i], 1, s->dilation[i],
                       (s->kernel[i] - 1) * s->dilation[i] - s->padding[i]);
    return suits(&a[0], &a[1], s->out_channels / s->groups, s->channels / s->groups, s->batch, gradient_stride,
                 input_stride);
}

bool ag__conv2d_flat_forward(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in weight, const void *bias,
                             int64_t bias_stride, ag__conv2d_out output)
{
    flat_plan p = plan_of(s, input, output);
    p.rows = axis_of(s->size[0], s->out_size[0], s->kernel[0], s->stride[0], s->dilation[0], s->padding[0]);
    p.columns = axis_of(s->size[1], s->out_size[1], s->kernel[1], s->stride[1], s->dilation[1], s->padding[1]);
    p.in_channels = s->channels / s->groups;
    p.out_channels = s->out_channels / s->groups;
    p.weight = weight.data;
    p.weight_group = p.out_channels * weight.stride[0];
    p.weight_out = weight.stride[0];
    p.weight_in = weight.stride[1];
    p.weight_row = weight.stride[2];
    p.weight_column = weight.stride[3];
    p.bias = bias;
    p.bias_stride = bias_stride;
    return convolve(&p);
}

bool ag__conv2d_flat_input_gradient(const ag__conv2d_shape *s, ag__conv2d_in output_gradient, ag__conv2d_in weight,
                                    ag__conv2d_out input_gradient)
{
    flat_plan p = plan_of(s, output_gradient, input_gradient);
    p.rows = axis_of(s->out_size[0], s->size[0], s->kernel[0], 1, s->dilation[0],
                     (s->kernel[0] - 1) * s->dilation[0] - s->padding[0]);
    p.columns = axis_of(s->out_size[1], s->size[1], s->kernel[1], 1, s->dilation[1],
                        (s->kernel[1] - 1) * s->dilation[1] - s->padding[1]);
    p.in_channels = s->out_channels / s->groups;
    p.out_channels = s->channels / s->groups;
    p.weight = weight.data;
    p.weight_group = p.in_channels * weight.stride[0];
    p.weight_out = weight.stride[1];
    p.weight_in = weight.stride[0];
    p.weight_row = weight.stride[2];
    p.weight_column = weight.stride[3];
    p.turned = true;
    return convolve(&p);
}
