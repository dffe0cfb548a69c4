/* index.h - elements picked and written by number. Indices are int64 (or int32) and count from the start.
 *
 * Errors: AG_EINVAL with PyTorch's sentences (an index that is out of range included; nothing has been written then),
 * AG_ENOMEM. Gradients of any order. */
#ifndef ARGENT_INDEX_H
#define ARGENT_INDEX_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* y[i][j][k] = input[i][index[i][j][k]][k] for dim = 1: y has index's shape, which may not exceed input's but along
 * dim. */
AG_API ag_variable *ag_gather(ag_variable *input, int64_t dim, ag_variable *index);
/* The slices of input along dim whose numbers stand in index (one dimension): y[..., k, ...] = input[..., index[k],
 * ...]. */
AG_API ag_variable *ag_index_select(ag_variable *input, int64_t dim, ag_variable *index);
/* The elements of input, taken in one row, whose numbers stand in index: y has index's shape. Numbers may count from
 * the end; int64 only. */
AG_API ag_variable *ag_take(ag_variable *input, ag_variable *index);

/* input, to whose slice number index[k] along dim alpha times the k-th slice of source is added, for each k; a number
 * may stand in index several times. source has input's type and, but along dim, its sizes. In bool "or". */
#define AG_ARGS_index_add(must, may) \
    must(Tensor, input) must(Int, dim) must(Tensor, index) must(Tensor, source) may(Float, alpha, 1)
#define ag_index_add(...)  AG_CALL(index_add, __VA_ARGS__)
#define ag_index_add_(...) AG_CALL_INPLACE(index_add, __VA_ARGS__)
AG_DECLARE(index_add)
AG_DECLARE_INPLACE(index_add)

/* input, whose slice number index[k] along dim becomes the k-th slice of source, of input's type. Where a number stands
 * twice it is the last that stays. int64 only. */
AG_API ag_variable *ag_index_copy(ag_variable *input, int64_t dim, ag_variable *index, ag_variable *source);
AG_API ag_variable *ag_index_copy_(ag_variable *input, int64_t dim, ag_variable *index, ag_variable *source);
/* input with `value` in its slices whose numbers stand in index; they may count from the end. int64 only. */
AG_API ag_variable *ag_index_fill(ag_variable *input, int64_t dim, ag_variable *index, ag_number value);
AG_API ag_variable *ag_index_fill_(ag_variable *input, int64_t dim, ag_variable *index, ag_number value);

/* The reverse of gather: y[i][index[i][j][k]][k] = src[i][j][k] for dim = 1, and input elsewhere. index has as many
 * dimensions as input and src, of input's type, and is nowhere larger than src, nor than input but along dim. Where
 * several are written to one place it is the last that stays, and the gradient goes to all of them. */
AG_API ag_variable *ag_scatter(ag_variable *input, int64_t dim, ag_variable *index, ag_variable *src);
AG_API ag_variable *ag_scatter_(ag_variable *input, int64_t dim, ag_variable *index, ag_variable *src);
/* The same with one number for all of them. */
AG_API ag_variable *ag_scatter_value(ag_variable *input, int64_t dim, ag_variable *index, ag_number value);
AG_API ag_variable *ag_scatter_value_(ag_variable *input, int64_t dim, ag_variable *index, ag_number value);
/* The same, added to what is there. */
AG_API ag_variable *ag_scatter_add(ag_variable *input, int64_t dim, ag_variable *index, ag_variable *src);
AG_API ag_variable *ag_scatter_add_(ag_variable *input, int64_t dim, ag_variable *index, ag_variable *src);

AG_END_DECLS
#endif
