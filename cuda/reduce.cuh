/* reduce.cuh - the kernels of a reduction, for any Fold:
 *
 *     typedef In;                                        an element
 *     typedef Run;                                       what a thread gathers: begin(), take(Run &, In, i, f)
 *     typedef Total;                                     what threads put together (team.cuh): closed(Run), none(),
 *                                                        combine(Total, Total)
 *     static void store(f, o, Total);                    result o
 *
 * i is the element's number in row-major order. */
#ifndef AG_CUDA_REDUCE_CUH
#define AG_CUDA_REDUCE_CUH
#include "cuda/elements.cuh"
#include "cuda/reduce.h"
#include "cuda/team.cuh"
#include "ops/cpu/fold.h"

namespace
{

/* Place i of the dimensions, in bytes; where out is wanted, in elements of the result, too. */
__device__ inline int64_t place(const ag_cuda_dims &dims, int64_t i, const int64_t *out_stride = nullptr,
                                int64_t *out = nullptr)
{
    int64_t at = 0, to = 0;
    for (int d = dims.n - 1; d >= 0; d--) {
        int64_t index = i;
        if (d) i = divide(i, dims.size[d], dims.inverse[d], &index);
        at += index * dims.stride[d];
        if (out) to += index * out_stride[d];
    }
    if (out) *out = to;
    return at;
}

template <class T, int UNIT> struct __align__(sizeof(T) * UNIT) unit_of { T at[UNIT]; };

/* The units first, first + step, ... before end, four at a time on their way. */
template <class Fold, int UNIT>
__device__ inline typename Fold::Run take_units(const ag_cuda_fold &f, const char *in, int64_t first, int64_t end,
                                                int step)
{
    enum { AHEAD = 4 };
    typedef unit_of<typename Fold::In, UNIT> Unit;
    typename Fold::Run run = Fold::begin();
    int64_t u = first;
    for (; u + (AHEAD - 1) * step < end; u += AHEAD * step) {
        Unit x[AHEAD];
        for (int k = 0; k < AHEAD; k++) x[k] = *(const Unit *)(in + place(f.gone, u + k * step));
        for (int k = 0; k < AHEAD * UNIT; k++)
            Fold::take(run, x[k / UNIT].at[k % UNIT], (u + k / UNIT * step) * UNIT + k % UNIT, f);
    }
    for (; u < end; u += step) {
        const Unit x = *(const Unit *)(in + place(f.gone, u));
        for (int k = 0; k < UNIT; k++) Fold::take(run, x.at[k], u * UNIT + k, f);
    }
    return run;
}

/* Blocks: x for outputs, y for parts of their elements. */
template <class Fold, int UNIT> __global__ void __launch_bounds__(TEAM_THREADS) fold(const ag_cuda_fold f)
{
    typedef typename Fold::Total Total;
    static_assert(sizeof(Total) <= AG_CUDA_TOTAL, "AG_CUDA_TOTAL is too small");
    SHARED(Total, shared, [TEAM_THREADS]);
    const team t = team_of(f.team);
    const int64_t begin = blockIdx.y * f.part, rest = f.n_units - begin;
    for (int64_t first = (int64_t)blockIdx.x * f.team.width; first < f.n_out;
         first += (int64_t)gridDim.x * f.team.width) {
        const int64_t o = first + t.member;
        int64_t out = 0;
        typename Fold::Run run = Fold::begin();
        if (o < f.n_out) {
            const char *in = f.in + place(f.kept, o, f.kept_out, &out);
            run = take_units<Fold, UNIT>(f, in, begin + t.lane, begin + (rest < f.part ? rest : f.part), f.team.lanes);
        }
        const Total total = fold_team<Fold>(Fold::closed(run), t, shared);
        if (o >= f.n_out || t.lane) continue;
        if (f.parts > 1)
            ((Total *)f.totals)[out * f.parts + blockIdx.y] = total;
        else
            Fold::store(f, out, total);
    }
}

/* The parts of each output. */
template <class Fold>
__global__ void __launch_bounds__(TEAM_THREADS) fold_parts(const ag_cuda_fold f, const ag_cuda_team row)
{
    typedef typename Fold::Total Total;
    SHARED(Total, shared, [TEAM_THREADS]);
    const team t = team_of(row);
    for (int64_t first = (int64_t)blockIdx.x * t.width; first < f.n_out; first += (int64_t)gridDim.x * t.width) {
        const int64_t o = first + t.member;
        Total total = Fold::none();
        if (o < f.n_out)
            for (int64_t i = t.lane; i < f.parts; i += t.lanes)
                total = Fold::combine(total, ((const Total *)f.totals)[o * f.parts + i]);
        total = fold_team<Fold>(total, t, shared);
        if (o < f.n_out && t.lane == 0) Fold::store(f, o, total);
    }
}

template <class Fold> int launch_fold(const ag_cuda_fold *f, void *stream)
{
    constexpr int UNIT = sizeof(typename Fold::In) == 8 ? 2 : 4;
    constexpr auto one = fold<Fold, 1>, several = fold<Fold, UNIT>;
    constexpr auto parts = fold_parts<Fold>;
    const dim3 grid(blocks_of(f->n_out, (unsigned)f->team.width), (unsigned)f->parts);
    const int lanes = f->parts > 64 ? TEAM_THREADS : 32;
    const ag_cuda_team row = { TEAM_THREADS / lanes, lanes, false };
    const int e = f->unit > 1 ? LAUNCH(several, grid, TEAM_THREADS, 0, (cudaStream_t)stream, *f)
                              : LAUNCH(one, grid, TEAM_THREADS, 0, (cudaStream_t)stream, *f);
    if (e || f->parts == 1) return e;
    return LAUNCH(parts, blocks_of(f->n_out, (unsigned)row.width), TEAM_THREADS, 0, (cudaStream_t)stream, *f, row);
}

/* What most Folds are like: a thread gathers a total. */
template <class T, class Fold> struct simple_fold {
    typedef T Run;
    typedef T Total;
    static __device__ Run begin() { return Fold::none(); }
    static __device__ Total closed(Run x) { return x; }
};

/* Sums and products of integers are int64 and wrap, so in an unsigned type; floating ones are added up in double. */
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
} // namespace
#endif
