/* gemm_template.h - read once for each type by gemm_kernel.c, with real and REAL(name).
 *
 * A tile of C, ROWS x COLUMNS, stays in registers while one column of A after the other meets one row of B: an outer
 * product each, ROWS broadcasts and two loads for 2 ROWS multiply-adds.
 */
#define vec     REAL(vec)
#define LANES   REAL(LANES)
#define COLUMNS (2 * LANES)

/* ---- packing ---- */

/* to[p][i] = from[i * across + p * along], the matrix turned in registers where it lies along */
AG_INLINE void REAL(pack)(int width, real *to, const real *from, int64_t across, int64_t along, int valid,
                          int64_t depth)
{
    if (across == 1 && valid == width) { /* a row of the panel lies together */
        for (int64_t p = 0; p < depth; p++) memcpy(to + p * width, from + p * along, (size_t)width * sizeof(real));
        return;
    }
    AG_UNROLL
    for (int first = 0; first < width; first += LANES) {
        int n = width - first < LANES ? width - first : LANES; /* a constant in each turn once unrolled */
        int filled = valid - first < 0 ? 0 : valid - first < n ? valid - first : n;
        int64_t p = 0;
        if (filled == 0) break;
        if (along == 1) { /* rows of LANES elements, turned */
            for (; p + LANES <= depth; p += LANES) {
                vec r[LANES];
                AG_UNROLL
                for (int i = 0; i < LANES; i++)
                    r[i] = i < filled ? REAL(load)(from + (first + i) * across + p) : (vec){ 0 };
                REAL(transpose)(r);
                AG_UNROLL
                for (int i = 0; i < LANES; i++) memcpy(to + (p + i) * width + first, &r[i], (size_t)n * sizeof(real));
            }
        }
        for (; p < depth; p++) {
            AG_UNROLL
            for (int i = 0; i < n; i++)
                to[p * width + first + i] = i < filled ? from[(first + i) * across + p * along] : 0;
        }
    }
}

static void REAL(pack_a)(void *to, const void *from, int64_t across, int64_t along, int valid, int64_t depth)
{
    REAL(pack)(ROWS, to, from, across, along, valid, depth);
}
static void REAL(pack_b)(void *to_, const void *from_, int64_t across, int64_t along, int64_t valid, int64_t depth)
{
    real *to = to_;
    const real *from = from_;
    const int64_t panels = valid / COLUMNS, rest = valid % COLUMNS;
    if (across == 1) { /* row by row: memory likes that better than column by column */
        for (int64_t p = 0; p < depth; p++)
            for (int64_t j = 0; j < panels; j++)
                memcpy(to + (j * depth + p) * COLUMNS, from + p * along + j * COLUMNS, COLUMNS * sizeof(real));
    } else {
        for (int64_t j = 0; j < panels; j++)
            REAL(pack)(COLUMNS, to + j * depth * COLUMNS, from + j * COLUMNS * across, across, along, COLUMNS, depth);
    }
    if (rest > 0) REAL(pack)
    (COLUMNS, to + panels * depth * COLUMNS, from + panels * COLUMNS * across, across, along, (int)rest, depth);
}

/* ---- a tile ---- */

/* out[rows][vectors * LANES] = alpha a b + add: `rows` rows of a, `vectors` registers of each row of b. Both are
 * constants where this is called, so that the sums are registers. */
AG_INLINE void REAL(product)(int rows, int vectors, const ag__gemm_tile *t)
{
    vec sum[ROWS][2];
    AG_UNROLL
    for (int i = 0; i < rows; i++) {
        AG_UNROLL
        for (int j = 0; j < vectors; j++) sum[i][j] = (vec){ 0 };
    }
    /* A pointer to every third row: an address can hold one distance, once or twice. */
    const char *a[(ROWS + 2) / 3];
    const real *b = t->b;
    const int64_t a_row = t->a_row * (int64_t)sizeof(real), a_col = t->a_col * (int64_t)sizeof(real), b_row = t->b_row;
    AG_UNROLL
    for (int i = 0; i < rows; i += 3) a[i / 3] = (const char *)t->a + i * a_row;
    real *out = t->out;
    AG_UNROLL
    for (int i = 0; i < rows; i++) {
        AG_UNROLL
        for (int j = 0; j < vectors; j++) __builtin_prefetch(out + i * t->out_row + j * LANES, 1);
    }
    const int64_t ahead = AG_GEMM_AHEAD * a_col, pace = t->pace;
    const real *next = t->next;
    for (int64_t left = t->depth; left > 0; left -= pace) {
        AG_UNROLL
        for (int i = 0; i < AG_GEMM_FETCH; i++, next += b_row) {
            AG_UNROLL
            for (int j = 0; j < vectors; j++) __builtin_prefetch(next + j * LANES, 0, 2);
        }
        for (int64_t p = left < pace ? left : pace; p > 0; p--) {
            vec row[2];
            AG_UNROLL
            for (int j = 0; j < vectors; j++) row[j] = REAL(load)(b + j * LANES);
            b += b_row;
            /* Steps of shorter registers have no time for it. */
            AG_UNROLL
            for (int line = 0; sizeof(vec) == 64 && line < rows * (int)sizeof(real); line += 64)
                __builtin_prefetch(a[0] + ahead + line);
            AG_UNROLL
            for (int i = 0; i < rows; i++) {
                vec x = REAL(splat)(*(const real *)(const void *)(a[i / 3] + i % 3 * a_row));
                AG_UNROLL
                for (int j = 0; j < vectors; j++) sum[i][j] += x * row[j];
            }
            AG_UNROLL
            for (int i = 0; i < rows; i += 3) a[i / 3] += a_col;
        }
    }
    const real *add = t->add;
    const vec alpha = REAL(splat)((real)t->alpha);
    AG_UNROLL
    for (int i = 0; i < rows; i++) {
        AG_UNROLL
        for (int j = 0; j < vectors; j++) {
            vec v = add ? REAL(load)(add + i * t->add_row + j * LANES) + alpha * sum[i][j] : alpha * sum[i][j];
            REAL(store)(out + i * t->out_row + j * LANES, v);
        }
    }
}

/* One function for each size, not inlined: the register allocator sees one loop at a time. */
#define AG_PRODUCT(rows, vectors)                                                                  \
    static __attribute__((noinline)) void REAL(product_##rows##_##vectors)(const ag__gemm_tile *t) \
    {                                                                                              \
        REAL(product)(rows, vectors, t);                                                           \
    }
// clang-format off
#define AG_PRODUCTS(rows) AG_PRODUCT(rows, 1) AG_PRODUCT(rows, 2)
AG_PRODUCTS(1) AG_PRODUCTS(2) AG_PRODUCTS(3) AG_PRODUCTS(4)
#if AG_VECTOR_BYTES >= 32
AG_PRODUCTS(5) AG_PRODUCTS(6)
#endif
#if AG_VECTOR_BYTES >= 64
AG_PRODUCTS(7) AG_PRODUCTS(8) AG_PRODUCTS(9) AG_PRODUCTS(10) AG_PRODUCTS(11) AG_PRODUCTS(12)
#endif

/* by the number of rows */
static void (*const REAL(products)[ROWS + 1][2])(const ag__gemm_tile *t) = {
#define AG_ROW(rows) [rows] = { REAL(product_##rows##_1), REAL(product_##rows##_2) }
    AG_ROW(1), AG_ROW(2), AG_ROW(3), AG_ROW(4),
#if AG_VECTOR_BYTES >= 32
    AG_ROW(5), AG_ROW(6),
#endif
#if AG_VECTOR_BYTES >= 64
    AG_ROW(7), AG_ROW(8), AG_ROW(9), AG_ROW(10), AG_ROW(11), AG_ROW(12),
#endif
#undef AG_ROW
};
// clang-format on
#undef AG_PRODUCTS
#undef AG_PRODUCT

/* All of depth, slice by slice. What is in `t` for the first: out = alpha a b + add. */
static void REAL(slices)(ag__gemm_tile *t, int m, int vectors)
{
    int64_t depth = t->depth;
    for (;;) {
        t->depth = depth < AG_GEMM_SLICE ? depth : AG_GEMM_SLICE;
        REAL(products)[m][vectors - 1](t);
        depth -= t->depth;
        if (depth <= 0) break;
        t->a = (const real *)t->a + t->depth * t->a_col;
        t->b = (const real *)t->b + t->depth * t->b_row;
        t->add = t->out;
        t->add_row = t->out_row;
    }
}

/* sum[m][COLUMNS] = beta D, 0 beyond n */
static void REAL(fill)(const ag__gemm_args *g, int m, int n, int vectors, const real *d, real *sum)
{
    const real beta = (real)g->beta;
    for (int i = 0; i < m; i++, d += g->d_row, sum += COLUMNS) {
        if (g->d_col == 0) { /* a bias */
            for (int j = 0; j < vectors; j++) REAL(store)(sum + j * LANES, REAL(splat)(beta * *d));
            continue;
        }
        for (int j = 0; j < vectors * LANES; j++) sum[j] = j < n ? beta * d[j * g->d_col] : 0;
    }
}

static void REAL(tile)(const ag__gemm_args *g, int m, int n, ag__gemm_tile *t, const void *d, void *c)
{
    _Alignas(64) real sum[ROWS * COLUMNS]; /* [m][COLUMNS] */
    const int vectors = n > LANES ? 2 : 1;
    const bool whole = n == vectors * LANES, direct = whole && g->c_col == 1;
    t->alpha = g->alpha;
    t->add = NULL;
    t->add_row = COLUMNS;
    if (g->beta == 1 && g->d_col == 1 && whole) {
        t->add = d;
        t->add_row = g->d_row;
    } else if (g->beta != 0) {
        REAL(fill)(g, m, n, vectors, d, sum);
        t->add = sum;
    }
    t->out = direct ? c : sum;
    t->out_row = direct ? g->c_row : COLUMNS;
    REAL(slices)(t, m, vectors);
    if (direct) return;
    if (g->c_col == 1) {
        for (int i = 0; i < m; i++) memcpy((real *)c + i * g->c_row, sum + i * COLUMNS, (size_t)n * sizeof(real));
    } else {
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++) ((real *)c)[i * g->c_row + j * g->c_col] = sum[i * COLUMNS + j];
    }
}

/* ---- matrix times vector ---- */

/* out[i] = row i of a, 4 rows of contiguous elements, times x */
AG_INLINE void REAL(dots)(int rows, int64_t depth, const real *a, int64_t a_row, const real *x, real *out)
{
    vec sum[4][2] = { 0 };
    int64_t p = 0;
    for (; p + 2 * LANES <= depth; p += 2 * LANES) {
        vec x0 = REAL(load)(x + p), x1 = REAL(load)(x + p + LANES);
        AG_UNROLL
        for (int i = 0; i < rows; i++) {
            sum[i][0] += REAL(load)(a + i * a_row + p) * x0;
            sum[i][1] += REAL(load)(a + i * a_row + p + LANES) * x1;
        }
    }
    AG_UNROLL
    for (int i = 0; i < rows; i++) {
        real rest = 0;
        for (int64_t q = p; q < depth; q++) rest += a[i * a_row + q] * x[q];
        out[i] = REAL(total)(sum[i][0] + sum[i][1]) + rest;
    }
}

/* out[0 .. vectors * LANES) = the columns of a, that many rows each contiguous, times the elements of x */
AG_INLINE void REAL(columns_times)(int vectors, int64_t depth, const real *a, int64_t a_col, const real *x, real *out)
{
    vec sum[4] = { 0 };
    for (int64_t p = 0; p < depth; p++) {
        vec e = REAL(splat)(x[p]);
        AG_UNROLL
        for (int i = 0; i < vectors; i++) sum[i] += REAL(load)(a + p * a_col + i * LANES) * e;
    }
    AG_UNROLL
    for (int i = 0; i < vectors; i++) REAL(store)(out + i * LANES, sum[i]);
}

static void REAL(times_vector)(const ag__gemm_args *g, int64_t m, const void *a_, const void *x_, const void *d_,
                               void *c_)
{
    const real *a = a_, *x = x_, *d = d_, alpha = (real)g->alpha, beta = (real)g->beta;
    real *c = c_;
    real out[4 * LANES];
    int64_t n;
    for (int64_t i = 0; i < m; i += n) {
        if (g->a_col == 1) {
            n = m - i < 4 ? 1 : 4;
            if (n == 4)
                REAL(dots)(4, g->k, a + i * g->a_row, g->a_row, x, out);
            else
                REAL(dots)(1, g->k, a + i * g->a_row, g->a_row, x, out);
        } else if (m - i >= 4 * LANES) {
            n = 4 * LANES;
            REAL(columns_times)(4, g->k, a + i, g->a_col, x, out);
        } else if (m - i >= LANES) {
            n = LANES;
            REAL(columns_times)(1, g->k, a + i, g->a_col, x, out);
        } else {
            n = m - i;
            for (int64_t r = 0; r < n; r++) out[r] = 0;
            for (int64_t p = 0; p < g->k; p++)
                for (int64_t r = 0; r < n; r++) out[r] += a[i + r + p * g->a_col] * x[p];
        }
        for (int64_t r = 0; r < n; r++) {
            real value = alpha * out[r];
            if (beta != 0) value += beta * d[(i + r) * g->d_row];
            c[(i + r) * g->c_row] = value;
        }
    }
}

AG_ISA_TABLE(ag__gemm_kernels, REAL(ag__gemm)) = {
    .rows = ROWS,
    .columns = COLUMNS,
    .pack_a = REAL(pack_a),
    .pack_b = REAL(pack_b),
    .tile = REAL(tile),
    .times_vector = REAL(times_vector),
};

#undef vec
#undef LANES
#undef COLUMNS
