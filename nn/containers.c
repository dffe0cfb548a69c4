/* containers.c - Sequential, ModuleList, ModuleDict: what they are made of is their children, so that all there is to
 * a container is which one it is. Children of a list are named by their number: to insert one or to take one out, the
 * modules move from name to name and the names stay. */
#include <argent/containers.h>

#include "nn/module_parts.h"
#include "tensor/fail.h"

#include <inttypes.h>
#include <string.h>

/* Nobody but the innermost scope holds x or shares its elements, and no gradient is wanted: what overwrites it is seen
 * by nobody. */
static bool is_disposable(const ag_variable *x)
{
    const Thread *t = ag__thread();
    const ag_storage *s = x->tensor.storage;
    if (x->refs != AG_OWNER || x->base || x->grad_fn || ag__requires_grad(x) || s->external || s->refs != 1)
        return false;
    for (int64_t i = t->n_held; i-- > t->scope_start;)
        if (t->held[i] == x) return true;
    return false;
}

/* m and the ReLU that is part `next` can be one step: nobody sees what is between them. */
static bool goes_with_relu(const ag_module *m, const ag_variable *x, const struct ag_module_parts *parts, int64_t next)
{
    if (!m->parts->forward_relu || next >= parts->n || !m->parts->takes_relu(x)) return false;
    const ag_module *relu = parts->at[next].child;
    return relu->parts->is_relu && !ag__module_has_hooks(m) && !ag__module_has_hooks(relu);
}

/* Each result goes as soon as the next one is there; or it becomes the next one, where that can be written over it. */
static ag_variable *sequential_forward(ag_module *self, ag_variable *x)
{
    const struct ag_module_parts *parts = self->parts;
    for (int64_t i = ag__next_child(self, 0), next; x && i < parts->n; i = next) {
        ag_module *child = parts->at[i].child;
        next = ag__next_child(self, i + 1);
        if (goes_with_relu(child, x, parts, next)) {
            ag_let(&x, ag__module_forward_relu(child, x));
            next = ag__next_child(self, next + 1);
        } else if (child->parts->forward_over && !ag__module_has_hooks(child) && is_disposable(x))
            x = ag__module_forward_over(child, x);
        else
            ag_let(&x, ag_module_forward(child, x));
    }
    return x;
}

/* ---- what is in one ---- */

static const char *const container_name[] = {
    [AG_SEQUENTIAL] = "Sequential", [AG_MODULE_LIST] = "ModuleList", [AG_MODULE_DICT] = "ModuleDict"
};

static bool is_list(const char *function, const ag_module *m)
{
    if (!ag__module_given(function, m)) return false;
    if (m->parts->container == AG_SEQUENTIAL || m->parts->container == AG_MODULE_LIST) return true;
    return ag__fail(AG_EINVAL, "%s: %s is not a Sequential or a ModuleList", function, ag__module_type(m));
}
static bool is_dict(const char *function, const ag_module *m)
{
    if (!ag__module_given(function, m)) return false;
    if (m->parts->container == AG_MODULE_DICT) return true;
    return ag__fail(AG_EINVAL, "%s: %s is not a ModuleDict", function, ag__module_type(m));
}
static bool is_container(const char *function, const ag_module *m)
{
    if (!ag__module_given(function, m)) return false;
    if (m->parts->container) return true;
    return ag__fail(AG_EINVAL, "%s: %s is not a container", function, ag__module_type(m));
}

static int64_t count(const ag_module *m)
{
    int64_t n = 0;
    for (int64_t i = 0; i < m->parts->n; i++) n += m->parts->at[i].kind == AG_PART_CHILD;
    return n;
}
/* The part that is child `index`; the number of parts, where there is none. */
static int64_t nth_child(const ag_module *m, int64_t index)
{
    int64_t part = ag__next_child(m, 0);
    while (index-- > 0) part = ag__next_child(m, part + 1);
    return part;
}

static bool add_numbered(ag_module *list, ag_module *module)
{
    char name[24];
    snprintf(name, sizeof name, "%" PRId64, count(list));
    return ag_module_add_child(list, name, module);
}

/* What a call hands over: modules, or modules with their names. */
typedef struct handed {
    int64_t n;
    ag_module *const *modules;
    const ag_module_item *items;
} handed;
static ag_module *module_of(const handed *h, int64_t i) { return h->items ? h->items[i].module : h->modules[i]; }

/* Lets go of those from number i on. One that was there before has gone already, or has found its place. */
static bool refuse(const handed *h, int64_t i)
{
    for (; i < h->n; i++) {
        int64_t k = 0;
        while (module_of(h, k) != module_of(h, i)) k++;
        if (k == i) ag_module_free_(module_of(h, i));
    }
    return false;
}
static bool refuse_one(ag_module *module) { return refuse(&(handed){ 1, &module, NULL }, 0); }

/* Until one is refused. */
static bool add_all(ag_module *m, const handed *h)
{
    for (int64_t i = 0; i < h->n; i++)
        if (!(h->items ? ag_module_add_child(m, h->items[i].name, h->items[i].module) : add_numbered(m, h->modules[i])))
            return refuse(h, i + 1);
    return true;
}

/* ---- making one ---- */

static ag_module *container_of(ag_container container, handed h)
{
    ag_module *m = ag__module_new_own(sizeof *m, container_name[container],
                                      container == AG_SEQUENTIAL ? sequential_forward : NULL);
    if (!m) {
        refuse(&h, 0);
        return NULL;
    }
    m->parts->container = container;
    add_all(m, &h);
    return AG_MODULE_DONE(m);
}
ag_module *ag_nn_sequential_of(int64_t n, ag_module *const *modules)
{
    return container_of(AG_SEQUENTIAL, (handed){ n, modules, NULL });
}
ag_module *ag_nn_module_list_of(int64_t n, ag_module *const *modules)
{
    return container_of(AG_MODULE_LIST, (handed){ n, modules, NULL });
}
ag_module *ag_nn_module_dict_of(int64_t n, const ag_module_item *items)
{
    return container_of(AG_MODULE_DICT, (handed){ n, NULL, items });
}

/* ---- Sequential and ModuleList ---- */

bool ag_module_append(ag_module *list, ag_module *module)
{
    return is_list("append", list) ? add_numbered(list, module) : refuse_one(module);
}

bool ag_module_extend(ag_module *list, int64_t n, ag_module *const *modules)
{
    const handed h = { n, modules, NULL };
    if (!is_list("extend", list)) return refuse(&h, 0);
    const int64_t before = count(list);
    if (add_all(list, &h)) return true;
    while (count(list) > before) ag_module_free_(ag__module_take_child(list, nth_child(list, count(list) - 1)));
    return false;
}

bool ag_module_insert(ag_module *list, int64_t index, ag_module *module)
{
    if (!is_list("insert", list)) return refuse_one(module);
    const int64_t n = count(list);
    if (index < -n || index > n) {
        ag__fail(AG_EINVAL, "%s: Index out of range: %" PRId64, ag__module_type(list), index);
        return refuse_one(module);
    }
    if (index < 0) index += n;
    if (!add_numbered(list, module)) return false;
    for (int64_t part = nth_child(list, index); part < list->parts->n; part = ag__next_child(list, part + 1)) {
        ag_module *moved = list->parts->at[part].child;
        list->parts->at[part].child = module;
        module = moved;
    }
    ag__module_changed();
    return true;
}

/* The part at an index that may count from the end; -1 with an error. */
static int64_t part_at(const ag_module *list, int64_t index)
{
    const int64_t n = count(list);
    if (index >= -n && index < n) return nth_child(list, index < 0 ? index + n : index);
    ag__fail(AG_EINVAL, "%s: index %" PRId64 " is out of range", ag__module_type(list), index);
    return -1;
}

ag_module *ag_module_at(ag_module *list, int64_t index)
{
    int64_t part = is_list("at", list) ? part_at(list, index) : -1;
    return part < 0 ? NULL : list->parts->at[part].child;
}

ag_module *ag_module_pop(ag_module *list, int64_t index)
{
    int64_t part = is_list("pop", list) && ag__may_change(ag__thread()) ? part_at(list, index) : -1;
    if (part < 0) return NULL;
    ag_part *at = list->parts->at;
    for (int64_t next; (next = ag__next_child(list, part + 1)) < list->parts->n; part = next) {
        ag_module *moved = at[part].child;
        at[part].child = at[next].child;
        at[next].child = moved;
    }
    return ag__module_take_child(list, part);
}

/* ---- ModuleDict ---- */

bool ag_module_update(ag_module *dict, int64_t n, const ag_module_item *items)
{
    const handed h = { n, NULL, items };
    return is_dict("update", dict) ? add_all(dict, &h) : refuse(&h, 0);
}

ag_module *ag_module_pop_name(ag_module *dict, const char *name)
{
    if (!is_dict("pop_name", dict) || !ag__may_change(ag__thread())) return NULL;
    for (int64_t part = ag__next_child(dict, 0); name && part < dict->parts->n; part = ag__next_child(dict, part + 1))
        if (strcmp(dict->parts->at[part].name, name) == 0) return ag__module_take_child(dict, part);
    return ag__fail(AG_EINVAL, "%s has no module named '%s'", ag__module_type(dict), name ? name : "");
}

/* ---- all three ---- */

int64_t ag_module_len(ag_module *m) { return is_container("len", m) ? count(m) : 0; }

bool ag_module_items(ag_module *m, ag_named *at)
{
    if (!at) return ag__fail(AG_EINVAL, "items: the place is NULL");
    if (!is_container("items", m)) return false;
    int64_t part = ag__next_child(m, at->next);
    if (part >= m->parts->n) return false;
    *at = (ag_named){ m->parts->at[part].name, NULL, m->parts->at[part].child, part + 1 };
    return true;
}

bool ag_module_clear(ag_module *m)
{
    if (!is_container("clear", m) || !ag__may_change(ag__thread())) return false;
    for (int64_t part; (part = ag__next_child(m, 0)) < m->parts->n;) ag_module_free_(ag__module_take_child(m, part));
    return true;
}
