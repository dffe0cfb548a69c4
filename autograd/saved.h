/* saved.h - a Variable that a node keeps, or what a hook has made of it (saved_hooks.c): an address with bit 0 set. */
#ifndef AG_SAVED_H
#define AG_SAVED_H
#include "autograd/op.h"

#include <argent/saved_hooks.h>

typedef struct ag_packed {
    int32_t refs;
    void *object; /* what pack made */
    ag_unpack_hook *unpack;
    ag_packed_free *free_packed;
    void *user;
} ag_packed;

static inline bool ag__is_packed(const ag_variable *saved) { return (uintptr_t)saved & 1; }
static inline ag_packed *ag__packed(ag_variable *saved)
{
    return (ag_packed *)(void *)((uintptr_t)saved & ~(uintptr_t)1);
}
void ag__packed_unref(ag_packed *p);

static inline void ag__saved_ref(ag_variable *saved)
{
    if (ag__is_packed(saved))
        ag__count_up(&ag__packed(saved)->refs);
    else
        ag__ref(saved, AG_REFERENCE);
}
static inline void ag__saved_unref(Thread *t, ag_variable *saved)
{
    if (ag__is_packed(saved))
        ag__packed_unref(ag__packed(saved));
    else
        ag__unref(t, saved, AG_REFERENCE);
}

/* What the thread's innermost pack hook makes of x takes x's place in *saved, of which a reference goes. false with an
 * error; *saved is as it was. */
bool ag__pack(Thread *t, ag_variable **saved);
/* Of everything that the node keeps: its inputs, or its outputs. */
bool ag__pack_inputs(Thread *t, ag_node *n);
bool ag__pack_outputs(Thread *t, ag_node *n);
/* What it was made of; the scope's. NULL with an error. */
ag_variable *ag__unpack(Thread *t, ag_variable *packed);
/* x's numbers with a gradient that goes to leaf. */
ag_variable *ag__stand_in(ag_variable *x, ag_variable *leaf);

/* x's numbers as output output_nr of n; the scope's. */
ag_variable *ag__with_history(Thread *t, ag_variable *x, ag_node *n, uint32_t output_nr);

bool ag__fail_freed(void);
/* x, which n keeps, is not what it was. made_by: the node that it is an output of, NULL: of none. */
bool ag__fail_modified(const ag_node *n, const ag_variable *x, uint32_t version, const ag_node *made_by,
                       uint32_t output_nr);

/* Round what a node has saved, which several walks may take. */
bool ag__node_lock_always(ag_node *n);
void ag__node_unlock_always(ag_node *n);
static inline bool ag__node_lock(ag_node *n) { return !__libc_single_threaded && ag__node_lock_always(n); }
static inline void ag__node_unlock(ag_node *n, bool locked)
{
    if (locked) ag__node_unlock_always(n);
}

#endif
