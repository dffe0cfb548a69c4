/* anomaly.c - anomaly mode: errors in a backward name the op that was recorded, and where it was called. */
#include "autograd/pass.h"
#include "autograd/where.h"
#include "ops/check.h"

#include <argent/scope.h>

#include <inttypes.h>
#include <math.h>

enum { DETECTS = 1, CHECKS_NAN = 2 };
static int modes; /* of the process */

static int now(void) { return __atomic_load_n(&modes, __ATOMIC_RELAXED); }
static void set(bool mode, bool check_nan)
{
    __atomic_store_n(&modes, (mode ? DETECTS : 0) | (check_nan ? CHECKS_NAN : 0), __ATOMIC_RELAXED);
}

bool ag_is_anomaly_enabled(void) { return now() & DETECTS; }
bool ag_is_anomaly_check_nan_enabled(void) { return now() == (DETECTS | CHECKS_NAN); }
void ag_set_detect_anomaly_call(const struct ag_set_detect_anomaly_args *a) { set(a->mode, a->check_nan); }
ag_anomaly ag_detect_anomaly_begin(void)
{
    int was = now();
    set(true, true);
    return (ag_anomaly){ was & DETECTS, was & CHECKS_NAN };
}
void ag_detect_anomaly_end(ag_anomaly *before) { set(before->mode, before->check_nan); }

bool ag__anomaly_mode(bool *checks_nan)
{
    *checks_nan = now() == (DETECTS | CHECKS_NAN);
    return now() & DETECTS;
}

void ag__anomaly_explain(Thread *t, const ag_node *n)
{
    char where[AG_TEXT] = "";
    if (t->explained) return; /* by the walk that a hook or a function of this one began */
    t->explained = true;
    FILE *file = n->caller ? fmemopen(where, sizeof where, "w") : NULL;
    if (file) {
        ag__print_address(file, n->caller);
        fclose(file);
    }
    ag__fail_more(" Error detected in %s. The forward call that caused the error was made%s.", n->op->node,
                  *where ? where : " at a place that is not known");
}

/* The first element of x that is NaN, in row-major order; -1: none is. */
static int64_t first_nan(const ag_variable *x)
{
    if (!ag__is_floating((ag_dtype)x->tensor.dtype)) return -1;
    ag_scope scope = ag_scope_begin();
    const ag_tensor *plain = ag__plain(ag__thread(), x, x->tensor.ndim, x->tensor.size, AG_FLOAT64);
    int64_t at = 0, n = plain ? plain->numel : 0;
    const double *value = plain ? (const double *)(const void *)plain->data : NULL;
    while (at < n && !isnan(value[at])) at++;
    ag_scope_end(&scope);
    return at < n ? at : -1;
}

bool ag__anomaly_check(const ag_node *n, ag_variable *const *grad)
{
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!grad[i]) continue;
        int64_t at = first_nan(grad[i]), index[AG_MAX_DIMS];
        const ag_tensor *g = &grad[i]->tensor;
        if (at < 0) continue;
        for (int d = g->ndim - 1; d >= 0; at /= g->size[d--]) index[d] = at % g->size[d];
        char text[AG_TEXT];
        return ag__fail(AG_EGRAPH,
                        "Function '%s' returned nan values in its %" PRIu32 "th output. The first is at index %s.",
                        n->op->node, i, ag__shape_text(g->ndim, index, text, sizeof text));
    }
    return true;
}
