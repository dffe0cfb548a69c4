/* softmax_kernel.c - the inner loops of softmax (softmax_template.h), for float and double.
 *
 * In float32 exp is libmvec's (within 4 units in the last place); in float64 exp and log are ours where the machine has
 * fused multiply-adds (fused.h), else SLEEF's (within 1). Without those they are libm's, lane by lane. Elements beyond
 * a register's worth go through a register too, so an element's bits do not depend on where it lies. */
#include "ops/cpu/fused.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/softmax.h"
#include "ops/cpu/vector_math.h"
#include "tensor/past_caches.h"

#include <math.h>

#if defined(AG_LIBMVEC)
vec_f32 AG_LIBMVEC(exp, v)(vec_f32 x);
static inline vec_f32 exp_f32(vec_f32 x) { return AG_LIBMVEC(exp, v)(x); }
#else
static inline vec_f32 exp_f32(vec_f32 x)
{
    for (int i = 0; i < LANES_f32; i++) x[i] = expf(x[i]);
    return x;
}
#endif
#if AG_FUSED
#include "ops/cpu/exp.h"
#include "ops/cpu/log.h"
#elif defined(AG_SLEEF)
vec_f64 AG_SLEEF(exp, u10)(vec_f64 x);
vec_f64 AG_SLEEF(log, u10)(vec_f64 x);
static inline vec_f64 exp_f64(vec_f64 x) { return AG_SLEEF(exp, u10)(x); }
static inline vec_f64 log_f64(vec_f64 x) { return AG_SLEEF(log, u10)(x); }
#else
static inline vec_f64 exp_f64(vec_f64 x)
{
    for (int i = 0; i < LANES_f64; i++) x[i] = exp(x[i]);
    return x;
}
static inline vec_f64 log_f64(vec_f64 x)
{
    for (int i = 0; i < LANES_f64; i++) x[i] = log(x[i]);
    return x;
}
#endif
#if AG_FUSED || defined(AG_SLEEF)
/* libmvec's would lose two bits of the loss */
static inline vec_f32 log_f32(vec_f32 x)
{
    double wide[LANES_f32];
    for (int i = 0; i < LANES_f32; i++) wide[i] = x[i];
    for (int i = 0; i < LANES_f32; i += LANES_f64) store_f64(wide + i, log_f64(load_f64(wide + i)));
    for (int i = 0; i < LANES_f32; i++) x[i] = (float)wide[i];
    return x;
}
#else
static inline vec_f32 log_f32(vec_f32 x)
{
    for (int i = 0; i < LANES_f32; i++) x[i] = logf(x[i]);
    return x;
}
#endif

#define real       float
#define REAL(name) AG_PASTE(name, _f32)
#include "ops/cpu/softmax_template.h"
#undef real
#undef REAL

#define real       double
#define REAL(name) AG_PASTE(name, _f64)
#include "ops/cpu/softmax_template.h"
