/* erf.h - the error function for a register full of doubles, within 1.5 units in the last place, with fused.h; exp_f64
 * is there.
 *
 * Below 1 it is x + x R(x^2). Beyond, 1 - erfc(x), where erfc is exp(-x^2) times a polynomial W in (x - 2.5) / (x
 * + 2.5). The coefficients are minimax, weighted by what their error does to the result. */
#ifndef AG_ERF_H
#define AG_ERF_H

/* erfc of 1 <= x <= BEYOND; further out erf is 1. */
enum { BEYOND = 6 };
AG_INLINE vec_f64 erfc_beyond_1_f64(vec_f64 x, vec_f64 square)
{
    static const double w[] = { 0.21080636406114392032,     -0.37173673394896204883,     0.25171319321729184734,
                                -0.1250330523858935234,     0.039922539018475161599,     -0.0039937010094863386528,
                                -0.0026423612819051479006,  0.00087594147535405838188,   0.00022842338129778118567,
                                -0.00012901433970471544807, -0.000034915632888922796945, 0.000017555147554280229886,
                                7.8547974243617354334e-6 };
    return exp_f64(-square) * polynomial_f64((x - 2.5) / (x + 2.5), w, 13);
}

static __attribute__((const, noinline)) vec_f64 erf_f64(vec_f64 x)
{
    static const double r[] = { 0.12837916709551256566,    -0.37612638903183519788,     0.1128379167094419525,
                                -0.026866170643113183136,  0.0052239776061327023783,    -0.00085483259299988321149,
                                0.00012055293597328618826, -0.000014924712692247447023, 1.6447136346530053076e-6,
                                -1.6206349958042083624e-7, 1.3711135175622274803e-8,    -7.7797538009593938804e-10 };
    const vec_f64 size = abs_f64(x), near = min_f64(splat_f64(BEYOND), size), square = near * near;
    const mask_f64 sign = (mask_f64)x & (mask_f64)splat_f64(-0.0);
    const vec_f64 small = multiply_add_f64(x, polynomial_f64(square, r, 12), x);
    const vec_f64 large = (vec_f64)((mask_f64)(1 - erfc_beyond_1_f64(near, square)) | sign);
    return select_f64(size >= 1, large, small); /* NaN is small */
}

#endif
