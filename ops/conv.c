/* conv.c - convolution in two dimensions.
 *
 * y = conv2d(x, w) is linear in x and in w, so three ops that are each other's gradients give every order:
 *
 *     op                                  gradients, given g
 *     y  = conv2d(x, w)                   x: input(w, g)       w: weight(x, g)
 *     dx = nn_grad_conv2d_input(w, dy)    w: weight(g, dy)     dy: conv2d(g, w)
 *     dw = nn_grad_conv2d_weight(x, dy)   x: input(g, dy)      dy: conv2d(x, g)
 *
 * This file checks, lays out results and chooses the kernel; the arithmetic of float32 and float64 is that of
 * ops/cpu/conv2d.h.
 */
#include "ops/check.h"
#include "ops/conv_steps.h"
#include "ops/cpu/conv2d.h"
#include "ops/pointwise_rows.h"
#include "ops/window.h"

#include <argent/conv.h>
#include <argent/reduce.h>
#include <argent/view.h>

#include <inttypes.h>
#include <string.h>

#define AG_ARGS__conv2d_bias_backward(must, may) must(Tensor, grad_output)
AG_STRUCT(_conv2d_bias_backward, AG_ARGS__conv2d_bias_backward)
static ag_variable *bias_gradient(ag_variable *g);

/* ---- checks ---- */

typedef struct {
    ag_sizes stride, padding, dilation;
    int64_t groups;
} options;

static bool sides(const ag_run *r, const char *name, ag_sizes size, int64_t out[2])
{
    if (ag__size_sides(size, 2, out)) return true;
    return ag__fail_call(r->op, r->args,
                         "expected %s to be a single integer value or a list of 2 values to match the convolution "
                         "dimensions",
                         name);
}

static bool check_options(const ag_run *r, const ag__conv2d_shape *s)
{
    for (int i = 0; i < 2; i++) {
        if (s->padding[i] < 0)
            return ag__fail_call(r->op, r->args, "negative padding is not supported (padding: %" PRId64 ")",
                                 s->padding[i]);
        if (s->padding[i] > INT64_MAX / 4)
            return ag__fail_call(r->op, r->args, "a padding of %" PRId64 " is too large", s->padding[i]);
        if (s->stride[i] <= 0)
            return ag__fail_call(r->op, r->args, "non-positive stride is not supported (stride: %" PRId64 ")",
                                 s->stride[i]);
    }
    if (s->dilation[0] <= 0 || s->dilation[1] <= 0)
        return ag__fail_call(r->op, r->args, "dilation should be greater than zero, but got [%" PRId64 ", %" PRId64 "]",
                             s->dilation[0], s->dilation[1]);
    return true;
}

/* The geometry from the options, the input's sizes (3 or 4 of them) and the weight's. false with a sentence. */
static bool geometry(const ag_run *r, const options *o, ag_shape_list input, ag_shape_list weight, ag__conv2d_shape *s)
{
    char text[AG_TEXT];
    if (input.n != 3 && input.n != 4)
        return ag__fail_call(r->op, r->args,
                             "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: %s",
                             ag__shape_text((int)input.n, input.at, text, sizeof text));
    if (weight.n != 4)
        return ag__fail_call(r->op, r->args,
                             "weight must be of shape (out_channels, in_channels / groups, height, width), but is %s",
                             ag__shape_text((int)weight.n, weight.at, text, sizeof text));
    if (ag__numel_of((int)input.n, input.at) < 0)
        return ag__fail_call(r->op, r->args, "an input of shape %s is not possible",
                             ag__shape_text((int)input.n, input.at, text, sizeof text));
    if (ag__numel_of(4, weight.at) < 0)
        return ag__fail_call(r->op, r->args, "a weight of shape %s is not possible",
                             ag__shape_text(4, weight.at, text, sizeof text));
    if (o->groups <= 0)
        return ag__fail_call(r->op, r->args, "non-positive groups is not supported (groups: %" PRId64 ")", o->groups);
    const bool same = o->padding == AG_PADDING_SAME;
    if (!sides(r, "padding", same ? 0 : o->padding, s->padding)) return false;
    if (!sides(r, "stride", o->stride, s->stride)) return false;
    if (!sides(r, "dilation", o->dilation, s->dilation)) return false;
    if (!check_options(r, s)) return false;

    s->groups = o->groups;
    s->batch = input.n == 4 ? input.at[0] : 1;
    s->channels = input.at[input.n - 3];
    s->out_channels = weight.at[0];
    if (s->out_channels < o->groups)
        return ag__fail_call(r->op, r->args,
                             "Given groups=%" PRId64 ", expected weight to be at least %" PRId64
                             " at dimension 0, but got weight of size %s instead",
                             o->groups, o->groups, ag__shape_text(4, weight.at, text, sizeof text));
    if (s->out_channels % o->groups)
        return ag__fail_call(r->op, r->args,
                             "Given groups=%" PRId64 ", expected weight to be divisible by %" PRId64
                             " at dimension 0, but got weight of size %s instead",
                             o->groups, o->groups, ag__shape_text(4, weight.at, text, sizeof text));
    int64_t wanted;
    if (__builtin_mul_overflow(weight.at[1], o->groups, &wanted) || s->channels != wanted) {
        if (o->groups == 1)
            return ag__fail_call(r->op, r->args, "input has %" PRId64 " channels but weight wants %" PRId64,
                                 s->channels, weight.at[1]);
        return ag__fail_call(r->op, r->args,
                             "input has %" PRId64 " channels but weight wants %" PRId64 " (%" PRId64
                             " in each of %" PRId64 " groups)",
                             s->channels, wanted, weight.at[1], o->groups);
    }
    for (int i = 0; i < 2; i++) {
        s->size[i] = input.at[input.n - 2 + i];
        s->kernel[i] = weight.at[2 + i];
    }
    if (s->kernel[0] == 0 || s->kernel[1] == 0)
        return ag__fail_call(r->op, r->args,
                             "kernel size should be greater than zero, but got [%" PRId64 ", %" PRId64 "]",
                             s->kernel[0], s->kernel[1]);
    if (same && (s->stride[0] != 1 || s->stride[1] != 1))
        return ag__fail_call(r->op, r->args, "padding='same' is not supported for strided convolutions");
    int64_t padded[2], reach[2];
    for (int i = 0; i < 2; i++) {
        reach[i] = ag__window_reach(s->kernel[i], s->dilation[i]);
        if (same) s->padding[i] = (reach[i] - 1) / 2; /* before the input; behind it as much, or one more */
        padded[i] = same ? s->size[i] + reach[i] - 1 : s->size[i] + 2 * s->padding[i];
    }
    if (padded[0] < reach[0] || padded[1] < reach[1])
        return ag__fail_call(r->op, r->args,
                             "Calculated padded input size per channel: (%" PRId64 " x %" PRId64
                             "). Kernel size: (%" PRId64 " x %" PRId64
                             "). Kernel size can't be greater than actual input size",
                             padded[0], padded[1], reach[0], reach[1]);
    if ((s->size[0] == 0 || s->size[1] == 0) && s->batch > 0 && s->channels > 0)
        return ag__fail_call(r->op, r->args,
                             "Only zero batch or zero channel inputs are supported, but got input shape: %s",
                             ag__shape_text((int)input.n, input.at, text, sizeof text));
    if ((double)padded[0] * (double)padded[1] * (double)s->batch * (double)s->channels >
        (double)(AG_MOST_ELEMENTS / 64))
        return ag__fail_call(r->op, r->args, "a padded input of %" PRId64 " x %" PRId64 " is not possible", padded[0],
                             padded[1]);
    for (int i = 0; i < 2; i++) {
        s->out_size[i] = (padded[i] - reach[i]) / s->stride[i] + 1;
        if (s->out_size[i] == 1) s->stride[i] = 1; /* steps that nobody takes, however wide */
        if (s->kernel[i] == 1) s->dilation[i] = 1;
    }
    return true;
}

static bool check_types(const ag_run *r, bool integers)
{
    static const char *const names[] = { "Input type", "weight type", "bias type" };
    ag_dtype dtype = ag_dtype_of(r->in[0]);
    for (int i = 1; i < r->n_in; i++)
        if (r->in[i] && ag_dtype_of(r->in[i]) != dtype)
            return ag__fail_call(r->op, r->args, "%s (%s) and %s (%s) should be the same", names[0],
                                 ag__scalar_type(dtype), names[i], ag__scalar_type(ag_dtype_of(r->in[i])));
    if (dtype == AG_BOOL || (!integers && !ag__is_floating(dtype)))
        return ag__fail_call(r->op, r->args, "not implemented for '%s'", ag__scalar_type(dtype));
    return true;
}

static ag_shape_list shape_of(const ag_variable *x) { return ag_sizes_of(x->tensor.ndim, x->tensor.size); }

/* (N,O,OH,OW), or (O,OH,OW) for an input without a batch dimension. */
static int output_size(const ag__conv2d_shape *s, bool batched, int64_t *size)
{
    int n = 0;
    if (batched) size[n++] = s->batch;
    size[n++] = s->out_channels;
    size[n++] = s->out_size[0];
    size[n++] = s->out_size[1];
    return n;
}

static bool check_grad_output(const ag_run *r, const ag__conv2d_shape *s, bool batched, const ag_tensor *g)
{
    int64_t size[4];
    char is[AG_TEXT], wants[AG_TEXT];
    int ndim = output_size(s, batched, size);
    if (g->ndim == ndim && !memcmp(g->size, size, (size_t)ndim * sizeof *size)) return true;
    return ag__fail_call(r->op, r->args, "grad_output is %s but the convolution's output is %s",
                         ag__shape_text(g->ndim, g->size, is, sizeof is),
                         ag__shape_text(ndim, size, wants, sizeof wants));
}

/* ---- kernels ---- */

static ag__conv2d_in read_from(const ag_tensor *x)
{
    ag__conv2d_in in = { .data = x->data };
    memcpy(in.stride, x->stride, sizeof in.stride);
    return in;
}
static ag__conv2d_out write_to(const ag_tensor *x)
{
    ag__conv2d_out out = { .data = x->data };
    memcpy(out.stride, x->stride, sizeof out.stride);
    return out;
}

/* Integers: as the formula says. Sums of 64 bits, of which the type keeps its low ones. */
static void convolve_integers(const ag__conv2d_shape *s, const ag_tensor *x, const ag_tensor *w, const ag_tensor *bias,
                              const ag_tensor *y)
{
    const int64_t *xs = x->stride, *ws = w->stride, *ys = y->stride, item = (int64_t)ag__itemsize(x);
    const int64_t per_group = s->out_channels / s->groups, channels = s->channels / s->groups;
    ag_dtype dtype = (ag_dtype)x->dtype;
    for (int64_t n = 0; n < s->batch; n++)
        for (int64_t o = 0; o < s->out_channels; o++)
            for (int64_t i = 0; i < s->out_size[0]; i++)
                for (int64_t j = 0; j < s->out_size[1]; j++) {
                    uint64_t sum = bias ? (uint64_t)ag__load_int64(bias->data + o * bias->stride[0] * item, dtype) : 0;
                    for (int64_t c = 0; c < channels; c++)
                        for (int64_t a = 0; a < s->kernel[0]; a++)
                            for (int64_t b = 0; b < s->kernel[1]; b++) {
                                int64_t h = i * s->stride[0] - s->padding[0] + a * s->dilation[0];
                                int64_t v = j * s->stride[1] - s->padding[1] + b * s->dilation[1];
                                if (h < 0 || h >= s->size[0] || v < 0 || v >= s->size[1]) continue;
                                int64_t channel = o / per_group * channels + c;
                                int64_t from = n * xs[0] + channel * xs[1] + h * xs[2] + v * xs[3];
                                int64_t with = o * ws[0] + c * ws[1] + a * ws[2] + b * ws[3];
                                uint64_t value = (uint64_t)ag__load_int64(x->data + from * item, dtype);
                                sum += value * (uint64_t)ag__load_int64(w->data + with * item, dtype);
                            }
                    int64_t to = n * ys[0] + o * ys[1] + i * ys[2] + j * ys[3];
                    ag__store_int64(y->data + to * item, dtype, (int64_t)sum);
                }
}

/* ---- conv2d ---- */

static bool conv2d_geometry(const ag_run *r, ag__conv2d_shape *s)
{
    const struct ag_conv2d_args *a = r->args;
    const options o = { a->stride, a->padding, a->dilation, a->groups };
    s->dtype = ag_dtype_of(r->in[0]);
    return geometry(r, &o, shape_of(r->in[0]), shape_of(r->in[1]), s);
}
static bool conv2d_shape(ag_run *r)
{
    ag__conv2d_shape s;
    if (!conv2d_geometry(r, &s) || !check_types(r, true)) return false;
    const ag_tensor *x = &r->in[0]->tensor, *bias = r->in[2] ? &r->in[2]->tensor : NULL;
    char w[AG_TEXT], b[AG_TEXT];
    if (bias && (bias->ndim != 1 || bias->size[0] != s.out_channels))
        return ag__fail_call(r->op, r->args,
                             "Given weight of size %s, expected bias to be 1-dimensional with %" PRId64
                             " elements, but got bias of size %s instead",
                             ag__shape_text(4, r->in[1]->tensor.size, w, sizeof w), s.out_channels,
                             ag__shape_text(bias->ndim, bias->size, b, sizeof b));
    int64_t size[4], stride[4];
    int ndim = output_size(&s, x->ndim == 4, size);
    ag__window_strides(x, size, stride);
    return ag__output_strided(r, 0, ndim, size, stride, (ag_dtype)x->dtype);
}
/* y becomes relu(y) */
static bool relu_over(const ag_run *r, const ag_tensor *y)
{
    static const double no_options[AG_ROW_MAX_OPTIONS];
    const ag__evaluation e = { .out = y,
                               .operand = { [IN_A] = y },
                               .reads = 1u << IN_A,
                               .expression = AG_EXPRESSION_relu_value,
                               .dtype = (ag_dtype)y->dtype,
                               .options = no_options };
    return ag__evaluate(r->op->name, &e);
}
static bool convolve(ag_run *r, bool relu)
{
    ag__conv2d_shape s;
    if (!conv2d_geometry(r, &s)) return false;
    ag_tensor x = ag__as_batch(&r->in[0]->tensor), y = ag__as_batch(&r->out[0]->tensor);
    const ag_tensor *w = &r->in[1]->tensor, *bias = r->in[2] ? &r->in[2]->tensor : NULL;
    if (y.numel == 0) return true;
    if (s.channels == 0) { /* a sum of nothing */
        const int64_t item = (int64_t)ag__itemsize(&y);
        ag_tensor every = y;
        for (int64_t o = 0; o < s.out_channels; o++, every.data += y.stride[1] * item) {
            every.size[1] = 1;
            every.numel = y.numel / s.out_channels;
            every.contiguous = false;
            ag__fill_elements(&every, bias ? ag__load(bias->data + o * bias->stride[0] * item, s.dtype) : 0);
        }
        return !relu || relu_over(r, &y);
    }
    if (!ag__is_floating(s.dtype)) {
        convolve_integers(&s, &x, w, bias, &y);
        return true;
    }
    const bool in_kernel = relu && s.kernel[0] * s.kernel[1] > 1;
    return ag__conv2d_forward(&s, read_from(&x), read_from(w), bias ? bias->data : NULL, bias ? bias->stride[0] : 0,
                              in_kernel, write_to(&y)) &&
           (!relu || in_kernel || relu_over(r, &y));
}
static bool conv2d_cpu(ag_run *r) { return convolve(r, false); }
static void conv2d_backward(ag_gradients *b)
{
    const struct ag_conv2d_args *a = b->args;
    ag_variable *g = b->g[0];
    if (b->wanted[0])
        b->grad[0] = ag_nn_grad_conv2d_input(ag__in_shape(b, 0), a->weight, g, a->stride, a->padding, a->dilation,
                                             a->groups);
    if (b->wanted[1])
        b->grad[1] = ag_nn_grad_conv2d_weight(a->input, ag__in_shape(b, 1), g, a->stride, a->padding, a->dilation,
                                              a->groups);
    if (b->wanted[2]) b->grad[2] = bias_gradient(g);
}
AG_OP(conv2d, .node = "ConvolutionBackward0", .shape = conv2d_shape, .kernel = { conv2d_cpu },
      .backward = conv2d_backward, .keeps = { AG_KEEP_IN(1), AG_KEEP_IN(0), 0 })

/* ---- with relu: two nodes, one kernel ---- */

const ag_op *ag__op_relu(void);
AG_OVERRIDING
static bool conv2d_relu_cpu(ag_run *r) { return convolve(r, true); }
AG_RECORD(_conv2d_relu, AG_ARGS__conv2d_relu, .of = "conv2d", .node = "ConvolutionBackward0", .shape = conv2d_shape,
          .kernel = { conv2d_relu_cpu }, .backward = conv2d_backward, .keeps = { AG_KEEP_IN(1), AG_KEEP_IN(0), 0 })
AG_OVERRIDDEN
_Static_assert(sizeof(struct ag__conv2d_relu_args) == sizeof(struct ag_conv2d_args), "conv2d's functions read both");

bool ag__conv2d_goes_with_relu(const ag_variable *input) { return ag__is_floating((ag_dtype)input->tensor.dtype); }
ag_variable *ag__conv2d_relu(const struct ag__conv2d_relu_args *a)
{
    const void *caller = __builtin_return_address(0);
    ag_variable *y = ag__apply1(ag__op__conv2d_relu(), a, caller);
    return y && ag__pointwise_record(ag__op_relu(), y, caller) ? y : NULL;
}

/* ---- the input's gradient ---- */

static bool input_geometry(const ag_run *r, ag__conv2d_shape *s)
{
    const struct ag_nn_grad_conv2d_input_args *a = r->args;
    const options o = { a->stride, a->padding, a->dilation, a->groups };
    s->dtype = ag_dtype_of(r->in[0]);
    return geometry(r, &o, a->input_size, shape_of(r->in[0]), s);
}
static bool input_shape(ag_run *r)
{
    const struct ag_nn_grad_conv2d_input_args *a = r->args;
    const ag_tensor *g = &r->in[1]->tensor;
    ag__conv2d_shape s;
    if (!input_geometry(r, &s) || !check_types(r, false) || !check_grad_output(r, &s, a->input_size.n == 4, g))
        return false;
    int64_t stride[4];
    ag__window_strides(g, a->input_size.at, stride);
    return ag__output_strided(r, 0, (int)a->input_size.n, a->input_size.at, stride, (ag_dtype)g->dtype);
}
static bool input_cpu(ag_run *r)
{
    ag__conv2d_shape s;
    if (!input_geometry(r, &s)) return false;
    ag_tensor g = ag__as_batch(&r->in[1]->tensor), x = ag__as_batch(&r->out[0]->tensor);
    if (x.numel == 0) return true;
    return ag__conv2d_input_gradient(&s, read_from(&g), read_from(&r->in[0]->tensor), write_to(&x));
}
static void input_backward(ag_gradients *b)
{
    const struct ag_nn_grad_conv2d_input_args *a = b->args;
    ag_variable *g = b->g[0];
    if (b->wanted[0])
        b->grad[0] = ag_nn_grad_conv2d_weight(g, ag__in_shape(b, 0), a->grad_output, a->stride, a->padding, a->dilation,
                                              a->groups);
    if (b->wanted[1]) b->grad[1] = ag_conv2d(g, a->weight, AG_NONE, a->stride, a->padding, a->dilation, a->groups);
}
AG_OP(nn_grad_conv2d_input, .node = "ConvolutionBackwardBackward0", .shape = input_shape, .kernel = { input_cpu },
      .backward = input_backward, .keeps = { AG_KEEP_IN(1), AG_KEEP_IN(0) })

/* ---- the weight's gradient ---- */

static bool weight_geometry(const ag_run *r, ag__conv2d_shape *s)
{
    const struct ag_nn_grad_conv2d_weight_args *a = r->args;
    const options o = { a->stride, a->padding, a->dilation, a->groups };
    s->dtype = ag_dtype_of(r->in[0]);
    return geometry(r, &o, shape_of(r->in[0]), a->weight_size, s);
}
static bool weight_shape(ag_run *r)
{
    const struct ag_nn_grad_conv2d_weight_args *a = r->args;
    const ag_tensor *x = &r->in[0]->tensor;
    ag__conv2d_shape s;
    if (!weight_geometry(r, &s) || !check_types(r, false) || !check_grad_output(r, &s, x->ndim == 4, &r->in[1]->tensor))
        return false;
    return ag__output(r, 0, 4, a->weight_size.at, (ag_dtype)x->dtype);
}
static bool weight_cpu(ag_run *r)
{
    ag__conv2d_shape s;
    if (!weight_geometry(r, &s)) return false;
    ag_tensor x = ag__as_batch(&r->in[0]->tensor), g = ag__as_batch(&r->in[1]->tensor);
    const ag_tensor *w = &r->out[0]->tensor;
    if (w->numel == 0) return true;
    if (s.batch == 0) {
        ag__fill_elements(w, 0);
        return true;
    }
    return ag__conv2d_weight_gradient(&s, read_from(&x), read_from(&g), write_to(w));
}
static void weight_backward(ag_gradients *b)
{
    const struct ag_nn_grad_conv2d_weight_args *a = b->args;
    ag_variable *g = b->g[0];
    if (b->wanted[0])
        b->grad[0] = ag_nn_grad_conv2d_input(ag__in_shape(b, 0), g, a->grad_output, a->stride, a->padding, a->dilation,
                                             a->groups);
    if (b->wanted[1]) b->grad[1] = ag_conv2d(a->input, g, AG_NONE, a->stride, a->padding, a->dilation, a->groups);
}
AG_OP(nn_grad_conv2d_weight, .node = "ConvolutionBackwardBackward0", .shape = weight_shape, .kernel = { weight_cpu },
      .backward = weight_backward, .keeps = { AG_KEEP_IN(1), AG_KEEP_IN(0) })

/* ---- the bias's gradient ---- */

static bool bias_shape(ag_run *r)
{
    const ag_tensor *g = &r->in[0]->tensor;
    return ag__output(r, 0, 1, &g->size[g->ndim - 3], (ag_dtype)g->dtype);
}
static bool bias_cpu(ag_run *r)
{
    const ag_tensor *g = &r->in[0]->tensor, batch = ag__as_batch(g);
    const ag__conv2d_shape s = {
        .dtype = (ag_dtype)g->dtype,
        .batch = batch.size[0],
        .out_channels = batch.size[1],
        .out_size = { batch.size[2], batch.size[3] },
    };
    ag__conv2d_bias_gradient(&s, read_from(&batch), r->out[0]->tensor.data, 1);
    return true;
}
static void bias_backward(ag_gradients *b)
{
    ag_variable *g = ag_view(b->g[0], AG_SHAPE(-1, 1, 1));
    b->grad[0] = ag_expand(g, ag__in_shape(b, 0));
}
AG_RECORD(_conv2d_bias_backward, AG_ARGS__conv2d_bias_backward, .node = "SumBackward1", .shape = bias_shape,
          .kernel = { bias_cpu }, .backward = bias_backward)

/* A contiguous gradient in the order of oneDNN's sum; others as any sum. */
static ag_variable *bias_gradient(ag_variable *g)
{
    const struct ag__conv2d_bias_backward_args args = { .grad_output = g };
    if (g && g->tensor.contiguous && ag__is_floating(ag_dtype_of(g)))
        return ag__apply1(ag__op__conv2d_bias_backward(), &args, NULL);
    return ag_sum(g, .dim = g && g->tensor.ndim == 3 ? AG_DIMS(1, 2) : AG_DIMS(0, 2, 3));
}
