/* scan.c - see scan.h. */
#include "autograd/op.h"
#include "ops/check.h"

#include <argent/rearrange.h>
#include <argent/scan.h>

/* ---- what totals have in common ---- */

/* The type of the result; AG_N_DTYPES with a sentence if there is none. */
static ag_dtype total_type(ag_run *r, const char *kernel, ag_dtype dtype)
{
    ag_dtype is = ag_dtype_of(r->in[0]);
    if (dtype == AG_DTYPE_DEFAULT) dtype = r->inplace || ag__is_floating(is) ? is : AG_INT64;
    if ((int)dtype < 0 || dtype >= AG_N_DTYPES)
        ag__fail_call(r->op, r->args, "there is no dtype %d", (int)dtype);
    else if (r->inplace && dtype != is)
        ag__fail_call(r->op, r->args,
                      "Bad in-place call: input tensor dtype %s and output tensor dtype %s should match",
                      ag__c_type(is), ag__c_type(dtype));
    else if (dtype == AG_BOOL)
        ag__fail_call(r->op, r->args, "\"%s\" not implemented for 'Bool'", kernel);
    else if (r->wants_grad && !ag__is_floating(dtype))
        ag__fail(AG_EGRAPH, "%s: Autograd not support dtype: %s", r->op->name, ag__scalar_type(dtype));
    else
        return dtype;
    return AG_N_DTYPES;
}
static bool total_shape(ag_run *r, const char *kernel, int64_t dim, ag_dtype dtype)
{
    const ag_tensor *x = &r->in[0]->tensor;
    if (ag__wrap_dim(r->op->name, dim, x->ndim) < 0) return false;
    dtype = total_type(r, kernel, dtype);
    return dtype != AG_N_DTYPES && ag__output(r, 0, x->ndim, x->size, dtype) != NULL;
}

/* x and y: (outer, n, inner) in memory; they may be one. */
typedef struct around {
    int64_t outer, n, inner;
} around;

static around round_dim(const ag_tensor *x, int64_t dim)
{
    int at = (int)(dim < 0 ? dim + (x->ndim ? x->ndim : 1) : dim);
    around a = { 1, x->ndim ? x->size[at] : 1, 1 };
    for (int d = 0; d < x->ndim; d++)
        if (d != at) *(d < at ? &a.outer : &a.inner) *= x->size[d];
    return a;
}

/* The line that begins at element `at` of both, its elements `step` apart. */
typedef void add_line(int64_t n, int64_t at, int64_t step, const void *x, void *y);
#define ADD_LINE(type, wide)                                                                  \
    static void add_##type(int64_t n, int64_t at, int64_t step, const void *x, void *y)       \
    {                                                                                         \
        const type *from = x;                                                                 \
        type *to = y;                                                                         \
        wide total = 0;                                                                       \
        for (int64_t i = 0; i < n; i++, at += step) to[at] = (type)(total += (wide)from[at]); \
    }
ADD_LINE(float, double)
ADD_LINE(double, double)
ADD_LINE(int64_t, uint64_t)
ADD_LINE(int32_t, uint32_t)
ADD_LINE(uint8_t, uint8_t)

static bool total_cpu(ag_run *r, int64_t dim, add_line *const line[AG_N_DTYPES])
{
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_tensor *x = ag__plain(r->t, r->in[0], y->ndim, y->size, (ag_dtype)y->dtype);
    ag_variable *plain = NULL; /* where y, in place, has gaps */
    if (!x || (!y->contiguous && !(plain = ag__new(r->t, y->ndim, y->size, (ag_dtype)y->dtype, AG_CPU)))) return false;
    void *to = plain ? plain->tensor.data : y->data;
    around a = round_dim(y, dim);
    for (int64_t o = 0; o < a.outer; o++)
        for (int64_t i = 0; i < a.inner; i++) line[y->dtype](a.n, o * a.n * a.inner + i, a.inner, x->data, to);
    if (plain) ag__copy_elements(y, &plain->tensor);
    return true;
}

/* ---- cumsum: an element counts in all totals from its own on ---- */

static bool cumsum_shape(ag_run *r)
{
    const struct ag_cumsum_args *a = r->args;
    return total_shape(r, "cumsum_out_cpu", a->dim, a->dtype);
}
static bool cumsum_cpu(ag_run *r)
{
    static add_line *const line[AG_N_DTYPES] = { [AG_FLOAT32] = add_float,
                                                 [AG_FLOAT64] = add_double,
                                                 [AG_INT64] = add_int64_t,
                                                 [AG_INT32] = add_int32_t,
                                                 [AG_UINT8] = add_uint8_t };
    return total_cpu(r, ((const struct ag_cumsum_args *)r->args)->dim, line);
}
static void cumsum_backward(ag_gradients *b)
{
    const struct ag_cumsum_args *a = b->args;
    ag_shape_list dim = ag_sizes_of(1, &a->dim);
    b->grad[0] = ag_flip(ag_cumsum(ag_flip(b->g[0], dim), a->dim), dim);
}
AG_OP(cumsum, .node = "CumsumBackward0", .inplace = true, .shape = cumsum_shape, .kernel = { cumsum_cpu },
      .backward = cumsum_backward)
AG_INPLACE(cumsum)
