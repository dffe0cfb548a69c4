/* program_backward.c - the gradients of a program; see program_run.h. */
#include "program_run.h"

#include <stdlib.h>
#include <string.h>

typedef struct walk {
    ag_variable *of[MAX_REGISTERS], *factor[MAX_REGISTERS];
    ag_variable *to[MAX_REGISTERS], *grad[MAX_REGISTERS];
    int reg[MAX_REGISTERS]; /* of to */
    int n_of, n_to;
} walk;

static bool find_roots(program *p, walk *w)
{
    const json *cot = json_first(json_get(p->at, "cot"));
    for (const json *m = json_first(json_get(p->at, "roots")); m; m = m->next, cot = cot->next) {
        int k = 0;
        if (!cot || w->n_of == MAX_REGISTERS) return complain(p->why, "roots and cotangents do not agree");
        if (!find_register(p, m, &k)) return false;
        w->of[w->n_of] = p->reg[k];
        if (!(w->factor[w->n_of++] = make_variable(p, ag_shape(p->reg[k]), cot))) return false;
    }
    return w->n_of || complain(p->why, "it has no roots");
}

static bool backward(const walk *w, bool retain)
{
    return ag_autograd_backward(ag_list_from(w->n_of, w->of), .grad_tensors = ag_list_from(w->n_of, w->factor),
                                .retain_graph = retain);
}

static bool is_zero(const json *numbers)
{
    for (const json *m = json_first(numbers); m; m = m->next)
        if (number_of(m) != 0) return false;
    return json_is(numbers, JSON_ARRAY);
}

static bool check_gradient(program *p, const char *what, const char *reg, const ag_variable *grad, const json *want)
{
    int k = atoi(reg);
    if (!grad && strcmp(what, "grad2") == 0 && is_zero(want)) return true; /* none is zero */
    if (!json_is(want, JSON_NULL))
        return grad ? check_numbers(p, what, k, grad, want) : complain(p->why, "%s %d is missing", what, k);
    return !grad || complain(p->why, "%s %d is there, and PyTorch has none", what, k);
}

static bool run_backward(program *p, walk *w, const char *mode)
{
    if (!backward(w, strcmp(mode, "backward_retain_twice") == 0)) return p->ended = AT_BACKWARD, false;
    if (strcmp(mode, "backward") && !backward(w, false)) return p->ended = AT_BACKWARD2, false;
    if (json_get(p->at, "fail")) return true;
    for (const json *m = json_first(json_get(p->at, "grad")); m; m = m->next) {
        int k = atoi(m->name);
        if (k < 0 || k >= p->n) return complain(p->why, "there is no such register");
        const ag_variable *grad = p->kept[k] ? p->kept[k] : ag_grad(p->reg[k]);
        if (!check_gradient(p, "gradient", m->name, grad, m)) return false;
    }
    return true;
}

static bool check_walk(program *p, const walk *w, const char *object)
{
    for (const json *m = json_first(json_get(p->at, object)); m; m = m->next) {
        int i = 0;
        while (i < w->n_to && w->reg[i] != atoi(m->name)) i++;
        if (i == w->n_to) return complain(p->why, "%s of register %s: it wants none", object, m->name);
        if (!check_gradient(p, object, m->name, w->grad[i], m)) return false;
    }
    return true;
}

static bool differentiate(program *p, walk *w, bool create_graph)
{
    if (ag_autograd_grad(ag_list_from(w->n_of, w->of), ag_list_from(w->n_to, w->to), w->grad,
                         .grad_outputs = ag_list_from(w->n_of, w->factor), .create_graph = create_graph,
                         .allow_unused = true))
        return true;
    p->ended = AT_GRAD2;
    return false;
}

/* The gradients that can be differentiated again become what is differentiated. */
static bool next_order(program *p, walk *w)
{
    const json *factors = json_get(p->at, "cot2");
    w->n_of = 0;
    for (int i = 0; i < w->n_to; i++) {
        char reg[16];
        snprintf(reg, sizeof reg, "%d", w->reg[i]);
        const json *factor = json_get(factors, reg);
        if (!factor || !w->grad[i] || !ag_requires_grad(w->grad[i])) continue;
        w->of[w->n_of] = w->grad[i];
        if (!(w->factor[w->n_of++] = make_variable(p, ag_shape(w->grad[i]), factor))) return false;
    }
    memset(w->grad, 0, sizeof w->grad);
    return true;
}

static bool run_twice(program *p, walk *w)
{
    for (int k = 0; k < p->n_leaves; k++) {
        if (!ag_requires_grad(p->reg[k]) || !ag_is_leaf(p->reg[k])) continue;
        w->reg[w->n_to] = k;
        w->to[w->n_to++] = p->reg[k];
    }
    if (!differentiate(p, w, true) || !check_walk(p, w, "grad") || !next_order(p, w)) return false;
    return (!w->n_of || differentiate(p, w, false)) && check_walk(p, w, "grad2");
}

bool run_mode(program *p)
{
    const char *mode = json_text(json_get(p->at, "mode"));
    if (!mode) return complain(p->why, "it has no mode");
    if (strcmp(mode, "none") == 0) return true;
    walk *w = calloc(1, sizeof *w);
    if (!w) return complain(p->why, "out of memory");
    bool ok = find_roots(p, w) && (strcmp(mode, "grad2") ? run_backward(p, w, mode) : run_twice(p, w));
    free(w);
    return ok;
}
