/* loader_workers.c - threads that make batches ahead of time.
 *
 * The batches of a pass are handed out by number: a worker takes the next number below `limit`, makes that batch, and
 * puts it into the slot of that number. The consumer takes them in order, and each one taken raises the limit, so a
 * slot is never wanted by two batches at once. The first batches go to as many workers: by the time a loop runs evenly
 * each of them has its memory. An error lies in its slot until its turn comes, and then stands in the consumer's
 * thread, where the handler hears of it. Workers take no signals. In a forked child they do not exist: there batches
 * are made when they are asked for.
 */
#include "datasets/loader_internal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    bool ready;
    ag__made_batch made;
} Slot;

struct ag__workers {
    pthread_mutex_t lock;
    pthread_cond_t work, done; /* there is a number to take, or an end; a batch is made, or a worker has become idle */
    const ag_loader *loader;
    pid_t process;
    bool stop;
    int64_t next, limit; /* numbers to be taken: [next, limit) */
    int64_t busy;        /* workers that are making a batch */
    int64_t fresh;       /* workers that have not made one yet */
    int64_t n_begun;     /* threads that run */
    int64_t n_threads, n_slots;
    Slot *slots;
    pthread_t threads[];
};

static bool forked(const ag__workers *w) { return w->process != getpid(); }

/* ---- in the workers' threads ---- */

/* *initialised: whether the thread, worker number id, has been told that it is one. */
static void make_slot(const ag_loader *loader, int64_t k, int64_t id, bool *initialised, ag__made_batch *made)
{
    ag_clear_error(); /* a thread that found no room for its state tries again */
    ag__handler_hold();
    *initialised = *initialised || !loader->worker_init || loader->worker_init(id, loader->user);
    if (!*initialised || !ag__loader_make(loader, k, made)) {
        const char *sentence = ag_error();
        made->n_parts = 0;
        made->kind = sentence ? ag_error_code() : AG_EINVAL;
        strcpy(made->error, sentence ? sentence : "data_loader: a batch could not be made");
        ag_clear_error();
    }
    ag__handler_release();
}

static void *worker(void *user)
{
    ag__workers *w = user;
    bool fresh = true, initialised = false;
    pthread_mutex_lock(&w->lock);
    int64_t id = w->n_begun++;
    while (!w->stop) {
        if (w->next >= w->limit || (!fresh && w->fresh > 0)) {
            pthread_cond_wait(&w->work, &w->lock);
            continue;
        }
        if (fresh && --w->fresh == 0) pthread_cond_broadcast(&w->work);
        fresh = false;
        int64_t k = w->next++;
        Slot *slot = &w->slots[k % w->n_slots];
        w->busy++;
        pthread_mutex_unlock(&w->lock);
        make_slot(w->loader, k, id, &initialised, &slot->made);
        pthread_mutex_lock(&w->lock);
        slot->ready = true;
        w->busy--;
        pthread_cond_signal(&w->done);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- starting and ending ---- */

static void start_threads(ag__workers *w, int64_t n)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* which the new threads inherit */
    while (w->n_threads < n && pthread_create(&w->threads[w->n_threads], NULL, worker, w) == 0) w->n_threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void workers_new(ag_loader *loader)
{
    ag__workers *w = calloc(1, sizeof *w + (size_t)loader->n_workers * sizeof *w->threads);
    Slot *slots = calloc((size_t)loader->ahead, sizeof *slots);
    if (!w || !slots) { /* batches can be made without */
        free(w);
        free(slots);
        return;
    }
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->done, NULL);
    w->loader = loader;
    w->process = getpid();
    w->slots = slots;
    w->n_slots = loader->ahead;
    loader->workers = w;
    start_threads(w, loader->n_workers);
    w->fresh = w->n_threads; /* there is no number to take before */
    if (w->n_threads == 0) ag__workers_free(loader);
}

void ag__workers_free(ag_loader *loader)
{
    ag__workers *w = loader->workers;
    loader->workers = NULL;
    if (!w) return;
    bool here = !forked(w);
    if (here) {
        pthread_mutex_lock(&w->lock);
        w->stop = true;
        pthread_cond_broadcast(&w->work);
        pthread_mutex_unlock(&w->lock);
        for (int64_t i = 0; i < w->n_threads; i++) pthread_join(w->threads[i], NULL);
        pthread_mutex_destroy(&w->lock);
        pthread_cond_destroy(&w->work);
        pthread_cond_destroy(&w->done);
    }
    /* In a forked child a batch that a worker was at is lost. */
    for (int64_t i = 0; i < w->n_slots; i++)
        if (here || w->slots[i].ready) ag__made_batch_drop(&w->slots[i].made);
    free(w->slots);
    free(w);
}

/* ---- a pass ---- */

void ag__workers_begin(ag_loader *loader)
{
    if (loader->n_workers == 0 || loader->resident) return;
    if (loader->workers && forked(loader->workers)) {
        ag__workers_free(loader);
        loader->n_workers = 0;
        return;
    }
    if (!loader->workers) workers_new(loader);
    ag__workers *w = loader->workers;
    if (!w) return;
    int64_t left = loader->n_batches - loader->next;
    pthread_mutex_lock(&w->lock);
    w->next = loader->next;
    w->limit = loader->next + (left < w->n_slots ? left : w->n_slots);
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
}

bool ag__workers_take(ag_loader *loader, ag__made_batch *made)
{
    ag__workers *w = loader->workers;
    if (forked(w)) {
        ag__workers_free(loader);
        loader->n_workers = 0;
        return ag__loader_make(loader, loader->next, made);
    }
    Slot *slot = &w->slots[loader->next % w->n_slots];
    pthread_mutex_lock(&w->lock);
    while (!slot->ready) pthread_cond_wait(&w->done, &w->lock);
    slot->ready = false;
    memcpy(made, &slot->made, offsetof(ag__made_batch, kind));
    bool ok = slot->made.n_parts > 0;
    if (!ok) ag__fail(slot->made.kind, "%s", slot->made.error);
    slot->made.n_parts = 0;
    if (w->limit < loader->n_batches) {
        w->limit++;
        pthread_cond_broadcast(&w->work); /* a signal might wake one that has to wait for a fresh one */
    }
    pthread_mutex_unlock(&w->lock);
    return ok;
}

void ag__workers_cancel(ag_loader *loader)
{
    ag__workers *w = loader->workers;
    if (!w || forked(w)) return;
    pthread_mutex_lock(&w->lock);
    w->limit = w->next;
    while (w->busy) pthread_cond_wait(&w->done, &w->lock);
    for (int64_t i = 0; i < w->n_slots; i++) {
        ag__made_batch_drop(&w->slots[i].made);
        w->slots[i].ready = false;
    }
    pthread_mutex_unlock(&w->lock);
}
