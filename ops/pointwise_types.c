/* pointwise_types.c - see pointwise_types.h. */
#include "ops/pointwise_types.h"
#include "ops/check.h"
#include "ops/number.h"

#include <math.h>
#include <string.h>

/* What PyTorch says where an op does not take bool; without a sentence of its own, the usual one. */
static const struct {
    const char *op, *sentence;
} no_bool[] = {
    { "neg", "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use "
             "the `~` or `logical_not()` operator instead." },
    { "sub", "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
             "use the `~` or `logical_not()` operator instead." },
    { "rsub", "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
              "use the `~` or `logical_not()` operator instead." },
    { "relu", "Boolean inputs not supported for relu" },
    { "hardtanh", "Bool inputs not supported for hardtanh" },
    { "relu6", "Bool inputs not supported for hardtanh" },
};

static bool refuse(const ag_op *op, const void *args, ag_dtype dtype)
{
    for (size_t k = 0; dtype == AG_BOOL && k < sizeof no_bool / sizeof *no_bool; k++)
        if (!strcmp(op->name, no_bool[k].op)) return ag__fail_call(op, args, "%s", no_bool[k].sentence);
    return ag__fail_call(op, args, "\"%s_cpu\" not implemented for '%s'", op->name, ag__scalar_type(dtype));
}

static bool is_fraction(double x) { return x != floor(x); } /* NaN, too; infinite is whole */
#define IS(op_, name_) ((op_)->row->value == AG_EXPRESSION_##name_##_value)

/* The numbers of an op computed in integers. */
static bool check_options(const ag_op *op, const void *args, const double *options, ag_dtype dtype)
{
    const ag_pointwise *row = op->row;
    for (int k = 0; k < row->n_options; k++) {
        const char *name = op->args[row->n_in + k].name;
        if (!strcmp(name, "alpha") && is_fraction(options[k]))
            return ag__fail_call(op, args,
                                 "For integral input tensors, argument alpha must not be a floating point number.");
        if (row->integers == AG_INTEGERS_ordered_long && isinf(options[k])) continue; /* no limit */
        if (!ag__check_number(op, args, trunc(options[k]), dtype)) return false;      /* a fraction is cut off */
        if (IS(op, hardtanh) && dtype == AG_UINT8 && options[k] <= -1)
            return ag__fail_call(op, args, "cannot do hardtanh on an unsigned type with negative limits");
    }
    return true;
}

/* What PyTorch refuses of single ops, whatever the promoted type. */
static bool check_inputs(const ag_op *op, const void *args, ag_variable *const *in, const double *options)
{
    static const char *const c_name[AG_N_DTYPES] = { "float", "double", "long int", "int", "unsigned char", "bool" };
    ag_dtype type[3];
    for (int i = 0; i < op->row->n_in; i++) type[i] = (ag_dtype)in[i]->tensor.dtype;
    if (IS(op, softsign) && type[0] == AG_BOOL)
        return ag__fail_call(op, args, "\"abs_cpu\" not implemented for 'Bool'");
    if (IS(op, where) && type[0] != AG_BOOL && type[0] != AG_UINT8)
        return ag__fail_call(op, args,
                             "where expected condition to be a boolean tensor, but got a tensor with dtype %s",
                             ag__scalar_type(type[0]));
    const bool subtracts = IS(op, sub) || IS(op, rsub);
    if (subtracts && type[0] == AG_BOOL && type[1] == AG_BOOL)
        return ag__fail_call(
            op, args,
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
            "operator instead.");
    if (subtracts && (type[0] == AG_BOOL || type[1] == AG_BOOL)) return refuse(op, args, AG_BOOL);
    if (IS(op, clamp) && isinf(options[0]) && options[0] < 0 && isinf(options[1]) && options[1] > 0)
        return ag__fail_call(op, args, "torch.clamp: At least one of 'min' or 'max' must not be None");
    if (IS(op, addcdiv) && !ag__is_floating(type[1]) && !ag__is_floating(type[2]))
        return ag__fail_call(
            op, args, "Integer division with addcdiv is no longer supported: give tensor1 or tensor2 a floating type");
    for (int i = 1; IS(op, lerp) && i < 3; i++)
        if (type[i] != type[0] && !in[i]->tensor.wrapped)
            return ag__fail_call(op, args, "expected dtype %s for `%s` but got dtype %s", c_name[type[0]],
                                 op->args[i].name, c_name[type[i]]);
    return true;
}

bool ag__row_type(const ag_op *op, const void *args, ag_variable *const *in, const double *options, ag_dtype *dtype)
{
    const ag_pointwise *row = op->row;
    const ag_tensor *number[3];
    int n = 0;
    bool fraction = false;
    if (!check_inputs(op, args, in, options)) return false;
    for (int i = row->has_mask; i < row->n_in; i++) number[n++] = &in[i]->tensor;
    *dtype = ag__result_type(n, number);
    if (IS(op, lerp)) *dtype = (ag_dtype)number[0]->dtype;
    if (ag__is_floating(*dtype)) return true;
    if (IS(op, pow) && in[1]->tensor.wrapped) { /* PyTorch looks at a plain exponent before it computes */
        if (ag__load(in[1]->tensor.data, (ag_dtype)in[1]->tensor.dtype) < 0)
            return ag__fail_call(op, args, "Integers to negative integer powers are not allowed.");
        return true;
    }
    for (int k = 0; k < row->n_options; k++) fraction = fraction || is_fraction(options[k]);
    switch ((ag_row_integers)row->integers) {
    case AG_INTEGERS_to_float:
        *dtype = ag_get_default_dtype();
        return true;
    case AG_INTEGERS_only_float:
        return refuse(op, args, *dtype);
    case AG_INTEGERS_ring:
    case AG_INTEGERS_ordered:
        if (*dtype == AG_BOOL) return refuse(op, args, *dtype);
        break;
    case AG_INTEGERS_ring_long:
    case AG_INTEGERS_ordered_long:
        if (*dtype == AG_BOOL) *dtype = AG_INT64;
        if (fraction) *dtype = ag_get_default_dtype();
        if (fraction) return true;
        break;
    case AG_INTEGERS_ring_bool:
    case AG_INTEGERS_ordered_bool:
        break;
    }
    return check_options(op, args, options, *dtype);
}
