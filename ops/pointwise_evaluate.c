/* pointwise_evaluate.c - an expression of a row over tensors of any strides and types.
 *
 * The loops (ops/cpu/pointwise_kernel.c) know arrays of one type only. Where all operands lie alike (the usual case,
 * batch-last included) they get the memory as it is. Otherwise the elements are taken in the order in which out lies,
 * in blocks that fit the cache: an operand that lies in that order, or along its rows, is still read where it is; one
 * that repeats a single element, or one a row, has its block filled once; the rest is gathered, and converted if its
 * type is another. Where an operand runs through memory along another dimension than out, the plane of the two goes in
 * tiles, in which that operand is turned over.
 */
#include "ops/cpu/isa.h"
#include "ops/pointwise_rows.h"
#include "tensor/convert_rows.h"
#include "tensor/device_table.h"
#include "tensor/parallel.h"
#include "tensor/past_caches.h"

#include <string.h>

AG_ISA_TABLES(ag__pointwise_loops, ag__pointwise)
AG_ISA_TABLES_NARROW(ag__integer_loops, ag__pointwise_integer)

enum {
    GRAIN = 32768, /* elements of a task for the thread pool; of many, eight times as many */
    BLOCK = 512,   /* elements gathered at a time */
    LONG_ROW = 64, /* rows of so many elements are worth a call of the loop each */
    TILE = 4096,   /* elements of a tile */
    TILE_SIDE = 64,
    MAX_TURNED = 3, /* operands turned over; any more are gathered */
    ITEM_BYTES = 8  /* of the largest type */
};

/* Each task begins anew what the CPU foresees of memory. */
static int64_t grain_of(int64_t n) { return n >= 1 << 22 ? 8 * GRAIN : GRAIN; }

static ag__loop *loop_of(int expression, ag_dtype dtype)
{
    if (dtype <= AG_FLOAT64) return AG_ISA_PICK(ag__pointwise)->at[expression][dtype];
    return AG_ISA_PICK(ag__pointwise_integer)->at[expression][dtype - AG_INT64];
}
static ag_dtype type_of(const ag__evaluation *e, int operand) { return operand == IN_M ? AG_BOOL : e->dtype; }
static ag_dtype result_type(const ag__evaluation *e) { return e->is_test ? AG_BOOL : e->dtype; }
static int64_t item_of(ag_dtype dtype)
{
    static const uint8_t size[AG_N_DTYPES] = { 4, 8, 8, 4, 1, 1 };
    return size[dtype];
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- the loop ---- */

typedef struct formula {
    ag__loop *loop;
    const double *options;
    unsigned reads;         /* operands */
    int64_t item, out_item; /* bytes of an element; of the mask's, 1 */
    bool past_caches;       /* the result is large, and none of the operands */
} formula;

/* Piece by piece by way of a buffer, with the operands asked for four pieces ahead. */
static __attribute__((noinline)) void evaluate_past_caches(const formula *f, int64_t n, char *out,
                                                           const void *const in[AG_N_OPERANDS])
{
    void (*const store_past)(char *, const char *, int64_t) = AG_ISA_PICK(ag__pointwise)->store_past;
    _Alignas(AG_LINE) char piece[AG_PIECE];
    const int64_t most = AG_PIECE / f->item;
    for (int64_t i = 0; i < n; i += most) {
        const int64_t some = smaller(most, n - i);
        const void *at[AG_N_OPERANDS];
        for (int k = 0; k < AG_N_OPERANDS; k++) {
            const int64_t item = k == IN_M ? 1 : f->item;
            at[k] = (const char *)in[k] + i * item;
            if (f->reads >> k & 1) ag__ask_for((uintptr_t)at[k] + (uintptr_t)(4 * most * item), most * item);
        }
        f->loop(some, piece, at, f->options);
        store_past(out + i * f->out_item, piece, some * f->out_item);
    }
}
static void evaluate_loop(const formula *f, int64_t n, char *out, const void *const in[AG_N_OPERANDS])
{
    if (f->past_caches && (uintptr_t)out % AG_LINE == 0)
        evaluate_past_caches(f, n, out, in);
    else
        f->loop(n, out, in, f->options);
}

/* ---- all alike ---- */

static bool same_layout(const ag_tensor *a, const ag_tensor *b)
{
    if (!ag__same_sizes(a, b)) return false;
    if (a->contiguous && b->contiguous) return true;
    for (int d = 0; d < a->ndim; d++)
        if (a->size[d] > 1 && a->stride[d] != b->stride[d]) return false;
    return true;
}
static bool all_alike(const ag__evaluation *e)
{
    const ag_tensor *out = e->out;
    if (out->dtype != result_type(e)) return false;
    if (!out->contiguous && !ag__is_dense(out->ndim, out->size, out->stride)) return false;
    for (unsigned reads = e->reads; reads; reads &= reads - 1) {
        int k = __builtin_ctz(reads);
        if (e->operand[k]->dtype != type_of(e, k) || !same_layout(e->operand[k], out)) return false;
    }
    return true;
}

typedef struct arrays {
    formula f;
    char *out;
    const char *in[AG_N_OPERANDS];
} arrays;
static void arrays_part(void *user, int64_t begin, int64_t end)
{
    const arrays *a = user;
    const void *in[AG_N_OPERANDS];
    for (int k = 0; k < AG_N_OPERANDS; k++) in[k] = a->in[k] + begin * (k == IN_M ? 1 : a->f.item);
    evaluate_loop(&a->f, end - begin, a->out + begin * a->f.out_item, in);
    if (a->f.past_caches) ag__stores_past_are_done();
}

static __attribute__((noinline)) void evaluate_many(formula f, int64_t n, char *out,
                                                    const void *const in[AG_N_OPERANDS])
{
    arrays a = { .out = out };
    f.past_caches = ag__goes_past_caches(out, n * f.out_item);
    for (int k = 0; k < AG_N_OPERANDS; k++) {
        bool met = false; /* as what stands for operands that are not read has been */
        for (int i = 0; i < k; i++) met = met || in[i] == in[k];
        if (!met) f.reads |= 1u << k;
        if (in[k] == out) f.past_caches = false;
        a.in[k] = in[k];
    }
    a.f = f;
    ag__parallel_for(n, grain_of(n), arrays_part, &a);
}
void ag__evaluate_arrays(int expression, ag_dtype dtype, bool is_test, int64_t n, char *out,
                         const void *const in[AG_N_OPERANDS], const double *options)
{
    ag__loop *loop = loop_of(expression, dtype);
    const int64_t item = item_of(dtype);
    if (n <= GRAIN)
        loop(n, out, in, options);
    else
        evaluate_many((formula){ loop, options, 0, item, is_test ? 1 : item, false }, n, out, in);
}

/* ---- by blocks ---- */

/* How an operand of the loop gets to its elements, in the order of the walk. */
typedef enum {
    IN_ORDER, /* they lie side by side, of the right type */
    IN_ROWS,  /* so do those of each row, and rows are long */
    REPEATED, /* it is one element */
    PER_ROW,  /* each row repeats one, and rows are long */
    TURNED,   /* they lie side by side, of the right type, in the dimension across the tiles */
    GATHERED
} access;
typedef struct blocks {
    ag_walk w; /* out, then the operands that are read; strides in bytes */
    formula f;
    int slot[AG_MAX_OPERANDS]; /* which operand of the expression */
    int some;                  /* an operand to stand for those that are not read */
    access how[AG_MAX_OPERANDS];
    bool right_type[AG_MAX_OPERANDS];
    int64_t item[AG_MAX_OPERANDS]; /* bytes of an element as the loop has it */
    ag__row_converter *convert[AG_MAX_OPERANDS];
    int64_t row;                 /* elements of the innermost dimension */
    bool by_rows;                /* a block does not go beyond one */
    int64_t most;                /* elements of a block */
    int across;                  /* the dimension of a tile beside the innermost; -1: no tiles */
    int64_t tile[2], n_tiles[2]; /* elements across and along of a tile, and so many of those in a plane */
} blocks;

static bool lies_in_order(const ag_walk *w, int k, int64_t item)
{
    for (int d = w->ndim - 1; d >= 0; item *= w->size[d--])
        if (w->stride[k][d] != item) return false;
    return true;
}
static bool is_repeated(const ag_walk *w, int k)
{
    for (int d = 0; d < w->ndim; d++)
        if (w->stride[k][d] != 0) return false;
    return true;
}
static access access_of(const blocks *b, int k)
{
    const ag_walk *w = &b->w;
    const bool right_type = b->right_type[k];
    if (right_type && lies_in_order(w, k, b->item[k])) return IN_ORDER;
    if (k > 0 && is_repeated(w, k)) return REPEATED;
    if (right_type && b->by_rows && w->stride[k][w->ndim - 1] == b->item[k]) return IN_ROWS;
    if (k > 0 && b->by_rows && w->stride[k][w->ndim - 1] == 0) return PER_ROW;
    return GATHERED;
}

/* A place in the walk: an index a dimension. */
static void place_at(const ag_walk *w, int64_t element, int64_t index[AG_MAX_DIMS])
{
    for (int d = w->ndim - 1; d >= 0; d--) {
        index[d] = element % w->size[d];
        element /= w->size[d];
    }
}
static char *address_of(const ag_walk *w, int k, const int64_t index[AG_MAX_DIMS])
{
    char *at = w->data[k];
    for (int d = 0; d < w->ndim; d++) at += index[d] * w->stride[k][d];
    return at;
}

/* n elements of operand k from that place on, row by row, to the block; or from the block back to them. */
static void move_block(const blocks *b, int k, const int64_t from[AG_MAX_DIMS], int64_t n, char *block, bool back)
{
    const ag_walk *w = &b->w;
    const int64_t *stride = w->stride[k];
    char *at = address_of(w, k, from);
    int last = w->ndim - 1;
    if (last < 0) {
        if (back)
            b->convert[k](at, 0, block, 0, 1);
        else
            b->convert[k](block, 0, at, 0, 1);
        return;
    }
    int64_t index[AG_MAX_DIMS], item = b->item[k];
    for (int d = 0; d <= last; d++) index[d] = from[d];
    while (n > 0) {
        int64_t run = b->row - index[last] < n ? b->row - index[last] : n;
        if (back)
            b->convert[k](at, stride[last], block, item, run);
        else
            b->convert[k](block, item, at, stride[last], run);
        block += run * item;
        n -= run;
        at += run * stride[last];
        index[last] += run;
        for (int d = last; d > 0 && index[d] == w->size[d]; d--) {
            at += stride[d - 1] - w->size[d] * stride[d];
            index[d] = 0;
            index[d - 1]++;
        }
    }
}

/* The place n elements on; within one row that is quick. */
static void advance(const ag_walk *w, int64_t index[AG_MAX_DIMS], int64_t n)
{
    for (int d = w->ndim - 1; d >= 0 && n; d--) {
        index[d] += n;
        n = 0;
        if (index[d] < w->size[d]) return;
        n = index[d] / w->size[d];
        index[d] %= w->size[d];
    }
}

static void blocks_part(void *user, int64_t begin, int64_t end)
{
    const blocks *b = user;
    const ag_walk *w = &b->w;
    _Alignas(64) char memory[AG_N_OPERANDS + 1][BLOCK * ITEM_BYTES];
    const void *in[AG_N_OPERANDS];
    int64_t index[AG_MAX_DIMS], filled = 0; /* the next element in a row that a block PER_ROW was not filled for */
    place_at(w, begin, index);
    for (int k = 1; k < w->n; k++)
        if (b->how[k] == REPEATED)
            b->convert[k](memory[k], b->item[k], w->data[k], 0, end - begin < BLOCK ? end - begin : BLOCK);
    for (int64_t i = begin, n; i < end; i += n) {
        n = end - i < b->most ? end - i : b->most;
        if (b->by_rows && n > b->row - index[w->ndim - 1]) n = b->row - index[w->ndim - 1];
        char *out = b->how[0] == IN_ORDER  ? w->data[0] + i * b->item[0]
                    : b->how[0] == IN_ROWS ? address_of(w, 0, index)
                                           : memory[0];
        for (int k = 1; k < w->n; k++) {
            if (b->how[k] == GATHERED) move_block(b, k, index, n, memory[k], false);
            if (b->how[k] == PER_ROW && i >= filled)
                b->convert[k](memory[k], b->item[k], address_of(w, k, index), 0, b->row < BLOCK ? b->row : BLOCK);
            const char *at = b->how[k] == IN_ORDER  ? w->data[k] + i * b->item[k]
                             : b->how[k] == IN_ROWS ? address_of(w, k, index)
                                                    : memory[k];
            in[b->slot[k]] = at;
        }
        if (b->by_rows && i >= filled) filled = i + b->row - index[w->ndim - 1];
        for (int slot = 0; slot < AG_N_OPERANDS; slot++)
            if (!(b->f.reads >> slot & 1)) in[slot] = in[b->some];
        evaluate_loop(&b->f, n, out, in);
        if (out == memory[0]) move_block(b, 0, index, n, out, true);
        advance(w, index, n);
    }
    if (b->f.past_caches) ag__stores_past_are_done();
}

/* ---- by tiles ---- */

/* Whether there are to be tiles, and which. */
static bool cut_into_tiles(blocks *b)
{
    enum { SHORTEST = 8 };
    const ag_walk *w = &b->w;
    const int last = w->ndim - 1;
    int turned = 0;
    b->across = -1;
    if (b->row < SHORTEST) return false;
    for (int k = 1; k < w->n; k++) {
        if (b->how[k] != GATHERED || !b->right_type[k] || turned == MAX_TURNED) continue;
        for (int d = last - 1; d >= 0 && b->across < 0; d--)
            if (w->stride[k][d] == b->item[k] && w->size[d] >= SHORTEST) b->across = d;
        if (b->across < 0 || w->stride[k][b->across] != b->item[k]) continue;
        b->how[k] = TURNED;
        turned++;
    }
    if (!turned) return false;
    const int64_t p = w->size[b->across], q = b->row;
    b->tile[1] = smaller(q, TILE_SIDE);
    b->tile[0] = smaller(p, TILE / b->tile[1]);
    b->tile[1] = smaller(q, TILE / b->tile[0]);
    b->n_tiles[0] = (p - 1) / b->tile[0] + 1;
    b->n_tiles[1] = (q - 1) / b->tile[1] + 1;
    return true;
}

/* What a task needs beside the operands. */
typedef struct tile_memory {
    _Alignas(64) char turned[MAX_TURNED][TILE * ITEM_BYTES];
    _Alignas(64) char row[AG_N_OPERANDS + 1][TILE / 8 * ITEM_BYTES];
} tile_memory;

/* p by q elements, operand k's first at at[k]. */
typedef struct tile {
    int64_t p, q;
    char *at[AG_MAX_OPERANDS];
} tile;

/* Tile number n, counted over all planes. */
static void place_tile(const blocks *b, int64_t n, tile *t)
{
    const ag_walk *w = &b->w;
    const int last = w->ndim - 1, across = b->across;
    const int64_t a_plane = b->n_tiles[0] * b->n_tiles[1];
    const int64_t p = n % a_plane / b->n_tiles[1] * b->tile[0], q = n % b->n_tiles[1] * b->tile[1];
    int64_t plane = n / a_plane, index[AG_MAX_DIMS];
    for (int d = last - 1; d >= 0; d--) {
        if (d == across) continue;
        index[d] = plane % w->size[d];
        plane /= w->size[d];
    }
    index[across] = p;
    index[last] = q;
    for (int k = 0; k < w->n; k++) t->at[k] = address_of(w, k, index);
    t->p = smaller(b->tile[0], w->size[across] - p);
    t->q = smaller(b->tile[1], b->row - q);
}

static void evaluate_tile(const blocks *b, const tile *t, const tile *next, tile_memory *memory)
{
    const ag_walk *w = &b->w;
    const int last = w->ndim - 1, across = b->across;
    const int64_t p = t->p, q = t->q;
    const char *turned[AG_MAX_OPERANDS];
    const void *in[AG_N_OPERANDS];
    int n_turned = 0;
    for (int k = 1; k < w->n; k++) {
        if (b->how[k] != TURNED) continue;
        char *to = memory->turned[n_turned++];
        turned[k] = to;
        ag__transpose(to, q * b->item[k], t->at[k], w->stride[k][last], p, q, b->item[k], next->at[k]);
    }
    const bool direct = b->right_type[0] && w->stride[0][last] == b->item[0];
    for (int64_t i = 0; i < p; i++) {
        for (int k = 1; k < w->n; k++) {
            const int64_t item = b->item[k], along = w->stride[k][last];
            const char *from = t->at[k] + i * w->stride[k][across];
            if (b->how[k] == TURNED) {
                from = turned[k] + i * q * item;
            } else if (!b->right_type[k] || along != item) {
                if (i == 0 || w->stride[k][across]) b->convert[k](memory->row[k], item, from, along, q);
                from = memory->row[k];
            }
            in[b->slot[k]] = from;
        }
        for (int slot = 0; slot < AG_N_OPERANDS; slot++)
            if (!(b->f.reads >> slot & 1)) in[slot] = in[b->some];
        for (int k = 1; k < w->n && i < next->p; k++)
            if (b->how[k] != TURNED)
                ag__ask_for_later((uintptr_t)next->at[k] + (uintptr_t)(i * w->stride[k][across]), next->q * b->item[k]);
        char *to = t->at[0] + i * w->stride[0][across];
        const bool past = direct && b->f.past_caches && (uintptr_t)to % AG_LINE == 0;
        b->f.loop(q, direct && !past ? to : memory->row[0], in, b->f.options);
        if (past)
            AG_ISA_PICK(ag__pointwise)->store_past(to, memory->row[0], q * b->item[0]);
        else if (!direct)
            b->convert[0](to, w->stride[0][last], memory->row[0], b->item[0], q);
    }
}

static void tiles_part(void *user, int64_t begin, int64_t end)
{
    const blocks *b = user;
    tile_memory memory;
    tile at[2];
    place_tile(b, begin, &at[begin % 2]);
    for (int64_t i = begin; i < end; i++) {
        place_tile(b, i + 1 < end ? i + 1 : i, &at[(i + 1) % 2]);
        evaluate_tile(b, &at[i % 2], &at[(i + 1) % 2], &memory);
    }
    if (b->f.past_caches) ag__stores_past_are_done();
}

static void evaluate_tiles(blocks *b)
{
    const ag_walk *w = &b->w;
    const int64_t a_tile = b->tile[0] * b->tile[1], planes = w->numel / (w->size[b->across] * b->row);
    ag__parallel_for(planes * b->n_tiles[0] * b->n_tiles[1], 1 + (grain_of(w->numel) - 1) / a_tile, tiles_part, b);
}

/* ---- both ---- */

static void evaluate_blocks(const ag__evaluation *e, ag__loop *loop)
{
    blocks b; /* large, and mostly not used: so not cleared */
    b.f = (formula){ loop, e->options, e->reads, item_of(e->dtype), item_of(result_type(e)), false };
    b.some = __builtin_ctz(e->reads & ~(1u << IN_M));
    const ag_tensor *operand[AG_MAX_OPERANDS];
    ag_dtype type[AG_MAX_OPERANDS];
    int n = 1;
    operand[0] = e->out;
    type[0] = result_type(e);
    for (unsigned reads = e->reads; reads; reads &= reads - 1, n++) {
        int k = __builtin_ctz(reads);
        b.slot[n] = k;
        operand[n] = e->operand[k];
        type[n] = type_of(e, k);
    }
    ag__walk(&b.w, n, operand);
    b.row = b.w.ndim ? b.w.size[b.w.ndim - 1] : 1;
    b.by_rows = b.w.ndim && b.row >= LONG_ROW;
    b.most = INT64_MAX;
    b.f.past_caches = ag__goes_past_caches(e->out->data, e->out->numel * item_of((ag_dtype)e->out->dtype));
    for (int k = 0; k < n; k++) {
        if (k && operand[k]->data == operand[0]->data) b.f.past_caches = false;
        ag_dtype own = (ag_dtype)operand[k]->dtype;
        b.item[k] = item_of(type[k]);
        b.convert[k] = k ? ag__convert_rows[type[k]][own] : ag__convert_rows[own][type[k]];
        b.right_type[k] = own == type[k];
        b.how[k] = access_of(&b, k);
        if (b.how[k] > IN_ROWS) b.most = BLOCK;
    }
    if (cut_into_tiles(&b))
        evaluate_tiles(&b);
    else if (e->out->numel <= GRAIN)
        blocks_part(&b, 0, e->out->numel);
    else
        ag__parallel_for(e->out->numel, grain_of(e->out->numel), blocks_part, &b);
}

static bool evaluate_cpu(const ag__evaluation *e)
{
    if (e->out->numel == 0) return true;
    if (!all_alike(e)) {
        evaluate_blocks(e, loop_of(e->expression, e->dtype));
        return true;
    }
    const void *in[AG_N_OPERANDS], *some = e->operand[__builtin_ctz(e->reads & ~(1u << IN_M))]->data;
    for (int k = 0; k < AG_N_OPERANDS; k++) in[k] = e->reads >> k & 1 ? e->operand[k]->data : some;
    ag__evaluate_arrays(e->expression, e->dtype, e->is_test, e->out->numel, e->out->data, in, e->options);
    return true;
}

bool ag__evaluate(const char *op, const ag__evaluation *e)
{
    ag_device device = ag__tensor_device(e->out);
    if (device.type == AG_DEVICE_CPU) return evaluate_cpu(e);
    const ag_device_functions *functions = ag__device_functions(device);
    return functions && functions->evaluate(op, e);
}
