/* pool.cu - max pooling, a thread an output, and its gradient, a thread an input: it asks the windows that it is part
 * of whether they took it, in their order, so that nothing is added at once. */
#include "cuda/divide.cuh"
#include "cuda/pool.h"
#include "cuda/tile.cuh"

#include <argent/dtype.h>

namespace
{
enum { THREADS = 256 };

template <class T> __device__ T lowest();
template <> __device__ float lowest<float>() { return -INFINITY; }
template <> __device__ double lowest<double>() { return -INFINITY; }
template <> __device__ int64_t lowest<int64_t>() { return INT64_MIN; }
template <> __device__ int32_t lowest<int32_t>() { return INT32_MIN; }
template <> __device__ uint8_t lowest<uint8_t>() { return 0; }

/* Element e of planes of the size that the divisors are for: dimension 0 of the planes goes fastest, then the column.
 */
struct place {
    uint32_t plane[3];
    int row, column;
};
__device__ inline place place_of(const ag_cuda_pool &p, const ag_cuda_divisor *by_size, uint32_t e)
{
    place at;
    at.plane[0] = divide(&e, p.by_plane[0]);
    at.column = (int)divide(&e, by_size[1]);
    at.row = (int)divide(&e, by_size[0]);
    at.plane[1] = divide(&e, p.by_plane[1]);
    at.plane[2] = e;
    return at;
}
__device__ inline int64_t plane_of(const ag_cuda_planes &x, const place &at)
{
    return at.plane[0] * x.plane[0] + at.plane[1] * x.plane[1] + at.plane[2] * x.plane[2];
}
__device__ inline int64_t element_of(const ag_cuda_planes &x, const place &at)
{
    return plane_of(x, at) + at.row * x.row + at.column * x.column;
}

/* As in PyTorch the first of equal elements counts, a NaN is larger than any number and the last NaN counts. */
template <class T> __device__ inline void meet(T value, int index, T *most, int *place)
{
    if (value > *most || value != value) {
        *most = value;
        *place = index;
    }
}

/* The places of a window along an axis that meet the input. */
struct window {
    int first, last;
};
__device__ inline window window_of(const ag_cuda_pool &p, int d, int out)
{
    const int start = out * p.stride[d] - p.padding[d], step = p.dilation[d];
    const int end = start + (p.kernel[d] - 1) * step;
    return window{ start < 0 ? start + (-start + step - 1) / step * step : start, min(end, p.size[d] - 1) };
}

template <class T> __global__ void max_pool(const ag_cuda_pool p, uint32_t numel)
{
    const T *const x = (const T *)p.x;
    for (uint32_t e = blockIdx.x * THREADS + threadIdx.x; e < numel; e += gridDim.x * THREADS) {
        const place at = place_of(p, p.by_out_size, e);
        const window down = window_of(p, 0, at.row), across = window_of(p, 1, at.column);
        const int64_t plane = plane_of(p.at_x, at);
        T most = lowest<T>();
        int index = down.first * p.size[1] + across.first;
        for (int h = down.first; h <= down.last; h += p.dilation[0])
            for (int v = across.first; v <= across.last; v += p.dilation[1])
                meet(x[plane + h * p.at_x.row + v * p.at_x.column], h * p.size[1] + v, &most, &index);
        ((T *)p.y)[element_of(p.at_y, at)] = most;
        p.indices[element_of(p.at_indices, at)] = index;
    }
}

/* Windows of 2 by 2 that lie inside. */
template <class T> __global__ void max_pool_2x2(const ag_cuda_pool p, uint32_t numel)
{
    for (uint32_t e = blockIdx.x * THREADS + threadIdx.x; e < numel; e += gridDim.x * THREADS) {
        const place at = place_of(p, p.by_out_size, e);
        const int row = at.row * p.stride[0], column = at.column * p.stride[1], index = row * p.size[1] + column;
        const T *const from = (const T *)p.x + plane_of(p.at_x, at) + row * p.at_x.row + column * p.at_x.column;
        const T *const below = from + p.at_x.row;
        pack<T, 2> upper, lower;
        if (p.pairs) {
            upper = *(const pack<T, 2> *)from;
            lower = *(const pack<T, 2> *)below;
        } else {
            upper = pack<T, 2>{ { from[0], from[p.at_x.column] } };
            lower = pack<T, 2>{ { below[0], below[p.at_x.column] } };
        }
        T most = lowest<T>();
        int which = index;
        meet(upper.at[0], index, &most, &which);
        meet(upper.at[1], index + 1, &most, &which);
        meet(lower.at[0], index + p.size[1], &most, &which);
        meet(lower.at[1], index + p.size[1] + 1, &most, &which);
        ((T *)p.y)[element_of(p.at_y, at)] = most;
        p.indices[element_of(p.at_indices, at)] = which;
    }
}

/* The windows along an axis that may have a place among theirs. */
__device__ inline window windows_over(const ag_cuda_pool &p, int d, int place)
{
    const int end = place + p.padding[d], start = end - (p.kernel[d] - 1) * p.dilation[d];
    uint32_t first = start > 0 ? (uint32_t)(start + p.stride[d] - 1) : 0, last = (uint32_t)end;
    divide(&first, p.by_stride[d]);
    divide(&last, p.by_stride[d]);
    return window{ (int)first, min((int)last, p.out_size[d] - 1) };
}

template <class T> __global__ void max_pool_back(const ag_cuda_pool p, uint32_t numel)
{
    const T *const y = (const T *)p.y;
    for (uint32_t e = blockIdx.x * THREADS + threadIdx.x; e < numel; e += gridDim.x * THREADS) {
        const place at = place_of(p, p.by_size, e);
        const window down = windows_over(p, 0, at.row), across = windows_over(p, 1, at.column);
        const int64_t of_y = plane_of(p.at_y, at), of_indices = plane_of(p.at_indices, at);
        const int64_t here = (int64_t)at.row * p.size[1] + at.column;
        T sum = 0;
        for (int i = down.first; i <= down.last; i++)
            for (int j = across.first; j <= across.last; j++)
                if (p.indices[of_indices + i * p.at_indices.row + j * p.at_indices.column] == here)
                    sum += y[of_y + i * p.at_y.row + j * p.at_y.column];
        ((T *)p.x)[element_of(p.at_x, at)] = sum;
    }
}

uint32_t numel_of(const ag_cuda_pool *p, const int32_t *size)
{
    return (uint32_t)p->planes[0] * (uint32_t)p->planes[1] * (uint32_t)p->planes[2] * (uint32_t)size[0] *
           (uint32_t)size[1];
}

bool is_2x2(const ag_cuda_pool *p)
{
    bool is = true;
    for (int d = 0; d < 2; d++)
        is = is && p->kernel[d] == 2 && p->dilation[d] == 1 && p->padding[d] == 0 &&
             (p->out_size[d] - 1) * p->stride[d] + 2 <= p->size[d];
    return is;
}

template <class T> int launch(const ag_cuda_pool *p, void *stream)
{
    const uint32_t numel = numel_of(p, p->out_size);
    constexpr auto any = max_pool<T>;
    return LAUNCH(any, blocks_of(numel, THREADS), THREADS, 0, (cudaStream_t)stream, *p, numel);
}
template <class T> int launch_real(const ag_cuda_pool *p, void *stream)
{
    const uint32_t numel = numel_of(p, p->out_size);
    constexpr auto small = max_pool_2x2<T>;
    return is_2x2(p) ? LAUNCH(small, blocks_of(numel, THREADS), THREADS, 0, (cudaStream_t)stream, *p, numel)
                     : launch<T>(p, stream);
}
template <class T> int launch_back(const ag_cuda_pool *p, void *stream)
{
    const uint32_t numel = numel_of(p, p->size);
    constexpr auto kernel = max_pool_back<T>;
    return LAUNCH(kernel, blocks_of(numel, THREADS), THREADS, 0, (cudaStream_t)stream, *p, numel);
}
} // namespace

extern "C" int ag__cuda_max_pool(int dtype, const ag_cuda_pool *p, void *stream)
{
    return dtype == AG_FLOAT32   ? launch_real<float>(p, stream)
           : dtype == AG_FLOAT64 ? launch_real<double>(p, stream)
           : dtype == AG_INT64   ? launch<int64_t>(p, stream)
           : dtype == AG_INT32   ? launch<int32_t>(p, stream)
                                 : launch<uint8_t>(p, stream);
}
extern "C" int ag__cuda_max_pool_back(int dtype, const ag_cuda_pool *p, void *stream)
{
    return dtype == AG_FLOAT64 ? launch_back<double>(p, stream) : launch_back<float>(p, stream);
}
