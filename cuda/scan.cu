/* scan.cu - cumsum, cumprod and recurrences. Many rows: a few threads each, that go along it together. Few long rows of
 * sums and products: a block for each part of one; a first launch makes the parts' totals, so that in the second each
 * begins with what is before it. Floating totals are double; their order depends on the shape alone.
 *
 * A recurrence y = a y_before + b is scanned as what a row does to the number that stands before it: (a, b) after
 * (c, d) is (a c, a d + b). */
#include "cuda/elements.cuh"
#include "cuda/scan.h"
#include "cuda/team.cuh"

namespace
{
template <int D> struct running {
    typedef uint32_t T;
};
template <> struct running<AG_INT64> {
    typedef uint64_t T;
};
template <> struct running<AG_FLOAT32> {
    typedef double T;
};
template <> struct running<AG_FLOAT64> {
    typedef double T;
};

template <int D, bool PRODUCT> struct scan_of {
    typedef typename running<D>::T Total;
    typedef typename type_of<D>::T Element;
    static __device__ Total none() { return PRODUCT ? 1 : 0; }
    static __device__ Total combine(Total a, Total b) { return PRODUCT ? a * b : a + b; }
    static __device__ int64_t place(const ag_cuda_scan &s, int64_t i) { return i * s.inner; }
    static __device__ Total load(const ag_cuda_scan &s, int64_t at, int64_t i)
    {
        return (Total)((const Element *)s.x)[at + place(s, i)];
    }
    static __device__ Element value(Total total) { return (Element)total; }
};

struct step {
    double a, b;
};
template <int D, bool REVERSE> struct recurrence_of {
    typedef step Total;
    typedef typename type_of<D>::T Element;
    static __device__ Total none() { return step{ 1, 0 }; }
    static __device__ Total combine(Total before, Total x) { return step{ before.a * x.a, before.b * x.a + x.b }; }
    static __device__ int64_t place(const ag_cuda_scan &s, int64_t i) { return (REVERSE ? s.n - 1 - i : i) * s.inner; }
    static __device__ Total load(const ag_cuda_scan &s, int64_t at, int64_t i)
    {
        const int64_t here = at + place(s, i), by = REVERSE ? here + s.inner : here;
        return step{ i ? (double)((const Element *)s.factor)[by] : 0, (double)((const Element *)s.x)[here] };
    }
    static __device__ Element value(Total total) { return (Element)total.b; }
};

__device__ inline int64_t row_at(const ag_cuda_scan &s, int64_t o)
{
    int64_t inner = 0, outer = o;
    if (s.inner > 1) outer = divide(o, s.inner, s.inverse, &inner);
    return outer * s.n * s.inner + inner;
}

/* x of a lane before. */
template <class T> __device__ inline T from_before(T x, unsigned by, int lanes)
{
    return __shfl_up_sync((unsigned)ALL_LANES, x, by, lanes);
}
__device__ inline step from_before(step x, unsigned by, int lanes)
{
    return step{ from_before(x.a, by, lanes), from_before(x.b, by, lanes) };
}
/* x of the last lane. */
template <class T> __device__ inline T from_last(T x, int lanes)
{
    return __shfl_sync((unsigned)ALL_LANES, x, lanes - 1, lanes);
}
__device__ inline step from_last(step x, int lanes) { return step{ from_last(x.a, lanes), from_last(x.b, lanes) }; }

/* Each lane's total of the lanes up to it. */
template <class Scan> __device__ inline typename Scan::Total scan_lanes(typename Scan::Total x, int lane, int lanes)
{
    for (int by = 1; by < lanes; by *= 2) {
        const typename Scan::Total before = from_before(x, (unsigned)by, lanes);
        if (lane >= by) x = Scan::combine(before, x);
    }
    return x;
}

template <class Scan> __global__ void __launch_bounds__(TEAM_THREADS) scan_rows(const ag_cuda_scan s)
{
    typedef typename Scan::Total Total;
    const team t = team_of(s.team);
    const int64_t rows = s.outer * s.inner;
    for (int64_t first = (int64_t)blockIdx.x * t.width; first < rows; first += (int64_t)gridDim.x * t.width) {
        const bool mine = first + t.member < rows;
        const int64_t at = mine ? row_at(s, first + t.member) : 0;
        Total before = Scan::none();
        for (int64_t i = t.lane; i - t.lane < s.n; i += t.lanes) {
            const bool there = mine && i < s.n;
            Total x = there ? Scan::load(s, at, i) : Scan::none();
            x = Scan::combine(before, scan_lanes<Scan>(x, t.lane, t.lanes));
            if (there) ((typename Scan::Element *)s.y)[at + Scan::place(s, i)] = Scan::value(x);
            before = t.lanes == 1 ? x : from_last(x, t.lanes);
        }
    }
}

/* Blocks: x for rows, y for parts. */
template <class Scan> __device__ inline typename Scan::Total element(const ag_cuda_scan &s, int64_t at, int64_t i)
{
    const int64_t end = (blockIdx.y + 1) * s.part;
    if (i >= end || i >= s.n) return Scan::none();
    return Scan::load(s, at, i);
}

template <class Scan> __global__ void __launch_bounds__(TEAM_THREADS) part_totals(const ag_cuda_scan s)
{
    typedef typename Scan::Total Total;
    SHARED(Total, shared, [TEAM_THREADS]);
    const ag_cuda_team all = { 1, TEAM_THREADS, false };
    for (int64_t row = blockIdx.x; row < s.outer * s.inner; row += gridDim.x) {
        const int64_t at = row_at(s, row), begin = blockIdx.y * s.part;
        Total total = Scan::none();
        for (int64_t i = begin; i < begin + s.part; i += TEAM_THREADS)
            total = Scan::combine(total, element<Scan>(s, at, i + threadIdx.x));
        total = fold_team<Scan>(total, team_of(all), shared);
        if (threadIdx.x == 0) ((Total *)s.totals)[row * s.parts + blockIdx.y] = total;
    }
}

/* Each thread's total of the threads up to it, after `before`; and that of all in *last. */
template <class Scan>
__device__ inline typename Scan::Total scan_block(typename Scan::Total x, typename Scan::Total before,
                                                  typename Scan::Total *last, typename Scan::Total *shared)
{
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    x = scan_lanes<Scan>(x, lane, 32);
    if (lane == 31) shared[warp] = x;
    __syncthreads();
    typename Scan::Total mine = before;
    for (int w = 0; w < TEAM_THREADS / 32; w++) {
        if (w == warp) mine = before;
        before = Scan::combine(before, shared[w]);
    }
    __syncthreads(); /* shared is written again */
    *last = before;
    return Scan::combine(mine, x);
}

template <class Scan> __global__ void __launch_bounds__(TEAM_THREADS) scan_parts(const ag_cuda_scan s)
{
    typedef typename Scan::Total Total;
    SHARED(Total, shared, [TEAM_THREADS]);
    const ag_cuda_team all = { 1, TEAM_THREADS, false };
    for (int64_t row = blockIdx.x; row < s.outer * s.inner; row += gridDim.x) {
        const int64_t at = row_at(s, row), begin = blockIdx.y * s.part, end = begin + s.part;
        Total before = Scan::none();
        if (blockIdx.y && threadIdx.x < blockIdx.y) before = ((const Total *)s.totals)[row * s.parts + threadIdx.x];
        before = fold_team<Scan>(before, team_of(all), shared);
        for (int64_t i = begin; i < end; i += TEAM_THREADS) {
            const int64_t mine = i + threadIdx.x;
            const Total x = scan_block<Scan>(element<Scan>(s, at, mine), before, &before, shared);
            if (mine < end && mine < s.n) ((typename Scan::Element *)s.y)[at + Scan::place(s, mine)] = Scan::value(x);
        }
    }
}

template <class Scan> int launch_rows(const ag_cuda_scan *s, void *stream)
{
    constexpr auto rows = scan_rows<Scan>;
    const unsigned blocks = blocks_of(s->outer * s->inner, (unsigned)s->team.width);
    return LAUNCH(rows, blocks, TEAM_THREADS, 0, (cudaStream_t)stream, *s);
}
template <class Scan> int launch_scan(const ag_cuda_scan *s, void *stream)
{
    constexpr auto totals = part_totals<Scan>, parts = scan_parts<Scan>;
    const int64_t n = s->outer * s->inner;
    if (!s->parts) return launch_rows<Scan>(s, stream);
    const dim3 grid(blocks_of(n, 1), (unsigned)s->parts);
    int e = 0;
    if (s->parts > 1) e = LAUNCH(totals, grid, TEAM_THREADS, 0, (cudaStream_t)stream, *s);
    return e ? e : LAUNCH(parts, grid, TEAM_THREADS, 0, (cudaStream_t)stream, *s);
}

template <bool PRODUCT> int by_type(int dtype, const ag_cuda_scan *s, void *stream)
{
    switch (dtype) {
    case AG_FLOAT32:
        return launch_scan<scan_of<AG_FLOAT32, PRODUCT>>(s, stream);
    case AG_FLOAT64:
        return launch_scan<scan_of<AG_FLOAT64, PRODUCT>>(s, stream);
    case AG_INT64:
        return launch_scan<scan_of<AG_INT64, PRODUCT>>(s, stream);
    case AG_INT32:
        return launch_scan<scan_of<AG_INT32, PRODUCT>>(s, stream);
    default:
        return launch_scan<scan_of<AG_UINT8, PRODUCT>>(s, stream);
    }
}
} // namespace

extern "C" int ag__cuda_scan(int dtype, int what, const ag_cuda_scan *s, void *stream)
{
    switch (what) {
    case AG_CUDA_SCAN_SUM:
        return by_type<false>(dtype, s, stream);
    case AG_CUDA_SCAN_PRODUCT:
        return by_type<true>(dtype, s, stream);
    case AG_CUDA_RECURRENCE:
        return dtype == AG_FLOAT32 ? launch_rows<recurrence_of<AG_FLOAT32, false>>(s, stream)
                                   : launch_rows<recurrence_of<AG_FLOAT64, false>>(s, stream);
    default:
        return dtype == AG_FLOAT32 ? launch_rows<recurrence_of<AG_FLOAT32, true>>(s, stream)
                                   : launch_rows<recurrence_of<AG_FLOAT64, true>>(s, stream);
    }
}
