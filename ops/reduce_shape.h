/* reduce_shape.h - what reductions share: the shape that is left, and the way back to the full one. */
#ifndef AG_REDUCE_SHAPE_H
#define AG_REDUCE_SHAPE_H
#include "autograd/op.h"

/* x's sizes without the dimensions in mask, or with size 1 there. Returns how many dimensions. */
int ag__reduced_size(const ag_tensor *x, uint32_t mask, bool keepdim, int64_t *size);
/* The dimensions in mask as a Dims argument. mask is not empty. */
ag_dims ag__dims_from_mask(uint32_t mask);
/* y, left of a shape by a reduction over dim, with size 1 again for what went, so that it broadcasts to that shape. */
ag_variable *ag__unreduce(ag_variable *y, ag_shape_list shape, ag_dims dim, bool keepdim);

#endif
