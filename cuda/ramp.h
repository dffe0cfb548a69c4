/* ramp.h - one launch that writes numbers at equal distances. Plain C and C++. */
#ifndef AG_CUDA_RAMP_H
#define AG_CUDA_RAMP_H
#include "ops/cpu/ramp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Into n elements of that type side by side. A cudaError_t. */
int ag__cuda_ramp_into(char *y, int dtype, const ag__ramp *ramp, void *stream);

#ifdef __cplusplus
}
#endif
#endif
