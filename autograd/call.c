/* call.c - the one list of records, finding in it, and binding values to an op's arguments as Python binds them. */
#include "autograd/op.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the list ---- */

typedef const ag_op *record(void);
#define AG__RECORDED(op) const ag_op *ag__op_##op(void);
#include "ops/ops.def"
#undef AG__RECORDED
#define AG__RECORDED(op) ag__op_##op,
static record *const records[] = {
#include "ops/ops.def"
};
#undef AG__RECORDED
enum { N_RECORDS = sizeof records / sizeof *records };

static const ag_op *ops[N_RECORDS]; /* by name, once they have been sorted */
static pthread_once_t sorted = PTHREAD_ONCE_INIT;
static int by_name(const void *a, const void *b)
{
    return strcmp((*(const ag_op *const *)a)->name, (*(const ag_op *const *)b)->name);
}
static void sort_ops(void)
{
    for (int i = 0; i < N_RECORDS; i++) ops[i] = records[i]();
    qsort(ops, N_RECORDS, sizeof *ops, by_name);
}

const ag_op *ag_op_at(int index)
{
    pthread_once(&sorted, sort_ops);
    return index >= 0 && index < N_RECORDS ? ops[index] : NULL;
}
const char *ag_op_name(const ag_op *op) { return op ? op->name : NULL; }
bool ag_op_has_inplace(const ag_op *op) { return op && op->inplace; }

/* "nn.functional.relu" is "relu". */
static const char *bare(const char *name)
{
    static const char *const prefixes[] = { "torch.", "nn.functional.", "Tensor." };
    for (size_t k = 0; k < sizeof prefixes / sizeof *prefixes; k++)
        if (!strncmp(name, prefixes[k], strlen(prefixes[k]))) name += strlen(prefixes[k]);
    return name;
}

/* A step of other ops: it trusts its caller, so no call by name reaches it. */
static bool is_internal(const ag_op *op) { return op->name[0] == '_'; }

/* PyTorch's name with the overload ("max.dim"), and without ("max"). */
static bool is_overload(const ag_op *op, const char *name, size_t length)
{
    if (!op->torch) return false;
    size_t base = strcspn(op->torch, "."), whole = strlen(op->torch);
    return (base == length || whole == length) && !memcmp(op->torch, name, length);
}
static bool is_called(const ag_op *op, const char *name, size_t length)
{
    return strlen(op->name) == length && !memcmp(op->name, name, length);
}

/* The overloads of a name: first what is called so, then what PyTorch calls so. *next is where to go on, from 0. */
static const ag_op *next_of(int *next, const char *name, size_t length)
{
    for (; *next < 2 * N_RECORDS; ++*next) {
        const ag_op *op = ag_op_at(*next % N_RECORDS);
        bool own = !is_internal(op) && is_called(op, name, length);
        if (*next < N_RECORDS ? !own : own || !is_overload(op, name, length)) continue;
        ++*next;
        return op;
    }
    return NULL;
}

const ag_op *ag_op_find(const char *name)
{
    if (!name) return NULL;
    name = bare(name);
    int next = 0;
    for (const ag_op *op; (op = ag_op_at(next)); next++)
        if (!strcmp(op->name, name)) return op;
    next = 0;
    return next_of(&next, name, strlen(name));
}

/* ---- the schema ---- */

/* What the arguments are called in a schema, and what Python calls the values they take. */
static const struct {
    const char *schema, *python;
} kinds[] = {
    [AG_KIND_Tensor] = { "Tensor", "Tensor" },
    [AG_KIND_Tensors] = { "Tensor[]", "tuple of Tensors" },
    [AG_KIND_Int] = { "int", "int" },
    [AG_KIND_Float] = { "float", "float" },
    [AG_KIND_Number] = { "Scalar", "Number" },
    [AG_KIND_Bool] = { "bool", "bool" },
    [AG_KIND_Str] = { "str", "str" },
    [AG_KIND_Size] = { "int[2]", "tuple of ints" },
    [AG_KIND_Dims] = { "int[]", "tuple of ints" },
    [AG_KIND_Shape] = { "int[]", "tuple of ints" },
    [AG_KIND_Dtype] = { "dtype", "torch.dtype" },
    [AG_KIND_Device] = { "Device", "torch.device" },
    [AG_KIND_Format] = { "MemoryFormat", "torch.memory_format" },
    [AG_KIND_Generator] = { "Generator", "Generator" },
};

/* A default as Python writes it. */
static const char *fallback_name(const ag_arg *a)
{
    static const char *const names[][2] = { { "AG_NONE", "None" },
                                            { "{}", "[]" },
                                            { "NULL", "None" },
                                            { "AG_ALL", "None" },
                                            { "false", "False" },
                                            { "true", "True" },
                                            { "AG_DTYPE_DEFAULT", "None" },
                                            { "AG_ANY_DEVICE", "None" },
                                            { "AG_CPU", "\"cpu\"" },
                                            { "AG_PRESERVE_FORMAT", "preserve_format" },
                                            { "AG_CONTIGUOUS_FORMAT", "contiguous_format" } };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (!strcmp(a->fallback, names[k][0])) return names[k][1];
    return strcasestr(a->fallback, "inf") || strcasestr(a->fallback, "nan") ? "None" : a->fallback;
}

/* snprintf at the end of what is there; *n is the length it would all have. */
static void append(char *text, size_t room, size_t *n, const char *format, const char *what)
{
    int more = snprintf(*n < room ? text + *n : NULL, *n < room ? room - *n : 0, format, what);
    *n += more > 0 ? (size_t)more : 0;
}

size_t ag_op_schema(const ag_op *op, char *text, size_t room)
{
    size_t n = 0;
    if (room) *text = 0;
    if (!op) return 0;
    append(text, room, &n, "%s(", op->name);
    for (int i = 0; i < op->n_args; i++) {
        const ag_arg *a = &op->args[i];
        const char *fallback = a->fallback ? fallback_name(a) : NULL;
        append(text, room, &n, "%s", i ? ", " : "");
        append(text, room, &n, "%s", kinds[a->kind].schema);
        append(text, room, &n, "%s ", fallback && !strcmp(fallback, "None") ? "?" : "");
        append(text, room, &n, "%s", a->name);
        if (fallback) append(text, room, &n, "=%s", fallback);
    }
    if (op->n_out == 1) {
        append(text, room, &n, "%s", ") -> Tensor");
    } else if (op->n_out == AG_MANY) {
        append(text, room, &n, "%s", ") -> Tensor[]");
    } else {
        append(text, room, &n, "%s", ") -> (");
        for (int k = 0; k < op->n_out; k++) {
            append(text, room, &n, "%sTensor", k ? ", " : "");
            if (op->out_names) append(text, room, &n, " %s", op->out_names[k]);
        }
        append(text, room, &n, "%s", ")");
    }
    return n;
}

/* ---- binding ---- */

enum { ARGS_BYTES = 512, REASON = 400, MAX_NUMBERS = 16 };

typedef struct binding {
    const ag_op *op;
    _Alignas(16) char args[ARGS_BYTES];
    uint64_t bound; /* arguments that have a value */
    uint64_t plain; /* Variables for which a number stands */
    char reason[REASON];
    int64_t numbers[MAX_NUMBERS]; /* view(x, 2, 3): the ints of a shape given one by one */
} binding;

static bool refuse(binding *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(binding *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(b->reason, sizeof b->reason, format, args);
    va_end(args);
    return false;
}

static const char *wanted(const ag_arg *a) { return kinds[a->kind].python; }
static const char *kind_of(const ag_value *v)
{
    static const char *const names[] = {
        [AG_VALUE_NONE] = "NoneType",
        [AG_VALUE_TENSOR] = "Tensor",
        [AG_VALUE_TENSORS] = "tuple of Tensors",
        [AG_VALUE_INT] = "int",
        [AG_VALUE_FLOAT] = "float",
        [AG_VALUE_BOOL] = "bool",
        [AG_VALUE_STR] = "str",
        [AG_VALUE_INTS] = "tuple of ints",
        [AG_VALUE_DTYPE] = "torch.dtype",
        [AG_VALUE_DEVICE] = "torch.device",
        [AG_VALUE_GENERATOR] = "Generator",
    };
    return names[v->kind];
}

/* The value is what its kind says, and can be read. */
static bool is_sound(const ag_value *v)
{
    switch (v->kind) {
    case AG_VALUE_TENSORS:
        return v->tensors.n >= 0 && (v->tensors.at || !v->tensors.n);
    case AG_VALUE_INTS:
        return v->ints.n >= 0 && (v->ints.at || !v->ints.n);
    case AG_VALUE_STR:
        return v->s;
    default:
        return (unsigned)v->kind <= AG_VALUE_GENERATOR;
    }
}

/* A Variable without dimensions counts as a number where it wants no gradient. */
static bool as_number(const ag_value *v, bool whole, ag_number *out)
{
    switch (v->kind) {
    case AG_VALUE_INT:
        *out = v->i;
        return true;
    case AG_VALUE_BOOL:
        *out = v->b;
        return true;
    case AG_VALUE_FLOAT:
        *out = v->f;
        return !whole;
    case AG_VALUE_TENSOR: {
        const ag_variable *x = v->tensor;
        if (!x || x == AG_NONE || x->tensor.ndim || x->requires_grad) return false;
        bool fractional = ag__is_floating((ag_dtype)x->tensor.dtype);
        *out = fractional ? (ag_number)ag_item(x) : (ag_number)ag_item_int64(x);
        return !(whole && fractional);
    }
    default:
        return false;
    }
}

static bool as_size(const ag_value *v, ag_sizes *out)
{
    if (v->kind == AG_VALUE_INT) return *out = v->i, true;
    if (v->kind != AG_VALUE_INTS || v->ints.n < 1 || v->ints.n > 3) return false;
    const int64_t *at = v->ints.at;
    *out = v->ints.n == 1 ? AG_SIZE(at[0]) : v->ints.n == 2 ? AG_SIZE(at[0], at[1]) : AG_SIZE(at[0], at[1], at[2]);
    return true;
}
static bool as_dims(const ag_value *v, ag_dims *out)
{
    if (v->kind == AG_VALUE_INT) return *out = v->i, true;
    if (v->kind != AG_VALUE_INTS || v->ints.n > AG_MAX_DIMS) return false;
    *out = v->ints.n ? AG_DIMS_(v->ints.n) : AG_ALL;
    for (int64_t i = 0; i < v->ints.n; i++) *out |= AG_DIM_(i, v->ints.at[i]);
    return true;
}

static bool refuse_kind(binding *b, int k, const ag_value *v, bool by_name)
{
    char place[32] = "";
    if (!by_name) snprintf(place, sizeof place, " (position %d)", k + 1);
    return refuse(b, "%s(): argument '%s'%s must be %s, not %s", b->op->name, b->op->args[k].name, place,
                  wanted(&b->op->args[k]), kind_of(v));
}

/* The value as argument k. */
static bool bind(binding *b, int k, const ag_value *v, bool by_name)
{
    const ag_arg *a = &b->op->args[k];
    void *field = b->args + a->offset;
    ag_number number;
    bool ok = false;
    if (b->bound >> k & 1) return refuse(b, "%s() got multiple values for argument '%s'", b->op->name, a->name);
    b->bound |= (uint64_t)1 << k;
    if (!is_sound(v)) return refuse(b, "%s(): argument '%s' is no value", b->op->name, a->name);
    if (v->kind == AG_VALUE_NONE) return a->fallback || refuse_kind(b, k, v, by_name);
    switch ((ag_kind)a->kind) {
    case AG_KIND_Tensor:
        ok = true;
        b->plain |= (uint64_t)(v->kind != AG_VALUE_TENSOR) << k;
        if (v->kind == AG_VALUE_TENSOR)
            *(ag_variable **)field = v->tensor;
        else if (!(b->op->numbers >> k & 1))
            ok = false;
        else if (v->kind == AG_VALUE_INT)
            *(ag_variable **)field = ag_scalar_int64(v->i);
        else if (v->kind == AG_VALUE_FLOAT)
            *(ag_variable **)field = ag_scalar_double(v->f);
        else if (v->kind == AG_VALUE_BOOL)
            *(ag_variable **)field = ag_scalar_bool(v->b);
        else
            ok = false;
        break;
    case AG_KIND_Tensors:
        ok = v->kind == AG_VALUE_TENSORS || (v->kind == AG_VALUE_INTS && v->ints.n == 0); /* [] is of either kind */
        if (ok) *(ag_list *)field = v->kind == AG_VALUE_TENSORS ? v->tensors : ag_list_from(0, NULL);
        break;
    case AG_KIND_Int:
        if ((ok = as_number(v, true, &number))) *(int64_t *)field = (int64_t)number;
        break;
    case AG_KIND_Float:
        if ((ok = as_number(v, false, &number))) *(double *)field = (double)number;
        break;
    case AG_KIND_Number:
        if ((ok = as_number(v, false, &number))) *(ag_number *)field = number;
        break;
    case AG_KIND_Bool:
        if ((ok = v->kind == AG_VALUE_BOOL || v->kind == AG_VALUE_INT))
            *(bool *)field = v->kind == AG_VALUE_BOOL ? v->b : v->i != 0;
        break;
    case AG_KIND_Str:
        if ((ok = v->kind == AG_VALUE_STR)) *(const char **)field = v->s;
        break;
    case AG_KIND_Size:
        if (v->kind == AG_VALUE_STR && strstr(b->op->name, "conv") && !strcmp(a->name, "padding")) {
            if (!strcmp(v->s, "valid")) return *(ag_sizes *)field = 0, true;
            if (!strcmp(v->s, "same")) return *(ag_sizes *)field = AG_PADDING_SAME, true;
            return refuse(b, "%s(): Invalid padding string: '%s'", b->op->name, v->s);
        }
        ok = as_size(v, field);
        break;
    case AG_KIND_Dims:
        ok = as_dims(v, field);
        break;
    case AG_KIND_Shape:
        ok = v->kind == AG_VALUE_INTS || v->kind == AG_VALUE_INT;
        if (v->kind == AG_VALUE_INTS)
            *(ag_shape_list *)field = v->ints;
        else if (ok)
            *(ag_shape_list *)field = ag_sizes_of(1, &v->i);
        break;
    case AG_KIND_Dtype:
        if ((ok = v->kind == AG_VALUE_DTYPE)) *(ag_dtype *)field = v->dtype;
        break;
    case AG_KIND_Device:
        if (v->kind == AG_VALUE_STR) return ag_device_parse(v->s, field);
        if ((ok = v->kind == AG_VALUE_DEVICE)) *(ag_device *)field = v->device;
        break;
    case AG_KIND_Format:
        if ((ok = v->kind == AG_VALUE_INT)) *(ag_memory_format *)field = (ag_memory_format)v->i;
        break;
    case AG_KIND_Generator:
        if ((ok = v->kind == AG_VALUE_GENERATOR)) *(ag_generator **)field = v->generator;
        break;
    }
    return ok || refuse_kind(b, k, v, by_name);
}

/* An argument by its name, or by the name PyTorch's methods and old spellings give it. */
static int find_argument(const ag_op *op, const char *name)
{
    static const char *const other_names[][2] = {
        { "self", "input" }, { "axis", "dim" }, { "keepdims", "keepdim" }, { "size", "shape" }, { "x", "input" }
    };
    for (int k = 0; k < op->n_args; k++)
        if (!strcmp(op->args[k].name, name)) return k;
    for (size_t i = 0; i < sizeof other_names / sizeof *other_names; i++)
        for (int k = 0; k < op->n_args && !strcmp(other_names[i][0], name); k++)
            if (!strcmp(op->args[k].name, other_names[i][1])) return k;
    return -1;
}

/* view(x, 2, 3), permute(x, 0, 2, 1): a shape that comes last takes all the ints there are. */
static bool bind_numbers(binding *b, int k, int n, const ag_value *values)
{
    if (n > MAX_NUMBERS) return refuse(b, "%s(): too many sizes", b->op->name);
    for (int i = 0; i < n; i++) {
        if (values[i].kind != AG_VALUE_INT)
            return refuse(
                b,
                "%s(): argument '%s' failed to unpack the object at pos %d with error \"type must be tuple of "
                "ints,but got %s\"",
                b->op->name, b->op->args[k].name, i + 1, is_sound(&values[i]) ? kind_of(&values[i]) : "?");
        b->numbers[i] = values[i].i;
    }
    b->bound |= (uint64_t)1 << k;
    *(ag_shape_list *)(void *)(b->args + b->op->args[k].offset) = ag_sizes_of(n, b->numbers);
    return true;
}

/* "mul() takes 2 positional arguments but 3 were given" */
static bool refuse_surplus(binding *b, int given)
{
    char takes[64];
    int must = 0, may = b->op->n_args;
    for (int k = 0; k < may; k++) must += !b->op->args[k].fallback;
    if (must == may)
        snprintf(takes, sizeof takes, "%d positional argument%s", may, may == 1 ? "" : "s");
    else
        snprintf(takes, sizeof takes, "from %d to %d positional arguments", must, may);
    return refuse(b, "%s() takes %s but %d %s given", b->op->name, takes, given, given == 1 ? "was" : "were");
}
/* "mul() missing 2 required positional arguments: 'input' and 'other'" */
static bool refuse_missing(binding *b)
{
    char names[REASON / 2];
    int missing[64], n = 0, used = 0;
    for (int k = 0; k < b->op->n_args; k++)
        if (!b->op->args[k].fallback && !(b->bound >> k & 1)) missing[n++] = k;
    if (!n) return true;
    for (int i = 0; i < n && used < (int)sizeof names; i++)
        used += snprintf(names + used, sizeof names - (size_t)used, "%s'%s'",
                         !i          ? ""
                         : i < n - 1 ? ", "
                         : n == 2    ? " and "
                                     : ", and ",
                         b->op->args[missing[i]].name);
    return refuse(b, "%s() missing %d required positional argument%s: %s", b->op->name, n, n == 1 ? "" : "s", names);
}

/* Of numbers alone there is no op: one of its Variables must be one. */
static bool refuse_numbers(binding *b)
{
    const ag_op *op = b->op;
    int first = -1;
    for (int k = 0; k < op->n_args; k++) {
        if (op->args[k].kind != AG_KIND_Tensor && op->args[k].kind != AG_KIND_Tensors) continue;
        if (!(b->plain >> k & 1)) return true;
        if (first < 0) first = k;
    }
    return first < 0 || refuse(b, "%s(): argument '%s' must be Tensor, not a number", op->name, op->args[first].name);
}

static bool bind_all(binding *b, int n, const ag_value *positional, int n_named, const ag_named_value *named)
{
    const ag_op *op = b->op;
    if (op->args_size > sizeof b->args || op->n_args > 64)
        return refuse(b, "%s: too many arguments for a call by name", op->name);
    memcpy(b->args, op->defaults, op->args_size);
    b->bound = b->plain = 0;
    for (int i = 0; i < n; i++) {
        bool whole_tail = i + 1 == op->n_args || (i < op->n_args && op->args[i + 1].kind != AG_KIND_Shape);
        bool shape_by_numbers = whole_tail && op->args[i].kind == AG_KIND_Shape && positional[i].kind == AG_VALUE_INT &&
                                n - i > 1;
        if (shape_by_numbers) {
            if (!bind_numbers(b, i, n - i, positional + i)) return false;
            break;
        }
        if (i >= op->n_args) return refuse_surplus(b, n);
        if (!bind(b, i, &positional[i], false)) return false;
    }
    for (int i = 0; i < n_named; i++) {
        if (!named[i].name) return refuse(b, "%s(): the name of an argument is NULL", op->name);
        int k = find_argument(op, named[i].name);
        if (k < 0) return refuse(b, "%s() got an unexpected keyword argument '%s'", op->name, named[i].name);
        if (!bind(b, k, &named[i].value, true)) return false;
    }
    return refuse_missing(b) && refuse_numbers(b);
}

/* The call once its values are bound; how many results it has, 0 on failure. */
static int call_bound(binding *b, bool inplace, ag_variable **out, int room, const void *caller)
{
    const ag_op *op = b->op;
    ag_variable *few[AG_MAX_OUTPUTS];
    ag_list results = { 0, few };
    if (op->n_out == AG_MANY)
        results = ag__apply_list(op, b->args, caller);
    else if (inplace ? ag__apply_inplace(op, b->args, few, caller) : ag__apply(op, b->args, few, caller))
        results.n = op->n_out;
    while (results.n && !results.at[results.n - 1]) results.n--; /* max_pool2d(return_indices=False) has one */
    if (results.n > room)
        return ag__fail(AG_EINVAL, "%s: it has %d results, and there is room for %d", op->name, (int)results.n, room),
               0;
    for (int64_t k = 0; k < results.n; k++) out[k] = results.at[k];
    return (int)results.n;
}

int ag_call(const char *name, int n, const ag_value *positional, int n_named, const ag_named_value *named,
            ag_variable **out, int room)
{
    if (!name || !out) return ag__fail(AG_EINVAL, "call: %s is NULL", name ? "out" : "the name"), 0;
    if (n < 0 || n_named < 0 || (n && !positional) || (n_named && !named))
        return ag__fail(AG_EINVAL, "%s: %s values are given, but not there", name,
                        n < 0 || (n && !positional) ? "positional" : "named"),
               0;
    const char *short_name = bare(name);
    size_t length = strlen(short_name);
    binding b;
    char first_reason[REASON] = "";
    bool known = false;
    for (int inplace = 0; inplace < 2;
         inplace++) { /* by its whole name; then as the in-place form of what stands before the _ */
        if (inplace && (length < 2 || short_name[--length] != '_')) break;
        int next = 0;
        for (const ag_op *op; (op = next_of(&next, short_name, length));) {
            if (inplace && !op->inplace) continue;
            known = true;
            b.op = op;
            b.reason[0] = 0;
            if (!bind_all(&b, n, positional, n_named, named)) {
                if (!*first_reason) memcpy(first_reason, b.reason, sizeof first_reason);
                continue;
            }
            return call_bound(&b, inplace, out, room, __builtin_return_address(0));
        }
    }
    if (!known)
        ag__fail(AG_ENOTSUP, "there is no op '%s'", name);
    else
        ag__fail(AG_EINVAL, "%s", *first_reason ? first_reason : "the arguments do not bind");
    return 0;
}
