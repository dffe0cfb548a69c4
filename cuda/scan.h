/* scan.h - cumsum, cumprod and the recurrence of the latter's gradient (ops/scan_steps.h): what the C side (scan.c)
 * fills in. Plain C and C++. */
#ifndef AG_CUDA_SCAN_H
#define AG_CUDA_SCAN_H
#include "cuda/team.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x and y are (outer, n, inner) and contiguous, of one type; they may be one. */
typedef struct ag_cuda_scan {
    const void *x;
    const void *factor; /* of a recurrence, as x */
    void *y;
    void *totals; /* [outer * inner][parts] of 8 bytes, where there are several parts */
    int64_t outer, n, inner;
    double inverse;    /* 1 / inner */
    int64_t part;      /* elements of a part */
    int32_t parts;     /* of each row, a block each; 0: a team of threads has a row */
    ag_cuda_team team; /* of up to 32 lanes */
} ag_cuda_scan;

enum { AG_CUDA_SCAN_SUM, AG_CUDA_SCAN_PRODUCT, AG_CUDA_RECURRENCE, AG_CUDA_RECURRENCE_REVERSE };

/* One of these, of elements of type dtype; recurrences are floating, and have no parts. A cudaError_t. */
int ag__cuda_scan(int dtype, int what, const ag_cuda_scan *s, void *stream);

#ifdef __cplusplus
}
#endif
#endif
