/* softmax.cu - softmax and log_softmax: a team of threads a row (team.cuh), which walks along it twice, first for the
 * sum, then, through the caches, for the results. */
#include "cuda/exponentials.cuh"
#include "cuda/softmax.h"
#include "cuda/team.cuh"

namespace
{
/* Where row o begins, in elements. */
__device__ inline int64_t row_at(const ag_cuda_softmax &s, int64_t o)
{
    if (s.inner == 1) return o * s.n;
    int64_t rest;
    const int64_t outer = divide(o, s.inner, s.inverse, &rest);
    return outer * s.n * s.inner + rest;
}

/* out[i] = of(a[i], b[i]) from first on by steps; some are read before others are written, since out may be either. */
template <class T, class F>
__device__ inline void fill_row(const T *a, const T *b, T *out, int64_t first, int64_t end, int64_t step, F of)
{
    enum { AHEAD = 16 / (int)sizeof(T) };
    int64_t i = first;
    for (; i + (AHEAD - 1) * step < end; i += AHEAD * step) {
        T from[AHEAD], with[AHEAD];
        for (int k = 0; k < AHEAD; k++) {
            from[k] = a[i + k * step];
            with[k] = b[i + k * step];
        }
        for (int k = 0; k < AHEAD; k++) out[i + k * step] = of(from[k], with[k]);
    }
    for (; i < end; i += step) out[i] = of(a[i], b[i]);
}

/* y = exp(x - most) / sum, or x - most - log(sum). A NaN, a +inf or nothing but -inf makes all of the row NaN. */
template <class T, bool LOG> __global__ void __launch_bounds__(TEAM_THREADS) values(const ag_cuda_softmax s)
{
    typedef sum_exponentials<T> Fold;
    SHARED(exponentials, shared, [TEAM_THREADS]);
    const team t = team_of(s.team);
    const int64_t rows = s.outer * s.inner, end = s.n * s.inner, step = t.lanes * s.inner;
    for (int64_t first = (int64_t)blockIdx.x * t.width; first < rows; first += (int64_t)gridDim.x * t.width) {
        const bool mine = first + t.member < rows;
        const int64_t at = mine ? row_at(s, first + t.member) : 0;
        const T *x = (const T *)s.in + at;
        T *y = (T *)s.out + at;
        exponentials total = Fold::none();
        if (mine)
            for (int64_t i = t.lane * s.inner; i < end; i += step) Fold::add(total, x[i]);
        total = fold_team<Fold>(total, t, shared);
        if (!mine) continue;
        const T most = (T)total.most, sum = isinf(total.most) ? (T)NAN : (T)total.sum, log_sum = LOG ? log(sum) : 0;
        fill_row(x, x, y, t.lane * s.inner, end, step,
                 [=](T a, T) { return LOG ? a - most - log_sum : (T)exp_as(T(), (double)(a - most)) / sum; });
    }
}

struct sum_of_doubles {
    typedef double Total;
    static __device__ double combine(double a, double b) { return a + b; }
};

/* dx = y (dy - sum(dy y)), or dy - exp(y) sum(dy). (Three blocks a multiprocessor: without it registers are spilled.)
 */
template <class T, bool LOG> __global__ void __launch_bounds__(TEAM_THREADS, 3) gradients(const ag_cuda_softmax s)
{
    SHARED(double, shared, [TEAM_THREADS]);
    const team t = team_of(s.team);
    const int64_t rows = s.outer * s.inner, end = s.n * s.inner, step = t.lanes * s.inner;
    for (int64_t first = (int64_t)blockIdx.x * t.width; first < rows; first += (int64_t)gridDim.x * t.width) {
        const bool mine = first + t.member < rows;
        const int64_t at = mine ? row_at(s, first + t.member) : 0;
        const T *dy = (const T *)s.in + at, *y = (const T *)s.y + at;
        T *dx = (T *)s.out + at;
        double sum = 0;
        if (mine)
            for (int64_t i = t.lane * s.inner; i < end; i += step) sum += LOG ? dy[i] : (double)dy[i] * y[i];
        sum = fold_team<sum_of_doubles>(sum, t, shared);
        if (!mine) continue;
        fill_row(dy, y, dx, t.lane * s.inner, end, step,
                 [=](T g, T value) { return (T)(LOG ? g - exp_as(T(), (double)value) * sum : value * (g - sum)); });
    }
}

unsigned blocks(const ag_cuda_softmax *s) { return blocks_of(s->outer * s->inner, (unsigned)s->team.width); }

template <class T> int launch_values(const ag_cuda_softmax *s, void *stream)
{
    constexpr auto plain = values<T, false>, logarithms = values<T, true>;
    return s->is_log ? LAUNCH(logarithms, blocks(s), TEAM_THREADS, 0, (cudaStream_t)stream, *s)
                     : LAUNCH(plain, blocks(s), TEAM_THREADS, 0, (cudaStream_t)stream, *s);
}
template <class T> int launch_gradients(const ag_cuda_softmax *s, void *stream)
{
    constexpr auto plain = gradients<T, false>, logarithms = gradients<T, true>;
    return s->is_log ? LAUNCH(logarithms, blocks(s), TEAM_THREADS, 0, (cudaStream_t)stream, *s)
                     : LAUNCH(plain, blocks(s), TEAM_THREADS, 0, (cudaStream_t)stream, *s);
}
} // namespace

extern "C" int ag__cuda_softmax_values(bool wide, const ag_cuda_softmax *s, void *stream)
{
    return wide ? launch_values<double>(s, stream) : launch_values<float>(s, stream);
}
extern "C" int ag__cuda_softmax_gradients(bool wide, const ag_cuda_softmax *s, void *stream)
{
    return wide ? launch_gradients<double>(s, stream) : launch_gradients<float>(s, stream);
}
