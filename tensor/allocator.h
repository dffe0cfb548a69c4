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

/* A block of that class, aligned to 64 bytes; NULL with AG_ENOMEM standing when memory is out. */
void *ag__block_get(ag_thread *t, int size_class);
void ag__block_put(ag_thread *t, void *block, int size_class);

/* Work space for a kernel; it remembers its own size. Take it before a parallel region, in the calling thread. */
void *ag__scratch(size_t bytes);
void ag__scratch_free(void *p);

/* realloc for tables that grow: *table gets room for at least n items of `item` bytes. What stood there stays; false
 * with AG_ENOMEM. */
bool ag__grow(void **table, int64_t *max, int64_t n, size_t item);

/* Blocks of one size that can be listed: Variables, so that ag_leaks() can find the living ones. */
enum { AG_OBJECT_BYTES = 256 };
void *ag__object_get(ag_thread *t);
void ag__object_put(ag_thread *t, void *object);
/* Every object block there is, living and spare, under the allocator's lock. */
void ag__objects_each(void (*visit)(void *object, void *user), void *user);

#endif
