/* conv2d_flat_plan.h - a convolution whose lanes go along rows, between conv2d_flat_ways.c, which says what is
 * convolved, and conv2d_flat.c, which does it. */
#ifndef AG_CONV2D_FLAT_PLAN_H
#define AG_CONV2D_FLAT_PLAN_H
#include "ops/cpu/conv2d_flat.h"
#include "ops/cpu/conv2d_lanes.h"

enum {
    AG_FLAT_TAPS = 128, /* kernel positions */
    AG_FLAT_FEW = 8,    /* in channels, which take their turns in one loop with the kernel positions */
};

typedef struct {
    int64_t in, out, kernel, step, dilation, padding; /* padding below 0: what is left out */
    int64_t remainders, shift; /* remainders that kernel positions have modulo step; most rows or columns they are on */
} ag__flat_axis;

typedef struct {
    const ag__conv2d_flat_kernels *kernels;
    const ag__conv2d_kernels *planes;
    size_t size; /* of an element */
    ag__conv2d_in in;
    ag__conv2d_out out;
    ag__flat_axis rows, columns;
    int64_t batch, inner; /* images; side by side in a strip */
    int64_t groups, in_channels, out_channels;

    /* weight of (group, out channel, in channel, kernel row, kernel column) */
    const void *weight, *bias;
    int64_t weight_group, weight_out, weight_in, weight_row, weight_column, bias_stride;
    bool relu;
    bool turned;   /* the first kernel position meets the input that the last would */
    int64_t block; /* in channels whose sum begins at 0 */

    int64_t pitch;  /* elements from a row of a strip to the next */
    int64_t pieces; /* of the output channels of a group: for each, packed: [channel] bias, [row][column][in channel]
                     * [channel] weight */
    char *packed, *strips;

    /* the block at hand */
    int64_t first_image, images, first_row, n_rows; /* images in units of `inner`; rows of the output */
    int64_t remainder, plane;                       /* elements from a remainder, a channel to the next */
    int64_t offset[AG_FLAT_TAPS * AG_FLAT_FEW];     /* of kernel position [t], or [t][channel] if few */
    bool few;
    int64_t chunk, chunks, pieces_a_task, piece_tasks;
} ag__flat_plan;

static inline ag__flat_axis ag__flat_axis_of(int64_t in, int64_t out, int64_t kernel, int64_t step, int64_t dilation,
                                             int64_t padding)
{
    const int64_t reach = (kernel - 1) * dilation;
    return (ag__flat_axis){ in, out, kernel, step, dilation, padding, ag__min(step, reach + 1), reach / step };
}

/* Columns of a strip. Without a stride the zeros at the right of a row are those at the left of the next one. */
static inline int64_t ag__flat_columns(const ag__flat_axis *c)
{
    if (c->step > 1) return c->out + c->shift;
    const int64_t left = ag__max(0, c->padding), right = ag__max(0, c->out + c->shift - c->padding - c->in);
    return ag__max(c->out, ag__min(c->in + ag__max(left, right), c->out + c->shift));
}

/* False, with AG_ENOMEM standing, if there was no memory to work in. */
bool ag__flat_convolve(ag__flat_plan *plan);

#endif
