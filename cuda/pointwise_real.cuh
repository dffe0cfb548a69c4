/* pointwise_real.cuh - the rows of ops/pointwise.def in one floating type. Read once, with real, SUFFIX, DTYPE and
 * F(name) = the function of that type. */
#include "cuda/elements.cuh"

#define AG_ON_DEVICE __device__
#include "ops/cpu/erfinv.h"

namespace
{
#define REAL(name) AG_PASTE(name, SUFFIX)
#define AG_WORD    __device__ inline __attribute__((unused))
#include "ops/cpu/pointwise_scalar.h"
#define NUM(p)          ((real)(p))
#define SELECT(c, p, q) ((c) ? (p) : (q))
#define UNUSED          __attribute__((unused))
#include "ops/cpu/pointwise_words.h"

// clang-format off
#define AG_OPTION(name) UNUSED const real name = (real)*options++;
#define ROW_OF(op, part, result, type, LIST, expression)                                                             \
    struct REAL(op##_##part) {                                                                                       \
        enum { in = DTYPE, out = result };                                                                           \
        static __device__ type of(UNUSED real a, UNUSED real b, UNUSED real c, UNUSED bool m, UNUSED real y,         \
                                  UNUSED real g, UNUSED const double *options)                                       \
        { LIST(AG_ONLY_OPTIONS, AG_ONLY_OPTIONS_MAY) return expression; }                                            \
    };
#define DERIVATIVE(op, part, LIST, expression)   ROW_OF(op, part, DTYPE, real, LIST, expression)
#define VALUE(op, integers, LIST, expression)    ROW_OF(op, value, DTYPE, real, LIST, expression)
#define VALUE_IS(op, integers, LIST, expression) ROW_OF(op, value, AG_BOOL, bool, LIST, expression)
#include "ops/pointwise.def"

ag_cuda_launcher *const rows[AG_N_EXPRESSIONS] = {
#define VALUE(op, integers, LIST, expression)    launch<REAL(op##_value)>,
#define VALUE_IS                                 VALUE
#define DERIVATIVE(op, part, LIST, expression)   launch<REAL(op##_##part)>,
#include "ops/pointwise.def"
};
// clang-format on
} // namespace
