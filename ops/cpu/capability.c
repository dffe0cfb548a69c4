/* capability.c - which instruction set the kernels use: asked of the CPU and of the environment, once. */
#include "ops/cpu/isa.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const char *const names[AG_N_ISAS] = {
    [AG_ISA_BASELINE] = "baseline",
#if defined(__x86_64__)
    [AG_ISA_AVX2] = "avx2",
    [AG_ISA_AVX512] = "avx512",
#endif
};

/* What -march=x86-64-v3 and -v4 take for granted. __builtin_cpu_supports also asks whether the system saves the
 * registers. */
static ag__isa best_isa(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    const unsigned movbe = 1u << 22, f16c = 1u << 29, lzcnt = 1u << 5;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi") ||
        !__builtin_cpu_supports("bmi2"))
        return AG_ISA_BASELINE;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (movbe | f16c)) != (movbe | f16c)) return AG_ISA_BASELINE;
    if (!__get_cpuid(0x80000001, &a, &b, &c, &d) || !(c & lzcnt)) return AG_ISA_BASELINE;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return AG_ISA_AVX512;
#if defined(AG_WIDE_ON_AVX2)
    return AG_ISA_AVX512; /* it is made of AVX2 */
#endif
    return AG_ISA_AVX2;
#else
    return AG_ISA_BASELINE;
#endif
}

int ag__cpu_chosen = -1;

ag__isa ag__cpu_choose(void)
{
    ag__isa isa = best_isa();
    const char *wanted = getenv("AG_CPU_CAPABILITY");
    for (int i = 0; wanted && i < (int)isa; i++)
        if (strcmp(wanted, names[i]) == 0) isa = (ag__isa)i;
    __atomic_store_n(&ag__cpu_chosen, (int)isa, __ATOMIC_RELAXED);
    return isa;
}

bool ag__set_cpu_capability(ag__isa isa)
{
    if ((int)isa < 0 || isa > best_isa()) return false;
    __atomic_store_n(&ag__cpu_chosen, (int)isa, __ATOMIC_RELAXED);
    return true;
}

const char *ag__isa_name(ag__isa isa) { return (int)isa >= 0 && isa < AG_N_ISAS ? names[isa] : "unknown"; }

const char *ag_cpu_capability(void) { return names[ag__cpu_capability()]; }
