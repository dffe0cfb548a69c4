/* reduce_rows.h - reductions that need no kernel of their own kind: one row of numbers after another. */
#ifndef AG_REDUCE_ROWS_H
#define AG_REDUCE_ROWS_H
#include "autograd/op.h"

/* What a row of n numbers, float or double, comes to; called by several threads at once. */
typedef double ag__row_to_number(const void *row, int64_t n, const void *user);

/* y, contiguous, = what `f32` or `f64` gives of the elements of x along the dimensions in mask, of y's type. */
bool ag__reduce_rows(Thread *t, const ag_tensor *y, const ag_tensor *x, uint32_t mask, ag__row_to_number *f32,
                     ag__row_to_number *f64, const void *user);

/* In shape(): output 0 of such a reduction, of input 0's type. */
bool ag__reduced_output(ag_run *r, const char *op, ag_dims dim, bool keepdim);
/* How many elements of these sizes go into one. */
int64_t ag__reduced_count(ag_shape_list sizes, ag_dims dim);

#endif
