/* profiling.c - the code of docs/profiling.md. */
#include <argent/argent.h>

#include <stdio.h>

static bool profile(Module *net, Variable *x, Variable *y, const char *path)
{
    {
        AG_PROFILE;                 /* for the rest of the block, in all threads */
        AG_RECORD_FUNCTION("step"); /* a range with a name */
        ag_backward(ag_cross_entropy(ag_forward(net, x), y));
    }
    ag_profiler_table(stdout, .sort_by = "self_cpu_time_total", .row_limit = 10);
    ag_profiler_export_chrome_trace(path); /* for chrome://tracing or ui.perfetto.dev */
    return !ag_error();
}

static bool draw(Module *net, Variable *loss, FILE *file)
{
    bool drawn = ag_graph_write_dot(loss, file, .leaf_name = ag_module_leaf_name, .user = net);
    return drawn;
}

int main(void)
{
    AG_SCOPE;
    Module *net = ag_nn_sequential(ag_nn_linear(20, 30), ag_nn_relu(), ag_nn_linear(30, 5));
    Variable *x = ag_randn(AG_SHAPE(16, 20)), *y = ag_randint(0, 5, AG_SHAPE(16));
    bool ok = profile(net, x, y, "doc_profiling.json") && draw(net, ag_cross_entropy(ag_forward(net, x), y), stdout);
    remove("doc_profiling.json");
    ag_module_free(net);
    return !ok;
}
