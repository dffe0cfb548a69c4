/* matmul_run.c - see matmul_run.h. */
#include "ops/matmul_run.h"
#include "tensor/device_table.h"

#include <argent/backends.h>

static inline int64_t row(const ag_tensor *x) { return x->stride[x->ndim - 2]; }
static inline int64_t col(const ag_tensor *x) { return x->stride[x->ndim - 1]; }

ag__gemm_args ag__product(const ag_tensor *c, const ag_tensor *a, const ag_tensor *b)
{
    ag__gemm_args g = { .dtype = (ag_dtype)c->dtype, .alpha = 1 };
    g.m = c->size[c->ndim - 2], g.n = c->size[c->ndim - 1], g.k = a->size[a->ndim - 1];
    g.a = a->data, g.a_row = row(a), g.a_col = col(a);
    g.b = b->data, g.b_row = row(b), g.b_col = col(b);
    g.c = c->data, g.c_row = row(c), g.c_col = col(c);
    return g;
}

ag__gemm_args ag__product_of_batches(const ag_tensor *c, const ag_tensor *a, const ag_tensor *b)
{
    ag__gemm_args g = ag__product(c, a, b);
    g.batch = c->size[0];
    g.a_batch = a->stride[0], g.b_batch = b->stride[0], g.c_batch = c->stride[0];
    return g;
}

ag__gemm_args ag__product_with_vector(const ag_tensor *y, const ag_tensor *a, const ag_tensor *x)
{
    ag__gemm_args g = { .dtype = (ag_dtype)y->dtype, .m = a->size[0], .n = 1, .k = a->size[1], .alpha = 1 };
    g.a = a->data, g.a_row = a->stride[0], g.a_col = a->stride[1];
    g.b = x->data, g.b_row = x->stride[0], g.b_col = 1;
    g.c = y->data, g.c_row = y->stride[0], g.c_col = 1;
    return g;
}

bool ag__run_gemm(const ag_run *r, const ag__gemm_args *g)
{
    if (r->device.type == AG_DEVICE_CPU) return ag__gemm(g);
    const ag_device_functions *functions = ag__device_functions(r->device);
    return functions && functions->gemm(r->op->name, r->device, g, ag_cuda_allow_tf32());
}
