/* bench_tape.c - what an op costs beside its arithmetic: chains of multiplications of a few elements. */
#include "bench.h"
#include "nvidia.h"

#include <math.h>

enum { CHAIN = 1000 };
enum { ELEMENTS, PART }; /* what case.number holds */
enum { NO_RECORD, RECORD, BACKWARD, BOTH, NODE_BYTES };

/* in[0] the leaf, in[1] the factor, in[2] ones for backward */
static bool set_up(bench_state *s)
{
    int64_t n = s->c->number[ELEMENTS];
    if (!bench_numbers(s, AG_SHAPE(n), AG_FLOAT32, 0.5, 1.5) || !bench_hold(s, ag_full(AG_SHAPE(n), 0.9999)) ||
        !bench_hold(s, ag_ones(AG_SHAPE(n))))
        return false;
    if (s->c->number[PART] != NO_RECORD) ag_requires_grad_(s->in[0]);
    return true;
}

static Variable *chain(bench_state *s)
{
    Variable *y = s->in[0];
    for (int i = 0; i < CHAIN; i++) y = ag_mul(y, s->in[1]);
    return y;
}

/* Seconds of the part that is asked for: on a GPU those that the program spends, not the device, which has nothing to
 * do before. Backward counts with all that is let go of at its end. */
static double timed(bench_state *s)
{
    if (bench_on_cuda() && !ag_cuda_synchronize(bench_device())) return -1;
    double start = bench_seconds(), recorded, walked;
    int64_t held = ag_memory_allocated();
    {
        AG_SCOPE;
        Variable *y = chain(s);
        recorded = bench_seconds();
        if (!y) return -1;
        if (s->c->number[PART] == NODE_BYTES) return (double)(ag_memory_allocated() - held) / CHAIN;
        if (s->c->number[PART] >= BACKWARD) {
            ag_set_grad(s->in[0], AG_NONE);
            if (!ag_backward(y, .gradient = s->in[2])) return -1;
        }
    }
    walked = bench_seconds();
    switch (s->c->number[PART]) {
    case RECORD:
        return recorded - start;
    case BACKWARD:
        return walked - recorded;
    default:
        return walked - start;
    }
}

static bool check(bench_state *s, Variable *none)
{
    (void)none;
    if (s->c->number[PART] < BACKWARD || s->c->number[PART] == NODE_BYTES) return true;
    const Variable *grad = ag_grad(s->in[0]);
    if (!grad) return bench_wrong(s, "there is no gradient");
    for (int64_t i = 0; i < s->c->number[ELEMENTS]; i++)
        if (!bench_near(s, i, bench_at(grad, &i), pow((double)0.9999f, CHAIN), 1, 1e-4)) return false;
    return true;
}

/* What any launch costs the program: as many, of a kernel that does nothing. */
static double timed_launches(bench_state *s)
{
    if (!ag_cuda_synchronize(bench_device())) return -1;
    double start = bench_seconds();
    for (int i = 0; i < CHAIN; i++)
        if (!nvidia_launch()) return bench_wrong(s, "the driver does not launch"), -1;
    return bench_seconds() - start;
}
static bool nothing_to_set_up(bench_state *s) { return (void)s, true; }

static void add_cases(void)
{
    static const char *const parts[] = { "forward, not recorded", "forward and record", "backward and free",
                                         "forward, record, backward, free", "bytes a node" };
    static const char *const keys[] = { "forward", "record", "backward", "both", "bytes" };
    static const int elements[] = { 1, 4, 16, 64, 256 };
    for (unsigned e = 0; e < sizeof elements / sizeof *elements; e++)
        for (int part = NO_RECORD; part <= NODE_BYTES; part++) {
            bench_case c = { .number = { elements[e], part },
                             .dtype = AG_FLOAT32,
                             .per = CHAIN,
                             .set_up = set_up,
                             .timed = timed,
                             .check = check };
            if (part == NODE_BYTES) c.unit = "bytes", c.per = 1;
            snprintf(c.name, sizeof c.name, "tape %d elements: %s", elements[e], parts[part]);
            snprintf(c.parameters, sizeof c.parameters,
                     "\"op\": \"tape\", \"elements\": %d, \"part\": \"%s\", \"chain\": %d", elements[e], keys[part],
                     CHAIN);
            bench_add(&c);
        }
    bench_add(&(bench_case){ .name = "launch of the driver",
                             .parameters = "\"op\": \"launch\"",
                             .dtype = AG_FLOAT32,
                             .per = CHAIN,
                             .there = nvidia_driver,
                             .set_up = nothing_to_set_up,
                             .timed = timed_launches });
}

int main(int argc, char **argv) { return bench_main(argc, argv, add_cases); }
