/* pointwise_whole.cuh - the values of rows that know integers. Read once a type by
 * ops/cpu/pointwise_integer_kinds.h, which says what is defined. */
#define REAL(name)      AG_PASTE(name, SUFFIX)
#define NUM(p)          ((real)(p))
#define SELECT(c, p, q) ((c) ? (p) : (q))
#define UNUSED          __attribute__((unused))
#define AG_WORD         __device__ inline __attribute__((unused))
#if ORDERED
#include "ops/cpu/pointwise_integer_words.h"
#endif
#include "ops/cpu/pointwise_words.h"

// clang-format off
#define AG_OPTION(name) UNUSED const real name = (real)FROM(whole(*options++, 8 * sizeof(element), (element)-1 < 1));
#define ROW_OF(op, result, type, LIST, expression)                                                                   \
    struct REAL(op##_value) {                                                                                        \
        enum { in = DTYPE, out = result };                                                                           \
        static __device__ type of(element a_, element b_, element c_, UNUSED bool m, element, element,               \
                                  UNUSED const double *options)                                                      \
        {                                                                                                            \
            UNUSED const real a = (real)FROM(a_), b = (real)FROM(b_), c = (real)FROM(c_);                            \
            LIST(AG_ONLY_OPTIONS, AG_ONLY_OPTIONS_MAY) return (type)FROM((real)(expression));                        \
        }                                                                                                            \
    };
#define INTEGER(op, LIST, expression)            ROW_OF(op, DTYPE, element, LIST, expression)
#define INTEGER_IS(op, LIST, expression)         ROW_OF(op, AG_BOOL, bool, LIST, expression)
#define VALUE(op, integers, LIST, expression)    INTEGER_##integers(op, LIST, expression)
#define VALUE_IS(op, integers, LIST, expression) INTEGER_IS_##integers(op, LIST, expression)
#include "ops/pointwise.def"
// clang-format on
#include "ops/cpu/pointwise_words_off.h"
#undef INTEGER
#undef INTEGER_IS
#undef ROW_OF
#undef UNUSED
#undef AG_WORD
