/* divide.c - division that rounds, and clamp between Variables: what is more than a row of pointwise.def. See
 * pointwise.h. */
#include "ops/binary.h"
#include "ops/check.h"

#include <argent/factory.h>
#include <argent/pointwise.h>

#include <math.h>
#include <string.h>

/* ---- quotients that are rounded, and what is left over ---- */

/* Towards zero; of integers, or of floating numbers. The least integer by -1 wraps round. */
static int64_t quotient(int64_t a, int64_t b) { return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b; }
/* Towards minus infinity. */
static int64_t floor_quotient(int64_t a, int64_t b)
{
    int64_t q = quotient(a, b);
    return b != -1 && a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
/* With the sign of a. */
static int64_t rest(int64_t a, int64_t b) { return b == -1 ? 0 : a % b; }
/* With the sign of b. */
static int64_t floor_rest(int64_t a, int64_t b)
{
    int64_t r = rest(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
/* As Python's // and %: from the exact remainder, for a / b may have been rounded up to a whole number. */
#define FLOOR_DIVISION(name, real, F)                                \
    static real name(real a, real b)                                 \
    {                                                                \
        if (b == 0) return a / b;                                    \
        real left = F(fmod)(a, b), q = (a - left) / b;               \
        if (left != 0 && (b < 0) != (left < 0)) q -= 1;              \
        if (q == 0) return F(copysign)(0, a / b);                    \
        real whole = F(floor)(q);                                    \
        return q - whole > (real)0.5 ? whole + 1 : whole;            \
    }                                                                \
    static real name##_rest(real a, real b)                          \
    {                                                                \
        real left = F(fmod)(a, b);                                   \
        return left != 0 && (b < 0) != (left < 0) ? left + b : left; \
    }
#define F32(function) function##f
#define F64(function) function
FLOOR_DIVISION(floor_division_f32, float, F32)
FLOOR_DIVISION(floor_division_f64, double, F64)

typedef struct division {
    const char *name, *kernel; /* of the op, and of its loop, in sentences */
    bool floor, rest;
    ag_dtype dtype; /* computed in */
} division;

static float divide_f32(const division *d, float a, float b)
{
    if (d->rest) return d->floor ? floor_division_f32_rest(a, b) : fmodf(a, b);
    return d->floor ? floor_division_f32(a, b) : truncf(a / b);
}
static double divide_f64(const division *d, double a, double b)
{
    if (d->rest) return d->floor ? floor_division_f64_rest(a, b) : fmod(a, b);
    return d->floor ? floor_division_f64(a, b) : trunc(a / b);
}
static int64_t divide_integers(const division *d, int64_t a, int64_t b)
{
    if (d->rest) return d->floor ? floor_rest(a, b) : rest(a, b);
    return d->floor ? floor_quotient(a, b) : quotient(a, b);
}

/* data: the result, a, b, all of one type */
static void divide_row(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    const division *d = user;
    for (int64_t i = 0; i < count; i++) {
        const char *a = data[1] + i * stride[1], *b = data[2] + i * stride[2];
        char *y = data[0] + i * stride[0];
        if (d->dtype == AG_FLOAT32)
            *(float *)(void *)y = divide_f32(d, *(const float *)(const void *)a, *(const float *)(const void *)b);
        else if (d->dtype == AG_FLOAT64)
            *(double *)(void *)y = divide_f64(d, *(const double *)(const void *)a, *(const double *)(const void *)b);
        else
            ag__store_int64(y, d->dtype, divide_integers(d, ag__load_int64(a, d->dtype), ag__load_int64(b, d->dtype)));
    }
}

static bool division_shape(ag_run *r, const division *d)
{
    ag_dtype dtype = ag__binary_type(r);
    if (dtype == AG_BOOL) return ag__fail_call(r->op, r->args, "\"%s_cpu\" not implemented for 'Bool'", d->kernel);
    return ag__binary_result(r, d->name, dtype);
}
/* The numbers to divide by, integers. */
static bool check_no_zero(ag_run *r, const ag_tensor *b)
{
    const ag_tensor *plain = ag__plain(r->t, r->in[1], b->ndim, b->size, (ag_dtype)b->dtype);
    for (int64_t i = 0; plain && i < plain->numel; i++)
        if (!ag__load_int64(plain->data + i * (int64_t)ag__itemsize(b), (ag_dtype)b->dtype))
            return ag__fail_call(r->op, r->args, "ZeroDivisionError");
    return plain != NULL;
}
static bool division_cpu(ag_run *r, division d)
{
    const ag_tensor *b = &r->in[1]->tensor;
    d.dtype = ag__binary_type(r);
    if (!ag__is_floating(d.dtype) && r->out[0]->tensor.numel && !check_no_zero(r, b)) return false;
    return ag__binary_rows(r, d.dtype, divide_row, &d);
}

/* ---- div with a rounding mode ---- */

#define AG_ARGS__div_rounded(must, may) must(Tensor, input) must(Tensor, other) must(Bool, floor)
AG_STRUCT(_div_rounded, AG_ARGS__div_rounded)

static division rounded(const void *args)
{
    bool floor = ((const struct ag__div_rounded_args *)args)->floor;
    return (division){ .name = "div", .kernel = floor ? "div_floor" : "div_trunc", .floor = floor };
}
static bool div_rounded_shape(ag_run *r)
{
    division d = rounded(r->args);
    return division_shape(r, &d);
}
static bool div_rounded_cpu(ag_run *r) { return division_cpu(r, rounded(r->args)); }
static void div_rounded_backward(ag_gradients *b)
{
    for (int i = 0; i < 2; i++)
        if (b->wanted[i]) b->grad[i] = ag_zeros_like(b->g[0]);
}
AG_RECORD(_div_rounded, AG_ARGS__div_rounded, .of = "div", .node = "DivBackward2", .inplace = true,
          .shape = div_rounded_shape, .kernel = { div_rounded_cpu }, .backward = div_rounded_backward)

static bool div_with(const void *args, bool inplace, ag_variable **out)
{
    const struct ag_div_mode_args *a = args;
    const char *mode = a->rounding_mode;
    if (!mode) return (out[0] = inplace ? ag_div_(a->input, a->other) : ag_div(a->input, a->other)) != NULL;
    const struct ag__div_rounded_args rounded = { .input = a->input, .other = a->other, .floor = *mode == 'f' };
    const void *caller = __builtin_return_address(0);
    if (strcmp(mode, "floor") != 0 && strcmp(mode, "trunc") != 0)
        return ag__fail_call(ag__op__div_rounded(), &rounded,
                             "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '%s'", mode);
    return inplace ? ag__apply_inplace(ag__op__div_rounded(), &rounded, out, caller)
                   : ag__apply(ag__op__div_rounded(), &rounded, out, caller);
}
static bool div_mode_compose(const void *args, ag_variable **out) { return div_with(args, false, out); }
static bool div_mode_compose_inplace(const void *args, ag_variable **out) { return div_with(args, true, out); }
AG_OP(div_mode, .torch = "div.Tensor_mode", .numbers = 3, .inplace = true, .compose = div_mode_compose,
      .compose_inplace = div_mode_compose_inplace)
AG_INPLACE(div_mode)

#define AG_ARGS__true_divide(must, may) must(Tensor, input) must(Tensor, other)
AG_STRUCT(_true_divide, AG_ARGS__true_divide)
static bool true_divide_compose(const void *args, ag_variable **out)
{
    const struct ag__true_divide_args *a = args;
    return (out[0] = ag_div(a->input, a->other)) != NULL;
}
static bool true_divide_compose_inplace(const void *args, ag_variable **out)
{
    const struct ag__true_divide_args *a = args;
    return (out[0] = ag_div_(a->input, a->other)) != NULL;
}
AG_RECORD(_true_divide, AG_ARGS__true_divide, .torch = "true_divide", .numbers = 3, .inplace = true,
          .compose = true_divide_compose, .compose_inplace = true_divide_compose_inplace)

/* ---- floor_divide, remainder, fmod ---- */

static const division floor_divide_of = { .name = "floor_divide", .kernel = "div_floor", .floor = true };
static bool floor_divide_shape(ag_run *r) { return division_shape(r, &floor_divide_of); }
static bool floor_divide_cpu(ag_run *r) { return division_cpu(r, floor_divide_of); }
static void floor_divide_backward(ag_gradients *b)
{
    (void)b;
    ag__fail(AG_EGRAPH, "derivative for aten::floor_divide is not implemented");
}
#define AG_ARGS_floor_divide(must, may) must(Tensor, input) must(Tensor, other)
AG_OP_PLAIN(floor_divide, .node = "NotImplemented", .numbers = 3, .inplace = true, .shape = floor_divide_shape,
            .kernel = { floor_divide_cpu }, .backward = floor_divide_backward)
AG_INPLACE_PLAIN(floor_divide)

/* b's gradient is minus the quotient, as it was rounded. */
static void rest_backward(ag_gradients *b, const char *mode)
{
    if (b->wanted[0]) b->grad[0] = b->g[0];
    if (b->wanted[1]) b->grad[1] = ag_mul(ag_neg(b->g[0]), ag_div(b->in[0], b->in[1], .rounding_mode = mode));
}

static const division remainder_of = { .name = "remainder", .kernel = "remainder", .floor = true, .rest = true };
static bool remainder_shape(ag_run *r) { return division_shape(r, &remainder_of); }
static bool remainder_cpu(ag_run *r) { return division_cpu(r, remainder_of); }
static void remainder_backward(ag_gradients *b) { rest_backward(b, "floor"); }
#define AG_ARGS_remainder(must, may) must(Tensor, input) must(Tensor, other)
AG_OP_PLAIN(remainder, .node = "RemainderBackward1", .numbers = 3, .inplace = true, .shape = remainder_shape,
            .kernel = { remainder_cpu }, .backward = remainder_backward, .keeps = { 0, AG_KEEP_IN(0) | AG_KEEP_IN(1) })
AG_INPLACE_PLAIN(remainder)

static const division fmod_of = { .name = "fmod", .kernel = "fmod", .rest = true };
static bool fmod_shape(ag_run *r) { return division_shape(r, &fmod_of); }
static bool fmod_cpu(ag_run *r) { return division_cpu(r, fmod_of); }
static void fmod_backward(ag_gradients *b) { rest_backward(b, "trunc"); }
#define AG_ARGS_fmod(must, may) must(Tensor, input) must(Tensor, other)
AG_OP_PLAIN(fmod, .node = "FmodBackward1", .numbers = 2, .inplace = true, .shape = fmod_shape, .kernel = { fmod_cpu },
            .backward = fmod_backward, .keeps = { 0, AG_KEEP_IN(0) | AG_KEEP_IN(1) })
AG_INPLACE_PLAIN(fmod)

/* ---- clamp between Variables: rows that go by no name of their own ---- */

static bool clamp_tensor_compose(const void *args, ag_variable **out);
static bool clamp_tensor_compose_inplace(const void *args, ag_variable **out);
AG_OP(clamp_tensor, .torch = "clamp.Tensor", .inplace = true, .compose = clamp_tensor_compose,
      .compose_inplace = clamp_tensor_compose_inplace)
AG_INPLACE(clamp_tensor)

static bool clamp_with(const void *args, bool inplace, ag_variable **out)
{
    const struct ag_clamp_tensor_args *a = args;
    bool above = a->min != AG_NONE, below = a->max != AG_NONE;
    const struct {
        ag_variable *input, *bound[2];
    } row = { a->input, { above ? a->min : a->max, a->max } };
    if (!above && !below)
        return ag__fail_call(ag__op_clamp_tensor(), a, "torch.clamp: At least one of 'min' or 'max' must not be None");
    const ag_op *op = !below ? ag__op_clamp_above() : above ? ag__op_clamp_between() : ag__op_clamp_below();
    return ag__pointwise_apply(op, &row, inplace, out, __builtin_return_address(0));
}
static bool clamp_tensor_compose(const void *args, ag_variable **out) { return clamp_with(args, false, out); }
static bool clamp_tensor_compose_inplace(const void *args, ag_variable **out) { return clamp_with(args, true, out); }
