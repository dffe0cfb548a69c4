/* graph.c - capturing what is asked of a stream as a graph, and replaying it. Kernels know nothing of it: their
 * launches go to the stream that is captured, their memory comes from an arena that only the graph has (memory.c), and
 * what would have to wait refuses (ag__cuda_may_wait). */
#include "cuda/fault.h"
#include "cuda/runtime.h"
#include "tensor/thread.h"

/* ---- random numbers ---- */

enum { RANDOM_STATE = 2 * sizeof(uint64_t) }; /* a seed and an offset, in device memory of the graph's */

static bool draws_begin(ag_cuda_graph *g)
{
    if (!g->random_state && !(g->random_state = ag__cuda_alloc(g->device, RANDOM_STATE))) return false;
    ag__cuda_philox_capture(g->device, g->random_state);
    return true;
}
static void draws_end(ag_cuda_graph *g)
{
    if (!g->random_state) return;
    g->drawn = ag__cuda_philox_captured(g->device);
    ag__cuda_philox_capture(g->device, NULL);
}
/* The generator goes on by what the graph draws, from where it stands now. */
static bool draws_replay(ag_cuda_graph *g)
{
    uint64_t state[2];
    return !g->drawn || (ag__cuda_host->philox(NULL, g->device, g->drawn, &state[0], &state[1]) &&
                         ag__cuda_copy(g->device, g->random_state, state, sizeof state, AG_COPY_TO_DEVICE, NULL));
}

/* ---- graphs ---- */

static bool graph_end(ag_cuda_graph *g, bool keep)
{
    const char *op = "cuda_graph_capture_end";
    cudaStream_t stream;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec;
    bool ok = ag__cuda_use_stream(op, g->stream, &stream);
    cudaError_t e = cudaStreamEndCapture(stream, &graph);
    draws_end(g);
    ((ag_thread *)g->thread)->cuda_mempool = NULL;
    g->thread = NULL;
    ag__cuda_captures(-1);
    if (!keep && e != cudaSuccess) cudaGetLastError(); /* there is an error already */
    ok = ok && keep && ag__cuda_ok(op, e) && ag__cuda_ok(op, cudaGraphInstantiateWithFlags(&exec, graph, 0));
    if (ok) g->exec = exec;
    if (graph) cudaGraphDestroy(graph);
    return ok;
}

static bool graph_begin(ag_cuda_graph *g, const ag_cuda_graph *share)
{
    const char *op = "cuda_graph_capture_begin";
    ag_thread *t = ag__cuda_host->thread();
    cudaStream_t stream;
    ag_cuda_report report; /* what kernels note faults in is made now: a capture cannot make pinned memory */
    if (!ag__cuda_may_fail_in(op, g->device, 0, 0, 0, &report) || !ag__cuda_use(op, g->device, &stream)) return false;
    if (!g->pool) g->pool = share ? ag__cuda_mempool_share(share->pool) : ag__cuda_mempool_new();
    if (!g->pool) return false;
    ag__cuda_captures(1);
    if (!ag__cuda_ok(op, cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal))) {
        ag__cuda_captures(-1);
        return false;
    }
    g->stream = ag__cuda_current(g->device);
    g->thread = t;
    t->cuda_mempool = g->pool;
    return draws_begin(g) || (graph_end(g, false), false);
}

static bool graph_replay(ag_cuda_graph *g)
{
    const char *op = "cuda_graph_replay";
    cudaStream_t stream;
    return ag__cuda_use(op, g->device, &stream) && draws_replay(g) &&
           ag__cuda_launched(op, cudaGraphLaunch(g->exec, stream), stream);
}

/* A replay under way ends undisturbed: memory goes back to the driver only when the device is done. */
static void graph_reset(ag_cuda_graph *g)
{
    if (g->exec) cudaGraphExecDestroy(g->exec);
    g->exec = NULL;
    g->drawn = 0;
    ag__cuda_free(g->device, g->random_state, RANDOM_STATE);
    g->random_state = NULL;
    cudaGetLastError();
    ag__cuda_mempool_drop(g->pool);
    g->pool = NULL;
}

const ag_cuda_graph_functions ag__cuda_graphs = { graph_begin, graph_end, graph_replay, graph_reset };
