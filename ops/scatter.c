/* scatter.c - writing by number: see index.h. */
#include "ops/scatter.h"
#include "ops/check.h"

#include <argent/index.h>
#include <argent/pointwise.h>
#include <argent/view.h>

#include <inttypes.h>
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
    if (!r->inplace || ag__overlap(&r->in[0]->tensor, &other->tensor) == 0) return true;
    return ag__fail_call(
        r->op, r->args,
        "unsupported operation: some elements of the input tensor and the written-to tensor refer to a "
        "single memory location. Please clone() the tensor before performing the operation.");
}

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
    const ag_tensor *y = &r->out[0]->tensor;
    int dim = ag__from_start(a->dim, y->ndim);
    const int64_t *at = ag__indices(r, a->index, y->ndim ? y->size[dim] : 1, dim);
    if (!at && r->t->failed) return false;
    if (!r->inplace) ag__copy_elements(y, &a->input->tensor);
    slices to = slices_of(y, dim), from = slices_of(&a->source->tensor, dim);
    scaled s = { (ag_dtype)y->dtype, a->alpha };
    for (int64_t i = 0; i < a->index->tensor.numel; i++) {
        ag_tensor into = slice_number(&to, at[i]), added = slice_number(&from, i);
        ag_walk w;
        ag__walk(&w, 2, (const ag_tensor *const[]){ &into, &added });
        ag__walk_rows(&w, 1 << 15, add_row, &s);
    }
    return true;
}
static void index_add_backward(ag_gradients *b)
{
    const struct ag_index_add_args *a = b->args;
    if (b->wanted[0]) b->grad[0] = b->g[0];
    if (!b->wanted[2]) return;
    ag_variable *g = ag_index_select(b->g[0], a->dim, a->index);
    b->grad[2] = a->alpha == 1 ? g : ag_mul(g, ag_scalar(a->alpha));
}
AG_OP(index_add, .node = "IndexAddBackward0", .inplace = true, .shape = index_add_shape, .kernel = { index_add_cpu },
      .backward = index_add_backward, .keeps = { 0, 0, AG_KEEP_IN(1) })
AG_INPLACE(index_add)
