/* conv2d_template.h - read once for each type by conv2d_kernel.c, with real and REAL(name): the output, and what lies
 * between planes and registers. */
#define vec   REAL(vec)
#define LANES REAL(LANES)
#include "ops/cpu/conv2d_tiles.h"

/* ---- pixels of the output ---- */

/* `pixels` pixels from t = 0 on; the loops have n turns each. channels and pixels are constants where this is called,
 * so that the sums are registers. */
AG_INLINE void REAL(pixels)(int channels, int pixels, const ag__conv_run *u, const real *in, const real *weights,
                            const int64_t *n, real *out)
{
    const int64_t in_pixel = u->in_pixel, in_turn = u->loops[2].in, weights_turn = u->loops[2].weights;
    vec sum[CHANNELS][MOST_PIXELS];
    AG_UNROLL
    for (int o = 0; o < channels; o++) {
        AG_UNROLL
        for (int t = 0; t < pixels; t++) sum[o][t] = (vec){ 0 };
    }
    for (int64_t a = 0; a < n[0]; a++) {
        for (int64_t b = 0; b < n[1]; b++) {
            const real *x = in + a * u->loops[0].in + b * u->loops[1].in;
            const real *w = weights + a * u->loops[0].weights + b * u->loops[1].weights;
            for (int64_t c = 0; c < n[2]; c++, x += in_turn, w += weights_turn) {
                /* The fewer stay in registers, of the others one at a time: there is no register to spare. */
                if (channels <= pixels) {
                    vec weight[CHANNELS];
                    AG_UNROLL
                    for (int o = 0; o < channels; o++) weight[o] = REAL(splat)(w[o]);
                    AG_UNROLL
                    for (int t = 0; t < pixels; t++) {
                        const vec value = REAL(load)(x + t * in_pixel);
                        AG_UNROLL
                        for (int o = 0; o < channels; o++) sum[o][t] += weight[o] * value;
                    }
                } else {
                    vec value[MOST_PIXELS];
                    AG_UNROLL
                    for (int t = 0; t < pixels; t++) {
                        value[t] = REAL(load)(x + t * in_pixel);
                        AG_IN_REGISTER(value[t]);
                    }
                    AG_UNROLL
                    for (int o = 0; o < channels; o++) {
                        const vec weight = REAL(splat)(w[o]);
                        AG_UNROLL
                        for (int t = 0; t < pixels; t++) sum[o][t] += weight * value[t];
                    }
                }
            }
        }
    }
    if (u->more) {
        AG_UNROLL
        for (int o = 0; o < channels; o++) {
            AG_UNROLL
            for (int t = 0; t < pixels; t++)
                sum[o][t] = REAL(load)(out + o * u->out_channel + t * u->out_pixel) + sum[o][t];
        }
    }
    const real *bias = u->bias;
    const vec least = REAL(splat)(u->relu ? 0 : -(real)INFINITY);
    AG_UNROLL
    for (int o = 0; o < channels; o++) {
        const vec added = REAL(splat)(bias ? bias[o] : -(real)0); /* with which every number stays what it is */
        AG_UNROLL
        for (int t = 0; t < pixels; t++)
            REAL(store)(out + o * u->out_channel + t * u->out_pixel, REAL(max)(least, sum[o][t] + added));
    }
}

typedef void REAL(pixels_function)(const ag__conv_run *u, const real *in, const real *weights, const int64_t *n,
                                   real *out);

/* One function for each size, not inlined: the register allocator sees one loop at a time. */
#define AG_PIXELS(o, t)                                                                                            \
    static __attribute__((noinline)) void REAL(pixels_##o##_##t)(const ag__conv_run *u, const real *in,            \
                                                                 const real *weights, const int64_t *n, real *out) \
    {                                                                                                              \
        REAL(pixels)(o, t, u, in, weights, n, out);                                                                \
    }
#define AG_NAME(channels, n) REAL(pixels_##channels##_##n)
// clang-format off
#define AG_DEFINE(o, most) UP_TO_##most(AG_PIXELS, o)
#define AG_ENTRY(o, n)     [n] = AG_NAME(o, n),
#define AG_LIST(o, most)   [o] = { UP_TO_##most(AG_ENTRY, o) },
#define AG_MOST(o, most)   [o] = most,
// clang-format on
PIXEL_SIZES(AG_DEFINE)
static REAL(pixels_function) *const REAL(pixels_functions)[CHANNELS + 1][MOST_PIXELS + 1] = { PIXEL_SIZES(AG_LIST) };
static const int REAL(most_pixels)[CHANNELS + 1] = { PIXEL_SIZES(AG_MOST) };
#undef AG_PIXELS
#undef AG_NAME
#undef AG_DEFINE
#undef AG_ENTRY
#undef AG_LIST
#undef AG_MOST

/* The turns along the row that meet more than padding, for `pixels` pixels from t on: [turns[0], turns[1]). */
static void REAL(clip)(const ag__conv_run *u, int64_t t, int64_t pixels, int64_t *turns)
{
    const int64_t column = u->column + t * u->column_pixel, end = column + (pixels - 1) * u->column_pixel;
    int64_t first = 0, last = u->loops[u->along].n;
    while (first < last && (end + first * u->column_turn < 0 || column + first * u->column_turn >= u->width)) first++;
    while (first < last && (end + (last - 1) * u->column_turn < 0 || column + (last - 1) * u->column_turn >= u->width))
        last--;
    turns[0] = first;
    turns[1] = last;
}

static void REAL(run)(const ag__conv_run *u)
{
    const int64_t most = REAL(most_pixels)[u->channels];
    int64_t pieces = (u->n + most - 1) / most; /* of nearly equal length */
    int64_t end = 0;
    for (int64_t t = 0, pixels; t < u->n; t += pixels) {
        if (t == end) {
            end += (u->n - t + pieces - 1) / pieces;
            pieces--;
        }
        pixels = end - t;
        int64_t n[3] = { u->loops[0].n, u->loops[1].n, u->loops[2].n };
        const real *in = (const real *)u->in + t * u->in_pixel, *weights = u->weights;
        if (u->clip) {
            int64_t turns[2];
            REAL(clip)(u, t, pixels, turns);
            const int64_t half = (pixels + 1) / 2;
            if (turns[1] - turns[0] < n[u->along] && u->channels * half >= ENOUGH_SUMS) {
                pixels = half; /* at an edge a narrow piece meets less padding */
                REAL(clip)(u, t, pixels, turns);
            }
            in += turns[0] * u->loops[u->along].in;
            weights += turns[0] * u->loops[u->along].weights;
            n[u->along] = turns[1] - turns[0];
        }
        REAL(pixels_functions)[u->channels][pixels](u, in, weights, n, (real *)u->out + t * u->out_pixel);
    }
}

/* ---- between planes of images and registers ---- */

static inline int64_t REAL(larger)(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t REAL(smaller)(int64_t a, int64_t b) { return a < b ? a : b; }

/* columns [begin, end) of row r, any lanes */
static void REAL(pack_some)(real *to, int64_t r, int64_t begin, int64_t end, const ag__conv_lane *lanes,
                            int64_t row_stride, int64_t column_stride)
{
    if (begin >= end) return;
    memset(to + begin * LANES, 0, (size_t)((end - begin) * LANES) * sizeof(real));
    for (int l = 0; l < LANES; l++) {
        const ag__conv_lane *lane = &lanes[l];
        if (r < lane->rows[0] || r >= lane->rows[1]) continue;
        const real *from = (const real *)lane->at + (r - lane->rows[0]) * row_stride;
        const int64_t last = REAL(smaller)(end, lane->columns[1]);
        for (int64_t c = REAL(larger)(begin, lane->columns[0]); c < last; c++)
            to[c * LANES + l] = from[(c - lane->columns[0]) * column_stride];
    }
}

static void REAL(pack)(void *plane, int64_t first_row, int64_t last_row, int64_t columns, const ag__conv_lane *lanes,
                       bool side_by_side, int64_t row_stride, int64_t column_stride)
{
    real *to = (real *)plane + first_row * columns * LANES;
    /* the columns that every lane has, if it has any */
    int64_t first = 0, last = columns;
    for (int l = 0; l < LANES; l++) {
        if (lanes[l].rows[0] >= lanes[l].rows[1]) continue;
        first = REAL(larger)(first, lanes[l].columns[0]);
        last = REAL(smaller)(last, lanes[l].columns[1]);
    }
    const bool turn = !side_by_side && column_stride == 1 && last - first >= LANES;
    for (int64_t r = first_row; r < last_row; r++, to += columns * LANES) {
        if (side_by_side && r >= lanes[0].rows[0] && r < lanes[0].rows[1]) {
            const real *from = (const real *)lanes[0].at + (r - lanes[0].rows[0]) * row_stride;
            memset(to, 0, (size_t)(first * LANES) * sizeof(real));
            for (int64_t c = first; c < last; c++)
                REAL(store)(to + c * LANES, REAL(load)(from + (c - first) * column_stride));
            memset(to + last * LANES, 0, (size_t)((columns - last) * LANES) * sizeof(real));
        } else if (turn) {
            REAL(pack_some)(to, r, 0, first, lanes, row_stride, 1);
            for (int64_t c = first; c < last; c += LANES) {
                if (c > last - LANES) c = last - LANES; /* the last block overlaps the one before */
                vec block[LANES];
                AG_UNROLL
                for (int l = 0; l < LANES; l++) {
                    const ag__conv_lane *lane = &lanes[l];
                    if (r >= lane->rows[0] && r < lane->rows[1])
                        block[l] = REAL(load)((const real *)lane->at + (r - lane->rows[0]) * row_stride + c -
                                              lane->columns[0]);
                    else
                        block[l] = (vec){ 0 };
                }
                REAL(transpose)(block);
                AG_UNROLL
                for (int i = 0; i < LANES; i++) REAL(store)(to + (c + i) * LANES, block[i]);
            }
            REAL(pack_some)(to, r, last, columns, lanes, row_stride, 1);
        } else {
            REAL(pack_some)(to, r, 0, columns, lanes, row_stride, column_stride);
        }
    }
}

/* n zeros, and up to a register more */
AG_INLINE void REAL(zeros)(real *to, int64_t n)
{
    vec nothing = { 0 };
    AG_IN_REGISTER(nothing); /* or else gcc calls memset */
    for (int64_t i = 0; i < n; i += LANES) REAL(store)(to + i, nothing);
}

static void REAL(copy_plane)(void *to_, int64_t pitch, int64_t n_rows, const void *from_, int64_t row_stride,
                             const int64_t *rows, const int64_t *columns)
{
    real *to = to_;
    const real *from = from_;
    enum { AHEAD = 1536 }; /* bytes: of rows to come, and of the next plane */
    const int64_t first = columns[0], n = columns[1] - columns[0];
    for (int64_t r = 0; r < n_rows; r++, to += pitch) {
        if (r < rows[0] || r >= rows[1] || n <= 0) {
            REAL(zeros)(to, pitch);
            continue;
        }
        REAL(zeros)(to, first);
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            __builtin_prefetch((const void *)((uintptr_t)(from + i) + AHEAD));
            REAL(store)(to + first + i, REAL(load)(from + i));
        }
        if (i < n && n >= LANES)
            REAL(store)(to + first + n - LANES, REAL(load)(from + n - LANES));
        else
            for (; i < n; i++) to[first + i] = from[i];
        REAL(zeros)(to + columns[1], pitch - columns[1]);
        from += row_stride;
    }
}

/* Registers of neighbouring pixels, to each lane's row; `whole`: every lane has them all; `past`: they are lines of
 * memory, and go there past the caches. */
AG_INLINE void REAL(unpack_block)(const real *from, const ag__conv_lane *lanes, int64_t place, int64_t c,
                                  const bool whole, const bool past)
{
    vec block[LANES];
    AG_UNROLL
    for (int i = 0; i < LANES; i++) block[i] = REAL(load)(from + (c + i) * LANES);
    REAL(transpose)(block);
    AG_UNROLL
    for (int l = 0; l < LANES; l++) {
        real *to = (real *)(uintptr_t)lanes[l].at + place + c;
        const int64_t valid = lanes[l].columns[1] - c;
        if (past)
            REAL(stream)(to, block[l]);
        else if (whole || valid >= LANES)
            REAL(store)(to, block[l]);
        else if (valid > 0)
            REAL(store_first)(to, block[l], (int)valid);
    }
}

static void REAL(unpack)(const void *from_, int channels, int64_t from_channel, int64_t pixels,
                         const ag__conv_lane *lanes, bool side_by_side, int64_t channel_stride, int64_t pixel_stride,
                         bool past_caches)
{
    const bool may_pass = past_caches && sizeof(vec) == AG_LINE;
    bool whole = true, lines = may_pass && (channel_stride | pixels) % LANES == 0;
    for (int l = 0; l < LANES; l++) {
        whole &= lanes[l].columns[1] >= pixels;
        lines &= (uintptr_t)lanes[l].at % AG_LINE == 0;
    }
    for (int o = 0; o < channels; o++) {
        const real *from = (const real *)from_ + o * from_channel;
        if (side_by_side) {
            real *to = (real *)(uintptr_t)lanes[0].at + o * channel_stride;
            const bool past = may_pass && ((uintptr_t)to | (uintptr_t)pixel_stride * sizeof(real)) % AG_LINE == 0;
            for (int64_t c = 0; c < REAL(smaller)(pixels, lanes[0].columns[1]); c++, to += pixel_stride) {
                if (past)
                    REAL(stream)(to, REAL(load)(from + c * LANES));
                else
                    REAL(store)(to, REAL(load)(from + c * LANES));
            }
        } else if (pixel_stride == 1 && pixels >= LANES) {
            for (int64_t c = 0; c < pixels; c += LANES) {
                if (c > pixels - LANES) c = pixels - LANES; /* the last block overlaps the one before */
                if (whole && lines)
                    REAL(unpack_block)(from, lanes, o * channel_stride, c, true, true);
                else if (whole)
                    REAL(unpack_block)(from, lanes, o * channel_stride, c, true, false);
                else
                    REAL(unpack_block)(from, lanes, o * channel_stride, c, false, false);
            }
        } else {
            for (int l = 0; l < LANES; l++) {
                const int64_t valid = REAL(smaller)(pixels, lanes[l].columns[1]);
                real *to = (real *)(uintptr_t)lanes[l].at + o * channel_stride;
                for (int64_t c = 0; c < valid; c++) to[c * pixel_stride] = from[c * LANES + l];
            }
        }
    }
}

#undef vec
#undef LANES
