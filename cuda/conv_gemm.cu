/* conv_gemm.cu - convolution as a product of matrices: (out, in KH KW) times (in KH KW, pixels), whose elements are
 * looked up in x where they are needed. A block makes a tile of the output. */
#include "cuda/conv.h"
#include "cuda/tile.cuh"

#include <argent/dtype.h>
#include <limits.h>

namespace
{
enum { SIDE = 16, THREADS = SIDE * SIDE, DEPTH = 8, NOWHERE = INT_MIN / 2 };

/* One axis of what a block computes: outputs first, first + step, ... (count of them). Output q with tap t reads place
 * q * in_step + in_first + t * in_tap of x, and tap `tap + t * tap_step` of the kernel. */
struct axis {
    int first, step, count, taps, tap, tap_step, in_step, in_first, in_tap;
};

__device__ inline int greatest_divisor(int a, int b)
{
    while (b) {
        const int rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Of a transposed convolution, outputs with the same remainder r after division by the stride meet the same taps. */
__device__ axis phase_of(const ag_cuda_conv &c, int d, int r)
{
    const int stride = c.stride[d], dilation = c.dilation[d];
    if (!c.transposed) return axis{ 0, 1, c.out_size[d], c.kernel[d], 0, 1, stride, -c.padding[d], dilation };
    const int common = greatest_divisor(dilation, stride), period = stride / common;
    const int64_t place = (int64_t)r + c.padding[d];
    int tap = 0;
    while (tap < period && tap < c.kernel[d] && (place - (int64_t)tap * dilation) % stride != 0) tap++;
    const bool any = tap < period && tap < c.kernel[d];
    return axis{ r,
                 stride,
                 (c.out_size[d] - r + stride - 1) / stride,
                 any ? (c.kernel[d] - 1 - tap) / period + 1 : 0,
                 tap,
                 period,
                 1,
                 any ? (int)((place - (int64_t)tap * dilation) / stride) : 0,
                 -(dilation / common) };
}

/* Pixel p of those a block may compute; row NOWHERE: there is none. */
struct pixel {
    int64_t n;
    int row, column;
};
__device__ inline pixel pixel_of(const ag_cuda_conv &c, const axis &down, const axis &across, int64_t p)
{
    const int64_t plane = (int64_t)down.count * across.count;
    if (p >= plane * c.batch) return pixel{ 0, NOWHERE, 0 };
    const int64_t n = c.batch_last ? p % c.batch : p / plane;
    const int64_t at = c.batch_last ? p / c.batch : p % plane;
    return pixel{ n, (int)(at / across.count), (int)(at % across.count) };
}

/* Row k of the right matrix, column k of the left one: channel and tap. */
struct inner {
    int64_t x, w;
    int row, column;
};
__device__ inline inner inner_of(const ag_cuda_conv &c, const axis &down, const axis &across, int k)
{
    const int taps = down.taps * across.taps;
    if (k >= c.in * taps) return inner{ 0, 0, NOWHERE, 0 };
    const int channel = k / taps, a = k % taps / across.taps, b = k % across.taps;
    const int row = a * down.in_tap, column = b * across.in_tap;
    return inner{ channel * c.x_stride[1] + row * c.x_stride[2] + column * c.x_stride[3],
                  channel * c.w_stride[1] + (down.tap + a * down.tap_step) * c.w_stride[2] +
                      (across.tap + b * across.tap_step) * c.w_stride[3],
                  row, column };
}

/* Which tile: of channels, of pixels, group, phase. Channels go fastest, so that blocks side by side read one x. */
struct place {
    int channel, group, phase;
    int64_t pixel;
};
__device__ inline place place_of(const ag_cuda_conv &c, int tile_out, int tile_pixels, int64_t pixel_tiles)
{
    const int out_tiles = (c.out + tile_out - 1) / tile_out;
    const int64_t tiles = out_tiles * pixel_tiles, in_group = blockIdx.x % tiles, which = blockIdx.x / tiles;
    return place{ (int)(in_group % out_tiles) * tile_out, (int)(which % c.groups), (int)(which / c.groups),
                  in_group / out_tiles * tile_pixels };
}

/* A thread makes M channels by N pixels: channels [y M, y M + M), pixels in two runs of N / 2. */
template <class T, int M, int N>
__global__ void __launch_bounds__(THREADS, 2) conv_gemm(const ag_cuda_conv c, int64_t pixel_tiles)
{
    constexpr int OUT = SIDE * M, PIXELS = SIDE * N, HALF = N / 2, LEFT = OUT + 4;
    constexpr int LEFTS = DEPTH * OUT / THREADS, RIGHTS = DEPTH * PIXELS / THREADS; /* elements to load a thread */
    typedef pack<T, M> lefts;
    typedef pack<T, HALF> rights;
    SHARED(lefts, left_tiles, [2 * DEPTH * LEFT / M]);        /* (2, DEPTH, OUT + 4): w */
    SHARED(rights, right_tiles, [2 * DEPTH * PIXELS / HALF]); /* (2, DEPTH, PIXELS): x */
    SHARED(inner, inners, [2 * DEPTH]);                       /* (2, DEPTH) */
    SHARED(int64_t, to, [PIXELS]);                            /* where in y; -1: nowhere */
    T *const left = left_tiles[0].at, *const right = right_tiles[0].at;
    const int tid = (int)threadIdx.x, tx = tid % SIDE, ty = tid / SIDE;
    const place at = place_of(c, OUT, PIXELS, pixel_tiles);
    const int phases_across = c.transposed ? min(c.stride[1], c.out_size[1]) : 1;
    const axis down = phase_of(c, 0, at.phase / phases_across), across = phase_of(c, 1, at.phase % phases_across);
    if (at.pixel >= (int64_t)c.batch * down.count * across.count) return; /* a phase with fewer pixels */
    const T *const x = (const T *)c.x + at.group * c.x_group, *const w = (const T *)c.w + at.group * c.w_group;
    const int depth = c.in * down.taps * across.taps;

    /* The thread's column of the right tile and its first row; its row of the left one and its first column. */
    const int column = tid % PIXELS, first_row = tid / PIXELS, left_row = tid % DEPTH, left_column = tid / DEPTH;
    const pixel mine = pixel_of(c, down, across, at.pixel + column);
    const int row0 = mine.row == NOWHERE ? NOWHERE : mine.row * down.in_step + down.in_first;
    const int column0 = mine.column * across.in_step + across.in_first;
    const int64_t from = mine.n * c.x_stride[0] + row0 * c.x_stride[2] + column0 * c.x_stride[3];
    if (tid < PIXELS) {
        const int64_t i = down.first + (int64_t)mine.row * down.step;
        const int64_t j = across.first + (int64_t)mine.column * across.step;
        to[tid] = mine.row == NOWHERE ? -1 : mine.n * c.y_stride[0] + i * c.y_stride[2] + j * c.y_stride[3];
    }
    if (tid < 2 * DEPTH) inners[tid] = inner_of(c, down, across, tid);
    __syncthreads();

    T next_left[LEFTS], next_right[RIGHTS];
    const auto load = [&](const inner *k) {
        UNROLL
        for (int q = 0; q < RIGHTS; q++) {
            const inner row = k[first_row + q * (THREADS / PIXELS)];
            const bool is_inside = (unsigned)(row0 + row.row) < (unsigned)c.size[0] &&
                                   (unsigned)(column0 + row.column) < (unsigned)c.size[1];
            next_right[q] = is_inside ? x[from + row.x] : 0;
        }
        UNROLL
        for (int q = 0; q < LEFTS; q++) {
            const int o = at.channel + left_column + q * (THREADS / DEPTH);
            next_left[q] = k[left_row].row != NOWHERE && o < c.out ? w[o * c.w_stride[0] + k[left_row].w] : 0;
        }
    };
    const auto store = [&](int buffer) {
        UNROLL
        for (int q = 0; q < RIGHTS; q++)
            right[(buffer * DEPTH + first_row + q * (THREADS / PIXELS)) * PIXELS + column] = next_right[q];
        UNROLL
        for (int q = 0; q < LEFTS; q++)
            left[(buffer * DEPTH + left_row) * LEFT + left_column + q * (THREADS / DEPTH)] = next_left[q];
    };
    load(inners);
    store(0);
    __syncthreads();

    T sum[M][N] = {};
    for (int k0 = 0, buffer = 0; k0 < depth; k0 += DEPTH, buffer ^= 1) {
        const bool is_last = k0 + DEPTH >= depth;
        if (tid < DEPTH) inners[buffer * DEPTH + tid] = inner_of(c, down, across, k0 + 2 * DEPTH + tid);
        if (!is_last) load(inners + (buffer ^ 1) * DEPTH);
        UNROLL_BY(M == 8 ? 2 : DEPTH)
        for (int k = 0; k < DEPTH; k++) {
            const T *const row = right + (buffer * DEPTH + k) * PIXELS;
            const lefts a = *(const lefts *)(left + (buffer * DEPTH + k) * LEFT + ty * M);
            const rights b[2] = { *(const rights *)(row + tx * HALF), *(const rights *)(row + PIXELS / 2 + tx * HALF) };
            add_products(sum, a, b);
        }
        if (!is_last) store(buffer ^ 1);
        __syncthreads();
    }

    T *const y = (T *)c.y + at.group * c.y_group;
    for (int m = 0; m < M; m++) {
        const int o = at.channel + ty * M + m;
        if (o >= c.out) break;
        const T bias = c.bias ? ((const T *)c.bias)[((int64_t)at.group * c.out + o) * c.bias_stride] : 0;
        const T least = least_of<T>(c.relu);
        UNROLL
        for (int n = 0; n < N; n++) {
            const int64_t p = to[n / HALF * (PIXELS / 2) + tx * HALF + n % HALF];
            if (p >= 0) y[o * c.y_stride[1] + p] = at_least(least, sum[m][n] + bias);
        }
    }
}

template <class T, int M, int N> int launch(const ag_cuda_conv *c, void *stream)
{
    constexpr auto kernel = conv_gemm<T, M, N>;
    int64_t phases = 1, pixels = c->batch;
    for (int d = 0; d < 2; d++) {
        const int64_t strides = c->transposed && c->stride[d] < c->out_size[d] ? c->stride[d] : c->out_size[d];
        phases *= c->transposed ? strides : 1;
        pixels *= c->transposed ? (c->out_size[d] + strides - 1) / strides : c->out_size[d];
    }
    const int64_t out_tiles = (c->out + SIDE * M - 1) / (SIDE * M), pixel_tiles = (pixels + SIDE * N - 1) / (SIDE * N);
    const int64_t blocks = out_tiles * pixel_tiles * c->groups * phases;
    if (blocks > INT_MAX) return cudaErrorInvalidConfiguration;
    return LAUNCH(kernel, (unsigned)blocks, THREADS, 0, (cudaStream_t)stream, *c, pixel_tiles);
}
} // namespace

extern "C" int ag__cuda_conv_gemm(int dtype, const ag_cuda_conv *c, void *stream)
{
    if (dtype == AG_FLOAT64) return c->out <= 32 ? launch<double, 2, 4>(c, stream) : launch<double, 4, 4>(c, stream);
    return c->out <= 32   ? launch<float, 2, 8>(c, stream)
           : c->out <= 64 ? launch<float, 4, 8>(c, stream)
                          : launch<float, 8, 8>(c, stream);
}
