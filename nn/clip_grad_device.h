/* clip_grad_device.h - gradients that are on one device, all at once. */
#ifndef AG_CLIP_GRAD_DEVICE_H
#define AG_CLIP_GRAD_DEVICE_H
#include "autograd/node.h"

/* Whether that can be done with the gradients of these: of one device and type, without gaps or a history. */
bool ag__clips_on_device(ag_list parameters, double norm_type);
/* float64: its sum is that of all their squares. NULL with an error. */
ag_variable *ag__squares_on_device(Thread *t, ag_list parameters);
/* Each becomes itself times factor, one number of their type in device memory. */
bool ag__scale_on_device(ag_list parameters, const ag_variable *factor);

#endif
