/* clip_grad.h - torch.nn.utils: gradients kept from growing too large, between backward and step.
 *
 *     ag_backward(loss);
 *     ag_nn_utils_clip_grad_norm_(ag_parameters(net), 1.0);
 *     ag_optim_step(sgd);
 */
#ifndef ARGENT_CLIP_GRAD_H
#define ARGENT_CLIP_GRAD_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* With n the norm of all gradients together, each gradient becomes itself times min(1, max_norm / (n + 1e-6)).
 * Parameters without a gradient are passed over. Returns n as it was, without dimensions; 0 where there is no gradient.
 *
 * norm_type p: (sum |g|^p)^(1/p), taken of each gradient and then of those norms. INFINITY: the greatest |g|; 0: how
 * many gradients are not zero. error_if_nonfinite: a norm that is NaN or infinite is an error and changes nothing; else
 * it goes into the gradients. Errors: AG_EINVAL (NULL in the list, a norm that nothing has: INFINITY of no elements),
 * AG_ENOMEM. */
#define AG_ARGS_nn_utils_clip_grad_norm_(must, may) \
    must(Tensors, parameters) must(Float, max_norm) may(Float, norm_type, 2) may(Bool, error_if_nonfinite, false)
#define ag_nn_utils_clip_grad_norm_(...) AG_CALL(nn_utils_clip_grad_norm_, __VA_ARGS__)
AG_DECLARE(nn_utils_clip_grad_norm_)

AG_END_DECLS
#endif
