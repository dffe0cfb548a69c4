/* divide.h - what becomes of two numbers where that is no row of pointwise.def: division that rounds, what is left
 * over, bits, and whether they are close. CUDA reads it, too; there binary_cross_entropy is one more, which has to look
 * at the numbers. */
#ifndef AG_DIVIDE_H
#define AG_DIVIDE_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef AG_ON_DEVICE /* CUDA says here what kind of function this is */
#define AG_ON_DEVICE
#endif

enum {
    AG_BIT_AND,
    AG_BIT_OR,
    AG_BIT_XOR,
    AG_SHIFT_LEFT,
    AG_SHIFT_RIGHT,
    AG_DIVIDE_TRUNC,
    AG_DIVIDE_FLOOR,
    AG_REST_TRUNC,
    AG_REST_FLOOR,
    AG_IS_CLOSE,
    AG_CROSS_ENTROPY_OF_TWO
};

/* ---- integers; b is not 0 ---- */

/* Towards zero. The least integer by -1 wraps round. */
AG_ON_DEVICE static inline int64_t ag__quotient(int64_t a, int64_t b)
{
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}
/* Towards minus infinity. */
AG_ON_DEVICE static inline int64_t ag__floor_quotient(int64_t a, int64_t b)
{
    int64_t q = ag__quotient(a, b);
    return b != -1 && a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
/* With the sign of a. */
AG_ON_DEVICE static inline int64_t ag__rest(int64_t a, int64_t b) { return b == -1 ? 0 : a % b; }
/* With the sign of b. */
AG_ON_DEVICE static inline int64_t ag__floor_rest(int64_t a, int64_t b)
{
    int64_t r = ag__rest(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
AG_ON_DEVICE static inline int64_t ag__divide_integers(int operation, int64_t a, int64_t b)
{
    switch (operation) {
    case AG_DIVIDE_TRUNC:
        return ag__quotient(a, b);
    case AG_DIVIDE_FLOOR:
        return ag__floor_quotient(a, b);
    case AG_REST_TRUNC:
        return ag__rest(a, b);
    default:
        return ag__floor_rest(a, b);
    }
}

/* ---- bits; width: how many the type has ---- */

AG_ON_DEVICE static inline int64_t ag__combine_bits(int operation, int width, int64_t a, int64_t b)
{
    const bool out = b < 0 || b >= width;
    switch (operation) {
    case AG_BIT_AND:
        return a & b;
    case AG_BIT_OR:
        return a | b;
    case AG_BIT_XOR:
        return a ^ b;
    case AG_SHIFT_LEFT:
        return out ? 0 : (int64_t)((uint64_t)a << b);
    default:
        return out ? (a < 0 ? -1 : 0) : a >> b;
    }
}

/* ---- floating numbers ---- */

/* fmod, which is exact, in one step where the quotient is small; libm subtracts bit by bit. In float32 the product is
 * exact in double, and no quotient below 2^28 is rounded up to a whole number; in float64 one may be, which shows in
 * the sign of what is left over. */
AG_ON_DEVICE static inline float ag__left_f32(float a, float b)
{
    const double q = (double)a / b;
    if (!(fabs(q) < 0x1p28) || isinf(b)) return fmodf(a, b);
    return copysignf((float)(a - (double)(int32_t)q * b), a);
}
AG_ON_DEVICE static inline double ag__left_f64(double a, double b)
{
    const double q = a / b;
    if (!(fabs(q) < 0x1p52) || isinf(b)) return fmod(a, b);
    double left = fma(-(double)(int64_t)q, b, a);
    if (left != 0 && (left < 0) != (a < 0)) left += copysign(b, a);
    return copysign(left, a);
}
/* As Python's // and %: from the exact remainder, for a / b may have been rounded up to a whole number. */
#define AG_FLOOR_DIVISION(name, real, F)                                                           \
    AG_ON_DEVICE static inline real ag__floor_division_##name(real a, real b)                      \
    {                                                                                              \
        if (b == 0) return a / b;                                                                  \
        real left = ag__left_##name(a, b), q = (a - left) / b;                                     \
        if (left != 0 && (b < 0) != (left < 0)) q -= 1;                                            \
        if (q == 0) return F(copysign)((real)0, a / b);                                            \
        real whole = F(floor)(q);                                                                  \
        return q - whole > (real)0.5 ? whole + 1 : whole;                                          \
    }                                                                                              \
    AG_ON_DEVICE static inline real ag__divide_##name(int operation, real a, real b)               \
    {                                                                                              \
        if (operation == AG_DIVIDE_TRUNC) return F(trunc)(a / b);                                  \
        if (operation == AG_DIVIDE_FLOOR) return ag__floor_division_##name(a, b);                  \
        real left = ag__left_##name(a, b);                                                         \
        return operation == AG_REST_FLOOR && left != 0 && (b < 0) != (left < 0) ? left + b : left; \
    }
#define AG_F32(function) function##f
#define AG_F64(function) function
AG_FLOOR_DIVISION(f32, float, AG_F32)
AG_FLOOR_DIVISION(f64, double, AG_F64)

/* Floats are compared in float, as PyTorch does; everything else in double. */
AG_ON_DEVICE static inline bool ag__is_close_f32(float a, float b, double rtol, double atol, bool equal_nan)
{
    if (a == b || (equal_nan && a != a && b != b)) return true;
    float gap = fabsf(a - b);
    return gap < INFINITY && gap <= (float)atol + fabsf((float)rtol * b);
}
AG_ON_DEVICE static inline bool ag__is_close_f64(double a, double b, double rtol, double atol, bool equal_nan)
{
    if (a == b || (equal_nan && a != a && b != b)) return true;
    double gap = fabs(a - b);
    return gap < (double)INFINITY && gap <= atol + fabs(rtol * b);
}

#endif
