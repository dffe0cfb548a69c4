/* node.h - the Variable and the tape's node, as the engine and the ops see them.
 *
 * Who owns what: a scope (or a Module, or ag_retain) holds a Variable; a Variable holds its storage, its grad and the
 * node that made it (grad_fn); a node holds what its backward reads (saved) and the nodes before it. Nothing holds
 * forwards, so there are no cycles: a saved output is a twin of the Variable that has no grad_fn. The two cycles there
 * can be are cut when a Variable's last owner lets go: a leaf's gradient whose graph holds the leaf (create_graph), and
 * a Variable that was changed in place by something computed from it, by nodes that keep it.
 */
#ifndef AG_NODE_H
#define AG_NODE_H
#include "tensor/tensor.h"

#include <argent/autograd.h>
#include <argent/scope.h>
#include <argent/variable.h>

typedef ag_thread Thread;

/* A Variable's two counts in one word: the low half counts everybody, the high half the owners among them (scopes,
 * Modules, ag_retain). */
#define AG_OWNER     (((int64_t)1 << 32) + 1)
#define AG_REFERENCE ((int64_t)1)

/* How a view came to be: all but the first kind cannot be changed in place with the change recorded. */
typedef enum {
    AG_MADE_PLAINLY,
    AG_MADE_IN_NO_GRAD,   /* while nothing was recorded */
    AG_MADE_IN_INFERENCE, /* the same, in inference mode */
    AG_MADE_AMONG_MANY,   /* by an op that returns several views */
    AG_MADE_IN_A_FUNCTION /* in a custom function's forward, or an input that it gave back */
} ag_made_in;

struct ag_variable {
    ag_tensor tensor; /* first: a Variable is a tensor */
    int64_t refs;
    bool requires_grad; /* ag__requires_grad asks the base of a view, too */
    bool retains_grad;
    uint8_t made_in;    /* of a view: an ag_made_in */
    bool rehistoried;   /* its history is that of a change in place, and may lead to nodes that keep it */
    bool inference;     /* made in inference mode, or a view of such a one */
    bool owns_base;     /* of a view: its hold on base is an owner's, as long as somebody owns the view */
    uint32_t output_nr; /* which of grad_fn's outputs */
    ag_node *grad_fn;
    ag_variable *grad;
    ag_variable *base;     /* of a differentiable view: the Variable it looks into, itself no view */
    uint32_t base_version; /* of the storage, when the view got its history: another one since means that base may have
                            * another history */
    union {
        const char *made_by; /* the op's name, for ag_leaks */
        ag_variable *link;   /* in the list of the dead, until they are buried */
    };
    const void *caller;     /* the code that asked for it */
    struct ag__hook *hooks; /* of a leaf (hooks.h) */
};
_Static_assert(sizeof(ag_variable) <= AG_OBJECT_BYTES, "a Variable fits an object block");

/* One input of a node. */
typedef struct ag_edge {
    uintptr_t to;        /* a node; a leaf Variable with bit 0 set; 0 where no gradient is wanted */
    uint32_t output_nr;  /* of that node */
    uint32_t version;    /* of `saved` when it was saved */
    ag_variable *saved;  /* what backward reads of this input, NULL: nothing */
    const int64_t *size; /* the input's sizes, NULL: those of output 0 */
    uint8_t ndim, dtype;
    ag_device device;
} ag_edge;

/* One output of a node. */
typedef struct ag_result {
    ag_variable *grad;     /* what has come in so far in the walk that has claimed the node */
    ag_variable *saved;    /* a twin of the output */
    ag_variable *retained; /* whose .grad it also goes to (retain_grad); it does not keep the Variable alive */
    uint32_t version;
} ag_result;

struct ag_op;

struct ag_node {
    int32_t refs;
    uint16_t size_class;
    bool freed; /* what was saved has been let go after use */
    uint32_t n_in, n_out;
    uint64_t seq; /* greater than that of every node before it */
    const struct ag_op *op;
    const void *caller;     /* the code that called the op */
    ag_node *link;          /* in the list of the dead, until they are buried */
    uint64_t walk;          /* the walk under way whose gradients `grad` of the results holds; 0: none */
    struct ag__hook *hooks; /* hooks.h */
    void *args; /* a copy of the call's arguments, its Variables replaced by what was saved; in this block */
    int64_t out_size[AG_MAX_DIMS]; /* of output 0 */
    uint8_t out_ndim, out_dtype;
    uint8_t stream; /* of CUDA, on output 0's device: where backward runs (pass_stream.c) */
    ag_edge edge[]; /* n_in of them; then n_out of ag_result; then args */
};
static inline ag_result *ag__node_results(ag_node *n) { return (ag_result *)(void *)(n->edge + n->n_in); }

/* ---- Variables (variable.c) ---- */

/* A fresh contiguous Variable, elements not set, held by the innermost scope; NULL with an error. */
ag_variable *ag__new(Thread *t, int ndim, const int64_t *size, ag_dtype dtype, ag_device device);
/* The same in the sizes of x, which another Variable has, on the CPU. */
ag_variable *ag__new_like(Thread *t, const ag_tensor *x, ag_dtype dtype);
/* With these strides (dense). */
ag_variable *ag__new_strided(Thread *t, int ndim, const int64_t *size, const int64_t *stride, ag_dtype dtype,
                             ag_device device);
/* Another Variable on x's storage, the same geometry, no history; held by the innermost scope. */
ag_variable *ag__alias(Thread *t, const ag_variable *x);
/* A view of x's storage with this geometry; offset in elements from x's first. A differentiable view where grad mode
 * says so is made by the engine's view ops; this only shares. */
ag_variable *ag__view_of(Thread *t, const ag_variable *x, int ndim, const int64_t *size, const int64_t *stride,
                         int64_t offset);
/* The innermost scope takes over an owner's hold on x; NULL (x let go) if memory is out. */
ag_variable *ag__hold_growing(Thread *t, ag_variable *x);
static inline ag_variable *ag__hold(Thread *t, ag_variable *x)
{
    if (__builtin_expect(t->n_held == t->max_held, 0)) return ag__hold_growing(t, x);
    return t->held[t->n_held++] = x;
}
/* x's entry in the innermost scope, if it has one there, goes; the caller then owns it. `newest`: among how many of the
 * scope's entries to look for it, the newest first. */
bool ag__unhold(Thread *t, ag_variable *x, int64_t newest);
#define AG_ALL_HELD INT64_MAX

/* ag_scope_begin and ag_scope_end of a thread that is known. */
static inline ag_scope ag__scope_open(Thread *t)
{
    if (__builtin_expect(t->stateless, 0)) return (ag_scope){ .depth = INT32_MAX }; /* nothing will be made in it */
    ag_scope scope = { t->n_held,    t->scope_start, t->scope_depth++, t->grad_off,
                       t->inference, t->walk,        t->saved_hooks,   t->caller };
    t->scope_start = t->n_held;
    return scope;
}
void ag__scope_close(Thread *t, const ag_scope *scope);

/* An alias that no scope holds, with these references. */
ag_variable *ag__alias_owned(Thread *t, const ag_variable *x, int64_t refs);

/* ---- letting go: the dead queue up and one loop buries them, however long the chain ---- */
void ag__bury_dead(Thread *t);
static inline void ag__bury(Thread *t)
{
    if ((t->dead_variables || t->dead_nodes) && !t->burying) ag__bury_dead(t);
}
static inline void ag__variable_free_later(Thread *t, ag_variable *x)
{
    x->link = t->dead_variables;
    t->dead_variables = x;
}
static inline void ag__node_free_later(Thread *t, ag_node *n)
{
    n->link = t->dead_nodes;
    t->dead_nodes = n;
}
void ag__abandoned(Thread *t, ag_variable *x);

static inline void ag__ref(ag_variable *x, int64_t by)
{
    if (__libc_single_threaded)
        x->refs += by;
    else
        __atomic_add_fetch(&x->refs, by, __ATOMIC_RELAXED);
}
/* The caller's reference of one kind becomes one of the other. Nobody else counts where there is only this one. */
static inline void ag__ref_convert(ag_variable *x, int64_t from, int64_t to)
{
    if (__atomic_load_n(&x->refs, __ATOMIC_RELAXED) == from)
        __atomic_store_n(&x->refs, to, __ATOMIC_RELAXED);
    else
        ag__ref(x, to - from);
}
/* What is left; the only holder need not pay for an atomic subtraction. */
static inline int64_t ag__ref_down(ag_variable *x, int64_t by)
{
    if (__libc_single_threaded) return x->refs -= by;
    if (__atomic_load_n(&x->refs, __ATOMIC_ACQUIRE) != by) return __atomic_sub_fetch(&x->refs, by, __ATOMIC_ACQ_REL);
    __atomic_store_n(&x->refs, 0, __ATOMIC_RELAXED);
    return 0;
}
/* Lets go without burying; ag__bury(t) follows when convenient. */
static inline void ag__unref(Thread *t, ag_variable *x, int64_t by)
{
    int64_t left = ag__ref_down(x, by);
    if (left == 0)
        ag__variable_free_later(t, x);
    else if (by == AG_OWNER && left >> 32 == 0 && (x->grad || x->rehistoried || x->base))
        ag__abandoned(t, x);
}
static inline void ag__node_unref(Thread *t, ag_node *n)
{
    if (ag__count_down(&n->refs)) ag__node_free_later(t, n);
}
static inline int32_t ag__refs(const ag_variable *x)
{
    return (int32_t)(__atomic_load_n(&x->refs, __ATOMIC_RELAXED) & 0x7fffffff);
}
/* Nobody else sees these numbers. */
static inline bool ag__is_private(const ag_variable *x)
{
    return ag__refs(x) == 1 && x->tensor.storage->refs == 1 && !x->tensor.storage->external;
}

/* A view wants a gradient where its base does, even one that was made in no_grad mode: then as a leaf, as in PyTorch.
 */
static inline bool ag__requires_grad(const ag_variable *x)
{
    return x->requires_grad || (x->base && x->base->requires_grad);
}
static inline ag_device ag__device(const ag_variable *x) { return x->tensor.storage->device; }
static inline bool ag__is_floating(ag_dtype d) { return d == AG_FLOAT32 || d == AG_FLOAT64; }

/* ---- nodes (record.c) ---- */
void ag__node_bury(Thread *t, ag_node *n);
void ag__node_unsave(Thread *t, ag_node *n); /* what was saved has been used */
/* What PyTorch's sentences call the op of a node: "Mul" for MulBackward0, "Pow1" for PowBackward1.
 * Returns text. */
const char *ag__forward_name(const ag_node *node, char *text, size_t room);
void ag__retain_forget(ag_variable *x); /* x's node no longer gives its gradient to x.grad */
/* Round every change of .grad. What the first says, the second is told: a thread may have come up in between. */
bool ag__leaf_lock_always(ag_variable *leaf);
void ag__leaf_unlock_always(ag_variable *leaf);
static inline bool ag__leaf_lock(ag_variable *leaf) { return !__libc_single_threaded && ag__leaf_lock_always(leaf); }
static inline void ag__leaf_unlock(ag_variable *leaf, bool locked)
{
    if (locked) ag__leaf_unlock_always(leaf);
}
ag_variable *ag__take_grad(ag_variable *x); /* x.grad, which x no longer has; the caller owns it */

/* ---- views (views.c) ---- */
void ag__view_made(ag_variable *view, ag_variable *of, ag_made_in made_in); /* view becomes a view to autograd */
/* A view whose base has been changed in place since has its history from there. false with an error, of a view that
 * was not made plainly even where the change was not recorded. */
bool ag__view_refresh_stale(Thread *t, ag_variable *x);
static inline bool ag__view_refresh(Thread *t, ag_variable *x)
{
    return !x || !x->base || ag__view_refresh_stale(t, x);
}

/* PyTorch's sentence on a change in place of a Variable that repeats elements: false. */
bool ag__fail_overlap(const char *op);

/* While an error stands, what changes state refuses: false. */
static inline bool ag__may_change(const Thread *t) { return !t->failed; }

#endif
