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

#endif
