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

AG_INLINE vec REAL(select)(mask c, vec a, vec b) { return (vec)(((mask)a & c) | ((mask)b & ~c)); }
/* NaN wins */
AG_INLINE vec REAL(maximum)(vec a, vec b) { return REAL(select)((a > b) | (a != a), a, b); }
AG_INLINE vec REAL(minimum)(vec a, vec b) { return REAL(select)((a < b) | (a != a), a, b); }
AG_INLINE vec REAL(abs)(vec a) { return (vec)((mask)a & ~(mask)REAL(splat)((real)-0.0)); }
AG_INLINE vec REAL(sign)(vec a) { return __builtin_convertvector((a < 0) - (a > 0), vec); }
AG_INLINE vec REAL(square)(vec a) { return a * a; }
LANE_BY_LANE(sqrt, sqrt)
LANE_BY_LANE(floor, floor)
LANE_BY_LANE(ceil, ceil)
LANE_BY_LANE(round, rint) /* halves to even */
LANE_BY_LANE(trunc, trunc)
VECTOR(exp, u10)
VECTOR(expm1, u10)
VECTOR(log, u10)
VECTOR_UP_TO(log1p, u10, 1e307)
VECTOR(log2, u10)
VECTOR(log10, u10)
VECTOR(sin, u10)
VECTOR(cos, u10)
VECTOR(tan, u10)
VECTOR(asin, u10)
VECTOR(acos, u10)
VECTOR(atan, u10)
VECTOR_UP_TO(sinh, u10, 709)
VECTOR_UP_TO(cosh, u10, 709)
VECTOR(tanh, u10)
VECTOR(erf, u10)
VECTOR(erfc, u15)
LANE_BY_LANE(erfinv, ag__erfinv)
VECTOR(exp2, u10)
VECTOR_UP_TO(asinh, u10, 1e154)
VECTOR_UP_TO(acosh, u10, 1e154)
VECTOR(atanh, u10)
VECTOR2(pow, u10)
VECTOR2(atan2, u10)
VECTOR2(hypot, u05)
AG_INLINE vec REAL(sigmoid)(vec a) { return 1 / (1 + REAL(exp)(-a)); }

/* The first n lanes from memory, zero in the rest; and back. Nothing beyond them is touched. */
typedef int8_t REAL(bytes) __attribute__((vector_size(AG_VECTOR_BYTES / sizeof(real)), aligned(1), may_alias));
#if defined(__AVX512F__)
#define FIRST(n) ((1u << (n)) - 1)
AG_INLINE vec REAL(load_first)(const real *p, int n)
{
    return sizeof(real) == 4 ? (vec)_mm512_maskz_loadu_ps((__mmask16)FIRST(n), p)
                             : (vec)_mm512_maskz_loadu_pd((__mmask8)FIRST(n), p);
}
AG_INLINE void REAL(store_first)(real *p, vec a, int n)
{
    if (sizeof(real) == 4)
        _mm512_mask_storeu_ps(p, (__mmask16)FIRST(n), (__m512)a);
    else
        _mm512_mask_storeu_pd(p, (__mmask8)FIRST(n), (__m512d)a);
}
#undef FIRST
#elif defined(__AVX2__) && AG_VECTOR_BYTES == 32
AG_INLINE __m256i REAL(first)(int n)
{
    static const int32_t on[16] = { -1, -1, -1, -1, -1, -1, -1, -1 }; /* 32 bytes of ones, 32 of zeros */
    __m256i m;
    memcpy(&m, (const char *)on + 32 - n * (int)sizeof(real), sizeof m);
    return m;
}
AG_INLINE vec REAL(load_first)(const real *p, int n)
{
    return sizeof(real) == 4 ? (vec)_mm256_maskload_ps((const float *)p, REAL(first)(n))
                             : (vec)_mm256_maskload_pd((const double *)p, REAL(first)(n));
}
AG_INLINE void REAL(store_first)(real *p, vec a, int n)
{
    if (sizeof(real) == 4)
        _mm256_maskstore_ps((float *)p, REAL(first)(n), (__m256)a);
    else
        _mm256_maskstore_pd((double *)p, REAL(first)(n), (__m256d)a);
}
#else
AG_INLINE vec REAL(load_first)(const real *p, int n)
{
    vec a = { 0 };
    for (int i = 0; i < n; i++) a[i] = p[i];
    return a;
}
AG_INLINE void REAL(store_first)(real *p, vec a, int n)
{
    for (int i = 0; i < n; i++) p[i] = a[i];
}
#endif
#undef LANE_BY_LANE
