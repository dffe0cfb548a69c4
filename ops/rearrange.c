/* rearrange.c - see rearrange.h. */
#include "autograd/op.h"
#include "ops/check.h"
#include "ops/fresh.h"

#include <argent/rearrange.h>

#include <string.h>

/* A row from anywhere, in steps of any sign: `user` is the size of an element. data: to, from */
static void copy_row(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    const size_t item = *(const size_t *)user;
    char *to = data[0];
    const char *from = data[1];
    for (int64_t i = 0; i < count; i++, to += stride[0], from += stride[1]) {
        if (item == 8)
            memcpy(to, from, 8);
        else if (item == 4)
            memcpy(to, from, 4);
        else
            *to = *from;
    }
}
static void copy_from(const ag_tensor *to, const ag_tensor *from)
{
    size_t item = ag__itemsize(to);
    ag_walk w;
    ag__walk(&w, 2, (const ag_tensor *const[]){ to, from });
    ag__walk_rows(&w, 1 << 15, copy_row, &item);
}

/* ---- flip ---- */

#define AG_ARGS_flip(must, may) must(Tensor, input) must(Shape, dims)
static bool flip_shape(ag_run *r);
static bool flip_cpu(ag_run *r);
static void flip_backward(ag_gradients *b);
AG_OP_PLAIN(flip, .node = "FlipBackward0", .shape = flip_shape, .kernel = { flip_cpu }, .backward = flip_backward)

static bool flip_shape(ag_run *r)
{
    const struct ag_flip_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    uint32_t seen = 0;
    for (int64_t k = 0; k < a->dims.n; k++) {
        int d = ag__wrap_dim("flip", a->dims.at[k], x->ndim);
        if (d < 0) return false;
        if (seen >> d & 1) return ag__fail_call(r->op, a, "dim %d appears multiple times in the list of dims", d);
        seen |= 1u << d;
    }
    int64_t stride[AG_MAX_DIMS];
    return ag__fresh_strides(r->op, a, x, AG_PRESERVE_FORMAT, stride) &&
           ag__output_strided(r, 0, x->ndim, x->size, stride, (ag_dtype)x->dtype) != NULL;
}
static bool flip_cpu(ag_run *r)
{
    const struct ag_flip_args *a = r->args;
    ag_tensor from = a->input->tensor; /* seen from its other end: strides below zero */
    for (int64_t k = 0; k < a->dims.n && from.ndim && from.numel; k++) {
        int64_t d = a->dims.at[k] < 0 ? a->dims.at[k] + from.ndim : a->dims.at[k];
        from.data += (from.size[d] - 1) * from.stride[d] * (int64_t)ag__itemsize(&from);
        from.stride[d] = -from.stride[d];
        from.contiguous = false;
    }
    copy_from(&r->out[0]->tensor, &from);
    return true;
}
static void flip_backward(ag_gradients *b)
{
    const struct ag_flip_args *a = b->args;
    b->grad[0] = ag_flip(b->g[0], a->dims);
}

#define AG_ARGS_fliplr(must, may) must(Tensor, input)
static bool fliplr_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(fliplr, .compose = fliplr_compose)
static bool fliplr_compose(const void *args, ag_variable **out)
{
    const struct ag_fliplr_args *a = args;
    if (a->input->tensor.ndim < 2) return ag__fail_call(ag__op_fliplr(), a, "Input must be >= 2-d.");
    return (out[0] = ag_flip(a->input, AG_SHAPE(1))) != NULL;
}

#define AG_ARGS_flipud(must, may) must(Tensor, input)
static bool flipud_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(flipud, .compose = flipud_compose)
static bool flipud_compose(const void *args, ag_variable **out)
{
    const struct ag_flipud_args *a = args;
    if (a->input->tensor.ndim < 1) return ag__fail_call(ag__op_flipud(), a, "Input must be >= 1-d.");
    return (out[0] = ag_flip(a->input, AG_SHAPE(0))) != NULL;
}
