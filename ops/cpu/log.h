/* log.h - the natural logarithm for a register full of doubles, with fused.h.
 *
 * log(x) = k ln 2 + log(m), x = 2^k m, 3/4 <= m < 3/2. With f = m - 1 and s = f / (2 + f), as in Sun's fdlibm
 *
 *     log(m) = f - (f^2 / 2 - s (f^2 / 2 + s^2 L(s^2))),
 *
 * L minimax for the relative error. ln 2 is two numbers, of which the first ends in so many zeros that k times it is
 * exact. Within 1 unit in the last place. */
#ifndef AG_LOG_H
#define AG_LOG_H

/* m, and k in *exponent, of a positive number. With AVX-512 0, NaN and what is infinite or negative become such numbers
 * that log_f64's formula gives what it must. */
AG_INLINE vec_f64 take_apart_f64(vec_f64 x, vec_f64 *exponent)
{
#if defined(__AVX512F__)
#define AG_SIGN (_MM_MANTISSA_SIGN_ENUM)(_MM_MANT_SIGN_zero | _MM_MANT_SIGN_nan) /* of negative: NaN; of -0: 1 */
    const __m512d m = _mm512_getmant_pd((__m512d)x, _MM_MANT_NORM_p75_1p5, AG_SIGN);
#undef AG_SIGN
    *exponent = (vec_f64)_mm512_getexp_pd((__m512d)x) - (vec_f64)_mm512_getexp_pd(m);
    return (vec_f64)m;
#else
    enum { DIGITS = 52, BIAS = 1023 };
    const mask_f64 small = x < 0x1p-1022;
    x = select_f64(small, x * 0x1p54, x);
    const mask_f64 over = (mask_f64)((bits_f64)x - (bits_f64)splat_f64(0.75)) >> DIGITS; /* k */
    const bits_f64 biased = (bits_f64)over + BIAS;
    const vec_f64 k = (vec_f64)(biased | (bits_f64)splat_f64(0x1p52)) - (0x1p52 + BIAS);
    *exponent = k - (vec_f64)((mask_f64)splat_f64(54) & small);
    return (vec_f64)((bits_f64)x - ((bits_f64)over << DIGITS));
#endif
}

AG_INLINE vec_f64 log_f64(vec_f64 x)
{
    static const double l[] = { 0.66666666666666596, 0.4000000000005674,  0.285714285558056,   0.22222224299502075,
                                0.18181665676569658, 0.15391118838351181, 0.13173478723487764, 0.13843880150039981 };
    vec_f64 k;
    const vec_f64 f = take_apart_f64(x, &k) - 1, s = f / (2 + f), square = s * s, half = f * f * 0.5;
    const vec_f64 inner = multiply_add_f64(square, polynomial_f64(square, l, 8), half);
    const vec_f64 rest = multiply_add_f64(s, inner, k * 0x1.ef35793c7673p-45);
    const vec_f64 y = multiply_add_f64(k, splat_f64(0x1.62e42fefa38p-1), f - (half - rest));
#if defined(__AVX512F__)
    return y;
#else
    const double infinite = __builtin_inf();
    const vec_f64 special = select_f64(x == 0, splat_f64(-infinite),
                                       select_f64(x < 0, splat_f64(__builtin_nan("")), x));
    return select_f64((x > 0) & (x < infinite), y, special);
#endif
}

#endif
