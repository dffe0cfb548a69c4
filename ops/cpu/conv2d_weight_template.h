/* conv2d_weight_template.h - read once for each type by conv2d_kernel.c after conv2d_template.h: the weight's
 * gradient. */
#define vec   REAL(vec)
#define LANES REAL(LANES)

/* ---- lanes are images ---- */

AG_INLINE void REAL(weights)(int channels, int taps, const ag__conv_weight_run *u)
{
    const int64_t in_tap = u->in_tap, in_pixel = u->in_pixel, channel = u->gradient_channel, pixel = u->gradient_pixel;
    /* a few sums would wait for each other: then every second or fourth pixel has sums of its own */
    const int turns = channels * taps >= 8 ? 1 : channels * taps >= 4 ? 2 : 4;
    real *sums = u->sums;
    vec sum[4][WEIGHT_CHANNELS][WEIGHT_TAPS];
    AG_UNROLL
    for (int o = 0; o < channels; o++) {
        AG_UNROLL
        for (int q = 0; q < taps; q++) {
            sum[0][o][q] = REAL(load)(sums + (o * taps + q) * LANES);
            AG_UNROLL
            for (int i = 1; i < turns; i++) sum[i][o][q] = (vec){ 0 };
        }
    }
    for (int64_t row = 0; row < u->rows; row++) {
        const real *in = (const real *)u->in + row * u->in_row,
                   *gradient = (const real *)u->gradient + row * u->gradient_row;
        int64_t t = 0;
        for (; t + turns <= u->n; t += turns) {
            AG_UNROLL
            for (int i = 0; i < turns; i++, in += in_pixel, gradient += pixel) {
                vec g[WEIGHT_CHANNELS];
                AG_UNROLL
                for (int o = 0; o < channels; o++) g[o] = REAL(load)(gradient + o * channel);
                AG_UNROLL
                for (int q = 0; q < taps; q++) {
                    vec value = REAL(load)(in + q * in_tap);
                    AG_UNROLL
                    for (int o = 0; o < channels; o++) sum[i][o][q] += g[o] * value;
                }
            }
        }
        for (; t < u->n; t++, in += in_pixel, gradient += pixel) {
            AG_UNROLL
            for (int o = 0; o < channels; o++) {
                vec g = REAL(load)(gradient + o * channel);
                AG_UNROLL
                for (int q = 0; q < taps; q++) sum[0][o][q] += g * REAL(load)(in + q * in_tap);
            }
        }
    }
    AG_UNROLL
    for (int o = 0; o < channels; o++) {
        AG_UNROLL
        for (int q = 0; q < taps; q++) {
            AG_UNROLL
            for (int i = 1; i < turns; i++) sum[0][o][q] += sum[i][o][q];
            REAL(store)(sums + (o * taps + q) * LANES, sum[0][o][q]);
        }
    }
}

/* ---- lanes are elements of the weight ---- */

/* channels and vectors are constants where this is called, so that the sums are registers. */
AG_INLINE void REAL(windows)(int channels, int vectors, const ag__conv_window_run *u)
{
    const int64_t in_pixel = u->in_pixel, channel = u->gradient_channel, pixel = u->gradient_pixel;
    int64_t offset[WEIGHT_TAPS];
    vec sum[WINDOW_CHANNELS][WEIGHT_TAPS];
    AG_UNROLL
    for (int v = 0; v < vectors; v++) {
        offset[v] = u->offset[v];
        AG_UNROLL
        for (int o = 0; o < channels; o++)
            sum[o][v] = REAL(load)((const real *)u->sums + o * u->sums_channel + v * LANES);
    }
    const real *in_row = u->in, *gradient_row = u->gradient;
    for (int64_t row = u->rows; row > 0; row--, in_row += u->in_row, gradient_row += u->gradient_row) {
        const real *in = in_row, *gradient = gradient_row, *end = gradient_row + u->n * pixel;
        for (; gradient != end; in += in_pixel, gradient += pixel) {
            /* The fewer stay in registers, of the others one at a time: there is no register to spare. */
            if (channels <= vectors) {
                vec g[WINDOW_CHANNELS];
                AG_UNROLL
                for (int o = 0; o < channels; o++) g[o] = REAL(splat)(gradient[o * channel]);
                AG_UNROLL
                for (int v = 0; v < vectors; v++) {
                    const vec value = REAL(load)(in + offset[v]);
                    AG_UNROLL
                    for (int o = 0; o < channels; o++) sum[o][v] += g[o] * value;
                }
            } else {
                vec value[WEIGHT_TAPS];
                AG_UNROLL
                for (int v = 0; v < vectors; v++) {
                    value[v] = REAL(load)(in + offset[v]);
                    AG_IN_REGISTER(value[v]);
                }
                AG_UNROLL
                for (int o = 0; o < channels; o++) {
                    const vec g = REAL(splat)(gradient[o * channel]);
                    AG_UNROLL
                    for (int v = 0; v < vectors; v++) sum[o][v] += g * value[v];
                }
            }
        }
    }
    AG_UNROLL
    for (int o = 0; o < channels; o++) {
        AG_UNROLL
        for (int v = 0; v < vectors; v++) REAL(store)((real *)u->sums + o * u->sums_channel + v * LANES, sum[o][v]);
    }
}

/* One function for each size, not inlined: the register allocator sees one loop at a time. */
typedef void REAL(weights_function)(const ag__conv_weight_run *u);
typedef void REAL(windows_function)(const ag__conv_window_run *u);

#define AG_WEIGHTS(channels, taps)                                                                        \
    static __attribute__((noinline)) void REAL(weights_##channels##_##taps)(const ag__conv_weight_run *u) \
    {                                                                                                     \
        REAL(weights)(channels, taps, u);                                                                 \
    }
#define AG_WINDOWS(channels, vectors)                                                                        \
    static __attribute__((noinline)) void REAL(windows_##channels##_##vectors)(const ag__conv_window_run *u) \
    {                                                                                                        \
        REAL(windows)(channels, vectors, u);                                                                 \
    }
// clang-format off
#define AG_DEFINE_WEIGHTS(o, most)  UP_TO_##most(AG_WEIGHTS, o)
#define AG_DEFINE_WINDOWS(o, most)  UP_TO_##most(AG_WINDOWS, o)
#define AG_WEIGHTS_ENTRY(o, q)      [q] = REAL(weights_##o##_##q),
#define AG_WEIGHTS_LIST(o, most)    [o] = { UP_TO_##most(AG_WEIGHTS_ENTRY, o) },
#define AG_WINDOWS_ENTRY(o, v)      [v] = REAL(windows_##o##_##v),
#define AG_WINDOWS_LIST(o, most)    [o] = { UP_TO_##most(AG_WINDOWS_ENTRY, o) },
WEIGHT_SIZES(AG_DEFINE_WEIGHTS)
WINDOW_SIZES(AG_DEFINE_WINDOWS)
// clang-format on
static REAL(weights_function) *const
    REAL(weights_functions)[WEIGHT_CHANNELS + 1][WEIGHT_TAPS + 1] = { WEIGHT_SIZES(AG_WEIGHTS_LIST) };
static REAL(windows_function) *const
    REAL(windows_functions)[WINDOW_CHANNELS + 1][WEIGHT_TAPS + 1] = { WINDOW_SIZES(AG_WINDOWS_LIST) };
#undef AG_WEIGHTS
#undef AG_WINDOWS
#undef AG_DEFINE_WEIGHTS
#undef AG_DEFINE_WINDOWS
#undef AG_WEIGHTS_ENTRY
#undef AG_WEIGHTS_LIST
#undef AG_WINDOWS_ENTRY
#undef AG_WINDOWS_LIST

static void REAL(weight_run)(const ag__conv_weight_run *u)
{
    REAL(weights_function) *const run = REAL(weights_functions)[u->channels][u->taps];
    run(u);
}

static void REAL(window_run)(const ag__conv_window_run *u)
{
    REAL(windows_function) *const run = REAL(windows_functions)[u->channels][u->vectors];
    run(u);
}

/* ---- before and after ---- */

/* What a register has beyond the last run is overwritten by the next place, that is why the incomplete register comes
 * first. */
static void REAL(turn)(const ag__conv_turn *u)
{
    const real *const *runs = (const real *const *)u->runs;
    /* places that lie one after the other all the way have no end of an inner loop */
    const int64_t n = u->n, n_inner = u->to_step == u->inner * u->to_inner ? n : u->inner;
    const bool turn = u->step == 1 && n >= LANES && u->n_runs > 1;
    for (int64_t r0 = (u->n_runs - 1) / LANES * LANES; turn && r0 >= 0; r0 -= LANES) {
        for (int64_t i = 0; i < n; i += LANES) {
            if (i > n - LANES) i = n - LANES; /* the last block overlaps the one before */
            vec block[LANES];
            AG_UNROLL
            for (int r = 0; r < LANES; r++)
                block[r] = r0 + r < u->n_runs && runs[r0 + r] ? REAL(load)(runs[r0 + r] + u->first + i) : (vec){ 0 };
            REAL(transpose)(block);
            real *to = (real *)u->to + i / n_inner * u->to_step + r0;
            int64_t inner = i % n_inner;
            AG_UNROLL
            for (int j = 0; j < LANES; j++) {
                REAL(store)(to + inner * u->to_inner, block[j]);
                if (++inner == n_inner) {
                    inner = 0;
                    to += u->to_step;
                }
            }
        }
    }
    for (int64_t r = 0; r < u->n_runs && !turn; r++) {
        const real *from = runs[r];
        real *to = (real *)u->to + r;
        for (int64_t i = 0, inner = 0; i < n; i++) {
            to[inner * u->to_inner] = from ? from[u->first + i * u->step] : 0;
            if (++inner == n_inner) {
                inner = 0;
                to += u->to_step;
            }
        }
    }
}

/* Registers are added up LANES at a time: their transpose has the first lane of each in its first register,
 * and so on. */
static void REAL(add_lanes)(const void *sums, int64_t n, void *totals)
{
    for (int64_t i = 0; i < n; i += LANES) {
        const int64_t some = n - i < LANES ? n - i : LANES;
        vec block[LANES];
        AG_UNROLL
        for (int j = 0; j < LANES; j++)
            block[j] = j < some ? REAL(load)((const real *)sums + (i + j) * LANES) : (vec){ 0 };
        REAL(transpose)(block);
        AG_UNROLL
        for (int half = LANES / 2; half >= 1; half /= 2) {
            AG_UNROLL
            for (int j = 0; j < half; j++) block[j] += block[j + half];
        }
        if (some == LANES)
            REAL(store)((real *)totals + i, block[0]);
        else
            memcpy((real *)totals + i, &block[0], (size_t)some * sizeof(real));
    }
}

/* ---- bias gradient ---- */

static void REAL(channel_sums)(const void *from_, int channels, int64_t channel_stride, int64_t n, int64_t stride,
                               void *sums)
{
    const real *from = from_;
    vec sum = REAL(load)(sums);
    int64_t t = 0;
    for (; stride == 1 && t + LANES <= n; t += LANES) {
        vec block[LANES];
        AG_UNROLL
        for (int o = 0; o < LANES; o++)
            block[o] = o < channels ? REAL(load)(from + o * channel_stride + t) : (vec){ 0 };
        REAL(transpose)(block);
        AG_UNROLL
        for (int i = 0; i < LANES; i++) sum += block[i];
    }
    for (; t < n; t++) {
        real numbers[LANES] = { 0 };
        for (int o = 0; o < channels; o++) numbers[o] = from[o * channel_stride + t * stride];
        sum += REAL(load)(numbers);
    }
    REAL(store)(sums, sum);
}

AG_ISA_TABLE(ag__conv2d_kernels, REAL(ag__conv2d)) = {
    .lanes = LANES,
    .channels = CHANNELS,
    .pixels = REAL(most_pixels),
    .weight_channels = WEIGHT_CHANNELS,
    .weight_taps = WEIGHT_TAPS,
    .window_tiles = WINDOW_TILES,
    .run = REAL(run),
    .weight_run = REAL(weight_run),
    .pack = REAL(pack),
    .unpack = REAL(unpack),
    .copy_plane = REAL(copy_plane),
    .add_lanes = REAL(add_lanes),
    .window_run = REAL(window_run),
    .turn = REAL(turn),
    .channel_sums = REAL(channel_sums),
};

#include "ops/cpu/conv2d_tiles_off.h"
#undef vec
#undef LANES
