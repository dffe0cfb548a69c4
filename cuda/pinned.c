/* pinned.c - pinned host memory, kept and handed out again as PyTorch does it: sizes are powers of two, and a block
 * that was let go of waits until the copies that were asked for are done. */
#include "cuda/runtime.h"

#include <pthread.h>
#include <stdlib.h>

enum { N_SIZES = 48, SMALLEST = 9 };

/* The last copy of a stream from or to the block. */
typedef struct use {
    struct use *next;
    cudaStream_t stream;
    cudaEvent_t event;
} use;

typedef struct block {
    struct block *next;
    void *at;
    use *uses;
    int size; /* 1 << size bytes */
} block;

static block *spare[N_SIZES], *waiting;
static int64_t waiting_bytes;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void end_uses(block *b)
{
    while (b->uses) {
        use *u = b->uses;
        b->uses = u->next;
        cudaEventDestroy(u->event);
        free(u);
    }
}
static bool is_over(const block *b)
{
    for (const use *u = b->uses; u; u = u->next)
        if (cudaEventQuery(u->event) == cudaErrorNotReady) {
            cudaGetLastError();
            return false;
        }
    return true;
}
static void keep(block *b)
{
    end_uses(b);
    b->next = spare[b->size];
    spare[b->size] = b;
}
static void look_at_waiting(void)
{
    if (ag__cuda_is_captured()) return; /* a question would spoil the capture */
    for (block **link = &waiting; *link;) {
        block *b = *link;
        if (!is_over(b)) {
            link = &b->next;
            continue;
        }
        *link = b->next;
        waiting_bytes -= (int64_t)1 << b->size;
        keep(b);
    }
}

static block *new_block(int size)
{
    block *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    b->size = size;
    enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    cudaThreadExchangeStreamCaptureMode(&mode);
    const cudaError_t e = cudaHostAlloc(&b->at, (size_t)1 << size, cudaHostAllocPortable);
    cudaThreadExchangeStreamCaptureMode(&mode);
    if (e == cudaSuccess) return b;
    cudaGetLastError();
    free(b);
    return NULL;
}

static block *take(int64_t bytes, int64_t most_waiting)
{
    int size = SMALLEST;
    while (size < N_SIZES && (int64_t)1 << size < bytes) size++;
    if (size == N_SIZES) return NULL;
    pthread_mutex_lock(&mutex);
    look_at_waiting();
    const bool many = waiting_bytes > most_waiting;
    block *b = many ? NULL : spare[size];
    if (b) spare[size] = b->next;
    pthread_mutex_unlock(&mutex);
    return b || many ? b : new_block(size);
}

void *ag__cuda_pinned_new(int64_t bytes, void **data)
{
    block *b = take(bytes, INT64_MAX);
    if (!b) return ag__cuda_host->fail_memory("pinned memory", (size_t)bytes);
    *data = b->at;
    return b;
}
void *ag__cuda_staging_new(int64_t bytes, void **data)
{
    block *b = take(bytes, AG_CUDA_STAGED);
    if (b) *data = b->at;
    return b;
}

void ag__cuda_pinned_free(void *block_)
{
    block *b = block_;
    pthread_mutex_lock(&mutex);
    b->next = waiting;
    waiting = b;
    waiting_bytes += (int64_t)1 << b->size;
    look_at_waiting();
    pthread_mutex_unlock(&mutex);
}

bool ag__cuda_pinned_use(const char *op, void *block_, cudaStream_t stream)
{
    block *b = block_;
    if (ag__cuda_host->thread()->cuda_mempool) return true; /* captured: it must stay as long as the graph */
    pthread_mutex_lock(&mutex);
    use *u = b->uses;
    cudaError_t e = cudaSuccess;
    while (u && u->stream != stream) u = u->next;
    if (!u && (u = calloc(1, sizeof *u))) {
        e = cudaEventCreateWithFlags(&u->event, cudaEventDisableTiming);
        if (e == cudaSuccess) {
            u->stream = stream;
            u->next = b->uses;
            b->uses = u;
        } else {
            free(u);
            u = NULL;
        }
    }
    e = u ? cudaEventRecord(u->event, stream) : cudaStreamSynchronize(stream); /* else it is over now */
    pthread_mutex_unlock(&mutex);
    return ag__cuda_ok(op, e);
}

void ag__cuda_pinned_release(void)
{
    enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    cudaThreadExchangeStreamCaptureMode(&mode);
    pthread_mutex_lock(&mutex);
    look_at_waiting();
    for (int size = 0; size < N_SIZES; size++)
        for (block *b = spare[size]; b; b = spare[size]) {
            spare[size] = b->next;
            cudaFreeHost(b->at);
            free(b);
        }
    pthread_mutex_unlock(&mutex);
    cudaThreadExchangeStreamCaptureMode(&mode);
}
