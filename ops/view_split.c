/* view_split.c - views of all parts of a Variable along a dimension: split, split_with_sizes, chunk, unbind. */
#include "autograd/op.h"
#include "ops/check.h"
#include "ops/scatter.h"

#include <argent/factory.h>
#include <argent/join.h>
#include <argent/view.h>

#include <inttypes.h>
#include <string.h>

/* How many parts there will be; of none there is nothing to record. */
static bool parts(ag_run *r, int64_t n)
{
    if (n == 0) r->wants_grad = false;
    return ag__outputs(r, n);
}

/* ---- along a dimension, part after part ---- */

/* The dimension, if there is one; -1 with PyTorch's sentence. `op`: what that one calls it. */
static int split_dim(ag_run *r, const char *op, int64_t dim)
{
    const ag_tensor *x = &r->in[0]->tensor;
    if (x->ndim > 0) return ag__wrap_dim(op, dim, x->ndim);
    ag__fail_call(r->op, r->args, "%s expects at least a 1-dimensional tensor", op);
    return -1;
}
static bool part_view(ag_run *r, int k, int dim, int64_t start, int64_t size)
{
    const ag_tensor *x = &r->in[0]->tensor;
    int64_t sizes[AG_MAX_DIMS];
    memcpy(sizes, x->size, sizeof sizes);
    sizes[dim] = size;
    return ag__output_view_of_many(r, k, x->ndim, sizes, x->stride, start * x->stride[dim]);
}
/* Parts of `size`, the last of what is left; one if there is nothing. */
static bool parts_of_size(ag_run *r, int dim, int64_t size)
{
    int64_t length = r->in[0]->tensor.size[dim], n = length ? (length - 1) / size + 1 : 1;
    if (!parts(r, n)) return false;
    for (int64_t k = 0; k < n; k++)
        if (!part_view(r, (int)k, dim, k * size, k < n - 1 ? size : length - k * size)) return false;
    return true;
}

/* The gradients of the parts side by side; zeros where none came. size: of each part along dim; NULL: all but the last
 * are as large as the first. */
static ag_variable *joined(const ag_gradients *b, int64_t dim, const int64_t *size)
{
    ag_shape_list shape = ag__in_shape(b, 0);
    const int64_t n = b->node->n_out;
    const int at = ag__from_start(dim, (int)shape.n);
    ag_variable **part = ag__scratch((size_t)(n ? n : 1) * sizeof *part), *y = NULL;
    int64_t sizes[AG_MAX_DIMS], done = 0;
    if (!part) return NULL;
    for (int d = 0; d < shape.n; d++) sizes[d] = shape.at[d];
    bool ok = true;
    for (int64_t k = 0; ok && k < n; k++, done += sizes[at]) {
        sizes[at] = size ? size[k] : b->out_size[at] < shape.at[at] - done ? b->out_size[at] : shape.at[at] - done;
        part[k] = b->g[k] ? b->g[k]
                          : ag_zeros(ag_sizes_of(shape.n, sizes), .dtype = (ag_dtype)b->edge[0].dtype,
                                     .device = b->edge[0].device);
        ok = part[k] != NULL;
    }
    if (ok) y = ag_cat(ag_list_from(n, part), .dim = dim);
    ag__scratch_free(part);
    return y;
}

/* ---- split ---- */

static bool split_shape(ag_run *r)
{
    const struct ag_split_args *a = r->args;
    int dim = split_dim(r, "split", a->dim);
    if (dim < 0) return false;
    int64_t length = a->input->tensor.size[dim];
    if (a->split_size < 0)
        return ag__fail_call(r->op, a, "split expects split_size be non-negative, but got split_size=%" PRId64,
                             a->split_size);
    if (a->split_size == 0 && length)
        return ag__fail_call(
            r->op, a, "split_size can only be 0 if dimension size is 0, but got dimension size of %" PRId64, length);
    return parts_of_size(r, dim, a->split_size);
}
static void split_backward(ag_gradients *b)
{
    b->grad[0] = joined(b, ((const struct ag_split_args *)b->args)->dim, NULL);
}
AG_OP_LIST(split, .node = "SplitBackward0", .shape = split_shape, .backward = split_backward)

/* ---- split_with_sizes ---- */

static bool split_with_sizes_shape(ag_run *r)
{
    const struct ag_split_with_sizes_args *a = r->args;
    char text[AG_TEXT];
    int dim = split_dim(r, "split", a->dim);
    if (dim < 0) return false;
    int64_t length = a->input->tensor.size[dim], left = length;
    bool fits = true;
    for (int64_t k = 0; k < a->split_sizes.n; k++) {
        int64_t size = a->split_sizes.at[k];
        if (size < 0)
            return ag__fail_call(
                r->op, a, "split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes=%s",
                ag__shape_text((int)a->split_sizes.n, a->split_sizes.at, text, sizeof text));
        fits = fits && size <= left;
        if (fits) left -= size;
    }
    if (!fits || left)
        return ag__fail_call(r->op, a,
                             "split_with_sizes expects split_sizes to sum exactly to %" PRId64
                             " (input tensor's size at dimension %d), but got split_sizes=%s",
                             length, dim, ag__shape_text((int)a->split_sizes.n, a->split_sizes.at, text, sizeof text));
    if (!parts(r, a->split_sizes.n)) return false;
    for (int64_t k = 0, at = 0; k < a->split_sizes.n; at += a->split_sizes.at[k], k++)
        if (!part_view(r, (int)k, dim, at, a->split_sizes.at[k])) return false;
    return true;
}
static void split_with_sizes_backward(ag_gradients *b)
{
    const struct ag_split_with_sizes_args *a = b->args;
    b->grad[0] = joined(b, a->dim, a->split_sizes.at);
}
AG_OP_LIST(split_with_sizes, .node = "SplitWithSizesBackward0", .shape = split_with_sizes_shape,
           .backward = split_with_sizes_backward)

/* split, given several sizes, by name. */
#define AG_ARGS__split_sizes(must, may) must(Tensor, input) must(Shape, split_size) may(Int, dim, 0)
AG_STRUCT(_split_sizes, AG_ARGS__split_sizes)
static struct ag_split_with_sizes_args with_sizes(const void *args)
{
    const struct ag__split_sizes_args *a = args;
    return (struct ag_split_with_sizes_args){ .input = a->input, .split_sizes = a->split_size, .dim = a->dim };
}
static bool split_sizes_shape(ag_run *r)
{
    struct ag_split_with_sizes_args sizes = with_sizes(r->args);
    const void *own = r->args;
    r->args = &sizes;
    bool ok = split_with_sizes_shape(r);
    r->args = own;
    return ok;
}
static void split_sizes_backward(ag_gradients *b)
{
    const struct ag__split_sizes_args *a = b->args;
    b->grad[0] = joined(b, a->dim, a->split_size.at);
}
AG_OVERRIDING
AG_RECORD(_split_sizes, AG_ARGS__split_sizes, .n_out = AG_MANY, .torch = "split.sizes", .of = "split_with_sizes",
          .node = "SplitWithSizesBackward0", .shape = split_sizes_shape, .backward = split_sizes_backward)
AG_OVERRIDDEN

/* ---- chunk ---- */

static bool chunk_shape(ag_run *r)
{
    const struct ag_chunk_args *a = r->args;
    int dim = split_dim(r, "chunk", a->dim);
    if (dim < 0) return false;
    if (a->chunks <= 0)
        return ag__fail_call(r->op, a, "chunk expects `chunks` to be greater than 0, got: %" PRId64, a->chunks);
    int64_t length = a->input->tensor.size[dim];
    if (length) return parts_of_size(r, dim, (length - 1) / a->chunks + 1);
    if (!parts(r, a->chunks)) return false;
    for (int64_t k = 0; k < a->chunks; k++)
        if (!part_view(r, (int)k, dim, 0, 0)) return false;
    return true;
}
static void chunk_backward(ag_gradients *b)
{
    b->grad[0] = joined(b, ((const struct ag_chunk_args *)b->args)->dim, NULL);
}
AG_OP_LIST(chunk, .node = "SplitBackward0", .shape = chunk_shape, .backward = chunk_backward)

/* ---- unbind ---- */

static bool unbind_shape(ag_run *r)
{
    const struct ag_unbind_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    if (x->ndim == 0)
        return ag__fail_call(r->op, a, "Dimension specified as %" PRId64 " but tensor has no dimensions", a->dim);
    int dim = ag__wrap_dim("unbind", a->dim, x->ndim), n = x->ndim - 1;
    if (dim < 0 || !parts(r, x->size[dim])) return false;
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    for (int d = 0; d < n; d++) {
        size[d] = x->size[d < dim ? d : d + 1];
        stride[d] = x->stride[d < dim ? d : d + 1];
    }
    for (int64_t k = 0; k < x->size[dim]; k++)
        if (!ag__output_view_of_many(r, (int)k, n, size, stride, k * x->stride[dim])) return false;
    return true;
}
static void unbind_backward(ag_gradients *b)
{
    const struct ag_unbind_args *a = b->args;
    const int64_t n = b->node->n_out;
    ag_variable **part = ag__scratch((size_t)(n ? n : 1) * sizeof *part);
    bool ok = part != NULL;
    for (int64_t k = 0; ok && k < n; k++) {
        part[k] = b->g[k] ? b->g[k]
                          : ag_zeros(ag_sizes_of(b->out_ndim, b->out_size), .dtype = (ag_dtype)b->edge[0].dtype,
                                     .device = b->edge[0].device);
        ok = part[k] != NULL;
    }
    if (ok) b->grad[0] = ag_stack(ag_list_from(n, part), .dim = a->dim);
    if (part) ag__scratch_free(part);
}
AG_OP_LIST(unbind, .node = "UnbindBackward0", .shape = unbind_shape, .backward = unbind_backward)
