/* host.c - numbers between Variables and the program's own memory: item, data, from arrays, and numbers as 0-dim
 * Variables. */
#include "autograd/node.h"

#include <argent/copy.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

static bool is_missing(const char *op, const ag_variable *x)
{
    if (x && x != AG_NONE) return false;
    ag__fail(AG_EINVAL, "%s: input is %s", op, x ? "None" : "NULL");
    return true;
}

static bool on_host(const char *op, const ag_variable *x)
{
    ag_device device = ag__device(x);
    if (device.type == AG_DEVICE_CPU) return true;
    return ag__fail(AG_EDEVICE, "%s: input is on %s; move it with ag_to(x, AG_CPU) first", op, ag_device_name(device));
}

/* ---- one number ---- */

static bool only_element(const ag_variable *x, char element[8])
{
    if (is_missing("item", x)) return false;
    if (x->tensor.numel != 1)
        return ag__fail(AG_EINVAL, "item: a Tensor with %" PRId64 " elements cannot be converted to Scalar",
                        x->tensor.numel);
    return ag__read_element(&x->tensor, element);
}

double ag_item(const ag_variable *x)
{
    char element[8];
    return only_element(x, element) ? ag__load(element, ag_dtype_of(x)) : NAN;
}
int64_t ag_item_int64(const ag_variable *x)
{
    char element[8];
    return only_element(x, element) ? ag__load_int64(element, ag_dtype_of(x)) : 0;
}

/* ---- all of them ---- */

const void *ag_data(const ag_variable *x)
{
    if (is_missing("data", x) || !on_host("data", x)) return NULL;
    return x->tensor.numel ? x->tensor.data : NULL;
}

void *ag_data_mutable(ag_variable *x)
{
    if (is_missing("data_mutable", x) || !on_host("data_mutable", x) || !ag__may_change(ag__thread())) return NULL;
    if (x->tensor.wrapped)
        return ag__fail(AG_EINVAL, "data_mutable: a number from ag_scalar is shared, so it cannot change; use ag_full");
    if (!x->tensor.numel) return NULL;
    __atomic_add_fetch(&x->tensor.storage->version, 1, __ATOMIC_RELAXED);
    return x->tensor.data;
}

bool ag_copy_to(const ag_variable *x, void *out, ag_dtype dtype)
{
    if (is_missing("copy_to", x)) return false;
    if (dtype == AG_DTYPE_DEFAULT) dtype = ag_dtype_of(x);
    if ((int)dtype < 0 || dtype >= AG_N_DTYPES) return ag__fail(AG_EINVAL, "copy_to: there is no dtype %d", (int)dtype);
    if (!x->tensor.numel) return true;
    if (!out) return ag__fail(AG_EINVAL, "copy_to: out is NULL");
    ag_tensor to = x->tensor; /* row-major in the caller's memory */
    to.data = out;
    to.dtype = (uint8_t)dtype;
    to.contiguous = true;
    ag__contiguous_strides(to.ndim, to.size, to.stride);
    ag_storage host = { .device = AG_CPU };
    to.storage = &host;
    return ag__copy_tensor(&to, &x->tensor);
}

/* ---- from the program's memory ---- */

/* How many elements; -1 with a sentence. */
static int64_t check_shape(const char *op, ag_shape_list shape, ag_dtype dtype)
{
    char text[AG_TEXT];
    if ((int)dtype < 0 || dtype >= AG_N_DTYPES)
        return ag__fail(AG_EINVAL, "%s: there is no dtype %d", op, (int)dtype), -1;
    if (shape.n < 0 || shape.n > AG_MAX_DIMS)
        return ag__fail(AG_EINVAL, "%s: a Variable has at most %d dimensions, not %" PRId64, op, AG_MAX_DIMS, shape.n),
               -1;
    int64_t numel = ag__numel_of((int)shape.n, shape.at);
    if (numel < 0)
        ag__fail(AG_EINVAL,
                 "%s: shape %s is not possible: sizes must not be negative, and their product must fit in memory", op,
                 ag__shape_text((int)shape.n, shape.at, text, sizeof text));
    return numel;
}

static ag_variable *copy_of(const void *data, ag_shape_list shape, ag_dtype dtype, void *caller)
{
    int64_t numel = check_shape("tensor", shape, dtype);
    if (numel < 0) return NULL;
    if (!data && numel) return ag__fail(AG_EINVAL, "tensor: data is NULL");
    ag_variable *x = ag__new(ag__thread(), (int)shape.n, shape.at, dtype, AG_CPU);
    if (!x) return NULL;
    if (numel) memcpy(x->tensor.data, data, (size_t)numel * ag__itemsize(&x->tensor));
    x->made_by = "tensor";
    x->caller = caller;
    return x;
}

ag_variable *ag_tensor_from(const void *data, ag_shape_list shape, ag_dtype dtype)
{
    return copy_of(data, shape, dtype, __builtin_return_address(0));
}

ag_variable *ag_tensor_call(const struct ag_tensor_args *args)
{
    ag_variable *x = copy_of(args->data.at, args->shape, args->data.dtype, __builtin_return_address(0));
    bool as_it_is = args->dtype == AG_DTYPE_DEFAULT && args->device.type == AG_DEVICE_DEFAULT;
    if (x && !as_it_is) x = ag_to(x, args->device, .dtype = args->dtype);
    return x && args->requires_grad ? ag_requires_grad_(x) : x;
}

/* How many elements of memory the strides reach over; -1 with a sentence. */
static int64_t reach(ag_shape_list shape, const int64_t *stride)
{
    int64_t reach = 1;
    for (int64_t d = 0; d < shape.n; d++) {
        int64_t step;
        if (shape.at[d] == 0) return 0;
        if (stride[d] < 0 || __builtin_mul_overflow(stride[d], shape.at[d] - 1, &step) ||
            __builtin_add_overflow(reach, step, &reach) || reach > INT64_MAX / 8) {
            char text[AG_TEXT];
            return ag__fail(
                       AG_EINVAL,
                       "from_blob: strides %s are not possible: they must not be negative, nor reach beyond memory",
                       ag__shape_text((int)shape.n, stride, text, sizeof text)),
                   -1;
        }
    }
    return reach;
}

ag_variable *ag_from_blob(void *data, ag_shape_list shape, ag_shape_list strides, ag_dtype dtype,
                          void (*deleter)(void *data, void *user), void *user)
{
    Thread *t = ag__thread();
    int64_t contiguous[AG_MAX_DIMS], nothing = 0, elements = -1;
    int64_t numel = check_shape("from_blob", shape, dtype);
    const int64_t *stride = strides.n ? strides.at : contiguous;
    ag_variable *x = NULL;
    if (numel >= 0) {
        ag__contiguous_strides((int)shape.n, shape.at, contiguous);
        if (!data && numel)
            ag__fail(AG_EINVAL, "from_blob: data is NULL");
        else if (strides.n && strides.n != shape.n)
            ag__fail(AG_EINVAL, "from_blob: mismatch in length of strides (%" PRId64 ") and shape (%" PRId64 ")",
                     strides.n, shape.n);
        else if ((uintptr_t)data % ag_dtype_size(dtype))
            ag__fail(AG_EINVAL, "from_blob: data must be aligned to its elements of %zu bytes", ag_dtype_size(dtype));
        else
            elements = reach(shape, stride);
    }
    if (elements >= 0) x = ag__new(t, 1, &nothing, dtype, AG_CPU); /* its storage gives way to the caller's memory */
    if (!x) {
        if (deleter) deleter(data, user);
        return NULL;
    }
    ag_storage *storage = ag__storage_external(t, data, elements * (int64_t)ag_dtype_size(dtype), AG_CPU, deleter,
                                               user);
    if (!storage) return NULL;
    ag__storage_drop(t, x->tensor.storage);
    x->tensor.storage = storage;
    x->tensor.data = data;
    x->tensor.numel = numel;
    x->tensor.ndim = (uint8_t)shape.n;
    for (int64_t d = 0; d < shape.n; d++) {
        x->tensor.size[d] = shape.at[d];
        x->tensor.stride[d] = ag__kept_stride(shape.at[d], stride[d]);
    }
    x->tensor.contiguous = ag__is_contiguous((int)shape.n, shape.at, stride);
    x->made_by = "from_blob";
    x->caller = __builtin_return_address(0);
    return x;
}

/* ---- numbers as Variables ---- */

/* The thread keeps the last ones, by hash. Each call also hands the number to the innermost scope, so that one which is
 * pushed out of its place is still there for whoever was given it. */
static ag_variable *number(uint64_t bits, ag_dtype dtype, const void *caller)
{
    Thread *t = ag__thread();
    size_t bytes = ag_dtype_size(dtype);
    size_t place = (size_t)(((bits + dtype) * 0x9e3779b97f4a7c15u) >> 60);
    ag_variable *x = t->scalars[place];
    if (x && x->tensor.dtype == dtype && memcmp(x->tensor.data, &bits, bytes) == 0) {
        ag__ref(x, AG_OWNER);
        return ag__hold(t, x);
    }
    x = ag__new(t, 0, NULL, dtype, AG_CPU);
    if (!x) return NULL;
    memcpy(x->tensor.data, &bits, bytes);
    x->tensor.wrapped = true;
    x->inference = false; /* it is kept for later, and cannot change */
    x->made_by = "scalar";
    x->caller = caller;
    ag_variable *old = t->scalars[place];
    ag__ref(x, AG_OWNER);
    t->scalars[place] = x;
    if (old) {
        ag__unref(t, old, AG_OWNER);
        ag__bury(t);
    }
    return x;
}

ag_variable *ag_scalar_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return number(bits, AG_FLOAT64, __builtin_return_address(0));
}
ag_variable *ag_scalar_int64(int64_t value) { return number((uint64_t)value, AG_INT64, __builtin_return_address(0)); }
ag_variable *ag_scalar_bool(bool value) { return number(value, AG_BOOL, __builtin_return_address(0)); }
