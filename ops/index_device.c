/* index_device.c - see index_device.h. */
#include "ops/index_device.h"
#include "tensor/device_table.h"

#include <string.h>

bool ag__index_on_device(ag_run *r, const ag__indexing *how)
{
    const ag_device_functions *functions = ag__device_functions(r->device);
    return functions && functions->index(r, how);
}

/* Without dimensions: one of one element. */
static ag_tensor with_dimension(const ag_tensor *x)
{
    ag_tensor y = *x;
    if (y.ndim) return y;
    y.ndim = 1;
    y.size[0] = y.stride[0] = 1;
    return y;
}
static void resize(ag_tensor *x, const int64_t *size)
{
    memcpy(x->size, size, x->ndim * sizeof *size);
    x->numel = ag__numel_of(x->ndim, size);
    x->contiguous = ag__is_contiguous(x->ndim, size, x->stride);
}
static ag_tensor flat(const ag_tensor *x)
{
    ag_tensor y = *x;
    y.ndim = 1;
    y.size[0] = x->numel;
    y.stride[0] = 1;
    y.contiguous = true;
    return y;
}
/* The vector index under sizes of which it is dimension dim. */
static ag_tensor spread(const ag_tensor *index, int ndim, const int64_t *size, int dim)
{
    ag_tensor y = *index;
    int64_t step = index->ndim ? index->stride[0] : 1;
    y.ndim = (uint8_t)ndim;
    for (int d = 0; d < ndim; d++) y.stride[d] = d == dim ? step : 0;
    resize(&y, size);
    return y;
}

bool ag__index_elements(ag_run *r, ag__index_kind kind, const ag_tensor *whole, const ag_tensor *part,
                        const ag_tensor *index, int dim)
{
    ag__indexing how = { .kind = kind,
                         .whole = with_dimension(whole),
                         .part = with_dimension(part),
                         .index = with_dimension(index),
                         .dim = dim,
                         .alpha = 1 };
    if (index->numel == 0) return true;
    resize(&how.part, how.index.size);
    return ag__index_on_device(r, &how);
}
bool ag__index_slices(ag_run *r, ag__index_kind kind, const ag_tensor *whole, const ag_tensor *part,
                      const ag_tensor *index, int dim, double alpha)
{
    ag__indexing how = {
        .kind = kind, .whole = with_dimension(whole), .part = with_dimension(part), .dim = dim, .alpha = alpha
    };
    how.index = spread(index, how.part.ndim, how.part.size, dim);
    return part->numel == 0 || ag__index_on_device(r, &how);
}

bool ag__index_fill_elements(ag_run *r, const ag_tensor *whole, ag_number value, const ag_tensor *index, int dim)
{
    ag__indexing how = {
        .kind = AG_INDEX_FILL, .whole = with_dimension(whole), .index = with_dimension(index), .dim = dim
    };
    ag__store_number(how.value, (ag_dtype)whole->dtype, value);
    return index->numel == 0 || ag__index_on_device(r, &how);
}
bool ag__index_fill_slices(ag_run *r, const ag_tensor *whole, ag_number value, const ag_tensor *index, int dim)
{
    ag__indexing how = { .kind = AG_INDEX_FILL, .whole = with_dimension(whole), .dim = dim, .from_end = true };
    int64_t size[AG_MAX_DIMS];
    memcpy(size, how.whole.size, sizeof size);
    size[dim] = index->numel;
    how.index = spread(index, how.whole.ndim, size, dim);
    ag__store_number(how.value, (ag_dtype)whole->dtype, value);
    return how.index.numel == 0 || ag__index_on_device(r, &how);
}

bool ag__index_row(ag_run *r, ag__index_kind kind, const ag_tensor *whole, const ag_tensor *part,
                   const ag_tensor *index)
{
    const ag__indexing how = { .kind = kind,
                               .whole = flat(whole),
                               .part = flat(part),
                               .index = flat(index),
                               .from_end = true,
                               .is_take = true,
                               .alpha = 1 };
    return index->numel == 0 || ag__index_on_device(r, &how);
}
