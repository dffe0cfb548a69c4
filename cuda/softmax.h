/* softmax.h - one launch of softmax or log_softmax, or of the gradient of either. Plain C and C++. */
#ifndef AG_CUDA_SOFTMAX_H
#define AG_CUDA_SOFTMAX_H
#include "cuda/team.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All arrays are (outer, n, inner), and contiguous; what is written may be what is read. */
typedef struct ag_cuda_softmax {
    const void *in; /* x; of a gradient dy */
    const void *y;  /* of a gradient: the result */
    void *out;      /* y, or dx */
    int64_t outer, n, inner;
    double inverse; /* 1 / inner */
    ag_cuda_team team;
    bool is_log;
} ag_cuda_softmax;

/* Of float64 or else float32. A cudaError_t. */
int ag__cuda_softmax_values(bool wide, const ag_cuda_softmax *s, void *stream);
int ag__cuda_softmax_gradients(bool wide, const ag_cuda_softmax *s, void *stream);

#ifdef __cplusplus
}
#endif
#endif
