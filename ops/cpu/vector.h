/* vector.h - registers full of numbers, with the vector extensions of gcc and clang, for kernel sources (isa.h).
 *
 * For each of f32 and f64 (T below), as wide as the instruction set at hand allows:
 *
 *     vec_T                       a register of LANES_T numbers; + - * / and comparisons work lane by lane
 *     load_T(p), store_T(p, v)    from and to memory, aligned or not
 *     stream_T(p, v)              to memory past the caches (tensor/past_caches.h); p is aligned to the register
 *     load_first_T(p, n, rest)    the first n lanes, 0 to LANES_T of them, `rest` in the others; no more is touched
 *     store_first_T(p, v, n)      and back
 *     splat_T(x)                  x in every lane
 *     select_T(c, a, b)           a's lane where c's is -1, b's where it is 0
 *     abs_T(v)                    without the signs
 *     any_T(c)                    whether a lane of a comparison is -1
 *     max_T(a, b), min_T(a, b)    a's lane where a > b, a < b, else b's: also where one is NaN
 *     total_T(v)                  the sum of the lanes, in one fixed order
 *     transpose_T(r)              the LANES_T x LANES_T matrix of rows r[i] becomes its transpose
 *
 * A kernel that serves both types is a file read twice, with `real` and REAL(name) defined for one and then for the
 * other.
 */
#ifndef AG_VECTOR_H
#define AG_VECTOR_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) || defined(AG_WIDE) /* the latter: meson option wide_on_avx2 */
#define AG_VECTOR_BYTES 64
#elif defined(__AVX__)
#define AG_VECTOR_BYTES 32
#else
#define AG_VECTOR_BYTES 16
#endif

#define AG_INLINE static inline __attribute__((always_inline))

#if defined(__clang__)
#define AG_UNROLL _Pragma("clang loop unroll(full)")
#else
#define AG_UNROLL _Pragma("GCC unroll 64")
#endif

typedef float vec_f32 __attribute__((vector_size(AG_VECTOR_BYTES)));
typedef double vec_f64 __attribute__((vector_size(AG_VECTOR_BYTES)));
typedef int32_t mask_f32
    __attribute__((vector_size(AG_VECTOR_BYTES))); /* what a comparison gives: 0 or -1 in each lane */
typedef int64_t mask_f64 __attribute__((vector_size(AG_VECTOR_BYTES)));
typedef float loose_f32 __attribute__((vector_size(AG_VECTOR_BYTES), aligned(4), may_alias)); /* anywhere in memory */
typedef double loose_f64 __attribute__((vector_size(AG_VECTOR_BYTES), aligned(8), may_alias));
enum { LANES_f32 = AG_VECTOR_BYTES / 4, LANES_f64 = AG_VECTOR_BYTES / 8 };

AG_INLINE vec_f32 load_f32(const float *p) { return *(const loose_f32 *)p; }
AG_INLINE vec_f64 load_f64(const double *p) { return *(const loose_f64 *)p; }
AG_INLINE void store_f32(float *p, vec_f32 v) { *(loose_f32 *)p = v; }
AG_INLINE void store_f64(double *p, vec_f64 v) { *(loose_f64 *)p = v; }
AG_INLINE vec_f32 splat_f32(float x) { return x - (vec_f32){ 0 }; }
AG_INLINE vec_f64 splat_f64(double x) { return x - (vec_f64){ 0 }; }
AG_INLINE vec_f32 select_f32(mask_f32 c, vec_f32 a, vec_f32 b)
{
    return (vec_f32)(((mask_f32)a & c) | ((mask_f32)b & ~c));
}
AG_INLINE vec_f64 select_f64(mask_f64 c, vec_f64 a, vec_f64 b)
{
    return (vec_f64)(((mask_f64)a & c) | ((mask_f64)b & ~c));
}
AG_INLINE vec_f32 abs_f32(vec_f32 v) { return (vec_f32)((mask_f32)v & ~(mask_f32)splat_f32(-0.0f)); }
AG_INLINE vec_f64 abs_f64(vec_f64 v) { return (vec_f64)((mask_f64)v & ~(mask_f64)splat_f64(-0.0)); }

/* v is a register, whose contents nobody knows. gcc likes to make a load an operand of each instruction that uses it;
 * one that crosses the end of a cache line is two. */
#if defined(__AVX512F__)
#define AG_IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__x86_64__) && !defined(AG_WIDE)
#define AG_IN_REGISTER(v) __asm__("" : "+x"(v))
#else
#define AG_IN_REGISTER(v) ((void)0)
#endif

#if defined(__AVX512F__)
AG_INLINE void stream_f32(float *p, vec_f32 v) { _mm512_stream_ps(p, (__m512)v); }
AG_INLINE void stream_f64(double *p, vec_f64 v) { _mm512_stream_pd(p, (__m512d)v); }
#elif defined(__AVX__) && AG_VECTOR_BYTES == 32
AG_INLINE void stream_f32(float *p, vec_f32 v) { _mm256_stream_ps(p, (__m256)v); }
AG_INLINE void stream_f64(double *p, vec_f64 v) { _mm256_stream_pd(p, (__m256d)v); }
#elif defined(__x86_64__) && AG_VECTOR_BYTES == 16
AG_INLINE void stream_f32(float *p, vec_f32 v) { _mm_stream_ps(p, (__m128)v); }
AG_INLINE void stream_f64(double *p, vec_f64 v) { _mm_stream_pd(p, (__m128d)v); }
#else
AG_INLINE void stream_f32(float *p, vec_f32 v) { store_f32(p, v); }
AG_INLINE void stream_f64(double *p, vec_f64 v) { store_f64(p, v); }
#endif

/* One instruction; a selection would be three. */
#if defined(__AVX512F__)
AG_INLINE vec_f32 max_f32(vec_f32 a, vec_f32 b) { return (vec_f32)_mm512_max_ps((__m512)a, (__m512)b); }
AG_INLINE vec_f64 max_f64(vec_f64 a, vec_f64 b) { return (vec_f64)_mm512_max_pd((__m512d)a, (__m512d)b); }
AG_INLINE vec_f32 min_f32(vec_f32 a, vec_f32 b) { return (vec_f32)_mm512_min_ps((__m512)a, (__m512)b); }
AG_INLINE vec_f64 min_f64(vec_f64 a, vec_f64 b) { return (vec_f64)_mm512_min_pd((__m512d)a, (__m512d)b); }
#elif defined(__AVX__) && AG_VECTOR_BYTES == 32
AG_INLINE vec_f32 max_f32(vec_f32 a, vec_f32 b) { return (vec_f32)_mm256_max_ps((__m256)a, (__m256)b); }
AG_INLINE vec_f64 max_f64(vec_f64 a, vec_f64 b) { return (vec_f64)_mm256_max_pd((__m256d)a, (__m256d)b); }
AG_INLINE vec_f32 min_f32(vec_f32 a, vec_f32 b) { return (vec_f32)_mm256_min_ps((__m256)a, (__m256)b); }
AG_INLINE vec_f64 min_f64(vec_f64 a, vec_f64 b) { return (vec_f64)_mm256_min_pd((__m256d)a, (__m256d)b); }
#else
AG_INLINE vec_f32 max_f32(vec_f32 a, vec_f32 b) { return select_f32(a > b, a, b); }
AG_INLINE vec_f64 max_f64(vec_f64 a, vec_f64 b) { return select_f64(a > b, a, b); }
AG_INLINE vec_f32 min_f32(vec_f32 a, vec_f32 b) { return select_f32(a < b, a, b); }
AG_INLINE vec_f64 min_f64(vec_f64 a, vec_f64 b) { return select_f64(a < b, a, b); }
#endif

#if defined(__AVX512F__)
AG_INLINE bool any_f32(mask_f32 c) { return _mm512_test_epi32_mask((__m512i)c, (__m512i)c) != 0; }
AG_INLINE bool any_f64(mask_f64 c) { return _mm512_test_epi64_mask((__m512i)c, (__m512i)c) != 0; }
#elif defined(__AVX__) && AG_VECTOR_BYTES == 32
AG_INLINE bool any_f32(mask_f32 c) { return _mm256_movemask_ps((__m256)c) != 0; }
AG_INLINE bool any_f64(mask_f64 c) { return _mm256_movemask_pd((__m256d)c) != 0; }
#else
AG_INLINE bool any_f32(mask_f32 c)
{
    int64_t word[sizeof c / 8], any = 0;
    memcpy(word, &c, sizeof c);
    for (size_t i = 0; i < sizeof c / 8; i++) any |= word[i];
    return any;
}
AG_INLINE bool any_f64(mask_f64 c)
{
    int64_t any = 0;
    for (int i = 0; i < LANES_f64; i++) any |= c[i];
    return any;
}
#endif

#if defined(__AVX512F__)
#define AG_FIRST(n) ((1u << (n)) - 1)
AG_INLINE vec_f32 load_first_f32(const float *p, int n, float rest)
{
    return _mm512_mask_loadu_ps(splat_f32(rest), (__mmask16)AG_FIRST(n), p);
}
AG_INLINE vec_f64 load_first_f64(const double *p, int n, double rest)
{
    return _mm512_mask_loadu_pd(splat_f64(rest), (__mmask8)AG_FIRST(n), p);
}
AG_INLINE void store_first_f32(float *p, vec_f32 v, int n) { _mm512_mask_storeu_ps(p, (__mmask16)AG_FIRST(n), v); }
AG_INLINE void store_first_f64(double *p, vec_f64 v, int n) { _mm512_mask_storeu_pd(p, (__mmask8)AG_FIRST(n), v); }
#undef AG_FIRST
#elif defined(__AVX2__) && AG_VECTOR_BYTES == 32
/* The first so many bytes set. */
AG_INLINE __m256i ag__first_bytes(int bytes)
{
    static const int32_t on[16] = { -1, -1, -1, -1, -1, -1, -1, -1 }; /* 32 bytes of ones, 32 of zeros */
    __m256i m;
    memcpy(&m, (const char *)on + 32 - bytes, sizeof m);
    return m;
}
AG_INLINE vec_f32 load_first_f32(const float *p, int n, float rest)
{
    const __m256i first = ag__first_bytes(4 * n);
    return _mm256_blendv_ps(splat_f32(rest), _mm256_maskload_ps(p, first), (__m256)first);
}
AG_INLINE vec_f64 load_first_f64(const double *p, int n, double rest)
{
    const __m256i first = ag__first_bytes(8 * n);
    return _mm256_blendv_pd(splat_f64(rest), _mm256_maskload_pd(p, first), (__m256d)first);
}
AG_INLINE void store_first_f32(float *p, vec_f32 v, int n) { _mm256_maskstore_ps(p, ag__first_bytes(4 * n), v); }
AG_INLINE void store_first_f64(double *p, vec_f64 v, int n) { _mm256_maskstore_pd(p, ag__first_bytes(8 * n), v); }
#else
#define AG_APART static __attribute__((noinline, unused)) /* these are long, and every loop's end has some */
AG_APART vec_f32 load_first_f32(const float *p, int n, float rest)
{
    vec_f32 v = splat_f32(rest);
    for (int i = 0; i < n; i++) v[i] = p[i];
    return v;
}
AG_APART vec_f64 load_first_f64(const double *p, int n, double rest)
{
    vec_f64 v = splat_f64(rest);
    for (int i = 0; i < n; i++) v[i] = p[i];
    return v;
}
AG_APART void store_first_f32(float *p, vec_f32 v, int n)
{
    for (int i = 0; i < n; i++) p[i] = v[i];
}
AG_APART void store_first_f64(double *p, vec_f64 v, int n)
{
    for (int i = 0; i < n; i++) p[i] = v[i];
}
#undef AG_APART
#endif

/* Lanes change places with those so many further on. */
// clang-format off
#define AG_SWAP_1_2(v)  __builtin_shufflevector(v, v, 1, 0)
#define AG_SWAP_1_4(v)  __builtin_shufflevector(v, v, 1, 0, 3, 2)
#define AG_SWAP_2_4(v)  __builtin_shufflevector(v, v, 2, 3, 0, 1)
#define AG_SWAP_1_8(v)  __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6)
#define AG_SWAP_2_8(v)  __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5)
#define AG_SWAP_4_8(v)  __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3)
#define AG_SWAP_1_16(v) __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
#define AG_SWAP_2_16(v) __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
#define AG_SWAP_4_16(v) __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
#define AG_SWAP_8_16(v) __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
// clang-format on

/* v becomes in each lane the fold of all of them, WITH(a, b) being that of two: halves, quarters and so on. */
#define AG_ACROSS_2(v, WITH) (v = WITH(v, AG_SWAP_1_2(v)))
#define AG_ACROSS_4(v, WITH) (v = WITH(v, AG_SWAP_2_4(v)), v = WITH(v, AG_SWAP_1_4(v)))
#define AG_ACROSS_8(v, WITH) (v = WITH(v, AG_SWAP_4_8(v)), v = WITH(v, AG_SWAP_2_8(v)), v = WITH(v, AG_SWAP_1_8(v)))
#define AG_ACROSS_16(v, WITH)                                                                  \
    (v = WITH(v, AG_SWAP_8_16(v)), v = WITH(v, AG_SWAP_4_16(v)), v = WITH(v, AG_SWAP_2_16(v)), \
     v = WITH(v, AG_SWAP_1_16(v)))
#if AG_VECTOR_BYTES == 64
#define AG_ACROSS_f32 AG_ACROSS_16
#define AG_ACROSS_f64 AG_ACROSS_8
#elif AG_VECTOR_BYTES == 32
#define AG_ACROSS_f32 AG_ACROSS_8
#define AG_ACROSS_f64 AG_ACROSS_4
#else
#define AG_ACROSS_f32 AG_ACROSS_4
#define AG_ACROSS_f64 AG_ACROSS_2
#endif

#define AG_SUM_OF_TWO(a, b) ((a) + (b))
AG_INLINE float total_f32(vec_f32 v)
{
    AG_ACROSS_f32(v, AG_SUM_OF_TWO);
    return v[0];
}
AG_INLINE double total_f64(vec_f64 v)
{
    AG_ACROSS_f64(v, AG_SUM_OF_TWO);
    return v[0];
}
#undef AG_SUM_OF_TWO

/* Lanes of a and b taken in turns: of their first halves, of their second halves. */
// clang-format off
#define AG_ZIP_LOW_2(a, b)   __builtin_shufflevector(a, b, 0, 2)
#define AG_ZIP_HIGH_2(a, b)  __builtin_shufflevector(a, b, 1, 3)
#define AG_ZIP_LOW_4(a, b)   __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define AG_ZIP_HIGH_4(a, b)  __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define AG_ZIP_LOW_8(a, b)   __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define AG_ZIP_HIGH_8(a, b)  __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define AG_ZIP_LOW_16(a, b)  __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define AG_ZIP_HIGH_16(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
// clang-format on

#if AG_VECTOR_BYTES == 64
#define AG_ZIP_LOW_f32  AG_ZIP_LOW_16
#define AG_ZIP_HIGH_f32 AG_ZIP_HIGH_16
#define AG_ZIP_LOW_f64  AG_ZIP_LOW_8
#define AG_ZIP_HIGH_f64 AG_ZIP_HIGH_8
#elif AG_VECTOR_BYTES == 32
#define AG_ZIP_LOW_f32  AG_ZIP_LOW_8
#define AG_ZIP_HIGH_f32 AG_ZIP_HIGH_8
#define AG_ZIP_LOW_f64  AG_ZIP_LOW_4
#define AG_ZIP_HIGH_f64 AG_ZIP_HIGH_4
#else
#define AG_ZIP_LOW_f32  AG_ZIP_LOW_4
#define AG_ZIP_HIGH_f32 AG_ZIP_HIGH_4
#define AG_ZIP_LOW_f64  AG_ZIP_LOW_2
#define AG_ZIP_HIGH_f64 AG_ZIP_HIGH_2
#endif

/* Every second lane of a, from the first on, and of b, from the second on. */
// clang-format off
#define AG_EVERY_SECOND_2(a, b)  __builtin_shufflevector(a, b, 0, 3)
#define AG_EVERY_SECOND_4(a, b)  __builtin_shufflevector(a, b, 0, 2, 5, 7)
#define AG_EVERY_SECOND_8(a, b)  __builtin_shufflevector(a, b, 0, 2, 4, 6, 9, 11, 13, 15)
#define AG_EVERY_SECOND_16(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31)
// clang-format on

#if AG_VECTOR_BYTES == 64
#define AG_EVERY_SECOND_f32 AG_EVERY_SECOND_16
#define AG_EVERY_SECOND_f64 AG_EVERY_SECOND_8
#elif AG_VECTOR_BYTES == 32
#define AG_EVERY_SECOND_f32 AG_EVERY_SECOND_8
#define AG_EVERY_SECOND_f64 AG_EVERY_SECOND_4
#else
#define AG_EVERY_SECOND_f32 AG_EVERY_SECOND_4
#define AG_EVERY_SECOND_f64 AG_EVERY_SECOND_2
#endif

/* Zipping row i with row i + half moves the highest bit of the row number below the column number and the highest bit
 * of the column number below the row number; as many times as there are bits, and they have changed places. */
AG_INLINE void transpose_f32(vec_f32 *r)
{
    AG_UNROLL
    for (int step = 1; step < LANES_f32; step *= 2) {
        vec_f32 t[LANES_f32];
        AG_UNROLL
        for (int i = 0; i < LANES_f32 / 2; i++) {
            t[2 * i] = AG_ZIP_LOW_f32(r[i], r[i + LANES_f32 / 2]);
            t[2 * i + 1] = AG_ZIP_HIGH_f32(r[i], r[i + LANES_f32 / 2]);
        }
        AG_UNROLL
        for (int i = 0; i < LANES_f32; i++) r[i] = t[i];
    }
}
AG_INLINE void transpose_f64(vec_f64 *r)
{
    AG_UNROLL
    for (int step = 1; step < LANES_f64; step *= 2) {
        vec_f64 t[LANES_f64];
        AG_UNROLL
        for (int i = 0; i < LANES_f64 / 2; i++) {
            t[2 * i] = AG_ZIP_LOW_f64(r[i], r[i + LANES_f64 / 2]);
            t[2 * i + 1] = AG_ZIP_HIGH_f64(r[i], r[i + LANES_f64 / 2]);
        }
        AG_UNROLL
        for (int i = 0; i < LANES_f64; i++) r[i] = t[i];
    }
}

#endif
