/* conv2d_pixels.h - a convolution at work (conv2d.c), and what makes the pixels of a block (conv2d_pixels.c). */
#ifndef AG_CONV2D_PIXELS_H
#define AG_CONV2D_PIXELS_H
#include "ops/cpu/conv2d_lanes.h"

enum { AG_CONV_SEGMENT = 32 }; /* most pixels of a row at once */

typedef struct {
    ag__conv_lanes lanes;
    const ag__conv2d_kernels *kernels;
    size_t size; /* of an element */
    ag__conv2d_in in;
    ag__conv2d_out out;
    bool direct_in, direct_out, past_caches;
    int64_t groups, in_channels, out_channels; /* of the convolution; channels of one */

    /* weight of (group, out channel, in channel, kernel row, kernel column) */
    const void *weight, *bias;
    bool turned; /* the kernel is turned round: the weight's strides are negative */
    int64_t weight_group, weight_out, weight_in, weight_row, weight_column, bias_stride;
    bool relu;

    /* The output channels of a group come in pieces. For each, packed: [channel] bias, [row][column][in
     * channel][channel] weight. */
    int64_t pieces;
    char *packed, *strips;

    /* the block at hand */
    int64_t first_group, n_groups, rows[2]; /* groups of lanes; rows of the output */
    int64_t in_rows[2], in_columns[2], plane;
    int64_t rows_a_task, pieces_a_task, segment, grain; /* a segment: pixels of a row made at once */
    /* Columns outside [edge[0], edge[1]) are made so many pixels at once downwards, whose kernel columns are the same:
     * side by side, some of them would meet padding where others do not. If `exact`, none is read: where rows differ,
     * too, they are made pixel by pixel. */
    int64_t tall, edge[2];
    bool exact;
} ag__convolution;

/* Where the packed bias and weights of the output channels from `first` on begin, which begin a piece. */
static inline char *ag__conv_packed_piece(const ag__convolution *c, int64_t group, int64_t first)
{
    const int64_t taps = c->in_channels * c->lanes.axis[0].kernel * c->lanes.axis[1].kernel;
    return c->packed + (group * c->out_channels + first) * (taps + 1) * (int64_t)c->size;
}

/* Sets edge, tall and exact. */
void ag__conv_choose_edges(ag__convolution *c);

/* Tasks of the block at hand, [begin, end); user: the convolution. */
void ag__conv_make_rows(void *user, int64_t begin, int64_t end);

#endif
