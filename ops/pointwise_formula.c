/* pointwise_formula.c - the rows' expressions as text: read once into small trees, from which come what a derivative
 * reads, and the derivative as a graph of Variables, computed by the library's own ops so that it can be differentiated
 * again. The compiler has read the same text as C, so only what is true of C needs to be understood here:
 *
 *     comparison = sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
 *     sum        = product {("+" | "-") product}
 *     product    = unary {("*" | "/") unary}
 *     unary      = "-" unary | number | operand | option | word "(" comparison {"," comparison} ")" | "(" comparison
 * ")"
 *
 * Numbers stay numbers until they meet a Variable.
 */
#include "ops/pointwise_rows.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <pthread.h>
#include <string.h>

/* ---- the texts ---- */
typedef struct expression {
    const char *text;
    const char *const *options; /* their names, in the order of the argument list */
} expression;

// clang-format off
#define x a
#define AG_OPTION(name)                         #name,
#define TEXT(LIST, text)                        { #text, (const char *const[]){ LIST(AG_ONLY_OPTIONS, AG_ONLY_OPTIONS_MAY) NULL } },
#define VALUE(op, integers, LIST, text)         TEXT(LIST, text)
#define VALUE_IS(op, integers, LIST, text)      TEXT(LIST, text)
#define DERIVATIVE(op, part, LIST, text)        TEXT(LIST, text)
static const expression expressions[AG_N_EXPRESSIONS] = {
#include "ops/pointwise.def"
};
#undef x
// clang-format on

const char *ag__formula_text(int e) { return expressions[e].text; }

/* ---- the trees ---- */
typedef enum { NUMBER, OPERAND, OPTION, GIVEN, CALL } kind;
typedef struct node {
    uint8_t kind;
    char sign;         /* of a call: + - * / and comparisons (l: <=, g: >=) can be of plain numbers, too; else 0 */
    uint16_t child[3]; /* of a call or given */
    union {
        double number;
        int index;       /* of the operand or option */
        const ag_op *op; /* of a call */
    };
} node;

enum { MAX_NODES = 4096, BROKEN = 0 };
static node nodes[MAX_NODES];
static int n_nodes = 1; /* node 0 is a formula that cannot be read */
static uint16_t roots[AG_N_EXPRESSIONS];
ag__formula ag__formulas[AG_N_EXPRESSIONS];
bool ag__formulas_are_read;

/* ---- reading ---- */
typedef struct reader {
    const char *at;
    const expression *e;
    unsigned reads;
    bool failed;
} reader;

static uint16_t comparison(reader *r);

static bool take(reader *r, const char *token)
{
    while (*r->at == ' ') r->at++;
    size_t n = strlen(token);
    if (strncmp(r->at, token, n) != 0) return false;
    r->at += n;
    return true;
}
static uint16_t fail(reader *r)
{
    r->failed = true;
    return BROKEN;
}
static uint16_t make(reader *r, node n)
{
    if (r->failed || n_nodes == MAX_NODES) return fail(r);
    nodes[n_nodes] = n;
    return (uint16_t)n_nodes++;
}

static const ag_op *op_named(const char *name, size_t length)
{
    for (int k = 0; k < ag__n_row_records; k++) {
        const ag_op *op = ag__row_records[k]();
        if (strlen(op->name) == length && memcmp(op->name, name, length) == 0) return op;
    }
    return NULL;
}
static uint16_t call(reader *r, const char *name, size_t length, char sign, int n, const uint16_t *child)
{
    const ag_op *op = op_named(name, length);
    if (!op || op->row->n_in != n) return fail(r);
    node made = { .kind = CALL, .sign = sign, .op = op };
    for (int i = 0; i < n; i++) made.child[i] = child[i];
    return make(r, made);
}
static uint16_t binary(reader *r, const char *name, char sign, uint16_t a, uint16_t b)
{
    return call(r, name, strlen(name), sign, 2, (uint16_t[]){ a, b });
}

/* Digits and a point, 19 digits at most: exact in a long double, so rounded but once. */
static uint16_t number(reader *r)
{
    uint64_t digits = 0, ten = 1;
    for (; *r->at >= '0' && *r->at <= '9'; r->at++) digits = 10 * digits + (uint64_t)(*r->at - '0');
    if (*r->at == '.')
        for (r->at++; *r->at >= '0' && *r->at <= '9'; r->at++, ten *= 10)
            digits = 10 * digits + (uint64_t)(*r->at - '0');
    return make(r, (node){ .kind = NUMBER, .number = (double)((long double)digits / (long double)ten) });
}

static bool is_word(const char *name, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(name, word, length) == 0;
}
/* After a name and its bracket. */
static uint16_t function(reader *r, const char *name, size_t length)
{
    uint16_t p[3] = { BROKEN };
    int n = 0;
    do {
        if (n == 3) return fail(r);
        p[n++] = comparison(r);
    } while (take(r, ","));
    if (!take(r, ")")) return fail(r);
    if (is_word(name, length, "K") && n == 1) return p[0];
    if (is_word(name, length, "select") && n == 3) return call(r, "where", 5, 0, 3, p);
    if (is_word(name, length, "given") && n == 3)
        return make(r, (node){ .kind = GIVEN, .child = { p[0], p[1], p[2] } });
    return call(r, name, length, 0, n, p);
}
static uint16_t named(reader *r)
{
    static const char operands[AG_N_OPERANDS] = {
        [IN_A] = 'a', [IN_B] = 'b', [IN_C] = 'c', [IN_M] = 'm', [IN_Y] = 'y', [IN_G] = 'g',
    };
    const char *name = r->at;
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzK_0123456789");
    if (length == 0) return fail(r);
    r->at += length;
    if (take(r, "(")) return function(r, name, length);
    for (int k = 0; length == 1 && k < AG_N_OPERANDS; k++)
        if (*name == operands[k]) {
            r->reads |= 1u << k;
            return make(r, (node){ .kind = OPERAND, .index = k });
        }
    for (int k = 0; r->e->options[k]; k++)
        if (is_word(name, length, r->e->options[k])) return make(r, (node){ .kind = OPTION, .index = k });
    return fail(r);
}
static uint16_t unary(reader *r)
{
    if (r->failed) return BROKEN;
    if (take(r, "-")) {
        uint16_t a = unary(r);
        return call(r, "neg", 3, '-', 1, &a);
    }
    if (take(r, "(")) {
        uint16_t a = comparison(r);
        return take(r, ")") ? a : fail(r);
    }
    return *r->at >= '0' && *r->at <= '9' ? number(r) : named(r);
}
static uint16_t product(reader *r)
{
    uint16_t a = unary(r);
    for (;;) {
        if (take(r, "*"))
            a = binary(r, "mul", '*', a, unary(r));
        else if (take(r, "/"))
            a = binary(r, "div", '/', a, unary(r));
        else
            return a;
    }
}
static uint16_t sum(reader *r)
{
    uint16_t a = product(r);
    for (;;) {
        if (take(r, "+"))
            a = binary(r, "add", '+', a, product(r));
        else if (take(r, "-"))
            a = binary(r, "sub", '-', a, product(r));
        else
            return a;
    }
}
static uint16_t comparison(reader *r)
{
    static const struct {
        const char *token, *op;
        char sign;
    } signs[] = { { "<=", "le", 'l' }, { ">=", "ge", 'g' }, { "==", "eq", '=' },
                  { "!=", "ne", '!' }, { "<", "lt", '<' },  { ">", "gt", '>' } };
    uint16_t a = sum(r);
    for (size_t k = 0; k < sizeof signs / sizeof *signs; k++)
        if (take(r, signs[k].token)) return binary(r, signs[k].op, signs[k].sign, a, sum(r));
    return a;
}

static uint8_t kind_of(const node *root)
{
    if (root->kind == OPERAND) return root->index == IN_G ? AG_FORMULA_GRADIENT : AG_FORMULA_OF_OPERANDS;
    return root->kind == CALL     ? AG_FORMULA_OF_OPERANDS
           : root->kind == NUMBER ? AG_FORMULA_NUMBER
                                  : AG_FORMULA_BY_OPTIONS;
}
static void read_all(void)
{
    for (int e = 0; e < AG_N_EXPRESSIONS; e++) {
        reader r = { .at = expressions[e].text, .e = &expressions[e] };
        uint16_t root = comparison(&r);
        roots[e] = *r.at || r.failed ? BROKEN : root;
        ag__formulas[e] = (ag__formula){ .reads = (uint8_t)r.reads, .kind = kind_of(&nodes[roots[e]]) };
    }
}
void ag__formulas_read(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_all);
    __atomic_store_n(&ag__formulas_are_read, true, __ATOMIC_RELEASE);
}

/* ---- what has been read ---- */

/* A Variable, or the number n where v is NULL. */
typedef struct value {
    ag_variable *v;
    double n;
} value;
typedef struct graph {
    ag_variable *const *operand;
    const double *options;
    int expression;
} graph;

static double of_numbers(char sign, double a, double b)
{
    switch (sign) {
    case '+':
        return a + b;
    case '-':
        return a - b;
    case '*':
        return a * b;
    case '/':
        return a / b;
    case '<':
        return a < b;
    case '>':
        return a > b;
    case 'l':
        return a <= b;
    case 'g':
        return a >= b;
    case '=':
        return a == b;
    default:
        return a != b;
    }
}

static bool compute(const graph *g, uint16_t at, value *result);

/* Which of its branches a formula takes with these options. */
static bool choose(const graph *g, uint16_t *at)
{
    while (nodes[*at].kind == GIVEN) {
        value condition;
        if (!compute(g, nodes[*at].child[0], &condition)) return false;
        *at = nodes[*at].child[condition.n != 0 ? 1 : 2];
    }
    return true;
}

/* An op of plain numbers, in double: as a Variable without dimensions a number would be of the default type. */
static double call_of_numbers(const node *n, const value *p)
{
    const ag_pointwise *row = n->op->row;
    const bool mask = p[0].n != 0;
    double out = 0;
    bool is_so = false;
    const void *in[AG_N_OPERANDS];
    for (int k = 0; k < AG_N_OPERANDS; k++) in[k] = &p[0].n;
    for (int i = row->has_mask; i < row->n_in; i++) in[i - row->has_mask] = &p[i].n;
    in[IN_M] = &mask;
    double options[AG_ROW_MAX_OPTIONS] = { 0 }; /* a row reads that many */
    if (row->n_options)
        memcpy(options, (const char *)n->op->defaults + (size_t)row->n_in * sizeof(ag_variable *),
               (size_t)row->n_options * sizeof *options);
    ag__evaluate_arrays(row->value, AG_FLOAT64, row->is_test, 1, row->is_test ? (char *)&is_so : (char *)&out, in,
                        options);
    return row->is_test ? is_so : out;
}

static ag_variable *number_like_g(const graph *g, double n)
{
    return ag_full(AG_SCALAR_SHAPE, n, .dtype = ag_dtype_of(g->operand[IN_G]));
}

static bool compute_call(const graph *g, const node *n, value *result)
{
    enum { MAX_BYTES = 3 * sizeof(ag_variable *) + AG_ROW_MAX_OPTIONS * sizeof(double) };
    _Alignas(8) char args[MAX_BYTES];
    ag_variable **in = (ag_variable **)(void *)args;
    value p[3] = { { NULL, 0 } };
    bool numbers = true;
    for (int i = 0; i < n->op->row->n_in; i++) {
        if (!compute(g, n->child[i], &p[i])) return false;
        numbers = numbers && !p[i].v;
    }
    if (numbers) {
        if (!n->sign)
            result->n = call_of_numbers(n, p);
        else
            result->n = n->op->row->n_in == 1 ? -p[0].n : of_numbers(n->sign, p[0].n, p[1].n);
        return true;
    }
    memcpy(args, n->op->defaults, n->op->args_size);
    const bool alone = n->op->row->has_mask && !p[1].v && !p[2].v; /* no other gives the result its type */
    for (int i = 0; i < n->op->row->n_in; i++) {
        in[i] = p[i].v ? p[i].v : alone ? number_like_g(g, p[i].n) : ag_scalar_double(p[i].n);
        if (!in[i]) return false;
    }
    return ag__pointwise_apply(n->op, args, false, &result->v, __builtin_return_address(0));
}

/* In the gradient's type, as the loops have it; a plain number is one. */
static bool operand(const graph *g, int index, value *result)
{
    ag_variable *x = g->operand[index];
    const ag_dtype dtype = ag_dtype_of(g->operand[IN_G]);
    if (index < IN_M && x->tensor.wrapped) {
        result->n = ag__load(x->tensor.data, (ag_dtype)x->tensor.dtype);
        return true;
    }
    result->v = index == IN_M || ag_dtype_of(x) == dtype ? x : ag_to(x, .dtype = dtype);
    return result->v != NULL;
}

static bool compute(const graph *g, uint16_t at, value *result)
{
    *result = (value){ NULL, 0 };
    if (!choose(g, &at)) return false;
    const node *n = &nodes[at];
    if (at == BROKEN) return ag__fail(AG_ENOTSUP, "\"%s\" cannot be read as a graph", ag__formula_text(g->expression));
    if (n->kind == NUMBER) result->n = n->number;
    if (n->kind == OPTION) result->n = g->options[n->index];
    if (n->kind == OPERAND) return operand(g, n->index, result);
    return n->kind != CALL || compute_call(g, n, result);
}

ag__formula_kind ag__formula_is(int e, const double *options, double *result)
{
    if (ag__formula_of(e).kind < AG_FORMULA_NUMBER) return (ag__formula_kind)ag__formula_of(e).kind;
    uint16_t at = roots[e];
    graph g = { .options = options, .expression = e };
    value v = { NULL, 0 };
    if (!choose(&g, &at)) return AG_FORMULA_OF_OPERANDS;
    if (nodes[at].kind == OPERAND && nodes[at].index == IN_G) return AG_FORMULA_GRADIENT;
    if (nodes[at].kind != NUMBER || !compute(&g, at, &v)) return AG_FORMULA_OF_OPERANDS;
    *result = v.n;
    return AG_FORMULA_NUMBER;
}

ag_variable *ag__formula_graph(int e, ag_variable *const operand[AG_N_OPERANDS], const double *options)
{
    ag__formula_of(e); /* they have been read */
    graph g = { .operand = operand, .options = options, .expression = e };
    value y;
    if (!compute(&g, roots[e], &y)) return NULL;
    return y.v ? y.v : ag_scalar_double(y.n);
}
