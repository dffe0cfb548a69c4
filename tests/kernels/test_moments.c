/* test_moments.c - sums, sums of sizes and of squares against plain loops in long double. */
#include "kernels.h"
#include "ops/cpu/moments.h"
#include <argent/num_threads.h>

static void check_one(rng *r, ag_dtype dtype, int64_t n, int64_t shift)
{
    const double from = rng_unit(r);
    char *x = malloc((size_t)(n + shift + 1) * sizeof(double));
    long double want[AG_N_MOMENTS] = { 0 }, sizes[AG_N_MOMENTS] = { 0 };
    ck_assert_ptr_nonnull(x);
    for (int64_t i = 0; i < n; i++) {
        set(x, i + shift, dtype, 1 + 10 * rng_unit(r));
        const long double v = (long double)get(x, i + shift, dtype);
        const long double term[] = { v, fabsl(v), (v - (long double)from) * (v - (long double)from) };
        for (int k = 0; k < AG_N_MOMENTS; k++) {
            want[k] += term[k];
            sizes[k] += fabsl(term[k]);
        }
    }
    for (int k = 0; k < AG_N_MOMENTS; k++) {
        const void *row = x + (size_t)shift * ag_dtype_size(dtype);
        const double got = ag__sum_of((ag__moment)k, dtype, row, n, from);
        ck_assert_msg(fabsl((long double)got - want[k]) <= 1e-14L * sizes[k],
                      "%s, %s, moment %d of %d: %.17g, not %.17Lg", ag_cpu_capability(), ag_dtype_name(dtype), k,
                      (int)n, got, want[k]);
        ag_set_num_threads(3);
        ck_assert(got == ag__sum_of((ag__moment)k, dtype, row, n, from));
        ag_set_num_threads(1);
        ck_assert(got == ag__sum_of((ag__moment)k, dtype, row, n, from));
        ag_set_num_threads(2);
    }
    if (n) {
        const void *row = x + (size_t)shift * ag_dtype_size(dtype);
        const long double mean = want[AG_SUM] / (long double)n;
        long double squares = 0;
        for (int64_t i = 0; i < n; i++) {
            const long double apart = (long double)get(x, i + shift, dtype) - mean;
            squares += apart * apart;
        }
        const double got = ag__squares_from_mean(dtype, row, n);
        ck_assert_msg(fabsl((long double)got - squares) <= 1e-13L * squares,
                      "%s, %s, squares from the mean of %d: %.17g, not %.17Lg", ag_cpu_capability(),
                      ag_dtype_name(dtype), (int)n, got, squares);
        for (int threads = 3; threads >= 1; threads -= 2) {
            ag_set_num_threads(threads);
            ck_assert(got == ag__squares_from_mean(dtype, row, n));
        }
        ag_set_num_threads(2);
    }
    free(x);
}

START_TEST(moments_are_those_of_plain_loops_with_any_number_of_threads)
{
    rng r = { 7 };
    EACH_ISA(isa)
    {
        for (ag_dtype dtype = AG_FLOAT32; dtype <= AG_FLOAT64; dtype++) {
            for (int64_t n = 0; n < 140; n++) check_one(&r, dtype, n, n % 3);
            check_one(&r, dtype, (1 << 15) + 1, 0);
            check_one(&r, dtype, 3000017, 1);
        }
    }
}
END_TEST

/* Rows whose beginning says nothing of what comes: all the same number, a jump after some, a slope. */
START_TEST(squares_from_the_mean_stand_any_beginning)
{
    enum { N = 100003 };
    rng r = { 11 };
    double *x = malloc(N * sizeof(double));
    ck_assert_ptr_nonnull(x);
    EACH_ISA(isa)
    {
        for (int kind = 0; kind < 4; kind++) {
            long double mean = 0, squares = 0;
            for (int64_t i = 0; i < N; i++) {
                const double noise = rng_unit(&r);
                x[i] = kind == 0   ? 0.1
                       : kind == 1 ? noise + (i < 700 ? 0 : 1e8)
                       : kind == 2 ? noise + (i ? 0 : 1e9)
                                   : 3 * (double)i;
                mean += (long double)x[i] / N;
            }
            for (int64_t i = 0; i < N; i++) squares += ((long double)x[i] - mean) * ((long double)x[i] - mean);
            const double got = ag__squares_from_mean(AG_FLOAT64, x, N);
            ck_assert_msg(got >= 0 && fabsl((long double)got - squares) <= 1e-12L * squares + 1e-20L,
                          "%s, kind %d: %.17g, not %.17Lg", ag_cpu_capability(), kind, got, squares);
        }
    }
    free(x);
}
END_TEST

static void check_columns(rng *r, ag_dtype dtype, int64_t outer, int64_t n, int64_t inner)
{
    const size_t item = ag_dtype_size(dtype);
    char *x = malloc((size_t)(outer * n * inner) * item);
    double *got[2];
    for (int k = 0; k < 2; k++) ck_assert_ptr_nonnull(got[k] = malloc((size_t)(outer * inner) * sizeof(double)));
    ck_assert_ptr_nonnull(x);
    for (int64_t i = 0; i < outer * n * inner; i++) set(x, i, dtype, 1000 + 10 * rng_unit(r));
    for (int k = 0; k < 2; k++) {
        ag_set_num_threads(1 + 2 * k);
        ck_assert(ag__squares_of_columns(dtype, x, outer, n, inner, got[k]));
    }
    ag_set_num_threads(2);
    ck_assert(!memcmp(got[0], got[1], (size_t)(outer * inner) * sizeof(double)));
    for (int64_t o = 0; o < outer; o++)
        for (int64_t j = 0; j < inner; j++) {
            long double sum = 0, squares = 0;
            for (int64_t i = 0; i < n; i++) sum += (long double)get(x, (o * n + i) * inner + j, dtype);
            for (int64_t i = 0; i < n; i++) {
                const long double apart = (long double)get(x, (o * n + i) * inner + j, dtype) - sum / (long double)n;
                squares += apart * apart;
            }
            const double found = got[0][o * inner + j];
            ck_assert_msg(fabsl((long double)found - squares) <= 1e-12L * squares + 1e-18L,
                          "%s, %s, (%d,%d,%d), column %d: %.17g, not %.17Lg", ag_cpu_capability(), ag_dtype_name(dtype),
                          (int)outer, (int)n, (int)inner, (int)j, found, squares);
        }
    free(x);
    for (int k = 0; k < 2; k++) free(got[k]);
}

START_TEST(squares_of_columns_are_those_of_plain_loops_with_any_number_of_threads)
{
    rng r = { 8 };
    EACH_ISA(isa)
    {
        for (ag_dtype dtype = AG_FLOAT32; dtype <= AG_FLOAT64; dtype++) {
            for (int round = 0; round < 60; round++)
                check_columns(&r, dtype, 1 + round % 3, 21 + (int64_t)(20 * rng_unit(&r)),
                              31 + (int64_t)(30 * rng_unit(&r)));
            check_columns(&r, dtype, 2, 9, 1300);
            check_columns(&r, dtype, 1, 20011, 9);
        }
    }
}
END_TEST

TCase *moments_tests(void)
{
    TCase *tests = tcase_create("moments");
    tcase_add_test(tests, moments_are_those_of_plain_loops_with_any_number_of_threads);
    tcase_add_test(tests, squares_from_the_mean_stand_any_beginning);
    tcase_add_test(tests, squares_of_columns_are_those_of_plain_loops_with_any_number_of_threads);
    return tests;
}
