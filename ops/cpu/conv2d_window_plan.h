/* conv2d_window_plan.h - what the files of conv2d_window.c share: how a weight's gradient is cut up, and the packing.
 */
#ifndef AG_CONV2D_WINDOW_PLAN_H
#define AG_CONV2D_WINDOW_PLAN_H
#include "ops/cpu/conv2d_lanes.h"

enum { AG_WINDOW_CHANNELS = 2048 }; /* the most of a pixel that are packed */

typedef struct {
    const ag__conv2d_shape *shape;
    const ag__conv2d_kernels *kernels;
    size_t size; /* of an element */
    ag__conv2d_in in, gradient;
    ag__conv2d_out out;
    int64_t in_channels, out_channels; /* of a group */

    bool stacked, pack_gradient;
    bool across;      /* blocks of some columns of many images */
    bool innermost;   /* images, but for the channels: strip[group][row][column][image][channel] */
    int64_t channels; /* of a strip's pixel */
    /* A window is `runs` runs of `run` elements: its rows, or, with dilation or images innermost, its pixels; each is
     * some registers. */
    bool by_rows;
    int64_t runs, run, run_registers, registers;
    int64_t pieces, register_pieces; /* tiles: of the output channels of a group, of the registers */
    int64_t pieces_a_task;

    int64_t row, gradient_row;       /* elements from a row of a strip to the next, */
    int64_t pixel, apart;            /* from a pixel to the next, from an image's to the next one's */
    char *strips, *gradients, *sums; /* sums[group][output channel][register][lane] */

    /* the block at hand */
    int64_t first_image, images, rows[2], columns[2]; /* of the output */
    int64_t in_rows, packed;                          /* of a strip; the first one that is not packed yet */
} ag__window_plan;

static inline const char *ag__window_at(const void *p, int64_t elements, size_t size)
{
    return (const char *)p + elements * (int64_t)size;
}

/* Columns of a strip that some columns of the output meet. */
static inline int64_t ag__window_columns(const ag__window_plan *w, int64_t columns)
{
    const ag__conv2d_shape *s = w->shape;
    return (columns - 1) * s->stride[1] + (s->kernel[1] - 1) * s->dilation[1] + 1;
}

/* Images of a tensor lie side by side. */
static inline bool ag__window_together(const ag__window_plan *w, const int64_t *stride)
{
    return stride[0] == 1 && w->shape->batch > 1;
}

/* Items: the rows of the block's strips, of image after image or of all together. */
void ag__window_pack(void *plan, int64_t begin, int64_t end);
/* Items: the rows that come into the ring, of all images; `packed` is the first one. */
void ag__window_pack_more(void *plan, int64_t begin, int64_t end);
/* Items: the rows of the block's gradients. */
void ag__window_pack_gradient(void *plan, int64_t begin, int64_t end);

#endif
