/* cuda_table.h - what the library asks of CUDA beyond what any device does: streams and events, copies between
 * devices, pinned memory, graphs. Streams come checked,
 * by their id (tensor/cuda_stream.c). */
#ifndef AG_CUDA_TABLE_H
#define AG_CUDA_TABLE_H
#include <argent/cuda.h>
#include <argent/cuda_graph.h>

/* Of a device: the default stream, those of priority 0, those of priority -1. */
enum { AG_CUDA_POOL = 32, AG_CUDA_STREAMS = 1 + 2 * AG_CUDA_POOL };

struct ag_cuda_event {
    void *handle; /* made when it is first recorded; NULL: it never was */
    ag_device device;
    bool enable_timing;
};

struct ag_cuda_graph {
    ag_device device;
    ag_cuda_stream stream; /* that is, or was, captured */
    void *thread;          /* the ag_thread that captures; NULL: none */
    void *exec;            /* NULL: nothing has been captured */
    struct ag_cuda_mempool *pool;
    void *random_state; /* where captured kernels read the generator's place */
    uint64_t drawn;     /* by each replay */
};
typedef struct ag_cuda_graph_functions {
    bool (*begin)(ag_cuda_graph *g, const ag_cuda_graph *share);
    bool (*end)(ag_cuda_graph *g, bool keep);
    bool (*replay)(ag_cuda_graph *g);
    void (*reset)(ag_cuda_graph *g);
} ag_cuda_graph_functions;

typedef struct ag_cuda_functions {
    bool (*stream_wait)(ag_cuda_stream stream, ag_cuda_stream other);
    bool (*stream_synchronize)(ag_cuda_stream stream);
    bool (*stream_query)(ag_cuda_stream stream);
    void *(*stream_handle)(ag_cuda_stream stream);

    bool (*event_record)(ag_cuda_event *event, ag_cuda_stream stream);
    bool (*event_wait)(ag_cuda_event *event, ag_cuda_stream stream);
    bool (*event_query)(ag_cuda_event *event);
    bool (*event_synchronize)(ag_cuda_event *event);
    double (*event_elapsed_time)(ag_cuda_event *event, ag_cuda_event *end);
    void (*event_free)(ag_cuda_event *event);

    /* The block of memory is also used on this stream, of its device: nobody gets it before that is over. */
    void (*record_stream)(void *data, ag_cuda_stream stream);

    /* Bytes from one device to another, in the order of both their current streams. */
    bool (*copy_peer)(ag_device to_device, void *to, ag_device from_device, const void *from, int64_t bytes);

    /* Pinned host memory: a block, and where it lies; NULL with AG_ENOMEM. */
    void *(*pinned_new)(int64_t bytes, void **data);
    void (*pinned_free)(void *block);

    const ag_cuda_graph_functions *graph;
} ag_cuda_functions;

/* Some thread has, or had, a current stream that is not the default one. */
extern bool ag__cuda_streams_used;

#endif
