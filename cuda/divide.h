/* divide.h - division by a number that the host knows, as a multiplication (divide.cuh). Plain C and C++. */
#ifndef AG_CUDA_DIVIDE_H
#define AG_CUDA_DIVIDE_H
#include <stdint.h>

/* For 0 <= n < 2^31: n / by = (high word of n * multiplier, + n) >> shift. */
typedef struct ag_cuda_divisor {
    uint32_t by, multiplier, shift;
} ag_cuda_divisor;

/* by: 1 to 2^31 - 1 */
static inline ag_cuda_divisor ag__cuda_divisor(int64_t by)
{
    ag_cuda_divisor d = { (uint32_t)by, 0, 0 };
    while (((uint64_t)1 << d.shift) < d.by) d.shift++;
    d.multiplier = (uint32_t)((((uint64_t)1 << 32) * (((uint64_t)1 << d.shift) - d.by)) / d.by + 1);
    return d;
}

#endif
