/* pass_deep.c - walks begun by the hooks and functions of other walks, however deep: after so many the next one goes on
 * with a stack of its own. */
#include "autograd/pass.h"

#include <pthread.h>

enum { EVERY = 32 };

typedef struct errand {
    Thread *t;
    ag__walk_body *body;
    void *user;
    bool ok;
} errand;

/* The new thread is the old one to the library: it has its scopes, its modes and its error, while the old one waits. */
static void *run_errand(void *user)
{
    errand *e = user;
    ag__thread_pointer = e->t;
    e->ok = e->body(e->user);
    ag__thread_pointer = NULL;
    return NULL;
}

bool ag__pass_go_deeper(ag_pass *w, ag__walk_body *body, void *user)
{
    w->depth = w->outer ? w->outer->depth + 1 : 0;
    if (!w->depth || w->depth % EVERY) return body(user);
    errand e = { .t = w->t, .body = body, .user = user };
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, run_errand, &e);
    if (failed)
        return ag__fail(AG_ENOMEM, "out of memory: the stack for a backward that %d others have begun", w->depth);
    pthread_join(thread, NULL);
    return e.ok;
}
