/* gradcheck.h - are the gradients right? Finite differences against backward, as torch.autograd.gradcheck does it. */
#ifndef ARGENT_GRADCHECK_H
#define ARGENT_GRADCHECK_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* The function under test: from n inputs to its outputs. Puts up to AG_GRADCHECK_OUTPUTS Variables into outputs and
 * returns how many, or a negative number on failure (or with an error standing). It is called many times and must give
 * the same each time. */
enum { AG_GRADCHECK_OUTPUTS = 32 };
typedef int ag_gradcheck_function(ag_variable *const *inputs, int n, ag_variable **outputs, void *user);

/* What was found. On failure: where the two first differ, and a sentence. */
typedef struct ag_gradcheck_result {
    bool passed;
    int input, output;        /* by number; -1 where the failure is not at an element */
    int64_t element;          /* of the input, in row-major order */
    int64_t output_element;   /* of the output */
    double analytic, numeric; /* d output_element / d element */
    char message[1024];
} ag_gradcheck_result;

/* clang-format off */
/* Whether backward's Jacobian of every output that requires a gradient by every input that does equals the one by
 * central differences, (f(x + eps) - f(x - eps)) / (2 eps): |analytic - numeric| <= atol + rtol |numeric|, PyTorch's
 * meaning and defaults. Inputs should be float64: where a check of others fails, its message says so. Where no output
 * requires a gradient, none may change with the inputs. Also checked: backward gives the same twice within nondet_tol;
 * a gradient of zeros gives zeros; so it does, for check_undefined_grad, where one of several outputs gets none.
 * Nothing changes, .grad neither. The function runs where its inputs are, on any device; numbers are compared on the
 * host.
 * fast_mode: compares one random combination of all elements instead of each, for large functions; a failure is then
 * looked for element by element.
 * Returns the verdict: false is no error. Errors (a function that fails, no input that requires a gradient, elements
 * that overlap in memory) also give false, and stand.
 *
 *     static int f(Variable *const *x, int n, Variable **y, void *user) { return y[0] = ag_mul(x[0], x[1]), 1; }
 *     if (!ag_gradcheck(f, AG_LIST(a, b), .result = &found)) puts(found.message);
 */
#define AG_ARGS_gradcheck(must, may)      \
    must(GradcheckFunction, function)     \
    must(Tensors, inputs)                 \
    may(User, user, NULL)                 \
    may(Float, eps, 1e-6)                 \
    may(Float, atol, 1e-5)                \
    may(Float, rtol, 1e-3)                \
    may(Float, nondet_tol, 0)             \
    may(Bool, check_undefined_grad, true) \
    may(Bool, fast_mode, false)           \
    may(GradcheckResult, result, NULL)
#define AG_TYPE_GradcheckFunction ag_gradcheck_function *
#define AG_TYPE_GradcheckResult   ag_gradcheck_result *
#define ag_gradcheck(...)         AG_CALL(gradcheck, __VA_ARGS__)
AG_DECLARE_AS(gradcheck, bool)

/* The same for the gradients of gradients: the function that maps (inputs, grad_outputs) to the gradients of the inputs
 * is gradchecked. In the result, output is the number of the input whose gradient differs, and input one of the inputs
 * or, counting on, of the grad_outputs.
 * grad_outputs: one for each output that requires a gradient; left out: drawn from a fixed seed that leaves the default
 * generator alone.
 * gen_non_contig_grad_outputs: draw them with gaps between their elements. */
#define AG_ARGS_gradgradcheck(must, may)          \
    must(GradcheckFunction, function)             \
    must(Tensors, inputs)                         \
    may(User, user, NULL)                         \
    may(Tensors, grad_outputs, { 0, NULL })       \
    may(Float, eps, 1e-6)                         \
    may(Float, atol, 1e-5)                        \
    may(Float, rtol, 1e-3)                        \
    may(Float, nondet_tol, 0)                     \
    may(Bool, gen_non_contig_grad_outputs, false) \
    may(Bool, check_undefined_grad, true)         \
    may(Bool, fast_mode, false)                   \
    may(GradcheckResult, result, NULL)
#define ag_gradgradcheck(...) AG_CALL(gradgradcheck, __VA_ARGS__)
AG_DECLARE_AS(gradgradcheck, bool)
/* clang-format on */

AG_END_DECLS
#endif
