/* init.h - torch.nn.init: fills a Variable in place, outside any graph, with the numbers PyTorch would draw.
 * Each returns x.
 *
 *     ag_nn_init_kaiming_normal_(ag_get_parameter(net, "fc.weight"), .nonlinearity = "relu");
 */
#ifndef ARGENT_INIT_H
#define ARGENT_INIT_H
#include <argent/generator.h>
#include <argent/variable.h>

AG_BEGIN_DECLS

/* U(a, b) */
#define AG_ARGS_nn_init_uniform_(must, may) \
    must(Tensor, x) may(Float, a, 0) may(Float, b, 1) may(Generator, generator, NULL)
#define ag_nn_init_uniform_(...) AG_CALL(nn_init_uniform_, __VA_ARGS__)
AG_DECLARE(nn_init_uniform_)

/* N(mean, std^2) */
#define AG_ARGS_nn_init_normal_(must, may) \
    must(Tensor, x) may(Float, mean, 0) may(Float, std, 1) may(Generator, generator, NULL)
#define ag_nn_init_normal_(...) AG_CALL(nn_init_normal_, __VA_ARGS__)
AG_DECLARE(nn_init_normal_)

AG_API ag_variable *ag_nn_init_constant_(ag_variable *x, double value);
AG_API ag_variable *ag_nn_init_zeros_(ag_variable *x);
AG_API ag_variable *ag_nn_init_ones_(ag_variable *x);

/* Glorot: U(-a, a) with a = gain sqrt(6 / (fan_in + fan_out)); N(0, std^2) with
 * std = gain sqrt(2 / (fan_in + fan_out)). x (out, in, ...) has at least two dimensions; fan_in = in * the rest,
 * fan_out = out * the rest. */
#define AG_ARGS_nn_init_xavier_uniform_(must, may) must(Tensor, x) may(Float, gain, 1) may(Generator, generator, NULL)
#define AG_ARGS_nn_init_xavier_normal_(must, may)  AG_ARGS_nn_init_xavier_uniform_(must, may)
#define ag_nn_init_xavier_uniform_(...)            AG_CALL(nn_init_xavier_uniform_, __VA_ARGS__)
#define ag_nn_init_xavier_normal_(...)             AG_CALL(nn_init_xavier_normal_, __VA_ARGS__)
AG_DECLARE(nn_init_xavier_uniform_)
AG_DECLARE(nn_init_xavier_normal_)

/* He: std = gain(nonlinearity, a) / sqrt(fan), U(-sqrt(3) std, sqrt(3) std) or N(0, std^2).
 * mode: "fan_in" or "fan_out". */
#define AG_ARGS_nn_init_kaiming_uniform_(must, may)                                                \
    must(Tensor, x) may(Float, a, 0) may(Str, mode, "fan_in") may(Str, nonlinearity, "leaky_relu") \
        may(Generator, generator, NULL)
#define AG_ARGS_nn_init_kaiming_normal_(must, may) AG_ARGS_nn_init_kaiming_uniform_(must, may)
#define ag_nn_init_kaiming_uniform_(...)           AG_CALL(nn_init_kaiming_uniform_, __VA_ARGS__)
#define ag_nn_init_kaiming_normal_(...)            AG_CALL(nn_init_kaiming_normal_, __VA_ARGS__)
AG_DECLARE(nn_init_kaiming_uniform_)
AG_DECLARE(nn_init_kaiming_normal_)

/* "linear", "conv2d" (1d, 3d, conv_transpose...), "sigmoid": 1; "tanh": 5/3; "relu": sqrt(2); "leaky_relu":
 * sqrt(2 / (1 + param^2)), param being the slope below zero; "selu": 3/4. NaN with an error for anything else. */
#define AG_ARGS_nn_init_calculate_gain(must, may) must(Str, nonlinearity) may(Float, param, 0.01)
#define ag_nn_init_calculate_gain(...)            AG_CALL(nn_init_calculate_gain, __VA_ARGS__)
AG_DECLARE_AS(nn_init_calculate_gain, double)

AG_END_DECLS
#endif
