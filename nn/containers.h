/* containers.h - modules of modules: Sequential, ModuleList, ModuleDict.
 *
 * All three take over the modules that they are given, also where they refuse them (NULL: what failed before). The
 * modules are children like any others: their parameters are the container's, their names lead on from its own. A
 * struct of yours goes in as &net->base.
 */
#ifndef ARGENT_CONTAINERS_H
#define ARGENT_CONTAINERS_H
#include <argent/module.h>

AG_BEGIN_DECLS

/* A module under a name. */
typedef struct ag_module_item {
    const char *name;
    ag_module *module;
} ag_module_item;

/* ---- making one ---- */

/* ag_nn_sequential(first, second, ...): x -> ... second(first(x)). The modules are named "0", "1", ... Each result goes
 * as soon as the next is there; without gradients a ReLU writes over a result that nobody else holds or looks at. */
AG_API ag_module *ag_nn_sequential_of(int64_t n, ag_module *const *modules);
/* ag_nn_module_list(first, second, ...): modules by number, for a forward of yours to run; it has none itself. */
AG_API ag_module *ag_nn_module_list_of(int64_t n, ag_module *const *modules);
/* ag_nn_module_dict({ "conv", ag_nn_conv2d(1, 8, 3) }, { "pool", ag_nn_max_pool2d(2) }): modules by name, in the order
 * given. ag_get_submodule(dict, "conv") is dict["conv"]. */
AG_API ag_module *ag_nn_module_dict_of(int64_t n, const ag_module_item *items);

/* ---- Sequential and ModuleList ---- */

/* list.append(module); list.extend([first, second, ...]); list.insert(index, module). An index may count from the end.
 * false with an error, the list as it was. */
#define ag_nn_append(list, module)        ag_module_append(AG_MODULE(list), AG_MODULE(module))
#define ag_nn_insert(list, index, module) ag_module_insert(AG_MODULE(list), index, AG_MODULE(module))
AG_API bool ag_module_append(ag_module *list, ag_module *module);
AG_API bool ag_module_extend(ag_module *list, int64_t n, ag_module *const *modules);
AG_API bool ag_module_insert(ag_module *list, int64_t index, ag_module *module);
/* list[index], borrowed; NULL with an error if there is none. */
#define ag_nn_at(list, index) ag_module_at(AG_MODULE(list), index)
AG_API ag_module *ag_module_at(ag_module *list, int64_t index);
/* list.pop(index): the module, which leaves the list and is the caller's; those behind it move up. NULL with an
 * error. */
#define ag_nn_pop(list, index) ag_module_pop(AG_MODULE(list), index)
AG_API ag_module *ag_module_pop(ag_module *list, int64_t index);

/* ---- ModuleDict ---- */

/* dict.update({ name: module, ... }), as ag_nn_update(dict, { "conv", conv }, ...): a name that is there keeps its
 * place and gets the new module, which is dict[name] = module, too. false with an error; then those before the one that
 * was refused are in. */
AG_API bool ag_module_update(ag_module *dict, int64_t n, const ag_module_item *items);
/* dict.pop(name): as ag_nn_pop. */
#define ag_nn_pop_name(dict, name) ag_module_pop_name(AG_MODULE(dict), name)
AG_API ag_module *ag_module_pop_name(ag_module *dict, const char *name);

/* ---- all three ---- */

/* len(m). */
#define ag_nn_len(m) ag_module_len(AG_MODULE(m))
AG_API int64_t ag_module_len(ag_module *m);
/* Its modules in order, each as often as it is there (ag_named_children has each once):
 *
 *     for (ag_named at = { 0 }; ag_nn_items(dict, &at);) x = ag_forward(at.module, x);           at.name is its key
 *
 * A name is valid as long as the container does not change. */
#define ag_nn_items(m, at) ag_module_items(AG_MODULE(m), at)
AG_API bool ag_module_items(ag_module *m, ag_named *at);
/* m.clear(): all of them go. */
#define ag_nn_clear(m) ag_module_clear(AG_MODULE(m))
AG_API bool ag_module_clear(ag_module *m);

/* ---- calls that take a list: it begins with one more, so that there is a list where there are no modules ---- */
#ifdef __cplusplus
AG_END_DECLS
typedef std::initializer_list<ag_module *> ag_module_pointers;
typedef std::initializer_list<ag_module_item> ag_module_items_list;
inline ag_module *ag_nn_sequential_list(ag_module_pointers l)
{
    return ag_nn_sequential_of((int64_t)l.size() - 1, l.begin() + 1);
}
inline ag_module *ag_nn_module_list_list(ag_module_pointers l)
{
    return ag_nn_module_list_of((int64_t)l.size() - 1, l.begin() + 1);
}
inline ag_module *ag_nn_module_dict_list(ag_module_items_list l)
{
    return ag_nn_module_dict_of((int64_t)l.size() - 1, l.begin() + 1);
}
inline bool ag_module_extend_list(ag_module *m, ag_module_pointers l)
{
    return ag_module_extend(m, (int64_t)l.size() - 1, l.begin() + 1);
}
inline bool ag_module_update_list(ag_module *m, ag_module_items_list l)
{
    return ag_module_update(m, (int64_t)l.size() - 1, l.begin() + 1);
}
#define ag_nn_sequential(...)  ag_nn_sequential_list({ nullptr, __VA_ARGS__ })
#define ag_nn_module_list(...) ag_nn_module_list_list({ nullptr, __VA_ARGS__ })
#define ag_nn_module_dict(...) ag_nn_module_dict_list({ ag_module_item{ nullptr, nullptr }, __VA_ARGS__ })
#define ag_nn_extend(m, ...)   ag_module_extend_list(AG_MODULE(m), { nullptr, __VA_ARGS__ })
#define ag_nn_update(m, ...)   ag_module_update_list(AG_MODULE(m), { ag_module_item{ nullptr, nullptr }, __VA_ARGS__ })
AG_BEGIN_DECLS
#else
/* clang-format off */
#define ag_nn_sequential(...)  AG_LISTED_(AG_LIST_NAME_, ag_module *, NULL, ag_nn_sequential_of, __VA_ARGS__)
#define ag_nn_module_list(...) AG_LISTED_(AG_LIST_NAME_, ag_module *, NULL, ag_nn_module_list_of, __VA_ARGS__)
#define ag_nn_module_dict(...) \
    AG_LISTED_(AG_LIST_NAME_, ag_module_item, AG_NO_ITEM_, ag_nn_module_dict_of, __VA_ARGS__)
#define ag_nn_extend(m, ...) AG_LISTED_TO_(m, AG_LIST_NAME_, ag_module *, NULL, ag_module_extend, __VA_ARGS__)
#define ag_nn_update(m, ...) AG_LISTED_TO_(m, AG_LIST_NAME_, ag_module_item, AG_NO_ITEM_, ag_module_update, __VA_ARGS__)
#define AG_LIST_NAME_ AG_PASTE(ag_modules_, __COUNTER__)
#define AG_NO_ITEM_   { 0 }
#define AG_LISTED_(...)    AG_LISTED1_(__VA_ARGS__)
#define AG_LISTED_TO_(...) AG_LISTED_TO1_(__VA_ARGS__)
/* clang-format on */
#define AG_LISTED1_(list, type, nothing, function, ...)                \
    __extension__({                                                    \
        type const list[] = { nothing, __VA_ARGS__ };                  \
        function((int64_t)(sizeof list / sizeof *list) - 1, list + 1); \
    })
#define AG_LISTED_TO1_(m, list, type, nothing, function, ...)                        \
    __extension__({                                                                  \
        type const list[] = { nothing, __VA_ARGS__ };                                \
        function(AG_MODULE(m), (int64_t)(sizeof list / sizeof *list) - 1, list + 1); \
    })
#endif

AG_END_DECLS
#endif
