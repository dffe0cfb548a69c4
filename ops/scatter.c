/* scatter.c - elements written by number: see index.h. */
#include "ops/scatter.h"
#include "ops/check.h"
#include "ops/index_device.h"
#include "ops/number.h"
#include "ops/overlap.h"
#include "ops/view_part.h"

#include <argent/factory.h>
#include <argent/index.h>

#include <string.h>

/* ---- shared ---- */

void ag__add_elements(ag_dtype dtype, int64_t n, char *to, int64_t to_step, const char *from, int64_t from_step,
                      double alpha)
{
    const float alpha32 = (float)alpha;
    const int64_t whole = ag__is_floating(dtype) ? 0 : (int64_t)alpha;
    for (int64_t i = 0; i < n; i++, to += to_step, from += from_step) {
        if (dtype == AG_FLOAT32)
            *(float *)(void *)to += alpha32 * *(const float *)(const void *)from;
        else if (dtype == AG_FLOAT64)
            *(double *)(void *)to += alpha * *(const double *)(const void *)from;
        else if (dtype == AG_BOOL)
            *to = *to || (alpha != 0 && *from);
        else
            ag__store_int64(to, dtype,
                            (int64_t)((uint64_t)ag__load_int64(to, dtype) +
                                      (uint64_t)whole * (uint64_t)ag__load_int64(from, dtype)));
    }
}

bool ag__check_apart(const ag_run *r, const ag_variable *other)
{
    return !r->inplace || ag__check_no_overlap(r->op->name, &r->in[0]->tensor, &other->tensor);
}

/* ---- scatter ---- */

/* What scatter and its kin check. src: NULL for a number. */
static bool check_scatter(ag_run *r, int64_t dim, const ag_variable *by, const ag_variable *from)
{
    const ag_tensor *x = &r->in[0]->tensor, *index = &by->tensor, *src = from ? &from->tensor : NULL;
    int at = ag__wrap_dim(r->op->name, dim, x->ndim), n = index->ndim ? index->ndim : 1;
    bool fits = true;
    char is[AG_TEXT], self[AG_TEXT], other[AG_TEXT];
    if (at < 0) return false;
    if (index->numel && !ag__is_index(by)) return ag__fail_call(r->op, r->args, "Expected dtype int32/int64 for index");
    if (src && src->dtype != x->dtype)
        return ag__fail_call(r->op, r->args, "Expected self.dtype to be equal to src.dtype");
    if (index->numel == 0) return true;
    if (n != (x->ndim ? x->ndim : 1))
        return ag__fail_call(r->op, r->args, "Index tensor must have the same number of dimensions as self tensor");
    if (src && n != (src->ndim ? src->ndim : 1))
        return ag__fail_call(r->op, r->args, "Index tensor must have the same number of dimensions as src tensor");
    for (int d = 0; d < n; d++) {
        int64_t size = index->ndim ? index->size[d] : 1;
        if (d != at && size > (x->ndim ? x->size[d] : 1)) fits = false;
        if (src && size > (src->ndim ? src->size[d] : 1)) fits = false;
    }
    if (fits) return true;
    return ag__fail_call(r->op, r->args, "Expected index %s to be no larger than self %s apart from dimension %d%s%s",
                         ag__shape_text(index->ndim, index->size, is, sizeof is),
                         ag__shape_text(x->ndim, x->size, self, sizeof self), at,
                         src ? " and to be no larger size than src " : "",
                         src ? ag__shape_text(src->ndim, src->size, other, sizeof other) : "");
}
static bool scatter_shape_of(ag_run *r, int64_t dim, const ag_variable *index, const ag_variable *src)
{
    const ag_tensor *x = &r->in[0]->tensor;
    return check_scatter(r, dim, index, src) && ag__check_apart(r, index) && (!src || ag__check_apart(r, src)) &&
           ag__output(r, 0, x->ndim, x->size, (ag_dtype)x->dtype) != NULL;
}

/* The result as it is before anything is written, on a device. */
static bool begin_on_device(ag_run *r) { return r->inplace || ag__copy_tensor(&r->out[0]->tensor, &r->in[0]->tensor); }

/* y[... index ...] = from, or += from; from: n elements of y's type in index's geometry, or one number. */
static bool scatter_elements(ag_run *r, int64_t dim, const ag_variable *index, const ag_tensor *from, bool add)
{
    const ag_tensor *y = &r->out[0]->tensor;
    int d = ag__from_start(dim, y->ndim);
    if (r->device.type != AG_DEVICE_CPU)
        return begin_on_device(r) &&
               ag__index_elements(r, add ? AG_INDEX_ADD : AG_INDEX_WRITE, y, from, &index->tensor, d);
    const size_t item = ag__itemsize(y);
    const int64_t step = y->ndim ? y->stride[d] * (int64_t)item : 0;
    const int64_t *at = ag__indices(r, index, 0, y->ndim ? y->size[d] : 1, d);
    if (!at && r->t->failed) return false;
    if (!r->inplace) ag__copy_elements(y, &r->in[0]->tensor);
    ag__beside b;
    ag__beside_begin(&b, &index->tensor, d, y, from);
    for (int64_t i = 0; i < index->tensor.numel; i++, ag__beside_next(&b)) {
        char *to = y->data + b.place[0] + at[i] * step;
        if (add)
            ag__add_elements((ag_dtype)y->dtype, 1, to, 0, from->data + b.place[1], 0, 1);
        else
            memcpy(to, from->data + b.place[1], item);
    }
    return true;
}

/* The gradient of src, of which only the part that index covers was read. */
static ag_variable *gradient_of_src(const ag_gradients *b, ag_variable *g, int64_t dim, ag_variable *index)
{
    ag_shape_list shape = ag__in_shape(b, 2);
    int64_t size[AG_MAX_DIMS];
    if (index->tensor.numel == 0) return ag_zeros(shape, .dtype = ag_dtype_of(g), .device = ag__device(g));
    ag_variable *y = ag_gather(g, dim, index);
    for (int64_t d = 0; y && d < shape.n && d < y->tensor.ndim; d++) {
        if (y->tensor.size[d] == shape.at[d]) continue;
        memcpy(size, y->tensor.size, sizeof size);
        int64_t read = size[d];
        size[d] = shape.at[d];
        y = ag__slice_backward(y, ag_sizes_of(y->tensor.ndim, size), d, 0, read, 1);
    }
    return y;
}

#define AG_ARGS_scatter(must, may) must(Tensor, input) must(Int, dim) must(Tensor, index) must(Tensor, src)
static bool scatter_shape(ag_run *r);
static bool scatter_anywhere(ag_run *r);
static void scatter_backward(ag_gradients *b);
AG_OP_PLAIN(scatter, .torch = "scatter.src", .node = "ScatterBackward0", .inplace = true, .shape = scatter_shape,
            .kernel = { scatter_anywhere, scatter_anywhere }, .backward = scatter_backward,
            .keeps = { AG_KEEP_IN(1), 0, AG_KEEP_IN(1) })
AG_INPLACE_PLAIN(scatter)

static bool scatter_shape(ag_run *r)
{
    const struct ag_scatter_args *a = r->args;
    return scatter_shape_of(r, a->dim, a->index, a->src);
}
static bool scatter_anywhere(ag_run *r)
{
    const struct ag_scatter_args *a = r->args;
    return scatter_elements(r, a->dim, a->index, &a->src->tensor, false);
}
static void scatter_backward(ag_gradients *b)
{
    const struct ag_scatter_args *a = b->args;
    if (b->wanted[0]) b->grad[0] = ag_scatter_value(b->g[0], a->dim, a->index, 0);
    if (b->wanted[2]) b->grad[2] = gradient_of_src(b, b->g[0], a->dim, a->index);
}

#define AG_ARGS_scatter_value(must, may) must(Tensor, input) must(Int, dim) must(Tensor, index) must(Number, value)
static bool scatter_value_shape(ag_run *r);
static bool scatter_value_anywhere(ag_run *r);
static void scatter_value_backward(ag_gradients *b);
AG_OP_PLAIN(scatter_value, .torch = "scatter.value", .of = "scatter", .node = "ScatterBackward1", .inplace = true,
            .shape = scatter_value_shape, .kernel = { scatter_value_anywhere, scatter_value_anywhere },
            .backward = scatter_value_backward, .keeps = { AG_KEEP_IN(1) })
AG_INPLACE_PLAIN(scatter_value)

static bool scatter_value_shape(ag_run *r)
{
    const struct ag_scatter_value_args *a = r->args;
    return ag__check_number(r->op, a, a->value, ag_dtype_of(a->input)) && scatter_shape_of(r, a->dim, a->index, NULL);
}
static bool scatter_value_anywhere(ag_run *r)
{
    const struct ag_scatter_value_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    if (r->device.type != AG_DEVICE_CPU)
        return begin_on_device(r) &&
               ag__index_fill_elements(r, y, a->value, &a->index->tensor, ag__from_start(a->dim, y->ndim));
    char value[8];
    ag_tensor number = { .data = value, .dtype = y->dtype }; /* everywhere the same element */
    ag__store_number(value, (ag_dtype)number.dtype, a->value);
    return scatter_elements(r, a->dim, a->index, &number, false);
}
static void scatter_value_backward(ag_gradients *b)
{
    const struct ag_scatter_value_args *a = b->args;
    b->grad[0] = ag_scatter_value(b->g[0], a->dim, a->index, 0);
}

/* ---- scatter_add ---- */

#define AG_ARGS_scatter_add(must, may) AG_ARGS_scatter(must, may)
static bool scatter_add_shape(ag_run *r);
static bool scatter_add_anywhere(ag_run *r);
static void scatter_add_backward(ag_gradients *b);
AG_OP_PLAIN(scatter_add, .node = "ScatterAddBackward0", .inplace = true, .shape = scatter_add_shape,
            .kernel = { scatter_add_anywhere, scatter_add_anywhere }, .backward = scatter_add_backward,
            .keeps = { 0, 0, AG_KEEP_IN(1) })
AG_INPLACE_PLAIN(scatter_add)

static bool scatter_add_shape(ag_run *r)
{
    const struct ag_scatter_add_args *a = r->args;
    return scatter_shape_of(r, a->dim, a->index, a->src);
}
static bool scatter_add_anywhere(ag_run *r)
{
    const struct ag_scatter_add_args *a = r->args;
    return scatter_elements(r, a->dim, a->index, &a->src->tensor, true);
}
static void scatter_add_backward(ag_gradients *b)
{
    const struct ag_scatter_add_args *a = b->args;
    if (b->wanted[0]) b->grad[0] = b->g[0];
    if (b->wanted[2]) b->grad[2] = gradient_of_src(b, b->g[0], a->dim, a->index);
}
