/* optim.h - optimisers: they change parameters by their gradients.
 *
 *     Optimizer *sgd = ag_optim_sgd(ag_parameters(net), .lr = 0.01, .momentum = 0.9);
 *     for (...) {
 *         ag_optim_zero_grad(sgd);
 *         ag_backward(loss);
 *         ag_optim_step(sgd);
 *     }
 *     ag_optim_free(sgd);
 *
 * Arithmetic, defaults and checks are PyTorch's: with the same parameters and gradients a step has the bits of
 * PyTorch's on the same instruction set. Parameters may be on several devices; their state is where they are
 * (docs/cuda.md).
 */
#ifndef ARGENT_OPTIM_H
#define ARGENT_OPTIM_H
#include <argent/state_dict.h>

AG_BEGIN_DECLS

typedef struct ag_optimizer ag_optimizer;
#ifndef AG_NO_SHORT_NAMES
typedef ag_optimizer Optimizer;
#endif
#define AG_TYPE_Optimizer ag_optimizer *

/* ---- making one ----
 *
 * params: leaves, each once; the optimiser holds them until it is freed, the list may go. NULL with an error: AG_EINVAL
 * ("optimizer got an empty parameter list", "can't optimize a non-leaf Tensor", "Invalid learning rate: -1.0", ...),
 * AG_ENOMEM. */

/* torch.optim.SGD. With g the gradient, negated if maximize, plus weight_decay * p:
 *
 *     b = momentum * b + (1 - dampening) * g         the first time: b = g
 *     p = p - lr * b                                 nesterov: p - lr * (g + momentum * b)
 *
 * Without momentum there is no b, and p = p - lr * g. */
/* clang-format off */
#define AG_ARGS_optim_sgd(must, may) \
    must(Tensors, params)            \
    may(Float, lr, 1e-3)             \
    may(Float, momentum, 0)          \
    may(Float, dampening, 0)         \
    may(Float, weight_decay, 0)      \
    may(Bool, nesterov, false)       \
    may(Bool, maximize, false)
/* clang-format on */
#define ag_optim_sgd(...) AG_CALL(optim_sgd, __VA_ARGS__)
AG_DECLARE_AS(optim_sgd, ag_optimizer *)

/* torch.optim.Adam: ag_optim_adam(params, .lr = 0.01, .betas = { 0.9, 0.99 }). With g as above, and t the number of
 * steps of this parameter:
 *
 *     m = beta1 * m + (1 - beta1) * g
 *     v = beta2 * v + (1 - beta2) * g * g
 *     p = p - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)
 *
 * amsgrad: with the greatest v so far in v's place. */
typedef struct ag_betas {
    double beta1, beta2;
} ag_betas;
#define AG_TYPE_Betas ag_betas
/* clang-format off */
#define AG_ARGS_optim_adam(must, may)  \
    must(Tensors, params)              \
    may(Float, lr, 1e-3)               \
    may(Betas, betas, { 0.9, 0.999 })  \
    may(Float, eps, 1e-8)              \
    may(Float, weight_decay, 0)        \
    may(Bool, amsgrad, false)          \
    may(Bool, maximize, false)
/* clang-format on */
#define ag_optim_adam(...) AG_CALL(optim_adam, __VA_ARGS__)
AG_DECLARE_AS(optim_adam, ag_optimizer *)

AG_API void ag_optim_free(ag_optimizer *optimizer); /* NULL is fine */

/* ---- using it ---- */

/* Changes every parameter that has a gradient; nothing is recorded, and no scope is needed. Either all of them change
 * or, with an error, none. The first step makes the state (momentum and the like), later ones take no memory. */
AG_API bool ag_optim_step(ag_optimizer *optimizer);

/* ag_optim_zero_grad(sgd), or ag_optim_zero_grad(sgd, .set_to_none = false) to fill the gradients with zeros instead of
 * dropping them. */
#define AG_ARGS_optim_zero_grad(must, may) must(Optimizer, optimizer) may(Bool, set_to_none, true)
#define ag_optim_zero_grad(...)            AG_CALL(optim_zero_grad, __VA_ARGS__)
AG_DECLARE_AS(optim_zero_grad, bool)

/* The learning rate, NaN with an error for NULL. For a schedule: set it between steps. */
AG_API double ag_optim_lr(const ag_optimizer *optimizer);
AG_API bool ag_optim_set_lr(ag_optimizer *optimizer, double lr);

/* ---- its state: what a training that is stopped needs to go on as if it had not been ----
 *
 * The names are those of PyTorch's state_dict(), joined by dots. First what a step has made for parameter i of the
 * list, of its shape and type:
 *
 *     SGD     state.i.momentum_buffer
 *     Adam    state.i.step, a float32 without dimensions; state.i.exp_avg  .exp_avg_sq  .max_exp_avg_sq
 *
 * then the arguments, each a float64 without dimensions (0 or 1 for false or true):
 *
 *     SGD     param_groups.0.lr  .momentum  .dampening  .weight_decay  .nesterov  .maximize
 *     Adam    param_groups.0.lr  .betas.0  .betas.1  .eps  .weight_decay  .amsgrad  .maximize
 *
 * and last param_groups.0.params, the numbers of the parameters: int64, [0, 1, ...]. */

/* A dictionary of all that, for ag_save(); the caller frees it. As in PyTorch the Variables in it are the state itself,
 * not copies: later steps change them. NULL with an error. */
AG_API ag_state_dict *ag_optim_state_dict(const ag_optimizer *optimizer);
/* The other way: copies the numbers in, arguments included; a state is converted to its parameter's type. Everything is
 * checked before anything is changed; an error says which name is missing, unknown, or of another shape than this
 * optimiser's parameters ask for. */
AG_API bool ag_optim_load_state_dict(ag_optimizer *optimizer, const ag_state_dict *dict);

/* The same without a dictionary: one after the other,
 *
 *     for (ag_optim_state s = { 0 }; ag_optim_named_state(sgd, &s);) s.name, s.variable
 *
 * false after the last one, or with an error. The name is valid until the next call; the Variables that stand for
 * arguments are made on the way and belong to the scope. */
typedef struct ag_optim_state {
    const char *name;
    ag_variable *variable;
    int64_t next;
    char text[64];
} ag_optim_state;
AG_API bool ag_optim_named_state(const ag_optimizer *optimizer, ag_optim_state *at);
/* names[i] is the name of values.at[i]; in any order. */
AG_API bool ag_optim_load_state(ag_optimizer *optimizer, const char *const *names, ag_list values);

AG_END_DECLS
#endif
