/* opinfo_run.h - one recorded call as it is checked: what opinfo_case.c and opinfo_gradients.c share. */
#ifndef AG_CONFORMANCE_OPINFO_RUN_H
#define AG_CONFORMANCE_OPINFO_RUN_H
#include "compare.h"
#include "opinfo.h"
#include "values.h"

enum { MAX_OUTPUTS = 1024 };

typedef struct run {
    op_case *c;
    tensor_source from;
    complaint *why;
    number_class numbers;
    char op[256];                  /* as the library calls it */
    bool dumped;                   /* what is to be dumped has been */
    bool swapped;                  /* its first two arguments are */
    const json *want[MAX_OUTPUTS]; /* the recorded results */
    int n_want;
} run;

/* The results of one call. */
typedef struct results {
    ag_variable *out[MAX_OUTPUTS];
    int n;
} results;

/* ---- opinfo_case.c ---- */

/* The name of recorded result k: "out_0"; NULL where it is no tensor. */
const char *result_id(const run *r, int k);
/* The tensor that object[id] names: of "cot", "grad", "ref" ... NULL where there is none. */
ag_variable *named_tensor(run *r, const char *object, const char *id);
/* Compares (label, got, want, ref, order and floor are set), unless today's PyTorch answers otherwise. */
bool compare_with(run *r, comparison x);
bool dump(run *r, const char *id, ag_variable *x);

/* ---- opinfo_gradients.c ---- */

/* Gradients of first and second order. */
bool check_derivatives(run *r, const call_values *v, const results *x);
/* Those of a float32 case's call in float64, against its reference. */
bool check_reference_gradients(run *r, const call_values *v, const results *x);

#endif
