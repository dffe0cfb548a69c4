/* index_device.h - reading and writing by number as devices know it: every op of index.h is one of these four. */
#ifndef AG_INDEX_DEVICE_H
#define AG_INDEX_DEVICE_H
#include "autograd/op.h"

/* With e for an entry, a place in index's sizes, and w(e) the same place of `whole` but for dimension dim, where the
 * entry's number stands:
 *
 *     AG_INDEX_READ    part[e] = whole[w(e)]
 *     AG_INDEX_FILL    whole[w(e)] = value
 *     AG_INDEX_WRITE   whole[w(e)] = part[e], and of several the last
 *     AG_INDEX_ADD     whole[w(e)] += alpha part[e], one after the other; of bool: "or"
 */
typedef enum { AG_INDEX_READ, AG_INDEX_FILL, AG_INDEX_WRITE, AG_INDEX_ADD } ag__index_kind;
typedef struct ag__indexing {
    ag__index_kind kind;
    ag_tensor whole, part, index; /* of one number of dimensions, at least one; part has index's sizes */
    int dim;
    bool from_end; /* numbers below zero count from the end */
    bool is_take;  /* dimension 0 is all elements in a row, as sentences have it */
    double alpha;
    char value[8]; /* an element of whole's type */
} ag__indexing;

/* In kernel(), of a run on a device. */
bool ag__index_on_device(ag_run *r, const ag__indexing *how);
/* whole and part as they are (part is cut down to index's sizes), a number for each element of part. */
bool ag__index_elements(ag_run *r, ag__index_kind kind, const ag_tensor *whole, const ag_tensor *part,
                        const ag_tensor *index, int dim);
/* The same with whole slices: entry i of the vector index is for slice i of part along dim. */
bool ag__index_slices(ag_run *r, ag__index_kind kind, const ag_tensor *whole, const ag_tensor *part,
                      const ag_tensor *index, int dim, double alpha);
/* One number into all of these places: elements, or slices. */
bool ag__index_fill_elements(ag_run *r, const ag_tensor *whole, ag_number value, const ag_tensor *index, int dim);
bool ag__index_fill_slices(ag_run *r, const ag_tensor *whole, ag_number value, const ag_tensor *index, int dim);
/* Numbers of all elements in a row: three contiguous tensors. */
bool ag__index_row(ag_run *r, ag__index_kind kind, const ag_tensor *whole, const ag_tensor *part,
                   const ag_tensor *index);

#endif
