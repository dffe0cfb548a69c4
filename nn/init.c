/* init.c - torch.nn.init. The arithmetic on the bounds is done in double in PyTorch's order, so that the bounds are
 * the same bits. */
#include <argent/init.h>

#include "autograd/node.h"
#include "tensor/fail.h"
#include "tensor/random_fill.h"

#include <argent/autograd.h>

#include <math.h>
#include <string.h>

/* ---- what may be filled ---- */

static bool ready(const char *op, ag_variable *x)
{
    ag_thread *t = ag__thread();
    char text[AG_TEXT];
    if (!x || x == AG_NONE) return ag__fail(AG_EINVAL, "%s: x is %s", op, x ? "None" : "NULL");
    if (!ag__may_change(t)) return false;
    if (ag__device(x).type != AG_DEVICE_CPU)
        return ag__fail(AG_ENOTSUP, "%s: numbers are drawn on the CPU only (x: %s)", op,
                        ag__tensor_text(&x->tensor, text, sizeof text));
    if (x->tensor.wrapped) return ag__fail(AG_EINVAL, "%s: a number from ag_scalar is shared, so it cannot change", op);
    if (ag__overlaps_itself(&x->tensor))
        return ag__fail(AG_EINVAL, "%s: several elements of x lie in one place, clone() it first (x: %s)", op,
                        ag__tensor_text(&x->tensor, text, sizeof text));
    return true;
}

static ag_variable *changed(ag_variable *x)
{
    x->tensor.storage->version++;
    return x;
}

static ag_variable *uniform(const char *op, ag_variable *x, double from, double to, ag_generator *generator)
{
    return ready(op, x) && ag__random_uniform(generator, &x->tensor, from, to) ? changed(x) : NULL;
}
static ag_variable *normal(const char *op, ag_variable *x, double mean, double std, ag_generator *generator)
{
    return ready(op, x) && ag__random_normal(generator, &x->tensor, mean, std) ? changed(x) : NULL;
}

/* ---- plain ---- */

ag_variable *ag_nn_init_uniform__call(const struct ag_nn_init_uniform__args *a)
{
    return uniform("nn.init.uniform_", a->x, a->a, a->b, a->generator);
}
ag_variable *ag_nn_init_normal__call(const struct ag_nn_init_normal__args *a)
{
    return normal("nn.init.normal_", a->x, a->mean, a->std, a->generator);
}
ag_variable *ag_nn_init_constant_(ag_variable *x, double value)
{
    if (!ready("nn.init.constant_", x)) return NULL;
    ag__fill_elements(&x->tensor, value);
    return changed(x);
}
ag_variable *ag_nn_init_zeros_(ag_variable *x) { return ag_nn_init_constant_(x, 0); }
ag_variable *ag_nn_init_ones_(ag_variable *x) { return ag_nn_init_constant_(x, 1); }

/* ---- by fan ---- */

/* How many inputs an output has, and how many outputs an input feeds. false with an error: x is no weight. */
static bool fans(const char *op, const ag_variable *x, double *in, double *out)
{
    if (!x || x == AG_NONE) return ag__fail(AG_EINVAL, "%s: x is %s", op, x ? "None" : "NULL");
    char text[AG_TEXT];
    if (x->tensor.ndim < 2)
        return ag__fail(AG_EINVAL,
                        "%s: Fan in and fan out can not be computed for tensor with fewer than 2 dimensions (x: %s)",
                        op, ag__tensor_text(&x->tensor, text, sizeof text));
    int64_t field = 1;
    for (int d = 2; d < x->tensor.ndim; d++) field *= x->tensor.size[d];
    *in = (double)(x->tensor.size[1] * field);
    *out = (double)(x->tensor.size[0] * field);
    return true;
}

double ag_nn_init_calculate_gain_call(const struct ag_nn_init_calculate_gain_args *a)
{
    static const char *const linear[] = { "linear",           "conv1d",           "conv2d",           "conv3d",
                                          "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid" };
    const char *name = a->nonlinearity ? a->nonlinearity : "NULL";
    for (size_t i = 0; i < sizeof linear / sizeof *linear; i++)
        if (strcmp(name, linear[i]) == 0) return 1;
    if (strcmp(name, "tanh") == 0) return 5.0 / 3;
    if (strcmp(name, "relu") == 0) return sqrt(2.0);
    if (strcmp(name, "leaky_relu") == 0) return sqrt(2.0 / (1 + pow(a->param, 2)));
    if (strcmp(name, "selu") == 0) return 3.0 / 4;
    ag__fail(AG_EINVAL, "nn.init.calculate_gain: Unsupported nonlinearity %s", name);
    return NAN;
}

static bool xavier(const char *op, const ag_variable *x, double gain, double *std)
{
    double in = 0, out = 0;
    if (!fans(op, x, &in, &out)) return false;
    *std = x->tensor.numel ? gain * sqrt(2.0 / (in + out)) : 1; /* of nothing: not used */
    return true;
}
ag_variable *ag_nn_init_xavier_uniform__call(const struct ag_nn_init_xavier_uniform__args *a)
{
    double std;
    if (!xavier("nn.init.xavier_uniform_", a->x, a->gain, &std)) return NULL;
    double bound = sqrt(3.0) * std;
    return uniform("nn.init.xavier_uniform_", a->x, -bound, bound, a->generator);
}
ag_variable *ag_nn_init_xavier_normal__call(const struct ag_nn_init_xavier_normal__args *a)
{
    double std;
    if (!xavier("nn.init.xavier_normal_", a->x, a->gain, &std)) return NULL;
    return normal("nn.init.xavier_normal_", a->x, 0, std, a->generator);
}

static bool kaiming(const char *op, const ag_variable *x, double slope, const char *mode, const char *nonlinearity,
                    double *std)
{
    double in = 0, out = 0;
    if (!fans(op, x, &in, &out)) return false;
    bool forward = mode && strcmp(mode, "fan_in") == 0;
    if (!forward && !(mode && strcmp(mode, "fan_out") == 0))
        return ag__fail(AG_EINVAL, "%s: Mode %s not supported, please use one of ['fan_in', 'fan_out']", op,
                        mode ? mode : "NULL");
    double gain = ag_nn_init_calculate_gain(nonlinearity, slope);
    if (isnan(gain) && !isnan(slope)) return false;
    *std = x->tensor.numel ? gain / sqrt(forward ? in : out) : 1;
    return true;
}
ag_variable *ag_nn_init_kaiming_uniform__call(const struct ag_nn_init_kaiming_uniform__args *a)
{
    double std;
    if (!kaiming("nn.init.kaiming_uniform_", a->x, a->a, a->mode, a->nonlinearity, &std)) return NULL;
    double bound = sqrt(3.0) * std;
    return uniform("nn.init.kaiming_uniform_", a->x, -bound, bound, a->generator);
}
ag_variable *ag_nn_init_kaiming_normal__call(const struct ag_nn_init_kaiming_normal__args *a)
{
    double std;
    if (!kaiming("nn.init.kaiming_normal_", a->x, a->a, a->mode, a->nonlinearity, &std)) return NULL;
    return normal("nn.init.kaiming_normal_", a->x, 0, std, a->generator);
}
