/* reduce_whole_fold.h - one fold of one integer type into totals of type total_t: FOLD(name) names it, WITH goes on with a number. Read by
 * reduce_whole.h. */

static void FOLD(row)(void *total, const void *from, int64_t n)
{
    const whole *x = from;
    total_t t = x[0];
    for (int64_t i = 1; i < n; i++) t = WITH(t, x[i]);
    *(total_t *)total = t;
}

static void FOLD(columns)(void *total, const void *from, int64_t stride, int64_t rows, int64_t m)
{
    const whole *x = from;
    total_t *restrict t = total;
    for (int64_t j = 0; j < m; j++) t[j] = x[j];
    for (int64_t i = 1; i < rows; i++)
        for (int64_t j = 0; j < m; j++) t[j] = WITH(t[j], x[i * stride + j]);
}

static void FOLD(combine)(void *total, const void *more, int64_t m)
{
    total_t *t = total;
    const total_t *x = more;
    for (int64_t j = 0; j < m; j++) t[j] = WITH(t[j], x[j]);
}
