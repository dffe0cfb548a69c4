/* view_strided.c - as_strided: a view of any geometry, whose gradient is laid back cell by cell; and the change of a
 * base through one of its views. */
#include "ops/view_part.h"

#include "autograd/op.h"
#include "ops/check.h"
#include "ops/index_device.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/pointwise.h>
#include <argent/view.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

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
static bool as_strided_back_anywhere(ag_run *r);
static void as_strided_back_backward(ag_gradients *b);
AG_OP_PLAIN(_as_strided_backward, .node = "AsStridedBackwardBackward0", .shape = as_strided_back_shape,
            .kernel = { as_strided_back_anywhere, as_strided_back_anywhere }, .backward = as_strided_back_backward)
static bool as_strided_back_shape(ag_run *r)
{
    const ag_shape_list size = ((const struct ag__as_strided_backward_args *)r->args)->size;
    return ag__output(r, 0, (int)size.n, size.at, ag_dtype_of(r->in[0])) != NULL;
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

/* The memory that both geometries reach into: so many cells, and where either begins. */
typedef struct cells {
    int64_t n, in_at, out_at;
} cells;

/* cell, one of a device's vectors, as that geometry sees it. */
static ag_tensor seen_as(const ag_variable *cell, int64_t at, ag_shape_list size, ag_shape_list stride)
{
    ag_tensor x = cell->tensor;
    x.data += at * (int64_t)ag__itemsize(&x);
    x.ndim = (uint8_t)size.n;
    memcpy(x.size, size.at, (size_t)size.n * sizeof *x.size);
    memcpy(x.stride, stride.at, (size_t)size.n * sizeof *x.stride);
    x.numel = ag__numel_of(x.ndim, x.size);
    x.contiguous = ag__is_contiguous(x.ndim, x.size, x.stride);
    return x;
}
/* cell[...] += part, contiguous, where elements of that geometry may share cells; NULL: one each. */
static bool add_to_cells(ag_run *r, ag_variable *cell, const ag_tensor *part, int64_t at, ag_shape_list size,
                         ag_shape_list stride)
{
    ag_variable *number = ag_arange((double)cell->tensor.numel, .dtype = AG_INT64, .device = r->device);
    ag_variable *index = ag__new(r->t, (int)size.n, size.at, AG_INT64, r->device), *one = NULL;
    if (!number || !index) return false;
    const ag_tensor seen = seen_as(number, at, size, stride);
    if (!part && !(one = ag_ones(size, .dtype = AG_FLOAT64, .device = r->device))) return false;
    return ag__copy_tensor(&index->tensor, &seen) &&
           ag__index_row(r, AG_INDEX_ADD, &cell->tensor, part ? part : &one->tensor, &index->tensor);
}
static bool as_strided_back_device(ag_run *r, const cells *c)
{
    const struct ag__as_strided_backward_args *a = r->args;
    const ag_tensor *x = &r->in[0]->tensor, *y = &r->out[0]->tensor;
    const ag_shape_list in_size = ag_sizes_of(x->ndim, x->size);
    const bool sums = repeats_elements(in_size, a->in_stride);
    ag_variable *cell = ag_zeros(AG_SHAPE(c->n), .dtype = sums || a->share ? AG_FLOAT64 : ag_dtype_of(r->in[0]),
                                 .device = r->device);
    if (!cell) return false;
    if (sums) {
        const ag_tensor *part = ag__plain(r->t, r->in[0], x->ndim, x->size, AG_FLOAT64);
        if (!part || !add_to_cells(r, cell, part, c->in_at, in_size, a->in_stride)) return false;
    } else {
        const ag_tensor seen = seen_as(cell, c->in_at, in_size, a->in_stride);
        if (!ag__copy_tensor(&seen, x)) return false;
    }
    if (a->share) {
        const bool of_result = a->share == 1;
        ag_variable *count = ag_zeros(AG_SHAPE(c->n), .dtype = AG_FLOAT64, .device = r->device);
        if (!count || !add_to_cells(r, count, NULL, of_result ? c->out_at : c->in_at, of_result ? a->size : in_size,
                                    of_result ? a->stride : a->in_stride))
            return false;
        if (!(cell = ag_div(cell, ag_clamp(count, .min = 1)))) return false;
    }
    const ag_tensor seen = seen_as(cell, c->out_at, a->size, a->stride);
    return ag__copy_tensor(y, &seen);
}

static bool as_strided_back_anywhere(ag_run *r)
{
    const struct ag__as_strided_backward_args *a = r->args;
    const ag_tensor *x = &r->in[0]->tensor, *y = &r->out[0]->tensor;
    int64_t in_span = reach(ag_sizes_of(x->ndim, x->size), a->in_stride), out_span = reach(a->size, a->stride);
    if (in_span == 0 || out_span == 0) return ag__fill_tensor(y, 0);
    int64_t first = a->in_offset < a->offset ? a->in_offset : a->offset;
    int64_t in_at = a->in_offset - first, out_at = a->offset - first;
    int64_t n = in_at + in_span > out_at + out_span ? in_at + in_span : out_at + out_span;
    if (r->device.type != AG_DEVICE_CPU)
        return as_strided_back_device(r, &(cells){ .n = n, .in_at = in_at, .out_at = out_at });
    double *cell = ag__scratch((size_t)n * (a->share ? 2 : 1) * sizeof *cell), *count = cell + n;
    if (!cell) return false;
    memset(cell, 0, (size_t)n * (a->share ? 2 : 1) * sizeof *cell);
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
