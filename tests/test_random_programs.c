/* test_random_programs.c - gradients of programs nobody thought of. A seed gives a program: ops on what there is so
 * far, some of it used often, viewed, broadcast, changed in place or cut off from the graph. What backward says is held
 * against finite differences, against autograd.grad, and against itself. AG_TEST_LONG runs many more. */
#include "support.h"

#include <argent/gradcheck.h>

#include <stdio.h>

enum { LEAVES = 3, STEPS = 14, VALUES = LEAVES + STEPS };

typedef struct program {
    uint64_t seed, state;
    bool in_place;
    Variable *value[VALUES]; /* all broadcast to (2, 3) */
    int n;
} program;

static uint32_t draw(program *p, uint32_t below)
{
    p->state = p->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(p->state >> 33) % below;
}
static Variable *any(program *p) { return p->value[draw(p, (uint32_t)p->n)]; }
static Variable *whole(Variable *x) { return ag_expand(x, AG_SHAPE(2, 3)); }

/* One more value. */
static Variable *step(program *p)
{
    Variable *x = any(p), *y = any(p);
    switch (draw(p, p->in_place ? 23 : 18)) {
    case 0:
        return ag_add(x, y);
    case 1:
        return ag_sub(x, y, .alpha = 2);
    case 2:
    case 3:
        return ag_mul(x, y);
    case 4:
        return ag_sin(x);
    case 5:
        return ag_tanh(x);
    case 6:
        return ag_add(x, x);
    case 7:
        return ag_sum(whole(x), .dim = AG_DIMS(draw(p, 2)), .keepdim = true);
    case 8:
        return ag_mean(x);
    case 9:
        return whole(x);
    case 10:
        return ag_transpose(ag_mm(ag_t(whole(x)), ag_tanh(ag_slice(whole(y), 1, 0, 2))), 0, 1);
    case 11:
        return ag_unsqueeze(ag_select(whole(x), 0, draw(p, 2)), 0);
    case 12:
        return ag_slice(ag_cat(AG_LIST(whole(x), whole(y), whole(x)), 0), 0, 1, 3);
    case 13:
        return ag_select(ag_stack(AG_LIST(whole(y), whole(x)), 1), 1, draw(p, 2));
    case 14:
        return ag_div(x, ag_add(ag_square(y), ag_scalar(1)));
    case 15:
        return ag_where(ag_gt(whole(x), ag_scalar(0.1)), whole(x), ag_mul(whole(x), ag_scalar(0.1)));
    case 16:
        return ag_view(ag_clone(whole(x)), AG_SHAPE(2, 3));
    case 17:
        return ag_addcmul(whole(x), y, y, .value = 0.5);
    case 18:
        return ag_add_(ag_clone(whole(x)), y);
    case 19:
        return ag_mul_(ag_clone(whole(x)), y);
    case 20:
        return ag_tanh_(ag_mul(whole(x), ag_scalar(0.5)));
    default: { /* somebody else's value, if it may be changed: what reads its old numbers will say so */
        if (!ag_grad_fn(x) || ag_is_view(x) || ag_dim(x) != 2 || ag_size(x, 0) != 2 || ag_size(x, 1) != 3)
            return ag_neg(x);
        ag_add_(x, ag_mul(whole(y), ag_scalar(0.25)));
        return ag_mul(x, ag_scalar(1));
    }
    }
}

static int run(Variable *const *x, int n, Variable **y, void *user)
{
    program *p = user;
    p->state = p->seed * 2654435761u + 12345;
    p->n = n;
    for (int i = 0; i < n; i++) p->value[i] = x[i];
    for (int i = 0; i < STEPS; i++) {
        Variable *v = step(p);
        if (!v) return -1;
        if (ag_dim(v) != 2 || ag_size(v, 1) > 3 || ag_size(v, 1) == 2)
            v = ag_mean(v, .dim = AG_ALL); /* (2, 2): a number */
        p->value[p->n++] = v;
    }
    Variable *sum = ag_mul(ag_sum(whole(p->value[p->n - 1])), ag_scalar(1));
    for (int i = 0; i < p->n; i += 2) sum = ag_add(sum, ag_mul(ag_sum(whole(p->value[i])), ag_scalar(1.0 / (i + 2))));
    y[0] = sum;
    return 1;
}

static void leaves(program *p, Variable **x)
{
    ag_manual_seed(p->seed);
    x[0] = ag_requires_grad_(support_random(AG_SHAPE(2, 3), -1, 1));
    x[1] = ag_requires_grad_(support_random(AG_SHAPE(1, 3), -1, 1));
    x[2] = ag_requires_grad_(support_random(AG_SHAPE(2, 1), -1, 1));
}

/* Whether the program can be differentiated: one that reads what it has changed, or a view from before, cannot, and
 * says so. */
static bool is_differentiable(program *p, Variable *const *x)
{
    Variable *y, *g[LEAVES];
    bool ok = run(x, LEAVES, &y, p) == 1 &&
              ag_autograd_grad(AG_LIST(y), ag_list_from(LEAVES, (Variable **)x), g, .allow_unused = true);
    bool refused = p->in_place && ag_error() &&
                   (strstr(ag_error(), "modified by an inplace operation") || ag_error_code() == AG_ENOTSUP);
    ck_assert_msg(ok || refused, "program %llu: %s", (unsigned long long)p->seed, ag_error());
    ag_clear_error();
    return ok;
}

static void check(uint64_t seed, bool in_place)
{
    AG_SCOPE;
    program p = { .seed = seed, .in_place = in_place };
    Variable *x[LEAVES], *y, *g[VALUES];
    leaves(&p, x);
    if (!is_differentiable(&p, x)) return;
    ag_gradcheck_result found;
    bool ok = ag_gradcheck(run, ag_list_from(LEAVES, x), &p, .result = &found);
    ck_assert_msg(ok && !ag_error(), "program %llu: %s", (unsigned long long)seed,
                  ag_error() ? ag_error() : found.message);
    if (seed % 4 == 0) {
        ok = ag_gradgradcheck(run, ag_list_from(LEAVES, x), &p, .result = &found);
        ck_assert_msg(ok && !ag_error(), "program %llu, second order: %s", (unsigned long long)seed,
                      ag_error() ? ag_error() : found.message);
    }
    /* Every value's gradient: kept on the way, and asked for. */
    OK(run(x, LEAVES, &y, &p) == 1);
    Variable *asked[VALUES];
    int n = 0;
    for (int i = 0; i < p.n; i++)
        if (ag_requires_grad(p.value[i]) && (i < LEAVES || !in_place)) asked[n++] = p.value[i];
    OK(ag_autograd_grad(AG_LIST(y), ag_list_from(n, asked), g, .retain_graph = true, .materialize_grads = true));
    for (int i = 0; i < n; i++) OK(ag_retain_grad(asked[i]));
    OK(ag_backward(y, .retain_graph = true));
    for (int i = 0; i < n; i++) {
        Variable *kept = ag_grad(asked[i]) ? ag_clone(ag_grad(asked[i])) : ag_zeros_like(asked[i]);
        ck_assert_msg(ag_item(ag_amax(ag_abs(ag_sub(kept, g[i])))) < 1e-12, "program %llu: gradient %d",
                      (unsigned long long)seed, i);
        g[i] = kept;
    }
    OK(ag_backward(y)); /* adds the same once more */
    for (int i = 0; i < n; i++)
        if (ag_grad(asked[i])) CLOSE(ag_grad(asked[i]), ag_mul(g[i], ag_scalar(2)), 1e-12);
}

static void check_many(bool in_place)
{
    uint64_t n = getenv("AG_TEST_LONG") ? 20000 : 300;
    for (uint64_t seed = 1; seed <= n; seed++) check(seed, in_place);
}
START_TEST(gradients_of_random_programs_are_those_of_finite_differences_and_of_every_other_way_to_ask)
{
    check_many(false);
}
END_TEST
START_TEST(with_changes_in_place_they_are_right_or_refused) { check_many(true); }
END_TEST

SUPPORT_MAIN("random programs",
             gradients_of_random_programs_are_those_of_finite_differences_and_of_every_other_way_to_ask,
             with_changes_in_place_they_are_right_or_refused)
