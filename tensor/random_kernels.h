/* random_kernels.h - from the twister's words to numbers, many at a time.
 *
 * The same source is compiled for several instruction sets and a table of the best one is chosen; all of them give the
 * same bits. What decides the bits is written out: every fused multiply-add is an fma() or fmaf(), and the compiler
 * must not fuse others (-ffp-contract=off). The reference is PyTorch on x86-64 with AVX2 and FMA, on whatever machine
 * this runs.
 */
#ifndef AG_RANDOM_KERNELS_H
#define AG_RANDOM_KERNELS_H
#include <stdbool.h>
#include <stdint.h>

typedef struct ag_random_kernels {
    const char *name;
    /* MT19937: the 624 words of the next round, in place */
    void (*twist)(uint32_t *word);
    void (*temper)(uint32_t *restrict out, const uint32_t *restrict word, int64_t n);

    /* uniform in [from, to): one word each, two for a double. (to - from) is computed by the caller. */
    void (*uniform_float)(float *restrict out, const uint32_t *restrict words, int64_t n, float from, float to);
    void (*uniform_double)(double *restrict out, const uint32_t *restrict words, int64_t n, double from, double to);

    /* `on` where a uniform double, which takes two words, is below threshold / 2^53, else 0 */
    void (*choose_float)(float *restrict out, const uint32_t *restrict words, int64_t n, int64_t threshold, float on);
    void (*choose_double)(double *restrict out, const uint32_t *restrict words, int64_t n, int64_t threshold,
                          double on);

    /* Box-Muller in place: blocks of 16 uniforms in [0, 1) become normals. x[0..7] give the radius, x[8..15] the angle;
     * the cosine halves land in x[0..7], the sine halves in x[8..15]. */
    void (*normal_float)(float *x, int64_t blocks, float mean, float std);
} ag_random_kernels;

/* The fastest table this CPU can run, or the plain one where AG_CPU_CAPABILITY is "baseline" in the environment. */
const ag_random_kernels *ag__random_kernels(void);
/* All that it can run, the fastest first; NULL after the last: for tests. */
const ag_random_kernels *ag__random_kernels_at(int i);

#endif
