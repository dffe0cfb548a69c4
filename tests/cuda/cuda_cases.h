/* cuda_cases.h - what the suites on CUDA share. */
#ifndef AG_TESTS_CUDA_CASES_H
#define AG_TESTS_CUDA_CASES_H
#include "support.h"

/* x and y, both on the CPU, have the same type, shape and numbers (NaN is NaN), within tolerance * max(1, |y|). */
#define cuda_same(x, y, tolerance) cuda_same_at((x), (y), (tolerance), #x " and " #y, __FILE__, __LINE__)
void cuda_same_at(Variable *x, Variable *y, double tolerance, const char *text, const char *file, int line);

/* The same function of x there and here: its value; where x is float64 and the value wants a gradient, that too, and
 * the gradient of the sum of that one's squares. x has no history. */
#define cuda_same_function(f, x, tolerance) cuda_same_function_at((f), (x), (tolerance), #f, __FILE__, __LINE__)
void cuda_same_function_at(Variable *(*f)(Variable *), Variable *x, double tolerance, const char *text,
                           const char *file, int line);

/* The emulation of cuda/host/ is the plug-in: then its functions are there. NULL on a GPU. */
void *cuda_emulation(const char *function);
/* How many kernels the emulation has launched so far, copies of other strides and fills included; -1 on a GPU. */
int cuda_launches(void);
/* How often the host has waited for the device; always 0 on a GPU. */
uint64_t cuda_waits(void);

#endif
