/* call.h - every op by its name: what it takes, and a way to call it with values from elsewhere (a file, a script).
 *
 * The entries are made from the ops' own argument lists; the typed functions are fronts of the same records.
 */
#ifndef ARGENT_CALL_H
#define ARGENT_CALL_H
#include <argent/variable.h>

AG_BEGIN_DECLS

typedef struct ag_op ag_op;

typedef enum {
    AG_VALUE_NONE,
    AG_VALUE_TENSOR,
    AG_VALUE_TENSORS,
    AG_VALUE_INT,
    AG_VALUE_FLOAT,
    AG_VALUE_BOOL,
    AG_VALUE_STR,
    AG_VALUE_INTS,
    AG_VALUE_DTYPE,
    AG_VALUE_DEVICE,
    AG_VALUE_GENERATOR
} ag_value_kind;

typedef struct ag_value {
    ag_value_kind kind;
    union {
        ag_variable *tensor;
        ag_list tensors;
        int64_t i;
        double f;
        bool b;
        const char *s;
        ag_shape_list ints;
        ag_dtype dtype;
        ag_device device;
        ag_generator *generator;
    };
} ag_value;

typedef struct ag_named_value {
    const char *name;
    ag_value value;
} ag_named_value;

/* ag_call("conv2d", 2, (ag_value[]){ ag_of(x), ag_of(w) }, 1, (ag_named_value[]){ { "stride", ag_of(2) } }, &y, 1)
 *
 * name: as PyTorch spells it after torch. or torch.nn.functional., with its overloads ("max" takes one argument, two
 * Variables for max.other, or a dimension for max.dim), or ours ("max_dim"); an ending _ is the in-place form. Values
 * bind as Python binds: in order, then by name, the rest by default; a number stands for a Variable where PyTorch takes
 * one (mul(x, 2)), a Variable without dimensions for a number, one int for a list of them, None for a default of None.
 * out: room for `room` results, filled in order. Returns how many results there are; 0 on failure, with an error. */
AG_API int ag_call(const char *name, int n, const ag_value *positional, int n_named, const ag_named_value *named,
                   ag_variable **out, int room);

/* The records, in order of their names; NULL past the last. Names that begin with _ are steps of other ops, and
 * overloads that go by PyTorch's names: they cannot be called by that name. */
AG_API const ag_op *ag_op_at(int index);
/* The record of that name (the first overload); NULL without an error if there is none. */
AG_API const ag_op *ag_op_find(const char *name);
AG_API const char *ag_op_name(const ag_op *op);
/* Whether the op has an in-place form, called by its name and an ending _. */
AG_API bool ag_op_has_inplace(const ag_op *op);
/* "conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, ...) -> Tensor": as snprintf. */
AG_API size_t ag_op_schema(const ag_op *op, char *text, size_t room);

/* clang-format off */
static inline ag_value ag_of_tensor(ag_variable *v) { ag_value r; r.kind = AG_VALUE_TENSOR; r.tensor = v; return r; }
static inline ag_value ag_of_int(int64_t v) { ag_value r; r.kind = AG_VALUE_INT; r.i = v; return r; }
static inline ag_value ag_of_float(double v) { ag_value r; r.kind = AG_VALUE_FLOAT; r.f = v; return r; }
static inline ag_value ag_of_bool(bool v) { ag_value r; r.kind = AG_VALUE_BOOL; r.b = v; return r; }
static inline ag_value ag_of_str(const char *v) { ag_value r; r.kind = AG_VALUE_STR; r.s = v; return r; }
static inline ag_value ag_of_list(ag_list v) { ag_value r; r.kind = AG_VALUE_TENSORS; r.tensors = v; return r; }
static inline ag_value ag_of_ints(ag_shape_list v) { ag_value r; r.kind = AG_VALUE_INTS; r.ints = v; return r; }
static inline ag_value ag_of_dtype(ag_dtype v) { ag_value r; r.kind = AG_VALUE_DTYPE; r.dtype = v; return r; }
static inline ag_value ag_of_device(ag_device v) { ag_value r; r.kind = AG_VALUE_DEVICE; r.device = v; return r; }
static inline ag_value ag_of_generator(ag_generator *v) { ag_value r; r.kind = AG_VALUE_GENERATOR; r.generator = v; return r; }
static inline ag_value ag_of_none(void) { ag_value r; r.kind = AG_VALUE_NONE; r.i = 0; return r; }
/* A value of whatever it is. C takes an ag_dtype for an int: there it is ag_of_dtype(AG_FLOAT64). */
#ifndef __cplusplus
#define ag_of(value)                            \
    _Generic((value),                           \
             ag_variable *: ag_of_tensor,       \
             ag_list: ag_of_list,               \
             ag_shape_list: ag_of_ints,         \
             ag_device: ag_of_device,           \
             ag_generator *: ag_of_generator,   \
             bool: ag_of_bool,                  \
             float: ag_of_float,                \
             double: ag_of_float,               \
             char *: ag_of_str,                 \
             const char *: ag_of_str,           \
             default: ag_of_int)(value)
#endif
/* clang-format on */

AG_END_DECLS

#ifdef __cplusplus
/* clang-format off */
inline ag_value ag_of(ag_variable *v) { return ag_of_tensor(v); }
inline ag_value ag_of(ag_list v) { return ag_of_list(v); }
inline ag_value ag_of(ag_shape_list v) { return ag_of_ints(v); }
inline ag_value ag_of(ag_dtype v) { return ag_of_dtype(v); }
inline ag_value ag_of(ag_device v) { return ag_of_device(v); }
inline ag_value ag_of(ag_generator *v) { return ag_of_generator(v); }
inline ag_value ag_of(bool v) { return ag_of_bool(v); }
inline ag_value ag_of(double v) { return ag_of_float(v); }
inline ag_value ag_of(float v) { return ag_of_float(v); }
inline ag_value ag_of(const char *v) { return ag_of_str(v); }
inline ag_value ag_of(int v) { return ag_of_int(v); }
inline ag_value ag_of(long v) { return ag_of_int(v); }
inline ag_value ag_of(long long v) { return ag_of_int(v); }
/* clang-format on */
#endif
#endif
