/* view_part.c - views of a part of the elements (select, slice, diagonal), and the ops that lay their gradients
 * back. */
#include "ops/view_part.h"

#include "autograd/op.h"
#include "ops/check.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/view.h>

#include <inttypes.h>
#include <string.h>

/* A view's geometry over the tensor it looks into; offset in elements from that one's first. */
typedef struct geometry {
    int ndim;
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS], offset;
} geometry;

static bool make_view(ag_run *r, const geometry *g)
{
    return ag__output_view(r, g->ndim, g->size, g->stride, g->offset);
}

/* ---- where the parts are; also of the fresh contiguous result that a gradient is laid into ---- */

static bool select_geometry(const ag_op *op, const void *args, const ag_tensor *x, int64_t dim, int64_t index,
                            geometry *g)
{
    char text[AG_TEXT];
    if (x->ndim == 0) return ag__fail_call(op, args, "select() cannot be applied to a 0-dim tensor.");
    int d = ag__wrap_dim("select", dim, x->ndim);
    if (d < 0) return false;
    if (index < -x->size[d] || index >= x->size[d])
        return ag__fail_call(op, args, "select(): index %" PRId64 " out of range for tensor of size %s at dimension %d",
                             index, ag__shape_text(x->ndim, x->size, text, sizeof text), d);
    g->ndim = x->ndim - 1;
    for (int k = 0; k < g->ndim; k++) {
        g->size[k] = x->size[k < d ? k : k + 1];
        g->stride[k] = x->stride[k < d ? k : k + 1];
    }
    g->offset = (index < 0 ? index + x->size[d] : index) * x->stride[d];
    return true;
}

static int64_t clamp_index(int64_t i, int64_t least, int64_t most) { return i < least ? least : i > most ? most : i; }

static bool slice_geometry(const ag_op *op, const void *args, const ag_tensor *x, int64_t dim, int64_t start,
                           int64_t end, int64_t step, geometry *g)
{
    if (x->ndim == 0) return ag__fail_call(op, args, "slice() cannot be applied to a 0-dim tensor.");
    int d = ag__wrap_dim("slice", dim, x->ndim);
    if (d < 0) return false;
    if (step <= 0) return ag__fail_call(op, args, "slice step must be positive");
    int64_t n = x->size[d];
    int64_t from = clamp_index(start < 0 ? start + n : start, 0, n), to = clamp_index(end < 0 ? end + n : end, from, n);
    g->ndim = x->ndim;
    memcpy(g->size, x->size, sizeof g->size);
    memcpy(g->stride, x->stride, sizeof g->stride);
    g->size[d] = (to - from) / step + ((to - from) % step != 0);
    if (__builtin_mul_overflow(x->stride[d], step, &g->stride[d])) g->stride[d] = INT64_MAX;
    g->stride[d] = ag__kept_stride(g->size[d], g->stride[d]);
    g->offset = from * x->stride[d];
    return true;
}

static bool diagonal_geometry(const ag_op *op, const void *args, const ag_tensor *x, int64_t offset, int64_t dim1,
                              int64_t dim2, geometry *g)
{
    int p = ag__wrap_dim("diagonal", dim1, x->ndim), q = p < 0 ? -1 : ag__wrap_dim("diagonal", dim2, x->ndim);
    if (q < 0) return false;
    if (p == q || x->ndim < 2)
        return ag__fail_call(op, args, "diagonal dimensions cannot be identical %" PRId64 ", %" PRId64, dim1, dim2);
    int64_t rows = x->size[p], columns = x->size[q];
    int64_t down = offset < 0 ? -clamp_index(offset, -rows, 0) : 0,
            right = offset > 0 ? clamp_index(offset, 0, columns) : 0;
    rows -= down;
    columns -= right;
    g->ndim = 0;
    for (int d = 0; d < x->ndim; d++) {
        if (d == p || d == q) continue;
        g->size[g->ndim] = x->size[d];
        g->stride[g->ndim++] = x->stride[d];
    }
    g->size[g->ndim] = rows < columns ? rows : columns;
    g->stride[g->ndim] = x->stride[p] + x->stride[q];
    g->offset = g->size[g->ndim] ? down * x->stride[p] + right * x->stride[q] : 0;
    g->ndim++;
    return true;
}

/* ---- laying a gradient back ---- */

/* Makes the result: zeros of these sizes. */
static bool back_shape(ag_run *r, ag_shape_list sizes)
{
    return ag__output(r, 0, (int)sizes.n, sizes.at, (ag_dtype)r->in[0]->tensor.dtype) != NULL;
}
static bool lay_back(ag_run *r, const geometry *g)
{
    ag_tensor part = r->out[0]->tensor;
    if (!ag__fill_tensor(&part, 0)) return false;
    part.ndim = (uint8_t)g->ndim;
    part.numel = ag__numel_of(g->ndim, g->size);
    part.contiguous = ag__is_contiguous(g->ndim, g->size, g->stride);
    memcpy(part.size, g->size, sizeof part.size);
    memcpy(part.stride, g->stride, sizeof part.stride);
    part.data += g->offset * (int64_t)ag__itemsize(&part);
    return part.numel == 0 || ag__copy_tensor(&part, &r->in[0]->tensor);
}

/* ---- select ---- */

#define AG_ARGS_select(must, may) must(Tensor, input) must(Int, dim) must(Int, index)
static bool select_shape(ag_run *r);
static void select_backward(ag_gradients *b);
AG_OP_PLAIN(select, .node = "SelectBackward0", .shape = select_shape, .backward = select_backward)
static bool select_shape(ag_run *r)
{
    const struct ag_select_args *a = r->args;
    geometry g;
    return select_geometry(r->op, a, &a->input->tensor, a->dim, a->index, &g) && make_view(r, &g);
}
static void select_backward(ag_gradients *b)
{
    const struct ag_select_args *a = b->args;
    b->grad[0] = ag__select_backward(b->g[0], ag__in_shape(b, 0), a->dim, a->index);
}

#define AG_ARGS__select_backward(must, may) must(Tensor, grad) must(Shape, sizes) must(Int, dim) must(Int, index)
static bool select_back_shape(ag_run *r);
static bool select_back_anywhere(ag_run *r);
static void select_back_backward(ag_gradients *b);
AG_OP_PLAIN(_select_backward, .node = "SelectBackwardBackward0", .shape = select_back_shape,
            .kernel = { select_back_anywhere, select_back_anywhere }, .backward = select_back_backward)
static bool select_back_shape(ag_run *r)
{
    return back_shape(r, ((const struct ag__select_backward_args *)r->args)->sizes);
}
static bool select_back_anywhere(ag_run *r)
{
    const struct ag__select_backward_args *a = r->args;
    geometry g;
    return select_geometry(r->op, a, &r->out[0]->tensor, a->dim, a->index, &g) && lay_back(r, &g);
}
static void select_back_backward(ag_gradients *b)
{
    const struct ag__select_backward_args *a = b->args;
    b->grad[0] = ag_select(b->g[0], a->dim, a->index);
}

/* ---- slice and narrow ---- */

static bool slice_shape(ag_run *r)
{
    const struct ag_slice_args *a = r->args;
    geometry g;
    return slice_geometry(r->op, a, &a->input->tensor, a->dim, a->start, a->end, a->step, &g) && make_view(r, &g);
}
static void slice_backward(ag_gradients *b)
{
    const struct ag_slice_args *a = b->args;
    b->grad[0] = ag__slice_backward(b->g[0], ag__in_shape(b, 0), a->dim, a->start, a->end, a->step);
}
AG_OP(slice, .node = "SliceBackward0", .shape = slice_shape, .backward = slice_backward)

#define AG_ARGS__slice_backward(must, may) \
    must(Tensor, grad) must(Shape, sizes) must(Int, dim) must(Int, start) must(Int, end) must(Int, step)
static bool slice_back_shape(ag_run *r);
static bool slice_back_anywhere(ag_run *r);
static void slice_back_backward(ag_gradients *b);
AG_OP_PLAIN(_slice_backward, .node = "SliceBackwardBackward0", .shape = slice_back_shape,
            .kernel = { slice_back_anywhere, slice_back_anywhere }, .backward = slice_back_backward)
static bool slice_back_shape(ag_run *r)
{
    return back_shape(r, ((const struct ag__slice_backward_args *)r->args)->sizes);
}
static bool slice_back_anywhere(ag_run *r)
{
    const struct ag__slice_backward_args *a = r->args;
    geometry g;
    return slice_geometry(r->op, a, &r->out[0]->tensor, a->dim, a->start, a->end, a->step, &g) && lay_back(r, &g);
}
static void slice_back_backward(ag_gradients *b)
{
    const struct ag__slice_backward_args *a = b->args;
    b->grad[0] = ag_slice(b->g[0], .dim = a->dim, .start = a->start, .end = a->end, .step = a->step);
}

#define AG_ARGS_narrow(must, may) must(Tensor, input) must(Int, dim) must(Int, start) must(Int, length)
static bool narrow_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(narrow, .compose = narrow_compose)
static bool narrow_compose(const void *args, ag_variable **out)
{
    const struct ag_narrow_args *a = args;
    const ag_op *op = ag__op_narrow();
    const ag_tensor *x = &a->input->tensor;
    if (x->ndim == 0) return ag__fail_call(op, a, "narrow() cannot be applied to a 0-dim tensor.");
    if (a->length < 0) return ag__fail_call(op, a, "narrow(): length must be non-negative.");
    int d = ag__wrap_dim("narrow", a->dim, x->ndim);
    if (d < 0) return false;
    int64_t n = x->size[d], start = a->start;
    if (start < -n || start > n)
        return ag__fail_call(
            op, a, "start out of range (expected to be in range of [%" PRId64 ", %" PRId64 "], but got %" PRId64 ")",
            -n, n, start);
    if (start < 0) start += n;
    if (a->length > n - start)
        return ag__fail_call(op, a, "start (%" PRId64 ") + length (%" PRId64 ") exceeds dimension size (%" PRId64 ").",
                             start, a->length, n);
    out[0] = ag_slice(a->input, .dim = d, .start = start, .end = start + a->length);
    return out[0] != NULL;
}

/* ---- diagonal ---- */

static bool diagonal_shape(ag_run *r)
{
    const struct ag_diagonal_args *a = r->args;
    geometry g;
    return diagonal_geometry(r->op, a, &a->input->tensor, a->offset, a->dim1, a->dim2, &g) && make_view(r, &g);
}
static void diagonal_backward(ag_gradients *b)
{
    const struct ag_diagonal_args *a = b->args;
    b->grad[0] = ag__diagonal_backward(b->g[0], ag__in_shape(b, 0), a->offset, a->dim1, a->dim2);
}
AG_OP(diagonal, .node = "DiagonalBackward0", .shape = diagonal_shape, .backward = diagonal_backward)

#define AG_ARGS__diagonal_backward(must, may) \
    must(Tensor, grad) must(Shape, sizes) must(Int, offset) must(Int, dim1) must(Int, dim2)
static bool diagonal_back_shape(ag_run *r);
static bool diagonal_back_anywhere(ag_run *r);
static void diagonal_back_backward(ag_gradients *b);
AG_OP_PLAIN(_diagonal_backward, .node = "DiagonalBackwardBackward0", .shape = diagonal_back_shape,
            .kernel = { diagonal_back_anywhere, diagonal_back_anywhere }, .backward = diagonal_back_backward)
static bool diagonal_back_shape(ag_run *r)
{
    return back_shape(r, ((const struct ag__diagonal_backward_args *)r->args)->sizes);
}
static bool diagonal_back_anywhere(ag_run *r)
{
    const struct ag__diagonal_backward_args *a = r->args;
    geometry g;
    return diagonal_geometry(r->op, a, &r->out[0]->tensor, a->offset, a->dim1, a->dim2, &g) && lay_back(r, &g);
}
static void diagonal_back_backward(ag_gradients *b)
{
    const struct ag__diagonal_backward_args *a = b->args;
    b->grad[0] = ag_diagonal(b->g[0], .offset = a->offset, .dim1 = a->dim1, .dim2 = a->dim2);
}
