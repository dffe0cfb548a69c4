/* fresh.h - the layout of a fresh result that is to lie like another. */
#ifndef AG_FRESH_H
#define AG_FRESH_H
#include "autograd/op.h"

/* The strides of a fresh result of x's sizes in this format; AG_PRESERVE_FORMAT keeps x's own if they leave no gaps,
 * else their order. false with a sentence if x cannot have the format. */
bool ag__fresh_strides(const ag_op *op, const void *args, const ag_tensor *x, ag_memory_format format, int64_t *stride);

#endif
