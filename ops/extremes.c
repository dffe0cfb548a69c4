/* extremes.c - the greatest and the least, which element they are, and logsumexp, which needs the greatest. See
 * reduce.h. */
#include "ops/check.h"
#include "ops/folding.h"
#include "ops/index_add.h"
#include "ops/reduce_shape.h"

#include <argent/copy.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>
#include <argent/view.h>

#include <inttypes.h>
#include <math.h>

/* There is no greatest of nothing. dim AG_ALL: of everything. PyTorch names a dimension as it was given in some ops
 * (`as_given`), in others counted from the start. */
static bool check_not_empty(ag_run *r, const char *op, const ag_tensor *x, ag_dims dim, bool as_given)
{
    int64_t dims[AG_MAX_DIMS];
    int n = ag__dims_of(dim, dims);
    if (x->numel > 0) return true;
    if (n < 0)
        return ag__fail_call(r->op, r->args,
                             "%s(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                             "reduction dim with the 'dim' "
                             "argument.",
                             op);
    for (int k = 0; k < n; k++) {
        int64_t d = dims[k] < 0 ? dims[k] + x->ndim : dims[k];
        if (d >= 0 && d < x->ndim && x->size[d] == 0)
            return ag__fail_call(r->op, r->args, "%s(): Expected reduction dim %" PRId64 " to have non-zero size.", op,
                                 as_given ? dims[k] : d);
    }
    return true;
}

/* g shared out among the elements of x that equal y, the extreme of their row (broadcast already): g / how many, at
 * each of them. */
static ag_variable *share(ag_variable *g, ag_variable *x, ag_variable *y, ag_dims dim)
{
    ag_variable *equal = ag_eq(x, y);
    return ag_mul(ag_div(g, ag_sum(equal, .dim = dim, .keepdim = dim != AG_ALL)), equal);
}

/* x folded into y, or index, wherever they are; mask of one dimension where an index is wanted, or of all. */
static bool fold_into(const ag_run *r, ag__fold fold, const ag_tensor *x, uint32_t mask, ag_variable *y,
                      ag_variable *index)
{
    const ag_tensor *values = y ? &y->tensor : NULL, *places = index ? &index->tensor : NULL;
    if (r->device.type != AG_DEVICE_CPU)
        return ag__fold_there(r, &(ag__folding){ .fold = fold, .x = x, .mask = mask, .y = values, .index = places });
    if (!index) return ag__reduce(fold, x, mask, values->data);
    const int dim = mask == ~0u ? -1 : __builtin_ctz(mask);
    return ag__reduce_arg(fold, x, dim, y ? values->data : NULL, (int64_t *)(void *)places->data);
}

/* ---- the whole ---- */

static bool whole_shape(ag_run *r, const char *op)
{
    const ag_tensor *x = &r->in[0]->tensor;
    return check_not_empty(r, op, x, AG_ALL, false) && ag__output(r, 0, 0, NULL, (ag_dtype)x->dtype) != NULL;
}
/* If the extreme is NaN, the elements that are NaN share. On a device nobody waits to know it. */
static void whole_backward(ag_gradients *b)
{
    ag_variable *x = b->in[0], *y = b->out[0];
    if (ag__device(x).type != AG_DEVICE_CPU) {
        ag_variable *equal = ag_logical_or(ag_eq(x, y), ag_logical_and(ag_ne(x, x), ag_ne(y, y)));
        b->grad[0] = ag_mul(ag_div(b->g[0], ag_sum(equal)), equal);
    } else if (isnan(ag_item(y))) {
        ag_variable *nan = ag_ne(x, x);
        b->grad[0] = ag_mul(ag_div(b->g[0], ag_sum(nan)), nan);
    } else {
        b->grad[0] = share(b->g[0], x, y, AG_ALL);
    }
}

#define AG_ARGS_max(must, may) must(Tensor, input)
static bool max_shape(ag_run *r) { return whole_shape(r, "max"); }
static bool max_anywhere(ag_run *r) { return fold_into(r, AG_FOLD_MAX, &r->in[0]->tensor, ~0u, r->out[0], NULL); }
AG_OP_PLAIN(max, .node = "MaxBackward1", .shape = max_shape, .kernel = { max_anywhere, max_anywhere },
            .backward = whole_backward, .keeps = { AG_KEEP_IN(0) | AG_KEEP_OUT(0) })

#define AG_ARGS_min(must, may) must(Tensor, input)
static bool min_shape(ag_run *r) { return whole_shape(r, "min"); }
static bool min_anywhere(ag_run *r) { return fold_into(r, AG_FOLD_MIN, &r->in[0]->tensor, ~0u, r->out[0], NULL); }
AG_OP_PLAIN(min, .node = "MinBackward1", .shape = min_shape, .kernel = { min_anywhere, min_anywhere },
            .backward = whole_backward, .keeps = { AG_KEEP_IN(0) | AG_KEEP_OUT(0) })

/* The overload of two Variables, by name: the greater (smaller) of each pair. */
#define AG_ARGS__max_other(must, may) must(Tensor, input) must(Tensor, other)
#define AG_ARGS__min_other(must, may) AG_ARGS__max_other(must, may)
AG_STRUCT(_max_other, AG_ARGS__max_other)
AG_STRUCT(_min_other, AG_ARGS__min_other)
static bool max_other_compose(const void *args, ag_variable **out)
{
    const struct ag__max_other_args *a = args;
    return (out[0] = ag_maximum(a->input, a->other)) != NULL;
}
static bool min_other_compose(const void *args, ag_variable **out)
{
    const struct ag__min_other_args *a = args;
    return (out[0] = ag_minimum(a->input, a->other)) != NULL;
}
AG_RECORD(_max_other, AG_ARGS__max_other, .torch = "max.other", .compose = max_other_compose)
AG_RECORD(_min_other, AG_ARGS__min_other, .torch = "min.other", .compose = min_other_compose)

/* ---- any dimensions ---- */

static bool some_shape(ag_run *r, const ag_variable *input, ag_dims dim, bool keepdim)
{
    const ag_tensor *x = &input->tensor;
    uint32_t mask;
    int64_t size[AG_MAX_DIMS];
    if (!ag__dims_mask(r->op->name, dim, x->ndim, &mask) || !check_not_empty(r, r->op->name, x, dim, true))
        return false;
    int ndim = ag__reduced_size(x, mask, keepdim, size);
    return ag__output(r, 0, ndim, size, (ag_dtype)x->dtype) != NULL;
}
static bool some_anywhere(ag_run *r, ag__fold fold, ag_dims dim)
{
    const ag_tensor *x = &r->in[0]->tensor;
    uint32_t mask;
    return ag__dims_mask(r->op->name, dim, x->ndim, &mask) && fold_into(r, fold, x, mask, r->out[0], NULL);
}
static void some_backward(ag_gradients *b, ag_dims dim, bool keepdim)
{
    ag_shape_list shape = ag__in_shape(b, 0);
    ag_variable *g = ag__unreduce(b->g[0], shape, dim, keepdim), *y = ag__unreduce(b->out[0], shape, dim, keepdim);
    b->grad[0] = share(g, b->in[0], y, dim);
}

static bool amax_shape(ag_run *r)
{
    const struct ag_amax_args *a = r->args;
    return some_shape(r, a->input, a->dim, a->keepdim);
}
static bool amax_anywhere(ag_run *r)
{
    return some_anywhere(r, AG_FOLD_MAX, ((const struct ag_amax_args *)r->args)->dim);
}
static void amax_backward(ag_gradients *b)
{
    const struct ag_amax_args *a = b->args;
    some_backward(b, a->dim, a->keepdim);
}
AG_OP(amax, .node = "AmaxBackward0", .shape = amax_shape, .kernel = { amax_anywhere, amax_anywhere },
      .backward = amax_backward, .keeps = { AG_KEEP_IN(0) | AG_KEEP_OUT(0) })

static bool amin_shape(ag_run *r)
{
    const struct ag_amin_args *a = r->args;
    return some_shape(r, a->input, a->dim, a->keepdim);
}
static bool amin_anywhere(ag_run *r)
{
    return some_anywhere(r, AG_FOLD_MIN, ((const struct ag_amin_args *)r->args)->dim);
}
static void amin_backward(ag_gradients *b)
{
    const struct ag_amin_args *a = b->args;
    some_backward(b, a->dim, a->keepdim);
}
AG_OP(amin, .node = "AminBackward0", .shape = amin_shape, .kernel = { amin_anywhere, amin_anywhere },
      .backward = amin_backward, .keeps = { AG_KEEP_IN(0) | AG_KEEP_OUT(0) })

/* ---- one dimension, and where ---- */

static const char *const values_indices[] = { "values", "indices" };

static bool where_shape(ag_run *r, const char *op, const ag_variable *input, int64_t dim, bool keepdim)
{
    const ag_tensor *x = &input->tensor;
    int64_t size[AG_MAX_DIMS];
    int d = ag__wrap_dim(op, dim, x->ndim);
    if (d < 0) return false;
    if (x->ndim && x->size[d] == 0)
        return ag__fail_call(r->op, r->args, "%s(): Expected reduction dim %d to have non-zero size.", op, d);
    int ndim = ag__reduced_size(x, 1u << d, keepdim, size);
    return ag__output(r, 0, ndim, size, (ag_dtype)x->dtype) && ag__output(r, 1, ndim, size, AG_INT64);
}
static bool where_anywhere(ag_run *r, ag__fold fold, int64_t dim)
{
    const ag_tensor *x = &r->in[0]->tensor;
    int d = (int)(dim < 0 ? dim + (x->ndim ? x->ndim : 1) : dim);
    return fold_into(r, fold, x, 1u << d, r->out[0], r->out[1]);
}
static void where_backward(ag_gradients *b, int64_t dim, bool keepdim)
{
    ag_shape_list shape = ag__in_shape(b, 0);
    ag_variable *g = b->g[0], *index = b->out[1];
    if (!keepdim && shape.n > 0) {
        g = ag_unsqueeze(g, dim);
        index = ag_unsqueeze(index, dim);
    }
    b->grad[0] = ag__gather_backward(g, shape, dim, index);
}

static bool max_dim_shape(ag_run *r)
{
    const struct ag_max_dim_args *a = r->args;
    return where_shape(r, "max", a->input, a->dim, a->keepdim);
}
static bool max_dim_anywhere(ag_run *r)
{
    return where_anywhere(r, AG_FOLD_MAX, ((const struct ag_max_dim_args *)r->args)->dim);
}
static void max_dim_backward(ag_gradients *b)
{
    const struct ag_max_dim_args *a = b->args;
    where_backward(b, a->dim, a->keepdim);
}
AG_OVERRIDING
AG_RECORD(max_dim, AG_ARGS_max_dim, .torch = "max.dim", .node = "MaxBackward0", .n_out = 2, .out_names = values_indices,
          .non_differentiable = 2, .shape = max_dim_shape, .kernel = { max_dim_anywhere, max_dim_anywhere },
          .backward = max_dim_backward, .keeps = { AG_KEEP_OUT(1) })
AG_OVERRIDDEN
ag_values_indices ag_max_dim_call(const struct ag_max_dim_args *args)
{
    ag_variable *out[AG_MAX_OUTPUTS] = { NULL };
    if (!ag__apply(ag__op_max_dim(), args, out, __builtin_return_address(0))) return (ag_values_indices){ NULL, NULL };
    return (ag_values_indices){ out[0], out[1] };
}

static bool min_dim_shape(ag_run *r)
{
    const struct ag_min_dim_args *a = r->args;
    return where_shape(r, "min", a->input, a->dim, a->keepdim);
}
static bool min_dim_anywhere(ag_run *r)
{
    return where_anywhere(r, AG_FOLD_MIN, ((const struct ag_min_dim_args *)r->args)->dim);
}
static void min_dim_backward(ag_gradients *b)
{
    const struct ag_min_dim_args *a = b->args;
    where_backward(b, a->dim, a->keepdim);
}
AG_OVERRIDING
AG_RECORD(min_dim, AG_ARGS_min_dim, .torch = "min.dim", .node = "MinBackward0", .n_out = 2, .out_names = values_indices,
          .non_differentiable = 2, .shape = min_dim_shape, .kernel = { min_dim_anywhere, min_dim_anywhere },
          .backward = min_dim_backward, .keeps = { AG_KEEP_OUT(1) })
AG_OVERRIDDEN
ag_values_indices ag_min_dim_call(const struct ag_min_dim_args *args)
{
    ag_variable *out[AG_MAX_OUTPUTS] = { NULL };
    if (!ag__apply(ag__op_min_dim(), args, out, __builtin_return_address(0))) return (ag_values_indices){ NULL, NULL };
    return (ag_values_indices){ out[0], out[1] };
}

/* ---- only where ---- */

static bool arg_shape(ag_run *r, const ag_variable *input, ag_dims dim, bool keepdim)
{
    const ag_tensor *x = &input->tensor;
    int64_t dims[AG_MAX_DIMS], size[AG_MAX_DIMS];
    uint32_t mask;
    if (x->dtype == AG_BOOL) return ag__fail_call(r->op, r->args, "does not support bool input");
    if (ag__dims_of(dim, dims) > 1) return ag__fail_call(r->op, r->args, "one dimension at a time, or all of them");
    if (!ag__dims_mask(r->op->name, dim, x->ndim, &mask) || !check_not_empty(r, r->op->name, x, dim, false))
        return false;
    int ndim = ag__reduced_size(x, mask, keepdim, size);
    return ag__output(r, 0, ndim, size, AG_INT64) != NULL;
}
static bool arg_anywhere(ag_run *r, ag__fold fold, ag_dims dim)
{
    const ag_tensor *x = &r->in[0]->tensor;
    int64_t dims[AG_MAX_DIMS];
    uint32_t mask = ~0u;
    if (ag__dims_of(dim, dims) >= 0) mask = 1u << (dims[0] < 0 ? dims[0] + (x->ndim ? x->ndim : 1) : dims[0]);
    return fold_into(r, fold, x, mask, NULL, r->out[0]);
}

static bool argmax_shape(ag_run *r)
{
    const struct ag_argmax_args *a = r->args;
    return arg_shape(r, a->input, a->dim, a->keepdim);
}
static bool argmax_anywhere(ag_run *r)
{
    return arg_anywhere(r, AG_FOLD_MAX, ((const struct ag_argmax_args *)r->args)->dim);
}
AG_OP(argmax, .shape = argmax_shape, .kernel = { argmax_anywhere, argmax_anywhere }, .non_differentiable = 1)

static bool argmin_shape(ag_run *r)
{
    const struct ag_argmin_args *a = r->args;
    return arg_shape(r, a->input, a->dim, a->keepdim);
}
static bool argmin_anywhere(ag_run *r)
{
    return arg_anywhere(r, AG_FOLD_MIN, ((const struct ag_argmin_args *)r->args)->dim);
}
AG_OP(argmin, .shape = argmin_shape, .kernel = { argmin_anywhere, argmin_anywhere }, .non_differentiable = 1)

/* ---- logsumexp ---- */

static ag_dtype floating(ag_variable *x) { return ag_is_floating_point(x) ? ag_dtype_of(x) : ag_get_default_dtype(); }
/* log(sum(exp(x - m))) + m, m the greatest of each sum; where that is infinite the sum is it, and 0 does. */
static ag_variable *log_sum_exp(ag_variable *x, ag_dims dim, bool keepdim)
{
    if (!ag_is_floating_point(x)) x = ag_to(x, .dtype = floating(x));
    if (ag_numel(x) == 0) return ag_log(ag_sum(ag_exp(x), .dim = dim, .keepdim = keepdim));
    ag_variable *most = ag_amax(x, .dim = dim, .keepdim = true);
    most = ag_masked_fill(most, ag_eq(ag_abs(most), ag_scalar_double(INFINITY)), 0);
    ag_variable *sum = ag_sum(ag_exp(ag_sub(x, most)), .dim = dim, .keepdim = true), *y = ag_add(ag_log(sum), most);
    uint32_t mask;
    int64_t size[AG_MAX_DIMS];
    if (!x || !y || !ag__dims_mask("logsumexp", dim, ag_dim(x), &mask)) return NULL;
    int ndim = ag__reduced_size(&x->tensor, mask, keepdim, size);
    return ag_view(y, ag_sizes_of(ndim, size));
}
static bool logsumexp_shape(ag_run *r)
{
    const struct ag_logsumexp_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    uint32_t mask;
    int64_t size[AG_MAX_DIMS];
    if (!ag__dims_mask("logsumexp", a->dim, x->ndim, &mask)) return false;
    if (r->device.type != AG_DEVICE_CPU) {
        int ndim = ag__reduced_size(x, mask, a->keepdim, size);
        return ag__output(r, 0, ndim, size, floating(a->input)) != NULL;
    }
    bool was_off = r->t->grad_off;
    r->t->grad_off = true;
    ag_variable *y = log_sum_exp(a->input, a->dim, a->keepdim);
    r->t->grad_off = was_off;
    return y && (r->out[0] = ag__alias(r->t, y)) != NULL; /* no view to autograd */
}
static bool logsumexp_cpu(ag_run *r) { return r->out[0] != NULL; }
static bool logsumexp_there(ag_run *r)
{
    const struct ag_logsumexp_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor, *x = &a->input->tensor;
    uint32_t mask;
    x = ag__plain(r->t, a->input, x->ndim, x->size, (ag_dtype)y->dtype);
    return x && ag__dims_mask("logsumexp", a->dim, x->ndim, &mask) &&
           ag__fold_there(r, &(ag__folding){ .fold = AG_FOLD_LOG_SUM_EXP, .x = x, .mask = mask, .y = y });
}
static void logsumexp_backward(ag_gradients *b)
{
    const struct ag_logsumexp_args *a = b->args;
    ag_shape_list shape = ag__in_shape(b, 0);
    ag_variable *g = ag__unreduce(b->g[0], shape, a->dim, a->keepdim),
                *y = ag__unreduce(b->out[0], shape, a->dim, a->keepdim);
    b->grad[0] = ag_mul(g, ag_exp(ag_sub(a->input, y)));
}
AG_OP(logsumexp, .node = "LogsumexpBackward0", .shape = logsumexp_shape, .kernel = { logsumexp_cpu, logsumexp_there },
      .backward = logsumexp_backward, .keeps = { AG_KEEP_IN(0) | AG_KEEP_OUT(0) })
