/* fma.h - the functions of fma.c, one set per instruction set. */
#ifndef ARGENT_BENCH_FMA_H
#define ARGENT_BENCH_FMA_H

enum { FMA_SUMS = 12 }; /* registers; a step is one multiply-add in each lane of each */

/* `steps` steps; the result only keeps the work from being left out. */
double fma_f32_baseline(int steps);
double fma_f64_baseline(int steps);
int fma_bytes_baseline(void); /* of a register */
double fma_f32_avx2(int steps);
double fma_f64_avx2(int steps);
int fma_bytes_avx2(void);
double fma_f32_avx512(int steps);
double fma_f64_avx512(int steps);
int fma_bytes_avx512(void);

#endif
