/* layers.c - the modules of torch.nn. Each is a struct that keeps its options, a forward that is one op, and an
 * extra_repr that writes the options as PyTorch does. Parameters are looked up by their names, since they may be
 * replaced. */
#include <argent/layers.h>

#include "nn/module_parts.h"
#include "ops/conv_steps.h"
#include "tensor/fail.h"

#include <argent/conv.h>
#include <argent/copy.h>
#include <argent/dropout.h>
#include <argent/init.h>
#include <argent/matmul.h>
#include <argent/pointwise.h>
#include <argent/pool.h>
#include <argent/softmax.h>
#include <argent/view.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- options as text ---- */

enum { SIDES_TEXT = 64 };

static const char *python_bool(bool b) { return b ? "True" : "False"; }

/* A size as Python prints it: 2, or (2, 2) where it was given as a pair, or always (what a convolution stores). */
static const char *sides_text(ag_sizes size, bool as_pair, char text[SIDES_TEXT])
{
    int64_t side[2] = { 0, 0 };
    if (size == AG_PADDING_SAME)
        snprintf(text, SIDES_TEXT, "same");
    else if (!as_pair && ag__size_parts(size) == 0)
        snprintf(text, SIDES_TEXT, "%" PRId64, size);
    else if (ag__size_sides(size, 2, side))
        snprintf(text, SIDES_TEXT, "(%" PRId64 ", %" PRId64 ")", side[0], side[1]);
    return text;
}

/* Two sides of at least `least`; false with a sentence. */
static bool sides_checked(const char *layer, const char *option, ag_sizes size, int64_t least, int64_t side[2])
{
    if (!ag__size_sides(size, 2, side))
        return ag__fail(AG_EINVAL, "%s: %s must be a number or AG_SIZE(height, width)", layer, option);
    for (int d = 0; d < 2; d++)
        if (side[d] < least)
            return ag__fail(AG_EINVAL, "%s: %s must be at least %" PRId64 ", but got %" PRId64, layer, option, least,
                            side[d]);
    return true;
}

/* ---- parameters ---- */

/* Parameters are drawn on the CPU, wherever they go then. */
static ag_variable *undrawn(int ndim, const int64_t *size, ag_dtype dtype)
{
    if (dtype == AG_DTYPE_DEFAULT) dtype = ag_get_default_dtype();
    if (!ag__is_floating(dtype))
        return ag__fail(AG_EINVAL, "Only Tensors of floating point dtype can require gradients: a layer cannot be %s",
                        ag_dtype_name(dtype));
    return ag__new(ag__thread(), ndim, size, dtype, AG_CPU);
}
static ag_variable *moved(ag_variable *x, ag_device device)
{
    return x && device.type > AG_DEVICE_CPU ? ag_to(x, device) : x;
}
/* nn.Linear and nn.Conv2d draw a weight (out, in, ...) by kaiming_uniform_(a=sqrt(5)), and a bias from
 * U(-1/sqrt(fan_in), 1/sqrt(fan_in)). */
static ag_variable *weight_drawn(int ndim, const int64_t *size, ag_device device, ag_dtype dtype)
{
    ag_variable *x = undrawn(ndim, size, dtype);
    return x ? moved(ag_nn_init_kaiming_uniform_(x, .a = sqrt(5)), device) : NULL;
}
static ag_variable *bias_drawn(bool wanted, int64_t size, int64_t fan_in, ag_device device, ag_dtype dtype)
{
    if (!wanted) return AG_NONE;
    double bound = fan_in > 0 ? 1 / sqrt((double)fan_in) : 0; /* then 0 - bound is not -0 */
    ag_variable *x = undrawn(1, &size, dtype);
    return x ? moved(ag_nn_init_uniform_(x, 0 - bound, bound), device) : NULL;
}

/* ---- Linear ---- */

typedef struct linear {
    ag_module base;
    struct ag_nn_linear_args args;
} linear;

static ag_variable *linear_forward(ag_module *self, ag_variable *x)
{
    return ag_linear(x, ag__module_variable(self, "weight"), ag__module_variable(self, "bias"));
}
static int linear_repr(const ag_module *self, char *text, size_t room)
{
    const struct ag_nn_linear_args *a = &((const linear *)self)->args;
    return snprintf(text, room, "in_features=%" PRId64 ", out_features=%" PRId64 ", bias=%s", a->in_features,
                    a->out_features, python_bool(ag__module_variable(self, "bias") != AG_NONE));
}
ag_module *ag_nn_linear_call(const struct ag_nn_linear_args *a)
{
    if (a->in_features < 0 || a->out_features < 0)
        return ag__fail(AG_EINVAL,
                        "Linear: in_features and out_features must not be negative, but are %" PRId64 " and %" PRId64,
                        a->in_features, a->out_features);
    AG_SCOPE;
    ag_module *m = ag__module_new_own(sizeof(linear), "Linear", linear_forward);
    if (!m) return NULL;
    m->extra_repr = linear_repr;
    ((linear *)m)->args = *a;
    const int64_t size[] = { a->out_features, a->in_features };
    if (ag_module_add_parameter(m, "weight", weight_drawn(2, size, a->device, a->dtype)))
        ag_module_add_parameter(m, "bias", bias_drawn(a->bias, a->out_features, a->in_features, a->device, a->dtype));
    return AG_MODULE_DONE(m);
}

/* ---- Conv2d ---- */

typedef struct conv2d {
    ag_module base;
    struct ag_nn_conv2d_args args;
} conv2d;

static ag_variable *conv2d_forward(ag_module *self, ag_variable *x)
{
    const struct ag_nn_conv2d_args *a = &((conv2d *)self)->args;
    return ag_conv2d(x, ag__module_variable(self, "weight"), ag__module_variable(self, "bias"), a->stride, a->padding,
                     a->dilation, a->groups);
}
static ag_variable *conv2d_forward_relu(ag_module *self, ag_variable *x)
{
    const struct ag_nn_conv2d_args *a = &((conv2d *)self)->args;
    const struct ag__conv2d_relu_args args = { .input = x,
                                               .weight = ag__module_variable(self, "weight"),
                                               .bias = ag__module_variable(self, "bias"),
                                               .stride = a->stride,
                                               .padding = a->padding,
                                               .dilation = a->dilation,
                                               .groups = a->groups };
    return ag__conv2d_relu(&args);
}
static int conv2d_repr(const ag_module *self, char *text, size_t room)
{
    const struct ag_nn_conv2d_args *a = &((const conv2d *)self)->args;
    char k[SIDES_TEXT], s[SIDES_TEXT], p[SIDES_TEXT], d[SIDES_TEXT], groups[48] = "";
    bool padded = strcmp(sides_text(a->padding, true, p), "(0, 0)") != 0;
    bool dilated = strcmp(sides_text(a->dilation, true, d), "(1, 1)") != 0;
    if (a->groups != 1) snprintf(groups, sizeof groups, ", groups=%" PRId64, a->groups);
    return snprintf(text, room, "%" PRId64 ", %" PRId64 ", kernel_size=%s, stride=%s%s%s%s%s%s%s", a->in_channels,
                    a->out_channels, sides_text(a->kernel_size, true, k), sides_text(a->stride, true, s),
                    padded ? ", padding=" : "", padded ? p : "", dilated ? ", dilation=" : "", dilated ? d : "", groups,
                    ag__module_variable(self, "bias") != AG_NONE ? "" : ", bias=False");
}
ag_module *ag_nn_conv2d_call(const struct ag_nn_conv2d_args *a)
{
    int64_t kernel[2], other[2];
    if (a->groups <= 0)
        return ag__fail(AG_EINVAL, "Conv2d: groups must be a positive integer, but got %" PRId64, a->groups);
    if (a->in_channels < 0 || a->out_channels < 0)
        return ag__fail(AG_EINVAL,
                        "Conv2d: in_channels and out_channels must not be negative, but are %" PRId64 " and %" PRId64,
                        a->in_channels, a->out_channels);
    if (a->in_channels % a->groups || a->out_channels % a->groups)
        return ag__fail(AG_EINVAL,
                        "Conv2d: %s must be divisible by groups (in_channels: %" PRId64 ", out_channels: %" PRId64
                        ", groups: %" PRId64 ")",
                        a->in_channels % a->groups ? "in_channels" : "out_channels", a->in_channels, a->out_channels,
                        a->groups);
    if (!sides_checked("Conv2d", "kernel_size", a->kernel_size, 1, kernel) ||
        !sides_checked("Conv2d", "stride", a->stride, 1, other) ||
        !sides_checked("Conv2d", "padding", a->padding == AG_PADDING_SAME ? 0 : a->padding, 0, other) ||
        !sides_checked("Conv2d", "dilation", a->dilation, 1, other))
        return NULL;
    if (a->padding == AG_PADDING_SAME && ag__size_sides(a->stride, 2, other) && (other[0] != 1 || other[1] != 1))
        return ag__fail(AG_EINVAL, "Conv2d: padding='same' is not supported for strided convolutions");
    AG_SCOPE;
    ag_module *m = ag__module_new_own(sizeof(conv2d), "Conv2d", conv2d_forward);
    if (!m) return NULL;
    m->extra_repr = conv2d_repr;
    m->parts->forward_relu = conv2d_forward_relu;
    m->parts->takes_relu = ag__conv2d_goes_with_relu;
    ((conv2d *)m)->args = *a;
    const int64_t per_group = a->in_channels / a->groups, fan_in = per_group * kernel[0] * kernel[1];
    const int64_t size[] = { a->out_channels, per_group, kernel[0], kernel[1] };
    if (ag_module_add_parameter(m, "weight", weight_drawn(4, size, a->device, a->dtype)))
        ag_module_add_parameter(m, "bias", bias_drawn(a->bias, a->out_channels, fan_in, a->device, a->dtype));
    return AG_MODULE_DONE(m);
}

/* ---- MaxPool2d ---- */

typedef struct max_pool2d {
    ag_module base;
    struct ag_nn_max_pool2d_args args;
} max_pool2d;

static ag_variable *max_pool2d_forward(ag_module *self, ag_variable *x)
{
    const struct ag_nn_max_pool2d_args *a = &((max_pool2d *)self)->args;
    return ag_max_pool2d(x, a->kernel_size, a->stride, a->padding, a->dilation, a->ceil_mode);
}
static int max_pool2d_repr(const ag_module *self, char *text, size_t room)
{
    const struct ag_nn_max_pool2d_args *a = &((const max_pool2d *)self)->args;
    char k[SIDES_TEXT], s[SIDES_TEXT], p[SIDES_TEXT], d[SIDES_TEXT];
    return snprintf(text, room, "kernel_size=%s, stride=%s, padding=%s, dilation=%s, ceil_mode=%s",
                    sides_text(a->kernel_size, false, k), sides_text(a->stride, false, s),
                    sides_text(a->padding, false, p), sides_text(a->dilation, false, d), python_bool(a->ceil_mode));
}
ag_module *ag_nn_max_pool2d_call(const struct ag_nn_max_pool2d_args *a)
{
    struct ag_nn_max_pool2d_args given = *a;
    int64_t side[2];
    if (given.stride == 0) given.stride = given.kernel_size;
    if (!sides_checked("MaxPool2d", "kernel_size", given.kernel_size, 1, side) ||
        !sides_checked("MaxPool2d", "stride", given.stride, 1, side) ||
        !sides_checked("MaxPool2d", "padding", given.padding, 0, side) ||
        !sides_checked("MaxPool2d", "dilation", given.dilation, 1, side))
        return NULL;
    ag_module *m = ag__module_new_own(sizeof(max_pool2d), "MaxPool2d", max_pool2d_forward);
    if (!m) return NULL;
    m->extra_repr = max_pool2d_repr;
    ((max_pool2d *)m)->args = given;
    return m;
}

/* ---- Dropout, Dropout2d ---- */

typedef struct dropout {
    ag_module base;
    struct ag_nn_dropout_args args;
} dropout;

static ag_variable *dropout_forward(ag_module *self, ag_variable *x)
{
    const struct ag_nn_dropout_args *a = &((dropout *)self)->args;
    return ag_dropout(x, a->p, self->training, a->inplace);
}
static ag_variable *dropout2d_forward(ag_module *self, ag_variable *x)
{
    const struct ag_nn_dropout_args *a = &((dropout *)self)->args;
    return ag_dropout2d(x, a->p, self->training, a->inplace);
}
static int dropout_repr(const ag_module *self, char *text, size_t room)
{
    const struct ag_nn_dropout_args *a = &((const dropout *)self)->args;
    char p[32];
    return snprintf(text, room, "p=%s, inplace=%s", ag__number_text(a->p, p), python_bool(a->inplace));
}
static ag_module *dropout_new(const char *type, ag_forward_function *forward, double p, bool inplace)
{
    char text[32];
    if (!(p >= 0 && p <= 1))
        return ag__fail(AG_EINVAL, "%s: dropout probability has to be between 0 and 1, but got %s", type,
                        ag__number_text(p, text));
    ag_module *m = ag__module_new_own(sizeof(dropout), type, forward);
    if (!m) return NULL;
    m->extra_repr = dropout_repr;
    ((dropout *)m)->args.p = p;
    ((dropout *)m)->args.inplace = inplace;
    return m;
}
ag_module *ag_nn_dropout_call(const struct ag_nn_dropout_args *a)
{
    return dropout_new("Dropout", dropout_forward, a->p, a->inplace);
}
ag_module *ag_nn_dropout2d_call(const struct ag_nn_dropout2d_args *a)
{
    return dropout_new("Dropout2d", dropout2d_forward, a->p, a->inplace);
}

/* ---- ReLU ---- */

typedef struct relu {
    ag_module base;
    bool inplace;
} relu;

static ag_variable *relu_forward(ag_module *self, ag_variable *x)
{
    return ((relu *)self)->inplace ? ag_relu_(x) : ag_relu(x);
}
static ag_variable *relu_over(ag_module *self, ag_variable *x)
{
    (void)self;
    return ag_relu_(x);
}
static int relu_repr(const ag_module *self, char *text, size_t room)
{
    return snprintf(text, room, "%s", ((const relu *)self)->inplace ? "inplace=True" : "");
}
ag_module *ag_nn_relu_call(const struct ag_nn_relu_args *a)
{
    ag_module *m = ag__module_new_own(sizeof(relu), "ReLU", relu_forward);
    if (!m) return NULL;
    m->extra_repr = relu_repr;
    m->parts->forward_over = relu_over;
    m->parts->is_relu = true;
    ((relu *)m)->inplace = a->inplace;
    return m;
}

/* ---- Flatten ---- */

typedef struct flatten {
    ag_module base;
    struct ag_nn_flatten_args args;
} flatten;

static ag_variable *flatten_forward(ag_module *self, ag_variable *x)
{
    const struct ag_nn_flatten_args *a = &((flatten *)self)->args;
    return ag_flatten(x, a->start_dim, a->end_dim);
}
static int flatten_repr(const ag_module *self, char *text, size_t room)
{
    const struct ag_nn_flatten_args *a = &((const flatten *)self)->args;
    return snprintf(text, room, "start_dim=%" PRId64 ", end_dim=%" PRId64, a->start_dim, a->end_dim);
}
ag_module *ag_nn_flatten_call(const struct ag_nn_flatten_args *a)
{
    ag_module *m = ag__module_new_own(sizeof(flatten), "Flatten", flatten_forward);
    if (!m) return NULL;
    m->extra_repr = flatten_repr;
    ((flatten *)m)->args = *a;
    return m;
}

/* ---- without options ---- */

static ag_variable *sigmoid_forward(ag_module *self, ag_variable *x) { return (void)self, ag_sigmoid(x); }
static ag_variable *tanh_forward(ag_module *self, ag_variable *x) { return (void)self, ag_tanh(x); }
static ag_variable *identity_forward(ag_module *self, ag_variable *x) { return (void)self, x; }
ag_module *ag_nn_sigmoid(void) { return ag__module_new_own(sizeof(ag_module), "Sigmoid", sigmoid_forward); }
ag_module *ag_nn_tanh(void) { return ag__module_new_own(sizeof(ag_module), "Tanh", tanh_forward); }
ag_module *ag_nn_identity(void) { return ag__module_new_own(sizeof(ag_module), "Identity", identity_forward); }

/* ---- Softmax, LogSoftmax ---- */

typedef struct softmax {
    ag_module base;
    int64_t dim;
} softmax;

static ag_variable *softmax_forward(ag_module *self, ag_variable *x) { return ag_softmax(x, ((softmax *)self)->dim); }
static ag_variable *log_softmax_forward(ag_module *self, ag_variable *x)
{
    return ag_log_softmax(x, ((softmax *)self)->dim);
}
static int softmax_repr(const ag_module *self, char *text, size_t room)
{
    return snprintf(text, room, "dim=%" PRId64, ((const softmax *)self)->dim);
}
static ag_module *softmax_new(const char *type, ag_forward_function *forward, int64_t dim)
{
    ag_module *m = ag__module_new_own(sizeof(softmax), type, forward);
    if (!m) return NULL;
    m->extra_repr = softmax_repr;
    ((softmax *)m)->dim = dim;
    return m;
}
ag_module *ag_nn_softmax_call(const struct ag_nn_softmax_args *a)
{
    return softmax_new("Softmax", softmax_forward, a->dim);
}
ag_module *ag_nn_log_softmax_call(const struct ag_nn_log_softmax_args *a)
{
    return softmax_new("LogSoftmax", log_softmax_forward, a->dim);
}
