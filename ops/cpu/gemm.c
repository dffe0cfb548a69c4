/* gemm.c - how a matrix product is cut up.
 *
 * C is cut into tiles that stay in registers. A tile takes A with any strides and B with any distance between its rows,
 * so an operand that lies well is used where it is; one that does not, or that is read often enough, is first packed
 * into panels, which a tile reads from front to back:
 *
 *     for blocks of C and of k:   pack panels of A and B, if need be (in parallel)
 *                                 tasks, each some tiles of C (in parallel):
 *                                     for slices of k:  a panel of B stays in the first-level cache,
 *                                                       A and C of the task in the second-level cache
 *
 * An element is summed in slices (AG_GEMM_SLICE), so k is cut where slices end, and the result does not depend on
 * where. C = A B is also C' = B' A': which of the two is computed is a matter of what must be turned and of how well
 * the tiles fit. Where sums are cut depends on the shape alone; how many tiles a task takes, on the threads, too.
 * Three shapes go other ways: with a vector nothing is packed; many small products are shared out whole; and where C is
 * small and k long, k is cut and the partial results are added in order.
 */
#include "ops/cpu/gemm.h"
#include "ops/cpu/isa.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"
#include <argent/num_threads.h>

#include <string.h>

AG_ISA_TABLES(ag__gemm_kernels, ag__gemm_f32)
AG_ISA_TABLES(ag__gemm_kernels, ag__gemm_f64)

enum {
    PACK_AT_ONCE = 4 << 20, /* bytes of A and B up to which all of k is packed at once */
    BLOCK_M = 1536,
    BLOCK_N = 2048,
    BLOCK_K = 4,    /* slices of floats; of doubles one less */
    TASK = 1 << 20, /* multiply-adds worth a task */
    TASK_A = 20,    /* most panels of a task: of floats; of doubles, half of them */
    TASK_B = 16,
    WIDE = 8,               /* most panels of B packed together */
    ENOUGH = 4,             /* products of a batch for each thread, */
    PIECES = 32,            /* most products that run side by side */
    NEAR = 2 << 20,         /* bytes of all three matrices that a second-level cache holds, */
    COLD = 16 << 20,        /* and of B, of all products of a batch, that no cache does */
    LONG = 64,              /* a piece of k is so many times as long as C is high and wide, */
    MOST_PARTIAL = 1 << 18, /* and its C at most so many bytes */
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
    bool pack_a, pack_b;               /* or used where it lies */
    bool fetch;                        /* the next panel of B, meanwhile */
    int64_t a_panel, b_panel;          /* elements of a packed panel */
    char *a_panels, *b_panels;

    /* the block at hand */
    ag__gemm_args now; /* the pointers at its corner; after the first block of k what is added is C */
    int64_t m, n, k, n_a, n_b;
    int64_t packed_b;       /* the first panel of B that is packed: if B is used where it lies, a narrow last one is */
    int64_t wide;           /* panels of B that are packed together */
    int64_t task_a, task_b; /* panels a task takes */
} plan;

static const void *at(const void *p, int64_t elements, size_t size)
{
    return (const char *)p + elements * (int64_t)size;
}

static bool is_matrix_vector(const ag__gemm_args *g) { return g->n == 1 && (g->a_row == 1 || g->a_col == 1); }

/* C' = B' A' */
static ag__gemm_args turned(const ag__gemm_args *args)
{
    ag__gemm_args g = *args;
    // clang-format off
    g.m = args->n; g.n = args->m;
    g.a = args->b; g.a_row = args->b_col; g.a_col = args->b_row; g.a_batch = args->b_batch;
    g.b = args->a; g.b_row = args->a_col; g.b_col = args->a_row; g.b_batch = args->a_batch;
    g.d_row = args->d_col; g.d_col = args->d_row;
    g.c_row = args->c_col; g.c_col = args->c_row;
    // clang-format on
    return g;
}

/* Half cycles that a product takes, roughly: two multiply-adds or two loads a cycle, and a sum meets its next term 4
 * cycles later; an element of B to be turned, one of C that is not stored beside the last. */
static double half_cycles(const ag__gemm_args *g, const ag__gemm_kernels *kernels)
{
    const int64_t rows = kernels->rows, columns = kernels->columns, last_m = g->m % rows, last_n = g->n % columns;
    const int64_t vectors = !last_n ? 0 : last_n > columns / 2 ? 2 : 1;
    double a_step = (double)(g->m / rows) * ((double)(g->n / columns) * 2 + (double)vectors) * (double)rows;
    if (last_m)
        a_step += (double)(g->n / columns) * (double)max(8, max(2 * last_m, last_m + 2)) +
                  (vectors ? (double)max(8, max(vectors * last_m, last_m + vectors)) : 0);
    return a_step * (double)g->k + (g->b_col == 1 ? 0 : (double)g->n * (double)g->k) +
           (g->c_col == 1 ? 0 : 3 * (double)g->m * (double)g->n);
}

/* The product as it is computed. */
static ag__gemm_args best_way(const ag__gemm_args *args, const ag__gemm_kernels *kernels)
{
    if (args->n == 1) return *args; /* a matrix times a vector; and a vector times a matrix: */
    ag__gemm_args other = turned(args);
    if (args->m == 1) return other;
    return half_cycles(&other, kernels) < 0.97 * half_cycles(args, kernels) ? other : *args;
}

/* A distance at which few lines of a cache are in use. */
static bool is_bad_stride(int64_t stride, size_t size) { return (size_t)stride * size % 2048 == 0; }

static void cut(plan *p, const ag__gemm_args *g, const ag__gemm_kernels *kernels)
{
    p->g = g;
    p->kernels = kernels;
    p->size = g->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double);
    p->block_m = even_cut(g->m, BLOCK_M);
    p->block_n = even_cut(g->n, BLOCK_N);
    bool small = (double)(p->block_m + p->block_n) * (double)g->k * (double)p->size <= PACK_AT_ONCE;
    const int64_t n_slices = ceil_div(g->k, AG_GEMM_SLICE), most = p->size == sizeof(float) ? BLOCK_K : BLOCK_K - 1;
    p->block_k = small ? g->k : min(g->k, even_cut(n_slices, most) * AG_GEMM_SLICE);
    p->block_m = ceil_div(p->block_m, kernels->rows) * kernels->rows;
    p->block_n = ceil_div(p->block_n, kernels->columns) * kernels->columns;

    const int64_t n_a = ceil_div(g->m, kernels->rows), n_b = ceil_div(g->n, kernels->columns);
    p->pack_a = n_b > 1 && (n_b > 16 || (g->a_row != 1 && g->a_col != 1) ||
                            (g->m * g->k * (int64_t)p->size > 32768 && is_bad_stride(g->a_col, p->size)));
    /* What comes from memory comes faster in whole rows. */
    const bool cold = (double)g->n * (double)g->k * (double)p->size * (double)max(g->batch, 1) >= COLD;
    p->pack_b = g->b_col != 1 || (n_a > 1 && (n_a > (cold ? 4 : 10) || (g->n * g->k * (int64_t)p->size > 32768 &&
                                                                        is_bad_stride(g->b_row, p->size))));
    /* B of few rows of tiles is read little more than once, and not from the second-level cache: then it pays to ask
     * for it, which takes the loop over terms some turns. */
    p->fetch = !p->pack_b && ((double)g->m * (double)g->k + (double)g->k * (double)g->n + (double)g->m * (double)g->n) *
                                     (double)p->size >
                                 NEAR;
    p->a_panel = p->block_k * kernels->rows;
    p->b_panel = p->block_k * kernels->columns;
}

/* Bytes of work space: of packed panels of A; altogether. */
static int64_t a_space(const plan *p)
{
    return p->pack_a ? (p->block_m / p->kernels->rows * p->a_panel * (int64_t)p->size + 63) / 64 * 64 : 0;
}
static size_t space_for(const plan *p)
{
    if (is_matrix_vector(p->g)) return ((size_t)p->g->k * p->size + 63) / 64 * 64;
    const bool narrow = p->g->n % (p->kernels->columns / 2) != 0;
    int64_t b_panels = p->pack_b ? p->block_n / p->kernels->columns : narrow ? 1 : 0;
    return (size_t)(a_space(p) + (b_panels * p->b_panel * (int64_t)p->size + 63) / 64 * 64);
}

static void pack_panel_of_a(const plan *p, int64_t i)
{
    const ag__gemm_args *g = &p->now;
    const int64_t row = i * p->kernels->rows, valid = min(p->m - row, p->kernels->rows);
    const char *from = at(g->a, row * g->a_row, p->size);
    char *to = p->a_panels + i * p->a_panel * (int64_t)p->size;
    p->kernels->pack_a(to, from, g->a_row, g->a_col, (int)valid, p->k);
}

/* Items: the panels of A, and then those of B, some at a time. */
static void pack_panels(void *user, int64_t begin, int64_t end)
{
    const plan *p = user;
    const ag__gemm_args *g = &p->now;
    const int64_t of_a = p->pack_a ? p->n_a : 0; /* more items than that in the first block of rows only */
    for (int64_t i = begin; i < end; i++) {
        if (i < of_a) {
            pack_panel_of_a(p, i);
        } else {
            const int64_t j = (i - of_a) * p->wide, column = (p->packed_b + j) * p->kernels->columns;
            p->kernels->pack_b(p->b_panels + j * p->kernels->columns * p->k * (int64_t)p->size,
                               at(g->b, column * g->b_col, p->size), g->b_col, g->b_row,
                               min(p->n - column, p->wide * p->kernels->columns), p->k);
        }
    }
}

static const void *row_of_b(const plan *p, int64_t j, int64_t k)
{
    return j >= p->packed_b ? at(p->b_panels, ((j - p->packed_b) * p->k + k) * p->kernels->columns, p->size)
                            : at(p->now.b, k * p->now.b_row + j * p->kernels->columns, p->size);
}

/* The tile where panel i of A meets panel j of B, t->depth terms from k0 on. */
static void one_tile(const plan *p, const ag__gemm_args *g, int64_t i, int64_t j, int64_t k0, ag__gemm_tile *t)
{
    const int64_t row = i * p->kernels->rows, column = j * p->kernels->columns;
    if (p->pack_a) {
        t->a_row = 1;
        t->a_col = p->kernels->rows;
        t->a = at(p->a_panels, i * p->a_panel + k0 * t->a_col, p->size);
    } else {
        t->a_row = g->a_row;
        t->a_col = g->a_col;
        t->a = at(g->a, row * g->a_row + k0 * g->a_col, p->size);
    }
    t->b_row = j >= p->packed_b ? p->kernels->columns : g->b_row;
    t->b = row_of_b(p, j, k0);
    p->kernels->tile(g, (int)min(p->m - row, p->kernels->rows), (int)min(p->n - column, p->kernels->columns), t,
                     g->beta != 0 ? at(g->d, row * g->d_row + column * g->d_col, p->size) : NULL,
                     (void *)(uintptr_t)at(g->c, row * g->c_row + column * g->c_col, p->size));
}

/* From now on what is added to the product is C, which holds what came of the terms before. */
static void add_to_c(ag__gemm_args *g)
{
    g->d = g->c;
    g->d_row = g->c_row;
    g->d_col = g->c_col;
    g->beta = 1;
}

/* Task t: task_a panels of A by task_b panels of B; the tasks go along the rows of C, their panels of A stay in a
 * cache. */
static void tiles(void *user, int64_t begin, int64_t end)
{
    const plan *p = user;
    const int64_t across = ceil_div(p->n_b, p->task_b);
    /* Where rows of C lie apart in pieces, a tile of it is written once, at the end. */
    const int64_t step = p->now.c_col == 1 ? AG_GEMM_SLICE : max(p->k, 1);
    for (int64_t t = begin; t < end; t++) {
        const int64_t a0 = t / across * p->task_a, b0 = t % across * p->task_b;
        const int64_t a1 = min(a0 + p->task_a, p->n_a), b1 = min(b0 + p->task_b, p->n_b);
        ag__gemm_args g = p->now;
        int64_t k0 = 0;
        do {
            const int64_t depth = min(step, p->k - k0), pace = p->fetch ? AG_GEMM_FETCH * (a1 - a0) : max(depth, 1);
            for (int64_t j = b0; j < b1; j++) {
                /* The panel of B after this one is fetched little by little. */
                const bool turn = j + 1 == b1;
                const char *next = row_of_b(p, turn ? b0 : j + 1, turn ? k0 + step : k0);
                for (int64_t i = a0; i < a1; i++) {
                    ag__gemm_tile tile;
                    tile.depth = depth;
                    tile.pace = pace;
                    tile.next = next;
                    one_tile(p, &g, i, j, k0, &tile);
                    next += ceil_div(depth, pace) * AG_GEMM_FETCH * tile.b_row * (int64_t)p->size;
                }
            }
            if (k0 == 0) add_to_c(&g);
            k0 += step;
        } while (k0 < p->k);
    }
}

/* How many panels a task takes: those that fit the second-level cache, fewer until there are tasks enough for the
 * threads or each is small. (What a task takes changes no sum.) */
static void cut_tasks(plan *p)
{
    const int64_t tile = p->kernels->rows * p->kernels->columns * max(p->k, 1);
    p->task_a = even_cut(p->n_a, p->size == sizeof(float) ? TASK_A : TASK_A / 2);
    p->task_b = even_cut(p->n_b, TASK_B);
    while (p->task_a * p->task_b > 1 && p->task_a * p->task_b * tile > TASK &&
           ceil_div(p->n_a, p->task_a) * ceil_div(p->n_b, p->task_b) < 8 * ag_get_num_threads()) {
        if (p->task_b > 1)
            p->task_b = (p->task_b + 1) / 2;
        else
            p->task_a = (p->task_a + 1) / 2;
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
    if (k0 > 0)
        add_to_c(now);
    else if (g->beta != 0)
        now->d = at(g->d, m0 * g->d_row + n0 * g->d_col, size);

    p->packed_b = p->pack_b ? 0 : p->n % (p->kernels->columns / 2) != 0 ? p->n_b - 1 : p->n_b;
    int64_t items = p->pack_a ? p->n_a : 0;
    p->wide = max(1, min(WIDE, (p->n_b - p->packed_b) / 8));       /* few go to several threads, too */
    if (m0 == 0) items += ceil_div(p->n_b - p->packed_b, p->wide); /* after that they are packed */
    if (items > 0) ag__parallel_for(items, max(1, TASK / 32 / (max(p->k, 1) * p->kernels->columns)), pack_panels, p);
    cut_tasks(p);
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

/* `cuts` is made by cut() for another product of the same shape. */
static void multiply(const ag__gemm_args *g, const plan *cuts, char *space)
{
    if (is_matrix_vector(g)) {
        multiply_vector(g, cuts->kernels, space);
        return;
    }
    plan p = *cuts;
    p.g = g;
    p.a_panels = space;
    p.b_panels = space + a_space(&p);
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
    plan cuts;
    size_t size;
    int64_t piece;
    char *space;
    size_t partials; /* bytes in it of the pieces' products, [pieces][m][n]; behind them the slots, */
    size_t each;     /* of so many bytes */
    ag__slots slots;
} several;

/* Work space for products that run side by side. */
static bool get_space(several *s, int64_t products, size_t before)
{
    const size_t each = space_for(&s->cuts);
    s->slots = (ag__slots){ .n = (int)min(products, ag_get_num_threads()) };
    s->each = each;
    if (before + each == 0) return true;
    s->space = ag__scratch(before + (size_t)s->slots.n * each);
    return s->space;
}

static void multiply_in_slot(several *s, const ag__gemm_args *g, char *space)
{
    const int slot = ag__take_slot(&s->slots);
    multiply(g, &s->cuts, space + (size_t)slot * s->each);
    ag__give_slot(&s->slots, slot);
}

static void batch_items(void *user, int64_t begin, int64_t end)
{
    several *s = user;
    ag__gemm_args g = s->g;
    for (int64_t i = begin; i < end; i++) {
        g.a = at(s->g.a, i * s->g.a_batch, s->size);
        g.b = at(s->g.b, i * s->g.b_batch, s->size);
        g.c = (void *)(uintptr_t)at(s->g.c, i * s->g.c_batch, s->size);
        if (g.beta != 0) g.d = at(s->g.d, i * s->g.d_batch, s->size);
        multiply_in_slot(s, &g, s->space);
    }
}

static bool multiply_batch(several *s)
{
    const ag__gemm_args *g = &s->g;
    const double work = (double)g->m * (double)g->n * (double)g->k;
    /* Each is worth all threads, unless there are enough for every thread to pack its own. No sum depends on that. */
    int64_t grain = g->batch;
    if (work <= (double)TASK * PIECES || g->batch >= ENOUGH * (int64_t)ag_get_num_threads())
        grain = max(ceil_div(g->batch, PIECES), min(g->batch, (int64_t)(TASK / 4 / (work + 1)) + 1));
    cut(&s->cuts, g, s->kernels);
    if (!get_space(s, ceil_div(g->batch, grain), 0)) return false;
    ag__parallel_for(g->batch, grain, batch_items, s);
    if (s->space) ag__scratch_free(s->space);
    return true;
}

static void k_pieces(void *user, int64_t begin, int64_t end)
{
    several *s = user;
    for (int64_t i = begin; i < end; i++) {
        ag__gemm_args g = s->g;
        g.k = min(s->piece, s->g.k - i * s->piece);
        g.a = at(s->g.a, i * s->piece * g.a_col, s->size);
        g.b = at(s->g.b, i * s->piece * g.b_row, s->size);
        g.c = s->space + i * g.m * g.n * (int64_t)s->size;
        g.c_row = g.n;
        g.c_col = 1;
        g.alpha = 1;
        g.beta = 0;
        multiply_in_slot(s, &g, s->space + s->partials);
    }
}

/* sum[i] += all other pieces, [pieces][n], of which it is the first */
static void add_pieces(void *sum, int64_t pieces, int64_t n, size_t size)
{
    for (int64_t i = n; i < pieces * n; i += n) {
        if (size == sizeof(float))
            for (int64_t j = 0; j < n; j++) ((float *)sum)[j] += ((float *)sum)[i + j];
        else
            for (int64_t j = 0; j < n; j++) ((double *)sum)[j] += ((double *)sum)[i + j];
    }
}

/* C = alpha sum + beta D */
static void write_sum(const ag__gemm_args *g, const void *sum)
{
    for (int64_t i = 0; i < g->m; i++) {
        for (int64_t j = 0; j < g->n; j++) {
            const int64_t c = i * g->c_row + j * g->c_col, d = i * g->d_row + j * g->d_col;
            if (g->dtype == AG_FLOAT32) {
                float value = ((const float *)sum)[i * g->n + j] * (float)g->alpha;
                if (g->beta != 0) value += (float)g->beta * ((const float *)g->d)[d];
                ((float *)g->c)[c] = value;
            } else {
                double value = ((const double *)sum)[i * g->n + j] * g->alpha;
                if (g->beta != 0) value += g->beta * ((const double *)g->d)[d];
                ((double *)g->c)[c] = value;
            }
        }
    }
}

/* k is better cut, too: tiles of C are too few to go round, or a thread that has its own piece of k need not read what
 * another has packed. */
static bool is_long(const ag__gemm_args *g, const ag__gemm_kernels *kernels)
{
    const bool few = ceil_div(g->m, kernels->rows) * ceil_div(g->n, kernels->columns) < 16,
               small = (double)g->m * (double)g->n * (g->dtype == AG_FLOAT32 ? 4 : 8) <= MOST_PARTIAL;
    return g->k >= 4096 && (few || (small && g->k >= LONG * (g->m + g->n)));
}

static bool multiply_long(several *s)
{
    const int64_t elements = s->g.m * s->g.n;
    s->piece = even_cut(s->g.k, max(1024, ceil_div(s->g.k, PIECES)));
    int64_t pieces = ceil_div(s->g.k, s->piece);
    ag__gemm_args first = s->g;
    first.k = s->piece;
    first.c_row = s->g.n, first.c_col = 1;
    cut(&s->cuts, &first, s->kernels);
    s->partials = ((size_t)(pieces * elements) * s->size + 63) / 64 * 64;
    if (!get_space(s, pieces, s->partials)) return false;
    ag__parallel_for(pieces, 1, k_pieces, s);
    add_pieces(s->space, pieces, elements, s->size);
    write_sum(&s->g, s->space);
    ag__scratch_free(s->space);
    return true;
}

bool ag__gemm(const ag__gemm_args *args)
{
    if (args->m <= 0 || args->n <= 0) return true;
    if (args->dtype != AG_FLOAT32 && args->dtype != AG_FLOAT64) {
        ag__gemm_integer(args);
        return true;
    }
    several s;
    s.kernels = args->dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__gemm_f32) : AG_ISA_PICK(ag__gemm_f64);
    s.size = args->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double);
    s.space = NULL;
    s.g = best_way(args, s.kernels);
    if (s.g.batch > 1) return multiply_batch(&s);
    if (is_long(&s.g, s.kernels)) return multiply_long(&s);
    _Alignas(64) char small[8192];
    cut(&s.cuts, &s.g, s.kernels);
    size_t bytes = space_for(&s.cuts);
    char *space = bytes <= sizeof small ? small : ag__scratch(bytes);
    if (!space) return false;
    multiply(&s.g, &s.cuts, space);
    if (space != small) ag__scratch_free(space);
    return true;
}
