/* pointwise_types.h - the type that a row computes in. */
#ifndef AG_POINTWISE_TYPES_H
#define AG_POINTWISE_TYPES_H
#include "ops/pointwise_rows.h"

/* From the types of the inputs, as PyTorch: promoted, then what the row says of integers and bool. Options are checked
 * to fit. false with PyTorch's sentence. */
bool ag__row_type(const ag_op *op, const void *args, ag_variable *const *in, const double *options, ag_dtype *dtype);

#endif
