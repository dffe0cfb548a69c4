/* op_functions.c - the typed function of every op, called with the values of a case: what a C program calls must
 * give what the call by name gives. An op whose arguments are declared in a public header (AG_ARGS_<op>) is a word
 * in DECLARED; one with a plain prototype is a word in the list of its signature. */
#include "op_rows.h"

#include <argent/call.h>

/* ---- values as C values ---- */

static const ag_value *nth(const op_call *c, int position) { return op_call_value(c, position, ""); }

static Variable *get_Tensor(const ag_value *v)
{
    if (!v) return NULL;
    if (v->kind == AG_VALUE_TENSOR) return v->tensor;
    if (v->kind == AG_VALUE_INT) return ag_scalar(v->i);
    if (v->kind == AG_VALUE_FLOAT) return ag_scalar(v->f);
    return v->kind == AG_VALUE_BOOL ? ag_scalar(v->b) : AG_NONE;
}
static List get_Tensors(const ag_value *v) { return v->tensors; }
static double get_Float(const ag_value *v)
{
    if (v->kind == AG_VALUE_INT) return (double)v->i;
    return v->kind == AG_VALUE_BOOL ? v->b : v->f;
}
static int64_t get_Int(const ag_value *v) { return v->kind == AG_VALUE_BOOL ? v->b : v->i; }
static ag_number get_Number(const ag_value *v) { return v->kind == AG_VALUE_FLOAT ? v->f : (ag_number)get_Int(v); }
static bool get_Bool(const ag_value *v) { return v->b; }
static const char *get_Str(const ag_value *v) { return v->s; }
static Shape get_Shape(const ag_value *v) { return v->kind == AG_VALUE_INT ? ag_sizes_of(1, &v->i) : v->ints; }
static ag_dtype get_Dtype(const ag_value *v) { return v->dtype; }
static ag_device get_Device(const ag_value *v)
{
    ag_device device = AG_ANY_DEVICE;
    if (v->kind == AG_VALUE_STR) ag_device_parse(v->s, &device);
    return device;
}
static ag_memory_format get_Format(const ag_value *v) { return (ag_memory_format)v->i; }
static ag_sizes get_Size(const ag_value *v)
{
    if (v->kind == AG_VALUE_STR) return strcmp(v->s, "same") ? strcmp(v->s, "valid") ? -1 : 0 : AG_PADDING_SAME;
    if (v->kind == AG_VALUE_INT) return v->i;
    return v->ints.n == 1 ? AG_SIZE(v->ints.at[0]) : AG_SIZE(v->ints.at[0], v->ints.at[1]);
}
static ag_dims get_Dims(const ag_value *v)
{
    if (v->kind == AG_VALUE_INT) return v->i;
    if (v->kind == AG_VALUE_NONE || !v->ints.n) return AG_ALL;
    const int64_t *at = v->ints.at;
    if (v->ints.n == 1) return AG_DIMS(at[0]);
    return v->ints.n == 2 ? AG_DIMS(at[0], at[1]) : AG_DIMS(at[0], at[1], at[2]);
}
static Generator *get_Generator(const ag_value *v) { return v->kind == AG_VALUE_GENERATOR ? v->generator : NULL; }

static int one(Variable *result, Variable **out) { return (out[0] = result) != NULL; }

// clang-format off

/* ---- ops with options: the struct that the macro fills, by the same list ---- */

#define DECLARED(X)                                                                                              \
    X(add) X(sub) X(addcmul) X(addcdiv) X(clamp) X(threshold) X(hardtanh) X(leaky_relu) X(elu) X(celu)           \
    X(softplus) X(empty) X(zeros) X(ones) X(full) X(empty_like) X(zeros_like) X(ones_like) X(full_like)          \
    X(arange) X(linspace) X(eye) X(flatten) X(squeeze) X(slice) X(diagonal) X(as_strided) X(clone) X(contiguous) \
    X(to) X(sum) X(mean) X(prod) X(amax) X(amin) X(argmax) X(argmin) X(any) X(all) X(logsumexp) X(cat) X(stack)  \
    X(rand) X(rand_like) X(randn) X(randn_like) X(randint) X(randperm) X(bernoulli) X(uniform_) X(normal_)       \
    X(bernoulli_) X(random_) X(exponential_) X(addmm) X(linear) X(conv2d) X(nn_grad_conv2d_input)                \
    X(nn_grad_conv2d_weight) X(max_pool2d) X(softmax) X(log_softmax) X(nll_loss) X(cross_entropy) X(mse_loss)    \
    X(l1_loss) X(dropout) X(dropout2d) X(div_mode) X(clamp_tensor) X(squeeze_) X(float) X(double) X(long) X(int) \
    X(cumsum) X(index_add) X(roll) X(tril) X(triu) X(rsub) X(hardshrink) X(logit) \
    X(binary_cross_entropy) X(binary_cross_entropy_with_logits) X(huber_loss) X(kl_div) X(smooth_l1_loss) X(soft_margin_loss) \
    X(new_zeros) X(new_ones) X(new_full) X(constant_pad_nd) X(baddbmm) X(addbmm) X(addmv) X(addr) X(cumprod) X(var) X(std) X(linalg_vector_norm) X(nansum) X(nanmean) X(count_nonzero) X(isclose) X(gelu) X(softshrink) X(glu) X(softmin)
#define DECLARED_INPLACE(X) \
    X(add) X(sub) X(addcmul) X(addcdiv) X(clamp) X(threshold) X(hardtanh) X(leaky_relu) X(elu) X(celu) X(addmm) \
    X(div_mode) X(clamp_tensor) X(baddbmm) X(addbmm) X(addmv) X(addr) X(cumsum) X(cumprod) X(index_add) X(tril) X(triu) X(logit)

#define TAKE_MUST(type, field) if ((v = op_call_value(c, k++, #field))) a.field = get_##type(v);
#define TAKE_MAY(type, field, ...) \
    if ((v = op_call_value(c, k++, #field)) && v->kind != AG_VALUE_NONE) a.field = get_##type(v);
#define ARGUMENTS(op)                                                                \
    struct ag_##op##_args a = { AG_ARGS_##op(AG_NOTHING, AG_DEFAULT) .begin_ = {} }; \
    const ag_value *v;                                                               \
    int k = 0;                                                                       \
    AG_ARGS_##op(TAKE_MUST, TAKE_MAY)
#define DECLARED_FUNCTION(op) \
    static int call_##op(const op_call *c, Variable **out) { ARGUMENTS(op) return one(ag_##op##_call(&a), out); }
#define DECLARED_FUNCTION_INPLACE(op) \
    static int inplace_##op(const op_call *c, Variable **out) { ARGUMENTS(op) return one(ag_##op##__call(&a), out); }
DECLARED(DECLARED_FUNCTION)
DECLARED_INPLACE(DECLARED_FUNCTION_INPLACE)

/* answers that are not Variables */
static int answer(bool yes, Variable **out)
{
    return ag_error() ? 0 : one(ag_full(AG_SCALAR_SHAPE, yes, .dtype = AG_BOOL), out);
}
static int call_equal(const op_call *c, Variable **out)
{
    return answer(ag_equal(get_Tensor(nth(c, 0)), get_Tensor(nth(c, 1))), out);
}
static int call_allclose(const op_call *c, Variable **out) { ARGUMENTS(allclose) return answer(ag_allclose_call(&a), out); }
#define ANSWER(X) X(equal) X(allclose)

/* two results */
#define PAIR(X)                                                                                 \
    X(max_dim, ag_values_indices, values, indices) X(min_dim, ag_values_indices, values, indices) \
    X(max_pool2d_with_indices, ag_max_pool2d_with_indices_result, values, indices)                \
    X(var_mean, ag_var_mean_result, var, mean) X(std_mean, ag_std_mean_result, std, mean)
#define PAIR_FUNCTION(op, type, first, second)             \
    static int call_##op(const op_call *c, Variable **out) \
    {                                                      \
        ARGUMENTS(op)                                      \
        type both = ag_##op##_call(&a);                    \
        out[1] = both.second;                             \
        return one(both.first, out) * 2;                  \
    }
PAIR(PAIR_FUNCTION)

/* a list of results */
#define LIST(X) X(split) X(split_with_sizes) X(chunk) X(unbind)
#define LIST_FUNCTION(op)                                                     \
    static int call_##op(const op_call *c, Variable **out)                    \
    {                                                                         \
        ARGUMENTS(op)                                                         \
        List list = ag_##op##_call(&a);                                       \
        for (int i = 0; i < list.n && i < OP_RESULTS; i++) out[i] = list.at[i]; \
        return (int)list.n;                                                   \
    }
LIST(LIST_FUNCTION)

/* ---- plain functions, by signature ---- */

#define T(i) get_Tensor(nth(c, i))
#define I(i) get_Int(nth(c, i))
#define F(i) get_Float(nth(c, i))
#define S(i) get_Shape(nth(c, i))

#define UNARY_PLAIN(X)                                                                                             \
    X(neg) X(abs) X(sign) X(floor) X(ceil) X(round) X(trunc) X(square) X(sqrt) X(rsqrt) X(reciprocal) X(exp)       \
    X(expm1) X(log) X(log1p) X(log2) X(log10) X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) X(cosh) X(tanh) \
    X(erf) X(erfc) X(erfinv) X(exp2) X(asinh) X(acosh) X(atanh) X(sinc) X(deg2rad) X(rad2deg) X(frac) X(sgn) X(mish) X(bitwise_not)   \
    X(sigmoid) X(relu) X(relu6) X(silu) X(selu) X(hardsigmoid) X(hardswish) X(logical_not)
#define UNARY_FRESH(X) \
    X(isnan) X(isinf) X(isfinite) X(isposinf) X(isneginf) X(softsign) X(positive) X(tanhshrink) X(logsigmoid) X(t) X(t_) X(max) X(min) X(detach) X(zero_) X(fliplr) X(flipud)
#define BINARY_PLAIN(X) X(mul) X(div) X(pow) X(atan2) X(eq) X(ne) X(lt) X(le) X(gt) X(ge) \
    X(bitwise_and) X(bitwise_or) X(bitwise_xor) X(bitwise_left_shift) X(bitwise_right_shift) \
    X(floor_divide) X(remainder) X(fmod) X(hypot) X(xlogy) X(logical_and) X(logical_or) X(logical_xor)
#define BINARY_FRESH(X) \
    X(outer) X(ger) X(prelu) X(fmax) X(fmin) X(logaddexp) X(logaddexp2) X(maximum) X(minimum) X(copy_) X(mm) X(bmm) X(mv) X(dot) X(matmul) X(view_as) X(reshape_as) X(expand_as)

#define FUNCTION(op, ...) \
    static int call_##op(const op_call *c, Variable **out) { return one(ag_##op(__VA_ARGS__), out); }
#define FUNCTION_INPLACE(op, ...) \
    static int inplace_##op(const op_call *c, Variable **out) { return one(ag_##op##_(__VA_ARGS__), out); }
#define UNARY_FUNCTION(op) FUNCTION(op, T(0))
#define UNARY_FUNCTION_INPLACE(op) FUNCTION_INPLACE(op, T(0))
#define BINARY_FUNCTION(op) FUNCTION(op, T(0), T(1))
#define BINARY_FUNCTION_INPLACE(op) FUNCTION_INPLACE(op, T(0), T(1))
UNARY_PLAIN(UNARY_FUNCTION)
UNARY_PLAIN(UNARY_FUNCTION_INPLACE)
UNARY_FRESH(UNARY_FUNCTION)
BINARY_PLAIN(BINARY_FUNCTION)
BINARY_PLAIN(BINARY_FUNCTION_INPLACE)
BINARY_FRESH(BINARY_FUNCTION)

#define OTHERS(X)                                                                                                   \
    X(where, T(0), T(1), T(2)) X(view, T(0), S(1)) X(reshape, T(0), S(1)) X(expand, T(0), S(1))                     \
    X(permute, T(0), S(1)) X(sum_to_size, T(0), S(1)) X(flip, T(0), S(1)) X(repeat, T(0), S(1)) X(tile, T(0), S(1)) X(broadcast_to, T(0), S(1)) X(unflatten, T(0), I(1), S(2)) X(transpose, T(0), I(1), I(2)) X(transpose_, T(0), I(1), I(2)) X(unsqueeze_, T(0), I(1)) \
    X(movedim, T(0), I(1), I(2)) X(unsqueeze, T(0), I(1)) X(narrow, T(0), I(1), I(2), I(3))                         \
    X(select, T(0), I(1), I(2)) X(fill_, T(0), F(1)) X(fill_tensor_, T(0), T(1))                                                                \
    X(gather, T(0), I(1), T(2)) X(index_select, T(0), I(1), T(2)) X(take, T(0), T(1))
#define OTHERS_INPLACE(X) X(round_decimals, T(0), I(1)) X(lerp, T(0), T(1), T(2)) X(masked_fill, T(0), T(1), F(2)) \
    X(index_copy, T(0), I(1), T(2), T(3)) X(index_fill, T(0), I(1), T(2), F(3)) \
    X(scatter, T(0), I(1), T(2), T(3)) X(scatter_value, T(0), I(1), T(2), F(3)) X(scatter_add, T(0), I(1), T(2), T(3))
OTHERS(FUNCTION)
OTHERS_INPLACE(FUNCTION)
OTHERS_INPLACE(FUNCTION_INPLACE)

/* ---- the table ---- */

#define ROW(op, ...) { #op, call_##op, NULL },
#define ROW_INPLACE(op, ...) { #op, NULL, inplace_##op },
static const op_function functions[] = {
    DECLARED(ROW) DECLARED_INPLACE(ROW_INPLACE) ANSWER(ROW) PAIR(ROW) LIST(ROW) UNARY_PLAIN(ROW) UNARY_PLAIN(ROW_INPLACE) UNARY_FRESH(ROW)
    BINARY_PLAIN(ROW) BINARY_PLAIN(ROW_INPLACE) BINARY_FRESH(ROW)
    OTHERS(ROW) OTHERS_INPLACE(ROW) OTHERS_INPLACE(ROW_INPLACE)
};

// clang-format on

const op_function *op_function_of(const char *op)
{
    static op_function found;
    found = (op_function){ op, NULL, NULL };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (strcmp(functions[i].op, op)) continue;
        if (functions[i].call) found.call = functions[i].call;
        if (functions[i].inplace) found.inplace = functions[i].inplace;
    }
    return found.call ? &found : NULL;
}
