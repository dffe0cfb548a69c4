/* test_copy.c - copies, conversions, in-place writing, and comparing. */
#include "op_cases.h"
#include "support.h"

START_TEST(copies_and_conversions_do_what_pytorchs_do) { replay("copy"); }
END_TEST

START_TEST(clone_and_contiguous_lay_elements_out_as_asked)
{
    Variable *x = ag_t(ag_view(ag_arange(6), AG_SHAPE(2, 3)));
    OK(ag_stride(ag_clone(x)).at[0] == 1);
    OK(ag_is_contiguous(ag_clone(x, .memory_format = AG_CONTIGUOUS_FORMAT)));
    OK(ag_stride(ag_clone(ag_contiguous(x), AG_BATCH_LAST)).at[0] == 1);
    OK(ag_equal(ag_clone(ag_contiguous(x), AG_BATCH_LAST), x));
    Variable *images = ag_view(ag_arange(120), AG_SHAPE(2, 3, 4, 5));
    Variable *by_channel = ag_contiguous(images, AG_CHANNELS_LAST);
    OK(ag_stride(by_channel).at[0] == 60 && ag_stride(by_channel).at[1] == 1 && ag_stride(by_channel).at[3] == 3);
    OK(ag_equal(by_channel, images));
    OK(ag_contiguous(by_channel, AG_CHANNELS_LAST) == by_channel);
    REFUSED(ag_contiguous(x, AG_CHANNELS_LAST), "required rank 4 tensor to use channels_last");
}
END_TEST

START_TEST(to_gives_back_its_input_when_there_is_nothing_to_do)
{
    Variable *x = ag_ones(AG_SHAPE(2, 2));
    OK(ag_to(x, AG_CPU) == x);
    OK(ag_to(x, .dtype = AG_FLOAT32) == x);
    OK(ag_to(x, .memory_format = AG_CONTIGUOUS_FORMAT) == x);
    OK(ag_to(x, .copy = true) != x);
    OK(ag_to(x, .memory_format = AG_BATCH_LAST) != x);
    OK(ag_dtype_of(ag_double(x)) == AG_FLOAT64 && ag_dtype_of(ag_long(x)) == AG_INT64 &&
       ag_dtype_of(ag_int(x)) == AG_INT32);
    OK(ag_float(x) == x);
    Variable *w = ag_requires_grad_(x), *y = ag_to(w, .dtype = AG_FLOAT64);
    OK(ag_backward(ag_sum(ag_mul(y, y))));
    OK(ag_dtype_of(ag_grad(w)) == AG_FLOAT32);
    VALUES(ag_grad(w), 2, 2, 2, 2);
    if (!ag_cuda_is_available()) {
        ck_assert_ptr_null(ag_to(x, AG_CUDA));
        ck_assert_int_eq(ag_error_code(), AG_EDEVICE);
        ag_clear_error();
    }
}
END_TEST

START_TEST(copy_broadcasts_converts_and_sends_its_gradient_to_the_source)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, ag_scalar(3)),
             *source = ag_requires_grad_(ag_tensor(((float[]){ 5, 6 }), AG_SHAPE(2, 1)));
    Variable *z = ag_mul(ag_expand(ag_unsqueeze(y, 0), AG_SHAPE(2, 2)), ag_scalar(1));
    OK(ag_copy_(z, source) == z);
    VALUES(z, 5, 5, 6, 6);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(z)), "CopyBackwards");
    OK(ag_backward(z, ag_tensor(((double[]){ 1, 2, 3, 4 }), AG_SHAPE(2, 2))));
    VALUES(ag_grad(source), 3, 7);
    VALUES(ag_grad(x), 0, 0);
    REFUSED(ag_copy_(ag_zeros(AG_SHAPE(2)), ag_zeros(AG_SHAPE(3, 2))),
            "output with shape [2] doesn't match the broadcast shape [3, 2]");
    REFUSED(ag_copy_(ag_zeros(AG_SHAPE(2, 3)), ag_zeros(AG_SHAPE(4))),
            "must match the size of tensor b (4) at non-singleton dimension 1");
    REFUSED(ag_copy_(ag_expand(ag_zeros(AG_SHAPE(1)), AG_SHAPE(3)), ag_zeros(AG_SHAPE(3))),
            "more than one element of the written-to tensor");
    Variable *line = ag_arange(5);
    REFUSED(ag_copy_(ag_narrow(line, 0, 0, 4), ag_narrow(line, 0, 1, 4)),
            "some elements of the input tensor and the written-to tensor");
    OK(ag_copy_(line, line) == line);
    Variable *whole = ag_zeros(AG_SHAPE(2), .dtype = AG_INT64);
    OK(ag_copy_(whole, ag_tensor(((double[]){ 1.5, -2.7 }), AG_SHAPE(2))));
    VALUES(whole, 1, -2);
}
END_TEST

START_TEST(writing_a_number_everywhere_stops_the_gradient)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x);
    OK(ag_fill_(y, 4) == y);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "FillBackward2");
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 0, 0);
    Variable *z = ag_mul(x, x);
    OK(ag_zero_(z));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(z)), "ZeroBackward0");
    VALUES(z, 0, 0);
    REFUSED(ag_fill_(x, 1), "a leaf Variable that requires grad is being used in an in-place operation");
    VALUES(x, 1, 2);
    REFUSED(ag_fill_(ag_zeros(AG_SHAPE(1), .dtype = AG_UINT8), 300),
            "value cannot be converted to type uint8_t without overflow");
    REFUSED(ag_fill_(ag_scalar(2), 3), "ag_scalar");
    VALUES(ag_fill_(ag_zeros(AG_SHAPE(1), .dtype = AG_UINT8), -1), 255);
    VALUES(ag_fill_(ag_zeros(AG_SHAPE(1), .dtype = AG_INT64), 2.7), 2);
}
END_TEST

START_TEST(a_number_that_is_a_variable_gets_the_gradient_of_what_it_fills)
{
    Variable *x = LEAF(AG_SHAPE(2, 2), 1, 2, 3, 4), *v = LEAF(AG_SCALAR_SHAPE, 5), *y = ag_mul(x, x), *out;
    OK(ag_fill_tensor_(ag_select(y, 0, 1), v));
    VALUES(y, 1, 4, 5, 5);
    OK(ag_backward(ag_sum(ag_mul(y, y))));
    VALUES(ag_grad(x), 4, 32, 0, 0);
    VALUES(ag_grad(v), 20);
    y = ag_mul(x, x);
    OK(ag_call("fill_", 2, (ag_value[]){ ag_of(y), ag_of(v) }, 0, NULL, &out, 1) == 1);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "FillBackward3");
    OK(ag_call("fill_", 2, (ag_value[]){ ag_of(y), ag_of(2.5) }, 0, NULL, &out, 1) == 1);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "FillBackward2");
    VALUES(ag_fill_tensor_(ag_zeros(AG_SHAPE(1), .dtype = AG_INT64), ag_full(AG_SCALAR_SHAPE, 2.7)), 2);
    REFUSED(ag_fill_tensor_(y, y), "fill_ only supports 0-dimension value tensor but got tensor with 2 dimensions.");
    REFUSED(ag_fill_tensor_(x, v), "a leaf Variable that requires grad is being used in an in-place operation");
}
END_TEST

START_TEST(masked_fill_in_place_keeps_the_gradient_of_the_rest)
{
    Variable *x = LEAF(AG_SHAPE(3), 1, 2, 3), *y = ag_mul(x, x),
             *mask = ag_tensor(((bool[]){ true, false, true }), AG_SHAPE(3));
    OK(ag_masked_fill_(y, mask, 9) == y);
    VALUES(y, 9, 4, 9);
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 0, 4, 0);
    VALUES(ag_masked_fill(ag_zeros(AG_SHAPE(2)), ag_tensor(((bool[]){ true, false }), AG_SHAPE(2, 1)), 1), 1, 1, 0, 0);
    REFUSED(ag_masked_fill_(ag_zeros(AG_SHAPE(2)), ag_ones(AG_SHAPE(3, 2), .dtype = AG_BOOL), 1),
            "output with shape [2] doesn't match the broadcast shape [3, 2]");
}
END_TEST

START_TEST(a_standing_error_stops_what_would_change_something)
{
    Variable *x = ag_zeros(AG_SHAPE(2));
    ck_assert_ptr_null(ag_view(x, AG_SHAPE(3)));
    ck_assert_ptr_null(ag_fill_(x, 1));
    ck_assert_ptr_null(ag_copy_(x, x));
    ck_assert_ptr_null(ag_data_mutable(x));
    ag_clear_error();
    VALUES(x, 0, 0);
}
END_TEST

START_TEST(equal_and_allclose_compare_as_pytorchs)
{
    Variable *x = ag_tensor(((double[]){ 1, 2, 3, 4 }), AG_SHAPE(2, 2)),
             *nan = ag_full(AG_SHAPE(1), NAN, .dtype = AG_FLOAT64);
    OK(ag_equal(x, ag_clone(x)));
    OK(ag_equal(x, ag_to(x, .dtype = AG_INT64)));
    OK(ag_equal(ag_t(x), ag_clone(ag_t(x), .memory_format = AG_CONTIGUOUS_FORMAT)));
    OK(!ag_equal(x, ag_t(x)) && !ag_equal(x, ag_view(x, AG_SHAPE(4))) && !ag_equal(nan, nan));
    OK(ag_equal(ag_full(AG_SHAPE(1), 0x1p53, .dtype = AG_INT64), ag_full(AG_SHAPE(1), 0x1p53, .dtype = AG_INT64)));
    OK(ag_equal(ag_zeros(AG_SHAPE(0)), ag_zeros(AG_SHAPE(0))));
    OK(ag_allclose(x, ag_add(x, ag_scalar(1e-9))));
    OK(!ag_allclose(x, ag_add(x, ag_scalar(1e-3))));
    OK(ag_allclose(x, ag_add(x, ag_scalar(1e-3)), .atol = 1e-2));
    OK(ag_allclose(ag_ones(AG_SHAPE(3, 1)), ag_ones(AG_SHAPE(2))));
    OK(!ag_allclose(nan, nan) && ag_allclose(nan, nan, .equal_nan = true));
    Variable *inf = ag_full(AG_SHAPE(1), INFINITY);
    OK(ag_allclose(inf, inf) && !ag_allclose(inf, ag_neg(inf)) && !ag_allclose(ag_zeros(AG_SHAPE(1)), inf));
    REFUSED(ag_allclose(x, ag_float(x)), "Double did not match Float");
    REFUSED(ag_allclose(x, x, .rtol = -1), "rtol must be greater than or equal to zero, but got -1");
    REFUSED(ag_allclose(x, ag_zeros(AG_SHAPE(3), .dtype = AG_FLOAT64)), "must match the size of tensor b (3)");
    REFUSED(ag_equal(x, NULL), "equal: other is NULL");
}
END_TEST

SUPPORT_MAIN("copy", copies_and_conversions_do_what_pytorchs_do, clone_and_contiguous_lay_elements_out_as_asked,
             to_gives_back_its_input_when_there_is_nothing_to_do,
             copy_broadcasts_converts_and_sends_its_gradient_to_the_source,
             writing_a_number_everywhere_stops_the_gradient,
             a_number_that_is_a_variable_gets_the_gradient_of_what_it_fills,
             masked_fill_in_place_keeps_the_gradient_of_the_rest, a_standing_error_stops_what_would_change_something,
             equal_and_allclose_compare_as_pytorchs)
