/* tile.cuh - what kernels share that keep a tile of a product of matrices in registers. */
#ifndef AG_CUDA_TILE_CUH
#define AG_CUDA_TILE_CUH
#include "cuda/launch.h"

namespace
{
/* N neighbours in memory, read and written together. */
template <class T, int N> struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) pack {
    T at[N];
};

__device__ inline float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
__device__ inline double multiply_add(double a, double b, double c) { return fma(a, b, c); }

/* sum[m][n] += left[m] * right[n] */
template <class T, int M, int N>
__device__ inline void add_products(T (&sum)[M][N], const pack<T, M> &left, const pack<T, N / 2> (&right)[2])
{
    UNROLL
    for (int m = 0; m < M; m++) UNROLL
    for (int n = 0; n < N; n++) sum[m][n] = multiply_add(left.at[m], right[n / (N / 2)].at[n % (N / 2)], sum[m][n]);
}

/* x, or what it has to be at least; NaN stays. */
template <class T> __device__ inline T at_least(T least, T x) { return x < least ? least : x; }
/* That of a relu, or of nothing. */
template <class T> __device__ inline T least_of(bool relu) { return relu ? (T)0 : -(T)INFINITY; }
} // namespace
#endif
