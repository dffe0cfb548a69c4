/* bitwise.c - see bitwise.h. */
#include "ops/binary.h"
#include "ops/check.h"

#include <argent/bitwise.h>

typedef struct bits {
    int operation;  /* of ops/cpu/divide.h */
    ag_dtype dtype; /* computed in */
    int width;
} bits;

/* data: the result, a, b, all of one type */
static void combine_row(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    const bits *s = user;
    for (int64_t i = 0; i < count; i++) {
        int64_t a = ag__load_int64(data[1] + i * stride[1], s->dtype);
        int64_t b = ag__load_int64(data[2] + i * stride[2], s->dtype);
        ag__store_int64(data[0] + i * stride[0], s->dtype, ag__combine_bits(s->operation, s->width, a, b));
    }
}

static bool check_type(ag_run *r, const char *kernel, ag_dtype dtype, bool takes_bool)
{
    if (!ag__is_floating(dtype) && (takes_bool || dtype != AG_BOOL)) return true;
    return ag__fail_call(r->op, r->args, "\"%s_cpu\" not implemented for '%s'", kernel, ag__scalar_type(dtype));
}
static bool binary_shape(ag_run *r, const char *kernel, bool takes_bool)
{
    ag_dtype dtype = ag__binary_type(r);
    return check_type(r, kernel, dtype, takes_bool) && ag__binary_result(r, r->op->name, dtype);
}
static bool binary_anywhere(ag_run *r, int operation)
{
    bits s = { operation, ag__binary_type(r), 0 };
    if (r->device.type != AG_DEVICE_CPU) return ag__binary_on_device(r, s.dtype, operation);
    s.width = (int)(8 * ag_dtype_size(s.dtype));
    return ag__binary_rows(r, s.dtype, combine_row, &s);
}

static bool bitwise_and_shape(ag_run *r) { return binary_shape(r, "bitwise_and", true); }
static bool bitwise_or_shape(ag_run *r) { return binary_shape(r, "bitwise_or", true); }
static bool bitwise_xor_shape(ag_run *r) { return binary_shape(r, "bitwise_xor", true); }
static bool left_shift_shape(ag_run *r) { return binary_shape(r, "lshift", false); }
static bool right_shift_shape(ag_run *r) { return binary_shape(r, "rshift", false); }
static bool bitwise_and_anywhere(ag_run *r) { return binary_anywhere(r, AG_BIT_AND); }
static bool bitwise_or_anywhere(ag_run *r) { return binary_anywhere(r, AG_BIT_OR); }
static bool bitwise_xor_anywhere(ag_run *r) { return binary_anywhere(r, AG_BIT_XOR); }
static bool left_shift_anywhere(ag_run *r) { return binary_anywhere(r, AG_SHIFT_LEFT); }
static bool right_shift_anywhere(ag_run *r) { return binary_anywhere(r, AG_SHIFT_RIGHT); }

#define AG_ARGS_bitwise_and(must, may)         must(Tensor, input) must(Tensor, other)
#define AG_ARGS_bitwise_or(must, may)          AG_ARGS_bitwise_and(must, may)
#define AG_ARGS_bitwise_xor(must, may)         AG_ARGS_bitwise_and(must, may)
#define AG_ARGS_bitwise_left_shift(must, may)  AG_ARGS_bitwise_and(must, may)
#define AG_ARGS_bitwise_right_shift(must, may) AG_ARGS_bitwise_and(must, may)
AG_OP_PLAIN(bitwise_and, .non_differentiable = 1, .numbers = 3, .inplace = true, .shape = bitwise_and_shape,
            .kernel = { bitwise_and_anywhere, bitwise_and_anywhere })
AG_OP_PLAIN(bitwise_or, .non_differentiable = 1, .numbers = 3, .inplace = true, .shape = bitwise_or_shape,
            .kernel = { bitwise_or_anywhere, bitwise_or_anywhere })
AG_OP_PLAIN(bitwise_xor, .non_differentiable = 1, .numbers = 3, .inplace = true, .shape = bitwise_xor_shape,
            .kernel = { bitwise_xor_anywhere, bitwise_xor_anywhere })
AG_OP_PLAIN(bitwise_left_shift, .non_differentiable = 1, .numbers = 3, .inplace = true, .shape = left_shift_shape,
            .kernel = { left_shift_anywhere, left_shift_anywhere })
AG_OP_PLAIN(bitwise_right_shift, .non_differentiable = 1, .numbers = 3, .inplace = true, .shape = right_shift_shape,
            .kernel = { right_shift_anywhere, right_shift_anywhere })
AG_INPLACE_PLAIN(bitwise_and)
AG_INPLACE_PLAIN(bitwise_or)
AG_INPLACE_PLAIN(bitwise_xor)
AG_INPLACE_PLAIN(bitwise_left_shift)
AG_INPLACE_PLAIN(bitwise_right_shift)

/* ---- not: the difference from all ones ---- */

#define AG_ARGS_bitwise_not(must, may) must(Tensor, input)
static bool bitwise_not_shape(ag_run *r)
{
    const ag_tensor *x = &r->in[0]->tensor;
    if (!check_type(r, "bitwise_not", (ag_dtype)x->dtype, true)) return false;
    if (r->inplace) return ag__output(r, 0, x->ndim, x->size, (ag_dtype)x->dtype) != NULL;
    return (r->out[0] = ag__pointwise_result(r->t, "bitwise_not", 1, &x, (ag_dtype)x->dtype, r->device)) != NULL;
}
/* data: the result, x */
static void not_row(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    const ag_dtype dtype = *(const ag_dtype *)user;
    for (int64_t i = 0; i < count; i++) {
        int64_t x = ag__load_int64(data[1] + i * stride[1], dtype);
        ag__store_int64(data[0] + i * stride[0], dtype, dtype == AG_BOOL ? !x : ~x);
    }
}
/* All ones, or of bool the only one, are another number: each bit that differs is one. */
static bool not_on_device(ag_run *r, ag_dtype dtype)
{
    _Alignas(8) char ones[8];
    const ag_tensor number = { .data = ones, .numel = 1, .dtype = (uint8_t)dtype, .contiguous = true };
    ag__store_int64(ones, dtype, -1);
    const ag__pair pair = {
        .operation = AG_BIT_XOR, .dtype = dtype, .out = &r->out[0]->tensor, .a = &r->in[0]->tensor, .b = &number
    };
    return ag__combine_on_device("bitwise_not", r->device, &pair);
}
static bool bitwise_not_anywhere(ag_run *r)
{
    ag_dtype dtype = ag_dtype_of(r->out[0]);
    ag_walk w;
    if (r->device.type != AG_DEVICE_CPU) return not_on_device(r, dtype);
    ag__walk(&w, 2, (const ag_tensor *const[]){ &r->out[0]->tensor, &r->in[0]->tensor });
    ag__walk_rows(&w, 1 << 15, not_row, &dtype);
    return true;
}
AG_OP_PLAIN(bitwise_not, .non_differentiable = 1, .inplace = true, .shape = bitwise_not_shape,
            .kernel = { bitwise_not_anywhere, bitwise_not_anywhere })
AG_INPLACE_PLAIN(bitwise_not)
