/* pool.c - max pooling: which loop suits the strides, shared out by planes. */
#include "ops/cpu/pool.h"
#include "ops/cpu/isa.h"
#include "tensor/parallel.h"

AG_ISA_TABLES(ag__pool2d_kernels, ag__pool2d_f32)
AG_ISA_TABLES(ag__pool2d_kernels, ag__pool2d_f64)
/* Integers go one by one, by the same instructions everywhere. */
extern const ag__pool2d_kernels ag__pool2d_i64_baseline, ag__pool2d_i32_baseline, ag__pool2d_u8_baseline;

static const ag__pool2d_kernels *kernels_for(ag_dtype dtype)
{
    switch (dtype) {
    case AG_FLOAT32:
        return AG_ISA_PICK(ag__pool2d_f32);
    case AG_FLOAT64:
        return AG_ISA_PICK(ag__pool2d_f64);
    case AG_INT64:
        return &ag__pool2d_i64_baseline;
    case AG_INT32:
        return &ag__pool2d_i32_baseline;
    default:
        return &ag__pool2d_u8_baseline;
    }
}

enum { FAR_BYTES = 4 << 20 };

typedef struct {
    ag__pool2d_job job;
    ag__pool2d_kernel *kernel;
} shared_job;

static void run(void *user, int64_t begin, int64_t end)
{
    const shared_job *j = user;
    j->kernel(&j->job, begin, end);
}

/* About 16384 elements read a chunk. */
static int64_t grain(int64_t elements_an_item) { return 1 + 16384 / (elements_an_item + 1); }

void ag__max_pool2d_forward(ag_dtype dtype, const ag__pool2d_shape *s, ag__pool2d_in input, ag__pool2d_out output,
                            ag__pool2d_out indices)
{
    const ag__pool2d_kernels *kernels = kernels_for(dtype);
    shared_job j = { .job = { .s = *s, .in = input, .out = output, .indices = indices } };
    const int64_t a_row = s->out_size[1] * s->kernel[0] * s->kernel[1], *stride = input.stride;
    if (s->batch * s->channels * s->out_size[0] * s->out_size[1] == 0) return;
    j.job.far = s->batch * s->channels * s->size[0] * s->size[1] * (int64_t)ag_dtype_size(dtype) >= FAR_BYTES;
    if (kernels->forward_batch_last && stride[0] == 1 && output.stride[0] == 1 &&
        (!indices.data || indices.stride[0] == 1) && s->batch > 1 && s->size[0] * s->size[1] < INT32_MAX) {
        j.kernel = kernels->forward_batch_last;
        ag__parallel_for(s->channels * s->out_size[0], grain(a_row * s->batch), run, &j);
        return;
    }
    if (kernels->forward_channels_last && stride[1] == 1 && output.stride[1] == 1 &&
        (!indices.data || indices.stride[1] == 1) && s->channels > 1 && s->size[0] * s->size[1] < INT32_MAX) {
        j.kernel = kernels->forward_channels_last;
        ag__parallel_for(s->batch * s->out_size[0], grain(a_row * s->channels), run, &j);
        return;
    }
    if (stride[3] == 1 && stride[2] == s->size[1] && stride[1] == s->size[0] * s->size[1] &&
        stride[0] == s->channels * stride[1])
        j.job.in_elements = s->batch * stride[0];
    j.kernel = kernels->forward_planes;
    ag__parallel_for(s->batch * s->channels, grain(a_row * s->out_size[0]), run, &j);
}

void ag__max_pool2d_backward(ag_dtype dtype, const ag__pool2d_shape *s, ag__pool2d_in output_gradient,
                             ag__pool2d_in indices, ag__pool2d_out input_gradient)
{
    const ag__pool2d_kernels *kernels = kernels_for(dtype);
    shared_job j = { .job = { .s = *s, .gradient = output_gradient, .old_indices = indices, .out = input_gradient } };
    const int64_t pixels = s->size[0] * s->size[1];
    if (output_gradient.stride[0] == 1 && indices.stride[0] == 1 && input_gradient.stride[0] == 1 && s->batch > 1) {
        j.kernel = kernels->backward_batch_last;
        ag__parallel_for(s->channels, grain(pixels * s->batch), run, &j);
    } else if (output_gradient.stride[1] == 1 && indices.stride[1] == 1 && input_gradient.stride[1] == 1 &&
               s->channels > 1) {
        j.kernel = kernels->backward_channels_last;
        ag__parallel_for(s->batch, grain(pixels * s->channels), run, &j);
    } else {
        j.kernel = kernels->backward_planes;
        ag__parallel_for(s->batch * s->channels, grain(pixels), run, &j);
    }
}
