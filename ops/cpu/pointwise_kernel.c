/* pointwise_kernel.c - the rows' loops over registers, for the floating types and one instruction set.
 *
 * exp, log, tanh, sin and cos in float64 and the error function are ours, where the machine has fused multiply-adds
 * (fused.h), exp, log and tanh in float32 with AVX-512. The rest is not: float32 calls glibc's libmvec (within
 * 4 units in the last place), float64 SLEEF (within 1.5); without those, libm lane by lane. Multiplications and
 * additions are not fused here: an expression without such functions then has the same bits on every instruction set,
 * and as a graph of ops.
 */
#include "ops/cpu/pointwise_kernel.h"
#include "ops/cpu/erfinv.h"
#include "ops/cpu/fused.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/vector_math.h"
#include "ops/pointwise_rows.h"
#include "tensor/past_caches.h"

#include <math.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "ops/cpu/uncontracted.h"

#if AG_FUSED
#if defined(AG_SLEEF)
vec_f64 AG_SLEEF(sin, u10)(vec_f64 x);
vec_f64 AG_SLEEF(cos, u10)(vec_f64 x);
AG_INLINE vec_f64 library_sin_f64(vec_f64 x) { return AG_SLEEF(sin, u10)(x); }
AG_INLINE vec_f64 library_cos_f64(vec_f64 x) { return AG_SLEEF(cos, u10)(x); }
#else
AG_INLINE vec_f64 library_sin_f64(vec_f64 x)
{
    for (int i = 0; i < LANES_f64; i++) x[i] = sin(x[i]);
    return x;
}
AG_INLINE vec_f64 library_cos_f64(vec_f64 x)
{
    for (int i = 0; i < LANES_f64; i++) x[i] = cos(x[i]);
    return x;
}
#endif
#include "ops/cpu/erf_f32.h"
#include "ops/cpu/exp.h"
#include "ops/cpu/log.h"
#include "ops/cpu/sin.h"
#include "ops/cpu/tanh.h"
#if defined(__AVX512F__)
#include "ops/cpu/exp_f32.h"
#include "ops/cpu/log_f32.h"
#include "ops/cpu/tanh_f32.h"
#endif
#endif

/* Rows that know integers are arithmetic: a few instructions a register, beside which it would show to ask whether it
 * is a whole one. Their loop over whole registers stands apart, unless the kernels are to be small. */
#if defined(__OPTIMIZE_SIZE__)
#define AG_SMALL true
#else
#define AG_SMALL false
#endif
enum {
#define VALUE(op, integers, LIST, expression) \
    op##_whole_apart = !AG_SMALL && AG_INTEGERS_##integers >= AG_INTEGERS_ring,
#include "ops/pointwise.def"
};

/* libm lane by lane */
#define LANES_OF(name)                                        \
    AG_INLINE vec REAL(name)(vec a)                           \
    {                                                         \
        for (int i = 0; i < LANES; i++) a[i] = F(name)(a[i]); \
        return a;                                             \
    }
#define LANES_OF2(name)                                             \
    AG_INLINE vec REAL(name)(vec a, vec b)                          \
    {                                                               \
        for (int i = 0; i < LANES; i++) a[i] = F(name)(a[i], b[i]); \
        return a;                                                   \
    }

#if defined(AG_LIBMVEC)
/* const, so that a formula that says sigmoid(x) twice computes it once */
#define LIBMVEC_OF(name)                                           \
    __attribute__((const)) vec_f32 AG_LIBMVEC(name, v)(vec_f32 a); \
    AG_INLINE vec REAL(name)(vec a) { return AG_LIBMVEC(name, v)(a); }
#define LIBMVEC_OF2(name)                                                      \
    __attribute__((const)) vec_f32 AG_LIBMVEC(name, vv)(vec_f32 a, vec_f32 b); \
    AG_INLINE vec REAL(name)(vec a, vec b) { return AG_LIBMVEC(name, vv)(a, b); }
#define VECTOR(name, units)              LIBMVEC_OF(name)
#define VECTOR_UP_TO(name, units, limit) LIBMVEC_OF(name)
#define VECTOR2(name, units)             LIBMVEC_OF2(name)
#else
#define VECTOR(name, units)              LANES_OF(name)
#define VECTOR_UP_TO(name, units, limit) LANES_OF(name)
#define VECTOR2(name, units)             LANES_OF2(name)
#endif
#define real            float
#define AG_BITS_OF_REAL 32
#define SUFFIX          _f32
#define F(name)         name##f
#include "ops/cpu/pointwise_registers.h"

#if defined(AG_SLEEF)
#define SLEEF_OF(name, units)                                        \
    __attribute__((const)) vec_f64 AG_SLEEF(name, units)(vec_f64 a); \
    AG_INLINE vec REAL(name)(vec a) { return AG_SLEEF(name, units)(a); }
#define SLEEF_OF2(name, units)                                                  \
    __attribute__((const)) vec_f64 AG_SLEEF(name, units)(vec_f64 a, vec_f64 b); \
    AG_INLINE vec REAL(name)(vec a, vec b) { return AG_SLEEF(name, units)(a, b); }
/* A few give up before the type does: lanes beyond the limit are libm's. */
#define SLEEF_UP_TO(name, units, limit)                              \
    __attribute__((const)) vec_f64 AG_SLEEF(name, units)(vec_f64 a); \
    static __attribute__((const, noinline)) vec REAL(name)(vec a)    \
    {                                                                \
        vec y = AG_SLEEF(name, units)(a);                            \
        mask beyond = (a > (limit)) | (a < -(limit));                \
        int64_t some = 0;                                            \
        for (int i = 0; i < LANES; i++) some |= beyond[i];           \
        if (some)                                                    \
            for (int i = 0; i < LANES; i++)                          \
                if (beyond[i]) y[i] = F(name)(a[i]);                 \
        return y;                                                    \
    }
#define VECTOR       SLEEF_OF
#define VECTOR_UP_TO SLEEF_UP_TO
#define VECTOR2      SLEEF_OF2
#else
#define VECTOR(name, units)              LANES_OF(name)
#define VECTOR_UP_TO(name, units, limit) LANES_OF(name)
#define VECTOR2(name, units)             LANES_OF2(name)
#endif
#undef AG_BITS_OF_REAL
#define real            double
#define AG_BITS_OF_REAL 64
#define SUFFIX          _f64
#define F(name)         name
#include "ops/cpu/pointwise_registers.h"

// clang-format off
#define VALUE(op, integers, LIST, expression)    { op##_value_f32, op##_value_f64 },
#define VALUE_IS                                 VALUE
#define DERIVATIVE(op, part, LIST, expression)   { op##_##part##_f32, op##_##part##_f64 },
// clang-format on
static void store_past(char *to, const char *from, int64_t bytes) { ag__store_past(to, from, bytes); }
AG_ISA_TABLE(ag__pointwise_loops, ag__pointwise) = { {
#include "ops/pointwise.def"
                                                     },
                                                     store_past };
