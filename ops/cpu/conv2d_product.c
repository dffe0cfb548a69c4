/* conv2d_product.c - see conv2d_product.h.
 *
 * The pixels of a plane are the columns of a matrix, (channels, pixels), for each image; or the pixels of all images
 * together, if they are as far apart as those of one, as in batch-last tensors:
 *
 *     output = weight input        input gradient = weight' output gradient
 *     weight gradient = sum over the matrices of output gradient input'
 */
#include "ops/cpu/conv2d_product.h"
#include "ops/cpu/gemm.h"

enum {
    FEWEST = 4, /* channels of a group */
    LONG = 256, /* pixels of a matrix */
};

/* The pixels of a tensor (N, C, H, W) as columns: `step` elements from one to the next, `batch` from an image to the
 * next. */
typedef struct {
    int64_t n, step, batch, images;
} columns;

static bool is_matrix(const ag__conv2d_shape *s, const int64_t *stride, columns *c)
{
    const int64_t high = s->size[0], wide = s->size[1];
    c->step = wide > 1 ? stride[3] : stride[2];
    c->n = high * wide;
    c->batch = stride[0];
    c->images = s->batch;
    return wide == 1 || high == 1 || stride[2] == wide * stride[3];
}

/* All images of both in one matrix, if they can be. */
static void join(columns *x, columns *y)
{
    const bool last = x->batch == 1 && y->batch == 1 && x->step == x->images && y->step == y->images,
               first = x->batch == x->n * x->step && y->batch == y->n * y->step;
    if (!last && !first) return;
    columns *all[] = { x, y };
    for (int i = 0; i < 2; i++) {
        all[i]->n *= all[i]->images;
        all[i]->step = last ? 1 : all[i]->step;
        all[i]->images = 1;
        all[i]->batch = 0;
    }
}

static bool are_matrices(const ag__conv2d_shape *s, const int64_t *input_stride, const int64_t *output_stride,
                         columns *x, columns *y)
{
    for (int i = 0; i < 2; i++)
        if (s->kernel[i] != 1 || s->stride[i] != 1 || s->padding[i] != 0) return false;
    if (s->channels / s->groups < FEWEST || s->out_channels / s->groups < FEWEST) return false;
    if (!is_matrix(s, input_stride, x) || !is_matrix(s, output_stride, y)) return false;
    join(x, y);
    return true;
}

bool ag__conv2d_is_product(const ag__conv2d_shape *s, const int64_t *input_stride, const int64_t *output_stride)
{
    columns x, y;
    return are_matrices(s, input_stride, output_stride, &x, &y);
}

bool ag__conv2d_is_long_product(const ag__conv2d_shape *s, const int64_t *input_stride, const int64_t *output_stride)
{
    columns x, y;
    return are_matrices(s, input_stride, output_stride, &x, &y) && x.n >= LONG;
}

static const void *at(const void *p, int64_t elements, ag_dtype dtype)
{
    return (const char *)p + elements * (int64_t)(dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double));
}

/* (O / groups, C / groups) of a group times (C / groups, pixels) of each image; or the other way round. */
static bool multiply(const ag__conv2d_shape *s, ag__conv2d_in in, ag__conv2d_in weight, const void *bias,
                     int64_t bias_stride, ag__conv2d_out out, bool turned)
{
    const int64_t ins = (turned ? s->out_channels : s->channels) / s->groups,
                  outs = (turned ? s->channels : s->out_channels) / s->groups;
    columns x, y;
    are_matrices(s, in.stride, out.stride, &x, &y);
    for (int64_t i = 0; i < s->groups; i++) {
        const ag__gemm_args g = {
            .dtype = s->dtype,
            .m = outs,
            .n = x.n,
            .k = ins,
            .a = at(weight.data, i * (turned ? ins : outs) * weight.stride[0], s->dtype),
            .a_row = weight.stride[turned],
            .a_col = weight.stride[!turned],
            .b = at(in.data, i * ins * in.stride[1], s->dtype),
            .b_row = in.stride[1],
            .b_col = x.step,
            .d = bias ? at(bias, i * outs * bias_stride, s->dtype) : NULL,
            .d_row = bias_stride,
            .c = (void *)(uintptr_t)at(out.data, i * outs * out.stride[1], s->dtype),
            .c_row = out.stride[1],
            .c_col = y.step,
            .alpha = 1,
            .beta = bias ? 1 : 0,
            .batch = x.images,
            .b_batch = x.batch,
            .c_batch = y.batch,
        };
        if (!ag__gemm(&g)) return false;
    }
    return true;
}

bool ag__conv2d_product_forward(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in weight, const void *bias,
                                int64_t bias_stride, ag__conv2d_out output)
{
    return multiply(s, input, weight, bias, bias_stride, output, false);
}

bool ag__conv2d_product_input_gradient(const ag__conv2d_shape *s, ag__conv2d_in output_gradient, ag__conv2d_in weight,
                                       ag__conv2d_out input_gradient)
{
    return multiply(s, output_gradient, weight, NULL, 0, input_gradient, true);
}

bool ag__conv2d_product_weight_gradient(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in output_gradient,
                                        bool more, ag__conv2d_out weight_gradient)
{
    const int64_t ins = s->channels / s->groups, outs = s->out_channels / s->groups;
    columns x, y;
    are_matrices(s, input.stride, output_gradient.stride, &x, &y);
    for (int64_t i = 0; i < s->groups; i++) {
        void *to = (void *)(uintptr_t)at(weight_gradient.data, i * outs * weight_gradient.stride[0], s->dtype);
        for (int64_t image = 0; image < x.images; image++) {
            const ag__gemm_args g = {
                .dtype = s->dtype,
                .m = outs,
                .n = ins,
                .k = x.n,
                .a = at(output_gradient.data, image * y.batch + i * outs * output_gradient.stride[1], s->dtype),
                .a_row = output_gradient.stride[1],
                .a_col = y.step,
                .b = at(input.data, image * x.batch + i * ins * input.stride[1], s->dtype),
                .b_row = x.step,
                .b_col = input.stride[1],
                .d = to,
                .d_row = weight_gradient.stride[0],
                .d_col = weight_gradient.stride[1],
                .c = to,
                .c_row = weight_gradient.stride[0],
                .c_col = weight_gradient.stride[1],
                .alpha = 1,
                .beta = more || image > 0,
            };
            if (!ag__gemm(&g)) return false;
        }
    }
    return true;
}
