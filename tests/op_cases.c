/* op_cases.c - see op_cases.h; the format is described in tools/record-ops.py. */
#include "op_cases.h"

#include "support.h"

#include <stdarg.h>
#include <stdio.h>

enum { MAX_DIMS = 8, MAX_ARGS = 8, MAX_LIST = 8, MAX_NUMBERS = 16, MAX_INPUTS = 12, MAX_RESULTS = 4 };

static const char *const type_names[AG_N_DTYPES] = { "f32", "f64", "i64", "i32", "u8", "bool" };

/* One line, read word by word. */
typedef struct reader {
    char *at;
    const char *line;
    int number;
} reader;

#define FAIL(r, ...) fail_case(r, __VA_ARGS__)
static void fail_case(const reader *r, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
static void fail_case(const reader *r, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ck_abort_msg("case %d: %s: %.300s", r->number, text, r->line);
}

/* The next word, ended by a NUL in place. */
static char *word(reader *r)
{
    while (*r->at == ' ') r->at++;
    if (!*r->at) FAIL(r, "the line ends too early");
    char *start = r->at;
    while (*r->at && *r->at != ' ') r->at++;
    if (*r->at) *r->at++ = 0;
    return start;
}
static int64_t whole(reader *r) { return strtoll(word(r), NULL, 10); }
static double fraction(reader *r) { return strtod(word(r), NULL); }
static ag_dtype type(reader *r)
{
    const char *name = word(r);
    for (int t = 0; t < AG_N_DTYPES; t++)
        if (!strcmp(name, type_names[t])) return (ag_dtype)t;
    FAIL(r, "no type is called %s", name);
}

/* A Variable on memory of its own, laid out as PyTorch's was. */
static Variable *tensor(reader *r)
{
    ag_dtype dtype = type(r);
    int64_t ndim = whole(r), size[MAX_DIMS], stride[MAX_DIMS];
    for (int64_t d = 0; d < ndim; d++) size[d] = whole(r);
    for (int64_t d = 0; d < ndim; d++) stride[d] = whole(r);
    int64_t offset = whole(r);
    bool wants = whole(r) != 0;
    int64_t n = whole(r);
    Variable *flat = ag_empty(AG_SHAPE(n), .dtype = AG_FLOAT64);
    double *at = ag_data_mutable(flat);
    for (int64_t i = 0; i < n; i++) at[i] = fraction(r);
    Variable *x = ag_as_strided(ag_to(flat, .dtype = dtype, .copy = true), ag_sizes_of(ndim, size),
                                ag_sizes_of(ndim, stride), offset);
    x = ag_detach(x);
    if (wants) ag_requires_grad_(x);
    if (!x) FAIL(r, "an argument cannot be made: %s", ag_error());
    return x;
}

typedef struct call {
    int n, n_named, n_inputs;
    ag_value positional[MAX_ARGS];
    ag_named_value named[MAX_ARGS];
    Variable *list[MAX_LIST], *inputs[MAX_INPUTS]; /* those that require a gradient */
    int64_t numbers[MAX_ARGS][MAX_NUMBERS];
} call;

static Variable *input(reader *r, call *c)
{
    Variable *x = tensor(r);
    if (ag_requires_grad(x)) c->inputs[c->n_inputs++] = x;
    return x;
}

static void argument(reader *r, call *c, int k)
{
    char *kind = word(r), *equals = strchr(kind, '=');
    ag_value v = ag_of_none();
    const char *name = NULL;
    if (equals) {
        *equals = 0;
        name = kind;
        kind = equals + 1;
    }
    switch (*kind) {
    case 'T':
        v = ag_of_tensor(input(r, c));
        break;
    case 'L': {
        int64_t n = whole(r);
        for (int64_t i = 0; i < n; i++) c->list[i] = input(r, c);
        v = ag_of_list(ag_list_from(n, c->list));
        break;
    }
    case 'I':
        v = ag_of_int(whole(r));
        break;
    case 'F':
        v = ag_of_float(fraction(r));
        break;
    case 'B':
        v = ag_of_bool(whole(r) != 0);
        break;
    case 'N': {
        int64_t n = whole(r);
        for (int64_t i = 0; i < n; i++) c->numbers[k][i] = whole(r);
        v = ag_of_ints(ag_sizes_of(n, c->numbers[k]));
        break;
    }
    case 'D':
        v.kind = AG_VALUE_DTYPE;
        v.dtype = type(r);
        break;
    case 'Z':
        break;
    default:
        FAIL(r, "no argument is of kind %s", kind);
    }
    if (name)
        c->named[c->n_named++] = (ag_named_value){ name, v };
    else
        c->positional[c->n++] = v;
}

/* The next numbers of the line are x's elements, row-major. */
static void elements(reader *r, Variable *x, const char *what, double tolerance)
{
    for (int64_t i = 0; i < ag_numel(x); i++) {
        double wants = fraction(r), has = support_at(x, i);
        bool same = isnan(wants)   ? isnan(has)
                    : isinf(wants) ? has == wants
                                   : fabs(has - wants) <= tolerance * fmax(1, fabs(wants));
        if (!same) FAIL(r, "%s: element %lld is %.17g, not %.17g", what, (long long)i, has, wants);
    }
}
/* The same where a gradient that is not there stands for zeros. */
static void gradient(reader *r, Variable *grad, Variable *x, const char *what, double tolerance)
{
    elements(r, grad ? grad : ag_zeros_like(x), what, tolerance);
}

static void result(reader *r, Variable *y, double tolerance)
{
    ag_dtype dtype = type(r);
    if (ag_dtype_of(y) != dtype) FAIL(r, "the type is %s", ag_dtype_name(ag_dtype_of(y)));
    int64_t ndim = whole(r);
    if (ag_dim(y) != ndim) FAIL(r, "there are %d dimensions", ag_dim(y));
    for (int64_t d = 0; d < ndim; d++)
        if (whole(r) != ag_size(y, d)) FAIL(r, "size %lld is %lld", (long long)d, (long long)ag_size(y, d));
    if (*word(r) == '=')
        for (int64_t d = 0; d < ndim; d++)
            if (whole(r) != ag_stride(y).at[d])
                FAIL(r, "stride %lld is %lld", (long long)d, (long long)ag_stride(y).at[d]);
    const char *node = word(r), *has = ag_grad_fn(y) ? ag_node_name(ag_grad_fn(y)) : "-";
    if (strcmp(node, has)) FAIL(r, "grad_fn is %s, not %s", has, node);
    if (whole(r) != ag_requires_grad(y)) FAIL(r, "requires_grad is another");
    elements(r, y, "the result", tolerance);
}

/* sum over k and i of (i + 1) grad[k][i]^2 */
static Variable *weighed_squares(Variable *const *grad, int n)
{
    Variable *total = NULL;
    for (int k = 0; k < n; k++) {
        if (!grad[k] || !ag_requires_grad(grad[k])) continue;
        Variable *weight = ag_reshape(
            ag_to(ag_add(ag_arange((double)ag_numel(grad[k])), ag_scalar(1)), .dtype = ag_dtype_of(grad[k])),
            ag_shape(grad[k]));
        Variable *term = ag_sum(ag_mul(ag_mul(grad[k], grad[k]), weight));
        total = total ? ag_add(total, term) : term;
    }
    return total;
}

static void gradients(reader *r, const call *c, Variable *y, double tolerance)
{
    int order = (int)whole(r);
    if (order == 0) return;
    Variable *g = ag_empty(ag_shape(y), .dtype = ag_dtype_of(y)), *grad[MAX_INPUTS + 1] = { NULL };
    double *at = ag_dtype_of(y) == AG_FLOAT64 ? ag_data_mutable(g) : NULL;
    float *narrow = at ? NULL : ag_data_mutable(g);
    for (int64_t i = 0; i < ag_numel(y); i++) {
        double v = fraction(r);
        if (at)
            at[i] = v;
        else
            narrow[i] = (float)v;
    }
    ag_requires_grad_(g);
    if (!ag_autograd_grad(AG_LIST(y), ag_list_from(c->n_inputs, c->inputs), grad, .grad_outputs = AG_LIST(g),
                          .create_graph = order > 1, .allow_unused = true))
        FAIL(r, "no gradient: %s", ag_error());
    for (int k = 0; k < c->n_inputs; k++) gradient(r, grad[k], c->inputs[k], "the gradient", tolerance);
    if (order == 1) return;
    Variable *total = weighed_squares(grad, c->n_inputs), *with[MAX_INPUTS + 1], *second[MAX_INPUTS + 1] = { NULL };
    if (!total) FAIL(r, "the gradient has no history");
    memcpy(with, c->inputs, sizeof c->inputs);
    with[c->n_inputs] = g;
    if (!ag_autograd_grad(AG_LIST(total), ag_list_from(c->n_inputs + 1, with), second, .allow_unused = true))
        FAIL(r, "no second gradient: %s", ag_error());
    for (int k = 0; k <= c->n_inputs; k++) gradient(r, second[k], with[k], "the second gradient", tolerance * 10);
}

/* PyTorch's words, without what comes before a colon: "permute(sparse_coo): ..." */
static bool says(const char *sentence, const char *words)
{
    const char *colon = strstr(words, "): ");
    return strstr(sentence, words) || (colon && strstr(sentence, colon + 3));
}

static void replay_case(reader *r)
{
    call c = { 0 };
    const char *op = word(r);
    int n = (int)whole(r);
    for (int k = 0; k < n; k++) argument(r, &c, k);
    Variable *out[MAX_RESULTS] = { NULL };
    int results = ag_call(op, c.n, c.positional, c.n_named, c.named, out, MAX_RESULTS);
    if (*word(r) == 'E') {
        if (results || !ag_error()) FAIL(r, "should have been refused: %s", r->at);
        if (!says(ag_error(), r->at)) FAIL(r, "the sentence is \"%s\", not \"%s\"", ag_error(), r->at);
        ag_clear_error();
        return;
    }
    if (!results) FAIL(r, "refused: %s", ag_error());
    if (whole(r) != results) FAIL(r, "there are %d results", results);
    bool narrow = ag_dtype_of(out[0]) == AG_FLOAT32;
    for (int k = 0; k < c.n_inputs; k++) narrow |= ag_dtype_of(c.inputs[k]) == AG_FLOAT32;
    double tolerance = narrow ? 2e-6 : 1e-12;
    for (int k = 0; k < results; k++) result(r, out[k], tolerance);
    gradients(r, &c, out[0], tolerance);
    if (ag_error()) FAIL(r, "an error stands: %s", ag_error());
    while (*r->at == ' ') r->at++;
    if (*r->at && *r->at != '\n') FAIL(r, "the line goes on: %s", r->at);
}

void replay(const char *group)
{
    const char *path = getenv("AG_OP_CASES");
    FILE *file = fopen(path ? path : AG_TEST_DATA "/op_cases.txt", "r");
    ck_assert_msg(file != NULL, "the recorded cases are not there");
    char *line = NULL, *whole_line = NULL;
    size_t room = 0;
    int number = 0, replayed = 0;
    for (ssize_t length; (length = getline(&line, &room, file)) >= 0;) {
        number++;
        if (line[0] == '#') continue;
        line[length - 1] = 0;
        free(whole_line);
        whole_line = strdup(line);
        reader r = { line, whole_line, number };
        if (strcmp(word(&r), group)) continue;
        AG_SCOPE;
        replay_case(&r);
        replayed++;
    }
    free(whole_line);
    free(line);
    fclose(file);
    ck_assert_msg(replayed > 0, "there are no cases of %s", group);
}
