/* test_modes.c - inference mode, anomaly mode, and hooks on what a graph saves. */
#include "support.h"

/* ---- inference mode ---- */

START_TEST(what_is_made_in_inference_mode_has_no_version_and_cannot_be_saved)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y;
    {
        AG_INFERENCE_MODE;
        ck_assert(ag_is_inference_mode_enabled() && !ag_is_grad_enabled());
        y = ag_mul(x, x);
        OK(ag_add_(y, y));
        OK(ag_requires_grad_set(y, false));
    }
    ck_assert(!ag_is_inference_mode_enabled() && ag_is_grad_enabled());
    ck_assert(ag_is_inference(y) && ag_is_inference(ag_view(y, AG_SHAPE(1, 2))) && !ag_is_inference(ag_add(y, y)));
    ck_assert(!ag_requires_grad(y) && !ag_grad_fn(y));
    ck_assert_int_eq(ag_version(y), -1);
    REFUSED(0, "Inference tensors do not track version counter.");
    REFUSED(ag_mul(x, y), "Inference tensors cannot be saved for backward.");
    OK(ag_add(x, y)); /* nothing of y is saved */
    REFUSED(ag_add_(y, y), "Inplace update to inference tensor outside InferenceMode is not allowed.");
    REFUSED(ag_zero_(ag_view(y, AG_SHAPE(1, 2))), "Inplace update to inference tensor outside InferenceMode");
    REFUSED(ag_requires_grad_(y),
            "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.");
    OK(ag_backward(ag_sum(ag_mul(x, ag_clone(y)))));
    VALUES(ag_grad(x), 2, 8);
}
END_TEST

START_TEST(a_view_made_in_inference_mode_cannot_be_changed_outside)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *view;
    {
        AG_INFERENCE_MODE;
        view = ag_view(y, AG_SHAPE(1, 2));
    }
    ck_assert(!ag_is_inference(view));
    REFUSED(ag_add_(view, view), "A view was created in inference mode and is being modified inplace in normal mode.");
}
END_TEST

START_TEST(inference_mode_nests_and_can_be_left_inside)
{
    Variable *x = LEAF(AG_SHAPE(1), 2);
    AG_INFERENCE_MODE;
    {
        AG_ENABLE_GRAD;
        ck_assert(ag_is_grad_enabled()); /* all the same nothing is recorded */
        ck_assert(!ag_requires_grad(ag_mul(x, ag_scalar(3))));
    }
    {
        AG_INFERENCE_MODE_(false);
        ck_assert(ag_is_grad_enabled());
        Variable *y = ag_mul(x, x);
        ck_assert(ag_requires_grad(y) && !ag_is_inference(y));
    }
    ck_assert(ag_is_inference_mode_enabled());
    ck_assert(ag_is_inference(ag_mul(x, x)));
    Variable *leaf = ag_ones(AG_SHAPE(2), .requires_grad = true), *view = ag_view(leaf, AG_SHAPE(1, 2));
    ck_assert(ag_requires_grad(leaf) && !ag_requires_grad(view) && ag_is_leaf(view) && ag_is_inference(view));
}
END_TEST

START_TEST(numbers_made_in_inference_mode_are_as_good_outside)
{
    Variable *x = LEAF(AG_SHAPE(1), 2);
    {
        AG_INFERENCE_MODE;
        OK(ag_mul(x, ag_scalar(7)));
    }
    OK(ag_backward(ag_mul(x, ag_scalar(7))));
    VALUES(ag_grad(x), 7);
}
END_TEST

/* ---- anomaly mode ---- */

START_TEST(anomaly_mode_names_the_forward_op_its_line_and_the_first_nan)
{
    Variable *x = LEAF(AG_SHAPE(2, 2), 4, 1, 0, 0), *zero = ag_zeros(AG_SHAPE(2, 2), .dtype = AG_FLOAT64), *y;
    AG_DETECT_ANOMALY;
    ck_assert(ag_is_anomaly_enabled() && ag_is_anomaly_check_nan_enabled());
    char here[32];
    snprintf(here, sizeof here, "test_modes.c:%d", __LINE__ + 1);
    y = ag_sqrt(x);
    ck_assert(!ag_backward(ag_sum(ag_mul(y, zero))));
    const char *error = ag_error();
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(error, "Function 'SqrtBackward0' returned nan values in its 0th output. The first is at index "
                                "[1, 0]. Error detected in SqrtBackward0."),
                  "%s", error);
#ifdef AG_TEST_LINES
    ck_assert_msg(strstr(error, here) != NULL, "%s", error);
#endif
    ag_clear_error();
}
END_TEST

static int line; /* where the op is called */
static Variable *root_of_a_sum(Module *self, Variable *x)
{
    (void)self;
    line = __LINE__ + 1;
    return ag_sum(ag_sqrt(x));
}

START_TEST(anomaly_mode_names_the_users_line_behind_what_the_library_calls_itself)
{
    Variable *zero = ag_zeros(AG_SHAPE(1), .dtype = AG_FLOAT64), *index = ag_zeros(AG_SHAPE(1), .dtype = AG_INT64);
    Variable *x = LEAF(AG_SHAPE(1, 2), INFINITY, 0), *y;
    Module *relu = ag_nn_sequential(ag_nn_relu(), ag_nn_softmax(1)),
           *mine = AG_MODULE(AG_MODULE_NEW(Module, root_of_a_sum));
    char here[3][40];
    AG_DETECT_ANOMALY;
    for (int i = 0; i < 3; i++) {
        if (i == 0) line = __LINE__, y = ag_cross_entropy(x, index);
        if (i == 1) line = __LINE__, y = ag_sum(ag_mul(ag_forward(relu, x), LEAF(AG_SHAPE(1), 1)));
        if (i == 2) y = ag_mul(ag_forward(mine, LEAF(AG_SHAPE(1), 0)), zero);
        snprintf(here[i], sizeof *here, "test_modes.c:%d", line);
        ck_assert(!ag_backward(ag_sum(y)));
        ck_assert_ptr_nonnull(strstr(ag_error(), "returned nan values"));
#ifdef AG_TEST_LINES
        ck_assert_msg(strstr(ag_error(), here[i]) != NULL, "%s is not in %s", here[i], ag_error());
#endif
        ag_clear_error();
    }
    ag_module_free(relu);
    ag_module_free(mine);
}
END_TEST

START_TEST(anomaly_mode_explains_any_error_in_a_backward)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_exp(x);
    OK(ag_add_(y, y));
    ag_set_detect_anomaly(true, .check_nan = false);
    ck_assert(ag_is_anomaly_enabled() && !ag_is_anomaly_check_nan_enabled());
    REFUSED(ag_backward(ag_sum(y)), "Error detected in ExpBackward0. The forward call that caused the error was made");
    Variable *nan = ag_mul(ag_sqrt(LEAF(AG_SHAPE(1), 0)), ag_zeros(AG_SHAPE(1), .dtype = AG_FLOAT64));
    OK(ag_backward(nan)); /* NaN is no error */
    ag_set_detect_anomaly(false);
    ck_assert(!ag_is_anomaly_enabled());
    y = ag_exp(x);
    OK(ag_add_(y, y));
    ck_assert(!ag_backward(ag_sum(y)));
    ck_assert(!strstr(ag_error(), "Error detected"));
    ag_clear_error();
}
END_TEST

/* ---- hooks on what is saved ---- */

typedef struct store {
    int packed, unpacked, freed;
    bool fails, changes, gives_none;
} store;
static void *pack(Variable *x, void *user)
{
    store *s = user;
    ck_assert(!ag_requires_grad(x) && !ag_is_grad_enabled());
    if (s->fails) return NULL;
    if (s->changes) OK(ag_zero_(x));
    s->packed++;
    return ag_retain(ag_clone(x));
}
static Variable *unpack(void *packed, void *user)
{
    store *s = user;
    s->unpacked++;
    return s->gives_none ? NULL : packed;
}
static void release(void *packed, void *user)
{
    ((store *)user)->freed++;
    ag_release(packed);
}
#define STORED_IN(s) AG_SAVED_TENSORS_HOOKS(pack, unpack, .user = &(s), .free_packed = release)

START_TEST(what_is_saved_goes_through_the_hooks_and_back)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y;
    store s = { 0 };
    {
        STORED_IN(s);
        y = ag_mul(ag_exp(x), x); /* exp's result for itself; both factors */
    }
    ck_assert_int_eq(s.packed, 3);
    y = ag_mul(y, y); /* not in the block */
    ck_assert_int_eq(s.packed, 3);
    OK(ag_backward(ag_sum(y), .retain_graph = true));
    ck_assert_int_eq(s.unpacked, 3);
    ck_assert_int_eq(s.freed, 0);
    double e1 = exp(1), e2 = exp(2);
    VALUES(ag_grad(x), 2 * e1 * (e1 + e1), 2 * (2 * e2) * (e2 + 2 * e2));
    OK(ag_backward(ag_sum(y)));
    ck_assert_int_eq(s.unpacked, 6);
    ck_assert_int_eq(s.freed, 3);
}
END_TEST

START_TEST(derivatives_of_any_order_pass_through_packed_variables)
{
    static store s; /* what is packed lives until the scope ends */
    Variable *x = LEAF(AG_SHAPE(1), 2), *y, *g;
    STORED_IN(s);
    y = ag_mul(ag_mul(x, x), ag_exp(x)); /* leaf, output and value between */
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), &g, .create_graph = true));
    VALUES(g, 8 * exp(2));
    OK(ag_autograd_grad(AG_LIST(g), AG_LIST(x), &g, .create_graph = true));
    VALUES(g, (4 + 8 + 2) * exp(2));
    OK(ag_autograd_grad(AG_LIST(g), AG_LIST(x), &g));
    VALUES(g, (4 + 12 + 6) * exp(2));
}
END_TEST

START_TEST(a_change_in_place_is_not_noticed_for_what_is_packed)
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *y;
    store s = { 0 };
    {
        STORED_IN(s);
        y = ag_exp(x);
    }
    OK(ag_add_(y, ag_scalar(1)));
    OK(ag_backward(y));
    VALUES(ag_grad(x), exp(2));
}
END_TEST

START_TEST(saved_hooks_that_fail_end_in_their_error)
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *y;
    store s = { .fails = true };
    {
        STORED_IN(s);
        REFUSED(ag_exp(x), "a saved tensor pack hook returned NULL");
        REFUSED(ag_mul(x, x), "a saved tensor pack hook returned NULL");
        s = (store){ .changes = true };
        REFUSED(ag_exp(x), "A saved tensor pack hook is modifying its input in place.");
        ck_assert_int_eq(s.freed, s.packed);
        s = (store){ .gives_none = true };
        y = ag_exp(x);
    }
    REFUSED(ag_backward(y, .retain_graph = true), "Output of saved tensor unpack_hook expected to be a Tensor");
    s.gives_none = false;
    OK(ag_backward(y));
    VALUES(ag_grad(x), exp(2));
    {
        AG_SAVED_TENSORS_HOOKS(pack, NULL, NULL, NULL, NULL, NULL);
        REFUSED(0, "saved_tensors_hooks: unpack is NULL");
    }
}
END_TEST

START_TEST(saved_hooks_can_be_forbidden)
{
    store s = { 0 };
    AG_DISABLE_SAVED_TENSORS_HOOKS("not in here");
    STORED_IN(s);
    REFUSED(0, "not in here");
    OK(ag_exp(LEAF(AG_SHAPE(1), 2)));
    ck_assert_int_eq(s.packed, 0);
}
END_TEST

START_TEST(save_on_cpu_keeps_copies)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y;
    {
        AG_SAVE_ON_CPU;
        y = ag_exp(x);
    }
    OK(ag_zero_(ag_detach(y))); /* the copy is another */
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), exp(1), exp(2));
}
END_TEST

SUPPORT_MAIN("modes", what_is_made_in_inference_mode_has_no_version_and_cannot_be_saved,
             a_view_made_in_inference_mode_cannot_be_changed_outside, inference_mode_nests_and_can_be_left_inside,
             numbers_made_in_inference_mode_are_as_good_outside,
             anomaly_mode_names_the_forward_op_its_line_and_the_first_nan,
             anomaly_mode_names_the_users_line_behind_what_the_library_calls_itself,
             anomaly_mode_explains_any_error_in_a_backward, what_is_saved_goes_through_the_hooks_and_back,
             derivatives_of_any_order_pass_through_packed_variables,
             a_change_in_place_is_not_noticed_for_what_is_packed, saved_hooks_that_fail_end_in_their_error,
             saved_hooks_can_be_forbidden, save_on_cpu_keeps_copies)
