/* reduce_moments.cu - variances, norms of vectors, and the logarithm of a sum of exponentials. */
#include "cuda/exponentials.cuh"
#include "cuda/reduce.cuh"

#include <math.h>

namespace
{
template <class Out> __device__ inline void put(const ag_cuda_fold &f, int64_t o, double x)
{
    ((Out *)f.out)[o] = (Out)x;
}

/* ---- the mean and the squares of what is left ---- */

/* A thread adds up how far its numbers are from its first one: no division an element, and little is cancelled. */
struct distances {
    double from, sum, squares, n;
};
struct spread_total {
    double n, mean, squares;
};
template <int D> struct spread {
    typedef typename type_of<D>::T In;
    typedef distances Run;
    typedef spread_total Total;
    static __device__ Run begin() { return Run{ 0, 0, 0, 0 }; }
    static __device__ void take(Run &run, In x, int64_t, const ag_cuda_fold &)
    {
        if (run.n == 0) run.from = x;
        const double d = x - run.from;
        run.n++;
        run.sum += d;
        run.squares += d * d;
    }
    static __device__ Total none() { return Total{ 0, 0, 0 }; }
    static __device__ Total closed(const Run &run)
    {
        if (run.n == 0) return none();
        double squares = run.squares; /* which may be beyond all numbers where the distances are not */
        if (!isinf(squares) || isinf(run.sum)) squares -= run.sum * (run.sum / run.n);
        return Total{ run.n, run.from + run.sum / run.n, squares < 0 ? 0 : squares };
    }
    static __device__ Total combine(const Total &a, const Total &b)
    {
        if (b.n == 0) return a;
        if (a.n == 0) return b;
        const double n = a.n + b.n, apart = b.mean - a.mean, share = b.n / n;
        return Total{ n, a.mean + apart * share, a.squares + b.squares + apart * apart * a.n * share };
    }
    static __device__ void store(const ag_cuda_fold &f, int64_t o, const Total &x)
    {
        const double left = x.n - f.option, variance = x.n == 0 ? (double)NAN : x.squares / (left > 0 ? left : 0);
        put<In>(f, o, f.root ? sqrt(variance) : variance);
    }
};

/* ---- norms ---- */

/* Of order f.option: sums of powers. */
template <int D> struct length : simple_fold<double, length<D>> {
    typedef typename type_of<D>::T In;
    static __device__ double none() { return 0; }
    static __device__ double combine(double a, double b) { return a + b; }
    static __device__ void take(double &run, In at, int64_t, const ag_cuda_fold &f)
    {
        const double x = at, p = f.option;
        run += p == 2 ? x * x : p == 1 ? fabs(x) : p == 0 ? (double)(x != 0) : pow(fabs(x), p);
    }
    static __device__ void store(const ag_cuda_fold &f, int64_t o, double x)
    {
        const double p = f.option;
        put<In>(f, o, p == 2 ? sqrt(x) : p == 1 || p == 0 ? x : pow(x, 1 / p));
    }
};
/* Of infinite order: the greatest or the least. */
template <int D, bool LEAST> struct farthest : simple_fold<double, farthest<D, LEAST>> {
    typedef typename type_of<D>::T In;
    static __device__ double none() { return LEAST ? (double)INFINITY : 0; }
    static __device__ double combine(double a, double b)
    {
        return a != a || !(b != b || (LEAST ? b < a : b > a)) ? a : b;
    }
    static __device__ void take(double &run, In x, int64_t, const ag_cuda_fold &)
    {
        run = combine(run, fabs((double)x));
    }
    static __device__ void store(const ag_cuda_fold &f, int64_t o, double x) { put<In>(f, o, x); }
};

/* ---- log(sum(exp(x))) ---- */

template <int D>
struct log_sum_exp : simple_fold<exponentials, log_sum_exp<D>>, sum_exponentials<typename type_of<D>::T> {
    typedef typename type_of<D>::T In;
    typedef exponentials Total;
    static __device__ void take(Total &run, In x, int64_t, const ag_cuda_fold &) { sum_exponentials<In>::add(run, x); }
    static __device__ void store(const ag_cuda_fold &f, int64_t o, const Total &x)
    {
        put<In>(f, o, x.sum != x.sum ? x.sum : isinf(x.most) ? x.most : log(x.sum) + x.most);
    }
};

template <int D> int of_type(int fold, const ag_cuda_fold *f, void *stream)
{
    if (fold == AG_FOLD_VARIANCE) return launch_fold<spread<D>>(f, stream);
    if (fold == AG_FOLD_LOG_SUM_EXP) return launch_fold<log_sum_exp<D>>(f, stream);
    if (!isinf(f->option)) return launch_fold<length<D>>(f, stream);
    return f->option < 0 ? launch_fold<farthest<D, true>>(f, stream) : launch_fold<farthest<D, false>>(f, stream);
}
} // namespace

extern "C" int ag__cuda_fold_moments(int fold, int dtype, const ag_cuda_fold *f, void *stream)
{
    return dtype == AG_FLOAT32 ? of_type<AG_FLOAT32>(fold, f, stream) : of_type<AG_FLOAT64>(fold, f, stream);
}
