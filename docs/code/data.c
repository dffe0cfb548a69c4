/* data.c - the code of docs/data.md. */
#include <argent/argent.h>

static int64_t size(void *user) { return (void)user, 1000; }

static int get(int64_t index, Variable **out, void *user) /* x, x * x */
{
    (void)user;
    double x = (double)index / 1000;
    out[0] = ag_full(AG_SHAPE(1), x);
    out[1] = ag_full(AG_SHAPE(1), x * x);
    return 2; /* how many parts an item has */
}

static double read_through(void)
{
    Dataset *squares = ag_dataset_new(size, get, NULL, NULL);
    DataLoader *loader = ag_data_loader(squares, .batch_size = 64, .shuffle = true, .num_workers = 2);
    double total = 0;
    for (int epoch = 0; epoch < 2; epoch++)
        for (Batch batch; ag_data_next(loader, &batch);) {
            AG_SCOPE;
            total += ag_item(ag_sum(ag_sub(batch.targets, ag_square(batch.inputs))));
        }
    ag_data_loader_free(loader);
    ag_dataset_free(squares);
    return total;
}

int main(void)
{
    double total = read_through();
    return ag_error() || total > 1e-3 || total < -1e-3;
}
