/* checkpoint.h - a training in a file: parameters, optimiser, random state, and where it stands. */
#ifndef MNIST_CHECKPOINT_H
#define MNIST_CHECKPOINT_H
#include <argent/argent.h>

/* Where a training stands, between two steps. */
typedef struct {
    int64_t epoch;                                 /* the one under way, or the next one */
    int64_t batch;                                 /* minibatches of it that are done */
    int64_t step;                                  /* minibatches in all */
    unsigned char epoch_state[AG_RNG_STATE_BYTES]; /* of the default generator, when the epoch began */
} Place;

/* The file is a safetensors file: the network's state dict under PyTorch's names, and beside it "optimizer.",
 * "rng_state" and "epoch_rng_state". It appears whole or not at all. */
bool checkpoint_save(const char *path, Module *net, Optimizer *optimizer, const Place *place);

/* The other way, and then the default generator and the loader go on where they were. A file with nothing but the
 * network's state dict will do: training then begins at its beginning. */
bool checkpoint_load(const char *path, Module *net, Optimizer *optimizer, DataLoader *train_loader, Place *place);

#endif
