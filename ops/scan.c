/* scan.c - see scan.h. */
#include "autograd/op.h"
#include "ops/check.h"
#include "tensor/parallel.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/join.h>
#include <argent/pointwise.h>
#include <argent/rearrange.h>
#include <argent/reduce.h>
#include <argent/scan.h>
#include <argent/view.h>

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

/* Lines of n elements, `step` apart, that begin side by side at x and y; LINES of them at most. */
enum { LINES = 64, GRAIN = 1 << 15 /* elements a task */ };
typedef void total_lines(int64_t n, int64_t step, int64_t lines, const void *x, void *y);
#define TOTAL_LINES(name, type, wide, start, OP)                                                         \
    static void name(int64_t n, int64_t step, int64_t lines, const void *x, void *y)                     \
    {                                                                                                    \
        const type *from = x;                                                                            \
        type *to = y;                                                                                    \
        wide total[LINES], one = start;                                                                  \
        if (lines == 1) {                                                                                \
            for (int64_t i = 0; i < n; i++, from += step, to += step) *to = (type)(one OP(wide) * from); \
            return;                                                                                      \
        }                                                                                                \
        for (int64_t k = 0; k < lines; k++) total[k] = start;                                            \
        for (int64_t i = 0; i < n; i++, from += step, to += step)                                        \
            for (int64_t k = 0; k < lines; k++) to[k] = (type)(total[k] OP(wide) from[k]);               \
    }
#define TOTALS(type, wide)                     \
    TOTAL_LINES(add_##type, type, wide, 0, +=) \
    TOTAL_LINES(multiply_##type, type, wide, 1, *=)
TOTALS(float, double)
TOTALS(double, double)
TOTALS(int64_t, uint64_t)
TOTALS(int32_t, uint32_t)
TOTALS(uint8_t, uint8_t)

typedef struct total_job {
    around a;
    int64_t blocks; /* of LINES lines, in each of a.outer */
    int64_t item;
    total_lines *lines;
    const char *x;
    char *y;
} total_job;
static void total_part(void *user, int64_t begin, int64_t end)
{
    const total_job *j = user;
    const around *a = &j->a;
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i % j->blocks * LINES, at = (i / j->blocks * a->n * a->inner + first) * j->item;
        j->lines(a->n, a->inner, a->inner - first < LINES ? a->inner - first : LINES, j->x + at, j->y + at);
    }
}

static bool total_cpu(ag_run *r, int64_t dim, total_lines *const lines[AG_N_DTYPES])
{
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_tensor *x = ag__plain(r->t, r->in[0], y->ndim, y->size, (ag_dtype)y->dtype);
    ag_variable *plain = NULL; /* where y, in place, has gaps */
    if (!x || (!y->contiguous && !(plain = ag__new(r->t, y->ndim, y->size, (ag_dtype)y->dtype, AG_CPU)))) return false;
    void *to = plain ? plain->tensor.data : y->data;
    total_job j = { .a = round_dim(y, dim), .item = (int64_t)ag__itemsize(y), .lines = lines[y->dtype] };
    j.blocks = (j.a.inner + LINES - 1) / LINES;
    j.x = x->data;
    j.y = to;
    const int64_t elements = j.a.n * (j.a.inner < LINES ? j.a.inner : LINES);
    if (y->numel) ag__parallel_for(j.a.outer * j.blocks, GRAIN / (elements + 1) + 1, total_part, &j);
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
    static total_lines *const lines[AG_N_DTYPES] = { [AG_FLOAT32] = add_float,
                                                     [AG_FLOAT64] = add_double,
                                                     [AG_INT64] = add_int64_t,
                                                     [AG_INT32] = add_int32_t,
                                                     [AG_UINT8] = add_uint8_t };
    return total_cpu(r, ((const struct ag_cumsum_args *)r->args)->dim, lines);
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

/* ---- cumprod ---- */

static bool cumprod_shape(ag_run *r)
{
    const struct ag_cumprod_args *a = r->args;
    return total_shape(r, "cumprod_out_cpu", a->dim, a->dtype);
}
static bool cumprod_cpu(ag_run *r)
{
    static total_lines *const lines[AG_N_DTYPES] = { [AG_FLOAT32] = multiply_float,
                                                     [AG_FLOAT64] = multiply_double,
                                                     [AG_INT64] = multiply_int64_t,
                                                     [AG_INT32] = multiply_int32_t,
                                                     [AG_UINT8] = multiply_uint8_t };
    return total_cpu(r, ((const struct ag_cumprod_args *)r->args)->dim, lines);
}

/* The gradient of element k, of the products from its own on: the product before it times those after it, itself left
 * out. */
static ag_variable *gradient_of_element(ag_variable *g, ag_variable *x, int64_t dim, int64_t k)
{
    const int64_t n = ag_size(x, dim);
    ag_variable *one = ag_ones_like(ag_narrow(x, dim, 0, 1)), *after = one;
    if (k < n - 1) after = ag_cat(AG_LIST(one, ag_cumprod(ag_narrow(x, dim, k + 1, n - k - 1), dim)), .dim = dim);
    if (k > 0) after = ag_mul(after, ag_prod(ag_narrow(x, dim, 0, k), .dim = dim, .keepdim = true));
    return ag_sum(ag_mul(ag_narrow(g, dim, k, n - k), after), .dim = dim, .keepdim = true);
}
/* Without zeros, by a division; else element by element. */
static void cumprod_backward(ag_gradients *b)
{
    const struct ag_cumprod_args *a = b->args;
    ag_variable *x = b->in[0], *g = b->g[0];
    ag_dtype dtype = (ag_dtype)b->edge[0].dtype;
    ag_shape_list dim = ag_sizes_of(1, &a->dim);
    const int64_t n = x->tensor.ndim ? ag_size(x, a->dim) : 1;
    g = ag_to(g, .dtype = dtype);
    if (x->tensor.ndim == 0 || x->tensor.numel == 0) {
        b->grad[0] = g;
        return;
    }
    if (!ag_item(ag_any(ag_eq(x, ag_scalar(0))))) {
        ag_variable *w = ag_mul(ag_to(b->out[0], .dtype = dtype), g);
        b->grad[0] = ag_div(ag_flip(ag_cumsum(ag_flip(w, dim), a->dim), dim), x);
        return;
    }
    ag_variable **part = ag__scratch((size_t)n * sizeof *part);
    bool ok = part != NULL;
    for (int64_t k = 0; ok && k < n; k++) ok = (part[k] = gradient_of_element(g, x, a->dim, k)) != NULL;
    if (ok) b->grad[0] = ag_cat(ag_list_from(n, part), .dim = a->dim);
    if (part) ag__scratch_free(part);
}
AG_OP(cumprod, .node = "CumprodBackward0", .inplace = true, .shape = cumprod_shape, .kernel = { cumprod_cpu },
      .backward = cumprod_backward, .keeps = { AG_KEEP_IN(0) | AG_KEEP_OUT(0) })
AG_INPLACE(cumprod)
