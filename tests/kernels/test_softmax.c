/* test_softmax.c - softmax, log_softmax and their gradients against plain loops in double. */
#include "kernels.h"
#include "ops/cpu/softmax.h"

/* (outer, n, inner) */
static const int64_t shapes[][3] = { { 1, 1, 1 },   { 64, 10, 1 },  { 7, 1000, 1 }, { 3, 16, 1 },
                                     { 5, 33, 1 },  { 2, 3, 5 },    { 3, 10, 64 },  { 2, 7, 65 },
                                     { 4, 100, 3 }, { 2, 12, 200 }, { 300, 17, 1 }, { 0, 3, 2 } };

static void expected_lane(bool is_log, int64_t n, int64_t inner, const double *x, const double *dy, double *y,
                          double *dx)
{
    long double most = (long double)-INFINITY, sum = 0, along = 0;
    for (int64_t i = 0; i < n; i++)
        if (x[i * inner] > most || isnan(x[i * inner])) most = x[i * inner];
    for (int64_t i = 0; i < n; i++) sum += expl((long double)x[i * inner] - most);
    for (int64_t i = 0; i < n; i++) {
        const long double e = (long double)x[i * inner] - most;
        y[i * inner] = (double)(is_log ? e - logl(sum) : expl(e) / sum);
        along += (long double)dy[i * inner] * (is_log ? 1 : (long double)y[i * inner]);
    }
    for (int64_t i = 0; i < n; i++)
        dx[i * inner] = (double)(is_log ? (long double)dy[i * inner] - expl((long double)y[i * inner]) * along
                                        : (long double)y[i * inner] * ((long double)dy[i * inner] - along));
}

static bool near(double got, double want, double within)
{
    return (isnan(got) && isnan(want)) || got == want || fabs(got - want) <= within;
}

static void check_one(rng *r, ag_dtype dtype, const int64_t *shape, bool is_log, bool specials)
{
    const int64_t outer = shape[0], n = shape[1], inner = shape[2], all = outer * n * inner;
    const size_t bytes = (size_t)(all + 1) * sizeof(double);
    void *x = malloc(bytes), *y = malloc(bytes), *dy = malloc(bytes), *dx = malloc(bytes);
    double *ex = malloc(bytes), *ey = malloc(bytes), *edy = malloc(bytes), *edx = malloc(bytes);
    ck_assert(x && y && dy && dx && ex && ey && edy && edx);
    static const double special[] = { (double)NAN, (double)INFINITY, (double)-INFINITY };
    const int kind = (int)rng_between(r, 0, 2);
    for (int64_t i = 0; i < all; i++) {
        double v = 20 * rng_unit(r);
        if (specials && rng_between(r, 0, kind == 2 ? 1 : 30) == 0) v = special[kind];
        set(x, i, dtype, v);
        set(dy, i, dtype, rng_unit(r));
        ex[i] = get(x, i, dtype);
        edy[i] = get(dy, i, dtype);
    }
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            const int64_t at = o * n * inner + i;
            expected_lane(is_log, n, inner, ex + at, edy + at, ey + at, edx + at);
        }
    ag__softmax(dtype, is_log, outer, n, inner, x, y);
    ag__softmax_backward(dtype, is_log, outer, n, inner, dy, y, dx);
    for (int64_t i = 0; i < all; i++) {
        const double got = get(y, i, dtype), slope = get(dx, i, dtype);
        /* differences of numbers up to 20, and what those do to exp */
        const double grow = 50 + sqrt((double)n), within = epsilon(dtype) * (is_log ? 80 + fabs(ey[i]) : grow * ey[i]);
        ck_assert_msg(near(got, ey[i], within), "%s %s %s (%d, %d, %d): element %d is %.9g, expected %.9g",
                      ag_cpu_capability(), ag_dtype_name(dtype), is_log ? "log_softmax" : "softmax", (int)outer, (int)n,
                      (int)inner, (int)i, got, ey[i]);
        ck_assert_msg(near(slope, edx[i], epsilon(dtype) * grow * sqrt((double)n)),
                      "%s %s %s (%d, %d, %d): gradient %d is %.9g, expected %.9g", ag_cpu_capability(),
                      ag_dtype_name(dtype), is_log ? "log_softmax" : "softmax", (int)outer, (int)n, (int)inner, (int)i,
                      slope, edx[i]);
    }
    /* in place */
    void *same = malloc(bytes);
    ck_assert_ptr_nonnull(same);
    memcpy(same, x, bytes);
    ag__softmax(dtype, is_log, outer, n, inner, same, same);
    ck_assert_mem_eq(same, y, (size_t)all * ag_dtype_size(dtype));
    void *mine[] = { x, y, dy, dx, ex, ey, edy, edx, same };
    for (int i = 0; i < 9; i++) free(mine[i]);
}

START_TEST(softmax_and_its_gradient_are_those_of_plain_loops)
{
    rng r = { 6 };
    EACH_ISA(isa)
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int options = 0; options < 8; options++)
            check_one(&r, options & 4 ? AG_FLOAT64 : AG_FLOAT32, shapes[i], options & 1, options & 2);
}
END_TEST

/* Which go past the caches, but not in place. */
START_TEST(large_results_have_the_same_bits_in_place)
{
    static const int64_t large[][2] = { { 2100, 1001 }, { 1030, 2048 }, { 990, 2150 } };
    rng r = { 8 };
    EACH_ISA(isa)
    for (int i = 0; i < 6; i++) {
        const ag_dtype dtype = i < 3 ? AG_FLOAT32 : AG_FLOAT64;
        const int64_t rows = large[i % 3][0], n = large[i % 3][1];
        const size_t bytes = (size_t)(rows * n / 64 + 1) * 64 * ag_dtype_size(dtype);
        void *x = aligned_alloc(64, bytes), *y = aligned_alloc(64, bytes);
        ck_assert(x && y);
        for (int64_t k = 0; k < rows * n; k++) set(x, k, dtype, 20 * rng_unit(&r));
        ag__softmax(dtype, i % 2, rows, n, 1, x, y);
        ag__softmax(dtype, i % 2, rows, n, 1, x, x);
        ck_assert(!memcmp(x, y, (size_t)(rows * n) * ag_dtype_size(dtype)));
        free(x);
        free(y);
    }
}
END_TEST

START_TEST(an_element_of_softmax_has_the_same_bits_wherever_it_lies)
{
    rng r = { 7 };
    float x[40], first[21];
    EACH_ISA(isa)
    {
        for (int i = 0; i < 40; i++) x[i] = (float)rng_unit(&r);
        ag__softmax(AG_FLOAT32, true, 1, 21, 1, x, first);
        for (int threads = 0; threads < 4; threads++) {
            ck_assert(ag_set_num_threads(thread_counts[threads]));
            float many[21 * 50], out[21 * 50];
            for (int i = 0; i < 50; i++) memcpy(many + 21 * i, x, 21 * sizeof *x);
            ag__softmax(AG_FLOAT32, true, 50, 21, 1, many, out);
            for (int i = 0; i < 50; i++) ck_assert_mem_eq(out + 21 * i, first, sizeof first);
        }
        /* columns: one alone, and among nineteen others */
        float columns[2 * 20];
        ag__softmax(AG_FLOAT32, false, 1, 2, 20, x, columns);
        for (int c = 0; c < 20; c++) {
            float pair[] = { x[c], x[20 + c], 0, 0 }, alone[4];
            ag__softmax(AG_FLOAT32, false, 1, 2, 2, (float[]){ pair[0], 0, pair[1], 0 }, alone);
            ck_assert(alone[0] == columns[c] && alone[2] == columns[20 + c]);
        }
    }
}
END_TEST

TCase *softmax_tests(void)
{
    TCase *tests = tcase_create("softmax");
    tcase_add_test(tests, softmax_and_its_gradient_are_those_of_plain_loops);
    tcase_add_test(tests, large_results_have_the_same_bits_in_place);
    tcase_add_test(tests, an_element_of_softmax_has_the_same_bits_wherever_it_lies);
    return tests;
}
