/* conv2d_bias.c - the gradient of a convolution's bias: of each output channel the sum over images, rows and columns.
 *
 * It is taken in this order, in one number from 0 on, as oneDNN takes it; the lanes of a register are channels.
 */
#include "ops/cpu/conv2d_lanes.h"
#include "ops/cpu/isa.h"
#include "tensor/parallel.h"

#include <string.h>

AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f32)
AG_ISA_TABLES(ag__conv2d_kernels, ag__conv2d_f64)

typedef struct {
    const ag__conv2d_shape *shape;
    const ag__conv2d_kernels *kernels;
    int64_t size; /* of an element */
    ag__conv2d_in gradient;
    char *to;
    int64_t to_stride;
} bias_plan;

/* Tasks: as many channels as a register has lanes. */
static void add_up(void *user, int64_t begin, int64_t end)
{
    const bias_plan *b = user;
    const ag__conv2d_shape *s = b->shape;
    const int64_t *stride = b->gradient.stride, lanes = b->kernels->lanes;
    const bool plane = stride[2] == s->out_size[1] * stride[3]; /* rows lie end to end */
    const int64_t rows = plane ? 1 : s->out_size[0], n = plane ? s->out_size[0] * s->out_size[1] : s->out_size[1];
    for (int64_t i = begin; i < end; i++) {
        _Alignas(64) char sums[64] = { 0 };
        const int64_t first = i * lanes;
        const int channels = (int)ag__min(lanes, s->out_channels - first);
        for (int64_t image = 0; image < s->batch; image++) {
            for (int64_t row = 0; row < rows; row++) {
                const int64_t place = image * stride[0] + first * stride[1] + row * stride[2];
                b->kernels->channel_sums((const char *)b->gradient.data + place * b->size, channels, stride[1], n,
                                         stride[3], sums);
            }
        }
        for (int o = 0; o < channels; o++)
            memcpy(b->to + (first + o) * b->to_stride * b->size, sums + o * b->size, (size_t)b->size);
    }
}

void ag__conv2d_bias_gradient(const ag__conv2d_shape *s, ag__conv2d_in output_gradient, void *bias_gradient,
                              int64_t bias_stride)
{
    bias_plan b = {
        .shape = s,
        .kernels = s->dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__conv2d_f32) : AG_ISA_PICK(ag__conv2d_f64),
        .size = s->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double),
        .gradient = output_gradient,
        .to = bias_gradient,
        .to_stride = bias_stride,
    };
    const int64_t a_task = s->batch * s->out_size[0] * s->out_size[1] * b.kernels->lanes;
    ag__parallel_for(ag__ceil_div(s->out_channels, b.kernels->lanes), 1 + 16384 / (a_task + 1), add_up, &b);
}
