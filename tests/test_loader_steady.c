/* test_loader_steady.c - once it has what it needs, a loader calls malloc no more: batches by this thread, and by
 * workers. */
#include "interpose.h"
#include "support.h"

static int64_t size(void *user) { return *(int64_t *)user; }

static int get(int64_t i, Variable **out, void *user)
{
    (void)user;
    out[0] = ag_mul(ag_full(AG_SHAPE(3, 5), (double)i), ag_scalar(0.5));
    out[1] = ag_tensor(&i, AG_SCALAR_SHAPE);
    return 2;
}

/* How often malloc is called in `passes` passes, after as many others. */
static int64_t allocations(Dataset *d, int64_t workers, int passes)
{
    DataLoader *loader = ag_data_loader(d, .batch_size = 8, .shuffle = true, .num_workers = workers);
    OK(loader);
    int64_t n = 0, batches = 0;
    for (int part = 0; part < 2; part++) {
        interpose_start(0, false);
        for (int pass = 0; pass < passes; pass++)
            for (Batch batch; ag_data_next(loader, &batch); batches++) {
                AG_SCOPE;
                ag_sum(batch.inputs);
            }
        n = interpose_stop();
    }
    OK(batches == 2 * passes * ag_data_loader_size(loader));
    ag_data_loader_free(loader);
    return n;
}

START_TEST(a_pass_calls_malloc_no_more)
{
    if (interpose_address_sanitizer()) return; /* under which every block is malloc's */
    int64_t n = 100;
    Dataset *own = ag_dataset_new(size, get, &n, NULL);
    Dataset *tensors = ag_data_tensor_dataset(AG_LIST(ag_ones(AG_SHAPE(100, 30, 30)), ag_arange(100)));
    ck_assert_int_eq(allocations(own, 0, 3), 0);
    ck_assert_int_eq(allocations(tensors, 0, 3), 0);
    ag_dataset_free(tensors);
    ag_dataset_free(own);
}
END_TEST

START_TEST(with_workers_it_ends_when_as_many_batches_as_may_be_have_been_there_at_once)
{
    enum { PASSES = 200, WORKERS = 3 }; /* 2600 batches, of which at most ten are there at once */
    if (interpose_address_sanitizer()) return;
    int64_t n = 100;
    Dataset *own = ag_dataset_new(size, get, &n, NULL);
    Dataset *tensors = ag_data_tensor_dataset(AG_LIST(ag_ones(AG_SHAPE(100, 30, 30)), ag_arange(100)));
    ck_assert_int_le(allocations(own, WORKERS, PASSES), 20);
    ck_assert_int_le(allocations(tensors, WORKERS, PASSES), 20);
    ag_dataset_free(tensors);
    ag_dataset_free(own);
}
END_TEST

START_TEST(a_skip_for_which_memory_is_out_gives_up_the_pass)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* which has a malloc of its own */
    enum { ITEMS = 100000, BATCH = 30000 };
    Dataset *d = ag_data_tensor_dataset(AG_LIST(ag_arange(ITEMS)));
    Generator *own = ag_generator_new(); /* whose sampler asks for one more order at the end */
    for (int64_t workers = 0; workers < 3; workers++) {
        DataLoader *loader = ag_data_loader(d, .batch_size = BATCH, .shuffle = true, .num_workers = workers,
                                            .generator = own);
        Batch batch;
        OK(ag_data_next(loader, &batch));
        ag_empty_cache();
        interpose_start(1, true);
        bool skipped = ag_data_skip(loader, 3);
        interpose_stop();
        ck_assert(!skipped);
        ck_assert_int_eq(ag_error_code(), AG_ENOMEM);
        ag_clear_error();
        int64_t n = 0;
        while (ag_data_next(loader, &batch)) n++;
        OK(n == 4);
        ag_data_loader_free(loader);
    }
    ag_generator_free(own);
    ag_dataset_free(d);
}
END_TEST

SUPPORT_MAIN("loader, steady", a_pass_calls_malloc_no_more, a_skip_for_which_memory_is_out_gives_up_the_pass,
             with_workers_it_ends_when_as_many_batches_as_may_be_have_been_there_at_once)
