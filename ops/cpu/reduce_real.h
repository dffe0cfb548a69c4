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

/* column[j] = element at + j of each of LANES rows of n, as far as there is one. What lies between rows is loaded, too.
 * Not inlined: it is long, and the columns are looked at by their numbers, in memory. */
static __attribute__((noinline)) void REAL(load_columns)(const real *x, int64_t stride, int64_t at, int64_t n,
                                                         vec *column)
{
    for (int64_t k = 0; k < LANES; k++) {
        const real *row = x + k * stride + at;
        if (k * stride + at + LANES <= (LANES - 1) * stride + n) {
            column[k] = load(row);
        } else {
            real some[LANES] = { 0 };
            for (int64_t j = 0; j < LANES && at + j < n; j++) some[j] = row[j];
            column[k] = load(some);
        }
    }
    REAL(transpose)(column);
}

/* Many at a time until one of them is it. */
static int64_t REAL(find)(const void *from, const void *value, int64_t n)
{
    enum { AT_ONCE = 8 * LANES };
    const real *x = from, v = *(const real *)value;
    const bool is_number = v == v;
    int64_t i = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        mask here = { 0 };
        AG_UNROLL
        for (int k = 0; k < 8; k++) {
            const vec w = load(x + i + k * LANES);
            here |= is_number ? w == splat(v) : w != w;
        }
        if (REAL(any)(here)) break;
    }
    while (i < n - 1 && (is_number ? x[i] != v : x[i] == x[i])) i++;
    return i;
}

/* Elements of a block of a long row; blocks of a row, the logarithm of how many. */
#ifndef ROW_BLOCK
#define ROW_BLOCK  1024
#define ROW_LEVELS 54
#define ROW_LONG   16384 /* elements from which on they are asked for ahead of time */
#endif

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
#define BEATS(x, m)         ((x) > (m) || ((x) != (x) && (m) == (m)))
#define BEATS_LANES(x, m)   (((x) > (m)) | (((x) != (x)) & ((m) == (m))))
#define AMONG_NUMBERS(m, x) REAL(max)(x, m)
#define FOLD(name)          REAL(max_##name)
#define START(first)        (first)
#define WITH(m, x)          ((x) > (m) || (x) != (x) ? (x) : (m))
#define WITH_LANES(m, x)    REAL(choose)(((x) > (m)) | ((x) != (x)), x, m)
#include "ops/cpu/reduce_arg.h"
#include "ops/cpu/reduce_real_fold.h"
#undef BEATS
#undef BEATS_LANES
#undef AMONG_NUMBERS
#undef FOLD
#undef START
#undef WITH
#undef WITH_LANES

#define BEATS(x, m)         ((x) < (m) || ((x) != (x) && (m) == (m)))
#define BEATS_LANES(x, m)   (((x) < (m)) | (((x) != (x)) & ((m) == (m))))
#define AMONG_NUMBERS(m, x) REAL(min)(x, m)
#define FOLD(name)          REAL(min_##name)
#define START(first)        (first)
#define WITH(m, x)          ((x) < (m) || (x) != (x) ? (x) : (m))
#define WITH_LANES(m, x)    REAL(choose)(((x) < (m)) | ((x) != (x)), x, m)
#include "ops/cpu/reduce_arg.h"
#include "ops/cpu/reduce_real_fold.h"
#undef BEATS
#undef BEATS_LANES
#undef AMONG_NUMBERS
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
