/* pixels.cu - a batch of images and labels out of all that lie on the device: a row of the batch's memory a block,
 * which is an image, or, batch-last, a pixel of all images. Writes are side by side; the reads of a batch stay in the
 * cache. */
#include "cuda/launch.h"
#include "cuda/pixels.h"
#include "tensor/dtype.h"

namespace
{
enum { VALUES = 256, MOST_THREADS = 256 };

template <class T> __global__ void gather(const ag_cuda_pixels g)
{
    SHARED(T, table, [VALUES]);
    for (unsigned k = threadIdx.x; k < VALUES; k += blockDim.x) table[k] = g.table ? ((const T *)g.table)[k] : (T)k;
    __syncthreads();
    const int64_t rows = g.batch_last ? g.pixels : g.n, columns = g.batch_last ? g.n : g.pixels;
    for (int64_t row = blockIdx.y; row < rows; row += gridDim.y)
        for (int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; column < columns;
             column += (int64_t)gridDim.x * blockDim.x) {
            const int64_t i = g.batch_last ? column : row, pixel = g.batch_last ? row : column;
            ((T *)g.out)[row * columns + column] = table[g.images[g.index[i] * g.pixels + pixel]];
            if (pixel == 0) g.labels_out[i] = g.labels[g.index[i]];
        }
}

template <class T> int launch(const ag_cuda_pixels *p, void *stream)
{
    constexpr auto kernel = gather<T>;
    const int64_t rows = p->batch_last ? p->pixels : p->n, columns = p->batch_last ? p->n : p->pixels;
    const unsigned threads = columns < MOST_THREADS ? (unsigned)(columns + 31) / 32 * 32 : (unsigned)MOST_THREADS;
    const dim3 grid(blocks_of(columns, threads), (unsigned)(rows < MOST_BLOCKS_Y ? rows : (int64_t)MOST_BLOCKS_Y));
    return LAUNCH(kernel, grid, threads, 0, (cudaStream_t)stream, *p);
}
} // namespace

extern "C" int ag__cuda_pixels_of(int dtype, const ag_cuda_pixels *p, void *stream)
{
    return dtype == AG_FLOAT32   ? launch<float>(p, stream)
           : dtype == AG_FLOAT64 ? launch<double>(p, stream)
                                 : launch<uint8_t>(p, stream);
}
