/* conv2d_depthwise_template.h - read once for each type by conv2d_depthwise_kernel.c, with real and REAL(name). */
#define vec   REAL(vec)
#define LANES REAL(LANES)

/* Elements from e on, n of them in all: whole registers, the last one moved back; of less than one, what there is. */
AG_INLINE int64_t REAL(depthwise_place)(int64_t e, int64_t n) { return e + LANES > n && n >= LANES ? n - LANES : e; }

AG_INLINE void REAL(depthwise_put)(real *to, vec v, int64_t n)
{
    if (n >= LANES)
        REAL(store)(to, v);
    else
        memcpy(to, &v, (size_t)n * sizeof(real));
}

/* `rows` rows from `in` and `out` on, of a kernel kh x kw whose rows lie side by side; all three are constants where
 * this is called. */
AG_INLINE void REAL(depthwise_rows)(const ag__conv_depthwise_run *u, const int rows, const int kh, const int kw,
                                    const real *in, real *out)
{
    const int64_t step = u->dilation[1] * u->inner;
    const vec bias = REAL(splat)(u->bias ? *(const real *)u->bias : 0);
    vec weight[MOST_FIXED];
    AG_UNROLL
    for (int i = 0; i < kh * kw; i++) weight[i] = REAL(splat)(((const real *)u->weights)[i]);
    for (int64_t e = 0; e < u->n; e += LANES) {
        const int64_t place = REAL(depthwise_place)(e, u->n);
        vec sum[ROWS];
        AG_UNROLL
        for (int o = 0; o < rows; o++) sum[o] = (vec){ 0 };
        AG_UNROLL
        for (int i = 0; i < rows + kh - 1; i++) {
            AG_UNROLL
            for (int b = 0; b < kw; b++) {
                const vec x = REAL(load)(in + i * u->in_row + b * step + place);
                AG_UNROLL
                for (int o = 0; o < rows; o++)
                    if (i - o >= 0 && i - o < kh) sum[o] += weight[(i - o) * kw + b] * x;
            }
        }
        AG_UNROLL
        for (int o = 0; o < rows; o++) REAL(depthwise_put)(out + o * u->out_row + place, sum[o] + bias, u->n - place);
    }
}

static void REAL(depthwise_3x3)(const ag__conv_depthwise_run *u)
{
    const real *in = u->in;
    real *out = u->out;
    int64_t y = 0;
    for (; y + ROWS <= u->rows; y += ROWS)
        REAL(depthwise_rows)(u, ROWS, 3, 3, in + y * u->in_row, out + y * u->out_row);
    for (; y < u->rows; y++) REAL(depthwise_rows)(u, 1, 3, 3, in + y * u->in_row, out + y * u->out_row);
}

/* Any kernel: VECTORS registers of one row. */
static void REAL(depthwise_any)(const ag__conv_depthwise_run *u)
{
    const vec bias = REAL(splat)(u->bias ? *(const real *)u->bias : 0);
    const int64_t row = u->dilation[0] * u->in_row, column = u->dilation[1] * u->inner;
    for (int64_t y = 0; y < u->rows; y++) {
        real *out = (real *)u->out + y * u->out_row;
        for (int64_t e = 0; e < u->n; e += VECTORS * LANES) {
            int64_t place[VECTORS];
            vec sum[VECTORS];
            AG_UNROLL
            for (int v = 0; v < VECTORS; v++) {
                place[v] = e + v * LANES < u->n ? REAL(depthwise_place)(e + v * LANES, u->n) : place[0];
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
            for (int v = 0; v < VECTORS; v++) REAL(depthwise_put)(out + place[v], sum[v] + bias, u->n - place[v]);
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

AG_ISA_TABLE(ag__conv2d_depthwise_kernels, REAL(ag__conv2d_depthwise)) = { .run = REAL(depthwise_run) };
#undef vec
#undef LANES
