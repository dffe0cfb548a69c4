// modules.cc - nn and optim from C++17: every layer, parts of every kind, what is done to a tree, saving. Prints
// "fine".
#include <argent/argent.h>

#include <cstdio>
#include <cstring>
#include <string>

struct Net {
    Module base;
    Module *body, *head;
    Variable *scale, *shift, *mean;
};

static Variable *net_forward(Module *self, Variable *x) // (N,1,8,8) -> (N,3)
{
    Net *net = reinterpret_cast<Net *>(self);
    x = ag_forward(net->head, ag_forward(net->body, x));
    return ag_mul(x, net->scale);
}

static Net *net_new(double dropout)
{
    Net *net = AG_MODULE_NEW(Net, net_forward);
    AG_CHILD(net, body,
             ag_nn_sequential(ag_nn_sequential(ag_nn_conv2d(1, 2, AG_SIZE(3, 3), 1, 1), ag_nn_relu(true)),
                              ag_nn_max_pool2d(2), ag_nn_dropout2d(dropout), ag_nn_flatten(), ag_nn_sequential()));
    AG_CHILD(net, head, ag_nn_linear(32, 3, false));
    AG_PARAMETER(net, scale, ag_ones(AG_SHAPE(3)));
    AG_PARAMETER(net, shift, AG_NONE);
    AG_BUFFER(net, mean, ag_zeros(AG_SHAPE(3)), false);
    AG_BUFFER(net, mean, ag_zeros(AG_SHAPE(3)));
    return AG_MODULE_DONE(net);
}

static bool count(Module *, void *user) { return ++*static_cast<int *>(user) > 0; }

static Variable *twice(Module *, Variable *x, void *) { return ag_mul(x, ag_scalar(2)); }
static Variable *look(Module *, Variable *, Variable *, void *user)
{
    ++*static_cast<int *>(user);
    return nullptr;
}

static int square(Variable *const *x, int, Variable **y, void *)
{
    y[0] = ag_mul(x[0], x[0]);
    return 1;
}

static int failures;
#define CHECK(expression) \
    ((expression) ? (void)0 : (void)(failures++, std::fprintf(stderr, "line %d: %s\n", __LINE__, #expression)))

int main()
{
    AG_SCOPE;
    ag_manual_seed(0);
    CHECK(net_new(7) == nullptr && std::strstr(ag_error(), "dropout probability"));
    ag_clear_error();
    Net *net = net_new(0.25), *other = net_new(0);
    std::string names;
    for (ag_named p = {}; ag_named_parameters(net, &p);) names += std::string(p.name) + " ";
    CHECK(names == "scale body.0.0.weight body.0.0.bias head.weight ");
    CHECK(ag_num_parameters(net) == 3 + 18 + 2 + 96);
    CHECK(ag_get_submodule(net, "body.0.1") && ag_get_parameter(net, "scale") == net->scale);
    CHECK(ag_get_buffer(net, "mean") == net->mean && net->shift == AG_NONE);
    int modules = 0;
    CHECK(ag_module_apply(net, count, &modules) && modules == 10);
    CHECK(ag_train(net) && ag_train(net, false) && ag_eval(net) && !net->body->training && ag_train(net));
    CHECK(ag_nn_append(net->body, ag_nn_identity()));
    Module *list = ag_nn_module_list(ag_nn_relu(), ag_nn_tanh()), *empty = ag_nn_module_list();
    CHECK(ag_nn_extend(list, ag_nn_relu(), ag_nn_identity()) && ag_nn_insert(list, 0, ag_nn_relu()));
    CHECK(ag_nn_len(list) == 5 && ag_nn_at(list, -1) && ag_nn_len(empty) == 0);
    ag_module_free(ag_nn_pop(list, 0));
    Module *named = ag_nn_module_dict({ "a", ag_nn_relu() }, { "b", ag_nn_tanh() });
    CHECK(ag_nn_update(named, { "c", ag_nn_relu() }) && ag_nn_len(named) == 3 && ag_get_submodule(named, "c"));
    Variable *at = ag_full(AG_SHAPE(2), 3);
    CHECK(ag_item(ag_select(ag_autograd_functional_vjp(square, AG_LIST(at), AG_LIST(at)).vjp.at[0], 0, 0)) == 18);
    CHECK(ag_autograd_functional_jacobian(square, AG_LIST(at)).n == 1);
    {
        AG_PROFILE;
        AG_RECORD_FUNCTION("range");
        ag_mul(at, at);
    }
    ag_profiler_average average = {};
    CHECK(ag_profiler_key_averages(&average) && average.key == std::string("range"));
    CHECK(ag_profiler_begin(true) && ag_profiler_end());
    int seen = 0;
    Module *hooked = ag_nn_relu();
    ag_hook hook = ag_module_register_forward_pre_hook(hooked, twice);
    CHECK(hook && ag_module_register_forward_hook(hooked, look, &seen, nullptr, true));
    CHECK(ag_module_register_full_backward_hook(hooked, look, &seen));
    ag_hook all = ag_nn_register_module_forward_pre_hook(twice);
    CHECK(ag_item(ag_forward(hooked, ag_ones(AG_SHAPE(1)))) == 4 && seen == 1);
    CHECK(ag_hook_remove(hook) && ag_hook_remove(all));
    ag_module_free(hooked);
    ag_module_free(list);
    ag_module_free(empty);
    ag_module_free(named);
    CHECK(ag_module_requires_grad_(net, false) && ag_module_requires_grad_(net));
    char text[1000];
    CHECK(ag_nn_repr(net, text, sizeof text) &&
          std::strstr(text, "(head): Linear(in_features=32, out_features=3, bias=False)"));

    Variable *x = ag_randn(AG_SHAPE(4, 1, 8, 8)), *y = ag_randint(0, 3, AG_SHAPE(4));
    Module *losses[] = { ag_nn_cross_entropy_loss(ag_ones(AG_SHAPE(3))),
                         ag_nn_cross_entropy_loss(AG_NONE, -100, "sum", 0.1) };
    Optimizer *adam = ag_optim_adam(ag_parameters(net), 0.01, { 0.9, 0.99 }),
              *sgd = ag_optim_sgd(ag_parameters(net), 0.01, 0.9);
    for (Module *loss : losses)
        for (int step = 0; step < 3; step++) {
            AG_SCOPE;
            CHECK(ag_zero_grad(net) && ag_zero_grad(net, false) && ag_optim_zero_grad(adam) &&
                  ag_optim_zero_grad(sgd, false));
            CHECK(ag_backward(ag_criterion(loss, ag_forward(net, x), y)));
            CHECK(ag_nn_utils_clip_grad_norm_(ag_parameters(net), 1) &&
                  ag_nn_utils_clip_grad_norm_(ag_parameters(net), 0.5, 1));
            CHECK(ag_optim_step(adam) && ag_optim_step(sgd));
        }
    StateDict *dict = ag_nn_state_dict(net), *state = ag_optim_state_dict(adam);
    CHECK(ag_optim_load_state_dict(adam, state) && !ag_nn_load_state_dict(net->head, dict));
    ag_clear_error();
    CHECK(ag_nn_load_state_dict(other, dict) && ag_nn_load_state_dict(net->head, dict, false));
    CHECK(ag_equal(net->scale, other->scale));
    CHECK(ag_module_double(net) && ag_module_float(net) && ag_module_to(net, AG_CPU) && ag_module_cpu(net));
    CHECK(ag_cuda_is_available() || (!ag_module_cuda(net) && ag_error_code() == AG_EDEVICE));
    ag_clear_error();
    CHECK(ag_cpu(x) == x && ag_nn_init_kaiming_uniform_(x, 0.5, "fan_out") && ag_nn_init_xavier_normal_(x, 2));
    CHECK(ag_nn_init_calculate_gain("leaky_relu", 0.2) > 1);

    Module *rest[] = { ag_nn_sigmoid(),          ag_nn_tanh(),     ag_nn_softmax(1),     ag_nn_log_softmax(-1),
                       ag_nn_dropout(0.5, true), ag_nn_nll_loss(), ag_nn_mse_loss("sum") };
    for (Module *m : rest) ag_module_free(m);
    for (Module *m : losses) ag_module_free(m);
    ag_state_dict_free(state);
    ag_state_dict_free(dict);
    ag_optim_free(adam);
    ag_optim_free(sgd);
    ag_module_free(other);
    ag_module_free(net);
    if (ag_error()) std::fprintf(stderr, "%s\n", ag_error());
    if (failures || ag_error()) return 1;
    std::puts("fine");
}
