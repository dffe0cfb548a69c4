/* check.h - what several families of ops check, and how they say it. */
#ifndef AG_CHECK_H
#define AG_CHECK_H
#include "autograd/op.h"

/* Fails with "<op>: <sentence> (input: [64, 3, 28, 28] float32 cpu, weight: ...)": every Variable among the arguments
 * is named. A step of another op speaks in that one's name. */
void *ag__fail_call(const ag_op *op, const void *args, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* Whether a Variable can have n dimensions; false with a sentence. */
bool ag__check_ndim(const ag_op *op, const void *args, int64_t n);

/* `reduction` as losses take it; false with PyTorch's "abc is not a valid value for reduction". */
typedef enum { AG_REDUCE_NONE, AG_REDUCE_MEAN, AG_REDUCE_SUM } ag_reduction;
bool ag__check_reduction(const ag_op *op, const void *args, const char *text, ag_reduction *reduction);

/* Whether x (which may have fewer dimensions) repeats to these sizes; false with PyTorch's sentence about expand. */
bool ag__check_expands(const ag_op *op, const void *args, const ag_tensor *x, int ndim, const int64_t *size);

/* x as kernels for plain arrays want it: row-major, of this type and these sizes (to which x broadcasts).
 * x itself if it is so already, else a copy that the innermost scope holds. NULL with AG_ENOMEM. */
const ag_tensor *ag__plain(Thread *t, const ag_variable *x, int ndim, const int64_t *size, ag_dtype dtype);

#endif
