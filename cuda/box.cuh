/* box.cuh - see box.h. */
#ifndef AG_CUDA_BOX_CUH
#define AG_CUDA_BOX_CUH
#include "cuda/box.h"
#include "cuda/divide.cuh"

namespace
{
/* The index at which a box begins in each dimension, as they are called outside. */
struct corner {
    int at[4];
};
__device__ inline int of_dim(const corner &c, int which)
{
    return which == 0 ? c.at[0] : which == 1 ? c.at[1] : which == 2 ? c.at[2] : c.at[3];
}

/* All threads of the block copy. Element e of the box in the order of memory, so that a warp reads neighbours. */
template <class T> __device__ inline void copy_box(T *shared, const T *x, const ag_cuda_box &b, const corner &begin)
{
    int first[4];
    const T *base = x;
    UNROLL
    for (int d = 0; d < 4; d++) {
        first[d] = of_dim(begin, b.which[d]);
        base += first[d] * b.from[d];
    }
    for (int e = (int)threadIdx.x; e < b.numel; e += (int)blockDim.x) {
        uint32_t rest = (uint32_t)e;
        int from = 0, to = 0;
        bool is_inside = true;
        UNROLL
        for (int d = 0; d < 4; d++) {
            const int index = (int)(d < 3 ? divide(&rest, b.by[d]) : rest);
            is_inside = is_inside && (unsigned)(first[d] + index) < (unsigned)b.bound[d];
            from += index * (int)b.from[d];
            to += index * b.to[d];
        }
        shared[to] = is_inside ? base[from] : 0;
    }
}
} // namespace
#endif
