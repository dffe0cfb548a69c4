/* transforms.c - transforms as torchvision computes them. See transforms.h. */
#include "datasets/transforms_internal.h"

#include "autograd/node.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CHANNELS = 16 };

typedef enum { OF_THE_USER, COMPOSE, TO_TENSOR, NORMALIZE } Kind;

struct ag_transform {
    int32_t refs;
    Kind kind;
    /* of the user */
    ag_transform_function *function;
    void (*free)(void *user);
    void *user;
    /* Normalize: the numbers of each channel, or of all channels if n is 1 */
    int n_mean, n_std;
    double mean[MAX_CHANNELS], std[MAX_CHANNELS];
    /* Compose */
    int64_t n_parts;
    ag_transform *parts[];
};

struct ag_transform ag_no_transform_;

static ag_transform *transform_new(Kind kind, int64_t n_parts)
{
    size_t bytes = sizeof(ag_transform) + (size_t)n_parts * sizeof(ag_transform *);
    ag_transform *t = calloc(1, bytes);
    if (!t) return ag__fail_memory("a transform", bytes);
    t->refs = 1;
    t->kind = kind;
    t->n_parts = n_parts;
    return t;
}

ag_transform *ag_transform_new(ag_transform_function *function, void *user, void (*free)(void *user))
{
    ag_transform *t = NULL;
    if (!function)
        ag__fail(AG_EINVAL, "transform: the function is NULL");
    else
        t = transform_new(OF_THE_USER, 0);
    if (!t) {
        if (free) free(user);
        return NULL;
    }
    t->function = function;
    t->free = free;
    t->user = user;
    return t;
}

ag_transform *ag__transform_hold(ag_transform *transform)
{
    if (transform && transform != AG_NO_TRANSFORM) __atomic_add_fetch(&transform->refs, 1, __ATOMIC_RELAXED);
    return transform;
}

void ag_transform_free(ag_transform *transform)
{
    if (!transform || transform == AG_NO_TRANSFORM) return;
    if (__atomic_sub_fetch(&transform->refs, 1, __ATOMIC_ACQ_REL)) return;
    for (int64_t i = 0; i < transform->n_parts; i++) ag_transform_free(transform->parts[i]);
    if (transform->free) transform->free(transform->user);
    free(transform);
}

/* ---- Compose ---- */

ag_transform *ag_transforms_compose_of(ag_transform *const *parts)
{
    int64_t n = 0;
    bool missing = false;
    for (; parts[n] != AG_NO_TRANSFORM; n++) missing |= parts[n] == NULL;
    ag_transform *t = missing ? ag__fail(AG_EINVAL, "transforms_compose: a part is NULL") : transform_new(COMPOSE, n);
    if (t)
        memcpy(t->parts, parts, (size_t)n * sizeof *parts);
    else
        for (int64_t i = 0; i < n; i++) ag_transform_free(parts[i]);
    return t;
}

/* ---- ToTensor ---- */

ag_transform *ag_transforms_to_tensor(void) { return transform_new(TO_TENSOR, 0); }

/* Numbers of a floating type, one after the other. */
#define EACH(x, statement)              \
    do {                                \
        if ((x)->dtype == AG_FLOAT32) { \
            typedef float number;       \
            statement                   \
        } else {                        \
            typedef double number;      \
            statement                   \
        }                               \
    } while (0)

static void divide_by_255(const ag_tensor *x)
{
    EACH(x, {
        number *at = (number *)(void *)x->data;
        for (int64_t i = 0; i < x->numel; i++) at[i] /= 255;
    });
}

/* (H,W) or (H,W,C) -> (C,H,W) */
static ag_variable *to_tensor(ag_variable *x)
{
    const ag_tensor *from = &x->tensor;
    if (from->ndim != 2 && from->ndim != 3)
        return ag__fail(AG_EINVAL, "to_tensor: pic should be 2/3 dimensional. Got %d dimensions.", from->ndim);
    ag_dtype dtype = from->dtype == AG_UINT8 ? ag_get_default_dtype() : (ag_dtype)from->dtype;
    bool colour = from->ndim == 3;
    int64_t size[3] = { colour ? from->size[2] : 1, from->size[0], from->size[1] };
    ag_variable *y = ag__new(ag__thread(), 3, size, dtype, AG_CPU);
    if (!y) return NULL;
    y->made_by = "to_tensor";
    ag_tensor turned = *from;
    turned.ndim = 3;
    memcpy(turned.size, size, sizeof size);
    turned.stride[0] = colour ? from->stride[2] : 0;
    turned.stride[1] = from->stride[0];
    turned.stride[2] = from->stride[1];
    turned.contiguous = ag__is_contiguous(3, turned.size, turned.stride);
    ag__copy_elements(&y->tensor, &turned);
    if (from->dtype == AG_UINT8) divide_by_255(&y->tensor);
    return y;
}

/* ---- Normalize ---- */

static bool take_channels(const char *name, ag_channels from, int *n, double *to)
{
    if (from.n < 0 || from.n > MAX_CHANNELS)
        return ag__fail(AG_EINVAL, "normalize: %s is for %lld channels, it must be 1 to %d", name, (long long)from.n,
                        MAX_CHANNELS);
    if (from.n)
        memcpy(to, from.at, (size_t)from.n * sizeof *to);
    else
        to[0] = from.number;
    *n = from.n ? (int)from.n : 1;
    return true;
}

ag_transform *ag_transforms_normalize_channels(ag_channels mean, ag_channels std)
{
    ag_transform *t = transform_new(NORMALIZE, 0);
    if (!t) return NULL;
    if (take_channels("mean", mean, &t->n_mean, t->mean) && take_channels("std", std, &t->n_std, t->std)) return t;
    ag_transform_free(t);
    return NULL;
}

/* y = (x - mean) / std, each rounded to the type: torchvision's sub_ and div_. */
static void normalize_channel(const ag_tensor *x, double mean_, double std_)
{
    EACH(x, {
        number *at = (number *)(void *)x->data;
        number mean = (number)mean_;
        number std = (number)std_;
        for (int64_t i = 0; i < x->numel; i++) {
            number centred = at[i] - mean;
            at[i] = centred / std;
        }
    });
}

static bool check_normalize(const ag_transform *t, const ag_tensor *x)
{
    char text[AG_TEXT];
    if (!ag__is_floating((ag_dtype)x->dtype))
        return ag__fail(AG_EINVAL, "normalize: Input tensor should be a float tensor. Got %s.",
                        ag_dtype_name((ag_dtype)x->dtype));
    if (x->ndim != 3)
        return ag__fail(AG_EINVAL,
                        "normalize: Expected tensor to be a tensor image of size (C, H, W). Got tensor.size() = %s",
                        ag__shape_text(x->ndim, x->size, text, sizeof text));
    if ((t->n_mean != 1 && t->n_mean != x->size[0]) || (t->n_std != 1 && t->n_std != x->size[0]))
        return ag__fail(AG_EINVAL, "normalize: mean is for %d channels and std for %d, but the image has %lld",
                        t->n_mean, t->n_std, (long long)x->size[0]);
    for (int c = 0; c < t->n_std; c++)
        if ((x->dtype == AG_FLOAT32 ? (double)(float)t->std[c] : t->std[c]) == 0)
            return ag__fail(AG_EINVAL,
                            "normalize: std evaluated to zero after conversion to %s, leading to division by zero.",
                            ag_dtype_name((ag_dtype)x->dtype));
    return true;
}

/* (C,H,W) -> (C,H,W) */
static ag_variable *normalize(const ag_transform *t, ag_variable *x)
{
    if (!check_normalize(t, &x->tensor)) return NULL;
    ag_variable *y = ag__new(ag__thread(), 3, x->tensor.size, ag_dtype_of(x), AG_CPU);
    if (!y) return NULL;
    y->made_by = "normalize";
    ag__copy_elements(&y->tensor, &x->tensor);
    for (int64_t c = 0; c < y->tensor.size[0]; c++) {
        ag_tensor channel = y->tensor;
        channel.numel = y->tensor.size[1] * y->tensor.size[2];
        channel.data += c * channel.numel * (int64_t)ag__itemsize(&channel);
        normalize_channel(&channel, t->mean[t->n_mean == 1 ? 0 : c], t->std[t->n_std == 1 ? 0 : c]);
    }
    return y;
}

/* ---- applying ---- */

static ag_variable *user_function(const ag_transform *t, ag_variable *x)
{
    ag_variable *y = t->function(x, t->user);
    if (!y || y == AG_NONE)
        return ag__fail(AG_EINVAL, "transform: the function gave %s", y ? "None" : "NULL and left no error");
    return y;
}

ag_variable *ag_transform_apply(ag_transform *transform, ag_variable *x)
{
    if (!transform || !x || x == AG_NONE)
        return ag__fail(AG_EINVAL, "transform_apply: %s is %s", transform ? "x" : "the transform",
                        x == AG_NONE ? "None" : "NULL");
    if (ag__device(x).type != AG_DEVICE_CPU && transform->kind != OF_THE_USER)
        return ag__fail(AG_EDEVICE, "transform_apply: x is on %s, it must be on the CPU",
                        ag_device_name(ag__device(x)));
    switch (transform == AG_NO_TRANSFORM ? COMPOSE : transform->kind) {
    case OF_THE_USER:
        return user_function(transform, x);
    case TO_TENSOR:
        return to_tensor(x);
    case NORMALIZE:
        return normalize(transform, x);
    case COMPOSE:
        break;
    }
    for (int64_t i = 0; x && i < transform->n_parts; i++) x = ag_transform_apply(transform->parts[i], x);
    return x;
}

/* ---- as a table ---- */

/* Runs through the leaves of a chain: ToTensor first, then any number of Normalize. */
static bool tabulate(const ag_transform *t, ag__pixel_table *table, bool *begun)
{
    switch (t->kind) {
    case OF_THE_USER:
        return false;
    case COMPOSE:
        for (int64_t i = 0; i < t->n_parts; i++)
            if (!tabulate(t->parts[i], table, begun)) return false;
        return true;
    case TO_TENSOR:
        if (*begun) return false;
        *begun = true;
        for (int v = 0; v < 256; v++) {
            table->float32[v] = (float)v / 255.0f;
            table->float64[v] = v / 255.0;
        }
        return true;
    case NORMALIZE: {
        const float mean = (float)t->mean[0], std = (float)t->std[0];
        if (!*begun || t->n_mean != 1 || t->n_std != 1 || std == 0) return false; /* one by one it gives its sentence */
        for (int v = 0; v < 256; v++) {
            float centred = table->float32[v] - mean;
            table->float32[v] = centred / std;
            double centred64 = table->float64[v] - t->mean[0];
            table->float64[v] = centred64 / t->std[0];
        }
        return true;
    }
    }
    return false;
}

bool ag__transform_table(const ag_transform *transform, ag__pixel_table *table)
{
    bool begun = false;
    return transform != AG_NO_TRANSFORM && tabulate(transform, table, &begun) && begun;
}
