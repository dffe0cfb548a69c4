/* small_cnn.h - a training in small: a convolutional network on random images, through a loader, by SGD or Adam.
 * It is what the suites on memory, on failures and on threads run. Every function goes on quietly when something
 * failed, and says so by its result. */
#ifndef AG_TESTS_SMALL_CNN_H
#define AG_TESTS_SMALL_CNN_H
#include <argent/argent.h>

typedef struct small_cnn_options {
    int64_t samples, side; /* images (samples, 1, side, side) */
    int64_t batch_size, num_workers;
    double dropout;
    double momentum; /* of SGD; -1: Adam */
    ag_dtype dtype;
    ag_memory_format memory_format;
} small_cnn_options;

typedef struct small_training {
    Dataset *data;
    DataLoader *loader;
    Module *net, *criterion;
    Optimizer *optimizer;
    unsigned pause; /* microseconds after each step, in which workers get as far ahead as they may */
    double loss;    /* of the last batch */
    int steps;
} small_training;

/* From generator seed 0. false with an error; small_training_end is due in any case. */
bool small_training_begin(small_training *s, small_cnn_options options);
/* A pass over the data. */
bool small_training_epoch(small_training *s);
void small_training_end(small_training *s);

/* conv, relu, pool, dropout2d, conv, relu, pool, flatten, linear: (N, 1, side, side) -> (N, 10) */
Module *small_cnn(int64_t side, double dropout, ag_dtype dtype);

#endif
