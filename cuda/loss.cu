/* loss.cu - nll_loss and cross_entropy. Losses are added up in double, in an order that depends on the shape alone:
 * each block has its share, and one more launch puts the shares together where there are several. A target that is no
 * class is noted, and has the loss NaN and no gradient. */
#include "cuda/exponentials.cuh"
#include "cuda/loss.h"
#include "cuda/raise.cuh"
#include "cuda/team.cuh"

namespace
{
/* Of the targets so far. */
struct sums {
    double loss, weight;
};
struct add_sums {
    typedef sums Total;
    static __device__ sums combine(const sums &a, const sums &b)
    {
        return sums{ a.loss + b.loss, a.weight + b.weight };
    }
};

__device__ inline bool is_class(const ag_cuda_loss &l, int64_t c) { return c >= 0 && c < l.classes; }
template <class T> __device__ inline double weight_of(const ag_cuda_loss &l, int64_t c)
{
    return l.weight ? (double)((const T *)l.weight)[c] : 1;
}
/* Element (n, c, k) of x, for target i = (n, k). */
__device__ inline int64_t element(const ag_cuda_loss &l, int64_t i, int64_t c)
{
    int64_t k = 0, n = i;
    if (l.inner > 1) n = divide(i, l.inner, l.inverse, &k);
    return (n * l.classes + c) * l.inner + k;
}

template <class T> __device__ inline void write(const ag_cuda_loss &l, const sums &s)
{
    if (!l.none) *(T *)l.loss = (T)(l.mean ? s.loss / s.weight : s.loss);
    *(T *)l.total = (T)(l.mean ? s.weight : 1);
}
/* What the threads of a block have, put together. */
template <class T> __device__ inline void finish(const ag_cuda_loss &l, sums s, sums *shared)
{
    const ag_cuda_team all = { 1, TEAM_THREADS, false };
    s = fold_team<add_sums>(s, team_of(all), shared);
    if (threadIdx.x) return;
    if (l.n_parts > 1)
        ((sums *)l.parts)[blockIdx.x] = s;
    else
        write<T>(l, s);
}
template <class T> __global__ void __launch_bounds__(TEAM_THREADS) put_together(const ag_cuda_loss l)
{
    SHARED(sums, shared, [TEAM_THREADS]);
    const ag_cuda_team all = { 1, TEAM_THREADS, false };
    sums s = { 0, 0 };
    for (int i = (int)threadIdx.x; i < l.n_parts; i += TEAM_THREADS)
        s = add_sums::combine(s, ((const sums *)l.parts)[i]);
    s = fold_team<add_sums>(s, team_of(all), shared);
    if (threadIdx.x == 0) write<T>(l, s);
}

/* Target i, of class c, has this loss before it is weighed. */
template <class T> __device__ inline void count(const ag_cuda_loss &l, int64_t i, int64_t c, double loss, sums *s)
{
    sums one = { 0, 0 };
    if (c != l.ignore_index) {
        if (!is_class(l, c)) note(l.report, c);
        one.weight = is_class(l, c) ? weight_of<T>(l, c) : (double)NAN;
        one.loss = one.weight * loss;
    }
    if (l.none) ((T *)l.loss)[i] = (T)one.loss;
    *s = add_sums::combine(*s, one);
}

template <class T> __global__ void __launch_bounds__(TEAM_THREADS) nll(const ag_cuda_loss l)
{
    SHARED(sums, shared, [TEAM_THREADS]);
    sums s = { 0, 0 };
    const int64_t step = (int64_t)gridDim.x * TEAM_THREADS;
    for (int64_t i = (int64_t)blockIdx.x * TEAM_THREADS + threadIdx.x; i < l.n * l.inner; i += step) {
        const int64_t c = l.target[i];
        count<T>(l, i, c, is_class(l, c) ? -(double)((const T *)l.x)[element(l, i, c)] : 0, &s);
    }
    finish<T>(l, s, shared);
}

/* A team has the logits of one target. */
template <class T> __global__ void __launch_bounds__(TEAM_THREADS) cross_entropy(const ag_cuda_loss l)
{
    typedef sum_exponentials<T> Fold;
    SHARED(exponentials, shared, [TEAM_THREADS]);
    SHARED(sums, shared_sums, [TEAM_THREADS]);
    const team t = team_of(l.team);
    const T *x = (const T *)l.x;
    sums s = { 0, 0 };
    for (int64_t first = (int64_t)blockIdx.x * t.width; first < l.n * l.inner; first += (int64_t)gridDim.x * t.width) {
        const int64_t i = first + t.member;
        const bool mine = i < l.n * l.inner;
        const int64_t row = mine ? element(l, i, 0) : 0;
        exponentials e = Fold::none();
        if (mine)
            for (int64_t c = t.lane; c < l.classes; c += t.lanes) Fold::add(e, x[row + c * l.inner]);
        e = fold_team<Fold>(e, t, shared);
        if (!mine) continue;
        const double log_sum = isinf(e.most) ? (double)NAN : log(e.sum), most = e.most;
        if (l.log_p)
            for (int64_t c = t.lane; c < l.classes; c += t.lanes)
                ((T *)l.log_p)[row + c * l.inner] = (T)((double)x[row + c * l.inner] - most - log_sum);
        if (t.lane) continue;
        const int64_t c = l.target[i];
        count<T>(l, i, c, is_class(l, c) ? log_sum - ((double)x[row + c * l.inner] - most) : 0, &s);
    }
    finish<T>(l, s, shared_sums);
}

/* ---- gradients: a thread an element of dx ---- */

/* The gradient of element e's target's loss, weighed; 0 where it has none. *c is e's class, *target the target's. */
template <class T>
__device__ inline double scale_of(const ag_cuda_loss &l, int64_t e, int64_t *c, int64_t *target, int64_t *i)
{
    int64_t rest, k = 0;
    const int64_t n = divide(e, l.classes * l.inner, l.inverse_image, &rest);
    *c = l.inner > 1 ? divide(rest, l.inner, l.inverse, &k) : rest;
    *i = n * l.inner + k;
    *target = l.target[*i];
    if (*target == l.ignore_index || !is_class(l, *target)) return 0;
    return weight_of<T>(l, *target) * (double)((const T *)l.g)[l.none ? *i : 0] / (double)*(const T *)l.total;
}

template <class T, bool LOGITS> __global__ void __launch_bounds__(TEAM_THREADS) gradient(const ag_cuda_loss l)
{
    const int64_t step = (int64_t)gridDim.x * TEAM_THREADS, numel = l.n * l.classes * l.inner;
    for (int64_t e = (int64_t)blockIdx.x * TEAM_THREADS + threadIdx.x; e < numel; e += step) {
        int64_t c, target, i;
        const double scale = scale_of<T>(l, e, &c, &target, &i);
        double slope = c == target ? -1 : 0;
        if (LOGITS) slope += exp_as(T(), (double)((const T *)l.x)[e]);
        ((T *)l.dx)[e] = LOGITS || c == target ? (T)(scale * slope) : (T)0;
    }
}

/* ---- launches ---- */

template <class T> int put_parts_together(const ag_cuda_loss *l, int e, void *stream)
{
    constexpr auto kernel = put_together<T>;
    if (e || l->n_parts == 1) return e;
    return LAUNCH(kernel, 1, TEAM_THREADS, 0, (cudaStream_t)stream, *l);
}
template <class T> int launch_nll(const ag_cuda_loss *l, void *stream)
{
    constexpr auto kernel = nll<T>;
    return put_parts_together<T>(l, LAUNCH(kernel, (unsigned)l->n_parts, TEAM_THREADS, 0, (cudaStream_t)stream, *l),
                                 stream);
}
template <class T> int launch_cross_entropy(const ag_cuda_loss *l, void *stream)
{
    constexpr auto kernel = cross_entropy<T>;
    return put_parts_together<T>(l, LAUNCH(kernel, (unsigned)l->n_parts, TEAM_THREADS, 0, (cudaStream_t)stream, *l),
                                 stream);
}
template <class T, bool LOGITS> int launch_gradient(const ag_cuda_loss *l, void *stream)
{
    constexpr auto kernel = gradient<T, LOGITS>;
    const unsigned blocks = blocks_of(l->n * l->classes * l->inner, TEAM_THREADS);
    return LAUNCH(kernel, blocks, TEAM_THREADS, 0, (cudaStream_t)stream, *l);
}
} // namespace

extern "C" int ag__cuda_nll(bool wide, const ag_cuda_loss *l, void *stream)
{
    return wide ? launch_nll<double>(l, stream) : launch_nll<float>(l, stream);
}
extern "C" int ag__cuda_nll_gradient(bool wide, const ag_cuda_loss *l, void *stream)
{
    return wide ? launch_gradient<double, false>(l, stream) : launch_gradient<float, false>(l, stream);
}
extern "C" int ag__cuda_cross_entropy(bool wide, const ag_cuda_loss *l, void *stream)
{
    return wide ? launch_cross_entropy<double>(l, stream) : launch_cross_entropy<float>(l, stream);
}
extern "C" int ag__cuda_cross_entropy_gradient(bool wide, const ag_cuda_loss *l, void *stream)
{
    return wide ? launch_gradient<double, true>(l, stream) : launch_gradient<float, true>(l, stream);
}
