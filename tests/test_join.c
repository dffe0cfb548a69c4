/* test_join.c - cat and stack, picking and adding by number, running totals. */
#include "op_cases.h"
#include "support.h"

START_TEST(cat_and_stack_do_what_pytorchs_do) { replay("join"); }
END_TEST
START_TEST(gather_and_index_select_do_what_pytorchs_do) { replay("index"); }
END_TEST

START_TEST(every_join_can_be_called_directly)
{
    Variable *a = ag_tensor(((double[]){ 1, 2 }), AG_SHAPE(1, 2)), *b = ag_tensor(((double[]){ 3, 4 }), AG_SHAPE(1, 2));
    VALUES(ag_cat(AG_LIST(a, b)), 1, 2, 3, 4);
    SHAPE(ag_cat(AG_LIST(a, b)), 2, 2);
    SHAPE(ag_cat(AG_LIST(a, b), .dim = -1), 1, 4);
    SHAPE(ag_stack(AG_LIST(a, b)), 2, 1, 2);
    VALUES(ag_stack(AG_LIST(a, b), 2), 1, 3, 2, 4);
    VALUES(ag_gather(ag_cat(AG_LIST(a, b)), 0, ag_tensor(((int64_t[]){ 1, 0 }), AG_SHAPE(1, 2))), 3, 2);
    VALUES(ag_index_select(ag_cat(AG_LIST(a, b)), 0, ag_tensor(((int[]){ 1, 1 }), AG_SHAPE(2))), 3, 4, 3, 4);
}
END_TEST

START_TEST(many_variables_can_be_joined)
{
    Variable *list[100];
    for (int i = 0; i < 100; i++) list[i] = ag_requires_grad_(ag_full(AG_SHAPE(2), i, .dtype = AG_FLOAT64));
    Variable *y = ag_cat(ag_list_from(100, list)), *z = ag_stack(ag_list_from(100, list), 1);
    SHAPE(y, 200);
    SHAPE(z, 2, 100);
    OK(ag_backward(ag_add(ag_sum(ag_mul(y, y)), ag_sum(z))));
    for (int i = 0; i < 100; i++) VALUES(ag_grad(list[i]), 2 * i + 1, 2 * i + 1);
    REFUSED(ag_cat(ag_list_from(0, list)), "expected a non-empty list of Tensors");
    REFUSED(ag_stack(ag_list_from(0, list)), "stack expects a non-empty TensorList");
    REFUSED(ag_cat(AG_LIST(list[0], NULL)), "NULL");
}
END_TEST

START_TEST(batch_last_images_join_batch_last)
{
    Variable *x = ag_contiguous(ag_view(ag_arange(24), AG_SHAPE(2, 3, 2, 2)), AG_BATCH_LAST),
             *y = ag_cat(AG_LIST(x, x), 1);
    ck_assert_int_eq(ag_stride(y).at[0], 1);
    OK(ag_equal(y, ag_cat(AG_LIST(ag_contiguous(x), ag_contiguous(x)), 1)));
}
END_TEST

START_TEST(an_element_that_is_picked_twice_gets_both_gradients)
{
    Variable *x = LEAF(AG_SHAPE(3), 1, 2, 3);
    Variable *y = ag_index_select(x, 0, ag_tensor(((int64_t[]){ 2, 2, 0 }), AG_SHAPE(3)));
    OK(ag_backward(y, ag_tensor(((double[]){ 1, 10, 100 }), AG_SHAPE(3))));
    VALUES(ag_grad(x), 100, 0, 11);
    OK(ag_backward(ag_gather(x, 0, ag_tensor(((int64_t[]){ 1, 1 }), AG_SHAPE(2))),
                   ag_tensor(((double[]){ 1, 10 }), AG_SHAPE(2))));
    VALUES(ag_grad(x), 100, 11, 11);
    REFUSED(ag_gather(x, 0, ag_tensor(((int64_t[]){ 3 }), AG_SHAPE(1))),
            "index 3 is out of bounds for dimension 0 with size 3");
}
END_TEST

START_TEST(adding_by_number_may_not_read_what_it_writes)
{
    Variable *x = ag_tensor(((double[]){ 1, 2, 3, 4 }), AG_SHAPE(4)), *i = ag_arange(2), *y = ag_arange(4);
    REFUSED(ag_index_add_(x, 0, i, ag_narrow(x, 0, 1, 2)), "refer to a single memory location");
    REFUSED(ag_index_add_(y, 0, y, ag_ones_like(y)), "refer to a single memory location");
    REFUSED(ag_index_add_(ag_expand(x, AG_SHAPE(2, 4)), 1, i, ag_ones(AG_SHAPE(2, 2), .dtype = AG_FLOAT64)),
            "more than one element of the written-to tensor");
    VALUES(x, 1, 2, 3, 4);
    VALUES(ag_index_add_(x, 0, i, ag_tensor(((double[]){ 1, 2 }), AG_SHAPE(2)), .alpha = 10), 11, 22, 3, 4);
    VALUES(ag_index_add(x, 0, i, ag_narrow(x, 0, 0, 2)), 22, 44, 3, 4);
}
END_TEST

START_TEST(what_was_added_by_number_may_not_change_before_backward)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *i = ag_arange(2), *source = ag_clone(x);
    Variable *y = ag_index_add(ag_zeros_like(x), 0, i, source), *z = ag_index_copy(ag_zeros_like(x), 0, i, source);
    OK(ag_mul_(source, ag_scalar(2)));
    REFUSED(ag_backward(ag_sum(y)), "modified by an inplace operation");
    REFUSED(ag_backward(ag_sum(z)), "modified by an inplace operation");
}
END_TEST

START_TEST(totals_in_place_fit_a_view)
{
    Variable *x = ag_arange(6), *odd = ag_slice(x, .start = 1, .step = 2);
    VALUES(ag_cumsum_(odd, 0), 1, 4, 9);
    VALUES(x, 0, 1, 2, 4, 4, 9);
    REFUSED(ag_cumsum_(x, 0, .dtype = AG_INT32),
            "Bad in-place call: input tensor dtype long int and output tensor dtype int should match");
    REFUSED(ag_cumsum_(ag_ones(AG_SHAPE(2), .dtype = AG_BOOL), 0), "\"cumsum_out_cpu\" not implemented for 'Bool'");
    VALUES(ag_cumsum_(ag_full(AG_SHAPE(3), 100, .dtype = AG_UINT8), 0), 100, 200, 44);
}
END_TEST

/* d sum(g y) / d x[k] of one line, element by element: the product of the others up to each y[j], j >= k. */
static double product_gradient(const double *x, const double *g, int64_t n, int64_t step, int64_t k)
{
    double sum = 0;
    for (int64_t j = k; j < n; j++) {
        double others = 1;
        for (int64_t i = 0; i <= j; i++)
            if (i != k) others *= x[i * step];
        sum += g[j * step] * others;
    }
    return sum;
}
/* Lines side by side and one behind the other, of each number that is made at a time and some more; zeros among them.
 */
START_TEST(gradients_of_products_do_not_divide)
{
    static const int64_t shape[][3] = { { 1, 1, 1 },  { 1, 9, 1 },  { 4, 7, 1 },   { 11, 5, 1 }, { 3, 1, 3 },
                                        { 2, 6, 64 }, { 1, 4, 65 }, { 3, 5, 131 }, { 2, 2, 2 },  { 900, 40, 1 } };
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++)
        for (int d = 0; d < 2; d++) {
            AG_SCOPE;
            const int64_t n = shape[s][1], step = shape[s][2], numel = shape[s][0] * n * step;
            Shape size = AG_SHAPE(shape[s][0], n, step);
            Variable *x = ag_clone(support_draw(size, AG_FLOAT64, 2)), *g = support_draw(size, AG_FLOAT64, 1);
            for (int64_t i = 0; i < numel; i += 5) OK(ag_zero_(ag_select(ag_view(x, AG_SHAPE(-1)), 0, i)));
            Variable *p = ag_requires_grad_(ag_to(x, .dtype = (ag_dtype)d, .copy = true)), *grad;
            OK(ag_autograd_grad(AG_LIST(ag_cumprod(p, 1)), AG_LIST(p), &grad,
                                .grad_outputs = AG_LIST(ag_to(g, .dtype = (ag_dtype)d))));
            const double *at = ag_data(x), *by = ag_data(g), tolerance = d == AG_FLOAT32 ? 1e-5 : 1e-12;
            for (int64_t i = 0; i<numel; i += numel> 1000 ? 97 : 1) {
                const int64_t line = i / (n * step) * n * step + i % step;
                const double wanted = product_gradient(at + line, by + line, n, step, i / step % n);
                ck_assert_double_le(fabs(support_at(grad, i) - wanted), tolerance * fmax(1, fabs(wanted)));
            }
        }
}
END_TEST

SUPPORT_MAIN("join", cat_and_stack_do_what_pytorchs_do, gather_and_index_select_do_what_pytorchs_do,
             every_join_can_be_called_directly, many_variables_can_be_joined, batch_last_images_join_batch_last,
             an_element_that_is_picked_twice_gets_both_gradients, adding_by_number_may_not_read_what_it_writes,
             what_was_added_by_number_may_not_change_before_backward, totals_in_place_fit_a_view,
             gradients_of_products_do_not_divide)
