/* checkpoint.h - memory for time: a part of a graph that keeps nothing and is computed again for backward.
 *
 *     static int block(Variable *const *x, int n, Variable **y, void *net)
 *     { return y[0] = ag_forward((Module *)net, x[0]), 1; }
 *
 *     Variable *y = ag_checkpoint(block, AG_LIST(x), .user = net);
 */
#ifndef ARGENT_CHECKPOINT_H
#define ARGENT_CHECKPOINT_H
#include <argent/gradcheck.h>
#include <argent/hook.h>

AG_BEGIN_DECLS

/* function(inputs), of the kind that ag_gradcheck takes: what it would save for backward is dropped, and the function
 * is run again when backward first needs something of it. It must compute the same both times: that it saves as many
 * Variables of the same shapes and types is checked.
 *
 * user: for the function, until the graph dies; then free_user is called with it.
 * use_reentrant: PyTorch's older way: one node, which computes again and walks back in its own backward; not for
 * ag_autograd_grad nor backward(inputs=), and the inputs' graph is not differentiated twice.
 * preserve_rng_state: the second run draws from the default generator what the first did, and the generator is left as
 * it is.
 * determinism_check: whether shapes and types are compared.
 * Returns output 0, or the list of all outputs; NULL or an empty list with an error. Source:
 * torch.utils.checkpoint.checkpoint. */
#define AG_ARGS_checkpoint(must, may)                                                                            \
    must(GradcheckFunction, function) must(Tensors, inputs) may(User, user, NULL) may(FreeUser, free_user, NULL) \
        may(Bool, use_reentrant, false) may(Bool, preserve_rng_state, true) may(Bool, determinism_check, true)
#define ag_checkpoint(...) AG_CALL(checkpoint, __VA_ARGS__)
AG_DECLARE(checkpoint)
#define AG_ARGS_checkpoint_list(must, may) AG_ARGS_checkpoint(must, may)
#define ag_checkpoint_list(...)            AG_CALL(checkpoint_list, __VA_ARGS__)
AG_DECLARE_AS(checkpoint_list, ag_list)

AG_END_DECLS
#endif
