/* op_rows.h - calls of ops with PyTorch's answers: tests/data/op_answers.txt, read, and made into Variables.
 * tools/record-op-rows.py writes the file from op_rows.txt and describes its lines. */
#ifndef AG_TESTS_OP_ROWS_H
#define AG_TESTS_OP_ROWS_H
#include "support.h"

enum { OP_VALUES = 10, OP_TENSORS = 8, OP_RESULTS = 4 };

/* A Variable of a call: its geometry, and what its elements are drawn from. */
typedef struct op_tensor {
    ag_dtype dtype;
    int ndim;
    int64_t size[8], stride[8], offset;
    char kind; /* 'u': evenly from [low, high), 'k': whole numbers below those, 's': special ones */
    double low, high;
    bool constant;    /* wants no gradient */
    bool any_strides; /* of a result: the strides are nobody's promise */
} op_tensor;

/* A value of a call, by name or (name empty) by position. */
typedef struct op_value {
    char name[24], text[24];
    ag_value_kind kind;
    int64_t i;
    double f;
    int n_ints, first, n_tensors; /* tensor[first ...] */
    int64_t ints[8];
} op_value;

typedef struct op_result {
    op_tensor tensor;
    char memory; /* 's': Variable `owner` itself, 'v': a view of it, '-': its own */
    int owner;
    bool any;      /* what the elements are is nobody's promise */
    char node[40]; /* grad_fn's name, "-", "leaf": none, but a gradient is wanted; "*": any */
    int64_t n;
    const double *element;
} op_result;

typedef struct op_gradient {
    bool none;
    int64_t n;
    const double *element;
} op_gradient;

typedef struct op_case {
    const char *text; /* the call, as in the file */
    char op[40];
    bool special; /* kinks, ties or infinities: no finite differences */
    bool rough;   /* PyTorch's gradient is good to 1e-7 only */
    bool refused;
    const char *sentence; /* in which words, NULL: any */
    int n_values, n_tensors, n_results, n_gradients;
    op_value value[OP_VALUES];
    op_tensor tensor[OP_TENSORS];
    op_result result[OP_RESULTS];
    op_gradient gradient[OP_TENSORS]; /* by the float64 Variables, in order */
} op_case;

typedef struct op_covered { /* an internal op that another's rows reach */
    char op[40], by[40];
} op_covered;

typedef struct op_rows {
    int n, n_covered;
    op_case *at; /* the cases of an op stand together */
    op_covered *covered;
} op_rows;

/* Read once; a file that cannot be read ends the program with a sentence. */
const op_rows *op_rows_all(void);
/* How many ops there are with cases, and the cases of the i-th. With AG_TEST_OP in the environment there is that one
 * only. */
int op_rows_groups(void);
const op_case *op_rows_group(int i, int *n);

/* A case's values, as Variables. */
typedef struct op_call {
    const op_case *of;
    int n_positional, n_named, n_tensors;
    ag_value positional[OP_VALUES];
    ag_named_value named[OP_VALUES];
    Variable *tensor[OP_TENSORS]; /* in order, those of lists too */
    Variable *leaf[OP_TENSORS];   /* the same; of an op that only exists in place, the leaf whose copy is changed */
} op_call;

/* Makes them; those of float64 require gradients if asked for, unless they are constant. */
void op_call_make(op_call *call, const op_case *c, bool requires_grad);
bool op_call_try(op_call *call, const op_case *c, bool requires_grad); /* false if memory is out */
/* The same on a device, in memory of the same strides. */
void op_call_make_on(op_call *call, const op_case *c, ag_device device, bool requires_grad);
/* The same with these Variables in place of those that would require gradients, in order, and where they are. */
void op_call_with(op_call *call, const op_case *c, Variable *const *inputs);
/* Calls the op by its name, from generator seed 0; how many results, 0 on failure. `suffix` is "" or "_". */
int op_call_by_name(const op_call *call, const char *suffix, Variable **out);
/* The value that stands for argument number `position`, called `name`; NULL if it was left out. */
const ag_value *op_call_value(const op_call *call, int position, const char *name);
/* A weight for each element of results that want a gradient: what the recorded gradients were taken with. */
Variable *op_call_weights(Variable *result, int index);
/* Whether two elements of a Variable share memory. */
bool op_tensor_repeats(const op_tensor *x);

/* The typed function of an op. */
typedef struct op_function {
    const char *op;
    int (*call)(const op_call *call, Variable **out); /* how many results; 0 on failure */
    int (*inplace)(const op_call *call, Variable **out);
} op_function;
const op_function *op_function_of(const char *op); /* NULL if there is none */

#endif
