/* test_tensor_layout.c - the strides of results against PyTorch's, and which elements two layouts share against
 * counting them. */
#include "tensor_cases.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = AG_MAX_DIMS };

START_TEST(a_fresh_result_has_pytorchs_strides)
{
    cases c = cases_open("tensor_cases.txt", "result");
    int permuted = 0;
    while (cases_next(&c)) {
        ag_tensor x[3];
        const ag_tensor *in[3];
        int n = (int)cases_int(&c);
        for (int k = 0; k < n; k++) {
            x[k] = cases_layout(&c);
            in[k] = &x[k];
        }
        ag_tensor result = cases_layout(&c);
        int64_t stride[MOST];
        ag__result_strides(result.ndim, result.size, n, in, stride);
        for (int d = 0; d < result.ndim; d++)
            ck_assert_msg(stride[d] == result.stride[d], "result case %d, dimension %d: %lld, not %lld", c.n, d,
                          (long long)stride[d], (long long)result.stride[d]);
        permuted += !result.contiguous;
    }
    ck_assert_int_gt(permuted, 50);
}
END_TEST

START_TEST(batch_last_in_gives_batch_last_out)
{
    int64_t size[] = { 64, 3, 5, 7 }, stride[4], result[4];
    ag__format_strides(4, size, AG_BATCH_LAST, stride);
    ag_tensor x = tensor_on(NULL, AG_FLOAT32, 4, size, stride);
    ag_tensor bias = tensor_on(NULL, AG_FLOAT32, 3, (int64_t[]){ 3, 1, 1 }, NULL),
              number = tensor_on(NULL, AG_FLOAT32, 0, NULL, NULL);
    ag__result_strides(4, size, 1, (const ag_tensor *[]){ &x }, result);
    ck_assert_mem_eq(result, stride, sizeof stride);
    ag__result_strides(4, size, 2, (const ag_tensor *[]){ &x, &x }, result);
    ck_assert_mem_eq(result, stride, sizeof stride);
    ag__result_strides(4, size, 2, (const ag_tensor *[]){ &x, &bias }, result);
    ck_assert_mem_eq(result, stride, sizeof stride);
    ag__result_strides(4, size, 2, (const ag_tensor *[]){ &number, &x }, result);
    ck_assert_mem_eq(result, stride, sizeof stride);
}
END_TEST

START_TEST(dense_is_what_pytorch_calls_non_overlapping_and_dense)
{
    cases c = cases_open("tensor_cases.txt", "dense");
    while (cases_next(&c)) {
        ag_tensor x = cases_layout(&c);
        ck_assert_msg(ag__is_dense(x.ndim, x.size, x.stride) == cases_int(&c), "dense case %d", c.n);
    }
}
END_TEST

START_TEST(an_expanded_tensor_overlaps_itself_and_a_slice_does_not)
{
    static const struct {
        int ndim;
        int64_t size[MOST], stride[MOST];
        bool overlaps;
    } rows[] = {
        { 0, { 0 }, { 0 }, false },
        { 2, { 2, 3 }, { 3, 1 }, false },
        { 2, { 2, 3 }, { 0, 1 }, true },
        { 2, { 1, 3 }, { 0, 1 }, false },
        { 2, { 3, 2 }, { 1, 3 }, false },
        { 2, { 3, 2 }, { 100, 7 }, false },
        { 2, { 3, 2 }, { 1, 1 }, true }, /* windows that slide */
        { 2, { 3, 2 }, { 1, 2 }, true },
        { 3, { 2, 0, 2 }, { 0, 1, 1 }, false },
        { 3, { 2, 3, 4 }, { 4, 8, 1 }, false },
        { 3, { 2, 3, 4 }, { 3, 8, 1 }, true },
    };
    ag_tensor x = tensor_on(NULL, AG_FLOAT32, rows[_i].ndim, rows[_i].size, rows[_i].stride);
    ck_assert_int_eq(ag__overlaps_itself(&x), rows[_i].overlaps);
}
END_TEST

/* A window of a matrix of 6 by 8 numbers: begin and step along each side. */
typedef struct window {
    int64_t begin[2], step[2], size[2];
    bool transposed;
} window;

static ag_tensor on_matrix(float *matrix, window w)
{
    int64_t size[2] = { w.size[0], w.size[1] }, stride[2] = { 8 * w.step[0], w.step[1] };
    if (w.transposed) {
        size[0] = w.size[1], size[1] = w.size[0];
        stride[0] = w.step[1], stride[1] = 8 * w.step[0];
    }
    return tensor_on(matrix + 8 * w.begin[0] + w.begin[1], AG_FLOAT32, 2, size, stride);
}

static int counted_overlap(const ag_tensor *a, const ag_tensor *b)
{
    bool common = false, same = ag__same_sizes(a, b);
    for (int64_t i = 0; i < a->numel; i++)
        for (int64_t j = 0; j < b->numel; j++) {
            bool meet = tensor_at(a, i) == tensor_at(b, j);
            common |= meet;
            if (i == j) same &= meet;
        }
    return !common ? 0 : same ? 1 : 2;
}

START_TEST(windows_of_a_matrix_overlap_as_counting_says)
{
    static const window rows[] = {
        { { 0, 0 }, { 1, 1 }, { 6, 8 }, false }, { { 0, 0 }, { 1, 1 }, { 3, 8 }, false },
        { { 3, 0 }, { 1, 1 }, { 3, 8 }, false }, { { 0, 0 }, { 1, 1 }, { 6, 4 }, false },
        { { 0, 4 }, { 1, 1 }, { 6, 4 }, false }, { { 0, 3 }, { 1, 1 }, { 6, 4 }, false },
        { { 0, 0 }, { 1, 2 }, { 6, 4 }, false }, { { 0, 1 }, { 1, 2 }, { 6, 4 }, false },
        { { 0, 0 }, { 2, 1 }, { 3, 8 }, false }, { { 1, 0 }, { 2, 1 }, { 3, 8 }, false },
        { { 1, 0 }, { 2, 1 }, { 3, 8 }, true },  { { 0, 0 }, { 1, 1 }, { 5, 5 }, false },
        { { 0, 0 }, { 1, 1 }, { 5, 5 }, true },  { { 2, 3 }, { 1, 1 }, { 0, 0 }, false },
        { { 5, 7 }, { 1, 1 }, { 1, 1 }, false }, { { 0, 7 }, { 1, 1 }, { 6, 1 }, false },
        { { 1, 1 }, { 1, 1 }, { 5, 5 }, false }, { { 0, 6 }, { 1, 1 }, { 6, 1 }, true },
        { { 0, 0 }, { 1, 1 }, { 1, 8 }, false }, { { 2, 2 }, { 3, 3 }, { 2, 2 }, false },
    };
    enum { N = sizeof rows / sizeof *rows };
    float matrix[48];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            ag_tensor a = on_matrix(matrix, rows[i]), b = on_matrix(matrix, rows[j]);
            ck_assert_msg(ag__overlap(&a, &b) == counted_overlap(&a, &b), "windows %d and %d", i, j);
        }
}
END_TEST

START_TEST(random_windows_never_hide_an_overlap)
{
    float matrix[48];
    unsigned seed = 7;
    for (int round = 0; round < 20000; round++) {
        ag_tensor x[2];
        for (int k = 0; k < 2; k++) {
            window w = { .transposed = rand_r(&seed) % 2 };
            for (int s = 0; s < 2; s++) {
                int64_t side = s ? 8 : 6;
                w.begin[s] = rand_r(&seed) % side;
                w.step[s] = 1 + rand_r(&seed) % 3;
                w.size[s] = 1 + rand_r(&seed) % ((side - w.begin[s] + w.step[s] - 1) / w.step[s]);
            }
            x[k] = on_matrix(matrix, w);
        }
        int counted = counted_overlap(&x[0], &x[1]), said = ag__overlap(&x[0], &x[1]);
        ck_assert(said == counted || (said == 2 && counted == 0));
    }
}
END_TEST

START_TEST(another_type_or_device_is_not_the_same)
{
    float data[4];
    ag_tensor a = tensor_on(data, AG_FLOAT32, 1, (int64_t[]){ 4 }, NULL),
              b = tensor_on(data, AG_INT32, 1, (int64_t[]){ 4 }, NULL);
    ck_assert_int_eq(ag__overlap(&a, &a), 1);
    ck_assert_int_eq(ag__overlap(&a, &b), 2);
    ag_storage elsewhere = { .device = AG_CUDA };
    b = a;
    b.storage = &elsewhere;
    ck_assert_int_eq(ag__overlap(&a, &b), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/layout");
    TCase *t = tcase_create("layout");
    tcase_add_test(t, a_fresh_result_has_pytorchs_strides);
    tcase_add_test(t, batch_last_in_gives_batch_last_out);
    tcase_add_test(t, dense_is_what_pytorch_calls_non_overlapping_and_dense);
    tcase_add_loop_test(t, an_expanded_tensor_overlaps_itself_and_a_slice_does_not, 0, 11);
    tcase_add_test(t, windows_of_a_matrix_overlap_as_counting_says);
    tcase_add_test(t, random_windows_never_hide_an_overlap);
    tcase_add_test(t, another_type_or_device_is_not_the_same);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
