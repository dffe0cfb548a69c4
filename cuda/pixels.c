/* pixels.c - batches of a dataset that lies on the device: the description of the launch. */
#include "cuda/pixels.h"
#include "cuda/runtime.h"

bool ag__cuda_gather_pixels(const ag_pixel_batch *b)
{
    const char *const op = "data_loader";
    const ag_tensor *out = b->out;
    const int64_t n = out->size[0];
    const ag_cuda_pixels p = { (const uint8_t *)b->images->data,
                               (const int64_t *)(const void *)b->labels->data,
                               b->index,
                               b->table,
                               out->data,
                               (int64_t *)(void *)b->labels_out->data,
                               n,
                               n ? out->numel / n : 0,
                               b->batch_last };
    cudaStream_t stream;
    if (out->numel == 0 && n == 0) return true;
    return ag__cuda_use(op, ag__tensor_device(out), &stream) &&
           ag__cuda_launched(op, (cudaError_t)ag__cuda_pixels_of(out->dtype, &p, stream), stream);
}
