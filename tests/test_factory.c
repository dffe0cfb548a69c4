/* test_factory.c - Variables made from shapes, from the program's memory and from numbers. */
#include "op_cases.h"
#include "support.h"

#include <argent/call.h>

#include <stdio.h>

START_TEST(factories_do_what_pytorchs_do) { replay("factory"); }
END_TEST

START_TEST(every_factory_can_be_called_directly)
{
    Variable *like = ag_t(ag_zeros(AG_SHAPE(2, 3), .dtype = AG_INT32));
    SHAPE(ag_empty(AG_SHAPE(2, 3)), 2, 3);
    VALUES(ag_zeros(AG_SHAPE(2)), 0, 0);
    VALUES(ag_ones(AG_SHAPE(2), AG_FLOAT64), 1, 1);
    VALUES(ag_full(AG_SHAPE(2), 0.5), 0.5, 0.5);
    VALUES(ag_full(AG_SCALAR_SHAPE, 7), 7);
    VALUES(ag_full_like(like, 2), 2, 2, 2, 2, 2, 2);
    OK(ag_dtype_of(ag_ones_like(like)) == AG_INT32 && ag_dtype_of(ag_ones_like(like, AG_FLOAT64)) == AG_FLOAT64);
    OK(ag_stride(ag_zeros_like(like)).at[0] == 1 &&
       ag_is_contiguous(ag_zeros_like(like, .memory_format = AG_CONTIGUOUS_FORMAT)));
    OK(ag_stride(ag_empty_like(like)).at[0] == 1);
    VALUES(ag_eye(2), 1, 0, 0, 1);
    VALUES(ag_eye(1, 2), 1, 0);
    VALUES(ag_linspace(0, 1, 3), 0, 0.5, 1);
    OK(ag_stride(ag_zeros(AG_SHAPE(2, 3, 4), .memory_format = AG_BATCH_LAST)).at[0] == 1);
    REFUSED(ag_zeros(AG_SHAPE(2), .memory_format = AG_BATCH_LAST), "at least two dimensions");
    OK(ag_stride(ag_zeros(AG_SHAPE(2, 3, 4, 5), .memory_format = AG_CHANNELS_LAST)).at[1] == 1);
    REFUSED(ag_zeros(AG_SHAPE(2, 3), .memory_format = AG_CHANNELS_LAST), "required rank 4 tensor to use channels_last");
    REFUSED(ag_zeros(AG_SHAPE(2, -1)), "Dimension size must be non-negative");
    REFUSED(ag_zeros(AG_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1)), "at most 8 dimensions");
    REFUSED(ag_zeros(AG_SHAPE((int64_t)1 << 40, (int64_t)1 << 40)), "is not possible");
}
END_TEST

START_TEST(whole_numbers_make_an_int64_range_and_others_a_floating_one)
{
    OK(ag_dtype_of(ag_arange(5)) == AG_INT64);
    VALUES(ag_arange(5), 0, 1, 2, 3, 4);
    VALUES(ag_arange(.end = 3), 0, 1, 2);
    VALUES(ag_arange(1, 8, 3), 1, 4, 7);
    VALUES(ag_arange(3, .step = 2), 0, 2);
    OK(ag_dtype_of(ag_arange(0, 1, 0.25)) == AG_FLOAT32);
    OK(ag_dtype_of(ag_arange(5, .dtype = AG_FLOAT64)) == AG_FLOAT64);
    SHAPE(ag_arange(0), 0);
}
END_TEST

START_TEST(a_factory_makes_a_leaf_that_wants_a_gradient_even_without_grad_mode)
{
    AG_NO_GRAD;
    Variable *x = ag_ones(AG_SHAPE(2), .requires_grad = true);
    OK(ag_requires_grad(x) && ag_is_leaf(x) && !ag_requires_grad(ag_ones_like(x)));
    OK(ag_requires_grad(ag_zeros_like(x, .requires_grad = true)) && ag_requires_grad(ag_eye(2, .requires_grad = true)));
    REFUSED(ag_ones(AG_SHAPE(2), .dtype = AG_INT64, .requires_grad = true),
            "Only Tensors of floating point and complex dtype can require gradients");
    AG_ENABLE_GRAD;
    OK(!ag_requires_grad(ag_ones_like(x)) && !ag_grad_fn(ag_full_like(x, 3)));
}
END_TEST

START_TEST(the_default_type_can_be_changed)
{
    OK(ag_set_default_dtype(AG_FLOAT64));
    OK(ag_dtype_of(ag_zeros(AG_SHAPE(1))) == AG_FLOAT64 && ag_dtype_of(ag_arange(0.5)) == AG_FLOAT64);
    OK(ag_set_default_dtype(AG_FLOAT32));
}
END_TEST

/* ---- the program's memory ---- */

START_TEST(tensor_from_copies_and_copy_to_copies_back)
{
    float numbers[6] = { 1, 2, 3, 4, 5, 6 };
    Variable *x = ag_tensor(numbers, AG_SHAPE(2, 3));
    numbers[0] = 9;
    VALUES(x, 1, 2, 3, 4, 5, 6);
    OK(ag_dtype_of(x) == AG_FLOAT32 && ag_dtype_of(ag_tensor(((unsigned char[]){ 1 }), AG_SHAPE(1))) == AG_UINT8);
    int64_t out[6];
    OK(ag_copy_to(ag_t(x), out, AG_INT64));
    ck_assert_int_eq(out[1], 4);
    ck_assert_int_eq(out[5], 6);
    OK(ag_copy_to(ag_zeros(AG_SHAPE(0)), NULL, AG_FLOAT32));
    REFUSED(ag_copy_to(x, NULL, AG_FLOAT32), "copy_to: out is NULL");
    REFUSED(ag_copy_to(NULL, out, AG_FLOAT32), "copy_to: input is NULL");
    REFUSED(ag_copy_to(x, out, (ag_dtype)42), "no dtype 42");
    REFUSED(ag_tensor_from(NULL, AG_SHAPE(2), AG_FLOAT32), "tensor: data is NULL");
    REFUSED(ag_tensor_from(numbers, AG_SHAPE(-2), AG_FLOAT32), "is not possible");
    REFUSED(ag_tensor_from(numbers, AG_SHAPE(2), (ag_dtype)-1), "no dtype");
    SHAPE(ag_tensor_from(NULL, AG_SHAPE(2, 0), AG_FLOAT32), 2, 0);
}
END_TEST

static void count_end(void *data, void *user)
{
    (void)data;
    ++*(int *)user;
}
START_TEST(tensor_takes_its_options_by_name)
{
    double rows[3][2] = { { 1, 2 }, { 3, 4 }, { 5.5, 6 } };
    Variable *x = ag_tensor(*rows, AG_SHAPE(3, 2), .requires_grad = true);
    VALUES(x, 1, 2, 3, 4, 5.5, 6);
    OK(ag_dtype_of(x) == AG_FLOAT64 && ag_requires_grad(x) && ag_is_leaf(x));
    x = ag_tensor(*rows, AG_SHAPE(3, 2), .dtype = AG_FLOAT32, .requires_grad = true);
    VALUES(x, 1, 2, 3, 4, 5.5, 6);
    OK(ag_dtype_of(x) == AG_FLOAT32 && ag_requires_grad(x) && ag_is_leaf(x));
    x = ag_tensor(*rows, AG_SHAPE(6), .dtype = AG_INT64, .device = AG_CPU);
    VALUES(x, 1, 2, 3, 4, 5, 6);
    OK(ag_dtype_of(x) == AG_INT64 && !ag_requires_grad(x));
    {
        AG_NO_GRAD;
        OK(ag_requires_grad(ag_tensor(*rows, AG_SHAPE(6), .requires_grad = true)));
    }
    REFUSED(ag_tensor(*rows, AG_SHAPE(6), .dtype = AG_INT32, .requires_grad = true), "floating point");
    REFUSED(ag_tensor(*rows, AG_SHAPE(6), .device = AG_CUDA), "cuda");
    REFUSED(ag_tensor((float *)NULL, AG_SHAPE(6)), "tensor: data is NULL");
}
END_TEST

START_TEST(from_blob_uses_the_memory_itself_until_the_last_view_goes)
{
    double numbers[6] = { 1, 2, 3, 4, 5, 6 };
    int ends = 0;
    Variable *part = NULL;
    {
        AG_SCOPE;
        Variable *x = ag_from_blob(numbers, AG_SHAPE(3, 2), AG_SHAPE(1, 3), AG_FLOAT64, count_end, &ends);
        VALUES(x, 1, 4, 2, 5, 3, 6);
        OK(!ag_is_contiguous(x) && ag_fill_(ag_select(x, 0, 0), 0));
        part = ag_keep(ag_select(x, 1, 1));
    }
    ck_assert(numbers[0] == 0 && numbers[3] == 0 && numbers[1] == 2);
    ck_assert_int_eq(ends, 0);
    VALUES(part, 0, 5, 6);
    ag_let(&part, ag_zeros(AG_SHAPE(1)));
    ck_assert_int_eq(ends, 1);
    REFUSED(ag_from_blob(numbers, AG_SHAPE(2), AG_SHAPE(1, 1), AG_FLOAT64, count_end, &ends),
            "mismatch in length of strides");
    REFUSED(ag_from_blob(numbers, AG_SHAPE(2), AG_SHAPE(-1), AG_FLOAT64, count_end, &ends), "must not be negative");
    REFUSED(ag_from_blob((char *)numbers + 1, AG_SHAPE(2), AG_SCALAR_SHAPE, AG_FLOAT64, count_end, &ends), "aligned");
    REFUSED(ag_from_blob(NULL, AG_SHAPE(2), AG_SCALAR_SHAPE, AG_FLOAT64, NULL, NULL), "data is NULL");
    ck_assert_int_eq(ends, 4);
    VALUES(ag_from_blob(numbers, AG_SHAPE(2), AG_SCALAR_SHAPE, AG_FLOAT64, NULL, NULL), 0, 2);
}
END_TEST

START_TEST(from_blob_takes_any_strides_and_eight_dimensions)
{
    double numbers[12];
    int ends = 0, made = 0;
    for (int i = 0; i < 12; i++) numbers[i] = i;
    {
        AG_SCOPE;
#define FROM(...) (made++, ag_from_blob(numbers, __VA_ARGS__, AG_FLOAT64, count_end, &ends))
        VALUES(FROM(AG_SHAPE(1, 2, 1, 3, 1, 1, 1, 2), AG_SHAPE(7, 1, 0, 4, 99, 1, 5, 2)), 0, 2, 4, 6, 8, 10, 1, 3, 5, 7,
               9, 11);
        VALUES(FROM(AG_SHAPE(2, 3), AG_SHAPE(0, 5)), 0, 5, 10, 0, 5, 10);
        VALUES(FROM(AG_SHAPE(2, 2), AG_SHAPE(1, 1)), 0, 1, 1, 2);
        VALUES(FROM(AG_SCALAR_SHAPE, AG_SCALAR_SHAPE), 0);
        Variable *empty = FROM(AG_SHAPE(3, 0), AG_SHAPE(1, INT64_MAX));
        SHAPE(empty, 3, 0);
        ck_assert_ptr_null(ag_data(empty));
        OK(ag_from_blob(NULL, AG_SHAPE(0), AG_SCALAR_SHAPE, AG_FLOAT64, NULL, NULL));
        ck_assert_int_eq(ends, 0);
    }
    ck_assert_int_eq(ends, made);
    REFUSED(FROM(AG_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1), AG_SCALAR_SHAPE), "at most 8 dimensions");
    REFUSED(FROM(AG_SHAPE(2, 3), AG_SHAPE(INT64_MAX, 1)), "nor reach beyond memory");
    REFUSED(FROM(AG_SHAPE(2, -3), AG_SCALAR_SHAPE), "must not be negative");
    REFUSED((made++, ag_from_blob(numbers, AG_SHAPE(2), AG_SCALAR_SHAPE, (ag_dtype)77, count_end, &ends)),
            "there is no dtype 77");
#undef FROM
    ck_assert_int_eq(ends, made); /* whoever fails gives the memory back, too */
}
END_TEST

START_TEST(item_is_the_only_element)
{
    ck_assert(ag_item(ag_full(AG_SHAPE(1, 1), 2.5)) == 2.5);
    ck_assert_int_eq(ag_item_int64(ag_tensor(((int64_t[]){ INT64_MAX }), AG_SHAPE(1))), INT64_MAX);
    ck_assert(isnan(ag_item(ag_zeros(AG_SHAPE(2)))));
    ck_assert_str_eq(ag_error(), "item: a Tensor with 2 elements cannot be converted to Scalar");
    ag_clear_error();
    ck_assert(isnan(ag_item(NULL)));
    ag_clear_error();
    Variable *x = ag_zeros(AG_SHAPE(2));
    ((float *)ag_data_mutable(x))[1] = 3;
    ck_assert_int_eq(ag_version(x), 1);
    ck_assert(((const float *)ag_data(x))[1] == 3);
    ck_assert_ptr_null(ag_data(ag_zeros(AG_SHAPE(0))));
}
END_TEST

START_TEST(a_number_is_kept_for_reuse_and_stays_while_it_is_held)
{
    Variable *two = ag_scalar(2.0), *list[200];
    OK(ag_scalar(2.0) == two && ag_dim(two) == 0);
    OK(ag_dtype_of(two) == AG_FLOAT64 && ag_dtype_of(ag_scalar(2)) == AG_INT64 &&
       ag_dtype_of(ag_scalar((bool)1)) == AG_BOOL);
    for (int i = 0; i < 200; i++) list[i] = ag_scalar(i + 0.5);
    for (int i = 0; i < 200; i++) VALUES(list[i], i + 0.5);
    VALUES(two, 2);
    OK(ag_dtype_of(ag_mul(ag_ones(AG_SHAPE(1)), ag_scalar(2.0))) == AG_FLOAT32);
    REFUSED(ag_data_mutable(ag_scalar(2.0)), "ag_scalar");
    REFUSED(ag_requires_grad_(ag_scalar(2.0)), "ag_scalar");
}
END_TEST

/* ---- numbers at the limits of their types ---- */

static void check_int64(Variable *x, int64_t n, const int64_t *expected)
{
    OK(x);
    ck_assert_int_eq(ag_dtype_of(x), AG_INT64);
    ck_assert_int_eq(ag_numel(x), n);
    for (int64_t i = 0; i < n; i++) ck_assert_int_eq(((const int64_t *)ag_data(x))[i], expected[i]);
}
#define INT64S(x, ...) check_int64(x, AG_COUNT_OF(int64_t, __VA_ARGS__), (const int64_t[]){ __VA_ARGS__ })

START_TEST(every_int64_can_be_filled_in)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* whose long double is a double */
    static const int64_t values[] = { INT64_MIN,        INT64_MIN + 1, -9007199254740993,
                                      9007199254740993, INT64_MAX - 1, INT64_MAX };
    Variable *yes = ag_ones(AG_SHAPE(2), .dtype = AG_BOOL);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        int64_t v = values[i];
        Variable *x = ag_full(AG_SHAPE(2), v, .dtype = AG_INT64), *named;
        INT64S(x, v, v);
        INT64S(ag_full_like(x, v), v, v);
        INT64S(ag_fill_(ag_zeros(AG_SHAPE(2), .dtype = AG_INT64), v), v, v);
        INT64S(ag_masked_fill(ag_zeros_like(x), yes, v), v, v);
        const ag_value by_int[] = { ag_of(AG_SHAPE(2)), ag_of(v) };
        const ag_value by_tensor[] = { ag_of(AG_SHAPE(2)), ag_of(ag_tensor(((int64_t[]){ v }), AG_SCALAR_SHAPE)) };
        const ag_named_value dtype[] = { { "dtype", { .kind = AG_VALUE_DTYPE, .dtype = AG_INT64 } } };
        ck_assert_int_eq(ag_call("full", 2, by_int, 1, dtype, &named, 1), 1);
        INT64S(named, v, v);
        ck_assert_int_eq(ag_call("full", 2, by_tensor, 1, dtype, &named, 1), 1);
        INT64S(named, v, v);
        ck_assert(ag_item(ag_full(AG_SHAPE(1), v)) == (float)v); /* rounded once */
        ck_assert(ag_item(ag_full(AG_SHAPE(1), v, .dtype = AG_FLOAT64)) == (double)v);
        OK(ag_item(ag_full(AG_SHAPE(1), v, .dtype = AG_BOOL)) == 1);
    }
}
END_TEST

START_TEST(what_does_not_fit_its_type_is_refused_with_pytorchs_sentence)
{
    static const struct {
        double value;
        ag_dtype dtype;
        const char *type;
    } rows[] = {
        { 0x1p63, AG_INT64, "int64_t" },  { -0x1.0000000000001p63, AG_INT64, "int64_t" },
        { NAN, AG_INT64, "int64_t" },     { 0x1p31, AG_INT32, "int" },
        { -0x1p31 - 1, AG_INT32, "int" }, { 256, AG_UINT8, "uint8_t" },
        { -256, AG_UINT8, "uint8_t" },    { INFINITY, AG_UINT8, "uint8_t" },
        { 3.5e38, AG_FLOAT32, "float" },
    };
    Variable *yes = ag_ones(AG_SHAPE(1), .dtype = AG_BOOL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char sentence[80];
        snprintf(sentence, sizeof sentence, "value cannot be converted to type %s without overflow", rows[i].type);
        Variable *x = ag_zeros(AG_SHAPE(1), .dtype = rows[i].dtype);
        REFUSED(ag_full(AG_SHAPE(1), rows[i].value, .dtype = rows[i].dtype), sentence);
        REFUSED(ag_full_like(x, rows[i].value), sentence);
        REFUSED(ag_fill_(x, rows[i].value), sentence);
        REFUSED(ag_masked_fill_(x, yes, rows[i].value), sentence);
        VALUES(x, 0);
    }
}
END_TEST

START_TEST(a_range_reaches_the_ends_of_int64)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* whose long double is a double */
    INT64S(ag_arange(INT64_MAX - 2, INT64_MAX), INT64_MAX - 2, INT64_MAX - 1);
    INT64S(ag_arange(INT64_MIN, INT64_MIN + 2), INT64_MIN, INT64_MIN + 1);
    INT64S(ag_arange(INT64_MAX, INT64_MAX - 5, -2), INT64_MAX, INT64_MAX - 2, INT64_MAX - 4);
    INT64S(ag_arange(INT64_MIN, INT64_MAX, INT64_MAX), INT64_MIN, -1, INT64_MAX - 1);
    INT64S(ag_arange(9007199254740992, 9007199254740995), 9007199254740992, 9007199254740993, 9007199254740994);
    VALUES(ag_arange(0x1p40, 0x1p40 + 3, .dtype = AG_INT32), 0, 1, 2);
    REFUSED(ag_arange(0, 0x1p63, .dtype = AG_INT64), "value cannot be converted to type int64_t without overflow");
    REFUSED(ag_arange(-1e19, 0, 1e18, .dtype = AG_UINT8), "value cannot be converted to type int64_t without overflow");
    REFUSED(ag_arange(0, INFINITY, .dtype = AG_INT64), "unsupported range: 0 -> inf");
    REFUSED(ag_arange(0, 1e30, .dtype = AG_INT32), "invalid size, possible overflow?");
}
END_TEST

SUPPORT_MAIN("factory", factories_do_what_pytorchs_do, every_factory_can_be_called_directly,
             whole_numbers_make_an_int64_range_and_others_a_floating_one,
             a_factory_makes_a_leaf_that_wants_a_gradient_even_without_grad_mode, the_default_type_can_be_changed,
             tensor_from_copies_and_copy_to_copies_back, tensor_takes_its_options_by_name,
             from_blob_uses_the_memory_itself_until_the_last_view_goes,
             from_blob_takes_any_strides_and_eight_dimensions, item_is_the_only_element,
             a_number_is_kept_for_reuse_and_stays_while_it_is_held, every_int64_can_be_filled_in,
             what_does_not_fit_its_type_is_refused_with_pytorchs_sentence, a_range_reaches_the_ends_of_int64)
