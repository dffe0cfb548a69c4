/* triangle.h - the lower and the upper triangle of matrices.
 *
 * The last two dimensions are a matrix's rows and columns, those before them count matrices. Errors: AG_EINVAL with
 * PyTorch's sentences, AG_ENOMEM. Gradients of any order.
 */
#ifndef ARGENT_TRIANGLE_H
#define ARGENT_TRIANGLE_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* input with zeros where column - row > diagonal (tril) or < diagonal (triu): 0 keeps the main diagonal and what is
 * below (above) it. */
#define AG_ARGS_tril(must, may) must(Tensor, input) may(Int, diagonal, 0)
#define AG_ARGS_triu(must, may) AG_ARGS_tril(must, may)
#define ag_tril(...)            AG_CALL(tril, __VA_ARGS__)
#define ag_tril_(...)           AG_CALL_INPLACE(tril, __VA_ARGS__)
#define ag_triu(...)            AG_CALL(triu, __VA_ARGS__)
#define ag_triu_(...)           AG_CALL_INPLACE(triu, __VA_ARGS__)
AG_DECLARE(tril)
AG_DECLARE(triu)
AG_DECLARE_INPLACE(tril)
AG_DECLARE_INPLACE(triu)

AG_END_DECLS
#endif
