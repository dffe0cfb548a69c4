/* copy.c - see copy.h. */
#include "autograd/op.h"
#include "ops/check.h"
#include "ops/cuda_pinned.h"
#include "ops/fresh.h"
#include "ops/number.h"
#include "ops/overlap.h"
#include "ops/pointwise_rows.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>

#include <string.h>

/* ---- out of place ---- */

/* x's elements lie in that order already. */
static bool lies_so(const ag_tensor *x, ag_memory_format format)
{
    int64_t stride[AG_MAX_DIMS];
    if (format == AG_PRESERVE_FORMAT) return true;
    if ((format == AG_BATCH_LAST && x->ndim < 2) || (format == AG_CHANNELS_LAST && x->ndim != 4))
        return false; /* the copy then says why not */
    if (format == AG_CONTIGUOUS_FORMAT || x->numel == 0) return x->contiguous;
    ag__format_strides(x->ndim, x->size, format, stride);
    for (int d = 0; d < x->ndim; d++)
        if (x->size[d] > 1 && x->stride[d] != stride[d]) return false;
    return true;
}

static bool clone_shape(ag_run *r)
{
    const struct ag_clone_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    int64_t stride[AG_MAX_DIMS];
    return ag__fresh_strides(r->op, a, x, a->memory_format, stride) &&
           ag__output_strided(r, 0, x->ndim, x->size, stride, (ag_dtype)x->dtype) != NULL;
}
static bool copy_anywhere(ag_run *r) { return ag__copy_tensor(&r->out[0]->tensor, &r->in[0]->tensor); }
static void pass_backward(ag_gradients *b) { b->grad[0] = b->g[0]; }
AG_OP(clone, .node = "CloneBackward0", .shape = clone_shape, .kernel = { copy_anywhere, copy_anywhere },
      .backward = pass_backward)

static bool contiguous_compose(const void *args, ag_variable **out);
AG_OP(contiguous, .compose = contiguous_compose)
static bool contiguous_compose(const void *args, ag_variable **out)
{
    const struct ag_contiguous_args *a = args;
    if (a->memory_format == AG_PRESERVE_FORMAT)
        return ag__fail_call(ag__op_contiguous(), a,
                             "preserve memory format is unsupported by the contiguous operator");
    bool so = lies_so(&a->input->tensor, a->memory_format);
    return (out[0] = so ? a->input : ag_clone(a->input, .memory_format = a->memory_format)) != NULL;
}

/* ---- to ---- */

#define AG_ARGS__to_copy(must, may) \
    must(Tensor, input) must(Device, device) must(Dtype, dtype) must(Bool, non_blocking) must(Format, memory_format)
AG_STRUCT(_to_copy, AG_ARGS__to_copy)

static bool to_copy_shape(ag_run *r)
{
    const struct ag__to_copy_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    int64_t stride[AG_MAX_DIMS];
    if (!ag__fresh_strides(r->op, a, x, a->memory_format, stride)) return false;
    r->device = a->device;
    if (!ag__is_floating(a->dtype)) r->wants_grad = false;
    if (!ag__output_strided(r, 0, x->ndim, x->size, stride, a->dtype)) return false;
    const bool comes_later = a->non_blocking && a->device.type == AG_DEVICE_CPU &&
                             ag__device(a->input).type != AG_DEVICE_CPU;
    return !comes_later || ag__pin_fresh(r->t, r->out[0]);
}
static bool to_copy_anywhere(ag_run *r)
{
    const struct ag__to_copy_args *a = r->args;
    return ag__transfer(&r->out[0]->tensor, &r->in[0]->tensor, a->non_blocking);
}
static void to_copy_backward(ag_gradients *b)
{
    b->grad[0] = ag_to(b->g[0], .device = b->edge[0].device, .dtype = (ag_dtype)b->edge[0].dtype);
}
AG_RECORD(_to_copy, AG_ARGS__to_copy, .of = "to", .node = "ToCopyBackward0", .shape = to_copy_shape,
          .kernel = { to_copy_anywhere, to_copy_anywhere }, .backward = to_copy_backward)

static bool to_compose(const void *args, ag_variable **out);
AG_OP(to, .compose = to_compose)
static bool to_compose(const void *args, ag_variable **out)
{
    const struct ag_to_args *a = args;
    const ag_tensor *x = &a->input->tensor;
    ag_device is = ag__device(a->input);
    struct ag__to_copy_args copy = { .input = a->input,
                                     .device = a->device,
                                     .dtype = a->dtype,
                                     .non_blocking = a->non_blocking,
                                     .memory_format = a->memory_format };
    if (a->device.type == AG_DEVICE_DEFAULT) copy.device = is;
    if (a->dtype == AG_DTYPE_DEFAULT) copy.dtype = (ag_dtype)x->dtype;
    if ((int)copy.dtype < 0 || copy.dtype >= AG_N_DTYPES)
        return ag__fail_call(ag__op_to(), a, "there is no dtype %d", (int)copy.dtype);
    bool same = copy.dtype == (ag_dtype)x->dtype && copy.device.type == is.type && copy.device.index == is.index;
    if (same && !a->copy && lies_so(x, a->memory_format)) return (out[0] = a->input) != NULL;
    return ag__apply(ag__op__to_copy(), &copy, out, __builtin_return_address(0));
}

static bool float_compose(const void *args, ag_variable **out)
{
    const struct ag_float_args *a = args;
    return (out[0] = ag_to(a->input, .dtype = AG_FLOAT32, .memory_format = a->memory_format)) != NULL;
}
static bool double_compose(const void *args, ag_variable **out)
{
    const struct ag_double_args *a = args;
    return (out[0] = ag_to(a->input, .dtype = AG_FLOAT64, .memory_format = a->memory_format)) != NULL;
}
static bool long_compose(const void *args, ag_variable **out)
{
    const struct ag_long_args *a = args;
    return (out[0] = ag_to(a->input, .dtype = AG_INT64, .memory_format = a->memory_format)) != NULL;
}
static bool int_compose(const void *args, ag_variable **out)
{
    const struct ag_int_args *a = args;
    return (out[0] = ag_to(a->input, .dtype = AG_INT32, .memory_format = a->memory_format)) != NULL;
}
AG_OP(float, .compose = float_compose)
AG_OP(double, .compose = double_compose)
AG_OP(long, .compose = long_compose)
AG_OP(int, .compose = int_compose)

/* PyTorch's other overloads, by name. */
#define AG_ARGS__to_dtype(must, may)                                                             \
    must(Tensor, input) must(Dtype, dtype) may(Bool, non_blocking, false) may(Bool, copy, false) \
        may(Format, memory_format, AG_PRESERVE_FORMAT)
#define AG_ARGS__to_other(must, may)                                                              \
    must(Tensor, input) must(Tensor, other) may(Bool, non_blocking, false) may(Bool, copy, false) \
        may(Format, memory_format, AG_PRESERVE_FORMAT)
AG_STRUCT(_to_dtype, AG_ARGS__to_dtype)
AG_STRUCT(_to_other, AG_ARGS__to_other)
static bool to_dtype_compose(const void *args, ag_variable **out)
{
    const struct ag__to_dtype_args *a = args;
    out[0] = ag_to(a->input, .dtype = a->dtype, .non_blocking = a->non_blocking, .copy = a->copy,
                   .memory_format = a->memory_format);
    return out[0] != NULL;
}
static bool to_other_compose(const void *args, ag_variable **out)
{
    const struct ag__to_other_args *a = args;
    out[0] = ag_to(a->input, .device = ag__device(a->other), .dtype = ag_dtype_of(a->other),
                   .non_blocking = a->non_blocking, .copy = a->copy, .memory_format = a->memory_format);
    return out[0] != NULL;
}
AG_OVERRIDING
AG_RECORD(_to_dtype, AG_ARGS__to_dtype, .torch = "to.dtype", .compose = to_dtype_compose)
AG_RECORD(_to_other, AG_ARGS__to_other, .torch = "to.other", .compose = to_other_compose)
AG_OVERRIDDEN

/* ---- in place ---- */

static bool copy__shape(ag_run *r)
{
    const ag_tensor *y = &r->in[0]->tensor, *x = &r->in[1]->tensor;
    int ndim;
    int64_t size[AG_MAX_DIMS];
    if (r->in[0] != r->in[1] && ag__overlaps_itself(y)) return ag__fail_overlap("copy_");
    if (!ag__check_overlap("copy_", y, x)) return false;
    if (!ag__broadcast("copy_", 2, (const ag_tensor *const[]){ y, x }, &ndim, size)) return false;
    if (ndim != y->ndim || memcmp(size, y->size, (size_t)ndim * sizeof *size) != 0) {
        char is[AG_TEXT], wants[AG_TEXT];
        return ag__fail_call(r->op, r->args, "output with shape %s doesn't match the broadcast shape %s",
                             ag__shape_text(y->ndim, y->size, is, sizeof is),
                             ag__shape_text(ndim, size, wants, sizeof wants));
    }
    if (!ag__is_floating((ag_dtype)y->dtype)) r->wants_grad = false;
    return true;
}
static bool copy_element(const ag_tensor *y, const ag_tensor *x, void *user)
{
    (void)user;
    return ag__copy_tensor(y, x);
}
static bool copy__anywhere(ag_run *r)
{
    const ag_tensor *y = &r->in[0]->tensor, *x = &r->in[1]->tensor;
    if (ag__needs_order(y, x)) return ag__in_order(y, 1, &x, copy_element, NULL);
    return ag__transfer(y, x, ((const struct ag_copy__args *)r->args)->non_blocking);
}
static void copy__backward(ag_gradients *b)
{
    if (b->wanted[0]) b->grad[0] = ag_zeros_like(b->g[0]);
    if (b->wanted[1]) b->grad[1] = ag_to(b->g[0], .device = b->edge[1].device);
}
AG_OP(copy_, .node = "CopyBackwards", .numbers = 2, .inplace_only = true, .repeats = true, .moves = true,
      .shape = copy__shape, .kernel = { copy__anywhere, copy__anywhere }, .backward = copy__backward)

static void zeros_backward(ag_gradients *b) { b->grad[0] = ag_zeros_like(b->g[0]); }

#define AG_ARGS_fill_(must, may) must(Tensor, input) must(Number, value)
static bool fill__shape(ag_run *r);
static bool fill__anywhere(ag_run *r);
AG_OP_PLAIN(fill_, .node = "FillBackward2", .inplace_only = true, .repeats = true, .shape = fill__shape,
            .kernel = { fill__anywhere, fill__anywhere }, .backward = zeros_backward)
static bool fill__shape(ag_run *r)
{
    const struct ag_fill__args *a = r->args;
    return ag__check_number(r->op, a, a->value, ag_dtype_of(a->input));
}
static bool fill__anywhere(ag_run *r)
{
    const struct ag_fill__args *a = r->args;
    return ag__fill_tensor(&a->input->tensor, a->value);
}

#define AG_ARGS_fill_tensor_(must, may) must(Tensor, input) must(Tensor, value)
static bool fill_tensor_shape(ag_run *r);
static bool fill_tensor_anywhere(ag_run *r);
static void fill_tensor_backward(ag_gradients *b);
AG_OP_PLAIN(fill_tensor_, .torch = "fill_.Tensor", .of = "fill_", .node = "FillBackward3", .inplace_only = true,
            .repeats = true, .shape = fill_tensor_shape, .kernel = { fill_tensor_anywhere, fill_tensor_anywhere },
            .backward = fill_tensor_backward)
static bool fill_tensor_shape(ag_run *r)
{
    const struct ag_fill_tensor__args *a = r->args;
    if (a->value->tensor.ndim == 0) return true;
    return ag__fail_call(r->op, a, "fill_ only supports 0-dimension value tensor but got tensor with %d dimensions.",
                         a->value->tensor.ndim);
}
static bool fill_tensor_anywhere(ag_run *r)
{
    const struct ag_fill_tensor__args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    if (ag__device(a->value).type != AG_DEVICE_CPU) { /* nobody waits to know it */
        ag_tensor number = a->value->tensor;
        number.ndim = x->ndim;
        number.numel = x->numel;
        number.contiguous = x->numel == 1;
        memcpy(number.size, x->size, sizeof number.size);
        memset(number.stride, 0, sizeof number.stride);
        return ag__copy_tensor(x, &number);
    }
    bool fractional = ag__is_floating((ag_dtype)a->value->tensor.dtype);
    return ag__fill_tensor(&a->input->tensor,
                           fractional ? (ag_number)ag_item(a->value) : (ag_number)ag_item_int64(a->value));
}
static void fill_tensor_backward(ag_gradients *b)
{
    if (b->wanted[0]) b->grad[0] = ag_zeros_like(b->g[0]);
    if (b->wanted[1]) b->grad[1] = ag_sum(b->g[0]);
}
#define AG_ARGS_zero_(must, may) must(Tensor, input)
static bool zero__shape(ag_run *r) { return r->in[0] != NULL; }
static bool zero__anywhere(ag_run *r) { return ag__fill_tensor(&r->in[0]->tensor, 0); }
AG_OP_PLAIN(zero_, .node = "ZeroBackward0", .inplace_only = true, .repeats = true, .shape = zero__shape,
            .kernel = { zero__anywhere, zero__anywhere }, .backward = zeros_backward)

/* ---- where a mask says so ---- */

#define AG_ARGS_masked_fill(must, may) must(Tensor, input) must(Tensor, mask) must(Number, value)
static bool masked_fill_shape(ag_run *r);
static bool masked_fill_anywhere(ag_run *r);
static void masked_fill_backward(ag_gradients *b);
AG_OP_PLAIN(masked_fill, .node = "MaskedFillBackward0", .inplace = true, .repeats = true, .shape = masked_fill_shape,
            .kernel = { masked_fill_anywhere, masked_fill_anywhere }, .backward = masked_fill_backward,
            .keeps = { AG_KEEP_IN(1) })
AG_INPLACE_PLAIN(masked_fill)

static bool masked_fill_shape(ag_run *r)
{
    const struct ag_masked_fill_args *a = r->args;
    const ag_tensor *x = &a->input->tensor, *mask = &a->mask->tensor;
    int ndim;
    int64_t size[AG_MAX_DIMS];
    if (mask->dtype != AG_BOOL)
        return ag__fail_call(r->op, a, "masked_fill_ only supports boolean masks, but got mask with dtype %s",
                             ag__c_type((ag_dtype)mask->dtype));
    return ag__check_number(r->op, a, a->value, (ag_dtype)x->dtype) &&
           ag__broadcast("masked_fill", 2, (const ag_tensor *const[]){ mask, x }, &ndim, size) &&
           ag__output(r, 0, ndim, size, (ag_dtype)x->dtype) != NULL;
}

/* As the row `where` has it: the number where the mask is set, else the element. */
static bool masked_fill_anywhere(ag_run *r)
{
    const struct ag_masked_fill_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    static const double no_options[AG_ROW_MAX_OPTIONS];
    _Alignas(8) char value[8];
    ag_tensor number = { .data = value, .numel = 1, .dtype = y->dtype, .contiguous = true };
    ag__store_number(value, (ag_dtype)y->dtype, a->value);
    ag__evaluation e = { .out = y,
                         .expression = AG_EXPRESSION_where_value,
                         .dtype = (ag_dtype)y->dtype,
                         .reads = 1u << IN_M | 1u << IN_A | 1u << IN_B,
                         .options = no_options };
    e.operand[IN_M] = &a->mask->tensor;
    e.operand[IN_A] = &number;
    e.operand[IN_B] = &a->input->tensor;
    return ag__evaluate("masked_fill", &e);
}
static void masked_fill_backward(ag_gradients *b)
{
    const struct ag_masked_fill_args *a = b->args;
    b->grad[0] = ag_masked_fill(b->g[0], a->mask, 0);
}

/* The overload whose value is a Variable without dimensions, by name. */
#define AG_ARGS__masked_fill_tensor(must, may) must(Tensor, input) must(Tensor, mask) must(Tensor, value)
AG_STRUCT(_masked_fill_tensor, AG_ARGS__masked_fill_tensor)
static bool with_number(const struct ag__masked_fill_tensor_args *a, struct ag_masked_fill_args *number)
{
    _Alignas(8) char value[8];
    if (!ag__read_element(&a->value->tensor, value)) return false;
    *number = (struct ag_masked_fill_args){ .input = a->input,
                                            .mask = a->mask,
                                            .value = ag__load(value, ag_dtype_of(a->value)) };
    return true;
}
static bool masked_fill_tensor_shape(ag_run *r)
{
    const struct ag__masked_fill_tensor_args *a = r->args;
    if (a->value->tensor.ndim)
        return ag__fail_call(r->op, a,
                             "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with %d "
                             "dimension(s).",
                             a->value->tensor.ndim);
    struct ag_masked_fill_args number;
    if (!with_number(a, &number)) return false;
    ag_run same = *r;
    same.args = &number;
    same.op = ag__op_masked_fill();
    if (!masked_fill_shape(&same)) return false;
    r->out[0] = same.out[0];
    return true;
}
static bool masked_fill_tensor_anywhere(ag_run *r)
{
    struct ag_masked_fill_args number;
    if (!with_number(r->args, &number)) return false;
    ag_run same = *r;
    same.args = &number;
    return masked_fill_anywhere(&same);
}
static void masked_fill_tensor_backward(ag_gradients *b)
{
    const struct ag__masked_fill_tensor_args *a = b->args;
    if (b->wanted[0]) b->grad[0] = ag_masked_fill(b->g[0], a->mask, 0);
    if (b->wanted[2]) b->grad[2] = ag_sum(ag_where(a->mask, b->g[0], ag_zeros_like(b->g[0])));
}
AG_RECORD(_masked_fill_tensor, AG_ARGS__masked_fill_tensor, .of = "masked_fill", .torch = "masked_fill.Tensor",
          .node = "MaskedFillBackward1", .inplace = true, .shape = masked_fill_tensor_shape,
          .kernel = { masked_fill_tensor_anywhere, masked_fill_tensor_anywhere },
          .backward = masked_fill_tensor_backward, .keeps = { AG_KEEP_IN(1), 0, AG_KEEP_IN(1) })
