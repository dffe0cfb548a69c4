/* elements.h - one launch over the elements of several tensors: what the C side (elements.c) fills in and the kernels
 * read. Plain C and C++. */
#ifndef AG_CUDA_ELEMENTS_H
#define AG_CUDA_ELEMENTS_H
#include "cuda/shape.h"
#include "ops/cpu/pointwise_kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { AG_CUDA_SLOTS = AG_N_OPERANDS + 1 };

/* Slot 0 is what is written, slot 1 + k operand k of the expression. Sizes and strides are those of the merged
 * dimensions (ag__walk), strides in bytes. */
typedef struct ag_cuda_elements {
    int64_t numel;
    int64_t size[AG_CUDA_DIMS];
    int64_t stride[AG_CUDA_SLOTS][AG_CUDA_DIMS];
    char *data[AG_CUDA_SLOTS];
    int64_t value[AG_CUDA_SLOTS]; /* the bytes of one element, where it comes from the host */
    uint8_t dtype[AG_CUDA_SLOTS];
    int32_t ndim;
    uint8_t reads;    /* bit k: slot k is in use */
    uint8_t constant; /* bit k: it is value[k], of the type that is computed in */
    bool flat;        /* one dimension at most, and every type the one that is wanted */
} ag_cuda_elements;

typedef struct ag_cuda_options {
    double at[AG_ROW_MAX_OPTIONS];
} ag_cuda_options;

/* Each launches one kernel on the stream, a cudaStream_t, and returns its cudaError_t. */
typedef int ag_cuda_launcher(const ag_cuda_elements *e, const ag_cuda_options *options, void *stream);
/* Of an expression (ops/cpu/pointwise_kernel.h) in that type; NULL where there is none. */
ag_cuda_launcher *ag__cuda_row_f32(int expression);
ag_cuda_launcher *ag__cuda_row_f64(int expression);
ag_cuda_launcher *ag__cuda_row_integer(int expression, int dtype);
/* Slot 1 + IN_A to slot 0, whatever their types; to is slot 0's. */
int ag__cuda_copy_to(int to, const ag_cuda_elements *e, void *stream);

#ifdef __cplusplus
}
#endif
#endif
