/* reduce.cu - sums and products. A block makes one total: its threads take every 256th element, then their parts are
 * folded by a tree. The order depends on the shape alone, so the bits are always the same. */
#include "cuda/elements.cuh"
#include "cuda/reduce.h"

namespace
{
enum { THREADS = 256 };

__device__ inline int64_t place(int n, const int64_t *size, const int64_t *stride, int64_t i)
{
    int64_t at = 0;
    for (int d = n - 1; d > 0; d--) {
        at += i % size[d] * stride[d];
        i /= size[d];
    }
    return n ? at + i * stride[0] : 0;
}

/* float is summed in double; integers wrap, so in an unsigned type. */
template <int D> struct total_of {
    typedef uint64_t T;
    typedef int64_t Out;
};
template <> struct total_of<AG_FLOAT32> {
    typedef double T;
    typedef float Out;
};
template <> struct total_of<AG_FLOAT64> {
    typedef double T;
    typedef double Out;
};

template <int D, bool PRODUCT> __global__ void fold(const ag_cuda_fold f)
{
    typedef typename total_of<D>::T T;
    SHARED(T, part, [THREADS]);
    for (int64_t o = blockIdx.x; o < f.n_out; o += gridDim.x) {
        const char *in = f.in + place(f.n_kept, f.kept_size, f.kept_stride, o);
        T total = PRODUCT ? 1 : 0;
        for (int64_t i = threadIdx.x; i < f.n_in; i += THREADS) {
            const char *at = in + place(f.n_gone, f.gone_size, f.gone_stride, i);
            const T x = (T)as<D>(*(const typename type_of<D>::T *)at);
            total = PRODUCT ? total * x : total + x;
        }
        part[threadIdx.x] = total;
        __syncthreads();
        for (unsigned half = THREADS / 2; half; half /= 2) {
            if (threadIdx.x < half) {
                const T x = part[threadIdx.x + half];
                part[threadIdx.x] = PRODUCT ? part[threadIdx.x] * x : part[threadIdx.x] + x;
            }
            __syncthreads();
        }
        if (threadIdx.x == 0) ((typename total_of<D>::Out *)f.out)[o] = (typename total_of<D>::Out)part[0];
        __syncthreads(); /* part is written again */
    }
}

template <int D> int launch_fold(int is_product, const ag_cuda_fold *f, void *stream)
{
    constexpr auto sum = fold<D, false>, product = fold<D, true>;
    const unsigned most = 1 << 16, blocks = f->n_out < most ? (unsigned)f->n_out : most;
    return is_product ? LAUNCH(product, blocks, THREADS, 0, (cudaStream_t)stream, *f)
                      : LAUNCH(sum, blocks, THREADS, 0, (cudaStream_t)stream, *f);
}
} // namespace

extern "C" int ag__cuda_fold_of(int dtype, int is_product, const ag_cuda_fold *f, void *stream)
{
    switch (dtype) {
    case AG_FLOAT32:
        return launch_fold<AG_FLOAT32>(is_product, f, stream);
    case AG_FLOAT64:
        return launch_fold<AG_FLOAT64>(is_product, f, stream);
    case AG_INT64:
        return launch_fold<AG_INT64>(is_product, f, stream);
    case AG_INT32:
        return launch_fold<AG_INT32>(is_product, f, stream);
    case AG_BOOL:
        return launch_fold<AG_BOOL>(is_product, f, stream);
    default:
        return launch_fold<AG_UINT8>(is_product, f, stream);
    }
}
