/* test_conv2d.h - what the tests of convolution's kernels have in common. */
#ifndef TEST_CONV2D_H
#define TEST_CONV2D_H
#include "kernels.h"
#include "ops/cpu/conv2d_lanes.h"

typedef ag__conv2d_shape shape;

static inline int64_t out_size(const shape *s, int i)
{
    return (s->size[i] + 2 * s->padding[i] - s->dilation[i] * (s->kernel[i] - 1) - 1) / s->stride[i] + 1;
}

/* The output's size follows; false if there would be none. */
static inline bool complete(shape *s)
{
    for (int i = 0; i < 2; i++) {
        if (s->size[i] + 2 * s->padding[i] < s->dilation[i] * (s->kernel[i] - 1) + 1) return false;
        s->out_size[i] = out_size(s, i);
    }
    return true;
}

#define IN(a)  ((ag__conv2d_in){ (a).data, { (a).stride[0], (a).stride[1], (a).stride[2], (a).stride[3] } })
#define OUT(a) ((ag__conv2d_out){ (a).data, { (a).stride[0], (a).stride[1], (a).stride[2], (a).stride[3] } })

#endif
