/* pass.h - one walk back along the tape, as the files that make it share it: backward.c checks a call and hands over
 * what it gives, pass_reach.c finds out what a walk will reach, pass.c walks, pass_node.c runs a node, pass_saved.c
 * takes what it has saved, pass_stream.c keeps CUDA streams, pass_hooks.c calls hooks, accumulate.c adds gradients up.
 */
#ifndef AG_PASS_H
#define AG_PASS_H
#include "autograd/hooks.h"
#include "autograd/op.h"

/* What a walk knows beforehand of a node or leaf that it may come to. */
typedef struct ag_place {
    uintptr_t to;     /* a node, or a leaf with bit 0 set; 0: a free slot */
    int64_t input;    /* the first of the inputs that is found there, or -1 */
    bool runs;        /* a node: something that is wanted lies behind it */
    bool is_late;     /* a leaf with hooks, whose contributions are gathered first: */
    int64_t waits;    /* how many are still to come */
    ag_variable *sum; /* of those that have come */
} ag_place;

/* Where gradients for a node come in whose own slots another walk uses. */
typedef struct ag_guest {
    ag_node *node; /* NULL: a free slot */
    ag_variable **grad;
} ag_guest;

/* Where streams are in play: those that were current when the walk began, and those that it has used, by device. */
typedef struct ag_pass_streams {
    uint8_t ambient[AG_CUDA_DEVICES];
    uint64_t used[AG_CUDA_DEVICES][2];
} ag_pass_streams;

typedef struct ag_pass {
    Thread *t;
    struct ag_pass *outer; /* the walk of this thread in which this one was begun, by a hook or a custom function */
    int depth;             /* how many are outside this one */
    uint64_t id;           /* no two walks have the same */
    ag_node **heap;        /* nodes that wait, by seq */
    int64_t n_heap, max_heap;
    bool create_graph, retain_graph;
    bool detects_anomaly, checks_nan;
    ag_pass_streams *streams; /* NULL: there are none but the default ones (pass_stream.c) */

    /* autograd.grad: the gradients of inputs go to grads. backward(inputs=): grads is NULL, they are added into .grad.
     * Else n_inputs is 0 and all leaves take theirs. */
    int64_t n_inputs;
    ag_variable *const *inputs;
    ag_variable **grads;
    int64_t *next_input; /* of those found at the same place */

    /* what will be reached, where inputs or hooks make it necessary to know; open addressing, at most half full */
    bool is_mapped;
    ag_place *places;
    int64_t n_places, max_places;
    ag_variable **late; /* the leaves that are gathered for, in the order in which they were found */
    int64_t n_late, max_late;

    ag_guest *guests; /* open addressing, at most half full */
    int64_t n_guests, max_guests;
} ag_pass;

/* Gives roots[i] the factor gradients[i] (gradients NULL, or AG_NONE in it: 1) and walks back. false with an error. */
bool ag__pass_run(ag_pass *w, ag_variable *const *roots, int64_t n_roots, ag_variable *const *gradients);

/* Calls body(user), which walks, where there is stack for it (pass_deep.c). */
typedef bool ag__walk_body(void *user);
bool ag__pass_go_deeper(ag_pass *w, ag__walk_body *body, void *user);

/* g goes to a node or leaf; NULL: nothing came along this edge. */
bool ag__pass_give_here(ag_pass *w, uintptr_t to, uint32_t output_nr, ag_variable *g);
bool ag__pass_give_across(ag_pass *w, uintptr_t to, uint32_t output_nr, ag_variable *g); /* from stream to stream */
static inline bool ag__pass_give(ag_pass *w, uintptr_t to, uint32_t output_nr, ag_variable *g)
{
    return w->streams ? ag__pass_give_across(w, to, output_nr, g) : ag__pass_give_here(w, to, output_nr, g);
}
bool ag__node_run(ag_pass *w, ag_node *n);
/* What has come in for n's outputs: the slots are empty then. */
void ag__pass_collect(ag_pass *w, ag_node *n, ag_variable **g);

/* ---- streams (pass_stream.c) ---- */

void ag__pass_streams_begin(ag_pass *w, ag_pass_streams *s);
bool ag__pass_streams_end(ag_pass *w);
/* n's stream is current on the device of the gradients that have come, until the walk's are again. */
void ag__node_stream_enter(ag_pass *w, const ag_node *n, ag_variable *const *g);
void ag__node_stream_leave(ag_pass *w);

/* ---- what will be reached (pass_reach.c) ---- */

/* Finds the nodes between the roots and w->inputs; without inputs, all there are. */
bool ag__pass_map(ag_pass *w, ag_variable *const *roots, int64_t n_roots);
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
static inline bool ag__is_needed(const ag_pass *w, uintptr_t to) { return !w->is_mapped || ag__place_slot(w, to)->to; }
static inline bool ag__runs(const ag_pass *w, const ag_node *n)
{
    return !w->n_inputs || ag__place_slot(w, (uintptr_t)n)->runs;
}

/* ---- what a node has saved, for one run of its backward (pass_saved.c) ---- */
typedef struct ag_taken {
    ag_variable **in, **out; /* as backward sees them; NULL where nothing was kept */
    ag_variable **held;      /* n_in + n_out references that are this run's */
    bool ok;
} ag_taken;
/* What n has saved is there, and as it was. */
bool ag__saved_check(ag_node *n);
bool ag__saved_take(ag_pass *w, ag_node *n, ag_taken *s);
void ag__saved_return(ag_pass *w, ag_node *n, ag_taken *s, bool ok);

/* ---- hooks (pass_hooks.c) ---- */

/* The hooks on the Variables that are n's outputs. */
bool ag__call_grad_hooks(ag_pass *w, ag__hook **list, int n, ag_variable **g);
bool ag__call_leaf_hooks(ag_variable *leaf);
bool ag__call_node_prehooks(ag_node *n, ag_variable **g);
bool ag__call_node_hooks(ag_node *n, ag_variable **grad, ag_variable *const *g);
/* All that will come for a leaf with hooks has come. */
bool ag__leaf_ready(ag_pass *w, ag_variable *leaf, ag_place *p);
/* A contribution to a leaf that is gathered for; g NULL: none after all. */
bool ag__leaf_gather(ag_pass *w, ag_variable *leaf, ag_variable *g);

/* ---- adding up (accumulate.c) ---- */

/* *slot += g, which takes over the scope's hold on g where it has one. */
bool ag__add_up(ag_pass *w, ag_variable **slot, ag_variable *g);
/* leaf.grad += g. */
bool ag__add_to_leaf(ag_pass *w, ag_variable *leaf, ag_variable *g);
/* The gradient g arrived at every input found at this place with this output number. */
bool ag__capture(ag_pass *w, uintptr_t to, uint32_t output_nr, ag_variable *g);

/* ---- anomaly mode (anomaly.c) ---- */

bool ag__anomaly_mode(bool *checks_nan);

/* An error stands that n's backward made: names the op that recorded n, and where it was called. */
void ag__anomaly_explain(Thread *t, const ag_node *n);
/* No NaN in what n gives for its inputs. */
bool ag__anomaly_check(const ag_node *n, ag_variable *const *grad);

#endif
