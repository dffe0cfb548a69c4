/* bench_machine.c - the machine itself: multiply-adds of each instruction set and type, and copies. */
#include "bench.h"
#include "machine.h"

enum { ISA, WIDTH }; /* what case.number holds; WIDTH 0: copies */
static const char *const isas[] = { "baseline", "avx2", "avx512" };

static bool set_up(bench_state *s)
{
    (void)s;
    return true;
}

static double timed(bench_state *s)
{
    int threads = ag_get_num_threads();
    const int64_t *p = s->c->number;
    return (p[WIDTH] ? machine_fma(isas[p[ISA]], (int)p[WIDTH], threads) : machine_copy(threads)) / 1e9;
}

static void add_cases(void)
{
    bench_case c = { .dtype = AG_FLOAT32, .set_up = set_up, .timed = timed };
    for (int width = 4; width <= 8; width += 4)
        for (int isa = 0; isa < 3; isa++) {
            if (machine_fma(isas[isa], width, 1) <= 0) continue;
            c.number[ISA] = isa, c.number[WIDTH] = width;
            c.unit = "GFLOP/s";
            c.dtype = width == 4 ? AG_FLOAT32 : AG_FLOAT64;
            snprintf(c.name, sizeof c.name, "multiply-adds %s %s", isas[isa], bench_dtype(c.dtype));
            bench_add(&c);
        }
    c = (bench_case){ .name = "copy", .unit = "GB/s", .dtype = AG_FLOAT32, .set_up = set_up, .timed = timed };
    bench_add(&c);
}

int main(int argc, char **argv) { return bench_main(argc, argv, add_cases); }
