/* reduce.c - cutting a reduction into rows or columns for the kernels, and putting the totals together. See reduce.h.
 *
 * The dimensions fall into two lists, those that are kept and those that go, each sorted by stride and merged where
 * neighbours follow on. Where the fastest dimension of all is kept, tiles of neighbouring outputs are computed
 * together, column by column of the elements; else each output is the fold of its own elements, rows of them where they
 * lie together, gathered into rows where not.
 */
#include "ops/cpu/reduce_plan.h"

#include "ops/cpu/isa.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"
#include "tensor/past_caches.h"

#include <string.h>

AG_ISA_TABLES(ag__reduce_kernels, ag__reduce)
AG_ISA_TABLES_NARROW(ag__reduce_whole_kernels, ag__reduce_whole)

enum {
    ROWS = 32,       /* rows of a block of columns */
    GRAIN = 1 << 15, /* elements a task; of many, eight times as many: each begins anew what the CPU foresees */
    FAR_BYTES = 2 << 20,
    MAX_PIECES = 64, /* of one output's elements */
    LEVELS = 48      /* of a tree of blocks */
};

ag_dtype ag__fold_dtype(ag__fold fold, ag_dtype dtype)
{
    bool total = fold == AG_FOLD_SUM || fold == AG_FOLD_PROD;
    return total && dtype != AG_FLOAT32 && dtype != AG_FLOAT64 ? AG_INT64 : dtype;
}

const ag__folder *ag__reduce_folder(ag__fold fold, ag_dtype dtype)
{
    return dtype <= AG_FLOAT64 ? &AG_ISA_PICK(ag__reduce)->folder[fold][dtype]
                               : &AG_ISA_PICK(ag__reduce_whole)->folder[fold][dtype - AG_INT64];
}

/* ---- planning ---- */

/* Keeps the list sorted, the greatest step first. */
static void add_dim(ag__reduce_dims *list, int64_t size, int64_t step, int64_t out)
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

static void merge_dims(ag__reduce_dims *list, bool with_out)
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

void ag__reduce_make_plan(ag__reduce_plan *p, const ag_tensor *x, uint32_t mask)
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
        p->tiles = (p->columns + AG_REDUCE_TILE - 1) / AG_REDUCE_TILE;
        p->kept.n--;
    }
    p->far = x->numel * item >= FAR_BYTES;
    p->each_row = !p->columns && last >= 0 && p->gone.n == 1 && p->gone.step[0] == item;
    p->short_rows = p->each_row && p->kept.out[last] == 1 && p->n_gone <= AG_REDUCE_SHORT;
}

int64_t ag__reduce_grain(int64_t n) { return n >= 1 << 22 ? 8 * GRAIN : GRAIN; }

/* Few outputs of many elements are cut into pieces, so that several threads have something to do. */
void ag__reduce_cut(ag__reduce_plan *p)
{
    int64_t units = p->columns ? p->n_kept / p->columns * p->tiles : p->n_kept;
    int64_t each = p->n_gone * (p->columns ? p->columns / p->tiles : 1);
    p->pieces = 1;
    if (units < 16 && each >= 2 * GRAIN) {
        p->pieces = each / GRAIN;
        if (p->pieces > MAX_PIECES) p->pieces = MAX_PIECES;
    }
    p->piece = (p->n_gone + p->pieces - 1) / p->pieces;
    p->piece = (p->piece + AG_REDUCE_BLOCK - 1) / AG_REDUCE_BLOCK * AG_REDUCE_BLOCK;
    p->pieces = (p->n_gone + p->piece - 1) / p->piece;
    p->each_row = p->each_row && p->pieces == 1;
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
static int64_t outer_offset(const ag__reduce_dims *gone, int64_t outer)
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
static void gather(const ag__reduce_plan *p, const char *x, int64_t at, int64_t n, char *to)
{
    const ag__reduce_dims *gone = &p->gone;
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

ag__reduce_spot ag__reduce_spot_at(const ag__reduce_plan *p, const char *x, int64_t at)
{
    ag__reduce_spot s = { .first = x, .at = at };
    int64_t rest = at;
    for (int d = p->gone.n - 1; d >= 0; d--) {
        s.index[d] = rest % p->gone.size[d];
        rest /= p->gone.size[d];
        x += s.index[d] * p->gone.step[d];
    }
    s.x = x;
    return s;
}

/* The next n elements of up to `end` that lie in one row, at most so many, or are laid in one of at most
 * AG_REDUCE_BLOCK; s moves on. */
const char *ag__reduce_next_row(const ag__reduce_plan *p, ag__reduce_spot *s, int64_t end, int64_t most, char *buffer,
                                int64_t *n)
{
    const ag__reduce_dims *gone = &p->gone;
    const int last = gone->n - 1;
    const int64_t length = gone->size[last];
    *n = end - s->at < most ? end - s->at : most;
    if (gone->step[last] != (int64_t)p->item || (length < AG_REDUCE_SHORT && last > 0)) {
        if (*n > AG_REDUCE_BLOCK) *n = AG_REDUCE_BLOCK;
        gather(p, s->first, s->at, *n, buffer);
        s->at += *n;
        return buffer;
    }
    if (*n > length - s->index[last]) *n = length - s->index[last];
    const char *row = s->x;
    s->at += *n;
    s->x += *n * (int64_t)p->item;
    s->index[last] += *n;
    for (int d = last; d > 0 && s->index[d] == gone->size[d]; d--) {
        s->x += gone->step[d - 1] - gone->size[d] * gone->step[d];
        s->index[d] = 0;
        s->index[d - 1]++;
    }
    return row;
}

/* A row of so many bytes that begins there will be next. Of a long one the loop itself asks for what is to come. */
static void ask_for_next(const char *row, int64_t bytes)
{
    enum { MOST = 4096 };
    ag__ask_for((uintptr_t)row, bytes < MOST ? bytes : MOST);
}

static void fold_rows(const ag__reduce_plan *p, const char *x, int64_t begin, int64_t end, char *out)
{
    char level[LEVELS * AG_REDUCE_WIDEST] __attribute__((aligned(64))),
        buffer[AG_REDUCE_BLOCK * AG_REDUCE_WIDEST] __attribute__((aligned(64)));
    char total[AG_REDUCE_WIDEST] __attribute__((aligned(8)));
    tree t = { p->folder, 1, (int64_t)p->wide, 0, level };
    ag__reduce_spot s = ag__reduce_spot_at(p, x, begin);
    for (int64_t n; s.at < end;) {
        const char *row = ag__reduce_next_row(p, &s, end, INT64_MAX, buffer, &n);
        if (p->far) ask_for_next(row + n * (int64_t)p->item, n * (int64_t)p->item);
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

static void fold_columns(const ag__reduce_plan *p, const char *x, int64_t m, int64_t begin, int64_t end, char *out)
{
    char level[LEVELS * AG_REDUCE_TILE * AG_REDUCE_WIDEST] __attribute__((aligned(64))),
        total[AG_REDUCE_TILE * AG_REDUCE_WIDEST] __attribute__((aligned(64)));
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
const char *ag__reduce_place(const ag__reduce_plan *p, int64_t unit, int64_t *out)
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

/* Outputs that are a row each: without a division for every one. */
static void fold_each_row(const ag__reduce_plan *p, int64_t begin, int64_t end)
{
    const int last = p->kept.n - 1;
    const int64_t length = p->kept.size[last], step = p->kept.step[last],
                  out_step = p->kept.out[last] * (int64_t)p->wide;
    for (int64_t unit = begin, n, out; unit < end; unit += n) {
        const char *x = ag__reduce_place(p, unit, &out);
        char *total = p->out + out * (int64_t)p->wide;
        n = length - unit % length < end - unit ? length - unit % length : end - unit;
        if (p->short_rows) {
            p->folder->short_rows(total, x, step / (int64_t)p->item, n, p->n_gone);
            continue;
        }
        for (int64_t i = 0; i < n; i++, x += step, total += out_step) {
            if (p->far) ask_for_next(x + step, p->n_gone * (int64_t)p->item);
            p->folder->row(total, x, p->n_gone);
        }
    }
}

/* Units of work: each piece of each tile of each output. */
static void fold_units(void *user, int64_t begin, int64_t end)
{
    const ag__reduce_plan *p = user;
    if (p->each_row) {
        fold_each_row(p, begin, end);
        return;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t piece = unit % p->pieces, rest = unit / p->pieces, tile = rest % p->tiles, out;
        const char *x = ag__reduce_place(p, rest / p->tiles, &out);
        int64_t from = piece * p->piece, to = from + p->piece < p->n_gone ? from + p->piece : p->n_gone;
        char *total = p->out + (piece * p->n_kept + out) * (int64_t)p->wide;
        if (p->columns) {
            int64_t j = tile * AG_REDUCE_TILE, m = p->columns - j < AG_REDUCE_TILE ? p->columns - j : AG_REDUCE_TILE;
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
    const ag__folder *folder = ag__reduce_folder(fold, (ag_dtype)x->dtype);
    ag_dtype dtype = ag__fold_dtype(fold, (ag_dtype)x->dtype);
    uint32_t all = (1u << x->ndim) - 1;
    if (x->contiguous && (mask & all) == all && x->numel > 0 && x->numel <= AG_REDUCE_BLOCK) {
        folder->row(out, x->data, x->numel);
        return true;
    }
    ag__reduce_plan p = { .folder = folder, .item = ag__itemsize(x), .wide = ag_dtype_size(dtype), .out = out };
    ag__reduce_make_plan(&p, x, mask);
    if (p.n_kept == 0) return true;
    if (p.n_gone == 0) {
        fill_empty(fold, dtype, p.n_kept, out);
        return true;
    }
    ag__reduce_cut(&p);
    int64_t bytes = p.n_kept * (int64_t)p.wide;
    if (p.pieces > 1 && !(p.out = ag__scratch((size_t)(p.pieces * bytes)))) return false;
    int64_t units = (p.columns ? p.n_kept / p.columns * p.tiles : p.n_kept) * p.pieces, each = x->numel / units;
    const int64_t grain = ag__reduce_grain(x->numel);
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
