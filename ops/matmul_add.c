/* matmul_add.c - products that are added to something, and the product of two vectors: see matmul.h. */
#include "ops/check.h"
#include "ops/matmul_run.h"
#include "ops/pointwise_rows.h"
#include "ops/scatter.h"

#include <argent/factory.h>
#include <argent/matmul.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>
#include <argent/view.h>

#include <inttypes.h>

/* ---- shared ---- */

static ag_variable *times(ag_variable *x, double factor)
{
    ag_dtype dtype = x ? ag_dtype_of(x) : AG_FLOAT32;
    if (!x) return NULL;
    if (dtype == AG_BOOL) return factor != 0 ? x : ag_zeros_like(x);
    if (factor == 1) return x;
    return ag_mul(x, ag__is_floating(dtype) ? ag_scalar(factor) : ag_scalar((int64_t)factor));
}

/* Output 0 = beta input + alpha product, where beta is 0 whatever input is; computed by ops that are not recorded. */
typedef ag_variable *product_of(ag_run *r);
static bool add_product(ag_run *r, double beta, double alpha, product_of *product)
{
    const bool was_off = r->t->grad_off;
    ag_dtype dtype = ag_dtype_of(r->out[0]);
    if (!ag__is_floating(dtype)) beta = (double)(int64_t)beta;
    r->t->grad_off = true;
    ag_variable *y = times(product(r), alpha);
    if (y && beta != 0) y = ag_add(times(r->in[0], beta), y);
    r->t->grad_off = was_off;
    return y && ag__copy_tensor(&r->out[0]->tensor, &y->tensor);
}

/* The same in one product, which rounds less often: as devices do it. g is the product without what is added. */
static bool add_in_product(const ag_run *r, double beta, double alpha, ag__gemm_args g)
{
    const ag_tensor *y = &r->out[0]->tensor, *d = &r->in[0]->tensor;
    const bool whole = !ag__is_floating((ag_dtype)y->dtype);
    int64_t stride[3];
    ag__broadcast_strides(d, y->ndim, y->size, stride);
    g.alpha = whole ? (double)(int64_t)alpha : alpha;
    g.beta = whole ? (double)(int64_t)beta : beta;
    g.d = d->data, g.d_row = stride[y->ndim == 3], g.d_col = y->ndim == 3 ? stride[2] : 0;
    g.d_batch = y->ndim == 3 ? stride[0] : 0;
    return ag__run_gemm(r, &g);
}

/* What the three have in common: one type, an input that repeats to these sizes, or in place has them. */
static bool added_output(ag_run *r, int ndim, const int64_t *size)
{
    const ag_tensor *in[3];
    char is[AG_TEXT], wants[AG_TEXT];
    for (int i = 0; i < 3; i++) in[i] = &r->in[i]->tensor;
    if (in[0]->dtype != in[1]->dtype || in[0]->dtype != in[2]->dtype)
        return ag__fail_call(r->op, r->args, "Input dtypes must be the same, got: input %s, %s: %s, %s: %s",
                             ag__c_type((ag_dtype)in[0]->dtype), r->op->args[1].name,
                             ag__c_type((ag_dtype)in[1]->dtype), r->op->args[2].name,
                             ag__c_type((ag_dtype)in[2]->dtype));
    if (in[0]->dtype == AG_BOOL) return ag__fail_call(r->op, r->args, "\"%s\" not implemented for 'Bool'", r->op->name);
    if (!ag__check_expands(r->op, r->args, in[0], ndim, size)) return false;
    bool fits = in[0]->ndim == ndim;
    for (int d = 0; fits && d < ndim; d++) fits = in[0]->size[d] == size[d];
    if (r->inplace && !fits)
        return ag__fail_call(
            r->op, r->args, "Bad in-place call: input tensor size %s and output tensor size %s should match",
            ag__shape_text(in[0]->ndim, in[0]->size, is, sizeof is), ag__shape_text(ndim, size, wants, sizeof wants));
    return ag__check_apart(r, r->in[1]) && ag__check_apart(r, r->in[2]) &&
           ag__output(r, 0, ndim, size, (ag_dtype)in[0]->dtype) != NULL;
}
static bool check_batches(ag_run *r, const ag_tensor *a, const ag_tensor *b)
{
    if (a->ndim != 3) return ag__fail_call(r->op, r->args, "batch1 must be a 3D tensor");
    if (b->ndim != 3) return ag__fail_call(r->op, r->args, "batch2 must be a 3D tensor");
    return true;
}

/* ---- baddbmm ---- */

static bool baddbmm_shape(ag_run *r)
{
    const ag_tensor *a = &r->in[1]->tensor, *b = &r->in[2]->tensor;
    if (!check_batches(r, a, b)) return false;
    if (a->size[0] != b->size[0] || a->size[2] != b->size[1])
        return ag__fail_call(r->op, r->args,
                             "Expected size for first two dimensions of batch2 tensor to be: [%" PRId64 ", %" PRId64
                             "] but got: [%" PRId64 ", %" PRId64 "].",
                             a->size[0], a->size[2], b->size[0], b->size[1]);
    return added_output(r, 3, (int64_t[]){ a->size[0], a->size[1], b->size[2] });
}
static ag_variable *batches(ag_run *r) { return ag_bmm(r->in[1], r->in[2]); }
static bool baddbmm_anywhere(ag_run *r)
{
    const struct ag_baddbmm_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    if (y->numel == 0) return true;
    if (r->device.type != AG_DEVICE_CPU)
        return add_in_product(r, a->beta, a->alpha, ag__product_of_batches(y, &r->in[1]->tensor, &r->in[2]->tensor));
    return add_product(r, a->beta, a->alpha, batches);
}
static void baddbmm_backward(ag_gradients *b)
{
    const struct ag_baddbmm_args *a = b->args;
    ag_variable *g = b->g[0];
    if (b->wanted[0]) b->grad[0] = times(g, a->beta);
    if (b->wanted[1]) b->grad[1] = times(ag_bmm(g, ag_transpose(b->in[2], 1, 2)), a->alpha);
    if (b->wanted[2]) b->grad[2] = times(ag_bmm(ag_transpose(b->in[1], 1, 2), g), a->alpha);
}
AG_OP(baddbmm, .node = "BaddbmmBackward0", .inplace = true, .shape = baddbmm_shape,
      .kernel = { baddbmm_anywhere, baddbmm_anywhere }, .backward = baddbmm_backward,
      .keeps = { 0, AG_KEEP_IN(2), AG_KEEP_IN(1) })
AG_INPLACE(baddbmm)

/* ---- addbmm: the sum of the batch ---- */

static bool addbmm_shape(ag_run *r)
{
    const ag_tensor *a = &r->in[1]->tensor, *b = &r->in[2]->tensor;
    if (!check_batches(r, a, b)) return false;
    if (a->size[0] != b->size[0])
        return ag__fail_call(r->op, r->args,
                             "batch1 and batch2 must have same number of batches, got %" PRId64 " and %" PRId64,
                             a->size[0], b->size[0]);
    if (a->size[2] != b->size[1])
        return ag__fail_call(r->op, r->args,
                             "Incompatible matrix sizes for bmm (%" PRId64 "x%" PRId64 " and %" PRId64 "x%" PRId64 ")",
                             a->size[1], a->size[2], b->size[1], b->size[2]);
    return added_output(r, 2, (int64_t[]){ a->size[1], b->size[2] });
}
static ag_variable *batch_sum(ag_run *r)
{
    return ag_sum(ag_bmm(r->in[1], r->in[2]), .dim = 0, .dtype = ag_dtype_of(r->in[1]));
}
static bool addbmm_anywhere(ag_run *r)
{
    const struct ag_addbmm_args *a = r->args;
    return add_product(r, a->beta, a->alpha, batch_sum);
}
static void addbmm_backward(ag_gradients *b)
{
    const struct ag_addbmm_args *a = b->args;
    if (b->wanted[0]) b->grad[0] = times(b->g[0], a->beta);
    int64_t n = b->wanted[1] ? ag__in_shape(b, 1).at[0] : ag__in_shape(b, 2).at[0];
    ag_variable *g = ag_expand(b->g[0], AG_SHAPE(n, -1, -1));
    if (b->wanted[1]) b->grad[1] = times(ag_bmm(g, ag_transpose(b->in[2], 1, 2)), a->alpha);
    if (b->wanted[2]) b->grad[2] = times(ag_bmm(ag_transpose(b->in[1], 1, 2), g), a->alpha);
}
AG_OP(addbmm, .node = "AddbmmBackward0", .inplace = true, .shape = addbmm_shape,
      .kernel = { addbmm_anywhere, addbmm_anywhere }, .backward = addbmm_backward,
      .keeps = { 0, AG_KEEP_IN(2), AG_KEEP_IN(1) })
AG_INPLACE(addbmm)

/* ---- addmv ---- */

static bool addmv_shape(ag_run *r)
{
    const ag_tensor *d = &r->in[0]->tensor, *a = &r->in[1]->tensor, *x = &r->in[2]->tensor;
    if (a->ndim != 2 || x->ndim != 1 || d->ndim > 1)
        return ag__fail_call(r->op, r->args, "vector + matrix @ vector expected, got %d, %d, %d", d->ndim, a->ndim,
                             x->ndim);
    if (a->size[1] != x->size[0] || (d->numel != 1 && d->numel != a->size[0]))
        return ag__fail_call(r->op, r->args,
                             "size mismatch, got input (%" PRId64 "), mat (%" PRId64 "x%" PRId64 "), vec (%" PRId64 ")",
                             d->ndim ? d->size[0] : 1, a->size[0], a->size[1], x->size[0]);
    return added_output(r, 1, a->size);
}
static ag_variable *matrix_vector(ag_run *r) { return ag_mv(r->in[1], r->in[2]); }
static bool addmv_anywhere(ag_run *r)
{
    const struct ag_addmv_args *a = r->args;
    if (r->device.type != AG_DEVICE_CPU)
        return add_in_product(r, a->beta, a->alpha,
                              ag__product_with_vector(&r->out[0]->tensor, &r->in[1]->tensor, &r->in[2]->tensor));
    return add_product(r, a->beta, a->alpha, matrix_vector);
}
static void addmv_backward(ag_gradients *b)
{
    const struct ag_addmv_args *a = b->args;
    ag_variable *g = b->g[0];
    if (b->wanted[0]) b->grad[0] = times(g, a->beta);
    if (b->wanted[1]) b->grad[1] = times(ag_outer(g, b->in[2]), a->alpha);
    if (b->wanted[2]) b->grad[2] = times(ag_mv(ag_t(b->in[1]), g), a->alpha);
}
AG_OP(addmv, .node = "AddmvBackward0", .inplace = true, .shape = addmv_shape,
      .kernel = { addmv_anywhere, addmv_anywhere }, .backward = addmv_backward,
      .keeps = { 0, AG_KEEP_IN(2), AG_KEEP_IN(1) })
AG_INPLACE(addmv)

/* ---- addr; outer and ger ---- */

static bool check_vector(const ag_op *op, const void *args, const char *name, const ag_variable *x)
{
    return x->tensor.ndim == 1 ||
           ag__fail_call(op, args, "Expected 1-D argument %s, but got %d-D", name, x->tensor.ndim);
}
static bool check_factor(ag_run *r, const char *name, double factor, ag_dtype dtype)
{
    if (ag__is_floating(dtype) || dtype == AG_BOOL || factor == (double)(int64_t)factor) return true;
    return ag__fail_call(r->op, r->args, "For integral input tensors, argument %s must not be a floating point number.",
                         name);
}
/* The one whose types promote. */
static bool addr_shape(ag_run *r)
{
    const struct ag_addr_args *a = r->args;
    if (!check_vector(r->op, a, "vec1", a->vec1) || !check_vector(r->op, a, "vec2", a->vec2)) return false;
    const int64_t size[2] = { a->vec1->tensor.size[0], a->vec2->tensor.size[0] };
    const ag_tensor *in[3] = { &a->input->tensor, &a->vec1->tensor, &a->vec2->tensor };
    ag_dtype dtype = ag__result_type(3, in);
    if (r->inplace && in[0]->ndim != 2)
        return ag__fail_call(r->op, a, "2D tensor expected, got %dD tensor for input", in[0]->ndim);
    if (!ag__check_expands(r->op, a, in[0], 2, size) || !check_factor(r, "beta", a->beta, dtype) ||
        !check_factor(r, "alpha", a->alpha, dtype) || !ag__check_apart(r, a->vec1) || !ag__check_apart(r, a->vec2))
        return false;
    if (r->inplace) return ag__output(r, 0, 2, size, dtype) != NULL;
    ag_tensor column = *in[1]; /* laid out as what is computed element by element */
    column.ndim = 2;
    column.size[1] = column.stride[1] = 1;
    column.contiguous = ag__is_contiguous(2, column.size, column.stride);
    in[1] = &column;
    return (r->out[0] = ag__pointwise_result(r->t, "addr", 3, in, dtype, r->device)) != NULL;
}
static ag_variable *vectors(ag_run *r) { return ag_outer(r->in[1], r->in[2]); }
static bool addr_anywhere(ag_run *r)
{
    const struct ag_addr_args *a = r->args;
    return add_product(r, a->beta, a->alpha, vectors);
}
static void addr_backward(ag_gradients *b)
{
    const struct ag_addr_args *a = b->args;
    ag_variable *g = b->g[0];
    if (b->wanted[0]) b->grad[0] = times(g, a->beta);
    if (b->wanted[1]) b->grad[1] = times(ag_matmul(g, b->in[2]), a->alpha);
    if (b->wanted[2]) b->grad[2] = times(ag_matmul(ag_t(g), b->in[1]), a->alpha);
}
AG_OP(addr, .node = "AddrBackward0", .inplace = true, .shape = addr_shape, .kernel = { addr_anywhere, addr_anywhere },
      .backward = addr_backward, .keeps = { 0, AG_KEEP_IN(2), AG_KEEP_IN(1) })
AG_INPLACE(addr)

#define AG_ARGS_outer(must, may) must(Tensor, input) must(Tensor, vec2)
static bool outer_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(outer, .compose = outer_compose)
static bool outer_compose(const void *args, ag_variable **out)
{
    const struct ag_outer_args *a = args;
    const ag_op *op = ag__op_outer();
    if (!check_vector(op, a, "self", a->input) || !check_vector(op, a, "vec2", a->vec2)) return false;
    return (out[0] = ag_mul(ag_reshape(a->input, AG_SHAPE(a->input->tensor.size[0], 1)), a->vec2)) != NULL;
}

#define AG_ARGS_ger(must, may) AG_ARGS_outer(must, may)
static bool ger_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(ger, .compose = ger_compose)
static bool ger_compose(const void *args, ag_variable **out)
{
    const struct ag_ger_args *a = args;
    return (out[0] = ag_outer(a->input, a->vec2)) != NULL;
}
