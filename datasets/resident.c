/* resident.c - a dataset that lies on a device, and its batches, which are made there: the pixels and the labels are
 * copied once, the order of a pass once a pass, and a batch is one kernel. See ag__pixels in dataset_internal.h. */
#include "datasets/loader_internal.h"
#include "datasets/transforms_internal.h"
#include "tensor/device_table.h"

#include <argent/copy.h>
#include <stdlib.h>
#include <string.h>

struct ag__resident {
    ag_variable *images, *labels; /* as in ag__pixels */
    ag_variable *table;           /* the bytes of an ag__pixel_table; NULL: none */
    ag_variable *order;           /* int64: the rows of this pass, in turn */
};

void ag__resident_free(ag__resident *r)
{
    if (!r) return;
    ag_release(r->images);
    ag_release(r->labels);
    ag_release(r->table);
    ag_release(r->order);
    free(r);
}

/* n elements on the device, of what lies on the CPU. */
static ag_variable *copied(const void *data, int64_t n, ag_dtype dtype, ag_device device)
{
    const ag_device_functions *functions = ag__device_functions(device);
    ag_variable *x = functions ? ag__new(ag__thread(), 1, &n, dtype, device) : NULL;
    if (!x) return NULL;
    x->made_by = "data_loader";
    const int64_t bytes = n * (int64_t)ag__itemsize(&x->tensor);
    return functions->copy(device, x->tensor.data, data, bytes, AG_COPY_TO_DEVICE, NULL) ? ag_retain(x) : NULL;
}

static bool fill(ag__resident *r, const ag__pixels *p, ag_device device)
{
    AG_SCOPE;
    AG_NO_GRAD;
    r->images = ag_retain(ag_to((ag_variable *)(uintptr_t)p->images, device));
    r->labels = r->images ? ag_retain(ag_to((ag_variable *)(uintptr_t)p->labels, device)) : NULL;
    if (!r->labels || !p->table) return r->labels != NULL;
    r->table = copied(p->table, sizeof *p->table, AG_UINT8, device);
    return r->table != NULL;
}

bool ag__resident_new(ag_loader *loader)
{
    const ag_dataset *d = loader->dataset;
    ag__pixels pixels;
    if (loader->device.type == AG_DEVICE_CPU) return true;
    const ag_device_functions *functions = ag__device_functions(loader->device);
    if (!functions) return false;
    if (loader->collate || !functions->gather_pixels || !d->pixels || !d->pixels(&pixels, NULL, 0, d->user))
        return true;
    ag__resident *r = calloc(1, sizeof *r);
    if (!r) return ag__fail_memory("a dataset on a device", sizeof *r);
    if (fill(r, &pixels, loader->device) && functions->synchronize(loader->device)) { /* for whichever stream */
        loader->resident = r;
        return true;
    }
    ag__handler_hold();
    ag__resident_free(r);
    ag__handler_release();
    return false;
}

/* The loader's order stays as it was drawn. */
bool ag__resident_begin(ag_loader *loader)
{
    AG_SCOPE;
    ag__resident *r = loader->resident;
    const ag_dataset *d = loader->dataset;
    const size_t bytes = (size_t)loader->n_items * sizeof(int64_t);
    ag__pixels pixels;
    int64_t *rows = ag__scratch(bytes);
    if (!rows && bytes) return false;
    if (bytes) memcpy(rows, loader->order->tensor.data, bytes);
    ag_variable *order = d->pixels(&pixels, rows, loader->n_items, d->user)
                             ? copied(rows, loader->n_items, AG_INT64, loader->device)
                             : NULL;
    ag__scratch_free(rows);
    if (!order) return false;
    ag_release(r->order);
    r->order = order;
    return true;
}

static ag_variable *empty(int ndim, const int64_t *size, ag_dtype dtype, const ag_loader *loader)
{
    int64_t stride[AG_MAX_DIMS];
    ag__format_strides(ndim, size, loader->format, stride);
    ag_variable *x = ag__new_strided(ag__thread(), ndim, size, stride, dtype, loader->device);
    if (x) x->made_by = "data_loader";
    return x;
}

int ag__resident_batch(const ag_loader *loader, int64_t first, int64_t n, ag_variable **out)
{
    const ag__resident *r = loader->resident;
    const ag_device_functions *functions = ag__device_functions(loader->device);
    const int64_t *size = r->images->tensor.size;
    const ag_dtype dtype = r->table ? ag_get_default_dtype() : AG_UINT8;
    out[0] = r->table ? empty(4, (int64_t[]){ n, 1, size[1], size[2] }, dtype, loader)
                      : empty(3, (int64_t[]){ n, size[1], size[2] }, dtype, loader);
    out[1] = out[0] ? empty(1, &n, AG_INT64, loader) : NULL;
    if (!out[1] || !functions) return 0;
    const size_t at = dtype == AG_FLOAT32 ? offsetof(ag__pixel_table, float32) : offsetof(ag__pixel_table, float64);
    const ag_pixel_batch batch = { .images = &r->images->tensor,
                                   .labels = &r->labels->tensor,
                                   .index = (const int64_t *)(const void *)r->order->tensor.data + first,
                                   .table = r->table ? r->table->tensor.data + at : NULL,
                                   .out = &out[0]->tensor,
                                   .labels_out = &out[1]->tensor,
                                   .batch_last = loader->format == AG_BATCH_LAST };
    return functions->gather_pixels(&batch) ? 2 : 0;
}
