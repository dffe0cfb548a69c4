/* copy.c - elements from one tensor to another, whatever their strides and types; and one number to all of them.
 *
 * Three ways: rows that lie in order on both sides are moved by memcpy; rows of different types or steps by a loop made
 * for that pair of types (convert_rows.c); and where the sides disagree about which dimension is the fast one, the
 * plane of the two fast dimensions goes in tiles that fit into the first-level cache, so that every line of memory is
 * fetched once.
 */
#include "tensor/convert.h"
#include "tensor/convert_rows.h"
#include "tensor/parallel.h"
#include "tensor/past_caches.h"
#include "tensor/tensor.h"

#include <string.h>

enum {
    GRAIN = 1 << 16, /* elements a task */
    TILE = 1 << 12,  /* elements a tile: 32 KB of the widest type */
    ITEM_BYTES = 8
};

/* ---- rows ---- */

static void row_of_same(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    const ag__convert_row *convert = user;
    int64_t item = convert->item;
    if (count == 1 || (stride[0] == item && stride[1] == item))
        memcpy(data[0], data[1], (size_t)(count * item));
    else
        convert->row(data[0], stride[0], data[1], stride[1], count);
}

static void row_of_other(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    const ag__convert_row *convert = user;
    convert->row(data[0], stride[0], data[1], stride[1], count);
}

/* ---- tiles ---- */

typedef struct tiles {
    const ag_walk *w;
    const ag__convert_row *convert;
    bool transpose;   /* one type, and each side has a dimension in which it lies element by element */
    bool past_caches; /* by a buffer */
    int across;       /* `from`'s fast dimension; `to`'s is the last */
    int64_t p, q;     /* the plane: p elements across by q along */
    int64_t tp, tq;   /* a tile */
    int64_t np, nq;   /* tiles in a plane */
} tiles;

static void copy_tile(const tiles *t, char *to, const char *from, int64_t p, int64_t q, const char *next)
{
    const ag_walk *w = t->w;
    int last = w->ndim - 1;
    int64_t to_p = w->stride[0][t->across], from_p = w->stride[1][t->across];
    int64_t to_q = w->stride[0][last], from_q = w->stride[1][last];
    const int64_t item = t->convert->item;
    if (t->past_caches && (uintptr_t)to % AG_LINE == 0) {
        _Alignas(64) char buffer[TILE * ITEM_BYTES];
        ag__transpose(buffer, q * item, from, from_q, p, q, item, next);
        for (int64_t i = 0; i < p; i++) ag__store_past(to + i * to_p, buffer + i * q * item, q * item);
        return;
    }
    if (t->transpose) {
        ag__transpose(to, to_p, from, from_q, p, q, item, next);
        return;
    }
    for (int64_t i = 0; i < p; i++) t->convert->row(to + i * to_p, to_q, from + i * from_p, from_q, q);
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

typedef struct place {
    char *to;
    const char *from;
    int64_t p, q;
} place;

/* Tile number n, counted over all planes. */
static place place_tile(const tiles *t, int64_t n)
{
    const ag_walk *w = t->w;
    const int last = w->ndim - 1;
    int64_t plane = n / (t->np * t->nq), inside = n % (t->np * t->nq);
    int64_t p = inside / t->nq * t->tp, q = inside % t->nq * t->tq;
    int64_t to = p * w->stride[0][t->across] + q * w->stride[0][last];
    int64_t from = p * w->stride[1][t->across] + q * w->stride[1][last];
    for (int d = last - 1; d >= 0; d--) {
        if (d == t->across) continue;
        int64_t i = plane % w->size[d];
        plane /= w->size[d];
        to += i * w->stride[0][d];
        from += i * w->stride[1][d];
    }
    return (place){ w->data[0] + to, w->data[1] + from, smaller(t->p - p, t->tp), smaller(t->q - q, t->tq) };
}

static void copy_tiles(void *user, int64_t begin, int64_t end)
{
    const tiles *t = user;
    place next = place_tile(t, begin);
    for (int64_t n = begin; n < end; n++) {
        const place here = next;
        if (n + 1 < end) next = place_tile(t, n + 1);
        copy_tile(t, here.to, here.from, here.p, here.q, next.from);
    }
    if (t->past_caches) ag__stores_past_are_done();
}

/* The dimension in which `from` runs through memory fastest; the last one unless another is faster. */
static int fast_dim_of_from(const ag_walk *w)
{
    int fast = w->ndim - 1;
    for (int d = w->ndim - 2; d >= 0; d--)
        if (w->stride[1][d] > 0 && w->stride[1][d] < w->stride[1][fast]) fast = d;
    return fast;
}

static void copy_by_tiles(const ag_walk *w, int across, const ag__convert_row *convert, int64_t from_item, bool same)
{
    int last = w->ndim - 1;
    tiles t = { .w = w, .convert = convert, .across = across, .p = w->size[across], .q = w->size[last] };
    t.transpose = same && w->stride[0][last] == convert->item && w->stride[1][across] == from_item;
    t.past_caches = t.transpose && w->stride[0][across] % AG_LINE == 0 &&
                    ag__goes_past_caches(w->data[0], w->numel * convert->item);
    t.tq = smaller(t.q, 64);
    t.tp = smaller(t.p, TILE / t.tq);
    t.tq = smaller(t.q, TILE / t.tp);
    t.np = (t.p + t.tp - 1) / t.tp;
    t.nq = (t.q + t.tq - 1) / t.tq;
    int64_t planes = w->numel / (t.p * t.q), tile = t.tp * t.tq;
    ag__parallel_for(planes * t.np * t.nq, tile < GRAIN ? GRAIN / tile : 1, copy_tiles, &t);
}

/* ---- what others call ---- */

void ag__copy_elements(const ag_tensor *to, const ag_tensor *from)
{
    bool same = to->dtype == from->dtype;
    if (to->numel == 0 || (to->data == from->data && ag__overlap(to, from) == 1)) return;
    ag_walk w;
    ag__walk(&w, 2, (const ag_tensor *const[]){ to, from });
    ag__convert_row convert = { ag__convert_rows[to->dtype][from->dtype], (int64_t)ag__itemsize(to) };
    int across = w.ndim > 1 ? fast_dim_of_from(&w) : w.ndim - 1;
    if (across == w.ndim - 1)
        ag__walk_rows(&w, GRAIN, same ? row_of_same : row_of_other, &convert);
    else
        copy_by_tiles(&w, across, &convert, (int64_t)ag__itemsize(from), same);
}

typedef struct filling {
    char value[8];
    bool one_byte; /* every byte of the value is the same */
    const ag__convert_row *convert;
} filling;

static void row_of_fill(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    const filling *f = user;
    int64_t item = f->convert->item;
    if (f->one_byte && stride[0] == item)
        memset(data[0], f->value[0], (size_t)(count * item));
    else
        f->convert->row(data[0], stride[0], f->value, 0, count);
}

void ag__fill_elements(const ag_tensor *to, ag_number value)
{
    ag_walk w;
    ag__walk(&w, 1, &to);
    ag__convert_row convert = { ag__convert_rows[to->dtype][to->dtype], (int64_t)ag__itemsize(to) };
    filling f = { .convert = &convert, .one_byte = true };
    ag__store_number(f.value, (ag_dtype)to->dtype, value);
    for (int i = 1; i < convert.item; i++) f.one_byte &= f.value[i] == f.value[0];
    ag__walk_rows(&w, GRAIN, row_of_fill, &f);
}
