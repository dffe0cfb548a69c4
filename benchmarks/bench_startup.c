/* bench_startup.c - a first training step of the MNIST CNN, and the end: what is timed is the whole process. Images are
 * made up, so that no file is read. Prints the loss; --steps N takes more than one. */
#include <argent/argent.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    int steps = argc > 2 && !strcmp(argv[1], "--steps") ? atoi(argv[2]) : 1;
    ag_set_error_handler(ag_error_print, NULL);
    ag_manual_seed(1);
    Module *net = ag_nn_sequential(ag_nn_conv2d(1, 10, 5), ag_nn_relu(), ag_nn_conv2d(10, 20, 5), ag_nn_relu(),
                                   ag_nn_max_pool2d(2), ag_nn_dropout2d(.p = 0.25), ag_nn_flatten(),
                                   ag_nn_linear(2000, 100), ag_nn_relu(), ag_nn_linear(100, 10), ag_nn_relu());
    Optimizer *optimizer = ag_optim_sgd(ag_parameters(net), .lr = 0.01);
    bool done = true;
    for (int i = 0; i < steps && done; i++) {
        AG_SCOPE;
        ag_optim_zero_grad(optimizer);
        Variable *x = ag_rand(AG_SHAPE(64, 1, 28, 28)), *labels = ag_randint(0, 10, AG_SHAPE(64));
        Variable *loss = ag_cross_entropy(ag_forward(net, x), labels);
        done = ag_backward(loss) && ag_optim_step(optimizer);
        if (i == steps - 1) printf("%.6f\n", ag_item(loss));
    }
    ag_optim_free(optimizer);
    ag_module_free(net);
    return done ? 0 : 1;
}
