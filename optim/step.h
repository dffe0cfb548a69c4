/* step.h - one optimiser step of one parameter, all of its arithmetic in one pass over memory.
 *
 * The order of operations, and which of them round once, are those of PyTorch's single-tensor SGD and Adam: where the
 * machine fuses a multiplication and an addition, so does PyTorch in add_(alpha), lerp_ and addcmul_, and so do these
 * loops.
 */
#ifndef AG_STEP_H
#define AG_STEP_H
#include "tensor/tensor.h"

/* Operands: the parameter, its gradient, with momentum its buffer. */
typedef struct ag__sgd_step {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
    bool first; /* the buffer has no content yet */
} ag__sgd_step;

/* Operands: the parameter, its gradient, exp_avg, exp_avg_sq, with amsgrad max_exp_avg_sq. */
typedef struct ag__adam_step {
    double beta1, beta2, eps, weight_decay;
    double step_size;        /* lr / (1 - beta1^t) */
    double correction2_sqrt; /* sqrt(1 - beta2^t) */
    bool amsgrad, maximize;
} ag__adam_step;

/* All operands are of one type; user is the struct above. */
typedef struct ag__step_kernels {
    ag_row *sgd, *adam;
} ag__step_kernels;

#endif
