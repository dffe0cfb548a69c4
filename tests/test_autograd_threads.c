/* test_autograd_threads.c - what PyTorch's test_autograd.py asserts of backwards inside backwards and of threads
 * (docs/test-autograd.md). */
#include "support.h"

#include <pthread.h>

/* ---- backwards inside backwards ---- */

/* Squares its input, which it differentiates in a walk of its own; *user's hook or depth says what else happens. */
typedef struct inner {
    int depth; /* further walks inside */
    int runs;
    bool fails;
    Variable *other; /* a graph that is walked as well */
} inner;
static bool reenters_forward(ag_context *ctx, ag_list in, Variable **out)
{
    return (out[0] = ag_square(in.at[0])) && ag_save_for_backward(ctx, in);
}
static bool reenters_backward(ag_context *ctx, Variable *const *g, Variable **grad);
static const ag_function reenters = { .name = "Reenters", .forward = reenters_forward, .backward = reenters_backward };
static bool reenters_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    inner *i = ag_context_user(ctx);
    ag_list saved = ag_saved_tensors(ctx);
    if (!saved.n) return false;
    i->runs++;
    AG_ENABLE_GRAD;
    Variable *x = ag_requires_grad_(ag_detach(saved.at[0])), *y;
    if (i->fails && !i->depth)
        y = ag_mm(x, x);
    else
        y = i->depth-- > 0 ? ag_function_apply(&reenters, AG_LIST(x), i) : ag_square(x);
    if (i->other && !ag_backward(i->other, .retain_graph = true)) return false;
    return ag_backward(ag_sum(y)) && (grad[0] = ag_mul(g[0], ag_grad(x)));
}

START_TEST(a_backward_inside_a_backward_gives_the_same_gradient)
{
    for (int depth = 0; depth < 3; depth++) {
        inner i = { .depth = depth };
        Variable *x = LEAF(AG_SHAPE(2), 1, 3), *y = ag_mul(x, ag_scalar(2));
        OK(ag_backward(ag_sum(ag_add(ag_function_apply(&reenters, AG_LIST(y), &i), ag_mul(x, x)))));
        ck_assert_int_eq(i.runs, depth + 1);
        VALUES(ag_grad(x), 8 + 2, 24 + 6);
    }
}
END_TEST

START_TEST(an_error_in_the_innermost_backward_is_that_of_the_outermost)
{
    for (int depth = 0; depth < 3; depth++) {
        inner i = { .depth = depth, .fails = true };
        Variable *x = LEAF(AG_SHAPE(2), 1, 3), *y = ag_function_apply(&reenters, AG_LIST(ag_exp(x)), &i);
        REFUSED(ag_backward(ag_sum(y)), "mm"); /* the sentence of what failed first */
        ck_assert_int_eq(i.runs, depth + 1);
        ck_assert_ptr_null(ag_grad(x));
        OK(ag_backward(ag_sum(ag_exp(x)))); /* the engine is as it was */
        VALUES(ag_grad(x), exp(1), exp(3));
    }
}
END_TEST

START_TEST(walks_go_five_hundred_deep_beside_long_graphs)
{
    inner i = { .depth = 500 };
    Variable *x = LEAF(AG_SHAPE(1), 2), *y = x;
    for (int k = 0; k < 1000; k++) y = ag_add(y, ag_scalar(0.0));
    OK(ag_backward(ag_sum(ag_function_apply(&reenters, AG_LIST(y), &i))));
    ck_assert_int_eq(i.runs, 501);
    VALUES(ag_grad(x), 4);
}
END_TEST

START_TEST(an_inner_walk_through_the_same_leaf_adds_to_its_gradient)
{
    Variable *x = LEAF(AG_SHAPE(1), 3);
    inner i = { .other = ag_exp(x) };
    OK(ag_backward(ag_function_apply(&reenters, AG_LIST(ag_mul(x, ag_scalar(2))), &i)));
    VALUES(ag_grad(x), 24 + exp(3));
    Variable *g[1]; /* which a walk for autograd.grad does not touch, while the inner one does */
    OK(ag_autograd_grad(AG_LIST(ag_function_apply(&reenters, AG_LIST(x), &i)), AG_LIST(x), g));
    VALUES(g[0], 6);
    VALUES(ag_grad(x), 24 + 2 * exp(3));
}
END_TEST

static Variable *differentiates(Variable *g, void *user)
{
    Variable *x = user, *inside[1];
    AG_ENABLE_GRAD;
    if (!ag_autograd_grad(AG_LIST(ag_exp(x)), AG_LIST(x), inside)) return NULL;
    return ag_mul(g, inside[0]);
}
START_TEST(a_hook_may_differentiate_by_the_leaf_whose_gradient_is_on_its_way)
{
    Variable *x = LEAF(AG_SHAPE(1), 1), *y = ag_mul(x, ag_scalar(5));
    OK(ag_register_hook(y, differentiates, x));
    OK(ag_backward(y));
    VALUES(ag_grad(x), 5 * exp(1));
}
END_TEST

/* ---- threads ---- */

enum { THREADS = 4 };
/* A piece of a graph that a thread makes of a shared x, to be joined by the main one. */
typedef struct piece {
    Variable *x, *y;
    double factor;
    char *failed;
} piece;
static void in_threads(void *(*body)(void *user), piece *pieces)
{
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, body, &pieces[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < THREADS; i++) ck_assert_msg(!pieces[i].failed, "%s", pieces[i].failed);
}
static void *makes_a_piece(void *user)
{
    piece *p = user;
    AG_SCOPE;
    p->y = ag_retain(ag_mul(ag_exp(p->x), ag_scalar(p->factor)));
    if (!p->y) p->failed = strdup(ag_error());
    return NULL;
}
static void *walks_from_its_piece(void *user)
{
    piece *p = user;
    AG_SCOPE;
    if (!ag_backward(ag_sum(ag_mul(p->y, p->y)), .retain_graph = true)) p->failed = strdup(ag_error());
    return NULL;
}

START_TEST(threads_fork_and_join_in_the_middle_of_a_graph)
{
    Variable *leaf = LEAF(AG_SHAPE(2), 0, 1), *x = ag_mul(leaf, ag_scalar(2)), *sum = ag_zeros_like(ag_detach(leaf));
    piece pieces[THREADS];
    for (int i = 0; i < THREADS; i++) pieces[i] = (piece){ .x = x, .factor = i + 1 };
    in_threads(makes_a_piece, pieces);
    for (int i = 0; i < THREADS; i++) sum = ag_add(sum, pieces[i].y);
    OK(ag_backward(ag_sum(sum), .retain_graph = true)); /* made by four threads, walked by one */
    VALUES(ag_grad(leaf), 2 * 10, 2 * 10 * exp(2));
    OK(ag_set_grad(leaf, AG_NONE));
    in_threads(walks_from_its_piece, pieces); /* four walks through what they share */
    VALUES(ag_grad(leaf), 4 * 30, 4 * 30 * exp(4));
    for (int i = 0; i < THREADS; i++) ag_release(pieces[i].y);
}
END_TEST

static void *fails_in_backward(void *user)
{
    piece *p = user;
    inner i = { .fails = true };
    AG_SCOPE;
    bool passed = ag_backward(ag_sum(ag_function_apply(&reenters, AG_LIST(p->x), &i)));
    if (passed || !ag_error() || !strstr(ag_error(), "mm")) p->failed = strdup("it has not failed as it should");
    ag_clear_error();
    return NULL;
}
START_TEST(an_error_in_one_threads_backward_is_that_threads)
{
    piece pieces[THREADS];
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    for (int i = 0; i < THREADS; i++) pieces[i] = (piece){ .x = x };
    in_threads(fails_in_backward, pieces);
    ck_assert(!ag_error() && !ag_grad(x));
}
END_TEST

static void *steps(void *user)
{
    piece *p = user;
    for (int i = 0; i < 50 && !p->failed; i++) {
        AG_SCOPE;
        AG_ENABLE_GRAD;
        Variable *w = LEAF(AG_SHAPE(1), p->factor), *g[1];
        bool ok = ag_autograd_grad(AG_LIST(ag_mul(ag_mul(w, w), p->x)), AG_LIST(w), g) &&
                  fabs(support_at(g[0], 0) - 2 * p->factor * support_at(p->x, 0)) < 1e-12;
        AG_NO_GRAD;
        if (!ok || !ag_add_(w, g[0]) || ag_requires_grad(ag_mul(w, w))) p->failed = strdup("a step went wrong");
    }
    return NULL;
}
START_TEST(threads_have_modes_and_graphs_of_their_own_over_data_that_they_share)
{
    AG_NO_GRAD; /* of this thread alone */
    piece pieces[THREADS];
    Variable *x = ag_full(AG_SHAPE(1), 1.5, .dtype = AG_FLOAT64);
    for (int i = 0; i < THREADS; i++) pieces[i] = (piece){ .x = x, .factor = i + 1 };
    in_threads(steps, pieces);
    ck_assert(!ag_is_grad_enabled());
}
END_TEST

SUPPORT_MAIN("autograd_threads", a_backward_inside_a_backward_gives_the_same_gradient,
             an_error_in_the_innermost_backward_is_that_of_the_outermost, walks_go_five_hundred_deep_beside_long_graphs,
             an_inner_walk_through_the_same_leaf_adds_to_its_gradient,
             a_hook_may_differentiate_by_the_leaf_whose_gradient_is_on_its_way,
             threads_fork_and_join_in_the_middle_of_a_graph, an_error_in_one_threads_backward_is_that_threads,
             threads_have_modes_and_graphs_of_their_own_over_data_that_they_share)
