// internal.h - what the parts of the host run time share. They are built without -fsanitize=address and =thread, whose
// run times they find by weak symbols, but with =memory in such a build. One OS thread runs kernels at a time.
#ifndef ARGENT_CUDA_HOST_INTERNAL_H
#define ARGENT_CUDA_HOST_INTERNAL_H
#include "cuda/host/cuda_runtime.h"

#include <pthread.h>
#include <time.h>
#undef __shared__

#define WEAK __attribute__((weak))
extern "C" {
WEAK void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t size);
WEAK void __sanitizer_finish_switch_fiber(void *save, const void **bottom, size_t *size);
WEAK void __sanitizer_set_death_callback(void (*cb)(void));
WEAK void __asan_poison_memory_region(void const volatile *p, size_t n);
WEAK void __asan_unpoison_memory_region(void const volatile *p, size_t n);
WEAK void __msan_poison(const volatile void *p, size_t n);
WEAK void __msan_unpoison(const volatile void *p, size_t n);
WEAK void __msan_check_mem_is_initialized(const volatile void *p, size_t n);
WEAK void *__tsan_create_fiber(unsigned flags);
WEAK void *__tsan_get_current_fiber(void);
WEAK void __tsan_switch_to_fiber(void *fiber, unsigned flags);
WEAK void __tsan_set_fiber_name(void *fiber, const char *name);
WEAK void __tsan_acquire(void *addr);
WEAK void __tsan_release(void *addr);
}
#define ASAN (__asan_poison_memory_region != nullptr)
#define MSAN (__msan_poison != nullptr)
#define TSAN (__tsan_create_fiber != nullptr)

namespace hs
{

// ---- options, from the environment (report.cc) ----
enum { FWD, REV, RAND };
struct options {
    int order, defer, protect, strict, unwritten, stats, devices;
    uint64_t seed;
    size_t stack, memory;
};
struct counts {
    uint64_t launches, blocks, threads, switches, barriers, warpops;
};
extern options opt;
extern counts count;
void init();
uint64_t rnd();
void where();   // the kernel, block and thread that run
void waiters(); // who of the block waits where

// ---- fibers (fiber.cc) ----
struct fiber {
    void *sp;
    char *lo;
    size_t size;
    void *fake, *tsan;
    fiber *next;
};

extern fiber main_f, *free_f, *tsan_f[2][1024];
fiber *fiber_new();
fiber *fiber_get(unsigned t);
void fswitch(fiber *from, fiber *to);

// ---- the block that runs (block.cc, warp.cc) ----
enum { NEW, READY, RUN, WAIT_BLOCK, WAIT_WARP, DONE };
struct thr {
    fiber *f;
    uint3 id;
    int st, op, n, param, width;
    unsigned mask;
    const char *file;
    int line;
    uint64_t val;
};
struct group {
    unsigned mask, here;
}; // a warp operation being gathered
struct warp {
    unsigned live;
    int ng;
    group g[32];
};
struct block {
    const hs_launch *l;
    void (*run)(void *);
    void *arg;
    const char *name;
    unsigned n, done, started, cur, nready, rhead, arrived, acc;
    int kind, res;
    uint64_t gen;
    bool in_kernel;
    int set;
    thr t[1024];
    warp w[32];
    unsigned short ready[1024], order[1024], first;
};
extern block B;

extern char sync_start, sync_end; // addresses for TSan only
extern uint64_t *sync_blk;        // 2 for barriers, 64 for warps; fresh in every block
void make_ready(unsigned t);
int next_thread();
void set_current(unsigned t);
void block_current(int st); // parks the running thread, runs another
unsigned lane_bits(unsigned w);
void warp_finish(unsigned w, int gi); // all lanes of the group are here
void fiber_main();

// ---- memory (memory.cc) ----
static const uint32_t POISON = 0x7FF4DEADu; // a NaN as float and as double
struct range {
    char *p;
    size_t n;
    char *map;
    size_t mapn;
    int kind, device; // kind 0 device, 1 pinned, 2 symbol
};
void poison(void *p, size_t n);
range *reg_of(const void *p);
cudaError_t mem_alloc(void **out, size_t n, int kind);
void mem_free(void *p);
size_t mem_left(int device);
void dev_enter();
void dev_leave();

// ---- streams (stream.cc) and captures (capture.cc) ----
struct sop;
struct capture;
} // namespace hs
struct cudaHostStream {
    hs::sop *head, *tail;
    uint64_t enq, done;
    unsigned flags;
    int device;
    cudaStream_t next;
    hs::capture *cap; // takes part in it, as this branch
    int branch;
};
struct cudaHostEvent {
    cudaStream_t s;
    uint64_t seq;
    struct timespec t;
    bool recorded, dead;
    int pending;  // marks in queues
    uint64_t cap; // recorded in this capture, behind step seq of this branch
    int branch;
};
namespace hs
{
cudaError_t spoil(cudaStream_t s, cudaError_t e); // of a stream that is captured: the capture will fail
bool unsafe();                                    // not while a graph is captured, which is spoilt by it
uint64_t capture_push(cudaStream_t s, void (*run)(void *), void (*drop)(void *), void *arg);
void capture_record(cudaEvent_t e, cudaStream_t s);
cudaError_t capture_wait(cudaStream_t s, cudaEvent_t e);
void run_all(); // of the current device
bool is_captured(cudaStream_t s);

// ---- the API (device.cc) ----
extern pthread_mutex_t big;
struct lock {
    lock()
    {
        init();
        pthread_mutex_lock(&big);
    }
    ~lock() { pthread_mutex_unlock(&big); }
};
cudaError_t err(cudaError_t e);
cudaError_t waited(); // what a kernel did wrong, once
extern thread_local int current_device;
int stream_device(cudaStream_t s);

} // namespace hs
#endif
