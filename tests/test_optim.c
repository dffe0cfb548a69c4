/* test_optim.c - optimisers: PyTorch's numbers, names and sentences (tests/data/optim_runs.txt, by
 * tools/record-optim.py), gradients in any layout, and full memory. */
#include "interpose.h"
#include "ops/cpu/isa.h"
#include "optim_runs.h"

#include <argent/num_threads.h>

#include <stdio.h>

/* The recorded lines, one after the other. */
typedef struct {
    FILE *file;
    char line[2048];
} recording;
static recording record_open(void)
{
    recording r = { .file = fopen(AG_TEST_DATA "/optim_runs.txt", "r") };
    ck_assert_msg(r.file != NULL, "there is no " AG_TEST_DATA "/optim_runs.txt");
    return r;
}
static bool record_next(recording *r)
{
    if (!fgets(r->line, sizeof r->line, r->file)) return fclose(r->file), false;
    r->line[strcspn(r->line, "\n")] = 0;
    return true;
}

/* Whole runs on one instruction set. float64 within 1e-12; what PyTorch computed with fused operations, SGD has to the
 * bit where there are some, and Adam, whose powers are libm's, nearly. */
static void replay(ag__isa isa)
{
    if (!ag__set_cpu_capability(isa)) return;
    recording r = record_open();
    char run[sizeof r.line] = "";
    Variable *p[PARAMS];
    Optimizer *o = NULL;
    int at = 0, compared = 0;
    ag_scope scope = ag_scope_begin();
    while (record_next(&r)) {
        bool is_f32 = strstr(run, " f32") != NULL;
        if (strncmp(r.line, "run ", 4) == 0) {
            ag_optim_free(o);
            ag_scope_end(&scope);
            scope = ag_scope_begin();
            strcpy(run, r.line + 4);
            runs_params(p, strstr(run, " f32") ? AG_FLOAT32 : AG_FLOAT64);
            OK(o = runs_optimizer(run, runs_list(p)));
            at = 0;
        } else if (r.line[0] == '=') {
            char *next = r.line + 1;
            int until = (int)strtol(next, &next, 10);
            runs_steps(o, p, at + 1, until);
            at = until;
            double is[ELEMENTS];
            runs_elements(p, is);
            bool exact = isa != AG_ISA_BASELINE && run[0] == 's';
            double tolerance = exact ? 0 : is_f32 ? 2e-6 : 1e-12;
            for (int i = 0; i < ELEMENTS; i++, compared++) {
                double wants = is_f32 ? (double)strtof(next, &next) : strtod(next, &next), off = fabs(is[i] - wants);
                ck_assert_msg(off <= tolerance * fmax(1, fabs(wants)),
                              "%s, %s: element %d after %d steps is %.17g, not %.17g", ag__isa_name(isa), run, i, until,
                              is[i], wants);
            }
        }
    }
    ag_optim_free(o);
    ag_scope_end(&scope);
    ck_assert_int_gt(compared, 60 * 3 * ELEMENTS);
}
START_TEST(fifty_steps_are_pytorchs_for_all_arguments)
{
    ag__isa before = ag__cpu_capability();
    for (int isa = 0; isa < AG_N_ISAS; isa++) replay((ag__isa)isa);
    ag__set_cpu_capability(before);
}
END_TEST

START_TEST(the_names_of_the_state_are_pytorchs)
{
    recording r = record_open();
    char run[sizeof r.line] = "";
    int compared = 0;
    while (record_next(&r)) {
        if (strncmp(r.line, "run ", 4) == 0) strcpy(run, r.line + 4);
        if (strncmp(r.line, "names ", 6)) continue;
        AG_SCOPE;
        Variable *p[PARAMS];
        runs_params(p, AG_FLOAT64);
        Optimizer *o = runs_optimizer(run, runs_list(p));
        runs_steps(o, p, 1, 2);
        char names[sizeof r.line] = "names";
        for (ag_optim_state s = { 0 }; ag_optim_named_state(o, &s);) {
            OK(s.variable);
            strcat(strcat(names, " "), s.name);
        }
        ck_assert_str_eq(names, r.line);
        ag_optim_free(o);
        compared++;
    }
    ck_assert_int_gt(compared, 30);
}
END_TEST

START_TEST(arguments_are_refused_with_pytorchs_sentences)
{
    recording r = record_open();
    Variable *p[PARAMS];
    runs_params(p, AG_FLOAT32);
    int refused = 0;
    while (record_next(&r)) {
        if (strncmp(r.line, "refused ", 8)) continue;
        char *sentence = strstr(r.line, " : ");
        *sentence = 0;
        REFUSED(runs_optimizer(r.line + 8, runs_list(p)), sentence + 3);
        refused++;
    }
    ck_assert_int_gt(refused, 10);
}
END_TEST

/* ---- one step ---- */

START_TEST(a_plain_step_is_the_parameter_plus_the_gradient_times_minus_lr)
{
    Variable *p[PARAMS];
    runs_params(p, AG_FLOAT32);
    Optimizer *o = ag_optim_sgd(runs_list(p), .lr = 0.0123);
    runs_grads(p, 2);
    double was[ELEMENTS], grad[ELEMENTS], is[ELEMENTS];
    runs_elements(p, was);
    for (int i = 0, at = 0; i < PARAMS; at += (int)ag_numel(p[i++]))
        OK(ag_copy_to(ag_grad(p[i]), grad + at, AG_FLOAT64));
    OK(ag_optim_step(o));
    runs_elements(p, is);
    bool fuses = ag__cpu_capability() != AG_ISA_BASELINE;
    for (int i = 0; i < ELEMENTS; i++) {
        float g = (float)grad[i], w = (float)was[i], product = (float)-0.0123 * g;
        ck_assert(is[i] == (double)(fuses ? fmaf((float)-0.0123, g, w) : w + product));
    }
    ag_optim_free(o);
}
END_TEST

START_TEST(a_step_is_not_recorded_raises_the_version_and_passes_over_what_has_no_gradient)
{
    Variable *p[PARAMS];
    runs_params(p, AG_FLOAT64);
    Optimizer *o = ag_optim_adam(runs_list(p));
    OK(ag_optim_step(o)); /* no gradient anywhere */
    int n = 0;
    for (ag_optim_state s = { 0 }; ag_optim_named_state(o, &s);) n++;
    ck_assert_int_eq(n, 7 + 1);
    for (int i = 0; i < PARAMS; i++) ck_assert_int_eq(ag_version(p[i]), 0);
    Variable *loss = ag_sum(ag_mul(p[0], p[0]));
    OK(ag_backward(loss, .retain_graph = true));
    OK(ag_optim_step(o));
    ck_assert_int_eq(ag_version(p[0]), 1);
    ck_assert_int_eq(ag_version(p[1]), 0);
    ck_assert(ag_is_leaf(p[0]) && ag_requires_grad(p[0]));
    REFUSED(ag_backward(loss), "modified by an inplace operation");
    ag_optim_free(o);
}
END_TEST

/* The same numbers in other layouts give the same bits. */
START_TEST(parameters_and_gradients_may_lie_in_memory_in_any_way)
{
    const char *kinds[] = { "sgd lr=0.1", "sgd lr=0.1 momentum=0.9 weight_decay=0.1", "adam lr=0.1 amsgrad=1" };
    for (size_t k = 0; k < 3; k++) {
        AG_SCOPE;
        support_drawn = 7;
        Variable *start = support_draw(AG_SHAPE(5, 7), AG_FLOAT32, 1), *wide = ag_zeros(AG_SHAPE(7, 15));
        Variable *row = support_draw(AG_SHAPE(7), AG_FLOAT32, 1);
        Variable *plain = ag_requires_grad_(ag_clone(start)), *turned = ag_t(ag_contiguous(ag_t(start)));
        Variable *apart = ag_slice(ag_t(wide), 0, 1, 15, 3);
        ag_copy_(apart, start);
        Variable *p[] = { plain, ag_requires_grad_(ag_detach(turned)), ag_requires_grad_(ag_detach(apart)) };
        ck_assert(!ag_is_contiguous(p[1]) && !ag_is_contiguous(p[2]));
        Optimizer *o = runs_optimizer(kinds[k], runs_list(p));
        for (int step = 0; step < 4; step++) {
            Variable *grad = ag_expand(row, AG_SHAPE(5, 7));
            if (step % 2) grad = support_draw(AG_SHAPE(5, 7), AG_FLOAT32, 1);
            OK(ag_set_grad(p[0], ag_contiguous(grad)));
            OK(ag_set_grad(p[1], grad));
            OK(ag_set_grad(p[2], ag_t(ag_contiguous(ag_t(grad)))));
            OK(ag_optim_step(o));
        }
        ck_assert(ag_equal(p[0], p[1]) && ag_equal(p[0], p[2]) && !ag_equal(p[0], start));
        ag_zero_(apart);
        ck_assert(ag_item(ag_sum(ag_abs(wide))) == 0); /* what lies between */
        ag_optim_free(o);
    }
}
END_TEST

START_TEST(a_gradient_in_the_parameters_own_memory)
{
    Variable *x = ag_tensor(((double[]){ 1, 2, 3, 4 }), AG_SHAPE(4)),
             *p = ag_requires_grad_(ag_detach(ag_slice(x, 0, 0, 3)));
    Optimizer *o = ag_optim_sgd(AG_LIST(p), .lr = 0.5);
    OK(ag_set_grad(p, ag_detach(ag_slice(x, 0, 0, 3))));
    OK(ag_optim_step(o));
    VALUES(x, 0.5, 1, 1.5, 4);
    OK(ag_set_grad(p, ag_detach(ag_slice(x, 0, 1, 4))));
    REFUSED(ag_optim_step(o), "its gradient shares a part of its memory");
    VALUES(x, 0.5, 1, 1.5, 4);
    ag_optim_free(o);
}
END_TEST

START_TEST(a_large_parameter_has_the_same_bits_with_any_number_of_threads)
{
    int before = ag_get_num_threads();
    Variable *start = ag_randn(AG_SHAPE(123457)), *grad = ag_randn(AG_SHAPE(123457)), *one = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        ag_set_num_threads(threads);
        Variable *p = ag_requires_grad_(ag_clone(start));
        Optimizer *o = ag_optim_adam(AG_LIST(p), .lr = 0.1, .weight_decay = 0.1);
        OK(ag_set_grad(p, grad));
        for (int i = 0; i < 3; i++) OK(ag_optim_step(o));
        if (!one) one = p;
        ck_assert(ag_equal(one, p));
        ag_optim_free(o);
    }
    ag_set_num_threads(before);
}
END_TEST

START_TEST(no_elements_and_numbers_without_dimensions)
{
    Variable *none = ag_zeros(AG_SHAPE(0, 3), .requires_grad = true),
             *number = ag_full(AG_SCALAR_SHAPE, 2, .requires_grad = true);
    Optimizer *o = ag_optim_adam(AG_LIST(none, number), .lr = 0.5);
    OK(ag_backward(ag_add(ag_sum(none), ag_mul(number, number))));
    OK(ag_optim_step(o));
    VALUES(number, 1.5);
    ag_optim_free(o);
}
END_TEST

/* ---- gradients set to zero, the learning rate ---- */

START_TEST(zero_grad_drops_the_gradients_or_fills_them_with_zeros)
{
    Variable *p[PARAMS];
    runs_params(p, AG_FLOAT64);
    Optimizer *o = ag_optim_sgd(runs_list(p));
    runs_grads(p, 2);
    Variable *grad = ag_grad(p[1]);
    OK(ag_optim_zero_grad(o, .set_to_none = false));
    ck_assert_ptr_eq(ag_grad(p[1]), grad);
    VALUES(ag_grad(p[1]), 0, 0, 0);
    OK(ag_optim_zero_grad(o));
    for (int i = 0; i < PARAMS; i++) ck_assert_ptr_null(ag_grad(p[i]));
    runs_grads(p, 1);
    OK(ag_optim_zero_grad(o, false));
    ck_assert_ptr_null(ag_grad(p[2])); /* had none */
    ag_optim_free(o);
}
END_TEST

static double option(Optimizer *o, const char *name)
{
    StateDict *dict = ag_optim_state_dict(o);
    char full[64];
    snprintf(full, sizeof full, "param_groups.0.%s", name);
    double value = ag_item(ag_state_dict_get(dict, full));
    ag_state_dict_free(dict);
    return value;
}

START_TEST(betas_are_a_pair_by_position_and_by_name)
{
    Variable *p = ag_ones(AG_SHAPE(1), .requires_grad = true);
    const ag_betas pair = { 0.5, 0.25 };
    struct {
        Optimizer *o;
        double lr, beta1, beta2, eps;
    } rows[] = {
        { ag_optim_adam(AG_LIST(p)), 1e-3, 0.9, 0.999, 1e-8 },
        { ag_optim_adam(AG_LIST(p), 1, { 0.5, 0.25 }), 1, 0.5, 0.25, 1e-8 },
        { ag_optim_adam(AG_LIST(p), 1, { 0, 0.25 }, 2), 1, 0, 0.25, 2 },
        { ag_optim_adam(AG_LIST(p), .betas = { 0.5, 0 }), 1e-3, 0.5, 0, 1e-8 },
        { ag_optim_adam(AG_LIST(p), 1, .eps = 2, .betas = pair), 1, 0.5, 0.25, 2 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        OK(rows[i].o);
        ck_assert(option(rows[i].o, "lr") == rows[i].lr && option(rows[i].o, "betas.0") == rows[i].beta1);
        ck_assert(option(rows[i].o, "betas.1") == rows[i].beta2 && option(rows[i].o, "eps") == rows[i].eps);
        ag_optim_free(rows[i].o);
    }
}
END_TEST

START_TEST(a_learning_rate_of_zero_changes_nothing_and_one_of_nan_is_adams_to_refuse)
{
    Variable *p = ag_tensor(((float[]){ 1, -2 }), AG_SHAPE(2)), *was = ag_clone(p);
    OK(ag_requires_grad_(p));
    OK(ag_set_grad(p, ag_ones(AG_SHAPE(2))));
    Optimizer *sgd = ag_optim_sgd(AG_LIST(p), .lr = 0, .momentum = 0.5), *adam = ag_optim_adam(AG_LIST(p), 0);
    for (int i = 0; i < 3; i++) OK(ag_optim_step(sgd) && ag_optim_step(adam));
    ck_assert(ag_equal(p, was));
    ag_optim_free(sgd);
    ag_optim_free(adam);
    REFUSED(ag_optim_adam(AG_LIST(p), NAN), "optim_adam: Invalid learning rate: nan");
    OK(sgd = ag_optim_sgd(AG_LIST(p), NAN)); /* as PyTorch, whose test is lr < 0 */
    OK(ag_optim_step(sgd));
    VALUES(p, NAN, NAN);
    ag_optim_free(sgd);
}
END_TEST

START_TEST(the_learning_rate_can_be_read_and_set)
{
    Variable *p = ag_ones(AG_SHAPE(1), .dtype = AG_FLOAT64, .requires_grad = true);
    Optimizer *o = ag_optim_sgd(AG_LIST(p), .lr = 0.25), *a = ag_optim_adam(AG_LIST(p));
    ck_assert(ag_optim_lr(o) == 0.25 && ag_optim_lr(a) == 1e-3);
    REFUSED(ag_optim_set_lr(o, -1), "Invalid learning rate: -1.0");
    REFUSED(ag_optim_set_lr(a, NAN), "Invalid learning rate: nan");
    ck_assert(ag_optim_lr(o) == 0.25 && ag_optim_lr(a) == 1e-3);
    OK(ag_optim_set_lr(o, 0.5));
    OK(ag_set_grad(p, ag_ones(AG_SHAPE(1), .dtype = AG_FLOAT64)));
    OK(ag_optim_step(o));
    VALUES(p, 0.5);
    ag_optim_free(o);
    ag_optim_free(a);
    ag_optim_free(NULL);
}
END_TEST

/* ---- refusals ---- */

START_TEST(lists_of_parameters_that_cannot_be)
{
    Variable *w = ag_ones(AG_SHAPE(2), .requires_grad = true);
    REFUSED(ag_optim_sgd(ag_list_from(0, NULL)), "optim_sgd: optimizer got an empty parameter list");
    REFUSED(ag_optim_adam(AG_LIST(w, NULL)),
            "optim_adam: optimizer can only optimize Tensors, but parameter 1 is NULL");
    REFUSED(ag_optim_adam(AG_LIST(AG_NONE)), "parameter 0 is None");
    REFUSED(ag_optim_sgd(AG_LIST(w, ag_mul(w, w))), "can't optimize a non-leaf Tensor (parameter 1)");
    REFUSED(ag_optim_sgd(AG_LIST(w, ag_scalar(2))), "a number from ag_scalar");
    REFUSED(ag_optim_sgd(AG_LIST(w, w)), "some parameters appear more than once (0 and 1 are the same)");
    REFUSED(ag_optim_step(NULL), "optim_step: the optimizer is NULL");
    REFUSED(ag_optim_zero_grad(NULL), "optim_zero_grad: the optimizer is NULL");
    REFUSED(ag_optim_set_lr(NULL, 1), "optim_set_lr: the optimizer is NULL");
    REFUSED(!isnan(ag_optim_lr(NULL)), "optim_lr: the optimizer is NULL");
    ag_optim_state s = { 0 };
    REFUSED(ag_optim_named_state(NULL, &s), "optim_named_state: the optimizer is NULL");
    REFUSED(ag_optim_state_dict(NULL), "optim_state_dict: the optimizer is NULL");
    REFUSED(ag_optim_load_state(NULL, NULL, ag_list_from(0, NULL)), "optim_load_state: the optimizer is NULL");
}
END_TEST

START_TEST(while_an_error_stands_nothing_changes)
{
    Variable *p[PARAMS];
    runs_params(p, AG_FLOAT64);
    Optimizer *o = ag_optim_sgd(runs_list(p), .lr = 1);
    runs_grads(p, 2);
    double was[ELEMENTS], is[ELEMENTS];
    runs_elements(p, was);
    ck_assert_ptr_null(ag_add(NULL, p[0]));
    ck_assert(!ag_optim_step(o) && !ag_optim_zero_grad(o) && !ag_optim_set_lr(o, 2));
    ck_assert_ptr_null(ag_optim_state_dict(o));
    ag_clear_error();
    ck_assert_ptr_nonnull(ag_grad(p[0]));
    ck_assert(ag_optim_lr(o) == 1);
    runs_elements(p, is);
    ck_assert_mem_eq(is, was, sizeof is);
    ag_optim_free(o);
}
END_TEST

START_TEST(a_step_that_cannot_be_changes_nothing)
{
    Variable *p = ag_ones(AG_SHAPE(2), .requires_grad = true), *q = ag_ones(AG_SHAPE(2), .requires_grad = true);
    Variable *same = ag_requires_grad_(ag_detach(ag_expand(ag_ones(AG_SHAPE(1)), AG_SHAPE(3))));
    OK(ag_set_grad(p, ag_ones(AG_SHAPE(2))));
    OK(ag_set_grad(same, ag_ones(AG_SHAPE(3))));
    Optimizer *o = ag_optim_sgd(AG_LIST(p, same), .lr = 0.5, .momentum = 0.5);
    REFUSED(ag_optim_step(o), "optim_step: parameter 1 ([3] float32 cpu): more than one element of it");
    VALUES(p, 1, 1);
    OK(ag_set_grad(same, AG_NONE));
    OK(ag_optim_step(o));
    VALUES(p, 0.5, 0.5);
    ag_optim_free(o);

    /* a parameter that changed its type after its state was made */
    AG_SCOPE;
    Module *net = ag_nn_linear(2, 1);
    o = ag_optim_adam(ag_parameters(net));
    OK(ag_backward(ag_sum(ag_forward(net, q))));
    OK(ag_optim_step(o));
    OK(ag_module_double(net));
    REFUSED(ag_optim_step(o), "optim_step: exp_avg is [1, 2] float32 cpu, but parameter 0 asks for [1, 2] float64");
    ag_optim_free(o);
    ag_module_free(net);
}
END_TEST

/* ---- memory ---- */

START_TEST(a_step_after_the_first_takes_no_memory)
{
    Variable *p = ag_ones(AG_SHAPE(300, 300), .requires_grad = true);
    Optimizer *o = ag_optim_adam(AG_LIST(p), .amsgrad = true), *s = ag_optim_sgd(AG_LIST(p), .momentum = 0.5);
    OK(ag_set_grad(p, ag_t(ag_ones(AG_SHAPE(300, 300)))));
    OK(ag_optim_step(o));
    OK(ag_optim_step(s));
    interpose_start(0, false);
    for (int i = 0; i < 3; i++) OK(ag_optim_step(o) && ag_optim_step(s));
    ck_assert_int_eq(interpose_stop(), 0);
    ag_optim_free(o);
    ag_optim_free(s);
}
END_TEST

START_TEST(when_memory_is_out_a_step_changes_nothing)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* which has a malloc of its own */
    bool failed = true;
    int failures = 0;
    for (int64_t at = 1; failed; at++) {
        AG_SCOPE;
        Variable *p = ag_ones(AG_SHAPE(400, 400), .requires_grad = true),
                 *q = ag_ones(AG_SHAPE(300, 300), .requires_grad = true);
        OK(ag_set_grad(p, ag_ones(AG_SHAPE(400, 400))));
        OK(ag_set_grad(q, ag_ones(AG_SHAPE(300, 300))));
        Optimizer *o = ag_optim_adam(AG_LIST(p, q), .lr = 0.5);
        ag_empty_cache();
        interpose_start(at, true);
        failed = !ag_optim_step(o);
        interpose_stop();
        if (failed) {
            failures++;
            ck_assert_int_eq(ag_error_code(), AG_ENOMEM);
            ag_clear_error();
            ck_assert_int_eq(ag_version(p), 0);
            int n = 0;
            for (ag_optim_state s = { 0 }; ag_optim_named_state(o, &s);) n++;
            ck_assert_int_eq(n, 7 + 1);
            OK(ag_optim_step(o));
        }
        ck_assert(fabs(ag_item(ag_max(p)) - 0.5) < 1e-6 && fabs(ag_item(ag_max(q)) - 0.5) < 1e-6);
        ag_optim_free(o);
    }
    ck_assert_int_ge(failures, 4);
}
END_TEST

SUPPORT_MAIN("optim", fifty_steps_are_pytorchs_for_all_arguments, the_names_of_the_state_are_pytorchs,
             arguments_are_refused_with_pytorchs_sentences,
             a_plain_step_is_the_parameter_plus_the_gradient_times_minus_lr,
             a_step_is_not_recorded_raises_the_version_and_passes_over_what_has_no_gradient,
             parameters_and_gradients_may_lie_in_memory_in_any_way, a_gradient_in_the_parameters_own_memory,
             a_large_parameter_has_the_same_bits_with_any_number_of_threads, no_elements_and_numbers_without_dimensions,
             zero_grad_drops_the_gradients_or_fills_them_with_zeros, betas_are_a_pair_by_position_and_by_name,
             a_learning_rate_of_zero_changes_nothing_and_one_of_nan_is_adams_to_refuse,
             the_learning_rate_can_be_read_and_set, lists_of_parameters_that_cannot_be,
             while_an_error_stands_nothing_changes, a_step_that_cannot_be_changes_nothing,
             a_step_after_the_first_takes_no_memory, when_memory_is_out_a_step_changes_nothing)
