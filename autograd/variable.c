/* variable.c - making Variables, reading their attributes, and letting go of them. */
#include "autograd/hooks.h"
#include "autograd/op.h"
#include "autograd/where.h"
#include "tensor/print.h"

#include <argent/error.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* What AG_NONE points to. Nothing reads it: its address is its meaning. */
struct ag_variable ag_none_ = { .refs = AG_OWNER };

/* ---- making ---- */

static void without_history(ag_variable *v)
{
    v->requires_grad = v->retains_grad = v->rehistoried = v->owns_base = false;
    v->made_in = AG_MADE_PLAINLY;
    v->output_nr = 0;
    v->grad_fn = NULL;
    v->grad = NULL;
    v->base = NULL;
    v->hooks = NULL;
    v->base_version = 0;
}

/* An object, and room for the elements; the geometry is yet to be set. NULL with an error, and nothing is held. */
static inline ag_variable *with_storage(Thread *t, int64_t numel, ag_dtype dtype, ag_device device)
{
    static const uint8_t item[AG_N_DTYPES] = { 4, 8, 8, 4, 1, 1 };
    ag_variable *v = ag__object_get(t);
    if (!v) return NULL;
    const int64_t bytes = numel * item[dtype];
    ag_storage *s = device.type == AG_DEVICE_CPU ? ag__storage_new_host(t, bytes) : ag__storage_new(t, bytes, device);
    if (!s) {
        v->refs = 0;
        ag__object_put(t, v);
        return NULL;
    }
    v->tensor.storage = s;
    v->tensor.data = s->data;
    v->tensor.numel = numel;
    v->tensor.dtype = (uint8_t)dtype;
    v->tensor.wrapped = false;
    without_history(v);
    v->inference = t->inference;
    v->refs = AG_OWNER;
    v->made_by = NULL;
    v->caller = NULL;
    return v;
}

static ag_variable *variable_new(Thread *t, int ndim, const int64_t *size, const int64_t *stride, ag_dtype dtype,
                                 ag_device device)
{
    int64_t numel = ag__numel_of(ndim, size);
    if (numel < 0) {
        char text[AG_TEXT];
        return ag__fail(
            AG_EINVAL,
            "a Variable of shape %s is not possible: sizes must not be negative, and their product must fit in memory",
            ag__shape_text(ndim, size, text, sizeof text));
    }
    ag_variable *v = with_storage(t, numel, dtype, device);
    if (!v) return NULL;
    v->tensor.ndim = (uint8_t)ndim;
    for (int d = 0; d < ndim; d++) v->tensor.size[d] = size[d];
    if (stride) {
        for (int d = 0; d < ndim; d++) v->tensor.stride[d] = stride[d];
        v->tensor.contiguous = ag__is_contiguous(ndim, size, stride);
    } else {
        ag__contiguous_strides(ndim, size, v->tensor.stride);
        v->tensor.contiguous = true;
    }
    return ag__hold(t, v);
}

ag_variable *ag__new_like(Thread *t, const ag_tensor *x, ag_dtype dtype)
{
    ag_variable *v = with_storage(t, x->numel, dtype, AG_CPU);
    if (!v) return NULL;
    int64_t step = 1;
    v->tensor.ndim = x->ndim;
    v->tensor.contiguous = true;
    memcpy(v->tensor.size, x->size, sizeof x->size);
    for (int d = x->ndim - 1; d >= 0; d--) {
        v->tensor.stride[d] = step;
        step *= x->size[d] ? x->size[d] : 1;
    }
    return ag__hold(t, v);
}

ag_variable *ag__new(Thread *t, int ndim, const int64_t *size, ag_dtype dtype, ag_device device)
{
    return variable_new(t, ndim, size, NULL, dtype, device);
}
ag_variable *ag__new_strided(Thread *t, int ndim, const int64_t *size, const int64_t *stride, ag_dtype dtype,
                             ag_device device)
{
    return variable_new(t, ndim, size, stride, dtype, device);
}

ag_variable *ag__alias_owned(Thread *t, const ag_variable *x, int64_t refs)
{
    ag_variable *v = ag__object_get(t);
    if (!v) return NULL;
    v->tensor = x->tensor;
    v->tensor.wrapped = false;
    ag__count_up(&v->tensor.storage->refs);
    without_history(v);
    v->inference = x->inference;
    v->refs = refs;
    v->made_by = x->made_by;
    v->caller = x->caller;
    return v;
}
ag_variable *ag__alias(Thread *t, const ag_variable *x)
{
    ag_variable *v = ag__alias_owned(t, x, AG_OWNER);
    return v ? ag__hold(t, v) : NULL;
}

ag_variable *ag__view_of(Thread *t, const ag_variable *x, int ndim, const int64_t *size, const int64_t *stride,
                         int64_t offset)
{
    ag_variable *v = ag__alias_owned(t, x, AG_OWNER);
    if (!v) return NULL;
    v->tensor.numel = ag__numel_of(ndim, size);
    v->tensor.ndim = (uint8_t)ndim;
    for (int d = 0; d < ndim; d++) {
        v->tensor.size[d] = size[d];
        v->tensor.stride[d] = stride[d];
    }
    v->tensor.contiguous = ag__is_contiguous(ndim, size, stride);
    v->tensor.data += offset * (int64_t)ag__itemsize(&x->tensor);
    return ag__hold(t, v);
}

/* ---- letting go: the dead queue up and one loop buries them, however long the chain ---- */

/* The last owner of x is gone and a graph still holds it: nobody can read x.grad or x.grad_fn any more, and they may be
 * what holds that graph. A node that keeps x knows its history as it was. */
void ag__abandoned(Thread *t, ag_variable *x)
{
    ag_variable *grad = x->grad ? ag__take_grad(x) : NULL;
    if (grad) ag__unref(t, grad, AG_OWNER);
    if (x->owns_base) { /* nobody needs the base's history for this view any more */
        x->owns_base = false;
        ag__ref(x->base, AG_REFERENCE);
        ag__unref(t, x->base, AG_OWNER);
    }
    if (!x->rehistoried || !x->grad_fn) return;
    if (x->retains_grad) ag__retain_forget(x);
    ag_node *n = x->grad_fn;
    x->grad_fn = NULL;
    x->output_nr = 0;
    x->requires_grad = x->retains_grad = false;
    ag__node_unref(t, n);
}

/* What few Variables have. */
static __attribute__((noinline)) void let_go_of_the_rest(Thread *t, ag_variable *v)
{
    if (v->hooks) ag__hooks_drop(&v->hooks);
    if (v->retains_grad && v->grad_fn) ag__retain_forget(v);
    if (v->grad) ag__unref(t, v->grad, AG_OWNER);
    if (v->base) ag__unref(t, v->base, v->owns_base ? AG_OWNER : AG_REFERENCE);
}
static inline void variable_bury(Thread *t, ag_variable *v)
{
    if (v->hooks || v->retains_grad || v->grad || v->base) let_go_of_the_rest(t, v);
    ag__storage_drop(t, v->tensor.storage);
    if (v->grad_fn) ag__node_unref(t, v->grad_fn);
    v->refs = 0; /* what ag_leaks goes by */
    ag__object_put(t, v);
}

void ag__bury_dead(Thread *t)
{
    t->burying = true;
    while (t->dead_variables || t->dead_nodes) {
        ag_variable *v = t->dead_variables;
        if (v) {
            t->dead_variables = v->link;
            variable_bury(t, v);
        } else {
            ag_node *n = t->dead_nodes;
            t->dead_nodes = n->link;
            ag__node_bury(t, n);
        }
    }
    t->burying = false;
}

/* ---- attributes ---- */

/* AG_NONE and NULL have no attributes. */
static inline bool is_there(const ag_variable *x) { return x && x != AG_NONE; }

int ag_dim(const ag_variable *x) { return x ? x->tensor.ndim : 0; }
ag_shape_list ag_shape(const ag_variable *x)
{
    return x ? ag_sizes_of(x->tensor.ndim, x->tensor.size) : ag_sizes_of(0, NULL);
}
ag_shape_list ag_stride(const ag_variable *x)
{
    return x ? ag_sizes_of(x->tensor.ndim, x->tensor.stride) : ag_sizes_of(0, NULL);
}
int64_t ag_numel(const ag_variable *x) { return is_there(x) ? x->tensor.numel : 0; }
ag_dtype ag_dtype_of(const ag_variable *x) { return is_there(x) ? (ag_dtype)x->tensor.dtype : AG_DTYPE_DEFAULT; }
ag_device ag_device_of(const ag_variable *x) { return is_there(x) ? ag__device(x) : AG_ANY_DEVICE; }
bool ag_is_contiguous(const ag_variable *x) { return x && x->tensor.contiguous; }
bool ag_is_floating_point(const ag_variable *x) { return x && ag__is_floating(ag_dtype_of(x)); }
int64_t ag_storage_offset(const ag_variable *x)
{
    return is_there(x) ? (x->tensor.data - x->tensor.storage->data) / (int64_t)ag__itemsize(&x->tensor) : 0;
}
int64_t ag_size(const ag_variable *x, int64_t dim)
{
    if (!is_there(x)) return ag__fail(AG_EINVAL, "size: input is NULL"), -1;
    if (x->tensor.ndim == 0)
        return ag__fail(AG_EINVAL, "size: Dimension specified as %" PRId64 " but tensor has no dimensions", dim), -1;
    int d = ag__wrap_dim("size", dim, x->tensor.ndim);
    return d < 0 ? -1 : x->tensor.size[d];
}
int64_t ag_version(const ag_variable *x)
{
    if (!is_there(x)) return 0;
    if (x->inference) return ag__fail(AG_EGRAPH, "Inference tensors do not track version counter."), -1;
    return x->tensor.storage->version;
}
bool ag_is_inference(const ag_variable *x) { return is_there(x) && x->inference; }
bool ag_is_view(const ag_variable *x) { return x && x->base; }
bool ag_shares_storage(const ag_variable *a, const ag_variable *b)
{
    return is_there(a) && is_there(b) && a->tensor.storage == b->tensor.storage;
}

bool ag_requires_grad(const ag_variable *x) { return x && ag__requires_grad(x); }

/* x with the history that it has now; only a view's can have changed unseen. */
static const ag_variable *with_history(const ag_variable *x)
{
    if (x && x->base) ag__view_refresh(ag__thread(), (ag_variable *)(uintptr_t)x);
    return x;
}
bool ag_is_leaf(const ag_variable *x) { return is_there(x) && !with_history(x)->grad_fn; }
ag_node *ag_grad_fn(const ag_variable *x) { return x ? with_history(x)->grad_fn : NULL; }
int ag_output_nr(const ag_variable *x) { return x ? (int)with_history(x)->output_nr : 0; }
ag_variable *ag_grad(const ag_variable *x) { return x ? x->grad : NULL; }
const char *ag_node_name(const ag_node *node) { return node ? node->op->node : NULL; }
bool ag_retains_grad(const ag_variable *x) { return x && x->grad_fn && x->retains_grad; }

ag_variable *ag_requires_grad_set(ag_variable *x, bool on)
{
    Thread *t = ag__thread();
    if (!x || x == AG_NONE) return ag__fail(AG_EINVAL, "requires_grad_: input is %s", x ? "None" : "NULL");
    if (!ag__may_change(t)) return NULL;
    if (x->requires_grad == on) return x;
    if (on && x->inference && !t->inference)
        return ag__fail(AG_EGRAPH,
                        "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.");
    if (x->grad_fn)
        return ag__fail(AG_EGRAPH, "you can only change requires_grad flags of leaf variables. If you want to use a "
                                   "computed variable in a subgraph "
                                   "that doesn't require differentiation use var_no_grad = var.detach().");
    if (x->tensor.wrapped)
        return ag__fail(AG_EINVAL,
                        "requires_grad_: a number from ag_scalar is shared, so it cannot change; use ag_full");
    if (on && !ag__is_floating(ag_dtype_of(x)))
        return ag__fail(AG_EINVAL, "only Tensors of floating point dtype can require gradients");
    x->requires_grad = on;
    return x;
}
ag_variable *ag_requires_grad_on(ag_variable *x) { return ag_requires_grad_set(x, true); }

/* Whether g may become x.grad. */
static bool check_grad(const ag_variable *x, const ag_variable *g)
{
    const ag_tensor *is = &g->tensor, *wants = &x->tensor;
    char a[AG_TEXT], b[AG_TEXT];
    if (g == x) return ag__fail(AG_EINVAL, "can't assign Variable as its own grad");
    if (is->wrapped)
        return ag__fail(AG_EINVAL, "grad: a number from ag_scalar is shared, so it cannot change; use ag_full");
    if (is->dtype != wants->dtype)
        return ag__fail(AG_EINVAL,
                        "attempting to assign a gradient with dtype '%s' to a tensor with grad_dtype '%s'. The "
                        "gradient must match the tensor's grad_dtype (defaults to the tensor's dtype).",
                        ag__c_type((ag_dtype)is->dtype), ag__scalar_type((ag_dtype)wants->dtype));
    if (ag__device(g).type != ag__device(x).type)
        return ag__fail(AG_EINVAL,
                        "attempting to assign a gradient with device type '%s' to a tensor with device type '%s'. "
                        "Please ensure that the gradient and the tensor are on the same device",
                        ag_device_name(ag__device(g)), ag_device_name(ag__device(x)));
    if (!ag__same_sizes(is, wants))
        return ag__fail(AG_EINVAL,
                        "attempting to assign a gradient of size '%s' to a tensor of size '%s'. Please ensure that the "
                        "gradient and the tensor are the same size",
                        ag__shape_text(is->ndim, is->size, a, sizeof a),
                        ag__shape_text(wants->ndim, wants->size, b, sizeof b));
    return true;
}

bool ag_set_grad(ag_variable *x, ag_variable *g)
{
    Thread *t = ag__thread();
    if (!x || x == AG_NONE || !g)
        return ag__fail(AG_EINVAL, "grad: %s is NULL",
                        x && x != AG_NONE ? "the gradient (AG_NONE stands for none)" : "the Variable");
    if (!ag__may_change(t)) return false;
    if (g == AG_NONE)
        g = NULL;
    else if (check_grad(x, g))
        ag__ref(g, AG_OWNER);
    else
        return false;
    ag_variable *old = ag__take_grad(x);
    x->grad = g;
    if (old) {
        ag__unref(t, old, AG_OWNER);
        ag__bury(t);
    }
    return true;
}

#define AG_ARGS_detach(must, may) must(Tensor, input)
static bool detach_compose(const void *args, ag_variable **out)
{
    return (out[0] = ag__alias(ag__thread(), *(ag_variable *const *)args)) != NULL;
}
AG_OP_PLAIN(detach, .compose = detach_compose)

ag_variable *ag_detach_(ag_variable *x)
{
    Thread *t = ag__thread();
    if (!x || x == AG_NONE) return ag__fail(AG_EINVAL, "detach_: input is %s", x ? "None" : "NULL");
    if (!ag__may_change(t)) return NULL;
    if (x->base)
        return ag__fail(
            AG_EGRAPH,
            "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for "
            "training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence "
            "detach_() cannot be called on these gradients. To fix this error, please refer to the "
            "Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution.");
    if (x->retains_grad && x->grad_fn) ag__retain_forget(x);
    ag_node *n = x->grad_fn;
    x->grad_fn = NULL;
    x->output_nr = 0;
    x->requires_grad = x->retains_grad = x->rehistoried = false;
    if (n) {
        ag__node_unref(t, n);
        ag__bury(t);
    }
    return x;
}

/* ---- printing ---- */

enum { SUFFIX_BYTES = 96 };

/* What follows the elements; NULL for nothing. */
static const char *repr_suffix(const ag_variable *x, char text[SUFFIX_BYTES])
{
    if (!x->grad_fn) return x->requires_grad ? "requires_grad=True" : NULL;
    snprintf(text, SUFFIX_BYTES, "grad_fn=<%s>", x->grad_fn->op->node);
    return text;
}

size_t ag_repr(const ag_variable *x, char *text, size_t room)
{
    char suffix[SUFFIX_BYTES];
    if (!text) room = 0;
    if (x && x != AG_NONE) return ag__tensor_print(text, room, &x->tensor, repr_suffix(x, suffix));
    return (size_t)snprintf(text, room, "%s", x ? "None" : "NULL");
}

bool ag_print(const ag_variable *x, FILE *file)
{
    char suffix[SUFFIX_BYTES];
    if (!x || !file) return ag__fail(AG_EINVAL, "print: %s is NULL", x ? "the file" : "input");
    bool ok = x == AG_NONE ? fputs("None", file) != EOF
                           : ag__tensor_print_file(file, &x->tensor, repr_suffix(x, suffix));
    return (ok && fputc('\n', file) != EOF) || ag__fail(AG_EIO, "print: the file does not take what is written");
}

void ag_show(const ag_variable *x)
{
    char text[AG_TEXT];
    if (!x || x == AG_NONE) {
        fprintf(stderr, "%s\n", x ? "None" : "NULL");
        return;
    }
    ag_print(x, stderr);
    fprintf(stderr, "  %s, %s, version %" PRIu32 ", %s%s, %d references\n",
            ag__tensor_text(&x->tensor, text, sizeof text), x->tensor.contiguous ? "contiguous" : "strided",
            x->tensor.storage->version, x->requires_grad ? "requires grad" : "no grad", x->grad ? ", has .grad" : "",
            (int)ag__refs(x));
}

/* ---- what is alive ---- */

typedef struct census {
    FILE *file;
    int64_t n;
} census;

static void count_living(void *object, void *user)
{
    const ag_variable *v = object;
    census *c = user;
    if (!v->refs || v->tensor.wrapped) return;
    c->n++;
    if (!c->file) return;
    char text[AG_TEXT];
    fprintf(c->file, "%s, made by %s", ag__tensor_text(&v->tensor, text, sizeof text),
            v->made_by ? v->made_by : "the library");
    if (v->caller) ag__print_address(c->file, v->caller);
    fprintf(c->file, ", %d references\n", (int)ag__refs(v));
}

int64_t ag_leaks(FILE *file)
{
    census c = { file, 0 };
    ag__objects_each(count_living, &c);
    return c.n;
}
