/* apply.c - running an op from its record: the checks that all ops share, the outputs, the node. */
#include "autograd/profile.h"

#include <string.h>

enum { FEW = 8 };

bool ag__check_input(const ag_op *op, const char *argument, const ag_variable *x)
{
    if (x && x != AG_NONE) return true;
    return ag__fail(AG_EINVAL,
                    x ? "%s: %s must not be None" : "%s: %s is NULL (left out, or the result of a call that failed)",
                    op->name, argument);
}

/* How many inputs the arguments hold, lists spread out. */
static int64_t count_inputs(const ag_op *op, const void *args)
{
    int64_t n = 0;
    for (int i = 0; i < op->n_args; i++) {
        const void *field = (const char *)args + op->args[i].offset;
        if (op->args[i].kind == AG_KIND_Tensor)
            n++;
        else if (op->args[i].kind == AG_KIND_Tensors)
            n += ((const ag_list *)field)->n;
    }
    return n;
}

/* The inputs, checked: what must be there is, what may be left out is NULL where it was. */
static bool gather_inputs(const ag_op *op, const void *args, ag_variable **in)
{
    for (int i = 0; i < op->n_args; i++) {
        const ag_arg *arg = &op->args[i];
        const void *field = (const char *)args + arg->offset;
        if (arg->kind == AG_KIND_Tensor) {
            ag_variable *x = *(ag_variable *const *)field;
            bool none = x == AG_NONE && arg->fallback;
            if (!none && !ag__check_input(op, arg->name, x)) return false;
            *in++ = none ? NULL : x;
        } else if (arg->kind == AG_KIND_Tensors) {
            const ag_list *list = field;
            for (int64_t k = 0; k < list->n; k++) {
                if (!ag__check_input(op, arg->name, list->at[k])) return false;
                *in++ = list->at[k];
            }
        }
    }
    return true;
}

/* A number on the host, which such an op takes wherever it runs. */
static bool is_number(const ag_run *r, int i)
{
    if (i >= 8 || !(r->op->numbers >> i & 1) || (i == 0 && r->inplace)) return false;
    return r->in[i]->tensor.ndim == 0 && ag__device(r->in[i]).type == AG_DEVICE_CPU;
}

/* Where the op runs: where its inputs are, or where a factory is told. Inputs are never moved silently. */
static bool find_device(ag_run *r)
{
    bool found = false;
    r->device = AG_CPU;
    for (int i = 0; i < r->n_in; i++) {
        if (!r->in[i] || is_number(r, i)) continue;
        ag_device d = ag__device(r->in[i]);
        if (found && (d.type != r->device.type || d.index != r->device.index) && !(r->op->moves && i))
            return ag__fail(
                AG_EDEVICE,
                "%s: Expected all tensors to be on the same device, but found at least two devices, %s and %s!",
                r->op->name, ag_device_name(r->device), ag_device_name(d));
        if (!found) r->device = d;
        found = true;
    }
    for (int i = 0; i < r->op->n_args && !found; i++) {
        if (r->op->args[i].kind != AG_KIND_Device) continue;
        ag_device d = *(const ag_device *)(const void *)((const char *)r->args + r->op->args[i].offset);
        if (d.type != AG_DEVICE_DEFAULT) r->device = d;
    }
    return true;
}

ag_variable *ag__output_strided(ag_run *r, int k, int ndim, const int64_t *size, const int64_t *stride, ag_dtype dtype)
{
    if (!r->inplace || k) return r->out[k] = ag__new_strided(r->t, ndim, size, stride, dtype, r->device);
    const ag_tensor *x = &r->in[0]->tensor;
    bool fits = x->ndim == ndim;
    for (int d = 0; d < ndim && fits; d++) fits = x->size[d] == size[d];
    char is[AG_TEXT], wants[AG_TEXT];
    if (!fits)
        return ag__fail(AG_EINVAL, "%s_: output with shape %s doesn't match the broadcast shape %s", r->op->name,
                        ag__shape_text(x->ndim, x->size, is, sizeof is),
                        ag__shape_text(ndim, size, wants, sizeof wants));
    if (!ag__can_cast(dtype, (ag_dtype)x->dtype) || dtype != (ag_dtype)x->dtype)
        return ag__fail(AG_EINVAL, "%s_: result type %s can't be cast to the desired output type %s", r->op->name,
                        ag__scalar_type(dtype), ag__scalar_type((ag_dtype)x->dtype));
    return r->out[0] = r->in[0];
}
ag_variable *ag__output(ag_run *r, int k, int ndim, const int64_t *size, ag_dtype dtype)
{
    return ag__output_strided(r, k, ndim, size, NULL, dtype);
}

static bool output_view(ag_run *r, int k, ag_made_in made_in, int ndim, const int64_t *size, const int64_t *stride,
                        int64_t offset)
{
    ag_variable *x = r->in[0], *y = ag__view_of(r->t, x, ndim, size, stride, offset);
    if (!y) return false;
    r->is_view = true;
    r->out[k] = y;
    if (x->inference) { /* it has no version that views could go by: their history is none */
        r->wants_grad = false;
        return true;
    }
    ag__view_made(y, x, r->t->inference ? AG_MADE_IN_INFERENCE : r->t->grad_off ? AG_MADE_IN_NO_GRAD : made_in);
    return true;
}
bool ag__output_view(ag_run *r, int ndim, const int64_t *size, const int64_t *stride, int64_t offset)
{
    return output_view(r, 0, AG_MADE_PLAINLY, ndim, size, stride, offset);
}
bool ag__output_view_of_function(ag_run *r, int ndim, const int64_t *size, const int64_t *stride, int64_t offset)
{
    return output_view(r, 0, AG_MADE_IN_A_FUNCTION, ndim, size, stride, offset);
}
bool ag__output_view_of_many(ag_run *r, int k, int ndim, const int64_t *size, const int64_t *stride, int64_t offset)
{
    return output_view(r, k, AG_MADE_AMONG_MANY, ndim, size, stride, offset);
}

bool ag__outputs(ag_run *r, int64_t n)
{
    if (n > INT32_MAX) return ag__fail(AG_EINVAL, "%s: %lld results are too many", r->op->name, (long long)n);
    int64_t words = n ? n : 1;
    ag_variable *array = ag__new(r->t, 1, &words, AG_INT64, AG_CPU);
    if (!array) return false;
    r->n_out = (int)n;
    r->out = (ag_variable **)(void *)array->tensor.data;
    memset(r->out, 0, (size_t)words * sizeof *r->out);
    r->array = array;
    return true;
}

/* The scope that was opened for the op passes on its results; arguments that come back are owned elsewhere. */
static void hand_out(Thread *t, const ag_op *op, ag_variable *x, const void *caller)
{
    for (int64_t i = t->n_held; i-- > t->scope_start;)
        if (t->held[i] == x) {
            t->held[i] = (ag_variable *)((uintptr_t)x | 1);
            x->made_by = op->name;
            x->caller = caller;
            return;
        }
}

/* Input i is the only one that has a derivative. Then what its gradient reads is kept even for a view from no_grad
 * mode, whose gradient goes nowhere: as in PyTorch. */
static bool is_only_real(const ag_run *r, int i)
{
    for (int k = 0; k < r->n_in; k++)
        if (k != i && r->in[k] && ag__is_floating((ag_dtype)r->in[k]->tensor.dtype)) return false;
    return true;
}

static bool run_kernel(ag_run *r, const void *caller)
{
    const ag_op *op = r->op;
    Thread *t = r->t;
    uint32_t keeps = 0;
    if (!find_device(r)) return false;
    bool differentiable = !op->n_out || op->non_differentiable != (1u << op->n_out) - 1;
    for (int i = 0; i < r->n_in && differentiable; i++) {
        if (!ag__wants(t, r->in[i])) continue;
        if (!op->node) return ag__fail(AG_EGRAPH, "the derivative for '%s' is not implemented", op->name);
        if (!ag__view_refresh(t, r->in[i])) return false; /* it may be a leaf no more */
        r->wants_grad = true;
        if (r->in[i]->requires_grad || is_only_real(r, i)) keeps |= op->keeps[i < AG_MAX_KEEPS ? i : AG_MAX_KEEPS - 1];
    }
    bool changes = op->inplace_only || r->inplace;
    if (changes && !ag__check_inplace(t, op, r->in[0], r->wants_grad)) return false;
    if (op->inplace_only) r->out[0] = r->in[0];
    if (!op->shape(r)) return false;
    ag_variable *before = NULL, *changed = r->n_in ? r->in[0] : NULL;
    if (r->inplace && r->wants_grad && keeps & AG_KEEP_IN(0)) { /* what is overwritten is needed again */
        before = ag__snapshot(t, changed);
        if (!before) return false;
    }
    bool (*kernel)(ag_run *) = op->kernel[r->device.type];
    const bool fills = !r->is_view && r->n_out; /* a view's numbers are there */
    if (!kernel && fills && !(kernel = ag__device_kernel(op, r->device)))
        return ag__fail(AG_ENOTSUP, "%s: there is no kernel for %s", op->of ? op->of : op->name,
                        ag_device_name(r->device));
    ag_node *node = NULL, *slices = NULL;
    if (r->wants_grad) { /* all that can fail comes before the kernel, which may change an input */
        if (before) r->in[0] = before;
        node = ag__record_begin(t, op, r->n_in, r->in, r->n_out + op->n_hidden, r->out, keeps, r->args, caller);
        r->in[0] = changed;
        if (!node) return false;
        if (changes && changed->base) slices = ag__slices_begin(t, changed, node);
    }
    bool ok = (slices || !node || !changes || !changed->base) && (!kernel || kernel(r));
    if (!ok) {
        if (slices) ag__record_drop(t, slices);
        if (node) ag__record_drop(t, node);
        return false;
    }
    if (changes) changed->tensor.storage->version++;
    ok = !node || ag__record_end(t, node, r->out);
    ok = (!slices || ag__record_end(t, slices, &changed->base)) && ok;
    if (slices) ag__view_changed(t, changed);
    return ok;
}

/* Runs the record with its inputs gathered, in a scope that passes on the results: r->n_out of them in r->out. */
static bool run(ag_run *r, const void *caller)
{
    const ag_op *op = r->op;
    ag_variable *few[FEW];
    int64_t n_in = count_inputs(op, r->args);
    r->in = few;
    if (n_in > FEW && !(r->in = ag__scratch((size_t)n_in * sizeof *r->in))) return false;
    for (int k = 0; k < r->n_out; k++) r->out[k] = NULL;
    const int64_t event = ag__profiling(r->t) ? ag__event_begin_op(r->t, op, r->args, r->inplace) : 0;
    ag_scope scope = ag__scope_open(r->t);
    bool ok = gather_inputs(op, r->args, r->in);
    bool (*compose)(const void *, ag_variable **) = r->inplace ? op->compose_inplace : op->compose;
    r->n_in = (int)n_in;
    if (ok && compose) {
        const void *outer = r->t->caller;
        if (!outer) r->t->caller = caller;
        ok = compose(r->args, r->out) && !r->t->failed;
        r->t->caller = outer;
    } else if (ok) {
        ok = run_kernel(r, caller);
    }
    for (int k = 0; k < r->n_out; k++) {
        if (ok && r->out[k]) hand_out(r->t, op, r->out[k], caller);
        if (!ok) r->out[k] = NULL;
    }
    if (ok && r->array) hand_out(r->t, op, r->array, caller);
    ag__scope_close(r->t, &scope);
    if (event) ag__event_end(r->t, event);
    if (r->in != few) ag__scratch_free(r->in);
    return ok;
}
static bool run_few(const ag_op *op, const void *args, bool inplace, ag_variable **out, const void *caller)
{
    ag_variable *made[AG_MAX_OUTPUTS]; /* hidden ones, too */
    ag_run r;                          /* set field by field: clearing all of it takes longer */
    r.t = ag__thread();
    r.op = op;
    r.args = args;
    r.n_out = op->n_out;
    r.out = made;
    r.array = NULL;
    r.wants_grad = r.is_view = false;
    r.inplace = inplace;
    bool ok = run(&r, caller);
    for (int k = 0; k < op->n_out; k++) out[k] = made[k];
    return ok;
}

ag_list ag__apply_list(const ag_op *op, const void *args, const void *caller)
{
    ag_run r = { .t = ag__thread(), .op = op, .args = args };
    return run(&r, caller) ? ag_list_from(r.n_out, r.out) : ag_list_from(0, NULL);
}
bool ag__apply(const ag_op *op, const void *args, ag_variable **out, const void *caller)
{
    if (op->row) return ag__pointwise_apply(op, args, false, out, caller);
    return run_few(op, args, false, out, caller);
}
bool ag__apply_inplace(const ag_op *op, const void *args, ag_variable **out, const void *caller)
{
    if (op->row) return ag__pointwise_apply(op, args, true, out, caller);
    if (!op->inplace) return ag__fail(AG_ENOTSUP, "%s has no in-place form", op->name);
    return run_few(op, args, true, out, caller);
}
