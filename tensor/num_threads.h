/* num_threads.h - how many threads the library computes with. The number changes how long things take, never what comes
 * out: work is split by the size of the problem, so results have the same bits for 1, 2, 3 or 16 threads. */
#ifndef ARGENT_NUM_THREADS_H
#define ARGENT_NUM_THREADS_H
#include <argent/export.h>

AG_BEGIN_DECLS

/* For the whole process, from the next operation on; n >= 1, at most 256 are used. */
AG_API bool ag_set_num_threads(int n);
/* At first the environment's AG_NUM_THREADS, or else the number of CPUs that the process may run on. */
AG_API int ag_get_num_threads(void);

AG_END_DECLS
#endif
