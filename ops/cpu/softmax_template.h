/* softmax_template.h - read once for each type by softmax_kernel.c, with real, REAL(name) and LOG. */
#define vec   REAL(vec)
#define mask  REAL(mask)
#define LANES REAL(LANES)

/* The first n lanes, `fill` in the rest; and back. */
AG_INLINE vec REAL(load_some)(const real *p, int64_t n, real fill)
{
    if (n >= LANES) return REAL(load)(p);
    vec v = REAL(splat)(fill);
    for (int i = 0; i < n; i++) v[i] = p[i];
    return v;
}
AG_INLINE void REAL(store_some)(real *p, vec v, int64_t n)
{
    if (n >= LANES)
        REAL(store)(p, v);
    else
        for (int i = 0; i < n; i++) p[i] = v[i];
}

/* NaN wins */
AG_INLINE vec REAL(larger)(vec a, vec b)
{
    const mask which = (a > b) | (a != a);
    return (vec)(((mask)a & which) | ((mask)b & ~which));
}

/* Of softmax's gradient, y (g - sum(g y)), the difference may be small where its terms are not: it is taken in double.
 */
typedef double REAL(wide) __attribute__((vector_size(8 * LANES)));
#define WIDE(v)   __builtin_convertvector(v, REAL(wide))
#define NARROW(v) __builtin_convertvector(v, vec)

/* ---- rows ---- */

static void REAL(row)(bool is_log, int64_t n, const real *x, real *y)
{
    const real lowest = (real)-__builtin_inf();
    vec most = REAL(splat)(lowest);
    for (int64_t i = 0; i < n; i += LANES) most = REAL(larger)(REAL(load_some)(x + i, n - i, lowest), most);
    real top = most[0];
    for (int i = 1; i < LANES; i++) top = most[i] > top || most[i] != most[i] ? most[i] : top;

    vec sums = { 0 };
    for (int64_t i = 0; i < n; i += LANES) {
        vec e = REAL(exp)(REAL(load_some)(x + i, n - i, lowest) - top);
        for (int64_t j = n - i; j < LANES; j++) e[j] = 0;
        sums += e;
        if (!is_log) REAL(store_some)(y + i, e, n - i);
    }
    const real sum = REAL(total)(sums), log_sum = is_log ? LOG(sum) : 0;
    for (int64_t i = 0; i < n; i += LANES) {
        const vec v = REAL(load_some)((is_log ? x : y) + i, n - i, 0);
        REAL(store_some)(y + i, is_log ? v - top - log_sum : v / sum, n - i);
    }
}

static void REAL(rows)(bool is_log, int64_t rows, int64_t n, const void *x, void *y)
{
    for (int64_t r = 0; r < rows; r++) REAL(row)(is_log, n, (const real *)x + r * n, (real *)y + r * n);
}

static void REAL(rows_backward)(bool is_log, int64_t rows, int64_t n, const void *dy_, const void *y_, void *dx_)
{
    const real *dy = dy_, *y = y_;
    real *dx = dx_;
    for (int64_t r = 0; r < rows; r++, dy += n, y += n, dx += n) {
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

/* ---- columns, a register of them at a time ---- */

static void REAL(columns)(bool is_log, int64_t n, int64_t inner, int64_t columns, const void *x_, void *y_)
{
    for (int64_t c = 0; c < columns; c += LANES) {
        const int64_t some = columns - c;
        const real *x = (const real *)x_ + c;
        real *y = (real *)y_ + c;
        vec top = REAL(splat)((real)-__builtin_inf()), sum = { 0 };
        for (int64_t i = 0; i < n; i++) top = REAL(larger)(REAL(load_some)(x + i * inner, some, 0), top);
        for (int64_t i = 0; i < n; i++) {
            const vec e = REAL(exp)(REAL(load_some)(x + i * inner, some, 0) - top);
            sum += e;
            if (!is_log) REAL(store_some)(y + i * inner, e, some);
        }
        vec log_sum = sum;
        for (int i = 0; is_log && i < LANES; i++) log_sum[i] = LOG(sum[i]);
        for (int64_t i = 0; i < n; i++) {
            const vec v = REAL(load_some)((is_log ? x : y) + i * inner, some, 0);
            REAL(store_some)(y + i * inner, is_log ? v - top - log_sum : v / sum, some);
        }
    }
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
#undef NARROW
#undef vec
#undef mask
#undef LANES
