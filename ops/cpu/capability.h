/* capability.h - the instruction set that the CPU kernels use. */
#ifndef ARGENT_CAPABILITY_H
#define ARGENT_CAPABILITY_H
#include <argent/export.h>

AG_BEGIN_DECLS

/* "avx512", "avx2" or "baseline": the best that this CPU has. AG_CPU_CAPABILITY in the environment asks for a lower
 * one; a name that is unknown or more than the CPU has is ignored. Results may differ in their last bits from one to
 * another. */
AG_API const char *ag_cpu_capability(void);

AG_END_DECLS
#endif
