/* test_tensor_shape.c - sizes, broadcasting, views and the arguments that name dimensions and sides, against PyTorch's
 * answers. */
#include "tensor_cases.h"

#include <string.h>

enum { MOST = AG_MAX_DIMS };

static ag_tensor sized(int ndim, const int64_t *size) { return tensor_on(NULL, AG_FLOAT32, ndim, size, NULL); }

START_TEST(number_of_elements_is_the_product_and_refuses_what_cannot_be)
{
    static const struct {
        int ndim;
        int64_t size[MOST], numel;
    } rows[] = {
        { 0, { 0 }, 1 },
        { 1, { 0 }, 0 },
        { 3, { 2, 3, 4 }, 24 },
        { 3, { 2, 0, 4 }, 0 },
        { 8, { 1, 2, 1, 2, 1, 2, 1, 2 }, 16 },
        { 2, { 3, -1 }, -1 },
        { 2, { 0, -1 }, -1 },
        { 2, { (int64_t)1 << 28, (int64_t)1 << 28 }, (int64_t)1 << 56 },
        { 2, { (int64_t)1 << 28, ((int64_t)1 << 28) + 1 }, -1 },
        { 3, { (int64_t)1 << 40, (int64_t)1 << 40, (int64_t)1 << 40 }, -1 },
        { 3, { 0, (int64_t)1 << 40, (int64_t)1 << 40 }, -1 }, /* its strides would overflow */
        { 2, { (int64_t)1 << 56, 0 }, 0 },
    };
    ck_assert_int_eq(ag__numel_of(rows[_i].ndim, rows[_i].size), rows[_i].numel);
}
END_TEST
enum { N_NUMEL = 12 };

START_TEST(strides_follow_the_memory_format)
{
    static const struct {
        ag_memory_format format;
        int ndim;
        int64_t size[MOST], stride[MOST];
    } rows[] = {
        { AG_CONTIGUOUS_FORMAT, 3, { 2, 3, 4 }, { 12, 4, 1 } },
        { AG_PRESERVE_FORMAT, 3, { 2, 0, 4 }, { 4, 4, 1 } },
        { AG_BATCH_LAST, 4, { 64, 3, 5, 7 }, { 1, 64 * 35, 64 * 7, 64 } },
        { AG_BATCH_LAST, 2, { 0, 3 }, { 1, 1 } },
        { AG_BATCH_LAST, 1, { 5 }, { 1 } },
        { AG_BATCH_LAST, 0, { 0 }, { 0 } },
        { AG_CHANNELS_LAST, 4, { 64, 3, 5, 7 }, { 3 * 35, 1, 3 * 7, 3 } },
    };
    int64_t stride[MOST] = { 0 };
    ag__format_strides(rows[_i].ndim, rows[_i].size, rows[_i].format, stride);
    ck_assert_mem_eq(stride, rows[_i].stride, sizeof *stride * (size_t)rows[_i].ndim);
}
END_TEST

START_TEST(dimensions_of_size_one_and_empty_tensors_do_not_break_contiguity)
{
    ck_assert(ag__is_contiguous(0, NULL, NULL));
    ck_assert(ag__is_contiguous(3, (int64_t[]){ 2, 1, 3 }, (int64_t[]){ 3, 77, 1 }));
    ck_assert(ag__is_contiguous(2, (int64_t[]){ 0, 3 }, (int64_t[]){ 9, 9 }));
    ck_assert(ag__is_contiguous(2, (int64_t[]){ 3, 0 }, (int64_t[]){ 9, 9 }));
    ck_assert(!ag__is_contiguous(2, (int64_t[]){ 2, 3 }, (int64_t[]){ 1, 2 }));
    ck_assert(!ag__is_contiguous(2, (int64_t[]){ 2, 3 }, (int64_t[]){ 0, 1 }));
    ck_assert(!ag__is_contiguous(2, (int64_t[]){ 2, 3 }, (int64_t[]){ 4, 1 }));
}
END_TEST

START_TEST(shapes_broadcast_from_the_last_dimension)
{
    static const struct {
        int n, ndim[3];
        int64_t size[3][MOST];
        int result_ndim;
        int64_t result[MOST];
    } rows[] = {
        { 1, { 2 }, { { 2, 3 } }, 2, { 2, 3 } },
        { 2, { 2, 2 }, { { 2, 3 }, { 2, 3 } }, 2, { 2, 3 } },
        { 2, { 0, 2 }, { { 0 }, { 2, 3 } }, 2, { 2, 3 } },
        { 2, { 2, 0 }, { { 2, 3 }, { 0 } }, 2, { 2, 3 } },
        { 2, { 3, 2 }, { { 5, 1, 3 }, { 4, 1 } }, 3, { 5, 4, 3 } },
        { 2, { 1, 3 }, { { 3 }, { 5, 4, 1 } }, 3, { 5, 4, 3 } },
        { 2, { 2, 2 }, { { 1, 0 }, { 4, 1 } }, 2, { 4, 0 } },
        { 3, { 1, 2, 3 }, { { 1 }, { 4, 1 }, { 2, 1, 3 } }, 3, { 2, 4, 3 } },
        { 3,
          { 8, 1, 8 },
          { { 1, 1, 1, 1, 1, 1, 1, 2 }, { 1 }, { 2, 1, 2, 1, 2, 1, 2, 1 } },
          8,
          { 2, 1, 2, 1, 2, 1, 2, 2 } },
    };
    ag_tensor x[3];
    const ag_tensor *in[3];
    for (int k = 0; k < rows[_i].n; k++) {
        x[k] = sized(rows[_i].ndim[k], rows[_i].size[k]);
        in[k] = &x[k];
    }
    int ndim;
    int64_t size[MOST];
    ck_assert(ag__broadcast("add", rows[_i].n, in, &ndim, size));
    ck_assert_int_eq(ndim, rows[_i].result_ndim);
    ck_assert_mem_eq(size, rows[_i].result, sizeof *size * (size_t)ndim);
}
END_TEST
enum { N_BROADCAST = 9 };

START_TEST(shapes_that_do_not_fit_give_pytorchs_sentence_and_both_shapes)
{
    ag_tensor a = sized(2, (int64_t[]){ 2, 3 }), b = sized(2, (int64_t[]){ 2, 4 }),
              c = sized(3, (int64_t[]){ 2, 1, 4 });
    ag_tensor d = sized(2, (int64_t[]){ 3, 5 }), row = sized(1, (int64_t[]){ 3 }), five = sized(1, (int64_t[]){ 5 });
    ag_tensor zero = sized(1, (int64_t[]){ 0 });
    int ndim;
    int64_t size[MOST];
    ck_assert(!ag__broadcast("add", 2, (const ag_tensor *[]){ &a, &b }, &ndim, size));
    error_is("add: The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1 "
             "(shapes: [2, 3] and [2, 4])");
    ck_assert(!ag__broadcast("mul", 2, (const ag_tensor *[]){ &c, &d }, &ndim, size));
    error_is("mul: The size of tensor a (4) must match the size of tensor b (5) at non-singleton dimension 2 "
             "(shapes: [2, 1, 4] and [3, 5])");
    ck_assert(!ag__broadcast("addcmul", 3, (const ag_tensor *[]){ &a, &row, &five }, &ndim, size));
    error_is("addcmul: The size of tensor a (3) must match the size of tensor b (5) at non-singleton dimension 1 "
             "(shapes: [2, 3], [3] and [5])");
    ck_assert(!ag__broadcast("add", 2, (const ag_tensor *[]){ &row, &zero }, &ndim, size));
    error_is("add: The size of tensor a (3) must match the size of tensor b (0) at non-singleton dimension 0 (shapes: "
             "[3] and [0])");
}
END_TEST

START_TEST(strides_are_0_where_a_tensor_repeats)
{
    ag_tensor x = tensor_on(NULL, AG_FLOAT32, 3, (int64_t[]){ 1, 3, 1 }, (int64_t[]){ 7, 2, 5 });
    int64_t stride[4];
    ag__broadcast_strides(&x, 4, (int64_t[]){ 6, 4, 3, 1 }, stride);
    ck_assert_mem_eq(stride, ((int64_t[]){ 0, 0, 2, 5 }), sizeof stride);
}
END_TEST

START_TEST(a_view_has_pytorchs_strides_or_is_refused)
{
    cases c = cases_open("tensor_cases.txt", "view");
    int refused = 0;
    while (cases_next(&c)) {
        ag_tensor x = cases_layout(&c);
        int64_t size[MOST], stride[MOST];
        int ndim = (int)cases_int(&c);
        for (int d = 0; d < ndim; d++) size[d] = cases_int(&c);
        bool possible = cases_int(&c);
        ck_assert_msg(ag__view_strides(&x, ndim, size, stride) == possible, "view case %d", c.n);
        refused += !possible;
        for (int d = 0; possible && d < ndim; d++)
            ck_assert_msg(stride[d] == cases_int(&c), "view case %d, dimension %d", c.n, d);
    }
    ck_assert_int_gt(refused, 10);
}
END_TEST

START_TEST(a_missing_size_is_inferred)
{
    static const struct {
        int ndim;
        int64_t shape[MOST], numel, size[MOST];
    } rows[] = {
        { 2, { 2, 3 }, 6, { 2, 3 } }, { 2, { -1, 3 }, 6, { 2, 3 } }, { 3, { 3, -1, 2 }, 6, { 3, 1, 2 } },
        { 1, { -1 }, 0, { 0 } },      { 2, { 3, -1 }, 0, { 3, 0 } }, { 0, { 0 }, 1, { 0 } },
        { 1, { -1 }, 1, { 1 } },      { 2, { 0, 5 }, 0, { 0, 5 } },
    };
    int64_t size[MOST];
    ck_assert(ag__infer_size("view", (ag_shape_list){ rows[_i].ndim, rows[_i].shape }, rows[_i].numel, size));
    ck_assert_mem_eq(size, rows[_i].size, sizeof *size * (size_t)rows[_i].ndim);
}
END_TEST

START_TEST(an_impossible_shape_gives_pytorchs_sentence)
{
    static const struct {
        int ndim;
        int64_t shape[9], numel;
        const char *sentence;
    } rows[] = {
        { 2, { 2, -1 }, 5, "view: shape '[2, -1]' is invalid for input of size 5" },
        { 1, { 5 }, 6, "view: shape '[5]' is invalid for input of size 6" },
        { 0, { 0 }, 6, "view: shape '[]' is invalid for input of size 6" },
        { 2, { -1, 0 }, 6, "view: shape '[-1, 0]' is invalid for input of size 6" },
        { 2, { -1, -1 }, 6, "view: only one dimension can be inferred" },
        { 2, { -2, 3 }, 6, "view: invalid shape dimension -2 at index 0 of shape [-2, 3]" },
        { 2, { -1, -3 }, 6, "view: invalid shape dimension -3 at index 1 of shape [-1, -3]" },
        { 2,
          { 0, -1 },
          0,
          "view: cannot reshape tensor of 0 elements into shape [0, -1] because the unspecified dimension size -1 can "
          "be any value "
          "and is ambiguous" },
        { 2,
          { (int64_t)1 << 40, (int64_t)1 << 40 },
          0,
          "view: shape '[1099511627776, 1099511627776]' is invalid for input of size 0" },
        { 9, { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 1, "view: a shape of 9 dimensions; a Variable has 0 to 8" },
    };
    int64_t size[MOST];
    ck_assert(!ag__infer_size("view", (ag_shape_list){ rows[_i].ndim, rows[_i].shape }, rows[_i].numel, size));
    ck_assert_int_eq(ag_error_code(), AG_EINVAL);
    error_is(rows[_i].sentence);
}
END_TEST

START_TEST(dimensions_count_from_either_end)
{
    ck_assert_int_eq(ag__wrap_dim("sum", 0, 3), 0);
    ck_assert_int_eq(ag__wrap_dim("sum", 2, 3), 2);
    ck_assert_int_eq(ag__wrap_dim("sum", -1, 3), 2);
    ck_assert_int_eq(ag__wrap_dim("sum", -3, 3), 0);
    ck_assert_int_eq(ag__wrap_dim("sum", 0, 0), 0);
    ck_assert_int_eq(ag__wrap_dim("sum", -1, 0), 0);
    ck_assert_int_eq(ag__wrap_dim("sum", 3, 2), -1);
    error_is("sum: Dimension out of range (expected to be in range of [-2, 1], but got 3)");
    ck_assert_int_eq(ag__wrap_dim("sum", 1, 0), -1);
    error_is("sum: Dimension out of range (expected to be in range of [-1, 0], but got 1)");
    ck_assert_int_eq(ag__wrap_dim("sum", INT64_MIN, 2), -1);
    error_is("sum: Dimension out of range (expected to be in range of [-2, 1], but got -9223372036854775808)");
}
END_TEST

START_TEST(a_dims_argument_is_unpacked)
{
    int64_t part[AG_MAX_DIMS];
    ck_assert_int_eq(ag__dims_of(AG_ALL, part), -1);
    ck_assert_int_eq(ag__dims_of(3, part), 1);
    ck_assert_int_eq(part[0], 3);
    ck_assert_int_eq(ag__dims_of(-2, part), 1);
    ck_assert_int_eq(part[0], -2);
    ck_assert_int_eq(ag__dims_of(AG_DIMS(0, -1, 5), part), 3);
    ck_assert_mem_eq(part, ((int64_t[]){ 0, -1, 5 }), 3 * sizeof *part);
    ck_assert_int_eq(ag__dims_of(AG_DIMS(-8, -7, -6, -5, -4, -3, -2, -1), part), 8);
    ck_assert_mem_eq(part, ((int64_t[]){ -8, -7, -6, -5, -4, -3, -2, -1 }), 8 * sizeof *part);
    ck_assert_int_eq(ag__dims_of(AG_DIMS(0, 1, 2, 3, 4, 5, 100), part), 7);
    ck_assert_int_eq(part[6], 31);
}
END_TEST

START_TEST(a_dims_argument_becomes_a_mask)
{
    static const struct {
        ag_dims dims;
        int ndim;
        uint32_t mask;
        const char *sentence;
    } rows[] = {
        { AG_ALL, 3, 7, NULL },
        { AG_ALL, 0, 0, NULL },
        { AG_ALL, 8, 255, NULL },
        { 1, 3, 2, NULL },
        { -1, 3, 4, NULL },
        { -1, 0, 0, NULL },
        { AG_DIMS(0, -1), 3, 5, NULL },
        { AG_DIMS(0, -2), 2, 0, "sum: dim 0 appears multiple times in the list of dims" },
        { AG_DIMS(0, -1), 0, 0, "sum: dim 0 appears multiple times in the list of dims" },
        { 2, 2, 0, "sum: Dimension out of range (expected to be in range of [-2, 1], but got 2)" },
        { AG_DIMS(0, -100), 2, 0, "sum: Dimension out of range (expected to be in range of [-2, 1], but got -32)" },
    };
    uint32_t mask = 99;
    bool fine = ag__dims_mask("sum", rows[_i].dims, rows[_i].ndim, &mask);
    ck_assert_int_eq(fine, rows[_i].sentence == NULL);
    if (fine)
        ck_assert_uint_eq(mask, rows[_i].mask);
    else
        error_is(rows[_i].sentence);
}
END_TEST

START_TEST(a_size_argument_is_a_number_for_every_side_or_a_tuple)
{
    static const struct {
        ag_sizes size;
        int n, parts;
        bool fits;
        int64_t side[3];
    } rows[] = {
        { 5, 2, 0, true, { 5, 5 } },
        { 0, 2, 0, true, { 0, 0 } },
        { -1, 3, 0, true, { -1, -1, -1 } },
        { 3000000, 1, 0, true, { 3000000 } },
        { AG_SIZE(5), 2, 1, true, { 5, 5 } },
        { AG_SIZE(5, 3), 2, 2, true, { 5, 3 } },
        { AG_SIZE(0, -1), 2, 2, true, { 0, -1 } },
        { AG_SIZE(1, 2, 3), 3, 3, true, { 1, 2, 3 } },
        { AG_SIZE(1, 2, 3), 2, 3, false, { 0 } },
        { AG_SIZE(1, 2), 3, 2, false, { 0 } },
        { AG_SIZE(524287, -524287), 2, 2, true, { 524287, -524287 } },
        { AG_SIZE(1, 600000), 2, 2, true, { 1, AG_SIDE_INVALID } },
    };
    int64_t side[3];
    ck_assert_int_eq(ag__size_parts(rows[_i].size), rows[_i].parts);
    ck_assert_int_eq(ag__size_sides(rows[_i].size, rows[_i].n, side), rows[_i].fits);
    if (rows[_i].fits) ck_assert_mem_eq(side, rows[_i].side, sizeof *side * (size_t)rows[_i].n);
}
END_TEST

START_TEST(shapes_and_tensors_are_named_in_sentences)
{
    char text[AG_TEXT];
    ck_assert_str_eq(ag__shape_text(0, NULL, text, sizeof text), "[]");
    ck_assert_str_eq(ag__shape_text(2, (int64_t[]){ 2, -1 }, text, sizeof text), "[2, -1]");
    ag_tensor x = sized(4, (int64_t[]){ 64, 3, 28, 28 });
    ck_assert_str_eq(ag__tensor_text(&x, text, sizeof text), "[64, 3, 28, 28] float32 cpu");
    int64_t large[AG_MAX_DIMS];
    for (int d = 0; d < AG_MAX_DIMS; d++) large[d] = INT64_MIN;
    ck_assert_uint_lt(strlen(ag__shape_text(AG_MAX_DIMS, large, text, sizeof text)), sizeof text - 1);
    char little[8];
    ck_assert_str_eq(ag__tensor_text(&x, little, sizeof little), "[64, 3,");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/shape");
    TCase *t = tcase_create("shape");
    tcase_add_loop_test(t, number_of_elements_is_the_product_and_refuses_what_cannot_be, 0, N_NUMEL);
    tcase_add_loop_test(t, strides_follow_the_memory_format, 0, 6);
    tcase_add_test(t, dimensions_of_size_one_and_empty_tensors_do_not_break_contiguity);
    tcase_add_loop_test(t, shapes_broadcast_from_the_last_dimension, 0, N_BROADCAST);
    tcase_add_test(t, shapes_that_do_not_fit_give_pytorchs_sentence_and_both_shapes);
    tcase_add_test(t, strides_are_0_where_a_tensor_repeats);
    tcase_add_test(t, a_view_has_pytorchs_strides_or_is_refused);
    tcase_add_loop_test(t, a_missing_size_is_inferred, 0, 8);
    tcase_add_loop_test(t, an_impossible_shape_gives_pytorchs_sentence, 0, 10);
    tcase_add_test(t, dimensions_count_from_either_end);
    tcase_add_test(t, a_dims_argument_is_unpacked);
    tcase_add_loop_test(t, a_dims_argument_becomes_a_mask, 0, 11);
    tcase_add_loop_test(t, a_size_argument_is_a_number_for_every_side_or_a_tuple, 0, 12);
    tcase_add_test(t, shapes_and_tensors_are_named_in_sentences);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
