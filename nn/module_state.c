/* module_state.c - what is done to a whole tree of modules: mode, gradients, type and device, a function applied
 * everywhere. */
#include "nn/module_parts.h"
#include "tensor/fail.h"

#include <argent/copy.h>

#include <stdlib.h>

bool ag_module_train(ag_module *m, bool mode)
{
    const ag_name_table *t = ag__module_given(mode ? "train" : "eval", m) ? ag__module_names(m) : NULL;
    if (!t) return false;
    const ag_name_list *modules = &t->list[AG_NAMED_MODULES];
    for (int64_t i = 0; i < modules->n; i++) modules->at[i].module->training = mode;
    return true;
}

static bool apply(ag_module *m, ag_module_function *function, void *user, int depth)
{
    if (depth > AG_MODULE_DEPTH)
        return ag__fail(AG_EINVAL, "apply: modules are nested more than %d deep", AG_MODULE_DEPTH);
    for (int64_t i = 0; i < m->parts->n; i++) {
        const ag_part *p = &m->parts->at[i];
        if (p->kind == AG_PART_CHILD && !apply(p->child, function, user, depth + 1)) return false;
    }
    AG_SCOPE;
    return function(m, user);
}

bool ag_module_apply_(ag_module *m, ag_module_function *function, void *user)
{
    return ag__module_given("apply", m) && apply(m, function, user, 0);
}

/* ---- gradients ---- */

bool ag__zero_grad(ag_thread *t, ag_variable *x, bool set_to_none)
{
    if (!ag__may_change(t)) return false;
    if (!x->grad) return true;
    if (set_to_none) return ag_set_grad(x, AG_NONE);
    AG_SCOPE;
    AG_NO_GRAD;
    if (x->grad->grad_fn || x->grad->requires_grad) { /* grad.detach_() */
        ag_variable *plain = ag__alias(t, x->grad);
        if (!plain || !ag_set_grad(x, plain)) return false;
    }
    return ag_zero_(x->grad) != NULL;
}

bool ag_module_zero_grad_call(const struct ag_module_zero_grad_args *args)
{
    ag_module *m = args->module;
    const ag_name_table *table = ag__module_given("zero_grad", m) ? ag__module_names(m) : NULL;
    if (!table) return false;
    ag_thread *t = ag__thread();
    const ag_name_list *parameters = &table->list[AG_NAMED_PARAMETERS];
    for (int64_t i = 0; i < parameters->n; i++)
        if (!ag__zero_grad(t, parameters->at[i].variable, args->set_to_none)) return false;
    return true;
}

bool ag_module_requires_grad_set(ag_module *m, bool on)
{
    ag_list parameters = ag_module_parameters(m);
    for (int64_t i = 0; i < parameters.n; i++)
        if (!ag_requires_grad_set(parameters.at[i], on)) return false;
    return m != NULL;
}

/* ---- type and device ---- */

/* One Variable that changes, and what it will hold. */
typedef struct change {
    ag_variable *x, *becomes;
} change;

/* x's elements are from now on those of `from`; the Variable stays. What a graph has saved of x is out of date,
 * and its version says so. */
static void exchange(ag_variable *x, ag_variable *from)
{
    uint32_t version = x->tensor.storage->version + 1;
    ag_tensor old = x->tensor;
    x->tensor = from->tensor;
    from->tensor = old;
    x->tensor.storage->version = version;
}

/* Adds x, converted, to the changes if it is not so already. */
static bool plan(change *changes, int64_t *n, ag_variable *x, const struct ag_module_to_args *a)
{
    ag_dtype dtype = ag__is_floating((ag_dtype)x->tensor.dtype) ? a->dtype : AG_DTYPE_DEFAULT;
    ag_variable *y = ag_to(x, .device = a->device, .dtype = dtype);
    if (!y) return false;
    if (y != x) changes[(*n)++] = (change){ x, y };
    return true;
}

bool ag_module_to_call(const struct ag_module_to_args *args)
{
    ag_module *m = args->module;
    const ag_name_table *table = ag__module_given("to", m) ? ag__module_names(m) : NULL;
    if (!table) return false;
    if (args->dtype != AG_DTYPE_DEFAULT && !ag_dtype_is_floating_point(args->dtype))
        return ag__fail(AG_EINVAL, "module_to: only floating point types are accepted, but got dtype=%s",
                        ag_dtype_name(args->dtype));
    if (!ag__may_change(ag__thread())) return false;
    const ag_name_list *parameters = &table->list[AG_NAMED_PARAMETERS], *buffers = &table->list[AG_NAMED_BUFFERS];
    change *changes = calloc((size_t)(2 * parameters->n + buffers->n + 1), sizeof *changes);
    if (!changes) return ag__fail_memory("module_to", (size_t)(2 * parameters->n + buffers->n) * sizeof *changes);
    int64_t n = 0;
    AG_SCOPE;
    AG_NO_GRAD;
    bool ok = true;
    for (int64_t i = 0; ok && i < parameters->n; i++) {
        ag_variable *x = parameters->at[i].variable;
        ok = plan(changes, &n, x, args) && (!x->grad || plan(changes, &n, x->grad, args));
    }
    for (int64_t i = 0; ok && i < buffers->n; i++) ok = plan(changes, &n, buffers->at[i].variable, args);
    for (int64_t i = 0; ok && i < n; i++) exchange(changes[i].x, changes[i].becomes);
    free(changes);
    return ok;
}
