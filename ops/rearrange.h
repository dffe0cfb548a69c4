/* rearrange.h - copies of a Variable's elements in another order. Dimensions may count from the end.
 *
 * Errors: AG_EINVAL with PyTorch's sentences, AG_ENOMEM. Gradients of any order.
 */
#ifndef ARGENT_REARRANGE_H
#define ARGENT_REARRANGE_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* The dimensions named run backwards: ag_flip(x, AG_SHAPE(0)) has the last row first. */
AG_API ag_variable *ag_flip(ag_variable *input, ag_shape_list dims);
/* Left to right, of two dimensions or more; upside down, of one or more. */
AG_API ag_variable *ag_fliplr(ag_variable *input);
AG_API ag_variable *ag_flipud(ag_variable *input);

/* input side by side with itself: repeats[d] times along dimension d; new dimensions come in front. The second form
 * leaves out the ones in front. */
AG_API ag_variable *ag_repeat(ag_variable *input, ag_shape_list repeats);
AG_API ag_variable *ag_tile(ag_variable *input, ag_shape_list dims);

/* Moved on by shifts[k] along dims[k]; what goes beyond the end comes in at the beginning. Without dims the elements
 * are taken in one row. */
#define AG_ARGS_roll(must, may) must(Tensor, input) must(Shape, shifts) may(Shape, dims, {})
#define ag_roll(...)            AG_CALL(roll, __VA_ARGS__)
AG_DECLARE(roll)

/* input within borders of `value`: pad is how many go before and after the last dimension, then the one before it, and
 * so on; fewer than none cut off. */
#define AG_ARGS_constant_pad_nd(must, may) must(Tensor, input) must(Shape, pad) may(Number, value, 0)
#define ag_constant_pad_nd(...)            AG_CALL(constant_pad_nd, __VA_ARGS__)
AG_DECLARE(constant_pad_nd)

AG_END_DECLS
#endif
