/* memory.c - device memory that is kept and handed out again, by PyTorch's policy: sizes are multiples of 512 bytes;
 * what takes a megabyte or less comes from segments of 2 MB, what takes less than 10 MB from segments of 20 MB, the
 * rest has segments of its own; the smallest free block that is large enough is taken and cut, and neighbours that are
 * free become one. As all that is asked of a device is done in one order, a block may be used again at once.
 *
 * AG_CUDA_NO_CACHE=1 in the environment gives every block memory of its own and frees it at once, so that memory
 * checkers see its bounds.
 */
#include "cuda/runtime.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MB ((int64_t)1 << 20)
enum { ROUND = 512, N_POOLS = 2, MOST_DEVICES = 64, N_BUCKETS = 4096 };

typedef struct block {
    struct block *left, *right; /* the neighbours in its segment */
    struct block *next;         /* in its bucket, or of spare records */
    char *at;
    int64_t bytes;
    bool free, small;
} block;

/* Free blocks of a device and pool, the smallest first. */
typedef struct pool {
    block **free;
    int64_t n, max;
} pool;

static struct {
    pool pool[N_POOLS];
    ag_device_memory memory;
} devices[MOST_DEVICES];
static block *bucket[N_BUCKETS]; /* blocks in use, by address */
static block *spare;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* ---- records ---- */

static block *record_new(void)
{
    block *b = spare;
    if (b)
        spare = b->next;
    else
        b = malloc(sizeof *b);
    if (b) memset(b, 0, sizeof *b);
    return b;
}
static void record_drop(block *b)
{
    b->next = spare;
    spare = b;
}

static block **bucket_of(const char *at) { return &bucket[((uintptr_t)at / ROUND) % N_BUCKETS]; }
static void enter_used(block *b)
{
    block **list = bucket_of(b->at);
    b->free = false;
    b->next = *list;
    *list = b;
}
static block *take_used(const char *at)
{
    for (block **link = bucket_of(at); *link; link = &(*link)->next)
        if ((*link)->at == at) {
            block *b = *link;
            *link = b->next;
            return b;
        }
    return NULL;
}

/* ---- free blocks ---- */

/* Where b stands, or would. */
static int64_t place_of(const pool *p, int64_t bytes, const char *at)
{
    int64_t low = 0, high = p->n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        const block *b = p->free[middle];
        if (b->bytes < bytes || (b->bytes == bytes && (uintptr_t)b->at < (uintptr_t)at))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
/* There is room: reserve() made it. */
static void enter_free(pool *p, block *b)
{
    int64_t place = place_of(p, b->bytes, b->at);
    memmove(p->free + place + 1, p->free + place, (size_t)(p->n++ - place) * sizeof *p->free);
    p->free[place] = b;
    b->free = true;
}
static void remove_free(pool *p, const block *b)
{
    int64_t place = place_of(p, b->bytes, b->at);
    memmove(p->free + place, p->free + place + 1, (size_t)(--p->n - place) * sizeof *p->free);
}
/* As many free blocks as there may ever be at once: blocks in all. Freeing cannot fail then. */
static bool reserve(pool *p, int64_t n)
{
    if (n <= p->max) return true;
    int64_t max = n + 64;
    block **list = realloc(p->free, (size_t)max * sizeof *list);
    if (!list) return false;
    p->free = list;
    p->max = max;
    return true;
}
static int64_t n_blocks[MOST_DEVICES][N_POOLS]; /* used and free */

/* ---- segments ---- */

static bool no_cache(void)
{
    static int off = -1;
    if (off < 0) {
        const char *text = getenv("AG_CUDA_NO_CACHE");
        off = text && *text && strcmp(text, "0") != 0;
    }
    return off;
}

static int64_t segment_bytes(int64_t bytes)
{
    if (no_cache()) return bytes;
    if (bytes <= MB) return 2 * MB;
    if (bytes < 10 * MB) return 20 * MB;
    return (bytes + 2 * MB - 1) / (2 * MB) * (2 * MB);
}

/* b is a whole segment that nobody uses, and in no list. */
static void release_segment(int device, block *b)
{
    cudaFree(b->at);
    devices[device].memory.reserved -= b->bytes;
    n_blocks[device][!b->small]--;
    record_drop(b);
}
static void release_free(int device)
{
    for (int k = 0; k < N_POOLS; k++) {
        pool *p = &devices[device].pool[k];
        for (int64_t i = p->n - 1; i >= 0; i--) {
            block *b = p->free[i];
            if (b->left || b->right) continue;
            remove_free(p, b);
            release_segment(device, b);
        }
    }
}

static block *new_segment(int device, int64_t bytes, bool small)
{
    ag_device_memory *m = &devices[device].memory;
    void *at = NULL;
    int64_t size = segment_bytes(bytes);
    if (!reserve(&devices[device].pool[!small], n_blocks[device][!small] + 2)) return NULL;
    cudaError_t e = cudaMalloc(&at, (size_t)size);
    if (e != cudaSuccess) { /* what is kept goes back first */
        cudaGetLastError();
        cudaDeviceSynchronize();
        cudaGetLastError();
        release_free(device);
        e = cudaMalloc(&at, (size_t)size);
        if (e != cudaSuccess) cudaGetLastError();
    }
    block *b = e == cudaSuccess ? record_new() : NULL;
    if (!b) {
        if (e == cudaSuccess) cudaFree(at);
        return NULL;
    }
    b->at = at;
    b->bytes = size;
    b->small = small;
    n_blocks[device][!small]++;
    m->reserved += size;
    if (m->reserved > m->max_reserved) m->max_reserved = m->reserved;
    return b;
}

/* What b has beyond `bytes` becomes a free block, where that is worth it. */
static void cut(int device, block *b, int64_t bytes)
{
    int64_t rest = b->bytes - bytes;
    pool *p = &devices[device].pool[!b->small];
    if (no_cache() || (b->small ? rest < ROUND : rest <= MB)) return;
    if (!reserve(p, n_blocks[device][!b->small] + 2)) return;
    block *r = record_new();
    if (!r) return;
    r->at = b->at + bytes;
    r->bytes = rest;
    r->small = b->small;
    r->left = b;
    r->right = b->right;
    if (b->right) b->right->left = r;
    b->right = r;
    b->bytes = bytes;
    n_blocks[device][!b->small]++;
    enter_free(p, r);
}

/* ---- what the table offers ---- */

static int64_t rounded(int64_t bytes) { return no_cache() ? bytes : (bytes + ROUND - 1) / ROUND * ROUND; }

static void *alloc_locked(int device, int64_t bytes)
{
    ag_device_memory *m = &devices[device].memory;
    bool small = bytes <= MB;
    pool *p = &devices[device].pool[!small];
    int64_t place = place_of(p, bytes, NULL);
    block *b = place < p->n ? p->free[place] : NULL;
    if (b)
        remove_free(p, b);
    else
        b = new_segment(device, bytes, small);
    if (!b) return NULL;
    cut(device, b, bytes);
    enter_used(b);
    m->allocated += b->bytes;
    if (m->allocated > m->max_allocated) m->max_allocated = m->allocated;
    return b->at;
}

void *ag__cuda_alloc(ag_device device, int64_t bytes)
{
    cudaStream_t stream;
    if (bytes <= 0) return NULL;
    if (bytes > INT64_MAX - 2 * MB) return ag__cuda_host->fail_memory("a storage on a device", (size_t)bytes);
    if (!ag__cuda_use("alloc", device, &stream)) return NULL;
    pthread_mutex_lock(&mutex);
    void *data = alloc_locked(device.index, rounded(bytes));
    ag_device_memory m = devices[device.index].memory;
    pthread_mutex_unlock(&mutex);
    if (data) return data;
    return ag__cuda_host->fail(
        AG_ENOMEM,
        "CUDA out of memory: cuda:%d has no %lld bytes left; living Variables have %lld bytes there, "
        "and the library keeps %lld more",
        device.index, (long long)bytes, (long long)m.allocated, (long long)(m.reserved - m.allocated));
}

void ag__cuda_free(ag_device device, void *data, int64_t bytes)
{
    (void)bytes;
    if (!data) return;
    pthread_mutex_lock(&mutex);
    block *b = take_used(data);
    if (b) {
        pool *p = &devices[device.index].pool[!b->small];
        devices[device.index].memory.allocated -= b->bytes;
        block *left = b->left, *right = b->right;
        if (right && right->free) {
            remove_free(p, right);
            b->bytes += right->bytes;
            b->right = right->right;
            if (b->right) b->right->left = b;
            n_blocks[device.index][!b->small]--;
            record_drop(right);
        }
        if (left && left->free) {
            remove_free(p, left);
            left->bytes += b->bytes;
            left->right = b->right;
            if (left->right) left->right->left = left;
            n_blocks[device.index][!b->small]--;
            record_drop(b);
            b = left;
        }
        if (no_cache())
            release_segment(device.index, b);
        else
            enter_free(p, b);
    }
    pthread_mutex_unlock(&mutex);
}

bool ag__cuda_memory(ag_device device, ag_device_memory *memory)
{
    pthread_mutex_lock(&mutex);
    *memory = devices[device.index].memory;
    pthread_mutex_unlock(&mutex);
    return true;
}

void ag__cuda_reset_peak(ag_device device)
{
    pthread_mutex_lock(&mutex);
    ag_device_memory *m = &devices[device.index].memory;
    m->max_allocated = m->allocated;
    m->max_reserved = m->reserved;
    pthread_mutex_unlock(&mutex);
}

void ag__cuda_empty_cache(void)
{
    int n = 0, now = 0;
    if (cudaGetDeviceCount(&n) != cudaSuccess || cudaGetDevice(&now) != cudaSuccess) return;
    pthread_mutex_lock(&mutex);
    for (int device = 0; device < n && device < MOST_DEVICES; device++) {
        if (devices[device].memory.reserved == 0 || cudaSetDevice(device) != cudaSuccess) continue;
        release_free(device);
    }
    pthread_mutex_unlock(&mutex);
    cudaSetDevice(now);
}
