/* scan.c - see scan.h. */
#include "autograd/op.h"
#include "ops/check.h"
#include "ops/scan_steps.h"
#include "tensor/parallel.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/join.h>
#include <argent/pointwise.h>
#include <argent/rearrange.h>
#include <argent/reduce.h>
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
enum { LINES = 64, ROWS = 4, GRAIN = 1 << 15 /* elements a task */ };
typedef void total_lines(int64_t n, int64_t step, int64_t lines, const void *x, void *y);
typedef void recur_lines(int64_t n, int64_t step, int64_t lines, int64_t apart, bool reverse, const void *x,
                         const void *factor, void *y);
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

/* One of the two; factor and reverse belong to the second. */
typedef struct line_job {
    total_lines *total;
    recur_lines *recur;
    bool reverse;
    const char *x, *factor;
    char *y;
    int64_t n, step;           /* of a line */
    int64_t side, apart, most; /* so many lines begin so far apart; so many of them are made at a time */
    int64_t blocks;            /* of `most` lines */
    int64_t item;
} line_job;
static void run_blocks(void *user, int64_t begin, int64_t end)
{
    const line_job *j = user;
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i % j->blocks * j->most, lines = j->side - first < j->most ? j->side - first : j->most;
        const int64_t at = (i / j->blocks * j->n * j->side + first * j->apart) * j->item;
        if (j->total)
            j->total(j->n, j->step, lines, j->x + at, j->y + at);
        else
            j->recur(j->n, j->step, lines, j->apart, j->reverse, j->x + at, j->factor + at, j->y + at);
    }
}
/* Of a result like y along dim. */
static void run_lines(const ag_tensor *y, int64_t dim, line_job *j)
{
    around a = round_dim(y, dim);
    j->n = a.n;
    j->step = j->side = a.inner;
    j->apart = 1;
    j->most = LINES;
    j->item = (int64_t)ag__itemsize(y);
    if (j->recur && a.inner == 1) { /* a multiplication waits for an addition: other rows fill the time */
        j->side = a.outer;
        j->apart = a.n;
        j->most = ROWS;
        a.outer = 1;
    }
    j->blocks = (j->side + j->most - 1) / j->most;
    const int64_t elements = j->n * (j->side < j->most ? j->side : j->most);
    if (y->numel) ag__parallel_for(a.outer * j->blocks, GRAIN / (elements + 1) + 1, run_blocks, j);
}

static bool total_cpu(ag_run *r, int64_t dim, total_lines *const lines[AG_N_DTYPES])
{
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_tensor *x = ag__plain(r->t, r->in[0], y->ndim, y->size, (ag_dtype)y->dtype);
    ag_variable *plain = NULL; /* where y, in place, has gaps */
    if (!x || (!y->contiguous && !(plain = ag__new(r->t, y->ndim, y->size, (ag_dtype)y->dtype, AG_CPU)))) return false;
    run_lines(y, dim, &(line_job){ .total = lines[y->dtype], .x = x->data, .y = plain ? plain->tensor.data : y->data });
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

/* ---- the recurrence of cumprod's gradient ---- */

/* As total_lines; lines may begin `apart`. With reverse the last of each line comes first. */
#define RECURRENCE_LINES(type)                                                                                   \
    static inline void recur_##type##_apart(int64_t n, int64_t step, int64_t lines, int64_t apart, bool reverse, \
                                            const type *x, const type *factor, type *y)                          \
    {                                                                                                            \
        const int64_t first = reverse ? (n - 1) * step : 0, next = reverse ? -step : step;                       \
        double total[LINES];                                                                                     \
        x += first, factor += reverse ? first + step : first, y += first;                                        \
        for (int64_t k = 0; k < lines; k++) y[k * apart] = (type)(total[k] = x[k * apart]);                      \
        for (int64_t i = 1; i < n; i++) {                                                                        \
            x += next, factor += next, y += next;                                                                \
            for (int64_t k = 0; k < lines; k++)                                                                  \
                y[k * apart] = (type)(total[k] = x[k * apart] + factor[k * apart] * total[k]);                   \
        }                                                                                                        \
    }                                                                                                            \
    static void recur_##type(int64_t n, int64_t step, int64_t lines, int64_t apart, bool reverse, const void *x, \
                             const void *factor, void *y)                                                        \
    {                                                                                                            \
        if (apart == 1)                                                                                          \
            recur_##type##_apart(n, step, lines, 1, reverse, x, factor, y);                                      \
        else if (lines == ROWS)                                                                                  \
            recur_##type##_apart(n, 1, ROWS, apart, reverse, x, factor, y);                                      \
        else                                                                                                     \
            recur_##type##_apart(n, 1, lines, apart, reverse, x, factor, y);                                     \
    }
RECURRENCE_LINES(float)
RECURRENCE_LINES(double)

static bool recurrence_shape(ag_run *r)
{
    const ag_tensor *x = &r->in[0]->tensor;
    return ag__output(r, 0, x->ndim, x->size, (ag_dtype)x->dtype) != NULL;
}
static bool recurrence_cpu(ag_run *r)
{
    const struct ag__recurrence_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_tensor *x = ag__plain(r->t, r->in[0], y->ndim, y->size, (ag_dtype)y->dtype);
    const ag_tensor *factor = x ? ag__plain(r->t, r->in[1], y->ndim, y->size, (ag_dtype)y->dtype) : NULL;
    if (!factor) return false;
    run_lines(y, a->dim,
              &(line_job){ .recur = y->dtype == AG_FLOAT32 ? recur_float : recur_double,
                           .reverse = a->reverse,
                           .x = x->data,
                           .factor = factor->data,
                           .y = y->data });
    return true;
}

static ag_variable *recurrence(ag_variable *x, ag_variable *factor, int64_t dim, bool reverse)
{
    const struct ag__recurrence_args args = { .input = x, .factor = factor, .dim = dim, .reverse = reverse };
    return ag__apply1(ag__op__recurrence(), &args, NULL);
}
/* y is linear in x, and the gradient the same from the other end; factor[i] stands beside one element of each. */
static void recurrence_backward(ag_gradients *b)
{
    const struct ag__recurrence_args *a = b->args;
    ag_variable *factor = b->in[1], *y = b->out[0], *of_x = recurrence(b->g[0], factor, a->dim, !a->reverse);
    if (b->wanted[0]) b->grad[0] = of_x;
    if (!b->wanted[1]) return;
    const int64_t n = ag_size(factor, a->dim);
    ag_variable *none = ag_zeros_like(ag_narrow(factor, a->dim, 0, 1));
    ag_variable *of_rest = ag_mul(ag_narrow(of_x, a->dim, a->reverse ? 0 : 1, n - 1),
                                  ag_narrow(y, a->dim, a->reverse ? 1 : 0, n - 1));
    b->grad[1] = ag_cat(AG_LIST(none, of_rest), .dim = a->dim);
}
AG_RECORD(_recurrence, AG_ARGS__recurrence, .node = "RecurrenceBackward0", .shape = recurrence_shape,
          .kernel = { recurrence_cpu }, .backward = recurrence_backward,
          .keeps = { AG_KEEP_IN(1), AG_KEEP_IN(1) | AG_KEEP_OUT(0) })

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

/* y[i] = x[i] y[i - 1], so a change of x[i] counts y[i - 1] times in y[i], and what a change of y[i] counts for all is
 * g[i] + x[i + 1] times that of y[i + 1]. Nothing is divided: an element may be 0. */
static void cumprod_backward(ag_gradients *b)
{
    const int64_t dim = ((const struct ag_cumprod_args *)b->args)->dim;
    const ag_dtype dtype = (ag_dtype)b->edge[0].dtype;
    ag_variable *x = b->in[0], *y = b->out[0], *g = ag_to(b->g[0], .dtype = dtype);
    if (x->tensor.ndim == 0 || x->tensor.numel == 0) {
        b->grad[0] = g;
        return;
    }
    ag_variable *one = ag_ones_like(ag_narrow(x, dim, 0, 1));
    ag_variable *before = ag_narrow(ag_to(y, .dtype = dtype), dim, 0, ag_size(x, dim) - 1);
    b->grad[0] = ag_mul(ag_cat(AG_LIST(one, before), .dim = dim), recurrence(g, x, dim, true));
}
AG_OP(cumprod, .node = "CumprodBackward0", .inplace = true, .shape = cumprod_shape, .kernel = { cumprod_cpu },
      .backward = cumprod_backward, .keeps = { AG_KEEP_IN(0) | AG_KEEP_OUT(0) })
AG_INPLACE(cumprod)
