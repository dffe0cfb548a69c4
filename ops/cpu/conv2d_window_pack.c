/* conv2d_window_pack.c - the strips of conv2d_window.c: pixels with their channels side by side. */
#include "ops/cpu/conv2d_window_plan.h"

#include <string.h>

enum { MOST_RUNS = 64 }; /* turned at once: whole registers of every instruction set */

/* Pixels of a tensor to a strip's, to[image][pixel][run], image by image `apart`, from the block's first image on; a
 * run begins in that image. Batch-last: `together`, all images at once. */
typedef struct {
    const int64_t *stride; /* of the tensor */
    const void *const *runs;
    int64_t n_runs, pixel, n, apart; /* elements from a pixel to the next, pixels */
    bool together;
} pixels;

static void pack_pixels(const ag__window_plan *w, const pixels *p, char *to)
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

/* Row `row` of a group's strips, of image `image` of the block or of all. `from`: the row of the input, counted from
 * the first one of the padding; stacked, the first one. */
static void pack_input(const ag__window_plan *w, int64_t image, int64_t group, int64_t row, int64_t from)
{
    const ag__conv2d_shape *s = w->shape;
    const int64_t size = (int64_t)w->size, high = w->stacked ? s->kernel[0] : 1, *stride = w->in.stride;
    const int64_t column = w->columns[0] * s->stride[1] - s->padding[1],
                  met = ag__window_columns(w, w->columns[1] - w->columns[0]),
                  first = ag__min(ag__max(0, column), s->size[1]),
                  n = ag__max(0, ag__min(s->size[1], column + met) - first);
    const void *runs[AG_WINDOW_CHANNELS];
    const char *start = ag__window_at(
        w->in.data, (w->first_image + image) * stride[0] + group * w->in_channels * stride[1] + first * stride[3],
        w->size);
    for (int64_t i = 0; i < w->channels; i++) {
        const int64_t y = from - s->padding[0] + i % high * s->dilation[0];
        runs[i] = y < 0 || y >= s->size[0] ? NULL : start + (i / high * stride[1] + y * stride[2]) * size;
    }
    const int64_t margin = ag__max(0, first - column) * w->pixel, behind = margin + n * w->pixel;
    const bool together = ag__window_together(w, stride);
    char *to = w->strips + (image * w->apart + (group * w->in_rows + row) * w->row) * size;
    if (n > 0)
        pack_pixels(w, &(pixels){ stride, runs, w->channels, w->pixel, n, w->apart, together }, to + margin * size);
    for (int64_t i = 0; i < (together && !w->innermost ? w->images : 1); i++, to += w->apart * size) {
        memset(to, 0, (size_t)(ag__min(margin, w->row) * size));
        memset(to + behind * size, 0, (size_t)(ag__max(0, w->row - behind) * size));
    }
}

/* Items: the rows of the block's strips. */
void ag__window_pack(void *user, int64_t begin, int64_t end)
{
    const ag__window_plan *w = user;
    const int64_t stride = w->shape->stride[0];
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = i % w->in_rows;
        pack_input(w, i / w->in_rows / w->shape->groups, i / w->in_rows % w->shape->groups, row,
                   w->rows[0] * stride + (w->stacked ? row * stride : row));
    }
}

/* Items: the rows that come into the ring, of all images; `packed` is the first one. */
void ag__window_pack_more(void *user, int64_t begin, int64_t end)
{
    const ag__window_plan *w = user;
    const int64_t groups = w->shape->groups;
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = w->packed + i / groups;
        if (w->stacked)
            pack_input(w, 0, i % groups, row - w->rows[0], row * w->shape->stride[0]);
        else
            pack_input(w, 0, i % groups, row % w->in_rows, row);
    }
}

/* Items: the rows of the block's gradients. */
void ag__window_pack_gradient(void *user, int64_t begin, int64_t end)
{
    const ag__window_plan *w = user;
    const int64_t rows = w->rows[1] - w->rows[0], channels = w->shape->out_channels, *stride = w->gradient.stride;
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = i % rows, image = i / rows;
        const char *first = ag__window_at(
            w->gradient.data, (w->first_image + image) * stride[0] + (w->rows[0] + row) * stride[2], w->size);
        const void *runs[AG_WINDOW_CHANNELS];
        for (int64_t o = 0; o < channels; o++) runs[o] = first + o * stride[1] * (int64_t)w->size;
        const pixels p = { stride,
                           runs,
                           channels,
                           channels,
                           w->shape->out_size[1],
                           rows * w->gradient_row,
                           ag__window_together(w, stride) };
        pack_pixels(w, &p, w->gradients + (image * p.apart + row * w->gradient_row) * (int64_t)w->size);
    }
}
