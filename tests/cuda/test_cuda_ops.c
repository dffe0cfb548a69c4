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

/* Calls `check` for each case of the i-th op that has Variables and an answer; what it makes is gone before the next.
 */
static void each_case(int i, void (*check)(const op_case *c))
{
    int n;
    const op_case *c = op_rows_group(i, &n);
    for (int k = 0; k < n; k++) {
        AG_SCOPE;
        if (c[k].n_tensors && !c[k].refused) check(&c[k]);
    }
}

/* ---- values and gradients ---- */

/* What a case gives on a device: its results, then a gradient for each leaf that wants one, and for each of those the
 * gradient of the sum of their squares; NULL where there is none. How many; *waits: how often somebody waited. */
enum { MOST = OP_RESULTS + 2 * OP_TENSORS };
static int run(const op_case *c, ag_device device, Variable **out, int *waits)
{
    op_call call;
    Variable *wanting[OP_RESULTS], *weights[OP_RESULTS], *leaf[OP_TENSORS], *gradient[OP_TENSORS], *first[OP_TENSORS];
    int n_leaves = 0, n_wanting = 0, n_first = 0;
    op_call_make_on(&call, c, device, true);
    uint64_t before = cuda_waits();
    int n = op_call_by_name(&call, "", out);
    *waits = (int)(cuda_waits() - before);
    if (!n) ck_abort_msg("%s: %s", c->text, ag_error());
    for (int i = 0; i < call.n_tensors; i++)
        if (ag_requires_grad(call.leaf[i])) leaf[n_leaves++] = call.leaf[i];
    for (int k = 0; k < n; k++)
        if (ag_requires_grad(out[k])) {
            wanting[n_wanting] = out[k];
            weights[n_wanting] = op_call_weights(out[k], k);
            n_wanting++;
        }
    if (!n_wanting || !c->n_gradients) return n;
    before = cuda_waits();
    for (int graph = 0; graph < 2; graph++)
        if (!ag_autograd_grad(ag_list_from(n_wanting, wanting), ag_list_from(n_leaves, leaf), gradient,
                              .grad_outputs = ag_list_from(n_wanting, weights), .retain_graph = true,
                              .create_graph = graph, .allow_unused = true))
            ck_abort_msg("%s: %s", c->text, ag_error());
    for (int i = 0; i < n_leaves; i++) {
        out[n++] = gradient[i];
        if (gradient[i] && ag_requires_grad(gradient[i])) first[n_first++] = ag_sum(ag_square(gradient[i]));
    }
    Variable *total = n_first ? first[0] : NULL;
    for (int i = 1; i < n_first; i++) total = ag_add(total, first[i]);
    if (total && !ag_autograd_grad(AG_LIST(total), ag_list_from(n_leaves, leaf), out + n, .allow_unused = true))
        ck_abort_msg("%s: %s", c->text, ag_error());
    *waits += (int)(cuda_waits() - before);
    return total ? n + n_leaves : n;
}

static bool goes_to_the_host(const op_case *c) { return strstr(c->text, "'cpu") != NULL; }

static void check_values(const op_case *c)
{
    Variable *here[MOST], *there[MOST], *again[MOST];
    int waits, n = run(c, AG_CPU, here, &waits), m = run(c, AG_CUDA, there, &waits);
    ag_use_deterministic_algorithms(false); /* nothing has another way */
    ck_assert_int_eq(run(c, AG_CUDA, again, &waits), m);
    ag_use_deterministic_algorithms(true);
    for (int k = 0; k < m; k++)
        if (there[k] && !(k < c->n_results && c->result[k].any))
            cuda_same_at(ag_to(ag_detach(again[k]), AG_CPU), ag_to(ag_detach(there[k]), AG_CPU), 0, c->text, __FILE__,
                         __LINE__);
    if (m != n) ck_abort_msg("%s: %d values and gradients on the device, %d on the CPU", c->text, m, n);
    if (waits && !IS_AMONG(waiting, c->op) && !goes_to_the_host(c))
        ck_abort_msg("%s: it waited for the device %d times", c->text, waits);
    if (IS_AMONG(drawing, c->op)) return;
    for (int k = 0; k < n; k++) {
        if (!here[k] != !there[k]) ck_abort_msg("%s: gradient %d is missing", c->text, k);
        if (!here[k] || (k < c->n_results && c->result[k].any)) continue;
        Variable *x = ag_detach(here[k]), *y = ag_detach(there[k]);
        double tolerance = ag_dtype_of(x) == AG_FLOAT32 ? 1e-5 : 1e-10;
        for (int i = 0; i < c->n_tensors; i++)
            if (c->tensor[i].dtype == AG_FLOAT32) tolerance = 1e-5;
        cuda_same_at(ag_to(y, AG_CPU), x, k < c->n_results ? tolerance : 10 * tolerance, c->text, __FILE__, __LINE__);
    }
}
START_TEST(every_op_gives_what_the_cpu_gives_and_nobody_waits) { each_case(_i, check_values); }
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

static void check_differences(const op_case *c)
{
    op_call call;
    Variable *inputs[OP_TENSORS];
    ag_gradcheck_result found;
    int n = 0;
    if (!smooth(c)) return;
    op_call_make_on(&call, c, AG_CUDA, true);
    for (int i = 0; i < call.n_tensors; i++)
        if (ag_requires_grad(call.leaf[i])) inputs[n++] = call.leaf[i];
    List list = ag_list_from(n, inputs);
    void *user = (void *)(uintptr_t)c;
    if (!ag_gradcheck(call_of_case, list, .user = user, .result = &found))
        ck_abort_msg("%s: %s", c->text, found.message);
    if (!ag_gradgradcheck(call_of_case, list, .user = user, .result = &found))
        ck_abort_msg("%s, second order: %s", c->text, found.message);
}
START_TEST(every_gradient_agrees_with_finite_differences) { each_case(_i, check_differences); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda/ops");
    const TTest *const tests[] = { every_op_gives_what_the_cpu_gives_and_nobody_waits,
                                   every_gradient_agrees_with_finite_differences };
    for (int i = 0; i < 2; i++) {
        TCase *tcase = tcase_create(i ? "differences" : "values");
        tcase_add_checked_fixture(tcase, support_begin, support_end);
        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, tests[i], 0, op_rows_groups());
        suite_add_tcase(suite, tcase);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
