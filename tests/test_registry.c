/* test_registry.c - every op there is, in every layout and type: values, types, strides and memory as PyTorch's,
 * gradients of first and second order, the in-place form, by name and by function. An op without rows in
 * tests/data/op_rows.txt fails the suite. */
#include "autograd/op.h"
#include "op_rows.h"

#include <argent/call.h>
#include <argent/gradcheck.h>

#include <stdarg.h>
#include <stdio.h>

/* The sentence of a failure begins with the case. */
#define CHECK(c, condition, ...)                               \
    do {                                                       \
        if (!(condition)) fail_case(c, __LINE__, __VA_ARGS__); \
    } while (0)
static void fail_case(const op_case *c, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
static void fail_case(const op_case *c, int line, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *error = ag_error();
    ck_abort_msg("line %d: %s: %s%s%s", line, c->text, text, error ? ": " : "", error ? error : "");
}

static void each_case_of_op(int i, void (*check)(const op_case *c))
{
    int n;
    const op_case *c = op_rows_group(i, &n);
    for (int k = 0; k < n; k++) {
        int64_t before = ag_leaks(NULL);
        {
            AG_SCOPE;
            check(&c[k]);
        }
        int64_t after = ag_leaks(NULL);
        if (after != before) ag_leaks(stderr);
        CHECK(&c[k], after == before, "%lld Variables are left", (long long)(after - before));
    }
}

/* Calls `check` for each case of every PARTS-th op from the i-th on; whatever it makes is gone before the next. Tests
 * are processes, which end slowly under LeakSanitizer: not one an op. */
enum { PARTS = 12 };
static void each_case(int i, void (*check)(const op_case *c))
{
    for (; i < op_rows_groups(); i += PARTS) each_case_of_op(i, check);
}

/* ---- comparison ---- */

/* How near two good computations come to each other: the same for integers and bool; where a float32 took part,
 * what it can tell. */
static double tolerance_of(const op_case *c, ag_dtype dtype)
{
    for (int i = 0; i < c->n_tensors && dtype == AG_FLOAT64; i++)
        if (c->tensor[i].dtype == AG_FLOAT32) dtype = AG_FLOAT32;
    return dtype == AG_FLOAT64 ? c->rough ? 1e-7 : 1e-12 : dtype == AG_FLOAT32 ? 2e-6 : 0;
}

static void check_elements(const op_case *c, Variable *x, int64_t n, const double *expected, const char *what)
{
    double tolerance = tolerance_of(c, ag_dtype_of(x));
    CHECK(c, ag_numel(x) == n, "%s has %lld elements, not %lld", what, (long long)ag_numel(x), (long long)n);
    for (int64_t i = 0; i < n; i++) {
        double a = support_at(x, i), b = expected[i];
        bool same = isnan(b) ? isnan(a) : isinf(b) ? a == b : fabs(a - b) <= tolerance * fmax(1, fabs(b));
        CHECK(c, same, "element %lld of %s is %.17g, not %.17g", (long long)i, what, a, b);
    }
}

/* Strides where they can be told: of dimensions longer than 1, of a Variable that has elements. */
static void check_geometry(const op_case *c, Variable *x, const op_tensor *expected, const char *what)
{
    Shape shape = ag_shape(x), stride = ag_stride(x);
    CHECK(c, ag_dtype_of(x) == expected->dtype, "%s is %s, not %s", what, ag_dtype_name(ag_dtype_of(x)),
          ag_dtype_name(expected->dtype));
    CHECK(c, shape.n == expected->ndim, "%s has %lld dimensions, not %d", what, (long long)shape.n, expected->ndim);
    for (int d = 0; d < expected->ndim; d++)
        CHECK(c, shape.at[d] == expected->size[d], "%s: size %d is %lld, not %lld", what, d, (long long)shape.at[d],
              (long long)expected->size[d]);
    for (int d = 0; d < expected->ndim && ag_numel(x) && !expected->any_strides; d++)
        CHECK(c, shape.at[d] < 2 || stride.at[d] == expected->stride[d], "%s: stride %d is %lld, not %lld", what, d,
              (long long)stride.at[d], (long long)expected->stride[d]);
}

static void check_memory(const op_case *c, const op_call *call, Variable *x, const op_result *expected,
                         const char *what)
{
    if (expected->memory == '-') {
        for (int i = 0; i < call->n_tensors && ag_numel(x); i++)
            CHECK(c, !ag_shares_storage(x, call->tensor[i]), "%s shares the memory of Variable %d", what, i);
    } else {
        Variable *owner = call->tensor[expected->owner];
        CHECK(c, ag_shares_storage(x, owner), "%s does not share the memory of Variable %d", what, expected->owner);
        CHECK(c, (x == owner) == (expected->memory == 's'), "%s %s Variable %d itself", what,
              x == owner ? "is" : "is not", expected->owner);
    }
}

/* What a Variable held: to see that a call leaves its inputs alone. */
typedef struct copy {
    int64_t version, n;
    char *element;
} copy;

static copy copy_of(Variable *x)
{
    copy out = { .version = ag_version(x), .n = ag_numel(x) * (int64_t)ag_dtype_size(ag_dtype_of(x)) };
    out.element = malloc((size_t)out.n + 1);
    ck_assert(out.element && ag_copy_to(x, out.element, ag_dtype_of(x)));
    return out;
}
/* Frees the copy. */
static bool is_same(Variable *x, copy *before)
{
    copy now = copy_of(x);
    bool same = now.n == before->n && !memcmp(now.element, before->element, (size_t)now.n);
    free(now.element);
    free(before->element);
    return same;
}

static bool same_bits(Variable *a, Variable *b)
{
    if (ag_dtype_of(a) != ag_dtype_of(b) || ag_dim(a) != ag_dim(b)) return false;
    for (int d = 0; d < ag_dim(a); d++)
        if (ag_size(a, d) != ag_size(b, d) || (ag_numel(a) && ag_stride(a).at[d] != ag_stride(b).at[d])) return false;
    copy of_b = copy_of(b);
    return is_same(a, &of_b);
}

static bool changes_its_input(const op_case *c) { return c->op[strlen(c->op) - 1] == '_'; }

/* ---- by name: values ---- */

/* Names of nodes. */
static bool same_node(const char *node, const char *expected)
{
    return !strcmp(expected, "*") || !strcmp(node, expected);
}

static void check_values(const op_case *c)
{
    op_call call;
    op_call_make(&call, c, true);
    copy before[OP_TENSORS];
    int64_t version[OP_TENSORS];
    for (int i = 0; i < call.n_tensors; i++) {
        before[i] = copy_of(call.tensor[i]);
        version[i] = ag_version(call.tensor[i]);
    }
    Variable *out[OP_RESULTS];
    int n = op_call_by_name(&call, "", out);
    if (c->refused)
        CHECK(c, n == 0 && ag_error() && (!c->sentence || strstr(ag_error(), c->sentence)),
              "PyTorch refuses it (%s), and not: %s", c->sentence ? c->sentence : "", ag_error() ? ag_error() : "");
    else
        CHECK(c, n == c->n_results && !ag_error(), "%d results, not %d", n, c->n_results);
    for (int i = 0; i < call.n_tensors; i++) {
        bool may_change = i == 0 && changes_its_input(c);
        bool same = is_same(call.tensor[i], &before[i]) && ag_version(call.tensor[i]) == version[i];
        CHECK(c, same || (may_change && !c->refused), "it changed its Variable %d", i);
    }
    for (int k = 0; k < n; k++) {
        const op_result *expected = &c->result[k];
        char what[32];
        snprintf(what, sizeof what, "result %d", k);
        check_geometry(c, out[k], &expected->tensor, what);
        check_memory(c, &call, out[k], expected, what);
        const char *node = ag_requires_grad(out[k]) ? "leaf" : "-";
        if (ag_grad_fn(out[k])) node = ag_node_name(ag_grad_fn(out[k]));
        CHECK(c, same_node(node, expected->node), "the node of %s is %s, not %s", what, node, expected->node);
        if (!expected->any) check_elements(c, out[k], expected->n, expected->element, what);
    }
    ag_clear_error();
}

START_TEST(every_op_by_name_gives_what_pytorch_gives_and_leaves_its_inputs_alone) { each_case(_i, check_values); }
END_TEST

/* ---- by function ---- */

static void check_function(const op_case *c)
{
    const op_function *function = op_function_of(c->op);
    if (!function || (c->n_results && c->result[0].any)) return;
    op_call by_name, by_function;
    Variable *a[OP_RESULTS], *b[OP_RESULTS];
    op_call_make(&by_name, c, false);
    op_call_make(&by_function, c, false);
    int n = op_call_by_name(&by_name, "", a);
    bool failed = ag_error() != NULL;
    ag_clear_error();
    ag_manual_seed(0);
    int m = function->call(&by_function, b);
    CHECK(c, failed == (ag_error() != NULL), "by name it %s, by function it does not", failed ? "fails" : "works");
    CHECK(c, n == m, "by name there are %d results, by function %d", n, m);
    ag_clear_error();
    for (int k = 0; k < n; k++) CHECK(c, same_bits(a[k], b[k]), "result %d by function is not that by name", k);
}

START_TEST(every_typed_function_gives_the_bits_that_its_op_gives_by_name) { each_case(_i, check_function); }
END_TEST

/* ---- in place ---- */

static void check_inplace(const op_case *c)
{
    const op_function *function = op_function_of(c->op);
    const ag_op *op = ag_op_find(c->op);
    if (!ag_op_has_inplace(op) || c->refused || !c->n_tensors || c->value[0].kind != AG_VALUE_TENSOR) return;
    if (op_tensor_repeats(&c->tensor[0])) return;
    op_call call, again;
    Variable *fresh[OP_RESULTS], *out[OP_RESULTS];
    op_call_make(&call, c, false);
    if (op_call_by_name(&call, "", fresh) != 1) fail_case(c, __LINE__, "it fails");
    Variable *x = call.tensor[0];
    int64_t version = ag_version(x);
    bool fits = ag_dim(fresh[0]) == ag_dim(x) && ag_dtype_of(fresh[0]) >= ag_dtype_of(x);
    fits = fits && ag_dtype_is_floating_point(ag_dtype_of(fresh[0])) == ag_dtype_is_floating_point(ag_dtype_of(x));
    for (int d = 0; fits && d < ag_dim(x); d++) fits = ag_size(x, d) == ag_size(fresh[0], d);
    int n = op_call_by_name(&call, "_", out);
    /* another shape, or a type that does not go in; PyTorch's rules for types are the ops' suites' */
    if (!fits && n == 0) {
        CHECK(c, ag_error(), "it fails in place without a sentence");
        ag_clear_error();
        return;
    }
    CHECK(c, n == 1 && out[0] == x && !ag_error(), "in place it does not give its first Variable");
    CHECK(c, ag_version(x) == version + 1, "the version went from %lld to %lld", (long long)version,
          (long long)ag_version(x));
    Variable *converted = ag_to(fresh[0], .dtype = ag_dtype_of(x));
    for (int64_t i = 0; i < ag_numel(x); i++) {
        double a = support_at(x, i), b = support_at(converted, i);
        double tolerance = fabs(b) * (ag_dtype_of(x) == AG_FLOAT32 ? 2e-7 : 4e-16); /* vectors of other lengths */
        CHECK(c, a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= tolerance,
              "in place element %lld is %.17g, not %.17g", (long long)i, a, b);
    }
    if (op->name[0] == '_') return; /* an overload that is reached by name only */
    CHECK(c, function && function->inplace, "tests/op_functions.c does not know its in-place function");
    op_call_make(&again, c, false);
    ag_manual_seed(0);
    CHECK(c, function->inplace(&again, out) == 1 && out[0] == again.tensor[0],
          "its in-place function does not give its first Variable");
    CHECK(c, same_bits(out[0], x), "its in-place function gives something else than the call by name");
}

START_TEST(every_in_place_form_gives_what_the_op_gives) { each_case(_i, check_inplace); }
END_TEST

static void check_inplace_leaf(const op_case *c)
{
    if (!c->n_gradients || c->value[0].kind != AG_VALUE_TENSOR || c->tensor[0].dtype != AG_FLOAT64) return;
    if (!ag_op_has_inplace(ag_op_find(c->op)) || op_tensor_repeats(&c->tensor[0])) return;
    op_call call;
    Variable *out[OP_RESULTS];
    op_call_make(&call, c, true);
    copy before = copy_of(call.tensor[0]);
    CHECK(c, op_call_by_name(&call, "_", out) == 0, "a leaf that wants a gradient was changed in place");
    CHECK(c, is_same(call.tensor[0], &before), "it was refused, and changed its Variable");
    ag_clear_error();
}

START_TEST(no_in_place_form_takes_a_leaf_that_wants_a_gradient) { each_case(_i, check_inplace_leaf); }
END_TEST

/* ---- gradients ---- */

static int differentiable(Variable *const *out, int n, Variable **wanting)
{
    int m = 0;
    for (int k = 0; k < n; k++)
        if (ag_requires_grad(out[k])) wanting[m++] = out[k];
    return m;
}

static void check_gradient(const op_case *c, const op_gradient *expected, Variable *leaf, Variable *x, const char *what)
{
    if (!x) {
        CHECK(c, expected->none, "%s is missing", what);
        return;
    }
    CHECK(c, ag_dtype_of(x) == AG_FLOAT64 && ag_numel(x) == ag_numel(leaf), "%s is not like its Variable", what);
    if (!expected->none) check_elements(c, x, expected->n, expected->element, what);
    for (int64_t k = 0; k < ag_numel(x) && expected->none; k++)
        CHECK(c, support_at(x, k) == 0, "%s should be nothing or zeros", what);
}

/* Of incoming gradients that lie side by side and with gaps, as numbers and as a graph: each may go a way of its own.
 */
static void check_gradients(const op_case *c)
{
    if (!c->n_gradients) return;
    op_call call;
    op_call_make(&call, c, true);
    Variable *out[OP_RESULTS], *wanting[OP_RESULTS], *weights[OP_RESULTS], *leaves[OP_TENSORS], *gradient[OP_TENSORS];
    int n = 0;
    for (int i = 0; i < call.n_tensors; i++)
        if (ag_requires_grad(call.leaf[i])) leaves[n++] = call.leaf[i];
    int m = differentiable(out, op_call_by_name(&call, "", out), wanting);
    CHECK(c, m > 0 && !ag_error(), "no result wants a gradient");
    CHECK(c, n == c->n_gradients, "%d Variables want gradients, not %d", n, c->n_gradients);
    for (int way = 0; way < 4; way++) {
        for (int k = 0; k < m; k++) {
            weights[k] = op_call_weights(wanting[k], k);
            if (way & 1) weights[k] = ag_select(ag_stack(AG_LIST(weights[k], weights[k]), -1), -1, 0);
        }
        bool ok = ag_autograd_grad(ag_list_from(m, wanting), ag_list_from(n, leaves), gradient,
                                   .grad_outputs = ag_list_from(m, weights), .retain_graph = true,
                                   .create_graph = way >= 2, .allow_unused = true);
        CHECK(c, ok && !ag_error(), "no gradients");
        for (int i = 0; i < n; i++) {
            char what[64];
            snprintf(what, sizeof what, "gradient %d%s%s", i, way & 1 ? " of one with gaps" : "",
                     way & 2 ? ", as a graph" : "");
            check_gradient(c, &c->gradient[i], leaves[i], gradient[i], what);
        }
    }
}

START_TEST(every_gradient_is_pytorchs) { each_case(_i, check_gradients); }
END_TEST

static int call_of_case(Variable *const *inputs, int n, Variable **outputs, void *user)
{
    (void)n;
    op_call call;
    op_call_with(&call, user, inputs);
    Variable *out[OP_RESULTS];
    return differentiable(out, op_call_by_name(&call, "", out), outputs);
}

/* Finite differences want a smooth function and a place for each element. */
static bool smooth(const op_case *c)
{
    for (int i = 0; i < c->n_tensors; i++)
        if (c->tensor[i].dtype == AG_FLOAT32 || op_tensor_repeats(&c->tensor[i])) return false;
    for (int k = 0; k < c->n_results; k++)
        if (c->result[k].tensor.dtype == AG_FLOAT32) return false;
    return c->n_gradients && !c->special;
}

static void check_finite_differences(const op_case *c, bool second_order)
{
    if (!smooth(c)) return;
    op_call call;
    op_call_make(&call, c, true);
    Variable *inputs[OP_TENSORS];
    int n = 0;
    for (int i = 0; i < call.n_tensors; i++)
        if (ag_requires_grad(call.leaf[i])) inputs[n++] = call.leaf[i];
    ag_gradcheck_result found;
    List list = ag_list_from(n, inputs);
    void *user = (void *)(uintptr_t)c;
    bool ok = second_order ? ag_gradgradcheck(call_of_case, list, .user = user, .result = &found)
                           : ag_gradcheck(call_of_case, list, .user = user, .result = &found);
    CHECK(c, ok && !ag_error(), "%s", ag_error() ? "an error" : found.message);
}
static void check_first_order(const op_case *c) { check_finite_differences(c, false); }
static void check_second_order(const op_case *c) { check_finite_differences(c, true); }

START_TEST(every_gradient_agrees_with_finite_differences) { each_case(_i, check_first_order); }
END_TEST
START_TEST(every_gradient_of_a_gradient_agrees_with_finite_differences) { each_case(_i, check_second_order); }
END_TEST

/* ---- the walk ---- */

static bool has_cases(const char *op)
{
    for (int i = 0; i < op_rows_groups(); i++) {
        int n;
        const op_case *c = op_rows_group(i, &n);
        for (int k = 0; k < n && !strcmp(c->op, op); k++)
            if (!c[k].refused) return true;
    }
    return false;
}

START_TEST(every_op_has_rows_or_is_reached_by_those_of_another)
{
    const op_rows *all = op_rows_all();
    int n = 0;
    for (const ag_op *op; (op = ag_op_at(n)); n++) {
        const char *name = ag_op_name(op);
        bool covered = has_cases(name) || (op->torch && has_cases(op->torch));
        for (int i = 0; i < all->n_covered && !covered; i++)
            covered = name[0] == '_' && !strcmp(all->covered[i].op, name) && has_cases(all->covered[i].by);
        ck_assert_msg(covered,
                      "the op '%s' has no row in tests/data/op_rows.txt: "
                      "add one and run tools/record-op-rows.py",
                      name);
        ck_assert_msg(name[0] == '_' || op_function_of(name), "tests/op_functions.c does not know the function of '%s'",
                      name);
    }
    ck_assert_int_gt(n, 100);
}
END_TEST

START_TEST(no_row_is_left_of_an_op_that_is_gone)
{
    const op_rows *all = op_rows_all();
    for (int i = 0; i < all->n; i++)
        ck_assert_msg(ag_op_find(all->at[i].op) != NULL, "there is no op '%s'", all->at[i].op);
    for (int i = 0; i < all->n_covered; i++)
        ck_assert_msg(ag_op_find(all->covered[i].op) != NULL, "there is no op '%s'", all->covered[i].op);
}
END_TEST

int main(void)
{
    const struct {
        const char *name;
        const TTest *test;
    } for_each_op[] = {
        { "values", every_op_by_name_gives_what_pytorch_gives_and_leaves_its_inputs_alone },
        { "functions", every_typed_function_gives_the_bits_that_its_op_gives_by_name },
        { "in place", every_in_place_form_gives_what_the_op_gives },
        { "leaves", no_in_place_form_takes_a_leaf_that_wants_a_gradient },
        { "gradients", every_gradient_is_pytorchs },
        { "gradcheck", every_gradient_agrees_with_finite_differences },
        { "gradgradcheck", every_gradient_of_a_gradient_agrees_with_finite_differences },
    };
    Suite *suite = suite_create("registry");
    TCase *walk = tcase_create("walk");
    tcase_add_test(walk, every_op_has_rows_or_is_reached_by_those_of_another);
    tcase_add_test(walk, no_row_is_left_of_an_op_that_is_gone);
    if (!getenv("AG_TEST_OP")) suite_add_tcase(suite, walk);
    for (size_t i = 0; i < sizeof for_each_op / sizeof *for_each_op; i++) {
        TCase *tcase = tcase_create(for_each_op[i].name);
        tcase_add_checked_fixture(tcase, support_begin, support_end);
        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, for_each_op[i].test, 0, PARTS);
        suite_add_tcase(suite, tcase);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
