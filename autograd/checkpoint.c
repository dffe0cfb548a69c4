/* checkpoint.c - see checkpoint.h: what a function saves is packed as its number alone, and found again by running the
 * function a second time. */
#include "autograd/checkpoint_call.h"
#include "autograd/pass.h"

#include <argent/checkpoint.h>
#include <argent/generator.h>
#include <argent/saved_hooks.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- one call of the function ---- */

void ag__checkpoint_free(ag__checkpoint *c)
{
    for (int64_t i = 0; i < c->n_in; i++) ag_release(c->in[i]);
    if (c->free_user) c->free_user(c->user);
    free(c->in);
    free(c->rng);
    free(c);
}

ag__checkpoint *ag__checkpoint_new(const struct ag_checkpoint_args *a)
{
    ag__checkpoint *c = calloc(1, sizeof *c);
    if (c) {
        c->in = calloc((size_t)a->inputs.n + 1, sizeof *c->in);
        c->rng = a->preserve_rng_state ? malloc(AG_RNG_STATE_BYTES) : NULL;
    }
    if (!c || !c->in || (a->preserve_rng_state && !c->rng)) {
        if (c) ag__checkpoint_free(c);
        if (a->free_user) a->free_user(a->user);
        return ag__fail_memory("a checkpoint", sizeof *c);
    }
    c->function = a->function;
    c->user = a->user;
    c->free_user = a->free_user;
    c->checks = a->determinism_check;
    for (; c->n_in < a->inputs.n; c->n_in++) c->in[c->n_in] = ag_retain(a->inputs.at[c->n_in]);
    if (!c->rng || ag_get_rng_state(c->rng)) return c;
    ag__checkpoint_free(c);
    return NULL;
}

int ag__checkpoint_run(const ag__checkpoint *c, ag_variable *const *in, ag_variable **out)
{
    int n = c->function(in, (int)c->n_in, out, c->user);
    if (ag__thread()->failed) return -1;
    if (n < 1 || n > AG_GRADCHECK_OUTPUTS)
        return ag__fail(AG_EINVAL, "checkpoint: the function says that it has %d outputs; there may be 1 to %d", n,
                        AG_GRADCHECK_OUTPUTS),
               -1;
    for (int k = 0; k < n; k++)
        if (!out[k] || out[k] == AG_NONE)
            return ag__fail(AG_EINVAL, "checkpoint: the function left output %d out", k), -1;
    return n;
}

int ag__checkpoint_run_again(const ag__checkpoint *c, ag_variable *const *in, ag_variable **out)
{
    unsigned char now[AG_RNG_STATE_BYTES];
    if (c->rng && !(ag_get_rng_state(now) && ag_set_rng_state(c->rng, AG_RNG_STATE_BYTES))) return -1;
    ag_mode mode = ag_grad_mode_begin(true);
    int n = ag__checkpoint_run(c, in, out);
    ag_grad_mode_end(&mode);
    if (c->rng && !ag_set_rng_state(now, sizeof now)) return -1;
    return n;
}

/* ---- what the function saves ---- */

/* What is known of a saved Variable; in the second run, the Variable. */
typedef struct place {
    ag_dtype dtype;
    ag_device device;
    int ndim;
    int64_t size[AG_MAX_DIMS];
    ag_variable *again;
} place;

/* The call, as what was packed holds it. */
typedef struct frame {
    int refs;
    pthread_mutex_t lock; /* several threads may walk the graph */
    ag__checkpoint *call;
    place *places;
    int64_t n, max;
    uint64_t walk; /* in which it was last run again */
    int64_t n_again;
    bool differs;
} frame;
typedef struct packed {
    frame *frame;
    int64_t number;
} packed;

static void forget(frame *f)
{
    for (int64_t i = 0; i < f->n; i++) {
        if (f->places[i].again) ag_release(f->places[i].again);
        f->places[i].again = NULL;
    }
}
static void frame_unref(frame *f)
{
    if (__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL)) return;
    forget(f);
    ag__checkpoint_free(f->call);
    pthread_mutex_destroy(&f->lock);
    free(f->places);
    free(f);
}

static void *pack_number(ag_variable *x, void *user)
{
    frame *f = user;
    void *table = f->places;
    bool ok = ag__grow(&table, &f->max, f->n + 1, sizeof *f->places);
    f->places = table;
    packed *p = ok ? malloc(sizeof *p) : NULL;
    if (!p) return ag__fail_memory("a checkpoint", sizeof *p);
    place *at = &f->places[f->n];
    *at = (place){ .dtype = (ag_dtype)x->tensor.dtype, .device = ag__device(x), .ndim = x->tensor.ndim };
    memcpy(at->size, x->tensor.size, sizeof at->size);
    *p = (packed){ f, f->n++ };
    __atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
    return p;
}
static void free_number(void *object, void *user)
{
    packed *p = object;
    (void)user;
    frame_unref(p->frame);
    free(p);
}

/* ---- the second run ---- */

static bool is_alike(const place *at, const ag_tensor *x)
{
    if (at->ndim != x->ndim || at->dtype != (ag_dtype)x->dtype) return false;
    for (int d = 0; d < at->ndim; d++)
        if (at->size[d] != x->size[d]) return false;
    return true;
}

/* What is saved in the second run stays until backward asks for it; of that run's own graph nothing is needed. */
static void *keep_again(ag_variable *x, void *user)
{
    frame *f = user;
    int64_t k = f->n_again++;
    char was[AG_TEXT], is[AG_TEXT];
    if (k >= f->n) return f;
    place *at = &f->places[k];
    if (f->call->checks && !f->differs && !is_alike(at, &x->tensor)) {
        f->differs = true;
        return ag__fail(AG_EGRAPH,
                        "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata "
                        "than during the forward pass. tensor at position %lld: saved metadata: shape %s, dtype %s; "
                        "recomputed metadata: shape %s, dtype %s",
                        (long long)k, ag__shape_text(at->ndim, at->size, was, sizeof was), ag_dtype_name(at->dtype),
                        ag__shape_text(x->tensor.ndim, x->tensor.size, is, sizeof is),
                        ag_dtype_name((ag_dtype)x->tensor.dtype));
    }
    at->again = ag_retain(x);
    return f;
}
static ag_variable *is_not_needed(void *object, void *user)
{
    (void)object, (void)user;
    return ag__fail(AG_EGRAPH, "checkpoint: a backward through the second run of a checkpointed function");
}

static bool run_again(frame *f)
{
    ag_variable *out[AG_GRADCHECK_OUTPUTS];
    ag_scope scope = ag_scope_begin();
    ag_saved_hooks hooks = { .pack = keep_again, .unpack = is_not_needed, .user = f };
    forget(f);
    f->n_again = 0;
    f->differs = false;
    ag_saved_hooks_begin(&hooks);
    bool ok = ag__checkpoint_run_again(f->call, f->call->in, out) > 0;
    ag_saved_hooks_end(&hooks);
    if (ok && f->n_again != f->n)
        ok = ag__fail(AG_EGRAPH,
                      "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                      "recomputation. Number of tensors saved during forward: %lld. Number of tensors saved during "
                      "recomputation: %lld.",
                      (long long)f->n, (long long)f->n_again);
    ag_scope_end(&scope);
    if (!ok) forget(f);
    return ok;
}

static ag_variable *unpack_number(void *object, void *user)
{
    packed *p = object;
    frame *f = p->frame;
    Thread *t = ag__thread();
    uint64_t walk = t->walk ? t->walk->id : 0;
    (void)user;
    pthread_mutex_lock(&f->lock);
    bool there = f->walk == walk && f->places[p->number].again;
    if (!there) there = run_again(f);
    f->walk = walk;
    ag_variable *x = there ? f->places[p->number].again : NULL;
    if (x) f->places[p->number].again = NULL; /* the scope's */
    pthread_mutex_unlock(&f->lock);
    return x ? ag__hold(t, x) : NULL;
}

/* ---- the call ---- */

static frame *frame_new(ag__checkpoint *call)
{
    frame *f = calloc(1, sizeof *f);
    if (!f) {
        ag__checkpoint_free(call);
        return ag__fail_memory("a checkpoint", sizeof *f);
    }
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE); /* the function may walk back itself */
    pthread_mutex_init(&f->lock, &kind);
    pthread_mutexattr_destroy(&kind);
    f->refs = 1;
    f->call = call;
    return f;
}

static int run_packed(ag__checkpoint *call, ag_variable **out)
{
    frame *f = frame_new(call);
    if (!f) return -1;
    ag_saved_hooks hooks = { .pack = pack_number, .unpack = unpack_number, .free_packed = free_number, .user = f };
    int n = ag_saved_hooks_begin(&hooks) ? ag__checkpoint_run(call, call->in, out) : -1;
    ag_saved_hooks_end(&hooks);
    frame_unref(f);
    return n;
}

static ag_list checkpoint(const struct ag_checkpoint_args *a)
{
    ag_variable *out[AG_GRADCHECK_OUTPUTS];
    const ag_list nothing = ag_list_from(0, NULL);
    Thread *t = ag__thread();
    bool ok = a->function || ag__fail(AG_EINVAL, "checkpoint: the function is NULL");
    for (int64_t i = 0; i < a->inputs.n && ok; i++)
        ok = a->inputs.at[i] || ag__fail(AG_EINVAL, "checkpoint: input %lld is NULL", (long long)i);
    if (!ok || !ag__may_change(t)) {
        if (a->free_user) a->free_user(a->user);
        return nothing;
    }
    ag__checkpoint *call = ag__checkpoint_new(a);
    if (!call) return nothing;
    ag_scope scope = ag_scope_begin();
    int64_t n = a->use_reentrant ? ag__checkpoint_reentrant(call, out) : run_packed(call, out);
    ag_variable *array = n > 0 ? ag__new(t, 1, &n, AG_INT64, AG_CPU) : NULL;
    ag_list result = nothing;
    if (array) {
        memcpy(array->tensor.data, out, (size_t)n * sizeof *out);
        result = ag_list_from(n, (ag_variable **)(void *)array->tensor.data);
        ok = ag_keep(array);
        for (int64_t k = 0; k < n; k++) ok = ag_keep(out[k]) && ok;
    }
    ag_scope_end(&scope);
    return ok ? result : nothing;
}

ag_list ag_checkpoint_list_call(const struct ag_checkpoint_list_args *given)
{
    struct ag_checkpoint_args args;
    _Static_assert(sizeof args == sizeof *given, "the same arguments");
    memcpy(&args, given, sizeof args);
    return checkpoint(&args);
}
ag_variable *ag_checkpoint_call(const struct ag_checkpoint_args *args)
{
    ag_list outputs = checkpoint(args);
    return outputs.n ? outputs.at[0] : NULL;
}
