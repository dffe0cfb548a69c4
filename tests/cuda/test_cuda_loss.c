/* test_cuda_loss.c - softmax, log_softmax, nll_loss and cross_entropy on the device, and losses put together from other
 * ops. */
#include "tests/cuda/cuda_cases.h"

static int64_t along;
static Variable *softmax(Variable *x) { return ag_softmax(x, along); }
static Variable *log_softmax(Variable *x) { return ag_log_softmax(x, along); }

/* Values in both types, gradients in float64. */
static void same(Variable *(*f)(Variable *), Variable *x)
{
    cuda_same_function(f, x, 1e-11);
    cuda_same_function(f, ag_to(x, .dtype = AG_FLOAT32), 1e-5);
}

START_TEST(softmax_over_any_dimension)
{
    Variable *x = support_draw(AG_SHAPE(3, 5, 7), AG_FLOAT64, 4);
    Variable *const each[] = { x,
                               ag_transpose(x, 0, 2),
                               ag_slice(x, .dim = 2, .start = 0, .end = 7, .step = 2),
                               ag_select(x, 0, 1),
                               ag_select(ag_select(ag_select(x, 0, 1), 0, 1), 0, 1),
                               ag_slice(x, .dim = 0, .start = 1, .end = 1),
                               support_draw(AG_SHAPE(2, 1), AG_FLOAT64, 1),
                               support_draw(AG_SHAPE(3, 4, 2), AG_FLOAT64, 4) };
    for (int i = 0; i < (int)(sizeof each / sizeof *each); i++)
        for (along = -1; along < (ag_dim(each[i]) ? ag_dim(each[i]) - 1 : 1); along++) {
            same(softmax, each[i]);
            same(log_softmax, each[i]);
        }
}
END_TEST

START_TEST(rows_and_columns_of_many_lengths)
{
    static const int64_t length[] = { 1, 2, 3, 4, 5, 10, 31, 32, 33, 64, 100, 129, 512, 513, 1025, 4100 };
    for (int i = 0; i < (int)(sizeof length / sizeof *length); i++) {
        Variable *rows = support_draw(AG_SHAPE(2, length[i]), AG_FLOAT32, 3);
        Variable *columns = support_draw(AG_SHAPE(length[i], 3), AG_FLOAT32, 3);
        along = 1;
        cuda_same_function(softmax, rows, 1e-6);
        cuda_same_function(log_softmax, rows, 1e-6);
        along = 0;
        cuda_same_function(softmax, columns, 1e-6);
        cuda_same_function(log_softmax, columns, 1e-6);
    }
}
END_TEST

START_TEST(odd_numbers_make_a_row_what_they_make_it_on_the_cpu)
{
    Variable *x = ag_tensor(((double[]){ 1, NAN, 2, 1, INFINITY, 2, -INFINITY, -INFINITY, -INFINITY, -INFINITY, 0, 1,
                                         1000, -1000, 0, -1e30, 1e30, 3 }),
                            AG_SHAPE(6, 3));
    for (int d = 0; d < 2; d++)
        for (along = 0; along < 2; along++) {
            Variable *y = ag_to(x, .dtype = (ag_dtype)d), *there = ag_to(y, AG_CUDA);
            cuda_same(ag_to(softmax(there), AG_CPU), softmax(y), 1e-6);
            cuda_same(ag_to(log_softmax(there), AG_CPU), log_softmax(y), 1e-6);
        }
    REFUSED(ag_softmax(ag_zeros(AG_SHAPE(2), .dtype = AG_INT64, .device = AG_CUDA), 0), "not implemented for 'Long'");
    REFUSED(ag_softmax(ag_zeros(AG_SHAPE(2), .device = AG_CUDA), 1), "Dimension out of range");
}
END_TEST

/* ---- targets that are classes ---- */

/* The arguments but x, on x's device. */
static struct {
    Variable *target, *weight;
    int64_t ignore_index;
    const char *reduction;
    double label_smoothing;
} with;
static Variable *beside(Variable *x, Variable *y) { return y == AG_NONE ? y : ag_to(y, ag_device_of(x)); }
static Variable *weights(Variable *x)
{
    return with.weight == AG_NONE ? AG_NONE : beside(x, ag_to(with.weight, .dtype = ag_dtype_of(x)));
}
static Variable *nll_loss(Variable *x)
{
    return ag_nll_loss(x, beside(x, with.target), .weight = weights(x), .ignore_index = with.ignore_index,
                       .reduction = with.reduction);
}
static Variable *cross_entropy(Variable *x)
{
    return ag_cross_entropy(x, beside(x, with.target), .weight = weights(x), .ignore_index = with.ignore_index,
                            .reduction = with.reduction, .label_smoothing = with.label_smoothing);
}

static Variable *classes(Shape shape, int64_t n)
{
    Variable *x = ag_mul(ag_abs(support_draw(shape, AG_FLOAT64, 1)), ag_scalar((double)n));
    return ag_to(ag_clamp(x, .min = 0, .max = (double)n - 1), .dtype = AG_INT64);
}
static void all_reductions(Variable *x, int64_t n)
{
    static const char *const reduction[] = { "mean", "sum", "none" };
    Variable *weight = ag_add(ag_abs(support_draw(AG_SHAPE(n), AG_FLOAT64, 1)), ag_scalar(0.1));
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 4; k++) {
            with.reduction = reduction[i];
            with.weight = k % 2 ? weight : AG_NONE;
            with.ignore_index = k / 2 ? 1 : -100;
            same(nll_loss, x);
            same(cross_entropy, x);
        }
}

START_TEST(targets_may_be_classes)
{
    with.target = classes(AG_SHAPE(6), 4);
    all_reductions(support_draw(AG_SHAPE(6, 4), AG_FLOAT64, 3), 4);
    all_reductions(ag_transpose(support_draw(AG_SHAPE(4, 6), AG_FLOAT64, 3), 0, 1), 4);
    with.target = ag_to(with.target, .dtype = AG_UINT8);
    all_reductions(support_draw(AG_SHAPE(6, 4), AG_FLOAT64, 3), 4);
    with.target = classes(AG_SHAPE(2, 3, 5), 3);
    all_reductions(support_draw(AG_SHAPE(2, 3, 3, 5), AG_FLOAT64, 3), 3);
    with.target = classes(AG_SHAPE(4, 2), 3);
    all_reductions(support_draw(AG_SHAPE(4, 3, 2), AG_FLOAT64, 3), 3);
    with.target = ag_scalar_int64(2);
    all_reductions(support_draw(AG_SHAPE(5), AG_FLOAT64, 3), 5);
    with.target = ag_zeros(AG_SHAPE(0), .dtype = AG_INT64);
    all_reductions(ag_zeros(AG_SHAPE(0, 5), .dtype = AG_FLOAT64), 5);
}
END_TEST

START_TEST(gradients_in_float32)
{
    Variable *(*const f[])(Variable *) = { softmax, log_softmax, nll_loss, cross_entropy };
    Variable *x = support_draw(AG_SHAPE(6, 4), AG_FLOAT32, 3), *grad[2];
    along = 1;
    with.target = classes(AG_SHAPE(6), 4);
    with.weight = AG_NONE;
    with.ignore_index = 3;
    with.reduction = "mean";
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < 2; i++) {
            Variable *p = ag_requires_grad_(ag_to(x, i ? AG_CUDA : AG_CPU, .copy = true)), *y = f[k](p);
            OK(ag_backward(y, .gradient = ag_add(ag_detach(y), ag_scalar(1))));
            grad[i] = ag_to(ag_grad(p), AG_CPU);
        }
        cuda_same(grad[1], grad[0], 1e-6);
    }
}
END_TEST

START_TEST(many_targets_are_shared_out_among_blocks)
{
    with.weight = AG_NONE;
    with.ignore_index = 3;
    with.reduction = "mean";
    with.target = classes(AG_SHAPE(2500), 7);
    same(nll_loss, support_draw(AG_SHAPE(2500, 7), AG_FLOAT64, 3));
    same(cross_entropy, support_draw(AG_SHAPE(2500, 7), AG_FLOAT64, 3));
    with.target = classes(AG_SHAPE(20), 1100);
    same(cross_entropy, support_draw(AG_SHAPE(20, 1100), AG_FLOAT64, 3));
}
END_TEST

/* So many rows that a warp has each, and goes over it in several turns. */
START_TEST(many_long_rows)
{
    Variable *x = support_draw(AG_SHAPE(2100, 600), AG_FLOAT32, 3), *there = ag_to(x, AG_CUDA);
    along = 1;
    cuda_same(ag_to(softmax(there), AG_CPU), softmax(x), 1e-6);
    cuda_same(ag_to(log_softmax(there), AG_CPU), log_softmax(x), 1e-6);
    with.weight = AG_NONE;
    with.ignore_index = -100;
    with.reduction = "mean";
    with.target = classes(AG_SHAPE(2100), 600);
    cuda_same(ag_to(cross_entropy(there), AG_CPU), cross_entropy(x), 1e-6);
}
END_TEST

/* As many blocks as there may be, whose sums a block puts together in several turns. */
START_TEST(very_many_targets)
{
    Variable *x = support_draw(AG_SHAPE(1100000, 2), AG_FLOAT32, 3), *there = ag_to(x, AG_CUDA);
    with.weight = AG_NONE;
    with.ignore_index = -100;
    with.reduction = "mean";
    with.target = classes(AG_SHAPE(1100000), 2);
    cuda_same(ag_to(nll_loss(there), AG_CPU), nll_loss(x), 1e-6);
    cuda_same(ag_to(cross_entropy(there), AG_CPU), cross_entropy(x), 1e-6);
}
END_TEST

START_TEST(targets_may_be_smoothed_or_probabilities)
{
    with.target = classes(AG_SHAPE(6), 4);
    with.label_smoothing = 0.2;
    for (int i = 0; i < 2; i++) {
        with.reduction = i ? "mean" : "sum";
        with.ignore_index = i ? 2 : -100;
        with.weight = i ? ag_tensor(((double[]){ 1, 2, 0.5, 3 }), AG_SHAPE(4)) : AG_NONE;
        same(cross_entropy, support_draw(AG_SHAPE(6, 4), AG_FLOAT64, 3));
    }
    with.ignore_index = -100;
    for (int i = 0; i < 2; i++) {
        with.label_smoothing = i * 0.1;
        with.target = ag_softmax(support_draw(AG_SHAPE(6, 4), AG_FLOAT64, 1), 1);
        cuda_same_function(cross_entropy, support_draw(AG_SHAPE(6, 4), AG_FLOAT64, 3), 1e-12);
    }
    with.label_smoothing = 0;
}
END_TEST

START_TEST(what_is_wrong_is_said_as_on_the_cpu)
{
    Variable *x = ag_zeros(AG_SHAPE(2, 3), .device = AG_CUDA);
    Variable *target = ag_zeros(AG_SHAPE(2), .dtype = AG_INT64, .device = AG_CUDA);
    REFUSED(ag_cross_entropy(x, ag_zeros(AG_SHAPE(3), .dtype = AG_INT64, .device = AG_CUDA)),
            "nll_loss: Expected target size [2], got [3]");
    REFUSED(ag_cross_entropy(x, ag_zeros(AG_SHAPE(2), .dtype = AG_INT32, .device = AG_CUDA)),
            "expected scalar type Long or Byte but found Int");
    REFUSED(ag_cross_entropy(x, target, .weight = ag_ones(AG_SHAPE(2), .device = AG_CUDA)),
            "all 3 classes or no classes");
    REFUSED(ag_cross_entropy(x, target, .reduction = "median"), "median is not a valid value for reduction");
    REFUSED(ag_cross_entropy(x, ag_to(target, AG_CPU)), "found at least two devices, cuda:0 and cpu");
    REFUSED(ag_nll_loss(ag_to(x, .dtype = AG_INT64), target), "not implemented for 'Long'");
}
END_TEST

/* Nobody waits to look at the targets: one that is no class reads nothing that is not there, its loss is NaN, and
 * whoever waits hears of it. */
START_TEST(a_target_that_is_no_class_is_told_to_whoever_waits)
{
    Variable *x = ag_requires_grad_(ag_zeros(AG_SHAPE(3, 4), .device = AG_CUDA));
    Variable *target = ag_to(ag_tensor(((int64_t[]){ 1, 1000000, -5 }), AG_SHAPE(3)), AG_CUDA);
    Variable *y = ag_cross_entropy(x, target, .reduction = "none");
    OK(y);
    REFUSED(ag_cuda_synchronize(AG_CUDA), " is out of bounds, found when waiting for the device");
    OK(ag_cuda_synchronize(AG_CUDA)); /* told once */
    Variable *each = ag_to(ag_detach(y), AG_CPU);
    ck_assert(!isnan(support_at(each, 0)) && isnan(support_at(each, 1)) && isnan(support_at(each, 2)));
    OK(ag_backward(y, .gradient = ag_ones_like(y)));
    Variable *g = ag_to(ag_grad(x), AG_CPU);
    for (int i = 4; i < 12; i++) ck_assert_double_eq(support_at(g, i), 0);
    y = ag_nll_loss(x, target, .reduction = "none");
    OK(y);
    REFUSED(ag_to(ag_detach(y), AG_CPU), "nll_loss: Target ");
    each = ag_to(ag_detach(y), AG_CPU);
    ck_assert(!isnan(support_at(each, 0)) && isnan(support_at(each, 1)) && isnan(support_at(each, 2)));
    y = ag_nll_loss(x, ag_to(ag_tensor(((int64_t[]){ 1, 4, 0 }), AG_SHAPE(3)), AG_CUDA));
    OK(y);
    ck_assert(isnan(ag_item(y)));
    REFUSED(NULL, "nll_loss: Target 4 is out of bounds");
}
END_TEST

/* Kept are the log-probabilities, as by log_softmax: the logits may change before backward, and none is kept where
 * nobody wants a gradient. */
START_TEST(logits_may_change_before_backward)
{
    Variable *target = ag_tensor(((int64_t[]){ 1, 3, 0 }), AG_SHAPE(3));
    Variable *start = support_draw(AG_SHAPE(3, 4), AG_FLOAT64, 2), *grad[2], *second[2];
    for (int i = 0; i < 2; i++) {
        const ag_device device = i ? AG_CUDA : AG_CPU;
        Variable *x = ag_requires_grad_(ag_to(start, device, .copy = true)), *logits = ag_add(x, ag_scalar(1));
        Variable *loss = ag_cross_entropy(logits, ag_to(target, device));
        OK(ag_zero_(logits));
        OK(ag_autograd_grad(AG_LIST(loss), AG_LIST(x), &grad[i], .create_graph = true));
        OK(ag_autograd_grad(AG_LIST(ag_sum(ag_square(grad[i]))), AG_LIST(x), &second[i]));
        grad[i] = ag_detach(grad[i]);
    }
    cuda_same(ag_to(grad[1], AG_CPU), grad[0], 1e-12);
    cuda_same(ag_to(second[1], AG_CPU), second[0], 1e-12);

    const int64_t rows = 4096;
    Variable *x = ag_zeros(AG_SHAPE(rows, 1024), .device = AG_CUDA);
    Variable *zeros = ag_zeros(AG_SHAPE(rows), .dtype = AG_INT64, .device = AG_CUDA);
    const int64_t before = ag_cuda_memory_allocated(AG_CUDA);
    OK(ag_cross_entropy(x, zeros));
    ck_assert_int_lt(ag_cuda_memory_allocated(AG_CUDA) - before, rows * 1024);
    OK(ag_cross_entropy(ag_requires_grad_(x), zeros));
    ck_assert_int_ge(ag_cuda_memory_allocated(AG_CUDA) - before, rows * 1024 * 4);
}
END_TEST

START_TEST(what_is_no_probability_is_told_to_whoever_waits)
{
    const char *const sentence = "binary_cross_entropy: all elements of input should be between 0 and 1, found when";
    Variable *target = ag_to(ag_tensor(((double[]){ 0, 1, 0.5 }), AG_SHAPE(3)), AG_CUDA);
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < 4; i++) {
            const double number[] = { -0.5, 1.5, NAN, INFINITY };
            Variable *x = ag_to(ag_tensor(((double[]){ 0, 1, number[i] }), AG_SHAPE(3)), AG_CUDA, .dtype = (ag_dtype)d);
            REFUSED(ag_binary_cross_entropy(ag_to(x, AG_CPU), ag_to(target, AG_CPU, .dtype = (ag_dtype)d)),
                    "all elements of input should be between 0 and 1");
            Variable *y = ag_binary_cross_entropy(x, ag_to(target, .dtype = (ag_dtype)d), .reduction = "none");
            OK(y);
            REFUSED(ag_cuda_synchronize(AG_CUDA), sentence);
            y = ag_to(y, AG_CPU);
            ck_assert(support_at(y, 0) == 0 && support_at(y, 1) == 0 && isnan(support_at(y, 2)));
        }
}
END_TEST

START_TEST(a_loss_is_one_node)
{
    Variable *x = ag_requires_grad_(ag_zeros(AG_SHAPE(2, 3), .device = AG_CUDA));
    Variable *y = ag_cross_entropy(x, ag_zeros(AG_SHAPE(2), .dtype = AG_INT64, .device = AG_CUDA));
    char text[200];
    ag_repr(y, text, sizeof text);
    ck_assert_str_eq(text, "tensor(1.0986, device='cuda:0', grad_fn=<NllLossBackward0>)");
}
END_TEST

/* ---- put together from other ops ---- */

static Variable *mse(Variable *x) { return ag_mse_loss(x, beside(x, with.target)); }
static Variable *l1(Variable *x) { return ag_l1_loss(x, beside(x, with.target), .reduction = "sum"); }
static Variable *smooth_l1(Variable *x) { return ag_smooth_l1_loss(x, beside(x, with.target), .beta = 0.5); }
static Variable *huber(Variable *x) { return ag_huber_loss(x, beside(x, with.target)); }
static Variable *of_logits(Variable *x) { return ag_binary_cross_entropy_with_logits(x, beside(x, with.target)); }
static Variable *of_two(Variable *x) { return ag_binary_cross_entropy(ag_sigmoid(x), beside(x, with.target)); }
static Variable *divergence(Variable *x) { return ag_kl_div(x, beside(x, with.target), .reduction = "batchmean"); }
static Variable *soft_margin(Variable *x) { return ag_soft_margin_loss(x, beside(x, with.target)); }

START_TEST(losses_of_elements)
{
    Variable *(*const f[])(Variable *) = { mse, l1, smooth_l1, huber, of_logits, of_two, divergence, soft_margin };
    with.target = ag_sigmoid(support_draw(AG_SHAPE(4, 5), AG_FLOAT64, 2));
    Variable *x = support_draw(AG_SHAPE(4, 5), AG_FLOAT64, 2);
    for (int i = 0; i < (int)(sizeof f / sizeof *f); i++) cuda_same_function(f[i], x, 1e-12);
}
END_TEST

SUPPORT_MAIN("cuda/loss", softmax_over_any_dimension, rows_and_columns_of_many_lengths,
             odd_numbers_make_a_row_what_they_make_it_on_the_cpu, targets_may_be_classes, gradients_in_float32,
             many_targets_are_shared_out_among_blocks, many_long_rows, very_many_targets,
             targets_may_be_smoothed_or_probabilities, what_is_wrong_is_said_as_on_the_cpu,
             a_target_that_is_no_class_is_told_to_whoever_waits, logits_may_change_before_backward,
             what_is_no_probability_is_told_to_whoever_waits, a_loss_is_one_node, losses_of_elements)
