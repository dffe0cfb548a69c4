/* softmax_steps.h - the steps of softmax and log_softmax: what their kernels on other devices are given. */
#ifndef AG_SOFTMAX_STEPS_H
#define AG_SOFTMAX_STEPS_H
#include <argent/variable.h>

#define AG_ARGS__softmax_data(must, may)     must(Tensor, input) must(Int, dim)
#define AG_ARGS__log_softmax_data(must, may) AG_ARGS__softmax_data(must, may)
#define AG_ARGS__softmax_grad(must, may)     must(Tensor, grad_output) must(Tensor, output) must(Int, dim)
#define AG_ARGS__log_softmax_grad(must, may) AG_ARGS__softmax_grad(must, may)

#endif
