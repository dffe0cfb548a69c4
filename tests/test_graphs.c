/* test_graphs.c - graphs of a million nodes, and graphs in several threads at once. */
#include "support.h"

#include <pthread.h>

/* ---- size ---- */

/* A tenth of it under a sanitizer, which needs several times the memory. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { MILLION = 100000 };
#else
enum { MILLION = 1000000 };
#endif

/* Runs a test's body on a stack of 256 kB: what needs no deep stack there needs none anywhere. The scope of the thread
 * dies with it. */
static void on_small_stack(void *(*body)(void *user), void *user)
{
    pthread_t thread;
    pthread_attr_t small;
    void *failed;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    ck_assert_int_eq(pthread_create(&thread, &small, body, user), 0);
    pthread_join(thread, &failed);
    pthread_attr_destroy(&small);
    ck_assert_msg(!failed, "%s", (const char *)failed);
}
#define TRY(expression) \
    if (!(expression)) return (void *)(uintptr_t)(ag_error() ? "failed: " #expression : "wrong: " #expression)
static bool is_near(double a, double b) { return fabs(a - b) <= 1e-9 * fabs(b); }

static void *goes_deep(void *user)
{
    (void)user;
    AG_SCOPE;
    Variable *x = LEAF(AG_SHAPE(1), 2), *r = ag_full(AG_SHAPE(1), 1 + 1e-7, .dtype = AG_FLOAT64), *y = x;
    for (int i = 0; i < MILLION; i++) TRY(ag_let(&y, ag_mul(y, r))); /* keeps r at every step */
    TRY(ag_backward(y));
    TRY(is_near(support_at(ag_grad(x), 0), pow(1 + 1e-7, MILLION)));
    return NULL;
}
START_TEST(a_million_nodes_in_depth_need_no_deep_stack) { on_small_stack(goes_deep, NULL); }
END_TEST

static void *holds_everything(void *user)
{
    (void)user;
    Variable *x = LEAF(AG_SHAPE(1), 2), *y = x, *g[1];
    for (int i = 0; i < MILLION; i++) TRY(y = ag_neg(y)); /* all stay in the thread's root scope */
    TRY(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g));
    TRY(support_at(g[0], 0) == 1);
    return NULL;
}
START_TEST(a_million_variables_in_one_scope_are_let_go_of_at_the_end_of_the_thread)
{
    int64_t before = ag_leaks(NULL);
    on_small_stack(holds_everything, NULL);
    ck_assert_int_eq(ag_leaks(NULL), before);
}
END_TEST

static void *goes_deep_twice(void *user)
{
    (void)user;
    AG_SCOPE;
    Variable *x = LEAF(AG_SHAPE(1), 1e-3), *y = x, *g[1];
    for (int i = 0; i < MILLION; i++) TRY(ag_let(&y, ag_sin(y)));
    TRY(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .create_graph = true)); /* a graph of several million nodes */
    double first = support_at(g[0], 0);
    TRY(first > 0.5 && first < 1);
    TRY(ag_backward(g[0]));
    TRY(support_at(ag_grad(x), 0) < 0);
    TRY(ag_backward(y, .create_graph = true) || ag_error()); /* the first walk has kept it, the second used it up */
    ag_clear_error();
    return NULL;
}
START_TEST(a_million_nodes_in_depth_are_differentiated_twice) { on_small_stack(goes_deep_twice, NULL); }
END_TEST

static void *takes_a_million(void *user)
{
    (void)user;
    AG_SCOPE;
    Variable **x = malloc(MILLION * sizeof *x), **g = malloc(MILLION * sizeof *g);
    const char *failed = x && g ? NULL : "no memory";
    for (int i = 0; i < MILLION && !failed; i++)
        if (!(x[i] = ag_requires_grad_(ag_full(AG_SHAPE(1), i, .dtype = AG_FLOAT64)))) failed = "leaves";
    Variable *y = failed ? NULL : ag_cat(ag_list_from(MILLION, x));
    if (!failed && !ag_autograd_grad(AG_LIST(ag_sum(ag_mul(y, y))), ag_list_from(MILLION, x), g)) failed = "grad";
    for (int i = 0; i < MILLION && !failed; i++)
        if (support_at(g[i], 0) != 2.0 * i) failed = "a gradient";
    free(x);
    free(g);
    return (void *)(uintptr_t)failed;
}
START_TEST(a_node_may_have_a_million_inputs) { on_small_stack(takes_a_million, NULL); }
END_TEST

START_TEST(a_million_nodes_in_width_are_walked_and_freed)
{
    enum { WIDTH = MILLION > 1 << 19 ? 1 << 20 : 1 << 17 };
    Variable *x = LEAF(AG_SHAPE(1), 1), *sum = ag_neg(x);
    {
        AG_SCOPE;
        Variable **level = malloc(WIDTH * sizeof *level);
        ck_assert_ptr_nonnull(level);
        for (int64_t i = 0; i < WIDTH; i++) level[i] = ag_neg(x);
        for (int64_t n = WIDTH; n > 1; n /= 2) /* a tree of additions */
            for (int64_t i = 0; i < n / 2; i++) level[i] = ag_add(level[2 * i], level[2 * i + 1]);
        sum = ag_keep(level[0]);
        free(level);
    }
    OK(ag_backward(sum));
    VALUES(ag_grad(x), -WIDTH);
}
END_TEST

/* ---- threads ---- */

static void *builds_its_own_graph(void *user)
{
    Variable *w = user;
    for (int i = 0; i < 200; i++) {
        AG_SCOPE;
        Variable *x = ag_full(AG_SHAPE(3), i, .dtype = AG_FLOAT64);
        if (!ag_backward(ag_sum(ag_mul(ag_mul(x, w), w)))) return "failed";
    }
    return NULL;
}

START_TEST(threads_build_graphs_at_once_and_share_a_leaf)
{
    enum { THREADS = 4 };
    Variable *w = LEAF(AG_SHAPE(3), 1, 2, 3);
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, builds_its_own_graph, w), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        ck_assert_ptr_null(failed);
    }
    double sum = THREADS * 199.0 * 200; /* 2 w times the sum of i over 200 rounds */
    VALUES(ag_grad(w), sum, 2 * sum, 3 * sum);
}
END_TEST

/* Everything that the engine does, in one thread's own graph; says what went wrong. */
static void *differentiates_by_itself(void *user)
{
    double a = *(const int *)user;
    for (int i = 0; i < 50; i++) {
        AG_SCOPE;
        Variable *x = LEAF(AG_SHAPE(2), a, i), *y = ag_mul(x, ag_mul(x, x)), *g[1], *view;
        TRY(ag_autograd_grad(AG_LIST(ag_sum(y)), AG_LIST(x), g, .create_graph = true));
        TRY(ag_retain_grad(y));
        TRY(ag_backward(ag_sum(ag_mul(g[0], y)))); /* 3 x^2 x^3 */
        TRY(is_near(support_at(ag_grad(x), 0), 15 * pow(a, 4)));
        TRY(support_at(ag_grad(y), 1) == 3.0 * i * i);
        {
            AG_NO_GRAD;
            TRY(view = ag_select(x, 0, 1));
            TRY(ag_zero_(view));
        }
        TRY(support_at(x, 1) == 0);
        TRY(!ag_view(x, AG_SHAPE(3)) && strstr(ag_error(), "shape '[3]' is invalid"));
        ag_clear_error();
    }
    return NULL;
}
START_TEST(threads_differentiate_graphs_of_their_own_at_once)
{
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    int number[THREADS];
    for (int i = 0; i < THREADS; i++) {
        number[i] = i + 1;
        ck_assert_int_eq(pthread_create(&thread[i], NULL, differentiates_by_itself, &number[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        ck_assert_msg(!failed, "thread %d: %s", i, (const char *)failed);
    }
}
END_TEST

/* Two threads read one leaf into graphs of their own, let go of it, and differentiate with create_graph. */
static void *adds_with_a_graph(void *user)
{
    Variable *w = user;
    for (int i = 0; i < 100; i++) {
        AG_SCOPE;
        TRY(ag_backward(ag_sum(ag_mul(w, ag_mul(w, w))), .create_graph = i % 2));
    }
    ag_release(w);
    return NULL;
}
START_TEST(threads_share_a_leaf_that_outlives_its_maker)
{
    pthread_t thread[2];
    Variable *w;
    {
        AG_SCOPE;
        w = LEAF(AG_SHAPE(2), 1, 2);
        ag_retain(w); /* one for each thread, one to look at */
        ag_retain(w);
        ag_retain(w);
    }
    for (int i = 0; i < 2; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, adds_with_a_graph, w), 0);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        ck_assert_msg(!failed, "%s", (const char *)failed);
    }
    VALUES(ag_grad(w), 600, 2400);
    OK(ag_set_grad(w, AG_NONE));
    ag_release(w);
}
END_TEST

static void *goes_back(void *user) { return ag_backward(user) ? NULL : "failed"; }
START_TEST(a_graph_can_be_walked_by_another_thread)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_retain(ag_sum(ag_mul(x, x)));
    pthread_t thread;
    void *failed;
    ck_assert_int_eq(pthread_create(&thread, NULL, goes_back, y), 0);
    pthread_join(thread, &failed);
    ck_assert_ptr_null(failed);
    VALUES(ag_grad(x), 2, 4);
    ag_release(y);
}
END_TEST

SUPPORT_MAIN("graphs", a_million_nodes_in_depth_need_no_deep_stack,
             a_million_variables_in_one_scope_are_let_go_of_at_the_end_of_the_thread,
             a_million_nodes_in_depth_are_differentiated_twice, a_node_may_have_a_million_inputs,
             a_million_nodes_in_width_are_walked_and_freed, threads_build_graphs_at_once_and_share_a_leaf,
             threads_differentiate_graphs_of_their_own_at_once, threads_share_a_leaf_that_outlives_its_maker,
             a_graph_can_be_walked_by_another_thread)
