/* moments.h - sums over a row of numbers, added up in double: what variances and norms are made of. */
#ifndef AG_CPU_MOMENTS_H
#define AG_CPU_MOMENTS_H
#include <argent/dtype.h>

typedef enum {
    AG_SUM,     /* x */
    AG_SIZES,   /* |x| */
    AG_SQUARES, /* (x - from)^2 */
    AG_N_MOMENTS
} ag__moment;

/* The sum over x[0..n), of AG_FLOAT32 or AG_FLOAT64, side by side. A long row is shared out among the threads, cut in a
 * way that depends on n alone. */
double ag__sum_of(ag__moment moment, ag_dtype dtype, const void *x, int64_t n, double from);

/* The sum of (x - mean)^2 over the same, n > 0, where mean is theirs. */
double ag__squares_from_mean(ag_dtype dtype, const void *x, int64_t n);

/* The same of every column of x(outer,n,inner), which runs along n, to squares(outer,inner); x is dense. false with
 * AG_ENOMEM. */
bool ag__squares_of_columns(ag_dtype dtype, const void *x, int64_t outer, int64_t n, int64_t inner, double *squares);

/* ---- the kernels, by moment and type, compiled for each instruction set ---- */

typedef double ag__moment_row(const void *x, int64_t n, double from);
/* The sum of x - from, and that of its square. */
typedef void ag__moment_spread(const void *x, int64_t n, double from, double *sum, double *squares);
/* The mean of each of m columns of so many rows, `stride` elements apart, and the squares from it: added up in mean and
 * squares, which are 0 at first and have room for a multiple of AG_MOMENT_LANES columns. */
typedef void ag__moment_columns(const void *x, int64_t stride, int64_t rows, int64_t m, double *mean, double *squares);
enum { AG_MOMENT_LANES = 8 };
typedef struct ag__moment_kernels {
    ag__moment_row *row[AG_N_MOMENTS][2];
    ag__moment_spread *spread[2];
    ag__moment_columns *columns[2];
} ag__moment_kernels;

#endif
