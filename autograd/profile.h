/* profile.h - the profiler as the engine calls it, and what it has recorded as the files that print it see it.
 *
 * Each thread writes into a recorder of its own. The recorders of a session stand in a list that outlives the threads;
 * a lock in each is for whoever reads while its thread still writes, and costs little while nobody does.
 */
#ifndef AG_PROFILE_H
#define AG_PROFILE_H
#include "autograd/op.h"

#include <pthread.h>

/* ---- for the engine ---- */

typedef enum { AG_EVENT_OP, AG_EVENT_NODE, AG_EVENT_RANGE } ag_event_kind;

static inline bool ag__profiling(const Thread *t)
{
    return __builtin_expect(__atomic_load_n(&t->profiling, __ATOMIC_ACQUIRE), 0);
}
/* An event of this thread begins, inside the one that is under way: a handle for its end; 0 where it is not recorded.
 * Whatever fails here fails silently: no op does because of it. */
int64_t ag__event_begin(Thread *t, ag_event_kind kind, const char *name, const char *shapes);
int64_t ag__event_begin_op(Thread *t, const ag_op *op, const void *args, bool inplace);
int64_t ag__event_begin_node(Thread *t, const ag_node *n);
void ag__event_end(Thread *t, int64_t event);
/* The thread ends. */
void ag__recorder_leave(Thread *t);

/* ---- what is recorded ---- */

typedef struct ag_event {
    const char *name, *shapes; /* the recorder's; shapes NULL: not recorded */
    int64_t begin, end;        /* nanoseconds; end 0: under way */
    int64_t bytes;
    int64_t parent; /* its number, -1: none */
    ag_event_kind kind;
} ag_event;

typedef struct ag_recorder {
    pthread_mutex_t lock;
    int32_t refs;   /* the thread's and the list's */
    Thread *thread; /* NULL: it has ended, or has another one */
    bool closed;    /* the session is over: nothing changes any more */
    int64_t session;
    int thread_id;
    char thread_name[16];
    ag_event *events;
    int64_t n, max;
    int64_t open; /* the innermost event under way, -1: none */
    char **texts; /* names and shapes: open addressing, at most half full */
    int64_t n_texts, max_texts;
    struct ag_recorder *next; /* of the session, in the order of their first events */
} ag_recorder;

/* Between these two nobody begins or clears, and errors do not reach the handler, which might not come back. The first
 * gives the session's recorders, in which all events have ended; false with an error while the profiler is on. Both are
 * called in any case. */
bool ag__profile_read(const ag_recorder **recorders, int64_t *began);
void ag__profile_read_end(void);

/* What profile_table.c has made of them. Under the profiler's lock. */
void ag__averages_clear(void);

uint64_t ag__hash_text(uint64_t hash, const char *text);

#endif
