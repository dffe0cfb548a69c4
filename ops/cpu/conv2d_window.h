/* conv2d_window.h - the other way to the weight's gradient, for ag__conv2d_weight_gradient. */
#ifndef AG_CONV2D_WINDOW_H
#define AG_CONV2D_WINDOW_H
#include "ops/cpu/conv2d.h"

/* Whether it is worth while: the gradient's columns lie side by side, the rows of a window fill registers. */
bool ag__conv2d_windows_suit(const ag__conv2d_shape *shape, ag__conv2d_in input, ag__conv2d_in output_gradient);
bool ag__conv2d_weight_gradient_by_windows(const ag__conv2d_shape *shape, ag__conv2d_in input,
                                           ag__conv2d_in output_gradient, ag__conv2d_out weight_gradient);

#endif
