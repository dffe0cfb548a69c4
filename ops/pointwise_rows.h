/* pointwise_rows.h - what a row of pointwise.def becomes, and what its readings offer one another. */
#ifndef AG_POINTWISE_ROWS_H
#define AG_POINTWISE_ROWS_H
#include "autograd/op.h"
#include "ops/cpu/pointwise_kernel.h"

/* What integers are to a row: the third column of pointwise.def. */
typedef enum {
    AG_INTEGERS_to_float,
    AG_INTEGERS_only_float,
    AG_INTEGERS_ring,
    AG_INTEGERS_ring_bool,
    AG_INTEGERS_ring_long,
    AG_INTEGERS_ordered,
    AG_INTEGERS_ordered_bool,
    AG_INTEGERS_ordered_long
} ag_row_integers;

/* Input i is operand first_operand + i, but the mask of where, its input 0, is operand IN_M. */
struct ag_pointwise {
    uint16_t value;        /* the number of its expression; those of the derivatives follow */
    uint8_t n_in;          /* Variables in its argument list */
    uint8_t n_options;     /* numbers after them */
    uint8_t n_derivatives; /* of the last so many inputs */
    uint8_t integers;      /* ag_row_integers */
    bool is_test;          /* the result is bool */
    bool has_mask;         /* input 0 is m */
};
typedef struct ag_pointwise ag_pointwise;

/* The records of the rows, in their order; the hidden rows are not among them. */
typedef const ag_op *ag__row_record(void);
extern ag__row_record *const ag__row_records[];
extern const int ag__n_row_records;
#define HIDDEN_ROW(op, node, integers, inplace, shape, LIST) const ag_op *ag__op_##op(void);
#include "ops/pointwise.def"
/* The backward of all of them (pointwise_apply.c). */
void ag__pointwise_backward(ag_gradients *b);
/* y, which nobody else has seen, already holds the row's value of what its history says: the row's node comes after it.
 * For rows of one input without options whose derivative reads their value only. */
bool ag__pointwise_record(const ag_op *op, ag_variable *y, const void *caller);

/* A Variable for what is computed of these tensors, element by element: of their common shape, laid out as PyTorch lays
 * it out. NULL with an error. */
ag_variable *ag__pointwise_result(Thread *t, const char *op, int n, const ag_tensor *const *in, ag_dtype dtype,
                                  ag_device device);

/* ---- evaluating an expression (pointwise_evaluate.c) ---- */

/* out = expression(operands), broadcast to out's sizes, computed in dtype (bool comes out of a test) and converted to
 * out's type. */
typedef struct ag__evaluation {
    const ag_tensor *out;
    const ag_tensor *operand[AG_N_OPERANDS]; /* those that are read */
    unsigned reads;                          /* bit k: operand k */
    int expression;
    ag_dtype dtype;
    bool is_test;
    const double *options; /* AG_ROW_MAX_OPTIONS of them */
} ag__evaluation;
bool ag__evaluate(const char *op, const ag__evaluation *e);
/* The same on the CPU for arrays of n elements of the right types (dtype, bool for IN_M); for those that are not read
 * any array will do. */
void ag__evaluate_arrays(int expression, ag_dtype dtype, bool is_test, int64_t n, char *out,
                         const void *const in[AG_N_OPERANDS], const double *options);

/* ---- expressions as text (pointwise_formula.c) ---- */

typedef enum {
    AG_FORMULA_OF_OPERANDS,
    AG_FORMULA_GRADIENT, /* g itself */
    AG_FORMULA_NUMBER,   /* a plain number */
    AG_FORMULA_BY_OPTIONS
} ag__formula_kind;
typedef struct ag__formula {
    uint8_t reads; /* bit k: it mentions operand k, whatever the options */
    uint8_t kind;  /* ag__formula_kind */
} ag__formula;
extern ag__formula ag__formulas[AG_N_EXPRESSIONS];
extern bool ag__formulas_are_read;
void ag__formulas_read(void);
/* What is known of it without the options. */
static inline ag__formula ag__formula_of(int expression)
{
    if (__builtin_expect(!__atomic_load_n(&ag__formulas_are_read, __ATOMIC_ACQUIRE), 0)) ag__formulas_read();
    return ag__formulas[expression];
}
/* What it is with these options: one of the first three kinds; *number is set where it is one. */
ag__formula_kind ag__formula_is(int expression, const double *options, double *number);
/* Computed by ops that are recorded where the mode says so. NULL with an error. */
ag_variable *ag__formula_graph(int expression, ag_variable *const operand[AG_N_OPERANDS], const double *options);
const char *ag__formula_text(int expression);

#endif
