/* conv.h - convolution in two dimensions, and its gradients as ops of their own. */
#ifndef ARGENT_CONV_H
#define ARGENT_CONV_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* y[n,o,i,j] = bias[o] + sum over c,a,b of weight[o,c,a,b] x[n, g C/groups + c, h, w] with
 *
 *     h = i stride - padding + a dilation    w = j stride - padding + b dilation
 *
 * where g is the group of channel o and x counts as 0 outside:
 *
 *     input (N,C,H,W) or (C,H,W), weight (O, C/groups, KH, KW), bias (O) -> (N,O,OH,OW) or (O,OH,OW)
 *     OH = (H + 2 padding - dilation (KH - 1) - 1) / stride + 1
 *
 * stride, padding, dilation: a number, or AG_SIZE(height, width). padding may be AG_PADDING_SAME ("same"): with stride
 * 1 the output has the input's height and width; where they cannot be equal, there is one row more of zeros below (one
 * column on the right). All of one type; integers wrap and have no gradient.
 * A batch-last input gives a batch-last output, others give a row-major one. Errors: AG_EINVAL where channels, sizes,
 * types or options do not fit. */
#define AG_ARGS_conv2d(must, may)                                                                                  \
    must(Tensor, input) must(Tensor, weight) may(Tensor, bias, AG_NONE) may(Size, stride, 1) may(Size, padding, 0) \
        may(Size, dilation, 1) may(Int, groups, 1)
#define ag_conv2d(...) AG_CALL(conv2d, __VA_ARGS__)
AG_DECLARE(conv2d)

/* The gradient of conv2d's input: grad_output (N,O,OH,OW), weight -> input_size. torch.nn.grad.conv2d_input. */
#define AG_ARGS_nn_grad_conv2d_input(must, may)                                                                       \
    must(Shape, input_size) must(Tensor, weight) must(Tensor, grad_output) may(Size, stride, 1) may(Size, padding, 0) \
        may(Size, dilation, 1) may(Int, groups, 1)
#define ag_nn_grad_conv2d_input(...) AG_CALL(nn_grad_conv2d_input, __VA_ARGS__)
AG_DECLARE(nn_grad_conv2d_input)

/* The gradient of conv2d's weight: input, grad_output (N,O,OH,OW) -> weight_size. torch.nn.grad.conv2d_weight. */
#define AG_ARGS_nn_grad_conv2d_weight(must, may)                                                                      \
    must(Tensor, input) must(Shape, weight_size) must(Tensor, grad_output) may(Size, stride, 1) may(Size, padding, 0) \
        may(Size, dilation, 1) may(Int, groups, 1)
#define ag_nn_grad_conv2d_weight(...) AG_CALL(nn_grad_conv2d_weight, __VA_ARGS__)
AG_DECLARE(nn_grad_conv2d_weight)

AG_END_DECLS
#endif
