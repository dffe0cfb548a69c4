/* vector_math.h - exp, tanh and the like for a register full of numbers: what other libraries call them.
 *
 *     AG_LIBMVEC(exp, v)    glibc's libmvec, float32, by the names of the vector ABI: _ZGVdN8v_expf, d for AVX2 (b SSE,
 * e AVX-512), 8 lanes, one vector operand. Within 4 units in the last place, no -ffast-math needed, either compiler.
 *     AG_SLEEF(exp, u10)    SLEEF, float64: Sleef_expd4_u10avx2, of 1.0 units in the last place.
 *
 * Each is there where the library is. A lane's bits do not depend on the other lanes. Included after vector.h. */
#ifndef AG_VECTOR_MATH_H
#define AG_VECTOR_MATH_H

#if defined(AG_HAVE_LIBMVEC) && defined(__x86_64__) && !defined(AG_WIDE)
#if AG_VECTOR_BYTES == 64
#define AG_LIBMVEC(name, v) AG_PASTE(_ZGVeN16, v##_##name##f)
#elif AG_VECTOR_BYTES == 32
#define AG_LIBMVEC(name, v) AG_PASTE(_ZGVdN8, v##_##name##f)
#else
#define AG_LIBMVEC(name, v) AG_PASTE(_ZGVbN4, v##_##name##f)
#endif
#endif

#if defined(AG_HAVE_SLEEF) && defined(__x86_64__) && !defined(AG_WIDE)
#if AG_VECTOR_BYTES == 64
#define AG_SLEEF(name, units) Sleef_##name##d8_##units##avx512f
#elif AG_VECTOR_BYTES == 32
#define AG_SLEEF(name, units) Sleef_##name##d4_##units##avx2
#else
#define AG_SLEEF(name, units) Sleef_##name##d2_##units##sse2
#endif
#endif

#endif
