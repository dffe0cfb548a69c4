/* reduce.c - reductions: how the elements are shared out among threads. What is decided here depends on the shape
 * alone, so the bits are always the same. */
#include "cuda/reduce.h"
#include "cuda/runtime.h"
#include "ops/folding.h"

#include <string.h>

enum {
    BLOCKS = 1024, /* wanted, so that every multiprocessor has something to do */
    AHEAD = 16     /* units a lane has at least in each part: fewer are not worth the second launch */
};

/* ---- dimensions ---- */

typedef struct dims {
    int n;
    int64_t size[AG_CUDA_DIMS], stride[AG_CUDA_DIMS], out[AG_CUDA_DIMS];
} dims;

/* In front of the others, or where the list stays sorted by stride. */
static void add_dim(dims *list, int64_t size, int64_t stride, int64_t out, bool sorted)
{
    int at = 0;
    while (sorted && at < list->n && list->stride[at] > stride) at++;
    for (int d = list->n++; d > at; d--) {
        list->size[d] = list->size[d - 1];
        list->stride[d] = list->stride[d - 1];
        list->out[d] = list->out[d - 1];
    }
    list->size[at] = size;
    list->stride[at] = stride;
    list->out[at] = out;
}

static void merge_dims(dims *list)
{
    int n = 0;
    for (int d = 0; d < list->n; d++) {
        const bool follows = n && list->stride[n - 1] == list->size[d] * list->stride[d] &&
                             list->out[n - 1] == list->size[d] * list->out[d];
        if (follows)
            list->size[n - 1] *= list->size[d];
        else
            list->size[n++] = list->size[d];
        list->stride[n - 1] = list->stride[d];
        list->out[n - 1] = list->out[d];
    }
    list->n = n;
}

/* in_order: elements are numbered as they are in x. */
static void split_dims(const ag_tensor *x, uint32_t mask, bool in_order, dims *kept, dims *gone)
{
    const int64_t item = (int64_t)ag__itemsize(x);
    int64_t out = 1;
    kept->n = gone->n = 0;
    for (int d = x->ndim - 1; d >= 0; d--) {
        const bool goes = mask >> d & 1;
        if (x->size[d] != 1)
            add_dim(goes ? gone : kept, x->size[d], x->stride[d] * item, goes ? 0 : out, !(goes && in_order));
        if (!goes) out *= x->size[d];
    }
    merge_dims(kept);
    merge_dims(gone);
}

/* ---- the plan ---- */

/* Whether `unit` elements can be read at once: of rows, side by side, each beginning where such a read may. */
static bool can_read(const ag_tensor *x, const dims *kept, const dims *gone, int64_t unit)
{
    const int64_t item = (int64_t)ag__itemsize(x), bytes = item * unit;
    const int last = gone->n - 1;
    bool can = last >= 0 && gone->stride[last] == item && gone->size[last] % unit == 0 &&
               (uintptr_t)x->data % (uintptr_t)bytes == 0;
    for (int d = 0; can && d < kept->n; d++) can = kept->stride[d] % bytes == 0;
    for (int d = 0; can && d < last; d++) can = gone->stride[d] % bytes == 0;
    return can;
}

/* Threads: side by side in the fastest dimension, whether it is kept or goes. */
static ag_cuda_team form_teams(const ag_cuda_fold *f)
{
    const ag_cuda_dims *kept = &f->kept, *gone = &f->gone;
    const bool columns = kept->n && gone->n && kept->stride[kept->n - 1] < gone->stride[gone->n - 1];
    return ag__cuda_team(f->n_out, f->n_units, columns ? kept->size[kept->n - 1] : 0);
}

/* Few outputs of many elements are cut into parts, whose totals a second launch puts together. */
static void cut_into_parts(ag_cuda_fold *f)
{
    const int64_t blocks = (f->n_out + f->team.width - 1) / f->team.width;
    int64_t parts = f->n_units / (f->team.lanes * AHEAD);
    if (parts > BLOCKS / blocks) parts = BLOCKS / blocks;
    if (parts < 2) parts = 1;
    f->part = (f->n_units + parts - 1) / parts;
    f->parts = f->n_units ? (f->n_units + f->part - 1) / f->part : 1;
}

static int64_t product(const dims *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->n; i++) n *= d->size[i];
    return n;
}

static void set_dims(ag_cuda_dims *to, const dims *d)
{
    to->n = d->n;
    for (int i = 0; i < d->n; i++) {
        to->size[i] = d->size[i];
        to->stride[i] = d->stride[i];
        to->inverse[i] = 1 / (double)d->size[i];
    }
}

static ag_cuda_fold plan(const ag_tensor *x, uint32_t mask, bool in_order)
{
    ag_cuda_fold f = { .in = x->data, .unit = 1 };
    dims kept = { 0 }, gone = { 0 };
    split_dims(x, mask, in_order, &kept, &gone);
    const int64_t unit = ag__itemsize(x) == 8 ? 2 : 4;
    if (can_read(x, &kept, &gone, unit)) {
        f.unit = (int32_t)unit;
        gone.size[gone.n - 1] /= unit;
        gone.stride[gone.n - 1] *= unit;
    }
    f.n_out = product(&kept);
    f.n_units = product(&gone);
    memcpy(f.kept_out, kept.out, sizeof f.kept_out);
    set_dims(&f.kept, &kept);
    set_dims(&f.gone, &gone);
    f.team = form_teams(&f);
    cut_into_parts(&f);
    return f;
}

/* ---- the launch ---- */

static int launch(const ag__folding *a, ag_cuda_fold *f, void *stream)
{
    const int dtype = a->x->dtype;
    switch (a->fold) {
    case AG_FOLD_MEAN:
        f->option = (double)(f->n_units * f->unit);
        return ag__cuda_fold_sums(AG_FOLD_SUM, dtype, f, stream);
    case AG_FOLD_SUM:
    case AG_FOLD_PROD:
        f->option = 1;
        return ag__cuda_fold_sums(a->fold, dtype, f, stream);
    case AG_FOLD_VARIANCE:
    case AG_FOLD_NORM:
    case AG_FOLD_LOG_SUM_EXP:
        f->option = a->option;
        f->root = a->root;
        return ag__cuda_fold_moments(a->fold, dtype, f, stream);
    default:
        return (a->index ? ag__cuda_fold_places : ag__cuda_fold_extremes)(a->fold, dtype, f, stream);
    }
}

bool ag__cuda_fold_elements(const char *op, const struct ag__folding *a)
{
    const ag_device device = ag__tensor_device(a->x);
    cudaStream_t stream;
    if ((a->y ? a->y : a->index)->numel == 0) return true;
    ag_cuda_fold f = plan(a->x, a->mask, a->index != NULL);
    if (!ag__cuda_use(op, device, &stream)) return false;
    f.out = a->y ? a->y->data : NULL;
    f.index = a->index ? (int64_t *)(void *)a->index->data : NULL;
    const int64_t bytes = f.parts > 1 ? f.n_out * f.parts * AG_CUDA_TOTAL : 0;
    if (bytes && !(f.totals = ag__cuda_alloc(device, bytes))) return false;
    const bool ok = ag__cuda_launched(op, (cudaError_t)launch(a, &f, stream), stream);
    ag__cuda_free(device, f.totals, bytes); /* for what comes later in the stream */
    return ok;
}
