/* scope.h - who lets go of Variables, so that you need not.
 *
 *     for (Batch batch; ag_data_next(loader, &batch);) {
 *         AG_SCOPE;                              what this block makes, dies with it
 *         ...
 *     }
 *
 * A function that makes a Variable hands it to the innermost open scope of the calling thread. Closing a scope lets go
 * of all it holds; what a living graph, a Module or another scope still needs stays. Each thread has a root scope,
 * closed at its end.
 */
#ifndef ARGENT_SCOPE_H
#define ARGENT_SCOPE_H
#include <argent/args.h>

AG_BEGIN_DECLS

typedef struct ag_scope {
    int64_t start, outer;
    int depth;
    bool grad_off, inference; /* the modes as they were, in case a jump skips their ends */
    void *walk, *saved_hooks;
    const void *caller;
} ag_scope;

/* Opens a scope for the rest of the enclosing block, however it is left (break, continue, return, goto). */
#define AG_SCOPE \
    __attribute__((cleanup(ag_scope_end), unused)) ag_scope AG_PASTE(ag_scope_, __COUNTER__) = ag_scope_begin()

/* The same by hand. Scopes close in the reverse order of opening; closing one also closes those opened after it (a
 * longjmp may have skipped them). */
AG_API ag_scope ag_scope_begin(void);
AG_API void ag_scope_end(ag_scope *scope);

/* Moves the innermost scope's hold on x one scope out, and returns x: how a function that opened a scope returns a
 * Variable. NULL with an error where no scope is open, as then there is none further out: AG_EINVAL. */
AG_API ag_variable *ag_keep(ag_variable *x);
/* *x = y, and the innermost scope lets go of the old *x now rather than at its end: for a local that a loop replaces.
 * Returns y. */
AG_API ag_variable *ag_let(ag_variable **x, ag_variable *y);
/* Holds x beyond any scope, and across threads, until ag_release: for what a struct of yours keeps. Returns x; NULL is
 * fine. */
AG_API ag_variable *ag_retain(ag_variable *x);
/* Undoes one ag_retain; NULL is fine. Of a Variable that nobody holds any more, as far as that can be seen: AG_EINVAL.
 */
AG_API void ag_release(ag_variable *x);

AG_END_DECLS
#endif
