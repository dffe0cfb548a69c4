/* window.h - what convolution and pooling share: a window that slides over the last two dimensions of (N,C,H,W)
 * or (C,H,W). */
#ifndef AG_WINDOW_H
#define AG_WINDOW_H
#include "tensor/tensor.h"

/* The strides of a result of sizes `size` for an input x of as many dimensions: batch-last and channels-last as x,
 * else row-major. */
void ag__window_strides(const ag_tensor *x, const int64_t *size, int64_t *stride);

/* x with four dimensions: (C,H,W) becomes (1,C,H,W). Only geometry and address, nothing is held. */
ag_tensor ag__as_batch(const ag_tensor *x);

/* How many elements a window spans, gaps included; too many to count are as many as no Variable has. */
static inline int64_t ag__window_reach(int64_t kernel, int64_t dilation)
{
    int64_t last;
    bool beyond = __builtin_mul_overflow(kernel - 1, dilation, &last) || last >= INT64_MAX / 4;
    return beyond ? INT64_MAX / 4 : last + 1;
}

#endif
