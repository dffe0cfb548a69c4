/* pointwise_apply.c - calling a row: the checks, the output, the loop, the node; and its derivatives.
 *
 * Inputs of one floating type, one shape and without gaps take a short way: no promotion, no broadcasting, no strides
 * to choose.
 */
#include "autograd/profile.h"
#include "ops/check.h"
#include "ops/overlap.h"
#include "ops/pointwise_rows.h"
#include "ops/pointwise_types.h"

#include <string.h>

typedef struct call {
    Thread *t;
    const ag_op *op;
    const ag_pointwise *row;
    const void *args;
    ag_variable *const *in; /* the first of args: row->n_in Variables */
    const void *caller;
    double options[AG_ROW_MAX_OPTIONS];
    ag_dtype dtype; /* computed in */
    unsigned wants; /* bit i: input i's gradient is wanted */
    unsigned goes;  /* bit i: and it goes somewhere: input i is no view from no_grad mode */
} call;

/* The numbers after the Variables among the arguments; without numbers args may be NULL. */
static inline void take_options(const ag_pointwise *row, const void *args, double options[AG_ROW_MAX_OPTIONS])
{
    const double *given = args ? (const double *)(const void *)((ag_variable *const *)args + row->n_in) : NULL;
    const int n = row->n_options;
    options[0] = n > 0 ? given[0] : 0;
    options[1] = n > 1 ? given[1] : 0;
    options[2] = n > 2 ? given[2] : 0;
}
_Static_assert(AG_ROW_MAX_OPTIONS == 3, "take_options takes them all");

/* The operand of the expressions that input i is. */
static int operand_of(const ag_pointwise *row, int i) { return !row->has_mask ? i : i == 0 ? IN_M : i - 1; }
static ag_dtype result_of(const call *c) { return c->row->is_test ? AG_BOOL : c->dtype; }

/* ---- the value ---- */

static bool evaluate_on(const call *c, const ag_tensor *y, const ag_tensor *const *in)
{
    ag__evaluation e = {
        .out = y, .expression = c->row->value, .dtype = c->dtype, .is_test = c->row->is_test, .options = c->options
    };
    for (int i = 0; i < c->row->n_in; i++) {
        int k = operand_of(c->row, i);
        e.operand[k] = in[i];
        e.reads |= 1u << k;
    }
    return ag__evaluate(c->op->name, &e);
}
static bool evaluate_element(const ag_tensor *y, const ag_tensor *in, void *user)
{
    return evaluate_on(user, y, (const ag_tensor *const[]){ &in[0], &in[1], &in[2] });
}
/* in_place: y is c's first input. */
static bool evaluate_value(call *c, const ag_variable *y, bool in_place)
{
    const ag_tensor *in[3];
    bool ordered = false;
    for (int i = 0; i < c->row->n_in; i++) {
        in[i] = &c->in[i]->tensor;
        ordered = ordered || (in_place && i && ag__needs_order(&y->tensor, in[i]));
    }
    if (ordered) return ag__in_order(&y->tensor, c->row->n_in, in, evaluate_element, c);
    return evaluate_on(c, &y->tensor, in);
}

/* A 0-dim CPU Variable may go with others elsewhere; else all are on one device, which is found. */
static bool find_device(const call *c, ag_device *device)
{
    const ag_variable *first = NULL;
    for (int i = 0; i < c->row->n_in; i++) {
        const ag_variable *x = c->in[i];
        if (x->tensor.ndim == 0 && ag__device(x).type == AG_DEVICE_CPU) continue;
        if (!first) first = x;
        ag_device a = ag__device(first), b = ag__device(x);
        if (a.type != b.type || a.index != b.index)
            return ag__fail(
                AG_EDEVICE,
                "%s: Expected all tensors to be on the same device, but found at least two devices, %s and %s!",
                c->op->name, ag_device_name(a), ag_device_name(b));
    }
    *device = first ? ag__device(first) : AG_CPU;
    return true;
}

ag_variable *ag__pointwise_result(Thread *t, const char *op, int n, const ag_tensor *const *in, ag_dtype dtype,
                                  ag_device device)
{
    int ndim;
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    bool contiguous = true;
    for (int i = 0; i < n; i++) contiguous = contiguous && in[i]->contiguous;
    if (!ag__broadcast(op, n, in, &ndim, size)) return NULL;
    if (contiguous) return ag__new(t, ndim, size, dtype, device);
    ag_tensor wide[AG_N_OPERANDS]; /* the inputs spread over the common shape */
    const ag_tensor *spread[AG_N_OPERANDS];
    for (int i = 0; i < n; i++) {
        wide[i] = *in[i];
        wide[i].ndim = (uint8_t)ndim;
        memcpy(wide[i].size, size, (size_t)ndim * sizeof *size);
        ag__broadcast_strides(in[i], ndim, size, wide[i].stride);
        spread[i] = &wide[i];
    }
    ag__result_strides(ndim, size, n, spread, stride);
    return ag__new_strided(t, ndim, size, stride, dtype, device);
}

/* ---- the node ---- */

/* What backward will read, as ag__record wants to know it.
 * What several derivatives read is kept whoever wants one, as in PyTorch: a view from no_grad mode is recorded, though
 * its gradient goes nowhere. */
static uint32_t keeps_of(const ag_pointwise *row, unsigned wants)
{
    const int first = row->n_in - row->n_derivatives;
    unsigned reads = 0, met = 0;
    for (int d = 0; d < row->n_derivatives; d++) {
        unsigned read = ag__formula_of(row->value + 1 + d).reads;
        reads |= wants >> (first + d) & 1 ? read : read & met;
        met |= read;
    }
    /* operands a, b, c are inputs 0, 1, 2; where there is a mask it comes before them */
    const unsigned in = row->has_mask ? (reads & 7) << 1 | (reads >> IN_M & 1) : reads & 7;
    return (reads >> IN_Y & 1 ? AG_KEEP_OUT(0) : 0) | in * AG_KEEP_IN(0);
}
static uint32_t keeps(const call *c)
{
    enum { KNOWN = 1 << 15 };
    static uint16_t known[AG_N_EXPRESSIONS][8]; /* of the row with that value, for each choice of inputs */
    const unsigned wants = c->row->n_derivatives == 1 ? c->wants : c->goes;
    uint16_t *slot = &known[c->row->value][wants];
    uint32_t kept = __atomic_load_n(slot, __ATOMIC_RELAXED);
    if (__builtin_expect(kept & KNOWN, 1)) return kept & ~(uint32_t)KNOWN;
    kept = keeps_of(c->row, wants);
    __atomic_store_n(slot, (uint16_t)(kept | KNOWN), __ATOMIC_RELAXED);
    return kept;
}

static bool is_recorded(const call *c) { return c->wants && c->row->n_derivatives && ag__is_floating(c->dtype); }

static void drop(Thread *t, ag_variable *y)
{
    if (!ag__unhold(t, y, AG_ALL_HELD)) return;
    ag__unref(t, y, AG_OWNER);
    ag__bury(t);
}

/* ---- a fresh result ---- */

static bool finish(const call *c, ag_variable *y, bool evaluated, ag_variable **out)
{
    y->made_by = c->op->name;
    y->caller = c->caller;
    const void *args = c->row->n_options ? c->args : NULL; /* backward reads no others */
    if (!evaluated ||
        (is_recorded(c) && !ag__record(c->t, c->op, c->row->n_in, c->in, 1, &y, keeps(c), args, c->caller))) {
        drop(c->t, y);
        return false;
    }
    *out = y;
    return true;
}

/* The inputs are arrays of the same length on the CPU. */
static bool apply_plain(const call *c, const ag_tensor *shape, ag_variable **out)
{
    ag_variable *y = ag__new_like(c->t, shape, result_of(c));
    if (!y) return false;
    const void *in[AG_N_OPERANDS] = { shape->data, shape->data, shape->data, shape->data, shape->data, shape->data };
    const int first = c->row->has_mask;
    if (first) in[IN_M] = c->in[0]->tensor.data;
    for (int i = first; i < c->row->n_in; i++) in[i - first] = c->in[i]->tensor.data;
    ag__evaluate_arrays(c->row->value, c->dtype, c->row->is_test, y->tensor.numel, y->tensor.data, in, c->options);
    return finish(c, y, true, out);
}

static __attribute__((noinline)) bool apply_fresh(call *c, ag_variable **out)
{
    const ag_tensor *in[3];
    ag_device device;
    for (int i = 0; i < c->row->n_in; i++) in[i] = &c->in[i]->tensor;
    if (!find_device(c, &device)) return false;
    ag_variable *y = ag__pointwise_result(c->t, c->op->name, c->row->n_in, in, result_of(c), device);
    return y && finish(c, y, evaluate_value(c, y, false), out);
}

/* ---- in place ---- */

/* The result must have the first input's shape and fit its type, and no other input may be written to by half. */
static bool check_fits(const call *c)
{
    const ag_tensor *x = &c->in[0]->tensor, *in[3];
    ag_device device;
    int ndim;
    int64_t size[AG_MAX_DIMS];
    char is[AG_TEXT], wants[AG_TEXT];
    for (int i = 0; i < c->row->n_in; i++) {
        in[i] = &c->in[i]->tensor;
        if (!ag__check_overlap(c->op->name, x, in[i])) return false;
    }
    if (!find_device(c, &device) || !ag__broadcast(c->op->name, c->row->n_in, in, &ndim, size)) return false;
    ag_device own = ag__tensor_device(x); /* a number on the CPU may go with others, but not receive them */
    if (own.type != device.type || own.index != device.index)
        return ag__fail(
            AG_EDEVICE,
            "%s_: Expected all tensors to be on the same device, but found at least two devices, %s and %s!",
            c->op->name, ag_device_name(own), ag_device_name(device));
    if (ndim != x->ndim || memcmp(size, x->size, (size_t)ndim * sizeof *size) != 0)
        return ag__fail(AG_EINVAL, "%s_: output with shape %s doesn't match the broadcast shape %s", c->op->name,
                        ag__shape_text(x->ndim, x->size, is, sizeof is),
                        ag__shape_text(ndim, size, wants, sizeof wants));
    if (!ag__can_cast(result_of(c), (ag_dtype)x->dtype))
        return ag__fail(AG_EINVAL, "%s_: result type %s can't be cast to the desired output type %s", c->op->name,
                        ag__scalar_type(result_of(c)), ag__scalar_type((ag_dtype)x->dtype));
    return true;
}

static __attribute__((noinline)) bool apply_inplace(call *c, ag_variable **out)
{
    Thread *t = c->t;
    ag_variable *x = c->in[0], *in[3];
    bool recorded = is_recorded(c), ok = true;
    if (!c->op->inplace) return ag__fail(AG_ENOTSUP, "%s has no in-place form", c->op->name);
    if (!ag__check_inplace(t, c->op, x, recorded) || !check_fits(c)) return false;
    uint32_t kept = recorded ? keeps(c) : 0;
    ag_scope scope = ag_scope_begin();
    for (int i = 0; i < c->row->n_in; i++) in[i] = c->in[i];
    /* What is overwritten and needed again is kept as it was; where it is another input, too (x *= x), backward says
     * that it was changed, as in PyTorch. */
    if (kept & AG_KEEP_IN(0)) ok = (in[0] = ag__snapshot(t, x)) != NULL;
    ag_node *node = NULL, *slices = NULL;
    if (ok && recorded) {
        node = ag__record_begin(t, c->op, c->row->n_in, in, 1, &x, kept, c->args, c->caller);
        slices = node && x->base ? ag__slices_begin(t, x, node) : NULL;
        ok = node && (slices || !x->base);
    }
    ok = ok && evaluate_value(c, x, true);
    if (ok) {
        x->tensor.storage->version++;
        ok = !node || ag__record_end(t, node, &x);
        ok = (!slices || ag__record_end(t, slices, &x->base)) && ok;
        if (slices) ag__view_changed(t, x);
    } else {
        if (slices) ag__record_drop(t, slices);
        if (node) ag__record_drop(t, node);
    }
    ag_scope_end(&scope);
    *out = ok ? x : NULL;
    return ok;
}

/* ---- both ---- */

/* With a plain number in place of a Variable some rows are others, with nodes of their own: x * x is no logarithm.
 * *number: which input it is. NULL: this one is none of them. */
static __attribute__((noinline)) const ag_op *number_form(const call *c, int *number)
{
    switch (c->row->value) {
    case AG_EXPRESSION_pow_value:
        *number = c->in[1]->tensor.wrapped ? 1 : 0;
        return *number ? ag__op_pow_number() : c->in[0]->tensor.wrapped ? ag__op_pow_base() : NULL;
    case AG_EXPRESSION_lerp_value:
        *number = 2;
        return c->in[2]->tensor.wrapped ? ag__op_lerp_number() : NULL;
    default:
        return NULL;
    }
}
static __attribute__((noinline)) bool apply_number_form(call *c, const ag_op *op, int number, bool inplace,
                                                        ag_variable **out)
{
    struct {
        ag_variable *in[2]; /* the row's Variables are the last of them */
        double number;
    } args;
    const int n = op->row->n_in;
    ag_variable **in = args.in + 2 - n;
    const ag_tensor *value = &c->in[number]->tensor;
    c->options[0] = args.number = ag__load(value->data, (ag_dtype)value->dtype);
    c->wants = c->goes = 0;
    for (int i = 0, k = 0; k < n; i++) {
        if (i == number) continue;
        in[k] = c->in[i];
        c->wants |= (unsigned)ag__wants(c->t, in[k]) << k;
        c->goes |= (unsigned)(ag__wants(c->t, in[k]) && in[k]->requires_grad) << k;
        k++;
    }
    c->op = op;
    c->row = op->row;
    c->args = c->in = in;
    return inplace ? apply_inplace(c, out) : apply_fresh(c, out);
}

/* While the profiler is on a row is called once more, within its event: 1 or 0, what it gave; -1 in that second call.
 */
static __attribute__((noinline, cold)) int apply_profiled(Thread *t, const ag_op *op, const void *args, bool inplace,
                                                          ag_variable **out, const void *caller)
{
    bool is_second = t->in_event;
    t->in_event = !is_second;
    if (is_second) return -1;
    const int64_t event = ag__event_begin_op(t, op, args, inplace);
    bool ok = ag__pointwise_apply(op, args, inplace, out, caller);
    t->in_event = false; /* the profiler may have gone off before that call */
    ag__event_end(t, event);
    return ok;
}

bool ag__pointwise_apply(const ag_op *op, const void *args, bool inplace, ag_variable **out, const void *caller)
{
    call c; /* set field by field: clearing all of it, and copying by a count, take longer than the rest */
    const ag_pointwise *row = c.row = op->row;
    c.t = ag__thread();
    c.op = op;
    c.args = args;
    c.in = args;
    c.caller = caller;
    const int first = row->has_mask;
    if (ag__profiling(c.t)) {
        int ok = apply_profiled(c.t, op, args, inplace, out, caller);
        if (ok >= 0) return ok;
    }
    *out = NULL;
    ag_variable *const *const in = args;
    const int n_in = row->n_in;
    for (int i = 0; i < n_in; i++)
        if (!in[i] || in[i] == AG_NONE) return ag__check_input(op, op->args[i].name, in[i]);
    const ag_tensor *a = &in[first]->tensor;
    const ag_dtype dtype = (ag_dtype)a->dtype;
    const bool records = row->n_derivatives && !c.t->grad_off && !c.t->inference;
    bool plain = ag__is_floating(dtype) && !(row->n_options && row->integers == AG_INTEGERS_ordered_long);
    unsigned wants = 0, goes = 0;
    for (int i = 0; i < n_in; i++) {
        ag_variable *v = in[i];
        const ag_tensor *x = &v->tensor;
        plain = plain && x->contiguous && !x->wrapped && x->dtype == (i < first ? AG_BOOL : dtype) &&
                (x == a || ag__same_sizes(x, a)) && x->storage->device.type == AG_DEVICE_CPU;
        if (!records) continue;
        if (v->base && ag__requires_grad(v) && !ag__view_refresh(c.t, v)) return false; /* it may be a leaf no more */
        wants |= (unsigned)ag__requires_grad(v) << i;
        goes |= (unsigned)v->requires_grad << i;
    }
    c.dtype = dtype;
    c.wants = wants;
    c.goes = goes;
    take_options(row, args, c.options);
    if (!plain && !ag__row_type(op, args, c.in, c.options, &c.dtype)) return false;
    if (plain && !inplace) return apply_plain(&c, a, out);
    int number;
    const ag_op *form = plain || !ag__is_floating(c.dtype) ? NULL : number_form(&c, &number);
    if (form && !(inplace && number == 0)) return apply_number_form(&c, form, number, inplace, out);
    return inplace ? apply_inplace(&c, out) : apply_fresh(&c, out);
}

/* ---- derivatives ---- */

/* A constant in the shape of g. */
static ag_variable *constant_like(Thread *t, const ag_variable *g, double value)
{
    const ag_tensor *in = &g->tensor;
    ag_variable *d = ag__pointwise_result(t, "backward", 1, &in, (ag_dtype)in->dtype, ag__device(g));
    if (!d || ag__fill_tensor(&d->tensor, value)) return d;
    drop(t, d);
    return NULL;
}

/* All that there is lies as g does, without gaps, on the CPU: then in[] is the arrays, g's for what is not there. */
static bool is_plain(ag_variable *const operand[AG_N_OPERANDS], const void *in[AG_N_OPERANDS])
{
    const ag_tensor *g = &operand[IN_G]->tensor;
    if (!g->contiguous || g->storage->device.type != AG_DEVICE_CPU) return false;
    for (int k = 0; k < AG_N_OPERANDS; k++) {
        const ag_tensor *x = operand[k] ? &operand[k]->tensor : g;
        in[k] = x->data;
        if (x == g) continue;
        if (!x->contiguous || x->dtype != (k == IN_M ? AG_BOOL : g->dtype) || !ag__same_sizes(x, g)) return false;
    }
    return true;
}
/* Whether the gradient of input `last`, the last one wanted, may be written over g: nobody else has it. */
static bool goes_over_g(const ag_gradients *b, int first, int last)
{
    if (!b->last_look || !ag__is_private(b->g[0])) return false;
    for (int i = first; i < last; i++)
        if (b->grad[i] == b->g[0]) return false;
    return true;
}

/* The expression computed at once, in g's type. over_g: g becomes what is computed from it. */
static ag_variable *fused_plain(const ag_gradients *b, int expression, const void *const in[AG_N_OPERANDS],
                                const double *options, bool over_g)
{
    const ag_tensor *g = &b->g[0]->tensor;
    ag_variable *d = over_g ? b->g[0] : ag__new_like(b->t, g, (ag_dtype)g->dtype);
    if (!d) return NULL;
    d->made_by = b->op->node;
    ag__evaluate_arrays(expression, (ag_dtype)g->dtype, false, g->numel, d->tensor.data, in, options);
    return d;
}
static __attribute__((noinline)) ag_variable *fused(const ag_gradients *b, int expression,
                                                    ag_variable *const operand[AG_N_OPERANDS], const double *options,
                                                    bool over_g)
{
    const ag_tensor *in[AG_N_OPERANDS], *g = &operand[IN_G]->tensor;
    ag__evaluation e = { .expression = expression,
                         .dtype = (ag_dtype)g->dtype,
                         .options = options,
                         .reads = ag__formula_of(expression).reads };
    int n = 0;
    for (int k = AG_N_OPERANDS - 1; k >= 0; k--) /* g first: its layout counts */
        if (e.reads >> k & 1) e.operand[k] = in[n++] = &operand[k]->tensor;
    over_g = over_g && ag__is_dense(g->ndim, g->size, g->stride);
    ag_variable *d = over_g ? operand[IN_G]
                            : ag__pointwise_result(b->t, b->op->name, n, in, e.dtype, ag__device(operand[IN_G]));
    if (!d) return NULL;
    d->made_by = b->op->node;
    e.out = &d->tensor;
    if (ag__evaluate(b->op->name, &e)) return d;
    if (!over_g) drop(b->t, d);
    return NULL;
}

void ag__pointwise_backward(ag_gradients *b)
{
    const ag_pointwise *row = b->op->row;
    const int first = row->n_in - row->n_derivatives;
    int last = row->n_in - 1;
    while (last > first && !b->wanted[last]) last--;
    double options[AG_ROW_MAX_OPTIONS];
    ag_variable *operand[AG_N_OPERANDS] = { [IN_Y] = b->out[0], [IN_G] = b->g[0] };
    take_options(row, b->args, options);
    for (int i = 0; i < row->n_in; i++) operand[operand_of(row, i)] = b->in[i];
    const void *in[AG_N_OPERANDS];
    const bool plain = !b->create_graph && is_plain(operand, in);
    for (int i = first; i < row->n_in; i++) {
        if (!b->wanted[i]) continue;
        const int expression = row->value + 1 + i - first;
        double number;
        ag__formula_kind kind = ag__formula_of(expression).kind;
        if (kind >= AG_FORMULA_NUMBER) kind = ag__formula_is(expression, options, &number);
        if (kind == AG_FORMULA_GRADIENT) {
            b->grad[i] = b->g[0];
        } else if (kind == AG_FORMULA_NUMBER) {
            b->grad[i] = constant_like(b->t, b->g[0], number);
        } else if (b->create_graph) {
            b->grad[i] = ag__formula_graph(expression, operand, options);
        } else {
            const bool over_g = i == last && goes_over_g(b, first, last);
            b->grad[i] = plain ? fused_plain(b, expression, in, options, over_g)
                               : fused(b, expression, operand, options, over_g);
        }
        if (!b->grad[i]) return;
    }
}

bool ag__pointwise_record(const ag_op *op, ag_variable *y, const void *caller)
{
    Thread *t = ag__thread();
    y->made_by = op->name;
    return !ag__wants(t, y) || ag__record(t, op, 1, &y, 1, &y, AG_KEEP_OUT(0), NULL, caller);
}

bool ag__add_into(Thread *t, ag_variable *sum, const ag_variable *x)
{
    static const double options[AG_ROW_MAX_OPTIONS] = { 1 };
    (void)t;
    ag_tensor *y = &sum->tensor;
    if (y->contiguous && x->tensor.contiguous && y->storage->device.type == AG_DEVICE_CPU) {
        const void *in[AG_N_OPERANDS] = { y->data, x->tensor.data, y->data, y->data, y->data, y->data };
        ag__evaluate_arrays(AG_EXPRESSION_add_value, (ag_dtype)y->dtype, false, y->numel, y->data, in, options);
        y->storage->version++;
        return true;
    }
    ag__evaluation e = { .out = &sum->tensor,
                         .operand = { [IN_A] = &sum->tensor, [IN_B] = &x->tensor },
                         .reads = 1u << IN_A | 1u << IN_B,
                         .expression = AG_EXPRESSION_add_value,
                         .dtype = (ag_dtype)sum->tensor.dtype,
                         .options = options };
    if (!ag__evaluate("add_", &e)) return false;
    sum->tensor.storage->version++;
    return true;
}
