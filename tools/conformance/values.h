/* values.h - the arguments of a recorded call, as ag_call takes them. */
#ifndef AG_CONFORMANCE_VALUES_H
#define AG_CONFORMANCE_VALUES_H
#include "json.h"

#include <argent/argent.h>

enum { MAX_VALUES = 64, MAX_TENSORS = 1024 };

/* Where the Variables of cases are made: --device. */
extern ag_device device_of_cases;

/* Where the numbers of a case's Variables are. */
typedef struct tensor_source {
    const ag_state_dict *tensors; /* NULL: they stand in the case itself, or do not matter */
    const char *prefix;           /* "f64_000" of "f64_000/in_0" */
    bool in_float64;              /* float32 becomes float64 */
} tensor_source;

typedef struct call_input {
    const char *id; /* "in_0" */
    ag_variable *x;
} call_input;
typedef struct call_values {
    ag_value positional[MAX_VALUES];
    ag_named_value named[MAX_VALUES];
    call_input input[MAX_TENSORS]; /* one each, however often it stands among the arguments */
    int n, n_named, n_inputs;
    void *lists; /* memory of the lists among them */
} call_values;

/* `call` and `kwargs` are trees as docs/conformance.md describes them. The Variables belong to the current scope. */
bool make_call(call_values *v, const tensor_source *from, const json *call, const json *kwargs, complaint *why);
void free_call(call_values *v);
ag_variable *find_input(const call_values *v, const char *id);

/* A tensor of the case by its name, "out_0"; NULL with a complaint. Borrowed. */
ag_variable *stored_tensor(const tensor_source *from, const char *id, complaint *why);
bool dtype_of_name(const char *name, ag_dtype *dtype);
/* [2, 3] into size; the number of dimensions, -1 with a complaint. */
int shape_of(const json *list, int64_t *size, complaint *why);

#endif
