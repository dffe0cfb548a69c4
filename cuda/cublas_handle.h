/* cublas_handle.h - the plug-in's use of cuBLAS: the library once opened, and a handle for each stream. */
#ifndef AG_CUDA_CUBLAS_HANDLE_H
#define AG_CUDA_CUBLAS_HANDLE_H
#include "cuda/cublas.h"
#include "cuda/runtime.h"

#include <pthread.h>

enum { AG_CUBLAS_PLANS = 64 };

/* How cublasLt makes a product of one description: found once. */
typedef struct ag_cublas_plan {
    int64_t m, n, k, a_ld, b_ld, c_ld;
    uint32_t a_aligned, b_aligned, c_aligned, bias_aligned; /* bytes, 16 at most */
    int32_t a_op, b_op, type, compute;
    /* from here on what was found */
    void *desc, *a, *b, *c; /* desc NULL: this plan is empty */
    cublas_algorithm algorithm;
    bool possible;
} ag_cublas_plan;

/* In use by one thread at a time. The workspace is the plug-in's own, and one stream's, which makes products the same
 * bits every time. */
typedef struct ag_cublas_handle {
    struct ag_cublas_handle *next;
    ag_device device;
    cudaStream_t stream;
    void *handle;
    void *workspace;
    int64_t workspace_bytes;
    pthread_mutex_t busy;
    ag_cublas_plan plan[AG_CUBLAS_PLANS];
} ag_cublas_handle;

/* cuBLAS; NULL where there is none, or none is wanted. No error. */
const ag_cublas *ag__cublas(void);
/* The handle of the device's stream, locked; NULL with an error. */
ag_cublas_handle *ag__cublas_take(const char *op, ag_device device, cudaStream_t stream);
void ag__cublas_give(ag_cublas_handle *h);
/* Where cuBLAS says no: false, with a sentence. */
bool ag__cublas_ok(const char *op, int status);

/* C (m, n) = alpha A B + a bias for each row, by cublasLt's epilogue (cublas_lt.c). *done: false where it has no way
 * to do that; nothing happened then. false with an error. */
typedef struct ag_cublas_product {
    int64_t m, n, k;
    int32_t a_op, b_op, type, compute;
    const void *a, *b, *bias, *alpha;
    void *c;
    int64_t a_ld, b_ld, c_ld;
} ag_cublas_product;
bool ag__cublas_with_bias(const char *op, ag_cublas_handle *h, const ag_cublas_product *p, bool *done);

#endif
