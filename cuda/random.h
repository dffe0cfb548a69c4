/* random.h - one launch that draws random numbers into a tensor: what the C side (random.c) fills in. Plain C and C++.
 */
#ifndef AG_CUDA_RANDOM_H
#define AG_CUDA_RANDOM_H
#include "cuda/elements.h"
#include "cuda/fault.h"
#include "cuda/philox.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { AG_CUDA_RANDOM_THREADS = 256 };

typedef struct ag_cuda_random {
    ag_cuda_philox philox;
    ag_cuda_shape shape; /* of x, in the order in which it takes its numbers */
    char *x;
    int32_t kind; /* an ag__random_kind */
    uint8_t dtype;
    double a, b;
    uint64_t base, range;
    /* of AG_RANDOM_TOSS_EACH */
    const char *p;
    int64_t p_stride[AG_CUDA_DIMS];
    bool p_wide; /* float64 */
    ag_cuda_report report;
} ag_cuda_random;

/* How many numbers a thread makes of a call: words as they are, pairs of them, and the real ones. */
enum { AG_CUDA_WORDS, AG_CUDA_PAIRS, AG_CUDA_SINGLES, AG_CUDA_DOUBLES };

/* y = x where the mask is set, scaled; else 0 times x. Slot 0 is y, 1 x; elements in the order in which they take their
 * numbers. */
typedef struct ag_cuda_dropout {
    ag_cuda_philox philox;
    ag_cuda_elements elements;
    double keep;          /* with this probability */
    int32_t side_by_side; /* so many elements of one thread, which are neighbours: 4, 2 or 1 */
    uint8_t dtype;
    bool whole; /* the four can be read and written at once */
} ag_cuda_dropout;

/* Each a cudaError_t. */
int ag__cuda_draw(const ag_cuda_random *r, int source, unsigned blocks, void *stream);
int ag__cuda_toss_each(const ag_cuda_random *r, void *stream);
int ag__cuda_drop(const ag_cuda_dropout *d, unsigned blocks, void *stream);

#ifdef __cplusplus
}
#endif
#endif
