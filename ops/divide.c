/* divide.c - division that rounds, and clamp between Variables: what is more than a row of pointwise.def. See
 * pointwise.h. */
#include "ops/binary.h"
#include "ops/check.h"

#include <argent/factory.h>
#include <argent/pointwise.h>

#include <string.h>

/* ---- quotients that are rounded, and what is left over ---- */

typedef struct division {
    const char *name, *kernel; /* of the op, and of its loop, in sentences */
    int operation;             /* of ops/cpu/divide.h */
    ag_dtype dtype;            /* computed in */
} division;

/* data: the result, a, b, all of one type */
static void divide_row(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    const division *d = user;
    for (int64_t i = 0; i < count; i++) {
        const char *a = data[1] + i * stride[1], *b = data[2] + i * stride[2];
        char *y = data[0] + i * stride[0];
        if (d->dtype == AG_FLOAT32)
            *(float *)(void *)y = ag__divide_f32(d->operation, *(const float *)(const void *)a,
                                                 *(const float *)(const void *)b);
        else if (d->dtype == AG_FLOAT64)
            *(double *)(void *)y = ag__divide_f64(d->operation, *(const double *)(const void *)a,
                                                  *(const double *)(const void *)b);
        else
            ag__store_int64(
                y, d->dtype,
                ag__divide_integers(d->operation, ag__load_int64(a, d->dtype), ag__load_int64(b, d->dtype)));
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
static bool division_anywhere(ag_run *r, division d)
{
    const ag_tensor *b = &r->in[1]->tensor;
    const bool there = r->device.type != AG_DEVICE_CPU; /* then the kernel looks for zeros, but for a number's */
    d.dtype = ag__binary_type(r);
    if (!ag__is_floating(d.dtype) && r->out[0]->tensor.numel &&
        (!there || ag__tensor_device(b).type == AG_DEVICE_CPU) && !check_no_zero(r, b))
        return false;
    if (there) return ag__binary_on_device(r, d.dtype, d.operation);
    return ag__binary_rows(r, d.dtype, divide_row, &d);
}

/* ---- div with a rounding mode ---- */

#define AG_ARGS__div_rounded(must, may) must(Tensor, input) must(Tensor, other) must(Bool, floor)
AG_STRUCT(_div_rounded, AG_ARGS__div_rounded)

static division rounded(const void *args)
{
    bool floor = ((const struct ag__div_rounded_args *)args)->floor;
    return (division){ .name = "div",
                       .kernel = floor ? "div_floor" : "div_trunc",
                       .operation = floor ? AG_DIVIDE_FLOOR : AG_DIVIDE_TRUNC };
}
static bool div_rounded_shape(ag_run *r)
{
    division d = rounded(r->args);
    return division_shape(r, &d);
}
static bool div_rounded_anywhere(ag_run *r) { return division_anywhere(r, rounded(r->args)); }
static void div_rounded_backward(ag_gradients *b)
{
    for (int i = 0; i < 2; i++)
        if (b->wanted[i]) b->grad[i] = ag_zeros_like(b->g[0]);
}
AG_RECORD(_div_rounded, AG_ARGS__div_rounded, .of = "div", .node = "DivBackward2", .numbers = 3, .inplace = true,
          .shape = div_rounded_shape, .kernel = { div_rounded_anywhere, div_rounded_anywhere },
          .backward = div_rounded_backward)

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

static const division floor_divide_of = { .name = "floor_divide", .kernel = "div_floor", .operation = AG_DIVIDE_FLOOR };
static bool floor_divide_shape(ag_run *r) { return division_shape(r, &floor_divide_of); }
static bool floor_divide_anywhere(ag_run *r) { return division_anywhere(r, floor_divide_of); }
static void floor_divide_backward(ag_gradients *b)
{
    (void)b;
    ag__fail(AG_EGRAPH, "derivative for aten::floor_divide is not implemented");
}
#define AG_ARGS_floor_divide(must, may) must(Tensor, input) must(Tensor, other)
AG_OP_PLAIN(floor_divide, .node = "NotImplemented", .numbers = 3, .inplace = true, .shape = floor_divide_shape,
            .kernel = { floor_divide_anywhere, floor_divide_anywhere }, .backward = floor_divide_backward)
AG_INPLACE_PLAIN(floor_divide)

/* b's gradient is minus the quotient, as it was rounded. */
static void rest_backward(ag_gradients *b, const char *mode)
{
    if (b->wanted[0]) b->grad[0] = b->g[0];
    if (b->wanted[1]) b->grad[1] = ag_mul(ag_neg(b->g[0]), ag_div(b->in[0], b->in[1], .rounding_mode = mode));
}

static const division remainder_of = { .name = "remainder", .kernel = "remainder", .operation = AG_REST_FLOOR };
static bool remainder_shape(ag_run *r) { return division_shape(r, &remainder_of); }
static bool remainder_anywhere(ag_run *r) { return division_anywhere(r, remainder_of); }
static void remainder_backward(ag_gradients *b) { rest_backward(b, "floor"); }
#define AG_ARGS_remainder(must, may) must(Tensor, input) must(Tensor, other)
AG_OP_PLAIN(remainder, .node = "RemainderBackward1", .numbers = 3, .inplace = true, .shape = remainder_shape,
            .kernel = { remainder_anywhere, remainder_anywhere }, .backward = remainder_backward,
            .keeps = { 0, AG_KEEP_IN(0) | AG_KEEP_IN(1) })
AG_INPLACE_PLAIN(remainder)

static const division fmod_of = { .name = "fmod", .kernel = "fmod", .operation = AG_REST_TRUNC };
static bool fmod_shape(ag_run *r) { return division_shape(r, &fmod_of); }
static bool fmod_anywhere(ag_run *r) { return division_anywhere(r, fmod_of); }
static void fmod_backward(ag_gradients *b) { rest_backward(b, "trunc"); }
#define AG_ARGS_fmod(must, may) must(Tensor, input) must(Tensor, other)
AG_OP_PLAIN(fmod, .node = "FmodBackward1", .numbers = 2, .inplace = true, .shape = fmod_shape,
            .kernel = { fmod_anywhere, fmod_anywhere }, .backward = fmod_backward,
            .keeps = { 0, AG_KEEP_IN(0) | AG_KEEP_IN(1) })
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
