// memory.cc - device and pinned memory: which ranges there are, poison in what was not written.
#include "cuda/host/internal.h"

#include <sys/mman.h>

namespace hs
{
void poison(void *p, size_t n)
{
    if (MSAN) {
        __msan_poison(p, n);
        return;
    }
    uint32_t *w = (uint32_t *)p;
    for (size_t i = 0; i < n / 4; i++) w[i] = POISON;
    memset((char *)p + n / 4 * 4, 0xAD, n % 4);
}
static range *reg;
static size_t nreg, creg;
static int dev_depth;
static size_t reg_find(const void *p)
{
    size_t a = 0, b = nreg;
    while (a < b) {
        size_t m = (a + b) / 2;
        if (reg[m].p <= p)
            a = m + 1;
        else
            b = m;
    }
    return a;
}
range *reg_of(const void *p)
{
    size_t i = reg_find(p);
    if (!i) return nullptr;
    range *r = &reg[i - 1];
    return (const char *)p < r->p + r->n || (const char *)p == r->p ? r : nullptr;
}
static void reg_add(range r)
{
    if (nreg == creg) reg = (range *)realloc(reg, (creg = creg ? 2 * creg : 64) * sizeof *reg);
    size_t i = reg_find(r.p);
    memmove(reg + i + 1, reg + i, (nreg++ - i) * sizeof *reg);
    reg[i] = r;
}
static void prot(int p)
{
    for (size_t i = 0; i < nreg; i++)
        if (reg[i].map) mprotect(reg[i].map, reg[i].mapn, p);
}
void dev_enter()
{
    if (opt.protect && !dev_depth++) prot(PROT_READ | PROT_WRITE);
}
void dev_leave()
{
    if (opt.protect && !--dev_depth) prot(PROT_NONE);
}
size_t mem_left(int device)
{
    size_t used = 0;
    for (size_t i = 0; i < nreg; i++)
        if (reg[i].kind == 0 && reg[i].device == device) used += reg[i].n;
    return used < opt.memory ? opt.memory - used : 0;
}
cudaError_t mem_alloc(void **out, size_t n, int kind)
{
    lock g;
    *out = nullptr;
    if (unsafe()) return err(cudaErrorStreamCaptureUnsupported);
    if (!n) return cudaSuccess;
    range r = { nullptr, n, nullptr, 0, kind, current_device };
    if (!kind && n > mem_left(current_device)) return err(cudaErrorMemoryAllocation);
    if (opt.protect && !kind) { // own pages, data against the end, guard page after
        r.mapn = (n + 4095) / 4096 * 4096;
        char *m = (char *)mmap(nullptr, r.mapn + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (m == MAP_FAILED) return err(cudaErrorMemoryAllocation);
        mprotect(m + r.mapn, 4096, PROT_NONE);
        r.map = m;
        r.p = m + (r.mapn - n) / 16 * 16;
    } else if (posix_memalign((void **)&r.p, 256, n))
        return err(cudaErrorMemoryAllocation);
    poison(r.p, n);
    reg_add(r);
    if (r.map && !dev_depth) mprotect(r.map, r.mapn, PROT_NONE);
    *out = r.p;
    return cudaSuccess;
}
void mem_free(void *p)
{
    lock g;
    size_t i = reg_find(p);
    if (!i || reg[i - 1].p != p) hs_fail("free of %p, which is no live allocation", p);
    range r = reg[i - 1];
    memmove(reg + i - 1, reg + i, (nreg-- - i) * sizeof *reg);
    if (r.map)
        munmap(r.map, r.mapn + 4096);
    else {
        if (!ASAN && !TSAN) poison(r.p, r.n);
        free(r.p);
    }
}

} // namespace hs

using namespace hs;
void hs_allow_ptr(const void *p, size_t n)
{
    lock g;
    if (!reg_of(p)) reg_add({ (char *)p, n, nullptr, 0, 2, current_device });
}
int hs_is_device_ptr(const void *p)
{
    lock g;
    return reg_of(p) != nullptr;
}
void hs_check_arg(const hs_launch *l, int i, const void *p)
{
    if (p && !hs_is_device_ptr(p))
        hs_fail("argument %d of kernel %s (launched at %s:%d) is no device memory: %p", i, l->name, l->file, l->line,
                p);
}
