/* activation.c - activations and their kin that are more than a row of pointwise.def: some choose between rows, some
 * check what a row cannot, some are made of other ops. See pointwise.h and softmax.h. */
#include "ops/check.h"
#include "ops/pointwise_rows.h"

#include <argent/pointwise.h>
#include <argent/softmax.h>
#include <argent/view.h>

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* A row of Variables and numbers, its arguments as an array of the former, then of the latter. */
static bool row(const ag_op *op, const void *args, bool inplace, ag_variable **out)
{
    return ag__pointwise_apply(op, args, inplace, out, __builtin_return_address(0));
}
static bool is_floating(const ag_variable *x) { return ag__is_floating(ag_dtype_of(x)); }

/* ---- gelu ---- */

static bool gelu_compose(const void *args, ag_variable **out);
AG_OP(gelu, .compose = gelu_compose)
static bool gelu_compose(const void *args, ag_variable **out)
{
    const struct ag_gelu_args *a = args;
    bool by_tanh = a->approximate && !strcmp(a->approximate, "tanh");
    if (!by_tanh && (!a->approximate || strcmp(a->approximate, "none") != 0))
        return ag__fail_call(ag__op_gelu(), a, "approximate argument must be either none or tanh.");
    if (!is_floating(a->input))
        return ag__fail_call(ag__op_gelu(), a, "\"GeluKernelImpl\" not implemented for '%s'",
                             ag__scalar_type(ag_dtype_of(a->input)));
    return row(by_tanh ? ag__op_gelu_tanh() : ag__op_gelu_exact(), &a->input, false, out);
}

/* ---- softshrink, tanhshrink ---- */

static bool softshrink_compose(const void *args, ag_variable **out);
AG_OP(softshrink, .compose = softshrink_compose)
static bool softshrink_compose(const void *args, ag_variable **out)
{
    const struct ag_softshrink_args *a = args;
    ag_dtype dtype = ag_dtype_of(a->input);
    double most = dtype == AG_FLOAT32 ? (double)FLT_MAX : DBL_MAX;
    if (!is_floating(a->input))
        return ag__fail_call(ag__op_softshrink(), a, "\"softshrink_check\" not implemented for '%s'",
                             ag__scalar_type(dtype));
    if (!(a->lambd >= 0 && a->lambd <= most))
        return ag__fail_call(ag__op_softshrink(), a, "lambda must be in range [0, %g] for input dtype %s, but found %g",
                             most, ag__scalar_type(dtype), a->lambd);
    const struct {
        ag_variable *input;
        double lambd;
    } args_of_row = { a->input, a->lambd };
    return row(ag__op_soft_shrink(), &args_of_row, false, out);
}

#define AG_ARGS_tanhshrink(must, may) must(Tensor, input)
static bool tanhshrink_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(tanhshrink, .compose = tanhshrink_compose)
static bool tanhshrink_compose(const void *args, ag_variable **out)
{
    const struct ag_tanhshrink_args *a = args;
    return (out[0] = ag_sub(a->input, ag_tanh(a->input))) != NULL;
}

/* ---- prelu ---- */

#define AG_ARGS_prelu(must, may) must(Tensor, input) must(Tensor, weight)
static bool prelu_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(prelu, .compose = prelu_compose)

static bool check_prelu(const void *args)
{
    const struct ag_prelu_args *a = args;
    const ag_op *op = ag__op_prelu();
    const ag_tensor *x = &a->input->tensor, *w = &a->weight->tensor;
    int64_t channels = x->ndim > 1 ? x->size[1] : 1;
    if (x->dtype != w->dtype)
        return ag__fail_call(op, a, "Type promoting not supported. Got %s and %s", ag__scalar_type((ag_dtype)x->dtype),
                             ag__scalar_type((ag_dtype)w->dtype));
    if (w->numel != 1 && x->ndim == 0) return ag__fail_call(op, a, "Not allow zero-dim input tensor.");
    if (w->numel != 1 && w->numel != channels)
        return ag__fail_call(op, a,
                             "Mismatch of parameter numbers and input channel size. Found parameter numbers = %" PRId64
                             " and channel size = %" PRId64 ".",
                             w->numel, channels);
    if (w->ndim > 1)
        return ag__fail_call(op, a, "Expected `weight` to be a scalar or 1D tensor, but got: ndim = %d", w->ndim);
    if (!is_floating(a->input))
        return ag__fail_call(op, a, "\"prelu_cpu\" not implemented for '%s'", ag__scalar_type((ag_dtype)x->dtype));
    return true;
}
/* The weight beside the channels, which are dimension 1. */
static bool prelu_compose(const void *args, ag_variable **out)
{
    const struct ag_prelu_args *a = args;
    if (!check_prelu(a)) return false;
    const int ndim = a->input->tensor.ndim;
    int64_t size[AG_MAX_DIMS];
    for (int d = 0; d < ndim; d++) size[d] = d == 1 ? a->weight->tensor.numel : 1;
    ag_variable *weight = a->weight;
    if (weight->tensor.ndim != ndim) weight = ag_reshape(weight, ag_sizes_of(ndim, size));
    const struct {
        ag_variable *input, *weight;
    } args_of_row = { a->input, weight };
    return weight && row(ag__op_prelu_kernel(), &args_of_row, false, out);
}

/* ---- glu: the first half, times the sigmoid of the second ---- */

static bool glu_compose(const void *args, ag_variable **out);
AG_OP(glu, .compose = glu_compose)
static bool glu_compose(const void *args, ag_variable **out)
{
    const struct ag_glu_args *a = args;
    const ag_tensor *x = &a->input->tensor;
    if (x->ndim == 0)
        return ag__fail_call(ag__op_glu(), a, "glu does not support scalars because halving size must be even");
    int dim = ag__wrap_dim("glu", a->dim, x->ndim);
    if (dim < 0) return false;
    const int64_t half = x->size[dim] / 2;
    if (x->size[dim] % 2)
        return ag__fail_call(ag__op_glu(), a, "Halving dimension must be even, but dimension %d is size %" PRId64, dim,
                             x->size[dim]);
    if (!is_floating(a->input))
        return ag__fail_call(ag__op_glu(), a, "\"glu_cpu\" not implemented for '%s'",
                             ag__scalar_type((ag_dtype)x->dtype));
    ag_variable *first = ag_narrow(a->input, dim, 0, half), *gate = ag_narrow(a->input, dim, half, half);
    return (out[0] = ag_mul(first, ag_sigmoid(gate))) != NULL;
}

/* ---- softmin ---- */

static bool softmin_compose(const void *args, ag_variable **out);
AG_OP(softmin, .compose = softmin_compose)
static bool softmin_compose(const void *args, ag_variable **out)
{
    const struct ag_softmin_args *a = args;
    return (out[0] = ag_softmax(ag_neg(a->input), a->dim, .dtype = a->dtype)) != NULL;
}

/* ---- positive, and round to decimals ---- */

#define AG_ARGS_positive(must, may) must(Tensor, input)
static bool positive_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(positive, .compose = positive_compose)
static bool positive_compose(const void *args, ag_variable **out)
{
    const struct ag_positive_args *a = args;
    if (ag_dtype_of(a->input) == AG_BOOL)
        return ag__fail_call(ag__op_positive(), a, "The `+` operator, on a bool tensor is not supported.");
    return (out[0] = a->input) != NULL;
}

#define AG_ARGS_round_decimals(must, may) must(Tensor, input) must(Int, decimals)
static bool round_decimals_compose(const void *args, ag_variable **out);
static bool round_decimals_compose_inplace(const void *args, ag_variable **out);
AG_OP_PLAIN(round_decimals, .torch = "round.decimals", .inplace = true, .compose = round_decimals_compose,
            .compose_inplace = round_decimals_compose_inplace)
AG_INPLACE_PLAIN(round_decimals)
static bool round_with(const void *args, bool inplace, ag_variable **out)
{
    const struct ag_round_decimals_args *a = args;
    if (!is_floating(a->input))
        return ag__fail_call(ag__op_round_decimals(), a, "\"%s\" not implemented for '%s'",
                             a->decimals ? "round_cpu" : "round_vml_cpu", ag__scalar_type(ag_dtype_of(a->input)));
    const struct {
        ag_variable *input;
        double decimals, ten;
    } args_of_row = { a->input, (double)a->decimals, pow(10, fabs((double)a->decimals)) };
    return row(ag__op_round_scaled(), &args_of_row, inplace, out);
}
static bool round_decimals_compose(const void *args, ag_variable **out) { return round_with(args, false, out); }
static bool round_decimals_compose_inplace(const void *args, ag_variable **out) { return round_with(args, true, out); }
