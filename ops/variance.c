/* variance.c - variance and standard deviation: see variance.h. */
#include "ops/check.h"
#include "ops/cpu/moments.h"
#include "ops/folding.h"
#include "ops/reduce_rows.h"
#include "ops/reduce_shape.h"
#include "tensor/allocator.h"

#include <argent/copy.h>
#include <argent/pointwise.h>
#include <argent/variance.h>

#include <math.h>

/* ---- the numbers: first the mean, then the squares of what is left, in double ---- */

static double squares_of(ag_dtype dtype, const void *row, int64_t n, const void *correction)
{
    double left = (double)n - *(const double *)correction;
    if (!n) return NAN;
    return ag__squares_from_mean(dtype, row, n) / (left > 0 ? left : 0);
}
#define SQUARES(type, dtype)                                                         \
    static double squares_##type(const void *row, int64_t n, const void *correction) \
    {                                                                                \
        return squares_of(dtype, row, n, correction);                                \
    }                                                                                \
    static double root_##type(const void *row, int64_t n, const void *correction)    \
    {                                                                                \
        return sqrt(squares_of(dtype, row, n, correction));                          \
    }
SQUARES(float, AG_FLOAT32)
SQUARES(double, AG_FLOAT64)

/* ---- var, std ---- */

static bool var_shape(ag_run *r)
{
    const struct ag_var_args *a = r->args;
    if (!ag_is_floating_point(a->input))
        return ag__fail_call(r->op, a, "std and var only support floating point and complex dtypes");
    return ag__reduced_output(r, r->op->name, a->dim, a->keepdim);
}
/* Whether the dimensions in mask are the middle one of x(outer,n,inner), dense, with enough columns to fill registers.
 */
static bool is_columns(const ag_tensor *x, uint32_t mask, int64_t *outer, int64_t *n, int64_t *inner)
{
    enum { FEWEST = 8 };
    int last = x->ndim - 1;
    *outer = *n = *inner = 1;
    for (; last >= 0 && !(mask >> last & 1); last--) *inner *= x->size[last];
    for (; last >= 0 && (mask >> last & 1); last--) *n *= x->size[last];
    for (; last >= 0 && !(mask >> last & 1); last--) *outer *= x->size[last];
    return last < 0 && x->contiguous && x->numel > 0 && *inner >= FEWEST;
}
static bool spread_of_columns(const ag_tensor *y, const ag_tensor *x, int64_t outer, int64_t n, int64_t inner,
                              double correction, bool root)
{
    const double left = (double)n - correction;
    const ag_dtype dtype = (ag_dtype)x->dtype;
    double *squares = ag__scratch((size_t)(outer * inner) * sizeof *squares);
    if (!squares) return false;
    const bool done = ag__squares_of_columns(dtype, x->data, outer, n, inner, squares);
    for (int64_t i = 0; done && i < outer * inner; i++) {
        const double variance = squares[i] / (left > 0 ? left : 0);
        ag__store((char *)y->data + (size_t)i * ag_dtype_size(dtype), dtype, root ? sqrt(variance) : variance);
    }
    ag__scratch_free(squares);
    return done;
}
static bool spread_anywhere(ag_run *r, bool root)
{
    const struct ag_var_args *a = r->args;
    const ag_tensor *x = &a->input->tensor, *y = &r->out[0]->tensor;
    uint32_t mask;
    if (!ag__dims_mask("var", a->dim, x->ndim, &mask)) return false;
    int64_t outer, n, inner;
    if (r->device.type == AG_DEVICE_CPU && is_columns(x, mask, &outer, &n, &inner))
        return spread_of_columns(y, x, outer, n, inner, a->correction, root);
    if (r->device.type == AG_DEVICE_CPU)
        return ag__reduce_rows(r->t, y, x, mask, root ? root_float : squares_float, root ? root_double : squares_double,
                               &a->correction);
    const ag__folding f = {
        .fold = AG_FOLD_VARIANCE, .x = x, .mask = mask, .y = y, .option = a->correction, .root = root
    };
    return ag__fold_there(r, &f);
}
static bool var_anywhere(ag_run *r) { return spread_anywhere(r, false); }
static bool std_anywhere(ag_run *r) { return spread_anywhere(r, true); }

/* g 2 (x - mean) / (n - correction), for the variance's gradient g. Of too few numbers it is infinite, as in PyTorch:
 * NaN where a number is the mean. */
static ag_variable *variance_gradient(const ag_gradients *b, ag_variable *g, const struct ag_var_args *a)
{
    ag_variable *x = b->in[0], *apart = ag_sub(x, ag_mean(x, .dim = a->dim, .keepdim = true));
    double left = (double)ag__reduced_count(ag__in_shape(b, 0), a->dim) - a->correction;
    g = ag__unreduce(g, ag__in_shape(b, 0), a->dim, a->keepdim);
    if (left > 0) return ag_mul(ag_mul(g, ag_scalar(2 / left)), apart);
    return ag_mul(g, ag_where(ag_eq(apart, ag_scalar(0)), ag_scalar(NAN), ag_scalar(INFINITY)));
}
static void var_backward(ag_gradients *b) { b->grad[0] = variance_gradient(b, b->g[0], b->args); }
/* Where all numbers are equal there is no derivative: 0. */
static void std_backward(ag_gradients *b)
{
    ag_variable *y = b->out[0], *none = ag_eq(y, ag_scalar(0));
    ag_variable *g = ag_div(b->g[0], ag_mul(ag_masked_fill(y, none, 1), ag_scalar(2)));
    b->grad[0] = variance_gradient(b, ag_masked_fill(g, none, 0), b->args);
}
AG_OP(var, .torch = "var.correction", .node = "VarBackward0", .shape = var_shape,
      .kernel = { var_anywhere, var_anywhere }, .backward = var_backward, .keeps = { AG_KEEP_IN(0) })
_Static_assert(sizeof(struct ag_std_args) == sizeof(struct ag_var_args), "std takes what var takes");
AG_OP(std, .torch = "std.correction", .node = "StdBackward0", .shape = var_shape,
      .kernel = { std_anywhere, std_anywhere }, .backward = std_backward, .keeps = { AG_KEEP_IN(0) | AG_KEEP_OUT(0) })

/* ---- with the mean ---- */

static bool check_mean(const ag_op *op, const void *args, const ag_variable *x)
{
    return ag_is_floating_point(x) ||
           ag__fail_call(op, args, "%s only support floating point and complex dtypes", op->name);
}
static bool var_mean_compose(const void *args, ag_variable **out);
static bool std_mean_compose(const void *args, ag_variable **out);
static const char *const var_mean_names[] = { "var", "mean" }, *const std_mean_names[] = { "std", "mean" };
AG_OVERRIDING
AG_RECORD(var_mean, AG_ARGS_var_mean, .torch = "var_mean.correction", .n_out = 2, .out_names = var_mean_names,
          .compose = var_mean_compose)
AG_RECORD(std_mean, AG_ARGS_std_mean, .torch = "std_mean.correction", .n_out = 2, .out_names = std_mean_names,
          .compose = std_mean_compose)
AG_OVERRIDDEN
static bool var_mean_compose(const void *args, ag_variable **out)
{
    const struct ag_var_mean_args *a = args;
    if (!check_mean(ag__op_var_mean(), a, a->input)) return false;
    out[0] = ag_var(a->input, .dim = a->dim, .correction = a->correction, .keepdim = a->keepdim);
    out[1] = ag_mean(a->input, .dim = a->dim, .keepdim = a->keepdim);
    return out[0] && out[1];
}
static bool std_mean_compose(const void *args, ag_variable **out)
{
    const struct ag_std_mean_args *a = args;
    if (!check_mean(ag__op_std_mean(), a, a->input)) return false;
    out[0] = ag_std(a->input, .dim = a->dim, .correction = a->correction, .keepdim = a->keepdim);
    out[1] = ag_mean(a->input, .dim = a->dim, .keepdim = a->keepdim);
    return out[0] && out[1];
}
ag_var_mean_result ag_var_mean_call(const struct ag_var_mean_args *args)
{
    ag_variable *out[AG_MAX_OUTPUTS] = { NULL };
    ag__apply(ag__op_var_mean(), args, out, __builtin_return_address(0));
    return (ag_var_mean_result){ out[0], out[1] };
}
ag_std_mean_result ag_std_mean_call(const struct ag_std_mean_args *args)
{
    ag_variable *out[AG_MAX_OUTPUTS] = { NULL };
    ag__apply(ag__op_std_mean(), args, out, __builtin_return_address(0));
    return (ag_std_mean_result){ out[0], out[1] };
}

/* ---- PyTorch's older overloads, by name: whether `unbiased`, which is a correction of 1 ---- */

#define AG_ARGS_BY_DIM(must, may) \
    must(Tensor, input) may(Dims, dim, AG_ALL) may(Bool, unbiased, true) may(Bool, keepdim, false)
#define AG_ARGS_OF_ALL(must, may)             must(Tensor, input) may(Bool, unbiased, true)
#define AG_ARGS__var_dim(must, may)           AG_ARGS_BY_DIM(must, may)
#define AG_ARGS__var_unbiased(must, may)      AG_ARGS_OF_ALL(must, may)
#define AG_ARGS__std_dim(must, may)           AG_ARGS_BY_DIM(must, may)
#define AG_ARGS__std_unbiased(must, may)      AG_ARGS_OF_ALL(must, may)
#define AG_ARGS__var_mean_dim(must, may)      AG_ARGS_BY_DIM(must, may)
#define AG_ARGS__var_mean_unbiased(must, may) AG_ARGS_OF_ALL(must, may)
#define AG_ARGS__std_mean_dim(must, may)      AG_ARGS_BY_DIM(must, may)
#define AG_ARGS__std_mean_unbiased(must, may) AG_ARGS_OF_ALL(must, may)
// clang-format off
#define OLDER(op_, n)                                                                                                \
    AG_STRUCT(_##op_##_dim, AG_ARGS__##op_##_dim)                                                                    \
    AG_STRUCT(_##op_##_unbiased, AG_ARGS__##op_##_unbiased)                                                          \
    static bool op_##_dim_compose(const void *args, ag_variable **out)                                               \
    {                                                                                                                \
        const struct ag__##op_##_dim_args *a = args;                                                                 \
        const struct ag_##op_##_args same = { .input = a->input, .dim = a->dim, .correction = a->unbiased,           \
                                              .keepdim = a->keepdim };                                               \
        return ag__apply(ag__op_##op_(), &same, out, __builtin_return_address(0));                                   \
    }                                                                                                                \
    static bool op_##_unbiased_compose(const void *args, ag_variable **out)                                          \
    {                                                                                                                \
        const struct ag__##op_##_unbiased_args *a = args;                                                            \
        const struct ag_##op_##_args same = { .input = a->input, .dim = AG_ALL, .correction = a->unbiased };         \
        return ag__apply(ag__op_##op_(), &same, out, __builtin_return_address(0));                                   \
    }                                                                                                                \
    AG_OVERRIDING                                                                                                    \
    AG_RECORD(_##op_##_dim, AG_ARGS__##op_##_dim, .torch = #op_ ".dim", .n_out = n, .compose = op_##_dim_compose)    \
    AG_RECORD(_##op_##_unbiased, AG_ARGS__##op_##_unbiased, .torch = #op_ ".unbiased", .n_out = n,                   \
              .compose = op_##_unbiased_compose)                                                                     \
    AG_OVERRIDDEN
// clang-format on
OLDER(var, 1)
OLDER(std, 1)
OLDER(var_mean, 2)
OLDER(std_mean, 2)
