// capture.cc - what is asked of streams, captured as a graph and replayed. A graph is the queues of the streams that
// took part, with the waits between them. With CUDA_HOST_DEFER=1 the others run as early as they may, else as late, so
// that a wait that is missing shows in one of the two.
#include "cuda/host/internal.h"

#include <memory>
#include <vector>

namespace hs
{
struct step {
    void (*run)(void *), (*drop)(void *);
    void *arg;
    int wait; // for so many steps of this branch; negative: for none
    uint64_t seq;
};
struct plan {
    std::vector<std::vector<step>> branch;
    ~plan()
    {
        for (auto &b : branch)
            for (step &s : b)
                if (s.drop) s.drop(s.arg);
    }
};
struct capture {
    uint64_t id;
    std::shared_ptr<plan> steps;
    std::vector<cudaStream_t> member;
    cudaStreamCaptureMode mode;
    pthread_t thread;
    bool spoilt;
};
static std::vector<capture *> captures;
static thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

static capture *capture_of(uint64_t id)
{
    for (capture *c : captures)
        if (c->id == id) return c;
    return nullptr;
}
cudaError_t spoil(cudaStream_t s, cudaError_t e)
{
    s->cap->spoilt = true;
    return err(e);
}
bool unsafe()
{
    bool found = false;
    for (capture *c : captures) {
        const bool mine = pthread_equal(c->thread, pthread_self());
        if (thread_mode == cudaStreamCaptureModeRelaxed || c->mode == cudaStreamCaptureModeRelaxed) continue;
        if (!mine && (c->mode != cudaStreamCaptureModeGlobal || thread_mode != cudaStreamCaptureModeGlobal)) continue;
        c->spoilt = found = true;
    }
    return found;
}
uint64_t capture_push(cudaStream_t s, void (*run)(void *), void (*drop)(void *), void *arg)
{
    std::vector<step> &b = s->cap->steps->branch[(size_t)s->branch];
    b.push_back({ run, drop, arg, -1, 0 });
    return b.size();
}
void capture_record(cudaEvent_t e, cudaStream_t s)
{
    e->cap = s->cap ? s->cap->id : 0;
    e->branch = s->branch;
    if (s->cap) e->seq = s->cap->steps->branch[(size_t)s->branch].size();
}
cudaError_t capture_wait(cudaStream_t s, cudaEvent_t e)
{
    capture *c = capture_of(e->cap);
    if (!e->cap) return s->cap ? spoil(s, cudaErrorStreamCaptureIsolation) : cudaSuccess;
    if (!c) return err(cudaErrorCapturedEvent);
    if (!s->cap) { // it takes part from now on
        s->cap = c;
        s->branch = (int)c->steps->branch.size();
        c->steps->branch.emplace_back();
        c->member.push_back(s);
    } else if (s->cap != c)
        return spoil(s, cudaErrorStreamCaptureMerge);
    c->steps->branch[(size_t)s->branch].push_back({ nullptr, nullptr, nullptr, e->branch, e->seq });
    return cudaSuccess;
}

// ---- replay ----
struct replay {
    plan *p;
    std::vector<size_t> at;
    void one(size_t b)
    {
        const step &s = p->branch[b][at[b]];
        if (s.wait >= 0) until((size_t)s.wait, s.seq);
        if (s.run) s.run(s.arg);
        at[b]++;
    }
    void until(size_t b, size_t seq)
    {
        while (at[b] < seq) one(b);
    }
    void early() // what need not wait
    {
        for (size_t b = 1; b < at.size(); b++)
            while (at[b] < p->branch[b].size()) {
                const step &s = p->branch[b][at[b]];
                if (s.wait >= 0 && at[(size_t)s.wait] < s.seq) break;
                one(b);
            }
    }
};
static void graph_run(void *arg)
{
    std::shared_ptr<plan> &p = *(std::shared_ptr<plan> *)arg;
    replay r{ p.get(), std::vector<size_t>(p->branch.size()) };
    while (r.at[0] < p->branch[0].size()) {
        r.one(0);
        if (opt.defer) r.early();
    }
}
static void graph_drop(void *arg) { delete (std::shared_ptr<plan> *)arg; }

// Whether the first stream waits in the end for all that the others do.
static bool is_joined(const plan &p)
{
    std::vector<size_t> reached(p.branch.size()), todo;
    reached[0] = p.branch[0].size();
    for (bool more = true; more;) {
        more = false;
        for (size_t b = 0; b < p.branch.size(); b++)
            for (size_t i = 0; i < reached[b]; i++) {
                const step &s = p.branch[b][i];
                if (s.wait < 0 || reached[(size_t)s.wait] >= s.seq) continue;
                reached[(size_t)s.wait] = s.seq;
                more = true;
            }
    }
    for (size_t b = 0; b < p.branch.size(); b++)
        for (size_t i = reached[b]; i < p.branch[b].size(); i++)
            if (p.branch[b][i].run) return false;
    return true;
}
} // namespace hs

using namespace hs;
struct cudaHostGraph {
    std::shared_ptr<plan> p;
};
extern "C" {
cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode)
{
    const cudaStreamCaptureMode before = thread_mode;
    thread_mode = *mode;
    *mode = before;
    return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
    lock g;
    static uint64_t last;
    if (!s || s->cap) return err(cudaErrorStreamCaptureUnsupported);
    capture *c = new capture{ ++last, std::make_shared<plan>(), { s }, mode, pthread_self(), false };
    c->steps->branch.emplace_back();
    captures.push_back(c);
    s->cap = c;
    s->branch = 0;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph)
{
    lock g;
    *graph = nullptr;
    capture *c = s ? s->cap : nullptr;
    if (!c || s->branch) return err(cudaErrorStreamCaptureUnmatched);
    if (!pthread_equal(c->thread, pthread_self()) && c->mode != cudaStreamCaptureModeRelaxed)
        return err(cudaErrorStreamCaptureWrongThread);
    for (cudaStream_t m : c->member) m->cap = nullptr;
    for (size_t i = 0; i < captures.size(); i++)
        if (captures[i] == c) captures.erase(captures.begin() + (long)i--);
    cudaError_t e = c->spoilt              ? cudaErrorStreamCaptureInvalidated
                    : is_joined(*c->steps) ? cudaSuccess
                                           : cudaErrorStreamCaptureUnjoined;
    if (!e) *graph = new cudaHostGraph{ c->steps };
    delete c;
    return err(e);
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    lock g;
    *exec = new cudaHostGraph{ graph->p };
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    lock g;
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return cudaGraphDestroy(exec); }
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
    lock g;
    if (s && s->cap) return spoil(s, cudaErrorStreamCaptureUnsupported);
    return hs_enqueue(s, graph_run, graph_drop, new std::shared_ptr<plan>(exec->p));
}
}
