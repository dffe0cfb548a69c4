/* sequential.c - modules one after the other. */
#include "nn/module_parts.h"
#include "tensor/fail.h"

#include <argent/layers.h>

#include <inttypes.h>

/* What a list of modules ends in. Not NULL: NULL is a module that failed. */
ag_module ag_module_end_;

/* Each result goes as soon as the next one is there. */
static ag_variable *sequential_forward(ag_module *self, ag_variable *x)
{
    const struct ag_module_parts *parts = self->parts;
    for (int64_t i = 0; x && i < parts->n; i++)
        if (parts->at[i].kind == AG_PART_CHILD) ag_let(&x, ag_module_forward(parts->at[i].child, x));
    return x;
}

static bool add(ag_module *m, ag_module *module)
{
    char name[24];
    snprintf(name, sizeof name, "%" PRId64, m ? m->parts->n : 0);
    return ag_module_add_child(m, name, module);
}

ag_module *ag_nn_sequential_of(ag_module *const *modules)
{
    ag_module *m = ag_module_new(sizeof *m, "Sequential", sequential_forward);
    for (; modules && *modules != &ag_module_end_; modules++) add(m, *modules);
    return AG_MODULE_DONE(m);
}

ag_module *ag_nn_append(ag_module *sequential, ag_module *module)
{
    return add(sequential, module) ? sequential : NULL;
}
