/* options.h - what mnist_cnn is told on its command line. */
#ifndef MNIST_OPTIONS_H
#define MNIST_OPTIONS_H
#include <argent/argent.h>

typedef struct {
    int64_t epochs, batch_size, limit; /* limit: training images at most */
    double lr, dropout;
    uint64_t seed;
    ag_device device;
    ag_dtype dtype;
    int threads; /* 0: the library's choice */
    bool evaluate, quiet;
    bool graph;                           /* on CUDA: a step is captured once, and replayed */
    const char *data, *save, *load, *log; /* save, load, log: NULL where not wanted */
    struct {
        bool batch_size, limit, lr, dropout, seed, dtype, data;
    } given; /* on the command line: what is not may come from a checkpoint */
} Options;

/* Fills in the defaults and what argv says. Anything wrong: a sentence on stderr, and the program ends with status 2;
 * --help ends it with 0. */
Options options_parse(int argc, char **argv, Options defaults);

#endif
