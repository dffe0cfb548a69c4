/* triangle.cu - tril and triu: a thread an element, of which those on the wrong side are cleared. */
#include "cuda/launch.h"
#include "cuda/triangle.h"

namespace
{
enum { THREADS = 256 };

template <class T> __global__ void clear_beside(const ag_cuda_triangle t)
{
    const int last = t.shape.ndim - 1;
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < t.shape.numel; i += step) {
        int64_t index[AG_CUDA_DIMS];
        const int64_t at = ag__cuda_place(&t.shape, t.shape.ndim, i, index), beyond = index[last] - index[last - 1];
        if (t.lower ? beyond > t.diagonal : beyond < t.diagonal) *(T *)(t.data + at) = 0;
    }
}

template <class T> int launch(const ag_cuda_triangle *t, void *stream)
{
    constexpr auto kernel = clear_beside<T>;
    return LAUNCH(kernel, blocks_of(t->shape.numel, THREADS), THREADS, 0, (cudaStream_t)stream, *t);
}
} // namespace

extern "C" int ag__cuda_clear_beside(const ag_cuda_triangle *t, int itemsize, void *stream)
{
    return itemsize == 8   ? launch<uint64_t>(t, stream)
           : itemsize == 4 ? launch<uint32_t>(t, stream)
                           : launch<uint8_t>(t, stream);
}
