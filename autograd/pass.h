/* pass.h - one walk back along the tape, as the files that make it share it: backward.c checks a call and hands over
 * what it gives, pass_needed.c finds the nodes on a way to some inputs, pass.c runs nodes, accumulate.c adds gradients
 * up.
 */
#ifndef AG_PASS_H
#define AG_PASS_H
#include "autograd/op.h"

/* What a pass to some inputs only needs to know of a node or leaf on the way. */
typedef struct ag_place {
    uintptr_t to;  /* a node, or a leaf with bit 0 set: an input is found there, or behind it; 0: a free slot */
    int64_t input; /* the first of the inputs that is found there, or -1 */
} ag_place;

typedef struct ag_pass {
    Thread *t;
    ag_node **heap; /* nodes that wait, by seq */
    int64_t n_heap, max_heap;
    bool create_graph, retain_graph;

    /* autograd.grad, backward(inputs=): where the gradients go; else n_inputs is 0 and leaves take theirs into .grad */
    int64_t n_inputs;
    ag_variable *const *inputs;
    ag_variable **grads;
    int64_t *next_input; /* of those found at the same place */
    ag_place *places;    /* open addressing, at most half full */
    int64_t n_places, max_places;
} ag_pass;

/* Gives roots[i] the factor gradients[i] (gradients NULL, or AG_NONE in it: 1) and walks back. false with an error. */
bool ag__pass_run(ag_pass *w, ag_variable *const *roots, int64_t n_roots, ag_variable *const *gradients);

/* ---- what is on the way (pass_needed.c) ---- */

/* Finds the nodes between the roots and w->inputs. */
bool ag__pass_mark_needed(ag_pass *w, ag_variable *const *roots, int64_t n_roots);
static inline ag_place *ag__place_slot(const ag_pass *w, uintptr_t to)
{
    uint64_t mask = (uint64_t)w->max_places - 1, k = (uint64_t)to * 0x9e3779b97f4a7c15u >> 20 & mask;
    while (w->places[k].to && w->places[k].to != to) k = (k + 1) & mask;
    return &w->places[k];
}
static inline uintptr_t ag__place_of(const ag_variable *x)
{
    return x->grad_fn ? (uintptr_t)x->grad_fn : (uintptr_t)x | 1;
}
static inline bool ag__is_needed(const ag_pass *w, uintptr_t to) { return !w->n_inputs || ag__place_slot(w, to)->to; }

/* ---- adding up (accumulate.c) ---- */

/* *slot += g, which takes over the scope's hold on g where it has one. */
bool ag__add_up(ag_pass *w, ag_variable **slot, ag_variable *g);
/* leaf.grad += g. */
bool ag__add_to_leaf(ag_pass *w, ag_variable *leaf, ag_variable *g);
/* The gradient g arrived at every input found at this place with this output number. */
bool ag__capture(ag_pass *w, uintptr_t to, uint32_t output_nr, ag_variable *g);

#endif
