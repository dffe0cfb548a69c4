/* matmul.h - products of matrices and vectors.
 *
 * Operands may lie in any strides (a transposed view costs no copy) and must be of one type: float32, float64, int64,
 * int32 or uint8 (integers wrap). Wrong shapes and types: AG_EINVAL with a sentence. All have gradients of any order.
 */
#ifndef ARGENT_MATMUL_H
#define ARGENT_MATMUL_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* y[i,j] = sum_k input[i,k] mat2[k,j]: (n,k) x (k,m) -> (n,m) */
AG_API ag_variable *ag_mm(ag_variable *input, ag_variable *mat2);
/* y[b] = input[b] mat2[b]: (b,n,k) x (b,k,m) -> (b,n,m) */
AG_API ag_variable *ag_bmm(ag_variable *input, ag_variable *mat2);
/* y[i] = sum_k input[i,k] vec[k]: (n,k) x (k) -> (n) */
AG_API ag_variable *ag_mv(ag_variable *input, ag_variable *vec);
/* sum_k input[k] tensor[k]: (k) x (k) -> () */
AG_API ag_variable *ag_dot(ag_variable *input, ag_variable *tensor);
/* The product that fits the dimensions, as torch.matmul: 1-D operands count as a row (left) or a column (right) and
 * that dimension goes again; beyond two dimensions the last two are matrices and those before them broadcast:
 * (5,1,n,k) x (4,k,m) -> (5,4,n,m). */
AG_API ag_variable *ag_matmul(ag_variable *input, ag_variable *other);

/* y = beta input + alpha mat1 mat2; input repeats to (n,m). With beta = 0 its values do not matter, NaN included.
 * ag_addmm_ changes input, which must be (n,m) itself. */
#define AG_ARGS_addmm(must, may) \
    must(Tensor, input) must(Tensor, mat1) must(Tensor, mat2) may(Float, beta, 1) may(Float, alpha, 1)
#define ag_addmm(...)  AG_CALL(addmm, __VA_ARGS__)
#define ag_addmm_(...) AG_CALL_INPLACE(addmm, __VA_ARGS__)
AG_DECLARE(addmm)
AG_DECLARE_INPLACE(addmm)

/* The same with other products: baddbmm (b,n,m) of batch1 (b,n,k) and batch2 (b,k,m); addbmm (n,m), of the same summed
 * over b; addmv (n) of mat (n,k) and vec (k); addr (n,m) of vec1 (n) and vec2 (m), whose types promote. */
#define AG_ARGS_baddbmm(must, may) \
    must(Tensor, input) must(Tensor, batch1) must(Tensor, batch2) may(Float, beta, 1) may(Float, alpha, 1)
#define AG_ARGS_addbmm(must, may) AG_ARGS_baddbmm(must, may)
#define AG_ARGS_addmv(must, may) \
    must(Tensor, input) must(Tensor, mat) must(Tensor, vec) may(Float, beta, 1) may(Float, alpha, 1)
#define AG_ARGS_addr(must, may) \
    must(Tensor, input) must(Tensor, vec1) must(Tensor, vec2) may(Float, beta, 1) may(Float, alpha, 1)
#define ag_baddbmm(...)  AG_CALL(baddbmm, __VA_ARGS__)
#define ag_baddbmm_(...) AG_CALL_INPLACE(baddbmm, __VA_ARGS__)
#define ag_addbmm(...)   AG_CALL(addbmm, __VA_ARGS__)
#define ag_addbmm_(...)  AG_CALL_INPLACE(addbmm, __VA_ARGS__)
#define ag_addmv(...)    AG_CALL(addmv, __VA_ARGS__)
#define ag_addmv_(...)   AG_CALL_INPLACE(addmv, __VA_ARGS__)
#define ag_addr(...)     AG_CALL(addr, __VA_ARGS__)
#define ag_addr_(...)    AG_CALL_INPLACE(addr, __VA_ARGS__)
AG_DECLARE(baddbmm)
AG_DECLARE(addbmm)
AG_DECLARE(addmv)
AG_DECLARE(addr)
AG_DECLARE_INPLACE(baddbmm)
AG_DECLARE_INPLACE(addbmm)
AG_DECLARE_INPLACE(addmv)
AG_DECLARE_INPLACE(addr)

/* y[i,j] = input[i] vec2[j]; by both names PyTorch has. */
AG_API ag_variable *ag_outer(ag_variable *input, ag_variable *vec2);
AG_API ag_variable *ag_ger(ag_variable *input, ag_variable *vec2);

/* y = input weight^T + bias: input (*, in), weight (out, in), bias (out) -> (*, out) */
#define AG_ARGS_linear(must, may) must(Tensor, input) must(Tensor, weight) may(Tensor, bias, AG_NONE)
#define ag_linear(...)            AG_CALL(linear, __VA_ARGS__)
AG_DECLARE(linear)

AG_END_DECLS
#endif
