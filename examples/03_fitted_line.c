/* 03_fitted_line.c - the first training: a line through points, by gradient descent. */
#include <argent/argent.h>

int main(void)
{
    AG_SCOPE;
    ag_manual_seed(1);

    /* Points about y = 3 x - 2, with some noise. */
    Variable *x = ag_rand(AG_SHAPE(100, 1));
    Variable *noise = ag_mul(ag_randn(AG_SHAPE(100, 1)), ag_scalar(0.05));
    Variable *y = ag_add(ag_sub(ag_mul(x, ag_scalar(3)), ag_scalar(2)), noise);

    /* A line has one weight and one bias. */
    Module *line = ag_nn_linear(1, 1);
    Module *loss_function = ag_nn_mse_loss();
    Optimizer *optimizer = ag_optim_sgd(ag_parameters(line), .lr = 0.5);

    for (int step = 0; step <= 200; step++) {
        AG_SCOPE; /* what a step makes dies with it; parameters and their gradients stay */
        Variable *loss = ag_criterion(loss_function, ag_forward(line, x), y);
        ag_optim_zero_grad(optimizer);
        ag_backward(loss);
        ag_optim_step(optimizer);
        if (step % 50 == 0) printf("step %3d: loss %.4f\n", step, ag_item(loss));
    }
    printf("y = %.2f x %+.2f\n", ag_item(ag_get_parameter(line, "weight")), ag_item(ag_get_parameter(line, "bias")));

    ag_optim_free(optimizer);
    ag_module_free(loss_function);
    ag_module_free(line);
    if (ag_error()) fprintf(stderr, "%s\n", ag_error());
    return ag_error() != NULL;
}
