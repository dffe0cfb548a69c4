/* join.c - see join.h. */
#include "autograd/op.h"
#include "ops/check.h"

#include <argent/factory.h>
#include <argent/join.h>
#include <argent/view.h>

#include <inttypes.h>
#include <string.h>

/* Shape (0), which torch.cat has always passed over, whatever the others' shape. */
static bool is_passed_over(int ndim, const int64_t *size) { return ndim == 1 && size[0] == 0; }

/* y from `start` on along dim, `size` elements of it. */
static ag_tensor part_of(const ag_tensor *y, int dim, int64_t start, int64_t size)
{
    ag_tensor part = *y;
    part.data += start * y->stride[dim] * (int64_t)ag__itemsize(y);
    part.size[dim] = size;
    part.numel = ag__numel_of(part.ndim, part.size);
    part.contiguous = ag__is_contiguous(part.ndim, part.size, part.stride);
    return part;
}

static ag_dtype common_type(const ag_run *r)
{
    ag_dtype dtype = ag_dtype_of(r->in[0]);
    for (int i = 1; i < r->n_in; i++) dtype = ag_promote_types(dtype, ag_dtype_of(r->in[i]));
    return dtype;
}

/* All four-dimensional and batch-last, as images are: then the result is, too. */
static bool all_batch_last(const ag_run *r)
{
    for (int i = 0; i < r->n_in; i++) {
        const ag_tensor *x = &r->in[i]->tensor;
        int64_t stride[AG_MAX_DIMS];
        if (x->ndim != 4 || x->contiguous) return false;
        ag__format_strides(4, x->size, AG_BATCH_LAST, stride);
        for (int d = 0; d < 4; d++)
            if (x->size[d] > 1 && x->stride[d] != stride[d]) return false;
    }
    return true;
}

/* ---- cat ---- */

static bool cat_shape(ag_run *r)
{
    const struct ag_cat_args *a = r->args;
    const ag_tensor *model = NULL; /* whose sizes the others must have */
    if (r->n_in == 0) return ag__fail_call(r->op, a, "expected a non-empty list of Tensors");
    for (int i = 0; i < r->n_in; i++) {
        const ag_tensor *x = &r->in[i]->tensor;
        if (x->ndim == 0)
            return ag__fail_call(r->op, a, "zero-dimensional tensor (at position %d) cannot be concatenated", i);
        if (!model && !is_passed_over(x->ndim, x->size)) model = x;
    }
    bool nothing = !model; /* then any dimension will do */
    if (nothing) model = &r->in[0]->tensor;
    int dim = nothing ? 0 : ag__wrap_dim("cat", a->dim, model->ndim);
    if (dim < 0) return false;
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    memcpy(size, model->size, sizeof size);
    size[dim] = 0;
    for (int i = 0; i < r->n_in; i++) {
        const ag_tensor *x = &r->in[i]->tensor;
        if (is_passed_over(x->ndim, x->size)) continue;
        if (x->ndim != model->ndim)
            return ag__fail_call(r->op, a, "Tensors must have same number of dimensions: got %d and %d", model->ndim,
                                 x->ndim);
        for (int d = 0; d < x->ndim; d++)
            if (d != dim && x->size[d] != model->size[d])
                return ag__fail_call(r->op, a,
                                     "Sizes of tensors must match except in dimension %d. Expected size %" PRId64
                                     " but got size %" PRId64 " for tensor number %d in the list.",
                                     dim, model->size[d], x->size[d], i);
        if (__builtin_add_overflow(size[dim], x->size[dim], &size[dim]))
            return ag__fail_call(r->op, a, "the result is too large");
    }
    ag_dtype dtype = common_type(r);
    if (!ag__is_floating(dtype)) r->wants_grad = false;
    if (!all_batch_last(r)) return ag__output(r, 0, model->ndim, size, dtype) != NULL;
    ag__format_strides(4, size, AG_BATCH_LAST, stride);
    return ag__output_strided(r, 0, 4, size, stride, dtype) != NULL;
}
static bool cat_anywhere(ag_run *r)
{
    const struct ag_cat_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    int dim = (int)(a->dim < 0 ? a->dim + y->ndim : a->dim);
    int64_t at = 0;
    for (int i = 0; i < r->n_in; i++) {
        const ag_tensor *x = &r->in[i]->tensor;
        if (is_passed_over(x->ndim, x->size)) continue;
        ag_tensor part = part_of(y, dim, at, x->size[dim]);
        if (!ag__copy_tensor(&part, x)) return false;
        at += x->size[dim];
    }
    return true;
}
static void cat_backward(ag_gradients *b)
{
    const struct ag_cat_args *a = b->args;
    int dim = (int)(a->dim < 0 ? a->dim + b->out_ndim : a->dim);
    int64_t at = 0;
    for (int i = 0; i < b->n_in; i++) {
        ag_shape_list size = ag__in_shape(b, i);
        if (is_passed_over((int)size.n, size.at)) {
            if (b->wanted[i]) b->grad[i] = ag_zeros(size, .dtype = ag_dtype_of(b->g[0]), .device = ag__device(b->g[0]));
            continue;
        }
        if (b->wanted[i]) b->grad[i] = ag_narrow(b->g[0], dim, at, size.at[dim]);
        at += size.at[dim];
    }
}
AG_OP(cat, .node = "CatBackward0", .shape = cat_shape, .kernel = { cat_anywhere, cat_anywhere },
      .backward = cat_backward)

/* ---- stack ---- */

static bool stack_shape(ag_run *r)
{
    const struct ag_stack_args *a = r->args;
    if (r->n_in == 0) return ag__fail_call(r->op, a, "stack expects a non-empty TensorList");
    const ag_tensor *model = &r->in[0]->tensor;
    if (model->ndim == AG_MAX_DIMS) return ag__fail_call(r->op, a, "a Variable has at most %d dimensions", AG_MAX_DIMS);
    int dim = ag__wrap_dim("stack", a->dim, model->ndim + 1);
    if (dim < 0) return false;
    for (int i = 1; i < r->n_in; i++) {
        const ag_tensor *x = &r->in[i]->tensor;
        char first[AG_TEXT], other[AG_TEXT];
        if (!ag__same_sizes(x, model))
            return ag__fail_call(r->op, a,
                                 "stack expects each tensor to be equal size, but got %s at entry 0 and %s at entry %d",
                                 ag__shape_text(model->ndim, model->size, first, sizeof first),
                                 ag__shape_text(x->ndim, x->size, other, sizeof other), i);
    }
    int64_t size[AG_MAX_DIMS];
    for (int d = 0, from = 0; d <= model->ndim; d++) size[d] = d == dim ? r->n_in : model->size[from++];
    ag_dtype dtype = common_type(r);
    if (!ag__is_floating(dtype)) r->wants_grad = false;
    return ag__output(r, 0, model->ndim + 1, size, dtype) != NULL;
}
static bool stack_anywhere(ag_run *r)
{
    const struct ag_stack_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    int dim = (int)(a->dim < 0 ? a->dim + y->ndim : a->dim);
    for (int i = 0; i < r->n_in; i++) {
        ag_tensor part = part_of(y, dim, i, 1);
        part.ndim--;
        memmove(part.size + dim, part.size + dim + 1, (size_t)(part.ndim - dim) * sizeof *part.size);
        memmove(part.stride + dim, part.stride + dim + 1, (size_t)(part.ndim - dim) * sizeof *part.stride);
        if (!ag__copy_tensor(&part, &r->in[i]->tensor)) return false;
    }
    return true;
}
static void stack_backward(ag_gradients *b)
{
    const struct ag_stack_args *a = b->args;
    for (int i = 0; i < b->n_in; i++)
        if (b->wanted[i]) b->grad[i] = ag_select(b->g[0], a->dim, i);
}
AG_OP(stack, .node = "StackBackward0", .shape = stack_shape, .kernel = { stack_anywhere, stack_anywhere },
      .backward = stack_backward)
