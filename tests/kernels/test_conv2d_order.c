/* test_conv2d_order.c - the order in which convolution and its gradients are summed. */
#include "test_conv2d.h"

/* Contiguous float32, as PyTorch's oneDNN sums it: with fused multiply-adds, for each 16 channels from 0 on. */
typedef struct {
    shape s;
    array x, w, bias, y, g;
} sums;

static float number(const array *a, int64_t i, int64_t j, int64_t k, int64_t l)
{
    return (float)array_get(a, (int64_t[]){ i, j, k, l });
}
static float ordered_output(const sums *t, const int64_t *o)
{
    const shape *s = &t->s;
    const int64_t channels = s->channels / s->groups, group = o[1] / (s->out_channels / s->groups);
    float sum = 0;
    for (int64_t block = 0; block < channels; block += 16) {
        float part = 0;
        for (int64_t a = 0; a < s->kernel[0]; a++)
            for (int64_t b = 0; b < s->kernel[1]; b++)
                for (int64_t c = block; c < channels && c < block + 16; c++) {
                    const int64_t row = o[2] * s->stride[0] + a * s->dilation[0] - s->padding[0],
                                  column = o[3] * s->stride[1] + b * s->dilation[1] - s->padding[1];
                    if (row < 0 || row >= s->size[0] || column < 0 || column >= s->size[1]) continue;
                    part = fmaf(number(&t->x, o[0], group * channels + c, row, column), number(&t->w, o[1], c, a, b),
                                part);
                }
        sum = block == 0 ? part + (float)get(t->bias.data, o[1], AG_FLOAT32) : sum + part;
    }
    return sum;
}
static float ordered_input_gradient(const sums *t, const int64_t *i)
{
    const shape *s = &t->s;
    const int64_t channels = s->channels / s->groups, out_channels = s->out_channels / s->groups;
    float sum = 0;
    for (int64_t block = 0; block < out_channels; block += 16) {
        float part = 0;
        for (int64_t a = 0; a < s->kernel[0]; a++)
            for (int64_t b = 0; b < s->kernel[1]; b++)
                for (int64_t o = block; o < out_channels && o < block + 16; o++) {
                    const int64_t row = i[2] + s->padding[0] - a * s->dilation[0],
                                  column = i[3] + s->padding[1] - b * s->dilation[1];
                    const int64_t y = row / s->stride[0], x = column / s->stride[1],
                                  channel = i[1] / channels * out_channels + o;
                    if (row < 0 || column < 0 || row % s->stride[0] || column % s->stride[1] || y >= s->out_size[0] ||
                        x >= s->out_size[1])
                        continue;
                    part = fmaf(number(&t->g, i[0], channel, y, x), number(&t->w, channel, i[1] % channels, a, b),
                                part);
                }
        sum = block == 0 ? part : sum + part;
    }
    return sum;
}
static float ordered_weight_gradient(const sums *t, const int64_t *w)
{
    const shape *s = &t->s;
    const int64_t channel = w[0] / (s->out_channels / s->groups) * (s->channels / s->groups) + w[1];
    float sum = 0;
    for (int64_t n = 0; n < s->batch; n++)
        for (int64_t y = 0; y < s->out_size[0]; y++)
            for (int64_t x = 0; x < s->out_size[1]; x++) {
                const int64_t row = y * s->stride[0] + w[2] * s->dilation[0] - s->padding[0],
                              column = x * s->stride[1] + w[3] * s->dilation[1] - s->padding[1];
                if (row < 0 || row >= s->size[0] || column < 0 || column >= s->size[1]) continue;
                sum = fmaf(number(&t->g, n, w[0], y, x), number(&t->x, n, channel, row, column), sum);
            }
    return sum;
}

static float ordered_bias_gradient(const sums *t, const int64_t *o)
{
    const shape *s = &t->s;
    float sum = 0;
    for (int64_t n = 0; n < s->batch; n++)
        for (int64_t y = 0; y < s->out_size[0]; y++)
            for (int64_t x = 0; x < s->out_size[1]; x++) sum += number(&t->g, n, o[0], y, x);
    return sum;
}

static void compare_bits(const sums *t, const char *what, const array *got,
                         float (*value)(const sums *t, const int64_t *index))
{
    int64_t index[5] = { 0 };
    do {
        const float expected = value(t, index), is = (float)array_get(got, index);
        ck_assert_msg(is == expected, "%s %s: C %d O %d: [%d, %d, %d, %d] is %.9g, in order %.9g", ag_cpu_capability(),
                      what, (int)t->s.channels, (int)t->s.out_channels, (int)index[0], (int)index[1], (int)index[2],
                      (int)index[3], (double)is, (double)expected);
    } while (next_index(got->ndim, got->size, index));
}

// clang-format off
static const shape in_order[] = {
    /* batch, channels, size,     out,  kernel,   stride,   padding,  dilation, groups */
    { 0, 17,  1, { 14, 13 }, 10, { 0 }, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, 1 },
    { 0, 17, 10, { 12, 12 }, 20, { 0 }, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, 1 },
    { 0, 16, 40, {  7,  6 }, 33, { 0 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 1 },
    { 0,  2,  1, { 19, 17 },  6, { 0 }, { 5, 4 }, { 2, 1 }, { 2, 1 }, { 1, 1 }, 1 },
    { 0,  3, 20, {  9, 18 }, 20, { 0 }, { 3, 2 }, { 2, 3 }, { 0, 2 }, { 1, 2 }, 2 },
    { 0,  2, 40, { 14, 13 }, 33, { 0 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 1 },  /* lanes along rows */
    { 0,  2,  5, { 40, 41 },  9, { 0 }, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 }, 1 },
    { 0, 18,  5, { 15, 23 }, 19, { 0 }, { 5, 5 }, { 1, 1 }, { 4, 4 }, { 1, 1 }, 1 },  /* edges made downwards */
    { 0, 17,  8, { 13, 16 },  7, { 0 }, { 4, 6 }, { 1, 1 }, { 1, 0 }, { 2, 1 }, 1 },
};
// clang-format on

START_TEST(convolution_and_its_gradients_are_summed_in_the_order_of_pytorch)
{
#if defined(__x86_64__)
    rng r = { 5 };
    const int64_t usual = ag__conv_strip_bytes;
    for (size_t i = 0; i < 2 * (sizeof in_order / sizeof *in_order); i++) {
        sums t = { .s = in_order[i / 2] };
        shape *s = &t.s;
        ag__conv_strip_bytes = i % 2 ? usual : 16384; /* in several blocks, too */
        ck_assert(complete(s));
        const int64_t x_size[] = { s->batch, s->channels, s->size[0], s->size[1] };
        const int64_t y_size[] = { s->batch, s->out_channels, s->out_size[0], s->out_size[1] };
        const int64_t w_size[] = { s->out_channels, s->channels / s->groups, s->kernel[0], s->kernel[1] };
        const int order[] = { 0, 1, 2, 3 }, gap[] = { 1, 1, 1, 1 };
        t.x = array_new(AG_FLOAT32, 4, x_size, order, gap), t.w = array_new(AG_FLOAT32, 4, w_size, order, gap);
        t.g = array_new(AG_FLOAT32, 4, y_size, order, gap);
        t.bias = array_new(AG_FLOAT32, 1, &s->out_channels, order, gap);
        t.y = array_new(AG_FLOAT32, 4, y_size, order, gap);
        array dx = array_new(AG_FLOAT32, 4, x_size, order, gap), dw = array_new(AG_FLOAT32, 4, w_size, order, gap);
        array db = array_new(AG_FLOAT32, 1, &s->out_channels, order, gap);
        array *given[] = { &t.x, &t.w, &t.g, &t.bias };
        for (int j = 0; j < 4; j++) array_fill(given[j], &r, -1, 1);
        for (int isa = AG_ISA_AVX2; isa < AG_N_ISAS; isa++) {
            if (!ag__set_cpu_capability((ag__isa)isa)) continue;
            ck_assert(ag__conv2d_forward(s, IN(t.x), IN(t.w), t.bias.data, 1, false, OUT(t.y)));
            ck_assert(ag__conv2d_input_gradient(s, IN(t.g), IN(t.w), OUT(dx)));
            ck_assert(ag__conv2d_weight_gradient(s, IN(t.x), IN(t.g), OUT(dw)));
            compare_bits(&t, "output", &t.y, ordered_output);
            compare_bits(&t, "input gradient", &dx, ordered_input_gradient);
            compare_bits(&t, "weight gradient", &dw, ordered_weight_gradient);
            ag__conv2d_bias_gradient(s, IN(t.g), db.data, 1);
            compare_bits(&t, "bias gradient", &db, ordered_bias_gradient);
        }
        array *all[] = { &t.x, &t.w, &t.g, &t.bias, &t.y, &dx, &dw, &db };
        for (int j = 0; j < 8; j++) array_free(all[j]);
    }
    ag__conv_strip_bytes = usual;
#endif
}
END_TEST

TCase *conv2d_order_tests(void)
{
    TCase *tests = tcase_create("convolution's order");
    tcase_add_test(tests, convolution_and_its_gradients_are_summed_in_the_order_of_pytorch);
    return tests;
}
