/* reduce.h - many elements folded into one, over any set of dimensions and any strides: sum, product, greatest, least.
 *
 * Floating sums are pairwise: blocks of about a thousand elements are summed in the lanes of registers, and the blocks'
 * sums by a binary tree, so the error grows with the logarithm of the count. How the work is cut up depends on the
 * shape alone: the same bits with any number of threads. NaN is greater than every number and less than every number.
 */
#ifndef AG_CPU_REDUCE_H
#define AG_CPU_REDUCE_H
#include "ops/cpu/fold.h"
#include "tensor/tensor.h"

/* The type of a total: sums and products of integers are int64, all else is x's own. */
ag_dtype ag__fold_dtype(ag__fold fold, ag_dtype dtype);

/* Folds x over the dimensions in `mask` into out: contiguous, x's other dimensions in order, of the type above. Over no
 * elements a sum is 0 and a product 1; the greatest and least of nothing must not be asked for. false with AG_ENOMEM,
 * before anything is written. */
bool ag__reduce(ag__fold fold, const ag_tensor *x, uint32_t mask, void *out);

/* The greatest (AG_FOLD_MAX) or least element along dimension dim and its first index there; dim -1: of all, the index
 * in row-major order. x->size[dim] > 0. value (x's type) may be NULL. false with AG_ENOMEM. */
bool ag__reduce_arg(ag__fold fold, const ag_tensor *x, int dim, void *value, int64_t *index);

/* ---- the kernels, by fold and type, compiled for each instruction set; strides in elements ---- */

typedef struct ag__folder {
    /* *total = the fold of x[0..n), n > 0 */
    void (*row)(void *total, const void *x, int64_t n);
    /* total[i] = the fold of x[i * stride ... + n) for i < rows: for short rows. n > 0 */
    void (*short_rows)(void *total, const void *x, int64_t stride, int64_t rows, int64_t n);
    /* total[j] = the fold of x[i * stride + j] over i < rows, for j < m; rows > 0 */
    void (*columns)(void *total, const void *x, int64_t stride, int64_t rows, int64_t m);
    /* total[j] = total[j] folded with more[j] */
    void (*combine)(void *total, const void *more, int64_t m);
    /* The first i < n with x[i] = *value, NaN being equal to NaN; it is there. (greatest and least only) */
    int64_t (*find)(const void *x, const void *value, int64_t n);
    /* *best = the extreme of x[0..n) and *at its first index: for short rows. n > 0 */
    void (*arg_row)(void *best, int64_t *at, const void *x, int64_t n);
    /* The same of rows that lie `stride` apart. */
    void (*arg_short_rows)(void *best, int64_t *at, const void *x, int64_t stride, int64_t rows, int64_t n);
    /* a comes before b: greater (less), or NaN where b is none. */
    bool (*beats)(const void *a, const void *b);
    /* As columns, going on from what is in best and at: rows are numbered from `first`. */
    void (*arg_columns)(void *best, int64_t *at, const void *x, int64_t stride, int64_t first, int64_t rows, int64_t m);
} ag__folder;

typedef struct ag__reduce_kernels {
    ag__folder folder[AG_N_FOLDS][2]; /* AG_FLOAT32, AG_FLOAT64 */
} ag__reduce_kernels;
typedef struct ag__reduce_whole_kernels {
    ag__folder folder[AG_N_FOLDS][AG_N_DTYPES - 2]; /* from AG_INT64 on */
} ag__reduce_whole_kernels;

#endif
