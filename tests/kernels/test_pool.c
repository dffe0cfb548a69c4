/* test_pool.c - max pooling against plain loops; indices are compared too, so results are equal, not close. */
#include "kernels.h"
#include "ops/cpu/pool.h"

typedef ag__pool2d_shape shape;

static bool complete(shape *s, bool ceil_mode)
{
    for (int i = 0; i < 2; i++) {
        const int64_t room = s->size[i] + 2 * s->padding[i] - s->dilation[i] * (s->kernel[i] - 1) - 1;
        if (room < 0 || s->padding[i] * 2 > s->kernel[i]) return false;
        s->out_size[i] = (room + (ceil_mode ? s->stride[i] - 1 : 0)) / s->stride[i] + 1;
        if ((s->out_size[i] - 1) * s->stride[i] >= s->size[i] + s->padding[i]) s->out_size[i]--; /* as PyTorch */
        for (int64_t o = 0; o < s->out_size[i];
             o++) { /* a window of a dilated kernel may miss the input: callers refuse those */
            bool meets = false;
            for (int64_t k = 0; k < s->kernel[i]; k++) {
                const int64_t at = o * s->stride[i] - s->padding[i] + k * s->dilation[i];
                meets = meets || (at >= 0 && at < s->size[i]);
            }
            if (!meets) return false;
        }
    }
    return true;
}

static shape random_shape(rng *r)
{
    shape s;
    do {
        s = (shape){ .batch = rng_between(r, 0, 1) ? rng_between(r, 1, 15) : rng_between(r, 16, 40),
                     .channels = rng_between(r, 1, 4) };
        const bool usual = rng_between(r, 0, 2) == 0;
        for (int i = 0; i < 2; i++) {
            s.size[i] = rng_between(r, 1, 45);
            s.kernel[i] = usual ? 2 : rng_between(r, 1, 4);
            s.stride[i] = usual ? 2 : rng_between(r, 1, 3);
            s.padding[i] = usual ? 0 : rng_between(r, 0, 2);
            s.dilation[i] = usual ? 1 : rng_between(r, 1, 2);
        }
    } while (!complete(&s, rng_between(r, 0, 1)));
    return s;
}

#define IN(a)  ((ag__pool2d_in){ (a).data, { (a).stride[0], (a).stride[1], (a).stride[2], (a).stride[3] } })
#define OUT(a) ((ag__pool2d_out){ (a).data, { (a).stride[0], (a).stride[1], (a).stride[2], (a).stride[3] } })

/* What PyTorch's loop gives for one window. */
static void expected_window(const array *x, const shape *s, const int64_t *o, double *most, int64_t *place)
{
    *most = x->dtype == AG_UINT8   ? 0
            : x->dtype == AG_INT64 ? (double)INT64_MIN
            : x->dtype == AG_INT32 ? INT32_MIN
                                   : (double)-INFINITY;
    *place = -1;
    for (int64_t i = 0; i < s->kernel[0]; i++) {
        for (int64_t j = 0; j < s->kernel[1]; j++) {
            const int64_t row = o[2] * s->stride[0] - s->padding[0] + i * s->dilation[0];
            const int64_t column = o[3] * s->stride[1] - s->padding[1] + j * s->dilation[1];
            if (row < 0 || row >= s->size[0] || column < 0 || column >= s->size[1]) continue;
            const double v = array_get(x, (int64_t[]){ o[0], o[1], row, column });
            if (*place < 0) *place = row * s->size[1] + column;
            if (v > *most || isnan(v)) {
                *most = v;
                *place = row * s->size[1] + column;
            }
        }
    }
}

/* In any order of dimensions, with gaps, or without gaps in the order given. */
static array array_in(rng *r, ag_dtype dtype, const int64_t *size, const int *order)
{
    if (!order) return array_random(r, dtype, 4, size);
    array a = array_new(dtype, 4, size, order, (int[]){ 1, 1, 1, 1 });
    array_fill(&a, r, -1, 1);
    return a;
}

static void check_one(rng *r, ag_dtype dtype, const shape *s, const int *order)
{
    const bool floating = dtype == AG_FLOAT32 || dtype == AG_FLOAT64;
    const int64_t x_size[] = { s->batch, s->channels, s->size[0], s->size[1] };
    const int64_t y_size[] = { s->batch, s->channels, s->out_size[0], s->out_size[1] };
    array x = array_in(r, dtype, x_size, order), y = array_in(r, dtype, y_size, order),
          where = array_in(r, AG_INT64, y_size, order);
    /* few values, so that many are equal; now and then NaN and infinities */
    static const double special[] = {
        0, -1, 1, 2, (double)NAN, (double)INFINITY, (double)-INFINITY, (double)-INFINITY
    };
    const bool specials = floating && rng_between(r, 0, 1);
    int64_t index[5] = { 0 };
    do
        set(x.data, array_place(&x, index), dtype,
            specials ? special[rng_between(r, 0, 7)] : (double)rng_between(r, 0, 4));
    while (next_index(4, x_size, index));

    const bool with_indices = rng_between(r, 0, 3) > 0;
    ag__max_pool2d_forward(dtype, s, IN(x), OUT(y), with_indices ? OUT(where) : (ag__pool2d_out){ NULL, { 0 } });
    memset(index, 0, sizeof index);
    do {
        double most;
        int64_t place;
        expected_window(&x, s, index, &most, &place);
        const double got = array_get(&y, index);
        const char *text = "%s %s: N %d C %d size %dx%d kernel %dx%d stride %d,%d padding %d,%d dilation %d,%d: [%d, "
                           "%d, %d, %d] is %g";
        char where_it_is[256];
        snprintf(where_it_is, sizeof where_it_is, text, ag_cpu_capability(), ag_dtype_name(dtype), (int)s->batch,
                 (int)s->channels, (int)s->size[0], (int)s->size[1], (int)s->kernel[0], (int)s->kernel[1],
                 (int)s->stride[0], (int)s->stride[1], (int)s->padding[0], (int)s->padding[1], (int)s->dilation[0],
                 (int)s->dilation[1], (int)index[0], (int)index[1], (int)index[2], (int)index[3], got);
        ck_assert_msg(got == most || (isnan(got) && isnan(most)), "%s, expected %g", where_it_is, most);
        if (with_indices)
            ck_assert_msg(array_get(&where, index) == (double)place, "%s at %g, expected %d", where_it_is,
                          array_get(&where, index), (int)place);
    } while (next_index(4, y_size, index));
    ck_assert(array_guards_stand(&y) && array_guards_stand(&where));

    if (floating && with_indices) {
        array g = array_in(r, dtype, y_size, order), dx = array_in(r, dtype, x_size, order);
        array expected = array_new(dtype, 4, x_size, (int[]){ 0, 1, 2, 3 }, (int[]){ 1, 1, 1, 1 });
        array_fill(&expected, r, 0, 0);
        memset(index, 0, sizeof index);
        do {
            const int64_t place = (int64_t)array_get(&where, index);
            const int64_t to = array_place(&expected,
                                           (int64_t[]){ index[0], index[1], place / s->size[1], place % s->size[1] });
            const double sum = get(expected.data, to, dtype) + array_get(&g, index);
            set(expected.data, to, dtype, sum);
        } while (next_index(4, y_size, index));
        ag__max_pool2d_backward(dtype, s, IN(g), IN(where), OUT(dx));
        memset(index, 0, sizeof index);
        do ck_assert_double_eq(array_get(&dx, index), array_get(&expected, index));
        while (next_index(4, x_size, index));
        ck_assert(array_guards_stand(&dx));
        array_free(&g), array_free(&dx), array_free(&expected);
    }
    array_free(&x), array_free(&y), array_free(&where);
}

START_TEST(max_pooling_and_its_gradient_are_those_of_plain_loops)
{
    rng r = { 5 };
    EACH_ISA(isa)
    {
        for (int i = 0; i < rounds(60); i++) {
            shape s = random_shape(&r);
            check_one(&r, i % 2 ? AG_FLOAT32 : AG_FLOAT64, &s, NULL);
            if (i % 4 == 0) check_one(&r, (ag_dtype[]){ AG_INT64, AG_INT32, AG_UINT8 }[i / 4 % 3], &s, NULL);
            check_one(&r, i % 2 ? AG_FLOAT32 : AG_FLOAT64, &s, (int[]){ 1, 2, 3, 0 }); /* batch-last */
            const int64_t channels = s.channels;
            s.channels = s.batch;
            s.batch = channels;
            check_one(&r, i % 2 ? AG_FLOAT32 : AG_FLOAT64, &s, (int[]){ 0, 2, 3, 1 }); /* channels-last */
        }
        shape large = { 16, 1, { 260, 270 }, { 0 }, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 } }; /* 4 MB */
        ck_assert(complete(&large, false));
        check_one(&r, AG_FLOAT32, &large, (int[]){ 1, 2, 3, 0 });
    }
}
END_TEST

TCase *pool_tests(void)
{
    TCase *tests = tcase_create("max pooling");
    tcase_add_test(tests, max_pooling_and_its_gradient_are_those_of_plain_loops);
    return tests;
}
