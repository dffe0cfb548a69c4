/* index.c - see index.h. */
#include "ops/check.h"
#include "ops/index_add.h"
#include "ops/index_device.h"
#include "ops/scatter.h"

#include <argent/index.h>

#include <inttypes.h>
#include <string.h>

const int64_t *ag__indices(ag_run *r, const ag_variable *index, int64_t least, int64_t n, int dim)
{
    const ag_tensor *plain = ag__plain(r->t, index, index->tensor.ndim, index->tensor.size, AG_INT64);
    if (!plain) return NULL;
    const int64_t *at = (const int64_t *)(const void *)plain->data;
    for (int64_t i = 0; i < plain->numel; i++)
        if (at[i] < least || at[i] >= n)
            return ag__fail_call(r->op, r->args,
                                 "index %" PRId64 " is out of bounds for dimension %d with size %" PRId64, at[i], dim,
                                 n);
    return at;
}

/* ---- gather ---- */

void ag__beside_begin(ag__beside *b, const ag_tensor *index, int dim, const ag_tensor *whole, const ag_tensor *part)
{
    *b = (ag__beside){ .ndim = index->ndim, .size = index->size };
    for (int d = 0; d < index->ndim; d++) {
        if (d != dim && d < whole->ndim) b->step[0][d] = whole->stride[d] * (int64_t)ag__itemsize(whole);
        if (d < part->ndim) b->step[1][d] = part->stride[d] * (int64_t)ag__itemsize(part);
    }
}

#define AG_ARGS_gather(must, may) must(Tensor, input) must(Int, dim) must(Tensor, index)
static bool gather_shape(ag_run *r);
static bool gather_cpu(ag_run *r);
static bool gather_device(ag_run *r);
static void gather_backward(ag_gradients *b);
AG_OP_PLAIN(gather, .node = "GatherBackward0", .shape = gather_shape, .kernel = { gather_cpu, gather_device },
            .backward = gather_backward, .keeps = { AG_KEEP_IN(1) })

static bool gather_shape(ag_run *r)
{
    const struct ag_gather_args *a = r->args;
    const ag_tensor *x = &a->input->tensor, *index = &a->index->tensor;
    char is[AG_TEXT], wants[AG_TEXT];
    int dim = ag__wrap_dim("gather", a->dim, x->ndim);
    if (dim < 0) return false;
    if (index->numel == 0) return ag__output(r, 0, index->ndim, index->size, (ag_dtype)x->dtype) != NULL;
    if (!ag__is_index(a->index)) return ag__fail_call(r->op, a, "Expected dtype int32/int64 for index");
    if ((index->ndim ? index->ndim : 1) != (x->ndim ? x->ndim : 1))
        return ag__fail_call(r->op, a, "Index tensor must have the same number of dimensions as input tensor");
    for (int d = 0; d < x->ndim && d < index->ndim; d++)
        if (d != dim && index->size[d] > x->size[d])
            return ag__fail_call(r->op, a,
                                 "Size does not match at dimension %d expected index %s to be no larger than self %s "
                                 "apart from dimension %d",
                                 d, ag__shape_text(index->ndim, index->size, is, sizeof is),
                                 ag__shape_text(x->ndim, x->size, wants, sizeof wants), dim);
    return ag__output(r, 0, index->ndim, index->size, (ag_dtype)x->dtype) != NULL;
}
static bool gather_cpu(ag_run *r)
{
    const struct ag_gather_args *a = r->args;
    const ag_tensor *x = &a->input->tensor, *y = &r->out[0]->tensor;
    int dim = ag__from_start(a->dim, x->ndim);
    int64_t item = (int64_t)ag__itemsize(x), step = x->ndim ? x->stride[dim] * item : 0;
    const int64_t *at = ag__indices(r, a->index, 0, x->ndim ? x->size[dim] : 1, dim);
    if (!at && r->t->failed) return false;
    ag__beside b;
    ag__beside_begin(&b, y, dim, x, y);
    for (int64_t i = 0; i < y->numel; i++, ag__beside_next(&b))
        memcpy(y->data + b.place[1], x->data + b.place[0] + at[i] * step, (size_t)item);
    return true;
}
static bool gather_device(ag_run *r)
{
    const struct ag_gather_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    return ag__index_elements(r, AG_INDEX_READ, x, &r->out[0]->tensor, &a->index->tensor,
                              ag__from_start(a->dim, x->ndim));
}
static void gather_backward(ag_gradients *b)
{
    const struct ag_gather_args *a = b->args;
    b->grad[0] = ag__gather_backward(b->g[0], ag__in_shape(b, 0), a->dim, a->index);
}

#define AG_ARGS__gather_backward(must, may) must(Tensor, grad) must(Shape, sizes) must(Int, dim) must(Tensor, index)
static bool gather_back_shape(ag_run *r);
static bool gather_back_cpu(ag_run *r);
static bool gather_back_device(ag_run *r);
static void gather_back_backward(ag_gradients *b);
AG_OP_PLAIN(_gather_backward, .node = "ScatterAddBackward0", .shape = gather_back_shape,
            .kernel = { gather_back_cpu, gather_back_device }, .backward = gather_back_backward,
            .keeps = { AG_KEEP_IN(1) })

static bool gather_back_shape(ag_run *r)
{
    const struct ag__gather_backward_args *a = r->args;
    if (!ag_is_floating_point(a->grad)) return ag__fail_call(r->op, a, "a gradient must be of a floating type");
    return ag__output(r, 0, (int)a->sizes.n, a->sizes.at, ag_dtype_of(a->grad)) != NULL;
}
static bool gather_back_cpu(ag_run *r)
{
    const struct ag__gather_backward_args *a = r->args;
    const ag_tensor *g = &a->grad->tensor, *y = &r->out[0]->tensor;
    int dim = ag__from_start(a->dim, y->ndim);
    int64_t step = y->ndim ? y->stride[dim] * (int64_t)ag__itemsize(y) : 0;
    const int64_t *at = ag__indices(r, a->index, 0, y->ndim ? y->size[dim] : 1, dim);
    if (!at && r->t->failed) return false;
    ag__fill_elements(y, 0);
    ag__beside b;
    ag__beside_begin(&b, &a->index->tensor, dim, y, g);
    for (int64_t i = 0; i < g->numel; i++, ag__beside_next(&b)) {
        char *to = y->data + b.place[0] + at[i] * step;
        ag__add_elements((ag_dtype)y->dtype, 1, to, 0, g->data + b.place[1], 0, 1);
    }
    return true;
}
static bool gather_back_device(ag_run *r)
{
    const struct ag__gather_backward_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    return ag__fill_tensor(y, 0) &&
           ag__index_elements(r, AG_INDEX_ADD, y, &a->grad->tensor, &a->index->tensor, ag__from_start(a->dim, y->ndim));
}
static void gather_back_backward(ag_gradients *b)
{
    const struct ag__gather_backward_args *a = b->args;
    b->grad[0] = ag_gather(b->g[0], a->dim, a->index);
}

/* ---- index_select ---- */

/* Slice number i of x along dim, as a tensor of one dimension less in effect (size 1 there). */
static ag_tensor slice_of(const ag_tensor *x, int dim, int64_t i)
{
    ag_tensor slice = *x;
    if (x->ndim == 0) return slice;
    slice.data += i * x->stride[dim] * (int64_t)ag__itemsize(x);
    slice.size[dim] = 1;
    slice.numel = ag__numel_of(slice.ndim, slice.size);
    slice.contiguous = ag__is_contiguous(slice.ndim, slice.size, slice.stride);
    return slice;
}

#define AG_ARGS_index_select(must, may) must(Tensor, input) must(Int, dim) must(Tensor, index)
static bool index_select_shape(ag_run *r);
static bool index_select_cpu(ag_run *r);
static bool index_select_device(ag_run *r);
static void index_select_backward(ag_gradients *b);
AG_OP_PLAIN(index_select, .node = "IndexSelectBackward0", .shape = index_select_shape,
            .kernel = { index_select_cpu, index_select_device }, .backward = index_select_backward,
            .keeps = { AG_KEEP_IN(1) })

static bool index_select_shape(ag_run *r)
{
    const struct ag_index_select_args *a = r->args;
    const ag_tensor *x = &a->input->tensor, *index = &a->index->tensor;
    int dim = ag__wrap_dim("index_select", a->dim, x->ndim);
    if (dim < 0) return false;
    if (index->ndim > 1) return ag__fail_call(r->op, a, "Index is supposed to be a vector");
    if (!ag__is_index(a->index)) return ag__fail_call(r->op, a, "Expected dtype int32 or int64 for index");
    if (x->ndim == 0 && index->numel != 1)
        return ag__fail_call(r->op, a, "Index to scalar can have only 1 value, got %" PRId64 " value(s)", index->numel);
    int64_t size[AG_MAX_DIMS];
    memcpy(size, x->size, sizeof size);
    if (x->ndim) size[dim] = index->numel;
    return ag__output(r, 0, x->ndim, size, (ag_dtype)x->dtype) != NULL;
}
static bool index_select_cpu(ag_run *r)
{
    const struct ag_index_select_args *a = r->args;
    const ag_tensor *x = &a->input->tensor, *y = &r->out[0]->tensor;
    int dim = ag__from_start(a->dim, x->ndim);
    const int64_t *at = ag__indices(r, a->index, 0, x->ndim ? x->size[dim] : 1, dim);
    if (!at && r->t->failed) return false;
    int64_t outer = 1, inner = (int64_t)ag__itemsize(x), n = a->index->tensor.numel;
    if (!x->contiguous || x->ndim == 0) {
        for (int64_t i = 0; i < n; i++) {
            ag_tensor to = slice_of(y, dim, i), from = slice_of(x, dim, at[i]);
            ag__copy_elements(&to, &from);
        }
        return true;
    }
    for (int d = 0; d < dim; d++) outer *= x->size[d];
    for (int d = dim + 1; d < x->ndim; d++) inner *= x->size[d];
    for (int64_t k = 0; k < outer; k++)
        for (int64_t i = 0; i < n; i++)
            memcpy(y->data + (k * n + i) * inner, x->data + (k * x->size[dim] + at[i]) * inner, (size_t)inner);
    return true;
}
static bool index_select_device(ag_run *r)
{
    const struct ag_index_select_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    return ag__index_slices(r, AG_INDEX_READ, x, &r->out[0]->tensor, &a->index->tensor, ag__from_start(a->dim, x->ndim),
                            1);
}
static void index_select_backward(ag_gradients *b)
{
    const struct ag_index_select_args *a = b->args;
    b->grad[0] = ag__index_select_backward(b->g[0], ag__in_shape(b, 0), a->dim, a->index);
}

#define AG_ARGS__index_select_backward(must, may) \
    must(Tensor, grad) must(Shape, sizes) must(Int, dim) must(Tensor, index)
static bool index_select_back_shape(ag_run *r);
static bool index_select_back_cpu(ag_run *r);
static bool index_select_back_device(ag_run *r);
static void index_select_back_backward(ag_gradients *b);
AG_OP_PLAIN(_index_select_backward, .node = "IndexAddBackward0", .shape = index_select_back_shape,
            .kernel = { index_select_back_cpu, index_select_back_device }, .backward = index_select_back_backward,
            .keeps = { AG_KEEP_IN(1) })

static bool index_select_back_shape(ag_run *r)
{
    const struct ag__index_select_backward_args *a = r->args;
    if (!ag_is_floating_point(a->grad)) return ag__fail_call(r->op, a, "a gradient must be of a floating type");
    return ag__output(r, 0, (int)a->sizes.n, a->sizes.at, ag_dtype_of(a->grad)) != NULL;
}
static bool index_select_back_cpu(ag_run *r)
{
    const struct ag__index_select_backward_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_tensor *g = ag__plain(r->t, a->grad, a->grad->tensor.ndim, a->grad->tensor.size, ag_dtype_of(a->grad));
    int dim = ag__from_start(a->dim, y->ndim);
    int64_t outer = 1, inner = 1, length = y->ndim ? y->size[dim] : 1, n = a->index->tensor.numel;
    const int64_t *at = ag__indices(r, a->index, 0, length, dim);
    if (!g || (!at && r->t->failed)) return false;
    for (int d = 0; d < y->ndim; d++) *(d < dim ? &outer : &inner) *= d == dim ? 1 : y->size[d];
    ag__fill_elements(y, 0);
    for (int64_t k = 0; k < outer; k++)
        for (int64_t i = 0; i < n; i++) {
            int64_t to = (k * length + at[i]) * inner, from = (k * n + i) * inner;
            for (int64_t j = 0; j < inner; j++) {
                if (y->dtype == AG_FLOAT32)
                    ((float *)(void *)y->data)[to + j] += ((const float *)(const void *)g->data)[from + j];
                else
                    ((double *)(void *)y->data)[to + j] += ((const double *)(const void *)g->data)[from + j];
            }
        }
    return true;
}
static bool index_select_back_device(ag_run *r)
{
    const struct ag__index_select_backward_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    return ag__fill_tensor(y, 0) && ag__index_slices(r, AG_INDEX_ADD, y, &a->grad->tensor, &a->index->tensor,
                                                     ag__from_start(a->dim, y->ndim), 1);
}
static void index_select_back_backward(ag_gradients *b)
{
    const struct ag__index_select_backward_args *a = b->args;
    b->grad[0] = ag_index_select(b->g[0], a->dim, a->index);
}

/* ---- take: from all elements in a row ---- */

#define AG_ARGS_take(must, may) must(Tensor, input) must(Tensor, index)
static bool take_shape(ag_run *r);
static bool take_cpu(ag_run *r);
static bool take_device(ag_run *r);
static void take_backward(ag_gradients *b);
AG_OP_PLAIN(take, .node = "TakeBackward0", .shape = take_shape, .kernel = { take_cpu, take_device },
            .backward = take_backward, .keeps = { AG_KEEP_IN(1) })

/* The numbers of the elements; NULL as ag__indices. */
static const int64_t *places(ag_run *r, const ag_variable *index, int64_t n)
{
    const ag_tensor *plain = ag__plain(r->t, index, index->tensor.ndim, index->tensor.size, AG_INT64);
    if (!plain) return NULL;
    const int64_t *at = (const int64_t *)(const void *)plain->data;
    for (int64_t i = 0; i < plain->numel; i++)
        if (at[i] < -n || at[i] >= n)
            return ag__fail_call(r->op, r->args,
                                 "out of range: tried to access index %" PRId64 " on a tensor of %" PRId64 " elements.",
                                 at[i], n);
    return at;
}

static bool take_shape(ag_run *r)
{
    const struct ag_take_args *a = r->args;
    const ag_tensor *index = &a->index->tensor;
    if (index->dtype != AG_INT64)
        return ag__fail_call(r->op, a, "Expected a long tensor for index, but got %s",
                             ag__scalar_type((ag_dtype)index->dtype));
    if (a->input->tensor.numel == 0 && index->numel)
        return ag__fail_call(r->op, a, "tried to take from an empty tensor");
    return ag__output(r, 0, index->ndim, index->size, ag_dtype_of(a->input)) != NULL;
}
static bool take_cpu(ag_run *r)
{
    const struct ag_take_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_tensor *x = ag__plain(r->t, a->input, a->input->tensor.ndim, a->input->tensor.size, (ag_dtype)y->dtype);
    const int64_t *at = x ? places(r, a->index, x->numel) : NULL;
    const size_t item = ag__itemsize(y);
    if (!at && r->t->failed) return false;
    for (int64_t i = 0; i < y->numel; i++)
        memcpy(y->data + (size_t)i * item, x->data + (size_t)(at[i] < 0 ? at[i] + x->numel : at[i]) * item, item);
    return true;
}
static bool take_device(ag_run *r)
{
    const struct ag_take_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor, *index = &a->index->tensor, *x = &a->input->tensor;
    x = ag__plain(r->t, a->input, x->ndim, x->size, (ag_dtype)x->dtype);
    index = x ? ag__plain(r->t, a->index, index->ndim, index->size, AG_INT64) : NULL;
    return index && ag__index_row(r, AG_INDEX_READ, x, y, index);
}
static void take_backward(ag_gradients *b)
{
    const struct ag_take_args *a = b->args;
    b->grad[0] = ag__take_backward(b->g[0], ag__in_shape(b, 0), a->index);
}

#define AG_ARGS__take_backward(must, may) must(Tensor, grad) must(Shape, sizes) must(Tensor, index)
static bool take_back_shape(ag_run *r);
static bool take_back_cpu(ag_run *r);
static bool take_back_device(ag_run *r);
static void take_back_backward(ag_gradients *b);
AG_OP_PLAIN(_take_backward, .node = "PutBackward0", .shape = take_back_shape,
            .kernel = { take_back_cpu, take_back_device }, .backward = take_back_backward, .keeps = { AG_KEEP_IN(1) })

static bool take_back_shape(ag_run *r)
{
    const struct ag__take_backward_args *a = r->args;
    const ag_variable *g = a->grad;
    if (!ag_is_floating_point(g)) return ag__fail_call(r->op, a, "a gradient must be of a floating type");
    if (g->tensor.numel != a->index->tensor.numel)
        return ag__fail_call(r->op, a, "the gradient and the index must be of one size");
    return ag__output(r, 0, (int)a->sizes.n, a->sizes.at, ag_dtype_of(g)) != NULL;
}
static bool take_back_cpu(ag_run *r)
{
    const struct ag__take_backward_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_tensor *g = ag__plain(r->t, a->grad, a->grad->tensor.ndim, a->grad->tensor.size, (ag_dtype)y->dtype);
    const int64_t *at = g ? places(r, a->index, y->numel) : NULL;
    const int64_t item = (int64_t)ag__itemsize(y);
    if (!at && r->t->failed) return false;
    ag__fill_elements(y, 0);
    for (int64_t i = 0; i < g->numel; i++)
        ag__add_elements((ag_dtype)y->dtype, 1, y->data + (at[i] < 0 ? at[i] + y->numel : at[i]) * item, 0,
                         g->data + i * item, 0, 1);
    return true;
}
static bool take_back_device(ag_run *r)
{
    const struct ag__take_backward_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor, *index = &a->index->tensor, *g = &a->grad->tensor;
    g = ag__plain(r->t, a->grad, g->ndim, g->size, (ag_dtype)g->dtype);
    index = g ? ag__plain(r->t, a->index, index->ndim, index->size, AG_INT64) : NULL;
    return index && ag__fill_tensor(y, 0) && ag__index_row(r, AG_INDEX_ADD, y, g, index);
}
static void take_back_backward(ag_gradients *b)
{
    const struct ag__take_backward_args *a = b->args;
    b->grad[0] = ag_take(b->g[0], a->index);
}
