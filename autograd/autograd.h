/* autograd.h - gradients: backward, grad, and whether ops are recorded. */
#ifndef ARGENT_AUTOGRAD_H
#define ARGENT_AUTOGRAD_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* Adds d root / d leaf into the .grad of every leaf that root was made from.
 *
 *     ag_backward(loss);
 *     ag_backward(y, .gradient = g, .retain_graph = true);
 *
 * gradient: a factor for each element of root, in its shape; left out: root must have one element, the factor is 1.
 * retain_graph: keep what the graph has saved, so that it can be walked again; default: as create_graph.
 * create_graph: record the walk itself, so that the gradients can be differentiated.
 * Errors: AG_EGRAPH (root wants no gradient; the graph was freed, or a saved Variable changed in place), AG_EINVAL,
 * AG_ENOMEM. */
#define AG_ARGS_backward(must, may) \
    must(Tensor, root) may(Tensor, gradient, AG_NONE) may(Int, retain_graph, -1) may(Bool, create_graph, false)
#define ag_backward(...) AG_CALL(backward, __VA_ARGS__)
AG_DECLARE_AS(backward, bool)

/* clang-format off */
/* The sums over outputs of d output / d inputs[i], into grads[i] (as many as inputs; they belong to the scope); .grad
 * stays as it is.
 *
 *     Variable *g[2];
 *     ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .create_graph = true);
 *
 * grad_outputs: a factor for each element of an output, one Variable an output; AG_NONE in it, or the whole list left
 * out: the outputs have one element, the factor is 1.
 * retain_graph, create_graph: as for ag_backward.
 * allow_unused: an input that no output depends on gives NULL instead of an error; default: as materialize_grads.
 * is_grads_batched: the first dimension of each grad_outputs counts calls: as many results as there are factors,
 * stacked along a new first dimension.
 * materialize_grads: an unused input's gradient is zeros.
 * Errors: as ag_backward's; AG_EGRAPH (an input that wants no gradient, or is not used). All of grads is NULL then. */
#define AG_ARGS_autograd_grad(must, may)    \
    must(Tensors, outputs)                  \
    must(Tensors, inputs)                   \
    must(Variables, grads)                  \
    may(Tensors, grad_outputs, { 0, NULL }) \
    may(Int, retain_graph, -1)              \
    may(Bool, create_graph, false)          \
    may(Int, allow_unused, -1)              \
    may(Bool, is_grads_batched, false)      \
    may(Bool, materialize_grads, false)
/* clang-format on */
#define AG_TYPE_Variables     ag_variable **
#define ag_autograd_grad(...) AG_CALL(autograd_grad, __VA_ARGS__)
AG_DECLARE_AS(autograd_grad, bool)

/* ---- grad mode: of the calling thread ---- */
typedef struct ag_mode {
    bool was_off;
} ag_mode;
AG_API bool ag_is_grad_enabled(void);
AG_API void ag_set_grad_enabled(bool on);
AG_API ag_mode ag_grad_mode_begin(bool on);
AG_API void ag_grad_mode_end(ag_mode *mode);
/* For the rest of the enclosing block, ops are not recorded (or are again). `with torch.no_grad():` */
#define AG_NO_GRAD     AG_GRAD_MODE_(false)
#define AG_ENABLE_GRAD AG_GRAD_MODE_(true)
#define AG_GRAD_MODE_(on) \
    __attribute__((cleanup(ag_grad_mode_end), unused)) ag_mode AG_PASTE(ag_mode_, __COUNTER__) = ag_grad_mode_begin(on)

AG_END_DECLS
#endif
