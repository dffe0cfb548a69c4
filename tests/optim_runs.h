/* optim_runs.h - what the suites on optimisers run: three parameters, and gradients for as many steps as one likes,
 * those of tools/record-optim.py. */
#ifndef AG_TESTS_OPTIM_RUNS_H
#define AG_TESTS_OPTIM_RUNS_H
#include "support.h"

enum { PARAMS = 3, ELEMENTS = 36 + 3 + 1 }; /* of shapes (4,9), (3,), () */

/* The parameters, and the recurrence at its beginning. */
void runs_params(Variable **p, ag_dtype dtype);
List runs_list(Variable **p);
/* The gradients of that step, from 1; and steps with them. */
void runs_grads(Variable **p, int step);
void runs_steps(Optimizer *o, Variable **p, int from, int to);
/* All elements of all parameters. */
void runs_elements(Variable **p, double *out);

/* "sgd lr=0.1 momentum=0.9": an argument that is not among the words has its default, in the call itself where none is
 * there. */
Optimizer *runs_optimizer(const char *words, List params);
double runs_argument(const char *words, const char *name, double otherwise);

#endif
