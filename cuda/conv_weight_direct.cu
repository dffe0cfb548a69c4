/* conv_weight_direct.cu - the weight's gradient of few channels: a block keeps parts of x and y in shared memory; a
 * thread slides down columns of both, so that each element of x serves all rows of the kernel. */
#include "cuda/box.cuh"
#include "cuda/conv.h"
#include "cuda/tile.cuh"

#include <argent/dtype.h>

namespace
{
enum { THREADS = AG_CUDA_CONV_THREADS, OUTS = 4 };

/* sum[a][o] += the products down one column: x rows from the first tap's on, y of `rows` pixels. */
template <class T, int KH>
__device__ inline void slide(T (&sum)[KH][OUTS], int rows, const T *x, int x_row, const T *y, int y_row)
{
    T window[KH];
    UNROLL
    for (int a = 0; a + 1 < KH; a++, x += x_row) window[a + 1] = *x;
    UNROLL_BY(KH)
    for (int i = 0; i < rows; i++, x += x_row, y += y_row) {
        const pack<T, OUTS> by = *(const pack<T, OUTS> *)y;
        UNROLL
        for (int a = 0; a + 1 < KH; a++) window[a] = window[a + 1];
        window[KH - 1] = *x;
        UNROLL
        for (int a = 0; a < KH; a++) UNROLL
        for (int o = 0; o < OUTS; o++) sum[a][o] = multiply_add(window[a], by.at[o], sum[a][o]);
    }
}

template <class T, int KH>
__global__ void __launch_bounds__(THREADS) conv_weight_direct(const ag_cuda_conv_weight_direct t)
{
    DYN_SHARED(T, y_tile);
    T *const x_tile = y_tile + t.images * t.rows * t.columns * t.outs;
    const ag_cuda_conv_weight &g = t.weight;
    const ag_cuda_conv &c = g.conv;
    const int tid = (int)threadIdx.x, each = t.threads / t.slices, kernel = c.kernel[1];
    const int slice = tid / each, b = tid % kernel, channel = tid % each / kernel % t.channels;
    const int quad = tid % each / kernel / t.channels;
    const int c0 = (int)(blockIdx.x % t.channel_tiles) * t.channels, group = (int)(blockIdx.x / t.channel_tiles);
    const T *const x = (const T *)c.x + group * c.x_group, *const y = (const T *)g.y + group * c.y_group;
    const T *const x_at = x_tile + channel * t.at_x.channel + b * c.dilation[1];
    const int64_t first = blockIdx.y * g.part, end = first + g.part < t.tiles ? first + g.part : t.tiles;

    T total[KH][OUTS] = {};
    for (int64_t tile = first; tile < end; tile++) {
        const int j0 = (int)(tile % t.column_tiles) * t.columns;
        const int i0 = (int)(tile / t.column_tiles % t.row_tiles) * t.rows;
        const int n0 = (int)(tile / t.column_tiles / t.row_tiles) * t.images;
        if (tile > first) __syncthreads(); /* the last ones have been read */
        copy_box(y_tile, y, t.y, corner{ { n0, 0, i0, j0 } });
        copy_box(x_tile, x, t.x, corner{ { n0, c0, i0 - c.padding[0], j0 * c.stride[1] - c.padding[1] } });
        __syncthreads();
        const int rows = min(t.rows, c.out_size[0] - i0), columns = min(t.columns, c.out_size[1] - j0);
        const int strips = min(t.images, c.batch - n0) * columns;
        T sum[KH][OUTS] = {};
        for (int s = slice; s < strips; s += t.slices) {
            const int n = s / columns, j = s % columns;
            slide<T, KH>(sum, rows, x_at + n * t.at_x.image + j * c.stride[1], t.at_x.row,
                         y_tile + ((n * t.rows) * t.columns + j) * t.outs + quad * OUTS, t.columns * t.outs);
        }
        UNROLL
        for (int e = 0; e < KH * OUTS; e++) total[e / OUTS][e % OUTS] += sum[e / OUTS][e % OUTS];
    }

    /* The slices' totals, (slices, KH, OUTS, threads of one), are added in order. */
    T *const totals = y_tile;
    if (t.slices > 1) {
        __syncthreads();
        UNROLL
        for (int e = 0; e < KH * OUTS; e++)
            totals[(slice * KH * OUTS + e) * each + tid % each] = total[e / OUTS][e % OUTS];
        __syncthreads();
        if (slice > 0) return;
    }
    const int64_t numel = (int64_t)c.groups * c.out * c.in * KH * kernel;
    T *const to = g.splits > 1 ? (T *)g.parts + blockIdx.y * numel : (T *)g.w;
    UNROLL
    for (int e = 0; e < KH * OUTS; e++) {
        const int a = e / OUTS, o = quad * OUTS + e % OUTS, k = c0 + channel;
        T sum = total[a][e % OUTS];
        for (int s = 1; s < t.slices; s++) sum += totals[(s * KH * OUTS + e) * each + tid];
        if (o < c.out && k < c.in) to[((((int64_t)group * c.out + o) * c.in + k) * KH + a) * kernel + b] = sum;
    }
}

template <class T, int KH> int launch(const ag_cuda_conv_weight_direct *t, void *stream)
{
    constexpr auto kernel = conv_weight_direct<T, KH>;
    const dim3 grid((unsigned)t->blocks, (unsigned)t->weight.splits);
    return LAUNCH(kernel, grid, (unsigned)t->threads, (size_t)t->shared * sizeof(T), (cudaStream_t)stream, *t);
}
} // namespace

extern "C" int ag__cuda_conv_weight_direct(int dtype, const ag_cuda_conv_weight_direct *t, void *stream)
{
    const bool three = t->weight.conv.kernel[0] == 3;
    if (dtype == AG_FLOAT64) return three ? launch<double, 3>(t, stream) : launch<double, 5>(t, stream);
    return three ? launch<float, 3>(t, stream) : launch<float, 5>(t, stream);
}
