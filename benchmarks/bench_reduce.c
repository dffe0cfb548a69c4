/* bench_reduce.c - sums and their like, softmax and losses: of everything, of rows, of columns, of a layer's output. */
#include "bench.h"

#include <math.h>
#include <string.h>

enum { SUM, MEAN, MAX, ARGMAX, VAR, SOFTMAX, LOG_SOFTMAX, CROSS_ENTROPY };
static const char *const names[] = {
    "sum", "mean", "amax", "argmax", "var", "softmax", "log_softmax", "cross_entropy"
};
enum { ALL = -1, CHANNELS = -2 }; /* dimensions that go: all; or all but the second of four */
enum { OP, ROWS, COLUMNS, DIM };  /* what case.number holds */

/* in[0] x (rows,columns) or the images (rows,columns,20,20); in[1] the labels (rows) */
static bool set_up(bench_state *s)
{
    const int64_t *p = s->c->number;
    ag_shape_list shape = p[DIM] == CHANNELS ? AG_SHAPE(p[ROWS], p[COLUMNS], 20, 20) : AG_SHAPE(p[ROWS], p[COLUMNS]);
    if (!bench_numbers(s, shape, s->c->dtype, -3, 3)) return false;
    return p[OP] != CROSS_ENTROPY || bench_hold(s, ag_randint(0, p[COLUMNS], AG_SHAPE(p[ROWS])));
}

static Variable *run(bench_state *s)
{
    Variable *x = s->in[0];
    int64_t dim = s->c->number[DIM];
    ag_dims dims = dim == ALL ? AG_ALL : dim == CHANNELS ? AG_DIMS(0, 2, 3) : dim;
    switch (s->c->number[OP]) {
    case SUM:
        return ag_sum(x, dims);
    case MEAN:
        return ag_mean(x, dims);
    case MAX:
        return ag_amax(x, dims);
    case ARGMAX:
        return ag_argmax(x, dims);
    case VAR:
        return ag_var(x, dims);
    case SOFTMAX:
        return ag_softmax(x, dim);
    case LOG_SOFTMAX:
        return ag_log_softmax(x, dim);
    default:
        return ag_cross_entropy(x, s->in[1]);
    }
}

/* What is reduced, as numbers start, start + step, ... */
typedef struct {
    const Variable *x;
    int64_t start, step, n, inner, jump; /* past each `inner` of them, `jump` further on */
} line;

static double at(const line *l, int64_t i)
{
    int64_t index[4];
    return bench_element(l->x, l->start + i % l->inner * l->step + i / l->inner * l->jump, index);
}

static double plain(const line *l, int what, int64_t element, double *magnitude)
{
    double sum = 0, most = -INFINITY, squares = 0, exps = 0;
    int64_t where = 0;
    *magnitude = 0;
    for (int64_t i = 0; i < l->n; i++) {
        double x = at(l, i);
        sum += x;
        *magnitude += fabs(x);
        if (x > most) most = x, where = i;
        if (what >= SOFTMAX) exps += exp(x);
    }
    double mean = sum / (double)l->n;
    if (what == VAR)
        for (int64_t i = 0; i < l->n; i++) squares += (at(l, i) - mean) * (at(l, i) - mean);
    if (what == MEAN) *magnitude /= (double)l->n;
    if (what > MEAN) *magnitude = 1;
    switch (what) {
    case SUM:
        return sum;
    case MEAN:
        return mean;
    case MAX:
        return most;
    case ARGMAX:
        return (double)where;
    case VAR:
        return squares / (double)(l->n - 1);
    case SOFTMAX:
        return exp(at(l, element)) / exps;
    default:
        return at(l, element) - log(exps);
    }
}

static bool check(bench_state *s, Variable *result)
{
    const int64_t *p = s->c->number, rows = p[ROWS], columns = p[COLUMNS];
    const Variable *x = s->in[0];
    int what = (int)p[OP];
    int64_t all = ag_numel(result), samples = p[DIM] == ALL ? 1 : 12, index[4];
    double loss = 0, magnitude, tolerance = s->c->dtype == AG_FLOAT64 ? 1e-13 : 1e-6;
    if (what == CROSS_ENTROPY) {
        for (int64_t r = 0; r < rows; r++) {
            line row = { .x = x, .start = r * columns, .step = 1, .n = columns, .inner = columns };
            loss -= plain(&row, LOG_SOFTMAX, (int64_t)bench_at(s->in[1], &r), &magnitude) / (double)rows;
        }
        return bench_near(s, 0, ag_item(result), loss, 1, tolerance);
    }
    for (int64_t i = 0; i < samples; i++) {
        int64_t element = bench_sample(i, samples, all);
        double got = bench_element(result, element, index);
        line l = { .x = x, .step = 1, .n = ag_numel(x), .inner = ag_numel(x) };
        if (p[DIM] == 0) l = (line){ .x = x, .start = element % columns, .step = columns, .n = rows, .inner = rows };
        if (p[DIM] == CHANNELS)
            l = (line){
                .x = x, .start = element * 400, .step = 1, .n = rows * 400, .inner = 400, .jump = columns * 400
            };
        if (p[DIM] == 1) {
            int64_t r = what >= SOFTMAX ? element / columns : element;
            l = (line){ .x = x, .start = r * columns, .step = 1, .n = columns, .inner = columns };
        }
        double want = plain(&l, what,
                            what < SOFTMAX ? 0
                            : p[DIM] == 0  ? element / columns
                                           : element % columns,
                            &magnitude);
        if (!bench_near(s, element, got, want, magnitude, tolerance)) return false;
    }
    return true;
}

static void add(int what, int64_t rows, int64_t columns, int dim, ag_dtype dtype)
{
    double n = (double)rows * (double)columns * (dim == CHANNELS ? 400 : 1);
    int width = dtype == AG_FLOAT64 ? 8 : 4;
    bench_case c = { .number = { what, rows, columns, dim },
                     .dtype = dtype,
                     .bytes = n * width * (what == SOFTMAX || what == LOG_SOFTMAX ? 2 : 1),
                     .set_up = set_up,
                     .run = run,
                     .check = check };
    if (n < 4096) c.bytes = 0;
    snprintf(c.name, sizeof c.name, "%s %dx%d%s %s %s", names[what], (int)rows, (int)columns,
             dim == CHANNELS ? "x20x20" : "", bench_dtype(dtype),
             dim == ALL              ? "all"
             : dim == CHANNELS       ? "a channel"
             : what == CROSS_ENTROPY ? "mean"
             : dim                   ? "rows"
                                     : "columns");
    snprintf(c.parameters, sizeof c.parameters,
             "\"op\": \"%s\", \"family\": \"reduce\", \"rows\": %d, \"columns\": %d, \"dim\": \"%s\"", names[what],
             (int)rows, (int)columns,
             dim == ALL        ? "all"
             : dim == CHANNELS ? "channels"
             : dim             ? "1"
                               : "0");
    bench_add(&c);
}

static void add_cases(void)
{
    for (int what = SUM; what <= VAR; what++) {
        add(what, 1024, 1024, ALL, AG_FLOAT32);
        add(what, 4096, 4096, ALL, AG_FLOAT32);
        add(what, 1024, 1024, ALL, AG_FLOAT64);
        add(what, 4096, 1024, 1, AG_FLOAT32);
        add(what, 4096, 1024, 0, AG_FLOAT32);
        for (int dim = ALL; dim <= 1 && bench_on_cuda(); dim++) add(what, 8192, 8192, dim, AG_FLOAT32);
    }
    add(SUM, 64, 100, 0, AG_FLOAT32);
    add(SUM, 64, 20, CHANNELS, AG_FLOAT32);
    add(VAR, 64, 20, CHANNELS, AG_FLOAT32);
    add(ARGMAX, 64, 10, 1, AG_FLOAT32);
    for (int what = SOFTMAX; what <= CROSS_ENTROPY; what++) {
        add(what, 64, 10, 1, AG_FLOAT32);
        add(what, 64, 1000, 1, AG_FLOAT32);
        add(what, 4096, 1024, 1, AG_FLOAT32);
    }
    add(SOFTMAX, 1024, 1024, 0, AG_FLOAT32);
    add(SOFTMAX, 1024, 1024, 1, AG_FLOAT64);
}

int main(int argc, char **argv) { return bench_main(argc, argv, add_cases); }
