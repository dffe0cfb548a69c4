/* random_order.h - in which order a tensor takes its random numbers.
 *
 * PyTorch fills in the order of the strides, not of the indices: the dimension with the smallest stride moves fastest,
 * so a transposed matrix and its original get the same numbers at the same places in memory.
 */
#ifndef AG_RANDOM_ORDER_H
#define AG_RANDOM_ORDER_H
#include "tensor/tensor.h"

/* Where a walk over a tensor, and perhaps over another one in step with it, stands. Dimension 0 moves fastest. */
typedef struct ag_random_order {
    int ndim;
    int64_t size[AG_MAX_DIMS], stride[2][AG_MAX_DIMS], at[AG_MAX_DIMS]; /* strides in elements */
    int64_t offset[2];
} ag_random_order;

/* beside: a second operand of the same sizes (strides of 0 where it repeats), or NULL. */
void ag__random_order(ag_random_order *order, const ag_tensor *x, const ag_tensor *beside);
/* The elements lie side by side, in order. */
static inline bool ag__random_order_dense(const ag_random_order *order)
{
    return order->ndim == 0 || (order->ndim == 1 && order->stride[0][0] == 1);
}

/* Part of a row, `count` elements from an offset with a step, in elements, for either operand. */
typedef struct ag_random_run {
    int64_t count, offset[2], step[2];
} ag_random_run;
/* The next elements, `limit` at most; there must be some left. */
ag_random_run ag__random_order_next(ag_random_order *order, int64_t limit);

/* Writes values (float32, float64 or int64) into a run of x, converted to its type as PyTorch does on x86. */
void ag__random_store_run(const ag_tensor *x, const ag_random_run *run, ag_dtype type, const void *values);
/* The same for the next n places of x, however many runs they are. */
void ag__random_store(ag_random_order *order, const ag_tensor *x, ag_dtype type, const void *values, int64_t n);

#endif
