/* overlap.h - changes in place that read the memory they write. */
#ifndef AG_OVERLAP_H
#define AG_OVERLAP_H
#include "tensor/tensor.h"

/* PyTorch's rule: what is written may be an input itself, but share no part of its memory otherwise; false with its
 * sentence. Where one of them has gaps it does not look, and the result is that of going from element to element. */
bool ag__check_overlap(const char *op, const ag_tensor *written, const ag_tensor *read);
/* The same for an op that may not read at all what it writes. */
bool ag__check_no_overlap(const char *op, const ag_tensor *written, const ag_tensor *read);
bool ag__fail_part_overlap(const char *op);
/* Elements are read after others have been written. */
bool ag__needs_order(const ag_tensor *written, const ag_tensor *read);

/* Calls visit for each element of y in the order of y's memory, as PyTorch's loops go: with it and those of the n
 * inputs beside it (spread over y's shape), as tensors of one element. */
typedef bool ag__visit(const ag_tensor *y, const ag_tensor *in, void *user);
bool ag__in_order(const ag_tensor *y, int n, const ag_tensor *const *in, ag__visit *visit, void *user);

#endif
