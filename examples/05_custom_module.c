/* 05_custom_module.c - a model of one's own: a struct that begins with a Module. It learns exclusive or. */
#include <argent/argent.h>

typedef struct {
    Module base;             /* first member: an Mlp is a Module, whatever takes a Module takes it */
    Module *hidden, *output; /* children */
    Variable *scale;         /* a parameter that belongs to no layer */
} Mlp;

static Variable *mlp_forward(Module *self, Variable *x) /* (N,2) -> (N,1) */
{
    Mlp *net = (Mlp *)self;
    x = ag_tanh(ag_forward(net->hidden, x)); /* (N,8) */
    return ag_mul(ag_forward(net->output, x), net->scale);
}

static Mlp *mlp(int64_t width)
{
    Mlp *net = AG_MODULE_NEW(Mlp, mlp_forward);
    AG_CHILD(net, hidden, ag_nn_linear(2, width)); /* net->hidden, named "hidden", freed with net */
    AG_CHILD(net, output, ag_nn_linear(width, 1));
    AG_PARAMETER(net, scale, ag_ones(AG_SHAPE(1)));
    return AG_MODULE_DONE(net); /* NULL, everything freed, if a part failed */
}

int main(void)
{
    AG_SCOPE;
    ag_manual_seed(0);
    Mlp *net = mlp(8);
    ag_nn_print(net, stdout);
    for (ag_named p = { 0 }; ag_named_parameters(net, &p);)
        printf("%s: %lld numbers\n", p.name, (long long)ag_numel(p.variable));

    Variable *x = ag_tensor(((float[]){ 0, 0, 0, 1, 1, 0, 1, 1 }), AG_SHAPE(4, 2));
    Variable *y = ag_tensor(((float[]){ 0, 1, 1, 0 }), AG_SHAPE(4, 1));
    Optimizer *optimizer = ag_optim_adam(ag_parameters(net), .lr = 0.05);
    for (int step = 0; step < 300; step++) {
        AG_SCOPE;
        ag_optim_zero_grad(optimizer);
        ag_backward(ag_mse_loss(ag_forward(net, x), y));
        ag_optim_step(optimizer);
    }

    AG_NO_GRAD;
    Variable *answers = ag_forward(net, x);
    for (int64_t i = 0; i < 4; i++)
        printf("%d xor %d is %s\n", (int)(i / 2), (int)(i % 2),
               ag_item(ag_select(answers, 0, i)) > 0.5 ? "true" : "false");

    ag_optim_free(optimizer);
    ag_module_free(net);
    if (ag_error()) fprintf(stderr, "%s\n", ag_error());
    return ag_error() != NULL;
}
