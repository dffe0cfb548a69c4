/* loss.h - nll_loss and cross_entropy, and their gradients: what the C side (loss.c) fills in. Plain C and C++. */
#ifndef AG_CUDA_LOSS_H
#define AG_CUDA_LOSS_H
#include "cuda/fault.h"
#include "cuda/team.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { AG_CUDA_LOSS_PARTS = 1024 /* blocks whose sums are put together, at most */ };

/* T is the type of the loss, float or double. x and dx are (n, classes, inner), target is (n, inner). */
typedef struct ag_cuda_loss {
    const void *x;         /* T: log-probabilities; for the value of cross_entropy logits */
    const int64_t *target; /* 0 .. classes - 1, or ignore_index */
    const void *weight;    /* T, a class; or NULL */
    void *loss;            /* T: one a target, or one */
    void *total;           /* T: what the sum was divided by */
    void *log_p;           /* T, of cross_entropy: log_softmax(x), where a gradient will be wanted */
    double *parts;         /* [parts][2]: sums of losses and of weights */
    const void *g;         /* T, of a gradient: the loss's, as many as there are losses */
    void *dx;              /* T */
    int64_t n, classes, inner, ignore_index;
    double inverse, inverse_image; /* 1 / inner, 1 / (classes * inner) */
    ag_cuda_report report;         /* of a target that is no class */
    ag_cuda_team team;
    int32_t n_parts;
    bool none, mean; /* reduction; neither: "sum" */
} ag_cuda_loss;

/* Of float64 or else float32. A cudaError_t. */
int ag__cuda_nll(bool wide, const ag_cuda_loss *l, void *stream);
int ag__cuda_nll_gradient(bool wide, const ag_cuda_loss *l, void *stream);
int ag__cuda_cross_entropy(bool wide, const ag_cuda_loss *l, void *stream);
int ag__cuda_cross_entropy_gradient(bool wide, const ag_cuda_loss *l, void *stream);

#ifdef __cplusplus
}
#endif
#endif
