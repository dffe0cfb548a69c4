/* hooks.c - lists of hooks, and the table that finds one by its handle. */
#include "autograd/hooks.h"

#include "tensor/fail.h"

#include <pthread.h>
#include <stdlib.h>

/* One lock for all lists and the table: hooks come and go rarely. No user's function runs under it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork); }

enum { N_BUCKETS = 1024 };
static ag__hook *buckets[N_BUCKETS];
static ag_hook last_id;
int64_t ag__n_leaf_hooks;

static ag__hook **bucket_slot(ag_hook id)
{
    ag__hook **slot = &buckets[id % N_BUCKETS];
    while (*slot && (*slot)->id != id) slot = &(*slot)->same_bucket;
    return slot;
}

ag_hook ag__hook_add(ag__hook **list, bool first, const ag__hook *of)
{
    ag__hook *hook = malloc(sizeof *hook);
    if (!hook) {
        ag__fail_memory("a hook", sizeof *hook);
        return 0;
    }
    *hook = *of;
    hook->refs = 1;
    hook->same_bucket = NULL;
    if (hook->counter) __atomic_add_fetch(hook->counter, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&lock);
    hook->id = ++last_id;
    ag__hook **end = list;
    while (*end && !first) end = &(*end)->next;
    hook->next = *end;
    hook->list = list;
    __atomic_store_n(end, hook, __ATOMIC_RELAXED);
    *bucket_slot(hook->id) = hook;
    pthread_mutex_unlock(&lock);
    return hook->id;
}

/* Out of its list and the table, under the lock; the list's hold on it is then the caller's. */
static void unlink_hook(ag__hook *hook)
{
    ag__hook **slot = hook->list;
    while (*slot != hook) slot = &(*slot)->next;
    __atomic_store_n(slot, hook->next, __ATOMIC_RELAXED);
    *bucket_slot(hook->id) = hook->same_bucket;
    hook->list = NULL;
}

static void let_go(ag__hook *hook)
{
    if (!ag__count_down(&hook->refs)) return;
    if (hook->counter) __atomic_sub_fetch(hook->counter, 1, __ATOMIC_RELAXED);
    if (hook->free_user) hook->free_user(hook->user);
    free(hook);
}

bool ag_hook_remove(ag_hook id)
{
    pthread_mutex_lock(&lock);
    ag__hook *hook = id ? *bucket_slot(id) : NULL;
    if (hook) unlink_hook(hook);
    pthread_mutex_unlock(&lock);
    if (hook) let_go(hook);
    return hook != NULL;
}

void ag__hooks_drop(ag__hook **list)
{
    for (;;) {
        pthread_mutex_lock(&lock);
        ag__hook *hook = *list;
        if (hook) unlink_hook(hook);
        pthread_mutex_unlock(&lock);
        if (!hook) return;
        let_go(hook);
    }
}

bool ag__hooks_begin(ag__hook_call *call, ag__hook **list)
{
    enum { FEW = sizeof call->few / sizeof *call->few };
    call->at = call->few;
    for (call->max = FEW;;) {
        call->n = 0;
        pthread_mutex_lock(&lock);
        for (ag__hook *hook = *list; hook; hook = hook->next)
            if (call->n++ < call->max) call->at[call->n - 1] = hook;
        for (int i = 0; i < call->n && call->n <= call->max; i++) ag__count_up(&call->at[i]->refs);
        pthread_mutex_unlock(&lock);
        if (call->n <= call->max) return true;
        if (call->at != call->few) ag__scratch_free(call->at);
        call->max = call->n;
        call->at = ag__scratch((size_t)call->max * sizeof(ag__hook *));
        if (!call->at) {
            *call = (ag__hook_call){ 0 };
            return false;
        }
    }
}
void ag__hooks_end(ag__hook_call *call)
{
    for (int i = 0; i < call->n; i++) let_go(call->at[i]);
    if (call->at && call->at != call->few) ag__scratch_free(call->at);
}
