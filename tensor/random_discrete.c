/* random_discrete.c - whole numbers: integers in a range, coin tosses, dropout's masks, permutations. */
#include "tensor/random_fill.h"

#include "tensor/fail.h"
#include "tensor/generator_internal.h"
#include "tensor/random_device.h"
#include "tensor/random_kernels.h"
#include "tensor/random_order.h"

#include <math.h>
#include <string.h>

/* ---- integers ----
 * base + (raw draw % range), with no care for the small bias. The raw draw is one word for a short range, two for a
 * long one. */

typedef struct integers {
    uint64_t base, range; /* a range of 0 is all 2^64 */
    bool wide;
} integers;

static void draw_integers(ag_generator *g, const void *how, void *values, int64_t n)
{
    const integers *in = how;
    int64_t *v = values;
    uint32_t words[2 * AG_RANDOM_BLOCK];
    ag__generator_words(g, words, in->wide ? 2 * n : n);
    if (!in->wide) {
        uint32_t range = (uint32_t)in->range; /* a 32-bit division is much faster */
        for (int64_t i = 0; i < n; i++) v[i] = (int64_t)(in->base + words[i] % range);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint64_t raw = (uint64_t)words[2 * i] << 32 | words[2 * i + 1];
        v[i] = (int64_t)(in->base + (in->range ? raw % in->range : raw));
    }
}

static int digits(ag_dtype dtype) { return dtype == AG_FLOAT32 ? 24 : 53; }

static int64_t largest(ag_dtype dtype)
{
    switch (dtype) {
    case AG_INT64:
        return INT64_MAX;
    case AG_INT32:
        return INT32_MAX;
    case AG_UINT8:
        return UINT8_MAX;
    case AG_BOOL:
        return 1;
    default:
        return (int64_t)1 << digits(dtype);
    }
}

static int64_t smallest(ag_dtype dtype) { return dtype == AG_INT64 ? INT64_MIN : dtype == AG_INT32 ? INT32_MIN : 0; }

/* Through the floating type and back; what x86 makes of 2^63. */
static int64_t rounded(ag_dtype dtype, int64_t value)
{
    double d = dtype == AG_FLOAT32 ? (double)(float)value : (double)value;
    return d >= 0x1p63 ? INT64_MIN : (int64_t)d;
}

/* The distance of neighbouring numbers of the type about value. */
static int64_t spacing(ag_dtype dtype, int64_t value)
{
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    int log2 = 63 - __builtin_clzll(magnitude | 1);
    return log2 < digits(dtype) ? 1 : (int64_t)1 << (log2 - digits(dtype) + 1);
}

/* Bounds that the type can hold, inside the given ones. */
static int64_t raised(ag_dtype dtype, int64_t from)
{
    int64_t up = (int64_t)((uint64_t)from + 1), next = rounded(dtype, up);
    return next < from ? (int64_t)((uint64_t)next + (uint64_t)spacing(dtype, up)) : from;
}
static int64_t lowered(ag_dtype dtype, int64_t to)
{
    int64_t down = (int64_t)((uint64_t)to - 1), next = rounded(dtype, down);
    return next >= to ? (int64_t)((uint64_t)next - (uint64_t)spacing(dtype, down)) : to;
}

static bool in_bounds(const char *which, int64_t value, ag_dtype dtype)
{
    static const char *const name[AG_N_DTYPES] = { "float", "double", "long", "int", "unsigned char", "bool" };
    if (value >= smallest(dtype) && value <= largest(dtype)) return true;
    return ag__fail(AG_EINVAL, "%s is out of bounds for %s", which, name[dtype]);
}

static bool elsewhere(ag_generator *generator, const ag_tensor *x, const integers *in, bool *done)
{
    const ag__random how = { .kind = AG_RANDOM_INTEGERS, .base = in->base, .range = in->range, .wide = in->wide };
    return ag__random_elsewhere(generator, x, &how, done);
}
static bool fill_integers(ag_generator *generator, const ag_tensor *x, int64_t from, uint64_t range)
{
    integers in = { .base = (uint64_t)from, .range = range, .wide = range >= (uint64_t)1 << 28 };
    bool done;
    if (elsewhere(generator, x, &in, &done)) return done;
    ag__random_fill(generator, x, AG_INT64, draw_integers, &in);
    return true;
}

bool ag__random_integers(ag_generator *generator, const ag_tensor *x, int64_t from, int64_t to)
{
    if (from >= to)
        return ag__fail(AG_EINVAL, "random_ expects 'from' to be less than 'to', but got from=%lld >= to=%lld",
                        (long long)from, (long long)to);
    if (ag__random_is_float(x)) {
        from = raised(x->dtype, from);
        to = lowered(x->dtype, to);
        if (from >= to)
            return ag__fail(AG_EINVAL,
                            "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got "
                            "from=%lld >= to=%lld",
                            (long long)from, (long long)to);
    } else if (!in_bounds("from", from, x->dtype) || !in_bounds("to - 1", to - 1, x->dtype)) {
        return false;
    }
    return fill_integers(generator, x, from, (uint64_t)to - (uint64_t)from);
}

bool ag__random_integers_from(ag_generator *generator, const ag_tensor *x, int64_t from)
{
    static const char kernel[] = "random_full_64_bits_range_kernel_cpu";
    if (from == INT64_MIN) { /* every integer there is */
        if (x->numel == 0) return true;
        if (x->dtype == AG_BOOL) return ag__random_refuse_dtype(kernel, x->dtype);
        if (x->dtype == AG_INT32 || x->dtype == AG_UINT8)
            return ag__fail(AG_EINVAL, "%s handles only int64, double, float and bfloat16", kernel);
        integers all = { .wide = true };
        bool done;
        if (elsewhere(generator, x, &all, &done)) return done;
        ag__random_fill(generator, x, AG_INT64, draw_integers, &all);
        return true;
    }
    int64_t to = largest(x->dtype); /* inclusive */
    if (ag__random_is_float(x)) {
        from = raised(x->dtype, from);
        if (from >= to)
            return ag__fail(AG_EINVAL,
                            "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to "
                            "dtype, but got from=%lld > to_inc=%lld",
                            (long long)from, (long long)to);
    } else if (!in_bounds("from", from, x->dtype)) {
        return false;
    }
    return fill_integers(generator, x, from, (uint64_t)to - (uint64_t)from + 1);
}

void ag__random_integers_all(ag_generator *generator, const ag_tensor *x)
{
    integers in = { .range = (uint64_t)largest(x->dtype) + 1, .wide = x->dtype == AG_INT64 || x->dtype == AG_FLOAT64 };
    ag__random_fill(generator, x, AG_INT64, draw_integers, &in);
}

/* ---- coin tosses ---- */

typedef struct toss {
    int64_t threshold; /* heads where a 53-bit integer is below it */
    double heads;      /* what heads writes */
} toss;

static toss toss_of(double p, double heads) { return (toss){ (int64_t)ceil(p * 0x1p53), heads }; }

static void draw_tosses_float(ag_generator *g, const void *how, void *values, int64_t n)
{
    const toss *coin = how;
    uint32_t words[2 * AG_RANDOM_BLOCK];
    ag__generator_words(g, words, 2 * n);
    ag__random_kernels()->choose_float(values, words, n, coin->threshold, (float)coin->heads);
}

static void draw_tosses_double(ag_generator *g, const void *how, void *values, int64_t n)
{
    const toss *coin = how;
    uint32_t words[2 * AG_RANDOM_BLOCK];
    ag__generator_words(g, words, 2 * n);
    ag__random_kernels()->choose_double(values, words, n, coin->threshold, coin->heads);
}

bool ag__random_bernoulli(ag_generator *generator, const ag_tensor *x, double p)
{
    if (!(p >= 0 && p <= 1)) return ag__fail(AG_EINVAL, "bernoulli_ expects p to be in [0, 1], but got p=%g", p);
    bool done;
    if (ag__random_elsewhere(generator, x, &(ag__random){ .kind = AG_RANDOM_TOSS, .a = p, .b = 1 }, &done)) return done;
    toss coin = toss_of(p, 1);
    bool wide = x->dtype == AG_FLOAT64;
    ag__random_fill(generator, x, wide ? AG_FLOAT64 : AG_FLOAT32, wide ? draw_tosses_double : draw_tosses_float, &coin);
    return true;
}

bool ag__random_dropout_mask(ag_generator *generator, const ag_tensor *x, double p)
{
    if (!(p >= 0 && p <= 1)) return ag__fail(AG_EINVAL, "dropout probability has to be between 0 and 1, but got %g", p);
    if (!ag__random_is_float(x)) return ag__random_refuse_dtype("dropout", x->dtype);
    double keep = 1 - p;
    bool wide = x->dtype == AG_FLOAT64;
    toss coin = toss_of(keep, wide ? 1 / keep : (double)(1 / (float)keep));
    bool done;
    if (ag__random_elsewhere(generator, x, &(ag__random){ .kind = AG_RANDOM_TOSS, .a = keep, .b = coin.heads }, &done))
        return done;
    ag__random_fill(generator, x, x->dtype, wide ? draw_tosses_double : draw_tosses_float, &coin);
    return true;
}

/* A part of a row: one toss each, against its own probability. */
static void toss_run(ag_generator *g, const ag_tensor *x, const ag_tensor *p, const ag_random_run *run)
{
    const ag_random_kernels *kernels = ag__random_kernels();
    uint32_t words[2 * AG_RANDOM_BLOCK];
    double heads[AG_RANDOM_BLOCK], u[AG_RANDOM_BLOCK];
    float single[AG_RANDOM_BLOCK];
    if (p->dtype == AG_FLOAT32) {
        const float *of = (const float *)p->data + run->offset[1];
        ag__generator_words(g, words, run->count);
        kernels->uniform_float(single, words, run->count, 0, 1);
        for (int64_t i = 0; i < run->count; i++) heads[i] = single[i] < of[i * run->step[1]];
    } else {
        const double *of = (const double *)p->data + run->offset[1];
        ag__generator_words(g, words, 2 * run->count);
        kernels->uniform_double(u, words, run->count, 0, 1);
        for (int64_t i = 0; i < run->count; i++) heads[i] = u[i] < of[i * run->step[1]];
    }
    ag__random_store_run(x, run, AG_FLOAT64, heads);
}

bool ag__random_bernoulli_tensor(ag_generator *generator, const ag_tensor *x, const ag_tensor *p)
{
    if (x->numel == 0) return true;
    if (!ag__random_is_float(p)) return ag__random_refuse_dtype("bernoulli_tensor_cpu_p_", p->dtype);
    bool done;
    if (ag__random_elsewhere(generator, x, &(ag__random){ .kind = AG_RANDOM_TOSS_EACH, .p = p }, &done)) return done;
    ag_random_order order;
    ag__random_order(&order, x, p);
    ag_random_order again = order;
    for (int64_t seen = 0; seen < x->numel;) { /* look before the first draw */
        ag_random_run run = ag__random_order_next(&order, x->numel - seen);
        for (int64_t i = 0; i < run.count; i++) {
            int64_t at = run.offset[1] + i * run.step[1];
            double each = p->dtype == AG_FLOAT32 ? ((const float *)p->data)[at] : ((const double *)p->data)[at];
            if (!(each >= 0 && each <= 1))
                return ag__fail(AG_EINVAL,
                                "Expected p_in >= 0 && p_in <= 1 to be true, but got false: bernoulli was given "
                                "the probability %g",
                                each);
        }
        seen += run.count;
    }

    ag_generator *g = ag__generator_lock(generator);
    for (int64_t tossed = 0; tossed < x->numel;) {
        ag_random_run run = ag__random_order_next(&again, AG_RANDOM_BLOCK);
        toss_run(g, x, p, &run);
        tossed += run.count;
    }
    ag__generator_unlock(g);
    return true;
}

/* ---- permutations ---- */

bool ag__randperm_check(int64_t n, ag_dtype dtype)
{
    static const char *const name[AG_N_DTYPES] = { "Float", "Double", "int64_t", "int", "uint8_t", "bool" };
    if (n < 0)
        return ag__fail(AG_EINVAL, "Trying to create tensor with negative dimension %lld: [%lld]", (long long)n,
                        (long long)n);
    if (dtype == AG_BOOL) return ag__random_refuse_dtype("randperm", dtype);
    if (n - 1 <= largest(dtype)) return true;
    if (dtype == AG_FLOAT32 || dtype == AG_FLOAT64)
        return ag__fail(AG_EINVAL, "n cannot be greater than 2^%d+1 for %s type.", digits(dtype), name[dtype]);
    return ag__fail(AG_EINVAL, "value cannot be converted to type %s without overflow", name[dtype]);
}

/* An array of n elements, `size` bytes each, `step` bytes apart. Inlined once for each size. */
static inline __attribute__((always_inline)) void shuffle(ag_generator *g, char *x, size_t size, int64_t step,
                                                          int64_t n)
{
    uint32_t words[AG_RANDOM_BLOCK];
    for (int64_t i = 0; i < n - 1;) {
        int64_t some = n - 1 - i < AG_RANDOM_BLOCK ? n - 1 - i : AG_RANDOM_BLOCK;
        ag__generator_words(g, words, some);
        for (int64_t k = 0; k < some; k++, i++) {
            char *a = x + i * step, *b = a + (int64_t)(words[k] % (uint32_t)(n - i)) * step, kept[8];
            memcpy(kept, a, size);
            memmove(a, b, size); /* b may be a */
            memcpy(b, kept, size);
        }
    }
}

/* So many that one word could not choose evenly enough among them: built up from the front, two words each. */
static void shuffle_many(ag_generator *g, const ag_tensor *x, size_t size, int64_t step, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t z = (int64_t)(ag__generator_word64(g) % (uint64_t)(i + 1));
        char *here = x->data + i * step, *there = x->data + z * step;
        memmove(here, there, size);
        ag__store_int64(there, x->dtype, i);
    }
}

bool ag__random_randperm(ag_generator *generator, const ag_tensor *x)
{
    int64_t n = x->numel;
    if (!ag__randperm_check(n, x->dtype)) return false;
    bool done;
    if (ag__random_elsewhere(generator, x, &(ag__random){ .kind = AG_RANDOM_PERMUTATION }, &done)) return done;
    size_t size = ag__itemsize(x);
    int64_t step = x->ndim ? x->stride[0] * (int64_t)size : 0;

    ag_generator *g = ag__generator_lock(generator);
    if (n >= UINT32_MAX / 20) {
        shuffle_many(g, x, size, step, n);
    } else {
        for (int64_t i = 0; i < n; i++) ag__store_int64(x->data + i * step, x->dtype, i);
        if (size == 8)
            shuffle(g, x->data, 8, step, n);
        else if (size == 4)
            shuffle(g, x->data, 4, step, n);
        else
            shuffle(g, x->data, 1, step, n);
    }
    ag__generator_unlock(g);
    return true;
}
