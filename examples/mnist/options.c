/* options.c - the command line of mnist_cnn. */
#include "options.h"

#include "files.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: mnist_cnn [OPTION]...\n"
    "Trains a convolutional network on MNIST, and tells its accuracy on the test images after each epoch.\n"
    "\n"
    "  --epochs N        passes over the training images in all, those of a run that is resumed included (%" PRId64
    ");\n"
    "                    0: print the network and evaluate it\n"
    "  --batch-size N    images a step (%" PRId64 ")\n"
    "  --lr X            learning rate (%g)\n"
    "  --dropout P       probability with which a feature map is dropped (%g)\n"
    "  --seed S          of the random numbers: initial weights, order of the images, dropout (%" PRIu64 ")\n"
    "  --dtype TYPE      float32 or float64 (float32)\n"
    "  --device DEVICE   cpu, cuda or cuda:N (cpu)\n"
    "  --graph           on CUDA, the default: capture a training step as a graph, and replay it\n"
    "  --no-graph        on CUDA: run each step op by op\n"
    "  --threads N       how many threads compute; the results do not depend on it (one a CPU)\n"
    "  --data DIR        where MNIST is: its four files, raw or .gz, or torchvision's MNIST/raw with them (%s)\n"
    "  --limit N         only the first N training images\n"
    "  --no-eval         do not evaluate after each epoch\n"
    "  --save FILE       after each epoch, and when stopped by Ctrl-C: parameters, optimiser, random state, as "
    "safetensors\n"
    "  --load FILE       resume from such a file, with its settings where the command line says nothing else; or take "
    "the\n"
    "                    parameters of a state dict\n"
    "  --log FILE        a line for each step: its number from 0, and the loss\n"
    "  --quiet           only the epochs and their accuracy\n"
    "  --help            this text\n";

static void print_usage(const Options *d)
{
    printf(usage, d->epochs, d->batch_size, d->lr, d->dropout, d->seed, d->data);
}

__attribute__((noreturn, format(printf, 1, 2))) static void refuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("mnist_cnn: ", stderr);
    vfprintf(stderr, format, args);
    fputs(" (mnist_cnn --help lists the options)\n", stderr);
    va_end(args);
    exit(2);
}

static int64_t whole_number(const char *option, const char *text, int64_t least, int64_t most)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end) refuse("--%s wants a whole number, not \"%s\"", option, text);
    if (errno || value < least || value > most)
        refuse("--%s must be %" PRId64 " to %" PRId64 ", not %s", option, least, most, text);
    return value;
}

static double number(const char *option, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end) refuse("--%s wants a number, not \"%s\"", option, text);
    if (!(value >= least && value <= most)) refuse("--%s must be %g to %g, not %s", option, least, most, text);
    return value;
}

/* 0 to 2^64 - 1; a negative one counts from 2^64 down, as torch.manual_seed takes it. */
static uint64_t seed(const char *text)
{
    char *end;
    errno = 0;
    bool negative = strchr(text, '-') != NULL;
    uint64_t value = negative ? (uint64_t)strtoll(text, &end, 10) : strtoull(text, &end, 10);
    if (end == text || *end) refuse("--seed wants a whole number, not \"%s\"", text);
    if (errno) refuse("--seed must be -2^63 to 2^64 - 1, not %s", text);
    return value;
}

static ag_dtype dtype(const char *text)
{
    if (strcmp(text, "float32") == 0) return AG_FLOAT32;
    if (strcmp(text, "float64") == 0) return AG_FLOAT64;
    refuse("--dtype must be float32 or float64, not \"%s\"", text);
}

static const char *path(const char *option, const char *text)
{
    if (!*text) refuse("--%s wants a path", option);
    return text;
}

Options options_parse(int argc, char **argv, Options o)
{
    const Options defaults = o;
    bool asks_for_graph = false;
    enum {
        EPOCHS = 1,
        BATCH_SIZE,
        LR,
        DROPOUT,
        SEED,
        DTYPE,
        DEVICE,
        GRAPH,
        NO_GRAPH,
        THREADS,
        DATA,
        LIMIT,
        NO_EVAL,
        SAVE,
        LOAD,
        LOG,
        QUIET,
        HELP
    };
    static const struct option known[] = {
        { "epochs", required_argument, NULL, EPOCHS },
        { "batch-size", required_argument, NULL, BATCH_SIZE },
        { "lr", required_argument, NULL, LR },
        { "dropout", required_argument, NULL, DROPOUT },
        { "seed", required_argument, NULL, SEED },
        { "dtype", required_argument, NULL, DTYPE },
        { "device", required_argument, NULL, DEVICE },
        { "graph", no_argument, NULL, GRAPH },
        { "no-graph", no_argument, NULL, NO_GRAPH },
        { "threads", required_argument, NULL, THREADS },
        { "data", required_argument, NULL, DATA },
        { "limit", required_argument, NULL, LIMIT },
        { "no-eval", no_argument, NULL, NO_EVAL },
        { "save", required_argument, NULL, SAVE },
        { "load", required_argument, NULL, LOAD },
        { "log", required_argument, NULL, LOG },
        { "quiet", no_argument, NULL, QUIET },
        { "help", no_argument, NULL, HELP },
        { 0 },
    };
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":", known, NULL)) != -1;) {
        switch (option) {
        case EPOCHS:
            o.epochs = whole_number("epochs", optarg, 0, INT32_MAX);
            break;
        case BATCH_SIZE:
            o.batch_size = whole_number("batch-size", optarg, 1, INT32_MAX), o.given.batch_size = true;
            break;
        case LR:
            o.lr = number("lr", optarg, 0, 1e30), o.given.lr = true;
            break;
        case DROPOUT:
            o.dropout = number("dropout", optarg, 0, 1), o.given.dropout = true;
            break;
        case SEED:
            o.seed = seed(optarg), o.given.seed = true;
            break;
        case DTYPE:
            o.dtype = dtype(optarg), o.given.dtype = true;
            break;
        case DEVICE:
            if (!ag_device_parse(optarg, &o.device)) refuse("--device: %s", ag_error());
            break;
        case GRAPH:
            asks_for_graph = o.graph = true;
            break;
        case NO_GRAPH:
            asks_for_graph = o.graph = false;
            break;
        case THREADS:
            o.threads = (int)whole_number("threads", optarg, 1, 256);
            break;
        case DATA:
            o.data = path("data", optarg), o.given.data = true;
            break;
        case LIMIT:
            o.limit = whole_number("limit", optarg, 1, INT32_MAX), o.given.limit = true;
            break;
        case NO_EVAL:
            o.evaluate = false;
            break;
        case SAVE:
            o.save = path("save", optarg);
            break;
        case LOAD:
            o.load = path("load", optarg);
            break;
        case LOG:
            o.log = path("log", optarg);
            break;
        case QUIET:
            o.quiet = true;
            break;
        case HELP:
            print_usage(&defaults);
            close_stdout();
            exit(0);
        case ':':
            refuse("%s wants a value", argv[optind - 1]);
        default: /* optopt: of a known option that was given a value, its number; of an unknown letter, the letter */
            if (optopt > 0 && optopt <= HELP) refuse("%s: this option takes no value", argv[optind - 1]);
            if (optopt) refuse("unknown option -%c", optopt);
            refuse("unknown option %s", argv[optind - 1]);
        }
    }
    if (optind < argc) refuse("what is \"%s\" to mean?", argv[optind]);
    if (asks_for_graph && o.device.type != AG_DEVICE_CUDA) refuse("--graph wants --device cuda");
    o.graph = o.graph && o.device.type == AG_DEVICE_CUDA;
    return o;
}
