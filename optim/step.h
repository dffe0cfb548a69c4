/* step.h - one optimiser step of one parameter, all of its arithmetic in one pass over memory.
 *
 * The order of operations, and which of them round once, are those of PyTorch's single-tensor SGD and Adam: where the
 * machine fuses a multiplication and an addition, so does PyTorch in add_(alpha), lerp_ and addcmul_, and so do these
 * loops.
 */
#ifndef AG_STEP_H
#define AG_STEP_H
#include "tensor/step_table.h"
#include "tensor/tensor.h"

/* Operands of sgd: the parameter, its gradient, with momentum its buffer; of adam: the parameter, its gradient,
 * exp_avg, exp_avg_sq, with amsgrad max_exp_avg_sq. All operands are of one type; user is the struct of
 * tensor/step_table.h. */
typedef struct ag__step_kernels {
    ag_row *sgd, *adam;
} ag__step_kernels;

#endif
