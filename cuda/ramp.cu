/* ramp.cu - numbers at equal distances: a thread a number. */
#include "cuda/elements.cuh"
#include "cuda/ramp.h"

namespace
{
enum { THREADS = 256 };

__device__ inline int64_t at(const ag__ramp &r, int64_t i, int64_t)
{
    return (int64_t)((uint64_t)r.first + (uint64_t)r.by * (uint64_t)i);
}
template <class F> __device__ inline F at(const ag__ramp &r, int64_t i, F)
{
    return i < r.turn ? (F)r.start + (F)r.step * (F)i : (F)r.end - (F)r.step * (F)(r.n - i - 1);
}

template <class F> __global__ void fill_ramp(char *y, int dtype, int64_t item, const ag__ramp r)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < r.n; i += step)
        store_as(y + i * item, dtype, at(r, i, F()));
}
template <class F> int launch_ramp(char *y, int dtype, const ag__ramp *r, void *stream)
{
    static const uint8_t item[AG_N_DTYPES] = { 4, 8, 8, 4, 1, 1 };
    constexpr auto kernel = fill_ramp<F>;
    return LAUNCH(kernel, blocks_of(r->n, THREADS), THREADS, 0, (cudaStream_t)stream, y, dtype, (int64_t)item[dtype],
                  *r);
}
} // namespace

extern "C" int ag__cuda_ramp_into(char *y, int dtype, const ag__ramp *ramp, void *stream)
{
    return ramp->kind == AG_RAMP_F32   ? launch_ramp<float>(y, dtype, ramp, stream)
           : ramp->kind == AG_RAMP_F64 ? launch_ramp<double>(y, dtype, ramp, stream)
                                       : launch_ramp<int64_t>(y, dtype, ramp, stream);
}
