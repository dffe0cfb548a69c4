/* tensor.h - numbers in a shape: what kernels see. A Variable begins with one; nothing here knows of gradients.
 *
 * Element (i0, i1, ...) lies at data + (i0 stride[0] + i1 stride[1] + ...) * size of an element. Strides count
 * elements, never negative; 0 repeats one element (an expanded dimension).
 */
#ifndef AG_TENSOR_H
#define AG_TENSOR_H
#include "tensor/storage.h"

#include <argent/args.h>

enum { AG_MAX_DIMS = 8 };

typedef struct ag_tensor {
    char *data; /* the first element */
    ag_storage *storage;
    int64_t numel;
    uint8_t dtype; /* ag_dtype */
    uint8_t ndim;
    bool contiguous; /* row-major without gaps; dimensions of size 1 have no say */
    bool wrapped;    /* a number from ag_scalar: does not promote */
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
} ag_tensor;

static inline ag_device ag__tensor_device(const ag_tensor *x) { return x->storage->device; }
static inline size_t ag__itemsize(const ag_tensor *x)
{
    static const uint8_t size[AG_N_DTYPES] = { 4, 8, 8, 4, 1, 1 };
    return size[x->dtype];
}
static inline bool ag__same_sizes(const ag_tensor *a, const ag_tensor *b)
{
    if (a->ndim != b->ndim) return false;
    for (int d = 0; d < a->ndim; d++)
        if (a->size[d] != b->size[d]) return false;
    return true;
}

/* ---- shapes (tensor/shape.c) ---- */

/* The product of the sizes; -1 where one is negative or the product passes AG_MOST_ELEMENTS: with fewer, what a
 * Variable reaches over can be counted in bytes. */
#define AG_MOST_ELEMENTS ((int64_t)1 << 56)
int64_t ag__numel_of(int ndim, const int64_t *size);
/* Row-major strides. */
void ag__contiguous_strides(int ndim, const int64_t *size, int64_t *stride);
/* A dimension of one element or none may be given any stride. It keeps one that can be counted in bytes. */
static inline int64_t ag__kept_stride(int64_t size, int64_t stride)
{
    return size > 1 || stride < AG_MOST_ELEMENTS ? stride : AG_MOST_ELEMENTS;
}
/* The strides of a memory format; AG_BATCH_LAST puts the first dimension innermost, AG_CHANNELS_LAST, of four
 * dimensions, the second. */
void ag__format_strides(int ndim, const int64_t *size, ag_memory_format format, int64_t *stride);
bool ag__is_contiguous(int ndim, const int64_t *size, const int64_t *stride);
/* Every element once and no gaps, in some order of the dimensions. */
bool ag__is_dense(int ndim, const int64_t *size, const int64_t *stride);
/* Two indices of one Variable may name the same element (an expanded dimension, or worse). */
bool ag__overlaps_itself(const ag_tensor *x);
/* No memory in common: 0; exactly the same elements in the same order: 1; anything else: 2. */
int ag__overlap(const ag_tensor *a, const ag_tensor *b);
/* PyTorch's strides of a fresh result of shape `size` computed element by element from these inputs (already of that
 * shape after broadcasting): dense, its dimensions in the order of the inputs' strides. */
void ag__result_strides(int ndim, const int64_t *size, int n, const ag_tensor *const *in, int64_t *stride);
/* Broadcast: align at the last dimension; equal, one, or absent. false with PyTorch's sentence. Sets *ndim and
 * size[]. */
bool ag__broadcast(const char *op, int n, const ag_tensor *const *in, int *ndim, int64_t *size);
/* The strides with which x lies under a wider shape it broadcasts to: 0 where it repeats. */
void ag__broadcast_strides(const ag_tensor *x, int ndim, const int64_t *size, int64_t *stride);
/* A view of other sizes and the same elements: its strides, or false where only a copy would do (PyTorch's
 * computeStride). */
bool ag__view_strides(const ag_tensor *x, int ndim, const int64_t *size, int64_t *stride);
/* -1 in one place becomes what is left. false with PyTorch's sentence
 * ("shape '[2, -1]' is invalid for input of size 5"). */
bool ag__infer_size(const char *op, ag_shape_list shape, int64_t numel, int64_t *size);
/* A dimension from the end becomes one from the start; a 0-dim Variable takes -1 and 0. -1 on failure, with PyTorch's
 * "Dimension out of range (expected to be in range of [-2, 1], but got 3)". */
int ag__wrap_dim(const char *op, int64_t dim, int ndim);
/* A Dims argument as a bit mask over ndim dimensions; AG_ALL and none: all of them. false with a sentence (out of
 * range, twice). */
bool ag__dims_mask(const char *op, ag_dims dims, int ndim, uint32_t *mask);
/* The parts of a Dims argument; how many there are, -1 for AG_ALL. */
int ag__dims_of(ag_dims dims, int64_t out[AG_MAX_DIMS]);
/* How many parts a Size argument was given with: 0 for a plain number. */
static inline int ag__size_parts(ag_sizes size) { return size < 0 ? 0 : (int)(size >> 60); }
/* Its sides, spread over n of them (5 is 5 by 5). false where a tuple has another length. A length lies in the bits
 * from 60 on, then 20 bits a side, with a sign, the last side lowest. A tuple of one is a number, as in PyTorch. */
static inline bool ag__size_sides(ag_sizes size, int n, int64_t *sides)
{
    int parts = ag__size_parts(size);
    if (parts > 1 && parts != n) return false;
    for (int k = 0; k < n; k++) {
        int place = parts > 1 ? n - 1 - k : 0;
        sides[k] = parts == 0 ? size : ((size >> 20 * place & 0xfffff) ^ 0x80000) - 0x80000;
    }
    return true;
}
/* "[2, 3]": for sentences. Returns text. */
const char *ag__shape_text(int ndim, const int64_t *size, char *text, size_t room);
/* "[64, 3, 28, 28] float32 cpu" */
const char *ag__tensor_text(const ag_tensor *x, char *text, size_t room);
enum { AG_TEXT = 256 };

/* ---- types ---- */

/* The type of an op on all these: dimensions beat 0-dim ones, which beat numbers, within a category (PyTorch's
 * result_type). */
ag_dtype ag__result_type(int n, const ag_tensor *const *in);
/* Whether values of this type may be written into that one in place (float into integer may not). */
bool ag__can_cast(ag_dtype from, ag_dtype to);
/* The type as PyTorch's sentences name it: "Float", "Double", "Long", "Int", "Byte", "Bool". */
const char *ag__scalar_type(ag_dtype dtype);
/* The type as C++ calls it, which others of PyTorch's sentences do: "float", "double", "long int", "int",
 * "unsigned char", "bool". */
const char *ag__c_type(ag_dtype dtype);
/* One element, read or written as a number; integers beyond 2^53 want the int64 forms. Conversions as PyTorch's on
 * x86. */
double ag__load(const char *at, ag_dtype dtype);
void ag__store(char *at, ag_dtype dtype, double value);
int64_t ag__load_int64(const char *at, ag_dtype dtype);
void ag__store_int64(char *at, ag_dtype dtype, int64_t value);
void ag__store_number(char *at, ag_dtype dtype, ag_number value); /* rounded once, integers as they are */

/* ---- walking in step over several operands ---- */

enum { AG_MAX_OPERANDS = 8 };
/* The common shape with neighbouring dimensions merged where every operand allows it, the fastest dimension of
 * operand 0 last. Strides are in bytes. ndim is 0 for a single element. */
typedef struct ag_walk {
    int ndim, n;
    int64_t numel;
    int64_t size[AG_MAX_DIMS];
    int64_t stride[AG_MAX_OPERANDS][AG_MAX_DIMS];
    char *data[AG_MAX_OPERANDS];
} ag_walk;
/* Operand 0 gives the shape (usually the output); the others broadcast to it. */
void ag__walk(ag_walk *w, int n, const ag_tensor *const *operand);
/* Calls row(user, data, stride, count) for each row along the last merged dimension: data[k] is operand k's first
 * element, stride[k] its step in bytes. Rows are spread over the thread pool where `grain` elements make a task; at
 * most once for an unbroken block. */
typedef void ag_row(void *user, char *const *data, const int64_t *stride, int64_t count);
void ag__walk_rows(const ag_walk *w, int64_t grain, ag_row *row, void *user);

/* Copy with conversion between any strides and types on the CPU; same sizes (or broadcasting from). */
void ag__copy_elements(const ag_tensor *to, const ag_tensor *from);
void ag__fill_elements(const ag_tensor *to, ag_number value);

/* ---- wherever they are (tensor/transfer.c) ---- */

/* The same two for tensors on any device, or on two; false with an error. */
bool ag__copy_tensor(const ag_tensor *to, const ag_tensor *from);
/* non_blocking: between pinned memory and a device the copy may still be under way when it returns. */
bool ag__transfer(const ag_tensor *to, const ag_tensor *from, bool non_blocking);
bool ag__fill_tensor(const ag_tensor *to, ag_number value);
/* x's first element in host memory; on a device that waits for all that came before. */
bool ag__read_element(const ag_tensor *x, char element[8]);
/* x itself if it is in host memory, else *copy, made a copy of it there; NULL with an error. The second lets go of what
 * the first gave. */
const ag_tensor *ag__on_host(const ag_tensor *x, ag_tensor *copy);
void ag__off_host(const ag_tensor *x, const ag_tensor *here);

#endif
