/* raise.cuh - a kernel's note of what is wrong (fault.h). */
#ifndef AG_CUDA_RAISE_CUH
#define AG_CUDA_RAISE_CUH
#include "cuda/fault.h"
#include "cuda/launch.h"

namespace
{
__device__ inline void note(const ag_cuda_report &r, int64_t index)
{
    if (atomicCAS(&r.fault->raised, 0, 1) != 0) return;
    r.fault->kind = r.kind;
    r.fault->op = r.op;
    r.fault->index = index;
    r.fault->size = r.size;
    r.fault->dim = r.dim;
    __threadfence_system();
    atomicExch(&r.fault->raised, AG_CUDA_NOTED); /* others may be at their atomicCAS */
}
} // namespace
#endif
