/* conv2d_lanes.h - the geometry of convolution: which input pixels an output pixel is about, which part of an image is
 * a lane's.
 *
 * The output of a convolution and its input gradient are the same sum with other numbers. Along an axis, output pixel o
 * and kernel position k are about the input pixel i with
 *
 *     i * up = o * step + k * dilation - offset
 *
 * if there is one: the output has step = stride, up = 1; the input gradient, whose "input" is the output's gradient and
 * whose kernel is turned round, has step = 1, up = stride. The weight gradient goes over the same pairs as the output.
 *
 * A lane is a band of an image: `band` output pixels high and wide, cut from (n, y, x). As a rule the band is the
 * image. Its coordinates are relative: the band's first output pixel is (0, 0) and is about the same relative input
 * pixels in every lane.
 */
#ifndef AG_CONV2D_LANES_H
#define AG_CONV2D_LANES_H
#include "ops/cpu/conv2d.h"
#include "tensor/parallel.h"

typedef struct {
    int64_t in, out, kernel;
    int64_t step, up, dilation, offset;
} ag__conv_axis;

/* The kernel positions that meet a pixel: `n` of them, first, first + every, ...; the input pixels they meet: in, in +
 * in_every, ... */
typedef struct {
    int64_t n, first, every, in, in_every;
} ag__conv_taps;
ag__conv_taps ag__conv_taps_of(const ag__conv_axis *axis, int64_t out);

typedef struct {
    ag__conv_axis axis[2]; /* rows, columns */
    int64_t batch;
    int lanes;           /* of a register */
    int64_t bands[2];    /* an image is so many bands high and wide */
    int64_t band[2];     /* output pixels of one; multiples of up if there are several */
    int64_t n_groups;    /* registers full of lanes, the last one maybe not full */
    int64_t in_shift[2]; /* input pixels from one band to the next */
} ag__conv_lanes;

/* Choose the bands: as whole images, unless that would leave many lanes empty. `work` is the number of multiply-adds
 * for an output pixel, `channels` the number of input planes. */
void ag__conv_lanes_init(ag__conv_lanes *l, const ag__conv_axis *rows, const ag__conv_axis *columns, int64_t batch,
                         int lanes, double work, int64_t channels);

/* Whether the images that fill registers, `part`, and those behind them, `rest`, are better off by themselves: because
 * the rest would leave too many lanes empty and can be cut into bands, or because without it a batch-last tensor need
 * not be repacked. */
bool ag__conv_is_parted(const ag__conv2d_shape *s, int lanes, const int64_t *in_stride, const int64_t *out_stride,
                        ag__conv2d_shape *part, ag__conv2d_shape *rest);
/* The images behind those of `part`. */
ag__conv2d_in ag__conv_in_from(const ag__conv2d_shape *part, ag__conv2d_in tensor);
ag__conv2d_out ag__conv_out_from(const ag__conv2d_shape *part, ag__conv2d_out tensor);

/* The input pixels [range[0], range[1]) that output pixels [begin, end) of a band are about. With one band an axis,
 * rows outside the image are left out (columns are not: they are read as zeros). */
void ag__conv_in_range(const ag__conv_lanes *l, int which, int64_t begin, int64_t end, int64_t range[2]);

/* Where the lanes of a group are in a tensor whose strides are given: the input's rows and columns from these on ... */
void ag__conv_in_lanes(const ag__conv_lanes *l, int64_t group, const ag__conv2d_in *tensor, size_t size,
                       const int64_t rows[2], const int64_t columns[2], ag__conv_lane *lanes);
/* ... or the output's, its rows and columns in bands, beginning with these. */
void ag__conv_out_lanes(const ag__conv_lanes *l, int64_t group, const ag__conv2d_in *tensor, size_t size,
                        const int64_t rows[2], const int64_t columns[2], ag__conv_lane *lanes);

/* The lanes of a group lie side by side: whole images of a tensor whose images are its innermost dimension. */
bool ag__conv_side_by_side(const ag__conv_lanes *l, int64_t group, const int64_t *stride);
/* A register can be loaded from (or stored to) the tensor itself: all groups are like that, and pixels so near each
 * other that they do not push each other out of the cache. */
bool ag__conv_is_direct(const ag__conv_lanes *l, const int64_t *stride);

/* Repacking plane by plane: `items` of it, each a channel for a few groups of lanes, [first_group, first_group +
 * n_groups) of which go to strips[group][channel]. Of batch-last tensors several groups are repacked row by row: what
 * they need lies in the same pages. */
typedef struct {
    const ag__conv_lanes *lanes;
    const ag__conv2d_kernels *kernels;
    size_t size;
    ag__conv2d_in tensor;
    bool is_output; /* the lanes are those of the output */
    int64_t channels, first_group, n_groups, groups_an_item, plane, rows[2], columns[2];
    char *strips;
} ag__conv_packing;
int64_t ag__conv_packing_items(ag__conv_packing *p); /* sets groups_an_item */
void ag__conv_pack_item(const ag__conv_packing *p, int64_t item);

/* Elements from one plane of a strip to the next: planes that lie a multiple of 4096 bytes apart would meet in the same
 * few lines of the first-level cache, so it is an odd number of lines. */
int64_t ag__conv_plane(int64_t rows, int64_t columns, int lanes, size_t size);

/* Blocks of work, each with strips of so many bytes: one after the other, all threads at each; or, where there are
 * enough of them, each thread makes its own and finds in its caches what it has packed. */
typedef struct {
    void (*make)(const void *user, int64_t block, char *strips);
    const void *user;
    char *strips; /* [slot] */
    int64_t bytes;
    ag__slots slots;
} ag__conv_blocks;
void ag__conv_choose_slots(ag__conv_blocks *b, int64_t blocks);
void ag__conv_make_blocks(ag__conv_blocks *b, int64_t blocks);

static inline int64_t ag__min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t ag__max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ag__ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; } /* a >= 0, b > 0 */

/* Piece i of n things cut into so many nearly equal pieces begins here. */
static inline int64_t ag__piece(int64_t n, int64_t pieces, int64_t i)
{
    return n / pieces * i + ag__min(i, n % pieces);
}

/* Repacked at once, about 2 MiB, which stay in the second-level caches of two CPUs; a test may want several blocks of
 * small tensors. */
extern int64_t ag__conv_strip_bytes;
/* Multiply-adds of a weight's gradient from which on parts of the sum, for a thread each, are worth another order of it
 * (conv2d_window.c); a test may want parts of small ones. */
extern int64_t ag__conv_parts_worth;
/* Bytes of a result from which on it goes past the caches where lines are written whole (tensor/past_caches.h); a test
 * may want small ones to. */
extern int64_t ag__conv_large;

enum {
    AG_CONV_DIRECT = 4,     /* registers from one pixel to the next */
    AG_CONV_TASK = 1 << 21, /* multiply-adds worth a task */
};

#endif
