/* scan.h - running totals along a dimension: y[i] is made of x[0] to x[i].
 *
 * The result has input's shape, row-major. Integers and bool are added up in int64, or in `dtype`, to which input is
 * converted first; a float32 total is carried in double. In place the type is input's, and `dtype` must be that or left
 * out. Gradients of any order.
 *
 * Errors: AG_EINVAL with PyTorch's sentences (dimension out of range, a total in bool), AG_EGRAPH, AG_ENOMEM.
 */
#ifndef ARGENT_SCAN_H
#define ARGENT_SCAN_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* y[i] = x[0] + ... + x[i] along dim. */
#define AG_ARGS_cumsum(must, may) must(Tensor, input) must(Int, dim) may(Dtype, dtype, AG_DTYPE_DEFAULT)
#define ag_cumsum(...)            AG_CALL(cumsum, __VA_ARGS__)
#define ag_cumsum_(...)           AG_CALL_INPLACE(cumsum, __VA_ARGS__)
AG_DECLARE(cumsum)
AG_DECLARE_INPLACE(cumsum)

/* y[i] = x[0] * ... * x[i] along dim. */
#define AG_ARGS_cumprod(must, may) AG_ARGS_cumsum(must, may)
#define ag_cumprod(...)            AG_CALL(cumprod, __VA_ARGS__)
#define ag_cumprod_(...)           AG_CALL_INPLACE(cumprod, __VA_ARGS__)
AG_DECLARE(cumprod)
AG_DECLARE_INPLACE(cumprod)

AG_END_DECLS
#endif
