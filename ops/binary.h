/* binary.h - what ops of two Variables that are no rows have in common with rows: broadcasting, types, the in-place
 * form. Inputs 0 and 1 of the call are the two. */
#ifndef AG_BINARY_H
#define AG_BINARY_H
#include "ops/pointwise_rows.h"

/* The type that both promote to. */
ag_dtype ag__binary_type(const ag_run *r);
/* In shape(): output 0, of what is computed in that type, or in place the first input, which it has to fit. name: what
 * sentences call the op. */
bool ag__binary_result(ag_run *r, const char *name, ag_dtype dtype);
/* In kernel(): row(user, { result, a, b }, ...) over all elements, all in that type. */
bool ag__binary_rows(ag_run *r, ag_dtype dtype, ag_row *row, void *user);

#endif
