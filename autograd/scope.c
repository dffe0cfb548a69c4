/* scope.c - one stack of held Variables a thread; a scope is a height of it. See scope.h. */
#include "autograd/profile.h"

#include "tensor/fail.h"

static inline ag_variable *entry_of(uintptr_t entry) { return (ag_variable *)(entry & ~(uintptr_t)1); }

/* The stack is full. */
static bool held_grow(Thread *t)
{
    if (t->stateless) return false;
    void *table = t->held;
    bool ok = ag__grow(&table, &t->max_held, t->n_held + 1, sizeof *t->held);
    t->held = table;
    return ok;
}

ag_variable *ag__hold_growing(Thread *t, ag_variable *x)
{
    if (held_grow(t)) return t->held[t->n_held++] = x;
    ag__unref(t, entry_of((uintptr_t)x), AG_OWNER);
    ag__bury(t);
    return NULL;
}

bool ag__unhold(Thread *t, ag_variable *x, int64_t newest)
{
    int64_t start = newest < t->n_held - t->scope_start ? t->n_held - newest : t->scope_start;
    for (int64_t i = t->n_held; i-- > start;)
        if (t->held[i] == x) {
            t->held[i] = t->held[--t->n_held];
            return true;
        }
    return false;
}

ag_scope ag_scope_begin(void) { return ag__scope_open(ag__thread()); }

/* A jump skipped the ends of inner scopes and modes. */
static void restore(Thread *t, const ag_scope *scope)
{
    t->grad_off = scope->grad_off;
    t->inference = scope->inference;
    t->walk = scope->walk;
    t->saved_hooks = scope->saved_hooks;
    t->caller = scope->caller;
}

void ag__scope_close(Thread *t, const ag_scope *scope)
{
    if (t->scope_depth <= scope->depth) return; /* closed already, with one round it */
    if (t->scope_depth > scope->depth + 1) restore(t, scope);
    int64_t kept = scope->start, top = t->n_held;
    for (int64_t i = kept; i < top; i++) {
        uintptr_t entry = (uintptr_t)t->held[i];
        if (entry & 1)
            t->held[kept++] = entry_of(entry); /* the enclosing scope's from now on */
        else
            ag__unref(t, (ag_variable *)entry, AG_OWNER);
    }
    t->n_held = kept;
    t->scope_start = scope->outer;
    t->scope_depth = scope->depth;
    ag__bury(t);
}
void ag_scope_end(ag_scope *scope)
{
    if (scope)
        ag__scope_close(ag__thread(), scope);
    else
        ag__fail(AG_EINVAL, "scope_end: the scope is NULL");
}

ag_variable *ag_keep(ag_variable *x)
{
    if (x == AG_NONE) return x;
    Thread *t = ag__thread();
    if (!x) return ag__fail(AG_EINVAL, "keep: input is NULL");
    if (!t->scope_depth)
        return ag__fail(AG_EINVAL, "keep: no scope is open, so there is none further out that could hold the Variable; "
                                   "ag_retain holds it beyond any scope");
    for (int64_t i = t->n_held; i-- > t->scope_start;) { /* the hold that there is moves; else there is a new one */
        if (t->held[i] != x) continue;
        t->held[i] = (ag_variable *)((uintptr_t)x | 1);
        return x;
    }
    ag__ref(x, AG_OWNER);
    return ag__hold(t, (ag_variable *)((uintptr_t)x | 1)) ? x : NULL;
}

ag_variable *ag_let(ag_variable **x, ag_variable *y)
{
    if (!x) return ag__fail(AG_EINVAL, "let: the address of the Variable is NULL");
    ag_variable *old = *x;
    *x = y;
    if (!old || old == y || old == AG_NONE) return y;
    Thread *t = ag__thread();
    if (ag__unhold(t, old, AG_ALL_HELD)) {
        ag__unref(t, old, AG_OWNER);
        ag__bury(t);
    }
    return y;
}

/* What is dead has no references. Where memory is cached it stays the library's, so they can still be read until it is
 * used again; elsewhere a memory checker has the word. */
static int64_t owners(const ag_variable *x) { return __atomic_load_n(&x->refs, __ATOMIC_RELAXED) >> 32; }

ag_variable *ag_retain(ag_variable *x)
{
    if (!x || x == AG_NONE) return x;
    if (!__atomic_load_n(&x->refs, __ATOMIC_RELAXED))
        return ag__fail(AG_EINVAL, "retain: the Variable has died: its scope has ended");
    ag__ref(x, AG_OWNER);
    return x;
}
void ag_release(ag_variable *x)
{
    if (!x || x == AG_NONE) return;
    if (owners(x) <= 0) {
        ag__fail(AG_EINVAL, "release: nobody holds the Variable any more: it was released more often than retained");
        return;
    }
    Thread *t = ag__thread();
    ag__unref(t, x, AG_OWNER);
    ag__bury(t);
}

/* A thread ends: what no scope held dies with it, and so do its numbers. */
static void thread_end(ag_thread *t)
{
    ag_scope root = { .depth = 0 };
    t->scope_depth = 1;
    ag_scope_end(&root);
    for (size_t k = 0; k < sizeof t->scalars / sizeof *t->scalars; k++)
        if (t->scalars[k]) ag__unref(t, t->scalars[k], AG_OWNER);
    ag__bury(t);
    ag__recorder_leave(t);
}
__attribute__((constructor)) static void set_thread_end(void) { ag__thread_end_hook = thread_end; }
