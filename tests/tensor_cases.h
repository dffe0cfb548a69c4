/* tensor_cases.h - what the test_tensor_ suites share: recorded cases read line by line, and tensors on a test's own
 * memory. */
#ifndef TENSOR_CASES_H
#define TENSOR_CASES_H
#include "tensor/tensor.h"

#include <check.h>
#include <stdio.h>

/* The lines of a file in tests/data that begin with `kind`. */
typedef struct cases {
    FILE *file;
    const char *kind;
    int n; /* which case this is, from 1 */
    char line[2048], *at;
} cases;
cases cases_open(const char *file, const char *kind);
bool cases_next(cases *c); /* false after the last, and the file is closed */
const char *cases_word(cases *c);
int64_t cases_int(cases *c);
ag_dtype cases_dtype(cases *c);
ag_tensor cases_layout(cases *c); /* ndim, sizes, strides; without memory, float32 */

ag_tensor tensor_on(void *data, ag_dtype dtype, int ndim, const int64_t *size, const int64_t *stride);
/* Element number i in row-major order. */
char *tensor_at(const ag_tensor *x, int64_t i);

/* The standing error is this sentence; it is cleared. */
void error_is(const char *sentence);

/* Runs one suite. */
int run_suite(Suite *suite);

#endif
