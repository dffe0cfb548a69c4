/* thread.h - everything the calling thread keeps: its error, its spare memory, its scopes, its place in a backward.
 *
 * One pointer of thread-local storage, read once a function and passed on. In the initial-exec model reading it is one
 * instruction even in a shared library, and 8 bytes fit where a dlopen'ed library may put them, as a whole struct would
 * not.
 */
#ifndef AG_THREAD_H
#define AG_THREAD_H
#include <argent/error.h>

#include <sys/single_threaded.h>

enum { AG_N_SIZE_CLASSES = 160, AG_ERROR_BYTES = 2048, AG_CUDA_DEVICES = 64 };

struct ag_variable;
struct ag_node;

/* Spare blocks of one size. What is out, in the hands of Variables and nodes, is owned - n: less than none where this
 * thread took back more than it gave. */
typedef struct ag_block_list {
    void *first;   /* each block's first word names the next */
    int64_t n;     /* how many */
    int64_t most;  /* with so many, the next that comes back is looked at; 0: nothing is kept here */
    int64_t owned; /* these, and what is out; changes together with n under the allocator's lock */
} ag_block_list;

typedef struct ag_thread {
    /* scopes: one stack, a scope is a height of it (autograd/scope.c) */
    struct ag_variable **held; /* bit 0 marks one that goes to the enclosing scope */
    int64_t n_held, max_held, scope_start;
    int scope_depth;

    /* modes (autograd/grad_mode.c) */
    bool grad_off;
    bool inference; /* inference mode: what is made has no version, and is not saved */

    /* the profiler (autograd/profile.h) */
    bool profiling; /* set by whoever switches it on */
    bool in_event;  /* the row that is called next has its event */
    struct ag_recorder *recorder;

    /* the error (tensor/error.c) */
    bool failed;      /* one stands: of this kind, with this sentence (at the end) */
    bool stateless;   /* this is the state of threads for which there was no memory */
    bool explained;   /* it says in which op's backward it was made (autograd/anomaly.c) */
    bool handler_due; /* the handler has yet to hear of it */
    int handler_held;
    ag_error_kind kind;

    /* letting go: the dead queue up and one loop buries them, however long the chain (autograd/variable.c) */
    bool burying;
    struct ag_variable *dead_variables;
    struct ag_node *dead_nodes;

    /* the tape (autograd/record.c, pass.c) */
    uint64_t next_seq;     /* for the next node */
    struct ag_node **heap; /* a walk's table, between walks */
    int64_t max_heap;
    struct ag_pass *walk;               /* the walk under way */
    struct ag_saved_hooks *saved_hooks; /* the innermost (autograd/saved_hooks.c) */
    const void *caller; /* who called the composite op or the library's own Module under way; NULL: none is */

    /* CUDA: the current stream of each device, 0 the default one (tensor/cuda_stream.c) */
    uint8_t cuda_stream[AG_CUDA_DEVICES];
    struct ag_cuda_mempool *cuda_mempool; /* where memory comes from while a graph is captured */

    /* memory (tensor/memory.c) */
    ag_block_list spare[AG_N_SIZE_CLASSES], spare_objects;
    struct ag_thread *next, **previous; /* all threads */

    /* numbers made into Variables, by ag_scalar (autograd/host.c) */
    struct ag_variable *scalars[16];

    char error[AG_ERROR_BYTES];
} ag_thread;

extern _Thread_local ag_thread *ag__thread_pointer __attribute__((tls_model("initial-exec")));
ag_thread *ag__thread_start(void); /* never NULL: without memory, a static one in which an error stands */

static inline ag_thread *ag__thread(void)
{
    ag_thread *t = ag__thread_pointer;
    return __builtin_expect(t != NULL, 1) ? t : ag__thread_start();
}

/* Sets .profiling of all threads, and of those that will be. */
void ag__threads_profile(bool on);

/* What autograd does for a thread that ends, before its memory goes. */
extern void (*ag__thread_end_hook)(ag_thread *t);

/* Counts are atomic once the process has had a second thread. */
static inline void ag__count_up(int32_t *n)
{
    if (__libc_single_threaded)
        ++*n;
    else
        __atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
}

/* true when that was the last one; the only holder need not pay for an atomic subtraction */
static inline bool ag__count_down(int32_t *n)
{
    if (__libc_single_threaded) return --*n == 0;
    return __atomic_load_n(n, __ATOMIC_ACQUIRE) == 1 || __atomic_sub_fetch(n, 1, __ATOMIC_ACQ_REL) == 0;
}

#endif
