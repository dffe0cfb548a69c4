/* state_dict.c - the dictionary; see state_dict.h. */
#include "nn/safetensors_header.h"
#include "nn/state_dict_internal.h"
#include "tensor/allocator.h"
#include "tensor/fail.h"

#include <argent/state_dict.h>

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
