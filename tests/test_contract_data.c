/* test_contract_data.c - the Variable's contract, a sentence of docs/contract.md each: random numbers, the loader,
 * MNIST. */
#include "datasets/mnist_download.h"
#include "support.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- random numbers ---- */

START_TEST(the_cpu_engine_is_mt19937) /* row 51 */
{
    /* the first and, by the C++ standard, the 10000th number of mt19937(5489) */
    static const uint32_t first = 3499211612u, tenthousandth = 4123659995u;
    ag_manual_seed(5489);
    Variable *x = ag_rand(AG_SHAPE(10000)); /* 24 bits each */
    ck_assert(support_at(x, 0) == (first & 0xffffff) * 0x1p-24);
    ck_assert(support_at(x, 9999) == (tenthousandth & 0xffffff) * 0x1p-24);
}
END_TEST

START_TEST(manual_seed_begins_the_same_numbers_again) /* row 51 */
{
    ag_manual_seed(7);
    ck_assert_uint_eq(ag_initial_seed(), 7);
    Variable *x = ag_randn(AG_SHAPE(50)), *y = ag_randn(AG_SHAPE(50));
    ck_assert(!ag_equal(x, y));
    ag_manual_seed(7);
    ck_assert(ag_equal(x, ag_randn(AG_SHAPE(50))) && ag_equal(y, ag_randn(AG_SHAPE(50))));
}
END_TEST

START_TEST(a_generator_has_a_stream_of_its_own) /* row 51 */
{
    Generator *own = ag_generator_new();
    ck_assert_uint_eq(ag_generator_initial_seed(own), 67280421310721u);
    ag_generator_manual_seed(own, 0);
    Variable *mine = ag_rand(AG_SHAPE(3), .generator = own), *theirs = ag_rand(AG_SHAPE(3));
    ck_assert(ag_equal(mine, theirs)); /* both from seed 0: neither has moved the other */
    ag_generator_free(own);
}
END_TEST

START_TEST(the_rng_state_is_taken_and_put_back) /* row 51 */
{
    unsigned char state[AG_RNG_STATE_BYTES];
    OK(ag_randn(AG_SHAPE(1)));
    OK(ag_get_rng_state(state));
    Variable *x = ag_randn(AG_SHAPE(5));
    OK(ag_set_rng_state(state, sizeof state));
    ck_assert(ag_equal(x, ag_randn(AG_SHAPE(5))));
    REFUSED(ag_set_rng_state(state, 10), "Expected a CPUGeneratorImplState of size 5056");
}
END_TEST

START_TEST(fork_rng_gives_the_state_back_at_its_end) /* row 51 */
{
    double inside, outside[2];
    for (int i = 0; i < 2; i++) {
        ag_manual_seed(3);
        if (i) {
            AG_FORK_RNG;
            inside = ag_item(ag_rand(AG_SHAPE(1)));
            ag_manual_seed(99);
        }
        outside[i] = ag_item(ag_rand(AG_SHAPE(1)));
    }
    ck_assert(outside[0] == outside[1] && inside == outside[0]);
    ck_assert_uint_eq(ag_initial_seed(), 3);
}
END_TEST

/* ---- DataLoader ---- */

enum { ITEMS = 10 };
static int64_t size(void *user)
{
    (void)user;
    return ITEMS;
}
static int get(int64_t index, Variable **out, void *user)
{
    (void)user;
    out[0] = ag_full(AG_SHAPE(2), (double)index);
    out[1] = ag_full(AG_SCALAR_SHAPE, (double)(index * index));
    return 2;
}
/* The items of one pass in their order, and how large each batch was. */
typedef struct pass {
    int n_batches;
    int64_t sizes[ITEMS], order[ITEMS];
    int64_t n;
} pass;
static pass read_pass(DataLoader *loader)
{
    pass p = { 0 };
    for (Batch batch; ag_data_next(loader, &batch);) {
        p.sizes[p.n_batches++] = batch.size;
        ck_assert_int_eq(ag_size(batch.inputs, 0), batch.size);
        ck_assert_int_eq(ag_size(batch.inputs, 1), 2);
        for (int64_t i = 0; i < batch.size; i++) {
            p.order[p.n++] = (int64_t)support_at(batch.inputs, 2 * i);
            ck_assert(support_at(batch.targets, i) == (double)(p.order[p.n - 1] * p.order[p.n - 1]));
        }
    }
    OK(true);
    return p;
}

START_TEST(a_loader_makes_batches_of_a_dataset_and_keeps_the_short_last_one) /* row 52 */
{
    Dataset *data = ag_dataset_new(size, get, NULL, NULL);
    DataLoader *loader = ag_data_loader(data, .batch_size = 4), *dropping = ag_data_loader(data, 4, .drop_last = true),
               *singles = ag_data_loader(data);
    pass p = read_pass(loader);
    ck_assert(p.n_batches == 3 && p.sizes[0] == 4 && p.sizes[2] == 2 && p.n == ITEMS);
    for (int i = 0; i < ITEMS; i++) ck_assert_int_eq(p.order[i], i);
    ck_assert_int_eq(ag_data_loader_size(loader), 3);
    p = read_pass(dropping);
    ck_assert(p.n_batches == 2 && p.n == 8 && ag_data_loader_size(dropping) == 2);
    ck_assert_int_eq(read_pass(singles).n_batches, ITEMS); /* batch_size is 1 */
    ag_data_loader_free(loader);
    ag_data_loader_free(dropping);
    ag_data_loader_free(singles);
    ag_dataset_free(data);
}
END_TEST

START_TEST(shuffle_gives_every_pass_another_order_which_the_generator_decides) /* row 52 */
{
    Dataset *data = ag_dataset_new(size, get, NULL, NULL);
    Generator *own = ag_generator_new();
    DataLoader *loader = ag_data_loader(data, 4, .shuffle = true, .generator = own);
    pass passes[3];
    for (int i = 0; i < 3; i++) {
        if (i != 1) ag_generator_manual_seed(own, 5);
        passes[i] = read_pass(loader);
        bool there[ITEMS] = { false };
        for (int k = 0; k < ITEMS; k++) there[passes[i].order[k]] = true;
        for (int k = 0; k < ITEMS; k++) ck_assert(there[k]);
    }
    ck_assert_mem_ne(passes[0].order, passes[1].order, sizeof passes[0].order);
    ck_assert_mem_eq(passes[0].order, passes[2].order, sizeof passes[0].order);
    ag_data_loader_free(loader);
    ag_generator_free(own);
    ag_dataset_free(data);
}
END_TEST

START_TEST(num_workers_changes_nothing_but_the_time) /* row 52 */
{
    Dataset *data = ag_dataset_new(size, get, NULL, NULL);
    pass passes[2];
    for (int workers = 0; workers < 2; workers++) {
        ag_manual_seed(1);
        DataLoader *loader = ag_data_loader(data, 3, .shuffle = true, .num_workers = 2 * workers);
        read_pass(loader);
        passes[workers] = read_pass(loader);
        ag_data_loader_free(loader);
    }
    ck_assert_mem_eq(passes[0].order, passes[1].order, sizeof passes[0].order);
    ag_dataset_free(data);
}
END_TEST

static int64_t half(void *user)
{
    (void)user;
    return ITEMS / 2;
}
static bool even_ones(int64_t *indices, int64_t n, void *user)
{
    (void)user;
    for (int64_t i = 0; i < n; i++) indices[i] = 2 * i;
    return true;
}
static int64_t three_each(int64_t batch, int64_t left, void *user)
{
    (void)batch, (void)user;
    return left < 3 ? left : 3;
}
START_TEST(a_sampler_decides_the_items_of_a_pass_and_a_batch_sampler_the_batches) /* row 52 */
{
    Dataset *data = ag_dataset_new(size, get, NULL, NULL);
    for (int batches = 0; batches < 2; batches++) {
        ag_sampler sampler = { half, even_ones, batches ? three_each : NULL, NULL };
        DataLoader *loader = ag_data_loader(data, batches ? 1 : 2, .sampler = &sampler);
        pass p = read_pass(loader);
        ck_assert(p.n == 5 && p.n_batches == (batches ? 2 : 3) && p.sizes[0] == (batches ? 3 : 2));
        for (int i = 0; i < 5; i++) ck_assert_int_eq(p.order[i], 2 * i);
        ag_data_loader_free(loader);
    }
    ag_dataset_free(data);
}
END_TEST

static int greatest(int64_t n, Variable *(*items)[AG_ITEM_PARTS], Variable **out, void *user)
{
    (void)user;
    for (int64_t i = 0; i < n; i++) out[0] = i ? ag_maximum(out[0], items[i][1]) : items[i][1];
    return 1;
}
static bool counts_workers(int64_t worker, void *user)
{
    ck_assert(worker >= 0 && worker < 2);
    __atomic_add_fetch((int *)user, 1, __ATOMIC_RELAXED);
    return true;
}
START_TEST(collate_fn_makes_batches_and_worker_init_fn_runs_in_each_worker) /* row 52: pin_memory waits for CUDA */
{
    Dataset *data = ag_dataset_new(size, get, NULL, NULL);
    int workers = 0;
    DataLoader *loader = ag_data_loader(data, 4, .num_workers = 2, .collate_fn = greatest,
                                        .worker_init_fn = counts_workers, .user = &workers);
    Batch batch;
    OK(ag_data_next(loader, &batch));
    VALUES(batch.inputs, 9);
    OK(ag_data_next(loader, &batch));
    VALUES(batch.inputs, 49);
    ag_data_loader_free(loader);
    ck_assert_int_eq(workers, 2);
    ag_dataset_free(data);
}
END_TEST

/* ---- MNIST ---- */

static void put(const char *folder, const char *name, const uint8_t *bytes, size_t n)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    ck_assert(file && fwrite(bytes, 1, n, file) == n && fclose(file) == 0);
}
START_TEST(mnist_is_read_from_root_mnist_raw_in_idx_files) /* row 53 */
{
    static const uint8_t images[] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20, 30, 40 },
                         labels[] = { 0, 0, 8, 1, 0, 0, 0, 2, 7, 3 };
    char root[] = "/tmp/argent-contract-XXXXXX", folder[64], raw[80], command[96];
    ck_assert_ptr_nonnull(mkdtemp(root));
    snprintf(folder, sizeof folder, "%s/MNIST", root);
    snprintf(raw, sizeof raw, "%s/raw", folder);
    ck_assert(mkdir(folder, 0700) == 0 && mkdir(raw, 0700) == 0);
    for (int train = 0; train < 2; train++) {
        put(raw, train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte", images, sizeof images);
        put(raw, train ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte", labels, sizeof labels);
        Dataset *mnist = ag_datasets_mnist(root, .train = train);
        OK(mnist);
        ck_assert_int_eq(ag_dataset_size(mnist), 2);
        Variable *item[AG_ITEM_PARTS];
        ck_assert_int_eq(ag_dataset_get(mnist, 1, item), 2);
        SHAPE(item[0], 1, 2);
        VALUES(item[0], 30, 40);
        VALUES(item[1], 3);
        ag_dataset_free(mnist);
    }
    snprintf(command, sizeof command, "rm -r %s", root);
    ck_assert_int_eq(system(command), 0);
    REFUSED(ag_datasets_mnist(root), "train-images-idx3-ubyte");
}
END_TEST

START_TEST(mnist_is_downloaded_from_torchvisions_mirrors_and_checked_by_md5) /* row 53 */
{
    static const char *const names[] = { "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                         "t10k-labels-idx1-ubyte" };
    const ag__mnist_source *source = ag__mnist_download_source;
    for (int i = 0; i < 4; i++) {
        ck_assert_str_eq(source->files[i].name, names[i]);
        ck_assert_int_eq(strspn(source->files[i].md5, "0123456789abcdef"), 32); /* of the unpacked file */
    }
    static const char *const mirrors[] = { "ossci-datasets.s3.amazonaws.com/mnist", "yann.lecun.com/exdb/mnist" };
    for (int i = 0; i < 2; i++) {
        const char *const *at = source->mirrors;
        while (*at && !strstr(*at, mirrors[i])) at++;
        ck_assert_msg(*at != NULL, "%s is no mirror", mirrors[i]);
    }
}
END_TEST

SUPPORT_MAIN("contract_data", the_cpu_engine_is_mt19937, manual_seed_begins_the_same_numbers_again,
             a_generator_has_a_stream_of_its_own, the_rng_state_is_taken_and_put_back,
             fork_rng_gives_the_state_back_at_its_end, a_loader_makes_batches_of_a_dataset_and_keeps_the_short_last_one,
             shuffle_gives_every_pass_another_order_which_the_generator_decides,
             num_workers_changes_nothing_but_the_time,
             a_sampler_decides_the_items_of_a_pass_and_a_batch_sampler_the_batches,
             collate_fn_makes_batches_and_worker_init_fn_runs_in_each_worker,
             mnist_is_read_from_root_mnist_raw_in_idx_files,
             mnist_is_downloaded_from_torchvisions_mirrors_and_checked_by_md5)
