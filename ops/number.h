/* number.h - numbers given as arguments, on their way into elements of some type. */
#ifndef AG_NUMBER_H
#define AG_NUMBER_H
#include "autograd/op.h"

/* Whether `value` can become an element of this type; false with PyTorch's sentence where it would overflow. A fraction
 * is cut off; a whole negative number wraps round in an unsigned type. */
bool ag__check_number(const ag_op *op, const void *args, ag_number value, ag_dtype dtype);

#endif
