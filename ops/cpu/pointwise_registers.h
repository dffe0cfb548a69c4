/* pointwise_registers.h - every expression of every row as a loop over registers, for one floating type. The last,
 * partial register goes through the same arithmetic, so that an element's bits do not depend on where it stands; the
 * missing lanes hold 1/2, for which no function takes long, as the logarithm of 0 does. */
#define REAL(name) AG_PASTE(name, SUFFIX)
#include "ops/cpu/pointwise_vector.h"
#define NUM(p) \
    ((p) - (vec){ 0 }) /* a number becomes a register full of it; a register stays as it is, -0 and NaN too */
#define SELECT(c, p, q) REAL(select)(c, p, q)
#define UNUSED          __attribute__((unused))
#include "ops/cpu/pointwise_words.h"

typedef vec REAL(formula)(vec a, vec b, vec c, mask m, vec y, vec g, const double *options);
typedef mask REAL(question)(vec a, vec b);

/* whole_apart: whole registers have a loop of their own. */
AG_INLINE void REAL(map)(int64_t n, real *out, const void *const *in, const double *options, REAL(formula) * f,
                         const bool whole_apart)
{
    const real *a = in[IN_A], *b = in[IN_B], *c = in[IN_C], *y = in[IN_Y], *g = in[IN_G];
    const int8_t *m = in[IN_M];
    const double own[AG_ROW_MAX_OPTIONS] = { options[0], options[1], options[2] }; /* out cannot be one of these */
    int64_t i = 0;
    /* what f does not use is not loaded */
#define WHOLE(p)  REAL(load)(p + i)
#define PART(p)   REAL(load_first)(p + i, (int)left, (real)0.5)
#define CHOSEN(m) __builtin_convertvector((m) != 0, mask)
    if (whole_apart)
        for (; i + LANES <= n; i += LANES) {
            const REAL(bytes) some = *(const REAL(bytes) *)(m + i);
            REAL(store)(out + i, f(WHOLE(a), WHOLE(b), WHOLE(c), CHOSEN(some), WHOLE(y), WHOLE(g), own));
        }
    int64_t left = n - i;
    if (left <= 0) return;
    do {
        const bool whole = !whole_apart && left >= LANES;
        vec a_, b_, c_, y_, g_;
        REAL(bytes) some = { 0 };
        if (whole) {
            a_ = WHOLE(a), b_ = WHOLE(b), c_ = WHOLE(c), y_ = WHOLE(y), g_ = WHOLE(g);
            some = *(const REAL(bytes) *)(m + i);
        } else {
            a_ = PART(a), b_ = PART(b), c_ = PART(c), y_ = PART(y), g_ = PART(g);
            for (int k = 0; k < left; k++) some[k] = m[i + k];
        }
        const vec result = f(a_, b_, c_, CHOSEN(some), y_, g_, own);
        if (whole)
            REAL(store)(out + i, result);
        else
            REAL(store_first)(out + i, result, (int)left);
        i += LANES;
        left -= LANES;
    } while (!whole_apart && left > 0);
#undef WHOLE
#undef PART
#undef CHOSEN
}
AG_INLINE void REAL(ask)(int64_t n, bool *out, const void *const *in, REAL(question) * f)
{
    const real *a = in[IN_A], *b = in[IN_B];
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        *(REAL(bytes) *)(out + i) = -__builtin_convertvector(f(REAL(load)(a + i), REAL(load)(b + i)), REAL(bytes));
    for (; i < n; i++) out[i] = f(REAL(splat)(a[i]), REAL(splat)(b[i]))[0];
}

// clang-format off
#define AG_OPTION(name) UNUSED const real name = (real)*options++;
#define DERIVATIVE(op, part, LIST, expression)                                                                       \
    AG_INLINE vec REAL(op##_##part##_)(UNUSED vec a, UNUSED vec b, UNUSED vec c, UNUSED mask m, UNUSED vec y,        \
                                       UNUSED vec g, UNUSED const double *options)                                   \
    { LIST(AG_ONLY_OPTIONS, AG_ONLY_OPTIONS_MAY) return NUM(expression); }                                           \
    static void REAL(op##_##part)(int64_t n, void *out, const void *const *in, const double *options)                \
    { REAL(map)(n, out, in, options, REAL(op##_##part##_), op##_whole_apart); }
#define VALUE(op, integers, LIST, expression) DERIVATIVE(op, value, LIST, expression)
#define VALUE_IS(op, integers, LIST, expression)                                                                     \
    AG_INLINE mask REAL(op##_value_)(UNUSED vec a, UNUSED vec b) { return expression; }                              \
    static void REAL(op##_value)(int64_t n, void *out, const void *const *in, UNUSED const double *options)          \
    { REAL(ask)(n, out, in, REAL(op##_value_)); }
#include "ops/pointwise.def"
// clang-format on
#include "ops/cpu/pointwise_words_off.h"
#undef UNUSED
#undef vec
#undef mask
#undef LANES
#undef VECTOR
#undef VECTOR_UP_TO
#undef VECTOR2
