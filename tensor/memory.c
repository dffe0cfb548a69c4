/* memory.c - the caching allocator, and each thread's share of it.
 *
 * A block that is let go is kept by its size class and handed out again. Small blocks (up to SMALL_BYTES) are cut from
 * slabs and kept by each thread, without a lock; where there are several threads, one that piles up more than
 * KEPT_BYTES of one size passes half of them, a batch, to the depot, where a thread that runs out looks before it cuts
 * a new slab. So blocks flow back from a thread that only frees, as one that trains, to one that only takes, as a
 * loader's worker; and since that begins before a slab is used up, the worker needs no second one. Large blocks are
 * kept in the depot, under its lock, which costs little beside what is done with them. A thread that ends leaves its
 * blocks to the depot.
 *
 * A request of BORROWING_BYTES or more that finds no block of its size borrows the next larger one that is free, of up
 * to four times the size, instead of taking more from the system; when it is let go it is kept by its own size again.
 * More is taken only while everything that would do is in use, so this, too, comes to an end after the first steps.
 *
 * Objects (Variables) are blocks of one size from slabs of their own, so that the living ones can be listed.
 *
 * With caching off, every block is malloc's: memory checkers see each one, and a failing malloc reaches every caller.
 */
#include "tensor/allocator.h"

#include <argent/memory.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined __SANITIZE_ADDRESS__
#define CACHING_BY_DEFAULT false
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define CACHING_BY_DEFAULT false
#endif
#endif
#ifndef CACHING_BY_DEFAULT
#define CACHING_BY_DEFAULT true
#endif

enum {
    SMALL_BYTES = 32 << 10,
    SLAB_BYTES = 256 << 10,
    KEPT_BYTES = SLAB_BYTES / 2,
    KEPT_BLOCKS = 4,
    ASKED_EVERY = 256,
    BORROWING_BYTES = 16 << 20,
    BORROWED_BLOCKS = 16, /* at most, at a time */
    BORROWED_CLASSES = 8  /* so many sizes larger: two doublings */
};

/* A slab: 64 bytes of header, then blocks. */
typedef struct slab {
    struct slab *next;
    size_t block_bytes;
} slab;

/* Where caching is off an object has this before it; the links are complemented, so that a leak checker does not follow
 * them. */
typedef struct loose_object {
    uintptr_t next, previous;
    char pad[48];
} loose_object;

static struct {
    pthread_mutex_t lock;
    /* each class: a list of batches; a block's first word names the next block of its batch, its second the next
     * batch */
    void *batches[AG_N_SIZE_CLASSES], *object_batches;
    slab *slabs, *object_slabs;
    struct {
        void *block; /* NULL: free for use */
        int own_class;
    } borrowed[BORROWED_BLOCKS];
    uintptr_t loose; /* the first loose object, complemented */
    ag_thread *threads;
    bool profiling;    /* of threads to come */
    int64_t allocated; /* of threads that have ended */
    int64_t reserved;
} depot = { .lock = PTHREAD_MUTEX_INITIALIZER, .loose = ~(uintptr_t)0 };

static bool caching = CACHING_BY_DEFAULT;

/* A thread that forks while another one holds the lock would leave its child a lock that nobody opens. This is the last
 * lock to be taken, here as elsewhere: the constructors with a priority come first, what they register before a fork is
 * done last. */
static void before_fork(void) { pthread_mutex_lock(&depot.lock); }
static void after_fork(void) { pthread_mutex_unlock(&depot.lock); }
__attribute__((constructor(101))) static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork); }

/* ---- threads ---- */
_Thread_local ag_thread *ag__thread_pointer;
void (*ag__thread_end_hook)(ag_thread *t);
static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;

static inline void *next_block(void *block) { return ((void **)block)[0]; }
static inline void **next_batch(void *block) { return &((void **)block)[1]; }

static void give_batch(void **list, void *first)
{
    pthread_mutex_lock(&depot.lock);
    *next_batch(first) = *list;
    __atomic_store_n(list, first, __ATOMIC_RELAXED); /* take_batch looks without the lock */
    pthread_mutex_unlock(&depot.lock);
}

static void thread_end(void *thread)
{
    ag_thread *t = ag__thread_pointer = thread;
    if (ag__thread_end_hook) ag__thread_end_hook(t);
    int64_t allocated = ag__thread_allocated(t);
    for (int c = 0; c < AG_N_SIZE_CLASSES; c++)
        if (t->spare[c].first) give_batch(&depot.batches[c], t->spare[c].first);
    if (t->spare_objects.first) give_batch(&depot.object_batches, t->spare_objects.first);
    pthread_mutex_lock(&depot.lock);
    depot.allocated += allocated;
    if (t->next) t->next->previous = t->previous;
    *t->previous = t->next;
    pthread_mutex_unlock(&depot.lock);
    free(t->held);
    free(t->heap);
    free(t);
    ag__thread_pointer = NULL;
}

static void thread_setup(void)
{
    pthread_key_create(&thread_key, thread_end);
    const char *off = getenv("AG_NO_MEMORY_CACHING");
    if (off && (!strcmp(off, "0") || !strcmp(off, "1"))) caching = *off == '0';
}

/* Without room for its state a thread has this one, which holds nothing, until its error is cleared: then it tries
 * again. */
ag_thread *ag__thread_start(void)
{
    static ag_thread stateless = {
        .failed = true,
        .stateless = true,
        .kind = AG_ENOMEM,
        .error = "out of memory: no room for this thread's state",
    };
    pthread_once(&thread_once, thread_setup);
    ag_thread *t = calloc(1, sizeof *t);
    if (!t || pthread_setspecific(thread_key, t)) {
        free(t);
        return ag__thread_pointer = &stateless;
    }
    pthread_mutex_lock(&depot.lock);
    t->next = depot.threads;
    t->previous = &depot.threads;
    if (t->next) t->next->previous = &t->next;
    t->profiling = depot.profiling;
    depot.threads = t;
    pthread_mutex_unlock(&depot.lock);
    return ag__thread_pointer = t;
}

void ag__threads_profile(bool on)
{
    pthread_mutex_lock(&depot.lock);
    depot.profiling = on;
    for (ag_thread *t = depot.threads; t; t = t->next) __atomic_store_n(&t->profiling, on, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&depot.lock);
}

/* The main thread has no destructors; and what is kept goes back, so that leak checkers and dlclose see a clean
 * house. */
__attribute__((destructor)) static void at_exit(void)
{
    if (ag__thread_pointer && !ag__thread_pointer->stateless) {
        pthread_setspecific(thread_key, NULL);
        thread_end(ag__thread_pointer);
    }
    ag_empty_cache();
    pthread_mutex_lock(&depot.lock);
    bool idle = !depot.threads && depot.allocated == 0;
    slab *lists[2] = { depot.slabs, depot.object_slabs };
    if (idle) depot.slabs = depot.object_slabs = NULL;
    pthread_mutex_unlock(&depot.lock);
    for (int k = 0; idle && k < 2; k++)
        for (slab *s = lists[k], *next; s; s = next) {
            next = s->next;
            free(s);
        }
}

/* ---- blocks ---- */

/* What the thread owns of a size goes up or down; n: so many of those are spare. */
static void own(ag_block_list *spare, int64_t by, int64_t n)
{
    pthread_mutex_lock(&depot.lock);
    __atomic_store_n(&spare->owned, spare->owned + by, __ATOMIC_RELAXED);
    ag__spare_count(spare, n);
    pthread_mutex_unlock(&depot.lock);
}

/* Where the system gives pages of 2 MB to who asks, large blocks have such: a walk over many pages of 4 KB is a search
 * for a page at every few lines. */
static void *system_block(size_t bytes)
{
    enum { HUGE_PAGE = 2 << 20 };
    const bool huge = bytes >= 2 * HUGE_PAGE;
    void *block;
    if (posix_memalign(&block, huge ? HUGE_PAGE : 64, bytes) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    if (huge) madvise(block, bytes, MADV_HUGEPAGE);
#endif
    __atomic_add_fetch(&depot.reserved, (int64_t)bytes, __ATOMIC_RELAXED);
    return block;
}
static void system_free(void *block, size_t bytes)
{
    free(block);
    __atomic_sub_fetch(&depot.reserved, (int64_t)bytes, __ATOMIC_RELAXED);
}

static void *take_batch(void **list)
{
    if (!__atomic_load_n(list, __ATOMIC_RELAXED)) return NULL;
    pthread_mutex_lock(&depot.lock);
    void *first = *list;
    if (first) __atomic_store_n(list, *next_batch(first), __ATOMIC_RELAXED);
    pthread_mutex_unlock(&depot.lock);
    return first;
}

/* A larger block than asked for, if one is free; NULL, if not. */
static void *borrow(int size_class)
{
    if (ag__class_bytes(size_class) < BORROWING_BYTES) return NULL;
    void *block = NULL;
    pthread_mutex_lock(&depot.lock);
    int entry = 0;
    while (entry < BORROWED_BLOCKS && depot.borrowed[entry].block) entry++;
    int last = entry < BORROWED_BLOCKS ? size_class + BORROWED_CLASSES : size_class;
    for (int c = size_class + 1; !block && c <= last && c < AG_N_SIZE_CLASSES; c++) {
        if (!(block = depot.batches[c])) continue;
        __atomic_store_n(&depot.batches[c], *next_batch(block), __ATOMIC_RELAXED);
        depot.borrowed[entry].block = block;
        depot.borrowed[entry].own_class = c;
    }
    pthread_mutex_unlock(&depot.lock);
    return block;
}

/* A block is let go: the size it has, which is another one than was asked for if it was borrowed. */
static int own_class(const void *block, int size_class)
{
    if (ag__class_bytes(size_class) < BORROWING_BYTES) return size_class;
    pthread_mutex_lock(&depot.lock);
    for (int entry = 0; entry < BORROWED_BLOCKS; entry++)
        if (depot.borrowed[entry].block == block) {
            depot.borrowed[entry].block = NULL;
            size_class = depot.borrowed[entry].own_class;
            break;
        }
    pthread_mutex_unlock(&depot.lock);
    return size_class;
}

/* A new slab cut into blocks, chained. */
static void *cut_slab(slab **slabs, size_t block_bytes)
{
    slab *s = system_block(SLAB_BYTES);
    if (!s) return NULL;
    s->block_bytes = block_bytes;
    char *first = NULL;
    for (size_t at = 64 + (SLAB_BYTES - 64) / block_bytes * block_bytes; at > 64;) {
        at -= block_bytes;
        char *block = (char *)s + at;
        memset(block, 0, block_bytes); /* an object not yet used reads as one that is not alive */
        *(void **)(void *)block = first;
        first = block;
    }
    pthread_mutex_lock(&depot.lock);
    s->next = *slabs;
    *slabs = s;
    pthread_mutex_unlock(&depot.lock);
    return first;
}

static void *out_of_memory(size_t bytes)
{
    return ag__fail_memory("elements of a Variable, a node or a workspace", bytes);
}

static int64_t length_of(void *first)
{
    int64_t n = 0;
    for (void *b = first; b; b = next_block(b)) n++;
    return n;
}

void *ag__block_refill(ag_thread *t, int size_class)
{
    if (size_class >= AG_N_SIZE_CLASSES) return out_of_memory(ag__class_bytes(size_class));
    size_t bytes = ag__class_bytes(size_class);
    ag_block_list *spare = &t->spare[size_class];
    if (t->stateless) return NULL;
    if (!caching) {
        void *block = system_block(bytes);
        if (!block) return out_of_memory(bytes);
        own(spare, 1, 0);
        return block;
    }
    bool small = bytes <= SMALL_BYTES;
    void *first = take_batch(&depot.batches[size_class]);
    if (!first) first = borrow(size_class);
    for (int attempt = 0; !first && attempt < 2; attempt++) {
        if (attempt) ag_empty_cache(); /* what other sizes keep may be enough */
        first = small ? cut_slab(&depot.slabs, bytes) : system_block(bytes);
        if (first && !small) *(void **)first = NULL;
    }
    if (!first) return out_of_memory(bytes);
    int64_t n = length_of(first);
    spare->first = next_block(first);
    own(spare, n, n - 1);
    return first;
}

/* Half of what the thread has spare goes to the depot. */
static void shed(ag_block_list *spare, void **list)
{
    int64_t half = spare->n / 2;
    void *first = spare->first, *last = first;
    for (int64_t i = 1; i < half; i++) last = next_block(last);
    spare->first = next_block(last);
    own(spare, -half, spare->n - half);
    *(void **)last = NULL;
    give_batch(list, first);
}

/* A small block is kept. Where there are other threads, no more than so many are; and as there may be some later, that
 * is asked again and again. */
static void keep(ag_block_list *spare, void *block, size_t bytes, void **list)
{
    int64_t limit = (int64_t)(KEPT_BYTES / bytes) > KEPT_BLOCKS ? (int64_t)(KEPT_BYTES / bytes) : KEPT_BLOCKS;
    ag__spare_push(spare, block);
    if (!__libc_single_threaded && spare->n > limit) shed(spare, list);
    spare->most = __libc_single_threaded ? spare->n + ASKED_EVERY : limit;
}

/* A thread without a state of its own takes bytes back: the count is everybody's. */
static void take_back_stateless(int64_t bytes)
{
    pthread_mutex_lock(&depot.lock);
    depot.allocated -= bytes;
    pthread_mutex_unlock(&depot.lock);
}

void ag__block_return(ag_thread *t, void *block, int size_class)
{
    size_t bytes = ag__class_bytes(size_class);
    ag_block_list *spare = &t->spare[size_class];
    if (caching && bytes <= SMALL_BYTES && !t->stateless) {
        keep(spare, block, bytes, &depot.batches[size_class]);
        return;
    }
    if (t->stateless)
        take_back_stateless((int64_t)bytes);
    else
        own(spare, -1, 0);
    if (!caching) {
        system_free(block, bytes);
        return;
    }
    *(void **)block = NULL;
    give_batch(&depot.batches[own_class(block, size_class)], block);
}

/* ---- objects ---- */
static void *loose_get(void)
{
    loose_object *o = system_block(sizeof *o + AG_OBJECT_BYTES);
    if (!o) return out_of_memory(AG_OBJECT_BYTES);
    memset(o + 1, 0, AG_OBJECT_BYTES); /* reads as one that is not alive */
    pthread_mutex_lock(&depot.lock);
    o->next = depot.loose;
    o->previous = ~(uintptr_t)0;
    if (~o->next) ((loose_object *)~o->next)->previous = ~(uintptr_t)o;
    depot.loose = ~(uintptr_t)o;
    pthread_mutex_unlock(&depot.lock);
    return o + 1;
}
static void loose_put(void *object)
{
    loose_object *o = (loose_object *)object - 1;
    pthread_mutex_lock(&depot.lock);
    if (~o->next) ((loose_object *)~o->next)->previous = o->previous;
    if (~o->previous)
        ((loose_object *)~o->previous)->next = o->next;
    else
        depot.loose = o->next;
    pthread_mutex_unlock(&depot.lock);
    system_free(o, sizeof *o + AG_OBJECT_BYTES);
}

void *ag__object_refill(ag_thread *t)
{
    ag_block_list *spare = &t->spare_objects;
    if (t->stateless) return NULL;
    if (!caching) {
        void *object = loose_get();
        if (object) own(spare, 1, 0);
        return object;
    }
    void *first = take_batch(&depot.object_batches);
    if (!first) first = cut_slab(&depot.object_slabs, AG_OBJECT_BYTES);
    if (!first) {
        ag_empty_cache();
        first = cut_slab(&depot.object_slabs, AG_OBJECT_BYTES);
    }
    if (!first) return out_of_memory(AG_OBJECT_BYTES);
    int64_t n = length_of(first);
    spare->first = next_block(first);
    own(spare, n, n - 1);
    return first;
}

void ag__object_return(ag_thread *t, void *object)
{
    if (caching && !t->stateless) {
        keep(&t->spare_objects, object, AG_OBJECT_BYTES, &depot.object_batches);
        return;
    }
    if (t->stateless)
        take_back_stateless(AG_OBJECT_BYTES);
    else
        own(&t->spare_objects, -1, 0);
    if (!caching) {
        loose_put(object);
        return;
    }
    *(void **)object = NULL;
    give_batch(&depot.object_batches, object);
}

void ag__objects_each(void (*visit)(void *object, void *user), void *user)
{
    pthread_mutex_lock(&depot.lock);
    for (slab *s = depot.object_slabs; s; s = s->next)
        for (size_t at = 64; at + s->block_bytes <= SLAB_BYTES; at += s->block_bytes) visit((char *)s + at, user);
    for (uintptr_t o = depot.loose; ~o; o = ((loose_object *)~o)->next) visit((loose_object *)~o + 1, user);
    pthread_mutex_unlock(&depot.lock);
}

/* ---- work space: a block that knows its class ---- */
void *ag__scratch(size_t bytes)
{
    if (bytes > SIZE_MAX / 2) return out_of_memory(bytes);
    int size_class = ag__size_class(bytes + 64);
    char *block = ag__block_get(ag__thread(), size_class);
    if (!block) return NULL;
    *(int *)(void *)block = size_class;
    return block + 64;
}
void ag__scratch_free(void *p)
{
    if (!p) return;
    char *block = (char *)p - 64;
    ag__block_put(ag__thread(), block, *(int *)(void *)block);
}

bool ag__grow(void **table, int64_t *max, int64_t n, size_t item)
{
    if (n <= *max) return true;
    int64_t wanted = *max ? 2 * *max : 64;
    if (wanted < n) wanted = n;
    void *larger = realloc(*table, (size_t)wanted * item);
    if (!larger) return ag__fail_memory("a table", (size_t)wanted * item);
    *table = larger;
    *max = wanted;
    return true;
}

/* ---- what the public sees ---- */
static int64_t out(const ag_block_list *spare)
{
    return __atomic_load_n(&spare->owned, __ATOMIC_RELAXED) - __atomic_load_n(&spare->n, __ATOMIC_RELAXED);
}
int64_t ag__thread_allocated(const ag_thread *t)
{
    int64_t bytes = AG_OBJECT_BYTES * out(&t->spare_objects);
    for (int c = 0; c < AG_N_SIZE_CLASSES; c++) bytes += out(&t->spare[c]) * (int64_t)ag__class_bytes(c);
    return bytes;
}
int64_t ag_memory_allocated(void)
{
    ag__thread(); /* makes sure that the set-up has run */
    pthread_mutex_lock(&depot.lock);
    int64_t sum = depot.allocated;
    for (ag_thread *t = depot.threads; t; t = t->next) sum += ag__thread_allocated(t);
    pthread_mutex_unlock(&depot.lock);
    return sum;
}
int64_t ag_memory_reserved(void) { return __atomic_load_n(&depot.reserved, __ATOMIC_RELAXED); }

void ag_empty_cache(void)
{
    for (int c = 0; c < AG_N_SIZE_CLASSES; c++) {
        size_t bytes = ag__class_bytes(c);
        if (bytes <= SMALL_BYTES) continue; /* part of a slab */
        for (void *block; (block = take_batch(&depot.batches[c]));) system_free(block, bytes);
    }
}
