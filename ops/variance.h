/* variance.h - how far numbers lie apart: variance and standard deviation, norms.
 *
 * dim and keepdim as in reduce.h. Floating types only. Errors: AG_EINVAL with PyTorch's sentences, AG_ENOMEM. Gradients
 * of any order.
 */
#ifndef ARGENT_VARIANCE_H
#define ARGENT_VARIANCE_H
#include <argent/reduce.h>

AG_BEGIN_DECLS

/* sum_i (x_i - mean)^2 / (n - correction), and its root; NaN of too few numbers. correction 0: of all there are, 1: of
 * a sample. */
#define AG_ARGS_var(must, may) \
    must(Tensor, input) may(Dims, dim, AG_ALL) may(Float, correction, 1) may(Bool, keepdim, false)
#define AG_ARGS_std(must, may) AG_ARGS_var(must, may)
#define ag_var(...)            AG_CALL(var, __VA_ARGS__)
#define ag_std(...)            AG_CALL(std, __VA_ARGS__)
AG_DECLARE(var)
AG_DECLARE(std)

/* Both, and the mean. */
typedef struct ag_var_mean_result {
    ag_variable *var, *mean; /* both NULL with an error */
} ag_var_mean_result;
typedef struct ag_std_mean_result {
    ag_variable *std, *mean;
} ag_std_mean_result;
#define AG_ARGS_var_mean(must, may) AG_ARGS_var(must, may)
#define AG_ARGS_std_mean(must, may) AG_ARGS_var(must, may)
#define ag_var_mean(...)            AG_CALL(var_mean, __VA_ARGS__)
#define ag_std_mean(...)            AG_CALL(std_mean, __VA_ARGS__)
AG_DECLARE_AS(var_mean, ag_var_mean_result)
AG_DECLARE_AS(std_mean, ag_std_mean_result)

/* (sum_i |x_i|^ord)^(1/ord). ord 0: how many are not zero; infinite: the greatest |x_i|; -infinite: the least. dtype:
 * what input is converted to first. */
#define AG_ARGS_linalg_vector_norm(must, may)                                               \
    must(Tensor, input) may(Float, ord, 2) may(Dims, dim, AG_ALL) may(Bool, keepdim, false) \
        may(Dtype, dtype, AG_DTYPE_DEFAULT)
#define ag_linalg_vector_norm(...) AG_CALL(linalg_vector_norm, __VA_ARGS__)
AG_DECLARE(linalg_vector_norm)

AG_END_DECLS
#endif
