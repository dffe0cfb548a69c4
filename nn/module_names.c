/* module_names.c - the dotted names of everything below a module, and what is done by walking them.
 *
 * The names are written down once, when they are first asked for, into one table that the module keeps; so a list of
 * parameters stays valid as long as the module, names need no buffers of the caller's, and walking is an index. A count
 * of all changes to any module tells when a table is out of date; an older one is kept behind the new one, because
 * somebody may still be reading it.
 *
 * The order is PyTorch's: a module's own parameters and buffers, then its children, each in the order given. Modules,
 * parameters and buffers are listed once, by the first name that leads to them; the state (what is saved) has them
 * under every name.
 */
#include "nn/module_parts.h"
#include "tensor/allocator.h"
#include "tensor/fail.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static uint64_t changes;
static pthread_mutex_t tables_lock = PTHREAD_MUTEX_INITIALIZER;

/* A child that is forked while another thread builds a table gets the lock open. */
static void before_fork(void) { pthread_mutex_lock(&tables_lock); }
static void after_fork(void) { pthread_mutex_unlock(&tables_lock); }
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork); }

void ag__module_changed(void) { __atomic_add_fetch(&changes, 1, __ATOMIC_RELAXED); }

void ag__name_tables_free(ag_name_table *names)
{
    while (names) {
        ag_name_table *older = names->older;
        for (int k = 0; k <= AG_NAMED_STATE; k++) free(names->list[k].at);
        free(names->parameters);
        free(names->text);
        free(names);
        names = older;
    }
}

/* ---- building ---- */

static bool enter(ag_name_table *t, ag_named_kind kind, const char *prefix, const char *name, ag_module *m,
                  ag_variable *x)
{
    ag_name_list *list = &t->list[kind];
    bool dot = *prefix && *name;
    size_t before = strlen(prefix), length = strlen(name), bytes = before + dot + length + 1;
    if (!ag__grow((void **)&list->at, &list->max, list->n + 1, sizeof *list->at)) return false;
    if (!ag__grow((void **)&t->text, &t->max_text, t->n_text + (int64_t)bytes, 1)) return false;
    char *to = t->text + t->n_text;
    memcpy(to, prefix, before);
    if (dot) to[before] = '.';
    memcpy(to + before + dot, name, length + 1);
    list->at[list->n++] = (ag_name_entry){ (size_t)t->n_text, x, m };
    t->n_text += (int64_t)bytes;
    return true;
}

static bool known(const ag_name_list *list, const ag_module *m, const ag_variable *x)
{
    for (int64_t i = 0; i < list->n; i++)
        if (x ? list->at[i].variable == x : list->at[i].module == m) return true;
    return false;
}

static bool walk(ag_name_table *t, ag_module *m, const char *prefix, int depth)
{
    const struct ag_module_parts *parts = m->parts;
    if (depth > AG_MODULE_DEPTH)
        return ag__fail(AG_EINVAL, "%s: modules are nested more than %d deep", ag__module_type(m), AG_MODULE_DEPTH);
    if (!known(&t->list[AG_NAMED_MODULES], m, NULL) && !enter(t, AG_NAMED_MODULES, prefix, "", m, NULL)) return false;
    for (ag_part_kind kind = AG_PART_PARAMETER; kind <= AG_PART_BUFFER; kind++) {
        ag_named_kind named = kind == AG_PART_PARAMETER ? AG_NAMED_PARAMETERS : AG_NAMED_BUFFERS;
        for (int64_t i = 0; i < parts->n; i++) {
            const ag_part *p = &parts->at[i];
            if (p->kind != kind || !p->variable) continue;
            if (!known(&t->list[named], NULL, p->variable) && !enter(t, named, prefix, p->name, m, p->variable))
                return false;
            if (!p->passing && !enter(t, AG_NAMED_STATE, prefix, p->name, m, p->variable)) return false;
        }
    }
    for (int64_t i = 0; i < parts->n; i++) {
        const ag_part *p = &parts->at[i];
        if (p->kind != AG_PART_CHILD || !p->child) continue;
        if (depth == 0 && !known(&t->list[AG_NAMED_CHILDREN], p->child, NULL) &&
            !enter(t, AG_NAMED_CHILDREN, "", p->name, p->child, NULL))
            return false;
        size_t length = strlen(prefix) + strlen(p->name) + 2;
        char *path = malloc(length);
        if (!path) return ag__fail_memory("a name in a module", length);
        strcpy(stpcpy(stpcpy(path, prefix), *prefix ? "." : ""), p->name);
        bool walked = walk(t, p->child, path, depth + 1);
        free(path);
        if (!walked) return false;
    }
    return true;
}

static ag_name_table *table_of(ag_module *m, uint64_t now)
{
    ag_name_table *t = calloc(1, sizeof *t);
    if (!t) return ag__fail_memory("the names in a module", sizeof *t);
    t->made = now;
    const ag_name_list *list = &t->list[AG_NAMED_PARAMETERS];
    bool done = walk(t, m, "", 0);
    if (done) {
        const size_t bytes = (size_t)(list->n + 1) * sizeof *t->parameters;
        t->parameters = malloc(bytes);
        if (!t->parameters) done = ag__fail_memory("the names in a module", bytes);
    }
    if (!done) {
        ag__name_tables_free(t);
        return NULL;
    }
    for (int64_t i = 0; i < list->n; i++) t->parameters[i] = list->at[i].variable;
    return t;
}

static bool same(const ag_name_table *a, const ag_name_table *b)
{
    if (a->n_text != b->n_text || memcmp(a->text, b->text, (size_t)a->n_text)) return false;
    for (int k = 0; k <= AG_NAMED_STATE; k++) {
        if (a->list[k].n != b->list[k].n) return false;
        for (int64_t i = 0; i < a->list[k].n; i++) {
            const ag_name_entry *p = &a->list[k].at[i], *q = &b->list[k].at[i];
            if (p->name != q->name || p->variable != q->variable || p->module != q->module) return false;
        }
    }
    return true;
}

const ag_name_table *ag__module_names(ag_module *m)
{
    pthread_mutex_lock(&tables_lock);
    uint64_t now = __atomic_load_n(&changes, __ATOMIC_RELAXED);
    ag_name_table *t = m->parts->names;
    if (!t || t->made != now) {
        ag_name_table *fresh = table_of(m, now);
        if (fresh && t && same(t, fresh)) {
            ag__name_tables_free(fresh);
            t->made = now;
        } else {
            if (fresh) {
                fresh->older = t;
                m->parts->names = fresh;
            }
            t = fresh;
        }
    }
    pthread_mutex_unlock(&tables_lock);
    return t;
}

/* ---- reading ---- */

ag_list ag_module_parameters(ag_module *m)
{
    const ag_name_table *t = ag__module_given("parameters", m) ? ag__module_names(m) : NULL;
    ag_list list = { 0, NULL };
    if (t) {
        list.n = t->list[AG_NAMED_PARAMETERS].n;
        list.at = t->parameters;
    }
    return list;
}

int64_t ag_module_num_parameters(ag_module *m)
{
    ag_list list = ag_module_parameters(m);
    int64_t n = 0;
    for (int64_t i = 0; i < list.n; i++) n += list.at[i]->tensor.numel;
    return n;
}

bool ag_module_named(ag_module *m, ag_named_kind kind, ag_named *at)
{
    if (!at) return ag__fail(AG_EINVAL, "named: the place is NULL");
    const ag_name_table *t = ag__module_given("named", m) ? ag__module_names(m) : NULL;
    if (!t || at->next >= t->list[kind].n) return false;
    const ag_name_entry *e = &t->list[kind].at[at->next];
    *at = (ag_named){ t->text + e->name, e->variable, e->module, at->next + 1 };
    return true;
}

ag_module *ag__module_child(const ag_module *m, const char *name, size_t length)
{
    for (int64_t i = 0; i < m->parts->n; i++) {
        const ag_part *p = &m->parts->at[i];
        if (p->kind == AG_PART_CHILD && strncmp(p->name, name, length) == 0 && !p->name[length]) return p->child;
    }
    return NULL;
}
/* The module that the first `length` bytes of a name lead to; NULL if there is none. Step by step, since a module that
 * is shared has several names and the table only its first. */
static ag_module *follow(ag_module *m, const char *name, size_t length)
{
    for (const char *rest = name, *end = name + length; m && rest < end;) {
        size_t step = strcspn(rest, ".");
        m = ag__module_child(m, rest, step);
        rest += step + 1;
    }
    return m;
}

ag_module *ag_module_get_submodule(ag_module *m, const char *name)
{
    if (!ag__module_given("submodule", m)) return NULL;
    ag_module *found = name ? follow(m, name, strlen(name)) : m;
    return found ? found : ag__fail(AG_EINVAL, "%s has no submodule named '%s'", ag__module_type(m), name);
}

static ag_variable *get_variable(ag_module *m, ag_part_kind kind, const char *what, const char *name)
{
    if (!ag__module_given(what, m)) return NULL;
    if (!name) name = "";
    const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;
    const ag_module *owner = dot ? follow(m, name, (size_t)(dot - name)) : m;
    for (int64_t i = 0; owner && i < owner->parts->n; i++) {
        const ag_part *p = &owner->parts->at[i];
        if (p->kind == kind && p->variable && strcmp(p->name, last) == 0) return p->variable;
    }
    return ag__fail(AG_EINVAL, "%s has no %s named '%s'", ag__module_type(m), what, name);
}
ag_variable *ag_module_get_parameter(ag_module *m, const char *name)
{
    return get_variable(m, AG_PART_PARAMETER, "parameter", name);
}
ag_variable *ag_module_get_buffer(ag_module *m, const char *name)
{
    return get_variable(m, AG_PART_BUFFER, "buffer", name);
}

const char *ag_module_leaf_name(const ag_variable *leaf, void *module)
{
    const ag_name_table *t = ag__module_given("leaf_name", module) ? ag__module_names(module) : NULL;
    const ag_name_list *list = t ? &t->list[AG_NAMED_PARAMETERS] : NULL;
    for (int64_t i = 0; t && i < list->n; i++)
        if (list->at[i].variable == leaf) return t->text + list->at[i].name;
    return NULL;
}
