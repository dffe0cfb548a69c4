/* optim_runs.c - see optim_runs.h. */
#include "optim_runs.h"

static Shape shape_of(int i)
{
    static const int64_t sizes[] = { 4, 9, 3 };
    return (Shape[PARAMS]){ { 2, sizes }, { 1, sizes + 2 }, { 0, NULL } }[i];
}

void runs_params(Variable **p, ag_dtype dtype)
{
    support_drawn = 1;
    for (int i = 0; i < PARAMS; i++) p[i] = ag_requires_grad_(support_draw(shape_of(i), dtype, 1));
}
List runs_list(Variable **p) { return ag_list_from(PARAMS, p); }

void runs_grads(Variable **p, int step)
{
    AG_SCOPE;
    for (int i = 0; i < PARAMS; i++)
        OK(ag_set_grad(p[i], support_draw(shape_of(i), ag_dtype_of(p[i]), ldexp(1, -(step % 4)))));
    if (step % 3 == 1) OK(ag_set_grad(p[PARAMS - 1], AG_NONE));
}
void runs_steps(Optimizer *o, Variable **p, int from, int to)
{
    for (int step = from; step <= to; step++) {
        runs_grads(p, step);
        OK(ag_optim_step(o));
    }
}
void runs_elements(Variable **p, double *out)
{
    for (int i = 0, at = 0; i < PARAMS; at += (int)ag_numel(p[i++])) OK(ag_copy_to(p[i], out + at, AG_FLOAT64));
}

/* ---- optimisers ---- */

double runs_argument(const char *words, const char *name, double otherwise)
{
    char key[32];
    snprintf(key, sizeof key, " %s=", name);
    const char *at = strstr(words, key);
    return at ? atof(at + strlen(key)) : otherwise;
}
Optimizer *runs_optimizer(const char *words, List params)
{
#define GIVEN(name, otherwise) .name = runs_argument(words, #name, otherwise)
    bool is_sgd = strncmp(words, "sgd", 3) == 0;
    if (!strchr(words, '=')) return is_sgd ? ag_optim_sgd(params) : ag_optim_adam(params);
    return is_sgd ? ag_optim_sgd(params, GIVEN(lr, 1e-3), GIVEN(momentum, 0), GIVEN(dampening, 0),
                                 GIVEN(weight_decay, 0), GIVEN(nesterov, 0), GIVEN(maximize, 0))
                  : ag_optim_adam(params, GIVEN(lr, 1e-3),
                                  .betas = { runs_argument(words, "beta1", 0.9), runs_argument(words, "beta2", 0.999) },
                                  GIVEN(eps, 1e-8), GIVEN(weight_decay, 0), GIVEN(amsgrad, 0), GIVEN(maximize, 0));
#undef GIVEN
}
