/* test_window.c - convolution and pooling: what is refused, and in which words; the edges of what is allowed; gradients
 * of the first and second order where windows overlap, skip pixels or meet only padding. */
#include "support.h"

static Variable *ones(Shape shape) { return ag_ones(shape, .dtype = AG_FLOAT64); }

START_TEST(a_convolution_is_refused_in_pytorchs_words)
{
    Variable *x = ones(AG_SHAPE(2, 4, 6, 5)), *w = ones(AG_SHAPE(4, 4, 3, 3));
    REFUSED(ag_conv2d(ones(AG_SHAPE(6, 5)), w),
            "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [6, 5]");
    REFUSED(ag_conv2d(x, ones(AG_SHAPE(4, 4, 3))), "weight must be of shape");
    REFUSED(ag_conv2d(x, ones(AG_SHAPE(4, 2, 3, 3))), "input has 4 channels but weight wants 2");
    REFUSED(ag_conv2d(x, ones(AG_SHAPE(4, 1, 3, 3)), .groups = 2),
            "input has 4 channels but weight wants 2 (1 in each of 2 groups)");
    REFUSED(ag_conv2d(x, w, .groups = 0), "non-positive groups is not supported");
    REFUSED(ag_conv2d(x, ones(AG_SHAPE(3, 2, 3, 3)), .groups = 2),
            "Given groups=2, expected weight to be divisible by 2 at dimension 0, but got weight of size [3, 2, 3, 3] "
            "instead");
    REFUSED(ag_conv2d(x, ones(AG_SHAPE(1, 2, 3, 3)), .groups = 2),
            "Given groups=2, expected weight to be at least 2 at dimension 0, but got weight of size [1, 2, 3, 3] "
            "instead");
    REFUSED(ag_conv2d(x, w, ones(AG_SHAPE(3))),
            "Given weight of size [4, 4, 3, 3], expected bias to be 1-dimensional with 4 elements, but got bias of "
            "size [3] instead");
    REFUSED(ag_conv2d(x, w, .padding = -1), "negative padding is not supported");
    REFUSED(ag_conv2d(x, w, .stride = 0), "non-positive stride is not supported");
    REFUSED(ag_conv2d(x, w, .dilation = AG_SIZE(2, 0)), "dilation should be greater than zero, but got [2, 0]");
    REFUSED(ag_conv2d(x, ones(AG_SHAPE(4, 4, 0, 3))), "kernel size should be greater than zero, but got [0, 3]");
    REFUSED(ag_conv2d(x, ones(AG_SHAPE(4, 4, 7, 3))),
            "Calculated padded input size per channel: (6 x 5). Kernel size: (7 x 3). Kernel size can't be greater "
            "than actual input size");
    REFUSED(ag_conv2d(x, w, .dilation = AG_SIZE(1, 3), .padding = AG_SIZE(0, 0)),
            "Calculated padded input size per channel: (6 x 5). Kernel size: (3 x 7)");
    REFUSED(ag_conv2d(ones(AG_SHAPE(2, 4, 0, 5)), w, .padding = 2),
            "Only zero batch or zero channel inputs are supported, but got input shape: [2, 4, 0, 5]");
    REFUSED(ag_conv2d(x, ag_to(w, .dtype = AG_FLOAT32)),
            "Input type (Double) and weight type (Float) should be the same");
    REFUSED(ag_conv2d(ag_to(x, .dtype = AG_BOOL), ag_to(w, .dtype = AG_BOOL)), "not implemented for 'Bool'");
}
END_TEST

START_TEST(max_pooling_is_refused_in_pytorchs_words)
{
    Variable *x = ones(AG_SHAPE(2, 3, 6, 5));
    REFUSED(ag_max_pool2d(ones(AG_SHAPE(6, 5)), 2), "non-empty 3D or 4D (batch mode) tensor expected for input");
    REFUSED(ag_max_pool2d(x, AG_SIZE(0, 2)), "kernel size should be greater than zero, but got kH: 0 kW: 2");
    REFUSED(ag_max_pool2d(x, 2, AG_SIZE(-1, 2)), "stride should be greater than zero, but got dH: -1 dW: 2");
    REFUSED(ag_max_pool2d(x, 2, .dilation = AG_SIZE(1, 0)),
            "dilation should be greater than zero, but got dilationH: 1 dilationW: 0");
    REFUSED(ag_max_pool2d(x, 2, .padding = -1), "pad must be non-negative, but got pad: -1");
    REFUSED(ag_max_pool2d(x, 2, .padding = 2),
            "pad should be at most half of effective kernel size, but got pad=2, kernel_size=2 and dilation=1");
    REFUSED(ag_max_pool2d(x, 3, .padding = AG_SIZE(1, 2), .dilation = 2),
            "pad should be smaller than or equal to half of kernel size, but got padW = 2, padH = 1, kW = 3, kH = 3");
    REFUSED(ag_max_pool2d(x, AG_SIZE(2, 9)),
            "Given input size: (3x6x5). Calculated output size: (3x3x0). Output size is too small");
    REFUSED(ag_max_pool2d(ones(AG_SHAPE(3, 1, 5)), 4, 2),
            "Given input size: (3x1x5). Calculated output size: (3x-1x1). Output size is too small");
    REFUSED(ag_max_pool2d(ones(AG_SHAPE(2, 0, 6, 5)), 2),
            "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:[2, 0, 6, 5]");
    REFUSED(ag_max_pool2d(ones(AG_SHAPE(2, 3, 0, 5)), 2),
            "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:[2, 3, 0, 5]");
    REFUSED(ag_max_pool2d(ag_to(x, .dtype = AG_BOOL), 2), "not implemented for 'Bool'");
}
END_TEST

#define LARGEST (INT64_MAX >> 4) /* of a number that stands for both sides */

START_TEST(windows_beyond_what_can_be_counted_are_refused)
{
    Variable *x = ones(AG_SHAPE(1, 1, 4, 4)), *w = ones(AG_SHAPE(1, 1, 3, 3));
    REFUSED(ag_conv2d(x, w, .padding = LARGEST), "is not possible");
    REFUSED(ag_conv2d(x, w, .padding = AG_SIZE(1 << 20, 1)), "negative padding is not supported");
    REFUSED(ag_conv2d(x, w, .dilation = LARGEST), "Kernel size can't be greater than actual input size");
    SHAPE(ag_conv2d(x, w, .stride = LARGEST), 1, 1, 1, 1);
    SHAPE(ag_conv2d(x, w, .padding = AG_PADDING_SAME, .dilation = 1000), 1, 1, 4, 4);
    REFUSED(ag_max_pool2d(x, LARGEST), "kernel_size: value cannot be converted to type int without overflow");
    REFUSED(ag_max_pool2d(x, 2, .padding = LARGEST), "padding: value cannot be converted");
    REFUSED(ag_max_pool2d(x, 2, .dilation = INT32_MAX), "Output size is too small");
    SHAPE(ag_max_pool2d(x, 2, .stride = INT32_MAX, .ceil_mode = true), 1, 1, 1, 1);
}
END_TEST

START_TEST(padding_same_keeps_height_and_width)
{
    Variable *x = ones(AG_SHAPE(1, 1, 4, 4));
    SHAPE(ag_conv2d(x, ones(AG_SHAPE(2, 1, 2, 3)), .padding = AG_PADDING_SAME), 1, 2, 4, 4);
    VALUES(ag_conv2d(ones(AG_SHAPE(1, 1, 2, 3)), ones(AG_SHAPE(1, 1, 2, 2)), .padding = AG_PADDING_SAME), 4, 4, 2, 2, 2,
           1);
    REFUSED(ag_conv2d(x, ones(AG_SHAPE(1, 1, 3, 3)), .padding = AG_PADDING_SAME, .stride = 2),
            "padding='same' is not supported for strided convolutions");
}
END_TEST

START_TEST(an_empty_batch_goes_through_and_gives_zero_gradients)
{
    Variable *x = ag_requires_grad_(ones(AG_SHAPE(0, 2, 6, 5))), *w = ag_requires_grad_(ones(AG_SHAPE(3, 2, 3, 2)));
    Variable *b = ag_requires_grad_(ones(AG_SHAPE(3)));
    Variable *y = ag_max_pool2d(ag_conv2d(x, w, b), 2);
    SHAPE(y, 0, 3, 2, 2);
    OK(ag_backward(ag_sum(y)));
    SHAPE(ag_grad(x), 0, 2, 6, 5);
    CLOSE(ag_grad(w), ag_zeros_like(w), 0);
    CLOSE(ag_grad(b), ag_zeros_like(b), 0);
}
END_TEST

START_TEST(an_image_without_a_batch_is_a_batch_of_one)
{
    Variable *x = support_random(AG_SHAPE(4, 7, 6), -1, 1), *w = support_random(AG_SHAPE(6, 2, 3, 2), -1, 1);
    Variable *batch = ag_unsqueeze(x, 0);
    CLOSE(ag_unsqueeze(ag_conv2d(x, w, .padding = 1, .groups = 2), 0), ag_conv2d(batch, w, .padding = 1, .groups = 2),
          0);
    CLOSE(ag_unsqueeze(ag_max_pool2d(x, 2, .ceil_mode = true), 0), ag_max_pool2d(batch, 2, .ceil_mode = true), 0);
}
END_TEST

START_TEST(pooling_takes_the_first_of_equal_numbers_and_nan_before_all)
{
    Variable *x = LEAF(AG_SHAPE(1, 2, 4), 3, 3, 1, NAN, 3, 2, NAN, 7);
    ag_max_pool2d_with_indices_result r = ag_max_pool2d_with_indices(x, 2);
    VALUES(r.indices, 0, 6); /* of two NaNs the last: each replaces what was there */
    ck_assert(support_at(r.values, 0) == 3 && isnan(support_at(r.values, 1)));
    OK(ag_backward(r.values, ag_tensor(((double[]){ 5, 7 }), AG_SHAPE(1, 1, 2))));
    VALUES(ag_grad(x), 5, 0, 0, 0, 0, 0, 7, 0);
}
END_TEST

/* ---- gradients ---- */

typedef struct {
    const char *name;
    int64_t channels, out_channels, kernel[2], groups;
    ag_sizes stride, padding, dilation;
} layer;

static const layer layers[] = {
    { "plain", 2, 3, { 3, 2 }, 1, 1, 0, 1 },
    { "groups", 4, 6, { 2, 2 }, 2, 1, 1, 1 },
    { "depthwise", 3, 6, { 3, 3 }, 3, AG_SIZE(2, 1), 1, 1 },
    { "dilation", 1, 2, { 2, 3 }, 1, 1, AG_SIZE(1, 2), AG_SIZE(3, 2) },
    { "a stride that skips pixels", 2, 2, { 2, 1 }, 1, AG_SIZE(3, 4), 0, 1 },
    { "more padding than kernel", 1, 2, { 2, 2 }, 1, 2, 4, 1 },
    { "one pixel", 5, 5, { 1, 1 }, 1, 1, 0, 1 },
};

static int convolve(ag_variable *const *in, int n, ag_variable **out, void *user)
{
    const layer *l = user;
    (void)n;
    return out[0] = ag_conv2d(in[0], in[1], in[2], l->stride, l->padding, l->dilation, l->groups), 1;
}

START_TEST(gradients_of_convolution_are_right_to_the_second_order)
{
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        AG_SCOPE;
        layer l = layers[i];
        ag_gradcheck_result found;
        Variable *x = ag_requires_grad_(support_random(AG_SHAPE(2, l.channels, 5, 6), -1, 1));
        Variable *w = ag_requires_grad_(
            support_random(AG_SHAPE(l.out_channels, l.channels / l.groups, l.kernel[0], l.kernel[1]), -1, 1));
        Variable *b = ag_requires_grad_(support_random(AG_SHAPE(l.out_channels), -1, 1));
        ck_assert_msg(ag_gradcheck(convolve, AG_LIST(x, w, b), .user = &l, .result = &found), "%s: %s", l.name,
                      found.message);
        ck_assert_msg(ag_gradgradcheck(convolve, AG_LIST(x, w, b), .user = &l, .result = &found), "%s: %s", l.name,
                      found.message);
    }
}
END_TEST

typedef struct {
    const char *name;
    ag_sizes kernel, stride, padding, dilation;
    bool ceil_mode;
} pool;

static const pool pools[] = {
    { "plain", 2, 0, 0, 1, false },
    { "windows that overlap", 3, 1, 1, 1, false },
    { "windows with gaps", AG_SIZE(1, 2), 3, 0, 1, false },
    { "windows that leave the image", AG_SIZE(2, 4), 3, AG_SIZE(1, 2), AG_SIZE(2, 1), true },
};

static int take_greatest(ag_variable *const *in, int n, ag_variable **out, void *user)
{
    const pool *p = user;
    (void)n;
    return out[0] = ag_max_pool2d(in[0], p->kernel, p->stride, p->padding, p->dilation, p->ceil_mode), 1;
}

START_TEST(gradients_of_max_pooling_are_right_to_the_second_order)
{
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
        AG_SCOPE;
        pool p = pools[i];
        ag_gradcheck_result found;
        Variable *x = ag_requires_grad_(support_random(AG_SHAPE(2, 2, 5, 7), -1, 1));
        ck_assert_msg(ag_gradcheck(take_greatest, AG_LIST(x), .user = &p, .result = &found), "%s: %s", p.name,
                      found.message);
        ck_assert_msg(ag_gradgradcheck(take_greatest, AG_LIST(x), .user = &p, .result = &found), "%s: %s", p.name,
                      found.message);
    }
}
END_TEST

SUPPORT_MAIN("window", a_convolution_is_refused_in_pytorchs_words, max_pooling_is_refused_in_pytorchs_words,
             windows_beyond_what_can_be_counted_are_refused, padding_same_keeps_height_and_width,
             an_empty_batch_goes_through_and_gives_zero_gradients, an_image_without_a_batch_is_a_batch_of_one,
             pooling_takes_the_first_of_equal_numbers_and_nan_before_all,
             gradients_of_convolution_are_right_to_the_second_order,
             gradients_of_max_pooling_are_right_to_the_second_order)
