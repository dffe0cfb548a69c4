/* variable.h - the Variable: numbers in a shape that may remember how they were made, and may want a gradient.
 *
 * Every function that makes a Variable hands it to the innermost open scope (scope.h), so calls nest and nothing is
 * freed by hand. Attributes are functions: x.shape is ag_shape(x), x.grad is ag_grad(x).
 */
#ifndef ARGENT_VARIABLE_H
#define ARGENT_VARIABLE_H
#include <argent/args.h>
#include <argent/error.h>

#include <stdio.h>

AG_BEGIN_DECLS

typedef struct ag_node ag_node;
#ifndef AG_NO_SHORT_NAMES
typedef ag_node Node;
#endif

/* ---- shape and type. Of NULL: 0, NULL, AG_DTYPE_DEFAULT, false. ---- */
AG_API int ag_dim(const ag_variable *x);                   /* how many dimensions, 0 to 8 */
AG_API ag_shape_list ag_shape(const ag_variable *x);       /* the sizes; valid as long as x */
AG_API int64_t ag_size(const ag_variable *x, int64_t dim); /* one size; dim may count from the end; -1 with an error */
AG_API int64_t ag_numel(const ag_variable *x);             /* how many elements */
AG_API ag_shape_list ag_stride(const ag_variable *x);      /* steps in elements, one a dimension */
AG_API int64_t ag_storage_offset(const ag_variable *x);    /* of the first element in its storage, in elements */
AG_API ag_dtype ag_dtype_of(const ag_variable *x);
AG_API ag_device ag_device_of(const ag_variable *x);
AG_API bool ag_is_contiguous(const ag_variable *x);
AG_API bool ag_is_floating_point(const ag_variable *x);

/* ---- the numbers ---- */
/* The only element, as a number (x.item()); NaN with an error if there is not exactly one. */
AG_API double ag_item(const ag_variable *x);
AG_API int64_t ag_item_int64(const ag_variable *x); /* 0 with an error */
/* The first element's address (CPU only; NULL with an error otherwise, and of an empty Variable NULL). The elements lie
 * by ag_stride. */
AG_API const void *ag_data(const ag_variable *x);
/* The same to write through; counts as an in-place change: the version goes up, and a backward that needs the old
 * numbers is an error. */
AG_API void *ag_data_mutable(ag_variable *x);
/* All elements in row-major order, converted to `dtype`, into out (room for ag_numel(x) of them). */
AG_API bool ag_copy_to(const ag_variable *x, void *out, ag_dtype dtype);

/* ---- gradient ---- */
AG_API bool ag_requires_grad(const ag_variable *x);
/* x.requires_grad_(on): on a leaf of a floating type only. Returns x. */
AG_API ag_variable *ag_requires_grad_set(ag_variable *x, bool on);
#define AG_PICK_REQUIRES_(a, b, pick, ...) pick
AG_API ag_variable *ag_requires_grad_on(ag_variable *x);
#define ag_requires_grad_(...) AG_PICK_REQUIRES_(__VA_ARGS__, ag_requires_grad_set, ag_requires_grad_on, 0)(__VA_ARGS__)
AG_API bool ag_is_leaf(const ag_variable *x); /* made by the user, or wants no gradient */
/* What backward has added up so far; NULL before the first, without an error. Borrowed: valid until the next change of
 * x.grad. */
AG_API ag_variable *ag_grad(const ag_variable *x);
/* x.grad = g; g may be AG_NONE (no gradient). Same shape, type and device. */
AG_API bool ag_set_grad(ag_variable *x, ag_variable *g);
/* The node that made x, NULL for a leaf. Borrowed from x. */
AG_API ag_node *ag_grad_fn(const ag_variable *x);
AG_API const char *ag_node_name(const ag_node *node); /* "MulBackward0" */
/* What is behind input i of a node (grad_fn.next_functions): a node and which of its outputs; or a leaf, where the name
 * is PyTorch's for what adds to its .grad, "AccumulateGrad"; or nothing (all NULL), where no gradient is wanted. false
 * past the last input. Borrowed. */
typedef struct ag_next {
    ag_node *node;
    ag_variable *leaf;
    int output_nr;
    const char *name;
} ag_next;
AG_API bool ag_next_function(const ag_node *node, int i, ag_next *next);
AG_API int ag_output_nr(const ag_variable *x); /* which of its node's outputs x is */
/* x's numbers without its history: shares the storage and its version, never requires a gradient. ag_detach_ cuts x
 * itself off. */
AG_API ag_variable *ag_detach(ag_variable *x);
AG_API ag_variable *ag_detach_(ag_variable *x);
/* x.retain_grad(): a non-leaf's gradient is kept in x.grad, too. */
AG_API bool ag_retain_grad(ag_variable *x);
AG_API bool ag_retains_grad(const ag_variable *x);
/* How often the storage has been changed in place (x._version); shared by views. -1 with an error of an inference
 * tensor. */
AG_API int64_t ag_version(const ag_variable *x);
/* x was made in inference mode (autograd.h), or is a view of such a one: it has no version. */
AG_API bool ag_is_inference(const ag_variable *x);
AG_API bool ag_is_view(const ag_variable *x); /* x._is_view(): shares another Variable's storage, differentiably */
/* Two Variables on the same memory. */
AG_API bool ag_shares_storage(const ag_variable *a, const ag_variable *b);

/* ---- from and to host memory ---- */
/* A copy of `shape` elements of `dtype`, row-major, from the caller's memory. */
AG_API ag_variable *ag_tensor_from(const void *data, ag_shape_list shape, ag_dtype dtype);
/* The caller's memory itself, not copied: deleter(data, user) is called when the last view of it goes (and on failure);
 * NULL: the caller keeps it alive. strides AG_SCALAR_SHAPE: row-major. data must be aligned to its element. */
AG_API ag_variable *ag_from_blob(void *data, ag_shape_list shape, ag_shape_list strides, ag_dtype dtype,
                                 void (*deleter)(void *data, void *user), void *user);
/* torch.tensor, a copy: ag_tensor(((float[]){ 1, 2, 3, 4 }), AG_SHAPE(2, 2), .requires_grad = true). The type is the
 * array's unless .dtype is given. Of an array of arrays (float points[100][2]) hand over the first row: *points. */
typedef struct ag_numbers {
    const void *at;
    ag_dtype dtype;
} ag_numbers;
#define AG_TYPE_Numbers ag_numbers
#define AG_ARGS_tensor(must, may)                                                                                 \
    must(Numbers, data) must(Shape, shape) may(Dtype, dtype, AG_DTYPE_DEFAULT) may(Device, device, AG_ANY_DEVICE) \
        may(Bool, requires_grad, false)
AG_DECLARE(tensor)
#ifndef __cplusplus
/* clang-format off */
#define ag_tensor(array, ...) AG_CALL(tensor, AG_NUMBERS_(array), __VA_ARGS__)
#define AG_NUMBERS_(array)                           \
    ((ag_numbers){ (array),                          \
                   _Generic(*(array),                \
                            float: AG_FLOAT32,       \
                            double: AG_FLOAT64,      \
                            long: AG_INT64,          \
                            long long: AG_INT64,     \
                            int: AG_INT32,           \
                            unsigned char: AG_UINT8, \
                            bool: AG_BOOL) })
/* clang-format on */
#endif

/* A number as a 0-dim Variable that does not promote (x * 2 keeps x's type): kept for reuse, so it cannot be
 * changed. */
AG_API ag_variable *ag_scalar_double(double value);
AG_API ag_variable *ag_scalar_int64(int64_t value);
AG_API ag_variable *ag_scalar_bool(bool value);
#ifndef __cplusplus
/* clang-format off */
#define ag_scalar(value)               \
    _Generic((value),                  \
             float: ag_scalar_double,  \
             double: ag_scalar_double, \
             bool: ag_scalar_bool,     \
             default: ag_scalar_int64)(value)
/* clang-format on */
#endif

/* ---- printing ---- */
/* As print(x) prints in PyTorch: "tensor([[1., 2.],\n        [3., 4.]])". As snprintf: the length it would have. */
AG_API size_t ag_repr(const ag_variable *x, char *text, size_t room);
/* The same into a file, with a newline. Takes no memory. false for NULL, and with AG_EIO where the file does not take
 * it. */
AG_API bool ag_print(const ag_variable *x, FILE *file);
/* For a debugger: `call ag_show(x)` prints x, its node and its flags on stderr. */
AG_API void ag_show(const ag_variable *x);

/* ---- what is alive ---- */
/* Prints one line for each Variable that is still alive in the process: shape, type, the op that made it and the
 * caller's address. Returns how many there are. file may be NULL: only count. */
AG_API int64_t ag_leaks(FILE *file);

AG_END_DECLS

#ifdef __cplusplus
/* clang-format off */
inline ag_numbers ag_numbers_of(const float *data) { return ag_numbers{ data, AG_FLOAT32 }; }
inline ag_numbers ag_numbers_of(const double *data) { return ag_numbers{ data, AG_FLOAT64 }; }
inline ag_numbers ag_numbers_of(const long *data) { return ag_numbers{ data, AG_INT64 }; }
inline ag_numbers ag_numbers_of(const long long *data) { return ag_numbers{ data, AG_INT64 }; }
inline ag_numbers ag_numbers_of(const int *data) { return ag_numbers{ data, AG_INT32 }; }
inline ag_numbers ag_numbers_of(const unsigned char *data) { return ag_numbers{ data, AG_UINT8 }; }
inline ag_numbers ag_numbers_of(const bool *data) { return ag_numbers{ data, AG_BOOL }; }
template <class T>
inline ag_variable *ag_tensor(const T *array, ag_shape_list shape, ag_dtype dtype = AG_DTYPE_DEFAULT,
                              ag_device device = AG_ANY_DEVICE, bool requires_grad = false)
{ return ag_tensor_call(ag_address(ag_tensor_args{ ag_numbers_of(array), shape, dtype, device, requires_grad })); }
inline ag_variable *ag_scalar(double value) { return ag_scalar_double(value); }
inline ag_variable *ag_scalar(float value) { return ag_scalar_double(value); }
inline ag_variable *ag_scalar(bool value) { return ag_scalar_bool(value); }
inline ag_variable *ag_scalar(int value) { return ag_scalar_int64(value); }
inline ag_variable *ag_scalar(long value) { return ag_scalar_int64(value); }
inline ag_variable *ag_scalar(long long value) { return ag_scalar_int64(value); }
/* clang-format on */
#endif
#endif
