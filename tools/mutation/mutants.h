/* mutants.h - what tools/mutate puts into the scratch copy of the library: calls that leave a value as it is, but for
 * the one whose number is AG_MUTANT.
 *
 * AG_MUTANT_SEEN names a file with a byte for each mutant: 1 where its place was reached, 3 where it would have made a
 * difference (the value is floating; the one that would stand in its place is there, of the same shape and type). */
#ifndef AG_MUTANTS_H
#define AG_MUTANTS_H
#include "autograd/op.h"
#include "mutants_kernel.h"

/* n: -x; n + 1: 2 x */
ag_variable *ag__mutant_scale(int n, ag_variable *x);
/* Zeros like x. */
ag_variable *ag__mutant_drop(int n, ag_variable *x);
/* The other one, if it is like x. */
ag_variable *ag__mutant_swap(int n, ag_variable *x, ag_variable *other);
/* What backward has of an input or an output; NULL where there is none. */
ag_variable *ag__mutant_in(const ag_gradients *b, int i);
ag_variable *ag__mutant_out(const ag_gradients *b, int k);
/* What the op keeps, and what the mutant wants of it. */
uint32_t ag__mutant_keeps(const ag_op *op, uint32_t keeps);
/* A derivative of a row, or the one that stands in its place; is_read: it is about to be computed. */
int ag__mutant_expression(int expression, bool is_read);

#endif
