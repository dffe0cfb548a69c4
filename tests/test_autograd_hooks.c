/* test_autograd_hooks.c - what PyTorch's test_autograd.py asserts of hooks and of retain_grad (docs/test-autograd.md).
 */
#include "support.h"

#define FLOATS(...) ag_tensor(((double[]){ __VA_ARGS__ }), AG_SHAPE(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)))

/* What has happened: a mark each, in order. */
static char events[64];
static void begin(void)
{
    support_begin();
    events[0] = 0;
}
typedef struct tag {
    char mark;
    double factor; /* of the gradient; 0: it stays */
    double seen;   /* its first element */
} tag;
static Variable *note(tag *t, Variable *g)
{
    size_t n = strlen(events);
    events[n] = t->mark;
    events[n + 1] = 0;
    t->seen = g ? support_at(g, 0) : NAN;
    return t->factor && g ? ag_mul(g, ag_scalar(t->factor)) : NULL;
}
static Variable *on_grad(Variable *g, void *user) { return note(user, g); }
static bool on_leaf(Variable *leaf, void *user)
{
    note(user, ag_grad(leaf));
    return true;
}
static bool on_node_in(int n, Variable **g, void *user)
{
    (void)n;
    Variable *other = note(user, g[0]);
    if (other) g[0] = other;
    return true;
}
static bool on_node_out(int n_in, Variable **gi, int n_out, Variable *const *go, void *user)
{
    (void)n_in, (void)n_out, (void)go;
    Variable *other = note(user, gi[0]);
    if (other) gi[0] = other;
    return true;
}

/* ---- which hooks a walk calls ---- */

/* c = 2 b, b = 2 a, with every kind of hook on each: A B C on Variables, b c before and y z after the nodes of b, c. */
typedef struct chain {
    Variable *a, *b, *c;
    tag on[7];
} chain;
static void chain_make(chain *h)
{
    static const char marks[] = "ABCbcyz";
    for (int i = 0; i < 7; i++) h->on[i] = (tag){ .mark = marks[i] };
    h->a = LEAF(AG_SHAPE(1), 1);
    h->b = ag_mul(h->a, ag_scalar(2));
    h->c = ag_mul(h->b, ag_scalar(2));
    Variable *all[] = { h->a, h->b, h->c };
    for (int i = 0; i < 3; i++) OK(ag_register_hook(all[i], on_grad, &h->on[i]));
    for (int i = 1; i < 3; i++) OK(ag_node_register_prehook(ag_grad_fn(all[i]), on_node_in, &h->on[2 + i]));
    for (int i = 1; i < 3; i++) OK(ag_node_register_hook(ag_grad_fn(all[i]), on_node_out, &h->on[4 + i]));
}
static void chain_walk(const chain *h, const char *inputs, bool grad)
{
    Variable *in[3], *g[3];
    int n = 0;
    for (const char *at = inputs; *at; at++) in[n++] = *at == 'a' ? h->a : *at == 'b' ? h->b : h->c;
    if (!n)
        OK(ag_backward(h->c));
    else if (grad)
        OK(ag_autograd_grad(AG_LIST(h->c), ag_list_from(n, in), g));
    else
        OK(ag_backward(h->c, .inputs = ag_list_from(n, in)));
}
START_TEST(hooks_are_called_for_what_a_walk_computes_and_no_more)
{
    static const struct {
        const char *inputs;
        bool grad;
        const char *events;
    } rows[] = {
        { "", false, "CczBbyA" },  { "a", false, "CczBbyA" }, { "ab", false, "CczBbyA" },
        { "ab", true, "CczBbyA" }, { "b", true, "CczB" }, /* b's gradient is captured: its node does not run */
        { "c", true, "C" },        { "b", false, "CczBby" },  { "c", false, "Ccz" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AG_SCOPE;
        chain h;
        chain_make(&h);
        events[0] = 0;
        chain_walk(&h, rows[i].inputs, rows[i].grad);
        ck_assert_msg(strcmp(events, rows[i].events) == 0, "row %zu: %s", i, events);
    }
}
END_TEST

START_TEST(hooks_of_several_kinds_run_in_one_order_whenever_they_were_registered)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, ag_scalar(2));
    tag on_y = { .mark = 'y', .factor = 10 }, pre = { .mark = '<', .factor = 10 }, post = { .mark = '>', .factor = 10 },
        accumulated = { .mark = '+' }, on_x = { .mark = 'x', .factor = 10 }, again = { .mark = 'Y' };
    OK(ag_register_post_accumulate_grad_hook(x, on_leaf, &accumulated));
    OK(ag_node_register_hook(ag_grad_fn(y), on_node_out, &post));
    OK(ag_node_register_prehook(ag_grad_fn(y), on_node_in, &pre));
    OK(ag_register_hook(x, on_grad, &on_x));
    OK(ag_register_hook(y, on_grad, &on_y));
    OK(ag_register_hook(y, on_grad, &again));
    OK(ag_backward(y));
    ck_assert_str_eq(events, "yY<>x+");
    ck_assert(again.seen == 10 && post.seen == 200 && on_x.seen == 2000 && accumulated.seen == 20000);
    VALUES(ag_grad(x), 20000);
}
END_TEST

START_TEST(several_post_accumulate_hooks_run_in_order_for_each_leaf_and_can_be_removed)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *w = LEAF(AG_SHAPE(1), 4);
    tag first = { .mark = '1' }, second = { .mark = '2' }, other = { .mark = 'w' };
    ag_hook handle = ag_register_post_accumulate_grad_hook(x, on_leaf, &first);
    OK(handle && ag_register_post_accumulate_grad_hook(x, on_leaf, &second));
    OK(ag_backward(ag_mul(x, w)));
    ck_assert_str_eq(events, "12");
    OK(ag_register_post_accumulate_grad_hook(w, on_leaf, &other));
    OK(ag_hook_remove(handle));
    events[0] = 0;
    OK(ag_backward(x)); /* a leaf as the root */
    ck_assert_str_eq(events, "2");
    OK(ag_backward(ag_exp(w), .inputs = AG_LIST(w)));
    ck_assert_str_eq(events, "2w");
    ck_assert_double_eq(other.seen, 3 + exp(4));
}
END_TEST

/* ---- hooks and changes in place ---- */

/* y's hooks, registered before and after it changes by way of `by`: itself, or a view of it. */
static void check_hooks_of_a_change(Variable *x, Variable *y, Variable *by)
{
    tag before = { .mark = 'b', .factor = 2 }, after = { .mark = 'a', .factor = 2 };
    OK(ag_register_hook(y, on_grad, &before));
    OK(ag_mul_(by, ag_scalar(2)));
    OK(ag_register_hook(y, on_grad, &after));
    OK(ag_backward(y));
    ck_assert_str_eq(events, "ab");
    ck_assert(after.seen == 1 && before.seen == 4);
    VALUES(ag_grad(x), 8);
}

START_TEST(a_hook_stays_with_the_value_it_saw_and_a_later_one_sees_the_new_value)
{
    Variable *x = LEAF(AG_SHAPE(1), 1), *y = ag_clone(x);
    check_hooks_of_a_change(x, y, y);
}
END_TEST

START_TEST(so_it_does_where_the_value_changes_through_a_view)
{
    Variable *x = LEAF(AG_SHAPE(1), 1), *y = ag_clone(x);
    check_hooks_of_a_change(x, y, ag_view(y, AG_SHAPE(1)));
}
END_TEST

START_TEST(retain_grad_goes_on_to_the_newest_value)
{
    Variable *x = LEAF(AG_SHAPE(1), 1), *y = ag_clone(x);
    OK(ag_retain_grad(y));
    OK(ag_mul_(y, ag_scalar(2)));
    OK(ag_backward(y));
    VALUES(ag_grad(y), 1); /* of y as it is, not as it was (2) */
    VALUES(ag_grad(x), 2);
    Variable *z = ag_clone(x);
    OK(ag_retain_grad(z));
    OK(ag_mul_(ag_view(z, AG_SHAPE(1)), ag_scalar(2))); /* through a view */
    OK(ag_mul_(z, ag_scalar(2)));
    OK(ag_backward(z));
    VALUES(ag_grad(z), 1);
    VALUES(ag_grad(x), 6);
}
END_TEST

START_TEST(retained_gradients_add_up_and_hooks_registered_later_are_seen_in_them)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *z = ag_sum(ag_mul(y, ag_scalar(2)));
    OK(ag_retain_grad(y) && ag_retain_grad(y)); /* twice is once */
    OK(ag_backward(z, .retain_graph = true));
    VALUES(ag_grad(y), 2, 2);
    tag triples = { .mark = '3', .factor = 3 };
    OK(ag_register_hook(y, on_grad, &triples));
    OK(ag_backward(z, .retain_graph = true));
    VALUES(ag_grad(y), 8, 8);
    OK(ag_set_grad(y, AG_NONE));
    OK(ag_backward(z));
    VALUES(ag_grad(y), 6, 6);
}
END_TEST

static bool two_of_one(ag_context *ctx, ag_list in, Variable **out)
{
    (void)ctx;
    out[0] = ag_mul(in.at[0], ag_scalar(2));
    return (out[1] = ag_mul(in.at[0], ag_scalar(3)));
}
static bool two_of_one_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    (void)ctx;
    return (grad[0] = ag_add(ag_mul(g[0], ag_scalar(2)), ag_mul(g[1], ag_scalar(3))));
}
START_TEST(a_change_of_one_output_leaves_the_hooks_and_retained_gradients_of_the_others_alone)
{
    static const ag_function two = {
        .name = "Two", .forward = two_of_one, .backward = two_of_one_backward, .n_outputs = 2
    };
    Variable *x = LEAF(AG_SHAPE(1), 1);
    List out = ag_function_apply_list(&two, AG_LIST(x));
    tag first = { .mark = '0' }, second = { .mark = '1' }, changed = { .mark = '2' };
    OK(ag_register_hook(out.at[0], on_grad, &first) && ag_register_hook(out.at[1], on_grad, &second));
    OK(ag_retain_grad(out.at[0]) && ag_retain_grad(out.at[1]));
    OK(ag_mul_(out.at[0], ag_scalar(2)));
    OK(ag_register_hook(out.at[0], on_grad, &changed));
    OK(ag_backward(ag_add(out.at[0], ag_mul(out.at[1], ag_scalar(5)))));
    ck_assert(strlen(events) == 3 && first.seen == 2 && second.seen == 5 && changed.seen == 1);
    VALUES(ag_grad(out.at[0]), 1);
    VALUES(ag_grad(out.at[1]), 5);
    VALUES(ag_grad(x), 2 * 2 + 5 * 3);
}
END_TEST

/* ---- what a hook may do ---- */

typedef struct own {
    ag_hook handle;
    Variable *leaf;
} own;
static Variable *removes_itself_and_walks(Variable *g, void *user)
{
    own *o = user;
    if (!ag_hook_remove(o->handle)) return NULL;
    AG_ENABLE_GRAD;
    ag_backward(ag_mul(o->leaf, ag_scalar(3)));
    return ag_mul(g, ag_scalar(2));
}
START_TEST(a_hook_may_remove_itself_and_walk_back_from_elsewhere)
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *y = ag_mul(x, x);
    own o = { .leaf = LEAF(AG_SHAPE(1), 5) };
    o.handle = ag_register_hook(y, removes_itself_and_walks, &o);
    OK(ag_backward(y, .retain_graph = true));
    VALUES(ag_grad(x), 8);
    VALUES(ag_grad(o.leaf), 3);
    OK(ag_backward(y));
    VALUES(ag_grad(x), 12);
    VALUES(ag_grad(o.leaf), 3);
}
END_TEST

static Variable *registers_another(Variable *g, void *user)
{
    (void)g;
    static tag other = { .mark = 'n', .factor = 10 };
    return ag_register_hook(user, on_grad, &other), NULL;
}
START_TEST(a_hook_that_is_registered_during_a_walk_counts_from_the_next_one)
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *y = ag_mul(x, x), *z = ag_mul(y, ag_scalar(1));
    ag_hook handle = ag_register_hook(z, registers_another, y);
    OK(handle);
    OK(ag_backward(z, .retain_graph = true)); /* y's gradient is still to come: its hook is called */
    ck_assert_str_eq(events, "n");
    OK(ag_hook_remove(handle));
    OK(ag_backward(z));
    ck_assert_str_eq(events, "nn");
    VALUES(ag_grad(x), 80);
}
END_TEST

static Variable *goes_wrong(Variable *g, void *user)
{
    (void)user;
    return ag_add(g, ag_zeros(AG_SHAPE(7, 3)));
}
START_TEST(an_error_in_a_hook_ends_the_walk_and_the_graph_can_be_walked_again)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x);
    ag_hook handle = ag_register_hook(y, goes_wrong);
    REFUSED(ag_backward(ag_sum(y), .retain_graph = true),
            "The size of tensor a (2) must match the size of tensor b (3)");
    ck_assert_ptr_null(ag_grad(x));
    OK(ag_hook_remove(handle));
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 2, 4);
}
END_TEST

static Variable *looks(Module *m, Variable *grad_input, Variable *grad_output, void *user)
{
    (void)m, (void)grad_output;
    note(user, grad_input);
    return NULL;
}
START_TEST(a_hooked_module_and_create_graph_leave_no_cycle_behind)
{
    tag t = { .mark = 'm' };
    Module *net = ag_nn_sequential(ag_nn_linear(2, 2, .dtype = AG_FLOAT64), ag_nn_tanh());
    OK(ag_module_register_full_backward_hook(net, looks, &t));
    Variable *x = LEAF(AG_SHAPE(1, 2), 1, 2);
    for (int i = 0; i < 2; i++) {
        AG_SCOPE;
        OK(ag_backward(ag_sum(ag_forward(net, x)), .create_graph = true));
        ck_assert(ag_requires_grad(ag_grad(x)));
        OK(ag_zero_grad(net) && ag_set_grad(x, AG_NONE));
        OK(ag_backward(ag_sum(ag_forward(net, x)), .create_graph = true));
    }
    ck_assert_str_eq(events, "mmmm");
    ag_module_free(net);
} /* support_end finds nothing alive */
END_TEST

/* ---- hooks on what has several outputs, or gets no gradient ---- */

static bool hears_of_all(int n, Variable **g, void *user)
{
    double *seen = user;
    ck_assert_int_eq(n, 3);
    for (int i = 0; i < n; i++) seen[i] = g[i] ? support_at(g[i], 0) : -1;
    return true;
}
START_TEST(a_prehook_of_a_node_with_several_outputs_hears_of_those_that_have_a_gradient)
{
    Variable *x = LEAF(AG_SHAPE(3), 1, 2, 3);
    List rows = ag_unbind(x);
    double seen[3];
    tag on_first = { .mark = '0' }, on_last = { .mark = '2', .factor = 10 };
    OK(ag_node_register_prehook(ag_grad_fn(rows.at[0]), hears_of_all, seen));
    OK(ag_register_hook(rows.at[0], on_grad, &on_first));
    OK(ag_register_hook(rows.at[2], on_grad, &on_last));
    OK(ag_backward(ag_mul(rows.at[2], ag_scalar(4))));
    ck_assert_str_eq(events, "2");
    ck_assert(seen[0] == -1 && seen[1] == -1 && seen[2] == 40);
    VALUES(ag_grad(x), 0, 0, 40);
}
END_TEST

static bool counts(int n, Variable *const *grads, void *user)
{
    for (int i = 0; i < n; i++) *(double *)user += grads[i] ? support_at(grads[i], 0) : 0;
    return true;
}
START_TEST(a_multi_grad_hook_may_hear_of_one_variable_twice_and_of_none_without_history)
{
    Variable *x = LEAF(AG_SHAPE(1), 2);
    double sum = 0;
    OK(ag_register_multi_grad_hook(AG_LIST(x, x), counts, &sum));
    OK(ag_backward(ag_mul(x, x)));
    ck_assert_double_eq(sum, 8);
    REFUSED(ag_register_multi_grad_hook(AG_LIST(x, FLOATS(1)), counts, &sum), "grad");
}
END_TEST

int main(void)
{
    const TTest *all[] = { hooks_are_called_for_what_a_walk_computes_and_no_more,
                           hooks_of_several_kinds_run_in_one_order_whenever_they_were_registered,
                           several_post_accumulate_hooks_run_in_order_for_each_leaf_and_can_be_removed,
                           a_hook_stays_with_the_value_it_saw_and_a_later_one_sees_the_new_value,
                           so_it_does_where_the_value_changes_through_a_view,
                           retain_grad_goes_on_to_the_newest_value,
                           retained_gradients_add_up_and_hooks_registered_later_are_seen_in_them,
                           a_change_of_one_output_leaves_the_hooks_and_retained_gradients_of_the_others_alone,
                           a_hook_may_remove_itself_and_walk_back_from_elsewhere,
                           a_hook_that_is_registered_during_a_walk_counts_from_the_next_one,
                           an_error_in_a_hook_ends_the_walk_and_the_graph_can_be_walked_again,
                           a_hooked_module_and_create_graph_leave_no_cycle_behind,
                           a_prehook_of_a_node_with_several_outputs_hears_of_those_that_have_a_gradient,
                           a_multi_grad_hook_may_hear_of_one_variable_twice_and_of_none_without_history };
    return support_main_with("autograd_hooks", all, sizeof all / sizeof *all, begin, support_end);
}
