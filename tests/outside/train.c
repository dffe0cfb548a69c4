/* train.c - a user's program: a model, data of its own, a training, a file, an error. Prints "fine". */
#include <argent/argent.h>

typedef struct {
    Module base;
    Module *hidden, *output;
} Net;

static Variable *net_forward(Module *self, Variable *x) /* (N,2) -> (N,2) */
{
    Net *net = (Net *)self;
    return ag_forward(net->output, ag_relu(ag_forward(net->hidden, x)));
}

static Net *net_new(void)
{
    Net *net = AG_MODULE_NEW(Net, net_forward);
    AG_CHILD(net, hidden, ag_nn_linear(2, 16));
    AG_CHILD(net, output, ag_nn_linear(.in_features = 16, .out_features = 2, .bias = true));
    return AG_MODULE_DONE(net);
}

/* Points of a square; class 1 where both coordinates have the same sign. */
static int64_t size(void *user)
{
    (void)user;
    return 256;
}
static int get(int64_t i, Variable **out, void *user)
{
    float x[2] = { (float)(i % 16) - 7.5f, (float)(i / 16) - 7.5f };
    int64_t label = x[0] * x[1] > 0;
    (void)user;
    out[0] = ag_tensor(x, AG_SHAPE(2));
    out[1] = ag_tensor(&label, AG_SCALAR_SHAPE);
    return 2;
}

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, ag_error() ? ag_error() : "no error");
    return 1;
}

static double train(Net *net, DataLoader *loader)
{
    double last = 0;
    Module *criterion = ag_nn_cross_entropy_loss();
    Optimizer *optimizer = ag_optim_adam(ag_parameters(net), .lr = 0.01);
    for (int epoch = 0; epoch < 40; epoch++)
        for (Batch batch; ag_data_next(loader, &batch);) {
            AG_SCOPE;
            Variable *loss = ag_criterion(criterion, ag_forward(net, batch.inputs), batch.targets);
            ag_optim_zero_grad(optimizer);
            ag_backward(loss);
            ag_optim_step(optimizer);
            last = ag_item(loss);
        }
    ag_optim_free(optimizer);
    ag_module_free(criterion);
    return last;
}

int main(void)
{
    AG_SCOPE;
    ag_manual_seed(0);
    Net *net = net_new();
    Dataset *dataset = ag_dataset_new(size, get, NULL, NULL);
    DataLoader *loader = ag_data_loader(dataset, .batch_size = 32, .shuffle = true, .num_workers = 1);
    double loss = train(net, loader);
    if (ag_error() || !(loss < 0.2)) return fail("training");
    if (ag_num_parameters(net) != 2 * 16 + 16 + 16 * 2 + 2) return fail("counting");

    if (ag_mm(ag_ones(AG_SHAPE(2, 3)), ag_ones(AG_SHAPE(2, 3)))) return fail("a wrong product");
    if (ag_error_code() != AG_EINVAL) return fail("its error");
    ag_clear_error();

    ag_data_loader_free(loader);
    ag_dataset_free(dataset);
    ag_module_free(net);
    puts("fine");
    return 0;
}
