// copy.cc - the API of memory: allocation, copies, memset.
#include "cuda/host/internal.h"

using namespace hs;

extern "C" {
cudaError_t cudaMalloc(void **p, size_t n) { return mem_alloc(p, n, 0); }
cudaError_t cudaMallocHost(void **p, size_t n) { return mem_alloc(p, n, 1); }
cudaError_t cudaHostAlloc(void **p, size_t n, unsigned) { return mem_alloc(p, n, 1); }
cudaError_t cudaMallocAsync(void **p, size_t n, cudaStream_t) { return mem_alloc(p, n, 0); }
cudaError_t cudaFree(void *p)
{
    lock g;
    if (unsafe()) return err(cudaErrorStreamCaptureUnsupported);
    run_all();
    if (p) mem_free(p);
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void *p) { return cudaFree(p); }
cudaError_t cudaFreeAsync(void *p, cudaStream_t s)
{
    lock g;
    hs_enqueue(s, mem_free, nullptr, p);
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t *f, size_t *t)
{
    lock g;
    *t = opt.memory;
    *f = mem_left(current_device);
    return cudaSuccess;
}
}

struct cpy {
    char *d;
    const char *s;
    size_t dp, sp, w, h;
    char *tmp;
    bool check;
    int v;
};
static void cpy_run(void *a)
{
    cpy *c = (cpy *)a;
    dev_enter();
    for (size_t y = 0; y < c->h; y++) {
        if (c->s)
            memcpy(c->d + y * c->dp, c->s + y * c->sp, c->w);
        else
            memset(c->d, c->v, c->w);
        if (c->check && MSAN) __msan_check_mem_is_initialized(c->s + y * c->sp, c->w);
        if (c->check && opt.unwritten && !MSAN)
            for (size_t i = 0; i + 4 <= c->w; i += 4) {
                uint32_t u;
                memcpy(&u, c->s + y * c->sp + i, 4);
                if (u == POISON)
                    hs_fail("device-to-host copy of unwritten memory: byte %zu of %zu", i + y * c->w, c->w * c->h);
            }
    }
    dev_leave();
}
static void cpy_drop(void *a)
{
    cpy *c = (cpy *)a;
    free(c->tmp);
    delete c;
}
extern "C" {
cudaError_t cudaMemcpy2DAsync(void *d, size_t dp, const void *s, size_t sp, size_t w, size_t h, enum cudaMemcpyKind k,
                              cudaStream_t st)
{
    lock g;
    if (!w || !h) return cudaSuccess;
    range *rd = reg_of(d), *rs = reg_of(s);
    bool dd = rd && rd->kind != 1, sd = rs && rs->kind != 1;
    if (k != cudaMemcpyDefault && (dd != (k == cudaMemcpyHostToDevice || k == cudaMemcpyDeviceToDevice) ||
                                   sd != (k == cudaMemcpyDeviceToHost || k == cudaMemcpyDeviceToDevice)))
        hs_fail("copy of kind %d: destination %p is %s memory, source %p is %s memory", (int)k, d,
                dd ? "device" : "host", s, sd ? "device" : "host");
    size_t nd = dp * (h - 1) + w, ns = sp * (h - 1) + w;
    if (rd && (char *)d + nd > rd->p + rd->n)
        hs_fail("copy of %zu bytes runs past the end of its destination (%zu bytes)", nd, rd->n);
    if (rs && (char *)s + ns > rs->p + rs->n)
        hs_fail("copy of %zu bytes runs past the end of its source (%zu bytes)", ns, rs->n);
    if (is_captured(st) && (!rs || !rd)) return spoil(st, cudaErrorStreamCaptureUnsupported); // pageable
    cpy *c = new cpy{ (char *)d, (const char *)s, dp, sp, w, h, nullptr, sd && !dd, 0 };
    if (!rs && opt.defer) {
        c->tmp = (char *)malloc(ns);
        memcpy(c->tmp, s, ns);
        c->s = c->tmp;
    } // pageable source is staged
    hs_enqueue(st, cpy_run, cpy_drop, c);
    return !rd && sd ? cudaStreamSynchronize(st) : cudaSuccess; // a pageable destination blocks
}
cudaError_t cudaMemcpyAsync(void *d, const void *s, size_t n, enum cudaMemcpyKind k, cudaStream_t st)
{
    return cudaMemcpy2DAsync(d, n, s, n, n, 1, k, st);
}
cudaError_t cudaMemcpyPeerAsync(void *d, int dd, const void *s, int sd, size_t n, cudaStream_t st)
{
    lock g;
    range *rd = reg_of(d), *rs = reg_of(s);
    if (!rd || !rs || rd->kind || rs->kind || rd->device != dd || rs->device != sd)
        hs_fail("copy from device %d to device %d: destination is of device %d, source of device %d", sd, dd,
                rd ? rd->device : -1, rs ? rs->device : -1);
    if (stream_device(st) != current_device) hs_fail("copy between devices: the stream is not the current device's");
    return cudaMemcpyAsync(d, s, n, cudaMemcpyDeviceToDevice, st);
}
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    *can = device != peer;
    return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned)
{
    lock g;
    static bool enabled[8][8];
    if (enabled[current_device][peer]) return err(cudaErrorPeerAccessAlreadyEnabled);
    enabled[current_device][peer] = true;
    return cudaSuccess;
}
cudaError_t cudaMemcpy(void *d, const void *s, size_t n, enum cudaMemcpyKind k)
{
    cudaError_t e = cudaMemcpyAsync(d, s, n, k, nullptr);
    cudaStreamSynchronize(nullptr);
    return e;
}
cudaError_t cudaMemsetAsync(void *p, int v, size_t n, cudaStream_t s)
{
    lock g;
    range *r = reg_of(p);
    if (!n) return cudaSuccess;
    if (!r || (char *)p + n > r->p + r->n) hs_fail("cudaMemset of %zu bytes outside device memory", n);
    hs_enqueue(s, cpy_run, cpy_drop, new cpy{ (char *)p, nullptr, 0, 0, n, 1, nullptr, false, v });
    return cudaSuccess;
}
cudaError_t cudaMemset(void *p, int v, size_t n) { return cudaMemsetAsync(p, v, n, nullptr); }
}
