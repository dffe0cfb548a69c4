/* test_cuda_data.c - loaders whose batches lie on a device: the same batches as on the CPU, made there of MNIST that
 * is kept there, or copied there. */
#include "tests/cuda/cuda_cases.h"

#include <stdio.h>
#include <unistd.h>

enum { N = 50, SIDE = 6, PIXELS = SIDE * SIDE };

static char root[64];
static Transform *tabulated, *own;

static Variable *halved(Variable *image, void *user)
{
    (void)user;
    return ag_mul(ag_to(image, .dtype = AG_FLOAT32), ag_scalar(0.5));
}

/* An IDX file of images or of labels. */
static void put(const char *name, bool images)
{
    char path[128];
    uint8_t header[16] = { 0, 0, 8, images ? 3 : 1 }, *data = malloc(N * PIXELS);
    header[7] = N;
    header[11] = header[15] = SIDE;
    const size_t n_header = images ? 16 : 8, n = images ? N * PIXELS : N;
    for (size_t i = 0; i < n; i++) data[i] = (uint8_t)(images ? i * 37 + i / PIXELS * 11 : i * 7 % 10);
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(header, 1, n_header, file) + fwrite(data, 1, n, file), n_header + n);
    ck_assert_int_eq(fclose(file), 0);
    free(data);
}

static void begin(void)
{
    support_begin();
    strcpy(root, "/tmp/argent-cuda-data-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    put("train-images-idx3-ubyte", true);
    put("train-labels-idx1-ubyte", false);
    tabulated = ag_transforms_compose(ag_transforms_to_tensor(), ag_transforms_normalize(0.5, 0.25));
    own = ag_transform_new(halved, NULL, NULL);
}

static void end(void)
{
    char path[128];
    const char *const files[] = { "train-images-idx3-ubyte", "train-labels-idx1-ubyte" };
    ag_transform_free(tabulated);
    ag_transform_free(own);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", root, files[i]);
        unlink(path);
    }
    rmdir(root);
    ag_set_default_dtype(AG_FLOAT32);
    support_end();
}

/* Both loaders, from one seed, for three passes of which the second is given up. They end the same way. */
static void same_batches(DataLoader *here, DataLoader *there, int layout)
{
    for (int pass = 0; pass < 3; pass++) {
        unsigned char state[AG_RNG_STATE_BYTES], after[AG_RNG_STATE_BYTES];
        Batch a, b;
        int n = 0;
        ag_get_rng_state(state);
        for (; !(pass == 1 && n == 2) && ag_data_next(here, &a); n++) {
            AG_SCOPE;
            ag_get_rng_state(after);
            if (n == 0) ag_set_rng_state(state, sizeof state);
            OK(ag_data_next(there, &b));
            if (n == 0) {
                ag_get_rng_state(state);
                ck_assert_mem_eq(state, after, sizeof state);
            }
            ck_assert_int_eq(a.size, b.size);
            ck_assert_int_eq(a.index, b.index);
            ck_assert_int_eq(a.n_parts, b.n_parts);
            for (int p = 0; p < a.n_parts; p++) {
                ck_assert_int_eq(ag_device_of(b.parts[p]).type, AG_DEVICE_CUDA);
                cuda_same(ag_to(b.parts[p], AG_CPU), a.parts[p], 0);
            }
            if (layout == AG_BATCH_LAST) ck_assert_int_eq(ag_stride(b.inputs).at[0], 1);
        }
        ck_assert_int_gt(n, 1);
        if (pass == 1) {
            ag_data_rewind(here);
            ag_data_rewind(there);
        } else {
            ck_assert(!ag_data_next(there, &b));
        }
        OK(!ag_error());
    }
}

static void compare(Dataset *data, ag_memory_format format, int64_t batch, bool shuffle, int64_t workers)
{
    DataLoader *here = ag_data_loader(data, batch, shuffle, .memory_format = format);
    DataLoader *there = ag_data_loader(data, batch, shuffle, workers, .memory_format = format, .device = AG_CUDA);
    OK(here && there);
    same_batches(here, there, format);
    ag_data_loader_free(here);
    ag_data_loader_free(there);
}

static void compare_all(Transform *transform, ag_dtype dtype)
{
    static const int64_t some[] = { 3, 49, 0, 7, 7, 21, 30 };
    ag_set_default_dtype(dtype);
    Dataset *all = ag_datasets_mnist(root, .transform = transform);
    Dataset *part = ag_data_subset(all, AG_SHAPE(5, 6, 49, 0, 0, 12, 30)),
            *inner = ag_data_subset(part, AG_SHAPE(6, 1, 0));
    Dataset *const each[] = { all, part, inner, ag_data_subset(all, ag_sizes_of(7, some)) };
    for (int i = 0; i < 4; i++)
        for (int f = 0; f < 2; f++)
            for (int shuffle = 0; shuffle < 2; shuffle++)
                compare(each[i], f ? AG_BATCH_LAST : AG_CONTIGUOUS_FORMAT, i == 0 ? 16 : 2, shuffle, 0);
    for (int i = 3; i >= 0; i--) ag_dataset_free(each[i]);
}

START_TEST(pixels_through_a_table) { compare_all(tabulated, AG_FLOAT32); }
END_TEST
START_TEST(pixels_through_a_table_in_float64) { compare_all(tabulated, AG_FLOAT64); }
END_TEST
START_TEST(pixels_as_they_are) { compare_all(AG_NO_TRANSFORM, AG_FLOAT32); }
END_TEST
START_TEST(a_transform_of_ones_own_runs_on_the_cpu) { compare_all(own, AG_FLOAT32); }
END_TEST

START_TEST(workers_change_nothing)
{
    Dataset *data = ag_datasets_mnist(root, .transform = tabulated), *slow = ag_datasets_mnist(root, .transform = own);
    compare(data, AG_BATCH_LAST, 16, true, 2);
    compare(slow, AG_BATCH_LAST, 16, true, 2);
    ag_dataset_free(data);
    ag_dataset_free(slow);
}
END_TEST

START_TEST(other_datasets_are_copied)
{
    Dataset *data = ag_data_tensor_dataset(AG_LIST(support_draw(AG_SHAPE(9, 2, 3), AG_FLOAT64, 1), ag_arange(9)));
    compare(data, AG_CONTIGUOUS_FORMAT, 4, true, 0);
    compare(data, AG_BATCH_LAST, 4, false, 1);
    ag_dataset_free(data);
}
END_TEST

/* The images are copied when the loader is made, then nothing but the order of each pass. */
START_TEST(a_pass_takes_no_more_memory_than_the_last)
{
    Dataset *data = ag_datasets_mnist(root, .transform = tabulated);
    int64_t before = ag_cuda_memory_allocated(AG_CUDA), kept[3];
    DataLoader *loader = ag_data_loader(data, 16, true, .device = AG_CUDA);
    OK(loader);
    ck_assert_int_ge(ag_cuda_memory_allocated(AG_CUDA) - before, N * PIXELS + N * 8);
    for (int pass = 0; pass < 3; pass++) {
        for (Batch batch; ag_data_next(loader, &batch);) continue;
        kept[pass] = ag_cuda_memory_allocated(AG_CUDA);
    }
    ck_assert_int_eq(kept[1], kept[0]);
    ck_assert_int_eq(kept[2], kept[0]);
    ag_data_loader_free(loader);
    ck_assert_int_eq(ag_cuda_memory_allocated(AG_CUDA), before);
    ag_dataset_free(data);
}
END_TEST

START_TEST(batches_may_be_passed_over)
{
    Dataset *data = ag_datasets_mnist(root, .transform = tabulated);
    DataLoader *loader = ag_data_loader(data, 16, .device = AG_CUDA);
    Batch batch;
    OK(ag_data_skip(loader, 3) && ag_data_next(loader, &batch));
    ck_assert_int_eq(batch.size, 2);
    for (int i = 0; i < 2; i++) ck_assert_int_eq((int)support_at(ag_to(batch.targets, AG_CPU), i), (48 + i) * 7 % 10);
    ag_data_loader_free(loader);
    ag_dataset_free(data);
}
END_TEST

static bool from_the_end(int64_t *indices, int64_t n, void *user)
{
    (void)user;
    for (int64_t i = 0; i < n; i++) indices[i] = N - 1 - i;
    return true;
}
static bool beyond(int64_t *indices, int64_t n, void *user)
{
    (void)user;
    for (int64_t i = 0; i < n; i++) indices[i] = N;
    return true;
}
static int64_t five(void *user) { return (void)user, 5; }

START_TEST(samplers_choose_the_rows)
{
    Dataset *data = ag_datasets_mnist(root);
    ag_sampler last = { .size = five, .draw = from_the_end }, wrong = { .size = five, .draw = beyond };
    DataLoader *loader = ag_data_loader(data, 5, .sampler = &last, .device = AG_CUDA);
    Batch batch;
    OK(ag_data_next(loader, &batch));
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq((int)support_at(ag_to(batch.targets, AG_CPU), i), (N - 1 - i) * 7 % 10);
    ag_data_loader_free(loader);
    loader = ag_data_loader(data, 5, .sampler = &wrong, .device = AG_CUDA);
    REFUSED(ag_data_next(loader, &batch), "the sampler gave item 50 of a dataset of 50");
    ag_data_loader_free(loader);
    ag_dataset_free(data);
}
END_TEST

START_TEST(a_device_that_is_not_there_is_refused)
{
    Dataset *data = ag_datasets_mnist(root);
    REFUSED(ag_data_loader(data, .device = AG_DEVICE(AG_DEVICE_CUDA, 50)), "cuda has no device 50");
    ag_dataset_free(data);
}
END_TEST

int main(void)
{
    const TTest *const all[] = { pixels_through_a_table,
                                 pixels_through_a_table_in_float64,
                                 pixels_as_they_are,
                                 a_transform_of_ones_own_runs_on_the_cpu,
                                 workers_change_nothing,
                                 other_datasets_are_copied,
                                 a_pass_takes_no_more_memory_than_the_last,
                                 batches_may_be_passed_over,
                                 samplers_choose_the_rows,
                                 a_device_that_is_not_there_is_refused };
    return support_main_with("cuda_data", all, sizeof all / sizeof *all, begin, end);
}
