/* fused.h - what the functions of registers are made of (exp.h, log.h, tanh.h, sin.h, erf.h and those of f32), T being
 * f32 or f64 as in vector.h:
 *
 *     AG_FUSED                    1 where the machine has an instruction for a b + c, rounded once
 *     multiply_add_T(a, b, c)     a b + c, rounded once where AG_FUSED
 *     polynomial_T(x, c, n)       c[0] + c[1] x + ... + c[n - 1] x^(n - 1), n >= 2
 *     scale_f64(x, shifted)       x 2^n, n whole: shifted is AG_SHIFTER + n; 0 or infinite where the type ends
 *
 * Without AG_FUSED these functions are libraries', but for erf_f64. */
#ifndef AG_FUSED_H
#define AG_FUSED_H
#include "ops/cpu/vector.h"

#include <stdbool.h>

#if defined(__AVX512F__) || (defined(__FMA__) && AG_VECTOR_BYTES >= 32)
#define AG_FUSED 1
#else
#define AG_FUSED 0
#endif

AG_INLINE vec_f32 multiply_add_f32(vec_f32 a, vec_f32 b, vec_f32 c)
{
#if defined(__AVX512F__)
    return (vec_f32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif AG_FUSED
    for (int i = 0; i < AG_VECTOR_BYTES / 32; i++) /* with AG_WIDE a register is two */
        ((__m256 *)&c)[i] = _mm256_fmadd_ps(((__m256 *)&a)[i], ((__m256 *)&b)[i], ((__m256 *)&c)[i]);
    return c;
#else
    return a * b + c;
#endif
}
AG_INLINE vec_f64 multiply_add_f64(vec_f64 a, vec_f64 b, vec_f64 c)
{
#if defined(__AVX512F__)
    return (vec_f64)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif AG_FUSED
    for (int i = 0; i < AG_VECTOR_BYTES / 32; i++)
        ((__m256d *)&c)[i] = _mm256_fmadd_pd(((__m256d *)&a)[i], ((__m256d *)&b)[i], ((__m256d *)&c)[i]);
    return c;
#else
    return a * b + c;
#endif
}

/* Even and odd powers apart, so that only half of the multiplications wait for one another. */
AG_INLINE vec_f32 polynomial_f32(vec_f32 x, const float *c, int n)
{
    const vec_f32 square = x * x;
    vec_f32 last = splat_f32(c[n - 1]), other = splat_f32(c[n - 2]);
    AG_UNROLL
    for (int i = n - 3; i >= 0; i--) {
        const vec_f32 next = multiply_add_f32(last, square, splat_f32(c[i]));
        last = other;
        other = next;
    }
    return multiply_add_f32(last, x, other);
}
AG_INLINE vec_f64 polynomial_f64(vec_f64 x, const double *c, int n)
{
    const vec_f64 square = x * x;
    vec_f64 last = splat_f64(c[n - 1]), other = splat_f64(c[n - 2]);
    AG_UNROLL
    for (int i = n - 3; i >= 0; i--) {
        const vec_f64 next = multiply_add_f64(last, square, splat_f64(c[i]));
        last = other;
        other = next;
    }
    return multiply_add_f64(last, x, other);
}

/* The bits of numbers, for sums that may go round. */
typedef uint64_t bits_f64 __attribute__((vector_size(AG_VECTOR_BYTES)));
typedef uint32_t bits_f32 __attribute__((vector_size(AG_VECTOR_BYTES)));

/* Added to a number of less than 2^51 it leaves no room for a fraction, and the sum's last bits are the whole number.
 */
#define AG_SHIFTER 0x1.8p52

AG_INLINE vec_f64 scale_f64(vec_f64 x, vec_f64 shifted)
{
#if defined(__AVX512F__)
    return (vec_f64)_mm512_scalef_pd((__m512d)x, (__m512d)(shifted - AG_SHIFTER));
#else
    /* by two powers, for the result may be subnormal: an exponent is made in the last bits and moved to its place */
    enum { DIGITS = 52, BIAS = 1023 };
    const bits_f64 all = (bits_f64)shifted, half = all >> 1;
    return x * (vec_f64)((half + BIAS) << DIGITS) * (vec_f64)((all - half + BIAS) << DIGITS);
#endif
}

#endif
