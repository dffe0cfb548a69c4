/* reduce_real_fold.h - one fold of one floating type: FOLD(name) names it, START(first) begins it, WITH and WITH_LANES
 * go on with one number or a register full; AMONG_NUMBERS, if it is there, does so where no NaN is met. Read by
 * reduce_real.h. */

#ifdef AMONG_NUMBERS
/* A row without NaN, which shows in the sum of all. False, and nothing is done, if there may be one. */
static bool FOLD(row_of_numbers)(real *total, const real *x, int64_t n)
{
    enum { AT_ONCE = 4 * LANES };
    if (n < AT_ONCE) return false;
    vec m[4], sum[4] = { 0 };
    AG_UNROLL
    for (int k = 0; k < 4; k++) m[k] = load(x + k * LANES);
    for (int64_t i = 0; i < n; i += AT_ONCE) {
        if (n >= ROW_LONG && i % ROW_BLOCK == 0) ag__ask_for((uintptr_t)(x + i + ROW_BLOCK), ROW_BLOCK * sizeof(real));
        if (i > n - AT_ONCE) i = n - AT_ONCE; /* some twice, which changes nothing */
        AG_UNROLL
        for (int k = 0; k < 4; k++) {
            vec v = load(x + i + k * LANES);
            m[k] = AMONG_NUMBERS(m[k], v);
            sum[k] += v;
        }
    }
    real all = REAL(total)((sum[0] + sum[1]) + (sum[2] + sum[3]));
    if (all != all) return false;
    m[0] = AMONG_NUMBERS(m[0], m[1]);
    m[2] = AMONG_NUMBERS(m[2], m[3]);
    m[0] = AMONG_NUMBERS(m[0], m[2]);
    AG_PASTE(AG_ACROSS, REAL())(m[0], AMONG_NUMBERS);
    *total = m[0][0];
    return true;
}
#endif

/* The fold of up to ROW_BLOCK elements, in the lanes. */
static vec FOLD(lanes)(const real *x, int64_t n)
{
    vec m[4];
    int64_t i = 0;
    AG_UNROLL
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
    return WITH_LANES(m[0], m[2]);
}

static void FOLD(row)(void *total, const void *from, int64_t n)
{
    const real *x = from;
#ifdef AMONG_NUMBERS
    if (FOLD(row_of_numbers)(total, x, n)) return;
#endif
    vec m;
    if (n <= ROW_BLOCK) {
        m = FOLD(lanes)(x, n);
    } else { /* a binary tree of blocks: level k holds the fold of 2^k of them */
        vec level[ROW_LEVELS];
        uint64_t count = 0;
        for (int64_t i = 0; i < n; i += ROW_BLOCK, count++) {
            int k = 0;
            if (n >= ROW_LONG) ag__ask_for((uintptr_t)(x + i + ROW_BLOCK), ROW_BLOCK * sizeof(real));
            m = FOLD(lanes)(x + i, n - i < ROW_BLOCK ? n - i : ROW_BLOCK);
            for (; count >> k & 1; k++) m = WITH_LANES(level[k], m);
            level[k] = m;
        }
        int k = __builtin_ctzll(count);
        m = level[k];
        while (count >> ++k)
            if (count >> k & 1) m = WITH_LANES(level[k], m);
    }
    AG_PASTE(AG_ACROSS, REAL())(m, WITH_LANES);
    *(real *)total = m[0];
}

/* A register full of rows at once, turned over; of the last ones four, so that their additions need not wait for one
 * another. */
static void FOLD(short_rows)(void *total, const void *from, int64_t stride, int64_t rows, int64_t n)
{
    const real *x = from;
    real *t = total;
    for (; rows >= LANES; rows -= LANES, x += LANES * stride, t += LANES) {
        vec column[LANES], m;
        REAL(load_columns)(x, stride, 0, n, column);
        m = column[0];
        for (int64_t i = 1; i < n; i++) {
            if (i % LANES == 0) REAL(load_columns)(x, stride, i, n, column);
            m = WITH_LANES(m, column[i % LANES]);
        }
        store(t, m);
    }
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

/* So many registers side by side. Rows that lie far apart are asked for ahead of time. */
AG_INLINE void FOLD(registers)(real *t, const real *x, int64_t stride, int64_t rows, const int registers)
{
    enum { AHEAD = 8, LINE = 64 / (int)sizeof(real) };
    const bool far = stride * (int64_t)sizeof(real) >= 2048;
    vec s[8];
    AG_UNROLL
    for (int k = 0; k < registers; k++) s[k] = load(x + k * LANES);
    for (int64_t i = 1; i < rows; i++) {
        if (far) {
            AG_UNROLL
            for (int k = 0; k < registers * LANES; k += LINE) __builtin_prefetch(x + (i + AHEAD) * stride + k);
        }
        AG_UNROLL
        for (int k = 0; k < registers; k++) {
            vec v = load(x + i * stride + k * LANES);
            s[k] = WITH_LANES(s[k], v);
        }
    }
    AG_UNROLL
    for (int k = 0; k < registers; k++) store(t + k * LANES, s[k]);
}
static void FOLD(columns)(void *total, const void *from, int64_t stride, int64_t rows, int64_t m)
{
    const real *x = from;
    real *t = total;
    int64_t j = 0;
    for (; j + 8 * LANES <= m; j += 8 * LANES) FOLD(registers)(t + j, x + j, stride, rows, 8);
    for (; j + 4 * LANES <= m; j += 4 * LANES) FOLD(registers)(t + j, x + j, stride, rows, 4);
    while (j < m && m >= LANES) { /* the last register overlaps the one before it: the same totals twice */
        if (j > m - LANES) j = m - LANES;
        FOLD(registers)(t + j, x + j, stride, rows, 1);
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
