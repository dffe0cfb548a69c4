/* gradcheck_check.h - the comparison that gradcheck and gradgradcheck share. */
#ifndef AG_GRADCHECK_CHECK_H
#define AG_GRADCHECK_CHECK_H
#include "autograd/node.h"

#include <argent/gradcheck.h>

/* Inputs at most: those of the function, and for the second order a factor for each of its outputs. */
enum { AG_GRADCHECK_INPUTS = 64 };

typedef struct ag_checker {
    const char *name; /* of the check, for its sentences */
    ag_gradcheck_function *function;
    void *user;
    ag_list inputs;
    double eps, atol, rtol, nondet_tol;
    bool check_undefined_grad, fast_mode;
    const int *output_number; /* how the result calls each output; NULL: by its place */
    ag_gradcheck_result *result;

    /* the inputs that are checked: their places among the inputs, and where their columns begin */
    int n;
    ag_variable *checked[AG_GRADCHECK_INPUTS];
    int number_of[AG_GRADCHECK_INPUTS];
    int64_t first[AG_GRADCHECK_INPUTS + 1];
    /* the outputs that are checked, their places among the outputs, and where their rows begin */
    int n_all, n_outputs;
    ag_variable *y[AG_GRADCHECK_OUTPUTS];
    int place_of[AG_GRADCHECK_OUTPUTS];
    int64_t start[AG_GRADCHECK_OUTPUTS + 1];
} ag_checker;

/* The whole check; the verdict, in words in *c->result where there is one. */
bool ag__gradcheck(ag_checker *c);
/* The outputs of one call, held by the scope; how many, -1 with an error. */
int ag__gradcheck_outputs(const ag_checker *c, ag_variable **outputs);
/* The check cannot be made: the error that stands, or this one, is also the result's message. false. */
bool ag__gradcheck_cannot(const ag_checker *c, const char *message);

#endif
