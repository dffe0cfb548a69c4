/* pointwise_cases.c - see pointwise_cases.h. */
#include "pointwise_cases.h"

// clang-format off
#define F(value_) { .kind = AG_VALUE_FLOAT, .f = (value_) }
const pointwise_case pointwise_cases[] = {
    /* op            options                                      range        unbounded  what is saved */
    { "neg",         {{0}},                                       -2.0, 2.0,   false,     { "" } },
    { "abs",         {{0}},                                       -2.0, 2.0,   false,     { "a" } },
    { "sign",        {{0}},                                       -2.0, 2.0,   false,     { "" } },
    { "square",      {{0}},                                       -2.0, 2.0,   false,     { "a" } },
    { "reciprocal",  {{0}},                                       -2.0, 2.0,   true,      { "y" } },
    { "sqrt",        {{0}},                                        0.3, 2.0,   true,      { "y" } },
    { "rsqrt",       {{0}},                                        0.3, 2.0,   true,      { "y" } },
    { "exp",         {{0}},                                       -2.0, 2.0,   true,      { "y" } },
    { "expm1",       {{0}},                                       -2.0, 2.0,   true,      { "y" } },
    { "log",         {{0}},                                        0.3, 2.0,   true,      { "a" } },
    { "log1p",       {{0}},                                        0.3, 2.0,   true,      { "a" } },
    { "log2",        {{0}},                                        0.3, 2.0,   true,      { "a" } },
    { "log10",       {{0}},                                        0.3, 2.0,   true,      { "a" } },
    { "sin",         {{0}},                                       -2.0, 2.0,   false,     { "a" } },
    { "cos",         {{0}},                                       -2.0, 2.0,   false,     { "a" } },
    { "tan",         {{0}},                                       -1.0, 1.0,   true,      { "y" } },
    { "asin",        {{0}},                                       -0.8, 0.8,   true,      { "a" } },
    { "acos",        {{0}},                                       -0.8, 0.8,   true,      { "a" } },
    { "atan",        {{0}},                                       -2.0, 2.0,   false,     { "a" } },
    { "sinh",        {{0}},                                       -2.0, 2.0,   true,      { "a" } },
    { "cosh",        {{0}},                                       -2.0, 2.0,   true,      { "a" } },
    { "tanh",        {{0}},                                       -2.0, 2.0,   false,     { "y" } },
    { "erf",         {{0}},                                       -2.0, 2.0,   false,     { "a" } },
    { "erfc",        {{0}},                                        -2.0, 2.0,   false,     { "a" } },
    { "erfinv",      {{0}},                                        -0.8, 0.8,   true,      { "y" } },
    { "exp2",        {{0}},                                        -2.0, 2.0,   true,      { "y" } },
    { "asinh",       {{0}},                                        -2.0, 2.0,   false,     { "a" } },
    { "acosh",       {{0}},                                         1.3, 3.0,   true,      { "a" } },
    { "atanh",       {{0}},                                        -0.8, 0.8,   true,      { "a" } },
    { "sinc",        {{0}},                                        -2.0, 2.0,   false,     { "a" } },
    { "deg2rad",     {{0}},                                        -2.0, 2.0,   false,     { "" } },
    { "rad2deg",     {{0}},                                        -2.0, 2.0,   false,     { "" } },
    { "frac",        {{0}},                                         0.1, 0.9,   false,     { "" } },
    { "sgn",         {{0}},                                        -2.0, 2.0,   false,     { "" } },
    { "mish",        {{0}},                                        -2.0, 2.0,   false,     { "a" } },
    { "hardshrink",  {{ "lambd", F(0.1) }},                        -2.0, 2.0,   false,     { "a" } },
    { "logit",       {{0}},                                         0.2, 0.8,   true,      { "a" } },
    { "logit",       {{ "eps", F(0.01) }},                          0.2, 0.8,   false,     { "a" } },
    { "sigmoid",     {{0}},                                       -2.0, 2.0,   false,     { "y" } },
    { "floor",       {{0}},                                        0.1, 0.9,   false,     { "" } },
    { "ceil",        {{0}},                                        0.1, 0.9,   false,     { "" } },
    { "round",       {{0}},                                        0.6, 1.4,   false,     { "" } },
    { "trunc",       {{0}},                                        0.1, 0.9,   false,     { "" } },
    { "relu",        {{0}},                                       -2.0, 2.0,   false,     { "y" } },
    { "relu6",       {{0}},                                       -2.0, 5.9,   false,     { "a" } },
    { "silu",        {{0}},                                       -2.0, 2.0,   false,     { "a" } },
    { "selu",        {{0}},                                       -2.0, 2.0,   false,     { "a" } },
    { "softsign",    {{0}},                                       -2.0, 2.0,   false,     { "a" } },
    { "hardsigmoid", {{0}},                                       -2.9, 2.9,   false,     { "a" } },
    { "hardswish",   {{0}},                                       -2.9, 2.9,   false,     { "a" } },
    { "logsigmoid",  {{0}},                                       -2.0, 2.0,   false,     { "a" } },
    { "clamp",       {{ "min", F(-0.1) }, { "max", F(0.1) }},     -2.0, 2.0,   false,     { "a" } },
    { "clamp",       {{ "min", F(-3) }},                          -2.0, 2.0,   false,     { "a" } },
    { "hardtanh",    {{ "min_val", F(-0.1) }},                    -0.9, 0.9,   false,     { "a" } },
    { "threshold",   {{ "threshold", F(0.1) }, { "value", F(-5) }}, -2.0, 2.0, false,     { "a" } },
    { "leaky_relu",  {{ "negative_slope", F(0.1) }},              -2.0, 2.0,   false,     { "a" } },
    { "elu",         {{ "alpha", F(1.3) }},                       -2.0, 2.0,   false,     { "a" } },
    { "celu",        {{ "alpha", F(1.3) }},                       -2.0, 2.0,   false,     { "a" } },
    { "softplus",    {{ "beta", F(1.5) }, { "threshold", F(7) }}, -2.0, 2.0,   false,     { "a" } },
    { "mul",         {{0}},                                       -2.0, 2.0,   true,      { "b", "a" } },
    { "div",         {{0}},                                       -2.0, 2.0,   true,      { "b", "ab" } },
    { "pow",         {{0}},                                        0.3, 2.0,   true,      { "ab", "aby" } },
    { "atan2",       {{0}},                                       -2.0, 2.0,   true,      { "ab", "ab" } },
    { "maximum",     {{0}},                                       -2.0, 2.0,   true,      { "ab", "ab" } },
    { "minimum",     {{0}},                                       -2.0, 2.0,   true,      { "ab", "ab" } },
    { "fmax",        {{0}},                                        -2.0, 2.0,   true,      { "ab", "ab" } },
    { "fmin",        {{0}},                                        -2.0, 2.0,   true,      { "ab", "ab" } },
    { "hypot",       {{0}},                                        -2.0, 2.0,   true,      { "ay", "by" } },
    { "logaddexp",   {{0}},                                        -2.0, 2.0,   true,      { "ab", "ab" } },
    { "logaddexp2",  {{0}},                                        -2.0, 2.0,   true,      { "ab", "ab" } },
    { "xlogy",       {{0}},                                         0.3, 2.0,   true,      { "ab", "ab" } },
    { "rsub",        {{0}},                                        -2.0, 2.0,   true,      { "", "" } },
    { "rsub",        {{ "alpha", F(-0.5) }},                       -2.0, 2.0,   true,      { "", "" } },
    { "add",         {{0}},                                       -2.0, 2.0,   true,      { "", "" } },
    { "add",         {{ "alpha", F(-0.5) }},                      -2.0, 2.0,   true,      { "", "" } },
    { "sub",         {{0}},                                       -2.0, 2.0,   true,      { "", "" } },
    { "sub",         {{ "alpha", F(2) }},                         -2.0, 2.0,   true,      { "", "" } },
    { "lerp",        {{0}},                                       -2.0, 2.0,   true,      { "c", "c", "ab" } },
    { "addcmul",     {{ "value", F(0.7) }},                       -2.0, 2.0,   true,      { "", "c", "b" } },
    { "addcdiv",     {{ "value", F(0.7) }},                       -2.0, 2.0,   true,      { "", "c", "bc" } },
    { "eq",          {{0}},                                       -2.0, 2.0,   true,      { NULL } },
    { "ne",          {{0}},                                       -2.0, 2.0,   true,      { NULL } },
    { "lt",          {{0}},                                       -2.0, 2.0,   true,      { NULL } },
    { "le",          {{0}},                                       -2.0, 2.0,   true,      { NULL } },
    { "gt",          {{0}},                                       -2.0, 2.0,   true,      { NULL } },
    { "ge",          {{0}},                                       -2.0, 2.0,   true,      { NULL } },
    { "logical_not", {{0}},                                       -2.0, 2.0,   true,      { NULL } },
    { "logical_and", {{0}},                                        -2.0, 2.0,   true,      { NULL } },
    { "logical_or",  {{0}},                                        -2.0, 2.0,   true,      { NULL } },
    { "logical_xor", {{0}},                                        -2.0, 2.0,   true,      { NULL } },
    { "isnan",       {{0}},                                        -2.0, 2.0,   true,      { NULL } },
    { "isinf",       {{0}},                                        -2.0, 2.0,   true,      { NULL } },
    { "isfinite",    {{0}},                                        -2.0, 2.0,   true,      { NULL } },
    { "isposinf",    {{0}},                                        -2.0, 2.0,   true,      { NULL } },
    { "isneginf",    {{0}},                                        -2.0, 2.0,   true,      { NULL } },
    { "where",       {{0}},                                       -2.0, 2.0,   true,      { "m", "m" } },
};
// clang-format on
const int n_pointwise_cases = (int)(sizeof pointwise_cases / sizeof *pointwise_cases);

static const int64_t s23[] = { 2, 3 }, s13[] = { 1, 3 }, s21[] = { 2, 1 }, s3[] = { 3 }, s32[] = { 3, 2 }, s1[] = { 1 },
                     s03[] = { 0, 3 };
const pointwise_layout pointwise_layouts[] = {
    { "plain", { { 2, s23 }, { 2, s23 }, { 2, s23 } }, { 2, s23 }, { 2, s23 }, false },
    { "right broadcast", { { 2, s23 }, { 1, s3 }, { 2, s21 } }, { 2, s21 }, { 2, s23 }, false },
    { "left broadcast", { { 1, s3 }, { 2, s23 }, { 2, s23 } }, { 2, s23 }, { 2, s23 }, false },
    { "both broadcast", { { 2, s21 }, { 2, s13 }, { 1, s3 } }, { 2, s23 }, { 2, s23 }, false },
    { "right 0-d", { { 2, s23 }, { 0, NULL }, { 0, NULL } }, { 1, s3 }, { 2, s23 }, false },
    { "left 0-d", { { 0, NULL }, { 2, s23 }, { 2, s21 } }, { 0, NULL }, { 2, s23 }, false },
    { "all 0-d", { { 0, NULL }, { 0, NULL }, { 0, NULL } }, { 0, NULL }, { 0, NULL }, false },
    { "one element", { { 1, s1 }, { 1, s1 }, { 1, s1 } }, { 1, s1 }, { 1, s1 }, false },
    { "transposed", { { 2, s32 }, { 2, s23 }, { 1, s3 } }, { 2, s23 }, { 2, s23 }, true },
    { "empty", { { 2, s03 }, { 1, s3 }, { 2, s13 } }, { 2, s03 }, { 2, s03 }, false },
};
const int n_pointwise_layouts = (int)(sizeof pointwise_layouts / sizeof *pointwise_layouts);

const ag_op *case_op(const pointwise_case *c)
{
    const ag_op *op = ag_op_find(c->op);
    ck_assert_msg(op && op->row, "%s is not a row of pointwise.def", c->op);
    return op;
}
int case_options(const pointwise_case *c)
{
    int n = 0;
    while (n < AG_ROW_MAX_OPTIONS && c->options[n].name) n++;
    return n;
}
int case_numbers(const pointwise_case *c) { return case_op(c)->row->n_in - case_op(c)->row->has_mask; }

Variable *case_random(const pointwise_case *c, Shape shape)
{
    if (c->low >= 0) return support_random(shape, c->low, c->high);
    Variable *x = support_random(shape, c->low, c->high);
    double *at = ag_data_mutable(x);
    for (int64_t i = 0; i < ag_numel(x); i++)
        if (fabs(at[i]) < 0.2) at[i] = at[i] < 0 ? at[i] - 0.2 : at[i] + 0.2;
    return x;
}

static Variable *call(const pointwise_case *c, Variable *const *in, const char *ending)
{
    char name[64];
    ag_value args[3];
    Variable *y = NULL;
    int n = case_op(c)->row->n_in;
    snprintf(name, sizeof name, "%s%s", c->op, ending);
    for (int i = 0; i < n; i++) args[i] = ag_of(in[i]);
    return ag_call(name, n, args, case_options(c), c->options, &y, 1) == 1 ? y : NULL;
}
Variable *case_call(const pointwise_case *c, Variable *const *in) { return call(c, in, ""); }
Variable *case_call_inplace(const pointwise_case *c, Variable *const *in) { return call(c, in, "_"); }
