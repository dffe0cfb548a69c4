/* dropout.h - numbers or whole channels zeroed by chance during training. */
#ifndef ARGENT_DROPOUT_H
#define ARGENT_DROPOUT_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* y = x * m / (1 - p), m drawn for each element: 0 with probability p, else 1. Without .training, and for p = 0,
 * nothing is drawn and x itself comes back; for p = 1 nothing is drawn and y is x * 0. .inplace changes x. The draws
 * are PyTorch's for the same seed. float32, float64. Errors: AG_EINVAL (p beyond 0..1, a type that is not floating). */
#define AG_ARGS_dropout(must, may) \
    must(Tensor, input) may(Float, p, 0.5) may(Bool, training, true) may(Bool, inplace, false)
#define ag_dropout(...) AG_CALL(dropout, __VA_ARGS__)
AG_DECLARE(dropout)

/* The same with one draw a channel: x is (N,C,H,W), or (N,C,L), m is (N,C,1,1). */
#define AG_ARGS_dropout2d(must, may) \
    must(Tensor, input) may(Float, p, 0.5) may(Bool, training, true) may(Bool, inplace, false)
#define ag_dropout2d(...) AG_CALL(dropout2d, __VA_ARGS__)
AG_DECLARE(dropout2d)

AG_END_DECLS
#endif
