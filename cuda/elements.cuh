/* elements.cuh - the kernel that goes over the elements of several tensors: a Row says what becomes of them. */
#ifndef AG_CUDA_ELEMENTS_CUH
#define AG_CUDA_ELEMENTS_CUH
#include "cuda/elements.h"
#include "cuda/launch.h"

#include <string.h>

namespace
{

template <int D> struct type_of;
template <> struct type_of<AG_FLOAT32> {
    typedef float T;
};
template <> struct type_of<AG_FLOAT64> {
    typedef double T;
};
template <> struct type_of<AG_INT64> {
    typedef int64_t T;
};
template <> struct type_of<AG_INT32> {
    typedef int32_t T;
};
template <> struct type_of<AG_UINT8> {
    typedef uint8_t T;
};
template <> struct type_of<AG_BOOL> {
    typedef uint8_t T;
};

/* ---- from one type to another, as tensor/convert.h ---- */

__device__ inline int64_t whole_of(double x) { return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN; }
__device__ inline int32_t short_of(double x) { return x > -0x1.00000002p31 && x < 0x1p31 ? (int32_t)x : INT32_MIN; }

/* x as an element of type D; bool is 0 or 1. */
template <int D, class F> __device__ typename type_of<D>::T as(F x)
{
    typedef typename type_of<D>::T T;
    if (D == AG_BOOL) return (T)(x != 0);
    if (D == AG_FLOAT32 || D == AG_FLOAT64 || !((F)0.5 > 0)) return (T)x;
    if (D == AG_INT32) return (T)short_of((double)x);
    return (T)whole_of((double)x);
}

/* What lies there, an element of type `dtype`, as one of type D; and back. */
template <int D> __device__ OUT_OF_LINE typename type_of<D>::T element_as(const char *at, int dtype)
{
    switch (dtype) {
    case AG_FLOAT32:
        return as<D>(*(const float *)at);
    case AG_FLOAT64:
        return as<D>(*(const double *)at);
    case AG_INT64:
        return as<D>(*(const int64_t *)at);
    case AG_INT32:
        return as<D>(*(const int32_t *)at);
    case AG_BOOL:
        return as<D>((uint8_t)(*(const uint8_t *)at != 0));
    default:
        return as<D>(*(const uint8_t *)at);
    }
}
template <class F> __device__ OUT_OF_LINE void store_as(char *at, int dtype, F x)
{
    switch (dtype) {
    case AG_FLOAT32:
        *(float *)at = as<AG_FLOAT32>(x);
        break;
    case AG_FLOAT64:
        *(double *)at = as<AG_FLOAT64>(x);
        break;
    case AG_INT64:
        *(int64_t *)at = as<AG_INT64>(x);
        break;
    case AG_INT32:
        *(int32_t *)at = as<AG_INT32>(x);
        break;
    case AG_BOOL:
        *(uint8_t *)at = as<AG_BOOL>(x);
        break;
    default:
        *(uint8_t *)at = as<AG_UINT8>(x);
    }
}

/* ---- the kernel ---- */

/* Element i's distance from the beginning of each slot's data, in bytes. */
__device__ inline void places(const ag_cuda_elements &e, int64_t i, int64_t *at)
{
    for (int k = 0; k < AG_CUDA_SLOTS; k++) at[k] = 0;
    for (int d = e.ndim - 1; d >= 0; d--) {
        int64_t index;
        if (d == 0) {
            index = i;
        } else if (e.numel <= INT32_MAX) {
            uint32_t j = (uint32_t)i, size = (uint32_t)e.size[d];
            index = j % size;
            i = j / size;
        } else {
            index = i % e.size[d];
            i /= e.size[d];
        }
        for (int k = 0; k < AG_CUDA_SLOTS; k++) at[k] += index * e.stride[k][d];
    }
}

/* Operand k as type D; 0 for one that is not read. */
template <int D> __device__ inline typename type_of<D>::T operand(const ag_cuda_elements &e, int k, const int64_t *at)
{
    typedef typename type_of<D>::T T;
    T x = 0;
    const int slot = 1 + k;
    if (!(e.reads >> slot & 1)) return x;
    if (e.constant >> slot & 1)
        memcpy(&x, &e.value[slot], sizeof x);
    else if (e.flat)
        x = *(const T *)(e.data[slot] + at[slot]);
    else
        x = element_as<D>(e.data[slot] + at[slot], e.dtype[slot]);
    return x;
}

/* out[i] = Row::of(a[i], b[i], c[i], m[i], y[i], g[i], options): of type Row::in, the result of type Row::out. */
template <class Row> __global__ void map(const ag_cuda_elements e, const ag_cuda_options options)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < e.numel; i += step) {
        int64_t at[AG_CUDA_SLOTS];
        if (e.flat)
            for (int k = 0; k < AG_CUDA_SLOTS; k++) at[k] = i * e.stride[k][0];
        else
            places(e, i, at);
        typedef typename type_of<Row::out>::T T;
        const T y = (T)Row::of(operand<Row::in>(e, IN_A, at), operand<Row::in>(e, IN_B, at),
                               operand<Row::in>(e, IN_C, at), operand<AG_BOOL>(e, IN_M, at) != 0,
                               operand<Row::in>(e, IN_Y, at), operand<Row::in>(e, IN_G, at), options.at);
        if (e.dtype[0] == Row::out)
            *(T *)(e.data[0] + at[0]) = y;
        else
            store_as(e.data[0] + at[0], e.dtype[0], y);
    }
}

template <class Row> int launch(const ag_cuda_elements *e, const ag_cuda_options *options, void *stream)
{
    const unsigned THREADS = 256;
    constexpr auto kernel = map<Row>;
    return LAUNCH(kernel, blocks_of(e->numel, THREADS), THREADS, 0, (cudaStream_t)stream, *e, *options);
}

} // namespace
#endif
