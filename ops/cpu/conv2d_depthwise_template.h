/* conv2d_depthwise_template.h - read once for each type by conv2d_depthwise_kernel.c, with real and REAL(name). */
#define vec   REAL(vec)
#define LANES REAL(LANES)

/* Elements from e on, n of them in all: whole registers, the last one moved back; of less than one, what there is. */
AG_INLINE int64_t REAL(depthwise_place)(int64_t e, int64_t n) { return e + LANES > n && n >= LANES ? n - LANES : e; }

/* So much of it as a row of n has. */
AG_INLINE void REAL(depthwise_put)(real *to, vec v, int64_t n)
{
    if (n >= LANES)
        REAL(store)(to, v);
    else
        REAL(store_first)(to, v, (int)n);
}

/* Asks for rows that are soon needed, of the numbers of rows at hand. */
AG_INLINE void REAL(depthwise_ask)(const ag__conv_depthwise_run *u, int64_t y, int64_t rows)
{
    if (!u->next_in) return;
    const real *in = (const real *)u->next_in + y * u->next_in_row, *out = (const real *)u->next_out + y * u->out_row;
    for (; rows > 0; rows--, in += u->next_in_row, out += u->out_row) {
        for (int64_t e = 0; e < u->n; e += LANES) {
            __builtin_prefetch(in + e, 0, 2);
            __builtin_prefetch(out + e, 1, 2);
        }
    }
}

/* `rows` rows from `in` and `out` on, of a kernel kh x kw whose rows lie side by side; all three are constants where
 * this is called. */
AG_INLINE void REAL(depthwise_rows)(const ag__conv_depthwise_run *u, const int rows, const int kh, const int kw,
                                    const real *in, real *out)
{
    const int64_t n = u->n, in_row = u->in_row, out_row = u->out_row, step = u->dilation[1] * u->inner;
    const vec bias = REAL(splat)(u->bias ? *(const real *)u->bias : 0),
              least = REAL(splat)(u->relu ? 0 : -(real)INFINITY);
    vec weight[MOST_FIXED];
    AG_UNROLL
    for (int i = 0; i < kh * kw; i++) weight[i] = REAL(splat)(((const real *)u->weights)[i]);
    for (int64_t e = 0; e < n; e += LANES) {
        const int64_t place = REAL(depthwise_place)(e, n);
        vec sum[ROWS];
        AG_UNROLL
        for (int o = 0; o < rows; o++) sum[o] = (vec){ 0 };
        AG_UNROLL
        for (int i = 0; i < rows + kh - 1; i++) {
            AG_UNROLL
            for (int b = 0; b < kw; b++) {
                const vec x = REAL(load)(in + i * in_row + b * step + place);
                AG_UNROLL
                for (int o = 0; o < rows; o++)
                    if (i - o >= 0 && i - o < kh) sum[o] += weight[(i - o) * kw + b] * x;
            }
        }
        AG_UNROLL
        for (int o = 0; o < rows; o++)
            REAL(depthwise_put)(out + o * out_row + place, REAL(max)(least, sum[o] + bias), n);
    }
}

static void REAL(depthwise_3x3)(const ag__conv_depthwise_run *u)
{
    const real *in = u->in;
    real *out = u->out;
    int64_t y = 0;
    for (; y + ROWS <= u->rows; y += ROWS) {
        REAL(depthwise_ask)(u, y, ROWS);
        REAL(depthwise_rows)(u, ROWS, 3, 3, in + y * u->in_row, out + y * u->out_row);
    }
    REAL(depthwise_ask)(u, y, u->rows - y);
    for (; y < u->rows; y++) REAL(depthwise_rows)(u, 1, 3, 3, in + y * u->in_row, out + y * u->out_row);
}

/* Any kernel: VECTORS registers of one row. */
static void REAL(depthwise_any)(const ag__conv_depthwise_run *u)
{
    const vec bias = REAL(splat)(u->bias ? *(const real *)u->bias : 0),
              least = REAL(splat)(u->relu ? 0 : -(real)INFINITY);
    const int64_t n = u->n, row = u->dilation[0] * u->in_row, column = u->dilation[1] * u->inner;
    for (int64_t y = 0; y < u->rows; y++) {
        real *out = (real *)u->out + y * u->out_row;
        REAL(depthwise_ask)(u, y, 1);
        for (int64_t e = 0; e < n; e += VECTORS * LANES) {
            int64_t place[VECTORS];
            vec sum[VECTORS];
            AG_UNROLL
            for (int v = 0; v < VECTORS; v++) {
                place[v] = e + v * LANES < n ? REAL(depthwise_place)(e + v * LANES, n) : place[0];
                sum[v] = (vec){ 0 };
            }
            const real *in = (const real *)u->in + y * u->in_row, *weight = u->weights;
            for (int64_t a = 0; a < u->kernel[0]; a++, in += row) {
                const real *x = in;
                for (int64_t b = 0; b < u->kernel[1]; b++, x += column, weight++) {
                    const vec w = REAL(splat)(*weight);
                    AG_UNROLL
                    for (int v = 0; v < VECTORS; v++) sum[v] += w * REAL(load)(x + place[v]);
                }
            }
            AG_UNROLL
            for (int v = 0; v < VECTORS; v++) REAL(depthwise_put)(out + place[v], REAL(max)(least, sum[v] + bias), n);
        }
    }
}

static void REAL(depthwise_run)(const ag__conv_depthwise_run *u)
{
    if (u->kernel[0] == 3 && u->kernel[1] == 3 && u->dilation[0] == 1)
        REAL(depthwise_3x3)(u);
    else
        REAL(depthwise_any)(u);
}

/* ---- the weight's gradient ---- */

/* A register of a row; of its last one the first `some` lanes, and zeros. */
AG_INLINE vec REAL(depthwise_get)(const real *p, bool whole, int some)
{
    return whole ? REAL(load)(p) : REAL(load_first)(p, some, 0);
}

/* Kernel rows and columns whose sums are registers, with a register for each row's gradient and one for the input.
 * ALL_TILES: as in conv2d_tiles.h. */
#define MOST_HIGH REAL(MOST_HIGH)
#define MOST_WIDE REAL(MOST_WIDE)
enum { MOST_HIGH = AG_VECTOR_BYTES == 64 && ALL_TILES ? 5 : 3, MOST_WIDE = MOST_HIGH };

/* A part of a kernel, `high` rows of `wide` columns, meets a register of a row of the input; `gradient` is what its
 * first row meets. */
AG_INLINE void REAL(depthwise_meet)(int high, int wide, const ag__conv_depthwise_weight_run *u, const real *in,
                                    const real *gradient, bool whole, int some, vec sum[MOST_HIGH][MOST_WIDE])
{
    const int64_t up = u->dilation[0] * u->gradient_row, step = u->dilation[1] * u->inner;
    vec g[MOST_HIGH];
    AG_UNROLL
    for (int a = 0; a < high; a++) {
        g[a] = REAL(depthwise_get)(gradient - a * up, whole, some);
        AG_IN_REGISTER(g[a]);
    }
    AG_UNROLL
    for (int b = 0; b < wide; b++) {
        vec x = REAL(depthwise_get)(in + b * step, whole, some);
        AG_IN_REGISTER(x);
        AG_UNROLL
        for (int a = 0; a < high; a++) sum[a][b] += g[a] * x;
    }
}

/* `rows` rows of the input; high and wide are constants where this is called, so that the sums are registers. */
AG_INLINE void REAL(depthwise_sums)(int high, int wide, const ag__conv_depthwise_weight_run *u, int64_t rows,
                                    const real *in, const real *gradient, real *sums)
{
    vec sum[MOST_HIGH][MOST_WIDE];
    AG_UNROLL
    for (int a = 0; a < high; a++) {
        AG_UNROLL
        for (int b = 0; b < wide; b++) sum[a][b] = REAL(load)(sums + (a * u->kernel[1] + b) * LANES);
    }
    const int64_t n = u->n / LANES * LANES;
    const int some = (int)(u->n - n);
    const real *next_in = u->next_in, *next_gradient = u->next_gradient;
    for (; rows > 0; rows--, in += u->in_row, gradient += u->gradient_row) {
        if (high > 1 && next_in) {
            for (int64_t e = 0; e < u->n; e += LANES) {
                __builtin_prefetch(next_in + e, 0, 2);
                __builtin_prefetch(next_gradient + e, 0, 2);
            }
            next_in += u->next_in_row;
            next_gradient += u->gradient_row;
        }
        for (int64_t e = 0; e < n; e += LANES)
            REAL(depthwise_meet)(high, wide, u, in + e, gradient + e, true, LANES, sum);
        if (some) REAL(depthwise_meet)(high, wide, u, in + n, gradient + n, false, some, sum);
    }
    AG_UNROLL
    for (int a = 0; a < high; a++) {
        AG_UNROLL
        for (int b = 0; b < wide; b++) REAL(store)(sums + (a * u->kernel[1] + b) * LANES, sum[a][b]);
    }
}

/* One function for each size, not inlined: the register allocator sees one loop at a time. */
typedef void REAL(depthwise_sums_function)(const ag__conv_depthwise_weight_run *u, int64_t rows, const real *in,
                                           const real *gradient, real *sums);
#define AG_SUMS(high, wide)                                                                                     \
    static __attribute__((noinline)) void REAL(depthwise_sums_##high##_##wide)(                                 \
        const ag__conv_depthwise_weight_run *u, int64_t rows, const real *in, const real *gradient, real *sums) \
    {                                                                                                           \
        REAL(depthwise_sums)(high, wide, u, rows, in, gradient, sums);                                          \
    }
// clang-format off
#if AG_VECTOR_BYTES == 64 && ALL_TILES
#define AG_WIDE_SUMS(F, high) F(high, 1) F(high, 2) F(high, 3) F(high, 4) F(high, 5)
#define AG_ALL_SUMS(F) F(1) F(2) F(3) F(4) F(5)
#else
#define AG_WIDE_SUMS(F, high) F(high, 1) F(high, 2) F(high, 3)
#define AG_ALL_SUMS(F) F(1) F(2) F(3)
#endif
#define AG_DEFINE(high) AG_WIDE_SUMS(AG_SUMS, high)
AG_ALL_SUMS(AG_DEFINE)
#define AG_SUMS_ENTRY(high, wide) [wide] = REAL(depthwise_sums_##high##_##wide),
#define AG_SUMS_LIST(high) [high] = { AG_WIDE_SUMS(AG_SUMS_ENTRY, high) },
// clang-format on
static REAL(depthwise_sums_function) *const
    REAL(depthwise_sums_functions)[MOST_HIGH + 1][MOST_WIDE + 1] = { AG_ALL_SUMS(AG_SUMS_LIST) };
#undef AG_SUMS
#undef AG_WIDE_SUMS
#undef AG_ALL_SUMS
#undef AG_DEFINE
#undef AG_SUMS_ENTRY
#undef AG_SUMS_LIST

/* A part of the kernel from this row and column on. Rows of the input that all its kernel rows meet go through
 * together, the others for each kernel row. */
static void REAL(depthwise_part)(const ag__conv_depthwise_weight_run *u, int high, int wide, int64_t row,
                                 int64_t column)
{
    const int64_t down = u->dilation[0], beyond = (high - 1) * down;
    const real *in = (const real *)u->in + row * down * u->in_row + column * u->dilation[1] * u->inner,
               *gradient = u->gradient;
    real *sums = (real *)u->sums + (row * u->kernel[1] + column) * LANES;
    for (int64_t a = 0; a < high && high > 1; a++) {
        const int64_t first = smaller((high - 1 - a) * down, u->rows), second = larger(first, u->rows - a * down);
        const real *met = in + a * down * u->in_row;
        real *sum = sums + a * u->kernel[1] * LANES;
        REAL(depthwise_sums_function) *const add = REAL(depthwise_sums_functions)[1][wide];
        if (first > 0) add(u, first, met, gradient, sum);
        if (second < u->rows)
            add(u, u->rows - second, met + second * u->in_row, gradient + second * u->gradient_row, sum);
    }
    REAL(depthwise_sums_function) *const add = REAL(depthwise_sums_functions)[high][wide];
    if (u->rows > beyond) add(u, u->rows - beyond, in + beyond * u->in_row, gradient + beyond * u->gradient_row, sums);
}

static void REAL(depthwise_weight_run)(const ag__conv_depthwise_weight_run *u)
{
    const int64_t high = u->kernel[0], wide = u->kernel[1],
                  parts[2] = { (high + MOST_HIGH - 1) / MOST_HIGH, (wide + MOST_WIDE - 1) / MOST_WIDE };
    for (int64_t i = 0; i < parts[0]; i++) {
        const int64_t a = high * i / parts[0], a_end = high * (i + 1) / parts[0];
        for (int64_t j = 0; j < parts[1]; j++) {
            const int64_t b = wide * j / parts[1], b_end = wide * (j + 1) / parts[1];
            REAL(depthwise_part)(u, (int)(a_end - a), (int)(b_end - b), a, b);
        }
    }
}

AG_ISA_TABLE(ag__conv2d_depthwise_kernels, REAL(ag__conv2d_depthwise)) = {
    .run = REAL(depthwise_run),
    .weight_run = REAL(depthwise_weight_run),
};
#undef MOST_HIGH
#undef MOST_WIDE
#undef vec
#undef LANES
