/* pointwise_plain.h - every expression of every row as a plain loop, for one floating type: what the tests measure the
 * register loops by. Read once a type, with real, SUFFIX and F(name) = libm's function of that type. */
#define REAL(name) AG_PASTE(name, SUFFIX)
#define AG_WORD    static inline __attribute__((unused))
#include "ops/cpu/pointwise_scalar.h"
#define NUM(p)          ((real)(p))
#define SELECT(c, p, q) ((c) ? (p) : (q))
#define UNUSED          __attribute__((unused))
#include "ops/cpu/pointwise_words.h"

typedef real REAL(formula)(real a, real b, real c, bool m, real y, real g, const double *options);
typedef bool REAL(question)(real a, real b);

static inline __attribute__((always_inline)) void REAL(map)(int64_t n, real *out, const void *const *in,
                                                            const double *options, REAL(formula) * f)
{
    const real *a = in[IN_A], *b = in[IN_B], *c = in[IN_C], *y = in[IN_Y], *g = in[IN_G];
    const uint8_t *m = in[IN_M];
    for (int64_t i = 0; i < n; i++) out[i] = f(a[i], b[i], c[i], m[i] != 0, y[i], g[i], options);
}
static inline __attribute__((always_inline)) void REAL(ask)(int64_t n, bool *out, const void *const *in,
                                                            REAL(question) * f)
{
    const real *a = in[IN_A], *b = in[IN_B];
    for (int64_t i = 0; i < n; i++) out[i] = f(a[i], b[i]);
}

// clang-format off
#define AG_OPTION(name) UNUSED const real name = (real)*options++;
#define DERIVATIVE(op, part, LIST, expression)                                                                       \
    static inline real REAL(op##_##part##_)(UNUSED real a, UNUSED real b, UNUSED real c, UNUSED bool m,              \
                                            UNUSED real y, UNUSED real g, UNUSED const double *options)              \
    { LIST(AG_ONLY_OPTIONS, AG_ONLY_OPTIONS_MAY) return expression; }                                                \
    static void REAL(op##_##part)(int64_t n, void *out, const void *const *in, const double *options)                \
    { REAL(map)(n, out, in, options, REAL(op##_##part##_)); }
#define VALUE(op, integers, LIST, expression) DERIVATIVE(op, value, LIST, expression)
#define VALUE_IS(op, integers, LIST, expression)                                                                     \
    static inline bool REAL(op##_value_)(UNUSED real a, UNUSED real b) { return expression; }                        \
    static void REAL(op##_value)(int64_t n, void *out, const void *const *in, UNUSED const double *options)          \
    { REAL(ask)(n, out, in, REAL(op##_value_)); }
#include "ops/pointwise.def"
// clang-format on
#include "ops/cpu/pointwise_words_off.h"
#undef AG_WORD
#undef UNUSED
