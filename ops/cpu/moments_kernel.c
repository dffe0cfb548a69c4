/* moments_kernel.c - sums in registers of double; see moments.h. The template is read once for each moment and type. */
#include "ops/cpu/isa.h"
#include "ops/cpu/moments.h"
#include "ops/cpu/vector.h"

#include <string.h>

/* LANES_f64 floats, as double */
typedef float half_f32 __attribute__((vector_size(AG_VECTOR_BYTES / 2), aligned(4), may_alias));
AG_INLINE vec_f64 widen_f32(const float *p) { return __builtin_convertvector(*(const half_f32 *)p, vec_f64); }
AG_INLINE vec_f64 widen_f64(const double *p) { return load_f64(p); }

AG_INLINE vec_f64 itself(vec_f64 x, double from)
{
    (void)from;
    return x;
}
AG_INLINE vec_f64 size(vec_f64 x, double from)
{
    (void)from;
    return (vec_f64)((mask_f64)x & ~(mask_f64)splat_f64(-0.0));
}
AG_INLINE vec_f64 square(vec_f64 x, double from) { return (x - from) * (x - from); }

#define real   float
#define SUFFIX _f32
#define TERM   itself
#include "ops/cpu/moments_template.h"
#define TERM size
#include "ops/cpu/moments_template.h"
#define TERM square
#include "ops/cpu/moments_columns.h"
#include "ops/cpu/moments_spread.h"
#include "ops/cpu/moments_template.h"
#undef real
#undef SUFFIX

#define real   double
#define SUFFIX _f64
#define TERM   itself
#include "ops/cpu/moments_template.h"
#define TERM size
#include "ops/cpu/moments_template.h"
#define TERM square
#include "ops/cpu/moments_columns.h"
#include "ops/cpu/moments_spread.h"
#include "ops/cpu/moments_template.h"

AG_ISA_TABLE(ag__moment_kernels, ag__moments) = { .row = { [AG_SUM] = { itself_f32, itself_f64 },
                                                           [AG_SIZES] = { size_f32, size_f64 },
                                                           [AG_SQUARES] = { square_f32, square_f64 } },
                                                  .spread = { spread_f32, spread_f64 },
                                                  .columns = { columns_f32, columns_f64 } };
