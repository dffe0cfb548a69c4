/* view_part.c - views of a part of the elements (select, slice, diagonal, as_strided), and the ops that lay their
 * gradients back. */
#include "ops/view_part.h"

#include "autograd/op.h"
#include "ops/check.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/view.h>

#include <inttypes.h>
#include <math.h>
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
    ag__fill_elements(&part, 0);
    part.ndim = (uint8_t)g->ndim;
    part.numel = ag__numel_of(g->ndim, g->size);
    part.contiguous = ag__is_contiguous(g->ndim, g->size, g->stride);
    memcpy(part.size, g->size, sizeof part.size);
    memcpy(part.stride, g->stride, sizeof part.stride);
    part.data += g->offset * (int64_t)ag__itemsize(&part);
    if (part.numel) ag__copy_elements(&part, &r->in[0]->tensor);
    return true;
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
static bool select_back_cpu(ag_run *r);
static void select_back_backward(ag_gradients *b);
AG_OP_PLAIN(_select_backward, .node = "SelectBackwardBackward0", .shape = select_back_shape,
            .kernel = { select_back_cpu }, .backward = select_back_backward)
static bool select_back_shape(ag_run *r)
{
    return back_shape(r, ((const struct ag__select_backward_args *)r->args)->sizes);
}
static bool select_back_cpu(ag_run *r)
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
static bool slice_back_cpu(ag_run *r);
static void slice_back_backward(ag_gradients *b);
AG_OP_PLAIN(_slice_backward, .node = "SliceBackwardBackward0", .shape = slice_back_shape, .kernel = { slice_back_cpu },
            .backward = slice_back_backward)
static bool slice_back_shape(ag_run *r)
{
    return back_shape(r, ((const struct ag__slice_backward_args *)r->args)->sizes);
}
static bool slice_back_cpu(ag_run *r)
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
static bool diagonal_back_cpu(ag_run *r);
static void diagonal_back_backward(ag_gradients *b);
AG_OP_PLAIN(_diagonal_backward, .node = "DiagonalBackwardBackward0", .shape = diagonal_back_shape,
            .kernel = { diagonal_back_cpu }, .backward = diagonal_back_backward)
static bool diagonal_back_shape(ag_run *r)
{
    return back_shape(r, ((const struct ag__diagonal_backward_args *)r->args)->sizes);
}
static bool diagonal_back_cpu(ag_run *r)
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

/* ---- as_strided ---- */

/* The record behind the public one also knows where the input lies, which its gradient needs. */
/* One past the last element that is reached, from the first; -1: beyond memory; 0: there are no elements. */
static int64_t reach(ag_shape_list size, ag_shape_list stride)
{
    int64_t last = 0, step;
    for (int64_t d = 0; d < size.n; d++)
        if (size.at[d] == 0) return 0;
    for (int64_t d = 0; d < size.n; d++)
        if (__builtin_mul_overflow(size.at[d] - 1, stride.at[d], &step) || __builtin_add_overflow(last, step, &last) ||
            last >= INT64_MAX / 16)
            return -1;
    return last + 1;
}

static bool as_strided_shape(ag_run *r)
{
    const struct ag__as_strided_args *a = r->args;
    int64_t stride[AG_MAX_DIMS];
    for (int64_t d = 0; d < a->size.n; d++) stride[d] = ag__kept_stride(a->size.at[d], a->stride.at[d]);
    return ag__output_view(r, (int)a->size.n, a->size.at, stride, a->storage_offset - a->in_offset);
}
/* Elements of that layout share memory. */
static bool repeats_elements(ag_shape_list size, ag_shape_list stride)
{
    ag_tensor x = { .ndim = (uint8_t)size.n, .numel = ag__numel_of((int)size.n, size.at) };
    for (int d = 0; d < x.ndim; d++) {
        x.size[d] = size.at[d];
        x.stride[d] = stride.at[d];
    }
    return ag__overlaps_itself(&x);
}
static void as_strided_backward(ag_gradients *b)
{
    const struct ag__as_strided_args *a = b->args;
    ag_shape_list sizes = ag__in_shape(b, 0);
    b->grad[0] = ag__as_strided_backward(b->g[0], a->stride, a->storage_offset, sizes, a->in_stride, a->in_offset,
                                         repeats_elements(sizes, a->in_stride) ? 1 : 0);
}
AG_RECORD(_as_strided, AG_ARGS__as_strided, .of = "as_strided", .node = "AsStridedBackward0", .shape = as_strided_shape,
          .backward = as_strided_backward)

static bool as_strided_compose(const void *args, ag_variable **out);
AG_OP(as_strided, .compose = as_strided_compose)
static bool as_strided_compose(const void *args, ag_variable **out)
{
    const struct ag_as_strided_args *a = args;
    const ag_op *op = ag__op_as_strided();
    char size[AG_TEXT], stride[AG_TEXT];
    const ag_tensor *x = &a->input->tensor;
    int n = (int)a->size.n;
    if (a->size.n != a->stride.n) return ag__fail_call(op, a, "mismatch in length of strides and shape");
    if (a->size.n < 0 || a->size.n > AG_MAX_DIMS)
        return ag__fail_call(op, a, "a Variable has at most %d dimensions, not %" PRId64, AG_MAX_DIMS, a->size.n);
    for (int d = 0; d < n; d++)
        if (a->stride.at[d] < 0)
            return ag__fail_call(op, a, "Negative strides are not supported at the moment, got strides: %s",
                                 ag__shape_text(n, a->stride.at, stride, sizeof stride));
    if (ag__numel_of(n, a->size.at) < 0)
        return ag__fail_call(op, a, "Storage size calculation overflowed with sizes=%s and strides=%s",
                             ag__shape_text(n, a->size.at, size, sizeof size),
                             ag__shape_text(n, a->stride.at, stride, sizeof stride));
    int64_t own = ag_storage_offset(a->input), offset = a->storage_offset == -1 ? own : a->storage_offset;
    if (offset < 0) return ag__fail_call(op, a, "Tensor: invalid storage offset %" PRId64, offset);
    int64_t span = reach(a->size, a->stride), room = x->storage->bytes / (int64_t)ag__itemsize(x);
    if (span < 0 || (span > 0 && (span > room || offset > room - span)))
        return ag__fail_call(op, a,
                             "setStorage: sizes %s, strides %s, storage offset %" PRId64
                             ", and itemsize %zu requiring a storage size of "
                             "%.0f are out of bounds for storage of size %" PRId64,
                             ag__shape_text(n, a->size.at, size, sizeof size),
                             ag__shape_text(n, a->stride.at, stride, sizeof stride), offset, ag__itemsize(x),
                             span < 0 ? INFINITY : ((double)offset + (double)span) * (double)ag__itemsize(x),
                             x->storage->bytes);
    if (span == 0) offset = own; /* nothing is seen: any place will do */
    const struct ag__as_strided_args whole = { .input = a->input,
                                               .size = a->size,
                                               .stride = a->stride,
                                               .storage_offset = offset,
                                               .in_stride = ag_stride(a->input),
                                               .in_offset = own };
    return ag__apply(ag__op__as_strided(), &whole, out, __builtin_return_address(0));
}

#define AG_ARGS__as_strided_backward(must, may)                                                          \
    must(Tensor, grad) must(Shape, in_stride) must(Int, in_offset) must(Shape, size) must(Shape, stride) \
        must(Int, offset) must(Int, share)
static bool as_strided_back_shape(ag_run *r);
static bool as_strided_back_cpu(ag_run *r);
static void as_strided_back_backward(ag_gradients *b);
AG_OP_PLAIN(_as_strided_backward, .node = "AsStridedBackwardBackward0", .shape = as_strided_back_shape,
            .kernel = { as_strided_back_cpu }, .backward = as_strided_back_backward)
static bool as_strided_back_shape(ag_run *r)
{
    return back_shape(r, ((const struct ag__as_strided_backward_args *)r->args)->size);
}

/* Counts through the sizes; place[k] follows by stride[k]. */
static void next_element(int ndim, const int64_t *size, int64_t *index, int n, const int64_t *const *stride,
                         int64_t *place)
{
    for (int d = ndim - 1; d >= 0; d--) {
        bool done = ++index[d] < size[d];
        for (int k = 0; k < n; k++) place[k] += done ? stride[k][d] : -(size[d] - 1) * stride[k][d];
        if (done) return;
        index[d] = 0;
    }
}

static bool as_strided_back_cpu(ag_run *r)
{
    const struct ag__as_strided_backward_args *a = r->args;
    const ag_tensor *x = &r->in[0]->tensor, *y = &r->out[0]->tensor;
    int64_t in_span = reach(ag_sizes_of(x->ndim, x->size), a->in_stride), out_span = reach(a->size, a->stride);
    if (in_span == 0 || out_span == 0) {
        ag__fill_elements(y, 0);
        return true;
    }
    int64_t first = a->in_offset < a->offset ? a->in_offset : a->offset;
    int64_t in_at = a->in_offset - first, out_at = a->offset - first;
    int64_t cells = in_at + in_span > out_at + out_span ? in_at + in_span : out_at + out_span;
    double *cell = ag__scratch((size_t)cells * (a->share ? 2 : 1) * sizeof *cell), *count = cell + cells;
    if (!cell) return false;
    memset(cell, 0, (size_t)cells * (a->share ? 2 : 1) * sizeof *cell);
    int64_t item = (int64_t)ag__itemsize(x);

    int64_t index[AG_MAX_DIMS] = { 0 }, place[2] = { in_at, 0 };
    const int64_t *const in_strides[2] = { a->in_stride.at, x->stride };
    for (int64_t i = 0; i < x->numel; i++) {
        cell[place[0]] += ag__load(x->data + place[1] * item, (ag_dtype)x->dtype);
        if (a->share == 2) count[place[0]]++;
        next_element(x->ndim, x->size, index, 2, in_strides, place);
    }
    const int64_t *const out_strides[2] = { a->stride.at, y->stride };
    if (a->share == 1) {
        memset(index, 0, sizeof index);
        place[0] = out_at;
        for (int64_t i = 0; i < y->numel; i++) {
            count[place[0]]++;
            next_element(y->ndim, y->size, index, 1, out_strides, place);
        }
    }
    memset(index, 0, sizeof index);
    place[0] = out_at;
    place[1] = 0;
    for (int64_t i = 0; i < y->numel; i++) {
        double shared = a->share && count[place[0]] > 0 ? count[place[0]] : 1;
        ag__store(y->data + place[1] * item, (ag_dtype)y->dtype, cell[place[0]] / shared);
        next_element(y->ndim, y->size, index, 2, out_strides, place);
    }
    ag__scratch_free(cell);
    return true;
}
/* A base after a change of a view of it: src where the view lies, and input elsewhere. */
static void copy_slices_backward(ag_gradients *b)
{
    const struct ag__copy_slices_args *a = b->args;
    ag_variable *g = b->g[0];
    if (repeats_elements(ag_sizes_of(b->out_ndim, b->out_size), a->in_stride) ||
        (b->wanted[0] &&
         repeats_elements(ag__in_shape(b, 1), a->stride))) { /* PyTorch writes to the base and the view */
        ag__fail_overlap("backward");
        return;
    }
    if (b->wanted[1])
        b->grad[1] = ag__as_strided_backward(g, a->in_stride, a->in_offset, ag__in_shape(b, 1), a->stride, a->offset,
                                             0);
    if (!b->wanted[0]) return;
    ag_variable *seen = ag_ones(ag__in_shape(b, 1), .dtype = AG_BOOL, .device = b->edge[1].device);
    if (seen) seen = ag__as_strided_backward(seen, a->stride, a->offset, ag_shape(g), a->in_stride, a->in_offset, 0);
    if (seen) b->grad[0] = ag_masked_fill(g, seen, 0);
}
/* PyTorch's lets go of the change even where it saved nothing. */
static void copy_slices_unsave(Thread *t, ag_node *n)
{
    (void)t;
    n->freed = true;
}
AG_RECORD(_copy_slices, AG_ARGS__copy_slices, .node = "CopySlices", .backward = copy_slices_backward,
          .unsave = copy_slices_unsave)

/* Back the other way; what was divided among the elements of one side is so on the way back. */
static void as_strided_back_backward(ag_gradients *b)
{
    const struct ag__as_strided_backward_args *a = b->args;
    b->grad[0] = ag__as_strided_backward(b->g[0], a->stride, a->offset, ag__in_shape(b, 0), a->in_stride, a->in_offset,
                                         a->share == 1   ? 2
                                         : a->share == 2 ? 1
                                                         : 0);
}
