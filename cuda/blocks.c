/* blocks.c - pieces of device memory and the segments they are cut from, by PyTorch's policy: sizes are multiples of
 * 512 bytes; what takes a megabyte or less comes from segments of 2 MB, what takes less than 10 MB from segments of
 * 20 MB, the rest has segments of its own; the smallest free block that is large enough is taken and cut, and
 * neighbours that are free become one. All blocks of a segment are of one stream.
 *
 * AG_CUDA_NO_CACHE=1 in the environment gives every block memory of its own and frees it at once, so that memory
 * checkers see its bounds.
 */
#include "cuda/blocks.h"

#include <stdlib.h>
#include <string.h>

enum { ROUND = 512, N_BUCKETS = 4096 };

typedef ag__cuda_block block;
typedef ag__cuda_pool pool;

static block *bucket[N_BUCKETS]; /* blocks in use, by address */
static block *spare;

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
block *ag__cuda_block_at(const char *at, bool forget)
{
    for (block **link = bucket_of(at); *link; link = &(*link)->next)
        if ((*link)->at == at) {
            block *b = *link;
            if (forget) *link = b->next;
            return b;
        }
    return NULL;
}

/* ---- free blocks ---- */

static pool *pool_of(const block *b) { return &b->arena->pool[!b->small]; }

/* Where a block of these stands, or would. */
static int64_t place_of(const pool *p, uint8_t stream, int64_t bytes, const char *at)
{
    int64_t low = 0, high = p->n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        const block *b = p->free[middle];
        if (b->stream != stream ? b->stream < stream
                                : b->bytes < bytes || (b->bytes == bytes && (uintptr_t)b->at < (uintptr_t)at))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
/* There is room: reserve() made it. */
static void enter_free(block *b)
{
    pool *p = pool_of(b);
    int64_t place = place_of(p, b->stream, b->bytes, b->at);
    memmove(p->free + place + 1, p->free + place, (size_t)(p->n++ - place) * sizeof *p->free);
    p->free[place] = b;
    b->free = true;
}
static void remove_free(const block *b)
{
    pool *p = pool_of(b);
    int64_t place = place_of(p, b->stream, b->bytes, b->at);
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

/* ---- segments ---- */

bool ag__cuda_no_cache(void)
{
    static int off = -1;
    if (off < 0) {
        const char *text = getenv("AG_CUDA_NO_CACHE");
        off = text && *text && strcmp(text, "0") != 0;
    }
    return off;
}

int64_t ag__cuda_rounded(int64_t bytes) { return ag__cuda_no_cache() ? bytes : (bytes + ROUND - 1) / ROUND * ROUND; }
static int64_t segment_bytes(int64_t bytes)
{
    if (ag__cuda_no_cache()) return bytes;
    if (bytes <= AG_MB) return 2 * AG_MB;
    if (bytes < 10 * AG_MB) return 20 * AG_MB;
    return (bytes + 2 * AG_MB - 1) / (2 * AG_MB) * (2 * AG_MB);
}

/* What the driver gives and takes is not part of a graph that is being captured. */
static void *driver_alloc(int64_t bytes)
{
    void *at = NULL;
    enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    cudaThreadExchangeStreamCaptureMode(&mode);
    const cudaError_t e = cudaMalloc(&at, (size_t)bytes);
    cudaThreadExchangeStreamCaptureMode(&mode);
    if (e == cudaSuccess) return at;
    cudaGetLastError();
    return NULL;
}
static void driver_free(void *at)
{
    enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    cudaThreadExchangeStreamCaptureMode(&mode);
    cudaFree(at);
    cudaThreadExchangeStreamCaptureMode(&mode);
}

/* b is a whole segment that nobody uses, and in no list. */
static void release_segment(block *b)
{
    driver_free(b->at);
    b->arena->memory->reserved -= b->bytes;
    pool_of(b)->n_blocks--;
    record_drop(b);
}
void ag__cuda_release_segments(ag__arena *a)
{
    for (int k = 0; k < 2; k++)
        for (int64_t i = a->pool[k].n - 1; i >= 0; i--) {
            block *b = a->pool[k].free[i];
            if (b->left || b->right) continue;
            remove_free(b);
            release_segment(b);
        }
}

static block *new_segment(ag__arena *a, int64_t bytes, uint8_t stream)
{
    const bool small = bytes <= AG_MB;
    pool *p = &a->pool[!small];
    const int64_t size = segment_bytes(bytes);
    void *at = reserve(p, p->n_blocks + 2) ? driver_alloc(size) : NULL;
    block *b = at ? record_new() : NULL;
    if (!b) {
        if (at) driver_free(at);
        return NULL;
    }
    b->arena = a;
    b->at = at;
    b->bytes = size;
    b->small = small;
    b->stream = stream;
    p->n_blocks++;
    a->memory->reserved += size;
    if (a->memory->reserved > a->memory->max_reserved) a->memory->max_reserved = a->memory->reserved;
    return b;
}

/* What b has beyond `bytes` becomes a free block, where that is worth it. */
static void cut(block *b, int64_t bytes)
{
    int64_t rest = b->bytes - bytes;
    pool *p = pool_of(b);
    if (ag__cuda_no_cache() || (b->small ? rest < ROUND : rest <= AG_MB)) return;
    if (!reserve(p, p->n_blocks + 2)) return;
    block *r = record_new();
    if (!r) return;
    r->arena = b->arena;
    r->at = b->at + bytes;
    r->bytes = rest;
    r->small = b->small;
    r->stream = b->stream;
    r->left = b;
    r->right = b->right;
    if (b->right) b->right->left = r;
    b->right = r;
    b->bytes = bytes;
    p->n_blocks++;
    enter_free(r);
}

block *ag__cuda_take(ag__arena *a, int64_t bytes, uint8_t stream)
{
    const pool *p = &a->pool[bytes > AG_MB];
    int64_t place = place_of(p, stream, bytes, NULL);
    block *b = place < p->n && p->free[place]->stream == stream ? p->free[place] : NULL;
    if (b)
        remove_free(b);
    else
        b = new_segment(a, bytes, stream);
    if (!b) return NULL;
    cut(b, bytes);
    enter_used(b);
    return b;
}

/* left and its right neighbour become one. */
static block *join(block *left)
{
    block *right = left->right;
    left->bytes += right->bytes;
    left->right = right->right;
    if (left->right) left->right->left = left;
    pool_of(left)->n_blocks--;
    record_drop(right);
    return left;
}
void ag__cuda_settle(block *b)
{
    if (b->right && b->right->free) {
        remove_free(b->right);
        join(b);
    }
    if (b->left && b->left->free) {
        remove_free(b->left);
        b = join(b->left);
    }
    if (ag__cuda_no_cache() && (!b->arena->of || b->arena->orphan))
        release_segment(b);
    else
        enter_free(b);
}
