/* test_functional.c - vjp, jvp, vhp, hvp, jacobian, hessian: values and sentences that PyTorch gave, and what holds of
 * matrices. */
#include "interpose.h"
#include "support.h"

/* ---- functions ---- */

#define FUNCTION(name, ...)                                              \
    static int name(Variable *const *x, int n, Variable **y, void *user) \
    {                                                                    \
        (void)x, (void)n, (void)user;                                    \
        Variable *const results[] = { __VA_ARGS__ };                     \
        memcpy(y, results, sizeof results);                              \
        return sizeof results / sizeof *results;                         \
    }
#define N(value) ag_scalar(value)
FUNCTION(exp_reducer, ag_sum(ag_exp(x[0]), 1))
FUNCTION(two_outputs, ag_mul(ag_sin(x[0]), x[1]), ag_sum(ag_matmul(x[0], x[1])))
FUNCTION(one_number, ag_add(ag_sum(ag_mul(ag_pow(x[0], N(3)), x[1])), ag_sum(ag_sin(x[1]))))
FUNCTION(twice, ag_mul(x[0], N(2)))
FUNCTION(twice_and_one, ag_mul(x[0], N(2)), ag_mul(x[0], N(1)))
FUNCTION(square, ag_mul(x[0], x[0]))
FUNCTION(square_and_twice, ag_mul(x[0], x[0]), ag_mul(x[0], N(2)))
FUNCTION(sum_of_squares, ag_sum(ag_mul(x[0], x[0])))
FUNCTION(squares_in_a_matrix, ag_view(ag_sum(ag_mul(x[0], x[0])), AG_SHAPE(1, 1)))
FUNCTION(sum_of_twice, ag_sum(ag_mul(x[0], N(2))))
FUNCTION(two_sums, ag_sum(x[0]), ag_sum(x[0]))
FUNCTION(separate, ag_add(ag_sum(ag_mul(x[0], x[0])), ag_sum(x[1])))
FUNCTION(two_ones, ag_ones(AG_SHAPE(2), .dtype = AG_FLOAT64))
FUNCTION(a_one, ag_ones(AG_SCALAR_SHAPE, .dtype = AG_FLOAT64))
FUNCTION(nothing_left, ag_slice(x[0], 0, 0, 0))
FUNCTION(cube, ag_pow(x[0], N(3)))
FUNCTION(sum_of_fourth_powers, ag_sum(ag_pow(x[0], N(4))))
FUNCTION(itself, x[0])

/* ---- PyTorch's answers, a row each ---- */

typedef enum { VJP, JVP, VHP, HVP, JACOBIAN, HESSIAN } Call;
enum { STRICT = 1, GRAPH = 2 };

typedef struct {
    Call call;
    ag_gradcheck_function *function;
    const char *inputs, *v; /* of the Variables in `given` below */
    int options;
    const char *sentence; /* or: */
    double values[48];    /* of the outputs (not for matrices) and the derivatives, one behind the other */
} Row;

static Variable *given(char name)
{
    switch (name) {
    case 'x':
        return ag_tensor(((double[]){ 1, 2, 3, 0.5 }), AG_SHAPE(2, 2));
    case 'v':
        return ag_tensor(((double[]){ 1, -1, 0.5, 2 }), AG_SHAPE(2, 2));
    case 'y':
        return ag_tensor(((double[]){ 0.3, -0.7 }), AG_SHAPE(2));
    case 'w':
        return ag_tensor(((double[]){ 2, 3 }), AG_SHAPE(2));
    case 'a':
        return ag_tensor(((double[]){ 1, 2 }), AG_SHAPE(2));
    case '2':
        return ag_full(AG_SCALAR_SHAPE, 2, .dtype = AG_FLOAT64);
    case '3':
        return ag_ones(AG_SHAPE(3), .dtype = AG_FLOAT64);
    case 'i':
        return ag_arange(2);
    default:
        return NULL;
    }
}
static List list_of(const char *names, Variable **at)
{
    int64_t n = 0;
    for (; names && names[n]; n++) at[n] = given(names[n]);
    return ag_list_from(n, at);
}

#define INDEPENDENT \
    "The output of the user-provided function is independent of input 1. This is not allowed in strict mode."
#define NO_GRADIENT                                                                                         \
    "Output 0 of the user-provided function does not require gradients. The outputs must be computed in a " \
    "differentiable manner from the input when running in strict mode."
#define NOT_TWICE(i)                                                                                                   \
    "While computing the hessian, found that the jacobian of the user-provided function with respect to input " #i     \
    " is independent of the input. This is not allowed in strict mode. You should ensure that your function is twice " \
    "differentiable and that the jacobian depends on the inputs (this would be violated by a linear function for "     \
    "example)."
#define CONSTANT(what, i)                                                                                            \
    "The " what " of the user-provided function is independent of input " #i ". This is not allowed in strict mode " \
    "when create_graph=True."
#define NO_V                                                                                                     \
    "The vector v can only be None if the input to the user-provided function is a single Tensor with a single " \
    "element."

static const Row rows[] = {
    /* clang-format off */
    { VJP, exp_reducer, "x", "a", 0, NULL, { 10.107337927389695, 21.734258193887797, 2.718281828459045,
      7.38905609893065, 40.171073846375336, 3.2974425414002564 } },
    { VJP, two_outputs, "xy", "v2", 0, NULL, { 0.25244129544236893, -0.6365081987779772, 0.042336002417960164,
      -0.3355978770229421, -0.55, 0.7620906917604419, -1.6913027855829996, 0.45150112550993315, -2.6286155866465215,
      8.91203098883783, 5.049553650382724 } },
    { JVP, exp_reducer, "x", "v", 0, NULL, { 10.107337927389695, 21.734258193887797, -4.670774270471606,
      13.34021100299409 } },
    { JVP, two_outputs, "xy", "vw", 0, NULL, { 0.25244129544236893, -0.6365081987779772, 0.042336002417960164,
      -0.3355978770229421, -0.55, 1.845032661376235, 2.4365894948940454, 0.13374114162966763, 0.2096610291660872,
      15.25 } },
    { JACOBIAN, two_outputs, "xy", NULL, 0, NULL, { 0.1620906917604419, 0, 0, 0, 0, 0.29130278558299966, 0, 0, 0, 0,
      -0.2969977489801336, 0, 0, 0, 0, -0.6143077933232609, 0.8414709848078965, 0, 0, 0.9092974268256817,
      0.1411200080598672, 0, 0, 0.479425538604203, 0.3, -0.7, 0.3, -0.7, 4, 2.5 } },
    { HESSIAN, one_number, "xy", NULL, 0, NULL, { 1.8, 0, 0, 0, 0, -8.4, 0, 0, 0, 0, 5.4, 0, 0, 0, 0, -2.1, 3, 0, 0,
      12, 27, 0, 0, 0.75, 3, 0, 27, 0, 0, 12, 0, 0.75, -0.29552020666133955, 0, 0, 0.644217687237691 } },
    { VHP, one_number, "xy", "vw", 0, NULL, { 2.3638025194236483, 7.8, 44.4, 56.7, -1.95, 15.908959586677321,
      -8.567346938286928 } },
    { HVP, one_number, "xy", "vw", 0, NULL, { 2.3638025194236483, 7.8, 44.4, 56.7, -1.95, 15.908959586677321,
      -8.567346938286928 } },
    /* without v */
    { VJP, twice, "a", NULL, 0, "The vector v can only be None if the user-provided function returns a single Tensor "
      "with a single element.", { 0 } },
    { VJP, sum_of_squares, "a", NULL, 0, NULL, { 5, 2, 4 } },
    { JVP, twice, "a", NULL, 0, NO_V, { 0 } },
    { JVP, square, "2", NULL, 0, NULL, { 4, 4 } },
    { HVP, sum_of_squares, "a", NULL, 0, NO_V, { 0 } },
    { VHP, sum_of_squares, "a", NULL, 0, NO_V, { 0 } },
    { VHP, sum_of_squares, "2", NULL, 0, NULL, { 4, 2 } },
    { HVP, sum_of_squares, "2", NULL, 0, NULL, { 4, 2 } },
    /* a v that does not fit */
    { VJP, twice, "a", "aa", 0, "The given v should contain a single Tensor.", { 0 } },
    { VJP, twice_and_one, "a", "a", 0, "v is a tuple of invalid length: should be 2 but got 1.", { 0 } },
    { VJP, twice, "a", "3", 0, "v has invalid size: should be torch.Size([2]) but got torch.Size([3]).", { 0 } },
    { VJP, twice_and_one, "a", "a3", 0,
      "Entry 1 in v has invalid size: should be torch.Size([2]) but got torch.Size([3]).", { 0 } },
    { JVP, twice, "aa", "a", 0, "v is a tuple of invalid length: should be 2 but got 1.", { 0 } },
    { HVP, sum_of_squares, "a", "3", 0, "v has invalid size: should be torch.Size([2]) but got torch.Size([3]).", { 0 } },
    /* what does not depend is zero, or in strict mode an error */
    { VJP, twice, "aa", "a", 0, NULL, { 2, 4, 2, 4, 0, 0 } },
    { VJP, twice, "aa", "a", STRICT, INDEPENDENT, { 0 } },
    { JVP, twice, "aa", "aa", 0, NULL, { 2, 4, 2, 4 } },
    { JVP, twice, "aa", "aa", STRICT, INDEPENDENT, { 0 } },
    { JACOBIAN, twice, "aa", NULL, 0, NULL, { 2, 0, 0, 2, 0, 0, 0, 0 } },
    { JACOBIAN, twice, "aa", NULL, STRICT,
      "Output 0 of the user-provided function is independent of input 1. This is not allowed in strict mode.", { 0 } },
    { VJP, two_ones, "a", "a", 0, NULL, { 1, 1, 0, 0 } },
    { VJP, two_ones, "a", "a", STRICT, NO_GRADIENT, { 0 } },
    { JVP, two_ones, "a", "a", 0, NULL, { 1, 1, 0, 0 } },
    { JVP, two_ones, "a", "a", STRICT, NO_GRADIENT, { 0 } },
    { JVP, twice, "a", "a", STRICT, NULL, { 2, 4, 2, 4 } },
    { VJP, twice, "a", "a", GRAPH, NULL, { 2, 4, 2, 4 } },
    { VJP, twice, "a", "a", STRICT | GRAPH, CONSTANT("jacobian", 0), { 0 } },
    { JVP, twice, "a", "a", STRICT | GRAPH, CONSTANT("jacobian", 0), { 0 } },
    { JACOBIAN, square_and_twice, "a", NULL, GRAPH, NULL, { 2, 0, 0, 4, 2, 0, 0, 2 } },
    { JACOBIAN, square_and_twice, "a", NULL, STRICT | GRAPH, CONSTANT("jacobian", 1), { 0 } },
    { HESSIAN, sum_of_twice, "a", NULL, 0, NULL, { 0, 0, 0, 0 } },
    { HESSIAN, sum_of_twice, "a", NULL, STRICT, NOT_TWICE(0), { 0 } },
    { HESSIAN, sum_of_squares, "aa", NULL, 0, NULL, { 2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
    { HESSIAN, sum_of_squares, "aa", NULL, STRICT, NOT_TWICE(1), { 0 } },
    { HESSIAN, sum_of_squares, "a", NULL, STRICT | GRAPH, CONSTANT("jacobian", 0), { 0 } },
    { HESSIAN, a_one, "a", NULL, 0, NULL, { 0, 0, 0, 0 } },
    { HESSIAN, a_one, "a", NULL, STRICT, NO_GRADIENT, { 0 } },
    { VHP, sum_of_twice, "a", "a", 0, NULL, { 6, 0, 0 } },
    { VHP, sum_of_twice, "a", "a", STRICT, NOT_TWICE(0), { 0 } },
    { VHP, sum_of_squares, "aa", "aa", 0, NULL, { 5, 2, 4, 0, 0 } },
    { VHP, sum_of_squares, "aa", "aa", STRICT, INDEPENDENT, { 0 } },
    { VHP, sum_of_squares, "a", "a", STRICT | GRAPH, CONSTANT("hessian", 0), { 0 } },
    { VHP, a_one, "a", "a", 0, NULL, { 1, 0, 0 } },
    { VHP, separate, "aa", "aa", 0, NULL, { 8, 2, 4, 0, 0 } },
    { VHP, separate, "aa", "aa", STRICT, NOT_TWICE(1), { 0 } },
    { HVP, sum_of_twice, "a", "a", 0, NULL, { 6, 0, 0 } },
    { HVP, sum_of_twice, "a", "a", STRICT, NOT_TWICE(0), { 0 } },
    { HVP, sum_of_squares, "aa", "aa", 0, NULL, { 5, 2, 4, 0, 0 } },
    { HVP, sum_of_squares, "aa", "aa", STRICT, INDEPENDENT, { 0 } },
    { HVP, sum_of_squares, "a", "a", STRICT | GRAPH, CONSTANT("hessian", 0), { 0 } },
    { HVP, a_one, "a", "a", STRICT, NO_GRADIENT, { 0 } },
    { HVP, separate, "aa", "aa", 0, NULL, { 8, 2, 4, 0, 0 } },
    { HVP, separate, "aa", "aa", STRICT, NOT_TWICE(1), { 0 } },
    /* second derivatives are those of one number */
    { HESSIAN, two_sums, "a", NULL, 0, "The function given to hessian should return a single Tensor", { 0 } },
    { HESSIAN, twice, "a", NULL, 0, "The Tensor returned by the function given to hessian should contain a single element",
      { 0 } },
    { HESSIAN, squares_in_a_matrix, "a", NULL, 0, NULL, { 2, 0, 0, 2 } },
    { VHP, two_sums, "a", "a", 0, "The function given to vhp should return a single Tensor", { 0 } },
    { VHP, twice, "a", "a", 0, "The Tensor returned by the function given to vhp should contain a single element", { 0 } },
    { VHP, squares_in_a_matrix, "a", "a", 0, NULL, { 5, 2, 4 } },
    { HVP, two_sums, "a", "a", 0, "The function given to hvp should return a single Tensor", { 0 } },
    { HVP, twice, "a", "a", 0, "The Tensor returned by the function given to hvp should contain a single element", { 0 } },
    /* inputs */
    { VJP, twice, "i", "a", 0, "only Tensors of floating point dtype can require gradients", { 0 } },
    { JACOBIAN, nothing_left, "a", NULL, 0, "stack: stack expects a non-empty TensorList", { 0 } },
    { JACOBIAN, itself, "a", NULL, 0, NULL, { 1, 0, 0, 1 } },
    { VJP, itself, "a", "a", 0, NULL, { 1, 2, 1, 2 } },
    /* clang-format on */
};

/* The results of a row, one behind the other. */
static int64_t call(const Row *r, Variable **at)
{
    Variable *x[4], *v[4];
    List inputs = list_of(r->inputs, x), factors = list_of(r->v, v), results = { 0, NULL };
    bool graph = r->options & GRAPH, strict = r->options & STRICT;
    ag_functional product = { .func_output = { 0, NULL } };
    switch (r->call) {
    case VJP:
        product = ag_autograd_functional_vjp(r->function, inputs, factors, graph, strict);
        break;
    case JVP:
        product = ag_autograd_functional_jvp(r->function, inputs, factors, graph, strict);
        break;
    case VHP:
        product = ag_autograd_functional_vhp(r->function, inputs, factors, graph, strict);
        break;
    case HVP:
        product = ag_autograd_functional_hvp(r->function, inputs, factors, graph, strict);
        break;
    case JACOBIAN:
        results = ag_autograd_functional_jacobian(r->function, inputs, graph, strict);
        break;
    case HESSIAN:
        results = ag_autograd_functional_hessian(r->function, inputs, graph, strict);
        break;
    }
    int64_t n = 0;
    for (int64_t i = 0; i < product.func_output.n; i++) at[n++] = product.func_output.at[i];
    for (int64_t i = 0; i < product.vjp.n; i++) at[n++] = product.vjp.at[i];
    for (int64_t i = 0; i < results.n; i++) at[n++] = results.at[i];
    return n;
}

START_TEST(values_and_sentences_are_pytorchs)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AG_SCOPE;
        const Row *r = &rows[i];
        Variable *at[16];
        int64_t n = call(r, at), k = 0;
        if (r->sentence) {
            ck_assert_msg(ag_error() && n == 0, "row %zu is not refused", i);
            ck_assert_str_eq(ag_error(), r->sentence);
            ag_clear_error();
            continue;
        }
        ck_assert_msg(!ag_error() && n > 0, "row %zu: %s", i, ag_error());
        for (int64_t o = 0; o < n; o++) {
            ck_assert_msg(ag_numel(at[o]) > 0 && (r->options & GRAPH || !ag_requires_grad(at[o])), "row %zu", i);
            for (int64_t e = 0; e < ag_numel(at[o]); e++, k++)
                ck_assert_msg(fabs(support_at(at[o], e) - r->values[k]) <= 1e-12 * fmax(1, fabs(r->values[k])),
                              "row %zu, value %lld: %.17g, PyTorch's is %.17g", i, (long long)k, support_at(at[o], e),
                              r->values[k]);
        }
        for (; k < (int64_t)(sizeof r->values / sizeof *r->values); k++) ck_assert(r->values[k] == 0);
    }
}
END_TEST

START_TEST(a_matrix_has_the_outputs_shape_and_then_the_inputs)
{
    Variable *x = given('x'), *y = given('y');
    List j = ag_autograd_functional_jacobian(two_outputs, AG_LIST(x, y));
    ck_assert_int_eq(j.n, 4);
    SHAPE(j.at[0], 2, 2, 2, 2);
    SHAPE(j.at[1], 2, 2, 2);
    SHAPE(j.at[2], 2, 2);
    SHAPE(j.at[3], 2);
    List h = ag_autograd_functional_hessian(one_number, AG_LIST(x, y));
    SHAPE(h.at[0], 2, 2, 2, 2);
    SHAPE(h.at[1], 2, 2, 2);
    SHAPE(h.at[2], 2, 2, 2);
    SHAPE(h.at[3], 2, 2);
    h = ag_autograd_functional_hessian(sum_of_squares, AG_LIST(given('2')));
    ck_assert_int_eq(ag_dim(h.at[0]), 0);
}
END_TEST

START_TEST(with_create_graph_results_are_differentiated_again)
{
    Variable *x = ag_requires_grad_(given('a')), *v = given('a');
    ag_functional r = ag_autograd_functional_vjp(cube, AG_LIST(x), AG_LIST(v), .create_graph = true);
    ck_assert(ag_requires_grad(r.func_output.at[0]) && ag_requires_grad(r.vjp.at[0]));
    ck_assert(!ag_grad(x) && !ag_grad(v));
    OK(ag_backward(ag_sum(r.vjp.at[0])));
    VALUES(ag_grad(x), 6, 24);
    OK(ag_set_grad(x, AG_NONE));
    r = ag_autograd_functional_jvp(cube, AG_LIST(x), AG_LIST(v), .create_graph = true);
    OK(ag_backward(ag_sum(r.jvp.at[0])));
    VALUES(ag_grad(x), 6, 24);
    OK(ag_set_grad(x, AG_NONE));
    r = ag_autograd_functional_hvp(sum_of_fourth_powers, AG_LIST(x), AG_LIST(v), .create_graph = true);
    OK(ag_backward(ag_sum(r.hvp.at[0])));
    VALUES(ag_grad(x), 24, 96);
    OK(ag_set_grad(x, AG_NONE));
    r = ag_autograd_functional_vhp(sum_of_fourth_powers, AG_LIST(x), AG_LIST(v), .create_graph = true);
    OK(ag_backward(ag_sum(r.vhp.at[0])));
    VALUES(ag_grad(x), 24, 96);
    OK(ag_set_grad(x, AG_NONE));
    List h = ag_autograd_functional_hessian(sum_of_fourth_powers, AG_LIST(x), .create_graph = true);
    OK(ag_backward(ag_sum(h.at[0])));
    VALUES(h.at[0], 12, 0, 0, 48);
    VALUES(ag_grad(x), 24, 48);
    OK(ag_set_grad(x, AG_NONE));
    List j = ag_autograd_functional_jacobian(cube, AG_LIST(x), .create_graph = true);
    OK(ag_backward(ag_sum(j.at[0])));
    VALUES(ag_grad(x), 6, 12);
}
END_TEST

START_TEST(v_too_is_differentiated_by)
{
    Variable *x = given('a'), *v = ag_requires_grad_(given('w'));
    ag_functional r = ag_autograd_functional_vjp(cube, AG_LIST(x), AG_LIST(v), .create_graph = true);
    OK(ag_backward(ag_sum(r.vjp.at[0])));
    VALUES(ag_grad(v), 3, 12);
    r = ag_autograd_functional_vjp(cube, AG_LIST(x), AG_LIST(v));
    ck_assert(!ag_requires_grad(r.vjp.at[0]));
}
END_TEST

START_TEST(grad_mode_is_on_in_the_function_whatever_it_is_outside)
{
    Variable *x = given('a');
    AG_NO_GRAD;
    List j = ag_autograd_functional_jacobian(square, AG_LIST(x), .create_graph = true);
    VALUES(j.at[0], 2, 0, 0, 4);
    ck_assert(ag_requires_grad(j.at[0]) && !ag_is_grad_enabled());
}
END_TEST

/* ---- what holds of any function ---- */

static int network(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n;
    Variable *hidden = ag_tanh(ag_matmul(x[0], x[1]));
    y[0] = ag_mul(ag_sigmoid(ag_matmul(hidden, x[2])), ag_exp(ag_mul(x[0], N(*(double *)user))));
    y[1] = ag_mean(ag_mul(hidden, hidden));
    return 2;
}
static int network_loss(Variable *const *x, int n, Variable **y, void *user)
{
    Variable *both[2];
    network(x, n, both, user);
    return y[0] = ag_add(ag_sum(both[0]), both[1]), 1;
}
/* Rows of a as numel(rows) x the rest. */
static Variable *matrix(Variable *a, int64_t rows_of)
{
    return ag_reshape(a, AG_SHAPE(rows_of, ag_numel(a) / rows_of));
}
static Variable *flat(Variable *a) { return ag_reshape(a, AG_SHAPE(-1)); }

START_TEST(products_are_those_with_the_matrices)
{
    double user = 0.3;
    Variable *x[3], *v[3], *u[2];
    for (int i = 0; i < 3; i++) {
        Shape shape = i == 0 ? AG_SHAPE(2, 3) : i == 1 ? AG_SHAPE(3, 4) : AG_SHAPE(4, 3);
        x[i] = support_random(shape, -1, 1);
        v[i] = support_random(shape, -1, 1);
    }
    u[0] = support_random(AG_SHAPE(2, 3), -1, 1);
    u[1] = support_random(AG_SCALAR_SHAPE, -1, 1);
    List in = ag_list_from(3, x), by = ag_list_from(3, v), out = ag_list_from(2, u);
    List j = ag_autograd_functional_jacobian(network, in, .user = &user);
    ag_functional vjp = ag_autograd_functional_vjp(network, in, out, .user = &user),
                  jvp = ag_autograd_functional_jvp(network, in, by, .user = &user);
    for (int o = 0; o < 2; o++) {
        Variable *sum = NULL;
        for (int i = 0; i < 3; i++) {
            Variable *part = ag_matmul(matrix(j.at[o * 3 + i], ag_numel(u[o])), flat(v[i]));
            sum = sum ? ag_add(sum, part) : part;
        }
        CLOSE(flat(jvp.jvp.at[o]), sum, 1e-12);
        CLOSE(jvp.func_output.at[o], vjp.func_output.at[o], 0);
    }
    for (int i = 0; i < 3; i++) {
        Variable *sum = NULL;
        for (int o = 0; o < 2; o++) {
            Variable *part = ag_matmul(flat(u[o]), matrix(j.at[o * 3 + i], ag_numel(u[o])));
            sum = sum ? ag_add(sum, part) : part;
        }
        CLOSE(flat(vjp.vjp.at[i]), sum, 1e-12);
    }

    List h = ag_autograd_functional_hessian(network_loss, in, .user = &user);
    ag_functional vhp = ag_autograd_functional_vhp(network_loss, in, by, .user = &user),
                  hvp = ag_autograd_functional_hvp(network_loss, in, by, .user = &user);
    for (int i = 0; i < 3; i++) {
        Variable *sum = NULL;
        for (int k = 0; k < 3; k++) {
            Variable *part = ag_matmul(matrix(h.at[i * 3 + k], ag_numel(x[i])), flat(v[k]));
            sum = sum ? ag_add(sum, part) : part;
            CLOSE(matrix(h.at[i * 3 + k], ag_numel(x[i])), ag_t(matrix(h.at[k * 3 + i], ag_numel(x[k]))), 1e-12);
        }
        CLOSE(flat(hvp.hvp.at[i]), sum, 1e-12);
        CLOSE(vhp.vhp.at[i], hvp.hvp.at[i], 1e-12);
    }
}
END_TEST

/* ---- what cannot be ---- */

static int fails(Variable *const *x, int n, Variable **y, void *user)
{
    (void)x, (void)n, (void)y;
    return *(int *)user;
}
static int gives_nothing(Variable *const *x, int n, Variable **y, void *user)
{
    (void)x, (void)n, (void)user;
    return y[0] = NULL, 1;
}
static int is_wrong(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_view(x[0], AG_SHAPE(77)), 1;
}
START_TEST(what_cannot_be_is_refused_with_a_sentence)
{
    Variable *x = given('a');
    int result = -1;
    REFUSED(ag_autograd_functional_vjp(fails, AG_LIST(x), .user = &result).vjp.n, "vjp: the function failed without");
    result = 0;
    REFUSED(ag_autograd_functional_jacobian(fails, AG_LIST(x), .user = &result).n,
            "jacobian: the function gave nothing");
    result = 33;
    REFUSED(ag_autograd_functional_hessian(fails, AG_LIST(x), .user = &result).n,
            "more outputs than AG_GRADCHECK_OUTPUTS");
    REFUSED(ag_autograd_functional_vjp(gives_nothing, AG_LIST(x)).vjp.n, "value at index 0 is NULL");
    REFUSED(ag_autograd_functional_hvp(is_wrong, AG_LIST(x), AG_LIST(x)).hvp.n, "shape '[77]' is invalid");
    REFUSED(ag_autograd_functional_vjp(NULL, AG_LIST(x)).vjp.n, "vjp: the function is NULL");
    REFUSED(ag_autograd_functional_jvp(twice, ag_list_from(0, NULL)).jvp.n, "jvp: there are no inputs");
    REFUSED(ag_autograd_functional_jvp(twice, AG_LIST(NULL)).jvp.n,
            "The inputs given to jvp must be either a Tensor or");
    REFUSED(ag_autograd_functional_jvp(twice, AG_LIST(x), AG_LIST(AG_NONE)).jvp.n, "value at index 0 is None");
    ag_add(NULL, NULL);
    ck_assert_int_eq(ag_autograd_functional_vjp(sum_of_squares, AG_LIST(x)).vjp.n, 0);
    ag_clear_error();
}
END_TEST

START_TEST(without_memory_it_is_an_error_and_nothing_leaks)
{
    static const Row tried[] = { { VJP, two_outputs, "xy", "v2", 0, NULL, { 0 } },
                                 { JVP, two_outputs, "xy", "vw", 0, NULL, { 0 } },
                                 { HVP, one_number, "xy", "vw", 0, NULL, { 0 } },
                                 { JACOBIAN, two_outputs, "xy", NULL, 0, NULL, { 0 } },
                                 { HESSIAN, one_number, "xy", NULL, 0, NULL, { 0 } } };
    for (size_t i = 0; i < sizeof tried / sizeof *tried; i++) {
        for (int64_t at = 1, undisturbed = 0; !undisturbed; at++) {
            AG_SCOPE;
            Variable *results[16];
            ag_empty_cache();
            interpose_start(at, false);
            bool ok = call(&tried[i], results) > 0;
            undisturbed = interpose_stop() < at;
            ck_assert(ok || ag_error_code() == AG_ENOMEM);
            ck_assert(ok || !undisturbed);
            ag_clear_error();
        }
    }
}
END_TEST

SUPPORT_MAIN("functional", values_and_sentences_are_pytorchs, a_matrix_has_the_outputs_shape_and_then_the_inputs,
             with_create_graph_results_are_differentiated_again, v_too_is_differentiated_by,
             grad_mode_is_on_in_the_function_whatever_it_is_outside, products_are_those_with_the_matrices,
             what_cannot_be_is_refused_with_a_sentence, without_memory_it_is_an_error_and_nothing_leaks)
