/* checkpoint.c - a training in a file. */
#include "checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
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

static void set_number(StateDict *dict, const char *key, int64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, number);
    ag_state_dict_set_text(dict, key, text);
}

bool checkpoint_save(const char *path, Module *net, Optimizer *optimizer, const Place *place)
{
    AG_SCOPE;
    unsigned char state[AG_RNG_STATE_BYTES];
    StateDict *dict = ag_state_dict_new();
    add_all(dict, "", ag_nn_state_dict(net));
    add_all(dict, optimizer_prefix, ag_optim_state_dict(optimizer));
    ag_get_rng_state(state);
    ag_state_dict_set(dict, "rng_state", ag_tensor(state, AG_SHAPE(AG_RNG_STATE_BYTES)));
    ag_state_dict_set(dict, "epoch_rng_state", ag_tensor(place->epoch_state, AG_SHAPE(AG_RNG_STATE_BYTES)));
    set_number(dict, "epoch", place->epoch);
    set_number(dict, "batch", place->batch);
    set_number(dict, "step", place->step);
    bool saved = ag_save(dict, path);
    ag_state_dict_free(dict);
    return saved;
}

/* ---- loading ---- */

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

static int64_t number(const StateDict *dict, const char *key)
{
    const char *text = ag_state_dict_text(dict, key);
    int64_t n = text ? strtoll(text, NULL, 10) : 0;
    return n > 0 ? n : 0;
}

static bool set_random_state(const Variable *state)
{
    return ag_set_rng_state(ag_data(state), ag_dtype_of(state) == AG_UINT8 ? (size_t)ag_numel(state) : 0);
}

/* The loader and the default generator go on where they were: the epoch is begun once more as it began, and what was
 * done of it is passed over. */
static bool find_place(const StateDict *random, DataLoader *train_loader, Place *place)
{
    Variable *now = ag_state_dict_get(random, "rng_state"), *then = ag_state_dict_get(random, "epoch_rng_state");
    if (!now) return true; /* nothing but parameters */
    if (place->batch && then) {
        if (!set_random_state(then) || !ag_get_rng_state(place->epoch_state) ||
            !ag_data_skip(train_loader, place->batch))
            return false;
    }
    return set_random_state(now);
}

bool checkpoint_load(const char *path, Module *net, Optimizer *optimizer, DataLoader *train_loader, Place *place)
{
    AG_SCOPE;
    StateDict *all = ag_load(path);
    StateDict *of_net = ag_state_dict_new(), *of_optimizer = ag_state_dict_new(), *of_random = ag_state_dict_new();
    sort_out(all, of_net, of_optimizer, of_random);
    bool loaded = ag_nn_load_state_dict(net, of_net);
    if (loaded && ag_state_dict_get(of_random, "rng_state")) {
        place->epoch = number(all, "epoch");
        place->batch = number(all, "batch");
        place->step = number(all, "step");
        loaded = ag_optim_load_state_dict(optimizer, of_optimizer) && find_place(of_random, train_loader, place);
    }
    ag_state_dict_free(of_random);
    ag_state_dict_free(of_optimizer);
    ag_state_dict_free(of_net);
    ag_state_dict_free(all);
    return loaded;
}
