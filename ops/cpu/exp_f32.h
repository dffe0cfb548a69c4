/* exp_f32.h - exp for a register full of floats, with AVX-512 and fused.h; libmvec's is as fast on AVX2.
 *
 * exp(x) = 2^n exp(r) as in exp.h, with a shorter polynomial. Within 1.1 units in the last place, subnormal results
 * included. */
#ifndef AG_EXP_F32_H
#define AG_EXP_F32_H

#define AG_SHIFTER_f32 0x1.8p23f /* as AG_SHIFTER */

/* exp(r) - 1; *shifted is AG_SHIFTER_f32 + n. */
AG_INLINE vec_f32 exp_less_1_f32(vec_f32 x, vec_f32 *shifted)
{
    static const float e[] = { 0.49999994f, 0.166665211f, 0.041668389f, 0.00836871751f, 0.00138145941f };
    *shifted = multiply_add_f32(x, splat_f32(1.44269502f), splat_f32(AG_SHIFTER_f32));
    const vec_f32 n = *shifted - AG_SHIFTER_f32;
    vec_f32 r = multiply_add_f32(n, splat_f32(-0x1.62e4p-1f), x);
    r = multiply_add_f32(n, splat_f32(-0x1.7f7d1cp-20f), r);
    return multiply_add_f32(r * r, polynomial_f32(r, e, 5), r);
}

AG_INLINE vec_f32 exp_f32(vec_f32 x)
{
    const float lowest = -104, highest = 89; /* beyond it is 0, and infinite */
    vec_f32 shifted;
    x = max_f32(splat_f32(lowest), min_f32(splat_f32(highest), x)); /* NaN stays */
    const vec_f32 y = 1 + exp_less_1_f32(x, &shifted);
    return (vec_f32)_mm512_scalef_ps((__m512)y, (__m512)(shifted - AG_SHIFTER_f32));
}

#endif
