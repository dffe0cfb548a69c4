/* test_shared_graphs.c - several threads on one graph: walks, hooks, saved-tensor hooks, checkpoints, functions. */
#include "support.h"

#include <pthread.h>

enum { THREADS = 4 };
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { ROUNDS = 20 };
#else
enum { ROUNDS = 100 };
#endif

/* Runs body in several threads at once; how many of them return NULL. */
static int in_threads(void *(*body)(void *user), void *user)
{
    pthread_t thread[THREADS];
    int passed = 0;
    for (int i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, body, user), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        passed += !failed;
        if (failed) ck_assert_msg(strstr(failed, "second time") != NULL, "%s", (char *)failed);
        free(failed);
    }
    return passed;
}

static void *walks_keeping(void *root)
{
    for (int i = 0; i < ROUNDS; i++)
        if (!ag_backward(root, .retain_graph = true)) return strdup(ag_error());
    return NULL;
}
static void *walks_once(void *root) { return ag_backward(root) ? NULL : strdup(ag_error()); }

/* A graph with joins and forks: d/dx of sum((x e^x + x)^2). */
static Variable *graph_of(Variable *x)
{
    Variable *a = ag_exp(x), *b = ag_add(ag_mul(a, x), x);
    return ag_sum(ag_mul(b, b));
}
static double slope(double x) { return 2 * (x * exp(x) + x) * (exp(x) + x * exp(x) + 1); }

START_TEST(threads_walk_one_graph_at_once_and_every_gradient_arrives)
{
    Variable *x = LEAF(AG_SHAPE(2), 0.5, 1), *y = graph_of(x);
    ck_assert_int_eq(in_threads(walks_keeping, y), THREADS);
    ck_assert_double_eq_tol(support_at(ag_grad(x), 0), THREADS * ROUNDS * slope(0.5), 1e-6);
    ck_assert_double_eq_tol(support_at(ag_grad(x), 1), THREADS * ROUNDS * slope(1), 1e-6);
}
END_TEST

START_TEST(of_threads_that_walk_a_graph_without_keeping_it_one_passes_and_the_others_get_the_sentence)
{
    for (int i = 0; i < ROUNDS; i++) {
        AG_SCOPE;
        Variable *x = LEAF(AG_SHAPE(2), 0.5, 1), *y = graph_of(x);
        ck_assert_int_eq(in_threads(walks_once, y), 1);
        VALUES(ag_grad(x), slope(0.5), slope(1));
    }
}
END_TEST

static Variable *counts(Variable *g, void *user)
{
    (void)g;
    __atomic_add_fetch((int *)user, 1, __ATOMIC_RELAXED);
    return NULL;
}
static bool counts_leaf(Variable *leaf, void *user) { return counts(leaf, user), true; }

START_TEST(hooks_are_called_for_each_walk_of_each_thread)
{
    int on_leaf = 0, on_value = 0, after = 0;
    Variable *x = LEAF(AG_SHAPE(2), 0.5, 1), *a = ag_mul(x, x), *y = graph_of(a);
    OK(ag_register_hook(x, counts, &on_leaf));
    OK(ag_register_hook(a, counts, &on_value));
    OK(ag_register_post_accumulate_grad_hook(x, counts_leaf, &after));
    ck_assert_int_eq(in_threads(walks_keeping, y), THREADS);
    ck_assert_int_eq(on_leaf, THREADS * ROUNDS);
    ck_assert_int_eq(on_value, THREADS * ROUNDS);
    ck_assert_int_eq(after, THREADS * ROUNDS);
}
END_TEST

/* Each thread's hooks are called in the others' walks, too, until it removes them. */
static int all_calls;
static void *adds_and_removes_hooks(void *leaf)
{
    for (int i = 0; i < ROUNDS; i++) {
        AG_SCOPE;
        ag_hook hook = ag_register_hook((Variable *)leaf, counts, &all_calls);
        if (!hook || !ag_backward(ag_sum(ag_mul((Variable *)leaf, (Variable *)leaf))) || !ag_hook_remove(hook))
            return strdup(ag_error() ? ag_error() : "no hook");
    }
    return NULL;
}
START_TEST(threads_add_and_remove_hooks_on_a_leaf_that_they_share)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    ck_assert_int_eq(in_threads(adds_and_removes_hooks, x), THREADS);
    ck_assert_int_ge(all_calls, THREADS * ROUNDS);
    VALUES(ag_grad(x), 2.0 * THREADS * ROUNDS, 4.0 * THREADS * ROUNDS);
}
END_TEST

static void *pack(Variable *x, void *user) { return (void)user, ag_retain(ag_clone(x)); }
static Variable *unpack(void *packed, void *user) { return (void)user, packed; }
static void release(void *packed, void *user)
{
    (void)user;
    ag_release(packed);
}
START_TEST(what_is_packed_is_unpacked_in_several_threads)
{
    Variable *x = LEAF(AG_SHAPE(2), 0.5, 1), *y;
    {
        AG_SAVED_TENSORS_HOOKS(pack, unpack, .free_packed = release);
        y = graph_of(x);
    }
    ck_assert_int_eq(in_threads(walks_keeping, y), THREADS);
    ck_assert_double_eq_tol(support_at(ag_grad(x), 0), THREADS * ROUNDS * slope(0.5), 1e-6);
    ck_assert_int_eq(in_threads(walks_once, y), 1);
}
END_TEST

static int block(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = graph_of(x[0]), 1;
}
START_TEST(a_checkpoint_is_run_again_for_each_thread)
{
    Variable *x = LEAF(AG_SHAPE(2), 0.5, 1), *y = ag_checkpoint(block, AG_LIST(x), .preserve_rng_state = false);
    ck_assert_int_eq(in_threads(walks_keeping, y), THREADS);
    ck_assert_double_eq_tol(support_at(ag_grad(x), 0), THREADS * ROUNDS * slope(0.5), 1e-6);
}
END_TEST

static bool forward(ag_context *ctx, ag_list in, Variable **out)
{
    return (out[0] = ag_exp(in.at[0])) && ag_save_for_backward(ctx, AG_LIST(out[0], in.at[0]));
}
static bool backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    ag_list saved = ag_saved_tensors(ctx);
    return saved.n == 2 && (grad[0] = ag_mul(g[0], saved.at[0]));
}
START_TEST(a_function_of_ones_own_is_walked_by_several_threads)
{
    static const ag_function f = { .name = "Exp", .forward = forward, .backward = backward };
    Variable *x = LEAF(AG_SHAPE(1), 1), *y = ag_function_apply(&f, AG_LIST(ag_mul(x, ag_scalar(1))));
    ck_assert_int_eq(in_threads(walks_keeping, y), THREADS);
    ck_assert_double_eq_tol(support_at(ag_grad(x), 0), THREADS * ROUNDS * exp(1), 1e-6);
    ck_assert_int_eq(in_threads(walks_once, y), 1);
}
END_TEST

SUPPORT_MAIN("shared graphs", threads_walk_one_graph_at_once_and_every_gradient_arrives,
             of_threads_that_walk_a_graph_without_keeping_it_one_passes_and_the_others_get_the_sentence,
             hooks_are_called_for_each_walk_of_each_thread, threads_add_and_remove_hooks_on_a_leaf_that_they_share,
             what_is_packed_is_unpacked_in_several_threads, a_checkpoint_is_run_again_for_each_thread,
             a_function_of_ones_own_is_walked_by_several_threads)
