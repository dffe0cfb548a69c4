/* moments_spread.h - the sums of x - from and of its square over a row of `real`, at once; read by moments_kernel.c. */
static void AG_PASTE(spread, SUFFIX)(const void *row, int64_t n, double from, double *sum, double *squares)
{
    const real *x = row;
    enum { AT_ONCE = 4 * LANES_f64, LINE = 64 / (int)sizeof(real), AHEAD = 8192 / (int)sizeof(real) };
    vec_f64 sums[4] = { 0 }, square[4] = { 0 };
    int64_t i = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        AG_UNROLL
        for (int k = 0; k < AT_ONCE; k += LINE) __builtin_prefetch(x + i + AHEAD + k);
        AG_UNROLL
        for (int k = 0; k < 4; k++) {
            const vec_f64 apart = AG_PASTE(widen, SUFFIX)(x + i + k * LANES_f64) - from;
            sums[k] += apart;
            square[k] += apart * apart;
        }
    }
    double rest = 0, rest_square = 0;
    for (; i < n; i++) {
        const double apart = (double)x[i] - from;
        rest += apart;
        rest_square += apart * apart;
    }
    *sum = total_f64((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
    *squares = total_f64((square[0] + square[1]) + (square[2] + square[3])) + rest_square;
}
