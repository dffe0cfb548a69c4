/* norm.c - norms of vectors: see variance.h. */
#include "ops/check.h"
#include "ops/cpu/moments.h"
#include "ops/folding.h"
#include "ops/reduce_rows.h"
#include "ops/reduce_shape.h"

#include <argent/copy.h>
#include <argent/factory.h>
#include <argent/pointwise.h>
#include <argent/variance.h>

#include <inttypes.h>
#include <math.h>

/* ---- the numbers ---- */

#define LENGTH(type, dtype)                                                                  \
    static double length_##type(const void *row, int64_t n, const void *order)               \
    {                                                                                        \
        const type *x = row;                                                                 \
        const double ord = *(const double *)order;                                           \
        double y = isinf(ord) && ord < 0 ? INFINITY : 0;                                     \
        if (ord == 2) return sqrt(ag__sum_of(AG_SQUARES, dtype, row, n, 0));                 \
        if (ord == 1) return ag__sum_of(AG_SIZES, dtype, row, n, 0);                         \
        for (int64_t i = 0; i < n; i++) {                                                    \
            const double size = fabs((double)x[i]);                                          \
            if (isinf(ord))                                                                  \
                y = isnan(y) || isnan(size) ? NAN : ord > 0 ? fmax(y, size) : fmin(y, size); \
            else                                                                             \
                y += ord == 0 ? size != 0 : pow(size, ord);                                  \
        }                                                                                    \
        return isinf(ord) || ord == 0 ? y : pow(y, 1 / ord);                                 \
    }
LENGTH(float, AG_FLOAT32)
LENGTH(double, AG_FLOAT64)

#define AG_ARGS__vector_norm(must, may) must(Tensor, input) must(Float, ord) must(Dims, dim) must(Bool, keepdim)
AG_STRUCT(_vector_norm, AG_ARGS__vector_norm)

/* There is no least or greatest of nothing, nor a negative power of it. */
static bool check_not_empty(ag_run *r, const struct ag__vector_norm_args *a)
{
    const ag_tensor *x = &a->input->tensor;
    int64_t dims[AG_MAX_DIMS];
    int n = ag__dims_of(a->dim, dims);
    if (x->numel || (a->ord >= 0 && !isinf(a->ord))) return true;
    if (n < 0)
        return ag__fail_call(r->op, a,
                             "linalg.vector_norm cannot compute the %g norm on an empty tensor because the operation "
                             "does not have an identity",
                             a->ord);
    for (int k = 0; k < n; k++) {
        int64_t d = dims[k] < 0 ? dims[k] + x->ndim : dims[k];
        if (d >= 0 && d < x->ndim && x->size[d] == 0)
            return ag__fail_call(r->op, a,
                                 "linalg.vector_norm cannot compute the %g norm on the dimension %" PRId64
                                 "because this dimension is empty and the operation does not have an identity",
                                 a->ord, dims[k]);
    }
    return true;
}
static bool vector_norm_shape(ag_run *r)
{
    const struct ag__vector_norm_args *a = r->args;
    return check_not_empty(r, a) && ag__reduced_output(r, "linalg_vector_norm", a->dim, a->keepdim);
}
static bool vector_norm_anywhere(ag_run *r)
{
    const struct ag__vector_norm_args *a = r->args;
    const ag_tensor *x = &a->input->tensor, *y = &r->out[0]->tensor;
    uint32_t mask;
    if (!ag__dims_mask("linalg_vector_norm", a->dim, x->ndim, &mask)) return false;
    if (r->device.type == AG_DEVICE_CPU) return ag__reduce_rows(r->t, y, x, mask, length_float, length_double, &a->ord);
    return ag__fold_there(r, &(ag__folding){ .fold = AG_FOLD_NORM, .x = x, .mask = mask, .y = y, .option = a->ord });
}

/* ---- gradients; where the norm is 0 they are 0 ---- */

static ag_variable *power(ag_variable *x, double exponent) { return ag_pow(x, ag_scalar(exponent)); }
static ag_variable *over_norm(ag_variable *g, ag_variable *norm, double exponent)
{
    ag_variable *none = ag_eq(norm, ag_scalar(0));
    return ag_masked_fill(ag_div(g, power(ag_masked_fill(norm, none, 1), exponent)), none, 0);
}
/* g shared evenly among the extremes. */
static ag_variable *at_extremes(ag_variable *g, ag_variable *x, ag_variable *norm, ag_dims dim)
{
    ag_variable *size = ag_abs(x),
                *here = ag_logical_or(ag_eq(size, norm), ag_logical_and(ag_isnan(x), ag_isnan(norm)));
    return ag_mul(ag_sign(x), ag_mul(ag_div(g, ag_sum(here, .dim = dim, .keepdim = true)), here));
}
static void vector_norm_backward(ag_gradients *b)
{
    const struct ag__vector_norm_args *a = b->args;
    ag_shape_list shape = ag__in_shape(b, 0);
    ag_variable *x = b->in[0];
    ag_variable *g = ag__unreduce(b->g[0], shape, a->dim, a->keepdim);
    ag_variable *norm = ag__unreduce(b->out[0], shape, a->dim, a->keepdim);
    const double p = a->ord;
    if (p == 0) {
        b->grad[0] = ag_zeros_like(x);
    } else if (p == 1) {
        b->grad[0] = ag_mul(ag_sign(x), g);
    } else if (p == 2) {
        b->grad[0] = ag_mul(x, over_norm(g, norm, 1));
    } else if (isinf(p)) {
        b->grad[0] = at_extremes(g, x, norm, a->dim);
    } else if (p < 1) {
        ag_variable *zero = ag_eq(x, ag_scalar(0)), *size = ag_abs(ag_masked_fill(x, zero, 1));
        ag_variable *scaled = ag_masked_fill(ag_mul(ag_sign(x), power(size, p - 1)), zero, 0);
        b->grad[0] = ag_mul(ag_mul(scaled, g), power(norm, 1 - p));
    } else if (p < 2) {
        b->grad[0] = ag_mul(ag_mul(ag_sign(x), power(ag_abs(x), p - 1)), over_norm(g, norm, p - 1));
    } else {
        b->grad[0] = ag_mul(ag_mul(x, power(ag_abs(x), p - 2)), over_norm(g, norm, p - 1));
    }
}
AG_RECORD(_vector_norm, AG_ARGS__vector_norm, .of = "linalg_vector_norm", .node = "LinalgVectorNormBackward0",
          .shape = vector_norm_shape, .kernel = { vector_norm_anywhere, vector_norm_anywhere },
          .backward = vector_norm_backward, .keeps = { AG_KEEP_IN(0) | AG_KEEP_OUT(0) })

static bool linalg_vector_norm_compose(const void *args, ag_variable **out);
AG_OP(linalg_vector_norm, .torch = "linalg.vector_norm", .compose = linalg_vector_norm_compose)
static bool linalg_vector_norm_compose(const void *args, ag_variable **out)
{
    const struct ag_linalg_vector_norm_args *a = args;
    ag_variable *x = a->dtype == AG_DTYPE_DEFAULT ? a->input : ag_to(a->input, .dtype = a->dtype);
    if (!x) return false;
    if (!ag_is_floating_point(x))
        return ag__fail_call(ag__op_linalg_vector_norm(), a,
                             "linalg.vector_norm: Expected a floating point or complex tensor as input. Got %s",
                             ag__scalar_type(ag_dtype_of(x)));
    const struct ag__vector_norm_args norm = { .input = x, .ord = a->ord, .dim = a->dim, .keepdim = a->keepdim };
    return ag__apply(ag__op__vector_norm(), &norm, out, __builtin_return_address(0));
}
