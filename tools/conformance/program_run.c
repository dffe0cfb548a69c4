/* program_run.c - the code of a program, one instruction after the other; see program_run.h. */
#include "program_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DIMENSIONS = 8 };

/* Of the largest magnitude of a register or gradient, and of 1: numbers are of that size, and where they cancel, what
 * is left is rounding. */
static const double tolerance = 1e-12;

/* ---- numbers ---- */

double number_of(const json *x)
{
    const char *text = json_text(x);
    return text ? strtod(text, NULL) : json_is(x, JSON_NUMBER) ? x->number : NAN;
}

ag_variable *make_variable(program *p, ag_shape_list shape, const json *numbers)
{
    int64_t n = 1, i = 0;
    for (int64_t d = 0; d < shape.n; d++)
        if (__builtin_mul_overflow(n, shape.at[d], &n)) n = -1;
    if (!json_is(numbers, JSON_ARRAY) || numbers->n != n)
        return complain(p->why, "numbers and their shape do not agree"), NULL;
    double *at = malloc((size_t)n * sizeof *at + 1);
    for (const json *m = numbers->first; m && at; m = m->next) at[i++] = number_of(m);
    ag_variable *x = at ? ag_to(ag_tensor_from(at, shape, AG_FLOAT64), device_of_cases) : NULL;
    if (!x) complain(p->why, "%s", ag_error() ? ag_error() : "out of memory");
    free(at);
    return x;
}

bool check_numbers(program *p, const char *what, int k, const ag_variable *x, const json *want)
{
    int64_t n = ag_numel(x), i = 0;
    if (!json_is(want, JSON_ARRAY) || want->n != n)
        return complain(p->why, "%s %d has %lld elements", what, k, (long long)n);
    double *got = malloc((size_t)n * sizeof *got + 1), scale = 1, error = 0;
    if (!got || !ag_copy_to(x, got, AG_FLOAT64)) return free(got), complain(p->why, "out of memory");
    for (const json *m = want->first; m; m = m->next, i++) {
        double a = got[i], b = number_of(m);
        if ((isnan(a) && isnan(b)) || a == b) a = b = isfinite(b) ? b : 0;
        scale = fmax(scale, fabs(b));
        if (isnan(a) != isnan(b) || isinf(a) || isinf(b)) error = INFINITY;
        if (fabs(a - b) > error) error = fabs(a - b);
    }
    free(got);
    double ratio = error == 0 ? 0 : error / (tolerance * scale);
    p->worst = fmax(p->worst, ratio);
    return ratio <= 1 || complain(p->why, "%s %d has other numbers: %.3g of the largest", what, k, error / scale);
}

/* ---- the code ---- */

static bool add_register(program *p, ag_variable *x)
{
    if (p->n == MAX_REGISTERS) return complain(p->why, "it has too many registers");
    p->reg[p->n++] = x;
    return true;
}

static bool make_leaves(program *p)
{
    const json *leaves = json_get(p->at, "leaves");
    for (const json *leaf = json_first(leaves); leaf; leaf = leaf->next) {
        int64_t size[MAX_DIMENSIONS];
        int n = 0;
        const json *shape = json_get(leaf, "shape"), *wants_grad = json_get(leaf, "rg");
        if (!json_is(shape, JSON_ARRAY) || shape->n > MAX_DIMENSIONS) return complain(p->why, "a leaf has no shape");
        for (const json *m = shape->first; m; m = m->next)
            if (!json_whole(m, &size[n++])) return complain(p->why, "a leaf has no shape");
        ag_variable *x = make_variable(p, ag_sizes_of(n, size), json_get(leaf, "data"));
        if (!x || !add_register(p, x)) return false;
        if (wants_grad && wants_grad->is_true) ag_requires_grad_(x);
    }
    p->n_leaves = p->n;
    return p->n || complain(p->why, "it has no leaves");
}

bool find_register(program *p, const json *number, int *k)
{
    int64_t i;
    if (!json_whole(number, &i) || i < 0 || i >= p->n) return complain(p->why, "there is no such register");
    *k = (int)i;
    return true;
}

static ag_variable *multiply(ag_variable *grad, void *factor)
{
    return ag_mul(grad, ag_scalar(*(const double *)factor));
}
static bool has_mode(const program *p, const char *mode)
{
    const char *its = json_text(json_get(p->at, "mode"));
    return its && strcmp(its, mode) == 0;
}
static bool set_hook(program *p, const instruction *i)
{
    const json *factor = json_get(i->attributes, "k");
    if (p->n_factors == MAX_REGISTERS) return complain(p->why, "it has too many hooks");
    if (p->as_before && has_mode(p, "grad2") && ag_requires_grad(i->in[0]) && ag_is_leaf(i->in[0])) return true;
    p->factor[p->n_factors] = factor ? factor->number : 1;
    return ag_register_hook(i->in[0], multiply, .user = &p->factor[p->n_factors++]);
}

static ag_variable *keep(ag_variable *grad, void *kept)
{
    ag_variable **sum = kept, *next = *sum ? ag_add(*sum, grad) : ag_clone(grad);
    if (next) {
        ag_release(*sum);
        *sum = ag_retain(next);
    }
    return NULL;
}
/* In 1.13 it was a hook among the others: it saw what those before it had made of the gradient. */
static bool retain_grad(program *p, int k)
{
    bool again = p->retained[k];
    p->retained[k] = true;
    if (!p->as_before || ag_is_leaf(p->reg[k])) return ag_retain_grad(p->reg[k]);
    return again || ag_register_hook(p->reg[k], keep, .user = &p->kept[k]);
}

/* false: the library refused, with an error, or it is no instruction, with a complaint. */
static bool run_instruction(program *p, const json *at)
{
    instruction i = { .op = json_text(json_get(at, "op")), .attributes = json_get(at, "a") };
    int first = 0, k = 0;
    for (const json *m = json_first(json_get(at, "in")); m; m = m->next) {
        if (i.n_in == MAX_OPERANDS) return complain(p->why, "an instruction has too many operands");
        if (!find_register(p, m, &k)) return false;
        if (!i.n_in) first = k;
        i.in[i.n_in++] = p->reg[k];
    }
    if (!i.op || !i.n_in) return complain(p->why, "an instruction has no name or no operands");
    if (strcmp(i.op, "hook") == 0) return set_hook(p, &i);
    if (strcmp(i.op, "retain_grad") == 0) return retain_grad(p, first);
    int64_t no_grad = 0;
    json_whole(json_get(at, "ng"), &no_grad);
    ag_mode mode = ag_grad_mode_begin(!no_grad);
    execute(&i, p->why);
    ag_grad_mode_end(&mode);
    const json *out = json_get(at, "out");
    if (!i.n_out || !out) return i.n_out;
    if (out->n != i.n_out) return complain(p->why, "'%s' gives %d results", i.op, i.n_out);
    for (k = 0; k < i.n_out; k++)
        if (!add_register(p, i.out[k])) return false;
    return true;
}

bool run_code(program *p)
{
    int step = 0;
    if (!make_leaves(p)) return false;
    for (const json *at = json_first(json_get(p->at, "code")); at; at = at->next, step++) {
        if (run_instruction(p, at)) continue;
        p->ended = step;
        return false;
    }
    return true;
}
