/* test_graph_dot.c - a graph as Graphviz reads it. */
#include "interpose.h"
#include "support.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is written of root's graph; the caller frees it. NULL with an error. */
static char *drawn(Variable *root, ag_leaf_name *leaf_name, void *user)
{
    char *text = NULL;
    size_t length;
    FILE *file = open_memstream(&text, &length);
    bool ok = ag_graph_write_dot(root, file, leaf_name, user);
    fclose(file);
    if (ok) return text;
    free(text);
    return NULL;
}
#define DRAWN(text, expected)              \
    do {                                   \
        char *text_ = (text);              \
        ck_assert_str_eq(text_, expected); \
        free(text_);                       \
    } while (0)
#define HEAD "digraph {\n    node [shape=box, style=filled, fillcolor=white, fontname=monospace];\n"

static Variable *x, *w; /* leaves with names */
static const char *name_of(const Variable *leaf, void *user)
{
    return leaf == x ? (const char *)user : leaf == w ? "w \"\\" : NULL;
}

START_TEST(nodes_leaves_and_the_way_gradients_go)
{
    x = LEAF(AG_SHAPE(2, 1), 1, 2);
    w = LEAF(AG_SHAPE(1), 3);
    Variable *y = ag_sum(ag_mul(ag_mul(x, w), ag_add(x, LEAF(AG_SCALAR_SHAPE, 1))));
    DRAWN(drawn(y, name_of, "x"), HEAD "    root [label=\"()\", fillcolor=palegreen];\n"
                                       "    root -> n0;\n"
                                       "    n0 [label=\"SumBackward0\"];\n"
                                       "    n0 -> n1;\n"
                                       "    n1 [label=\"MulBackward0\"];\n"
                                       "    n1 -> n2;\n"
                                       "    n1 -> n3;\n"
                                       "    n2 [label=\"MulBackward0\"];\n"
                                       "    n2 -> n4;\n"
                                       "    n2 -> n5;\n"
                                       "    n3 [label=\"AddBackward0\"];\n"
                                       "    n3 -> n4;\n"
                                       "    n3 -> n6;\n"
                                       "    n4 [label=\"AccumulateGrad\\nx (2, 1)\", fillcolor=lightblue];\n"
                                       "    n5 [label=\"AccumulateGrad\\nw \\\"\\\\ (1)\", fillcolor=lightblue];\n"
                                       "    n6 [label=\"AccumulateGrad\\n()\", fillcolor=lightblue];\n"
                                       "}\n");
}
END_TEST

static bool forward(ag_context *ctx, List inputs, Variable **outputs)
{
    (void)ctx;
    for (int i = 0; i < 2; i++) outputs[i] = ag_mul(inputs.at[0], ag_scalar(i));
    return true;
}
static bool backward(ag_context *ctx, Variable *const *grad_outputs, Variable **grad_inputs)
{
    (void)ctx;
    grad_inputs[0] = grad_outputs[1];
    return true;
}
START_TEST(of_several_outputs_the_arrow_says_which)
{
    static const ag_function two = { .name = "Two", .forward = forward, .backward = backward, .n_outputs = 2 };
    Variable *a = LEAF(AG_SHAPE(1, 2), 1, 2);
    List outputs = ag_function_apply_list(&two, AG_LIST(a));
    DRAWN(drawn(ag_max_dim(outputs.at[1], 1).values, NULL, NULL),
          HEAD "    root [label=\"(1)\", fillcolor=palegreen];\n"
               "    root -> n0;\n"
               "    n0 [label=\"MaxBackward0\"];\n"
               "    n0 -> n1 [label=\"1\"];\n"
               "    n1 [label=\"TwoBackward\"];\n"
               "    n1 -> n2;\n"
               "    n2 [label=\"AccumulateGrad\\n(1, 2)\", fillcolor=lightblue];\n"
               "}\n");
}
END_TEST

START_TEST(a_leaf_and_a_constant_are_graphs_too)
{
    DRAWN(drawn(LEAF(AG_SHAPE(1), 1), NULL, NULL),
          HEAD "    root [label=\"(1)\", fillcolor=palegreen];\n"
               "    root -> n0;\n"
               "    n0 [label=\"AccumulateGrad\\n(1)\", fillcolor=lightblue];\n"
               "}\n");
    DRAWN(drawn(ag_ones(AG_SHAPE(0, 3)), NULL, NULL), HEAD "    root [label=\"(0, 3)\", fillcolor=palegreen];\n}\n");
}
END_TEST

START_TEST(a_networks_leaves_have_their_parameters_names)
{
    Module *net = ag_nn_sequential(ag_nn_linear(2, 3), ag_nn_relu(), ag_nn_linear(3, 1, .bias = false));
    char *text = drawn(ag_forward(net, ag_ones(AG_SHAPE(4, 2))), ag_module_leaf_name, net);
    ck_assert_ptr_nonnull(strstr(text, "[label=\"AccumulateGrad\\n0.weight (3, 2)\", fillcolor=lightblue]"));
    ck_assert(strstr(text, "0.bias (3)") && strstr(text, "2.weight (1, 3)"));
    ck_assert_ptr_nonnull(strstr(text, "[label=\"ReluBackward0\"]"));
    free(text);
    ag_module_free(net);
}
END_TEST

/* Whether dot, where it is installed, takes the file. */
static void check_with_dot(const char *path)
{
    pid_t child = fork();
    if (child == 0) {
        execlp("dot", "dot", "-Tsvg", "-o", "/dev/null", path, (char *)NULL);
        _exit(127);
    }
    int status;
    ck_assert(waitpid(child, &status, 0) == child && WIFEXITED(status));
    ck_assert(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 127);
}
START_TEST(graphviz_takes_it)
{
    char path[] = "/tmp/argent-graph-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    x = LEAF(AG_SHAPE(2, 2), 1, 2, 3, 4);
    w = LEAF(AG_SHAPE(2, 2), 1, 2, 3, 4);
    Variable *y = x, *g[2];
    for (int i = 0; i < 5; i++) y = ag_tanh(ag_add(ag_matmul(y, w), x));
    OK(ag_autograd_grad(AG_LIST(ag_sum(y)), AG_LIST(x, w), g, .create_graph = true));
    OK(ag_graph_write_dot(ag_sum(g[1]), file, name_of, "a \"name\" \\ of many\nlines <b>é</b>"));
    fclose(file);
    check_with_dot(path);
    unlink(path);
}
END_TEST

START_TEST(a_chain_of_a_million_nodes_takes_no_stack)
{
    enum { N = 1000000 };
    Variable *y = LEAF(AG_SCALAR_SHAPE, 1);
    for (int i = 0; i < N; i++) ag_let(&y, ag_neg(y));
    FILE *file = tmpfile();
    OK(ag_graph_write_dot(y, file));
    rewind(file);
    char line[200];
    int64_t n = 0;
    while (fgets(line, sizeof line, file)) n++;
    ck_assert_int_eq(n, 3 + 2 * (N + 1) + 1); /* head and root, arrow and box of each, tail */
    fclose(file);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    Variable *y = LEAF(AG_SHAPE(1), 1);
    REFUSED(ag_graph_write_dot(NULL, stdout), "graph_write_dot: root is NULL");
    REFUSED(ag_graph_write_dot(AG_NONE, stdout), "graph_write_dot: root is None");
    REFUSED(ag_graph_write_dot(y, NULL), "graph_write_dot: the file is NULL");
    FILE *full = fopen("/dev/full", "w");
    if (!full) return;
    setbuf(full, NULL);
    ck_assert(!ag_graph_write_dot(y, full));
    ck_assert_int_eq(ag_error_code(), AG_EIO);
    REFUSED(false, "the file does not take what is written");
    fclose(full);
}
END_TEST

START_TEST(without_memory_it_is_an_error)
{
    Variable *y = LEAF(AG_SCALAR_SHAPE, 1);
    for (int i = 0; i < 300; i++) ag_let(&y, ag_neg(y));
    FILE *file = fopen("/dev/null", "w");
    OK(ag_graph_write_dot(y, file));
    for (int64_t at = 1, undisturbed = 0; !undisturbed; at++) {
        interpose_start(at, false);
        bool ok = ag_graph_write_dot(y, file);
        undisturbed = interpose_stop() < at;
        ck_assert(ok ? undisturbed : ag_error_code() == AG_ENOMEM);
        ag_clear_error();
    }
    fclose(file);
}
END_TEST

SUPPORT_MAIN("graph_dot", nodes_leaves_and_the_way_gradients_go, of_several_outputs_the_arrow_says_which,
             a_leaf_and_a_constant_are_graphs_too, a_networks_leaves_have_their_parameters_names, graphviz_takes_it,
             a_chain_of_a_million_nodes_takes_no_stack, what_cannot_be_is_refused, without_memory_it_is_an_error)
