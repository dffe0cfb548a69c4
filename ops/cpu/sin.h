/* sin.h - sine and cosine for a register full of doubles, with fused.h; library_sin_f64 and library_cos_f64 are there.
 *
 * x = n pi / 2 + r, |r| <= pi / 4. pi / 2 is three numbers, and each product is taken away with one rounding; the first
 * difference is exact. n's last two bits say whether the result is sin(r) = r + r^3 S(r^2) or cos(r) = 1 - r^2 / 2 +
 * r^4 C(r^2), S and C minimax for the relative error, or minus that. Within 1.2 units in the last place. Numbers for
 * which n has too many bits, infinite ones and NaN are the library's. */
#ifndef AG_SIN_H
#define AG_SIN_H

/* sin(x + turns pi / 2) */
AG_INLINE vec_f64 sin_turned_f64(vec_f64 x, int turns)
{
    static const double s[] = { -0.1666666666666663,   0.0083333333333218407,  -0.00019841269829373501,
                                2.7557313549251291e-6, -2.5050736857404196e-8, 1.589561674171902e-10 };
    static const double c[] = { 0.041666666666666595,   -0.0013888888888873307, 2.4801587288965227e-5,
                                -2.7557314203077815e-7, 2.0875713139302449e-9,  -1.1358616992093751e-11 };
    static const double right_angle[] = { 0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110 };
    const vec_f64 shifted = multiply_add_f64(x, splat_f64(0.63661977236758134), splat_f64(AG_SHIFTER));
    const vec_f64 n = AG_SHIFTER - shifted; /* minus n */
    const bits_f64 quadrant = (bits_f64)shifted + (uint64_t)turns;
    const vec_f64 first = multiply_add_f64(n, splat_f64(right_angle[0]), x);
    const vec_f64 second = multiply_add_f64(n, splat_f64(right_angle[1]), first);
    const vec_f64 lost = multiply_add_f64(n, splat_f64(right_angle[1]), first - second);
    const vec_f64 third = multiply_add_f64(n, splat_f64(right_angle[2]), lost);
    const vec_f64 r = second + third, rest = third - (r - second);
    const vec_f64 square = r * r, half = square * 0.5, near_1 = 1 - half;
    const vec_f64 sine = r + multiply_add_f64(r * square, polynomial_f64(square, s, 6), rest);
    const vec_f64 left = multiply_add_f64(-r, rest, (1 - near_1) - half);
    const vec_f64 cosine = near_1 + multiply_add_f64(square * square, polynomial_f64(square, c, 6), left);
    const vec_f64 y = select_f64((quadrant & 1) == 0, sine, cosine);
    return (vec_f64)((bits_f64)y ^ ((quadrant << 62) & (bits_f64)splat_f64(-0.0)));
}

#define AG_FAR 0x1p28
AG_INLINE vec_f64 sin_f64(vec_f64 x)
{
    const mask_f64 far = ~(abs_f64(x) < AG_FAR);
    const vec_f64 y = select_f64(x == 0, x, sin_turned_f64(x, 0)); /* -0 */
    return __builtin_expect(any_f64(far), 0) ? select_f64(far, library_sin_f64(x), y) : y;
}
AG_INLINE vec_f64 cos_f64(vec_f64 x)
{
    const mask_f64 far = ~(abs_f64(x) < AG_FAR);
    const vec_f64 y = sin_turned_f64(x, 1);
    return __builtin_expect(any_f64(far), 0) ? select_f64(far, library_cos_f64(x), y) : y;
}
#undef AG_FAR

#endif
