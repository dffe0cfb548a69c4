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

/* The losses below are computed element by element; input and target broadcast unless it says otherwise. */

/* d = |input - target|: d^2 / (2 beta) where d < beta, d - beta / 2 beyond. beta 0: l1_loss. */
#define AG_ARGS_smooth_l1_loss(must, may) \
    must(Tensor, input) must(Tensor, target) may(Str, reduction, "mean") may(Float, beta, 1)
#define ag_smooth_l1_loss(...) AG_CALL(smooth_l1_loss, __VA_ARGS__)
AG_DECLARE(smooth_l1_loss)

/* d = |input - target|: d^2 / 2 where d <= delta, delta (d - delta / 2) beyond. */
#define AG_ARGS_huber_loss(must, may) \
    must(Tensor, input) must(Tensor, target) may(Str, reduction, "mean") may(Float, delta, 1)
#define ag_huber_loss(...) AG_CALL(huber_loss, __VA_ARGS__)
AG_DECLARE(huber_loss)

/* -weight (target ln(input) + (1 - target) ln(1 - input)), logarithms not below -100; input from 0 to 1, target of its
 * shape and type. */
#define AG_ARGS_binary_cross_entropy(must, may) \
    must(Tensor, input) must(Tensor, target) may(Tensor, weight, AG_NONE) may(Str, reduction, "mean")
#define ag_binary_cross_entropy(...) AG_CALL(binary_cross_entropy, __VA_ARGS__)
AG_DECLARE(binary_cross_entropy)

/* The same of sigmoid(input), target of input's shape; pos_weight: a factor for the part with target. */
#define AG_ARGS_binary_cross_entropy_with_logits(must, may)                                           \
    must(Tensor, input) must(Tensor, target) may(Tensor, weight, AG_NONE) may(Str, reduction, "mean") \
        may(Tensor, pos_weight, AG_NONE)
#define ag_binary_cross_entropy_with_logits(...) AG_CALL(binary_cross_entropy_with_logits, __VA_ARGS__)
AG_DECLARE(binary_cross_entropy_with_logits)

/* target (ln(target) - input), input a log-probability; log_target: target is one, too. reduction may also be
 * "batchmean": the sum divided by the first dimension. */
#define AG_ARGS_kl_div(must, may) \
    must(Tensor, input) must(Tensor, target) may(Str, reduction, "mean") may(Bool, log_target, false)
#define ag_kl_div(...) AG_CALL(kl_div, __VA_ARGS__)
AG_DECLARE(kl_div)

/* ln(1 + exp(-target input)), target 1 or -1. */
#define AG_ARGS_soft_margin_loss(must, may) must(Tensor, input) must(Tensor, target) may(Str, reduction, "mean")
#define ag_soft_margin_loss(...)            AG_CALL(soft_margin_loss, __VA_ARGS__)
AG_DECLARE(soft_margin_loss)

AG_END_DECLS
#endif
