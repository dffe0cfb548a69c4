/* test_autograd_inference.c - what PyTorch's TestAutogradInferenceMode asserts (docs/test-autograd.md): inference
 * tensors and normal ones, inside the mode and outside, in functional ops, in-place ops and views. */
#include "support.h"

static const char saved[] = "Inference tensors cannot be saved for backward.";
static const char updated[] = "Inplace update to inference tensor outside InferenceMode is not allowed.";
static const char made_inside[] =
    "A view was created in inference mode and is being modified inplace in normal mode. Given "
    "that this use case is ambiguous and error-prone, it is forbidden.";

static Variable *one, *two; /* made outside the mode */
static void begin(void)
{
    support_begin();
    one = ag_ones(AG_SCALAR_SHAPE, .dtype = AG_FLOAT64);
    two = ag_full(AG_SCALAR_SHAPE, 2, .dtype = AG_FLOAT64);
}
static Variable *ones(bool requires_grad)
{
    return ag_ones(AG_SHAPE(1, 2, 3), .dtype = AG_FLOAT64, .requires_grad = requires_grad);
}
static Variable *inference_ones(bool requires_grad)
{
    AG_INFERENCE_MODE;
    return ones(requires_grad);
}
static Variable *flat(Variable *x) { return ag_view(x, AG_SHAPE(-1)); }
/* x is what the flags say: i inference, g requires grad, l a leaf. */
static void is(Variable *x, const char *flags)
{
    OK(x);
    ck_assert_msg(ag_is_inference(x) == !!strchr(flags, 'i') && ag_requires_grad(x) == !!strchr(flags, 'g') &&
                      ag_is_leaf(x) == !!strchr(flags, 'l'),
                  "not '%s': inference %d, requires grad %d, leaf %d", flags, ag_is_inference(x), ag_requires_grad(x),
                  ag_is_leaf(x));
}

START_TEST(inference_mode_is_left_as_it_was_entered)
{
    ck_assert(!ag_is_inference_mode_enabled() && ag_is_grad_enabled());
    {
        AG_INFERENCE_MODE;
        ck_assert(ag_is_inference_mode_enabled() && !ag_is_grad_enabled());
        {
            AG_INFERENCE_MODE_(false);
            ck_assert(!ag_is_inference_mode_enabled() && ag_is_grad_enabled());
            {
                AG_NO_GRAD;
                AG_INFERENCE_MODE;
                ck_assert(ag_is_inference_mode_enabled());
            }
        }
        ck_assert(ag_is_inference_mode_enabled() && !ag_is_grad_enabled());
        AG_ENABLE_GRAD; /* grad mode comes and goes inside, to no effect */
        ck_assert(ag_is_inference_mode_enabled());
        is(ag_mul(ones(true), ones(true)), "il");
    }
    ck_assert(!ag_is_inference_mode_enabled() && ag_is_grad_enabled());
}
END_TEST

START_TEST(inference_tensors_inside_the_mode_go_through_ops_of_every_kind)
{
    for (int requires_grad = 0; requires_grad < 2; requires_grad++) {
        AG_INFERENCE_MODE;
        Variable *c = ones(requires_grad);
        is(c, requires_grad ? "igl" : "il");
        is(ag_mul(c, c), "il");
        is(flat(c), "il");
        OK(ag_add_(c, two)); /* a leaf that requires grad, too: nothing is recorded */
        is(c, requires_grad ? "igl" : "il");
        OK(ag_mul_(flat(c), two));
        VALUES(c, 6, 6, 6, 6, 6, 6);
    }
}
END_TEST

START_TEST(inference_tensors_outside_the_mode_are_read_and_viewed_but_not_changed)
{
    Variable *c = inference_ones(false);
    is(ag_add(c, one), "l");
    is(ag_mul(c, c), "l"); /* nobody wants a gradient: nothing is saved */
    is(flat(c), "il");
    REFUSED(ag_mul_(c, two), updated);
    REFUSED(ag_mul_(flat(c), two), updated);
    VALUES(c, 1, 1, 1, 1, 1, 1);
    OK(ag_mul_(ag_clone(c), two));
    Variable *wants = inference_ones(true);
    is(ag_add(wants, one), "g"); /* saves nothing */
    is(ag_mul(wants, two), "g");
    REFUSED(ag_mul(wants, wants), saved);
    is(flat(wants), "il");
}
END_TEST

START_TEST(normal_tensors_are_changed_inside_the_mode_with_their_version_and_without_history)
{
    Variable *leaf = ones(true), *inner = ag_clone(leaf), *plain = ones(false);
    Node *before = ag_grad_fn(inner);
    {
        AG_INFERENCE_MODE;
        OK(ag_add_(leaf, one));
        OK(ag_add_(inner, one));
        OK(ag_add_(plain, one));
    }
    is(leaf, "gl");
    is(inner, "g");
    is(plain, "l");
    ck_assert_ptr_eq(ag_grad_fn(inner), before);
    ck_assert(ag_version(leaf) == 1 && ag_version(inner) == 1 && ag_version(plain) == 1);
    OK(ag_mul_(inner, two)); /* outside again, as ever */
    ck_assert_str_eq(ag_node_name(ag_grad_fn(inner)), "MulBackward0");
}
END_TEST

START_TEST(views_of_normal_tensors_made_inside_are_normal_and_not_changed_outside)
{
    Variable *leaf = ones(true), *inner = ag_clone(leaf), *plain = ones(false), *views[3], *of_view;
    {
        AG_INFERENCE_MODE;
        views[0] = flat(leaf);
        views[1] = flat(inner);
        views[2] = flat(plain);
        of_view = ag_view(views[1], AG_SHAPE(6));
        OK(ag_add_(views[2], one));
        ck_assert_int_eq(ag_version(plain), 1);
    }
    is(views[0], "gl");
    is(views[1], "gl"); /* it leads nowhere */
    is(views[2], "l");
    is(ag_add(views[1], one), "g");
    REFUSED(ag_mul_(views[0], two), made_inside);
    REFUSED(ag_mul_(views[1], two), made_inside);
    REFUSED(ag_mul_(of_view, two), made_inside);
    OK(ag_mul_(views[2], two)); /* nothing would be recorded */
    VALUES(plain, 4, 4, 4, 4, 4, 4);
}
END_TEST

START_TEST(normal_and_inference_tensors_meet_where_nothing_of_the_latter_is_saved)
{
    Variable *c = inference_ones(false), *s = ones(true), *a = ag_clone(s);
    is(ag_add(c, s), "g");
    is(ag_stack(AG_LIST(s, c)), "g");
    is(ag_cat(AG_LIST(s, c)), "g");
    REFUSED(ag_mul(c, s), saved);
    REFUSED(ag_mul_(a, c), saved);
    ck_assert_int_eq(ag_version(a), 0);
    OK(ag_add_(a, c));
    REFUSED(ag_add_(c, s), updated);
    REFUSED(ag_copy_(c, s), updated);
    OK(ag_copy_(a, c));
    OK(ag_backward(ag_sum(ag_add(c, s))));
    VALUES(ag_grad(s), 1, 1, 1, 1, 1, 1);
}
END_TEST

START_TEST(a_change_inside_the_mode_spoils_what_a_graph_had_saved)
{
    Variable *s = ones(true), *a = ag_clone(s), *out = ag_mul(a, a);
    {
        AG_INFERENCE_MODE;
        OK(ag_add_(a, two));
    }
    REFUSED(ag_backward(ag_sum(out)), "which is output 0 of Clone, is at version 1; expected version 0 instead.");
}
END_TEST

START_TEST(a_view_whose_base_was_changed_is_rebased_inside_the_mode_too)
{
    for (int direct = 0; direct < 2; direct++) {
        Variable *s = ones(true), *base = ag_clone(s), *view = flat(base);
        if (!direct) view = ag_view(view, AG_SHAPE(2, 3));
        OK(ag_mul_(base, two));
        {
            AG_INFERENCE_MODE;
            is(view, "g");
            ck_assert_str_eq(ag_node_name(ag_grad_fn(view)), "AsStridedBackward0");
        }
        OK(ag_backward(ag_sum(view)));
        VALUES(ag_grad(s), 2, 2, 2, 2, 2, 2);
    }
}
END_TEST

START_TEST(an_inference_tensor_is_no_root_and_its_flag_is_not_set_outside)
{
    Variable *c = inference_ones(false);
    REFUSED(ag_backward(ag_sum(c)), "element 0 of tensors does not require grad and does not have a grad_fn");
    REFUSED(ag_requires_grad_(c),
            "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.");
    OK(ag_detach_(c));
    is(ag_detach(c), "il");
    AG_INFERENCE_MODE;
    OK(ag_requires_grad_(c));
    is(c, "igl");
}
END_TEST

int main(void)
{
    const TTest *all[] = { inference_mode_is_left_as_it_was_entered,
                           inference_tensors_inside_the_mode_go_through_ops_of_every_kind,
                           inference_tensors_outside_the_mode_are_read_and_viewed_but_not_changed,
                           normal_tensors_are_changed_inside_the_mode_with_their_version_and_without_history,
                           views_of_normal_tensors_made_inside_are_normal_and_not_changed_outside,
                           normal_and_inference_tensors_meet_where_nothing_of_the_latter_is_saved,
                           a_change_inside_the_mode_spoils_what_a_graph_had_saved,
                           a_view_whose_base_was_changed_is_rebased_inside_the_mode_too,
                           an_inference_tensor_is_no_root_and_its_flag_is_not_set_outside };
    return support_main_with("autograd_inference", all, sizeof all / sizeof *all, begin, support_end);
}
