/* philox.h - where a launch draws its random numbers. Plain C and C++; philox.cuh draws them. */
#ifndef AG_CUDA_PHILOX_H
#define AG_CUDA_PHILOX_H
#include <stdint.h>

/* The seed and the offset, in words, a multiple of 4. While a graph is captured `state` is the device's memory, where a
 * replay finds the seed, and an offset that is added to this one; else NULL. */
typedef struct ag_cuda_philox {
    uint64_t seed, offset;
    const uint64_t *state;
} ag_cuda_philox;

#endif
