/* reduce_whole_fold.h - one fold of one integer type into totals of type total_t: FOLD(name) names it, WITH goes on
 * with a number. Read by reduce_whole.h. */

static void FOLD(row)(void *total, const void *from, int64_t n)
{
    const whole *x = from;
    total_t t = x[0];
    for (int64_t i = 1; i < n; i++) t = WITH(t, x[i]);
    *(total_t *)total = t;
}

/* Four rows at once, so that their additions need not wait for one another. */
static void FOLD(short_rows)(void *total, const void *from, int64_t stride, int64_t rows, int64_t n)
{
    const whole *x = from;
    total_t *t = total;
    for (; rows >= 4; rows -= 4, x += 4 * stride, t += 4) {
        total_t a = x[0], b = x[stride], c = x[2 * stride], d = x[3 * stride];
        for (int64_t i = 1; i < n; i++) {
            a = WITH(a, x[i]);
            b = WITH(b, x[stride + i]);
            c = WITH(c, x[2 * stride + i]);
            d = WITH(d, x[3 * stride + i]);
        }
        t[0] = a, t[1] = b, t[2] = c, t[3] = d;
    }
    for (; rows > 0; rows--, x += stride, t++) {
        total_t a = x[0];
        for (int64_t i = 1; i < n; i++) a = WITH(a, x[i]);
        *t = a;
    }
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
