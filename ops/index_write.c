/* index_write.c - whole slices written by number: index_add, index_copy, index_fill. See index.h. */
#include "ops/check.h"
#include "ops/fresh.h"
#include "ops/index_device.h"
#include "ops/number.h"
#include "ops/scatter.h"

#include <argent/factory.h>
#include <argent/index.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>
#include <argent/view.h>

#include <inttypes.h>
#include <string.h>

/* The slices of x along dim as one walk: `slice` has size 1 there, and slice number i begins i steps further. */
typedef struct slices {
    ag_tensor slice;
    int64_t step; /* bytes */
} slices;

static slices slices_of(const ag_tensor *x, int dim)
{
    slices s = { .slice = *x };
    if (x->ndim == 0) return s;
    s.step = x->stride[dim] * (int64_t)ag__itemsize(x);
    s.slice.size[dim] = 1;
    s.slice.numel = ag__numel_of(x->ndim, s.slice.size);
    s.slice.contiguous = ag__is_contiguous(x->ndim, s.slice.size, s.slice.stride);
    return s;
}
static ag_tensor slice_number(const slices *s, int64_t i)
{
    ag_tensor slice = s->slice;
    slice.data += i * s->step;
    return slice;
}

/* ---- index_add ---- */

static bool same_but_at(const ag_tensor *a, const ag_tensor *b, int dim)
{
    if (a->ndim != b->ndim) return false;
    for (int d = 0; d < a->ndim; d++)
        if (d != dim && a->size[d] != b->size[d]) return false;
    return true;
}

/* index and source as index_add and index_copy want them. */
static bool index_add_shape(ag_run *r)
{
    const struct ag_index_add_args *a = r->args;
    const ag_tensor *x = &a->input->tensor, *index = &a->index->tensor, *source = &a->source->tensor;
    char is[AG_TEXT], other[AG_TEXT];
    int dim = ag__wrap_dim("index_add", a->dim, x->ndim);
    if (dim < 0) return false;
    if (index->ndim > 1)
        return ag__fail_call(r->op, a, "Index is supposed to be a vector, but got dim: %d with type: %s and size: %s",
                             index->ndim, ag__scalar_type((ag_dtype)index->dtype),
                             ag__shape_text(index->ndim, index->size, is, sizeof is));
    if (!ag__is_index(a->index))
        return ag__fail_call(r->op, a, "Expected dtype int32/int64 for index but got: %s",
                             ag__scalar_type((ag_dtype)index->dtype));
    if (x->dtype != source->dtype)
        return ag__fail_call(r->op, a, "self (%s) and source (%s) must have the same scalar type",
                             ag__scalar_type((ag_dtype)x->dtype), ag__scalar_type((ag_dtype)source->dtype));
    if (dim != 0 && dim >= source->ndim)
        return ag__fail_call(r->op, a, "Indexing dim %d is out of bounds of the source tensor with dim %d", dim,
                             source->ndim);
    int64_t length = source->ndim ? source->size[dim] : 1;
    if (index->numel != length)
        return ag__fail_call(
            r->op, a, "Number of indices (%" PRId64 ") should be equal to source.size(dim): (%" PRId64 "), for dim: %d",
            index->numel, length, dim);
    if (!same_but_at(x, source, dim))
        return ag__fail_call(r->op, a,
                             "source tensor shape must match self tensor shape, excluding the specified dimension. "
                             "Got self.shape = %s source.shape = %s",
                             ag__shape_text(x->ndim, x->size, is, sizeof is),
                             ag__shape_text(source->ndim, source->size, other, sizeof other));
    return ag__check_apart(r, a->index) && ag__check_apart(r, a->source) &&
           ag__output(r, 0, x->ndim, x->size, (ag_dtype)x->dtype) != NULL;
}

/* The result is the input as it is, of which the slices at *at will be written from those of the source; false with a
 * sentence if one is not there. */
static bool begin_write(ag_run *r, int64_t dim, ag_variable *index, ag_variable *source, const int64_t **at, slices *to,
                        slices *from)
{
    const ag_tensor *y = &r->out[0]->tensor;
    int d = ag__from_start(dim, y->ndim);
    *at = ag__indices(r, index, 0, y->ndim ? y->size[d] : 1, d);
    if (!*at && r->t->failed) return false;
    if (!r->inplace) ag__copy_elements(y, &r->in[0]->tensor);
    *to = slices_of(y, d);
    *from = slices_of(&source->tensor, d);
    return true;
}

static bool begin_on_device(ag_run *r) { return r->inplace || ag__copy_tensor(&r->out[0]->tensor, &r->in[0]->tensor); }

typedef struct scaled {
    ag_dtype dtype;
    double alpha;
} scaled;
/* data: the total, what is added */
static void add_row(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    const scaled *s = user;
    ag__add_elements(s->dtype, count, data[0], stride[0], data[1], stride[1], s->alpha);
}
static bool index_add_cpu(ag_run *r)
{
    const struct ag_index_add_args *a = r->args;
    slices to, from;
    const int64_t *at;
    if (!begin_write(r, a->dim, a->index, a->source, &at, &to, &from)) return false;
    scaled s = { (ag_dtype)r->out[0]->tensor.dtype, a->alpha };
    for (int64_t i = 0; i < a->index->tensor.numel; i++) {
        ag_tensor into = slice_number(&to, at[i]), added = slice_number(&from, i);
        ag_walk w;
        ag__walk(&w, 2, (const ag_tensor *const[]){ &into, &added });
        ag__walk_rows(&w, 1 << 15, add_row, &s);
    }
    return true;
}
static bool index_add_device(ag_run *r)
{
    const struct ag_index_add_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    return begin_on_device(r) && ag__index_slices(r, AG_INDEX_ADD, y, &a->source->tensor, &a->index->tensor,
                                                  ag__from_start(a->dim, y->ndim), a->alpha);
}
static void index_add_backward(ag_gradients *b)
{
    const struct ag_index_add_args *a = b->args;
    if (b->wanted[0]) b->grad[0] = b->g[0];
    if (!b->wanted[2]) return;
    ag_variable *g = ag_index_select(b->g[0], a->dim, a->index);
    b->grad[2] = a->alpha == 1 ? g : ag_mul(g, ag_scalar(a->alpha));
}
/* Backward does not read source, but as in PyTorch a change of it is noticed. */
AG_OP(index_add, .node = "IndexAddBackward0", .inplace = true, .shape = index_add_shape,
      .kernel = { index_add_cpu, index_add_device }, .backward = index_add_backward,
      .keeps = { 0, 0, AG_KEEP_IN(1) | AG_KEEP_IN(2) })
AG_INPLACE(index_add)

/* ---- index_copy ---- */

#define AG_ARGS_index_copy(must, may) must(Tensor, input) must(Int, dim) must(Tensor, index) must(Tensor, source)
static bool index_copy_shape(ag_run *r);
static bool index_copy_cpu(ag_run *r);
static bool index_copy_device(ag_run *r);
static void index_copy_backward(ag_gradients *b);
AG_OP_PLAIN(index_copy, .node = "IndexCopyBackward0", .inplace = true, .shape = index_copy_shape,
            .kernel = { index_copy_cpu, index_copy_device }, .backward = index_copy_backward,
            .keeps = { AG_KEEP_IN(1), 0, AG_KEEP_IN(1) | AG_KEEP_IN(2) })
AG_INPLACE_PLAIN(index_copy)

/* "3, 4": the sizes of a slice along dim. */
static const char *slice_text(const ag_tensor *x, int dim, char *text, size_t room)
{
    int64_t size[AG_MAX_DIMS];
    int n = 0;
    for (int d = 0; d < x->ndim; d++)
        if (d != dim) size[n++] = x->size[d];
    ag__shape_text(n, size, text, room);
    text[strlen(text) - 1] = 0;
    return text + 1;
}
static bool same_slices(const ag_tensor *a, const ag_tensor *b, int dim)
{
    if ((a->ndim ? a->ndim - 1 : 0) != (b->ndim ? b->ndim - 1 : 0)) return false;
    for (int d = 0; d < a->ndim && d < b->ndim; d++)
        if (d != dim && a->size[d] != b->size[d]) return false;
    return true;
}
static bool index_copy_shape(ag_run *r)
{
    const struct ag_index_copy_args *a = r->args;
    const ag_tensor *x = &a->input->tensor, *index = &a->index->tensor, *source = &a->source->tensor;
    int dim = ag__wrap_dim("index_copy", a->dim, x->ndim);
    if (dim < 0 || !ag__check_apart(r, a->index) || !ag__check_apart(r, a->source)) return false;
    if (index->ndim > 1) return ag__fail_call(r->op, a, "Index should have dimension 1 or 0 (got %d)", index->ndim);
    if (source->ndim == 0 && index->numel != 1)
        return ag__fail_call(r->op, a, "When source is scalar, index should have one element (got %" PRId64 ")",
                             index->numel);
    if (source->ndim != x->ndim && source->ndim && x->ndim)
        return ag__fail_call(r->op, a,
                             "When source and destination are not scalars, their dimensionality must match. Source "
                             "dimensionality (%d), destination dimensionality (%d)",
                             source->ndim, x->ndim);
    if (index->dtype != AG_INT64)
        return ag__fail_call(r->op, a, "Expected a long tensor for index, but got %s",
                             ag__scalar_type((ag_dtype)index->dtype));
    if (x->dtype != source->dtype)
        return ag__fail_call(r->op, a,
                             "self and source expected to have the same dtype, but got (self) %s and (source) %s",
                             ag__scalar_type((ag_dtype)x->dtype), ag__scalar_type((ag_dtype)source->dtype));
    char to[AG_TEXT], from[AG_TEXT];
    if (!same_slices(x, source, dim))
        return ag__fail_call(r->op, a,
                             "Source/destination tensor must have same slice shapes. Destination slice shape: %s at "
                             "dimension %d and source slice shape: %s at dimension 0.",
                             slice_text(x, dim, to, sizeof to), dim, slice_text(source, dim, from, sizeof from));
    if (source->ndim && index->numel != source->size[dim])
        return ag__fail_call(r->op, a,
                             "Number of indices (%" PRId64 ") should be equal to source.size(dim) (%" PRId64 ")",
                             index->numel, source->size[dim]);
    return ag__output(r, 0, x->ndim, x->size, (ag_dtype)x->dtype) != NULL;
}
static bool index_copy_cpu(ag_run *r)
{
    const struct ag_index_copy_args *a = r->args;
    slices to, from;
    const int64_t *at;
    if (!begin_write(r, a->dim, a->index, a->source, &at, &to, &from)) return false;
    for (int64_t i = 0; i < a->index->tensor.numel; i++) {
        ag_tensor into = slice_number(&to, at[i]), taken = slice_number(&from, i);
        ag__copy_elements(&into, &taken);
    }
    return true;
}
static bool index_copy_device(ag_run *r)
{
    const struct ag_index_copy_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    return begin_on_device(r) && ag__index_slices(r, AG_INDEX_WRITE, y, &a->source->tensor, &a->index->tensor,
                                                  ag__from_start(a->dim, y->ndim), 1);
}
static void index_copy_backward(ag_gradients *b)
{
    const struct ag_index_copy_args *a = b->args;
    if (b->wanted[0]) b->grad[0] = ag_index_fill(b->g[0], a->dim, a->index, 0);
    if (b->wanted[2]) b->grad[2] = ag_reshape(ag_index_select(b->g[0], a->dim, a->index), ag__in_shape(b, 2));
}

/* ---- index_fill ---- */

#define AG_ARGS_index_fill(must, may) must(Tensor, input) must(Int, dim) must(Tensor, index) must(Number, value)
static bool index_fill_shape(ag_run *r);
static bool index_fill_anywhere(ag_run *r);
static void index_fill_backward(ag_gradients *b);
AG_OP_PLAIN(index_fill, .node = "IndexFillBackward0", .inplace = true, .repeats = true, .shape = index_fill_shape,
            .kernel = { index_fill_anywhere, index_fill_anywhere }, .backward = index_fill_backward,
            .keeps = { AG_KEEP_IN(1) })
AG_INPLACE_PLAIN(index_fill)

static bool fill_shape(ag_run *r, int64_t dim, const ag_variable *index, ag_number value)
{
    const ag_tensor *x = &r->in[0]->tensor;
    if (ag__wrap_dim("index_fill", dim, x->ndim) < 0) return false;
    if (index->tensor.dtype != AG_INT64) return ag__fail_call(r->op, r->args, "Expected dtype int64 for index.");
    if (!ag__check_apart(r, index)) return false;
    if (index->tensor.ndim > 1) return ag__fail_call(r->op, r->args, "Index has to be a vector/scalar");
    int64_t stride[AG_MAX_DIMS];
    return ag__check_number(r->op, r->args, value, (ag_dtype)x->dtype) &&
           ag__fresh_strides(r->op, r->args, x, AG_PRESERVE_FORMAT, stride) &&
           ag__output_strided(r, 0, x->ndim, x->size, stride, (ag_dtype)x->dtype) != NULL;
}
static bool fill_anywhere(ag_run *r, int64_t dim, const ag_variable *index, ag_number value)
{
    const ag_tensor *y = &r->out[0]->tensor;
    int d = ag__from_start(dim, y->ndim);
    if (r->device.type != AG_DEVICE_CPU)
        return begin_on_device(r) && ag__index_fill_slices(r, y, value, &index->tensor, d);
    const int64_t n = y->ndim ? y->size[d] : 1, count = index->tensor.numel;
    const int64_t *at = ag__indices(r, index, -n, n, d);
    if (!at && r->t->failed) return false;
    if (!r->inplace) ag__copy_elements(y, &r->in[0]->tensor);
    slices to = slices_of(y, d);
    for (int64_t i = 0; i < count; i++) {
        ag_tensor into = slice_number(&to, at[i] < 0 ? at[i] + n : at[i]);
        ag__fill_elements(&into, value);
    }
    return true;
}

static bool index_fill_shape(ag_run *r)
{
    const struct ag_index_fill_args *a = r->args;
    return fill_shape(r, a->dim, a->index, a->value);
}
static bool index_fill_anywhere(ag_run *r)
{
    const struct ag_index_fill_args *a = r->args;
    return fill_anywhere(r, a->dim, a->index, a->value);
}
static void index_fill_backward(ag_gradients *b)
{
    const struct ag_index_fill_args *a = b->args;
    b->grad[0] = ag_index_fill(b->g[0], a->dim, a->index, 0);
}

/* The overload whose value is a Variable without dimensions, by name. */
#define AG_ARGS__index_fill_tensor(must, may) must(Tensor, input) must(Int, dim) must(Tensor, index) must(Tensor, value)
AG_STRUCT(_index_fill_tensor, AG_ARGS__index_fill_tensor)
static bool read_value(const struct ag__index_fill_tensor_args *a, ag_number *value)
{
    const ag_dtype dtype = ag_dtype_of(a->value);
    _Alignas(8) char element[8];
    if (!ag__read_element(&a->value->tensor, element)) return false;
    *value = ag__is_floating(dtype) ? (ag_number)ag__load(element, dtype) : (ag_number)ag__load_int64(element, dtype);
    return true;
}
static bool index_fill_tensor_shape(ag_run *r)
{
    const struct ag__index_fill_tensor_args *a = r->args;
    if (a->value->tensor.ndim)
        return ag__fail_call(r->op, a,
                             "index_fill_ only supports a 0-dimensional value tensor, but got tensor with %d "
                             "dimension(s).",
                             a->value->tensor.ndim);
    ag_number value;
    return read_value(a, &value) && fill_shape(r, a->dim, a->index, value);
}
static bool index_fill_tensor_anywhere(ag_run *r)
{
    const struct ag__index_fill_tensor_args *a = r->args;
    ag_number value;
    return read_value(a, &value) && fill_anywhere(r, a->dim, a->index, value);
}
static void index_fill_tensor_backward(ag_gradients *b)
{
    const struct ag__index_fill_tensor_args *a = b->args;
    ag_variable *g = b->g[0];
    if (b->wanted[0]) b->grad[0] = ag_index_fill(g, a->dim, a->index, 0);
    if (!b->wanted[2]) return;
    ag_variable *filled = ag_index_fill(ag_zeros_like(g, .dtype = AG_BOOL), a->dim, a->index, 1);
    b->grad[2] = ag_sum(ag_where(filled, g, ag_zeros_like(g)));
}
AG_RECORD(_index_fill_tensor, AG_ARGS__index_fill_tensor, .of = "index_fill", .torch = "index_fill.int_Tensor",
          .node = "IndexFillBackward1", .inplace = true, .repeats = true, .shape = index_fill_tensor_shape,
          .kernel = { index_fill_tensor_anywhere, index_fill_tensor_anywhere }, .backward = index_fill_tensor_backward,
          .keeps = { AG_KEEP_IN(1), 0, AG_KEEP_IN(1) })
