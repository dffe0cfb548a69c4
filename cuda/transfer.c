/* transfer.c - bytes between host and devices, and from device to device. */
#include "cuda/runtime.h"
#include "tensor/thread.h"

#include <pthread.h>
#include <string.h>

bool ag__cuda_may_wait(const char *op)
{
    if (!ag__cuda_host->thread()->cuda_mempool) return true;
    return ag__cuda_host->fail(AG_ENOTSUP,
                               "%s: a CUDA graph is being captured: numbers cannot be read, nor come from the host's "
                               "memory, unless it is pinned and the copy is non_blocking, nor can the device be waited "
                               "for",
                               op);
}

/* ---- host and device ---- */

/* Through pinned memory, so that the device is not waited for; what is larger, or while much is under way, as CUDA does
 * it. */
static bool to_device(void *to, const void *from, int64_t bytes, cudaStream_t stream)
{
    void *staged, *block = bytes <= AG_CUDA_STAGED ? ag__cuda_staging_new(bytes, &staged) : NULL;
    if (!block) {
        cudaError_t e = cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyHostToDevice, stream);
        return ag__cuda_waited("copy", e == cudaSuccess ? cudaStreamSynchronize(stream) : e);
    }
    memcpy(staged, from, (size_t)bytes);
    bool ok = ag__cuda_ok("copy", cudaMemcpyAsync(to, staged, (size_t)bytes, cudaMemcpyHostToDevice, stream)) &&
              ag__cuda_pinned_use("copy", block, stream);
    ag__cuda_pinned_free(block);
    return ok;
}

bool ag__cuda_copy(ag_device device, void *to, const void *from, int64_t bytes, ag_copy_direction direction,
                   void *pinned)
{
    static const enum cudaMemcpyKind kind[] = { [AG_COPY_TO_DEVICE] = cudaMemcpyHostToDevice,
                                                [AG_COPY_TO_HOST] = cudaMemcpyDeviceToHost,
                                                [AG_COPY_ON_DEVICE] = cudaMemcpyDeviceToDevice };
    cudaStream_t stream;
    if (bytes <= 0) return true;
    if (!ag__cuda_use("copy", device, &stream)) return false;
    if (direction != AG_COPY_ON_DEVICE && !pinned) {
        if (!ag__cuda_may_wait("copy")) return false;
        if (direction == AG_COPY_TO_DEVICE) return to_device(to, from, bytes, stream);
    }
    cudaError_t e = cudaMemcpyAsync(to, from, (size_t)bytes, kind[direction], stream);
    if (pinned) return ag__cuda_ok("copy", e) && ag__cuda_pinned_use("copy", pinned, stream);
    if (direction == AG_COPY_ON_DEVICE) return ag__cuda_ok("copy", e);
    return ag__cuda_waited("copy", e == cudaSuccess ? cudaStreamSynchronize(stream) : e);
}

/* ---- between devices ---- */

/* The current device may use the other's memory from now on, where the machine can do that; else the driver goes
 * through the host. */
static void reach(int device, int other)
{
    static bool known[AG_CUDA_DEVICES][AG_CUDA_DEVICES];
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    int can = 0;
    pthread_mutex_lock(&mutex);
    if (!known[device][other] && cudaDeviceCanAccessPeer(&can, device, other) == cudaSuccess && can)
        cudaDeviceEnablePeerAccess(other, 0);
    known[device][other] = true;
    cudaGetLastError();
    pthread_mutex_unlock(&mutex);
}

/* As PyTorch does it: on the source's stream, after what the destination's was asked for, which then waits. */
bool ag__cuda_copy_peer(ag_device to_device, void *to, ag_device from_device, const void *from, int64_t bytes)
{
    const ag_cuda_stream there = ag__cuda_current(to_device), here = ag__cuda_current(from_device);
    cudaStream_t stream;
    if (bytes <= 0) return true;
    if (!ag__cuda_may_wait("copy") || !ag__cuda_stream_wait("copy", here, there) ||
        !ag__cuda_use_stream("copy", here, &stream))
        return false;
    reach(from_device.index, to_device.index);
    return ag__cuda_ok("copy",
                       cudaMemcpyPeerAsync(to, to_device.index, from, from_device.index, (size_t)bytes, stream)) &&
           ag__cuda_stream_wait("copy", there, here);
}
