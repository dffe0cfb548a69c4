/* random.c - see random.h. The numbers come from tensor/random_fill.h; here they get a Variable, a name and
 * a gradient of zero. */
#include "autograd/op.h"
#include "ops/check.h"
#include "tensor/random_fill.h"

#include <argent/random.h>

#include <inttypes.h>

/* ---- factories: an empty Variable, filled before anybody sees it ---- */

#define EMPTY(a)                                                                                         \
    ag_empty((a)->size, .dtype = (a)->dtype, .device = (a)->device, .requires_grad = (a)->requires_grad, \
             .memory_format = (a)->memory_format)
#define EMPTY_LIKE(a)                                                                                          \
    ag_empty_like((a)->input, .dtype = (a)->dtype, .device = (a)->device, .requires_grad = (a)->requires_grad, \
                  .memory_format = (a)->memory_format)

static bool rand_compose(const void *args, ag_variable **out)
{
    const struct ag_rand_args *a = args;
    return (out[0] = EMPTY(a)) && ag__random_uniform(a->generator, &out[0]->tensor, 0, 1);
}
AG_OP(rand, .compose = rand_compose)

static bool rand_like_compose(const void *args, ag_variable **out)
{
    const struct ag_rand_like_args *a = args;
    return (out[0] = EMPTY_LIKE(a)) && ag__random_uniform(a->generator, &out[0]->tensor, 0, 1);
}
AG_OP(rand_like, .compose = rand_like_compose)

static bool randn_compose(const void *args, ag_variable **out)
{
    const struct ag_randn_args *a = args;
    return (out[0] = EMPTY(a)) && ag__random_normal(a->generator, &out[0]->tensor, 0, 1);
}
AG_OP(randn, .compose = randn_compose)

static bool randn_like_compose(const void *args, ag_variable **out)
{
    const struct ag_randn_like_args *a = args;
    return (out[0] = EMPTY_LIKE(a)) && ag__random_normal(a->generator, &out[0]->tensor, 0, 1);
}
AG_OP(randn_like, .compose = randn_like_compose)

static bool randint_compose(const void *args, ag_variable **out)
{
    const struct ag_randint_args *a = args;
    ag_dtype dtype = a->dtype == AG_DTYPE_DEFAULT ? AG_INT64 : a->dtype;
    out[0] = ag_empty(a->size, .dtype = dtype, .device = a->device, .requires_grad = a->requires_grad);
    return out[0] && ag__random_integers(a->generator, &out[0]->tensor, a->low, a->high);
}
AG_OP(randint, .compose = randint_compose)

static bool randperm_compose(const void *args, ag_variable **out)
{
    const struct ag_randperm_args *a = args;
    ag_dtype dtype = a->dtype == AG_DTYPE_DEFAULT ? AG_INT64 : a->dtype;
    if (!ag__randperm_check(a->n, dtype)) return false;
    out[0] = ag_empty(AG_SHAPE(a->n), .dtype = dtype, .device = a->device, .requires_grad = a->requires_grad);
    return out[0] && ag__random_randperm(a->generator, &out[0]->tensor);
}
AG_OP(randperm, .compose = randperm_compose)

/* ---- what the numbers replace has gradient zero ---- */

static void zero_gradient(ag_gradients *b) { b->grad[0] = ag_zeros_like(b->g[0]); }

static bool bernoulli_shape(ag_run *r)
{
    const ag_tensor *p = &r->in[0]->tensor;
    if (!ag__is_floating((ag_dtype)p->dtype))
        return ag__fail_call(r->op, r->args, "expected probabilities tensor to have floating type, got %s",
                             ag__scalar_type((ag_dtype)p->dtype));
    return ag__output(r, 0, p->ndim, p->size, (ag_dtype)p->dtype) != NULL;
}
static bool bernoulli_anywhere(ag_run *r)
{
    const struct ag_bernoulli_args *a = r->args;
    return ag__random_bernoulli_tensor(a->generator, &r->out[0]->tensor, &r->in[0]->tensor);
}
AG_OP(bernoulli, .node = "BernoulliBackward0", .shape = bernoulli_shape,
      .kernel = { bernoulli_anywhere, bernoulli_anywhere }, .backward = zero_gradient)

/* ---- in place: the fill itself refuses what it cannot do, before it draws ---- */

static bool nothing_to_make(ag_run *r) { return r->out[0] != NULL; }

static bool uniform__anywhere(ag_run *r)
{
    const struct ag_uniform__args *a = r->args;
    return ag__random_uniform(a->generator, &r->out[0]->tensor, a->from, a->to);
}
AG_OP(uniform_, .node = "UniformBackward0", .inplace_only = true, .shape = nothing_to_make,
      .kernel = { uniform__anywhere, uniform__anywhere }, .backward = zero_gradient)

static bool normal__anywhere(ag_run *r)
{
    const struct ag_normal__args *a = r->args;
    return ag__random_normal(a->generator, &r->out[0]->tensor, a->mean, a->std);
}
AG_OP(normal_, .node = "NormalBackward0", .inplace_only = true, .shape = nothing_to_make,
      .kernel = { normal__anywhere, normal__anywhere }, .backward = zero_gradient)

static bool bernoulli__anywhere(ag_run *r)
{
    const struct ag_bernoulli__args *a = r->args;
    return ag__random_bernoulli(a->generator, &r->out[0]->tensor, a->p);
}
AG_OP(bernoulli_, .node = "BernoulliBackward2", .inplace_only = true, .shape = nothing_to_make,
      .kernel = { bernoulli__anywhere, bernoulli__anywhere }, .backward = zero_gradient)

static bool random__anywhere(ag_run *r)
{
    const struct ag_random__args *a = r->args;
    return ag__random_integers(a->generator, &r->out[0]->tensor, a->from, a->to);
}
AG_OP(random_, .node = "RandomBackward0", .inplace_only = true, .shape = nothing_to_make,
      .kernel = { random__anywhere, random__anywhere }, .backward = zero_gradient)

static bool exponential__anywhere(ag_run *r)
{
    const struct ag_exponential__args *a = r->args;
    return ag__random_exponential(a->generator, &r->out[0]->tensor, a->lambd);
}
AG_OP(exponential_, .node = "ExponentialBackward0", .inplace_only = true, .shape = nothing_to_make,
      .kernel = { exponential__anywhere, exponential__anywhere }, .backward = zero_gradient)
