/* dropout_device.h - dropout on a device, whose mask is drawn anew wherever it is needed: in backward, too, and in the
 * backward of that. */
#ifndef AG_DROPOUT_DEVICE_H
#define AG_DROPOUT_DEVICE_H
#include "autograd/op.h"

/* input with the mask that begins at that place of the device's generator (device_table.h), its numbers divided by
 * 1 - p. The mask's numbers belong to the elements of a tensor without gaps of these strides. */
#define AG_ARGS__native_dropout(must, may) \
    must(Tensor, input) must(Float, p) must(Int, seed) must(Int, offset) must(Int, state) must(Shape, stride)
AG_STRUCT(_native_dropout, AG_ARGS__native_dropout)

#endif
