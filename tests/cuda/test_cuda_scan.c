/* test_cuda_scan.c - cumsum and cumprod on the device. */
#include "tests/cuda/cuda_cases.h"

static int64_t along;
static Variable *sums(Variable *x) { return ag_cumsum(x, along); }
static Variable *products(Variable *x) { return ag_cumprod(x, along); }

/* Near 1, so that products stay numbers; of integers a few bits. */
static Variable *draw(Shape shape, ag_dtype dtype)
{
    Variable *x = support_draw(shape, AG_FLOAT64, dtype > AG_FLOAT64 ? 3 : 0.05);
    return ag_to(dtype > AG_FLOAT64 ? x : ag_add(x, ag_scalar(1)), .dtype = dtype);
}
static void same(Variable *x)
{
    const double tolerance = ag_dtype_of(x) == AG_FLOAT32 ? 3e-7 : 1e-12;
    Variable *there = ag_to(x, AG_CUDA);
    for (along = -1; along < (ag_dim(x) ? ag_dim(x) - 1 : 1); along++) {
        cuda_same(ag_to(sums(there), AG_CPU), sums(x), tolerance);
        cuda_same(ag_to(products(there), AG_CPU), products(x), tolerance);
        const ag_dtype own = ag_dtype_of(x); /* integers wrap in it */
        cuda_same(ag_to(ag_cumsum(there, along, .dtype = own), AG_CPU), ag_cumsum(x, along, .dtype = own), tolerance);
        cuda_same(ag_to(ag_cumprod(there, along, .dtype = own), AG_CPU), ag_cumprod(x, along, .dtype = own), tolerance);
    }
}

START_TEST(every_type_and_layout)
{
    for (int d = 0; d < AG_N_DTYPES; d++) {
        if (d == AG_BOOL) continue;
        AG_SCOPE;
        Variable *x = draw(AG_SHAPE(4, 7, 9), (ag_dtype)d);
        same(x);
        same(ag_transpose(x, 0, 2));
        same(ag_select(x, 1, 3));
        same(ag_slice(x, .dim = 2, .start = 1, .end = 9, .step = 2));
        same(ag_slice(x, .dim = 1, .start = 2, .end = 2));
        same(ag_select(ag_select(ag_select(x, 0, 1), 0, 1), 0, 1));
        same(draw(AG_SHAPE(2, 1500), (ag_dtype)d)); /* a block a row */
        same(draw(AG_SHAPE(9001), (ag_dtype)d));    /* several parts */
        same(draw(AG_SHAPE(4200, 3), (ag_dtype)d));
    }
}
END_TEST

START_TEST(rows_of_many_lengths)
{
    static const int64_t length[] = { 1, 2, 3, 8, 31, 32, 33, 64, 100, 1023, 1024, 1025, 1281, 4096, 4097, 8193 };
    for (int i = 0; i < (int)(sizeof length / sizeof *length); i++) {
        AG_SCOPE;
        same(draw(AG_SHAPE(3, length[i]), AG_FLOAT32));
        same(draw(AG_SHAPE(3, length[i], 3), AG_FLOAT64)); /* more rows than a grid of the emulation has blocks */
    }
}
END_TEST

/* Zeros, too: by these nobody can divide. */
START_TEST(gradients_of_products)
{
    static const int64_t length[] = { 1, 2, 3, 31, 32, 33, 100, 1025 };
    for (int i = 0; i < (int)(sizeof length / sizeof *length); i++)
        for (int zeros = 0; zeros < 3; zeros++) {
            AG_SCOPE;
            Variable *x = draw(AG_SHAPE(3, length[i], 2), AG_FLOAT64), *row = ag_select(x, 2, 1);
            for (int k = 0; k < zeros; k++) OK(ag_zero_(ag_select(ag_select(x, 0, 1), 0, (k + 1) * length[i] / 3)));
            along = 1;
            cuda_same_function(products, x, 1e-11);
            cuda_same_function(products, row, 1e-11);
            along = 0;
            cuda_same_function(products, x, 1e-11);
        }
}
END_TEST

START_TEST(gradients_of_products_in_float32)
{
    Variable *x = draw(AG_SHAPE(3, 40), AG_FLOAT32), *grad[2][2];
    for (int i = 0; i < 2; i++) {
        Variable *p = ag_requires_grad_(ag_to(x, i ? AG_CUDA : AG_CPU, .copy = true)), *y = ag_cumprod(p, 1),
                 **g = grad[i];
        OK(ag_autograd_grad(AG_LIST(y), AG_LIST(p), &g[0], .grad_outputs = AG_LIST(ag_ones_like(y)),
                            .create_graph = true));
        OK(ag_autograd_grad(AG_LIST(ag_sum(g[0])), AG_LIST(p), &g[1]));
    }
    for (int k = 0; k < 2; k++) cuda_same(ag_to(ag_detach(grad[1][k]), AG_CPU), ag_detach(grad[0][k]), 3e-6);
}
END_TEST

/* As many parts as there may be, each longer than the least. */
START_TEST(a_long_row)
{
    Variable *x = ag_to(support_draw(AG_SHAPE(1100000), AG_FLOAT64, 1e6), .dtype = AG_INT64);
    cuda_same(ag_to(ag_cumsum(ag_to(x, AG_CUDA), 0), AG_CPU), ag_cumsum(x, 0), 0);
}
END_TEST

START_TEST(bits_do_not_depend_on_how_the_total_is_made)
{
    Variable *x = ag_to(support_draw(AG_SHAPE(5000), AG_FLOAT64, 1e6), .dtype = AG_INT64), *there = ag_to(x, AG_CUDA);
    cuda_same(ag_to(ag_cumprod(there, 0), AG_CPU), ag_cumprod(x, 0), 0); /* wraps */
    Variable *y = support_draw(AG_SHAPE(6000), AG_FLOAT64, 1), *over = ag_to(y, AG_CUDA);
    cuda_same(ag_to(ag_cumsum(over, 0), AG_CPU), ag_to(ag_cumsum(over, 0), AG_CPU), 0);
}
END_TEST

START_TEST(in_place_and_other_types)
{
    Variable *x = draw(AG_SHAPE(6, 8), AG_FLOAT32), *here = ag_clone(x), *there = ag_to(x, AG_CUDA, .copy = true);
    Variable *const each[] = { here, there };
    for (int i = 0; i < 2; i++) {
        OK(ag_cumsum_(each[i], 0));
        OK(ag_cumprod_(ag_slice(each[i], .dim = 1, .start = 1, .end = 8, .step = 2), 1));
        OK(ag_cumsum_(ag_transpose(each[i], 0, 1), 0));
    }
    cuda_same(ag_to(there, AG_CPU), here, 1e-6);
    Variable *whole = ag_to(draw(AG_SHAPE(5, 4), AG_FLOAT64), .dtype = AG_INT32), *over = ag_to(whole, AG_CUDA);
    cuda_same(ag_to(ag_cumsum(over, 0, .dtype = AG_FLOAT32), AG_CPU), ag_cumsum(whole, 0, .dtype = AG_FLOAT32), 0);
    Variable *truth = ag_gt(x, ag_scalar(1));
    cuda_same(ag_to(ag_cumsum(ag_to(truth, AG_CUDA), 1), AG_CPU), ag_cumsum(truth, 1), 0);
    REFUSED(ag_cumsum(over, 2), "Dimension out of range");
    REFUSED(ag_cumsum(over, 0, .dtype = AG_BOOL), "not implemented for 'Bool'");
}
END_TEST

START_TEST(odd_numbers_pass_as_on_the_cpu)
{
    Variable *x = ag_tensor(((double[]){ 1, INFINITY, 2, -INFINITY, 3, 0, NAN, 4 }), AG_SHAPE(2, 4));
    for (int d = 0; d < 2; d++) same(ag_to(x, .dtype = (ag_dtype)d));
}
END_TEST

SUPPORT_MAIN("cuda/scan", every_type_and_layout, rows_of_many_lengths, a_long_row, gradients_of_products,
             gradients_of_products_in_float32, bits_do_not_depend_on_how_the_total_is_made, in_place_and_other_types,
             odd_numbers_pass_as_on_the_cpu)
