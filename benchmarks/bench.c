/* bench.c - runs the cases of a program: a table, records, one round at a time. */
#include "bench.h"

#include "machine.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_ROUNDS = 101 };

static bench_case *cases;
static int n_cases, room_for;

static struct {
    const char *filter, *json, *data;
    int rounds, threads;
    double round_seconds;
    bool list, serve;
    ag_device device;
} options = { .data = "data", .rounds = 7, .round_seconds = 0.02, .device = { AG_DEVICE_CPU, 0 } };

static struct {
    double f32, f64, copy; /* operations and bytes a second */
} peak;

double bench_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *bench_data(void) { return options.data; }
ag_device bench_device(void) { return options.device; }
bool bench_on_cuda(void) { return options.device.type == AG_DEVICE_CUDA; }
static bool on_cpu(void) { return options.device.type == AG_DEVICE_CPU; }

static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

void bench_add(const bench_case *c)
{
    if (n_cases == room_for) {
        room_for = room_for ? 2 * room_for : 64;
        cases = realloc(cases, (size_t)room_for * sizeof *cases);
        if (!cases) fail("out of memory: the list of cases");
    }
    cases[n_cases++] = *c;
}

/* ---- one case ---- */

/* A case that is set up, checked, and known to take `runs` runs a round. */
typedef struct {
    bench_state state;
    int64_t runs;
    bool wrong;
} warm_case;

/* One round of that many runs: nanoseconds a run and unit, or the value that is shown. */
static double one_round(warm_case *w)
{
    const bench_case *c = w->state.c;
    bool is_time = !c->unit;
    double per = c->per > 0 ? c->per : 1, total = 0, start = bench_seconds();
    for (int64_t i = 0; i < w->runs; i++) {
        AG_SCOPE;
        if (c->timed)
            total += c->timed(&w->state);
        else
            c->run(&w->state);
    }
    if (!on_cpu()) ag_cuda_synchronize(options.device);
    if (!c->timed) total = bench_seconds() - start;
    return total / (double)w->runs / per * (is_time ? 1e9 : 1);
}

static void put_away(warm_case *w)
{
    if (w->state.c && w->state.c->put_away) w->state.c->put_away(&w->state);
    for (int i = 0; i < w->state.n_in; i++) ag_release(w->state.in[i]);
    *w = (warm_case){ 0 };
}

/* x and its gradient on the CPU, the scope's. */
static Variable *copy_on_cpu(Variable *x)
{
    Variable *y = ag_to(ag_detach(x), AG_CPU), *grad = ag_grad(x);
    if (y && grad) {
        ag_requires_grad_(y);
        ag_set_grad(y, ag_to(ag_detach(grad), AG_CPU));
    }
    return y;
}

/* The case's own check, which reads numbers where the CPU can. */
static bool check(bench_state *s, Variable *result)
{
    if (on_cpu()) return s->c->check(s, result);
    AG_SCOPE;
    Variable *there[sizeof s->in / sizeof *s->in];
    bool right = true;
    memcpy(there, s->in, sizeof there);
    for (int i = 0; i < s->n_in; i++) right = (s->in[i] = copy_on_cpu(there[i])) && right;
    right = right && (!result || (result = ag_to(ag_detach(result), AG_CPU))) && s->c->check(s, result);
    memcpy(s->in, there, sizeof there);
    return right;
}

/* Makes the case, checks its result, and finds out how many runs fill a round. */
static void warm_up(warm_case *w, const bench_case *c)
{
    *w = (warm_case){ .state.c = c, .runs = 1 };
    ag_clear_error();
    ag_manual_seed(1);
    AG_SCOPE;
    w->wrong = !c->set_up(&w->state);
    if (!w->wrong && c->whole && c->check) w->wrong = !check(&w->state, NULL);
    if (!w->wrong && !c->whole) {
        Variable *result = NULL;
        double value = 0;
        if (c->timed)
            value = c->timed(&w->state);
        else
            result = c->run(&w->state);
        if ((c->timed ? value < 0 : !result) || ag_error())
            w->wrong = !bench_wrong(&w->state, "%s", ag_error() ? ag_error() : "no result");
        else if (c->check)
            w->wrong = !check(&w->state, result);
    }
    if (w->wrong && !w->state.why[0]) bench_wrong(&w->state, "%s", ag_error() ? ag_error() : "it cannot be set up");
    if (w->wrong || c->unit || c->whole) return;
    for (;;) {
        double start = bench_seconds();
        one_round(w);
        double taken = bench_seconds() - start;
        if (taken >= options.round_seconds || w->runs > INT64_C(1) << 40) break;
        double factor = taken > 0 ? 1.1 * options.round_seconds / taken : 10;
        w->runs = (int64_t)ceil((double)w->runs * (factor > 10 ? 10 : factor));
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* ---- JSON ---- */

static void print_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fputc('\\', file);
        if ((unsigned char)*text >= ' ') fputc(*text, file);
    }
    fputc('"', file);
}

/* "case", what belongs to every record of it, and its parameters; the object is left open. */
static void print_case(FILE *file, const bench_case *c)
{
    fputs("{\"case\": ", file);
    print_string(file, c->name);
    fprintf(file, ", \"unit\": \"%s\", \"flops\": %.17g, \"bytes\": %.17g, \"per\": %.17g", c->unit ? c->unit : "ns",
            c->flops, c->bytes, c->per > 0 ? c->per : 1);
    fprintf(file, ", \"dtype\": \"%s\"", bench_dtype(c->dtype));
    if (c->parameters[0]) fprintf(file, ", %s", c->parameters);
}

/* ---- the modes ---- */

static bool wanted(const bench_case *c)
{
    return (!options.filter || strstr(c->name, options.filter)) && (!c->there || c->there());
}

static void measure_peaks(void)
{
    if (peak.f32 > 0 || !on_cpu()) return; /* a device's are not known */
    peak.f32 = machine_fma(ag_cpu_capability(), 4, options.threads);
    peak.f64 = machine_fma(ag_cpu_capability(), 8, options.threads);
    peak.copy = machine_copy(options.threads);
}

static double fraction_of_peak(const bench_case *c, double ns)
{
    double most = c->dtype == AG_FLOAT64 ? peak.f64 : peak.f32;
    if (!on_cpu()) return 0;
    if (c->flops > 0) return c->flops / (1e-9 * ns) / most;
    return c->bytes > 0 && peak.copy > 0 ? c->bytes / (1e-9 * ns) / peak.copy : 0;
}

static void print_time(double ns)
{
    if (ns < 1e4)
        printf("%9.1f ns", ns);
    else if (ns < 1e7)
        printf("%9.2f us", ns / 1e3);
    else
        printf("%9.2f ms", ns / 1e6);
}

/* A line of the table, and a record. Returns whether the case is right. */
static bool run_case(const bench_case *c, FILE *records, bool first)
{
    warm_case w;
    double rounds[MOST_ROUNDS];
    warm_up(&w, c);
    printf("%-58s ", c->name);
    if (records) {
        fputs(first ? "" : ",\n", records);
        print_case(records, c);
        fprintf(records, ", \"threads\": %d, \"capability\": \"%s\"", options.threads, ag_cpu_capability());
    }
    bool wrong = w.wrong;
    if (wrong) {
        printf("WRONG: %s\n", w.state.why);
        if (records) fputs(", \"wrong\": ", records), print_string(records, w.state.why);
    } else {
        int n = c->unit ? 1 : options.rounds;
        for (int i = 0; i < n; i++) rounds[i] = one_round(&w);
        if (records) {
            fputs(", \"rounds\": [", records);
            for (int i = 0; i < n; i++) fprintf(records, "%s%.6g", i ? ", " : "", rounds[i]);
        }
        qsort(rounds, (size_t)n, sizeof *rounds, ascending);
        double median = rounds[n / 2], fraction = c->unit ? 0 : fraction_of_peak(c, median);
        if (records)
            fprintf(records, "], \"median\": %.6g, \"min\": %.6g, \"fraction\": %.4f, \"runs\": %" PRId64, median,
                    rounds[0], fraction, w.runs);
        if (c->unit)
            printf("%9.4g %s", median, c->unit);
        else
            print_time(median);
        if (!c->unit && c->flops > 0) printf("  %8.1f GFLOP/s", c->flops / median);
        if (!c->unit && c->flops <= 0 && c->bytes > 0) printf("  %8.1f GB/s   ", c->bytes / median);
        if (fraction > 0) printf("  %5.1f %%", 100 * fraction);
        putchar('\n');
    }
    if (records) fputc('}', records);
    put_away(&w);
    return !wrong;
}

static int run_table(void)
{
    bool right = true, first = true;
    FILE *records = NULL;
    if (options.json && !(records = fopen(options.json, "w"))) fail("%s: %s", options.json, strerror(errno));
    measure_peaks();
    if (!on_cpu())
        printf("%s; medians of %d rounds\n", ag_device_name(options.device), options.rounds);
    else
        printf("%s, %d thread%s: %.1f GFLOP/s float32, %.1f float64, copies %.1f GB/s; medians of %d rounds\n",
               ag_cpu_capability(), options.threads, options.threads == 1 ? "" : "s", peak.f32 / 1e9, peak.f64 / 1e9,
               peak.copy / 1e9, options.rounds);
    if (records)
        fprintf(records, "{\"peak_f32\": %.6g, \"peak_f64\": %.6g, \"copy\": %.6g, \"records\": [\n", peak.f32,
                peak.f64, peak.copy);
    for (int i = 0; i < n_cases; i++) {
        if (!wanted(&cases[i])) continue;
        right &= run_case(&cases[i], records, first);
        first = false;
        fflush(stdout);
    }
    if (records) {
        fputs("\n]}\n", records);
        if (fclose(records)) fail("%s: %s", options.json, strerror(errno));
    }
    if (first) fail("no case has \"%s\" in its name", options.filter ? options.filter : "");
    return right ? 0 : 1;
}

static int list_cases(void)
{
    for (int i = 0; i < n_cases; i++) {
        if (!wanted(&cases[i])) continue;
        print_case(stdout, &cases[i]);
        puts("}");
    }
    return 0;
}

static const bench_case *find(const char *name)
{
    for (int i = 0; i < n_cases; i++)
        if (!strcmp(cases[i].name, name)) return &cases[i];
    return NULL;
}

/* Names of cases come in, a line each, and "machine" for the machine's own figures; each is answered by a line, after
 * one round. A few cases stay set up, so that they can take turns. "drop" puts them away. */
static int serve(void)
{
    enum { WARM = 8 };
    static warm_case warm[WARM];
    int next = 0;
    bool right = true;
    for (char line[256]; fgets(line, sizeof line, stdin);) {
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "machine")) {
            peak.f32 = 0;
            measure_peaks();
            printf("{\"machine\": \"%s\", \"threads\": %d, \"f32\": %.6g, \"f64\": %.6g, \"copy\": %.6g}\n",
                   ag_cpu_capability(), options.threads, peak.f32, peak.f64, peak.copy);
            fflush(stdout);
            continue;
        }
        if (!strcmp(line, "drop")) {
            for (int i = 0; i < WARM; i++) put_away(&warm[i]);
            ag_empty_cache();
            puts("{}");
            fflush(stdout);
            continue;
        }
        const bench_case *c = find(line);
        warm_case *w = NULL;
        for (int i = 0; i < WARM && c; i++)
            if (warm[i].state.c == c) w = &warm[i];
        if (c && !w) {
            w = &warm[next++ % WARM];
            put_away(w);
            warm_up(w, c);
        }
        fputs("{\"case\": ", stdout);
        print_string(stdout, line);
        if (!c || w->wrong) {
            fputs(", \"wrong\": ", stdout);
            print_string(stdout, c ? w->state.why : "there is no such case");
            right = false;
        } else {
            bench_state *s = &w->state;
            if (!c->unit && w->runs > 1) { /* the caches are this process's own again, its threads awake */
                AG_SCOPE;
                if (c->timed)
                    c->timed(s);
                else
                    c->run(s);
            }
            printf(", \"value\": %.6g", one_round(w));
        }
        puts("}");
        fflush(stdout);
    }
    for (int i = 0; i < WARM; i++) put_away(&warm[i]);
    return right ? 0 : 1;
}

/* ---- the command line ---- */

static const char usage[] =
    "usage: %s [options]\n"
    "  --filter TEXT   only cases with TEXT in their names\n"
    "  --threads N     1 unless given\n"
    "  --rounds N      rounds a case, the median counts (7)\n"
    "  --round-ms N    milliseconds a round takes at least (20)\n"
    "  --device DEVICE cpu, cuda or cuda:N; what a round started is waited for at its end (cpu)\n"
    "  --tf32          float32 products on a GPU may be made in TF32\n"
    "  --data DIR      where MNIST lies (data)\n"
    "  --json FILE     records of what was measured\n"
    "  --list          the cases and their parameters, a JSON object a line\n"
    "  --serve         runs the case named by each line of standard input, one round each\n";

static int number(const char *option, const char *text, int most)
{
    char *end;
    errno = 0;
    long n = text ? strtol(text, &end, 10) : 0;
    if (!text || errno || end == text || *end || n < 1 || n > most)
        fail("%s wants a number from 1 to %d", option, most);
    return (int)n;
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(option, "--list")) {
            options.list = true;
        } else if (!strcmp(option, "--serve")) {
            options.serve = true;
        } else if (!strcmp(option, "--tf32")) {
            ag_cuda_set_allow_tf32(true);
        } else if (!strcmp(option, "--help") || !strcmp(option, "-h")) {
            printf(usage, argv[0]);
            exit(0);
        } else {
            i++;
            if (!strcmp(option, "--filter"))
                options.filter = value;
            else if (!strcmp(option, "--json"))
                options.json = value;
            else if (!strcmp(option, "--data"))
                options.data = value;
            else if (!strcmp(option, "--device") && value) {
                if (!ag_device_parse(value, &options.device) || !ag_zeros(AG_SCALAR_SHAPE, .device = options.device))
                    fail("%s", ag_error());
            } else if (!strcmp(option, "--threads"))
                options.threads = number(option, value, 64);
            else if (!strcmp(option, "--rounds"))
                options.rounds = number(option, value, MOST_ROUNDS);
            else if (!strcmp(option, "--round-ms"))
                options.round_seconds = 1e-3 * number(option, value, 60000);
            else
                fail("unknown argument %s (--help lists them)", option);
            if (!value) fail("%s wants a value", option);
        }
    }
    if (!options.threads) options.threads = 1;
}

int bench_main(int argc, char **argv, void (*add_cases)(void))
{
    parse(argc, argv);
    if (!ag_set_num_threads(options.threads)) fail("%s", ag_error());
    add_cases();
    int status = options.list ? list_cases() : options.serve ? serve() : run_table();
    free(cases);
    return status;
}
