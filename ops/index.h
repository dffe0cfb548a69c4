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

/* input, to whose slice number index[k] along dim alpha times the k-th slice of source is added, for each k; a number
 * may stand in index several times. source has input's type and, but along dim, its sizes. In bool "or". */
#define AG_ARGS_index_add(must, may) \
    must(Tensor, input) must(Int, dim) must(Tensor, index) must(Tensor, source) may(Float, alpha, 1)
#define ag_index_add(...)  AG_CALL(index_add, __VA_ARGS__)
#define ag_index_add_(...) AG_CALL_INPLACE(index_add, __VA_ARGS__)
AG_DECLARE(index_add)
AG_DECLARE_INPLACE(index_add)

AG_END_DECLS
#endif
