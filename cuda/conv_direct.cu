/* conv_direct.cu - convolution to few channels: a block keeps a part of x and of w in shared memory, each thread makes
 * four rows of a column for four channels. Neighbouring threads are neighbouring columns, or images where those lie
 * side by side, so that they read and write neighbours. */
#include "cuda/box.cuh"
#include "cuda/conv.h"
#include "cuda/tile.cuh"

#include <argent/dtype.h>

namespace
{
enum { THREADS = AG_CUDA_CONV_THREADS, ROWS = AG_CUDA_CONV_ROWS };

/* Which thread of a block, or which block, along each dimension. */
struct part {
    int images, rows, columns, outs;
};
__device__ inline part thread_of(const ag_cuda_conv_direct &t, int tid)
{
    part p;
    if (t.conv.batch_last) {
        p.images = tid % t.images, tid /= t.images;
        p.columns = tid % t.columns, tid /= t.columns;
        p.rows = tid % t.quads, tid /= t.quads;
    } else {
        p.columns = tid % t.columns, tid /= t.columns;
        p.rows = tid % t.quads, tid /= t.quads;
        p.images = tid % t.images, tid /= t.images;
    }
    p.outs = tid;
    return p;
}

/* sum[o][r] over the taps b of one row of the kernel, and the channels in shared memory: x (channels, rows, columns,
 * images) in some order, w (channels, KW, KH, outs). KH rows are read once for ROWS results; KH 0: any kernel and step,
 * each element is read for itself. */
template <class T, int KH, int OUTS>
__device__ inline void add_taps(T (&sum)[OUTS][ROWS], const ag_cuda_conv_direct &t, int channels, const T *x,
                                const T *w)
{
    const int row = t.at_x.row, taps = KH ? KH : t.conv.kernel[0];
    const int gap = t.at_x.column * t.conv.dilation[1];
    for (int c = 0; c < channels; c++, x += t.at_x.channel) {
        const T *from = x;
        for (int b = 0; b < t.conv.kernel[1]; b++, from += gap) {
            if constexpr (KH > 0) {
                T column[ROWS + KH - 1];
                UNROLL
                for (int r = 0; r < ROWS + KH - 1; r++) column[r] = from[r * row];
                UNROLL
                for (int a = 0; a < KH; a++, w += t.outs) {
                    const pack<T, OUTS> by = *(const pack<T, OUTS> *)w;
                    UNROLL
                    for (int o = 0; o < OUTS; o++) UNROLL
                    for (int r = 0; r < ROWS; r++) sum[o][r] = multiply_add(by.at[o], column[a + r], sum[o][r]);
                }
            } else {
                for (int a = 0; a < taps; a++, w += t.outs) {
                    const pack<T, OUTS> by = *(const pack<T, OUTS> *)w;
                    UNROLL
                    for (int r = 0; r < ROWS; r++) {
                        const T value = from[(r * t.conv.stride[0] + a * t.conv.dilation[0]) * row];
                        UNROLL
                        for (int o = 0; o < OUTS; o++) sum[o][r] = multiply_add(by.at[o], value, sum[o][r]);
                    }
                }
            }
        }
    }
}

template <class T, int KH, int OUTS> __global__ void __launch_bounds__(THREADS) conv_direct(const ag_cuda_conv_direct t)
{
    DYN_SHARED(T, w_tile);
    T *const x_tile = w_tile + t.w.numel;
    const ag_cuda_conv &c = t.conv;
    int64_t block = blockIdx.x;
    const int j0 = (int)(block % t.column_tiles) * t.columns;
    block /= t.column_tiles;
    const int i0 = (int)(block % t.row_tiles) * t.quads * ROWS;
    block /= t.row_tiles;
    const int group = (int)(block % c.groups), n0 = (int)(block / c.groups) * t.images;
    const part mine = thread_of(t, (int)threadIdx.x);
    const T *const x = (const T *)c.x + group * c.x_group, *const w = (const T *)c.w + group * c.w_group;
    const T *const x_at = x_tile + mine.images * t.at_x.image + mine.columns * c.stride[1] * t.at_x.column +
                          mine.rows * ROWS * c.stride[0] * t.at_x.row;

    T sum[OUTS][ROWS] = {};
    for (int c0 = 0; c0 < c.in; c0 += t.channels) {
        if (c0) __syncthreads(); /* the last ones have been read */
        copy_box(w_tile, w, t.w, corner{ { 0, c0, 0, 0 } });
        copy_box(x_tile, x, t.x,
                 corner{ { n0, c0, i0 * c.stride[0] - c.padding[0], j0 * c.stride[1] - c.padding[1] } });
        __syncthreads();
        add_taps<T, KH, OUTS>(sum, t, min(t.channels, c.in - c0), x_at, w_tile + mine.outs * OUTS);
    }

    const int n = n0 + mine.images, i = i0 + mine.rows * ROWS, j = j0 + mine.columns;
    if (n >= c.batch || j >= c.out_size[1]) return;
    T *const y = (T *)c.y + group * c.y_group + n * c.y_stride[0] + i * c.y_stride[2] + j * c.y_stride[3];
    UNROLL
    for (int k = 0; k < OUTS; k++) {
        const int o = mine.outs * OUTS + k;
        if (o >= c.out) break;
        const T bias = c.bias ? ((const T *)c.bias)[((int64_t)group * c.out + o) * c.bias_stride] : 0;
        const T least = least_of<T>(c.relu);
        UNROLL
        for (int r = 0; r < ROWS; r++)
            if (i + r < c.out_size[0]) y[o * c.y_stride[1] + r * c.y_stride[2]] = at_least(least, sum[k][r] + bias);
    }
}

template <class T, int KH, int OUTS> int launch(const ag_cuda_conv_direct *t, void *stream)
{
    constexpr auto kernel = conv_direct<T, KH, OUTS>;
    const size_t shared = (size_t)(t->w.numel + t->x_numel) * sizeof(T);
    return LAUNCH(kernel, (unsigned)t->blocks, (unsigned)t->threads, shared, (cudaStream_t)stream, *t);
}
template <class T, int OUTS> int launch_any(const ag_cuda_conv_direct *t, void *stream)
{
    const int rows = t->conv.stride[0] == 1 && t->conv.dilation[0] == 1 ? t->conv.kernel[0] : 0;
    return rows == 3   ? launch<T, 3, OUTS>(t, stream)
           : rows == 5 ? launch<T, 5, OUTS>(t, stream)
                       : launch<T, 0, OUTS>(t, stream);
}
} // namespace

extern "C" int ag__cuda_conv_direct(int dtype, const ag_cuda_conv_direct *t, void *stream)
{
    if (dtype == AG_FLOAT64)
        return t->conv.out == 1 ? launch_any<double, 1>(t, stream) : launch_any<double, 4>(t, stream);
    return t->conv.out == 1 ? launch_any<float, 1>(t, stream) : launch_any<float, 4>(t, stream);
}
