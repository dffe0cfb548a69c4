/* random_kernels.c - see random_kernels.h. The logarithm, sine and cosine of normal_float are those of PyTorch's AVX2
 * kernel: the polynomials of Cephes (S. Moshier) as arranged by J. Pommier's sse_mathfun.h, with the fused operations
 * that gcc makes of its AVX2 form. They use no libm function but fmaf and sqrtf, which are exact everywhere. */
#include "tensor/random_kernels.h"

#include "tensor/generator_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* Bodies are inlined into one function per instruction set, where the compiler makes vectors of their loops. */
#define BODY static inline __attribute__((always_inline))

/* ---- MT19937 ---- */

BODY uint32_t twisted(uint32_t here, uint32_t next, uint32_t far)
{
    uint32_t y = (here & 0x80000000u) | (next & 0x7fffffffu);
    return far ^ (y >> 1) ^ (-(y & 1) & 0x9908b0dfu);
}

BODY void twist(uint32_t *word)
{
    enum { N = AG_MT_WORDS, M = 397 };
    for (int k = 0; k < N - M; k++) word[k] = twisted(word[k], word[k + 1], word[k + M]);
    for (int k = N - M; k < N - 1; k++) word[k] = twisted(word[k], word[k + 1], word[k + M - N]);
    word[N - 1] = twisted(word[N - 1], word[0], word[M - 1]);
}

BODY void temper(uint32_t *restrict out, const uint32_t *restrict word, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t y = word[i];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c5680u;
        y ^= (y << 15) & 0xefc60000u;
        out[i] = y ^ y >> 18;
    }
}

/* ---- uniform ---- */

BODY void uniform_float(float *restrict out, const uint32_t *restrict words, int64_t n, float from, float to)
{
    float range = to - from;
    for (int64_t i = 0; i < n; i++) {
        float v = fmaf((float)(int32_t)(words[i] & 0xffffff) * 0x1p-24f, range, from);
        out[i] = v == to ? from : v;
    }
}

/* The low 53 bits of two words, the first one high, as an integer. */
BODY int64_t bits53(const uint32_t *pair) { return (int64_t)((uint64_t)(pair[0] & 0x1fffff) << 32 | pair[1]); }

BODY void uniform_double(double *restrict out, const uint32_t *restrict words, int64_t n, double from, double to)
{
    double range = to - from;
    for (int64_t i = 0; i < n; i++) {
        double v = fma((double)bits53(words + 2 * i) * 0x1p-53, range, from);
        out[i] = v == to ? from : v;
    }
}

/* ---- coin tosses ---- */

BODY void choose_float(float *restrict out, const uint32_t *restrict words, int64_t n, int64_t threshold, float on)
{
    for (int64_t i = 0; i < n; i++) out[i] = bits53(words + 2 * i) < threshold ? on : 0.0f;
}

BODY void choose_double(double *restrict out, const uint32_t *restrict words, int64_t n, int64_t threshold, double on)
{
    for (int64_t i = 0; i < n; i++) out[i] = bits53(words + 2 * i) < threshold ? on : 0.0;
}

/* ---- normal ---- */

BODY float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
BODY uint32_t to_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* ln x for x in [2^-24, 1]: x = m 2^e with m in [1/sqrt 2, sqrt 2), a polynomial in m - 1, and e ln 2 in two parts. */
BODY float natural_log(float x)
{
    uint32_t bits = to_bits(x);
    float e = (float)((int32_t)(bits >> 23) - 126);
    float m = from_bits((bits & 0x807fffffu) | 0x3f000000u); /* [0.5, 1) */
    bool low = m < (float)0.707106781186547524;
    float t = m - 1.0f + (low ? m : 0.0f);
    e = low ? e - 1.0f : e;

    float z = t * t;
    float y = (float)7.0376836292E-2;
    y = fmaf(y, t, (float)-1.1514610310E-1);
    y = fmaf(y, t, (float)1.1676998740E-1);
    y = fmaf(y, t, (float)-1.2420140846E-1);
    y = fmaf(y, t, (float)1.4249322787E-1);
    y = fmaf(y, t, (float)-1.6668057665E-1);
    y = fmaf(y, t, (float)2.0000714765E-1);
    y = fmaf(y, t, (float)-2.4999993993E-1);
    y = fmaf(y, t, (float)3.3333331174E-1);
    y = y * t;
    y = fmaf(y, z, e * (float)-2.12194440e-4);
    y = fmaf(-z, 0.5f, y);
    return fmaf(e, 0.693359375f, t + y);
}

/* Both for x in [0, 2 pi): x less a multiple j of pi/4 in three parts, then one polynomial each; the octant says which
 * of them is the sine and how the signs are. */
BODY void sine_cosine(float x, float *sine, float *cosine)
{
    int32_t j = ((int32_t)(x * (float)1.27323954473516) + 1) & ~1;
    float f = (float)j;
    x = fmaf(f, -0.78515625f, x);
    x = fmaf(f, (float)-2.4187564849853515625e-4, x);
    x = fmaf(f, (float)-3.77489497744594108e-8, x);

    float z = x * x;
    float p = fmaf((float)2.443315711809948E-005, z, (float)-1.388731625493765E-003);
    p = fmaf(p, z, (float)4.166664568298827E-002);
    p = p * z;
    p = fmaf(p, z, -(z * 0.5f));
    p = p + 1.0f;
    float q = fmaf((float)-1.9515295891E-4, z, (float)8.3321608736E-3);
    q = fmaf(q, z, (float)-1.6666654611E-1);
    q = q * z;
    q = fmaf(q, x, x);

    bool swap = (j & 2) != 0;
    float s = swap ? p : q, c = swap ? q : p;
    *sine = from_bits(to_bits(s) ^ (uint32_t)(j & 4) << 29);
    *cosine = from_bits(to_bits(c) ^ (uint32_t)(~(j - 2) & 4) << 29);
}

BODY void normal_float(float *x, int64_t blocks, float mean, float std)
{
    for (; blocks > 0; blocks--, x += 16) {
        float a[8], b[8]; /* apart from x, so that the compiler sees eight independent lanes */
        for (int i = 0; i < 8; i++) {
            float radius = sqrtf(-2.0f * natural_log(1.0f - x[i])), sine, cosine;
            sine_cosine((float)6.283185307179586 * x[i + 8], &sine, &cosine);
            a[i] = fmaf(radius * cosine, std, mean);
            b[i] = fmaf(radius * sine, std, mean);
        }
        memcpy(x, a, sizeof a);
        memcpy(x + 8, b, sizeof b);
    }
}

/* ---- a table for each instruction set ---- */

/* clang-format off */
#define TABLE(isa, TARGET)                                                                                           \
    TARGET static void twist_##isa(uint32_t *word) { twist(word); }                                                  \
    TARGET static void temper_##isa(uint32_t *restrict out, const uint32_t *restrict word, int64_t n)                \
    { temper(out, word, n); }                                                                                        \
    TARGET static void uniform_float_##isa(float *restrict out, const uint32_t *restrict w, int64_t n, float from, float to)     \
    { uniform_float(out, w, n, from, to); }                                                                          \
    TARGET static void uniform_double_##isa(double *restrict out, const uint32_t *restrict w, int64_t n, double from, double to) \
    { uniform_double(out, w, n, from, to); }                                                                         \
    TARGET static void choose_float_##isa(float *restrict out, const uint32_t *restrict w, int64_t n, int64_t t, float on)       \
    { choose_float(out, w, n, t, on); }                                                                              \
    TARGET static void choose_double_##isa(double *restrict out, const uint32_t *restrict w, int64_t n, int64_t t, double on)    \
    { choose_double(out, w, n, t, on); }                                                                             \
    TARGET static void normal_float_##isa(float *x, int64_t blocks, float mean, float std)                           \
    { normal_float(x, blocks, mean, std); }                                                                          \
    static const ag_random_kernels table_##isa = { #isa, twist_##isa, temper_##isa, uniform_float_##isa,             \
        uniform_double_##isa, choose_float_##isa, choose_double_##isa, normal_float_##isa };
/* clang-format on */

TABLE(baseline, )
#ifdef __x86_64__
TABLE(avx2, __attribute__((target("avx2,fma"))))

static const ag_random_kernels *best(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &table_avx2 : &table_baseline;
}
#else
static const ag_random_kernels *best(void) { return &table_baseline; }
#endif

const ag_random_kernels *ag__random_kernels(void)
{
    static const ag_random_kernels *chosen;
    const ag_random_kernels *kernels = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
    if (kernels) return kernels;
    const char *wanted = getenv("AG_CPU_CAPABILITY");
    kernels = wanted && strcmp(wanted, "baseline") == 0 ? &table_baseline : best();
    __atomic_store_n(&chosen, kernels, __ATOMIC_RELAXED);
    return kernels;
}

const ag_random_kernels *ag__random_kernels_at(int i)
{
    if (i == 0) return best();
    return i == 1 && best() != &table_baseline ? &table_baseline : NULL;
}
