/* program_run.h - one program as it runs: what program_run.c, program_backward.c and programs.c share. */
#ifndef AG_CONFORMANCE_PROGRAM_RUN_H
#define AG_CONFORMANCE_PROGRAM_RUN_H
#include "programs.h"
#include "values.h"

enum { MAX_REGISTERS = 1024 };

/* Where a program ended: at an instruction, or in one of these. */
enum { AT_BACKWARD = -1, AT_BACKWARD2 = -2, AT_GRAD2 = -3, NOWHERE = -4 };

typedef struct program {
    const json *at;
    complaint *why;
    ag_variable *reg[MAX_REGISTERS];
    bool retained[MAX_REGISTERS];
    double factor[MAX_REGISTERS]; /* of hooks */
    int n, n_leaves, n_factors;
    int ended;                        /* where the library refused to go on */
    bool as_before;                   /* as PyTorch 1.13 had it; see programs.c */
    ag_variable *kept[MAX_REGISTERS]; /* then: what retain_grad has seen, in place of .grad */
    double worst;
} program;

/* ---- program_run.c ---- */

/* Makes the leaves and runs the code; false where it ended before its last instruction: with the library's error, or
 * with a complaint where it is no program. */
bool run_code(program *p);
bool find_register(program *p, const json *number, int *k);
/* A Variable of these numbers; NULL with a complaint. */
ag_variable *make_variable(program *p, ag_shape_list shape, const json *numbers);
/* A number; NaN and infinities are written as strings. */
double number_of(const json *x);
/* x, which is register k or its gradient, has these numbers. */
bool check_numbers(program *p, const char *what, int k, const ag_variable *x, const json *want);

/* ---- program_backward.c ---- */

/* Differentiates as the program's mode says and compares the gradients; false as run_code. */
bool run_mode(program *p);

#endif
