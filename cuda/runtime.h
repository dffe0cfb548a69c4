/* runtime.h - what the parts of the plug-in share: the library's services, devices and streams, errors, memory. */
#ifndef AG_CUDA_RUNTIME_H
#define AG_CUDA_RUNTIME_H
#include "autograd/op.h"
#include "cuda/fault.h"
#include "cuda/philox.h"
#include "cuda/shape.h"
#include "tensor/cuda_plugin.h"
#include "tensor/cuda_table.h"

#include <cuda_runtime_api.h>

extern const ag_cuda_host *ag__cuda_host;

/* Where CUDA says no: false, with "op: what it says". */
bool ag__cuda_ok(const char *op, cudaError_t e);
/* The outcome of a call that waited: what it says may be a kernel's doing. */
bool ag__cuda_waited(const char *op, cudaError_t e);

/* ---- streams (stream.c) ---- */

extern const ag_cuda_functions ag__cuda_more;
/* Makes the device the calling thread's, and gives the stream that is current there: what is asked of the device goes
 * to it. false with an error. */
bool ag__cuda_use(const char *op, ag_device device, cudaStream_t *stream);
bool ag__cuda_use_stream(const char *op, ag_cuda_stream stream, cudaStream_t *handle);
ag_cuda_stream ag__cuda_current(ag_device device);
/* NULL: nothing was ever asked of it. */
cudaStream_t ag__cuda_started(int device, int id);
/* What is asked of `stream` from now on comes after what was asked of `other` so far. */
bool ag__cuda_stream_wait(const char *op, ag_cuda_stream stream, ag_cuda_stream other);
bool ag__cuda_synchronize(ag_device device);
/* After a launch: whether it was accepted. What the kernel itself does wrong is found when somebody waits for it; with
 * AG_CUDA_LAUNCH_BLOCKING=1 that is here. */
bool ag__cuda_launched(const char *op, cudaError_t e, cudaStream_t stream);
/* Waits for all of the stream. */
bool ag__cuda_wait(const char *op, cudaStream_t stream);

/* ---- what kernels find wrong (fault.c, fault.h) ---- */
/* For a kernel that may: kind is one of fault.h's; false with an error. The second without a run. */
bool ag__cuda_may_fail(const ag_run *r, int kind, int dim, int64_t size, ag_cuda_report *report);
bool ag__cuda_may_fail_in(const char *op, ag_device device, int kind, int dim, int64_t size, ag_cuda_report *report);
/* After a wait for the device: false with the error that a kernel has noted. */
bool ag__cuda_no_fault(int device);

static inline ag_cuda_shape ag__cuda_shape(const ag_tensor *x)
{
    ag_cuda_shape s = { .numel = x->numel, .ndim = x->ndim };
    for (int d = 0; d < x->ndim; d++) {
        s.size[d] = x->size[d];
        s.stride[d] = x->stride[d] * (int64_t)ag__itemsize(x);
    }
    return s;
}

/* Numbers of elements and distances are 64 bits wide in kernels; places along one dimension of a window are 32: whether
 * a size may be one. */
static inline bool ag__cuda_fits(const ag_run *r, int64_t size)
{
    if (size < INT32_MAX / 4) return true;
    return ag__cuda_host->fail_call(r->op, r->args, "a size of %lld is too large for cuda", (long long)size);
}

/* ---- memory (memory.c) ---- */
void *ag__cuda_alloc(ag_device device, int64_t bytes);
void ag__cuda_free(ag_device device, void *data, int64_t bytes);
bool ag__cuda_memory(ag_device device, ag_device_memory *memory);
void ag__cuda_reset_peak(ag_device device);
void ag__cuda_empty_cache(void);
/* Also used on this stream: not handed out again before that is over. */
void ag__cuda_record_stream(void *data, ag_cuda_stream stream);
/* Memory that captured graphs keep for themselves: a thread's while its cuda_mempool says so. The last one who drops it
 * gives back what Variables do not hold. */
typedef struct ag_cuda_mempool ag_cuda_mempool;
ag_cuda_mempool *ag__cuda_mempool_new(void);
ag_cuda_mempool *ag__cuda_mempool_share(ag_cuda_mempool *m);
void ag__cuda_mempool_drop(ag_cuda_mempool *m);
/* So many more captures are under way. */
void ag__cuda_captures(int more);

/* While a graph is captured by the calling thread: false with an error. */
bool ag__cuda_may_wait(const char *op);
bool ag__cuda_is_captured(void); /* by any thread */

/* ---- graphs (graph.c) ---- */

extern const ag_cuda_graph_functions ag__cuda_graphs;

/* ---- pinned host memory (pinned.c) ---- */

enum { AG_CUDA_STAGED = 16 << 20 }; /* as much goes through pinned memory at a time, and as much may be under way */
void *ag__cuda_pinned_new(int64_t bytes, void **data);
/* NULL without an error where there is none, or much is under way. */
void *ag__cuda_staging_new(int64_t bytes, void **data);
void ag__cuda_pinned_free(void *block);
/* What was asked of the stream so far uses the block. */
bool ag__cuda_pinned_use(const char *op, void *block, cudaStream_t stream);
/* What is spare goes back. */
void ag__cuda_pinned_release(void);

/* ---- copies of bytes (transfer.c) ---- */
bool ag__cuda_copy(ag_device device, void *to, const void *from, int64_t bytes, ag_copy_direction direction,
                   void *pinned);
bool ag__cuda_copy_peer(ag_device to_device, void *to, ag_device from_device, const void *from, int64_t bytes);

/* ---- elements (elements.c) ---- */
bool ag__cuda_copy_elements(const ag_tensor *to, const ag_tensor *from);
bool ag__cuda_fill_elements(const ag_tensor *to, const char value[8]);
bool ag__cuda_evaluate(const char *op, const struct ag__evaluation *e);
bool ag__cuda_combine(const char *op, const struct ag__pair *p);                     /* binary.c */
bool ag__cuda_ramp(const char *op, const ag_tensor *y, const struct ag__ramp *ramp); /* ramp.c */

struct ag_cuda_elements; /* elements.h */
/* The operands in slots of the description, walked in step; wanted: the type each slot is read as. */
void ag__cuda_describe(struct ag_cuda_elements *e, int n, const ag_tensor *const *operand, const int *slot,
                       const ag_dtype *wanted);
/* A number on the host becomes part of the launch. */
void ag__cuda_set_value(struct ag_cuda_elements *e, int slot, const ag_tensor *x, ag_dtype wanted);
static inline bool ag__cuda_is_number(const ag_tensor *x)
{
    return x->numel == 1 && (!x->storage || ag__tensor_device(x).type == AG_DEVICE_CPU);
}

/* ---- reading and writing by number (index.c) ---- */
bool ag__cuda_index(ag_run *r, const struct ag__indexing *how);

/* ---- random numbers (random.c, philox.h) ---- */
bool ag__cuda_random(ag_generator *generator, const ag_tensor *x, const struct ag__random *how);
bool ag__cuda_dropout_place(ag_device device, int64_t n, uint64_t place[3]);
/* Where a launch draws: the generator (NULL: the device's own) moves on by so many words for each thread. */
bool ag__cuda_philox_of(ag_device device, ag_generator *generator, uint64_t words, ag_cuda_philox *philox);
/* While a graph is captured the device's own generator is not moved. What is launched reads a seed and an offset from
 * the device's memory, to which it adds how much has been drawn since this call; whoever replays the graph sets them,
 * and moves the generator on by the total. NULL ends it. The total is in words, a multiple of 4. */
void ag__cuda_philox_capture(ag_device device, const uint64_t *state);
uint64_t ag__cuda_philox_captured(ag_device device);

/* ---- reductions (reduce.c) ---- */
bool ag__cuda_fold_elements(const char *op, const struct ag__folding *f);

/* ---- products of matrices (gemm.c) ---- */
bool ag__cuda_gemm(const char *op, ag_device device, const struct ag__gemm_args *g, bool allow_tf32);

/* ---- batches of a dataset (pixels.c) ---- */
bool ag__cuda_gather_pixels(const ag_pixel_batch *batch);

/* ---- optimisers (step.c) ---- */
bool ag__cuda_step(const char *op, ag_device device, const struct ag__step_table *t);

/* ---- ops (kernels.def) ---- */
#define KERNEL(op) bool ag__cuda_##op(ag_run *r);
#include "cuda/kernels.def"

#endif
