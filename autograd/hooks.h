/* hooks.h - lists of hooks, as the engine and Modules keep them; hook.h is what users see. */
#ifndef AG_HOOKS_H
#define AG_HOOKS_H
#include "autograd/node.h"

#include <argent/hook.h>

/* One registered hook. Its list holds it, and whoever is about to call it. */
typedef struct ag__hook {
    ag_hook id;
    int32_t refs;
    uint32_t output_nr; /* of a Variable's hook: which of its node's outputs */
    int64_t *counter;   /* counts the living ones of some kinds; or NULL */
    int kind;           /* what it is registered as: one of its owner's kinds */
    void (*function)(void);
    void *user;
    ag_free_user *free_user;
    struct ag__hook *next; /* in its owner's list, in the order of registering */
    struct ag__hook **list;
    struct ag__hook *same_bucket; /* in the table of all */
} ag__hook;

/* The kinds that the engine knows. */
enum { AG_GRAD_HOOK, AG_LEAF_HOOK, AG_NODE_PREHOOK, AG_NODE_HOOK };

/* A new hook at the end of *list (first: at its beginning), with hook's counter, kind, output_nr, function, user and
 * free_user. 0 with an error; then free_user has not been called. */
ag_hook ag__hook_add(ag__hook **list, bool first, const ag__hook *hook);
/* Whether there are any, as other threads add and remove them: what is to be called, ag__hooks_begin says. */
static inline bool ag__hooks_any(ag__hook *const *list) { return __atomic_load_n(list, __ATOMIC_RELAXED) != NULL; }
/* All hooks of the list go. */
void ag__hooks_drop(ag__hook **list);

/* Calls that may add and remove hooks as they go: a copy of the list as it is. */
typedef struct ag__hook_call {
    ag__hook **at; /* n of them, each held */
    int n, max;
    ag__hook *few[4];
} ag__hook_call;
bool ag__hooks_begin(ag__hook_call *call, ag__hook **list);
void ag__hooks_end(ag__hook_call *call);

/* A hook gave `by` for the gradient *g: false with an error where it is of another size or type. */
bool ag__hook_replace(ag_variable **g, ag_variable *by);

/* How many hooks there are on leaves, and for several gradients: while there are any, a walk finds out first what it
 * will reach. */
extern int64_t ag__n_leaf_hooks;

#endif
