/* checkpoint.h - a training in a file: parameters, optimiser, random state, settings, and where it stands. */
#ifndef MNIST_CHECKPOINT_H
#define MNIST_CHECKPOINT_H
#include "options.h"

/* Where a training stands, between two steps. */
typedef struct {
    int64_t epoch;                                 /* the one under way, or the next one */
    int64_t batch;                                 /* minibatches of it that are done */
    int64_t step;                                  /* minibatches in all */
    unsigned char epoch_state[AG_RNG_STATE_BYTES]; /* of the default generator, when the epoch began */
} Place;

/* The file is a safetensors file: the network's state dict under PyTorch's names, beside it "optimizer.", "rng_state"
 * and "epoch_rng_state", the rest as texts. It appears whole or not at all. options->limit: how many images an epoch
 * has. */
bool checkpoint_save(const char *path, const Options *options, Module *net, Optimizer *optimizer, const Place *place);

/* Reads such a file, or one with nothing but the network's state dict. Of the settings that the saved run had, those
 * that the command line does not give go into the options. What does not go together ends the program. */
StateDict *checkpoint_read(const char *path, Options *options);

/* Puts what was read to use, and frees it; the default generator and the loader go on where they were. With nothing but
 * a state dict the training begins at its beginning. */
bool checkpoint_restore(StateDict *saved, const Options *options, Module *net, Optimizer *optimizer,
                        DataLoader *train_loader, Place *place);

#endif
