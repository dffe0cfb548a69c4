/* layers.h - the modules of torch.nn.
 *
 * Options go by position or by name, as everywhere; what is left out has PyTorch's default. Parameters are drawn when
 * the module is made, weight before bias, with PyTorch's default initialisation: after ag_manual_seed(s) they are
 * those of torch.manual_seed(s), bit for bit.
 */
#ifndef ARGENT_LAYERS_H
#define ARGENT_LAYERS_H
#include <argent/containers.h>

AG_BEGIN_DECLS

/* y = x weight^T + bias: (*, in_features) -> (*, out_features). weight (out, in), bias (out) */
#define AG_ARGS_nn_linear(must, may)                                                                        \
    must(Int, in_features) must(Int, out_features) may(Bool, bias, true) may(Device, device, AG_ANY_DEVICE) \
        may(Dtype, dtype, AG_DTYPE_DEFAULT)
#define ag_nn_linear(...) AG_CALL(nn_linear, __VA_ARGS__)
AG_DECLARE_AS(nn_linear, ag_module *)

/* (N, in_channels, H, W) -> (N, out_channels, H', W') with
 *
 *     H' = (H + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1
 *
 * weight (out_channels, in_channels / groups, kernel height, kernel width), bias (out_channels). Sizes are a number
 * or AG_SIZE(h, w). */
#define AG_ARGS_nn_conv2d(must, may)                                                                                  \
    must(Int, in_channels) must(Int, out_channels) must(Size, kernel_size) may(Size, stride, 1) may(Size, padding, 0) \
        may(Size, dilation, 1) may(Int, groups, 1) may(Bool, bias, true) may(Device, device, AG_ANY_DEVICE)           \
            may(Dtype, dtype, AG_DTYPE_DEFAULT)
#define ag_nn_conv2d(...) AG_CALL(nn_conv2d, __VA_ARGS__)
AG_DECLARE_AS(nn_conv2d, ag_module *)

/* The greatest number of each window. stride left out (0): kernel_size. */
#define AG_ARGS_nn_max_pool2d(must, may)                                                      \
    must(Size, kernel_size) may(Size, stride, 0) may(Size, padding, 0) may(Size, dilation, 1) \
        may(Bool, ceil_mode, false)
#define ag_nn_max_pool2d(...) AG_CALL(nn_max_pool2d, __VA_ARGS__)
AG_DECLARE_AS(nn_max_pool2d, ag_module *)

/* While training: each element (dropout2d: each channel of each sample) becomes 0 with probability p, the others are
 * divided by 1 - p. In eval mode: x itself. */
#define AG_ARGS_nn_dropout(must, may)   may(Float, p, 0.5) may(Bool, inplace, false)
#define AG_ARGS_nn_dropout2d(must, may) AG_ARGS_nn_dropout(must, may)
#define ag_nn_dropout(...)              AG_CALL(nn_dropout, __VA_ARGS__)
#define ag_nn_dropout2d(...)            AG_CALL(nn_dropout2d, __VA_ARGS__)
AG_DECLARE_AS(nn_dropout, ag_module *)
AG_DECLARE_AS(nn_dropout2d, ag_module *)

/* max(x, 0), on x itself with .inplace = true. */
#define AG_ARGS_nn_relu(must, may) may(Bool, inplace, false)
#define ag_nn_relu(...)            AG_CALL(nn_relu, __VA_ARGS__)
AG_DECLARE_AS(nn_relu, ag_module *)

/* (N, C, H, W) -> (N, C H W): dimensions start_dim to end_dim become one. */
#define AG_ARGS_nn_flatten(must, may) may(Int, start_dim, 1) may(Int, end_dim, -1)
#define ag_nn_flatten(...)            AG_CALL(nn_flatten, __VA_ARGS__)
AG_DECLARE_AS(nn_flatten, ag_module *)

/* exp(x) / sum(exp(x)) along dim, and its logarithm. */
#define AG_ARGS_nn_softmax(must, may)     must(Int, dim)
#define AG_ARGS_nn_log_softmax(must, may) AG_ARGS_nn_softmax(must, may)
#define ag_nn_softmax(...)                AG_CALL(nn_softmax, __VA_ARGS__)
#define ag_nn_log_softmax(...)            AG_CALL(nn_log_softmax, __VA_ARGS__)
AG_DECLARE_AS(nn_softmax, ag_module *)
AG_DECLARE_AS(nn_log_softmax, ag_module *)

AG_API ag_module *ag_nn_sigmoid(void);  /* 1 / (1 + exp(-x)) */
AG_API ag_module *ag_nn_tanh(void);     /* (exp(x) - exp(-x)) / (exp(x) + exp(-x)) */
AG_API ag_module *ag_nn_identity(void); /* x itself */

AG_END_DECLS
#endif
