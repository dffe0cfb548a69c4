/* isa.h - one kernel source, several instruction sets.
 *
 * A kernel source is listed in ops/cpu/meson.build under isa_sources and is compiled once for each instruction set:
 * "baseline" (x86-64 as it was in 2003; plain C on other machines), "avx2" (x86-64-v3) and "avx512" (x86-64-v4). All it
 * exports is one table of function pointers, whose name carries the instruction set. To add a family of kernels:
 *
 *     foo.h            typedef struct { void (*add)(float *y, const float *x, int64_t n); } ag__foo_kernels;
 *
 *     foo_kernel.c     static void add(float *y, const float *x, int64_t n) { ... }            (isa_sources)
 *                      AG_ISA_TABLE(ag__foo_kernels, ag__foo) = { .add = add };
 *
 *     foo.c            AG_ISA_TABLES(ag__foo_kernels, ag__foo)                                  (sources)
 *                      ... AG_ISA_PICK(ag__foo)->add(y, x, n) ...
 *
 * Everything else in a kernel source must be static, inline functions of headers included: the linker would keep just
 * one of the three copies, and the wrong machine would meet it. ops/cpu/vector.h has the registers.
 */
#ifndef AG_ISA_H
#define AG_ISA_H
#include <argent/capability.h>

typedef enum {
    AG_ISA_BASELINE,
#if defined(__x86_64__)
    AG_ISA_AVX2,
    AG_ISA_AVX512,
#endif
    AG_N_ISAS
} ag__isa;

/* The one in use, chosen once; for tests: use another one from now on. False, and nothing changes, if this machine
 * lacks it. */
extern int ag__cpu_chosen; /* -1: not yet */
ag__isa ag__cpu_choose(void);
static inline ag__isa ag__cpu_capability(void)
{
    int isa = __atomic_load_n(&ag__cpu_chosen, __ATOMIC_RELAXED);
    return __builtin_expect(isa >= 0, 1) ? (ag__isa)isa : ag__cpu_choose();
}
bool ag__set_cpu_capability(ag__isa isa);
const char *ag__isa_name(ag__isa isa);

/* In a kernel source: begins the definition of the table `name` for the instruction set at hand. */
#define AG_ISA_TABLE(type, name)                           \
    extern const type AG_PASTE(AG_PASTE(name, _), AG_ISA); \
    const type AG_PASTE(AG_PASTE(name, _), AG_ISA)

/* Where the kernels are used: declares all tables of that name, and picks the one in use. NARROW: those of
 * narrow_isa_sources, where AVX2's serve AVX-512, too. */
#if defined(__x86_64__)
#define AG_ISA_TABLES(type, name)                                  \
    extern const type name##_baseline, name##_avx2, name##_avx512; \
    static const type *const name##_tables[AG_N_ISAS] = { &name##_baseline, &name##_avx2, &name##_avx512 };
#define AG_ISA_TABLES_NARROW(type, name)            \
    extern const type name##_baseline, name##_avx2; \
    static const type *const name##_tables[AG_N_ISAS] = { &name##_baseline, &name##_avx2, &name##_avx2 };
#else
#define AG_ISA_TABLES(type, name)      \
    extern const type name##_baseline; \
    static const type *const name##_tables[AG_N_ISAS] = { &name##_baseline };
#define AG_ISA_TABLES_NARROW AG_ISA_TABLES
#endif
#define AG_ISA_PICK(name) (name##_tables[ag__cpu_capability()])

#endif
