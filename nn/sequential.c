/* sequential.c - modules one after the other. */
#include "nn/module_parts.h"
#include "tensor/fail.h"

#include <argent/layers.h>

#include <inttypes.h>

/* Each result goes as soon as the next one is there. */
static ag_variable *sequential_forward(ag_module *self, ag_variable *x)
{
    const struct ag_module_parts *parts = self->parts;
    for (int64_t i = 0; x && i < parts->n; i++)
        if (parts->at[i].kind == AG_PART_CHILD) ag_let(&x, ag_module_forward(parts->at[i].child, x));
    return x;
}

static bool append(ag_module *m, ag_module *module)
{
    int64_t n = 0;
    for (int64_t i = 0; m && i < m->parts->n; i++) n += m->parts->at[i].kind == AG_PART_CHILD;
    char name[24];
    snprintf(name, sizeof name, "%" PRId64, n);
    return ag_module_add_child(m, name, module);
}

ag_module *ag_nn_sequential_of(int64_t n, ag_module *const *modules)
{
    ag_module *m = ag_module_new(sizeof *m, "Sequential", sequential_forward);
    for (int64_t i = 0; i < n; i++) append(m, modules[i]);
    return AG_MODULE_DONE(m);
}

bool ag_module_append(ag_module *sequential, ag_module *module)
{
    if (sequential && sequential->forward != sequential_forward) {
        ag__fail(AG_EINVAL, "append: %s is not a Sequential", ag__module_type(sequential));
        ag_module_free(module);
        return false;
    }
    return append(sequential, module);
}
