/* program_ops.c - what the instructions of a program are in terms of the library's ops; see programs.h. */
#include "programs.h"

#include <string.h>

enum { MAX_ATTRIBUTES = 3, MAX_LIST = 64 };

/* Instructions that are one op, whose arguments are the first n_in operands and then these attributes in order. */
static const struct {
    const char *op;
    int n_in;
    const char *called; /* NULL: by its own name */
    const char *attributes[MAX_ATTRIBUTES];
} plain[] = {
    { "abs", 1, NULL, { NULL } },
    { "add", 2, NULL, { NULL } },
    { "add_", 2, NULL, { NULL } },
    { "adds", 1, "add", { "s" } },
    { "adds_", 1, "add_", { "s" } },
    { "amax", 1, NULL, { "dim", "keep" } },
    { "chunk", 1, NULL, { "n", "dim" } },
    { "clone", 1, NULL, { NULL } },
    { "contiguous", 1, NULL, { NULL } },
    { "copy_", 2, NULL, { NULL } },
    { "cos", 1, NULL, { NULL } },
    { "cumsum", 1, NULL, { "dim" } },
    { "cumsum_", 1, NULL, { "dim" } },
    { "detach", 1, NULL, { NULL } },
    { "diagonal", 1, NULL, { NULL } },
    { "exp", 1, NULL, { NULL } },
    { "exp_", 1, NULL, { NULL } },
    { "expand", 1, NULL, { "shape" } },
    { "fill_", 1, NULL, { "s" } },
    { "flatten", 1, NULL, { NULL } },
    { "logsumexp", 1, NULL, { "dim", "keep" } },
    { "matmul", 2, NULL, { NULL } },
    { "maximum", 2, NULL, { NULL } },
    { "mean", 1, NULL, { "dim", "keep" } },
    { "mean_all", 1, "mean", { NULL } },
    { "mul", 2, NULL, { NULL } },
    { "mul_", 2, NULL, { NULL } },
    { "muls", 1, "mul", { "s" } },
    { "muls_", 1, "mul_", { "s" } },
    { "narrow", 1, NULL, { "dim", "start", "len" } },
    { "neg", 1, NULL, { NULL } },
    { "neg_", 1, NULL, { NULL } },
    { "relu", 1, NULL, { NULL } },
    { "relu_", 1, NULL, { NULL } },
    { "reshape", 1, NULL, { "shape" } },
    { "select", 1, NULL, { "dim", "i" } },
    { "sigmoid", 1, NULL, { NULL } },
    { "sigmoid_", 1, NULL, { NULL } },
    { "sin", 1, NULL, { NULL } },
    { "sin_", 1, NULL, { NULL } },
    { "softmax", 1, NULL, { "dim" } },
    { "squeeze", 1, NULL, { NULL } },
    { "squeeze_", 1, NULL, { NULL } },
    { "sub", 2, NULL, { NULL } },
    { "sub_", 2, NULL, { NULL } },
    { "sum", 1, NULL, { "dim", "keep" } },
    { "sum_all", 1, "sum", { NULL } },
    { "tanh", 1, NULL, { NULL } },
    { "tanh_", 1, NULL, { NULL } },
    { "transpose", 1, NULL, { "d0", "d1" } },
    { "transpose_", 1, NULL, { "d0", "d1" } },
    { "unbind", 1, NULL, { "dim" } },
    { "unsqueeze", 1, NULL, { "dim" } },
    { "unsqueeze_", 1, NULL, { "dim" } },
    { "view", 1, NULL, { "shape" } },
    { "zero_", 1, NULL, { NULL } },
};

/* ---- attributes ---- */

static const json *attribute(const instruction *i, const char *name) { return json_get(i->attributes, name); }

static ag_shape_list ints_of(const json *list, int64_t *room)
{
    int64_t n = 0;
    for (const json *m = json_first(list); m && n < MAX_LIST; m = m->next) n += json_whole(m, &room[n]);
    return ag_sizes_of(n, room);
}
/* An attribute as a value; none where it has no such form. */
static ag_value value_of(const json *x, int64_t *room)
{
    if (json_is(x, JSON_BOOL)) return ag_of(x->is_true);
    if (json_is(x, JSON_ARRAY)) return ag_of(ints_of(x, room));
    if (json_is(x, JSON_NUMBER)) return x->is_whole ? ag_of(x->whole) : ag_of(x->number);
    return ag_of_none();
}
static double scale(const instruction *i)
{
    const json *s = attribute(i, "s");
    return s ? s->number : 0;
}
static ag_value whole(const instruction *i, const char *name) { return value_of(attribute(i, name), NULL); }
static ag_variable *indices(const instruction *i)
{
    int64_t room[MAX_LIST];
    ag_shape_list list = ints_of(attribute(i, "i"), room);
    return ag_to(ag_tensor_from(room, AG_SHAPE(list.n), AG_INT64), ag_device_of(i->in[0]));
}

/* ---- calls by name, of ops that a build may lack ---- */

static ag_variable *call(const char *op, int n, const ag_value *values)
{
    ag_variable *out[2];
    return ag_call(op, n, values, 0, NULL, out, 2) ? out[0] : NULL;
}
#define CALL(op, ...) call(op, AG_COUNT_OF(ag_value, __VA_ARGS__), (const ag_value[]){ __VA_ARGS__ })

/* ---- instructions that are more than one op, or have arguments of their own ---- */

static ag_variable *square(const instruction *i) { return CALL("pow", ag_of(i->in[0]), ag_of(2)); }
static ag_variable *square_(const instruction *i) { return CALL("pow_", ag_of(i->in[0]), ag_of(2)); }
static ag_variable *one_and_square(ag_variable *x) { return ag_add(ag_mul(x, x), ag_scalar(1)); }
/* 1 / x in Python */
static ag_variable *reciprocal_p(const instruction *i)
{
    return ag_mul(ag_reciprocal(one_and_square(i->in[0])), ag_scalar(1));
}
static ag_variable *log_p(const instruction *i) { return ag_log(one_and_square(i->in[0])); }
static ag_variable *sqrt_p(const instruction *i) { return ag_sqrt(one_and_square(i->in[0])); }
static ag_variable *div_p(const instruction *i) { return ag_div(i->in[0], one_and_square(i->in[1])); }
static ag_variable *is_positive(ag_variable *x) { return ag_gt(x, ag_scalar(0)); }
static ag_variable *where(const instruction *i) { return ag_where(is_positive(i->in[0]), i->in[0], i->in[1]); }
static ag_variable *clamp_(const instruction *i) { return ag_clamp_(i->in[0], -0.5, 0.5); }
static ag_variable *addcmul_(const instruction *i)
{
    return ag_addcmul_(i->in[0], i->in[1], i->in[2], .value = scale(i));
}
static ag_variable *max_dim(const instruction *i) { return CALL("max", ag_of(i->in[0]), whole(i, "dim")); }
static ag_variable *step(const instruction *i)
{
    const json *s = attribute(i, "s");
    return ag_slice(i->in[0], .step = s ? s->whole : 1);
}
static ag_variable *flip0(const instruction *i) { return CALL("flip", ag_of(i->in[0]), ag_of(AG_SHAPE(0))); }
static ag_variable *cat(const instruction *i) { return CALL("cat", ag_of(ag_list_from(2, i->in)), whole(i, "dim")); }
static ag_variable *stack(const instruction *i)
{
    return CALL("stack", ag_of(ag_list_from(2, i->in)), whole(i, "dim"));
}
static ag_variable *index_select(const instruction *i)
{
    return CALL("index_select", ag_of(i->in[0]), whole(i, "dim"), ag_of(indices(i)));
}
static ag_variable *index_add_(const instruction *i)
{
    return CALL("index_add_", ag_of(i->in[0]), whole(i, "dim"), ag_of(indices(i)), ag_of(i->in[1]));
}
static ag_variable *masked_fill(const instruction *i)
{
    return ag_masked_fill(i->in[0], is_positive(i->in[0]), scale(i));
}
static ag_variable *masked_fill_(const instruction *i)
{
    return ag_masked_fill_(i->in[0], is_positive(i->in[1]), scale(i));
}
static ag_variable *setitem(const instruction *i)
{
    const json *at = attribute(i, "i");
    ag_variable *part = ag_select(i->in[0], 0, at ? at->whole : 0);
    bool one = ag_dim(i->in[1]) == 0 && ag_dim(part) > 0; /* what Python's assignment does with a number */
    return one ? ag_fill_tensor_(part, i->in[1]) : ag_copy_(part, ag_expand(i->in[1], ag_shape(part)));
}
static ag_variable *detach_(const instruction *i) { return ag_detach_(i->in[0]); }
static ag_variable *requires_grad_(const instruction *i)
{
    const json *on = attribute(i, "v");
    return ag_requires_grad_(i->in[0], on && on->is_true);
}

static const struct {
    const char *op;
    int n_in;
    ag_variable *(*run)(const instruction *i);
} others[] = {
    { "addcmul_", 3, addcmul_ },
    { "cat", 2, cat },
    { "clamp_", 1, clamp_ },
    { "detach_", 1, detach_ },
    { "div_p", 2, div_p },
    { "flip0", 1, flip0 },
    { "index_add_", 2, index_add_ },
    { "index_select", 1, index_select },
    { "log_p", 1, log_p },
    { "masked_fill", 1, masked_fill },
    { "masked_fill_", 2, masked_fill_ },
    { "max_dim", 1, max_dim },
    { "reciprocal_p", 1, reciprocal_p },
    { "requires_grad_", 1, requires_grad_ },
    { "setitem", 2, setitem },
    { "sqrt_p", 1, sqrt_p },
    { "square", 1, square },
    { "square_", 1, square_ },
    { "stack", 2, stack },
    { "step", 1, step },
    { "where", 2, where },
};

static void call_plain(instruction *i, size_t k)
{
    int64_t room[MAX_LIST];
    ag_value values[MAX_OPERANDS + MAX_ATTRIBUTES];
    int n = 0;
    for (int j = 0; j < plain[k].n_in; j++) values[n++] = ag_of(i->in[j]);
    for (int j = 0; j < MAX_ATTRIBUTES && plain[k].attributes[j]; j++)
        values[n++] = value_of(attribute(i, plain[k].attributes[j]), room);
    i->n_out = ag_call(plain[k].called ? plain[k].called : i->op, n, values, 0, NULL, i->out, MAX_RESULTS);
}

static bool has_operands(const instruction *i, int n, complaint *why)
{
    return i->n_in >= n || complain(why, "'%s' has %d operands, it takes %d", i->op, i->n_in, n);
}

void execute(instruction *i, complaint *why)
{
    i->n_out = 0;
    for (size_t k = 0; k < sizeof plain / sizeof *plain; k++) {
        if (strcmp(i->op, plain[k].op)) continue;
        if (has_operands(i, plain[k].n_in, why)) call_plain(i, k);
        return;
    }
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        if (strcmp(i->op, others[k].op)) continue;
        if (!has_operands(i, others[k].n_in, why)) return;
        i->out[0] = others[k].run(i);
        i->n_out = i->out[0] != NULL;
        return;
    }
    complain(why, "there is no instruction '%s'", i->op);
}
