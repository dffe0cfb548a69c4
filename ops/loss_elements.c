/* loss_elements.c - losses of one element and its target: a number for each, then their mean or sum. See loss.h. */
#include "ops/binary.h"
#include "ops/check.h"
#include "ops/loss_reduced.h"
#include "ops/pointwise_rows.h"

#include <argent/loss.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>

#include <string.h>

/* Input and target go through a row with one number. */
static ag_variable *by_row(const ag_op *op, ag_variable *input, ag_variable *target, double number)
{
    const struct {
        ag_variable *input, *target;
        double number;
    } args = { input, target, number };
    ag_variable *y;
    return ag__pointwise_apply(op, &args, false, &y, __builtin_return_address(0)) ? y : NULL;
}
static bool check_floating(const ag_op *op, const void *args, const char *kernel, const ag_variable *x,
                           const ag_variable *y)
{
    ag_dtype dtype = ag_promote_types(ag_dtype_of(x), ag_dtype_of(y));
    return ag__is_floating(dtype) ||
           ag__fail_call(op, args, "\"%s\" not implemented for '%s'", kernel, ag__scalar_type(dtype));
}

/* ---- smooth_l1_loss, huber_loss ---- */

static bool smooth_l1_loss_compose(const void *args, ag_variable **out);
AG_OP(smooth_l1_loss, .compose = smooth_l1_loss_compose)
static bool smooth_l1_loss_compose(const void *args, ag_variable **out)
{
    const struct ag_smooth_l1_loss_args *a = args;
    const ag_op *op = ag__op_smooth_l1_loss();
    ag_reduction reduction;
    if (!ag__check_reduction(op, a, a->reduction, &reduction)) return false;
    if (!(a->beta >= 0)) return ag__fail_call(op, a, "smooth_l1_loss does not support negative values for beta.");
    if (a->beta == 0) return (out[0] = ag_l1_loss(a->input, a->target, .reduction = a->reduction)) != NULL;
    if (!check_floating(op, a, "smooth_l1_cpu", a->input, a->target)) return false;
    return (out[0] = ag__reduced(by_row(ag__op_smooth_l1(), a->input, a->target, a->beta), reduction)) != NULL;
}

static bool huber_loss_compose(const void *args, ag_variable **out);
AG_OP(huber_loss, .compose = huber_loss_compose)
static bool huber_loss_compose(const void *args, ag_variable **out)
{
    const struct ag_huber_loss_args *a = args;
    const ag_op *op = ag__op_huber_loss();
    ag_reduction reduction;
    if (!ag__check_reduction(op, a, a->reduction, &reduction)) return false;
    if (!(a->delta > 0)) return ag__fail_call(op, a, "huber_loss does not support non-positive values for delta.");
    if (!check_floating(op, a, "huber_cpu", a->input, a->target)) return false;
    return (out[0] = ag__reduced(by_row(ag__op_huber(), a->input, a->target, a->delta), reduction)) != NULL;
}

/* ---- binary_cross_entropy ---- */

static bool is_probability(ag_variable *x)
{
    if (ag__device(x).type != AG_DEVICE_CPU) return true; /* the kernel looks: nobody waits to know */
    ag_mode mode = ag_grad_mode_begin(false);
    ag_variable *inside = ag_all(ag_logical_and(ag_ge(x, ag_scalar(0)), ag_le(x, ag_scalar(1))));
    ag_grad_mode_end(&mode);
    return inside && ag_item(inside) != 0;
}
/* The node is the row's, but for the gradient's own gradient, into which PyTorch puts small numbers against a division
 * by zero. */
#define AG_ARGS__cross_entropy_of_two(must, may) must(Tensor, input) must(Tensor, target)
static bool of_two_shape(ag_run *r)
{
    if (r->device.type != AG_DEVICE_CPU) return ag__binary_result(r, r->op->of, ag_dtype_of(r->in[0]));
    ag_mode mode = ag_grad_mode_begin(false);
    r->out[0] = by_row(ag__op_cross_entropy_of_two(), r->in[0], r->in[1], 0);
    ag_grad_mode_end(&mode);
    return r->out[0] != NULL;
}
static bool of_two_cpu(ag_run *r) { return r->out[0] != NULL; }
static bool of_two_device(ag_run *r) { return ag__binary_on_device(r, ag_dtype_of(r->in[0]), AG_CROSS_ENTROPY_OF_TWO); }
static void of_two_backward(ag_gradients *b)
{
    ag_variable *x = b->in[0], *g = b->g[0];
    const struct {
        ag_variable *grad, *input, *target;
    } args = { g, x, b->in[1] };
    if (b->wanted[0])
        ag__pointwise_apply(ag__op_cross_entropy_slope(), &args, false, &b->grad[0], __builtin_return_address(0));
    if (b->wanted[1]) b->grad[1] = ag_mul(g, ag_sub(ag_log(ag_rsub(x, ag_scalar(1))), ag_log(x)));
}
ag_variable *ag__cross_entropy_of_two(ag_variable *input, ag_variable *target);
AG_OP_PLAIN(_cross_entropy_of_two, .of = "binary_cross_entropy", .node = "BinaryCrossEntropyBackward0",
            .shape = of_two_shape, .kernel = { of_two_cpu, of_two_device }, .backward = of_two_backward,
            .keeps = { AG_KEEP_IN(0) | AG_KEEP_IN(1), AG_KEEP_IN(0) })

static bool binary_cross_entropy_compose(const void *args, ag_variable **out);
AG_OP(binary_cross_entropy, .compose = binary_cross_entropy_compose)
static bool binary_cross_entropy_compose(const void *args, ag_variable **out)
{
    const struct ag_binary_cross_entropy_args *a = args;
    const ag_op *op = ag__op_binary_cross_entropy();
    const ag_tensor *x = &a->input->tensor, *t = &a->target->tensor;
    char is[AG_TEXT], wants[AG_TEXT];
    ag_reduction reduction;
    if (!ag__check_reduction(op, a, a->reduction, &reduction)) return false;
    if (!ag__same_sizes(x, t))
        return ag__fail_call(op, a,
                             "Using a target size (torch.Size(%s)) that is different to the input size "
                             "(torch.Size(%s)) is deprecated. Please ensure they have the same size.",
                             ag__shape_text(t->ndim, t->size, is, sizeof is),
                             ag__shape_text(x->ndim, x->size, wants, sizeof wants));
    if (x->dtype != t->dtype)
        return ag__fail_call(op, a, "Found dtype %s but expected %s", ag__scalar_type((ag_dtype)t->dtype),
                             ag__scalar_type((ag_dtype)x->dtype));
    if (!check_floating(op, a, "binary_cross_entropy", a->input, a->input)) return false;
    if (a->weight != AG_NONE && !ag__check_expands(op, a, &a->weight->tensor, x->ndim, x->size)) return false;
    if (!is_probability(a->input)) return ag__fail_call(op, a, "all elements of input should be between 0 and 1");
    ag_variable *y = ag__cross_entropy_of_two(a->input, a->target);
    if (a->weight != AG_NONE) y = ag_mul(y, a->weight);
    return (out[0] = ag__reduced(y, reduction)) != NULL;
}

/* Of logits x: (1 - t) x - (1 + (pos_weight - 1) t) ln sigmoid(x), where nothing overflows. */
static bool binary_cross_entropy_with_logits_compose(const void *args, ag_variable **out);
AG_OP(binary_cross_entropy_with_logits, .compose = binary_cross_entropy_with_logits_compose)
static bool binary_cross_entropy_with_logits_compose(const void *args, ag_variable **out)
{
    const struct ag_binary_cross_entropy_with_logits_args *a = args;
    const ag_op *op = ag__op_binary_cross_entropy_with_logits();
    const ag_tensor *x = &a->input->tensor, *t = &a->target->tensor;
    char is[AG_TEXT], wants[AG_TEXT];
    ag_reduction reduction;
    if (!ag__check_reduction(op, a, a->reduction, &reduction)) return false;
    if (!ag__same_sizes(x, t))
        return ag__fail_call(op, a, "Target size (torch.Size(%s)) must be the same as input size (torch.Size(%s))",
                             ag__shape_text(t->ndim, t->size, is, sizeof is),
                             ag__shape_text(x->ndim, x->size, wants, sizeof wants));
    if (!ag_is_floating_point(a->target))
        return ag__fail_call(op, a, "result type Float can't be cast to the desired output type %s",
                             ag__scalar_type((ag_dtype)t->dtype));
    ag_variable *log_p = ag_logsigmoid(a->input);
    if (a->pos_weight != AG_NONE)
        log_p = ag_mul(ag_add(ag_mul(ag_sub(a->pos_weight, ag_scalar(1)), a->target), ag_scalar(1)), log_p);
    ag_variable *y = ag_sub(ag_mul(ag_rsub(a->target, ag_scalar(1)), a->input), log_p);
    if (a->weight != AG_NONE) y = ag_mul(y, a->weight);
    return (out[0] = ag__reduced(y, reduction)) != NULL;
}

/* ---- kl_div ---- */

static bool kl_div_compose(const void *args, ag_variable **out);
AG_OP(kl_div, .compose = kl_div_compose)
static bool kl_div_compose(const void *args, ag_variable **out)
{
    const struct ag_kl_div_args *a = args;
    bool by_batch = a->reduction && !strcmp(a->reduction, "batchmean");
    ag_reduction reduction = AG_REDUCE_SUM;
    if (!by_batch && !ag__check_reduction(ag__op_kl_div(), a, a->reduction, &reduction)) return false;
    ag_variable *x = a->input, *t = a->target;
    ag_variable *y = a->log_target ? ag_mul(ag_exp(t), ag_sub(t, x)) : ag_sub(ag_xlogy(t, t), ag_mul(t, x));
    y = ag__reduced(y, reduction);
    if (by_batch && x->tensor.ndim) y = ag_div(y, ag_scalar(x->tensor.size[0]));
    return (out[0] = y) != NULL;
}

/* ---- soft_margin_loss: ln(1 + exp(-target input)) ---- */

static bool soft_margin_loss_compose(const void *args, ag_variable **out);
AG_OP(soft_margin_loss, .compose = soft_margin_loss_compose)
static bool soft_margin_loss_compose(const void *args, ag_variable **out)
{
    const struct ag_soft_margin_loss_args *a = args;
    ag_reduction reduction;
    if (!ag__check_reduction(ag__op_soft_margin_loss(), a, a->reduction, &reduction)) return false;
    ag_variable *y = ag_log1p(ag_exp(ag_mul(ag_neg(a->target), a->input)));
    return (out[0] = ag__reduced(y, reduction)) != NULL;
}
