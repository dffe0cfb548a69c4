/* hook.h - functions that are called as gradients are computed.
 *
 *     ag_register_hook(x, scale, .user = &factor);         a Variable's gradient: seen, or replaced
 *     ag_register_post_accumulate_grad_hook(w, step, ...); a leaf's .grad has been added to
 *     ag_node_register_prehook(ag_grad_fn(y), ...);        the gradients that come into a node
 *     ag_node_register_hook(ag_grad_fn(y), ...);           and those that it gives
 *     ag_register_multi_grad_hook(AG_LIST(x, y), ...);     several gradients, once all of them are there
 *
 * Each is called once for each walk that reaches it, in the thread that walks, in grad mode only for create_graph; in
 * the order: a Variable's hooks as they were registered, retain_grad, node pre-hooks, backward, node hooks. A hook that
 * fails leaves an error, and the walk ends with it. Hooks may call anything, backward included. They go with the
 * Variable's history: one that is registered before the Variable changes in place sees the gradient of the value
 * before.
 *
 * .user is handed to the function; .free_user, where given, is called with it when the hook goes: when it is removed,
 * or when what it was registered on dies.
 */
#ifndef ARGENT_HOOK_H
#define ARGENT_HOOK_H
#include <argent/variable.h>

AG_BEGIN_DECLS

typedef uint64_t ag_hook; /* a handle; 0: registering failed, with an error */

/* Takes the hook away; false without an error if it is gone already. */
AG_API bool ag_hook_remove(ag_hook hook);

typedef void ag_free_user(void *user);
#define AG_TYPE_FreeUser ag_free_user *

/* grad: the gradient. Returns another one, of its shape, or NULL to leave it as it is. It must not change grad itself:
 * others may have the same one. */
typedef ag_variable *ag_grad_hook(ag_variable *grad, void *user);
#define AG_TYPE_GradHook ag_grad_hook *
#define AG_ARGS_register_hook(must, may) \
    must(Tensor, input) must(GradHook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL)
#define ag_register_hook(...) AG_CALL(register_hook, __VA_ARGS__)
AG_DECLARE_AS(register_hook, ag_hook)

/* leaf: a leaf whose .grad a walk has added to: once a walk, after all of its contributions. May change leaf and
 * leaf.grad. */
typedef bool ag_leaf_hook(ag_variable *leaf, void *user);
#define AG_TYPE_LeafHook ag_leaf_hook *
#define AG_ARGS_register_post_accumulate_grad_hook(must, may) \
    must(Tensor, input) must(LeafHook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL)
#define ag_register_post_accumulate_grad_hook(...) AG_CALL(register_post_accumulate_grad_hook, __VA_ARGS__)
AG_DECLARE_AS(register_post_accumulate_grad_hook, ag_hook)

/* grad_outputs: the gradients of a node's n outputs; NULL where none came. The hook may put others in their place. */
typedef bool ag_node_prehook(int n, ag_variable **grad_outputs, void *user);
#define AG_TYPE_Node        ag_node *
#define AG_TYPE_NodePrehook ag_node_prehook *
#define AG_ARGS_node_register_prehook(must, may) \
    must(Node, node) must(NodePrehook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL)
#define ag_node_register_prehook(...) AG_CALL(node_register_prehook, __VA_ARGS__)
AG_DECLARE_AS(node_register_prehook, ag_hook)

/* grad_inputs: what the node gives for its n_inputs inputs, NULL where nothing; the hook may put others in their place.
 * grad_outputs: what it was given. */
typedef bool ag_node_hook(int n_inputs, ag_variable **grad_inputs, int n_outputs, ag_variable *const *grad_outputs,
                          void *user);
#define AG_TYPE_NodeHook ag_node_hook *
#define AG_ARGS_node_register_hook(must, may) \
    must(Node, node) must(NodeHook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL)
#define ag_node_register_hook(...) AG_CALL(node_register_hook, __VA_ARGS__)
AG_DECLARE_AS(node_register_hook, ag_hook)

/* grads: the gradients of the n Variables it was registered for; NULL for one that the walk does not reach. Called once
 * a walk, when all that will come have come; with .any once the first has. The gradients cannot be replaced. */
typedef bool ag_multi_grad_hook(int n, ag_variable *const *grads, void *user);
#define AG_TYPE_MultiGradHook ag_multi_grad_hook *
#define AG_ARGS_register_multi_grad_hook(must, may)                                                       \
    must(Tensors, tensors) must(MultiGradHook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL) \
        may(Bool, any, false)
#define ag_register_multi_grad_hook(...) AG_CALL(register_multi_grad_hook, __VA_ARGS__)
AG_DECLARE_AS(register_multi_grad_hook, ag_hook)

AG_END_DECLS
#endif
