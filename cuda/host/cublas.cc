// cublas.cc - stand-in for cuBLAS (cuda/cublas.h): plain loops that run when the stream's turn comes. What it is called
// with is checked as strictly as the documentation allows: leading dimensions, steps, and that each operand lies within
// one allocation on the device.
#include "cuda/cublas.h"
#include "cuda/host/cublas_host.h"

using namespace hs;

namespace hs
{
void blas_check(const char *function, bool good, const char *what)
{
    if (!good) hs_fail("%s: %s", function, what);
}
// n columns of m elements, ld apart.
void blas_check_matrix(const char *function, const char *name, const void *p, int64_t m, int64_t n, int64_t ld,
                       int type)
{
    const size_t item = type == CUBLAS_R_64F ? 8 : 4;
    if (ld < m || ld < 1)
        hs_fail("%s: the leading dimension of %s is %lld, rows: %lld", function, name, (long long)ld, (long long)m);
    if ((uintptr_t)p % item) hs_fail("%s: %s at %p is not aligned to its elements", function, name, p);
    lock g;
    const range *r = reg_of(p);
    if (m < 1 || n < 1) return;
    if (!r || r->kind == 1) hs_fail("%s: %s at %p is no device memory", function, name, p);
    const size_t bytes = ((size_t)(n - 1) * (size_t)ld + (size_t)m) * item;
    if ((const char *)p + bytes > r->p + r->n)
        hs_fail("%s: %s takes %zu bytes, its memory has %zu", function, name, bytes, (size_t)(r->p + r->n - (char *)p));
}

static float to_tf32(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u = (u + 0xfff + (u >> 13 & 1)) & ~(uint32_t)0x1fff;
    memcpy(&x, &u, sizeof u);
    return x;
}
static float factor(float x, bool tf32) { return tf32 ? to_tf32(x) : x; }
static double factor(double x, bool) { return x; }

template <class T> static void multiply(const blas_product &g)
{
    const T *a = (const T *)g.a, *b = (const T *)g.b, *bias = (const T *)g.bias;
    for (int64_t item = 0; item < g.batch; item++)
        for (int64_t j = 0; j < g.n; j++)
            for (int64_t i = 0; i < g.m; i++) {
                double sum = 0;
                for (int64_t p = 0; p < g.k; p++)
                    sum += (double)factor(a[item * g.a_batch + (g.a_op ? p + i * g.a_ld : i + p * g.a_ld)], g.tf32) *
                           (double)factor(b[item * g.b_batch + (g.b_op ? j + p * g.b_ld : p + j * g.b_ld)], g.tf32);
                T *c = (T *)g.c + item * g.c_batch + i + j * g.c_ld;
                double value = g.alpha * sum;
                if (g.beta != 0) value += g.beta * *c; // with 0, C is not read
                if (bias) value += bias[i];
                *c = (T)value;
            }
}
static void product_run(void *p)
{
    const blas_product *g = (const blas_product *)p;
    dev_enter();
    g->type == CUBLAS_R_64F ? multiply<double>(*g) : multiply<float>(*g);
    dev_leave();
}
static void product_drop(void *p) { delete (blas_product *)p; }

int blas_multiply(const char *function, const blas_product &g, cudaStream_t stream)
{
    const int64_t last = g.batch - 1;
    blas_check(function, g.m > 0 && g.n > 0 && g.k > 0 && g.batch > 0, "a size is not positive");
    blas_check(function, g.batch == 1 || (g.c_batch >= 0 && g.a_batch >= 0 && g.b_batch >= 0), "a negative distance");
    blas_check(function, g.batch == 1 || g.c_batch > 0, "products of a batch are written over each other");
    for (int64_t item = 0; item <= last; item += last ? last : 1) {
        const size_t size = g.type == CUBLAS_R_64F ? 8 : 4;
        blas_check_matrix(function, "A", (const char *)g.a + item * g.a_batch * size, g.a_op ? g.k : g.m,
                          g.a_op ? g.m : g.k, g.a_ld, g.type);
        blas_check_matrix(function, "B", (const char *)g.b + item * g.b_batch * size, g.b_op ? g.n : g.k,
                          g.b_op ? g.k : g.n, g.b_ld, g.type);
        blas_check_matrix(function, "C", (const char *)g.c + item * g.c_batch * size, g.m, g.n, g.c_ld, g.type);
    }
    if (g.bias) blas_check_matrix(function, "the bias", g.bias, g.m, 1, g.m, g.type);
    return hs_enqueue(stream, product_run, product_drop, new blas_product(g)) == cudaSuccess
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_INVALID_VALUE;
}
double blas_number(const void *p, int type) { return type == CUBLAS_R_64F ? *(const double *)p : *(const float *)p; }
} // namespace hs

namespace
{
enum { MAGIC = 0x63754253 };
struct handle {
    int magic, pointer_mode;
    cudaStream_t stream;
};
handle *of(const char *function, void *h)
{
    blas_check(function, h && ((handle *)h)->magic == MAGIC, "this is no handle");
    return (handle *)h;
}

int create(void **h)
{
    *h = new handle{ MAGIC, CUBLAS_POINTER_MODE_HOST, nullptr };
    return CUBLAS_STATUS_SUCCESS;
}
int destroy(void *h)
{
    delete of("cublasDestroy", h);
    return CUBLAS_STATUS_SUCCESS;
}
int set_stream(void *h, cudaStream_t stream)
{
    of("cublasSetStream", h)->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}
int set_workspace(void *h, void *workspace, size_t bytes)
{
    of("cublasSetWorkspace", h);
    blas_check("cublasSetWorkspace", (uintptr_t)workspace % 256 == 0, "the workspace is not aligned to 256 bytes");
    blas_check_matrix("cublasSetWorkspace", "the workspace", workspace, (int64_t)(bytes / 4), 1, (int64_t)(bytes / 4),
                      0);
    return CUBLAS_STATUS_SUCCESS;
}
int set_pointer_mode(void *h, int mode)
{
    of("cublasSetPointerMode", h)->pointer_mode = mode;
    return CUBLAS_STATUS_SUCCESS;
}

int gemm_batched(void *h, int op_a, int op_b, int64_t m, int64_t n, int64_t k, const void *alpha, const void *a,
                 int a_type, int64_t a_ld, long long a_batch, const void *b, int b_type, int64_t b_ld,
                 long long b_batch, const void *beta, void *c, int c_type, int64_t c_ld, long long c_batch,
                 int64_t batch, int compute, int algorithm)
{
    const char function[] = "cublasGemmStridedBatchedEx";
    const handle *of_stream = of(function, h);
    blas_check(function, a_type == b_type && b_type == c_type, "mixed types");
    blas_check(function,
               a_type == CUBLAS_R_64F ? compute == CUBLAS_COMPUTE_64F
                                      : compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_FAST_TF32,
               "this is no type to compute it in");
    blas_check(function, of_stream->pointer_mode == CUBLAS_POINTER_MODE_HOST, "alpha and beta are on the device");
    blas_check(function, algorithm == CUBLAS_GEMM_DEFAULT, "this algorithm is not known here");
    return blas_multiply(function,
                         { op_a,
                           op_b,
                           a_type,
                           m,
                           n,
                           k,
                           a_ld,
                           b_ld,
                           c_ld,
                           a_batch,
                           b_batch,
                           c_batch,
                           batch,
                           a,
                           b,
                           nullptr,
                           c,
                           blas_number(alpha, a_type),
                           blas_number(beta, a_type),
                           compute == CUBLAS_COMPUTE_32F_FAST_TF32 },
                         of_stream->stream);
}
int gemm(void *h, int op_a, int op_b, int64_t m, int64_t n, int64_t k, const void *alpha, const void *a, int a_type,
         int64_t a_ld, const void *b, int b_type, int64_t b_ld, const void *beta, void *c, int c_type, int64_t c_ld,
         int compute, int algorithm)
{
    return gemm_batched(h, op_a, op_b, m, n, k, alpha, a, a_type, a_ld, 0, b, b_type, b_ld, 0, beta, c, c_type, c_ld, 0,
                        1, compute, algorithm);
}

// A vector is a matrix of one row: its step is the leading dimension.
template <int TYPE>
int gemv(void *h, int op, int64_t m, int64_t n, const void *alpha, const void *a, int64_t ld, const void *x,
         int64_t x_step, const void *beta, void *y, int64_t y_step)
{
    const char function[] = "cublasgemv";
    const handle *of_stream = of(function, h);
    const int64_t in = op ? m : n, out = op ? n : m;
    blas_check(function, x_step > 0 && y_step > 0, "a step is not positive");
    blas_check(function, of_stream->pointer_mode == CUBLAS_POINTER_MODE_HOST, "alpha and beta are on the device");
    blas_check_matrix(function, "A", a, m, n, ld, TYPE);
    // y' = x' op(A)'
    return blas_multiply(function,
                         { CUBLAS_OP_N,
                           !op,
                           TYPE,
                           1,
                           out,
                           in,
                           x_step,
                           ld,
                           y_step,
                           0,
                           0,
                           0,
                           1,
                           x,
                           a,
                           nullptr,
                           y,
                           blas_number(alpha, TYPE),
                           blas_number(beta, TYPE),
                           false },
                         of_stream->stream);
}
template <int TYPE>
int dot(void *h, int64_t n, const void *x, int64_t x_step, const void *y, int64_t y_step, void *result)
{
    const char function[] = "cublasdot";
    const handle *of_stream = of(function, h);
    blas_check(function, x_step > 0 && y_step > 0, "a step is not positive");
    blas_check(function, of_stream->pointer_mode == CUBLAS_POINTER_MODE_DEVICE, "the result is on the device");
    return blas_multiply(function, { CUBLAS_OP_N, CUBLAS_OP_T, TYPE, 1, 1, n,       x_step, y_step, 1, 0,
                                     0,           0,           1,    x, y, nullptr, result, 1,      0, false },
                         of_stream->stream);
}

const ag_cublas stand_in = {
    create,
    destroy,
    set_stream,
    set_workspace,
    set_pointer_mode,
    gemm,
    gemm_batched,
    gemv<CUBLAS_R_32F>,
    gemv<CUBLAS_R_64F>,
    dot<CUBLAS_R_32F>,
    dot<CUBLAS_R_64F>,
    lt_desc_create,
    lt_desc_set,
    lt_desc_destroy,
    lt_layout_create,
    lt_layout_destroy,
    lt_preference_create,
    lt_preference_set,
    lt_preference_destroy,
    lt_find,
    lt_matmul,
};
} // namespace

extern "C" void *hs_cublas_symbol(const char *name)
{
#define ENTRY(member, symbol, arguments) \
    if (!strcmp(name, #symbol)) return (void *)stand_in.member;
    AG_CUBLAS_FUNCTIONS(ENTRY)
#undef ENTRY
    return nullptr;
}
