/* opinfo.h - recorded calls of ops, held against the library; see docs/conformance.md. */
#ifndef AG_CONFORMANCE_OPINFO_H
#define AG_CONFORMANCE_OPINFO_H
#include "files.h"
#include "json.h"
#include "report.h"

#include <argent/argent.h>

typedef struct options {
    const char *op;        /* only this entry, or all variants of it; NULL: all */
    const char *dtype;     /* only cases of this type; NULL: all */
    const char *json;      /* where records go; NULL: nowhere */
    const char *dump;      /* a folder for what was computed; NULL: none */
    const char *required;  /* a list of entries that may not be skipped */
    const char *differs;   /* a list of tensors that are not compared, as PyTorch answers otherwise today */
    const char *not_there; /* of a device: a list of entries that it has not, or draws otherwise; NULL: none */
    bool list_unsupported;
} options;

/* All cases of the folders. Returns the exit status. */
int run_opinfo(const options *o, int n_folders, char *const *folders);

/* ---- one case (opinfo_case.c) ---- */

typedef struct op_case {
    const json *at;
    const char *op, *name; /* "nn.functional.conv2d", "f64_000" */
    const ag_state_dict *tensors;
    ag_state_dict *dump;       /* NULL: nothing is dumped */
    const text_lines *differs; /* "abs *\/gg_0 why": entry, pattern of "<case>/<tensor>" */
    const char *entry;
    double worst;     /* set */
    int64_t n_differ; /* set: how many comparisons were left out */
} op_case;

/* What the op is called in the library: "add" for Python's "__radd__", whose first two arguments are swapped. NULL
 * where there is none. (__rpow__ is more than that: it copies its base, and so cuts it off from its history.) */
const char *name_in_library(const char *op, char *room, size_t n, bool *swapped);
bool run_case(op_case *c, complaint *why);

#endif
