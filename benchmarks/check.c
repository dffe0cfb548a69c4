/* check.c - making a case's inputs, and looking at its result. */
#include "bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>

const char *bench_dtype(ag_dtype dtype) { return dtype == AG_FLOAT64 ? "f64" : dtype == AG_FLOAT32 ? "f32" : "other"; }

Variable *bench_hold(bench_state *s, Variable *x)
{
    x = x ? ag_to(x, bench_device()) : NULL;
    if (!x || s->n_in == (int)(sizeof s->in / sizeof *s->in)) return NULL;
    return s->in[s->n_in++] = ag_retain(x);
}

Variable *bench_numbers(bench_state *s, ag_shape_list shape, ag_dtype dtype, double low, double high)
{
    return bench_hold(s, ag_uniform_(ag_empty(shape, .dtype = dtype), low, high));
}

Variable *bench_images(bench_state *s, ag_shape_list shape, bool batch_last)
{
    ag_memory_format format = batch_last ? AG_BATCH_LAST : AG_CONTIGUOUS_FORMAT;
    return bench_hold(s, ag_uniform_(ag_empty(shape, .memory_format = format), -1, 1));
}

double bench_at(const Variable *x, const int64_t *index)
{
    int64_t at = 0;
    for (int d = 0; d < ag_dim(x); d++) at += index[d] * ag_stride(x).at[d];
    switch (ag_dtype_of(x)) {
    case AG_FLOAT32:
        return (double)((const float *)ag_data(x))[at];
    case AG_FLOAT64:
        return ((const double *)ag_data(x))[at];
    case AG_INT64:
        return (double)((const int64_t *)ag_data(x))[at];
    default:
        return NAN;
    }
}

double bench_element(const Variable *x, int64_t i, int64_t *index)
{
    for (int d = ag_dim(x) - 1; d >= 0; d--) {
        index[d] = i % ag_size(x, d);
        i /= ag_size(x, d);
    }
    return bench_at(x, index);
}

int64_t bench_sample(int64_t i, int64_t n, int64_t all)
{
    if (n >= all) return i % all;
    if (i == 0) return 0;
    if (i == n - 1) return all - 1;
    return (int64_t)(((uint64_t)i * UINT64_C(0x9E3779B97F4A7C15) >> 16) % (uint64_t)all);
}

bool bench_wrong(bench_state *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->why, sizeof s->why, format, arguments);
    va_end(arguments);
    return false;
}

bool bench_near(bench_state *s, int64_t i, double got, double want, double magnitude, double tolerance)
{
    if (fabs(got - want) <= tolerance * (magnitude + fabs(want)) || got == want || (isnan(got) && isnan(want)))
        return true;
    return bench_wrong(s, "element %" PRId64 " is %.9g, not %.9g", i, got, want);
}
