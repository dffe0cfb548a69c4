/* module_state_dict.c - a module's state under its names, and back again.
 *
 * What a dictionary lacks, and what it has beyond, is found in the order in which PyTorch finds it: module by module, a
 * parent before its children; so the lists read the same.
 */
#include "nn/module_parts.h"
#include "tensor/allocator.h"
#include "tensor/fail.h"

#include <argent/copy.h>
#include <argent/state_dict.h>
#include <argent/view.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

ag_state_dict *ag_module_state_dict(ag_module *m)
{
    if (!ag__module_given("state_dict", m)) return NULL;
    ag_state_dict *d = ag_state_dict_new();
    AG_SCOPE;
    bool ok = d != NULL;
    for (ag_named s = { 0 }; ok && ag_module_named(m, AG_NAMED_STATE, &s);)
        ok = ag_state_dict_set(d, s.name, ag_detach(s.variable));
    if (ok && !ag_error()) return d;
    ag_state_dict_free(d);
    return NULL;
}

/* ---- keys that do not meet ---- */

bool ag_module_missing_keys(ag_module *m, const ag_state_dict *dict, ag_named *at)
{
    while (ag_module_named(m, AG_NAMED_STATE, at))
        if (!ag_state_dict_get(dict, at->name)) return true;
    return false;
}

/* The walk over the keys that no module knows. visit: false stops it. */
typedef struct key_walk {
    const ag_state_dict *dict;
    bool (*visit)(const ag_state_item *key, void *user);
    void *user;
    char *prefix; /* of the module that is looked at: "conv1.0." */
    int64_t n_prefix, max_prefix;
} key_walk;

static bool is_saved(const ag_module *m, const char *name)
{
    for (int64_t i = 0; i < m->parts->n; i++) {
        const ag_part *p = &m->parts->at[i];
        if (p->kind != AG_PART_CHILD && p->variable && !p->passing && strcmp(p->name, name) == 0) return true;
    }
    return false;
}

/* false: stopped, or out of memory. */
static bool each_unexpected(key_walk *w, const ag_module *m)
{
    const int64_t n = w->n_prefix;
    for (ag_state_item s = { 0 }; ag_state_dict_next(w->dict, &s);) {
        if (n && strncmp(s.name, w->prefix, (size_t)n)) continue;
        const char *rest = s.name + n;
        size_t step = strcspn(rest, ".");
        bool known = rest[step] ? ag__module_child(m, rest, step) != NULL : is_saved(m, rest);
        if (!known && !w->visit(&s, w->user)) return false;
    }
    for (int64_t i = 0; i < m->parts->n; i++) {
        const ag_part *p = &m->parts->at[i];
        if (p->kind != AG_PART_CHILD) continue;
        const int64_t length = (int64_t)strlen(p->name);
        if (!ag__grow((void **)&w->prefix, &w->max_prefix, n + length + 1, 1)) return false;
        memcpy(w->prefix + n, p->name, (size_t)length);
        w->prefix[n + length] = '.';
        w->n_prefix = n + length + 1;
        if (!each_unexpected(w, p->child)) return false;
        w->n_prefix = n;
    }
    return true;
}

/* Skips as many as there were before. */
typedef struct nth_key {
    int64_t skip;
    ag_state_item found;
} nth_key;
static bool stop_at(const ag_state_item *key, void *user)
{
    nth_key *nth = user;
    if (nth->skip-- > 0) return true;
    nth->found = *key;
    return false;
}
bool ag_module_unexpected_keys(ag_module *m, const ag_state_dict *dict, ag_state_item *at)
{
    if (!at) return ag__fail(AG_EINVAL, "unexpected_keys: the place is NULL");
    if (!ag__module_given("unexpected_keys", m) || !ag__module_names(m))
        return false; /* neither endless nor too deep */
    nth_key nth = { .skip = at->next };
    key_walk w = { .dict = dict, .visit = stop_at, .user = &nth };
    each_unexpected(&w, m);
    free(w.prefix);
    if (!nth.found.name) return false;
    *at = (ag_state_item){ nth.found.name, nth.found.variable, at->next + 1 };
    return true;
}

/* ---- loading ---- */

/* A report that grows by pieces and is cut off where its room ends. */
typedef struct report {
    char text[AG_ERROR_BYTES - 64];
    size_t n;
    int lines;
} report;

static void say(report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(report *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(r->text + r->n, sizeof r->text - r->n, format, args);
    va_end(args);
    if (n > 0) r->n += (size_t)n < sizeof r->text - r->n ? (size_t)n : sizeof r->text - 1 - r->n;
}

static void say_key(report *r, int *n, const char *what, const char *name)
{
    if (!(*n)++)
        say(r, "\n\t%s key(s) in state_dict: \"%s\"", what, name);
    else
        say(r, ", \"%s\"", name);
}
static void end_keys(report *r, int n)
{
    if (n) say(r, ". ");
    r->lines += n;
}

static void find_missing(report *r, const ag_state_dict *own, const ag_state_dict *d)
{
    int n = 0;
    for (ag_state_item s = { 0 }; ag_state_dict_next(own, &s);)
        if (!ag_state_dict_get(d, s.name)) say_key(r, &n, "Missing", s.name);
    end_keys(r, n);
}

typedef struct unexpected {
    report *r;
    int n;
} unexpected;
static bool say_unexpected(const ag_state_item *key, void *user)
{
    unexpected *u = user;
    say_key(u->r, &u->n, "Unexpected", key->name);
    return true;
}
static bool find_unexpected(report *r, ag_module *m, const ag_state_dict *d)
{
    unexpected u = { r, 0 };
    key_walk w = { .dict = d, .visit = say_unexpected, .user = &u };
    bool ok = each_unexpected(&w, m);
    free(w.prefix);
    end_keys(r, u.n);
    return ok;
}

/* One number in one dimension is loaded into none: so it was saved before PyTorch 0.4. */
static bool is_old_scalar(const ag_variable *own, const ag_variable *x)
{
    return own->tensor.ndim == 0 && x->tensor.ndim == 1 && x->tensor.size[0] == 1;
}

static void find_mismatches(report *r, const ag_state_dict *own, const ag_state_dict *d)
{
    for (ag_state_item s = { 0 }; ag_state_dict_next(own, &s);) {
        const ag_variable *x = ag_state_dict_get(d, s.name);
        char is[AG_TEXT], wants[AG_TEXT];
        if (!x) continue;
        if (!ag__same_sizes(&x->tensor, &s.variable->tensor) && !is_old_scalar(s.variable, x))
            say(r,
                "\n\tsize mismatch for %s: copying a param with shape torch.Size(%s) from checkpoint, the shape in "
                "current model is torch.Size(%s).",
                s.name, ag__shape_text(x->tensor.ndim, x->tensor.size, is, sizeof is),
                ag__shape_text(s.variable->tensor.ndim, s.variable->tensor.size, wants, sizeof wants));
        else if (ag__overlaps_itself(&s.variable->tensor) || ag__overlap(&s.variable->tensor, &x->tensor) == 2)
            say(r, "\n\t%s: elements of it lie in one place; clone() it first.", s.name);
        else
            continue;
        r->lines++;
    }
}

static bool load(ag_module *m, const ag_state_dict *own, const ag_state_dict *d, bool strict)
{
    report r = { .n = 0 };
    if (strict) {
        find_missing(&r, own, d);
        if (!find_unexpected(&r, m, d)) return false;
    }
    find_mismatches(&r, own, d);
    if (r.lines) return ag__fail(AG_EINVAL, "Error(s) in loading state_dict for %s:%s", ag__module_type(m), r.text);
    for (ag_state_item s = { 0 }; ag_state_dict_next(own, &s);) {
        ag_variable *x = ag_state_dict_get(d, s.name);
        if (!x) continue;
        if (is_old_scalar(s.variable, x)) x = ag_select(x, 0, 0);
        if (!ag_copy_(s.variable, x)) return false;
    }
    return true;
}

bool ag_module_load_state_dict_call(const struct ag_module_load_state_dict_args *a)
{
    if (!ag__module_given("load_state_dict", a->module)) return false;
    if (!a->dict) return ag__fail(AG_EINVAL, "load_state_dict: the dictionary is NULL");
    if (!ag__may_change(ag__thread())) return false;
    ag_state_dict *own = ag_module_state_dict(a->module); /* shares the module's memory: what is copied there is here */
    if (!own) return false;
    AG_SCOPE;
    AG_NO_GRAD;
    bool ok = load(a->module, own, a->dict, a->strict);
    ag_state_dict_free(own);
    return ok;
}

bool ag_module_save(ag_module *m, const char *path)
{
    ag_state_dict *d = ag_module_state_dict(m);
    bool ok = d && ag_save(d, path);
    ag_state_dict_free(d);
    return ok;
}
bool ag_module_load_call(const struct ag_module_load_args *a)
{
    if (!ag__module_given("load", a->module)) return false;
    ag_state_dict *d = ag_load(a->path);
    bool ok = d && ag_nn_load_state_dict(a->module, d, a->strict);
    ag_state_dict_free(d);
    return ok;
}
