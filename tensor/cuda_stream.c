/* cuda_stream.c - streams and events of CUDA devices: see cuda.h. */
#include "tensor/cuda_table.h"
#include "tensor/device_table.h"
#include "tensor/fail.h"
#include "tensor/thread.h"

#include <math.h>
#include <stdlib.h>

bool ag__cuda_streams_used;

static const ag_cuda_stream none = { { AG_DEVICE_CUDA, 0 }, -1 };

/* ---- which stream ---- */

/* CUDA's functions, where the device is one of CUDA's; else NULL with an error. */
static const ag_cuda_functions *functions_of(const char *op, ag_device device)
{
    if (device.type != AG_DEVICE_CUDA)
        return ag__fail(AG_EINVAL, "%s: %s is no CUDA device", op, ag_device_name(device));
    const ag_device_functions *functions = ag__device_functions(device);
    return functions ? functions->cuda : NULL;
}
static const ag_cuda_functions *check(const char *op, ag_cuda_stream stream)
{
    if (stream.id < 0 || stream.id >= AG_CUDA_STREAMS)
        return ag__fail(AG_EINVAL, "%s: there is no stream %d", op, (int)stream.id);
    return functions_of(op, stream.device);
}

ag_cuda_stream ag_cuda_stream_new(ag_device device, int priority)
{
    static uint32_t given[AG_CUDA_DEVICES][2];
    if (priority != 0 && priority != -1) {
        ag__fail(AG_EINVAL, "cuda_stream_new: priority must be 0 or -1, but got %d", priority);
        return none;
    }
    if (!functions_of("cuda_stream_new", device)) return none;
    const uint32_t n = __atomic_fetch_add(&given[device.index][-priority], 1, __ATOMIC_RELAXED) % AG_CUDA_POOL;
    return (ag_cuda_stream){ device, 1 + (int32_t)n - priority * AG_CUDA_POOL };
}
ag_cuda_stream ag_cuda_default_stream(ag_device device)
{
    return functions_of("cuda_default_stream", device) ? (ag_cuda_stream){ device, 0 } : none;
}
ag_cuda_stream ag_cuda_current_stream(ag_device device)
{
    if (!functions_of("cuda_current_stream", device)) return none;
    return (ag_cuda_stream){ device, ag__thread()->cuda_stream[device.index] };
}

static void make_current(ag_cuda_stream stream)
{
    if (stream.id) __atomic_store_n(&ag__cuda_streams_used, true, __ATOMIC_RELAXED);
    ag__thread()->cuda_stream[stream.device.index] = (uint8_t)stream.id;
}
bool ag_cuda_set_stream(ag_cuda_stream stream)
{
    if (!check("cuda_set_stream", stream)) return false;
    make_current(stream);
    return true;
}
ag_cuda_stream ag_cuda_stream_begin(ag_cuda_stream stream)
{
    if (!check("cuda_stream_begin", stream)) return none;
    const ag_cuda_stream before = { stream.device, ag__thread()->cuda_stream[stream.device.index] };
    make_current(stream);
    return before;
}
void ag_cuda_stream_end(ag_cuda_stream *before)
{
    if (before && before->id >= 0) make_current(*before);
}

/* ---- waiting ---- */

bool ag_cuda_stream_wait_stream(ag_cuda_stream stream, ag_cuda_stream other)
{
    const ag_cuda_functions *cuda = check("cuda_stream_wait_stream", stream);
    return cuda && check("cuda_stream_wait_stream", other) && cuda->stream_wait(stream, other);
}
bool ag_cuda_stream_synchronize(ag_cuda_stream stream)
{
    const ag_cuda_functions *cuda = check("cuda_stream_synchronize", stream);
    return cuda && cuda->stream_synchronize(stream);
}
bool ag_cuda_stream_query(ag_cuda_stream stream)
{
    const ag_cuda_functions *cuda = check("cuda_stream_query", stream);
    return cuda && cuda->stream_query(stream);
}
void *ag_cuda_stream_handle(ag_cuda_stream stream)
{
    const ag_cuda_functions *cuda = check("cuda_stream_handle", stream);
    return cuda ? cuda->stream_handle(stream) : NULL;
}

/* ---- events ---- */

ag_cuda_event *ag_cuda_event_new(bool enable_timing)
{
    ag_cuda_event *event = calloc(1, sizeof *event);
    if (!event) return ag__fail_memory("an event", sizeof *event);
    event->enable_timing = enable_timing;
    return event;
}
void ag_cuda_event_free(ag_cuda_event *event)
{
    if (event && event->handle) ag__cuda_functions()->cuda->event_free(event);
    free(event);
}

static bool is_missing(const char *op, const ag_cuda_event *event)
{
    return !event && !ag__fail(AG_EINVAL, "%s: the event is NULL", op);
}

bool ag_cuda_event_record(ag_cuda_event *event, ag_cuda_stream stream)
{
    const char *op = "cuda_event_record";
    if (is_missing(op, event)) return false;
    const ag_cuda_functions *cuda = check(op, stream);
    if (!cuda) return false;
    if (event->handle && event->device.index != stream.device.index)
        return ag__fail(AG_EINVAL, "%s: Event device %s does not match recording stream's device %s.", op,
                        ag_device_name(event->device), ag_device_name(stream.device));
    return cuda->event_record(event, stream);
}
bool ag_cuda_event_wait(ag_cuda_event *event, ag_cuda_stream stream)
{
    if (is_missing("cuda_event_wait", event)) return false;
    const ag_cuda_functions *cuda = check("cuda_event_wait", stream);
    return cuda && (!event->handle || cuda->event_wait(event, stream));
}
bool ag_cuda_event_query(ag_cuda_event *event)
{
    if (is_missing("cuda_event_query", event)) return false;
    return !event->handle || ag__cuda_functions()->cuda->event_query(event);
}
bool ag_cuda_event_synchronize(ag_cuda_event *event)
{
    if (is_missing("cuda_event_synchronize", event)) return false;
    return !event->handle || ag__cuda_functions()->cuda->event_synchronize(event);
}
double ag_cuda_event_elapsed_time(ag_cuda_event *event, ag_cuda_event *end)
{
    const char *op = "cuda_event_elapsed_time";
    if (is_missing(op, event) || is_missing(op, end)) return NAN;
    if (!event->enable_timing || !end->enable_timing)
        return ag__fail(AG_EINVAL, "%s: Both events must be created with argument 'enable_timing=True'.", op), NAN;
    if (!event->handle || !end->handle)
        return ag__fail(AG_EINVAL, "%s: Both events must be recorded before calculating elapsed time.", op), NAN;
    return ag__cuda_functions()->cuda->event_elapsed_time(event, end);
}
