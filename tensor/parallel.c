/* parallel.c - the thread pool.
 *
 * One loop at a time, a region, has the pool. The thread that calls opens the region, takes chunks like everybody else
 * until none is left, closes the region and waits for the workers that are inside. A worker may enter as long as the
 * region is open; one that wakes too late finds it closed and is waited for by nobody. All of that is one word,
 * `state`:
 *
 *     bits 31..16  number of the region    15  open    14  its owner sleeps until it is empty    13..0  workers inside
 *
 * Workers look out for the next region for some 100 us before they sleep: in a training step one region follows
 * another, and waking a thread takes longer than most of them.
 *
 * A forked child has none of its parent's workers: it starts with an empty pool and makes its own.
 */
#include "tensor/parallel.h"
#include "tensor/fail.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = AG_MOST_THREADS, SPIN_NS = 100000 };
/* Chunks that lie together, for one thread as long as it keeps up: what it reads and writes in one loop is what it is
 * likely to meet in the next. The others take what is left. */
typedef struct {
    _Alignas(64) int64_t next; /* which all take, */
    _Alignas(64) int64_t end;  /* and only read */
} part;

enum { OPEN = 1 << 15, OWNER_SLEEPS = 1 << 14, INSIDE = OWNER_SLEEPS - 1, NUMBER_SHIFT = 16 };

static struct {
    int n_threads; /* 0: not yet asked for */
    int n_cpus;
    bool busy; /* a region has the pool */

    /* the region; written by its owner before it opens */
    void (*body)(void *user, int64_t begin, int64_t end);
    void *user;
    int64_t n, grain;
    int max_inside; /* and the owner: so many parts */
    part parts[MAX_THREADS];
    _Alignas(64) uint32_t state;

    /* sleep: the lock guards the conditions, n_workers and stopping */
    _Alignas(64) pthread_mutex_t lock;
    pthread_cond_t wake, empty;
    int n_sleeping;
    bool stopping;
    int n_workers;
    int n_wanted; /* workers that could not be made are not tried again until more are wanted */
    pthread_t workers[MAX_THREADS - 1];
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .empty = PTHREAD_COND_INITIALIZER };

static _Thread_local bool inside __attribute__((tls_model("initial-exec"))); /* a region: calls run serially */

static int cpus_allowed(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than a set holds */
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (int)n;
}

static int default_threads(void)
{
    const char *text = getenv("AG_NUM_THREADS");
    if (text) {
        char *end;
        long n = strtol(text, &end, 10);
        if (end != text && *end == '\0' && n >= 1) return n > MAX_THREADS ? MAX_THREADS : (int)n;
    }
    int n = cpus_allowed();
    return n > MAX_THREADS ? MAX_THREADS : n;
}

int ag_get_num_threads(void)
{
    int n = __atomic_load_n(&pool.n_threads, __ATOMIC_RELAXED);
    if (n == 0) {
        int unset = 0;
        n = default_threads();
        __atomic_store_n(&pool.n_cpus, cpus_allowed(), __ATOMIC_RELAXED);
        if (!__atomic_compare_exchange_n(&pool.n_threads, &unset, n, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            n = unset;
    }
    return n;
}

bool ag_set_num_threads(int n)
{
    if (n < 1) return ag__fail(AG_EINVAL, "set_num_threads: expected a positive number of threads, got %d", n);
    ag_get_num_threads();
    __atomic_store_n(&pool.n_threads, n > MAX_THREADS ? MAX_THREADS : n, __ATOMIC_RELAXED);
    return true;
}

static inline void pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Wait until done(with) for as long as spinning pays; false if it did not come. More threads than CPUs only take each
 * other's time. */
static bool spin_until(bool (*done)(uint32_t with), uint32_t with)
{
    if (done(with)) return true;
    if (__atomic_load_n(&pool.n_threads, __ATOMIC_RELAXED) > __atomic_load_n(&pool.n_cpus, __ATOMIC_RELAXED))
        return false;
    int64_t start = now_ns();
    do {
        for (int i = 0; i < 16; i++) {
            pause_a_little();
            if (done(with)) return true;
        }
    } while (now_ns() - start < SPIN_NS);
    return false;
}

/* Take chunks until none is left, those of part `own` first. */
static void run_chunks(int own)
{
    const int n_parts = __atomic_load_n(&pool.max_inside, __ATOMIC_RELAXED) + 1;
    for (int k = 0; k < n_parts; k++) {
        part *p = &pool.parts[(own + k) % n_parts];
        while (__atomic_load_n(&p->next, __ATOMIC_RELAXED) < p->end) {
            const int64_t i = __atomic_fetch_add(&p->next, 1, __ATOMIC_RELAXED);
            if (i >= p->end) break;
            const int64_t begin = i * pool.grain, end = pool.n - begin > pool.grain ? begin + pool.grain : pool.n;
            pool.body(pool.user, begin, end);
        }
    }
}

/* ---- workers ---- */

static bool new_region(uint32_t seen)
{
    uint32_t state = __atomic_load_n(&pool.state, __ATOMIC_SEQ_CST);
    return ((state & OPEN) && state >> NUMBER_SHIFT != seen) || __atomic_load_n(&pool.stopping, __ATOMIC_RELAXED);
}

static bool enter(uint32_t *seen)
{
    uint32_t state = __atomic_load_n(&pool.state, __ATOMIC_ACQUIRE);
    *seen = state >> NUMBER_SHIFT;
    while ((state & OPEN) && (int)(state & INSIDE) < __atomic_load_n(&pool.max_inside, __ATOMIC_RELAXED)) {
        if (__atomic_compare_exchange_n(&pool.state, &state, state + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            *seen = state >> NUMBER_SHIFT;
            return true;
        }
    }
    return false;
}

static void leave(void)
{
    uint32_t state = __atomic_sub_fetch(&pool.state, 1, __ATOMIC_ACQ_REL);
    if ((state & (OPEN | OWNER_SLEEPS | INSIDE)) == OWNER_SLEEPS) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_signal(&pool.empty);
        pthread_mutex_unlock(&pool.lock);
    }
}

static void *worker(void *number)
{
    const int own = (int)(intptr_t)number;
    inside = true;
    uint32_t seen = (__atomic_load_n(&pool.state, __ATOMIC_ACQUIRE) >> NUMBER_SHIFT) - 1;
    for (;;) {
        if (!spin_until(new_region, seen)) {
            pthread_mutex_lock(&pool.lock);
            __atomic_add_fetch(&pool.n_sleeping, 1,
                               __ATOMIC_SEQ_CST); /* before looking again: the owner looks the other way round */
            while (!new_region(seen)) pthread_cond_wait(&pool.wake, &pool.lock);
            __atomic_sub_fetch(&pool.n_sleeping, 1, __ATOMIC_SEQ_CST);
            pthread_mutex_unlock(&pool.lock);
        }
        if (__atomic_load_n(&pool.stopping, __ATOMIC_RELAXED)) return NULL;
        if (enter(&seen)) {
            run_chunks(own);
            leave();
        }
    }
}

/* Have n workers, or as many as the system allows; signals go to the program's own threads. The caller has the pool. */
static void want_workers(int n)
{
    if (n <= pool.n_wanted) return;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&pool.lock);
    pool.n_wanted = n;
    while (pool.n_workers < n && !pool.stopping &&
           pthread_create(&pool.workers[pool.n_workers], NULL, worker, (void *)(intptr_t)(pool.n_workers + 1)) == 0)
        pool.n_workers++;
    pthread_mutex_unlock(&pool.lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void after_fork_in_child(void)
{
    pool.busy = false;
    pool.state = 0;
    pool.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    pool.wake = pool.empty = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pool.n_sleeping = pool.n_workers = pool.n_wanted = 0;
}

__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork_in_child); }

/* At exit, and before the library's code is unloaded, no thread may be left in it. */
__attribute__((destructor)) static void stop_workers(void)
{
    pthread_mutex_lock(&pool.lock);
    __atomic_store_n(&pool.stopping, true, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&pool.wake);
    int n = pool.n_workers;
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < n; i++) pthread_join(pool.workers[i], NULL);
}

/* ---- the owner of a region ---- */

static bool nobody_inside(uint32_t unused)
{
    (void)unused;
    return (__atomic_load_n(&pool.state, __ATOMIC_ACQUIRE) & INSIDE) == 0;
}

static void open_region(int64_t n_chunks, int max_inside)
{
    const int64_t n_parts = max_inside + 1;
    __atomic_store_n(&pool.max_inside, max_inside, __ATOMIC_RELAXED);
    int64_t begin = 0;
    for (int64_t k = 0; k < n_parts; k++) {
        __atomic_store_n(&pool.parts[k].next, begin, __ATOMIC_RELAXED);
        begin += n_chunks / n_parts + (k < n_chunks % n_parts);
        pool.parts[k].end = begin;
    }
    uint32_t number = (__atomic_load_n(&pool.state, __ATOMIC_RELAXED) >> NUMBER_SHIFT) + 1;
    __atomic_store_n(&pool.state, number << NUMBER_SHIFT | OPEN, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&pool.n_sleeping, __ATOMIC_SEQ_CST) > 0) {
        pthread_mutex_lock(&pool.lock);
        for (int i = 0; i < max_inside && i < pool.n_sleeping; i++) pthread_cond_signal(&pool.wake);
        pthread_mutex_unlock(&pool.lock);
    }
}

static void close_region(void)
{
    __atomic_and_fetch(&pool.state, ~(uint32_t)OPEN, __ATOMIC_ACQ_REL);
    if (spin_until(nobody_inside, 0)) return;
    pthread_mutex_lock(&pool.lock);
    __atomic_or_fetch(&pool.state, OWNER_SLEEPS, __ATOMIC_ACQ_REL);
    while (!nobody_inside(0)) pthread_cond_wait(&pool.empty, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

void ag__parallel_for(int64_t n, int64_t grain, void (*body)(void *user, int64_t begin, int64_t end), void *user)
{
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    if (n <= grain) {
        body(user, 0, n);
        return;
    }
    int n_threads = ag_get_num_threads();
    int64_t n_chunks = (n - 1) / grain + 1;
    if (n_threads == 1 || inside || __atomic_exchange_n(&pool.busy, true, __ATOMIC_ACQUIRE)) {
        for (int64_t i = 0; i < n_chunks; i++) body(user, i * grain, i < n_chunks - 1 ? (i + 1) * grain : n);
        return;
    }
    inside = true;
    pool.body = body;
    pool.user = user;
    pool.n = n;
    pool.grain = grain;
    int helpers = n_chunks < n_threads ? (int)n_chunks - 1 : n_threads - 1;
    want_workers(n_threads - 1);
    open_region(n_chunks, helpers);
    run_chunks(0);
    close_region();
    __atomic_store_n(&pool.busy, false, __ATOMIC_RELEASE);
    inside = false;
}
