/* pointwise_kernel.c - the rows' loops over registers, for the floating types and one instruction set.
 *
 * exp, tanh and the rest are not ours: float32 calls glibc's libmvec by the names of the vector ABI (within 4 units in
 * the last place, no -ffast-math needed, either compiler), float64 calls libm lane by lane (within 1). Multiplications
 * and additions are not fused here: an expression then has the same bits on every instruction set, and as a graph of
 * ops.
 */
#include "ops/cpu/pointwise_kernel.h"
#include "ops/cpu/erfinv.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/vector.h"

#include <math.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "ops/cpu/uncontracted.h"

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

#if defined(AG_HAVE_LIBMVEC) && defined(__x86_64__)
/* _ZGVdN8v_expf: d for AVX2 (b SSE, e AVX-512), 8 lanes, one vector operand. const, so that a formula that says
 * sigmoid(x) twice computes it once. */
#if AG_VECTOR_BYTES == 64
#define LIBMVEC(name, v) AG_PASTE(_ZGVeN16, v##_##name##f)
#elif AG_VECTOR_BYTES == 32
#define LIBMVEC(name, v) AG_PASTE(_ZGVdN8, v##_##name##f)
#else
#define LIBMVEC(name, v) AG_PASTE(_ZGVbN4, v##_##name##f)
#endif
#define LIBMVEC_OF(name)                                        \
    __attribute__((const)) vec_f32 LIBMVEC(name, v)(vec_f32 a); \
    AG_INLINE vec REAL(name)(vec a) { return LIBMVEC(name, v)(a); }
#define LIBMVEC_OF2(name)                                                   \
    __attribute__((const)) vec_f32 LIBMVEC(name, vv)(vec_f32 a, vec_f32 b); \
    AG_INLINE vec REAL(name)(vec a, vec b) { return LIBMVEC(name, vv)(a, b); }
#define VECTOR  LIBMVEC_OF
#define VECTOR2 LIBMVEC_OF2
#else
#define VECTOR  LANES_OF
#define VECTOR2 LANES_OF2
#endif
#define real    float
#define SUFFIX  _f32
#define F(name) name##f
#include "ops/cpu/pointwise_registers.h"

#define VECTOR  LANES_OF
#define VECTOR2 LANES_OF2
#define real    double
#define SUFFIX  _f64
#define F(name) name
#include "ops/cpu/pointwise_registers.h"

// clang-format off
#define VALUE(op, integers, LIST, expression)    { op##_value_f32, op##_value_f64 },
#define VALUE_IS                                 VALUE
#define DERIVATIVE(op, part, LIST, expression)   { op##_##part##_f32, op##_##part##_f64 },
// clang-format on
AG_ISA_TABLE(ag__pointwise_loops, ag__pointwise) = { {
#include "ops/pointwise.def"
} };
