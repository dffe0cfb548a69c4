/* reduce_real.h - folds of one floating type, with registers; read by reduce_kernel.c with `real` and REAL(name)
 * defined. */

#define vec   REAL(vec)
#define mask  REAL(mask)
#define LANES REAL(LANES)
#define load  REAL(load)
#define store REAL(store)
#define splat REAL(splat)

/* Lane by lane: where the comparison holds, x, else m. */
AG_INLINE vec REAL(choose)(mask holds, vec x, vec m) { return (vec)(((mask)x & holds) | ((mask)m & ~holds)); }

static int64_t REAL(find)(const void *from, const void *value, int64_t n)
{
    const real *x = from, v = *(const real *)value;
    int64_t i = 0;
    if (v == v) {
        while (i < n - 1 && x[i] != v) i++;
    } else {
        while (i < n - 1 && x[i] == x[i]) i++;
    }
    return i;
}

#define FOLD(name)       REAL(sum_##name)
#define START(first)     0
#define WITH(m, x)       ((m) + (x))
#define WITH_LANES(m, x) ((m) + (x))
#include "ops/cpu/reduce_real_fold.h"
#undef FOLD
#undef START
#undef WITH
#undef WITH_LANES

#define FOLD(name)       REAL(prod_##name)
#define START(first)     1
#define WITH(m, x)       ((m) * (x))
#define WITH_LANES(m, x) ((m) * (x))
#include "ops/cpu/reduce_real_fold.h"
#undef FOLD
#undef START
#undef WITH
#undef WITH_LANES

/* A NaN is taken wherever it comes, and nothing is taken after it but another. */
#define BEATS(x, m)      ((x) > (m) || ((x) != (x) && (m) == (m)))
#define FOLD(name)       REAL(max_##name)
#define START(first)     (first)
#define WITH(m, x)       ((x) > (m) || (x) != (x) ? (x) : (m))
#define WITH_LANES(m, x) REAL(choose)(((x) > (m)) | ((x) != (x)), x, m)
#include "ops/cpu/reduce_arg.h"
#include "ops/cpu/reduce_real_fold.h"
#undef BEATS
#undef FOLD
#undef START
#undef WITH
#undef WITH_LANES

#define BEATS(x, m)      ((x) < (m) || ((x) != (x) && (m) == (m)))
#define FOLD(name)       REAL(min_##name)
#define START(first)     (first)
#define WITH(m, x)       ((x) < (m) || (x) != (x) ? (x) : (m))
#define WITH_LANES(m, x) REAL(choose)(((x) < (m)) | ((x) != (x)), x, m)
#include "ops/cpu/reduce_arg.h"
#include "ops/cpu/reduce_real_fold.h"
#undef BEATS
#undef FOLD
#undef START
#undef WITH
#undef WITH_LANES

#undef vec
#undef mask
#undef LANES
#undef load
#undef store
#undef splat
