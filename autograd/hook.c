/* hook.c - registering hooks; see hook.h. */
#include "autograd/pass.h"

#include <pthread.h>
#include <stdlib.h>

static bool check_variable(const char *call, const ag_variable *x)
{
    if (!x || x == AG_NONE) return ag__fail(AG_EINVAL, "%s: input is %s", call, x ? "None" : "NULL");
    if (!ag__requires_grad(x))
        return ag__fail(AG_EGRAPH, "cannot register a hook on a tensor that doesn't require gradient");
    return ag__view_refresh(ag__thread(), (ag_variable *)(uintptr_t)x);
}
static bool check_call(const char *call, bool hook)
{
    if (!ag__may_change(ag__thread())) return false;
    return hook || ag__fail(AG_EINVAL, "%s: the hook is NULL", call);
}

/* On x's place in the graph: with its node, or with the leaf that it is. */
static ag_hook add_to(ag_variable *x, ag__hook *hook)
{
    hook->output_nr = x->output_nr;
    if (x->grad_fn) return ag__hook_add(&x->grad_fn->hooks, false, hook);
    hook->output_nr = 0;
    hook->counter = &ag__n_leaf_hooks;
    return ag__hook_add(&x->hooks, false, hook);
}

ag_hook ag_register_hook_call(const struct ag_register_hook_args *a)
{
    if (!check_call("register_hook", a->hook) || !check_variable("register_hook", a->input)) return 0;
    ag__hook hook = {
        .kind = AG_GRAD_HOOK, .function = (void (*)(void))a->hook, .user = a->user, .free_user = a->free_user
    };
    return add_to(a->input, &hook);
}

ag_hook ag_register_post_accumulate_grad_hook_call(const struct ag_register_post_accumulate_grad_hook_args *a)
{
    static const char call[] = "register_post_accumulate_grad_hook";
    if (!check_call(call, a->hook) || !check_variable(call, a->input)) return 0;
    if (a->input->grad_fn)
        return (uintptr_t)ag__fail(AG_EGRAPH, "post accumulate grad hooks cannot be registered on non-leaf tensors");
    ag__hook hook = {
        .kind = AG_LEAF_HOOK, .function = (void (*)(void))a->hook, .user = a->user, .free_user = a->free_user
    };
    return add_to(a->input, &hook);
}

static ag_hook add_to_node(const char *call, ag_node *node, int kind, void (*function)(void), void *user,
                           ag_free_user *free_user)
{
    if (!check_call(call, function)) return 0;
    if (!node) return (uintptr_t)ag__fail(AG_EINVAL, "%s: the node is NULL: a leaf has none", call);
    const ag__hook hook = { .kind = kind, .function = function, .user = user, .free_user = free_user };
    return ag__hook_add(&node->hooks, false, &hook);
}
ag_hook ag_node_register_prehook_call(const struct ag_node_register_prehook_args *a)
{
    return add_to_node("register_prehook", a->node, AG_NODE_PREHOOK, (void (*)(void))a->hook, a->user, a->free_user);
}
ag_hook ag_node_register_hook_call(const struct ag_node_register_hook_args *a)
{
    return add_to_node("register_hook", a->node, AG_NODE_HOOK, (void (*)(void))a->hook, a->user, a->free_user);
}

/* ---- for several gradients ---- */

/* What has come in one walk. */
typedef struct gathering {
    uint64_t walk;
    int n_due; /* still to come */
    struct gathering *next;
    ag_variable *grads[];
} gathering;

/* A hook for several gradients: on each Variable there is one that tells it what has come. They all hold it. */
typedef struct multi_hook {
    pthread_mutex_t lock;
    gathering *gatherings; /* of the walks that are under way */
    uint64_t done;         /* .any: the last walk in which it was called */
    ag__hook *hooks;       /* the user's alone, whose handle is given out */
    int n, refs;
    bool any;
    uintptr_t place[]; /* the Variables' places in the graph: nodes, or leaves with bit 0 set */
} multi_hook;
typedef struct multi_member {
    multi_hook *multi;
    int index;
} multi_member;

static void gathering_free(multi_hook *m, gathering *g)
{
    Thread *t = ag__thread();
    for (int i = 0; i < m->n; i++)
        if (g->grads[i]) ag__unref(t, g->grads[i], AG_REFERENCE);
    free(g);
    ag__bury(t);
}
static void multi_unref(multi_hook *m)
{
    if (__atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL)) return;
    for (gathering *g = m->gatherings, *next; g; g = next) {
        next = g->next;
        gathering_free(m, g);
    }
    ag__hooks_drop(&m->hooks);
    pthread_mutex_destroy(&m->lock);
    free(m);
}
static void member_free(void *user)
{
    multi_member *member = user;
    multi_unref(member->multi);
    free(member);
}

/* How many of the Variables this walk will come to. */
static int count_due(const multi_hook *m, const ag_pass *w)
{
    int n = 0;
    for (int i = 0; i < m->n; i++) n += !w->is_mapped || ag__place_slot(w, m->place[i])->to;
    return n;
}

/* The walk's gathering, under the lock; NULL where memory is out. */
static gathering *gathering_of(multi_hook *m, const ag_pass *w)
{
    for (gathering *g = m->gatherings; g; g = g->next)
        if (g->walk == w->id) return g;
    gathering *g = calloc(1, sizeof *g + (size_t)m->n * sizeof *g->grads);
    if (!g) return ag__fail_memory("a hook for several gradients", sizeof *g);
    g->walk = w->id;
    g->n_due = count_due(m, w);
    g->next = m->gatherings;
    m->gatherings = g;
    return g;
}
static void take_out(multi_hook *m, const gathering *g)
{
    gathering **slot = &m->gatherings;
    while (*slot != g) slot = &(*slot)->next;
    *slot = g->next;
}

/* The user's function, if it has not been removed. */
static bool call_user(multi_hook *m, ag_variable *const *grads)
{
    ag__hook_call call;
    bool ok = ag__hooks_begin(&call, &m->hooks);
    for (int i = 0; i < call.n && ok; i++) {
        ok = ((ag_multi_grad_hook *)call.at[i]->function)(m->n, grads, call.at[i]->user) && !ag__thread()->failed;
        if (!ok) ag__fail(AG_EINVAL, "a hook for several gradients failed and left no error that says why");
    }
    ag__hooks_end(&call);
    return ok;
}

static ag_variable *member_hook(ag_variable *grad, void *user)
{
    const multi_member *member = user;
    multi_hook *m = member->multi;
    const ag_pass *w = ag__thread()->walk;
    pthread_mutex_lock(&m->lock);
    if (m->any && m->done == w->id) {
        pthread_mutex_unlock(&m->lock);
        return NULL;
    }
    gathering *g = gathering_of(m, w);
    bool complete = g && (--g->n_due <= 0 || m->any);
    if (g && !g->grads[member->index]) {
        ag__ref(grad, AG_REFERENCE);
        g->grads[member->index] = grad;
    }
    if (complete) {
        take_out(m, g);
        m->done = w->id;
    }
    pthread_mutex_unlock(&m->lock);
    if (!complete) return NULL;
    call_user(m, g->grads);
    gathering_free(m, g);
    return NULL;
}

static bool add_member(multi_hook *m, int i, ag_variable *x)
{
    multi_member *member = malloc(sizeof *member);
    if (!member) return ag__fail_memory("a hook for several gradients", sizeof *member);
    *member = (multi_member){ m, i };
    ag__hook hook = { .kind = AG_GRAD_HOOK,
                      .function = (void (*)(void))member_hook,
                      .user = member,
                      .free_user = member_free,
                      .counter = &ag__n_leaf_hooks };
    m->refs++;
    if (add_to(x, &hook)) return true;
    m->refs--;
    free(member);
    return false;
}

ag_hook ag_register_multi_grad_hook_call(const struct ag_register_multi_grad_hook_args *a)
{
    static const char call[] = "register_multi_grad_hook";
    int64_t n = a->tensors.n;
    if (!check_call(call, a->hook)) return 0;
    if (n < 1 || n > INT16_MAX)
        return (uintptr_t)ag__fail(AG_EINVAL, "%s: %lld Variables are given", call, (long long)n);
    for (int64_t i = 0; i < n; i++)
        if (!check_variable(call, a->tensors.at[i])) return 0;
    multi_hook *m = calloc(1, sizeof *m + (size_t)n * sizeof *m->place);
    if (!m) return (uintptr_t)ag__fail_memory("a hook for several gradients", sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    m->n = (int)n;
    m->any = a->any;
    m->refs = 1; /* until it is complete */
    ag__hook user = { .function = (void (*)(void))a->hook, .user = a->user };
    ag_hook id = ag__hook_add(&m->hooks, false, &user);
    bool ok = id != 0;
    for (int i = 0; i < m->n && ok; i++) {
        m->place[i] = ag__place_of(a->tensors.at[i]);
        ok = add_member(m, i, a->tensors.at[i]);
    }
    if (ok)
        m->hooks->free_user = a->free_user; /* the user's from now on */
    else
        ag_hook_remove(id); /* the members that there are have nobody to tell */
    multi_unref(m);
    return ok ? id : 0;
}
