/* test_data_memory.c - memory that is out, at each allocation in turn, on the way from MNIST's files to the last batch:
 * an error like any other, and nothing stays behind. */
#include "interpose.h"
#include "support.h"

#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

enum { N = 20, SIDE = 4, WORKERS = 2 };

static char folder[64];

static void set_up(void)
{
    support_begin();
    strcpy(folder, "/tmp/argent-data-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void tear_down(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
    support_end();
}

static void put(const char *name, bool gz, int ndim, int each)
{
    char path[128];
    const uint8_t header[16] = { 0, 0, 8, (uint8_t)ndim, 0, 0, 0, N, 0, 0, 0, SIDE, 0, 0, 0, SIDE };
    snprintf(path, sizeof path, "%s/%s%s", folder, name, gz ? ".gz" : "");
    gzFile file = gzopen(path, gz ? "wb" : "wbT");
    ck_assert_ptr_nonnull(file);
    gzwrite(file, header, (unsigned)(4 + 4 * ndim));
    for (int i = 0; i < N * each; i++) gzputc(file, i % 10);
    ck_assert_int_eq(gzclose(file), Z_OK);
}

static Variable *halved(Variable *x, void *user) { return (void)user, ag_mul(x, ag_scalar(0.5)); }

/* From the files through all batches; how many items came. `own`: item by item, through a transform of the user's. */
static int64_t read_all(bool own, int64_t workers)
{
    AG_SCOPE;
    int64_t n = 0;
    Transform *normalize = ag_transforms_normalize(0.5, 0.5);
    Transform *transform = own ? ag_transforms_compose(ag_transforms_to_tensor(), ag_transform_new(halved, NULL, NULL),
                                                       normalize)
                               : ag_transforms_compose(ag_transforms_to_tensor(), normalize);
    Dataset *mnist = ag_datasets_mnist(folder, .transform = transform);
    const int64_t indices[] = { 3, 1, 4, 1, 5, 9, 2, 6 };
    Dataset *some = ag_data_subset(mnist, ag_sizes_of(8, indices));
    DataLoader *loader = ag_data_loader(some, .batch_size = 3, .shuffle = true, .num_workers = workers);
    for (Batch batch; loader && ag_data_next(loader, &batch);) {
        AG_SCOPE;
        ag_sum(batch.inputs);
        n += batch.size;
    }
    ag_data_loader_free(loader);
    ag_dataset_free(some);
    ag_dataset_free(mnist);
    ag_transform_free(transform);
    return n;
}

/* Fails allocation 1, 2, ..., by itself or with all that follow, until there is none left to fail. */
static void fail_each(bool own, int64_t workers, bool onwards)
{
    int failures = 0;
    for (int64_t at = 1;; at++) {
        ag_empty_cache();
        interpose_start(at, onwards);
        int64_t n = read_all(own, workers);
        bool undisturbed = interpose_stop() < at;
        if (ag_error()) {
            failures++;
            ck_assert_msg(ag_error_code() == AG_ENOMEM, "allocation %lld: %s", (long long)at, ag_error());
            ag_clear_error();
        } else {
            ck_assert_int_eq(n, 8); /* or it could do without */
        }
        if (undisturbed) break;
    }
    ck_assert_int_gt(failures, 5);
}

START_TEST(each_allocation_may_fail)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* which has a malloc of its own */
    for (int gz = 0; gz < 2; gz++) {
        put("train-images-idx3-ubyte", gz, 3, SIDE * SIDE);
        put("train-labels-idx1-ubyte", gz, 1, 1);
        for (int k = 0; k < 8; k++) fail_each(k % 2, k / 2 % 2 * WORKERS, k / 4);
        char command[96];
        snprintf(command, sizeof command, "rm -f %s/*", folder);
        ck_assert_int_eq(system(command), 0);
    }
}
END_TEST

int main(void)
{
    const TTest *all[] = { each_allocation_may_fail };
    return support_main_with("data, out of memory", all, 1, set_up, tear_down);
}
