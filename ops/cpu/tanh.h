/* tanh.h - the hyperbolic tangent for a register full of doubles, with exp.h.
 *
 * Below 0.65 it is x + x^3 T(x^2), T minimax for the relative error. Beyond, 1 - 2 / (exp(2 |x|) + 1), where the
 * quotient is less than 1/2. Within 1.4 units in the last place. */
#ifndef AG_TANH_H
#define AG_TANH_H

AG_INLINE vec_f64 tanh_f64(vec_f64 x)
{
    static const double t[] = { -0.33333333333333282,   0.13333333333324993,    -0.053968253963562654,
                                0.021869488403529008,   -0.0088632333265858711, 0.0035921046469679263,
                                -0.0014556679619599554, 0.00058921320806023083, -0.00023636583059944232,
                                9.0452950672834976e-5,  -2.9103032148253727e-5, 5.5782113319552473e-6 };
    const double almost_1 = 20;
    const vec_f64 size = abs_f64(x), near = min_f64(splat_f64(almost_1), size), square = x * x;
    const vec_f64 small = multiply_add_f64(size * square, polynomial_f64(square, t, 12), size);
    const vec_f64 large = 1 - 2 / (exp_f64(near + near) + 1);
    const mask_f64 sign = (mask_f64)x & (mask_f64)splat_f64(-0.0);
    return (vec_f64)((mask_f64)select_f64(size > 0.65, large, small) | sign); /* NaN is small */
}

#endif
