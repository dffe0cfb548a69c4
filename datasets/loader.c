/* loader.c - passes over a dataset: their order, drawn as PyTorch draws it, and one batch after the other. See
 * loader.h.
 *
 * What a pass draws (torch.utils.data, 2.13, num_workers=0): when it begins a base seed that nothing here uses, from
 * the generator; then, shuffled, either a seed from the default generator for a generator of its own, which permutes
 * the items, or the permutation straight from the user's generator. In that case reading to the end draws one more
 * permutation: the sampler asks for the items beyond the last whole round, of which there are none.
 */
#include "datasets/loader_internal.h"

#include "tensor/generator_internal.h"
#include "tensor/random_fill.h"

#include <argent/copy.h>
#include <argent/cuda_memory.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORKERS = 256, MAX_AHEAD = 4096 };

/* ---- a loader ---- */

static bool check_sampler(const struct ag_data_loader_args *a)
{
    const ag_sampler *s = a->sampler;
    if (!s) return true;
    if (!s->size || !s->draw)
        return ag__fail(AG_EINVAL, "data_loader: the sampler has no %s", s->size ? "draw" : "size");
    if (s->batch_size && (a->batch_size != 1 || a->shuffle || a->drop_last))
        return ag__fail(AG_EINVAL, "data_loader: batch_sampler option is mutually exclusive with batch_size, shuffle, "
                                   "sampler, and drop_last");
    if (a->shuffle) return ag__fail(AG_EINVAL, "data_loader: sampler option is mutually exclusive with shuffle");
    return true;
}

static bool check(const struct ag_data_loader_args *a)
{
    if (!a->dataset) return ag__fail(AG_EINVAL, "data_loader: the dataset is NULL");
    if (a->batch_size < 1)
        return ag__fail(AG_EINVAL,
                        "data_loader: batch_size should be a positive integer value, but got batch_size=%" PRId64,
                        a->batch_size);
    if (a->num_workers < 0 || a->num_workers > MAX_WORKERS)
        return ag__fail(AG_EINVAL, "data_loader: num_workers must be 0 to %d, but got %" PRId64, MAX_WORKERS,
                        a->num_workers);
    if (a->prefetch_factor < 1 || a->prefetch_factor > MAX_AHEAD / MAX_WORKERS)
        return ag__fail(AG_EINVAL, "data_loader: prefetch_factor must be 1 to %d, but got %" PRId64,
                        MAX_AHEAD / MAX_WORKERS, a->prefetch_factor);
    if (a->memory_format != AG_PRESERVE_FORMAT && a->memory_format != AG_CONTIGUOUS_FORMAT &&
        a->memory_format != AG_BATCH_LAST)
        return ag__fail(AG_EINVAL, "data_loader: there is no memory format %d", (int)a->memory_format);
    int64_t n = ag_dataset_size(a->dataset);
    if (n == 0 && a->shuffle)
        return ag__fail(AG_EINVAL,
                        "data_loader: num_samples should be a positive integer value, but got num_samples=0");
    return n >= 0 && check_sampler(a);
}

ag_loader *ag_data_loader_call(const struct ag_data_loader_args *args)
{
    if (!check(args)) return NULL;
    ag_loader *l = calloc(1, sizeof *l);
    if (!l) return ag__fail_memory("a data loader", sizeof *l);
    l->dataset = args->dataset;
    l->batch_size = args->batch_size;
    l->n_workers = args->num_workers;
    l->ahead = args->num_workers * args->prefetch_factor;
    l->shuffle = args->shuffle;
    l->drop_last = args->drop_last;
    l->pin_memory = args->pin_memory && ag_cuda_is_available();
    l->format = args->memory_format == AG_PRESERVE_FORMAT ? AG_CONTIGUOUS_FORMAT : args->memory_format;
    l->generator = args->generator;
    l->sampler = args->sampler;
    l->collate = args->collate_fn;
    l->worker_init = args->worker_init_fn;
    l->user = args->user;
    l->device = args->device.type == AG_ANY_DEVICE.type ? AG_CPU : args->device;
    if (!ag__resident_new(l)) {
        free(l);
        return NULL;
    }
    if (l->shuffle && !l->generator && !(l->shuffler = ag_generator_new())) {
        ag__resident_free(l->resident);
        free(l);
        return NULL;
    }
    return l;
}

void ag_data_loader_free(ag_loader *loader)
{
    if (!loader) return;
    ag__workers_free(loader);
    ag__made_batch_drop(&loader->current);
    ag__resident_free(loader->resident);
    ag_release(loader->order);
    ag_generator_free(loader->shuffler);
    free(loader->starts);
    free(loader);
}

/* How many items a pass has; negative with an error. */
static int64_t items_of(const ag_loader *loader)
{
    if (!loader->sampler) return ag_dataset_size(loader->dataset);
    int64_t n = loader->sampler->size(loader->sampler->user);
    if (n < 0) ag__fail(AG_EINVAL, "data_loader: the sampler's size is %" PRId64, n);
    return n;
}

/* The batches of a sampler that makes them: how many, and, where there is room, where each begins. */
static int64_t sampled_batches(const ag_sampler *s, int64_t n_items, int64_t *starts)
{
    int64_t k = 0;
    for (int64_t at = 0; at < n_items; k++) {
        int64_t n = s->batch_size(k, n_items - at, s->user);
        if (n < 1 || n > n_items - at)
            return ag__fail(AG_EINVAL,
                            "data_loader: the sampler gave batch %" PRId64 " %" PRId64 " of %" PRId64 " items", k, n,
                            n_items - at),
                   -1;
        if (starts) starts[k] = at;
        at += n;
    }
    if (starts) starts[k] = n_items;
    return k;
}

/* Negative with an error. */
static int64_t batches_of(const ag_loader *loader, int64_t n_items)
{
    if (loader->sampler && loader->sampler->batch_size)
        return sampled_batches(loader->sampler, n_items, loader->starts);
    return n_items / loader->batch_size + (!loader->drop_last && n_items % loader->batch_size ? 1 : 0);
}

int64_t ag_data_loader_size(ag_loader *loader)
{
    if (!loader) return ag__fail(AG_EINVAL, "data_loader_size: the loader is NULL"), -1;
    int64_t n = items_of(loader);
    if (n < 0) return -1;
    if (loader->sampler && loader->sampler->batch_size) return sampled_batches(loader->sampler, n, NULL);
    return batches_of(loader, n);
}

/* ---- the order of a pass ---- */

/* Room for n indices. */
static bool order_room(ag_loader *loader, int64_t n)
{
    if (loader->order && loader->order->tensor.numel == n) return true;
    AG_SCOPE;
    ag_variable *order = ag_retain(ag__new(ag__thread(), 1, &n, AG_INT64, AG_CPU));
    if (!order) return false;
    order->made_by = "data_loader";
    ag_release(loader->order);
    loader->order = order;
    return true;
}
/* Room for where n batches begin and the last one ends. */
static bool starts_room(ag_loader *loader, int64_t n)
{
    if (!loader->sampler || !loader->sampler->batch_size) return true;
    size_t bytes = (size_t)(n + 1) * sizeof *loader->starts;
    int64_t *starts = realloc(loader->starts, bytes);
    if (!starts) return ag__fail_memory("the batches of a sampler", bytes);
    loader->starts = starts;
    return true;
}

static bool order_sample(const ag_loader *loader, int64_t *order)
{
    const ag_sampler *s = loader->sampler;
    int64_t size = ag_dataset_size(loader->dataset);
    if (size < 0) return false;
    if (!s->draw(order, loader->n_items, s->user))
        return ag_error() ? false
                          : ag__fail(AG_EINVAL, "data_loader: the sampler failed and left no error that says why");
    for (int64_t i = 0; i < loader->n_items; i++)
        if (order[i] < 0 || order[i] >= size)
            return ag__fail(AG_EINVAL, "data_loader: the sampler gave item %" PRId64 " of a dataset of %" PRId64,
                            order[i], size);
    return true;
}

static bool order_draw(ag_loader *loader)
{
    ag__random_int64(loader->generator); /* the base seed */
    int64_t *order = (int64_t *)(void *)loader->order->tensor.data;
    if (loader->sampler) return order_sample(loader, order);
    if (!loader->shuffle) {
        for (int64_t i = 0; i < loader->n_items; i++) order[i] = i;
        return true;
    }
    if (!loader->generator) ag_generator_manual_seed(loader->shuffler, (uint64_t)ag__random_int64(NULL));
    return ag__random_randperm(loader->generator ? loader->generator : loader->shuffler, &loader->order->tensor);
}

/* The sampler has been read to its end. */
static bool order_exhaust(ag_loader *loader)
{
    if (loader->exhausted) return true;
    loader->exhausted = true;
    if (!loader->shuffle || !loader->generator) return true;
    AG_SCOPE;
    ag_variable *unused = ag__new(ag__thread(), 1, &loader->n_items, AG_INT64, AG_CPU);
    return unused && ag__random_randperm(loader->generator, &unused->tensor);
}

/* Nothing is drawn unless everything is there that it takes. */
static bool begin(ag_loader *loader)
{
    int64_t n = items_of(loader);
    if (n < 0 || !order_room(loader, n) || !starts_room(loader, n)) return false;
    loader->n_items = n;
    loader->n_batches = batches_of(loader, n);
    if (loader->n_batches < 0) return false;
    loader->next = 0;
    loader->exhausted = false;
    if (!order_draw(loader) || (loader->resident && !ag__resident_begin(loader))) return false;
    loader->begun = true;
    ag__workers_begin(loader);
    return true;
}

void ag_data_rewind(ag_loader *loader)
{
    if (!loader || !loader->begun) return;
    ag__workers_cancel(loader);
    loader->begun = false;
}

/* ---- batches ---- */

void ag__made_batch_drop(ag__made_batch *made)
{
    for (int k = 0; k < made->n_parts; k++) ag_release(made->parts[k]);
    made->n_parts = 0;
}

/* Batch k's place in the order: where it begins, and in *n how many items it has. */
static int64_t batch_at(const ag_loader *loader, int64_t k, int64_t *n)
{
    int64_t first = loader->starts ? loader->starts[k] : k * loader->batch_size;
    int64_t left = loader->starts ? loader->starts[k + 1] - first : loader->n_items - first;
    *n = loader->starts || left < loader->batch_size ? left : loader->batch_size;
    return first;
}

static int collate(const ag_loader *loader, const int64_t *index, int64_t n, ag_variable **out)
{
    ag_variable *(*items)[AG_ITEM_PARTS] = calloc((size_t)n, sizeof *items);
    if (!items) return ag__fail_memory("the items of a batch", (size_t)n * sizeof *items), 0;
    int parts = 1;
    for (int64_t i = 0; i < n && parts; i++) parts = ag_dataset_get(loader->dataset, index[i], items[i]);
    if (parts) parts = loader->collate(n, items, out, loader->user);
    free(items);
    if (ag_error()) return 0;
    bool there = parts > 0 && parts <= AG_ITEM_PARTS;
    for (int p = 0; there && p < parts; p++) there = out[p] != NULL;
    if (!there) ag__fail(AG_EINVAL, "data_loader: collate_fn gave no batch, and no error that says why");
    return there ? parts : 0;
}

bool ag__loader_make(const ag_loader *loader, int64_t k, ag__made_batch *made)
{
    AG_SCOPE;
    AG_NO_GRAD;
    int64_t n, first = batch_at(loader, k, &n);
    const int64_t *index = (const int64_t *)(const void *)loader->order->tensor.data + first;
    ag_variable *parts[AG_ITEM_PARTS] = { 0 };
    made->n_parts = loader->resident  ? ag__resident_batch(loader, first, n, parts)
                    : loader->collate ? collate(loader, index, n, parts)
                                      : ag__dataset_batch(loader->dataset, index, n, loader->format, parts);
    for (int p = 0; loader->pin_memory && !loader->resident && p < made->n_parts; p++)
        if (!(parts[p] = ag_pin_memory(parts[p]))) made->n_parts = 0;
    for (int p = 0; p < made->n_parts; p++) made->parts[p] = ag_retain(parts[p]);
    return made->n_parts > 0;
}

/* Made by a worker; an error ends the pass before the handler hears of it. */
static bool take(ag_loader *loader)
{
    ag__handler_hold();
    bool taken = ag__workers_take(loader, &loader->current);
    if (!taken) ag_data_rewind(loader);
    ag__handler_release();
    return taken;
}

/* What was made on the CPU goes to the loader's device. */
static bool move(ag_loader *loader)
{
    AG_SCOPE;
    AG_NO_GRAD;
    if (loader->device.type == AG_DEVICE_CPU || loader->resident) return true;
    for (int p = 0; p < loader->current.n_parts; p++) {
        ag_variable *there = ag_to(loader->current.parts[p], loader->device);
        if (!there) return false;
        ag_retain(there);
        ag_release(loader->current.parts[p]);
        loader->current.parts[p] = there;
    }
    return true;
}

/* Batch loader->next into loader->current; false at the end, too. */
static bool fetch(ag_loader *loader)
{
    if (loader->next == loader->n_batches) {
        order_exhaust(loader);
        return false;
    }
    bool partial = !loader->drop_last && loader->next == loader->n_items / loader->batch_size;
    if (partial && !order_exhaust(loader)) return false; /* looking for a whole batch, the sampler reads to its end */
    if (loader->workers) return take(loader);
    loader->begun = false; /* the handler may leave from within the dataset's get: then this was the pass's end */
    loader->begun = ag__loader_make(loader, loader->next, &loader->current);
    return loader->begun;
}

bool ag_data_next(ag_loader *loader, ag_batch *batch)
{
    if (batch) memset(batch, 0, sizeof *batch);
    if (!loader || !batch) return ag__fail(AG_EINVAL, "data_next: the %s is NULL", loader ? "batch" : "loader");
    ag__made_batch_drop(&loader->current);
    if (!ag__may_change(ag__thread())) return false;
    if (!loader->begun && !begin(loader)) return false;
    if (!fetch(loader) || !move(loader)) {
        ag_data_rewind(loader);
        return false;
    }
    const ag__made_batch *made = &loader->current;
    for (int k = 0; k < made->n_parts; k++) batch->parts[k] = made->parts[k];
    batch->n_parts = made->n_parts;
    batch->inputs = batch->parts[0];
    batch->targets = batch->parts[1];
    batch_at(loader, loader->next, &batch->size);
    batch->index = loader->next++;
    return true;
}

bool ag_data_skip(ag_loader *loader, int64_t count)
{
    if (!loader) return ag__fail(AG_EINVAL, "data_skip: the loader is NULL");
    if (!ag__may_change(ag__thread()) || (!loader->begun && !begin(loader))) return false;
    if (count < 0 || count > loader->n_batches - loader->next)
        return ag__fail(AG_EINVAL, "data_skip: %" PRId64 " batches cannot be passed over, %" PRId64 " are left", count,
                        loader->n_batches - loader->next);
    if (count == 0) return true;
    ag__handler_hold();
    ag__workers_cancel(loader);
    loader->next += count;
    bool partial = loader->next * loader->batch_size > loader->n_items; /* the last one passed over */
    bool ok = !partial || order_exhaust(loader);
    if (ok)
        ag__workers_begin(loader);
    else
        ag_data_rewind(loader);
    ag__handler_release();
    return ok;
}
