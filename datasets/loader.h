/* loader.h - batches of a dataset, in order or shuffled: torch.utils.data.DataLoader.
 *
 *     DataLoader *loader = ag_data_loader(training_data, .batch_size = 64, .shuffle = true);
 *     for (int epoch = 0; epoch < 25; epoch++)
 *         for (Batch batch; ag_data_next(loader, &batch);) {
 *             AG_SCOPE;
 *             ... batch.inputs, batch.targets ...
 *         }
 *     ag_data_loader_free(loader);
 *
 * Each pass over the data draws from the generator what PyTorch's loader draws with num_workers=0, shuffled or not, so
 * the batches are PyTorch's for the same seed, pass after pass.
 */
#ifndef ARGENT_LOADER_H
#define ARGENT_LOADER_H
#include <argent/dataset.h>

AG_BEGIN_DECLS

typedef struct ag_loader ag_loader;

/* Its Variables belong to the loader, and are good until the next call with that loader; what a graph or ag_retain
 * still holds lives on. */
typedef struct ag_batch {
    ag_variable *inputs;               /* the items' first parts, along a new first dimension */
    ag_variable *targets;              /* their second parts; NULL where there is none */
    ag_variable *parts[AG_ITEM_PARTS]; /* all of them: parts[0] is inputs, parts[1] targets */
    int n_parts;
    int64_t size;  /* how many items */
    int64_t index; /* the batch's number in this pass, from 0 */
} ag_batch;

#ifndef AG_NO_SHORT_NAMES
typedef ag_loader DataLoader;
typedef ag_batch Batch;
#endif

/* Which items make a pass, and in which order: a sampler.
 *
 * size: how many they are. draw: puts their numbers into indices, anew for each pass; false with an error.
 * batch_size: where given, how many of the items that are left batch number `batch` gets (a batch_sampler). */
typedef struct ag_sampler {
    int64_t (*size)(void *user);
    bool (*draw)(int64_t *indices, int64_t n, void *user);
    int64_t (*batch_size)(int64_t batch, int64_t left, void *user);
    void *user;
} ag_sampler;
#define AG_TYPE_Sampler const ag_sampler *

/* Makes a batch of n items, of which items[i][p] is part p of item i: puts its parts into out and returns how many they
 * are; 0, or a part that is NULL, is an error. Source: collate_fn. */
typedef int ag_collate_function(int64_t n, ag_variable *(*items)[AG_ITEM_PARTS], ag_variable **out, void *user);
#define AG_TYPE_Collate ag_collate_function *
/* Called in a worker's thread before its first batch; false with an error, which is then that batch's. */
typedef bool ag_worker_init_function(int64_t worker, void *user);
#define AG_TYPE_WorkerInit ag_worker_init_function *

/* batch_size: items a batch; the last one of a pass may have fewer, or is left out (drop_last).
 * shuffle: another order each pass.
 * num_workers: so many threads make batches ahead of time (0: each is made when it is asked for). Batches, their order
 * and what the loader draws are the same; only what a dataset or a transform itself draws from the default generator
 *     would come at another time. If threads are not to be had there are fewer.
 * generator: where the seeds or the order come from; NULL: the default generator. It must stay.
 * prefetch_factor: how many batches each worker may be ahead.
 * memory_format: AG_BATCH_LAST for batches whose first dimension moves fastest in memory.
 * sampler: in place of all items in their order; not beside shuffle, and one that makes batches not beside batch_size
 *     and drop_last either.
 * collate_fn: in place of each part along a new first dimension. With workers it is called from several threads at
 * once. worker_init_fn, user: called in each worker; handed to both functions. The dataset and the sampler must stay.
 * pin_memory: batches lie in pinned memory, from where ag_to(x, AG_CUDA, .non_blocking = true) does not hold up the
 * program; without CUDA it changes nothing.
 * device: where batches come to lie (Argent's own). MNIST whose transform is a table, or that has none, and subsets of
 * it are kept there as bytes, and each batch is made there by one kernel, from an order that is drawn as always;
 * workers have nothing to do then. Batches of other datasets are made on the CPU and copied. Errors: AG_EINVAL with
 * PyTorch's sentences, AG_ENOMEM, AG_EDEVICE. */
#define AG_TYPE_Dataset ag_dataset *
#define AG_ARGS_data_loader(must, may)                                                                     \
    must(Dataset, dataset) may(Int, batch_size, 1) may(Bool, shuffle, false) may(Int, num_workers, 0)      \
        may(Bool, drop_last, false) may(Generator, generator, NULL) may(Int, prefetch_factor, 2)           \
            may(Format, memory_format, AG_CONTIGUOUS_FORMAT) may(Sampler, sampler, NULL)                   \
                may(Collate, collate_fn, NULL) may(WorkerInit, worker_init_fn, NULL) may(User, user, NULL) \
                    may(Bool, pin_memory, false) may(Device, device, AG_CPU)
#define ag_data_loader(...) AG_CALL(data_loader, __VA_ARGS__)
AG_DECLARE_AS(data_loader, ag_loader *)
/* Waits for its workers, then frees. NULL is fine. */
AG_API void ag_data_loader_free(ag_loader *loader);

/* len(loader): how many batches a pass has; -1 with an error. */
AG_API int64_t ag_data_loader_size(ag_loader *loader);

/* The next batch of this pass; the first call begins one. false when the pass is over (the next call begins another)
 * and on an error, which ends the pass. While an error stands it is false, too: a loop whose step failed ends, and
 * ag_error() says why. After leaving a loop early the next call goes on where this one stopped, unless ag_data_rewind
 * comes between. */
AG_API bool ag_data_next(ag_loader *loader, ag_batch *batch);
/* Gives up the pass under way: the next call of ag_data_next begins a new one, as a second `for ... in loader:` does.
 */
AG_API void ag_data_rewind(ag_loader *loader);
/* Passes over the next `count` batches of this pass without making them (it begins one if none is under way): how a
 * training that was stopped within a pass finds its place again. false with an error. */
AG_API bool ag_data_skip(ag_loader *loader, int64_t count);

AG_END_DECLS
#endif
