/* test_contract_modes.c - the Variable's contract, a sentence of docs/contract.md each: grad mode, inference mode,
 * anomaly mode, checkpoints. */
#include "support.h"

#include <pthread.h>

#define FLOATS(...) ag_tensor(((double[]){ __VA_ARGS__ }), AG_SHAPE(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)))

/* ---- grad mode ---- */

START_TEST(in_no_grad_mode_results_do_not_require_grad) /* row 12 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y;
    {
        AG_NO_GRAD;
        ck_assert(!ag_is_grad_enabled());
        y = ag_mul(x, x);
        OK(ag_add_(x, ag_scalar(1.0))); /* nor is a leaf's change refused or recorded */
    }
    ck_assert(ag_is_grad_enabled());
    ck_assert(!ag_requires_grad(y) && !ag_grad_fn(y) && ag_is_leaf(y));
    ck_assert(ag_requires_grad(x) && ag_is_leaf(x));
    VALUES(x, 2, 3);
}
END_TEST

START_TEST(factory_functions_are_exempt_from_no_grad_mode) /* row 12 */
{
    AG_NO_GRAD;
    Variable *made[] = { ag_zeros(AG_SHAPE(2), .requires_grad = true), ag_rand(AG_SHAPE(2), .requires_grad = true),
                         ag_tensor(((float[]){ 1 }), AG_SHAPE(1), .requires_grad = true),
                         ag_requires_grad_(ag_ones(AG_SHAPE(2))) };
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) ck_assert(ag_requires_grad(made[i]) && ag_is_leaf(made[i]));
}
END_TEST

static void *asks(void *enabled)
{
    *(bool *)enabled = ag_is_grad_enabled();
    ag_set_grad_enabled(false); /* its own */
    return NULL;
}
START_TEST(grad_mode_is_thread_local) /* row 12 */
{
    bool enabled = false;
    pthread_t thread;
    {
        AG_NO_GRAD;
        ck_assert_int_eq(pthread_create(&thread, NULL, asks, &enabled), 0);
        pthread_join(thread, NULL);
        ck_assert(enabled && !ag_is_grad_enabled());
    }
    ck_assert_int_eq(pthread_create(&thread, NULL, asks, &enabled), 0);
    pthread_join(thread, NULL);
    ck_assert(ag_is_grad_enabled());
}
END_TEST

START_TEST(enable_grad_and_set_grad_enabled_turn_recording_on_inside_no_grad) /* row 13 */
{
    Variable *x = LEAF(AG_SHAPE(1), 2);
    {
        AG_NO_GRAD;
        {
            AG_ENABLE_GRAD;
            ck_assert(ag_requires_grad(ag_mul(x, x)));
        }
        ck_assert(!ag_requires_grad(ag_mul(x, x)));
        ag_set_grad_enabled(true);
        ck_assert(ag_requires_grad(ag_mul(x, x)));
        ag_set_grad_enabled(false);
        ck_assert(!ag_requires_grad(ag_mul(x, x)));
        ag_set_grad_enabled(true);
    }
    ck_assert(ag_is_grad_enabled()); /* the block's end restores what was before it */
    {
        AG_GRAD_MODE_(1 > 2);
        ck_assert(!ag_is_grad_enabled());
    }
    ck_assert(ag_is_grad_enabled());
}
END_TEST

/* ---- inference mode ---- */

START_TEST(inference_mode_is_like_no_grad) /* row 14 */
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *y;
    {
        AG_INFERENCE_MODE;
        ck_assert(ag_is_inference_mode_enabled() && !ag_is_grad_enabled());
        y = ag_mul(x, x);
        ck_assert(ag_requires_grad(ag_zeros(AG_SHAPE(1), .requires_grad = true)));
        OK(ag_add_(ag_detach(x), ag_scalar(1.0)));
    }
    ck_assert(!ag_requires_grad(y) && ag_is_leaf(y) && ag_is_inference(y) && !ag_is_inference(x));
    VALUES(y, 4);
}
END_TEST

START_TEST(inference_tensors_cannot_be_saved_for_backward_afterwards) /* row 14 */
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *y;
    {
        AG_INFERENCE_MODE;
        y = ag_mul(x, x);
    }
    REFUSED(
        ag_mul(x, y),
        "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
        "computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use it "
        "in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`.");
    OK(ag_add(x, y)); /* add saves nothing */
    OK(ag_backward(ag_mul(x, ag_clone(y))));
    VALUES(ag_grad(x), 4);
    REFUSED(ag_add_(y, y), "Inplace update to inference tensor outside InferenceMode is not allowed.");
    REFUSED(ag_requires_grad_(y),
            "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.");
    ck_assert_int_eq(ag_version(y), -1);
    REFUSED(0, "Inference tensors do not track version counter.");
}
END_TEST

/* ---- anomaly mode ---- */

START_TEST(a_backward_error_in_anomaly_mode_carries_the_forward_call_of_the_failing_op) /* row 32 */
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y;
    AG_DETECT_ANOMALY;
    y = ag_exp(x);
    char here[64];
    snprintf(here, sizeof here, "test_contract_modes.c:%d", __LINE__ - 2);
    OK(ag_add_(y, y));
    ck_assert(!ag_backward(ag_sum(y)));
    const char *error = ag_error();
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(error, "modified by an inplace operation") && strstr(error, "Error detected in ExpBackward0."),
                  "%s", error);
#ifdef AG_TEST_LINES
    ck_assert_msg(strstr(error, here) != NULL, "%s", error);
#endif
    ag_clear_error();
}
END_TEST

START_TEST(with_check_nan_a_nan_in_any_backward_output_is_an_error) /* row 32 */
{
    Variable *x = LEAF(AG_SHAPE(3), 4, 0, 0), *zero = ag_zeros(AG_SHAPE(3), .dtype = AG_FLOAT64);
    OK(ag_backward(ag_sum(ag_mul(ag_sqrt(x), zero)))); /* 0 * inf; nobody looks */
    ck_assert(isnan(support_at(ag_grad(x), 1)));
    {
        AG_DETECT_ANOMALY;
        REFUSED(ag_backward(ag_sum(ag_mul(ag_sqrt(x), zero))),
                "Function 'SqrtBackward0' returned nan values in its 0th output.");
        ag_set_detect_anomaly(true, .check_nan = false);
        OK(ag_backward(ag_sum(ag_mul(ag_sqrt(x), zero))));
    }
    ck_assert(!ag_is_anomaly_enabled());
}
END_TEST

/* ---- checkpoints ---- */

static int runs;
static int block(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    runs++;
    return y[0] = ag_sin(ag_exp(x[0])), 1;
}
static int drops(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    runs++;
    return y[0] = ag_mul(ag_dropout(x[0], 0.5), x[0]), 1;
}

START_TEST(a_checkpoint_is_computed_again_in_backward) /* row 33 */
{
    Variable *x = LEAF(AG_SHAPE(2), 0.3, 0.7), *y[2];
    for (int reentrant = 0; reentrant < 2; reentrant++) {
        runs = 0;
        OK(ag_set_grad(x, AG_NONE));
        y[0] = ag_checkpoint(block, AG_LIST(x), .use_reentrant = reentrant);
        CLOSE(ag_detach(y[0]), ag_sin(ag_exp(ag_detach(x))), 1e-15);
        ck_assert_int_eq(runs, 1);
        OK(ag_backward(ag_sum(y[0])));
        ck_assert_int_eq(runs, 2);
        Variable *e = ag_exp(ag_detach(x));
        CLOSE(ag_grad(x), ag_mul(ag_cos(e), e), 1e-14);
    }
}
END_TEST

START_TEST(a_checkpoint_restores_the_rng_state_by_default) /* row 33 */
{
    Variable *x = ag_requires_grad_(ag_ones(AG_SHAPE(100), .dtype = AG_FLOAT64));
    for (int reentrant = 0; reentrant < 2; reentrant++) {
        OK(ag_set_grad(x, AG_NONE));
        Variable *y = ag_checkpoint(drops, AG_LIST(x), .use_reentrant = reentrant), *drawn = ag_rand(AG_SHAPE(1));
        ag_manual_seed(7);
        double next = ag_item(ag_rand(AG_SHAPE(1)));
        ag_manual_seed(7);
        OK(ag_backward(ag_sum(y)));
        CLOSE(ag_grad(x), ag_mul(ag_detach(y), ag_scalar(2)), 1e-15); /* the same mask */
        ck_assert(ag_item(ag_rand(AG_SHAPE(1))) == next && drawn);    /* and the generator as it was */
    }
    Variable *y = ag_checkpoint(drops, AG_LIST(x), .preserve_rng_state = false);
    OK(ag_set_grad(x, AG_NONE));
    OK(ag_backward(ag_sum(y)));
    ck_assert(!ag_allclose(ag_grad(x), ag_mul(ag_detach(y), ag_scalar(2)))); /* another mask */
}
END_TEST

START_TEST(the_reentrant_checkpoint_is_incompatible_with_grad_and_inputs) /* row 33 */
{
    Variable *x = LEAF(AG_SHAPE(1), 0.5), *g[1];
    static const char sentence[] = "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or "
                                   "passing an `inputs` parameter to "
                                   ".backward(). To resolve this error, you can either set use_reentrant=False, or "
                                   "call .backward() without passing "
                                   "the `inputs` argument.";
    REFUSED(ag_autograd_grad(AG_LIST(ag_checkpoint(block, AG_LIST(x), .use_reentrant = true)), AG_LIST(x), g),
            sentence);
    REFUSED(ag_backward(ag_checkpoint(block, AG_LIST(x), .use_reentrant = true), .inputs = AG_LIST(x)), sentence);
    OK(ag_autograd_grad(AG_LIST(ag_checkpoint(block, AG_LIST(x))), AG_LIST(x), g, .create_graph = true));
    OK(ag_autograd_grad(AG_LIST(g[0]), AG_LIST(x), g));
    OK(ag_backward(ag_checkpoint(block, AG_LIST(x)), .inputs = AG_LIST(x)));
}
END_TEST

SUPPORT_MAIN("contract_modes", in_no_grad_mode_results_do_not_require_grad,
             factory_functions_are_exempt_from_no_grad_mode, grad_mode_is_thread_local,
             enable_grad_and_set_grad_enabled_turn_recording_on_inside_no_grad, inference_mode_is_like_no_grad,
             inference_tensors_cannot_be_saved_for_backward_afterwards,
             a_backward_error_in_anomaly_mode_carries_the_forward_call_of_the_failing_op,
             with_check_nan_a_nan_in_any_backward_output_is_an_error, a_checkpoint_is_computed_again_in_backward,
             a_checkpoint_restores_the_rng_state_by_default,
             the_reentrant_checkpoint_is_incompatible_with_grad_and_inputs)
