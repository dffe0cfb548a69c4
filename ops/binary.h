/* binary.h - what ops of two Variables that are no rows have in common with rows: broadcasting, types, the in-place
 * form. Inputs 0 and 1 of the call are the two. */
#ifndef AG_BINARY_H
#define AG_BINARY_H
#include "ops/cpu/divide.h"
#include "ops/pointwise_rows.h"

/* The type that both promote to. */
ag_dtype ag__binary_type(const ag_run *r);
/* In shape(): output 0, of what is computed in that type, or in place the first input, which it has to fit. name: what
 * sentences call the op. */
bool ag__binary_result(ag_run *r, const char *name, ag_dtype dtype);
/* What is known to devices, too. */
typedef struct ag__pair {
    int operation;                /* of ops/cpu/divide.h */
    ag_dtype dtype;               /* computed in */
    double option[3];             /* of what compares: rtol, atol, and whether NaN equals NaN */
    const ag_tensor *out, *a, *b; /* a and b broadcast; one element may be the host's */
} ag__pair;
/* In kernel() on a device: output 0 is operation(input 0, input 1). */
bool ag__binary_on_device(ag_run *r, ag_dtype dtype, int operation);
/* The same for any pair. */
bool ag__combine_on_device(const char *op, ag_device device, const ag__pair *p);

/* In kernel(): row(user, { result, a, b }, ...) over all elements, all in that type. */
bool ag__binary_rows(ag_run *r, ag_dtype dtype, ag_row *row, void *user);

#endif
