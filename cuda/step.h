/* step.h - one launch that steps many parameters. Plain C and C++. */
#ifndef AG_CUDA_STEP_H
#define AG_CUDA_STEP_H
#include "tensor/step_table.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { AG_CUDA_STEPS = 480 }; /* rows that fit into a launch's arguments */

/* Of AG_CUDA_STEPS rows at most, one at least, none of them empty. A cudaError_t. */
int ag__cuda_step_rows(const ag__step_table *t, void *stream);

#ifdef __cplusplus
}
#endif
#endif
