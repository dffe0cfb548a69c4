/* pointwise_reference.h - the rows as plain loops, for the tests. */
#ifndef AG_POINTWISE_REFERENCE_H
#define AG_POINTWISE_REFERENCE_H
#include "ops/cpu/pointwise_kernel.h"

extern const ag__pointwise_loops ag__pointwise_reference;

#endif
