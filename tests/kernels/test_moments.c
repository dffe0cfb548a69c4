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

TCase *moments_tests(void)
{
    TCase *tests = tcase_create("moments");
    tcase_add_test(tests, moments_are_those_of_plain_loops_with_any_number_of_threads);
    return tests;
}
