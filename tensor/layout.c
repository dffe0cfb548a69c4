/* layout.c - how elements lie in memory: which elements two tensors share, and how a fresh result is laid out.
 *
 * A fresh result of an elementwise op has PyTorch's strides, because programs rely on them: contiguous in, contiguous
 * out; permuted in, permuted out. The rule is TensorIterator's: sort the dimensions by the inputs' strides, the first
 * input that can tell two dimensions apart deciding, then lay the result out densely in that order.
 */
#include "tensor/tensor.h"

/* The dimensions that count for a layout (more than one element), the smallest stride first. */
static int sorted_dims(int ndim, const int64_t *size, const int64_t *stride, int *order)
{
    int n = 0;
    for (int d = 0; d < ndim; d++) {
        if (size[d] < 2) continue;
        int at = n++;
        for (; at > 0 && stride[order[at - 1]] > stride[d]; at--) order[at] = order[at - 1];
        order[at] = d;
    }
    return n;
}

bool ag__is_dense(int ndim, const int64_t *size, const int64_t *stride)
{
    int order[AG_MAX_DIMS];
    for (int d = 0; d < ndim; d++)
        if (size[d] == 0) return true;
    int n = sorted_dims(ndim, size, stride, order);
    int64_t step = 1;
    for (int k = 0; k < n; k++) {
        if (stride[order[k]] != step) return false;
        step *= size[order[k]];
    }
    return true;
}

/* ---- shared memory ---- */

/* No two indices meet if each dimension, the smallest stride first, steps over all that the ones before it span. */
bool ag__overlaps_itself(const ag_tensor *x)
{
    if (x->contiguous || x->numel < 2) return false;
    int order[AG_MAX_DIMS], n = sorted_dims(x->ndim, x->size, x->stride, order);
    int64_t span = 0;
    for (int k = 0; k < n; k++) {
        int64_t step = x->stride[order[k]];
        if (step <= span) return true;
        span += step * (x->size[order[k]] - 1);
    }
    return false;
}

/* Bytes from the first element's beginning to the last one's end, over the dimensions whose stride `period` does not
 * divide (0: all). */
static int64_t span_bytes(const ag_tensor *x, int64_t period)
{
    int64_t item = (int64_t)ag__itemsize(x), span = item;
    for (int d = 0; d < x->ndim; d++) {
        int64_t step = x->stride[d] * item;
        if (period == 0 || step % period != 0) span += step * (x->size[d] - 1);
    }
    return span;
}

/* Columns of one matrix interleave without meeting: seen modulo the row's length they are apart. */
static bool apart_modulo(const ag_tensor *a, const ag_tensor *b, int64_t period)
{
    int64_t apart = (int64_t)(b->data - a->data) % period;
    if (apart < 0) apart += period;
    return span_bytes(a, period) <= apart && apart + span_bytes(b, period) <= period;
}

static bool apart_by_a_stride_of(const ag_tensor *strides, const ag_tensor *a, const ag_tensor *b)
{
    for (int d = 0; d < strides->ndim; d++)
        if (strides->size[d] > 1 && strides->stride[d] > 0 &&
            apart_modulo(a, b, strides->stride[d] * (int64_t)ag__itemsize(strides)))
            return true;
    return false;
}

int ag__overlap(const ag_tensor *a, const ag_tensor *b)
{
    if (a->numel == 0 || b->numel == 0) return 0;
    ag_device on = ag__tensor_device(a), other = ag__tensor_device(b);
    if (on.type != other.type || on.index != other.index) return 0;
    if (a->data + span_bytes(a, 0) <= b->data || b->data + span_bytes(b, 0) <= a->data) return 0;
    if (a->data == b->data && a->dtype == b->dtype && ag__same_sizes(a, b)) {
        bool same = true;
        for (int d = 0; d < a->ndim; d++) same &= a->stride[d] == b->stride[d] || a->size[d] == 1;
        if (same) return 1;
    }
    return apart_by_a_stride_of(a, a, b) || apart_by_a_stride_of(b, a, b) ? 0 : 2;
}

/* ---- the layout of a result ---- */

/* N,C,H,W with C innermost, which PyTorch knows by name: its strides are made afresh, those of dimensions of size 1
 * included. */
static const int channels_last[4] = { 1, 3, 2, 0 };

static bool is_channels_last(const ag_tensor *x)
{
    int64_t step = 1;
    for (int k = 0; k < 4; k++) {
        int d = channels_last[k];
        if (x->size[d] == 1) continue;
        if (x->stride[d] != step) return false;
        step *= x->size[d];
    }
    return true;
}

static void channels_last_strides(const int64_t *size, int64_t *stride)
{
    int64_t step = 1;
    for (int k = 0; k < 4; k++) {
        stride[channels_last[k]] = step;
        if (size[channels_last[k]] > 1) step *= size[channels_last[k]];
    }
}

static bool equal(int n, const int64_t *a, const int64_t *b)
{
    for (int i = 0; i < n; i++)
        if (a[i] != b[i]) return false;
    return true;
}

/* Inputs of one shape that all lie alike: the result lies as they do. */
static bool strides_alike(int ndim, const int64_t *size, int n, const ag_tensor *const *in, int64_t *stride)
{
    bool contiguous = true;
    for (int k = 0; k < n; k++) {
        if (in[k]->ndim != ndim || !equal(ndim, in[k]->size, size)) return false;
        contiguous &= in[k]->contiguous;
    }
    if (contiguous) {
        ag__contiguous_strides(ndim, size, stride);
        return true;
    }
    bool channels = ndim == 4, alike = true;
    for (int k = 0; k < n; k++) {
        channels = channels && is_channels_last(in[k]);
        alike = alike && equal(ndim, in[k]->stride, in[0]->stride);
    }
    if (channels) {
        channels_last_strides(size, stride);
        return true;
    }
    if (!alike || !ag__is_dense(ndim, size, in[0]->stride)) return false;
    for (int d = 0; d < ndim; d++) stride[d] = in[0]->stride[d];
    return true;
}

/* 1: dimension p comes outside q; -1: inside; 0: no input can tell. under[k] are input k's strides under the common
 * shape. */
static int compare_dims(int n, int64_t (*under)[AG_MAX_DIMS], const int64_t *size, int p, int q)
{
    for (int k = 0; k < n; k++) {
        int64_t a = under[k][p], b = under[k][q];
        if (a == 0 || b == 0) continue; /* it repeats along one of them */
        if (a != b) return a < b ? -1 : 1;
        if (size[p] > size[q]) return 1;
    }
    return 0;
}

void ag__result_strides(int ndim, const int64_t *size, int n, const ag_tensor *const *in, int64_t *stride)
{
    if (n > AG_MAX_OPERANDS) n = AG_MAX_OPERANDS; /* an op of more inputs is laid out after its first ones */
    if (ndim < 2 || n == 0) {
        ag__contiguous_strides(ndim, size, stride);
        return;
    }
    if (strides_alike(ndim, size, n, in, stride)) return;

    int64_t under[AG_MAX_OPERANDS][AG_MAX_DIMS];
    for (int k = 0; k < n; k++) ag__broadcast_strides(in[k], ndim, size, under[k]);

    /* order[0] is the innermost dimension. An insertion sort that walks past what it cannot compare, as PyTorch's does:
     * the order is a partial one, and its outcome depends on the walk. */
    int order[AG_MAX_DIMS];
    for (int d = 0; d < ndim; d++) order[d] = ndim - 1 - d;
    for (int i = 1; i < ndim; i++) {
        int at = i;
        for (int below = i - 1; below >= 0; below--) {
            int outside = compare_dims(n, under, size, order[below], order[at]);
            if (outside < 0) break;
            if (outside == 0) continue;
            int swapped = order[below];
            order[below] = order[at];
            order[at] = swapped;
            at = below;
        }
    }

    bool in_order = true;
    for (int d = 0; d < ndim; d++) in_order &= order[d] == ndim - 1 - d;
    if (in_order) {
        ag__contiguous_strides(ndim, size, stride);
        return;
    }
    int64_t step = 1;
    for (int k = 0; k < ndim; k++) {
        stride[order[k]] = step;
        step *= size[order[k]];
    }
}
