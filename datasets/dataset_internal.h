/* dataset_internal.h - a dataset from inside: besides items it may make whole batches. */
#ifndef AG_DATASET_INTERNAL_H
#define AG_DATASET_INTERNAL_H
#include "autograd/node.h"

#include <argent/dataset.h>

struct ag__pixel_table; /* transforms_internal.h */

/* Part k of the items index[0..n), along a new first dimension, in out[k]; n >= 1. How many parts, 0 with an error. The
 * indices are in range. The calling thread's innermost scope holds what it makes. */
typedef int ag__dataset_batch_function(const int64_t *index, int64_t n, ag_memory_format format, ag_variable **out,
                                       void *user);

/* Items that are rows of two arrays, the first through a table: with these, a device can make the batches. */
typedef struct ag__pixels {
    const ag_variable *images, *labels;  /* (N,H,W) uint8 and (N) int64, contiguous, on the CPU */
    const struct ag__pixel_table *table; /* batches are (n,1,H,W) floats; NULL: (n,H,W) uint8 */
} ag__pixels;
/* false, without an error, if the items are something else. index[0..n), items of the dataset, become rows of the
 * arrays. */
typedef bool ag__dataset_pixels_function(ag__pixels *pixels, int64_t *index, int64_t n, const void *user);

struct ag_dataset {
    ag_dataset_size_function *size;
    ag_dataset_get_function *get;
    ag__dataset_batch_function *batch;   /* NULL: get one after the other, and stack */
    ag__dataset_pixels_function *pixels; /* NULL: the items are no rows of two arrays */
    void (*free)(void *user);
    void *user;
};

/* ag_dataset_new, of one that makes its own batches. */
ag_dataset *ag__dataset_new(const ag_dataset *functions);
int ag__dataset_batch(ag_dataset *dataset, const int64_t *index, int64_t n, ag_memory_format format, ag_variable **out);

/* An empty Variable for a batch: (n, size...). NULL with an error; `what` begins its sentence. */
ag_variable *ag__batch_new(const char *what, int64_t n, int ndim, const int64_t *size, ag_dtype dtype,
                           ag_memory_format format);
/* x[i], the i-th slice along the first dimension: borrows x's memory. */
ag_tensor ag__tensor_slice(const ag_tensor *x, int64_t i);

#endif
