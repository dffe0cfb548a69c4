/* reduce.c - sums, means and products; any and all. See reduce.h; the greatest and least are in extremes.c. */
#include "ops/check.h"
#include "ops/folding.h"
#include "ops/reduce_shape.h"
#include "tensor/device_table.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/join.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>
#include <argent/view.h>

#include <string.h>

/* ---- shapes ---- */

int ag__reduced_size(const ag_tensor *x, uint32_t mask, bool keepdim, int64_t *size)
{
    int n = 0;
    for (int d = 0; d < x->ndim; d++) {
        bool goes = mask >> d & 1;
        if (!goes || keepdim) size[n++] = goes ? 1 : x->size[d];
    }
    return n;
}

ag_dims ag__dims_from_mask(uint32_t mask)
{
    ag_dims dims = AG_DIMS_(__builtin_popcount(mask));
    for (int d = 0, k = 0; d < AG_MAX_DIMS; d++)
        if (mask >> d & 1) dims |= AG_DIM_(k, d), k++;
    return dims;
}

ag_variable *ag__unreduce(ag_variable *y, ag_shape_list shape, ag_dims dim, bool keepdim)
{
    uint32_t mask;
    int64_t size[AG_MAX_DIMS];
    if (keepdim || shape.n == 0) return y;
    if (!ag__dims_mask("sum", dim, (int)shape.n, &mask)) return NULL;
    for (int d = 0; d < shape.n; d++) size[d] = mask >> d & 1 ? 1 : shape.at[d];
    return ag_reshape(y, ag_sizes_of(shape.n, size));
}

/* ---- what sums, means and products have in common ---- */

/* A call, whichever record it is of. dtype: what input is converted to first. */
typedef struct reduction {
    ag_variable *input;
    ag_dims dim;
    bool keepdim;
    ag_dtype dtype;
} reduction;

/* PyTorch's overloads are records of their own, for their nodes bear different names: without dimensions and with. */
#define AG_ARGS__sum_all(must, may)  must(Tensor, input) must(Dtype, dtype)
#define AG_ARGS__sum_dim(must, may)  must(Tensor, input) must(Dims, dim) must(Bool, keepdim) must(Dtype, dtype)
#define AG_ARGS__mean_all(must, may) AG_ARGS__sum_all(must, may)
#define AG_ARGS__mean_dim(must, may) AG_ARGS__sum_dim(must, may)
#define AG_ARGS__prod_all(must, may) AG_ARGS__sum_all(must, may)
#define AG_ARGS__prod_dim(must, may) AG_ARGS__sum_dim(must, may)
AG_STRUCT(_sum_all, AG_ARGS__sum_all)
AG_STRUCT(_sum_dim, AG_ARGS__sum_dim)
AG_STRUCT(_mean_all, AG_ARGS__mean_all)
AG_STRUCT(_mean_dim, AG_ARGS__mean_dim)
AG_STRUCT(_prod_all, AG_ARGS__prod_all)
AG_STRUCT(_prod_dim, AG_ARGS__prod_dim)

static reduction sum_all(const void *args)
{
    const struct ag__sum_all_args *a = args;
    return (reduction){ a->input, AG_ALL, false, a->dtype };
}
static reduction sum_dim(const void *args)
{
    const struct ag__sum_dim_args *a = args;
    return (reduction){ a->input, a->dim, a->keepdim, a->dtype };
}
static reduction mean_all(const void *args)
{
    const struct ag__mean_all_args *a = args;
    return (reduction){ a->input, AG_ALL, false, a->dtype };
}
static reduction mean_dim(const void *args)
{
    const struct ag__mean_dim_args *a = args;
    return (reduction){ a->input, a->dim, a->keepdim, a->dtype };
}
static reduction prod_all(const void *args)
{
    const struct ag__prod_all_args *a = args;
    return (reduction){ a->input, AG_ALL, false, a->dtype };
}
static reduction prod_dim(const void *args)
{
    const struct ag__prod_dim_args *a = args;
    return (reduction){ a->input, a->dim, a->keepdim, a->dtype };
}

static bool reduce_shape(ag_run *r, const char *op, reduction a)
{
    const ag_tensor *x = &a.input->tensor;
    uint32_t mask;
    int64_t size[AG_MAX_DIMS];
    if (!ag__dims_mask(op, a.dim, x->ndim, &mask)) return false;
    int ndim = ag__reduced_size(x, mask, a.keepdim, size);
    ag_dtype dtype = a.dtype == AG_DTYPE_DEFAULT ? ag__fold_dtype(AG_FOLD_SUM, (ag_dtype)x->dtype) : a.dtype;
    if ((int)dtype < 0 || dtype >= AG_N_DTYPES)
        return ag__fail_call(r->op, r->args, "there is no dtype %d", (int)dtype);
    if (r->wants_grad && !ag__is_floating(dtype))
        return ag__fail(AG_EGRAPH, "%s: Autograd not support dtype: %s", op, ag__scalar_type(dtype));
    return ag__output(r, 0, ndim, size, dtype) != NULL;
}

/* x folded into y, wherever they are. */
static bool fold_into(const ag_run *r, ag__fold fold, const ag_tensor *x, uint32_t mask, const ag_tensor *y)
{
    if (r->device.type == AG_DEVICE_CPU) return ag__reduce(fold, x, mask, y->data);
    return ag__fold_there(r, &(ag__folding){ .fold = fold, .x = x, .mask = mask, .y = y });
}
bool ag__fold_there(const ag_run *r, const ag__folding *f)
{
    const ag_device_functions *functions = ag__device_functions(r->device);
    return functions && functions->fold_elements(r->op->of ? r->op->of : r->op->name, f);
}
static bool reduce_anywhere(ag_run *r, ag__fold fold, reduction a)
{
    const ag_tensor *x = &a.input->tensor, *y = &r->out[0]->tensor;
    ag_dtype from = a.dtype == AG_DTYPE_DEFAULT ? (ag_dtype)x->dtype : a.dtype, total = ag__fold_dtype(fold, from);
    uint32_t mask;
    if (!ag__dims_mask("sum", a.dim, x->ndim, &mask)) return false;
    if ((ag_dtype)x->dtype != from && !(x = ag__plain(r->t, a.input, x->ndim, x->size, from))) return false;
    if (total == (ag_dtype)y->dtype) return fold_into(r, fold, x, mask, y);
    ag_variable *wide = ag__new(r->t, y->ndim, y->size, total, r->device);
    return wide && fold_into(r, fold, x, mask, &wide->tensor) && ag__copy_tensor(y, &wide->tensor);
}

/* How many elements go into one. */
static int64_t count(const ag_tensor *x, uint32_t mask)
{
    int64_t n = 1;
    for (int d = 0; d < x->ndim; d++)
        if (mask >> d & 1) n *= x->size[d];
    return n;
}

/* ---- sum ---- */

static bool sum_all_shape(ag_run *r) { return reduce_shape(r, "sum", sum_all(r->args)); }
static bool sum_all_anywhere(ag_run *r) { return reduce_anywhere(r, AG_FOLD_SUM, sum_all(r->args)); }
static void sum_all_backward(ag_gradients *b) { b->grad[0] = ag_expand(b->g[0], ag__in_shape(b, 0)); }
AG_RECORD(_sum_all, AG_ARGS__sum_all, .of = "sum", .node = "SumBackward0", .shape = sum_all_shape,
          .kernel = { sum_all_anywhere, sum_all_anywhere }, .backward = sum_all_backward)

static bool sum_dim_shape(ag_run *r) { return reduce_shape(r, "sum", sum_dim(r->args)); }
static bool sum_dim_anywhere(ag_run *r) { return reduce_anywhere(r, AG_FOLD_SUM, sum_dim(r->args)); }
static void sum_dim_backward(ag_gradients *b)
{
    const struct ag__sum_dim_args *a = b->args;
    ag_shape_list shape = ag__in_shape(b, 0);
    b->grad[0] = ag_expand(ag__unreduce(b->g[0], shape, a->dim, a->keepdim), shape);
}
AG_RECORD(_sum_dim, AG_ARGS__sum_dim, .of = "sum", .node = "SumBackward1", .shape = sum_dim_shape,
          .kernel = { sum_dim_anywhere, sum_dim_anywhere }, .backward = sum_dim_backward)

static bool sum_compose(const void *args, ag_variable **out)
{
    const struct ag_sum_args *a = args;
    const void *caller = __builtin_return_address(0);
    const struct ag__sum_all_args all = { .input = a->input, .dtype = a->dtype };
    const struct ag__sum_dim_args some = { .input = a->input, .dim = a->dim, .keepdim = a->keepdim, .dtype = a->dtype };
    if (a->dim == AG_ALL && !a->keepdim) return ag__apply(ag__op__sum_all(), &all, out, caller);
    return ag__apply(ag__op__sum_dim(), &some, out, caller);
}
AG_OP(sum, .compose = sum_compose)

#define AG_ARGS_sum_to_size(must, may) must(Tensor, input) must(Shape, size)
static bool sum_to_size_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(sum_to_size, .compose = sum_to_size_compose)
static bool sum_to_size_compose(const void *args, ag_variable **out)
{
    const struct ag_sum_to_size_args *a = args;
    const ag_tensor *x = &a->input->tensor;
    int n = a->size.n >= 0 && a->size.n <= x->ndim ? (int)a->size.n : -1, lead = x->ndim - n;
    uint32_t mask = (1u << (n < 0 ? 0 : lead)) - 1, inner = 0;
    bool fits = n >= 0;
    for (int d = 0; d < n && fits; d++) {
        if (a->size.at[d] == x->size[lead + d]) continue;
        fits = a->size.at[d] == 1;
        inner |= 1u << (lead + d);
    }
    if (!fits) {
        char to[AG_TEXT], is[AG_TEXT];
        int shown = a->size.n < 0 ? 0 : a->size.n > AG_MAX_DIMS ? AG_MAX_DIMS : (int)a->size.n;
        return ag__fail_call(ag__op_sum_to_size(), a, "size {%s} is not expandable to size {%s}.",
                             ag__shape_text(shown, a->size.at, to, sizeof to),
                             ag__shape_text(x->ndim, x->size, is, sizeof is));
    }
    ag_variable *y = a->input;
    if (n == 0) return (out[0] = ag_sum(y)) != NULL;
    if (mask && !inner && !y->requires_grad) { /* the usual case in a backward, in one step */
        y = ag_sum(y, .dim = ag__dims_from_mask(mask));
    } else {
        if (mask | inner) y = ag_sum(y, .dim = ag__dims_from_mask(mask | inner), .keepdim = true);
        if (mask) y = ag_view(y, a->size);
    }
    return (out[0] = y) != NULL;
}

/* ---- mean ---- */

static bool mean_shape(ag_run *r, reduction a)
{
    bool told = a.dtype != AG_DTYPE_DEFAULT;
    ag_dtype dtype = told ? a.dtype : ag_dtype_of(a.input);
    if ((int)dtype >= 0 && dtype < AG_N_DTYPES && !ag__is_floating(dtype))
        return ag__fail_call(
            r->op, r->args,
            "could not infer output dtype. %s dtype must be either a floating point or complex dtype. Got: %s",
            told ? "Optional" : "Input", ag__scalar_type(dtype));
    return reduce_shape(r, "mean", a);
}
static bool mean_anywhere(ag_run *r, reduction a)
{
    const ag_tensor *x = &a.input->tensor, *y = &r->out[0]->tensor;
    uint32_t mask;
    if (r->device.type != AG_DEVICE_CPU) return reduce_anywhere(r, AG_FOLD_MEAN, a);
    if (!ag__dims_mask("mean", a.dim, x->ndim, &mask) || !reduce_anywhere(r, AG_FOLD_SUM, a)) return false;
    double n = (double)count(x, mask);
    float *narrow = (float *)(void *)y->data, n_narrow = (float)n;
    double *wide = (double *)(void *)y->data;
    for (int64_t i = 0; i < y->numel; i++) {
        if (y->dtype == AG_FLOAT32)
            narrow[i] /= n_narrow;
        else
            wide[i] /= n;
    }
    return true;
}
/* Each element's share of g. */
static ag_variable *share(ag_variable *g, ag_shape_list shape, ag_dims dim)
{
    uint32_t mask;
    ag_tensor x = { .ndim = (uint8_t)shape.n };
    if (!ag__dims_mask("mean", dim, x.ndim, &mask)) return NULL;
    memcpy(x.size, shape.at, (size_t)shape.n * sizeof *x.size);
    int64_t n = count(&x, mask);
    return ag_expand(ag_div(g, ag_scalar_int64(n ? n : 1)), shape);
}

static bool mean_all_shape(ag_run *r) { return mean_shape(r, mean_all(r->args)); }
static bool mean_all_anywhere(ag_run *r) { return mean_anywhere(r, mean_all(r->args)); }
static void mean_all_backward(ag_gradients *b) { b->grad[0] = share(b->g[0], ag__in_shape(b, 0), AG_ALL); }
AG_RECORD(_mean_all, AG_ARGS__mean_all, .of = "mean", .node = "MeanBackward0", .shape = mean_all_shape,
          .kernel = { mean_all_anywhere, mean_all_anywhere }, .backward = mean_all_backward)

static bool mean_dim_shape(ag_run *r) { return mean_shape(r, mean_dim(r->args)); }
static bool mean_dim_anywhere(ag_run *r) { return mean_anywhere(r, mean_dim(r->args)); }
static void mean_dim_backward(ag_gradients *b)
{
    const struct ag__mean_dim_args *a = b->args;
    ag_shape_list shape = ag__in_shape(b, 0);
    b->grad[0] = share(ag__unreduce(b->g[0], shape, a->dim, a->keepdim), shape, a->dim);
}
AG_RECORD(_mean_dim, AG_ARGS__mean_dim, .of = "mean", .node = "MeanBackward1", .shape = mean_dim_shape,
          .kernel = { mean_dim_anywhere, mean_dim_anywhere }, .backward = mean_dim_backward)

static bool mean_compose(const void *args, ag_variable **out)
{
    const struct ag_mean_args *a = args;
    const void *caller = __builtin_return_address(0);
    const struct ag__mean_all_args all = { .input = a->input, .dtype = a->dtype };
    const struct ag__mean_dim_args some = {
        .input = a->input, .dim = a->dim, .keepdim = a->keepdim, .dtype = a->dtype
    };
    if (a->dim == AG_ALL && !a->keepdim) return ag__apply(ag__op__mean_all(), &all, out, caller);
    return ag__apply(ag__op__mean_dim(), &some, out, caller);
}
AG_OP(mean, .compose = mean_compose)

/* ---- prod ---- */

/* What is before (after) each element along dim, multiplied: n steps in log n rounds. */
static ag_variable *products_beside(ag_variable *x, int64_t dim, bool before)
{
    int64_t n = ag_size(x, dim), size[AG_MAX_DIMS];
    int ndim = ag_dim(x);
    ag_variable *p = x;
    for (int64_t by = 1, round = 0; round == 0 || by < n; round++) {
        memcpy(size, ag_shape(x).at, (size_t)ndim * sizeof *size);
        size[dim] = by;
        ag_variable *ones = ag_ones(ag_sizes_of(ndim, size), .dtype = ag_dtype_of(x), .device = ag_device_of(x));
        ag_variable *moved = ag_narrow(p, dim, before ? 0 : by, n - by);
        moved = before ? ag_cat(AG_LIST(ones, moved), dim) : ag_cat(AG_LIST(moved, ones), dim);
        if (!moved) return NULL;
        p = round == 0 ? moved : ag_mul(p, moved); /* the first round only shifts: an element is no factor of its own */
        if (round > 0) by *= 2;
    }
    return p;
}
/* The derivative of a product by each factor is the product of the others, whichever of them are zero. */
static ag_variable *products_of_others(ag_variable *x, int64_t dim)
{
    return ag_mul(products_beside(x, dim, true), products_beside(x, dim, false));
}

/* The type a product is computed in. */
static ag_variable *in_product_type(ag_variable *x, ag_dtype dtype)
{
    return dtype == AG_DTYPE_DEFAULT ? x : ag_to(x, .dtype = dtype);
}

static bool prod_all_shape(ag_run *r) { return reduce_shape(r, "prod", prod_all(r->args)); }
static bool prod_all_anywhere(ag_run *r) { return reduce_anywhere(r, AG_FOLD_PROD, prod_all(r->args)); }
static void prod_all_backward(ag_gradients *b)
{
    const struct ag__prod_all_args *a = b->args;
    if (a->input->tensor.numel == 0) {
        b->grad[0] = ag_mul(b->g[0], a->input); /* no elements, but a history */
        return;
    }
    ag_variable *flat = ag_reshape(in_product_type(a->input, a->dtype), AG_SHAPE(-1));
    b->grad[0] = ag_mul(b->g[0], ag_reshape(products_of_others(flat, 0), ag__in_shape(b, 0)));
}
AG_RECORD(_prod_all, AG_ARGS__prod_all, .of = "prod", .node = "ProdBackward0", .shape = prod_all_shape,
          .kernel = { prod_all_anywhere, prod_all_anywhere }, .backward = prod_all_backward, .keeps = { AG_KEEP_IN(0) })

static bool prod_dim_shape(ag_run *r)
{
    const struct ag__prod_dim_args *a = r->args;
    int64_t dims[AG_MAX_DIMS];
    if (ag__dims_of(a->dim, dims) > 1) return ag__fail_call(r->op, a, "one dimension at a time, or all of them");
    return reduce_shape(r, "prod", prod_dim(a));
}
static bool prod_dim_anywhere(ag_run *r) { return reduce_anywhere(r, AG_FOLD_PROD, prod_dim(r->args)); }
static void prod_dim_backward(ag_gradients *b)
{
    const struct ag__prod_dim_args *a = b->args;
    ag_shape_list shape = ag__in_shape(b, 0);
    int64_t dims[AG_MAX_DIMS];
    int n = ag__dims_of(a->dim, dims);
    ag_variable *x = in_product_type(a->input, a->dtype), *g = ag__unreduce(b->g[0], shape, a->dim, a->keepdim);
    if (a->input->tensor.numel == 0) /* no elements, but a history */
        b->grad[0] = ag_mul(g, x);
    else if (n < 0 || shape.n == 0) /* all of them, kept with size 1 */
        b->grad[0] = ag_mul(g, ag_reshape(products_of_others(ag_reshape(x, AG_SHAPE(-1)), 0), shape));
    else
        b->grad[0] = ag_mul(g, products_of_others(x, dims[0] < 0 ? dims[0] + shape.n : dims[0]));
}
AG_RECORD(_prod_dim, AG_ARGS__prod_dim, .of = "prod", .node = "ProdBackward1", .shape = prod_dim_shape,
          .kernel = { prod_dim_anywhere, prod_dim_anywhere }, .backward = prod_dim_backward, .keeps = { AG_KEEP_IN(0) })

static bool prod_compose(const void *args, ag_variable **out)
{
    const struct ag_prod_args *a = args;
    const void *caller = __builtin_return_address(0);
    const struct ag__prod_all_args all = { .input = a->input, .dtype = a->dtype };
    const struct ag__prod_dim_args some = {
        .input = a->input, .dim = a->dim, .keepdim = a->keepdim, .dtype = a->dtype
    };
    if (a->dim == AG_ALL && !a->keepdim) return ag__apply(ag__op__prod_all(), &all, out, caller);
    return ag__apply(ag__op__prod_dim(), &some, out, caller);
}
AG_OP(prod, .compose = prod_compose)

/* ---- any and all: the greatest and least of what is not zero ---- */

static bool test_shape(ag_run *r, const ag_variable *input, ag_dims dim, bool keepdim)
{
    const ag_tensor *x = &input->tensor;
    uint32_t mask;
    int64_t size[AG_MAX_DIMS];
    if (!ag__dims_mask(r->op->name, dim, x->ndim, &mask)) return false;
    int ndim = ag__reduced_size(x, mask, keepdim, size);
    return ag__output(r, 0, ndim, size, x->dtype == AG_UINT8 ? AG_UINT8 : AG_BOOL) != NULL;
}
static bool test_anywhere(ag_run *r, const ag_variable *input, ag_dims dim, bool every)
{
    const ag_tensor *y = &r->out[0]->tensor;
    uint32_t mask;
    if (!ag__dims_mask(r->op->name, dim, input->tensor.ndim, &mask)) return false;
    if (r->device.type != AG_DEVICE_CPU)
        return fold_into(r, every ? AG_FOLD_ALL : AG_FOLD_ANY, &input->tensor, mask, y);
    const ag_tensor *x = ag__plain(r->t, input, input->tensor.ndim, input->tensor.size, AG_BOOL);
    if (!x) return false;
    if (count(x, mask) > 0) return ag__reduce(every ? AG_FOLD_MIN : AG_FOLD_MAX, x, mask, y->data);
    ag__fill_elements(y, every);
    return true;
}

static bool any_shape(ag_run *r)
{
    const struct ag_any_args *a = r->args;
    return test_shape(r, a->input, a->dim, a->keepdim);
}
static bool any_anywhere(ag_run *r)
{
    const struct ag_any_args *a = r->args;
    return test_anywhere(r, a->input, a->dim, false);
}
AG_OP(any, .shape = any_shape, .kernel = { any_anywhere, any_anywhere }, .non_differentiable = 1)

static bool all_shape(ag_run *r)
{
    const struct ag_all_args *a = r->args;
    return test_shape(r, a->input, a->dim, a->keepdim);
}
static bool all_anywhere(ag_run *r)
{
    const struct ag_all_args *a = r->args;
    return test_anywhere(r, a->input, a->dim, true);
}
AG_OP(all, .shape = all_shape, .kernel = { all_anywhere, all_anywhere }, .non_differentiable = 1)
