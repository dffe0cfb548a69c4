/* resume.c - a user's program: trains, saves, and goes on in another process's place. Prints "fine". */
#include <argent/argent.h>

#include <string.h>

static Module *new_net(void)
{
    return ag_nn_sequential(ag_nn_conv2d(1, 4, 3, .padding = 1), ag_nn_relu(), ag_nn_max_pool2d(2), ag_nn_flatten(),
                            ag_nn_linear(4 * 4 * 4, 2));
}

/* Is the mean of an image positive? */
static double step(Module *net, Optimizer *optimizer)
{
    AG_SCOPE;
    Variable *x = ag_randn(AG_SHAPE(16, 1, 8, 8));
    Variable *y = ag_to(ag_gt(ag_mean(x, AG_DIMS(1, 2, 3)), ag_scalar(0)), .dtype = AG_INT64);
    Variable *loss = ag_cross_entropy(ag_forward(net, x), y);
    ag_optim_zero_grad(optimizer, .set_to_none = true);
    ag_backward(loss);
    ag_nn_utils_clip_grad_norm_(ag_parameters(net), 1.0);
    ag_optim_step(optimizer);
    return ag_item(loss);
}

static void put_all(StateDict *all, const char *prefix, StateDict *part)
{
    char name[128];
    for (ag_state_item s = { 0 }; ag_state_dict_next(part, &s);) {
        snprintf(name, sizeof name, "%s%s", prefix, s.name);
        ag_state_dict_set(all, name, s.variable);
    }
    ag_state_dict_free(part);
}
static StateDict *take_all(const StateDict *all, const char *prefix)
{
    StateDict *part = ag_state_dict_new();
    for (ag_state_item s = { 0 }; ag_state_dict_next(all, &s);)
        if (strncmp(s.name, prefix, strlen(prefix)) == 0) ag_state_dict_set(part, s.name + strlen(prefix), s.variable);
    return part;
}

static bool save(const char *path, Module *net, Optimizer *optimizer)
{
    unsigned char generator[AG_RNG_STATE_BYTES];
    StateDict *all = ag_state_dict_new();
    put_all(all, "net.", ag_nn_state_dict(net));
    put_all(all, "optimizer.", ag_optim_state_dict(optimizer));
    ag_get_rng_state(generator);
    ag_state_dict_set(all, "generator", ag_tensor(generator, AG_SHAPE(sizeof generator)));
    bool saved = ag_save(all, path);
    ag_state_dict_free(all);
    return saved;
}
static bool load(const char *path, Module *net, Optimizer *optimizer)
{
    StateDict *all = ag_load(path), *of_net = take_all(all, "net."), *of_optimizer = take_all(all, "optimizer.");
    Variable *generator = ag_state_dict_get(all, "generator");
    bool loaded = ag_nn_load_state_dict(net, of_net) && ag_optim_load_state_dict(optimizer, of_optimizer) &&
                  ag_set_rng_state(ag_data(generator), (size_t)ag_numel(generator));
    ag_state_dict_free(of_optimizer);
    ag_state_dict_free(of_net);
    ag_state_dict_free(all);
    return loaded;
}

int main(void)
{
    AG_SCOPE;
    const char *path = "resume.safetensors";
    double losses[2][3];
    for (int run = 0; run < 2; run++) {
        ag_manual_seed((uint64_t)run);
        Module *net = new_net();
        Optimizer *sgd = ag_optim_sgd(ag_parameters(net), .lr = run ? 0.5 : 0.1, .momentum = 0.9, .nesterov = true);
        if (run == 0) {
            for (int i = 0; i < 5; i++) step(net, sgd);
            save(path, net, sgd);
        } else {
            load(path, net, sgd);
        }
        for (int i = 0; i < 3; i++) losses[run][i] = step(net, sgd);
        ag_optim_free(sgd);
        ag_module_free(net);
    }
    remove(path);
    if (ag_error() || memcmp(losses[0], losses[1], sizeof losses[0]) != 0) {
        fprintf(stderr, "%g %g, %s\n", losses[0][0], losses[1][0], ag_error() ? ag_error() : "no error");
        return 1;
    }
    puts("fine");
    return 0;
}
