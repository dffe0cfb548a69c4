/* reduce_extremes.cu - the greatest and the least, where they are, and any and all, which are those of what is not
 * zero. NaN comes before every number. */
#include "cuda/reduce.cuh"

#include <math.h>

namespace
{
/* The type that elements are compared in, and the number that every other beats. */
template <int D> struct compared {
    typedef int32_t T;
    static __device__ T last(bool least) { return least ? INT32_MAX : INT32_MIN; }
    static __device__ bool is_nan(T) { return false; }
};
template <> struct compared<AG_INT64> {
    typedef int64_t T;
    static __device__ T last(bool least) { return least ? INT64_MAX : INT64_MIN; }
    static __device__ bool is_nan(T) { return false; }
};
template <> struct compared<AG_FLOAT32> {
    typedef float T;
    static __device__ T last(bool least) { return least ? INFINITY : -INFINITY; }
    static __device__ bool is_nan(T x) { return x != x; }
};
template <> struct compared<AG_FLOAT64> {
    typedef double T;
    static __device__ T last(bool least) { return least ? (double)INFINITY : -(double)INFINITY; }
    static __device__ bool is_nan(T x) { return x != x; }
};

template <int D, bool LEAST> struct extreme : simple_fold<typename compared<D>::T, extreme<D, LEAST>> {
    typedef typename compared<D>::T T;
    typedef typename type_of<D>::T In;
    static __device__ T none() { return compared<D>::last(LEAST); }
    static __device__ T combine(T a, T b)
    {
        return compared<D>::is_nan(a) || !(compared<D>::is_nan(b) || (LEAST ? b < a : b > a)) ? a : b;
    }
    static __device__ void take(T &run, In x, int64_t, const ag_cuda_fold &) { run = combine(run, (T)x); }
    static __device__ void store(const ag_cuda_fold &f, int64_t o, T x) { ((In *)f.out)[o] = (In)x; }
};

template <int D, bool ALL> struct test : simple_fold<int32_t, test<D, ALL>> {
    typedef typename type_of<D>::T In;
    static __device__ int32_t none() { return ALL; }
    static __device__ int32_t combine(int32_t a, int32_t b) { return ALL ? a & b : a | b; }
    static __device__ void take(int32_t &run, In x, int64_t, const ag_cuda_fold &) { run = combine(run, x != 0); }
    static __device__ void store(const ag_cuda_fold &f, int64_t o, int32_t x) { ((uint8_t *)f.out)[o] = (uint8_t)x; }
};

/* An element, widened, and its number; of equal ones the first. at is -1 where there is none. */
template <class T> struct found {
    T value;
    int64_t at;
};
template <int D, bool LEAST>
struct where : simple_fold<found<typename compared<(D <= AG_FLOAT64 ? AG_FLOAT64 : AG_INT64)>::T>, where<D, LEAST>> {
    typedef compared<(D <= AG_FLOAT64 ? AG_FLOAT64 : AG_INT64)> Wide;
    typedef found<typename Wide::T> Total;
    typedef typename type_of<D>::T In;
    static __device__ Total none() { return Total{ Wide::last(LEAST), -1 }; }
    static __device__ Total combine(const Total &a, const Total &b)
    {
        const bool a_is_nan = Wide::is_nan(a.value), b_is_nan = Wide::is_nan(b.value);
        const bool same = a.value == b.value || (a_is_nan && b_is_nan);
        const bool beats = !a_is_nan && (b_is_nan || (LEAST ? b.value < a.value : b.value > a.value));
        return a.at < 0 || (b.at >= 0 && (same ? b.at < a.at : beats)) ? b : a;
    }
    static __device__ void take(Total &run, In x, int64_t i, const ag_cuda_fold &)
    {
        run = combine(run, Total{ (typename Wide::T)x, i });
    }
    static __device__ void store(const ag_cuda_fold &f, int64_t o, const Total &x)
    {
        if (f.out) ((In *)f.out)[o] = (In)x.value;
        f.index[o] = x.at;
    }
};

template <template <int, bool> class Fold, bool SECOND> int by_type(int dtype, const ag_cuda_fold *f, void *stream)
{
    switch (dtype) {
    case AG_FLOAT32:
        return launch_fold<Fold<AG_FLOAT32, SECOND>>(f, stream);
    case AG_FLOAT64:
        return launch_fold<Fold<AG_FLOAT64, SECOND>>(f, stream);
    case AG_INT64:
        return launch_fold<Fold<AG_INT64, SECOND>>(f, stream);
    case AG_INT32:
        return launch_fold<Fold<AG_INT32, SECOND>>(f, stream);
    default: /* bool is 0 or 1 */
        return launch_fold<Fold<AG_UINT8, SECOND>>(f, stream);
    }
}
} // namespace

extern "C" int ag__cuda_fold_extremes(int fold, int dtype, const ag_cuda_fold *f, void *stream)
{
    switch (fold) {
    case AG_FOLD_MAX:
        return by_type<extreme, false>(dtype, f, stream);
    case AG_FOLD_MIN:
        return by_type<extreme, true>(dtype, f, stream);
    case AG_FOLD_ANY:
        return by_type<test, false>(dtype, f, stream);
    default:
        return by_type<test, true>(dtype, f, stream);
    }
}

extern "C" int ag__cuda_fold_places(int fold, int dtype, const ag_cuda_fold *f, void *stream)
{
    return fold == AG_FOLD_MIN ? by_type<where, true>(dtype, f, stream) : by_type<where, false>(dtype, f, stream);
}
