/* test_out_of_memory.c - malloc itself fails: the first call, the second, the third, ..., each alone and each with
 * all that follow, through everything a training does. Each time there is AG_ENOMEM, or the library went on without;
 * nothing leaks, nothing crashes; and once the error is cleared the same thing succeeds and leaves as much behind as
 * if nothing had ever failed.
 *
 * A scenario is run in a process of its own for each failure, so that each starts with an empty cache. AG_TEST_LONG
 * tries every failure, else those beyond the first are sampled. */
#include "interpose.h"
#include "op_rows.h"
#include "small_cnn.h"
#include "support.h"

#include <argent/call.h>
#include <argent/gradcheck.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- scenarios: true for success; what they made is gone afterwards ---- */

static bool network(void)
{
    Module *net = small_cnn(16, 0.5, AG_FLOAT32);
    bool ok = net && ag_num_parameters(net) == 4 * 25 + 4 + 6 * 4 * 9 + 6 + 24 * 10 + 10;
    ok = ag_zero_grad(net) && ok;
    ok = ag_module_to(net, .dtype = AG_FLOAT64) && ok;
    ag_module_free(net);
    return ok;
}

static bool batches(int64_t num_workers)
{
    AG_SCOPE;
    Variable *x = ag_zeros(AG_SHAPE(21, 2, 3)), *y = ag_arange(21);
    Dataset *data = ag_data_tensor_dataset(AG_LIST(x, y));
    DataLoader *loader = ag_data_loader(data, .batch_size = 4, .shuffle = true, .num_workers = num_workers);
    int64_t n = 0, sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (Batch batch; loader && ag_data_next(loader, &batch); n += batch.size) {
            AG_SCOPE;
            sum += ag_item_int64(ag_sum(batch.targets));
        }
    ag_data_loader_free(loader);
    ag_dataset_free(data);
    return !ag_error() && n == 42 && sum == 420;
}
static bool loader(void) { return batches(0); }
static bool loader_with_workers(void) { return batches(2); }

static bool training_by(double momentum)
{
    small_training s;
    const small_cnn_options few = {
        .samples = 12, .side = 16, .batch_size = 4, .dropout = 0.25, .momentum = momentum, .dtype = AG_FLOAT32
    };
    bool ok = small_training_begin(&s, few) && small_training_epoch(&s) && s.steps == 3;
    small_training_end(&s);
    return ok;
}
static bool training(void) { return training_by(0.9); }
static bool training_by_adam(void) { return training_by(-1); }

/* The engine's odd corners: views and changes in place, a retained gradient, gradients of gradients, a deep and
 * a wide graph. */
static bool engine(void)
{
    AG_SCOPE;
    Variable *x = ag_ones(AG_SHAPE(4, 5), .dtype = AG_FLOAT64, .requires_grad = true), *y = ag_mul(x, x), *g[1], *gg[1];
    ag_retain_grad(y);
    Variable *row = ag_clone(ag_select(y, 0, 1));
    ag_add_(row, ag_scalar(1));
    Variable *deep = x, *wide = ag_sum(row);
    for (int i = 0; i < 300; i++) deep = ag_add(deep, x);
    for (int i = 0; i < 100; i++) wide = ag_add(wide, ag_sum(ag_mul(x, ag_scalar(i))));
    Variable *loss = ag_add(ag_add(ag_sum(ag_mul(y, y)), wide), ag_sum(deep));
    bool ok = ag_autograd_grad(AG_LIST(loss), AG_LIST(x), g, .create_graph = true);
    ok = ok && ag_autograd_grad(AG_LIST(ag_sum(ag_mul(g[0], g[0]))), AG_LIST(x), gg, .retain_graph = true);
    ok = ok && ag_backward(loss) && ag_grad(y) && ag_set_grad(x, AG_NONE);
    return ok && !ag_error();
}

static const char *file_name(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/argent-out-of-memory-%ld.safetensors", (long)getpid());
    return path;
}
static bool saving_and_loading(void)
{
    Module *net = small_cnn(16, 0, AG_FLOAT32), *other = small_cnn(16, 0, AG_FLOAT32);
    bool ok = net && other && ag_nn_save(net, file_name()) && ag_nn_load(other, file_name());
    ag_module_free(net);
    ag_module_free(other);
    unlink(file_name());
    return ok;
}

static bool printing(void)
{
    FILE *file = fopen("/dev/null", "w");
    if (!file) return true; /* the test's own failure */
    AG_SCOPE;
    Module *net = small_cnn(16, 0.5, AG_FLOAT32);
    bool ok = net && ag_nn_print(net, file);
    ok = ok && ag_print(ag_randn(AG_SHAPE(3, 4)), file) && ag_print(ag_zeros(AG_SHAPE(50, 50, 2)), file);
    ag_module_free(net);
    fclose(file);
    return ok;
}

static int product(Variable *const *x, int n, Variable **y, void *user)
{
    (void)user;
    y[0] = n == 2 ? ag_sum(ag_mul(ag_exp(x[0]), x[1])) : NULL;
    return 1;
}
static bool checking_gradients(void)
{
    AG_SCOPE;
    Variable *a = ag_full(AG_SHAPE(2, 2), 0.5, .dtype = AG_FLOAT64, .requires_grad = true);
    Variable *b = ag_full(AG_SHAPE(2), 0.25, .dtype = AG_FLOAT64, .requires_grad = true);
    return ag_gradcheck(product, AG_LIST(a, b)) && ag_gradgradcheck(product, AG_LIST(a, b));
}

static void count_deleter(void *data, void *user)
{
    (void)data;
    ++*(int *)user;
}
static bool memory_of_the_callers(void)
{
    static double data[8];
    int deleted = 0;
    bool ok;
    {
        AG_SCOPE;
        Variable *x = ag_from_blob(data, AG_SHAPE(8), AG_SCALAR_SHAPE, AG_FLOAT64, count_deleter, &deleted);
        ok = x && ag_zero_(x) && ag_item(ag_sum(x)) == 0 && !ag_error();
    }
    if (deleted != 1) ag_clear_error(); /* whoever fails gives it back, too: else a failure without an error */
    return ok && deleted == 1;
}

/* Every op that has a row, forward and backward. */
static bool every_op(void)
{
    bool ok = true;
    for (int i = 0; i < op_rows_groups() && ok; i++) {
        AG_SCOPE;
        int n;
        const op_case *c = op_rows_group(i, &n);
        while (n > 1 && c->refused) c++, n--;
        op_call call;
        Variable *out[OP_RESULTS], *gradient[OP_TENSORS];
        if (!op_call_try(&call, c, true)) return !ag_error(); /* a row's own memory */
        ok = op_call_by_name(&call, "", out) == c->n_results;
        int wanting = 0;
        while (wanting < call.n_tensors && !ag_requires_grad(call.leaf[wanting])) wanting++;
        if (ok && c->n_results && c->n_gradients && wanting < call.n_tensors && ag_requires_grad(out[0]))
            ok = ag_autograd_grad(AG_LIST(out[0]), AG_LIST(call.leaf[wanting]), gradient,
                                  .grad_outputs = AG_LIST(op_call_weights(out[0], 0)), .create_graph = true,
                                  .allow_unused = true);
    }
    return ok && !ag_error();
}

/* Numbers that stand for Variables are kept by the thread for the next time. */
static bool has_numbers(const op_case *c)
{
    for (int k = 0; k < c->n_values; k++)
        if (c->value[k].kind == AG_VALUE_INT || c->value[k].kind == AG_VALUE_FLOAT) return true;
    return false;
}

/* Every op that has an in-place form: what cannot be finished is not begun. */
static bool every_op_in_place(void)
{
    for (int i = 0; i < op_rows_groups(); i++) {
        AG_SCOPE;
        int n;
        const op_case *c = op_rows_group(i, &n);
        while (n > 1 && (c->refused || has_numbers(c))) c++, n--;
        if (!ag_op_has_inplace(ag_op_find(c->op))) continue;
        op_call call;
        Variable *out[OP_RESULTS];
        if (!op_call_try(&call, c, true)) return !ag_error(); /* a row's own memory */
        Variable *x = call.positional[0].tensor = ag_clone(call.tensor[0]), *was = ag_detach(ag_clone(x));
        if (!was) return false;
        const int64_t version = ag_version(x);
        const ag_node *made_by = ag_grad_fn(x);
        if (op_call_by_name(&call, "_", out)) continue;
        if (ag_error_code() == AG_ENOMEM) {
            bool same = ag_version(x) == version && ag_grad_fn(x) == made_by &&
                        !memcmp(ag_data(x), ag_data(was), (size_t)ag_numel(x) * ag_dtype_size(ag_dtype_of(x)));
            if (!same) ag_clear_error(); /* a failure without an error */
            return false;
        }
        ag_clear_error(); /* the row's result does not fit its input */
    }
    return true;
}

/* ---- one failure, in a process of its own ---- */

typedef struct outcome {
    int64_t calls;     /* to the system, in an undisturbed run */
    int64_t allocated; /* bytes held after one */
    bool failed;       /* the disturbed run did */
    char why[400];     /* empty: all is well */
} outcome;

static bool clean(outcome *o, const char *when)
{
    if (ag_leaks(NULL)) {
        ag_leaks(stderr);
        snprintf(o->why, sizeof o->why, "%lld Variables are left %s", (long long)ag_leaks(NULL), when);
    }
    return !o->why[0];
}

/* In the child: the scenario with failure number n (0: none), and once more without. */
static void try(bool (*scenario)(void), int64_t n, bool onwards, outcome *o)
{
    interpose_start(n, onwards);
    bool ok = scenario();
    o->calls = interpose_stop();
    o->failed = !ok;
    const char *error = ag_error();
    if (!ok && (!error || ag_error_code() != AG_ENOMEM))
        snprintf(o->why, sizeof o->why, "it failed with %s", error ? error : "no error at all");
    else if (ok && error)
        snprintf(o->why, sizeof o->why, "it succeeded with an error standing: %s", error);
    else if (!ok && !n)
        snprintf(o->why, sizeof o->why, "it failed undisturbed: %s", error);
    ag_clear_error();
    if (o->why[0] || !clean(o, "after the failure")) return;
    for (int again = 0; again < 2 && !o->why[0]; again++) {
        if (!scenario())
            snprintf(o->why, sizeof o->why, "it fails afterwards, too: %s", ag_error() ? ag_error() : "no error");
        else if (clean(o, "after a success"))
            o->allocated = ag_memory_allocated();
    }
    ag_clear_error();
}

static outcome in_child(bool (*scenario)(void), int64_t n, bool onwards)
{
    outcome o = { .why = "the process died" };
    int ends[2], status = -1;
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        outcome mine = { 0 };
        try(scenario, n, onwards, &mine);
        if (write(ends[1], &mine, sizeof mine) != (ssize_t)sizeof mine) _exit(3);
        close(ends[0]);
        close(ends[1]);
        exit(0); /* where a leak checker looks round */
    }
    close(ends[1]);
    ssize_t got = read(ends[0], &o, sizeof o);
    close(ends[0]);
    waitpid(child, &status, 0);
    if (got != (ssize_t)sizeof o) snprintf(o.why, sizeof o.why, "the process died");
    if (!o.why[0] && status != 0) snprintf(o.why, sizeof o.why, "the process ended with status %d", status);
    return o;
}

static void check_scenario(const char *name, bool (*scenario)(void))
{
    outcome whole = in_child(scenario, 0, false);
    ck_assert_msg(!whole.why[0], "%s: %s", name, whole.why);
    ck_assert_int_gt(whole.calls, 0);
    bool all = getenv("AG_TEST_LONG") != NULL, slow = interpose_sanitized() || getenv("AG_TEST_VALGRIND");
    int64_t thorough = all ? INT64_MAX : slow ? 20 : 100, tries = slow ? 15 : 60;
    int64_t step = whole.calls / tries + 1, failures = 0;
    for (int64_t n = 1; n <= whole.calls + 1; n += n < thorough ? 1 : step)
        for (int onwards = 0; onwards < 2; onwards++) {
            outcome o = in_child(scenario, n, onwards);
            const char *others = onwards ? " and all that follow" : "";
            ck_assert_msg(!o.why[0], "%s, call %lld of %lld to the system%s: %s", name, (long long)n,
                          (long long)whole.calls, others, o.why);
            ck_assert_msg(o.allocated == whole.allocated,
                          "%s, call %lld of %lld%s: %lld bytes are held afterwards, not %lld", name, (long long)n,
                          (long long)whole.calls, others, (long long)o.allocated, (long long)whole.allocated);
            failures += o.failed;
        }
    ck_assert_msg(failures > 0, "%s: no failure was noticed", name);
}

static const struct {
    const char *name;
    bool (*run)(void);
} scenarios[] = {
    { "a network", network },
    { "a loader", loader },
    { "a loader with workers", loader_with_workers },
    { "a training", training },
    { "a training by Adam", training_by_adam },
    { "the engine", engine },
    { "saving and loading", saving_and_loading },
    { "printing", printing },
    { "checking gradients", checking_gradients },
    { "memory of the caller's", memory_of_the_callers },
    { "every op", every_op },
    { "every op in place", every_op_in_place },
};
enum { N_SCENARIOS = sizeof scenarios / sizeof *scenarios };

START_TEST(every_failure_of_malloc_is_an_error_like_another)
{
    unsetenv("AG_NO_MEMORY_CACHING");
    check_scenario(scenarios[_i].name, scenarios[_i].run);
}
END_TEST

START_TEST(and_where_every_block_comes_from_malloc)
{
    setenv("AG_NO_MEMORY_CACHING", "1", 1);
    check_scenario(scenarios[_i].name, scenarios[_i].run);
}
END_TEST

int main(void)
{
    op_rows_groups(); /* read before anything may fail */
    Suite *suite = suite_create("out of memory");
    TCase *tcase = tcase_create("out of memory");
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, every_failure_of_malloc_is_an_error_like_another, 0, N_SCENARIOS);
    tcase_add_loop_test(tcase, and_where_every_block_comes_from_malloc, 0, N_SCENARIOS);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
