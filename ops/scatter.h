/* scatter.h - what the ops that read or write by number share. */
#ifndef AG_SCATTER_H
#define AG_SCATTER_H
#include "autograd/op.h"

/* The indices, side by side as int64; NULL with a sentence if one is not from `least` to before n, the size of
 * dimension dim (NULL without one where there are none). */
const int64_t *ag__indices(ag_run *r, const ag_variable *index, int64_t least, int64_t n, int dim);
/* int64 or int32. */
static inline bool ag__is_index(const ag_variable *index)
{
    return index->tensor.dtype == AG_INT64 || index->tensor.dtype == AG_INT32;
}

/* to[i] += alpha from[i], n elements of a type so many bytes apart; of bool: "or". */
void ag__add_elements(ag_dtype dtype, int64_t n, char *to, int64_t to_step, const char *from, int64_t from_step,
                      double alpha);

/* In place: no other input may share memory with the elements that are written. */
bool ag__check_apart(const ag_run *r, const ag_variable *other);

/* Counting through the index's sizes in row-major order: where element (i0, i1, ...) lies in one tensor, along dim left
 * out, and in another. What has no dimensions is one element, in the same place for all. */
typedef struct ag__beside {
    int ndim;
    const int64_t *size;
    int64_t index[AG_MAX_DIMS], step[2][AG_MAX_DIMS], place[2]; /* in bytes */
} ag__beside;
void ag__beside_begin(ag__beside *b, const ag_tensor *index, int dim, const ag_tensor *whole, const ag_tensor *part);
static inline void ag__beside_next(ag__beside *b)
{
    for (int d = b->ndim - 1; d >= 0; d--) {
        bool inside = ++b->index[d] < b->size[d];
        for (int k = 0; k < 2; k++) b->place[k] += inside ? b->step[k][d] : -(b->size[d] - 1) * b->step[k][d];
        if (inside) return;
        b->index[d] = 0;
    }
}

/* The dimension with its number counted from the start, where ag__wrap_dim has been content with it. */
static inline int ag__from_start(int64_t dim, int ndim) { return (int)(dim < 0 ? dim + (ndim ? ndim : 1) : dim); }

#endif
