/* test_cuda_reduce.c - reductions on the device: every kind, over rows, columns, everything, in one part and in
 * several, read one by one and several at once, in every type. */
#include "tests/cuda/cuda_cases.h"

static ag_dims over;
static bool keepdim;

#define REDUCTION(name, ...) \
    static Variable *name(Variable *x) { return __VA_ARGS__; }
REDUCTION(sum, ag_sum(x, .dim = over, .keepdim = keepdim))
REDUCTION(mean, ag_mean(x, .dim = over, .keepdim = keepdim))
REDUCTION(amax, ag_amax(x, .dim = over, .keepdim = keepdim))
REDUCTION(amin, ag_amin(x, .dim = over, .keepdim = keepdim))
REDUCTION(any, ag_any(x, .dim = over, .keepdim = keepdim))
REDUCTION(all, ag_all(x, .dim = over, .keepdim = keepdim))
REDUCTION(var, ag_var(x, .dim = over, .keepdim = keepdim))
REDUCTION(biased_var, ag_var(x, .dim = over, .correction = 0, .keepdim = keepdim))
REDUCTION(logsumexp, ag_logsumexp(x, over, .keepdim = keepdim))
REDUCTION(norm, ag_linalg_vector_norm(x, .ord = 2, .dim = over, .keepdim = keepdim))
REDUCTION(norm_1, ag_linalg_vector_norm(x, .ord = 1, .dim = over, .keepdim = keepdim))
REDUCTION(norm_0, ag_linalg_vector_norm(x, .ord = 0, .dim = over, .keepdim = keepdim))
REDUCTION(norm_3, ag_linalg_vector_norm(x, .ord = 3, .dim = over, .keepdim = keepdim))
REDUCTION(norm_half, ag_linalg_vector_norm(x, .ord = 0.5, .dim = over, .keepdim = keepdim))
REDUCTION(norm_inf, ag_linalg_vector_norm(x, .ord = INFINITY, .dim = over, .keepdim = keepdim))
REDUCTION(norm_least, ag_linalg_vector_norm(x, .ord = -INFINITY, .dim = over, .keepdim = keepdim))
REDUCTION(standard_deviation, ag_std(x, .dim = over, .keepdim = keepdim))
/* Of one dimension, or of all. */
REDUCTION(prod, ag_prod(x, .dim = over, .keepdim = keepdim))
REDUCTION(argmax, ag_argmax(x, .dim = over, .keepdim = keepdim))
REDUCTION(argmin, ag_argmin(x, .dim = over, .keepdim = keepdim))
/* Of one dimension. */
static int64_t along;
REDUCTION(max_values, ag_max_dim(x, along, keepdim).values)
REDUCTION(min_values, ag_min_dim(x, along, keepdim).values)
REDUCTION(max_indices, ag_max_dim(x, along, keepdim).indices)
REDUCTION(min_indices, ag_min_dim(x, along, keepdim).indices)

enum { ANY = 1, FLOATING = 2, NOT_BOOL = 4, SINGLE = 8, ONE = 16 };
static const struct {
    const char *name;
    Variable *(*f)(Variable *);
    int takes;
} reductions[] = {
    { "sum", sum, ANY },
    { "mean", mean, FLOATING },
    { "amax", amax, ANY },
    { "amin", amin, ANY },
    { "any", any, ANY },
    { "all", all, ANY },
    { "var", var, FLOATING },
    { "var, correction 0", biased_var, FLOATING },
    { "std", standard_deviation, FLOATING },
    { "logsumexp", logsumexp, ANY },
    { "norm", norm, FLOATING },
    { "norm of order 0", norm_0, FLOATING },
    { "norm of order 1", norm_1, FLOATING },
    { "norm of order 3", norm_3, FLOATING },
    { "norm of order 1/2", norm_half, FLOATING },
    { "norm of order inf", norm_inf, FLOATING },
    { "norm of order -inf", norm_least, FLOATING },
    { "prod", prod, ANY | SINGLE },
    { "argmax", argmax, NOT_BOOL | SINGLE },
    { "argmin", argmin, NOT_BOOL | SINGLE },
    { "max.dim's values", max_values, ANY | ONE },
    { "min.dim's values", min_values, ANY | ONE },
    { "max.dim's indices", max_indices, ANY | ONE },
    { "min.dim's indices", min_indices, ANY | ONE },
};
enum { N_REDUCTIONS = sizeof reductions / sizeof *reductions };

static bool takes(int k, ag_dtype dtype)
{
    const int of = reductions[k].takes;
    return !((of & FLOATING) && dtype > AG_FLOAT64) && !((of & NOT_BOOL) && dtype == AG_BOOL);
}

/* The numbers alone, of every reduction that takes such a type and such dimensions. */
static void same_values(Variable *x, Variable *there, ag_dims dims, int n_dims)
{
    const ag_dtype dtype = ag_dtype_of(x);
    over = dims;
    for (int k = 0; k < N_REDUCTIONS; k++) {
        AG_SCOPE;
        const int of = reductions[k].takes;
        if (!takes(k, dtype) || ((of & SINGLE) && n_dims > 1) || ((of & ONE) && n_dims != 1)) continue;
        keepdim = k % 2;
        if (reductions[k].f == logsumexp && n_dims == 0) continue;
        Variable *y = reductions[k].f(x), *z = ag_to(reductions[k].f(there), AG_CPU);
        OK(y);
        cuda_same_at(z, y, ag_dtype_of(y) == AG_FLOAT32 ? 2e-5 : 1e-11, reductions[k].name, __FILE__, __LINE__);
    }
}
static void same_over_any_dimensions(Variable *x)
{
    Variable *there = ag_to(x, AG_CUDA);
    for (int d = 0; d < ag_dim(x); d++) {
        along = d;
        same_values(x, there, AG_DIMS(d), 1);
    }
    same_values(x, there, AG_ALL, 0);
    if (ag_dim(x) < 3) return;
    same_values(x, there, AG_DIMS(0, 1), 2);
    same_values(x, there, AG_DIMS(1, 2), 2);
    same_values(x, there, AG_DIMS(2, 0), 2);
}

static Variable *draw(Shape shape, int dtype)
{
    return ag_to(support_draw(shape, AG_FLOAT64, dtype > AG_FLOAT64 ? 9 : 2), .dtype = (ag_dtype)dtype);
}

START_TEST(every_reduction_in_every_type)
{
    for (int d = 0; d < AG_N_DTYPES; d++) {
        AG_SCOPE;
        same_over_any_dimensions(draw(AG_SHAPE(5, 300, 33), d)); /* columns in parts, odd rows, everything in parts */
        same_over_any_dimensions(draw(AG_SHAPE(3, 7, 40), d));   /* rows of several at once */
    }
}
END_TEST

START_TEST(elements_may_lie_in_any_way)
{
    for (int d = 0; d < AG_N_DTYPES; d++) {
        AG_SCOPE;
        Variable *x = draw(AG_SHAPE(4, 6, 8), d), *wide = draw(AG_SHAPE(2, 9, 24), d);
        same_over_any_dimensions(ag_transpose(x, 0, 2));
        same_over_any_dimensions(ag_slice(wide, .dim = 2, .start = 1, .end = 17));
        same_over_any_dimensions(ag_slice(wide, .dim = 2, .start = 0, .end = 24, .step = 3));
        same_over_any_dimensions(ag_slice(wide, .dim = 1, .start = 0, .end = 9, .step = 2));
        same_over_any_dimensions(ag_expand(ag_select(x, 1, 0), AG_SHAPE(3, 4, 8)));
        same_over_any_dimensions(ag_contiguous(ag_view(wide, AG_SHAPE(2, 3, 3, 24)), .memory_format = AG_BATCH_LAST));
        same_over_any_dimensions(draw(AG_SHAPE(1, 1), d));
        same_over_any_dimensions(draw(AG_SHAPE(1000, 3), d));
        same_over_any_dimensions(draw(AG_SHAPE(3, 1000), d));
        same_over_any_dimensions(draw(AG_SHAPE(2300, 2), d));
    }
}
END_TEST

/* One row for each lane count, and neighbours of what threads and parts divide by. */
START_TEST(rows_and_columns_of_many_lengths)
{
    static const int64_t length[] = { 2,   3,   4,   5,   8,   12,  31,  32,   33,   63,   100,  127,
                                      128, 129, 255, 256, 257, 511, 513, 1024, 2047, 2052, 8192, 9001 };
    for (int i = 0; i < (int)(sizeof length / sizeof *length); i++) {
        AG_SCOPE;
        Variable *x = draw(AG_SHAPE(3, length[i]), AG_FLOAT32), *y = draw(AG_SHAPE(length[i], 5), AG_FLOAT64);
        along = 1;
        same_values(x, ag_to(x, AG_CUDA), AG_DIMS(1), 1);
        along = 0;
        same_values(y, ag_to(y, AG_CUDA), AG_DIMS(0), 1);
    }
}
END_TEST

/* Rows that a warp has each, in several turns; a sum of very many; and more columns of many parts than a grid of the
 * emulation has blocks. */
START_TEST(many_rows_and_many_parts)
{
    Variable *x = draw(AG_SHAPE(2100, 600), AG_FLOAT32), *y = draw(AG_SHAPE(1500000), AG_FLOAT32),
             *z = draw(AG_SHAPE(20000, 9), AG_FLOAT32);
    along = 1;
    same_values(x, ag_to(x, AG_CUDA), AG_DIMS(1), 1);
    along = 0;
    same_values(y, ag_to(y, AG_CUDA), AG_DIMS(0), 1);
    same_values(z, ag_to(z, AG_CUDA), AG_DIMS(0), 1);
}
END_TEST

START_TEST(nothing_is_reduced_to_what_it_is_on_the_cpu)
{
    Variable *(*const f[])(Variable *) = { sum, prod, any, all, mean, var, logsumexp, norm };
    Variable *x = ag_zeros(AG_SHAPE(3, 0, 2));
    keepdim = false;
    for (int i = 0; i < (int)(sizeof f / sizeof *f); i++)
        for (int d = 0; d < 3; d++) {
            over = AG_DIMS(d);
            cuda_same(ag_to(f[i](ag_to(x, AG_CUDA)), AG_CPU), f[i](x), 0);
        }
    Variable *there = ag_to(x, AG_CUDA);
    REFUSED(ag_max(there), "Expected reduction dim to be specified");
    REFUSED(ag_amax(there, .dim = AG_DIMS(1)), "Expected reduction dim 1 to have non-zero size");
    REFUSED(ag_argmin(there, .dim = AG_DIMS(1)), "Expected reduction dim 1 to have non-zero size");
    cuda_same(ag_to(ag_max_dim(there, 0).indices, AG_CPU), ag_max_dim(x, 0).indices, 0);
    REFUSED(ag_var(ag_zeros(AG_SHAPE(2), .dtype = AG_INT64, .device = AG_CUDA)), "only support floating point");
}
END_TEST

/* NaN, infinities, zeros of both signs, all in one row and everywhere. */
START_TEST(odd_numbers_pass_as_on_the_cpu)
{
    const double odd[] = { NAN,       1,         2,         3,         INFINITY, 1,         -INFINITY, 2,
                           -INFINITY, -INFINITY, -INFINITY, -INFINITY, INFINITY, 0,         -0.0,      5,
                           0,         0,         0,         0,         INFINITY, INFINITY,  NAN,       NAN,
                           7,         7,         NAN,       INFINITY,  1e300,    -1e300,    1e-300,    -1e-300,
                           1e30,      -1e30,     1e-30,     4,         -3,       -INFINITY, -INFINITY, NAN };
    for (int d = 0; d < 2; d++) {
        Variable *x = ag_to(ag_tensor(odd, AG_SHAPE(10, 4)), .dtype = (ag_dtype)d);
        same_over_any_dimensions(x);
        same_over_any_dimensions(ag_contiguous(ag_transpose(x, 0, 1)));
        Variable *most = ag_max(ag_to(x, AG_CUDA)), *least = ag_min(ag_to(x, AG_CUDA));
        ck_assert(isnan(ag_item(most)) && isnan(ag_item(least)));
    }
}
END_TEST

START_TEST(the_whole_has_one_greatest_and_one_least)
{
    for (int d = 0; d < AG_N_DTYPES; d++) {
        Variable *x = draw(AG_SHAPE(7, 11), d), *there = ag_to(x, AG_CUDA);
        cuda_same(ag_to(ag_max(there), AG_CPU), ag_max(x), 0);
        cuda_same(ag_to(ag_min(there), AG_CPU), ag_min(x), 0);
    }
}
END_TEST

/* Where PyTorch shares a gradient among equals, so does the device. */
static Variable *greatest(Variable *x) { return ag_mul(ag_max(x), ag_max(x)); }
static Variable *least(Variable *x) { return ag_mul(ag_min(x), ag_min(x)); }
START_TEST(gradients_are_those_of_the_cpu)
{
    Variable *(*const f[])(Variable *) = { sum, mean, amax, amin, var, biased_var, logsumexp, norm_0, norm_1 };
    Variable *x = support_draw(AG_SHAPE(3, 4, 5), AG_FLOAT64, 2), *ties = ag_round(x);
    const ag_dims dims[] = { AG_DIMS(0), AG_DIMS(1), AG_DIMS(2), AG_DIMS(0, 2), AG_ALL };
    for (int i = 0; i < (int)(sizeof f / sizeof *f); i++)
        for (int k = 0; k < 5; k++) {
            over = dims[k];
            keepdim = k % 2;
            if (f[i] == logsumexp && over == AG_ALL) continue;
            cuda_same_function(f[i], x, 1e-12);
            cuda_same_function(f[i], ties, 1e-12);
        }
    cuda_same_function(greatest, x, 1e-12);
    cuda_same_function(greatest, ties, 1e-12);
    cuda_same_function(least, ag_to(ag_tensor(((double[]){ 1, NAN, 2, NAN }), AG_SHAPE(4)), .dtype = AG_FLOAT64),
                       1e-12);
    over = AG_DIMS(0);
    cuda_same_function(var, ag_ones(AG_SHAPE(1, 3), .dtype = AG_FLOAT64), 1e-12); /* of too few */
}
END_TEST

/* Variance is exact where a plain sum of squares would have lost everything. */
START_TEST(a_variance_survives_a_large_mean)
{
    Variable *x = ag_add(support_draw(AG_SHAPE(4, 3000), AG_FLOAT64, 1), ag_scalar(1e7));
    over = AG_DIMS(1);
    keepdim = false;
    cuda_same(ag_to(var(ag_to(x, AG_CUDA)), AG_CPU), var(x), 1e-8);
    over = AG_ALL;
    cuda_same(ag_to(var(ag_to(x, AG_CUDA)), AG_CPU), var(x), 1e-8);
}
END_TEST

SUPPORT_MAIN("cuda/reduce", every_reduction_in_every_type, elements_may_lie_in_any_way,
             rows_and_columns_of_many_lengths, many_rows_and_many_parts, nothing_is_reduced_to_what_it_is_on_the_cpu,
             odd_numbers_pass_as_on_the_cpu, the_whole_has_one_greatest_and_one_least, gradients_are_those_of_the_cpu,
             a_variance_survives_a_large_mean)
