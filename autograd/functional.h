/* functional.h - derivatives of functions: torch.autograd.functional.
 *
 *     static int cube(Variable *const *x, int n, Variable **y, void *user)
 *     { return y[0] = ag_pow(x[0], ag_scalar(3)), 1; }
 *
 *     ag_list jacobian = ag_autograd_functional_jacobian(cube, AG_LIST(x));         jacobian.at[0]: of x's shape, twice
 *     ag_functional r = ag_autograd_functional_vjp(cube, AG_LIST(x), AG_LIST(v));   r.vjp.at[0]: of x's shape
 *
 * A function is of the kind that ag_gradcheck takes. It is given Variables with the numbers of the inputs that want a
 * gradient, whether the inputs do or not, and grad mode is on; .grad stays as it is everywhere.
 *
 * create_graph: the results can be differentiated again, by the inputs and by what the function reads.
 * strict: where an output does not depend on an input the call is an error, which otherwise gives zeros.
 *
 * What is returned, the lists' arrays included, is the scope's. On failure the lists are empty (n is 0), and an error
 * stands: AG_EINVAL, AG_ENOMEM, and what the function or the walk back leave.
 */
#ifndef ARGENT_FUNCTIONAL_H
#define ARGENT_FUNCTIONAL_H
#include <argent/gradcheck.h>

AG_BEGIN_DECLS

typedef struct ag_functional {
    ag_list func_output; /* the function's outputs */
    union {              /* by the name of the call that made it */
        ag_list vjp, jvp, vhp, hvp;
    };
} ag_functional;

/* clang-format off */
/* vjp[i] = sum over outputs of v[o]^T (d output[o] / d input[i]), in the shape of input i. v: one Variable an output, in
 * its shape; left out: the only output has one element, v is 1. */
#define AG_ARGS_autograd_functional_vjp(must, may) \
    must(GradcheckFunction, function)              \
    must(Tensors, inputs)                          \
    may(Tensors, v, { 0, NULL })                   \
    may(Bool, create_graph, false)                 \
    may(Bool, strict, false)                       \
    may(User, user, NULL)
/* jvp[o] = sum over inputs of (d output[o] / d input[i]) v[i], in the shape of output o; by two walks back. v: one
 * Variable an input, in its shape; left out: the only input has one element, v is 1. */
#define AG_ARGS_autograd_functional_jvp(must, may) AG_ARGS_autograd_functional_vjp(must, may)
/* H is the matrix of second derivatives of a function with one output of one element: vhp = v^T H, hvp = H v, both in the
 * inputs' shapes. v as for jvp. Where H is symmetric they are the same and vhp is faster. */
#define AG_ARGS_autograd_functional_vhp(must, may) AG_ARGS_autograd_functional_vjp(must, may)
#define AG_ARGS_autograd_functional_hvp(must, may) AG_ARGS_autograd_functional_vjp(must, may)
/* clang-format on */
#define ag_autograd_functional_vjp(...) AG_CALL(autograd_functional_vjp, __VA_ARGS__)
#define ag_autograd_functional_jvp(...) AG_CALL(autograd_functional_jvp, __VA_ARGS__)
#define ag_autograd_functional_vhp(...) AG_CALL(autograd_functional_vhp, __VA_ARGS__)
#define ag_autograd_functional_hvp(...) AG_CALL(autograd_functional_hvp, __VA_ARGS__)
AG_DECLARE_AS(autograd_functional_vjp, ag_functional)
AG_DECLARE_AS(autograd_functional_jvp, ag_functional)
AG_DECLARE_AS(autograd_functional_vhp, ag_functional)
AG_DECLARE_AS(autograd_functional_hvp, ag_functional)

/* d output[o] / d input[i] of every output by every input, in the shape of output o followed by that of input i, at
 * place o * (number of inputs) + i of the list. One walk back for each element of the outputs. */
#define AG_ARGS_autograd_functional_jacobian(must, may)                                                             \
    must(GradcheckFunction, function) must(Tensors, inputs) may(Bool, create_graph, false) may(Bool, strict, false) \
        may(User, user, NULL)
#define ag_autograd_functional_jacobian(...) AG_CALL(autograd_functional_jacobian, __VA_ARGS__)
AG_DECLARE_AS(autograd_functional_jacobian, ag_list)

/* d^2 output / d input[i] d input[k] of a function with one output of one element, in the shape of input i followed by
 * that of input k, at place i * (number of inputs) + k. */
#define AG_ARGS_autograd_functional_hessian(must, may) AG_ARGS_autograd_functional_jacobian(must, may)
#define ag_autograd_functional_hessian(...)            AG_CALL(autograd_functional_hessian, __VA_ARGS__)
AG_DECLARE_AS(autograd_functional_hessian, ag_list)

AG_END_DECLS
#endif
