/* device_table.h - what the tensor floor asks of a device: one table of functions each. The CPU's is built in; CUDA's
 * comes with its plug-in, which is loaded when it is first asked for (cuda_plugin.h). */
#ifndef AG_DEVICE_TABLE_H
#define AG_DEVICE_TABLE_H
#include <argent/device.h>

#include <stddef.h>

struct ag_tensor;
struct ag__evaluation;    /* ops/pointwise_rows.h */
struct ag__gemm_args;     /* ops/cpu/gemm.h */
struct ag_run;            /* autograd/op.h */
struct ag_cuda_functions; /* tensor/cuda_table.h */
struct ag__step_table;    /* tensor/step_table.h */
struct ag__pair;          /* ops/binary.h */
struct ag__ramp;          /* ops/cpu/ramp.h */
struct ag__indexing;      /* ops/index_device.h */
struct ag_generator;      /* tensor/generator_internal.h */
struct ag__random;        /* tensor/random_device.h */
struct ag__folding;       /* ops/folding.h */
struct ag_run;            /* autograd/op.h */

typedef enum { AG_COPY_TO_DEVICE, AG_COPY_TO_HOST, AG_COPY_ON_DEVICE } ag_copy_direction;

/* Bytes of a device's memory: of living blocks, taken from the driver, and the most of either since the start or since
 * it was reset. */
typedef struct ag_device_memory {
    int64_t allocated, reserved, max_allocated, max_reserved;
} ag_device_memory;

/* A batch of a dataset's images: out[i,p] = table[images[index[i],p]], labels_out[i] = labels[index[i]]; all of it on
 * one device, the indices in range. */
typedef struct ag_pixel_batch {
    const struct ag_tensor *images, *labels; /* (all,...) uint8 and (all) int64, contiguous */
    const int64_t *index;
    const void *table;                        /* 256 elements of out's type; NULL: the pixels as they are */
    const struct ag_tensor *out, *labels_out; /* (n,...), contiguous or, if batch_last, so; (n) int64 */
    bool batch_last;
} ag_pixel_batch;

/* The kernel of an op that is more than its elements, by the op's name. */
typedef struct ag_device_kernel {
    const char *op;
    bool (*run)(struct ag_run *r);
} ag_device_kernel;

/* The CPU has the first part only: elements are copied, filled and computed by functions of its own. */
typedef struct ag_device_functions {
    const char *name;
    int (*count)(void);                              /* how many devices there are */
    void *(*alloc)(ag_device device, int64_t bytes); /* NULL with AG_ENOMEM or AG_EDEVICE standing */
    void (*free)(ag_device device, void *data, int64_t bytes);
    /* Bytes between host and device, or on the device, in the order of its current stream. On return the host's are
     * free, or there, unless they lie in a block of pinned memory that is given: it keeps them as long as needed. */
    bool (*copy)(ag_device device, void *to, const void *from, int64_t bytes, ag_copy_direction direction,
                 void *pinned);
    bool (*synchronize)(ag_device device);

    /* Between tensors of any strides and types on one device; `from` broadcasts. */
    bool (*copy_elements)(const struct ag_tensor *to, const struct ag_tensor *from);
    bool (*fill_elements)(const struct ag_tensor *to, const char value[8]); /* an element of to's type */
    bool (*evaluate)(const char *op, const struct ag__evaluation *e);       /* an expression of a pointwise row */

    bool (*combine)(const char *op, const struct ag__pair *p); /* two tensors by what is no row */
    bool (*ramp)(const char *op, const struct ag_tensor *y, const struct ag__ramp *ramp); /* y is contiguous */
    bool (*index)(struct ag_run *r, const struct ag__indexing *how);

    bool (*fold_elements)(const char *op, const struct ag__folding *f); /* a reduction */

    /* A product of matrices in device memory; allow_tf32: float32 may be rounded to TF32 before (backends.h) */
    bool (*gemm)(const char *op, ag_device device, const struct ag__gemm_args *g, bool allow_tf32);
    bool (*gather_pixels)(const ag_pixel_batch *batch);
    /* An optimiser's step of all its parameters there of one type. */
    bool (*step)(const char *op, ag_device device, const struct ag__step_table *t);
    bool (*random)(struct ag_generator *generator, const struct ag_tensor *x, const struct ag__random *how);
    /* Where dropout's mask of n numbers begins, to be drawn as often as one likes: its seed, its offset, and the
     * address on the device of what is to be added to them, 0 for none. */
    bool (*dropout)(ag_device device, int64_t n, uint64_t place[3]);

    bool (*memory)(ag_device device, ag_device_memory *memory);
    void (*reset_peak)(ag_device device);
    void (*empty_cache)(void);

    const struct ag_cuda_functions *cuda;

    const ag_device_kernel *kernel;
    int n_kernels;
} ag_device_functions;

/* NULL with AG_EDEVICE and the reason where the device is not there. */
const ag_device_functions *ag__device_functions(ag_device device);
/* CUDA's functions without an error: NULL where there are none. Loads the plug-in when it is first called. */
const ag_device_functions *ag__cuda_functions(void);

#endif
