/* checkpoint.c - a training in a file. */
#include "checkpoint.h"

#include "files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char optimizer_prefix[] = "optimizer.";

/* ---- saving ---- */

/* Puts all of `from` into `to`, its names behind the prefix. */
static void add_all(StateDict *to, const char *prefix, StateDict *from)
{
    char name[512];
    for (ag_state_item s = { 0 }; ag_state_dict_next(from, &s);) {
        snprintf(name, sizeof name, "%s%s", prefix, s.name);
        ag_state_dict_set(to, name, s.variable);
    }
    ag_state_dict_free(from);
}

__attribute__((format(printf, 3, 4))) static void set_text(StateDict *dict, const char *key, const char *format, ...)
{
    char text[64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ag_state_dict_set_text(dict, key, text);
}

bool checkpoint_save(const char *path, const Options *options, Module *net, Optimizer *optimizer, const Place *place)
{
    AG_SCOPE;
    unsigned char state[AG_RNG_STATE_BYTES];
    StateDict *dict = ag_state_dict_new();
    add_all(dict, "", ag_nn_state_dict(net));
    add_all(dict, optimizer_prefix, ag_optim_state_dict(optimizer));
    ag_get_rng_state(state);
    ag_state_dict_set(dict, "rng_state", ag_tensor(state, AG_SHAPE(AG_RNG_STATE_BYTES)));
    ag_state_dict_set(dict, "epoch_rng_state", ag_tensor(place->epoch_state, AG_SHAPE(AG_RNG_STATE_BYTES)));
    set_text(dict, "epoch", "%" PRId64, place->epoch);
    set_text(dict, "batch", "%" PRId64, place->batch);
    set_text(dict, "step", "%" PRId64, place->step);
    set_text(dict, "batch_size", "%" PRId64, options->batch_size);
    set_text(dict, "images", "%" PRId64, options->limit);
    set_text(dict, "dropout", "%.17g", options->dropout);
    set_text(dict, "dtype", "%s", ag_dtype_name(options->dtype));
    set_text(dict, "seed", "%" PRIu64, options->seed);
    bool saved = ag_save(dict, path);
    ag_state_dict_free(dict);
    return saved;
}

/* ---- loading: the settings ---- */

/* The number that a text says, or `otherwise` where there is none. */
static int64_t whole_number(const StateDict *dict, const char *key, int64_t otherwise)
{
    const char *text = ag_state_dict_text(dict, key);
    char *end;
    if (!text) return otherwise;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end || n < 0) fail("the checkpoint is damaged: its %s is \"%.40s\"", key, text);
    return n;
}

static double probability(const StateDict *dict, const char *key, double otherwise)
{
    const char *text = ag_state_dict_text(dict, key);
    char *end;
    if (!text) return otherwise;
    double p = strtod(text, &end);
    if (end == text || *end || !(p >= 0 && p <= 1)) fail("the checkpoint is damaged: its %s is \"%.40s\"", key, text);
    return p;
}

/* A network has the numbers it was trained with, so a run cannot go on in another type. */
static void take_dtype(const StateDict *dict, Options *o)
{
    const char *text = ag_state_dict_text(dict, "dtype");
    ag_dtype dtype = text && strcmp(text, "float64") == 0 ? AG_FLOAT64 : AG_FLOAT32;
    if (!text || dtype == o->dtype) return;
    if (o->given.dtype)
        fail("%s holds a run in %s, which does not go on in %s", o->load, ag_dtype_name(dtype),
             ag_dtype_name(o->dtype));
    o->dtype = dtype;
}

static void take_seed(const StateDict *dict, Options *o)
{
    const char *text = ag_state_dict_text(dict, "seed");
    uint64_t seed = text ? strtoull(text, NULL, 10) : o->seed;
    if (o->given.seed && seed != o->seed && !o->quiet)
        printf("The random numbers go on where %s left them: --seed %" PRIu64 " has no effect.\n", o->load, o->seed);
    o->seed = seed;
}

StateDict *checkpoint_read(const char *path, Options *o)
{
    StateDict *dict = ag_load(path);
    if (!ag_state_dict_get(dict, "rng_state")) return dict;
    take_dtype(dict, o);
    take_seed(dict, o);
    if (!o->given.dropout) o->dropout = probability(dict, "dropout", o->dropout);
    if (!o->given.batch_size) o->batch_size = whole_number(dict, "batch_size", o->batch_size);
    if (!o->given.limit) o->limit = whole_number(dict, "images", o->limit);
    if (o->batch_size < 1 || o->limit < 1) fail("%s is damaged: no run has such settings", path);
    return dict;
}

/* ---- loading: the state ---- */

/* Moves what is not the network's from `dict` into dictionaries of its own. */
static void sort_out(StateDict *dict, StateDict *net, StateDict *optimizer, StateDict *random)
{
    const size_t prefix = sizeof optimizer_prefix - 1;
    for (ag_state_item s = { 0 }; ag_state_dict_next(dict, &s);) {
        if (strncmp(s.name, optimizer_prefix, prefix) == 0)
            ag_state_dict_set(optimizer, s.name + prefix, s.variable);
        else if (strcmp(s.name, "rng_state") == 0 || strcmp(s.name, "epoch_rng_state") == 0)
            ag_state_dict_set(random, s.name, s.variable);
        else
            ag_state_dict_set(net, s.name, s.variable);
    }
}

static bool set_random_state(const Variable *state)
{
    return ag_set_rng_state(ag_data(state), ag_dtype_of(state) == AG_UINT8 ? (size_t)ag_numel(state) : 0);
}

/* Within an epoch its minibatches are as they were only if they are cut from the same images in the same way. */
static void check_epoch(const StateDict *saved, const Options *o)
{
    int64_t batch_size = whole_number(saved, "batch_size", o->batch_size);
    int64_t images = whole_number(saved, "images", o->limit);
    if (batch_size != o->batch_size || images != o->limit)
        fail("%s was stopped within an epoch of %" PRId64 " images in batches of %" PRId64
             ", which does not go on with %" PRId64 " images in batches of %" PRId64,
             o->load, images, batch_size, o->limit, o->batch_size);
}

/* The loader and the default generator go on where they were: the epoch is begun once more as it began, and what was
 * done of it is passed over. */
static bool find_place(const StateDict *random, DataLoader *train_loader, Place *place)
{
    Variable *now = ag_state_dict_get(random, "rng_state"), *then = ag_state_dict_get(random, "epoch_rng_state");
    if (place->batch && !then) fail("the checkpoint is damaged: it has no epoch_rng_state");
    if (place->batch) {
        if (!set_random_state(then) || !ag_get_rng_state(place->epoch_state) ||
            !ag_data_skip(train_loader, place->batch))
            return false;
    }
    return set_random_state(now);
}

bool checkpoint_restore(StateDict *saved, const Options *options, Module *net, Optimizer *optimizer,
                        DataLoader *train_loader, Place *place)
{
    AG_SCOPE;
    StateDict *of_net = ag_state_dict_new(), *of_optimizer = ag_state_dict_new(), *of_random = ag_state_dict_new();
    sort_out(saved, of_net, of_optimizer, of_random);
    bool restored = ag_nn_load_state_dict(net, of_net);
    if (restored && ag_state_dict_get(of_random, "rng_state")) {
        place->epoch = whole_number(saved, "epoch", 0);
        place->batch = whole_number(saved, "batch", 0);
        place->step = whole_number(saved, "step", 0);
        if (place->batch) check_epoch(saved, options);
        restored = ag_optim_load_state_dict(optimizer, of_optimizer) && find_place(of_random, train_loader, place);
    }
    ag_state_dict_free(of_random);
    ag_state_dict_free(of_optimizer);
    ag_state_dict_free(of_net);
    ag_state_dict_free(saved);
    return restored;
}
