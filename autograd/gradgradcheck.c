/* gradgradcheck.c - the second order: the function that maps (inputs, grad_outputs) to the gradients of the inputs is
 * gradchecked. */
#include "autograd/gradcheck_check.h"
#include "tensor/fail.h"
#include "tensor/random_fill.h"

#include <string.h>

typedef struct second_order {
    ag_gradcheck_function *function;
    void *user;
    int n_inputs;
    int gradient_of[AG_GRADCHECK_OUTPUTS]; /* the input whose gradient an output is */
} second_order;

/* x: the inputs, then a factor for each output that requires a gradient. */
static int gradients(ag_variable *const *x, int n, ag_variable **out, void *user)
{
    second_order *s = user;
    ag_variable *y[AG_GRADCHECK_OUTPUTS], *wanted[AG_GRADCHECK_INPUTS], *grads[AG_GRADCHECK_INPUTS],
        *differentiable[AG_GRADCHECK_OUTPUTS];
    int number_of[AG_GRADCHECK_INPUTS], n_wanted = 0, n_differentiable = 0, n_out = 0;
    int n_y = s->function(x, s->n_inputs, y, s->user);
    if (n_y < 0 || n_y > AG_GRADCHECK_OUTPUTS) return -1;
    for (int o = 0; o < n_y; o++) {
        if (!y[o] || y[o] == AG_NONE) return -1;
        if (ag__requires_grad(y[o])) differentiable[n_differentiable++] = y[o];
    }
    if (n_differentiable != n - s->n_inputs)
        return ag__fail(AG_EINVAL,
                        "gradgradcheck: %d grad_outputs for %d outputs that require a gradient, which must be as many, "
                        "and the same from call to call",
                        n - s->n_inputs, n_differentiable),
               -1;
    for (int i = 0; i < s->n_inputs; i++) {
        if (!ag__requires_grad(x[i])) continue;
        number_of[n_wanted] = i;
        wanted[n_wanted++] = x[i];
    }
    if (!n_wanted || !n_differentiable) return 0;
    if (!ag_autograd_grad(ag_list_from(n_differentiable, differentiable), ag_list_from(n_wanted, wanted), grads,
                          .grad_outputs = ag_list_from(n_differentiable, x + s->n_inputs), .create_graph = true,
                          .allow_unused = true))
        return -1;
    for (int i = 0; i < n_wanted; i++) {
        if (!grads[i]) continue;
        if (n_out == AG_GRADCHECK_OUTPUTS)
            return ag__fail(AG_EINVAL, "gradgradcheck: more than %d inputs that require a gradient",
                            AG_GRADCHECK_OUTPUTS),
                   -1;
        s->gradient_of[n_out] = number_of[i];
        out[n_out++] = grads[i];
    }
    return n_out;
}

/* A factor for each element of y, where y is, drawn on the host from [-1, 1). */
static ag_variable *draw_like(ag_generator *generator, const ag_variable *y, bool with_gaps)
{
    Thread *t = ag__thread();
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    int ndim = y->tensor.ndim;
    memcpy(size, y->tensor.size, sizeof size);
    ag_variable *g;
    if (with_gaps && ndim) { /* every other element of the last dimension of something twice as long */
        size[ndim - 1] *= 2;
        ag_variable *wide = ag__new(t, ndim, size, (ag_dtype)y->tensor.dtype, ag__device(y));
        if (!wide) return NULL;
        size[ndim - 1] /= 2;
        memcpy(stride, wide->tensor.stride, sizeof stride);
        stride[ndim - 1] = 2;
        g = ag__view_of(t, wide, ndim, size, stride, 0);
    } else {
        g = ag__new(t, ndim, size, (ag_dtype)y->tensor.dtype, ag__device(y));
    }
    ag_variable *drawn = ag__new(t, ndim, size, (ag_dtype)y->tensor.dtype, AG_CPU);
    bool ok = g && drawn && ag__random_uniform(generator, &drawn->tensor, -1, 1);
    return ok && ag__copy_tensor(&g->tensor, &drawn->tensor) ? ag_requires_grad_on(g) : NULL;
}

/* A factor for each output that wants a gradient, drawn; behind the n inputs in all[]. How many there are then, or -1.
 */
static int draw_factors(const ag_checker *c, int n, ag_variable **all, bool with_gaps)
{
    ag_variable *y[AG_GRADCHECK_OUTPUTS];
    int n_y = ag__gradcheck_outputs(c, y);
    if (n_y < 0) return -1;
    ag_generator *generator = ag_generator_new(); /* the default one stays as it is */
    bool ok = generator != NULL;
    for (int o = 0; o < n_y && ok; o++)
        if (ag__requires_grad(y[o])) ok = (all[n++] = draw_like(generator, y[o], with_gaps)) != NULL;
    ag_generator_free(generator);
    if (!ok) ag__gradcheck_cannot(c, "out of memory");
    return ok ? n : -1;
}

bool ag_gradgradcheck_call(const struct ag_gradgradcheck_args *a)
{
    second_order s = { .function = a->function, .user = a->user, .n_inputs = (int)a->inputs.n };
    ag_checker c = { .name = "gradgradcheck",
                     .function = a->function,
                     .user = a->user,
                     .inputs = a->inputs,
                     .eps = a->eps,
                     .atol = a->atol,
                     .rtol = a->rtol,
                     .nondet_tol = a->nondet_tol,
                     .check_undefined_grad = a->check_undefined_grad,
                     .fast_mode = a->fast_mode,
                     .result = a->result };
    ag_variable *all[AG_GRADCHECK_INPUTS];
    if (a->result) *a->result = (ag_gradcheck_result){ .input = -1, .output = -1 };
    if (!a->function) return ag__gradcheck_cannot(&c, "the function is NULL");
    if (ag_error()) return ag__gradcheck_cannot(&c, "an error stands");
    if (a->inputs.n > AG_GRADCHECK_INPUTS - AG_GRADCHECK_OUTPUTS || a->grad_outputs.n > AG_GRADCHECK_OUTPUTS)
        return ag__gradcheck_cannot(&c, "more than 32 inputs or grad_outputs");
    int n = s.n_inputs;
    for (int i = 0; i < n; i++) {
        if (!a->inputs.at[i] || a->inputs.at[i] == AG_NONE) return ag__gradcheck_cannot(&c, "an input is NULL");
        all[i] = a->inputs.at[i];
    }
    AG_SCOPE;
    AG_ENABLE_GRAD;
    for (int64_t k = 0; k < a->grad_outputs.n; k++) all[n++] = a->grad_outputs.at[k];
    if (!a->grad_outputs.n && (n = draw_factors(&c, n, all, a->gen_non_contig_grad_outputs)) < 0) return false;
    c.function = gradients;
    c.user = &s;
    c.inputs = ag_list_from(n, all);
    c.output_number = s.gradient_of;
    return ag__gradcheck(&c);
}
