/* test_contract_hooks.c - the Variable's contract, a sentence of docs/contract.md each: hooks on Variables, leaves,
 * nodes, on several at once, and on what is saved. */
#include "support.h"

#define FLOATS(...) ag_tensor(((double[]){ __VA_ARGS__ }), AG_SHAPE(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)))

typedef struct seen {
    int calls;
    double factor; /* what the gradient is multiplied by; 0: it stays */
    double last;
    bool grad_mode;
} seen;
static Variable *note(seen *s, Variable *g)
{
    s->calls++;
    s->last = g ? support_at(g, 0) : NAN;
    s->grad_mode = ag_is_grad_enabled();
    return s->factor && g ? ag_mul(g, ag_scalar(s->factor)) : NULL;
}

/* ---- tensor hooks ---- */

static Variable *on_grad(Variable *grad, void *user) { return note(user, grad); }

START_TEST(a_tensor_hook_returns_a_new_gradient_or_none) /* row 25 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, x);
    seen looks = { 0 }, doubles = { .factor = 2 }, last = { 0 };
    OK(ag_register_hook(y, on_grad, &looks));
    OK(ag_register_hook(y, on_grad, &doubles));
    OK(ag_register_hook(y, on_grad, &last));
    OK(ag_backward(ag_mul(y, ag_scalar(5))));
    ck_assert_double_eq(looks.last, 5);
    ck_assert_double_eq(last.last, 10); /* each sees what those before it have made */
    VALUES(ag_grad(x), 60);
}
END_TEST

START_TEST(a_tensor_hook_is_called_each_time_the_gradient_is_computed) /* row 25 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, x), *z = ag_add(y, ag_exp(y)), *g[1];
    seen on_y = { 0 }, on_x = { 0 };
    OK(ag_register_hook(y, on_grad, &on_y));
    OK(ag_register_hook(x, on_grad, &on_x));
    for (int i = 1; i <= 3; i++) {
        OK(ag_backward(z, .retain_graph = true));
        ck_assert_int_eq(on_y.calls, i); /* once, of the sum of both ways */
        ck_assert_double_eq(on_y.last, 1 + exp(9));
    }
    OK(ag_autograd_grad(AG_LIST(z), AG_LIST(x), g));
    ck_assert_int_eq(on_x.calls, 4);
    ck_assert_double_eq(on_x.last, 6 * (1 + exp(9)));
}
END_TEST

START_TEST(the_handle_of_a_tensor_hook_removes_it) /* row 25 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, x);
    seen one = { .factor = 2 }, two = { .factor = 3 };
    ag_hook handle = ag_register_hook(y, on_grad, &one);
    OK(handle && ag_register_hook(y, on_grad, &two));
    OK(ag_hook_remove(handle));
    ck_assert(!ag_hook_remove(handle) && !ag_error()); /* a second time does nothing */
    OK(ag_backward(y));
    ck_assert_int_eq(one.calls, 0);
    VALUES(ag_grad(x), 18);
    REFUSED(ag_register_hook(FLOATS(1), on_grad, &one),
            "cannot register a hook on a tensor that doesn't require gradient");
}
END_TEST

static Variable *modifies(Variable *grad, void *user)
{
    (void)user;
    ag_mul_(grad, ag_scalar(2));
    return NULL;
}
START_TEST(a_tensor_hook_that_modifies_a_broadcast_argument_is_an_error) /* row 25 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, ag_scalar(2));
    OK(ag_register_hook(y, modifies));
    REFUSED(ag_backward(ag_sum(y)),
            "more than one element of the written-to tensor refers to a single memory location");
}
END_TEST

/* ---- post-accumulate hooks ---- */

static bool on_leaf(Variable *leaf, void *user)
{
    note(user, ag_grad(leaf));
    return true;
}
START_TEST(a_post_accumulate_hook_runs_after_grad_is_updated_and_for_leaves_only) /* row 26 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_add(ag_mul(x, x), x), *g[1];
    seen s = { 0 };
    OK(ag_register_post_accumulate_grad_hook(x, on_leaf, &s));
    OK(ag_backward(y, .retain_graph = true));
    OK(ag_backward(y, .retain_graph = true));
    ck_assert_int_eq(s.calls, 2);
    ck_assert_double_eq(s.last, 14);
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g)); /* adds to no .grad */
    ck_assert_int_eq(s.calls, 2);
    REFUSED(ag_register_post_accumulate_grad_hook(y, on_leaf, &s),
            "post accumulate grad hooks cannot be registered on non-leaf tensors");
}
END_TEST

START_TEST(a_post_accumulate_hook_runs_in_no_grad_unless_create_graph) /* row 26 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, x);
    seen s = { 0 };
    OK(ag_register_post_accumulate_grad_hook(x, on_leaf, &s));
    OK(ag_backward(y, .retain_graph = true));
    ck_assert(!s.grad_mode);
    OK(ag_backward(y, .create_graph = true));
    ck_assert(s.grad_mode);
    OK(ag_set_grad(x, AG_NONE));
}
END_TEST

static bool steps_at_once(Variable *leaf, void *user)
{
    Optimizer *of_leaf = user;
    return ag_optim_step(of_leaf) && ag_optim_zero_grad(of_leaf) && leaf;
}
START_TEST(a_post_accumulate_hook_enables_an_optimizer_in_backward) /* row 26 */
{
    Variable *w[] = { LEAF(AG_SHAPE(1), 3), LEAF(AG_SHAPE(1), 5) };
    Optimizer *each[2];
    for (int i = 0; i < 2; i++) {
        each[i] = ag_optim_sgd(AG_LIST(w[i]), .lr = 0.1);
        OK(ag_register_post_accumulate_grad_hook(w[i], steps_at_once, each[i]));
    }
    OK(ag_backward(ag_mul(w[0], w[1])));
    VALUES(w[0], 2.5);
    VALUES(w[1], 4.7);
    ck_assert(!ag_grad(w[0]) && !ag_grad(w[1]));
    for (int i = 0; i < 2; i++) ag_optim_free(each[i]);
}
END_TEST

/* ---- node hooks ---- */

static bool on_node_in(int n, Variable **grad_outputs, void *user)
{
    ck_assert_int_eq(n, 1);
    Variable *other = note(user, grad_outputs[0]);
    if (other) grad_outputs[0] = other;
    return true;
}
static bool on_node_out(int n_in, Variable **grad_inputs, int n_out, Variable *const *grad_outputs, void *user)
{
    ck_assert(n_in == 2 && n_out == 1 && grad_outputs[0]);
    Variable *other = note(user, grad_inputs[0]);
    if (other) grad_inputs[0] = other;
    return true;
}
START_TEST(a_node_prehook_sees_grad_outputs_and_a_node_hook_grad_inputs_too) /* row 27 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *w = LEAF(AG_SHAPE(1), 2), *y = ag_mul(x, w);
    seen in = { .factor = 5 }, out = { .factor = 7 };
    ag_hook handle = ag_node_register_prehook(ag_grad_fn(y), on_node_in, &in);
    OK(handle && ag_node_register_hook(ag_grad_fn(y), on_node_out, &out));
    OK(ag_backward(y, .retain_graph = true));
    ck_assert_double_eq(in.last, 1);
    ck_assert_double_eq(out.last, 10);
    VALUES(ag_grad(x), 70); /* only the first input's was replaced */
    VALUES(ag_grad(w), 15);
    OK(ag_hook_remove(handle));
    OK(ag_backward(y));
    ck_assert_double_eq(out.last, 2);
    VALUES(ag_grad(w), 18);
}
END_TEST

/* ---- multi-grad hooks ---- */

typedef struct several {
    int calls, there;
    double sum;
} several;
static bool on_all(int n, Variable *const *grads, void *user)
{
    several *s = user;
    s->calls++;
    s->there = 0;
    s->sum = 0;
    for (int i = 0; i < n; i++)
        if (grads[i]) s->there++, s->sum += support_at(grads[i], 0);
    return true;
}
START_TEST(a_multi_grad_hook_fires_when_all_listed_gradients_are_ready) /* row 28 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *w = LEAF(AG_SHAPE(1), 2), *y = ag_mul(x, w), *z = ag_mul(y, x);
    several all = { 0 }, any = { 0 };
    ag_hook handle = ag_register_multi_grad_hook(AG_LIST(x, w, y), on_all, &all);
    OK(handle && ag_register_multi_grad_hook(AG_LIST(x, w, y), on_all, &any, .any = true));
    OK(ag_backward(z, .retain_graph = true));
    ck_assert(all.calls == 1 && all.there == 3 && all.sum == 12 + 9 + 3);
    ck_assert(any.calls == 1 && any.there == 1 && any.sum == 3); /* y's is the first to come */
    OK(ag_hook_remove(handle));
    OK(ag_backward(z));
    ck_assert(all.calls == 1 && any.calls == 2);
}
END_TEST

START_TEST(a_multi_grad_hook_waits_only_for_gradients_that_will_come) /* row 28 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *apart = LEAF(AG_SHAPE(1), 2);
    several s = { 0 };
    OK(ag_register_multi_grad_hook(AG_LIST(x, apart), on_all, &s));
    OK(ag_backward(ag_mul(x, x)));
    ck_assert(s.calls == 1 && s.there == 1 && s.sum == 6);
    OK(ag_backward(ag_mul(apart, x)));
    ck_assert(s.calls == 2 && s.there == 2 && s.sum == 2 + 3);
    OK(ag_backward(ag_exp(LEAF(AG_SHAPE(1), 1)))); /* none of them: not called */
    ck_assert_int_eq(s.calls, 2);
}
END_TEST

/* ---- saved-tensor hooks ---- */

typedef struct store {
    int packed, unpacked, freed;
    double factor; /* what unpack multiplies by; 0: nothing */
} store;
static void *pack(Variable *x, void *user)
{
    ((store *)user)->packed++;
    return ag_retain(ag_clone(x));
}
static Variable *unpack(void *packed, void *user)
{
    store *s = user;
    s->unpacked++;
    return s->factor ? ag_mul(packed, ag_scalar(s->factor)) : packed;
}
static void free_packed(void *packed, void *user)
{
    ((store *)user)->freed++;
    ag_release(packed);
}
#define PACKED_IN(s) AG_SAVED_TENSORS_HOOKS(pack, unpack, .user = &(s), .free_packed = free_packed)

START_TEST(what_is_saved_is_packed_at_once_and_unpacked_in_backward) /* row 30 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *w = LEAF(AG_SHAPE(1), 2), *y;
    store s = { 0 };
    {
        PACKED_IN(s);
        y = ag_mul(x, w); /* both factors */
        OK(ag_add(x, w)); /* nothing */
    }
    ck_assert(s.packed == 2 && s.unpacked == 0);
    OK(ag_exp(y)); /* outside */
    ck_assert_int_eq(s.packed, 2);
    OK(ag_backward(y, .retain_graph = true));
    ck_assert(s.unpacked == 2 && s.freed == 0);
    OK(ag_backward(y)); /* unpacked again, and then let go of */
    ck_assert(s.unpacked == 4 && s.freed == 2);
    VALUES(ag_grad(x), 4);
}
END_TEST

START_TEST(what_unpack_returns_is_what_backward_reads) /* row 30 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y;
    store s = { .factor = 10 };
    {
        PACKED_IN(s);
        y = ag_square(x);
    }
    OK(ag_backward(y));
    VALUES(ag_grad(x), 60);
}
END_TEST

START_TEST(only_the_innermost_pair_of_saved_tensor_hooks_counts) /* row 30 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y, *z;
    store outer = { 0 }, inner = { 0 };
    {
        PACKED_IN(outer);
        {
            PACKED_IN(inner);
            y = ag_square(x);
        }
        z = ag_square(y);
    }
    ck_assert(inner.packed == 1 && outer.packed == 1);
    OK(ag_backward(z));
    VALUES(ag_grad(x), 108);
}
END_TEST

START_TEST(save_on_cpu_keeps_what_is_saved_as_copies_on_the_cpu) /* row 30: from a GPU, and pin_memory, with CUDA */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y, *z;
    {
        AG_SAVE_ON_CPU;
        y = ag_exp(x);
        z = ag_sum(ag_mul(y, y));
    }
    OK(ag_backward(z));
    VALUES(ag_grad(x), 2 * exp(2), 2 * exp(4));
}
END_TEST

START_TEST(saved_tensor_hooks_can_be_disabled_with_a_sentence) /* row 30 */
{
    store s = { 0 };
    AG_DISABLE_SAVED_TENSORS_HOOKS("not here");
    PACKED_IN(s);
    REFUSED(0, "not here");
}
END_TEST

SUPPORT_MAIN("contract_hooks", a_tensor_hook_returns_a_new_gradient_or_none,
             a_tensor_hook_is_called_each_time_the_gradient_is_computed, the_handle_of_a_tensor_hook_removes_it,
             a_tensor_hook_that_modifies_a_broadcast_argument_is_an_error,
             a_post_accumulate_hook_runs_after_grad_is_updated_and_for_leaves_only,
             a_post_accumulate_hook_runs_in_no_grad_unless_create_graph,
             a_post_accumulate_hook_enables_an_optimizer_in_backward,
             a_node_prehook_sees_grad_outputs_and_a_node_hook_grad_inputs_too,
             a_multi_grad_hook_fires_when_all_listed_gradients_are_ready,
             a_multi_grad_hook_waits_only_for_gradients_that_will_come,
             what_is_saved_is_packed_at_once_and_unpacked_in_backward, what_unpack_returns_is_what_backward_reads,
             only_the_innermost_pair_of_saved_tensor_hooks_counts, save_on_cpu_keeps_what_is_saved_as_copies_on_the_cpu,
             saved_tensor_hooks_can_be_disabled_with_a_sentence)
