/* conv_weight_gemm.cu - the weight's gradient as a product of matrices: (out, pixels) times (pixels, in KH KW), the
 * right one looked up in x. A block makes a tile of the weight from its part of the pixels; parts are added in order
 * afterwards. So the order of every sum follows from the shape alone. */
#include "cuda/conv.h"
#include "cuda/tile.cuh"

#include <argent/dtype.h>
#include <limits.h>

namespace
{
enum { SIDE = 16, THREADS = SIDE * SIDE, DEPTH = 16, NOWHERE = INT_MIN / 2 };

/* Row k of the right matrix, column k of the left one: a pixel. Row NOWHERE: there is none. */
struct inner {
    int64_t x, y;
    int row, column;
};
__device__ inline inner inner_of(const ag_cuda_conv &c, int64_t k, int64_t end)
{
    if (k >= end) return inner{ 0, 0, NOWHERE, 0 };
    const int64_t plane = (int64_t)c.out_size[0] * c.out_size[1];
    const int64_t n = c.batch_last ? k % c.batch : k / plane, at = c.batch_last ? k / c.batch : k % plane;
    const int i = (int)(at / c.out_size[1]), j = (int)(at % c.out_size[1]);
    const int row = i * c.stride[0] - c.padding[0], column = j * c.stride[1] - c.padding[1];
    return inner{ n * c.x_stride[0] + row * c.x_stride[2] + column * c.x_stride[3],
                  n * c.y_stride[0] + i * c.y_stride[2] + j * c.y_stride[3], row, column };
}

/* A column of the right matrix: an input channel and a tap. */
struct tap {
    int64_t x;
    int row, column;
};
__device__ inline tap tap_of(const ag_cuda_conv &c, int q)
{
    const int taps = c.kernel[0] * c.kernel[1];
    if (q >= c.in * taps) return tap{ 0, NOWHERE, 0 };
    const int row = q % taps / c.kernel[1] * c.dilation[0], column = q % c.kernel[1] * c.dilation[1];
    return tap{ q / taps * c.x_stride[1] + row * c.x_stride[2] + column * c.x_stride[3], row, column };
}

/* A thread makes M channels by N taps: channels [y M, y M + M), taps in two runs of N / 2. Of float, sums over 128
 * pixels are added to a total, lest rounding grow with their number. */
template <class T, int M, int N>
__global__ void __launch_bounds__(THREADS, 2) conv_weight(const ag_cuda_conv_weight g, int out_tiles, int tap_tiles)
{
    constexpr int OUT = SIDE * M, TAPS = SIDE * N, HALF = N / 2, LEFT = OUT + 4, RIGHT = TAPS + 4;
    constexpr int LEFTS = DEPTH * OUT / THREADS, RIGHTS = DEPTH * TAPS / THREADS; /* elements to load a thread */
    typedef pack<T, M> lefts;
    typedef pack<T, HALF> rights;
    SHARED(lefts, left_tiles, [2 * DEPTH * LEFT / M]);       /* (2, DEPTH, OUT + 4): y */
    SHARED(rights, right_tiles, [2 * DEPTH * RIGHT / HALF]); /* (2, DEPTH, TAPS + 4): x */
    SHARED(inner, inners, [2 * DEPTH]);                      /* (2, DEPTH) */
    SHARED(tap, taps, [TAPS]);
    T *const left = left_tiles[0].at, *const right = right_tiles[0].at;
    const ag_cuda_conv &c = g.conv;
    const int tid = (int)threadIdx.x, tx = tid % SIDE, ty = tid / SIDE;
    const int tile = (int)blockIdx.x, first_out = tile % out_tiles * OUT;
    const int first_tap = tile / out_tiles % tap_tiles * TAPS, group = tile / out_tiles / tap_tiles;
    const int64_t all = (int64_t)c.batch * c.out_size[0] * c.out_size[1], begin = blockIdx.y * g.part;
    const int64_t end = begin + g.part < all ? begin + g.part : all;
    const T *const x = (const T *)c.x + group * c.x_group, *const y = (const T *)g.y + group * c.y_group;
    const int row = tid % DEPTH, column = tid / DEPTH; /* of both tiles: the first that the thread loads */

    if (tid < TAPS) taps[tid] = tap_of(c, first_tap + tid);
    if (tid < 2 * DEPTH) inners[tid] = inner_of(c, begin + tid, end);
    __syncthreads();

    T next_left[LEFTS], next_right[RIGHTS];
    const auto load = [&](const inner &k) {
        UNROLL
        for (int q = 0; q < RIGHTS; q++) {
            const tap t = taps[column + q * (THREADS / DEPTH)];
            const bool is_inside = (unsigned)(k.row + t.row) < (unsigned)c.size[0] &&
                                   (unsigned)(k.column + t.column) < (unsigned)c.size[1];
            next_right[q] = is_inside ? x[k.x + t.x] : 0;
        }
        UNROLL
        for (int q = 0; q < LEFTS; q++) {
            const int o = first_out + column + q * (THREADS / DEPTH);
            next_left[q] = k.row != NOWHERE && o < c.out ? y[o * c.y_stride[1] + k.y] : 0;
        }
    };
    const auto store = [&](int buffer) {
        UNROLL
        for (int q = 0; q < RIGHTS; q++)
            right[(buffer * DEPTH + row) * RIGHT + column + q * (THREADS / DEPTH)] = next_right[q];
        UNROLL
        for (int q = 0; q < LEFTS; q++)
            left[(buffer * DEPTH + row) * LEFT + column + q * (THREADS / DEPTH)] = next_left[q];
    };
    load(inners[row]);
    store(0);
    __syncthreads();

    T sum[M][N] = {}, total[M][N] = {};
    int buffer = 0, turn = 1;
    for (int64_t k0 = begin; k0 < end; k0 += DEPTH, buffer ^= 1, turn++) {
        const bool is_last = k0 + DEPTH >= end;
        if (tid < DEPTH) inners[buffer * DEPTH + tid] = inner_of(c, k0 + 2 * DEPTH + tid, end);
        if (!is_last) load(inners[(buffer ^ 1) * DEPTH + row]);
        UNROLL_BY(4)
        for (int k = 0; k < DEPTH; k++) {
            const T *const from = right + (buffer * DEPTH + k) * RIGHT;
            const lefts a = *(const lefts *)(left + (buffer * DEPTH + k) * LEFT + ty * M);
            const rights b[2] = { *(const rights *)(from + tx * HALF), *(const rights *)(from + TAPS / 2 + tx * HALF) };
            add_products(sum, a, b);
        }
        if (sizeof(T) == sizeof(float) && turn % 8 == 0) {
            UNROLL
            for (int e = 0; e < M * N; e++) {
                total[e / N][e % N] += sum[e / N][e % N];
                sum[e / N][e % N] = 0;
            }
        }
        if (!is_last) store(buffer ^ 1);
        __syncthreads();
    }

    const int width = c.in * c.kernel[0] * c.kernel[1];
    T *const to = g.splits > 1 ? (T *)g.parts + blockIdx.y * ((int64_t)c.groups * c.out * width) : (T *)g.w;
    UNROLL
    for (int e = 0; e < M * N; e++) {
        const int m = e / N, n = e % N, o = first_out + ty * M + m;
        const int q = first_tap + n / HALF * (TAPS / 2) + tx * HALF + n % HALF;
        if (o < c.out && q < width) to[((int64_t)group * c.out + o) * width + q] = total[m][n] + sum[m][n];
    }
}

/* ---- adding the parts ---- */

enum { WIDTH = 32, SLICES = 16 };

/* 32 elements a block; every 16th part goes to one slice of threads, and the slices are added in order. */
template <class T> __global__ void add_parts(const T *parts, T *w, int splits, int64_t numel)
{
    SHARED(double, slice, [SLICES][WIDTH]);
    const int lane = (int)threadIdx.x % WIDTH, first = (int)threadIdx.x / WIDTH;
    const int64_t e = (int64_t)blockIdx.x * WIDTH + lane;
    double sum = 0;
    for (int s = first; e < numel && s < splits; s += SLICES) sum += parts[s * numel + e];
    slice[first][lane] = sum;
    __syncthreads();
    if (first > 0 || e >= numel) return;
    for (int s = 1; s < SLICES; s++) sum += slice[s][lane];
    w[e] = (T)sum;
}

template <class T> int launch_add_parts(const ag_cuda_conv_weight *g, int64_t numel, void *stream)
{
    constexpr auto kernel = add_parts<T>;
    const unsigned blocks = (unsigned)((numel + WIDTH - 1) / WIDTH);
    return LAUNCH(kernel, blocks, WIDTH * SLICES, 0, (cudaStream_t)stream, (const T *)g->parts, (T *)g->w, g->splits,
                  numel);
}

/* ---- the tiles ---- */

int tiles_of(int64_t n, int tile) { return (int)((n + tile - 1) / tile); }
int channels_of(int dtype, int out) { return dtype == AG_FLOAT32 && out > 32 ? 4 : 2; } /* a thread */

template <class T, int M, int N> int launch(const ag_cuda_conv_weight *g, void *stream)
{
    const ag_cuda_conv *c = &g->conv;
    constexpr auto kernel = conv_weight<T, M, N>;
    const int out_tiles = tiles_of(c->out, SIDE * M);
    const int tap_tiles = tiles_of((int64_t)c->in * c->kernel[0] * c->kernel[1], SIDE * N);
    const dim3 grid((unsigned)out_tiles * (unsigned)tap_tiles * (unsigned)c->groups, (unsigned)g->splits);
    return LAUNCH(kernel, grid, THREADS, 0, (cudaStream_t)stream, *g, out_tiles, tap_tiles);
}
} // namespace

/* As many parts as give two blocks to each of an H100's 132 processors; none smaller than 128 pixels. */
extern "C" void ag__cuda_conv_weight_split(int dtype, ag_cuda_conv_weight *g)
{
    const ag_cuda_conv *c = &g->conv;
    const int64_t pixels = (int64_t)c->batch * c->out_size[0] * c->out_size[1], blocks = 2 * 132;
    const int64_t width = (int64_t)c->in * c->kernel[0] * c->kernel[1];
    const int64_t tiles = (int64_t)tiles_of(c->out, SIDE * channels_of(dtype, c->out)) *
                          tiles_of(width, dtype == AG_FLOAT64 ? SIDE * 4 : SIDE * 8) * c->groups;
    const int64_t wanted = tiles < blocks ? blocks / tiles : 1, part = (pixels + wanted - 1) / wanted;
    g->part = ((part < 128 ? 128 : part) + DEPTH - 1) / DEPTH * DEPTH;
    g->splits = (int32_t)((pixels + g->part - 1) / g->part);
}

extern "C" int ag__cuda_conv_weight_gemm(int dtype, const ag_cuda_conv_weight *g, void *stream)
{
    if (dtype == AG_FLOAT64) return launch<double, 2, 4>(g, stream);
    return channels_of(dtype, g->conv.out) == 2 ? launch<float, 2, 8>(g, stream) : launch<float, 4, 8>(g, stream);
}
extern "C" int ag__cuda_conv_add_parts(int dtype, const ag_cuda_conv_weight *g, int64_t numel, void *stream)
{
    return dtype == AG_FLOAT64 ? launch_add_parts<double>(g, numel, stream) : launch_add_parts<float>(g, numel, stream);
}
