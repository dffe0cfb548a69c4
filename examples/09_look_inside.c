/* 09_look_inside.c - a network watched as it works: hooks on its modules, then the profiler. */
#include <argent/argent.h>

#include <string.h>

/* How large the numbers of x are: the root of the mean of their squares. */
static double size_of(Variable *x) { return ag_item(ag_sqrt(ag_mean(ag_square(x)))); }

/* Called after a module's forward. NULL: the output stays as it is. */
static Variable *after_forward(Module *m, Variable *x, Variable *y, void *user)
{
    (void)m;
    printf("forward  %s: %.3f -> %.3f\n", (const char *)user, size_of(x), size_of(y));
    return NULL;
}
/* Called as the gradients go back. What is returned goes on in the input gradient's place: no larger than 1. */
static Variable *after_backward(Module *m, Variable *grad_input, Variable *grad_output, void *user)
{
    (void)m;
    printf("backward %s: %.3f <- %.3f\n", (const char *)user, size_of(grad_input), size_of(grad_output));
    return ag_clamp(grad_input, -1, 1);
}

int main(void)
{
    static char name[4][16];
    ag_manual_seed(0);
    Module *net = ag_nn_module_list();
    for (int i = 0; i < 4; i++) {
        Module *layer = ag_nn_sequential(ag_nn_linear(50, 50, .dtype = AG_FLOAT64), ag_nn_tanh());
        snprintf(name[i], sizeof name[i], "layer %d", i);
        ag_module_register_forward_hook(layer, after_forward, .user = name[i]);
        ag_module_register_full_backward_hook(layer, after_backward, .user = name[i]);
        ag_nn_append(net, layer);
    }

    {
        AG_PROFILE; /* for the rest of the block */
        AG_SCOPE;
        Variable *x = ag_randn(AG_SHAPE(20, 50), .dtype = AG_FLOAT64, .requires_grad = true), *y = x;
        for (ag_named at = { 0 }; ag_nn_items(net, &at);) y = ag_forward(at.module, y);
        ag_backward(ag_sum(y));
    }

    /* ag_profiler_table(stdout) prints the times, too; they are never the same twice. */
    for (ag_profiler_average a = { 0 }; ag_profiler_key_averages(&a);)
        if (strstr(a.key, "linear") || strstr(a.key, "tanh") || strstr(a.key, "Backward0"))
            printf("%lld x %s\n", (long long)a.count, a.key);

    ag_module_free(net);
    if (ag_error()) fprintf(stderr, "%s\n", ag_error());
    return ag_error() != NULL;
}
