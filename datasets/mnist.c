/* mnist.c - MNIST from its four files; batches through a table. See mnist.h. */
#include <argent/mnist.h>

#include "datasets/dataset_internal.h"
#include "datasets/idx.h"
#include "datasets/mnist_download.h"
#include "datasets/transforms_internal.h"
#include "tensor/parallel.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    ag_variable *images;     /* (N,H,W) uint8 */
    ag_variable *labels;     /* (N) int64 */
    ag_transform *transform; /* held, or AG_NO_TRANSFORM */
    bool tabulated;          /* the transform is `table` */
    ag__pixel_table table;
} Mnist;

/* ---- finding the files ---- */

static const char *const places[] = { "MNIST/raw/", "raw/", "" };
static const char *const endings[] = { "", ".gz" };

static bool is_file(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
}

/* The first of the places where `name` is a file, in path[PATH_MAX]. */
static bool find_file(const char *root, const char *name, char *path)
{
    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
        for (size_t e = 0; e < sizeof endings / sizeof *endings; e++)
            if (snprintf(path, PATH_MAX, "%s/%s%s%s", root, places[p], name, endings[e]) < PATH_MAX && is_file(path))
                return true;
    return false;
}

static bool fail_missing(const char *root, const char *name)
{
    char tried[512];
    size_t length = 0;
    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
        for (size_t e = 0; e < sizeof endings / sizeof *endings && length < sizeof tried; e++)
            length += (size_t)snprintf(tried + length, sizeof tried - length, "%s%s/%s%s%s", length ? ", " : "", root,
                                       places[p], name, endings[e]);
    return ag__fail(AG_EIO,
                    "mnist: %s is not there (tried %s%s); .download = true or tools/fetch-mnist %s/MNIST/raw brings it",
                    name, tried, length >= sizeof tried ? "..." : "", root);
}

static bool there(void *root, const char *name)
{
    char path[PATH_MAX];
    return find_file(root, name, path);
}

/* Both files of the set, if need be from the web. */
static bool find_files(const struct ag_datasets_mnist_args *a, const char *images, char *images_path,
                       const char *labels, char *labels_path)
{
    const char *root = *a->root ? a->root : ".";
    if (strlen(root) > PATH_MAX - 64) return ag__fail(AG_EINVAL, "mnist: the path %.60s... is too long", root);
    for (int tries = 0;; tries++) {
        bool has_images = find_file(root, images, images_path);
        if (has_images && find_file(root, labels, labels_path)) return true;
        if (!a->download || tries) return fail_missing(root, has_images ? labels : images);
        if (!ag__mnist_download(root, there, (void *)(uintptr_t)root)) return false;
    }
}

/* ---- reading them ---- */

/* A whole file as a Variable of uint8 with `ndim` dimensions, held by the scope. */
static ag_variable *read_file(const char *path, int ndim, const char *what)
{
    ag__idx file;
    ag_variable *x = NULL;
    if (!ag__idx_open(&file, path)) return NULL;
    if (file.ndim != ndim)
        ag__fail(AG_EIO, "mnist: %s has %d dimensions, but %s have %d", path, file.ndim, what, ndim);
    else
        x = ag__new(ag__thread(), ndim, file.size, AG_UINT8, AG_CPU);
    bool ok = x && ag__idx_read(&file, (uint8_t *)x->tensor.data);
    ag__idx_close(&file);
    if (!ok) return NULL;
    x->made_by = "mnist";
    return x;
}

static ag_variable *as_int64(const ag_variable *x)
{
    ag_variable *y = ag__new(ag__thread(), x->tensor.ndim, x->tensor.size, AG_INT64, AG_CPU);
    if (!y) return NULL;
    y->made_by = "mnist";
    ag__copy_elements(&y->tensor, &x->tensor);
    return y;
}

static bool load(Mnist *m, const struct ag_datasets_mnist_args *a)
{
    AG_SCOPE;
    char images_path[PATH_MAX], labels_path[PATH_MAX];
    const char *images_name = a->train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte";
    const char *labels_name = a->train ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte";
    if (!find_files(a, images_name, images_path, labels_name, labels_path)) return false;
    ag_variable *images = read_file(images_path, 3, "images");
    ag_variable *bytes = images ? read_file(labels_path, 1, "labels") : NULL;
    if (!bytes) return false;
    int64_t n = images->tensor.size[0];
    if (bytes->tensor.numel != n)
        return ag__fail(AG_EIO, "mnist: %s has %" PRId64 " images, but %s has %" PRId64 " labels", images_path, n,
                        labels_path, bytes->tensor.numel);
    m->labels = ag_retain(as_int64(bytes));
    if (!m->labels) return false;
    m->images = ag_retain(images);
    return true;
}

/* ---- items ---- */

static int64_t mnist_size(void *user)
{
    const Mnist *m = user;
    return m->labels->tensor.size[0];
}

static int mnist_get(int64_t index, ag_variable **out, void *user)
{
    const Mnist *m = user;
    const ag_tensor *x = &m->images->tensor;
    Thread *t = ag__thread();
    ag_variable *image = ag__new(t, 2, x->size + 1, AG_UINT8, AG_CPU);
    ag_variable *label = image ? ag__new(t, 0, NULL, AG_INT64, AG_CPU) : NULL;
    if (!label) return 0;
    image->made_by = label->made_by = "mnist";
    if (image->tensor.numel) memcpy(image->tensor.data, x->data + index * x->stride[0], (size_t)image->tensor.numel);
    memcpy(label->tensor.data, m->labels->tensor.data + index * (int64_t)sizeof(int64_t), sizeof(int64_t));
    out[0] = ag_transform_apply(m->transform, image);
    out[1] = label;
    return out[0] ? 2 : 0;
}

/* ---- batches ---- */

/* batch[i][p] = table[images[index[i]][p]], for pixels p of a range of images or, batch-last, of a range of pixels. */
typedef struct {
    const uint8_t *images;
    const int64_t *index;
    int64_t n, pixels;
    const void *table;
    void *batch;
} Conversion;

#define CONVERSION(type)                                                                           \
    static void convert_##type(void *user, int64_t begin, int64_t end)                             \
    {                                                                                              \
        const Conversion *c = user;                                                                \
        const type *table = c->table;                                                              \
        for (int64_t i = begin; i < end; i++) {                                                    \
            const uint8_t *from = c->images + c->index[i] * c->pixels;                             \
            type *to = (type *)c->batch + i * c->pixels;                                           \
            for (int64_t p = 0; p < c->pixels; p++) to[p] = table[from[p]];                        \
        }                                                                                          \
    }                                                                                              \
    /* The images of a block stay in the cache while the pixels' rows are written side by side. */ \
    static void convert_batch_last_##type(void *user, int64_t begin, int64_t end)                  \
    {                                                                                              \
        const Conversion *c = user;                                                                \
        const type *table = c->table;                                                              \
        const uint8_t *from[BLOCK];                                                                \
        for (int64_t first = begin; first < end; first += BLOCK) {                                 \
            int64_t n = end - first < BLOCK ? end - first : BLOCK;                                 \
            for (int64_t i = 0; i < n; i++) from[i] = c->images + c->index[first + i] * c->pixels; \
            for (int64_t p = 0; p < c->pixels; p++) {                                              \
                type *to = (type *)c->batch + p * c->n + first;                                    \
                for (int64_t i = 0; i < n; i++) to[i] = table[from[i][p]];                         \
            }                                                                                      \
        }                                                                                          \
    }
enum { BLOCK = 64, GRAIN = 32 /* images, some 20 us */ };
CONVERSION(float)
CONVERSION(double)

static ag_variable *convert_images(const Mnist *m, const int64_t *index, int64_t n, ag_memory_format format)
{
    const ag_tensor *x = &m->images->tensor;
    int64_t size[3] = { 1, x->size[1], x->size[2] };
    ag_dtype dtype = ag_get_default_dtype();
    ag_variable *y = ag__batch_new("data_loader", n, 3, size, dtype, format);
    if (!y) return NULL;
    bool is_float32 = dtype == AG_FLOAT32, batch_last = format == AG_BATCH_LAST;
    Conversion c = { (const uint8_t *)x->data,
                     index,
                     n,
                     size[1] * size[2],
                     is_float32 ? (const void *)m->table.float32 : (const void *)m->table.float64,
                     y->tensor.data };
    if (batch_last)
        ag__parallel_for(n, GRAIN, is_float32 ? convert_batch_last_float : convert_batch_last_double, &c);
    else
        ag__parallel_for(n, GRAIN, is_float32 ? convert_float : convert_double, &c);
    return y;
}

/* The same, of images as they are. */
static ag_variable *copy_images(const Mnist *m, const int64_t *index, int64_t n, ag_memory_format format)
{
    const ag_tensor *x = &m->images->tensor;
    ag_variable *y = ag__batch_new("data_loader", n, 2, x->size + 1, AG_UINT8, format);
    for (int64_t i = 0; y && i < n; i++) {
        ag_tensor to = ag__tensor_slice(&y->tensor, i), from = ag__tensor_slice(x, index[i]);
        ag__copy_elements(&to, &from);
    }
    return y;
}

static int mnist_batch(const int64_t *index, int64_t n, ag_memory_format format, ag_variable **out, void *user)
{
    const Mnist *m = user;
    out[0] = m->tabulated ? convert_images(m, index, n, format) : copy_images(m, index, n, format);
    out[1] = out[0] ? ag__batch_new("data_loader", n, 0, NULL, AG_INT64, format) : NULL;
    if (!out[1]) return 0;
    const int64_t *labels = (const int64_t *)(const void *)m->labels->tensor.data;
    int64_t *to = (int64_t *)(void *)out[1]->tensor.data;
    for (int64_t i = 0; i < n; i++) to[i] = labels[index[i]];
    return 2;
}

static bool mnist_pixels(ag__pixels *pixels, int64_t *index, int64_t n, const void *user)
{
    const Mnist *m = user;
    (void)index, (void)n;
    *pixels = (ag__pixels){ m->images, m->labels, m->tabulated ? &m->table : NULL };
    return true;
}

/* ---- the dataset ---- */

static void mnist_free(void *user)
{
    Mnist *m = user;
    ag_release(m->images);
    ag_release(m->labels);
    ag_transform_free(m->transform);
    free(m);
}

ag_dataset *ag_datasets_mnist_call(const struct ag_datasets_mnist_args *args)
{
    if (!args->root) return ag__fail(AG_EINVAL, "mnist: root is NULL");
    if (!args->transform) return ag__fail(AG_EINVAL, "mnist: transform is NULL (AG_NO_TRANSFORM for none)");
    Mnist *m = calloc(1, sizeof *m);
    if (!m) return ag__fail_memory("MNIST", sizeof *m);
    m->transform = ag__transform_hold(args->transform);
    m->tabulated = ag__transform_table(args->transform, &m->table);
    bool by_items = !m->tabulated && m->transform != AG_NO_TRANSFORM; /* the transform wants to see every image */
    ag_dataset *dataset = NULL;
    ag__handler_hold(); /* until what was made is gone */
    if (load(m, args))
        dataset = ag__dataset_new(&(ag_dataset){ mnist_size, mnist_get, by_items ? NULL : mnist_batch,
                                                 by_items ? NULL : mnist_pixels, mnist_free, m });
    else
        mnist_free(m);
    ag__handler_release();
    return dataset;
}
