/* softmax.h - numbers along one dimension made into probabilities, or their logarithms. */
#ifndef ARGENT_SOFTMAX_H
#define ARGENT_SOFTMAX_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* y_i = exp(x_i) / sum_j exp(x_j) over dimension dim, computed from x - max(x). Same shape; float32, float64;
 * with .dtype the input is converted first. Errors: AG_EINVAL (dim out of range, a type that is not floating). */
#define AG_ARGS_softmax(must, may) must(Tensor, input) must(Int, dim) may(Dtype, dtype, AG_DTYPE_DEFAULT)
#define ag_softmax(...)            AG_CALL(softmax, __VA_ARGS__)
AG_DECLARE(softmax)

/* The same of -x. */
#define AG_ARGS_softmin(must, may) must(Tensor, input) must(Int, dim) may(Dtype, dtype, AG_DTYPE_DEFAULT)
#define ag_softmin(...)            AG_CALL(softmin, __VA_ARGS__)
AG_DECLARE(softmin)

/* y_i = x_i - log(sum_j exp(x_j)): log(softmax), without its loss of digits. */
#define AG_ARGS_log_softmax(must, may) must(Tensor, input) must(Int, dim) may(Dtype, dtype, AG_DTYPE_DEFAULT)
#define ag_log_softmax(...)            AG_CALL(log_softmax, __VA_ARGS__)
AG_DECLARE(log_softmax)

AG_END_DECLS
#endif
