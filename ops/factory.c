/* factory.c - see factory.h. Every factory is an op without gradient inputs: shape() makes the leaf, the kernel fills
 * it. */
#include "autograd/op.h"
#include "ops/check.h"
#include "ops/cpu/ramp.h"
#include "ops/fresh.h"
#include "ops/number.h"
#include "tensor/convert.h"
#include "tensor/device_table.h"

#include <argent/factory.h>

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

bool ag__check_number(const ag_op *op, const void *args, ag_number value, ag_dtype dtype)
{
    static const char *const type[AG_N_DTYPES] = { "float", "double", "int64_t", "int", "uint8_t", "bool" };
    const double rounded = (double)value;
    bool fits = true;
    switch (dtype) {
    case AG_FLOAT32:
        fits = !isfinite(rounded) || fabs(rounded) <= FLT_MAX;
        break;
    case AG_INT64:
        fits = value >= -0x1p63 && value < 0x1p63;
        break;
    case AG_INT32:
        fits = value > -0x1.00000002p31 && value < 0x1p31;
        break;
    case AG_UINT8:
        fits = value > -256 && value < 256 && (value >= 0 || value == truncl(value));
        break;
    default:
        break;
    }
    return fits || ag__fail_call(op, args, "value cannot be converted to type %s without overflow", type[dtype]);
}

static bool check_format(const ag_op *op, const void *args, int64_t ndim, ag_memory_format format)
{
    if ((int)format < AG_PRESERVE_FORMAT || format > AG_CHANNELS_LAST)
        return ag__fail_call(op, args, "there is no memory format %d", (int)format);
    if (format == AG_CHANNELS_LAST && ndim != 4)
        return ag__fail_call(op, args, "required rank 4 tensor to use channels_last format");
    return format != AG_BATCH_LAST || ndim > 1 ||
           ag__fail_call(op, args, "batch-last wants at least two dimensions, not %" PRId64, ndim);
}

bool ag__fresh_strides(const ag_op *op, const void *args, const ag_tensor *x, ag_memory_format format, int64_t *stride)
{
    if (!check_format(op, args, x->ndim, format)) return false;
    if (format != AG_PRESERVE_FORMAT)
        ag__format_strides(x->ndim, x->size, format, stride);
    else if (ag__is_dense(x->ndim, x->size, x->stride))
        memcpy(stride, x->stride, x->ndim * sizeof *stride);
    else
        ag__result_strides(x->ndim, x->size, 1, &x, stride);
    return true;
}

/* ---- making the leaf ---- */

/* The options that every factory has. */
typedef struct options {
    ag_dtype dtype;
    ag_device device;
    bool requires_grad;
} options;

static bool make(ag_run *r, int64_t ndim, const int64_t *size, const int64_t *stride, options o)
{
    for (int64_t d = 0; d < ndim; d++)
        if (size[d] < 0) {
            char text[AG_TEXT];
            return ag__fail_call(r->op, r->args, "Dimension size must be non-negative. Got shape %s",
                                 ag__shape_text(ndim < AG_MAX_DIMS ? (int)ndim : AG_MAX_DIMS, size, text, sizeof text));
        }
    if (ndim < 0 || ndim > AG_MAX_DIMS)
        return ag__fail_call(r->op, r->args, "a Variable has at most %d dimensions, not %" PRId64, AG_MAX_DIMS, ndim);
    if ((int)o.dtype < 0 || o.dtype >= AG_N_DTYPES)
        return ag__fail_call(r->op, r->args, "there is no dtype %d", (int)o.dtype);
    if (o.requires_grad && !ag__is_floating(o.dtype))
        return ag__fail_call(r->op, r->args, "Only Tensors of floating point and complex dtype can require gradients");
    r->device = o.device.type == AG_DEVICE_DEFAULT ? AG_CPU : o.device;
    ag_variable *out = stride ? ag__output_strided(r, 0, (int)ndim, size, stride, o.dtype)
                              : ag__output(r, 0, (int)ndim, size, o.dtype);
    if (!out) return false;
    out->requires_grad = o.requires_grad;
    return true;
}

static bool make_shape(ag_run *r, ag_shape_list size, options o, ag_memory_format format)
{
    if (o.dtype == AG_DTYPE_DEFAULT) o.dtype = ag_get_default_dtype();
    if (!check_format(r->op, r->args, size.n, format)) return false;
    if (format < AG_BATCH_LAST || size.n > AG_MAX_DIMS) return make(r, size.n, size.at, NULL, o);
    int64_t stride[AG_MAX_DIMS];
    ag__format_strides((int)size.n, size.at, format, stride);
    return make(r, size.n, size.at, stride, o);
}

static bool make_like(ag_run *r, const ag_variable *input, options o, ag_memory_format format)
{
    const ag_tensor *x = &input->tensor;
    if (o.dtype == AG_DTYPE_DEFAULT) o.dtype = (ag_dtype)x->dtype;
    if (o.device.type == AG_DEVICE_DEFAULT) o.device = ag__device(input);
    int64_t stride[AG_MAX_DIMS];
    return ag__fresh_strides(r->op, r->args, x, format, stride) && make(r, x->ndim, x->size, stride, o);
}

#define OPTIONS(a) ((options){ (a)->dtype, (a)->device, (a)->requires_grad })

/* ---- one number everywhere ---- */

static bool fill(ag_run *r, ag_number value) { return ag__fill_tensor(&r->out[0]->tensor, value); }

static bool empty_shape(ag_run *r)
{
    const struct ag_empty_args *a = r->args;
    return make_shape(r, a->size, OPTIONS(a), a->memory_format);
}
static bool empty_anywhere(ag_run *r) { return r->out[0] != NULL; }
AG_OP(empty, .shape = empty_shape, .kernel = { empty_anywhere, empty_anywhere })

static bool zeros_shape(ag_run *r)
{
    const struct ag_zeros_args *a = r->args;
    return make_shape(r, a->size, OPTIONS(a), a->memory_format);
}
static bool zeros_anywhere(ag_run *r) { return fill(r, 0); }
AG_OP(zeros, .shape = zeros_shape, .kernel = { zeros_anywhere, zeros_anywhere })

static bool ones_shape(ag_run *r)
{
    const struct ag_ones_args *a = r->args;
    return make_shape(r, a->size, OPTIONS(a), a->memory_format);
}
static bool ones_anywhere(ag_run *r) { return fill(r, 1); }
AG_OP(ones, .shape = ones_shape, .kernel = { ones_anywhere, ones_anywhere })

static bool full_shape(ag_run *r)
{
    const struct ag_full_args *a = r->args;
    ag_dtype dtype = a->dtype == AG_DTYPE_DEFAULT ? ag_get_default_dtype() : a->dtype;
    return ag__check_number(r->op, a, a->fill_value, dtype) && make_shape(r, a->size, OPTIONS(a), a->memory_format);
}
static bool full_anywhere(ag_run *r) { return fill(r, ((const struct ag_full_args *)r->args)->fill_value); }
AG_OP(full, .shape = full_shape, .kernel = { full_anywhere, full_anywhere })

/* ---- like another ---- */

static bool empty_like_shape(ag_run *r)
{
    const struct ag_empty_like_args *a = r->args;
    return make_like(r, a->input, OPTIONS(a), a->memory_format);
}
AG_OP(empty_like, .shape = empty_like_shape, .kernel = { empty_anywhere, empty_anywhere }, .non_differentiable = 1)

static bool zeros_like_shape(ag_run *r)
{
    const struct ag_zeros_like_args *a = r->args;
    return make_like(r, a->input, OPTIONS(a), a->memory_format);
}
AG_OP(zeros_like, .shape = zeros_like_shape, .kernel = { zeros_anywhere, zeros_anywhere }, .non_differentiable = 1)

static bool ones_like_shape(ag_run *r)
{
    const struct ag_ones_like_args *a = r->args;
    return make_like(r, a->input, OPTIONS(a), a->memory_format);
}
AG_OP(ones_like, .shape = ones_like_shape, .kernel = { ones_anywhere, ones_anywhere }, .non_differentiable = 1)

static bool full_like_shape(ag_run *r)
{
    const struct ag_full_like_args *a = r->args;
    ag_dtype dtype = a->dtype == AG_DTYPE_DEFAULT ? ag_dtype_of(a->input) : a->dtype;
    return ag__check_number(r->op, a, a->fill_value, dtype) && make_like(r, a->input, OPTIONS(a), a->memory_format);
}
static bool full_like_anywhere(ag_run *r) { return fill(r, ((const struct ag_full_like_args *)r->args)->fill_value); }
AG_OP(full_like, .shape = full_like_shape, .kernel = { full_like_anywhere, full_like_anywhere },
      .non_differentiable = 1)

/* ---- ranges ---- */

/* Whole and small enough to have been meant as an integer. */
static bool is_whole(ag_number x) { return x == floorl(x) && x >= -0x1p63L && x < 0x1p63L; }

typedef struct range {
    ag_number start, end, step;
    ag_dtype dtype;
    int64_t n;
} range;

static range range_of(const struct ag_arange_args *a)
{
    range g = { a->start, a->end, a->step, a->dtype, 0 };
    if (isnan((double)a->end)) { /* left out: the first number is the end */
        g.start = 0;
        g.end = a->start;
    }
    if (g.dtype == AG_DTYPE_DEFAULT)
        g.dtype = is_whole(g.start) && is_whole(g.end) && is_whole(g.step) ? AG_INT64 : ag_get_default_dtype();
    if (g.dtype ==
        AG_INT64) { /* how many there are is counted in int64, too; in narrower integers PyTorch only steps */
        g.start = truncl(g.start);
        g.end = truncl(g.end);
        g.step = truncl(g.step);
    }
    return g;
}

static bool range_fits(ag_run *r, const range *g)
{
    const ag_number each[] = { g->start, g->end, g->step };
    for (int k = 0; k < 3; k++)
        if (!ag__check_number(r->op, r->args, each[k], AG_INT64)) return false;
    return true;
}

static bool arange_shape(ag_run *r)
{
    const struct ag_arange_args *a = r->args;
    range g = range_of(a);
    if (g.dtype == AG_BOOL) return ag__fail_call(r->op, a, "\"arange_cpu\" not implemented for 'Bool'");
    if (!(g.step > 0 || g.step < 0)) return ag__fail_call(r->op, a, "step must be nonzero");
    if (!isfinite((double)g.start) || !isfinite((double)g.end))
        return ag__fail_call(r->op, a, "unsupported range: %g -> %g", (double)g.start, (double)g.end);
    if (g.dtype == AG_INT64 && !range_fits(r, &g)) return false;
    if (g.step > 0 ? g.end < g.start : g.end > g.start)
        return ag__fail_call(r->op, a, "upper bound and lower bound inconsistent with step sign");
    /* counted in the type itself if it is int64, else in double */
    ag_number n = g.dtype == AG_INT64 ? ceill((g.end - g.start) / g.step)
                                      : ceil(((double)g.end - (double)g.start) / (double)g.step);
    if (!(n >= 0 && n < 0x1p62)) return ag__fail_call(r->op, a, "invalid size, possible overflow?");
    if (!ag__is_floating(g.dtype) && !range_fits(r, &g)) return false;
    int64_t size = (int64_t)n;
    options o = OPTIONS(a);
    o.dtype = g.dtype;
    return make(r, 1, &size, NULL, o);
}

static bool ramp_on_device(ag_run *r, const ag__ramp *ramp)
{
    const ag_device_functions *functions = ag__device_functions(r->device);
    return functions && functions->ramp(r->op->name, &r->out[0]->tensor, ramp);
}

static bool arange_anywhere(ag_run *r)
{
    range g = range_of(r->args);
    ag_tensor *y = &r->out[0]->tensor;
    int64_t n = y->numel;
    double start = (double)g.start, step = (double)g.step;
    bool whole = !ag__is_floating(g.dtype); /* then they fit */
    int64_t first = whole ? (int64_t)g.start : 0, by = whole ? (int64_t)g.step : 0;
    if (r->device.type != AG_DEVICE_CPU)
        return ramp_on_device(r, &(ag__ramp){ .kind = whole ? AG_RAMP_INTEGER : AG_RAMP_F64,
                                              .start = start,
                                              .step = step,
                                              .first = first,
                                              .by = by,
                                              .turn = n,
                                              .n = n });
    switch (g.dtype) {
    case AG_FLOAT32:
        for (int64_t i = 0; i < n; i++) ((float *)(void *)y->data)[i] = (float)(start + step * (double)i);
        break;
    case AG_FLOAT64:
        for (int64_t i = 0; i < n; i++) ((double *)(void *)y->data)[i] = start + step * (double)i;
        break;
    default:
        for (int64_t i = 0; i < n; i++)
            ag__store_int64(y->data + i * (int64_t)ag__itemsize(y), g.dtype,
                            (int64_t)((uint64_t)first + (uint64_t)by * (uint64_t)i));
    }
    return true;
}
AG_OP(arange, .shape = arange_shape, .kernel = { arange_anywhere, arange_anywhere })

static bool linspace_shape(ag_run *r)
{
    const struct ag_linspace_args *a = r->args;
    if (a->steps < 0) return ag__fail_call(r->op, a, "number of steps must be non-negative");
    options o = OPTIONS(a);
    if (o.dtype == AG_DTYPE_DEFAULT) o.dtype = ag_get_default_dtype();
    if (o.dtype == AG_BOOL && a->steps > 1)
        return ag__fail_call(r->op, a, "\"linspace_cpu\" not implemented for 'Bool'");
    return make(r, 1, &a->steps, NULL, o);
}
/* From both ends to the middle, so that the last number is `end` itself and the whole is symmetric. */
static bool linspace_anywhere(ag_run *r)
{
    const struct ag_linspace_args *a = r->args;
    ag_tensor *y = &r->out[0]->tensor;
    int64_t n = y->numel;
    double step = n > 1 ? (a->end - a->start) / (double)(n - 1) : 0;
    ag__ramp ramp = { .kind = AG_RAMP_F64, .start = a->start, .step = step, .end = a->end, .n = n };
    ramp.turn = n == 1 ? 1 : n / 2;
    if (r->device.type != AG_DEVICE_CPU && y->dtype != AG_FLOAT32) return ramp_on_device(r, &ramp);
    if (y->dtype == AG_FLOAT32) { /* PyTorch's arithmetic is in the type itself */
        float first = (float)a->start, last = (float)a->end, by = n > 1 ? (last - first) / (float)(n - 1) : 0;
        if (r->device.type != AG_DEVICE_CPU) {
            ramp.kind = AG_RAMP_F32;
            ramp.start = first;
            ramp.step = by;
            ramp.end = last;
            return ramp_on_device(r, &ramp);
        }
        for (int64_t i = 0; i < n; i++)
            ((float *)(void *)y->data)[i] = i < n / 2 ? first + by * (float)i : last - by * (float)(n - i - 1);
        if (n == 1) ((float *)(void *)y->data)[0] = first;
        return true;
    }
    for (int64_t i = 0; i < n; i++)
        ag__store(y->data + i * (int64_t)ag__itemsize(y), (ag_dtype)y->dtype,
                  i < n / 2 || n == 1 ? a->start + step * (double)i : a->end - step * (double)(n - i - 1));
    return true;
}
AG_OP(linspace, .shape = linspace_shape, .kernel = { linspace_anywhere, linspace_anywhere })

static bool eye_shape(ag_run *r)
{
    const struct ag_eye_args *a = r->args;
    if (a->n < 0) return ag__fail_call(r->op, a, "n must be greater or equal to 0, got %" PRId64, a->n);
    if (a->m < -1) return ag__fail_call(r->op, a, "m must be greater or equal to 0, got %" PRId64, a->m);
    options o = OPTIONS(a);
    if (o.dtype == AG_DTYPE_DEFAULT) o.dtype = ag_get_default_dtype();
    return make(r, 2, (int64_t[]){ a->n, a->m < 0 ? a->n : a->m }, NULL, o);
}
static bool eye_anywhere(ag_run *r)
{
    ag_tensor diagonal = r->out[0]->tensor;
    if (!ag__fill_tensor(&diagonal, 0)) return false;
    diagonal.numel = diagonal.size[0] < diagonal.size[1] ? diagonal.size[0] : diagonal.size[1];
    diagonal.stride[0] = diagonal.size[1] + 1;
    diagonal.size[0] = diagonal.numel;
    diagonal.ndim = 1;
    diagonal.contiguous = diagonal.numel < 2 || diagonal.stride[0] == 1;
    return ag__fill_tensor(&diagonal, 1);
}
AG_OP(eye, .shape = eye_shape, .kernel = { eye_anywhere, eye_anywhere })
