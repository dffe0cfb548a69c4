/* bench.h - what the programs of benchmarks/ have in common: a list of cases, and the ways to run them.
 *
 * A program adds its cases and hands over:
 *
 *     int main(int argc, char **argv) { return bench_main(argc, argv, add_cases); }
 *
 * A case is made, run once, checked against a plain float64 computation of some of its elements, and only then timed.
 * benchmarks/torch_cases.py makes PyTorch's counterpart from a case's parameters, so that there is one list of cases.
 */
#ifndef ARGENT_BENCH_H
#define ARGENT_BENCH_H
#include <argent/argent.h>

typedef struct bench_case bench_case;

/* A case that is set up. */
typedef struct bench_state {
    const bench_case *c;
    Variable *in[8]; /* held until the case is put away: bench_hold */
    int n_in;
    void *more;    /* what else a program keeps: its `put_away` frees it */
    char why[240]; /* what was wrong: bench_wrong */
} bench_state;

/* A case: the text and numbers that its functions read, and those functions. */
struct bench_case {
    char name[96];        /* unique in the program; no quotes */
    char parameters[320]; /* fields of a JSON object, without its braces: "\"op\": \"mm\", \"n\": 64" */
    int64_t number[16];   /* for the program's own use, like the next two */
    void *pointer;
    ag_dtype dtype;
    double flops, bytes; /* of one run, as the problem needs them (not as it is computed); 0: not shown */
    double per;          /* divides the time; 0: 1. A chain of 1000 ops has 1000: its time is that of an op */
    bool whole;          /* one run is a round, and none is wasted on warming up */
    const char *unit;    /* of what is shown; NULL: "ns" */
    bool (*there)(void); /* whether what it needs is there, a file say; NULL: nothing. Otherwise it is left out. */
    bool (*set_up)(bench_state *s);
    /* One run; its scope is the caller's, who closes it. Or timed: one run, and what is to be shown of it: seconds, or
     * the value itself where `unit` is not "ns". */
    Variable *(*run)(bench_state *s);
    double (*timed)(bench_state *s);
    bool (*check)(bench_state *s, Variable *result); /* NULL result where `timed` stands in for `run` */
    void (*put_away)(bench_state *s);                /* may be NULL; Variables held go by themselves */
};

void bench_add(const bench_case *c);
int bench_main(int argc, char **argv, void (*add_cases)(void));

/* ---- for set_up ---- */

/* Where the cases run (--device), and whether it is a GPU, the emulated one included. What is held lies there; what a
 * case makes otherwise, it puts there itself. */
ag_device bench_device(void);
bool bench_on_cuda(void);

/* Keeps x with the case, as s->in[s->n_in++]; returns x. NULL (an op has failed) stays NULL. */
Variable *bench_hold(bench_state *s, Variable *x);
/* The same, of numbers drawn from [low, high). batch_last: strides of AG_BATCH_LAST. */
Variable *bench_numbers(bench_state *s, ag_shape_list shape, ag_dtype dtype, double low, double high);
Variable *bench_images(bench_state *s, ag_shape_list shape, bool batch_last);

/* ---- for check ---- */

/* The element at these indices, as a double. */
double bench_at(const Variable *x, const int64_t *index);
/* Element number i in row-major order, and its indices. */
double bench_element(const Variable *x, int64_t i, int64_t *index);
/* The number of the i-th of n elements to look at, out of all: spread over all of them, first and last included. */
int64_t bench_sample(int64_t i, int64_t n, int64_t all);
/* Says what is wrong; returns false. */
bool bench_wrong(bench_state *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* |got - want| <= tolerance (magnitude + |want|), or it says that element i is wrong. magnitude: of the numbers added
 * up on the way. */
bool bench_near(bench_state *s, int64_t i, double got, double want, double magnitude, double tolerance);

double bench_seconds(void);
const char *bench_data(void);            /* the folder of --data */
const char *bench_dtype(ag_dtype dtype); /* "f32", "f64" */

#endif
