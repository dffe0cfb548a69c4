/* conv2d_depthwise.c - see conv2d_depthwise.h. */
#include "ops/cpu/conv2d_depthwise.h"
#include "ops/cpu/conv2d_lanes.h"
#include "ops/cpu/isa.h"
#include "tensor/parallel.h"

#include <string.h>

AG_ISA_TABLES(ag__conv2d_depthwise_kernels, ag__conv2d_depthwise_f32)
AG_ISA_TABLES(ag__conv2d_depthwise_kernels, ag__conv2d_depthwise_f64)

typedef struct {
    const ag__conv2d_depthwise_kernels *kernels;
    size_t size; /* of an element */
    ag__conv2d_in in, weight;
    ag__conv2d_out out;
    const void *bias;
    int64_t bias_stride;
    int64_t channels, out_rows, rows_a_task, row_tasks;
    bool turned; /* the last kernel position comes first */
    ag__conv_depthwise_run run;
} depthwise_plan;

static const char *at(const void *p, int64_t elements, size_t size)
{
    return (const char *)p + elements * (int64_t)size;
}

/* Tasks: some rows of a plane. */
static void make_rows(void *user, int64_t begin, int64_t end)
{
    const depthwise_plan *p = user;
    _Alignas(8) char weights[AG_DEPTHWISE_TAPS * sizeof(double)];
    ag__conv_depthwise_run run = p->run;
    run.weights = weights;
    for (int64_t i = begin; i < end; i++) {
        const int64_t plane = i / p->row_tasks, channel = plane % p->channels, image = plane / p->channels;
        for (int64_t a = 0; a < run.kernel[0]; a++) {
            for (int64_t b = 0; b < run.kernel[1]; b++) {
                const int64_t row = p->turned ? run.kernel[0] - 1 - a : a,
                              column = p->turned ? run.kernel[1] - 1 - b : b;
                memcpy(weights + (a * run.kernel[1] + b) * (int64_t)p->size,
                       at(p->weight.data,
                          channel * p->weight.stride[0] + row * p->weight.stride[2] + column * p->weight.stride[3],
                          p->size),
                       p->size);
            }
        }
        run.bias = p->bias ? at(p->bias, channel * p->bias_stride, p->size) : NULL;
        run.in = at(p->in.data, image * p->in.stride[0] + channel * p->in.stride[1], p->size);
        run.out = (char *)p->out.data + (image * p->out.stride[0] + channel * p->out.stride[1]) * (int64_t)p->size;
        run.rows[0] = i % p->row_tasks * p->rows_a_task;
        run.rows[1] = ag__min(run.rows[0] + p->rows_a_task, p->out_rows);
        p->kernels->run(&run);
    }
}

static void convolve(depthwise_plan *p, const ag__conv2d_shape *s, const int64_t *in_size, const int64_t *out_size)
{
    p->kernels = s->dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__conv2d_depthwise_f32) : AG_ISA_PICK(ag__conv2d_depthwise_f64);
    p->size = s->dtype == AG_FLOAT32 ? sizeof(float) : sizeof(double);
    p->channels = s->channels;
    p->out_rows = out_size[0];
    const bool last = s->batch > 1 && p->in.stride[0] == 1 && p->in.stride[3] == s->batch;
    p->run.inner = last ? s->batch : 1;
    p->run.out_columns = out_size[1];
    p->run.in_row = p->in.stride[2];
    p->run.out_row = p->out.stride[2];
    for (int i = 0; i < 2; i++) {
        p->run.in_size[i] = in_size[i];
        p->run.kernel[i] = s->kernel[i];
        p->run.dilation[i] = s->dilation[i];
        p->run.padding[i] = p->turned ? (s->kernel[i] - 1) * s->dilation[i] - s->padding[i] : s->padding[i];
    }
    const int64_t a_row = out_size[1] * p->run.inner * s->kernel[0] * s->kernel[1], enough = AG_CONV_TASK / 8;
    p->rows_a_task = ag__max(1, ag__min(out_size[0], enough / a_row));
    p->row_tasks = ag__ceil_div(out_size[0], p->rows_a_task);
    ag__parallel_for((last ? 1 : s->batch) * s->channels * p->row_tasks, 1 + enough / (a_row * p->rows_a_task),
                     make_rows, p);
}

bool ag__conv2d_depthwise_suits(const ag__conv2d_shape *s, const int64_t *input_stride, const int64_t *output_stride)
{
    const bool contiguous = input_stride[3] == 1 && output_stride[3] == 1,
               last = input_stride[0] == 1 && output_stride[0] == 1 && input_stride[3] == s->batch &&
                      output_stride[3] == s->batch;
    return s->groups == s->channels && s->groups == s->out_channels && s->groups > 1 && s->stride[0] == 1 &&
           s->stride[1] == 1 && s->kernel[0] * s->kernel[1] <= AG_DEPTHWISE_TAPS &&
           (contiguous || (last && s->batch > 1));
}

void ag__conv2d_depthwise_forward(const ag__conv2d_shape *s, ag__conv2d_in input, ag__conv2d_in weight,
                                  const void *bias, int64_t bias_stride, ag__conv2d_out output)
{
    depthwise_plan p = { .in = input, .weight = weight, .out = output, .bias = bias, .bias_stride = bias_stride };
    convolve(&p, s, s->size, s->out_size);
}

void ag__conv2d_depthwise_input_gradient(const ag__conv2d_shape *s, ag__conv2d_in output_gradient, ag__conv2d_in weight,
                                         ag__conv2d_out input_gradient)
{
    depthwise_plan p = { .in = output_gradient, .weight = weight, .out = input_gradient, .turned = true };
    convolve(&p, s, s->out_size, s->size);
}
