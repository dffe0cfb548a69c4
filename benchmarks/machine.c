/* machine.c - peak rates: multiply-adds in registers, copies through memory. */
#include "machine.h"

#include "bench.h"
#include "fma.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5, MOST_THREADS = 64, STEPS = 2000000, COPIED = 64 << 20 };

static volatile double sink; /* what is computed must be wanted */

typedef struct {
    double (*fma)(int steps);
    char *from, *to; /* or a copy of `size` bytes */
    size_t size;
    double start, end;
    pthread_barrier_t *ready;
} work;

static void *run(void *argument)
{
    work *w = argument;
    if (w->fma) sink = w->fma(STEPS / 8); /* wide registers take a moment to come up to speed */
    if (w->ready) pthread_barrier_wait(w->ready);
    w->start = bench_seconds();
    if (w->fma)
        sink = w->fma(STEPS);
    else
        memcpy(w->to, w->from, w->size);
    w->end = bench_seconds();
    return NULL;
}

/* Seconds from the first start to the last end; 0 where threads could not be made. */
static double together(work *all, int threads)
{
    pthread_barrier_t ready;
    pthread_t thread[MOST_THREADS];
    if (threads == 1) {
        run(&all[0]);
        return all[0].end - all[0].start;
    }
    if (pthread_barrier_init(&ready, NULL, (unsigned)threads)) return 0;
    for (int i = 0; i < threads; i++) all[i].ready = &ready;
    for (int i = 1; i < threads; i++)
        if (pthread_create(&thread[i], NULL, run, &all[i])) {
            fprintf(stderr, "bench: cannot start %d threads\n", threads);
            exit(1); /* those that have started wait for the rest */
        }
    run(&all[0]);
    double start = all[0].start, end = all[0].end;
    for (int i = 1; i < threads; i++) {
        pthread_join(thread[i], NULL);
        if (all[i].start < start) start = all[i].start;
        if (all[i].end > end) end = all[i].end;
    }
    pthread_barrier_destroy(&ready);
    return end - start;
}

static double best_of(work *all, int threads)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double seconds = together(all, threads);
        if (seconds > 0 && (best == 0 || seconds < best)) best = seconds;
    }
    return best;
}

static int at_most(int threads) { return threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads; }

double machine_fma(const char *isa, int width, int threads)
{
    int bytes = fma_bytes_baseline();
    double (*fma)(int) = width == 4 ? fma_f32_baseline : fma_f64_baseline;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!strcmp(isa, "avx512")) {
        if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512vl")) return 0;
        fma = width == 4 ? fma_f32_avx512 : fma_f64_avx512;
        bytes = fma_bytes_avx512();
    }
    if (!strcmp(isa, "avx2")) {
        if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
        fma = width == 4 ? fma_f32_avx2 : fma_f64_avx2;
        bytes = fma_bytes_avx2();
    }
#else
    if (strcmp(isa, "baseline") != 0) return 0;
#endif
    threads = at_most(threads);
    work all[MOST_THREADS] = { 0 };
    for (int i = 0; i < threads; i++) all[i].fma = fma;
    double seconds = best_of(all, threads);
    return seconds > 0 ? 2.0 * FMA_SUMS * STEPS * (double)(bytes / width) * threads / seconds : 0;
}

double machine_copy(int threads)
{
    threads = at_most(threads);
    char *from = malloc(COPIED), *to = malloc(COPIED);
    double rate = 0;
    if (from && to) {
        memset(from, 1, COPIED);
        memset(to, 2, COPIED);
        work all[MOST_THREADS] = { 0 };
        size_t each = COPIED / (size_t)threads;
        for (int i = 0; i < threads; i++)
            all[i] = (work){ .from = from + each * (size_t)i, .to = to + each * (size_t)i, .size = each };
        double seconds = best_of(all, threads);
        if (seconds > 0) rate = 2.0 * (double)each * threads / seconds;
    }
    free(from);
    free(to);
    return rate;
}
