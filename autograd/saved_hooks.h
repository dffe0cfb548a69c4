/* saved_hooks.h - what a graph saves for backward, kept in another form: on disk, compressed, recomputed.
 *
 *     {
 *         AG_SAVED_TENSORS_HOOKS(pack, unpack, .user = &store);
 *         y = ag_mul(ag_exp(x), x);          each Variable that is saved here goes through pack
 *     }
 *     ag_backward(ag_sum(y));                and through unpack when backward needs it
 *
 * The innermost pair counts, in the calling thread, until its block ends. What is packed has no version: a change in
 * place is not noticed. Source: torch.autograd.graph.saved_tensors_hooks.
 */
#ifndef ARGENT_SAVED_HOOKS_H
#define ARGENT_SAVED_HOOKS_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* x: what is saved, without its history. Returns anything but NULL, which unpack will get; NULL with an error. It must
 * not change x; to keep it, ag_retain it. */
typedef void *ag_pack_hook(ag_variable *x, void *user);
/* Gives the Variable back that was packed: its numbers in its shape and type. May be called several times
 * (retain_graph), or never. */
typedef ag_variable *ag_unpack_hook(void *packed, void *user);
/* What was packed is not needed any more. */
typedef void ag_packed_free(void *packed, void *user);

typedef struct ag_saved_hooks {
    ag_pack_hook *pack;
    ag_unpack_hook *unpack;
    void *user;
    ag_packed_free *free_packed;
    const char *forbidden; /* why there must be none here: ag_saved_hooks_forbid_begin's */
    struct ag_saved_hooks *outer;
} ag_saved_hooks;

/* From here to the end of the enclosing block; further fields of ag_saved_hooks by name. */
#define AG_SAVED_TENSORS_HOOKS(...) AG_SAVED_HOOKS_(AG_PASTE(ag_saved_hooks_, __COUNTER__), __VA_ARGS__)
#define AG_SAVED_HOOKS_(name, ...)                                                              \
    __attribute__((cleanup(ag_saved_hooks_end), unused)) ag_saved_hooks name = { __VA_ARGS__ }; \
    ag_saved_hooks_begin(&name)
/* The same by hand: hooks stay where they are until the end. false with an error, where pack or unpack is missing, or
 * hooks are forbidden here; the end is due all the same. */
AG_API bool ag_saved_hooks_begin(ag_saved_hooks *hooks);
AG_API void ag_saved_hooks_end(ag_saved_hooks *hooks);
/* To the end of the block, beginning hooks is an error with this sentence.
 * Source: torch.autograd.graph.disable_saved_tensors_hooks. */
#define AG_DISABLE_SAVED_TENSORS_HOOKS(message) \
    AG_SAVED_HOOKS_(AG_PASTE(ag_saved_hooks_, __COUNTER__), .forbidden = message)

/* What is saved is moved to the CPU, and back when it is needed. On a CPU it is a copy.
 * Source: torch.autograd.graph.save_on_cpu. */
#define AG_SAVE_ON_CPU AG_SAVED_TENSORS_HOOKS(ag_pack_on_cpu, ag_unpack_from_cpu, .free_packed = ag_packed_on_cpu_free)
AG_API void *ag_pack_on_cpu(ag_variable *x, void *user);
AG_API ag_variable *ag_unpack_from_cpu(void *packed, void *user);
AG_API void ag_packed_on_cpu_free(void *packed, void *user);

AG_END_DECLS
#endif
