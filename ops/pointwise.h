/* pointwise.h - ops that work element by element. The formula beside each is what it computes; x, a, b, c are the
 * inputs in order.
 *
 * Inputs are broadcast to one shape and promoted to one type; a number is ag_scalar(2), which promotes neither. An op
 * whose name ends in _ changes its first input and returns it: the result must have that input's shape and fit its
 * type. Integers wrap round; floating functions (exp, sqrt, div ...) of integers are computed in the default floating
 * type. NaN passes. All are differentiable, to any order, except comparisons, in as far as the function is.
 *
 * Errors, for all: AG_EINVAL with a sentence (NULL input, shapes that do not broadcast, a type the op does not take, an
 * in-place result that does not fit), AG_EDEVICE (inputs on different devices), AG_EGRAPH (in place on a leaf that
 * wants a gradient), AG_ENOMEM.
 */
#ifndef ARGENT_POINTWISE_H
#define ARGENT_POINTWISE_H
#include <argent/variable.h>

AG_BEGIN_DECLS

// clang-format off

/* ---- arithmetic ---- */
/* a + alpha b, a - alpha b: ag_add(x, y), ag_add(x, y, .alpha = 2). On bool add is "or"; sub of bool is an error. */
#define AG_ARGS_add(must, may)  must(Tensor, input) must(Tensor, other) may(Float, alpha, 1)
#define AG_ARGS_sub(must, may)  must(Tensor, input) must(Tensor, other) may(Float, alpha, 1)
AG_DECLARE(add) AG_DECLARE_INPLACE(add)
AG_DECLARE(sub) AG_DECLARE_INPLACE(sub)
#define ag_add(...)   AG_CALL(add, __VA_ARGS__)
#define ag_add_(...)  AG_CALL_INPLACE(add, __VA_ARGS__)
#define ag_sub(...)   AG_CALL(sub, __VA_ARGS__)
#define ag_sub_(...)  AG_CALL_INPLACE(sub, __VA_ARGS__)
/* b - alpha a */
#define AG_ARGS_rsub(must, may)  must(Tensor, input) must(Tensor, other) may(Float, alpha, 1)
AG_DECLARE(rsub)
#define ag_rsub(...)  AG_CALL(rsub, __VA_ARGS__)
AG_API ag_variable *ag_mul(ag_variable *input, ag_variable *other);     /* a b; on bool "and" */
AG_API ag_variable *ag_mul_(ag_variable *input, ag_variable *other);
/* a / b, floating also for integers; with .rounding_mode "trunc" (towards zero) or "floor" rounded, and integers stay
 * integers, for which a zero in b is an error; the gradient is then zero: ag_div(a, b), ag_div(a, b, .rounding_mode = "floor") */
AG_API ag_variable *ag_div(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_div_(ag_variable *input, ag_variable *other);
#define AG_ARGS_div_mode(must, may)  must(Tensor, input) must(Tensor, other) may(Str, rounding_mode, NULL)
AG_DECLARE(div_mode) AG_DECLARE_INPLACE(div_mode)
#define ag_div_mode(...)     AG_CALL(div_mode, __VA_ARGS__)
#define ag_div_mode_(...)    AG_CALL_INPLACE(div_mode, __VA_ARGS__)
#define ag_div(...)          AG_PICK4_(__VA_ARGS__, ag_div_mode, ag_div_mode, (ag_div), (ag_div), 0)(__VA_ARGS__)
#define ag_div_(...)         AG_PICK4_(__VA_ARGS__, ag_div_mode_, ag_div_mode_, (ag_div_), (ag_div_), 0)(__VA_ARGS__)
/* floor(a / b) (without a gradient); what is left of a then, a - b floor(a / b), with the sign of b; and a - b trunc(a / b), with the
 * sign of a. Integers stay integers, for which a zero in b is an error. */
AG_API ag_variable *ag_floor_divide(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_floor_divide_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_remainder(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_remainder_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_fmod(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_fmod_(ag_variable *input, ag_variable *other);
/* a^b: ag_pow(x, ag_scalar(2)). Integers to a negative power: an error for a number, rounded to zero for a Variable. */
AG_API ag_variable *ag_pow(ag_variable *input, ag_variable *exponent);
AG_API ag_variable *ag_pow_(ag_variable *input, ag_variable *exponent);
/* a + value b c, a + value b / c */
#define AG_ARGS_addcmul(must, may)  must(Tensor, input) must(Tensor, tensor1) must(Tensor, tensor2) may(Float, value, 1)
#define AG_ARGS_addcdiv(must, may)  must(Tensor, input) must(Tensor, tensor1) must(Tensor, tensor2) may(Float, value, 1)
AG_DECLARE(addcmul) AG_DECLARE_INPLACE(addcmul)
AG_DECLARE(addcdiv) AG_DECLARE_INPLACE(addcdiv)
#define ag_addcmul(...)   AG_CALL(addcmul, __VA_ARGS__)
#define ag_addcmul_(...)  AG_CALL_INPLACE(addcmul, __VA_ARGS__)
#define ag_addcdiv(...)   AG_CALL(addcdiv, __VA_ARGS__)
#define ag_addcdiv_(...)  AG_CALL_INPLACE(addcdiv, __VA_ARGS__)
AG_API ag_variable *ag_lerp(ag_variable *input, ag_variable *end, ag_variable *weight);     /* a + c (b - a) */
AG_API ag_variable *ag_lerp_(ag_variable *input, ag_variable *end, ag_variable *weight);

/* ---- the greater, the smaller, the chosen ---- */
/* Of two equal ones each gets half the gradient. */
AG_API ag_variable *ag_maximum(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_minimum(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_fmax(ag_variable *input, ag_variable *other);    /* the same, but NaN only where both are NaN; of two equal ones the first gets the gradient */
AG_API ag_variable *ag_fmin(ag_variable *input, ag_variable *other);   
AG_API ag_variable *ag_hypot(ag_variable *input, ag_variable *other);   /* sqrt(a a + b b) */
AG_API ag_variable *ag_hypot_(ag_variable *input, ag_variable *other);
/* min(max(x, min), max), with one limit or both; whole limits keep an integer type, fractional ones make it floating. Infinite: no limit. */
#define AG_ARGS_clamp(must, may)  must(Tensor, input) may(Float, min, -AG_INFINITY_) may(Float, max, AG_INFINITY_)
#define AG_INFINITY_ __builtin_inf()
AG_DECLARE(clamp) AG_DECLARE_INPLACE(clamp)
#define ag_clamp(...)   AG_CALL(clamp, __VA_ARGS__)
#define ag_clamp_(...)  AG_CALL_INPLACE(clamp, __VA_ARGS__)
/* The same between Variables, which broadcast; one of them may be left out. Where min > max the result is max. */
#define AG_ARGS_clamp_tensor(must, may)  must(Tensor, input) may(Tensor, min, AG_NONE) may(Tensor, max, AG_NONE)
AG_DECLARE(clamp_tensor) AG_DECLARE_INPLACE(clamp_tensor)
#define ag_clamp_tensor(...)   AG_CALL(clamp_tensor, __VA_ARGS__)
#define ag_clamp_tensor_(...)  AG_CALL_INPLACE(clamp_tensor, __VA_ARGS__)
/* input where condition (bool) holds, other elsewhere */
AG_API ag_variable *ag_where(ag_variable *condition, ag_variable *input, ag_variable *other);

/* ---- comparison: the result is bool; in place it is 0 or 1 in the input's type ---- */
AG_API ag_variable *ag_eq(ag_variable *input, ag_variable *other);      /* a == b */
AG_API ag_variable *ag_eq_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_ne(ag_variable *input, ag_variable *other);      /* a != b */
AG_API ag_variable *ag_ne_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_lt(ag_variable *input, ag_variable *other);      /* a < b */
AG_API ag_variable *ag_lt_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_le(ag_variable *input, ag_variable *other);      /* a <= b */
AG_API ag_variable *ag_le_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_gt(ag_variable *input, ag_variable *other);      /* a > b */
AG_API ag_variable *ag_gt_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_ge(ag_variable *input, ag_variable *other);      /* a >= b */
AG_API ag_variable *ag_ge_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_isnan(ag_variable *input);
AG_API ag_variable *ag_isinf(ag_variable *input);
AG_API ag_variable *ag_isfinite(ag_variable *input);                    /* neither infinite nor NaN */
AG_API ag_variable *ag_isposinf(ag_variable *input);                    /* +infinity */
AG_API ag_variable *ag_isneginf(ag_variable *input);                    /* -infinity */
/* What is not 0 is true, NaN included. */
AG_API ag_variable *ag_logical_and(ag_variable *input, ag_variable *other); /* a != 0 and b != 0 */
AG_API ag_variable *ag_logical_and_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_logical_or(ag_variable *input, ag_variable *other); /* a != 0 or b != 0 */
AG_API ag_variable *ag_logical_or_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_logical_xor(ag_variable *input, ag_variable *other); /* one of them != 0 */
AG_API ag_variable *ag_logical_xor_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_logical_not(ag_variable *input);                 /* x == 0 */
AG_API ag_variable *ag_logical_not_(ag_variable *input);

/* ---- sign, parts and powers ---- */
AG_API ag_variable *ag_neg(ag_variable *input);                         /* -x; not of bool */
AG_API ag_variable *ag_neg_(ag_variable *input);
AG_API ag_variable *ag_positive(ag_variable *input);                    /* input itself; not of bool */
AG_API ag_variable *ag_abs(ag_variable *input);                         /* |x|; the gradient at 0 is 0 */
AG_API ag_variable *ag_abs_(ag_variable *input);
AG_API ag_variable *ag_sign(ag_variable *input);                        /* -1, 0 or 1 */
AG_API ag_variable *ag_sign_(ag_variable *input);
AG_API ag_variable *ag_sgn(ag_variable *input);                         /* the same */
AG_API ag_variable *ag_sgn_(ag_variable *input);
AG_API ag_variable *ag_frac(ag_variable *input);                        /* x - trunc(x) */
AG_API ag_variable *ag_frac_(ag_variable *input);
AG_API ag_variable *ag_floor(ag_variable *input);
AG_API ag_variable *ag_floor_(ag_variable *input);
AG_API ag_variable *ag_ceil(ag_variable *input);
AG_API ag_variable *ag_ceil_(ag_variable *input);
AG_API ag_variable *ag_round(ag_variable *input);                       /* halves to the even number */
AG_API ag_variable *ag_round_(ag_variable *input);
AG_API ag_variable *ag_round_decimals(ag_variable *input, int64_t decimals); /* to 10^-decimals; floating types only */
AG_API ag_variable *ag_round_decimals_(ag_variable *input, int64_t decimals);
AG_API ag_variable *ag_trunc(ag_variable *input);
AG_API ag_variable *ag_trunc_(ag_variable *input);
AG_API ag_variable *ag_square(ag_variable *input);                      /* x x */
AG_API ag_variable *ag_square_(ag_variable *input);
AG_API ag_variable *ag_sqrt(ag_variable *input);
AG_API ag_variable *ag_sqrt_(ag_variable *input);
AG_API ag_variable *ag_rsqrt(ag_variable *input);                       /* 1 / sqrt(x) */
AG_API ag_variable *ag_rsqrt_(ag_variable *input);
AG_API ag_variable *ag_reciprocal(ag_variable *input);                  /* 1 / x */
AG_API ag_variable *ag_reciprocal_(ag_variable *input);

/* ---- exponential and trigonometric ---- */
AG_API ag_variable *ag_exp(ag_variable *input);
AG_API ag_variable *ag_exp_(ag_variable *input);
AG_API ag_variable *ag_expm1(ag_variable *input);                       /* e^x - 1 */
AG_API ag_variable *ag_expm1_(ag_variable *input);
AG_API ag_variable *ag_log(ag_variable *input);                         /* ln x */
AG_API ag_variable *ag_log_(ag_variable *input);
AG_API ag_variable *ag_log1p(ag_variable *input);                       /* ln(1 + x) */
AG_API ag_variable *ag_log1p_(ag_variable *input);
AG_API ag_variable *ag_log2(ag_variable *input);
AG_API ag_variable *ag_log2_(ag_variable *input);
AG_API ag_variable *ag_log10(ag_variable *input);
AG_API ag_variable *ag_log10_(ag_variable *input);
AG_API ag_variable *ag_exp2(ag_variable *input);                        /* 2^x */
AG_API ag_variable *ag_exp2_(ag_variable *input);
AG_API ag_variable *ag_logaddexp(ag_variable *input, ag_variable *other); /* ln(e^a + e^b) */
AG_API ag_variable *ag_logaddexp2(ag_variable *input, ag_variable *other); /* log2(2^a + 2^b) */
AG_API ag_variable *ag_xlogy(ag_variable *input, ag_variable *other);   /* a ln(b); 0 where a is 0 and b is not NaN */
AG_API ag_variable *ag_xlogy_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_sin(ag_variable *input);
AG_API ag_variable *ag_sin_(ag_variable *input);
AG_API ag_variable *ag_cos(ag_variable *input);
AG_API ag_variable *ag_cos_(ag_variable *input);
AG_API ag_variable *ag_tan(ag_variable *input);
AG_API ag_variable *ag_tan_(ag_variable *input);
AG_API ag_variable *ag_asin(ag_variable *input);
AG_API ag_variable *ag_asin_(ag_variable *input);
AG_API ag_variable *ag_acos(ag_variable *input);
AG_API ag_variable *ag_acos_(ag_variable *input);
AG_API ag_variable *ag_atan(ag_variable *input);
AG_API ag_variable *ag_atan_(ag_variable *input);
AG_API ag_variable *ag_atan2(ag_variable *input, ag_variable *other);   /* the angle of (b, a) */
AG_API ag_variable *ag_atan2_(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_sinh(ag_variable *input);
AG_API ag_variable *ag_sinh_(ag_variable *input);
AG_API ag_variable *ag_cosh(ag_variable *input);
AG_API ag_variable *ag_cosh_(ag_variable *input);
AG_API ag_variable *ag_tanh(ag_variable *input);
AG_API ag_variable *ag_tanh_(ag_variable *input);
AG_API ag_variable *ag_erf(ag_variable *input);                         /* the error function */
AG_API ag_variable *ag_erf_(ag_variable *input);
AG_API ag_variable *ag_asinh(ag_variable *input);
AG_API ag_variable *ag_asinh_(ag_variable *input);
AG_API ag_variable *ag_acosh(ag_variable *input);
AG_API ag_variable *ag_acosh_(ag_variable *input);
AG_API ag_variable *ag_atanh(ag_variable *input);
AG_API ag_variable *ag_atanh_(ag_variable *input);
AG_API ag_variable *ag_sinc(ag_variable *input);                        /* sin(pi x) / (pi x), 1 at 0 */
AG_API ag_variable *ag_sinc_(ag_variable *input);
AG_API ag_variable *ag_deg2rad(ag_variable *input);                     /* x pi / 180 */
AG_API ag_variable *ag_deg2rad_(ag_variable *input);
AG_API ag_variable *ag_rad2deg(ag_variable *input);                     /* x 180 / pi */
AG_API ag_variable *ag_rad2deg_(ag_variable *input);
AG_API ag_variable *ag_erfc(ag_variable *input);                        /* 1 - erf(x) */
AG_API ag_variable *ag_erfc_(ag_variable *input);
AG_API ag_variable *ag_erfinv(ag_variable *input);                      /* the x whose erf it is */
AG_API ag_variable *ag_erfinv_(ag_variable *input);
/* ln(x / (1 - x)), x from eps to 1 - eps; eps below 0: x as it is */
#define AG_ARGS_logit(must, may)  must(Tensor, input) may(Float, eps, -1)
AG_DECLARE(logit) AG_DECLARE_INPLACE(logit)
#define ag_logit(...)   AG_CALL(logit, __VA_ARGS__)
#define ag_logit_(...)  AG_CALL_INPLACE(logit, __VA_ARGS__)

/* ---- activations ---- */
AG_API ag_variable *ag_sigmoid(ag_variable *input);                     /* 1 / (1 + e^-x) */
AG_API ag_variable *ag_sigmoid_(ag_variable *input);
AG_API ag_variable *ag_logsigmoid(ag_variable *input);                  /* ln sigmoid(x) */
AG_API ag_variable *ag_relu(ag_variable *input);                        /* max(x, 0); the gradient at 0 is 0 */
AG_API ag_variable *ag_relu_(ag_variable *input);
AG_API ag_variable *ag_relu6(ag_variable *input);                       /* min(max(x, 0), 6) */
AG_API ag_variable *ag_relu6_(ag_variable *input);
AG_API ag_variable *ag_silu(ag_variable *input);                        /* x sigmoid(x) */
AG_API ag_variable *ag_silu_(ag_variable *input);
AG_API ag_variable *ag_selu(ag_variable *input);                        /* scaled elu, self-normalising */
AG_API ag_variable *ag_selu_(ag_variable *input);
AG_API ag_variable *ag_mish(ag_variable *input);                        /* x tanh(ln(1 + e^x)) */
AG_API ag_variable *ag_mish_(ag_variable *input);
AG_API ag_variable *ag_softsign(ag_variable *input);                    /* x / (1 + |x|) */
AG_API ag_variable *ag_hardsigmoid(ag_variable *input);                 /* min(max(x + 3, 0), 6) / 6 */
AG_API ag_variable *ag_hardsigmoid_(ag_variable *input);
AG_API ag_variable *ag_hardswish(ag_variable *input);                   /* x hardsigmoid(x) */
AG_API ag_variable *ag_hardswish_(ag_variable *input);
AG_API ag_variable *ag_tanhshrink(ag_variable *input);                  /* x - tanh(x) */
/* x where x > 0, weight x elsewhere: one weight, or one for each of the channels, which are dimension 1 */
AG_API ag_variable *ag_prelu(ag_variable *input, ag_variable *weight);
/* x (1 + erf(x / sqrt 2)) / 2; by .approximate = "tanh": x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
#define AG_ARGS_gelu(must, may)        must(Tensor, input) may(Str, approximate, "none")
/* x - lambd where x > lambd, x + lambd where x < -lambd, 0 between; lambd >= 0 */
#define AG_ARGS_softshrink(must, may)  must(Tensor, input) may(Float, lambd, 0.5)
/* a sigmoid(b), a and b the halves of input along dim */
#define AG_ARGS_glu(must, may)         must(Tensor, input) may(Int, dim, -1)
AG_DECLARE(gelu)
AG_DECLARE(softshrink)
AG_DECLARE(glu)
#define ag_gelu(...)        AG_CALL(gelu, __VA_ARGS__)
#define ag_softshrink(...)  AG_CALL(softshrink, __VA_ARGS__)
#define ag_glu(...)         AG_CALL(glu, __VA_ARGS__)
/* value where x <= threshold, x elsewhere */
#define AG_ARGS_threshold(must, may)   must(Tensor, input) must(Float, threshold) must(Float, value)
/* min(max(x, min_val), max_val); the gradient on the borders is 0 */
#define AG_ARGS_hardtanh(must, may)    must(Tensor, input) may(Float, min_val, -1) may(Float, max_val, 1)
/* x where x > 0, negative_slope x elsewhere */
#define AG_ARGS_leaky_relu(must, may)  must(Tensor, input) may(Float, negative_slope, 0.01)
/* x where x > 0, alpha (e^x - 1) elsewhere */
#define AG_ARGS_elu(must, may)         must(Tensor, input) may(Float, alpha, 1)
/* x where x > 0, alpha (e^(x / alpha) - 1) elsewhere */
#define AG_ARGS_celu(must, may)        must(Tensor, input) may(Float, alpha, 1)
/* ln(1 + e^(beta x)) / beta; x where beta x > threshold */
#define AG_ARGS_softplus(must, may)    must(Tensor, input) may(Float, beta, 1) may(Float, threshold, 20)
AG_DECLARE(threshold) AG_DECLARE_INPLACE(threshold)
AG_DECLARE(hardtanh) AG_DECLARE_INPLACE(hardtanh)
AG_DECLARE(leaky_relu) AG_DECLARE_INPLACE(leaky_relu)
AG_DECLARE(elu) AG_DECLARE_INPLACE(elu)
AG_DECLARE(celu) AG_DECLARE_INPLACE(celu)
AG_DECLARE(softplus)
/* 0 where |x| <= lambd, x elsewhere */
#define AG_ARGS_hardshrink(must, may)  must(Tensor, input) may(Float, lambd, 0.5)
AG_DECLARE(hardshrink)
#define ag_hardshrink(...)   AG_CALL(hardshrink, __VA_ARGS__)
#define ag_threshold(...)    AG_CALL(threshold, __VA_ARGS__)
#define ag_threshold_(...)   AG_CALL_INPLACE(threshold, __VA_ARGS__)
#define ag_hardtanh(...)     AG_CALL(hardtanh, __VA_ARGS__)
#define ag_hardtanh_(...)    AG_CALL_INPLACE(hardtanh, __VA_ARGS__)
#define ag_leaky_relu(...)   AG_CALL(leaky_relu, __VA_ARGS__)
#define ag_leaky_relu_(...)  AG_CALL_INPLACE(leaky_relu, __VA_ARGS__)
#define ag_elu(...)          AG_CALL(elu, __VA_ARGS__)
#define ag_elu_(...)         AG_CALL_INPLACE(elu, __VA_ARGS__)
#define ag_celu(...)         AG_CALL(celu, __VA_ARGS__)
#define ag_celu_(...)        AG_CALL_INPLACE(celu, __VA_ARGS__)
#define ag_softplus(...)     AG_CALL(softplus, __VA_ARGS__)

    // clang-format on

    AG_END_DECLS
#endif
