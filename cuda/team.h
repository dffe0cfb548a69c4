/* team.h - how a block's threads are shared out among rows or columns (team.cuh). Plain C and C++. */
#ifndef AG_CUDA_TEAM_H
#define AG_CUDA_TEAM_H
#include <stdbool.h>
#include <stdint.h>

enum { AG_CUDA_TEAM = 256 /* threads a block */ };

typedef struct ag_cuda_team {
    int32_t width, lanes; /* teams a block; threads each: up to 32 or all of them in rows, up to all in columns */
    bool columns;         /* neighbouring threads are in neighbouring teams; else neighbours in one */
} ag_cuda_team;

/* The least power of two that is not less than n; at most `most`. */
static inline int32_t ag__cuda_power_of_two(int64_t n, int32_t most)
{
    int32_t p = 1;
    while (p < most && p < n) p *= 2;
    return p;
}

/* For `teams` teams which fold `units` each; `beside`: columns that lie side by side, 0 for rows. */
static inline ag_cuda_team ag__cuda_team(int64_t teams, int64_t units, int64_t beside)
{
    const int64_t warp_row = 512, few = 2048;
    int32_t lanes = ag__cuda_power_of_two((units + 3) / 4, 32);
    if (beside)
        lanes = ag__cuda_power_of_two((units + 7) / 8, AG_CUDA_TEAM / ag__cuda_power_of_two(beside, 32));
    else if (units > 8 * warp_row || (units > warp_row && teams < few))
        lanes = AG_CUDA_TEAM;
    const ag_cuda_team team = { AG_CUDA_TEAM / lanes, lanes, beside != 0 };
    return team;
}

#endif
