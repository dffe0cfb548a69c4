/* softmax_kernel.c - the inner loops of softmax (softmax_template.h), for float and double.
 *
 * exp is libmvec's in float32, by the name that the vector ABI gives it (within 4 units in the last place), and libm's,
 * lane by lane, in float64. Elements beyond a register's worth go through a register too, so an element's bits do not
 * depend on where it lies. */
#include "ops/cpu/isa.h"
#include "ops/cpu/softmax.h"
#include "ops/cpu/vector.h"

#include <math.h>

#if defined(AG_HAVE_LIBMVEC) && defined(__x86_64__)
#if AG_VECTOR_BYTES == 64
#define LIBMVEC_EXP _ZGVeN16v_expf
#elif AG_VECTOR_BYTES == 32
#define LIBMVEC_EXP _ZGVdN8v_expf
#else
#define LIBMVEC_EXP _ZGVbN4v_expf
#endif
vec_f32 LIBMVEC_EXP(vec_f32 x);
static inline vec_f32 exp_f32(vec_f32 x) { return LIBMVEC_EXP(x); }
#else
static inline vec_f32 exp_f32(vec_f32 x)
{
    for (int i = 0; i < LANES_f32; i++) x[i] = expf(x[i]);
    return x;
}
#endif
static inline vec_f64 exp_f64(vec_f64 x)
{
    for (int i = 0; i < LANES_f64; i++) x[i] = exp(x[i]);
    return x;
}

#define real       float
#define REAL(name) AG_PASTE(name, _f32)
#define LOG        logf
#include "ops/cpu/softmax_template.h"
#undef real
#undef REAL
#undef LOG

#define real       double
#define REAL(name) AG_PASTE(name, _f64)
#define LOG        log
#include "ops/cpu/softmax_template.h"
