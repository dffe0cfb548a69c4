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
    int64_t *slots;  /* by the name's hash: 1 + the place in items, 0 where it is free */
    int64_t n_slots; /* a power of two, more than twice as many as items */
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
    free(d->slots);
    free(d->notes);
    free(d);
}

/* The slot that has the name's item, or the free one where it would go. There are slots. */
static int64_t *slot_of(const ag_state_dict *d, const char *name)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (const char *p = name; *p; p++) hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    for (;; hash++) {
        int64_t *slot = &d->slots[hash & (uint64_t)(d->n_slots - 1)];
        if (!*slot || strcmp(d->items[*slot - 1].name, name) == 0) return slot;
    }
}
static item *find(const ag_state_dict *d, const char *name)
{
    int64_t at = d && name && d->n_slots ? *slot_of(d, name) : 0;
    return at ? &d->items[at - 1] : NULL;
}
/* Room for one more item. */
static bool grow(ag_state_dict *d)
{
    void *table = d->items;
    bool ok = ag__grow(&table, &d->max_items, d->n_items + 1, sizeof *d->items);
    d->items = table;
    if (!ok || 2 * (d->n_items + 1) < d->n_slots) return ok;
    const int64_t n = d->n_slots ? 2 * d->n_slots : 16;
    int64_t *slots = calloc((size_t)n, sizeof *slots);
    if (!slots) return ag__fail_memory("a state dict", (size_t)n * sizeof *slots);
    free(d->slots);
    d->slots = slots;
    d->n_slots = n;
    for (int64_t i = 0; i < d->n_items; i++) *slot_of(d, d->items[i].name) = i + 1;
    return true;
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
    char *copy = grow(d) ? copy_text(name) : NULL;
    if (!copy) return false;
    d->items[d->n_items++] = (item){ copy, ag_retain(x) };
    *slot_of(d, name) = d->n_items;
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

/* The names in `all` that `others` lacks. */
static void find_lacking(report *r, const char *what, const ag_state_dict *all, const ag_state_dict *others)
{
    int n = 0;
    for (ag_state_item s = { 0 }; ag_state_dict_next(all, &s);) {
        if (find(others, s.name)) continue;
        if (!n++)
            say(r, "\n\t%s key(s) in state_dict: \"%s\"", what, s.name);
        else
            say(r, ", \"%s\"", s.name);
    }
    if (n) say(r, ". ");
    r->lines += n;
}
static void find_mismatches(report *r, const ag_state_dict *own, const ag_state_dict *d)
{
    for (ag_state_item s = { 0 }; ag_state_dict_next(own, &s);) {
        const ag_variable *x = ag_state_dict_get(d, s.name);
        char is[AG_TEXT], wants[AG_TEXT];
        if (!x) continue;
        if (!ag__same_sizes(&x->tensor, &s.variable->tensor))
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
        find_lacking(&r, "Missing", own, d);
        find_lacking(&r, "Unexpected", d, own);
    }
    find_mismatches(&r, own, d);
    if (r.lines) return ag__fail(AG_EINVAL, "Error(s) in loading state_dict for %s:%s", ag__module_type(m), r.text);
    for (ag_state_item s = { 0 }; ag_state_dict_next(own, &s);) {
        ag_variable *x = ag_state_dict_get(d, s.name);
        if (x && !ag_copy_(s.variable, x)) return false;
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
