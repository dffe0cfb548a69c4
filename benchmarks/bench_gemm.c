/* bench_gemm.c - products of matrices: a linear layer's three, and squares; on a GPU beside cuBLAS called directly. */
#include "bench.h"
#include "nvidia.h"

#include <math.h>

enum { ROWS, COLUMNS, INNER, TURN_A, TURN_B }; /* what case.number holds */

/* in[0] A (n,k), in[1] B (k,m); a turned one is the transpose of what lies in memory row by row */
static bool set_up(bench_state *s)
{
    const int64_t *p = s->c->number;
    for (int i = 0; i < 2; i++) {
        int64_t rows = i ? p[INNER] : p[ROWS], columns = i ? p[COLUMNS] : p[INNER];
        bool turn = p[TURN_A + i];
        Variable *x = ag_uniform_(
            ag_empty(AG_SHAPE(turn ? columns : rows, turn ? rows : columns), .dtype = s->c->dtype), -1, 1);
        if (!bench_hold(s, turn ? ag_t(x) : x)) return false;
    }
    return true;
}

static Variable *run(bench_state *s) { return ag_mm(s->in[0], s->in[1]); }

/* The same by cuBLAS itself. */
static bool set_up_direct(bench_state *s) { return set_up(s) && (s->more = nvidia_product_new(s->in[0], s->in[1])); }
static Variable *run_direct(bench_state *s) { return nvidia_product_run(s->more) ? s->in[0] : NULL; }
static void put_away_direct(bench_state *s) { nvidia_product_free(s->more); }

static bool check(bench_state *s, Variable *result)
{
    enum { SAMPLES = 64 };
    const double exact = s->c->dtype == AG_FLOAT64 ? 1e-14 : 2e-6;
    const double tolerance = s->c->dtype == AG_FLOAT32 && ag_cuda_allow_tf32() ? 1e-3 : exact;
    if (s->more && !(result = nvidia_product_result(s->more))) return bench_wrong(s, "cuBLAS gave no result");
    for (int i = 0; i < SAMPLES; i++) {
        int64_t at = bench_sample(i, SAMPLES, ag_numel(result)), index[2];
        double got = bench_element(result, at, index), want = 0, magnitude = 0;
        for (int64_t k = 0; k < s->c->number[INNER]; k++) {
            double term = bench_at(s->in[0], (int64_t[]){ index[0], k }) *
                          bench_at(s->in[1], (int64_t[]){ k, index[1] });
            want += term;
            magnitude += fabs(term);
        }
        if (!bench_near(s, at, got, want, magnitude, tolerance)) return false;
    }
    return true;
}

static void add(const char *name, int64_t rows, int64_t columns, int64_t inner, bool turn_a, bool turn_b,
                ag_dtype dtype)
{
    bench_case c = { .number = { rows, columns, inner, turn_a, turn_b },
                     .dtype = dtype,
                     .flops = 2.0 * (double)rows * (double)columns * (double)inner,
                     .set_up = set_up,
                     .run = run,
                     .check = check };
    snprintf(c.name, sizeof c.name, "gemm %s%lldx%lldx%lld%s%s %s", name, (long long)rows, (long long)columns,
             (long long)inner, turn_a ? " A^T" : "", turn_b ? " B^T" : "", bench_dtype(dtype));
    snprintf(c.parameters, sizeof c.parameters,
             "\"op\": \"mm\", \"rows\": %lld, \"columns\": %lld, \"inner\": %lld, \"turn_a\": %s, \"turn_b\": %s",
             (long long)rows, (long long)columns, (long long)inner, turn_a ? "true" : "false",
             turn_b ? "true" : "false");
    bench_add(&c);

    bench_case direct = c;
    direct.there = nvidia_cublas;
    direct.set_up = set_up_direct;
    direct.run = run_direct;
    direct.put_away = put_away_direct;
    snprintf(direct.name, sizeof direct.name, "cublas %.80s", c.name);
    snprintf(direct.parameters, sizeof direct.parameters, "\"op\": \"cublas\", \"of\": \"%s\"", c.name);
    bench_add(&direct);
}

static void add_cases(void)
{
    for (int d = 0; d < 2; d++) {
        ag_dtype dtype = d ? AG_FLOAT64 : AG_FLOAT32;
        /* x W^T, g W, g^T x for a batch of 64, 2000 inputs and 100 outputs; then the plain product of each shape */
        add("layer ", 64, 100, 2000, false, true, dtype);
        add("layer input ", 64, 2000, 100, false, false, dtype);
        add("layer weight ", 100, 2000, 64, true, false, dtype);
        add("", 64, 100, 2000, false, false, dtype);
        add("", 100, 2000, 64, false, false, dtype);
        add("", 2000, 100, 64, false, true, dtype);
        for (int64_t n = 128; n <= (bench_on_cuda() ? 8192 : 2048); n *= 2) add("", n, n, n, false, false, dtype);
        add("", 512, 512, 512, true, true, dtype);
        add("", 127, 131, 257, false, true, dtype);
    }
    /* the last layer of the MNIST net, which is small */
    add("layer ", 64, 10, 100, false, true, AG_FLOAT32);
    add("layer input ", 64, 100, 10, false, false, AG_FLOAT32);
    add("layer weight ", 10, 100, 64, true, false, AG_FLOAT32);
}

int main(int argc, char **argv) { return bench_main(argc, argv, add_cases); }
