/* pool_kernel.c - the inner loops of max pooling (pool_template.h), for all types. */
#include "ops/cpu/isa.h"
#include "ops/cpu/pool.h"
#include "ops/cpu/vector.h"

#include <limits.h>

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* The positions of a window along an axis that meet the input: the first one's place, how many. */
typedef struct {
    int64_t at, n;
} window;

static inline window window_at(const ag__pool2d_shape *s, int axis, int64_t out)
{
    const int64_t start = out * s->stride[axis] - s->padding[axis], step = s->dilation[axis];
    const int64_t outside = start < 0 ? (-start + step - 1) / step : 0;
    const int64_t at = start + outside * step;
    const int64_t n = s->kernel[axis] - outside;
    if (at + (n - 1) * step < s->size[axis]) return (window){ at, n };
    return (window){ at, s->size[axis] > at ? (s->size[axis] - 1 - at) / step + 1 : 0 };
}

#define POOL_FLOATING

#define real       float
#define LOWEST     ((float)-__builtin_inf())
#define REAL(name) AG_PASTE(name, _f32)
#include "ops/cpu/pool_template.h"
#undef real
#undef LOWEST
#undef REAL

#define real       double
#define LOWEST     (-__builtin_inf())
#define REAL(name) AG_PASTE(name, _f64)
#include "ops/cpu/pool_template.h"
#undef real
#undef LOWEST
#undef REAL

#undef POOL_FLOATING

#if !defined(__AVX__) /* the baseline's serve all */
#define real       int64_t
#define LOWEST     INT64_MIN
#define REAL(name) AG_PASTE(name, _i64)
#include "ops/cpu/pool_template.h"
#undef real
#undef LOWEST
#undef REAL

#define real       int32_t
#define LOWEST     INT32_MIN
#define REAL(name) AG_PASTE(name, _i32)
#include "ops/cpu/pool_template.h"
#undef real
#undef LOWEST
#undef REAL

#define real       uint8_t
#define LOWEST     0
#define REAL(name) AG_PASTE(name, _u8)
#include "ops/cpu/pool_template.h"
#endif
