/* cross_entropy.c - cross_entropy in one step, for devices: the log-probabilities are never written, and the gradient
 * is one launch. On the CPU it is log_softmax and nll_loss (loss.c), which a gradient's gradient is here, too. */
#include "ops/check.h"
#include "ops/loss_steps.h"

#include <argent/pointwise.h>
#include <argent/reduce.h>
#include <argent/softmax.h>

/* ---- the gradient's kernel, for walks that build no graph ---- */

static bool grad_shape(ag_run *r)
{
    const ag_tensor *x = &((const struct ag__cross_entropy_grad_args *)r->args)->input->tensor;
    return ag__output(r, 0, x->ndim, x->size, (ag_dtype)x->dtype) != NULL;
}
const ag_op *ag__op__cross_entropy_grad(void);
AG_OVERRIDING
AG_RECORD(_cross_entropy_grad, AG_ARGS__cross_entropy_grad, .of = "nll_loss", .shape = grad_shape)
AG_OVERRIDDEN

/* ---- cross_entropy ---- */

static bool data_shape(ag_run *r)
{
    const ag_tensor *target = &r->in[1]->tensor;
    return ag__nll_shape(r) && ag__output(r, 2, target->ndim, target->size, AG_FLOAT64);
}

/* The same of other ops, so that it has a history. */
static ag_variable *composed_gradient(ag_gradients *b)
{
    const struct ag__cross_entropy_data_args *a = b->args;
    const int64_t dim = a->input->tensor.ndim > 1;
    ag_variable *p = ag_softmax(a->input, dim);
    ag_variable *g = ag__nll_gradient(b, a->target, a->weight, a->ignore_index, a->reduction);
    return ag_sub(g, ag_mul(p, ag_sum(g, .dim = AG_DIMS(dim), .keepdim = true)));
}
static void data_backward(ag_gradients *b)
{
    const struct ag__cross_entropy_data_args *a = b->args;
    const struct ag__cross_entropy_grad_args args = {
        .grad_output = b->g[0],
        .input = a->input,
        .target = a->target,
        .total = b->out[1],
        .log_sums = b->out[2],
        .weight = a->weight ? a->weight : AG_NONE,
        .ignore_index = a->ignore_index,
        .reduction = a->reduction,
    };
    b->grad[0] = b->create_graph ? composed_gradient(b) : ag__apply1(ag__op__cross_entropy_grad(), &args, NULL);
}
const ag_op *ag__op__cross_entropy_data(void);
AG_OVERRIDING
AG_RECORD(_cross_entropy_data, AG_ARGS__cross_entropy_data, .of = "nll_loss", .node = "NllLossBackward0", .n_hidden = 2,
          .shape = data_shape, .backward = data_backward,
          .keeps = { AG_KEEP_IN(0) | AG_KEEP_IN(1) | AG_KEEP_IN(2) | AG_KEEP_OUT(1) | AG_KEEP_OUT(2) })
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
