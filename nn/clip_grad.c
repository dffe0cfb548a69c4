/* clip_grad.c - see clip_grad.h. */
#include <argent/clip_grad.h>

#include "autograd/node.h"
#include "nn/clip_grad_device.h"
#include "nn/module_parts.h"
#include "tensor/allocator.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/join.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>

#include <inttypes.h>
#include <math.h>

static const char here[] = "clip_grad_norm_";

/* torch.linalg.vector_norm(x, p) */
static ag_variable *vector_norm(ag_variable *x, double p)
{
    char text[32];
    if (!x) return NULL;
    if (x->tensor.numel == 0 && (p < 0 || p == INFINITY))
        return ag__fail(AG_EINVAL,
                        "%s: linalg.vector_norm cannot compute the %s norm on an empty tensor because the operation "
                        "does not have an identity",
                        here, ag__number_text(p, text));
    AG_SCOPE;
    if (p == 0) return ag_keep(ag_sum(ag_ne(x, ag_scalar_int64(0)), .dtype = (ag_dtype)x->tensor.dtype));
    if (p == 2) return ag_keep(ag_sqrt(ag_sum(ag_square(x))));
    x = ag_abs(x);
    if (p == INFINITY) return ag_keep(ag_max(x));
    if (p == -INFINITY) return ag_keep(ag_min(x));
    if (p == 1) return ag_keep(ag_sum(x));
    return ag_keep(ag_pow(ag_sum(ag_pow(x, ag_scalar_double(p))), ag_scalar_double(1 / p)));
}

/* Every parameter is there, and its gradient, if it has one, can be changed in place. */
static bool can_clip(ag_list parameters, int64_t *n_gradients)
{
    for (int64_t i = 0; i < parameters.n; i++) {
        const ag_variable *p = parameters.at ? parameters.at[i] : NULL;
        if (!p || p == AG_NONE)
            return ag__fail(AG_EINVAL, "%s: parameter %" PRId64 " is %s", here, i, p ? "None" : "NULL");
        if (!p->grad) continue;
        if (ag__overlaps_itself(&p->grad->tensor))
            return ag__fail(AG_EINVAL,
                            "%s: more than one element of the gradient of parameter %" PRId64
                            " refers to a single memory location; clone() it first",
                            here, i);
        ++*n_gradients;
    }
    return true;
}

/* The norm of the gradients' norms; `norms` has room for them. */
static ag_variable *total_norm(ag_list parameters, double p, bool at_once, ag_variable **norms)
{
    int64_t n = 0;
    if (at_once) {
        const ag_variable *first = NULL;
        for (int64_t i = 0; !first; i++) first = parameters.at[i]->grad;
        ag_variable *squares = ag__squares_on_device(ag__thread(), parameters);
        return ag_to(ag_sqrt(ag_sum(squares)), .dtype = (ag_dtype)first->tensor.dtype);
    }
    for (int64_t i = 0; i < parameters.n; i++)
        if (parameters.at[i]->grad && !(norms[n++] = vector_norm(parameters.at[i]->grad, p))) return NULL;
    return vector_norm(ag_stack(ag_list_from(n, norms)), p);
}

static ag_variable *clip(const struct ag_nn_utils_clip_grad_norm__args *a, ag_variable **norms)
{
    const bool at_once = ag__clips_on_device(a->parameters, a->norm_type);
    ag_variable *total = total_norm(a->parameters, a->norm_type, at_once, norms);
    if (!total) return NULL;
    char text[32];
    if (a->error_if_nonfinite && !isfinite(ag_item(total)))
        return ag__fail(AG_EINVAL,
                        "The total norm of order %s for gradients from `parameters` is non-finite, so it cannot be "
                        "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
                        "`error_if_nonfinite=False`",
                        ag__number_text(a->norm_type, text));
    ag_variable *factor = ag_div(ag_scalar_double(a->max_norm), ag_add(total, ag_scalar_double(1e-6)));
    factor = ag_clamp(factor, .max = 1);
    if (at_once) return factor && ag__scale_on_device(a->parameters, factor) ? total : NULL;
    for (int64_t i = 0; factor && i < a->parameters.n; i++) {
        ag_variable *g = a->parameters.at[i]->grad;
        if (g && !ag_mul_(g, factor)) return NULL;
    }
    return factor ? total : NULL;
}

ag_variable *ag_nn_utils_clip_grad_norm__call(const struct ag_nn_utils_clip_grad_norm__args *a)
{
    int64_t n = 0;
    if (!ag__may_change(ag__thread()) || !can_clip(a->parameters, &n)) return NULL;
    if (n == 0) return ag_zeros(AG_SCALAR_SHAPE);
    ag_variable **norms = ag__scratch((size_t)n * sizeof *norms);
    if (!norms) return NULL;
    AG_SCOPE;
    AG_NO_GRAD;
    ag_variable *total = ag_keep(clip(a, norms));
    ag__scratch_free(norms);
    return total;
}
