/* optim.c - optimisers: made, stepped, freed.
 *
 * One struct serves every kind; what differs stands in a constant record (optim_internal.h): the arguments' names and
 * bounds, the state a parameter has, and the step of one parameter, which is one pass over its elements
 * (step_template.h). A step of all parameters first makes what state is missing and checks everything that can be
 * wrong, and only then changes the first number.
 */
#include "nn/module_parts.h"
#include "ops/cpu/isa.h"
#include "optim/optim_internal.h"
#include "optim/step.h"
#include "tensor/fail.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { GRAIN = 32768 /* elements to a task */ };

AG_ISA_TABLES(ag__step_kernels, ag__step_f32)
AG_ISA_TABLES(ag__step_kernels, ag__step_f64)

static const ag__step_kernels *kernels(ag_dtype dtype)
{
    return dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__step_f32) : AG_ISA_PICK(ag__step_f64);
}

/* The parameter, its gradient and n_states of its states in step. */
static void walk(const ag_optimizer *o, int64_t i, int n_states, const int *states, ag_row *row, void *step)
{
    ag_variable *p = o->param[i], **state = ag__optim_state(o, i);
    const ag_tensor *operand[2 + AG_OPTIM_STATES] = { &p->tensor, &p->grad->tensor };
    for (int k = 0; k < n_states; k++) {
        operand[2 + k] = &state[states[k]]->tensor;
        state[states[k]]->tensor.storage->version++;
    }
    ag_walk w;
    ag__walk(&w, 2 + n_states, operand);
    ag__walk_rows(&w, GRAIN, row, step);
    p->tensor.storage->version++;
}

static bool refuse(const char *function, const char *sentence, double value)
{
    char text[32];
    return ag__fail(AG_EINVAL, "%s: %s: %s", function, sentence, ag__number_text(value, text));
}

/* ---- SGD ---- */

enum { LR }; /* of both kinds, the first */
enum { SGD_MOMENTUM = 1, SGD_DAMPENING, SGD_WEIGHT_DECAY, SGD_NESTEROV, SGD_MAXIMIZE, SGD_OPTIONS };
enum { SGD_BUFFER, SGD_STATES };

static bool sgd_check(const char *function, const double *o)
{
    if (o[LR] < 0) return refuse(function, "Invalid learning rate", o[LR]);
    if (o[SGD_MOMENTUM] < 0) return refuse(function, "Invalid momentum value", o[SGD_MOMENTUM]);
    if (o[SGD_WEIGHT_DECAY] < 0) return refuse(function, "Invalid weight_decay value", o[SGD_WEIGHT_DECAY]);
    if (o[SGD_NESTEROV] != 0 && (o[SGD_MOMENTUM] <= 0 || o[SGD_DAMPENING] != 0))
        return ag__fail(AG_EINVAL, "%s: Nesterov momentum requires a momentum and zero dampening", function);
    return true;
}

static bool sgd_needs(const double *o, int k)
{
    (void)k;
    return o[SGD_MOMENTUM] != 0;
}

static void sgd_step(ag_optimizer *o, int64_t i, bool first)
{
    const double *a = o->option;
    ag__sgd_step step = { .lr = a[LR],
                          .momentum = a[SGD_MOMENTUM],
                          .dampening = a[SGD_DAMPENING],
                          .weight_decay = a[SGD_WEIGHT_DECAY],
                          .nesterov = a[SGD_NESTEROV] != 0,
                          .maximize = a[SGD_MAXIMIZE] != 0,
                          .first = first };
    static const int states[] = { SGD_BUFFER };
    walk(o, i, a[SGD_MOMENTUM] != 0, states, kernels((ag_dtype)o->param[i]->tensor.dtype)->sgd, &step);
}

static void sgd_describe(const double *a, ag__step_table *table)
{
    table->kind = AG_STEP_SGD;
    table->sgd = (ag__sgd_step){ .momentum = a[SGD_MOMENTUM],
                                 .dampening = a[SGD_DAMPENING],
                                 .weight_decay = a[SGD_WEIGHT_DECAY],
                                 .nesterov = a[SGD_NESTEROV] != 0,
                                 .maximize = a[SGD_MAXIMIZE] != 0 };
}

static const ag_optim_kind sgd = {
    .name = "optim_sgd",
    .n_options = SGD_OPTIONS,
    .option_name = { "lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize" },
    .is_flag = { [SGD_NESTEROV] = true, [SGD_MAXIMIZE] = true },
    .check = sgd_check,
    .n_states = SGD_STATES,
    .state_name = { "momentum_buffer" },
    .needs = sgd_needs,
    .step = sgd_step,
    .describe = sgd_describe,
};

/* ---- Adam ---- */

enum { ADAM_BETA1 = 1, ADAM_BETA2, ADAM_EPS, ADAM_WEIGHT_DECAY, ADAM_AMSGRAD, ADAM_MAXIMIZE, ADAM_OPTIONS };
enum { ADAM_STEP, ADAM_AVERAGE, ADAM_SQUARE, ADAM_GREATEST, ADAM_STATES };

static bool adam_check(const char *function, const double *o)
{
    if (!(o[LR] >= 0)) return refuse(function, "Invalid learning rate", o[LR]);
    if (!(o[ADAM_EPS] >= 0)) return refuse(function, "Invalid epsilon value", o[ADAM_EPS]);
    if (!(o[ADAM_BETA1] >= 0 && o[ADAM_BETA1] < 1))
        return refuse(function, "Invalid beta parameter at index 0", o[ADAM_BETA1]);
    if (!(o[ADAM_BETA2] >= 0 && o[ADAM_BETA2] < 1))
        return refuse(function, "Invalid beta parameter at index 1", o[ADAM_BETA2]);
    if (!(o[ADAM_WEIGHT_DECAY] >= 0)) return refuse(function, "Invalid weight_decay value", o[ADAM_WEIGHT_DECAY]);
    return true;
}

static bool adam_needs(const double *o, int k) { return k != ADAM_GREATEST || o[ADAM_AMSGRAD] != 0; }

static void adam_step(ag_optimizer *o, int64_t i, bool first)
{
    const double *a = o->option;
    ag_variable **state = ag__optim_state(o, i);
    if (first)
        for (int k = 0; k < ADAM_STATES; k++)
            if (adam_needs(a, k)) ag__fill_elements(&state[k]->tensor, 0);
    float *count = (float *)(void *)state[ADAM_STEP]->tensor.data;
    state[ADAM_STEP]->tensor.storage->version++;
    *count += 1;
    const double t = *count;
    ag__adam_step step = { .beta1 = a[ADAM_BETA1],
                           .beta2 = a[ADAM_BETA2],
                           .eps = a[ADAM_EPS],
                           .weight_decay = a[ADAM_WEIGHT_DECAY],
                           .step_size = a[LR] / (1 - pow(a[ADAM_BETA1], t)),
                           .correction2_sqrt = pow(1 - pow(a[ADAM_BETA2], t), 0.5),
                           .amsgrad = a[ADAM_AMSGRAD] != 0,
                           .maximize = a[ADAM_MAXIMIZE] != 0 };
    static const int states[] = { ADAM_AVERAGE, ADAM_SQUARE, ADAM_GREATEST };
    walk(o, i, step.amsgrad ? 3 : 2, states, kernels((ag_dtype)o->param[i]->tensor.dtype)->adam, &step);
}

static void adam_describe(const double *a, ag__step_table *table)
{
    table->kind = AG_STEP_ADAM;
    table->adam = (ag__adam_step){ .beta1 = a[ADAM_BETA1],
                                   .beta2 = a[ADAM_BETA2],
                                   .eps = a[ADAM_EPS],
                                   .weight_decay = a[ADAM_WEIGHT_DECAY],
                                   .amsgrad = a[ADAM_AMSGRAD] != 0,
                                   .maximize = a[ADAM_MAXIMIZE] != 0 };
}

static const ag_optim_kind adam = {
    .name = "optim_adam",
    .n_options = ADAM_OPTIONS,
    .option_name = { "lr", "betas.0", "betas.1", "eps", "weight_decay", "amsgrad", "maximize" },
    .is_flag = { [ADAM_AMSGRAD] = true, [ADAM_MAXIMIZE] = true },
    .check = adam_check,
    .n_states = ADAM_STATES,
    .state_name = { "step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq" },
    .is_count = { [ADAM_STEP] = true },
    .needs = adam_needs,
    .step = adam_step,
    .describe = adam_describe,
};

/* ---- making and freeing ---- */

static bool params_are_good(const char *function, ag_list params)
{
    if (params.n <= 0 || !params.at) return ag__fail(AG_EINVAL, "%s: optimizer got an empty parameter list", function);
    for (int64_t i = 0; i < params.n; i++) {
        const ag_variable *p = params.at[i];
        if (!p || p == AG_NONE)
            return ag__fail(AG_EINVAL, "%s: optimizer can only optimize Tensors, but parameter %" PRId64 " is %s",
                            function, i, p ? "None" : "NULL");
        if (p->grad_fn && !p->retains_grad)
            return ag__fail(AG_EINVAL, "%s: can't optimize a non-leaf Tensor (parameter %" PRId64 ")", function, i);
        if (p->tensor.wrapped)
            return ag__fail(AG_EINVAL,
                            "%s: parameter %" PRId64
                            " is a number from ag_scalar, which is shared, so it cannot change; use ag_full",
                            function, i);
        for (int64_t j = 0; j < i; j++)
            if (params.at[j] == p)
                return ag__fail(AG_EINVAL,
                                "%s: some parameters appear more than once (%" PRId64 " and %" PRId64 " are the same)",
                                function, j, i);
    }
    return true;
}

static ag_optimizer *optimizer_new(const ag_optim_kind *kind, ag_list params, const double *option)
{
    if (!kind->check(kind->name, option) || !params_are_good(kind->name, params)) return NULL;
    size_t n = (size_t)params.n;
    ag_optimizer *o = calloc(1, sizeof *o);
    if (!o) return ag__fail_memory(kind->name, sizeof *o);
    o->kind = kind;
    for (int k = 0; k < kind->n_options; k++) o->option[k] = option[k];
    o->param = calloc(n, sizeof *o->param);
    o->state = calloc(n * (size_t)kind->n_states, sizeof *o->state);
    o->fresh = calloc(n, sizeof *o->fresh);
    if (!o->param || !o->state || !o->fresh) {
        ag_optim_free(o);
        return ag__fail_memory(kind->name, n * (size_t)kind->n_states * sizeof *o->state);
    }
    for (; o->n < params.n; o->n++) o->param[o->n] = ag_retain(params.at[o->n]);
    return o;
}

ag_optimizer *ag_optim_sgd_call(const struct ag_optim_sgd_args *a)
{
    const double option[SGD_OPTIONS] = { a->lr, a->momentum, a->dampening, a->weight_decay, a->nesterov, a->maximize };
    return optimizer_new(&sgd, a->params, option);
}

ag_optimizer *ag_optim_adam_call(const struct ag_optim_adam_args *a)
{
    const double option[ADAM_OPTIONS] = { a->lr,           a->betas.beta1, a->betas.beta2, a->eps,
                                          a->weight_decay, a->amsgrad,     a->maximize };
    return optimizer_new(&adam, a->params, option);
}

void ag_optim_free(ag_optimizer *o)
{
    if (!o) return;
    for (int64_t i = 0; i < o->n; i++) {
        ag_release(o->param[i]);
        for (int k = 0; k < o->kind->n_states; k++) ag_release(ag__optim_state(o, i)[k]);
    }
    for (int d = 0; d < o->n_numbers; d++) ag_release(o->numbers[d]);
    free(o->numbers);
    free(o->param);
    free(o->state);
    free(o->fresh);
    free(o);
}

/* ---- stepping ---- */

ag_variable *ag__optim_room(Thread *t, const ag_optimizer *o, int64_t i, int k)
{
    const ag_tensor *p = &o->param[i]->tensor;
    if (o->kind->is_count[k]) return ag__new(t, 0, NULL, AG_FLOAT32, ag__tensor_device(p));
    int64_t stride[AG_MAX_DIMS];
    ag__result_strides(p->ndim, p->size, 1, &p, stride);
    return ag__new_strided(t, p->ndim, p->size, stride, (ag_dtype)p->dtype, ag__tensor_device(p));
}

bool ag__optim_fits(const char *function, const ag_optimizer *o, int64_t i, int k, const ag_variable *x,
                    const char *name, bool may_be_converted)
{
    const ag_tensor *p = &o->param[i]->tensor;
    bool counts = o->kind->is_count[k];
    ag_dtype dtype = counts ? AG_FLOAT32 : (ag_dtype)p->dtype;
    if ((may_be_converted || x->tensor.dtype == dtype) &&
        (counts ? x->tensor.ndim == 0 : ag__same_sizes(&x->tensor, p)))
        return true;
    char is[AG_TEXT], wants[AG_TEXT];
    return ag__fail(AG_EINVAL, "%s: %s is %s, but parameter %" PRId64 " asks for %s %s", function, name,
                    ag__tensor_text(&x->tensor, is, sizeof is), i,
                    ag__shape_text(counts ? 0 : p->ndim, p->size, wants, sizeof wants), ag_dtype_name(dtype));
}

/* x, of parameter i, is on its device. */
static bool is_beside(const ag_variable *p, const ag_variable *x, const char *name, int64_t i)
{
    const ag_device device = ag__device(p), its = ag__device(x);
    if (device.type == its.type && device.index == its.index) return true;
    char text[32];
    snprintf(text, sizeof text, "%s", ag_device_name(device)); /* the other's name may take its place */
    return ag__fail(AG_EDEVICE, "optim_step: parameter %" PRId64 " is on %s, but %s is on %s", i, text, name,
                    ag_device_name(its));
}

/* Whether parameter i, which has a gradient, can be stepped. */
static bool can_step(const ag_optimizer *o, int64_t i)
{
    const ag_variable *p = o->param[i];
    const char *wrong = NULL;
    char text[AG_TEXT];
    if (!ag__is_floating((ag_dtype)p->tensor.dtype))
        wrong = "only floating types can be optimised";
    else if (p->grad->tensor.dtype != p->tensor.dtype || !ag__same_sizes(&p->grad->tensor, &p->tensor))
        wrong = "its gradient is of another shape or type";
    else if (!p->tensor.contiguous && ag__overlaps_itself(&p->tensor))
        wrong = "more than one element of it refers to a single memory location; clone() it first";
    else if (p->grad->tensor.storage == p->tensor.storage && ag__overlap(&p->tensor, &p->grad->tensor) == 2)
        wrong = "its gradient shares a part of its memory; clone() the gradient first";
    if (wrong)
        return ag__fail(AG_EINVAL, "optim_step: parameter %" PRId64 " (%s): %s", i,
                        ag__tensor_text(&p->tensor, text, sizeof text), wrong);
    return is_beside(p, p->grad, "its gradient", i);
}

/* Parameter i's state is there afterwards, and fits. */
static bool make_state(Thread *t, ag_optimizer *o, int64_t i)
{
    ag_variable **state = ag__optim_state(o, i);
    for (int k = 0; k < o->kind->n_states; k++) {
        if (!o->kind->needs(o->option, k)) continue;
        if (state[k]) {
            if (!ag__optim_fits("optim_step", o, i, k, state[k], o->kind->state_name[k], false) ||
                !is_beside(o->param[i], state[k], o->kind->state_name[k], i))
                return false;
            continue;
        }
        o->fresh[i] = true;
        state[k] = ag_retain(ag__optim_room(t, o, i, k));
        if (!state[k]) return false;
    }
    return true;
}

/* A step that could not be made leaves no state behind, since it has no content. */
static void drop_fresh(ag_optimizer *o)
{
    for (int64_t i = 0; i < o->n; i++) {
        if (!o->fresh[i]) continue;
        ag_variable **state = ag__optim_state(o, i);
        for (int k = 0; k < o->kind->n_states; k++) {
            if (!o->kind->needs(o->option, k)) continue;
            ag_release(state[k]);
            state[k] = NULL;
        }
        o->fresh[i] = false;
    }
}

bool ag_optim_step(ag_optimizer *o)
{
    if (!o) return ag__fail(AG_EINVAL, "optim_step: the optimizer is NULL");
    Thread *t = ag__thread();
    if (!ag__may_change(t)) return false;
    AG_SCOPE;
    for (int64_t i = 0; i < o->n; i++) {
        if (!o->param[i]->grad || (can_step(o, i) && make_state(t, o, i))) continue;
        drop_fresh(o);
        return false;
    }
    if (!ag__optim_step_on_devices(t, o)) {
        drop_fresh(o);
        return false;
    }
    for (int64_t i = 0; i < o->n; i++) {
        if (o->param[i]->grad && ag__device(o->param[i]).type == AG_DEVICE_CPU) o->kind->step(o, i, o->fresh[i]);
        o->fresh[i] = false;
    }
    return true;
}

bool ag_optim_zero_grad_call(const struct ag_optim_zero_grad_args *a)
{
    if (!a->optimizer) return ag__fail(AG_EINVAL, "optim_zero_grad: the optimizer is NULL");
    Thread *t = ag__thread();
    ag_optimizer *o = a->optimizer;
    if (!ag__may_change(t) || (!a->set_to_none && !ag__optim_clear_on_devices(t, o))) return false;
    for (int64_t i = 0; i < o->n; i++) {
        if (!a->set_to_none && ag__optim_clears_at_once(o->param[i])) continue;
        if (!ag__zero_grad(t, o->param[i], a->set_to_none)) return false;
    }
    return true;
}

/* ---- the learning rate ---- */

double ag_optim_lr(const ag_optimizer *o)
{
    if (o) return o->option[LR];
    ag__fail(AG_EINVAL, "optim_lr: the optimizer is NULL");
    return NAN;
}

bool ag_optim_set_lr(ag_optimizer *o, double lr)
{
    if (!o) return ag__fail(AG_EINVAL, "optim_set_lr: the optimizer is NULL");
    if (!ag__may_change(ag__thread())) return false;
    double option[AG_OPTIM_OPTIONS];
    for (int k = 0; k < AG_OPTIM_OPTIONS; k++) option[k] = o->option[k];
    option[LR] = lr;
    if (!o->kind->check("optim_set_lr", option)) return false;
    o->option[LR] = lr;
    return ag__optim_lr_changed(o);
}
