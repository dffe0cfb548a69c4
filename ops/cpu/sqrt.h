/* sqrt.h - the square root for a register full of doubles, with AVX-512: the instruction takes twice as long.
 *
 * x = 2^e m, e even, 1/2 <= m < 2. g nears sqrt(m) and h half of its reciprocal, from an estimate of 14 bits, each step
 * doubling their number (Goldschmidt). Then g is within a unit in the last place, m - g^2 is exact with one rounding,
 * and adding it times h rounds g correctly (Markstein): the instruction's bits. Zeros, what is infinite or negative,
 * and NaN are left to that. */
#ifndef AG_SQRT_H
#define AG_SQRT_H

AG_INLINE vec_f64 sqrt_f64(vec_f64 x)
{
    const vec_f64 half = splat_f64(0.5);
    const vec_f64 m = (vec_f64)_mm512_getmant_pd((__m512d)x, _MM_MANT_NORM_p5_2, _MM_MANT_SIGN_src);
    const vec_f64 half_e = (vec_f64)_mm512_getexp_pd((__m512d)x) * 0.5 + 0.5; /* e / 2, or 1/2 more */
    const vec_f64 estimate = (vec_f64)_mm512_rsqrt14_pd((__m512d)m);
    vec_f64 g = m * estimate, h = estimate * 0.5;
    AG_UNROLL
    for (int step = 0; step < 2; step++) {
        const vec_f64 apart = multiply_add_f64(-g, h, half);
        g = multiply_add_f64(g, apart, g);
        h = multiply_add_f64(h, apart, h);
    }
    g = multiply_add_f64(multiply_add_f64(-g, g, m), h, g);
    const vec_f64 y = (vec_f64)_mm512_scalef_pd((__m512d)g, (__m512d)half_e);
    const mask_f64 special = ~((x > 0) & (x < __builtin_inf()));
    return __builtin_expect(any_f64(special), 0) ? select_f64(special, (vec_f64)_mm512_sqrt_pd((__m512d)x), y) : y;
}

#endif
