/* test_dataset.c - datasets of one's own and the ready-made wrappers, their batches, and transforms. */
#include "support.h"

#include "datasets/dataset_internal.h"
#include "datasets/transforms_internal.h"

/* ---- a dataset of our own: item i is (i, 10 i) and i, as float32 and int64; what is wrong with it can be chosen ----
 */

typedef struct {
    int64_t n, bad; /* item `bad` is not as it should be */
    int how; /* 0: get fails, 1: NULL, 2: another shape, 3: another type, 4: another number of parts, 5: too many parts
              */
    int freed;
} Numbers;

static int64_t numbers_size(void *user) { return ((Numbers *)user)->n; }

static int numbers_get(int64_t i, Variable **out, void *user)
{
    Numbers *numbers = user;
    float pair[3] = { (float)i, 10 * (float)i };
    bool bad = i == numbers->bad;
    out[0] = ag_tensor(pair, AG_SHAPE(bad && numbers->how == 2 ? 3 : 2));
    out[1] = bad && numbers->how == 3 ? ag_scalar(0.5) : ag_tensor(&i, AG_SCALAR_SHAPE);
    if (bad && numbers->how == 0) return 0;
    if (bad && numbers->how == 1) out[1] = NULL;
    return bad && numbers->how == 4 ? 1 : bad && numbers->how == 5 ? 9 : 2;
}

static void numbers_freed(void *user) { ((Numbers *)user)->freed++; }

/* A batch of these items; how many parts. */
static int batch_of(Dataset *d, ag_memory_format format, Shape items, Variable **out)
{
    return ag__dataset_batch(d, items.at, items.n, format, out);
}

START_TEST(a_dataset_is_two_functions_and_a_pointer)
{
    Numbers numbers = { .n = 5, .bad = -1 };
    Dataset *d = ag_dataset_new(numbers_size, numbers_get, &numbers, numbers_freed);
    Variable *item[AG_ITEM_PARTS];
    OK(d);
    ck_assert_int_eq(ag_dataset_size(d), 5);
    ck_assert_int_eq(ag_dataset_get(d, 3, item), 2);
    VALUES(item[0], 3, 30);
    VALUES(item[1], 3);
    REFUSED(ag_dataset_get(d, 5, item), "there is no item 5, the dataset has 5");
    REFUSED(ag_dataset_get(d, -1, item), "there is no item -1");
    ag_dataset_free(d);
    ck_assert_int_eq(numbers.freed, 1);
}
END_TEST

START_TEST(a_dataset_that_cannot_be_made_lets_go_of_its_user)
{
    Numbers numbers = { .n = 5 };
    REFUSED(ag_dataset_new(NULL, numbers_get, &numbers, numbers_freed), "size is NULL");
    REFUSED(ag_dataset_new(numbers_size, NULL, &numbers, numbers_freed), "get is NULL");
    ck_assert_int_eq(numbers.freed, 2);
    ag_dataset_free(NULL);
    REFUSED(ag_dataset_size(NULL) >= 0, "the dataset is NULL");
    numbers.n = -3;
    Dataset *d = ag_dataset_new(numbers_size, numbers_get, &numbers, NULL);
    REFUSED(ag_dataset_size(d) >= 0, "says that it has -3 items");
    ag_dataset_free(d);
}
END_TEST

START_TEST(items_are_stacked_along_a_new_first_dimension)
{
    Numbers numbers = { .n = 5, .bad = -1 };
    Dataset *d = ag_dataset_new(numbers_size, numbers_get, &numbers, NULL);
    for (int format = AG_CONTIGUOUS_FORMAT; format <= AG_BATCH_LAST; format++) {
        Variable *out[AG_ITEM_PARTS];
        ck_assert_int_eq(batch_of(d, (ag_memory_format)format, AG_SHAPE(4, 0, 2), out), 2);
        SHAPE(out[0], 3, 2);
        VALUES(out[0], 4, 40, 0, 0, 2, 20);
        VALUES(out[1], 4, 0, 2);
        ck_assert_int_eq(ag_stride(out[0]).at[0], format == AG_BATCH_LAST ? 1 : 2);
        ck_assert_int_eq(ag_dtype_of(out[1]), AG_INT64);
    }
    ag_dataset_free(d);
}
END_TEST

static const struct {
    int how;
    int64_t bad;
    const char *sentence;
} bad_items[] = {
    { 0, 0, "get failed for item 0" },
    { 0, 2, "get failed for item 2" },
    { 1, 1, "part 1 of item 1 is NULL" },
    { 2, 1, "stack expects each tensor to be equal size, but got [2] at entry 0 and [3] at entry 1" },
    { 3, 2, "got int64 at entry 0 and float64 at entry 2" },
    { 4, 1, "item 0 has 2 parts, but item 1 has 1" },
    { 5, 0, "has 9 parts" },
};

START_TEST(items_that_do_not_fit_give_a_sentence)
{
    for (size_t k = 0; k < sizeof bad_items / sizeof *bad_items; k++) {
        AG_SCOPE;
        Numbers numbers = { .n = 5, .bad = bad_items[k].bad, .how = bad_items[k].how };
        Dataset *d = ag_dataset_new(numbers_size, numbers_get, &numbers, NULL);
        Variable *out[AG_ITEM_PARTS];
        REFUSED(batch_of(d, AG_CONTIGUOUS_FORMAT, AG_SHAPE(0, 1, 2, 3), out), bad_items[k].sentence);
        ag_dataset_free(d);
    }
}
END_TEST

START_TEST(items_that_require_gradients_make_batches_without_history)
{
    Variable *x = ag_requires_grad_(ag_tensor(((float[]){ 1, 2, 3 }), AG_SHAPE(3))), *out[AG_ITEM_PARTS];
    Dataset *d = ag_data_tensor_dataset(AG_LIST(x));
    ck_assert_int_eq(batch_of(d, AG_CONTIGUOUS_FORMAT, AG_SHAPE(2, 1), out), 1);
    VALUES(out[0], 3, 2);
    ck_assert(!ag_requires_grad(out[0]));
    ag_dataset_free(d);
}
END_TEST

/* ---- TensorDataset, Subset ---- */

START_TEST(a_tensor_dataset_slices_its_tensors)
{
    Variable *x = ag_tensor(((double[]){ 0, 1, 2, 3, 4, 5 }), AG_SHAPE(2, 3)),
             *y = ag_tensor(((int[]){ 7, 8, 9 }), AG_SHAPE(3));
    Variable *item[AG_ITEM_PARTS], *out[AG_ITEM_PARTS];
    Dataset *d = ag_data_tensor_dataset(
        AG_LIST(ag_t(x), y, ag_empty(AG_SHAPE(3, 0)))); /* strided, 1-D, nothing in it */
    OK(d);
    ck_assert_int_eq(ag_dataset_size(d), 3);
    ck_assert_int_eq(ag_dataset_get(d, 1, item), 3);
    VALUES(item[0], 1, 4);
    VALUES(item[1], 8);
    ck_assert_int_eq(batch_of(d, AG_CONTIGUOUS_FORMAT, AG_SHAPE(2, 2, 0), out), 3);
    VALUES(out[0], 2, 5, 2, 5, 0, 3);
    VALUES(out[1], 9, 9, 7);
    SHAPE(out[2], 3, 0);
    ag_dataset_free(d);
}
END_TEST

START_TEST(a_tensor_dataset_refuses_what_has_no_common_length)
{
    Variable *x = ag_ones(AG_SHAPE(2, 3)), *y = ag_ones(AG_SHAPE(3));
    REFUSED(ag_data_tensor_dataset(AG_LIST(x, y)),
            "Size mismatch between tensors: tensor 0 has 2 items, tensor 1 has 3");
    REFUSED(ag_data_tensor_dataset(AG_LIST(x, ag_ones(AG_SCALAR_SHAPE))), "tensor 1 has no dimension");
    REFUSED(ag_data_tensor_dataset(AG_LIST(x, AG_NONE)), "tensor 1 is None");
    REFUSED(ag_data_tensor_dataset(AG_LIST(NULL)), "tensor 0 is NULL");
    REFUSED(ag_data_tensor_dataset(ag_list_from(0, NULL)), "0 tensors");
}
END_TEST

START_TEST(a_subset_is_the_items_with_these_numbers)
{
    Numbers numbers = { .n = 5, .bad = -1 };
    Dataset *d = ag_dataset_new(numbers_size, numbers_get, &numbers, NULL);
    Dataset *part = ag_data_subset(d, AG_SHAPE(4, 1, 1)), *again = ag_data_subset(part, AG_SHAPE(2, 0));
    Dataset *nothing = ag_data_subset(d, ag_sizes_of(0, NULL));
    Variable *item[AG_ITEM_PARTS], *out[AG_ITEM_PARTS];
    OK(part && again && nothing);
    ck_assert_int_eq(ag_dataset_size(part), 3);
    ck_assert_int_eq(ag_dataset_size(nothing), 0);
    ck_assert_int_eq(ag_dataset_get(again, 1, item), 2);
    VALUES(item[1], 4);
    ck_assert_int_eq(batch_of(again, AG_CONTIGUOUS_FORMAT, AG_SHAPE(0, 1), out), 2);
    VALUES(out[0], 1, 10, 4, 40);
    REFUSED(ag_data_subset(d, AG_SHAPE(0, 5)), "index 1 is 5, but the dataset has 5 items");
    REFUSED(ag_data_subset(d, AG_SHAPE(-1)), "index 0 is -1");
    REFUSED(ag_data_subset(NULL, AG_SHAPE(0)), "the dataset is NULL");
    ag_dataset_free(nothing);
    ag_dataset_free(again);
    ag_dataset_free(part);
    ag_dataset_free(d);
}
END_TEST

/* ---- transforms ---- */

/* A grey image of all 256 values. */
static Variable *all_values(void)
{
    uint8_t bytes[256];
    for (int v = 0; v < 256; v++) bytes[v] = (uint8_t)v;
    return ag_tensor(bytes, AG_SHAPE(8, 32));
}

START_TEST(to_tensor_and_normalize_round_as_torchvision_does)
{
    const double means[] = { 0.5, 0.1307, 0 }, stds[] = { 0.5, 0.3081, 1e-3 };
    for (int k = 0; k < 3; k++)
        for (ag_dtype dtype = AG_FLOAT32; dtype <= AG_FLOAT64; dtype++) {
            AG_SCOPE;
            ag__pixel_table table;
            ag_set_default_dtype(dtype);
            Transform *t = ag_transforms_compose(ag_transforms_to_tensor(), ag_transforms_normalize(means[k], stds[k]));
            Variable *y = ag_transform_apply(t, all_values());
            SHAPE(y, 1, 8, 32);
            ck_assert_int_eq(ag_dtype_of(y), dtype);
            ck_assert(ag__transform_table(t, &table));
            for (int v = 0; v < 256; v++) {
                volatile float x = (float)v / 255.0f, mean = (float)means[k], std = (float)stds[k], centred = x - mean;
                volatile double xx = v / 255.0, centred64 = xx - means[k];
                double expected = dtype == AG_FLOAT32 ? centred / std : centred64 / stds[k];
                ck_assert(support_at(y, v) == (dtype == AG_FLOAT32 ? (float)expected : expected));
                ck_assert(table.float32[v] == (float)(centred / std) && table.float64[v] == centred64 / stds[k]);
            }
            ag_transform_free(t);
        }
    ag_set_default_dtype(AG_FLOAT32);
}
END_TEST

START_TEST(to_tensor_puts_the_channels_first)
{
    Transform *t = ag_transforms_to_tensor();
    uint8_t bytes[] = { 0, 51, 102, 153, 204, 255 };
    Variable *y = ag_transform_apply(t, ag_tensor(bytes, AG_SHAPE(1, 2, 3)));
    SHAPE(y, 3, 1, 2);
    VALUES(y, 0, 0.6, 0.2, 0.8, 0.4, 1);
    y = ag_transform_apply(t, ag_tensor(((int[]){ 5, 6 }), AG_SHAPE(2, 1))); /* what is not uint8 keeps its numbers */
    SHAPE(y, 1, 2, 1);
    VALUES(y, 5, 6);
    ck_assert_int_eq(ag_dtype_of(y), AG_INT32);
    REFUSED(ag_transform_apply(t, ag_ones(AG_SHAPE(3))), "pic should be 2/3 dimensional. Got 1 dimensions.");
    REFUSED(ag_transform_apply(t, NULL), "x is NULL");
    ag_transform_free(t);
}
END_TEST

START_TEST(normalize_takes_a_number_a_channel)
{
    Transform *t = ag_transforms_normalize(AG_CHANNELS(1, 2), AG_CHANNELS(2, 4));
    VALUES(ag_transform_apply(t, ag_tensor(((double[]){ 1, 3, 2, 10 }), AG_SHAPE(2, 1, 2))), 0, 1, 0, 2);
    REFUSED(ag_transform_apply(t, ag_ones(AG_SHAPE(3, 1, 2))),
            "mean is for 2 channels and std for 2, but the image has 3");
    REFUSED(ag_transform_apply(t, ag_ones(AG_SHAPE(2, 2))), "Expected tensor to be a tensor image of size (C, H, W)");
    REFUSED(ag_transform_apply(t, ag_tensor(((int[]){ 1, 2 }), AG_SHAPE(2, 1, 1))),
            "should be a float tensor. Got int32");
    ag_transform_free(t);
    t = ag_transforms_normalize(0, 0);
    REFUSED(ag_transform_apply(t, ag_ones(AG_SHAPE(1, 1, 1))), "std evaluated to zero after conversion to float32");
    ag_transform_free(t);
}
END_TEST

static Variable *twice(Variable *x, void *user)
{
    ++*(int *)user;
    return ag_add(x, x);
}
static Variable *nothing_at_all(Variable *x, void *user) { return (void)x, (void)user, NULL; }
static void count_down(void *user) { --*(int *)user; }

START_TEST(a_transform_of_ones_own_composes)
{
    int calls = 0;
    Transform *t = ag_transforms_compose(ag_transform_new(twice, &calls, count_down), ag_transforms_to_tensor());
    ag__pixel_table table;
    VALUES(ag_transform_apply(t, ag_tensor(((uint8_t[]){ 51 }), AG_SHAPE(1, 1))), 0.4);
    ck_assert_int_eq(calls, 1);
    ck_assert(!ag__transform_table(t, &table));
    ag_transform_free(ag__transform_hold(t)); /* held twice, let go twice */
    ag_transform_free(t);
    ck_assert_int_eq(calls, 0);
    t = ag_transform_new(nothing_at_all, NULL, NULL);
    REFUSED(ag_transform_apply(t, ag_ones(AG_SHAPE(1))), "the function gave NULL");
    ag_transform_free(t);
}
END_TEST

START_TEST(a_composition_with_a_failed_part_frees_the_others)
{
    int held = 1;
    REFUSED(ag_transforms_compose(ag_transform_new(twice, &held, count_down), (Transform *)NULL), "a part is NULL");
    ck_assert_int_eq(held, 0);
    held = 1;
    REFUSED(ag_transform_new(NULL, &held, count_down), "the function is NULL");
    ck_assert_int_eq(held, 0);
}
END_TEST

START_TEST(only_to_tensor_and_what_normalizes_it_is_a_table)
{
    ag__pixel_table table;
    Transform *yes[] = { ag_transforms_to_tensor(),
                         ag_transforms_compose(ag_transforms_compose(ag_transforms_to_tensor()),
                                               ag_transforms_normalize(0.5, 2)) };
    Transform *no[] = { ag_transforms_normalize(0.5, 0.5),
                        ag_transforms_compose(ag_transforms_to_tensor(), ag_transforms_to_tensor()),
                        ag_transforms_compose(ag_transforms_to_tensor(), ag_transforms_normalize(AG_CHANNELS(0, 0), 1)),
                        ag_transforms_compose(ag_transforms_to_tensor(), ag_transforms_normalize(0, 0)) };
    for (size_t k = 0; k < 2; k++) ck_assert(ag__transform_table(yes[k], &table)), ag_transform_free(yes[k]);
    for (size_t k = 0; k < 4; k++) ck_assert(!ag__transform_table(no[k], &table)), ag_transform_free(no[k]);
    ck_assert(!ag__transform_table(AG_NO_TRANSFORM, &table));
    Variable *x = ag_ones(AG_SHAPE(1));
    ck_assert_ptr_eq(ag_transform_apply(AG_NO_TRANSFORM, x), x);
}
END_TEST

SUPPORT_MAIN("dataset", a_dataset_is_two_functions_and_a_pointer, a_dataset_that_cannot_be_made_lets_go_of_its_user,
             items_are_stacked_along_a_new_first_dimension, items_that_do_not_fit_give_a_sentence,
             items_that_require_gradients_make_batches_without_history, a_tensor_dataset_slices_its_tensors,
             a_tensor_dataset_refuses_what_has_no_common_length, a_subset_is_the_items_with_these_numbers,
             to_tensor_and_normalize_round_as_torchvision_does, to_tensor_puts_the_channels_first,
             normalize_takes_a_number_a_channel, a_transform_of_ones_own_composes,
             a_composition_with_a_failed_part_frees_the_others, only_to_tensor_and_what_normalizes_it_is_a_table)
