/* test_loader.c - batches in PyTorch's order, by this thread or by others; passes left early; errors on the way. */
#include "support.h"

#include "tensor/generator_internal.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

/* ---- items 0 ... n-1, which may fail or be slow ---- */

typedef struct {
    int64_t n, bad;
    int calls;
} Numbers;

static int64_t numbers_size(void *user) { return ((Numbers *)user)->n; }

static int numbers_get(int64_t i, Variable **out, void *user)
{
    Numbers *numbers = user;
    __atomic_add_fetch(&numbers->calls, 1, __ATOMIC_RELAXED);
    if (i == numbers->bad) return ag_add(ag_ones(AG_SHAPE(2)), ag_ones(AG_SHAPE(3))), 0; /* leaves its own error */
    out[0] = ag_tensor(&i, AG_SCALAR_SHAPE);
    return 1;
}

static Dataset *numbers_new(Numbers *numbers) { return ag_dataset_new(numbers_size, numbers_get, numbers, NULL); }

/* The same by a dataset that makes its own batches. */
static Dataset *range_new(int64_t n)
{
    Variable *x = ag_arange((double)n);
    return ag_data_tensor_dataset(AG_LIST(x));
}

static int64_t item(const Batch *batch, int64_t i) { return (int64_t)support_at(batch->inputs, i); }

static int threads(void)
{
    DIR *folder = opendir("/proc/self/task");
    int n = 0;
    if (!folder) return 1;
    while (readdir(folder)) n++;
    closedir(folder);
    return n - 2;
}

/* Whether so many are left. One that was waited for is seen for a moment longer. */
static bool threads_left(int n)
{
    for (int tries = 0; threads() != n; tries++) {
        if (tries == 5000) return false;
        usleep(1000);
    }
    return true;
}

/* ---- PyTorch's orders ---- */

typedef struct {
    unsigned long long seed;
    long long items, batch_size, shuffle, drop_last, own, draws, stop, epochs;
} Case;

static void draw(Generator *generator, long long n)
{
    for (long long i = 0; i < n; i++) {
        ag_generator *g = ag__generator_lock(generator);
        ag__generator_word(g);
        ag__generator_unlock(g);
    }
}

/* One batch as the recording's text, into its checksum. */
static unsigned long checksum_of(unsigned long checksum, const Batch *batch)
{
    char text[32];
    for (int64_t i = 0; i < batch->size; i++) {
        int n = snprintf(text, sizeof text, "%lld%c", (long long)item(batch, i), i + 1 < batch->size ? ',' : ';');
        checksum = crc32(checksum, (unsigned char *)text, (unsigned)n);
    }
    return checksum;
}

static void check_case(FILE *file, const Case *c, int64_t workers)
{
    AG_SCOPE;
    ag_manual_seed(c->seed);
    Generator *generator = c->own ? ag_generator_new() : NULL;
    if (generator) ag_generator_manual_seed(generator, c->seed + 1);
    Dataset *d = range_new(c->items);
    DataLoader *loader = ag_data_loader(d, .batch_size = c->batch_size, .shuffle = c->shuffle,
                                        .drop_last = c->drop_last, .generator = generator, .num_workers = workers);
    OK(loader);
    for (long long epoch = 0; epoch < c->epochs; epoch++) {
        long long expected_n, n = 0;
        unsigned long expected, checksum = 0;
        ck_assert_int_eq(fscanf(file, "%lld %lu", &expected_n, &expected), 2);
        for (Batch batch; ag_data_next(loader, &batch);) {
            ck_assert_int_eq(batch.index, n++);
            checksum = checksum_of(checksum, &batch);
            draw(NULL, c->draws);
            if (generator) draw(generator, 1);
            if (epoch % 2 && n == c->stop) {
                ag_data_rewind(loader);
                break;
            }
        }
        OK(true);
        ck_assert_msg(n == expected_n && checksum == expected,
                      "seed %llu, %lld items, batches of %lld, shuffle %lld, drop_last %lld, own %lld, stop %lld, %lld "
                      "workers: epoch %lld differs",
                      c->seed, c->items, c->batch_size, c->shuffle, c->drop_last, c->own, c->stop, (long long)workers,
                      epoch);
    }
    long long bits, own_bits;
    ck_assert_int_eq(fscanf(file, "%lld %lld", &bits, &own_bits), 2);
    ck_assert_int_eq(ag__random_int64(NULL), bits);
    if (generator) ck_assert_int_eq(ag__random_int64(generator), own_bits);
    ag_data_loader_free(loader);
    ag_dataset_free(d);
    ag_generator_free(generator);
}

static void check_orders(int64_t workers)
{
    FILE *file = fopen(AG_TEST_DATA "/loader_orders.txt", "r");
    ck_assert_ptr_nonnull(file);
    Case c;
    int cases = 0;
    while (fscanf(file, "%llu %lld %lld %lld %lld %lld %lld %lld %lld", &c.seed, &c.items, &c.batch_size, &c.shuffle,
                  &c.drop_last, &c.own, &c.draws, &c.stop, &c.epochs) == 9) {
        check_case(file, &c, workers);
        cases++;
    }
    fclose(file);
    ck_assert_int_gt(cases, 300);
}

START_TEST(batches_come_in_pytorchs_order_pass_after_pass) { check_orders(0); }
END_TEST
START_TEST(with_workers_the_order_and_the_draws_are_the_same) { check_orders(3); }
END_TEST

/* ---- passes ---- */

START_TEST(a_pass_ends_and_the_next_call_begins_another)
{
    for (int64_t workers = 0; workers < 3; workers++) {
        Numbers numbers = { .n = 7, .bad = -1 };
        Dataset *d = numbers_new(&numbers);
        DataLoader *loader = ag_data_loader(d, .batch_size = 3, .num_workers = workers);
        ck_assert_int_eq(ag_data_loader_size(loader), 3);
        for (int epoch = 0; epoch < 3; epoch++) {
            const int64_t sizes[] = { 3, 3, 1 };
            int64_t k = 0;
            Batch batch;
            for (; ag_data_next(loader, &batch); k++) {
                ck_assert_int_eq(batch.index, k);
                ck_assert_int_eq(batch.size, sizes[k]);
                ck_assert_int_eq(batch.n_parts, 1);
                ck_assert_ptr_null(batch.targets);
                ck_assert_ptr_eq(batch.inputs, batch.parts[0]);
                for (int64_t i = 0; i < batch.size; i++) ck_assert_int_eq(item(&batch, i), 3 * k + i);
            }
            ck_assert_int_eq(k, 3);
            ck_assert_ptr_null(batch.inputs);
            ck_assert_int_eq(batch.size, 0);
        }
        ck_assert_int_eq(numbers.calls, 21);
        ag_data_loader_free(loader);
        ag_dataset_free(d);
    }
}
END_TEST

START_TEST(a_loop_left_early_goes_on_unless_rewound)
{
    for (int64_t workers = 0; workers < 3; workers++) {
        Dataset *d = range_new(10);
        DataLoader *loader = ag_data_loader(d, .batch_size = 2, .num_workers = workers);
        Batch batch;
        OK(ag_data_next(loader, &batch) && ag_data_next(loader, &batch));
        OK(ag_data_next(loader, &batch));
        ck_assert_int_eq(item(&batch, 0), 4);
        ag_data_rewind(loader);
        OK(ag_data_next(loader, &batch));
        ck_assert_int_eq(item(&batch, 0), 0);
        ck_assert_int_eq(batch.index, 0);
        OK(ag_data_skip(loader, 3));
        OK(ag_data_next(loader, &batch));
        ck_assert_int_eq(item(&batch, 0), 8);
        ck_assert_int_eq(batch.index, 4);
        REFUSED(ag_data_skip(loader, 1), "1 batches cannot be passed over, 0 are left");
        ck_assert(!ag_data_next(loader, &batch));
        OK(ag_data_skip(loader, 5)); /* a whole pass */
        ck_assert(!ag_data_next(loader, &batch));
        ag_data_loader_free(loader);
        ag_dataset_free(d);
    }
}
END_TEST

START_TEST(a_pass_that_was_skipped_into_draws_what_one_that_was_read_draws)
{
    for (int own = 0; own < 2; own++) {
        int64_t seen[2][2], after[2];
        for (int skip = 0; skip < 2; skip++) {
            Generator *generator = own ? ag_generator_new() : NULL;
            Dataset *d = range_new(5);
            ag_manual_seed(3);
            DataLoader *loader = ag_data_loader(d, .batch_size = 2, .shuffle = true, .generator = generator);
            Batch batch;
            if (skip)
                OK(ag_data_skip(loader, 3));
            else
                for (int k = 0; k < 3; k++) OK(ag_data_next(loader, &batch));
            ag_data_rewind(loader);
            OK(ag_data_next(loader, &batch));
            for (int i = 0; i < 2; i++) seen[skip][i] = item(&batch, i);
            after[skip] = ag__random_int64(generator);
            ag_data_loader_free(loader);
            ag_dataset_free(d);
            ag_generator_free(generator);
        }
        ck_assert_int_eq(seen[0][0], seen[1][0]);
        ck_assert_int_eq(seen[0][1], seen[1][1]);
        ck_assert_int_eq(after[0], after[1]);
    }
}
END_TEST

START_TEST(an_empty_dataset_has_a_pass_of_no_batches)
{
    for (int64_t workers = 0; workers < 2; workers++) {
        Dataset *d = range_new(0);
        DataLoader *loader = ag_data_loader(d, .batch_size = 2, .num_workers = workers);
        Batch batch;
        ck_assert_int_eq(ag_data_loader_size(loader), 0);
        ck_assert(!ag_data_next(loader, &batch) && !ag_data_next(loader, &batch));
        OK(true);
        ag_data_loader_free(loader);
        ag_dataset_free(d);
    }
}
END_TEST

/* ---- what a batch is ---- */

START_TEST(a_batch_lives_on_where_something_still_holds_it)
{
    for (int64_t workers = 0; workers < 2; workers++) {
        Dataset *d = range_new(6);
        DataLoader *loader = ag_data_loader(d, .batch_size = 3, .num_workers = workers);
        Batch batch;
        OK(ag_data_next(loader, &batch));
        Variable *first = ag_retain(batch.inputs);
        OK(ag_data_next(loader, &batch));
        ck_assert(!ag_data_next(loader, &batch));
        ag_data_loader_free(loader);
        VALUES(first, 0, 1, 2);
        ag_release(first);
        ag_dataset_free(d);
    }
}
END_TEST

START_TEST(batches_may_lie_batch_last)
{
    Variable *x = ag_reshape(ag_arange(24, .dtype = AG_FLOAT32), AG_SHAPE(4, 1, 2, 3));
    Dataset *d = ag_data_tensor_dataset(AG_LIST(x));
    for (int64_t workers = 0; workers < 2; workers++) {
        DataLoader *loader = ag_data_loader(d, .batch_size = 2, .memory_format = AG_BATCH_LAST, .num_workers = workers);
        Batch batch;
        OK(ag_data_next(loader, &batch));
        SHAPE(batch.inputs, 2, 1, 2, 3);
        VALUES(batch.inputs, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
        ck_assert_int_eq(ag_stride(batch.inputs).at[0], 1);
        ck_assert_int_eq(ag_stride(batch.inputs).at[3], 2);
        ag_data_loader_free(loader);
    }
    ag_dataset_free(d);
}
END_TEST

/* ---- errors ---- */

START_TEST(an_error_in_get_surfaces_in_the_consumers_thread_and_ends_the_pass)
{
    for (int64_t workers = 0; workers < 4; workers++) {
        Numbers numbers = { .n = 20, .bad = 9 };
        Dataset *d = numbers_new(&numbers);
        DataLoader *loader = ag_data_loader(d, .batch_size = 2, .num_workers = workers);
        for (int epoch = 0; epoch < 2; epoch++) {
            int64_t n = 0;
            for (Batch batch; ag_data_next(loader, &batch); n++) ck_assert_int_eq(item(&batch, 0), 2 * n);
            ck_assert_int_eq(n, 4); /* in its turn, though a worker met it earlier */
            ck_assert_int_eq(ag_error_code(), AG_EINVAL);
            REFUSED(false, "size of tensor a (2) must match the size of tensor b (3)");
        }
        numbers.bad = -1;
        int64_t n = 0;
        for (Batch batch; ag_data_next(loader, &batch);) n++;
        OK(n == 10);
        ag_data_loader_free(loader);
        ag_dataset_free(d);
    }
}
END_TEST

static jmp_buf out_of_the_handler;
static pthread_t handlers_thread;

static void leave(ag_error_kind kind, const char *sentence, void *user)
{
    (void)kind, (void)sentence;
    ++*(int *)user;
    handlers_thread = pthread_self();
    longjmp(out_of_the_handler, 1);
}

/* Reads a pass that ends with an error; how many batches it had. */
static int64_t read_and_leave(DataLoader *loader, int *heard)
{
    static int64_t n; /* static: longjmp leaves it as it is */
    n = 0;
    ag_set_error_handler(leave, heard);
    if (!setjmp(out_of_the_handler))
        for (Batch batch; ag_data_next(loader, &batch);) n++;
    ag_set_error_handler(NULL, NULL);
    return n;
}

START_TEST(a_handler_may_leave_and_the_next_pass_is_as_it_should)
{
    for (int64_t workers = 0; workers < 3; workers++) {
        Numbers numbers = { .n = 20, .bad = 9 };
        Dataset *d = numbers_new(&numbers);
        DataLoader *loader = ag_data_loader(d, .batch_size = 2, .num_workers = workers);
        for (int epoch = 0; epoch < 3; epoch++) {
            int heard = 0;
            ck_assert_int_eq(read_and_leave(loader, &heard), 4);
            ck_assert_int_eq(heard, 1);
            ck_assert(pthread_equal(handlers_thread, pthread_self()));
            REFUSED(ag_error() == NULL, "size of tensor a (2) must match the size of tensor b (3)");
        }
        ag_data_loader_free(loader);
        ag_dataset_free(d);
    }
}
END_TEST

START_TEST(while_an_error_stands_there_is_no_next_batch)
{
    Dataset *d = range_new(6);
    DataLoader *loader = ag_data_loader(d, .batch_size = 2);
    int64_t n = 0;
    for (Batch batch; ag_data_next(loader, &batch); n++)
        if (n == 1) ag_add(batch.inputs, ag_ones(AG_SHAPE(5))); /* a step that fails */
    ck_assert_int_eq(n, 2);
    REFUSED(false, "must match the size of tensor b (5)");
    Batch batch;
    OK(ag_data_next(loader, &batch));
    ck_assert_int_eq(batch.index, 2);
    ag_data_loader_free(loader);
    ag_dataset_free(d);
}
END_TEST

START_TEST(wrong_options_give_pytorchs_sentences)
{
    Dataset *d = range_new(6), *empty = range_new(0);
    Batch batch;
    REFUSED(ag_data_loader(NULL), "the dataset is NULL");
    REFUSED(ag_data_loader(d, .batch_size = 0), "batch_size should be a positive integer value, but got batch_size=0");
    REFUSED(ag_data_loader(d, .num_workers = -1), "num_workers must be 0 to 256, but got -1");
    REFUSED(ag_data_loader(d, .num_workers = 257), "num_workers must be 0 to 256");
    REFUSED(ag_data_loader(d, .prefetch_factor = 0), "prefetch_factor must be 1 to 16, but got 0");
    REFUSED(ag_data_loader(d, .memory_format = (ag_memory_format)9), "there is no memory format 9");
    REFUSED(ag_data_loader(empty, .shuffle = true),
            "num_samples should be a positive integer value, but got num_samples=0");
    REFUSED(ag_data_next(NULL, &batch), "the loader is NULL");
    REFUSED(ag_data_skip(NULL, 1), "the loader is NULL");
    REFUSED(ag_data_loader_size(NULL) >= 0, "the loader is NULL");
    DataLoader *loader = ag_data_loader(d);
    REFUSED(ag_data_next(loader, NULL), "the batch is NULL");
    REFUSED(ag_data_skip(loader, -1), "-1 batches cannot be passed over, 6 are left");
    ag_data_loader_free(loader);
    ag_data_loader_free(NULL);
    ag_data_rewind(NULL);
    ag_dataset_free(empty);
    ag_dataset_free(d);
}
END_TEST

/* ---- threads ---- */

static void *nothing(void *user) { return user; }

START_TEST(no_thread_outlives_its_loader)
{
    pthread_t first; /* with which a checker may start threads of its own */
    ck_assert_int_eq(pthread_create(&first, NULL, nothing, NULL), 0);
    pthread_join(first, NULL);
    int before = threads();
    for (int passes = 0; passes < 4; passes++) {
        Numbers numbers = { .n = 1000, .bad = -1 };
        Dataset *d = numbers_new(&numbers);
        DataLoader *loader = ag_data_loader(d, .batch_size = 2, .num_workers = 3);
        Batch batch;
        for (int k = 0; k < passes; k++) OK(ag_data_next(loader, &batch)); /* in the midst of a pass, or before it */
        if (passes) ck_assert_int_eq(threads(), before + 3);
        ag_data_loader_free(loader);
        ck_assert(threads_left(before));
        ag_dataset_free(d);
    }
}
END_TEST

static void *read_all(void *loader)
{
    int64_t sum = 0;
    AG_SCOPE;
    for (int epoch = 0; epoch < 20; epoch++)
        for (Batch batch; ag_data_next(loader, &batch);)
            for (int64_t i = 0; i < batch.size; i++) sum += item(&batch, i);
    return (void *)(intptr_t)(ag_error() ? -1 : sum);
}

START_TEST(several_loaders_may_share_a_dataset_and_the_default_generator)
{
    enum { N = 3 };
    Dataset *d = range_new(50);
    DataLoader *loader[N];
    pthread_t thread[N];
    for (int k = 0; k < N; k++) {
        loader[k] = ag_data_loader(d, .batch_size = 7, .shuffle = true, .num_workers = k);
        ck_assert_int_eq(pthread_create(&thread[k], NULL, read_all, loader[k]), 0);
    }
    for (int k = 0; k < N; k++) {
        void *sum;
        pthread_join(thread[k], &sum);
        ck_assert_int_eq((intptr_t)sum, 20 * 49 * 50 / 2);
        ag_data_loader_free(loader[k]);
    }
    ag_dataset_free(d);
}
END_TEST

static int64_t one(void *user) { return (void)user, 1; }
static int blocked(int64_t i, Variable **out, void *user)
{
    sigset_t set;
    (void)i;
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    *(bool *)user = sigismember(&set, SIGINT) && sigismember(&set, SIGTERM) && sigismember(&set, SIGALRM);
    out[0] = ag_ones(AG_SHAPE(1));
    return 1;
}

START_TEST(signals_go_to_the_programs_own_threads)
{
    bool is_blocked = false;
    Dataset *d = ag_dataset_new(one, blocked, &is_blocked, NULL);
    DataLoader *loader = ag_data_loader(d, .num_workers = 1);
    Batch batch;
    OK(ag_data_next(loader, &batch));
    ck_assert(is_blocked);
    ag_data_loader_free(loader);
    blocked(0, batch.parts, &is_blocked);
    ck_assert(!is_blocked);
    ag_dataset_free(d);
}
END_TEST

START_TEST(a_forked_child_reads_on_without_workers)
{
#ifdef __SANITIZE_THREAD__
    return; /* it does not let a child of many threads live */
#endif
    if (getenv("AG_TEST_VALGRIND")) return; /* the child has lost what a worker was at */
    Dataset *d = range_new(100);
    DataLoader *loader = ag_data_loader(d, .batch_size = 2, .num_workers = 2);
    Batch batch;
    for (int k = 0; k < 5; k++) OK(ag_data_next(loader, &batch));
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int64_t n = 5;
        for (; ag_data_next(loader, &batch); n++)
            if (item(&batch, 1) != 2 * n + 1) _exit(1);
        ag_data_loader_free(loader);
        _exit(n == 50 && !ag_error() ? 0 : 2);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(ag_data_next(loader, &batch));
    ck_assert_int_eq(item(&batch, 0), 10);
    ag_data_loader_free(loader);
    ag_dataset_free(d);
}
END_TEST

SUPPORT_MAIN("loader", batches_come_in_pytorchs_order_pass_after_pass,
             with_workers_the_order_and_the_draws_are_the_same, a_pass_ends_and_the_next_call_begins_another,
             a_loop_left_early_goes_on_unless_rewound, a_pass_that_was_skipped_into_draws_what_one_that_was_read_draws,
             an_empty_dataset_has_a_pass_of_no_batches, a_batch_lives_on_where_something_still_holds_it,
             batches_may_lie_batch_last, an_error_in_get_surfaces_in_the_consumers_thread_and_ends_the_pass,
             a_handler_may_leave_and_the_next_pass_is_as_it_should, while_an_error_stands_there_is_no_next_batch,
             wrong_options_give_pytorchs_sentences, no_thread_outlives_its_loader,
             several_loaders_may_share_a_dataset_and_the_default_generator, a_forked_child_reads_on_without_workers,
             signals_go_to_the_programs_own_threads)
