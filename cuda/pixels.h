/* pixels.h - one launch that makes a batch of images and labels. Plain C and C++. */
#ifndef AG_CUDA_PIXELS_H
#define AG_CUDA_PIXELS_H
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* out[i,p] = table[images[index[i],p]], with i the faster one in memory if batch_last; labels_out[i] =
 * labels[index[i]]. */
typedef struct ag_cuda_pixels {
    const uint8_t *images; /* (all,pixels) */
    const int64_t *labels, *index;
    const void *table; /* 256 of out's type; NULL: the pixels as they are */
    void *out;
    int64_t *labels_out;
    int64_t n, pixels;
    bool batch_last;
} ag_cuda_pixels;

/* dtype: out's. A cudaError_t. */
int ag__cuda_pixels_of(int dtype, const ag_cuda_pixels *p, void *stream);

#ifdef __cplusplus
}
#endif
#endif
