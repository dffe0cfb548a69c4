/* state_dict.h - Variables under names: what a model or an optimiser is made of, to be kept in a file and put back.
 *
 *     ag_nn_save(net, "mnist.safetensors");                a module's state dict, in one call
 *     ag_nn_load(net, "mnist.safetensors");
 *
 * Files are safetensors, which Python's `safetensors` reads and writes, too. A file is written under a temporary name
 * beside its place, flushed to the disk and renamed: it appears whole or not at all. A file is checked from its first
 * byte to its last before room is taken for a single tensor.
 */
#ifndef ARGENT_STATE_DICT_H
#define ARGENT_STATE_DICT_H
#include <argent/module.h>

AG_BEGIN_DECLS

typedef struct ag_state_dict ag_state_dict;
#ifndef AG_NO_SHORT_NAMES
typedef ag_state_dict StateDict;
#endif

/* ---- the dictionary: keeps the order in which names came ---- */

AG_API ag_state_dict *ag_state_dict_new(void); /* NULL when memory is out */
AG_API void ag_state_dict_free(ag_state_dict *dict);
AG_API int64_t ag_state_dict_size(const ag_state_dict *dict);
/* dict[name] = x: holds x. name is UTF-8 and copied. */
AG_API bool ag_state_dict_set(ag_state_dict *dict, const char *name, ag_variable *x);
/* dict[name], borrowed; NULL without an error if there is none. */
AG_API ag_variable *ag_state_dict_get(const ag_state_dict *dict, const char *name);
/* One after the other: for (ag_state_item s = { 0 }; ag_state_dict_next(dict, &s);) s.name, s.variable */
typedef struct ag_state_item {
    const char *name;
    ag_variable *variable;
    int64_t next;
} ag_state_item;
AG_API bool ag_state_dict_next(const ag_state_dict *dict, ag_state_item *at);
/* Words beside the numbers: the file's __metadata__. NULL without an error if there is none of that key. */
AG_API bool ag_state_dict_set_text(ag_state_dict *dict, const char *key, const char *text);
AG_API const char *ag_state_dict_text(const ag_state_dict *dict, const char *key);

/* ---- files ---- */

/* Symbolic links are followed. A file that is there is replaced and keeps its mode; it must be a file, and writable; a
 * save that fails leaves it as it was. Errors: AG_EIO with the path and the system's reason, AG_ENOMEM, AG_EINVAL (a
 * Variable named __metadata__); while an error stands nothing is written. */
AG_API bool ag_save(const ag_state_dict *dict, const char *path);
/* Variables of float32, float64, int64, int32, uint8, bool on the CPU, in the order of their bytes. Errors: AG_EIO
 * (missing, truncated, oversized, overlapping or otherwise malformed, with what and where), AG_ENOTSUP (another type of
 * element, more than 8 dimensions), AG_ENOMEM. */
AG_API ag_state_dict *ag_load(const char *path);

/* ---- modules ---- */

/* m.state_dict(): parameters and buffers (but those that are not saved) under PyTorch's names ("conv1.0.weight"), what
 * is shared under each of its names. The Variables share the module's memory. */
#define ag_nn_state_dict(m) ag_module_state_dict(AG_MODULE(m))
AG_API ag_state_dict *ag_module_state_dict(ag_module *m);
/* m.load_state_dict(dict): copies the numbers into m's parameters and buffers, converting types. Either all are
 * copied or, with an error that lists what is missing, unexpected or of another shape, none. .strict = false passes
 * over what is missing or unexpected. */
#define AG_ARGS_module_load_state_dict(must, may) must(Module, module) must(StateDict, dict) may(Bool, strict, true)
#define AG_TYPE_StateDict                         const ag_state_dict *
#define ag_nn_load_state_dict(m, ...)             AG_CALL(module_load_state_dict, AG_MODULE(m), __VA_ARGS__)
AG_DECLARE_AS(module_load_state_dict, bool)
/* What a load of dict into m would pass over, one after the other, in PyTorch's order: m's names that dict lacks,
 * dict's that m lacks.
 *
 *     for (ag_named k = { 0 }; ag_nn_missing_keys(net, dict, &k);) printf("missing: %s\n", k.name);
 *     for (ag_state_item k = { 0 }; ag_nn_unexpected_keys(net, dict, &k);) printf("unexpected: %s\n", k.name); */
#define ag_nn_missing_keys(m, dict, at)    ag_module_missing_keys(AG_MODULE(m), dict, at)
#define ag_nn_unexpected_keys(m, dict, at) ag_module_unexpected_keys(AG_MODULE(m), dict, at)
AG_API bool ag_module_missing_keys(ag_module *m, const ag_state_dict *dict, ag_named *at);
AG_API bool ag_module_unexpected_keys(ag_module *m, const ag_state_dict *dict, ag_state_item *at);

#define ag_nn_save(m, path) ag_module_save(AG_MODULE(m), path)
AG_API bool ag_module_save(ag_module *m, const char *path);
#define AG_ARGS_module_load(must, may) must(Module, module) must(Str, path) may(Bool, strict, true)
#define ag_nn_load(m, ...)             AG_CALL(module_load, AG_MODULE(m), __VA_ARGS__)
AG_DECLARE_AS(module_load, bool)

AG_END_DECLS
#endif
