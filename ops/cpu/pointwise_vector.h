/* pointwise_vector.h - the words of the rows for a register full of numbers. Read once a type, with real, REAL(name),
 * F(name) = libm's function of that type, VECTOR(name, units) = what a word of one operand becomes, VECTOR2(name,
 * units) = one of two (pointwise_kernel.c); units: the variant of the function in SLEEF; VECTOR_UP_TO(name, units,
 * limit) = one that SLEEF knows up to a limit.
 *
 * A register is vec, what a comparison of two gives is mask: 0 or -1 in each lane (ops/cpu/vector.h). */
#define vec   REAL(vec)
#define mask  REAL(mask)
#define LANES REAL(LANES)
/* an instruction where the machine has one */
#define LANE_BY_LANE(name, f)                              \
    AG_INLINE vec REAL(name)(vec a)                        \
    {                                                      \
        for (int i = 0; i < LANES; i++) a[i] = F(f)(a[i]); \
        return a;                                          \
    }

/* NaN wins */
AG_INLINE vec REAL(maximum)(vec a, vec b) { return REAL(select)((a > b) | (a != a), a, b); }
AG_INLINE vec REAL(minimum)(vec a, vec b) { return REAL(select)((a < b) | (a != a), a, b); }
AG_INLINE vec REAL(sign)(vec a) { return __builtin_convertvector((a < 0) - (a > 0), vec); }
AG_INLINE vec REAL(square)(vec a) { return a * a; }
#if defined(__AVX512F__) && AG_BITS_OF_REAL == 64
#include "ops/cpu/sqrt.h"
#else
LANE_BY_LANE(sqrt, sqrt)
#endif
LANE_BY_LANE(floor, floor)
LANE_BY_LANE(ceil, ceil)
LANE_BY_LANE(round, rint) /* halves to even */
LANE_BY_LANE(trunc, trunc)
VECTOR(expm1, u10)
VECTOR_UP_TO(log1p, u10, 1e307)
VECTOR(log2, u10)
VECTOR(log10, u10)
VECTOR(tan, u10)
VECTOR(asin, u10)
VECTOR(acos, u10)
VECTOR(atan, u10)
VECTOR_UP_TO(sinh, u10, 709)
VECTOR_UP_TO(cosh, u10, 709)
VECTOR(erfc, u15)
LANE_BY_LANE(erfinv, ag__erfinv)
VECTOR(exp2, u10)
VECTOR_UP_TO(asinh, u10, 1e154)
VECTOR_UP_TO(acosh, u10, 1e154)
VECTOR(atanh, u10)
VECTOR2(pow, u10)
VECTOR2(atan2, u10)
VECTOR2(hypot, u05)
#if !(AG_FUSED && AG_BITS_OF_REAL == 64) /* else they are ours */
#if !defined(__AVX512F__)
VECTOR(exp, u10)
VECTOR(log, u10)
VECTOR(tanh, u10)
#endif
VECTOR(sin, u10)
VECTOR(cos, u10)
AG_INLINE vec REAL(sigmoid)(vec a) { return 1 / (1 + REAL(exp)(-a)); }
#endif
#if !(AG_FUSED || AG_BITS_OF_REAL == 64)
VECTOR(erf, u10)
#endif
#if AG_BITS_OF_REAL == 64
#include "ops/cpu/erf.h"
#endif

/* The bytes of a mask, one a lane. */
typedef int8_t REAL(bytes) __attribute__((vector_size(AG_VECTOR_BYTES / sizeof(real)), aligned(1), may_alias));
#undef LANE_BY_LANE
