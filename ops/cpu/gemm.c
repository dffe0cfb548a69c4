/* gemm.c - how a matrix product is cut up.
 *
 * C is cut into tiles that stay in registers, A and B are packed once into panels that a tile reads from front to back:
 *
 *     for blocks of C and of k:   pack panels of A and B (in parallel)
 *                                 tiles of C, each a task or a few to a task (in parallel)
 *
 * All strides are dealt with by the packing and by a tile's store. An element is summed in slices (AG_GEMM_SLICE), so k
 * is cut where slices end, and the result does not depend on where. The cuts depend on the shape alone. Three shapes go
 * other ways: with a vector nothing is packed; many small products are shared out whole; and a small C with a long k is
 * cut along k, the partial results added in order.
 */
#include "ops/cpu/gemm.h"
#include "ops/cpu/isa.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"

#include <string.h>

AG_ISA_TABLES(ag__gemm_kernels, ag__gemm_f32)
AG_ISA_TABLES(ag__gemm_kernels, ag__gemm_f64)

enum {
    PACK_AT_ONCE = 4 << 20, /* bytes of A and B up to which all of k is packed at once */
    BLOCK_M = 1536,
    BLOCK_N = 2048,
    BLOCK_K = 3 * AG_GEMM_SLICE, /* of floats */
    TASK = 1 << 20,              /* multiply-adds worth a task */
    SLOTS = 32,                  /* work spaces for products that run side by side */
};

static inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
/* The length of the pieces if n is cut into as few nearly equal ones as are no longer than most. */
static inline int64_t even_cut(int64_t n, int64_t most) { return ceil_div(n, ceil_div(n, most)); }

typedef struct {
    const ag__gemm_args *g;
    const ag__gemm_kernels *kernels;
    size_t size; /* of an element */

    int64_t block_m, block_n, block_k; /* longest */
    char *a_panels, *b_panels;

    /* the block at hand */
    ag__gemm_args now; /* the pointers at its corner; after the first block of k what is added is C */
    int64_t m, n, k, n_a, n_b;
    int64_t task_a, task_b; /* panels a task takes */
} plan;

static const void *at(const void *p, int64_t elements, size_t size)
{
    return (const char *)p + elements * (int64_t)size;
}

static bool is_matrix_vector(const ag__gemm_args *g) { return g->n == 1 && (g->a_row == 1 || g->a_col == 1); }

/* A vector times a matrix is the transposed matrix times the vector. */
static ag__gemm_args vector_last(const ag__gemm_args *args)
{
    ag__gemm_args g = *args;
    if (g.m != 1 || g.n == 1) return g;
    // clang-format off
    g.m = args->n; g.n = 1;
    g.a = args->b; g.a_row = args->b_col; g.a_col = args->b_row; g.a_batch = args->b_batch;
    g.b = args->a; g.b_row = args->a_col; g.b_col = args->a_row; g.b_batch = args->a_batch;
    g.d_row = args->d_col; g.d_col = args->d_row;
    g.c_row = args->c_col; g.c_col = args->c_row;
    // clang-format on
    return g;
}

static void cut(plan *p, const ag__gemm_args *g, const ag__gemm_kernels *kernels)
{
    p->g = g;
    p->kernels = kernels;
    p->size = g->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double);
    p->block_m = min(g->m, even_cut(g->m, BLOCK_M));
    p->block_n = min(g->n, even_cut(g->n, BLOCK_N));
    bool small = (double)(p->block_m + p->block_n) * (double)g->k * (double)p->size <= PACK_AT_ONCE;
    p->block_k = small ? g->k : min(g->k, p->size == sizeof(float) ? BLOCK_K : BLOCK_K / 3 * 2);
    p->block_m = ceil_div(p->block_m, kernels->rows) * kernels->rows;
    p->block_n = ceil_div(p->block_n, kernels->columns) * kernels->columns;
}

/* Bytes of work space for one product. */
static size_t space_for(const ag__gemm_args *g, const ag__gemm_kernels *kernels)
{
    plan p;
    cut(&p, g, kernels);
    size_t elements = is_matrix_vector(g) ? (size_t)g->k : (size_t)((p.block_m + p.block_n) * p.block_k);
    return (elements * p.size + 63) / 64 * 64;
}

static void pack_panels(void *user, int64_t begin, int64_t end)
{
    const plan *p = user;
    const ag__gemm_args *g = &p->now;
    for (int64_t i = begin; i < end; i++) {
        if (i < p->n_a) {
            int64_t row = i * p->kernels->rows;
            p->kernels->pack_a(p->a_panels + row * p->k * (int64_t)p->size, at(g->a, row * g->a_row, p->size), g->a_row,
                               g->a_col, (int)min(p->m - row, p->kernels->rows), p->k);
        } else {
            int64_t column = (i - p->n_a) * p->kernels->columns;
            p->kernels->pack_b(p->b_panels + column * p->k * (int64_t)p->size, at(g->b, column * g->b_col, p->size),
                               g->b_col, g->b_row, (int)min(p->n - column, p->kernels->columns), p->k);
        }
    }
}

/* Task t: task_a panels of A by task_b panels of B; the tasks go down the columns of C. */
static void tiles(void *user, int64_t begin, int64_t end)
{
    const plan *p = user;
    const ag__gemm_args *g = &p->now;
    const int64_t down = ceil_div(p->n_a, p->task_a);
    for (int64_t t = begin; t < end; t++) {
        const int64_t a0 = t % down * p->task_a, b0 = t / down * p->task_b;
        for (int64_t j = b0; j < min(b0 + p->task_b, p->n_b); j++) {
            for (int64_t i = a0; i < min(a0 + p->task_a, p->n_a); i++) {
                const int64_t row = i * p->kernels->rows, column = j * p->kernels->columns;
                p->kernels->tile(
                    g, (int)min(p->m - row, p->kernels->rows), (int)min(p->n - column, p->kernels->columns), p->k,
                    p->a_panels + row * p->k * (int64_t)p->size, p->b_panels + column * p->k * (int64_t)p->size,
                    g->beta != 0 ? at(g->d, row * g->d_row + column * g->d_col, p->size) : NULL,
                    (void *)(uintptr_t)at(g->c, row * g->c_row + column * g->c_col, p->size));
            }
        }
    }
}

/* m0, n0, k0: the corner of the block. */
static void multiply_block(plan *p, int64_t m0, int64_t n0, int64_t k0)
{
    const ag__gemm_args *g = p->g;
    const size_t size = p->size;
    p->m = min(p->block_m, g->m - m0);
    p->n = min(p->block_n, g->n - n0);
    p->k = min(p->block_k, g->k - k0);
    p->n_a = ceil_div(p->m, p->kernels->rows);
    p->n_b = ceil_div(p->n, p->kernels->columns);

    ag__gemm_args *now = &p->now;
    *now = *g;
    now->a = at(g->a, m0 * g->a_row + k0 * g->a_col, size);
    now->b = at(g->b, k0 * g->b_row + n0 * g->b_col, size);
    now->c = (void *)(uintptr_t)at(g->c, m0 * g->c_row + n0 * g->c_col, size);
    if (k0 > 0) {
        now->d = now->c;
        now->d_row = now->c_row;
        now->d_col = now->c_col;
        now->beta = 1;
    } else if (g->beta != 0) {
        now->d = at(g->d, m0 * g->d_row + n0 * g->d_col, size);
    }

    const int64_t tile = p->kernels->rows * p->kernels->columns * max(p->k, 1);
    p->task_b = min(p->n_b, min(4, max(1, TASK / tile)));
    p->task_a = min(p->n_a, max(1, TASK / (tile * p->task_b)));
    ag__parallel_for(p->n_a + p->n_b, max(1, TASK / 32 / (max(p->k, 1) * p->kernels->columns)), pack_panels, p);
    ag__parallel_for(ceil_div(p->n_a, p->task_a) * ceil_div(p->n_b, p->task_b), 1, tiles, p);
}

/* ---- matrix times vector ---- */

typedef struct {
    const ag__gemm_args *g;
    const ag__gemm_kernels *kernels;
    const void *x;
    size_t size;
} vector_plan;

static void vector_rows(void *user, int64_t begin, int64_t end)
{
    const vector_plan *p = user;
    const ag__gemm_args *g = p->g;
    p->kernels->times_vector(g, end - begin, at(g->a, begin * g->a_row, p->size), p->x,
                             g->beta != 0 ? at(g->d, begin * g->d_row, p->size) : NULL,
                             (void *)(uintptr_t)at(g->c, begin * g->c_row, p->size));
}

static void multiply_vector(const ag__gemm_args *g, const ag__gemm_kernels *kernels, char *space)
{
    vector_plan p = { g, kernels, g->b, g->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double) };
    if (g->b_row != 1) {
        for (int64_t i = 0; i < g->k; i++) memcpy(space + i * (int64_t)p.size, at(g->b, i * g->b_row, p.size), p.size);
        p.x = space;
    }
    int64_t grain = max(1, TASK / 8 / max(g->k, 1)); /* a memory-bound loop: 1/8 of the arithmetic takes as long */
    ag__parallel_for(g->m, ceil_div(grain, 64) * 64, vector_rows, &p);
}

/* ---- one product ---- */

static void multiply(const ag__gemm_args *g, const ag__gemm_kernels *kernels, char *space)
{
    if (is_matrix_vector(g)) {
        multiply_vector(g, kernels, space);
        return;
    }
    plan p;
    cut(&p, g, kernels);
    p.a_panels = space;
    p.b_panels = space + p.block_m * p.block_k * (int64_t)p.size;
    int64_t k0 = 0;
    do {
        for (int64_t n0 = 0; n0 < g->n; n0 += p.block_n)
            for (int64_t m0 = 0; m0 < g->m; m0 += p.block_m) multiply_block(&p, m0, n0, k0);
        k0 += p.block_k;
    } while (k0 < g->k);
}

/* ---- several: a batch, or pieces of k ---- */

typedef struct {
    ag__gemm_args g;
    const ag__gemm_kernels *kernels;
    char *space;
    size_t slot; /* bytes of work space for a chunk */
    int64_t grain, piece;
    size_t size;
    char *partial; /* [pieces][m][n] */
} several;

static void batch_items(void *user, int64_t begin, int64_t end)
{
    const several *s = user;
    ag__gemm_args g = s->g;
    for (int64_t i = begin; i < end; i++) {
        g.a = at(s->g.a, i * s->g.a_batch, s->size);
        g.b = at(s->g.b, i * s->g.b_batch, s->size);
        g.c = (void *)(uintptr_t)at(s->g.c, i * s->g.c_batch, s->size);
        if (g.beta != 0) g.d = at(s->g.d, i * s->g.d_batch, s->size);
        multiply(&g, s->kernels, s->space + (size_t)(begin / s->grain) * s->slot);
    }
}

static bool multiply_batch(several *s)
{
    const ag__gemm_args *g = &s->g;
    const double work = (double)g->m * (double)g->n * (double)g->k;
    if (work * 4 > TASK * 4.0 * SLOTS)
        s->grain = g->batch; /* each is worth all threads */
    else
        s->grain = max(ceil_div(g->batch, SLOTS), min(g->batch, (int64_t)(TASK / 4 / (work + 1)) + 1));
    s->slot = space_for(g, s->kernels);
    s->space = ag__scratch((size_t)ceil_div(g->batch, s->grain) * s->slot);
    if (!s->space) return false;
    ag__parallel_for(g->batch, s->grain, batch_items, s);
    ag__scratch_free(s->space);
    return true;
}

static void k_pieces(void *user, int64_t begin, int64_t end)
{
    const several *s = user;
    for (int64_t i = begin; i < end; i++) {
        ag__gemm_args g = s->g;
        g.k = min(s->piece, s->g.k - i * s->piece);
        g.a = at(s->g.a, i * s->piece * g.a_col, s->size);
        g.b = at(s->g.b, i * s->piece * g.b_row, s->size);
        g.c = s->partial + i * g.m * g.n * (int64_t)s->size;
        g.c_row = g.n;
        g.c_col = 1;
        g.alpha = 1;
        g.beta = 0;
        multiply(&g, s->kernels, s->space + (size_t)i * s->slot);
    }
}

static void add_pieces(const several *s, int64_t pieces)
{
    const ag__gemm_args *g = &s->g;
    for (int64_t i = 0; i < g->m; i++) {
        for (int64_t j = 0; j < g->n; j++) {
            if (g->dtype == AG_FLOAT32) {
                const float *partial = (const float *)(const void *)s->partial + i * g->n + j;
                float sum = 0;
                for (int64_t q = 0; q < pieces; q++) sum += partial[q * g->m * g->n];
                sum *= (float)g->alpha;
                if (g->beta != 0) sum += (float)g->beta * ((const float *)g->d)[i * g->d_row + j * g->d_col];
                ((float *)g->c)[i * g->c_row + j * g->c_col] = sum;
            } else {
                const double *partial = (const double *)(const void *)s->partial + i * g->n + j;
                double sum = 0;
                for (int64_t q = 0; q < pieces; q++) sum += partial[q * g->m * g->n];
                sum *= g->alpha;
                if (g->beta != 0) sum += g->beta * ((const double *)g->d)[i * g->d_row + j * g->d_col];
                ((double *)g->c)[i * g->c_row + j * g->c_col] = sum;
            }
        }
    }
}

/* Tiles of C too few to go round, k long enough to be cut instead. */
static bool is_long(const ag__gemm_args *g, const ag__gemm_kernels *kernels)
{
    return g->k >= 4096 && ceil_div(g->m, kernels->rows) * ceil_div(g->n, kernels->columns) < 16;
}

static bool multiply_long(several *s)
{
    s->piece = even_cut(s->g.k, max(1024, ceil_div(s->g.k, SLOTS)));
    int64_t pieces = ceil_div(s->g.k, s->piece);
    ag__gemm_args first = s->g;
    first.k = s->piece;
    s->slot = space_for(&first, s->kernels);
    size_t partials = ((size_t)(pieces * s->g.m * s->g.n) * s->size + 63) / 64 * 64;
    s->partial = ag__scratch(partials + (size_t)pieces * s->slot);
    if (!s->partial) return false;
    s->space = s->partial + partials;
    ag__parallel_for(pieces, 1, k_pieces, s);
    add_pieces(s, pieces);
    ag__scratch_free(s->partial);
    return true;
}

bool ag__gemm(const ag__gemm_args *args)
{
    if (args->m <= 0 || args->n <= 0) return true;
    if (args->dtype != AG_FLOAT32 && args->dtype != AG_FLOAT64) {
        ag__gemm_integer(args);
        return true;
    }
    several s = { .g = vector_last(args),
                  .kernels = args->dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__gemm_f32) : AG_ISA_PICK(ag__gemm_f64),
                  .size = args->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double) };
    if (s.g.batch > 1) return multiply_batch(&s);
    if (is_long(&s.g, s.kernels)) return multiply_long(&s);
    _Alignas(64) char small[8192];
    size_t bytes = space_for(&s.g, s.kernels);
    char *space = bytes <= sizeof small ? small : ag__scratch(bytes);
    if (!space) return false;
    multiply(&s.g, s.kernels, space);
    if (space != small) ag__scratch_free(space);
    return true;
}
