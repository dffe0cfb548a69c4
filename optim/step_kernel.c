/* step_kernel.c - the optimisers' loops (step_template.h), for float and double. */
#include "ops/cpu/isa.h"
#include "ops/cpu/vector.h"
#include "optim/step.h"

#include <math.h>
#if defined(__FMA__)
#include <immintrin.h>
#endif

#include "ops/cpu/uncontracted.h"

/* a * b + c, rounded once where the machine can. */
#if defined(__AVX512F__)
AG_INLINE vec_f32 fused_f32(vec_f32 a, vec_f32 b, vec_f32 c) { return _mm512_fmadd_ps(a, b, c); }
AG_INLINE vec_f64 fused_f64(vec_f64 a, vec_f64 b, vec_f64 c) { return _mm512_fmadd_pd(a, b, c); }
#elif defined(__FMA__) && AG_VECTOR_BYTES == 32
AG_INLINE vec_f32 fused_f32(vec_f32 a, vec_f32 b, vec_f32 c) { return _mm256_fmadd_ps(a, b, c); }
AG_INLINE vec_f64 fused_f64(vec_f64 a, vec_f64 b, vec_f64 c) { return _mm256_fmadd_pd(a, b, c); }
#elif defined(__FMA__)
AG_INLINE vec_f32 fused_f32(vec_f32 a, vec_f32 b, vec_f32 c)
{
    for (int i = 0; i < LANES_f32; i++) a[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return a;
}
AG_INLINE vec_f64 fused_f64(vec_f64 a, vec_f64 b, vec_f64 c)
{
    for (int i = 0; i < LANES_f64; i++) a[i] = __builtin_fma(a[i], b[i], c[i]);
    return a;
}
#else
AG_INLINE vec_f32 fused_f32(vec_f32 a, vec_f32 b, vec_f32 c) { return a * b + c; }
AG_INLINE vec_f64 fused_f64(vec_f64 a, vec_f64 b, vec_f64 c) { return a * b + c; }
#endif

#define real       float
#define REAL(name) AG_PASTE(name, _f32)
#define SQRT       sqrtf
#include "optim/step_template.h"
#undef real
#undef REAL
#undef SQRT

#define real       double
#define REAL(name) AG_PASTE(name, _f64)
#define SQRT       sqrt
#include "optim/step_template.h"
