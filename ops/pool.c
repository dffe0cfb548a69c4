/* pool.c - max pooling: the op that gives values and indices, and its gradient, which puts numbers back where they
 * were taken from and is an op with a gradient (gather) of its own. */
#include "ops/cpu/pool.h"
#include "ops/check.h"
#include "ops/pool_back.h"
#include "ops/window.h"

#include <argent/index.h>
#include <argent/pool.h>
#include <argent/view.h>

#include <inttypes.h>
#include <string.h>

static ag_variable *put_back(const struct ag_max_pool2d_with_indices_args *forward, ag_shape_list input_size,
                             ag_variable *grad_output, ag_variable *indices);

/* ---- the geometry ---- */

static bool sides(const ag_op *op, const void *args, const char *name, ag_sizes given, int64_t out[2])
{
    if (!ag__size_sides(given, 2, out))
        return ag__fail_call(op, args, "%s must either be a single int, or a tuple of two ints", name);
    if (out[0] == (int)out[0] && out[1] == (int)out[1]) return true;
    return ag__fail_call(op, args, "%s: value cannot be converted to type int without overflow", name);
}

static bool all_positive(const ag_op *op, const void *args, const char *name, const char *side, const int64_t value[2])
{
    if (value[0] > 0 && value[1] > 0) return true;
    return ag__fail_call(op, args, "%s should be greater than zero, but got %sH: %" PRId64 " %sW: %" PRId64, name, side,
                         value[0], side, value[1]);
}

static bool check_padding(const ag_op *op, const void *args, const ag__pool2d_shape *s)
{
    for (int i = 0; i < 2; i++) {
        if (s->padding[i] < 0)
            return ag__fail_call(op, args, "pad must be non-negative, but got pad: %" PRId64, s->padding[i]);
        if (2 * s->padding[i] > (s->kernel[i] - 1) * s->dilation[i] + 1)
            return ag__fail_call(op, args,
                                 "pad should be at most half of effective kernel size, but got pad=%" PRId64
                                 ", kernel_size=%" PRId64 " and dilation=%" PRId64,
                                 s->padding[i], s->kernel[i], s->dilation[i]);
    }
    if (s->padding[0] > s->kernel[0] / 2 || s->padding[1] > s->kernel[1] / 2)
        return ag__fail_call(op, args,
                             "pad should be smaller than or equal to half of kernel size, but got padW = %" PRId64
                             ", padH = %" PRId64 ", kW = %" PRId64 ", kH = %" PRId64,
                             s->padding[1], s->padding[0], s->kernel[1], s->kernel[0]);
    return true;
}

static int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); } /* b > 0 */

/* Everything but the strides; false with a sentence. */
static bool geometry(const ag_op *op, const void *args, ag__pool2d_shape *s)
{
    const struct ag_max_pool2d_with_indices_args *a = args;
    const ag_tensor *x = &a->input->tensor;
    char text[AG_TEXT];
    if (!sides(op, args, "kernel_size", a->kernel_size, s->kernel) ||
        !sides(op, args, "stride", a->stride ? a->stride : a->kernel_size, s->stride) ||
        !sides(op, args, "padding", a->padding, s->padding) || !sides(op, args, "dilation", a->dilation, s->dilation))
        return false;
    if (x->ndim != 3 && x->ndim != 4)
        return ag__fail_call(op, args, "non-empty 3D or 4D (batch mode) tensor expected for input, got %d dimensions",
                             x->ndim);
    if (!all_positive(op, args, "kernel size", "k", s->kernel) || !all_positive(op, args, "stride", "d", s->stride) ||
        !all_positive(op, args, "dilation", "dilation", s->dilation) || !check_padding(op, args, s))
        return false;
    ag_tensor batch = ag__as_batch(x);
    s->batch = batch.size[0];
    s->channels = batch.size[1];
    for (int i = 0; i < 2; i++) {
        s->size[i] = batch.size[2 + i];
        int64_t room = s->size[i] + 2 * s->padding[i] - s->dilation[i] * (s->kernel[i] - 1) - 1;
        if (a->ceil_mode) room += s->stride[i] - 1;
        s->out_size[i] = floor_div(room, s->stride[i]) + 1;
        /* the last window must begin inside */
        if (a->ceil_mode && (s->out_size[i] - 1) * s->stride[i] >= s->size[i] + s->padding[i]) s->out_size[i]--;
    }
    if (s->channels == 0 || s->size[0] == 0 || s->size[1] == 0)
        return ag__fail_call(op, args,
                             "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but "
                             "got:%s",
                             ag__shape_text(x->ndim, x->size, text, sizeof text));
    if (s->out_size[0] < 1 || s->out_size[1] < 1)
        return ag__fail_call(op, args,
                             "Given input size: (%" PRId64 "x%" PRId64 "x%" PRId64
                             "). Calculated output size: (%" PRId64 "x%" PRId64 "x%" PRId64
                             "). Output size is too small",
                             s->channels, s->size[0], s->size[1], s->channels, s->out_size[0], s->out_size[1]);
    if (x->dtype == AG_BOOL) return ag__fail_call(op, args, "not implemented for 'Bool'");
    return true;
}

static ag__pool2d_in from(const ag_tensor *x)
{
    ag_tensor batch = ag__as_batch(x);
    ag__pool2d_in in = { .data = batch.data };
    memcpy(in.stride, batch.stride, sizeof in.stride);
    return in;
}
static ag__pool2d_out into(const ag_tensor *x)
{
    ag_tensor batch = ag__as_batch(x);
    ag__pool2d_out out = { .data = batch.data };
    memcpy(out.stride, batch.stride, sizeof out.stride);
    return out;
}

/* ---- values and indices ---- */

static bool pool_output(ag_run *r, const ag__pool2d_shape *s, int k, ag_dtype dtype)
{
    const ag_tensor *x = &r->in[0]->tensor;
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    memcpy(size, x->size, sizeof size);
    memcpy(size + x->ndim - 2, s->out_size, sizeof s->out_size);
    ag__window_strides(x, size, stride);
    return ag__output_strided(r, k, x->ndim, size, stride, dtype) != NULL;
}
static bool pool_shape(ag_run *r)
{
    ag__pool2d_shape s;
    return geometry(r->op, r->args, &s) && pool_output(r, &s, 0, (ag_dtype)r->in[0]->tensor.dtype) &&
           pool_output(r, &s, 1, AG_INT64);
}
static bool pool_cpu(ag_run *r)
{
    ag__pool2d_shape s;
    if (!geometry(r->op, r->args, &s)) return false;
    const ag_tensor *x = &r->in[0]->tensor;
    ag__max_pool2d_forward((ag_dtype)x->dtype, &s, from(x), into(&r->out[0]->tensor), into(&r->out[1]->tensor));
    return true;
}
static void pool_backward(ag_gradients *b) { b->grad[0] = put_back(b->args, ag__in_shape(b, 0), b->g[0], b->out[1]); }

static const char *const values_indices[] = { "values", "indices" };
AG_OVERRIDING
AG_RECORD(max_pool2d_with_indices, AG_ARGS_max_pool2d_with_indices, .node = "MaxPool2DWithIndicesBackward0", .n_out = 2,
          .out_names = values_indices, .non_differentiable = 2, .shape = pool_shape, .kernel = { pool_cpu },
          .backward = pool_backward, .keeps = { AG_KEEP_OUT(1) })
AG_OVERRIDDEN

ag_max_pool2d_with_indices_result ag_max_pool2d_with_indices_call(const struct ag_max_pool2d_with_indices_args *args)
{
    ag_variable *out[AG_MAX_OUTPUTS] = { NULL };
    ag__apply(ag__op_max_pool2d_with_indices(), args, out, __builtin_return_address(0));
    return (ag_max_pool2d_with_indices_result){ out[0], out[1] };
}

/* The values alone, for which no gradient is wanted: the indices are twice as large. */
#define AG_ARGS__max_pool2d_values(must, may) AG_ARGS_max_pool2d_with_indices(must, may)
AG_STRUCT(_max_pool2d_values, AG_ARGS__max_pool2d_values)
static bool pool_values_shape(ag_run *r)
{
    ag__pool2d_shape s;
    return geometry(r->op, r->args, &s) && pool_output(r, &s, 0, (ag_dtype)r->in[0]->tensor.dtype);
}
static bool pool_values_cpu(ag_run *r)
{
    ag__pool2d_shape s;
    if (!geometry(r->op, r->args, &s)) return false;
    const ag_tensor *x = &r->in[0]->tensor;
    ag__max_pool2d_forward((ag_dtype)x->dtype, &s, from(x), into(&r->out[0]->tensor), (ag__pool2d_out){ .data = NULL });
    return true;
}
AG_RECORD(_max_pool2d_values, AG_ARGS__max_pool2d_values, .of = "max_pool2d", .shape = pool_values_shape,
          .kernel = { pool_values_cpu })

static bool max_pool2d_compose(const void *args, ag_variable **out)
{
    const struct ag_max_pool2d_args *a = args;
    const Thread *t = ag__thread();
    if (a->input && a->input != AG_NONE && !ag__wants(t, a->input) && ag__device(a->input).type == AG_DEVICE_CPU)
        return ag__apply(ag__op__max_pool2d_values(), args, out, __builtin_return_address(0));
    ag_max_pool2d_with_indices_result y = ag_max_pool2d_with_indices(a->input, a->kernel_size, a->stride, a->padding,
                                                                     a->dilation, a->ceil_mode);
    return (out[0] = y.values) != NULL;
}
AG_OP(max_pool2d, .compose = max_pool2d_compose)

/* PyTorch's one function for both, by name: return_indices says how many results there are. */
#define AG_ARGS__max_pool2d_or_indices(must, may)                                                                 \
    must(Tensor, input) must(Size, kernel_size) may(Size, stride, 0) may(Size, padding, 0) may(Size, dilation, 1) \
        may(Bool, ceil_mode, false) may(Bool, return_indices, false)
AG_STRUCT(_max_pool2d_or_indices, AG_ARGS__max_pool2d_or_indices)
static bool max_pool2d_or_indices_compose(const void *args, ag_variable **out)
{
    const struct ag__max_pool2d_or_indices_args *a = args;
    ag_max_pool2d_with_indices_result y = ag_max_pool2d_with_indices(a->input, a->kernel_size, a->stride, a->padding,
                                                                     a->dilation, a->ceil_mode);
    out[0] = y.values;
    if (a->return_indices) out[1] = y.indices;
    return y.values != NULL;
}
AG_OVERRIDING
AG_RECORD(_max_pool2d_or_indices, AG_ARGS__max_pool2d_or_indices, .of = "max_pool2d",
          .torch = "max_pool2d.return_indices", .n_out = 2, .out_names = values_indices,
          .compose = max_pool2d_or_indices_compose)
AG_OVERRIDDEN

/* ---- the gradient ---- */

static bool pool_back_shape(ag_run *r)
{
    const struct ag__max_pool2d_backward_args *a = r->args;
    const ag_dtype dtype = ag_dtype_of(a->grad_output);
    int64_t stride[AG_MAX_DIMS];
    ag__window_strides(&a->grad_output->tensor, a->input_size.at, stride);
    return ag__output_strided(r, 0, (int)a->input_size.n, a->input_size.at, stride, dtype) != NULL;
}
static bool pool_back_cpu(ag_run *r)
{
    const struct ag__max_pool2d_backward_args *a = r->args;
    ag_tensor x = ag__as_batch(&r->out[0]->tensor), g = ag__as_batch(&a->grad_output->tensor);
    ag__pool2d_shape s = {
        .batch = x.size[0],
        .channels = x.size[1],
        .size = { x.size[2], x.size[3] },
        .out_size = { g.size[2], g.size[3] },
    };
    if (!ag__size_sides(a->kernel_size, 2, s.kernel) || !ag__size_sides(a->stride, 2, s.stride) ||
        !ag__size_sides(a->padding, 2, s.padding) || !ag__size_sides(a->dilation, 2, s.dilation))
        return false; /* the forward has looked at them */
    ag__max_pool2d_backward((ag_dtype)x.dtype, &s, from(&a->grad_output->tensor), from(&a->indices->tensor),
                            into(&r->out[0]->tensor));
    return true;
}
/* What was put back is taken again. */
static void pool_back_backward(ag_gradients *b)
{
    const struct ag__max_pool2d_backward_args *a = b->args;
    ag_variable *indices = ag_flatten(a->indices, .start_dim = -2);
    b->grad[0] = ag_reshape(ag_gather(ag_flatten(b->g[0], .start_dim = -2), -1, indices), ag_shape(a->indices));
}
AG_RECORD(_max_pool2d_backward, AG_ARGS__max_pool2d_backward, .node = "MaxPool2DWithIndicesBackwardBackward0",
          .shape = pool_back_shape, .kernel = { pool_back_cpu }, .backward = pool_back_backward,
          .keeps = { AG_KEEP_IN(1) })
static ag_variable *put_back(const struct ag_max_pool2d_with_indices_args *forward, ag_shape_list input_size,
                             ag_variable *grad_output, ag_variable *indices)
{
    const struct ag__max_pool2d_backward_args args = {
        .grad_output = grad_output,
        .indices = indices,
        .input_size = input_size,
        .kernel_size = forward->kernel_size,
        .stride = forward->stride ? forward->stride : forward->kernel_size,
        .padding = forward->padding,
        .dilation = forward->dilation,
    };
    return ag__apply1(ag__op__max_pool2d_backward(), &args, NULL);
}
