/* compare.h - how far a computed Variable is from a recorded one, and how far it may be; see docs/conformance.md. */
#ifndef AG_CONFORMANCE_COMPARE_H
#define AG_CONFORMANCE_COMPARE_H
#include "complaint.h"

#include <argent/argent.h>

/* What an op does to numbers, which decides what is asked of them. */
typedef enum { SAME_BITS, ELEMENTWISE, CANCELLING, REDUCTION, COMPOSITION } number_class;
number_class class_of_op(const char *op);

typedef enum { VALUE, GRADIENT, SECOND_GRADIENT } derivative_order;

typedef struct comparison {
    const char *label; /* "out_0", for the complaint */
    ag_variable *got, *want;
    ag_variable *ref; /* of float32: the same in float64; NULL: not known */
    number_class numbers;
    derivative_order order;
    double floor; /* float64: smaller magnitudes are measured by this one */
    double ratio; /* set: the error, 1 being the largest that is allowed */
} comparison;

/* Shape, type and numbers agree. */
bool compare(comparison *c, complaint *why);

#endif
