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

/* Whether part i is a child that none before it is. */
static bool is_new_child(const struct ag_module_parts *parts, int64_t i)
{
    if (parts->at[i].kind != AG_PART_CHILD) return false;
    for (int64_t k = 0; k < i; k++)
        if (parts->at[k].kind == AG_PART_CHILD && parts->at[k].child == parts->at[i].child) return false;
    return true;
}

static bool apply(ag_module *m, ag_module_function *function, void *user, int depth)
{
    if (depth > AG_MODULE_DEPTH)
        return ag__fail(AG_EINVAL, "apply: modules are nested more than %d deep", AG_MODULE_DEPTH);
    for (int64_t i = 0; i < m->parts->n; i++)
        if (is_new_child(m->parts, i) && !apply(m->parts->at[i].child, function, user, depth + 1)) return false;
    AG_SCOPE;
    return function(m, user);
}

bool ag_module_apply_(ag_module *m, ag_module_function *function, void *user)
{
    if (!function) return ag__fail(AG_EINVAL, "apply: the function is NULL");
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
    const ag_name_table *table = ag__module_given("requires_grad_", m) ? ag__module_names(m) : NULL;
    if (!table) return false;
    const ag_name_list *parameters = &table->list[AG_NAMED_PARAMETERS];
    for (int64_t i = 0; i < parameters->n; i++)
        if (!ag_requires_grad_set(parameters->at[i].variable, on)) return false;
    return true;
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

/* Adds x, converted, to the changes if it is not so already. A graph knows the type of what it computed, so only
 * leaves can change. */
static bool plan(change *changes, int64_t *n, ag_variable *x, const struct ag_module_to_args *a)
{
    ag_dtype dtype = ag__is_floating((ag_dtype)x->tensor.dtype) ? a->dtype : AG_DTYPE_DEFAULT;
    ag_variable *y = ag_to(x, .device = a->device, .dtype = dtype);
    if (!y || y == x) return y != NULL;
    char text[AG_TEXT];
    if (x->grad_fn)
        return ag__fail(AG_EGRAPH,
                        "module_to: a buffer or gradient (%s) was computed by a recorded op; detach() it first",
                        ag__tensor_text(&x->tensor, text, sizeof text));
    changes[(*n)++] = (change){ x, y };
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
    const size_t room = (size_t)(2 * parameters->n + buffers->n + 1) * sizeof(change);
    change *changes = malloc(room);
    if (!changes) return ag__fail_memory("module_to", room);
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
