/* test_cuda_conv.c - convolutions on CUDA devices against those on the CPU: values, gradients of first and second
 * order, over shapes, options, layouts and types. */
#include "ops/conv_steps.h"
#include "tests/cuda/cuda_cases.h"

typedef struct {
    int64_t batch, channels, out, groups, size[2], kernel[2], stride[2], padding[2], dilation[2];
    bool same; /* padding = "same" */
} conv;

enum { PLAIN, BATCH_LAST, CHANNELS_LAST, ODD, N_LAYOUTS };

/* Shapes that a random draw would miss. Two numbers: height and width. */
static const conv extremes[] = {
    { 0, 3, 4, 1, { 5, 5 }, { 3, 3 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, false },     /* no image */
    { 2, 0, 4, 1, { 5, 5 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, false },     /* no channel: a sum of nothing */
    { 1, 1, 1, 1, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, false },     /* one number */
    { 2, 2, 3, 1, { 2, 3 }, { 5, 7 }, { 1, 1 }, { 2, 3 }, { 1, 1 }, false },     /* a kernel larger than the input */
    { 2, 2, 3, 1, { 9, 11 }, { 2, 2 }, { 4, 5 }, { 0, 0 }, { 1, 1 }, false },    /* steps wider than the kernel */
    { 2, 2, 3, 1, { 9, 11 }, { 3, 2 }, { 4, 3 }, { 3, 4 }, { 2, 3 }, false },    /* everything at once */
    { 2, 3, 2, 1, { 6, 6 }, { 3, 3 }, { 6, 6 }, { 0, 0 }, { 2, 2 }, false },     /* a step that nobody takes */
    { 2, 3, 2, 1, { 12, 13 }, { 3, 2 }, { 2, 4 }, { 1, 0 }, { 4, 6 }, false },   /* steps and gaps have a divisor */
    { 1, 2, 2, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 4, 5 }, { 1, 1 }, false },     /* mostly padding */
    { 3, 6, 6, 6, { 7, 8 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, false },     /* depthwise */
    { 2, 4, 8, 4, { 9, 9 }, { 5, 5 }, { 2, 2 }, { 2, 2 }, { 1, 1 }, false },     /* two filters a channel */
    { 2, 6, 9, 3, { 6, 5 }, { 3, 2 }, { 1, 2 }, { 1, 1 }, { 2, 1 }, false },     /* groups */
    { 2, 3, 4, 1, { 6, 7 }, { 3, 4 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, true },      /* "same" */
    { 2, 3, 4, 1, { 6, 7 }, { 2, 3 }, { 1, 1 }, { 0, 0 }, { 3, 2 }, true },      /* */
    { 2, 1, 10, 1, { 28, 28 }, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, false },  /* examples/mnist_cnn.c */
    { 3, 10, 20, 1, { 24, 24 }, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, false }, /* */
    { 2, 5, 70, 1, { 7, 9 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, false },    /* more channels than a tile */
    { 1, 40, 140, 1, { 5, 6 }, { 3, 3 }, { 2, 1 }, { 1, 1 }, { 1, 1 }, false },  /* */
    { 9, 3, 40, 1, { 12, 12 }, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, false },  /* pixel by pixel */
    { 2, 6, 32, 1, { 17, 70 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, false },  /* more columns than a block */
    { 13, 2, 6, 1, { 4, 4 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, false },    /* several small images to a block */
    { 1, 90, 20, 1, { 7, 6 }, { 5, 5 }, { 1, 1 }, { 2, 2 }, { 1, 1 }, false },   /* channels in several turns */
    { 2, 1, 1, 1, { 45, 9 }, { 5, 3 }, { 1, 1 }, { 2, 0 }, { 1, 1 }, false },    /* one channel to one */
    { 2, 3, 8, 1, { 11, 40 }, { 3, 9 }, { 1, 2 }, { 1, 0 }, { 1, 3 }, false },   /* steps and gaps across only */
    { 5, 4, 33, 1, { 11, 9 }, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 }, false },   /* */
    { 40, 2, 5, 1, { 6, 5 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, false },    /* many images */
    { 2, 4, 20, 1, { 9, 10 }, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, false },   /* columns shared by two threads */
    { 2, 3, 4, 1, { 9, 8 }, { 6, 4 }, { 1, 1 }, { 2, 1 }, { 1, 1 }, false },     /* kernels with an even side */
    { 2, 3, 4, 1, { 8, 9 }, { 4, 6 }, { 1, 1 }, { 0, 3 }, { 1, 1 }, false },     /* */
    { 5, 8, 280, 2, { 9, 8 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, false },   /* tiles both ways, of each group */
    { 16, 280, 8, 2, { 9, 8 }, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 }, false },  /* and backward of each remainder */
};

static uint64_t drawn;
static int64_t between(int64_t from, int64_t to)
{
    drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    return from + (int64_t)((drawn >> 33) % (uint64_t)(to - from + 1));
}

static bool is_possible(const conv *c)
{
    for (int d = 0; d < 2; d++)
        if (c->size[d] + 2 * c->padding[d] < c->dilation[d] * (c->kernel[d] - 1) + 1) return false;
    return true;
}
static conv random_conv(void)
{
    conv c;
    do {
        const int64_t groups = between(0, 2) ? 1 : between(1, 4);
        c = (conv){
            .batch = between(1, 4), .channels = groups * between(1, 5), .out = groups * between(1, 9), .groups = groups
        };
        const bool usual = between(0, 1);
        const int64_t kernel = 2 * between(1, 2) + 1;
        for (int d = 0; d < 2; d++) {
            c.size[d] = between(1, 14);
            c.kernel[d] = usual ? kernel : between(1, 5);
            c.stride[d] = usual ? 1 : between(1, 4);
            c.padding[d] = between(0, 3);
            c.dilation[d] = usual ? 1 : between(1, 3);
        }
    } while (!is_possible(&c));
    return c;
}

/* x's numbers, laid out in one of the ways. */
static Variable *laid_out(Variable *x, int layout)
{
    const int last = (int)ag_dim(x) - 1;
    switch (layout) {
    case BATCH_LAST:
        return ag_contiguous(x, .memory_format = AG_BATCH_LAST);
    case CHANNELS_LAST:
        return ag_transpose(ag_transpose(ag_contiguous(ag_transpose(ag_transpose(x, 1, 2), 2, 3)), 2, 3), 1, 2);
    case ODD: /* every second column of something wider, rows and columns exchanged */
        x = ag_transpose(x, last - 1, last);
        return ag_transpose(
            ag_slice(ag_cat(AG_LIST(x, x), .dim = -2), .dim = -2, .start = 0, .end = ag_size(x, last - 1)), last - 1,
            last);
    default:
        return x;
    }
}

static Variable *apply(const conv *c, Variable *x, Variable *w, Variable *b)
{
    return ag_conv2d(x, w, b ? b : AG_NONE, AG_SIZE(c->stride[0], c->stride[1]),
                     c->same ? AG_PADDING_SAME : AG_SIZE(c->padding[0], c->padding[1]),
                     AG_SIZE(c->dilation[0], c->dilation[1]), c->groups);
}

/* On a device, the way of a Sequential. */
static Variable *apply_with_relu(const conv *c, Variable *x, Variable *w, Variable *b)
{
    const struct ag__conv2d_relu_args args = {
        .input = x,
        .weight = w,
        .bias = b ? b : AG_NONE,
        .stride = AG_SIZE(c->stride[0], c->stride[1]),
        .padding = c->same ? AG_PADDING_SAME : AG_SIZE(c->padding[0], c->padding[1]),
        .dilation = AG_SIZE(c->dilation[0], c->dilation[1]),
        .groups = c->groups,
    };
    return ag__conv2d_relu(&args);
}

static bool lie_alike(Variable *a, Variable *b)
{
    for (int d = 0; d < ag_dim(a); d++)
        if (ag_stride(a).at[d] != ag_stride(b).at[d]) return false;
    return true;
}

typedef struct {
    Variable *x, *w, *b, *g;
} operands;

/* y = conv2d; its gradients; and with `second` those of a number made of the gradients. */
static int results(const conv *c, const operands *o, ag_device device, bool second, Variable **result)
{
    Variable *x = ag_requires_grad_(ag_to(o->x, device, .copy = true));
    Variable *w = ag_requires_grad_(ag_to(o->w, device, .copy = true));
    Variable *b = o->b ? ag_requires_grad_(ag_to(o->b, device, .copy = true)) : NULL;
    Variable *g = ag_requires_grad_(ag_to(o->g, device, .copy = true)), *y = apply(c, x, w, b);
    const int n = b ? 3 : 2;
    Variable *first[3], *order2[3];
    OK(y);
    OK(ag_autograd_grad(AG_LIST(y), ag_list_from(n, (Variable *[]){ x, w, b }), first, .grad_outputs = AG_LIST(g),
                        .create_graph = second));
    result[0] = y;
    memcpy(result + 1, first, (size_t)n * sizeof *first);
    if (!second) return 1 + n;
    Variable *number = ag_add(ag_sum(ag_mul(first[0], first[0])), ag_sum(ag_mul(first[1], first[1])));
    OK(ag_autograd_grad(AG_LIST(number), AG_LIST(x, w, g), order2));
    memcpy(result + 1 + n, order2, sizeof order2);
    return 4 + n;
}

/* Of float32: half a unit in the last place of 1 for each addition of the longest sum, 2e-5 where those are few. */
static double tolerance_of(const conv *c, ag_dtype dtype, Variable *y)
{
    const double taps = (double)(c->kernel[0] * c->kernel[1]),
                 channels = (double)(c->channels > c->out ? c->channels : c->out);
    const double pixels = (double)(ag_numel(y) / c->out);
    return dtype == AG_FLOAT64 ? 1e-12 : fmax(2e-5, 0x1p-24 * fmax(taps * channels, pixels));
}

static void compare(const conv *c, ag_dtype dtype, int layout, bool second)
{
    AG_SCOPE;
    Variable *x = support_draw(AG_SHAPE(c->batch, c->channels, c->size[0], c->size[1]), dtype, 1);
    Variable *w = support_draw(AG_SHAPE(c->out, c->channels / c->groups, c->kernel[0], c->kernel[1]), dtype, 1);
    operands o = { laid_out(x, layout), laid_out(w, layout == ODD ? ODD : PLAIN),
                   layout == CHANNELS_LAST ? NULL : support_draw(AG_SHAPE(c->out), dtype, 1), NULL };
    Variable *y = apply(c, x, w, NULL);
    OK(y);
    const double tolerance = tolerance_of(c, dtype, y);
    o.g = laid_out(support_draw(ag_shape(y), dtype, 1), layout);
    Variable *here[7], *there[7];
    const int n = results(c, &o, AG_CPU, second, here);
    results(c, &o, AG_CUDA, second, there);
    for (int k = 0; k < n; k++) {
        cuda_same(ag_to(there[k], AG_CPU), here[k], tolerance * (k > 3 ? 30 : 1));
        if (k == 0 || k == 2) ck_assert_msg(lie_alike(there[k], here[k]), "result %d lies otherwise", k);
    }
    y = apply_with_relu(c, ag_to(o.x, AG_CUDA), ag_to(o.w, AG_CUDA), o.b ? ag_to(o.b, AG_CUDA) : NULL);
    OK(y);
    cuda_same(ag_to(y, AG_CPU), ag_to(ag_relu(ag_detach(there[0])), AG_CPU), 0);
    ck_assert(lie_alike(y, there[0]));
}

START_TEST(extreme_shapes)
{
    for (int i = 0; i < (int)(sizeof extremes / sizeof *extremes); i++)
        for (int layout = 0; layout < N_LAYOUTS; layout++) {
            compare(&extremes[i], AG_FLOAT32, layout, false);
            compare(&extremes[i], AG_FLOAT64, layout, layout == ODD);
        }
}
END_TEST

START_TEST(random_shapes)
{
    for (int i = 0; i < 150; i++) {
        const conv c = random_conv();
        compare(&c, AG_FLOAT64, i % N_LAYOUTS, i % 3 == 0);
        compare(&c, AG_FLOAT32, i / 4 % N_LAYOUTS, false);
    }
}
END_TEST

START_TEST(one_image_without_a_batch)
{
    for (int i = 0; i < 10; i++) {
        conv c = random_conv();
        Variable *x = support_draw(AG_SHAPE(c.channels, c.size[0], c.size[1]), AG_FLOAT32, 1);
        Variable *w = support_draw(AG_SHAPE(c.out, c.channels / c.groups, c.kernel[0], c.kernel[1]), AG_FLOAT32, 1);
        operands o = { x, w, support_draw(AG_SHAPE(c.out), AG_FLOAT32, 1), NULL };
        o.g = support_draw(ag_shape(apply(&c, x, w, NULL)), AG_FLOAT32, 1);
        Variable *here[7], *there[7];
        const int n = results(&c, &o, AG_CPU, false, here);
        results(&c, &o, AG_CUDA, false, there);
        for (int k = 0; k < n; k++) cuda_same(ag_to(there[k], AG_CPU), here[k], 2e-5);
    }
}
END_TEST

START_TEST(integers_wrap)
{
    for (int d = AG_INT64; d < AG_N_DTYPES; d++) {
        if (d == AG_BOOL) continue;
        for (int i = 0; i < 12; i++) {
            const conv c = i < 9 ? random_conv() : extremes[i - 9];
            Variable *x = support_draw(AG_SHAPE(c.batch, c.channels, c.size[0], c.size[1]), AG_FLOAT64, 3e9);
            Variable *w = support_draw(AG_SHAPE(c.out, c.channels / c.groups, c.kernel[0], c.kernel[1]), AG_FLOAT64,
                                       3e9);
            Variable *b = i % 2 ? ag_to(support_draw(AG_SHAPE(c.out), AG_FLOAT64, 100), .dtype = (ag_dtype)d) : NULL;
            x = laid_out(ag_to(x, .dtype = (ag_dtype)d), i % N_LAYOUTS);
            w = ag_to(w, .dtype = (ag_dtype)d);
            Variable *y = apply(&c, ag_to(x, AG_CUDA), ag_to(w, AG_CUDA), b ? ag_to(b, AG_CUDA) : NULL);
            OK(y);
            cuda_same(ag_to(y, AG_CPU), apply(&c, x, w, b), 0);
        }
    }
}
END_TEST

/* What is not a number, and what is infinite, goes where it goes on the CPU. */
START_TEST(nan_and_infinity_stay_where_they_belong)
{
    Variable *x = support_draw(AG_SHAPE(2, 3, 8, 9), AG_FLOAT32, 1);
    Variable *w = support_draw(AG_SHAPE(4, 3, 3, 3), AG_FLOAT32, 1);
    OK(ag_fill_(ag_slice(ag_select(ag_select(x, 0, 0), 0, 1), .dim = 0, .start = 2, .end = 3), NAN));
    OK(ag_fill_(ag_slice(ag_select(ag_select(x, 0, 1), 0, 2), .dim = 1, .start = 8, .end = 9), INFINITY));
    Variable *y = ag_conv2d(ag_to(x, AG_CUDA), ag_to(w, AG_CUDA));
    cuda_same(ag_to(y, AG_CPU), ag_conv2d(x, w), 1e-5);
}
END_TEST

START_TEST(the_same_bits_every_time)
{
    const conv c = extremes[15];
    operands o = { support_draw(AG_SHAPE(c.batch, c.channels, c.size[0], c.size[1]), AG_FLOAT32, 1),
                   support_draw(AG_SHAPE(c.out, c.channels, c.kernel[0], c.kernel[1]), AG_FLOAT32, 1),
                   support_draw(AG_SHAPE(c.out), AG_FLOAT32, 1), NULL };
    o.g = support_draw(ag_shape(apply(&c, o.x, o.w, o.b)), AG_FLOAT32, 1);
    Variable *once[4], *twice[4];
    results(&c, &o, AG_CUDA, false, once);
    results(&c, &o, AG_CUDA, false, twice);
    for (int k = 0; k < 4; k++) cuda_same(ag_to(twice[k], AG_CPU), ag_to(once[k], AG_CPU), 0);
}
END_TEST

/* ---- in a Sequential, with the ReLU behind it ---- */

static Module *two_layers(void)
{
    return ag_nn_sequential(ag_nn_conv2d(2, 5, 3, .dtype = AG_FLOAT64), ag_nn_relu(),
                            ag_nn_conv2d(5, 40, 3, .stride = 2, .dtype = AG_FLOAT64), ag_nn_relu(.inplace = true));
}
static Variable *look(Module *m, Variable *x, Variable *y, void *user)
{
    (void)m, (void)x, (void)y;
    ++*(int *)user;
    return NULL;
}
static Module *child(Module *net, int i)
{
    char name[8];
    snprintf(name, sizeof name, "%d", i);
    return ag_get_submodule(net, name);
}

START_TEST(with_the_relu_behind_it_it_is_one_launch_and_two_nodes)
{
    Variable *input = support_draw(AG_SHAPE(3, 2, 9, 8), AG_FLOAT64, 1), *value[3], *grads[3][5], *second[3];
    for (int i = 0; i < 3; i++) { /* on the CPU; on the device; and there with somebody who looks between the two */
        const ag_device device = i ? AG_CUDA : AG_CPU;
        int looked = 0;
        ag_manual_seed(3);
        Module *net = two_layers();
        OK(net && ag_module_to(net, device));
        if (i == 2) OK(ag_module_register_forward_hook(child(net, 0), look, .user = &looked));
        if (i == 2) OK(ag_module_register_forward_hook(child(net, 3), look, .user = &looked));
        Variable *x = ag_requires_grad_(ag_to(input, device, .copy = true));
        const int before = cuda_launches();
        Variable *y = ag_forward(net, x);
        OK(y);
        if (i && before >= 0) ck_assert_int_eq(cuda_launches() - before, i == 1 ? 2 : 4);
        ck_assert_int_eq(looked, i == 2 ? 2 : 0);
        ag_next next;
        ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "ReluBackward0");
        OK(ag_next_function(ag_grad_fn(y), 0, &next));
        ck_assert_str_eq(next.name, "ConvolutionBackward0");
        OK(ag_next_function(next.node, 0, &next));
        ck_assert_str_eq(next.name, "ReluBackward0");
        List parameters = ag_parameters(net);
        Variable *wanted[5] = { x };
        memcpy(wanted + 1, parameters.at, 4 * sizeof *wanted);
        OK(ag_autograd_grad(AG_LIST(ag_sum(ag_square(y))), ag_list_from(5, wanted), grads[i], .create_graph = true));
        OK(ag_autograd_grad(AG_LIST(ag_sum(ag_square(grads[i][1]))), AG_LIST(x), &second[i]));
        value[i] = ag_detach(y);
        AG_NO_GRAD;
        cuda_same(ag_to(ag_forward(net, x), AG_CPU), ag_to(value[i], AG_CPU), 0);
        OK(ag_fill_(ag_select(x, 0, 0), NAN));
        ck_assert(isnan(support_at(ag_to(ag_forward(net, x), AG_CPU), 0)));
        ag_module_free(net);
    }
    for (int i = 1; i < 3; i++) {
        cuda_same(ag_to(value[i], AG_CPU), value[0], 1e-12);
        for (int k = 0; k < 5; k++) cuda_same(ag_to(ag_detach(grads[i][k]), AG_CPU), ag_detach(grads[0][k]), 1e-11);
        cuda_same(ag_to(second[i], AG_CPU), second[0], 1e-10);
    }
}
END_TEST

START_TEST(its_gradients_are_those_of_its_differences)
{
    Variable *x = ag_requires_grad_(ag_to(support_draw(AG_SHAPE(2, 2, 5, 4), AG_FLOAT64, 1), AG_CUDA));
    Variable *w = ag_requires_grad_(ag_to(support_draw(AG_SHAPE(3, 2, 3, 2), AG_FLOAT64, 1), AG_CUDA));
    Variable *y = ag_conv2d(x, w, .stride = AG_SIZE(2, 1), .padding = 1), *dx, *dw, *step[2];
    Variable *const by[2] = { ag_to(support_draw(ag_shape(x), AG_FLOAT64, 1), AG_CUDA),
                              ag_to(support_draw(ag_shape(w), AG_FLOAT64, 1), AG_CUDA) };
    Variable *gradient[2];
    OK(ag_autograd_grad(AG_LIST(ag_sum(ag_mul(y, y))), AG_LIST(x, w), gradient));
    dx = gradient[0], dw = gradient[1];
    const double h = 1e-5;
    for (int k = 0; k < 2; k++) {
        for (int side = 0; side < 2; side++) {
            Variable *moved = ag_add(k ? w : x, by[k], .alpha = side ? h : -h);
            Variable *z = ag_conv2d(k ? x : moved, k ? moved : w, .stride = AG_SIZE(2, 1), .padding = 1);
            step[side] = ag_sum(ag_mul(z, z));
        }
        const double wanted = (ag_item(step[1]) - ag_item(step[0])) / (2 * h);
        ck_assert_double_le(fabs(ag_item(ag_sum(ag_mul(k ? dw : dx, by[k]))) - wanted), 1e-6 * fabs(wanted));
    }
}
END_TEST

START_TEST(what_cannot_be_done_is_said)
{
    Variable *x = ag_ones(AG_SHAPE(1, 3, 4, 4), .device = AG_CUDA),
             *w = ag_ones(AG_SHAPE(2, 1, 3, 3), .device = AG_CUDA);
    REFUSED(ag_conv2d(x, w), "input has 3 channels but weight wants 1");
    REFUSED(ag_conv2d(x, ag_ones(AG_SHAPE(2, 3, 3, 3))), "found at least two devices, cuda:0 and cpu");
    REFUSED(ag_conv2d(x, ag_ones(AG_SHAPE(2, 3, 5, 5), .device = AG_CUDA)), "Kernel size can't be greater than actual");
    REFUSED(ag_conv2d(ag_to(x, .dtype = AG_BOOL), ag_ones(AG_SHAPE(3, 3, 1, 1), .dtype = AG_BOOL, .device = AG_CUDA)),
            "not implemented for 'Bool'");
    OK(ag_conv2d(x, ag_ones(AG_SHAPE(3, 1, 3, 3), .device = AG_CUDA), .groups = 3));
}
END_TEST

SUPPORT_MAIN("cuda conv", extreme_shapes, random_shapes, one_image_without_a_batch, integers_wrap,
             nan_and_infinity_stay_where_they_belong, the_same_bits_every_time,
             with_the_relu_behind_it_it_is_one_launch_and_two_nodes, its_gradients_are_those_of_its_differences,
             what_cannot_be_done_is_said)
