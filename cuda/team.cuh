/* team.cuh - the threads of a block in teams, each of which folds the elements of one row (or column) together.
 *
 * In rows, the lanes of a team are neighbouring threads: they read neighbouring elements of their row. In columns,
 * neighbouring threads belong to neighbouring teams: they read neighbouring columns.
 *
 *     rows, lanes 4      thread 0 1 2 3 | 4 5 6 7 | ...        columns, width 64     thread 0 1 2 ... 63
 *                        team 0         | team 1  |                                  team   0 1 2 ... 63
 *                                                                                    thread 64 ...: lane 1 of team 0
 *
 * A Fold says how totals are put together: struct { typedef Total; static Total combine(Total before, Total after); }.
 * Totals are plain structs of whole 4-byte words. Their order is that of the lanes, so the bits are always the same. */
#ifndef AG_CUDA_TEAM_CUH
#define AG_CUDA_TEAM_CUH
#include "cuda/launch.h"
#include "cuda/team.h"

#include <string.h>

namespace
{
enum { TEAM_THREADS = AG_CUDA_TEAM, ALL_LANES = -1 };

struct team {
    int width, lanes;
    int member, lane; /* which team the thread is in, which of its lanes it is */
    bool columns;
};
__device__ inline team team_of(const ag_cuda_team &t)
{
    const int i = (int)threadIdx.x;
    return team{ t.width, t.lanes, t.columns ? i % t.width : i / t.lanes, t.columns ? i / t.width : i % t.lanes,
                 t.columns };
}

/* i / by and what is left, for i < 2^53; inverse: 1 / by. A division of 64 bits is a long way for a device. */
__device__ inline int64_t divide(int64_t i, int64_t by, double inverse, int64_t *rest)
{
    int64_t q = (int64_t)((double)i * inverse); /* or one more or less */
    *rest = i - q * by;
    if (*rest < 0) q--, *rest += by;
    if (*rest >= by) q++, *rest -= by;
    return q;
}

/* x of the lane whose number differs in bit `by`. */
template <class T> __device__ inline T across(T x, int by)
{
    static_assert(sizeof(T) % 4 == 0, "a total consists of whole words");
    int32_t word[sizeof(T) / 4];
    memcpy(word, &x, sizeof x);
    for (int k = 0; k < (int)(sizeof(T) / 4); k++) word[k] = __shfl_xor_sync((unsigned)ALL_LANES, word[k], by);
    memcpy(&x, word, sizeof x);
    return x;
}

template <class Fold> __device__ inline typename Fold::Total fold_warp(typename Fold::Total x, int lanes)
{
    for (int by = lanes / 2; by; by /= 2) {
        const typename Fold::Total y = across(x, by);
        x = threadIdx.x & (unsigned)by ? Fold::combine(y, x) : Fold::combine(x, y);
    }
    return x;
}

/* The totals of all lanes of each team, for every one of them. shared: a place a thread. Every thread of the block
 * takes part. */
template <class Fold>
__device__ inline typename Fold::Total fold_team(typename Fold::Total x, const team &t, typename Fold::Total *shared)
{
    if (t.columns) {
        if (t.lanes == 1) return x;
        shared[threadIdx.x] = x;
        __syncthreads();
        for (int half = t.lanes / 2; half; half /= 2) {
            if (t.lane < half)
                shared[threadIdx.x] = Fold::combine(shared[threadIdx.x], shared[threadIdx.x + half * t.width]);
            __syncthreads();
        }
        x = shared[t.member];
        __syncthreads(); /* shared is written again */
        return x;
    }
    x = fold_warp<Fold>(x, t.lanes < 32 ? t.lanes : 32);
    if (t.lanes <= 32) return x;
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
    __syncthreads();
    x = shared[0];
    for (int w = 1; w < TEAM_THREADS / 32; w++) x = Fold::combine(x, shared[w]);
    __syncthreads();
    return x;
}
} // namespace
#endif
