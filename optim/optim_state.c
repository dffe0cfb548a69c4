/* optim_state.c - an optimiser's state under names: listed, and put back.
 *
 * The names count through three kinds: states (i, k) in the order of the parameters, then the arguments, then the list
 * of parameters. The same count is what a name is looked up to when state comes in. Nothing is changed until copies of
 * all that comes in have been made.
 */
#include "optim/optim_internal.h"
#include "tensor/allocator.h"
#include "tensor/fail.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t n_states(const ag_optimizer *o) { return o->n * o->kind->n_states; }
static int64_t n_names(const ag_optimizer *o) { return n_states(o) + o->kind->n_options + 1; }

enum { NAME_BYTES = sizeof((ag_optim_state *)0)->text };

static void name_of(const ag_optimizer *o, int64_t at, char *text)
{
    int64_t option = at - n_states(o);
    if (option < 0)
        snprintf(text, NAME_BYTES, "state.%" PRId64 ".%s", at / o->kind->n_states,
                 o->kind->state_name[at % o->kind->n_states]);
    else
        snprintf(text, NAME_BYTES, "param_groups.0.%s",
                 option < o->kind->n_options ? o->kind->option_name[option] : "params");
}

/* The name's place in the count, -1 if it has none. */
static int64_t place_of(const ag_optimizer *o, const char *name)
{
    int64_t from = n_states(o), to = n_names(o);
    if (strncmp(name, "state.", 6) == 0) {
        char *end;
        int64_t i = strtoll(name + 6, &end, 10);
        if (i < 0 || i >= o->n) return -1;
        from = i * o->kind->n_states;
        to = from + o->kind->n_states;
    }
    char text[NAME_BYTES];
    for (int64_t at = from; at < to; at++) {
        name_of(o, at, text);
        if (strcmp(text, name) == 0) return at;
    }
    return -1;
}

/* ---- out ---- */

static ag_variable *value_at(const ag_optimizer *o, int64_t at)
{
    Thread *t = ag__thread();
    if (at < n_states(o)) return o->state[at];
    at -= n_states(o);
    bool numbers = at == o->kind->n_options; /* of the parameters */
    ag_variable *x = ag__new(t, numbers, &o->n, numbers ? AG_INT64 : AG_FLOAT64, AG_CPU);
    if (!x) return NULL;
    if (!numbers) ag__store(x->tensor.data, AG_FLOAT64, o->option[at]);
    for (int64_t i = 0; numbers && i < o->n; i++) ((int64_t *)(void *)x->tensor.data)[i] = i;
    return x;
}

bool ag_optim_named_state(const ag_optimizer *o, ag_optim_state *at)
{
    if (!o || !at) return ag__fail(AG_EINVAL, "optim_named_state: %s is NULL", o ? "the place" : "the optimizer");
    while (at->next < n_states(o) && !o->state[at->next]) at->next++;
    if (at->next >= n_names(o)) return false;
    at->variable = value_at(o, at->next);
    if (!at->variable) return false;
    name_of(o, at->next++, at->text);
    at->name = at->text;
    return true;
}

ag_state_dict *ag_optim_state_dict(const ag_optimizer *o)
{
    if (!o) return ag__fail(AG_EINVAL, "optim_state_dict: the optimizer is NULL");
    ag_state_dict *dict = ag_state_dict_new();
    AG_SCOPE;
    bool ok = dict != NULL;
    for (ag_optim_state s = { 0 }; ok && ag_optim_named_state(o, &s);) ok = ag_state_dict_set(dict, s.name, s.variable);
    if (ok && !ag_error()) return dict;
    ag_state_dict_free(dict);
    return NULL;
}

/* ---- in ---- */

static const char here[] = "optim_load_state";

/* from[place] = the Variable of that name. */
static bool sort_in(const ag_optimizer *o, const char *const *names, ag_list values, const ag_variable **from)
{
    for (int64_t i = 0; i < values.n; i++) {
        if (!names[i] || !values.at[i] || values.at[i] == AG_NONE)
            return ag__fail(AG_EINVAL, "%s: %s %" PRId64 " is NULL", here, names[i] ? "value" : "name", i);
        int64_t place = place_of(o, names[i]);
        if (place < 0)
            return ag__fail(AG_EINVAL, "%s: unexpected name '%s': this is %s with %" PRId64 " parameters", here,
                            names[i], o->kind->name, o->n);
        if (from[place]) return ag__fail(AG_EINVAL, "%s: '%s' is there twice", here, names[i]);
        from[place] = values.at[i];
    }
    return true;
}

/* The only element of x, wherever it is. */
static bool read_number(const ag_variable *x, double *number)
{
    char element[8];
    if (!ag__read_element(&x->tensor, element)) return false;
    *number = ag__load(element, (ag_dtype)x->tensor.dtype);
    return true;
}

static bool options_are_good(const ag_optimizer *o, const ag_variable *const *from, double *option)
{
    char name[NAME_BYTES], text[AG_TEXT];
    for (int k = 0; k <= o->kind->n_options; k++) {
        const ag_variable *x = from[k];
        name_of(o, n_states(o) + k, name);
        if (!x) return ag__fail(AG_EINVAL, "%s: '%s' is missing", here, name);
        if (k == o->kind->n_options) {
            if (x->tensor.ndim != 1 || x->tensor.numel != o->n)
                return ag__fail(AG_EINVAL,
                                "%s: loaded state dict contains a parameter group that doesn't match the size of "
                                "optimizer's group ('%s' is %s, there are %" PRId64 " parameters)",
                                here, name, ag__tensor_text(&x->tensor, text, sizeof text), o->n);
            continue;
        }
        if (x->tensor.ndim != 0 || x->tensor.dtype != AG_FLOAT64)
            return ag__fail(AG_EINVAL, "%s: '%s' is %s, it must be one float64 without dimensions", here, name,
                            ag__tensor_text(&x->tensor, text, sizeof text));
        if (!read_number(x, &option[k])) return false;
        if (o->kind->is_flag[k] && option[k] != 0 && option[k] != 1)
            return ag__fail(AG_EINVAL, "%s: '%s' is %g, it must be 0 or 1", here, name, option[k]);
    }
    return o->kind->check(here, option);
}

/* Each state fits its parameter; and a parameter has all that a step with these arguments needs, or nothing. */
static bool states_are_good(const ag_optimizer *o, const ag_variable *const *from, const double *option)
{
    char name[NAME_BYTES];
    for (int64_t i = 0; i < o->n; i++, from += o->kind->n_states) {
        bool any = false;
        for (int k = 0; k < o->kind->n_states; k++) any |= from[k] != NULL;
        for (int k = 0; any && k < o->kind->n_states; k++) {
            name_of(o, i * o->kind->n_states + k, name);
            if (!from[k]) {
                if (!o->kind->needs(option, k)) continue;
                return ag__fail(AG_EINVAL, "%s: '%s' is missing", here, name);
            }
            if (!ag__optim_fits(here, o, i, k, from[k], name, true)) return false;
            if (!o->kind->is_count[k]) continue;
            double steps;
            if (!read_number(from[k], &steps)) return false;
            if (!(steps >= 0 && steps == trunc(steps) && isfinite(steps)))
                return ag__fail(AG_EINVAL, "%s: '%s' is %g, it must be a number of steps", here, name, steps);
        }
    }
    return true;
}

/* Copies of what comes in, laid out and of a type as the parameters are; NULL where nothing comes in. Held by the
 * innermost scope. */
static bool copy_states(Thread *t, const ag_optimizer *o, const ag_variable *const *from, ag_variable **to)
{
    for (int64_t at = 0; at < n_states(o); at++) {
        if (!from[at]) continue;
        to[at] = ag__optim_room(t, o, at / o->kind->n_states, (int)(at % o->kind->n_states));
        if (!to[at]) return false;
        if (!ag__copy_tensor(&to[at]->tensor, &from[at]->tensor)) return false;
    }
    return true;
}

bool ag_optim_load_state(ag_optimizer *o, const char *const *names, ag_list values)
{
    if (!o || (values.n > 0 && (!names || !values.at)))
        return ag__fail(AG_EINVAL, "%s: %s is NULL", here, !o ? "the optimizer" : "a list");
    Thread *t = ag__thread();
    if (!ag__may_change(t)) return false;
    size_t room = (size_t)(n_names(o) + n_states(o)) * sizeof(ag_variable *);
    const ag_variable **from = calloc(1, room);
    if (!from) return ag__fail_memory(here, room);
    ag_variable **to = (ag_variable **)(from + n_names(o));
    double option[AG_OPTIM_OPTIONS] = { 0 };
    AG_SCOPE;
    bool ok = sort_in(o, names, values, from) && options_are_good(o, from + n_states(o), option) &&
              states_are_good(o, from, option) && copy_states(t, o, from, to);
    if (ok) {
        for (int64_t at = 0; at < n_states(o); at++) {
            ag_variable *old = o->state[at];
            o->state[at] = ag_retain(to[at]);
            ag_release(old);
        }
        memcpy(o->option, option, sizeof option);
        ok = ag__optim_lr_changed(o);
    }
    free(from);
    return ok;
}

bool ag_optim_load_state_dict(ag_optimizer *o, const ag_state_dict *dict)
{
    if (!o || !dict)
        return ag__fail(AG_EINVAL, "optim_load_state_dict: %s is NULL", o ? "the dictionary" : "the optimizer");
    size_t n = (size_t)ag_state_dict_size(dict), room = 2 * (n + 1) * sizeof(void *);
    const char **names = malloc(room);
    if (!names) return ag__fail_memory("optim_load_state_dict", room);
    ag_variable **values = (ag_variable **)(names + n + 1);
    ag_state_item s = { 0 };
    for (size_t i = 0; i < n && ag_state_dict_next(dict, &s); i++) {
        names[i] = s.name;
        values[i] = s.variable;
    }
    bool ok = ag_optim_load_state(o, names, ag_list_from((int64_t)n, values));
    free(names);
    return ok;
}
