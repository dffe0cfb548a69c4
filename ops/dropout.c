/* dropout.c - a mask of 0 and 1 / (1 - p) is drawn (tensor/random_fill.h) and multiplied in: the product is an
 * ordinary mul. On a device an op does both, and nothing is kept: the mask is drawn again for the gradient. */
#include "ops/check.h"
#include "ops/dropout_device.h"
#include "ops/fresh.h"
#include "tensor/device_table.h"
#include "tensor/random_fill.h"

#include <argent/copy.h>
#include <argent/dropout.h>
#include <argent/factory.h>
#include <argent/pointwise.h>

/* ---- on a device ---- */

static bool native_dropout_shape(ag_run *r)
{
    const struct ag__native_dropout_args *a = r->args;
    const ag_tensor *x = &r->in[0]->tensor;
    return ag__output_strided(r, 0, x->ndim, x->size, a->stride.at, (ag_dtype)x->dtype) != NULL;
}
static void native_dropout_backward(ag_gradients *b);
AG_RECORD(_native_dropout, AG_ARGS__native_dropout, .of = "dropout", .node = "NativeDropoutBackward0", .inplace = true,
          .shape = native_dropout_shape, .backward = native_dropout_backward)
static void native_dropout_backward(ag_gradients *b)
{
    struct ag__native_dropout_args again = *(const struct ag__native_dropout_args *)b->args;
    again.input = b->g[0];
    b->grad[0] = ag__apply1(ag__op__native_dropout(), &again, NULL);
}

static bool drop_on_device(const ag_op *op, const void *args, ag_variable *x, double p, bool inplace, ag_variable **out)
{
    const ag_device device = ag__device(x);
    const ag_device_functions *functions = ag__device_functions(device);
    int64_t stride[AG_MAX_DIMS];
    uint64_t place[3];
    if (!functions || !ag__fresh_strides(op, args, &x->tensor, AG_PRESERVE_FORMAT, stride)) return false;
    if (!functions->dropout(device, x->tensor.numel, place)) return false;
    const struct ag__native_dropout_args native = { .input = x,
                                                    .p = p,
                                                    .seed = (int64_t)place[0],
                                                    .offset = (int64_t)place[1],
                                                    .state = (int64_t)place[2],
                                                    .stride = ag_sizes_of(x->tensor.ndim, stride) };
    const void *caller = __builtin_return_address(0);
    return inplace ? ag__apply_inplace(ag__op__native_dropout(), &native, out, caller)
                   : ag__apply(ag__op__native_dropout(), &native, out, caller);
}

/* ---- anywhere ---- */

static ag_variable *times(ag_variable *x, ag_variable *mask, bool inplace)
{
    return inplace ? ag_mul_(x, mask) : ag_mul(x, mask);
}

/* mask_size: the sizes of the mask, NULL: one draw an element, in the order of x's memory. */
static bool drop(const ag_op *op, const void *args, ag_variable *x, double p, bool training, bool inplace,
                 const int64_t *mask_size, ag_variable **out)
{
    if (!(p >= 0 && p <= 1))
        return ag__fail_call(op, args, "dropout probability has to be between 0 and 1, but got %g", p);
    if (!training || p == 0 || x->tensor.numel == 0) return (out[0] = x) != NULL;
    if (!ag_is_floating_point(x))
        return ag__fail_call(op, args, "result type Float can't be cast to %s", ag__scalar_type(ag_dtype_of(x)));
    const ag_dtype dtype = ag_dtype_of(x);
    const ag_device device = ag__device(x);
    if (p == 1) {
        ag_variable *zero = ag_zeros(AG_SCALAR_SHAPE, .dtype = dtype, .device = device);
        return (out[0] = times(x, zero, inplace)) != NULL;
    }
    if (device.type != AG_DEVICE_CPU && !mask_size) return drop_on_device(op, args, x, p, inplace, out);
    ag_variable *mask = mask_size ? ag_empty(ag_sizes_of(x->tensor.ndim, mask_size), .dtype = dtype, .device = device)
                                  : ag_empty_like(x);
    if (!mask || !ag__random_dropout_mask(NULL, &mask->tensor, p)) return false;
    /* The draws go in the order of (N, C); the product then wants them side by side as the images are. */
    if (mask_size && x->tensor.ndim == 4 && x->tensor.stride[0] == 1 && !x->tensor.contiguous)
        mask = ag_to(mask, .memory_format = AG_BATCH_LAST);
    return (out[0] = times(x, mask, inplace)) != NULL;
}

static bool dropout_compose(const void *args, ag_variable **out);
AG_OP(dropout, .compose = dropout_compose)
static bool dropout_compose(const void *args, ag_variable **out)
{
    const struct ag_dropout_args *a = args;
    return drop(ag__op_dropout(), args, a->input, a->p, a->training, a->inplace, NULL, out);
}

static bool dropout2d_compose(const void *args, ag_variable **out);
AG_OP(dropout2d, .compose = dropout2d_compose)
static bool dropout2d_compose(const void *args, ag_variable **out)
{
    const struct ag_dropout2d_args *a = args;
    const ag_tensor *x = &a->input->tensor;
    int64_t size[AG_MAX_DIMS];
    if (x->ndim < 2)
        return ag__fail_call(ag__op_dropout2d(), args, "Feature dropout requires at least 2 dimensions in the input");
    for (int d = 0; d < x->ndim; d++) size[d] = d < 2 ? x->size[d] : 1;
    return drop(ag__op_dropout2d(), args, a->input, a->p, a->training, a->inplace, size, out);
}
