/* reduce_real_fold.h - one fold of one floating type: FOLD(name) names it, START(first) begins it, WITH and WITH_LANES
 * go on with one number or a register full. Read by reduce_real.h. */

static void FOLD(row)(void *total, const void *from, int64_t n)
{
    const real *x = from;
    vec m[4];
    int64_t i = 0;
    for (int k = 0; k < 4; k++) m[k] = splat(START(x[0]));
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        AG_UNROLL
        for (int k = 0; k < 4; k++) {
            vec v = load(x + i + k * LANES);
            m[k] = WITH_LANES(m[k], v);
        }
    }
    for (; i + LANES <= n; i += LANES) {
        vec v = load(x + i);
        m[0] = WITH_LANES(m[0], v);
    }
    if (i < n) { /* the rest, beside what changes nothing */
        real rest[LANES];
        for (int k = 0; k < LANES; k++) rest[k] = k < n - i ? x[i + k] : START(x[0]);
        vec v = load(rest);
        m[1] = WITH_LANES(m[1], v);
    }
    m[0] = WITH_LANES(m[0], m[1]);
    m[2] = WITH_LANES(m[2], m[3]);
    m[0] = WITH_LANES(m[0], m[2]);
    real lane[LANES];
    store(lane, m[0]);
    for (int half = LANES / 2; half >= 1; half /= 2)
        for (int k = 0; k < half; k++) lane[k] = WITH(lane[k], lane[k + half]);
    *(real *)total = lane[0];
}

/* Four rows at once, so that their additions need not wait for one another. */
static void FOLD(short_rows)(void *total, const void *from, int64_t stride, int64_t rows, int64_t n)
{
    const real *x = from;
    real *t = total;
    for (; rows >= 4; rows -= 4, x += 4 * stride, t += 4) {
        real a = x[0], b = x[stride], c = x[2 * stride], d = x[3 * stride];
        for (int64_t i = 1; i < n; i++) {
            a = WITH(a, x[i]);
            b = WITH(b, x[stride + i]);
            c = WITH(c, x[2 * stride + i]);
            d = WITH(d, x[3 * stride + i]);
        }
        t[0] = a, t[1] = b, t[2] = c, t[3] = d;
    }
    for (; rows > 0; rows--, x += stride, t++) {
        real a = x[0];
        for (int64_t i = 1; i < n; i++) a = WITH(a, x[i]);
        *t = a;
    }
}

static void FOLD(columns)(void *total, const void *from, int64_t stride, int64_t rows, int64_t m)
{
    const real *x = from;
    real *t = total;
    int64_t j = 0;
    for (; j + 4 * LANES <= m; j += 4 * LANES) {
        vec s[4];
        AG_UNROLL
        for (int k = 0; k < 4; k++) s[k] = load(x + j + k * LANES);
        for (int64_t i = 1; i < rows; i++) {
            AG_UNROLL
            for (int k = 0; k < 4; k++) {
                vec v = load(x + i * stride + j + k * LANES);
                s[k] = WITH_LANES(s[k], v);
            }
        }
        AG_UNROLL
        for (int k = 0; k < 4; k++) store(t + j + k * LANES, s[k]);
    }
    while (j < m && m >= LANES) { /* the last register overlaps the one before it: the same totals twice */
        if (j > m - LANES) j = m - LANES;
        vec s = load(x + j);
        for (int64_t i = 1; i < rows; i++) {
            vec v = load(x + i * stride + j);
            s = WITH_LANES(s, v);
        }
        store(t + j, s);
        j += LANES;
    }
    if (j >= m) return;
    real few[LANES]; /* fewer columns than lanes */
    for (j = 0; j < m; j++) few[j] = x[j];
    for (int64_t i = 1; i < rows; i++)
        for (j = 0; j < m; j++) few[j] = WITH(few[j], x[i * stride + j]);
    for (j = 0; j < m; j++) t[j] = few[j];
}

static void FOLD(combine)(void *total, const void *more, int64_t m)
{
    real *t = total;
    const real *x = more;
    for (int64_t j = 0; j < m; j++) t[j] = WITH(t[j], x[j]);
}
