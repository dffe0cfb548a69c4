/* index.h - the launches that read and write by number (ops/index_device.h): what the C side (index.c) fills in. Plain
 * C and C++. */
#ifndef AG_CUDA_INDEX_H
#define AG_CUDA_INDEX_H
#include "cuda/elements.h"
#include "cuda/fault.h"
#include "cuda/sort.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How an entry's number is read. */
typedef struct ag_cuda_number {
    int64_t size; /* of the dimension that it counts along */
    ag_cuda_report report;
    bool wide; /* int64, else int32 */
    bool from_end;
} ag_cuda_number;

/* Each element for itself. Reading: slot 0 is part, 1 whole, 2 index; filling: slot 0 is whole and 2 index. Slots of
 * `whole` do not move along the dimension. */
typedef struct ag_cuda_pick {
    ag_cuda_elements elements;
    ag_cuda_number number;
    int64_t step; /* of whole along the dimension, in bytes */
    int64_t value;
    int32_t itemsize; /* of whole, or 16: so many bytes at a time */
} ag_cuda_pick;

/* What entries write, each a slice of n_inner elements. Dimensions are the index's own; those along which it repeats
 * are the slices'. A target is a place in `whole` that an entry may name. */
typedef struct ag_cuda_write {
    const char *index, *part;
    char *whole;
    ag_cuda_shape entry;                /* of the index; numel: how many entries there are */
    ag_cuda_shape source;               /* the same dimensions, in part */
    ag_cuda_shape target;               /* all targets, in whole */
    ag_cuda_shape inner;                /* a slice, in whole */
    int64_t inner_source[AG_CUDA_DIMS]; /* its strides in part */
    int64_t target_step[AG_CUDA_DIMS];  /* by how many targets an entry's place moves along a dimension */
    int64_t number_step;                /* and with its number */
    ag_cuda_number number;
    uint32_t *last;   /* of each target: one more than the last entry that names it, 0 for none */
    uint64_t *key;    /* the targets of the entries, sorted; n_target where there is none */
    uint32_t *sorted; /* and whose they are */
    uint32_t *first;  /* of each sorted entry: the first one of its target; NULL where there are too few for parts */
    char *parts;      /* [ag__cuda_parts][inner] sums of the parts of targets that have several */
    double alpha;
} ag_cuda_write;

/* The entries of one target are added up in parts of so many. */
enum { AG_CUDA_ADD_PART = 1024 };
/* At most two targets with several parts begin a part in the same AG_CUDA_ADD_PART entries. */
static inline int64_t ag__cuda_parts(int64_t entries)
{
    return 2 * ((entries + AG_CUDA_ADD_PART - 1) / AG_CUDA_ADD_PART);
}

/* Each a cudaError_t. */
int ag__cuda_read_by_number(const ag_cuda_pick *p, void *stream);
int ag__cuda_fill_by_number(const ag_cuda_pick *p, void *stream);
int ag__cuda_find_last(const ag_cuda_write *w, void *stream);
int ag__cuda_write_last(const ag_cuda_write *w, int itemsize, void *stream);
int ag__cuda_name_targets(const ag_cuda_write *w, void *stream);
int ag__cuda_find_first(const ag_cuda_write *w, void *stream);
int ag__cuda_add_sorted(const ag_cuda_write *w, int dtype, void *stream);

#ifdef __cplusplus
}
#endif
#endif
