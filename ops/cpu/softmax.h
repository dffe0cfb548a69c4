/* softmax.h - softmax and log_softmax over the middle of three dimensions, and their gradients, on the CPU. */
#ifndef AG_SOFTMAX_H
#define AG_SOFTMAX_H
#include <argent/dtype.h>

/* x, y and the gradients are contiguous, (outer, n, inner), of AG_FLOAT32 or AG_FLOAT64; what is written may be what is
 * read.
 *
 *     softmax       y = exp(x - max) / sum(exp(x - max))        dx = y * (dy - sum(dy * y))
 *     log_softmax   y = (x - max) - log(sum(exp(x - max)))      dx = dy - exp(y) * sum(dy)
 *
 * with the greatest element and the sums taken along n. As in PyTorch, a NaN, a +inf, or nothing but -inf makes the
 * whole of n NaN. */
void ag__softmax(ag_dtype dtype, bool is_log, int64_t outer, int64_t n, int64_t inner, const void *x, void *y);
void ag__softmax_backward(ag_dtype dtype, bool is_log, int64_t outer, int64_t n, int64_t inner, const void *dy,
                          const void *y, void *dx);

/* ---- the kernels, one table for each type and instruction set ---- */

/* Rows of n contiguous elements, each by itself; or columns, n rows high, whose rows lie `inner` apart. past_caches: y
 * is large (tensor/past_caches.h), and not x. */
typedef struct {
    void (*rows)(bool is_log, int64_t rows, int64_t n, const void *x, void *y, bool past_caches);
    void (*columns)(bool is_log, int64_t n, int64_t inner, int64_t columns, const void *x, void *y);
    void (*rows_backward)(bool is_log, int64_t rows, int64_t n, const void *dy, const void *y, void *dx);
    void (*columns_backward)(bool is_log, int64_t n, int64_t inner, int64_t columns, const void *dy, const void *y,
                             void *dx);
} ag__softmax_kernels;

#endif
