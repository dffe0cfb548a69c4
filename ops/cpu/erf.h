/* erf.h - the error function for a register full of doubles, within 1.5 units in the last place: SLEEF's takes longer.
 * pointwise_vector.h reads it where REAL(exp), REAL(abs) and REAL(select) are there.
 *
 * Below 1 it is x + x R(x^2). Beyond, 1 - erfc(x), where erfc is exp(-x^2) times a polynomial W in (x - 2.5) / (x
 * + 2.5). The coefficients are minimax, weighted by what their error does to the result. */

/* a b + c, rounded once where the machine has an instruction for it. */
AG_INLINE vec REAL(multiply_add)(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
    return sizeof(real) == 4 ? (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c)
                             : (vec)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__) && AG_VECTOR_BYTES == 32
    return sizeof(real) == 4 ? (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c)
                             : (vec)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    return a * b + c;
#endif
}
/* coefficient[0] + coefficient[1] x + ..., n <= 16 of them: in pairs, pairs of pairs and so on, so that no
 * multiplication waits for all others. */
AG_INLINE vec REAL(polynomial)(vec x, const real *coefficient, int n)
{
    vec t[16];
    AG_UNROLL
    for (int i = 0; i < 16; i++) t[i] = REAL(splat)(i < n ? coefficient[i] : 0);
    AG_UNROLL
    for (int level = 0; level < 4; level++) {
        AG_UNROLL
        for (int i = 0; i < 8; i++) {
            if (2 * i + 1 < n)
                t[i] = REAL(multiply_add)(t[2 * i + 1], x, t[2 * i]);
            else if (2 * i < n)
                t[i] = t[2 * i];
        }
        n = (n + 1) / 2;
        x = x * x;
    }
    return t[0];
}

/* erfc of 1 <= x <= BEYOND; further out erf is 1. */
enum { REAL(BEYOND) = 6 };
AG_INLINE vec REAL(erfc_beyond_1)(vec x, vec square)
{
    static const real w[] = { 0.21080636406114392032,     -0.37173673394896204883,     0.25171319321729184734,
                              -0.1250330523858935234,     0.039922539018475161599,     -0.0039937010094863386528,
                              -0.0026423612819051479006,  0.00087594147535405838188,   0.00022842338129778118567,
                              -0.00012901433970471544807, -0.000034915632888922796945, 0.000017555147554280229886,
                              7.8547974243617354334e-6 };
    return REAL(exp)(-square) * REAL(polynomial)((x - 2.5) / (x + 2.5), w, 13);
}

static __attribute__((const, noinline)) vec REAL(erf)(vec x)
{
    static const real r[] = { 0.12837916709551256566,    -0.37612638903183519788,     0.1128379167094419525,
                              -0.026866170643113183136,  0.0052239776061327023783,    -0.00085483259299988321149,
                              0.00012055293597328618826, -0.000014924712692247447023, 1.6447136346530053076e-6,
                              -1.6206349958042083624e-7, 1.3711135175622274803e-8,    -7.7797538009593938804e-10 };
    enum { N = 12 };
    const real one = 1;
    const vec size = REAL(abs)(x), near = REAL(select)(size > REAL(BEYOND), REAL(splat)(REAL(BEYOND)), size);
    const vec square = near * near, zero = { 0 };
    const mask sign = (mask)x & (mask)REAL(splat)((real)-0.0);
    const vec small = REAL(multiply_add)(x, REAL(polynomial)(square, r, N), x);
    const vec large = (vec)((mask)(1 - REAL(erfc_beyond_1)(near, square)) | sign);
    return REAL(select)(size >= zero + one, large, small); /* NaN is small */
}
