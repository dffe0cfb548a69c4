/* conv.c - conv2d and its gradients on a device: the descriptions of the launches, and which kernel gets them. */
#include "cuda/conv.h"
#include "cuda/runtime.h"
#include "ops/folding.h"
#include "ops/window.h"

#include <argent/conv.h>
#include <argent/reduce.h>

#include <stdlib.h>
#include <string.h>

/* ---- the description of a convolution ---- */

/* (C,H,W) is one image. */
static void four_dims(const ag_tensor *x, int64_t size[4], int64_t stride[4])
{
    const int missing = 4 - x->ndim;
    size[0] = 1;
    stride[0] = x->numel;
    memcpy(size + missing, x->size, (size_t)x->ndim * sizeof *size);
    memcpy(stride + missing, x->stride, (size_t)x->ndim * sizeof *stride);
}

/* What conv2d's three forms share. x (N,C,H,W), w (O,C/groups,KH,KW), y (N,O,OH,OW), checked by the op. */
static bool describe(const ag_run *r, ag_sizes stride, ag_sizes padding, ag_sizes dilation, int64_t groups,
                     const ag_tensor *x, const ag_tensor *w, const ag_tensor *y, ag_cuda_conv *c)
{
    int64_t x_size[4], y_size[4], steps[2], edge[2] = { 0 }, gaps[2];
    four_dims(x, x_size, c->x_stride);
    four_dims(y, y_size, c->y_stride);
    memcpy(c->w_stride, w->stride, sizeof c->w_stride);
    ag__size_sides(stride, 2, steps);
    ag__size_sides(dilation, 2, gaps);
    if (padding != AG_PADDING_SAME) ag__size_sides(padding, 2, edge);
    for (int d = 0; d < 2; d++) {
        const int64_t kernel = w->size[2 + d];
        if (y_size[2 + d] == 1) steps[d] = 1; /* steps that nobody takes, however wide */
        if (kernel == 1) gaps[d] = 1;
        const int64_t reach = ag__window_reach(kernel, gaps[d]);
        if (padding == AG_PADDING_SAME) edge[d] = (reach - 1) / 2;
        if (!ag__cuda_fits(r, x_size[2 + d] + 2 * edge[d] + reach) || !ag__cuda_fits(r, steps[d])) return false;
        c->size[d] = (int32_t)x_size[2 + d];
        c->out_size[d] = (int32_t)y_size[2 + d];
        c->kernel[d] = (int32_t)kernel;
        c->stride[d] = (int32_t)steps[d];
        c->padding[d] = (int32_t)edge[d];
        c->dilation[d] = (int32_t)gaps[d];
    }
    const int64_t in = w->size[1], out = w->size[0] / groups;
    if (!ag__cuda_fits(r, x_size[0]) || !ag__cuda_fits(r, w->size[0]) || !ag__cuda_fits(r, x_size[1]) ||
        !ag__cuda_fits(r, in * w->size[2] * w->size[3]) || !ag__cuda_fits(r, out * w->size[2] * w->size[3]))
        return false;
    c->batch = (int32_t)x_size[0];
    c->groups = (int32_t)groups;
    c->in = (int32_t)in;
    c->out = (int32_t)out;
    c->x_group = in * c->x_stride[1];
    c->y_group = out * c->y_stride[1];
    c->w_group = out * c->w_stride[0];
    c->batch_last = c->batch > 1 && c->y_stride[0] == 1 && c->y_stride[3] != 1;
    return true;
}

/* The description of the input's gradient: x and y change their roles, and so do w's channels. Without a stride it is a
 * convolution with the weight turned round. */
static void turn_round(ag_cuda_conv *c, int64_t item)
{
    const ag_cuda_conv forward = *c;
    c->x = forward.y;
    c->y = (void *)(uintptr_t)forward.x;
    memcpy(c->x_stride, forward.y_stride, sizeof c->x_stride);
    memcpy(c->y_stride, forward.x_stride, sizeof c->y_stride);
    memcpy(c->size, forward.out_size, sizeof c->size);
    memcpy(c->out_size, forward.size, sizeof c->out_size);
    c->x_group = forward.y_group;
    c->y_group = forward.x_group;
    c->in = forward.out;
    c->out = forward.in;
    c->w_stride[0] = forward.w_stride[1];
    c->w_stride[1] = forward.w_stride[0];
    c->transposed = forward.stride[0] > 1 || forward.stride[1] > 1;
    if (c->transposed) return;
    for (int d = 0; d < 2; d++) {
        c->w = (const char *)c->w + (forward.kernel[d] - 1) * forward.w_stride[2 + d] * item;
        c->w_stride[2 + d] = -forward.w_stride[2 + d];
        c->padding[d] = forward.dilation[d] * (forward.kernel[d] - 1) - forward.padding[d];
    }
}

/* How many multiprocessors the device has. */
static int processors_of(ag_device device)
{
    static int known[64];
    int n = __atomic_load_n(&known[device.index], __ATOMIC_RELAXED);
    if (n == 0 && cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, device.index) == cudaSuccess)
        __atomic_store_n(&known[device.index], n, __ATOMIC_RELAXED);
    return n > 0 ? n : 1;
}

/* What is not of integers. */
static int convolve(const ag_run *r, int dtype, const ag_cuda_conv *c, cudaStream_t stream)
{
    ag_cuda_conv_direct t;
    const int64_t item = dtype == AG_FLOAT64 ? 8 : 4;
    return ag__cuda_conv_plan(&t, c, item, processors_of(r->device)) ? ag__cuda_conv_direct(dtype, &t, stream)
                                                                     : ag__cuda_conv_gemm(dtype, c, stream);
}

/* ---- the ops ---- */

static bool conv2d(ag_run *r, bool relu)
{
    const struct ag_conv2d_args *a = r->args; /* _conv2d_relu's are the same */
    const ag_tensor *x = &r->in[0]->tensor, *w = &r->in[1]->tensor, *y = &r->out[0]->tensor;
    ag_cuda_conv c = { .x = x->data, .w = w->data, .y = y->data, .relu = relu };
    cudaStream_t stream;
    if (y->numel == 0) return true;
    if (r->in[2]) {
        c.bias = r->in[2]->tensor.data;
        c.bias_stride = r->in[2]->tensor.stride[0];
    }
    if (!describe(r, a->stride, a->padding, a->dilation, a->groups, x, w, y, &c) ||
        !ag__cuda_use(r->op->name, r->device, &stream))
        return false;
    const int e = x->dtype <= AG_FLOAT64 ? convolve(r, x->dtype, &c, stream)
                                         : ag__cuda_conv_integers(x->dtype, &c, stream);
    return ag__cuda_launched(r->op->name, (cudaError_t)e, stream);
}

bool ag__cuda_conv2d(ag_run *r) { return conv2d(r, false); }
bool ag__cuda__conv2d_relu(ag_run *r) { return conv2d(r, true); }

bool ag__cuda_nn_grad_conv2d_input(ag_run *r)
{
    const struct ag_nn_grad_conv2d_input_args *a = r->args;
    const ag_tensor *w = &r->in[0]->tensor, *g = &r->in[1]->tensor, *x = &r->out[0]->tensor;
    ag_cuda_conv c = { .x = x->data, .w = w->data, .y = g->data };
    cudaStream_t stream;
    if (x->numel == 0) return true;
    if (!describe(r, a->stride, a->padding, a->dilation, a->groups, x, w, g, &c) ||
        !ag__cuda_use(r->op->name, r->device, &stream))
        return false;
    turn_round(&c, (int64_t)ag__itemsize(x));
    return ag__cuda_launched(r->op->name, (cudaError_t)convolve(r, x->dtype, &c, stream), stream);
}

/* The parts' sums lie in a Variable of the scope's. */
static bool weight_gradient(ag_run *r, ag_cuda_conv_weight *g, int64_t numel, cudaStream_t stream)
{
    const ag_dtype dtype = (ag_dtype)r->in[0]->tensor.dtype;
    ag_cuda_conv_weight_direct t;
    const bool direct = ag__cuda_conv_weight_plan(&t, g, (int64_t)ag__itemsize(&r->in[0]->tensor));
    if (direct)
        *g = t.weight;
    else
        ag__cuda_conv_weight_split(dtype, g);
    if (g->splits > 1) {
        ag_variable *parts = ag__cuda_host->new_variable(r->t, 1, (int64_t[]){ g->splits * numel }, dtype, r->device);
        if (!parts) return false;
        t.weight.parts = g->parts = parts->tensor.data;
    }
    int e = direct ? ag__cuda_conv_weight_direct(dtype, &t, stream) : ag__cuda_conv_weight_gemm(dtype, g, stream);
    if (e == cudaSuccess && g->splits > 1) e = ag__cuda_conv_add_parts(dtype, g, numel, stream);
    return ag__cuda_launched(r->op->name, (cudaError_t)e, stream);
}

bool ag__cuda_nn_grad_conv2d_weight(ag_run *r)
{
    const struct ag_nn_grad_conv2d_weight_args *a = r->args;
    const ag_tensor *x = &r->in[0]->tensor, *y = &r->in[1]->tensor, *w = &r->out[0]->tensor;
    ag_cuda_conv_weight g = { .conv = { .x = x->data }, .y = y->data, .w = w->data };
    cudaStream_t stream;
    if (w->numel == 0) return true;
    if (y->numel == 0) return ag__cuda_fill_elements(w, (const char[8]){ 0 });
    if (!describe(r, a->stride, a->padding, a->dilation, a->groups, x, w, y, &g.conv) ||
        !ag__cuda_use(r->op->name, r->device, &stream))
        return false;
    return weight_gradient(r, &g, w->numel, stream);
}

/* Sums over images and pixels. */
bool ag__cuda__conv2d_bias_backward(ag_run *r)
{
    const ag_tensor *g = &r->in[0]->tensor;
    const uint32_t mask = g->ndim == 4 ? 1u << 0 | 1u << 2 | 1u << 3 : 1u << 1 | 1u << 2;
    const ag__folding sums = { .fold = AG_FOLD_SUM, .x = g, .mask = mask, .y = &r->out[0]->tensor };
    return ag__cuda_fold_elements(r->op->name, &sums);
}
