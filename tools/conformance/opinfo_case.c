/* opinfo_case.c - one recorded call: made, and everything about it compared; see opinfo.h. */
#include "opinfo_run.h"

#include "autograd/op.h"
#include "differs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 7 }; /* what was drawn, was drawn after manual_seed(7) */

/* ---- names ---- */

const char *name_in_library(const char *op, char *room, size_t n, bool *swapped)
{
    size_t length = op ? strlen(op) : 0;
    *swapped = false;
    if (!length) return NULL;
    snprintf(room, n, "%s", op);
    if (strcmp(op, "__rpow__") && length > 5 && strncmp(op, "__r", 3) == 0 && strcmp(op + length - 2, "__") == 0) {
        snprintf(room, n, "%.*s", (int)length - 5, op + 3);
        *swapped = true;
    }
    return length < n && ag_op_find(room) ? room : NULL;
}

/* ---- results ---- */

static bool is_list(const json *node)
{
    const char *type = json_text(json_get(node, "t"));
    return type && (strcmp(type, "list") == 0 || strcmp(type, "tuple") == 0);
}
static bool is_tensor(const json *node)
{
    const char *type = json_text(json_get(node, "t"));
    return type && strcmp(type, "tensor") == 0;
}

static bool expected_results(run *r)
{
    const json *out = json_get(r->c->at, "out");
    if (!is_list(out)) return r->want[r->n_want++] = out, out || complain(r->why, "it has no results");
    for (const json *m = json_first(json_get(out, "v")); m; m = m->next) {
        if (r->n_want == MAX_OUTPUTS) return complain(r->why, "it has too many results");
        r->want[r->n_want++] = m;
    }
    return true;
}

const char *result_id(const run *r, int k) { return json_text(json_get(r->want[k], "id")); }

ag_variable *named_tensor(run *r, const char *object, const char *id)
{
    const char *name = id ? json_text(json_get(json_get(r->c->at, object), id)) : NULL;
    return name ? stored_tensor(&r->from, name, r->why) : NULL;
}

/* Today's PyTorch answers otherwise. */
static bool is_left_out(run *r, const char *id)
{
    char name[256];
    snprintf(name, sizeof name, "%s/%s", r->c->name, id);
    bool out = differs_today(r->c->differs, r->c->entry, name);
    r->c->n_differ += out;
    return out;
}

bool compare_with(run *r, comparison x)
{
    if (is_left_out(r, x.label)) return true;
    x.numbers = r->numbers;
    bool ok = x.want && compare(&x, r->why);
    if (x.ratio > r->c->worst) r->c->worst = x.ratio;
    return ok;
}

bool dump(run *r, const char *id, ag_variable *x)
{
    char name[256];
    if (!r->c->dump || r->dumped || !id || !x) return true;
    snprintf(name, sizeof name, "%s/%s", r->c->name, id);
    return ag_state_dict_set(r->c->dump, name, ag_detach(x)) || complain(r->why, "%s", ag_error());
}

/* A result that is a plain value in Python: here a Variable of one element. */
static bool check_plain_value(run *r, int k, ag_variable *got)
{
    const json *v = json_get(r->want[k], "v");
    double want = !v ? NAN : v->kind == JSON_BOOL ? v->is_true : v->kind == JSON_NUMBER ? v->number : NAN;
    if (ag_numel(got) != 1) return complain(r->why, "result %d is not one number", k);
    return ag_item(got) == want || complain(r->why, "result %d is %g and not %g", k, ag_item(got), want);
}

static bool check_recorded_shape(run *r, int k, ag_variable *stored)
{
    int64_t size[8];
    ag_dtype dtype;
    int n = shape_of(json_get(r->want[k], "shape"), size, r->why);
    ag_shape_list have = ag_shape(stored);
    if (n < 0) return false;
    bool known = dtype_of_name(json_text(json_get(r->want[k], "dtype")), &dtype);
    return (known && dtype == ag_dtype_of(stored) && have.n == n &&
            (n == 0 || !memcmp(have.at, size, sizeof *size * (size_t)n))) ||
           complain(r->why, "the shape or dtype of '%s' is not that of its numbers", result_id(r, k));
}

static bool check_value(run *r, int k, ag_variable *got)
{
    if (!is_tensor(r->want[k])) return check_plain_value(r, k, got);
    ag_variable *want = stored_tensor(&r->from, result_id(r, k), r->why);
    if (!want || !check_recorded_shape(r, k, want)) return false;
    ag_variable *ref = named_tensor(r, "ref", result_id(r, k));
    return compare_with(r, (comparison){ .label = result_id(r, k), .got = got, .want = want, .ref = ref });
}
static bool check_values(run *r, const results *x)
{
    bool ok = x->n == r->n_want || complain(r->why, "it has %d results and not %d", x->n, r->n_want);
    for (int k = 0; k < x->n && k < r->n_want; k++) ok = check_value(r, k, x->out[k]) && ok;
    return ok;
}

/* ---- what is shared, and what wants a gradient ---- */

static bool is_listed(const json *list, const char *id)
{
    for (const json *m = json_first(list); m; m = m->next)
        if (json_text(m) && strcmp(json_text(m), id) == 0) return true;
    return false;
}

static bool check_sharing(run *r, const call_values *v, const results *x)
{
    const json *views = json_get(r->c->at, "view_of_input");
    bool returned = false;
    for (int k = 0; k < x->n; k++) {
        bool shares = false;
        for (int i = 0; i < v->n_inputs; i++) {
            returned |= x->out[k] == v->input[i].x;
            shares |= ag_shares_storage(x->out[k], v->input[i].x);
        }
        if (!result_id(r, k) || ag_numel(x->out[k]) == 0 || shares == is_listed(views, result_id(r, k))) continue;
        return complain(r->why, "%s %s memory with an input", result_id(r, k), shares ? "shares" : "does not share");
    }
    const json *same = json_get(r->c->at, "returns_input");
    if (returned == (same && same->is_true)) return true;
    return complain(r->why, returned ? "an input itself comes back" : "the input itself does not come back");
}

static bool check_wants_grad(run *r, const results *x)
{
    const json *cot = json_get(r->c->at, "cot");
    for (int k = 0; k < x->n; k++) {
        bool want = result_id(r, k) && json_get(cot, result_id(r, k));
        if (ag_requires_grad(x->out[k]) == want) continue;
        return complain(r->why, "result %d %s a gradient", k, want ? "wants no" : "wants");
    }
    return true;
}

static bool check_unchanged(run *r, const call_values *v)
{
    for (int i = 0; i < v->n_inputs; i++) {
        ag_variable *before = stored_tensor(&r->from, v->input[i].id, r->why);
        comparison x = { .label = v->input[i].id, .got = v->input[i].x, .want = before, .numbers = SAME_BITS };
        complaint changed = { 0 };
        if (!before) return false;
        if (!compare(&x, &changed)) return complain(r->why, "the input %s was changed", v->input[i].id);
    }
    return true;
}

/* ---- the call ---- */

static void swap_first_two(call_values *v)
{
    ag_value first = v->positional[0];
    v->positional[0] = v->positional[1];
    v->positional[1] = first;
}

/* Python's self comes first, as in x.where(condition, y): it is the op's `input`, wherever that stands in its list. */
static void move_self(const char *name, call_values *v)
{
    const ag_op *op = ag_op_find(name);
    int place = 0;
    while (place < op->n_args && strcmp(op->args[place].name, "input")) place++;
    if (place == op->n_args || place >= v->n) return;
    ag_value self = v->positional[0];
    memmove(v->positional, v->positional + 1, (size_t)place * sizeof self);
    v->positional[place] = self;
}

static bool call(run *r, const char *name, call_values *v, results *x)
{
    ag_manual_seed(SEED);
    x->n = ag_call(name, v->n, v->positional, v->n_named, v->named, x->out, MAX_OUTPUTS);
    return x->n || complain(r->why, "%s", ag_error());
}

/* The first argument becomes one that may be changed; NULL with a complaint. */
static ag_variable *changeable_first(run *r, call_values *v)
{
    if (!v->n || v->positional[0].kind != AG_VALUE_TENSOR)
        return complain(r->why, "there is no Variable to be changed"), NULL;
    return v->positional[0].tensor = ag_clone(v->positional[0].tensor);
}

/* The arguments as the op takes them. */
static bool arrange(run *r, call_values *v)
{
    if (r->swapped && v->n > 1) swap_first_two(v);
    move_self(r->op, v);
    /* an op that changes its argument was recorded on a copy */
    return r->op[strlen(r->op) - 1] != '_' || changeable_first(r, v);
}

static bool check_call(run *r, call_values *v, results *x)
{
    if (!arrange(r, v) || !call(r, r->op, v, x)) return false;
    for (int k = 0; k < x->n && k < r->n_want; k++)
        if (is_tensor(r->want[k]) && !dump(r, result_id(r, k), x->out[k])) return false;
    bool ok = check_values(r, x); /* the rest goes on: it may be dumped */
    ok = check_wants_grad(r, x) && ok;
    ok = check_sharing(r, v, x) && ok;
    ok = check_derivatives(r, v, x) && ok;
    return check_unchanged(r, v) && ok;
}

/* The in-place form, where the library has it and the result fits into the first argument. */
static bool check_inplace(run *r, call_values *v, results *x)
{
    char name[300];
    if (r->swapped || !json_text(json_get(r->c->at, "inplace")) || r->op[strlen(r->op) - 1] == '_') return true;
    ag_variable *first = changeable_first(r, v), *want = stored_tensor(&r->from, result_id(r, 0), r->why);
    if (!first || !want) return false;
    ag_shape_list a = ag_shape(first), b = ag_shape(want);
    bool fits = ag_dtype_of(first) == ag_dtype_of(want) && a.n == b.n &&
                (a.n == 0 || !memcmp(a.at, b.at, (size_t)a.n * sizeof *a.at));
    if (!fits) return true;
    snprintf(name, sizeof name, "%s_", r->op);
    x->n = ag_call(name, v->n, v->positional, v->n_named, v->named, x->out, MAX_OUTPUTS);
    if (!x->n && ag_error_code() == AG_ENOTSUP && strstr(ag_error(), "there is no op")) return ag_clear_error(), true;
    complaint inner = { 0 }, *outer = r->why;
    r->why = &inner;
    bool ok = x->n || complain(&inner, "%s", ag_error());
    ok = ok && (x->out[0] == first || complain(&inner, "its result is not the argument"));
    ok = ok && check_values(r, x) && check_derivatives(r, v, x);
    r->why = outer;
    return ok || complain(r->why, "%s: %s", name, inner.text);
}

/* Of a float32 case: the same in float64 from the same numbers is what the errors are measured by. */
static bool check_reference(run *r, call_values *v, results *x)
{
    if (!arrange(r, v) || !call(r, r->op, v, x)) return false;
    for (int k = 0; k < x->n && k < r->n_want; k++) {
        ag_variable *ref = named_tensor(r, "ref", result_id(r, k));
        if (ref && !compare_with(r, (comparison){ .label = "ref", .got = x->out[k], .want = ref })) return false;
    }
    return check_reference_gradients(r, v, x);
}

/* One of the checks above on fresh arguments. */
static bool check_with(run *r, call_values *v, results *x, bool (*check)(run *, call_values *, results *))
{
    bool ok = make_call(v, &r->from, json_get(r->c->at, "call"), json_get(r->c->at, "kwargs"), r->why) &&
              check(r, v, x);
    free_call(v);
    return ok;
}

bool run_case(op_case *c, complaint *why)
{
    struct {
        run run;
        call_values values;
        results results;
    } *m = calloc(1, sizeof *m);
    if (!m) return complain(why, "out of memory");
    m->run = (run){ .c = c, .from = { c->tensors, c->name, false }, .why = why };
    run *r = &m->run;
    name_in_library(c->op, r->op, sizeof r->op, &r->swapped);
    r->numbers = class_of_op(r->op);
    const json *processed = json_get(c->at, "processed");
    bool ok = !(processed && processed->is_true) || complain(why, "only a function of its result was recorded");
    ok = ok && expected_results(r) && check_with(r, &m->values, &m->results, check_call);
    r->dumped = true;
    ok = ok && check_with(r, &m->values, &m->results, check_inplace);
    r->from.in_float64 = true;
    if (ok && json_get(c->at, "ref")) ok = check_with(r, &m->values, &m->results, check_reference);
    free(m);
    return ok;
}
