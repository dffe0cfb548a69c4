/* test_conv2d.c - convolution and its three gradients against loops over everything in double. */
#include "test_conv2d.h"

#include "ops/cpu/conv2d_depthwise.h"
#include "ops/cpu/conv2d_flat.h"
#include "ops/cpu/conv2d_points.h"

static shape random_shape(rng *r)
{
    shape s;
    do {
        s = (shape){ .groups = rng_between(r, 0, 3) ? 1 : rng_between(r, 2, 4) };
        s.batch = rng_between(r, 0, 1) ? rng_between(r, 1, 7)
                                       : (int64_t[]){ 16, 32, 17, 8, 24, 21, 37 }[rng_between(r, 0, 6)];
        s.channels = s.groups * rng_between(r, 1, 5);
        s.out_channels = s.groups * rng_between(r, 1, 8);
        for (int i = 0; i < 2; i++) {
            s.size[i] = rng_between(r, 1, 16);
            s.kernel[i] = rng_between(r, 1, 5);
            s.stride[i] = rng_between(r, 0, 1) ? 1 : rng_between(r, 1, 3);
            s.dilation[i] = rng_between(r, 0, 1) ? 1 : rng_between(r, 1, 3);
            s.padding[i] = rng_between(r, 0, 1) ? 0 : rng_between(r, 0, 4);
        }
    } while (!complete(&s));
    return s;
}

/* What a sum should be, and the sum of its terms' sizes. */
typedef struct {
    double *sum, *size;
    int64_t n;
} expectation;

static expectation expect_zeros(const array *a)
{
    expectation e = { .n = 1 };
    for (int i = 0; i < a->ndim; i++) e.n *= a->size[i];
    e.sum = calloc((size_t)e.n + 1, sizeof *e.sum);
    e.size = calloc((size_t)e.n + 1, sizeof *e.size);
    ck_assert(e.sum && e.size);
    return e;
}

static void expect(const expectation *e, const array *a, const int64_t *index, double term)
{
    int64_t i = 0;
    for (int d = 0; d < a->ndim; d++) i = i * a->size[d] + index[d];
    e->sum[i] += term;
    e->size[i] += fabs(term);
}

static void compare(const shape *s, const char *what, const array *got, expectation *e, int64_t terms)
{
    int64_t index[5] = { 0 }, i = 0;
    if (e->n > 0) do {
            double value = array_get(got, index), within = e->size[i] * epsilon(s->dtype) * (2 + sqrt((double)terms));
            ck_assert_msg(
                fabs(value - e->sum[i]) <= within,
                "%s %s %s: N %d C %d O %d groups %d size %dx%d kernel %dx%d stride %d,%d padding %d,%d dilation %d,%d: "
                "[%d, %d, %d, %d] is %.9g, expected %.9g within %.2g",
                ag_cpu_capability(), ag_dtype_name(s->dtype), what, (int)s->batch, (int)s->channels,
                (int)s->out_channels, (int)s->groups, (int)s->size[0], (int)s->size[1], (int)s->kernel[0],
                (int)s->kernel[1], (int)s->stride[0], (int)s->stride[1], (int)s->padding[0], (int)s->padding[1],
                (int)s->dilation[0], (int)s->dilation[1], (int)index[0], (int)index[1], (int)index[2], (int)index[3],
                value, e->sum[i], within);
            i++;
        } while (next_index(got->ndim, got->size, index));
    ck_assert(array_guards_stand(got));
    free(e->sum), free(e->size);
}

enum layout { BY_CHANCE, CONTIGUOUS, BATCH_LAST, CHANNELS_LAST };

static array laid_out(rng *r, enum layout layout, ag_dtype dtype, const int64_t *size)
{
    if (layout == BY_CHANCE) return array_random(r, dtype, 4, size);
    const int orders[][4] = { { 0, 1, 2, 3 }, { 1, 2, 3, 0 }, { 0, 2, 3, 1 } };
    /* now and then with room between planes and rows */
    const int gap[][4] = { { 1, 1, 1, 1 }, { 1, 2, 3, 1 } };
    array a = array_new(dtype, 4, size, orders[layout - CONTIGUOUS],
                        gap[layout == CONTIGUOUS && rng_between(r, 0, 3) == 0]);
    array_fill(&a, r, -1, 1);
    return a;
}

/* One convolution with its gradients; tensors to be written begin as NaN. */
/* z = max(y, 0), to the bit */
static void same_but_for_relu(int64_t n, const array *z, const array *y)
{
    int64_t o[5] = { 0 };
    if (n > 0) do {
            const double sum = array_get(y, o);
            ck_assert_msg(array_get(z, o) == (sum < 0 ? 0 : sum), "relu of %g is %g", sum, array_get(z, o));
        } while (next_index(4, y->size, o));
}

static void check_laid_out(rng *r, const shape *s, enum layout layout)
{
    const int64_t x_size[] = { s->batch, s->channels, s->size[0], s->size[1] };
    const int64_t y_size[] = { s->batch, s->out_channels, s->out_size[0], s->out_size[1] };
    const int64_t w_size[] = { s->out_channels, s->channels / s->groups, s->kernel[0], s->kernel[1] };
    array x = laid_out(r, layout, s->dtype, x_size), w = array_random(r, s->dtype, 4, w_size),
          g = laid_out(r, layout, s->dtype, y_size);
    array bias = array_random(r, s->dtype, 1, &s->out_channels);
    array y = laid_out(r, layout, s->dtype, y_size), dx = laid_out(r, layout, s->dtype, x_size),
          dw = array_random(r, s->dtype, 4, w_size);
    array db = array_random(r, s->dtype, 1, &s->out_channels);
    array *written[] = { &y, &dx, &dw, &db };
    for (int i = 0; i < 4; i++) array_fill(written[i], r, (double)NAN, (double)NAN);
    expectation ey = expect_zeros(&y), edx = expect_zeros(&dx), edw = expect_zeros(&dw), edb = expect_zeros(&db);
    const bool with_bias = rng_between(r, 0, 1);

    int64_t o[5] = { 0 };
    const int64_t a_group = s->out_channels / s->groups, in_group = s->channels / s->groups;
    if (ey.n > 0) do {
            if (with_bias) expect(&ey, &y, o, array_get(&bias, &o[1]));
            const double gradient = array_get(&g, o);
            expect(&edb, &db, &o[1], gradient);
            int64_t k[5] = { 0 }; /* input channel, kernel row, column */
            do {
                int64_t row = o[2] * s->stride[0] + k[1] * s->dilation[0] - s->padding[0];
                int64_t column = o[3] * s->stride[1] + k[2] * s->dilation[1] - s->padding[1];
                if (row < 0 || row >= s->size[0] || column < 0 || column >= s->size[1]) continue;
                const int64_t in[] = { o[0], o[1] / a_group * in_group + k[0], row, column },
                              weight[] = { o[1], k[0], k[1], k[2] };
                const double xv = array_get(&x, in), wv = array_get(&w, weight);
                expect(&ey, &y, o, xv * wv);
                expect(&edx, &dx, in, gradient * wv);
                expect(&edw, &dw, weight, gradient * xv);
            } while (next_index(3, &w_size[1], k));
        } while (next_index(4, y_size, o));

    ck_assert(ag__conv2d_forward(s, IN(x), IN(w), with_bias ? bias.data : NULL, bias.stride[0], false, OUT(y)));
    ck_assert(ag__conv2d_input_gradient(s, IN(g), IN(w), OUT(dx)));
    ck_assert(ag__conv2d_weight_gradient(s, IN(x), IN(g), OUT(dw)));
    ag__conv2d_bias_gradient(s, IN(g), db.data, db.stride[0]);
    const int64_t kernel = s->kernel[0] * s->kernel[1], pixels = s->batch * s->out_size[0] * s->out_size[1];
    compare(s, "output", &y, &ey, in_group * kernel);
    if (kernel > 1) {
        array z = laid_out(r, layout, s->dtype, y_size);
        ck_assert(ag__conv2d_forward(s, IN(x), IN(w), with_bias ? bias.data : NULL, bias.stride[0], true, OUT(z)));
        same_but_for_relu(ey.n, &z, &y);
        array_free(&z);
    }
    compare(s, "input gradient", &dx, &edx, a_group * kernel);
    compare(s, "weight gradient", &dw, &edw, pixels);
    compare(s, "bias gradient", &db, &edb, pixels);
    array *all[] = { &x, &w, &g, &bias, &y, &dx, &dw, &db };
    for (int i = 0; i < 8; i++) array_free(all[i]);
}

static void check_one(rng *r, const shape *s) { check_laid_out(r, s, BY_CHANCE); }

// clang-format off
static const shape particular[] = {
    /* batch, channels, size,     out,  kernel,   stride,   padding,  dilation, groups */
    { 0, 17, 10, { 12, 12 }, 20, { 0 }, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, 1 },
    { 0,  1,  3, { 65, 67 },  8, { 0 }, { 7, 7 }, { 2, 2 }, { 3, 3 }, { 1, 1 }, 1 },  /* one large image: bands */
    { 0,  2, 40, {  7,  7 }, 33, { 0 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 1 },
    { 0,  3, 24, { 14, 14 }, 24, { 0 }, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 }, 24 }, /* depthwise */
    { 0, 20, 13, {  9, 40 }, 19, { 0 }, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, 1 },
    { 0, 16,  8, { 10, 10 },  6, { 0 }, { 1, 1 }, { 2, 3 }, { 0, 0 }, { 1, 1 }, 1 },  /* pixels that nothing meets */
    { 0,  1,  1, {  1,  1 },  1, { 0 }, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, 1 },
    { 0,  4,  2, {  5,  5 },  3, { 0 }, { 3, 3 }, { 1, 1 }, { 7, 7 }, { 1, 1 }, 1 },  /* more padding than image */
    { 0,  0,  2, {  5,  5 },  3, { 0 }, { 3, 3 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, 1 },  /* no image */
    { 0, 33,  4, { 70, 8 },   3, { 0 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 1 },
    { 0, 40,  1, {  6,  6 },  1, { 0 }, { 2, 2 }, { 40, 40 }, { 20, 20 }, { 3, 3 }, 1 },
};
// clang-format on

START_TEST(convolution_and_its_gradients_agree_with_plain_loops)
{
    rng r = { 3 };
    const int64_t usual = ag__conv_strip_bytes;
    EACH_ISA(isa)
    {
        for (int i = 0; i < rounds(60); i++) {
            shape s = random_shape(&r);
            s.dtype = i % 2 ? AG_FLOAT32 : AG_FLOAT64;
            ag__conv_strip_bytes = i % 3 ? usual : 4096; /* now and then in many blocks */
            check_one(&r, &s);
        }
        ag__conv_strip_bytes = usual;
        for (size_t i = 0; i < sizeof particular / sizeof *particular; i++) {
            shape s = particular[i];
            ck_assert(complete(&s));
            for (s.dtype = AG_FLOAT32; s.dtype <= AG_FLOAT64; s.dtype++) check_one(&r, &s);
        }
    }
}
END_TEST

/* Shapes whose lanes go along rows (conv2d_flat.c, conv2d_depthwise.c), and some near them. */
START_TEST(wide_convolutions_agree_with_plain_loops)
{
    rng r = { 6 };
    const int64_t usual = ag__conv_strip_bytes;
    int suited = 0, isas = 0;
    EACH_ISA(isa)
    {
        isas++;
        for (int i = 0; i < rounds(24); i++) {
            shape s;
            do {
                s = (shape){ .groups = rng_between(&r, 0, 3) ? 1 : 2, .batch = rng_between(&r, 1, 3) };
                if (rng_between(&r, 0, 7) == 0) s.batch = rng_between(&r, 15, 18);
                s.channels = s.groups * rng_between(&r, 4, s.batch < 4 ? 19 : 6);
                s.out_channels = s.groups * rng_between(&r, 8, 18);
                if (rng_between(&r, 0, 4) == 0) s.groups = s.out_channels = s.channels; /* depthwise */
                for (int j = 0; j < 2; j++) {
                    s.size[j] = rng_between(&r, 8, 20);
                    s.kernel[j] = rng_between(&r, 1, 4);
                    s.stride[j] = rng_between(&r, 0, 2) ? 1 : rng_between(&r, 2, 3);
                    s.dilation[j] = rng_between(&r, 0, 2) ? 1 : 2;
                    s.padding[j] = rng_between(&r, 0, 3) ? s.dilation[j] * (s.kernel[j] / 2) : rng_between(&r, 0, 9);
                }
            } while (!complete(&s));
            s.dtype = i % 2 ? AG_FLOAT32 : AG_FLOAT64;
            ag__conv_strip_bytes = i % 3 ? usual : 4096; /* now and then in many blocks */
            const int64_t contiguous[] = { 2, 2, 2, 1 };
            suited += ag__conv2d_flat_suits_forward(&s, contiguous, contiguous) +
                      ag__conv2d_flat_suits_input_gradient(&s, contiguous, contiguous);
            check_laid_out(&r, &s, i % 4 < 2 ? CONTIGUOUS : BATCH_LAST);
        }
    }
    ck_assert_int_ge(suited, 3 * isas);
    ag__conv_strip_bytes = usual;
}
END_TEST

/* Registers that are all images, and padding that is wide for the row: edges are made downwards, or pixel by pixel
 * where the input is read in place (conv2d_pixels.c). */
START_TEST(padded_rows_of_whole_registers_of_images_agree_with_plain_loops)
{
    rng r = { 9 };
    EACH_ISA(isa)
    {
        for (int i = 0; i < rounds(12); i++) {
            shape s;
            do {
                s = (shape){ .groups = 1, .batch = rng_between(&r, 0, 1) ? 16 : 32 };
                s.channels = rng_between(&r, 1, 6);
                s.out_channels = rng_between(&r, 1, 11);
                for (int j = 0; j < 2; j++) {
                    s.kernel[j] = rng_between(&r, 1, 5);
                    s.size[j] = rng_between(&r, s.kernel[j], 9);
                    s.stride[j] = rng_between(&r, 0, 5) ? 1 : 2;
                    s.dilation[j] = rng_between(&r, 0, 5) ? 1 : 2;
                    s.padding[j] = rng_between(&r, 0, s.kernel[j] - 1);
                }
            } while (!complete(&s));
            s.dtype = i % 3 ? AG_FLOAT32 : AG_FLOAT64;
            check_laid_out(&r, &s, i % 4 ? BATCH_LAST : CONTIGUOUS);
        }
    }
}
END_TEST

/* Whole lines of memory, images of pixels or pixels of images, and what is none. */
START_TEST(results_that_go_past_the_caches_agree_with_plain_loops)
{
    rng r = { 21 };
    const int64_t usual = ag__conv_large;
    ag__conv_large = 0;
    EACH_ISA(isa)
    {
        for (int i = 0; i < rounds(16); i++) {
            const int64_t wide[] = { 4, 8, 16, 20, 24, 32, 33, 48 };
            shape s = { .groups = 1,
                        .batch = i % 4 < 2 ? 16 * rng_between(&r, 1, 2)
                                           : 80 - rng_between(&r, 0, 1) * rng_between(&r, 0, 15),
                        .channels = rng_between(&r, 1, 2),
                        .out_channels = rng_between(&r, 1, 5),
                        .kernel = { rng_between(&r, 2, 3), 3 },
                        .stride = { 1, 1 },
                        .dilation = { 1, 1 } };
            s.size[0] = rng_between(&r, 3, 8);
            s.size[1] = wide[rng_between(&r, 0, 7)] + 2;
            s.padding[0] = rng_between(&r, 0, 1);
            ck_assert(complete(&s));
            s.dtype = i % 3 ? AG_FLOAT32 : AG_FLOAT64;
            check_laid_out(&r, &s, i % 2 ? BATCH_LAST : CONTIGUOUS);
        }
    }
    ag__conv_large = usual;
}
END_TEST

/* Channels each for itself (conv2d_depthwise.c), in planes of one tile or several, and some shapes near them. */
START_TEST(depthwise_convolutions_agree_with_plain_loops)
{
    rng r = { 7 };
    int suited = 0, isas = 0;
    EACH_ISA(isa)
    {
        isas++;
        for (int i = 0; i < rounds(40); i++) {
            shape s;
            do {
                s = (shape){ .groups = rng_between(&r, 2, 5), .batch = rng_between(&r, 1, 5) };
                if (rng_between(&r, 0, 3) == 0) s.batch = (int64_t[]){ 16, 40, 64 }[rng_between(&r, 0, 2)];
                const bool many = s.batch <= 5 && rng_between(&r, 0, 5) == 0; /* several a task */
                if (many) s.groups = rng_between(&r, 32, 50);
                s.channels = s.out_channels = s.groups;
                if (rng_between(&r, 0, 9) == 0) s.out_channels *= 2;
                const bool usual = rng_between(&r, 0, 1);
                for (int j = 0; j < 2; j++) {
                    s.size[j] = rng_between(&r, 1, many ? 9 : s.batch > 5 ? 15 : 30);
                    s.kernel[j] = usual ? 3 : rng_between(&r, 1, 7);
                    s.stride[j] = rng_between(&r, 0, 9) ? 1 : 2;
                    s.dilation[j] = rng_between(&r, 0, 3) ? 1 : rng_between(&r, 2, 3);
                    s.padding[j] = rng_between(&r, 0, 2) ? s.dilation[j] * (s.kernel[j] / 2) : rng_between(&r, 0, 9);
                }
                if (rng_between(&r, 0, 5) == 0 && s.batch <= 5 && !many) s.size[rng_between(&r, 0, 1)] = 200;
            } while (!complete(&s));
            s.dtype = i % 2 ? AG_FLOAT32 : AG_FLOAT64;
            const int64_t contiguous[] = { 2, 2, 2, 1 };
            suited += ag__conv2d_depthwise_suits(&s, contiguous, contiguous);
            check_laid_out(&r, &s, i % 4 < 2 ? CONTIGUOUS : BATCH_LAST);
        }
    }
    ck_assert_int_ge(suited, rounds(40) / 2 * isas);
}
END_TEST

/* Kernels of one position (conv2d_product.c), and weight gradients window by window (conv2d_window.c), of which some
 * are turned, in many blocks, or have rows stacked. */
START_TEST(products_and_windows_agree_with_plain_loops)
{
    rng r = { 8 };
    const int64_t usual = ag__conv_strip_bytes, worth = ag__conv_parts_worth;
    EACH_ISA(isa)
    {
        for (int i = 0; i < rounds(40); i++) {
            shape s;
            do {
                s = (shape){ .groups = rng_between(&r, 0, 3) ? 1 : 2, .batch = rng_between(&r, 1, 5) };
                if (rng_between(&r, 0, 2) == 0) s.batch = (int64_t[]){ 8, 16, 37 }[rng_between(&r, 0, 2)];
                const bool point = rng_between(&r, 0, 2) == 0;
                s.channels = s.groups * (rng_between(&r, 0, 1) ? rng_between(&r, 1, 4) : rng_between(&r, 16, 70));
                s.out_channels = s.groups * rng_between(&r, 5, 30);
                for (int j = 0; j < 2; j++) {
                    s.size[j] = rng_between(&r, 1, 12);
                    s.kernel[j] = point ? 1 : rng_between(&r, 1, 4);
                    s.stride[j] = point || rng_between(&r, 0, 2) ? 1 : rng_between(&r, 2, 3);
                    s.dilation[j] = rng_between(&r, 0, 3) ? 1 : 2;
                    s.padding[j] = point ? 0 : rng_between(&r, 0, 3);
                }
                if (point && s.batch <= 5 && rng_between(&r, 0, 1)) s.size[0] = s.size[1] = 18;
            } while (!complete(&s));
            s.dtype = i % 2 ? AG_FLOAT32 : AG_FLOAT64;
            ag__conv_strip_bytes = i % 3 ? usual : 4096;  /* now and then in many blocks, */
            ag__conv_parts_worth = i % 5 < 3 ? 0 : worth; /* and in parts */
            check_laid_out(&r, &s, i % 4 == 0 ? CONTIGUOUS : i % 4 == 1 ? BY_CHANCE : BATCH_LAST);
        }
        ag__conv_strip_bytes = 4096; /* blocks of columns that are all padding, before and behind */
        shape padded = { AG_FLOAT32, 16, 24, { 6, 2 }, 8, { 0 }, { 1, 2 }, { 1, 1 }, { 0, 9 }, { 1, 1 }, 1 };
        ck_assert(complete(&padded));
        check_laid_out(&r, &padded, BATCH_LAST);
    }
    ag__conv_strip_bytes = usual;
    ag__conv_parts_worth = worth;
}
END_TEST

/* One kernel position with a stride: pixels are gathered, in one block or in many (conv2d_points.c). */
START_TEST(convolutions_of_points_that_step_agree_with_plain_loops)
{
    rng r = { 12 };
    const int64_t usual = ag__conv_strip_bytes;
    int suited = 0;
    EACH_ISA(isa)
    {
        for (int i = 0; i < rounds(24); i++) {
            shape s = { .groups = rng_between(&r, 0, 2) ? 1 : 2, .kernel = { 1, 1 }, .dilation = { 1, 1 } };
            s.dtype = i % 2 ? AG_FLOAT32 : AG_FLOAT64;
            s.batch = (int64_t[]){ 1, 2, 5, 16, 21 }[rng_between(&r, 0, 4)];
            s.channels = s.groups * rng_between(&r, 4, 9);
            s.out_channels = s.groups * rng_between(&r, 4, 9);
            for (int j = 0; j < 2; j++) {
                s.stride[j] = rng_between(&r, 1, 3);
                s.size[j] = s.stride[j] * rng_between(&r, s.batch > 5 ? 4 : 16, s.batch > 5 ? 6 : 19) -
                            rng_between(&r, 0, 2);
            }
            ck_assert(complete(&s));
            ag__conv_strip_bytes = i % 3 ? usual : 4096;
            const int64_t contiguous[] = { s.out_channels * s.out_size[0] * s.out_size[1],
                                           s.out_size[0] * s.out_size[1], s.out_size[1], 1 };
            suited += ag__conv2d_are_points(&s, contiguous);
            for (int layout = CONTIGUOUS; layout <= CHANNELS_LAST; layout++)
                check_laid_out(&r, &s, (enum layout)layout);
            check_laid_out(&r, &s, BY_CHANCE);
        }
    }
    ag__conv_strip_bytes = usual;
    ck_assert_int_ge(suited, 5);
}
END_TEST

/* Whole registers of images that lie last: the weight's gradient goes along rows of the tensors as they are. */
START_TEST(gradients_of_batch_last_rows_agree_with_plain_loops)
{
    rng r = { 9 };
    const int64_t usual = ag__conv_strip_bytes;
    EACH_ISA(isa)
    {
        for (int i = 0; i < rounds(12); i++) {
            shape s;
            do {
                s = (shape){ .groups = rng_between(&r, 0, 3) ? 1 : 2, .batch = 16 * rng_between(&r, 1, 5) };
                s.channels = s.groups * rng_between(&r, 1, 3);
                s.out_channels = s.groups * rng_between(&r, 1, 9);
                for (int j = 0; j < 2; j++) {
                    s.size[j] = rng_between(&r, 1, 12);
                    s.kernel[j] = rng_between(&r, 1, 5);
                    s.stride[j] = rng_between(&r, 0, 5) ? 1 : 2;
                    s.dilation[j] = rng_between(&r, 0, 3) ? 1 : 2;
                    s.padding[j] = j == 0 || rng_between(&r, 0, 5) == 0 ? rng_between(&r, 0, 2) : 0;
                }
            } while (!complete(&s));
            s.dtype = i % 2 ? AG_FLOAT32 : AG_FLOAT64;
            ag__conv_strip_bytes = i % 3 ? usual : 4096; /* now and then in many blocks */
            check_laid_out(&r, &s, BATCH_LAST);
        }
    }
    ag__conv_strip_bytes = usual;
}
END_TEST

START_TEST(a_convolution_has_the_same_bits_on_any_number_of_threads)
{
    rng r = { 4 };
    /* the second convolution of the MNIST network, many channels, batch-last, each channel for itself, a product, the
     * first of these with the batch last, images too large for a block of several, so many images that threads have
     * blocks of their own, images in lanes in small blocks, a weight's gradient in parts, with the batch last, too */
    shape s = { AG_FLOAT32, 64, 10, { 24, 24 }, 20, { 0 }, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, 1 };
    if (_i == 1) s = (shape){ AG_FLOAT32, 3, 40, { 28, 28 }, 36, { 0 }, { 5, 5 }, { 1, 1 }, { 2, 2 }, { 1, 1 }, 1 };
    if (_i == 2) s = (shape){ AG_FLOAT32, 19, 40, { 14, 14 }, 36, { 0 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 1 };
    if (_i == 3) s = (shape){ AG_FLOAT32, 16, 6, { 28, 28 }, 6, { 0 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 6 };
    if (_i == 4) s = (shape){ AG_FLOAT32, 4, 64, { 28, 28 }, 36, { 0 }, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, 1 };
    if (_i == 5) s = (shape){ AG_FLOAT32, 64, 10, { 24, 24 }, 20, { 0 }, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, 1 };
    if (_i == 6) s = (shape){ AG_FLOAT32, 19, 24, { 30, 31 }, 26, { 0 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 1 };
    if (_i == 7) s = (shape){ AG_FLOAT32, 70, 16, { 14, 13 }, 9, { 0 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 1 };
    if (_i == 8) s = (shape){ AG_FLOAT32, 64, 10, { 24, 24 }, 20, { 0 }, { 5, 5 }, { 1, 1 }, { 2, 2 }, { 1, 1 }, 1 };
    if (_i == 9) s = (shape){ AG_FLOAT32, 17, 40, { 28, 28 }, 36, { 0 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 1 };
    if (_i == 10) s = (shape){ AG_FLOAT32, 37, 40, { 12, 64 }, 36, { 0 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 1 };
    const int64_t usual = ag__conv_strip_bytes, worth = ag__conv_parts_worth;
    if (_i == 8) ag__conv_strip_bytes = 65536;
    if (_i >= 9) ag__conv_parts_worth = 0;
    ck_assert(complete(&s));
    const int64_t x_size[] = { s.batch, s.channels, s.size[0], s.size[1] },
                  w_size[] = { s.out_channels, s.channels / s.groups, s.kernel[0], s.kernel[1] };
    const int64_t y_size[] = { s.batch, s.out_channels, s.out_size[0], s.out_size[1] };
    EACH_ISA(isa)
    {
        const enum layout layout = _i == 0                                                ? BY_CHANCE
                                   : _i == 2 || _i == 5 || _i == 6 || _i == 8 || _i == 10 ? BATCH_LAST
                                                                                          : CONTIGUOUS;
        array x = laid_out(&r, layout, s.dtype, x_size), w = array_random(&r, s.dtype, 4, w_size),
              g = laid_out(&r, layout, s.dtype, y_size);
        array y = laid_out(&r, layout, s.dtype, y_size), dx = laid_out(&r, layout, s.dtype, x_size);
        array dw = array_random(&r, s.dtype, 4, w_size), db = array_random(&r, s.dtype, 1, &s.out_channels);
        array *results[] = { &y, &dx, &dw, &db };
        void *first[4] = { NULL };
        for (int t = 0; t < 4; t++) {
            ck_assert(ag_set_num_threads(thread_counts[t]));
            ck_assert(ag__conv2d_forward(&s, IN(x), IN(w), NULL, 0, false, OUT(y)));
            ck_assert(ag__conv2d_input_gradient(&s, IN(g), IN(w), OUT(dx)));
            ck_assert(ag__conv2d_weight_gradient(&s, IN(x), IN(g), OUT(dw)));
            ag__conv2d_bias_gradient(&s, IN(g), db.data, db.stride[0]);
            for (int i = 0; i < 4; i++) {
                size_t bytes = (size_t)results[i]->n_places * sizeof(float);
                if (t == 0) {
                    first[i] = malloc(bytes);
                    ck_assert_ptr_nonnull(first[i]);
                    memcpy(first[i], results[i]->data, bytes);
                }
                ck_assert_mem_eq(first[i], results[i]->data, bytes);
            }
        }
        for (int i = 0; i < 4; i++) {
            free(first[i]);
            array_free(results[i]);
        }
        array_free(&x), array_free(&w), array_free(&g);
    }
    ag__conv_strip_bytes = usual;
    ag__conv_parts_worth = worth;
}
END_TEST

TCase *conv2d_tests(void)
{
    TCase *tests = tcase_create("convolution");
    tcase_add_test(tests, convolution_and_its_gradients_agree_with_plain_loops);
    tcase_add_test(tests, wide_convolutions_agree_with_plain_loops);
    tcase_add_test(tests, padded_rows_of_whole_registers_of_images_agree_with_plain_loops);
    tcase_add_test(tests, results_that_go_past_the_caches_agree_with_plain_loops);
    tcase_add_test(tests, depthwise_convolutions_agree_with_plain_loops);
    tcase_add_test(tests, products_and_windows_agree_with_plain_loops);
    tcase_add_test(tests, convolutions_of_points_that_step_agree_with_plain_loops);
    tcase_add_test(tests, gradients_of_batch_last_rows_agree_with_plain_loops);
    tcase_add_loop_test(tests, a_convolution_has_the_same_bits_on_any_number_of_threads, 0, 11);
    return tests;
}
