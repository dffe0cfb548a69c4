/* criterion.h - losses as modules. A loss has two inputs, so it is called by ag_criterion:
 *
 *     Module *loss_function = ag_nn_cross_entropy_loss();
 *     Variable *loss = ag_criterion(loss_function, ag_forward(net, images), labels);
 *
 * reduction: "mean" (default), "sum", or "none" for a number an element. What each computes stands with the op of the
 * same name: ag_cross_entropy, ag_nll_loss, ag_mse_loss.
 */
#ifndef ARGENT_CRITERION_H
#define ARGENT_CRITERION_H
#include <argent/module.h>

AG_BEGIN_DECLS

/* weight: a factor a class, (C); it is a buffer of the module. ignore_index: a target that counts for nothing. */
#define AG_ARGS_nn_cross_entropy_loss(must, may) \
    may(Tensor, weight, AG_NONE) may(Int, ignore_index, -100) may(Str, reduction, "mean") may(Float, label_smoothing, 0)
#define ag_nn_cross_entropy_loss(...) AG_CALL(nn_cross_entropy_loss, __VA_ARGS__)
AG_DECLARE_AS(nn_cross_entropy_loss, ag_module *)

#define AG_ARGS_nn_nll_loss(must, may) \
    may(Tensor, weight, AG_NONE) may(Int, ignore_index, -100) may(Str, reduction, "mean")
#define ag_nn_nll_loss(...) AG_CALL(nn_nll_loss, __VA_ARGS__)
AG_DECLARE_AS(nn_nll_loss, ag_module *)

#define AG_ARGS_nn_mse_loss(must, may) may(Str, reduction, "mean")
#define ag_nn_mse_loss(...)            AG_CALL(nn_mse_loss, __VA_ARGS__)
AG_DECLARE_AS(nn_mse_loss, ag_module *)

AG_END_DECLS
#endif
