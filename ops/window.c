/* window.c - see window.h. */
#include "ops/window.h"

#include <string.h>

enum { N, C, H, W };

/* Dimensions of size 1 have no say. */
static bool lies_as(const ag_tensor *x, const int64_t *stride)
{
    for (int d = 0; d < x->ndim; d++)
        if (x->size[d] != 1 && x->stride[d] != stride[d]) return false;
    return true;
}

static void channels_last(const int64_t *size, int64_t *stride)
{
    stride[C] = 1;
    stride[W] = size[C];
    stride[H] = size[C] * size[W];
    stride[N] = size[C] * size[W] * size[H];
}

void ag__window_strides(const ag_tensor *x, const int64_t *size, int64_t *stride)
{
    int64_t wanted[AG_MAX_DIMS];
    if (x->ndim == 4 && !x->contiguous) {
        ag__format_strides(4, x->size, AG_BATCH_LAST, wanted);
        if (lies_as(x, wanted)) {
            ag__format_strides(4, size, AG_BATCH_LAST, stride);
            return;
        }
        channels_last(x->size, wanted);
        if (lies_as(x, wanted)) {
            channels_last(size, stride);
            return;
        }
    }
    ag__contiguous_strides(x->ndim, size, stride);
}

ag_tensor ag__as_batch(const ag_tensor *x)
{
    ag_tensor y = *x;
    if (x->ndim == 4) return y;
    y.ndim = 4;
    y.size[0] = 1;
    y.stride[0] = x->numel;
    memcpy(y.size + 1, x->size, 3 * sizeof *y.size);
    memcpy(y.stride + 1, x->stride, 3 * sizeof *y.stride);
    return y;
}
