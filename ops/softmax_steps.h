/* softmax_steps.h - the steps of softmax and log_softmax: what their kernels on other devices are given. */
#ifndef AG_SOFTMAX_STEPS_H
#define AG_SOFTMAX_STEPS_H
#include <argent/variable.h>

#define AG_ARGS__softmax_data(must, may)     must(Tensor, input) must(Int, dim)
#define AG_ARGS__log_softmax_data(must, may) AG_ARGS__softmax_data(must, may)
#define AG_ARGS__softmax_grad(must, may)     must(Tensor, grad_output) must(Tensor, output) must(Int, dim)
#define AG_ARGS__log_softmax_grad(must, may) AG_ARGS__softmax_grad(must, may)

/* The gradient of log_softmax's input along dim: g - exp(y) sum(g). as_graph: of ops, so that it has a history. */
ag_variable *ag__log_softmax_gradient(ag_variable *g, ag_variable *y, int64_t dim, bool as_graph);

#endif
