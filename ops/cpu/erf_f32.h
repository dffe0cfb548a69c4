/* erf_f32.h - the error function for a register full of floats, with fused.h.
 *
 * x / 2 + x P(x^2) / Q(x^2), minimax for the relative error: within 3 units in the last place. From 3.9 on it is 1. */
#ifndef AG_ERF_F32_H
#define AG_ERF_F32_H

AG_INLINE vec_f32 erf_f32(vec_f32 x)
{
    static const float p[] = { 0.628379146f,    -0.0605251398f,   -0.00432235365f,
                               -0.00371905088f, -0.000297100963f, -1.69777537e-05f };
    static const float q[] = { 1, 0.502245436f, 0.114184289f, 0.0149835185f, 0.00116389412f, 3.804748e-05f };
    const float one_from = 3.9f;
    const vec_f32 size = abs_f32(x), near = min_f32(splat_f32(one_from), size), square = near * near;
    const vec_f32 y = multiply_add_f32(near, polynomial_f32(square, p, 6) / polynomial_f32(square, q, 6), near * 0.5f);
    const vec_f32 within = min_f32(splat_f32(1), select_f32(size >= one_from, splat_f32(1), y));
    return (vec_f32)((mask_f32)within | ((mask_f32)x & (mask_f32)splat_f32(-0.0f)));
}

#endif
