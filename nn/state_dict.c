/* state_dict.c - the dictionary, and a module's state in it; see state_dict.h. */
#include "nn/module_parts.h"
#include "nn/safetensors_header.h"
#include "nn/state_dict_internal.h"

#include <argent/copy.h>
#include <argent/state_dict.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct item {
    char *name; /* owned */
    ag_variable *variable;
} item;
typedef struct note {
    char *key, *text; /* owned */
} note;

struct ag_state_dict {
    item *items;
    int64_t n_items, max_items;
    note *notes;
    int64_t n_notes, max_notes;
};

ag_state_dict *ag_state_dict_new(void)
{
    ag_state_dict *d = calloc(1, sizeof *d);
    return d ? d : ag__fail_memory("a state dict", sizeof *d);
}

void ag_state_dict_free(ag_state_dict *d)
{
    if (!d) return;
    for (int64_t i = 0; i < d->n_items; i++) {
        free(d->items[i].name);
        ag_release(d->items[i].variable);
    }
    for (int64_t i = 0; i < d->n_notes; i++) {
        free(d->notes[i].key);
        free(d->notes[i].text);
    }
    free(d->items);
    free(d->notes);
    free(d);
}

static item *find(const ag_state_dict *d, const char *name)
{
    for (int64_t i = 0; d && name && i < d->n_items; i++)
        if (!strcmp(d->items[i].name, name)) return &d->items[i];
    return NULL;
}

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    return copy ? copy : ag__fail_memory("a name", strlen(text) + 1);
}

bool ag_state_dict_set(ag_state_dict *d, const char *name, ag_variable *x)
{
    if (!d || !name || !x || x == AG_NONE) {
        const char *missing = !d ? "the dictionary" : !name ? "the name" : "the Variable";
        return ag__fail(AG_EINVAL, "state_dict_set: %s is NULL", missing);
    }
    if (!ag__utf8_valid(name, strlen(name))) return ag__fail(AG_EINVAL, "state_dict_set: the name is not UTF-8");
    item *there = find(d, name);
    if (there) {
        ag_retain(x);
        ag_release(there->variable);
        there->variable = x;
        return true;
    }
    void *table = d->items;
    bool ok = ag__grow(&table, &d->max_items, d->n_items + 1, sizeof *d->items);
    d->items = table;
    char *copy = ok ? copy_text(name) : NULL;
    if (!copy) return false;
    d->items[d->n_items++] = (item){ copy, ag_retain(x) };
    return true;
}

ag_variable *ag_state_dict_get(const ag_state_dict *d, const char *name)
{
    const item *there = find(d, name);
    return there ? there->variable : NULL;
}
int64_t ag_state_dict_size(const ag_state_dict *d) { return d ? d->n_items : 0; }

bool ag_state_dict_next(const ag_state_dict *d, ag_state_item *at)
{
    if (!d || at->next >= d->n_items) return false;
    at->name = d->items[at->next].name;
    at->variable = d->items[at->next].variable;
    at->next++;
    return true;
}

bool ag_state_dict_set_text(ag_state_dict *d, const char *key, const char *text)
{
    if (!d || !key || !text) return ag__fail(AG_EINVAL, "state_dict_set_text: an argument is NULL");
    if (!ag__utf8_valid(key, strlen(key)) || !ag__utf8_valid(text, strlen(text)))
        return ag__fail(AG_EINVAL, "state_dict_set_text: the text is not UTF-8");
    char *copy = copy_text(text);
    if (!copy) return false;
    for (int64_t i = 0; i < d->n_notes; i++) {
        if (strcmp(d->notes[i].key, key)) continue;
        free(d->notes[i].text);
        d->notes[i].text = copy;
        return true;
    }
    void *table = d->notes;
    bool ok = ag__grow(&table, &d->max_notes, d->n_notes + 1, sizeof *d->notes);
    d->notes = table;
    char *key_copy = ok ? copy_text(key) : NULL;
    if (!key_copy) {
        free(copy);
        return false;
    }
    d->notes[d->n_notes++] = (note){ key_copy, copy };
    return true;
}
const char *ag_state_dict_text(const ag_state_dict *d, const char *key)
{
    for (int64_t i = 0; d && key && i < d->n_notes; i++)
        if (!strcmp(d->notes[i].key, key)) return d->notes[i].text;
    return NULL;
}
bool ag__state_dict_note(const ag_state_dict *d, int64_t i, const char **key, const char **text)
{
    if (i >= d->n_notes) return false;
    *key = d->notes[i].key;
    *text = d->notes[i].text;
    return true;
}

/* ---- modules ---- */

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

static bool is_in_module(ag_module *m, const char *name)
{
    for (ag_named s = { 0 }; ag_module_named(m, AG_NAMED_STATE, &s);)
        if (!strcmp(s.name, name)) return true;
    return false;
}

static void find_missing(report *r, ag_module *m, const ag_state_dict *d)
{
    int n = 0;
    for (ag_named s = { 0 }; ag_module_named(m, AG_NAMED_STATE, &s);)
        if (!find(d, s.name)) say(r, "%s\"%s\"", n++ ? ", " : "\n\tMissing key(s) in state_dict: ", s.name);
    if (n) say(r, ". ");
    r->lines += n;
}
static void find_unexpected(report *r, ag_module *m, const ag_state_dict *d)
{
    int n = 0;
    for (ag_state_item s = { 0 }; ag_state_dict_next(d, &s);)
        if (!is_in_module(m, s.name)) say(r, "%s\"%s\"", n++ ? ", " : "\n\tUnexpected key(s) in state_dict: ", s.name);
    if (n) say(r, ". ");
    r->lines += n;
}
static void find_mismatches(report *r, ag_module *m, const ag_state_dict *d)
{
    for (ag_named s = { 0 }; ag_module_named(m, AG_NAMED_STATE, &s);) {
        const ag_variable *x = ag_state_dict_get(d, s.name);
        if (!x || ag__same_sizes(&x->tensor, &s.variable->tensor)) continue;
        char is[AG_TEXT], wants[AG_TEXT];
        say(r,
            "\n\tsize mismatch for %s: copying a param with shape torch.Size(%s) from checkpoint, "
            "the shape in current model is torch.Size(%s).",
            s.name, ag__shape_text(x->tensor.ndim, x->tensor.size, is, sizeof is),
            ag__shape_text(s.variable->tensor.ndim, s.variable->tensor.size, wants, sizeof wants));
        r->lines++;
    }
}

bool ag_module_load_state_dict_call(const struct ag_module_load_state_dict_args *a)
{
    ag_module *m = a->module;
    if (!ag__module_given("load_state_dict", m)) return false;
    if (!a->dict) return ag__fail(AG_EINVAL, "load_state_dict: the dictionary is NULL");
    if (!ag__may_change(ag__thread())) return false;
    report r = { .n = 0 };
    if (a->strict) {
        find_unexpected(&r, m, a->dict);
        find_missing(&r, m, a->dict);
    }
    find_mismatches(&r, m, a->dict);
    if (ag_error()) return false; /* the names could not be listed */
    if (r.lines) return ag__fail(AG_EINVAL, "Error(s) in loading state_dict for %s:%s", ag__module_type(m), r.text);
    AG_SCOPE;
    AG_NO_GRAD;
    for (ag_named s = { 0 }; ag_module_named(m, AG_NAMED_STATE, &s);) {
        ag_variable *x = ag_state_dict_get(a->dict, s.name);
        if (x && !ag_copy_(s.variable, x)) return false;
    }
    return !ag_error();
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
