/* test_cuda_pool.c - max pooling on CUDA devices: the CPU's values, indices and gradients, to the bit. */
#include "tests/cuda/cuda_cases.h"

typedef struct {
    int64_t batch, channels, size[2], kernel[2], stride[2], padding[2], dilation[2];
    bool ceil_mode;
} pool;

enum { PLAIN, BATCH_LAST, CHANNELS_LAST, ODD, N_LAYOUTS };

static const pool extremes[] = {
    { 0, 3, { 4, 4 }, { 2, 2 }, { 2, 2 }, { 0, 0 }, { 1, 1 }, false },   /* no image */
    { 1, 1, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, false },   /* one number */
    { 2, 3, { 6, 8 }, { 2, 2 }, { 2, 2 }, { 0, 0 }, { 1, 1 }, false },   /* the usual, by pairs of columns */
    { 2, 3, { 7, 9 }, { 2, 2 }, { 2, 2 }, { 0, 0 }, { 1, 1 }, false },   /* and where there are none */
    { 2, 3, { 7, 9 }, { 2, 2 }, { 2, 2 }, { 0, 0 }, { 1, 1 }, true },    /* windows that end outside */
    { 2, 3, { 6, 8 }, { 2, 2 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, false },   /* windows that overlap */
    { 2, 3, { 6, 8 }, { 2, 2 }, { 2, 2 }, { 1, 1 }, { 1, 1 }, false },   /* windows that begin outside */
    { 2, 3, { 5, 8 }, { 2, 2 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, false },   /* and end inside */
    { 2, 3, { 9, 8 }, { 3, 3 }, { 1, 2 }, { 1, 1 }, { 1, 1 }, false },   /* */
    { 2, 3, { 9, 8 }, { 3, 3 }, { 2, 2 }, { 0, 0 }, { 1, 1 }, false },   /* larger ones inside */
    { 2, 3, { 9, 8 }, { 2, 2 }, { 2, 2 }, { 0, 0 }, { 2, 2 }, false },   /* */
    { 2, 2, { 9, 9 }, { 2, 3 }, { 5, 4 }, { 1, 1 }, { 1, 1 }, true },    /* steps wider than the window */
    { 2, 2, { 9, 9 }, { 3, 2 }, { 1, 2 }, { 1, 0 }, { 2, 3 }, false },   /* gaps */
    { 1, 2, { 5, 5 }, { 5, 5 }, { 99, 99 }, { 0, 0 }, { 1, 1 }, false }, /* one window */
    { 37, 2, { 4, 4 }, { 2, 2 }, { 2, 2 }, { 0, 0 }, { 1, 1 }, false },  /* more images than anything else */
};

static uint64_t drawn;
static int64_t between(int64_t from, int64_t to)
{
    drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    return from + (int64_t)((drawn >> 33) % (uint64_t)(to - from + 1));
}

static pool random_pool(void)
{
    pool p;
    bool possible;
    do {
        p = (pool){ .batch = between(1, 4), .channels = between(1, 4), .ceil_mode = between(0, 1) };
        possible = true;
        for (int d = 0; d < 2; d++) {
            p.size[d] = between(1, 12);
            p.kernel[d] = between(1, 4);
            p.stride[d] = between(1, 4);
            p.padding[d] = between(0, p.kernel[d] / 2);
            p.dilation[d] = p.padding[d] ? 1 : between(1, 3);
            possible = possible && p.size[d] + 2 * p.padding[d] > p.dilation[d] * (p.kernel[d] - 1);
        }
    } while (!possible);
    return p;
}

static Variable *laid_out(Variable *x, int layout)
{
    switch (layout) {
    case BATCH_LAST:
        return ag_contiguous(x, .memory_format = AG_BATCH_LAST);
    case CHANNELS_LAST:
        return ag_transpose(ag_transpose(ag_contiguous(ag_transpose(ag_transpose(x, 1, 2), 2, 3)), 2, 3), 1, 2);
    case ODD:
        return ag_transpose(ag_contiguous(ag_transpose(x, 2, 3)), 2, 3);
    default:
        return x;
    }
}

static ag_max_pool2d_with_indices_result apply(const pool *p, Variable *x)
{
    return ag_max_pool2d_with_indices(x, AG_SIZE(p->kernel[0], p->kernel[1]), AG_SIZE(p->stride[0], p->stride[1]),
                                      AG_SIZE(p->padding[0], p->padding[1]), AG_SIZE(p->dilation[0], p->dilation[1]),
                                      p->ceil_mode);
}

static void same_strides(Variable *a, Variable *b)
{
    for (int d = 0; d < ag_dim(a); d++) ck_assert_int_eq(ag_stride(a).at[d], ag_stride(b).at[d]);
}

static void compare(const pool *p, Variable *x)
{
    ag_max_pool2d_with_indices_result y[2];
    Variable *dx[2], *g = NULL;
    const bool real = ag_dtype_of(x) <= AG_FLOAT64;
    for (int i = 0; i < 2; i++) {
        Variable *on = ag_to(x, i ? AG_CUDA : AG_CPU, .copy = true);
        if (real) OK(ag_requires_grad_(on));
        y[i] = apply(p, on);
        OK(y[i].values);
        if (!g) g = support_draw(ag_shape(y[i].values), ag_dtype_of(x), 1);
        if (real)
            OK(ag_autograd_grad(AG_LIST(y[i].values), AG_LIST(on), &dx[i],
                                .grad_outputs = AG_LIST(ag_to(g, i ? AG_CUDA : AG_CPU))));
    }
    cuda_same(ag_to(y[1].values, AG_CPU), y[0].values, 0);
    cuda_same(ag_to(y[1].indices, AG_CPU), y[0].indices, 0);
    same_strides(y[1].values, y[0].values);
    same_strides(y[1].indices, y[0].indices);
    if (!real) return;
    cuda_same(ag_to(dx[1], AG_CPU), dx[0], 0);
    same_strides(dx[1], dx[0]);
}

/* Few different numbers, so that some are equal. */
static Variable *input_of(const pool *p, ag_dtype dtype, int layout)
{
    Variable *x = support_draw(AG_SHAPE(p->batch, p->channels, p->size[0], p->size[1]), AG_FLOAT64, 8);
    return laid_out(ag_to(ag_to(x, .dtype = AG_INT32), .dtype = dtype), layout);
}

START_TEST(extreme_shapes)
{
    for (int i = 0; i < (int)(sizeof extremes / sizeof *extremes); i++)
        for (int d = 0; d < AG_N_DTYPES; d++)
            for (int layout = 0; d != AG_BOOL && layout < N_LAYOUTS; layout++) {
                AG_SCOPE;
                compare(&extremes[i], input_of(&extremes[i], (ag_dtype)d, layout));
            }
}
END_TEST

START_TEST(random_shapes)
{
    for (int i = 0; i < 200; i++) {
        AG_SCOPE;
        const pool p = random_pool();
        const ag_dtype dtype = i % 3 == 0 ? AG_FLOAT32 : i % 3 == 1 ? AG_FLOAT64 : AG_INT64;
        compare(&p, input_of(&p, dtype, i / 3 % N_LAYOUTS));
    }
}
END_TEST

START_TEST(nan_and_infinity)
{
    for (int i = 0; i < (int)(sizeof extremes / sizeof *extremes); i++) {
        Variable *x = input_of(&extremes[i], i % 2 ? AG_FLOAT32 : AG_FLOAT64, PLAIN);
        x = ag_where(ag_eq(x, ag_scalar(3)), ag_full_like(x, NAN), x);
        x = ag_where(ag_lt(x, ag_scalar(-1)), ag_full_like(x, -INFINITY), x);
        compare(&extremes[i], x);
        compare(&extremes[i], ag_full_like(x, -INFINITY));
    }
}
END_TEST

START_TEST(one_image_without_a_batch)
{
    for (int i = 1; i < 11; i++) {
        Variable *x = ag_select(input_of(&extremes[i], AG_FLOAT32, PLAIN), 0, 0);
        compare(&extremes[i], x);
        compare(&extremes[i], ag_transpose(ag_contiguous(ag_transpose(x, 0, 2)), 0, 2));
    }
}
END_TEST

/* By pairs, where memory is not laid out for pairs. */
START_TEST(an_odd_beginning)
{
    const pool p = extremes[2];
    Variable *x = support_draw(AG_SHAPE(2, 3, 6, 11), AG_FLOAT32, 1), *there = ag_to(x, AG_CUDA);
    for (int start = 0; start < 3; start++) {
        ag_max_pool2d_with_indices_result here = apply(&p, ag_slice(x, .dim = 3, .start = start, .end = start + 8));
        ag_max_pool2d_with_indices_result y = apply(&p, ag_slice(there, .dim = 3, .start = start, .end = start + 8));
        cuda_same(ag_to(y.values, AG_CPU), here.values, 0);
        cuda_same(ag_to(y.indices, AG_CPU), here.indices, 0);
    }
    x = support_draw(AG_SHAPE(2, 3, 6, 10), AG_FLOAT32, 1), there = ag_to(x, AG_CUDA);
    for (int start = 0; start < 3; start++) {
        ag_max_pool2d_with_indices_result here = apply(&p, ag_slice(x, .dim = 3, .start = start, .end = start + 8));
        ag_max_pool2d_with_indices_result y = apply(&p, ag_slice(there, .dim = 3, .start = start, .end = start + 8));
        cuda_same(ag_to(y.values, AG_CPU), here.values, 0);
        cuda_same(ag_to(y.indices, AG_CPU), here.indices, 0);
    }
}
END_TEST

START_TEST(what_cannot_be_done_is_said)
{
    Variable *x = ag_ones(AG_SHAPE(1, 3, 4, 4), .device = AG_CUDA);
    REFUSED(ag_max_pool2d(x, 5), "Output size is too small");
    REFUSED(ag_max_pool2d(x, 2, .padding = 2), "pad should be at most half of effective kernel size");
    REFUSED(ag_max_pool2d(ag_to(x, .dtype = AG_BOOL), 2), "not implemented for 'Bool'");
    OK(ag_max_pool2d(x, 2));
}
END_TEST

SUPPORT_MAIN("cuda pool", extreme_shapes, random_shapes, nan_and_infinity, one_image_without_a_batch, an_odd_beginning,
             what_cannot_be_done_is_said)
