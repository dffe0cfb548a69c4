/* runtime.h - what the parts of the plug-in share: the library's services, devices and streams, errors, memory. */
#ifndef AG_CUDA_RUNTIME_H
#define AG_CUDA_RUNTIME_H
#include "autograd/op.h"
#include "cuda/shape.h"
#include "tensor/cuda_plugin.h"

#include <cuda_runtime_api.h>

extern const ag_cuda_host *ag__cuda_host;

/* Where CUDA says no: false, with "op: what it says". */
bool ag__cuda_ok(const char *op, cudaError_t e);
/* Makes the device the calling thread's, and gives its stream: all that the library asks of a device is done in the
 * order of one. false with an error. */
bool ag__cuda_use(const char *op, ag_device device, cudaStream_t *stream);
/* After a launch: whether it was accepted. What the kernel itself does wrong is found when somebody waits for it; with
 * AG_CUDA_LAUNCH_BLOCKING=1 that is here. */
bool ag__cuda_launched(const char *op, cudaError_t e, cudaStream_t stream);
/* Waits for all of the stream. */
bool ag__cuda_wait(const char *op, cudaStream_t stream);

static inline ag_cuda_shape ag__cuda_shape(const ag_tensor *x)
{
    ag_cuda_shape s = { .numel = x->numel, .ndim = x->ndim };
    for (int d = 0; d < x->ndim; d++) {
        s.size[d] = x->size[d];
        s.stride[d] = x->stride[d] * (int64_t)ag__itemsize(x);
    }
    return s;
}

/* ---- memory (memory.c) ---- */
void *ag__cuda_alloc(ag_device device, int64_t bytes);
void ag__cuda_free(ag_device device, void *data, int64_t bytes);
bool ag__cuda_memory(ag_device device, ag_device_memory *memory);
void ag__cuda_reset_peak(ag_device device);
void ag__cuda_empty_cache(void);

/* ---- elements (elements.c) ---- */
bool ag__cuda_copy_elements(const ag_tensor *to, const ag_tensor *from);
bool ag__cuda_fill_elements(const ag_tensor *to, const char value[8]);
bool ag__cuda_evaluate(const char *op, const struct ag__evaluation *e);

/* ---- reductions (reduce.c) ---- */
bool ag__cuda_fold_elements(const char *op, int fold, const ag_tensor *x, uint32_t mask, const ag_tensor *y);

/* ---- ops (kernels.def) ---- */
#define KERNEL(op) bool ag__cuda_##op(ag_run *r);
#include "cuda/kernels.def"

#endif
