/* random.cu - random numbers into a tensor, in PyTorch's order: thread t of all T draws sequence t, and the numbers of
 * a call go to elements T apart. */
#include "cuda/elements.cuh"
#include "cuda/philox.cuh"
#include "cuda/raise.cuh"
#include "cuda/random.h"
#include "tensor/random_kind.h"

#include <float.h>

namespace
{
enum { THREADS = AG_CUDA_RANDOM_THREADS };

/* ---- from words to numbers ---- */

__device__ inline float log_of(float x) { return __logf(x); } /* the fast one, as PyTorch */
__device__ inline double log_of(double x) { return log(x); }

/* u: in (0, 1], or a normal one. */
template <class F> __device__ inline F number_of(const ag_cuda_random &r, F u, F epsilon)
{
    const F a = (F)r.a, b = (F)r.b;
    switch (r.kind) {
    case AG_RANDOM_UNIFORM: {
        const F y = fma(u, b - a, a);
        return y == b ? a : y; /* [a, b), not (a, b] */
    }
    case AG_RANDOM_NORMAL:
        return fma(u, b, a);
    case AG_RANDOM_EXPONENTIAL: /* never 0 */
        return (F)-1 / a * (u >= 1 - epsilon / 2 ? -epsilon / 2 : log_of(u));
    default:
        return u < a ? b : 0;
    }
}

/* What a call gives: EACH numbers. */
struct words {
    enum { EACH = 4 };
    static __device__ void draw(const ag_cuda_random &r, uint4 x, int64_t *y)
    {
        const uint32_t w[EACH] = { x.x, x.y, x.z, x.w }, range = (uint32_t)r.range;
        for (int k = 0; k < EACH; k++) y[k] = (int64_t)(r.base + w[k] % range);
    }
    typedef int64_t T;
    enum { DTYPE = AG_INT64 };
};
struct pairs {
    enum { EACH = 2 };
    static __device__ void draw(const ag_cuda_random &r, uint4 x, int64_t *y)
    {
        const uint64_t w[EACH] = { (uint64_t)x.x << 32 | x.y, (uint64_t)x.z << 32 | x.w };
        for (int k = 0; k < EACH; k++) y[k] = (int64_t)(r.base + (r.range ? w[k] % r.range : w[k]));
    }
    typedef int64_t T;
    enum { DTYPE = AG_INT64 };
};
struct singles {
    enum { EACH = 4 };
    static __device__ void draw(const ag_cuda_random &r, uint4 x, float *y)
    {
        if (r.kind == AG_RANDOM_NORMAL) {
            const float2 front = normals_of(x.x, x.y), back = normals_of(x.z, x.w);
            y[0] = front.x, y[1] = front.y, y[2] = back.x, y[3] = back.y;
        } else {
            y[0] = uniform_of(x.x), y[1] = uniform_of(x.y), y[2] = uniform_of(x.z), y[3] = uniform_of(x.w);
        }
        for (int k = 0; k < EACH; k++) y[k] = number_of(r, y[k], FLT_EPSILON);
    }
    typedef float T;
    enum { DTYPE = AG_FLOAT32 };
};
struct doubles {
    enum { EACH = 2 };
    static __device__ void draw(const ag_cuda_random &r, uint4 x, double *y)
    {
        if (r.kind == AG_RANDOM_NORMAL) {
            const double2 both = normals_of(x);
            y[0] = both.x, y[1] = both.y;
        } else {
            y[0] = uniform_of(x.x, x.y), y[1] = uniform_of(x.z, x.w);
        }
        for (int k = 0; k < EACH; k++) y[k] = number_of(r, y[k], DBL_EPSILON);
    }
    typedef double T;
    enum { DTYPE = AG_FLOAT64 };
};

template <class Source> __global__ void draw(const ag_cuda_random r)
{
    const int64_t all = (int64_t)gridDim.x * THREADS, mine = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    uint64_t seed, offset;
    philox_begin(r.philox, &seed, &offset);
    offset /= 4;
    for (int64_t first = mine; first < r.shape.numel; first += all * Source::EACH) {
        typename Source::T y[Source::EACH];
        Source::draw(r, philox_words(seed, (uint64_t)mine, offset++), y);
        for (int k = 0; k < Source::EACH; k++) {
            const int64_t i = first + k * all;
            if (i < r.shape.numel) store_as(r.x + ag__cuda_place(&r.shape, r.shape.ndim, i, nullptr), r.dtype, y[k]);
        }
    }
}

/* Element i: word i % 4 of sequence i / 4. */
__global__ void toss_each(const ag_cuda_random r)
{
    const int64_t all = (int64_t)gridDim.x * THREADS, n = (r.shape.numel + 3) / 4;
    uint64_t seed, offset;
    philox_begin(r.philox, &seed, &offset);
    for (int64_t t = (int64_t)blockIdx.x * THREADS + threadIdx.x; t < n; t += all) {
        const uint4 w = philox_words(seed, (uint64_t)t, offset / 4);
        const uint32_t word[4] = { w.x, w.y, w.z, w.w };
        for (int k = 0; k < 4 && 4 * t + k < r.shape.numel; k++) {
            int64_t index[AG_CUDA_DIMS], from = 0;
            char *to = r.x + ag__cuda_place(&r.shape, r.shape.ndim, 4 * t + k, index);
            for (int d = 0; d < r.shape.ndim; d++) from += index[d] * r.p_stride[d];
            const double p = r.p_wide ? *(const double *)(r.p + from) : *(const float *)(r.p + from);
            if (!(p >= 0 && p <= 1)) note(r.report, 0);
            store_as(to, r.dtype, (float)(uniform_of(word[k]) <= p));
        }
    }
}

/* ---- dropout ---- */

template <class T> struct alignas(16) four {
    T at[4];
};

template <class T> __device__ inline T dropped(T x, uint32_t word, T keep, T scale)
{
    return x * (T)(uniform_of(word) < (float)keep) * scale;
}
template <class T> __device__ void drop_one(const ag_cuda_dropout &d, int64_t i, uint32_t word, T keep, T scale)
{
    int64_t at[AG_CUDA_SLOTS];
    places(d.elements, i, at);
    const T x = *(const T *)(d.elements.data[1] + at[1]);
    *(T *)(d.elements.data[0] + at[0]) = dropped(x, word, keep, scale);
}
template <class T> __global__ void drop(const ag_cuda_dropout d)
{
    const int64_t all = (int64_t)gridDim.x * THREADS, mine = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    const int64_t n = d.elements.numel;
    const T keep = (T)d.keep, scale = (T)(1.0 / keep);
    uint64_t seed, offset;
    philox_begin(d.philox, &seed, &offset);
    offset /= 4;
    if (d.side_by_side == 1) {
        for (int64_t first = mine; first < n; first += 4 * all) {
            const uint4 w = philox_words(seed, (uint64_t)mine, offset++);
            const uint32_t word[4] = { w.x, w.y, w.z, w.w };
            for (int k = 0; k < 4; k++)
                if (first + k * all < n) drop_one(d, first + k * all, word[k], keep, scale);
        }
        return;
    }
    const int each = d.side_by_side; /* pairs use both halves of a call, one after the other */
    uint4 w = make_uint4(0, 0, 0, 0);
    bool second = false;
    for (int64_t first = mine * each; first < n; first += each * all) {
        if (!second) w = philox_words(seed, (uint64_t)mine, offset++);
        if (d.whole) {
            four<T> x = *(const four<T> *)(d.elements.data[1] + first * (int64_t)sizeof(T));
            const uint32_t word[4] = { w.x, w.y, w.z, w.w };
            for (int k = 0; k < 4; k++) x.at[k] = dropped(x.at[k], word[k], keep, scale);
            *(four<T> *)(d.elements.data[0] + first * (int64_t)sizeof(T)) = x;
            continue;
        }
        const uint32_t word[4] = { second ? w.z : w.x, second ? w.w : w.y, w.z, w.w };
        for (int k = 0; k < each; k++) drop_one(d, first + k, word[k], keep, scale);
        second = each == 2 && !second;
    }
}

template <class Source> int launch_draw(const ag_cuda_random *r, unsigned blocks, void *stream)
{
    constexpr auto kernel = draw<Source>;
    return LAUNCH(kernel, blocks, THREADS, 0, (cudaStream_t)stream, *r);
}
} // namespace

extern "C" int ag__cuda_draw(const ag_cuda_random *r, int source, unsigned blocks, void *stream)
{
    return source == AG_CUDA_WORDS     ? launch_draw<words>(r, blocks, stream)
           : source == AG_CUDA_PAIRS   ? launch_draw<pairs>(r, blocks, stream)
           : source == AG_CUDA_SINGLES ? launch_draw<singles>(r, blocks, stream)
                                       : launch_draw<doubles>(r, blocks, stream);
}
extern "C" int ag__cuda_toss_each(const ag_cuda_random *r, void *stream)
{
    return LAUNCH(toss_each, blocks_of((r->shape.numel + 3) / 4, THREADS), THREADS, 0, (cudaStream_t)stream, *r);
}
extern "C" int ag__cuda_drop(const ag_cuda_dropout *d, unsigned blocks, void *stream)
{
    constexpr auto f32 = drop<float>, f64 = drop<double>;
    return d->dtype == AG_FLOAT64 ? LAUNCH(f64, blocks, THREADS, 0, (cudaStream_t)stream, *d)
                                  : LAUNCH(f32, blocks, THREADS, 0, (cudaStream_t)stream, *d);
}
