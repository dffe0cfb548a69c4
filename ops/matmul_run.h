/* matmul_run.h - a product of matrices as an op's kernel makes it, on the CPU or on a device. */
#ifndef AG_MATMUL_RUN_H
#define AG_MATMUL_RUN_H
#include "autograd/op.h"
#include "ops/cpu/gemm.h"

/* c = a b of the last two dimensions of each; the caller adds to the returned description what else there is. */
ag__gemm_args ag__product(const ag_tensor *c, const ag_tensor *a, const ag_tensor *b);
/* Of the batches in the first of three dimensions. */
ag__gemm_args ag__product_of_batches(const ag_tensor *c, const ag_tensor *a, const ag_tensor *b);
/* y = a x, of a matrix and a vector. */
ag__gemm_args ag__product_with_vector(const ag_tensor *y, const ag_tensor *a, const ag_tensor *x);
/* Makes the product on r->device; false with an error. */
bool ag__run_gemm(const ag_run *r, const ag__gemm_args *g);

#endif
