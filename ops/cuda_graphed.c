/* cuda_graphed.c - see cuda_graphed.h. The step runs and is captured on a stream of its own, which waits for the
 * caller's and is waited for; replays go to the caller's. */
#include "autograd/node.h"

#include <argent/copy.h>
#include <argent/cuda_graphed.h>
#include <argent/cuda_memory.h>

#include <stdlib.h>

enum { MOST_INPUTS = 64 };

struct ag_cuda_graphed {
    ag_device device;
    ag_cuda_step *step;
    void *user;
    int warmup; /* calls that are still to come */
    ag_cuda_stream stream;
    ag_cuda_graph *graph; /* NULL until it is captured */
    int64_t n_inputs, replays;
    ag_variable *inputs[MOST_INPUTS]; /* where the graph reads */
    ag_variable *output;              /* and writes */
};

ag_cuda_graphed *ag_cuda_graphed_new(ag_device device, ag_cuda_step *step, void *user, int warmup)
{
    if (!step) return ag__fail(AG_EINVAL, "cuda_graphed_new: step is NULL");
    if (warmup < 1) return ag__fail(AG_EINVAL, "cuda_graphed_new: warmup must be at least 1, but got %d", warmup);
    const ag_cuda_stream stream = ag_cuda_stream_new(device, 0);
    if (stream.id < 0) return NULL;
    ag_cuda_graphed *g = calloc(1, sizeof *g);
    if (!g) return ag__fail_memory("a graphed step", sizeof *g);
    g->device = device;
    g->step = step;
    g->user = user;
    g->warmup = warmup;
    g->stream = stream;
    return g;
}

/* The graph goes, with what is its own. */
static void forget(ag_cuda_graphed *g)
{
    ag_release(g->output);
    for (int64_t i = 0; i < g->n_inputs; i++) ag_release(g->inputs[i]);
    ag_cuda_graph_free(g->graph);
    g->graph = NULL;
    g->output = NULL;
    g->n_inputs = 0;
}
void ag_cuda_graphed_free(ag_cuda_graphed *graphed)
{
    if (!graphed) return;
    forget(graphed);
    free(graphed);
}

int64_t ag_cuda_graphed_replays(const ag_cuda_graphed *graphed) { return graphed ? graphed->replays : 0; }

static ag_variable *call_step(ag_cuda_graphed *g, ag_list inputs)
{
    ag_variable *y = g->step(inputs, g->user);
    if (y && y != AG_NONE && !ag_error()) return ag_detach(y);
    return ag__fail(AG_EINVAL, "cuda_graphed_call: the step failed, and left no error that says why");
}

/* The step as it is, with the inputs on the device. */
static ag_variable *run(ag_cuda_graphed *g, ag_list inputs)
{
    AG_SCOPE;
    ag_variable *there[MOST_INPUTS], *y;
    const ag_cuda_stream outside = ag_cuda_current_stream(g->device);
    if (!ag_cuda_stream_wait_stream(g->stream, outside)) return NULL;
    {
        AG_CUDA_STREAM(g->stream);
        for (int64_t i = 0; i < inputs.n; i++) {
            there[i] = ag_to(inputs.at[i], g->device, .non_blocking = true);
            if (!there[i] || !ag_record_stream(there[i], g->stream)) return NULL;
        }
        y = call_step(g, ag_list_from(inputs.n, there));
    }
    bool ok = ag_cuda_stream_wait_stream(outside, g->stream) && y && ag_record_stream(y, outside);
    return ok ? ag_keep(y) : NULL;
}

/* ---- the graph ---- */

/* Copies that stay where they are. */
static bool place_inputs(ag_cuda_graphed *g, ag_list inputs)
{
    AG_NO_GRAD;
    for (int64_t i = 0; i < inputs.n; i++) {
        ag_variable *x = ag_to(inputs.at[i], g->device, .copy = true);
        if (!x) return false;
        g->inputs[g->n_inputs++] = ag_retain(ag_detach(x));
    }
    return true;
}
static bool capture_step(ag_cuda_graphed *g)
{
    AG_SCOPE;
    if (!ag_cuda_graph_capture_begin(g->graph, NULL)) return false;
    ag_variable *y = call_step(g, ag_list_from(g->n_inputs, g->inputs));
    g->output = y ? ag_retain(y) : NULL;
    return ag_cuda_graph_capture_end(g->graph) && y;
}
static bool capture(ag_cuda_graphed *g, ag_list inputs)
{
    const ag_cuda_stream outside = ag_cuda_current_stream(g->device);
    bool ok = ag_cuda_stream_wait_stream(g->stream, outside) && (g->graph = ag_cuda_graph_new(g->device));
    if (ok) {
        AG_SCOPE;
        AG_CUDA_STREAM(g->stream);
        ok = place_inputs(g, inputs) && capture_step(g);
    }
    ok = ok && ag_cuda_stream_wait_stream(outside, g->stream);
    if (!ok) forget(g);
    return ok;
}

static bool fits(const ag_cuda_graphed *g, ag_list inputs)
{
    if (inputs.n != g->n_inputs) return false;
    for (int64_t i = 0; i < inputs.n; i++) {
        const ag_tensor *a = &inputs.at[i]->tensor, *b = &g->inputs[i]->tensor;
        if (a->dtype != b->dtype || !ag__same_sizes(a, b)) return false;
    }
    return true;
}
static ag_variable *replay(ag_cuda_graphed *g, ag_list inputs, bool placed)
{
    AG_NO_GRAD;
    for (int64_t i = 0; i < inputs.n && !placed; i++)
        if (!ag_copy_(g->inputs[i], inputs.at[i], .non_blocking = true)) return NULL;
    if (!ag_cuda_graph_replay(g->graph)) return NULL;
    g->replays++;
    ag__ref(g->output, AG_OWNER);
    return ag__hold(ag__thread(), g->output);
}

ag_variable *ag_cuda_graphed_call(ag_cuda_graphed *graphed, ag_list inputs)
{
    ag_cuda_graphed *g = graphed;
    if (!g) return ag__fail(AG_EINVAL, "cuda_graphed_call: graphed is NULL");
    if (!ag__may_change(ag__thread())) return NULL;
    if (inputs.n > MOST_INPUTS)
        return ag__fail(AG_EINVAL, "cuda_graphed_call: at most %d inputs, but got %lld", MOST_INPUTS,
                        (long long)inputs.n);
    for (int64_t i = 0; i < inputs.n; i++)
        if (!inputs.at[i] || inputs.at[i] == AG_NONE)
            return ag__fail(AG_EINVAL, "cuda_graphed_call: input %lld is %s", (long long)i,
                            inputs.at[i] ? "None" : "NULL");
    if (g->warmup > 0) {
        g->warmup--;
        return run(g, inputs);
    }
    if (g->graph) return fits(g, inputs) ? replay(g, inputs, false) : run(g, inputs);
    return capture(g, inputs) ? replay(g, inputs, true) : NULL;
}
