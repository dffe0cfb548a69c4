/* shape.c - the geometry of tensors: sizes and strides, and the rules by which they combine.
 *
 * A tensor's shape is ndim sizes; its layout is as many strides, in elements, never negative. Everything here is
 * arithmetic on these two short arrays: no element is touched. The rules are PyTorch's, case for case, and so are the
 * sentences, after the op's name. What a result's strides are, and whether two layouts share memory, stands in
 * layout.c.
 */
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

/* ---- sizes and strides ---- */

/* Sizes of 0 count as 1 towards the limit, so that strides, which skip them in the same way, cannot overflow either. */
int64_t ag__numel_of(int ndim, const int64_t *size)
{
    int64_t numel = 1, reach = 1;
    for (int d = 0; d < ndim; d++) {
        if (size[d] < 0) return -1;
        if (size[d] > 1 && (__builtin_mul_overflow(reach, size[d], &reach) || reach > AG_MOST_ELEMENTS)) return -1;
        if (size[d] == 0) numel = 0;
    }
    return numel ? reach : 0;
}

/* *step *= size. What is too large for that, ag__numel_of refuses: any number will do. */
static void count_on(int64_t *step, int64_t size)
{
    if (__builtin_mul_overflow(*step, size, step)) *step = 1;
}

void ag__contiguous_strides(int ndim, const int64_t *size, int64_t *stride)
{
    int64_t step = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        stride[d] = step;
        if (size[d] > 1) count_on(&step, size[d]);
    }
}

void ag__format_strides(int ndim, const int64_t *size, ag_memory_format format, int64_t *stride)
{
    const int inner = format == AG_CHANNELS_LAST; /* the dimension whose elements lie side by side */
    if ((format != AG_BATCH_LAST && format != AG_CHANNELS_LAST) || ndim <= inner) {
        ag__contiguous_strides(ndim, size, stride);
        return;
    }
    int64_t step = size[inner] > 1 ? size[inner] : 1;
    stride[inner] = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        if (d == inner) continue;
        stride[d] = step;
        if (size[d] > 1) count_on(&step, size[d]);
    }
}

bool ag__is_contiguous(int ndim, const int64_t *size, const int64_t *stride)
{
    int64_t step = 1;
    bool in_order = true;
    for (int d = ndim - 1; d >= 0; d--) {
        if (size[d] == 0) return true;
        if (size[d] == 1) continue;
        in_order &= stride[d] == step;
        step *= size[d];
    }
    return in_order;
}

/* ---- broadcasting ---- */

/* "[2, 3] and [2, 4]" */
static void shapes_text(int n, const ag_tensor *const *in, char *text, size_t room)
{
    size_t used = 0;
    text[0] = 0;
    for (int k = 0; k < n && used < room; k++) {
        char shape[AG_TEXT];
        ag__shape_text(in[k]->ndim, in[k]->size, shape, sizeof shape);
        used += (size_t)snprintf(text + used, room - used, "%s%s", !k ? "" : k == n - 1 ? " and " : ", ", shape);
    }
}

static bool broadcast_failed(const char *op, int n, const ag_tensor *const *in, int64_t a, int64_t b, int dim)
{
    char shapes[4 * AG_TEXT];
    shapes_text(n, in, shapes, sizeof shapes);
    return ag__fail(
        AG_EINVAL,
        "%s: The size of tensor a (%lld) must match the size of tensor b (%lld) at non-singleton dimension %d "
        "(shapes: %s)",
        op, (long long)a, (long long)b, dim, shapes);
}

/* As PyTorch: the inputs come in one after another, each pair is compared from the last dimension on. */
bool ag__broadcast(const char *op, int n, const ag_tensor *const *in, int *ndim, int64_t *size)
{
    int dims = in[0]->ndim;
    for (int d = 0; d < dims; d++) size[d] = in[0]->size[d];
    for (int k = 1; k < n; k++) {
        const ag_tensor *x = in[k];
        int more = x->ndim - dims;
        if (more > 0) {
            memmove(size + more, size, (size_t)dims * sizeof *size);
            for (int d = 0; d < more; d++) size[d] = 1;
            dims = x->ndim;
        }
        int offset = dims - x->ndim;
        for (int d = dims - 1; d >= offset; d--) {
            int64_t a = size[d], b = x->size[d - offset];
            if (a == b || b == 1) continue;
            if (a != 1) return broadcast_failed(op, n, in, a, b, d);
            size[d] = b;
        }
    }
    *ndim = dims;
    return true;
}

void ag__broadcast_strides(const ag_tensor *x, int ndim, const int64_t *size, int64_t *stride)
{
    int offset = ndim - x->ndim;
    for (int d = 0; d < offset; d++) stride[d] = 0;
    for (int d = offset; d < ndim; d++) {
        int64_t own = x->size[d - offset];
        stride[d] = own == 1 && size[d] != 1 ? 0 : x->stride[d - offset];
    }
}

/* ---- views of other sizes ---- */

/* PyTorch's computeStride. x's dimensions fall into chunks that lie in memory as one; each chunk must be the product of
 * some of the new dimensions, from the last on. */
bool ag__view_strides(const ag_tensor *x, int ndim, const int64_t *size, int64_t *stride)
{
    if (x->numel == 0) {
        if (x->ndim == ndim && memcmp(x->size, size, (size_t)ndim * sizeof *size) == 0)
            memcpy(stride, x->stride, (size_t)ndim * sizeof *stride);
        else
            ag__contiguous_strides(ndim, size, stride);
        return true;
    }
    if (x->ndim == 0) {
        for (int d = 0; d < ndim; d++) stride[d] = 1;
        return true;
    }
    int v = ndim - 1;
    int64_t step = x->stride[x->ndim - 1], chunk = 1, covered = 1;
    for (int d = x->ndim - 1; d >= 0; d--) {
        chunk *= x->size[d];
        bool chunk_ends = d == 0 || (x->size[d - 1] != 1 && x->stride[d - 1] != chunk * step);
        if (!chunk_ends) continue;
        for (; v >= 0 && (covered < chunk || size[v] == 1); v--) {
            stride[v] = covered * step;
            covered *= size[v];
        }
        if (covered != chunk) return false;
        if (d > 0) {
            step = x->stride[d - 1];
            chunk = covered = 1;
        }
    }
    return v == -1;
}

bool ag__infer_size(const char *op, ag_shape_list shape, int64_t numel, int64_t *size)
{
    if (shape.n < 0 || shape.n > AG_MAX_DIMS)
        return ag__fail(AG_EINVAL, "%s: a shape of %lld dimensions; a Variable has 0 to %d", op, (long long)shape.n,
                        AG_MAX_DIMS);
    char text[AG_TEXT];
    int ndim = (int)shape.n, inferred = -1;
    int64_t ones[AG_MAX_DIMS] = { 0 }; /* the sizes, with 1 for the inferred one */
    for (int d = 0; d < ndim; d++) {
        size[d] = ones[d] = shape.at[d];
        if (size[d] == -1) {
            if (inferred >= 0) return ag__fail(AG_EINVAL, "%s: only one dimension can be inferred", op);
            inferred = d;
            ones[d] = 1;
        } else if (size[d] < 0) {
            return ag__fail(AG_EINVAL, "%s: invalid shape dimension %lld at index %d of shape %s", op,
                            (long long)size[d], d, ag__shape_text(ndim, shape.at, text, sizeof text));
        }
    }
    int64_t given = ag__numel_of(ndim, ones);
    if (given == numel && (inferred < 0 || numel > 0)) {
        if (inferred >= 0) size[inferred] = 1;
        return true;
    }
    if (inferred >= 0 && given > 0 && numel % given == 0) {
        size[inferred] = numel / given;
        return true;
    }
    ag__shape_text(ndim, shape.at, text, sizeof text);
    if (inferred >= 0 && given == 0 && numel == 0)
        return ag__fail(
            AG_EINVAL,
            "%s: cannot reshape tensor of 0 elements into shape %s because the unspecified dimension size -1 can be "
            "any value and is ambiguous",
            op, text);
    return ag__fail(AG_EINVAL, "%s: shape '%s' is invalid for input of size %lld", op, text, (long long)numel);
}

/* ---- arguments that name dimensions and sides ---- */

int ag__wrap_dim(const char *op, int64_t dim, int ndim)
{
    int range = ndim > 0 ? ndim : 1;
    if (dim < -range || dim >= range) {
        ag__fail(AG_EINVAL, "%s: Dimension out of range (expected to be in range of [%d, %d], but got %lld)", op,
                 -range, range - 1, (long long)dim);
        return -1;
    }
    return (int)(dim < 0 ? dim + range : dim);
}

/* Bit 62 without the sign marks a packed list: its length in the bits from 56 on, then 6 bits a part, with a sign. */
int ag__dims_of(ag_dims dims, int64_t out[AG_MAX_DIMS])
{
    if (dims < 0 || !(dims >> 62)) {
        out[0] = dims;
        return 1;
    }
    int n = (int)(dims >> 56 & 63);
    if (n == 0) return -1;
    if (n > AG_MAX_DIMS) n = AG_MAX_DIMS;
    for (int k = 0; k < n; k++) out[k] = ((dims >> 6 * k & 63) ^ 32) - 32;
    return n;
}

bool ag__dims_mask(const char *op, ag_dims dims, int ndim, uint32_t *mask)
{
    int64_t part[AG_MAX_DIMS];
    int n = ag__dims_of(dims, part);
    uint32_t all = ((uint32_t)1 << ndim) - 1, seen = 0;
    for (int k = 0; k < n; k++) {
        int dim = ag__wrap_dim(op, part[k], ndim);
        if (dim < 0) return false;
        if (seen >> dim & 1)
            return ag__fail(AG_EINVAL, "%s: dim %d appears multiple times in the list of dims", op, dim);
        seen |= (uint32_t)1 << dim;
    }
    *mask = n < 0 ? all : seen & all; /* dimension 0 of a 0-dim Variable is nothing to go over */
    return true;
}

/* ---- for sentences ---- */

const char *ag__shape_text(int ndim, const int64_t *size, char *text, size_t room)
{
    size_t used = (size_t)snprintf(text, room, "[");
    for (int d = 0; d < ndim && used < room; d++)
        used += (size_t)snprintf(text + used, room - used, "%s%lld", d ? ", " : "", (long long)size[d]);
    if (used < room) snprintf(text + used, room - used, "]");
    return text;
}

const char *ag__tensor_text(const ag_tensor *x, char *text, size_t room)
{
    ag__shape_text(x->ndim, x->size, text, room);
    size_t used = strlen(text);
    snprintf(text + used, room - used, " %s %s", ag_dtype_name((ag_dtype)x->dtype),
             ag_device_name(ag__tensor_device(x)));
    return text;
}
