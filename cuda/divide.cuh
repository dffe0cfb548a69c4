/* divide.cuh - see divide.h. */
#ifndef AG_CUDA_DIVIDE_CUH
#define AG_CUDA_DIVIDE_CUH
#include "cuda/divide.h"
#include "cuda/launch.h"

namespace
{
/* n becomes n / by; what is left over is returned. */
__device__ inline uint32_t divide(uint32_t *n, const ag_cuda_divisor &d)
{
    const uint32_t quotient = (__umulhi(*n, d.multiplier) + *n) >> d.shift, rest = *n - quotient * d.by;
    *n = quotient;
    return rest;
}
} // namespace
#endif
