/* test_module_hooks.c - hooks of Modules: their order, what they replace, how they go, and what backward hooks see. The
 * values are PyTorch's. */
#include "interpose.h"
#include "support.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

/* What has happened, a word each. */
static char log_text[4000];
static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    size_t n = strlen(log_text);
    va_list args;
    va_start(args, format);
    vsnprintf(log_text + n, sizeof log_text - n, format, args);
    va_end(args);
    strcat(log_text, " ");
}
static void note_values(Variable *x)
{
    if (!x) note("-");
    for (int64_t i = 0; x && i < ag_numel(x); i++) note("%g", support_at(x, i));
}
#define LOGGED(expected)                      \
    do {                                      \
        ck_assert_str_eq(log_text, expected); \
        log_text[0] = 0;                      \
    } while (0)

/* A hook's user: its name, and what it multiplies by (0: it only looks). */
typedef struct {
    const char *name;
    double by;
    int freed;
} Tag;
static void free_tag(void *user) { ((Tag *)user)->freed++; }
static Variable *times(const Tag *tag, Variable *x) { return tag->by ? ag_mul(x, ag_scalar(tag->by)) : NULL; }

static Variable *pre(Module *m, Variable *x, void *user)
{
    note("%s:%s", ((Tag *)user)->name, m->type);
    note_values(x);
    return times(user, x);
}
static Variable *post(Module *m, Variable *x, Variable *y, void *user)
{
    note("%s:%s", ((Tag *)user)->name, m->type);
    note_values(x);
    note_values(y);
    return y ? times(user, y) : NULL;
}
static Variable *back_pre(Module *m, Variable *g, void *user) { return pre(m, g, user); }
static Variable *back(Module *m, Variable *grad_input, Variable *grad_output, void *user)
{
    note("%s:%s", ((Tag *)user)->name, m->type);
    note_values(grad_input);
    note_values(grad_output);
    return grad_input ? times(user, grad_input) : NULL;
}

static void begin(void)
{
    support_begin();
    log_text[0] = 0;
}

static Variable *one(void) { return LEAF(AG_SHAPE(1), 1); }

START_TEST(forward_hooks_replace_input_and_output_in_the_order_of_registration)
{
    Module *m = ag_nn_identity();
    Tag a = { "a", 2, 0 }, b = { "b", 0, 0 }, c = { "c", 5, 0 }, d = { "d", 0, 0 }, first = { "first", 0, 0 };
    OK(ag_module_register_forward_pre_hook(m, pre, .user = &a));
    OK(ag_module_register_forward_pre_hook(m, pre, .user = &b));
    OK(ag_module_register_forward_hook(m, post, .user = &c));
    OK(ag_module_register_forward_hook(m, post, .user = &d));
    VALUES(ag_forward(m, one()), 10);
    LOGGED("a:Identity 1 b:Identity 2 c:Identity 2 2 d:Identity 2 10 ");
    OK(ag_module_register_forward_pre_hook(m, pre, .user = &first, .prepend = true));
    OK(ag_module_register_forward_hook(m, post, .user = &first, .prepend = true));
    VALUES(ag_forward(m, one()), 10);
    LOGGED("first:Identity 1 a:Identity 1 b:Identity 2 first:Identity 2 2 c:Identity 2 2 d:Identity 2 10 ");
    ag_module_free(m);
}
END_TEST

START_TEST(hooks_for_all_modules_run_before_a_modules_own)
{
    Module *net = ag_nn_sequential(ag_nn_relu(), ag_nn_identity());
    Tag own = { "own", 0, 0 }, all = { "all", 0, 0 };
    OK(ag_module_register_forward_pre_hook(ag_nn_at(net, 0), pre, .user = &own));
    OK(ag_module_register_forward_hook(ag_nn_at(net, 0), post, .user = &own));
    OK(ag_module_register_full_backward_hook(ag_nn_at(net, 0), back, .user = &own));
    OK(ag_module_register_full_backward_pre_hook(ag_nn_at(net, 0), back_pre, .user = &own));
    ag_hook hooks[] = { ag_nn_register_module_forward_pre_hook(pre, .user = &all, .free_user = free_tag),
                        ag_nn_register_module_forward_hook(post, .user = &all, .free_user = free_tag),
                        ag_nn_register_module_full_backward_pre_hook(back_pre, &all),
                        ag_nn_register_module_full_backward_hook(back, &all) };
    Variable *y = ag_forward(net, one());
    LOGGED("all:Sequential 1 all:ReLU 1 own:ReLU 1 all:ReLU 1 1 own:ReLU 1 1 "
           "all:Identity 1 all:Identity 1 1 all:Sequential 1 1 ");
    OK(ag_backward(y));
    LOGGED("all:Sequential 1 all:Identity 1 all:Identity 1 1 all:ReLU 1 own:ReLU 1 all:ReLU 1 1 own:ReLU 1 1 "
           "all:Sequential 1 1 ");
    for (int i = 0; i < 4; i++) ck_assert(ag_hook_remove(hooks[i]));
    ck_assert_int_eq(all.freed, 2);
    OK(ag_forward(net, one()));
    LOGGED("own:ReLU 1 own:ReLU 1 1 ");
    ag_module_free(net);
}
END_TEST

START_TEST(a_hook_is_removed_by_its_handle_and_its_user_freed_with_it)
{
    Module *m = ag_nn_identity();
    Tag a = { "a", 0, 0 }, b = { "b", 0, 0 };
    ag_hook hook = ag_module_register_forward_hook(m, post, .user = &a, .free_user = free_tag);
    OK(ag_module_register_forward_pre_hook(m, pre, .user = &b, .free_user = free_tag));
    OK(ag_forward(m, one()));
    LOGGED("b:Identity 1 a:Identity 1 1 ");
    ck_assert(ag_hook_remove(hook) && !ag_hook_remove(hook));
    ck_assert(a.freed == 1 && !b.freed && !ag_error());
    OK(ag_forward(m, one()));
    LOGGED("b:Identity 1 ");
    ag_module_free(m);
    ck_assert_int_eq(b.freed, 1);
}
END_TEST

static ag_hook own_handle;
static Variable *once(Module *m, Variable *x, void *user)
{
    ck_assert(ag_hook_remove(own_handle));
    return pre(m, x, user);
}
static Variable *remove_later_one(Module *m, Variable *x, Variable *y, void *user)
{
    ag_hook_remove(*(ag_hook *)user);
    (void)m, (void)x, (void)y;
    return NULL;
}
START_TEST(a_hook_may_remove_itself_and_others)
{
    Module *m = ag_nn_identity();
    Tag a = { "a", 3, 0 }, b = { "b", 0, 0 };
    own_handle = ag_module_register_forward_pre_hook(m, once, .user = &a, .free_user = free_tag);
    VALUES(ag_forward(m, one()), 3);
    VALUES(ag_forward(m, one()), 1);
    LOGGED("a:Identity 1 ");
    ck_assert_int_eq(a.freed, 1);
    ag_hook later = 0;
    OK(ag_module_register_forward_hook(m, remove_later_one, .user = &later));
    later = ag_module_register_forward_hook(m, post, .user = &b, .free_user = free_tag);
    OK(ag_forward(m, one())); /* the one that is under way has its hooks */
    LOGGED("b:Identity 1 1 ");
    OK(ag_forward(m, one()));
    LOGGED("");
    ag_module_free(m);
}
END_TEST

static Variable *fails(Module *m, Variable *x, void *user)
{
    (void)m, (void)user;
    return ag_view(x, AG_SHAPE(77));
}
static Variable *fails_after(Module *m, Variable *x, Variable *y, void *user)
{
    (void)y;
    return fails(m, x, user);
}
static Variable *give_none(Module *m, Variable *x, void *user)
{
    (void)m, (void)x, (void)user;
    return AG_NONE;
}
START_TEST(a_hook_that_fails_makes_the_call_fail_and_always_called_ones_still_run)
{
    Tag always = { "always", 2, 0 }, usual = { "usual", 0, 0 }, last = { "last", 0, 0 };
    Module *m = ag_nn_identity(), *bad = ag_nn_linear(3, 3);
    OK(ag_module_register_forward_hook(m, post, .user = &usual));
    OK(ag_module_register_forward_hook(m, post, .user = &always, .always_call = true));
    VALUES(ag_forward(m, one()), 2);
    LOGGED("usual:Identity 1 1 always:Identity 1 1 ");
    ag_hook failing = ag_module_register_forward_hook(m, fails_after);
    OK(ag_module_register_forward_hook(m, post, .user = &usual));
    OK(ag_module_register_forward_hook(m, post, .user = &last, .always_call = true));
    REFUSED(ag_forward(m, one()), "shape '[77]' is invalid");
    LOGGED("usual:Identity 1 1 always:Identity 1 1 last:Identity 1 2 "); /* each once; the output as it was by then */
    ag_hook_remove(failing);
    failing = ag_module_register_forward_pre_hook(m, fails);
    REFUSED(ag_forward(m, one()), "shape '[77]' is invalid");
    LOGGED("always:Identity 1 - last:Identity 1 - ");
    ag_hook_remove(failing);
    OK(ag_module_register_forward_pre_hook(m, give_none));
    REFUSED(ag_forward(m, one()), "a hook returned None: NULL leaves what it saw as it is");
    log_text[0] = 0;

    ag_hook all = ag_nn_register_module_forward_hook(post, .user = &always, .always_call = true);
    OK(ag_module_register_forward_hook(bad, post, .user = &usual));
    REFUSED(ag_forward(bad, one()), "mat1 and mat2 shapes cannot be multiplied");
    LOGGED("always:Linear 1 - ");
    ag_hook_remove(all);
    ag_module_free(m);
    ag_module_free(bad);
}
END_TEST

START_TEST(registering_wants_a_module_and_a_function)
{
    Module *m = ag_nn_identity();
    Tag a = { "a", 0, 0 };
    REFUSED(ag_module_register_forward_hook(m, NULL), "the hook is NULL");
    REFUSED(ag_module_register_forward_pre_hook((Module *)NULL, pre), "the module is NULL");
    REFUSED(ag_nn_register_module_full_backward_hook(NULL), "the hook is NULL");
    ag_add(NULL, NULL);
    ck_assert(!ag_module_register_forward_hook(m, post, .user = &a, .free_user = free_tag));
    ck_assert(!ag_nn_register_module_forward_hook(post, .user = &a, .free_user = free_tag));
    ag_clear_error();
    ck_assert_int_eq(a.freed, 0); /* still the caller's */
    OK(ag_forward(m, one()));
    LOGGED("");
    ag_module_free(m);
}
END_TEST

START_TEST(a_loss_has_hooks_on_its_input_and_its_output)
{
    Module *loss = ag_nn_mse_loss();
    Tag a = { "a", 2, 0 }, b = { "b", 10, 0 }, c = { "c", 0, 0 };
    OK(ag_module_register_forward_pre_hook(loss, pre, .user = &a));
    OK(ag_module_register_forward_hook(loss, post, .user = &b));
    OK(ag_module_register_full_backward_hook(loss, back, .user = &c));
    Variable *x = one(), *y = ag_criterion(loss, x, ag_zeros(AG_SHAPE(1), .dtype = AG_FLOAT64));
    VALUES(y, 40);
    OK(ag_backward(y));
    LOGGED("a:MSELoss 1 b:MSELoss 2 4 c:MSELoss 40 1 ");
    VALUES(ag_grad(x), 80);
    ag_module_free(loss);
}
END_TEST

/* ---- backward ---- */

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
    OK(ag_module_register_full_backward_hook(m, back, .user = &b1));
    OK(ag_module_register_full_backward_hook(m, back, .user = &b2));
    OK(ag_module_register_full_backward_pre_hook(m, back_pre, .user = &p1));
    OK(ag_module_register_full_backward_pre_hook(m, back_pre, .user = &p2));
    OK(ag_module_register_full_backward_hook(m, back, .user = &b0, .prepend = true));
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
    ag_hook hook = ag_module_register_full_backward_hook(m, back, .user = &a);
    Variable *x = ag_ones(AG_SHAPE(1, 2), .dtype = AG_FLOAT64);
    OK(ag_backward(ag_sum(ag_forward(m, x))));
    LOGGED("a:Linear - 1 1 ");
    ag_hook_remove(hook);
    {
        AG_NO_GRAD;
        OK(ag_module_register_full_backward_hook(m, back, .user = &a));
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
    OK(ag_module_register_full_backward_hook(in_place, back, .user = &a));
    OK(ag_module_register_full_backward_hook(plain, back, .user = &a));
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
    ag_hook hook = ag_module_register_full_backward_hook(m, back, .user = &a, .free_user = free_tag);
    {
        AG_SCOPE;
        Variable *y = ag_forward(m, one());
        ag_hook_remove(hook);
        OK(ag_module_register_full_backward_hook(m, back, .user = &late));
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
    OK(ag_module_register_full_backward_hook(tanh_m, back, .user = &a));
    Variable *x = one(), *y = ag_forward(tanh_m, x), *g[1];
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .create_graph = true));
    LOGGED("a:Tanh 0.419974 1 ");
    OK(ag_backward(g[0]));
    LOGGED(""); /* the second derivative */
    ck_assert(fabs(support_at(ag_grad(x), 0) + 0.639700008449225) < 1e-12);

    OK(ag_module_register_full_backward_hook(m, back, .user = &a)); /* only the weight's gradient is asked for */
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
    OK(ag_module_register_forward_hook(m, post, .user = &a));
    OK(ag_module_register_full_backward_hook(m, back, .user = &b));
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
    OK(ag_module_register_full_backward_hook(m, back, .user = &a, .free_user = free_tag));
    OK(ag_module_register_full_backward_pre_hook(m, back_pre, .user = &a, .free_user = free_tag));
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
    ag_hook forward = ag_nn_register_module_forward_hook(post, .user = &a);
    ag_hook hook = ag_nn_register_module_full_backward_hook(back, .user = &a);
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
    OK(ag_module_register_full_backward_hook(m, back, .user = &a));
    Variable *x = LEAF(AG_SHAPE(1, 2), 1, 1), *y = ag_sum(ag_forward(m, x)), *g[1];
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(ag_get_parameter(m, "weight")), g, .retain_graph = true));
    LOGGED("");
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .retain_graph = true));
    LOGGED("a:Linear 4 6 1 1 ");
    VALUES(g[0], 28, 42);
    ag_module_free(m);
}
END_TEST

static int line; /* where the op is called */
static Variable *root(Module *m, Variable *x, Variable *y, void *user)
{
    (void)m, (void)x, (void)user;
    line = __LINE__ + 1;
    return ag_sqrt(y);
}
START_TEST(an_error_in_backward_names_the_hooks_line)
{
    Module *m = ag_nn_relu();
    char here[40];
    OK(ag_module_register_forward_hook(m, root));
    AG_DETECT_ANOMALY;
    Variable *y = ag_mul(ag_forward(m, LEAF(AG_SHAPE(1), 0)), LEAF(AG_SHAPE(1), 0));
    ck_assert(!ag_backward(y));
    ck_assert_ptr_nonnull(strstr(ag_error(), "Function 'SqrtBackward0' returned nan values"));
    snprintf(here, sizeof here, "test_module_hooks.c:%d", line);
#ifdef AG_TEST_LINES
    ck_assert_msg(strstr(ag_error(), here) != NULL, "%s is not in %s", here, ag_error());
#endif
    ag_clear_error();
    ag_module_free(m);
}
END_TEST

START_TEST(many_hooks_are_all_called)
{
    Module *m = ag_nn_identity();
    Tag a = { "", 2, 0 };
    for (int i = 0; i < 20; i++) OK(ag_module_register_forward_pre_hook(m, pre, .user = &a));
    for (int i = 0; i < 20; i++) OK(ag_module_register_full_backward_hook(m, back, .user = &a));
    Variable *x = one(), *y = ag_forward(m, x);
    VALUES(y, 1 << 20);
    OK(ag_backward(y));
    VALUES(ag_grad(x), (double)(1ll << 40));
    ag_module_free(m);
}
END_TEST

START_TEST(without_memory_a_hooked_call_is_an_error_and_nothing_leaks)
{
    for (int64_t at = 1, undisturbed = 0; !undisturbed; at++) {
        AG_SCOPE;
        Tag a = { "a", 2, 0 };
        Module *m = ag_nn_relu();
        Variable *x = one();
        interpose_start(at, false);
        bool ok = ag_module_register_forward_hook(m, post, .user = &a) &&
                  ag_module_register_full_backward_hook(m, back, .user = &a);
        Variable *y = ok ? ag_forward(m, x) : NULL;
        ok = y && ag_backward(y);
        undisturbed = interpose_stop() < at;
        ck_assert(ok || ag_error_code() == AG_ENOMEM);
        ck_assert(ok || !undisturbed);
        ag_clear_error();
        ag_module_free(m);
    }
}
END_TEST

int main(void)
{
    const TTest *tests[] = {
        forward_hooks_replace_input_and_output_in_the_order_of_registration,
        hooks_for_all_modules_run_before_a_modules_own,
        a_hook_is_removed_by_its_handle_and_its_user_freed_with_it,
        a_hook_may_remove_itself_and_others,
        a_hook_that_fails_makes_the_call_fail_and_always_called_ones_still_run,
        registering_wants_a_module_and_a_function,
        a_loss_has_hooks_on_its_input_and_its_output,
        backward_hooks_see_and_replace_gradients_in_pytorchs_order,
        an_input_without_gradient_is_none_of_a_backward_hooks,
        what_a_backward_hook_may_not_return_is_refused_in_pytorchs_words,
        input_and_output_of_a_module_with_backward_hooks_cannot_change_in_place,
        a_backward_calls_the_hooks_that_there_were_in_forward,
        a_walk_that_does_not_come_through_the_output_calls_no_hook,
        forward_hooks_see_what_the_backward_hooks_nodes_stand_round,
        a_module_may_die_before_its_graph,
        backward_through_a_tree_of_hooked_modules_may_be_differentiated_again,
        several_threads_run_a_hooked_module_and_go_back_through_one_graph,
        a_hook_may_go_back_through_its_own_graph,
        a_gradient_that_never_reached_the_input_is_no_other_walks,
        an_error_in_backward_names_the_hooks_line,
        many_hooks_are_all_called,
        without_memory_a_hooked_call_is_an_error_and_nothing_leaks,
    };
    return support_main_with("module_hooks", tests, sizeof tests / sizeof *tests, begin, support_end);
}
