/* log_f32.h - the natural logarithm for a register full of floats, with AVX-512 and fused.h; libmvec's is faster on
 * AVX2.
 *
 * log(x) = k ln 2 + log(m), x = 2^k m, 3/4 <= m < 3/2, as in log.h. With f = m - 1 log(m) = f - f^2 / 2 + f^3 L(f), L
 * minimax for the relative error. Within 1.01 units in the last place. 0, NaN and what is infinite or negative become
 * such numbers that the formula gives what it must. */
#ifndef AG_LOG_F32_H
#define AG_LOG_F32_H

AG_INLINE vec_f32 log_f32(vec_f32 x)
{
    static const float l[] = { 0.333334506f, -0.250000954f, 0.199908614f, -0.16647315f,
                               0.144783989f, -0.131611764f, 0.104629628f, -0.0450743064f };
    enum { SIGN = _MM_MANT_SIGN_zero | _MM_MANT_SIGN_nan }; /* of a negative number NaN; of -0 1 */
    const __m512 m = _mm512_getmant_ps((__m512)x, _MM_MANT_NORM_p75_1p5, (_MM_MANTISSA_SIGN_ENUM)SIGN);
    const vec_f32 k = (vec_f32)_mm512_getexp_ps((__m512)x) - (vec_f32)_mm512_getexp_ps(m);
    const vec_f32 f = (vec_f32)m - 1, square = f * f;
    const vec_f32 third = multiply_add_f32(f, polynomial_f32(f, l, 8), splat_f32(-0.5f));
    const vec_f32 rest = multiply_add_f32(square, third, k * 0x1.7f7d1cp-20f);
    return multiply_add_f32(k, splat_f32(0x1.62e4p-1f), f + rest);
}

#endif
