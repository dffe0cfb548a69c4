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

/* batch_size: items a batch; the last one of a pass may have fewer, or is left out (drop_last).
 * shuffle: another order each pass.
 * num_workers: so many threads make batches ahead of time (0: each is made when it is asked for). Batches, their order
 * and what the loader draws are the same; only what a dataset or a transform itself draws from the default generator
 *     would come at another time. If threads are not to be had there are fewer.
 * generator: where the seeds or the order come from; NULL: the default generator. It must stay.
 * prefetch_factor: how many batches each worker may be ahead.
 * memory_format: AG_BATCH_LAST for batches whose first dimension moves fastest in memory.
 * The dataset must stay. Errors: AG_EINVAL with PyTorch's sentences, AG_ENOMEM. */
#define AG_TYPE_Dataset ag_dataset *
#define AG_ARGS_data_loader(must, may)                                                                \
    must(Dataset, dataset) may(Int, batch_size, 1) may(Bool, shuffle, false) may(Int, num_workers, 0) \
        may(Bool, drop_last, false) may(Generator, generator, NULL) may(Int, prefetch_factor, 2)      \
            may(Format, memory_format, AG_CONTIGUOUS_FORMAT)
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
