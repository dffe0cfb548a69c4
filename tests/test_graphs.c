/* test_graphs.c - graphs of a million nodes, and graphs in several threads at once. */
#include "support.h"

#include <pthread.h>

/* ---- size ---- */

typedef struct deep {
    int64_t n;
    bool ok;
} deep;

static void *goes_deep(void *user)
{
    deep *d = user;
    ag_scope scope = ag_scope_begin();
    Variable *x = ag_requires_grad_(ag_ones(AG_SHAPE(1))), *y = x;
    for (int64_t i = 0; i < d->n; i++) ag_let(&y, ag_neg(y));
    d->ok = ag_backward(y) && support_at(ag_grad(x), 0) == (d->n % 2 ? -1 : 1);
    Variable *g[1];
    y = x;
    for (int64_t i = 0; i < d->n / 10; i++) ag_let(&y, ag_neg(y));
    d->ok = d->ok && ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .create_graph = true);
    ag_scope_end(&scope);
    return NULL;
}

START_TEST(a_million_nodes_in_depth_need_no_deep_stack)
{
    deep d = { 1000000, false };
    pthread_t thread;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    ck_assert_int_eq(pthread_create(&thread, &small, goes_deep, &d), 0);
    pthread_join(thread, NULL);
    ck_assert(d.ok);
}
END_TEST

START_TEST(a_million_nodes_in_width_are_walked_and_freed)
{
    enum { WIDTH = 1 << 20 };
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

SUPPORT_MAIN("graphs", a_million_nodes_in_depth_need_no_deep_stack, a_million_nodes_in_width_are_walked_and_freed,
             threads_build_graphs_at_once_and_share_a_leaf, a_graph_can_be_walked_by_another_thread)
