/* module_hooks.c - hooks of Modules, and calls of modules that have some; see module_hooks.h.
 *
 * A backward hook stands at two places in the graph: the module's output and its input go through a node that hands
 * their gradients on (BackwardHookFunctionBackward), and hooks on these nodes call those of the module. The one at the
 * output keeps the gradient that came; the one at the input finds it there. Where there is none, the gradient has come
 * to the input by another way than through the output (a second derivative), and the hooks are not called.
 */
#include <argent/module_hooks.h>

#include "autograd/pass.h"
#include "nn/module_parts.h"
#include "tensor/fail.h"

#include <pthread.h>
#include <stdlib.h>

/* Pre-hooks are of one type, and so are the others. */
enum { FORWARD_PRE, FORWARD, FORWARD_ALWAYS, BACKWARD_PRE, BACKWARD };

/* In lists of their own: a graph holds the latter as long as it lives. */
enum { ROUND_FORWARD, ROUND_BACKWARD };
static int list_of(int kind) { return kind < BACKWARD_PRE ? ROUND_FORWARD : ROUND_BACKWARD; }

static ag__hook *for_all[2]; /* modules */
static int64_t n_for_all[2];

static bool has_hooks(const ag_module *m, int list)
{
    return ag__hooks_any(&m->parts->hooks[list]) || __atomic_load_n(&n_for_all[list], __ATOMIC_RELAXED);
}
bool ag__module_has_hooks(const ag_module *m) { return has_hooks(m, ROUND_FORWARD) || has_hooks(m, ROUND_BACKWARD); }

/* ---- registering ---- */

static ag_hook add(ag__hook **lists, bool prepend, ag__hook hook)
{
    if (!ag__may_change(ag__thread())) return 0;
    if (hook.function) return ag__hook_add(&lists[list_of(hook.kind)], prepend, &hook);
    return (uintptr_t)ag__fail(AG_EINVAL, "register_hook: the hook is NULL");
}
static ag_hook add_to(ag_module *m, bool prepend, ag__hook hook)
{
    return ag__module_given("register_hook", m) ? add(m->parts->hooks, prepend, hook) : 0;
}
static ag_hook add_for_all(ag__hook hook)
{
    hook.counter = &n_for_all[list_of(hook.kind)];
    return add(for_all, false, hook);
}
#define HOOK(kind_, a) \
    ((ag__hook){       \
        .kind = (kind_), .function = (void (*)(void))(a)->hook, .user = (a)->user, .free_user = (a)->free_user })

ag_hook ag_module_register_forward_pre_hook_call(const struct ag_module_register_forward_pre_hook_args *a)
{
    return add_to(a->module, a->prepend, HOOK(FORWARD_PRE, a));
}
ag_hook ag_module_register_forward_hook_call(const struct ag_module_register_forward_hook_args *a)
{
    return add_to(a->module, a->prepend, HOOK(a->always_call ? FORWARD_ALWAYS : FORWARD, a));
}
ag_hook ag_module_register_full_backward_pre_hook_call(const struct ag_module_register_full_backward_pre_hook_args *a)
{
    return add_to(a->module, a->prepend, HOOK(BACKWARD_PRE, a));
}
ag_hook ag_module_register_full_backward_hook_call(const struct ag_module_register_full_backward_hook_args *a)
{
    return add_to(a->module, a->prepend, HOOK(BACKWARD, a));
}
ag_hook ag_nn_register_module_forward_pre_hook_call(const struct ag_nn_register_module_forward_pre_hook_args *a)
{
    return add_for_all(HOOK(FORWARD_PRE, a));
}
ag_hook ag_nn_register_module_forward_hook_call(const struct ag_nn_register_module_forward_hook_args *a)
{
    return add_for_all(HOOK(a->always_call ? FORWARD_ALWAYS : FORWARD, a));
}
ag_hook
ag_nn_register_module_full_backward_pre_hook_call(const struct ag_nn_register_module_full_backward_pre_hook_args *a)
{
    return add_for_all(HOOK(BACKWARD_PRE, a));
}
ag_hook ag_nn_register_module_full_backward_hook_call(const struct ag_nn_register_module_full_backward_hook_args *a)
{
    return add_for_all(HOOK(BACKWARD, a));
}

/* ---- the hooks of one call: those for all modules, then the module's own ---- */

typedef struct hooks {
    ag__hook_call all, own;
} hooks;
static bool hooks_begin(hooks *h, ag_module *m, int list)
{
    bool ok = ag__hooks_begin(&h->all, &for_all[list]);
    return ag__hooks_begin(&h->own, &m->parts->hooks[list]) && ok;
}
static void hooks_end(hooks *h)
{
    ag__hooks_end(&h->all);
    ag__hooks_end(&h->own);
}
static int hooks_count(const hooks *h) { return h->all.n + h->own.n; }
static const ag__hook *hook_at(const hooks *h, int i) { return i < h->all.n ? h->all.at[i] : h->own.at[i - h->all.n]; }

/* A hook in a scope of its own, out of which goes what it returns, if it is not one of those that it was given. The ops
 * that it calls are its own lines', also in one of the library's Modules. y: NULL for a hook of one Variable. */
static ag_variable *call_hook(const ag__hook *hook, ag_module *m, ag_variable *x, ag_variable *y)
{
    const bool has_one = hook->kind == FORWARD_PRE || hook->kind == BACKWARD_PRE;
    Thread *t = ag__thread();
    const void *caller = t->caller;
    AG_SCOPE;
    t->caller = NULL;
    ag_variable *by = has_one ? ((ag_forward_pre_hook *)hook->function)(m, x, hook->user)
                              : ((ag_forward_hook *)hook->function)(m, x, y, hook->user);
    t->caller = caller;
    return !by || by == x || by == y ? by : ag_keep(by);
}
static ag_variable *call_forward(ag_module *m, ag_variable *x, ag_variable *target)
{
    AG_SCOPE;
    ag_variable *y = target ? m->criterion(m, x, target) : m->forward(m, x);
    return !y || y == x || y == target ? y : ag_keep(y);
}

/* What a hook gave in *x's place, NULL: nothing. false with an error. */
static bool take(ag_variable **x, ag_variable *by)
{
    if (by == AG_NONE) return ag__fail(AG_EINVAL, "a hook returned None: NULL leaves what it saw as it is");
    if (by) *x = by;
    return by || !ag__thread()->failed;
}

static bool call_pre_hooks(ag_module *m, ag_variable **x)
{
    hooks h;
    bool ok = hooks_begin(&h, m, ROUND_FORWARD);
    for (int i = 0; i < hooks_count(&h) && ok; i++) {
        const ag__hook *hook = hook_at(&h, i);
        if (hook->kind == FORWARD_PRE) ok = take(x, call_hook(hook, m, *x, NULL));
    }
    hooks_end(&h);
    return ok;
}

/* y: NULL where forward has failed. Returns the output, NULL with an error. */
static ag_variable *call_forward_hooks(ag_module *m, ag_variable *x, ag_variable *y)
{
    hooks h;
    bool ok = hooks_begin(&h, m, ROUND_FORWARD) && y;
    for (int i = 0; i < hooks_count(&h); i++) {
        const ag__hook *hook = hook_at(&h, i);
        if (hook->kind != FORWARD_ALWAYS && (hook->kind != FORWARD || !ok)) continue;
        ag_variable *by = call_hook(hook, m, x, y);
        if (ok) ok = take(&y, by);
    }
    hooks_end(&h);
    return ok ? y : NULL;
}

/* ---- backward ---- */

/* A gradient that has come to the output, in a walk of some thread, and waits for the one of the input. */
typedef struct waiting {
    const Thread *thread;
    uint64_t walk;
    ag_variable *grad_output; /* NULL: none */
    struct waiting *next;
} waiting;

/* One forward whose backward has hooks. Both of its nodes hold it. */
typedef struct backward_call {
    int32_t refs;
    ag_module_link *module; /* which may die before the graph does */
    hooks hooks;            /* as they were when forward ran */
    bool has_input;         /* there is a node at the input */
    pthread_mutex_t lock;   /* of what waits: one a thread */
    waiting waiting;        /* the first of them, in a list */
} backward_call;

void ag__module_link_unref(ag_module_link *link)
{
    if (link && ag__count_down(&link->refs)) free(link);
}
/* m's link, made when it is first asked for; it may be asked for in several threads at once. */
static ag_module_link *link_to(ag_module *m)
{
    ag_module_link **here = &m->parts->link_here, *link = __atomic_load_n(here, __ATOMIC_ACQUIRE), *made = NULL;
    if (!link) {
        made = malloc(sizeof *made);
        if (!made) return ag__fail_memory("a module's hooks", sizeof *made);
        *made = (ag_module_link){ 1, m };
        if (__atomic_compare_exchange_n(here, &link, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            link = made;
        else
            free(made);
    }
    ag__count_up(&link->refs);
    return link;
}

/* This thread's entry; NULL if it has none. */
static waiting *waiting_here(backward_call *b)
{
    waiting *w = &b->waiting;
    while (w && w->thread != ag__thread()) w = w->next;
    return w;
}
static bool keep_grad_output(backward_call *b, ag_variable *g)
{
    Thread *t = ag__thread();
    pthread_mutex_lock(&b->lock);
    waiting *w = waiting_here(b);
    if (!w) {
        w = b->waiting.thread ? calloc(1, sizeof *w) : &b->waiting;
        if (w && w != &b->waiting) {
            w->next = b->waiting.next;
            b->waiting.next = w;
        }
    }
    ag_variable *before = NULL;
    if (w) {
        before = w->grad_output;
        w->thread = t;
        w->walk = t->walk->id;
        w->grad_output = ag_retain(g);
    }
    pthread_mutex_unlock(&b->lock);
    ag_release(before);
    return w || ag__fail_memory("a module's hooks", sizeof *w);
}
/* What came to the output in this walk; NULL: nothing. To be released. */
static ag_variable *take_grad_output(backward_call *b)
{
    pthread_mutex_lock(&b->lock);
    waiting *w = waiting_here(b);
    ag_variable *g = w && w->walk == ag__thread()->walk->id ? w->grad_output : NULL;
    if (g) w->grad_output = NULL;
    pthread_mutex_unlock(&b->lock);
    return g;
}

static void backward_unref(void *user)
{
    backward_call *b = user;
    if (!b || !ag__count_down(&b->refs)) return;
    for (waiting *w = &b->waiting, *next; w; w = next) {
        next = w->next;
        ag_release(w->grad_output);
        if (w != &b->waiting) free(w);
    }
    hooks_end(&b->hooks);
    ag__module_link_unref(b->module);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* *made stays NULL where there are no backward hooks. */
static bool backward_begin(ag_module *m, backward_call **made)
{
    if (!has_hooks(m, ROUND_BACKWARD)) return true;
    backward_call *b = calloc(1, sizeof *b);
    if (!b) return ag__fail_memory("a module's hooks", sizeof *b);
    b->refs = 1;
    pthread_mutex_init(&b->lock, NULL);
    b->module = link_to(m);
    if (b->module && hooks_begin(&b->hooks, m, ROUND_BACKWARD)) {
        *made = b;
        return true;
    }
    backward_unref(b);
    return false;
}

/* The gradient of the input, through the hooks. */
static bool call_backward_hooks(backward_call *b, ag_module *m, ag_variable **grad_input, ag_variable *grad_output)
{
    for (int i = 0; i < hooks_count(&b->hooks); i++) {
        const ag__hook *hook = hook_at(&b->hooks, i);
        if (hook->kind != BACKWARD) continue;
        ag_variable *by = call_hook(hook, m, *grad_input, grad_output);
        if (by && !*grad_input)
            return ag__fail(AG_EINVAL, "Backward hook for Modules where no input requires gradient should always "
                                       "return None or None for all gradients.");
        if (ag__thread()->failed || (by && !ag__hook_replace(grad_input, by))) return false;
    }
    return true;
}

static bool at_output(int n_in, ag_variable **grad_in, int n_out, ag_variable *const *grad_out, void *user)
{
    backward_call *b = user;
    ag_module *m = __atomic_load_n(&b->module->module, __ATOMIC_ACQUIRE);
    ag_variable *g = grad_out[0];
    (void)n_in, (void)n_out;
    if (!m || !g) return true;
    for (int i = 0; i < hooks_count(&b->hooks); i++) {
        const ag__hook *hook = hook_at(&b->hooks, i);
        if (hook->kind != BACKWARD_PRE) continue;
        ag_variable *by = call_hook(hook, m, g, NULL);
        if (ag__thread()->failed || (by && !ag__hook_replace(&g, by))) return false;
    }
    if (grad_in[0]) grad_in[0] = g;
    ag_variable *none = NULL;
    if (!b->has_input) return call_backward_hooks(b, m, &none, g);
    return keep_grad_output(b, g);
}
static bool at_input(int n_in, ag_variable **grad_in, int n_out, ag_variable *const *grad_out, void *user)
{
    backward_call *b = user;
    ag_module *m = __atomic_load_n(&b->module->module, __ATOMIC_ACQUIRE);
    ag_variable *g = take_grad_output(b);
    bool ok = !m || !g || !grad_in[0] || call_backward_hooks(b, m, &grad_in[0], g);
    (void)n_in, (void)n_out, (void)grad_out;
    ag_release(g);
    return ok;
}

/* x itself, through a node of its own. */
#define AG_ARGS__backward_hook(must, may) must(Tensor, input)
AG_STRUCT(_backward_hook, AG_ARGS__backward_hook)
static bool backward_hook_shape(ag_run *r)
{
    const ag_tensor *x = &r->in[0]->tensor;
    return ag__output_view_of_function(r, x->ndim, x->size, x->stride, 0);
}
static void backward_hook_backward(ag_gradients *b) { b->grad[0] = b->g[0]; }
AG_RECORD(_backward_hook, AG_ARGS__backward_hook, .of = "BackwardHookFunction", .node = "BackwardHookFunctionBackward",
          .shape = backward_hook_shape, .backward = backward_hook_backward)

/* Puts such a node behind *x, where it wants a gradient. *attached: there is one. */
static bool attach(backward_call *b, ag_variable **x, ag_node_hook *hook, bool *attached)
{
    *attached = ag__wants(ag__thread(), *x);
    if (!*attached) return true;
    const struct ag__backward_hook_args args = { .input = *x };
    ag_variable *y = ag__apply1(ag__op__backward_hook(), &args, __builtin_return_address(0));
    if (!y) return false;
    ag__count_up(&b->refs);
    if (!ag_node_register_hook(ag_grad_fn(y), hook, .user = b, .free_user = backward_unref)) {
        backward_unref(b);
        return false;
    }
    *x = y;
    return true;
}

/* ---- a call ---- */

ag_variable *ag__module_call_hooked(ag_module *m, ag_variable *x, ag_variable *target)
{
    backward_call *b = NULL;
    ag_variable *y = NULL;
    bool has_output;
    if (backward_begin(m, &b) && call_pre_hooks(m, &x) && (!b || attach(b, &x, at_input, &b->has_input)))
        y = call_forward(m, x, target);
    y = call_forward_hooks(m, x, y);
    if (y && b && !attach(b, &y, at_output, &has_output)) y = NULL;
    backward_unref(b);
    return y;
}
