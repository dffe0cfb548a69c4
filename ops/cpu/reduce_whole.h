/* reduce_whole.h - folds of one integer type, as loops that the compiler turns into registers; read by reduce_kernel.c
 * with `whole` and WHOLE(name) defined. Sums and products are int64 and wrap around. */

static int64_t WHOLE(find)(const void *from, const void *value, int64_t n)
{
    const whole *x = from, v = *(const whole *)value;
    int64_t i = 0;
    while (i < n - 1 && x[i] != v) i++;
    return i;
}

#define total_t    int64_t
#define FOLD(name) WHOLE(sum_##name)
#define WITH(m, x) ((int64_t)((uint64_t)(m) + (uint64_t)(int64_t)(x)))
#include "ops/cpu/reduce_whole_fold.h"
#undef FOLD
#undef WITH

#define FOLD(name) WHOLE(prod_##name)
#define WITH(m, x) ((int64_t)((uint64_t)(m) * (uint64_t)(int64_t)(x)))
#include "ops/cpu/reduce_whole_fold.h"
#undef FOLD
#undef WITH
#undef total_t

#define total_t     whole
#define real        whole
#define BEATS(x, m) ((x) > (m))
#define FOLD(name)  WHOLE(max_##name)
#define WITH(m, x)  ((x) > (m) ? (x) : (m))
#include "ops/cpu/reduce_arg.h"
#include "ops/cpu/reduce_whole_fold.h"
#undef BEATS
#undef FOLD
#undef WITH

#define BEATS(x, m) ((x) < (m))
#define FOLD(name)  WHOLE(min_##name)
#define WITH(m, x)  ((x) < (m) ? (x) : (m))
#include "ops/cpu/reduce_arg.h"
#include "ops/cpu/reduce_whole_fold.h"
#undef BEATS
#undef FOLD
#undef WITH
#undef total_t
#undef real
