/* optim_internal.h - an optimiser inside: what it holds, and how the kinds differ. */
#ifndef AG_OPTIM_INTERNAL_H
#define AG_OPTIM_INTERNAL_H
#include "autograd/node.h"
#include "tensor/step_table.h"

#include <argent/optim.h>

enum { AG_OPTIM_STATES = 4, AG_OPTIM_OPTIONS = 7 };

/* SGD, Adam: one constant record each (optim.c). */
typedef struct ag_optim_kind {
    const char *name; /* "optim_sgd" */
    /* The arguments, as they stand in option[]; the learning rate first. */
    int n_options;
    const char *option_name[AG_OPTIM_OPTIONS];
    bool is_flag[AG_OPTIM_OPTIONS];
    /* Whether the arguments may be so; false with PyTorch's sentence. */
    bool (*check)(const char *function, const double *option);
    /* What a parameter may have beside it. */
    int n_states;
    const char *state_name[AG_OPTIM_STATES];
    /* A number of steps, float32 without dimensions; else of the parameter's shape and type. */
    bool is_count[AG_OPTIM_STATES];
    /* Whether a step with these arguments needs state k. */
    bool (*needs)(const double *option, int k);
    /* One step of parameter i, whose state is there; `first`: and was made just now, its elements not set. */
    void (*step)(ag_optimizer *o, int64_t i, bool first);
    /* The same for a device: sets the kind and the numbers that all parameters share. */
    void (*describe)(const double *option, ag__step_table *table);
} ag_optim_kind;

struct ag_optimizer {
    const ag_optim_kind *kind;
    int64_t n;
    ag_variable **param; /* n of them, held */
    ag_variable **state; /* (n, n_states), held; NULL: there is none */
    bool *fresh;         /* n of them; of use within a step: the state was made in it */
    double option[AG_OPTIM_OPTIONS];
    ag_variable **numbers; /* n_numbers of them, by the device's index, held: ag__step_table's; NULL: not there yet */
    int n_numbers;
};

static inline ag_variable **ag__optim_state(const ag_optimizer *o, int64_t i)
{
    return o->state + i * o->kind->n_states;
}

/* Room for state k of parameter i, elements not set, held by the innermost scope; NULL with an error. */
ag_variable *ag__optim_room(Thread *t, const ag_optimizer *o, int64_t i, int k);
/* Whether x, which has the right type or may be converted, can be state k of parameter i; false with a sentence about
 * `name`. */
bool ag__optim_fits(const char *function, const ag_optimizer *o, int64_t i, int k, const ag_variable *x,
                    const char *name, bool may_be_converted);

/* ---- parameters on devices (optim_device.c) ---- */

/* Steps those that have a gradient, whose states are there. */
bool ag__optim_step_on_devices(Thread *t, ag_optimizer *o);
/* Gradients on devices become zero: those that can be written by one kernel with others. */
bool ag__optim_clear_on_devices(Thread *t, ag_optimizer *o);
bool ag__optim_clears_at_once(const ag_variable *p);
/* The learning rate that devices have becomes the optimiser's. */
bool ag__optim_lr_changed(const ag_optimizer *o);

#endif
