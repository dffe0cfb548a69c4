/* loader_internal.h - the loader's two halves: which items come next (loader.c), and the threads that make batches
 * ahead of time (loader_workers.c). */
#ifndef AG_LOADER_INTERNAL_H
#define AG_LOADER_INTERNAL_H
#include "datasets/dataset_internal.h"

#include <argent/loader.h>

#include <pthread.h>

/* What making a batch came to: its parts, each with an owner's hold, or an error. */
typedef struct ag__made_batch {
    int n_parts; /* 0: it failed */
    ag_variable *parts[AG_ITEM_PARTS];
    ag_error_kind kind;
    char error[AG_ERROR_BYTES];
} ag__made_batch;

typedef struct ag__workers ag__workers;
typedef struct ag__resident ag__resident;

struct ag_loader {
    ag_dataset *dataset;
    int64_t batch_size, n_workers, ahead; /* ahead: batches that may wait, ready-made */
    bool shuffle, drop_last, pin_memory;
    ag_memory_format format;
    ag_device device;        /* where batches come to lie */
    ag__resident *resident;  /* the dataset, on that device; NULL: batches are made on the CPU */
    ag_generator *generator; /* the user's; NULL: the default one */
    ag_generator *shuffler;  /* seeded anew each pass where the user gave none */
    const ag_sampler *sampler;
    ag_collate_function *collate;
    ag_worker_init_function *worker_init;
    void *user;

    bool begun;         /* a pass is under way */
    int64_t n_items;    /* in this pass */
    int64_t n_batches;  /* likewise */
    int64_t next;       /* the number of the next batch */
    ag_variable *order; /* int64: which item comes when */
    int64_t *starts; /* of a sampler that makes batches: where each begins in the order, and where the last one ends */
    bool exhausted;  /* all of the order has been given out: a generator of the user's has been asked once more */

    ag__made_batch current; /* what the user has in hand */
    ag__workers *workers;   /* NULL until the first pass, and where there are none */
};

/* Makes batch number k of the pass; false with the thread's error standing. */
bool ag__loader_make(const ag_loader *loader, int64_t k, ag__made_batch *made);
void ag__made_batch_drop(ag__made_batch *made);

/* ---- batches made on a device (resident.c) ---- */

/* Puts the loader's dataset on its device, if it is one of pixels (ag__pixels). false with an error. */
bool ag__resident_new(ag_loader *loader);
void ag__resident_free(ag__resident *resident);
/* A pass begins: the order that was drawn goes to the device. */
bool ag__resident_begin(ag_loader *loader);
/* Batch k, which is items [first, first + n) of the order; how many parts, 0 with an error. The innermost scope holds
 * them. */
int ag__resident_batch(const ag_loader *loader, int64_t first, int64_t n, ag_variable **out);

/* ---- workers (loader_workers.c) ---- */

/* Begins the pass's work. Without threads (none wanted, none to be had, or the process has forked) it does nothing. */
void ag__workers_begin(ag_loader *loader);
/* Batch loader->next, once it is there; false with the error standing in this thread, whose handler is to be held. */
bool ag__workers_take(ag_loader *loader, ag__made_batch *made);
/* Gives up what is under way: returns when no worker looks at the loader any more. */
void ag__workers_cancel(ag_loader *loader);
void ag__workers_free(ag_loader *loader);

#endif
