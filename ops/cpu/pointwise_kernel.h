/* pointwise_kernel.h - the rows' expressions as loops over plain arrays: what the kernel sources export and the ops
 * call. */
#ifndef AG_POINTWISE_KERNEL_H
#define AG_POINTWISE_KERNEL_H
#include <argent/pointwise.h>

/* What an expression may read: the inputs a, b, c, the mask m, the value y, the gradient g. */
enum { IN_A, IN_B, IN_C, IN_M, IN_Y, IN_G, AG_N_OPERANDS };

/* Every expression has a number: a row's value, then its derivatives. Values of rows that know integers are numbered
 * for themselves. */
enum {
#define VALUE(op, integers, LIST, v)           AG_EXPRESSION_##op##_value,
#define VALUE_IS(op, integers, LIST, v)        AG_EXPRESSION_##op##_value,
#define DERIVATIVE(op, part, LIST, expression) AG_EXPRESSION_##op##_##part,
#include "ops/pointwise.def"
    AG_N_EXPRESSIONS
};
enum { AG_ROW_MAX_OPTIONS = 3 };

/* The arguments of the rows that have no public form. */
#define AG_ARGS_pow_number(must, may)           must(Tensor, input) must(Float, exponent)
#define AG_ARGS_pow_base(must, may)             must(Tensor, input) must(Float, base)
#define AG_ARGS_lerp_number(must, may)          must(Tensor, input) must(Tensor, end) must(Float, weight)
#define AG_ARGS_clamp_between(must, may)        must(Tensor, input) must(Tensor, min) must(Tensor, max)
#define AG_ARGS_clamp_above(must, may)          must(Tensor, input) must(Tensor, min)
#define AG_ARGS_clamp_below(must, may)          must(Tensor, input) must(Tensor, max)
#define AG_ARGS_gelu_exact(must, may)           must(Tensor, input)
#define AG_ARGS_gelu_tanh(must, may)            must(Tensor, input)
#define AG_ARGS_soft_shrink(must, may)          must(Tensor, input) must(Float, lambd)
#define AG_ARGS_prelu_kernel(must, may)         must(Tensor, input) must(Tensor, weight)
#define AG_ARGS_smooth_l1(must, may)            must(Tensor, input) must(Tensor, target) must(Float, beta)
#define AG_ARGS_huber(must, may)                must(Tensor, input) must(Tensor, target) must(Float, delta)
#define AG_ARGS_cross_entropy_of_two(must, may) must(Tensor, input) must(Tensor, target)
#define AG_ARGS_cross_entropy_slope(must, may)  must(Tensor, grad) must(Tensor, input) must(Tensor, target)
#define AG_ARGS_round_scaled(must, may)         must(Tensor, input) must(Float, decimals) must(Float, ten)

/* out[i] = expression(in[IN_A][i], ..., options): arrays of one type, of bool where m stands; of bool, too, what a
 * comparison gives. For what the expression does not read any array of that length will do. out may be one of the
 * inputs. */
typedef void ag__loop(int64_t n, void *out, const void *const *in, const double *options);

typedef struct ag__pointwise_loops {
    ag__loop *at[AG_N_EXPRESSIONS][2];                             /* AG_FLOAT32, AG_FLOAT64 */
    void (*store_past)(char *to, const char *from, int64_t bytes); /* tensor/past_caches.h */
} ag__pointwise_loops;
typedef struct ag__integer_loops {
    ag__loop *at[AG_N_EXPRESSIONS]
                [AG_N_DTYPES - 2]; /* from AG_INT64 on; NULL where the row knows no integers, and for derivatives */
} ag__integer_loops;

#endif
