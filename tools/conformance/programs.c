/* programs.c - a program run, and what came of it compared; see programs.h. */
#include "programs.h"

#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REGISTERS = 1024, MAX_DIMENSIONS = 8 };

/* Of the largest magnitude of a register or gradient, and of 1: numbers are of that size, and where they cancel, what
 * is left is rounding. */
static const double tolerance = 1e-12;

/* Where a program ended: at an instruction, or in one of these. */
enum { AT_BACKWARD = -1, AT_BACKWARD2 = -2, AT_GRAD2 = -3, NOWHERE = -4 };

typedef struct program {
    const json *at;
    complaint *why;
    ag_variable *reg[MAX_REGISTERS];
    bool retained[MAX_REGISTERS];
    double factor[MAX_REGISTERS]; /* of hooks */
    int n, n_leaves, n_factors;
    int ended;      /* where the library refused to go on */
    bool as_before; /* as PyTorch 1.13 had it; see run_one */
    double worst;
} program;

/* ---- categories of errors ---- */

/* What PyTorch's sentences say, ours too; the recorder has the same list. */
static const char *const categories[][2] = {
    { "modified by an inplace operation", "saved_modified" },
    { "second time", "freed" },
    { "a leaf Variable that requires", "leaf" },
    { "a view of a leaf", "leaf_view" },
    { "no_grad mode", "no_grad_view" },
    { "multiple views", "multi_view" },
    { "being modified inplace", "multi_view" },
    { "has been modified inplace", "multi_view" },
    { "Can't detach views", "detach_view" },
    { "refers to a single memory", "overlap" },
    { "refer to a single memory", "overlap" },
    { "does not require grad", "no_grad_fn" },
    { "doesn't require grad", "hook" },
    { "retain_grad", "hook" },
    { "match the broadcast", "shape" },
    { "size", "shape" },
    { "only change requires_grad", "requires_grad_nonleaf" },
};
static const char *category_of(const char *sentence)
{
    for (size_t k = 0; k < sizeof categories / sizeof *categories; k++)
        if (strstr(sentence, categories[k][0])) return categories[k][1];
    return "other";
}

/* ---- numbers ---- */

static double number_of(const json *x)
{
    const char *text = json_text(x);
    return text ? strtod(text, NULL) : json_is(x, JSON_NUMBER) ? x->number : NAN;
}

/* A Variable of these numbers; NULL with a complaint or an error. */
static ag_variable *make(program *p, ag_shape_list shape, const json *numbers)
{
    int64_t n = 1, i = 0;
    for (int64_t d = 0; d < shape.n; d++)
        if (__builtin_mul_overflow(n, shape.at[d], &n)) n = -1;
    if (!json_is(numbers, JSON_ARRAY) || numbers->n != n)
        return complain(p->why, "numbers and their shape do not agree"), NULL;
    double *at = malloc((size_t)n * sizeof *at + 1);
    for (const json *m = numbers->first; m && at; m = m->next) at[i++] = number_of(m);
    ag_variable *x = at ? ag_tensor_from(at, shape, AG_FLOAT64) : NULL;
    if (!x) complain(p->why, "%s", ag_error() ? ag_error() : "out of memory");
    free(at);
    return x;
}

/* x has these numbers. */
static bool check_numbers(program *p, const char *what, int k, const ag_variable *x, const json *want)
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
        ag_variable *x = make(p, ag_sizes_of(n, size), json_get(leaf, "data"));
        if (!x || !add_register(p, x)) return false;
        if (wants_grad && wants_grad->is_true) ag_requires_grad_(x);
    }
    p->n_leaves = p->n;
    return p->n || complain(p->why, "it has no leaves");
}

static bool find_register(program *p, const json *number, int *k)
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
static bool set_hook(program *p, const instruction *i)
{
    const json *factor = json_get(i->attributes, "k");
    if (p->n_factors == MAX_REGISTERS) return complain(p->why, "it has too many hooks");
    if (p->as_before && ag_requires_grad(i->in[0]) && ag_is_leaf(i->in[0])) return true;
    p->factor[p->n_factors] = factor ? factor->number : 1;
    return ag_register_hook(i->in[0], multiply, .user = &p->factor[p->n_factors++]);
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
    if (strcmp(i.op, "retain_grad") == 0) return p->retained[first] = true, ag_retain_grad(i.in[0]);
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

static bool run_code(program *p)
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

/* ---- backward ---- */

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
        if (!(w->factor[w->n_of++] = make(p, ag_shape(p->reg[k]), cot))) return false;
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
        if (!check_gradient(p, "gradient", m->name, ag_grad(p->reg[k]), m)) return false;
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
        if (!(w->factor[w->n_of++] = make(p, ag_shape(w->grad[i]), factor))) return false;
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

static bool run_mode(program *p)
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

/* ---- what came of it ---- */

static bool check_shape(program *p, int k, const json *shape)
{
    ag_shape_list have = ag_shape(p->reg[k]);
    int64_t i = 0, size;
    bool same = json_is(shape, JSON_ARRAY) && shape->n == have.n;
    for (const json *m = json_first(shape); same && m; m = m->next) same = json_whole(m, &size) && size == have.at[i++];
    return same || complain(p->why, "register %d has another shape", k);
}
static bool check_flag(program *p, int k, const char *what, bool have, const json *want)
{
    return (json_is(want, JSON_BOOL) && want->is_true == have) ||
           complain(p->why, "register %d: %s is %s", k, what, have ? "true" : "false");
}

/* [shape, requires_grad, is_leaf, version, is_view, values]; one that PyTorch could not look at is not compared */
static bool check_registers(program *p)
{
    int k = 0;
    for (const json *m = json_first(json_get(p->at, "regs")); m; m = m->next, k++) {
        if (k == p->n) return complain(p->why, "it has more registers than were made");
        if (json_get(m, "error")) continue;
        const ag_variable *x = p->reg[k];
        int64_t version = -1;
        json_whole(json_at(m, 3), &version);
        if (!check_shape(p, k, json_at(m, 0)) ||
            !check_flag(p, k, "requires_grad", ag_requires_grad(x), json_at(m, 1)) ||
            !check_flag(p, k, "is_leaf", ag_is_leaf(x), json_at(m, 2)) ||
            !check_flag(p, k, "is_view", ag_is_view(x), json_at(m, 4)))
            return false;
        if (version != ag_version(x))
            return complain(p->why, "register %d has version %lld", k, (long long)ag_version(x));
        if (!check_numbers(p, "register", k, x, json_at(m, 5))) return false;
    }
    return k == p->n || complain(p->why, "it has fewer registers than were made");
}

/* Where PyTorch refused, and with what. */
static bool check_failure(program *p, const json *fail)
{
    const char *name = json_text(json_get(fail, "step")), *category = json_text(json_get(fail, "cat"));
    const json *code = json_get(p->at, "code");
    int64_t step;
    int where = NOWHERE;
    if (json_whole(json_get(fail, "step"), &step) && code) where = (int)code->n - 1; /* the last that was recorded */
    if (name && strcmp(name, "backward") == 0) where = AT_BACKWARD;
    if (name && strcmp(name, "backward2") == 0) where = AT_BACKWARD2;
    if (name && strcmp(name, "grad2") == 0) where = AT_GRAD2;
    if (!category || where == NOWHERE) return complain(p->why, "it does not say where it failed");
    if (p->ended == NOWHERE) return p->as_before || complain(p->why, "it is not refused: %s", category);
    const char *sentence = ag_error() ? ag_error() : "no error", *ours = category_of(sentence);
    if (p->ended == where && strcmp(ours, category) == 0) return true;
    return complain(p->why, "it ends at %d with %s (%s) and not at %d with %s", p->ended, ours, sentence, where,
                    category);
}

static bool run_program(program *p)
{
    const json *fail = json_get(p->at, "fail");
    bool stepped = json_is(json_get(fail, "step"), JSON_NUMBER); /* PyTorch did not come to the end of the code */
    bool ok = run_code(p) && (stepped || (check_registers(p) && run_mode(p)));
    if (*p->why->text) return false;
    if (fail) return check_failure(p, fail);
    return ok || complain(p->why, "it ends at %d: %s", p->ended, ag_error() ? ag_error() : "?");
}

/* ---- the file ---- */

typedef struct runner {
    report report;
    int64_t n_left_out, n_as_before;
} runner;

/* PyTorch's own faults, and where its versions differ: a hook on what is changed in place afterwards. */
static bool is_left_out(const json *at)
{
    const char *category = json_text(json_get(json_get(at, "fail"), "cat"));
    return json_get(at, "hook_inplace") || (category && strcmp(category, "torch_bug") == 0);
}

/* Its row in the table: how it ends. */
static const char *kind_of(const json *at)
{
    const char *category = json_text(json_get(json_get(at, "fail"), "cat")), *mode = json_text(json_get(at, "mode"));
    return category ? category : mode ? mode : "?";
}

static bool has_instruction(const json *at, const char *op)
{
    for (const json *m = json_first(json_get(at, "code")); m; m = m->next) {
        const char *name = json_text(json_get(m, "op"));
        if (name && strcmp(name, op) == 0) return true;
    }
    return false;
}

/* What changed between PyTorch 1.13 and today: torch.autograd.grad did not call the hooks of leaves, and a mean over a
 * dimension kept its input. */
static bool may_be_as_before(const json *at)
{
    const char *kind = kind_of(at);
    return (strcmp(kind, "grad2") == 0 && has_instruction(at, "hook")) ||
           ((strcmp(kind, "freed") == 0 || strcmp(kind, "saved_modified") == 0) && has_instruction(at, "mean"));
}

static outcome run_once(const json *at, bool as_before, double *worst, complaint *why)
{
    program *p = calloc(1, sizeof *p);
    if (!p) return complain(why, "out of memory"), FAILED;
    AG_SCOPE;
    *p = (program){ .at = at, .why = why, .ended = NOWHERE, .as_before = as_before };
    bool ok = run_program(p);
    bool lacks_op = ag_error_code() == AG_ENOTSUP && strncmp(ag_error(), "there is no op", 14) == 0;
    ag_clear_error();
    *worst = p->worst;
    free(p);
    return ok ? PASSED : lacks_op ? SKIPPED : FAILED;
}

static void run_one(runner *r, const json *at)
{
    complaint why = { 0 }, ignored = { 0 };
    char name[32];
    int64_t id = -1;
    double worst, worst_before;
    json_whole(json_get(at, "id"), &id);
    snprintf(name, sizeof name, "%lld", (long long)id);
    outcome what = run_once(at, false, &worst, &why);
    if (what == FAILED && may_be_as_before(at) && run_once(at, true, &worst_before, &ignored) == PASSED) {
        r->n_as_before++;
        what = PASSED;
        worst = worst_before;
    }
    report_case(&r->report, report_row_of(&r->report, kind_of(at)), name, what, worst, &why);
}

static void run_line(runner *r, char *line, size_t n, const char *place)
{
    complaint why = { 0 };
    json_pool pool = { 0 };
    const json *at = json_parse(&pool, line, n, &why);
    int64_t alive = ag_leaks(NULL);
    if (at && !json_is(at, JSON_OBJECT)) complain(&why, "it is not a program");
    if (!*why.text && is_left_out(at))
        r->n_left_out++;
    else if (!*why.text)
        run_one(r, at);
    if (ag_leaks(NULL) != alive) complain(&why, "it left Variables behind");
    if (*why.text) report_unreadable(&r->report, place, &why);
    json_free(&pool);
}

int run_programs(const char *path, const char *json_path)
{
    runner r = { 0 };
    complaint why = { 0 };
    FILE *file = report_begin(&r.report, json_path, &why) ? fopen(path, "re") : NULL;
    char *line = NULL, place[4096];
    size_t room = 0;
    ssize_t n;
    if (!file) {
        complain(&why, "%s", strerror(errno));
        report_unreadable(&r.report, path, &why);
    }
    for (int64_t number = 1; file && (n = getline(&line, &room, file)) > 0; number++) {
        snprintf(place, sizeof place, "%s: line %lld", path, (long long)number);
        if (*line != '\n') run_line(&r, line, (size_t)n, place);
    }
    if (file) fclose(file);
    free(line);
    report_table(&r.report);
    if (r.n_left_out) printf("%lld programs were left out: PyTorch's own faults\n", (long long)r.n_left_out);
    if (r.n_as_before) printf("%lld programs agree as PyTorch 1.13 had it\n", (long long)r.n_as_before);
    return report_end(&r.report);
}
