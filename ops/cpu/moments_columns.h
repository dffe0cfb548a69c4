/* moments_columns.h - means and squares of columns of `real`, a register of double of them at a time; read by
 * moments_kernel.c. */

/* m <= LANES_f64 numbers as double; 0 in the other lanes. */
AG_INLINE vec_f64 AG_PASTE(widen_some, SUFFIX)(const real *p, int64_t m)
{
    real some[LANES_f64] = { 0 };
    if (m >= LANES_f64) return AG_PASTE(widen, SUFFIX)(p);
    memcpy(some, p, (size_t)m * sizeof *p);
    return AG_PASTE(widen, SUFFIX)(some);
}

/* `at_once` more rows of a register's columns after `before` others, together as in moments.c. */
AG_INLINE void AG_PASTE(more_rows, SUFFIX)(const real *x, int64_t stride, int64_t m, double before, double *mean,
                                           double *squares, const int at_once)
{
    vec_f64 v[8], sum, square = { 0 };
    sum = v[0] = AG_PASTE(widen_some, SUFFIX)(x, m);
    AG_UNROLL
    for (int k = 1; k < at_once; k++) sum += v[k] = AG_PASTE(widen_some, SUFFIX)(x + k * stride, m);
    sum /= at_once;
    AG_UNROLL
    for (int k = 0; k < at_once; k++) square += (v[k] - sum) * (v[k] - sum);
    const double share = at_once / (before + at_once);
    const vec_f64 old = load_f64(mean), apart = sum - old;
    store_f64(mean, old + apart * share);
    store_f64(squares, load_f64(squares) + (square + apart * (before * share) * apart));
}

static void AG_PASTE(columns, SUFFIX)(const void *from, int64_t stride, int64_t rows, int64_t m, double *mean,
                                      double *squares)
{
    enum { AT_ONCE = 8, LINE = 64 / (int)sizeof(real) };
    const real *x = from;
    int64_t i = 0;
    for (; i + AT_ONCE <= rows; i += AT_ONCE, x += AT_ONCE * stride)
        for (int64_t j = 0; j < m; j += LANES_f64) {
            if (j % LINE == 0) { /* of the rows after these */
                AG_UNROLL
                for (int k = 0; k < AT_ONCE; k++) __builtin_prefetch(x + (AT_ONCE + k) * stride + j);
            }
            AG_PASTE(more_rows, SUFFIX)(x + j, stride, m - j, (double)i, mean + j, squares + j, AT_ONCE);
        }
    for (; i < rows; i++, x += stride)
        for (int64_t j = 0; j < m; j += LANES_f64)
            AG_PASTE(more_rows, SUFFIX)(x + j, stride, m - j, (double)i, mean + j, squares + j, 1);
}
