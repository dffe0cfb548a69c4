/* gemm_template.h - read once for each type by gemm_kernel.c, with real and REAL(name).
 *
 * A tile of C, ROWS x COLUMNS, stays in registers while one column of A's panel after the other meets one row of B's
 * panel: an outer product each, ROWS broadcasts and two loads for 2 ROWS multiply-adds. */
#define vec     REAL(vec)
#define LANES   REAL(LANES)
#define COLUMNS (2 * LANES)

/* ---- packing ---- */

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
        if (along == 1 && filled > 0) { /* rows of LANES elements, turned */
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
        for (; p < depth; p++)
            for (int i = 0; i < n; i++)
                to[p * width + first + i] = i < filled ? from[(first + i) * across + p * along] : 0;
    }
}

static void REAL(pack_a)(void *to, const void *from, int64_t across, int64_t along, int valid, int64_t depth)
{
    REAL(pack)(ROWS, to, from, across, along, valid, depth);
}
static void REAL(pack_b)(void *to, const void *from, int64_t across, int64_t along, int valid, int64_t depth)
{
    REAL(pack)(COLUMNS, to, from, across, along, valid, depth);
}

/* ---- a tile ---- */

/* out[rows][2 LANES] = product of the panels: `rows` rows of a, `vectors` registers of each row of b. Both are
 * constants where this is called, so that the accumulators are registers. */
AG_INLINE void REAL(product)(int rows, int vectors, int64_t depth, const real *a, const real *b, real *out)
{
    vec sum[ROWS][2];
    AG_UNROLL
    for (int i = 0; i < rows; i++) {
        AG_UNROLL
        for (int j = 0; j < vectors; j++) sum[i][j] = (vec){ 0 };
    }
    for (int64_t p = 0; p < depth; p++, a += ROWS, b += COLUMNS) {
        vec row[2];
        AG_UNROLL
        for (int j = 0; j < vectors; j++) row[j] = REAL(load)(b + j * LANES);
        AG_UNROLL
        for (int i = 0; i < rows; i++) {
            vec x = REAL(splat)(a[i]);
            AG_UNROLL
            for (int j = 0; j < vectors; j++) sum[i][j] += x * row[j];
        }
    }
    AG_UNROLL
    for (int i = 0; i < rows; i++) {
        AG_UNROLL
        for (int j = 0; j < vectors; j++) REAL(store)(out + i * COLUMNS + j * LANES, sum[i][j]);
    }
}

/* One function for each size, not inlined: the register allocator sees one loop at a time. */
#define AG_PRODUCT(rows, vectors)                                                                        \
    static __attribute__((noinline)) void REAL(product_##rows##_##vectors)(int64_t depth, const real *a, \
                                                                           const real *b, real *out)     \
    {                                                                                                    \
        REAL(product)(rows, vectors, depth, a, b, out);                                                  \
    }
// clang-format off
#define AG_PRODUCTS(rows) AG_PRODUCT(rows, 1) AG_PRODUCT(rows, 2)
AG_PRODUCTS(1) AG_PRODUCTS(2) AG_PRODUCTS(3) AG_PRODUCTS(4)
#if AG_VECTOR_BYTES >= 32
AG_PRODUCTS(6)
#endif
#if AG_VECTOR_BYTES >= 64
AG_PRODUCTS(8) AG_PRODUCTS(10) AG_PRODUCTS(12)
#endif

/* by the number of rows; the panel of A has zeros in the rows beyond */
static void (*const REAL(products)[ROWS + 1][2])(int64_t depth, const real *a, const real *b, real *out) = {
#define AG_ROW(rows) { REAL(product_##rows##_1), REAL(product_##rows##_2) }
    [1] = AG_ROW(1), [2] = AG_ROW(2), [3] = AG_ROW(3), [4] = AG_ROW(4),
#if AG_VECTOR_BYTES >= 32
    [5] = AG_ROW(6), [6] = AG_ROW(6),
#endif
#if AG_VECTOR_BYTES >= 64
    [7] = AG_ROW(8), [8] = AG_ROW(8), [9] = AG_ROW(10), [10] = AG_ROW(10), [11] = AG_ROW(12), [12] = AG_ROW(12),
#endif
#undef AG_ROW
};
// clang-format on
#undef AG_PRODUCTS
#undef AG_PRODUCT

static void REAL(tile)(const ag__gemm_args *g, int m, int n, int64_t depth, const void *a, const void *b, const void *d,
                       void *c)
{
    _Alignas(64) real sum[ROWS * COLUMNS], out[ROWS * COLUMNS];
    const real alpha = (real)g->alpha, beta = (real)g->beta;
    for (int i = 0; i < m; i++) {
        real *row = sum + i * COLUMNS;
        const real *d_row = beta != 0 ? (const real *)d + i * g->d_row : NULL;
        if (!d_row)
            memset(row, 0, (size_t)n * sizeof(real));
        else if (g->d_col == 1)
            for (int j = 0; j < n; j++) row[j] = beta * d_row[j];
        else
            for (int j = 0; j < n; j++) row[j] = beta * d_row[j * g->d_col];
    }
    for (int64_t p = 0; p < depth; p += AG_GEMM_SLICE) {
        const int64_t some = depth - p < AG_GEMM_SLICE ? depth - p : AG_GEMM_SLICE;
        REAL(products)[m][n > LANES](some, (const real *)a + p * ROWS, (const real *)b + p * COLUMNS, out);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) sum[i * COLUMNS + j] += alpha * out[i * COLUMNS + j];
    }
    for (int i = 0; i < m; i++) {
        const real *row = sum + i * COLUMNS;
        real *c_row = (real *)c + i * g->c_row;
        if (g->c_col == 1)
            memcpy(c_row, row, (size_t)n * sizeof(real));
        else
            for (int j = 0; j < n; j++) c_row[j * g->c_col] = row[j];
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
