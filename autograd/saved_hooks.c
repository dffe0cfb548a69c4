/* saved_hooks.c - see saved_hooks.h: what a node saves goes through the thread's hooks. */
#include "autograd/saved.h"

#include <argent/copy.h>
#include <argent/scope.h>

#include <stdlib.h>

/* ---- which hooks there are ---- */

bool ag_saved_hooks_begin(ag_saved_hooks *hooks)
{
    Thread *t = ag__thread();
    if (!hooks) return ag__fail(AG_EINVAL, "saved_tensors_hooks: the hooks are NULL");
    hooks->outer = t->saved_hooks;
    bool ok = true;
    if (!hooks->forbidden && t->saved_hooks && t->saved_hooks->forbidden)
        ok = ag__fail(AG_EGRAPH, "%s", t->saved_hooks->forbidden);
    else if (!hooks->forbidden && (!hooks->pack || !hooks->unpack))
        ok = ag__fail(AG_EINVAL, "saved_tensors_hooks: %s is NULL", hooks->pack ? "unpack" : "pack");
    if (ok) t->saved_hooks = hooks;
    return ok;
}
void ag_saved_hooks_end(ag_saved_hooks *hooks)
{
    Thread *t = ag__thread();
    if (hooks && t->saved_hooks == hooks) t->saved_hooks = hooks->outer;
}

/* ---- packing ---- */

void ag__packed_unref(ag_packed *p)
{
    if (!ag__count_down(&p->refs)) return;
    if (p->free_packed) p->free_packed(p->object, p->user);
    free(p);
}

/* pack's result for x, called in no_grad mode and without hooks of its own. */
static void *call_pack(Thread *t, const ag_saved_hooks *hooks, ag_variable *x)
{
    struct ag_saved_hooks *active = t->saved_hooks;
    ag_scope scope = ag_scope_begin();
    ag_mode mode = ag_grad_mode_begin(false);
    t->saved_hooks = NULL;
    ag_variable *bare = ag__alias(t, x);
    uint32_t version = x->tensor.storage->version;
    void *object = bare ? hooks->pack(bare, hooks->user) : NULL;
    t->saved_hooks = active;
    if (object && !t->failed && x->tensor.storage->version != version)
        ag__fail(AG_EGRAPH, "A saved tensor pack hook is modifying its input in place. Tensors passed as input to pack "
                            "hook can not be modified in-place.");
    else if (!object)
        ag__fail(AG_EINVAL, "a saved tensor pack hook returned NULL");
    if (object && t->failed && hooks->free_packed) hooks->free_packed(object, hooks->user);
    ag_grad_mode_end(&mode);
    ag_scope_end(&scope);
    return t->failed ? NULL : object;
}

bool ag__pack(Thread *t, ag_variable **saved)
{
    const ag_saved_hooks *hooks = t->saved_hooks;
    if (!hooks || !hooks->pack || !*saved || ag__is_packed(*saved)) return true;
    ag_packed *p = malloc(sizeof *p);
    if (!p) return ag__fail_memory("a packed Variable", sizeof *p);
    void *object = call_pack(t, hooks, *saved);
    if (!object) {
        free(p);
        return false;
    }
    *p = (ag_packed){ 1, object, hooks->unpack, hooks->free_packed, hooks->user };
    ag__unref(t, *saved, AG_REFERENCE);
    *saved = (ag_variable *)((uintptr_t)p | 1);
    return true;
}
bool ag__pack_inputs(Thread *t, ag_node *n)
{
    bool ok = true;
    for (uint32_t i = 0; i < n->n_in && ok; i++) ok = ag__pack(t, &n->edge[i].saved);
    return ok;
}
bool ag__pack_outputs(Thread *t, ag_node *n)
{
    ag_result *results = ag__node_results(n);
    bool ok = true;
    for (uint32_t k = 0; k < n->n_out && ok; k++) ok = ag__pack(t, &results[k].saved);
    return ok;
}

ag_variable *ag__unpack(Thread *t, ag_variable *packed)
{
    const ag_packed *p = ag__packed(packed);
    ag_mode mode = ag_grad_mode_begin(false);
    ag_variable *x = p->unpack(p->object, p->user);
    ag_grad_mode_end(&mode);
    if (t->failed) return NULL;
    if (!x || x == AG_NONE)
        return ag__fail(AG_EINVAL, "Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                                   "NoneType");
    return x;
}

/* ---- a leaf whose numbers are somewhere else ---- */

#define AG_ARGS__stand_in(must, may) must(Tensor, input) must(Tensor, leaf)
static bool stand_in_shape(ag_run *r)
{
    const ag_tensor *x = &r->in[0]->tensor;
    return ag__output_view(r, x->ndim, x->size, x->stride, 0);
}
static void stand_in_backward(ag_gradients *b) { b->grad[1] = b->g[0]; }
AG_OP_PLAIN(_stand_in, .node = "AccumulateGrad", .shape = stand_in_shape, .backward = stand_in_backward)

/* ---- save_on_cpu ---- */

typedef struct elsewhere {
    ag_variable *copy;
    ag_device device;
} elsewhere;

void *ag_pack_on_cpu(ag_variable *x, void *user)
{
    (void)user;
    elsewhere *e = malloc(sizeof *e);
    if (!e) return ag__fail_memory("a packed Variable", sizeof *e);
    *e = (elsewhere){ .device = ag_device_of(x) };
    e->copy = ag_retain(ag_to(x, .device = AG_CPU, .copy = true));
    if (e->copy) return e;
    free(e);
    return NULL;
}
ag_variable *ag_unpack_from_cpu(void *packed, void *user)
{
    (void)user;
    const elsewhere *e = packed;
    return ag_to(e->copy, .device = e->device);
}
void ag_packed_on_cpu_free(void *packed, void *user)
{
    (void)user;
    elsewhere *e = packed;
    ag_release(e->copy);
    free(e);
}
