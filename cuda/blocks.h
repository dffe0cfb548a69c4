/* blocks.h - pieces of device memory, in use and free, and the segments that they are cut from (blocks.c). All of it
 * under the lock of memory.c. */
#ifndef AG_CUDA_BLOCKS_H
#define AG_CUDA_BLOCKS_H
#include "cuda/runtime.h"

#define AG_MB ((int64_t)1 << 20)

struct ag__arena;

typedef struct ag__cuda_block {
    struct ag__cuda_block *left, *right; /* the neighbours in its segment */
    struct ag__cuda_block *next; /* of those in use at like addresses, of those that wait, or of spare records */
    struct ag__arena *arena;
    char *at;
    int64_t bytes;
    uint64_t used_on[2]; /* by which streams beside its own since it was handed out */
    int n_events;        /* freed, but so many streams may still use it */
    uint8_t stream;      /* in whose order it is used */
    bool free, small;
} ag__cuda_block;

/* Free blocks of one kind, by stream, then the smallest first. */
typedef struct ag__cuda_pool {
    ag__cuda_block **free;
    int64_t n, max, n_blocks; /* n_blocks: used and free */
} ag__cuda_pool;

/* Where blocks come from and go back to: the usual one of a device, or that of captured graphs. */
typedef struct ag__arena {
    struct ag__arena *next; /* of the device; the usual one is the first */
    const struct ag_cuda_mempool *of;
    ag__cuda_pool pool[2]; /* small and large blocks */
    ag_device_memory *memory;
    bool orphan; /* its graphs are gone */
} ag__arena;

bool ag__cuda_no_cache(void);
/* bytes: what ag__cuda_rounded gave. NULL where neither the arena nor the driver has them. */
int64_t ag__cuda_rounded(int64_t bytes);
ag__cuda_block *ag__cuda_take(ag__arena *a, int64_t bytes, uint8_t stream);
/* The block is free: it becomes one with its neighbours. */
void ag__cuda_settle(ag__cuda_block *b);
/* The block in use at this address; `forget`: it will not be. */
ag__cuda_block *ag__cuda_block_at(const char *at, bool forget);
/* Segments of which nothing is in use go back to the driver. */
void ag__cuda_release_segments(ag__arena *a);

#endif
