/* moments.c - a long row in pieces; see moments.h. */
#include "ops/cpu/moments.h"
#include "ops/cpu/isa.h"
#include "tensor/parallel.h"

AG_ISA_TABLES(ag__moment_kernels, ag__moments)

enum { PIECE = 1 << 15 /* elements at least */, MAX_PIECES = 64 };

typedef struct job {
    ag__moment_row *row;
    const char *x;
    int64_t item, n, piece;
    double from, sum[MAX_PIECES];
} job;

static void sum_pieces(void *user, int64_t begin, int64_t end)
{
    job *j = user;
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i * j->piece, n = j->n - at < j->piece ? j->n - at : j->piece;
        j->sum[i] = j->row(j->x + at * j->item, n, j->from);
    }
}

double ag__sum_of(ag__moment moment, ag_dtype dtype, const void *x, int64_t n, double from)
{
    ag__moment_row *row = AG_ISA_PICK(ag__moments)->row[moment][dtype];
    if (n <= PIECE) return row(x, n, from);
    job j = { .row = row, .x = x, .item = (int64_t)ag_dtype_size(dtype), .n = n, .piece = PIECE, .from = from };
    while ((n - 1) / j.piece + 1 > MAX_PIECES) j.piece *= 2;
    const int64_t pieces = (n - 1) / j.piece + 1;
    ag__parallel_for(pieces, 1, sum_pieces, &j);
    for (int64_t step = 1; step < pieces; step *= 2)
        for (int64_t i = 0; i + step < pieces; i += 2 * step) j.sum[i] += j.sum[i + step];
    return j.sum[0];
}
