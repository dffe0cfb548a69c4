/* stream.c - devices, streams and events. */
#include "cuda/runtime.h"
#include "tensor/thread.h"

#include <math.h>
#include <pthread.h>

static cudaStream_t streams[AG_CUDA_DEVICES][AG_CUDA_STREAMS]; /* made when they are first used */
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

/* ---- which device, which stream ---- */

static bool use_device(const char *op, int device)
{
    int now = -1;
    if (cudaGetDevice(&now) == cudaSuccess && now == device) return true;
    return ag__cuda_ok(op, cudaSetDevice(device));
}

static bool start_stream(const char *op, int device, int id)
{
    pthread_mutex_lock(&starting);
    cudaError_t e = cudaSuccess;
    if (!streams[device][id]) {
        cudaStream_t stream;
        e = cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, id > AG_CUDA_POOL ? -1 : 0);
        if (e == cudaSuccess) __atomic_store_n(&streams[device][id], stream, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&starting);
    return ag__cuda_ok(op, e);
}

bool ag__cuda_use_stream(const char *op, ag_cuda_stream stream, cudaStream_t *handle)
{
    const int device = stream.device.index, id = stream.id;
    if (!use_device(op, device)) return false;
    *handle = __atomic_load_n(&streams[device][id], __ATOMIC_ACQUIRE);
    if (*handle) return true;
    if (!start_stream(op, device, id)) return false;
    *handle = streams[device][id];
    return true;
}

cudaStream_t ag__cuda_started(int device, int id) { return __atomic_load_n(&streams[device][id], __ATOMIC_ACQUIRE); }

ag_cuda_stream ag__cuda_current(ag_device device)
{
    return (ag_cuda_stream){ device, ag__cuda_host->thread()->cuda_stream[device.index] };
}

bool ag__cuda_use(const char *op, ag_device device, cudaStream_t *stream)
{
    return ag__cuda_use_stream(op, ag__cuda_current(device), stream);
}

/* ---- waiting ---- */

/* All streams of the device. */
bool ag__cuda_synchronize(ag_device device)
{
    return ag__cuda_may_wait("synchronize") && use_device("synchronize", device.index) &&
           ag__cuda_waited("synchronize", cudaDeviceSynchronize());
}

static bool stream_synchronize(ag_cuda_stream stream)
{
    cudaStream_t handle;
    return ag__cuda_use_stream("cuda_stream_synchronize", stream, &handle) &&
           ag__cuda_wait("cuda_stream_synchronize", handle);
}

/* Whether it is done: "not yet" is no error. */
static bool answer(const char *op, cudaError_t e)
{
    if (e != cudaErrorNotReady) return ag__cuda_waited(op, e);
    cudaGetLastError();
    return false;
}
static bool stream_query(ag_cuda_stream stream)
{
    cudaStream_t handle;
    return ag__cuda_may_wait("cuda_stream_query") && ag__cuda_use_stream("cuda_stream_query", stream, &handle) &&
           answer("cuda_stream_query", cudaStreamQuery(handle));
}

static void *stream_handle(ag_cuda_stream stream)
{
    cudaStream_t handle;
    return ag__cuda_use_stream("cuda_stream_handle", stream, &handle) ? handle : NULL;
}

/* A wait for an event that is not needed afterwards. */
bool ag__cuda_stream_wait(const char *op, ag_cuda_stream stream, ag_cuda_stream other)
{
    cudaStream_t first, then;
    cudaEvent_t event;
    if (stream.id == other.id && stream.device.index == other.device.index) return true;
    if (!ag__cuda_use_stream(op, other, &first)) return false;
    cudaError_t e = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    if (e != cudaSuccess) return ag__cuda_ok(op, e);
    e = cudaEventRecord(event, first);
    bool ok = ag__cuda_ok(op, e) && ag__cuda_use_stream(op, stream, &then) &&
              ag__cuda_ok(op, cudaStreamWaitEvent(then, event, 0));
    cudaEventDestroy(event); /* it goes when it is over */
    return ok;
}
static bool stream_wait(ag_cuda_stream stream, ag_cuda_stream other)
{
    return ag__cuda_stream_wait("cuda_stream_wait_stream", stream, other);
}

/* ---- events ---- */

static bool event_record(ag_cuda_event *event, ag_cuda_stream stream)
{
    const char *op = "cuda_event_record";
    cudaStream_t handle;
    cudaEvent_t made;
    if (!ag__cuda_use_stream(op, stream, &handle)) return false;
    if (!event->handle) {
        const unsigned flags = event->enable_timing ? cudaEventDefault : cudaEventDisableTiming;
        if (!ag__cuda_ok(op, cudaEventCreateWithFlags(&made, flags))) return false;
        event->handle = made;
        event->device = stream.device;
    }
    return ag__cuda_ok(op, cudaEventRecord(event->handle, handle));
}
static bool event_wait(ag_cuda_event *event, ag_cuda_stream stream)
{
    cudaStream_t handle;
    return ag__cuda_use_stream("cuda_event_wait", stream, &handle) &&
           ag__cuda_ok("cuda_event_wait", cudaStreamWaitEvent(handle, event->handle, 0));
}
static bool event_query(ag_cuda_event *event)
{
    return ag__cuda_may_wait("cuda_event_query") && use_device("cuda_event_query", event->device.index) &&
           answer("cuda_event_query", cudaEventQuery(event->handle));
}
static bool event_synchronize(ag_cuda_event *event)
{
    return ag__cuda_may_wait("cuda_event_synchronize") && use_device("cuda_event_synchronize", event->device.index) &&
           ag__cuda_waited("cuda_event_synchronize", cudaEventSynchronize(event->handle));
}
static double event_elapsed_time(ag_cuda_event *event, ag_cuda_event *end)
{
    float milliseconds = 0;
    const char *op = "cuda_event_elapsed_time";
    if (!use_device(op, event->device.index)) return NAN;
    return ag__cuda_ok(op, cudaEventElapsedTime(&milliseconds, event->handle, end->handle)) ? milliseconds : NAN;
}
static void event_free(ag_cuda_event *event)
{
    cudaEventDestroy(event->handle);
    cudaGetLastError();
}

const ag_cuda_functions ag__cuda_more = {
    .stream_wait = stream_wait,
    .stream_synchronize = stream_synchronize,
    .stream_query = stream_query,
    .stream_handle = stream_handle,
    .event_record = event_record,
    .event_wait = event_wait,
    .event_query = event_query,
    .event_synchronize = event_synchronize,
    .event_elapsed_time = event_elapsed_time,
    .event_free = event_free,
    .record_stream = ag__cuda_record_stream,
    .copy_peer = ag__cuda_copy_peer,
    .pinned_new = ag__cuda_pinned_new,
    .pinned_free = ag__cuda_pinned_free,
    .graph = &ag__cuda_graphs,
};
