/* bench_conv.c - convolutions: each pass, contiguous and batch-last. */
#include "bench.h"

#include <math.h>

typedef struct {
    const char *name;
    int c, h, w, o, kh, kw, stride, padding, dilation, groups;
    int batch[3]; /* 0: no more */
} layer;

static const layer layers[] = {
    /* name               C   H    W    O  KH KW  s  p  d  g      batches */
    { "mnist1 5x5 1-10", 1, 28, 28, 10, 5, 5, 1, 0, 1, 1, { 1, 8, 64 } },
    { "mnist2 5x5 10-20", 10, 24, 24, 20, 5, 5, 1, 0, 1, 1, { 1, 8, 64 } },
    { "3x3 64-64 at 56", 64, 56, 56, 64, 3, 3, 1, 1, 1, 1, { 1, 8, 64 } },
    { "1x1 256-64 at 56", 256, 56, 56, 64, 1, 1, 1, 0, 1, 1, { 1, 8, 64 } },
    { "7x7/2 3-64 at 224", 3, 224, 224, 64, 7, 7, 2, 3, 1, 1, { 1, 8, 64 } },
    { "depthwise 3x3 64 at 56", 64, 56, 56, 64, 3, 3, 1, 1, 1, 64, { 1, 8, 64 } },
    /* shapes that nobody had in mind */
    { "odd 3x3 13-37 at 29", 13, 29, 31, 37, 3, 3, 1, 1, 1, 1, { 37 } },
    { "odd 4x2 24-40 at 28", 24, 28, 28, 40, 4, 2, 1, 0, 1, 1, { 37 } },
    { "odd 5x5/3 16-32 at 33", 16, 33, 33, 32, 5, 5, 3, 2, 1, 1, { 37 } },
    { "odd 3x3 dilation 2 32-32", 32, 28, 28, 32, 3, 3, 1, 2, 2, 1, { 37 } },
    { "odd 3x3 4 groups 32-64", 32, 28, 28, 64, 3, 3, 1, 1, 1, 4, { 37 } },
    { "odd 3x3 padding 7 16-16", 16, 14, 14, 16, 3, 3, 1, 7, 1, 1, { 37 } },
};

enum { FORWARD, INPUT, WEIGHT };
static const char *const pass_names[] = { "forward", "input gradient", "weight gradient" };
enum { BATCH, BATCH_LAST, PASS }; /* what case.number holds; case.pointer is the layer */

static int out_size(int in, int kernel, const layer *l)
{
    return (in + 2 * l->padding - l->dilation * (kernel - 1) - 1) / l->stride + 1;
}

/* in[0] x (N,C,H,W), in[1] weight (O,C/groups,KH,KW), in[2] the output's gradient (N,O,OH,OW) */
static bool set_up(bench_state *s)
{
    const layer *l = s->c->pointer;
    int64_t n = s->c->number[BATCH];
    bool batch_last = s->c->number[BATCH_LAST];
    return bench_images(s, AG_SHAPE(n, l->c, l->h, l->w), batch_last) &&
           bench_numbers(s, AG_SHAPE(l->o, l->c / l->groups, l->kh, l->kw), AG_FLOAT32, -1, 1) &&
           bench_images(s, AG_SHAPE(n, l->o, out_size(l->h, l->kh, l), out_size(l->w, l->kw, l)), batch_last);
}

static Variable *run(bench_state *s)
{
    const layer *l = s->c->pointer;
    Variable *x = s->in[0], *w = s->in[1], *g = s->in[2];
    switch (s->c->number[PASS]) {
    case FORWARD:
        return ag_conv2d(x, w, .stride = l->stride, .padding = l->padding, .dilation = l->dilation,
                         .groups = l->groups);
    case INPUT:
        return ag_nn_grad_conv2d_input(ag_shape(x), w, g, .stride = l->stride, .padding = l->padding,
                                       .dilation = l->dilation, .groups = l->groups);
    default:
        return ag_nn_grad_conv2d_weight(x, ag_shape(w), g, .stride = l->stride, .padding = l->padding,
                                        .dilation = l->dilation, .groups = l->groups);
    }
}

/* The sum of x[n,ci,h,w] weight[o,c,a,b] g[n,o,i,j] over all indices but those given (>= 0) of one of the three, which
 * itself is left out of the product; *magnitude: of the terms. at: n o i j of g, ci h w of x, c a b of the weight. */
static double element(bench_state *s, const int64_t *index, double *magnitude)
{
    const layer *l = s->c->pointer;
    int pass = (int)s->c->number[PASS], per_group = l->c / l->groups, outs = l->o / l->groups;
    int oh = out_size(l->h, l->kh, l), ow = out_size(l->w, l->kw, l);
    int64_t n0 = 0, n1 = s->c->number[BATCH], o0 = 0, o1 = l->o;
    double sum = *magnitude = 0;
    if (pass != WEIGHT) n0 = index[0], n1 = n0 + 1;
    if (pass == FORWARD) o0 = index[1], o1 = o0 + 1;
    if (pass == WEIGHT) o0 = index[0], o1 = o0 + 1;
    if (pass == INPUT) o0 = index[1] / per_group * outs, o1 = o0 + outs;
    for (int64_t n = n0; n < n1; n++)
        for (int64_t o = o0; o < o1; o++)
            for (int c = 0; c < per_group; c++) {
                int64_t channel = o / outs * per_group + c;
                if (pass == INPUT && channel != index[1]) continue;
                if (pass == WEIGHT && c != index[1]) continue;
                for (int a = 0; a < l->kh; a++)
                    for (int b = 0; b < l->kw; b++) {
                        if (pass == WEIGHT && (a != index[2] || b != index[3])) continue;
                        int64_t i0 = 0, i1 = oh, j0 = 0, j1 = ow;
                        if (pass == FORWARD) i0 = index[2], i1 = i0 + 1, j0 = index[3], j1 = j0 + 1;
                        for (int64_t i = i0; i < i1; i++) {
                            int64_t h = i * l->stride - l->padding + a * l->dilation;
                            if (h < 0 || h >= l->h || (pass == INPUT && h != index[2])) continue;
                            for (int64_t j = j0; j < j1; j++) {
                                int64_t w = j * l->stride - l->padding + b * l->dilation;
                                if (w < 0 || w >= l->w || (pass == INPUT && w != index[3])) continue;
                                double x = pass == INPUT ? 1 : bench_at(s->in[0], (int64_t[]){ n, channel, h, w });
                                double k = pass == WEIGHT ? 1 : bench_at(s->in[1], (int64_t[]){ o, c, a, b });
                                double g = pass == FORWARD ? 1 : bench_at(s->in[2], (int64_t[]){ n, o, i, j });
                                sum += x * k * g;
                                *magnitude += fabs(x * k * g);
                            }
                        }
                    }
            }
    return sum;
}

static bool check(bench_state *s, Variable *result)
{
    enum { SAMPLES = 24 };
    const Variable *alike = s->c->number[PASS] == FORWARD ? s->in[2] : s->in[s->c->number[PASS] == WEIGHT];
    for (int d = 0; d < 4; d++)
        if (ag_size(result, d) != ag_size(alike, d)) return bench_wrong(s, "size %d is wrong", d);
    for (int i = 0; i < SAMPLES; i++) {
        int64_t at = bench_sample(i, SAMPLES, ag_numel(result)), index[4];
        double magnitude, got = bench_element(result, at, index), want = element(s, index, &magnitude);
        if (!bench_near(s, at, got, want, magnitude, 2e-6)) return false;
    }
    return true;
}

static void add(const layer *l, int batch, int pass, bool batch_last)
{
    int64_t oh = out_size(l->h, l->kh, l), ow = out_size(l->w, l->kw, l);
    double taps = 0; /* positions of the kernel that meet the input, over all rows times all columns */
    for (int across = 0; across < 2; across++) {
        int kernel = across ? l->kw : l->kh, in = across ? l->w : l->h;
        double met = 0;
        for (int64_t i = 0; i < (across ? ow : oh); i++)
            for (int a = 0; a < kernel; a++) {
                int64_t h = i * l->stride - l->padding + a * l->dilation;
                met += h >= 0 && h < in;
            }
        taps = across ? taps * met : met;
    }
    bench_case c = { .number = { batch, batch_last, pass },
                     .pointer = (void *)l,
                     .dtype = AG_FLOAT32,
                     .flops = 2.0 * batch * l->o * (l->c / l->groups) * taps,
                     .set_up = set_up,
                     .run = run,
                     .check = check };
    snprintf(c.name, sizeof c.name, "conv %s n%d %s%s", l->name, batch, pass_names[pass],
             batch_last ? ", batch-last" : "");
    snprintf(c.parameters, sizeof c.parameters,
             "\"op\": \"conv2d\", \"pass\": \"%s\", \"n\": %d, \"c\": %d, \"h\": %d, \"w\": %d, \"o\": %d, \"kh\": %d, "
             "\"kw\": %d, \"stride\": %d, \"padding\": %d, \"dilation\": %d, \"groups\": %d, \"layout\": \"%s\"",
             pass_names[pass], batch, l->c, l->h, l->w, l->o, l->kh, l->kw, l->stride, l->padding, l->dilation,
             l->groups, batch_last ? "batch-last" : "contiguous");
    bench_add(&c);
}

static void add_cases(void)
{
    for (unsigned i = 0; i < sizeof layers / sizeof *layers; i++)
        for (int b = 0; b < 3 && layers[i].batch[b]; b++)
            for (int pass = FORWARD; pass <= WEIGHT; pass++)
                for (int batch_last = 0; batch_last < 2; batch_last++)
                    add(&layers[i], layers[i].batch[b], pass, batch_last);
}

int main(int argc, char **argv) { return bench_main(argc, argv, add_cases); }
