/* test_tensor_copy.c - copying between all types and layouts: values as PyTorch's, every element in its place, nothing
 * beside it. */
#include "tensor_cases.h"

#include "tensor/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = AG_MAX_DIMS, MANY = 20 };

/* ---- values ---- */

static void put_value(char *at, ag_dtype dtype, const char *text)
{
    if (ag_dtype_is_floating_point(dtype))
        ag__store(at, dtype, strtod(text, NULL));
    else
        ag__store_int64(at, dtype, strtoll(text, NULL, 10));
}

static bool is_value(const char *at, ag_dtype dtype, const char *text)
{
    if (!ag_dtype_is_floating_point(dtype)) return ag__load_int64(at, dtype) == strtoll(text, NULL, 10);
    double value = ag__load(at, dtype), expected = strtod(text, NULL);
    if (isnan(expected)) return isnan(value);
    return value == expected && signbit(value) == signbit(expected);
}

/* Valgrind takes an int64 to a float32 by way of a float64 and so rounds this one twice; the machine does not. */
static bool beyond_valgrind(const char *before, ag_dtype to_type)
{
    return getenv("AG_TEST_VALGRIND") && to_type == AG_FLOAT32 && strcmp(before, "4611686293305294849") == 0;
}

START_TEST(every_value_converts_as_in_pytorch_in_every_kind_of_loop)
{
    cases c = cases_open("tensor_cases.txt", "convert");
    while (cases_next(&c)) {
        ag_dtype from_type = cases_dtype(&c);
        const char *before = cases_word(&c);
        ag_dtype to_type = cases_dtype(&c);
        const char *after = cases_word(&c);
        if (beyond_valgrind(before, to_type)) continue;
        static double from[2 * MANY * MANY], to[2 * MANY * MANY];
        int64_t item = (int64_t)ag_dtype_size(from_type);
        for (int i = 0; i < 2 * MANY * MANY; i++) put_value((char *)from + i * item, from_type, before);

        static const struct {
            int ndim;
            int64_t size[2], to_stride[2], from_stride[2];
        } layouts[] = {
            { 0, { 0 }, { 0 }, { 0 } },                      /* one */
            { 1, { MANY - 3 }, { 1 }, { 1 } },               /* in vectors, with a tail */
            { 1, { MANY }, { 1 }, { 0 } },                   /* one value repeated */
            { 1, { MANY }, { 1 }, { 2 } },                   /* strided */
            { 1, { MANY }, { 2 }, { 1 } },                   /* strided on the other side */
            { 2, { MANY, MANY }, { MANY, 1 }, { 1, MANY } }, /* in tiles */
        };
        for (size_t k = 0; k < sizeof layouts / sizeof *layouts; k++) {
            ag_tensor x = tensor_on(from, from_type, layouts[k].ndim, layouts[k].size, layouts[k].from_stride);
            ag_tensor y = tensor_on(to, to_type, layouts[k].ndim, layouts[k].size, layouts[k].to_stride);
            memset(to, 0x55, sizeof to);
            ag__copy_elements(&y, &x);
            int64_t right = 0;
            while (right < y.numel && is_value(tensor_at(&y, right), to_type, after)) right++;
            ck_assert_msg(right == y.numel, "%s %s to %s, layout %zu, element %lld", ag_dtype_name(from_type), before,
                          ag_dtype_name(to_type), k, (long long)right);
        }
    }
}
END_TEST

START_TEST(any_byte_in_a_bool_reads_as_0_or_1)
{
    unsigned char bytes[] = { 0, 1, 2, 128, 255 };
    float to[5];
    ag_tensor x = tensor_on(bytes, AG_BOOL, 1, (int64_t[]){ 5 }, NULL),
              y = tensor_on(to, AG_FLOAT32, 1, (int64_t[]){ 5 }, NULL);
    ag__copy_elements(&y, &x);
    ck_assert_mem_eq(to, ((float[]){ 0, 1, 1, 1, 1 }), sizeof to);
}
END_TEST

/* ---- places ---- */

enum { ROOM = 1 << 18 };
static char to_bytes[8 * ROOM], from_bytes[8 * ROOM];

/* Copies and compares each element with the one at the same index, and the bytes between the elements with what stood
 * there. */
static void check_copy(ag_tensor y, ag_tensor x)
{
    static char before[sizeof to_bytes];
    size_t item = ag__itemsize(&y);
    memcpy(before, to_bytes, sizeof before);
    ag__copy_elements(&y, &x);
    ag_tensor wide = y; /* x under y's shape */
    wide.data = x.data;
    wide.dtype = x.dtype;
    ag__broadcast_strides(&x, y.ndim, y.size, wide.stride);
    int64_t wrong = 0;
    for (int64_t i = 0; i < y.numel; i++) {
        const char *a = tensor_at(&y, i), *b = tensor_at(&wide, i);
        if (x.dtype == y.dtype)
            wrong += memcmp(a, b, item) != 0;
        else
            wrong += ag__load_int64(a, (ag_dtype)y.dtype) != ag__load_int64(b, (ag_dtype)x.dtype);
        memcpy(before + (a - to_bytes), a, item);
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert_mem_eq(to_bytes, before, sizeof before);
}

/* Whole numbers from 0 to `most`; trues and falses. */
static void fill_from(ag_dtype dtype, int most)
{
    for (int i = 0; i < ROOM; i++)
        ag__store(from_bytes + (size_t)i * ag_dtype_size(dtype), dtype,
                  dtype == AG_BOOL ? i % 3 == 0 : i * 7919LL % (most + 1));
    for (size_t i = 0; i < sizeof to_bytes; i++) to_bytes[i] = (char)(i * 31 + 5);
}

START_TEST(elements_keep_their_places_in_every_layout)
{
    static const struct {
        int ndim;
        int64_t size[MOST], to[MOST], from[MOST];
    } rows[] = {
        { 2, { 50, 70 }, { 70, 1 }, { 1, 50 } },                         /* a transposed matrix */
        { 2, { 50, 70 }, { 1, 50 }, { 70, 1 } },                         /* and the other way */
        { 2, { 128, 64 }, { 64, 1 }, { 1, 128 } },                       /* whole squares */
        { 2, { 129, 67 }, { 67, 1 }, { 1, 129 } },                       /* edges */
        { 2, { 3, 1000 }, { 1000, 1 }, { 1, 3 } },                       /* narrow */
        { 2, { 1000, 3 }, { 3, 1 }, { 1, 1000 } },                       /* narrow the other way */
        { 2, { 7, 5 }, { 5, 1 }, { 1, 7 } },                             /* smaller than a square */
        { 2, { 20, 30 }, { 40, 1 }, { 2, 50 } },                         /* with gaps: no side element by element */
        { 4, { 64, 3, 5, 7 }, { 105, 35, 7, 1 }, { 1, 2240, 448, 64 } }, /* batch-last to contiguous */
        { 4, { 64, 3, 5, 7 }, { 1, 2240, 448, 64 }, { 105, 35, 7, 1 } }, /* and back */
        { 4, { 6, 3, 11, 13 }, { 429, 143, 13, 1 }, { 429, 1, 39, 3 } }, /* channels-last to contiguous */
        { 4, { 6, 3, 11, 13 }, { 429, 1, 39, 3 }, { 429, 143, 13, 1 } }, /* and back */
        { 3, { 17, 19, 23 }, { 437, 23, 1 }, { 1, 17, 323 } },           /* all turned round */
        { 3, { 17, 19, 23 }, { 437, 23, 1 }, { 23, 391, 1 } },           /* rows in another order */
        { 3, { 5, 6, 7 }, { 42, 7, 1 }, { 0, 7, 1 } },                   /* expanded */
        { 3, { 40, 6, 30 }, { 180, 30, 1 }, { 1, 0, 40 } },              /* expanded and turned */
        { 3, { 400, 3, 70 }, { 210, 70, 1 }, { 1, 28000, 400 } },        /* more than one task */
        { 8, { 2, 3, 2, 3, 2, 3, 2, 3 }, { 648, 216, 108, 36, 18, 6, 3, 1 }, { 1, 2, 6, 12, 36, 72, 216, 432 } },
        { 1, { 100000 }, { 1 }, { 2 } },
        { 1, { 200000 }, { 1 }, { 1 } },
        { 1, { 0 }, { 1 }, { 1 } },
        { 0, { 0 }, { 0 }, { 0 } },
    };
    static const ag_dtype pairs[][2] = { { AG_FLOAT32, AG_FLOAT32 }, { AG_FLOAT64, AG_FLOAT64 }, { AG_UINT8, AG_UINT8 },
                                         { AG_INT64, AG_INT64 },     { AG_INT32, AG_INT32 },     { AG_BOOL, AG_BOOL },
                                         { AG_BOOL, AG_FLOAT64 },    { AG_BOOL, AG_UINT8 } };
    ck_assert(ag_set_num_threads(2));
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        fill_from(pairs[k][1], pairs[k][0] == pairs[k][1] ? 200 : 1);
        ag_tensor x = tensor_on(from_bytes, pairs[k][1], rows[_i].ndim, rows[_i].size, rows[_i].from);
        ag_tensor y = tensor_on(to_bytes, pairs[k][0], rows[_i].ndim, rows[_i].size, rows[_i].to);
        check_copy(y, x);
    }
}
END_TEST
enum { N_LAYOUTS = 22 };

/* Large ones go past the caches where their rows begin lines. The number at [i][j] tells both. */
START_TEST(large_matrices_keep_their_places_when_they_are_turned)
{
    static const struct {
        ag_dtype dtype;
        int64_t rows, columns, gap; /* in front of the first row */
    } large[] = {
        { AG_FLOAT32, 1501, 1600, 0 }, { AG_FLOAT32, 1501, 1600, 1 }, { AG_FLOAT32, 1600, 1501, 0 },
        { AG_FLOAT64, 1103, 1000, 0 }, { AG_UINT8, 3001, 3008, 0 },
    };
    const int64_t rows = large[_i].rows, columns = large[_i].columns, item = (int64_t)ag_dtype_size(large[_i].dtype);
    char *from = malloc((size_t)(rows * columns * item)), *memory = aligned_alloc(64, (1 << 20) * 10);
    ck_assert(from && memory);
    char *to = memory + large[_i].gap * item;
    const int64_t size[2] = { rows, columns };
    for (int64_t i = 0; i < rows * columns; i++) ag__store_int64(from + i * item, large[_i].dtype, i % 8191);
    ag_tensor x = tensor_on(from, large[_i].dtype, 2, size, (int64_t[]){ 1, rows });
    ag_tensor y = tensor_on(to, large[_i].dtype, 2, size, NULL);
    ck_assert(ag_set_num_threads(2));
    ag__copy_elements(&y, &x);
    int64_t wrong = 0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            wrong += memcmp(to + (i * columns + j) * item, from + (j * rows + i) * item, (size_t)item) != 0;
    ck_assert_int_eq(wrong, 0);
    free(from);
    free(memory);
}
END_TEST
enum { N_LARGE = 5 };

START_TEST(a_narrower_tensor_repeats)
{
    fill_from(AG_FLOAT32, 200);
    ag_tensor y = tensor_on(to_bytes, AG_FLOAT32, 3, (int64_t[]){ 4, 5, 6 }, NULL);
    check_copy(y, tensor_on(from_bytes, AG_FLOAT32, 0, NULL, NULL));
    check_copy(y, tensor_on(from_bytes, AG_FLOAT32, 1, (int64_t[]){ 6 }, NULL));
    check_copy(y, tensor_on(from_bytes, AG_FLOAT32, 2, (int64_t[]){ 5, 1 }, NULL));
    check_copy(y, tensor_on(from_bytes, AG_FLOAT32, 3, (int64_t[]){ 4, 1, 6 }, NULL));
}
END_TEST

START_TEST(a_tensor_copied_onto_itself_stays)
{
    fill_from(AG_INT32, 200);
    ag_tensor x = tensor_on(from_bytes, AG_INT32, 2, (int64_t[]){ 30, 20 }, (int64_t[]){ 1, 30 });
    static char before[600 * 4];
    memcpy(before, from_bytes, sizeof before);
    ag__copy_elements(&x, &x);
    ck_assert_mem_eq(from_bytes, before, sizeof before);
}
END_TEST

START_TEST(a_number_fills_any_layout_and_nothing_beside_it)
{
    static const double values[] = { 0, 1, -1, 2.5, 300, NAN };
    static const struct {
        int ndim;
        int64_t size[MOST], stride[MOST];
    } layouts[] = { { 0, { 0 }, { 0 } },       { 1, { 37 }, { 1 } },         { 1, { 37 }, { 3 } },
                    { 2, { 5, 7 }, { 9, 1 } }, { 2, { 20, 30 }, { 1, 20 } }, { 1, { 200000 }, { 1 } },
                    { 2, { 0, 3 }, { 3, 1 } } };
    static char before[sizeof to_bytes];
    for (int dtype = 0; dtype < AG_N_DTYPES; dtype++)
        for (size_t k = 0; k < sizeof layouts / sizeof *layouts; k++) {
            fill_from(AG_UINT8, 200);
            memcpy(before, to_bytes, sizeof before);
            ag_tensor y = tensor_on(to_bytes, (ag_dtype)dtype, layouts[k].ndim, layouts[k].size, layouts[k].stride);
            ag__fill_elements(&y, values[_i]);
            for (int64_t i = 0; i < y.numel; i++)
                ag__store(before + (tensor_at(&y, i) - to_bytes), (ag_dtype)dtype, values[_i]);
            ck_assert_mem_eq(to_bytes, before, sizeof before);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/copy");
    TCase *t = tcase_create("copy");
    tcase_set_timeout(t, 240);
    tcase_add_test(t, every_value_converts_as_in_pytorch_in_every_kind_of_loop);
    tcase_add_test(t, any_byte_in_a_bool_reads_as_0_or_1);
    tcase_add_loop_test(t, elements_keep_their_places_in_every_layout, 0, N_LAYOUTS);
    tcase_add_loop_test(t, large_matrices_keep_their_places_when_they_are_turned, 0, N_LARGE);
    tcase_add_test(t, a_narrower_tensor_repeats);
    tcase_add_test(t, a_tensor_copied_onto_itself_stays);
    tcase_add_loop_test(t, a_number_fills_any_layout_and_nothing_beside_it, 0, 6);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
