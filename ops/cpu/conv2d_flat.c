/* conv2d_flat.c - the output of a convolution and its input gradient, with the lanes along rows (conv2d_flat.h).
 *
 * Blocks of the input, some images or some rows of one, are repacked into strips
 *
 *     strip[image][channel][row remainder][column remainder][row][column]         zeros where the padding is
 *
 * (image: some images side by side, [column][image] innermost, if the batch is last); of many images each thread makes
 * blocks of its own. Then tasks, a chunk of positions for some output channels each, go through the block; a task makes
 * the chunk in a small buffer, [channel][position], and copies its rows to the output.
 *
 * The order of a sum is that of conv2d.c, which is PyTorch's.
 */
#include "ops/cpu/conv2d_flat_plan.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"

#include <string.h>

enum {
    STAYS = 512 << 10, /* bytes of a block */
    ENOUGH_TASKS = 16,
    UNIT = 64, /* bytes of images side by side */
};

static const char *at(const void *p, int64_t elements, size_t size)
{
    return (const char *)p + elements * (int64_t)size;
}

static int64_t taps(const ag__flat_plan *p) { return p->rows.kernel * p->columns.kernel; }

static char *packed_piece(const ag__flat_plan *p, int64_t group, int64_t first)
{
    return p->packed + (group * p->out_channels + first) * (taps(p) * p->in_channels + 1) * (int64_t)p->size;
}

/* ---- packing ---- */

/* Items: the pieces of the weight. */
static void pack_weights(void *user, int64_t begin, int64_t end)
{
    const ag__flat_plan *p = user;
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
                    p->kernels->pack_rows(to, 0, channels, 0, channels, at(from, c * p->weight_in, p->size), 0,
                                          p->weight_out, 1);
                    to += channels * (int64_t)p->size;
                }
            }
        }
    }
}

/* The columns of a row with one remainder: [first, end) of `wide` in the strip are those of the input from `in` on. */
typedef struct {
    int64_t wide, first, end, in;
} part_of_row;

static part_of_row part_with(const ag__flat_plan *p, int64_t remainder)
{
    const ag__flat_axis *c = &p->columns;
    const int64_t wide = p->pitch / p->inner, back = c->padding - remainder;
    const int64_t first = ag__min(wide, back > 0 ? ag__ceil_div(back, c->step) : 0);
    const int64_t end = c->in + back <= 0 ? first : ag__max(first, ag__min(wide, (c->in - 1 + back) / c->step + 1));
    return (part_of_row){ wide, first, end, first < end ? first * c->step - back : 0 };
}

/* n rows; `from` is column 0 of the first image. */
static void pack_rows(const ag__flat_plan *p, const part_of_row *part, char *to, const char *from, int64_t valid,
                      int64_t n)
{
    const int64_t size = (int64_t)p->size, columns = part->end - part->first, step = p->columns.step * p->in.stride[3],
                  row = p->rows.step * p->in.stride[2];
    from += part->in * p->in.stride[3] * size;
    if (p->inner == 1) {
        p->kernels->pack_rows(to, p->pitch, part->wide, part->first, part->end, from, row, step, n);
        return;
    }
    const int64_t before = part->first * p->inner * size, after = (part->wide - part->end) * p->inner * size;
    for (; n > 0; n--, to += p->pitch * size, from += row * size) {
        memset(to, 0, (size_t)before);
        memset(to + p->pitch * size - after, 0, (size_t)after);
        if (valid == p->inner && step == p->inner)
            memcpy(to + before, from, (size_t)(columns * p->inner * size));
        else /* what positions of missing images hold is of no matter */
            p->kernels->copy_runs(to + before, p->inner, from, step, valid, columns);
    }
}

/* A plane without remainders whose rows are runs of numbers; `from` is row 0, column 0 of the first image. */
static void copy_plane(const ag__flat_plan *p, char *plane, const char *from)
{
    const int64_t in[2] = { p->rows.in, p->columns.in }, n[2] = { p->n_rows + p->rows.shift, p->pitch / p->inner },
                  first[2] = { p->first_row - p->rows.padding, -p->columns.padding };
    int64_t part[2][2]; /* of the strip, which has input */
    for (int i = 0; i < 2; i++) {
        part[i][0] = ag__min(n[i], ag__max(0, -first[i]));
        part[i][1] = ag__max(part[i][0], ag__min(n[i], in[i] - first[i]));
    }
    if (part[0][0] < part[0][1] && part[1][0] < part[1][1])
        from += ((first[0] + part[0][0]) * p->in.stride[2] + (first[1] + part[1][0]) * p->in.stride[3]) *
                (int64_t)p->size;
    p->planes->copy_plane(plane, p->pitch, n[0], from, p->in.stride[2], part[0],
                          (int64_t[]){ part[1][0] * p->inner, part[1][1] * p->inner });
}

/* Items: the planes of the block's strips. */
static void pack(void *user, int64_t begin, int64_t end)
{
    const ag__flat_plan *p = user;
    const ag__flat_axis *r = &p->rows;
    const bool runs = r->step == 1 && p->columns.step == 1 && p->in.stride[3] == p->inner &&
                      (p->inner == 1 || p->in.stride[0] == 1);
    const int64_t channels = p->groups * p->in_channels, size = (int64_t)p->size;
    for (int64_t item = begin; item < end; item++) {
        const int64_t image = (p->first_image + item / channels) * p->inner;
        const int64_t valid = ag__min(p->inner, p->batch - image);
        const char *from = at(p->in.data, image * p->in.stride[0] + item % channels * p->in.stride[1], p->size);
        char *plane = p->strips + item * p->plane * size;
        const int64_t used = r->remainders * p->columns.remainders * p->remainder;
        if (runs && valid == p->inner) copy_plane(p, plane, from);
        for (int64_t i = 0; i < r->remainders * p->columns.remainders && !(runs && valid == p->inner); i++) {
            const part_of_row part = part_with(p, i % p->columns.remainders);
            const int64_t row = p->first_row * r->step + i / p->columns.remainders - r->padding,
                          rows = p->n_rows + r->shift;
            /* of these rows, [inside, after) are the input's */
            const int64_t inside = ag__min(rows, row < 0 ? ag__ceil_div(-row, r->step) : 0),
                          after = row < r->in ? ag__max(inside, ag__min(rows, (r->in - 1 - row) / r->step + 1))
                                              : inside;
            char *to = plane + i * p->remainder * size;
            memset(to, 0, (size_t)(inside * p->pitch * size));
            memset(to + after * p->pitch * size, 0, (size_t)((rows - after) * p->pitch * size));
            if (inside < after)
                pack_rows(p, &part, to + inside * p->pitch * size,
                          from + (row + inside * r->step) * p->in.stride[2] * size, valid, after - inside);
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
static void copy_out(const ag__flat_plan *p, const char *buffer, int channels, int64_t image, int64_t channel,
                     int64_t q0, int64_t q1)
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
            if (p->inner == 1 && stride[3] == 1)
                p->kernels->copy_runs(to, 0, from, 0, x1 - x0, 1);
            else if (stride[0] == 1 || valid == 1)
                p->kernels->copy_runs(to, stride[3], from, p->inner, valid, x1 - x0);
            else
                for (int64_t x = x0; x < x1; x++, from += p->inner * size, to += stride[3] * size)
                    for (int64_t i = 0; i < valid; i++) memcpy(to + i * stride[0] * size, from + i * size, p->size);
        }
    }
}

/* The lines that copy_out will write are fetched while the sums are made. */
static void fetch(const ag__flat_plan *p, int channels, int64_t image, int64_t channel, int64_t q0, int64_t q1)
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
    const ag__flat_plan *p = user;
    _Alignas(64) char buffer[AG_FLAT_CHANNELS * (AG_FLAT_CHUNK + AG_FLAT_TILE) * sizeof(double)];
    const int64_t block = p->block, together = p->few ? p->in_channels : 1;
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
                .taps = taps(p) * together,
                .offset = p->offset,
                .in_channel = p->plane,
                .out_channel = AG_FLAT_CHUNK + AG_FLAT_TILE,
                .out = buffer,
                .bias = p->bias ? packed : NULL,
            };
            run.weights_tap = p->in_channels / together * run.channels;
            fetch(p, run.channels, (p->first_image + image) * p->inner, group * p->out_channels + first, q0, q1);
            for (int64_t c = 0; c < p->in_channels; c += block) {
                run.in = at(p->strips, ((image * p->groups + group) * p->in_channels + c) * p->plane + q0, p->size);
                run.weights = at(packed, (1 + c) * run.channels, p->size);
                run.in_channels = ag__min(block, p->in_channels - c) / together;
                run.more = c > 0;
                run.relu = p->relu && c + block >= p->in_channels;
                if (c > 0) run.bias = NULL;
                p->kernels->run(&run);
            }
            copy_out(p, buffer, run.channels, (p->first_image + image) * p->inner, group * p->out_channels + first, q0,
                     q1);
        }
    }
}

/* ---- the plan ---- */

/* Elements of a plane for so many rows; sets the distances. */
static int64_t choose_plane(ag__flat_plan *p, int64_t rows)
{
    const int64_t a_line = 64 / (int64_t)p->size;
    p->remainder = (rows + p->rows.shift) * p->pitch + p->columns.shift * p->inner;
    const int64_t elements = p->rows.remainders * p->columns.remainders * p->remainder + AG_FLAT_TILE;
    return p->plane = (ag__ceil_div(elements, a_line) | 1) * a_line; /* as in ag__conv_plane */
}

static void choose_block(ag__flat_plan *p, int64_t *images, int64_t *rows)
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

static void choose_offsets(ag__flat_plan *p)
{
    for (int64_t a = 0; a < p->rows.kernel; a++) {
        for (int64_t b = 0; b < p->columns.kernel; b++) {
            const int64_t row = (p->turned ? p->rows.kernel - 1 - a : a) * p->rows.dilation,
                          column = (p->turned ? p->columns.kernel - 1 - b : b) * p->columns.dilation;
            const int64_t tap = a * p->columns.kernel + b, channels = p->few ? p->in_channels : 1;
            for (int64_t c = 0; c < channels; c++)
                p->offset[tap * channels + c] =
                    c * p->plane +
                    (row % p->rows.step * p->columns.remainders + column % p->columns.step) * p->remainder +
                    row / p->rows.step * p->pitch + column / p->columns.step * p->inner;
        }
    }
}

/* ---- blocks ---- */

/* Blocks of so many images and rows; of an image the rows come one after the other. */
typedef struct {
    const ag__flat_plan *whole;
    int64_t images, rows, row_blocks;
    bool apart; /* each thread makes its own */
} flat_cut;

static void make_block(const void *user, int64_t block, char *strips)
{
    const flat_cut *b = user;
    ag__flat_plan own = *b->whole, *p = &own;
    p->strips = strips;
    const int64_t channels = p->groups * p->in_channels, piece_work = taps(p) * p->in_channels * p->kernels->channels;
    p->first_image = block / b->row_blocks * b->images;
    p->images = ag__min(b->images, ag__ceil_div(p->batch, p->inner) - p->first_image);
    p->first_row = block % b->row_blocks * b->rows;
    p->n_rows = ag__min(b->rows, p->rows.out - p->first_row);
    ag__parallel_for(p->images * channels, 1 + 16384 / p->plane, pack, p);
    p->chunks = ag__ceil_div(p->n_rows * p->pitch, p->chunk);
    const int64_t tasks = p->images * p->groups * p->chunks;
    p->pieces_a_task = b->apart ? p->pieces : ag__max(1, ag__min(p->pieces, tasks * p->pieces / ENOUGH_TASKS));
    p->piece_tasks = ag__ceil_div(p->pieces, p->pieces_a_task);
    ag__parallel_for(tasks * p->piece_tasks, 1 + AG_CONV_TASK / 2 / (p->chunk * piece_work * p->pieces_a_task),
                     make_chunks, p);
}

bool ag__flat_convolve(ag__flat_plan *p)
{
    p->inner = 1;
    if (p->batch > 1 && p->in.stride[0] == 1)
        p->inner = ag__ceil_div(p->batch, ag__ceil_div(p->batch, UNIT / (int64_t)p->size));
    p->pitch = ag__flat_columns(&p->columns) * p->inner;
    p->pieces = ag__ceil_div(p->out_channels, p->kernels->channels);
    p->few = p->in_channels <= AG_FLAT_FEW;
    p->chunk = AG_FLAT_CHUNK / p->inner * p->inner;
    flat_cut cut = { .whole = p };
    choose_block(p, &cut.images, &cut.rows);
    choose_offsets(p);
    cut.row_blocks = ag__ceil_div(p->rows.out, cut.rows);
    const int64_t blocks = ag__ceil_div(ag__ceil_div(p->batch, p->inner), cut.images) * cut.row_blocks;
    ag__conv_blocks b = { .make = make_block,
                          .user = &cut,
                          .bytes = cut.images * p->groups * p->in_channels * p->plane * (int64_t)p->size };
    ag__conv_choose_slots(&b, blocks);
    cut.apart = b.slots.n > 1;

    const int64_t weights = ag__ceil_div(p->groups * p->out_channels * (taps(p) * p->in_channels + 1), 16) * 16;
    p->packed = ag__scratch((size_t)weights * p->size + (size_t)(b.slots.n * b.bytes));
    if (!p->packed) return false;
    b.strips = p->packed + weights * (int64_t)p->size;
    const int64_t piece_work = taps(p) * p->in_channels * p->kernels->channels;
    ag__parallel_for(p->groups * p->pieces, 1 + 16384 / piece_work, pack_weights, p);
    ag__conv_make_blocks(&b, blocks);
    ag__scratch_free(p->packed);
    return true;
}
