/* join.h - several Variables in one. Types promote; gradients of any order. */
#ifndef ARGENT_JOIN_H
#define ARGENT_JOIN_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* One after another along a dimension: ag_cat(AG_LIST(a, b), 1). The other sizes must agree; a Variable of shape (0) is
 * passed over. */
#define AG_ARGS_cat(must, may) must(Tensors, tensors) may(Int, dim, 0)
#define ag_cat(...)            AG_CALL(cat, __VA_ARGS__)
AG_DECLARE(cat)

/* Beside each other along a new dimension; all of one shape. */
#define AG_ARGS_stack(must, may) must(Tensors, tensors) may(Int, dim, 0)
#define ag_stack(...)            AG_CALL(stack, __VA_ARGS__)
AG_DECLARE(stack)

AG_END_DECLS
#endif
