/* init.c - torch.nn.init. The arithmetic on the bounds is done in double in PyTorch's order, so that the bounds are
 * the same bits. */
#include <argent/init.h>

#include "autograd/node.h"
#include "tensor/fail.h"

#include <argent/autograd.h>
#include <argent/copy.h>
#include <argent/random.h>

#include <math.h>
#include <string.h>

/* ---- plain ---- */

ag_variable *ag_nn_init_uniform__call(const struct ag_nn_init_uniform__args *a)
{
    AG_NO_GRAD;
    return ag_uniform_(a->x, a->a, a->b, a->generator);
}
ag_variable *ag_nn_init_normal__call(const struct ag_nn_init_normal__args *a)
{
    AG_NO_GRAD;
    return ag_normal_(a->x, a->mean, a->std, a->generator);
}
ag_variable *ag_nn_init_constant_(ag_variable *x, double value)
{
    AG_NO_GRAD;
    return ag_fill_(x, value);
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
    *in = (double)x->tensor.size[1];
    *out = (double)x->tensor.size[0];
    for (int d = 2; d < x->tensor.ndim; d++) {
        *in *= (double)x->tensor.size[d];
        *out *= (double)x->tensor.size[d];
    }
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
    return ag_nn_init_uniform_(a->x, -bound, bound, a->generator);
}
ag_variable *ag_nn_init_xavier_normal__call(const struct ag_nn_init_xavier_normal__args *a)
{
    double std;
    if (!xavier("nn.init.xavier_normal_", a->x, a->gain, &std)) return NULL;
    return ag_nn_init_normal_(a->x, 0, std, a->generator);
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
    return ag_nn_init_uniform_(a->x, -bound, bound, a->generator);
}
ag_variable *ag_nn_init_kaiming_normal__call(const struct ag_nn_init_kaiming_normal__args *a)
{
    double std;
    if (!kaiming("nn.init.kaiming_normal_", a->x, a->a, a->mode, a->nonlinearity, &std)) return NULL;
    return ag_nn_init_normal_(a->x, 0, std, a->generator);
}
