/* scan_steps.h - the step of cumprod's gradient: what its kernel on other devices is given. */
#ifndef AG_SCAN_STEPS_H
#define AG_SCAN_STEPS_H
#include "autograd/op.h"

#include <argent/scan.h>

/* A linear recurrence along dim: y[0] = x[0], y[i] = x[i] + factor[i] y[i - 1]; reverse, from the other end:
 * y[n - 1] = x[n - 1], y[i] = x[i] + factor[i + 1] y[i + 1]. factor[0] is not read. Input and factor are floating, of
 * one type and shape. */
#define AG_ARGS__recurrence(must, may) must(Tensor, input) must(Tensor, factor) must(Int, dim) may(Bool, reverse, false)
AG_STRUCT(_recurrence, AG_ARGS__recurrence)
const ag_op *ag__op__recurrence(void);

#endif
