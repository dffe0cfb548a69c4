/* conv2d_flat_ways.c - the output of a convolution and its input gradient as convolutions whose lanes go along rows.
 *
 * With a stride, the pixels of the input gradient fall into classes by the remainders of row and column; each is the
 * convolution of the output's gradient with some of the kernel, without a stride.
 */
#include "ops/cpu/conv2d_flat_plan.h"
#include "ops/cpu/isa.h"

AG_ISA_TABLES(ag__conv2d_flat_kernels, ag__conv2d_flat_f32)
AG_ISA_TABLES(ag__conv2d_flat_kernels, ag__conv2d_flat_f64)
AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f32)
AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f64)

enum { BLOCK = 16 /* in channels whose sum begins at 0, as PyTorch's oneDNN does it */ };

static ag__flat_plan plan_of(const ag__conv2d_shape *s, ag__conv2d_in in, ag__conv2d_out out)
{
    return (ag__flat_plan){
        .kernels = s->dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__conv2d_flat_f32) : AG_ISA_PICK(ag__conv2d_flat_f64),
        .planes = s->dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__conv2d_f32) : AG_ISA_PICK(ag__conv2d_f64),
        .size = s->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double),
        .in = in,
        .out = out,
        .batch = s->batch,
        .groups = s->groups,
        .block = BLOCK,
    };
}

enum {
    FEW_CHANNELS = 8,
    MANY_CHANNELS = 48,
    SMALL_PLANE = 1600,
    MANY_SUMS = 5, /* output channels at once */
};

/* Pairs of an output pixel and a kernel position that are about an input pixel, along an axis. */
static int64_t pairs(const ag__conv2d_shape *s, int which)
{
    int64_t n = 0;
    for (int64_t k = 0; k < s->kernel[which]; k++) {
        const int64_t back = s->padding[which] - k * s->dilation[which]; /* pixel o: input o * stride - back */
        const int64_t first = back > 0 ? ag__ceil_div(back, s->stride[which]) : 0,
                      end = s->size[which] + back > 0 ? (s->size[which] - 1 + back) / s->stride[which] + 1 : 0;
        n += ag__max(0, ag__min(end, s->out_size[which]) - first);
    }
    return n;
}

/* Lanes that are images compute nothing for padding or between rows, and with a stride need no remainders. If images
 * fill them all, that is better where much would be padding, of batch-last tensors, which need not be turned, and of
 * small planes with a stride; but not of so many channels that the first-level cache does not hold what a few pixels
 * meet. */
static bool better_as_images(const ag__conv2d_shape *s, bool gradient, bool last)
{
    const ag__conv2d_kernels *kernels = s->dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__conv2d_f32)
                                                               : AG_ISA_PICK(ag__conv2d_f64);
    if (s->batch * 10 < ag__ceil_div(s->batch, kernels->lanes) * kernels->lanes * 9) return false;
    double met = 1;
    for (int i = 0; i < 2; i++)
        met *= (double)(pairs(s, i) * (gradient ? s->stride[i] : 1)) /
               (double)((gradient ? s->size[i] : s->out_size[i]) * s->kernel[i]);
    if (met < 0.8) return true;
    const int64_t channels = (gradient ? s->out_channels : s->channels) / s->groups;
    if (channels > MANY_CHANNELS) return false;
    if (last) return kernels->channels >= MANY_SUMS;
    return s->stride[0] * s->stride[1] > 1 && channels >= FEW_CHANNELS && s->size[0] * s->size[1] <= SMALL_PLANE;
}

/* Enough channels on both sides, few positions between rows, and runs of neighbours to copy. */
static bool suits(const ag__flat_axis *rows, const ag__flat_axis *columns, int64_t in_channels, int64_t out_channels,
                  int64_t batch, const int64_t *in_stride, const int64_t *out_stride)
{
    const int64_t positions = rows->kernel * columns->kernel, inner = in_stride[0] == 1 ? ag__min(batch, 16) : 1;
    const bool contiguous = in_stride[3] == 1 && out_stride[3] == 1, last = in_stride[0] == 1 && out_stride[0] == 1;
    return positions <= AG_FLAT_TAPS && in_channels * positions >= 32 && out_channels >= 8 && (contiguous || last) &&
           ag__flat_columns(columns) * 9 <= columns->out * 10 && rows->out * columns->out * inner >= 64;
}

bool ag__conv2d_flat_suits_forward(const ag__conv2d_shape *s, const int64_t *input_stride, const int64_t *output_stride)
{
    ag__flat_axis a[2];
    for (int i = 0; i < 2; i++)
        a[i] = ag__flat_axis_of(s->size[i], s->out_size[i], s->kernel[i], s->stride[i], s->dilation[i], s->padding[i]);
    return s->kernel[0] * s->kernel[1] > 1 &&
           suits(&a[0], &a[1], s->channels / s->groups, s->out_channels / s->groups, s->batch, input_stride,
                 output_stride) &&
           !better_as_images(s, false, input_stride[0] == 1 && output_stride[0] == 1);
}

/* The input's rows or columns r, r + stride, ...: they meet every stride-th kernel position, from `first` on, and
 * neighbouring outputs. */
typedef struct {
    ag__flat_axis axis;
    int64_t first;
} remainder;

static remainder remainder_of(const ag__conv2d_shape *s, int which, int64_t r)
{
    const int64_t stride = s->stride[which], first = stride == 1 ? 0 : (r + s->padding[which]) % stride;
    const int64_t kernel = first < s->kernel[which] ? (s->kernel[which] - 1 - first) / stride + 1 : 0;
    return (remainder){ ag__flat_axis_of(s->out_size[which], (s->size[which] - r + stride - 1) / stride, kernel, 1,
                                         s->dilation[which],
                                         (kernel - 1) * s->dilation[which] - (r + s->padding[which] - first) / stride),
                        first };
}

bool ag__conv2d_flat_suits_input_gradient(const ag__conv2d_shape *s, const int64_t *gradient_stride,
                                          const int64_t *input_stride)
{
    for (int i = 0; i < 2; i++) /* every remainder meets something */
        if (s->stride[i] > 1 && (s->dilation[i] > 1 || s->kernel[i] < s->stride[i] || s->size[i] < s->stride[i]))
            return false;
    if (s->kernel[0] * s->kernel[1] > AG_FLAT_TAPS) return false;
    for (int64_t r = 0; r < s->stride[0]; r++) {
        for (int64_t c = 0; c < s->stride[1]; c++) {
            const remainder rows = remainder_of(s, 0, r), columns = remainder_of(s, 1, c);
            if (!suits(&rows.axis, &columns.axis, s->out_channels / s->groups, s->channels / s->groups, s->batch,
                       gradient_stride, input_stride))
                return false;
        }
    }
    return s->kernel[0] * s->kernel[1] > 1 &&
           !better_as_images(s, true, gradient_stride[0] == 1 && input_stride[0] == 1);
}

bool ag__conv2d_flat_forward(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in weight, const void *bias,
                             int64_t bias_stride, bool relu, ag__conv2d_out output)
{
    ag__flat_plan p = plan_of(s, input, output);
    p.rows = ag__flat_axis_of(s->size[0], s->out_size[0], s->kernel[0], s->stride[0], s->dilation[0], s->padding[0]);
    p.columns = ag__flat_axis_of(s->size[1], s->out_size[1], s->kernel[1], s->stride[1], s->dilation[1], s->padding[1]);
    p.in_channels = s->channels / s->groups;
    p.out_channels = s->out_channels / s->groups;
    p.weight = weight.data;
    p.weight_group = p.out_channels * weight.stride[0];
    p.weight_out = weight.stride[0];
    p.weight_in = weight.stride[1];
    p.weight_row = weight.stride[2];
    p.weight_column = weight.stride[3];
    p.bias = bias;
    p.bias_stride = bias_stride;
    p.relu = relu;
    return ag__flat_convolve(&p);
}

bool ag__conv2d_flat_input_gradient(const ag__conv2d_shape *s, ag__conv2d_in output_gradient, ag__conv2d_in weight,
                                    ag__conv2d_out input_gradient)
{
    for (int64_t i = 0; i < s->stride[0] * s->stride[1]; i++) {
        const int64_t r = i / s->stride[1], c = i % s->stride[1];
        const remainder rows = remainder_of(s, 0, r), columns = remainder_of(s, 1, c);
        ag__flat_plan p = plan_of(s, output_gradient, input_gradient);
        p.rows = rows.axis;
        p.columns = columns.axis;
        p.out.data = (char *)p.out.data + (r * p.out.stride[2] + c * p.out.stride[3]) * (int64_t)p.size;
        p.out.stride[2] *= s->stride[0];
        p.out.stride[3] *= s->stride[1];
        p.in_channels = s->out_channels / s->groups;
        p.out_channels = s->channels / s->groups;
        p.weight = (const char *)weight.data +
                   (rows.first * weight.stride[2] + columns.first * weight.stride[3]) * (int64_t)p.size;
        p.weight_group = p.in_channels * weight.stride[0];
        p.weight_out = weight.stride[1];
        p.weight_in = weight.stride[0];
        p.weight_row = weight.stride[2] * s->stride[0];
        p.weight_column = weight.stride[3] * s->stride[1];
        p.turned = true;
        if (!ag__flat_convolve(&p)) return false;
    }
    return true;
}
