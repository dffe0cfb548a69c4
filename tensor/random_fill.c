/* random_fill.c - the way numbers take into a tensor, and the continuous distributions.
 *
 * "uniform" below is uniform in [0, 1): the low 24 bits of one word for a float, the low 53 bits of two for a double.
 * Except for uniform_ and long normal_, distributions are computed in double and rounded to the tensor's type at the
 * end.
 */
#include "tensor/random_fill.h"

#include "tensor/fail.h"
#include "tensor/generator_internal.h"
#include "tensor/random_device.h"
#include "tensor/random_kernels.h"
#include "tensor/random_order.h"

#include <float.h>
#include <math.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* ---- into a tensor ---- */

void ag__random_fill(ag_generator *generator, const ag_tensor *x, ag_dtype type, ag_draw *draw, const void *how)
{
    if (x->numel == 0) return;
    ag_random_order order;
    ag__random_order(&order, x, NULL);
    bool in_place = x->dtype == type && ag__random_order_dense(&order);

    union {
        float floats[AG_RANDOM_BLOCK];
        double doubles[AG_RANDOM_BLOCK];
        int64_t integers[AG_RANDOM_BLOCK];
    } buffer;
    ag_generator *g = ag__generator_lock(generator);
    for (int64_t done = 0; done < x->numel; done += AG_RANDOM_BLOCK) {
        int64_t left = x->numel - done, n = left < AG_RANDOM_BLOCK ? left : AG_RANDOM_BLOCK;
        if (in_place) {
            draw(g, how, x->data + done * (int64_t)ag__itemsize(x), n);
        } else {
            draw(g, how, &buffer, n);
            ag__random_store(&order, x, type, &buffer, n);
        }
    }
    ag__generator_unlock(g);
}

bool ag__random_refuse_dtype(const char *op, ag_dtype dtype)
{
    static const char *const name[AG_N_DTYPES] = { "Float", "Double", "Long", "Int", "Byte", "Bool" };
    return ag__fail(AG_EINVAL, "\"%s\" not implemented for '%s'", op, name[dtype]);
}

bool ag__random_is_float(const ag_tensor *x) { return x->dtype == AG_FLOAT32 || x->dtype == AG_FLOAT64; }

static void uniforms(ag_generator *g, double *values, int64_t n)
{
    uint32_t words[2 * AG_RANDOM_BLOCK];
    ag__generator_words(g, words, 2 * n);
    ag__random_kernels()->uniform_double(values, words, n, 0, 1);
}

/* Two parameters, named by the distribution. */
typedef struct pair {
    double a, b;
} pair;

/* ---- uniform ---- */

static void draw_uniform_float(ag_generator *g, const void *how, void *values, int64_t n)
{
    const pair *range = how;
    uint32_t words[AG_RANDOM_BLOCK];
    ag__generator_words(g, words, n);
    ag__random_kernels()->uniform_float(values, words, n, (float)range->a, (float)range->b);
}

static void draw_uniform_double(ag_generator *g, const void *how, void *values, int64_t n)
{
    const pair *range = how;
    uint32_t words[2 * AG_RANDOM_BLOCK];
    ag__generator_words(g, words, 2 * n);
    ag__random_kernels()->uniform_double(values, words, n, range->a, range->b);
}

bool ag__random_uniform(ag_generator *generator, const ag_tensor *x, double from, double to)
{
    if (!ag__random_is_float(x)) return ag__random_refuse_dtype("check_uniform_bounds", x->dtype);
    bool single = x->dtype == AG_FLOAT32;
    double max = single ? FLT_MAX : DBL_MAX;
    const char *type = single ? "float" : "double";
    if (!(from >= -max && from <= max)) return ag__fail(AG_EINVAL, "from is out of bounds for %s", type);
    if (!(to >= -max && to <= max)) return ag__fail(AG_EINVAL, "to is out of bounds for %s", type);
    if (from > to)
        return ag__fail(AG_EINVAL, "uniform_ expects to return a [from, to) range, but found from=%g > to=%g", from,
                        to);
    if (to - from > max)
        return ag__fail(AG_EINVAL,
                        "uniform_ expects to-from <= std::numeric_limits<%s>::max(), but found to=%g and from=%g which "
                        "result in to-from to exceed the limit",
                        single ? "Float" : "Double", to, from);
    bool done;
    if (ag__random_elsewhere(generator, x, &(ag__random){ .kind = AG_RANDOM_UNIFORM, .a = from, .b = to }, &done))
        return done;
    pair range = { from, to };
    ag__random_fill(generator, x, x->dtype, single ? draw_uniform_float : draw_uniform_double, &range);
    return true;
}

/* ---- normal ----
 * Few elements, or not contiguous: one value after the other, in double; each pair of uniforms gives two, and the
 * second one waits in the generator for whoever asks next. 16 and more, contiguous: uniforms fill the whole tensor
 * first, then every block of 16 becomes normals; if some elements are left over, the last 16 are drawn afresh. */

static double next_normal(ag_generator *g)
{
    if (g->has_double) {
        double kept = g->next_double;
        g->has_double = false;
        g->next_double = 0;
        return kept;
    }
    double u[2];
    uniforms(g, u, 2);
    double radius = sqrt(-2.0 * log1p(-u[1])), angle = 2.0 * M_PI * u[0];
    g->next_double = radius * sin(angle);
    g->has_double = true;
    return radius * cos(angle);
}

static void draw_normal(ag_generator *g, const void *how, void *values, int64_t n)
{
    const pair *normal = how;
    double *v = values;
    for (int64_t i = 0; i < n; i++) v[i] = fma(next_normal(g), normal->b, normal->a);
}

static void long_normal_float(ag_generator *g, float *x, int64_t n, float mean, float std)
{
    const ag_random_kernels *kernels = ag__random_kernels();
    uint32_t words[AG_RANDOM_BLOCK];
    for (int64_t done = 0; done < n; done += AG_RANDOM_BLOCK) {
        int64_t some = n - done < AG_RANDOM_BLOCK ? n - done : AG_RANDOM_BLOCK;
        ag__generator_words(g, words, some);
        kernels->uniform_float(x + done, words, some, 0, 1);
        kernels->normal_float(x + done, some / 16, mean, std);
    }
    if (n % 16 == 0) return;
    ag__generator_words(g, words, 16);
    kernels->uniform_float(x + n - 16, words, 16, 0, 1);
    kernels->normal_float(x + n - 16, 1, mean, std);
}

static void normal_block_double(double *x, double mean, double std)
{
    for (int i = 0; i < 8; i++) {
        double radius = sqrt(-2.0 * log(1.0 - x[i])), angle = 2.0 * M_PI * x[i + 8];
        x[i] = fma(radius * cos(angle), std, mean);
        x[i + 8] = fma(radius * sin(angle), std, mean);
    }
}

static void long_normal_double(ag_generator *g, double *x, int64_t n, double mean, double std)
{
    for (int64_t done = 0; done < n; done += AG_RANDOM_BLOCK) {
        int64_t some = n - done < AG_RANDOM_BLOCK ? n - done : AG_RANDOM_BLOCK;
        uniforms(g, x + done, some);
        for (int64_t i = 0; i + 16 <= some; i += 16) normal_block_double(x + done + i, mean, std);
    }
    if (n % 16 == 0) return;
    uniforms(g, x + n - 16, 16);
    normal_block_double(x + n - 16, mean, std);
}

bool ag__random_normal(ag_generator *generator, const ag_tensor *x, double mean, double std)
{
    if (!(std >= 0)) return ag__fail(AG_EINVAL, "normal expects std >= 0.0, but found std %g", std);
    if (x->numel == 0) return true; /* whatever the type, as in PyTorch; so below */
    if (!ag__random_is_float(x)) return ag__random_refuse_dtype("normal_kernel_cpu", x->dtype);
    bool done;
    if (ag__random_elsewhere(generator, x, &(ag__random){ .kind = AG_RANDOM_NORMAL, .a = mean, .b = std }, &done))
        return done;
    if (x->numel < 16 || !x->contiguous) {
        pair normal = { mean, std };
        ag__random_fill(generator, x, AG_FLOAT64, draw_normal, &normal);
        return true;
    }
    ag_generator *g = ag__generator_lock(generator);
    if (x->dtype == AG_FLOAT32)
        long_normal_float(g, (float *)x->data, x->numel, (float)mean, (float)std);
    else
        long_normal_double(g, (double *)x->data, x->numel, mean, std);
    ag__generator_unlock(g);
    return true;
}

/* ---- the others ---- */

static void draw_log_normal(ag_generator *g, const void *how, void *values, int64_t n)
{
    double *v = values;
    draw_normal(g, how, v, n);
    for (int64_t i = 0; i < n; i++) v[i] = exp(v[i]);
}

bool ag__random_log_normal(ag_generator *generator, const ag_tensor *x, double mean, double std)
{
    if (!(std > 0)) return ag__fail(AG_EINVAL, "log_normal_ expects std > 0.0, but found std=%g", std);
    if (x->numel == 0) return true;
    if (!ag__random_is_float(x)) return ag__random_refuse_dtype("log_normal_cpu", x->dtype);
    pair normal = { mean, std };
    ag__random_fill(generator, x, AG_FLOAT64, draw_log_normal, &normal);
    return true;
}

static void draw_exponential(ag_generator *g, const void *how, void *values, int64_t n)
{
    double scale = -1.0 / *(const double *)how, *v = values;
    uniforms(g, v, n);
    for (int64_t i = 0; i < n; i++) v[i] = scale * log1p(-v[i]);
}

bool ag__random_exponential(ag_generator *generator, const ag_tensor *x, double lambda)
{
    static const char *const name[AG_N_DTYPES] = { "Float", "Double", "Long", "Int", "Byte", "Bool" };
    if (!(lambda > 0)) return ag__fail(AG_EINVAL, "exponential_ expects lambda > 0.0, but found lambda=%g", lambda);
    if (x->numel == 0) return true;
    if (!ag__random_is_float(x))
        return ag__fail(AG_EINVAL,
                        "Exponential distribution is a continuous probability distribution. dtype must be a floating "
                        "point but you specified %s",
                        name[x->dtype]);
    bool done;
    if (ag__random_elsewhere(generator, x, &(ag__random){ .kind = AG_RANDOM_EXPONENTIAL, .a = lambda }, &done))
        return done;
    ag__random_fill(generator, x, AG_FLOAT64, draw_exponential, &lambda);
    return true;
}

static void draw_cauchy(ag_generator *g, const void *how, void *values, int64_t n)
{
    const pair *cauchy = how;
    double *v = values;
    uniforms(g, v, n);
    for (int64_t i = 0; i < n; i++) v[i] = fma(cauchy->b, tan(M_PI * (v[i] - 0.5)), cauchy->a);
}

bool ag__random_cauchy(ag_generator *generator, const ag_tensor *x, double median, double sigma)
{
    static const char *const name[AG_N_DTYPES] = { "float", "double", "long int", "int", "unsigned char", "bool" };
    if (!(sigma > 0)) return ag__fail(AG_EINVAL, "cauchy_ expects sigma > 0.0, but found sigma=%g", sigma);
    if (!ag__random_is_float(x))
        return ag__fail(AG_EINVAL,
                        "Cauchy distribution is a continuous probability distribution. dtype must be a floating point "
                        "but you specified %s",
                        name[x->dtype]);
    pair cauchy = { median, sigma };
    ag__random_fill(generator, x, AG_FLOAT64, draw_cauchy, &cauchy);
    return true;
}

static void draw_geometric(ag_generator *g, const void *how, void *values, int64_t n)
{
    double scale = log1p(-*(const double *)how), *v = values;
    uniforms(g, v, n);
    for (int64_t i = 0; i < n; i++) v[i] = ceil(log(v[i]) / scale);
}

bool ag__random_geometric(ag_generator *generator, const ag_tensor *x, double p)
{
    if (!(p > 0 && p < 1)) return ag__fail(AG_EINVAL, "geometric_ expects p to be in (0, 1), but got p=%g", p);
    if (x->numel == 0) return true;
    if (x->dtype == AG_BOOL) return ag__random_refuse_dtype("geometric_cpu", x->dtype);
    ag__random_fill(generator, x, AG_FLOAT64, draw_geometric, &p);
    return true;
}
