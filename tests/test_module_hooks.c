/* test_module_hooks.c - hooks of Modules: their order, what they replace, how they go. The values are PyTorch's. */
#include "hook_log.h"
#include "interpose.h"

START_TEST(forward_hooks_replace_input_and_output_in_the_order_of_registration)
{
    Module *m = ag_nn_identity();
    Tag a = { "a", 2, 0 }, b = { "b", 0, 0 }, c = { "c", 5, 0 }, d = { "d", 0, 0 }, first = { "first", 0, 0 };
    OK(ag_module_register_forward_pre_hook(m, log_pre, .user = &a));
    OK(ag_module_register_forward_pre_hook(m, log_pre, .user = &b));
    OK(ag_module_register_forward_hook(m, log_post, .user = &c));
    OK(ag_module_register_forward_hook(m, log_post, .user = &d));
    VALUES(ag_forward(m, one()), 10);
    LOGGED("a:Identity 1 b:Identity 2 c:Identity 2 2 d:Identity 2 10 ");
    OK(ag_module_register_forward_pre_hook(m, log_pre, .user = &first, .prepend = true));
    OK(ag_module_register_forward_hook(m, log_post, .user = &first, .prepend = true));
    VALUES(ag_forward(m, one()), 10);
    LOGGED("first:Identity 1 a:Identity 1 b:Identity 2 first:Identity 2 2 c:Identity 2 2 d:Identity 2 10 ");
    ag_module_free(m);
}
END_TEST

START_TEST(hooks_for_all_modules_run_before_a_modules_own)
{
    Module *net = ag_nn_sequential(ag_nn_relu(), ag_nn_identity());
    Tag own = { "own", 0, 0 }, all = { "all", 0, 0 };
    OK(ag_module_register_forward_pre_hook(ag_nn_at(net, 0), log_pre, .user = &own));
    OK(ag_module_register_forward_hook(ag_nn_at(net, 0), log_post, .user = &own));
    OK(ag_module_register_full_backward_hook(ag_nn_at(net, 0), log_back, .user = &own));
    OK(ag_module_register_full_backward_pre_hook(ag_nn_at(net, 0), log_back_pre, .user = &own));
    ag_hook hooks[] = { ag_nn_register_module_forward_pre_hook(log_pre, .user = &all, .free_user = free_tag),
                        ag_nn_register_module_forward_hook(log_post, .user = &all, .free_user = free_tag),
                        ag_nn_register_module_full_backward_pre_hook(log_back_pre, &all),
                        ag_nn_register_module_full_backward_hook(log_back, &all) };
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
    ag_hook hook = ag_module_register_forward_hook(m, log_post, .user = &a, .free_user = free_tag);
    OK(ag_module_register_forward_pre_hook(m, log_pre, .user = &b, .free_user = free_tag));
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
    return log_pre(m, x, user);
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
    later = ag_module_register_forward_hook(m, log_post, .user = &b, .free_user = free_tag);
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
    OK(ag_module_register_forward_hook(m, log_post, .user = &usual));
    OK(ag_module_register_forward_hook(m, log_post, .user = &always, .always_call = true));
    VALUES(ag_forward(m, one()), 2);
    LOGGED("usual:Identity 1 1 always:Identity 1 1 ");
    ag_hook failing = ag_module_register_forward_hook(m, fails_after);
    OK(ag_module_register_forward_hook(m, log_post, .user = &usual));
    OK(ag_module_register_forward_hook(m, log_post, .user = &last, .always_call = true));
    REFUSED(ag_forward(m, one()), "shape '[77]' is invalid");
    LOGGED("usual:Identity 1 1 always:Identity 1 1 last:Identity 1 2 "); /* each once; the output as it was by then */
    ag_hook_remove(failing);
    failing = ag_module_register_forward_pre_hook(m, fails);
    REFUSED(ag_forward(m, one()), "shape '[77]' is invalid");
    LOGGED("always:Identity 1 - last:Identity 1 - ");
    ag_hook_remove(failing);
    OK(ag_module_register_forward_pre_hook(m, give_none));
    REFUSED(ag_forward(m, one()), "a hook returned None: NULL leaves what it saw as it is");
    hook_log[0] = 0;

    ag_hook all = ag_nn_register_module_forward_hook(log_post, .user = &always, .always_call = true);
    OK(ag_module_register_forward_hook(bad, log_post, .user = &usual));
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
    REFUSED(ag_module_register_forward_pre_hook((Module *)NULL, log_pre), "the module is NULL");
    REFUSED(ag_nn_register_module_full_backward_hook(NULL), "the hook is NULL");
    ag_add(NULL, NULL);
    ck_assert(!ag_module_register_forward_hook(m, log_post, .user = &a, .free_user = free_tag));
    ck_assert(!ag_nn_register_module_forward_hook(log_post, .user = &a, .free_user = free_tag));
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
    OK(ag_module_register_forward_pre_hook(loss, log_pre, .user = &a));
    OK(ag_module_register_forward_hook(loss, log_post, .user = &b));
    OK(ag_module_register_full_backward_hook(loss, log_back, .user = &c));
    Variable *x = one(), *y = ag_criterion(loss, x, ag_zeros(AG_SHAPE(1), .dtype = AG_FLOAT64));
    VALUES(y, 40);
    OK(ag_backward(y));
    LOGGED("a:MSELoss 1 b:MSELoss 2 4 c:MSELoss 40 1 ");
    VALUES(ag_grad(x), 80);
    ag_module_free(loss);
}
END_TEST

static int line; /* where the op is called */
static Variable *root(Module *m, Variable *x, Variable *y, void *user)
{
    (void)m, (void)x, (void)user;
    line = __LINE__ + 1;
    return ag_sum(ag_sqrt(y)); /* a call that a function ends with may leave no trace of the function */
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
    for (int i = 0; i < 20; i++) OK(ag_module_register_forward_pre_hook(m, log_pre, .user = &a));
    for (int i = 0; i < 20; i++) OK(ag_module_register_full_backward_hook(m, log_back, .user = &a));
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
        bool ok = ag_module_register_forward_hook(m, log_post, .user = &a) &&
                  ag_module_register_full_backward_hook(m, log_back, .user = &a);
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

HOOK_LOG_MAIN("module_hooks", forward_hooks_replace_input_and_output_in_the_order_of_registration,
              hooks_for_all_modules_run_before_a_modules_own,
              a_hook_is_removed_by_its_handle_and_its_user_freed_with_it, a_hook_may_remove_itself_and_others,
              a_hook_that_fails_makes_the_call_fail_and_always_called_ones_still_run,
              registering_wants_a_module_and_a_function, a_loss_has_hooks_on_its_input_and_its_output,
              an_error_in_backward_names_the_hooks_line, many_hooks_are_all_called,
              without_memory_a_hooked_call_is_an_error_and_nothing_leaks)
