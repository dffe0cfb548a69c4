// launch.cc - running a kernel: its blocks one after another, each with shared memory of its own.
#include "cuda/host/internal.h"

#include <fcntl.h>
#include <string>
#include <unistd.h>

using namespace hs;

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
uint64_t hs_serial;

// ---- shared memory ----
static char *arena;
static size_t arena_cap = 256 << 10, arena_used;
static void *dyn_p;
static struct {
    char *lo, *hi;
} section[64];
static int nsection;
static const size_t RZ = 32;
void hs_add_section(char *lo, char *hi)
{
    for (int i = 0; i < nsection; i++)
        if (section[i].lo == lo) return;
    if (lo && lo < hi && nsection < 64) {
        section[nsection].lo = lo;
        section[nsection++].hi = hi;
    }
}
static void *arena_take(size_t n, size_t al, const char *what)
{
    size_t at = (arena_used + RZ + al - 1) / al * al;
    if (at + n + RZ > arena_cap) hs_fail("shared memory: no room for %s (%zu bytes)", what, n);
    arena_used = at + n;
    if (ASAN) __asan_unpoison_memory_region(arena + at, n);
    poison(arena + at, n);
    return arena + at;
}
static size_t static_shared;
void hs_shared_alloc(hs_shkey *k, size_t n, size_t al, const char *what)
{
    k->p = arena_take(n, al < 16 ? 16 : al, what);
    k->serial = hs_serial;
    static_shared += n;
    if (static_shared > 48 << 10) hs_fail("static shared memory over 48 KiB at %s", what);
}
void *hs_dyn_shared()
{
    if (!dyn_p) hs_fail("kernel uses dynamic shared memory but was launched with 0 bytes of it");
    return dyn_p;
}

// ---- which kernels there are ----
static hs_kernel_entry *kernels;
void hs_kernel_known(hs_kernel_entry *k)
{
    k->next = kernels;
    kernels = k;
}
// The first launch of each is noted in the file that CUDA_HOST_LAUNCHED names, by whatever process it is.
void hs_kernel_launched(hs_kernel_entry *k)
{
    if (k->launches++) return;
    const char *file = getenv("CUDA_HOST_LAUNCHED");
    const int fd = file ? open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (fd < 0) return;
    const std::string line = std::string(k->name) + '\n';
    if (write(fd, line.data(), line.size()) != (ssize_t)line.size()) hs_fail("cannot write to %s", file);
    close(fd);
}
extern "C" void cuda_host_kernels(void (*visit)(const char *name, uint64_t launches, void *user), void *user)
{
    for (hs_kernel_entry *k = kernels; k; k = k->next) visit(k->name, k->launches, user);
}

// ---- launch ----
static struct {
    const void *f;
    int smem;
} attr[1024];
static int nattr;
cudaError_t hs_func_attr(const void *f, int a, int v)
{
    lock g;
    if (a != cudaFuncAttributeMaxDynamicSharedMemorySize || v < 0 || v > 227 << 10) return err(cudaErrorInvalidValue);
    int i = 0;
    while (i < nattr && attr[i].f != f) i++;
    if (i == 1024) return err(cudaErrorInvalidValue);
    attr[i].f = f;
    attr[i].smem = v;
    if (i == nattr) nattr++;
    return cudaSuccess;
}
static void run_block(uint64_t lin)
{
    const hs_launch *l = B.l;
    blockIdx.x = (unsigned)(lin % l->grid.x);
    blockIdx.y = (unsigned)(lin / l->grid.x % l->grid.y);
    blockIdx.z = (unsigned)(lin / l->grid.x / l->grid.y);
    hs_serial++;
    count.blocks++;
    count.threads += B.n;
    B.done = B.started = B.nready = B.rhead = B.arrived = 0;
    B.set ^= 1;
    for (unsigned i = 0; i < B.n; i++) {
        B.t[i].st = NEW;
        B.t[i].f = nullptr;
    }
    for (unsigned w = 0; w * 32 < B.n; w++) {
        B.w[w].live = lane_bits(w);
        B.w[w].ng = 0;
    }
    if (opt.order == RAND)
        for (unsigned i = B.n - 1; i > 0; i--) {
            unsigned j = (unsigned)(rnd() % (i + 1));
            unsigned short x = B.order[i];
            B.order[i] = B.order[j];
            B.order[j] = x;
        }
    static void *old[256];
    static int nold;
    if (TSAN) { // fresh shared memory, so blocks do not alias
        if (nold == 256 || nsection) {
            __tsan_acquire(&sync_end);
            while (nold) free(old[--nold]);
        }
        arena = (char *)malloc(arena_cap + 66 * 8);
        old[nold++] = arena;
        sync_blk = (uint64_t *)(arena + arena_cap);
    } else if (ASAN)
        __asan_poison_memory_region(arena, arena_used + RZ + 64 < arena_cap ? arena_used + RZ + 64 : arena_cap);
    arena_used = static_shared = 0;
    dyn_p = nullptr;
    if (l->smem) dyn_p = arena_take(l->smem, 16, "dynamic shared memory");
    for (int i = 0; i < nsection; i++) poison(section[i].lo, (size_t)(section[i].hi - section[i].lo));
    if (TSAN) __tsan_release(&sync_start);
    int u = next_thread();
    set_current((unsigned)u);
    B.t[u].f = fiber_get((unsigned)u);
    fswitch(&main_f, B.t[u].f);
}
static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}
struct kop {
    hs_launch l;
    void (*run)(void *), (*drop)(void *);
    void *arg;
};
static void kop_run(void *p)
{
    kop *k = (kop *)p;
    if (B.in_kernel) hs_fail("launch from inside a kernel");
    count.launches++;
    B.l = &k->l;
    B.run = k->run;
    B.arg = k->arg;
    B.n = k->l.block.x * k->l.block.y * k->l.block.z;
    gridDim = k->l.grid;
    blockDim = k->l.block;
    for (unsigned i = 0; i < B.n; i++) {
        B.t[i].id = { i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y) };
        B.order[i] = (unsigned short)(opt.order == REV ? B.n - 1 - i : i);
    }
    if (!arena && !TSAN) arena = (char *)aligned_alloc(1024, arena_cap);
    if (ASAN) __asan_poison_memory_region(arena, arena_cap);
    pthread_attr_t a;
    void *lo;
    size_t sz; // bounds of this OS thread's stack, for ASan
    if (ASAN) {
        pthread_getattr_np(pthread_self(), &a);
        pthread_attr_getstack(&a, &lo, &sz);
        pthread_attr_destroy(&a);
        main_f.lo = (char *)lo;
        main_f.size = sz;
    }
    if (TSAN) { // made here, not by a kernel thread: creation orders memory
        main_f.tsan = __tsan_get_current_fiber();
        for (unsigned i = 0; i < 2 * B.n; i++)
            if (!tsan_f[i & 1][i / 2]) tsan_f[i & 1][i / 2] = fiber_new();
    }
    uint64_t nb = (uint64_t)gridDim.x * gridDim.y * gridDim.z, step = 1, off = 0;
    if (opt.order == RAND) {
        off = rnd() % nb;
        do step = rnd() % nb + 1;
        while (gcd(step, nb) != 1);
    }
    dev_enter();
    B.in_kernel = true;
    for (uint64_t b = 0; b < nb; b++) run_block(opt.order == REV ? nb - 1 - b : (b * step + off) % nb);
    B.in_kernel = false;
    dev_leave();
    if (TSAN) __tsan_acquire(&sync_end);
    if (ASAN) __asan_unpoison_memory_region(arena, arena_cap);
}
static void kop_drop(void *p)
{
    kop *k = (kop *)p;
    k->drop(k->arg);
    delete k;
}
cudaError_t hs_launch_kernel(const hs_launch *l, cudaStream_t s, void (*run)(void *), void (*drop)(void *), void *arg)
{
    lock g;
    uint64_t n = (uint64_t)l->block.x * l->block.y * l->block.z;
    int lim = 48 << 10;
    for (int i = 0; i < nattr; i++)
        if (attr[i].f == l->fn && attr[i].smem > lim) lim = attr[i].smem;
    if (!n || n > 1024 || l->block.z > 64 || !l->grid.x || !l->grid.y || !l->grid.z || l->grid.x > 0x7fffffffu ||
        l->grid.y > 65535 || l->grid.z > 65535 || l->smem > (size_t)lim) {
        drop(arg);
        return err(l->smem > (size_t)lim ? cudaErrorInvalidValue : cudaErrorInvalidConfiguration);
    }
    return hs_enqueue(s, kop_run, kop_drop, new kop{ *l, run, drop, arg });
}
