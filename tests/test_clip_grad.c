/* test_clip_grad.c - clip_grad_norm_: PyTorch's norms and gradients (nn_runs.h); what is refused changes nothing. */
#include "interpose.h"
#include "nn_runs.h"

enum { PARAMS = 4 };

/* The recorded parameters; the last has no gradient. */
static void make(Variable **p, ag_dtype dtype)
{
    const Shape shape[PARAMS] = { AG_SHAPE(4, 9), AG_SHAPE(3), AG_SCALAR_SHAPE, AG_SHAPE(2) };
    for (int i = 0; i < PARAMS; i++) {
        p[i] = ag_zeros(shape[i], .dtype = dtype, .requires_grad = true);
        if (i < 3) OK(ag_set_grad(p[i], support_draw(shape[i], dtype, 3)));
    }
}

START_TEST(norms_and_clipped_gradients_are_pytorchs)
{
    nn_record r = nn_records("clip");
    while (nn_next(&r)) {
        AG_SCOPE;
        Variable *p[PARAMS];
        char max_norm[32];
        const char *at = r.of;
        ag_dtype dtype = nn_dtype(&at);
        double tolerance = dtype == AG_FLOAT64 ? 1e-14 : 1e-6, norm_type = nn_number(r.of, "norm_type", 0);
        nn_word(&at, max_norm);
        make(p, dtype);
        List list = ag_list_from(PARAMS, p);
        Variable *n = *at ? ag_nn_utils_clip_grad_norm_(list, atof(max_norm), .norm_type = norm_type)
                          : ag_nn_utils_clip_grad_norm_(list, atof(max_norm));
        ck_assert(nn_line(&r));
        at = r.line + 1;
        nn_same(n, &at, tolerance, r.of);
        ck_assert_int_eq(ag_dim(n), 0);
        ck_assert(!ag_requires_grad(n));
        ck_assert(nn_line(&r));
        at = r.line + 1;
        for (int i = 0; i < 3; i++) nn_same(ag_grad(p[i]), &at, tolerance, r.of);
        ck_assert_ptr_null(ag_grad(p[3]));
    }
    ck_assert_int_gt(r.n, 20);
}
END_TEST

static Variable *with_grad(Variable *grad)
{
    Variable *p = ag_zeros(ag_shape(grad), .dtype = ag_dtype_of(grad), .requires_grad = true);
    OK(ag_set_grad(p, grad));
    return p;
}

START_TEST(gradients_of_mixed_types_layouts_and_no_elements)
{
    Variable *a = with_grad(ag_tensor(((float[]){ 3, 4 }), AG_SHAPE(2))),
             *b = with_grad(ag_tensor(((double[]){ 12 }), AG_SHAPE(1))), *none = with_grad(ag_ones(AG_SHAPE(0, 2)));
    Variable *n = ag_nn_utils_clip_grad_norm_(AG_LIST(a, b, none), 6.5);
    VALUES(n, 13);
    ck_assert_int_eq(ag_dtype_of(n), AG_FLOAT64);
    const double factor = 6.5 / (13 + 1e-6);
    VALUES(ag_grad(a), 3 * factor, 4 * factor);
    VALUES(ag_grad(b), 12 * factor);
    Variable *turned = with_grad(ag_t(ag_tensor(((float[]){ 3, 0, 0, 4, 0, 0 }), AG_SHAPE(3, 2))));
    VALUES(ag_nn_utils_clip_grad_norm_(AG_LIST(turned), 0), 5);
    VALUES(ag_grad(turned), 0, 0, 0, 0, 0, 0);
    VALUES(ag_nn_utils_clip_grad_norm_(AG_LIST(none), 1), 0);
    ag_set_grad(none, AG_NONE);
    VALUES(ag_nn_utils_clip_grad_norm_(AG_LIST(none), 1), 0);
    VALUES(ag_nn_utils_clip_grad_norm_(ag_list_from(0, NULL), 1), 0);
}
END_TEST

START_TEST(a_norm_that_is_not_finite_goes_into_the_gradients_or_is_an_error)
{
    Variable *p = with_grad(ag_tensor(((double[]){ INFINITY, 1 }), AG_SHAPE(2)));
    REFUSED(ag_nn_utils_clip_grad_norm_(AG_LIST(p), 1, .error_if_nonfinite = true),
            "The total norm of order 2.0 for gradients from `parameters` is non-finite, so it cannot be clipped. To "
            "disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`");
    VALUES(ag_grad(p), INFINITY, 1);
    VALUES(ag_nn_utils_clip_grad_norm_(AG_LIST(p), 1), INFINITY);
    VALUES(ag_grad(p), NAN, 0);
    VALUES(ag_nn_utils_clip_grad_norm_(AG_LIST(p), 1, INFINITY), NAN);
    VALUES(ag_grad(p), NAN, NAN);
}
END_TEST

START_TEST(nothing_is_recorded_and_a_gradient_with_a_graph_is_clipped_too)
{
    Variable *x = LEAF(AG_SHAPE(1), 3);
    OK(ag_backward(ag_mul(x, ag_mul(x, x)), .create_graph = true));
    ck_assert_ptr_nonnull(ag_grad_fn(ag_grad(x)));
    Variable *n = ag_nn_utils_clip_grad_norm_(AG_LIST(x), 1);
    VALUES(n, 27);
    VALUES(ag_grad(x), 27 / (27 + 1e-6));
    ck_assert(!ag_requires_grad(n));
    OK(ag_set_grad(x, AG_NONE));
}
END_TEST

START_TEST(lists_and_gradients_that_cannot_be)
{
    Variable *p = with_grad(ag_ones(AG_SHAPE(2))), *none = with_grad(ag_ones(AG_SHAPE(0)));
    Variable *repeated = with_grad(ag_expand(ag_ones(AG_SHAPE(1)), AG_SHAPE(2)));
    REFUSED(ag_nn_utils_clip_grad_norm_(AG_LIST(p, NULL), 1), "clip_grad_norm_: parameter 1 is NULL");
    REFUSED(ag_nn_utils_clip_grad_norm_(AG_LIST(AG_NONE), 1), "clip_grad_norm_: parameter 0 is None");
    REFUSED(ag_nn_utils_clip_grad_norm_(ag_list_from(1, NULL), 1), "clip_grad_norm_: parameter 0 is NULL");
    REFUSED(ag_nn_utils_clip_grad_norm_(AG_LIST(p, none), 1, INFINITY),
            "cannot compute the inf norm on an empty tensor because the operation does not have an identity");
    REFUSED(ag_nn_utils_clip_grad_norm_(AG_LIST(p, repeated), 1),
            "more than one element of the gradient of parameter 1 refers to a single memory location");
    VALUES(ag_grad(p), 1, 1);
    ag_add(NULL, p); /* an error stands */
    ck_assert_ptr_null(ag_nn_utils_clip_grad_norm_(AG_LIST(p), 0));
    ag_clear_error();
    VALUES(ag_grad(p), 1, 1);
}
END_TEST

START_TEST(when_memory_is_out_nothing_is_clipped_and_a_steady_step_takes_none)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* which has a malloc of its own */
    Variable *p[] = { with_grad(ag_rand(AG_SHAPE(400, 400))), with_grad(ag_rand(AG_SHAPE(300, 300))) };
    List list = AG_LIST(p[0], p[1]);
    Variable *before = ag_clone(ag_grad(p[0]));
    int failures = 0;
    for (bool failed = true; failed;) {
        AG_SCOPE;
        ag_empty_cache();
        interpose_start(failures + 1, true);
        Variable *n = ag_nn_utils_clip_grad_norm_(list, 0.5, 3);
        interpose_stop();
        failed = !n;
        if (!failed) break;
        failures++;
        ck_assert_int_eq(ag_error_code(), AG_ENOMEM);
        ag_clear_error();
        ck_assert(ag_equal(ag_grad(p[0]), before));
    }
    ck_assert_int_gt(failures, 0);
    ck_assert(!ag_equal(ag_grad(p[0]), before));
    if (interpose_address_sanitizer() || getenv("AG_NO_MEMORY_CACHING")) return; /* memory is not kept for reuse */
    interpose_start(0, false);
    for (int i = 0; i < 3; i++) {
        AG_SCOPE;
        OK(ag_nn_utils_clip_grad_norm_(list, 0.5, 3));
    }
    ck_assert_int_eq(interpose_stop(), 0);
}
END_TEST

SUPPORT_MAIN("clip_grad", norms_and_clipped_gradients_are_pytorchs, gradients_of_mixed_types_layouts_and_no_elements,
             a_norm_that_is_not_finite_goes_into_the_gradients_or_is_an_error,
             nothing_is_recorded_and_a_gradient_with_a_graph_is_clipped_too, lists_and_gradients_that_cannot_be,
             when_memory_is_out_nothing_is_clipped_and_a_steady_step_takes_none)
