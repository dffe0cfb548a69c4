/* reduce_arg.h - which element is the greatest or least, of one type (`real`): FOLD(name) names it, BEATS(x, m) says
 * whether x comes before m, BEATS_LANES, where there are registers, the same of them. Read by reduce_real.h and
 * reduce_whole.h. */

static bool FOLD(beats)(const void *a, const void *b)
{
    real x = *(const real *)a, m = *(const real *)b;
    return BEATS(x, m);
}

static void FOLD(arg_row)(void *best, int64_t *at, const void *from, int64_t n)
{
    const real *x = from;
    real m = x[0];
    int64_t first = 0;
    for (int64_t i = 1; i < n; i++)
        if (BEATS(x[i], m)) m = x[i], first = i;
    *(real *)best = m;
    *at = first;
}

static void FOLD(arg_short_rows)(void *best, int64_t *at, const void *from, int64_t stride, int64_t rows, int64_t n)
{
    const real *x = from;
    real *b = best;
#ifdef BEATS_LANES /* a register full of rows at once, turned over */
    for (; rows >= LANES; rows -= LANES, x += LANES * stride, b += LANES, at += LANES) {
        vec column[LANES], m;
        mask first = { 0 };
        REAL(load_columns)(x, stride, 0, n, column);
        m = column[0];
        for (int64_t i = 1; i < n; i++) {
            if (i % LANES == 0) REAL(load_columns)(x, stride, i, n, column);
            const vec v = column[i % LANES];
            const mask takes = BEATS_LANES(v, m), here = (mask){ 0 } + (__typeof__(first[0]))i;
            m = REAL(choose)(takes, v, m);
            first = (here & takes) | (first & ~takes);
        }
        store(b, m);
        for (int k = 0; k < LANES; k++) at[k] = first[k];
    }
#endif
    for (; rows > 0; rows--, x += stride) FOLD(arg_row)(b++, at++, x, n);
}

#ifdef BEATS_LANES
/* So many registers side by side. Rows that lie far apart are asked for ahead of time. */
AG_INLINE void FOLD(arg_registers)(real *b, int64_t *at, const real *x, int64_t stride, int64_t first, int64_t rows,
                                   const int registers)
{
    enum { AHEAD = 8 };
    const bool far = stride * (int64_t)sizeof(real) >= 2048;
    vec m[4];
    mask where[4]; /* -1: where it was */
    AG_UNROLL
    for (int k = 0; k < registers; k++) m[k] = load(b + k * LANES), where[k] = (mask){ 0 } - 1;
    for (int64_t i = 0; i < rows; i++) {
        const real *row = x + i * stride;
        if (far) ag__ask_for((uintptr_t)(row + AHEAD * stride), registers * LANES * (int64_t)sizeof(real));
        AG_UNROLL
        for (int k = 0; k < registers; k++) {
            const vec v = load(row + k * LANES);
            const mask takes = BEATS_LANES(v, m[k]), here = (mask){ 0 } + (__typeof__(where[0][0]))i;
            m[k] = REAL(choose)(takes, v, m[k]);
            where[k] = (here & takes) | (where[k] & ~takes);
        }
    }
    AG_UNROLL
    for (int k = 0; k < registers; k++) {
        store(b + k * LANES, m[k]);
        for (int i = 0; i < LANES; i++)
            if (where[k][i] >= 0) at[k * LANES + i] = first + where[k][i];
    }
}
#endif

static void FOLD(arg_columns)(void *best, int64_t *at, const void *from, int64_t stride, int64_t first, int64_t rows,
                              int64_t m)
{
    const real *x = from;
    real *restrict b = best;
    int64_t *restrict index = at;
    int64_t begin = 0;
#ifdef BEATS_LANES
    if (rows <= INT32_MAX) { /* the numbers of rows fit the lanes */
        for (; begin + 4 * LANES <= m; begin += 4 * LANES)
            FOLD(arg_registers)(b + begin, index + begin, x + begin, stride, first, rows, 4);
        for (; begin + LANES <= m; begin += LANES)
            FOLD(arg_registers)(b + begin, index + begin, x + begin, stride, first, rows, 1);
    }
#endif
    if (begin < m)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = begin; j < m; j++) {
                real v = x[i * stride + j];
                bool takes = BEATS(v, b[j]);
                b[j] = takes ? v : b[j];
                index[j] = takes ? first + i : index[j];
            }
}
