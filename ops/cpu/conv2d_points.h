/* conv2d_points.h - convolutions of one kernel position that step over pixels: those that are met are gathered, and the
 * rest is a product of matrices (conv2d_product.h). */
#ifndef AG_CONV2D_POINTS_H
#define AG_CONV2D_POINTS_H
#include "ops/cpu/conv2d.h"

/* For a contiguous or batch-last output (or gradient of it), channels last included. */
bool ag__conv2d_are_points(const ag__conv2d_shape *shape, const int64_t *output_stride);

/* As conv2d.h says. */
bool ag__conv2d_points_forward(const ag__conv2d_shape *shape, ag__conv2d_in input, ag__conv2d_in weight,
                               const void *bias, int64_t bias_stride, ag__conv2d_out output);
bool ag__conv2d_points_input_gradient(const ag__conv2d_shape *shape, ag__conv2d_in output_gradient,
                                      ag__conv2d_in weight, ag__conv2d_out input_gradient);
bool ag__conv2d_points_weight_gradient(const ag__conv2d_shape *shape, ag__conv2d_in input,
                                       ag__conv2d_in output_gradient, ag__conv2d_out weight_gradient);

#endif
