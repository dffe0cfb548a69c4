/* machine.h - what this machine can do at most: the figures that others are a fraction of. */
#ifndef ARGENT_BENCH_MACHINE_H
#define ARGENT_BENCH_MACHINE_H

/* Floating-point operations a second of independent multiply-adds in registers, by `threads` at a time; of "avx512",
 * "avx2" or "baseline" (where a multiply-add is two instructions). width: 4 or 8 bytes an element. 0 where this CPU
 * lacks the instructions. The best of a few rounds, 0.1 seconds together. */
double machine_fma(const char *isa, int width, int threads);

/* Bytes a second, read and written counted both, of copying arrays far larger than a cache. 0: out of memory. */
double machine_copy(int threads);

#endif
