// block.cc - the scheduler of one block: who runs next, __syncthreads, a thread's life and end.
#include "cuda/host/internal.h"

namespace hs
{

block B;
char sync_start, sync_end;
uint64_t *sync_blk;

void make_ready(unsigned t)
{
    B.t[t].st = READY;
    B.ready[(B.rhead + B.nready++) & 1023] = (unsigned short)t;
}
int next_thread()
{
    unsigned fresh = B.n - B.started, r = 0;
    if (!B.nready && !fresh) return -1;
    bool use_ready = B.nready != 0;
    if (opt.order == RAND) {
        uint64_t x = rnd() % (B.nready + fresh);
        use_ready = x < B.nready;
        r = (unsigned)x;
    }
    if (!use_ready) return B.order[B.started++];
    unsigned short *q = B.ready;
    if (r) {
        unsigned i = (B.rhead + r) & 1023;
        unsigned short v = q[i];
        q[i] = q[B.rhead];
        q[B.rhead] = v;
    }
    unsigned t = q[B.rhead];
    B.rhead = (B.rhead + 1) & 1023;
    B.nready--;
    return (int)t;
}
void set_current(unsigned t)
{
    B.cur = t;
    B.t[t].st = RUN;
    threadIdx = B.t[t].id;
}
static void deadlock()
{
    fprintf(stderr, "cuda-host: ERROR: deadlock: no thread of the block can go on\n");
    waiters();
    where();
    fflush(nullptr);
    abort();
}
void block_current(int st)
{ // park the running thread, run another
    unsigned me = B.cur;
    B.t[me].st = st;
    int u = next_thread();
    if (u < 0) deadlock();
    set_current((unsigned)u);
    if (!B.t[u].f) B.t[u].f = fiber_get((unsigned)u);
    fswitch(B.t[me].f, B.t[u].f);
}
static void barrier_open()
{ // everyone is here: let them go
    if (B.arrived < B.n && opt.strict) {
        fprintf(stderr, "cuda-host: ERROR: __syncthreads() not reached by %u exited thread(s) of the block\n",
                B.n - B.arrived);
        waiters();
        where();
        fflush(nullptr);
        abort();
    }
    B.res = (int)B.acc;
    B.gen++;
    B.arrived = 0;
    count.barriers++;
    if (opt.order == REV) {
        for (unsigned i = B.n; i--;)
            if (B.t[i].st == WAIT_BLOCK) make_ready(i);
    } else
        for (unsigned i = 0; i < B.n; i++)
            if (B.t[i].st == WAIT_BLOCK) make_ready(i);
}
static void thread_exit(unsigned i)
{
    warp *W = &B.w[i / 32];
    B.t[i].st = DONE;
    B.done++;
    W->live &= ~(1u << (i % 32));
    for (int g = 0; g < W->ng; g++)
        if (W->g[g].mask >> (i % 32) & 1) {
            thr *o = &B.t[(i & ~31u) + (unsigned)__builtin_ctz(W->g[g].here)];
            if (opt.strict)
                hs_fail("thread exits while lanes wait for it in a warp operation at %s:%d (mask %08x)", o->file,
                        o->line, o->mask);
            if (W->g[g].here == (W->g[g].mask & W->live)) warp_finish(i / 32, g--);
        }
    if (B.arrived && B.arrived + B.done == B.n) barrier_open();
}
void fiber_main()
{
    if (ASAN) __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
    for (;;) {
        unsigned i = B.cur;
        fiber *me = B.t[i].f;
        if (TSAN) {
            char s[64];
            snprintf(s, sizeof s, "block(%u,%u,%u) thread(%u,%u,%u)", blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x,
                     threadIdx.y, threadIdx.z);
            __tsan_set_fiber_name(me->tsan, s);
            __tsan_acquire(&sync_start);
        }
        B.run(B.arg);
        if (TSAN) __tsan_release(&sync_end);
        thread_exit(i);
        fiber *to;
        if (B.done == B.n)
            to = &main_f;
        else {
            int u = next_thread();
            if (u < 0) deadlock();
            set_current((unsigned)u);
            if (!B.t[u].f) {
                if (!TSAN) {
                    B.t[u].f = me;
                    continue;
                } // same stack, no switch
                B.t[u].f = fiber_get((unsigned)u);
            }
            to = B.t[u].f;
        }
        if (!TSAN) {
            me->next = free_f;
            free_f = me;
        }
        fswitch(me, to);
    }
}

} // namespace hs

using namespace hs;
int hs_block_barrier(int kind, int pred, const char *file, int line)
{
    if (!B.in_kernel) {
        fprintf(stderr, "__syncthreads outside a kernel\n");
        abort();
    }
    thr *t = &B.t[B.cur];
    t->file = file;
    t->line = line;
    if (B.arrived == 0) {
        B.first = (unsigned short)B.cur;
        B.kind = kind;
        B.acc = kind == 2;
    } else {
        thr *o = &B.t[B.first];
        if (o->line != line || strcmp(o->file, file) || B.kind != kind) {
            fprintf(stderr,
                    "cuda-host: ERROR: divergent __syncthreads(): thread %u is at %s:%d, thread %u waits at %s:%d\n",
                    B.cur, file, line, B.first, o->file, o->line);
            waiters();
            where();
            fflush(nullptr);
            abort();
        }
    }
    pred = !!pred;
    if (kind == 1)
        B.acc += (unsigned)pred;
    else if (kind == 2)
        B.acc &= (unsigned)pred;
    else
        B.acc |= (unsigned)pred;
    uint64_t g = B.gen;
    if (TSAN) __tsan_release(&sync_blk[g & 1]);
    if (++B.arrived + B.done == B.n)
        barrier_open();
    else
        block_current(WAIT_BLOCK);
    if (TSAN) __tsan_acquire(&sync_blk[g & 1]);
    return B.res;
}
