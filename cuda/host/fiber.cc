// fiber.cc - a stack for each thread of a block that has to wait, and the switch from one to the other.
#include "cuda/host/internal.h"

#include <sys/mman.h>

namespace hs
{

fiber main_f, *free_f, *tsan_f[2][1024];

#if defined(__x86_64__) && !defined(HS_UCONTEXT)
extern "C" void hs_swap(void **save, void *to) __attribute__((visibility("hidden")));
asm(".text\n.p2align 4\n.hidden hs_swap\n.globl hs_swap\n.type hs_swap,@function\nhs_swap:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n.size hs_swap,.-hs_swap\n");
static void fiber_init(fiber *f, void (*entry)(void))
{
    void **s = (void **)(f->lo + f->size);
    *--s = nullptr; // return address 0 ends the call chain
    *--s = (void *)entry;
    for (int i = 0; i < 6; i++) *--s = nullptr;
    f->sp = s;
}
#else
#include <ucontext.h>
static void fiber_init(fiber *f, void (*entry)(void))
{
    ucontext_t *u = (ucontext_t *)calloc(1, sizeof *u);
    getcontext(u);
    u->uc_stack.ss_sp = f->lo;
    u->uc_stack.ss_size = f->size;
    makecontext(u, entry, 0);
    f->sp = u;
}
static void hs_swap(void **save, void *to)
{
    ucontext_t u;
    *save = &u;
    swapcontext(&u, (ucontext_t *)to);
}
#endif

fiber *fiber_new()
{
    fiber *f = (fiber *)calloc(1, sizeof *f);
    size_t pg = 4096;
    char *m = (char *)mmap(nullptr, opt.stack + pg, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                           -1, 0);
    if (m == MAP_FAILED) hs_fail("no memory for a fiber stack");
    mprotect(m, pg, PROT_NONE); // guard page
    f->lo = m + pg;
    f->size = opt.stack;
    fiber_init(f, fiber_main);
    if (TSAN) f->tsan = __tsan_create_fiber(0);
    return f;
}
fiber *fiber_get(unsigned t)
{
    if (TSAN) return tsan_f[B.set][t]; // one fiber (and stack) per thread identity
    fiber *f = free_f;
    if (!f) return fiber_new();
    free_f = f->next;
    return f;
}
void fswitch(fiber *from, fiber *to)
{
    count.switches++;
    if (ASAN) __sanitizer_start_switch_fiber(&from->fake, to->lo, to->size);
    if (TSAN) __tsan_switch_to_fiber(to->tsan, 1 /* no_sync */);
    hs_swap(&from->sp, to->sp);
    if (ASAN) __sanitizer_finish_switch_fiber(from->fake, nullptr, nullptr);
}

} // namespace hs
