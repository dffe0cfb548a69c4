/* cross_entropy.c - cross_entropy in one step, for devices: one launch, and one for the gradient. On the CPU it is
 * log_softmax and nll_loss (loss.c), of which a gradient's gradient is made here, too; and as there the
 * log-probabilities are kept and not the input, which may change. */
#include "ops/check.h"
#include "ops/loss_steps.h"
#include "ops/softmax_steps.h"

#include <argent/pointwise.h>
#include <argent/reduce.h>

/* ---- the gradient's kernel, for walks that build no graph ---- */

static bool grad_shape(ag_run *r)
{
    const ag_tensor *x = &((const struct ag__cross_entropy_grad_args *)r->args)->log_p->tensor;
    return ag__output(r, 0, x->ndim, x->size, (ag_dtype)x->dtype) != NULL;
}
const ag_op *ag__op__cross_entropy_grad(void);
AG_OVERRIDING
AG_RECORD(_cross_entropy_grad, AG_ARGS__cross_entropy_grad, .of = "nll_loss", .shape = grad_shape)
AG_OVERRIDDEN

/* ---- cross_entropy ---- */

static bool data_shape(ag_run *r)
{
    const ag_tensor *x = &r->in[0]->tensor;
    r->out[2] = NULL;
    return ag__nll_shape(r) && (!r->wants_grad || ag__output(r, 2, x->ndim, x->size, (ag_dtype)x->dtype));
}

/* What comes through the loss, and, of second order, through the log-probabilities that the gradient was made of. */
static void data_backward(ag_gradients *b)
{
    const struct ag__cross_entropy_data_args *a = b->args;
    ag_variable *log_p = b->out[2], *of_log_p = b->g[2];
    const int64_t dim = log_p->tensor.ndim > 1;
    if (b->create_graph && b->g[0]) {
        ag_variable *g = ag__nll_gradient(b, a->target, a->weight, a->ignore_index, a->reduction);
        of_log_p = of_log_p ? ag_add(of_log_p, g) : g;
    } else if (b->g[0]) {
        const struct ag__cross_entropy_grad_args args = {
            .grad_output = b->g[0],
            .log_p = log_p,
            .target = a->target,
            .total = b->out[1],
            .weight = a->weight ? a->weight : AG_NONE,
            .ignore_index = a->ignore_index,
            .reduction = a->reduction,
        };
        b->grad[0] = ag__apply1(ag__op__cross_entropy_grad(), &args, NULL);
    }
    if (!of_log_p) return;
    ag_variable *g = ag__log_softmax_gradient(of_log_p, log_p, dim, b->create_graph);
    b->grad[0] = b->grad[0] ? ag_add(b->grad[0], g) : g;
}
const ag_op *ag__op__cross_entropy_data(void);
AG_OVERRIDING
AG_RECORD(_cross_entropy_data, AG_ARGS__cross_entropy_data, .of = "nll_loss", .node = "NllLossBackward0", .n_hidden = 2,
          .non_differentiable = 2, .shape = data_shape, .backward = data_backward,
          .keeps = { AG_KEEP_IN(1) | AG_KEEP_IN(2) | AG_KEEP_OUT(1) | AG_KEEP_OUT(2) })
AG_OVERRIDDEN

bool ag__cross_entropy_is_one_step(const struct ag_cross_entropy_args *a)
{
    return ag__device(a->input).type != AG_DEVICE_CPU && ag_is_floating_point(a->input) &&
           !ag_is_floating_point(a->target) && a->label_smoothing == 0;
}
bool ag__cross_entropy_in_one_step(const struct ag_cross_entropy_args *a, ag_variable **out)
{
    const struct ag__cross_entropy_data_args args = { .input = a->input,
                                                      .target = a->target,
                                                      .weight = a->weight,
                                                      .ignore_index = a->ignore_index,
                                                      .reduction = a->reduction };
    ag_variable *made[AG_MAX_OUTPUTS];
    if (!ag__apply(ag__op__cross_entropy_data(), &args, made, __builtin_return_address(0))) return false;
    out[0] = made[0];
    return true;
}
