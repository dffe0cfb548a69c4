// model.cc - the same library from C++17: arguments by position, temporaries in lists. Prints "fine".
#include <argent/argent.h>

#include <cstdio>
#include <vector>

struct Net {
    Module base;
    Module *hidden, *output;
};

static Variable *net_forward(Module *self, Variable *x) // (N,2) -> (N,1)
{
    Net *net = reinterpret_cast<Net *>(self);
    return ag_forward(net->output, ag_tanh(ag_forward(net->hidden, x)));
}

static Net *net_new()
{
    Net *net = AG_MODULE_NEW(Net, net_forward);
    AG_CHILD(net, hidden, ag_nn_linear(2, 8));
    AG_CHILD(net, output, ag_nn_sequential(ag_nn_linear(8, 1), ag_nn_identity()));
    return AG_MODULE_DONE(net);
}

int main()
{
    AG_SCOPE;
    ag_manual_seed(0);
    const std::vector<float> points = { 0, 0, 0, 1, 1, 0, 1, 1 }, answers = { 0, 1, 1, 0 };
    Variable *x = ag_tensor(points.data(), AG_SHAPE(4, 2)), *y = ag_tensor(answers.data(), AG_SHAPE(4, 1));
    Dataset *dataset = ag_data_tensor_dataset(AG_LIST(x, y));
    DataLoader *loader = ag_data_loader(dataset, 4, true);
    Transform *transform = ag_transforms_compose(ag_transforms_to_tensor(),
                                                 ag_transforms_normalize(0.5, AG_CHANNELS(0.5)));
    Net *net = net_new();
    Module *criterion = ag_nn_mse_loss();
    Optimizer *optimizer = ag_optim_sgd(ag_parameters(net), 0.1);
    double last = 1;
    for (int epoch = 0; epoch < 2000; epoch++)
        for (Batch batch; ag_data_next(loader, &batch);) {
            AG_SCOPE;
            ag_optim_zero_grad(optimizer);
            Variable *loss = ag_criterion(criterion, ag_forward(net, batch.inputs), batch.targets);
            ag_backward(loss);
            ag_optim_step(optimizer);
            last = ag_item(loss);
        }
    ag_optim_free(optimizer);
    ag_module_free(criterion);
    ag_module_free(net);
    ag_transform_free(transform);
    ag_data_loader_free(loader);
    ag_dataset_free(dataset);
    Variable *leaf = ag_tensor(std::vector<float>{ 1, 2, 3 }.data(), AG_SHAPE(3), AG_FLOAT64, AG_CPU, true);
    if (!ag_requires_grad(leaf) || ag_dtype_of(leaf) != AG_FLOAT64) return 1;
    if (ag_error() || !(last < 0.05)) {
        std::fprintf(stderr, "loss %g, %s\n", last, ag_error() ? ag_error() : "no error");
        return 1;
    }
    std::puts("fine");
}
