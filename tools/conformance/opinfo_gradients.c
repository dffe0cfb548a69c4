/* opinfo_gradients.c - the derivatives of a recorded call; see opinfo_run.h. */
#include "opinfo_run.h"

#include <math.h>
#include <stdlib.h>

typedef struct differentiation {
    ag_variable *of[MAX_OUTPUTS], *cot[MAX_OUTPUTS];  /* sum(of * cot) ... */
    ag_variable *to[MAX_TENSORS], *grad[MAX_TENSORS]; /* ... by each of these */
    int n_of, n_to;
} differentiation;

static bool differentiate(run *r, differentiation *d, bool create_graph, bool retain)
{
    return ag_autograd_grad(ag_list_from(d->n_of, d->of), ag_list_from(d->n_to, d->to), d->grad,
                            .grad_outputs = ag_list_from(d->n_of, d->cot), .retain_graph = retain,
                            .create_graph = create_graph, .allow_unused = true) ||
           complain(r->why, "%s", ag_error());
}

/* The outputs with a cotangent, by the inputs that `object` ("grad", "gref") names. */
static bool first_order(run *r, const char *object, const call_values *v, const results *x, differentiation *d)
{
    for (int k = 0; k < x->n && k < r->n_want; k++) {
        ag_variable *cot = named_tensor(r, "cot", result_id(r, k));
        if (!cot) continue;
        if (r->from.in_float64 && ag_dtype_of(cot) == AG_FLOAT32) cot = ag_to(cot, .dtype = AG_FLOAT64);
        d->of[d->n_of] = x->out[k];
        d->cot[d->n_of++] = ag_to(cot, ag_device_of(x->out[k]));
    }
    for (const json *m = json_first(json_get(r->c->at, object)); m; m = m->next) {
        if (d->n_to == MAX_TENSORS || !(d->to[d->n_to++] = find_input(v, m->name)))
            return complain(r->why, "there is a gradient of '%s', but no such input", m->name);
    }
    return d->n_of || complain(r->why, "there are gradients, but no factors of results");
}

/* A gradient is a sum of terms of the size of its factors: where they cancel, what is left is rounding. */
static double size_below_which_terms_cancel(const differentiation *d)
{
    double largest = 0;
    for (int k = 0; k < d->n_of; k++)
        if (ag_numel(d->cot[k])) largest = fmax(largest, ag_item(ag_amax(ag_abs(ag_to(d->cot[k], AG_CPU)))));
    return 1e-3 * largest;
}

/* d's gradient i is the one that `named` ("in_0": "g_0") names. */
static bool check_gradient(run *r, const differentiation *d, int i, const json *named, comparison x)
{
    x.label = json_text(named);
    if (!x.label) return !d->grad[i] || complain(r->why, "gradient of %s: PyTorch has none", named->name);
    x.want = stored_tensor(&r->from, x.label, r->why);
    x.got = d->grad[i] ? d->grad[i] : ag_zeros_like(d->to[i]); /* none is zero */
    if (x.order == GRADIENT) x.ref = named_tensor(r, "gref", named->name);
    return x.got && dump(r, x.label, x.got) && compare_with(r, x);
}
/* d's gradients are those that `object` ("grad", "ggrad") names. */
static bool check_gradients(run *r, const differentiation *d, const char *object, derivative_order order)
{
    const comparison how = { .order = order, .floor = size_below_which_terms_cancel(d) };
    bool ok = true;
    int i = 0;
    for (const json *m = json_first(json_get(r->c->at, object)); m; m = m->next, i++) {
        if (i >= d->n_to) return complain(r->why, "there are more gradients in %s than in grad", object);
        ok = check_gradient(r, d, i, m, how) && ok;
    }
    return ok;
}

/* The first-order gradients that have a second cotangent, by the same inputs. */
static bool check_second_order(run *r, const differentiation *first)
{
    differentiation *d = calloc(1, sizeof *d);
    if (!d) return complain(r->why, "out of memory");
    int i = 0;
    for (const json *m = json_first(json_get(r->c->at, "grad")); m; m = m->next, i++) {
        ag_variable *cot = named_tensor(r, "cot2", m->name);
        if (cot && first->grad[i] && ag_requires_grad(first->grad[i])) {
            d->of[d->n_of] = first->grad[i];
            d->cot[d->n_of++] = ag_to(cot, ag_device_of(first->grad[i]));
        }
        d->to[d->n_to++] = first->to[i];
    }
    bool ok = (!d->n_of || differentiate(r, d, false, false)) && check_gradients(r, d, "ggrad", SECOND_GRADIENT);
    free(d);
    return ok;
}

/* A gradcheck_wrapper means that PyTorch's gradient is that of another function. */
static bool has_gradients(const run *r)
{
    return json_get(r->c->at, "grad") && !json_get(r->c->at, "gradcheck_wrapper");
}

bool check_derivatives(run *r, const call_values *v, const results *x)
{
    if (!has_gradients(r)) return true;
    differentiation *d = calloc(1, sizeof *d);
    if (!d) return complain(r->why, "out of memory");
    bool second = json_get(r->c->at, "ggrad");
    bool done = first_order(r, "grad", v, x, d) && differentiate(r, d, false, second);
    bool ok = done && check_gradients(r, d, "grad", GRADIENT);
    if (done && second) ok = differentiate(r, d, true, true) && check_second_order(r, d) && ok;
    free(d);
    return ok;
}

bool check_reference_gradients(run *r, const call_values *v, const results *x)
{
    if (!has_gradients(r) || !json_get(r->c->at, "gref")) return true;
    differentiation *d = calloc(1, sizeof *d);
    if (!d) return complain(r->why, "out of memory");
    bool ok = first_order(r, "gref", v, x, d) && (!d->n_of || differentiate(r, d, false, false)) &&
              check_gradients(r, d, "gref", GRADIENT);
    free(d);
    return ok;
}
