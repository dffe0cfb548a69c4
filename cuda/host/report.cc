// report.cc - the options of a run, and what is said when a kernel does wrong.
#include "cuda/host/internal.h"

#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

namespace hs
{

options opt;
counts count;
static int env_int(const char *n, int d)
{
    const char *s = getenv(n);
    return s ? atoi(s) : d;
}
static void on_exit_stats()
{
    fprintf(stderr,
            "cuda-host: %llu launches, %llu blocks, %llu threads, %llu switches, %llu barriers, %llu warp ops\n",
            (unsigned long long)count.launches, (unsigned long long)count.blocks, (unsigned long long)count.threads,
            (unsigned long long)count.switches, (unsigned long long)count.barriers, (unsigned long long)count.warpops);
}

static const char *st_name(int s)
{
    static const char *n[] = { "not started", "ready", "running", "at __syncthreads", "at a warp operation", "exited" };
    return n[s];
}
void where()
{
    if (!B.in_kernel) return;
    fprintf(stderr,
            "cuda-host: in kernel %s <<<(%u,%u,%u),(%u,%u,%u),%zu>>> launched at %s:%d\n"
            "cuda-host: block (%u,%u,%u) thread (%u,%u,%u)\n",
            B.l->name, gridDim.x, gridDim.y, gridDim.z, blockDim.x, blockDim.y, blockDim.z, B.l->smem, B.l->file,
            B.l->line, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    B.in_kernel = false; // say it once
}
void waiters()
{ // who waits where, for a report
    for (unsigned i = 0; i < B.n;) {
        unsigned j = i + 1;
        thr *a = &B.t[i];
        while (j < B.n && B.t[j].st == a->st && B.t[j].line == a->line && B.t[j].file == a->file) j++;
        fprintf(stderr, "cuda-host:   threads %u..%u: %s", i, j - 1, st_name(a->st));
        if (a->st == WAIT_BLOCK || a->st == WAIT_WARP) fprintf(stderr, " (%s:%d)", a->file, a->line);
        fputc('\n', stderr);
        i = j;
    }
}
static void on_segv(int sig)
{
    if (B.in_kernel) fprintf(stderr, "cuda-host: ERROR: signal %d\n", sig);
    where();
    signal(sig, SIG_DFL);
    raise(sig);
}
void init()
{
    static bool once;
    if (once) return;
    once = true;
    const char *o = getenv("CUDA_HOST_ORDER");
    if (o && !strcmp(o, "rev")) opt.order = REV;
    if (o && !strncmp(o, "rand", 4)) {
        opt.order = RAND;
        opt.seed = o[4] ? strtoull(o + 5, 0, 0) : 1;
    }
    opt.seed = opt.seed * 0x9E3779B97F4A7C15ull + 1;
    opt.defer = env_int("CUDA_HOST_DEFER", 0);
    opt.protect = env_int("CUDA_HOST_PROTECT", 0);
    opt.strict = env_int("CUDA_HOST_STRICT", 1);
    opt.unwritten = env_int("CUDA_HOST_UNWRITTEN", 0);
    opt.stats = env_int("CUDA_HOST_STATS", 0);
    opt.devices = env_int("CUDA_HOST_DEVICES", 2);
    opt.memory = (size_t)env_int("CUDA_HOST_MEMORY_MB", 8192) << 20;
    opt.stack = (size_t)env_int("CUDA_HOST_STACK_KB", ASAN || MSAN || TSAN ? 256 : 64) << 10;
    if (opt.stats) atexit(on_exit_stats);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(where);
    else {
        static char alt[65536];
        stack_t ss = {};
        ss.ss_sp = alt;
        ss.ss_size = sizeof alt;
        sigaltstack(&ss, nullptr);
        struct sigaction sa = {};
        sa.sa_handler = on_segv;
        sa.sa_flags = SA_ONSTACK;
        sigaction(SIGSEGV, &sa, nullptr);
        sigaction(SIGBUS, &sa, nullptr);
        sigaction(SIGFPE, &sa, nullptr);
        sigaction(SIGABRT, &sa, nullptr);
    }
}
uint64_t rnd()
{
    uint64_t &s = opt.seed;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return s;
}

} // namespace hs

void hs_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "cuda-host: ERROR: ");
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    hs::where();
    fflush(nullptr);
    abort();
}
