/* loss.h - how far a prediction is from its target, as a number to be made small.
 *
 * reduction: "mean" (the default), "sum", or "none" (one number a sample). float32, float64. Errors: AG_EINVAL with
 * PyTorch's sentences (shapes that do not fit, a target that is no class, another reduction).
 */
#ifndef ARGENT_LOSS_H
#define ARGENT_LOSS_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* The negative log likelihood: loss_n = -weight[t_n] input[n, t_n], t the target.
 *
 *     input (N,C), (C), or (N,C,d1,...): log-probabilities; target (N), (), or (N,d1,...): int64 or uint8, in 0..C-1
 *     weight (C): a factor a class; targets equal to ignore_index count for nothing
 *
 * The mean is over the weights: sum of losses / sum of weight[t_n]. */
#define AG_ARGS_nll_loss(must, may)                                                                    \
    must(Tensor, input) must(Tensor, target) may(Tensor, weight, AG_NONE) may(Int, ignore_index, -100) \
        may(Str, reduction, "mean")
#define ag_nll_loss(...) AG_CALL(nll_loss, __VA_ARGS__)
AG_DECLARE(nll_loss)

/* nll_loss(log_softmax(input), target): input are logits, of shapes as above. A target of input's own shape and
 * a floating type holds a probability a class instead. label_smoothing e: the target is mixed with an even share for
 * every class, (1 - e) and e. */
#define AG_ARGS_cross_entropy(must, may)                                                               \
    must(Tensor, input) must(Tensor, target) may(Tensor, weight, AG_NONE) may(Int, ignore_index, -100) \
        may(Str, reduction, "mean") may(Float, label_smoothing, 0)
#define ag_cross_entropy(...) AG_CALL(cross_entropy, __VA_ARGS__)
AG_DECLARE(cross_entropy)

/* (input - target)^2, element by element; they broadcast. */
#define AG_ARGS_mse_loss(must, may) must(Tensor, input) must(Tensor, target) may(Str, reduction, "mean")
#define ag_mse_loss(...)            AG_CALL(mse_loss, __VA_ARGS__)
AG_DECLARE(mse_loss)

/* |input - target|, element by element; they broadcast. */
#define AG_ARGS_l1_loss(must, may) must(Tensor, input) must(Tensor, target) may(Str, reduction, "mean")
#define ag_l1_loss(...)            AG_CALL(l1_loss, __VA_ARGS__)
AG_DECLARE(l1_loss)

AG_END_DECLS
#endif
