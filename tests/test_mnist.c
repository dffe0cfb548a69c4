/* test_mnist.c - MNIST from files made here: every place and form they may have, what is wrong with them, and batches
 * through the table against items one by one. */
#include "support.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { N = 150, SIDE = 5, PIXELS = SIDE * SIDE };

static char root[64];
static const char *const files[] = { "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                     "t10k-labels-idx1-ubyte" };

static uint8_t pixel(int i, int p) { return (uint8_t)(i * 37 + p * 11); }
static uint8_t label(int i) { return (uint8_t)(i * 7 % 10); }

static void set_up(void)
{
    support_begin();
    strcpy(root, "/tmp/argent-mnist-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void remove_all(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
}

static void tear_down(void)
{
    remove_all();
    support_end();
}

/* An IDX file of `ndim` sizes, its elements from `element`; compressed where its name ends in .gz. */
static void put(const char *place, const char *name, bool gz, int ndim, const uint32_t *size,
                uint8_t (*element)(int, int))
{
    char path[256];
    uint8_t header[16] = { 0, 0, 8, (uint8_t)ndim };
    int each = ndim == 3 ? PIXELS : 1;
    snprintf(path, sizeof path, "%s/%s%s%s", root, place, name, gz ? ".gz" : "");
    gzFile file = gzopen(path, gz ? "wb" : "wbT");
    ck_assert_ptr_nonnull(file);
    for (int d = 0; d < ndim; d++)
        for (int b = 0; b < 4; b++) header[4 + 4 * d + b] = (uint8_t)(size[d] >> (24 - 8 * b));
    gzwrite(file, header, (unsigned)(4 + 4 * ndim));
    for (uint32_t i = 0; i < size[0]; i++)
        for (int p = 0; p < each; p++) {
            uint8_t v = element((int)i, p);
            gzwrite(file, &v, 1);
        }
    ck_assert_int_eq(gzclose(file), Z_OK);
}

static uint8_t label_of(int i, int p) { return (void)p, label(i); }

static void put_all(const char *place, bool gz)
{
    char folder[128];
    snprintf(folder, sizeof folder, "%s/MNIST", root);
    if (strncmp(place, "MNIST", 5) == 0) mkdir(folder, 0700);
    snprintf(folder, sizeof folder, "%s/%s", root, place);
    mkdir(folder, 0700);
    for (int train = 0; train < 2; train++) {
        uint32_t n = train ? N : 20;
        put(place, files[train ? 0 : 2], gz, 3, (uint32_t[]){ n, SIDE, SIDE }, pixel);
        put(place, files[train ? 1 : 3], gz, 1, (uint32_t[]){ n }, label_of);
    }
}

START_TEST(the_files_may_lie_in_any_of_the_usual_places_raw_or_compressed)
{
    const char *const places[] = { "MNIST/raw/", "raw/", "" };
    for (int k = 0; k < 6; k++) {
        AG_SCOPE;
        put_all(places[k / 2], k % 2);
        Dataset *training = ag_datasets_mnist(root),
                *testing = ag_datasets_mnist(.root = root, .train = false, .download = true);
        OK(training && testing);
        ck_assert_int_eq(ag_dataset_size(training), N);
        ck_assert_int_eq(ag_dataset_size(testing), 20);
        Variable *item[AG_ITEM_PARTS];
        ck_assert_int_eq(ag_dataset_get(testing, 19, item), 2);
        SHAPE(item[0], SIDE, SIDE);
        ck_assert_int_eq(ag_dtype_of(item[0]), AG_UINT8);
        for (int p = 0; p < PIXELS; p++) ck_assert_int_eq((int)support_at(item[0], p), pixel(19, p));
        ck_assert_int_eq(ag_dim(item[1]), 0);
        VALUES(item[1], label(19));
        ag_dataset_free(testing);
        ag_dataset_free(training);
        remove_all();
        ck_assert_int_eq(mkdir(root, 0700), 0);
    }
}
END_TEST

START_TEST(a_missing_file_names_the_places_that_were_tried)
{
    ck_assert(!ag_datasets_mnist(root));
    ck_assert_int_eq(ag_error_code(), AG_EIO);
    ck_assert_ptr_nonnull(strstr(ag_error(), "train-images-idx3-ubyte is not there (tried "));
    ck_assert_ptr_nonnull(strstr(ag_error(), "/MNIST/raw/train-images-idx3-ubyte.gz, "));
    REFUSED(ag_error() == NULL, ".download = true or tools/fetch-mnist");
    put_all("", false);
    char path[128];
    snprintf(path, sizeof path, "%s/%s", root, files[3]);
    unlink(path);
    REFUSED(ag_datasets_mnist(root, .train = false), "t10k-labels-idx1-ubyte is not there");
    ck_assert_int_eq(mkdir(path, 0700), 0); /* a folder of that name is no file */
    REFUSED(ag_datasets_mnist(root, .train = false), "t10k-labels-idx1-ubyte is not there");
    REFUSED(ag_datasets_mnist(NULL), "root is NULL");
    REFUSED(ag_datasets_mnist(root, .transform = NULL), "transform is NULL");
    char *endless = malloc(10000);
    memset(endless, 'x', 9999);
    endless[9999] = 0;
    REFUSED(ag_datasets_mnist(endless), "is too long");
    free(endless);
}
END_TEST

START_TEST(wrong_files_give_a_sentence)
{
    put_all("", false);
    put("", files[1], false, 1, (uint32_t[]){ N - 1 }, label_of);
    REFUSED(ag_datasets_mnist(root), "has 150 images, but");
    put("", files[1], false, 3, (uint32_t[]){ N, SIDE, SIDE }, pixel);
    REFUSED(ag_datasets_mnist(root), "has 3 dimensions, but labels have 1");
    put("", files[0], false, 1, (uint32_t[]){ N }, label_of);
    REFUSED(ag_datasets_mnist(root), "has 1 dimensions, but images have 3");
    put("", files[0], false, 3, (uint32_t[]){ N, SIDE, SIDE + 1 }, pixel);
    REFUSED(ag_datasets_mnist(root), "says it holds [150, 5, 6] elements");
}
END_TEST

/* A transform that does nothing, so that batches are made item by item. */
static Variable *as_it_is(Variable *x, void *user) { return (void)user, x; }

START_TEST(batches_through_the_table_are_the_items_transformed_one_by_one)
{
    put_all("", false);
    for (int k = 0; k < 8; k++) {
        AG_SCOPE;
        ag_memory_format format = k % 2 ? AG_BATCH_LAST : AG_CONTIGUOUS_FORMAT;
        ag_set_default_dtype(k / 2 % 2 ? AG_FLOAT64 : AG_FLOAT32);
        Transform *quick = ag_transforms_compose(ag_transforms_to_tensor(), ag_transforms_normalize(0.1307, 0.3081));
        Transform *slow = ag_transforms_compose(ag_transform_new(as_it_is, NULL, NULL), ag_transforms_to_tensor(),
                                                ag_transforms_normalize(0.1307, 0.3081));
        Dataset *a = ag_datasets_mnist(root, .transform = quick), *b = ag_datasets_mnist(root, .transform = slow);
        ag_transform_free(quick);
        ag_transform_free(slow);
        int64_t batch_size = k / 4 ? 7 : N; /* several blocks, and less than one */
        DataLoader *x = ag_data_loader(a, .batch_size = batch_size, .memory_format = format, .num_workers = 1);
        DataLoader *y = ag_data_loader(b, .batch_size = batch_size, .memory_format = format);
        for (Batch one, other; ag_data_next(x, &one) && ag_data_next(y, &other);) {
            ck_assert_int_eq(one.size, other.size);
            ck_assert_int_eq(ag_dtype_of(one.inputs), k / 2 % 2 ? AG_FLOAT64 : AG_FLOAT32);
            ck_assert_int_eq(ag_stride(one.inputs).at[0], ag_stride(other.inputs).at[0]);
            CLOSE(one.inputs, other.inputs, 0);
            CLOSE(one.targets, other.targets, 0);
            for (int64_t i = 0; i < one.size; i++)
                ck_assert_int_eq((int)support_at(one.targets, i), label((int)(one.index * batch_size + i)));
        }
        OK(true);
        ag_data_loader_free(y);
        ag_data_loader_free(x);
        ag_dataset_free(b);
        ag_dataset_free(a);
    }
    ag_set_default_dtype(AG_FLOAT32);
}
END_TEST

START_TEST(without_a_transform_batches_are_the_bytes)
{
    put_all("", false);
    Dataset *d = ag_datasets_mnist(root, .train = false);
    for (int format = AG_CONTIGUOUS_FORMAT; format <= AG_BATCH_LAST; format++) {
        DataLoader *loader = ag_data_loader(d, .batch_size = 3, .memory_format = (ag_memory_format)format);
        Batch batch;
        OK(ag_data_next(loader, &batch) && ag_data_next(loader, &batch));
        SHAPE(batch.inputs, 3, SIDE, SIDE);
        for (int i = 0; i < 3 * PIXELS; i++)
            ck_assert_int_eq((int)support_at(batch.inputs, i), pixel(3 + i / PIXELS, i % PIXELS));
        ag_data_loader_free(loader);
    }
    ag_dataset_free(d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mnist");
    TCase *tcase = tcase_create("mnist");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 0);
    tcase_add_test(tcase, the_files_may_lie_in_any_of_the_usual_places_raw_or_compressed);
    tcase_add_test(tcase, a_missing_file_names_the_places_that_were_tried);
    tcase_add_test(tcase, wrong_files_give_a_sentence);
    tcase_add_test(tcase, batches_through_the_table_are_the_items_transformed_one_by_one);
    tcase_add_test(tcase, without_a_transform_batches_are_the_bytes);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
