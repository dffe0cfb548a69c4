/* reduce_sums.cu - sums, products and means. */
#include "cuda/reduce.cuh"

namespace
{
template <int D, bool PRODUCT> struct total : simple_fold<typename total_of<D>::T, total<D, PRODUCT>> {
    typedef typename total_of<D>::T T;
    typedef typename total_of<D>::Out Out;
    typedef typename type_of<D>::T In;
    static __device__ T none() { return PRODUCT ? 1 : 0; }
    static __device__ T combine(T a, T b) { return PRODUCT ? a * b : a + b; }
    static __device__ void take(T &run, In x, int64_t, const ag_cuda_fold &)
    {
        run = combine(run, (T)(D == AG_BOOL ? (In)(x != 0) : x));
    }
    static __device__ void store(const ag_cuda_fold &f, int64_t o, T x)
    {
        const bool is_mean = D <= AG_FLOAT64 && f.option != 1;
        ((Out *)f.out)[o] = (Out)(is_mean ? (T)(x / f.option) : x);
    }
};

template <bool PRODUCT> int by_type(int dtype, const ag_cuda_fold *f, void *stream)
{
    switch (dtype) {
    case AG_FLOAT32:
        return launch_fold<total<AG_FLOAT32, PRODUCT>>(f, stream);
    case AG_FLOAT64:
        return launch_fold<total<AG_FLOAT64, PRODUCT>>(f, stream);
    case AG_INT64:
        return launch_fold<total<AG_INT64, PRODUCT>>(f, stream);
    case AG_INT32:
        return launch_fold<total<AG_INT32, PRODUCT>>(f, stream);
    case AG_BOOL:
        return launch_fold<total<AG_BOOL, PRODUCT>>(f, stream);
    default:
        return launch_fold<total<AG_UINT8, PRODUCT>>(f, stream);
    }
}
} // namespace

extern "C" int ag__cuda_fold_sums(int fold, int dtype, const ag_cuda_fold *f, void *stream)
{
    return fold == AG_FOLD_PROD ? by_type<true>(dtype, f, stream) : by_type<false>(dtype, f, stream);
}
