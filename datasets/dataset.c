/* dataset.c - datasets by two functions, their items stacked into batches, and the ready-made wrappers. See dataset.h.
 */
#include "datasets/dataset_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- a dataset ---- */

ag_dataset *ag__dataset_new(const ag_dataset *functions)
{
    ag_dataset *d = malloc(sizeof *d);
    if (d) {
        *d = *functions;
    } else {
        if (functions->free) functions->free(functions->user);
        ag__fail_memory("a dataset", sizeof *d);
    }
    return d;
}

ag_dataset *ag_dataset_new(ag_dataset_size_function *size, ag_dataset_get_function *get, void *user,
                           void (*free)(void *user))
{
    if (!size || !get) {
        if (free) free(user);
        return ag__fail(AG_EINVAL, "dataset: %s is NULL", size ? "get" : "size");
    }
    return ag__dataset_new(&(ag_dataset){ .size = size, .get = get, .user = user, .free = free });
}

void ag_dataset_free(ag_dataset *dataset)
{
    if (!dataset) return;
    if (dataset->free) dataset->free(dataset->user);
    free(dataset);
}

int64_t ag_dataset_size(ag_dataset *dataset)
{
    if (!dataset) return ag__fail(AG_EINVAL, "dataset_size: the dataset is NULL"), -1;
    int64_t n = dataset->size(dataset->user);
    if (n >= 0) return n;
    return ag__fail(AG_EINVAL, "dataset_size: the dataset says that it has %" PRId64 " items", n), -1;
}

/* get(), its answer checked. */
static int get_item(const ag_dataset *dataset, int64_t index, ag_variable **out)
{
    for (int k = 0; k < AG_ITEM_PARTS; k++) out[k] = NULL;
    int n = dataset->get(index, out, dataset->user);
    if (n < 0 || n > AG_ITEM_PARTS)
        return ag__fail(AG_EINVAL, "dataset: item %" PRId64 " has %d parts, it must be 1 to %d", index, n,
                        AG_ITEM_PARTS),
               0;
    if (n == 0) ag__fail(AG_EINVAL, "dataset: get failed for item %" PRId64 " and left no error", index);
    for (int k = 0; k < n; k++) {
        if (out[k] && out[k] != AG_NONE) continue;
        return ag__fail(AG_EINVAL, "dataset: part %d of item %" PRId64 " is %s", k, index, out[k] ? "None" : "NULL"), 0;
    }
    return n;
}

int ag_dataset_get(ag_dataset *dataset, int64_t index, ag_variable *out[AG_ITEM_PARTS])
{
    if (!dataset) return ag__fail(AG_EINVAL, "dataset_get: the dataset is NULL"), 0;
    int64_t size = ag_dataset_size(dataset);
    if (size < 0) return 0;
    if (index < 0 || index >= size)
        return ag__fail(AG_EINVAL, "dataset_get: there is no item %" PRId64 ", the dataset has %" PRId64, index, size),
               0;
    return get_item(dataset, index, out);
}

/* ---- batches ---- */

ag_variable *ag__batch_new(const char *what, int64_t n, int ndim, const int64_t *size, ag_dtype dtype,
                           ag_memory_format format)
{
    int64_t batch[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    if (ndim >= AG_MAX_DIMS)
        return ag__fail(AG_EINVAL, "%s: items of %d dimensions make no batch, a Variable has at most %d", what, ndim,
                        AG_MAX_DIMS);
    batch[0] = n;
    for (int d = 0; d < ndim; d++) batch[d + 1] = size[d];
    ag__format_strides(ndim + 1, batch, format, stride);
    ag_variable *x = ag__new_strided(ag__thread(), ndim + 1, batch, stride, dtype, AG_CPU);
    if (x) x->made_by = what;
    return x;
}

ag_tensor ag__tensor_slice(const ag_tensor *x, int64_t i)
{
    ag_tensor slice = *x;
    slice.data += i * x->stride[0] * (int64_t)ag__itemsize(x);
    slice.ndim--;
    slice.numel = x->size[0] ? x->numel / x->size[0] : 0;
    for (int d = 0; d < slice.ndim; d++) {
        slice.size[d] = x->size[d + 1];
        slice.stride[d] = x->stride[d + 1];
    }
    slice.contiguous = ag__is_contiguous(slice.ndim, slice.size, slice.stride);
    return slice;
}

/* Whether an item's part may stand in this batch, of which it is the i-th; else PyTorch's sentence. */
static bool fits(const ag_variable *batch, const ag_tensor *slot, const ag_variable *part, int64_t i)
{
    char first[AG_TEXT], here[AG_TEXT];
    if (!ag__same_sizes(slot, &part->tensor))
        return ag__fail(
            AG_EINVAL,
            "data_loader: stack expects each tensor to be equal size, but got %s at entry 0 and %s at entry %" PRId64,
            ag__shape_text(slot->ndim, slot->size, first, sizeof first),
            ag__shape_text(part->tensor.ndim, part->tensor.size, here, sizeof here), i);
    if (ag_dtype_of(batch) != ag_dtype_of(part))
        return ag__fail(
            AG_EINVAL,
            "data_loader: items of a batch must be of one type, but got %s at entry 0 and %s at entry %" PRId64,
            ag_dtype_name(ag_dtype_of(batch)), ag_dtype_name(ag_dtype_of(part)), i);
    return true;
}

/* Item i of a batch of n goes into its place; the first one decides what the batch looks like. */
static bool place_item(ag_variable **out, int n_parts, ag_variable *const *item, int64_t i, int64_t n,
                       ag_memory_format format)
{
    for (int k = 0; k < n_parts; k++) {
        const ag_tensor *part = &item[k]->tensor;
        if (ag__device(item[k]).type != AG_DEVICE_CPU)
            return ag__fail(AG_EDEVICE, "data_loader: items must be on the CPU, but one is on %s",
                            ag_device_name(ag__device(item[k])));
        if (i == 0)
            out[k] = ag_keep(ag__batch_new("data_loader", n, part->ndim, part->size, ag_dtype_of(item[k]), format));
        if (!out[k]) return false;
        ag_tensor slot = ag__tensor_slice(&out[k]->tensor, i);
        if (!fits(out[k], &slot, item[k], i)) return false;
        ag__copy_elements(&slot, part);
    }
    return true;
}

static int stack_items(const ag_dataset *dataset, const int64_t *index, int64_t n, ag_memory_format format,
                       ag_variable **out)
{
    int n_parts = 0;
    for (int64_t i = 0; i < n; i++) {
        AG_SCOPE;
        ag_variable *item[AG_ITEM_PARTS];
        int got = get_item(dataset, index[i], item);
        if (i == 0) n_parts = got;
        if (got == 0) return 0;
        if (got != n_parts)
            return ag__fail(AG_EINVAL, "data_loader: item %" PRId64 " has %d parts, but item %" PRId64 " has %d",
                            index[0], n_parts, index[i], got),
                   0;
        if (!place_item(out, n_parts, item, i, n, format)) return 0;
    }
    return n_parts;
}

int ag__dataset_batch(ag_dataset *dataset, const int64_t *index, int64_t n, ag_memory_format format, ag_variable **out)
{
    if (dataset->batch) return dataset->batch(index, n, format, out, dataset->user);
    return stack_items(dataset, index, n, format, out);
}

/* ---- TensorDataset ---- */

typedef struct {
    int n;
    ag_variable *tensors[AG_ITEM_PARTS];
} Tensors;

static int64_t tensors_size(void *user)
{
    const Tensors *t = user;
    return t->tensors[0]->tensor.size[0];
}

static int tensors_batch(const int64_t *index, int64_t n, ag_memory_format format, ag_variable **out, void *user)
{
    const Tensors *t = user;
    for (int k = 0; k < t->n; k++) {
        const ag_tensor *x = &t->tensors[k]->tensor;
        out[k] = ag__batch_new("data_loader", n, x->ndim - 1, x->size + 1, (ag_dtype)x->dtype, format);
        if (!out[k]) return 0;
        for (int64_t i = 0; i < n; i++) {
            ag_tensor to = ag__tensor_slice(&out[k]->tensor, i), from = ag__tensor_slice(x, index[i]);
            ag__copy_elements(&to, &from);
        }
    }
    return t->n;
}

static int tensors_get(int64_t index, ag_variable **out, void *user)
{
    const Tensors *t = user;
    for (int k = 0; k < t->n; k++) {
        const ag_tensor *x = &t->tensors[k]->tensor;
        out[k] = ag__view_of(ag__thread(), t->tensors[k], x->ndim - 1, x->size + 1, x->stride + 1,
                             index * x->stride[0]);
    }
    return t->n;
}

static void tensors_free(void *user)
{
    Tensors *t = user;
    for (int k = 0; k < t->n; k++) ag_release(t->tensors[k]);
    free(t);
}

static bool check_tensors(ag_list tensors)
{
    if (tensors.n < 1 || tensors.n > AG_ITEM_PARTS)
        return ag__fail(AG_EINVAL, "tensor_dataset: %" PRId64 " tensors, it must be 1 to %d", tensors.n, AG_ITEM_PARTS);
    for (int64_t k = 0; k < tensors.n; k++) {
        const ag_variable *x = tensors.at[k];
        if (!x || x == AG_NONE)
            return ag__fail(AG_EINVAL, "tensor_dataset: tensor %" PRId64 " is %s", k, x ? "None" : "NULL");
        if (x->tensor.ndim == 0)
            return ag__fail(AG_EINVAL, "tensor_dataset: tensor %" PRId64 " has no dimension to take items along", k);
        if (ag__device(x).type != AG_DEVICE_CPU)
            return ag__fail(AG_EDEVICE,
                            "tensor_dataset: tensor %" PRId64 " is on %s; move it with ag_to(x, AG_CPU) first", k,
                            ag_device_name(ag__device(x)));
        if (x->tensor.size[0] != tensors.at[0]->tensor.size[0])
            return ag__fail(AG_EINVAL,
                            "tensor_dataset: Size mismatch between tensors: tensor 0 has %" PRId64
                            " items, tensor %" PRId64 " has %" PRId64,
                            tensors.at[0]->tensor.size[0], k, x->tensor.size[0]);
    }
    return true;
}

ag_dataset *ag_data_tensor_dataset(ag_list tensors)
{
    if (!check_tensors(tensors)) return NULL;
    Tensors *t = malloc(sizeof *t);
    if (!t) return ag__fail_memory("a TensorDataset", sizeof *t);
    t->n = (int)tensors.n;
    for (int k = 0; k < t->n; k++) t->tensors[k] = ag_retain(tensors.at[k]);
    return ag__dataset_new(&(ag_dataset){ tensors_size, tensors_get, tensors_batch, NULL, tensors_free, t });
}

/* ---- Subset ---- */

typedef struct {
    ag_dataset *dataset;
    int64_t n;
    int64_t index[];
} Subset;

static int64_t subset_size(void *user)
{
    const Subset *s = user;
    return s->n;
}

static int subset_get(int64_t index, ag_variable **out, void *user)
{
    const Subset *s = user;
    return get_item(s->dataset, s->index[index], out);
}

static int subset_batch(const int64_t *index, int64_t n, ag_memory_format format, ag_variable **out, void *user)
{
    const Subset *s = user;
    int64_t *inner = ag__scratch((size_t)n * sizeof *inner);
    if (!inner) return 0;
    for (int64_t i = 0; i < n; i++) inner[i] = s->index[index[i]];
    int parts = ag__dataset_batch(s->dataset, inner, n, format, out);
    ag__scratch_free(inner);
    return parts;
}

static bool subset_pixels(ag__pixels *pixels, int64_t *index, int64_t n, const void *user)
{
    const Subset *s = user;
    if (!s->dataset->pixels) return false;
    for (int64_t i = 0; i < n; i++) index[i] = s->index[index[i]];
    return s->dataset->pixels(pixels, index, n, s->dataset->user);
}

ag_dataset *ag_data_subset(ag_dataset *dataset, ag_shape_list indices)
{
    if (!dataset) return ag__fail(AG_EINVAL, "subset: the dataset is NULL");
    int64_t size = ag_dataset_size(dataset);
    if (size < 0) return NULL;
    if (indices.n < 0 || (indices.n && !indices.at)) return ag__fail(AG_EINVAL, "subset: the list of indices is NULL");
    for (int64_t i = 0; i < indices.n; i++)
        if (indices.at[i] < 0 || indices.at[i] >= size)
            return ag__fail(AG_EINVAL,
                            "subset: index %" PRId64 " is %" PRId64 ", but the dataset has %" PRId64 " items", i,
                            indices.at[i], size);
    size_t bytes = sizeof(Subset) + (size_t)indices.n * sizeof(int64_t);
    Subset *s = malloc(bytes);
    if (!s) return ag__fail_memory("a Subset", bytes);
    s->dataset = dataset;
    s->n = indices.n;
    if (indices.n) memcpy(s->index, indices.at, (size_t)indices.n * sizeof(int64_t));
    return ag__dataset_new(&(ag_dataset){ subset_size, subset_get, subset_batch, subset_pixels, free, s });
}
