/* compare.c - see compare.h. */
#include "ops/binary.h"
#include "ops/check.h"

#include <argent/compare.h>
#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>

#include <math.h>

/* Both there, and on one device. */
static bool check_pair(const char *op, const ag_variable *a, const ag_variable *b)
{
    if (!a || a == AG_NONE || !b || b == AG_NONE)
        return ag__fail(AG_EINVAL, "%s: %s is %s", op, !a || a == AG_NONE ? "input" : "other",
                        !a || !b ? "NULL" : "None");
    ag_device on = ag__device(a), other = ag__device(b);
    if (on.type != other.type || on.index != other.index)
        return ag__fail(AG_EDEVICE,
                        "%s: Expected all tensors to be on the same device, but found at least two devices, %s and %s!",
                        op, ag_device_name(on), ag_device_name(other));
    return true;
}

/* ---- equal ---- */

typedef struct equality {
    uint8_t type[2]; /* ag_dtype */
    bool differ;     /* set by any thread that finds a pair that differs */
} equality;

static bool same_number(const char *a, uint8_t a_type, const char *b, uint8_t b_type)
{
    bool floating = ag__is_floating((ag_dtype)a_type) || ag__is_floating((ag_dtype)b_type);
    if (floating) return ag__load(a, (ag_dtype)a_type) == ag__load(b, (ag_dtype)b_type);
    return ag__load_int64(a, (ag_dtype)a_type) == ag__load_int64(b, (ag_dtype)b_type);
}

static void equal_row(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    equality *e = user;
    bool same = true;
    if (__atomic_load_n(&e->differ, __ATOMIC_RELAXED)) return;
    for (int64_t i = 0; i < count && same; i++) {
        const char *a = data[0] + i * stride[0], *b = data[1] + i * stride[1];
        if (e->type[0] == AG_FLOAT32 && e->type[1] == AG_FLOAT32)
            same = *(const float *)(const void *)a == *(const float *)(const void *)b;
        else
            same = same_number(a, e->type[0], b, e->type[1]);
    }
    if (!same) __atomic_store_n(&e->differ, true, __ATOMIC_RELAXED);
}

/* On a device: whether no pair of numbers differs, counted there. */
static bool equal_on_device(const ag_variable *input, const ag_variable *other)
{
    AG_SCOPE;
    AG_NO_GRAD;
    ag_variable *a = (ag_variable *)input, *b = (ag_variable *)other;
    if (ag_dtype_of(a) != ag_dtype_of(b)) {
        bool floating = ag__is_floating(ag_dtype_of(a)) || ag__is_floating(ag_dtype_of(b));
        a = ag_to(a, .dtype = floating ? AG_FLOAT64 : AG_INT64);
        b = ag_to(b, .dtype = floating ? AG_FLOAT64 : AG_INT64);
    }
    ag_variable *differ = ag_sum(ag_ne(a, b));
    return differ && ag_item_int64(differ) == 0 && !ag__thread()->failed;
}

bool ag_equal(const ag_variable *input, const ag_variable *other)
{
    if (!check_pair("equal", input, other)) return false;
    if (!ag__same_sizes(&input->tensor, &other->tensor)) return false;
    if (input->tensor.numel == 0) return true;
    if (ag__device(input).type != AG_DEVICE_CPU) return equal_on_device(input, other);
    equality e = { { input->tensor.dtype, other->tensor.dtype }, false };
    ag_walk w;
    ag__walk(&w, 2, (const ag_tensor *const[]){ &input->tensor, &other->tensor });
    ag__walk_rows(&w, 1 << 15, equal_row, &e);
    return !e.differ;
}

/* By name the answer is a Variable: bool, without dimensions. */
static bool answer(bool yes, ag_variable **out)
{
    if (ag__thread()->failed) return false;
    return (out[0] = ag_full(AG_SCALAR_SHAPE, yes, .dtype = AG_BOOL)) != NULL;
}

#define AG_ARGS_equal(must, may) must(Tensor, input) must(Tensor, other)
AG_STRUCT(equal, AG_ARGS_equal)
static bool equal_compose(const void *args, ag_variable **out)
{
    const struct ag_equal_args *a = args;
    return answer(ag_equal(a->input, a->other), out);
}
AG_RECORD(equal, AG_ARGS_equal, .compose = equal_compose)

/* ---- allclose ---- */

typedef struct closeness {
    ag_dtype dtype;
    double rtol, atol;
    bool equal_nan, apart;
} closeness;

static bool is_close(const closeness *c, double a, double b)
{
    if (c->dtype == AG_FLOAT32) return ag__is_close_f32((float)a, (float)b, c->rtol, c->atol, c->equal_nan);
    return ag__is_close_f64(a, b, c->rtol, c->atol, c->equal_nan);
}

/* data: what gives the shape, input, other */
static void close_row(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    closeness *c = user;
    if (__atomic_load_n(&c->apart, __ATOMIC_RELAXED)) return;
    for (int64_t i = 0; i < count; i++)
        if (!is_close(c, ag__load(data[1] + i * stride[1], c->dtype), ag__load(data[2] + i * stride[2], c->dtype))) {
            __atomic_store_n(&c->apart, true, __ATOMIC_RELAXED);
            return;
        }
}

static bool allclose_on_device(const struct ag_allclose_args *a)
{
    AG_SCOPE;
    AG_NO_GRAD;
    ag_variable *close = ag_isclose(a->input, a->other, a->rtol, a->atol, a->equal_nan);
    ag_variable *n = close ? ag_sum(close) : NULL;
    return n && ag_item_int64(n) == ag_numel(close) && !ag__thread()->failed;
}

bool ag_allclose_call(const struct ag_allclose_args *args)
{
    const ag_variable *input = args->input, *other = args->other;
    if (!check_pair("allclose", input, other)) return false;
    if (input->tensor.dtype != other->tensor.dtype)
        return ag__fail(AG_EINVAL, "allclose: %s did not match %s", ag__scalar_type(ag_dtype_of(input)),
                        ag__scalar_type(ag_dtype_of(other)));
    if (!(args->rtol >= 0))
        return ag__fail(AG_EINVAL, "allclose: rtol must be greater than or equal to zero, but got %g", args->rtol);
    if (!(args->atol >= 0))
        return ag__fail(AG_EINVAL, "allclose: atol must be greater than or equal to zero, but got %g", args->atol);
    int ndim;
    ag_tensor common = input->tensor; /* the shape both broadcast to; its elements are not looked at */
    if (!ag__broadcast("allclose", 2, (const ag_tensor *const[]){ &input->tensor, &other->tensor }, &ndim, common.size))
        return false;
    common.ndim = (uint8_t)ndim;
    common.numel = ag__numel_of(ndim, common.size);
    common.contiguous = true;
    ag__contiguous_strides(ndim, common.size, common.stride);
    if (common.numel == 0) return true;
    if (ag__device(input).type != AG_DEVICE_CPU) return allclose_on_device(args);
    closeness c = { ag_dtype_of(input), args->rtol, args->atol, args->equal_nan, false };
    ag_walk w;
    ag__walk(&w, 3, (const ag_tensor *const[]){ &common, &input->tensor, &other->tensor });
    ag__walk_rows(&w, 1 << 15, close_row, &c);
    return !c.apart;
}

static bool allclose_compose(const void *args, ag_variable **out) { return answer(ag_allclose_call(args), out); }
AG_RECORD(allclose, AG_ARGS_allclose, .compose = allclose_compose)

/* ---- isclose ---- */

static bool isclose_shape(ag_run *r)
{
    const struct ag_isclose_args *a = r->args;
    const ag_tensor *in[] = { &a->input->tensor, &a->other->tensor };
    if (in[0]->dtype != in[1]->dtype)
        return ag__fail_call(r->op, a, "%s did not match %s", ag__scalar_type((ag_dtype)in[0]->dtype),
                             ag__scalar_type((ag_dtype)in[1]->dtype));
    if (!(a->rtol >= 0))
        return ag__fail_call(r->op, a, "rtol must be greater than or equal to zero, but got %g", a->rtol);
    if (!(a->atol >= 0))
        return ag__fail_call(r->op, a, "atol must be greater than or equal to zero, but got %g", a->atol);
    return (r->out[0] = ag__pointwise_result(r->t, "isclose", 2, in, AG_BOOL, r->device)) != NULL;
}
/* data: the answers, input, other */
static void isclose_row(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    const closeness *c = user;
    for (int64_t i = 0; i < count; i++)
        data[0][i * stride[0]] = is_close(c, ag__load(data[1] + i * stride[1], c->dtype),
                                          ag__load(data[2] + i * stride[2], c->dtype));
}
static bool isclose_anywhere(ag_run *r)
{
    const struct ag_isclose_args *a = r->args;
    const ag__pair pair = { .operation = AG_IS_CLOSE,
                            .dtype = ag_dtype_of(a->input),
                            .option = { a->rtol, a->atol, a->equal_nan },
                            .out = &r->out[0]->tensor,
                            .a = &a->input->tensor,
                            .b = &a->other->tensor };
    if (r->device.type != AG_DEVICE_CPU) return ag__combine_on_device("isclose", r->device, &pair);
    closeness c = { ag_dtype_of(a->input), a->rtol, a->atol, a->equal_nan, false };
    ag_walk w;
    ag__walk(&w, 3, (const ag_tensor *const[]){ &r->out[0]->tensor, &a->input->tensor, &a->other->tensor });
    ag__walk_rows(&w, 1 << 15, isclose_row, &c);
    return true;
}
AG_OP(isclose, .non_differentiable = 1, .shape = isclose_shape, .kernel = { isclose_anywhere, isclose_anywhere })
