/* pass_reach.c - what a walk will reach: the nodes on a way from the roots to some inputs, of which only they run; and
 * how many contributions will come for a leaf with hooks.
 */
#include "autograd/pass.h"

#include <stdlib.h>

/* The place of `to`, made if it is not there; NULL where memory is out. *made says which. */
static ag_place *place_add(ag_pass *w, uintptr_t to, bool *made)
{
    *made = false;
    if (2 * (w->n_places + 1) > w->max_places) {
        ag_pass larger = *w;
        larger.max_places = w->max_places ? 2 * w->max_places : 256;
        larger.places = calloc((size_t)larger.max_places, sizeof *larger.places);
        if (!larger.places)
            return ag__fail_memory("the nodes of a graph", (size_t)larger.max_places * sizeof *larger.places);
        for (int64_t i = 0; i < w->max_places; i++)
            if (w->places[i].to) *ag__place_slot(&larger, w->places[i].to) = w->places[i];
        free(w->places);
        w->places = larger.places;
        w->max_places = larger.max_places;
    }
    ag_place *p = ag__place_slot(w, to);
    if (!p->to) {
        *p = (ag_place){ .to = to, .input = -1 };
        w->n_places++;
        *made = true;
    }
    return p;
}

/* A depth-first search for the nodes on a way to an input, with a stack of its own. */
typedef struct visit {
    ag_node *node;
    uint32_t next; /* edge to look at */
    bool needed;
} visit;
typedef struct search {
    ag_pass *w;
    ag_pass met; /* only its places are used: the nodes searched so far */
    visit *stack;
    int64_t n, max;
} search;

static bool search_push(search *s, ag_node *n)
{
    bool made;
    if (!place_add(&s->met, (uintptr_t)n, &made)) return false;
    if (!made) { /* searched before, or being searched */
        if (s->n) s->stack[s->n - 1].needed |= ag__place_slot(s->w, (uintptr_t)n)->to != 0;
        return true;
    }
    void *table = s->stack;
    bool ok = ag__grow(&table, &s->max, s->n + 1, sizeof *s->stack);
    s->stack = table;
    if (ok) s->stack[s->n++] = (visit){ n, 0, !s->w->n_inputs };
    return ok;
}

/* An edge leads to a leaf. *needed: whether the walk has to go along it. */
static bool meet_leaf(ag_pass *w, uintptr_t to, bool *needed)
{
    ag_variable *leaf = (ag_variable *)(to & ~(uintptr_t)1);
    bool made;
    if (!w->n_inputs && !place_add(w, to, &made)) return false;
    ag_place *p = ag__place_slot(w, to);
    *needed = *needed || p->to;
    if (!p->to || !ag__hooks_any(&leaf->hooks)) return true;
    p->waits++;
    if (p->is_late) return true;
    void *table = w->late;
    bool ok = ag__grow(&table, &w->max_late, w->n_late + 1, sizeof *w->late);
    w->late = table;
    if (!ok) return false;
    ag__ref(leaf, AG_REFERENCE); /* a hook may let go of it */
    w->late[w->n_late++] = leaf;
    return p->is_late = true;
}

static bool search_from(search *s, ag_node *root)
{
    bool made, ok = search_push(s, root);
    while (s->n && ok) {
        visit *v = &s->stack[s->n - 1];
        if (v->next < v->node->n_in) {
            uintptr_t to = v->node->edge[v->next++].to;
            if (to & 1)
                ok = meet_leaf(s->w, to, &v->needed);
            else if (to)
                ok = search_push(s, (ag_node *)to);
            continue;
        }
        ag_place *p = v->needed ? place_add(s->w, (uintptr_t)v->node, &made) : NULL;
        ok = p || !v->needed;
        if (p) p->runs = true;
        bool needed = ag__place_slot(s->w, (uintptr_t)v->node)->to;
        if (--s->n) s->stack[s->n - 1].needed |= needed;
    }
    return ok;
}

/* The inputs' places: they end ways, and backward(inputs=) runs them. */
static bool map_inputs(ag_pass *w)
{
    bool made;
    w->next_input = calloc((size_t)w->n_inputs, sizeof *w->next_input);
    if (!w->next_input) return ag__fail_memory("the inputs of grad", (size_t)w->n_inputs * sizeof *w->next_input);
    for (int64_t i = 0; i < w->n_inputs; i++) {
        ag_place *p = place_add(w, ag__place_of(w->inputs[i]), &made);
        if (!p) return false;
        w->next_input[i] = p->input;
        p->input = i;
        p->runs = p->runs || !w->grads;
    }
    return true;
}

bool ag__pass_map(ag_pass *w, ag_variable *const *roots, int64_t n_roots)
{
    w->is_mapped = true;
    search s = { .w = w };
    bool made, ignored = false, ok = !w->n_inputs || map_inputs(w);
    ok = ok && place_add(&s.met, 2, &made) && place_add(w, 2, &made); /* no node: the tables are there */
    for (int64_t r = 0; r < n_roots && ok; r++)
        ok = roots[r]->grad_fn ? search_from(&s, roots[r]->grad_fn) : meet_leaf(w, ag__place_of(roots[r]), &ignored);
    free(s.met.places);
    free(s.stack);
    return ok;
}
