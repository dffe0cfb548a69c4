/* binary.cu - bits, division that rounds, closeness and binary_cross_entropy: a thread an element. */
#include "cuda/binary.h"
#include "cuda/elements.cuh"
#include "cuda/raise.cuh"

#define AG_ON_DEVICE __device__
#include "ops/cpu/divide.h"

namespace
{
template <int D> struct whole {
    enum { in = D, out = D };
    typedef typename type_of<D>::T T;
    static __device__ int64_t of(const ag_cuda_pair &p, T a, T b)
    {
        if (p.operation < AG_DIVIDE_TRUNC) return ag__combine_bits(p.operation, 8 * sizeof(T), a, b);
        if (b != 0) return ag__divide_integers(p.operation, a, b);
        note(p.report, 0);
        return 0;
    }
};
struct bits {
    enum { in = AG_BOOL, out = AG_BOOL };
    static __device__ uint8_t of(const ag_cuda_pair &p, uint8_t a, uint8_t b)
    {
        return (uint8_t)ag__combine_bits(p.operation, 8, a != 0, b != 0);
    }
};
struct real_f32 {
    enum { in = AG_FLOAT32, out = AG_FLOAT32 };
    static __device__ float of(const ag_cuda_pair &p, float a, float b) { return ag__divide_f32(p.operation, a, b); }
};
struct real_f64 {
    enum { in = AG_FLOAT64, out = AG_FLOAT64 };
    static __device__ double of(const ag_cuda_pair &p, double a, double b) { return ag__divide_f64(p.operation, a, b); }
};
struct close_f32 {
    enum { in = AG_FLOAT32, out = AG_BOOL };
    static __device__ bool of(const ag_cuda_pair &p, float a, float b)
    {
        return ag__is_close_f32(a, b, p.option[0], p.option[1], p.option[2] != 0);
    }
};
struct close_f64 { /* and integers */
    enum { in = AG_FLOAT64, out = AG_BOOL };
    static __device__ bool of(const ag_cuda_pair &p, double a, double b)
    {
        return ag__is_close_f64(a, b, p.option[0], p.option[1], p.option[2] != 0);
    }
};

/* The row of that name; what is no probability is noted, and NaN. */
template <int D> struct cross_entropy_of_two {
    enum { in = D, out = D };
    typedef typename type_of<D>::T T;
    static __device__ T of(const ag_cuda_pair &p, T a, T b)
    {
        if (!(a >= 0 && a <= 1)) {
            note(p.report, 0);
            return (T)NAN;
        }
        return (b - 1) * fmax(log1p(-a), (T)-100) - b * fmax(log(a), (T)-100);
    }
};

template <class Row> __global__ void combine(const ag_cuda_pair p)
{
    typedef typename type_of<Row::out>::T T;
    const ag_cuda_elements &e = p.elements;
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < e.numel; i += step) {
        int64_t at[AG_CUDA_SLOTS];
        places(e, i, at);
        const T y = (T)Row::of(p, operand<Row::in>(e, IN_A, at), operand<Row::in>(e, IN_B, at));
        if (e.dtype[0] == Row::out)
            *(T *)(e.data[0] + at[0]) = y;
        else
            store_as(e.data[0] + at[0], e.dtype[0], y);
    }
}

template <class Row> int launch_pair(const ag_cuda_pair *p, void *stream)
{
    const unsigned THREADS = 256;
    constexpr auto kernel = combine<Row>;
    return LAUNCH(kernel, blocks_of(p->elements.numel, THREADS), THREADS, 0, (cudaStream_t)stream, *p);
}
} // namespace

extern "C" int ag__cuda_combine_in(int dtype, const ag_cuda_pair *p, void *stream)
{
    if (p->operation == AG_IS_CLOSE)
        return dtype == AG_FLOAT32 ? launch_pair<close_f32>(p, stream) : launch_pair<close_f64>(p, stream);
    if (p->operation == AG_CROSS_ENTROPY_OF_TWO)
        return dtype == AG_FLOAT32 ? launch_pair<cross_entropy_of_two<AG_FLOAT32>>(p, stream)
                                   : launch_pair<cross_entropy_of_two<AG_FLOAT64>>(p, stream);
    switch (dtype) {
    case AG_FLOAT32:
        return launch_pair<real_f32>(p, stream);
    case AG_FLOAT64:
        return launch_pair<real_f64>(p, stream);
    case AG_INT64:
        return launch_pair<whole<AG_INT64>>(p, stream);
    case AG_INT32:
        return launch_pair<whole<AG_INT32>>(p, stream);
    case AG_BOOL:
        return launch_pair<bits>(p, stream);
    default:
        return launch_pair<whole<AG_UINT8>>(p, stream);
    }
}
