/* conv2d_depthwise_template.h - read once for each type by conv2d_depthwise_kernel.c, with real and REAL(name). */
#define vec   REAL(vec)
#define LANES REAL(LANES)

/* n elements that meet kernel rows [a[0], a[1]) and columns [b[0], b[1]); in: what the first meets at [0][0]. */
AG_INLINE void REAL(depthwise_some)(const ag__conv_depthwise_run *u, const real *in, const int64_t *a, const int64_t *b,
                                    int64_t n, real *out)
{
    const real bias = u->bias ? *(const real *)u->bias : 0, *weights = u->weights;
    const int64_t row = u->dilation[0] * u->in_row, column = u->dilation[1] * u->inner;
    if (n < LANES) {
        for (int64_t i = 0; i < n; i++) {
            real sum = 0;
            for (int64_t r = a[0]; r < a[1]; r++)
                for (int64_t c = b[0]; c < b[1]; c++)
                    sum += weights[r * u->kernel[1] + c] * in[r * row + c * column + i];
            out[i] = sum + bias;
        }
        return;
    }
    for (int64_t i = 0; i < n; i += VECTORS * LANES) { /* what would go beyond the end is moved back */
        int64_t place[VECTORS];
        vec sum[VECTORS];
        AG_UNROLL
        for (int v = 0; v < VECTORS; v++) {
            place[v] = i + v * LANES < n - LANES ? i + v * LANES : n - LANES;
            sum[v] = (vec){ 0 };
        }
        for (int64_t r = a[0]; r < a[1]; r++) {
            const real *x = in + r * row + b[0] * column, *w = weights + r * u->kernel[1] + b[0];
            for (int64_t c = b[0]; c < b[1]; c++, x += column, w++) {
                const vec weight = REAL(splat)(*w);
                AG_UNROLL
                for (int v = 0; v < VECTORS; v++) sum[v] += weight * REAL(load)(x + place[v]);
            }
        }
        AG_UNROLL
        for (int v = 0; v < VECTORS; v++) REAL(store)(out + place[v], sum[v] + REAL(splat)(bias));
    }
}

/* Kernel positions [range[0], range[1]) at which output `at` meets input. */
AG_INLINE void REAL(depthwise_met)(const ag__conv_depthwise_run *u, int which, int64_t at, int64_t *range)
{
    const int64_t first = at - u->padding[which], d = u->dilation[which];
    range[0] = 0;
    range[1] = u->kernel[which];
    while (range[0] < range[1] && first + range[0] * d < 0) range[0]++;
    while (range[0] < range[1] && first + (range[1] - 1) * d >= u->in_size[which]) range[1]--;
}

static void REAL(depthwise_rows)(const ag__conv_depthwise_run *u)
{
    const int64_t wide = u->out_columns;
    int64_t left = u->padding[1] < 0 ? 0 : u->padding[1], /* columns [left, right) meet all of the kernel */
        right = u->in_size[1] - (u->kernel[1] - 1) * u->dilation[1] + u->padding[1];
    if (left > wide) left = wide;
    if (right > wide) right = wide;
    if (right < left) right = left;
    const int64_t all[2] = { 0, u->kernel[1] };
    for (int64_t y = u->rows[0]; y < u->rows[1]; y++) {
        int64_t a[2], b[2];
        REAL(depthwise_met)(u, 0, y, a);
        const real *in = (const real *)((uintptr_t)u->in +
                                        (uintptr_t)((y - u->padding[0]) * u->in_row - u->padding[1] * u->inner) *
                                            sizeof(real));
        real *out = (real *)u->out + y * u->out_row;
        for (int64_t edge = 0; edge < wide - (right - left); edge++) {
            const int64_t x = edge < left ? edge : edge + (right - left);
            REAL(depthwise_met)(u, 1, x, b);
            REAL(depthwise_some)(u, in + x * u->inner, a, b, u->inner, out + x * u->inner);
        }
        REAL(depthwise_some)(u, in + left * u->inner, a, all, (right - left) * u->inner, out + left * u->inner);
    }
}

/* Where few elements are an edge, single ones would take longer than the rest of the row: rows are copied between zeros
 * first, as many as stay in the first-level cache. */
static void REAL(depthwise_run)(const ag__conv_depthwise_run *u)
{
    enum { ROOM = 24576 / sizeof(real) };
    const int64_t columns = u->out_columns + (u->kernel[1] - 1) * u->dilation[1], pitch = columns * u->inner,
                  reach = (u->kernel[0] - 1) * u->dilation[0], most = ROOM / pitch - reach;
    if (u->inner >= LANES || most < 1 || most * 4 < reach) {
        REAL(depthwise_rows)(u);
        return;
    }
    real strip[ROOM]; /* [row][column][inner] */
    int64_t first = u->padding[1] < 0 ? 0 : u->padding[1], end = u->in_size[1] + u->padding[1];
    if (end > columns) end = columns;
    if (end < first) first = end = 0;
    const size_t middle = (size_t)((end - first) * u->inner) * sizeof(real);
    for (int64_t y0 = u->rows[0]; y0 < u->rows[1]; y0 += most) {
        const int64_t rows = u->rows[1] - y0 < most ? u->rows[1] - y0 : most;
        for (int64_t i = 0; i < rows + reach; i++) {
            const int64_t row = y0 + i - u->padding[0];
            real *to = strip + i * pitch;
            const bool inside = row >= 0 && row < u->in_size[0] && end > first;
            for (int64_t x = 0; x < (inside ? first * u->inner : pitch); x++) to[x] = 0;
            if (!inside) continue;
            memcpy(to + first * u->inner, (const real *)u->in + row * u->in_row + (first - u->padding[1]) * u->inner,
                   middle);
            for (int64_t x = end * u->inner; x < pitch; x++) to[x] = 0;
        }
        ag__conv_depthwise_run some = *u;
        some.rows[0] = 0;
        some.rows[1] = rows;
        some.in_size[0] = rows + reach;
        some.in_size[1] = columns;
        some.padding[0] = some.padding[1] = 0;
        some.in = strip;
        some.in_row = pitch;
        some.out = (real *)u->out + y0 * u->out_row;
        REAL(depthwise_rows)(&some);
    }
}

AG_ISA_TABLE(ag__conv2d_depthwise_kernels, REAL(ag__conv2d_depthwise)) = { .run = REAL(depthwise_run) };
#undef vec
#undef LANES
