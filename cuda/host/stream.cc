// stream.cc - streams as queues, and events.
#include "cuda/host/internal.h"

using namespace hs;

struct hs::sop {
    sop *next;
    void (*run)(void *), (*drop)(void *);
    void *arg;
    cudaStream_t wait;
    uint64_t seq;
    cudaEvent_t ev;
};
enum { MAX_DEVICES = 8 };
static cudaHostStream legacy[MAX_DEVICES]; // a default stream each
static cudaStream_t streams;
static cudaStream_t stream_of(cudaStream_t s)
{
    if (s) return s;
    cudaStream_t own = &legacy[current_device];
    own->device = current_device;
    return own;
}
bool hs::is_captured(cudaStream_t s) { return s && s->cap; }
int hs::stream_device(cudaStream_t s) { return stream_of(s)->device; }

static void reached(cudaEvent_t e)
{
    clock_gettime(CLOCK_MONOTONIC, &e->t);
    if (!--e->pending && e->dead) delete e;
}
static void run_until(cudaStream_t s, uint64_t seq)
{
    while (s->done < seq) {
        sop *o = s->head;
        s->head = o->next;
        if (!s->head) s->tail = nullptr;
        if (o->wait) run_until(o->wait, o->seq);
        if (o->run) o->run(o->arg);
        if (o->ev) reached(o->ev);
        if (o->drop) o->drop(o->arg);
        s->done++;
        delete o;
    }
}
static void push(cudaStream_t s, sop v)
{
    sop *o = new sop(v);
    o->next = nullptr;
    if (s->tail)
        s->tail->next = o;
    else
        s->head = o;
    s->tail = o;
    s->enq++;
}
static uint64_t enqueue(cudaStream_t s, void (*run)(void *), void (*drop)(void *), void *arg, cudaEvent_t ev = nullptr)
{
    s = stream_of(s);
    if (s->cap) return capture_push(s, run, drop, arg);
    cudaHostStream &own = legacy[s->device];
    if (s == &own) {
        for (cudaStream_t o = streams; o; o = o->next)
            if (o->device == s->device && !(o->flags & cudaStreamNonBlocking) && o->done < o->enq)
                push(s, { 0, 0, 0, 0, o, o->enq, 0 });
    } else if (!(s->flags & cudaStreamNonBlocking) && own.done < own.enq)
        push(s, { 0, 0, 0, 0, &own, own.enq, 0 });
    push(s, { 0, run, drop, arg, 0, 0, ev });
    uint64_t q = s->enq;
    if (!opt.defer) run_until(s, q);
    return q;
}
void hs::run_all()
{
    cudaStream_t own = stream_of(nullptr);
    run_until(own, own->enq);
    for (cudaStream_t s = streams; s; s = s->next)
        if (s->device == current_device) run_until(s, s->enq);
}
extern "C" {
cudaError_t hs_enqueue(cudaStream_t s, void (*run)(void *), void (*drop)(void *), void *arg)
{
    lock g;
    enqueue(s, run, drop, arg);
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned f)
{
    lock g;
    *s = new cudaHostStream{};
    (*s)->flags = f;
    (*s)->device = current_device;
    (*s)->next = streams;
    streams = *s;
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *s) { return cudaStreamCreateWithFlags(s, 0); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *s, unsigned f, int) { return cudaStreamCreateWithFlags(s, f); }
cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    lock g;
    s = stream_of(s);
    if (s->cap) return spoil(s, cudaErrorStreamCaptureUnsupported);
    run_until(s, s->enq);
    return waited();
}
cudaError_t cudaStreamQuery(cudaStream_t s)
{
    lock g;
    s = stream_of(s);
    if (s->cap) return spoil(s, cudaErrorStreamCaptureUnsupported);
    if (unsafe()) return err(cudaErrorStreamCaptureUnsupported);
    return s->done < s->enq ? cudaErrorNotReady : cudaSuccess;
}
cudaError_t cudaDeviceSynchronize(void)
{
    lock g;
    if (unsafe()) return err(cudaErrorStreamCaptureUnsupported);
    run_all();
    return waited();
}
cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    lock g;
    run_until(s, s->enq);
    for (cudaStream_t *p = &streams; *p; p = &(*p)->next)
        if (*p == s) {
            *p = s->next;
            break;
        }
    static cudaStream_t dead;
    s->next = dead;
    dead = s; // events may still name it
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned)
{
    *e = new cudaHostEvent{};
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *e) { return cudaEventCreateWithFlags(e, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    lock g;
    e->dead = true;
    if (!e->pending) delete e;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    lock g;
    e->s = stream_of(s);
    e->recorded = true;
    capture_record(e, e->s);
    if (e->cap) return cudaSuccess;
    e->pending++;
    e->seq = enqueue(s, nullptr, nullptr, nullptr, e);
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    lock g;
    if (e->cap) return err(cudaErrorCapturedEvent);
    if (e->recorded) run_until(e->s, e->seq);
    return waited();
}
cudaError_t cudaEventQuery(cudaEvent_t e)
{
    lock g;
    if (unsafe()) return err(cudaErrorStreamCaptureUnsupported);
    if (e->cap) return err(cudaErrorCapturedEvent);
    return e->recorded && e->s->done < e->seq ? cudaErrorNotReady : cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b)
{
    lock g;
    if (!a->recorded || !b->recorded || a->cap || b->cap) return err(cudaErrorInvalidResourceHandle);
    if (a->pending || b->pending) return cudaErrorNotReady;
    *ms = (float)((double)(b->t.tv_sec - a->t.tv_sec) * 1e3 + (double)(b->t.tv_nsec - a->t.tv_nsec) * 1e-6);
    return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    lock g;
    s = stream_of(s);
    if (!e->recorded) return cudaSuccess;
    if (s->cap || e->cap) return capture_wait(s, e);
    if (e->s->done < e->seq) push(s, { 0, 0, 0, 0, e->s, e->seq, 0 });
    return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t s, void (*fn)(void *), void *arg)
{
    lock g;
    enqueue(s, fn, nullptr, arg);
    return cudaSuccess;
}
}
