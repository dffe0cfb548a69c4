/* functional.c - products with the matrices of first and second derivatives; see functional.h. Made from walks back
 * alone: what needs a walk forward (jvp, hvp) differentiates a walk back by the factors it was given, in which it is
 * linear, so that their values do not matter (zeros). */
#include "autograd/functional_call.h"
#include "tensor/allocator.h"
#include "tensor/fail.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/view.h>

#include <string.h>

/* ---- rows ---- */

bool ag__held_make(ag_held *row, int64_t n)
{
    const int64_t words = n ? n : 1;
    row->array = ag__new(ag__thread(), 1, &words, AG_INT64, AG_CPU);
    if (!row->array) return false;
    row->n = n;
    row->at = (ag_variable **)(void *)row->array->tensor.data;
    memset(row->at, 0, (size_t)words * sizeof *row->at);
    return true;
}

ag_list ag__held_keep(const ag_held *row)
{
    bool ok = !ag_error() && ag_keep(row->array);
    for (int64_t i = 0; i < row->n && ok; i++) ok = ag_keep(row->at[i]) != NULL;
    return ok ? ag_list_from(row->n, row->at) : ag_list_from(0, NULL);
}

/* ---- the function ---- */

/* A Variable for the function to compute with: x's numbers, from which a gradient comes back. Differentiable results
 * lead on to x itself. */
static ag_variable *given(ag_variable *x, bool create_graph, bool wants_grad)
{
    if (create_graph && ag__requires_grad(x)) return ag_view(x, ag_shape(x));
    ag_variable *alone = ag_detach(x);
    return wants_grad && alone ? ag_requires_grad_(alone) : alone;
}
static bool give_all(const ag_functional_call *c, const char *what, ag_list list, bool wants_grad, ag_held *row)
{
    if (!ag__held_make(row, list.n)) return false;
    for (int64_t i = 0; i < list.n; i++) {
        ag_variable *x = list.at[i];
        if (!x || x == AG_NONE)
            return ag__fail(AG_EINVAL,
                            "The %s given to %s must be either a Tensor or a tuple of Tensors but the value "
                            "at index %lld is %s.",
                            what, c->name, (long long)i, x ? "None" : "NULL");
        row->at[i] = given(x, c->create_graph, wants_grad);
        if (!row->at[i]) return false;
    }
    return true;
}

bool ag__functional_begin(ag_functional_call *c)
{
    if (!ag__may_change(ag__thread())) return false;
    if (!c->function) return ag__fail(AG_EINVAL, "%s: the function is NULL", c->name);
    if (c->inputs.n < 1) return ag__fail(AG_EINVAL, "%s: there are no inputs", c->name);
    return give_all(c, "inputs", c->inputs, true, &c->x);
}

bool ag__functional_run(ag_functional_call *c)
{
    ag_variable *y[AG_GRADCHECK_OUTPUTS] = { NULL };
    const int n = c->function(c->x.at, (int)c->x.n, y, c->user);
    if (ag_error()) return false;
    if (n < 1)
        return ag__fail(AG_EINVAL, "%s: the function %s", c->name, n ? "failed without an error" : "gave nothing");
    if (n > AG_GRADCHECK_OUTPUTS)
        return ag__fail(AG_EINVAL, "%s: the function has more outputs than AG_GRADCHECK_OUTPUTS", c->name);
    for (int k = 0; k < n; k++)
        if (!y[k] || y[k] == AG_NONE)
            return ag__fail(AG_EINVAL,
                            "The outputs of the user-provided function given to %s must be either a Tensor or a tuple "
                            "of Tensors but the value at index %d is %s.",
                            c->name, k, y[k] ? "None" : "NULL");
    if (!ag__held_make(&c->y, n)) return false;
    memcpy(c->y.at, y, (size_t)n * sizeof *y);
    return ag__functional_check(c, &c->y, AG_OUTPUTS);
}

/* ---- derivatives ---- */

bool ag__functional_grad(const ag_held *outputs, const ag_held *inputs, const ag_held *grad_outputs, bool retain_graph,
                         bool create_graph, ag_held *grads)
{
    ag_held y, g;
    if (!ag__held_make(grads, inputs->n) || !ag__held_make(&y, outputs->n) || !ag__held_make(&g, outputs->n))
        return false;
    y.n = 0;
    for (int64_t i = 0; i < outputs->n; i++) {
        if (!outputs->at[i] || !ag__requires_grad(outputs->at[i])) continue;
        g.at[y.n] = grad_outputs ? grad_outputs->at[i] : AG_NONE;
        y.at[y.n++] = outputs->at[i];
    }
    return !y.n || ag_autograd_grad(ag_list_from(y.n, y.at), ag_list_from(inputs->n, inputs->at), grads->at,
                                    .grad_outputs = ag_list_from(y.n, g.at), .retain_graph = retain_graph,
                                    .create_graph = create_graph, .allow_unused = true);
}

/* A sentence round the number of an input or output. */
typedef struct around {
    const char *before, *after;
} around;
static bool fail_at(const around *words, int64_t i)
{
    return ag__fail(AG_EGRAPH, "%s %lld%s", words->before, (long long)i, words->after);
}

bool ag__functional_check(const ag_functional_call *c, const ag_held *row, ag_checked what)
{
    static const around
        missing = { "The output of the user-provided function is independent of input",
                    ". This is not allowed in strict mode." },
        constant[] = {
            [AG_OUTPUTS] = { "Output",
                             " of the user-provided function does not require gradients. The outputs must be "
                             "computed in a differentiable manner from the input when running in strict mode." },
            [AG_GRAD_INPUTS] = { "The gradient with respect to input",
                                 " is independent of the inputs of the user-provided "
                                 "function. This is not allowed in strict mode." },
            [AG_JACOBIAN] = { "While computing the hessian, found that the jacobian of the user-provided function with "
                              "respect to input",
                              " is independent of the input. This is not allowed in strict mode. You "
                              "should ensure that your function is twice differentiable and that the jacobian depends "
                              "on "
                              "the inputs (this would be violated by a linear function for example)." },
        };
    for (int64_t i = 0; i < row->n && c->strict; i++) {
        if (!row->at[i]) return fail_at(&missing, i);
        if (!ag__requires_grad(row->at[i])) return fail_at(&constant[what], i);
    }
    return true;
}

bool ag__functional_check_single(const ag_functional_call *c)
{
    if (c->y.n != 1) return ag__fail(AG_EINVAL, "The function given to %s should return a single Tensor", c->name);
    if (c->y.at[0]->tensor.numel == 1) return true;
    return ag__fail(AG_EINVAL, "The Tensor returned by the function given to %s should contain a single element",
                    c->name);
}

bool ag__functional_detach(const ag_functional_call *c, ag_held *row)
{
    for (int64_t i = 0; i < row->n && !c->create_graph; i++)
        if (!(row->at[i] = ag_detach(row->at[i]))) return false;
    return true;
}

/* Which derivative a product is: its sentences in strict mode. */
typedef enum { BACK, BACK_TRICK, DOUBLE_BACK, DOUBLE_BACK_TRICK } stage;

/* Where there is no dependence the product is zero, like `like`; in strict mode an error. */
static bool fill_in_zeros(const ag_functional_call *c, ag_held *grads, const ag_held *like, stage at)
{
    static const around missing[] = {
        [BACK] = { "The output of the user-provided function is independent of input",
                   ". This is not allowed in strict mode." },
        [BACK_TRICK] = { "The gradient with respect to the input is independent of entry",
                         " in the grad_outputs when using the double backward trick to compute forward mode gradients. "
                         "This is not allowed in strict mode." },
        [DOUBLE_BACK] = { "The jacobian of the user-provided function is independent of input",
                          ". This is not allowed in strict mode." },
        [DOUBLE_BACK_TRICK] = { "The hessian of the user-provided function is independent of entry",
                                " in the grad_jacobian. This is not allowed in strict mode as it prevents from using "
                                "the double backward trick to replace forward mode AD." },
    }, constant[] = {
        { "The jacobian of the user-provided function is independent of input",
          ". This is not allowed in strict mode when create_graph=True." },
        { "The hessian of the user-provided function is independent of input",
          ". This is not allowed in strict mode when create_graph=True." },
    };
    for (int64_t i = 0; i < grads->n; i++) {
        if (!grads->at[i]) {
            if (c->strict) return fail_at(&missing[at], i);
            if (!(grads->at[i] = ag_zeros_like(like->at[i]))) return false;
        } else if (c->strict && c->create_graph && !ag__requires_grad(grads->at[i])) {
            return fail_at(&constant[at >= DOUBLE_BACK], i);
        }
    }
    return true;
}

/* ---- the factors of a product ---- */

/* v, as the product uses it: one for each of `of`, of its shape; NULL (in *row's place) where it was left out. */
static bool take_v(const ag_functional_call *c, ag_list v, const ag_held *of, ag_held *row)
{
    char is[AG_TEXT], wants[AG_TEXT], entry[48] = "";
    if (!give_all(c, "v", v, false, row)) return false;
    if (of->n != v.n && of->n == 1) return ag__fail(AG_EINVAL, "The given v should contain a single Tensor.");
    if (of->n != v.n)
        return ag__fail(AG_EINVAL, "v is a tuple of invalid length: should be %lld but got %lld.", (long long)of->n,
                        (long long)v.n);
    for (int64_t i = 0; i < v.n; i++) {
        const ag_tensor *a = &row->at[i]->tensor, *b = &of->at[i]->tensor;
        if (ag__same_sizes(a, b)) continue;
        if (v.n > 1) snprintf(entry, sizeof entry, "Entry %lld in ", (long long)i);
        return ag__fail(AG_EINVAL, "%sv has invalid size: should be torch.Size(%s) but got torch.Size(%s).", entry,
                        ag__shape_text(b->ndim, b->size, wants, sizeof wants),
                        ag__shape_text(a->ndim, a->size, is, sizeof is));
    }
    return true;
}
/* v as the inputs are; *none: it was left out, and there is one input of one element. */
static bool take_v_of_inputs(const ag_functional_call *c, ag_list v, ag_held *row, bool *none)
{
    *none = !v.n;
    if (v.n) return take_v(c, v, &c->x, row);
    if (c->x.n == 1 && c->x.at[0]->tensor.numel == 1) return true;
    return ag__fail(AG_EINVAL, "The vector v can only be None if the input to the user-provided function is a single "
                               "Tensor with a single element.");
}
/* Zeros in the shapes of `like` by which a linear function is differentiated; they want a gradient. */
static bool zeros_to_derive_by(const ag_held *like, ag_held *row)
{
    if (!ag__held_make(row, like->n)) return false;
    for (int64_t i = 0; i < like->n; i++)
        if (!(row->at[i] = ag_zeros_like(like->at[i], .requires_grad = true))) return false;
    return true;
}

/* ---- the calls ---- */

/* Out of the scope: the function's outputs and the product. */
static ag_functional results(ag_functional_call *c, ag_held *product, bool ok)
{
    ag_functional r = { .func_output = { 0, NULL } };
    if (!ok || !ag__functional_detach(c, &c->y) || !ag__functional_detach(c, product)) return r;
    r.func_output = ag__held_keep(&c->y);
    r.vjp = ag__held_keep(product);
    return ag_error() ? (ag_functional){ .func_output = { 0, NULL } } : r;
}
#define CALL(name_, a)                                                                        \
    {                                                                                         \
        .name = (name_), .function = (a)->function, .user = (a)->user, .inputs = (a)->inputs, \
        .create_graph = (a)->create_graph, .strict = (a)->strict,                             \
    }

static bool vjp(ag_functional_call *c, ag_list given_v, ag_held *product)
{
    ag_held v;
    if (!ag__functional_begin(c) || !ag__functional_run(c)) return false;
    if (given_v.n && !take_v(c, given_v, &c->y, &v)) return false;
    if (!given_v.n && (c->y.n != 1 || c->y.at[0]->tensor.numel != 1))
        return ag__fail(AG_EINVAL,
                        "The vector v can only be None if the user-provided function returns a single Tensor "
                        "with a single element.");
    return ag__functional_grad(&c->y, &c->x, given_v.n ? &v : NULL, c->create_graph, c->create_graph, product) &&
           fill_in_zeros(c, product, &c->x, BACK);
}

static bool jvp(ag_functional_call *c, ag_list given_v, ag_held *product)
{
    ag_held v, by, grads;
    bool no_v;
    return ag__functional_begin(c) && take_v_of_inputs(c, given_v, &v, &no_v) && ag__functional_run(c) &&
           zeros_to_derive_by(&c->y, &by) && ag__functional_grad(&c->y, &c->x, &by, true, true, &grads) &&
           ag__functional_check(c, &grads, AG_GRAD_INPUTS) &&
           ag__functional_grad(&grads, &by, no_v ? NULL : &v, c->create_graph, c->create_graph, product) &&
           fill_in_zeros(c, product, &c->y, BACK_TRICK);
}

/* The first derivatives of a function of one number, to be differentiated again. */
static bool first_derivatives(ag_functional_call *c, ag_list given_v, ag_held *v, bool *no_v, ag_held *jacobian)
{
    return ag__functional_begin(c) && take_v_of_inputs(c, given_v, v, no_v) && ag__functional_run(c) &&
           ag__functional_check_single(c) && ag__functional_grad(&c->y, &c->x, NULL, true, true, jacobian) &&
           ag__functional_check(c, jacobian, AG_JACOBIAN);
}
static bool vhp(ag_functional_call *c, ag_list given_v, ag_held *product)
{
    ag_held v, jacobian;
    bool no_v;
    return first_derivatives(c, given_v, &v, &no_v, &jacobian) &&
           ag__functional_grad(&jacobian, &c->x, no_v ? NULL : &v, c->create_graph, c->create_graph, product) &&
           fill_in_zeros(c, product, &c->x, DOUBLE_BACK);
}
static bool hvp(ag_functional_call *c, ag_list given_v, ag_held *product)
{
    ag_held v, jacobian, by, twice;
    bool no_v;
    return first_derivatives(c, given_v, &v, &no_v, &jacobian) && zeros_to_derive_by(&c->x, &by) &&
           ag__functional_grad(&jacobian, &c->x, &by, true, true, &twice) &&
           ag__functional_grad(&twice, &by, no_v ? NULL : &v, c->create_graph, c->create_graph, product) &&
           fill_in_zeros(c, product, &c->x, DOUBLE_BACK_TRICK);
}

/* clang-format off */
#define PRODUCT(name_)                                                                                               \
    ag_functional ag_autograd_functional_##name_##_call(const struct ag_autograd_functional_##name_##_args *a)       \
    {                                                                                                                \
        AG_SCOPE;                                                                                                    \
        AG_ENABLE_GRAD;                                                                                              \
        ag_functional_call c = CALL(#name_, a);                                                                      \
        ag_held product;                                                                                              \
        bool ok = name_(&c, a->v, &product);                                                                         \
        return results(&c, &product, ok);                                                                            \
    }
/* clang-format on */
PRODUCT(vjp)
PRODUCT(jvp)
PRODUCT(vhp)
PRODUCT(hvp)
