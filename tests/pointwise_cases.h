/* pointwise_cases.h - a row of tests for every row of ops/pointwise.def. */
#ifndef AG_TESTS_POINTWISE_CASES_H
#define AG_TESTS_POINTWISE_CASES_H
#include "ops/pointwise_rows.h"
#include "support.h"

typedef struct pointwise_case {
    const char *op;
    ag_named_value options[AG_ROW_MAX_OPTIONS]; /* by name; the rest by default */
    double low, high;     /* operands are drawn from here; a negative low means: of both signs, 0.2 away from zero */
    bool unbounded;       /* it or a derivative grows beyond all numbers, or is not defined everywhere */
    const char *saves[3]; /* the operands that each input's gradient keeps */
} pointwise_case;
extern const pointwise_case pointwise_cases[];
extern const int n_pointwise_cases;

const ag_op *case_op(const pointwise_case *c);
int case_options(const pointwise_case *c);
/* How many of the op's inputs are numbers (where's first is a mask). */
int case_numbers(const pointwise_case *c);

/* float64, in the case's range. */
Variable *case_random(const pointwise_case *c, Shape shape);
/* The op of these inputs, by name; where takes its mask first. */
Variable *case_call(const pointwise_case *c, Variable *const *in);
Variable *case_call_inplace(const pointwise_case *c, Variable *const *in);

/* Shapes in which the operands of an op meet. */
typedef struct pointwise_layout {
    const char *name;
    Shape shape[3], mask, out;
    bool transposed; /* input 0 goes in as its transpose */
} pointwise_layout;
extern const pointwise_layout pointwise_layouts[];
extern const int n_pointwise_layouts;

#endif
