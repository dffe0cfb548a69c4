/* conv_steps.h - conv2d and the relu of its result in one kernel. */
#ifndef AG_CONV_STEPS_H
#define AG_CONV_STEPS_H
#include "autograd/op.h"

#include <argent/conv.h>

#define AG_ARGS__conv2d_relu(must, may) AG_ARGS_conv2d(must, may)
AG_STRUCT(_conv2d_relu, AG_ARGS__conv2d_relu)

/* Whether it is for this input: then ag__conv2d_relu(a) has the numbers and the history of ag_relu(conv2d(a)), but what
 * stands between the two is seen by nobody. */
bool ag__conv2d_goes_with_relu(const ag_variable *input);
ag_variable *ag__conv2d_relu(const struct ag__conv2d_relu_args *a);

#endif
