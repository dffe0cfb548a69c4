/* 08_own_dataset.c - a dataset of one's own, in batches that other threads make. */
#include <argent/argent.h>

/* The numbers 0 to n-1 and their squares. */
typedef struct {
    int64_t n;
} Squares;

static int64_t squares_size(void *user) { return ((Squares *)user)->n; }

static int squares_get(int64_t index, Variable **out, void *user)
{
    (void)user;
    out[0] = ag_full(AG_SHAPE(1), (double)index);
    out[1] = ag_full(AG_SHAPE(1), (double)(index * index));
    return 2;
}

int main(void)
{
    Squares ten = { .n = 10 };
    Dataset *squares = ag_dataset_new(squares_size, squares_get, &ten, NULL);

    /* In order, the last batch short. Workers make batches ahead of time; they come out the same. */
    DataLoader *loader = ag_data_loader(squares, .batch_size = 4, .num_workers = 2);
    for (Batch batch; ag_data_next(loader, &batch);) {
        AG_SCOPE;
        printf("batch %lld, %lld items:\n", (long long)batch.index, (long long)batch.size);
        ag_print(ag_cat(AG_LIST(batch.inputs, batch.targets), 1), stdout);
    }
    ag_data_loader_free(loader);

    /* Shuffled: another order each pass, the one that PyTorch's DataLoader has after the same seed. */
    ag_manual_seed(0);
    loader = ag_data_loader(squares, .batch_size = 10, .shuffle = true);
    for (int epoch = 0; epoch < 2; epoch++)
        for (Batch batch; ag_data_next(loader, &batch);) {
            AG_SCOPE;
            ag_print(ag_flatten(batch.inputs), stdout);
        }
    ag_data_loader_free(loader);
    ag_dataset_free(squares);
    if (ag_error()) fprintf(stderr, "%s\n", ag_error());
    return ag_error() != NULL;
}
