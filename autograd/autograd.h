/* autograd.h - gradients: backward, grad, and whether ops are recorded. */
#ifndef ARGENT_AUTOGRAD_H
#define ARGENT_AUTOGRAD_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* Stands for inputs that were left out: all leaves. */
#define AG_ALL_LEAVES (&ag_all_leaves_)
extern AG_API struct ag_variable *const ag_all_leaves_;

/* Adds d root / d leaf into the .grad of every leaf that root was made from.
 *
 *     ag_backward(loss);
 *     ag_backward(y, .gradient = g, .retain_graph = true);
 *
 * gradient: a factor for each element of root, in its shape; left out: root must have one element, the factor is 1.
 * retain_graph: keep what the graph has saved, so that it can be walked again; default: as create_graph.
 * create_graph: record the walk itself, so that the gradients can be differentiated.
 * inputs: only these Variables' .grad is added to; those that are no leaves keep their gradient from then on
 * (ag_retain_grad). An empty list is an error.
 * Errors: AG_EGRAPH (root wants no gradient; the graph was freed, or a saved Variable changed in place), AG_EINVAL,
 * AG_ENOMEM. */
#define AG_ARGS_backward(must, may)                                                                             \
    must(Tensor, root) may(Tensor, gradient, AG_NONE) may(Int, retain_graph, -1) may(Bool, create_graph, false) \
        may(Tensors, inputs, { 0, AG_ALL_LEAVES })
#define ag_backward(...) AG_CALL(backward, __VA_ARGS__)
AG_DECLARE_AS(backward, bool)

/* The same of several roots at once: of the sum of tensors[i] * grad_tensors[i].
 *
 *     ag_autograd_backward(AG_LIST(loss, penalty));
 *
 * grad_tensors: a factor for each element of a root, one Variable a root; AG_NONE in it, or the whole list left out:
 * the root has one element, the factor is 1. inputs: as for ag_backward. */
#define AG_ARGS_autograd_backward(must, may)                                                  \
    must(Tensors, tensors) may(Tensors, grad_tensors, { 0, NULL }) may(Int, retain_graph, -1) \
        may(Bool, create_graph, false) may(Tensors, inputs, { 0, AG_ALL_LEAVES })
#define ag_autograd_backward(...) AG_CALL(autograd_backward, __VA_ARGS__)
AG_DECLARE_AS(autograd_backward, bool)

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

/* ---- inference mode: of the calling thread ---- */

/* For the rest of the enclosing block nothing is recorded, and what is made has no version: cheaper still than
 * AG_NO_GRAD, but it cannot be saved for backward, nor changed in place outside. Source: torch.inference_mode. */
#define AG_INFERENCE_MODE AG_INFERENCE_MODE_(true)
#define AG_INFERENCE_MODE_(on)                                                     \
    __attribute__((cleanup(ag_inference_mode_end), unused)) ag_inference AG_PASTE( \
        ag_inference_, __COUNTER__) = ag_inference_mode_begin(on)
typedef struct ag_inference {
    bool was_off, was_inference;
} ag_inference;
AG_API bool ag_is_inference_mode_enabled(void);
AG_API ag_inference ag_inference_mode_begin(bool on); /* false: normal mode again, with grad mode on */
AG_API void ag_inference_mode_end(ag_inference *before);

/* ---- anomaly mode: of the process ---- */

/* While it is on, an error in a backward says which op's backward it was, and where that op was called: its C file and
 * line (by libdw; without it the function). check_nan: a NaN among the gradients that an op gives is an error, too, and
 * the sentence says where the first one stands. Source: torch.autograd.set_detect_anomaly. */
#define AG_ARGS_set_detect_anomaly(must, may) must(Bool, mode) may(Bool, check_nan, true)
#define ag_set_detect_anomaly(...)            AG_CALL(set_detect_anomaly, __VA_ARGS__)
AG_DECLARE_AS(set_detect_anomaly, void)
AG_API bool ag_is_anomaly_enabled(void);
AG_API bool ag_is_anomaly_check_nan_enabled(void);
/* For the rest of the enclosing block. */
#define AG_DETECT_ANOMALY                                                        \
    __attribute__((cleanup(ag_detect_anomaly_end), unused)) ag_anomaly AG_PASTE( \
        ag_anomaly_, __COUNTER__) = ag_detect_anomaly_begin()
typedef struct ag_anomaly {
    bool mode, check_nan;
} ag_anomaly;
AG_API ag_anomaly ag_detect_anomaly_begin(void);
AG_API void ag_detect_anomaly_end(ag_anomaly *before);

AG_END_DECLS
#endif
