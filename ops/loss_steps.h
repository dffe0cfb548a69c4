/* loss_steps.h - the steps of nll_loss and cross_entropy: what their kernels on other devices are given. */
#ifndef AG_LOSS_STEPS_H
#define AG_LOSS_STEPS_H
#include "autograd/op.h"

#include <argent/loss.h>

/* The gradient: -weight g / total where the targets are, zero elsewhere. */
#define AG_ARGS__nll_loss_backward(must, may)                                                  \
    must(Tensor, grad_output) must(Tensor, target) must(Tensor, total) must(Shape, input_size) \
        may(Tensor, weight, AG_NONE) may(Int, ignore_index, -100) may(Str, reduction, "mean")
AG_STRUCT(_nll_loss_backward, AG_ARGS__nll_loss_backward)
const ag_op *ag__op__nll_loss_backward(void);

/* The same in a backward: output 1 is the total, input 0 what the gradient is of. weight: NULL where there is none. */
ag_variable *ag__nll_gradient(const ag_gradients *b, ag_variable *target, ag_variable *weight, int64_t ignore_index,
                              const char *reduction);

/* In shape(): checks the arguments of nll_loss, and makes the loss and, hidden, what the sum is divided by. */
bool ag__nll_shape(ag_run *r);

/* cross_entropy of targets that are classes, in one step: cross_entropy.c. Outputs: the loss; hidden, what the sum is
 * divided by, and log_softmax(input) where a gradient is wanted. */
#define AG_ARGS__cross_entropy_data(must, may) AG_ARGS_nll_loss(must, may)
#define AG_ARGS__cross_entropy_grad(must, may)                                             \
    must(Tensor, grad_output) must(Tensor, log_p) must(Tensor, target) must(Tensor, total) \
        may(Tensor, weight, AG_NONE) may(Int, ignore_index, -100) may(Str, reduction, "mean")
AG_STRUCT(_cross_entropy_data, AG_ARGS__cross_entropy_data)
AG_STRUCT(_cross_entropy_grad, AG_ARGS__cross_entropy_grad)
/* Whether it can be: on devices. */
bool ag__cross_entropy_is_one_step(const struct ag_cross_entropy_args *a);
bool ag__cross_entropy_in_one_step(const struct ag_cross_entropy_args *a, ag_variable **out);

#endif
