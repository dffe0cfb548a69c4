/* gemm.c - the product of matrices on a device: by cuBLAS, which takes operands as they lie if one of their two strides
 * is 1; others are first laid out anew. What is no task for it goes to the kernels of gemm.cu. */
#include "cuda/gemm.h"
#include "cuda/cublas_handle.h"

#include <string.h>

typedef struct product {
    const char *op;
    ag_device device;
    ag__gemm_args g;
    int type, compute; /* cuBLAS's */
    int64_t item;      /* bytes of an element */
    int n_copies;
    struct {
        void *data;
        int64_t bytes;
    } copy[2];
} product;

static inline int64_t at_least_1(int64_t n) { return n > 1 ? n : 1; }

/* alpha and beta as cuBLAS reads them. */
typedef union number {
    float f;
    double d;
} number;
static number number_of(const product *p, double x)
{
    number y = { .d = x };
    if (p->type == CUBLAS_R_32F) y.f = (float)x;
    return y;
}

/* ---- how operands lie ---- */

/* A matrix (rows, columns) as cuBLAS wants it: by columns, or transposed. */
static bool lies_well(int64_t rows, int64_t columns, int64_t row, int64_t column, int *operation, int64_t *ld)
{
    *operation = CUBLAS_OP_N;
    *ld = columns == 1 ? at_least_1(rows) : column;
    if ((row == 1 || rows == 1) && *ld >= at_least_1(rows)) return true;
    *operation = CUBLAS_OP_T;
    *ld = rows == 1 ? at_least_1(columns) : row;
    return (column == 1 || columns == 1) && *ld >= at_least_1(columns);
}

/* The batch of matrices as a tensor, for copying. */
static ag_tensor tensor_of(const product *p, ag_storage *storage, const void *data, int64_t batch, int64_t rows,
                           int64_t columns, const int64_t stride[3])
{
    ag_tensor x = { .data = (char *)data, .storage = storage, .dtype = (uint8_t)p->g.dtype, .ndim = 3 };
    *storage = (ag_storage){ .device = p->device };
    x.numel = batch * rows * columns;
    x.size[0] = batch, x.size[1] = rows, x.size[2] = columns;
    memcpy(x.stride, stride, 3 * sizeof *stride);
    return x;
}

static bool copy_matrix(const product *p, int64_t batch, int64_t rows, int64_t columns, void *to,
                        const int64_t to_stride[3], const void *from, const int64_t from_stride[3])
{
    ag_storage storage[2];
    const ag_tensor y = tensor_of(p, &storage[0], to, batch, rows, columns, to_stride);
    const ag_tensor x = tensor_of(p, &storage[1], from, batch, rows, columns, from_stride);
    return ag__cuda_copy_elements(&y, &x);
}

/* Laid out row by row in memory of its own, which is let go of after the launch: all is done in one order. */
static bool lay_out(product *p, int64_t rows, int64_t columns, const void **data, int64_t *row, int64_t *column,
                    int64_t *batch)
{
    const int64_t items = *batch == 0 ? 1 : at_least_1(p->g.batch), bytes = items * rows * columns * p->item;
    const int64_t to[3] = { rows * columns, columns, 1 }, from[3] = { *batch, *row, *column };
    void *room = ag__cuda_alloc(p->device, bytes);
    if (!room) return false;
    p->copy[p->n_copies].data = room;
    p->copy[p->n_copies++].bytes = bytes;
    if (!copy_matrix(p, items, rows, columns, room, to, *data, from)) return false;
    *data = room;
    *row = columns;
    *column = 1;
    if (*batch != 0) *batch = rows * columns;
    return true;
}

static bool left(product *p, int *operation, int64_t *ld)
{
    ag__gemm_args *g = &p->g;
    if (lies_well(g->m, g->k, g->a_row, g->a_col, operation, ld)) return true;
    return lay_out(p, g->m, g->k, &g->a, &g->a_row, &g->a_col, &g->a_batch) &&
           lies_well(g->m, g->k, g->a_row, g->a_col, operation, ld);
}
static bool right(product *p, int *operation, int64_t *ld)
{
    ag__gemm_args *g = &p->g;
    if (lies_well(g->k, g->n, g->b_row, g->b_col, operation, ld)) return true;
    return lay_out(p, g->k, g->n, &g->b, &g->b_row, &g->b_col, &g->b_batch) &&
           lies_well(g->k, g->n, g->b_row, g->b_col, operation, ld);
}

/* C' = B' A': the same product, of matrices that lie the other way. */
static void transpose(ag__gemm_args *g)
{
    const ag__gemm_args was = *g;
    g->m = was.n, g->n = was.m;
    g->a = was.b, g->a_row = was.b_col, g->a_col = was.b_row, g->a_batch = was.b_batch;
    g->b = was.a, g->b_row = was.a_col, g->b_col = was.a_row, g->b_batch = was.a_batch;
    g->c_row = was.c_col, g->c_col = was.c_row;
    g->d_row = was.d_col, g->d_col = was.d_row;
}

/* ---- what is added ---- */

static bool adds_to_itself(const ag__gemm_args *g)
{
    return g->d == g->c && (g->m == 1 || g->d_row == g->c_row) && (g->n == 1 || g->d_col == g->c_col) &&
           (g->batch <= 1 || g->d_batch == g->c_batch);
}

/* D comes to lie in C, which cuBLAS then adds to. */
static bool lay_in(const product *p)
{
    const ag__gemm_args *g = &p->g;
    const int64_t to[3] = { g->c_batch, g->c_row, g->c_col }, from[3] = { g->d_batch, g->d_row, g->d_col };
    if (g->beta == 0 || adds_to_itself(g)) return true;
    return copy_matrix(p, at_least_1(g->batch), g->m, g->n, g->c, to, g->d, from);
}

/* ---- cuBLAS's functions ---- */

static bool dot(const product *p, ag_cublas_handle *h, const void *x, int64_t x_step, const void *y, int64_t y_step)
{
    const ag_cublas *lib = ag__cublas();
    bool ok = ag__cublas_ok(p->op, lib->set_pointer_mode(h->handle, CUBLAS_POINTER_MODE_DEVICE));
    ok = ok && ag__cublas_ok(p->op, (p->type == CUBLAS_R_32F ? lib->dot_f32 : lib->dot_f64)(h->handle, p->g.k, x,
                                                                                            x_step, y, y_step, p->g.c));
    return ag__cublas_ok(p->op, lib->set_pointer_mode(h->handle, CUBLAS_POINTER_MODE_HOST)) && ok;
}

/* n is 1: a matrix by a vector. */
static bool matrix_by_vector(product *p, ag_cublas_handle *h)
{
    const ag_cublas *lib = ag__cublas();
    ag__gemm_args *g = &p->g;
    const number alpha = number_of(p, g->alpha), beta = number_of(p, g->beta);
    int operation;
    int64_t ld;
    if (g->k == 1) g->b_row = 1;
    if (g->b_row == 0 && !lay_out(p, g->k, 1, &g->b, &g->b_row, &g->b_col, &g->b_batch)) return false;
    if (g->m == 1 && g->alpha == 1 && g->beta == 0 && (g->a_col > 0 || g->k == 1))
        return dot(p, h, g->a, g->k == 1 ? 1 : g->a_col, g->b, g->b_row);
    if (!left(p, &operation, &ld)) return false;
    const bool as_it_lies = operation == CUBLAS_OP_N;
    return ag__cublas_ok(p->op, (p->type == CUBLAS_R_32F ? lib->gemv_f32 : lib->gemv_f64)(
                                    h->handle, operation, as_it_lies ? g->m : g->k, as_it_lies ? g->k : g->m, &alpha,
                                    g->a, ld, g->b, g->b_row, &beta, g->c, g->m == 1 ? 1 : g->c_row));
}

/* C lies by columns, at a distance of c_ld. */
static bool matrix_by_matrix(product *p, ag_cublas_handle *h, int64_t c_ld, const void *bias)
{
    const ag_cublas *lib = ag__cublas();
    const number alpha = number_of(p, p->g.alpha), beta = number_of(p, p->g.beta);
    int a_op, b_op;
    int64_t a_ld, b_ld;
    if (!left(p, &a_op, &a_ld) || !right(p, &b_op, &b_ld)) return false;
    const ag__gemm_args *g = &p->g;
    if (bias) {
        const ag_cublas_product all = { .m = g->m,
                                        .n = g->n,
                                        .k = g->k,
                                        .a_op = a_op,
                                        .b_op = b_op,
                                        .type = p->type,
                                        .compute = p->compute,
                                        .a = g->a,
                                        .b = g->b,
                                        .bias = bias,
                                        .alpha = &alpha,
                                        .c = g->c,
                                        .a_ld = a_ld,
                                        .b_ld = b_ld,
                                        .c_ld = c_ld };
        bool done;
        if (!ag__cublas_with_bias(p->op, h, &all, &done)) return false;
        if (done) return true;
        if (!lay_in(p)) return false;
    }
    if (g->batch <= 1)
        return ag__cublas_ok(p->op,
                             lib->gemm(h->handle, a_op, b_op, g->m, g->n, g->k, &alpha, g->a, p->type, a_ld, g->b,
                                       p->type, b_ld, &beta, g->c, p->type, c_ld, p->compute, CUBLAS_GEMM_DEFAULT));
    return ag__cublas_ok(p->op, lib->gemm_batched(h->handle, a_op, b_op, g->m, g->n, g->k, &alpha, g->a, p->type, a_ld,
                                                  g->a_batch, g->b, p->type, b_ld, g->b_batch, &beta, g->c, p->type,
                                                  c_ld, g->c_batch, g->batch, p->compute, CUBLAS_GEMM_DEFAULT));
}

static bool by_cublas(product *p, cudaStream_t stream)
{
    ag__gemm_args *g = &p->g;
    int operation;
    int64_t c_ld;
    bool is_vector = g->batch <= 1 && (g->n == 1 || g->m == 1);
    if (is_vector && g->n != 1) transpose(g);
    if (!is_vector) {
        /* row by row, if both will do: the way a bias is added to */
        lies_well(g->n, g->m, g->c_col, g->c_row, &operation, &c_ld);
        if (operation == CUBLAS_OP_N) transpose(g);
        lies_well(g->m, g->n, g->c_row, g->c_col, &operation, &c_ld);
    }
    const bool is_bias = !is_vector && g->beta == 1 && g->batch <= 1 && g->d_row == 1 && g->d_col == 0;
    ag_cublas_handle *h = ag__cublas_take(p->op, p->device, stream);
    if (!h) return false;
    bool ok = is_bias || lay_in(p);
    if (ok) ok = is_vector ? matrix_by_vector(p, h) : matrix_by_matrix(p, h, c_ld, is_bias ? g->d : NULL);
    ag__cublas_give(h);
    for (int i = 0; i < p->n_copies; i++) ag__cuda_free(p->device, p->copy[i].data, p->copy[i].bytes);
    return ok && ag__cuda_launched(p->op, cudaSuccess, stream);
}

/* C lies so that cuBLAS can write it. */
static bool can_be_written(const ag__gemm_args *g)
{
    int operation;
    int64_t ld;
    if (g->batch <= 1 && g->n == 1) return g->m == 1 || g->c_row > 0;
    if (g->batch <= 1 && g->m == 1) return g->c_col > 0;
    return lies_well(g->m, g->n, g->c_row, g->c_col, &operation, &ld);
}

bool ag__cuda_gemm(const char *op, ag_device device, const ag__gemm_args *g, bool allow_tf32)
{
    cudaStream_t stream;
    if (g->m <= 0 || g->n <= 0) return true;
    if (!ag__cuda_use(op, device, &stream)) return false;
    const bool is_float = g->dtype == AG_FLOAT32, is_real = is_float || g->dtype == AG_FLOAT64;
    if (!is_real || g->k <= 0 || !can_be_written(g) || !ag__cublas())
        return ag__cuda_launched(op, (cudaError_t)ag__cuda_multiply(g, stream), stream);
    product p = { .op = op, .device = device, .g = *g, .item = is_float ? 4 : 8 };
    p.type = is_float ? CUBLAS_R_32F : CUBLAS_R_64F;
    p.compute = !is_float ? CUBLAS_COMPUTE_64F : allow_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    return by_cublas(&p, stream);
}
