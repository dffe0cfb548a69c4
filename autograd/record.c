/* record.c - the tape: a node for each recorded op, which holds what its backward reads and the nodes before it. */
#include "autograd/hooks.h"
#include "autograd/saved.h"
#include "tensor/cuda_table.h"

#include <argent/copy.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- locks for .grad and for what nodes save: threads that run backward at once may share leaves and graphs ---- */
enum { N_LOCKS = 64 };
static pthread_mutex_t leaf_locks[N_LOCKS] = { [0 ... N_LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER };
static pthread_mutex_t node_locks[N_LOCKS] = { [0 ... N_LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER };
/* A forked child has none of the threads that may have held them. */
static void after_fork_in_child(void)
{
    for (int i = 0; i < N_LOCKS; i++) leaf_locks[i] = node_locks[i] = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork_in_child); }

static pthread_mutex_t *leaf_lock(const ag_variable *leaf)
{
    return &leaf_locks[(uintptr_t)leaf / AG_OBJECT_BYTES % N_LOCKS];
}
static pthread_mutex_t *node_lock(const ag_node *n) { return &node_locks[(uintptr_t)n / 64 % N_LOCKS]; }

/* While a lock is held the error handler waits: it may leave by longjmp. */
static bool lock(pthread_mutex_t *mutex)
{
    ag__handler_hold();
    pthread_mutex_lock(mutex);
    return true;
}
static void unlock(pthread_mutex_t *mutex)
{
    pthread_mutex_unlock(mutex);
    ag__handler_release();
}
bool ag__node_lock_always(ag_node *n) { return lock(node_lock(n)); }
void ag__node_unlock_always(ag_node *n) { unlock(node_lock(n)); }
bool ag__leaf_lock_always(ag_variable *leaf) { return lock(leaf_lock(leaf)); }
void ag__leaf_unlock_always(ag_variable *leaf) { unlock(leaf_lock(leaf)); }
ag_variable *ag__take_grad(ag_variable *x)
{
    bool locked = ag__leaf_lock(x);
    ag_variable *grad = x->grad;
    x->grad = NULL;
    ag__leaf_unlock(x, locked);
    return grad;
}

/* ---- a node's memory ---- */

/* What follows the edges and results: the arguments with what they point to, then the inputs' sizes. */
static inline size_t struct_bytes(const ag_op *op) { return (op->args_size + 7u) & ~(size_t)7; }
static __attribute__((noinline)) size_t borrowed_bytes(const ag_op *op, const void *args)
{
    size_t bytes = 0;
    for (int i = 0; i < op->n_args; i++) {
        const char *field = (const char *)args + op->args[i].offset;
        if (op->args[i].kind == AG_KIND_Shape)
            bytes += (size_t)((const ag_shape_list *)(const void *)field)->n * sizeof(int64_t);
        if (op->args[i].kind == AG_KIND_Str && *(const char *const *)(const void *)field)
            bytes += (strlen(*(const char *const *)(const void *)field) + 8) & ~(size_t)7;
    }
    return bytes;
}

/* The arguments' borrowed lists and texts move to what follows them. Returns what comes after. */
static __attribute__((noinline)) char *copy_borrowed(const ag_op *op, char *args)
{
    char *tail = args + struct_bytes(op);
    for (int i = 0; i < op->n_args; i++) {
        void *field = args + op->args[i].offset;
        if (op->args[i].kind == AG_KIND_Shape) {
            ag_shape_list *shape = field;
            size_t bytes = (size_t)shape->n * sizeof(int64_t);
            if (bytes) memcpy(tail, shape->at, bytes);
            shape->at = (const int64_t *)(void *)tail;
            tail += bytes;
        } else if (op->args[i].kind == AG_KIND_Str && *(const char **)field) {
            size_t length = strlen(*(const char **)field);
            memcpy(tail, *(const char **)field, length + 1);
            *(const char **)field = tail;
            tail += (length + 8) & ~(size_t)7;
        }
    }
    return tail;
}

/* ---- recording ---- */

static bool fail_inference(void)
{
    return ag__fail(AG_EGRAPH, "Inference tensors cannot be saved for backward. Please do not use Tensors created in "
                               "inference mode in computation tracked by autograd. To work around this, you can make a "
                               "clone to get a normal tensor and use it in autograd, or use `torch.no_grad()` instead "
                               "of `torch.inference_mode()`.");
}

/* What computes y is asked of it. */
static uint8_t stream_of(const Thread *t, const ag_tensor *y)
{
    const ag_device device = ag__tensor_device(y);
    return device.type == AG_DEVICE_CUDA ? t->cuda_stream[device.index] : 0;
}

ag_node *ag__record_begin(Thread *t, const ag_op *op, int n_in, ag_variable *const *in, int n_out,
                          ag_variable *const *out, uint32_t keeps, const void *args, const void *caller)
{
    const ag_tensor *y = &out[0]->tensor;
    size_t bytes = sizeof(ag_node) + (size_t)n_in * sizeof(ag_edge) + (size_t)n_out * sizeof(ag_result);
    for (int i = 0; i < n_in; i++) {
        ag_variable *x = in[i];
        if (!x) continue;
        if (!ag__view_refresh(t, x)) return NULL;
        if (x->inference && keeps & AG_KEEP_IN(i < 7 ? i : 7) && !fail_inference()) return NULL;
        if (!ag__same_sizes(&x->tensor, y)) bytes += x->tensor.ndim * sizeof(int64_t);
    }
    if (args) bytes += struct_bytes(op) + (op->borrows ? borrowed_bytes(op, args) : 0);
    int size_class = ag__size_class(bytes);
    ag_node *node = ag__block_get(t, size_class);
    if (!node) return NULL;

    uint64_t seq = t->next_seq ? t->next_seq : 1;
    node->refs = 1;
    node->size_class = (uint16_t)size_class;
    node->freed = false;
    node->walk = 0;
    node->hooks = NULL;
    node->n_in = (uint32_t)n_in;
    node->n_out = (uint32_t)n_out;
    node->op = op;
    node->caller = t->caller ? t->caller : caller;
    node->args = NULL;
    node->out_ndim = y->ndim;
    node->out_dtype = y->dtype;
    node->stream = __atomic_load_n(&ag__cuda_streams_used, __ATOMIC_RELAXED) ? stream_of(t, y) : 0;
    memcpy(node->out_size, y->size, sizeof y->size);
    ag_result *results = ag__node_results(node);
    char *tail = (char *)(results + n_out);
    if (args) { /* its Variables are put in when backward runs */
        node->args = memcpy(tail, args, op->args_size);
        tail = op->borrows ? copy_borrowed(op, tail) : tail + struct_bytes(op);
    }

    for (int i = 0; i < n_in; i++) {
        ag_variable *x = in[i];
        if (!x) {
            node->edge[i] = (ag_edge){ 0 };
            continue;
        }
        ag_edge e = { .dtype = x->tensor.dtype, .ndim = x->tensor.ndim, .device = ag__device(x) };
        if (!ag__same_sizes(&x->tensor, y)) {
            e.size = (const int64_t *)(void *)tail;
            for (int d = 0; d < e.ndim; d++, tail += sizeof(int64_t)) *(int64_t *)(void *)tail = x->tensor.size[d];
        }
        int64_t refs = 0;
        ag_node *before = x->requires_grad ? x->grad_fn : NULL;
        if (before) {
            ag__count_up(&before->refs);
            e.to = (uintptr_t)before;
            e.output_nr = x->output_nr;
            if (before->seq >= seq) seq = before->seq + 1; /* made by another thread, ahead of this one */
        } else if (x->requires_grad) {
            refs = AG_REFERENCE;
            e.to = (uintptr_t)x | 1;
        }
        if (keeps & AG_KEEP_IN(i < 7 ? i : 7)) {
            refs += AG_REFERENCE;
            e.saved = x;
            e.version = x->tensor.storage->version;
        }
        node->edge[i] = e;
        if (refs) ag__ref(x, refs);
    }
    bool ok = true;
    for (int k = 0; k < n_out; k++) {
        results[k] = (ag_result){ 0 };
        if (!(keeps & AG_KEEP_OUT(k)) || !out[k]) continue;
        results[k].saved = ag__alias_owned(t, out[k], AG_REFERENCE);
        ok = ok && results[k].saved;
    }
    node->seq = seq;
    t->next_seq = seq + 1;
    if (ok && (!t->saved_hooks || ag__pack_inputs(t, node))) return node;
    ag__record_drop(t, node);
    return NULL;
}

void ag__record_drop(Thread *t, ag_node *node)
{
    ag__node_unref(t, node);
    ag__bury(t);
}

bool ag__record_end(Thread *t, ag_node *node, ag_variable *const *out)
{
    const ag_op *op = node->op;
    uint32_t shown = node->n_out - op->n_hidden;
    ag_result *results = ag__node_results(node);
    int held = 0;
    for (uint32_t k = 0; k < node->n_out; k++) {
        if (results[k].saved) results[k].version = results[k].saved->tensor.storage->version;
        ag_variable *v = k < shown ? out[k] : NULL;
        if (!v || !ag__is_differentiable(op, k)) continue;
        ag_node *before = v->grad_fn;
        if (v->retains_grad) { /* an in-place op: the gradient that is kept is that of the new value */
            if (before) ag__retain_forget(v);
            results[k].retained = v;
        }
        if (held++) ag__count_up(&node->refs);
        v->grad_fn = node;
        v->rehistoried = v->tensor.storage->version != 0;
        v->output_nr = k;
        v->requires_grad = true;
        if (before) ag__node_unref(t, before);
    }
    ag__bury(t);
    return !t->saved_hooks || ag__pack_outputs(t, node);
}

bool ag__record(Thread *t, const ag_op *op, int n_in, ag_variable *const *in, int n_out, ag_variable *const *out,
                uint32_t keeps, const void *args, const void *caller)
{
    ag_node *node = ag__record_begin(t, op, n_in, in, n_out, out, keeps, args, caller);
    return node && ag__record_end(t, node, out);
}

ag_variable *ag__snapshot(Thread *t, ag_variable *x)
{
    ag_variable *v = ag__new_strided(t, x->tensor.ndim, x->tensor.size,
                                     ag__is_dense(x->tensor.ndim, x->tensor.size, x->tensor.stride) ? x->tensor.stride
                                                                                                    : NULL,
                                     (ag_dtype)x->tensor.dtype, ag__device(x));
    if (!v) return NULL;
    ag_mode mode = ag_grad_mode_begin(false);
    bool ok = ag_copy_(v, x) != NULL;
    ag_grad_mode_end(&mode);
    if (!ok) return NULL;
    if (x->grad_fn) {
        ag__count_up(&x->grad_fn->refs);
        v->grad_fn = x->grad_fn;
        v->output_nr = x->output_nr;
        v->requires_grad = true;
    }
    return v;
}

void ag__node_unsave(Thread *t, ag_node *n)
{
    ag_result *results = ag__node_results(n);
    if (n->op->unsave) n->op->unsave(t, n);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->edge[i].saved) {
            ag__saved_unref(t, n->edge[i].saved);
            n->edge[i].saved = NULL;
            n->freed = true;
        }
    for (uint32_t k = 0; k < n->n_out; k++)
        if (results[k].saved) {
            ag__saved_unref(t, results[k].saved);
            results[k].saved = NULL;
            n->freed = true;
        }
}

void ag__node_bury(Thread *t, ag_node *n)
{
    ag_result *results = ag__node_results(n);
    if (!n->freed || n->op->unsave) ag__node_unsave(t, n);
    if (n->hooks) ag__hooks_drop(&n->hooks);
    if (n->op->bury) n->op->bury(t, n);
    for (uint32_t k = 0; k < n->n_out; k++)
        if (results[k].grad) ag__unref(t, results[k].grad, AG_REFERENCE);
    for (uint32_t i = 0; i < n->n_in; i++) {
        uintptr_t to = n->edge[i].to;
        if (to & 1)
            ag__unref(t, (ag_variable *)(to & ~(uintptr_t)1), AG_REFERENCE);
        else if (to)
            ag__node_unref(t, (ag_node *)to);
    }
    ag__block_put(t, n, n->size_class);
}

const char *ag__forward_name(const ag_node *node, char *text, size_t room)
{
    const char *name = node->op->node, *word = "Backward", *at = NULL;
    for (const char *next = name; (next = strstr(next, word)); next++) at = next;
    const char *number = at ? at + strlen(word) : "";
    bool stripped = at && number[strspn(number, "0123456789")] == 0;
    snprintf(text, room, "%.*s%s", stripped ? (int)(at - name) : (int)strlen(name), name,
             stripped && strcmp(number, "0") != 0 ? number : "");
    return text;
}

bool ag_next_function(const ag_node *node, int i, ag_next *next)
{
    *next = (ag_next){ NULL, NULL, 0, NULL };
    if (!node || i < 0 || (uint32_t)i >= node->n_in) return false;
    const ag_edge *e = &node->edge[i];
    if (e->to & 1) {
        next->leaf = (ag_variable *)(e->to & ~(uintptr_t)1);
        next->name = "AccumulateGrad";
    } else if (e->to) {
        next->node = (ag_node *)e->to;
        next->output_nr = (int)e->output_nr;
        next->name = next->node->op->node;
    }
    return true;
}

/* ---- retain_grad ---- */

void ag__retain_forget(ag_variable *x)
{
    ag_result *r = &ag__node_results(x->grad_fn)[x->output_nr];
    if (r->retained == x) r->retained = NULL;
}

bool ag_retain_grad(ag_variable *x)
{
    Thread *t = ag__thread();
    if (!x || x == AG_NONE) return ag__fail(AG_EINVAL, "retain_grad: input is %s", x ? "None" : "NULL");
    if (!ag__may_change(t)) return false;
    if (!ag__requires_grad(x)) return ag__fail(AG_EGRAPH, "can't retain_grad on Tensor that has requires_grad=False");
    if (!x->grad_fn && x->made_in != AG_MADE_PLAINLY) return true;
    if (!ag__view_refresh(t, x)) return false;
    if (!x->grad_fn || x->retains_grad) return true; /* a leaf's gradient is kept anyway */
    x->retains_grad = true;
    ag__node_results(x->grad_fn)[x->output_nr].retained = x;
    return true;
}
