/* functional_call.h - what functional.c and functional_jacobian.c share: a call of the user's function on inputs of its
 * own, and PyTorch's checks and sentences. */
#ifndef AG_FUNCTIONAL_CALL_H
#define AG_FUNCTIONAL_CALL_H
#include "autograd/node.h"

#include <argent/functional.h>

/* Variables in a row; the row itself is the scope's, too. */
typedef struct ag_held {
    ag_variable *array;
    ag_variable **at;
    int64_t n;
} ag_held;
/* n of them, all NULL. */
bool ag__held_make(ag_held *row, int64_t n);
/* Out of the innermost scope into the one round it; empty where an error stands. */
ag_list ag__held_keep(const ag_held *row);

/* A function, and what it is called with; then x and y. */
typedef struct ag_functional_call {
    const char *name; /* "vjp", for sentences */
    ag_gradcheck_function *function;
    void *user;
    ag_list inputs;
    bool create_graph, strict;
    ag_held x, y; /* what it is given, and its outputs */
} ag_functional_call;

/* Checks the call and makes x. */
bool ag__functional_begin(ag_functional_call *c);
/* Calls the function: y, checked. */
bool ag__functional_run(ag_functional_call *c);

/* grads[i] = d outputs / d inputs[i]; NULL where they do not depend on it. Outputs that are NULL or want no gradient do
 * not count. grad_outputs: NULL, or a factor an output. */
bool ag__functional_grad(const ag_held *outputs, const ag_held *inputs, const ag_held *grad_outputs, bool retain_graph,
                         bool create_graph, ag_held *grads);

typedef enum { AG_OUTPUTS, AG_GRAD_INPUTS, AG_JACOBIAN } ag_checked;
/* In strict mode all of them must be there and want a gradient. */
bool ag__functional_check(const ag_functional_call *c, const ag_held *row, ag_checked what);
/* "The function given to vhp should return a single Tensor", of one element. */
bool ag__functional_check_single(const ag_functional_call *c);
/* Without create_graph, results have no history. */
bool ag__functional_detach(const ag_functional_call *c, ag_held *row);

#endif
