/* matmul.c - products of matrices and vectors: every one is a call of ag__gemm (ops/cpu/gemm.h), or of the device's
 * function of the same arguments, which take operands as they lie.
 *
 * The gradients of a product are products with a transposed operand. Where an operand is itself a transposed view,
 * the gradient is computed transposed too, so that it lies in memory as the operand does and the leaf behind the view
 * gets it row-major.
 */
#include "ops/check.h"
#include "ops/matmul_run.h"

#include <argent/copy.h>
#include <argent/matmul.h>
#include <argent/pointwise.h>
#include <argent/view.h>

#include <inttypes.h>
#include <string.h>

#define AG_ARGS_mm(must, may)     must(Tensor, input) must(Tensor, mat2)
#define AG_ARGS_bmm(must, may)    must(Tensor, input) must(Tensor, mat2)
#define AG_ARGS_mv(must, may)     must(Tensor, input) must(Tensor, vec)
#define AG_ARGS_dot(must, may)    must(Tensor, input) must(Tensor, tensor)
#define AG_ARGS_matmul(must, may) must(Tensor, input) must(Tensor, other)

/* ---- what they share ---- */

/* One type, and one there are products of. */
static bool check_types(const ag_run *r)
{
    ag_dtype dtype = ag_dtype_of(r->in[0]);
    for (int i = 1; i < r->n_in; i++)
        if (r->in[i] && ag_dtype_of(r->in[i]) != dtype)
            return ag__fail_call(r->op, r->args, "all must have the same dtype, but got: %s != %s",
                                 ag__scalar_type(dtype), ag__scalar_type(ag_dtype_of(r->in[i])));
    if (dtype == AG_BOOL) return ag__fail_call(r->op, r->args, "not implemented for 'Bool'");
    return true;
}

#define CANNOT_MULTIPLY \
    "mat1 and mat2 shapes cannot be multiplied (%" PRId64 "x%" PRId64 " and %" PRId64 "x%" PRId64 ")"
static bool check_inner(const ag_run *r, const ag_tensor *a, const ag_tensor *b)
{
    if (a->size[1] == b->size[0]) return true;
    return ag__fail_call(r->op, r->args, CANNOT_MULTIPLY, a->size[0], a->size[1], b->size[0], b->size[1]);
}

static bool is_transposed(const ag_variable *x)
{
    const ag_tensor *m = x ? &x->tensor : NULL;
    return m && !m->contiguous && m->stride[0] == 1 && m->stride[1] >= m->size[0];
}
/* y = a b with gradient g: the gradients of a and b. a and b lend their layout if they were kept. */
static ag_variable *gradient_of_left(ag_variable *g, ag_variable *a, ag_variable *b)
{
    return is_transposed(a) ? ag_t(ag_mm(b, ag_t(g))) : ag_mm(g, ag_t(b));
}
static ag_variable *gradient_of_right(ag_variable *g, ag_variable *a, ag_variable *b)
{
    return is_transposed(b) ? ag_t(ag_mm(ag_t(g), a)) : ag_mm(ag_t(a), g);
}
static ag_variable *times(ag_variable *x, double factor)
{
    return factor == 1 ? x : ag_mul(x, ag_scalar_double(factor));
}

/* ---- mm ---- */

static bool mm_shape(ag_run *r)
{
    const ag_tensor *a = &r->in[0]->tensor, *b = &r->in[1]->tensor;
    if (a->ndim != 2) return ag__fail_call(r->op, r->args, "self must be a matrix, got %d-D tensor", a->ndim);
    if (b->ndim != 2) return ag__fail_call(r->op, r->args, "mat2 must be a matrix, got %d-D tensor", b->ndim);
    if (!check_inner(r, a, b) || !check_types(r)) return false;
    return ag__output(r, 0, 2, (int64_t[]){ a->size[0], b->size[1] }, (ag_dtype)a->dtype);
}
static bool mm_anywhere(ag_run *r)
{
    ag__gemm_args g = ag__product(&r->out[0]->tensor, &r->in[0]->tensor, &r->in[1]->tensor);
    return ag__run_gemm(r, &g);
}
static void mm_backward(ag_gradients *b)
{
    if (b->wanted[0]) b->grad[0] = gradient_of_left(b->g[0], b->in[0], b->in[1]);
    if (b->wanted[1]) b->grad[1] = gradient_of_right(b->g[0], b->in[0], b->in[1]);
}
AG_OP_PLAIN(mm, .node = "MmBackward0", .shape = mm_shape, .kernel = { mm_anywhere, mm_anywhere },
            .backward = mm_backward, .keeps = { AG_KEEP_IN(1), AG_KEEP_IN(0) })

/* ---- addmm ---- */

static bool addmm_shape(ag_run *r)
{
    const ag_tensor *a = &r->in[1]->tensor, *b = &r->in[2]->tensor;
    if (a->ndim != 2) return ag__fail_call(r->op, r->args, "mat1 must be a matrix, got %d-D tensor", a->ndim);
    if (b->ndim != 2) return ag__fail_call(r->op, r->args, "mat2 must be a matrix, got %d-D tensor", b->ndim);
    if (!check_inner(r, a, b) || !check_types(r)) return false;
    int64_t size[2] = { a->size[0], b->size[1] };
    const ag_tensor *d = &r->in[0]->tensor;
    if (!ag__check_expands(r->op, r->args, d, 2, size)) return false;
    if (r->inplace && (ag__overlap(d, a) || ag__overlap(d, b)))
        return ag__fail_call(r->op, r->args,
                             "unsupported operation: some elements of the input tensor and the written-to tensor refer "
                             "to a single memory location. Please clone() the tensor before performing the operation.");
    return ag__output(r, 0, 2, size, (ag_dtype)a->dtype);
}
static bool addmm_anywhere(ag_run *r)
{
    const struct ag_addmm_args *args = r->args;
    const ag_tensor *y = &r->out[0]->tensor, *d = &r->in[0]->tensor;
    int64_t stride[2];
    ag__broadcast_strides(d, 2, y->size, stride);
    ag__gemm_args g = ag__product(y, &r->in[1]->tensor, &r->in[2]->tensor);
    g.d = d->data, g.d_row = stride[0], g.d_col = stride[1];
    g.alpha = args->alpha, g.beta = args->beta;
    if (!ag__is_floating((ag_dtype)y->dtype)) g.alpha = (double)(int64_t)g.alpha, g.beta = (double)(int64_t)g.beta;
    return ag__run_gemm(r, &g);
}
static void addmm_backward(ag_gradients *b)
{
    const struct ag_addmm_args *args = b->args;
    if (b->wanted[0]) b->grad[0] = times(b->g[0], args->beta);
    if (b->wanted[1]) b->grad[1] = times(gradient_of_left(b->g[0], b->in[1], b->in[2]), args->alpha);
    if (b->wanted[2]) b->grad[2] = times(gradient_of_right(b->g[0], b->in[1], b->in[2]), args->alpha);
}
AG_OP(addmm, .node = "AddmmBackward0", .inplace = true, .shape = addmm_shape,
      .kernel = { addmm_anywhere, addmm_anywhere }, .backward = addmm_backward,
      .keeps = { 0, AG_KEEP_IN(2), AG_KEEP_IN(1) })
AG_INPLACE(addmm)

/* ---- bmm ---- */

static bool bmm_shape(ag_run *r)
{
    const ag_tensor *a = &r->in[0]->tensor, *b = &r->in[1]->tensor;
    if (a->ndim != 3) return ag__fail_call(r->op, r->args, "batch1 must be a 3D tensor");
    if (b->ndim != 3) return ag__fail_call(r->op, r->args, "batch2 must be a 3D tensor");
    if (a->size[0] != b->size[0] || a->size[2] != b->size[1])
        return ag__fail_call(r->op, r->args,
                             "Expected size for first two dimensions of batch2 tensor to be: [%" PRId64 ", %" PRId64
                             "] but got: [%" PRId64 ", %" PRId64 "].",
                             a->size[0], a->size[2], b->size[0], b->size[1]);
    if (!check_types(r)) return false;
    return ag__output(r, 0, 3, (int64_t[]){ a->size[0], a->size[1], b->size[2] }, (ag_dtype)a->dtype);
}
static bool bmm_anywhere(ag_run *r)
{
    const ag_tensor *y = &r->out[0]->tensor, *a = &r->in[0]->tensor, *b = &r->in[1]->tensor;
    if (y->numel == 0) return true;
    ag__gemm_args g = ag__product_of_batches(y, a, b);
    return ag__run_gemm(r, &g);
}
static void bmm_backward(ag_gradients *b)
{
    if (b->wanted[0]) b->grad[0] = ag_bmm(b->g[0], ag_transpose(b->in[1], 1, 2));
    if (b->wanted[1]) b->grad[1] = ag_bmm(ag_transpose(b->in[0], 1, 2), b->g[0]);
}
AG_OP_PLAIN(bmm, .node = "BmmBackward0", .shape = bmm_shape, .kernel = { bmm_anywhere, bmm_anywhere },
            .backward = bmm_backward, .keeps = { AG_KEEP_IN(1), AG_KEEP_IN(0) })

/* ---- mv, dot: a vector is a matrix of one column, or of one row ---- */

static bool mv_shape(ag_run *r)
{
    const ag_tensor *a = &r->in[0]->tensor, *x = &r->in[1]->tensor;
    if (a->ndim != 2 || x->ndim != 1)
        return ag__fail_call(r->op, r->args, "vector + matrix @ vector expected, got 1, %d, %d", a->ndim, x->ndim);
    if (a->size[1] != x->size[0])
        return ag__fail_call(r->op, r->args,
                             "size mismatch, got input (%" PRId64 "), mat (%" PRId64 "x%" PRId64 "), vec (%" PRId64 ")",
                             a->size[0], a->size[0], a->size[1], x->size[0]);
    return check_types(r) && ag__output(r, 0, 1, a->size, (ag_dtype)a->dtype);
}
static bool mv_anywhere(ag_run *r)
{
    const ag_tensor *y = &r->out[0]->tensor, *a = &r->in[0]->tensor, *x = &r->in[1]->tensor;
    ag__gemm_args g = ag__product_with_vector(y, a, x);
    return ag__run_gemm(r, &g);
}
static void mv_backward(ag_gradients *b)
{
    if (b->wanted[0]) b->grad[0] = ag_mul(ag_unsqueeze(b->g[0], 1), ag_unsqueeze(b->in[1], 0));
    if (b->wanted[1]) b->grad[1] = ag_mv(ag_t(b->in[0]), b->g[0]);
}
AG_OP_PLAIN(mv, .node = "MvBackward0", .shape = mv_shape, .kernel = { mv_anywhere, mv_anywhere },
            .backward = mv_backward, .keeps = { AG_KEEP_IN(1), AG_KEEP_IN(0) })

static bool dot_shape(ag_run *r)
{
    const ag_tensor *a = &r->in[0]->tensor, *b = &r->in[1]->tensor;
    if (a->ndim != 1 || b->ndim != 1)
        return ag__fail_call(r->op, r->args, "1D tensors expected, but got %dD and %dD tensors", a->ndim, b->ndim);
    if (a->size[0] != b->size[0])
        return ag__fail_call(r->op, r->args,
                             "inconsistent tensor size, expected tensor [%" PRId64 "] and src [%" PRId64
                             "] to have the same number of elements, but got %" PRId64 " and %" PRId64
                             " elements respectively",
                             a->size[0], b->size[0], a->size[0], b->size[0]);
    return check_types(r) && ag__output(r, 0, 0, NULL, (ag_dtype)a->dtype);
}
static bool dot_anywhere(ag_run *r)
{
    const ag_tensor *y = &r->out[0]->tensor, *a = &r->in[0]->tensor, *b = &r->in[1]->tensor;
    ag__gemm_args g = { .dtype = (ag_dtype)y->dtype, .m = 1, .n = 1, .k = a->size[0], .alpha = 1 };
    g.a = a->data, g.a_row = a->numel, g.a_col = a->stride[0];
    g.b = b->data, g.b_row = b->stride[0], g.b_col = 1;
    g.c = y->data, g.c_row = 1, g.c_col = 1;
    return ag__run_gemm(r, &g);
}
static void dot_backward(ag_gradients *b)
{
    if (b->wanted[0]) b->grad[0] = ag_mul(b->g[0], b->in[1]);
    if (b->wanted[1]) b->grad[1] = ag_mul(b->g[0], b->in[0]);
}
AG_OP_PLAIN(dot, .node = "DotBackward0", .shape = dot_shape, .kernel = { dot_anywhere, dot_anywhere },
            .backward = dot_backward, .keeps = { AG_KEEP_IN(1), AG_KEEP_IN(0) })

/* ---- linear: a product with the transposed weight, the bias added as it is stored ---- */

static bool linear_shape(ag_run *r)
{
    const ag_tensor *x = &r->in[0]->tensor, *w = &r->in[1]->tensor, *bias = r->in[2] ? &r->in[2]->tensor : NULL;
    if (x->ndim == 0 || w->ndim == 0)
        return ag__fail_call(r->op, r->args,
                             "both arguments to linear need to be at least 1D, but they are %dD and %dD", x->ndim,
                             w->ndim);
    if (w->ndim > 2)
        return ag__fail_call(r->op, r->args, "t() expects a tensor with <= 2 dimensions, but self is %dD", w->ndim);
    int64_t features = x->size[x->ndim - 1], size[AG_MAX_DIMS];
    if (features != w->size[w->ndim - 1]) {
        int64_t rows = 1, wanted = w->size[w->ndim - 1], outputs = w->ndim == 2 ? w->size[0] : 1;
        for (int d = 0; d < x->ndim - 1; d++) rows *= x->size[d];
        return ag__fail_call(r->op, r->args,
                             CANNOT_MULTIPLY ": input has %" PRId64 " features but weight wants %" PRId64, rows,
                             features, wanted, outputs, features, wanted);
    }
    if (!check_types(r)) return false;
    int ndim = x->ndim - 1;
    memcpy(size, x->size, (size_t)ndim * sizeof *size);
    if (w->ndim == 2) size[ndim++] = w->size[0];
    if (bias && !ag__check_expands(r->op, r->args, bias, ndim, size)) return false;
    return ag__output(r, 0, ndim, size, (ag_dtype)x->dtype);
}
static bool linear_anywhere(ag_run *r)
{
    const ag_tensor *x = &r->in[0]->tensor, *w = &r->in[1]->tensor, *bias = r->in[2] ? &r->in[2]->tensor : NULL;
    const ag_tensor *y = &r->out[0]->tensor;
    if (y->numel == 0) return true;
    int64_t k = w->size[w->ndim - 1], n = w->ndim == 2 ? w->size[0] : 1, m = y->numel / n, stride[2] = { k, 1 };
    if (k > 0 && !ag__view_strides(x, 2, (int64_t[]){ m, k }, stride)) { /* the rows are not evenly spaced */
        x = ag__plain(r->t, r->in[0], x->ndim, x->size, (ag_dtype)x->dtype);
        if (!x) return false;
        stride[0] = k, stride[1] = 1;
    }
    ag__gemm_args g = { .dtype = (ag_dtype)y->dtype, .m = m, .n = n, .k = k, .alpha = 1 };
    g.a = x->data, g.a_row = stride[0], g.a_col = stride[1];
    g.b = w->data, g.b_row = w->stride[w->ndim - 1], g.b_col = w->ndim == 2 ? w->stride[0] : 1;
    g.c = y->data, g.c_row = n, g.c_col = 1;
    if (bias && bias->ndim <= 1 && w->ndim == 2) {
        g.beta = 1;
        g.d = bias->data, g.d_col = bias->ndim == 1 && bias->size[0] > 1 ? bias->stride[0] : 0;
    } else if (bias) { /* of several rows: laid out first, the product is added to it */
        if (!ag__copy_tensor(y, bias)) return false;
        g.beta = 1;
        g.d = y->data, g.d_row = g.c_row, g.d_col = g.c_col;
    }
    return ag__run_gemm(r, &g);
}
static void linear_backward(ag_gradients *b)
{
    ag_variable *g = b->g[0], *x = b->in[0], *w = b->in[1];
    ag_shape_list shape = ag__in_shape(b, 1);
    if (shape.n == 1) g = ag_unsqueeze(g, -1); /* the output had no dimension for the one feature */
    if (b->wanted[0] && shape.n == 2 && b->out_ndim == 2)
        b->grad[0] = is_transposed(x) ? ag_t(ag_mm(ag_t(w), ag_t(g))) : ag_mm(g, w);
    else if (b->wanted[0])
        b->grad[0] = ag_matmul(g, shape.n == 1 ? ag_unsqueeze(w, 0) : w);
    if (b->wanted[1]) {
        int64_t in = shape.at[shape.n - 1], out = shape.n == 1 ? 1 : shape.at[0], rows = 1;
        ag_shape_list x_shape = ag__in_shape(b, 0);
        for (int d = 0; d < x_shape.n - 1; d++) rows *= x_shape.at[d];
        ag_variable *grad = ag_mm(ag_t(ag_reshape(g, AG_SHAPE(rows, out))), ag_reshape(x, AG_SHAPE(rows, in)));
        b->grad[1] = shape.n == 1 ? ag_squeeze(grad, 0) : grad;
    }
    if (b->wanted[2]) b->grad[2] = b->g[0];
}
AG_OP(linear, .node = "AddmmBackward0", .shape = linear_shape, .kernel = { linear_anywhere, linear_anywhere },
      .backward = linear_backward, .keeps = { AG_KEEP_IN(1), AG_KEEP_IN(0), 0 })

/* ---- matmul ---- */

/* Matrices in the last two dimensions, at least one operand with dimensions before them: x's are expanded to `batch`
 * and run together. */
static ag_variable *batched(ag_variable *x, int n_batch, const int64_t *batch, int64_t count)
{
    int64_t size[AG_MAX_DIMS];
    int64_t rows = x->tensor.size[x->tensor.ndim - 2], columns = x->tensor.size[x->tensor.ndim - 1];
    memcpy(size, batch, (size_t)n_batch * sizeof *size);
    size[n_batch] = rows;
    size[n_batch + 1] = columns;
    return ag_reshape(ag_expand(x, ag_sizes_of(n_batch + 2, size)), AG_SHAPE(count, rows, columns));
}

/* a is (..., k) with two dimensions or more before k, b is (k,m) or (k): one product of all rows of a. */
static ag_variable *folded(ag_variable *a, ag_variable *b)
{
    int64_t size[AG_MAX_DIMS], rows = 1, k = a->tensor.size[a->tensor.ndim - 1];
    int ndim = a->tensor.ndim - 1;
    for (int d = 0; d < ndim; d++) rows *= size[d] = a->tensor.size[d];
    ag_variable *flat = ag_reshape(a, AG_SHAPE(rows, k));
    if (b->tensor.ndim == 1) return ag_view(ag_mv(flat, b), ag_sizes_of(ndim, size));
    size[ndim++] = b->tensor.size[1];
    return ag_view(ag_mm(flat, b), ag_sizes_of(ndim, size));
}

static ag_variable *matmul(const ag_op *op, const void *args, ag_variable *a, ag_variable *b)
{
    int da = a->tensor.ndim, db = b->tensor.ndim;
    if (da == 0 || db == 0)
        return ag__fail_call(op, args, "both arguments to matmul need to be at least 1D, but they are %dD and %dD", da,
                             db);
    if (da == 1 && db == 1) return ag_dot(a, b);
    if (da == 2 && db == 1) return ag_mv(a, b);
    if (da == 1 && db == 2) return ag_squeeze(ag_mm(ag_unsqueeze(a, 0), b), 0);
    if (da == 2 && db == 2) return ag_mm(a, b);
    if (db <= 2) return folded(a, b);

    ag_variable *left = da == 1 ? ag_unsqueeze(a, 0) : a;
    if (!left) return NULL;
    const ag_tensor *x = &left->tensor, *y = &b->tensor;
    if (x->size[x->ndim - 1] != y->size[y->ndim - 2])
        return ag__fail_call(op, args, CANNOT_MULTIPLY, x->size[x->ndim - 2], x->size[x->ndim - 1],
                             y->size[y->ndim - 2], y->size[y->ndim - 1]);
    ag_tensor x_batch = *x, y_batch = *y; /* only their leading dimensions, which broadcast */
    x_batch.ndim -= 2;
    y_batch.ndim -= 2;
    int n_batch;
    int64_t size[AG_MAX_DIMS], count = 1;
    if (!ag__broadcast(op->name, 2, (const ag_tensor *[]){ &x_batch, &y_batch }, &n_batch, size)) return NULL;
    for (int d = 0; d < n_batch; d++) count *= size[d];
    int64_t rows = x->size[x->ndim - 2], columns = y->size[y->ndim - 1];
    ag_variable *out = ag_bmm(batched(left, n_batch, size, count), batched(b, n_batch, size, count));
    int ndim = n_batch;
    if (da > 1) size[ndim++] = rows;
    size[ndim++] = columns;
    return ag_view(out, ag_sizes_of(ndim, size));
}

static bool matmul_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(matmul, .compose = matmul_compose)
static bool matmul_compose(const void *args, ag_variable **out)
{
    const struct ag_matmul_args *a = args;
    return (out[0] = matmul(ag__op_matmul(), args, a->input, a->other));
}
