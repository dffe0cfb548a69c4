/* pad.c - borders of one number: see rearrange.h. */
#include "autograd/op.h"
#include "ops/check.h"
#include "ops/fresh.h"
#include "ops/number.h"

#include <argent/rearrange.h>

#include <inttypes.h>

/* Before and after dimension d; the pairs begin with the last dimension. */
static int64_t before(ag_shape_list pad, int ndim, int d)
{
    int64_t k = 2 * (ndim - 1 - d);
    return k < pad.n ? pad.at[k] : 0;
}
static int64_t after(ag_shape_list pad, int ndim, int d)
{
    int64_t k = 2 * (ndim - 1 - d) + 1;
    return k < pad.n ? pad.at[k] : 0;
}

/* The part of x (or of y, which x becomes) that is in both: where less than nothing is put, something is cut off. */
static ag_tensor common_part(const ag_tensor *x, ag_shape_list pad, bool of_result)
{
    ag_tensor part = *x;
    for (int d = 0; d < x->ndim; d++) {
        int64_t l = before(pad, x->ndim, d), r = after(pad, x->ndim, d);
        int64_t left = of_result ? (l > 0 ? l : 0) : (l < 0 ? -l : 0);
        int64_t right = of_result ? (r > 0 ? r : 0) : (r < 0 ? -r : 0);
        part.size[d] = x->size[d] > left + right ? x->size[d] - left - right : 0;
        part.data += left * x->stride[d] * (int64_t)ag__itemsize(x);
    }
    part.numel = ag__numel_of(part.ndim, part.size);
    part.contiguous = ag__is_contiguous(part.ndim, part.size, part.stride);
    return part;
}

static bool constant_pad_nd_shape(ag_run *r)
{
    const struct ag_constant_pad_nd_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    char text[AG_TEXT];
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    bool grows = false;
    if (a->pad.n % 2)
        return ag__fail_call(r->op, a, "Length of pad must be even but instead it equals %" PRId64, a->pad.n);
    if (a->pad.n > 2 * x->ndim)
        return ag__fail_call(r->op, a,
                             "Length of pad should be no more than twice the number of dimensions of the input. Pad "
                             "length is %" PRId64 "while the input has %ddimensions.",
                             a->pad.n, x->ndim);
    for (int d = 0; d < x->ndim; d++) {
        int64_t left = before(a->pad, x->ndim, d), right = after(a->pad, x->ndim, d);
        grows = grows || left > 0 || right > 0;
        if (__builtin_add_overflow(x->size[d], left, &size[d]) || __builtin_add_overflow(size[d], right, &size[d]) ||
            size[d] < 0 || -left > x->size[d] || -right > x->size[d])
            return ag__fail_call(r->op, a,
                                 "The input size %s, plus negative padding %" PRId64 " and %" PRId64
                                 " resulted in a negative output size, which is invalid. Check dimension %d of your "
                                 "input.",
                                 ag__shape_text(x->ndim, x->size, text, sizeof text), left, right, d);
    }
    if (!ag__check_number(r->op, a, a->value, (ag_dtype)x->dtype)) return false;
    if (grows) return ag__output(r, 0, x->ndim, size, (ag_dtype)x->dtype) != NULL;
    ag_tensor part = common_part(x, a->pad, false); /* a copy of a part */
    return ag__fresh_strides(r->op, a, &part, AG_PRESERVE_FORMAT, stride) &&
           ag__output_strided(r, 0, x->ndim, size, stride, (ag_dtype)x->dtype) != NULL;
}
static bool constant_pad_nd_anywhere(ag_run *r)
{
    const struct ag_constant_pad_nd_args *a = r->args;
    ag_tensor to = common_part(&r->out[0]->tensor, a->pad, true), from = common_part(&a->input->tensor, a->pad, false);
    if (!ag__fill_tensor(&r->out[0]->tensor, a->value)) return false;
    return !to.numel || !from.numel || ag__copy_tensor(&to, &from);
}
static void constant_pad_nd_backward(ag_gradients *b)
{
    const struct ag_constant_pad_nd_args *a = b->args;
    int64_t back[2 * AG_MAX_DIMS];
    for (int64_t k = 0; k < a->pad.n; k++) back[k] = -a->pad.at[k];
    b->grad[0] = ag_constant_pad_nd(b->g[0], ag_sizes_of(a->pad.n, back));
}
AG_OP(constant_pad_nd, .node = "ConstantPadNdBackward0", .shape = constant_pad_nd_shape,
      .kernel = { constant_pad_nd_anywhere, constant_pad_nd_anywhere }, .backward = constant_pad_nd_backward)
