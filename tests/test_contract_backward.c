/* test_contract_backward.c - the Variable's contract, a sentence of docs/contract.md each: backward and autograd.grad,
 * accumulation, threads, gradcheck, derivatives of functions. */
#include "support.h"

#include <pthread.h>

#define FLOATS(...) ag_tensor(((double[]){ __VA_ARGS__ }), AG_SHAPE(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)))

static const char second_time[] =
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward.";

/* ---- roots and their gradients ---- */

START_TEST(the_gradient_of_a_scalar_root_is_implicitly_one_and_any_other_must_be_given) /* row 6 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x);
    OK(ag_backward(ag_sum(y), .retain_graph = true));
    VALUES(ag_grad(x), 2, 4);
    OK(ag_backward(ag_view(ag_sum(y), AG_SHAPE(1, 1)), .retain_graph = true)); /* one element, of any shape */
    VALUES(ag_grad(x), 4, 8);
    REFUSED(ag_backward(y), "grad can be implicitly created only for scalar outputs");
    VALUES(ag_grad(x), 4, 8);
    OK(ag_backward(y, .gradient = FLOATS(1, 10)));
    VALUES(ag_grad(x), 6, 48);
}
END_TEST

START_TEST(a_gradient_has_its_outputs_shape) /* row 6 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x);
    REFUSED(ag_backward(y, .gradient = FLOATS(1, 1, 1)),
            "Mismatch in shape: grad_output[0] has a shape of torch.Size([3]) and output[0] has a shape of "
            "torch.Size([2]).");
    REFUSED(ag_backward(y, .gradient = FLOATS(1)), "grad_output[0] has a shape of torch.Size([1])");
    ck_assert(!ag_grad(x));
}
END_TEST

START_TEST(a_root_without_a_graph_is_an_error) /* row 11 */
{
    Variable *g[1], *x = LEAF(AG_SHAPE(1), 1), *apart = ag_zeros(AG_SCALAR_SHAPE);
    REFUSED(ag_backward(apart), "element 0 of tensors does not require grad and does not have a grad_fn");
    REFUSED(ag_backward(ag_detach(ag_mul(x, x))),
            "element 0 of tensors does not require grad and does not have a grad_fn");
    REFUSED(ag_autograd_grad(AG_LIST(x, apart), AG_LIST(x), g),
            "element 1 of tensors does not require grad and does not have a grad_fn");
    OK(ag_backward(x)); /* a leaf is a root */
    VALUES(ag_grad(x), 1);
}
END_TEST

START_TEST(backward_with_inputs_accumulates_only_into_the_listed_tensors) /* row 7 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *w = LEAF(AG_SHAPE(1), 2), *y = ag_mul(x, w), *z = ag_mul(y, y);
    OK(ag_backward(z, .inputs = AG_LIST(x), .retain_graph = true));
    VALUES(ag_grad(x), 24);
    ck_assert(!ag_grad(w) && !ag_grad(y));
    OK(ag_backward(z, .inputs = AG_LIST(y, x)));
    VALUES(ag_grad(x), 48);
    VALUES(ag_grad(y), 12);
    ck_assert(!ag_grad(w));
}
END_TEST

START_TEST(an_empty_list_of_inputs_is_an_error) /* row 7 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, x), *const none[1] = { 0 };
    REFUSED(ag_backward(y, .inputs = ag_list_from(0, none)), "`inputs` argument to `backward()` cannot be empty.");
    ck_assert(!ag_grad(x));
    OK(ag_backward(y));
}
END_TEST

START_TEST(an_input_of_backward_must_require_grad) /* row 7 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(x, x);
    REFUSED(ag_backward(y, .inputs = AG_LIST(FLOATS(1))), "can't retain_grad on Tensor that has requires_grad=False");
    ck_assert(!ag_grad(x));
}
END_TEST

/* ---- the graph's end ---- */

START_TEST(without_retain_graph_buffers_are_freed_and_a_second_backward_is_an_error) /* row 8 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_sum(ag_mul(x, x)), *g[1];
    OK(ag_backward(y, .retain_graph = true));
    OK(ag_backward(y));
    REFUSED(ag_backward(y), second_time);
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g), second_time);
    VALUES(ag_grad(x), 4, 8);
}
END_TEST

START_TEST(retain_graph_defaults_to_create_graph) /* row 8 */
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *y = ag_exp(ag_mul(x, x)), *g[1];
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .create_graph = true)); /* retains */
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .create_graph = true, .retain_graph = false));
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g), second_time);
    y = ag_mul(x, x);
    OK(ag_backward(y, .create_graph = true));
    OK(ag_backward(y));
    REFUSED(ag_backward(y), second_time);
    OK(ag_set_grad(x, AG_NONE));
}
END_TEST

START_TEST(create_graph_builds_the_derivatives_graph_for_double_backward) /* row 9 */
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *y = ag_pow(x, ag_scalar(4)), *g[1];
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .retain_graph = true));
    VALUES(g[0], 32);
    ck_assert(!ag_requires_grad(g[0]) && !ag_grad_fn(g[0]));
    const double derivatives[] = { 32, 48, 48, 24 };
    for (int k = 0; k < 4; k++, y = g[0]) {
        OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .create_graph = true));
        VALUES(g[0], derivatives[k]);
        ck_assert(k == 3 || (ag_requires_grad(g[0]) && ag_grad_fn(g[0])));
    }
}
END_TEST

START_TEST(backward_with_create_graph_makes_a_cycle_that_is_not_leaked) /* row 9: PyTorch leaks it and advises grad() */
{
    {
        AG_SCOPE;
        Variable *x = LEAF(AG_SHAPE(1), 2);
        OK(ag_backward(ag_pow(x, ag_scalar(3)), .create_graph = true));
        ck_assert(ag_requires_grad(ag_grad(x))); /* x.grad's graph holds x */
    }
    ck_assert_int_eq(ag_leaks(NULL), 0);
}
END_TEST

/* ---- autograd.grad ---- */

START_TEST(autograd_grad_returns_sums_and_does_not_touch_grad) /* row 10 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *g[2];
    OK(ag_backward(ag_sum(x)));
    Variable *a = ag_mul(x, w), *b = ag_square(x);
    OK(ag_autograd_grad(AG_LIST(a, b), AG_LIST(x, w), g, .grad_outputs = AG_LIST(FLOATS(1, 10), FLOATS(100, 1000))));
    VALUES(g[0], 203, 4040);
    VALUES(g[1], 1, 20);
    VALUES(ag_grad(x), 1, 1);
    ck_assert(!ag_grad(w));
}
END_TEST

START_TEST(an_unused_input_of_autograd_grad_is_an_error_unless_allowed) /* row 10 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *y = ag_sum(ag_square(x)), *g[2];
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .retain_graph = true),
            "appears to not have been used in the graph. Set allow_unused=True if this is the desired behavior.");
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .retain_graph = true, .allow_unused = true));
    VALUES(g[0], 2, 4);
    ck_assert(!g[1]);
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .materialize_grads = true));
    VALUES(g[1], 0, 0);
}
END_TEST

START_TEST(batched_grad_outputs_give_batched_gradients) /* row 10 */
{
    Variable *x = LEAF(AG_SHAPE(2), 3, 5), *g[1], *eye = ag_eye(2, .dtype = AG_FLOAT64);
    OK(ag_autograd_grad(AG_LIST(ag_square(x)), AG_LIST(x), g, .grad_outputs = AG_LIST(eye), .is_grads_batched = true));
    SHAPE(g[0], 2, 2);
    VALUES(g[0], 6, 0, 0, 10);
}
END_TEST

/* ---- accumulation ---- */

START_TEST(gradients_accumulate_over_backwards_until_zero_grad) /* row 34 */
{
    Module *net = ag_nn_linear(2, 1, .bias = false, .dtype = AG_FLOAT64);
    Optimizer *sgd = ag_optim_sgd(ag_parameters(net), .lr = 0.5);
    Variable *w = ag_get_parameter(net, "weight");
    OK(ag_nn_init_ones_(w));
    for (int micro_batch = 0; micro_batch < 3; micro_batch++)
        OK(ag_backward(ag_sum(ag_forward(net, ag_view(FLOATS(1, 2), AG_SHAPE(1, 2))))));
    VALUES(ag_grad(w), 3, 6);
    OK(ag_optim_step(sgd));
    VALUES(w, -0.5, -2);
    OK(ag_optim_zero_grad(sgd)); /* set_to_none is the default */
    ck_assert(!ag_grad(w));
    OK(ag_backward(ag_sum(w)));
    OK(ag_optim_zero_grad(sgd, .set_to_none = false));
    VALUES(ag_grad(w), 0, 0);
    ag_optim_free(sgd);
    ag_module_free(net);
}
END_TEST

START_TEST(optimizers_skip_parameters_whose_grad_is_none) /* row 34 */
{
    Variable *x = LEAF(AG_SHAPE(1), 1), *w = LEAF(AG_SHAPE(1), 1);
    Optimizer *both[] = { ag_optim_sgd(AG_LIST(x, w), .lr = 0.1, .momentum = 0.9, .weight_decay = 0.5),
                          ag_optim_adam(AG_LIST(x, w), .lr = 0.1, .weight_decay = 0.5) };
    for (int i = 0; i < 2; i++) {
        OK(ag_set_grad(x, ag_ones_like(x)));
        double before = ag_item(x);
        OK(ag_optim_step(both[i]));
        ck_assert(ag_item(x) != before);
        VALUES(w, 1);
        ck_assert_int_eq(ag_version(w), 0);
        ag_optim_free(both[i]);
    }
}
END_TEST

/* ---- threads ---- */

static void *walks_back(void *user) { return ag_backward(user) ? NULL : strdup(ag_error()); }
static void *builds_and_walks(void *leaf)
{
    for (int i = 0; i < 100; i++) {
        AG_SCOPE;
        if (!ag_backward(ag_sum(ag_mul(ag_exp(leaf), leaf)))) return strdup(ag_error());
    }
    return NULL;
}
/* What user's call says went wrong in a thread of its own. */
static char *in_a_thread(void *(*call)(void *), void *user)
{
    pthread_t thread;
    void *error;
    ck_assert_int_eq(pthread_create(&thread, NULL, call, user), 0);
    pthread_join(thread, &error);
    return error;
}

START_TEST(backward_may_run_in_several_threads_whose_graphs_share_leaves) /* row 45: here the sums do not race */
{
    enum { THREADS = 4 };
    Variable *w = LEAF(AG_SHAPE(2), 0, 1);
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, builds_and_walks, w), 0);
    for (int i = 0; i < THREADS; i++) {
        void *error;
        pthread_join(thread[i], &error);
        ck_assert_ptr_null(error);
    }
    CLOSE(ag_grad(w), FLOATS(THREADS * 100, THREADS * 100 * 2 * exp(1)), 1e-12);
}
END_TEST

START_TEST(a_graph_shared_by_threads_without_retain_graph_is_an_error_in_the_second) /* row 45 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_exp(x), *a = ag_sum(y), *b = ag_sum(ag_mul(y, ag_scalar(2)));
    ck_assert_ptr_null(in_a_thread(walks_back, a));
    char *error = in_a_thread(walks_back, b);
    ck_assert_ptr_nonnull(error);
    ck_assert_str_eq(error, second_time);
    free(error);
    ck_assert(!ag_error()); /* it stands in the thread where it happened */
    VALUES(ag_grad(x), exp(1), exp(2));
}
END_TEST

/* ---- gradcheck ---- */

static int product(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_mul(ag_sin(x[0]), x[1]), 1;
}
/* exp whose backward is its value times *user. */
static bool wrong_forward(ag_context *ctx, ag_list in, Variable **out)
{
    return (out[0] = ag_exp(in.at[0])) && ag_save_for_backward(ctx, AG_LIST(out[0]));
}
static bool wrong_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    double factor = *(double *)ag_context_user(ctx);
    return (grad[0] = ag_mul(ag_mul(g[0], ag_saved_tensors(ctx).at[0]), ag_scalar(factor)));
}
static const ag_function wrong = { .name = "Wrong", .forward = wrong_forward, .backward = wrong_backward };
static int off_by(Variable *const *x, int n, Variable **y, void *factor)
{
    (void)n;
    return y[0] = ag_function_apply(&wrong, AG_LIST(x[0]), factor), 1;
}

START_TEST(gradcheck_compares_backward_with_central_differences) /* row 35 */
{
    Variable *a = LEAF(AG_SHAPE(2), 0.3, 0.7), *b = LEAF(AG_SHAPE(2), 2, 5);
    ag_gradcheck_result found;
    ck_assert_msg(ag_gradcheck(product, AG_LIST(a, b), .result = &found), "%s", found.message);
    ck_assert_msg(ag_gradcheck(product, AG_LIST(a, b), .result = &found, .fast_mode = true), "%s", found.message);
    ck_assert(!ag_grad(a) && !ag_grad(b));
}
END_TEST

START_TEST(gradchecks_tolerances_are_atol_1e_5_and_rtol_1e_3) /* row 35 */
{
    Variable *x = LEAF(AG_SHAPE(1), 3); /* a gradient of 20: 0.020 + 0.00001 may be wrong */
    double inside = 1 + 0.99e-3, outside = 1 + 1.01e-3, doubled = 2;
    ck_assert(ag_gradcheck(off_by, AG_LIST(x), &inside));
    ag_gradcheck_result found;
    ck_assert(!ag_gradcheck(off_by, AG_LIST(x), &outside, .result = &found));
    ck_assert(!ag_error()); /* a verdict is no error */
    ck_assert(found.input == 0 && found.output == 0 && found.element == 0);
    ck_assert_double_eq_tol(found.numeric, exp(3), 1e-6);
    ck_assert(!ag_gradcheck(off_by, AG_LIST(x), &doubled, .fast_mode = true));
    ck_assert(ag_gradcheck(off_by, AG_LIST(x), &doubled, .rtol = 1.1));
}
END_TEST

START_TEST(gradcheck_fails_on_overlapping_memory) /* row 35 */
{
    Variable *x = ag_requires_grad_(ag_expand(FLOATS(1), AG_SHAPE(3)));
    double right = 1;
    REFUSED(ag_gradcheck(off_by, AG_LIST(x), &right), "overlap");
}
END_TEST

START_TEST(gradgradcheck_checks_gradients_of_gradients_with_random_grad_outputs) /* row 36 */
{
    Variable *a = LEAF(AG_SHAPE(2), 0.3, 0.7), *b = LEAF(AG_SHAPE(2), 2, 5);
    unsigned char before[AG_RNG_STATE_BYTES], after[AG_RNG_STATE_BYTES];
    OK(ag_get_rng_state(before));
    ag_gradcheck_result found;
    ck_assert_msg(ag_gradgradcheck(product, AG_LIST(a, b), .result = &found), "%s", found.message);
    OK(ag_get_rng_state(after));
    ck_assert_mem_eq(before, after, sizeof before);
}
END_TEST

/* ---- functional ---- */

static int squares(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_mul(x[0], ag_square(x[1])), 1;
}
static int sum_of_squares(Variable *const *x, int n, Variable **y, void *user)
{
    return squares(x, n, y, user) == 1 ? (y[0] = ag_sum(y[0]), 1) : -1;
}
static int ignores_the_second(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_square(x[0]), 1;
}

START_TEST(functional_gives_products_with_the_jacobian_and_the_hessian_and_both_whole) /* row 37 */
{
    Variable *x = FLOATS(1, 2), *w = FLOATS(3, 4); /* y = x w^2; they need not want a gradient */
    List in = AG_LIST(x, w), v = AG_LIST(FLOATS(1, 10)), vs = AG_LIST(FLOATS(1, 0), FLOATS(0, 1));
    ag_functional vjp = ag_autograd_functional_vjp(squares, in, v), jvp = ag_autograd_functional_jvp(squares, in, vs);
    VALUES(vjp.func_output.at[0], 9, 32);
    VALUES(vjp.vjp.at[0], 9, 160);
    VALUES(vjp.vjp.at[1], 6, 160);
    VALUES(jvp.jvp.at[0], 9, 16);
    List jacobian = ag_autograd_functional_jacobian(squares, in), hessian;
    VALUES(jacobian.at[0], 9, 0, 0, 16);
    VALUES(jacobian.at[1], 6, 0, 0, 16);
    hessian = ag_autograd_functional_hessian(sum_of_squares, in);
    ck_assert_int_eq(hessian.n, 4);
    VALUES(hessian.at[0], 0, 0, 0, 0);
    VALUES(hessian.at[1], 6, 0, 0, 8);
    VALUES(hessian.at[3], 2, 0, 0, 4);
    ag_functional hvp = ag_autograd_functional_hvp(sum_of_squares, in, vs),
                  vhp = ag_autograd_functional_vhp(sum_of_squares, in, vs);
    VALUES(hvp.hvp.at[0], 0, 8);
    VALUES(hvp.hvp.at[1], 6, 4);
    VALUES(vhp.vhp.at[0], 0, 8);
    VALUES(vhp.vhp.at[1], 6, 4);
}
END_TEST

START_TEST(strict_refuses_what_does_not_depend_and_create_graph_differentiates_on) /* row 37 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *g[1];
    VALUES(ag_autograd_functional_jacobian(ignores_the_second, AG_LIST(x, w)).at[1], 0, 0, 0, 0);
    REFUSED(ag_autograd_functional_jacobian(ignores_the_second, AG_LIST(x, w), .strict = true).n,
            "Output 0 of the user-provided function is independent of input 1. This is not allowed in strict mode.");
    ag_functional r = ag_autograd_functional_vjp(ignores_the_second, AG_LIST(x), AG_LIST(FLOATS(1, 10)),
                                                 .create_graph = true);
    VALUES(r.vjp.at[0], 2, 40);
    OK(ag_autograd_grad(AG_LIST(ag_sum(r.vjp.at[0])), AG_LIST(x), g));
    VALUES(g[0], 2, 20);
}
END_TEST

SUPPORT_MAIN("contract_backward", the_gradient_of_a_scalar_root_is_implicitly_one_and_any_other_must_be_given,
             a_gradient_has_its_outputs_shape, a_root_without_a_graph_is_an_error,
             backward_with_inputs_accumulates_only_into_the_listed_tensors, an_empty_list_of_inputs_is_an_error,
             an_input_of_backward_must_require_grad,
             without_retain_graph_buffers_are_freed_and_a_second_backward_is_an_error,
             retain_graph_defaults_to_create_graph, create_graph_builds_the_derivatives_graph_for_double_backward,
             backward_with_create_graph_makes_a_cycle_that_is_not_leaked,
             autograd_grad_returns_sums_and_does_not_touch_grad,
             an_unused_input_of_autograd_grad_is_an_error_unless_allowed, batched_grad_outputs_give_batched_gradients,
             gradients_accumulate_over_backwards_until_zero_grad, optimizers_skip_parameters_whose_grad_is_none,
             backward_may_run_in_several_threads_whose_graphs_share_leaves,
             a_graph_shared_by_threads_without_retain_graph_is_an_error_in_the_second,
             gradcheck_compares_backward_with_central_differences, gradchecks_tolerances_are_atol_1e_5_and_rtol_1e_3,
             gradcheck_fails_on_overlapping_memory,
             gradgradcheck_checks_gradients_of_gradients_with_random_grad_outputs,
             functional_gives_products_with_the_jacobian_and_the_hessian_and_both_whole,
             strict_refuses_what_does_not_depend_and_create_graph_differentiates_on)
