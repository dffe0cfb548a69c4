/* index.h - elements picked by number. Indices are int64 (or int32) and count from the start. */
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

AG_END_DECLS
#endif
