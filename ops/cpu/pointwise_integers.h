/* pointwise_integers.h - the values of rows that know integers as plain loops, of which the compiler makes registers.
 * Read once a type by pointwise_integer_kinds.h, which says what is defined. */
#define REAL(name)      AG_PASTE(name, SUFFIX)
#define NUM(p)          ((real)(p))
#define SELECT(c, p, q) ((c) ? (p) : (q))
#define UNUSED          __attribute__((unused))
#define AG_WORD         static inline __attribute__((unused))
#if ORDERED
#include "ops/cpu/pointwise_integer_words.h"
#endif
#include "ops/cpu/pointwise_words.h"

typedef real REAL(formula)(real a, real b, real c, bool m, const double *options);
typedef bool REAL(question)(real a, real b);

static inline __attribute__((always_inline)) void REAL(map)(int64_t n, element *out, const void *const *in,
                                                            const double *options, REAL(formula) * f)
{
    const element *a = in[IN_A], *b = in[IN_B], *c = in[IN_C];
    const uint8_t *m = in[IN_M];
    const double own[AG_ROW_MAX_OPTIONS] = { options[0], options[1], options[2] }; /* out cannot be one of these */
    for (int64_t i = 0; i < n; i++) out[i] = (element)FROM(f(FROM(a[i]), FROM(b[i]), FROM(c[i]), m[i] != 0, own));
}
static inline __attribute__((always_inline, unused)) void REAL(ask)(int64_t n, bool *out, const void *const *in,
                                                                    REAL(question) * f)
{
    const element *a = in[IN_A], *b = in[IN_B];
    for (int64_t i = 0; i < n; i++) out[i] = f(FROM(a[i]), FROM(b[i]));
}

// clang-format off
#define AG_OPTION(name) UNUSED const real name = (real)FROM(whole(*options++, 8 * sizeof(element), (element)-1 < 1));
#define INTEGER(op, LIST, expression)                                                                                \
    static inline real REAL(op##_value_)(UNUSED real a, UNUSED real b, UNUSED real c, UNUSED bool m,                 \
                                         UNUSED const double *options)                                               \
    { LIST(AG_ONLY_OPTIONS, AG_ONLY_OPTIONS_MAY) return (real)(expression); }                                        \
    static void REAL(op##_value)(int64_t n, void *out, const void *const *in, const double *options)                 \
    { REAL(map)(n, out, in, options, REAL(op##_value_)); }
#define INTEGER_IS(op, LIST, expression)                                                                             \
    static inline bool REAL(op##_value_)(UNUSED real a, UNUSED real b) { return expression; }                        \
    static void REAL(op##_value)(int64_t n, void *out, const void *const *in, UNUSED const double *options)          \
    { REAL(ask)(n, out, in, REAL(op##_value_)); }
#define VALUE(op, integers, LIST, expression)    INTEGER_##integers(op, LIST, expression)
#define VALUE_IS(op, integers, LIST, expression) INTEGER_IS_##integers(op, LIST, expression)
#include "ops/pointwise.def"
// clang-format on
#include "ops/cpu/pointwise_words_off.h"
#undef INTEGER
#undef INTEGER_IS
#undef UNUSED
#undef AG_WORD
