/* bench_pointwise.c - elementwise ops: small, one and sixteen million elements; alike, broadcast, transposed. On a
 * GPU 64 million, too, and copies of as many, whose rate is the measure there. */
#include "bench.h"

#include <math.h>

typedef struct {
    const char *name;
    Variable *(*one)(Variable *x);
    Variable *(*two)(Variable *x, Variable *y);
    double (*plain)(double x, double y);
    double low, high;
} op;

static double plain_add(double x, double y) { return x + y; }
static double plain_mul(double x, double y) { return x * y; }
static double plain_div(double x, double y) { return x / y; }
static double plain_relu(double x, double y) { return (void)y, x < 0 ? 0 : x; }
static double plain_exp(double x, double y) { return (void)y, exp(x); }
static double plain_log(double x, double y) { return (void)y, log(x); }
static double plain_tanh(double x, double y) { return (void)y, tanh(x); }
static double plain_sigmoid(double x, double y) { return (void)y, 1 / (1 + exp(-x)); }
static double plain_sin(double x, double y) { return (void)y, sin(x); }
static double plain_gelu(double x, double y) { return (void)y, 0.5 * x * (1 + erf(x / sqrt(2.0))); }
static double plain_sqrt(double x, double y) { return (void)y, sqrt(x); }

static Variable *add_two(Variable *x, Variable *y) { return ag_add(x, y); }
static Variable *gelu(Variable *x) { return ag_gelu(x); }
static double plain_clone(double x, double y) { return (void)y, x; }
static Variable *clone(Variable *x) { return ag_clone(x); }

static const op ops[] = {
    { "add", NULL, add_two, plain_add, -3, 3 },    { "mul", NULL, ag_mul, plain_mul, -3, 3 },
    { "div", NULL, ag_div, plain_div, 0.5, 3 },    { "relu", ag_relu, NULL, plain_relu, -3, 3 },
    { "exp", ag_exp, NULL, plain_exp, -3, 3 },     { "log", ag_log, NULL, plain_log, 0.1, 3 },
    { "tanh", ag_tanh, NULL, plain_tanh, -3, 3 },  { "sigmoid", ag_sigmoid, NULL, plain_sigmoid, -3, 3 },
    { "sin", ag_sin, NULL, plain_sin, -3, 3 },     { "gelu", gelu, NULL, plain_gelu, -3, 3 },
    { "sqrt", ag_sqrt, NULL, plain_sqrt, 0.1, 3 },
};

static const op copy = { "clone", clone, NULL, plain_clone, -3, 3 };

enum { ALIKE, BROADCAST, TRANSPOSED };
static const char *const layouts[] = { "", ", a row to all rows", ", transposed" };
enum { ROWS, COLUMNS, LAYOUT }; /* what case.number holds; case.pointer is the op */

/* in[0] x (rows,columns), transposed: of a row-major (columns,rows); in[1] y alike, or (columns) */
static bool set_up(bench_state *s)
{
    const op *o = s->c->pointer;
    int64_t rows = s->c->number[ROWS], columns = s->c->number[COLUMNS];
    bool turned = s->c->number[LAYOUT] == TRANSPOSED;
    Variable *x = ag_uniform_(
        ag_empty(turned ? AG_SHAPE(columns, rows) : AG_SHAPE(rows, columns), .dtype = s->c->dtype), o->low, o->high);
    if (!bench_hold(s, turned ? ag_t(x) : x)) return false;
    if (!o->two) return true;
    return bench_numbers(s, s->c->number[LAYOUT] == BROADCAST ? AG_SHAPE(columns) : AG_SHAPE(rows, columns),
                         s->c->dtype, o->low, o->high);
}

static Variable *run(bench_state *s)
{
    const op *o = s->c->pointer;
    return o->two ? o->two(s->in[0], s->in[1]) : o->one(s->in[0]);
}

static bool check(bench_state *s, Variable *result)
{
    enum { SAMPLES = 500 };
    const op *o = s->c->pointer;
    for (int i = 0; i < SAMPLES; i++) {
        int64_t at = bench_sample(i, SAMPLES, ag_numel(result)), index[2];
        double got = bench_element(result, at, index), x = bench_at(s->in[0], index), y = 0;
        if (o->two) y = bench_at(s->in[1], s->c->number[LAYOUT] == BROADCAST ? index + 1 : index);
        if (!bench_near(s, at, got, o->plain(x, y), fabs(x), s->c->dtype == AG_FLOAT64 ? 4e-16 : 3e-7)) return false;
    }
    return true;
}

static void add(const op *o, int64_t rows, int64_t columns, int layout, ag_dtype dtype)
{
    double n = (double)rows * (double)columns, inputs = o->two && layout != BROADCAST ? 2 : 1;
    int64_t all = rows * columns;
    bench_case c = { .number = { rows, columns, layout },
                     .pointer = (void *)o,
                     .dtype = dtype,
                     .bytes = all < 4096 ? 0 : (inputs + 1) * n * (dtype == AG_FLOAT64 ? 8 : 4),
                     .set_up = set_up,
                     .run = run,
                     .check = check };
    char size[16];
    if (all >= 1 << 20)
        snprintf(size, sizeof size, "%dM", (int)(all >> 20));
    else
        snprintf(size, sizeof size, "%d", (int)all);
    snprintf(c.name, sizeof c.name, "%s %s %s%s", o->name, size, bench_dtype(dtype), layouts[layout]);
    snprintf(c.parameters, sizeof c.parameters,
             "\"op\": \"%s\", \"family\": \"pointwise\", \"rows\": %d, \"columns\": %d, \"layout\": \"%s\", "
             "\"low\": %g, \"high\": %g",
             o->name, (int)rows, (int)columns,
             layout == ALIKE       ? "alike"
             : layout == BROADCAST ? "broadcast"
                                   : "transposed",
             o->low, o->high);
    bench_add(&c);
}

static void add_cases(void)
{
    for (unsigned i = 0; i < sizeof ops / sizeof *ops; i++) {
        const op *o = &ops[i];
        add(o, 1, 4, ALIKE, AG_FLOAT32);
        add(o, 1, 256, ALIKE, AG_FLOAT32);
        add(o, 1024, 1024, ALIKE, AG_FLOAT32);
        add(o, 4096, 4096, ALIKE, AG_FLOAT32);
        add(o, 1024, 1024, ALIKE, AG_FLOAT64);
        if (o->two) add(o, 4096, 4096, ALIKE, AG_FLOAT64);
        if (o->two) add(o, 4096, 4096, BROADCAST, AG_FLOAT32);
        if (o->two || o->one == ag_exp) add(o, 4096, 4096, TRANSPOSED, AG_FLOAT32);
        if (bench_on_cuda()) add(o, 8192, 8192, ALIKE, AG_FLOAT32);
    }
    if (bench_on_cuda()) add(&copy, 8192, 8192, ALIKE, AG_FLOAT32);
}

int main(int argc, char **argv) { return bench_main(argc, argv, add_cases); }
