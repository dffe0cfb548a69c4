/* test_cuda.c - Variables on CUDA devices. Without a GPU the plug-in that AG_CUDA_PLUGIN names runs the same kernels on
 * the CPU, on two pretended devices (docs/cuda.md). */
#include "autograd/op.h"
#include "tests/cuda/cuda_cases.h"

#define CUDA1 AG_DEVICE(AG_DEVICE_CUDA, 1)

START_TEST(there_are_devices)
{
    ck_assert(ag_cuda_is_available());
    ck_assert_int_ge(ag_cuda_device_count(), 1);
    OK(ag_cuda_synchronize(AG_CUDA));
    REFUSED(ag_zeros(AG_SHAPE(2), .device = AG_DEVICE(AG_DEVICE_CUDA, 50)), "cuda has no device 50");
}
END_TEST

/* ---- there and back ---- */

static void go_and_come_back(ag_dtype dtype)
{
    Variable *x = ag_to(support_draw(AG_SHAPE(3, 4, 5), AG_FLOAT64, 100), .dtype = dtype);
    Variable *const layout[] = {
        x,
        ag_transpose(x, 0, 2),
        ag_select(x, 1, 2),
        ag_expand(ag_slice(x, .dim = 0, .start = 1, .end = 2), AG_SHAPE(6, 4, 5)),
        ag_slice(x, .dim = 2, .start = 0, .end = 5, .step = 2),
        ag_contiguous(x, .memory_format = AG_BATCH_LAST),
        ag_slice(x, .dim = 0, .start = 1, .end = 1),
        ag_select(ag_select(ag_select(x, 0, 1), 0, 1), 0, 1),
    };
    for (int i = 0; i < (int)(sizeof layout / sizeof *layout); i++) {
        Variable *there = ag_to(layout[i], AG_CUDA);
        OK(there);
        ck_assert_int_eq(ag_device_of(there).type, AG_DEVICE_CUDA);
        cuda_same(ag_to(there, AG_CPU), layout[i], 0);
        cuda_same(ag_to(ag_clone(there), AG_CPU), layout[i], 0);
    }
    Variable *there = ag_to(x, AG_CUDA);
    cuda_same(ag_to(ag_transpose(there, 0, 2), AG_CPU), layout[1], 0);
    cuda_same(ag_to(ag_select(there, 1, 2), AG_CPU), layout[2], 0);
    cuda_same(ag_to(ag_contiguous(ag_transpose(there, 0, 2)), AG_CPU), layout[1], 0);
}
START_TEST(numbers_come_back_as_they_went)
{
    for (int d = 0; d < AG_N_DTYPES; d++) go_and_come_back((ag_dtype)d);
}
END_TEST

START_TEST(types_are_converted_as_on_the_cpu)
{
    const double odd[] = {
        0, -0.0, 1, -1, 0.5, 255, 256, -1.5, 3e9, -3e9, 1e19, -1e19, NAN, INFINITY, -INFINITY, 1e300
    };
    for (int from = 0; from < AG_N_DTYPES; from++) {
        Variable *x = ag_to(ag_tensor(odd, AG_SHAPE(16)), .dtype = (ag_dtype)from), *there = ag_to(x, AG_CUDA);
        for (int to = 0; to < AG_N_DTYPES; to++) {
            Variable *here = ag_to(x, .dtype = (ag_dtype)to);
            cuda_same(ag_to(ag_to(there, .dtype = (ag_dtype)to), AG_CPU), here, 0);
            cuda_same(ag_to(x, AG_CUDA, .dtype = (ag_dtype)to), here, 0);
            cuda_same(ag_to(there, AG_CPU, .dtype = (ag_dtype)to), here, 0);
        }
    }
}
END_TEST

START_TEST(copy_and_fill_write_through_views)
{
    Variable *x = support_draw(AG_SHAPE(4, 6), AG_FLOAT32, 1), *y = ag_to(x, AG_CUDA, .copy = true);
    Variable *row = support_draw(AG_SHAPE(6), AG_FLOAT64, 1);
    x = ag_clone(x);
    Variable *const each[] = { x, y };
    for (int i = 0; i < 2; i++) {
        OK(ag_copy_(ag_select(each[i], 0, 1), row)); /* another type, from the host */
        OK(ag_copy_(ag_slice(each[i], .dim = 1, .start = 0, .end = 6, .step = 2), ag_scalar(7)));
        OK(ag_fill_(ag_select(each[i], 1, 3), -2.5));
        OK(ag_zero_(ag_select(each[i], 0, 3)));
    }
    cuda_same(ag_to(y, AG_CPU), x, 0);
    OK(ag_copy_(x, ag_mul(y, ag_scalar(2))));
    cuda_same(x, ag_to(ag_add(y, y), AG_CPU), 0);
}
END_TEST

START_TEST(factories_make_on_the_device)
{
    for (int d = 0; d < AG_N_DTYPES; d++) {
        ag_dtype dtype = (ag_dtype)d;
        cuda_same(ag_to(ag_zeros(AG_SHAPE(3, 2), .dtype = dtype, .device = AG_CUDA), AG_CPU),
                  ag_zeros(AG_SHAPE(3, 2), .dtype = dtype), 0);
        cuda_same(ag_to(ag_full(AG_SHAPE(300), 5, .dtype = dtype, .device = AG_CUDA), AG_CPU),
                  ag_full(AG_SHAPE(300), 5, .dtype = dtype), 0);
        cuda_same(ag_to(ag_eye(5, .dtype = dtype, .device = AG_CUDA), AG_CPU), ag_eye(5, .dtype = dtype), 0);
    }
    Variable *x = ag_ones(AG_SHAPE(2, 3), .device = AG_CUDA);
    ck_assert_int_eq(ag_device_of(ag_zeros_like(x)).type, AG_DEVICE_CUDA);
    ck_assert_double_eq(ag_item(ag_full(AG_SHAPE(1), 2.5, .device = AG_CUDA)), 2.5);
    ck_assert_int_eq(ag_item_int64(ag_full(AG_SHAPE(1), 1L << 60, .dtype = AG_INT64, .device = AG_CUDA)), 1L << 60);
    double out[6];
    OK(ag_copy_to(x, out, AG_FLOAT64));
    for (int i = 0; i < 6; i++) ck_assert_double_eq(out[i], 1);
}
END_TEST

/* ---- computing ---- */

START_TEST(operands_may_lie_in_any_way)
{
    for (int d = 0; d < AG_N_DTYPES; d++) {
        Variable *x = ag_to(support_draw(AG_SHAPE(5, 1, 33), AG_FLOAT64, 9), .dtype = (ag_dtype)d);
        Variable *y = ag_to(support_draw(AG_SHAPE(7, 5), AG_FLOAT64, 9), .dtype = AG_FLOAT32);
        Variable *there = ag_to(x, AG_CUDA), *y_there = ag_to(y, AG_CUDA);
        Variable *here = ag_transpose(y, 0, 1), *over = ag_transpose(y_there, 0, 1);
        here = ag_view(ag_contiguous(here), AG_SHAPE(5, 7, 1));
        over = ag_view(ag_contiguous(over), AG_SHAPE(5, 7, 1));
        cuda_same(ag_to(ag_mul(there, over), AG_CPU), ag_mul(x, here), 0);
        cuda_same(ag_to(ag_add(over, there, .alpha = 3), AG_CPU), ag_add(here, x, .alpha = 3), 0);
        cuda_same(ag_to(ag_lt(there, over), AG_CPU), ag_lt(x, here), 0);
        cuda_same(ag_to(ag_add(there, ag_scalar(2)), AG_CPU), ag_add(x, ag_scalar(2)), 0);
        cuda_same(ag_to(ag_where(ag_gt(over, ag_scalar(0)), over, ag_scalar(-1)), AG_CPU),
                  ag_where(ag_gt(here, ag_scalar(0)), here, ag_scalar(-1)), 0);
        Variable *t = ag_transpose(x, 0, 2), *t_there = ag_transpose(there, 0, 2);
        cuda_same(ag_to(ag_mul(t_there, t_there), AG_CPU), ag_mul(t, t), 0);
    }
    cuda_same(ag_to(ag_exp(ag_to(ag_zeros(AG_SHAPE(0, 3)), AG_CUDA)), AG_CPU), ag_zeros(AG_SHAPE(0, 3)), 0);
}
END_TEST

START_TEST(in_place_changes_the_numbers_there)
{
    Variable *x = support_draw(AG_SHAPE(6, 70), AG_FLOAT32, 2), *y = ag_to(x, AG_CUDA, .copy = true);
    x = ag_clone(x);
    Variable *const each[] = { x, y };
    for (int i = 0; i < 2; i++) {
        OK(ag_mul_(each[i], ag_scalar(3)));
        OK(ag_relu_(ag_slice(each[i], .dim = 1, .start = 3, .end = 60, .step = 3)));
        OK(ag_add_(each[i], ag_transpose(ag_view(ag_clone(each[i]), AG_SHAPE(70, 6)), 0, 1)));
    }
    cuda_same(ag_to(y, AG_CPU), x, 0);
}
END_TEST

/* The same function of leaves here and there: value, and the gradients of two passes. */
START_TEST(gradients_are_those_of_the_cpu)
{
    Variable *a = support_draw(AG_SHAPE(4, 50), AG_FLOAT64, 1), *b = support_draw(AG_SHAPE(4, 50), AG_FLOAT64, 1);
    Variable *g = support_draw(AG_SHAPE(4, 50), AG_FLOAT64, 1), *grad[2][2], *value[2];
    for (int i = 0; i < 2; i++) {
        const ag_device device = i ? AG_CUDA : AG_CPU;
        Variable *p = ag_requires_grad_(ag_to(a, device, .copy = true));
        Variable *q = ag_requires_grad_(ag_to(b, device, .copy = true)), *by = ag_to(g, device);
        for (int pass = 0; pass < 2; pass++) {
            Variable *y = ag_mul(ag_tanh(ag_add(p, ag_mul(q, q))), ag_sigmoid(ag_sub(p, q)));
            y = ag_add(ag_transpose(ag_transpose(y, 0, 1), 0, 1), ag_relu(p));
            value[i] = y;
            OK(ag_backward(y, .gradient = by));
        }
        grad[i][0] = ag_to(ag_grad(p), AG_CPU);
        grad[i][1] = ag_to(ag_grad(q), AG_CPU);
    }
    cuda_same(ag_to(value[1], AG_CPU), value[0], 1e-14);
    cuda_same(grad[1][0], grad[0][0], 1e-13);
    cuda_same(grad[1][1], grad[0][1], 1e-13);
}
END_TEST

START_TEST(gradients_of_gradients_are_those_of_the_cpu)
{
    Variable *a = support_draw(AG_SHAPE(60), AG_FLOAT64, 1), *grad[2];
    for (int i = 0; i < 2; i++) {
        const ag_device device = i ? AG_CUDA : AG_CPU;
        Variable *p = ag_requires_grad_(ag_to(a, device, .copy = true)), *one = ag_ones_like(p);
        Variable *y = ag_mul(ag_exp(p), p);
        Variable *first, *second;
        OK(ag_autograd_grad(AG_LIST(y), AG_LIST(p), &first, .grad_outputs = AG_LIST(one), .create_graph = true));
        OK(ag_autograd_grad(AG_LIST(first), AG_LIST(p), &second, .grad_outputs = AG_LIST(one)));
        grad[i] = ag_to(second, AG_CPU);
    }
    cuda_same(grad[1], grad[0], 1e-12);
}
END_TEST

START_TEST(a_copy_to_the_device_has_a_gradient)
{
    Variable *x = LEAF(AG_SHAPE(3), 1, 2, 3);
    Variable *there = ag_to(x, AG_CUDA);
    OK(ag_backward(ag_mul(there, there), .gradient = ag_ones_like(there)));
    VALUES(ag_grad(x), 2, 4, 6);
}
END_TEST

/* ---- sums ---- */

START_TEST(sums_and_products_over_any_dimensions)
{
    for (int d = 0; d < AG_N_DTYPES; d++) {
        Variable *x = ag_to(support_draw(AG_SHAPE(3, 70, 5), AG_FLOAT64, 3), .dtype = (ag_dtype)d);
        Variable *const each[] = { x, ag_transpose(x, 0, 2), ag_slice(x, .dim = 1, .start = 1, .end = 70, .step = 3),
                                   ag_slice(x, .dim = 0, .start = 1, .end = 1),
                                   ag_expand(ag_select(x, 1, 0), AG_SHAPE(4, 3, 5)) };
        double tolerance = d == AG_FLOAT32 ? 1e-4 : 1e-11;
        for (int i = 0; i < (int)(sizeof each / sizeof *each); i++) {
            Variable *y = each[i], *there = ag_to(y, AG_CUDA);
            cuda_same(ag_to(ag_sum(there), AG_CPU), ag_sum(y), tolerance);
            cuda_same(ag_to(ag_sum(there, .dim = 1), AG_CPU), ag_sum(y, .dim = 1), tolerance);
            cuda_same(ag_to(ag_sum(there, .dim = AG_DIMS(0, 2), .keepdim = true), AG_CPU),
                      ag_sum(y, .dim = AG_DIMS(0, 2), .keepdim = true), tolerance);
            cuda_same(ag_to(ag_sum(there, .dtype = AG_FLOAT32), AG_CPU), ag_sum(y, .dtype = AG_FLOAT32), 1e-4);
            cuda_same(ag_to(ag_prod(there, .dim = 0), AG_CPU), ag_prod(y, .dim = 0), tolerance);
            if (d <= AG_FLOAT64) cuda_same(ag_to(ag_mean(there, .dim = 2), AG_CPU), ag_mean(y, .dim = 2), tolerance);
        }
    }
}
END_TEST

/* Gradients of what was broadcast are summed; a loss is a mean. */
START_TEST(a_loss_goes_back_through_broadcasting)
{
    Variable *grad[2], *loss[2], *x = support_draw(AG_SHAPE(8, 1, 30), AG_FLOAT64, 1);
    Variable *b = support_draw(AG_SHAPE(7, 1), AG_FLOAT64, 1);
    for (int i = 0; i < 2; i++) {
        const ag_device device = i ? AG_CUDA : AG_CPU;
        Variable *p = ag_requires_grad_(ag_to(b, device, .copy = true));
        Variable *y = ag_mean(ag_square(ag_tanh(ag_mul(ag_to(x, device), p))));
        loss[i] = ag_to(ag_detach(y), AG_CPU);
        OK(ag_backward(y));
        grad[i] = ag_to(ag_grad(p), AG_CPU);
    }
    cuda_same(loss[1], loss[0], 1e-13);
    cuda_same(grad[1], grad[0], 1e-13);
}
END_TEST

START_TEST(triangles_are_those_of_the_cpu)
{
    for (int d = 0; d < AG_N_DTYPES; d++) {
        Variable *x = ag_to(support_draw(AG_SHAPE(3, 7, 5), AG_FLOAT64, 9), .dtype = (ag_dtype)d),
                 *y = ag_transpose(x, 0, 2);
        for (int k = -8; k <= 8; k++) {
            cuda_same(ag_to(ag_tril(ag_to(x, AG_CUDA), .diagonal = k), AG_CPU), ag_tril(x, .diagonal = k), 0);
            cuda_same(ag_to(ag_triu(ag_to(y, AG_CUDA), .diagonal = k), AG_CPU), ag_triu(y, .diagonal = k), 0);
        }
        Variable *z = ag_to(x, AG_CUDA, .copy = true);
        OK(ag_triu_(ag_transpose(z, 0, 2), .diagonal = 1));
        cuda_same(ag_transpose(ag_to(z, AG_CPU), 0, 2), ag_triu(y, .diagonal = 1), 0);
    }
}
END_TEST

/* ---- what is refused ---- */

START_TEST(what_cannot_be_done_is_said)
{
    Variable *x = ag_ones(AG_SHAPE(2, 2), .device = AG_CUDA), *y = ag_ones(AG_SHAPE(2, 2));
    REFUSED(ag_add(x, y), "found at least two devices, cuda:0 and cpu");
    REFUSED(ag_add_(ag_full(AG_SHAPE(), 1), ag_ones(AG_SHAPE(), .device = AG_CUDA)), "two devices, cpu and cuda:0");
    REFUSED(ag_data(x), "input is on cuda:0; move it with ag_to(x, AG_CPU) first");
    OK(ag_add(x, x));
}
END_TEST

/* One record has no kernel at all, the other none in itself and none in the plug-in. */
#define AG_ARGS__nowhere(must, may) must(Tensor, input)
AG_STRUCT(_nowhere, AG_ARGS__nowhere)
static bool nowhere_shape(ag_run *r) { return ag__output(r, 0, 0, NULL, AG_FLOAT32) != NULL; }
static bool nowhere_cpu(ag_run *r) { return r->out[0] != NULL; }
AG_RECORD(_nowhere, AG_ARGS__nowhere, .of = "nowhere", .shape = nowhere_shape)
#define AG_ARGS__here(must, may) must(Tensor, input)
AG_STRUCT(_here, AG_ARGS__here)
AG_RECORD(_here, AG_ARGS__here, .of = "here", .shape = nowhere_shape, .kernel = { nowhere_cpu })

START_TEST(an_op_without_a_kernel_for_its_device_is_an_error)
{
    Variable *x = ag_ones(AG_SHAPE(2)), *there = ag_to(x, AG_CUDA), *out[AG_MAX_OUTPUTS];
    const struct ag__nowhere_args nowhere[] = { { .input = x }, { .input = there } };
    const struct ag__here_args here[] = { { .input = x }, { .input = there } };
    REFUSED(ag__apply(ag__op__nowhere(), &nowhere[0], out, NULL), "nowhere: there is no kernel for cpu");
    REFUSED(ag__apply(ag__op__nowhere(), &nowhere[1], out, NULL), "nowhere: there is no kernel for cuda:0");
    OK(ag__apply(ag__op__here(), &here[0], out, NULL));
    REFUSED(ag__apply(ag__op__here(), &here[1], out, NULL), "here: there is no kernel for cuda:0");
}
END_TEST

START_TEST(they_are_printed_as_pytorch_prints_them)
{
    char text[200];
    ag_repr(ag_mul(ag_full(AG_SHAPE(2), 1.5, .device = AG_CUDA), ag_scalar(2)), text, sizeof text);
    ck_assert_str_eq(text, "tensor([3., 3.], device='cuda:0')");
    Variable *x = ag_requires_grad_(ag_ones(AG_SHAPE(1, 2), .dtype = AG_FLOAT64, .device = AG_CUDA));
    ag_repr(ag_neg(ag_transpose(x, 0, 1)), text, sizeof text);
    ck_assert_str_eq(text,
                     "tensor([[-1.],\n        [-1.]], device='cuda:0', dtype=torch.float64, grad_fn=<NegBackward0>)");
}
END_TEST

START_TEST(devices_are_told_apart)
{
    if (ag_cuda_device_count() < 2) return;
    Variable *x = support_draw(AG_SHAPE(9), AG_FLOAT32, 1), *a = ag_to(x, AG_CUDA), *b = ag_to(a, CUDA1);
    ck_assert_int_eq(ag_device_of(b).index, 1);
    cuda_same(ag_to(ag_mul(b, b), AG_CPU), ag_mul(x, x), 0);
    cuda_same(ag_to(ag_to(b, AG_CUDA), AG_CPU), x, 0);
    REFUSED(ag_add(a, b), "found at least two devices, cuda:0 and cuda:1");
    ck_assert_int_gt(ag_cuda_memory_allocated(CUDA1), 0);
    OK(ag_cuda_synchronize(CUDA1));
}
END_TEST

SUPPORT_MAIN("cuda", there_are_devices, types_are_converted_as_on_the_cpu, copy_and_fill_write_through_views,
             factories_make_on_the_device, operands_may_lie_in_any_way, in_place_changes_the_numbers_there,
             gradients_are_those_of_the_cpu, gradients_of_gradients_are_those_of_the_cpu,
             a_copy_to_the_device_has_a_gradient, sums_and_products_over_any_dimensions,
             a_loss_goes_back_through_broadcasting, triangles_are_those_of_the_cpu, what_cannot_be_done_is_said,
             an_op_without_a_kernel_for_its_device_is_an_error, they_are_printed_as_pytorch_prints_them,
             devices_are_told_apart, numbers_come_back_as_they_went)
