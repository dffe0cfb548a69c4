/* test_cuda_transfer.c - copies between host and device that do not wait, pinned memory, and copies from device to
 * device. */
#include "tests/cuda/cuda_cases.h"

#include "autograd/node.h"

#define CUDA1 AG_DEVICE(AG_DEVICE_CUDA, 1)

/* Work waits until somebody asks for it. */
static bool is_deferred(void)
{
    const char *defer = getenv("CUDA_HOST_DEFER");
    return cuda_emulation("cuda_host_fault") && defer && atoi(defer);
}

/* ---- pinned memory ---- */

START_TEST(pinned_variables_have_the_same_numbers)
{
    Variable *x = support_draw(AG_SHAPE(4, 3, 2), AG_FLOAT32, 5),
             *last = ag_contiguous(x, .memory_format = AG_BATCH_LAST);
    Variable *const each[] = { x,
                               last,
                               ag_transpose(x, 0, 2),
                               ag_select(x, 1, 1),
                               ag_expand(ag_scalar(3), AG_SHAPE(4)),
                               ag_zeros(AG_SHAPE(0, 3)),
                               ag_to(x, .dtype = AG_INT32) };
    for (int i = 0; i < (int)(sizeof each / sizeof *each); i++) {
        Variable *p = ag_pin_memory(each[i]);
        OK(p);
        ck_assert(ag_is_pinned(p));
        ck_assert(!ag_is_pinned(each[i]));
        ck_assert_ptr_eq(ag_pin_memory(p), p);
        cuda_same(p, each[i], 0);
        cuda_same(ag_to(ag_to(p, AG_CUDA), AG_CPU), each[i], 0);
        cuda_same(ag_to(ag_to(p, AG_CUDA, .non_blocking = true), AG_CPU), each[i], 0);
    }
    Variable *p = ag_pin_memory(last);
    ck_assert_int_eq(ag_stride(p).at[0], 1);
    ck_assert(ag_is_pinned(ag_select(p, 0, 1)));
    ck_assert(!ag_is_pinned(ag_add(p, p)));
    ck_assert(!ag_is_pinned(ag_to(p, AG_CUDA)));
    ck_assert(!ag_is_pinned(NULL));
    REFUSED(ag_pin_memory(ag_to(p, AG_CUDA)), "pin_memory: only CPU tensors can be pinned, not one on cuda:0");
    REFUSED(ag_pin_memory(NULL), "pin_memory: input is NULL");
}
END_TEST

/* On return the numbers are the program's to change, but with non_blocking. */
START_TEST(only_non_blocking_copies_look_at_the_host_later)
{
    Variable *x = ag_full(AG_SHAPE(500), 3), *p = ag_pin_memory(ag_full(AG_SHAPE(500), 3));
    Variable *a = ag_to(x, AG_CUDA), *b = ag_to(p, AG_CUDA), *c = ag_to(x, AG_CUDA, .non_blocking = true);
    Variable *d = ag_empty(AG_SHAPE(500), .device = AG_CUDA), *e = ag_empty(AG_SHAPE(500), .device = AG_CUDA);
    OK(ag_copy_(d, p));
    OK(ag_copy_(e, p, .non_blocking = true));
    Variable *f = ag_to(p, AG_CUDA, .non_blocking = true);
    OK(ag_fill_(x, 5));
    if (is_deferred()) OK(ag_fill_(p, 5)); /* the program may not; it is how it shows */
    Variable *three = ag_full(AG_SHAPE(500), 3), *later = is_deferred() ? ag_full(AG_SHAPE(500), 5) : three;
    Variable *const now[] = { a, b, c, d }, *const then[] = { e, f };
    for (int i = 0; i < 4; i++) cuda_same(ag_to(now[i], AG_CPU), three, 0);
    for (int i = 0; i < 2; i++) cuda_same(ag_to(then[i], AG_CPU), later, 0);
}
END_TEST

/* Let go of at once, and others want pinned memory of that size: the copy still finds its numbers. */
START_TEST(pinned_memory_stays_until_it_has_been_copied)
{
    Variable *there[8];
    for (int i = 0; i < 8; i++) {
        there[i] = ag_empty(AG_SHAPE(600), .device = AG_CUDA);
        AG_SCOPE;
        OK(ag_copy_(there[i], ag_pin_memory(ag_full(AG_SHAPE(600), i)), .non_blocking = true));
    }
    for (int i = 0; i < 8; i++) cuda_same(ag_to(there[i], AG_CPU), ag_full(AG_SHAPE(600), i), 0);
    ag_cuda_empty_cache();
    cuda_same(ag_to(ag_to(ag_pin_memory(ag_ones(AG_SHAPE(600))), AG_CUDA), AG_CPU), ag_ones(AG_SHAPE(600)), 0);
}
END_TEST

START_TEST(numbers_come_home_without_a_wait)
{
    Variable *x = ag_mul(ag_full(AG_SHAPE(400), 3, .device = AG_CUDA), ag_scalar(2)),
             *p = ag_pin_memory(ag_zeros(AG_SHAPE(400)));
    Variable *home = ag_to(x, AG_CPU, .non_blocking = true);
    OK(ag_copy_(p, x, .non_blocking = true));
    ck_assert(ag_is_pinned(home));
    if (is_deferred()) ck_assert_double_ne(support_at(home, 399), 6);
    OK(ag_cuda_stream_synchronize(ag_cuda_current_stream(AG_CUDA)));
    cuda_same(home, ag_full(AG_SHAPE(400), 6), 0);
    cuda_same(p, home, 0);
    Variable *rows = ag_to(ag_transpose(ag_view(x, AG_SHAPE(20, 20)), 0, 1), AG_CPU, .non_blocking = true);
    OK(ag_cuda_synchronize(AG_CUDA));
    cuda_same(rows, ag_full(AG_SHAPE(20, 20), 6), 0);
}
END_TEST

/* Pageable memory is staged: what the device has to do before is not waited for. */
START_TEST(small_copies_do_not_wait_for_the_device)
{
    ag_cuda_event *before = ag_cuda_event_new(false);
    Variable *x = ag_full(AG_SHAPE(1000), 3, .device = AG_CUDA);
    OK(ag_cuda_event_record(before, ag_cuda_current_stream(AG_CUDA)));
    Variable *y = ag_to(ag_full(AG_SHAPE(1000), 4), AG_CUDA);
    OK(ag_copy_(ag_slice(y, .dim = 0, .start = 0, .end = 1000, .step = 2), ag_full(AG_SHAPE(500), 7)));
    const char *no_cache = getenv("AG_CUDA_NO_CACHE"); /* then freeing waits */
    if (is_deferred() && (!no_cache || !atoi(no_cache))) ck_assert(!ag_cuda_event_query(before));
    ck_assert_ptr_null(ag_error());
    ck_assert_double_eq(ag_item(ag_sum(ag_add(x, y))), 3000 + 2000 + 3500);
    ck_assert(ag_cuda_event_query(before));
    ag_cuda_event_free(before);
}
END_TEST

START_TEST(large_copies_and_many_of_them_arrive)
{
    Variable *x = support_draw(AG_SHAPE(5 << 20), AG_FLOAT32, 1), *there[9];
    cuda_same(ag_to(ag_to(x, AG_CUDA), AG_CPU), x, 0); /* more than is staged */
    cuda_same(ag_to(ag_to(ag_pin_memory(x), AG_CUDA), AG_CPU), x, 0);
    for (int i = 0; i < 9; i++) there[i] = ag_to(ag_full(AG_SHAPE(1 << 20), i), AG_CUDA); /* 4 MB each */
    for (int i = 0; i < 9; i++) ck_assert_double_eq(ag_item(ag_sum(there[i])), i * (1 << 20));
}
END_TEST

/* ---- the loader ---- */

START_TEST(batches_may_be_pinned)
{
    Variable *x = support_draw(AG_SHAPE(10, 3), AG_FLOAT32, 1);
    Dataset *data = ag_data_tensor_dataset(AG_LIST(x, ag_sum(x, .dim = 1)));
    OK(data);
    for (int workers = 0; workers < 3; workers += 2) {
        DataLoader *loader = ag_data_loader(data, .batch_size = 4, .num_workers = workers, .pin_memory = true);
        OK(loader);
        int64_t at = 0;
        for (Batch batch; ag_data_next(loader, &batch);) {
            AG_SCOPE;
            ck_assert(ag_is_pinned(batch.inputs) && ag_is_pinned(batch.targets));
            Variable *there = ag_to(batch.inputs, AG_CUDA, .non_blocking = true);
            cuda_same(ag_to(there, AG_CPU), ag_slice(x, .dim = 0, .start = at, .end = at + batch.size), 0);
            at += batch.size;
        }
        ck_assert_ptr_null(ag_error());
        ck_assert_int_eq(at, 10);
        ag_data_loader_free(loader);
    }
    ag_dataset_free(data);
}
END_TEST

/* ---- from device to device ---- */

START_TEST(devices_give_each_other_any_layout_and_type)
{
    if (ag_cuda_device_count() < 2) return;
    Variable *x = support_draw(AG_SHAPE(4, 3, 6), AG_FLOAT64, 90);
    for (int d = 0; d < AG_N_DTYPES; d++) {
        Variable *here = ag_to(x, .dtype = (ag_dtype)d), *a = ag_to(here, AG_CUDA);
        Variable *const on_cpu[] = { here, ag_transpose(here, 0, 2), ag_select(here, 1, 2),
                                     ag_contiguous(here, .memory_format = AG_BATCH_LAST) };
        Variable *const on_0[] = { a, ag_transpose(a, 0, 2), ag_select(a, 1, 2),
                                   ag_contiguous(a, .memory_format = AG_BATCH_LAST) };
        for (int i = 0; i < 4; i++) {
            Variable *b = ag_to(on_0[i], CUDA1);
            ck_assert_int_eq(ag_device_of(b).index, 1);
            cuda_same(ag_to(b, AG_CPU), on_cpu[i], 0);
            cuda_same(ag_to(ag_to(on_0[i], CUDA1, .dtype = AG_INT32), AG_CPU), ag_to(on_cpu[i], .dtype = AG_INT32), 0);
        }
        Variable *to = ag_zeros(AG_SHAPE(2, 6, 3, 4), .device = CUDA1), *same = ag_zeros(AG_SHAPE(2, 6, 3, 4));
        OK(ag_copy_(ag_transpose(to, 1, 3), a)); /* broadcast, converted and spread out */
        OK(ag_copy_(ag_transpose(same, 1, 3), here));
        cuda_same(ag_to(to, AG_CPU), same, 0);
    }
    cuda_same(ag_to(ag_to(ag_zeros(AG_SHAPE(0, 2), .device = AG_CUDA), CUDA1), AG_CPU), ag_zeros(AG_SHAPE(0, 2)), 0);
}
END_TEST

START_TEST(a_copy_between_devices_is_in_the_order_of_both)
{
    if (ag_cuda_device_count() < 2) return;
    const ag_cuda_stream side = ag_cuda_stream_new(CUDA1, 0);
    OK(ag_cuda_stream_wait_stream(side, ag_cuda_current_stream(CUDA1)));
    AG_CUDA_STREAM(side);
    Variable *x = ag_mul(ag_full(AG_SHAPE(300), 3, .device = AG_CUDA), ag_scalar(2));
    Variable *y = ag_full(AG_SHAPE(300), 5, .device = CUDA1);
    Variable *before = ag_add(y, y); /* reads what the copy overwrites */
    OK(ag_copy_(y, x));
    Variable *after = ag_add(y, y);
    OK(ag_zero_(x));
    OK(ag_cuda_synchronize(AG_CUDA));
    cuda_same(ag_to(before, AG_CPU), ag_full(AG_SHAPE(300), 10), 0);
    cuda_same(ag_to(after, AG_CPU), ag_full(AG_SHAPE(300), 12), 0);
    Variable *back = ag_to(ag_mul(after, ag_scalar(2)), AG_CUDA);
    cuda_same(ag_to(ag_add(back, back), AG_CPU), ag_full(AG_SHAPE(300), 48), 0);
}
END_TEST

START_TEST(gradients_go_from_device_to_device)
{
    if (ag_cuda_device_count() < 2) return;
    Variable *p = support_draw(AG_SHAPE(30), AG_FLOAT64, 1), *grad[2];
    for (int i = 0; i < 2; i++) {
        Variable *a = ag_requires_grad_(ag_to(p, i ? AG_CUDA : AG_CPU, .copy = true)), *b = ag_mul(a, a);
        b = ag_tanh(ag_to(b, i ? CUDA1 : AG_CPU, .copy = true));
        b = ag_mul(ag_to(ag_exp(b), i ? AG_CUDA : AG_CPU, .copy = true), a);
        OK(ag_backward(ag_sum(b)));
        grad[i] = ag_to(ag_grad(a), AG_CPU);
    }
    cuda_same(grad[1], grad[0], 1e-13);
}
END_TEST

SUPPORT_MAIN("cuda/transfer", pinned_variables_have_the_same_numbers, only_non_blocking_copies_look_at_the_host_later,
             pinned_memory_stays_until_it_has_been_copied, numbers_come_home_without_a_wait,
             small_copies_do_not_wait_for_the_device, large_copies_and_many_of_them_arrive, batches_may_be_pinned,
             devices_give_each_other_any_layout_and_type, a_copy_between_devices_is_in_the_order_of_both,
             gradients_go_from_device_to_device)
