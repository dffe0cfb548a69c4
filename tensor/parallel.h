/* parallel.h - a loop shared out among the threads of the library's pool, for the library's own code. */
#ifndef AG_PARALLEL_H
#define AG_PARALLEL_H
#include <argent/num_threads.h>

/* Call body(user, begin, end) for [0, grain), [grain, 2 grain), ... up to n, in any order, on several threads at once,
 * and return when all are done. The chunks depend on n and grain alone, so a body that reduces over its chunk gives the
 * same bits with any number of threads. A chunk should take some 10 us at least.
 *
 * Never fails: without threads the chunks run one after another in the caller. So do those of a call made inside a
 * body, and those of a call made while another thread of the program has the pool. A body must not fail, allocate or
 * touch the thread's error. */
void ag__parallel_for(int64_t n, int64_t grain, void (*body)(void *user, int64_t begin, int64_t end), void *user);

enum { AG_MOST_THREADS = 256 };

/* Work spaces for the bodies of a loop: one is taken for each chunk, so there need be no more than threads, and what is
 * written there stays in the caches of one CPU. Begins as { .n = ag_get_num_threads() }. */
typedef struct {
    int n;
    bool taken[AG_MOST_THREADS];
} ag__slots;

/* A number below n; waits if more threads are at work than there were. */
static inline int ag__take_slot(ag__slots *slots)
{
    int i = 0;
    while (__atomic_exchange_n(&slots->taken[i], true, __ATOMIC_ACQUIRE)) i = (i + 1) % slots->n;
    return i;
}
static inline void ag__give_slot(ag__slots *slots, int i)
{
    __atomic_store_n(&slots->taken[i], false, __ATOMIC_RELEASE);
}

#endif
