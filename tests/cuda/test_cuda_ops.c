/* test_cuda_ops.c - the rows of tests/data/op_rows.txt on the device, in every layout and type: the CPU's values and
 * gradients, found without waiting for the device and with the same bits every time (with CUDA_HOST_ORDER=rand no two
 * launches have one order), and gradients of first and second order by finite differences. */
#include "tests/cuda/cuda_cases.h"
#include "tests/op_rows.h"

#include <argent/gradcheck.h>

/* Whose answer or number the host has to know, as in PyTorch. */
static const char *const waiting[] = { "allclose", "equal", "index_fill.int_Tensor", "masked_fill.Tensor" };
/* Whose numbers are other ones on each device. */
static const char *const drawing[] = { "bernoulli", "bernoulli_", "dropout",    "dropout2d", "exponential_",
                                       "normal_",   "rand_like",  "randn_like", "random_",   "uniform_" };

static bool is_among(const char *const *names, size_t n, const char *op)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i], op)) return true;
    return false;
}
#define IS_AMONG(names, op) is_among(names, sizeof(names) / sizeof *(names), op)

/* Calls `check` for each case of every PARTS-th op, from the i-th on, that has Variables and an answer; what it makes
 * is gone before the next. Tests are processes, which end slowly under LeakSanitizer: not one an op. */
enum { PARTS = 12 };
static void each_case(int i, void (*check)(const op_case *c))
{
    for (; i < op_rows_groups(); i += PARTS) {
        int n;
        const op_case *c = op_rows_group(i, &n);
        for (int k = 0; k < n; k++) {
            AG_SCOPE;
            if (c[k].n_tensors && !c[k].refused) check(&c[k]);
        }
    }
}

/* ---- values and gradients ---- */

/* A call on a device, and a weight for each element of its results, if these are floating. */
typedef struct trial {
    op_call call;
    Variable *weight[OP_RESULTS];
} trial;
static void prepare(trial *t, const op_case *c, ag_device device)
{
    op_call_make_on(&t->call, c, device, true);
    for (int k = 0; k < c->n_results; k++) {
        const op_tensor *y = &c->result[k].tensor;
        if (ag_dtype_is_floating_point(y->dtype))
            t->weight[k] = op_call_weights(ag_empty(ag_sizes_of(y->ndim, y->size), .dtype = y->dtype, .device = device),
                                           k);
    }
}

/* What it gives: its results, then a gradient for each leaf that wants one, and for each of those the gradient of the
 * sum of the squares of all; NULL where there is none. How many. */
enum { MOST = OP_RESULTS + 2 * OP_TENSORS };
static int run(const trial *t, Variable **out)
{
    const op_case *c = t->call.of;
    Variable *wanting[OP_RESULTS], *weights[OP_RESULTS], *leaf[OP_TENSORS], *gradient[OP_TENSORS], *total = NULL;
    int n_leaves = 0, n_wanting = 0, n = op_call_by_name(&t->call, "", out);
    if (!n) ck_abort_msg("%s: %s", c->text, ag_error());
    for (int i = 0; i < t->call.n_tensors; i++)
        if (ag_requires_grad(t->call.leaf[i])) leaf[n_leaves++] = t->call.leaf[i];
    for (int k = 0; k < n; k++)
        if (ag_requires_grad(out[k])) {
            wanting[n_wanting] = out[k];
            weights[n_wanting++] = t->weight[k];
        }
    if (!n_wanting || !c->n_gradients) return n;
    for (int graph = 0; graph < 2; graph++)
        if (!ag_autograd_grad(ag_list_from(n_wanting, wanting), ag_list_from(n_leaves, leaf), gradient,
                              .grad_outputs = ag_list_from(n_wanting, weights), .retain_graph = true,
                              .create_graph = graph, .allow_unused = true))
            ck_abort_msg("%s: %s", c->text, ag_error());
    for (int i = 0; i < n_leaves; i++) {
        out[n++] = gradient[i];
        if (!gradient[i] || !ag_requires_grad(gradient[i])) continue;
        Variable *squares = ag_sum(ag_square(gradient[i]));
        total = total ? ag_add(total, squares) : squares;
    }
    if (total && !ag_autograd_grad(AG_LIST(total), ag_list_from(n_leaves, leaf), out + n, .allow_unused = true))
        ck_abort_msg("%s: %s", c->text, ag_error());
    return total ? n + n_leaves : n;
}

/* Element by element, where these are promised. */
static void compare(const op_case *c, int n, Variable *const *got, Variable *const *wanted, double tolerance)
{
    for (int k = 0; k < n; k++) {
        if (!wanted[k] != !got[k]) ck_abort_msg("%s: gradient %d is missing", c->text, k);
        if (!wanted[k] || (k < c->n_results && c->result[k].any)) continue;
        cuda_same_at(ag_to(ag_detach(got[k]), AG_CPU), ag_to(ag_detach(wanted[k]), AG_CPU),
                     k < c->n_results ? tolerance : 10 * tolerance, c->text, __FILE__, __LINE__);
    }
}

static bool goes_to_the_host(const op_case *c) { return strstr(c->text, "'cpu") != NULL; }

static void check_values(const op_case *c)
{
    Variable *here[MOST], *there[MOST], *again[MOST];
    trial t = { .weight = { NULL } };
    prepare(&t, c, AG_CPU);
    const int n = run(&t, here);
    double tolerance = ag_dtype_of(here[0]) == AG_FLOAT32 ? 1e-5 : 1e-10;
    for (int i = 0; i < c->n_tensors; i++)
        if (c->tensor[i].dtype == AG_FLOAT32) tolerance = 1e-5;

    prepare(&t, c, AG_CUDA);
    const uint64_t before = cuda_waits();
    int m = run(&t, there), waits = (int)(cuda_waits() - before);
    if (m != n) ck_abort_msg("%s: %d values and gradients on the device, %d on the CPU", c->text, m, n);
    if (waits && !IS_AMONG(waiting, c->op) && !goes_to_the_host(c))
        ck_abort_msg("%s: it waited for the device %d times", c->text, waits);
    if (!IS_AMONG(drawing, c->op)) compare(c, n, there, here, tolerance);

    ag_use_deterministic_algorithms(false); /* nothing has another way */
    prepare(&t, c, AG_CUDA);
    ck_assert_int_eq(run(&t, again), n);
    ag_use_deterministic_algorithms(true);
    compare(c, n, again, there, 0);
}
START_TEST(every_op_gives_what_the_cpu_gives_and_nobody_waits) { each_case(_i, check_values); }
END_TEST

/* The same as one graph that is captured and played: nothing reads memory of the host's that it cannot. */
static ag_cuda_stream side;
static void check_capture(const op_case *c)
{
    Variable *there[MOST], *captured[MOST];
    trial t = { .weight = { NULL } };
    if (IS_AMONG(waiting, c->op) || IS_AMONG(drawing, c->op) || goes_to_the_host(c)) return;
    prepare(&t, c, AG_CUDA);
    const int n = run(&t, there);
    prepare(&t, c, AG_CUDA);
    ag_cuda_graph *graph = ag_cuda_graph_new(AG_CUDA);
    OK(ag_cuda_stream_wait_stream(side, ag_cuda_current_stream(AG_CUDA)));
    {
        AG_CUDA_STREAM(side);
        OK(ag_cuda_graph_capture_begin(graph, NULL));
        ck_assert_int_eq(run(&t, captured), n);
        if (!ag_cuda_graph_capture_end(graph) || !ag_cuda_graph_replay(graph))
            ck_abort_msg("%s: %s", c->text, ag_error());
    }
    OK(ag_cuda_stream_wait_stream(ag_cuda_current_stream(AG_CUDA), side));
    compare(c, n, captured, there, 0);
    ag_cuda_graph_free(graph);
}
START_TEST(every_op_can_be_captured)
{
    side = ag_cuda_stream_new(AG_CUDA, 0);
    {
        AG_CUDA_STREAM(side); /* cuBLAS is opened at a stream's first product */
        Variable *x = ag_ones(AG_SHAPE(2, 2), .device = AG_CUDA);
        OK(ag_mm(x, x));
    }
    each_case(_i, check_capture);
}
END_TEST

/* ---- finite differences ---- */

static int call_of_case(Variable *const *inputs, int n, Variable **outputs, void *user)
{
    op_call call;
    Variable *out[OP_RESULTS];
    op_call_with(&call, user, inputs);
    int n_out = op_call_by_name(&call, "", out);
    n = 0;
    for (int k = 0; k < n_out; k++)
        if (ag_requires_grad(out[k])) outputs[n++] = out[k];
    return n;
}

static bool is_row_major(const op_tensor *x)
{
    int64_t step = 1;
    for (int d = x->ndim; d--; step *= x->size[d])
        if (x->size[d] > 1 && x->stride[d] != step) return false;
    return true;
}
/* Finite differences want a smooth function; and one layout will do. */
static bool smooth(const op_case *c)
{
    for (int i = 0; i < c->n_tensors; i++)
        if (c->tensor[i].dtype == AG_FLOAT32 || !is_row_major(&c->tensor[i])) return false;
    for (int k = 0; k < c->n_results; k++)
        if (c->result[k].tensor.dtype == AG_FLOAT32) return false;
    return c->n_gradients && !c->special;
}

/* Of many elements all at once. */
static void check_differences(const op_case *c)
{
    enum { MANY = 32 };
    op_call call;
    Variable *inputs[OP_TENSORS];
    ag_gradcheck_result found;
    int64_t elements = 0;
    int n = 0;
    if (!smooth(c)) return;
    op_call_make_on(&call, c, AG_CUDA, true);
    for (int i = 0; i < call.n_tensors; i++) {
        if (!ag_requires_grad(call.leaf[i])) continue;
        inputs[n++] = call.leaf[i];
        elements += ag_numel(call.leaf[i]);
    }
    List list = ag_list_from(n, inputs);
    void *user = (void *)(uintptr_t)c;
    const bool fast = elements > MANY;
    if (!ag_gradcheck(call_of_case, list, .user = user, .fast_mode = fast, .result = &found))
        ck_abort_msg("%s: %s", c->text, found.message);
    if (!ag_gradgradcheck(call_of_case, list, .user = user, .fast_mode = fast, .result = &found))
        ck_abort_msg("%s, second order: %s", c->text, found.message);
}
START_TEST(every_gradient_agrees_with_finite_differences) { each_case(_i, check_differences); }
END_TEST

/* ---- gradcheck itself ---- */

static int half_a_gradient(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    y[0] = ag_mul(x[0], ag_detach(x[0]));
    return 1;
}
static int of_two_devices(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    y[0] = ag_mul(ag_tanh(ag_to(x[0], AG_CUDA)), x[1]);
    return 1;
}
START_TEST(a_wrong_gradient_is_found_on_the_device)
{
    Variable *here = LEAF(AG_SHAPE(2), 3, 5), *x = ag_requires_grad_(ag_detach(ag_to(here, AG_CUDA)));
    Variable *columns = ag_requires_grad_(
        ag_detach(ag_transpose(ag_to(support_draw(AG_SHAPE(2, 3), AG_FLOAT64, 1), AG_CUDA), 0, 1)));
    ag_gradcheck_result found;
    for (int fast = 0; fast < 2; fast++) {
        ck_assert(!ag_gradcheck(half_a_gradient, AG_LIST(x), .fast_mode = fast, .result = &found));
        ck_assert_int_eq(found.element, 0);
        ck_assert_double_eq(found.analytic, 3);
        ck_assert_double_eq_tol(found.numeric, 6, 1e-6);
        ck_assert(!ag_gradcheck(half_a_gradient, AG_LIST(columns), .fast_mode = fast, .result = &found));
        OK(ag_gradcheck(of_two_devices, AG_LIST(here, x), .fast_mode = fast));
        OK(ag_gradgradcheck(of_two_devices, AG_LIST(here, x), .gen_non_contig_grad_outputs = true, .fast_mode = fast));
    }
    VALUES(ag_to(ag_detach(x), AG_CPU), 3, 5); /* as it was */
    ck_assert_ptr_null(ag_grad(x));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda/ops");
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = { { "values", every_op_gives_what_the_cpu_gives_and_nobody_waits },
                  { "capture", every_op_can_be_captured },
                  { "differences", every_gradient_agrees_with_finite_differences } };
    for (int i = 0; i < 3; i++) {
        TCase *tcase = tcase_create(tests[i].name);
        tcase_add_checked_fixture(tcase, support_begin, support_end);
        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, tests[i].test, 0, PARTS);
        suite_add_tcase(suite, tcase);
    }
    TCase *itself = tcase_create("gradcheck");
    tcase_add_checked_fixture(itself, support_begin, support_end);
    tcase_add_test(itself, a_wrong_gradient_is_found_on_the_device);
    suite_add_tcase(suite, itself);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
