/* test_tensor_walk.c - walking in step: every index once, as few rows as the layouts allow, in memory order, on any
 * number of threads. */
#include "tensor_cases.h"

#include "tensor/parallel.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = AG_MAX_DIMS };

START_TEST(dimensions_merge_where_every_operand_allows_it)
{
    static const struct {
        int n, ndim;
        int64_t size[MOST], stride[2][MOST];
        int merged;
        int64_t merged_size[MOST], merged_stride[2][MOST]; /* in bytes */
    } rows[] = {
        { 1, 0, { 0 }, { { 0 } }, 0, { 0 }, { { 0 } } },
        { 1, 3, { 1, 1, 1 }, { { 9, 9, 9 } }, 0, { 0 }, { { 0 } } },
        { 1, 3, { 2, 3, 4 }, { { 12, 4, 1 } }, 1, { 24 }, { { 4 } } },
        { 2, 3, { 2, 3, 4 }, { { 12, 4, 1 }, { 12, 4, 1 } }, 1, { 24 }, { { 4 }, { 4 } } },
        { 2, 3, { 2, 3, 4 }, { { 1, 2, 6 }, { 1, 2, 6 } }, 1, { 24 }, { { 4 }, { 4 } } }, /* both permuted alike */
        { 2, 3, { 2, 3, 4 }, { { 12, 4, 1 }, { 0, 4, 1 } }, 2, { 2, 12 }, { { 48, 4 }, { 0, 4 } } },
        { 2, 3, { 2, 3, 4 }, { { 12, 4, 1 }, { 0, 0, 0 } }, 1, { 24 }, { { 4 }, { 0 } } },
        { 2, 3, { 2, 1, 4 }, { { 4, 77, 1 }, { 4, 5, 1 } }, 1, { 8 }, { { 4 }, { 4 } } }, /* size 1 has no say */
        { 2, 2, { 3, 5 }, { { 5, 1 }, { 1, 3 } }, 2, { 3, 5 }, { { 20, 4 }, { 4, 12 } } },
        { 2, 2, { 3, 5 }, { { 1, 3 }, { 5, 1 } }, 2, { 5, 3 }, { { 12, 4 }, { 4, 20 } } }, /* operand 0 sets the order
                                                                                            */
        { 2, 2, { 3, 5 }, { { 0, 0 }, { 1, 3 } }, 1, { 15 }, { { 0 }, { 4 } } }, /* a tie: the next one does */
        { 1, 2, { 3, 4 }, { { 8, 2 } }, 1, { 12 }, { { 8 } } },
        { 1, 2, { 3, 4 }, { { 16, 2 } }, 2, { 3, 4 }, { { 64, 8 } } },
    };
    ag_tensor x[2];
    const ag_tensor *operand[2];
    for (int k = 0; k < rows[_i].n; k++) {
        x[k] = tensor_on(NULL, AG_FLOAT32, rows[_i].ndim, rows[_i].size, rows[_i].stride[k]);
        operand[k] = &x[k];
    }
    ag_walk w;
    ag__walk(&w, rows[_i].n, operand);
    ck_assert_int_eq(w.n, rows[_i].n);
    ck_assert_int_eq(w.numel, x[0].numel);
    ck_assert_int_eq(w.ndim, rows[_i].merged);
    for (int d = 0; d < w.ndim; d++) {
        ck_assert_int_eq(w.size[d], rows[_i].merged_size[d]);
        for (int k = 0; k < w.n; k++) ck_assert_int_eq(w.stride[k][d], rows[_i].merged_stride[k][d]);
    }
}
END_TEST
enum { N_MERGES = 13 };

/* ---- every index once ---- */

/* to[i] += from[i] + 100 for each element, counted. */
typedef struct visit {
    int64_t rows, elements;
} visit;

static void add_up(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    visit *v = user;
    __atomic_add_fetch(&v->rows, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&v->elements, count, __ATOMIC_RELAXED);
    for (int64_t i = 0; i < count; i++)
        *(int64_t *)(data[0] + i * stride[0]) += *(const int32_t *)(data[1] + i * stride[1]) + 100;
}

/* A random shape of up to 6 dimensions with a permuted, gappy layout for the output and one that broadcasts for the
 * input. */
static int random_layout(unsigned *seed, int ndim, const int64_t *size, bool repeats, int64_t *stride)
{
    int order[MOST];
    int64_t step = 1;
    for (int d = 0; d < ndim; d++) {
        int at = (int)(rand_r(seed) % (d + 1));
        order[d] = order[at];
        order[at] = d;
    }
    bool in_order = rand_r(seed) % 3 == 0;
    for (int k = 0; k < ndim; k++) {
        int d = in_order ? ndim - 1 - k : order[k];
        stride[d] = repeats && rand_r(seed) % 4 == 0 ? 0 : step;
        if (stride[d]) step *= size[d] + (rand_r(seed) % 4 == 0);
    }
    return (int)step;
}

START_TEST(each_index_comes_once_whatever_the_layouts_threads_and_grain)
{
    static int64_t to[1 << 16];
    static int32_t from[1 << 16];
    for (int i = 0; i < 1 << 16; i++) from[i] = i;
    unsigned seed = (unsigned)_i + 1;
    ck_assert(ag_set_num_threads(1 + _i % 3));
    for (int round = 0; round < 60; round++) {
        int64_t size[MOST], stride[2][MOST];
        int ndim = (int)(rand_r(&seed) % 6);
        for (int d = 0; d < ndim; d++) size[d] = 1 + rand_r(&seed) % 5;
        ck_assert_int_le(random_layout(&seed, ndim, size, false, stride[0]), 1 << 16);
        random_layout(&seed, ndim, size, true, stride[1]);
        ag_tensor y = tensor_on(to, AG_INT64, ndim, size, stride[0]),
                  x = tensor_on(from, AG_INT32, ndim, size, stride[1]);
        memset(to, 0, sizeof to);
        ag_walk w;
        ag__walk(&w, 2, (const ag_tensor *[]){ &y, &x });
        visit v = { 0 };
        ag__walk_rows(&w, 1 + rand_r(&seed) % 40, add_up, &v);
        ck_assert_int_eq(v.elements, y.numel);
        int64_t total = 0, expected = 0;
        for (int64_t i = 0; i < y.numel; i++) {
            int64_t value = *(const int32_t *)tensor_at(&x, i) + 100;
            ck_assert_int_eq(*(const int64_t *)tensor_at(&y, i), value);
            expected += value;
        }
        for (int i = 0; i < 1 << 16; i++) total += to[i];
        ck_assert_int_eq(total, expected); /* and nothing beside them */
    }
}
END_TEST

START_TEST(a_wider_shape_repeats_the_narrower_operand)
{
    int64_t to[6] = { 0 };
    int32_t from[3] = { 1, 2, 3 };
    ag_tensor y = tensor_on(to, AG_INT64, 2, (int64_t[]){ 2, 3 }, NULL),
              x = tensor_on(from, AG_INT32, 1, (int64_t[]){ 3 }, NULL);
    ag_walk w;
    ag__walk(&w, 2, (const ag_tensor *[]){ &y, &x });
    visit v = { 0 };
    ag__walk_rows(&w, 1000, add_up, &v);
    ck_assert_mem_eq(to, ((int64_t[]){ 101, 102, 103, 101, 102, 103 }), sizeof to);
}
END_TEST

START_TEST(an_unbroken_block_is_one_row)
{
    static int64_t to[1000];
    static int32_t from[1000];
    ag_tensor y = tensor_on(to, AG_INT64, 3, (int64_t[]){ 10, 10, 10 }, NULL),
              x = tensor_on(from, AG_INT32, 0, NULL, NULL);
    ag_walk w;
    ag__walk(&w, 2, (const ag_tensor *[]){ &y, &x });
    visit v = { 0 };
    ag__walk_rows(&w, 1000, add_up, &v);
    ck_assert_int_eq(v.rows, 1);
    ck_assert_int_eq(v.elements, 1000);
    v = (visit){ 0 };
    ag__walk_rows(&w, 256, add_up, &v);
    ck_assert_int_eq(v.rows, 4); /* one a task */
}
END_TEST

START_TEST(nothing_is_called_for_an_empty_tensor_and_once_for_a_single_element)
{
    int64_t to = 0;
    int32_t from = 5;
    ag_tensor y = tensor_on(&to, AG_INT64, 2, (int64_t[]){ 0, 3 }, (int64_t[]){ 7, 0 });
    ag_tensor x = tensor_on(&from, AG_INT32, 2, (int64_t[]){ 0, 3 }, NULL);
    ag_walk w;
    visit v = { 0 };
    ag__walk(&w, 2, (const ag_tensor *[]){ &y, &x });
    ag__walk_rows(&w, 1, add_up, &v);
    ck_assert_int_eq(v.rows, 0);
    y = tensor_on(&to, AG_INT64, 0, NULL, NULL);
    x = tensor_on(&from, AG_INT32, 0, NULL, NULL);
    ag__walk(&w, 2, (const ag_tensor *[]){ &y, &x });
    ag__walk_rows(&w, 0, add_up, &v);
    ck_assert_int_eq(v.rows, 1);
    ck_assert_int_eq(to, 105);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/walk");
    TCase *t = tcase_create("walk");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, dimensions_merge_where_every_operand_allows_it, 0, N_MERGES);
    tcase_add_loop_test(t, each_index_comes_once_whatever_the_layouts_threads_and_grain, 0, 12);
    tcase_add_test(t, a_wider_shape_repeats_the_narrower_operand);
    tcase_add_test(t, an_unbroken_block_is_one_row);
    tcase_add_test(t, nothing_is_called_for_an_empty_tensor_and_once_for_a_single_element);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
