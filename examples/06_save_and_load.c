/* 06_save_and_load.c - parameters in a file, as safetensors: Python's package of that name reads it, and the other way
 * round. */
#include <argent/argent.h>

#include <stdio.h>

static Module *new_net(void) { return ag_nn_sequential(ag_nn_linear(3, 2), ag_nn_tanh(), ag_nn_linear(2, 1)); }

int main(int argc, char **argv)
{
    AG_SCOPE;
    const char *path = argc > 1 ? argv[1] : "06_save_and_load.safetensors";

    /* A module's state dict: its parameters under PyTorch's names. */
    ag_manual_seed(0);
    Module *net = new_net();
    ag_nn_save(net, path); /* the file appears whole or not at all */

    /* What is loaded is checked first; names and shapes must be those of the module. */
    StateDict *dict = ag_load(path);
    for (ag_state_item s = { 0 }; ag_state_dict_next(dict, &s);) {
        printf("%s ", s.name);
        ag_print(s.variable, stdout);
    }
    ag_state_dict_free(dict);

    /* Another net, drawn from another seed, is the same one after loading. */
    Module *other = new_net();
    Variable *x = ag_ones(AG_SHAPE(1, 3));
    printf("before: %s\n", ag_equal(ag_forward(net, x), ag_forward(other, x)) ? "equal" : "different");
    ag_nn_load(other, path);
    printf("after: %s\n", ag_equal(ag_forward(net, x), ag_forward(other, x)) ? "equal" : "different");

    /* A file for something else is refused, and changes nothing. */
    Module *wider = ag_nn_sequential(ag_nn_linear(3, 5));
    if (!ag_nn_load(wider, path)) printf("%s\n", ag_error());
    ag_clear_error();

    remove(path);
    ag_module_free(wider);
    ag_module_free(other);
    ag_module_free(net);
    return 0;
}
