/* softmax_template.h - read once for each type by softmax_kernel.c, with real and REAL(name). */
#define vec   REAL(vec)
#define mask  REAL(mask)
#define LANES REAL(LANES)

/* All ones in the first n lanes. */
AG_INLINE mask REAL(first_lanes)(int64_t n)
{
    mask lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    return lane < (mask){ 0 } + (__typeof__(lane[0]))n;
}
/* The first n lanes, `fill` in the rest; and back. */
AG_INLINE vec REAL(load_some)(const real *p, int64_t n, real fill)
{
    return n >= LANES ? REAL(load)(p) : REAL(load_first)(p, (int)n, fill);
}
AG_INLINE void REAL(store_some)(real *p, vec v, int64_t n)
{
    if (n >= LANES)
        REAL(store)(p, v);
    else
        REAL(store_first)(p, v, (int)n);
}

/* NaN wins */
AG_INLINE vec REAL(larger)(vec a, vec b)
{
    const mask which = (a > b) | (a != a);
    return (vec)(((mask)a & which) | ((mask)b & ~which));
}

/* Not inlined: it is long, and once a row. */
static __attribute__((noinline)) vec REAL(log_of)(vec sum) { return REAL(log)(sum); }

/* Of softmax's gradient, y (g - sum(g y)), the difference may be small where its terms are not: it is taken in double.
 */
typedef double REAL(wide) __attribute__((vector_size(8 * LANES)));
#define WIDE(v)   __builtin_convertvector(v, REAL(wide))
#define NARROW(v) __builtin_convertvector(v, vec)

/* ---- short rows: LANES of them at a time, turned over, so that a register holds one element of each ---- */

/* The bits are those of row after row: what is added lane by lane and then by halves there, is so here. */
#define SHORT (4 * LANES) /* elements of the longest */

/* column[j] = element j of each of the LANES rows of n that lie at x. */
static __attribute__((noinline)) void REAL(load_columns)(const real *x, int64_t n, vec *column)
{
    for (int64_t at = 0; at < n; at += LANES) {
        for (int64_t k = 0; k < LANES; k++) {
            const bool room = k * n + at + LANES <= LANES * n; /* what is beyond a row does no harm */
            column[at + k] = room ? REAL(load)(x + k * n + at) : REAL(load_some)(x + k * n + at, n - at, 0);
        }
        REAL(transpose)(column + at);
    }
}
/* And back; the columns are used up. */
static __attribute__((noinline)) void REAL(store_columns)(real *y, int64_t n, vec *column)
{
    for (int64_t at = 0; at < n; at += LANES) REAL(transpose)(column + at);
    for (int64_t k = 0; k < LANES; k++)
        for (int64_t at = 0; at < n; at += LANES) {
            const bool room = k * n + at + LANES <= LANES * n; /* what is beyond a row is written later */
            REAL(store_some)(y + k * n + at, column[at + k], room ? LANES : n - at);
        }
}
/* The sum of n columns, in the order of REAL(total). */
AG_INLINE vec REAL(total_of_columns)(const vec *column, int64_t n)
{
    vec sum[LANES] = { 0 };
    for (int64_t at = 0; at < n; at += LANES)
        for (int64_t j = 0; j < LANES && at + j < n; j++) sum[j] += column[at + j];
    AG_UNROLL
    for (int half = LANES / 2; half >= 1; half /= 2)
        for (int j = 0; j < half; j++) sum[j] += sum[j + half];
    return sum[0];
}

static void REAL(short_rows)(bool is_log, int64_t n, const real *x, real *y)
{
    vec v[SHORT], e[SHORT], top = REAL(splat)((real)-__builtin_inf());
    REAL(load_columns)(x, n, v);
    for (int64_t i = 0; i < n; i++) top = REAL(larger)(v[i], top);
    for (int64_t i = 0; i < n; i++) e[i] = REAL(exp)(v[i] - top);
    const vec sum = REAL(total_of_columns)(e, n);
    const vec log_sum = is_log ? REAL(log_of)(sum) : sum;
    for (int64_t i = 0; i < n; i++) v[i] = is_log ? v[i] - top - log_sum : e[i] / sum;
    REAL(store_columns)(y, n, v);
}

static void REAL(short_rows_backward)(bool is_log, int64_t n, const real *dy, const real *y, real *dx)
{
    vec g[SHORT], v[SHORT], sum = { 0 };
    REAL(wide) product = { 0 };
    REAL(load_columns)(dy, n, g);
    REAL(load_columns)(y, n, v);
    if (is_log) {
        sum = REAL(total_of_columns)(g, n);
    } else {
        for (int64_t j = 0; j < LANES; j++) {
            REAL(wide) some = { 0 };
            for (int64_t i = j; i < n; i += LANES) some += WIDE(g[i]) * WIDE(v[i]);
            product += some;
        }
    }
    for (int64_t i = 0; i < n; i++)
        g[i] = is_log ? g[i] - REAL(exp)(v[i]) * sum : NARROW(WIDE(v[i]) * (WIDE(g[i]) - product));
    REAL(store_columns)(dx, n, g);
}

/* ---- rows ---- */

AG_INLINE real REAL(greatest)(int64_t n, const real *x)
{
    const real lowest = (real)-__builtin_inf();
    vec most[4];
    int64_t i = 0;
    AG_UNROLL
    for (int k = 0; k < 4; k++) most[k] = REAL(splat)(lowest);
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        AG_UNROLL
        for (int k = 0; k < 4; k++) most[k] = REAL(larger)(REAL(load)(x + i + k * LANES), most[k]);
    }
    for (; i < n; i += LANES) most[0] = REAL(larger)(REAL(load_some)(x + i, n - i, lowest), most[0]);
    most[0] = REAL(larger)(REAL(larger)(most[0], most[1]), REAL(larger)(most[2], most[3]));
    AG_PASTE(AG_ACROSS, REAL())(most[0], REAL(larger));
    return most[0][0];
}

/* e is room for n; it is y where y does not go past the caches. */
static void REAL(row)(bool is_log, int64_t n, const real *x, real *e, real *y)
{
    const int64_t whole = n / LANES * LANES;
    const real lowest = (real)-__builtin_inf(), top = REAL(greatest)(n, x);
    vec sums = { 0 };
    for (int64_t i = 0; i < whole; i += LANES) {
        const vec v = REAL(exp)(REAL(load)(x + i) - top);
        sums += v;
        if (!is_log) REAL(store)(e + i, v);
    }
    if (whole < n) {
        const vec v = REAL(exp)(REAL(load_some)(x + whole, n - whole, lowest) - top);
        sums += (vec)((mask)v & REAL(first_lanes)(n - whole));
        if (!is_log) REAL(store_some)(e + whole, v, n - whole);
    }
    const real sum = REAL(total)(sums), log_sum = is_log ? REAL(log_of)(REAL(splat)(sum))[0] : 0;
    if (e != y)
        for (int64_t i = 0; i < whole; i += LANES)
            REAL(stream)(y + i, is_log ? REAL(load)(x + i) - top - log_sum : REAL(load)(e + i) / sum);
    else if (is_log)
        for (int64_t i = 0; i < whole; i += LANES) REAL(store)(y + i, REAL(load)(x + i) - top - log_sum);
    else
        for (int64_t i = 0; i < whole; i += LANES) REAL(store)(y + i, REAL(load)(y + i) / sum);
    if (whole < n) {
        const vec v = REAL(load_some)((is_log ? x : e) + whole, n - whole, 0);
        REAL(store_some)(y + whole, is_log ? v - top - log_sum : v / sum, n - whole);
    }
}

static void REAL(rows)(bool is_log, int64_t rows, int64_t n, const void *x_, void *y_, bool past_caches)
{
    enum { MOST = 2048, ASKED = 4096 }; /* elements of a row that goes past the caches; bytes of the next */
    const real *x = x_;
    real *y = y_, e[MOST];
    int64_t r = 0;
    if (n <= SHORT)
        for (; r + LANES <= rows; r += LANES) REAL(short_rows)(is_log, n, x + r * n, y + r * n);
    for (; r < rows; r++) {
        const bool past = past_caches && n <= MOST && (uintptr_t)(y + r * n) % AG_LINE == 0;
        const int64_t bytes = n * (int64_t)sizeof(real);
        if (past_caches) ag__ask_for((uintptr_t)(x + (r + 1) * n), bytes < ASKED ? bytes : ASKED);
        REAL(row)(is_log, n, x + r * n, past ? e : y + r * n, y + r * n);
    }
    if (past_caches) ag__stores_past_are_done();
}

static void REAL(rows_backward)(bool is_log, int64_t rows, int64_t n, const void *dy_, const void *y_, void *dx_)
{
    const real *dy = dy_, *y = y_;
    real *dx = dx_;
    int64_t r = 0;
    if (n <= SHORT)
        for (; r + LANES <= rows; r += LANES, dy += LANES * n, y += LANES * n, dx += LANES * n)
            REAL(short_rows_backward)(is_log, n, dy, y, dx);
    for (; r < rows; r++, dy += n, y += n, dx += n) {
        vec sums = { 0 };
        REAL(wide) products = { 0 };
        double product = 0;
        for (int64_t i = 0; i < n; i += LANES) {
            const vec g = REAL(load_some)(dy + i, n - i, 0);
            if (is_log)
                sums += g;
            else
                products += WIDE(g) * WIDE(REAL(load_some)(y + i, n - i, 0));
        }
        const real sum = REAL(total)(sums);
        for (int i = 0; i < LANES; i++) product += products[i];
        for (int64_t i = 0; i < n; i += LANES) {
            const vec g = REAL(load_some)(dy + i, n - i, 0), v = REAL(load_some)(y + i, n - i, 0);
            const vec d = is_log ? g - REAL(exp)(v) * sum : NARROW(WIDE(v) * (WIDE(g) - product));
            REAL(store_some)(dx + i, d, n - i);
        }
    }
}

/* ---- columns, registers of them at a time ---- */

/* So many registers side by side, `some` lanes of each. What comes from afar is asked for ahead of time. */
AG_INLINE void REAL(column_registers)(bool is_log, int64_t n, int64_t inner, int64_t some, const real *x, real *y,
                                      const int registers)
{
    enum { AHEAD = 8, LINE = AG_LINE / (int)sizeof(real) };
    vec top[4], sum[4] = { 0 }, log_sum[4];
    AG_UNROLL
    for (int k = 0; k < registers; k++) top[k] = REAL(splat)((real)-__builtin_inf());
    for (int64_t i = 0; i < n; i++) {
        const real *row = x + i * inner;
        AG_UNROLL
        for (int k = 0; k < registers * LANES; k += LINE) __builtin_prefetch(row + AHEAD * inner + k);
        AG_UNROLL
        for (int k = 0; k < registers; k++) top[k] = REAL(larger)(REAL(load_some)(row + k * LANES, some, 0), top[k]);
    }
    for (int64_t i = 0; i < n; i++) {
        AG_UNROLL
        for (int k = 0; k < registers; k++) {
            const vec e = REAL(exp)(REAL(load_some)(x + i * inner + k * LANES, some, 0) - top[k]);
            sum[k] += e;
            if (!is_log) REAL(store_some)(y + i * inner + k * LANES, e, some);
        }
    }
    AG_UNROLL
    for (int k = 0; k < registers; k++) log_sum[k] = is_log ? REAL(log_of)(sum[k]) : sum[k];
    for (int64_t i = 0; i < n; i++) {
        AG_UNROLL
        for (int k = 0; k < registers; k++) {
            const vec v = REAL(load_some)((is_log ? x : y) + i * inner + k * LANES, some, 0);
            REAL(store_some)(y + i * inner + k * LANES, is_log ? v - top[k] - log_sum[k] : v / sum[k], some);
        }
    }
}
static void REAL(columns)(bool is_log, int64_t n, int64_t inner, int64_t columns, const void *x_, void *y_)
{
    const real *x = x_;
    real *y = y_;
    int64_t c = 0;
    for (; c + 4 * LANES <= columns; c += 4 * LANES) REAL(column_registers)(is_log, n, inner, LANES, x + c, y + c, 4);
    for (; c < columns; c += LANES) REAL(column_registers)(is_log, n, inner, columns - c, x + c, y + c, 1);
}

static void REAL(columns_backward)(bool is_log, int64_t n, int64_t inner, int64_t columns, const void *dy_,
                                   const void *y_, void *dx_)
{
    for (int64_t c = 0; c < columns; c += LANES) {
        const int64_t some = columns - c;
        const real *dy = (const real *)dy_ + c, *y = (const real *)y_ + c;
        real *dx = (real *)dx_ + c;
        vec sum = { 0 };
        REAL(wide) product = { 0 };
        for (int64_t i = 0; i < n; i++) {
            const vec g = REAL(load_some)(dy + i * inner, some, 0);
            if (is_log)
                sum += g;
            else
                product += WIDE(g) * WIDE(REAL(load_some)(y + i * inner, some, 0));
        }
        for (int64_t i = 0; i < n; i++) {
            const vec g = REAL(load_some)(dy + i * inner, some, 0), v = REAL(load_some)(y + i * inner, some, 0);
            const vec d = is_log ? g - REAL(exp)(v) * sum : NARROW(WIDE(v) * (WIDE(g) - product));
            REAL(store_some)(dx + i * inner, d, some);
        }
    }
}

AG_ISA_TABLE(ag__softmax_kernels, REAL(ag__softmax)) = {
    .rows = REAL(rows),
    .columns = REAL(columns),
    .rows_backward = REAL(rows_backward),
    .columns_backward = REAL(columns_backward),
};

#undef WIDE
#undef SHORT
#undef NARROW
#undef vec
#undef mask
#undef LANES
