/* overlap.c - see overlap.h. */
#include "ops/overlap.h"

#include "tensor/fail.h"

#include <string.h>

bool ag__fail_part_overlap(const char *op)
{
    return ag__fail(AG_EINVAL,
                    "%s: unsupported operation: some elements of the input tensor and the written-to tensor refer to a "
                    "single memory location. Please clone() the tensor before performing the operation.",
                    op);
}

/* Both are without gaps, and meet. */
static bool share_memory(const ag_tensor *y, const ag_tensor *x)
{
    if (y->storage != x->storage || !y->numel || !x->numel) return false;
    if (!ag__is_dense(y->ndim, y->size, y->stride) || !ag__is_dense(x->ndim, x->size, x->stride)) return false;
    return y->data < x->data + x->numel * (int64_t)ag__itemsize(x) &&
           x->data < y->data + y->numel * (int64_t)ag__itemsize(y);
}

bool ag__check_overlap(const char *op, const ag_tensor *y, const ag_tensor *x)
{
    bool alike = y->data == x->data && y->numel == x->numel && y->dtype == x->dtype && y->ndim == x->ndim &&
                 !memcmp(y->stride, x->stride, (size_t)y->ndim * sizeof *y->stride);
    return alike || !share_memory(y, x) || ag__fail_part_overlap(op);
}
bool ag__check_no_overlap(const char *op, const ag_tensor *y, const ag_tensor *x)
{
    return (y != x && !share_memory(y, x)) || ag__fail_part_overlap(op);
}

bool ag__needs_order(const ag_tensor *y, const ag_tensor *x)
{
    return y->storage == x->storage && ag__overlap(y, x) == 2;
}

enum { MOST = 4 };

bool ag__in_order(const ag_tensor *y, int n, const ag_tensor *const *in, ag__visit *visit, void *user)
{
    ag_tensor at[1 + MOST];
    int64_t step[1 + MOST][AG_MAX_DIMS], index[AG_MAX_DIMS] = { 0 };
    int order[AG_MAX_DIMS]; /* the dimensions, the largest steps first */
    for (int d = 0; d < y->ndim; d++) {
        int k = d;
        for (; k > 0 && y->stride[order[k - 1]] < y->stride[d]; k--) order[k] = order[k - 1];
        order[k] = d;
    }
    for (int i = 0; i <= n; i++) {
        const ag_tensor *x = i ? in[i - 1] : y;
        ag__broadcast_strides(x, y->ndim, y->size, step[i]);
        for (int d = 0; d < y->ndim; d++) step[i][d] *= (int64_t)ag__itemsize(x);
        at[i] = *x;
        at[i].ndim = 0;
        at[i].numel = 1;
        at[i].contiguous = true;
    }
    for (int64_t left = y->numel; left > 0; left--) {
        if (!visit(&at[0], &at[1], user)) return false;
        for (int k = y->ndim - 1; k >= 0; k--) {
            int d = order[k];
            bool inside = ++index[d] < y->size[d];
            for (int i = 0; i <= n; i++) at[i].data += inside ? step[i][d] : -(y->size[d] - 1) * step[i][d];
            if (inside) break;
            index[d] = 0;
        }
    }
    return true;
}
