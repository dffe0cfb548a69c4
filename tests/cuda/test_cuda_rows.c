/* test_cuda_rows.c - every expression of every row on the device, in every type that it knows, against the plain loops
 * of the CPU, from arrays and from other layouts. */
#include "tests/cuda/cuda_cases.h"

#include "ops/cpu/isa.h"
#include "ops/cpu/pointwise_reference.h"
#include "ops/pointwise_rows.h"
#include "tensor/device_table.h"

AG_ISA_TABLES_NARROW(ag__integer_loops, ag__pointwise_integer)

static const struct {
    const char *name;
    bool is_test;
} expressions[AG_N_EXPRESSIONS] = {
#define VALUE(op, integers, LIST, v)    { #op, false },
#define VALUE_IS(op, integers, LIST, v) { #op, true },
#define DERIVATIVE(op, part, LIST, v)   { #op "'s " #part, false },
#include "ops/pointwise.def"
};

enum { ROWS = 13, COLUMNS = 12, N = ROWS * COLUMNS };
static const double options[AG_ROW_MAX_OPTIONS] = { 0.7, 1.3, 1 }, whole_options[AG_ROW_MAX_OPTIONS] = { 2, 3, 1 };
static Variable *here[AG_N_DTYPES][AG_N_OPERANDS], *there[AG_N_DTYPES][AG_N_OPERANDS];

/* Numbers of several magnitudes, then each special one with each other one. */
static void draw_operands(ag_dtype dtype)
{
    static const double special[12] = { 0, -0.0, INFINITY, -INFINITY, NAN, 100, -100, 1e-40, 1, -1, 0.5, 2 };
    for (int k = 0; k < AG_N_OPERANDS; k++) {
        double value[N];
        Variable *drawn = support_draw(AG_SHAPE(N), AG_FLOAT64, 4);
        for (int i = 0; i < N; i++) {
            value[i] = support_at(drawn, i);
            if (i >= COLUMNS) value[i] = special[k % 2 ? i / 12 - 1 : i % 12];
            if (dtype > AG_FLOAT64) value[i] = i < COLUMNS ? trunc(value[i]) : special[k % 2 ? i / 12 - 1 : i % 12];
            if (dtype > AG_FLOAT64 && !(fabs(value[i]) <= 100)) value[i] = 3;
        }
        here[dtype][k] = ag_to(ag_tensor(value, AG_SHAPE(ROWS, COLUMNS)), .dtype = k == IN_M ? AG_BOOL : dtype);
        there[dtype][k] = ag_to(here[dtype][k], AG_CUDA);
    }
}

static void check(int expression, ag_dtype dtype, Variable *y, Variable *wanted, const char *how)
{
    Variable *back = ag_to(y, AG_CPU);
    OK(back);
    for (int i = 0; i < N; i++) {
        double a = support_at(back, i), b = support_at(wanted, i);
        double tolerance = dtype == AG_FLOAT32 ? 4e-7 : dtype == AG_FLOAT64 ? 1e-15 : 0;
        if ((isnan(a) && isnan(b)) || a == b || fabs(a - b) <= tolerance * fabs(b)) continue;
        ck_abort_msg("%s (%s, %s): element %d is %.17g, wanted %.17g", expressions[expression].name,
                     ag_dtype_name(dtype), how, i, a, b);
    }
}

static void run(int expression, ag_dtype dtype, ag__loop *loop)
{
    const bool is_test = expressions[expression].is_test;
    const double *option = dtype <= AG_FLOAT64 ? options : whole_options;
    const ag_dtype result = is_test ? AG_BOOL : dtype;
    const void *in[AG_N_OPERANDS];
    Variable *wanted = ag_empty(AG_SHAPE(ROWS, COLUMNS), .dtype = result);
    for (int k = 0; k < AG_N_OPERANDS; k++) in[k] = here[dtype][k]->tensor.data;
    loop(N, wanted->tensor.data, in, option);
    ag__evaluation e = { .expression = expression,
                         .dtype = dtype,
                         .is_test = is_test,
                         .options = option,
                         .reads = ag__formula_of(expression).reads };
    if (!(e.reads & ~(1u << IN_M))) e.reads |= 1u << IN_A;
    for (int k = 0; k < AG_N_OPERANDS; k++) e.operand[k] = &there[dtype][k]->tensor;
    Variable *y = ag_empty(AG_SHAPE(ROWS, COLUMNS), .dtype = result, .device = AG_CUDA);
    e.out = &y->tensor;
    OK(ag__evaluate("flat", &e));
    check(expression, dtype, y, wanted, "arrays");
    Variable *wide = ag_empty(AG_SHAPE(COLUMNS, ROWS), .dtype = result, .device = AG_CUDA);
    y = ag_transpose(wide, 0, 1);
    e.out = &y->tensor;
    OK(ag__evaluate("strided", &e));
    check(expression, dtype, ag_contiguous(y), wanted, "transposed");
}

START_TEST(every_row_in_every_type)
{
    for (int d = 0; d < AG_N_DTYPES; d++) {
        ag_dtype dtype = (ag_dtype)d;
        draw_operands(dtype);
        for (int k = 0; k < AG_N_EXPRESSIONS; k++) {
            ag__loop *loop = d <= AG_FLOAT64 ? ag__pointwise_reference.at[k][d]
                                             : AG_ISA_PICK(ag__pointwise_integer)->at[k][d - AG_INT64];
            AG_SCOPE;
            if (loop) run(k, dtype, loop);
        }
        OK(ag_full(AG_SHAPE(3), 1, .dtype = dtype, .device = AG_CUDA));
        OK(ag_sum(there[dtype][IN_A]));
        OK(ag_prod(there[dtype][IN_A]));
    }
}
END_TEST

SUPPORT_MAIN("cuda/rows", every_row_in_every_type)
