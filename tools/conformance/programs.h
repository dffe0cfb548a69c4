/* programs.h - random autograd programs with PyTorch's answers, or its errors; see docs/conformance.md. */
#ifndef AG_CONFORMANCE_PROGRAMS_H
#define AG_CONFORMANCE_PROGRAMS_H
#include "json.h"

#include <argent/argent.h>

/* All programs of a file, one a line. Returns the exit status. */
int run_programs(const char *path, const char *json_path);

/* ---- one instruction (program_ops.c) ---- */

enum { MAX_OPERANDS = 8, MAX_RESULTS = 64 };

typedef struct instruction {
    const char *op;
    ag_variable *in[MAX_OPERANDS];
    int n_in;
    const json *attributes; /* {"dim":0}; NULL: none */
    ag_variable *out[MAX_RESULTS];
    int n_out; /* set; 0 where it failed, with the library's error, or a complaint where it is no instruction */
} instruction;
void execute(instruction *i, complaint *why);

#endif
