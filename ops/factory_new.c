/* factory_new.c - x.new_zeros() and its kin: factories that take type and device from a Variable. See factory.h. */
#include "autograd/op.h"

#include <argent/factory.h>

static ag_dtype type_of(const ag_variable *x, ag_dtype dtype)
{
    return dtype == AG_DTYPE_DEFAULT ? ag_dtype_of(x) : dtype;
}
static ag_device device_of(const ag_variable *x, ag_device device)
{
    return device.type == AG_DEVICE_DEFAULT ? ag__device(x) : device;
}

static bool new_zeros_compose(const void *args, ag_variable **out)
{
    const struct ag_new_zeros_args *a = args;
    out[0] = ag_zeros(a->size, .dtype = type_of(a->input, a->dtype), .device = device_of(a->input, a->device),
                      .requires_grad = a->requires_grad);
    return out[0] != NULL;
}
static bool new_ones_compose(const void *args, ag_variable **out)
{
    const struct ag_new_ones_args *a = args;
    out[0] = ag_ones(a->size, .dtype = type_of(a->input, a->dtype), .device = device_of(a->input, a->device),
                     .requires_grad = a->requires_grad);
    return out[0] != NULL;
}
static bool new_full_compose(const void *args, ag_variable **out)
{
    const struct ag_new_full_args *a = args;
    out[0] = ag_full(a->size, a->fill_value, .dtype = type_of(a->input, a->dtype),
                     .device = device_of(a->input, a->device), .requires_grad = a->requires_grad);
    return out[0] != NULL;
}
AG_OP(new_zeros, .compose = new_zeros_compose)
AG_OP(new_ones, .compose = new_ones_compose)
AG_OP(new_full, .compose = new_full_compose)
