/* cuda_pinned.h - Variables in pinned memory. */
#ifndef AG_CUDA_PINNED_H
#define AG_CUDA_PINNED_H
#include "autograd/node.h"

/* x, on the CPU and seen by nobody yet, gets pinned memory in place of its own. */
bool ag__pin_fresh(Thread *t, ag_variable *x);

#endif
