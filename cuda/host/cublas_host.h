// cublas_host.h - what the two parts of the stand-in for cuBLAS share.
#ifndef ARGENT_CUDA_HOST_CUBLAS_HOST_H
#define ARGENT_CUDA_HOST_CUBLAS_HOST_H
#include "cuda/cublas.h"
#include "cuda/host/internal.h"

namespace hs
{
// C = alpha op(A) op(B) + beta C + bias, matrices by columns.
struct blas_product {
    int a_op, b_op, type;
    int64_t m, n, k, a_ld, b_ld, c_ld;
    int64_t a_batch, b_batch, c_batch, batch;
    const void *a, *b, *bias;
    void *c;
    double alpha, beta;
    bool tf32; // factors are rounded to 10 bits of mantissa
};
int blas_multiply(const char *function, const blas_product &g, cudaStream_t stream);
double blas_number(const void *p, int type);
void blas_check(const char *function, bool good, const char *what);
void blas_check_matrix(const char *function, const char *name, const void *p, int64_t m, int64_t n, int64_t ld,
                       int type);

// cublas_lt.cc
int lt_desc_create(void **desc, int compute, int scale_type);
int lt_desc_set(void *desc, int attribute, const void *value, size_t bytes);
int lt_desc_destroy(void *desc);
int lt_layout_create(void **layout, int type, uint64_t rows, uint64_t columns, int64_t ld);
int lt_layout_destroy(void *layout);
int lt_preference_create(void **preference);
int lt_preference_set(void *preference, int attribute, const void *value, size_t bytes);
int lt_preference_destroy(void *preference);
int lt_find(void *handle, void *desc, void *a, void *b, void *c, void *d, void *preference, int wanted,
            cublas_found *found, int *n_found);
int lt_matmul(void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout,
              const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
              const cublas_algorithm *algorithm, void *workspace, size_t bytes, cudaStream_t stream);
} // namespace hs
#endif
