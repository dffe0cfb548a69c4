/* functional_jacobian.c - the matrices themselves: a walk back for each element of the outputs; second derivatives are
 * the matrix of the first ones' function. */
#include "autograd/functional_call.h"
#include "tensor/fail.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/join.h>
#include <argent/view.h>

#include <string.h>

/* The gradients of element k of output o (flat: its elements in a row) by each input: row k of rows. */
static bool one_row(const ag_functional_call *c, int64_t o, ag_variable *flat, int64_t k, ag_held *rows)
{
    AG_SCOPE;
    ag_held grads, element = { .n = 1, .at = &(ag_variable *){ ag_select(flat, 0, k) } };
    if (!element.at[0] || !ag__functional_grad(&element, &c->x, NULL, true, c->create_graph, &grads)) return false;
    for (int64_t i = 0; i < grads.n; i++) {
        ag_variable *g = grads.at[i];
        if (!g && c->strict)
            return ag__fail(AG_EGRAPH,
                            "Output %lld of the user-provided function is independent of input %lld. This is not "
                            "allowed in strict mode.",
                            (long long)o, (long long)i);
        if (g && c->strict && c->create_graph && !ag__requires_grad(g))
            return ag__fail(AG_EGRAPH,
                            "The jacobian of the user-provided function is independent of input %lld. This is not "
                            "allowed in strict mode when create_graph=True.",
                            (long long)o); /* the output's number, as in PyTorch */
        if (!g) g = ag_zeros_like(c->x.at[i]);
        if (!g || !ag_keep(g)) return false;
        rows->at[i * flat->tensor.numel + k] = g;
    }
    return true;
}

/* d output o / d input i, from its rows. */
static ag_variable *stacked(const ag_functional_call *c, int64_t o, int64_t i, const ag_held *rows)
{
    const ag_tensor *y = &c->y.at[o]->tensor, *x = &c->x.at[i]->tensor;
    int64_t size[2 * AG_MAX_DIMS];
    memcpy(size, y->size, y->ndim * sizeof *size);
    memcpy(size + y->ndim, x->size, x->ndim * sizeof *size);
    ag_variable *all = ag_stack(ag_list_from(y->numel, rows->at + i * y->numel), 0);
    return all ? ag_view(all, ag_sizes_of(y->ndim + x->ndim, size)) : NULL;
}

static bool jacobian_of_output(const ag_functional_call *c, int64_t o, ag_held *jacobian)
{
    AG_SCOPE;
    ag_held rows;
    const int64_t numel = c->y.at[o]->tensor.numel;
    ag_variable *flat = ag_reshape(c->y.at[o], AG_SHAPE(-1));
    if (!flat || !ag__held_make(&rows, numel * c->x.n)) return false;
    for (int64_t k = 0; k < numel; k++)
        if (!one_row(c, o, flat, k, &rows)) return false;
    for (int64_t i = 0; i < c->x.n; i++) {
        ag_variable *part = stacked(c, o, i, &rows);
        if (!part || !ag_keep(part)) return false;
        jacobian->at[o * c->x.n + i] = part;
    }
    return true;
}

/* c has been run. */
static bool jacobian_of(const ag_functional_call *c, ag_held *jacobian)
{
    if (!ag__held_make(jacobian, c->y.n * c->x.n)) return false;
    for (int64_t o = 0; o < c->y.n; o++)
        if (!jacobian_of_output(c, o, jacobian)) return false;
    return ag__functional_detach(c, jacobian);
}

ag_list ag_autograd_functional_jacobian_call(const struct ag_autograd_functional_jacobian_args *a)
{
    AG_SCOPE;
    AG_ENABLE_GRAD;
    ag_held jacobian;
    ag_functional_call c = { "jacobian", a->function, a->user, a->inputs, a->create_graph, a->strict, { 0 }, { 0 } };
    bool ok = ag__functional_begin(&c) && ag__functional_run(&c) && jacobian_of(&c, &jacobian);
    return ok ? ag__held_keep(&jacobian) : ag_list_from(0, NULL);
}

/* ---- second derivatives ---- */

/* The first ones, as the outputs of a function of c->x. */
static bool run_first(ag_functional_call *c)
{
    ag_functional_call first = *c;
    first.name = "hessian";
    first.inputs = ag_list_from(c->x.n, c->x.at);
    first.create_graph = true;
    if (!ag__functional_begin(&first) || !ag__functional_run(&first) || !ag__functional_check_single(&first))
        return false;
    first.y.at[0] = ag_reshape(first.y.at[0], AG_SCALAR_SHAPE);
    first.strict = false; /* PyTorch checks the whole instead */
    if (!first.y.at[0] || !jacobian_of(&first, &c->y)) return false;
    return ag__functional_check(c, &c->y, AG_JACOBIAN) && ag__functional_check(c, &c->y, AG_OUTPUTS);
}

ag_list ag_autograd_functional_hessian_call(const struct ag_autograd_functional_hessian_args *a)
{
    AG_SCOPE;
    AG_ENABLE_GRAD;
    ag_held hessian;
    ag_functional_call c = { "hessian", a->function, a->user, a->inputs, a->create_graph, a->strict, { 0 }, { 0 } };
    bool ok = ag__functional_begin(&c) && run_first(&c) && jacobian_of(&c, &hessian);
    return ok ? ag__held_keep(&hessian) : ag_list_from(0, NULL);
}
