/* test_gemm.c - the matrix product against three plain loops in double. */
#include "kernels.h"
#include "ops/cpu/gemm.h"

typedef struct {
    int64_t m, n, k;
} shape;

/* sizes about the tiles' edges, vectors, empty sums, sizes that are cut into blocks, a long k */
static const shape shapes[] = {
    { 1, 1, 1 },      { 1, 1, 0 },      { 3, 5, 0 },       { 1, 7, 5 },       { 7, 1, 5 },
    { 1, 200, 33 },   { 200, 1, 33 },   { 129, 1, 64 },    { 12, 32, 7 },     { 13, 33, 8 },
    { 11, 31, 9 },    { 24, 16, 16 },   { 5, 100, 17 },    { 64, 100, 200 },  { 100, 200, 64 },
    { 64, 10, 100 },  { 37, 83, 129 },  { 2, 3, 5000 },    { 1, 1, 9000 },    { 40, 1, 4100 },
    { 1600, 40, 20 }, { 30, 2100, 20 }, { 150, 170, 700 }, { 400, 30, 3000 }, { 13, 260, 17500 },
};

/* Test i: that shape, random strides, alpha and beta, what is added, and a batch. */
static void check_one(rng *r, ag_dtype dtype, shape s, bool batched)
{
    const bool integer = dtype != AG_FLOAT32 && dtype != AG_FLOAT64;
    const int64_t batch = batched ? rng_between(r, 2, 70) : 1;
    const int64_t a_size[] = { batch, s.m, s.k }, b_size[] = { batch, s.k, s.n }, c_size[] = { batch, s.m, s.n };
    const int64_t bias_size[] = { 1, 1, s.n };
    array a = array_random(r, dtype, 3, a_size), b = array_random(r, dtype, 3, b_size),
          c = array_random(r, dtype, 3, c_size);
    array d = array_random(r, dtype, 3, c_size), bias = array_random(r, dtype, 3, bias_size);

    static const double alphas[] = { 1, 1, 2, -0.5 }, betas[] = { 0, 1, 3, -0.25 };
    const int adds = (int)rng_between(r, 0, 3); /* nothing, C itself, another matrix, a bias for each column */
    ag__gemm_args g = { .dtype = dtype, .m = s.m, .n = s.n, .k = s.k, .batch = batch };
    g.alpha = alphas[rng_between(r, 0, integer ? 2 : 3)];
    g.beta = adds == 0 ? 0 : betas[rng_between(r, 1, integer ? 2 : 3)];
    // clang-format off
    g.a = a.data; g.a_batch = a.stride[0]; g.a_row = a.stride[1]; g.a_col = a.stride[2];
    g.b = b.data; g.b_batch = b.stride[0]; g.b_row = b.stride[1]; g.b_col = b.stride[2];
    g.c = c.data; g.c_batch = c.stride[0]; g.c_row = c.stride[1]; g.c_col = c.stride[2];
    array *added = adds == 1 ? &c : adds == 2 ? &d : &bias;
    if (adds) { g.d = added->data; g.d_batch = added->stride[0]; g.d_row = added->stride[1]; g.d_col = added->stride[2]; }
    if (adds == 3) g.d_batch = g.d_row = 0;
    // clang-format on
    if (adds == 0) array_guard(&c);
    if (adds == 0 && !integer) { /* what is not read may be NaN */
        int64_t index[5] = { 0 };
        do set(c.data, array_place(&c, index), dtype, (double)NAN);
        while (next_index(3, c_size, index));
    }

    const size_t bytes = (size_t)(batch * s.m * s.n) * sizeof(double);
    double *expected = malloc(bytes), *most = malloc(bytes); /* the value, and the sum of the terms' sizes */
    ck_assert(expected && most);
    for (int64_t q = 0, o = 0; q < batch; q++) {
        for (int64_t i = 0; i < s.m; i++) {
            for (int64_t j = 0; j < s.n; j++, o++) {
                double sum = 0, terms = 0;
                for (int64_t p = 0; p < s.k; p++) {
                    double t = array_get(&a, (int64_t[]){ q, i, p }) * array_get(&b, (int64_t[]){ q, p, j });
                    sum += t;
                    terms += fabs(t);
                }
                expected[o] = g.alpha * sum;
                most[o] = fabs(g.alpha) * terms;
                if (g.beta != 0) {
                    double t = g.beta * get(g.d, q * g.d_batch + i * g.d_row + j * g.d_col, dtype);
                    expected[o] += t;
                    most[o] += fabs(t);
                }
            }
        }
    }
    ck_assert(ag__gemm(&g));
    for (int64_t q = 0, o = 0; q < batch; q++) {
        for (int64_t i = 0; i < s.m; i++) {
            for (int64_t j = 0; j < s.n; j++, o++) {
                double got = array_get(&c, (int64_t[]){ q, i, j });
                double want = dtype == AG_UINT8 ? (double)(uint8_t)(int64_t)expected[o] : expected[o];
                double within = integer ? 0 : most[o] * epsilon(dtype) * (2 + sqrt((double)s.k));
                ck_assert_msg(fabs(got - want) <= within,
                              "%s %s (%lld, %lld, %lld) item %lld: C[%lld, %lld] is %.9g, expected %.9g within %.2g",
                              ag_cpu_capability(), ag_dtype_name(dtype), (long long)s.m, (long long)s.n, (long long)s.k,
                              (long long)q, (long long)i, (long long)j, got, want, within);
            }
        }
    }
    ck_assert(array_guards_stand(&c));
    array_free(&a), array_free(&b), array_free(&c), array_free(&d), array_free(&bias);
    free(expected), free(most);
}

START_TEST(products_of_all_shapes_strides_and_types_agree_with_plain_loops)
{
    rng r = { 1 };
    EACH_ISA(isa)
    {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            const bool large = (double)shapes[i].m * (double)shapes[i].n * (double)shapes[i].k > 1e7;
            for (int again = 0; again < (large ? 1 : rounds(3)); again++) {
                check_one(&r, AG_FLOAT32, shapes[i], false);
                check_one(&r, AG_FLOAT64, shapes[i], false);
            }
        }
        for (int again = 0; again < rounds(150); again++) {
            shape s = { rng_between(&r, 1, 50), rng_between(&r, 1, 70), rng_between(&r, 0, 60) };
            check_one(&r, again % 2 ? AG_FLOAT32 : AG_FLOAT64, s, again % 10 == 0);
        }
    }
    ag__set_cpu_capability(AG_ISA_BASELINE);
    for (int again = 0; again < rounds(60); again++) {
        shape s = { rng_between(&r, 1, 9), rng_between(&r, 1, 9), rng_between(&r, 0, 9) };
        check_one(&r, (ag_dtype[]){ AG_INT64, AG_INT32, AG_UINT8 }[again % 3], s, again % 4 == 0);
    }
}
END_TEST

START_TEST(a_product_has_the_same_bits_on_any_number_of_threads)
{
    rng r = { 2 };
    static const shape some[] = { { 64, 100, 2000 }, { 1, 3000, 500 },  { 3000, 1, 500 },
                                  { 10, 10, 20000 }, { 300, 500, 400 }, { 26, 300, 21000 } };
    EACH_ISA(isa)
    {
        for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
            const shape s = some[i];
            const int64_t a_size[] = { s.m, s.k }, b_size[] = { s.k, s.n }, c_size[] = { s.m, s.n };
            array a = array_random(&r, AG_FLOAT32, 2, a_size), b = array_random(&r, AG_FLOAT32, 2, b_size);
            array c = array_new(AG_FLOAT32, 2, c_size, (int[]){ 0, 1 }, (int[]){ 1, 1 });
            float *first = malloc((size_t)(s.m * s.n) * sizeof(float));
            ck_assert_ptr_nonnull(first);
            for (int t = 0; t < 4; t++) {
                ck_assert(ag_set_num_threads(thread_counts[t]));
                ag__gemm_args g = { .dtype = AG_FLOAT32, .m = s.m, .n = s.n, .k = s.k, .alpha = 1 };
                // clang-format off
                g.a = a.data; g.a_row = a.stride[0]; g.a_col = a.stride[1];
                g.b = b.data; g.b_row = b.stride[0]; g.b_col = b.stride[1];
                g.c = c.data; g.c_row = s.n; g.c_col = 1;
                // clang-format on
                ck_assert(ag__gemm(&g));
                if (t == 0) memcpy(first, c.data, (size_t)(s.m * s.n) * sizeof(float));
                ck_assert_mem_eq(first, c.data, (size_t)(s.m * s.n) * sizeof(float));
            }
            array_free(&a), array_free(&b), array_free(&c);
            free(first);
        }
    }
}
END_TEST

/* Of float32, as MKL sums it: slices of 192 terms with fused multiply-adds, each from 0 on, added to the bias in turn.
 */
START_TEST(a_product_is_summed_in_the_order_of_pytorch)
{
#if defined(__x86_64__)
    rng r = { 9 };
    static const shape sizes[] = { { 64, 100, 2000 }, { 13, 33, 192 }, { 5, 40, 193 }, { 30, 17, 10 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const shape s = sizes[i];
        const int order[] = { 0, 1 }, gap[] = { 1, 1 };
        array a = array_new(AG_FLOAT32, 2, (int64_t[]){ s.m, s.k }, order, gap),
              b = array_new(AG_FLOAT32, 2, (int64_t[]){ s.n, s.k }, order, gap),
              bias = array_new(AG_FLOAT32, 1, &s.n, order, gap),
              c = array_new(AG_FLOAT32, 2, (int64_t[]){ s.m, s.n }, order, gap);
        array_fill(&a, &r, -1, 1), array_fill(&b, &r, -1, 1), array_fill(&bias, &r, -1, 1);
        const float *x = a.data, *w = b.data, *d = bias.data;
        for (int isa = AG_ISA_AVX2; isa < AG_N_ISAS; isa++) {
            if (!ag__set_cpu_capability((ag__isa)isa)) continue;
            ag__gemm_args g = { .dtype = AG_FLOAT32, .m = s.m, .n = s.n, .k = s.k, .alpha = 1, .beta = 1 };
            g.a = a.data, g.a_row = s.k, g.a_col = 1;
            g.b = b.data, g.b_row = 1, g.b_col = s.k;
            g.c = c.data, g.c_row = s.n, g.c_col = 1;
            g.d = bias.data, g.d_col = 1;
            ck_assert(ag__gemm(&g));
            for (int64_t row = 0; row < s.m; row++) {
                for (int64_t column = 0; column < s.n; column++) {
                    float sum = d[column];
                    for (int64_t first = 0; first < s.k; first += 192) {
                        float part = 0;
                        for (int64_t p = first; p < s.k && p < first + 192; p++)
                            part = fmaf(x[row * s.k + p], w[column * s.k + p], part);
                        sum += part;
                    }
                    const float got = ((const float *)c.data)[row * s.n + column];
                    ck_assert_msg(got == sum, "%s: [%d, %d] is %.9g, in order %.9g", ag_cpu_capability(), (int)row,
                                  (int)column, (double)got, (double)sum);
                }
            }
        }
        array_free(&a), array_free(&b), array_free(&bias), array_free(&c);
    }
#endif
}
END_TEST

TCase *gemm_tests(void)
{
    TCase *tests = tcase_create("matrix product");
    tcase_add_test(tests, products_of_all_shapes_strides_and_types_agree_with_plain_loops);
    tcase_add_test(tests, a_product_has_the_same_bits_on_any_number_of_threads);
    tcase_add_test(tests, a_product_is_summed_in_the_order_of_pytorch);
    return tests;
}
