/* function.h - functions with a gradient of one's own.
 *
 *     static bool forward(ag_context *ctx, ag_list inputs, Variable **outputs)
 *     {
 *         outputs[0] = ag_exp(inputs.at[0]);
 *         return ag_save_for_backward(ctx, AG_LIST(outputs[0]));
 *     }
 *     static bool backward(ag_context *ctx, Variable *const *grad_outputs, Variable **grad_inputs)
 *     {
 *         ag_list saved = ag_saved_tensors(ctx);
 *         grad_inputs[0] = saved.n ? ag_mul(grad_outputs[0], saved.at[0]) : NULL;
 *         return grad_inputs[0];
 *     }
 *     static const ag_function my_exp = { .name = "Exp", .forward = forward, .backward = backward };
 *
 *     Variable *y = ag_function_apply(&my_exp, AG_LIST(x));              y's grad_fn is ExpBackward
 *
 * forward computes in no_grad mode; that it was called is recorded as one node. backward is written in ops: they are
 * recorded for create_graph, so that it can be differentiated again. Source: torch.autograd.Function.
 */
#ifndef ARGENT_FUNCTION_H
#define ARGENT_FUNCTION_H
#include <argent/hook.h>

AG_BEGIN_DECLS

/* One call of a function: made by ag_function_apply, alive as long as its node. */
typedef struct ag_context ag_context;

typedef struct ag_function {
    const char *name;
    /* inputs: as they were handed over, AG_NONE among them. Sets every outputs[i]; false, with an error, if it can not.
     */
    bool (*forward)(ag_context *ctx, ag_list inputs, ag_variable **outputs);
    /* grad_outputs[i]: the gradient of output i; where none came zeros, or NULL (ag_set_materialize_grads). Sets
     * grad_inputs[i] to the gradient of input i, in its shape; NULL, which it is at first: none. */
    bool (*backward)(ag_context *ctx, ag_variable *const *grad_outputs, ag_variable **grad_inputs);
    int n_outputs;            /* 0: one */
    bool once_differentiable; /* backward is computed in no_grad mode; differentiating it is an error */
} ag_function;
#define AG_TYPE_Function const ag_function *

/* The function of these inputs; the function's record must outlive the graph. user: for ag_context_user, freed by
 * free_user with the call's context, on failure, too.
 * Returns output 0, or the list of all outputs; NULL or an empty list with an error: forward's; AG_EGRAPH for a leaf
 * marked dirty, AG_EINVAL for an output that is missing. */
#define AG_ARGS_function_apply(must, may) \
    must(Function, function) must(Tensors, inputs) may(User, user, NULL) may(FreeUser, free_user, NULL)
#define ag_function_apply(...) AG_CALL(function_apply, __VA_ARGS__)
AG_DECLARE(function_apply)
#define AG_ARGS_function_apply_list(must, may) AG_ARGS_function_apply(must, may)
#define ag_function_apply_list(...)            AG_CALL(function_apply_list, __VA_ARGS__)
AG_DECLARE_AS(function_apply_list, ag_list)

/* ---- in forward ---- */

/* Keeps these for backward: inputs, outputs or others, AG_NONE among them. Once a call. A change in place in between is
 * an error there. */
AG_API bool ag_save_for_backward(ag_context *ctx, ag_list variables);
/* These inputs have been changed in place; they must be outputs, too. Before they are changed. */
AG_API bool ag_mark_dirty(ag_context *ctx, ag_list inputs);
/* These outputs want no gradient. */
AG_API bool ag_mark_non_differentiable(ag_context *ctx, ag_list outputs);
/* false: an output's gradient that did not come is NULL in backward. At first it is zeros. */
AG_API void ag_set_materialize_grads(ag_context *ctx, bool on);

/* ---- in both ---- */

AG_API bool ag_needs_input_grad(const ag_context *ctx, int i); /* input i wants a gradient */
AG_API void *ag_context_user(const ag_context *ctx);

/* ---- in backward ---- */

/* What was kept, in order. An empty list with an error: it has been changed in place since, or freed by an earlier
 * backward. */
AG_API ag_list ag_saved_tensors(ag_context *ctx);

AG_END_DECLS
#endif
