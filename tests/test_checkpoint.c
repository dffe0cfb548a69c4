/* test_checkpoint.c - parts of a graph that are computed again for backward (autograd/checkpoint.h). */
#include "support.h"

/* Counts its runs; saves exp's result, both factors and a dropout mask. */
typedef struct runs {
    int n, freed;
    bool drops, grows, fails;
    Variable *weight;
} runs;
static int block(Variable *const *x, int n, Variable **y, void *user)
{
    runs *r = user;
    ck_assert_int_eq(n, 1);
    r->n++;
    if (r->fails && r->n > 1) return y[0] = ag_mm(x[0], x[0]), 1;
    Variable *e = ag_exp(x[0]);
    if (r->drops) e = ag_dropout(e, .p = 0.5);
    if (r->weight) e = ag_mul(e, r->weight);
    if (r->grows && r->n > 1) e = ag_exp(e);
    y[0] = ag_mul(e, x[0]);
    return 1;
}
static void count_freed(void *user) { ((runs *)user)->freed++; }

START_TEST(a_checkpointed_function_runs_again_once_for_a_backward_and_gives_the_same_gradients)
{
    for (int reentrant = 0; reentrant < 2; reentrant++) {
        runs r = { 0 };
        Variable *x = LEAF(AG_SHAPE(2), 1, 2);
        Variable *y = ag_checkpoint(block, AG_LIST(ag_mul(x, ag_scalar(1))), &r, .use_reentrant = reentrant);
        OK(y);
        VALUES(y, exp(1), 2 * exp(2));
        ck_assert_int_eq(r.n, 1);
        OK(ag_backward(ag_sum(y), .retain_graph = true));
        ck_assert_int_eq(r.n, 2);
        VALUES(ag_grad(x), 2 * exp(1), 3 * exp(2));
        OK(ag_backward(ag_sum(y)));
        ck_assert_int_eq(r.n, 3);
        VALUES(ag_grad(x), 4 * exp(1), 6 * exp(2));
        REFUSED(ag_backward(ag_sum(y)), "Trying to backward through the graph a second time");
    }
}
END_TEST

START_TEST(a_checkpoint_saves_nothing_of_what_its_function_makes)
{
    runs r = { 0 };
    Variable *x = ag_requires_grad_(ag_rand(AG_SHAPE(1000), .dtype = AG_FLOAT64));
    int64_t before = ag_memory_allocated();
    Variable *y = ag_checkpoint(block, AG_LIST(x), &r);
    OK(y);
    ck_assert_int_lt(ag_memory_allocated() - before, 2 * 8 * 1000); /* the result, not exp's */
    OK(ag_backward(ag_sum(y)));
}
END_TEST

START_TEST(the_second_run_draws_what_the_first_drew_and_leaves_the_generator_alone)
{
    for (int reentrant = 0; reentrant < 2; reentrant++) {
        runs r = { .drops = true };
        unsigned char before[AG_RNG_STATE_BYTES], after[AG_RNG_STATE_BYTES];
        ag_manual_seed(5);
        Variable *x = ag_requires_grad_(ag_ones(AG_SHAPE(20), .dtype = AG_FLOAT64));
        Variable *y = ag_checkpoint(block, AG_LIST(x), &r, .use_reentrant = reentrant);
        OK(ag_rand(AG_SHAPE(3)));
        OK(ag_get_rng_state(before));
        OK(ag_backward(ag_sum(y)));
        OK(ag_get_rng_state(after));
        ck_assert_mem_eq(before, after, sizeof before);
        for (int i = 0; i < 20; i++) /* 0 where it was dropped, else 2 e for y and 4 e for the gradient */
            ck_assert_double_eq_tol(support_at(ag_grad(x), i), 2 * support_at(y, i), 1e-12);
    }
}
END_TEST

START_TEST(what_the_function_reads_from_elsewhere_gets_its_gradient_too)
{
    for (int reentrant = 0; reentrant < 2; reentrant++) {
        runs r = { .weight = LEAF(AG_SHAPE(1), 3) };
        Variable *x = LEAF(AG_SHAPE(1), 2);
        OK(ag_backward(ag_checkpoint(block, AG_LIST(x), &r, .use_reentrant = reentrant)));
        VALUES(ag_grad(r.weight), 2 * exp(2));
        VALUES(ag_grad(x), 9 * exp(2));
    }
}
END_TEST

START_TEST(derivatives_of_second_order_pass_through_a_checkpoint)
{
    runs r = { 0 };
    Variable *x = LEAF(AG_SHAPE(1), 2), *y = ag_checkpoint(block, AG_LIST(x), &r), *g;
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), &g, .create_graph = true));
    VALUES(g, 3 * exp(2));
    OK(ag_autograd_grad(AG_LIST(g), AG_LIST(x), &g));
    VALUES(g, 4 * exp(2));
}
END_TEST

static int nested(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n;
    y[0] = ag_checkpoint(block, AG_LIST(ag_sin(x[0])), user);
    return 1;
}
START_TEST(checkpoints_nest)
{
    runs r = { 0 };
    Variable *x = LEAF(AG_SHAPE(1), 2);
    double s = sin(2), c = cos(2);
    OK(ag_backward(ag_checkpoint(nested, AG_LIST(x), &r)));
    VALUES(ag_grad(x), (1 + s) * exp(s) * c);
}
END_TEST

START_TEST(a_second_run_that_is_another_is_noticed)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    static runs grows = { .grows = true }, fails = { .fails = true };
    REFUSED(ag_backward(ag_sum(ag_checkpoint(block, AG_LIST(x), &grows))),
            "A different number of tensors was saved during the original forward and recomputation. Number of tensors "
            "saved during forward: 3. Number of tensors saved during recomputation: 4.");
    REFUSED(ag_backward(ag_sum(ag_checkpoint(block, AG_LIST(x), &fails))), "mm");
    ck_assert(!ag_grad(x));
}
END_TEST

static int changes_shape(Variable *const *x, int n, Variable **y, void *user)
{
    runs *r = user;
    (void)n;
    y[0] = ag_exp(r->n++ ? ag_cat(AG_LIST(x[0], x[0])) : x[0]);
    return 1;
}
static int of_nothing(Variable *const *x, int n, Variable **y, void *user)
{
    (void)x, (void)n, (void)user;
    y[0] = ag_ones(AG_SHAPE(1));
    return 1;
}
START_TEST(a_second_run_of_other_shapes_is_noticed_unless_the_check_is_off)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *g;
    static runs r;
    REFUSED(ag_backward(ag_sum(ag_checkpoint(changes_shape, AG_LIST(x), &r))),
            "Recomputed values for the following tensors have different metadata than during the forward pass. tensor "
            "at position 0: saved metadata: shape [2], dtype float64; recomputed metadata: shape [4], dtype float64");
    REFUSED(ag_backward(ag_checkpoint(of_nothing, AG_LIST(x), .use_reentrant = true)),
            "none of output has requires_grad=True, this checkpoint() is not necessary");
    Variable *y = ag_checkpoint(block, AG_LIST(x), &r, .use_reentrant = true);
    REFUSED(ag_autograd_grad(AG_LIST(ag_sum(y)), AG_LIST(x), &g),
            "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad()");
    REFUSED(ag_backward(ag_sum(y), .inputs = AG_LIST(x)), "passing an `inputs` parameter to .backward().");
    REFUSED(ag_checkpoint(NULL, AG_LIST(x)), "checkpoint: the function is NULL");
    REFUSED(ag_checkpoint(block, AG_LIST(NULL, x)), "checkpoint: input 0 is NULL");
}
END_TEST

START_TEST(what_a_checkpoint_holds_is_freed_with_its_graph)
{
    for (int reentrant = 0; reentrant < 2; reentrant++) {
        runs r = { 0 };
        {
            AG_SCOPE;
            Variable *x = LEAF(AG_SHAPE(1), 2);
            OK(ag_checkpoint(block, AG_LIST(x), &r, count_freed, .use_reentrant = reentrant));
            ck_assert_int_eq(r.freed, 0);
        }
        ck_assert_int_eq(r.freed, 1);
        AG_NO_GRAD;
        OK(ag_checkpoint(block, AG_LIST(ag_ones(AG_SHAPE(1))), &r, count_freed, .use_reentrant = reentrant));
        ck_assert_int_eq(r.freed, 2);
    }
}
END_TEST

SUPPORT_MAIN("checkpoint", a_checkpointed_function_runs_again_once_for_a_backward_and_gives_the_same_gradients,
             a_checkpoint_saves_nothing_of_what_its_function_makes,
             the_second_run_draws_what_the_first_drew_and_leaves_the_generator_alone,
             what_the_function_reads_from_elsewhere_gets_its_gradient_too,
             derivatives_of_second_order_pass_through_a_checkpoint, checkpoints_nest,
             a_second_run_that_is_another_is_noticed, a_second_run_of_other_shapes_is_noticed_unless_the_check_is_off,
             what_a_checkpoint_holds_is_freed_with_its_graph)
