/* test_pointwise_layouts.c - where elements lie: large operands in every kind of memory, on any number of threads;
 * results' strides; what in-place forms change, what they refuse, and that a refused call leaves everything as it was.
 */
#include "pointwise_cases.h"

#include <argent/num_threads.h>

/* ---- large operands ---- */

/* Element by element, after the definition of strides. */
static double element(const Variable *x, const int64_t *index, int ndim)
{
    const ag_tensor *t = &x->tensor;
    const char *at = t->data;
    for (int d = 0; d < t->ndim; d++)
        if (t->size[d] > 1) at += index[ndim - t->ndim + d] * t->stride[d] * (int64_t)ag_dtype_size((ag_dtype)t->dtype);
    return ag__load(at, (ag_dtype)t->dtype);
}
static void check_sum(Variable *a, Variable *b, const char *what)
{
    Variable *y = ag_add(a, b, .alpha = 3);
    OK(y);
    const ag_tensor *t = &y->tensor;
    int64_t index[AG_MAX_DIMS] = { 0 };
    for (int64_t i = 0; i < t->numel; i++) {
        double got = element(y, index, t->ndim), want = element(a, index, t->ndim) + 3 * element(b, index, t->ndim);
        if (got != want) ck_abort_msg("%s: element %lld is %g, not %g", what, (long long)i, got, want);
        for (int d = t->ndim; d-- && ++index[d] == t->size[d];) index[d] = 0;
    }
}
/* Small whole numbers, so that sums are exact in every type. */
static Variable *counted(Shape shape, ag_dtype dtype)
{
    Variable *x = ag_empty(shape, .dtype = dtype);
    char *at = ag_data_mutable(x);
    for (int64_t i = 0; i < ag_numel(x); i++)
        ag__store_int64(at + (size_t)i * ag_dtype_size(dtype), dtype, (i * 7 + 3) % 23);
    return x;
}

START_TEST(operands_lie_in_every_way_and_meet_in_every_type)
{
    static const ag_dtype types[] = { AG_FLOAT32, AG_FLOAT64, AG_INT64, AG_INT32, AG_UINT8 };
    for (size_t p = 0; p < 5; p++)
        for (size_t q = 0; q < 5; q++) {
            AG_SCOPE;
            ag_dtype s = types[p], t = types[q];
            Variable *a = counted(AG_SHAPE(40, 300), s), *b = counted(AG_SHAPE(40, 300), t),
                     *c = counted(AG_SHAPE(300, 40), t);
            check_sum(a, b, "plain");
            check_sum(a, ag_t(c), "one transposed");
            check_sum(ag_t(c), a, "the other transposed");
            check_sum(ag_t(c), ag_t(counted(AG_SHAPE(300, 40), s)), "both");
            check_sum(a, ag_narrow(b, 0, 3, 1), "a row");
            check_sum(a, ag_narrow(b, 1, 3, 1), "a column");
            check_sum(a, ag_select(ag_select(b, 0, 5), 0, 7), "one element");
            check_sum(ag_slice(a, 1, 0, 300, 3), ag_narrow(b, 1, 11, 100), "every third of a row");
            check_sum(ag_slice(a, 1, 0, 300, 100), ag_narrow(b, 1, 11, 3), "short rows");
            check_sum(ag_narrow(a, 1, 1, 1), ag_narrow(b, 0, 2, 1), "an outer sum");
            check_sum(a, ag_scalar(2), "a number");
            check_sum(ag_scalar(2), ag_t(c), "a number first");
        }
}
END_TEST

/* Of that shape, its dimensions lying in memory in a random order. */
static Variable *somehow(uint64_t *state, int ndim, const int64_t *size, ag_dtype dtype)
{
    int64_t at[AG_MAX_DIMS], there[AG_MAX_DIMS], lies[AG_MAX_DIMS];
    for (int d = 0; d < ndim; d++) at[d] = d;
    for (int d = ndim - 1; d > 0; d--) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        int other = (int)(*state >> 33) % (d + 1);
        int64_t was = at[d];
        at[d] = at[other];
        at[other] = was;
    }
    for (int d = 0; d < ndim; d++) {
        lies[d] = size[at[d]];
        there[at[d]] = d;
    }
    return ag_permute(counted(ag_sizes_of(ndim, lies), dtype), ag_sizes_of(ndim, there));
}

START_TEST(operands_that_disagree_about_the_fast_dimension_meet_in_tiles)
{
    static const int64_t sizes[][4] = {
        { 65, 70, 1, 1 }, { 7, 8, 9, 10 }, { 3, 131, 66, 1 }, { 9, 2, 257, 8 }, { 33, 1, 5, 129 }
    };
    static const ag_dtype types[] = { AG_FLOAT32, AG_FLOAT64, AG_INT64, AG_INT32, AG_UINT8 };
    uint64_t state = 1;
    int before = ag_get_num_threads();
    for (int round = 0; round < 60; round++) {
        AG_SCOPE;
        const int64_t *size = sizes[round % 5];
        const bool mixed = round % 4 == 3;
        ag_dtype s = types[round % 3 ? 0 : round / 5 % 5], t = mixed ? types[round / 4 % 5] : s;
        Variable *a = somehow(&state, 4, size, s), *b = somehow(&state, 4, size, t), *c = somehow(&state, 4, size, s),
                 *m = somehow(&state, 4, size, AG_BOOL);
        OK(ag_set_num_threads(round % 2 ? 1 : 3));
        check_sum(a, b, "in some order");
        if (mixed) continue;
        Variable *even = ag_clone(a, .memory_format = AG_CONTIGUOUS_FORMAT), *other = ag_contiguous(b),
                 *third = ag_contiguous(c);
        ck_assert(ag_equal(ag_where(m, a, b), ag_where(ag_contiguous(m), even, other)));
        if (s == AG_FLOAT32 || s == AG_FLOAT64) { /* three operands turned over, one of them in place */
            ck_assert(ag_equal(ag_addcmul(a, b, c), ag_addcmul(even, other, third)));
            OK(ag_addcmul_(a, b, c));
            ck_assert(ag_equal(a, ag_addcmul(even, other, third)));
        } else {
            OK(ag_mul_(a, b));
            ck_assert(ag_equal(a, ag_mul(even, other)));
        }
    }
    OK(ag_set_num_threads(before));
}
END_TEST

START_TEST(many_dimensions)
{
    Variable *a = counted(AG_SHAPE(2, 3, 2, 3, 2, 3, 2, 3), AG_FLOAT32);
    check_sum(a, ag_permute(a, AG_SHAPE(6, 7, 4, 5, 2, 3, 0, 1)), "permuted");
    check_sum(a, counted(AG_SHAPE(3, 1, 3, 1, 3, 1, 3), AG_FLOAT32), "broadcast");
    check_sum(ag_expand(counted(AG_SHAPE(3, 1, 1), AG_FLOAT64), AG_SHAPE(2, 2, 3, 2, 3)),
              counted(AG_SHAPE(2, 1, 3, 2, 1), AG_FLOAT32), "expanded");
}
END_TEST

START_TEST(bits_do_not_depend_on_the_number_of_threads)
{
    enum { N = 200003 };
    Variable *x = ag_to(support_random(AG_SHAPE(N), -3, 3), .dtype = AG_FLOAT32),
             *w = ag_slice(ag_to(support_random(AG_SHAPE(2 * N), 0.1, 3), .dtype = AG_FLOAT32), 0, 0, 2 * N, 2);
    static const int threads[] = { 1, 2, 3, 16 };
    Variable *first[3] = { NULL };
    int before = ag_get_num_threads();
    for (size_t k = 0; k < 4; k++) {
        OK(ag_set_num_threads(threads[k]));
        Variable *y[] = { ag_tanh(x), ag_pow(w, x), ag_to(ag_gt(x, w), .dtype = AG_FLOAT32) };
        for (int i = 0; i < 3; i++) {
            if (!first[i]) first[i] = y[i];
            ck_assert(ag_equal(y[i], first[i]));
            ck_assert(ag_equal(ag_narrow(y[i], 0, 70001, 9),
                               i == 0   ? ag_tanh(ag_narrow(x, 0, 70001, 9))
                               : i == 1 ? ag_pow(ag_narrow(w, 0, 70001, 9), ag_narrow(x, 0, 70001, 9))
                                        : ag_narrow(first[2], 0, 70001, 9)));
        }
    }
    OK(ag_set_num_threads(before));
}
END_TEST

/* Of 1,500 rows or more, a hundred at a time. */
static Variable *some_rows(Variable *x, int64_t first) { return ag_size(x, 0) == 1 ? x : ag_narrow(x, 0, first, 100); }
static void check_rows(Variable *y, Variable *a, Variable *b, Variable *(*op)(Variable *, Variable *))
{
    for (int64_t first = 0; first < ag_size(y, 0); first += 100) {
        AG_SCOPE;
        ck_assert(ag_equal(some_rows(y, first), op(some_rows(a, first), some_rows(b, first))));
    }
}
START_TEST(results_too_large_for_the_caches_are_those_of_their_parts)
{
    const int before = ag_get_num_threads();
    for (int threads = 1; threads <= 3; threads += 2) {
        AG_SCOPE;
        OK(ag_set_num_threads(threads));
        for (int odd = 0; odd < 2; odd++) {
            AG_SCOPE;
            const int64_t columns = odd ? 2003 : 2048;
            Variable *a = counted(AG_SHAPE(1500, columns), AG_FLOAT32),
                     *b = counted(AG_SHAPE(columns, 1500), AG_FLOAT32),
                     *row = counted(AG_SHAPE(1, columns), AG_FLOAT32), *column = counted(AG_SHAPE(1500, 1), AG_FLOAT32);
            check_rows(ag_mul(a, ag_exp(a)), a, ag_exp(a), ag_mul);
            check_rows(ag_mul(a, ag_t(b)), a, ag_t(b), ag_mul);
            check_rows(ag_mul(a, row), a, row, ag_mul);
            check_rows(ag_mul(column, a), column, a, ag_mul);
            check_rows(ag_where(ag_lt(a, row), a, row), a, row, ag_minimum);
            Variable *changed = ag_clone(a);
            OK(ag_mul_(changed, a));
            check_rows(changed, a, a, ag_mul);
        }
        Variable *a = counted(AG_SHAPE(4300, 2003), AG_UINT8), *b = counted(AG_SHAPE(1, 2003), AG_UINT8);
        check_rows(ag_lt(a, b), a, b, ag_lt);
    }
    OK(ag_set_num_threads(before));
}
END_TEST

START_TEST(results_lie_as_their_inputs_do)
{
    Variable *x = ag_zeros(AG_SHAPE(2, 3, 4, 5), .memory_format = AG_BATCH_LAST), *bias = ag_zeros(AG_SHAPE(3, 1, 1));
    Shape stride = ag_stride(ag_relu(ag_add(x, bias)));
    for (int d = 0; d < 4; d++) ck_assert_int_eq(stride.at[d], ag_stride(x).at[d]);
    ck_assert_int_eq(stride.at[0], 1);
    Variable *g, *y;
    OK(ag_requires_grad_(x));
    y = ag_tanh(x);
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), &g, .grad_outputs = AG_LIST(ag_ones_like(y))));
    ck_assert_int_eq(ag_stride(g).at[0], 1);
    ck_assert(ag_is_contiguous(ag_mul(ag_zeros(AG_SHAPE(3, 1)), ag_zeros(AG_SHAPE(4)))));
}
END_TEST

/* ---- in place ---- */

START_TEST(in_place_forms_change_and_return_their_first_input)
{
    Variable *base = ag_arange(6, .dtype = AG_FLOAT32), *x = ag_t(ag_view(base, AG_SHAPE(2, 3)));
    int64_t version = ag_version(base);
    ck_assert_ptr_eq(ag_mul_(x, ag_tensor(((float[]){ 10, 100 }), AG_SHAPE(2))), x);
    VALUES(base, 0, 10, 20, 300, 400, 500);
    ck_assert_int_eq(ag_version(base), version + 1);
    OK(ag_add_(ag_slice(base, 0, 0, 6, 2), ag_scalar(1)));
    VALUES(base, 1, 10, 21, 300, 401, 500);
    Variable *i = ag_arange(4);
    OK(ag_add_(i, i));
    VALUES(i, 0, 2, 4, 6);
    OK(ag_lt_(i, ag_scalar(3.5)));
    VALUES(i, 1, 1, 0, 0);
    ck_assert_int_eq(ag_dtype_of(i), AG_INT64);
    OK(ag_add_(base, ag_full(AG_SHAPE(6), 0.5, .dtype = AG_FLOAT64)));
    VALUES(base, 1.5, 10.5, 21.5, 300.5, 401.5, 500.5);
}
END_TEST

START_TEST(an_operand_that_is_overwritten_is_kept_as_it_was_and_another_that_is_it_is_noticed)
{
    Variable *x = LEAF(AG_SHAPE(2), 2, 3), *y = ag_clone(x), *w = LEAF(AG_SHAPE(2), 5, 7);
    OK(ag_mul_(y, w));
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(w), 2, 3);
    VALUES(ag_grad(x), 5, 7);
    y = ag_clone(x);
    OK(ag_mul_(y, y));
    VALUES(y, 4, 9);
    REFUSED(ag_backward(ag_sum(y)), "which is output 0 of Mul, is at version 1; expected version 0 instead.");
    y = ag_clone(x);
    OK(ag_div_(y, ag_detach(y)));
    REFUSED(ag_backward(ag_sum(y)), "[torch.DoubleTensor [2]] is at version 1; expected version 0 instead.");
    y = ag_mul(x, ag_scalar(1));
    OK(ag_relu_(ag_sub_(y, ag_scalar(2.5))));
    OK(ag_set_grad(x, AG_NONE));
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 0, 1);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "ReluBackward0");
}
END_TEST

/* What was refused has changed nothing: neither numbers nor version. */
static void refused_unchanged(Variable *y, Variable *x, Variable *before, int64_t version, const char *part, int line)
{
    support_refused(y != NULL, part, "in place", __FILE__, line);
    ck_assert_msg(ag_equal(x, before), "line %d: changed", line);
    ck_assert_int_eq(ag_version(x), version);
}
#define KEEPS(x, call, part)                                           \
    do {                                                               \
        Variable *before_ = ag_clone(ag_detach(x));                    \
        int64_t version_ = ag_version(x);                              \
        refused_unchanged(call, x, before_, version_, part, __LINE__); \
    } while (0)

START_TEST(what_cannot_be_done_in_place_is_refused_and_changes_nothing)
{
    Variable *x = ag_ones(AG_SHAPE(3, 3)), *two = ag_ones(AG_SHAPE(2)), *i = ag_arange(3),
             *leaf = LEAF(AG_SHAPE(2), 1, 2);
    KEEPS(two, ag_add_(two, ag_ones(AG_SHAPE(3, 2))),
          "add_: output with shape [2] doesn't match the broadcast shape [3, 2]");
    KEEPS(i, ag_add_(i, ag_scalar(1.5)), "add_: result type Float can't be cast to the desired output type Long");
    KEEPS(i, ag_div_(i, ag_scalar(2)), "can't be cast");
    KEEPS(x, ag_add_(x, ag_select(x, 0, 0)),
          "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single");
    KEEPS(x, ag_mul_(ag_narrow(x, 0, 0, 2), ag_narrow(x, 0, 1, 2)),
          "Please clone() the tensor before performing the operation.");
    KEEPS(two, ag_add_(ag_expand(ag_narrow(two, 0, 0, 1), AG_SHAPE(3)), two), "");
    KEEPS(two, ag_exp_(ag_expand(ag_narrow(two, 0, 0, 1), AG_SHAPE(3))),
          "unsupported operation: more than one element of the written-to tensor refers to a single memory location.");
    KEEPS(leaf, ag_relu_(leaf), "a leaf Variable that requires grad is being used in an in-place operation.");
    KEEPS(x, ag_add_(x, NULL), "other is NULL");
    KEEPS(x, ag_add_(x, ag_ones(AG_SHAPE(2))),
          "The size of tensor a (3) must match the size of tensor b (2) at non-singleton dimension 1");
    REFUSED(ag_add_(ag_scalar(1), ag_scalar(2)), "shared");
    {
        AG_NO_GRAD;
        OK(ag_relu_(leaf));
    }
    ck_assert_ptr_null(ag_add(x, ag_ones(AG_SHAPE(2)))); /* while an error stands nothing changes */
    ck_assert_ptr_null(ag_add_(x, ag_scalar(1)));
    ag_clear_error();
    VALUES(x, 1, 1, 1, 1, 1, 1, 1, 1, 1);
}
END_TEST

/* ---- errors ---- */

START_TEST(wrong_calls_give_sentences)
{
    Variable *a = ag_ones(AG_SHAPE(2, 3)), *flag = ag_gt(a, a);
    REFUSED(ag_exp(NULL), "exp: input is NULL");
    REFUSED(ag_mul(a, AG_NONE), "mul: other must not be None");
    REFUSED(ag_mul(a, ag_ones(AG_SHAPE(2, 4))),
            "mul: The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1");
    REFUSED(ag_neg(flag), "neg: Negation, the `-` operator, on a bool tensor is not supported.");
    REFUSED(ag_sub(flag, flag), "with two bool tensors is not supported");
    REFUSED(ag_sub(a, flag), "with a bool tensor is not supported");
    REFUSED(ag_gelu(ag_arange(3)), "not implemented for 'Long'");
    REFUSED(ag_clamp(a), "At least one of 'min' or 'max' must not be None");
    REFUSED(ag_where(a, a, a), "where expected condition to be a boolean tensor, but got a tensor with dtype Float "
                               "(condition: [2, 3] float32 cpu");
    REFUSED(ag_add(ag_arange(3), ag_arange(3), .alpha = 0.5), "argument alpha must not be a floating point number");
    REFUSED(ag_pow(ag_arange(3), ag_scalar(-1)), "Integers to negative integer powers are not allowed.");
    ck_assert_int_eq(ag_call("gelu_", 1, (ag_value[]){ ag_of(a) }, 0, NULL, (Variable *[]){ NULL }, 1), 0);
    ck_assert_ptr_nonnull(ag_error());
    ag_clear_error();
}
END_TEST

START_TEST(comparisons_and_integers_want_no_gradient)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    ck_assert(!ag_requires_grad(ag_gt(x, ag_scalar(1.5))));
    ck_assert(!ag_requires_grad(ag_logical_not(x)));
    Variable *flag = ag_gt(x, ag_scalar(1.5));
    Variable *y = ag_where(flag, x, ag_neg(x));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "WhereBackward0");
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), -1, 1);
    Variable *s = ag_sign(x);
    ck_assert(ag_requires_grad(s));
    OK(ag_set_grad(x, AG_NONE));
    OK(ag_backward(ag_sum(s)));
    VALUES(ag_grad(x), 0, 0);
}
END_TEST

START_TEST(a_gradient_comes_back_in_the_type_and_shape_of_its_input)
{
    Variable *x = ag_requires_grad_(ag_ones(AG_SHAPE(3))),
             *w = ag_requires_grad_(ag_full(AG_SHAPE(2, 1), 2, .dtype = AG_FLOAT64)), *i = ag_arange(3);
    Variable *y = ag_mul(ag_mul(x, w), i);
    ck_assert_int_eq(ag_dtype_of(y), AG_FLOAT64);
    OK(ag_backward(ag_sum(y)));
    ck_assert_int_eq(ag_dtype_of(ag_grad(x)), AG_FLOAT32);
    VALUES(ag_grad(x), 0, 4, 8);
    VALUES(ag_grad(w), 3, 3);
    SHAPE(ag_grad(w), 2, 1);
}
END_TEST

SUPPORT_MAIN("pointwise layouts", operands_lie_in_every_way_and_meet_in_every_type,
             operands_that_disagree_about_the_fast_dimension_meet_in_tiles, many_dimensions,
             bits_do_not_depend_on_the_number_of_threads, results_too_large_for_the_caches_are_those_of_their_parts,
             results_lie_as_their_inputs_do, in_place_forms_change_and_return_their_first_input,
             an_operand_that_is_overwritten_is_kept_as_it_was_and_another_that_is_it_is_noticed,
             what_cannot_be_done_in_place_is_refused_and_changes_nothing, wrong_calls_give_sentences,
             comparisons_and_integers_want_no_gradient, a_gradient_comes_back_in_the_type_and_shape_of_its_input)
