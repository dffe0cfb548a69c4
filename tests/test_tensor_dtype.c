/* test_tensor_dtype.c - types and devices: names, promotion as PyTorch's tables have it, single elements. */
#include "tensor_cases.h"

#include <math.h>
#include <string.h>

START_TEST(types_have_pytorchs_names_and_sizes)
{
    static const struct {
        ag_dtype dtype;
        const char *name;
        size_t size;
        bool floating;
    } rows[] = {
        { AG_FLOAT32, "float32", 4, true },        { AG_FLOAT64, "float64", 8, true },
        { AG_INT64, "int64", 8, false },           { AG_INT32, "int32", 4, false },
        { AG_UINT8, "uint8", 1, false },           { AG_BOOL, "bool", 1, false },
        { AG_DTYPE_DEFAULT, "default", 0, false }, { (ag_dtype)6, "unknown", 0, false },
    };
    ck_assert_str_eq(ag_dtype_name(rows[_i].dtype), rows[_i].name);
    ck_assert_uint_eq(ag_dtype_size(rows[_i].dtype), rows[_i].size);
    ck_assert_int_eq(ag_dtype_is_floating_point(rows[_i].dtype), rows[_i].floating);
}
END_TEST

START_TEST(the_default_type_is_float32_until_it_is_set_to_a_floating_type)
{
    ck_assert_int_eq(ag_get_default_dtype(), AG_FLOAT32);
    ck_assert(ag_set_default_dtype(AG_FLOAT64));
    ck_assert_int_eq(ag_get_default_dtype(), AG_FLOAT64);
    ck_assert(!ag_set_default_dtype(AG_INT64));
    error_is("set_default_dtype: only floating-point types are supported as the default type, not int64");
    ck_assert_int_eq(ag_get_default_dtype(), AG_FLOAT64);
    ck_assert(ag_set_default_dtype(AG_FLOAT32));
}
END_TEST

START_TEST(two_types_promote_as_in_pytorch)
{
    static const ag_dtype table[AG_N_DTYPES][AG_N_DTYPES] = {
        { 0, 1, 0, 0, 0, 0 }, { 1, 1, 1, 1, 1, 1 }, { 0, 1, 2, 2, 2, 2 },
        { 0, 1, 2, 3, 3, 3 }, { 0, 1, 2, 3, 4, 4 }, { 0, 1, 2, 3, 4, 5 },
    };
    for (int a = 0; a < AG_N_DTYPES; a++)
        for (int b = 0; b < AG_N_DTYPES; b++) ck_assert_int_eq(ag_promote_types((ag_dtype)a, (ag_dtype)b), table[a][b]);
    ck_assert_int_eq(ag_promote_types((ag_dtype)9, AG_FLOAT32), AG_DTYPE_DEFAULT);
    error_is("promote_types: 9 is not a dtype");
}
END_TEST

START_TEST(what_may_be_written_in_place_is_what_pytorch_lets_cast)
{
    static const bool table[AG_N_DTYPES][AG_N_DTYPES] = {
        { 1, 1, 0, 0, 0, 0 }, { 1, 1, 0, 0, 0, 0 }, { 1, 1, 1, 1, 1, 0 },
        { 1, 1, 1, 1, 1, 0 }, { 1, 1, 1, 1, 1, 0 }, { 1, 1, 1, 1, 1, 1 },
    };
    for (int a = 0; a < AG_N_DTYPES; a++)
        for (int b = 0; b < AG_N_DTYPES; b++) ck_assert_int_eq(ag__can_cast((ag_dtype)a, (ag_dtype)b), table[a][b]);
}
END_TEST

static ag_tensor operand(cases *c)
{
    char kind = *cases_word(c);
    ag_tensor x = tensor_on(NULL, cases_dtype(c), kind == 'd', (int64_t[]){ 2 }, NULL);
    x.wrapped = kind == 'n';
    return x;
}

START_TEST(dimensions_beat_0_dim_tensors_which_beat_numbers)
{
    cases c = cases_open("tensor_cases.txt", "type");
    while (cases_next(&c)) {
        ag_tensor x[2];
        ck_assert_int_eq(cases_int(&c), 2);
        x[0] = operand(&c);
        x[1] = operand(&c);
        ck_assert_msg(ag__result_type(2, (const ag_tensor *[]){ &x[0], &x[1] }) == cases_dtype(&c), "type case %d",
                      c.n);
    }
    ck_assert_int_eq(c.n, 15 * 15);
}
END_TEST

START_TEST(a_fractional_number_takes_the_default_type)
{
    ag_tensor number = tensor_on(NULL, AG_FLOAT64, 0, NULL, NULL),
              ints = tensor_on(NULL, AG_INT32, 1, (int64_t[]){ 2 }, NULL);
    number.wrapped = true;
    const ag_tensor *both[] = { &ints, &number };
    ck_assert_int_eq(ag__result_type(2, both), AG_FLOAT32);
    ck_assert(ag_set_default_dtype(AG_FLOAT64));
    ck_assert_int_eq(ag__result_type(2, both), AG_FLOAT64);
    ck_assert(ag_set_default_dtype(AG_FLOAT32));
    ag_tensor zero_dim = tensor_on(NULL, AG_FLOAT64, 0, NULL, NULL),
              row = tensor_on(NULL, AG_UINT8, 1, (int64_t[]){ 2 }, NULL);
    ck_assert_int_eq(ag__result_type(3, (const ag_tensor *[]){ &row, &number, &zero_dim }), AG_FLOAT64);
    ck_assert_int_eq(ag__result_type(1, (const ag_tensor *[]){ &number }), AG_FLOAT32);
}
END_TEST

START_TEST(a_single_element_is_stored_and_loaded)
{
    static const struct {
        ag_dtype dtype;
        double in, out;
    } rows[] = {
        { AG_FLOAT32, 0.1, (double)0.1f },
        { AG_FLOAT32, 1e300, INFINITY },
        { AG_FLOAT64, 0.1, 0.1 },
        { AG_INT64, -1.9, -1 },
        { AG_INT64, NAN, -0x1p63 },
        { AG_INT64, 0x1p63, -0x1p63 },
        { AG_INT64, -0x1p63, -0x1p63 },
        { AG_INT32, 2147483647, 2147483647 },
        { AG_INT32, 2147483647.5, 2147483647 },
        { AG_INT32, 2147483648, -0x1p31 },
        { AG_INT32, -2147483648.9, -0x1p31 },
        { AG_INT32, -INFINITY, -0x1p31 },
        { AG_UINT8, 300.7, 44 },
        { AG_UINT8, -1.5, 255 },
        { AG_UINT8, NAN, 0 },
        { AG_UINT8, 4294967301.0, 5 },
        { AG_BOOL, 0.25, 1 },
        { AG_BOOL, -0.0, 0 },
        { AG_BOOL, NAN, 1 },
        { AG_BOOL, 256, 1 },
    };
    char at[8];
    ag__store(at, rows[_i].dtype, rows[_i].in);
    ck_assert_double_eq(ag__load(at, rows[_i].dtype), rows[_i].out);
    if (rows[_i].dtype != AG_FLOAT32 && rows[_i].dtype != AG_FLOAT64)
        ck_assert_int_eq(ag__load_int64(at, rows[_i].dtype), (int64_t)rows[_i].out);
}
END_TEST
enum { N_ELEMENTS = 20 };

START_TEST(nan_passes_through_floating_elements)
{
    char at[8];
    ag__store(at, AG_FLOAT32, NAN);
    ck_assert(isnan(ag__load(at, AG_FLOAT32)));
    ck_assert_int_eq(ag__load_int64(at, AG_FLOAT32), INT64_MIN);
    ag__store(at, AG_FLOAT64, NAN);
    ck_assert(isnan(ag__load(at, AG_FLOAT64)));
    ck_assert_int_eq(ag__load_int64(at, AG_FLOAT64), INT64_MIN);
}
END_TEST

START_TEST(large_integers_survive_the_int64_forms_and_wrap_in_smaller_types)
{
    static const int64_t large = (1LL << 53) + 1;
    static const int64_t out[AG_N_DTYPES] = { 1LL << 53, 1LL << 53, (1LL << 53) + 1, 1, 1, 1 };
    char at[8];
    for (int dtype = 0; dtype < AG_N_DTYPES; dtype++) {
        ag__store_int64(at, (ag_dtype)dtype, large);
        ck_assert_int_eq(ag__load_int64(at, (ag_dtype)dtype), out[dtype]);
    }
    ag__store_int64(at, AG_UINT8, -1);
    ck_assert_int_eq(ag__load_int64(at, AG_UINT8), 255);
    ag__store_int64(at, AG_BOOL, 256);
    ck_assert_int_eq(ag__load_int64(at, AG_BOOL), 1);
}
END_TEST

START_TEST(any_byte_but_0_in_a_bool_is_true)
{
    char byte = (char)0x80;
    ck_assert_double_eq(ag__load(&byte, AG_BOOL), 1);
    ck_assert_int_eq(ag__load_int64(&byte, AG_BOOL), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/dtype");
    TCase *t = tcase_create("dtype");
    tcase_add_loop_test(t, types_have_pytorchs_names_and_sizes, 0, 8);
    tcase_add_test(t, the_default_type_is_float32_until_it_is_set_to_a_floating_type);
    tcase_add_test(t, two_types_promote_as_in_pytorch);
    tcase_add_test(t, what_may_be_written_in_place_is_what_pytorch_lets_cast);
    tcase_add_test(t, dimensions_beat_0_dim_tensors_which_beat_numbers);
    tcase_add_test(t, a_fractional_number_takes_the_default_type);
    tcase_add_loop_test(t, a_single_element_is_stored_and_loaded, 0, N_ELEMENTS);
    tcase_add_test(t, nan_passes_through_floating_elements);
    tcase_add_test(t, large_integers_survive_the_int64_forms_and_wrap_in_smaller_types);
    tcase_add_test(t, any_byte_but_0_in_a_bool_is_true);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
