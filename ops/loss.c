/* loss.c - losses. nll_loss has kernels of its own; it is linear in its input, so the gradient's gradient is nll_loss
 * again. The others are put together from other ops. */
#include "ops/check.h"
#include "ops/loss_reduced.h"
#include "ops/loss_steps.h"

#include <argent/factory.h>
#include <argent/loss.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>
#include <argent/softmax.h>
#include <argent/view.h>

#include <inttypes.h>
#include <string.h>

/* ---- nll_loss ---- */

/* Input (N,C,inner) and target (N,inner), both as plain arrays. */
typedef struct nll {
    int64_t n, classes, inner;
    const ag_tensor *target, *weight; /* int64; of the input's type, or NULL */
    int64_t ignore_index;
} nll;

static inline int64_t target_at(const nll *l, int64_t i) { return ((const int64_t *)(const void *)l->target->data)[i]; }
static inline double weight_of(const nll *l, int64_t c)
{
    if (!l->weight) return 1;
    return l->weight->dtype == AG_FLOAT32 ? (double)((const float *)(const void *)l->weight->data)[c]
                                          : ((const double *)(const void *)l->weight->data)[c];
}
static inline double get(const ag_tensor *x, int64_t i)
{
    return x->dtype == AG_FLOAT32 ? (double)((const float *)(const void *)x->data)[i]
                                  : ((const double *)(const void *)x->data)[i];
}
static inline void put(const ag_tensor *x, int64_t i, double value)
{
    if (x->dtype == AG_FLOAT32)
        ((float *)(void *)x->data)[i] = (float)value;
    else
        ((double *)(void *)x->data)[i] = value;
}

/* Sizes and types; the input's sizes are given apart, since the gradient's kernel has only those. */
static bool check_nll(const ag_run *r, int ndim, const int64_t *size, const ag_variable *target,
                      const ag_variable *weight)
{
    const ag_tensor *t = &target->tensor;
    char is[AG_TEXT], wants[AG_TEXT];
    if (ndim < 1) return ag__fail_call(r->op, r->args, "input tensor should be 1D or 2D");
    if (t->dtype != AG_INT64 && t->dtype != AG_UINT8)
        return ag__fail_call(r->op, r->args, "expected scalar type Long or Byte but found %s",
                             ag__scalar_type((ag_dtype)t->dtype));
    int64_t expected[AG_MAX_DIMS];
    int n = 0;
    for (int d = 0; d < ndim; d++)
        if (d != (ndim > 1)) expected[n++] = size[d];
    bool same = t->ndim == n || (ndim == 1 && t->numel == 1 && t->ndim < 2);
    for (int d = 0; d < n && same; d++) same = t->size[d] == expected[d];
    if (!same)
        return ag__fail_call(r->op, r->args, "Expected target size %s, got %s",
                             ag__shape_text(n, expected, wants, sizeof wants),
                             ag__shape_text(t->ndim, t->size, is, sizeof is));
    int64_t classes = size[ndim > 1];
    if (weight && (weight->tensor.ndim != 1 || weight->tensor.size[0] != classes))
        return ag__fail_call(r->op, r->args,
                             "weight tensor should be defined either for all %" PRId64 " classes or no classes",
                             classes);
    return true;
}

/* The arrays, and every target looked at before anything is written. */
static bool open_nll(ag_run *r, nll *l, int ndim, const int64_t *size, ag_dtype dtype, const ag_variable *target,
                     const ag_variable *weight, int64_t ignore_index)
{
    *l = (nll){ .n = ndim > 1 ? size[0] : 1, .classes = size[ndim > 1], .inner = 1, .ignore_index = ignore_index };
    for (int d = 2; d < ndim; d++) l->inner *= size[d];
    l->target = ag__plain(r->t, target, target->tensor.ndim, target->tensor.size, AG_INT64);
    l->weight = l->target && weight ? ag__plain(r->t, weight, 1, weight->tensor.size, dtype) : NULL;
    if (!l->target || (weight && !l->weight)) return false;
    for (int64_t i = 0; i < l->target->numel; i++) {
        int64_t c = target_at(l, i);
        if (c != ignore_index && (c < 0 || c >= l->classes))
            return ag__fail_call(r->op, r->args, "Target %" PRId64 " is out of bounds.", c);
    }
    return true;
}

bool ag__nll_shape(ag_run *r)
{
    const struct ag_nll_loss_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    ag_reduction reduction;
    if (!ag__check_reduction(r->op, a, a->reduction, &reduction)) return false;
    if (!ag_is_floating_point(a->input))
        return ag__fail_call(r->op, a, "not implemented for '%s'", ag__scalar_type((ag_dtype)x->dtype));
    if (r->in[2] && r->in[2]->tensor.dtype != x->dtype)
        return ag__fail_call(r->op, a, "expected scalar type %s but found %s", ag__scalar_type((ag_dtype)x->dtype),
                             ag__scalar_type(ag_dtype_of(r->in[2])));
    if (r->wants_grad && r->in[2] && r->in[2]->requires_grad)
        return ag__fail_call(r->op, a,
                             "The function 'nll_loss_forward' is not differentiable with respect to argument "
                             "'weight'. This input cannot have requires_grad True.");
    if (!check_nll(r, x->ndim, x->size, a->target, r->in[2])) return false;
    const ag_tensor *t = &a->target->tensor;
    bool none = reduction == AG_REDUCE_NONE;
    return ag__output(r, 0, none ? t->ndim : 0, t->size, (ag_dtype)x->dtype) &&
           ag__output(r, 1, 0, NULL, (ag_dtype)x->dtype);
}

static bool nll_cpu(ag_run *r)
{
    const struct ag_nll_loss_args *a = r->args;
    nll l;
    ag_reduction reduction;
    ag__check_reduction(r->op, a, a->reduction, &reduction);
    const ag_tensor *input = &a->input->tensor, *y = &r->out[0]->tensor;
    if (!open_nll(r, &l, input->ndim, input->size, (ag_dtype)input->dtype, a->target, r->in[2], a->ignore_index))
        return false;
    const ag_tensor *x = ag__plain(r->t, a->input, input->ndim, input->size, (ag_dtype)input->dtype);
    if (!x) return false;
    double sum = 0, total = 0;
    for (int64_t n = 0; n < l.n; n++)
        for (int64_t k = 0; k < l.inner; k++) {
            int64_t c = target_at(&l, n * l.inner + k);
            bool counts = c != l.ignore_index;
            double weight = counts ? weight_of(&l, c) : 0;
            double loss = counts ? -weight * get(x, (n * l.classes + c) * l.inner + k) : 0;
            if (reduction == AG_REDUCE_NONE) put(y, n * l.inner + k, loss);
            sum += loss;
            total += weight;
        }
    if (reduction != AG_REDUCE_NONE) put(y, 0, reduction == AG_REDUCE_MEAN ? sum / total : sum);
    put(&r->out[1]->tensor, 0, reduction == AG_REDUCE_MEAN ? total : 1);
    return true;
}

static bool nll_back_shape(ag_run *r)
{
    const struct ag__nll_loss_backward_args *a = r->args;
    return check_nll(r, (int)a->input_size.n, a->input_size.at, a->target, r->in[3]) &&
           ag__output(r, 0, (int)a->input_size.n, a->input_size.at, ag_dtype_of(a->grad_output));
}
static bool nll_back_cpu(ag_run *r)
{
    const struct ag__nll_loss_backward_args *a = r->args;
    nll l;
    const ag_tensor *dx = &r->out[0]->tensor, *grad = &a->grad_output->tensor;
    if (!open_nll(r, &l, dx->ndim, dx->size, (ag_dtype)dx->dtype, a->target, r->in[3], a->ignore_index)) return false;
    const ag_tensor *g = ag__plain(r->t, a->grad_output, grad->ndim, grad->size, (ag_dtype)grad->dtype);
    if (!g) return false;
    bool one = grad->ndim == 0; /* "mean", "sum" */
    double total = ag__load(a->total->tensor.data, ag_dtype_of(a->total));
    ag__fill_elements(dx, 0);
    for (int64_t n = 0; n < l.n; n++)
        for (int64_t k = 0; k < l.inner; k++) {
            int64_t i = n * l.inner + k, c = target_at(&l, i);
            if (c == l.ignore_index) continue;
            put(dx, (n * l.classes + c) * l.inner + k, -weight_of(&l, c) * get(g, one ? 0 : i) / total);
        }
    return true;
}
static void nll_back_backward(ag_gradients *b)
{
    const struct ag__nll_loss_backward_args *a = b->args;
    b->grad[0] = ag_nll_loss(b->g[0], a->target, .weight = a->weight ? a->weight : AG_NONE,
                             .ignore_index = a->ignore_index, .reduction = a->reduction);
}
AG_OVERRIDING
AG_RECORD(_nll_loss_backward, AG_ARGS__nll_loss_backward, .node = "NllLossBackwardBackward0", .shape = nll_back_shape,
          .kernel = { nll_back_cpu }, .backward = nll_back_backward, .keeps = { AG_KEEP_IN(1) | AG_KEEP_IN(3) })
AG_OVERRIDDEN

ag_variable *ag__nll_gradient(const ag_gradients *b, ag_variable *target, ag_variable *weight, int64_t ignore_index,
                              const char *reduction)
{
    const struct ag__nll_loss_backward_args args = {
        .grad_output = b->g[0],
        .target = target,
        .total = b->out[1],
        .input_size = ag__in_shape(b, 0),
        .weight = weight ? weight : AG_NONE,
        .ignore_index = ignore_index,
        .reduction = reduction,
    };
    return ag__apply1(ag__op__nll_loss_backward(), &args, NULL);
}
static void nll_backward(ag_gradients *b)
{
    const struct ag_nll_loss_args *a = b->args;
    b->grad[0] = ag__nll_gradient(b, a->target, a->weight, a->ignore_index, a->reduction);
}
AG_OP(nll_loss, .node = "NllLossBackward0", .n_hidden = 1, .non_differentiable = 2, .shape = ag__nll_shape,
      .kernel = { nll_cpu }, .backward = nll_backward, .keeps = { AG_KEEP_IN(1) | AG_KEEP_IN(2) | AG_KEEP_OUT(1) })

/* ---- put together ---- */

ag_variable *ag__reduced(ag_variable *x, ag_reduction reduction)
{
    return reduction == AG_REDUCE_MEAN ? ag_mean(x) : reduction == AG_REDUCE_SUM ? ag_sum(x) : x;
}

/* The weights of the classes in input's dimensions: (C) becomes (C,1,...). */
static ag_variable *across(ag_variable *weight, const ag_tensor *input)
{
    int64_t size[AG_MAX_DIMS];
    for (int d = 0; d < input->ndim - 1; d++) size[d] = 1;
    size[0] = weight->tensor.size[0];
    return ag_view(weight, ag_sizes_of(input->ndim > 1 ? input->ndim - 1 : 1, size));
}

/* Target: a probability a class. */
static ag_variable *with_probabilities(const struct ag_cross_entropy_args *a, ag_variable *log_p, int64_t dim,
                                       ag_reduction reduction)
{
    const ag_tensor *x = &a->input->tensor;
    int64_t classes = x->ndim ? x->size[dim] : 1;
    ag_variable *target = a->target;
    if (a->label_smoothing > 0)
        target = ag_add(ag_mul(target, ag_scalar_double(1 - a->label_smoothing)),
                        ag_scalar_double(a->label_smoothing / (double)classes));
    ag_variable *terms = ag_mul(log_p, target);
    if (a->weight != AG_NONE) terms = ag_mul(terms, across(a->weight, x));
    if (reduction == AG_REDUCE_NONE) return ag_neg(ag_sum(terms, .dim = dim));
    ag_variable *loss = ag_neg(ag_sum(terms));
    if (reduction == AG_REDUCE_SUM) return loss;
    int64_t samples = classes ? x->numel / classes : 1;
    return ag_div(loss, ag_scalar_double((double)(samples ? samples : 1)));
}

/* Target: classes, mixed with an even share for every one. */
static ag_variable *with_smoothing(const struct ag_cross_entropy_args *a, ag_variable *log_p, int64_t dim,
                                   ag_reduction reduction)
{
    const ag_tensor *x = &a->input->tensor;
    double classes = x->ndim ? (double)x->size[dim] : 1;
    ag_variable *nll_of = ag_nll_loss(log_p, a->target, .weight = a->weight, .ignore_index = a->ignore_index,
                                      .reduction = a->reduction);
    ag_variable *weighted = a->weight == AG_NONE ? log_p : ag_mul(log_p, across(a->weight, x));
    ag_variable *even = ag_neg(ag_sum(weighted, .dim = dim));
    ag_variable *counts = ag_ne(a->target, ag_scalar_int64(a->ignore_index));
    even = ag_where(counts, even, ag_zeros_like(even));
    if (reduction == AG_REDUCE_SUM) {
        even = ag_sum(even);
    } else if (reduction == AG_REDUCE_MEAN) { /* over the weights of the targets, as nll_loss does */
        ag_variable *ones = ag_full(ag_shape(x->ndim ? a->input : log_p), -1, .dtype = ag_dtype_of(log_p),
                                    .device = ag__device(log_p));
        ag_variable *total = ag_nll_loss(ones, a->target, .weight = a->weight, .ignore_index = a->ignore_index,
                                         .reduction = "sum");
        even = ag_div(ag_sum(even), total);
    }
    double e = a->label_smoothing;
    return ag_add(ag_mul(nll_of, ag_scalar_double(1 - e)), ag_mul(even, ag_scalar_double(e / classes)));
}

static bool cross_entropy_compose(const void *args, ag_variable **out);
AG_OP(cross_entropy, .compose = cross_entropy_compose)
static bool cross_entropy_compose(const void *args, ag_variable **out)
{
    const struct ag_cross_entropy_args *a = args;
    const ag_op *op = ag__op_cross_entropy();
    const ag_tensor *x = &a->input->tensor;
    ag_reduction reduction;
    if (!ag__check_reduction(op, a, a->reduction, &reduction)) return false;
    if (!(a->label_smoothing >= 0 && a->label_smoothing <= 1))
        return ag__fail_call(op, a, "label_smoothing must be between 0.0 and 1.0. Got: %g", a->label_smoothing);
    if (x->ndim < 1) return ag__fail_call(op, a, "input must have a dimension of classes");
    bool probabilities = ag_is_floating_point(a->target);
    if (probabilities && !ag__same_sizes(x, &a->target->tensor)) {
        char is[AG_TEXT], wants[AG_TEXT];
        return ag__fail_call(op, a,
                             "a target of a floating type holds a probability a class, in input's shape: "
                             "expected %s, got %s",
                             ag__shape_text(x->ndim, x->size, wants, sizeof wants),
                             ag__shape_text(a->target->tensor.ndim, a->target->tensor.size, is, sizeof is));
    }
    if (probabilities && a->ignore_index >= 0)
        return ag__fail_call(op, a, "ignore_index is not supported for floating point target");
    if (ag__cross_entropy_is_one_step(a)) return ag__cross_entropy_in_one_step(a, out);
    int64_t dim = x->ndim == 1 ? 0 : 1;
    ag_variable *log_p = ag_log_softmax(a->input, dim);
    if (!log_p) return false;
    if (probabilities)
        out[0] = with_probabilities(a, log_p, dim, reduction);
    else if (a->label_smoothing > 0)
        out[0] = with_smoothing(a, log_p, dim, reduction);
    else
        out[0] = ag_nll_loss(log_p, a->target, .weight = a->weight, .ignore_index = a->ignore_index,
                             .reduction = a->reduction);
    return out[0] != NULL;
}

/* ---- mse_loss: one node, whose gradients are those of the formula ---- */

/* The values by the ops that the formula names, unrecorded: out[0] is made and filled at once. */
static bool mse_shape(ag_run *r)
{
    const struct ag_mse_loss_args *a = r->args;
    ag_reduction reduction;
    if (!ag__check_reduction(r->op, a, a->reduction, &reduction)) return false;
    if (!ag_is_floating_point(a->input) && !ag_is_floating_point(a->target))
        return ag__fail_call(r->op, a, "\"mse_cpu\" not implemented for '%s'",
                             ag__scalar_type(ag_promote_types(ag_dtype_of(a->input), ag_dtype_of(a->target))));
    ag_mode mode = ag_grad_mode_begin(false);
    ag_variable *difference = ag_sub(a->input, a->target);
    r->out[0] = ag__reduced(ag_mul(difference, difference), reduction);
    ag_grad_mode_end(&mode);
    return r->out[0] != NULL;
}
static bool mse_kernel(ag_run *r) { return r->out[0] != NULL; }
static void mse_backward(ag_gradients *b)
{
    const struct ag_mse_loss_args *a = b->args;
    ag_variable *difference = ag_sub(a->input, a->target), *g = b->g[0];
    double n = a->reduction[0] == 'm' && difference ? (double)difference->tensor.numel : 1;
    ag_variable *slope = ag_mul(ag_mul(difference, ag_scalar_double(2 / (n ? n : 1))), g);
    if (b->wanted[0]) b->grad[0] = ag_sum_to_size(slope, ag__in_shape(b, 0));
    if (b->wanted[1]) b->grad[1] = ag_neg(ag_sum_to_size(slope, ag__in_shape(b, 1)));
}
AG_OP(mse_loss, .node = "MseLossBackward0", .shape = mse_shape, .kernel = { mse_kernel, mse_kernel },
      .backward = mse_backward, .keeps = { AG_KEEP_IN(0) | AG_KEEP_IN(1), AG_KEEP_IN(0) | AG_KEEP_IN(1) })

/* ---- l1_loss ---- */

static bool l1_loss_compose(const void *args, ag_variable **out);
AG_OP(l1_loss, .compose = l1_loss_compose)
static bool l1_loss_compose(const void *args, ag_variable **out)
{
    const struct ag_l1_loss_args *a = args;
    ag_reduction reduction;
    if (!ag__check_reduction(ag__op_l1_loss(), a, a->reduction, &reduction)) return false;
    return (out[0] = ag__reduced(ag_abs(ag_sub(a->input, a->target)), reduction)) != NULL;
}
