/* reduce.c - cutting a reduction into rows or columns for the kernels, and putting the totals together. See reduce.h.
 *
 * The dimensions fall into two lists, those that are kept and those that go, each sorted by stride and merged where
 * neighbours follow on. Where the fastest dimension of all is kept, tiles of neighbouring outputs are computed
 * together, column by column of the elements; else each output is the fold of its own elements, rows of them where they
 * lie together, gathered into rows where not.
 */
#include "ops/cpu/reduce.h"

#include "ops/cpu/isa.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"

#include <string.h>

AG_ISA_TABLES(ag__reduce_kernels, ag__reduce)

enum {
    BLOCK = 1024,    /* elements gathered into a row */
    SEARCHED = 8192, /* elements of a row in which the greatest is looked for, once it is known */
    ROWS = 32,       /* rows of a block of columns */
    TILE = 128,      /* columns folded together */
    GRAIN = 1 << 15, /* elements a task; of many, eight times as many: each begins anew what the CPU foresees */
    MAX_PIECES = 64, /* of one output's elements */
    SHORT = 32,      /* rows shorter than this are gathered */
    LEVELS = 48,     /* of a tree of blocks */
    WIDEST = 8       /* bytes of a total */
};

typedef struct dims {
    int n;
    int64_t size[AG_MAX_DIMS], step[AG_MAX_DIMS]; /* bytes in x */
    int64_t out[AG_MAX_DIMS];                     /* of kept dimensions: totals in the result */
} dims;

typedef struct plan {
    const ag__folder *folder;
    size_t item, wide; /* bytes of an element, of a total */
    const char *x;
    dims kept, gone;
    int64_t n_kept, n_gone;      /* outputs; elements each */
    int64_t columns, column_out; /* the fastest kept dimension, taken out of `kept`: its size and step in the result; 0
                                    columns: rows */
    int64_t tiles, pieces, piece;
    bool short_rows; /* each output is one short row, and neighbours' totals lie side by side */
    char *out;       /* pieces of n_kept totals */
} plan;

ag_dtype ag__fold_dtype(ag__fold fold, ag_dtype dtype)
{
    bool total = fold == AG_FOLD_SUM || fold == AG_FOLD_PROD;
    return total && dtype != AG_FLOAT32 && dtype != AG_FLOAT64 ? AG_INT64 : dtype;
}

/* ---- planning ---- */

/* Keeps the list sorted, the greatest step first. */
static void add_dim(dims *list, int64_t size, int64_t step, int64_t out)
{
    int at = list->n++;
    for (; at > 0 && list->step[at - 1] < step; at--) {
        list->size[at] = list->size[at - 1];
        list->step[at] = list->step[at - 1];
        list->out[at] = list->out[at - 1];
    }
    list->size[at] = size;
    list->step[at] = step;
    list->out[at] = out;
}

static void merge_dims(dims *list, bool with_out)
{
    int n = 0;
    for (int d = 0; d < list->n; d++) {
        if (n && list->step[n - 1] == list->size[d] * list->step[d] &&
            (!with_out || list->out[n - 1] == list->size[d] * list->out[d])) {
            list->size[n - 1] *= list->size[d];
        } else {
            list->size[n] = list->size[d];
            n++;
        }
        list->step[n - 1] = list->step[d];
        list->out[n - 1] = list->out[d];
    }
    list->n = n;
}

static void make_plan(plan *p, const ag_tensor *x, uint32_t mask)
{
    int64_t item = (int64_t)p->item, out = 1;
    p->x = x->data;
    p->kept.n = p->gone.n = 0;
    p->n_kept = p->n_gone = 1;
    for (int d = x->ndim - 1; d >= 0; d--) {
        bool goes = mask >> d & 1;
        if (x->size[d] != 1) add_dim(goes ? &p->gone : &p->kept, x->size[d], x->stride[d] * item, out);
        if (goes) {
            p->n_gone *= x->size[d];
        } else {
            p->n_kept *= x->size[d];
            out *= x->size[d];
        }
    }
    merge_dims(&p->kept, true);
    merge_dims(&p->gone, false);
    if (p->gone.n == 0) add_dim(&p->gone, 1, item, 0);
    int last = p->kept.n - 1;
    p->columns = 0;
    p->tiles = 1;
    if (last >= 0 && p->kept.step[last] == item && p->kept.size[last] >= 4 && p->gone.step[p->gone.n - 1] != item) {
        p->columns = p->kept.size[last];
        p->column_out = p->kept.out[last];
        p->tiles = (p->columns + TILE - 1) / TILE;
        p->kept.n--;
    }
    p->short_rows = !p->columns && last >= 0 && p->kept.out[last] == 1 && p->gone.n == 1 && p->gone.step[0] == item &&
                    p->n_gone <= SHORT;
}

static int64_t grain_of(int64_t n) { return n >= 1 << 22 ? 8 * GRAIN : GRAIN; }

/* Few outputs of many elements are cut into pieces, so that several threads have something to do. */
static void cut_into_pieces(plan *p)
{
    int64_t units = p->columns ? p->n_kept / p->columns * p->tiles : p->n_kept;
    int64_t each = p->n_gone * (p->columns ? p->columns / p->tiles : 1);
    p->pieces = 1;
    if (units < 16 && each >= 2 * GRAIN) {
        p->pieces = each / GRAIN;
        if (p->pieces > MAX_PIECES) p->pieces = MAX_PIECES;
    }
    p->piece = (p->n_gone + p->pieces - 1) / p->pieces;
    p->piece = (p->piece + BLOCK - 1) / BLOCK * BLOCK;
    p->pieces = (p->n_gone + p->piece - 1) / p->piece;
}

/* ---- a binary tree of totals, m side by side: level k holds the fold of 2^k blocks ---- */

typedef struct tree {
    const ag__folder *folder;
    int64_t m, bytes; /* of m totals */
    uint64_t count;
    char *level;
} tree;

/* `total` is used up. */
static void tree_add(tree *t, char *total)
{
    int k = 0;
    for (; t->count >> k & 1; k++) {
        t->folder->combine(t->level + k * t->bytes, total, t->m);
        memcpy(total, t->level + k * t->bytes, (size_t)t->bytes);
    }
    memcpy(t->level + k * t->bytes, total, (size_t)t->bytes);
    t->count++;
}
static const char *tree_total(tree *t)
{
    char *total = NULL;
    for (int k = 0; t->count >> k; k++) {
        if (!(t->count >> k & 1)) continue;
        char *level = t->level + k * t->bytes;
        if (total) t->folder->combine(level, total, t->m);
        total = level;
    }
    return total;
}

/* ---- one output: rows ---- */

/* Where the elements begin that differ from the first in the dimensions before the last, number `outer` of them. */
static int64_t outer_offset(const dims *gone, int64_t outer)
{
    int64_t offset = 0;
    for (int d = gone->n - 2; d >= 0 && outer; d--) {
        offset += outer % gone->size[d] * gone->step[d];
        outer /= gone->size[d];
    }
    return offset;
}

static void gather_run(char *to, const char *from, int64_t step, int64_t n, size_t item)
{
    if (step == (int64_t)item) {
        memcpy(to, from, (size_t)n * item);
    } else if (item == 4) {
        for (int64_t i = 0; i < n; i++) memcpy(to + 4 * i, from + i * step, 4);
    } else if (item == 8) {
        for (int64_t i = 0; i < n; i++) memcpy(to + 8 * i, from + i * step, 8);
    } else {
        for (int64_t i = 0; i < n; i++) to[i] = from[i * step];
    }
}

/* n elements from number `at` on, side by side. */
static void gather(const plan *p, const char *x, int64_t at, int64_t n, char *to)
{
    const dims *gone = &p->gone;
    int last = gone->n - 1;
    int64_t index[AG_MAX_DIMS], rest = at;
    const char *from = x;
    for (int d = last; d >= 0; d--) {
        index[d] = rest % gone->size[d];
        rest /= gone->size[d];
        from += index[d] * gone->step[d];
    }
    while (n > 0) {
        int64_t run = gone->size[last] - index[last];
        if (run > n) run = n;
        gather_run(to, from, gone->step[last], run, p->item);
        to += run * (int64_t)p->item;
        n -= run;
        from -= index[last] * gone->step[last];
        index[last] = 0;
        for (int d = last - 1; d >= 0; d--) {
            from += gone->step[d];
            if (++index[d] < gone->size[d]) break;
            from -= index[d] * gone->step[d];
            index[d] = 0;
        }
    }
}

/* The next elements of [at, end) that lie in one row, of at most so many, or are laid in one of at most BLOCK. */
static const char *next_row(const plan *p, const char *x, int64_t at, int64_t end, int64_t most, char *buffer,
                            int64_t *n)
{
    int last = p->gone.n - 1;
    int64_t length = p->gone.size[last];
    *n = end - at < most ? end - at : most;
    if (p->gone.step[last] != (int64_t)p->item || (length < SHORT && last > 0)) {
        if (*n > BLOCK) *n = BLOCK;
        gather(p, x, at, *n, buffer);
        return buffer;
    }
    int64_t outer = at / length, i = at % length;
    if (*n > length - i) *n = length - i;
    return x + outer_offset(&p->gone, outer) + i * (int64_t)p->item;
}

static void fold_rows(const plan *p, const char *x, int64_t begin, int64_t end, char *out)
{
    char level[LEVELS * WIDEST] __attribute__((aligned(64))), buffer[BLOCK * WIDEST] __attribute__((aligned(64)));
    char total[WIDEST] __attribute__((aligned(8)));
    tree t = { p->folder, 1, (int64_t)p->wide, 0, level };
    for (int64_t at = begin, n; at < end; at += n) {
        const char *row = next_row(p, x, at, end, INT64_MAX, buffer, &n);
        p->folder->row(total, row, n);
        if (n == end - begin) {
            memcpy(out, total, p->wide);
            return;
        }
        tree_add(&t, total);
    }
    memcpy(out, tree_total(&t), p->wide);
}

/* ---- a tile of outputs: columns ---- */

static void fold_columns(const plan *p, const char *x, int64_t m, int64_t begin, int64_t end, char *out)
{
    char level[LEVELS * TILE * WIDEST] __attribute__((aligned(64))), total[TILE * WIDEST] __attribute__((aligned(64)));
    tree t = { p->folder, m, m * (int64_t)p->wide, 0, level };
    int last = p->gone.n - 1;
    int64_t length = p->gone.size[last], step = p->gone.step[last];
    for (int64_t at = begin, rows; at < end; at += rows) {
        int64_t outer = at / length, i = at % length;
        rows = length - i < ROWS ? length - i : ROWS;
        if (rows > end - at) rows = end - at;
        p->folder->columns(total, x + outer_offset(&p->gone, outer) + i * step, step / (int64_t)p->item, rows, m);
        tree_add(&t, total);
    }
    const char *done = tree_total(&t);
    if (p->column_out == 1)
        memcpy(out, done, (size_t)t.bytes);
    else
        for (int64_t j = 0; j < m; j++)
            memcpy(out + j * p->column_out * (int64_t)p->wide, done + j * (int64_t)p->wide, p->wide);
}

/* ---- all outputs ---- */

/* Where output number `unit` of the kept dimensions has its first element, and where it goes. */
static const char *place(const plan *p, int64_t unit, int64_t *out)
{
    const char *x = p->x;
    *out = 0;
    for (int d = p->kept.n - 1; d >= 0; d--) {
        int64_t i = unit % p->kept.size[d];
        unit /= p->kept.size[d];
        x += i * p->kept.step[d];
        *out += i * p->kept.out[d];
    }
    return x;
}

static void fold_short_rows(const plan *p, int64_t begin, int64_t end)
{
    int last = p->kept.n - 1;
    int64_t length = p->kept.size[last], stride = p->kept.step[last] / (int64_t)p->item;
    for (int64_t unit = begin, n, out; unit < end; unit += n) {
        const char *x = place(p, unit, &out);
        n = length - unit % length < end - unit ? length - unit % length : end - unit;
        p->folder->short_rows(p->out + out * (int64_t)p->wide, x, stride, n, p->n_gone);
    }
}

/* Units of work: each piece of each tile of each output. */
static void fold_units(void *user, int64_t begin, int64_t end)
{
    const plan *p = user;
    if (p->short_rows) {
        fold_short_rows(p, begin, end);
        return;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t piece = unit % p->pieces, rest = unit / p->pieces, tile = rest % p->tiles, out;
        const char *x = place(p, rest / p->tiles, &out);
        int64_t from = piece * p->piece, to = from + p->piece < p->n_gone ? from + p->piece : p->n_gone;
        char *total = p->out + (piece * p->n_kept + out) * (int64_t)p->wide;
        if (p->columns) {
            int64_t j = tile * TILE, m = p->columns - j < TILE ? p->columns - j : TILE;
            fold_columns(p, x + j * (int64_t)p->item, m, from, to, total + j * p->column_out * (int64_t)p->wide);
        } else {
            fold_rows(p, x, from, to, total);
        }
    }
}

/* The total of nothing. */
static void fill_empty(ag__fold fold, ag_dtype dtype, int64_t n, char *out)
{
    size_t wide = ag_dtype_size(dtype);
    for (int64_t i = 0; i < n; i++) ag__store(out + (size_t)i * wide, dtype, fold == AG_FOLD_PROD ? 1 : 0);
}

bool ag__reduce(ag__fold fold, const ag_tensor *x, uint32_t mask, void *out)
{
    const ag__folder *folder = &AG_ISA_PICK(ag__reduce)->folder[fold][x->dtype];
    ag_dtype dtype = ag__fold_dtype(fold, (ag_dtype)x->dtype);
    uint32_t all = (1u << x->ndim) - 1;
    if (x->contiguous && (mask & all) == all && x->numel > 0 && x->numel <= BLOCK) {
        folder->row(out, x->data, x->numel);
        return true;
    }
    plan p = { .folder = folder, .item = ag__itemsize(x), .wide = ag_dtype_size(dtype), .out = out };
    make_plan(&p, x, mask);
    if (p.n_kept == 0) return true;
    if (p.n_gone == 0) {
        fill_empty(fold, dtype, p.n_kept, out);
        return true;
    }
    cut_into_pieces(&p);
    int64_t bytes = p.n_kept * (int64_t)p.wide;
    if (p.pieces > 1 && !(p.out = ag__scratch((size_t)(p.pieces * bytes)))) return false;
    int64_t units = (p.columns ? p.n_kept / p.columns * p.tiles : p.n_kept) * p.pieces, each = x->numel / units;
    const int64_t grain = grain_of(x->numel);
    ag__parallel_for(units, each < grain ? grain / (each + 1) + 1 : 1, fold_units, &p);
    if (p.pieces > 1) {
        for (int64_t step = 1; step < p.pieces; step *= 2)
            for (int64_t i = 0; i + step < p.pieces; i += 2 * step)
                folder->combine(p.out + i * bytes, p.out + (i + step) * bytes, p.n_kept);
        memcpy(out, p.out, (size_t)bytes);
        ag__scratch_free(p.out);
    }
    return true;
}

/* ---- which element ---- */

typedef struct search {
    plan p;
    char *best; /* p.pieces of n_kept elements */
    int64_t *at;
} search;

static void search_rows(const search *s, const char *x, int64_t begin, int64_t end, char *best, int64_t *at)
{
    const plan *p = &s->p;
    char buffer[BLOCK * WIDEST] __attribute__((aligned(64))), found[WIDEST] __attribute__((aligned(8)));
    for (int64_t i = begin, n; i < end; i += n) {
        const char *row = next_row(p, x, i, end, SEARCHED, buffer, &n);
        if (n == end - begin && n <= SHORT) {
            p->folder->arg_row(best, at, row, n);
            *at += begin;
            return;
        }
        p->folder->row(found, row, n);
        if (i > begin && !p->folder->beats(found, best)) continue;
        memcpy(best, found, p->item);
        *at = i + p->folder->find(row, found, n);
    }
}

static void search_columns(const search *s, const char *x, int64_t m, char *best, int64_t *at)
{
    const plan *p = &s->p;
    char value[TILE * WIDEST] __attribute__((aligned(64)));
    int64_t index[TILE] = { 0 }, step = p->gone.step[0] / (int64_t)p->item;
    memcpy(value, x, (size_t)m * p->item);
    p->folder->arg_columns(value, index, x, step, 0, p->n_gone, m);
    for (int64_t j = 0; j < m; j++) {
        memcpy(best + j * p->column_out * (int64_t)p->item, value + j * (int64_t)p->item, p->item);
        at[j * p->column_out] = index[j];
    }
}

static void search_short_rows(const search *s, int64_t begin, int64_t end)
{
    const plan *p = &s->p;
    int last = p->kept.n - 1;
    int64_t length = p->kept.size[last], stride = p->kept.step[last] / (int64_t)p->item;
    for (int64_t unit = begin, n, out; unit < end; unit += n) {
        const char *x = place(p, unit, &out);
        n = length - unit % length < end - unit ? length - unit % length : end - unit;
        p->folder->arg_short_rows(s->best + out * (int64_t)p->item, s->at + out, x, stride, n, p->n_gone);
    }
}

static void search_units(void *user, int64_t begin, int64_t end)
{
    const search *s = user;
    const plan *p = &s->p;
    if (p->short_rows) { /* and so in one piece */
        search_short_rows(s, begin, end);
        return;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t piece = unit % p->pieces, rest = unit / p->pieces, tile = rest % p->tiles, out;
        const char *x = place(p, rest / p->tiles, &out);
        out += piece * p->n_kept;
        if (p->columns) {
            int64_t j = tile * TILE, m = p->columns - j < TILE ? p->columns - j : TILE;
            out += j * p->column_out;
            search_columns(s, x + j * (int64_t)p->item, m, s->best + out * (int64_t)p->item, s->at + out);
        } else {
            int64_t from = piece * p->piece, to = from + p->piece < p->n_gone ? from + p->piece : p->n_gone;
            search_rows(s, x, from, to, s->best + out * (int64_t)p->item, s->at + out);
        }
    }
}

/* x's elements in row-major order. NULL with AG_ENOMEM; else *copy is to be freed. */
static bool row_major(const ag_tensor *x, ag_tensor *plain, void **copy)
{
    *plain = *x;
    *copy = NULL;
    if (x->contiguous) return true;
    *copy = ag__scratch((size_t)x->numel * ag__itemsize(x));
    if (!*copy) return false;
    plain->data = *copy;
    plain->contiguous = true;
    ag__contiguous_strides(x->ndim, x->size, plain->stride);
    ag__copy_elements(plain, x);
    return true;
}

bool ag__reduce_arg(ag__fold fold, const ag_tensor *x, int dim, void *value, int64_t *index)
{
    const ag__folder *folder = &AG_ISA_PICK(ag__reduce)->folder[fold][x->dtype];
    search s = { .p = { .folder = folder, .item = ag__itemsize(x), .wide = ag__itemsize(x) } };
    ag_tensor plain;
    void *copy = NULL, *scratch = NULL;
    if (dim < 0 && !row_major(x, &plain, &copy)) return false;
    if (dim < 0) x = &plain;
    make_plan(&s.p, x, dim < 0 ? ~0u : 1u << dim);
    plan *p = &s.p;
    if (p->n_kept == 0) return true;
    if (p->columns) {
        p->pieces = 1;
        p->piece = p->n_gone;
    } else {
        cut_into_pieces(p);
    }
    int64_t rows = p->pieces * p->n_kept;
    s.at = index;
    s.best = value;
    if (p->pieces > 1 || !value) { /* room for what is not handed out */
        scratch = ag__scratch((size_t)rows * (sizeof(int64_t) + p->item));
        if (!scratch) {
            if (copy) ag__scratch_free(copy);
            return false;
        }
        s.at = p->pieces > 1 ? scratch : index;
        s.best = (char *)scratch + (size_t)rows * sizeof(int64_t);
    }
    int64_t units = (p->columns ? p->n_kept / p->columns * p->tiles : p->n_kept) * p->pieces, each = x->numel / units;
    const int64_t grain = grain_of(x->numel);
    ag__parallel_for(units, each < grain ? grain / (each + 1) + 1 : 1, search_units, &s);
    if (p->pieces > 1) {
        for (int64_t k = 0; k < p->n_kept; k++) {
            int64_t first = k;
            for (int64_t i = k + p->n_kept; i < rows; i += p->n_kept)
                if (folder->beats(s.best + i * (int64_t)p->item, s.best + first * (int64_t)p->item)) first = i;
            index[k] = s.at[first];
            if (value) memcpy((char *)value + k * (int64_t)p->item, s.best + first * (int64_t)p->item, p->item);
        }
    }
    if (scratch) ag__scratch_free(scratch);
    if (copy) ag__scratch_free(copy);
    return true;
}
