/* moments.c - a long row in pieces; see moments.h. */
#include "ops/cpu/moments.h"
#include "ops/cpu/isa.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"

#include <string.h>

AG_ISA_TABLES(ag__moment_kernels, ag__moments)

enum {
    PIECE = 1 << 15, /* elements at least */
    MAX_PIECES = 64,
    FIRST = 1 << 9, /* elements gone over twice */
    BLOCK = 1 << 12 /* and once, after those */
};

typedef struct job {
    ag__moment_row *row, *squares;
    ag__moment_spread *spread;
    const char *x;
    int64_t item, n, piece;
    double from, sum[MAX_PIECES], square[MAX_PIECES];
} job;
static int64_t elements_of(const job *j, int64_t i)
{
    return j->n - i * j->piece < j->piece ? j->n - i * j->piece : j->piece;
}

static job job_of(ag__moment_row *row, ag_dtype dtype, const void *x, int64_t n, int64_t piece)
{
    job j = { .row = row, .x = x, .item = (int64_t)ag_dtype_size(dtype), .n = n, .piece = piece };
    while ((n - 1) / j.piece + 1 > MAX_PIECES) j.piece *= 2;
    return j;
}

static void sum_pieces(void *user, int64_t begin, int64_t end)
{
    job *j = user;
    for (int64_t i = begin; i < end; i++) {
        j->sum[i] = j->row(j->x + i * j->piece * j->item, elements_of(j, i), j->from);
    }
}

double ag__sum_of(ag__moment moment, ag_dtype dtype, const void *x, int64_t n, double from)
{
    ag__moment_row *row = AG_ISA_PICK(ag__moments)->row[moment][dtype];
    if (n <= PIECE) return row(x, n, from);
    job j = job_of(row, dtype, x, n, PIECE);
    j.from = from;
    const int64_t pieces = (n - 1) / j.piece + 1;
    ag__parallel_for(pieces, 1, sum_pieces, &j);
    for (int64_t step = 1; step < pieces; step *= 2)
        for (int64_t i = 0; i + step < pieces; i += 2 * step) j.sum[i] += j.sum[i + step];
    return j.sum[0];
}

/* ---- squares from the mean, each number fetched from memory once ---- */

/* A mean, and the sum of squares from it, of n numbers. */
typedef struct spread {
    double n, mean, squares;
} spread;

static spread spread_of_few(const job *j, const char *x, int64_t n)
{
    const double mean = j->row(x, n, 0) / (double)n;
    return (spread){ (double)n, mean, j->squares(x, n, mean) };
}
/* Of both together (Chan, Golub and LeVeque). */
static spread together(spread a, spread b)
{
    const double n = a.n + b.n, apart = b.mean - a.mean;
    return (spread){ n, a.mean + apart * (b.n / n), a.squares + b.squares + apart * apart * (a.n * (b.n / n)) };
}

/* Of more, those after the first few from the mean of all before them: what cancels out is then no more than what their
 * distance from it adds. */
static spread spread_of_many(const job *j, const char *x, int64_t n)
{
    spread all = spread_of_few(j, x, n < FIRST ? n : FIRST);
    for (int64_t at = FIRST, some; at < n; at += some) {
        some = n - at < BLOCK ? n - at : BLOCK;
        double sum, squares;
        j->spread(x + at * j->item, some, all.mean, &sum, &squares);
        const double apart = sum / (double)some, left = squares - sum * apart;
        all = together(all, (spread){ (double)some, all.mean + apart, left < 0 ? 0 : left }); /* NaN stays */
    }
    return all;
}

static void spread_pieces(void *user, int64_t begin, int64_t end)
{
    job *j = user;
    for (int64_t i = begin; i < end; i++) {
        const char *x = j->x + i * j->piece * j->item;
        const int64_t n = elements_of(j, i);
        const spread all = spread_of_many(j, x, n);
        j->sum[i] = all.mean;
        j->square[i] = all.squares;
    }
}

double ag__squares_from_mean(ag_dtype dtype, const void *x, int64_t n)
{
    job j = job_of(AG_ISA_PICK(ag__moments)->row[AG_SUM][dtype], dtype, x, n, PIECE);
    j.squares = AG_ISA_PICK(ag__moments)->row[AG_SQUARES][dtype];
    j.spread = AG_ISA_PICK(ag__moments)->spread[dtype];
    if (n <= PIECE) return spread_of_many(&j, x, n).squares;
    const int64_t pieces = (n - 1) / j.piece + 1;
    ag__parallel_for(pieces, 1, spread_pieces, &j);
    spread all = { (double)elements_of(&j, 0), j.sum[0], j.square[0] };
    for (int64_t i = 1; i < pieces; i++)
        all = together(all, (spread){ (double)elements_of(&j, i), j.sum[i], j.square[i] });
    return all.squares;
}

/* ---- of columns: tiles of them, their rows in pieces ---- */

enum { TILE = 512, TILE_PIECES = 16 };

typedef struct column_job {
    ag__moment_columns *columns;
    const char *x;
    int64_t item, outer, n, inner, tiles, pieces, piece;
    double *mean, *squares; /* of each piece: (pieces,outer,inner) */
} column_job;

static void spread_tiles(void *user, int64_t begin, int64_t end)
{
    const column_job *j = user;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t piece = unit % j->pieces, o = unit / j->pieces / j->tiles;
        const int64_t first = unit / j->pieces % j->tiles * TILE, row = piece * j->piece;
        const int64_t m = j->inner - first < TILE ? j->inner - first : TILE;
        const int64_t rows = j->n - row < j->piece ? j->n - row : j->piece,
                      to = (piece * j->outer + o) * j->inner + first;
        double mean[TILE] = { 0 }, squares[TILE] = { 0 };
        j->columns(j->x + ((o * j->n + row) * j->inner + first) * j->item, j->inner, rows, m, mean, squares);
        memcpy(j->mean + to, mean, (size_t)m * sizeof *mean);
        memcpy(j->squares + to, squares, (size_t)m * sizeof *squares);
    }
}

bool ag__squares_of_columns(ag_dtype dtype, const void *x, int64_t outer, int64_t n, int64_t inner, double *squares)
{
    column_job j = { .columns = AG_ISA_PICK(ag__moments)->columns[dtype],
                     .x = x,
                     .item = (int64_t)ag_dtype_size(dtype),
                     .outer = outer,
                     .n = n,
                     .inner = inner,
                     .tiles = (inner - 1) / TILE + 1,
                     .pieces = 1 };
    const int64_t units = outer * j.tiles, each = n * (inner < TILE ? inner : TILE);
    if (units < TILE_PIECES && each >= 2 * PIECE) j.pieces = each / PIECE < TILE_PIECES ? each / PIECE : TILE_PIECES;
    j.piece = (n - 1) / j.pieces + 1;
    j.pieces = (n - 1) / j.piece + 1;
    const int64_t outputs = outer * inner;
    j.mean = ag__scratch((size_t)(2 * j.pieces * outputs) * sizeof *j.mean);
    if (!j.mean) return false;
    j.squares = j.mean + j.pieces * outputs;
    ag__parallel_for(units * j.pieces, PIECE / (each / j.pieces + 1) + 1, spread_tiles, &j);
    for (int64_t k = 0; k < outputs; k++) {
        spread all = { 0, 0, 0 };
        for (int64_t i = 0; i < j.pieces; i++) {
            const int64_t left = n - i * j.piece, at = i * outputs + k;
            const spread next = { (double)(left < j.piece ? left : j.piece), j.mean[at], j.squares[at] };
            all = i ? together(all, next) : next;
        }
        squares[k] = all.squares;
    }
    ag__scratch_free(j.mean);
    return true;
}
