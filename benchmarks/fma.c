/* fma.c - multiply-adds in registers and nothing else; compiled once per instruction set, with AG_ISA its name.
 *
 * SUMS registers, each x = x * m + a over and over: so many that the latency of an instruction does not matter, and so
 * few that 16 registers hold them beside m and a. Both functions do 2 * SUMS operations a lane and step.
 */
#include "fma.h"

#if defined(__AVX512F__)
enum { BYTES = 64 };
#elif defined(__AVX__)
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif

#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)
#define NAME(name)   PASTE(name, AG_ISA)

/* What the compiler knows of the registers it must forget at each step. */
#if defined(__AVX512F__)
#define IN_REGISTER "+v"
#elif defined(__x86_64__)
#define IN_REGISTER "+x"
#elif defined(__aarch64__)
#define IN_REGISTER "+w"
#else
#define IN_REGISTER "+m"
#endif
#define FORGET(a, b, c, d, e, f) \
    __asm__ volatile(""          \
                     : IN_REGISTER(a), IN_REGISTER(b), IN_REGISTER(c), IN_REGISTER(d), IN_REGISTER(e), IN_REGISTER(f))

typedef float floats __attribute__((vector_size(BYTES)));
typedef double doubles __attribute__((vector_size(BYTES)));

double NAME(fma_f32_)(int steps)
{
    floats m = (floats){ 0 } + 0.999f, a = (floats){ 0 } + 0.001f;
    floats r0 = a, r1 = a, r2 = a, r3 = a, r4 = a, r5 = a, r6 = a, r7 = a, r8 = a, r9 = a, r10 = a, r11 = a;
    for (int s = 0; s < steps; s++) {
        r0 = r0 * m + a, r1 = r1 * m + a, r2 = r2 * m + a, r3 = r3 * m + a, r4 = r4 * m + a, r5 = r5 * m + a;
        r6 = r6 * m + a, r7 = r7 * m + a, r8 = r8 * m + a, r9 = r9 * m + a, r10 = r10 * m + a, r11 = r11 * m + a;
        FORGET(r0, r1, r2, r3, r4, r5);
        FORGET(r6, r7, r8, r9, r10, r11);
    }
    floats all = r0 + r1 + r2 + r3 + r4 + r5 + r6 + r7 + r8 + r9 + r10 + r11;
    return (double)all[0] + (double)all[BYTES / 4 - 1];
}

double NAME(fma_f64_)(int steps)
{
    doubles m = (doubles){ 0 } + 0.999, a = (doubles){ 0 } + 0.001;
    doubles r0 = a, r1 = a, r2 = a, r3 = a, r4 = a, r5 = a, r6 = a, r7 = a, r8 = a, r9 = a, r10 = a, r11 = a;
    for (int s = 0; s < steps; s++) {
        r0 = r0 * m + a, r1 = r1 * m + a, r2 = r2 * m + a, r3 = r3 * m + a, r4 = r4 * m + a, r5 = r5 * m + a;
        r6 = r6 * m + a, r7 = r7 * m + a, r8 = r8 * m + a, r9 = r9 * m + a, r10 = r10 * m + a, r11 = r11 * m + a;
        FORGET(r0, r1, r2, r3, r4, r5);
        FORGET(r6, r7, r8, r9, r10, r11);
    }
    doubles all = r0 + r1 + r2 + r3 + r4 + r5 + r6 + r7 + r8 + r9 + r10 + r11;
    return all[0] + all[BYTES / 8 - 1];
}

int NAME(fma_bytes_)(void) { return BYTES; }
