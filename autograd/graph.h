/* graph.h - the graph that a Variable was made by, as a picture.
 *
 * It is walked by ag_grad_fn(x) and ag_next_function(node, i, &next) (variable.h); this draws it:
 *
 *     FILE *file = fopen("loss.dot", "w");
 *     ag_graph_write_dot(loss, file, .leaf_name = ag_module_leaf_name, .user = net);
 *     fclose(file);                                                        dot -Tsvg loss.dot -o loss.svg
 */
#ifndef ARGENT_GRAPH_H
#define ARGENT_GRAPH_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* The name of a leaf in the picture; NULL: none. */
typedef const char *ag_leaf_name(const ag_variable *leaf, void *user);

/* Writes the graph in Graphviz's language: a green box for root, one for each node with its name, a blue one for each
 * leaf with its name and shape; an arrow for each next function, the way gradients go, with the number of the output
 * that it leads to where a node has several. A graph may be of any size: it takes memory, but no stack. Errors:
 * AG_EINVAL, AG_EIO (the file does not take what is written), AG_ENOMEM. */
#define AG_TYPE_LeafName ag_leaf_name *
#define AG_ARGS_graph_write_dot(must, may) \
    must(Tensor, root) must(File, file) may(LeafName, leaf_name, NULL) may(User, user, NULL)
#define ag_graph_write_dot(...) AG_CALL(graph_write_dot, __VA_ARGS__)
AG_DECLARE_AS(graph_write_dot, bool)

AG_END_DECLS
#endif
