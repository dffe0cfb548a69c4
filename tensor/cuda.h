/* cuda.h - streams and events of CUDA devices, as torch.cuda has them. What a device is, waiting for it and its memory:
 * device.h.
 *
 *     ag_cuda_stream side = ag_cuda_stream_new(AG_CUDA, 0);
 *     ag_cuda_stream_wait_stream(side, ag_cuda_current_stream(AG_CUDA));     x was made there
 *     {
 *         AG_CUDA_STREAM(side);
 *         y = ag_exp(x);                                                    beside what the current stream does
 *     }
 *     ag_cuda_stream_wait_stream(ag_cuda_current_stream(AG_CUDA), side);     y is there for what comes next
 *
 * What is asked of a device is done in the order of the current stream, of which each thread has one per device: at
 * first the default stream. Between streams nothing is ordered but by waits; none of them holds up the program.
 *
 * Errors: AG_EDEVICE where there is no such device, or where the device reports a fault; AG_EINVAL for a stream that is
 * none. Waits and questions still work while an error stands.
 */
#ifndef ARGENT_CUDA_H
#define ARGENT_CUDA_H
#include <argent/args.h>

AG_BEGIN_DECLS

/* A stream of a device: a value that names it, and nothing to free. A device has 32 of each priority, which
 * ag_cuda_stream_new hands out in turn. */
typedef struct ag_cuda_stream {
    ag_device device;
    int32_t id; /* 0: the default stream; negative: none */
} ag_cuda_stream;

/* priority: 0, or -1 for one whose work goes first. One with a negative id and an error where there is none. */
AG_API ag_cuda_stream ag_cuda_stream_new(ag_device device, int priority);
AG_API ag_cuda_stream ag_cuda_default_stream(ag_device device);
/* The calling thread's on that device. */
AG_API ag_cuda_stream ag_cuda_current_stream(ag_device device);
AG_API bool ag_cuda_set_stream(ag_cuda_stream stream);

/* The stream is its device's current one for the rest of the enclosing block: with torch.cuda.stream(s). */
#define AG_CUDA_STREAM(stream)                                                    \
    __attribute__((cleanup(ag_cuda_stream_end), unused)) ag_cuda_stream AG_PASTE( \
        ag_stream_, __COUNTER__) = ag_cuda_stream_begin(stream)
/* The same by hand. Returns the one that was current, for the end. */
AG_API ag_cuda_stream ag_cuda_stream_begin(ag_cuda_stream stream);
AG_API void ag_cuda_stream_end(ag_cuda_stream *before);

/* What is asked of `stream` from now on begins when all that was asked of `other` so far is done. */
AG_API bool ag_cuda_stream_wait_stream(ag_cuda_stream stream, ag_cuda_stream other);
/* Waits until all that was asked of it is done. */
AG_API bool ag_cuda_stream_synchronize(ag_cuda_stream stream);
/* Whether that is so; false with an error, too. */
AG_API bool ag_cuda_stream_query(ag_cuda_stream stream);
/* The cudaStream_t, for kernels of your own; NULL with an error. It must not be destroyed. */
AG_API void *ag_cuda_stream_handle(ag_cuda_stream stream);

/* A mark in a stream: torch.cuda.Event. One that was never recorded counts as done. */
typedef struct ag_cuda_event ag_cuda_event;
/* enable_timing: it notes when it is reached. NULL with AG_ENOMEM. */
AG_API ag_cuda_event *ag_cuda_event_new(bool enable_timing);
/* NULL is fine. */
AG_API void ag_cuda_event_free(ag_cuda_event *event);
/* The mark stands behind what was asked of the stream so far; where it stood before is forgotten. All streams that it
 * is recorded in are of one device. */
AG_API bool ag_cuda_event_record(ag_cuda_event *event, ag_cuda_stream stream);
/* What is asked of the stream from now on begins when the mark has been reached. */
AG_API bool ag_cuda_event_wait(ag_cuda_event *event, ag_cuda_stream stream);
AG_API bool ag_cuda_event_query(ag_cuda_event *event);
AG_API bool ag_cuda_event_synchronize(ag_cuda_event *event);
/* Milliseconds from one to the other, both with timing and reached; NAN with an error. */
AG_API double ag_cuda_event_elapsed_time(ag_cuda_event *event, ag_cuda_event *end);

AG_END_DECLS
#endif
