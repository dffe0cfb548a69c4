/* errors.c - the code of docs/errors.md. */
#include <argent/argent.h>

static int train_step(Module *net, Optimizer *sgd, Variable *images, Variable *labels)
{
    AG_SCOPE;
    ag_optim_zero_grad(sgd);
    Variable *loss = ag_cross_entropy(ag_forward(net, images), labels);
    ag_backward(loss);
    ag_optim_step(sgd);
    if (ag_error()) {
        fprintf(stderr, "%s\n", ag_error());
        return 1;
    }
    return 0;
}

int main(void)
{
    AG_SCOPE;
    Module *net = ag_nn_linear(4, 3);
    Optimizer *sgd = ag_optim_sgd(ag_parameters(net), .lr = 0.1);
    Variable *images = ag_randn(AG_SHAPE(2, 4)), *labels = ag_zeros(AG_SHAPE(2), .dtype = AG_INT64);
    int failed = train_step(net, sgd, images, labels);
    ag_optim_free(sgd);
    ag_module_free(net);
    return failed;
}
