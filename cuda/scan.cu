/* scan.cu - cumsum and cumprod. Many rows: a few threads each, that go along it together. Few long rows: a block for
 * each part of one; a first launch makes the parts' totals, so that in the second each begins with what is before it.
 * Floating totals are double; their order depends on the shape alone. */
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
};

__device__ inline int64_t row_at(const ag_cuda_scan &s, int64_t o)
{
    int64_t inner = 0, outer = o;
    if (s.inner > 1) outer = divide(o, s.inner, s.inverse, &inner);
    return outer * s.n * s.inner + inner;
}

/* Each lane's total of the lanes up to it. */
template <class Scan> __device__ inline typename Scan::Total scan_lanes(typename Scan::Total x, int lane, int lanes)
{
    for (int by = 1; by < lanes; by *= 2) {
        const typename Scan::Total before = __shfl_up_sync((unsigned)ALL_LANES, x, (unsigned)by, lanes);
        if (lane >= by) x = Scan::combine(before, x);
    }
    return x;
}

template <class Scan> __global__ void __launch_bounds__(TEAM_THREADS) scan_rows(const ag_cuda_scan s)
{
    typedef typename Scan::Total Total;
    typedef typename Scan::Element Element;
    const team t = team_of(s.team);
    const int64_t rows = s.outer * s.inner;
    for (int64_t first = (int64_t)blockIdx.x * t.width; first < rows; first += (int64_t)gridDim.x * t.width) {
        const bool mine = first + t.member < rows;
        const int64_t at = mine ? row_at(s, first + t.member) : 0;
        Total before = Scan::none();
        for (int64_t i = t.lane; i - t.lane < s.n; i += t.lanes) {
            const bool there = mine && i < s.n;
            Total x = there ? (Total)((const Element *)s.x)[at + i * s.inner] : Scan::none();
            x = Scan::combine(before, scan_lanes<Scan>(x, t.lane, t.lanes));
            if (there) ((Element *)s.y)[at + i * s.inner] = (Element)x;
            before = t.lanes == 1 ? x : __shfl_sync((unsigned)ALL_LANES, x, t.lanes - 1, t.lanes);
        }
    }
}

/* Blocks: x for rows, y for parts. */
template <class Scan> __device__ inline typename Scan::Total element(const ag_cuda_scan &s, int64_t at, int64_t i)
{
    const int64_t end = (blockIdx.y + 1) * s.part;
    if (i >= end || i >= s.n) return Scan::none();
    return (typename Scan::Total)((const typename Scan::Element *)s.x)[at + i * s.inner];
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
    typedef typename Scan::Element Element;
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
            if (mine < end && mine < s.n) ((Element *)s.y)[at + mine * s.inner] = (Element)x;
        }
    }
}

template <class Scan> int launch_scan(const ag_cuda_scan *s, void *stream)
{
    constexpr auto totals = part_totals<Scan>, parts = scan_parts<Scan>, rows = scan_rows<Scan>;
    const int64_t n = s->outer * s->inner;
    if (!s->parts)
        return LAUNCH(rows, blocks_of(n, (unsigned)s->team.width), TEAM_THREADS, 0, (cudaStream_t)stream, *s);
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

extern "C" int ag__cuda_scan(int dtype, bool product, const ag_cuda_scan *s, void *stream)
{
    return product ? by_type<true>(dtype, s, stream) : by_type<false>(dtype, s, stream);
}
