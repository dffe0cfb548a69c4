/* cublas.h - NVIDIA's products of matrices: what is called of cuBLAS, of which cublasLt is a part.
 *
 * The library is opened when a product is first asked for, not linked, since it takes a program 70 to 145 ms and 156 MB
 * to start with it. What is needed of its declarations stands here, so that a build needs no header of it, and so that
 * the emulation can stand in for it (cuda/host/cublas.cc). AG_CUBLAS in the environment names the file to open; 0:
 * none, products are then made by the kernels of gemm.cu.
 *
 * Matrices of cuBLAS lie column by column: element (i, j) at data[i + j * ld]. Plain C and C++.
 */
#ifndef AG_CUDA_CUBLAS_H
#define AG_CUDA_CUBLAS_H
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- its constants ---- */

enum { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_ALLOC_FAILED = 3, CUBLAS_STATUS_INVALID_VALUE = 7 };
enum { CUBLAS_STATUS_NOT_SUPPORTED = 15 };
enum { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum { CUBLAS_POINTER_MODE_HOST = 0, CUBLAS_POINTER_MODE_DEVICE = 1 };
enum { CUBLAS_GEMM_DEFAULT = -1 };
enum { CUBLAS_R_32F = 0, CUBLAS_R_64F = 1 }; /* cudaDataType's CUDA_R_32F and _64F */
enum { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_64F = 70, CUBLAS_COMPUTE_32F_FAST_TF32 = 77 };
enum {
    CUBLASLT_MATMUL_DESC_TRANSA = 3,       /* int32_t */
    CUBLASLT_MATMUL_DESC_TRANSB = 4,       /* int32_t */
    CUBLASLT_MATMUL_DESC_EPILOGUE = 7,     /* uint32_t */
    CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8, /* void * */
};
enum { CUBLASLT_EPILOGUE_BIAS = 4 };
enum {
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,   /* uint64_t */
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5, /* uint32_t; B, C, D follow */
};

typedef struct cublas_algorithm {
    uint64_t data[8];
} cublas_algorithm;
typedef struct cublas_found { /* cublasLtMatmulHeuristicResult_t */
    cublas_algorithm algorithm;
    size_t workspace;
    int status;
    float waves;
    int reserved[4];
} cublas_found;

/* ---- its functions, by the names they have here: each returns a status ---- */

/* clang-format off */
#define AG_CUBLAS_FUNCTIONS(F)                                                                                     \
    F(create, cublasCreate_v2, (void **handle))                                                                    \
    F(destroy, cublasDestroy_v2, (void *handle))                                                                   \
    F(set_stream, cublasSetStream_v2, (void *handle, cudaStream_t stream))                                         \
    F(set_workspace, cublasSetWorkspace_v2, (void *handle, void *workspace, size_t bytes))                         \
    F(set_pointer_mode, cublasSetPointerMode_v2, (void *handle, int mode))                                         \
    F(gemm, cublasGemmEx_64,                                                                                       \
      (void *handle, int op_a, int op_b, int64_t m, int64_t n, int64_t k, const void *alpha, const void *a,        \
       int a_type, int64_t a_ld, const void *b, int b_type, int64_t b_ld, const void *beta, void *c, int c_type,   \
       int64_t c_ld, int compute, int algorithm))                                                                  \
    F(gemm_batched, cublasGemmStridedBatchedEx_64,                                                                 \
      (void *handle, int op_a, int op_b, int64_t m, int64_t n, int64_t k, const void *alpha, const void *a,        \
       int a_type, int64_t a_ld, long long a_batch, const void *b, int b_type, int64_t b_ld, long long b_batch,    \
       const void *beta, void *c, int c_type, int64_t c_ld, long long c_batch, int64_t batch, int compute,         \
       int algorithm))                                                                                             \
    F(gemv_f32, cublasSgemv_v2_64,                                                                                 \
      (void *handle, int op, int64_t m, int64_t n, const void *alpha, const void *a, int64_t ld, const void *x,    \
       int64_t x_step, const void *beta, void *y, int64_t y_step))                                                 \
    F(gemv_f64, cublasDgemv_v2_64,                                                                                 \
      (void *handle, int op, int64_t m, int64_t n, const void *alpha, const void *a, int64_t ld, const void *x,    \
       int64_t x_step, const void *beta, void *y, int64_t y_step))                                                 \
    F(dot_f32, cublasSdot_v2_64,                                                                                   \
      (void *handle, int64_t n, const void *x, int64_t x_step, const void *y, int64_t y_step, void *result))       \
    F(dot_f64, cublasDdot_v2_64,                                                                                   \
      (void *handle, int64_t n, const void *x, int64_t x_step, const void *y, int64_t y_step, void *result))       \
    F(lt_desc_create, cublasLtMatmulDescCreate, (void **desc, int compute, int scale_type))                        \
    F(lt_desc_set, cublasLtMatmulDescSetAttribute, (void *desc, int attribute, const void *value, size_t bytes))   \
    F(lt_desc_destroy, cublasLtMatmulDescDestroy, (void *desc))                                                    \
    F(lt_layout_create, cublasLtMatrixLayoutCreate,                                                                \
      (void **layout, int type, uint64_t rows, uint64_t columns, int64_t ld))                                      \
    F(lt_layout_destroy, cublasLtMatrixLayoutDestroy, (void *layout))                                              \
    F(lt_preference_create, cublasLtMatmulPreferenceCreate, (void **preference))                                   \
    F(lt_preference_set, cublasLtMatmulPreferenceSetAttribute,                                                     \
      (void *preference, int attribute, const void *value, size_t bytes))                                          \
    F(lt_preference_destroy, cublasLtMatmulPreferenceDestroy, (void *preference))                                  \
    F(lt_find, cublasLtMatmulAlgoGetHeuristic,                                                                     \
      (void *handle, void *desc, void *a, void *b, void *c, void *d, void *preference, int wanted,                 \
       cublas_found *found, int *n_found))                                                                         \
    F(lt_matmul, cublasLtMatmul,                                                                                   \
      (void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout,  \
       const void *beta, const void *c, void *c_layout, void *d, void *d_layout,                                   \
       const cublas_algorithm *algorithm, void *workspace, size_t bytes, cudaStream_t stream))
/* clang-format on */

typedef struct ag_cublas {
#define AG_CUBLAS_MEMBER(name, symbol, arguments) int(*name) arguments;
    AG_CUBLAS_FUNCTIONS(AG_CUBLAS_MEMBER)
#undef AG_CUBLAS_MEMBER
} ag_cublas;

#ifdef CUDA_HOST_SHIM
#ifdef __cplusplus
extern "C"
#endif
    /* The emulation's: what dlsym would give. */
    void *
    hs_cublas_symbol(const char *name);
#endif
#endif
