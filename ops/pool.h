/* pool.h - the greatest number of each window that slides over (N,C,H,W) or (C,H,W). */
#ifndef ARGENT_POOL_H
#define ARGENT_POOL_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* y[n,c,i,j] = max over a,b of x[n,c, i stride - padding + a dilation, j stride - padding + b dilation]
 *
 *     OH = (H + 2 padding - dilation (KH - 1) - 1) / stride + 1
 *
 * rounded up with .ceil_mode (a window must begin inside). kernel_size, stride, padding, dilation: a number, or
 * AG_SIZE(height, width); a stride of 0 (left out) is kernel_size. The gradient goes to the element that was taken: the
 * first of equal ones; a NaN counts as greatest. Any type but bool. A batch-last input gives a batch-last output.
 * Errors: AG_EINVAL where the window does not fit or the padding is more than half of it. */
#define AG_ARGS_max_pool2d(must, may)                                                                             \
    must(Tensor, input) must(Size, kernel_size) may(Size, stride, 0) may(Size, padding, 0) may(Size, dilation, 1) \
        may(Bool, ceil_mode, false)
#define ag_max_pool2d(...) AG_CALL(max_pool2d, __VA_ARGS__)
AG_DECLARE(max_pool2d)

/* The same, with where each number was: int64 indices h * W + w into its plane. */
typedef struct ag_max_pool2d_with_indices_result {
    ag_variable *values, *indices;
} ag_max_pool2d_with_indices_result;
#define AG_ARGS_max_pool2d_with_indices(must, may) AG_ARGS_max_pool2d(must, may)
#define ag_max_pool2d_with_indices(...)            AG_CALL(max_pool2d_with_indices, __VA_ARGS__)
AG_DECLARE_AS(max_pool2d_with_indices, ag_max_pool2d_with_indices_result)

AG_END_DECLS
#endif
