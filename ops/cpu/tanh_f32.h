/* tanh_f32.h - the hyperbolic tangent for a register full of floats, with exp_f32.h.
 *
 * tanh(|x|) = |e / (2 + e)|, e = exp(-2 |x|) - 1 = 2^n p + (2^n - 1), p = exp(r) - 1, which is as good relative to
 * itself where x is small, n being 0 there. Within 2.5 units in the last place. */
#ifndef AG_TANH_F32_H
#define AG_TANH_F32_H

AG_INLINE vec_f32 tanh_f32(vec_f32 x)
{
    const float almost_1 = 10;
    enum { DIGITS = 23 };
    vec_f32 shifted;
    const vec_f32 size = abs_f32(x), p = exp_less_1_f32(min_f32(splat_f32(almost_1), size) * -2, &shifted);
    const vec_f32 power = (vec_f32)(((bits_f32)shifted << DIGITS) + (bits_f32)splat_f32(1));
    const vec_f32 e = multiply_add_f32(p, power, power - 1);
    const mask_f32 sign = (mask_f32)x & (mask_f32)splat_f32(-0.0f);
    return (vec_f32)((mask_f32)abs_f32(e / (2 + e)) | sign);
}

#endif
