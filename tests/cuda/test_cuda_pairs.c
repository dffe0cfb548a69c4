/* test_cuda_pairs.c - bits, shifts, division that rounds, closeness and ranges on a device, against the CPU. */
#include "tests/cuda/cuda_cases.h"

#include <argent/bitwise.h>
#include <argent/compare.h>

static Variable *there(Variable *x) { return ag_to(x, AG_CUDA, .copy = true); }

static Variable *divide_trunc(Variable *a, Variable *b) { return ag_div(a, b, .rounding_mode = "trunc"); }
static Variable *divide_floor(Variable *a, Variable *b) { return ag_div(a, b, .rounding_mode = "floor"); }
static Variable *divide_trunc_(Variable *a, Variable *b) { return ag_div_(a, b, .rounding_mode = "trunc"); }
static Variable *divide_floor_(Variable *a, Variable *b) { return ag_div_(a, b, .rounding_mode = "floor"); }
static Variable *is_close(Variable *a, Variable *b) { return ag_isclose(a, b, .rtol = 0.3); }
static Variable *is_close_or_nan(Variable *a, Variable *b) { return ag_isclose(a, b, .atol = 2, .equal_nan = true); }

enum { FLOATS = 1, BOOLS = 2, ONE_TYPE = 4, NO_NUMBER_FIRST = 8 };
static const struct {
    const char *name;
    Variable *(*run)(Variable *a, Variable *b), *(*inplace)(Variable *a, Variable *b);
    int takes;
} ops[] = {
    { "and", ag_bitwise_and, ag_bitwise_and_, BOOLS },
    { "or", ag_bitwise_or, ag_bitwise_or_, BOOLS },
    { "xor", ag_bitwise_xor, ag_bitwise_xor_, BOOLS },
    { "left", ag_bitwise_left_shift, ag_bitwise_left_shift_, 0 },
    { "right", ag_bitwise_right_shift, ag_bitwise_right_shift_, 0 },
    { "div trunc", divide_trunc, divide_trunc_, FLOATS },
    { "div floor", divide_floor, divide_floor_, FLOATS },
    { "floor_divide", ag_floor_divide, ag_floor_divide_, FLOATS },
    { "remainder", ag_remainder, ag_remainder_, FLOATS },
    { "fmod", ag_fmod, ag_fmod_, FLOATS | NO_NUMBER_FIRST },
    { "isclose", is_close, NULL, FLOATS | BOOLS | ONE_TYPE },
    { "isclose, NaN", is_close_or_nan, NULL, FLOATS | BOOLS | ONE_TYPE },
};

static bool is_floating(ag_dtype dtype) { return dtype <= AG_FLOAT64; }

/* (12, 12): each special number with each. Integers to divide by are not 0. */
static void operands(ag_dtype dtype, Variable **a, Variable **b)
{
    static const double real[12] = { 0, -0.0, INFINITY, -INFINITY, NAN, 7.5, -7.5, 1e-40, 1, -1, 0.3, 2 },
                        whole[12] = { 1, 2, 3, 7, 8, 31, 32, 63, 64, 100, 5, 33 };
    double x[12];
    for (int i = 0; i < 12; i++)
        x[i] = is_floating(dtype) ? real[i] : (dtype == AG_UINT8 || i % 3 ? whole[i] : -whole[i]);
    if (dtype == AG_INT64) x[0] = -0x1p63, x[3] = -1;
    if (dtype == AG_INT32) x[0] = -0x1p31, x[3] = -1;
    *b = ag_to(ag_tensor(x, AG_SHAPE(12)), .dtype = dtype);
    *a = ag_unsqueeze(*b, 1);
}

static void every_op(ag_dtype of, ag_dtype with)
{
    Variable *a, *b, *other;
    operands(of, &a, &other);
    operands(with, &other, &b);
    for (int k = 0; k < (int)(sizeof ops / sizeof *ops); k++) {
        AG_SCOPE;
        if ((is_floating(of) || is_floating(with)) && !(ops[k].takes & FLOATS)) continue;
        if (of == AG_BOOL && with == AG_BOOL && !(ops[k].takes & BOOLS)) continue;
        if (of != with && ops[k].takes & ONE_TYPE) continue;
        Variable *wanted = ops[k].run(a, b);
        cuda_same(ag_to(ops[k].run(there(a), there(b)), AG_CPU), wanted, 0);
        Variable *wide = ag_contiguous(ag_expand(a, AG_SHAPE(12, 12))), *turned = ag_transpose(there(wide), 0, 1);
        cuda_same(ag_to(ops[k].run(turned, there(b)), AG_CPU), ops[k].run(ag_transpose(wide, 0, 1), b), 0);
        if (ops[k].takes & ONE_TYPE) continue;
        if (with == of || (of == AG_FLOAT32 && with != AG_FLOAT32)) {
            Variable *y = there(wide), *x = ag_clone(wide);
            OK(ops[k].inplace(ag_transpose(y, 0, 1), there(b)));
            OK(ops[k].inplace(ag_transpose(x, 0, 1), b));
            cuda_same(ag_to(y, AG_CPU), x, 0);
        }
        cuda_same(ag_to(ops[k].run(there(a), ag_scalar(3)), AG_CPU), ops[k].run(a, ag_scalar(3)), 0);
        if (ops[k].takes & NO_NUMBER_FIRST) continue;
        cuda_same(ag_to(ops[k].run(ag_scalar(13), there(b)), AG_CPU), ops[k].run(ag_scalar(13), b), 0);
    }
}
START_TEST(two_operands_of_any_types)
{
    for (int i = 0; i < AG_N_DTYPES; i++) every_op((ag_dtype)i, (ag_dtype)i);
    every_op(AG_INT32, AG_INT64);
    every_op(AG_FLOAT32, AG_FLOAT64);
    every_op(AG_FLOAT32, AG_INT32);
    every_op(AG_INT64, AG_UINT8);
    Variable *none = ag_zeros(AG_SHAPE(0, 3), .dtype = AG_INT32);
    cuda_same(ag_to(ag_bitwise_and(there(none), there(none)), AG_CPU), none, 0);
    cuda_same(ag_to(ag_remainder(there(none), there(none)), AG_CPU), none, 0);
}
END_TEST

START_TEST(every_bit_the_other_way)
{
    for (int d = AG_INT64; d < AG_N_DTYPES; d++) {
        Variable *x = ag_to(support_draw(AG_SHAPE(3, 5), AG_FLOAT64, 100), .dtype = (ag_dtype)d), *y = there(x);
        cuda_same(ag_to(ag_bitwise_not(ag_transpose(y, 0, 1)), AG_CPU), ag_bitwise_not(ag_transpose(x, 0, 1)), 0);
        OK(ag_bitwise_not_(y));
        cuda_same(ag_to(y, AG_CPU), ag_bitwise_not(x), 0);
    }
}
END_TEST

START_TEST(zeros_that_integers_are_divided_by)
{
    Variable *x = ag_full(AG_SHAPE(3), 5, .dtype = AG_INT32, .device = AG_CUDA), *zero = ag_zeros_like(x);
    REFUSED(ag_remainder(x, ag_zeros(AG_SHAPE(), .dtype = AG_INT32)), "ZeroDivisionError");
    OK(ag_floor_divide(x, zero));
    REFUSED(ag_cuda_synchronize(AG_CUDA), "floor_divide: ZeroDivisionError");
    OK(ag_floor_divide(ag_to(x, .dtype = AG_FLOAT32), zero));
    OK(ag_cuda_synchronize(AG_CUDA));
    REFUSED(ag_remainder(x, ag_zeros(AG_SHAPE(3), .dtype = AG_INT32)), "found at least two devices, cuda:0 and cpu");
    REFUSED(ag_remainder_(ag_zeros(AG_SHAPE(), .dtype = AG_INT32), zero), "found at least two devices");
    REFUSED(ag_bitwise_and(ag_to(x, .dtype = AG_FLOAT32), zero), "not implemented for 'Float'");
}
END_TEST

START_TEST(ranges_are_made_there)
{
    for (int d = 0; d < AG_N_DTYPES; d++) {
        const ag_dtype dtype = (ag_dtype)d;
        const int64_t steps[] = { 0, 1, 2, 7, 300 };
        for (int k = 0; k < 5 && (dtype != AG_BOOL || steps[k] < 2); k++)
            cuda_same(ag_to(ag_linspace(0.25, 17, steps[k], .dtype = dtype, .device = AG_CUDA), AG_CPU),
                      ag_linspace(0.25, 17, steps[k], .dtype = dtype), 0);
        if (dtype == AG_BOOL) continue;
        cuda_same(ag_to(ag_arange(100, .dtype = dtype, .device = AG_CUDA), AG_CPU), ag_arange(100, .dtype = dtype), 0);
        cuda_same(ag_to(ag_arange(60, 3, -4, .dtype = dtype, .device = AG_CUDA), AG_CPU),
                  ag_arange(60, 3, -4, .dtype = dtype), 0);
        if (dtype <= AG_FLOAT64)
            cuda_same(ag_to(ag_arange(-1, 2, 0.1, .dtype = dtype, .device = AG_CUDA), AG_CPU),
                      ag_arange(-1, 2, 0.1, .dtype = dtype), 0);
    }
}
END_TEST

START_TEST(comparisons_that_answer_the_host)
{
    Variable *x = support_draw(AG_SHAPE(4, 5), AG_FLOAT32, 1), *y = there(x);
    ck_assert(ag_equal(y, there(x)) && ag_allclose(y, there(x)));
    ck_assert(ag_equal(ag_transpose(y, 0, 1), there(ag_transpose(x, 0, 1))));
    OK(ag_mul_(ag_select(y, 0, 1), ag_scalar(1.000001)));
    ck_assert(!ag_equal(y, there(x)) && ag_allclose(y, there(x)) && !ag_allclose(y, there(x), .rtol = 0, .atol = 0));
    ck_assert(!ag_equal(y, there(ag_zeros(AG_SHAPE(4)))));
    ck_assert(ag_equal(there(ag_ones(AG_SHAPE(3), .dtype = AG_INT32)), there(ag_ones(AG_SHAPE(3)))));
    ck_assert(ag_equal(there(ag_zeros(AG_SHAPE(0))), there(ag_zeros(AG_SHAPE(0)))));
    REFUSED(ag_equal(x, y), "found at least two devices, cpu and cuda:0");
    OK(ag_cuda_synchronize(AG_CUDA));
}
END_TEST

SUPPORT_MAIN("cuda/pairs", two_operands_of_any_types, every_bit_the_other_way, zeros_that_integers_are_divided_by,
             ranges_are_made_there, comparisons_that_answer_the_host)
