/* conv2d_flat_template.h - read once for each type by conv2d_flat_kernel.c, with real and REAL(name). */
#define vec   REAL(vec)
#define LANES REAL(LANES)

/* Positions [q, q + vectors * LANES). channels and vectors are constants where this is called, so that the sums are
 * registers. */
AG_INLINE void REAL(flat_tile)(const ag__conv_flat_run *u, int64_t q, const int channels, const int vectors)
{
    vec sum[CHANNELS][MOST_VECTORS];
    AG_UNROLL
    for (int o = 0; o < channels; o++) {
        AG_UNROLL
        for (int v = 0; v < vectors; v++) sum[o][v] = (vec){ 0 };
    }
    for (int64_t t = 0; t < u->taps; t++) {
        const real *in = (const real *)u->in + u->offset[t] + q, *w = (const real *)u->weights + t * u->weights_tap;
        for (int64_t c = u->in_channels; c > 0; c--, in += u->in_channel, w += channels) {
            vec x[MOST_VECTORS];
            AG_UNROLL
            for (int v = 0; v < vectors; v++) x[v] = REAL(load)(in + v * LANES);
            AG_UNROLL
            for (int o = 0; o < channels; o++) {
                const vec weight = REAL(splat)(w[o]);
                AG_UNROLL
                for (int v = 0; v < vectors; v++) sum[o][v] += weight * x[v];
            }
        }
    }
    real *out = (real *)u->out + q;
    if (u->more) {
        AG_UNROLL
        for (int o = 0; o < channels; o++) {
            AG_UNROLL
            for (int v = 0; v < vectors; v++) sum[o][v] = REAL(load)(out + o * u->out_channel + v * LANES) + sum[o][v];
        }
    }
    const real *bias = u->bias;
    const vec least = REAL(splat)(u->relu ? 0 : -(real)INFINITY);
    AG_UNROLL
    for (int o = 0; o < channels; o++) {
        const vec added = REAL(splat)(bias ? bias[o] : -(real)0); /* with which every number stays what it is */
        AG_UNROLL
        for (int v = 0; v < vectors; v++)
            REAL(store)(out + o * u->out_channel + v * LANES, REAL(max)(least, sum[o][v] + added));
    }
}

/* One function for each number of channels, not inlined: the register allocator sees one loop at a time. */
#define AG_FLAT(o, most)                                                                         \
    static __attribute__((noinline)) void REAL(flat_run_##o)(const ag__conv_flat_run *u)         \
    {                                                                                            \
        int64_t q = 0;                                                                           \
        for (; q + (most - 1) * LANES < u->n; q += most * LANES) REAL(flat_tile)(u, q, o, most); \
        for (; q < u->n; q += LANES) REAL(flat_tile)(u, q, o, 1);                                \
    }
AG_FLAT(1, ONE_VECTORS)
AG_FLAT(2, FEW_VECTORS)
AG_FLAT(3, VECTORS)
#if AG_VECTOR_BYTES >= 32
AG_FLAT(4, VECTORS)
#endif
#if AG_VECTOR_BYTES >= 64
AG_FLAT(5, VECTORS)
AG_FLAT(6, VECTORS)
AG_FLAT(7, VECTORS)
AG_FLAT(8, VECTORS)
#endif
#undef AG_FLAT

static void REAL(flat_run)(const ag__conv_flat_run *u)
{
    static void (*const functions[])(const ag__conv_flat_run *) = {
        REAL(flat_run_1),
        REAL(flat_run_2),
        REAL(flat_run_3),
#if AG_VECTOR_BYTES >= 32
        REAL(flat_run_4),
#endif
#if AG_VECTOR_BYTES >= 64
        REAL(flat_run_5),
        REAL(flat_run_6),
        REAL(flat_run_7),
        REAL(flat_run_8),
#endif
    };
    functions[u->channels - 1](u);
}

/* `size` elements, a constant where this is called; from NULL: zeros */
AG_INLINE void REAL(flat_copy_some)(real *to, const real *from, const int64_t size)
{
    if (from)
        memcpy(to, from, (size_t)size * sizeof(real));
    else
        memset(to, 0, (size_t)size * sizeof(real));
}

/* n >= size elements, or fewer than 2 * size of them if `twice`; the last step overlaps the one before, and no other
 * element is touched. */
AG_INLINE void REAL(flat_copy_by)(real *to, const real *from, int64_t n, const int64_t size, const bool twice)
{
    int64_t i = 0;
    do {
        REAL(flat_copy_some)(to + i, from ? from + i : NULL, size);
        i += size;
    } while (!twice && i + size <= n);
    REAL(flat_copy_some)(to + n - size, from ? from + n - size : NULL, size);
}

/* Calls BY(size, twice) with the constants for n > 0 elements. They are written out: gcc leaves a loop over sizes a
 * loop, and copies a number of bytes it does not know with `rep movs`, which takes longer than the convolution. */
#define AG_FLAT_SIZES(n, BY)        \
    if ((n) >= LANES)               \
        BY(LANES, false);           \
    else if (LANES > 8 && (n) >= 8) \
        BY(8, true);                \
    else if (LANES > 4 && (n) >= 4) \
        BY(4, true);                \
    else if (LANES > 2 && (n) >= 2) \
        BY(2, true);                \
    else                            \
        BY(1, true)

AG_INLINE void REAL(flat_copy)(real *to, const real *from, int64_t n)
{
#define AG_BY(size, twice) REAL(flat_copy_by)(to, from, n, size, twice)
    if (n <= 0) return;
    AG_FLAT_SIZES(n, AG_BY);
#undef AG_BY
}

/* to[i] = from[2 * i] for i < n; nothing beyond from[2 * (n - 1)] is read. */
AG_INLINE void REAL(flat_every_second)(real *to, const real *from, int64_t n)
{
    if (n < LANES) {
        for (int64_t i = 0; i < n; i++) to[i] = from[2 * i];
        return;
    }
    for (int64_t i = 0; i < n; i += LANES) {
        if (i > n - LANES) i = n - LANES; /* the last block overlaps the one before */
        REAL(store)(to + i, REAL(AG_EVERY_SECOND)(REAL(load)(from + 2 * i), REAL(load)(from + 2 * i + LANES - 1)));
    }
}

static void REAL(flat_pack_rows)(void *to_, int64_t to_row, int64_t n, int64_t first, int64_t end, const void *from_,
                                 int64_t from_row, int64_t step, int64_t rows)
{
    real *restrict to = to_;
    const real *from = from_;
    for (; rows > 0; rows--, to += to_row, from += from_row) {
        REAL(flat_copy)(to, NULL, first);
        REAL(flat_copy)(to + end, NULL, n - end);
        if (step == 1)
            REAL(flat_copy)(to + first, from, end - first);
        else if (step == 2)
            REAL(flat_every_second)(to + first, from, end - first);
        else if (step == 3)
            for (int64_t i = first; i < end; i++) to[i] = from[(i - first) * 3];
        else
            for (int64_t i = first; i < end; i++) to[i] = from[(i - first) * step];
    }
}

AG_INLINE void REAL(flat_copy_runs_by)(real *to, int64_t to_step, const real *from, int64_t from_step, int64_t run,
                                       int64_t n, const int64_t size, const bool twice)
{
    enum { AHEAD = 16 };
    for (int64_t i = 0; i < n; i++, to += to_step, from += from_step) {
        __builtin_prefetch((const void *)((uintptr_t)from + (uintptr_t)(AHEAD * from_step) * sizeof(real)));
        REAL(flat_copy_by)(to, from, run, size, twice);
    }
}

static void REAL(flat_copy_runs)(void *to, int64_t to_step, const void *from, int64_t from_step, int64_t run, int64_t n)
{
#define AG_BY(size, twice) REAL(flat_copy_runs_by)(to, to_step, from, from_step, run, n, size, twice)
    if (run <= 0) return;
    AG_FLAT_SIZES(run, AG_BY);
#undef AG_BY
}
#undef AG_FLAT_SIZES

AG_ISA_TABLE(ag__conv2d_flat_kernels, REAL(ag__conv2d_flat)) = {
    .channels = CHANNELS,
    .run = REAL(flat_run),
    .pack_rows = REAL(flat_pack_rows),
    .copy_runs = REAL(flat_copy_runs),
};
#undef vec
#undef LANES
