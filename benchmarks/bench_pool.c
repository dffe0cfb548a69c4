/* bench_pool.c - max pooling, forward and backward. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    const char *name;
    int n, c, h, w, kernel, stride, padding;
} layer;

static const layer layers[] = {
    { "mnist 2x2", 64, 20, 20, 20, 2, 2, 0 },
    { "3x3/2 64 at 112", 8, 64, 112, 112, 3, 2, 1 },
    { "odd 3x3 13 at 29", 37, 13, 29, 31, 3, 3, 0 },
};

enum { BACKWARD, BATCH_LAST }; /* what case.number holds; case.pointer is the layer */

static Variable *pool(bench_state *s)
{
    const layer *l = s->c->pointer;
    return ag_max_pool2d(s->in[0], l->kernel, .stride = l->stride, .padding = l->padding);
}

/* in[0] x (N,C,H,W); for backward also in[1] the gradient of its pooled values and in[2] those, with their graph */
static bool set_up(bench_state *s)
{
    const layer *l = s->c->pointer;
    bool batch_last = s->c->number[BATCH_LAST];
    if (!bench_images(s, AG_SHAPE(l->n, l->c, l->h, l->w), batch_last)) return false;
    if (!s->c->number[BACKWARD]) return true;
    ag_requires_grad_(s->in[0]);
    Variable *y = pool(s);
    return y && bench_images(s, ag_shape(y), batch_last) && bench_hold(s, y);
}

static Variable *run(bench_state *s)
{
    if (!s->c->number[BACKWARD]) return pool(s);
    Variable *grad = NULL;
    ag_autograd_grad(AG_LIST(s->in[2]), AG_LIST(s->in[0]), &grad, .grad_outputs = AG_LIST(s->in[1]),
                     .retain_graph = true);
    return grad;
}

/* The greatest of window i, j of image n and channel c; *h, *w: where, as a row and a column of x. */
static double greatest(const bench_state *s, int64_t n, int64_t c, int64_t i, int64_t j, int64_t *h, int64_t *w)
{
    const layer *l = s->c->pointer;
    double most = -INFINITY;
    for (int64_t a = i * l->stride - l->padding; a < i * l->stride - l->padding + l->kernel; a++)
        for (int64_t b = j * l->stride - l->padding; b < j * l->stride - l->padding + l->kernel; b++) {
            if (a < 0 || b < 0 || a >= l->h || b >= l->w) continue;
            double x = bench_at(s->in[0], (int64_t[]){ n, c, a, b });
            if (x > most) most = x, *h = a, *w = b;
        }
    return most;
}

static bool check(bench_state *s, Variable *result)
{
    enum { SAMPLES = 200 };
    const layer *l = s->c->pointer;
    for (int i = 0; i < SAMPLES; i++) {
        int64_t at = bench_sample(i, SAMPLES, ag_numel(result)), x[4], h = 0, w = 0;
        double got = bench_element(result, at, x), want = 0;
        if (!s->c->number[BACKWARD]) {
            want = greatest(s, x[0], x[1], x[2], x[3], &h, &w);
        } else {
            for (int64_t a = 0; a < ag_size(s->in[1], 2); a++)
                for (int64_t b = 0; b < ag_size(s->in[1], 3); b++) {
                    if (llabs(a * l->stride - x[2]) > l->kernel || llabs(b * l->stride - x[3]) > l->kernel) continue;
                    greatest(s, x[0], x[1], a, b, &h, &w);
                    if (h == x[2] && w == x[3]) want += bench_at(s->in[1], (int64_t[]){ x[0], x[1], a, b });
                }
        }
        if (!bench_near(s, at, got, want, 1, 1e-6)) return false;
    }
    return true;
}

static void add_cases(void)
{
    for (unsigned i = 0; i < sizeof layers / sizeof *layers; i++)
        for (int backward = 0; backward < 2; backward++)
            for (int batch_last = 0; batch_last < 2; batch_last++) {
                const layer *l = &layers[i];
                double in = (double)l->n * l->c * l->h * l->w;
                double out = (double)l->n * l->c * ((l->h + 2 * l->padding - l->kernel) / l->stride + 1) *
                             ((l->w + 2 * l->padding - l->kernel) / l->stride + 1);
                bench_case c = { .number = { backward, batch_last },
                                 .pointer = (void *)l,
                                 .dtype = AG_FLOAT32,
                                 .bytes = 4 * (in + out),
                                 .set_up = set_up,
                                 .run = run,
                                 .check = check };
                snprintf(c.name, sizeof c.name, "max_pool2d %s n%d %s%s", l->name, l->n,
                         backward ? "backward" : "forward", batch_last ? ", batch-last" : "");
                snprintf(c.parameters, sizeof c.parameters,
                         "\"op\": \"max_pool2d\", \"pass\": \"%s\", \"n\": %d, \"c\": %d, \"h\": %d, \"w\": %d, "
                         "\"kernel\": %d, \"stride\": %d, \"padding\": %d, \"layout\": \"%s\"",
                         backward ? "backward" : "forward", l->n, l->c, l->h, l->w, l->kernel, l->stride, l->padding,
                         batch_last ? "batch-last" : "contiguous");
                bench_add(&c);
            }
}

int main(int argc, char **argv) { return bench_main(argc, argv, add_cases); }
