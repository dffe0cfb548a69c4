/* launch.h - the only header of CUDA's that a kernel source needs: the same .cu builds with nvcc and, where
 * <cuda_runtime.h> is the stand-in of cuda/host/, as C++ for the CPU.
 *
 *     SHARED(float, tile, [32][33]);             a static __shared__ array
 *     DYN_SHARED(float, buf);                    the dynamic shared memory, as float *buf
 *     LAUNCH(kernel, grid, block, smem, stream, args...)
 *     LAUNCH((kernel<float, 4>), grid, ...)      commas need the parentheses; a kernel that depends on template
 *                                                arguments of the caller needs a name: constexpr auto k = kernel<T>;
 *
 *     OUT_OF_LINE                                a device function that is called, not copied
 *     STORE_SAME(at, value)                      several threads may do it, all with this value
 *     UNROLL                                     the loop that follows is written out; UNROLL_BY(4): by so many turns
 *
 * LAUNCH is an expression: the cudaError_t of the launch. Kernels stand in anonymous namespaces. */
#ifndef AG_CUDA_LAUNCH_H
#define AG_CUDA_LAUNCH_H
#include <cuda_runtime.h>
#include <stdint.h>

#ifdef CUDA_HOST_SHIM
#define OUT_OF_LINE           __attribute__((noinline))
#define STORE_SAME(at, value) __atomic_store_n(at, value, __ATOMIC_RELAXED)
#define UNROLL
#define UNROLL_BY(n)
#define SHARED(T, name, ...)                                                             \
    typedef T hs_t_##name __VA_ARGS__;                                                   \
    static hs_shkey hs_k_##name;                                                         \
    if (hs_k_##name.serial != hs_serial)                                                 \
        hs_shared_alloc(&hs_k_##name, sizeof(hs_t_##name), alignof(hs_t_##name), #name); \
    hs_t_##name &name = *(hs_t_##name *)hs_k_##name.p
#define DYN_SHARED(T, name) T *const name = (T *)hs_dyn_shared()
#define LAUNCH(k, grid, block, smem, stream, ...) \
    hs_launch_<k>(#k, __FILE__, __LINE__, grid, block, smem, stream, ##__VA_ARGS__)
#else
#define OUT_OF_LINE           __noinline__
#define STORE_SAME(at, value) (void)(*(at) = (value))
#define UNROLL                _Pragma("unroll")
#define UNROLL_BY(n)          UNROLL_PRAGMA_(unroll n)
#define UNROLL_PRAGMA_(...)   _Pragma(#__VA_ARGS__)
#define SHARED(T, name, ...)  __shared__ T name __VA_ARGS__
#define DYN_SHARED(T, name)                                          \
    extern __shared__ __align__(16) unsigned char gpu_dyn_shared_[]; \
    T *const name = reinterpret_cast<T *>(gpu_dyn_shared_)
// clang-format off
#define LAUNCH(k, grid, block, smem, stream, ...) \
    ((k)<<<(grid), (block), (smem), (stream)>>>(__VA_ARGS__), cudaPeekAtLastError())
// clang-format on
#endif

/* The largest grid that is made, in its first dimension and, as CUDA has it, in the others. The emulation's is so small
 * that tests reach beyond it. */
#ifdef CUDA_HOST_SHIM
enum { MOST_BLOCKS = 7, MOST_BLOCKS_Y = 5 };
#else
enum { MOST_BLOCKS = 1 << 15, MOST_BLOCKS_Y = 65535 };
#endif

/* Blocks for a loop over n elements, each thread by steps of the whole grid. */
static inline unsigned blocks_of(int64_t n, unsigned threads)
{
    const int64_t wanted = (n + threads - 1) / threads;
    return (unsigned)(wanted < MOST_BLOCKS ? wanted : (int64_t)MOST_BLOCKS);
}

#endif
