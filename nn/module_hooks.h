/* module_hooks.h - functions that a Module calls round its forward, and as gradients go back through it.
 *
 *     static Variable *show(Module *m, Variable *x, Variable *y, void *user)
 *     {
 *         printf("%s: %" PRId64 " numbers\n", m->type, ag_numel(y));
 *         return NULL;
 *     }
 *     ag_hook hook = ag_module_register_forward_hook(net->conv1, show);
 *     ...
 *     ag_hook_remove(hook);
 *
 * They run for ag_forward and for ag_criterion (of whose two inputs they see the first). What a hook returns takes the
 * place of what it saw, and the next hook sees that; NULL leaves it as it is. A hook that fails leaves an error, and
 * the call fails with it. Hooks run in the order of their registration, .prepend ones before all that are there; those
 * for every module (ag_nn_register_module_...) before the module's own.
 *
 * .user is handed to the function; .free_user, where given, is called with it when the hook goes: when it is removed,
 * or when the module dies (and what it has computed with it, for a backward hook).
 */
#ifndef ARGENT_MODULE_HOOKS_H
#define ARGENT_MODULE_HOOKS_H
#include <argent/hook.h>
#include <argent/module.h>

AG_BEGIN_DECLS

/* ---- before forward: sees the input ---- */
typedef ag_variable *ag_forward_pre_hook(ag_module *module, ag_variable *input, void *user);
#define AG_TYPE_ForwardPreHook ag_forward_pre_hook *
#define AG_ARGS_module_register_forward_pre_hook(must, may)                                              \
    must(Module, module) must(ForwardPreHook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL) \
        may(Bool, prepend, false)
#define ag_module_register_forward_pre_hook(m, ...) AG_CALL(module_register_forward_pre_hook, AG_MODULE(m), __VA_ARGS__)
AG_DECLARE_AS(module_register_forward_pre_hook, ag_hook)

/* ---- after forward: sees the input that forward had, and the output ----
 * always_call: also where forward or another hook failed; output is then what there was, NULL where there was nothing,
 * and what the hook returns is not looked at. */
typedef ag_variable *ag_forward_hook(ag_module *module, ag_variable *input, ag_variable *output, void *user);
#define AG_TYPE_ForwardHook ag_forward_hook *
#define AG_ARGS_module_register_forward_hook(must, may)                                               \
    must(Module, module) must(ForwardHook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL) \
        may(Bool, prepend, false) may(Bool, always_call, false)
#define ag_module_register_forward_hook(m, ...) AG_CALL(module_register_forward_hook, AG_MODULE(m), __VA_ARGS__)
AG_DECLARE_AS(module_register_forward_hook, ag_hook)

/* ---- before the gradient of the output goes back through the module ---- */
typedef ag_variable *ag_backward_pre_hook(ag_module *module, ag_variable *grad_output, void *user);
#define AG_TYPE_BackwardPreHook ag_backward_pre_hook *
#define AG_ARGS_module_register_full_backward_pre_hook(must, may)                                         \
    must(Module, module) must(BackwardPreHook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL) \
        may(Bool, prepend, false)
#define ag_module_register_full_backward_pre_hook(m, ...) \
    AG_CALL(module_register_full_backward_pre_hook, AG_MODULE(m), __VA_ARGS__)
AG_DECLARE_AS(module_register_full_backward_pre_hook, ag_hook)

/* ---- once the gradient of the input is there: sees both, may replace that of the input ----
 * Where the input wants no gradient, it is called when the output's gradient comes, grad_input is NULL, and it must
 * return NULL. Each is called once for each walk that goes back through the module; those that were registered when
 * forward ran. A module with backward hooks hands its input and output on as views (BackwardHookFunctionBackward),
 * which cannot be changed in place. */
typedef ag_variable *ag_backward_hook(ag_module *module, ag_variable *grad_input, ag_variable *grad_output, void *user);
#define AG_TYPE_BackwardHook ag_backward_hook *
#define AG_ARGS_module_register_full_backward_hook(must, may)                                          \
    must(Module, module) must(BackwardHook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL) \
        may(Bool, prepend, false)
#define ag_module_register_full_backward_hook(m, ...) \
    AG_CALL(module_register_full_backward_hook, AG_MODULE(m), __VA_ARGS__)
AG_DECLARE_AS(module_register_full_backward_hook, ag_hook)

/* ---- for every module of the process ---- */
#define AG_ARGS_nn_register_module_forward_pre_hook(must, may) \
    must(ForwardPreHook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL)
#define AG_ARGS_nn_register_module_forward_hook(must, may) \
    must(ForwardHook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL) may(Bool, always_call, false)
#define AG_ARGS_nn_register_module_full_backward_pre_hook(must, may) \
    must(BackwardPreHook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL)
#define AG_ARGS_nn_register_module_full_backward_hook(must, may) \
    must(BackwardHook, hook) may(User, user, NULL) may(FreeUser, free_user, NULL)
#define ag_nn_register_module_forward_pre_hook(...) AG_CALL(nn_register_module_forward_pre_hook, __VA_ARGS__)
#define ag_nn_register_module_forward_hook(...)     AG_CALL(nn_register_module_forward_hook, __VA_ARGS__)
#define ag_nn_register_module_full_backward_pre_hook(...) \
    AG_CALL(nn_register_module_full_backward_pre_hook, __VA_ARGS__)
#define ag_nn_register_module_full_backward_hook(...) AG_CALL(nn_register_module_full_backward_hook, __VA_ARGS__)
AG_DECLARE_AS(nn_register_module_forward_pre_hook, ag_hook)
AG_DECLARE_AS(nn_register_module_forward_hook, ag_hook)
AG_DECLARE_AS(nn_register_module_full_backward_pre_hook, ag_hook)
AG_DECLARE_AS(nn_register_module_full_backward_hook, ag_hook)

AG_END_DECLS
#endif
