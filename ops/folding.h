/* folding.h - a reduction as a device is asked for it. (The CPU has functions of its own: cpu/reduce.h, reduce_rows.h.)
 */
#ifndef AG_FOLDING_H
#define AG_FOLDING_H
#include "autograd/op.h"
#include "ops/cpu/reduce.h"

/* x over the dimensions in mask into y: contiguous, of the total's type (ag__fold_dtype), bool for any and all. */
typedef struct ag__folding {
    ag__fold fold;
    const ag_tensor *x;
    uint32_t mask;
    const ag_tensor *y;     /* NULL: only the index is wanted */
    const ag_tensor *index; /* int64: where the greatest or least is; or NULL */
    double option;          /* a variance's correction, a norm's order */
    bool root;              /* of the variance */
} ag__folding;

/* On the device of r, which is not the CPU. */
bool ag__fold_there(const ag_run *r, const ag__folding *f);

#endif
