/* cuda_plugin.h - what the library and its CUDA plug-in, libargent-cuda.so, are to each other.
 *
 * The plug-in exports one function and refers to no symbol of the library, so that it serves the static library, too:
 * what it needs of it comes in a table, and what it can do goes back in another. Both are of one build: the number says
 * whether they agree.
 */
#ifndef AG_CUDA_PLUGIN_H
#define AG_CUDA_PLUGIN_H
#include "tensor/device_table.h"
#include "tensor/random_device.h"
#include "tensor/tensor.h"

enum { AG_CUDA_ABI = 4 };

struct ag_op; /* autograd/op.h */
struct ag_thread;

typedef struct ag_cuda_host {
    int abi;
    struct ag_thread *(*thread)(void); /* the calling one */
    void *(*fail)(ag_error_kind kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
    void *(*fail_call)(const struct ag_op *op, const void *args, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
    void *(*fail_memory)(const char *what, size_t bytes);
    void (*walk)(ag_walk *w, int n, const ag_tensor *const *operand);
    double (*load)(const char *at, ag_dtype dtype);
    int64_t (*load_int64)(const char *at, ag_dtype dtype);
    void (*store)(char *at, ag_dtype dtype, double value);
    void (*store_int64)(char *at, ag_dtype dtype, int64_t value);
    /* A contiguous Variable without history, the scope's: for what a kernel needs for itself. */
    ag_variable *(*new_variable)(struct ag_thread *t, int ndim, const int64_t *size, ag_dtype dtype, ag_device device);
    /* x itself, or a contiguous copy of these sizes and this type on x's device (ops/check.h). */
    const ag_tensor *(*plain)(struct ag_thread *t, const ag_variable *x, int ndim, const int64_t *size, ag_dtype dtype);
    bool (*philox)(ag_generator *generator, ag_device device, uint64_t words, uint64_t *seed, uint64_t *offset);
    /* The order in which a tensor takes its numbers (tensor/random_order.h), dimension 0 the fastest; beside: the
     * strides of another of its sizes, or NULL. All in elements; returns how many dimensions there are. */
    int (*random_order)(const ag_tensor *x, const ag_tensor *beside, int64_t size[AG_MAX_DIMS],
                        int64_t stride[2][AG_MAX_DIMS]);
} ag_cuda_host;
extern const ag_cuda_host ag__cuda_services; /* ops/cuda_services.c: it knows all floors */

/* What AG_CUDA_ENTRY names. The functions that can be called from now on; NULL, and the reason, where no device can be
 * used. *abi is the plug-in's own number, set in either case. */
typedef const ag_device_functions *ag_cuda_entry(const ag_cuda_host *host, int *abi, const char **reason);
#define AG_CUDA_ENTRY "ag_cuda_plugin"

/* Why CUDA cannot be used, as the end of a sentence; NULL where it can. */
const char *ag__cuda_reason(void);

#endif
