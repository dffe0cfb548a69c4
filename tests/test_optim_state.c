/* test_optim_state.c - an optimiser's state: put away and brought back, refused where it does not fit. */
#include "interpose.h"
#include "optim_runs.h"

#include <stdio.h>
#include <unistd.h>

static const char *const resumed[] = { "sgd lr=0.1", "sgd lr=0.1 momentum=0.9 nesterov=1 weight_decay=0.01",
                                       "sgd lr=0.1 momentum=0.9 dampening=0.25 maximize=1",
                                       "adam lr=0.01 weight_decay=0.1",
                                       "adam lr=0.01 beta1=0.5 beta2=0.75 eps=0.01 amsgrad=1 maximize=1" };

START_TEST(a_run_that_is_stopped_and_resumed_has_the_same_numbers)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/argent-test-optim-%ld.safetensors", (long)getpid());
    for (size_t k = 0; k < sizeof resumed / sizeof *resumed; k++) {
        for (int stop = 0; stop < 5; stop++) { /* at 1 the last parameter has no state yet */
            AG_SCOPE;
            Variable *p[PARAMS], *q[PARAMS];
            double through[ELEMENTS], is[ELEMENTS];
            runs_params(p, AG_FLOAT32);
            Optimizer *o = runs_optimizer(resumed[k], runs_list(p));
            runs_steps(o, p, 1, stop);
            StateDict *dict = ag_optim_state_dict(o);
            OK(ag_save(dict, path));
            ag_state_dict_free(dict);
            for (int i = 0; i < PARAMS; i++) q[i] = ag_requires_grad_(ag_clone(ag_detach(p[i])));
            uint64_t there = support_drawn;
            runs_steps(o, p, stop + 1, stop + 6);
            runs_elements(p, through);
            ag_optim_free(o);

            o = resumed[k][0] == 's' ? ag_optim_sgd(runs_list(q), .lr = 5, .momentum = 0.1)
                                     : ag_optim_adam(runs_list(q), .lr = 5);
            OK(dict = ag_load(path));
            OK(ag_optim_load_state_dict(o, dict));
            ag_state_dict_free(dict);
            ck_assert(ag_optim_lr(o) == runs_argument(resumed[k], "lr", 0));
            support_drawn = there;
            runs_steps(o, q, stop + 1, stop + 6);
            runs_elements(q, is);
            ck_assert_mem_eq(is, through, sizeof is);
            ag_optim_free(o);
        }
    }
    unlink(path);
}
END_TEST

/* The state of an optimiser in arrays, to be spoilt. */
typedef struct {
    int64_t n;
    char text[20][64];
    const char *name[20];
    Variable *value[20];
} arrays;
static arrays arrays_of(Optimizer *o)
{
    arrays a = { .n = 0 };
    for (ag_optim_state s = { 0 }; ag_optim_named_state(o, &s); a.n++) {
        strcpy(a.text[a.n], s.name);
        a.value[a.n] = ag_clone(s.variable);
    }
    return a;
}
static bool load(Optimizer *o, arrays *a)
{
    for (int64_t i = 0; i < a->n; i++) a->name[i] = a->text[i];
    return ag_optim_load_state(o, a->name, ag_list_from(a->n, a->value));
}
static int64_t place(const arrays *a, const char *name)
{
    int64_t i = 0;
    while (strcmp(a->text[i], name)) i++;
    return i;
}
static arrays with(arrays a, const char *name, Variable *value)
{
    a.value[place(&a, name)] = value;
    return a;
}
static arrays without(arrays a, const char *name)
{
    int64_t i = place(&a, name);
    memmove(a.text[i], a.text[i + 1], sizeof a.text - sizeof *a.text * (size_t)(i + 1));
    memmove(a.value + i, a.value + i + 1, sizeof a.value - sizeof *a.value * (size_t)(i + 1));
    a.n--;
    return a;
}
static arrays renamed(arrays a, const char *name, const char *other)
{
    strcpy(a.text[place(&a, name)], other);
    return a;
}
static Variable *number(double value) { return ag_full(AG_SCALAR_SHAPE, value, .dtype = AG_FLOAT64); }
static Variable *count(double value) { return ag_full(AG_SCALAR_SHAPE, value); }

START_TEST(state_that_does_not_fit_is_refused_and_changes_nothing)
{
    Variable *p[PARAMS];
    runs_params(p, AG_FLOAT32);
    Optimizer *o = ag_optim_adam(runs_list(p), .amsgrad = true);
    runs_steps(o, p, 1, 1);
    arrays good = arrays_of(o);
    ck_assert_int_eq(good.n, 2 * 4 + 7 + 1);
    OK(load(o, &good));

    arrays bad[] = {
        renamed(good, "state.1.step", "state.3.step"),
        renamed(good, "state.1.step", "state.1.momentum_buffer"),
        renamed(good, "state.1.step", "state.01.step"),
        renamed(good, "state.1.step", "state.-1.step"),
        renamed(good, "state.1.step", ""),
        renamed(good, "state.1.step", "state.0.step"),
        renamed(good, "param_groups.0.lr", "param_groups.1.lr"),
        without(good, "state.1.step"),
        without(good, "state.0.max_exp_avg_sq"),
        without(good, "param_groups.0.betas.1"),
        without(good, "param_groups.0.params"),
        with(good, "param_groups.0.params", ag_arange(2)),
        with(good, "param_groups.0.lr", ag_ones(AG_SHAPE(1), .dtype = AG_FLOAT64)),
        with(good, "param_groups.0.lr", count(1)),
        with(good, "param_groups.0.lr", number(-1)),
        with(good, "param_groups.0.maximize", number(0.5)),
        with(good, "state.0.exp_avg", ag_zeros(AG_SHAPE(9, 4))),
        with(good, "state.0.exp_avg", ag_zeros(AG_SHAPE(36), .dtype = AG_FLOAT64)),
        with(good, "state.1.step", ag_ones(AG_SHAPE(1))),
        with(good, "state.1.step", count(1.5)),
        with(good, "state.1.step", count(-1)),
        with(good, "state.1.step", count(NAN)),
        with(good, "state.1.step", NULL),
    };
    const char *sentences[] = {
        "unexpected name 'state.3.step': this is optim_adam with 3 parameters",
        "unexpected name 'state.1.momentum_buffer'",
        "unexpected name 'state.01.step'",
        "unexpected name 'state.-1.step'",
        "unexpected name ''",
        "'state.0.step' is there twice",
        "unexpected name 'param_groups.1.lr'",
        "'state.1.step' is missing",
        "'state.0.max_exp_avg_sq' is missing",
        "'param_groups.0.betas.1' is missing",
        "'param_groups.0.params' is missing",
        "doesn't match the size of optimizer's group",
        "'param_groups.0.lr' is [1] float64 cpu, it must be one float64 without dimensions",
        "'param_groups.0.lr' is [] float32 cpu",
        "Invalid learning rate: -1.0",
        "'param_groups.0.maximize' is 0.5, it must be 0 or 1",
        "state.0.exp_avg is [9, 4] float32 cpu, but parameter 0 asks for [4, 9] float32",
        "state.0.exp_avg is [36] float64 cpu",
        "state.1.step is [1] float32 cpu, but parameter 1 asks for [] float32",
        "'state.1.step' is 1.5, it must be a number of steps",
        "'state.1.step' is -1",
        "'state.1.step' is nan",
        "value 4 is NULL",
    };
    ck_assert_int_eq(sizeof bad / sizeof *bad, sizeof sentences / sizeof *sentences);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        REFUSED(load(o, &bad[i]), sentences[i]);
        arrays still = arrays_of(o);
        ck_assert_int_eq(still.n, good.n);
        for (int64_t k = 0; k < good.n; k++) ck_assert(ag_equal(still.value[k], good.value[k]));
    }
    REFUSED(ag_optim_load_state(o, NULL, ag_list_from(good.n, good.value)), "a list is NULL");
    REFUSED(ag_optim_load_state_dict(o, NULL), "the dictionary is NULL");

    /* in another order, layout and type, and into a run without state */
    Optimizer *fresh = ag_optim_adam(runs_list(p));
    arrays turned = with(good, "state.0.exp_avg",
                         ag_t(ag_contiguous(ag_t(good.value[place(&good, "state.0.exp_avg")]))));
    turned = with(turned, "state.1.exp_avg", ag_double(good.value[place(&good, "state.1.exp_avg")]));
    turned = with(turned, "state.1.step", ag_long(good.value[place(&good, "state.1.step")]));
    arrays reversed = turned;
    for (int64_t i = 0; i < good.n; i++) {
        strcpy(reversed.text[i], turned.text[good.n - 1 - i]);
        reversed.value[i] = turned.value[good.n - 1 - i];
    }
    OK(load(fresh, &reversed));
    arrays is = arrays_of(fresh);
    for (int64_t k = 0; k < good.n; k++) {
        ck_assert(ag_equal(is.value[k], good.value[k]));
        ck_assert_int_eq(ag_dtype_of(is.value[k]), ag_dtype_of(good.value[k]));
    }
    ag_optim_free(fresh);
    ag_optim_free(o);
}
END_TEST

START_TEST(state_of_another_kind_or_of_other_parameters_is_refused)
{
    Variable *p[PARAMS];
    runs_params(p, AG_FLOAT32);
    Optimizer *sgd = ag_optim_sgd(runs_list(p), .momentum = 0.5), *adam = ag_optim_adam(runs_list(p)),
              *fewer = ag_optim_sgd(ag_list_from(2, p)),
              *more = ag_optim_sgd(AG_LIST(p[0], p[1], p[2], ag_ones(AG_SHAPE(1)))),
              *turned = ag_optim_sgd(AG_LIST(p[1], p[0], p[2]));
    runs_steps(sgd, p, 2, 2);
    runs_steps(adam, p, 2, 2);
    StateDict *of_sgd = ag_optim_state_dict(sgd), *of_adam = ag_optim_state_dict(adam);
    const char *not_matching =
        "loaded state dict contains a parameter group that doesn't match the size of optimizer's group";
    REFUSED(ag_optim_load_state_dict(adam, of_sgd), "unexpected name 'state.0.momentum_buffer': this is optim_adam");
    REFUSED(ag_optim_load_state_dict(sgd, of_adam), "unexpected name 'state.0.step': this is optim_sgd");
    REFUSED(ag_optim_load_state_dict(fewer, of_sgd), "unexpected name 'state.2.momentum_buffer'");
    REFUSED(ag_optim_load_state_dict(more, of_sgd), not_matching);
    REFUSED(ag_optim_load_state_dict(turned, of_sgd),
            "state.0.momentum_buffer is [4, 9] float32 cpu, but parameter 0 asks for [3] float32");
    ck_assert(ag_optim_lr(more) == 1e-3);
    ag_state_dict_free(of_sgd);
    ag_state_dict_free(of_adam);
    Optimizer *all[] = { sgd, adam, fewer, more, turned };
    for (int i = 0; i < 5; i++) ag_optim_free(all[i]);
}
END_TEST

START_TEST(the_dictionary_is_the_state_itself_and_outlives_the_optimiser)
{
    Variable *p = ag_ones(AG_SHAPE(2), .requires_grad = true);
    Optimizer *o = ag_optim_sgd(AG_LIST(p), .momentum = 0.5);
    OK(ag_set_grad(p, ag_ones(AG_SHAPE(2))));
    OK(ag_optim_step(o));
    StateDict *dict = ag_optim_state_dict(o);
    OK(ag_optim_step(o));
    ag_optim_free(o);
    VALUES(ag_state_dict_get(dict, "state.0.momentum_buffer"), 1.5, 1.5);
    VALUES(ag_state_dict_get(dict, "param_groups.0.momentum"), 0.5);
    ag_state_dict_free(dict);
}
END_TEST

/* ---- memory ---- */

START_TEST(when_memory_is_out_nothing_is_made_or_loaded)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* which has a malloc of its own */
    Variable *p = ag_ones(AG_SHAPE(400, 400), .requires_grad = true);
    OK(ag_set_grad(p, ag_ones(AG_SHAPE(400, 400))));
    bool failed = true;
    int failures = 0;
    for (int64_t at = 1; failed; at++) {
        interpose_start(at, true);
        Optimizer *o = ag_optim_sgd(AG_LIST(p));
        interpose_stop();
        failed = !o;
        failures += failed;
        if (failed) ck_assert_int_eq(ag_error_code(), AG_ENOMEM);
        ag_clear_error();
        ag_optim_free(o);
    }
    ck_assert_int_eq(failures, 4);

    Optimizer *o = ag_optim_adam(AG_LIST(p), .lr = 0.25);
    OK(ag_optim_step(o));
    arrays state = arrays_of(o);
    failures = 0;
    failed = true;
    for (int64_t at = 1; failed; at++) {
        Optimizer *other = ag_optim_adam(AG_LIST(p));
        ag_empty_cache();
        interpose_start(at, true);
        StateDict *dict = ag_optim_state_dict(o);
        failed = !dict || !ag_optim_load_state_dict(other, dict);
        interpose_stop();
        failures += failed;
        if (failed) ck_assert_int_eq(ag_error_code(), AG_ENOMEM);
        ag_clear_error();
        ck_assert(ag_optim_lr(other) == (failed ? 1e-3 : 0.25));
        ag_state_dict_free(dict);
        ag_optim_free(other);
    }
    ck_assert_int_ge(failures, 4);
    ck_assert_int_eq(state.n, 3 + 7 + 1);
    ag_optim_free(o);
}
END_TEST

SUPPORT_MAIN("optim_state", a_run_that_is_stopped_and_resumed_has_the_same_numbers,
             state_that_does_not_fit_is_refused_and_changes_nothing,
             state_of_another_kind_or_of_other_parameters_is_refused,
             the_dictionary_is_the_state_itself_and_outlives_the_optimiser,
             when_memory_is_out_nothing_is_made_or_loaded)
