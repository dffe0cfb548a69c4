/* reduce.h - many elements into one: sums, means, greatest and least, over all dimensions or some.
 *
 * dim: one dimension, several (AG_DIMS(0, -1)), or all of them (left out). keepdim: those dimensions stay, with size 1.
 * Sums and products of integers and bools are int64; .dtype converts input first. The same bits with any number of
 * threads.
 *
 *     ag_sum(x)      ag_mean(x, 0)      ag_sum(x, .dim = AG_DIMS(0, 2), .keepdim = true)      ag_max_dim(x, 1).indices
 *
 * Errors: AG_EINVAL with PyTorch's sentences (a dimension out of range or named twice; the greatest of nothing).
 * Gradients of any order.
 */
#ifndef ARGENT_REDUCE_H
#define ARGENT_REDUCE_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* sum_i x_i; of nothing 0. Pairwise: the error grows with the logarithm of the count. */
#define AG_ARGS_sum(must, may) \
    must(Tensor, input) may(Dims, dim, AG_ALL) may(Bool, keepdim, false) may(Dtype, dtype, AG_DTYPE_DEFAULT)
#define ag_sum(...) AG_CALL(sum, __VA_ARGS__)
AG_DECLARE(sum)

/* sum_i x_i / n; of nothing NaN. Floating types only, or .dtype. */
#define AG_ARGS_mean(must, may) AG_ARGS_sum(must, may)
#define ag_mean(...)            AG_CALL(mean, __VA_ARGS__)
AG_DECLARE(mean)

/* prod_i x_i, over all dimensions or one; of nothing 1. */
#define AG_ARGS_prod(must, may) AG_ARGS_sum(must, may)
#define ag_prod(...)            AG_CALL(prod, __VA_ARGS__)
AG_DECLARE(prod)

/* input summed down to `size`, to which it must be broadcast from; input itself if it has that size. */
AG_API ag_variable *ag_sum_to_size(ag_variable *input, ag_shape_list size);

/* The greatest (least) element; NaN if there is one. The gradient is shared evenly among equals. */
AG_API ag_variable *ag_max(ag_variable *input);
AG_API ag_variable *ag_min(ag_variable *input);
#define AG_ARGS_amax(must, may) must(Tensor, input) may(Dims, dim, AG_ALL) may(Bool, keepdim, false)
#define ag_amax(...)            AG_CALL(amax, __VA_ARGS__)
AG_DECLARE(amax)
#define AG_ARGS_amin(must, may) AG_ARGS_amax(must, may)
#define ag_amin(...)            AG_CALL(amin, __VA_ARGS__)
AG_DECLARE(amin)

/* The greatest (least) along one dimension, and its first index there (int64). The gradient goes to the element at that
 * index. */
typedef struct ag_values_indices {
    ag_variable *values, *indices; /* both NULL with an error */
} ag_values_indices;
#define AG_ARGS_max_dim(must, may) must(Tensor, input) must(Int, dim) may(Bool, keepdim, false)
#define ag_max_dim(...)            AG_CALL(max_dim, __VA_ARGS__)
AG_DECLARE_AS(max_dim, ag_values_indices)
#define AG_ARGS_min_dim(must, may) AG_ARGS_max_dim(must, may)
#define ag_min_dim(...)            AG_CALL(min_dim, __VA_ARGS__)
AG_DECLARE_AS(min_dim, ag_values_indices)

/* The first index of the greatest (least) element along dimension dim (int64); left out: of all, counted row-major. No
 * gradient. */
#define AG_ARGS_argmax(must, may) AG_ARGS_amax(must, may)
#define ag_argmax(...)            AG_CALL(argmax, __VA_ARGS__)
AG_DECLARE(argmax)
#define AG_ARGS_argmin(must, may) AG_ARGS_amax(must, may)
#define ag_argmin(...)            AG_CALL(argmin, __VA_ARGS__)
AG_DECLARE(argmin)

/* Whether any (every) element is not zero: bool, of uint8 uint8. No gradient. */
#define AG_ARGS_any(must, may) AG_ARGS_amax(must, may)
#define ag_any(...)            AG_CALL(any, __VA_ARGS__)
AG_DECLARE(any)
#define AG_ARGS_all(must, may) AG_ARGS_amax(must, may)
#define ag_all(...)            AG_CALL(all, __VA_ARGS__)
AG_DECLARE(all)

/* log(sum_i exp(x_i)) without overflow. */
#define AG_ARGS_logsumexp(must, may) must(Tensor, input) must(Dims, dim) may(Bool, keepdim, false)
#define ag_logsumexp(...)            AG_CALL(logsumexp, __VA_ARGS__)
AG_DECLARE(logsumexp)

/* The sum and the mean of what is not NaN. */
#define AG_ARGS_nansum(must, may)  AG_ARGS_sum(must, may)
#define AG_ARGS_nanmean(must, may) AG_ARGS_sum(must, may)
#define ag_nansum(...)             AG_CALL(nansum, __VA_ARGS__)
#define ag_nanmean(...)            AG_CALL(nanmean, __VA_ARGS__)
AG_DECLARE(nansum)
AG_DECLARE(nanmean)

/* How many elements are not zero (int64). No gradient. */
#define AG_ARGS_count_nonzero(must, may) must(Tensor, input) may(Dims, dim, AG_ALL)
#define ag_count_nonzero(...)            AG_CALL(count_nonzero, __VA_ARGS__)
AG_DECLARE(count_nonzero)

AG_END_DECLS
#endif
