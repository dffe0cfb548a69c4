/* module.c - a module's life: made, given its parts, run, freed.
 *
 * The public struct is short; what the library keeps for itself is in module->parts. A module belongs to the modules
 * that it is a part of, or to the caller until the first of them takes it over; `owners` counts the former. What goes
 * wrong while a model is put together is remembered in `failed`, so that a constructor is straight-line code with one
 * test at its end, AG_MODULE_DONE.
 */
#include "autograd/hooks.h"
#include "nn/module_parts.h"
#include "tensor/allocator.h"
#include "tensor/fail.h"

#include <stdlib.h>
#include <string.h>

bool ag__module_given(const char *function, const ag_module *m)
{
    if (m) return true;
    ag__fail(AG_EINVAL, "%s: the module is NULL", function);
    return false;
}

void *ag_module_new(size_t size, const char *type, ag_forward_function *forward)
{
    if (size < sizeof(ag_module))
        return ag__fail(AG_EINVAL, "module_new: %s has %zu bytes, but it must begin with a Module, which has %zu",
                        type ? type : "Module", size, sizeof(ag_module));
    ag_module *m = calloc(1, size);
    struct ag_module_parts *parts = calloc(1, sizeof *parts);
    if (!m || !parts) {
        free(m);
        free(parts);
        return ag__fail_memory(type ? type : "module", size);
    }
    m->type = type;
    m->forward = forward;
    m->training = true;
    m->parts = parts;
    return m;
}
void *ag__module_new_own(size_t size, const char *type, ag_forward_function *forward)
{
    ag_module *m = ag_module_new(size, type, forward);
    if (m) m->parts->is_own = true;
    return m;
}

/* ---- parts ---- */

static const char *const kind_name[] = {
    [AG_PART_CHILD] = "module", [AG_PART_PARAMETER] = "parameter", [AG_PART_BUFFER] = "buffer"
};

static ag_part *find(const ag_module *m, const char *name)
{
    for (int64_t i = 0; i < m->parts->n; i++)
        if (strcmp(m->parts->at[i].name, name) == 0) return &m->parts->at[i];
    return NULL;
}

ag_variable *ag__module_variable(const ag_module *m, const char *name)
{
    const ag_part *p = find(m, name);
    return p && p->kind != AG_PART_CHILD && p->variable ? p->variable : AG_NONE;
}

static bool name_is_good(const ag_module *m, ag_part_kind kind, const char *name)
{
    const char *type = ag__module_type(m), *what = kind_name[kind];
    if (!name || !*name) return ag__fail(AG_EINVAL, "%s: %s name can't be empty string \"\"", type, what);
    if (strchr(name, '.')) return ag__fail(AG_EINVAL, "%s: %s name can't contain \".\", got: %s", type, what, name);
    return true;
}

/* The place for a part of that name, to be filled: that of the part which has it, itself put into *old, or a new one at
 * the end; there, too, if the old part is of another kind. NULL with an error, nothing changed. */
static ag_part *place(ag_module *m, ag_part_kind kind, const char *name, ag_part *old)
{
    struct ag_module_parts *parts = m->parts;
    *old = (ag_part){ .name = NULL };
    if (!ag__may_change(ag__thread()) || !name_is_good(m, kind, name)) return NULL;
    ag_part *p = find(m, name);
    if (p) {
        *old = *p;
        if (p->kind == kind) return p;
        ag_part *last = &parts->at[parts->n - 1];
        memmove(p, p + 1, (size_t)(last - p) * sizeof *p);
        *last = (ag_part){ .name = old->name, .kind = kind };
        return last;
    }
    if (!ag__grow((void **)&parts->at, &parts->max, parts->n + 1, sizeof *p)) return NULL;
    char *copy = strdup(name);
    if (!copy) return ag__fail_memory("a name in a module", strlen(name) + 1);
    p = &parts->at[parts->n++];
    *p = (ag_part){ .name = copy, .kind = kind };
    return p;
}

static void let_go(const ag_part *p)
{
    if (p->kind != AG_PART_CHILD)
        ag_release(p->variable);
    else if (p->child && --p->child->parts->owners == 0)
        ag_module_free_(p->child);
}

/* Whether `sought` is m or below it: 1; 0; -1 where that goes on for too long. */
static int contains(const ag_module *m, const ag_module *sought, int depth)
{
    if (m == sought) return 1;
    if (depth > AG_MODULE_DEPTH) return -1;
    for (int64_t i = 0; i < m->parts->n; i++) {
        const ag_part *p = &m->parts->at[i];
        int found = p->kind == AG_PART_CHILD && p->child ? contains(p->child, sought, depth + 1) : 0;
        if (found) return found;
    }
    return 0;
}

/* A part that cannot be added is let go of, and the module remembers. */
static bool refuse_child(ag_module *m, ag_module *child)
{
    if (m) m->parts->failed = true;
    if (child && child != m && child->parts->owners == 0) ag_module_free_(child);
    return false;
}

bool ag_module_add_child(ag_module *m, const char *name, ag_module *child)
{
    if (!ag__module_given("add_child", m)) return refuse_child(m, child);
    if (!child) {
        ag__fail(AG_EINVAL, "%s: child %s is NULL", ag__module_type(m), name ? name : "");
        return refuse_child(m, child);
    }
    int found = contains(child, m, 1);
    if (found) {
        ag__fail(AG_EINVAL, found > 0 ? "%s: %s would be a part of itself" : "%s: below %s modules are nested too deep",
                 ag__module_type(m), name ? name : "");
        if (found < 0 && m->parts->owners == 0) return refuse_child(m, child);
        m->parts->failed = true; /* m may be below the child, which therefore stays the caller's */
        return false;
    }
    ag_part old, *p = place(m, AG_PART_CHILD, name, &old);
    if (!p) return refuse_child(m, child);
    child->parts->owners++;
    p->child = child;
    let_go(&old);
    ag__module_changed();
    return true;
}

ag_module *ag__module_take_child(ag_module *m, int64_t i)
{
    struct ag_module_parts *parts = m->parts;
    ag_part *p = &parts->at[i];
    ag_module *child = p->child;
    free(p->name);
    memmove(p, p + 1, (size_t)(--parts->n - i) * sizeof *p);
    child->parts->owners--;
    ag__module_changed();
    return child;
}

static bool refuse_variable(ag_module *m)
{
    m->parts->failed = true;
    return false;
}

static bool add_variable(ag_module *m, ag_part_kind kind, const char *name, ag_variable *x, bool saved)
{
    if (!x) ag__fail(AG_EINVAL, "%s: %s %s is NULL", ag__module_type(m), kind_name[kind], name ? name : "");
    if (x && x->tensor.wrapped)
        x = ag__fail(AG_EINVAL,
                     "%s: %s %s is a number from ag_scalar, which is shared, so it cannot change; use ag_full",
                     ag__module_type(m), kind_name[kind], name ? name : "");
    ag_part old, *p = x ? place(m, kind, name, &old) : NULL;
    if (!p) return refuse_variable(m);
    p->variable = x == AG_NONE ? NULL : ag_retain(x);
    p->passing = !saved;
    let_go(&old);
    ag__module_changed();
    return true;
}

bool ag_module_add_parameter(ag_module *m, const char *name, ag_variable *x)
{
    if (!ag__module_given("add_parameter", m)) return false;
    bool is_there = x && x != AG_NONE;
    if (is_there && x->grad_fn) {
        const char *of = name ? name : "";
        ag__fail(AG_EINVAL,
                 "%s: Cannot assign non-leaf Tensor to parameter '%s'. Model parameters must be created explicitly. To "
                 "express '%s' as a function of another Tensor, compute the value in the forward() method.",
                 ag__module_type(m), of, of);
        return refuse_variable(m);
    }
    if (is_there && !ag__is_floating((ag_dtype)x->tensor.dtype)) {
        ag__fail(AG_EINVAL, "%s: parameter %s: Only Tensors of floating point dtype can require gradients, not %s",
                 ag__module_type(m), name ? name : "", ag_dtype_name((ag_dtype)x->tensor.dtype));
        return refuse_variable(m);
    }
    if (!add_variable(m, AG_PART_PARAMETER, name, x, true)) return false;
    if (is_there) x->requires_grad = true;
    return true;
}

bool ag_module_add_buffer_call(const struct ag_module_add_buffer_args *a)
{
    return ag__module_given("add_buffer", a->module) &&
           add_variable(a->module, AG_PART_BUFFER, a->name, a->buffer, a->persistent);
}

bool ag_module_done(ag_module *m)
{
    if (m && !m->parts->failed) return true;
    ag_module_free_(m);
    return false;
}

/* ---- freeing: those to go stand in a list, so that depth costs no stack ---- */

void ag_module_free_(ag_module *m)
{
    if (!m || m->parts->owners > 0) return;
    m->parts->link = NULL;
    for (ag_module *list = m; list;) {
        m = list;
        struct ag_module_parts *parts = m->parts;
        list = parts->link;
        if (m->free) m->free(m);
        for (int k = 0; k < 2; k++) ag__hooks_drop(&parts->hooks[k]);
        if (parts->link_here) __atomic_store_n(&parts->link_here->module, NULL, __ATOMIC_RELEASE);
        ag__module_link_unref(parts->link_here);
        for (int64_t i = 0; i < parts->n; i++) {
            ag_part *p = &parts->at[i];
            if (p->kind != AG_PART_CHILD)
                ag_release(p->variable);
            else if (p->child && --p->child->parts->owners == 0) {
                p->child->parts->link = list;
                list = p->child;
            }
            free(p->name);
        }
        free(parts->at);
        ag__name_tables_free(parts->names);
        free(parts);
        free(m);
    }
    ag__module_changed();
}

/* ---- running ---- */

/* Whom the ops that m calls name as their caller: in a user's Module its own lines; what the library's own calls is
 * called by who called that. Returns what it was. */
static const void *calls(const ag_module *m, const void *caller)
{
    ag_thread *t = ag__thread();
    const void *outer = t->caller;
    t->caller = !m->parts->is_own ? NULL : outer ? outer : caller;
    return outer;
}

ag_variable *ag_module_forward(ag_module *m, ag_variable *x)
{
    if (!ag__module_given("forward", m)) return NULL;
    if (!x) return ag__fail(AG_EINVAL, "%s: forward's input is NULL", ag__module_type(m));
    if (!m->forward)
        return ag__fail(AG_EINVAL, "%s: it has no forward of one input%s", ag__module_type(m),
                        m->criterion ? "; a loss is called as ag_criterion(module, input, target)" : "");
    AG_SCOPE;
    const void *outer = calls(m, __builtin_return_address(0));
    ag_variable *y = ag__module_has_hooks(m) ? ag__module_call_hooked(m, x, NULL) : m->forward(m, x);
    ag__thread()->caller = outer;
    return y == x ? x : ag_keep(y);
}

ag_variable *ag__module_forward_over(ag_module *m, ag_variable *x)
{
    AG_SCOPE;
    const void *outer = calls(m, __builtin_return_address(0));
    x = m->parts->forward_over(m, x);
    ag__thread()->caller = outer;
    return x;
}

ag_variable *ag__module_forward_relu(ag_module *m, ag_variable *x)
{
    AG_SCOPE;
    const void *outer = calls(m, __builtin_return_address(0));
    ag_variable *y = m->parts->forward_relu(m, x);
    ag__thread()->caller = outer;
    return ag_keep(y);
}

ag_variable *ag_module_criterion(ag_module *m, ag_variable *input, ag_variable *target)
{
    if (!ag__module_given("criterion", m)) return NULL;
    if (!input || !target)
        return ag__fail(AG_EINVAL, "%s: the %s is NULL", ag__module_type(m), input ? "target" : "input");
    if (!m->criterion)
        return ag__fail(AG_EINVAL, "%s: it is not a loss: ag_forward(module, x) runs it", ag__module_type(m));
    AG_SCOPE;
    const void *outer = calls(m, __builtin_return_address(0));
    ag_variable *y = ag__module_has_hooks(m) ? ag__module_call_hooked(m, input, target)
                                             : m->criterion(m, input, target);
    ag__thread()->caller = outer;
    return ag_keep(y);
}
