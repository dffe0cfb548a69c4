/* moments_template.h - the sum of TERM over a row of `real`, in eight registers so that no addition waits for another;
 * read by moments_kernel.c. */
static double AG_PASTE(TERM, SUFFIX)(const void *row, int64_t n, double from)
{
    const real *x = row;
    enum { AT_ONCE = 8 * LANES_f64, LINE = 64 / (int)sizeof(real), AHEAD = 8192 / (int)sizeof(real) };
    vec_f64 sum[8] = { 0 };
    int64_t i = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        AG_UNROLL
        for (int k = 0; k < AT_ONCE; k += LINE) __builtin_prefetch(x + i + AHEAD + k);
        AG_UNROLL
        for (int k = 0; k < 8; k++) sum[k] += TERM(AG_PASTE(widen, SUFFIX)(x + i + k * LANES_f64), from);
    }
    for (; i + LANES_f64 <= n; i += LANES_f64) sum[0] += TERM(AG_PASTE(widen, SUFFIX)(x + i), from);
    double rest = 0;
    for (; i < n; i++) rest += TERM(splat_f64((double)x[i]), from)[0];
    AG_UNROLL
    for (int half = 4; half >= 1; half /= 2) {
        AG_UNROLL
        for (int k = 0; k < half; k++) sum[k] += sum[k + half];
    }
    return total_f64(sum[0]) + rest;
}
#undef TERM
