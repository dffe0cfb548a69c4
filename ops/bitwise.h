/* bitwise.h - the bits of integers and bool, element by element; as pointwise.h, without gradients. */
#ifndef ARGENT_BITWISE_H
#define ARGENT_BITWISE_H
#include <argent/variable.h>

AG_BEGIN_DECLS

AG_API ag_variable *ag_bitwise_not(ag_variable *input); /* ~x; of bool: not x */
AG_API ag_variable *ag_bitwise_not_(ag_variable *input);
AG_API ag_variable *ag_bitwise_and(ag_variable *input, ag_variable *other); /* a & b */
AG_API ag_variable *ag_bitwise_and_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_bitwise_or(ag_variable *input, ag_variable *other); /* a | b */
AG_API ag_variable *ag_bitwise_or_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_bitwise_xor(ag_variable *input, ag_variable *other); /* a ^ b */
AG_API ag_variable *ag_bitwise_xor_(ag_variable *input, ag_variable *other);
/* a << b, a >> b (which repeats the sign); not of bool. Where b is negative or not less than the width of the type, all
 * bits are shifted out. */
AG_API ag_variable *ag_bitwise_left_shift(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_bitwise_left_shift_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_bitwise_right_shift(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_bitwise_right_shift_(ag_variable *input, ag_variable *other);

AG_END_DECLS
#endif
