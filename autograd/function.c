/* function.c - functions of the user's own; see function.h. A call's node has an op of its own, in its context. */
#include "autograd/function_context.h"
#include "autograd/saved.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a context's life ---- */

static void let_go(Thread *t, ag_context *c)
{
    for (int64_t i = 0; i < c->n_kept && c->holds; i++)
        if (c->kept[i].saved) ag__saved_unref(t, c->kept[i].saved);
    c->holds = false;
}
static void unsave(Thread *t, ag_node *n)
{
    ag_context *c = ag__context_of(n->op);
    if (c->holds && c->n_kept) n->freed = true;
    let_go(t, c);
}
static void context_free(Thread *t, ag_context *c)
{
    let_go(t, c);
    if (c->free_user) c->free_user(c->user);
    free(c->needs);
    free(c->out);
    free(c->dirty);
    free(c->plain);
    free(c->kept);
    free(c);
}
static void bury(Thread *t, ag_node *n) { context_free(t, ag__context_of(n->op)); }
static ag_context *context_new(const struct ag_function_apply_args *a, int n_out)
{
    ag_context *c = calloc(1, sizeof *c);
    if (c) {
        c->needs = calloc((size_t)a->inputs.n + 1, sizeof *c->needs);
        c->out = calloc((size_t)n_out, sizeof *c->out);
    }
    if (!c || !c->needs || !c->out) {
        if (c) context_free(ag__thread(), c);
        if (a->free_user) a->free_user(a->user);
        return ag__fail_memory("a function's context", sizeof *c);
    }
    snprintf(c->name, sizeof c->name, "%sBackward", a->function->name ? a->function->name : "Function");
    c->op = (ag_op){ .name = a->function->name ? a->function->name : "function",
                     .node = c->name,
                     .n_out = AG_MANY,
                     .backward = ag__function_backward,
                     .unsave = unsave,
                     .bury = bury };
    c->function = a->function;
    c->user = a->user;
    c->free_user = a->free_user;
    c->n_in = (int)a->inputs.n;
    c->n_out = n_out;
    return c;
}

/* ---- what forward says ---- */

static bool check_context(const ag_context *c, const char *call)
{
    if (c && c->in_forward) return true;
    return ag__fail(AG_EINVAL, c ? "%s: only a function's forward may call it" : "%s: the context is NULL", call);
}

bool ag_save_for_backward(ag_context *c, ag_list variables)
{
    if (!check_context(c, "save_for_backward")) return false;
    if (c->has_saved) return ag__fail(AG_EINVAL, "save_for_backward: it has been called before in this forward");
    for (int64_t i = 0; i < variables.n; i++)
        if (!variables.at[i]) return ag__fail(AG_EINVAL, "save_for_backward: Variable %lld is NULL", (long long)i);
    c->kept = calloc((size_t)variables.n + 1, sizeof *c->kept);
    if (!c->kept) return ag__fail_memory("what a function saves", (size_t)variables.n * sizeof *c->kept);
    for (int64_t i = 0; i < variables.n; i++) c->kept[i] = (kept){ variables.at[i], 0, -1 };
    c->n_kept = variables.n;
    return c->has_saved = true;
}

static bool mark(ag_variable ***marked, int64_t *n, int64_t *max, const char *call, ag_list variables)
{
    void *table = *marked;
    for (int64_t i = 0; i < variables.n; i++)
        if (!variables.at[i]) return ag__fail(AG_EINVAL, "%s: Variable %lld is NULL", call, (long long)i);
    bool ok = ag__grow(&table, max, *n + variables.n, sizeof **marked);
    *marked = table;
    for (int64_t i = 0; i < variables.n && ok; i++) (*marked)[(*n)++] = variables.at[i];
    return ok;
}
bool ag_mark_dirty(ag_context *c, ag_list inputs)
{
    if (!check_context(c, "mark_dirty")) return false;
    return mark(&c->dirty, &c->n_dirty, &c->max_dirty, "mark_dirty", inputs);
}
bool ag_mark_non_differentiable(ag_context *c, ag_list outputs)
{
    if (!check_context(c, "mark_non_differentiable")) return false;
    return mark(&c->plain, &c->n_plain, &c->max_plain, "mark_non_differentiable", outputs);
}
void ag_set_materialize_grads(ag_context *c, bool on)
{
    if (c) c->keeps_null = !on;
}
bool ag_needs_input_grad(const ag_context *c, int i) { return c && i >= 0 && i < c->n_in && c->needs[i]; }
void *ag_context_user(const ag_context *c) { return c ? c->user : NULL; }

static bool is_among(ag_variable *const *list, int64_t n, const ag_variable *x)
{
    for (int64_t i = 0; i < n; i++)
        if (list[i] == x) return true;
    return false;
}

/* ---- a call ---- */

typedef struct application {
    Thread *t;
    ag_context *c;
    ag_list in;
    ag_variable **out; /* what forward gave, then what the caller gets */
    const void *caller;
    bool wants;
} application;

static bool check_inputs(application *a)
{
    for (int64_t i = 0; i < a->in.n; i++) {
        ag_variable *x = a->in.at[i];
        if (!x) return ag__fail(AG_EINVAL, "%s: input %lld is NULL", a->c->op.name, (long long)i);
        a->c->needs[i] = x != AG_NONE && ag__requires_grad(x);
        a->wants = a->wants || (x != AG_NONE && ag__wants(a->t, x));
    }
    return true;
}

static bool run_forward(application *a)
{
    ag_mode mode = ag_grad_mode_begin(false);
    a->c->in_forward = true;
    bool ok = a->c->function->forward(a->c, a->in, a->out) && !a->t->failed;
    a->c->in_forward = false;
    ag_grad_mode_end(&mode);
    if (!ok) return ag__fail(AG_EINVAL, "%s: forward failed and left no error that says why", a->c->op.name);
    for (int k = 0; k < a->c->n_out; k++)
        if (!a->out[k] || a->out[k] == AG_NONE)
            return ag__fail(AG_EINVAL, "%s: forward left output %d out", a->c->op.name, k);
    return true;
}

/* What was changed in place may be, and comes back. */
static bool check_dirty(application *a)
{
    const ag_context *c = a->c;
    for (int64_t i = 0; i < c->n_dirty; i++) {
        ag_variable *x = c->dirty[i];
        if (!is_among(a->in.at, a->in.n, x) || !is_among(a->out, c->n_out, x))
            return ag__fail(AG_EGRAPH, "Some elements marked as dirty during the forward method were not returned as "
                                       "output. The inputs that are modified inplace must all be outputs of the "
                                       "Function.");
        if (!ag__check_inplace(a->t, &c->op, x, a->wants)) return false;
        if (x->base && a->wants && c->n_out > 1)
            return ag__fail(AG_EGRAPH, "If your Function modifies inplace an input that is a view of another Tensor, "
                                       "your Function cannot return more than one Tensor. This is not supported by the "
                                       "current autograd engine. You should either make sure the input is not a view "
                                       "(using .clone() for example) or make your Function only return one Tensor "
                                       "(potentially splitting it into two Functions: one doing the inplace that "
                                       "returns a single Tensor and a second one that does the other operations). You "
                                       "can ask on the forum https://discuss.pytorch.org/ if you need help to do this "
                                       "change.");
    }
    return true;
}

/* An input that came back as it was is a view of itself, so that it can have a node of its own. */
static bool replace_inputs(application *a)
{
    ag_context *c = a->c;
    for (int k = 0; k < c->n_out; k++) {
        ag_variable *x = a->out[k];
        if (!is_among(a->in.at, a->in.n, x) || is_among(c->dirty, c->n_dirty, x)) continue;
        ag_variable *view = ag__view_of(a->t, x, x->tensor.ndim, x->tensor.size, x->tensor.stride, 0);
        if (!view) return false;
        ag__view_made(view, x, AG_MADE_IN_A_FUNCTION);
        if (is_among(c->plain, c->n_plain, x) &&
            !mark(&c->plain, &c->n_plain, &c->max_plain, c->op.name, ag_list_from(1, &view)))
            return false;
        a->out[k] = view;
    }
    return true;
}

/* What save_for_backward named becomes the context's. */
static bool keep(application *a)
{
    ag_context *c = a->c;
    int64_t n = c->n_kept;
    bool ok = c->holds = true;
    for (c->n_kept = 0; c->n_kept < n && ok;) {
        kept *s = &c->kept[c->n_kept];
        if (s->saved == AG_NONE) s->saved = NULL;
        for (int k = 0; k < c->n_out && s->saved; k++)
            if (a->out[k] == s->saved) s->output = k;
        if (s->output >= 0)
            s->saved = ag__alias_owned(a->t, s->saved, AG_REFERENCE);
        else if (s->saved)
            ag__ref(s->saved, AG_REFERENCE);
        if (s->output >= 0 && !s->saved) return false;
        c->n_kept++;
        if (!s->saved) continue;
        s->version = s->saved->tensor.storage->version;
        ok = ag__pack(a->t, &s->saved);
    }
    return ok;
}

/* The node, and the outputs that have it as their history. *owned: the context is the node's now, or gone with it. */
static bool record_call(application *a, bool *owned)
{
    ag_context *c = a->c;
    Thread *t = a->t;
    ag_variable **in = ag__scratch((size_t)(a->in.n + c->n_out) * sizeof *in), **out = in + a->in.n, *changed = NULL;
    if (!in) return false;
    for (int64_t i = 0; i < a->in.n; i++) in[i] = a->in.at[i] == AG_NONE ? NULL : a->in.at[i];
    for (int k = 0; k < c->n_out; k++) {
        bool plain = is_among(c->plain, c->n_plain, a->out[k]) || !ag_is_floating_point(a->out[k]);
        out[k] = plain ? NULL : a->out[k];
        c->out[k].differentiable = !plain;
        if (is_among(c->dirty, c->n_dirty, a->out[k]) && a->out[k]->base) changed = a->out[k];
    }
    struct ag_saved_hooks *hooks = t->saved_hooks;
    t->saved_hooks = NULL; /* they have seen what there is to save */
    ag_node *node = ag__record_begin(t, &c->op, (int)a->in.n, in, c->n_out, a->out, 0, NULL, a->caller);
    ag_node *slices = node && changed ? ag__slices_begin(t, changed, node) : NULL;
    bool ok = node && (!changed || slices);
    *owned = node != NULL;
    c->node = node;
    for (int k = 0; k < c->n_out && ok; k++)
        if (out[k] && out[k]->base && out[k] != changed) { /* its history is that of now, whatever forward did to it */
            out[k]->made_in = AG_MADE_IN_A_FUNCTION;
            out[k]->base_version = out[k]->tensor.storage->version;
        }
    if (ok) ag__record_end(t, node, out);
    if (ok && slices) ag__record_end(t, slices, &changed->base);
    if (ok && slices) ag__view_changed(t, changed);
    if (!ok && node) ag__record_drop(t, node);
    t->saved_hooks = hooks;
    ag__scratch_free(in);
    return ok;
}

static void remember_shapes(const application *a)
{
    for (int k = 0; k < a->c->n_out; k++) {
        const ag_tensor *y = &a->out[k]->tensor;
        a->c->out[k] = (output_shape){ .dtype = (ag_dtype)y->dtype, .device = y->storage->device, .ndim = y->ndim };
        memcpy(a->c->out[k].size, y->size, sizeof y->size);
    }
}

/* Makes a->out, in a scope of its own that passes them on. */
static bool apply(application *a)
{
    ag_scope scope = ag_scope_begin();
    ag_context *c = a->c;
    bool owned = false, ok = check_inputs(a) && run_forward(a) && check_dirty(a) && replace_inputs(a);
    for (int64_t i = 0; i < c->n_dirty && ok; i++) c->dirty[i]->tensor.storage->version++;
    if (ok) remember_shapes(a);
    for (int k = 0; k < c->n_out && ok; k++) ok = ag_keep(a->out[k]) != NULL;
    if (ok && a->wants) ok = keep(a) && record_call(a, &owned);
    if (!owned) context_free(a->t, c);
    ag_scope_end(&scope);
    return ok;
}

static ag_list apply_function(const struct ag_function_apply_args *args, const void *caller)
{
    const ag_function *f = args->function;
    const ag_list nothing = ag_list_from(0, NULL);
    Thread *t = ag__thread();
    if (!f || !f->forward || !f->backward) {
        ag__fail(AG_EINVAL, "function_apply: %s is NULL", !f ? "the function" : f->forward ? "backward" : "forward");
    } else if (ag__may_change(t)) {
        int64_t n = f->n_outputs > 0 ? f->n_outputs : 1;
        ag_context *c = context_new(args, (int)n);
        ag_variable *array = c ? ag__new(t, 1, &n, AG_INT64, AG_CPU) : NULL;
        application a = { .t = t, .c = c, .in = args->inputs, .caller = caller };
        if (!array) {
            if (c) context_free(t, c);
            return nothing;
        }
        a.out = (ag_variable **)(void *)array->tensor.data;
        memset(a.out, 0, (size_t)n * sizeof *a.out);
        return apply(&a) ? ag_list_from(n, a.out) : nothing;
    }
    if (args->free_user) args->free_user(args->user);
    return nothing;
}
ag_list ag_function_apply_list_call(const struct ag_function_apply_list_args *given)
{
    const struct ag_function_apply_args args = {
        .function = given->function, .inputs = given->inputs, .user = given->user, .free_user = given->free_user
    };
    return apply_function(&args, __builtin_return_address(0));
}
ag_variable *ag_function_apply_call(const struct ag_function_apply_args *args)
{
    ag_list outputs = apply_function(args, __builtin_return_address(0));
    return outputs.n ? outputs.at[0] : NULL;
}
