/* criterion.c - losses as modules: options, and one op. */
#include <argent/criterion.h>

#include "nn/module_parts.h"
#include "tensor/fail.h"

#include <argent/loss.h>

#include <stdlib.h>
#include <string.h>

typedef struct loss {
    ag_module base;
    int64_t ignore_index;
    const char *reduction; /* one of the three below */
    double label_smoothing;
} loss;

static ag_variable *cross_entropy(ag_module *self, ag_variable *input, ag_variable *target)
{
    const loss *m = (loss *)self;
    return ag_cross_entropy(input, target, ag__module_variable(self, "weight"), m->ignore_index, m->reduction,
                            m->label_smoothing);
}
static ag_variable *nll(ag_module *self, ag_variable *input, ag_variable *target)
{
    const loss *m = (loss *)self;
    return ag_nll_loss(input, target, ag__module_variable(self, "weight"), m->ignore_index, m->reduction);
}
static ag_variable *mse(ag_module *self, ag_variable *input, ag_variable *target)
{
    return ag_mse_loss(input, target, ((loss *)self)->reduction);
}

static ag_module *loss_new(const char *type, ag_criterion_function *criterion, const char *reduction)
{
    static const char *const known[] = { "mean", "sum", "none" };
    for (int i = 0; i < 3; i++) {
        if (!reduction || strcmp(reduction, known[i])) continue;
        ag_module *m = ag__module_new_own(sizeof(loss), type, NULL);
        if (!m) return NULL;
        m->criterion = criterion;
        ((loss *)m)->reduction = known[i];
        return m;
    }
    return ag__fail(AG_EINVAL, "%s: %s is not a valid value for reduction", type, reduction ? reduction : "NULL");
}
static ag_module *weighted(ag_module *m, ag_variable *weight, int64_t ignore_index)
{
    if (!m) return NULL;
    ((loss *)m)->ignore_index = ignore_index;
    ag_module_add_buffer(m, "weight", weight);
    return AG_MODULE_DONE(m);
}

ag_module *ag_nn_cross_entropy_loss_call(const struct ag_nn_cross_entropy_loss_args *a)
{
    char text[32];
    if (!(a->label_smoothing >= 0 && a->label_smoothing <= 1))
        return ag__fail(AG_EINVAL, "CrossEntropyLoss: label_smoothing must be between 0.0 and 1.0. Got: %s",
                        ag__number_text(a->label_smoothing, text));
    ag_module *m = weighted(loss_new("CrossEntropyLoss", cross_entropy, a->reduction), a->weight, a->ignore_index);
    if (m) ((loss *)m)->label_smoothing = a->label_smoothing;
    return m;
}
ag_module *ag_nn_nll_loss_call(const struct ag_nn_nll_loss_args *a)
{
    return weighted(loss_new("NLLLoss", nll, a->reduction), a->weight, a->ignore_index);
}
ag_module *ag_nn_mse_loss_call(const struct ag_nn_mse_loss_args *a) { return loss_new("MSELoss", mse, a->reduction); }
