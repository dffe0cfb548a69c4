/* cuda_graph.c - graphs of what was asked of a device: see cuda_graph.h. */
#include "tensor/cuda_table.h"
#include "tensor/device_table.h"
#include "tensor/fail.h"
#include "tensor/thread.h"

#include <stdlib.h>

static const ag_cuda_graph_functions *graphs(void) { return ag__cuda_functions()->cuda->graph; }

ag_cuda_graph *ag_cuda_graph_new(ag_device device)
{
    if (device.type != AG_DEVICE_CUDA)
        return ag__fail(AG_EINVAL, "cuda_graph_new: %s is no CUDA device", ag_device_name(device));
    if (!ag__device_functions(device)) return NULL;
    ag_cuda_graph *g = calloc(1, sizeof *g);
    if (!g) return ag__fail_memory("a CUDA graph", sizeof *g);
    g->device = device;
    return g;
}

static bool is_missing(const char *op, const ag_cuda_graph *g)
{
    return !g && !ag__fail(AG_EINVAL, "%s: the graph is NULL", op);
}

bool ag_cuda_graph_capture_begin(ag_cuda_graph *graph, ag_cuda_graph *pool)
{
    const char *op = "cuda_graph_capture_begin";
    const ag_thread *t = ag__thread();
    if (is_missing(op, graph) || t->failed) return false;
    if (graph->thread) return ag__fail(AG_EINVAL, "%s: this graph is being captured already", op);
    if (graph->exec)
        return ag__fail(AG_EINVAL,
                        "%s: This CUDAGraph instance already owns a captured graph. To capture a new graph, create a "
                        "new instance.",
                        op);
    if (t->cuda_mempool) return ag__fail(AG_EINVAL, "%s: this thread is capturing another graph", op);
    if (pool && !pool->pool) return ag__fail(AG_EINVAL, "%s: the graph whose memory is shared has none", op);
    if (!t->cuda_stream[graph->device.index])
        return ag__fail(AG_EINVAL, "%s: CUDA graphs must be captured on a non-default stream.", op);
    return graphs()->begin(graph, pool);
}

bool ag_cuda_graph_capture_end(ag_cuda_graph *graph)
{
    const char *op = "cuda_graph_capture_end";
    if (is_missing(op, graph)) return false;
    if (graph->thread != ag__thread())
        return ag__fail(AG_EINVAL, "%s: %s", op,
                        graph->thread ? "another thread is capturing this graph" : "no capture is under way");
    return graphs()->end(graph, !ag__thread()->failed);
}

bool ag_cuda_graph_replay(ag_cuda_graph *graph)
{
    const char *op = "cuda_graph_replay";
    if (is_missing(op, graph) || ag__thread()->failed) return false;
    if (!graph->exec)
        return ag__fail(AG_EINVAL, "%s: Called CUDAGraph::replay without a preceding successful capture.", op);
    if (ag__thread()->cuda_mempool) return ag__fail(AG_EINVAL, "%s: this thread is capturing a graph", op);
    return graphs()->replay(graph);
}

void ag_cuda_graph_reset(ag_cuda_graph *graph)
{
    if (!graph) return;
    if (graph->thread) graphs()->end(graph, false);
    graphs()->reset(graph);
}

void ag_cuda_graph_free(ag_cuda_graph *graph)
{
    if (!graph) return;
    ag_cuda_graph_reset(graph);
    free(graph);
}

bool ag_cuda_is_current_stream_capturing(void) { return ag__thread()->cuda_mempool != NULL; }
