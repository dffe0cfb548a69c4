/* reduce.h - one reduction: what the C side (reduce.c) plans and the kernels (reduce.cuh) carry out. Plain C and C++.
 */
#ifndef AG_CUDA_REDUCE_H
#define AG_CUDA_REDUCE_H
#include "cuda/shape.h"
#include "cuda/team.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { AG_CUDA_TOTAL = 24 /* bytes of a total, at most */ };

typedef struct ag_cuda_dims {
    int32_t n;
    int64_t size[AG_CUDA_DIMS], stride[AG_CUDA_DIMS]; /* strides in bytes */
    double inverse[AG_CUDA_DIMS];                     /* 1 / size */
} ag_cuda_dims;

/* out[o] = the fold of in over all places of the dimensions that go, at place o of those that are kept. Both lists are
 * merged, the greatest stride first. A team of threads makes
 * each of them. */
typedef struct ag_cuda_fold {
    const char *in;
    char *out;      /* NULL: only the index is wanted */
    int64_t *index; /* where the greatest or least is, in row-major order of what goes; or NULL */
    char *totals;   /* [n_out][parts], where there are several parts */
    int64_t n_out, n_units;
    ag_cuda_dims kept, gone;        /* the last that goes in units */
    int64_t kept_out[AG_CUDA_DIMS]; /* the strides of out, in elements */
    int64_t parts, part;            /* into how many the units are cut, and units in each */
    ag_cuda_team team;
    int32_t unit;  /* elements read at once: 1, or as many as 16 bytes hold (at most 4) */
    bool root;     /* of the variance */
    double option; /* a mean's count, a variance's correction, a norm's order */
} ag_cuda_fold;

/* `fold` is an ag__fold (ops/cpu/fold.h), of elements of type dtype. A cudaError_t. */
int ag__cuda_fold_sums(int fold, int dtype, const ag_cuda_fold *f, void *stream);
int ag__cuda_fold_extremes(int fold, int dtype, const ag_cuda_fold *f, void *stream);
int ag__cuda_fold_places(int fold, int dtype, const ag_cuda_fold *f, void *stream);
int ag__cuda_fold_moments(int fold, int dtype, const ag_cuda_fold *f, void *stream);

#ifdef __cplusplus
}
#endif
#endif
