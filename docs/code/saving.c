/* saving.c - the code of docs/saving.md. */
#include <argent/argent.h>

#include <stdio.h>

static bool save_and_load(Module *net, const char *path)
{
    bool saved = ag_nn_save(net, path); /* torch: safetensors.torch.save_file(net.state_dict(), path) */
    bool loaded = ag_nn_load(net, path);
    return saved && loaded;
}

static bool save_training(Module *net, Optimizer *sgd, int64_t epoch, const char *path)
{
    unsigned char generator[AG_RNG_STATE_BYTES];
    char text[32];
    AG_SCOPE;
    StateDict *all = ag_nn_state_dict(net), *of_sgd = ag_optim_state_dict(sgd);
    for (ag_state_item s = { 0 }; ag_state_dict_next(of_sgd, &s);) {
        char name[128];
        snprintf(name, sizeof name, "optimizer.%s", s.name);
        ag_state_dict_set(all, name, s.variable);
    }
    ag_get_rng_state(generator);
    ag_state_dict_set(all, "generator", ag_tensor(generator, AG_SHAPE(AG_RNG_STATE_BYTES)));
    snprintf(text, sizeof text, "%lld", (long long)epoch);
    ag_state_dict_set_text(all, "epoch", text); /* words go into the file's __metadata__ */
    bool saved = ag_save(all, path);
    ag_state_dict_free(of_sgd);
    ag_state_dict_free(all);
    return saved;
}

int main(void)
{
    AG_SCOPE;
    const char *path = "doc_saving.safetensors";
    Module *net = ag_nn_sequential(ag_nn_linear(4, 8), ag_nn_relu(), ag_nn_linear(8, 2));
    Optimizer *sgd = ag_optim_sgd(ag_parameters(net), .lr = 0.1, .momentum = 0.9);
    ag_backward(ag_sum(ag_forward(net, ag_ones(AG_SHAPE(1, 4)))));
    ag_optim_step(sgd);
    bool right = save_and_load(net, path) && save_training(net, sgd, 3, path);
    StateDict *all = ag_load(path);
    right = right && ag_state_dict_get(all, "optimizer.state.0.momentum_buffer") && ag_state_dict_text(all, "epoch");
    ag_state_dict_free(all);
    ag_optim_free(sgd);
    ag_module_free(net);
    remove(path);
    if (ag_error()) fprintf(stderr, "%s\n", ag_error());
    return !right;
}
