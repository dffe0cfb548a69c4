/* test_module_backward_hooks.c - what backward hooks of Modules see and replace, in one thread and in several. The
 * values are PyTorch's. */
#include "hook_log.h"

#include <pthread.h>

/* [[1, 2], [3, 4]], no bias. */
static Module *linear_new(void)
{
    Module *m = ag_nn_linear(2, 2, .bias = false, .dtype = AG_FLOAT64);
    OK(ag_module_add_parameter(m, "weight", ag_tensor(((double[]){ 1, 2, 3, 4 }), AG_SHAPE(2, 2))));
    return m;
}

START_TEST(backward_hooks_see_and_replace_gradients_in_pytorchs_order)
{
    Module *m = linear_new();
    Tag b0 = { "b0", 0, 0 }, b1 = { "b1", 10, 0 }, b2 = { "b2", 0, 0 }, p1 = { "p1", 2, 0 }, p2 = { "p2", 0, 0 };
    OK(ag_module_register_full_backward_hook(m, log_back, .user = &b1));
    OK(ag_module_register_full_backward_hook(m, log_back, .user = &b2));
    OK(ag_module_register_full_backward_pre_hook(m, log_back_pre, .user = &p1));
    OK(ag_module_register_full_backward_pre_hook(m, log_back_pre, .user = &p2));
    OK(ag_module_register_full_backward_hook(m, log_back, .user = &b0, .prepend = true));
    Variable *x = LEAF(AG_SHAPE(1, 2), 1, 1), *y = ag_forward(m, x);
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "BackwardHookFunctionBackward");
    ck_assert(ag_is_view(y));
    OK(ag_backward(ag_sum(y)));
    LOGGED("p1:Linear 1 1 p2:Linear 2 2 b0:Linear 8 12 2 2 b1:Linear 8 12 2 2 b2:Linear 80 120 2 2 ");
    VALUES(ag_grad(x), 80, 120);
    VALUES(ag_grad(ag_get_parameter(m, "weight")), 2, 2, 2, 2);
    ag_module_free(m);
}
END_TEST

START_TEST(an_input_without_gradient_is_none_of_a_backward_hooks)
{
    Module *m = linear_new();
    Tag a = { "a", 0, 0 };
    ag_hook hook = ag_module_register_full_backward_hook(m, log_back, .user = &a);
    Variable *x = ag_ones(AG_SHAPE(1, 2), .dtype = AG_FLOAT64);
    OK(ag_backward(ag_sum(ag_forward(m, x))));
    LOGGED("a:Linear - 1 1 ");
    ag_hook_remove(hook);
    {
        AG_NO_GRAD;
        OK(ag_module_register_full_backward_hook(m, log_back, .user = &a));
        Variable *y = ag_forward(m, LEAF(AG_SHAPE(1, 2), 1, 1));
        ck_assert(!ag_requires_grad(y) && !ag_grad_fn(y));
    }
    ag_module_free(m);
}
END_TEST

static Variable *give_output(Module *m, Variable *grad_input, Variable *grad_output, void *user)
{
    (void)m, (void)grad_input, (void)user;
    return grad_output;
}
static Variable *give_half(Module *m, Variable *g, void *user)
{
    (void)m, (void)user;
    return ag_slice(g, 0, 0, 1);
}
static Variable *give_half_back(Module *m, Variable *grad_input, Variable *grad_output, void *user)
{
    (void)grad_output;
    return give_half(m, grad_input, user);
}
START_TEST(what_a_backward_hook_may_not_return_is_refused_in_pytorchs_words)
{
    Module *m = linear_new(), *relu = ag_nn_relu(), *relu2 = ag_nn_relu();
    OK(ag_module_register_full_backward_hook(m, give_output));
    Variable *x = ag_ones(AG_SHAPE(1, 2), .dtype = AG_FLOAT64);
    REFUSED(ag_backward(ag_sum(ag_forward(m, x))),
            "Backward hook for Modules where no input requires gradient should always return None or None for all "
            "gradients.");
    OK(ag_module_register_full_backward_hook(relu, give_half_back));
    REFUSED(ag_backward(ag_sum(ag_forward(relu, LEAF(AG_SHAPE(2), 1, 2)))), "hook has changed the size of value");
    OK(ag_module_register_full_backward_pre_hook(relu2, give_half));
    REFUSED(ag_backward(ag_sum(ag_forward(relu2, LEAF(AG_SHAPE(2), 1, 2)))), "hook has changed the size of value");
    ag_module_free(m);
    ag_module_free(relu);
    ag_module_free(relu2);
}
END_TEST

#define IS_A_VIEW_OF_A_FUNCTION                                                                                        \
    "Output 0 of BackwardHookFunction is a view and is being modified inplace. This view was created inside a "        \
    "custom Function (or because an input was returned as-is) and the autograd logic to handle view+inplace would "    \
    "override the custom backward associated with the custom Function, leading to incorrect gradients. This behavior " \
    "is forbidden. You can fix this by cloning the output of the custom Function."
START_TEST(input_and_output_of_a_module_with_backward_hooks_cannot_change_in_place)
{
    Module *in_place = ag_nn_relu(.inplace = true), *plain = ag_nn_relu();
    Tag a = { "a", 0, 0 };
    OK(ag_module_register_full_backward_hook(in_place, log_back, .user = &a));
    OK(ag_module_register_full_backward_hook(plain, log_back, .user = &a));
    Variable *y = ag_mul(one(), ag_scalar(1));
    REFUSED(ag_forward(in_place, y), IS_A_VIEW_OF_A_FUNCTION);
    Variable *z = ag_forward(plain, y);
    REFUSED(ag_mul_(z, ag_scalar(2)), IS_A_VIEW_OF_A_FUNCTION);
    ag_module_free(in_place);
    ag_module_free(plain);
}
END_TEST

START_TEST(a_backward_calls_the_hooks_that_there_were_in_forward)
{
    Module *m = ag_nn_relu();
    Tag a = { "a", 0, 0 }, late = { "late", 0, 0 };
    ag_hook hook = ag_module_register_full_backward_hook(m, log_back, .user = &a, .free_user = free_tag);
    {
        AG_SCOPE;
        Variable *y = ag_forward(m, one());
        ag_hook_remove(hook);
        OK(ag_module_register_full_backward_hook(m, log_back, .user = &late));
        ck_assert_int_eq(a.freed, 0); /* the graph still has it */
        OK(ag_backward(y, .retain_graph = true));
        OK(ag_backward(y));
        LOGGED("a:ReLU 1 1 a:ReLU 1 1 "); /* once a walk */
    }
    ck_assert_int_eq(a.freed, 1);
    ag_module_free(m);
}
END_TEST

START_TEST(a_walk_that_does_not_come_through_the_output_calls_no_hook)
{
    Module *tanh_m = ag_nn_tanh(), *m = linear_new();
    Tag a = { "a", 0, 0 };
    OK(ag_module_register_full_backward_hook(tanh_m, log_back, .user = &a));
    Variable *x = one(), *y = ag_forward(tanh_m, x), *g[1];
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .create_graph = true));
    LOGGED("a:Tanh 0.419974 1 ");
    OK(ag_backward(g[0]));
    LOGGED(""); /* the second derivative */
    ck_assert(fabs(support_at(ag_grad(x), 0) + 0.639700008449225) < 1e-12);

    OK(ag_module_register_full_backward_hook(m, log_back, .user = &a)); /* only the weight's gradient is asked for */
    OK(ag_autograd_grad(AG_LIST(ag_sum(ag_forward(m, LEAF(AG_SHAPE(1, 2), 1, 1)))),
                        AG_LIST(ag_get_parameter(m, "weight")), g));
    LOGGED("");
    ag_module_free(tanh_m);
    ag_module_free(m);
}
END_TEST

START_TEST(forward_hooks_see_what_the_backward_hooks_nodes_stand_round)
{
    Module *m = ag_nn_relu();
    Tag a = { "a", 2, 0 }, b = { "b", 0, 0 };
    OK(ag_module_register_forward_hook(m, log_post, .user = &a));
    OK(ag_module_register_full_backward_hook(m, log_back, .user = &b));
    Variable *x = one(), *y = ag_forward(m, x);
    OK(ag_backward(y));
    LOGGED("a:ReLU 1 1 b:ReLU 2 1 ");
    ag_next next;
    ck_assert(ag_next_function(ag_grad_fn(y), 0, &next));
    ck_assert_str_eq(next.name, "MulBackward0");
    ag_module_free(m);
}
END_TEST

START_TEST(a_module_may_die_before_its_graph)
{
    Module *m = ag_nn_relu();
    Tag a = { "a", 5, 0 };
    OK(ag_module_register_full_backward_hook(m, log_back, .user = &a, .free_user = free_tag));
    OK(ag_module_register_full_backward_pre_hook(m, log_back_pre, .user = &a, .free_user = free_tag));
    {
        AG_SCOPE;
        Variable *x = one(), *y = ag_forward(m, x);
        ag_module_free(m);
        OK(ag_backward(y));
        VALUES(ag_grad(x), 1); /* as if there were no hooks */
        LOGGED("");
    }
    ck_assert_int_eq(a.freed, 2);
}
END_TEST

START_TEST(backward_through_a_tree_of_hooked_modules_may_be_differentiated_again)
{
    Module *net = ag_nn_sequential(ag_nn_tanh(), ag_nn_sigmoid(), ag_nn_tanh());
    Tag a = { "a", 0, 0 };
    ag_hook forward = ag_nn_register_module_forward_hook(log_post, .user = &a);
    ag_hook hook = ag_nn_register_module_full_backward_hook(log_back, .user = &a);
    Variable *x = LEAF(AG_SHAPE(3), -1, 0.3, 2), *g[1], *h[1], *g0[1], *h0[1];
    OK(ag_autograd_grad(AG_LIST(ag_sum(ag_forward(net, x))), AG_LIST(x), g, .create_graph = true));
    OK(ag_autograd_grad(AG_LIST(ag_sum(g[0])), AG_LIST(x), h));
    ag_hook_remove(hook);
    OK(ag_autograd_grad(AG_LIST(ag_sum(ag_forward(net, x))), AG_LIST(x), g0, .create_graph = true));
    OK(ag_autograd_grad(AG_LIST(ag_sum(g0[0])), AG_LIST(x), h0));
    CLOSE(g[0], g0[0], 0);
    CLOSE(h[0], h0[0], 0);
    ck_assert(ag_hook_remove(forward));
    ag_module_free(net);
}
END_TEST

/* ---- threads ---- */

enum { N_THREADS = 4, N_STEPS = 40 };
static Module *shared_module;
static Variable *shared_output, *shared_input;
static Variable *triple(Module *m, Variable *grad_input, Variable *grad_output, void *user)
{
    (void)m, (void)user;
    ck_assert(support_at(grad_input, 0) == support_at(grad_output, 0));
    return ag_mul(grad_input, ag_scalar(3));
}
static void *step_alone(void *user)
{
    for (int i = 0; i < N_STEPS; i++) {
        AG_SCOPE;
        Variable *x = one();
        OK(ag_backward(ag_forward(shared_module, x)));
        VALUES(ag_grad(x), 3);
    }
    return user;
}
static void *step_together(void *user)
{
    for (int i = 1; i < N_STEPS; i++) {
        AG_SCOPE;
        Variable *g[1], *factor = ag_full(AG_SHAPE(1), i, .dtype = AG_FLOAT64);
        OK(ag_autograd_grad(AG_LIST(shared_output), AG_LIST(shared_input), g, AG_LIST(factor), .retain_graph = true));
        VALUES(g[0], 3 * i);
    }
    return user;
}
static void in_threads(void *(*step)(void *))
{
    pthread_t threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) pthread_create(&threads[i], NULL, step, NULL);
    for (int i = 0; i < N_THREADS; i++) pthread_join(threads[i], NULL);
}
START_TEST(several_threads_run_a_hooked_module_and_go_back_through_one_graph)
{
    shared_module = ag_nn_relu();
    OK(ag_module_register_full_backward_hook(shared_module, triple));
    in_threads(step_alone);
    shared_input = one();
    shared_output = ag_forward(shared_module, shared_input);
    in_threads(step_together);
    ag_module_free(shared_module);
}
END_TEST

static Variable *walk_again(Module *m, Variable *g, void *user)
{
    (void)m;
    Variable **both = user, *again[1];
    if (!both[0]) return NULL;
    Variable *y = both[0];
    both[0] = NULL; /* once */
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(both[1]), again, .retain_graph = true));
    VALUES(again[0], 3);
    return ag_mul(g, ag_scalar(5));
}
START_TEST(a_hook_may_go_back_through_its_own_graph)
{
    Module *m = ag_nn_relu();
    Variable *both[2] = { NULL };
    OK(ag_module_register_full_backward_pre_hook(m, walk_again, .user = both));
    OK(ag_module_register_full_backward_hook(m, triple));
    Variable *x = both[1] = one(), *y = both[0] = ag_forward(m, x);
    OK(ag_backward(y, .retain_graph = true));
    VALUES(ag_grad(x), 15);
    ag_module_free(m);
}
END_TEST

START_TEST(a_gradient_that_never_reached_the_input_is_no_other_walks)
{
    Module *m = linear_new();
    Tag a = { "a", 7, 0 };
    OK(ag_module_register_full_backward_hook(m, log_back, .user = &a));
    Variable *x = LEAF(AG_SHAPE(1, 2), 1, 1), *y = ag_sum(ag_forward(m, x)), *g[1];
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(ag_get_parameter(m, "weight")), g, .retain_graph = true));
    LOGGED("");
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .retain_graph = true));
    LOGGED("a:Linear 4 6 1 1 ");
    VALUES(g[0], 28, 42);
    ag_module_free(m);
}
END_TEST

HOOK_LOG_MAIN("module_backward_hooks", backward_hooks_see_and_replace_gradients_in_pytorchs_order,
              an_input_without_gradient_is_none_of_a_backward_hooks,
              what_a_backward_hook_may_not_return_is_refused_in_pytorchs_words,
              input_and_output_of_a_module_with_backward_hooks_cannot_change_in_place,
              a_backward_calls_the_hooks_that_there_were_in_forward,
              a_walk_that_does_not_come_through_the_output_calls_no_hook,
              forward_hooks_see_what_the_backward_hooks_nodes_stand_round, a_module_may_die_before_its_graph,
              backward_through_a_tree_of_hooked_modules_may_be_differentiated_again,
              several_threads_run_a_hooked_module_and_go_back_through_one_graph,
              a_hook_may_go_back_through_its_own_graph, a_gradient_that_never_reached_the_input_is_no_other_walks)
