/* modules.c - the code of docs/modules.md. */
#include <argent/argent.h>

typedef struct {
    Module base;
    Module *layers, *heads;
    const char *head;
} Net;

static Variable *net_forward(Module *self, Variable *x);

static Net *net_new(int depth)
{
    Net *net = AG_MODULE_NEW(Net, net_forward);
    AG_CHILD(net, layers, ag_nn_module_list());
    for (int i = 0; i < depth; i++) ag_nn_append(net->layers, ag_nn_linear(8, 8));
    AG_CHILD(net, heads, ag_nn_module_dict({ "mean", ag_nn_linear(8, 1) }, { "spread", ag_nn_linear(8, 1) }));
    net->head = "mean";
    return AG_MODULE_DONE(net);
}

static Variable *net_forward(Module *self, Variable *x)
{
    Net *net = (Net *)self;
    for (ag_named at = { 0 }; ag_nn_items(net->layers, &at);) x = ag_relu(ag_forward(at.module, x));
    return ag_forward(ag_get_submodule(net->heads, net->head), x);
}

static Variable *count_dead(Module *m, Variable *x, Variable *y, void *user)
{
    (void)m, (void)x;
    *(double *)user += ag_item(ag_sum(ag_eq(y, ag_scalar(0))));
    return NULL;
}
static Variable *halve(Module *m, Variable *grad_input, Variable *grad_output, void *user)
{
    (void)m, (void)grad_output, (void)user;
    return grad_input ? ag_mul(grad_input, ag_scalar(0.5)) : NULL;
}

static bool hook(Variable *x)
{
    double dead = 0;
    Module *relu = ag_nn_relu();
    ag_hook counting = ag_module_register_forward_hook(relu, count_dead, .user = &dead);
    ag_hook halving = ag_module_register_full_backward_hook(relu, halve);
    ag_backward(ag_sum(ag_forward(relu, x)));
    ag_hook_remove(counting);
    ag_hook_remove(halving);
    ag_module_free(relu);
    return dead == 2 && ag_item(ag_max(ag_grad(x))) == 0.5;
}

int main(void)
{
    AG_SCOPE;
    Net *net = net_new(3);
    bool ok = ag_forward(net, ag_ones(AG_SHAPE(2, 8))) && ag_nn_len(net->layers) == 3;
    ag_module_free(net);
    return !ok || !hook(ag_tensor(((float[]){ -1, 2, 0 }), AG_SHAPE(3), .requires_grad = true)) || ag_error();
}
