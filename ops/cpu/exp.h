/* exp.h - exp and the logistic function for a register full of doubles, with fused.h.
 *
 * exp(x) = 2^n exp(r), n = x / ln 2 rounded, |r| <= ln 2 / 2: 1 + (r + r^2 E(r)), E minimax for the error relative to
 * exp. ln 2 is two numbers, of which the first ends in so many zeros that n times it is exact. Within 1.2 units in the
 * last place, subnormal results included. */
#ifndef AG_EXP_H
#define AG_EXP_H

/* exp(x); and how much of it, relative to 2^n, the last addition lost. */
AG_INLINE vec_f64 exp_and_rest_f64(vec_f64 x, vec_f64 *rest)
{
    static const double e[] = { 0.500000000000001,     0.1666666666666542,    0.041666666666529809,
                                0.0083333333337350362, 0.0013888888946608966, 0.00019841269635765909,
                                2.4801487210304739e-5, 2.7557014528649823e-6, 2.7633174720316495e-7,
                                2.5297457029615645e-8 };
    const double lowest = -746, highest = 710;                      /* beyond it is 0, and infinite */
    x = max_f64(splat_f64(lowest), min_f64(splat_f64(highest), x)); /* NaN stays */
    const vec_f64 shifted = multiply_add_f64(x, splat_f64(1.4426950408889634), splat_f64(AG_SHIFTER));
    const vec_f64 n = AG_SHIFTER - shifted; /* minus n */
    vec_f64 r = multiply_add_f64(n, splat_f64(0x1.62e42fefa38p-1), x);
    r = multiply_add_f64(n, splat_f64(0x1.ef35793c7673p-45), r);
    const vec_f64 above_1 = multiply_add_f64(r * r, polynomial_f64(r, e, 10), r), y = 1 + above_1;
    *rest = above_1 - (y - 1);
    return scale_f64(y, shifted);
}
AG_INLINE vec_f64 exp_f64(vec_f64 x)
{
    vec_f64 rest;
    return exp_and_rest_f64(x, &rest);
}

/* 1 / (1 + e) or, which is the same on the other side, e / (1 + e), e = exp(-|x|). The quotient is mended by what is
 * left of the dividend, where the roundings of 1 + e and, as far as it counts, of e are undone. Within 1.2 units in the
 * last place. */
AG_INLINE vec_f64 sigmoid_f64(vec_f64 x)
{
    const vec_f64 zero = { 0 };
    const mask_f64 below = x < 0;
    vec_f64 rest;
    const vec_f64 e = exp_and_rest_f64(-abs_f64(x), &rest), sum = 1 + e, inverse = 1 / sum;
    const vec_f64 dividend = select_f64(below, e, zero + 1), y = dividend * inverse;
    const vec_f64 lost = (vec_f64)((mask_f64)rest & below) - (e - (sum - 1));
    return multiply_add_f64(multiply_add_f64(-y, sum, dividend) + y * lost, inverse, y);
}

#endif
