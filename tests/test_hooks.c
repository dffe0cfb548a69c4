/* test_hooks.c - functions that are called as gradients are computed, several roots, and backward to some inputs. */
#include "support.h"

/* ---- what hooks are registered with ---- */

typedef struct seen {
    int calls, freed;
    double factor; /* what a gradient is multiplied by; 0: it stays */
    double last;   /* its first element */
    bool grad_mode;
    char *order; /* where to write `mark`, if anywhere */
    char mark;
} seen;

static void note(seen *s, Variable *g)
{
    s->calls++;
    s->last = g ? support_at(g, 0) : NAN;
    s->grad_mode = ag_is_grad_enabled();
    if (s->order) s->order[strlen(s->order)] = s->mark;
}
static Variable *scale(Variable *g, void *user)
{
    seen *s = user;
    note(s, g);
    return s->factor ? ag_mul(g, ag_scalar(s->factor)) : NULL;
}
static bool leaf_seen(Variable *leaf, void *user)
{
    note(user, ag_grad(leaf));
    return true;
}
static bool node_pre(int n, Variable **g, void *user)
{
    seen *s = user;
    note(s, g[0]);
    ck_assert_int_ge(n, 1);
    if (s->factor) g[0] = ag_mul(g[0], ag_scalar(s->factor));
    return true;
}
static bool node_post(int n_in, Variable **gi, int n_out, Variable *const *go, void *user)
{
    seen *s = user;
    ck_assert(n_in >= 1 && n_out >= 1 && go[0]);
    note(s, gi[0]);
    if (s->factor) gi[0] = ag_mul(gi[0], ag_scalar(s->factor));
    return true;
}
static void count_freed(void *user) { ((seen *)user)->freed++; }

/* ---- hooks on Variables ---- */

START_TEST(a_hook_sees_the_gradient_and_may_replace_it)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, x);
    seen sees = { 0 }, doubles = { .factor = 2 };
    OK(ag_register_hook(y, scale, &sees));
    OK(ag_register_hook(y, scale, &doubles));
    OK(ag_backward(ag_mul(y, ag_scalar(5))));
    ck_assert_int_eq(sees.calls, 1);
    ck_assert_double_eq(sees.last, 5);
    VALUES(ag_grad(x), 60);
}
END_TEST

START_TEST(a_hook_on_a_leaf_sees_the_sum_of_all_contributions_once)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_add(ag_mul(x, x), ag_exp(x));
    seen s = { .factor = 10 };
    OK(ag_register_hook(x, scale, &s));
    OK(ag_backward(ag_sum(y)));
    ck_assert_int_eq(s.calls, 1);
    VALUES(ag_grad(x), 10 * (2 + exp(1)), 10 * (4 + exp(2)));
}
END_TEST

START_TEST(a_removed_hook_is_not_called_and_its_user_data_is_freed)
{
    Variable *x = LEAF(AG_SHAPE(1), 3);
    seen s = { .factor = 2 };
    ag_hook hook = ag_register_hook(x, scale, &s, count_freed);
    OK(hook);
    OK(ag_hook_remove(hook));
    ck_assert_int_eq(s.freed, 1);
    ck_assert(!ag_hook_remove(hook));
    ck_assert(!ag_hook_remove(0) && !ag_error());
    OK(ag_backward(ag_mul(x, x)));
    ck_assert_int_eq(s.calls, 0);
    VALUES(ag_grad(x), 6);
}
END_TEST

START_TEST(what_a_hook_was_registered_with_is_freed_when_its_variable_dies)
{
    seen s = { 0 };
    {
        AG_SCOPE;
        Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, x);
        OK(ag_register_hook(x, scale, &s, count_freed));
        OK(ag_register_hook(y, scale, &s, count_freed));
        ck_assert_int_eq(s.freed, 0);
    }
    ck_assert_int_eq(s.freed, 2);
}
END_TEST

START_TEST(a_hook_stays_with_the_value_it_was_registered_on_when_that_changes_in_place)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, ag_scalar(2));
    seen before = { 0 }, after = { 0 };
    OK(ag_register_hook(y, scale, &before));
    OK(ag_mul_(y, ag_scalar(7)));
    OK(ag_register_hook(y, scale, &after));
    OK(ag_backward(y));
    ck_assert_double_eq(before.last, 7);
    ck_assert_double_eq(after.last, 1);
}
END_TEST

START_TEST(retain_grad_keeps_what_the_hooks_have_made_of_the_gradient)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, ag_scalar(2));
    seen s = { .factor = 10 };
    OK(ag_retain_grad(y));
    OK(ag_register_hook(y, scale, &s));
    OK(ag_backward(y));
    VALUES(ag_grad(y), 10);
    VALUES(ag_grad(x), 20);
}
END_TEST

START_TEST(autograd_grad_gives_an_input_on_the_way_its_gradient_as_it_came_in_as_pytorch_does)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, ag_scalar(2)), *z = ag_mul(y, y), *g[2];
    seen sy = { .factor = 10 }, sx = { .factor = 100 };
    OK(ag_register_hook(y, scale, &sy));
    OK(ag_register_hook(x, scale, &sx));
    OK(ag_autograd_grad(AG_LIST(z), AG_LIST(x, y), g, .retain_graph = true));
    VALUES(g[0], 24000);
    VALUES(g[1], 12);
    OK(ag_autograd_grad(AG_LIST(z), AG_LIST(y), g, .retain_graph = true)); /* y ends the way: its hook runs first */
    VALUES(g[0], 120);
    OK(ag_autograd_grad(AG_LIST(z), AG_LIST(x), g));
    VALUES(g[0], 24000);
    ck_assert(!ag_grad(x));
}
END_TEST

START_TEST(hooks_run_in_grad_mode_only_for_create_graph)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, x);
    seen s = { 0 };
    OK(ag_register_hook(y, scale, &s));
    OK(ag_backward(y, .retain_graph = true));
    ck_assert(!s.grad_mode);
    Variable *g;
    s.factor = 2;
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), &g, .create_graph = true));
    ck_assert(s.grad_mode);
    OK(ag_autograd_grad(AG_LIST(g), AG_LIST(x), &g));
    VALUES(g, 4);
}
END_TEST

static Variable *of_another_shape(Variable *g, void *user)
{
    (void)user;
    return ag_cat(AG_LIST(g, g));
}
static Variable *of_another_type(Variable *g, void *user)
{
    (void)user;
    return ag_float(g);
}
static Variable *fails(Variable *g, void *user)
{
    (void)user;
    return ag_mm(g, g);
}

START_TEST(a_hook_that_is_wrong_or_fails_ends_the_walk_with_its_error)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y;
    y = ag_mul(x, x);
    OK(ag_register_hook(y, of_another_shape));
    REFUSED(ag_backward(y), "hook has changed the size of value");
    y = ag_mul(x, x);
    OK(ag_register_hook(y, of_another_type));
    REFUSED(ag_backward(y), "hook has changed the type of value");
    y = ag_mul(x, x);
    OK(ag_register_hook(y, fails));
    REFUSED(ag_backward(y), "mm");
    ck_assert(!ag_grad(x));
    OK(ag_backward(ag_mul(x, x)));
}
END_TEST

START_TEST(a_hook_can_only_be_registered_where_there_will_be_a_gradient)
{
    Variable *x = LEAF(AG_SHAPE(1), 3);
    seen s = { 0 };
    REFUSED(ag_register_hook(ag_ones(AG_SHAPE(2)), scale, &s),
            "cannot register a hook on a tensor that doesn't require gradient");
    REFUSED(ag_register_post_accumulate_grad_hook(ag_mul(x, x), leaf_seen, &s),
            "post accumulate grad hooks cannot be registered on non-leaf tensors");
    REFUSED(ag_register_post_accumulate_grad_hook(ag_ones(AG_SHAPE(2)), leaf_seen, &s),
            "cannot register a hook on a tensor that doesn't require gradient");
    REFUSED(ag_register_hook(x, NULL), "register_hook: the hook is NULL");
    REFUSED(ag_register_hook(NULL, scale), "register_hook: input is NULL");
    REFUSED(ag_node_register_hook(ag_grad_fn(x), node_post), "register_hook: the node is NULL");
    REFUSED(ag_node_register_prehook(NULL, node_pre), "register_prehook: the node is NULL");
    REFUSED(ag_register_multi_grad_hook(AG_LIST(x, ag_ones(AG_SHAPE(1))), NULL), "the hook is NULL");
}
END_TEST

/* ---- hooks on leaves and nodes ---- */

START_TEST(a_post_accumulate_hook_is_called_once_when_the_leafs_grad_is_complete)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_add(ag_mul(x, x), ag_mul(x, ag_scalar(4)));
    seen s = { 0 };
    OK(ag_register_post_accumulate_grad_hook(x, leaf_seen, &s));
    OK(ag_backward(y, .retain_graph = true));
    ck_assert_int_eq(s.calls, 1);
    ck_assert_double_eq(s.last, 10);
    ck_assert(!s.grad_mode);
    OK(ag_backward(y));
    ck_assert_int_eq(s.calls, 2);
    ck_assert_double_eq(s.last, 20);
}
END_TEST

static bool step_and_drop(Variable *leaf, void *user)
{
    (void)user;
    return ag_add_(leaf, ag_grad(leaf), .alpha = -0.5) && ag_set_grad(leaf, AG_NONE);
}
START_TEST(a_post_accumulate_hook_may_step_and_drop_the_gradient_at_once)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    OK(ag_register_post_accumulate_grad_hook(x, step_and_drop));
    OK(ag_backward(ag_sum(ag_mul(x, x))));
    ck_assert(!ag_grad(x));
    VALUES(x, 0, 0);
}
END_TEST

START_TEST(node_hooks_see_and_replace_what_goes_in_and_comes_out)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, ag_scalar(2));
    seen pre = { .factor = 5 }, post = { .factor = 7 };
    OK(ag_node_register_prehook(ag_grad_fn(y), node_pre, &pre));
    ag_hook hook = ag_node_register_hook(ag_grad_fn(y), node_post, &post);
    OK(hook);
    OK(ag_backward(y, .retain_graph = true));
    ck_assert_double_eq(pre.last, 1);
    ck_assert_double_eq(post.last, 10);
    VALUES(ag_grad(x), 70);
    OK(ag_hook_remove(hook));
    OK(ag_backward(y));
    VALUES(ag_grad(x), 80);
}
END_TEST

START_TEST(hooks_run_in_the_order_variable_pre_post_whatever_the_order_of_registering)
{
    char order[8] = "";
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, ag_scalar(2));
    seen a = { .order = order, .mark = 'a' }, b = { .order = order, .mark = 'b' };
    seen pre = { .order = order, .mark = '<' }, post = { .order = order, .mark = '>' };
    OK(ag_node_register_hook(ag_grad_fn(y), node_post, &post));
    OK(ag_register_hook(y, scale, &a));
    OK(ag_node_register_prehook(ag_grad_fn(y), node_pre, &pre));
    OK(ag_register_hook(y, scale, &b));
    OK(ag_backward(y));
    ck_assert_str_eq(order, "ab<>");
}
END_TEST

typedef struct both {
    int calls, n_there;
    double sum;
} both;
static bool all_there(int n, Variable *const *grads, void *user)
{
    both *b = user;
    b->calls++;
    b->n_there = 0;
    b->sum = 0;
    for (int i = 0; i < n; i++)
        if (grads[i]) b->n_there++, b->sum += support_at(grads[i], 0);
    return true;
}
START_TEST(a_multi_grad_hook_fires_once_when_all_gradients_that_will_come_have_come)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *w = LEAF(AG_SHAPE(1), 2), *apart = LEAF(AG_SHAPE(1), 1);
    Variable *y = ag_mul(x, w), *z = ag_mul(y, x);
    both all = { 0 }, any = { 0 };
    ag_hook hook = ag_register_multi_grad_hook(AG_LIST(x, y, w, apart), all_there, &all);
    OK(hook);
    OK(ag_register_multi_grad_hook(AG_LIST(x, y, w), all_there, &any, .any = true));
    OK(ag_backward(z, .retain_graph = true));
    ck_assert_int_eq(all.calls, 1);
    ck_assert_int_eq(all.n_there, 3);
    ck_assert_double_eq(all.sum, 12 + 3 + 9); /* d/dx, d/dy, d/dw */
    ck_assert_int_eq(any.calls, 1);
    ck_assert_int_eq(any.n_there, 1);
    OK(ag_backward(z, .inputs = AG_LIST(w), .retain_graph = true)); /* x is not reached */
    ck_assert_int_eq(all.calls, 2);
    ck_assert_int_eq(all.n_there, 2);
    OK(ag_hook_remove(hook));
    OK(ag_backward(z));
    ck_assert_int_eq(all.calls, 2);
    ck_assert_int_eq(any.calls, 3);
}
END_TEST

/* ---- walks inside walks ---- */

typedef struct inner {
    Variable *x, *y;
    bool ok;
} inner;
static Variable *walks(Variable *g, void *user)
{
    inner *i = user;
    (void)g;
    i->ok = ag_backward(i->y, .retain_graph = true);
    return NULL;
}
START_TEST(a_hook_may_begin_a_backward_of_its_own)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *a = LEAF(AG_SHAPE(1), 5), *y = ag_mul(x, x);
    inner i = { .y = ag_mul(a, a) };
    OK(ag_register_hook(y, walks, &i));
    OK(ag_backward(y));
    ck_assert(i.ok);
    VALUES(ag_grad(a), 10);
    VALUES(ag_grad(x), 6);
}
END_TEST

START_TEST(a_hook_may_walk_the_graph_that_is_being_walked)
{
    /* y waits with a gradient in the outer walk while the inner walk passes through it */
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_exp(x), *u = ag_mul(y, ag_scalar(2)), *v = ag_mul(u, u);
    Variable *root = ag_add(v, y);
    inner i = { .y = v };
    OK(ag_register_hook(u, walks, &i));
    i.y = ag_mul(y, y);
    OK(ag_backward(root, .retain_graph = true));
    ck_assert(i.ok);
    VALUES(ag_grad(x), 8 * exp(6) + exp(3) + 2 * exp(6));
}
END_TEST

/* A sanitizer's frames and threads are much larger. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { DEPTH = 200 };
#else
enum { DEPTH = 10000 };
#endif
typedef struct deep {
    int depth;
    Variable *x;
} deep;
static Variable *walks_deeper(Variable *g, void *user)
{
    deep *d = user;
    (void)g;
    if (!d->depth--) return NULL;
    AG_SCOPE;
    AG_ENABLE_GRAD;
    Variable *y = ag_mul(d->x, ag_scalar(1));
    if (ag_register_hook(y, walks_deeper, d)) ag_backward(y);
    return NULL;
}
START_TEST(walks_may_nest_thousands_deep)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, ag_scalar(1));
    deep d = { DEPTH, x };
    OK(ag_register_hook(y, walks_deeper, &d));
    OK(ag_backward(y));
    VALUES(ag_grad(x), DEPTH + 1);
}
END_TEST

/* ---- several roots; backward to some inputs ---- */

START_TEST(backward_of_several_roots_is_that_of_their_sum)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *z = ag_sum(ag_exp(x));
    Variable *g = ag_tensor(((double[]){ 10, 100 }), AG_SHAPE(2));
    OK(ag_autograd_backward(AG_LIST(y, z), AG_LIST(g, AG_NONE)));
    VALUES(ag_grad(x), 20 + exp(1), 400 + exp(2));
    Variable *one = LEAF(AG_SHAPE(1), 3), *t = ag_mul(one, ag_scalar(2));
    OK(ag_autograd_backward(AG_LIST(t, t, one)));
    VALUES(ag_grad(one), 5);
    REFUSED(ag_autograd_backward(AG_LIST(y, z), AG_LIST(g)), "got 2 tensors and 1 gradients");
    REFUSED(ag_autograd_backward(AG_LIST(ag_mul(x, x), ag_ones(AG_SHAPE(1))), AG_LIST(g, AG_NONE)),
            "element 1 of tensors does not require grad and does not have a grad_fn");
}
END_TEST

START_TEST(backward_with_inputs_adds_into_those_alone)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *w = LEAF(AG_SHAPE(1), 2), *y = ag_mul(x, w), *z = ag_mul(y, y);
    OK(ag_backward(z, .inputs = AG_LIST(w), .retain_graph = true));
    VALUES(ag_grad(w), 36);
    ck_assert(!ag_grad(x));
    OK(ag_backward(z, .inputs = AG_LIST(y), .retain_graph = true)); /* no leaf: it retains from now on */
    VALUES(ag_grad(y), 12);
    ck_assert(ag_retains_grad(y) && !ag_grad(x));
    VALUES(ag_grad(w), 36);
    OK(ag_backward(z, .inputs = AG_LIST(w, w)));
    VALUES(ag_grad(w), 72);
    REFUSED(ag_backward(z, .inputs = { 0, NULL }), "`inputs` argument to `backward()` cannot be empty.");
    REFUSED(ag_backward(z, .inputs = AG_LIST(ag_ones(AG_SHAPE(1)))),
            "can't retain_grad on Tensor that has requires_grad=False");
}
END_TEST

SUPPORT_MAIN("hooks", a_hook_sees_the_gradient_and_may_replace_it,
             a_hook_on_a_leaf_sees_the_sum_of_all_contributions_once,
             a_removed_hook_is_not_called_and_its_user_data_is_freed,
             what_a_hook_was_registered_with_is_freed_when_its_variable_dies,
             a_hook_stays_with_the_value_it_was_registered_on_when_that_changes_in_place,
             retain_grad_keeps_what_the_hooks_have_made_of_the_gradient,
             autograd_grad_gives_an_input_on_the_way_its_gradient_as_it_came_in_as_pytorch_does,
             hooks_run_in_grad_mode_only_for_create_graph, a_hook_that_is_wrong_or_fails_ends_the_walk_with_its_error,
             a_hook_can_only_be_registered_where_there_will_be_a_gradient,
             a_post_accumulate_hook_is_called_once_when_the_leafs_grad_is_complete,
             a_post_accumulate_hook_may_step_and_drop_the_gradient_at_once,
             node_hooks_see_and_replace_what_goes_in_and_comes_out,
             hooks_run_in_the_order_variable_pre_post_whatever_the_order_of_registering,
             a_multi_grad_hook_fires_once_when_all_gradients_that_will_come_have_come,
             a_hook_may_begin_a_backward_of_its_own, a_hook_may_walk_the_graph_that_is_being_walked,
             walks_may_nest_thousands_deep, backward_of_several_roots_is_that_of_their_sum,
             backward_with_inputs_adds_into_those_alone)
