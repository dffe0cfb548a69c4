/* conv2d_product.h - convolution with a kernel of one position, neither stride nor padding: a product of matrices. */
#ifndef AG_CONV2D_PRODUCT_H
#define AG_CONV2D_PRODUCT_H
#include "ops/cpu/conv2d.h"

/* Whether it is such a convolution, of tensors (the input or its gradient, the output or its gradient) whose planes are
 * rows of a matrix. */
bool ag__conv2d_is_product(const ag__conv2d_shape *shape, const int64_t *input_stride, const int64_t *output_stride);
/* Likewise of the weight's gradient, and whether it is worth while: the planes are long. */
bool ag__conv2d_is_long_product(const ag__conv2d_shape *shape, const int64_t *input_stride,
                                const int64_t *output_stride);

bool ag__conv2d_product_forward(const ag__conv2d_shape *shape, ag__conv2d_in input, ag__conv2d_in weight,
                                const void *bias, int64_t bias_stride, ag__conv2d_out output);
bool ag__conv2d_product_input_gradient(const ag__conv2d_shape *shape, ag__conv2d_in output_gradient,
                                       ag__conv2d_in weight, ag__conv2d_out input_gradient);
bool ag__conv2d_product_weight_gradient(const ag__conv2d_shape *shape, ag__conv2d_in input,
                                        ag__conv2d_in output_gradient, bool more, ag__conv2d_out weight_gradient);

#endif
