/* gemm.h - C = alpha A B + beta D: the product of matrices, for float and double and for integers that wrap. */
#ifndef AG_GEMM_H
#define AG_GEMM_H
#include <argent/dtype.h>

/* Strides count elements and may be anything, zero included; a transposed operand is one with its strides exchanged. D
 * is what is added: C itself (same strides), a bias for each column (d_row = 0) or row (d_col = 0), or any matrix; with
 * beta = 0 it is not read. C is written only, lies apart from A and B, and no two of its elements share a place. */
typedef struct ag__gemm_args {
    ag_dtype dtype; /* of all four; not AG_BOOL */
    int64_t m, n, k;
    const void *a; /* (m, k) */
    int64_t a_row, a_col;
    const void *b; /* (k, n) */
    int64_t b_row, b_col;
    const void *d; /* (m, n) */
    int64_t d_row, d_col;
    void *c; /* (m, n) */
    int64_t c_row, c_col;
    double alpha, beta; /* integers: whole numbers */

    int64_t batch; /* so many products, 0 counts as 1; from one to the next: */
    int64_t a_batch, b_batch, d_batch, c_batch;
} ag__gemm_args;

/* False, with AG_ENOMEM standing, if there was no memory to pack the operands in. */
bool ag__gemm(const ag__gemm_args *args);

/* ---- the kernels, one table for each type and instruction set ---- */

/* The sum that is an element of C is made in slices of so many terms: each from 0 on in one register, then added to
 * what is there, beta * D at first. MKL does the same in float32: of most shapes the product has PyTorch's bits. */
enum { AG_GEMM_SLICE = 192 };
/* Rows of B to come that are asked for at once: many would hold up other loads, fewer make more and shorter loops. */
enum { AG_GEMM_FETCH = 4 };
/* So many columns of A before it is met one is asked for: far enough for the second-level cache, and little enough that
 * B's panel stays in the first. (The next panel's of doubles pushed that out.) */
enum { AG_GEMM_AHEAD = 16 };

/* The operands of a tile of C. Strides count elements. */
typedef struct {
    int64_t depth;
    const void *a; /* (m, depth), where it lies or packed */
    int64_t a_row, a_col;
    const void *b; /* (depth, n), the elements of a row side by side; whole registers of it can be read */
    int64_t b_row;

    /* What is fetched meanwhile: every `pace` terms the next AG_GEMM_FETCH rows of `next`, which are b_row apart, too.
     */
    int64_t pace;
    const void *next;

    double alpha; /* from here on for the kernel's own use */
    const void *add;
    int64_t add_row;
    void *out;
    int64_t out_row;
} ag__gemm_tile;

typedef struct {
    int rows, columns; /* of a tile */

    /* A panel of A, ROWS wide:
     *     to[p][i] = from[i * across + p * along]   p < depth, i < valid; 0 for i from valid to ROWS */
    void (*pack_a)(void *to, const void *from, int64_t across, int64_t along, int valid, int64_t depth);
    /* Panels of B, COLUMNS wide:
     *     to[j][p][i] = from[(j * COLUMNS + i) * across + p * along]   of the last, only the registers that have valid
     *                                                                  elements; in them 0 beyond those */
    void (*pack_b)(void *to, const void *from, int64_t across, int64_t along, int64_t valid, int64_t depth);
    /* C[m, n] = alpha A B + beta * D, m <= rows, n <= columns; alpha, beta and the strides of D and C from g.
     * The operands are used up. */
    void (*tile)(const ag__gemm_args *g, int m, int n, ag__gemm_tile *operands, const void *d, void *c);
    /* c[i * c_row] = alpha * (row i of A) x + beta * d[i * d_row] for m rows; x is contiguous, and so are the rows of A
     * (a_col = 1) or its columns (a_row = 1) */
    void (*times_vector)(const ag__gemm_args *g, int64_t m, const void *a, const void *x, const void *d, void *c);
} ag__gemm_kernels;

void ag__gemm_integer(const ag__gemm_args *args); /* gemm_integer.c */

#endif
