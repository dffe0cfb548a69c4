/* allocator.h - blocks of memory by size class, for the library's own code. The public part is memory.h. */
#ifndef AG_ALLOCATOR_H
#define AG_ALLOCATOR_H
#include "tensor/fail.h"
#include "tensor/thread.h"

/* Sizes are multiples of 64: 64, 128, ... 512, then four steps to each doubling: at most a quarter is wasted. */
static inline int ag__size_class(size_t bytes)
{
    size_t m = bytes ? (bytes - 1) / 64 : 0;
    if (m < 8) return (int)m;
    int shift = 61 - __builtin_clzll(m); /* floor(log2(m)) - 2 */
    return 4 * shift + (int)(m >> shift);
}
static inline size_t ag__class_bytes(int size_class)
{
    if (size_class < 8) return (size_t)(size_class + 1) * 64;
    int shift = size_class / 4 - 1;
    return ((size_t)(size_class % 4) + 5) << (shift + 6);
}

/* The slow halves: nothing is spare, or not to be kept as it comes. */
void *ag__block_refill(ag_thread *t, int size_class);
void ag__block_return(ag_thread *t, void *block, int size_class);
void *ag__object_refill(ag_thread *t);
void ag__object_return(ag_thread *t, void *object);

/* By the thread itself; others may look. */
static inline void ag__spare_count(ag_block_list *spare, int64_t n)
{
    __atomic_store_n(&spare->n, n, __ATOMIC_RELAXED);
}
static inline void *ag__spare_pop(ag_block_list *spare)
{
    void *block = spare->first;
    spare->first = *(void **)block;
    ag__spare_count(spare, spare->n - 1);
    return block;
}
static inline void ag__spare_push(ag_block_list *spare, void *block)
{
    *(void **)block = spare->first;
    spare->first = block;
    ag__spare_count(spare, spare->n + 1);
}

/* A block of that class, aligned to 64 bytes; NULL with AG_ENOMEM standing when memory is out. */
static inline void *ag__block_get(ag_thread *t, int size_class)
{
    bool spare = __builtin_expect(size_class < AG_N_SIZE_CLASSES && t->spare[size_class].first, 1);
    return spare ? ag__spare_pop(&t->spare[size_class]) : ag__block_refill(t, size_class);
}
static inline void ag__block_put(ag_thread *t, void *block, int size_class)
{
    ag_block_list *spare = &t->spare[size_class];
    if (__builtin_expect(spare->n < spare->most, 1))
        ag__spare_push(spare, block);
    else
        ag__block_return(t, block, size_class);
}

/* Work space for a kernel; it remembers its own size. Take it before a parallel region, in the calling thread. */
void *ag__scratch(size_t bytes);
void ag__scratch_free(void *p);

/* realloc for tables that grow: *table gets room for at least n items of `item` bytes. What stood there stays; false
 * with AG_ENOMEM. */
bool ag__grow(void **table, int64_t *max, int64_t n, size_t item);

/* Blocks of one size that can be listed: Variables, so that ag_leaks() can find the living ones. */
enum { AG_OBJECT_BYTES = 256 };
static inline void *ag__object_get(ag_thread *t)
{
    return __builtin_expect(t->spare_objects.first != NULL, 1) ? ag__spare_pop(&t->spare_objects)
                                                               : ag__object_refill(t);
}
static inline void ag__object_put(ag_thread *t, void *object)
{
    if (__builtin_expect(t->spare_objects.n < t->spare_objects.most, 1))
        ag__spare_push(&t->spare_objects, object);
    else
        ag__object_return(t, object);
}
/* Bytes that the thread has handed out, less those that it took back. */
int64_t ag__thread_allocated(const ag_thread *t);
/* Every object block there is, living and spare, under the allocator's lock. */
void ag__objects_each(void (*visit)(void *object, void *user), void *user);

#endif
