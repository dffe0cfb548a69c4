/* memory.c - device memory that is kept and handed out again (blocks.c), as PyTorch does it. A block belongs to the
 * stream that was current when it was made: what is asked of that stream later comes after what the block was used for,
 * so there it may be used again at once. What other streams use it for is told by record_stream; then it waits until
 * they are past the point where it was freed.
 *
 * While a graph is captured, blocks come from an arena of the graph's, which nobody else gets: its kernels write to the
 * same addresses at every replay.
 */
#include "cuda/blocks.h"
#include "tensor/thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef ag__cuda_block block;

struct ag_cuda_mempool {
    int users; /* graphs */
};

/* Reached when a stream is past its use of the block. */
typedef struct mark {
    struct mark *next;
    cudaEvent_t event;
    block *of;
} mark;

static struct {
    ag__arena usual;
    ag_device_memory memory;
    mark *marks;     /* the oldest first */
    block *deferred; /* freed while a graph was captured: they get their marks afterwards */
} devices[AG_CUDA_DEVICES];
static int captures; /* under way */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* ---- blocks that other streams use ---- */

static bool mark_stream(block *b, int device, cudaStream_t stream)
{
    mark *m = malloc(sizeof *m);
    if (!m) return false;
    m->next = NULL;
    m->of = b;
    if (cudaEventCreateWithFlags(&m->event, cudaEventDisableTiming) != cudaSuccess) {
        free(m);
        return false;
    }
    mark **end = &devices[device].marks;
    while (*end) end = &(*end)->next;
    *end = m;
    b->n_events++;
    return cudaEventRecord(m->event, stream) == cudaSuccess;
}
/* The streams that use b get their marks; where that cannot be, all is waited for. No errors: whoever frees cannot
 * have one. */
static void mark_streams(int device, block *b)
{
    int now = 0;
    cudaGetDevice(&now);
    bool ok = cudaSetDevice(device) == cudaSuccess;
    for (int id = 0; id < AG_CUDA_STREAMS; id++) {
        if (!(b->used_on[id / 64] >> id % 64 & 1)) continue;
        cudaStream_t stream = ag__cuda_started(device, id);
        if (stream) ok = mark_stream(b, device, stream) && ok;
    }
    if (!ok) cudaDeviceSynchronize();
    cudaSetDevice(now);
    cudaGetLastError();
    if (!b->n_events) ag__cuda_settle(b);
}

/* Blocks whose streams are past their use become free. wait: until they are. */
static void look_at_marks(int device, bool wait)
{
    if (ag__cuda_is_captured()) return; /* a question would spoil the capture */
    for (block *b = devices[device].deferred; b; b = devices[device].deferred) {
        devices[device].deferred = b->next;
        mark_streams(device, b);
    }
    for (mark **link = &devices[device].marks; *link;) {
        mark *m = *link;
        const cudaError_t e = wait ? cudaEventSynchronize(m->event) : cudaEventQuery(m->event);
        if (e == cudaErrorNotReady) {
            cudaGetLastError();
            link = &m->next;
            continue;
        }
        if (e != cudaSuccess) cudaGetLastError();
        cudaEventDestroy(m->event);
        if (!--m->of->n_events) ag__cuda_settle(m->of);
        *link = m->next;
        free(m);
    }
}

void ag__cuda_record_stream(void *data, ag_cuda_stream stream)
{
    pthread_mutex_lock(&mutex);
    block *b = ag__cuda_block_at(data, false);
    if (b && b->stream != stream.id) b->used_on[stream.id / 64] |= (uint64_t)1 << stream.id % 64;
    pthread_mutex_unlock(&mutex);
}

/* ---- arenas ---- */

/* The calling thread's: that of the graph that it captures, made when it is first needed. */
static ag__arena *arena_of(int device)
{
    ag__arena *usual = &devices[device].usual;
    const ag_cuda_mempool *of = ag__cuda_host->thread()->cuda_mempool;
    usual->memory = &devices[device].memory;
    for (ag__arena *a = usual; a; a = a->next)
        if (a->of == of && !a->orphan) return a;
    ag__arena *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    a->of = of;
    a->memory = usual->memory;
    a->next = usual->next;
    return usual->next = a;
}

/* What nobody uses goes back to the driver: what graphs left behind, and the rest. */
static void release_free(int device, bool all)
{
    for (ag__arena *a = &devices[device].usual, *next, *before = NULL; a; a = next) {
        next = a->next;
        if (a->orphan || (all && !a->of)) ag__cuda_release_segments(a);
        if (a->orphan && !a->pool[0].n_blocks && !a->pool[1].n_blocks) {
            before->next = next;
            free(a->pool[0].free);
            free(a->pool[1].free);
            free(a);
        } else {
            before = a;
        }
    }
}

ag_cuda_mempool *ag__cuda_mempool_new(void)
{
    ag_cuda_mempool *m = calloc(1, sizeof *m);
    if (!m) return ag__cuda_host->fail_memory("the memory of a graph", sizeof *m);
    m->users = 1;
    return m;
}
ag_cuda_mempool *ag__cuda_mempool_share(ag_cuda_mempool *m)
{
    __atomic_add_fetch(&m->users, 1, __ATOMIC_RELAXED);
    return m;
}
void ag__cuda_mempool_drop(ag_cuda_mempool *m)
{
    int now = 0;
    if (!m || __atomic_sub_fetch(&m->users, 1, __ATOMIC_ACQ_REL)) return;
    cudaGetDevice(&now);
    pthread_mutex_lock(&mutex);
    for (int device = 0; device < AG_CUDA_DEVICES; device++) {
        bool any = false;
        for (ag__arena *a = devices[device].usual.next; a; a = a->next)
            if (a->of == m) any = a->orphan = true;
        if (any && cudaSetDevice(device) == cudaSuccess) release_free(device, false);
    }
    pthread_mutex_unlock(&mutex);
    cudaSetDevice(now);
    free(m);
}

void ag__cuda_captures(int more) { __atomic_add_fetch(&captures, more, __ATOMIC_SEQ_CST); }
bool ag__cuda_is_captured(void) { return __atomic_load_n(&captures, __ATOMIC_SEQ_CST) > 0; }

/* ---- what the table offers ---- */

static block *take(int device, int64_t bytes, uint8_t stream)
{
    ag__arena *a = arena_of(device);
    block *b = a ? ag__cuda_take(a, bytes, stream) : NULL;
    if (b || !a) return b;
    if (!ag__cuda_is_captured()) cudaDeviceSynchronize(); /* what is kept goes back first */
    cudaGetLastError();
    look_at_marks(device, true);
    release_free(device, true);
    return ag__cuda_take(a, bytes, stream);
}

static void *alloc_locked(ag_cuda_stream stream, int64_t bytes)
{
    ag_device_memory *m = &devices[stream.device.index].memory;
    look_at_marks(stream.device.index, false);
    block *b = take(stream.device.index, bytes, (uint8_t)stream.id);
    if (!b) return NULL;
    b->used_on[0] = b->used_on[1] = 0;
    m->allocated += b->bytes;
    if (m->allocated > m->max_allocated) m->max_allocated = m->allocated;
    return b->at;
}

void *ag__cuda_alloc(ag_device device, int64_t bytes)
{
    cudaStream_t handle;
    if (bytes <= 0) return NULL;
    if (bytes > INT64_MAX - 2 * AG_MB) return ag__cuda_host->fail_memory("a storage on a device", (size_t)bytes);
    if (!ag__cuda_use("alloc", device, &handle)) return NULL;
    pthread_mutex_lock(&mutex);
    void *data = alloc_locked(ag__cuda_current(device), ag__cuda_rounded(bytes));
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
    block *b = ag__cuda_block_at(data, true);
    if (b) {
        devices[device.index].memory.allocated -= b->bytes;
        if (!b->used_on[0] && !b->used_on[1]) {
            ag__cuda_settle(b);
        } else if (ag__cuda_is_captured()) {
            b->next = devices[device.index].deferred;
            devices[device.index].deferred = b;
        } else {
            mark_streams(device.index, b);
        }
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
    for (int device = 0; device < n && device < AG_CUDA_DEVICES; device++) {
        if (devices[device].memory.reserved == 0 || cudaSetDevice(device) != cudaSuccess) continue;
        look_at_marks(device, true);
        release_free(device, true);
    }
    pthread_mutex_unlock(&mutex);
    cudaSetDevice(now);
    ag__cuda_pinned_release();
}
