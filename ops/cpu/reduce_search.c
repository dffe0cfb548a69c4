/* reduce_search.c - which element is the greatest or least: see reduce.h. A row's extreme is folded first and then
 * looked for. */
#include "ops/cpu/reduce_plan.h"

#include "tensor/allocator.h"
#include "tensor/parallel.h"

#include <string.h>

enum { SEARCHED = 8192 /* elements of a row in which the extreme is looked for */ };

typedef struct search {
    ag__reduce_plan p;
    char *best; /* p.pieces of n_kept elements */
    int64_t *at;
} search;

static void search_rows(const search *s, const char *x, int64_t begin, int64_t end, char *best, int64_t *at)
{
    const ag__reduce_plan *p = &s->p;
    char buffer[AG_REDUCE_BLOCK * AG_REDUCE_WIDEST] __attribute__((aligned(64))),
        found[AG_REDUCE_WIDEST] __attribute__((aligned(8)));
    ag__reduce_spot place = ag__reduce_spot_at(p, x, begin);
    for (int64_t n; place.at < end;) {
        const int64_t i = place.at;
        const char *row = ag__reduce_next_row(p, &place, end, SEARCHED, buffer, &n);
        if (n == end - begin && n <= AG_REDUCE_SHORT) {
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
    const ag__reduce_plan *p = &s->p;
    char value[AG_REDUCE_TILE * AG_REDUCE_WIDEST] __attribute__((aligned(64)));
    int64_t index[AG_REDUCE_TILE] = { 0 }, step = p->gone.step[0] / (int64_t)p->item;
    memcpy(value, x, (size_t)m * p->item);
    p->folder->arg_columns(value, index, x, step, 0, p->n_gone, m);
    for (int64_t j = 0; j < m; j++) {
        memcpy(best + j * p->column_out * (int64_t)p->item, value + j * (int64_t)p->item, p->item);
        at[j * p->column_out] = index[j];
    }
}

static void search_short_rows(const search *s, int64_t begin, int64_t end)
{
    const ag__reduce_plan *p = &s->p;
    int last = p->kept.n - 1;
    int64_t length = p->kept.size[last], stride = p->kept.step[last] / (int64_t)p->item;
    for (int64_t unit = begin, n, out; unit < end; unit += n) {
        const char *x = ag__reduce_place(p, unit, &out);
        n = length - unit % length < end - unit ? length - unit % length : end - unit;
        p->folder->arg_short_rows(s->best + out * (int64_t)p->item, s->at + out, x, stride, n, p->n_gone);
    }
}

static void search_units(void *user, int64_t begin, int64_t end)
{
    const search *s = user;
    const ag__reduce_plan *p = &s->p;
    if (p->short_rows) { /* and so in one piece */
        search_short_rows(s, begin, end);
        return;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t piece = unit % p->pieces, rest = unit / p->pieces, tile = rest % p->tiles, out;
        const char *x = ag__reduce_place(p, rest / p->tiles, &out);
        out += piece * p->n_kept;
        if (p->columns) {
            int64_t j = tile * AG_REDUCE_TILE, m = p->columns - j < AG_REDUCE_TILE ? p->columns - j : AG_REDUCE_TILE;
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
    const ag__folder *folder = ag__reduce_folder(fold, (ag_dtype)x->dtype);
    search s = { .p = { .folder = folder, .item = ag__itemsize(x), .wide = ag__itemsize(x) } };
    ag_tensor plain;
    void *copy = NULL, *scratch = NULL;
    if (dim < 0 && !row_major(x, &plain, &copy)) return false;
    if (dim < 0) x = &plain;
    ag__reduce_make_plan(&s.p, x, dim < 0 ? ~0u : 1u << dim);
    ag__reduce_plan *p = &s.p;
    if (p->n_kept == 0) return true;
    if (p->columns) {
        p->pieces = 1;
        p->piece = p->n_gone;
    } else {
        ag__reduce_cut(p);
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
    const int64_t grain = ag__reduce_grain(x->numel);
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
