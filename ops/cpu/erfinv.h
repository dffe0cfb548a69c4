/* erfinv.h - the inverse of the error function, which libm lacks, to PyTorch's bits: Pavlis' two rational
 * approximations, for the middle and for the tails, and two steps of Newton's method. The multiply-adds are those that
 * PyTorch's compiler makes. */
#ifndef AG_ERFINV_H
#define AG_ERFINV_H
#include <math.h>

#ifndef AG_ON_DEVICE /* CUDA reads it, too, where it says what kind of function this is */
#define AG_ON_DEVICE
#endif

// clang-format off
#define AG_ERFINV(name, real, F)                                                                                     \
    AG_ON_DEVICE static inline __attribute__((unused)) real name(real y)                                             \
    {                                                                                                                \
        static const real a[4] = { (real)0.886226899, (real)-1.645349621, (real)0.914624893, (real)-0.140543331 },   \
                          b[4] = { (real)-2.118377725, (real)1.442710462, (real)-0.329097515, (real)0.012229801 },   \
                          c[4] = { (real)-1.970840454, (real)-1.624906493, (real)3.429567803, (real)1.641345311 },   \
                          d[2] = { (real)3.543889200, (real)1.637067800 };                                           \
        const real size = F(fabs)(y);                                                                                \
        real x, z;                                                                                                   \
        if (!(size <= 1)) return (real)NAN;                                                                          \
        if (size == 1) return F(copysign)((real)INFINITY, y);                                                        \
        if (size <= (real)0.7) {                                                                                     \
            z = y * y;                                                                                               \
            x = y * F(fma)(F(fma)(F(fma)(a[3], z, a[2]), z, a[1]), z, a[0]) /                                        \
                F(fma)(F(fma)(F(fma)(F(fma)(b[3], z, b[2]), z, b[1]), z, b[0]), z, (real)1);                         \
        } else {                                                                                                     \
            z = F(sqrt)(-F(log)((1 - size) / 2));                                                                    \
            x = F(copysign)(F(fma)(F(fma)(F(fma)(c[3], z, c[2]), z, c[1]), z, c[0]), y) /                            \
                F(fma)(F(fma)(d[1], z, d[0]), z, (real)1);                                                           \
        }                                                                                                            \
        for (int step = 0; step < 2; step++)                                                                         \
            x -= (F(erf)(x) - y) / ((real)1.128379167095512574 * F(exp)(-x * x));                                    \
        return x;                                                                                                    \
    }
// clang-format on
#define AG_ERFINV_F32(function) function##f
#define AG_ERFINV_F64(function) function
AG_ERFINV(ag__erfinvf, float, AG_ERFINV_F32)
AG_ERFINV(ag__erfinv, double, AG_ERFINV_F64)
#undef AG_ERFINV
#undef AG_ERFINV_F32
#undef AG_ERFINV_F64

#endif
