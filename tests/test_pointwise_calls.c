/* test_pointwise_calls.c - every row for every type, by name, against what PyTorch gave (tools/record-pointwise.py):
 * values, types, strides, gradients, in-place forms, sentences; and every public function against its call by name. */
#include "ops/pointwise_rows.h"
#include "support.h"

#include <stdio.h>

enum { MAX_ARGS = 4, MAX_DIMS_READ = 8, MAX_VALUES = 64 };

/* One line of the file. */
typedef struct line {
    int number;
    char *rest; /* what has not been read yet */
    char *op;
    int n, n_named;
    ag_value args[MAX_ARGS];
    ag_named_value named[MAX_ARGS];
} line;

static char *word(line *l) { return strsep(&l->rest, " \n"); }

static int64_t integers(const char *list, int64_t *to, int most)
{
    int n = 0;
    for (char *end; *list && *list != '-' && n < most; list = *end ? end + 1 : end) to[n++] = strtoll(list, &end, 10);
    return n;
}

/* dtype:shape:strides:values, spoilt by reading */
typedef struct tensor_text {
    ag_dtype dtype;
    Shape shape, strides;
    int64_t size[MAX_DIMS_READ], stride[MAX_DIMS_READ];
    int64_t n;
    double value[MAX_VALUES];
    int64_t whole[MAX_VALUES];
} tensor_text;
static tensor_text *parse(char *text)
{
    static tensor_text t;
    const char *dtype = strsep(&text, ":"), *shape = strsep(&text, ":"), *strides = strsep(&text, ":");
    for (int d = 0; d < AG_N_DTYPES; d++)
        if (!strcmp(dtype, ag_dtype_name((ag_dtype)d))) t.dtype = (ag_dtype)d;
    t.shape = ag_sizes_of(integers(shape, t.size, MAX_DIMS_READ), t.size);
    t.strides = ag_sizes_of(integers(strides, t.stride, MAX_DIMS_READ), t.stride);
    t.n = 0;
    if (!strcmp(text, "-")) return &t;
    for (char *end; *text; text = *end ? end + 1 : end, t.n++) {
        ck_assert_int_lt(t.n, MAX_VALUES);
        t.value[t.n] = strtod(text, &end);
        t.whole[t.n] = strtoll(text, NULL, 10);
    }
    return &t;
}

static Variable *contiguous_of(const tensor_text *t)
{
    static _Alignas(8) char bytes[MAX_VALUES * 8];
    for (int64_t i = 0; i < t->n; i++) {
        char *at = bytes + (size_t)i * ag_dtype_size(t->dtype);
        if (ag_dtype_is_floating_point(t->dtype))
            ag__store(at, t->dtype, t->value[i]);
        else
            ag__store_int64(at, t->dtype, t->whole[i]);
    }
    return ag_tensor_from(bytes, t->shape, t->dtype);
}
static Variable *variable_of(char *text)
{
    const tensor_text *t = parse(text);
    Variable *x = contiguous_of(t);
    if (!t->strides.n) return x;
    int64_t room = 1;
    bool repeats = false;
    for (int64_t d = 0; d < t->strides.n; d++) {
        room += (t->size[d] - 1) * t->stride[d];
        repeats = repeats || (t->stride[d] == 0 && t->size[d] > 1);
    }
    if (repeats)
        return x; /* only which values and which strides come out matters, and these are laid out as row-major ones */
    Variable *y = ag_as_strided(ag_zeros(AG_SHAPE(room), .dtype = t->dtype), t->shape, t->strides);
    return ag_detach(ag_copy_(y, x));
}

static void read_call(line *l)
{
    l->n = l->n_named = 0;
    l->op = word(l);
    for (char *w; (w = word(l)) && strcmp(w, "->") && strcmp(w, "!!");) {
        char *equals = strchr(w, '=');
        if (equals) {
            *equals = 0;
            l->named[l->n_named++] = (ag_named_value){ w, ag_of(strtod(equals + 3, NULL)) };
        } else if (w[1] == ':') {
            l->args[l->n++] = w[0] == 'f'   ? ag_of(strtod(w + 2, NULL))
                              : w[0] == 'b' ? ag_of((bool)(w[2] == '1'))
                                            : ag_of(atoi(w + 2));
        } else {
            l->args[l->n++] = ag_of(variable_of(w));
        }
    }
}

/* A formula that subtracts what is nearly equal is as good as its terms. Those of gelu are as large as the input, and
 * so is what silu's gradient multiplies 1 - sigmoid(x) with; those of a gradient, 1 - y * y, about 1. */
static bool cancels(const char *op, const char *what)
{
    return !strcmp(op, "gelu") || (!strcmp(op, "silu") && !strcmp(what, "gradient"));
}

static void compare(const line *l, const char *what, Variable *y, const tensor_text *want, double terms)
{
    const ag_tensor *t = &y->tensor;
    ck_assert_msg(t->dtype == want->dtype, "line %d, %s: %s is %s, not %s", l->number, l->op, what,
                  ag_dtype_name((ag_dtype)t->dtype), ag_dtype_name(want->dtype));
    ck_assert_msg(t->ndim == want->shape.n && !memcmp(t->size, want->size, sizeof(int64_t) * t->ndim),
                  "line %d, %s: shape of %s", l->number, l->op, what);
    if (!want->strides.n) ck_assert_msg(t->contiguous, "line %d, %s: %s is not contiguous", l->number, l->op, what);
    for (int64_t d = 0; d < want->strides.n; d++)
        ck_assert_msg(t->stride[d] == want->stride[d], "line %d, %s: stride %d of %s", l->number, l->op, (int)d, what);
    double values[MAX_VALUES], input[MAX_VALUES] = { 0 };
    int64_t whole[MAX_VALUES];
    ck_assert(ag_copy_to(y, values, AG_FLOAT64));
    if (cancels(l->op, what)) ck_assert(ag_copy_to(l->args[0].tensor, input, AG_FLOAT64));
    if (!ag__is_floating(want->dtype)) ck_assert(ag_copy_to(y, whole, AG_INT64));
    const double unit = want->dtype == AG_FLOAT32 ? 0x1p-23 : 0x1p-52;
    for (int64_t i = 0; i < want->n; i++) {
        double a = values[i], b = want->value[i], most = 8 * unit * (fabs(b) + terms + fabs(input[i])) + 1e-320;
        if (want->dtype == AG_FLOAT32) most += 0x1p-149;
        bool same = ag__is_floating(want->dtype) ? a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= most
                                                 : whole[i] == want->whole[i];
        ck_assert_msg(same, "line %d, %s: element %d of %s is %.17g, not %.17g", l->number, l->op, (int)i, what, a, b);
    }
}

static void replay(line *l, bool refused)
{
    bool inplace = l->op[strlen(l->op) - 1] == '_';
    char *result = refused ? l->rest : word(l), *grad = refused ? NULL : word(l);
    bool grads = grad && !strcmp(grad, "grad");
    for (int i = 0; i < l->n && grads; i++)
        if (l->args[i].kind == AG_VALUE_TENSOR && ag_is_floating_point(l->args[i].tensor))
            ag_requires_grad_(l->args[i].tensor);
    Variable *y = NULL;
    int n = ag_call(l->op, l->n, l->args, l->n_named, l->named, &y, 1);
    if (refused) {
        char *not_implemented = strstr(result, "not implemented for"),
             *part = not_implemented ? not_implemented : result;
        part[strcspn(part, "\n")] = 0;
        if (strstr(part, "desired output type"))
            part[strcspn(part, "'")] = 0; /* Long is "long int" in some of PyTorch's ops */
        if (strstr(part, "no longer supported")) part[strcspn(part, ",")] = 0;
        ck_assert_msg(n == 0 && ag_error() && strstr(ag_error(), part), "line %d, %s: \"%s\", not \"%s\"", l->number,
                      l->op, ag_error() ? ag_error() : "no error", part);
        ag_clear_error();
        return;
    }
    ck_assert_msg(n == 1 && y, "line %d, %s: %s", l->number, l->op, ag_error() ? ag_error() : "no result");
    if (inplace) ck_assert_ptr_eq(y, l->args[0].tensor);
    compare(l, "result", y, parse(result), 0);
    if (!grads) return;
    OK(ag_backward(y, .gradient = ag_full(ag_shape(y), 1.5, .dtype = ag_dtype_of(y))));
    for (int i = 0; i < l->n; i++) {
        char *want = word(l);
        if (want && strcmp(want, "-")) compare(l, "gradient", ag_grad(l->args[i].tensor), parse(want), 1);
    }
}

START_TEST(every_type_gives_what_pytorch_gives)
{
    char *text = NULL;
    size_t room = 0;
    line l = { 0 };
    FILE *file = fopen(AG_TEST_DATA "/pointwise_calls.txt", "r");
    ck_assert_ptr_nonnull(file);
    while (getline(&text, &room, file) > 0) {
        AG_SCOPE;
        bool refused = strstr(text, " !! ") != NULL;
        l.number++;
        l.rest = text;
        read_call(&l);
        ck_assert_msg(!ag_error(), "line %d: %s", l.number, ag_error());
        replay(&l, refused);
    }
    ck_assert_int_gt(l.number, 2000);
    free(text);
    fclose(file);
}
END_TEST

/* ---- functions ---- */
typedef Variable *unary(Variable *);
typedef Variable *binary(Variable *, Variable *);
typedef Variable *ternary(Variable *, Variable *, Variable *);
typedef struct function {
    const char *name;
    int n;
    void (*of)(void);
} function;
#define FUNCTION(name, f) { name, _Generic(&f, unary * : 1, binary * : 2, ternary * : 3), (void (*)(void))f },
static const function functions[] = {
#define PLAIN(op, LIST)         FUNCTION(#op, ag_##op)
#define PLAIN_inplace(op, LIST) FUNCTION(#op "_", ag_##op##_)
#include "ops/pointwise.def"
};

START_TEST(a_public_function_is_its_record_called_by_name)
{
    for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) {
        AG_SCOPE;
        const function *f = &functions[k];
        Variable *x[3], *z[3], *y = NULL, *by_name = NULL;
        for (int i = 0; i < 3; i++) {
            z[i] = support_random(AG_SHAPE(2, 3), 0.1, 0.9);
            if (!strcmp(f->name, "where") && i == 0) z[i] = ag_gt(z[i], ag_scalar(0.5));
            x[i] = ag_clone(z[i]);
        }
        if (f->n == 1) y = ((unary *)f->of)(x[0]);
        if (f->n == 2) y = ((binary *)f->of)(x[0], x[1]);
        if (f->n == 3) y = ((ternary *)f->of)(x[0], x[1], x[2]);
        ck_assert_int_eq(
            ag_call(f->name, f->n, (ag_value[]){ ag_of(z[0]), ag_of(z[1]), ag_of(z[2]) }, 0, NULL, &by_name, 1), 1);
        OK(y);
        ck_assert_msg(ag_allclose(y, by_name, 0, 0, .equal_nan = true), "%s", f->name);
        bool inplace = f->name[strlen(f->name) - 1] == '_';
        ck_assert_msg((y == x[0]) == inplace, "%s", f->name);
    }
}
END_TEST

START_TEST(functions_with_options_take_them_by_place_and_by_name)
{
    Variable *x = ag_tensor(((double[]){ -2, 0.5, 3 }), AG_SHAPE(3)),
             *y = ag_tensor(((double[]){ 1, 2, 4 }), AG_SHAPE(3));
    VALUES(ag_add(x, y), -1, 2.5, 7);
    VALUES(ag_add(x, y, 2), 0, 4.5, 11);
    VALUES(ag_add(x, y, .alpha = -1), -3, -1.5, -1);
    VALUES(ag_sub(x, y, .alpha = 0.5), -2.5, -0.5, 1);
    VALUES(ag_addcmul(x, y, y, .value = 0.5), -1.5, 2.5, 11);
    VALUES(ag_addcdiv(x, y, y, 3), 1, 3.5, 6);
    VALUES(ag_clamp(x, 0, 1), 0, 0.5, 1);
    VALUES(ag_clamp(x, .max = 0), -2, 0, 0);
    VALUES(ag_clamp(x, .min = 0), 0, 0.5, 3);
    VALUES(ag_threshold(x, 0, -7), -7, 0.5, 3);
    VALUES(ag_hardtanh(x), -1, 0.5, 1);
    VALUES(ag_hardtanh(x, -3, 2), -2, 0.5, 2);
    VALUES(ag_leaky_relu(x, 0.25), -0.5, 0.5, 3);
    VALUES(ag_elu(x, .alpha = 2), 2 * expm1(-2), 0.5, 3);
    VALUES(ag_celu(x, .alpha = 2), 2 * expm1(-1), 0.5, 3);
    VALUES(ag_softplus(x, 2, .threshold = 4), log1p(exp(-4)) / 2, log1p(exp(1)) / 2, 3);
    ck_assert_ptr_eq(ag_add_(y, x, .alpha = 2), y);
    VALUES(y, -3, 3, 10);
    VALUES(ag_clamp_(y, -1, 5), -1, 3, 5);
    VALUES(ag_sub_(y, x), 1, 2.5, 2);
    VALUES(ag_leaky_relu_(x, 0.5), -1, 0.5, 3);
    VALUES(ag_threshold_(x, 0.5, 0), 0, 0, 3);
    VALUES(ag_hardtanh_(x, 0, 2), 0, 0, 2);
    VALUES(ag_elu_(ag_neg(x)), 0, 0, expm1(-2));
    VALUES(ag_celu_(ag_neg(x)), 0, 0, expm1(-2));
    VALUES(ag_addcmul_(x, x, x), 0, 0, 6);
    VALUES(ag_addcdiv_(x, y, y, .value = 2), 2, 2, 8);
}
END_TEST

/* Of numbers whose quotients are small, large, nearly whole and infinite. */
START_TEST(remainders_are_exact)
{
    enum { N = 20000 };
    static double a[N], b[N];
    static float c[N], d[N];
    static const double special[] = { 0, -0.0, 1, -1, 3, 1e-310, 5e-324, INFINITY, -INFINITY, NAN, 1e300, 0x1p53 };
    uint64_t state = 7;
    for (int i = 0; i < N; i++) {
        double part[4];
        for (int k = 0; k < 4; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            part[k] = (double)(state >> 11) * 0x1p-53;
        }
        b[i] = i % 97 ? ldexp(part[0] - 0.5, (int)(part[1] * 40) - 20) : special[(int)(part[1] * 12)];
        a[i] = i % 89 ? b[i] * ldexp(part[2] - 0.5, (int)(part[3] * 70) - 5) : special[(int)(part[3] * 12)];
        if (i % 3 == 0) a[i] = nextafter(b[i] * rint(part[2] * 1e6), i % 2 ? INFINITY : 0);
        c[i] = (float)a[i];
        d[i] = (float)b[i];
    }
    Variable *x = ag_tensor(a, AG_SHAPE(N)), *y = ag_tensor(b, AG_SHAPE(N)), *v = ag_tensor(c, AG_SHAPE(N)),
             *w = ag_tensor(d, AG_SHAPE(N));
    const double *fine = ag_data(ag_fmod(x, y)), *floored = ag_data(ag_remainder(x, y));
    const float *coarse = ag_data(ag_fmod(v, w)), *floored_coarse = ag_data(ag_remainder(v, w));
    for (int i = 0; i < N; i++) {
        double left = fmod(a[i], b[i]), rest = left != 0 && (b[i] < 0) != (left < 0) ? left + b[i] : left;
        float left_f = fmodf(c[i], d[i]), rest_f = left_f != 0 && (d[i] < 0) != (left_f < 0) ? left_f + d[i] : left_f;
#define SAME(got, want, p, q)                                                                             \
    ck_assert_msg((got) == (want) ? !signbit(got) == !signbit(want) : (got) != (got) && (want) != (want), \
                  "%a and %a: %a, not %a", (double)(p), (double)(q), (double)(got), (double)(want))
        SAME(fine[i], left, a[i], b[i]);
        SAME(coarse[i], left_f, c[i], d[i]);
        SAME(floored[i], rest, a[i], b[i]);
        SAME(floored_coarse[i], rest_f, c[i], d[i]);
    }
}
END_TEST

SUPPORT_MAIN("pointwise calls", every_type_gives_what_pytorch_gives, a_public_function_is_its_record_called_by_name,
             functions_with_options_take_them_by_place_and_by_name, remainders_are_exact)
