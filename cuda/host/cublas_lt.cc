// cublas_lt.cc - stand-in for cublasLt: descriptions that are held against each other, an algorithm that must be the
// one found for them. As the real one it may know no way: here for a product whose number of terms is odd and over 8.
#include "cuda/host/cublas_host.h"

using namespace hs;

namespace
{
enum { DESC = 0x4c744463, LAYOUT = 0x4c744c79, PREFERENCE = 0x4c745072 };
struct desc {
    int kind, compute, type;
    int32_t a_op, b_op;
    uint32_t epilogue;
    const void *bias;
};
struct layout {
    int kind, type;
    int64_t rows, columns, ld;
};
struct preference {
    int kind;
    uint64_t workspace;
    uint32_t aligned[4];
};
template <class T> T *of(const char *function, void *p, int kind)
{
    blas_check(function, p && ((T *)p)->kind == kind, "something of another kind is given");
    return (T *)p;
}

template <class T> void take(T *to, const void *value, size_t bytes)
{
    blas_check("cublasLt...SetAttribute", bytes == sizeof *to, "a value of the wrong size");
    memcpy(to, value, bytes);
}

// The sizes agree; the product without its operands.
blas_product described(const char *function, void *d, void *a_, void *b_, void *c_)
{
    const desc *p = of<desc>(function, d, DESC);
    const layout *a = of<layout>(function, a_, LAYOUT), *b = of<layout>(function, b_, LAYOUT),
                 *c = of<layout>(function, c_, LAYOUT);
    const int64_t k = p->a_op ? a->rows : a->columns;
    blas_check(function, a->type == p->type && b->type == p->type && c->type == p->type, "mixed types");
    blas_check(function, (p->a_op ? a->columns : a->rows) == c->rows, "A and C differ in rows");
    blas_check(function, (p->b_op ? b->rows : b->columns) == c->columns, "B and C differ in columns");
    blas_check(function, (p->b_op ? b->columns : b->rows) == k, "A and B do not meet");
    blas_product g = {};
    g.a_op = p->a_op, g.b_op = p->b_op, g.type = p->type, g.tf32 = p->compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    g.m = c->rows, g.n = c->columns, g.k = k, g.batch = 1;
    g.a_ld = a->ld, g.b_ld = b->ld, g.c_ld = c->ld;
    return g;
}
uint64_t algorithm_of(const blas_product &g)
{
    return (uint64_t)(g.m + 1000 * g.n + 1000000 * g.k) ^ (uint64_t)(g.a_op * 2 + g.b_op + 4 * g.type) << 56;
}
bool is_aligned(const void *p, uint32_t bytes) { return (uintptr_t)p % bytes == 0; }
} // namespace

namespace hs
{
int lt_desc_create(void **out, int compute, int type)
{
    *out = new desc{ DESC, compute, type, CUBLAS_OP_N, CUBLAS_OP_N, 1, nullptr };
    return CUBLAS_STATUS_SUCCESS;
}
int lt_desc_set(void *d, int attribute, const void *value, size_t bytes)
{
    desc *p = of<desc>("cublasLtMatmulDescSetAttribute", d, DESC);
    if (attribute == CUBLASLT_MATMUL_DESC_TRANSA)
        take(&p->a_op, value, bytes);
    else if (attribute == CUBLASLT_MATMUL_DESC_TRANSB)
        take(&p->b_op, value, bytes);
    else if (attribute == CUBLASLT_MATMUL_DESC_EPILOGUE)
        take(&p->epilogue, value, bytes);
    else if (attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER)
        take(&p->bias, value, bytes);
    else
        return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}
int lt_desc_destroy(void *d)
{
    delete of<desc>("cublasLtMatmulDescDestroy", d, DESC);
    return CUBLAS_STATUS_SUCCESS;
}
int lt_layout_create(void **out, int type, uint64_t rows, uint64_t columns, int64_t ld)
{
    *out = new layout{ LAYOUT, type, (int64_t)rows, (int64_t)columns, ld };
    return CUBLAS_STATUS_SUCCESS;
}
int lt_layout_destroy(void *l)
{
    delete of<layout>("cublasLtMatrixLayoutDestroy", l, LAYOUT);
    return CUBLAS_STATUS_SUCCESS;
}
int lt_preference_create(void **out)
{
    *out = new preference{ PREFERENCE, 0, { 256, 256, 256, 256 } };
    return CUBLAS_STATUS_SUCCESS;
}
int lt_preference_set(void *q, int attribute, const void *value, size_t bytes)
{
    preference *p = of<preference>("cublasLtMatmulPreferenceSetAttribute", q, PREFERENCE);
    const int k = attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        take(&p->workspace, value, bytes);
    else if (k >= 0 && k < 4)
        take(&p->aligned[k], value, bytes);
    else
        return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}
int lt_preference_destroy(void *q)
{
    delete of<preference>("cublasLtMatmulPreferenceDestroy", q, PREFERENCE);
    return CUBLAS_STATUS_SUCCESS;
}

int lt_find(void *, void *d, void *a, void *b, void *c, void *, void *q, int wanted, cublas_found *found, int *n_found)
{
    const char function[] = "cublasLtMatmulAlgoGetHeuristic";
    const preference *p = of<preference>(function, q, PREFERENCE);
    const blas_product g = described(function, d, a, b, c);
    blas_check(function, wanted >= 1, "nothing is asked for");
    *n_found = 0;
    if (g.k > 8 && g.k % 2) return CUBLAS_STATUS_NOT_SUPPORTED;
    memset(found, 0, sizeof *found);
    found->algorithm.data[0] = algorithm_of(g);
    for (int i = 0; i < 4; i++) found->algorithm.data[1 + i] = p->aligned[i];
    found->algorithm.data[5] = p->workspace;
    *n_found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

int lt_matmul(void *, void *d, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout,
              const void *beta, const void *c, void *c_layout, void *out, void *out_layout,
              const cublas_algorithm *algorithm, void *workspace, size_t bytes, cudaStream_t stream)
{
    const char function[] = "cublasLtMatmul";
    blas_product g = described(function, d, a_layout, b_layout, c_layout);
    const desc *p = (const desc *)d;
    blas_check(function, algorithm->data[0] == algorithm_of(g), "the algorithm is another product's");
    const void *operand[] = { a, b, c, out };
    for (int i = 0; i < 4; i++)
        blas_check(function, is_aligned(operand[i], (uint32_t)algorithm->data[1 + i]), "less aligned than was said");
    blas_check(function, bytes >= algorithm->data[5], "less workspace than was said");
    blas_check_matrix(function, "the workspace", workspace, (int64_t)(bytes / 4), 1, (int64_t)(bytes / 4), 0);
    blas_check(function, c == out && c_layout == out_layout, "C and D are not one here");
    blas_check(function, p->epilogue == CUBLASLT_EPILOGUE_BIAS && p->bias, "an epilogue that is not known here");
    g.a = a, g.b = b, g.c = out, g.bias = p->bias;
    g.alpha = blas_number(alpha, g.type), g.beta = blas_number(beta, g.type);
    return blas_multiply(function, g, stream);
}
} // namespace hs
